#include "hub/usage_report.h"

#include <stdio.h>

#include "base/json.h"
#include "hub/csv.h"
#include "hub/exact.h"
#include "hub/report_table.h"
#include "hub/usage_period.h"

#define NOBODY "(nobody)" /* no name has brackets */

enum tw_status tw_usage_check_buffer(const struct tw_buf *out, struct tw_error *error)
{
    if (!out->failed) {
        return TW_OK;
    }
    return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                        "the report is larger than %zu bytes or memory is lacking; ask for a "
                        "shorter period or for fewer dimensions",
                        out->bound_bytes);
}

void tw_usage_write_span(const struct tw_usage *usage, char ret_text[TW_USAGE_PERIOD_SPAN_BYTES])
{
    char first[TW_USAGE_PERIOD_TEXT_BYTES], last[TW_USAGE_PERIOD_TEXT_BYTES];
    tw_usage_period_write_day(usage->wish.zone, usage->wish.period.starts_s, first);
    tw_usage_period_write_day(usage->wish.zone, usage->wish.period.ends_s - 1, last);
    snprintf(ret_text, TW_USAGE_PERIOD_SPAN_BYTES, "%s to %s", first, last);
}

/* "1 3 7 ..." */
static void write_versions(const struct tw_usage_versions *versions, struct tw_buf *out)
{
    tw_buf_clear(out);
    for (size_t i = 0; i < versions->n; i++) {
        tw_buf_append_format(out, "%s%lld", i != 0 ? " " : "", (long long)versions->items[i]);
    }
    tw_buf_append_text(out, versions->has_more ? " ..." : "");
    tw_buf_append(out, "", 1);
}

/* ---- table ---- */

static int places_of_amounts(const struct tw_usage *usage)
{
    int n_places = 2;
    for (size_t i = 0; i < usage->n_rows; i++) {
        const struct tw_exact amount = tw_exact_of_nano(usage->rows[i]->sums.amount_nano);
        const int n = tw_exact_places(&amount);
        n_places = n > n_places ? n : n_places;
    }
    return n_places;
}

static void add_sums(struct tw_report_table *table, const struct tw_usage_sums *sums, int n_places)
{
    char text[TW_EXACT_TEXT_BYTES];
    const struct tw_exact amount = tw_exact_of_nano(sums->amount_nano);
    tw_report_table_integer(table, sums->n_requests);
    tw_report_table_integer(table, sums->input_tokens);
    tw_report_table_integer(table, sums->cached_tokens);
    tw_report_table_integer(table, sums->output_tokens);
    tw_exact_write(&amount, n_places, text);
    tw_report_table_cell(table, text);
}

static void add_rows(const struct tw_usage *usage, struct tw_report_table *table,
                     struct tw_buf *scratch)
{
    const int n_places = places_of_amounts(usage);
    for (size_t i = 0; i < usage->n_rows; i++) {
        const struct tw_usage_row *row = usage->rows[i];
        for (size_t k = 0; k < usage->wish.n_by; k++) {
            char label[TW_USAGE_LABEL_BYTES];
            const char *text = tw_usage_label(usage, row, k, label);
            tw_report_table_cell(table, text[0] != '\0' ? text : NOBODY);
        }
        add_sums(table, &row->sums, n_places);
        write_versions(&row->versions, scratch);
        tw_report_table_cell(table, scratch->failed ? "" : scratch->data);
    }
    for (size_t k = 0; k < usage->wish.n_by; k++) {
        tw_report_table_cell(table, k == 0 ? "total" : "");
    }
    add_sums(table, &usage->total, n_places);
    tw_report_table_cell(table, "");
}

enum tw_status tw_usage_write_table(const struct tw_usage *usage, size_t n_wide, struct tw_buf *out,
                                    struct tw_error *error)
{
    char span[TW_USAGE_PERIOD_SPAN_BYTES];
    struct tw_report_table table;
    struct tw_buf scratch;
    tw_report_table_init(&table);
    tw_buf_init(&scratch, 4096);
    for (size_t k = 0; k < usage->wish.n_by; k++) {
        tw_report_table_column(&table, tw_usage_dimension_name(usage->wish.by[k]), false);
    }
    static const char *const numbers[] = {"requests", "input", "cached", "output"};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        tw_report_table_column(&table, numbers[i], true);
    }
    tw_report_table_column(&table, usage->currency, true);
    tw_report_table_column(&table, "prices", false);
    add_rows(usage, &table, &scratch);
    tw_usage_write_span(usage, span);
    tw_buf_append_format(out, "%s, %s\n\n", span, tw_zone_name(usage->wish.zone));
    enum tw_status status = tw_report_table_write(&table, n_wide, out, error);
    tw_buf_free(&scratch);
    tw_report_table_free(&table);
    return status == TW_OK ? tw_usage_check_buffer(out, error) : status;
}

/* ---- CSV ---- */

static void write_csv_row(const struct tw_usage *usage, const struct tw_usage_row *row,
                          struct tw_csv *csv, struct tw_buf *scratch)
{
    char text[TW_EXACT_TEXT_BYTES];
    const struct tw_exact amount = tw_exact_of_nano(row->sums.amount_nano);
    for (size_t k = 0; k < usage->wish.n_by; k++) {
        char label[TW_USAGE_LABEL_BYTES];
        tw_csv_text(csv, tw_usage_label(usage, row, k, label));
    }
    tw_csv_integer(csv, row->sums.n_requests);
    tw_csv_integer(csv, row->sums.input_tokens);
    tw_csv_integer(csv, row->sums.cached_tokens);
    tw_csv_integer(csv, row->sums.output_tokens);
    tw_exact_write_short(&amount, text);
    tw_csv_number(csv, text);
    tw_csv_text(csv, usage->currency);
    tw_csv_integer(csv, row->sums.amount_nano);
    write_versions(&row->versions, scratch);
    tw_csv_text(csv, scratch->failed ? "" : scratch->data);
    tw_csv_end_row(csv);
}

