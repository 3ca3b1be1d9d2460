/* An invoice as text and as JSON. */
#include <stdio.h>

#include "base/json.h"
#include "hub/invoice.h"
#include "hub/report_table.h"
#include "hub/usage_period.h"
#include "hub/usage_report.h"

enum { PROJECT = 0, MODEL, CLASS, PRICE };

/* ---- text ---- */

static void write_head(const struct tw_invoice *invoice, const char *provider, struct tw_buf *out)
{
    const struct tw_usage *usage = invoice->usage;
    char number[TW_INVOICE_NUMBER_BYTES], span[TW_USAGE_PERIOD_SPAN_BYTES];
    char from[TW_USAGE_PERIOD_TEXT_BYTES], to[TW_USAGE_PERIOD_TEXT_BYTES];
    tw_invoice_write_number(invoice->org->id, usage->wish.zone, usage->wish.period.starts_s,
                            number);
    tw_usage_write_span(usage, span);
    tw_usage_period_write_utc(usage->wish.period.starts_s, from);
    tw_usage_period_write_utc(usage->wish.period.ends_s, to);
    tw_buf_append_format(out, "Invoice %s%s\n\n", number,
                         invoice->is_final ? "" : ": NOT FINAL, the month has not ended");
    tw_buf_append_format(out, "from      %s\n", provider);
    tw_buf_append_format(out, "to        %s\n", invoice->org->name);
    tw_buf_append_format(out, "period    %s, %s\n", span, tw_zone_name(usage->wish.zone));
    tw_buf_append_format(out, "          from %s until before %s\n", from, to);
    tw_buf_append_format(out, "currency  %s\n", usage->currency);
    if (usage->total.n_requests == 0) {
        tw_buf_append_text(out, "entries   none\n\n");
        return;
    }
    tw_buf_append_format(out,
                         "entries   %lld settlements, the first is entry %lld, the last %lld\n\n",
                         (long long)usage->total.n_requests, (long long)usage->first_entry,
                         (long long)usage->last_entry);
}

static int most_places(const struct tw_invoice *invoice)
{
    int n_places = tw_exact_places(&invoice->total);
    const int n_rounding = tw_exact_places(&invoice->rounding);
    n_places = n_rounding > n_places ? n_rounding : n_places;
    for (size_t i = 0; i < invoice->n_lines; i++) {
        const int n = tw_exact_places(&invoice->lines[i].charge.cost);
        n_places = n > n_places ? n : n_places;
    }
    return n_places;
}

static int most_price_places(const struct tw_invoice *invoice)
{
    int n_places = 2;
    for (size_t i = 0; i < invoice->n_lines; i++) {
        const struct tw_exact price = tw_exact_of_nano(invoice->lines[i].charge.price_nano);
        const int n = tw_exact_places(&price);
        n_places = n > n_places ? n : n_places;
    }
    return n_places;
}

static void add_line(const struct tw_invoice *invoice, const struct tw_invoice_line *line,
                     int n_price_places, int n_places, struct tw_report_table *table)
{
    char text[TW_EXACT_TEXT_BYTES], label[TW_USAGE_LABEL_BYTES];
    const struct tw_exact price = tw_exact_of_nano(line->charge.price_nano);
    for (size_t i = PROJECT; i <= CLASS; i++) {
        tw_report_table_cell(table, tw_usage_label(invoice->usage, line->row, i, label));
    }
    tw_report_table_cell(table, tw_direction_name(line->charge.direction));
    tw_report_table_integer(table, line->row->keys[PRICE]);
    tw_report_table_integer(table, line->charge.n_tokens);
    tw_exact_write(&price, n_price_places, text);
    tw_report_table_cell(table, text);
    tw_exact_write(&line->charge.cost, n_places, text);
    tw_report_table_cell(table, text);
}

static void add_sum(struct tw_report_table *table, const char *title, const struct tw_exact *amount,
                    int n_places)
{
    char text[TW_EXACT_TEXT_BYTES];
    tw_report_table_cell(table, title);
    for (size_t i = 1; i + 1 < table->n_columns; i++) {
        tw_report_table_cell(table, "");
    }
    tw_exact_write(amount, n_places, text);
    tw_report_table_cell(table, text);
}

