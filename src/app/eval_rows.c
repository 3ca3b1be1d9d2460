#include "app/eval_rows.h"

#include <assert.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "base/mem.h"
#include "text/lines.h"

enum { MOST_KEYS = 7 };

/* What a row may expect. Keys are checked by name here, their values by the kind's own check. */
static const struct kind_row {
    const char *name;
    const char *keys[MOST_KEYS]; /* ends with NULL */
} kind_rows[TW_EVAL_KIND_COUNT] = {
    [TW_EVAL_JSON] = {"json", {"kind", "value"}},
    [TW_EVAL_TOOL_CALL] = {"tool_call", {"kind", "name", "arguments"}},
    [TW_EVAL_CONTAINS] = {"contains", {"kind", "all", "none"}},
    [TW_EVAL_EXACT] = {"exact", {"kind", "any"}},
};

/* The last two are what a file of failures has in addition, so that it is a file of rows itself. */
static const char *const row_keys[MOST_KEYS] = {"task",   "messages", "expect",
                                                "values", "answer",   "finish_reason"};
static const char *const message_keys[MOST_KEYS] = {"role", "content"};

const char *tw_eval_kind_name(enum tw_eval_kind kind)
{
    assert(kind >= TW_EVAL_JSON && kind < TW_EVAL_KIND_COUNT);
    return kind_rows[kind].name;
}

/* ---- checks: each error is a sentence without file and line, which are put before it ---- */

static enum tw_status wrong(struct tw_error *error, const char *place, const char *what)
{
    return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION, "%s must be %s", place, what);
}

/* A misspelled key would silently mean something else, so keys that are not known are errors. */
static enum tw_status check_keys(const json_t *object, const char *const *keys, const char *place,
                                 struct tw_error *error)
{
    const char *key;
    json_t *item;
    json_object_foreach ((json_t *)(uintptr_t)object, key, item) {
        size_t i = 0;
        while (keys[i] != NULL && strcmp(keys[i], key) != 0) {
            i++;
        }
        if (keys[i] == NULL) {
            return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION, "%s has an unknown key '%s'",
                                place, key);
        }
    }
    return TW_OK;
}

static bool is_text(const json_t *value)
{
    return json_is_string(value) && json_string_length(value) > 0;
}

/* An array of at least n_least texts that are not empty. */
static bool is_texts(const json_t *value, size_t n_least)
{
    bool good = json_is_array(value) && json_array_size(value) >= n_least;
    for (size_t i = 0; good && i < json_array_size(value); i++) {
        good = is_text(json_array_get(value, i));
    }
    return good;
}

static enum tw_status check_contains(const json_t *expect, struct tw_error *error)
{
    const json_t *all = json_object_get(expect, "all");
    const json_t *none = json_object_get(expect, "none");
    bool good = json_is_array(all);
    for (size_t i = 0; good && i < json_array_size(all); i++) {
        good = is_texts(json_array_get(all, i), 1);
    }
    if (!good) {
        return wrong(error, "expect.all", "an array of groups, each an array of texts");
    }
    if (none != NULL && !is_texts(none, 0)) {
        return wrong(error, "expect.none", "an array of texts");
    }
    if (json_array_size(all) + json_array_size(none) == 0) {
        return wrong(error, "expect.all", "more than an empty array: any answer would be right");
    }
    return TW_OK;
}

static enum tw_status check_kind_fields(const json_t *expect, enum tw_eval_kind kind,
                                        struct tw_error *error)
{
    switch (kind) {
    case TW_EVAL_JSON:
        return json_is_object(json_object_get(expect, "value"))
                   ? TW_OK
                   : wrong(error, "expect.value", "an object");
    case TW_EVAL_TOOL_CALL:
        if (!is_text(json_object_get(expect, "name"))) {
            return wrong(error, "expect.name", "a text");
        }
        return json_is_object(json_object_get(expect, "arguments"))
                   ? TW_OK
                   : wrong(error, "expect.arguments", "an object");
    case TW_EVAL_CONTAINS:
        return check_contains(expect, error);
    case TW_EVAL_EXACT:
        return is_texts(json_object_get(expect, "any"), 1)
                   ? TW_OK
                   : wrong(error, "expect.any", "an array of at least one text");
    case TW_EVAL_KIND_COUNT:
        break;
    }
    assert(false);
    return TW_ERR_FORMAT;
}

