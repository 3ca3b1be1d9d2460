#include <string.h>
#include <utf8proc.h>

#include "text/jinja_run.h"
#include "text/utf8.h"

/* ---- case ---- */

enum letter_case { UPPER = 0, LOWER, CAPITALIZE, TITLE };

/* One character. The German sharp s is the one letter of everyday texts that becomes two. */
static size_t put_cased(struct tw_jinja_builder *b, const struct tw_jinja_string *s, size_t at,
                        bool upper, const char *upper_sharp_s)
{
    uint32_t code;
    size_t n = tw_jinja_char(s, at, &code);
    if (code == TW_UTF8_INVALID) {
        tw_jinja_put_part(b, s, at, n);
    } else if (upper && code == 0xdf) {
        tw_jinja_put_text(b, upper_sharp_s, tw_jinja_is_input(s, at));
    } else {
        utf8proc_int32_t c = (utf8proc_int32_t)code;
        c = upper ? utf8proc_toupper(c) : utf8proc_tolower(c);
        tw_jinja_put_code(b, (uint32_t)c, tw_jinja_is_input(s, at));
    }
    return n;
}

/* A letter that has a case begins a word, unless it stands behind another one. */
static bool is_cased(uint32_t code)
{
    utf8proc_category_t c =
        code < TW_UTF8_INVALID ? utf8proc_category((utf8proc_int32_t)code) : UTF8PROC_CATEGORY_CN;
    return c == UTF8PROC_CATEGORY_LU || c == UTF8PROC_CATEGORY_LL || c == UTF8PROC_CATEGORY_LT;
}

TW_JINJA_ROW(in_case)
{
    const struct tw_jinja_string *s = a[0].string;
    struct tw_jinja_builder b = tw_jinja_builder(j);
    bool is_within = false;
    for (size_t at = 0; at < s->size_bytes && tw_jinja_step(j, 1);) {
        uint32_t code;
        tw_jinja_char(s, at, &code);
        bool upper = variant == UPPER || (variant >= CAPITALIZE && !is_within);
        at += put_cased(&b, s, at, upper, variant == UPPER ? "SS" : "Ss");
        is_within = variant == CAPITALIZE || is_cased(code);
    }
    return tw_jinja_built(&b);
}

struct tw_jinja_value tw_jinja_lower(struct tw_jinja *j, struct tw_jinja_value text)
{
    return in_case(j, LOWER, &text, NULL);
}

/* ---- strip, startswith, endswith ---- */

static bool strips(const struct tw_jinja_string *set, uint32_t code)
{
    if (set == NULL) {
        return tw_jinja_is_space(code);
    }
    uint32_t other;
    for (size_t at = 0; at < set->size_bytes;) {
        at += tw_jinja_char(set, at, &other);
        if (other == code) {
            return true;
        }
    }
    return false;
}

enum { LEFT = 1, RIGHT = 2 };

TW_JINJA_ROW(strip)
{
    const struct tw_jinja_string *s = a[0].string;
    const struct tw_jinja_string *set =
        tw_jinja_is_given(a[1]) ? tw_jinja_string_argument(j, a[1]) : NULL;
    uint64_t n_steps = 1 + (set != NULL ? set->size_bytes / 16 : 0); /* of each character */
    size_t begin = SIZE_MAX, end = 0;
    for (size_t at = 0; at < s->size_bytes && tw_jinja_step(j, n_steps);) {
        uint32_t code;
        size_t n = tw_jinja_char(s, at, &code);
        if (!strips(set, code)) {
            begin = begin != SIZE_MAX ? begin : at;
            end = at + n;
        }
        at += n;
    }
    begin = (variant & LEFT) == 0 ? 0 : begin != SIZE_MAX ? begin : s->size_bytes;
    end = (variant & RIGHT) == 0 ? s->size_bytes : end;
    return tw_jinja_failed(j) ? a[0] : tw_jinja_part(j, a[0], begin, end > begin ? end - begin : 0);
}

