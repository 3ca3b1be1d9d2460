/* compare_state.h: what the files of a comparison share: compare.c makes rows, compare_measured.c
 * the scenario with what was measured, compare_findings.c says what is off.
 *
 * Ownership, threads, errors: as compare.h.
 */
#ifndef TW_PLAN_COMPARE_STATE_H
#define TW_PLAN_COMPARE_STATE_H

#include "plan/compare.h"
#include "plan/plan_state.h"

/* The option's way to serve the one model. */
const struct tw_plan_way *tw_compare_way(const struct tw_compare_wish *wish);

/* A load at its peak hour, as a scenario says it: of use cases exactly, of a trace as it is. */
struct tw_compare_load {
    double requests_s, input_mean, output_mean;
};
struct tw_compare_load tw_compare_load_of(const struct tw_plan *plan);

/* Fills hours, weekend, peak_requests_s, measured and again; planned_requests: of the scenario in
 * the same time, at typical inputs. */
enum tw_status tw_compare_measure(struct tw_comparison *c, double planned_requests,
                                  struct tw_error *error);

/* The sizing in the new plan of the very machines of the option; NULL: there is none. */
const struct tw_sizing *tw_compare_sizing(const struct tw_comparison *c);

void tw_compare_find(struct tw_comparison *c);

#endif
