/* json.h: JSON read with jansson, written by us.
 *
 * Reading: jansson's tree, with errors in our form and accessors that name the place of what is
 * wrong. Writing: straight into a buffer; doubles in the shortest form that reads back equal,
 * independent of the locale; invalid UTF-8 becomes U+FFFD, and what steers a terminal is escaped.
 */
#ifndef TW_BASE_JSON_H
#define TW_BASE_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/status.h"

/* Whether a text may be given to a parser: TW_ERR_LIMIT beyond TW_LIMIT_JSON_DEPTH brackets or
 * where the tree would pass TW_LIMIT_JSON_TREE_BYTES. It need not be JSON. */
enum tw_status tw_json_check(const char *text, size_t text_bytes, const char *name,
                             struct tw_error *error);

/* Parses one JSON value that fills text. name goes into messages ("config.json"). The caller owns
 * *ret_value and frees it with json_decref. Integers beyond 64 bits become reals: Hugging Face
 * files write "no limit" as 10^30. Of a key that comes twice the last value counts.
 * Errors: TW_ERR_FORMAT with the byte offset; TW_ERR_LIMIT as tw_json_check. */
enum tw_status tw_json_parse(const char *text, size_t text_bytes, const char *name,
                             json_t **ret_value, struct tw_error *error);

/* The same for a value that is to fill a line of a file: the message has no place in it, and
 * *ret_column says where in the line it is wrong, from 1; 0 for an error without a place. */
enum tw_status tw_json_parse_line(const char *line, size_t line_bytes, json_t **ret_value,
                                  size_t *ret_column, struct tw_error *error);

/* Parses a regular file of at most bound_bytes. */
enum tw_status tw_json_load(const char *path, size_t bound_bytes, json_t **ret_value,
                            struct tw_error *error);

/* The whole text, as strtod reads it with a decimal point whatever the locale: a finite number. */
bool tw_json_number_of(const char *text, double *ret_number);

/* Writer. Commas and colons are put where they belong; the caller keeps begin and end in pairs.
 * Failure (bound, memory) shows in buf->failed. */
struct tw_json_writer {
    struct tw_buf *buf;
    int depth;
    bool needs_comma;
};

void tw_json_begin(struct tw_json_writer *writer, struct tw_buf *buf);
void tw_json_object_begin(struct tw_json_writer *writer);
void tw_json_object_end(struct tw_json_writer *writer);
void tw_json_array_begin(struct tw_json_writer *writer);
void tw_json_array_end(struct tw_json_writer *writer);
void tw_json_key(struct tw_json_writer *writer, const char *key);
void tw_json_string(struct tw_json_writer *writer, const char *text, size_t text_bytes);
void tw_json_text(struct tw_json_writer *writer, const char *text);
void tw_json_int(struct tw_json_writer *writer, int64_t value);
void tw_json_uint(struct tw_json_writer *writer, uint64_t value);
/* NaN and infinities become null: JSON has no word for them. */
void tw_json_double(struct tw_json_writer *writer, double value);
/* The same for the digits of a float: at most nine, and faster. */
void tw_json_float(struct tw_json_writer *writer, float value);
void tw_json_bool(struct tw_json_writer *writer, bool value);
void tw_json_null(struct tw_json_writer *writer);
/* A key and its value. */
void tw_json_put_text(struct tw_json_writer *writer, const char *key, const char *text);
void tw_json_put_int(struct tw_json_writer *writer, const char *key, int64_t value);
void tw_json_put_uint(struct tw_json_writer *writer, const char *key, uint64_t value);
void tw_json_put_double(struct tw_json_writer *writer, const char *key, double value);
void tw_json_put_bool(struct tw_json_writer *writer, const char *key, bool value);
void tw_json_put_null(struct tw_json_writer *writer, const char *key);
/* A tree that was read, keys in their order. Recurses as deep as the tree. */
void tw_json_value(struct tw_json_writer *writer, const json_t *value);

#endif
