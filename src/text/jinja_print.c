#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <utf8proc.h>

#include "text/jinja_value.h"
#include "text/utf8.h"

/* ---- numbers ---- */

/* The shortest digits that read back equal, without sign and point; *ret_point: how many of them
 * stand before the point. */
static size_t shortest_digits(double value, char ret_digits[32], int *ret_point)
{
    struct tw_buf buf;
    struct tw_json_writer writer;
    tw_buf_init(&buf, 64);
    tw_json_begin(&writer, &buf);
    tw_json_double(&writer, fabs(value));
    tw_buf_append(&buf, "", 1);
    size_t n = 0;
    int point = 0, exponent = 0;
    bool seen_point = false;
    for (const char *p = buf.failed ? "0" : buf.data; *p != '\0'; p++) {
        if (*p == 'e') {
            for (const char *q = p + 2; *q != '\0'; q++) {
                exponent = exponent * 10 + (*q - '0');
            }
            exponent = p[1] == '-' ? -exponent : exponent;
            break;
        }
        seen_point = seen_point || *p == '.';
        if (*p == '.' || (n == 0 && *p == '0')) {
            point -= *p == '0' && seen_point;
        } else if (n < 31) {
            ret_digits[n++] = *p;
            point += !seen_point;
        }
    }
    tw_buf_free(&buf);
    while (n > 1 && ret_digits[n - 1] == '0') {
        n--;
    }
    *ret_point = point + exponent;
    return n;
}

void tw_jinja_format_real(double value, char ret_text[40])
{
    char digits[32];
    int point = 0;
    if (!isfinite(value) || value == 0) {
        snprintf(ret_text, 40, "%s%s", signbit(value) && !isnan(value) ? "-" : "",
                 isnan(value) ? "nan"
                 : value == 0 ? "0.0"
                              : "inf");
        return;
    }
    size_t n = shortest_digits(value, digits, &point), at = 0;
    int width = (int)n;
    if (signbit(value)) {
        ret_text[at++] = '-';
    }
    char *text = ret_text + at;
    size_t room = 40 - at;
    if (point > 16 || point < -3) {
        snprintf(text, room, "%c%s%.*se%c%02d", digits[0], n > 1 ? "." : "", width - 1, digits + 1,
                 point > 0 ? '+' : '-', point > 0 ? point - 1 : 1 - point);
    } else if (point <= 0) {
        snprintf(text, room, "0.%.*s%.*s", -point, "000", width, digits);
    } else if (width <= point) {
        snprintf(text, room, "%.*s%.*s.0", width, digits, point - width, "0000000000000000");
    } else {
        snprintf(text, room, "%.*s.%.*s", point, digits, width - point, digits + point);
    }
}

char *tw_jinja_print_real(struct tw_jinja *j, char conversion, int precision, bool alternate,
                          double value)
{
    char format[] = {'%',
                     alternate ? '#' : '.',
                     alternate ? '.' : '*',
                     alternate ? '*' : conversion,
                     alternate ? conversion : '\0',
                     '\0'};
    size_t room = (size_t)precision + 340;
    char *text = tw_jinja_alloc(j, room, 1);
    if (text == NULL) {
        return NULL;
    }
    locale_t old = uselocale(newlocale(LC_ALL_MASK, "C", (locale_t)0));
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(text, room, format, precision, value);
#pragma GCC diagnostic pop
    uselocale(old);
    return text;
}

/* Copies a number without spaces around it and underscores in it; false where an underscore is not
 * between digits. */
static bool tidy_number(const char *text, size_t n_bytes, char *ret_text, size_t room)
{
    size_t n = 0, at = 0, end = n_bytes;
    for (uint32_t code; at < end; at++) {
        tw_utf8_decode(text + at, end - at, &code);
        if (!tw_jinja_is_space(code)) {
            break;
        }
    }
    while (end > at && tw_jinja_is_space((unsigned char)text[end - 1])) {
        end--;
    }
    for (; at < end && n + 1 < room; at++) {
        bool inside = n > 0 && at + 1 < end && text[at - 1] >= '0' && text[at + 1] >= '0' &&
                      text[at - 1] != '_' && text[at + 1] != '_';
        if (text[at] != '_') {
            ret_text[n++] = text[at];
        } else if (!inside) {
            return false;
        }
    }
    ret_text[n] = '\0';
    return n > 0 && at == end;
}

