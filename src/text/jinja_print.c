#include <inttypes.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "text/jinja_value.h"

/* ---- str() and repr() ---- */

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

static void put_scalar(struct tw_jinja_builder *b, struct tw_jinja_value value)
{
    char text[40];
    if (value.kind == TW_JINJA_INT) {
        snprintf(text, sizeof text, "%" PRId64, value.integer);
    } else if (value.kind == TW_JINJA_REAL) {
        print_real(value.real, text);
    } else {
        snprintf(text, sizeof text, "%s",
                 value.kind == TW_JINJA_BOOL   ? (value.boolean ? "True" : "False")
                 : value.kind == TW_JINJA_NONE ? "None"
                                               : "Undefined");
    }
    tw_jinja_put_text(b, text, value.is_input);
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

static void put_items(struct tw_jinja_builder *b, struct tw_jinja_value value)
{
    const struct tw_jinja_list *list = value.list;
    bool is_tuple = value.kind == TW_JINJA_TUPLE, is_input = value.is_input;
    tw_jinja_put_text(b, is_tuple ? "(" : "[", is_input);
    for (size_t i = 0; i < list->n_items && tw_jinja_step(b->j, 1); i++) {
        tw_jinja_put_text(b, i > 0 ? ", " : "", is_input);
        tw_jinja_put_repr(b, list->items[i]);
    }
    tw_jinja_put_text(b, !is_tuple ? "]" : list->n_items == 1 ? ",)" : ")", is_input);
}

static void put_pairs(struct tw_jinja_builder *b, struct tw_jinja_value value)
{
    const struct tw_jinja_dict *dict = value.dict;
    tw_jinja_put_text(b, "{", value.is_input);
    for (size_t i = 0; i < dict->n_pairs && tw_jinja_step(b->j, 1); i++) {
        tw_jinja_put_text(b, i > 0 ? ", " : "", value.is_input);
        tw_jinja_put_repr(b, dict->pairs[i].key);
        tw_jinja_put_text(b, ": ", value.is_input);
        tw_jinja_put_repr(b, dict->pairs[i].value);
    }
    tw_jinja_put_text(b, "}", value.is_input);
}

void tw_jinja_put_repr(struct tw_jinja_builder *b, struct tw_jinja_value value)
{
    if (!tw_jinja_enter(b->j)) {
        return;
    }
    if (value.kind < TW_JINJA_STRING) {
        put_scalar(b, value);
    } else if (value.kind == TW_JINJA_STRING) {
        put_quoted(b, value.string);
    } else if (value.kind == TW_JINJA_LIST || value.kind == TW_JINJA_TUPLE) {
        put_items(b, value);
    } else if (value.kind == TW_JINJA_DICT) {
        put_pairs(b, value);
    } else {
        tw_jinja_fail(b->j, "a namespace, loop, macro or function cannot be printed");
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

static void put_json_dict(struct json_writer *w, struct tw_jinja_value value)
{
    const struct tw_jinja_dict *dict = value.dict;
    tw_jinja_put(w->b, "{", 1, value.is_input);
    w->level++;
    for (size_t i = 0; i < dict->n_pairs && tw_jinja_step(w->b->j, 1); i++) {
        if (i > 0) {
            tw_jinja_put_value(w->b, w->style->item_separator);
        }
        put_break(w, value.is_input);
        put_json_key(w, dict->pairs[i].key);
        tw_jinja_put_value(w->b, w->style->key_separator);
        put_json(w, dict->pairs[i].value);
    }
    w->level--;
    if (dict->n_pairs > 0) {
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
                                                     : NULL;
    if (word != NULL) {
        tw_jinja_put_text(w->b, word, value.is_input);
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
                                   : "this kind of value cannot be written as JSON");
    }
    tw_jinja_leave(w->b->j);
}

void tw_jinja_put_json(struct tw_jinja_builder *b, struct tw_jinja_value value,
                       const struct tw_jinja_json_style *style)
{
    struct json_writer w = {.b = b, .style = style};
    put_json(&w, value);
}
