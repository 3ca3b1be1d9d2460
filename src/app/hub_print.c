#include "app/hub_print.h"

#include <stdio.h>
#include <string.h>

#include "app/command.h"
#include "base/limits.h"
#include "base/mem.h"

#define MOST_COLUMNS   48
#define CELL_BYTES     4096
#define COLUMNS_APART  "  "
#define NOTHING        "-"
#define CONTINUATION   0x80 /* a byte of UTF-8 that begins no character */
#define CONTINUES_MASK 0xC0

/* ---- a value as text ---- */

static void write_list(const json_t *list, struct tw_buf *out)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        tw_buf_append_format(out, "%s%s", i > 0 ? ", " : "",
                             json_is_string(item) ? json_string_value(item) : "?");
    }
}

static void write_value(const json_t *value, struct tw_buf *out)
{
    struct tw_json_writer writer;
    if (json_is_string(value)) {
        tw_buf_append_text(out, json_string_value(value));
    } else if (json_is_array(value) && json_array_size(value) > 0 &&
               json_is_string(json_array_get(value, 0))) {
        write_list(value, out);
    } else if (json_is_boolean(value)) {
        tw_buf_append_text(out, json_is_true(value) ? "yes" : "no");
    } else if (value == NULL || json_is_null(value) ||
               (json_is_array(value) && json_array_size(value) == 0)) {
        tw_buf_append_text(out, NOTHING);
    } else {
        tw_json_begin(&writer, out);
        tw_json_value(&writer, value);
    }
}

/* ---- tables ---- */

struct column {
    const char *name;
    size_t width;
    bool is_number, is_empty;
};

struct table {
    const json_t *rows;
    struct column columns[MOST_COLUMNS];
    size_t n_columns;
    struct tw_buf cell;
};

static size_t n_characters(const char *text, size_t n_bytes)
{
    size_t n = 0;
    for (size_t i = 0; i < n_bytes; i++) {
        n += ((unsigned char)text[i] & CONTINUES_MASK) != CONTINUATION;
    }
    return n;
}

static const char *cell_of(struct table *table, const json_t *value, size_t *ret_bytes)
{
    tw_buf_clear(&table->cell);
    table->cell.failed = false;
    write_value(value, &table->cell);
    *ret_bytes = table->cell.size_bytes;
    return table->cell.size_bytes > 0 ? table->cell.data : "";
}

static bool is_number(const char *text, size_t n_bytes)
{
    for (size_t i = 0; i < n_bytes; i++) {
        if (strchr("-0123456789.", text[i]) == NULL) {
            return false;
        }
    }
    return n_bytes > 0;
}

static struct column *column_of(struct table *table, const char *name)
{
    for (size_t i = 0; i < table->n_columns; i++) {
        if (strcmp(table->columns[i].name, name) == 0) {
            return &table->columns[i];
        }
    }
    if (table->n_columns == MOST_COLUMNS) {
        return NULL;
    }
    struct column *column = &table->columns[table->n_columns++];
    *column =
        (struct column){.name = name, .width = strlen(name), .is_number = true, .is_empty = true};
    return column;
}

static void measure(struct table *table)
{
    for (size_t i = 0; i < json_array_size(table->rows); i++) {
        json_t *row = json_array_get(table->rows, i);
        const char *name;
        json_t *value;
        json_object_foreach (row, name, value) {
            struct column *column = column_of(table, name);
            size_t n_bytes;
            const char *text = cell_of(table, value, &n_bytes);
            if (column == NULL) {
                continue;
            }
            const size_t width = n_characters(text, n_bytes);
            column->width = width > column->width ? width : column->width;
            column->is_empty = column->is_empty && json_is_null(value);
            column->is_number = column->is_number && is_number(text, n_bytes);
        }
    }
}

/* A table of budgets is wider than a terminal otherwise. */
static void leave_out(struct table *table)
{
    static const char *const names[] = {"carried", "starts", "zone", "rollover", "id"};
    for (size_t i = 0; i < table->n_columns; i++) {
        for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
            table->columns[i].is_empty |= strcmp(table->columns[i].name, names[k]) == 0;
        }
    }
}

static void pad(struct tw_buf *out, size_t n)
{
    tw_buf_append_format(out, "%*s", (int)n, "");
}

/* What stands in a column; the last one is not filled up. */
static void write_cell(struct tw_buf *out, const struct column *column, bool is_first, bool is_last,
                       const char *text, size_t n_bytes)
{
    const size_t width = n_characters(text, n_bytes);
    const size_t missing = column->width > width ? column->width - width : 0;
    tw_buf_append_text(out, is_first ? "" : COLUMNS_APART);
    if (column->is_number) {
        pad(out, missing);
    }
    tw_buf_append(out, text, n_bytes);
    if (!column->is_number && !is_last) {
        pad(out, missing);
    }
}

