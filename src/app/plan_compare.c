#define _GNU_SOURCE /* strcasestr */
#include "app/plan_compare.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "app/books_args.h"
#include "app/command.h"
#include "app/compare_print.h"
#include "base/clock.h"
#include "base/mem.h"
#include "hub/price.h"
#include "hub/usage_period.h"

#define OUT_BYTES ((size_t)16 << 20)

struct args {
    const char *books, *period, *zone, *in, *of, *option;
    struct tw_option_strings models, meters;
    int64_t month;
    double unmetered_w;
    bool json, csv;
};

#define ROW(field) offsetof(struct args, field)

static const struct tw_option options[] = {
    {.name = "books",
     .kind = TW_OPTION_STRING,
     .offset = ROW(books),
     .value_name = "B",
     .help = "The books: a file, its folder, or postgres://..."},
    {.name = "period",
     .kind = TW_OPTION_STRING,
     .offset = ROW(period),
     .value_name = "P",
     .help = "2026-11, 2026-11-01..2026-11-15, last-week, ... Default: this-month."},
    {.name = "zone",
     .kind = TW_OPTION_STRING,
     .offset = ROW(zone),
     .value_name = "Z",
     .help = "Whose days and hours: Europe/Berlin. Default: UTC."},
    {.name = "in",
     .kind = TW_OPTION_STRING,
     .offset = ROW(in),
     .value_name = "PATH",
     .help = "Only an organisation, team, project or key: acme/research, or #12."},
    {.name = "model",
     .kind = TW_OPTION_STRINGS,
     .offset = ROW(models),
     .value_name = "M",
     .help = "A model of the books that the plan is about, or '*'. Default: the plan's own."},
    {.name = "of",
     .kind = TW_OPTION_STRING,
     .offset = ROW(of),
     .value_name = "M",
     .help = "Of a scenario with several models the one that is compared."},
    {.name = "option",
     .kind = TW_OPTION_STRING,
     .offset = ROW(option),
     .value_name = "O",
     .help = "What was bought: the number of an option, or a part of its name. Default: 1."},
    {.name = "month",
     .kind = TW_OPTION_INT,
     .offset = ROW(month),
     .value_name = "N",
     .help = "Which month of the plan the period is, for its growth. Default: 1.",
     .least = 1,
     .most = TW_LIMIT_PLAN_MONTHS},
    {.name = "meter",
     .kind = TW_OPTION_STRINGS,
     .offset = ROW(meters),
     .value_name = "F",
     .help = "What plan meter recorded, a file for each machine."},
    {.name = "unmetered-watts",
     .kind = TW_OPTION_DOUBLE,
     .offset = ROW(unmetered_w),
     .value_name = "W",
     .help = "What all machines draw that no counter sees: fans, disks, losses. Default: 0.",
     .most = 1e9},
};
static const struct tw_option_group group = {"Options", options,
                                             sizeof options / sizeof options[0]};
static const struct tw_option output_options[] = {
    {.name = "json", .kind = TW_OPTION_FLAG, .offset = ROW(json), .help = "Print all as JSON."},
    {.name = "csv",
     .kind = TW_OPTION_FLAG,
     .offset = ROW(csv),
     .help = "Print a row for each figure."},
};
static const struct tw_option_group output_group = {"Output", output_options, 2};

/* Everything that a comparison is made of, and that is freed at its end. */
struct work {
    const struct args *args;
    struct tw_scenario *scenario;
    struct tw_plan *plan;
    uint32_t option;
    struct tw_db *db;
    struct tw_zone *zone;
    struct tw_period period;
    int64_t from_ns, to_ns; /* of it, what the books have */
    struct tw_meter_log *meters[TW_LIMIT_METER_FILES];
    struct tw_meter_cover cover;
    bool has_cover;
    struct tw_price_api apis[TW_LIMIT_PLAN_NAMES];
    struct tw_actual actual;
    struct tw_usage *usage;
    bool *is_chosen;
    int64_t charged_nano;
    char currency[TW_BOOKS_CURRENCY_BYTES];
    struct tw_range currency_usd;
};

