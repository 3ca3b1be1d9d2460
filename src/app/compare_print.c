#include "app/compare_print.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "app/plan_json.h"
#include "base/clock.h"
#include "base/json.h"
#include "hub/csv.h"
#include "hub/exact.h"
#include "hub/usage_period.h"

enum { NUMBER_BYTES = 32, RANGE_BYTES = 112, SHOWN_MODELS = 6 };

/* ---- numbers of a table ---- */

static const char *number(double value, char text[NUMBER_BYTES])
{
    const double size = fabs(value);
    if (!isfinite(value)) {
        snprintf(text, NUMBER_BYTES, "-");
    } else if (size >= 1e9) {
        snprintf(text, NUMBER_BYTES, "%.4gG", value / 1e9);
    } else if (size >= 1e6) {
        snprintf(text, NUMBER_BYTES, "%.4gM", value / 1e6);
    } else if (size >= 1e5) {
        snprintf(text, NUMBER_BYTES, "%.4gk", value / 1e3);
    } else {
        snprintf(text, NUMBER_BYTES, size >= 1e4 ? "%.0f" : "%.4g", value);
    }
    return text;
}

static const char *range(struct tw_range r, char text[RANGE_BYTES])
{
    char a[NUMBER_BYTES], b[NUMBER_BYTES], c[NUMBER_BYTES];
    if (r.high > r.low) {
        snprintf(text, RANGE_BYTES, "%s (%s .. %s)", number(r.typical, a), number(r.low, b),
                 number(r.high, c));
    } else {
        snprintf(text, RANGE_BYTES, "%s", number(r.typical, a));
    }
    return text;
}

static double rate_of(const struct tw_comparison *c)
{
    return c->wish.plan->currency_usd.typical;
}

static bool has_energy(const struct tw_comparison *c)
{
    return isfinite(c->rows[TW_COMPARE_KWH].actual);
}

/* ---- a table ---- */

static void put_models(const struct tw_compare_source *s, bool is_chosen, struct tw_buf *out)
{
    size_t n = 0;
    char scratch[TW_USAGE_LABEL_BYTES];
    for (size_t i = 0; i < s->usage->n_rows; i++) {
        if (s->is_chosen[i] == is_chosen && n++ < SHOWN_MODELS) {
            tw_buf_append_format(out, "%s%s", n > 1 ? ", " : "",
                                 tw_usage_label(s->usage, s->usage->rows[i], 0, scratch));
        }
    }
    if (n > SHOWN_MODELS) {
        tw_buf_append_format(out, " and %zu more", n - SHOWN_MODELS);
    }
}

static void put_head(const struct tw_comparison *c, const struct tw_compare_source *s,
                     struct tw_buf *out)
{
    const struct tw_actual *a = c->wish.actual;
    char from[TW_USAGE_PERIOD_TEXT_BYTES], to[TW_USAGE_PERIOD_TEXT_BYTES];
    tw_usage_period_write_utc(a->from_ns / TW_SECOND_NS, from);
    tw_usage_period_write_utc(a->to_ns / TW_SECOND_NS, to);
    tw_buf_append_format(out, "Plan and actual: %s\n", c->wish.plan->scenario->name);
    tw_buf_append_format(out, "  %s to %s (%.4g days, hours of %s), models ", from, to,
                         c->window_s / 86400, tw_zone_name(a->zone));
    put_models(s, true, out);
    tw_buf_append_format(out, "\n  option: %s; month %u of the plan\n",
                         c->wish.plan->options[c->wish.option].name, c->wish.month);
    int64_t others = 0;
    for (size_t i = 0; i < s->usage->n_rows; i++) {
        others += s->is_chosen[i] ? 0 : s->usage->rows[i]->sums.n_requests;
    }
    if (others > 0) {
        tw_buf_append_format(
            out, "  %lld requests for models that the plan does not know are not in it: ",
            (long long)others);
        put_models(s, false, out);
        tw_buf_append_text(out, " (--model)\n");
    }
    tw_buf_append_text(out, "\n");
}

static void put_line(const char *name, const char *unit, struct tw_range planned, double actual,
                     const char *verdict, const char *basis, struct tw_buf *out)
{
    char title[64], a[RANGE_BYTES], b[NUMBER_BYTES], share[24] = "";
    snprintf(title, sizeof title, "%s%s%s", name, unit[0] != '\0' ? ", " : "", unit);
    if (isfinite(actual) && isfinite(planned.typical) && planned.typical > 0) {
        snprintf(share, sizeof share, "%.3g x", actual / planned.typical);
    }
    tw_buf_append_format(out, "  %-36s %-34s %10s %9s  %-10s %s\n", title, range(planned, a),
                         number(actual, b), share, verdict, basis);
}

