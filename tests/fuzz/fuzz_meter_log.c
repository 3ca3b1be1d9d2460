#include "fuzz_target.h"

#include <math.h>

#include "plan/meter_log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    struct tw_meter_log *log = NULL;
    struct tw_meter_cover cover;
    struct tw_error error;
    double joules = 0;
    if (tw_meter_log_read("meters", (const char *)data, n_bytes, &log, &error) != TW_OK) {
        return 0;
    }
    for (size_t i = 0; i < log->n_spans; i++) {
        const struct tw_meter_span *span = &log->spans[i];
        if (span->from_ns >= span->to_ns || !isfinite(span->joules) || span->joules < 0 ||
            (i > 0 && span->from_ns < span[-1].to_ns)) {
            __builtin_trap();
        }
        joules += span->joules;
    }
    if (fabs(joules - log->joules) > 1e-9 * joules) {
        __builtin_trap();
    }
    struct tw_meter_log *const both[2] = {log, log};
    if (tw_meter_log_cover(both, 2, 0, INT64_MAX, &cover, &error) == TW_OK) {
        if (cover.covered_ns != log->covered_ns ||
            fabs(cover.joules - 2 * joules) > 1e-6 * joules) {
            __builtin_trap();
        }
        tw_meter_log_cover_free(&cover);
    }
    tw_meter_log_free(log);
    return 0;
}
