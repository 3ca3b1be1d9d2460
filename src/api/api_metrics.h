/* api_metrics.h: what is counted for /metrics.
 *
 * Prometheus text, names with the stems of vLLM's, so that dashboards need only another prefix.
 * Threads: any.
 */
#ifndef TW_API_API_METRICS_H
#define TW_API_API_METRICS_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/buf.h"
#include "engine/stop.h"

enum { TW_HISTOGRAM_BUCKETS = 14 };

/* Seconds from 1 ms to about 100 s, a bucket for each factor of about 2.5. */
struct tw_histogram {
    atomic_ullong counts[TW_HISTOGRAM_BUCKETS + 1];
    atomic_ullong sum_ns;
};

struct tw_api_metrics {
    atomic_ullong answers[6]; /* by the first digit of the status */
    atomic_ullong finished[TW_FINISH_COUNT];
    struct tw_histogram first_token, between_tokens, whole;
};

void tw_api_metrics_count_answer(struct tw_api_metrics *metrics, int http_status);
void tw_histogram_add(struct tw_histogram *histogram, int64_t ns);
void tw_histogram_write(const struct tw_histogram *histogram, const char *name, const char *help,
                        struct tw_buf *out);

#endif
