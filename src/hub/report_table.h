/* report_table.h: a table for people: columns that line up, numbers to the right.
 *
 *     project              model   requests     amount
 *     acme/research/chat   demo          12   0.001234
 *     total                              12   0.001234
 *
 *     tw_report_table_init -> { _column } -> { _cell ... } -> _write -> _free
 *
 * Cells are given row by row, as many as there are columns. Where the whole is wider than what it
 * is shown in, texts are cut in their middle, the longest first; numbers are never cut.
 *
 * Ownership: cells are copied. Threads: one at a time. Errors: no memory, or more cells than
 * TW_LIMIT_REPORT_BYTES have room for, show in `failed` and as TW_ERR_LIMIT of _write.
 */
#ifndef TW_HUB_REPORT_TABLE_H
#define TW_HUB_REPORT_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/status.h"

enum { TW_REPORT_TABLE_COLUMNS = 24 };

struct tw_report_column {
    const char *title; /* static, or the caller's until the end */
    bool is_number;
    size_t n_wide; /* characters */
};

struct tw_report_table {
    struct tw_arena arena;
    struct tw_report_column columns[TW_REPORT_TABLE_COLUMNS];
    size_t n_columns;
    const char **cells; /* [n_cells], row by row */
    size_t n_cells, room;
    bool failed;
};

void tw_report_table_init(struct tw_report_table *table);
void tw_report_table_free(struct tw_report_table *table);
void tw_report_table_column(struct tw_report_table *table, const char *title, bool is_number);
void tw_report_table_cell(struct tw_report_table *table, const char *text);
void tw_report_table_integer(struct tw_report_table *table, long long value);

/* n_wide: characters that a line has room for; 0: any number. */
enum tw_status tw_report_table_write(struct tw_report_table *table, size_t n_wide,
                                     struct tw_buf *out, struct tw_error *error);

#endif
