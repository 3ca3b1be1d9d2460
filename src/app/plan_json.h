/* plan_json.h: a plan as JSON and CSV (docs/formats/plan.md).
 *
 * The JSON has all that the arithmetic needs, so that a report's page, or another program, can
 * compute each figure again. Money in it is in US dollars; currency_usd is for showing.
 * Threads: any. Errors: none of its own; a full buffer shows in out->failed.
 */
#ifndef TW_APP_PLAN_JSON_H
#define TW_APP_PLAN_JSON_H

#include "base/buf.h"
#include "base/json.h"
#include "plan/plan.h"

void tw_plan_json(const struct tw_plan *plan, struct tw_buf *out);
/* Under a key: [low, typical, high], and a list of numbers. */
void tw_plan_put_range(struct tw_json_writer *json, const char *key, struct tw_range range);
void tw_plan_put_doubles(struct tw_json_writer *json, const char *key, const double *values,
                         size_t n);
/* A row for each option and month. */
void tw_plan_csv(const struct tw_plan *plan, struct tw_buf *out);

#endif
