#include "app/bench_rates.h"

#include <stdlib.h>

void tw_bench_append_rates(struct tw_buf *out, const char *when, const struct tw_probe_rates *rates)
{
    tw_buf_append_format(out,
                         "this machine %s: reads %.1f GB/s; %.2f TOP/s int8, %.2f TFLOP/s bf16, "
                         "%.2f TFLOP/s f32",
                         when, rates->read * 1e-9, rates->int8 * 1e-12, rates->bf16 * 1e-12,
                         rates->f32 * 1e-12);
}

void tw_bench_put_rates(struct tw_json_writer *json, const char *key,
                        const struct tw_probe_rates *rates)
{
    tw_json_key(json, key);
    tw_json_object_begin(json);
    tw_json_put_double(json, "read_bytes_per_s", rates->read);
    tw_json_put_double(json, "int8_operations_per_s", rates->int8);
    tw_json_put_double(json, "bf16_operations_per_s", rates->bf16);
    tw_json_put_double(json, "f32_operations_per_s", rates->f32);
    tw_json_object_end(json);
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void tw_bench_sort(double *values, size_t n)
{
    qsort(values, n, sizeof *values, compare);
}

double tw_bench_quantile(const double *sorted, size_t n, double share)
{
    const double at = share * (double)(n - 1);
    const size_t below = (size_t)at;
    const double next = sorted[below + 1 < n ? below + 1 : below];
    return sorted[below] + (at - (double)below) * (next - sorted[below]);
}
