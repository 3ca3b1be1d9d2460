/* bench server: what clients of a server with the OpenAI API get when many ask at once. */
#include <stdio.h>
#include <string.h>

#include "app/bench_rates.h"
#include "app/bench_server.h"
#include "app/command.h"
#include "base/file.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/mem.h"

enum { REPORT_BYTES = 1 << 16, KEY_BYTES = 512, READ_BYTES = 256 << 20 };

static const char *const endpoints[] = {"chat", "completions", NULL};

struct server_args {
    const char *model, *key_path, *ca_path;
    int endpoint;
    int64_t n_clients, n_requests, n_prompt_words, n_shared_words, n_answer_tokens, timeout_seconds;
    double rate, good_first_ms, good_token_ms;
    struct tw_option_uint64 seed;
    bool ignores_eos, json;
};

#define ROW(field) offsetof(struct server_args, field)

static const struct tw_option options[] = {
    {.name = "clients",
     .kind = TW_OPTION_INT,
     .offset = ROW(n_clients),
     .value_name = "N",
     .least = 1,
     .most = TW_LIMIT_BENCH_CLIENTS,
     .help = "Clients that ask again as soon as they have their answers; with --rate, the most "
             "requests at once. Default: 16."},
    {.name = "rate",
     .kind = TW_OPTION_DOUBLE,
     .offset = ROW(rate),
     .value_name = "R",
     .least = 0,
     .most = 1e6,
     .help = "Requests a second that arrive at random moments, whatever the server does. Default: "
             "0, clients ask in turn."},
    {.name = "requests",
     .kind = TW_OPTION_INT,
     .offset = ROW(n_requests),
     .value_name = "N",
     .least = 1,
     .most = TW_LIMIT_BENCH_REQUESTS,
     .help = "Requests in all. Default: 64."},
    {.name = "prompt",
     .kind = TW_OPTION_INT,
     .offset = ROW(n_prompt_words),
     .value_name = "N",
     .least = 1,
     .most = 1000000,
     .help = "Words of a prompt, of about a token each. Default: 128."},
    {.name = "shared",
     .kind = TW_OPTION_INT,
     .offset = ROW(n_shared_words),
     .value_name = "N",
     .least = 0,
     .most = 1000000,
     .help = "How many of them, at the beginning, are the same in all requests. Default: 0."},
    {.name = "gen",
     .kind = TW_OPTION_INT,
     .offset = ROW(n_answer_tokens),
     .value_name = "N",
     .least = 1,
     .most = 1000000,
     .help = "Most tokens of an answer. Default: 64."},
    {.name = "ignore-eos",
     .kind = TW_OPTION_FLAG,
     .offset = ROW(ignores_eos),
     .help = "Ask for answers of full length; the server must know 'ignore_eos'."},
    {.name = "endpoint",
     .kind = TW_OPTION_CHOICE,
     .offset = ROW(endpoint),
     .value_name = "E",
     .choices = endpoints,
     .help = "chat or completions. Default: chat."},
    {.name = "model",
     .kind = TW_OPTION_STRING,
     .offset = ROW(model),
     .value_name = "NAME",
     .help = "The model's name in requests. Default: none is named."},
    {.name = "api-key-file",
     .kind = TW_OPTION_STRING,
     .offset = ROW(key_path),
     .value_name = "F",
     .help = "A file with the key to ask with."},
    {.name = "cacert",
     .kind = TW_OPTION_STRING,
     .offset = ROW(ca_path),
     .value_name = "F",
     .help = "A PEM file with the certificate to trust for https. Default: those of the system."},
    {.name = "timeout",
     .kind = TW_OPTION_INT,
     .offset = ROW(timeout_seconds),
     .value_name = "S",
     .least = 1,
     .most = 86400,
     .help = "Seconds after which a request has failed. Default: 600."},
    {.name = "good-ttft",
     .kind = TW_OPTION_DOUBLE,
     .offset = ROW(good_first_ms),
     .value_name = "MS",
     .least = 0,
     .most = 1e9,
     .help = "A request is good if its first token comes within so many milliseconds ..."},
    {.name = "good-tpot",
     .kind = TW_OPTION_DOUBLE,
     .offset = ROW(good_token_ms),
     .value_name = "MS",
     .least = 0,
     .most = 1e9,
     .help = "... and each further one takes no more than so many on average. Default: any."},
    {.name = "seed",
     .kind = TW_OPTION_UINT64,
     .offset = ROW(seed),
     .value_name = "N",
     .help = "Of words and arrivals. Default: 1."},
    {.name = "json", .kind = TW_OPTION_FLAG, .offset = ROW(json), .help = "Print one JSON object."},
};