static void free_work(struct work *w)
{
    tw_mem_free(w->is_chosen);
    tw_usage_free(w->usage);
    if (w->has_cover) {
        tw_meter_log_cover_free(&w->cover);
    }
    for (size_t i = 0; i < w->args->meters.n_items && i < TW_LIMIT_METER_FILES; i++) {
        tw_meter_log_free(w->meters[i]);
    }
    tw_zone_free(w->zone);
    tw_db_close(w->db);
    tw_plan_free(w->plan);
    tw_scenario_free(w->scenario);
    tw_mem_free(w);
}

/* ---- the option ---- */

static enum tw_status no_option(const struct work *w, const char *why, struct tw_error *error)
{
    return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                        "--option '%.60s' %s: the plan has 1 to %u, such as '%.100s'; 'tokenworks "
                        "plan --json' lists all",
                        w->args->option, why, w->plan->n_options, w->plan->options[0].name);
}

static enum tw_status find_option(struct work *w, struct tw_error *error)
{
    const char *wanted = w->args->option;
    uint32_t n = 0;
    if (wanted == NULL) {
        w->option = w->plan->best;
        return TW_OK;
    }
    if (strspn(wanted, "0123456789") == strlen(wanted)) {
        const long number = strlen(wanted) < 6 ? strtol(wanted, NULL, 10) : 0;
        if (number < 1 || number > (long)w->plan->n_options) {
            return no_option(w, "is none of them", error);
        }
        w->option = (uint32_t)number - 1;
        return TW_OK;
    }
    for (uint32_t i = 0; i < w->plan->n_options; i++) {
        if (strcmp(w->plan->options[i].name, wanted) == 0) {
            w->option = i;
            return TW_OK;
        }
        if (strcasestr(w->plan->options[i].name, wanted) != NULL) {
            w->option = i;
            n++;
        }
    }
    return n == 1 ? TW_OK
                  : no_option(w, n == 0 ? "is in the name of none" : "is in the names of several",
                              error);
}

/* ---- the time ---- */

static enum tw_status read_integers(struct tw_db *db, const char *sql, int n, int64_t *ret_values,
                                    struct tw_error *error)
{
    struct tw_db_statement *statement = NULL;
    bool has_row = false;
    enum tw_status status = tw_db_prepare(db, sql, &statement, error);
    status = status == TW_OK ? tw_db_query(statement, NULL, 0, error) : status;
    status = status == TW_OK ? tw_db_next(statement, &has_row, error) : status;
    if (status == TW_OK && !has_row) {
        status = tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                              "the store has no row of the books: it was damaged");
    }
    for (int i = 0; status == TW_OK && i < n; i++) {
        ret_values[i] = tw_db_column_is_null(statement, i) ? 0 : tw_db_column_integer(statement, i);
    }
    tw_db_finalize(statement);
    return status;
}

/* Of the period, what lies between the beginning of the books and now. */
static enum tw_status find_time(struct work *w, struct tw_error *error)
{
    const char *period = w->args->period != NULL ? w->args->period : "this-month";
    const int64_t now_ns = tw_clock_wall_ns();
    int64_t books[2] = {0};
    enum tw_status status =
        tw_zone_open(NULL, w->args->zone != NULL ? w->args->zone : "UTC", &w->zone, error);
    if (status == TW_OK) {
        status = tw_usage_period_parse(period, w->zone, now_ns / TW_SECOND_NS, &w->period, error);
    }
    if (status == TW_OK) {
        status = read_integers(w->db, "SELECT created_ns, last_ns FROM books WHERE id = 1", 2,
                               books, error);
    }
    if (status != TW_OK) {
        return status;
    }
    const int64_t end_ns = now_ns > books[1] ? now_ns : books[1] + 1;
    const int64_t from_ns = w->period.starts_s * TW_SECOND_NS;
    const bool is_endless = w->period.ends_s > INT64_MAX / TW_SECOND_NS;
    const int64_t to_ns = is_endless ? end_ns : w->period.ends_s * TW_SECOND_NS;
    w->from_ns = from_ns > books[0] ? from_ns : books[0];
    w->to_ns = to_ns < end_ns ? to_ns : end_ns;
    if (w->from_ns < w->to_ns) {
        return TW_OK;
    }
    char begin[TW_USAGE_PERIOD_TEXT_BYTES], end[TW_USAGE_PERIOD_TEXT_BYTES];
    tw_usage_period_write_utc(books[0] / TW_SECOND_NS, begin);
    tw_usage_period_write_utc(end_ns / TW_SECOND_NS, end);
    return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                        "--period '%.60s' has nothing of the books' time in it, which is %s to %s",
                        period, begin, end);
}

