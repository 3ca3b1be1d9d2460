/* Measurements that a calibration is made of, from files. */
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "plan/calibrate.h"
#include "plan/trace.h"

static bool positive(const json_t *object, const char *key, double *ret_number)
{
    const json_t *value = json_object_get(object, key);
    double number = json_is_number(value) ? json_number_value(value) : -1;
    if (!(number >= 0) || !isfinite(number)) {
        return false;
    }
    *ret_number = number;
    return true;
}

/* A point of the bench: a prompt behind depth tokens, or sequences that decode at that depth. */
static bool read_point(const json_t *point, struct tw_plan_pass *pass)
{
    double n = 0, depth = 0;
    const char *phase = json_string_value(json_object_get(point, "phase"));
    const bool is_prefill = json_object_get(point, "prompt_tokens") != NULL;
    if (phase == NULL || !positive(point, is_prefill ? "prompt_tokens" : "sequences", &n) ||
        !positive(point, "depth_tokens", &depth) || !positive(point, "pass_s", &pass->seconds) ||
        n < 1 || n > 1e7 || depth > 1e9 || pass->seconds <= 0) {
        return false;
    }
    const double rows = is_prefill ? 1 : n;
    pass->work = (struct tw_step_work){.n_tokens = (uint64_t)n,
                                       .n_rows = (uint64_t)rows,
                                       .n_results = (uint64_t)rows,
                                       .n_context_tokens = is_prefill ? depth + n : n * (depth + 1),
                                       .n_window_tokens = is_prefill ? depth + n : n * (depth + 1),
                                       .n_attended = is_prefill ? n * depth + n * (n + 1) / 2
                                                                : n * (depth + 1)};
    return true;
}

static enum tw_status read_points(const char *file, const json_t *points,
                                  struct tw_plan_pass **ret_passes, uint32_t *ret_n,
                                  struct tw_error *error)
{
    const size_t n = json_array_size(points);
    struct tw_plan_pass *passes = tw_mem_zalloc(n, sizeof *passes);
    if (passes == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for %s", file);
    }
    for (size_t i = 0; i < n; i++) {
        if (!read_point(json_array_get(points, i), &passes[i])) {
            tw_mem_free(passes);
            return tw_error_set(error, TW_ERR_FORMAT, i,
                                "%s: point %zu needs phase, prompt_tokens or sequences, "
                                "depth_tokens and pass_s",
                                file, i + 1);
        }
    }
    *ret_passes = passes;
    *ret_n = (uint32_t)n;
    return TW_OK;
}

enum tw_status tw_calibrate_read_bench(const char *file, const char *text, size_t text_bytes,
                                       struct tw_plan_pass **ret_passes, uint32_t *ret_n,
                                       struct tw_error *error)
{
    json_t *root;
    enum tw_status status = tw_json_parse(text, text_bytes, file, &root, error);
    if (status != TW_OK) {
        return status;
    }
    const json_t *points = json_object_get(root, "points");
    if (json_array_size(points) == 0) {
        status = tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                              "%s has no points: give it the output of `tokenworks bench engine "
                              "--json`",
                              file);
    } else {
        status = read_points(file, points, ret_passes, ret_n, error);
    }
    json_decref(root);
    return status;
}

enum tw_status tw_calibrate_read_log(const char *file, const char *text, size_t text_bytes,
                                     struct tw_workload *ret_workload,
                                     struct tw_plan_outcome **ret_outcomes, struct tw_error *error)
{
    struct tw_workload workload;
    struct tw_trace_times *times;
    enum tw_status status = tw_trace_read(file, text, text_bytes, 0, &workload, &times, error);
    if (status != TW_OK) {
        return status;
    }
    struct tw_plan_outcome *outcomes = tw_mem_zalloc(workload.n_requests, sizeof *outcomes);
    for (uint32_t i = 0; outcomes != NULL && i < workload.n_requests; i++) {
        outcomes[i].ttft_s = isnan(times[i].ttft_s) ? -1 : times[i].ttft_s;
        outcomes[i].tpot_s = isnan(times[i].tpot_s) ? -1 : times[i].tpot_s;
        outcomes[i].latency_s = outcomes[i].queue_s = -1;
    }
    tw_mem_free(times);
    if (outcomes == NULL) {
        tw_workload_free(&workload);
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for %s", file);
    }
    *ret_workload = workload;
    *ret_outcomes = outcomes;
    return TW_OK;
}
