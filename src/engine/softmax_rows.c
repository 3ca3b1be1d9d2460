/* The loops over a row of logits, compiled once for each instruction set: plain C that a compiler
 * makes vectors of, and without contraction the same bits whichever it makes. */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "engine/softmax.h"

enum { LANES = 8, BLOCK = 64 };

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

static void clean(const float *logits, size_t n, float *ret_logits)
{
    for (size_t i = 0; i < n; i++) {
        ret_logits[i] = tw_softmax_clean_one(logits[i]);
    }
}

#define KEY_OF_INFINITY 0x7f800000

/* Integers in the order of clean logits, and back: a compiler may reorder their maximum, and so
 * make vectors of it. -0 is taken for 0. */
static inline int32_t key_of(float logit)
{
    int32_t bits;
    memcpy(&bits, &logit, sizeof bits);
    const int32_t magnitude = bits & INT32_MAX;
    int32_t key = bits < 0 ? -magnitude : magnitude;
    key = magnitude > KEY_OF_INFINITY ? -KEY_OF_INFINITY : key;
    return key < KEY_OF_INFINITY ? key : KEY_OF_INFINITY - 1;
}

static float logit_of(int32_t key)
{
    const uint32_t bits = key < 0 ? (uint32_t)-key | 0x80000000u : (uint32_t)key;
    float logit;
    memcpy(&logit, &bits, sizeof logit);
    return logit;
}

static float row_max(const float *logits, size_t n)
{
    int32_t most = -KEY_OF_INFINITY;
    for (size_t i = 0; i < n; i++) {
        int32_t key = key_of(logits[i]);
        most = key > most ? key : most;
    }
    return logit_of(most);
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

static double sum_weights(const float *weights, size_t n, double *ret_chunk_sums)
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

static double fill_weights(const float *logits, size_t n, float max, float inverse_temperature,
                           float least, float *ret_weights, double *ret_chunk_sums)
{
    for (size_t i = 0; i < n; i++) {
        float w = exp_not_positive((logits[i] - max) * inverse_temperature);
        ret_weights[i] = zero_unless(w >= least, w);
    }
    return sum_weights(ret_weights, n, ret_chunk_sums);
}

/* Weights are not negative, so that their bits are in their order, and integers make vectors. */
static size_t gather(const float *weights, size_t n, float least, uint32_t *ret_indices)
{
    int32_t bound;
    memcpy(&bound, &least, sizeof bound);
    size_t n_found = 0;
    for (size_t begin = 0; begin < n; begin += BLOCK) {
        int32_t bits[BLOCK] = {0};
        const size_t n_block = n - begin < BLOCK ? n - begin : BLOCK;
        memcpy(bits, weights + begin, n_block * sizeof *bits);
        int32_t most = 0;
        for (size_t j = 0; j < BLOCK; j++) {
            most = bits[j] > most ? bits[j] : most;
        }
        for (size_t j = 0; most >= bound && j < n_block; j++) {
            ret_indices[n_found] = (uint32_t)(begin + j);
            n_found += bits[j] >= bound;
        }
    }
    return n_found;
}

static size_t best(const float *logits, size_t n)
{
    int32_t most = -KEY_OF_INFINITY;
    size_t at = n;
    for (size_t begin = 0; begin < n; begin += BLOCK) {
        int32_t block_most = -KEY_OF_INFINITY;
        const size_t n_block = n - begin < BLOCK ? n - begin : BLOCK;
        for (size_t j = 0; j < n_block; j++) {
            int32_t key = key_of(logits[begin + j]);
            block_most = key > block_most ? key : block_most;
        }
        if (block_most > most) {
            most = block_most;
            at = begin;
        }
    }
    while (at < n && key_of(logits[at]) != most) {
        at++;
    }
    return at;
}

const struct tw_softmax TW_SOFTMAX_TABLE = {
    .clean = clean,
    .max = row_max,
    .weights = fill_weights,
    .gather = gather,
    .best = best,
};
