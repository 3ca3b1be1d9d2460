#include "train/rows.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/json.h"
#include "base/mem.h"
#include "text/lines.h"

struct reader {
    tw_row_fn fn;
    void *context;
    struct tw_row_message *messages; /* of the row being read */
    size_t capacity_messages;
    struct tw_error *error;
};

static enum tw_status bad_row(const struct reader *reader, const char *what)
{
    return tw_error_set(reader->error, TW_ERR_FORMAT, TW_NO_POSITION, "%s", what);
}

static struct tw_bytes bytes_of(const json_t *string)
{
    return (struct tw_bytes){json_string_value(string), json_string_length(string)};
}

/* The role's constant name, or NULL. */
static const char *role_of(const json_t *value)
{
    static const char *const roles[] = {"system", "user", "assistant"};
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        if (tw_bytes_equal(bytes_of(value), tw_bytes_of(roles[i]))) {
            return roles[i];
        }
    }
    return NULL;
}

static enum tw_status read_message(const struct reader *reader, const json_t *value, size_t number,
                                   struct tw_row_message *ret_message)
{
    const json_t *role = json_object_get(value, "role");
    const json_t *content = json_object_get(value, "content");
    if (!json_is_string(role) || !json_is_string(content)) {
        return tw_error_set(reader->error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "message %zu lacks a text under \"role\" or \"content\"", number);
    }
    *ret_message = (struct tw_row_message){role_of(role), bytes_of(content)};
    if (ret_message->role == NULL) {
        return tw_error_set(reader->error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "message %zu has the role '%.40s'; expected system, user or assistant",
                            number, json_string_value(role));
    }
    return TW_OK;
}

static enum tw_status reserve_messages(struct reader *reader, size_t n)
{
    if (n == 0 || n > TW_LIMIT_DATA_MESSAGES) {
        return tw_error_set(reader->error, n == 0 ? TW_ERR_FORMAT : TW_ERR_LIMIT, TW_NO_POSITION,
                            "a conversation of %zu messages; 1 to %d are possible", n,
                            TW_LIMIT_DATA_MESSAGES);
    }
    if (n <= reader->capacity_messages) {
        return TW_OK;
    }
    struct tw_row_message *messages = tw_mem_realloc(reader->messages, n, sizeof *reader->messages);
    if (messages == NULL) {
        return tw_error_set(reader->error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a row");
    }
    reader->messages = messages;
    reader->capacity_messages = n;
    return TW_OK;
}

static enum tw_status read_object(struct reader *reader, const json_t *value, struct tw_row row)
{
    const json_t *list = json_object_get(value, "messages");
    const json_t *text = json_object_get(value, "text");
    if (list == NULL) {
        if (!json_is_string(text)) {
            return bad_row(reader, "expected an object with \"messages\" or a \"text\"");
        }
        row.text = bytes_of(text);
        return reader->fn(reader->context, &row, reader->error);
    }
    if (!json_is_array(list)) {
        return bad_row(reader, "expected a list under \"messages\"");
    }
    row.n_messages = json_array_size(list);
    enum tw_status status = reserve_messages(reader, row.n_messages);
    for (size_t i = 0; i < row.n_messages && status == TW_OK; i++) {
        status = read_message(reader, json_array_get(list, i), i + 1, &reader->messages[i]);
    }
    row.messages = reader->messages;
    return status == TW_OK ? reader->fn(reader->context, &row, reader->error) : status;
}

static enum tw_status read_line(struct reader *reader, struct tw_bytes line, struct tw_row row)
{
    if (line.size_bytes > TW_LIMIT_DATA_LINE_BYTES) {
        return tw_error_set(reader->error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "a line of %zu bytes; at most %u are read", line.size_bytes,
                            TW_LIMIT_DATA_LINE_BYTES);
    }
    json_t *value = NULL;
    enum tw_status status =
        tw_json_parse(line.data, line.size_bytes, "the row", &value, reader->error);
    if (status == TW_OK) {
        status = read_object(reader, value, row);
        json_decref(value);
    }
    return status;
}

enum tw_status tw_rows_read(struct tw_bytes text, const char *name, tw_row_fn fn, void *context,
                            struct tw_error *error)
{
    struct reader reader = {.fn = fn, .context = context, .error = error};
    struct tw_lines lines = {.text = text};
    enum tw_status status = TW_OK;
    for (struct tw_bytes line; status == TW_OK && tw_lines_next(&lines, &line);) {
        struct tw_row row = {.line = lines.number, .end_bytes = lines.at};
        status = read_line(&reader, line, row);
    }
    tw_mem_free(reader.messages);
    if (status != TW_OK) {
        tw_error_prefix(error, "%s:%" PRIu64, name, lines.number);
    }
    return status;
}
