/* sizing.h: how many machines of a kind a load needs, found with the simulator.
 *
 *     each shape (tensor parallel; two stages where that does not hold it) that is fast alone
 *         --> load that 1, 4 and 16 replicas serve within the targets (bisection over simulations)
 *         --> the fewest replicas that serve the peak; of shapes the one with the fewest devices
 *         --> latency against load, power idle and busy
 *
 * A shape whose arithmetic alone takes as many devices as one that was found is not simulated.
 * Loads are shares of the peak's. Many replicas together serve more than as many alone, since a
 * burst finds one that is free; beyond TW_LIMIT_PLAN_SIZED_REPLICAS the gain is taken as it is
 * there. A plant that falls behind is one whose requests wait ten seconds, whatever the targets.
 *
 * Invariants:
 * 1. What is said to meet the targets has been simulated at that load, or beyond
 *    TW_LIMIT_PLAN_SIZED_REPLICAS at each replica's part of it.
 *    What meets does so at the peak, too (at_peak): replicas are added until it does.
 * 2. Looser targets never need more devices: loads and numbers are tried on one grid whatever the
 *    targets are.
 *
 * Ownership: plain values, pointing into the catalogue. Threads: any number at once.
 * Errors: TW_ERR_MEMORY and the simulator's; that nothing fits is no error (why_not).
 */
#ifndef TW_PLAN_SIZING_H
#define TW_PLAN_SIZING_H

#include "plan/cost.h"
#include "plan/simulator.h"

#define TW_SIZING_CURVE 8

struct tw_sizing_point {
    double load;                      /* of the peak */
    double ttft_s, tpot_s, latency_s; /* at the targets' percentile */
    double ttft_p50_s, busy_share;
};

struct tw_sizing {
    struct tw_plant plant; /* n_replicas: for the peak, without spare ones */
    struct tw_plan_memory memory;
    bool meets;
    char why_not[TW_LIMIT_ERROR_TEXT_BYTES];
    struct tw_cost_capacity capacity;
    struct tw_range capacity_factor; /* what each replica may serve, of the typical */
    double idle_w, busy_w;           /* of a replica */
    struct tw_plan_result at_peak;   /* of at most TW_LIMIT_PLAN_SIZED_REPLICAS replicas */
    struct tw_sizing_point curve[TW_SIZING_CURVE];
    uint32_t n_curve, n_simulations;
};

/* plant: device, model, engine, formats; its numbers of devices are found. workload: at the peak's
 * rate. */
enum tw_status tw_sizing_find(const struct tw_plant *plant, const struct tw_workload *workload,
                              const struct tw_plan_slo *slo, struct tw_sizing *ret_sizing,
                              struct tw_error *error);

#endif
