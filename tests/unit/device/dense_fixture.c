#include "dense_fixture.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"

/* ---- arrays ---- */

float *dense_random(uint64_t stream, size_t n, double scale)
{
    float *x = tw_mem_alloc(n, sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < n; i++) {
        x[i] = (float)(scale * tw_rng_normal(stream, i));
    }
    return x;
}

float *dense_filled(size_t n, float value)
{
    float *x = tw_mem_alloc(n, sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < n; i++) {
        x[i] = value;
    }
    return x;
}

float *dense_copy(const float *x, size_t n)
{
    float *copy = tw_mem_alloc(n, sizeof *copy);
    assert_non_null(copy);
    memcpy(copy, x, n * sizeof *copy);
    return copy;
}

double *dense_widened(const float *x, size_t n)
{
    double *wide = tw_mem_alloc(n, sizeof *wide);
    assert_non_null(wide);
    for (size_t i = 0; i < n; i++) {
        wide[i] = (double)x[i];
    }
    return wide;
}

/* ---- a device ---- */

static size_t at_least_one(size_t n)
{
    return n > 0 ? n : 1;
}

struct dense_world dense_world_open(const struct tw_dense_limits *limits)
{
    struct tw_dense_limits all = {.n_gemm_words = at_least_one(limits->n_gemm_words),
                                  .n_tokens = at_least_one(limits->n_tokens),
                                  .n_width = at_least_one(limits->n_width),
                                  .n_document_tokens = at_least_one(limits->n_document_tokens),
                                  .n_head_dim = at_least_one(limits->n_head_dim),
                                  .n_parameters = at_least_one(limits->n_parameters)};
    struct dense_world world = {0};
    enum tw_cpu_level level;
    assert_int_equal(tw_cpu_choose(&level, NULL), TW_OK);
    assert_int_equal(tw_device_cpu_create(2, level, &world.device, NULL), TW_OK);
    assert_int_equal(tw_dense_create(world.device, &all, &world.dense, NULL), TW_OK);
    return world;
}

void dense_world_close(struct dense_world *world)
{
    tw_dense_free(world->dense);
    tw_device_free(world->device);
}

/* ---- checks ---- */

void dense_check_values(const char *name, const float *got, const double *want, size_t n,
                        double tolerance)
{
    double largest = 0;
    for (size_t i = 0; i < n; i++) {
        largest = fmax(largest, fabs(want[i]));
    }
    for (size_t i = 0; i < n; i++) {
        if (!(fabs((double)got[i] - want[i]) <= tolerance * largest)) {
            fail_msg("%s[%zu] is %.9g, should be %.9g; the largest is %.3g", name, i,
                     (double)got[i], want[i], largest);
        }
    }
}

static double difference(const struct dense_input *input, dense_loss_fn loss, const void *context,
                         size_t entry)
{
    double x = input->values[entry], h = 1e-5 * fmax(1, fabs(x));
    input->values[entry] = x + h;
    double above = loss(context, entry);
    input->values[entry] = x - h;
    double below = loss(context, entry);
    input->values[entry] = x;
    return (above - below) / (2 * h);
}

void dense_check_gradient(const struct dense_input *input, dense_loss_fn loss, const void *context,
                          size_t n_samples, double tolerance)
{
    double largest = 0;
    for (size_t i = 0; i < input->n; i++) {
        largest = fmax(largest, fabs((double)input->gradient[i] - (double)input->start));
    }
    size_t n = input->n < n_samples ? input->n : n_samples;
    for (size_t i = 0; i < n; i++) {
        size_t entry = i;
        if (n < input->n) {
            entry = (size_t)(tw_rng_uniform(input->n, i) * (double)input->n);
        }
        double want = difference(input, loss, context, entry);
        double got = (double)input->gradient[entry] - (double)input->start;
        if (!(fabs(got - want) <= tolerance * largest + 1e-8)) {
            fail_msg("%s[%zu] is %.9g, the difference is %.9g; the largest is %.3g", input->name,
                     entry, got, want, largest);
        }
    }
}