/* One text or a tuple of them, at the beginning or the end. */
TW_JINJA_ROW(has_affix)
{
    const struct tw_jinja_string *s = a[0].string;
    struct tw_jinja_list single = {.items = &a[1], .n_items = 1};
    const struct tw_jinja_list *list = a[1].kind == TW_JINJA_TUPLE ? a[1].list : &single;
    bool found = false;
    for (size_t i = 0; i < list->n_items && !found && tw_jinja_step(j, 1); i++) {
        const struct tw_jinja_string *affix = tw_jinja_string_argument(j, list->items[i]);
        size_t n = affix->size_bytes;
        found = n == 0 ||
                (n <= s->size_bytes && tw_jinja_step(j, n / 64) &&
                 memcmp(s->data + (variant == RIGHT ? s->size_bytes - n : 0), affix->data, n) == 0);
    }
    return tw_jinja_bool(found);
}

/* ---- replace, split, join ---- */

/* variant: whether the arguments are made texts, as the filter does. */
TW_JINJA_ROW(replace)
{
    const struct tw_jinja_string *s = a[0].string;
    struct tw_jinja_value new = variant ? tw_jinja_str(j, a[2]) : a[2];
    const struct tw_jinja_string *what =
        tw_jinja_string_argument(j, variant ? tw_jinja_str(j, a[1]) : a[1]);
    int64_t most = tw_jinja_is_given(a[3]) ? tw_jinja_int_argument(j, a[3], -1) : -1;
    struct tw_jinja_builder b = tw_jinja_builder(j);
    size_t from = 0;
    tw_jinja_string_argument(j, new);
    if (!tw_jinja_failed(j) && what->size_bytes == 0) {
        return tw_jinja_fail(j, "replace needs a text to replace that is not empty");
    }
    while (most-- != 0 && tw_jinja_step(j, 1)) {
        size_t hit = tw_jinja_find(j, s, from, what);
        if (hit == SIZE_MAX) {
            break;
        }
        tw_jinja_put_part(&b, s, from, hit - from);
        tw_jinja_put_value(&b, new);
        from = hit + what->size_bytes;
    }
    tw_jinja_put_part(&b, s, from, s->size_bytes - from);
    return tw_jinja_built(&b);
}

static void append_part(struct tw_jinja *j, struct tw_jinja_value list, struct tw_jinja_value text,
                        size_t from, size_t end)
{
    tw_jinja_append(j, list.list, tw_jinja_part(j, text, from, end - from));
}

/* At runs of white space; none at the ends. */
static void split_words(struct tw_jinja *j, struct tw_jinja_value text, struct tw_jinja_value list,
                        int64_t most)
{
    const struct tw_jinja_string *s = text.string;
    size_t begin = SIZE_MAX;
    for (size_t at = 0, n; at < s->size_bytes && tw_jinja_step(j, 1); at += n) {
        uint32_t code;
        n = tw_jinja_char(s, at, &code);
        bool is_space = tw_jinja_is_space(code);
        if (is_space && begin != SIZE_MAX) {
            append_part(j, list, text, begin, at);
            begin = SIZE_MAX;
            most--;
        } else if (!is_space && begin == SIZE_MAX) {
            begin = at;
            if (most == 0) {
                break;
            }
        }
    }
    if (begin != SIZE_MAX) {
        append_part(j, list, text, begin, s->size_bytes);
    }
}

TW_JINJA_ROW(split)
{
    struct tw_jinja_value list = tw_jinja_list(j, TW_JINJA_LIST);
    int64_t most = tw_jinja_int_argument(j, a[2], -1);
    if (!tw_jinja_is_given(a[1])) {
        split_words(j, a[0], list, most);
        return list;
    }
    const struct tw_jinja_string *what = tw_jinja_string_argument(j, a[1]);
    size_t at = 0, hit;
    if (tw_jinja_failed(j) || what->size_bytes == 0) {
        return tw_jinja_fail(j, "split() needs a text to split at that is not empty");
    }
    while (most-- != 0 && tw_jinja_step(j, 1) &&
           (hit = tw_jinja_find(j, a[0].string, at, what)) != SIZE_MAX) {
        append_part(j, list, a[0], at, hit);
        at = hit + what->size_bytes;
    }
    append_part(j, list, a[0], at, a[0].string->size_bytes);
    return list;
}

