/* plan_print.h: a plan as a table that fits a terminal.
 *
 * The answer first, then every option with its interval and the measurement that would shrink it
 * most, then what the answer hangs on, what the rules cost, and where the numbers are from.
 * Threads: any. Errors: none of its own; a full buffer shows in out->failed.
 */
#ifndef TW_APP_PLAN_PRINT_H
#define TW_APP_PLAN_PRINT_H

#include "base/buf.h"
#include "plan/plan.h"

void tw_plan_print(const struct tw_plan *plan, struct tw_buf *out);
/* The published tables of plan/published.h beside what they recompute to. */
void tw_plan_print_published(struct tw_buf *out);

#endif
