/* Any bytes as a checkpoint, once as they are and once with the checksum that they should have: a
 * state within its bounds, or a reason. */
#define _GNU_SOURCE
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/hash.h"
#include "fuzz_target.h"
#include "train/checkpoint.h"

enum { VALUES = 4, STEPS = 3 };

static void read_from(int file)
{
    char path[64];
    float weights[VALUES], m[VALUES], v[VALUES];
    struct tw_train_point history[STEPS];
    struct tw_train_state state = {.n_values = VALUES,
                                   .weights = weights,
                                   .m = m,
                                   .v = v,
                                   .history_capacity = STEPS,
                                   .history = history};
    struct tw_error error = {0};
    tw_buf_init(&state.recipe, 64);
    tw_buf_init(&state.outputs, TW_LIMIT_RECORD_BYTES);
    tw_buf_append_text(&state.recipe, "a 7\n");
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    if (tw_checkpoint_read(path, &state, &error) == TW_OK) {
        assert(state.n_history <= STEPS && state.n_values == VALUES);
        size_t n = state.outputs.size_bytes;
        assert(n == 0 || state.outputs.data[n - 1] == '\0');
    } else {
        assert(strstr(error.text, path) != NULL);
    }
    tw_buf_free(&state.recipe);
    tw_buf_free(&state.outputs);
}

static void put(int file, const void *bytes, size_t n_bytes)
{
    ssize_t n = write(file, bytes, n_bytes);
    assert(n == (ssize_t)n_bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int file = memfd_create("checkpoint", MFD_CLOEXEC);
    assert(file >= 0);
    put(file, data, size);
    read_from(file);
    struct tw_hash *hash = tw_hash_create();
    assert(hash != NULL);
    tw_hash_add(hash, data, size);
    uint64_t checksum = tw_hash_value(hash);
    tw_hash_free(hash);
    put(file, &checksum, sizeof checksum);
    read_from(file);
    close(file);
    return 0;
}
