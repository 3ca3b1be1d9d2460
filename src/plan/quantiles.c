#include "plan/quantiles.h"

#include <math.h>

static void swap(double *a, double *b)
{
    double t = *a;
    *a = *b;
    *b = t;
}

static double median_of_3(double a, double b, double c)
{
    if (a > b) {
        swap(&a, &b);
    }
    return c < a ? a : c > b ? b : c;
}

/* Hoare's quickselect: values[k] is then in its place among values[low..high), what is less before
 * it and what is more behind. */
static double select_rank(double *values, uint32_t low, uint32_t high, uint32_t k)
{
    while (high - low > 1) {
        const double pivot =
            median_of_3(values[low], values[low + (high - low - 1) / 2], values[high - 1]);
        int64_t i = (int64_t)low - 1, j = high;
        for (;;) {
            do {
                i++;
            } while (values[i] < pivot);
            do {
                j--;
            } while (values[j] > pivot);
            if (i >= j) {
                break;
            }
            swap(&values[i], &values[j]);
        }
        if (k <= (uint32_t)j) {
            high = (uint32_t)j + 1;
        } else {
            low = (uint32_t)j + 1;
        }
    }
    return values[k];
}

static uint32_t rank_of(uint32_t n, double percentile)
{
    double rank = ceil(percentile / 100 * n - 1e-9);
    return rank < 1 ? 0 : rank > n ? n - 1 : (uint32_t)rank - 1;
}

double tw_quantiles_at(double *values, uint32_t n, double percentile)
{
    return n == 0 ? 0 : select_rank(values, 0, n, rank_of(n, percentile));
}

struct tw_plan_quantiles tw_quantiles_of(double *values, uint32_t n)
{
    struct tw_plan_quantiles q = {.n = n};
    if (n == 0) {
        return q;
    }
    for (uint32_t i = 0; i < n; i++) {
        q.mean += values[i];
        q.most = i == 0 || values[i] > q.most ? values[i] : q.most;
    }
    q.mean /= n;
    const double percents[] = {50, 90, 95, 99};
    double *results[] = {&q.p50, &q.p90, &q.p95, &q.p99};
    uint32_t from = 0;
    for (int i = 0; i < 4; i++) {
        const uint32_t k = rank_of(n, percents[i]);
        *results[i] = select_rank(values, from, n, k);
        from = k;
    }
    return q;
}
