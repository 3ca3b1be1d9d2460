/* simd_train.h: the row-wise kernels of training in sixteen lanes: norms, gates, softmax, loss,
 * AdamW (train_kernels.h).
 *
 * Each does what kernel/ref/ref_train.c does, value by value in the same order; what sixteen does
 * not divide ends in a padded copy. All are bound by memory and small beside the products.
 *
 * The file that includes this has included simd_avx2.h or simd_avx512.h before.
 */
#ifndef TW_KERNEL_SIMD_SIMD_TRAIN_H
#define TW_KERNEL_SIMD_SIMD_TRAIN_H

#include <math.h>

#include "kernel/simd/simd_vector.h"
#include "kernel/train_kernels.h"

/* Values [i, i + 16) of n; zeros where there are none. */
SIMD_INLINE vf load_at(const float *x, size_t i, size_t n)
{
    return i + 16 <= n ? vf_load(x + i) : vf_load_part(x + i, n - i);
}

SIMD_INLINE void store_at(float *y, size_t i, size_t n, vf value)
{
    if (i + 16 <= n) {
        vf_store(y + i, value);
    } else {
        vf_store_part(y + i, value, n - i);
    }
}

static float dot(const float *x, const float *y, size_t n)
{
    vf sums = vf_zero();
    for (size_t i = 0; i < n; i += 16) {
        sums = vf_fma(load_at(x, i, n), load_at(y, i, n), sums);
    }
    return vf_sum16(sums);
}

static void rms_norm_backward(const float *x, const float *weight, const float *dy, size_t n,
                              float eps, bool accumulate, float *ret_dx, float *dweight)
{
    vf r = vf_set1(1.0f / sqrtf(dot(x, x, n) / (float)n + eps));
    vf sums = vf_zero();
    for (size_t i = 0; i < n; i += 16) {
        vf a = vf_mul(load_at(weight, i, n), load_at(dy, i, n));
        sums = vf_fma(a, vf_mul(load_at(x, i, n), r), sums);
    }
    vf mean = vf_set1(vf_sum16(sums) / (float)n);
    for (size_t i = 0; i < n; i += 16) {
        vf h = vf_mul(load_at(x, i, n), r), d = load_at(dy, i, n);
        store_at(dweight, i, n, vf_fma(d, h, load_at(dweight, i, n)));
        vf dx = vf_mul(vf_fnma(h, mean, vf_mul(load_at(weight, i, n), d)), r);
        store_at(ret_dx, i, n, accumulate ? vf_add(load_at(ret_dx, i, n), dx) : dx);
    }
}

static void silu_mul_backward(const float *gate, const float *up, const float *dy, size_t n,
                              float *dgate, float *dup)
{
    vf one = vf_set1(1.0f);
    for (size_t i = 0; i < n; i += 16) {
        vf g = load_at(gate, i, n), u = load_at(up, i, n), d = load_at(dy, i, n);
        vf e = vf_add(one, vf_exp2(vf_mul(g, vf_set1(-TW_LOG2_E))));
        vf s = vf_div(one, e);
        store_at(dup, i, n, vf_mul(d, vf_div(g, e)));
        vf slope = vf_mul(s, vf_fma(g, vf_sub(one, s), one));
        store_at(dgate, i, n, vf_mul(vf_mul(d, u), slope));
    }
}

static float largest_of(const float *x, size_t n)
{
    vf largest = vf_set1(x[0]);
    size_t whole = n / 16 * 16;
    for (size_t i = 0; i < whole; i += 16) {
        largest = vf_max(vf_load(x + i), largest);
    }
    float m = vf_max16(largest);
    for (size_t i = whole; i < n; i++) {
        m = x[i] > m ? x[i] : m;
    }
    return m;
}

SIMD_INLINE vf weight_of(vf score, float c, float m)
{
    return vf_exp2(vf_fma(score, vf_set1(c), vf_set1(-(m * c))));
}

