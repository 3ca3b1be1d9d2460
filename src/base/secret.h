/* secret.h: what is known of a secret without keeping it: its SHA-256, compared in constant time;
 * and memory, and a process, for those that must be kept.
 *
 * For keys that are drawn at random, as API keys are; a password that a person chose would need a
 * slow hash. Threads: any. */
#ifndef TW_BASE_SECRET_H
#define TW_BASE_SECRET_H

#include <stdbool.h>
#include <stddef.h>

enum { TW_SECRET_HASH_BYTES = 32, TW_SECRET_HEX_BYTES = 2 * TW_SECRET_HASH_BYTES };

struct tw_secret_hash {
    unsigned char bytes[TW_SECRET_HASH_BYTES];
};

struct tw_secret_hash tw_secret_hash_of(const void *secret, size_t n_bytes);
/* From 64 hexadecimal digits; false for anything else. */
bool tw_secret_hash_parse(const char *hex, struct tw_secret_hash *ret_hash);
/* Takes as long wherever they differ. */
bool tw_secret_hash_equal(const struct tw_secret_hash *a, const struct tw_secret_hash *b);

/* Overwrites what is not needed any more, so that no copy of the memory has it. */
void tw_secret_wipe(void *secret, size_t n_bytes);

/* Memory for keys: never in a core file, not in swap where the system lets us lock it, between
 * pages that nobody may touch, and wiped when it is freed. Of zeros; some pages for each, so not
 * for many. NULL: no memory. */
void *tw_secret_alloc(size_t n_bytes);
/* NULL is allowed. */
void tw_secret_free(void *secret);

/* From here on to its end the process leaves no core file, and only root may read its memory or
 * attach to it. */
void tw_secret_guard_process(void);

#endif