static const struct tw_option_group group = {"Options", options,
                                             sizeof options / sizeof options[0]};

/* ---- the machine ---- */

/* What this machine can do now. Says something about the server where it runs here. */
static enum tw_status measure_limits(struct tw_probe_rates *ret_limits, struct tw_error *error)
{
    enum tw_cpu_level level;
    struct tw_threadpool *pool;
    enum tw_status status = tw_cpu_choose(&level, error);
    status = status != TW_OK ? status : tw_threadpool_create(tw_cpu_count(), &pool, error);
    if (status != TW_OK) {
        return status;
    }
    void *buffer = tw_mem_map(READ_BYTES);
    if (buffer != NULL) {
        memset(buffer, 1, READ_BYTES);
        *ret_limits = tw_probe_rates(pool, level, buffer, READ_BYTES);
        tw_mem_unmap(buffer, READ_BYTES);
    }
    tw_threadpool_free(pool);
    return buffer != NULL ? TW_OK
                          : tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory to read");
}

/* ---- printing ---- */

static void print_times(struct tw_buf *out, const char *name, const struct tw_load_times *times)
{
    tw_buf_append_format(out, "%-18s %10.1f %10.1f %10.1f %10.1f %10.1f\n", name, times->mean * 1e3,
                         times->p50 * 1e3, times->p90 * 1e3, times->p99 * 1e3, times->most * 1e3);
}

/* has_good: somebody has said what a good request is. */
static void print_text(const struct tw_load_result *r, const struct tw_probe_rates *limits,
                       bool has_good, struct tw_buf *out)
{
    const double cached = r->n_prompt_tokens > 0
                              ? 100.0 * (double)r->n_cached_tokens / (double)r->n_prompt_tokens
                              : 0;
    tw_buf_append_format(out, "%u requests in %.2f s, %u failed%s%s\n",
                         r->n_succeeded + r->n_failed, r->seconds, r->n_failed,
                         r->n_failed > 0 ? ", the first with " : "", r->failure);
    tw_buf_append_format(
        out, "answers: %.1f tokens/s; prompts: %.1f tokens/s, %.0f%% of them cached\n",
        (double)r->n_answer_tokens / r->seconds, (double)r->n_prompt_tokens / r->seconds, cached);
    if (has_good) {
        tw_buf_append_format(out, "good requests: %.2f a second, %u of %u\n",
                             r->n_good / r->seconds, r->n_good, r->n_succeeded + r->n_failed);
    }
    tw_buf_append_format(out, "\n%-18s %10s %10s %10s %10s %10s\n", "milliseconds", "mean", "p50",
                         "p90", "p99", "most");
    print_times(out, "first token", &r->first_token);
    print_times(out, "each further token", &r->token);
    print_times(out, "whole answer", &r->whole);
    tw_buf_append_text(out, "\n");
    tw_bench_append_rates(out, "before", &limits[0]);
    tw_buf_append_text(out, "\n");
    tw_bench_append_rates(out, "after", &limits[1]);
}

static void put_times(struct tw_json_writer *json, const char *name,
                      const struct tw_load_times *times)
{
    tw_json_key(json, name);
    tw_json_object_begin(json);
    tw_json_put_double(json, "mean", times->mean);
    tw_json_put_double(json, "p50", times->p50);
    tw_json_put_double(json, "p90", times->p90);
    tw_json_put_double(json, "p99", times->p99);
    tw_json_put_double(json, "most", times->most);
    tw_json_object_end(json);
}

static void print_json(const struct tw_load_result *r, const struct tw_probe_rates *limits,
                       struct tw_buf *out)
{
    struct tw_json_writer json;
    tw_json_begin(&json, out);
    tw_json_object_begin(&json);
    tw_json_put_uint(&json, "succeeded", r->n_succeeded);
    tw_json_put_uint(&json, "failed", r->n_failed);
    tw_json_put_uint(&json, "good", r->n_good);
    tw_json_put_text(&json, "failure", r->failure);
    tw_json_put_double(&json, "seconds", r->seconds);
    tw_json_put_uint(&json, "prompt_tokens", r->n_prompt_tokens);
    tw_json_put_uint(&json, "cached_tokens", r->n_cached_tokens);
    tw_json_put_uint(&json, "answer_tokens", r->n_answer_tokens);
    tw_json_put_double(&json, "answer_tokens_per_s", (double)r->n_answer_tokens / r->seconds);
    tw_json_put_double(&json, "good_per_s", r->n_good / r->seconds);
    put_times(&json, "first_token_s", &r->first_token);
    put_times(&json, "token_s", &r->token);
    put_times(&json, "whole_s", &r->whole);
    tw_bench_put_rates(&json, "machine_before", &limits[0]);
    tw_bench_put_rates(&json, "machine_after", &limits[1]);
    tw_json_object_end(&json);
}

