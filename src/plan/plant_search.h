/* plant_search.h: the smallest plant of each kind that meets the targets.
 *
 *     for each device x weights format: parallelism from the least that fits; replicas by bisection
 *     over simulations, from what a closed form says; the fewest devices win, then the better TTFT
 *
 * A shape that fails at the targets with one request alone is never simulated under load.
 * Simulations are kept, so that Monte Carlo and curves ask for nothing twice (tw_plant_search_at).
 *
 * Invariants: a looser target never needs more devices; a result's simulation meets the targets.
 * Ownership: the search owns its results until freed. Threads: one at a time.
 * Errors: TW_ERR_MEMORY. That nothing fits is no error: each option says why.
 */
#ifndef TW_PLAN_PLANT_SEARCH_H
#define TW_PLAN_PLANT_SEARCH_H

#include "plan/simulator.h"

struct tw_plant_question {
    const struct tw_plan_model *model;
    const struct tw_plan_engine *engine;
    const struct tw_plan_device *const *devices; /* [n_devices] */
    uint32_t n_devices;
    const struct tw_number_format *const *weights; /* [n_weights] formats that are allowed */
    uint32_t n_weights;
    const struct tw_number_format *kv;
    const struct tw_workload *workload;
    double rate_factor;
    struct tw_plan_slo slo;
    uint32_t n_context_tokens; /* 0: the longest of the workload */
    uint32_t most_devices;     /* of one plant; 0: TW_LIMIT_PLAN_DEVICES */
    uint32_t n_spare_replicas; /* on top of what the load needs (N + 1) */
    enum tw_plan_outlook outlook;
};

struct tw_plant_option {
    struct tw_plant plant;
    struct tw_plan_memory memory;
    struct tw_plan_result result; /* with the spare replicas idle: of those that are needed */
    uint32_t n_total_devices;     /* spare ones too */
    bool meets;
    char why_not[TW_LIMIT_ERROR_TEXT_BYTES]; /* where it does not */
};

struct tw_plant_search;

/* One option for each device and format, those that meet first, by devices. */
enum tw_status tw_plant_search(const struct tw_plant_question *question,
                               struct tw_plant_search **ret_search, struct tw_error *error);
uint32_t tw_plant_search_n(const struct tw_plant_search *search);
const struct tw_plant_option *tw_plant_search_option(const struct tw_plant_search *search,
                                                     uint32_t i);
/* Option i at another load and with so many replicas (0: the fewest that meet the targets): from
 * what is known already where it is. */
enum tw_status tw_plant_search_at(struct tw_plant_search *search, uint32_t i, double rate_factor,
                                  uint32_t n_replicas, struct tw_plant_option *ret_option,
                                  struct tw_error *error);
uint32_t tw_plant_search_n_simulations(const struct tw_plant_search *search);
/* NULL is allowed. */
void tw_plant_search_free(struct tw_plant_search *search);

#endif