/* ---- counters ---- */

static enum tw_status read_meters(struct work *w, struct tw_error *error)
{
    const struct tw_option_strings *files = &w->args->meters;
    if (files->n_items > TW_LIMIT_METER_FILES) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "there are %zu files of --meter; at most %d", files->n_items,
                            TW_LIMIT_METER_FILES);
    }
    enum tw_status status = TW_OK;
    for (size_t i = 0; status == TW_OK && i < files->n_items; i++) {
        status = tw_meter_log_load(files->items[i], &w->meters[i], error);
    }
    if (status == TW_OK && files->n_items > 0) {
        status =
            tw_meter_log_cover(w->meters, files->n_items, w->from_ns, w->to_ns, &w->cover, error);
        w->has_cover = status == TW_OK;
    }
    return status;
}

static bool is_wall(const struct work *w)
{
    bool is = w->args->meters.n_items > 0;
    for (size_t i = 0; i < w->args->meters.n_items; i++) {
        is = is && w->meters[i]->is_wall;
    }
    return is;
}

/* ---- the ledger ---- */

static bool is_model(const struct work *w, const char *name)
{
    const struct tw_option_strings *models = &w->args->models;
    for (size_t i = 0; i < models->n_items; i++) {
        if (strcmp(models->items[i], "*") == 0 || strcmp(models->items[i], name) == 0) {
            return true;
        }
    }
    return models->n_items == 0 && strcasecmp(w->scenario->models[0].name, name) == 0;
}

static enum tw_status take(void *context, const struct tw_usage_settlement *settlement,
                           struct tw_error *error)
{
    struct work *w = context;
    const struct tw_usage_sums *sums = &settlement->sums;
    (void)error;
    if (!is_model(w, settlement->model)) {
        return TW_OK;
    }
    const struct tw_actual_request request = {
        .at_ns = settlement->at_ns,
        .input_tokens = (double)sums->input_tokens + (double)sums->cached_tokens,
        .cached_tokens = (double)sums->cached_tokens,
        .output_tokens = (double)sums->output_tokens,
        .is_batch = strcmp(settlement->class, tw_price_class_name(TW_PRICE_BATCH)) == 0,
        .is_metered = w->has_cover && tw_meter_log_covers(&w->cover, settlement->at_ns),
    };
    tw_actual_add(&w->actual, &request);
    return TW_OK;
}

static enum tw_status nothing_there(struct work *w, struct tw_error *error)
{
    int64_t ends[2] = {0};
    char first[TW_USAGE_PERIOD_TEXT_BYTES], last[TW_USAGE_PERIOD_TEXT_BYTES];
    enum tw_status status = read_integers(
        w->db, "SELECT MIN(at_ns), MAX(at_ns) FROM entry WHERE kind = 'settle'", 2, ends, error);
    if (status != TW_OK) {
        return status;
    }
    if (ends[1] == 0) {
        return tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION,
                            "the books have no request yet: there is nothing to compare the plan "
                            "with");
    }
    tw_usage_period_write_utc(ends[0] / TW_SECOND_NS, first);
    tw_usage_period_write_utc(ends[1] / TW_SECOND_NS, last);
    return tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION,
                        "the books have no request%s%.60s in this period; their first is of %s, "
                        "their last of %s: choose another --period%s",
                        w->args->in != NULL ? " in " : "", w->args->in != NULL ? w->args->in : "",
                        first, last, w->args->in != NULL ? " or --in" : "");
}

