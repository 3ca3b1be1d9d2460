#include "hub/report_table.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/printable.h"

enum { GAP = 2, LEAST_TEXT = 8 };

void tw_report_table_init(struct tw_report_table *table)
{
    *table = (struct tw_report_table){0};
    tw_arena_init(&table->arena, TW_LIMIT_REPORT_BYTES);
}

void tw_report_table_free(struct tw_report_table *table)
{
    tw_mem_free(table->cells);
    tw_arena_clear(&table->arena);
    *table = (struct tw_report_table){0};
}

static size_t bytes_at(const char *text, size_t n_bytes)
{
    const size_t n = tw_printable_utf8_bytes(text, n_bytes);
    return n != 0 ? n : 1;
}

static size_t width_of(const char *text)
{
    size_t n_bytes = strlen(text), n_wide = 0;
    for (size_t i = 0; i < n_bytes; n_wide++) {
        i += bytes_at(text + i, n_bytes - i);
    }
    return n_wide;
}

static void widen(struct tw_report_column *column, const char *text)
{
    const size_t n_wide = width_of(text);
    column->n_wide = n_wide > column->n_wide ? n_wide : column->n_wide;
}

void tw_report_table_column(struct tw_report_table *table, const char *title, bool is_number)
{
    assert(table->n_columns < TW_REPORT_TABLE_COLUMNS && table->n_cells == 0);
    struct tw_report_column *column = &table->columns[table->n_columns++];
    *column = (struct tw_report_column){.title = title, .is_number = is_number};
    widen(column, title);
}

void tw_report_table_cell(struct tw_report_table *table, const char *text)
{
    if (table->n_cells == table->room && !table->failed) {
        const size_t room = table->room != 0 ? 2 * table->room : 256;
        const char **cells = tw_mem_realloc(table->cells, room, sizeof *cells);
        table->failed = cells == NULL;
        table->cells = cells != NULL ? cells : table->cells;
        table->room = cells != NULL ? room : table->room;
    }
    char *copy = table->failed ? NULL : tw_arena_strndup(&table->arena, text, strlen(text));
    if (copy == NULL) {
        table->failed = true;
        return;
    }
    /* A name may have any character; in a line it must not begin another one. */
    tw_printable_clean(copy, strlen(copy));
    widen(&table->columns[table->n_cells % table->n_columns], copy);
    table->cells[table->n_cells++] = copy;
}

void tw_report_table_integer(struct tw_report_table *table, long long value)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", value);
    tw_report_table_cell(table, text);
}

/* ---- what has room ---- */

static size_t whole_width(const struct tw_report_table *table)
{
    size_t n_wide = 0;
    for (size_t i = 0; i < table->n_columns; i++) {
        n_wide += table->columns[i].n_wide + (i != 0 ? GAP : 0);
    }
    return n_wide;
}

static struct tw_report_column *widest_text(struct tw_report_table *table)
{
    struct tw_report_column *widest = NULL;
    for (size_t i = 0; i < table->n_columns; i++) {
        struct tw_report_column *column = &table->columns[i];
        if (!column->is_number && column->n_wide > LEAST_TEXT &&
            (widest == NULL || column->n_wide > widest->n_wide)) {
            widest = column;
        }
    }
    return widest;
}

static void make_narrower(struct tw_report_table *table, size_t n_wide)
{
    for (size_t now = whole_width(table); now > n_wide; now--) {
        struct tw_report_column *column = widest_text(table);
        if (column == NULL) {
            return;
        }
        column->n_wide--;
    }
}

/* ---- writing ---- */

static void append_spaces(struct tw_buf *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        tw_buf_append(out, " ", 1);
    }
}

/* n characters from the one with that number. */
static void append_part(struct tw_buf *out, const char *text, size_t first, size_t n)
{
    const size_t n_bytes = strlen(text);
    size_t number = 0;
    for (size_t i = 0, step; i < n_bytes; i += step, number++) {
        step = bytes_at(text + i, n_bytes - i);
        if (number >= first && number < first + n) {
            tw_buf_append(out, text + i, step);
        }
    }
}

/* Both ends of a path tell more than its middle. */
static void append_cut(struct tw_buf *out, const char *text, size_t text_wide, size_t n_wide)
{
    const size_t n_front = (n_wide - 1) / 2, n_back = n_wide - 1 - n_front;
    append_part(out, text, 0, n_front);
    tw_buf_append_text(out, "…");
    append_part(out, text, text_wide - n_back, n_back);
}

/* At the end of a line. */
static void drop_spaces(struct tw_buf *out)
{
    while (!out->failed && out->size_bytes != 0 && out->data[out->size_bytes - 1] == ' ') {
        out->size_bytes--;
    }
}

static void append_cell(struct tw_buf *out, const struct tw_report_column *column, const char *text)
{
    const size_t text_wide = width_of(text);
    if (text_wide > column->n_wide) {
        append_cut(out, text, text_wide, column->n_wide);
        return;
    }
    const size_t n_free = column->n_wide - text_wide;
    append_spaces(out, column->is_number ? n_free : 0);
    tw_buf_append_text(out, text);
    append_spaces(out, column->is_number ? 0 : n_free);
}

enum tw_status tw_report_table_write(struct tw_report_table *table, size_t n_wide,
                                     struct tw_buf *out, struct tw_error *error)
{
    if (table->failed) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "the table is larger than %zu bytes or memory is lacking",
                            TW_LIMIT_REPORT_BYTES);
    }
    assert(table->n_columns != 0 && table->n_cells % table->n_columns == 0);
    if (n_wide != 0) {
        make_narrower(table, n_wide);
    }
    const size_t n = table->n_columns;
    for (size_t row = 0; row < table->n_cells / n + 1; row++) {
        for (size_t i = 0; i < n; i++) {
            const struct tw_report_column *column = &table->columns[i];
            append_spaces(out, i != 0 ? GAP : 0);
            append_cell(out, column, row == 0 ? column->title : table->cells[(row - 1) * n + i]);
        }
        drop_spaces(out);
        tw_buf_append(out, "\n", 1);
    }
    return TW_OK;
}
