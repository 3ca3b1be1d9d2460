/* Reference vector kernels: what kernels.h says, one value at a time. */
#include <math.h>
#include <string.h>

#include "kernel/ref/ref.h"
#include "tensor/f16.h"

float tw_ref_exp2(float x)
{
    x = x < -126.0f ? -126.0f : x;
    x = x > 126.0f ? 126.0f : x;
    float n = rintf(x);
    float r = x - n;
    float p = TW_EXP2_C5;
    p = fmaf(p, r, TW_EXP2_C4);
    p = fmaf(p, r, TW_EXP2_C3);
    p = fmaf(p, r, TW_EXP2_C2);
    p = fmaf(p, r, TW_EXP2_C1);
    p = fmaf(p, r, TW_EXP2_C0);
    if (!(fabsf(n) <= 126.0f)) {
        return p; /* not a number: no exponent to make from it */
    }
    return p * tw_f32_from_bits((uint32_t)((int)n + 127) << 23);
}

float tw_ref_sum16(const float lanes[16])
{
    float s[16];
    memcpy(s, lanes, sizeof s);
    for (int half = 8; half >= 1; half /= 2) {
        for (int i = 0; i < half; i++) {
            s[i] = s[i] + s[i + half];
        }
    }
    return s[0];
}

float tw_ref_largest_magnitude(const float *x, size_t n)
{
    float largest = 0;
    for (size_t i = 0; i < n; i++) {
        float a = fabsf(x[i]);
        largest = a > largest ? a : largest;
    }
    return largest;
}

float tw_ref_byte_inverse(float largest)
{
    return largest >= TW_BYTE_SMALLEST ? 127.0f / largest : 0;
}

int8_t tw_ref_quantise_value(float x, float inverse)
{
    float scaled = rintf(x * inverse);
    return fabsf(scaled) <= 127.0f ? (int8_t)scaled : 0;
}

static void put_f32(uint8_t *at, float value)
{
    memcpy(at, &value, sizeof value);
}

static void put_i32(uint8_t *at, int32_t value)
{
    memcpy(at, &value, sizeof value);
}

static void quantise_row(const float *x, size_t width, size_t n_blocks, uint8_t *tile,
                         uint32_t n_columns, uint32_t column)
{
    for (size_t b = 0; b < n_blocks; b++) {
        float values[TW_ACT_BLOCK] = {0};
        size_t begin = b * TW_ACT_BLOCK;
        size_t n = begin >= width ? 0 : width - begin < TW_ACT_BLOCK ? width - begin : TW_ACT_BLOCK;
        if (n != 0) {
            memcpy(values, x + begin, n * sizeof *x);
        }
        float largest = tw_ref_largest_magnitude(values, TW_ACT_BLOCK);
        float scale = largest / 127.0f;
        float inverse = tw_ref_byte_inverse(largest);
        uint8_t *block = tile + b * TW_ACT_BLOCK_BYTES * n_columns;
        uint8_t *q = block + TW_ACT_META_BYTES * n_columns + TW_ACT_BLOCK * column;
        int32_t sum_low = 0, sum = 0;
        for (int k = 0; k < TW_ACT_BLOCK; k++) {
            int8_t value = tw_ref_quantise_value(values[k], inverse);
            q[k] = (uint8_t)value;
            sum += value;
            sum_low = k < 16 ? sum : sum_low;
        }
        put_f32(block + 4 * column, scale);
        put_i32(block + 4 * (n_columns + column), -sum);
        put_i32(block + 4 * (2 * n_columns + column), -sum_low);
        put_f32(block + 4 * (3 * n_columns + column), scale * (float)sum);
    }
}

static void rms_norm(const float *x, const float *weight, size_t n, float eps, float *y)
{
    float lanes[16] = {0};
    for (size_t i = 0; i < n; i++) {
        lanes[i % 16] = fmaf(x[i], x[i], lanes[i % 16]);
    }
    float mean = tw_ref_sum16(lanes) / (float)n;
    float r = 1.0f / sqrtf(mean + eps);
    for (size_t i = 0; i < n; i++) {
        y[i] = x[i] * r * weight[i];
    }
}

static void rope(float *x, const float *cosines, const float *sines, size_t n_dims, int interleaved)
{
    for (size_t i = 0; i < n_dims / 2; i++) {
        size_t first = interleaved ? 2 * i : i;
        size_t second = interleaved ? 2 * i + 1 : i + n_dims / 2;
        float a = x[first], b = x[second];
        x[first] = fmaf(a, cosines[i], -(b * sines[i]));
        x[second] = fmaf(b, cosines[i], a * sines[i]);
    }
}

static void silu_mul(const float *gate, const float *up, size_t n, float *y)
{
    for (size_t i = 0; i < n; i++) {
        float e = tw_ref_exp2(gate[i] * -TW_LOG2_E);
        y[i] = gate[i] / (1.0f + e) * up[i];
    }
}

static void add(const float *x, size_t n, float *y)
{
    for (size_t i = 0; i < n; i++) {
        y[i] = y[i] + x[i];
    }
}

void tw_kernels_init_ref(struct tw_kernels *kernels)
{
    tw_ref_init_tiles(kernels);
    tw_ref_init_attention(kernels);
    kernels->quantise_row = quantise_row;
    kernels->rms_norm = rms_norm;
    kernels->rope = rope;
    kernels->silu_mul = silu_mul;
    kernels->add = add;
}
