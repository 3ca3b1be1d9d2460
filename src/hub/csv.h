/* csv.h: rows of comma-separated values (RFC 4180), safe to open in a spreadsheet.
 *
 *     { tw_csv_text | _number | _integer | _null ... tw_csv_end_row } ...
 *
 * Rows end with CR LF. A text with a comma, a quote or a line break in it is quoted. What has no
 * value is an empty field.
 *
 * A spreadsheet takes a cell that begins with = + - @ (or a tab or a CR before one) for a formula
 * and computes it, wherever the name came from. Such a text gets a ' before it, which spreadsheets
 * show or drop, and never compute. Numbers are written as they are: they are ours.
 *
 * Threads: one at a time. Errors: show in the buffer's `failed`.
 */
#ifndef TW_HUB_CSV_H
#define TW_HUB_CSV_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

struct tw_csv {
    struct tw_buf *buf; /* the caller's */
    bool has_field;     /* in this row */
};

/* An empty text is "" in quotes, NULL a field without a value. */
void tw_csv_text(struct tw_csv *csv, const char *text);
/* Digits that we made. */
void tw_csv_number(struct tw_csv *csv, const char *digits);
void tw_csv_integer(struct tw_csv *csv, int64_t value);
void tw_csv_null(struct tw_csv *csv);
void tw_csv_end_row(struct tw_csv *csv);

#endif
