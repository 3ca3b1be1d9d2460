/* softmax.h: weights exp((l - max) / T) of a row of logits and their sum, the same bits everywhere.
 *
 *     logits [n] --> weights [n] in [0, 1], the best has exactly 1
 *                \-> chunk_sums [ceil(n / 1024)], total
 *
 * libm's exp is not used: glibc picks among versions by CPU (with and without fused
 * multiply-add), and these differ in the last bit. Ours is plain f32 arithmetic in a fixed order,
 * correct to about 2 units in the last place. One source (softmax_rows.c) is compiled for each
 * instruction set, which changes no result. Sums are doubles: eight interleaved lanes within a
 * chunk, chunks in order.
 *
 * Logits must be free of NaN and +infinity (`clean`); -infinity is weight 0. Weights below
 * exp(-87) are 0. Pure; threads: any. Nothing allocates, nothing fails.
 */
#ifndef TW_ENGINE_SOFTMAX_H
#define TW_ENGINE_SOFTMAX_H

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cpu.h"

enum { TW_SOFTMAX_CHUNK = 1024 };

#define TW_SOFTMAX_CHUNKS(n) (((n) + TW_SOFTMAX_CHUNK - 1) / TW_SOFTMAX_CHUNK)

/* The walks over a row, for one instruction set. */
struct tw_softmax {
    /* Each logit as tw_softmax_clean_one has it. */
    void (*clean)(const float *logits, size_t n, float *ret_logits);

    /* -infinity when n is 0 or every logit is. */
    float (*max)(const float *logits, size_t n);

    /* ret_weights: [n]; weights below `least` become 0. ret_chunk_sums: [TW_SOFTMAX_CHUNKS(n)].
     * max: finite, the largest of logits. Returns the total. */
    double (*weights)(const float *logits, size_t n, float max, float inverse_temperature,
                      float least, float *ret_weights, double *ret_chunk_sums);

    /* The indices of weights [n] that are at least `least` > 0, ascending; how many. */
    size_t (*gather)(const float *weights, size_t n, float least, uint32_t *ret_indices);

    /* The first of the largest logits, which need not be clean; n where there is none above
     * -infinity. */
    size_t (*best)(const float *logits, size_t n);
};

extern const struct tw_softmax tw_softmax_ref, tw_softmax_avx2, tw_softmax_avx512;

/* The table of a level that the machine can run. */
const struct tw_softmax *tw_softmax_of(enum tw_cpu_level level);

/* NaN becomes -infinity, +infinity the largest number: a broken logit must not break a sample. */
static inline float tw_softmax_clean_one(float logit)
{
    float no_nan = logit >= -FLT_MAX ? logit : -INFINITY;
    return no_nan > FLT_MAX ? FLT_MAX : no_nan;
}

/* log of the probability of one token: logit - max - log(total), total at temperature 1. */
float tw_softmax_logprob(float logit, float max, double total);

#endif
