#include "engine/softmax.h"

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

enum { LANES = 8 };

/* exp(-87) is the last power whose scale 2^k is a normal number. */
#define LOWEST_EXPONENT -87.0f

/* A choice between numbers without a branch, which the compiler can vectorise. */
static inline float zero_unless(int condition, float x)
{
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits &= -(int32_t)condition;
    memcpy(&x, &bits, sizeof bits);
    return x;
}

/* exp(x) = 2^k exp(r), k = round(x / ln 2), |r| <= 0.35: the series up to r^7/7! is off by 5e-9.
 * ln 2 in two parts, the first with few bits, keeps k * ln 2 exact. */
static inline float exp_not_positive(float x)
{
    const float round_magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
    int inside = x > LOWEST_EXPONENT;
    float safe = zero_unless(inside, x);
    float k = (safe * 1.44269504088896341f + round_magic) - round_magic;
    float r = safe - k * 0.693359375f;
    r = r - k * -2.12194440e-4f;
    float p = 1.0f / 5040.0f;
    p = p * r + 1.0f / 720.0f;
    p = p * r + 1.0f / 120.0f;
    p = p * r + 1.0f / 24.0f;
    p = p * r + 1.0f / 6.0f;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    int32_t bits = ((int32_t)k + 127) * (1 << 23);
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    return zero_unless(inside, p * scale);
}

float tw_softmax_exp(float x)
{
    return exp_not_positive(x);
}

float tw_softmax_clean_one(float logit)
{
    float no_nan = logit >= -FLT_MAX ? logit : -INFINITY;
    return no_nan > FLT_MAX ? FLT_MAX : no_nan;
}

void tw_softmax_clean(const float *logits, size_t n, float *ret_logits)
{
    for (size_t i = 0; i < n; i++) {
        ret_logits[i] = tw_softmax_clean_one(logits[i]);
    }
}

float tw_softmax_max(const float *logits, size_t n)
{
    float lanes[LANES];
    for (size_t j = 0; j < LANES; j++) {
        lanes[j] = -INFINITY;
    }
    size_t whole = n - n % LANES;
    for (size_t i = 0; i < whole; i += LANES) {
        for (size_t j = 0; j < LANES; j++) {
            lanes[j] = logits[i + j] > lanes[j] ? logits[i + j] : lanes[j];
        }
    }
    float max = -INFINITY;
    for (size_t i = whole; i < n; i++) {
        max = logits[i] > max ? logits[i] : max;
    }
    for (size_t j = 0; j < LANES; j++) {
        max = lanes[j] > max ? lanes[j] : max;
    }
    return max;
}

static double sum_chunk(const float *weights, size_t n)
{
    double lanes[LANES] = {0};
    size_t whole = n - n % LANES;
    for (size_t i = 0; i < whole; i += LANES) {
        for (size_t j = 0; j < LANES; j++) {
            lanes[j] += (double)weights[i + j];
        }
    }
    for (size_t i = whole; i < n; i++) {
        lanes[i - whole] += (double)weights[i];
    }
    return ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) +
           ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]));
}

double tw_softmax_sum(const float *weights, size_t n, double *ret_chunk_sums)
{
    double total = 0.0;
    for (size_t begin = 0; begin < n; begin += TW_SOFTMAX_CHUNK) {
        size_t left = n - begin;
        double sum = sum_chunk(weights + begin, left < TW_SOFTMAX_CHUNK ? left : TW_SOFTMAX_CHUNK);
        ret_chunk_sums[begin / TW_SOFTMAX_CHUNK] = sum;
        total += sum;
    }
    return total;
}

double tw_softmax_weights(const float *logits, size_t n, float max, float inverse_temperature,
                          float least, float *ret_weights, double *ret_chunk_sums)
{
    for (size_t i = 0; i < n; i++) {
        float w = exp_not_positive((logits[i] - max) * inverse_temperature);
        ret_weights[i] = zero_unless(w >= least, w);
    }
    return tw_softmax_sum(ret_weights, n, ret_chunk_sums);
}

float tw_softmax_logprob(float logit, float max, double total)
{
    return (float)(((double)logit - (double)max) - log(total));
}
