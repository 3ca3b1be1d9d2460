/* rng.h: random numbers as a function of (seed, counter), with no state to carry along.
 *
 * Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011). A sample
 * at position p of a sequence depends on its seed and p alone, never on what else is in the batch.
 * Not for secrets.
 */
#ifndef TW_BASE_RNG_H
#define TW_BASE_RNG_H

#include <stdint.h>

/* The generator itself, on its full 128-bit counter and 64-bit key. */
void tw_rng_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t ret_words[4]);

/* 128 random bits for (seed, counter). */
void tw_rng_block(uint64_t seed, uint64_t counter, uint32_t ret_words[4]);

/* Uniform in [0, 1) with 53 random bits. */
double tw_rng_uniform(uint64_t seed, uint64_t counter);

/* Normal with mean 0 and standard deviation 1 (Box-Muller). Through the C library's logarithm and
 * cosine, whose last bit differs between machines: for synthetic weights, never for sampling. */
double tw_rng_normal(uint64_t seed, uint64_t counter);

/* A seed from the operating system, for callers that did not choose one. */
uint64_t tw_rng_system_seed(void);

#endif