static bool parse_named(const char *text, double *ret_value)
{
    static const struct {
        const char *name;
        double value;
    } rows[] = {{"inf", INFINITY}, {"infinity", INFINITY}, {"nan", NAN}};
    bool negative = text[0] == '-';
    text += text[0] == '-' || text[0] == '+';
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t k = 0;
        while (rows[i].name[k] != '\0' && (text[k] | 0x20) == rows[i].name[k]) {
            k++;
        }
        if (rows[i].name[k] == '\0' && text[k] == '\0') {
            *ret_value = negative ? -rows[i].value : rows[i].value;
            return true;
        }
    }
    return false;
}

bool tw_jinja_parse_real(struct tw_jinja *j, const char *text, size_t n_bytes, double *ret_value)
{
    char tidy[400], number[420];
    if (!tw_jinja_step(j, n_bytes / 16) || !tidy_number(text, n_bytes, tidy, sizeof tidy)) {
        return false;
    }
    if (parse_named(tidy, ret_value)) {
        return true;
    }
    /* As JSON writes it: digits on both sides of the point, no leading zeros. */
    const char *p = tidy + (tidy[0] == '-' || tidy[0] == '+');
    size_t n_whole = strspn(p, "0123456789"), n_zeros = strspn(p, "0");
    const char *rest = p + n_whole, *fraction = rest[0] == '.' ? rest + 1 : "";
    size_t n_fraction = strspn(fraction, "0123456789");
    const char *tail = rest[0] == '.' ? fraction + n_fraction : rest;
    size_t n_skipped = n_zeros < n_whole ? n_zeros : n_whole;
    const char *exponent = tail + (tail[0] != '\0') + (tail[0] != '\0' && strchr("+-", tail[1]));
    size_t n_exponent = strspn(exponent, "0123456789");
    if (n_whole + n_fraction == 0 ||
        (tail[0] != '\0' &&
         ((tail[0] | 0x20) != 'e' || n_exponent == 0 || exponent[n_exponent] != '\0'))) {
        return false;
    }
    snprintf(number, sizeof number, "%s%s%.*s.%.*s0%s", tidy[0] == '-' ? "-" : "",
             n_skipped == n_whole ? "0" : "", (int)(n_whole - n_skipped), p + n_skipped,
             (int)n_fraction, fraction, tail);
    json_t *json = NULL;
    if (!tw_jinja_step(j, 1)) {
        return false;
    }
    /* The form was checked: what fails is too large. */
    bool fits = tw_json_parse(number, strlen(number), "", &json, NULL) == TW_OK;
    *ret_value = fits ? json_real_value(json) : tidy[0] == '-' ? -INFINITY : INFINITY;
    json_decref(json);
    return true;
}

static int digit_of(char c)
{
    return c >= '0' && c <= '9'                     ? c - '0'
           : (c | 0x20) >= 'a' && (c | 0x20) <= 'z' ? (c | 0x20) - 'a' + 10
                                                    : 99;
}

bool tw_jinja_parse_int(struct tw_jinja *j, const char *text, size_t n_bytes, int64_t base,
                        int64_t *ret_value)
{
    char tidy[400];
    if (!tw_jinja_step(j, n_bytes / 16) || !tidy_number(text, n_bytes, tidy, sizeof tidy)) {
        return false;
    }
    const char *p = tidy + (tidy[0] == '-' || tidy[0] == '+');
    int64_t prefixed = p[0] != '0'            ? 0
                       : (p[1] | 0x20) == 'x' ? 16
                       : (p[1] | 0x20) == 'o' ? 8
                       : (p[1] | 0x20) == 'b' ? 2
                                              : 0;
    if (prefixed != 0 && (base == 0 || base == prefixed)) {
        base = prefixed;
        p += 2;
    } else if (base == 0) {
        base = 10;
    }
    int64_t value = 0;
    bool wide = false;
    if (*p == '\0') {
        return false;
    }
    for (; *p != '\0'; p++) {
        if (digit_of(*p) >= base) {
            return false;
        }
        wide = wide || __builtin_mul_overflow(value, base, &value) ||
               __builtin_sub_overflow(value, digit_of(*p), &value);
    }
    if (wide || (tidy[0] != '-' && value == INT64_MIN)) {
        tw_jinja_fail_limit(j, "the number %.40s has more than 64 bits", tidy);
    }
    *ret_value = tidy[0] == '-' || wide ? value : -value;
    return true;
}

/* ---- str() and repr() ---- */

