/* simulator.h: a plant under a workload, in virtual time, with the scheduler of sched.
 *
 *     arrival -> router -> replica: { tw_scheduler_plan -> tw_step_ns -> commit, push } ... -> end
 *
 * Each replica has a scheduler of its own, the very one that serves, and a clock. Stretches in
 * which all sequences only decode are passed in one go (tw_scheduler_advance), with the same result
 * to the last bit. TTFT is from arrival to the end of the step that gives the first token; TPOT is
 * (end - first token) / (output tokens - 1), of requests with two or more; end to end is the whole.
 * A request is there for steps that begin request_s (step_time.h) after it came or later; the
 * router counts what has not ended in steps that began before. The same from these rules, one step
 * after another, is tests/oracle/simulation_reference.py.
 *
 * Invariants:
 * 1. The same input gives the same result. No request is lost: completed + spilled + refused = all.
 * 2. Tokens computed = tokens of completed requests - cached + computed again after preemptions.
 * 3. Time only goes forward; a replica computes one step at a time.
 *
 * Ownership: the result is plain. Threads: any number of simulations at once.
 * Errors: those of tw_plan_fit; TW_ERR_MEMORY. A request that never fits is refused and counted.
 */
#ifndef TW_PLAN_SIMULATOR_H
#define TW_PLAN_SIMULATOR_H

#include "plan/step_time.h"
#include "plan/workload.h"

/* Targets at a percentile; 0: none. */
struct tw_plan_slo {
    double percentile; /* 0 < p <= 100 */
    double ttft_s, tpot_s, latency_s;
};

enum tw_plan_routing { TW_PLAN_LEAST_LOADED = 0, TW_PLAN_ROUND_ROBIN };

struct tw_simulation {
    const struct tw_plant *plant;
    const struct tw_workload *workload;
    struct tw_plan_slo slo; /* what goodput counts */
    double rate_factor;     /* arrivals so many times as dense; 0: 1 */
    enum tw_plan_routing routing;
    /* Closed loop: so many clients take the requests in order, each the next when its last is
     * answered; arrivals do not matter. 0: open loop. */
    uint32_t n_clients;
    /* A request that would find more prompt tokens waiting than this on every replica goes
     * elsewhere (hybrid: buy the tail). 0: never. */
    uint64_t spill_waiting_tokens;
    /* Only requests that arrive in the middle count in the percentiles: this share is cut at each
     * end (warm-up, drain). */
    double trim_share;
    bool step_by_step; /* no stretches: for tests */
    /* Told of steps as they are passed: n_steps of the same rows (work: the mean of them), in which
     * n_decoding sequences waited for a further token. NULL: nobody is. */
    void (*on_steps)(void *context, const struct tw_step_work *work, uint32_t n_steps,
                     uint32_t n_decoding);
    void *on_steps_context;
    const struct tw_step_cost *cost; /* NULL: made of the plant; else a calibrated one */
};

struct tw_plan_quantiles {
    double mean, p50, p90, p95, p99, most;
    uint32_t n;
};

struct tw_plan_result {
    uint32_t n_requests, n_completed, n_spilled, n_refused;
    uint32_t n_good;                    /* completed within all targets */
    double duration_s;                  /* from the first arrival to the last end */
    double input_tokens, output_tokens; /* of completed requests */
    double cached_tokens;               /* of the input, not computed */
    double spilled_input_tokens, spilled_output_tokens;
    struct tw_plan_quantiles ttft_s, tpot_s, latency_s, queue_s;
    double slo_share; /* n_good / n_completed */
    double at_percentile_ttft_s, at_percentile_tpot_s, at_percentile_latency_s; /* of the slo */
    bool meets_slo;
    double output_tokens_s, requests_s, goodput_requests_s;
    double busy_share;                   /* of replicas' time in which they computed */
    double decode_rows_mean;             /* sequences of a step that decode */
    double kv_share_mean, kv_share_most; /* of the pool's pages in use */
    double queue_mean;                   /* requests waiting, over time */
    double in_system_mean;               /* waiting or running, over time: Little's law */
    uint64_t n_steps, n_advanced_steps, n_preemptions, n_evictions, n_computed_tokens;
    double power_w;  /* mean of the whole plant at the wall, before PUE; idle times too */
    double energy_j; /* over duration_s */
};

/* Per request, where wanted; in the workload's order. Times < 0: it was spilled or refused. */
struct tw_plan_outcome {
    double ttft_s, tpot_s, latency_s, queue_s;
    uint32_t n_cached, n_preemptions, replica;
};

/* ret_outcomes: [n_requests], or NULL. */
enum tw_status tw_simulate(const struct tw_simulation *simulation,
                           struct tw_plan_result *ret_result, struct tw_plan_outcome *ret_outcomes,
                           struct tw_error *error);

#endif
