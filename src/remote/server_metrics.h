/* server_metrics.h: how busy a server is, from the metrics that it publishes (Prometheus' text).
 *
 *     vllm:num_requests_waiting{model_name="m"} 3   -> n_waiting += 3
 *
 * One table of names for vLLM (old and new), SGLang, llama.cpp, TensorRT-LLM and tokenworks.
 * Several rows of a name (models, engines) are added up; of shares the largest counts. Everything
 * else is skipped, line by line, so memory is bounded whatever a server publishes.
 *
 * Ownership: a plain struct. Pure; threads: one at a time. Errors: none: what cannot be read is not
 * there. Beyond TW_LIMIT_METRICS_BYTES nothing is read.
 */
#ifndef TW_REMOTE_SERVER_METRICS_H
#define TW_REMOTE_SERVER_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"

enum tw_metric {
    TW_METRIC_WAITING = 0,
    TW_METRIC_RUNNING,
    TW_METRIC_KV_SHARE, /* 0..1 */
    TW_METRIC_KV_USED,  /* pages, of */
    TW_METRIC_KV_PAGES,
    TW_METRIC_PREFIX_QUERIES, /* tokens that were looked for in the cache */
    TW_METRIC_PREFIX_HITS,
    TW_METRIC_PROMPT_TOKENS,
    TW_METRIC_ANSWER_TOKENS,
    TW_METRIC_COUNT
};

struct tw_server_load {
    bool has[TW_METRIC_COUNT];
    double value[TW_METRIC_COUNT];
};

struct tw_metrics_reader {
    struct tw_server_load load;
    char line[TW_LIMIT_METRICS_LINE_BYTES];
    size_t line_bytes, n_bytes;
    bool is_too_long; /* the line, which is skipped */
};

void tw_metrics_begin(struct tw_metrics_reader *reader);
void tw_metrics_push(struct tw_metrics_reader *reader, const char *bytes, size_t n_bytes);
/* Reads the last line, and makes a share of pages. */
struct tw_server_load tw_metrics_end(struct tw_metrics_reader *reader);

#endif
