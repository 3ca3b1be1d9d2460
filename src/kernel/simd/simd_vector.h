/* simd_vector.h: row-wise kernels in sixteen lanes: quantise, norm, rotate, gate, add.
 *
 * Each does what kernel/ref/ref_vector.c does, value by value in the same order; rows that sixteen
 * does not divide end in a padded copy. These are memory- and latency-bound and small beside the
 * products (quantising 4864 values: about 0.7 us on a Zen 5 core).
 *
 * The file that includes this has included simd_avx2.h or simd_avx512.h before.
 */
#ifndef TW_KERNEL_SIMD_SIMD_VECTOR_H
#define TW_KERNEL_SIMD_SIMD_VECTOR_H

#include <math.h>

#include "kernel/kernels.h"

SIMD_INLINE vf vf_exp2(vf x)
{
    x = vf_min(vf_set1(126.0f), vf_max(vf_set1(-126.0f), x));
    vf n = vf_round(x);
    vf r = vf_sub(x, n);
    vf p = vf_set1(TW_EXP2_C5);
    p = vf_fma(p, r, vf_set1(TW_EXP2_C4));
    p = vf_fma(p, r, vf_set1(TW_EXP2_C3));
    p = vf_fma(p, r, vf_set1(TW_EXP2_C2));
    p = vf_fma(p, r, vf_set1(TW_EXP2_C1));
    p = vf_fma(p, r, vf_set1(TW_EXP2_C0));
    return vf_times_power(p, n);
}

/* The first n (0..16) of sixteen values, zeros behind. */
SIMD_INLINE vf vf_load_part(const float *x, size_t n)
{
    float lanes[16] = {0};
    memcpy(lanes, x, n * sizeof *x);
    return vf_load(lanes);
}

SIMD_INLINE void vf_store_part(float *y, vf x, size_t n)
{
    float lanes[16];
    vf_store(lanes, x);
    memcpy(y, lanes, n * sizeof *y);
}

static void quantise_block(vf low, vf high, uint8_t *block, uint32_t n_columns, uint32_t column)
{
    float largest = vf_max16(vf_max(vf_abs(low), vf_max(vf_abs(high), vf_zero())));
    float scale = largest / 127.0f;
    vf inverse = vf_set1(largest >= TW_BYTE_SMALLEST ? 127.0f / largest : 0);
    vi q_low = vi_from_vf(vf_mul(low, inverse));
    vi q_high = vi_from_vf(vf_mul(high, inverse));
    uint8_t *q = block + TW_ACT_META_BYTES * n_columns + TW_ACT_BLOCK * column;
    vi_store_s8(q, q_low);
    vi_store_s8(q + 16, q_high);
    int32_t sum_low = vi_sum(q_low);
    int32_t sum = sum_low + vi_sum(q_high);
    int32_t negative[2] = {-sum, -sum_low};
    float scaled = scale * (float)sum;
    memcpy(block + 4 * column, &scale, 4);
    memcpy(block + 4 * (n_columns + column), &negative[0], 4);
    memcpy(block + 4 * (2 * n_columns + column), &negative[1], 4);
    memcpy(block + 4 * (3 * n_columns + column), &scaled, 4);
}

static void quantise_row(const float *x, size_t width, size_t n_blocks, uint8_t *tile,
                         uint32_t n_columns, uint32_t column)
{
    for (size_t b = 0; b < n_blocks; b++) {
        size_t begin = b * TW_ACT_BLOCK;
        size_t left = begin < width ? width - begin : 0;
        vf low, high;
        if (left >= TW_ACT_BLOCK) {
            low = vf_load(x + begin);
            high = vf_load(x + begin + 16);
        } else {
            size_t n_low = left < 16 ? left : 16;
            low = n_low != 0 ? vf_load_part(x + begin, n_low) : vf_zero();
            high = left > 16 ? vf_load_part(x + begin + 16, left - 16) : vf_zero();
        }
        quantise_block(low, high, tile + b * TW_ACT_BLOCK_BYTES * n_columns, n_columns, column);
    }
}

static void rms_norm(const float *x, const float *weight, size_t n, float eps, float *y)
{
    vf squares = vf_zero();
    size_t whole = n / 16 * 16;
    for (size_t i = 0; i < whole; i += 16) {
        vf v = vf_load(x + i);
        squares = vf_fma(v, v, squares);
    }
    if (whole != n) {
        vf v = vf_load_part(x + whole, n - whole);
        squares = vf_fma(v, v, squares);
    }
    float mean = vf_sum16(squares) / (float)n;
    float r = 1.0f / sqrtf(mean + eps);
    for (size_t i = 0; i < whole; i += 16) {
        vf_store(y + i, vf_mul(vf_mul(vf_load(x + i), vf_set1(r)), vf_load(weight + i)));
    }
    for (size_t i = whole; i < n; i++) {
        y[i] = x[i] * r * weight[i];
    }
}

static void rope(float *x, const float *cosines, const float *sines, size_t n_dims, int interleaved)
{
    size_t half = n_dims / 2;
    size_t whole = interleaved ? 0 : half / 16 * 16;
    for (size_t i = 0; i < whole; i += 16) {
        vf a = vf_load(x + i), b = vf_load(x + half + i);
        vf c = vf_load(cosines + i), s = vf_load(sines + i);
        vf_store(x + i, vf_fma(a, c, vf_sub(vf_set1(-0.0f), vf_mul(b, s))));
        vf_store(x + half + i, vf_fma(b, c, vf_mul(a, s)));
    }
    for (size_t i = whole; i < half; i++) {
        size_t first = interleaved ? 2 * i : i;
        size_t second = interleaved ? 2 * i + 1 : i + half;
        float a = x[first], b = x[second];
        x[first] = fmaf(a, cosines[i], -(b * sines[i]));
        x[second] = fmaf(b, cosines[i], a * sines[i]);
    }
}

SIMD_INLINE vf gated(vf gate, vf up)
{
    vf e = vf_exp2(vf_mul(gate, vf_set1(-TW_LOG2_E)));
    return vf_mul(vf_div(gate, vf_add(vf_set1(1.0f), e)), up);
}

static void silu_mul(const float *gate, const float *up, size_t n, float *y)
{
    size_t whole = n / 16 * 16;
    for (size_t i = 0; i < whole; i += 16) {
        vf_store(y + i, gated(vf_load(gate + i), vf_load(up + i)));
    }
    if (whole != n) {
        vf g = vf_load_part(gate + whole, n - whole);
        vf u = vf_load_part(up + whole, n - whole);
        vf_store_part(y + whole, gated(g, u), n - whole);
    }
}

static void add(const float *x, size_t n, float *y)
{
    size_t whole = n / 16 * 16;
    for (size_t i = 0; i < whole; i += 16) {
        vf_store(y + i, vf_add(vf_load(y + i), vf_load(x + i)));
    }
    for (size_t i = whole; i < n; i++) {
        y[i] = y[i] + x[i];
    }
}

static void set_vectors(struct tw_kernels *kernels)
{
    kernels->quantise_row = quantise_row;
    kernels->rms_norm = rms_norm;
    kernels->rope = rope;
    kernels->silu_mul = silu_mul;
    kernels->add = add;
}

#endif