/* A number of spaces, or the text itself; its lines get it in front. */
static struct tw_jinja_value spaces(struct tw_jinja *j, struct tw_jinja_value width,
                                    int64_t if_absent)
{
    if (width.kind == TW_JINJA_STRING) {
        return width;
    }
    return tw_jinja_operate(j, '*', tw_jinja_string(j, " ", 1, false),
                            tw_jinja_int(tw_jinja_int_argument(j, width, if_absent)));
}

TW_JINJA_ROW(indent)
{
    struct tw_jinja_builder b = tw_jinja_builder(j);
    struct tw_jinja_value space = spaces(j, a[1], 4);
    const struct tw_jinja_string *s = tw_jinja_string_argument(j, a[0]);
    for (size_t at = 0; at <= s->size_bytes && tw_jinja_step(j, 1);) {
        const char *hit =
            at < s->size_bytes ? memchr(s->data + at, '\n', s->size_bytes - at) : NULL;
        size_t end = hit != NULL ? (size_t)(hit - s->data) : s->size_bytes;
        if (at == 0 ? tw_jinja_truth(a[2]) : end > at || tw_jinja_truth(a[3])) {
            tw_jinja_put_value(&b, space);
        }
        tw_jinja_put_part(&b, s, at, end - at + (hit != NULL));
        at = end + 1;
    }
    return tw_jinja_built(&b);
}

/* ---- numbers, JSON, any value ---- */

