/* invoice.h: what an organisation has to pay for a month, line by line, from the ledger.
 *
 *     project   model   class   direction   price version   tokens   a million   amount
 *     ...
 *     rounding: each request is rounded up to a nano-unit, once
 *     total = the sum of the ledger's settlements, to the unit
 *
 * An invoice names all that is needed to compute it again from the books: period, zone, currency,
 * and the first, the last and the number of the entries that it is made of. It is no document of
 * its own: made again, it is the same, since entries do not change and a month that has ended gets
 * no more. Until then it says that it is not final.
 *
 *     number:  organisation's number - month - zone        3-2026-11-Europe/Berlin
 *
 * Ownership: its own until tw_invoice_free; the zone is the caller's and must outlive it.
 * Threads: any that has the database. Errors: those of usage.h and charges.h.
 */
#ifndef TW_HUB_INVOICE_H
#define TW_HUB_INVOICE_H

#include "base/buf.h"
#include "hub/charges.h"

#define TW_INVOICE_NUMBER_BYTES 128

struct tw_invoice_line {
    const struct tw_usage_row *row;
    struct tw_charge charge;
};

struct tw_invoice {
    struct tw_usage *usage;
    const struct tw_report_holder *org;
    bool is_final;
    struct tw_invoice_line *lines; /* [n_lines] */
    size_t n_lines;
    struct tw_exact rounding, total;
};

/* The month that it is for begins at an instant of the zone. */
void tw_invoice_write_number(int64_t org, const struct tw_zone *zone, int64_t month_starts_s,
                             char ret_text[TW_INVOICE_NUMBER_BYTES]);

/* org: its name, or its number as "#3". month: of tw_usage_period_parse_month. viewer: NULL, he may
 * see all. */
enum tw_status tw_invoice_read(struct tw_db *db, const char *org, struct tw_period month,
                               const struct tw_zone *zone, int64_t now_ns,
                               const struct tw_report_viewer *viewer,
                               struct tw_invoice **ret_invoice, struct tw_error *error);
/* NULL is allowed. */
void tw_invoice_free(struct tw_invoice *invoice);

/* provider: who bills. n_wide: characters of a line; 0: any number. */
enum tw_status tw_invoice_write_text(const struct tw_invoice *invoice, const char *provider,
                                     size_t n_wide, struct tw_buf *out, struct tw_error *error);
enum tw_status tw_invoice_write_json(const struct tw_invoice *invoice, const char *provider,
                                     struct tw_buf *out, struct tw_error *error);

#endif
