#include "hub/focus.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "hub/charges.h"
#include "hub/csv.h"
#include "hub/invoice.h"
#include "hub/usage_period.h"
#include "hub/usage_report.h"

enum { ORG = 0, TEAM, PROJECT, USER, MODEL, CLASS, PRICE, DAY, N_BY };

static const enum tw_usage_dimension BY[N_BY] = {TW_USAGE_ORG,   TW_USAGE_TEAM,  TW_USAGE_PROJECT,
                                                 TW_USAGE_USER,  TW_USAGE_MODEL, TW_USAGE_CLASS,
                                                 TW_USAGE_PRICE, TW_USAGE_DAY};

enum { FIELD_BYTES = 4096, MILLION = 1000000 };

void tw_focus_set_dimensions(struct tw_usage_wish *wish)
{
    memcpy(wish->by, BY, sizeof BY);
    wish->n_by = N_BY;
}

/* What the columns of a row are made of. */
struct row {
    const struct tw_report_holder *org, *team, *project;
    const struct tw_report_user *user; /* NULL: nobody in particular */
    const char *model, *class, *currency, *provider;
    const struct tw_zone *zone;
    int64_t version;
    struct tw_period day, month;
    const struct tw_charge *charge; /* NULL: of the rounding */
    struct tw_exact cost;
    struct tw_buf *scratch; /* of a field */
};

/* ---- fields ---- */

static const char *end_scratch(const struct row *row)
{
    tw_buf_append(row->scratch, "", 1);
    return row->scratch->failed ? "" : row->scratch->data;
}

static void put_number(struct tw_csv *csv, int64_t number)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)number);
    tw_csv_text(csv, text);
}

static void put_exact(struct tw_csv *csv, const struct tw_exact *value)
{
    char text[TW_EXACT_TEXT_BYTES];
    tw_exact_write_short(value, text);
    tw_csv_number(csv, text);
}

static void put_instant(struct tw_csv *csv, int64_t at_s)
{
    char text[TW_USAGE_PERIOD_TEXT_BYTES];
    tw_usage_period_write_utc(at_s, text);
    tw_csv_text(csv, text);
}

static void cost(struct tw_csv *csv, const struct row *row)
{
    put_exact(csv, &row->cost);
}

static void account_id(struct tw_csv *csv, const struct row *row)
{
    put_number(csv, row->org->id);
}

static void account_name(struct tw_csv *csv, const struct row *row)
{
    tw_csv_text(csv, row->org->name);
}

static void currency(struct tw_csv *csv, const struct row *row)
{
    tw_csv_text(csv, row->currency);
}

static void month_end(struct tw_csv *csv, const struct row *row)
{
    put_instant(csv, row->month.ends_s);
}

static void month_start(struct tw_csv *csv, const struct row *row)
{
    put_instant(csv, row->month.starts_s);
}

static void category(struct tw_csv *csv, const struct row *row)
{
    tw_csv_text(csv, row->charge != NULL ? "Usage" : "Adjustment");
}

/* The ledger is append-only and a period that has ended is final: there are no corrections. */
static void nothing(struct tw_csv *csv, const struct row *row)
{
    (void)row;
    tw_csv_null(csv);
}

static const char *meter_of(const struct row *row)
{
    static const char *const meters[TW_DIRECTIONS] = {"Input Tokens", "Cached Input Tokens",
                                                      "Output Tokens"};
    return meters[row->charge->direction];
}

static void description(struct tw_csv *csv, const struct row *row)
{
    tw_buf_clear(row->scratch);
    if (row->charge != NULL) {
        tw_buf_append_format(row->scratch, "%s of %s, class %s, price version %lld", meter_of(row),
                             row->model, row->class, (long long)row->version);
    } else {
        tw_buf_append_format(row->scratch,
                             "Rounding up of each request of %s, class %s, price version %lld",
                             row->model, row->class, (long long)row->version);
    }
    tw_csv_text(csv, end_scratch(row));
}

static void frequency(struct tw_csv *csv, const struct row *row)
{
    (void)row;
    tw_csv_text(csv, "Usage-Based");
}

static void day_end(struct tw_csv *csv, const struct row *row)
{
    put_instant(csv, row->day.ends_s);
}

static void day_start(struct tw_csv *csv, const struct row *row)
{
    put_instant(csv, row->day.starts_s);
}

static void consumed(struct tw_csv *csv, const struct row *row)
{
    if (row->charge == NULL) {
        tw_csv_null(csv);
        return;
    }
    tw_csv_integer(csv, row->charge->n_tokens);
}

