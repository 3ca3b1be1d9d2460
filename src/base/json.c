#define _GNU_SOURCE
#include "base/json.h"

#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/printable.h"

/* The index after the string that begins with the quote at i. */
static size_t skip_string(const char *text, size_t text_bytes, size_t i)
{
    for (i++; i < text_bytes && text[i] != '"'; i++) {
        if (text[i] == '\\') {
            i++;
        }
    }
    return i < text_bytes ? i + 1 : text_bytes;
}

/* About what jansson takes for the value that a byte begins or announces, beside its text. */
static size_t tree_bytes(char c)
{
    return c == '{' ? 240 : c == '[' ? 144 : c == ',' || c == ':' ? 96 : 0;
}

/* jansson recurses into brackets, and so does everyone who walks its tree; and it makes hundreds of
 * bytes of the two of an empty object. */
enum tw_status tw_json_check(const char *text, size_t text_bytes, const char *name,
                             struct tw_error *error)
{
    int depth = 0;
    size_t n_tree_bytes = 0;
    size_t i = 0;
    while (i < text_bytes) {
        if (text[i] == '"') {
            i = skip_string(text, text_bytes, i);
            continue;
        }
        if (text[i] == '[' || text[i] == '{') {
            depth++;
        } else if ((text[i] == ']' || text[i] == '}') && depth > 0) {
            depth--;
        }
        n_tree_bytes += tree_bytes(text[i]);
        if (n_tree_bytes > TW_LIMIT_JSON_TREE_BYTES) {
            return tw_error_set(error, TW_ERR_LIMIT, i,
                                "%s: JSON of so many values that they would take more than %zu "
                                "bytes of memory",
                                name, TW_LIMIT_JSON_TREE_BYTES);
        }
        if (depth > TW_LIMIT_JSON_DEPTH) {
            return tw_error_set(error, TW_ERR_LIMIT, i, "%s: JSON nested deeper than %d", name,
                                TW_LIMIT_JSON_DEPTH);
        }
        i++;
    }
    return TW_OK;
}

static bool is_number_byte(char c)
{
    return (c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E';
}

/* An integer that int64_t cannot hold. number: a run of number bytes. */
static bool is_wide_integer(const char *number, size_t n_bytes)
{
    bool negative = number[0] == '-';
    uint64_t value = 0;
    bool overflow = false;
    for (size_t i = negative ? 1 : 0; i < n_bytes; i++) {
        if (number[i] < '0' || number[i] > '9') {
            return false;
        }
        overflow = overflow || __builtin_mul_overflow(value, 10u, &value) ||
                   __builtin_add_overflow(value, (uint64_t)(number[i] - '0'), &value);
    }
    return overflow || value > (uint64_t)INT64_MAX + (negative ? 1 : 0);
}

/* Copies text and makes a real of every integer that is too wide, by ".0" behind it. */
static void append_widened(struct tw_buf *buf, const char *text, size_t text_bytes)
{
    size_t i = 0;
    while (i < text_bytes) {
        size_t begin = i;
        if (text[i] == '"') {
            i = skip_string(text, text_bytes, i);
            tw_buf_append(buf, text + begin, i - begin);
            continue;
        }
        while (i < text_bytes && is_number_byte(text[i])) {
            i++;
        }
        bool wide = i != begin && is_wide_integer(text + begin, i - begin);
        i += i == begin ? 1 : 0;
        tw_buf_append(buf, text + begin, i - begin);
        if (wide) {
            tw_buf_append(buf, ".0", 2);
        }
    }
}

/* Numbers follow the decimal point of the calling thread's locale, in printf and strtod as in
 * jansson, which even aborts where that point is more than one byte. JSON knows the dot only. The C
 * locale is a constant of the C library: there is nothing to free. */
static locale_t enter_plain_locale(void)
{
    return uselocale(newlocale(LC_ALL_MASK, "C", (locale_t)0));
}

static json_t *load(const char *text, size_t text_bytes, json_error_t *reason)
{
    locale_t old = enter_plain_locale();
    json_t *value = json_loadb(text, text_bytes, JSON_DECODE_ANY | JSON_ALLOW_NUL, reason);
    uselocale(old);
    return value;
}

/* The rare second attempt, after jansson met a number that it cannot hold. */
static json_t *load_widened(const char *text, size_t text_bytes, json_error_t *reason)
{
    struct tw_buf buf;
    tw_buf_init(&buf, SIZE_MAX);
    append_widened(&buf, text, text_bytes);
    json_t *value = buf.failed ? NULL : load(buf.data, buf.size_bytes, reason);
    tw_buf_free(&buf);
    return value;
}

/* *ret_value is NULL where the text is no JSON, for *ret_reason. */
static enum tw_status parse(const char *text, size_t text_bytes, const char *name,
                            json_t **ret_value, json_error_t *ret_reason, struct tw_error *error)
{
    enum tw_status status = tw_json_check(text, text_bytes, name, error);
    if (status != TW_OK) {
        return status;
    }
    json_t *value = load(text, text_bytes, ret_reason);
    if (value == NULL && json_error_code(ret_reason) == json_error_numeric_overflow) {
        value = load_widened(text, text_bytes, ret_reason);
    }
    if (value == NULL && json_error_code(ret_reason) == json_error_out_of_memory) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory to read %s", name);
    }
    *ret_value = value;
    return TW_OK;
}

