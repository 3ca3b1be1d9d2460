#include "hub/invoice.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "hub/usage_period.h"

enum { NANO = 1000000000 };

static const enum tw_usage_dimension BY[] = {TW_USAGE_PROJECT, TW_USAGE_MODEL, TW_USAGE_CLASS,
                                             TW_USAGE_PRICE};

void tw_invoice_write_number(int64_t org, const struct tw_zone *zone, int64_t month_starts_s,
                             char ret_text[TW_INVOICE_NUMBER_BYTES])
{
    char month[TW_USAGE_PERIOD_TEXT_BYTES];
    tw_usage_period_write_month(zone, month_starts_s, month);
    snprintf(ret_text, TW_INVOICE_NUMBER_BYTES, "%lld-%s-%s", (long long)org, month,
             tw_zone_name(zone));
}

static enum tw_status add_lines(struct tw_invoice *invoice, struct tw_error *error)
{
    const struct tw_usage *usage = invoice->usage;
    enum tw_status status = TW_OK;
    for (size_t i = 0; status == TW_OK && i < usage->n_rows; i++) {
        struct tw_charges charges;
        status = tw_charges_of(usage, usage->rows[i], &charges, error);
        for (size_t k = 0; status == TW_OK && k < charges.n; k++) {
            invoice->lines[invoice->n_lines++] =
                (struct tw_invoice_line){usage->rows[i], charges.items[k]};
            status = tw_exact_add(&invoice->total, &charges.items[k].cost, error);
        }
        if (status == TW_OK) {
            status = tw_exact_add(&invoice->rounding, &charges.rounding, error);
        }
    }
    return status == TW_OK ? tw_exact_add(&invoice->total, &invoice->rounding, error) : status;
}

/* Lines were summed, and so were entries: two ways that must meet. */
static enum tw_status check_total(const struct tw_invoice *invoice, struct tw_error *error)
{
    const int64_t settled_nano = invoice->usage->total.amount_nano;
    if (invoice->total.nano == settled_nano && invoice->total.millionths == 0) {
        return TW_OK;
    }
    return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                        "the lines of the invoice make %lld nano-units and the entries %lld; run "
                        "'ledger check'",
                        (long long)invoice->total.nano, (long long)settled_nano);
}

/* The one organisation that was chosen. */
static enum tw_status find_org(struct tw_invoice *invoice, const char *org, struct tw_error *error)
{
    const struct tw_report_names *names = &invoice->usage->names;
    for (size_t i = 0; i < names->n; i++) {
        const struct tw_report_holder *holder = &names->holders[i];
        if (holder->kind != TW_REPORT_ORG || !holder->is_chosen) {
            continue;
        }
        if (invoice->org != NULL) {
            return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                                "there are several organisations of the name '%.80s'; say which by "
                                "its number: '#%lld' or '#%lld'",
                                org, (long long)invoice->org->id, (long long)holder->id);
        }
        invoice->org = holder;
    }
    if (invoice->org == NULL) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "'%.80s' is no organisation; an invoice is for a whole one", org);
    }
    return TW_OK;
}

static enum tw_status make(struct tw_invoice *invoice, const char *org, struct tw_error *error)
{
    enum tw_status status = find_org(invoice, org, error);
    if (status != TW_OK) {
        return status;
    }
    invoice->lines =
        tw_mem_alloc(TW_DIRECTIONS * invoice->usage->n_rows + 1, sizeof *invoice->lines);
    if (invoice->lines == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for the invoice");
    }
    status = add_lines(invoice, error);
    return status == TW_OK ? check_total(invoice, error) : status;
}

/* What the writer is about to commit has the time at which its group began: a moment ago. */
static bool has_ended(const struct tw_usage *usage, int64_t now_ns)
{
    const int64_t ends_ns = usage->wish.period.ends_s * NANO;
    return usage->last_ns >= ends_ns || now_ns - TW_LIMIT_INVOICE_SETTLED_NS >= ends_ns;
}

enum tw_status tw_invoice_read(struct tw_db *db, const char *org, struct tw_period month,
                               const struct tw_zone *zone, int64_t now_ns,
                               const struct tw_report_viewer *viewer,
                               struct tw_invoice **ret_invoice, struct tw_error *error)
{
    struct tw_usage_wish wish = {.period = month, .zone = zone, .in = org};
    wish.n_by = sizeof BY / sizeof *BY;
    if (viewer != NULL) {
        wish.viewer = *viewer;
    }
    memcpy(wish.by, BY, sizeof BY);
    struct tw_invoice *invoice = tw_mem_zalloc(1, sizeof *invoice);
    if (invoice == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for the invoice");
    }
    enum tw_status status = tw_usage_read(db, &wish, &invoice->usage, error);
    if (status == TW_OK) {
        invoice->is_final = has_ended(invoice->usage, now_ns);
        status = make(invoice, org, error);
    }
    if (status != TW_OK) {
        tw_invoice_free(invoice);
        return status;
    }
    *ret_invoice = invoice;
    return TW_OK;
}

void tw_invoice_free(struct tw_invoice *invoice)
{
    if (invoice == NULL) {
        return;
    }
    tw_usage_free(invoice->usage);
    tw_mem_free(invoice->lines);
    tw_mem_free(invoice);
}