static void consumed_unit(struct tw_csv *csv, const struct row *row)
{
    tw_csv_text(csv, row->charge != NULL ? "Tokens" : NULL);
}

static void unit_price(struct tw_csv *csv, const struct row *row)
{
    if (row->charge == NULL) {
        tw_csv_null(csv);
        return;
    }
    const struct tw_exact price = tw_exact_of_nano(row->charge->price_nano);
    put_exact(csv, &price);
}

static void invoice_id(struct tw_csv *csv, const struct row *row)
{
    char text[TW_INVOICE_NUMBER_BYTES];
    tw_invoice_write_number(row->org->id, row->zone, row->month.starts_s, text);
    tw_csv_text(csv, text);
}

static void provider(struct tw_csv *csv, const struct row *row)
{
    tw_csv_text(csv, row->provider);
}

static void pricing_category(struct tw_csv *csv, const struct row *row)
{
    tw_csv_text(csv, row->charge != NULL ? "Standard" : NULL);
}

static void quantity(struct tw_csv *csv, const struct row *row)
{
    char text[32];
    if (row->charge == NULL) {
        tw_csv_null(csv);
        return;
    }
    const long long n = row->charge->n_tokens;
    snprintf(text, sizeof text, "%lld.%06lld", n / MILLION, n % MILLION);
    tw_csv_number(csv, text);
}

static void pricing_unit(struct tw_csv *csv, const struct row *row)
{
    tw_csv_text(csv, row->charge != NULL ? "1000000 Tokens" : NULL);
}

static void publisher(struct tw_csv *csv, const struct row *row)
{
    (void)row;
    tw_csv_text(csv, "tokenworks");
}

static void service_category(struct tw_csv *csv, const struct row *row)
{
    (void)row;
    tw_csv_text(csv, "AI and Machine Learning");
}

static void service_name(struct tw_csv *csv, const struct row *row)
{
    (void)row;
    tw_csv_text(csv, "Language Models");
}

static void service_subcategory(struct tw_csv *csv, const struct row *row)
{
    (void)row;
    tw_csv_text(csv, "Generative AI");
}

static void append_sku(const struct row *row)
{
    tw_buf_clear(row->scratch);
    tw_buf_append_format(row->scratch, "%s/%s/%s", row->model, row->class,
                         tw_direction_name(row->charge->direction));
}

static void sku_id(struct tw_csv *csv, const struct row *row)
{
    if (row->charge == NULL) {
        tw_csv_null(csv);
        return;
    }
    append_sku(row);
    tw_csv_text(csv, end_scratch(row));
}

static void sku_meter(struct tw_csv *csv, const struct row *row)
{
    tw_csv_text(csv, row->charge != NULL ? meter_of(row) : NULL);
}

static void sku_price_details(struct tw_csv *csv, const struct row *row)
{
    char version[24];
    if (row->charge == NULL) {
        tw_csv_null(csv);
        return;
    }
    struct tw_json_writer json;
    tw_buf_clear(row->scratch);
    snprintf(version, sizeof version, "%lld", (long long)row->version);
    tw_json_begin(&json, row->scratch);
    tw_json_object_begin(&json);
    tw_json_put_text(&json, "x_PriceVersion", version);
    tw_json_object_end(&json);
    tw_csv_text(csv, end_scratch(row));
}

static void sku_price_id(struct tw_csv *csv, const struct row *row)
{
    if (row->charge == NULL) {
        tw_csv_null(csv);
        return;
    }
    append_sku(row);
    tw_buf_append_format(row->scratch, "@%lld", (long long)row->version);
    tw_csv_text(csv, end_scratch(row));
}

static void sub_account_id(struct tw_csv *csv, const struct row *row)
{
    put_number(csv, row->project->id);
}

static void sub_account_name(struct tw_csv *csv, const struct row *row)
{
    tw_csv_text(csv, row->project->path);
}

static void tags(struct tw_csv *csv, const struct row *row)
{
    struct tw_json_writer json;
    tw_buf_clear(row->scratch);
    tw_json_begin(&json, row->scratch);
    tw_json_object_begin(&json);
    tw_json_put_text(&json, "tokenworks/team", row->team->path);
    if (row->user != NULL) {
        tw_json_put_text(&json, "tokenworks/user", row->user->path);
    }
    tw_json_put_text(&json, "tokenworks/model", row->model);
    tw_json_put_text(&json, "tokenworks/class", row->class);
    tw_json_object_end(&json);
    tw_csv_text(csv, end_scratch(row));
}

