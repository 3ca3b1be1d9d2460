#include "fuzz_target.h"

#include "base/mem.h"
#include "plan/calibrate.h"
#include "plan/trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    struct tw_workload workload;
    struct tw_trace_times *times;
    struct tw_plan_pass *passes;
    struct tw_error error;
    uint32_t n;
    if (tw_trace_read("trace", (const char *)data, n_bytes, 0, &workload, &times, &error) ==
        TW_OK) {
        tw_workload_summarise(&workload);
        for (uint32_t i = 0; i < workload.n_requests; i++) {
            const struct tw_plan_request *r = &workload.requests[i];
            if (r->n_input == 0 || r->n_output == 0 ||
                (i > 0 && r->arrival_ns < r[-1].arrival_ns) ||
                r->first_block + (uint64_t)r->n_blocks > workload.n_blocks) {
                __builtin_trap();
            }
        }
        tw_workload_free(&workload);
        tw_mem_free(times);
    }
    if (tw_calibrate_read_bench("bench", (const char *)data, n_bytes, &passes, &n, &error) ==
        TW_OK) {
        tw_mem_free(passes);
    }
    static const struct tw_plant base = {.n_tensor = 1, .n_pipeline = 1};
    static struct tw_catalogue *catalogue;
    struct tw_plan_point *points;
    if (catalogue == NULL && tw_catalogue_open(NULL, 0, &catalogue, &error) != TW_OK) {
        __builtin_trap();
    }
    if (tw_calibrate_read_points("points", (const char *)data, n_bytes, catalogue, &base, &points,
                                 &n, &error) == TW_OK) {
        for (uint32_t i = 0; i < n; i++) {
            if (points[i].n_clients == 0 || !(points[i].tpot_s > 0) || points[i].n_input < 1) {
                __builtin_trap();
            }
        }
        tw_mem_free(points);
    }
    return 0;
}
