/* bench: how fast a model runs here, beside what this machine could do at most. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/bench_engine.h"
#include "app/bench_rates.h"
#include "app/command.h"
#include "app/model_args.h"
#include "app/progress.h"
#include "base/json.h"

enum { REPORT_BYTES = 1 << 20, MOST_IN_LIST = 16, SHARE_BYTES = 24 };

struct bench_args {
    const char *model;
    const char *prompts, *batches, *depths;
    int64_t n_threads, n_decode_steps, n_rounds;
    int kv_type;
    bool csv, json;
    struct tw_pack_args pack;
};

#define ROW(field) offsetof(struct bench_args, field)

static const struct tw_option options[] = {
    {.name = "model",
     .kind = TW_OPTION_STRING,
     .offset = ROW(model),
     .value_name = "F",
     .help = "The model: a .gguf file or a Hugging Face folder."},
    {.name = "prompt",
     .kind = TW_OPTION_STRING,
     .offset = ROW(prompts),
     .value_name = "N,...",
     .help = "Tokens of a prompt to read, in pieces of 512; 0 for none. Default: 512."},
    {.name = "gen",
     .kind = TW_OPTION_INT,
     .offset = ROW(n_decode_steps),
     .value_name = "N",
     .least = 1,
     .most = 4096,
     .help = "Tokens that each sequence generates in a round. Default: 8."},
    {.name = "batch",
     .kind = TW_OPTION_STRING,
     .offset = ROW(batches),
     .value_name = "N,...",
     .help = "How many sequences generate at once; 0 for none. Default: 1,4,16,32."},
    {.name = "depth",
     .kind = TW_OPTION_STRING,
     .offset = ROW(depths),
     .value_name = "N,...",
     .help = "Tokens that each sequence has before. Default: 0."},
    {.name = "rounds",
     .kind = TW_OPTION_INT,
     .offset = ROW(n_rounds),
     .value_name = "N",
     .least = 1,
     .most = TW_LIMIT_BENCH_ROUNDS,
     .help = "How often everything is measured, in turn; medians count. Default: 5."},
    {.name = "threads",
     .kind = TW_OPTION_INT,
     .offset = ROW(n_threads),
     .value_name = "N",
     .least = 0,
     .most = TW_LIMIT_THREADS,
     .help = "Threads that compute. Default: 0, as many as there are cores."},
    {.name = "kv-type",
     .kind = TW_OPTION_CHOICE,
     .offset = ROW(kv_type),
     .value_name = "T",
     .choices = tw_kv_type_names,
     .help = "How the KV cache is kept: f16 or q8_0. Default: f16."},
    TW_PACK_ARGS_ROWS(struct bench_args, pack),
    {.name = "csv",
     .kind = TW_OPTION_FLAG,
     .offset = ROW(csv),
     .help = "Print comma-separated values."},
    {.name = "json",
     .kind = TW_OPTION_FLAG,
     .offset = ROW(json),
     .help = "Print one JSON object, with a model of what a step costs."},
};

static const struct tw_option_group group = {"Options", options,
                                             sizeof options / sizeof options[0]};

/* ---- what to measure ---- */

struct numbers {
    uint32_t items[MOST_IN_LIST];
    size_t n_items;
};

static enum tw_status read_numbers(const char *option, const char *text, uint32_t most,
                                   struct numbers *ret_numbers, struct tw_error *error)
{
    ret_numbers->n_items = 0;
    for (const char *at = text; ret_numbers->n_items < MOST_IN_LIST; at++) {
        char *end;
        const unsigned long value = strtoul(at, &end, 10);
        if (end == at || *at < '0' || *at > '9' || value > most || (*end != ',' && *end != '\0')) {
            break;
        }
        ret_numbers->items[ret_numbers->n_items++] = (uint32_t)value;
        if (*end == '\0') {
            return TW_OK;
        }
        at = end;
    }
    return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                        "--%s '%.40s': it must be up to %d whole numbers from 0 to %u with commas "
                        "between them, as in 1,4,16",
                        option, text, MOST_IN_LIST, most);
}

