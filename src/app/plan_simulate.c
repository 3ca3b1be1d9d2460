#include "app/plan_simulate.h"

#include "app/command.h"
#include "app/plan_plant_args.h"
#include "base/json.h"
#include "plan/catalogue.h"
#include "plan/simulator.h"

#define RESULT_BYTES ((size_t)64 << 10)

struct args {
    struct tw_plan_plant_args plant;
    const char *trace;
    int64_t clients, requests, replicas;
    double rate, input_tokens, output_tokens;
    struct tw_option_uint64 seed;
    bool json;
};

#define ROW(field) offsetof(struct args, field)

static const struct tw_option options[] = {
    {.name = "trace",
     .kind = TW_OPTION_STRING,
     .offset = ROW(trace),
     .value_name = "F",
     .help = "Requests with arrival and tokens, CSV or JSONL. Else they are made:"},
    {.name = "requests",
     .kind = TW_OPTION_INT,
     .offset = ROW(requests),
     .value_name = "N",
     .help = "How many. Default: 1000.",
     .least = 1,
     .most = TW_LIMIT_PLAN_REQUESTS},
    {.name = "input-tokens",
     .kind = TW_OPTION_DOUBLE,
     .offset = ROW(input_tokens),
     .value_name = "N",
     .help = "Of each request. Default: 512.",
     .least = 1,
     .most = TW_LIMIT_PLAN_CONTEXT_TOKENS},
    {.name = "output-tokens",
     .kind = TW_OPTION_DOUBLE,
     .offset = ROW(output_tokens),
     .value_name = "N",
     .help = "Of each answer. Default: 256.",
     .least = 1,
     .most = TW_LIMIT_PLAN_CONTEXT_TOKENS},
    {.name = "rate",
     .kind = TW_OPTION_DOUBLE,
     .offset = ROW(rate),
     .value_name = "R",
     .help = "Requests a second, at random moments. Default: 1.",
     .most = 1e7},
    {.name = "seed",
     .kind = TW_OPTION_UINT64,
     .offset = ROW(seed),
     .value_name = "N",
     .help = "Of those moments. Default: 1."},
    {.name = "clients",
     .kind = TW_OPTION_INT,
     .offset = ROW(clients),
     .value_name = "N",
     .help = "So many clients, each of which asks again when it has its answer; arrivals do not "
             "matter then.",
     .least = 1,
     .most = 1 << 20},
    {.name = "replicas",
     .kind = TW_OPTION_INT,
     .offset = ROW(replicas),
     .value_name = "N",
     .help = "Such machines behind one router. Default: 1.",
     .least = 1,
     .most = TW_LIMIT_PLAN_DEVICES},
    {.name = "json", .kind = TW_OPTION_FLAG, .offset = ROW(json), .help = "Print one JSON object."},
};
static const struct tw_option_group group = {"The load", options,
                                             sizeof options / sizeof options[0]};

static enum tw_status make_load(const struct args *args, struct tw_workload *ret_workload,
                                struct tw_error *error)
{
    if (args->trace != NULL) {
        return tw_workload_read_file(args->trace, 0, ret_workload, error);
    }
    const struct tw_use_case use = {
        .rate_requests_s = args->rate > 0 ? args->rate : 1,
        .arrivals = TW_ARRIVAL_GAMMA,
        .arrival_cv = 1,
        .input = {.mean_tokens = args->input_tokens > 0 ? args->input_tokens : 512},
        .output = {.mean_tokens = args->output_tokens > 0 ? args->output_tokens : 256}};
    return tw_workload_make(&use, 1, args->requests > 0 ? (uint32_t)args->requests : 1000,
                            args->seed.is_set ? args->seed.value : 1, ret_workload, error);
}

static uint32_t longest(const struct tw_workload *workload)
{
    return tw_workload_summarise(workload).total_most;
}

/* ---- printing ---- */

static void print_times(struct tw_buf *out, const char *name, const struct tw_plan_quantiles *q)
{
    tw_buf_append_format(out, "%-18s %10.1f %10.1f %10.1f %10.1f %10.1f\n", name, q->mean * 1e3,
                         q->p50 * 1e3, q->p90 * 1e3, q->p99 * 1e3, q->most * 1e3);
}

static void print_text(const struct tw_plan_result *r, struct tw_buf *out)
{
    tw_buf_append_format(out, "%u requests in %.2f s, %u refused\n", r->n_completed, r->duration_s,
                         r->n_refused);
    tw_buf_append_format(out,
                         "answers: %.1f tokens/s; %.2f requests/s; busy %.0f%%, %.1f answers a "
                         "step, %llu preemptions\n\n",
                         r->output_tokens_s, r->requests_s, 100 * r->busy_share,
                         r->decode_rows_mean, (unsigned long long)r->n_preemptions);
    tw_buf_append_format(out, "%-18s %10s %10s %10s %10s %10s\n", "milliseconds", "mean", "p50",
                         "p90", "p99", "most");
    print_times(out, "first token", &r->ttft_s);
    print_times(out, "each further token", &r->tpot_s);
    print_times(out, "whole answer", &r->latency_s);
    tw_buf_append_format(out, "\nKV cache: %.0f%% on average, %.0f%% at most; power %.0f W",
                         100 * r->kv_share_mean, 100 * r->kv_share_most, r->power_w);
}