static enum tw_status check_expect(const json_t *expect, enum tw_eval_kind *ret_kind,
                                   struct tw_error *error)
{
    if (!json_is_object(expect)) {
        return wrong(error, "expect", "an object");
    }
    const char *name = json_string_value(json_object_get(expect, "kind"));
    enum tw_eval_kind kind = TW_EVAL_JSON;
    while (kind < TW_EVAL_KIND_COUNT && (name == NULL || strcmp(name, kind_rows[kind].name) != 0)) {
        kind++;
    }
    if (kind == TW_EVAL_KIND_COUNT) {
        return wrong(error, "expect.kind", "json, tool_call, contains or exact");
    }
    enum tw_status status = check_keys(expect, kind_rows[kind].keys, "expect", error);
    if (status == TW_OK) {
        status = check_kind_fields(expect, kind, error);
    }
    if (status == TW_OK) {
        *ret_kind = kind;
    }
    return status;
}

static enum tw_status check_message(const json_t *message, size_t i, size_t n_messages,
                                    struct tw_error *error)
{
    const json_t *value = json_object_get(message, "role");
    struct tw_bytes role = {json_string_value(value), json_string_length(value)};
    bool system = tw_bytes_equal(role, tw_bytes_of("system"));
    bool user = tw_bytes_equal(role, tw_bytes_of("user"));
    bool assistant = tw_bytes_equal(role, tw_bytes_of("assistant"));
    if (!system && !user && !assistant) {
        return wrong(error, "a message's role", "system, user or assistant");
    }
    if (!json_is_string(json_object_get(message, "content"))) {
        return wrong(error, "a message's content", "a text");
    }
    if (system && i != 0) {
        return wrong(error, "a system message", "the first one");
    }
    if (!user && i + 1 == n_messages) {
        return wrong(error, "the last message", "the user's");
    }
    return check_keys(message, message_keys, "a message", error);
}

static enum tw_status check_messages(const json_t *messages, struct tw_error *error)
{
    size_t n_messages = json_array_size(messages);
    enum tw_status status = TW_OK;
    if (n_messages == 0) {
        return wrong(error, "messages", "an array of at least one message");
    }
    for (size_t i = 0; status == TW_OK && i < n_messages; i++) {
        status = check_message(json_array_get(messages, i), i, n_messages, error);
        if (status != TW_OK) {
            tw_error_prefix(error, "messages[%zu]", i);
        }
    }
    return status;
}

/* Tasks stand on command lines and in tables. "total" is the name of their sum. */
static enum tw_status check_task(const json_t *task, struct tw_error *error)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
    const char *name = json_string_value(task);
    size_t n_bytes = json_string_length(task);
    if (name == NULL || n_bytes == 0 || n_bytes > TW_LIMIT_EVAL_TASK_BYTES ||
        strspn(name, allowed) != n_bytes) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "task must be a name of 1 to %d letters, digits, '_', '-' and '.'",
                            TW_LIMIT_EVAL_TASK_BYTES);
    }
    return strcmp(name, "total") != 0 ? TW_OK : wrong(error, "task", "another name than 'total'");
}

static enum tw_status check_row(struct tw_eval_row *row, struct tw_error *error)
{
    const json_t *json = row->json;
    if (!json_is_object(json)) {
        return wrong(error, "a row", "a JSON object");
    }
    row->messages = json_object_get(json, "messages");
    row->expect = json_object_get(json, "expect");
    const json_t *values = json_object_get(json, "values");
    enum tw_status status = check_keys(json, row_keys, "the row", error);
    if (status == TW_OK) {
        status = check_task(json_object_get(json, "task"), error);
    }
    if (status == TW_OK) {
        status = check_messages(row->messages, error);
    }
    if (status == TW_OK && values != NULL && !is_texts(values, 0)) {
        status = wrong(error, "values", "an array of texts");
    }
    return status == TW_OK ? check_expect(row->expect, &row->kind, error) : status;
}

/* ---- the file ---- */

/* Counts the row in under its task; *ret_task is the task's place. */
static enum tw_status count_task(struct tw_eval_rows *rows, const char *name,
                                 enum tw_eval_kind kind, size_t *ret_task, struct tw_error *error)
{
    size_t i = 0;
    while (i < rows->n_tasks && strcmp(rows->tasks[i].name, name) != 0) {
        i++;
    }
    if (i == TW_LIMIT_EVAL_TASKS) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION, "more than %d tasks in one file",
                            TW_LIMIT_EVAL_TASKS);
    }
    if (i == rows->n_tasks) {
        rows->tasks[rows->n_tasks++] = (struct tw_eval_task){.name = name};
    }
    rows->tasks[i].n_rows++;
    rows->tasks[i].kinds |= 1u << kind;
    *ret_task = i;
    return TW_OK;
}

