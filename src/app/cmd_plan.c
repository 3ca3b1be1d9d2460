/* plan: what to buy, rent or mix, what it will deliver, and when it pays. */
#include <stdio.h>
#include <string.h>

#include "app/command.h"
#include "app/plan_calibrate.h"
#include "app/plan_catalogue.h"
#include "app/plan_compare.h"
#include "app/plan_json.h"
#include "app/plan_meter.h"
#include "app/plan_print.h"
#include "app/plan_report.h"
#include "app/plan_simulate.h"
#include "base/file.h"
#include "base/mem.h"

#define REPORT_BOUND_BYTES ((size_t)64 << 20)

/* ---- a plan ---- */

struct plan_args {
    const char *model, *report, *currency, *data, *config;
    struct tw_option_strings devices, apis, weights, money;
    double users, requests_s, input_tokens, output_tokens;
    int64_t months;
    bool json, csv, force;
};

#define ROW(field) offsetof(struct plan_args, field)

static const struct tw_option options[] = {
    {.name = "json", .kind = TW_OPTION_FLAG, .offset = ROW(json), .help = "Print all as JSON."},
    {.name = "csv",
     .kind = TW_OPTION_FLAG,
     .offset = ROW(csv),
     .help = "Print a row for each option and month."},
    {.name = "report",
     .kind = TW_OPTION_STRING,
     .offset = ROW(report),
     .value_name = "F",
     .help = "Write a page with charts and sliders, which needs no network."},
    {.name = "force",
     .kind = TW_OPTION_FLAG,
     .offset = ROW(force),
     .help = "Replace the report if it is there."},
};
static const struct tw_option_group output_group = {"Output", options, 4};

static const struct tw_option data_options[] = {
    {.name = "data",
     .kind = TW_OPTION_STRING,
     .offset = ROW(data),
     .value_name = "FOLDER",
     .help = "Tables of your own (*.csv): catalogue and prices, which replace rows of ours."},
    {.name = "config",
     .kind = TW_OPTION_STRING,
     .offset = ROW(config),
     .value_name = "F",
     .help = "A model's config.json; the model is called as its folder, or as FILE of FILE.json."},
};
static const struct tw_option_group data_group = {"Tables", data_options, 2};

static const struct tw_option scenario_options[] = {
    {.name = "model",
     .kind = TW_OPTION_STRING,
     .offset = ROW(model),
     .value_name = "M",
     .help = "The model, by its name in the catalogue."},
    {.name = "users",
     .kind = TW_OPTION_DOUBLE,
     .offset = ROW(users),
     .value_name = "N",
     .help = "People who chat with it.",
     .most = 1e10},
    {.name = "requests-per-s",
     .kind = TW_OPTION_DOUBLE,
     .offset = ROW(requests_s),
     .value_name = "R",
     .help = "Requests a second at the peak hour, instead of users.",
     .most = 1e7},
    {.name = "input-tokens",
     .kind = TW_OPTION_DOUBLE,
     .offset = ROW(input_tokens),
     .value_name = "N",
     .help = "Of a request, on average. Default: 512.",
     .most = TW_LIMIT_PLAN_CONTEXT_TOKENS},
    {.name = "output-tokens",
     .kind = TW_OPTION_DOUBLE,
     .offset = ROW(output_tokens),
     .value_name = "N",
     .help = "Of an answer, on average. Default: 256.",
     .most = TW_LIMIT_PLAN_CONTEXT_TOKENS},
    {.name = "device",
     .kind = TW_OPTION_STRINGS,
     .offset = ROW(devices),
     .value_name = "D",
     .help = "A device to try. Default: the likely ones of the catalogue."},
    {.name = "weights",
     .kind = TW_OPTION_STRINGS,
     .offset = ROW(weights),
     .value_name = "F",
     .help = "A format of weights that is good enough: fp8, int4, ..."},
    {.name = "api",
     .kind = TW_OPTION_STRINGS,
     .offset = ROW(apis),
     .value_name = "A",
     .help = "Tokens that are good enough, by their name in the prices."},
    {.name = "months",
     .kind = TW_OPTION_INT,
     .offset = ROW(months),
     .value_name = "N",
     .help = "The horizon. Default: 36.",
     .least = 1,
     .most = TW_LIMIT_PLAN_MONTHS},
    {.name = "currency",
     .kind = TW_OPTION_STRING,
     .offset = ROW(currency),
     .value_name = "C",
     .help = "USD, EUR or CNY. Default: USD."},
    {.name = "money",
     .kind = TW_OPTION_STRINGS,
     .offset = ROW(money),
     .value_name = "K=V",
     .help = "A number of the scenario's money, such as pue=1.2 or growth=0..0.3."},
};
static const struct tw_option_group scenario_group = {
    "Instead of a scenario's file", scenario_options,
    sizeof scenario_options / sizeof scenario_options[0]};

