/* plan_report.h: a plan as one page of HTML that needs nothing else.
 *
 * plan_report.html is the page, plan_cost.js its arithmetic (that of plan/cost.c once more),
 * plan_page.js its charts; the plan stands in it as JSON (plan_json.h).
 * Threads: any. Errors: none of its own; a full buffer shows in out->failed.
 */
#ifndef TW_APP_PLAN_REPORT_H
#define TW_APP_PLAN_REPORT_H

#include "base/buf.h"
#include "plan/plan.h"

struct tw_report_built_in {
    const char *file, *text;
};
extern const struct tw_report_built_in tw_report_built_in[3];

void tw_plan_report(const struct tw_plan *plan, struct tw_buf *out);

#endif
