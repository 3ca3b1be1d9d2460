/* trace.h: a recorded workload with the times that were measured, where it has them.
 *
 * Columns beside those of workload.h: ttft_ms (ttft_s), tpot_ms (tpot_s).
 * Ownership: both results are the caller's: tw_workload_free and tw_mem_free. Threads: any.
 * Errors: those of workload.h.
 */
#ifndef TW_PLAN_TRACE_H
#define TW_PLAN_TRACE_H

#include "plan/workload.h"

struct tw_trace_times {
    double ttft_s, tpot_s; /* NaN: not recorded */
};

/* ret_times: [n_requests of the workload], in its order. */
enum tw_status tw_trace_read(const char *file, const char *text, size_t text_bytes,
                             uint32_t block_tokens, struct tw_workload *ret_workload,
                             struct tw_trace_times **ret_times, struct tw_error *error);

#endif
