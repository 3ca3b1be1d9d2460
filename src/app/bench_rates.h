/* bench_rates.h: what both kinds of bench share: the machine's rates in text and JSON; quantiles.
 *
 * Threads: any. */
#ifndef TW_APP_BENCH_RATES_H
#define TW_APP_BENCH_RATES_H

#include "base/buf.h"
#include "base/json.h"
#include "probe/machine.h"

/* "this machine WHEN: reads 35.3 GB/s; ...", without a newline. */
void tw_bench_append_rates(struct tw_buf *out, const char *when,
                           const struct tw_probe_rates *rates);
/* An object under a key. */
void tw_bench_put_rates(struct tw_json_writer *json, const char *key,
                        const struct tw_probe_rates *rates);

/* Ascending. */
void tw_bench_sort(double *values, size_t n);
/* Of sorted values, at least one. share: 0.5 for the median. Between two it lies between them. */
double tw_bench_quantile(const double *sorted, size_t n, double share);

#endif
