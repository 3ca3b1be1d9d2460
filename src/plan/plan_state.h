/* plan_state.h: what the files of a plan share: plan.c makes options, plan_risk.c says how sure.
 *
 * Ownership, threads, errors: as plan.h.
 */
#ifndef TW_PLAN_PLAN_STATE_H
#define TW_PLAN_PLAN_STATE_H

#include "plan/plan.h"

/* Fills ranges, shares, drivers, bars, flip. The plan's options are costed and in their order. */
enum tw_status tw_plan_risk(struct tw_plan *plan, struct tw_error *error);

/* An option's range of an input: its own for factors, the scenario's for the rest. */
struct tw_range tw_plan_range(const struct tw_plan *plan, const struct tw_plan_option *option,
                              int input);

#endif
