/* csv_read.h: rows of comma-separated values (RFC 4180), one line each.
 *
 *     struct tw_csv_row row;
 *     status = tw_csv_read_row(line, &row, &error);   row.fields [row.n_fields]
 *
 * A field in quotes may hold commas, and a quote as two; spaces around a field are not part of it.
 * A field with a line break in it is not read: rows are lines.
 *
 * Ownership: fields point into the row, each with a NUL behind it. Threads: any.
 * Errors: TW_ERR_FORMAT with the column (from 1) as the position, TW_ERR_LIMIT.
 */
#ifndef TW_TEXT_CSV_READ_H
#define TW_TEXT_CSV_READ_H

#include "base/status.h"
#include "text/bytes.h"

struct tw_csv_row {
    char *fields[TW_LIMIT_CSV_FIELDS];
    uint32_t n_fields;
    char text[TW_LIMIT_CSV_LINE_BYTES + 1];
};

enum tw_status tw_csv_read_row(struct tw_bytes line, struct tw_csv_row *ret_row,
                               struct tw_error *error);

/* The whole field is a finite number. */
bool tw_csv_number_of(const char *field, double *ret_number);

#endif
