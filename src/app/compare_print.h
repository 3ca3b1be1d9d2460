/* compare_print.h: a comparison of a plan with what was, as a table, as JSON and as CSV.
 *
 * Money in JSON is in US dollars, as in plan_json.h; the table is in the scenario's currency.
 * Threads: any. Errors: none of its own; a full buffer shows in out->failed.
 */
#ifndef TW_APP_COMPARE_PRINT_H
#define TW_APP_COMPARE_PRINT_H

#include "base/buf.h"
#include "hub/usage.h"
#include "plan/compare.h"

/* Where it comes from, for people. */
struct tw_compare_source {
    const struct tw_usage *usage;   /* by model */
    const bool *is_chosen;          /* [usage->n_rows]: models that the plan is about */
    const char *currency;           /* of the books */
    int64_t charged_nano;           /* of the models that were chosen */
    struct tw_range currency_usd;   /* NAN: no rate is known */
    const char *const *meter_files; /* [n_meters] */
    struct tw_meter_log *const *meters;
    size_t n_meters;
};

void tw_compare_print(const struct tw_comparison *comparison,
                      const struct tw_compare_source *source, struct tw_buf *out);
void tw_compare_json(const struct tw_comparison *comparison, const struct tw_compare_source *source,
                     struct tw_buf *out);
void tw_compare_csv(const struct tw_comparison *comparison, const struct tw_compare_source *source,
                    struct tw_buf *out);

#endif
