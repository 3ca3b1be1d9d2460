/* Any bytes as a server's metrics, in one piece and in many. */
#include <assert.h>
#include <string.h>

#include "fuzz_target.h"
#include "remote/server_metrics.h"

static struct tw_server_load read_in(const char *bytes, size_t n_bytes, size_t step)
{
    struct tw_metrics_reader reader;
    tw_metrics_begin(&reader);
    for (size_t at = 0; at < n_bytes; at += step) {
        tw_metrics_push(&reader, bytes + at, step < n_bytes - at ? step : n_bytes - at);
    }
    return tw_metrics_end(&reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct tw_server_load whole = read_in((const char *)data, size, size + 1);
    const struct tw_server_load pieces = read_in((const char *)data, size, 1 + size % 11);
    for (int i = 0; i < TW_METRIC_COUNT; i++) {
        assert(whole.has[i] == pieces.has[i]);
        assert(memcmp(&whole.value[i], &pieces.value[i], sizeof whole.value[i]) == 0);
        assert(whole.value[i] >= 0);
    }
    assert(whole.value[TW_METRIC_KV_SHARE] <= 1);
    return 0;
}
