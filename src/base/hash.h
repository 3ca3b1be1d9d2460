/* hash.h: checksums and fingerprints of bytes: XXH3, 64 bits or 128.
 *
 * For noticing damage and difference, not for secrets: anyone can make two texts of one hash.
 * Threads: one a state. */
#ifndef TW_BASE_HASH_H
#define TW_BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tw_hash;

/* NULL: no memory. */
struct tw_hash *tw_hash_create(void);
void tw_hash_add(struct tw_hash *hash, const void *bytes, size_t n_bytes);
uint64_t tw_hash_value(const struct tw_hash *hash);

/* The same state's 128 bits, for files so large that 64 are few. */
struct tw_hash128 {
    uint64_t low, high;
};
struct tw_hash128 tw_hash_value128(const struct tw_hash *hash);
bool tw_hash128_is_same(struct tw_hash128 a, struct tw_hash128 b);
/* NULL is allowed. */
void tw_hash_free(struct tw_hash *hash);

/* Of one text, at once. A seed that nobody can guess keeps others from making texts that meet. */
uint64_t tw_hash_of(const void *bytes, size_t n_bytes, uint64_t seed);

#endif
