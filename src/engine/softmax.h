/* softmax.h: weights exp((l - max) / T) of a row of logits and their sum, the same bits everywhere.
 *
 *     logits [n] --> weights [n] in [0, 1], the best has exactly 1
 *                \-> chunk_sums [ceil(n / 1024)], total
 *
 * libm's exp is not used: glibc picks among versions by CPU (with and without fused
 * multiply-add), and these differ in the last bit. Ours is plain f32 arithmetic in a fixed order,
 * correct to about 2 units in the last place, and the compiler can vectorise it without changing a
 * result. Sums are doubles: eight interleaved lanes within a chunk, chunks in order.
 *
 * Logits must be free of NaN and +infinity (tw_softmax_clean); -infinity is weight 0. Weights below
 * exp(-87) are 0. Pure; threads: any. Nothing allocates, nothing fails.
 */
#ifndef TW_ENGINE_SOFTMAX_H
#define TW_ENGINE_SOFTMAX_H

#include <stddef.h>

enum { TW_SOFTMAX_CHUNK = 1024 };

#define TW_SOFTMAX_CHUNKS(n) (((n) + TW_SOFTMAX_CHUNK - 1) / TW_SOFTMAX_CHUNK)

/* exp(x) for x <= 0. */
float tw_softmax_exp(float x);

/* NaN becomes -infinity, +infinity the largest number: a broken logit must not break a sample. */
float tw_softmax_clean_one(float logit);
void tw_softmax_clean(const float *logits, size_t n, float *ret_logits);

/* -infinity when n is 0 or every logit is. */
float tw_softmax_max(const float *logits, size_t n);

/* ret_weights: [n]; weights below `least` become 0. ret_chunk_sums: [TW_SOFTMAX_CHUNKS(n)].
 * max: finite, the largest of logits. Returns the total. */
double tw_softmax_weights(const float *logits, size_t n, float max, float inverse_temperature,
                          float least, float *ret_weights, double *ret_chunk_sums);

/* The sum of weights [n], by chunk in ret_chunk_sums. */
double tw_softmax_sum(const float *weights, size_t n, double *ret_chunk_sums);

/* log of the probability of one token: logit - max - log(total), total at temperature 1. */
float tw_softmax_logprob(float logit, float max, double total);

#endif