enum tw_status tw_usage_write_csv(const struct tw_usage *usage, struct tw_buf *out,
                                  struct tw_error *error)
{
    static const char *const titles[] = {"requests",      "input_tokens",  "cached_tokens",
                                         "output_tokens", "amount",        "currency",
                                         "amount_nano",   "price_versions"};
    struct tw_csv csv = {.buf = out};
    struct tw_buf scratch;
    tw_buf_init(&scratch, 4096);
    for (size_t k = 0; k < usage->wish.n_by; k++) {
        tw_csv_text(&csv, tw_usage_dimension_name(usage->wish.by[k]));
    }
    for (size_t i = 0; i < sizeof titles / sizeof *titles; i++) {
        tw_csv_text(&csv, titles[i]);
    }
    tw_csv_end_row(&csv);
    for (size_t i = 0; i < usage->n_rows; i++) {
        write_csv_row(usage, usage->rows[i], &csv, &scratch);
    }
    tw_buf_free(&scratch);
    return tw_usage_check_buffer(out, error);
}

/* ---- JSON ---- */

static void put_sums(struct tw_json_writer *json, const struct tw_usage_sums *sums)
{
    char text[TW_EXACT_TEXT_BYTES];
    const struct tw_exact amount = tw_exact_of_nano(sums->amount_nano);
    tw_json_put_int(json, "requests", sums->n_requests);
    tw_json_put_int(json, "input_tokens", sums->input_tokens);
    tw_json_put_int(json, "cached_tokens", sums->cached_tokens);
    tw_json_put_int(json, "output_tokens", sums->output_tokens);
    tw_exact_write_short(&amount, text);
    tw_json_put_text(json, "amount", text);
    tw_json_put_int(json, "amount_nano", sums->amount_nano);
}

static void put_row(const struct tw_usage *usage, const struct tw_usage_row *row,
                    struct tw_json_writer *json)
{
    tw_json_object_begin(json);
    for (size_t k = 0; k < usage->wish.n_by; k++) {
        const enum tw_usage_dimension dimension = usage->wish.by[k];
        const char *name = tw_usage_dimension_name(dimension);
        char label[TW_USAGE_LABEL_BYTES], id[16];
        if (dimension == TW_USAGE_PRICE) {
            tw_json_put_int(json, name, row->keys[k]);
        } else if (dimension == TW_USAGE_USER && row->keys[k] == 0) {
            tw_json_put_null(json, name);
            continue;
        } else {
            tw_json_put_text(json, name, tw_usage_label(usage, row, k, label));
        }
        if (dimension <= TW_USAGE_USER) {
            snprintf(id, sizeof id, "%s_id", name);
            tw_json_put_int(json, id, row->keys[k]);
        }
    }
    put_sums(json, &row->sums);
    tw_json_key(json, "price_versions");
    tw_json_array_begin(json);
    for (size_t i = 0; i < row->versions.n; i++) {
        tw_json_int(json, row->versions.items[i]);
    }
    tw_json_array_end(json);
    if (row->versions.has_more) {
        tw_json_put_bool(json, "has_more_price_versions", true);
    }
    tw_json_object_end(json);
}

static void put_head(const struct tw_usage *usage, struct tw_json_writer *json)
{
    const struct tw_usage_wish *wish = &usage->wish;
    char text[TW_USAGE_PERIOD_TEXT_BYTES];
    tw_usage_period_write_utc(wish->period.starts_s, text);
    tw_json_put_text(json, "from", text);
    tw_usage_period_write_utc(wish->period.ends_s, text);
    tw_json_put_text(json, "to", text);
    tw_json_put_text(json, "zone", tw_zone_name(wish->zone));
    tw_json_put_text(json, "currency", usage->currency);
    if (wish->in != NULL) {
        tw_json_put_text(json, "in", wish->in);
    }
    if (wish->model != NULL) {
        tw_json_put_text(json, "model", wish->model);
    }
    tw_json_key(json, "by");
    tw_json_array_begin(json);
    for (size_t k = 0; k < wish->n_by; k++) {
        tw_json_text(json, tw_usage_dimension_name(wish->by[k]));
    }
    tw_json_array_end(json);
}

enum tw_status tw_usage_write_json(const struct tw_usage *usage, struct tw_buf *out,
                                   struct tw_error *error)
{
    struct tw_json_writer json;
    tw_json_begin(&json, out);
    tw_json_object_begin(&json);
    put_head(usage, &json);
    tw_json_key(&json, "rows");
    tw_json_array_begin(&json);
    for (size_t i = 0; i < usage->n_rows; i++) {
        put_row(usage, usage->rows[i], &json);
    }
    tw_json_array_end(&json);
    tw_json_key(&json, "total");
    tw_json_object_begin(&json);
    put_sums(&json, &usage->total);
    tw_json_object_end(&json);
    tw_json_key(&json, "entries");
    tw_json_object_begin(&json);
    tw_json_put_int(&json, "first", usage->first_entry);
    tw_json_put_int(&json, "last", usage->last_entry);
    tw_json_put_int(&json, "count", usage->total.n_requests);
    tw_json_object_end(&json);
    tw_json_object_end(&json);
    tw_buf_append(out, "\n", 1);
    return tw_usage_check_buffer(out, error);
}