/* Room for one more row; capacities are powers of two. */
static enum tw_status make_room(struct tw_eval_rows *rows, struct tw_error *error)
{
    size_t n = rows->n_rows;
    if (n == TW_LIMIT_EVAL_ROWS) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION, "more than %u rows in one file",
                            TW_LIMIT_EVAL_ROWS);
    }
    if ((n & (n - 1)) != 0) {
        return TW_OK;
    }
    struct tw_eval_row *grown = tw_mem_realloc(rows->rows, n == 0 ? 1 : 2 * n, sizeof *rows->rows);
    if (grown == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for rows");
    }
    rows->rows = grown;
    return TW_OK;
}

static enum tw_status read_row(struct tw_eval_rows *rows, struct tw_bytes line, size_t number,
                               struct tw_error *error)
{
    struct tw_eval_row row = {.line = number};
    if (line.size_bytes > TW_LIMIT_EVAL_ROW_BYTES) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "a row of %zu bytes; at most %u are read", line.size_bytes,
                            TW_LIMIT_EVAL_ROW_BYTES);
    }
    enum tw_status status = make_room(rows, error);
    if (status == TW_OK) {
        status = tw_json_parse(line.data, line.size_bytes, "this row alone", &row.json, error);
    }
    if (status != TW_OK) {
        return status;
    }
    status = check_row(&row, error);
    if (status == TW_OK) {
        const char *name = json_string_value(json_object_get(row.json, "task"));
        status = count_task(rows, name, row.kind, &row.task, error);
    }
    if (status != TW_OK) {
        json_decref(row.json);
        return status;
    }
    rows->rows[rows->n_rows++] = row;
    return TW_OK;
}

enum tw_status tw_eval_rows_parse(const char *text, size_t text_bytes, const char *name,
                                  struct tw_eval_rows *rows, struct tw_error *error)
{
    struct tw_lines lines = {.text = {text, text_bytes}};
    enum tw_status status = TW_OK;
    for (struct tw_bytes line; status == TW_OK && tw_lines_next(&lines, &line);) {
        status = read_row(rows, line, lines.number, error);
    }
    if (status != TW_OK) {
        tw_error_prefix(error, "%.100s:%" PRIu64, name, lines.number);
    } else if (rows->n_rows == 0) {
        status = tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION, "'%.200s' has no rows", name);
    }
    return status;
}

void tw_eval_rows_free(struct tw_eval_rows *rows)
{
    for (size_t i = 0; i < rows->n_rows; i++) {
        json_decref(rows->rows[i].json);
    }
    tw_mem_free(rows->rows);
    *rows = (struct tw_eval_rows){0};
}

/* ---- choosing ---- */

const struct tw_eval_task *tw_eval_rows_find(const struct tw_eval_rows *rows, const char *name,
                                             size_t name_bytes)
{
    for (size_t i = 0; i < rows->n_tasks; i++) {
        const char *task = rows->tasks[i].name;
        if (strlen(task) == name_bytes && memcmp(task, name, name_bytes) == 0) {
            return &rows->tasks[i];
        }
    }
    return NULL;
}

static bool is_named(const char *task, const char *const *names, size_t n_names)
{
    for (size_t i = 0; i < n_names; i++) {
        if (strcmp(names[i], task) == 0) {
            return true;
        }
    }
    return n_names == 0;
}

enum tw_status tw_eval_rows_select(struct tw_eval_rows *rows, const char *const *names,
                                   size_t n_names, size_t most, struct tw_error *error)
{
    for (size_t i = 0; i < n_names; i++) {
        if (tw_eval_rows_find(rows, names[i], strlen(names[i])) == NULL) {
            return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION, "no row has the task '%.100s'",
                                names[i]);
        }
    }
    struct tw_eval_rows kept = {.rows = rows->rows};
    size_t n_seen[TW_LIMIT_EVAL_TASKS] = {0};
    for (size_t i = 0; i < rows->n_rows; i++) {
        struct tw_eval_row row = rows->rows[i];
        const char *task = rows->tasks[row.task].name;
        if (!is_named(task, names, n_names) || (most != 0 && n_seen[row.task] >= most)) {
            continue;
        }
        n_seen[row.task]++;
        /* The name is taken from a row that stays. No more tasks than before: this cannot fail. */
        count_task(&kept, json_string_value(json_object_get(row.json, "task")), row.kind, &row.task,
                   NULL);
        rows->rows[i].json = rows->rows[kept.n_rows].json;
        rows->rows[kept.n_rows++] = row;
    }
    for (size_t i = kept.n_rows; i < rows->n_rows; i++) {
        json_decref(rows->rows[i].json);
    }
    *rows = kept;
    return TW_OK;
}