/* The last lanes of a row that sixteen does not divide hold what does not count. */
static vf weights_at(const float *x, size_t i, size_t n, float c, float m)
{
    vf e = weight_of(load_at(x, i, n), c, m);
    if (i + 16 <= n) {
        return e;
    }
    float lanes[16];
    vf_store(lanes, e);
    return vf_load_part(lanes, n - i);
}

static float exponentials(float *x, size_t n, float c, float m)
{
    vf sums = vf_zero();
    for (size_t i = 0; i < n; i += 16) {
        vf e = weights_at(x, i, n, c, m);
        sums = vf_add(sums, e);
        store_at(x, i, n, e);
    }
    return vf_sum16(sums);
}

static void softmax(float *scores, size_t n, size_t width, float c, float *ret_m,
                    float *ret_inverse)
{
    *ret_m = largest_of(scores, n);
    *ret_inverse = 1.0f / exponentials(scores, n, c, *ret_m);
    memset(scores + n, 0, (width - n) * sizeof *scores);
    for (size_t i = 0; i < n; i += 16) {
        vf_store(scores + i, vf_mul(vf_load(scores + i), vf_set1(*ret_inverse)));
    }
}

static void softmax_backward(float *scores, float *dw, size_t n, size_t width, float c, float m,
                             float inverse, float d, float scale)
{
    for (size_t i = 0; i < n; i += 16) {
        vf w = vf_mul(weights_at(scores, i, n, c, m), vf_set1(inverse));
        vf difference = vf_sub(load_at(dw, i, n), vf_set1(d));
        vf_store(scores + i, w);
        vf_store(dw + i, vf_mul(vf_mul(w, difference), vf_set1(scale)));
    }
    memset(scores + n, 0, (width - n) * sizeof *scores);
    memset(dw + n, 0, (width - n) * sizeof *dw);
}

static double cross_entropy(float *logits, size_t n, uint32_t target, float scale)
{
    float m = largest_of(logits, n), right = logits[target];
    float l = exponentials(logits, n, TW_LOG2_E, m);
    vf share = vf_set1(scale / l);
    for (size_t i = 0; i < n; i += 16) {
        store_at(logits, i, n, vf_mul(load_at(logits, i, n), share));
    }
    logits[target] = logits[target] - scale;
    return log((double)l) + ((double)m - (double)right);
}

static void adamw(const struct tw_adamw_step *step, const float *gradient, size_t n, float *weight,
                  float *m, float *v)
{
    vf rest1 = vf_set1(1.0f - step->beta1), rest2 = vf_set1(1.0f - step->beta2);
    for (size_t i = 0; i < n; i += 16) {
        vf g = vf_mul(load_at(gradient, i, n), vf_set1(step->gradient_scale));
        vf next_m = vf_fma(vf_set1(step->beta1), load_at(m, i, n), vf_mul(rest1, g));
        vf next_v = vf_fma(vf_set1(step->beta2), load_at(v, i, n), vf_mul(rest2, vf_mul(g, g)));
        store_at(m, i, n, next_m);
        store_at(v, i, n, next_v);
        vf root = vf_add(vf_sqrt(vf_mul(next_v, vf_set1(step->v_scale))), vf_set1(step->epsilon));
        vf w = load_at(weight, i, n);
        vf change = vf_fma(vf_set1(step->weight_decay), w,
                           vf_div(vf_mul(next_m, vf_set1(step->m_scale)), root));
        store_at(weight, i, n, vf_fma(vf_set1(-step->learning_rate), change, w));
    }
}

static void set_train(struct tw_train_kernels *kernels)
{
    kernels->rms_norm_backward = rms_norm_backward;
    kernels->silu_mul_backward = silu_mul_backward;
    kernels->softmax = softmax;
    kernels->softmax_backward = softmax_backward;
    kernels->dot = dot;
    kernels->cross_entropy = cross_entropy;
    kernels->adamw = adamw;
}

#endif