enum tw_status tw_json_parse_line(const char *line, size_t line_bytes, json_t **ret_value,
                                  size_t *ret_column, struct tw_error *error)
{
    json_error_t reason;
    json_t *value = NULL;
    *ret_column = 0;
    enum tw_status status = parse(line, line_bytes, "the line", &value, &reason, error);
    if (status == TW_OK && value == NULL) {
        bool is_cut = json_error_code(&reason) == json_error_premature_end_of_input;
        *ret_column = (size_t)(reason.column > 0 ? reason.column : 1);
        return tw_error_set(error, TW_ERR_FORMAT, (uint64_t)reason.position, "not valid JSON: %s",
                            is_cut ? "the line ends too early; every row is an object on a line of "
                                     "its own"
                                   : reason.text);
    }
    if (status == TW_OK) {
        *ret_value = value;
    }
    return status;
}

enum tw_status tw_json_parse(const char *text, size_t text_bytes, const char *name,
                             json_t **ret_value, struct tw_error *error)
{
    json_error_t reason;
    json_t *value = NULL;
    enum tw_status status = parse(text, text_bytes, name, &value, &reason, error);
    if (status != TW_OK) {
        return status;
    }
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
    struct tw_buf text;
    enum tw_status status = tw_file_load(path, bound_bytes, &text, error);
    if (status != TW_OK) {
        return status;
    }
    const char *data = text.data != NULL ? text.data : "";
    status = tw_json_parse(data, text.size_bytes, path, ret_value, error);
    tw_buf_free(&text);
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

/* Of a character of one to three bytes. */
static unsigned code_of(const char *text, size_t n_bytes)
{
    const unsigned char *p = (const unsigned char *)text;
    return n_bytes == 1   ? p[0]
           : n_bytes == 2 ? (p[0] & 0x1fu) << 6 | (p[1] & 0x3fu)
                          : (p[0] & 0x0fu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);
}

static void append_escaped(struct tw_buf *buf, unsigned c)
{
    static const char shorts[32] = {
        ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
    if (c == '"' || c == '\\') {
        char pair[2] = {'\\', (char)c};
        tw_buf_append(buf, pair, 2);
    } else if (c < sizeof shorts && shorts[c] != 0) {
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
    tw_buf_append(buf, "\"", 1);
    for (size_t i = 0; i < text_bytes;) {
        size_t n = tw_printable_utf8_bytes(text + i, text_bytes - i);
        if (n == 0) {
            tw_buf_append(buf, "\xef\xbf\xbd", 3);
            n = 1;
        } else if (tw_printable_steers(text + i, n) || text[i] == '"' || text[i] == '\\') {
            append_escaped(buf, code_of(text + i, n));
        } else {
            tw_buf_append(buf, text + i, n);
        }
        i += n;
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

void tw_json_uint(struct tw_json_writer *writer, uint64_t value)
{
    before_value(writer);
    tw_buf_append_format(writer->buf, "%" PRIu64, value);
}

static void write_number(struct tw_json_writer *writer, const char *text)
{
    before_value(writer);
    tw_buf_append_text(writer->buf, text);
    if (strcmp(text, "-0") == 0) {
        tw_buf_append_text(writer->buf, ".0"); /* otherwise it would be read as the integer 0 */
    }
}

/* 17 digits always read back equal; fewer often do. */
void tw_json_double(struct tw_json_writer *writer, double value)
{
    char text[40];
    if (!isfinite(value)) {
        tw_json_null(writer);
        return;
    }
    locale_t old = enter_plain_locale();
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value) {
            break;
        }
    }
    uselocale(old);
    write_number(writer, text);
}

/* Nine digits always read back equal; most floats need eight or nine. */
void tw_json_float(struct tw_json_writer *writer, float value)
{
    char text[40];
    if (!isfinite(value)) {
        tw_json_null(writer);
        return;
    }
    locale_t old = enter_plain_locale();
    snprintf(text, sizeof text, "%.8g", (double)value);
    if (strtof(text, NULL) != value) {
        snprintf(text, sizeof text, "%.9g", (double)value);
    }
    uselocale(old);
    write_number(writer, text);
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

void tw_json_put_text(struct tw_json_writer *writer, const char *key, const char *text)
{
    tw_json_key(writer, key);
    tw_json_text(writer, text);
}

void tw_json_put_int(struct tw_json_writer *writer, const char *key, int64_t value)
{
    tw_json_key(writer, key);
    tw_json_int(writer, value);
}

void tw_json_put_uint(struct tw_json_writer *writer, const char *key, uint64_t value)
{
    tw_json_key(writer, key);
    tw_json_uint(writer, value);
}

void tw_json_put_double(struct tw_json_writer *writer, const char *key, double value)
{
    tw_json_key(writer, key);
    tw_json_double(writer, value);
}

void tw_json_put_bool(struct tw_json_writer *writer, const char *key, bool value)
{
    tw_json_key(writer, key);
    tw_json_bool(writer, value);
}

void tw_json_put_null(struct tw_json_writer *writer, const char *key)
{
    tw_json_key(writer, key);
    tw_json_null(writer);
}

static void write_object(struct tw_json_writer *writer, const json_t *object)
{
    const char *key;
    json_t *item;
    tw_json_object_begin(writer);
    json_object_foreach ((json_t *)(uintptr_t)object, key, item) {
        tw_json_key(writer, key);
        tw_json_value(writer, item);
    }
    tw_json_object_end(writer);
}

static void write_array(struct tw_json_writer *writer, const json_t *array)
{
    tw_json_array_begin(writer);
    for (size_t i = 0; i < json_array_size(array); i++) {
        tw_json_value(writer, json_array_get(array, i));
    }
    tw_json_array_end(writer);
}

void tw_json_value(struct tw_json_writer *writer, const json_t *value)
{
    if (json_is_object(value)) {
        write_object(writer, value);
    } else if (json_is_array(value)) {
        write_array(writer, value);
    } else if (json_is_string(value)) {
        tw_json_string(writer, json_string_value(value), json_string_length(value));
    } else if (json_is_integer(value)) {
        tw_json_int(writer, json_integer_value(value));
    } else if (json_is_real(value)) {
        tw_json_double(writer, json_real_value(value));
    } else if (json_is_boolean(value)) {
        tw_json_bool(writer, json_is_true(value));
    } else {
        tw_json_null(writer);
    }
}

bool tw_json_number_of(const char *text, double *ret_number)
{
    char *end;
    locale_t old = enter_plain_locale();
    double number = strtod(text, &end);
    uselocale(old);
    if (end == text || *end != '\0' || !isfinite(number)) {
        return false;
    }
    *ret_number = number;
    return true;
}
