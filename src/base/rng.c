#include "base/rng.h"

#include <math.h>
#include <sys/random.h>

#include "base/clock.h"

#define PHILOX_ROUNDS 10
#define PHILOX_M0     0xD2511F53u
#define PHILOX_M1     0xCD9E8D57u
#define PHILOX_W0     0x9E3779B9u
#define PHILOX_W1     0xBB67AE85u

void tw_rng_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t ret_words[4])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < PHILOX_ROUNDS; round++) {
        uint64_t p0 = (uint64_t)PHILOX_M0 * c0;
        uint64_t p1 = (uint64_t)PHILOX_M1 * c2;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        uint32_t n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        c0 = n0;
        c2 = n2;
        k0 += PHILOX_W0;
        k1 += PHILOX_W1;
    }
    ret_words[0] = c0;
    ret_words[1] = c1;
    ret_words[2] = c2;
    ret_words[3] = c3;
}

void tw_rng_block(uint64_t seed, uint64_t counter, uint32_t ret_words[4])
{
    const uint32_t words[4] = {(uint32_t)counter, (uint32_t)(counter >> 32), 0, 0};
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    tw_rng_philox(words, key, ret_words);
}

static double to_unit(uint32_t high, uint32_t low)
{
    uint64_t bits = (((uint64_t)high << 32) | low) >> 11;
    return (double)bits * 0x1p-53;
}

double tw_rng_uniform(uint64_t seed, uint64_t counter)
{
    uint32_t w[4];
    tw_rng_block(seed, counter, w);
    return to_unit(w[0], w[1]);
}

double tw_rng_normal(uint64_t seed, uint64_t counter)
{
    uint32_t w[4];
    tw_rng_block(seed, counter, w);
    double u = 1.0 - to_unit(w[0], w[1]); /* (0, 1]: the logarithm is finite */
    double v = to_unit(w[2], w[3]);
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
}

uint64_t tw_rng_system_seed(void)
{
    uint64_t seed;
    if (getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed) {
        seed = (uint64_t)tw_clock_wall_ns();
    }
    return seed;
}
