/* bench_engine.h: what forward passes of a model cost here, beside what this machine could do.
 *
 *     points (phase, sequences, tokens, depth)  --[rounds: limits, pass, limits, pass ...]-->
 *     seconds of a pass, and the share of its limit
 *
 * The limit of a pass is the longer of two: reading once every byte that it needs (the packed
 * weights, and keys and values of all positions attended to) at the rate at which this machine
 * reads now, and its multiply-adds at the rates of registers. Both are measured beside each pass,
 * because a shared machine's speed drifts, and shares are formed pass by pass.
 *
 * A cost model is fitted to all passes, for planning: seconds = fixed + a * tokens + b * rows of
 * logits + c * positions attended to, by least squares of the relative error, none negative.
 *
 * Keys and values of the depth are those of real tokens, computed for every sequence by itself, 64
 * positions at a time; attention reads what it would read in use.
 *
 * Threads: one at a time. Errors: those of model.h; TW_ERR_LIMIT where the points do not fit into
 * the model's context or the memory.
 */
#ifndef TW_APP_BENCH_ENGINE_H
#define TW_APP_BENCH_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "model/model.h"
#include "probe/machine.h"

struct tw_bench_point {
    bool is_prefill;       /* one sequence, n_tokens of it; otherwise one token of each sequence */
    uint32_t n_sequences;  /* of a decoding pass */
    uint32_t n_tokens;     /* of a prefill */
    uint32_t depth_tokens; /* in the cache before */

    /* Results: of a pass, over the rounds. */
    double seconds, seconds_first_quartile, seconds_third_quartile;
    double share;      /* of the limit: median of the rounds' */
    bool reads_longer; /* the limit is reading, not arithmetic */
    double n_bytes, int8_operations, float_operations;
};

struct tw_bench_cost {
    double fixed_seconds, token_seconds, output_seconds, position_seconds;
    double error; /* root mean square of the relative differences */
};

struct tw_bench_config {
    const char *path;
    int n_threads; /* 0: one a core */
    enum tw_dtype kv_dtype;
    uint32_t n_rounds;       /* 1..TW_LIMIT_BENCH_ROUNDS */
    uint32_t n_decode_steps; /* passes of a round whose mean counts */
    tw_model_progress_fn progress;
    void *progress_context;
    const struct tw_pack_options *pack; /* files of packed weights, or NULL */
};

struct tw_bench_result {
    char device[64];
    uint64_t weight_bytes;        /* packed, that a pass reads */
    struct tw_probe_rates limits; /* medians over the rounds */
    struct tw_bench_cost cost;
};

/* Fills the results of points [n_points]. Takes as long as the passes take, which are n_rounds + 1
 * for each point. */
enum tw_status tw_bench_engine(const struct tw_bench_config *config, struct tw_bench_point *points,
                               size_t n_points, struct tw_bench_result *ret_result,
                               struct tw_error *error);

#endif