TW_JINJA_ROW(string)
{
    return a[0];
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* A text as a number, also +1, .5 and 5. */
static struct tw_jinja_value read_number(struct tw_jinja *j, struct tw_jinja_value text)
{
    struct tw_jinja_value given[] = {text, tw_jinja_none()};
    const struct tw_jinja_string *s = strip(j, LEFT | RIGHT, given, NULL).string;
    struct tw_jinja_builder b = tw_jinja_builder(j);
    if (tw_jinja_failed(j) || s->size_bytes == 0) {
        return tw_jinja_undefined(NULL);
    }
    size_t n = s->size_bytes, from = s->data[0] == '-' || s->data[0] == '+';
    n -= n >= 2 && s->data[n - 1] == '.' && is_digit(s->data[n - 2]);
    while (from + 1 < n && s->data[from] == '0' && is_digit(s->data[from + 1])) {
        from++;
    }
    tw_jinja_put_text(&b, s->data[0] == '-' ? "-" : "", true);
    tw_jinja_put_text(&b, from < n && s->data[from] == '.' ? "0" : "", true);
    if (from < n && !is_digit(s->data[from]) && s->data[from] != '.') {
        return tw_jinja_undefined(NULL);
    }
    tw_jinja_put(&b, s->data + from, n - from, true);
    return b.size_bytes > 0 ? tw_jinja_number(j, b.data, b.size_bytes) : tw_jinja_undefined(NULL);
}

/* Of texts that say something else it is the default. */
TW_JINJA_ROW(to_int)
{
    struct tw_jinja_value number = a[0];
    if (a[0].kind == TW_JINJA_UNDEFINED) {
        return tw_jinja_fail_undefined(j, a[0]);
    }
    if (a[0].kind == TW_JINJA_STRING) {
        number = read_number(j, a[0]);
        number.is_input = true;
    }
    if (!tw_jinja_is_number(number)) {
        return a[1].kind != TW_JINJA_ABSENT ? a[1] : tw_jinja_int(0);
    }
    if (number.kind == TW_JINJA_REAL && !(number.real > -9e18 && number.real < 9e18)) {
        return tw_jinja_fail_limit(j, "a number has more than 64 bits");
    }
    struct tw_jinja_value value =
        tw_jinja_int(number.kind == TW_JINJA_REAL ? (int64_t)number.real : tw_jinja_as_int(number));
    value.is_input = number.is_input;
    return value;
}

TW_JINJA_ROW(or_default)
{
    bool is_missing =
        a[0].kind == TW_JINJA_UNDEFINED || (tw_jinja_truth(a[2]) && !tw_jinja_truth(a[0]));
    return !is_missing                    ? a[0]
           : a[1].kind == TW_JINJA_ABSENT ? tw_jinja_string(j, "", 0, false)
                                          : a[1];
}

/* As json.dumps with the given arguments. */
TW_JINJA_ROW(to_json)
{
    struct tw_jinja_builder b = tw_jinja_builder(j);
    struct tw_jinja_json_style style = {.ensure_ascii = tw_jinja_truth(a[1]),
                                        .is_indented = tw_jinja_is_given(a[2])};
    if (style.is_indented) {
        style.indent = spaces(j, a[2], 0);
    }
    const char *comma = style.is_indented ? "," : ", ";
    style.item_separator = tw_jinja_string(j, comma, strlen(comma), false);
    style.key_separator = tw_jinja_string(j, ": ", 2, false);
    if (tw_jinja_is_given(a[3])) {
        struct tw_jinja_value pair = tw_jinja_collect(j, a[3], TW_JINJA_TUPLE);
        if (tw_jinja_failed(j) || pair.list->n_items != 2) {
            return tw_jinja_fail(j, "tojson needs two separators");
        }
        style.item_separator = pair.list->items[0];
        style.key_separator = pair.list->items[1];
    }
    tw_jinja_put_json(&b, a[0], &style);
    return tw_jinja_built(&b);
}

TW_JINJA_ROW(from_json)
{
    const struct tw_jinja_string *s = tw_jinja_string_argument(j, a[0]);
    json_t *json = NULL;
    struct tw_error error = {0};
    if (s->size_bytes > TW_LIMIT_JINJA_SOURCE_BYTES || !tw_jinja_step(j, s->size_bytes)) {
        return tw_jinja_fail_limit(j, "from_json reads at most %u bytes",
                                   TW_LIMIT_JINJA_SOURCE_BYTES);
    }
    if (tw_json_parse(s->size_bytes > 0 ? s->data : "", s->size_bytes, "text", &json, &error) !=
        TW_OK) {
        return tw_jinja_fail(j, "from_json: %.100s", error.text);
    }
    struct tw_jinja_value value = tw_jinja_from_json(j, json, tw_jinja_has_input(s));
    json_decref(json);
    return value;
}

enum {
    FILTER = TW_JINJA_IS_FILTER,
    METHOD = TW_JINJA_OF_TEXT,
    ON_TEXT = TW_JINJA_IS_FILTER | TW_JINJA_AS_TEXT,
    BOTH = TW_JINJA_IS_FILTER | TW_JINJA_OF_TEXT | TW_JINJA_AS_TEXT
};

const struct tw_jinja_builtin tw_jinja_text_rows[] = {
    {"upper", BOTH, in_case, UPPER, "", 0},
    {"lower", BOTH, in_case, LOWER, "", 0},
    {"capitalize", BOTH, in_case, CAPITALIZE, "", 0},
    {"title", METHOD, in_case, TITLE, "", 0},
    {"trim", ON_TEXT, strip, LEFT | RIGHT, "chars", 0},
    {"strip", METHOD, strip, LEFT | RIGHT, ".", 0},
    {"lstrip", METHOD, strip, LEFT, ".", 0},
    {"rstrip", METHOD, strip, RIGHT, ".", 0},
    {"startswith", METHOD, has_affix, LEFT, ".", 1},
    {"endswith", METHOD, has_affix, RIGHT, ".", 1},
    {"replace", METHOD, replace, false, ". . .", 2},
    {"replace", ON_TEXT, replace, true, "old new count", 2},
    {"split", METHOD, split, 0, "sep maxsplit", 0},
    {"indent", FILTER, indent, 0, "width first blank", 0},
    {"string", ON_TEXT, string, 0, "", 0},
    {"safe", ON_TEXT, string, 0, "", 0},
    {"int", FILTER, to_int, 0, "default", 0},
    {"default", FILTER, or_default, 0, "default_value boolean", 0},
    {"d", FILTER, or_default, 0, "default_value boolean", 0},
    {"tojson", FILTER, to_json, 0, "ensure_ascii indent separators", 0},
    {"from_json", FILTER, from_json, 0, "", 0},
    {NULL, 0, NULL, 0, NULL, 0},
};