enum tw_status tw_invoice_write_text(const struct tw_invoice *invoice, const char *provider,
                                     size_t n_wide, struct tw_buf *out, struct tw_error *error)
{
    static const struct {
        const char *title;
        bool is_number;
    } columns[] = {{"project", false}, {"model", false}, {"class", false},    {"direction", false},
                   {"price", true},    {"tokens", true}, {"a million", true}, {"amount", true}};
    const int n_places = most_places(invoice), n_price_places = most_price_places(invoice);
    struct tw_report_table table;
    tw_report_table_init(&table);
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) {
        tw_report_table_column(&table, columns[i].title, columns[i].is_number);
    }
    for (size_t i = 0; i < invoice->n_lines; i++) {
        add_line(invoice, &invoice->lines[i], n_price_places, n_places, &table);
    }
    add_sum(&table, "rounding", &invoice->rounding, n_places);
    add_sum(&table, "total", &invoice->total, n_places);
    write_head(invoice, provider, out);
    enum tw_status status = tw_report_table_write(&table, n_wide, out, error);
    tw_report_table_free(&table);
    tw_buf_append_text(out, "\nThe cost of each request is rounded up once, to a billionth: line "
                            "'rounding' is what that added.\n");
    return status == TW_OK ? tw_usage_check_buffer(out, error) : status;
}

/* ---- JSON ---- */

static void put_exact(struct tw_json_writer *json, const char *key, const struct tw_exact *value)
{
    char text[TW_EXACT_TEXT_BYTES];
    tw_exact_write_short(value, text);
    tw_json_put_text(json, key, text);
}

static void put_instant(struct tw_json_writer *json, const char *key, int64_t at_s)
{
    char text[TW_USAGE_PERIOD_TEXT_BYTES];
    tw_usage_period_write_utc(at_s, text);
    tw_json_put_text(json, key, text);
}

static void put_line(const struct tw_invoice *invoice, const struct tw_invoice_line *line,
                     struct tw_json_writer *json)
{
    char label[TW_USAGE_LABEL_BYTES];
    const struct tw_usage *usage = invoice->usage;
    const struct tw_exact price = tw_exact_of_nano(line->charge.price_nano);
    tw_json_object_begin(json);
    tw_json_put_text(json, "project", tw_usage_label(usage, line->row, PROJECT, label));
    tw_json_put_int(json, "project_id", line->row->keys[PROJECT]);
    tw_json_put_text(json, "model", tw_usage_label(usage, line->row, MODEL, label));
    tw_json_put_text(json, "class", tw_usage_label(usage, line->row, CLASS, label));
    tw_json_put_text(json, "direction", tw_direction_name(line->charge.direction));
    tw_json_put_int(json, "price_version", line->row->keys[PRICE]);
    tw_json_put_int(json, "tokens", line->charge.n_tokens);
    tw_json_put_int(json, "price_nano_per_million", line->charge.price_nano);
    put_exact(json, "price_per_million", &price);
    put_exact(json, "amount", &line->charge.cost);
    tw_json_object_end(json);
}

static void put_head(const struct tw_invoice *invoice, const char *provider,
                     struct tw_json_writer *json)
{
    const struct tw_usage *usage = invoice->usage;
    char number[TW_INVOICE_NUMBER_BYTES];
    tw_invoice_write_number(invoice->org->id, usage->wish.zone, usage->wish.period.starts_s,
                            number);
    tw_json_put_text(json, "invoice", number);
    tw_json_put_bool(json, "final", invoice->is_final);
    tw_json_put_text(json, "provider", provider);
    tw_json_put_text(json, "org", invoice->org->name);
    tw_json_put_int(json, "org_id", invoice->org->id);
    put_instant(json, "from", usage->wish.period.starts_s);
    put_instant(json, "to", usage->wish.period.ends_s);
    tw_json_put_text(json, "zone", tw_zone_name(usage->wish.zone));
    tw_json_put_text(json, "currency", usage->currency);
    tw_json_key(json, "entries");
    tw_json_object_begin(json);
    tw_json_put_int(json, "first", usage->first_entry);
    tw_json_put_int(json, "last", usage->last_entry);
    tw_json_put_int(json, "count", usage->total.n_requests);
    tw_json_object_end(json);
}

enum tw_status tw_invoice_write_json(const struct tw_invoice *invoice, const char *provider,
                                     struct tw_buf *out, struct tw_error *error)
{
    struct tw_json_writer json;
    tw_json_begin(&json, out);
    tw_json_object_begin(&json);
    put_head(invoice, provider, &json);
    tw_json_key(&json, "lines");
    tw_json_array_begin(&json);
    for (size_t i = 0; i < invoice->n_lines; i++) {
        put_line(invoice, &invoice->lines[i], &json);
    }
    tw_json_array_end(&json);
    put_exact(&json, "rounding", &invoice->rounding);
    put_exact(&json, "total", &invoice->total);
    tw_json_put_int(&json, "total_nano", invoice->usage->total.amount_nano);
    tw_json_object_end(&json);
    tw_buf_append(out, "\n", 1);
    return tw_usage_check_buffer(out, error);
}
