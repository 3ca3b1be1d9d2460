#include "api/api_metrics.h"

#include "api/api_state.h"
#include "api/fleet.h"

static const struct {
    int64_t ns;
    const char *text;
} bounds[TW_HISTOGRAM_BUCKETS] = {
    {1000000, "0.001"},  {2500000, "0.0025"},   {5000000, "0.005"},  {10000000, "0.01"},
    {25000000, "0.025"}, {50000000, "0.05"},    {100000000, "0.1"},  {250000000, "0.25"},
    {500000000, "0.5"},  {1000000000, "1"},     {2500000000, "2.5"}, {10000000000, "10"},
    {30000000000, "30"}, {100000000000, "100"},
};

void tw_api_metrics_count_answer(struct tw_api_metrics *metrics, int http_status)
{
    metrics->answers[http_status / 100 % 6]++;
}

void tw_histogram_add(struct tw_histogram *histogram, int64_t ns)
{
    int i = 0;
    while (i < TW_HISTOGRAM_BUCKETS && ns > bounds[i].ns) {
        i++;
    }
    histogram->counts[i]++;
    histogram->sum_ns += (uint64_t)ns;
}

static void write_seconds(struct tw_buf *out, uint64_t ns)
{
    tw_buf_append_format(out, "%llu.%09llu", (unsigned long long)(ns / 1000000000),
                         (unsigned long long)(ns % 1000000000));
}

void tw_histogram_write(const struct tw_histogram *histogram, const char *name, const char *help,
                        struct tw_buf *out)
{
    unsigned long long total = 0;
    tw_buf_append_format(out, "# HELP %s %s\n# TYPE %s histogram\n", name, help, name);
    for (int i = 0; i <= TW_HISTOGRAM_BUCKETS; i++) {
        total += histogram->counts[i];
        tw_buf_append_format(out, "%s_bucket{le=\"%s\"} %llu\n", name,
                             i < TW_HISTOGRAM_BUCKETS ? bounds[i].text : "+Inf", total);
    }
    tw_buf_append_format(out, "%s_sum ", name);
    write_seconds(out, histogram->sum_ns);
    tw_buf_append_format(out, "\n%s_count %llu\n", name, total);
}

static void write_head(struct tw_buf *out, const char *name, const char *type, const char *help)
{
    tw_buf_append_format(out, "# HELP tokenworks_%s %s\n# TYPE tokenworks_%s %s\n", name, help,
                         name, type);
}

/* A name in a label; ours are file names, which may hold anything. */
static void write_label(struct tw_buf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\') {
            tw_buf_append(out, "\\", 1);
        }
        tw_buf_append(out, *text == '\n' ? " " : text, 1);
    }
}

struct model_metric {
    const char *name, *type, *help;
    uint64_t (*value)(const struct tw_backend_usage *usage);
};

static uint64_t running(const struct tw_backend_usage *u)
{
    return u->n_running;
}
static uint64_t waiting(const struct tw_backend_usage *u)
{
    return u->n_waiting;
}
static uint64_t paused(const struct tw_backend_usage *u)
{
    return u->n_paused;
}
static uint64_t pages_used(const struct tw_backend_usage *u)
{
    return u->n_pages - u->n_free_pages;
}
static uint64_t pages(const struct tw_backend_usage *u)
{
    return u->n_pages;
}
static uint64_t prompt_tokens(const struct tw_backend_usage *u)
{
    return u->n_prompt_tokens;
}
static uint64_t cached_tokens(const struct tw_backend_usage *u)
{
    return u->n_cached_tokens;
}
static uint64_t generated_tokens(const struct tw_backend_usage *u)
{
    return u->n_generated_tokens;
}
static uint64_t steps(const struct tw_backend_usage *u)
{
    return u->n_steps;
}