static bool is_printable(uint32_t code)
{
    utf8proc_category_t c =
        code < TW_UTF8_INVALID ? utf8proc_category((utf8proc_int32_t)code) : UTF8PROC_CATEGORY_CN;
    return code == ' ' || (c != UTF8PROC_CATEGORY_CN && c < UTF8PROC_CATEGORY_ZS);
}

static void put_quoted(struct tw_jinja_builder *b, const struct tw_jinja_string *s)
{
    bool has_single = s->size_bytes > 0 && memchr(s->data, '\'', s->size_bytes) != NULL;
    bool has_double = s->size_bytes > 0 && memchr(s->data, '"', s->size_bytes) != NULL;
    char quote = has_single && !has_double ? '"' : '\'';
    tw_jinja_put(b, &quote, 1, tw_jinja_has_input(s));
    for (size_t at = 0; at < s->size_bytes && tw_jinja_step(b->j, 1);) {
        uint32_t code;
        size_t n = tw_utf8_decode(s->data + at, s->size_bytes - at, &code);
        const char *word = code == '\n'   ? "\\n"
                           : code == '\r' ? "\\r"
                           : code == '\t' ? "\\t"
                                          : NULL;
        char text[16];
        if (word != NULL) {
            snprintf(text, sizeof text, "%s", word);
        } else if (code == '\\' || code == (uint32_t)quote) {
            snprintf(text, sizeof text, "\\%c", (char)code);
        } else if (is_printable(code)) {
            snprintf(text, sizeof text, "%.*s", (int)n, s->data + at);
        } else {
            snprintf(text, sizeof text,
                     code < 0x100     ? "\\x%02" PRIx32
                     : code < 0x10000 ? "\\u%04" PRIx32
                                      : "\\U%08" PRIx32,
                     code);
        }
        tw_jinja_put(b, text, strlen(text), tw_jinja_is_input(s, at));
        at += n;
    }
    tw_jinja_put(b, &quote, 1, tw_jinja_has_input(s));
}

static void put_items(struct tw_jinja_builder *b, struct tw_jinja_value value, const char *open,
                      const char *close)
{
    const struct tw_jinja_list *list = value.list;
    bool is_input = value.is_input;
    tw_jinja_put(b, open, strlen(open), is_input);
    for (size_t i = 0; i < list->n_items && tw_jinja_step(b->j, 1); i++) {
        tw_jinja_put(b, ", ", i > 0 ? 2 : 0, is_input);
        tw_jinja_put_repr(b, list->items[i]);
    }
    tw_jinja_put(b, close, strlen(close), is_input);
}

static void put_pairs(struct tw_jinja_builder *b, struct tw_jinja_value value)
{
    const struct tw_jinja_dict *dict = value.dict;
    tw_jinja_put(b, "{", 1, value.is_input);
    for (size_t i = 0; i < dict->n_pairs && tw_jinja_step(b->j, 1); i++) {
        tw_jinja_put(b, ", ", i > 0 ? 2 : 0, value.is_input);
        tw_jinja_put_repr(b, dict->pairs[i].key);
        tw_jinja_put(b, ": ", 2, value.is_input);
        tw_jinja_put_repr(b, dict->pairs[i].value);
    }
    tw_jinja_put(b, "}", 1, value.is_input);
}

static void put_range(struct tw_jinja_builder *b, const struct tw_jinja_list *list)
{
    char text[80];
    snprintf(text, sizeof text, "range(%" PRId64 ", %" PRId64, list->start, list->stop);
    tw_jinja_put_text(b, text);
    snprintf(text, sizeof text, ", %" PRId64, list->stride);
    tw_jinja_put_text(b, list->stride != 1 ? text : "");
    tw_jinja_put_text(b, ")");
}

static void put_scalar(struct tw_jinja_builder *b, struct tw_jinja_value value)
{
    char text[40];
    if (value.kind == TW_JINJA_INT) {
        snprintf(text, sizeof text, "%" PRId64, value.integer);
    } else if (value.kind == TW_JINJA_REAL) {
        tw_jinja_format_real(value.real, text);
    } else if (value.kind == TW_JINJA_BOOL) {
        snprintf(text, sizeof text, value.boolean ? "True" : "False");
    } else {
        snprintf(text, sizeof text, "None");
    }
    tw_jinja_put(b, text, strlen(text), value.is_input);
}