/* ---- the command ---- */

/* The key is the file's first line. */
static enum tw_status read_key(const char *path, char ret_key[KEY_BYTES], struct tw_error *error)
{
    struct tw_buf text;
    tw_buf_init(&text, KEY_BYTES);
    enum tw_status status = tw_file_read(path, KEY_BYTES - 1, &text, error);
    if (status == TW_OK) {
        (void)snprintf(ret_key, KEY_BYTES, "%.*s", (int)text.size_bytes,
                       text.size_bytes > 0 ? text.data : "");
        ret_key[strcspn(ret_key, "\r\n")] = '\0';
    }
    tw_buf_free(&text);
    return status;
}

static enum tw_status bench_server(const struct server_args *args, const char *url,
                                   struct tw_error *error)
{
    char key[KEY_BYTES];
    struct tw_probe_rates limits[2];
    struct tw_load_result result;
    struct tw_load_config config = {
        .url = url,
        .model = args->model,
        .ca_path = args->ca_path,
        .is_chat = args->endpoint == 0,
        .ignores_eos = args->ignores_eos,
        .n_clients = (uint32_t)args->n_clients,
        .rate = args->rate,
        .n_requests = (uint32_t)args->n_requests,
        .n_prompt_words = (uint32_t)args->n_prompt_words,
        .n_shared_words = (uint32_t)args->n_shared_words,
        .n_answer_tokens = (uint32_t)args->n_answer_tokens,
        .timeout_seconds = (uint32_t)args->timeout_seconds,
        .seed = args->seed.is_set ? args->seed.value : 1,
        .good_first_seconds = args->good_first_ms * 1e-3,
        .good_token_seconds = args->good_token_ms * 1e-3,
    };
    if (args->n_shared_words > args->n_prompt_words) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "--shared %lld: it is a part of the prompt, of %lld words",
                            (long long)args->n_shared_words, (long long)args->n_prompt_words);
    }
    enum tw_status status = TW_OK;
    if (args->key_path != NULL) {
        status = read_key(args->key_path, key, error);
        config.api_key = key;
    }
    status = status != TW_OK ? status : measure_limits(&limits[0], error);
    status = status != TW_OK ? status : tw_bench_server(&config, &result, error);
    status = status != TW_OK ? status : measure_limits(&limits[1], error);
    if (status == TW_OK && result.n_succeeded == 0) {
        status = tw_error_set(error, TW_ERR_IO, TW_NO_POSITION, "no request succeeded: %s",
                              result.failure);
    }
    if (status != TW_OK) {
        return status;
    }
    struct tw_buf out;
    tw_buf_init(&out, REPORT_BYTES);
    if (args->json) {
        print_json(&result, limits, &out);
    } else {
        print_text(&result, limits, args->good_first_ms > 0 || args->good_token_ms > 0, &out);
    }
    status = tw_command_write_line(&out, error);
    tw_buf_free(&out);
    return status;
}

int tw_cmd_bench_server(int argc, char **argv)
{
    struct server_args args = {.n_clients = 16,
                               .n_requests = 64,
                               .n_prompt_words = 128,
                               .n_answer_tokens = 64,
                               .timeout_seconds = 600};
    const struct tw_command_spec spec = {
        .name = "bench server",
        .synopsis = "URL [--clients N | --rate R] [--requests N] [OPTIONS]",
        .about = "Asks a server with the OpenAI API for streams, many at once, and measures when\n"
                 "the first token and the others come, and how many come in all. Times count from\n"
                 "the moment at which a request was due.",
        .least_words = 1,
        .most_words = 1,
        .uses = {{&group, &args}},
    };
    struct tw_words words;
    int exit_code;
    if (!tw_command_parse(&spec, argc, argv, &words, &exit_code)) {
        return exit_code;
    }
    struct tw_error error;
    return bench_server(&args, words.items[0], &error) == TW_OK ? 0 : tw_command_fail(&error);
}
