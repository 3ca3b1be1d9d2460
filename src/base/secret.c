#include "base/secret.h"

#include <sodium.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

struct tw_secret_hash tw_secret_hash_of(const void *secret, size_t n_bytes)
{
    struct tw_secret_hash hash;
    crypto_hash_sha256(hash.bytes, secret, n_bytes);
    return hash;
}

bool tw_secret_hash_parse(const char *hex, struct tw_secret_hash *ret_hash)
{
    struct tw_secret_hash hash;
    size_t n_bytes;
    if (strlen(hex) != TW_SECRET_HEX_BYTES ||
        sodium_hex2bin(hash.bytes, sizeof hash.bytes, hex, TW_SECRET_HEX_BYTES, NULL, &n_bytes,
                       NULL) != 0 ||
        n_bytes != sizeof hash.bytes) {
        return false;
    }
    *ret_hash = hash;
    return true;
}

void tw_secret_wipe(void *secret, size_t n_bytes)
{
    sodium_memzero(secret, n_bytes);
}

bool tw_secret_hash_equal(const struct tw_secret_hash *a, const struct tw_secret_hash *b)
{
    return sodium_memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

void *tw_secret_alloc(size_t n_bytes)
{
    void *memory = sodium_init() < 0 ? NULL : sodium_malloc(n_bytes);
    if (memory != NULL) {
        memset(memory, 0, n_bytes);
    }
    return memory;
}

void tw_secret_free(void *secret)
{
    sodium_free(secret);
}

/* The limit alone would not do: a program that takes cores through a pipe gets them all the same.
 */
void tw_secret_guard_process(void)
{
    const struct rlimit none = {.rlim_cur = 0, .rlim_max = 0};
    setrlimit(RLIMIT_CORE, &none);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}