static void put_container(struct tw_jinja_builder *b, struct tw_jinja_value value)
{
    static const char *const views[] = {"dict_keys([", "dict_values([", "dict_items(["};
    switch (value.kind) {
    case TW_JINJA_LIST:
        put_items(b, value, "[", "]");
        return;
    case TW_JINJA_TUPLE:
        put_items(b, value, "(", value.list->n_items == 1 ? ",)" : ")");
        return;
    case TW_JINJA_VIEW:
        put_items(b, value, views[value.list->start], "])");
        return;
    case TW_JINJA_RANGE:
        put_range(b, value.list);
        return;
    case TW_JINJA_NAMESPACE:
    case TW_JINJA_DICT:
        tw_jinja_put_text(b, value.kind == TW_JINJA_NAMESPACE ? "<Namespace " : "");
        put_pairs(b, value);
        tw_jinja_put_text(b, value.kind == TW_JINJA_NAMESPACE ? ">" : "");
        return;
    default:
        tw_jinja_fail(b->j, "a function, loop or filtered sequence cannot be printed; call it, or "
                            "put |list behind it");
    }
}

void tw_jinja_put_repr(struct tw_jinja_builder *b, struct tw_jinja_value value)
{
    if (!tw_jinja_enter(b->j)) {
        return;
    }
    if (value.kind == TW_JINJA_STRING) {
        tw_jinja_put_text(b, value.is_markup ? "Markup(" : "");
        put_quoted(b, value.string);
        tw_jinja_put_text(b, value.is_markup ? ")" : "");
    } else if (value.kind == TW_JINJA_UNDEFINED) {
        tw_jinja_put_text(b, "Undefined");
    } else if (value.kind < TW_JINJA_STRING) {
        put_scalar(b, value);
    } else {
        put_container(b, value);
    }
    tw_jinja_leave(b->j);
}

void tw_jinja_put_value(struct tw_jinja_builder *b, struct tw_jinja_value value)
{
    if (tw_jinja_failed(b->j) || value.kind == TW_JINJA_UNDEFINED) {
        return;
    }
    if (value.kind == TW_JINJA_STRING) {
        tw_jinja_put_part(b, value.string, 0, value.string->size_bytes);
    } else {
        tw_jinja_put_repr(b, value);
    }
}

/* ---- JSON ---- */

static void put_json_string(struct tw_jinja_builder *b, const struct tw_jinja_string *s, bool ascii)
{
    tw_jinja_put(b, "\"", 1, tw_jinja_has_input(s));
    for (size_t at = 0; at < s->size_bytes && tw_jinja_step(b->j, 1);) {
        uint32_t code;
        size_t n = tw_utf8_decode(s->data + at, s->size_bytes - at, &code);
        static const char named[] = "\"\\\n\r\t\f\b", letters[] = "\"\\nrtfb";
        const char *hit = code != 0 && code < 0x80 ? strchr(named, (int)code) : NULL;
        char text[16];
        if (hit != NULL) {
            snprintf(text, sizeof text, "\\%c", letters[hit - named]);
        } else if (code < 0x20 || (ascii && code >= 0x80 && code < 0x10000)) {
            snprintf(text, sizeof text, "\\u%04" PRIx32, code);
        } else if (ascii && code >= 0x10000) {
            snprintf(text, sizeof text, "\\u%04" PRIx32 "\\u%04" PRIx32,
                     0xd800 + ((code - 0x10000) >> 10), 0xdc00 + ((code - 0x10000) & 0x3ff));
        } else {
            snprintf(text, sizeof text, "%.*s", (int)n, s->data + at);
        }
        tw_jinja_put(b, text, strlen(text), tw_jinja_is_input(s, at));
        at += n;
    }
    tw_jinja_put(b, "\"", 1, tw_jinja_has_input(s));
}

/* One JSON text on its way. */
struct json_writer {
    struct tw_jinja_builder *b;
    const struct tw_jinja_json_style *style;
    size_t level;
};

static void put_json(struct json_writer *w, struct tw_jinja_value value);

static void put_break(struct json_writer *w, bool is_input)
{
    if (w->style->is_indented) {
        tw_jinja_put(w->b, "\n", 1, is_input);
        for (size_t i = 0; i < w->level; i++) {
            tw_jinja_put_value(w->b, w->style->indent);
        }
    }
}

static void put_json_key(struct json_writer *w, struct tw_jinja_value key)
{
    if (key.kind == TW_JINJA_STRING) {
        put_json(w, key);
    } else if (key.kind >= TW_JINJA_NONE && key.kind < TW_JINJA_STRING) {
        tw_jinja_put(w->b, "\"", 1, key.is_input);
        put_json(w, key);
        tw_jinja_put(w->b, "\"", 1, key.is_input);
    } else {
        tw_jinja_fail(w->b->j, "a dict with such a key cannot be written as JSON");
    }
}

