#include "base/hash.h"

#include <xxhash.h>

/* The state of the library is all there is to ours. */
static XXH3_state_t *state_of(struct tw_hash *hash)
{
    return (XXH3_state_t *)(void *)hash;
}

struct tw_hash *tw_hash_create(void)
{
    XXH3_state_t *state = XXH3_createState();
    if (state != NULL) {
        XXH3_64bits_reset(state);
    }
    return (struct tw_hash *)(void *)state;
}

void tw_hash_add(struct tw_hash *hash, const void *bytes, size_t n_bytes)
{
    XXH3_64bits_update(state_of(hash), bytes, n_bytes);
}

uint64_t tw_hash_value(const struct tw_hash *hash)
{
    return XXH3_64bits_digest((const XXH3_state_t *)(const void *)hash);
}

struct tw_hash128 tw_hash_value128(const struct tw_hash *hash)
{
    XXH128_hash_t value = XXH3_128bits_digest((const XXH3_state_t *)(const void *)hash);
    return (struct tw_hash128){.low = value.low64, .high = value.high64};
}

bool tw_hash128_is_same(struct tw_hash128 a, struct tw_hash128 b)
{
    return a.low == b.low && a.high == b.high;
}

void tw_hash_free(struct tw_hash *hash)
{
    XXH3_freeState(state_of(hash));
}

uint64_t tw_hash_of(const void *bytes, size_t n_bytes, uint64_t seed)
{
    return XXH3_64bits_withSeed(bytes, n_bytes, seed);
}