static void put_rows(const struct tw_comparison *c, struct tw_buf *out)
{
    tw_buf_append_format(out, "  %-36s %-34s %10s %9s\n", "", "planned (5% .. 95%)", "actual",
                         "of it");
    for (int i = 0; i < TW_COMPARE_ROWS; i++) {
        const struct tw_compare_row *row = &c->rows[i];
        if (!isfinite(row->actual) && !isfinite(row->planned.typical)) {
            continue;
        }
        const double factor = row->is_money ? 1 / rate_of(c) : 1;
        put_line(row->name, row->is_money ? c->wish.plan->scenario->currency : row->unit,
                 tw_range_times(row->planned, factor), row->actual * factor,
                 row->verdict != TW_COMPARE_UNKNOWN ? tw_compare_verdict_name(row->verdict) : "",
                 row->basis, out);
    }
}

static void put_charges(const struct tw_comparison *c, const struct tw_compare_source *s,
                        struct tw_buf *out)
{
    char text[TW_EXACT_TEXT_BYTES];
    const struct tw_exact amount = tw_exact_of_nano(s->charged_nano);
    tw_exact_write_short(&amount, text);
    tw_buf_append_format(out, "\nCharged by the books: %s %s", text, s->currency);
    if (isfinite(c->charged_usd_per_million)) {
        tw_buf_append_format(out, ", %.4g %s a million tokens\n",
                             c->charged_usd_per_million / rate_of(c),
                             c->wish.plan->scenario->currency);
    } else if (!isfinite(s->currency_usd.typical)) {
        tw_buf_append_format(out,
                             "; what that is in %s is not known: add a row "
                             "money,usd_per_%c%c%c,RATE,,,SOURCE,DATE to a file of prices\n",
                             c->wish.plan->scenario->currency, s->currency[0] | 0x20,
                             s->currency[1] | 0x20, s->currency[2] | 0x20);
    } else {
        tw_buf_append_text(out, "\n");
    }
}

static void put_clouds(const struct tw_comparison *c, struct tw_buf *out)
{
    const char *currency = c->wish.plan->scenario->currency;
    if (c->n_clouds == 0) {
        tw_buf_append_text(out, "The scenario names no apis: with some, this says what the same "
                                "tokens would have cost there\n");
        return;
    }
    tw_buf_append_format(out,
                         "The same tokens bought, in %s (as much cached as here .. nothing "
                         "cached):\n",
                         currency);
    for (uint32_t i = 0; i < c->n_clouds; i++) {
        const struct tw_compare_cloud *cloud = &c->clouds[i];
        char a[NUMBER_BYTES], b[NUMBER_BYTES], d[NUMBER_BYTES], e[NUMBER_BYTES];
        tw_buf_append_format(
            out, "  %-36s %s .. %s; a million %s, planned %s; %s, %s\n", cloud->api->name,
            number(cloud->usd / rate_of(c), a), number(cloud->uncached_usd / rate_of(c), b),
            number(c->tokens_million > 0 ? cloud->usd / c->tokens_million / rate_of(c) : NAN, d),
            number(cloud->planned_usd_per_million / rate_of(c), e), cloud->api->source,
            cloud->api->date);
    }
}