/* Insertion sort: the dicts of a template are small, and steps are counted. */
static struct tw_jinja_dict sorted_by_key(struct tw_jinja *j, const struct tw_jinja_dict *dict)
{
    struct tw_jinja_dict copy = {.n_pairs = dict->n_pairs};
    copy.pairs = tw_jinja_alloc(j, dict->n_pairs, sizeof *copy.pairs);
    for (size_t i = 0; copy.pairs != NULL && i < dict->n_pairs; i++) {
        size_t at = i;
        while (at > 0 && tw_jinja_step(j, 1) &&
               tw_jinja_order(j, dict->pairs[i].key, copy.pairs[at - 1].key) < 0) {
            copy.pairs[at] = copy.pairs[at - 1];
            at--;
        }
        copy.pairs[at] = dict->pairs[i];
    }
    return copy;
}

static void put_json_dict(struct json_writer *w, struct tw_jinja_value value)
{
    struct tw_jinja_dict dict = *value.dict;
    if (w->style->sort_keys) {
        dict = sorted_by_key(w->b->j, value.dict);
    }
    tw_jinja_put(w->b, "{", 1, value.is_input);
    w->level++;
    for (size_t i = 0; i < dict.n_pairs && tw_jinja_step(w->b->j, 1); i++) {
        if (i > 0) {
            tw_jinja_put_value(w->b, w->style->item_separator);
        }
        put_break(w, value.is_input);
        put_json_key(w, dict.pairs[i].key);
        tw_jinja_put_value(w->b, w->style->key_separator);
        put_json(w, dict.pairs[i].value);
    }
    w->level--;
    if (dict.n_pairs > 0) {
        put_break(w, value.is_input);
    }
    tw_jinja_put(w->b, "}", 1, value.is_input);
}

static void put_json_list(struct json_writer *w, struct tw_jinja_value value)
{
    const struct tw_jinja_list *list = value.list;
    tw_jinja_put(w->b, "[", 1, value.is_input);
    w->level++;
    for (size_t i = 0; i < list->n_items && tw_jinja_step(w->b->j, 1); i++) {
        if (i > 0) {
            tw_jinja_put_value(w->b, w->style->item_separator);
        }
        put_break(w, value.is_input);
        put_json(w, list->items[i]);
    }
    w->level--;
    if (list->n_items > 0) {
        put_break(w, value.is_input);
    }
    tw_jinja_put(w->b, "]", 1, value.is_input);
}

static void put_json_scalar(struct json_writer *w, struct tw_jinja_value value)
{
    const char *word = value.kind == TW_JINJA_NONE   ? "null"
                       : value.kind == TW_JINJA_BOOL ? (value.boolean ? "true" : "false")
                       : value.kind == TW_JINJA_REAL && isnan(value.real) ? "NaN"
                       : value.kind == TW_JINJA_REAL && isinf(value.real)
                           ? (value.real > 0 ? "Infinity" : "-Infinity")
                           : NULL;
    if (word != NULL) {
        tw_jinja_put(w->b, word, strlen(word), value.is_input);
    } else {
        tw_jinja_put_repr(w->b, value);
    }
}

static void put_json(struct json_writer *w, struct tw_jinja_value value)
{
    if (!tw_jinja_enter(w->b->j)) {
        return;
    }
    if (value.kind == TW_JINJA_STRING) {
        put_json_string(w->b, value.string, w->style->ensure_ascii);
    } else if (value.kind == TW_JINJA_DICT) {
        put_json_dict(w, value);
    } else if (value.kind == TW_JINJA_LIST || value.kind == TW_JINJA_TUPLE) {
        put_json_list(w, value);
    } else if (value.kind >= TW_JINJA_NONE && value.kind < TW_JINJA_STRING) {
        put_json_scalar(w, value);
    } else {
        tw_jinja_fail(w->b->j, value.kind == TW_JINJA_UNDEFINED
                                   ? "what is undefined cannot be written as JSON"
                                   : "this kind of value cannot be written as JSON; put |list "
                                     "before tojson");
    }
    tw_jinja_leave(w->b->j);
}

void tw_jinja_put_json(struct tw_jinja_builder *b, struct tw_jinja_value value,
                       const struct tw_jinja_json_style *style)
{
    struct json_writer w = {.b = b, .style = style};
    put_json(&w, value);
}
