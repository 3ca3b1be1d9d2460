/* What was used and what it cost: usage.h and invoice.h as commands. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "hub/change.h"
#include "hub/focus.h"
#include "hub/invoice.h"
#include "hub/report.h"
#include "hub/usage_period.h"
#include "hub/usage_report.h"

enum { TABLE = 0, CSV, JSON, FOCUS }; /* choices of usage show */
enum { INVOICE_JSON = 1 };            /* and of usage invoice */

static const char *text_of(const struct tw_hub_change *change, const char *name,
                           const char *otherwise)
{
    const struct tw_field_value *value = tw_change_value(change, name);
    return value->is_set ? value->text : otherwise;
}

static size_t width_of(const struct tw_hub_change *change)
{
    return (size_t)tw_change_integer(change, "width", 0);
}

static enum tw_status open_zone(const struct tw_hub_change *change, struct tw_zone **ret_zone,
                                struct tw_error *error)
{
    const char *folder = change->hub != NULL ? change->hub->config.zone_folder : NULL;
    return tw_zone_open(folder, text_of(change, "zone", "UTC"), ret_zone, error);
}

/* Of a person: what the roles reach. */
static bool may_see(void *context, int64_t id)
{
    const struct tw_hub_change *change = context;
    struct tw_directory *directory = change->directory;
    pthread_rwlock_rdlock(&directory->lock);
    const struct tw_holder *holder = tw_directory_holder(directory, id);
    const bool may = holder != NULL && tw_change_may_see(change, holder);
    pthread_rwlock_unlock(&directory->lock);
    return may;
}

static struct tw_report_viewer viewer_of(struct tw_hub_change *change)
{
    return (struct tw_report_viewer){.may_see = change->person != NULL ? may_see : NULL,
                                     .context = change};
}

/* A text, or the object that it is. */
static enum tw_status give(struct tw_hub_change *change, bool is_json, const struct tw_buf *out,
                           struct tw_error *error)
{
    json_t *report = NULL;
    if (!is_json) {
        tw_change_put(change, change->answer, "text", json_stringn(out->data, out->size_bytes));
        return TW_OK;
    }
    enum tw_status status = tw_json_parse(out->data, out->size_bytes, "the report", &report, error);
    if (status == TW_OK) {
        json_decref(change->answer);
        change->answer = report;
    }
    return status;
}

/* ---- usage ---- */

static enum tw_status make_wish(struct tw_hub_change *change, const struct tw_zone *zone,
                                struct tw_usage_wish *ret_wish, struct tw_error *error)
{
    struct tw_usage_wish wish = {.zone = zone,
                                 .in = text_of(change, "in", NULL),
                                 .model = text_of(change, "model", NULL),
                                 .viewer = viewer_of(change)};
    const char *by = text_of(change, "by", NULL);
    const bool is_focus = tw_change_integer(change, "format", TABLE) == FOCUS;
    enum tw_status status =
        tw_usage_period_parse(text_of(change, "period", "this-month"), zone,
                              change->now_ns / TW_SECOND_NS, &wish.period, error);
    if (status != TW_OK) {
        return status;
    }
    if (is_focus && by != NULL) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "by has no place with the format focus, whose rows are given");
    }
    if (is_focus) {
        tw_focus_set_dimensions(&wish);
    } else {
        status = tw_usage_parse_dimensions(by != NULL ? by : "project", &wish, error);
    }
    if (status == TW_OK) {
        *ret_wish = wish;
    }
    return status;
}

static enum tw_status write_usage(const struct tw_hub_change *change, const struct tw_usage *usage,
                                  struct tw_buf *out, struct tw_error *error)
{
    switch (tw_change_integer(change, "format", TABLE)) {
    case CSV:
        return tw_usage_write_csv(usage, out, error);
    case JSON:
        return tw_usage_write_json(usage, out, error);
    case FOCUS:
        return tw_focus_write(usage, text_of(change, "provider", "tokenworks"), out, error);
    default:
        return tw_usage_write_table(usage, width_of(change), out, error);
    }
}

enum tw_status tw_report_show_usage(struct tw_hub_change *change, struct tw_error *error)
{
    struct tw_zone *zone = NULL;
    struct tw_usage_wish wish;
    struct tw_usage *usage = NULL;
    struct tw_buf out;
    tw_buf_init(&out, TW_LIMIT_ADMIN_ANSWER_BYTES);
    enum tw_status status = open_zone(change, &zone, error);
    if (status == TW_OK) {
        status = make_wish(change, zone, &wish, error);
    }
    if (status == TW_OK) {
        status = tw_usage_read(change->db, &wish, &usage, error);
    }
    if (status == TW_OK) {
        status = write_usage(change, usage, &out, error);
    }
    if (status == TW_OK) {
        status = give(change, tw_change_integer(change, "format", TABLE) == JSON, &out, error);
    }
    tw_usage_free(usage);
    tw_buf_free(&out);
    tw_zone_free(zone);
    return status;
}

/* ---- invoices ---- */

/* Whether a role reaches the whole of an organisation of that name or number, open or closed. */
static bool may_bill(const struct tw_hub_change *change, const char *org)
{
    const struct tw_items *holders = &change->directory->holders;
    bool may = false;
    pthread_rwlock_rdlock(&change->directory->lock);
    for (size_t i = 0; i < holders->n; i++) {
        const struct tw_holder *holder = holders->at[i];
        char number[24];
        snprintf(number, sizeof number, "#%lld", (long long)holder->id);
        may = may || (holder->kind == TW_HOLDER_ORG && tw_change_may_see(change, holder) &&
                      (strcmp(holder->name, org) == 0 || strcmp(number, org) == 0));
    }
    pthread_rwlock_unlock(&change->directory->lock);
    return may;
}

static enum tw_status write_invoice(struct tw_hub_change *change, const struct tw_zone *zone,
                                    struct tw_buf *out, struct tw_error *error)
{
    const char *provider = text_of(change, "provider", "tokenworks");
    const struct tw_report_viewer viewer = viewer_of(change);
    struct tw_period month;
    struct tw_invoice *invoice = NULL;
    enum tw_status status = tw_usage_period_parse_month(
        text_of(change, "month", "last-month"), zone, change->now_ns / TW_SECOND_NS, &month, error);
    if (status == TW_OK) {
        status = tw_invoice_read(change->db, text_of(change, "org", ""), month, zone,
                                 change->now_ns, &viewer, &invoice, error);
    }
    if (status == TW_OK) {
        status = tw_change_integer(change, "format", 0) == INVOICE_JSON
                     ? tw_invoice_write_json(invoice, provider, out, error)
                     : tw_invoice_write_text(invoice, provider, width_of(change), out, error);
    }
    tw_invoice_free(invoice);
    return status;
}

enum tw_status tw_report_show_invoice(struct tw_hub_change *change, struct tw_error *error)
{
    struct tw_zone *zone = NULL;
    struct tw_buf out;
    if (change->person != NULL && !may_bill(change, text_of(change, "org", ""))) {
        return tw_change_deny(change, error);
    }
    tw_buf_init(&out, TW_LIMIT_ADMIN_ANSWER_BYTES);
    enum tw_status status = open_zone(change, &zone, error);
    if (status == TW_OK) {
        status = write_invoice(change, zone, &out, error);
    }
    if (status == TW_OK) {
        status = give(change, tw_change_integer(change, "format", 0) == INVOICE_JSON, &out, error);
    }
    tw_buf_free(&out);
    tw_zone_free(zone);
    return status;
}
