/* plan_state.h: what the files of a plan share: plan.c sizes machines, plan_ways.c makes ways of
 * them, plan_choose.c options and the answer, plan_risk.c says how sure that is.
 *
 * Ownership, threads, errors: as plan.h.
 */
#ifndef TW_PLAN_PLAN_STATE_H
#define TW_PLAN_PLAN_STATE_H

#include "plan/plan.h"

/* The catalogue's own words with the scenario's line, where a name is not known. */
enum tw_status tw_plan_at_line(const struct tw_plan *plan, const char *path, enum tw_status status,
                               const struct tw_error *cause, struct tw_error *error);

/* Fills ways, costed one by one. */
enum tw_status tw_plan_find_ways(struct tw_plan *plan, struct tw_error *error);

/* Fills options in their order, the answer, prices of rules. */
enum tw_status tw_plan_choose(struct tw_plan *plan, struct tw_error *error);

/* Fills ranges, shares, drivers, bars, flip. */
enum tw_status tw_plan_risk(struct tw_plan *plan, struct tw_error *error);

#endif