struct plan {
    struct tw_bench_point points[TW_LIMIT_BENCH_POINTS];
    size_t n_points;
};

static bool add_point(struct plan *plan, struct tw_bench_point point)
{
    if (point.n_tokens == 0 && point.n_sequences == 0) {
        return true;
    }
    if (plan->n_points == TW_LIMIT_BENCH_POINTS) {
        return false;
    }
    plan->points[plan->n_points++] = point;
    return true;
}

static enum tw_status make_plan(const struct bench_args *args, struct plan *plan,
                                struct tw_error *error)
{
    struct numbers prompts, batches, depths;
    enum tw_status status =
        read_numbers("prompt", args->prompts, TW_LIMIT_MODEL_CONTEXT_TOKENS, &prompts, error);
    if (status == TW_OK) {
        status = read_numbers("batch", args->batches, TW_LIMIT_BATCH_SEQUENCES, &batches, error);
    }
    if (status == TW_OK) {
        status = read_numbers("depth", args->depths, TW_LIMIT_MODEL_CONTEXT_TOKENS, &depths, error);
    }
    if (status != TW_OK) {
        return status;
    }
    bool fits = true;
    for (size_t d = 0; d < depths.n_items; d++) {
        for (size_t i = 0; i < prompts.n_items; i++) {
            fits = add_point(plan, (struct tw_bench_point){.is_prefill = true,
                                                           .n_tokens = prompts.items[i],
                                                           .depth_tokens = depths.items[d]}) &&
                   fits;
        }
        for (size_t i = 0; i < batches.n_items; i++) {
            fits = add_point(plan, (struct tw_bench_point){.n_sequences = batches.items[i],
                                                           .depth_tokens = depths.items[d]}) &&
                   fits;
        }
    }
    if (!fits || plan->n_points == 0) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "--prompt, --batch and --depth must give from 1 to %d measurements "
                            "together",
                            TW_LIMIT_BENCH_POINTS);
    }
    return TW_OK;
}

/* ---- printing ---- */

static double tokens_per_second(const struct tw_bench_point *point)
{
    return (point->is_prefill ? point->n_tokens : point->n_sequences) / point->seconds;
}

static const char *phase_of(const struct tw_bench_point *point)
{
    return point->is_prefill ? "prefill" : "decode";
}

static uint32_t size_of(const struct tw_bench_point *point)
{
    return point->is_prefill ? point->n_tokens : point->n_sequences;
}

/* Faster than memory can be read: the weights stay in a cache, whose rate nobody has measured. */
static bool has_share(const struct tw_bench_point *point)
{
    return !point->reads_longer || point->share <= 1;
}

static void write_share(const struct tw_bench_point *point, const char *none, double scale,
                        int digits, char ret_text[SHARE_BYTES])
{
    if (has_share(point)) {
        snprintf(ret_text, SHARE_BYTES, "%.*f", digits, point->share * scale);
    } else {
        snprintf(ret_text, SHARE_BYTES, "%s", none);
    }
}