static void put_meters(const struct tw_comparison *c, const struct tw_compare_source *s,
                       struct tw_buf *out)
{
    if (!has_energy(c)) {
        return;
    }
    if (s->n_meters == 0) {
        tw_buf_append_text(out, "Energy is modelled: nothing was measured (tokenworks plan meter "
                                "FILE, then --meter FILE)\n");
        return;
    }
    tw_buf_append_format(out, "Energy at the machines: %.4g kWh in %.4g%% of the time",
                         isfinite(c->measured_kwh) ? c->measured_kwh : 0, 100 * c->measured_share);
    if (isfinite(c->modelled_kwh)) {
        tw_buf_append_format(out, "; the plan's watts at this load give %.4g kWh with PUE",
                             c->modelled_kwh);
    }
    tw_buf_append_text(out, "\n");
    for (size_t i = 0; i < s->n_meters; i++) {
        const struct tw_meter_log *log = s->meters[i];
        tw_buf_append_format(out, "  %s: ", s->meter_files[i]);
        for (uint32_t k = 0; k < log->n_meters; k++) {
            tw_buf_append_format(out, "%s%s", k > 0 ? ", " : "", log->meters[k].name);
        }
        tw_buf_append_format(out,
                             "; %llu readings; gaps: %llu restarts, %llu pauses, %llu changes of "
                             "counters, %llu clocks set back\n",
                             (unsigned long long)log->n_readings,
                             (unsigned long long)log->n_restarts, (unsigned long long)log->n_pauses,
                             (unsigned long long)log->n_changes,
                             (unsigned long long)log->n_set_back);
    }
    if (!c->wish.is_wall) {
        tw_buf_append_format(out,
                             "  counters do not see fans, disks, power supplies: %g W were added "
                             "for them (--unmetered-watts)\n",
                             c->wish.unmetered_w);
    }
}

void tw_compare_print(const struct tw_comparison *c, const struct tw_compare_source *s,
                      struct tw_buf *out)
{
    put_head(c, s, out);
    put_rows(c, out);
    put_charges(c, s, out);
    put_clouds(c, out);
    put_meters(c, s, out);
    tw_buf_append_text(out, "\nWhat is off, and what to correct:\n");
    for (uint32_t i = 0; i < c->n_findings; i++) {
        tw_buf_append_format(out, "  - %s: %s\n", c->findings[i].about, c->findings[i].text);
    }
    tw_buf_append_text(out, "\nMeasured, for the scenario (in place of the keys that it has):\n\n");
    tw_compare_write_scenario(c, out);
}

/* ---- JSON ---- */

static void put_range_json(struct tw_json_writer *w, const char *key, struct tw_range r)
{
    if (!isfinite(r.typical)) {
        tw_json_put_null(w, key);
        return;
    }
    tw_plan_put_range(w, key, r);
}

static void put_time(struct tw_json_writer *w, const char *key, int64_t at_s)
{
    char text[TW_USAGE_PERIOD_TEXT_BYTES];
    tw_usage_period_write_utc(at_s, text);
    tw_json_put_text(w, key, text);
}

static void put_head_json(const struct tw_comparison *c, struct tw_json_writer *w)
{
    const struct tw_plan *plan = c->wish.plan;
    const struct tw_actual *a = c->wish.actual;
    tw_json_put_text(w, "scenario", plan->scenario->name);
    put_time(w, "from", a->from_ns / TW_SECOND_NS);
    put_time(w, "to", a->to_ns / TW_SECOND_NS);
    tw_json_put_int(w, "from_ns", a->from_ns);
    tw_json_put_int(w, "to_ns", a->to_ns);
    tw_json_put_text(w, "zone", tw_zone_name(a->zone));
    tw_json_put_text(w, "option", plan->options[c->wish.option].name);
    tw_json_put_int(w, "month", c->wish.month);
    tw_json_put_double(w, "replicas", c->replicas);
    tw_json_put_text(w, "currency", plan->scenario->currency);
    put_range_json(w, "currency_usd", plan->currency_usd);
}

static void put_models_json(const struct tw_compare_source *s, struct tw_json_writer *w)
{
    tw_json_key(w, "models");
    tw_json_array_begin(w);
    for (size_t i = 0; i < s->usage->n_rows; i++) {
        const struct tw_usage_row *row = s->usage->rows[i];
        char scratch[TW_USAGE_LABEL_BYTES];
        tw_json_object_begin(w);
        tw_json_put_text(w, "model", tw_usage_label(s->usage, row, 0, scratch));
        tw_json_put_bool(w, "compared", s->is_chosen[i]);
        tw_json_put_int(w, "requests", row->sums.n_requests);
        tw_json_put_int(w, "input_tokens", row->sums.input_tokens);
        tw_json_put_int(w, "cached_tokens", row->sums.cached_tokens);
        tw_json_put_int(w, "output_tokens", row->sums.output_tokens);
        tw_json_object_end(w);
    }
    tw_json_array_end(w);
}