static size_t last_column(const struct table *table)
{
    size_t last = 0;
    for (size_t i = 0; i < table->n_columns; i++) {
        last = table->columns[i].is_empty ? last : i;
    }
    return last;
}

static void write_head(const struct table *table, struct tw_buf *out)
{
    char name[64];
    bool is_first = true;
    for (size_t i = 0; i < table->n_columns; i++) {
        const struct column *column = &table->columns[i];
        if (column->is_empty) {
            continue;
        }
        snprintf(name, sizeof name, "%s", column->name);
        for (char *at = name; *at != '\0'; at++) {
            *at = *at == '_' ? ' ' : *at >= 'a' && *at <= 'z' ? (char)(*at - 'a' + 'A') : *at;
        }
        write_cell(out, column, is_first, i == last_column(table), name, strlen(name));
        is_first = false;
    }
}

/* narrow: what the rows are, where columns that few need are left out; NULL: all of them. */
static void write_table(const json_t *rows, const char *narrow, struct tw_buf *out)
{
    struct table *table = tw_mem_zalloc(1, sizeof *table);
    if (table == NULL) {
        out->failed = true;
        return;
    }
    table->rows = rows;
    tw_buf_init(&table->cell, CELL_BYTES);
    measure(table);
    if (narrow != NULL && strcmp(narrow, "budgets") == 0) {
        leave_out(table);
    }
    write_head(table, out);
    const size_t last = last_column(table);
    for (size_t i = 0; i < json_array_size(rows); i++) {
        bool is_first = true;
        tw_buf_append(out, "\n", 1);
        for (size_t k = 0; k < table->n_columns; k++) {
            size_t n_bytes;
            const struct column *column = &table->columns[k];
            if (!column->is_empty) {
                const char *text = cell_of(
                    table, json_object_get(json_array_get(rows, i), column->name), &n_bytes);
                write_cell(out, column, is_first, k == last, text, n_bytes);
                is_first = false;
            }
        }
    }
    tw_buf_free(&table->cell);
    tw_mem_free(table);
}

/* ---- the whole ---- */

static bool is_table(const json_t *value)
{
    return json_is_array(value) &&
           (json_array_size(value) == 0 || json_is_object(json_array_get(value, 0)));
}

/* An empty list among the values of one thing is "no models", not "no rows". */
static const json_t *find_table(json_t *answer, const char **ret_name)
{
    const char *name;
    json_t *value;
    json_object_foreach (answer, name, value) {
        if (is_table(value)) {
            *ret_name = name;
            return value;
        }
    }
    return NULL;
}

static size_t name_width(json_t *answer)
{
    size_t width = 0;
    const char *name;
    json_t *value;
    json_object_foreach (answer, name, value) {
        const size_t n = strlen(name);
        width = !is_table(value) && n > width ? n : width;
    }
    return width;
}

/* The second line of a text and those behind it begin where the first one does. */
static void write_lines(const json_t *value, size_t indent, struct tw_buf *out)
{
    const char *text = json_string_value(value);
    if (text == NULL) {
        write_value(value, out);
        return;
    }
    while (*text != '\0') {
        const size_t n = strcspn(text, "\n");
        tw_buf_append(out, text, n);
        text += n + (text[n] == '\n');
        if (*text != '\0') {
            tw_buf_append_format(out, "\n%*s", (int)indent, "");
        }
    }
}

void tw_hub_print_write(json_t *answer, const struct tw_hub_print *how, struct tw_buf *out)
{
    const char *rows_name = "";
    const json_t *rows = find_table(answer, &rows_name);
    const size_t width = name_width(answer);
    const char *name;
    json_t *value;
    bool needs_line = false;
    json_object_foreach (answer, name, value) {
        if (value == rows || (rows != NULL && json_is_null(value))) {
            continue;
        }
        tw_buf_append_format(out, "%s%-*s  ", needs_line ? "\n" : "", (int)width, name);
        write_lines(value, width + strlen(COLUMNS_APART), out);
        needs_line = true;
    }
    if (rows != NULL && json_array_size(rows) == 0) {
        tw_buf_append_format(out, "%sno %s%s", needs_line ? "\n\n" : "", rows_name,
                             how->may_hide ? "; --all shows what was closed as well" : "");
    } else if (rows != NULL) {
        tw_buf_append_text(out, needs_line ? "\n\n" : "");
        write_table(rows, how->is_wide ? NULL : rows_name, out);
    }
}

enum tw_status tw_hub_print(json_t *answer, const struct tw_hub_print *how, struct tw_error *error)
{
    struct tw_buf out;
    struct tw_json_writer writer;
    tw_buf_init(&out, TW_LIMIT_ADMIN_ANSWER_BYTES);
    if (how->as_json) {
        tw_json_begin(&writer, &out);
        tw_json_value(&writer, answer);
    } else {
        tw_hub_print_write(answer, how, &out);
    }
    enum tw_status status = tw_command_write_line(&out, error);
    tw_buf_free(&out);
    return status;
}