static enum tw_status other_models(struct work *w, struct tw_error *error)
{
    char names[160] = "", scratch[TW_USAGE_LABEL_BYTES];
    size_t n_bytes = 0;
    for (size_t i = 0; i < w->usage->n_rows && n_bytes < sizeof names - 1; i++) {
        const int n =
            snprintf(names + n_bytes, sizeof names - n_bytes, "%s%.60s", i > 0 ? ", " : "",
                     tw_usage_label(w->usage, w->usage->rows[i], 0, scratch));
        n_bytes += n > 0 ? (size_t)n : 0;
    }
    return tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION,
                        "no request of this period is for '%.60s'; the books have %s: say with "
                        "--model which of them the plan is about, or --model '*' for all",
                        w->args->models.n_items > 0 ? w->args->models.items[0]
                                                    : w->scenario->models[0].name,
                        names);
}

static enum tw_status read_ledger(struct work *w, struct tw_error *error)
{
    struct tw_usage_wish wish = {.by = {TW_USAGE_MODEL},
                                 .n_by = 1,
                                 .period = w->period,
                                 .zone = w->zone,
                                 .in = w->args->in,
                                 .each = take,
                                 .each_context = w};
    const struct tw_scenario_names *names = &w->scenario->models[0].apis;
    uint32_t n_apis = names->n;
    enum tw_status status = TW_OK;
    for (uint32_t i = 0; status == TW_OK && i < n_apis; i++) {
        status = tw_prices_api(w->plan->prices, names->items[i], &w->apis[i], error);
    }
    if (status == TW_OK) {
        tw_actual_begin(&w->actual, w->zone, w->from_ns, w->to_ns, w->apis, n_apis);
        status = tw_usage_read(w->db, &wish, &w->usage, error);
    }
    if (status != TW_OK) {
        return status;
    }
    w->is_chosen = tw_mem_zalloc(w->usage->n_rows + 1, sizeof *w->is_chosen);
    if (w->is_chosen == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a comparison");
    }
    for (size_t i = 0; i < w->usage->n_rows; i++) {
        char scratch[TW_USAGE_LABEL_BYTES];
        const struct tw_usage_row *row = w->usage->rows[i];
        w->is_chosen[i] = is_model(w, tw_usage_label(w->usage, row, 0, scratch));
        w->charged_nano += w->is_chosen[i] ? row->sums.amount_nano : 0;
    }
    if (w->usage->n_rows == 0) {
        return nothing_there(w, error);
    }
    return w->actual.n_requests > 0 ? TW_OK : other_models(w, error);
}

/* ---- all of it ---- */

/* Books tell models apart, so a plant for one is compared at a time. */
static enum tw_status keep_model(const struct args *args, struct tw_scenario *s,
                                 struct tw_error *error)
{
    char names[160] = "";
    size_t n_bytes = 0;
    if (args->of == NULL && s->n_models == 1) {
        return TW_OK;
    }
    for (uint32_t i = 0; i < s->n_models; i++) {
        if (args->of != NULL && strcasecmp(args->of, s->models[i].name) == 0) {
            tw_scenario_keep_model(s, i);
            return TW_OK;
        }
        if (n_bytes < sizeof names - 1) {
            n_bytes += (size_t)snprintf(names + n_bytes, sizeof names - n_bytes, "%s%.60s",
                                        i > 0 ? ", " : "", s->models[i].name);
        }
    }
    return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                        "say with --of which model of the scenario is compared: %s", names);
}

