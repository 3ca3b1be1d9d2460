#include "remote/server_metrics.h"

#include <string.h>

#include "base/json.h"

static const struct {
    const char *name;
    enum tw_metric metric;
} names[] = {
    {"vllm:num_requests_waiting", TW_METRIC_WAITING},
    {"vllm:num_requests_running", TW_METRIC_RUNNING},
    {"vllm:kv_cache_usage_perc", TW_METRIC_KV_SHARE},
    {"vllm:gpu_cache_usage_perc", TW_METRIC_KV_SHARE},
    {"vllm:prefix_cache_queries_total", TW_METRIC_PREFIX_QUERIES},
    {"vllm:prefix_cache_hits_total", TW_METRIC_PREFIX_HITS},
    {"vllm:prompt_tokens_total", TW_METRIC_PROMPT_TOKENS},
    {"vllm:generation_tokens_total", TW_METRIC_ANSWER_TOKENS},
    {"sglang:num_queue_reqs", TW_METRIC_WAITING},
    {"sglang:num_running_reqs", TW_METRIC_RUNNING},
    {"sglang:token_usage", TW_METRIC_KV_SHARE},
    {"sglang:cached_tokens_total", TW_METRIC_PREFIX_HITS},
    {"sglang:prompt_tokens_total", TW_METRIC_PROMPT_TOKENS},
    {"sglang:generation_tokens_total", TW_METRIC_ANSWER_TOKENS},
    {"llamacpp:requests_deferred", TW_METRIC_WAITING},
    {"llamacpp:requests_processing", TW_METRIC_RUNNING},
    {"llamacpp:kv_cache_usage_ratio", TW_METRIC_KV_SHARE},
    {"llamacpp:prompt_tokens_total", TW_METRIC_PROMPT_TOKENS},
    {"llamacpp:tokens_predicted_total", TW_METRIC_ANSWER_TOKENS},
    {"trtllm_num_requests_waiting", TW_METRIC_WAITING},
    {"trtllm_num_requests_running", TW_METRIC_RUNNING},
    {"trtllm_kv_cache_utilization", TW_METRIC_KV_SHARE},
    {"tokenworks_num_requests_waiting", TW_METRIC_WAITING},
    {"tokenworks_num_requests_running", TW_METRIC_RUNNING},
    {"tokenworks_kv_cache_pages_used", TW_METRIC_KV_USED},
    {"tokenworks_kv_cache_pages", TW_METRIC_KV_PAGES},
    {"tokenworks_prefix_cache_queries_total", TW_METRIC_PREFIX_QUERIES},
    {"tokenworks_prefix_cache_hits_total", TW_METRIC_PREFIX_HITS},
    {"tokenworks_prompt_tokens_total", TW_METRIC_PROMPT_TOKENS},
    {"tokenworks_generation_tokens_total", TW_METRIC_ANSWER_TOKENS},
};

static bool find_metric(const char *name, size_t n_bytes, enum tw_metric *ret_metric)
{
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strlen(names[i].name) == n_bytes && memcmp(names[i].name, name, n_bytes) == 0) {
            *ret_metric = names[i].metric;
            return true;
        }
    }
    return false;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* The index behind "{label="...", ...}" that begins at i, where one does. */
static size_t skip_labels(const char *line, size_t n_bytes, size_t i)
{
    bool in_value = false;
    if (i == n_bytes || line[i] != '{') {
        return i;
    }
    for (i++; i < n_bytes; i++) {
        if (line[i] == '\\' && in_value) {
            i++;
        } else if (line[i] == '"') {
            in_value = !in_value;
        } else if (line[i] == '}' && !in_value) {
            return i + 1;
        }
    }
    return n_bytes;
}

/* Numbers that a load can be: NaN, infinities and negative ones are none. */
static bool read_number(const char *text, size_t n_bytes, double *ret_value)
{
    json_t *json = NULL;
    struct tw_error error;
    if (n_bytes == 0 || n_bytes > 64 || (text[0] < '0' || text[0] > '9') ||
        tw_json_parse(text, n_bytes, "a metric", &json, &error) != TW_OK) {
        return false;
    }
    const bool is_number = json_is_number(json);
    const double value = json_number_value(json);
    json_decref(json);
    if (is_number) {
        *ret_value = value;
    }
    return is_number;
}

static void take_line(struct tw_metrics_reader *reader)
{
    const char *line = reader->line;
    const size_t n_bytes = reader->line_bytes;
    struct tw_server_load *load = &reader->load;
    enum tw_metric metric;
    double value;
    size_t i = 0;
    while (i < n_bytes && line[i] != '{' && !is_blank(line[i])) {
        i++;
    }
    if (!find_metric(line, i, &metric)) {
        return;
    }
    while (i < n_bytes && is_blank(line[i])) {
        i++;
    }
    i = skip_labels(line, n_bytes, i);
    while (i < n_bytes && is_blank(line[i])) {
        i++;
    }
    size_t end = i;
    while (end < n_bytes && !is_blank(line[end]) && line[end] != '\r') {
        end++;
    }
    if (!read_number(line + i, end - i, &value)) {
        return;
    }
    if (metric == TW_METRIC_KV_SHARE) {
        value = value > 1 ? 1 : value;
        load->value[metric] = value > load->value[metric] ? value : load->value[metric];
    } else {
        load->value[metric] += value;
    }
    load->has[metric] = true;
}

void tw_metrics_begin(struct tw_metrics_reader *reader)
{
    reader->load = (struct tw_server_load){0};
    reader->line_bytes = reader->n_bytes = 0;
    reader->is_too_long = false;
}

static void end_line(struct tw_metrics_reader *reader)
{
    if (!reader->is_too_long && reader->line_bytes > 0 && reader->line[0] != '#') {
        take_line(reader);
    }
    reader->line_bytes = 0;
    reader->is_too_long = false;
}

void tw_metrics_push(struct tw_metrics_reader *reader, const char *bytes, size_t n_bytes)
{
    const char *at = bytes, *end = bytes + n_bytes;
    reader->n_bytes += n_bytes;
    while (at < end && reader->n_bytes <= TW_LIMIT_METRICS_BYTES) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        const size_t n = (size_t)((stop != NULL ? stop : end) - at);
        if (n > sizeof reader->line - reader->line_bytes) {
            reader->is_too_long = true;
        } else {
            memcpy(reader->line + reader->line_bytes, at, n);
            reader->line_bytes += n;
        }
        if (stop == NULL) {
            return;
        }
        end_line(reader);
        at = stop + 1;
    }
}

struct tw_server_load tw_metrics_end(struct tw_metrics_reader *reader)
{
    struct tw_server_load *load = &reader->load;
    end_line(reader);
    if (load->has[TW_METRIC_KV_USED] && load->has[TW_METRIC_KV_PAGES] &&
        load->value[TW_METRIC_KV_PAGES] > 0 && !load->has[TW_METRIC_KV_SHARE]) {
        const double share = load->value[TW_METRIC_KV_USED] / load->value[TW_METRIC_KV_PAGES];
        load->value[TW_METRIC_KV_SHARE] = share > 1 ? 1 : share;
        load->has[TW_METRIC_KV_SHARE] = true;
    }
    return *load;
}