static void put_times(struct tw_json_writer *json, const char *name,
                      const struct tw_plan_quantiles *q)
{
    tw_json_key(json, name);
    tw_json_object_begin(json);
    tw_json_put_double(json, "mean", q->mean);
    tw_json_put_double(json, "p50", q->p50);
    tw_json_put_double(json, "p90", q->p90);
    tw_json_put_double(json, "p99", q->p99);
    tw_json_put_double(json, "most", q->most);
    tw_json_object_end(json);
}

/* Names are those of `bench server --json` where it has the same. */
static void print_json(const struct tw_plan_result *r, struct tw_buf *out)
{
    struct tw_json_writer json;
    tw_json_begin(&json, out);
    tw_json_object_begin(&json);
    tw_json_put_uint(&json, "completed", r->n_completed);
    tw_json_put_uint(&json, "refused", r->n_refused);
    tw_json_put_double(&json, "seconds", r->duration_s);
    tw_json_put_double(&json, "prompt_tokens", r->input_tokens);
    tw_json_put_double(&json, "cached_tokens", r->cached_tokens);
    tw_json_put_double(&json, "answer_tokens", r->output_tokens);
    tw_json_put_double(&json, "answer_tokens_per_s", r->output_tokens_s);
    tw_json_put_double(&json, "requests_per_s", r->requests_s);
    put_times(&json, "first_token_s", &r->ttft_s);
    put_times(&json, "token_s", &r->tpot_s);
    put_times(&json, "whole_s", &r->latency_s);
    tw_json_put_double(&json, "busy_share", r->busy_share);
    tw_json_put_double(&json, "rows_a_step", r->decode_rows_mean);
    tw_json_put_double(&json, "kv_share_most", r->kv_share_most);
    tw_json_put_uint(&json, "preemptions", r->n_preemptions);
    tw_json_put_double(&json, "power_w", r->power_w);
    tw_json_object_end(&json);
}

static enum tw_status simulate(const struct args *args, const struct tw_catalogue *catalogue,
                               struct tw_buf *out, struct tw_error *error)
{
    struct tw_workload workload;
    struct tw_plant plant;
    struct tw_plan_result result;
    enum tw_status status =
        tw_plan_plant_find(&args->plant, "tokenworks", catalogue, &plant, error);
    status = status == TW_OK ? make_load(args, &workload, error) : status;
    if (status != TW_OK) {
        return status;
    }
    plant.n_context_tokens = longest(&workload);
    plant.n_replicas = args->replicas > 0 ? (uint32_t)args->replicas : 1;
    const struct tw_simulation simulation = {
        .plant = &plant, .workload = &workload, .n_clients = (uint32_t)args->clients};
    status = tw_simulate(&simulation, &result, NULL, error);
    tw_workload_free(&workload);
    if (status == TW_OK) {
        (args->json ? print_json : print_text)(&result, out);
    }
    return status;
}

int tw_plan_simulate(int argc, char **argv)
{
    struct args args = {0};
    const struct tw_command_spec spec = {
        .name = "plan simulate",
        .synopsis = "--model M --device D [OPTIONS]",
        .about = "Prints what one plant gives under one load: a trace, requests at a rate, or\n"
                 "clients that ask in turn. The scheduler is the one that serves; the time is\n"
                 "that of the catalogue, or of your own measurements (plan calibrate).",
        .uses = {{&tw_plan_plant_group, &args.plant}, {&group, &args}},
    };
    struct tw_words words;
    struct tw_catalogue *catalogue = NULL;
    struct tw_buf out;
    struct tw_error error;
    int exit_code;
    tw_buf_init(&out, RESULT_BYTES);
    if (tw_command_parse(&spec, argc, argv, &words, &exit_code)) {
        enum tw_status status =
            tw_catalogue_open((const char *const *)args.plant.catalogues.items,
                              (uint32_t)args.plant.catalogues.n_items, &catalogue, &error);
        status = status == TW_OK ? simulate(&args, catalogue, &out, &error) : status;
        status = status == TW_OK ? tw_command_write_line(&out, &error) : status;
        exit_code = status == TW_OK ? 0 : tw_command_fail(&error);
    }
    tw_catalogue_free(catalogue);
    tw_buf_free(&out);
    tw_option_strings_free(&args.plant.catalogues);
    return exit_code;
}