static enum tw_status gather(struct work *w, const char *scenario, struct tw_error *error)
{
    struct tw_error cause;
    enum tw_status status = tw_scenario_load(scenario, &w->scenario, error);
    status = status == TW_OK ? keep_model(w->args, w->scenario, error) : status;
    status = status == TW_OK ? tw_books_args_open(w->args->books, &w->db, error) : status;
    status = status == TW_OK ? find_time(w, error) : status;
    status = status == TW_OK ? tw_plan_make(w->scenario, &w->plan, error) : status;
    status = status == TW_OK ? find_option(w, error) : status;
    status = status == TW_OK ? read_meters(w, error) : status;
    status = status == TW_OK ? tw_books_args_currency(w->db, NULL, w->currency, error) : status;
    status = status == TW_OK ? read_ledger(w, error) : status;
    if (status == TW_OK &&
        tw_prices_currency(w->plan->prices, w->currency, &w->currency_usd, &cause) != TW_OK) {
        w->currency_usd = tw_range_exact(NAN);
    }
    return status;
}

static enum tw_status compare(struct work *w, struct tw_buf *out, struct tw_error *error)
{
    struct tw_comparison *comparison = NULL;
    const struct tw_compare_wish wish = {
        .plan = w->plan,
        .option = w->option,
        .month = w->args->month > 0 ? (uint32_t)w->args->month : 1,
        .actual = &w->actual,
        .cover = w->has_cover ? &w->cover : NULL,
        .is_wall = is_wall(w),
        .unmetered_w = w->args->unmetered_w,
        .charged_usd = (double)w->charged_nano * 1e-9 * w->currency_usd.typical,
    };
    const struct tw_compare_source source = {
        .usage = w->usage,
        .is_chosen = w->is_chosen,
        .currency = w->currency,
        .charged_nano = w->charged_nano,
        .currency_usd = w->currency_usd,
        .meter_files = w->args->meters.items,
        .meters = w->meters,
        .n_meters = w->args->meters.n_items,
    };
    enum tw_status status = tw_compare_make(&wish, &comparison, error);
    if (status == TW_OK) {
        (w->args->json  ? tw_compare_json
         : w->args->csv ? tw_compare_csv
                        : tw_compare_print)(comparison, &source, out);
    }
    tw_compare_free(comparison);
    return status;
}

/* Rows of CSV end with CR LF, which is no text for people. */
static enum tw_status write_out(const struct args *args, struct tw_buf *out, struct tw_error *error)
{
    if (args->csv && !args->json && !out->failed) {
        return tw_command_write(out->data, out->size_bytes, error);
    }
    if (out->size_bytes > 0 && out->data[out->size_bytes - 1] == '\n') {
        out->size_bytes--;
    }
    return tw_command_write_line(out, error);
}

int tw_plan_compare(int argc, char **argv)
{
    struct args args = {0};
    const struct tw_command_spec spec = {
        .name = "plan compare",
        .synopsis = "SCENARIO --books B [OPTIONS]",
        .about = "Shows a plan beside what was: load from the ledger of the books, energy from\n"
                 "counters that plan meter recorded, cost, and what the same tokens would have\n"
                 "cost elsewhere; and says what in the scenario is off (docs/plan-compare.md).",
        .least_words = 1,
        .most_words = 1,
        .uses = {{&group, &args}, {&output_group, &args}},
    };
    struct tw_words words;
    struct tw_buf out;
    struct tw_error error;
    int exit_code;
    tw_buf_init(&out, OUT_BYTES);
    if (tw_command_parse(&spec, argc, argv, &words, &exit_code)) {
        struct work *w = tw_mem_zalloc(1, sizeof *w);
        enum tw_status status = w != NULL ? TW_OK
                                          : tw_error_set(&error, TW_ERR_MEMORY, TW_NO_POSITION,
                                                         "no memory for a comparison");
        if (status == TW_OK) {
            w->args = &args;
            status = gather(w, words.items[0], &error);
            status = status == TW_OK ? compare(w, &out, &error) : status;
            free_work(w);
        }
        status = status == TW_OK ? write_out(&args, &out, &error) : status;
        exit_code = status == TW_OK ? 0 : tw_command_fail(&error);
    }
    tw_buf_free(&out);
    tw_option_strings_free(&args.models);
    tw_option_strings_free(&args.meters);
    return exit_code;
}
