/* dense_fixture.h: float code against plain double code, forward and backward.
 *
 *     y f32       vs  y of a textbook in double               dense_check_values
 *     d(loss) f32 vs  (loss(x + h) - loss(x - h)) / 2h        dense_check_gradient
 *
 * The loss is a sum of random coefficients times outputs, so that every output counts and no two
 * count alike. Differences are of the double code alone: with values near 1 and h = 1e-5 their own
 * error is about 1e-9, far below what f32 can be asked for.
 *
 * Errors: a check that fails ends the test, naming the array and the entry.
 */
#ifndef TW_TEST_DENSE_FIXTURE_H
#define TW_TEST_DENSE_FIXTURE_H

#include <stddef.h>
#include <stdint.h>

#include "device/dense.h"

/* ---- arrays, freed with tw_mem_free ---- */

/* Normal values times scale; another stream gives other values. */
float *dense_random(uint64_t stream, size_t n, double scale);
float *dense_filled(size_t n, float value);
float *dense_copy(const float *x, size_t n);
double *dense_widened(const float *x, size_t n);

/* ---- a device and what computes on it ---- */

struct dense_world {
    struct tw_device *device;
    struct tw_dense *dense;
};

/* Two threads, the instruction set that TW_CPU asks for. Limits that a test leaves at 0 are 1. */
struct dense_world dense_world_open(const struct tw_dense_limits *limits);
void dense_world_close(struct dense_world *world);

/* ---- checks ---- */

/* Every |got - want| is at most tolerance times the largest |want|. */
void dense_check_values(const char *name, const float *got, const double *want, size_t n,
                        double tolerance);

/* The loss, or that part of it which depends on entry `entry` of the input that is varied. */
typedef double (*dense_loss_fn)(const void *context, size_t entry);

struct dense_input {
    const char *name;
    double *values;        /* [n] what the loss reads; varied, and restored */
    const float *gradient; /* [n] what is checked */
    float start;           /* what the gradient was added to */
    size_t n;
};

/* For n_samples entries (all of them where there are no more), the difference of the loss is the
 * gradient, within tolerance times the largest gradient. */
void dense_check_gradient(const struct dense_input *input, dense_loss_fn loss, const void *context,
                          size_t n_samples, double tolerance);

#endif
