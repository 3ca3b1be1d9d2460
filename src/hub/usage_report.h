/* usage_report.h: a report of usage.h as a table, as CSV and as JSON.
 *
 *     table   for a terminal: numbers to the right, names cut where it is narrow, a row of totals
 *     csv     a row a combination, nothing else; opens in a spreadsheet (csv.h)
 *     json    period, zone, currency, what was asked for, rows, total, and the entries it has
 *
 * Amounts are decimals with as many digits as they need, and in CSV and JSON whole nano-units
 * beside them, which no program rounds.
 *
 * Ownership: the buffer is the caller's. Threads: any. Errors: TW_ERR_LIMIT for what does not fit
 * into the buffer.
 */
#ifndef TW_HUB_USAGE_REPORT_H
#define TW_HUB_USAGE_REPORT_H

#include "base/buf.h"
#include "hub/usage.h"

/* n_wide: characters of a line; 0: any number. */
enum tw_status tw_usage_write_table(const struct tw_usage *usage, size_t n_wide, struct tw_buf *out,
                                    struct tw_error *error);
enum tw_status tw_usage_write_csv(const struct tw_usage *usage, struct tw_buf *out,
                                  struct tw_error *error);
enum tw_status tw_usage_write_json(const struct tw_usage *usage, struct tw_buf *out,
                                   struct tw_error *error);

/* "2026-11-01 to 2026-11-30" */
#define TW_USAGE_PERIOD_SPAN_BYTES 140
void tw_usage_write_span(const struct tw_usage *usage, char ret_text[TW_USAGE_PERIOD_SPAN_BYTES]);
/* TW_OK, or the error of a buffer that reached its bound. */
enum tw_status tw_usage_check_buffer(const struct tw_buf *out, struct tw_error *error);

#endif