static const struct {
    const char *name;
    void (*put)(struct tw_csv *csv, const struct row *row);
} COLUMNS[] = {
    {"BilledCost", cost},
    {"BillingAccountId", account_id},
    {"BillingAccountName", account_name},
    {"BillingCurrency", currency},
    {"BillingPeriodEnd", month_end},
    {"BillingPeriodStart", month_start},
    {"ChargeCategory", category},
    {"ChargeClass", nothing},
    {"ChargeDescription", description},
    {"ChargeFrequency", frequency},
    {"ChargePeriodEnd", day_end},
    {"ChargePeriodStart", day_start},
    {"ConsumedQuantity", consumed},
    {"ConsumedUnit", consumed_unit},
    {"ContractedCost", cost},
    {"ContractedUnitPrice", unit_price},
    {"EffectiveCost", cost},
    {"InvoiceId", invoice_id},
    {"InvoiceIssuerName", provider},
    {"ListCost", cost},
    {"ListUnitPrice", unit_price},
    {"PricingCategory", pricing_category},
    {"PricingQuantity", quantity},
    {"PricingUnit", pricing_unit},
    {"ProviderName", provider},
    {"PublisherName", publisher},
    {"ServiceCategory", service_category},
    {"ServiceName", service_name},
    {"ServiceSubcategory", service_subcategory},
    {"SkuId", sku_id},
    {"SkuMeter", sku_meter},
    {"SkuPriceDetails", sku_price_details},
    {"SkuPriceId", sku_price_id},
    {"SubAccountId", sub_account_id},
    {"SubAccountName", sub_account_name},
    {"Tags", tags},
};

enum { N_COLUMNS = sizeof COLUMNS / sizeof *COLUMNS };

/* ---- rows ---- */

static void put_row(struct tw_csv *csv, const struct row *row)
{
    for (size_t i = 0; i < N_COLUMNS; i++) {
        COLUMNS[i].put(csv, row);
    }
    tw_csv_end_row(csv);
}

static struct row row_of(const struct tw_usage *usage, const struct tw_usage_row *from)
{
    const struct tw_zone *zone = usage->wish.zone;
    return (struct row){
        .org = tw_report_names_find(&usage->names, from->keys[ORG]),
        .team = tw_report_names_find(&usage->names, from->keys[TEAM]),
        .project = tw_report_names_find(&usage->names, from->keys[PROJECT]),
        .user = tw_report_names_find_user(&usage->names, from->keys[USER]),
        .model = usage->texts[from->keys[MODEL]],
        .class = usage->texts[from->keys[CLASS]],
        .currency = usage->currency,
        .zone = zone,
        .version = from->keys[PRICE],
        .day = tw_period_at(TW_PERIOD_DAY, zone, from->keys[DAY]),
        .month = tw_period_at(TW_PERIOD_MONTH, zone, from->keys[DAY]),
    };
}

static void put_rows(struct tw_csv *csv, struct row *row, const struct tw_charges *charges)
{
    for (size_t i = 0; i < charges->n; i++) {
        row->charge = &charges->items[i];
        row->cost = charges->items[i].cost;
        put_row(csv, row);
    }
    if (charges->rounding.nano != 0 || charges->rounding.millionths != 0) {
        row->charge = NULL;
        row->cost = charges->rounding;
        put_row(csv, row);
    }
}

enum tw_status tw_focus_write(const struct tw_usage *usage, const char *provider_name,
                              struct tw_buf *out, struct tw_error *error)
{
    struct tw_csv csv = {.buf = out};
    struct tw_buf scratch;
    enum tw_status status = TW_OK;
    tw_buf_init(&scratch, FIELD_BYTES);
    for (size_t i = 0; i < N_COLUMNS; i++) {
        tw_csv_text(&csv, COLUMNS[i].name);
    }
    tw_csv_end_row(&csv);
    for (size_t i = 0; status == TW_OK && i < usage->n_rows; i++) {
        struct tw_charges charges;
        struct row row = row_of(usage, usage->rows[i]);
        row.provider = provider_name;
        row.scratch = &scratch;
        status = tw_charges_of(usage, usage->rows[i], &charges, error);
        if (status == TW_OK) {
            put_rows(&csv, &row, &charges);
        }
    }
    out->failed |= scratch.failed;
    tw_buf_free(&scratch);
    return status == TW_OK ? tw_usage_check_buffer(out, error) : status;
}
