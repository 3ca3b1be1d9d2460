/* Any bytes as a file of packed weights, once as they are and once with the checksums that they
 * should have: every matrix in it lies in the bytes, or there is a reason. */
#include <assert.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "fuzz_target.h"
#include "model/weight_pack.h"

enum {
    AT_DIRECTORY = 24,
    AT_DIRECTORY_BYTES = 32,
    AT_N_STAMPS = 40,
    AT_DIRECTORY_HASH = 64,
    AT_HEADER_HASH = 72,
    STAMP_BYTES = 32,
    ENTRY_BYTES = 24,
    MOST_KEY = 100
};

static uint64_t get(const uint8_t *bytes, size_t n_bytes)
{
    uint64_t value = 0;
    memcpy(&value, bytes, n_bytes);
    return value;
}

/* What opened is well-formed, so its directory can be walked without a look at its length. */
static void check_matrices(const struct tw_weight_pack *pack, const uint8_t *data, size_t size)
{
    const size_t n = tw_weight_pack_count(pack);
    const uint8_t *entries =
        data + get(data + AT_DIRECTORY, 8) + get(data + AT_N_STAMPS, 4) * STAMP_BYTES;
    for (size_t i = 0; i < n; i++) {
        const uint8_t *entry = entries + i * ENTRY_BYTES;
        const size_t n_key = get(entry + 20, 4);
        char key[MOST_KEY + 1] = "";
        const void *bytes = NULL;
        size_t n_bytes = 0;
        if (n_key > MOST_KEY) {
            continue;
        }
        memcpy(key, entries + n * ENTRY_BYTES + get(entry + 16, 4), n_key);
        if (tw_weight_pack_find(pack, key, &bytes, &n_bytes)) {
            const size_t at = (size_t)((const uint8_t *)bytes - data);
            assert(at >= TW_PACK_DATA_AT && at <= size && n_bytes <= size - at);
            assert(at % TW_PACK_ALIGNMENT == 0);
        } else {
            assert(strlen(key) != n_key);
        }
    }
}

static void read_from(const uint8_t *data, size_t size)
{
    static const struct tw_file_stamp stamp = {.size_bytes = 1};
    struct tw_weight_pack *pack = NULL;
    struct tw_error error = {.status = TW_OK};
    if (tw_weight_pack_open_memory(data, size, "fuzz.twpack", &pack, &error) != TW_OK) {
        assert(strlen(error.text) > 0 && error.status != TW_ERR_MEMORY);
        return;
    }
    check_matrices(pack, data, size);
    tw_weight_pack_is_of(pack, 1, &stamp, 1);
    tw_weight_pack_check(pack, NULL);
    tw_weight_pack_close(pack);
}

static void sign(uint8_t *data, size_t size)
{
    const uint64_t at = get(data + AT_DIRECTORY, 8), n = get(data + AT_DIRECTORY_BYTES, 8);
    if (at <= size && n <= size - at) {
        const uint64_t hash = tw_hash_of(data + at, n, 0);
        memcpy(data + AT_DIRECTORY_HASH, &hash, sizeof hash);
    }
    const uint64_t hash = tw_hash_of(data, AT_HEADER_HASH, 0);
    memcpy(data + AT_HEADER_HASH, &hash, sizeof hash);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_from(data, size);
    if (size >= TW_PACK_DATA_AT) {
        uint8_t *copy = tw_mem_alloc(size, 1);
        assert(copy != NULL);
        memcpy(copy, data, size);
        sign(copy, size);
        read_from(copy, size);
        tw_mem_free(copy);
    }
    return 0;
}