static void put_rows_json(const struct tw_comparison *c, struct tw_json_writer *w)
{
    tw_json_key(w, "rows");
    tw_json_array_begin(w);
    for (int i = 0; i < TW_COMPARE_ROWS; i++) {
        const struct tw_compare_row *row = &c->rows[i];
        tw_json_object_begin(w);
        tw_json_put_text(w, "name", row->name);
        tw_json_put_text(w, "unit", row->is_money ? "USD" : row->unit);
        put_range_json(w, "planned", row->planned);
        tw_json_put_double(w, "actual", row->actual);
        tw_json_put_text(w, "verdict", tw_compare_verdict_name(row->verdict));
        tw_json_put_text(w, "basis", row->basis);
        tw_json_object_end(w);
    }
    tw_json_array_end(w);
}

static void put_money_json(const struct tw_comparison *c, const struct tw_compare_source *s,
                           struct tw_json_writer *w)
{
    tw_json_key(w, "charged");
    tw_json_object_begin(w);
    tw_json_put_text(w, "currency", s->currency);
    tw_json_put_int(w, "amount_nano", s->charged_nano);
    tw_json_put_double(w, "usd", c->wish.charged_usd);
    tw_json_put_double(w, "usd_per_million_tokens", c->charged_usd_per_million);
    tw_json_object_end(w);
    tw_json_key(w, "bought");
    tw_json_array_begin(w);
    for (uint32_t i = 0; i < c->n_clouds; i++) {
        const struct tw_compare_cloud *cloud = &c->clouds[i];
        tw_json_object_begin(w);
        tw_json_put_text(w, "api", cloud->api->name);
        tw_json_put_text(w, "provider", cloud->api->provider);
        tw_json_put_double(w, "usd", cloud->usd);
        tw_json_put_double(w, "usd_uncached", cloud->uncached_usd);
        tw_json_put_double(w, "usd_per_million_tokens",
                           c->tokens_million > 0 ? cloud->usd / c->tokens_million : NAN);
        tw_json_put_double(w, "planned_usd_per_million_tokens", cloud->planned_usd_per_million);
        tw_json_put_bool(w, "closed_to_data", cloud->is_closed);
        tw_json_put_text(w, "source", cloud->api->source);
        tw_json_put_text(w, "date", cloud->api->date);
        tw_json_object_end(w);
    }
    tw_json_array_end(w);
}

static void put_meter_json(const char *file, const struct tw_meter_log *log,
                           struct tw_json_writer *w)
{
    tw_json_object_begin(w);
    tw_json_put_text(w, "file", file);
    tw_json_put_uint(w, "readings", log->n_readings);
    tw_json_put_uint(w, "wraps", log->n_wraps);
    tw_json_put_uint(w, "restarts", log->n_restarts);
    tw_json_put_uint(w, "pauses", log->n_pauses);
    tw_json_put_uint(w, "changes", log->n_changes);
    tw_json_put_uint(w, "set_back", log->n_set_back);
    tw_json_key(w, "counters");
    tw_json_array_begin(w);
    for (uint32_t i = 0; i < log->n_meters; i++) {
        tw_json_object_begin(w);
        tw_json_put_text(w, "name", log->meters[i].name);
        tw_json_put_double(w, "joules", log->meters[i].joules);
        tw_json_object_end(w);
    }
    tw_json_array_end(w);
    tw_json_object_end(w);
}

static void put_energy_json(const struct tw_comparison *c, const struct tw_compare_source *s,
                            struct tw_json_writer *w)
{
    tw_json_key(w, "energy");
    tw_json_object_begin(w);
    tw_json_put_double(w, "measured_kwh", c->measured_kwh);
    tw_json_put_double(w, "measured_share", c->measured_share);
    tw_json_put_double(w, "measured_tokens", c->wish.actual->metered_tokens);
    tw_json_put_double(w, "unmetered_w", c->wish.unmetered_w);
    tw_json_put_double(w, "modelled_kwh", c->modelled_kwh);
    tw_json_put_double(w, "power_factor", c->power_factor);
    tw_json_key(w, "files");
    tw_json_array_begin(w);
    for (size_t i = 0; i < s->n_meters; i++) {
        put_meter_json(s->meter_files[i], s->meters[i], w);
    }
    tw_json_array_end(w);
    tw_json_object_end(w);
}