/* A text of a command line as YAML: quoted, whatever it holds. */
static void put_word(struct tw_buf *yaml, const char *text)
{
    tw_buf_append_text(yaml, "'");
    for (const char *c = text; *c != '\0'; c++) {
        tw_buf_append(yaml, *c == '\n' ? " " : c, 1);
        if (*c == '\'') {
            tw_buf_append_text(yaml, "'");
        }
    }
    tw_buf_append_text(yaml, "'");
}

static void put_list(struct tw_buf *yaml, const char *key, const struct tw_option_strings *list)
{
    for (size_t i = 0; i < list->n_items; i++) {
        if (i == 0) {
            tw_buf_append_format(yaml, "%s:\n", key);
        }
        tw_buf_append_text(yaml, "  - ");
        put_word(yaml, list->items[i]);
        tw_buf_append_text(yaml, "\n");
    }
}

static enum tw_status put_money(struct tw_buf *yaml, const struct tw_option_strings *list,
                                struct tw_error *error)
{
    for (size_t i = 0; i < list->n_items; i++) {
        const char *equals = strchr(list->items[i], '=');
        if (equals == NULL) {
            return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                                "--money '%.60s': write KEY=VALUE, such as pue=1.2",
                                list->items[i]);
        }
        tw_buf_append_format(yaml, i == 0 ? "money:\n  %.*s: " : "  %.*s: ",
                             (int)(equals - list->items[i]), list->items[i]);
        put_word(yaml, equals + 1);
        tw_buf_append_text(yaml, "\n");
    }
    return TW_OK;
}

/* The scenario that options say, as the file that would say it. */
static enum tw_status write_scenario(const struct plan_args *args, struct tw_buf *yaml,
                                     struct tw_error *error)
{
    if (args->model == NULL || (args->users > 0) == (args->requests_s > 0)) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "plan needs a scenario's file, or --model and either --users or "
                            "--requests-per-s: tokenworks plan --help");
    }
    tw_buf_append_text(yaml, "name: by options\nmodel: ");
    put_word(yaml, args->model);
    tw_buf_append_format(yaml, "\nuse-cases:\n  - name: all\n    %s: %.9g\n",
                         args->users > 0 ? "users" : "requests-per-s",
                         args->users > 0 ? args->users : args->requests_s);
    if (args->input_tokens > 0) {
        tw_buf_append_format(yaml, "    input-tokens: %.9g\n", args->input_tokens);
    }
    if (args->output_tokens > 0) {
        tw_buf_append_format(yaml, "    output-tokens: %.9g\n", args->output_tokens);
    }
    if (args->months > 0) {
        tw_buf_append_format(yaml, "horizon-months: %lld\n", (long long)args->months);
    }
    if (args->currency != NULL) {
        tw_buf_append_text(yaml, "currency: ");
        put_word(yaml, args->currency);
        tw_buf_append_text(yaml, "\n");
    }
    put_list(yaml, "devices", &args->devices);
    put_list(yaml, "weights", &args->weights);
    put_list(yaml, "apis", &args->apis);
    return put_money(yaml, &args->money, error);
}

static enum tw_status read_scenario(const struct plan_args *args, const struct tw_words *words,
                                    struct tw_scenario **ret_scenario, struct tw_error *error)
{
    struct tw_buf yaml;
    const bool has_options = args->model != NULL || args->currency != NULL || args->users > 0 ||
                             args->requests_s > 0 || args->input_tokens > 0 ||
                             args->output_tokens > 0 || args->months > 0 ||
                             args->devices.n_items > 0 || args->weights.n_items > 0 ||
                             args->apis.n_items > 0 || args->money.n_items > 0;
    if (words->n_items > 0 && has_options) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "plan takes either a scenario's file or options in its place: write "
                            "into '%.100s' what the options say",
                            words->items[0]);
    }
    if (words->n_items > 0) {
        return tw_scenario_load(words->items[0], ret_scenario, error);
    }
    tw_buf_init(&yaml, TW_LIMIT_PLAN_SCENARIO_BYTES);
    enum tw_status status = write_scenario(args, &yaml, error);
    if (status == TW_OK) {
        status = tw_scenario_read(yaml.data, yaml.size_bytes, "options", ret_scenario, error);
    }
    tw_buf_free(&yaml);
    return status;
}

/* The folder's tables come after those that the scenario names. */
static enum tw_status add_tables(struct tw_scenario *scenario, const struct tw_plan_folder *folder,
                                 struct tw_error *error)
{
    if (scenario->catalogue_files.n + folder->n_catalogue > TW_LIMIT_PLAN_NAMES ||
        scenario->price_files.n + folder->n_prices > TW_LIMIT_PLAN_NAMES) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "more than %d tables of one kind; put some together",
                            TW_LIMIT_PLAN_NAMES);
    }
    for (uint32_t i = 0; i < folder->n_catalogue; i++) {
        scenario->catalogue_files.items[scenario->catalogue_files.n++] = folder->catalogue[i];
    }
    for (uint32_t i = 0; i < folder->n_prices; i++) {
        scenario->price_files.items[scenario->price_files.n++] = folder->prices[i];
    }
    return TW_OK;
}