static void print_table(const struct plan *plan, const struct tw_bench_result *result,
                        struct tw_buf *out)
{
    tw_buf_append_format(out, "%s; %.0f MB of weights in a pass\n", result->device,
                         (double)result->weight_bytes * 1e-6);
    tw_bench_append_rates(out, "now", &result->limits);
    tw_buf_append_format(out, "\n\n%-8s %6s %6s %10s %20s %9s %11s %8s %6s  %s\n", "", "size",
                         "depth", "tokens/s", "ms (quartiles)", "MB", "GOP int8", "GFLOP", "of its",
                         "limit in");
    bool has_all = true;
    for (size_t i = 0; i < plan->n_points; i++) {
        const struct tw_bench_point *p = &plan->points[i];
        char spread[40], share[SHARE_BYTES];
        write_share(p, "-", 100, 0, share);
        has_all = has_all && has_share(p);
        (void)snprintf(spread, sizeof spread, "%.2f (%.2f-%.2f)", p->seconds * 1e3,
                       p->seconds_first_quartile * 1e3, p->seconds_third_quartile * 1e3);
        tw_buf_append_format(
            out, "%-8s %6u %6u %10.1f %20s %9.1f %11.2f %8.2f %5s%s  %s%s", phase_of(p), size_of(p),
            p->depth_tokens, tokens_per_second(p), spread, p->n_bytes * 1e-6,
            p->int8_operations * 1e-9, p->float_operations * 1e-9, share, has_share(p) ? "%" : " ",
            p->reads_longer ? "reading" : "arithmetic", i + 1 < plan->n_points ? "\n" : "");
    }
    if (!has_all) {
        tw_buf_append_text(out, "\n-: faster than this memory is read, since the weights stay in "
                                "a cache");
    }
}

static void print_csv(const struct plan *plan, const struct tw_bench_result *result,
                      struct tw_buf *out)
{
    tw_buf_append_format(
        out, "phase,size,depth,tokens_per_s,pass_s,first_quartile_s,third_quartile_s,bytes,"
             "int8_operations,float_operations,share_of_limit,limit,read_bytes_per_s,"
             "int8_per_s,bf16_per_s,f32_per_s");
    for (size_t i = 0; i < plan->n_points; i++) {
        const struct tw_bench_point *p = &plan->points[i];
        char share[SHARE_BYTES];
        write_share(p, "", 1, 3, share);
        tw_buf_append_format(out,
                             "\n%s,%u,%u,%.2f,%.6g,%.6g,%.6g,%.0f,%.0f,%.0f,%s,%s,%.4g,%.4g,%.4g,"
                             "%.4g",
                             phase_of(p), size_of(p), p->depth_tokens, tokens_per_second(p),
                             p->seconds, p->seconds_first_quartile, p->seconds_third_quartile,
                             p->n_bytes, p->int8_operations, p->float_operations, share,
                             p->reads_longer ? "reading" : "arithmetic", result->limits.read,
                             result->limits.int8, result->limits.bf16, result->limits.f32);
    }
}

static void print_json_point(const struct tw_bench_point *p, struct tw_json_writer *json)
{
    tw_json_object_begin(json);
    tw_json_put_text(json, "phase", phase_of(p));
    tw_json_put_uint(json, p->is_prefill ? "prompt_tokens" : "sequences", size_of(p));
    tw_json_put_uint(json, "depth_tokens", p->depth_tokens);
    tw_json_put_double(json, "tokens_per_s", tokens_per_second(p));
    tw_json_put_double(json, "pass_s", p->seconds);
    tw_json_put_double(json, "pass_first_quartile_s", p->seconds_first_quartile);
    tw_json_put_double(json, "pass_third_quartile_s", p->seconds_third_quartile);
    tw_json_put_double(json, "bytes", p->n_bytes);
    tw_json_put_double(json, "int8_operations", p->int8_operations);
    tw_json_put_double(json, "float_operations", p->float_operations);
    if (has_share(p)) {
        tw_json_put_double(json, "share_of_limit", p->share);
    } else {
        tw_json_put_null(json, "share_of_limit");
    }
    tw_json_put_text(json, "limit", p->reads_longer ? "reading" : "arithmetic");
    tw_json_object_end(json);
}