static void put_load_json(const struct tw_comparison *c, struct tw_json_writer *w)
{
    const struct tw_actual *a = c->wish.actual;
    tw_json_key(w, "load");
    tw_json_object_begin(w);
    tw_json_put_bool(w, "has_week", c->has_week);
    tw_plan_put_doubles(w, "requests", a->hour_requests, TW_ACTUAL_HOURS);
    tw_plan_put_doubles(w, "seconds", a->hour_seconds, TW_ACTUAL_HOURS);
    tw_plan_put_doubles(w, "planned", c->wish.plan->scenario->hour_load, TW_ACTUAL_HOURS);
    put_time(w, "busiest", a->busiest_s);
    tw_json_put_double(w, "busiest_requests", a->busiest_requests);
    tw_json_put_double(w, "lost_share", c->lost_share);
    tw_json_object_end(w);
}

static void put_findings_json(const struct tw_comparison *c, struct tw_json_writer *w)
{
    struct tw_buf text;
    tw_json_key(w, "findings");
    tw_json_array_begin(w);
    for (uint32_t i = 0; i < c->n_findings; i++) {
        tw_json_object_begin(w);
        tw_json_put_text(w, "about", c->findings[i].about);
        tw_json_put_text(w, "text", c->findings[i].text);
        tw_json_object_end(w);
    }
    tw_json_array_end(w);
    if (c->again != NULL) {
        tw_json_put_text(w, "answer_again", c->again->options[c->again->best].name);
    } else {
        tw_json_put_null(w, "answer_again");
    }
    tw_json_put_text(w, "answer", c->wish.plan->options[c->wish.plan->best].name);
    tw_buf_init(&text, TW_LIMIT_PLAN_SCENARIO_BYTES);
    tw_compare_write_scenario(c, &text);
    tw_json_key(w, "measured");
    tw_json_string(w, text.data != NULL ? text.data : "", text.size_bytes);
    tw_buf_free(&text);
}

void tw_compare_json(const struct tw_comparison *c, const struct tw_compare_source *s,
                     struct tw_buf *out)
{
    struct tw_json_writer w;
    tw_json_begin(&w, out);
    tw_json_object_begin(&w);
    put_head_json(c, &w);
    put_models_json(s, &w);
    put_rows_json(c, &w);
    put_money_json(c, s, &w);
    put_energy_json(c, s, &w);
    put_load_json(c, &w);
    put_findings_json(c, &w);
    tw_json_object_end(&w);
}

/* ---- CSV ---- */

static void put_digits(struct tw_csv *csv, double value)
{
    char text[NUMBER_BYTES];
    if (!isfinite(value)) {
        tw_csv_null(csv);
        return;
    }
    snprintf(text, sizeof text, "%.17g", value);
    tw_csv_number(csv, text);
}

static void put_csv_row(struct tw_csv *csv, const char *name, const char *unit, struct tw_range r,
                        double actual, const char *verdict, const char *basis)
{
    tw_csv_text(csv, name);
    tw_csv_text(csv, unit);
    put_digits(csv, r.low);
    put_digits(csv, r.typical);
    put_digits(csv, r.high);
    put_digits(csv, actual);
    tw_csv_text(csv, verdict);
    tw_csv_text(csv, basis);
    tw_csv_end_row(csv);
}

void tw_compare_csv(const struct tw_comparison *c, const struct tw_compare_source *s,
                    struct tw_buf *out)
{
    static const char *const titles[] = {"name",         "unit",   "planned_low", "planned",
                                         "planned_high", "actual", "verdict",     "basis"};
    struct tw_csv csv = {.buf = out};
    for (size_t i = 0; i < sizeof titles / sizeof *titles; i++) {
        tw_csv_text(&csv, titles[i]);
    }
    tw_csv_end_row(&csv);
    for (int i = 0; i < TW_COMPARE_ROWS; i++) {
        const struct tw_compare_row *row = &c->rows[i];
        put_csv_row(&csv, row->name, row->is_money ? "USD" : row->unit, row->planned, row->actual,
                    tw_compare_verdict_name(row->verdict), row->basis);
    }
    put_csv_row(&csv, "charged for a million tokens", "USD", tw_range_exact(NAN),
                c->charged_usd_per_million, "", s->currency);
    for (uint32_t i = 0; i < c->n_clouds; i++) {
        const struct tw_compare_cloud *cloud = &c->clouds[i];
        char name[128];
        snprintf(name, sizeof name, "a million tokens of %.96s", cloud->api->name);
        put_csv_row(&csv, name, "USD", tw_range_exact(cloud->planned_usd_per_million),
                    c->tokens_million > 0 ? cloud->usd / c->tokens_million : NAN, "",
                    cloud->api->source);
    }
}