static enum tw_status add_config(struct tw_scenario *scenario, const char *path,
                                 struct tw_error *error)
{
    struct tw_scenario_names *files = &scenario->catalogue_files;
    const size_t n = strlen(path);
    if (n < 6 || strcmp(path + n - 5, ".json") != 0 || !tw_file_exists(path)) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "--config '%.100s': there is no such file, or it does not end with "
                            ".json",
                            path);
    }
    if (files->n == TW_LIMIT_PLAN_NAMES) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "more than %d tables of one kind; put some together",
                            TW_LIMIT_PLAN_NAMES);
    }
    files->items[files->n++] = path;
    return TW_OK;
}

static enum tw_status write_report(const struct tw_plan *plan, const char *path,
                                   struct tw_error *error)
{
    struct tw_file_writer *writer = NULL;
    struct tw_buf page;
    tw_buf_init(&page, REPORT_BOUND_BYTES);
    tw_plan_report(plan, &page);
    enum tw_status status = tw_file_writer_open(path, &writer, error);
    if (status == TW_OK) {
        status = tw_file_writer_write(writer, page.data, page.size_bytes, error);
        if (status == TW_OK) {
            status = tw_file_writer_commit(writer, error);
        } else {
            tw_file_writer_abort(writer);
        }
    }
    tw_buf_free(&page);
    return status;
}

static int make(int argc, char **argv)
{
    struct plan_args args = {0};
    const struct tw_command_spec spec = {
        .name = "plan",
        .synopsis = "SCENARIO [OPTIONS]",
        .about = "Says what to buy, rent or mix for a load, what it will deliver, what it costs\n"
                 "and when it pays, from one file (docs/plan.md) or from options.\n"
                 "Also: plan catalogue, simulate, compare, meter, calibrate, published.",
        .least_words = 0,
        .most_words = 1,
        .uses = {{&output_group, &args}, {&data_group, &args}, {&scenario_group, &args}},
    };
    struct tw_words words;
    struct tw_scenario *scenario = NULL;
    struct tw_plan *plan = NULL;
    struct tw_plan_folder folder = {0};
    struct tw_buf out;
    struct tw_error error;
    int exit_code;
    tw_buf_init(&out, REPORT_BOUND_BYTES);
    if (tw_command_parse(&spec, argc, argv, &words, &exit_code)) {
        enum tw_status status = TW_OK;
        if (args.report != NULL) {
            status = tw_command_check_output(args.report, args.force, &error);
        }
        status = status == TW_OK ? read_scenario(&args, &words, &scenario, &error) : status;
        if (status == TW_OK && args.data != NULL) {
            status = tw_plan_folder_open(args.data, &folder, &error);
            status = status == TW_OK ? add_tables(scenario, &folder, &error) : status;
        }
        status = status == TW_OK && args.config != NULL ? add_config(scenario, args.config, &error)
                                                        : status;
        status = status == TW_OK ? tw_plan_make(scenario, &plan, &error) : status;
        if (status == TW_OK && args.report != NULL) {
            status = write_report(plan, args.report, &error);
        }
        if (status == TW_OK) {
            (args.json ? tw_plan_json : args.csv ? tw_plan_csv : tw_plan_print)(plan, &out);
        }
        exit_code = tw_command_finish(&out, status, &error);
    }
    tw_plan_free(plan);
    tw_scenario_free(scenario);
    tw_plan_folder_free(&folder);
    tw_option_strings_free(&args.devices);
    tw_option_strings_free(&args.apis);
    tw_option_strings_free(&args.weights);
    tw_option_strings_free(&args.money);
    return exit_code;
}

/* ---- tables ---- */

static int published(int argc, char **argv)
{
    const struct tw_command_spec spec = {
        .name = "plan published",
        .synopsis = "",
        .about = "Prints tables of others that are known, computed again with this program's\n"
                 "arithmetic: as they were printed, as they state, and with what they left out.",
    };
    struct tw_words words;
    struct tw_buf out;
    struct tw_error error;
    int exit_code;
    if (!tw_command_parse(&spec, argc, argv, &words, &exit_code)) {
        return exit_code;
    }
    tw_buf_init(&out, REPORT_BOUND_BYTES);
    tw_plan_print_published(&out);
    return tw_command_finish(&out, TW_OK, &error);
}

static const struct tw_command parts[] = {
    {"published", "compute known tables of others again", published},
    {"catalogue", "print the rows that plans are made of, with their sources", tw_plan_catalogue},
    {"calibrate", "what an engine reaches on a machine that was measured", tw_plan_calibrate},
    {"compare", "a plan beside what was used, what it took and what it cost", tw_plan_compare},
    {"meter", "record what this machine's counters of energy show", tw_plan_meter},
    {"simulate", "what one plant gives under one load", tw_plan_simulate},
    {NULL, NULL, NULL},
};

int tw_cmd_plan(int argc, char **argv)
{
    tw_mem_keep_freed();
    for (int i = 0; argc > 1 && parts[i].name != NULL; i++) {
        if (strcmp(parts[i].name, argv[1]) == 0) {
            return parts[i].run(argc - 1, argv + 1);
        }
    }
    return make(argc, argv);
}
