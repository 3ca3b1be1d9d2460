/* compare.h: a plan beside what was: load, utilisation, energy, cost, and what to correct.
 *
 *     plan, one of its options + requests of a time (actual.h) + counters of energy (meter_log.h)
 *         --> rows: planned with its interval, actual, and whether that lies within
 *         --> findings: which number of the scenario is off, and what to write in its place
 *         --> the scenario with what was measured (a text to paste), and the plan made anew of it
 *
 * What is planned is the scenario's load over the very hours of the time that is compared. The
 * actual side has the option's plant as it was planned for that month, at the load that was
 * measured: what a replica serves of such requests is simulated again, as nothing in the books
 * says it. Energy is what counters showed; where there are none, or for the hours that they do not
 * cover, it is the plan's watts at the measured load, and says so.
 *
 * Of a scenario with several models one is compared (tw_scenario_keep_model), so that a plan here
 * has one service.
 *
 * Invariants: a row whose actual side is not known has NAN there, never a guess. basis says where
 * it is from. The same input gives the same comparison.
 * Ownership: the caller's, until tw_compare_free; what the wish names must outlive it. Threads: one
 * makes, any number read. Errors: TW_ERR_MEMORY; that a new plan cannot be made is a finding.
 */
#ifndef TW_PLAN_COMPARE_H
#define TW_PLAN_COMPARE_H

#include "base/buf.h"
#include "plan/actual.h"
#include "plan/meter_log.h"
#include "plan/plan.h"

struct tw_compare_wish {
    const struct tw_plan *plan;
    uint32_t option;                    /* of the plan's */
    uint32_t month;                     /* of the plan that the time lies in, from 1 */
    const struct tw_actual *actual;     /* at least one request */
    const struct tw_meter_cover *cover; /* NULL: nothing was measured */
    bool is_wall;                       /* by meters of whole machines */
    double unmetered_w;                 /* of all machines, that no counter sees */
    double charged_usd;                 /* what the books asked; NAN: no rate for their currency */
};

enum tw_compare_verdict {
    TW_COMPARE_UNKNOWN = 0,
    TW_COMPARE_WITHIN,
    TW_COMPARE_BELOW,
    TW_COMPARE_ABOVE
};
const char *tw_compare_verdict_name(enum tw_compare_verdict verdict);

enum tw_compare_row_name {
    TW_COMPARE_REQUESTS = 0,
    TW_COMPARE_INPUT,
    TW_COMPARE_OUTPUT,
    TW_COMPARE_INPUT_MEAN,
    TW_COMPARE_OUTPUT_MEAN,
    TW_COMPARE_CACHED_SHARE,
    TW_COMPARE_PEAK,
    TW_COMPARE_BUSIEST,
    TW_COMPARE_UTILISATION,
    TW_COMPARE_WATTS,
    TW_COMPARE_KWH,
    TW_COMPARE_KWH_MILLION,
    TW_COMPARE_CO2_MILLION,
    TW_COMPARE_COST_MILLION,
    TW_COMPARE_ROWS
};

struct tw_compare_row {
    const char *name, *unit;
    bool is_money;           /* in USD; who shows it converts */
    struct tw_range planned; /* NAN: not planned */
    double actual;
    enum tw_compare_verdict verdict;
    char basis[96]; /* where the actual side is from */
};

struct tw_compare_cloud {
    const struct tw_price_api *api;
    double planned_usd_per_million, usd, uncached_usd;
    bool is_closed; /* to some of the data, by the scenario's rules */
};

struct tw_compare_finding {
    const char *about; /* a key of the scenario, or "plan", "plant", "meters" */
    char text[TW_LIMIT_ERROR_TEXT_BYTES];
};
enum { TW_COMPARE_FINDINGS = 16 };

struct tw_comparison {
    struct tw_compare_wish wish;
    struct tw_compare_row rows[TW_COMPARE_ROWS];
    struct tw_compare_cloud clouds[TW_LIMIT_PLAN_NAMES];
    uint32_t n_clouds;
    struct tw_compare_finding findings[TW_COMPARE_FINDINGS];
    uint32_t n_findings;
    double window_s, tokens_million;
    double replicas;       /* of the plant that is compared, without spare ones; 0: none */
    double modelled_kwh;   /* at the measured load, PUE and all; NAN: no plant */
    double measured_kwh;   /* in the covered time, at the machines; NAN: none */
    double measured_share; /* of the time that is covered */
    double power_factor;   /* measured over modelled in that time; NAN: unknown */
    double lost_share;     /* of tokens that the plant could not have served within its targets */
    double charged_usd_per_million;
    bool has_week;               /* the hours of the week were all seen */
    double peak_requests_s;      /* of the busiest usual hour */
    double hours[24], weekend;   /* as a scenario says them; where has_week */
    struct tw_scenario measured; /* the scenario with what was measured */
    struct tw_plan *again;       /* made of it; NULL where that is not possible */
};

enum tw_status tw_compare_make(const struct tw_compare_wish *wish,
                               struct tw_comparison **ret_comparison, struct tw_error *error);
/* NULL is allowed. */
void tw_compare_free(struct tw_comparison *comparison);

/* What was measured, as keys of a scenario that take the place of those that it has. */
void tw_compare_write_scenario(const struct tw_comparison *comparison, struct tw_buf *out);

#endif