static uint64_t loaded(const struct tw_backend_usage *u)
{
    return u->is_loaded;
}
static uint64_t loads(const struct tw_backend_usage *u)
{
    return u->n_loads;
}
static uint64_t computed_tokens(const struct tw_backend_usage *u)
{
    return u->n_computed_tokens;
}
static uint64_t drafted_tokens(const struct tw_backend_usage *u)
{
    return u->n_drafted_tokens;
}
static uint64_t accepted_tokens(const struct tw_backend_usage *u)
{
    return u->n_accepted_tokens;
}
static uint64_t preemptions(const struct tw_backend_usage *u)
{
    return u->n_preemptions;
}
static uint64_t given_up_steps(const struct tw_backend_usage *u)
{
    return u->n_given_up_steps;
}

static const struct model_metric model_metrics[] = {
    {"num_requests_running", "gauge", "Requests that have pages of the KV cache.", running},
    {"num_requests_waiting", "gauge", "Requests that wait for their turn.", waiting},
    {"num_requests_paused", "gauge", "Requests whose clients do not read what they have.", paused},
    {"kv_cache_pages_used", "gauge", "Pages that requests hold.", pages_used},
    {"kv_cache_pages", "gauge", "Pages of the KV cache.", pages},
    {"prompt_tokens_total", "counter", "Tokens of prompts that were answered.", prompt_tokens},
    {"prefix_cache_queries_total", "counter", "Tokens of prompts looked for in the cache.",
     prompt_tokens},
    {"prefix_cache_hits_total", "counter",
     "Tokens of prompts found in the cache, so not computed again.", cached_tokens},
    {"generation_tokens_total", "counter", "Tokens of answers that were generated.",
     generated_tokens},
    {"engine_steps_total", "counter", "Forward passes.", steps},
    {"model_loaded", "gauge", "Whether the model is in memory.", loaded},
    {"model_loads_total", "counter", "How often the model was loaded.", loads},
    {"computed_tokens_total", "counter", "Tokens of prompts, answers and drafts in forward passes.",
     computed_tokens},
    {"spec_decode_num_draft_tokens_total", "counter",
     "Tokens guessed behind answers, in forward passes.", drafted_tokens},
    {"spec_decode_num_accepted_tokens_total", "counter",
     "Guessed tokens that were right: forward passes saved.", accepted_tokens},
    {"num_preemptions_total", "counter", "Requests that gave their pages back for a while.",
     preemptions},
    {"idle_steps_given_up_total", "counter",
     "Forward passes of the class idle that were not ended, since clients came.", given_up_steps},
};

static void write_models(struct tw_api *api, struct tw_buf *out)
{
    for (size_t i = 0; i < sizeof model_metrics / sizeof model_metrics[0]; i++) {
        const struct model_metric *metric = &model_metrics[i];
        write_head(out, metric->name, metric->type, metric->help);
        for (size_t m = 0; m < api->config.n_models; m++) {
            struct tw_backend_usage usage = tw_backend_usage(api->models[m].backend);
            tw_buf_append_format(out, "tokenworks_%s{model_name=\"", metric->name);
            write_label(out, api->models[m].name);
            tw_buf_append_format(out, "\"} %llu\n", (unsigned long long)metric->value(&usage));
        }
    }
}

static void write_server(struct tw_api *api, struct tw_buf *out)
{
    const struct tw_http_server *server = api->server;
    if (server == NULL) {
        return;
    }
    struct tw_http_usage usage = tw_http_server_usage(server);
    write_head(out, "http_connections", "gauge", "Open connections.");
    tw_buf_append_format(out, "tokenworks_http_connections %u\n", usage.n_connections);
    write_head(out, "http_streams", "gauge", "Answers that are being streamed.");
    tw_buf_append_format(out, "tokenworks_http_streams %u\n", usage.n_streams);
    write_head(out, "http_refused_total", "counter", "Malformed, too large or too slow requests.");
    tw_buf_append_format(out, "tokenworks_http_refused_total %llu\n",
                         (unsigned long long)usage.n_refused);
    write_head(out, "http_clients_gone_total", "counter", "Clients that left before the end.");
    tw_buf_append_format(out, "tokenworks_http_clients_gone_total %llu\n",
                         (unsigned long long)usage.n_gone);
}

