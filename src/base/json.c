#include "base/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

enum tw_status tw_json_parse(const char *text, size_t text_bytes, const char *name,
                             json_t **ret_value, struct tw_error *error)
{
    json_error_t reason;
    json_t *value = json_loadb(text, text_bytes, JSON_DECODE_ANY | JSON_ALLOW_NUL, &reason);
    if (value == NULL) {
        return tw_error_set(error, TW_ERR_FORMAT, (uint64_t)reason.position,
                            "%s: not valid JSON at line %d, column %d: %s", name, reason.line,
                            reason.column, reason.text);
    }
    *ret_value = value;
    return TW_OK;
}

enum tw_status tw_json_load(const char *path, size_t bound_bytes, json_t **ret_value,
                            struct tw_error *error)
{
    struct tw_file_map map;
    enum tw_status status = tw_file_map_open(path, &map, error);
    if (status != TW_OK) {
        return status;
    }
    if (map.size_bytes > bound_bytes) {
        status = tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                              "'%s' has %zu bytes; at most %zu are read", path, map.size_bytes,
                              bound_bytes);
    } else {
        const char *text = map.data != NULL ? (const char *)map.data : "";
        status = tw_json_parse(text, map.size_bytes, path, ret_value, error);
    }
    tw_file_map_close(&map);
    return status;
}

void tw_json_begin(struct tw_json_writer *writer, struct tw_buf *buf)
{
    *writer = (struct tw_json_writer){.buf = buf};
}

static void before_value(struct tw_json_writer *writer)
{
    if (writer->needs_comma) {
        tw_buf_append(writer->buf, ",", 1);
    }
    writer->needs_comma = true;
}

static void open_bracket(struct tw_json_writer *writer, const char *bracket)
{
    before_value(writer);
    tw_buf_append(writer->buf, bracket, 1);
    writer->depth++;
    writer->needs_comma = false;
}

static void close_bracket(struct tw_json_writer *writer, const char *bracket)
{
    tw_buf_append(writer->buf, bracket, 1);
    writer->depth--;
    writer->needs_comma = true;
}

void tw_json_object_begin(struct tw_json_writer *writer)
{
    open_bracket(writer, "{");
}

void tw_json_object_end(struct tw_json_writer *writer)
{
    close_bracket(writer, "}");
}

void tw_json_array_begin(struct tw_json_writer *writer)
{
    open_bracket(writer, "[");
}

void tw_json_array_end(struct tw_json_writer *writer)
{
    close_bracket(writer, "]");
}

void tw_json_key(struct tw_json_writer *writer, const char *key)
{
    tw_json_text(writer, key);
    tw_buf_append(writer->buf, ":", 1);
    writer->needs_comma = false;
}

/* Length of the valid UTF-8 sequence at p (1..4), or 0. */
static size_t utf8_length(const unsigned char *p, size_t left)
{
    unsigned char c = p[0];
    size_t n = c < 0x80 ? 1 : c >= 0xc2 && c < 0xe0 ? 2 : (c & 0xf0) == 0xe0 ? 3 : 0;
    n = c >= 0xf0 && c <= 0xf4 ? 4 : n;
    if (n == 0 || n > left) {
        return 0;
    }
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    bool overlong = (c == 0xe0 && p[1] < 0xa0) || (c == 0xf0 && p[1] < 0x90);
    bool beyond = (c == 0xed && p[1] >= 0xa0) || (c == 0xf4 && p[1] >= 0x90);
    return overlong || beyond ? 0 : n;
}

static void append_escaped(struct tw_buf *buf, unsigned char c)
{
    static const char shorts[32] = {['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n',
                                    ['\f'] = 'f', ['\r'] = 'r'};
    if (c == '"' || c == '\\') {
        char pair[2] = {'\\', (char)c};
        tw_buf_append(buf, pair, 2);
    } else if (shorts[c] != 0) {
        char pair[2] = {'\\', shorts[c]};
        tw_buf_append(buf, pair, 2);
    } else {
        tw_buf_append_format(buf, "\\u%04x", c);
    }
}

void tw_json_string(struct tw_json_writer *writer, const char *text, size_t text_bytes)
{
    before_value(writer);
    struct tw_buf *buf = writer->buf;
    const unsigned char *p = (const unsigned char *)text;
    const unsigned char *end = p + text_bytes;
    tw_buf_append(buf, "\"", 1);
    while (p < end) {
        size_t n = utf8_length(p, (size_t)(end - p));
        if (n == 0) {
            tw_buf_append(buf, "\xef\xbf\xbd", 3);
            n = 1;
        } else if (n == 1 && (*p < 0x20 || *p == '"' || *p == '\\')) {
            append_escaped(buf, *p);
        } else {
            tw_buf_append(buf, p, n);
        }
        p += n;
    }
    tw_buf_append(buf, "\"", 1);
}

void tw_json_text(struct tw_json_writer *writer, const char *text)
{
    tw_json_string(writer, text, strlen(text));
}

void tw_json_int(struct tw_json_writer *writer, int64_t value)
{
    before_value(writer);
    tw_buf_append_format(writer->buf, "%" PRId64, value);
}

/* 17 digits always read back equal; fewer often do. The decimal point of the locale is put right,
 * since printf follows it. */
void tw_json_double(struct tw_json_writer *writer, double value)
{
    if (!isfinite(value)) {
        tw_json_null(writer);
        return;
    }
    before_value(writer);
    char text[40];
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value) {
            break;
        }
    }
    for (char *p = text; *p != '\0'; p++) {
        if (strchr("0123456789+-e", *p) == NULL) {
            *p = '.';
        }
    }
    tw_buf_append_text(writer->buf, text);
}

void tw_json_bool(struct tw_json_writer *writer, bool value)
{
    before_value(writer);
    tw_buf_append_text(writer->buf, value ? "true" : "false");
}

void tw_json_null(struct tw_json_writer *writer)
{
    before_value(writer);
    tw_buf_append_text(writer->buf, "null");
}
