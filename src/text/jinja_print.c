#include <inttypes.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "text/jinja_value.h"

/* ---- numbers and texts ---- */

/* How many digits it takes to read the number back. */
static int count_digits(double value)
{
    struct tw_buf buf;
    struct tw_json_writer writer;
    int n = 0;
    tw_buf_init(&buf, 64);
    tw_json_begin(&writer, &buf);
    tw_json_double(&writer, value);
    tw_buf_append(&buf, "", 1);
    for (const char *p = buf.failed ? "" : buf.data; *p != '\0' && *p != 'e'; p++) {
        n += (*p >= '1' && *p <= '9') || (*p == '0' && n > 0);
    }
    tw_buf_free(&buf);
    return n > 0 ? n : 1;
}

/* As Python writes it: 0.1, 100000.0, 1e+16. */
static void print_real(double value, char ret_text[40])
{
    int n = count_digits(value), exponent = 0;
    locale_t old = uselocale(newlocale(LC_ALL_MASK, "C", (locale_t)0));
    snprintf(ret_text, 40, "%.*e", n - 1, value);
    const char *digits = strchr(ret_text, 'e') + 2;
    for (const char *p = digits; *p != '\0'; p++) {
        exponent = exponent * 10 + *p - '0';
    }
    exponent = digits[-1] == '-' ? -exponent : exponent;
    if (exponent >= -4 && exponent < 16) {
        int n_decimals = n - 1 - exponent;
        snprintf(ret_text, 40, "%.*f", n_decimals > 1 ? n_decimals : 1, value);
    }
    uselocale(old);
}

static void put_quoted(struct tw_jinja_builder *b, const struct tw_jinja_string *s)
{
    bool has_single = s->size_bytes > 0 && memchr(s->data, '\'', s->size_bytes) != NULL;
    bool has_double = s->size_bytes > 0 && memchr(s->data, '"', s->size_bytes) != NULL;
    char quote = has_single && !has_double ? '"' : '\'';
    tw_jinja_put(b, &quote, 1, tw_jinja_has_input(s));
    for (size_t at = 0; at < s->size_bytes && tw_jinja_step(b->j, 1); at++) {
        char c = s->data[at], text[8];
        static const char named[] = "\n\r\t\\", letters[] = "nrt\\";
        const char *hit = c == quote ? &c : c != '\0' ? strchr(named, c) : NULL;
        if (hit != NULL) {
            snprintf(text, sizeof text, "\\%c", hit == &c ? c : letters[hit - named]);
        } else if ((unsigned char)c < 0x20 || c == 0x7f) {
            snprintf(text, sizeof text, "\\x%02x", (unsigned char)c);
        } else {
            tw_jinja_put_part(b, s, at, 1);
            continue;
        }
        tw_jinja_put_text(b, text, tw_jinja_is_input(s, at));
    }
    tw_jinja_put(b, &quote, 1, tw_jinja_has_input(s));
}

static void put_json_string(struct tw_jinja_builder *b, const struct tw_jinja_string *s, bool ascii)
{
    tw_jinja_put(b, "\"", 1, tw_jinja_has_input(s));
    for (size_t at = 0; at < s->size_bytes && tw_jinja_step(b->j, 1);) {
        uint32_t code;
        size_t n = tw_jinja_char(s, at, &code);
        static const char named[] = "\"\\\n\r\t\f\b", letters[] = "\"\\nrtfb";
        const char *hit = code != 0 && code < 0x80 ? strchr(named, (int)code) : NULL;
        char text[16];
        if (hit != NULL) {
            snprintf(text, sizeof text, "\\%c", letters[hit - named]);
        } else if (code < 0x20 || (ascii && code >= 0x7f && code < 0x10000)) {
            snprintf(text, sizeof text, "\\u%04" PRIx32, code);
        } else if (ascii && code >= 0x10000) {
            snprintf(text, sizeof text, "\\u%04" PRIx32 "\\u%04" PRIx32,
                     0xd800 + ((code - 0x10000) >> 10), 0xdc00 + ((code - 0x10000) & 0x3ff));
        } else {
            snprintf(text, sizeof text, "%.*s", (int)n, s->data + at);
        }
        tw_jinja_put_text(b, text, tw_jinja_is_input(s, at));
        at += n;
    }
    tw_jinja_put(b, "\"", 1, tw_jinja_has_input(s));
}

/* ---- values in one another ---- */

struct writer {
    struct tw_jinja_builder *b;
    const struct tw_jinja_json_style *json; /* NULL: as repr() shows it */
    size_t level;
};

static void put_any(struct writer *w, struct tw_jinja_value value);