static void print_json(const struct bench_args *args, const struct plan *plan,
                       const struct tw_bench_result *result, struct tw_buf *out)
{
    struct tw_json_writer json;
    tw_json_begin(&json, out);
    tw_json_object_begin(&json);
    tw_json_put_text(&json, "model", args->model);
    tw_json_put_text(&json, "device", result->device);
    tw_json_put_text(&json, "kv_type", tw_kv_type_names[args->kv_type]);
    tw_json_put_int(&json, "rounds", args->n_rounds);
    tw_json_put_uint(&json, "weight_bytes", result->weight_bytes);
    tw_bench_put_rates(&json, "machine", &result->limits);
    tw_json_key(&json, "step_cost");
    tw_json_object_begin(&json);
    tw_json_put_double(&json, "step_s", result->cost.fixed_seconds);
    tw_json_put_double(&json, "token_s", result->cost.token_seconds);
    tw_json_put_double(&json, "logits_row_s", result->cost.output_seconds);
    tw_json_put_double(&json, "attended_position_s", result->cost.position_seconds);
    tw_json_put_double(&json, "relative_error", result->cost.error);
    tw_json_object_end(&json);
    tw_json_key(&json, "points");
    tw_json_array_begin(&json);
    for (size_t i = 0; i < plan->n_points; i++) {
        print_json_point(&plan->points[i], &json);
    }
    tw_json_array_end(&json);
    tw_json_object_end(&json);
}

/* ---- the command ---- */

static enum tw_status bench_engine(const struct bench_args *args, struct tw_error *error)
{
    struct plan plan = {.n_points = 0};
    struct tw_bench_result result;
    struct tw_progress progress;
    struct tw_pack_options pack = {.verifies = false};
    const struct tw_bench_config config = {
        .path = args->model,
        .n_threads = (int)args->n_threads,
        .kv_dtype = tw_kv_types[args->kv_type],
        .n_rounds = (uint32_t)args->n_rounds,
        .n_decode_steps = (uint32_t)args->n_decode_steps,
        .progress = tw_progress_go_on,
        .progress_context = &progress,
        .pack = &pack,
    };
    if (args->model == NULL) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "which model? Name a .gguf file or a Hugging Face folder with --model");
    }
    enum tw_status status = make_plan(args, &plan, error);
    if (status == TW_OK) {
        status = tw_pack_args_options(&args->pack, args->model, &pack, error);
    }
    if (status == TW_OK) {
        tw_progress_begin(&progress, "measuring");
        status = tw_bench_engine(&config, plan.points, plan.n_points, &result, error);
        tw_progress_end(&progress);
        tw_pack_options_free(&pack);
    }
    if (status != TW_OK) {
        return status;
    }
    struct tw_buf out;
    tw_buf_init(&out, REPORT_BYTES);
    if (args->json) {
        print_json(args, &plan, &result, &out);
    } else if (args->csv) {
        print_csv(&plan, &result, &out);
    } else {
        print_table(&plan, &result, &out);
    }
    status = tw_command_write_line(&out, error);
    tw_buf_free(&out);
    return status;
}

static int run_engine(int argc, char **argv)
{
    struct bench_args args = {.prompts = "512",
                              .batches = "1,4,16,32",
                              .depths = "0",
                              .n_decode_steps = 8,
                              .n_rounds = 5};
    const struct tw_command_spec spec = {
        .name = "bench engine",
        .synopsis = "--model F [--prompt N,...] [--batch N,...] [--depth N,...]",
        .about = "Measures how long a model takes to read prompts and to generate, for every size\n"
                 "and depth. Beside each figure stands the share of this machine's limit: what\n"
                 "must be read or computed at least, at the rates measured in between.",
        .uses = {{&group, &args}},
    };
    struct tw_words words;
    int exit_code;
    if (!tw_command_parse(&spec, argc, argv, &words, &exit_code)) {
        return exit_code;
    }
    struct tw_error error;
    return bench_engine(&args, &error) == TW_OK ? 0 : tw_command_fail(&error);
}

int tw_cmd_bench(int argc, char **argv)
{
    static const struct tw_command commands[] = {
        {"engine", "measure prompts and generation, beside the machine's limits", run_engine},
        {"server", "measure what clients of a server get", tw_cmd_bench_server},
        {NULL, NULL, NULL},
    };
    return tw_command_dispatch(commands, "tokenworks bench", "Measures speed.", argc, argv);
}