static void write_waiting(void *context, const struct tw_api_standing *standing)
{
    tw_buf_append_text(context, "tokenworks_backend_waiting{backend=\"");
    write_label(context, standing->name);
    tw_buf_append_format(context, "\"} %u\n", standing->n_waiting);
}

static void write_running(void *context, const struct tw_api_standing *standing)
{
    tw_buf_append_text(context, "tokenworks_backend_running{backend=\"");
    write_label(context, standing->name);
    tw_buf_append_format(context, "\"} %u\n", standing->n_in_flight);
}

static void write_remotes(struct tw_api *api, struct tw_buf *out)
{
    if (api->config.remote_client == NULL) {
        return;
    }
    struct tw_api_fleet *fleet = tw_api_fleet_take(api);
    write_head(out, "backend_up", "gauge", "Whether another server says that it can answer.");
    for (size_t i = 0; i < fleet->remotes.n_items; i++) {
        const struct tw_api_remote *remote = &fleet->remotes.items[i];
        struct tw_remote_health health = {.is_known = true};
        if (remote->backend != NULL) {
            health = tw_remote_backend_health(remote->backend);
        }
        tw_buf_append_text(out, "tokenworks_backend_up{backend=\"");
        write_label(out, remote->name);
        tw_buf_append_format(out, "\"} %d\n", !health.is_known || health.is_alive);
    }
    tw_api_fleet_drop(fleet);
    write_head(out, "backend_waiting", "gauge", "Requests that wait at another server.");
    tw_api_each_remote(api, write_waiting, out);
    write_head(out, "backend_running", "gauge", "Our requests that another server has.");
    tw_api_each_remote(api, write_running, out);
    write_head(out, "backend_calls_total", "counter", "Requests to other servers by their end.");
    for (int i = 0; i < TW_REMOTE_END_COUNT; i++) {
        tw_buf_append_format(out, "tokenworks_backend_calls_total{end=\"%s\"} %llu\n",
                             tw_remote_end_name((enum tw_remote_end)i),
                             (unsigned long long)api->relays.n_ended[i]);
    }
}

static void write_books(struct tw_api *api, struct tw_buf *out)
{
    if (api->config.hub != NULL) {
        write_head(out, "books_up", "gauge", "Whether tokens can be put on record.");
        tw_buf_append_format(out, "tokenworks_books_up %d\n", tw_hub_can_record(api->config.hub));
    }
}

void tw_api_metrics_text(struct tw_api *api, struct tw_http_request *http,
                         const struct tw_api_tenant *tenant)
{
    (void)tenant;
    struct tw_api_metrics *metrics = &api->metrics;
    struct tw_buf out;
    tw_buf_init(&out, TW_LIMIT_API_METRICS_BYTES);
    write_models(api, &out);
    write_remotes(api, &out);
    write_books(api, &out);
    write_head(&out, "request_success_total", "counter", "Answers by the reason of their end.");
    for (int i = TW_FINISH_STOP; i < TW_FINISH_COUNT; i++) {
        tw_buf_append_format(
            &out, "tokenworks_request_success_total{finished_reason=\"%s\"} %llu\n",
            tw_finish_name((enum tw_finish)i), (unsigned long long)metrics->finished[i]);
    }
    write_head(&out, "http_requests_total", "counter", "Answers by status.");
    for (int i = 2; i < 6; i++) {
        tw_buf_append_format(&out, "tokenworks_http_requests_total{status=\"%dxx\"} %llu\n", i,
                             (unsigned long long)metrics->answers[i]);
    }
    tw_histogram_write(&metrics->first_token, "tokenworks_time_to_first_token_seconds",
                       "From the arrival of a request to its first token.", &out);
    tw_histogram_write(&metrics->between_tokens, "tokenworks_inter_token_latency_seconds",
                       "Between two tokens of an answer.", &out);
    tw_histogram_write(&metrics->whole, "tokenworks_e2e_request_latency_seconds",
                       "From the arrival of a request to the end of its answer.", &out);
    write_server(api, &out);
    tw_api_answer_text(api, http, "text/plain; version=0.0.4; charset=utf-8", &out);
    tw_buf_free(&out);
}