static void put_scalar(struct writer *w, struct tw_jinja_value value)
{
    static const char *const words[][2] = {
        {"Undefined", ""}, {"None", "null"}, {"False", "false"}, {"True", "true"}};
    char text[40];
    if (value.kind == TW_JINJA_INT) {
        snprintf(text, sizeof text, "%" PRId64, value.integer);
    } else if (value.kind == TW_JINJA_REAL) {
        print_real(value.real, text);
    } else {
        int row = value.kind + (value.kind == TW_JINJA_BOOL && value.boolean);
        snprintf(text, sizeof text, "%s", words[row][w->json != NULL]);
    }
    tw_jinja_put_text(w->b, text, value.is_input);
}

static void put_break(struct writer *w, bool is_input)
{
    if (w->json != NULL && w->json->is_indented) {
        tw_jinja_put_text(w->b, "\n", is_input);
        for (size_t i = 0; i < w->level; i++) {
            tw_jinja_put_value(w->b, w->json->indent);
        }
    }
}

/* What stands before item i. */
static void put_separator(struct writer *w, size_t i, bool is_input)
{
    if (i > 0 && w->json != NULL) {
        tw_jinja_put_value(w->b, w->json->item_separator);
    } else {
        tw_jinja_put_text(w->b, i > 0 ? ", " : "", is_input);
    }
    put_break(w, is_input);
}

/* The keys of JSON are texts. */
static void put_key(struct writer *w, struct tw_jinja_value key)
{
    const char *quote = w->json != NULL && key.kind != TW_JINJA_STRING ? "\"" : "";
    tw_jinja_put_text(w->b, quote, key.is_input);
    put_any(w, key);
    tw_jinja_put_text(w->b, quote, key.is_input);
}

static void put_dict(struct writer *w, struct tw_jinja_value value)
{
    const struct tw_jinja_dict *dict = value.dict;
    for (size_t i = 0; i < dict->n_pairs && tw_jinja_step(w->b->j, 1); i++) {
        put_separator(w, i, value.is_input);
        put_key(w, dict->pairs[i].key);
        if (w->json != NULL) {
            tw_jinja_put_value(w->b, w->json->key_separator);
        } else {
            tw_jinja_put_text(w->b, ": ", value.is_input);
        }
        put_any(w, dict->pairs[i].value);
    }
}

static void put_list(struct writer *w, struct tw_jinja_value value)
{
    for (size_t i = 0; i < value.list->n_items && tw_jinja_step(w->b->j, 1); i++) {
        put_separator(w, i, value.is_input);
        put_any(w, value.list->items[i]);
    }
}

static void put_container(struct writer *w, struct tw_jinja_value value)
{
    bool is_dict = value.kind == TW_JINJA_DICT;
    bool is_tuple = value.kind == TW_JINJA_TUPLE && w->json == NULL;
    size_t n = is_dict ? value.dict->n_pairs : value.list->n_items;
    tw_jinja_put_text(w->b, is_dict ? "{" : is_tuple ? "(" : "[", value.is_input);
    w->level++;
    if (is_dict) {
        put_dict(w, value);
    } else {
        put_list(w, value);
    }
    w->level--;
    if (n > 0) {
        put_break(w, value.is_input);
    }
    tw_jinja_put_text(w->b, is_dict ? "}" : !is_tuple ? "]" : n == 1 ? ",)" : ")", value.is_input);
}

static void put_any(struct writer *w, struct tw_jinja_value value)
{
    struct tw_jinja *j = w->b->j;
    if (!tw_jinja_enter(j)) {
        return;
    }
    if (value.kind == TW_JINJA_STRING && w->json != NULL) {
        put_json_string(w->b, value.string, w->json->ensure_ascii);
    } else if (value.kind == TW_JINJA_STRING) {
        put_quoted(w->b, value.string);
    } else if (value.kind == TW_JINJA_UNDEFINED && w->json != NULL) {
        tw_jinja_fail_undefined(j, value);
    } else if (value.kind < TW_JINJA_STRING) {
        put_scalar(w, value);
    } else if (value.kind <= TW_JINJA_DICT) {
        put_container(w, value);
    } else {
        tw_jinja_fail(j, "a namespace, loop, macro or function cannot be printed");
    }
    tw_jinja_leave(j);
}

void tw_jinja_put_value(struct tw_jinja_builder *b, struct tw_jinja_value value)
{
    if (tw_jinja_failed(b->j) || value.kind == TW_JINJA_UNDEFINED) {
        return;
    }
    if (value.kind == TW_JINJA_STRING) {
        tw_jinja_put_part(b, value.string, 0, value.string->size_bytes);
    } else {
        put_any(&(struct writer){.b = b}, value);
    }
}

void tw_jinja_put_json(struct tw_jinja_builder *b, struct tw_jinja_value value,
                       const struct tw_jinja_json_style *style)
{
    put_any(&(struct writer){.b = b, .json = style}, value);
}
