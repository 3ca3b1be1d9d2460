/* actual.h: what was asked of a model in a time, as a plan counts it: requests one after another.
 *
 *     tw_actual_begin -> { tw_actual_add ... } -> sums, a usual week, the busiest hour, and the
 *     tokens of each tier of the APIs that would have been bought instead
 *
 * An hour of the week is one of 48: of a working day, then of a free one (Saturday and Sunday), in
 * the time of a zone. Requests belong to the instant that is given for them.
 *
 * Invariants: sums are exact below 2^53. Nothing is estimated here.
 * Ownership: plain; zone and apis are the caller's and must outlive it. Threads: one at a time.
 * Errors: none.
 */
#ifndef TW_PLAN_ACTUAL_H
#define TW_PLAN_ACTUAL_H

#include "base/zone.h"
#include "plan/prices.h"

#define TW_ACTUAL_HOURS TW_LIMIT_PLAN_LOAD_CLASSES

struct tw_actual_request {
    int64_t at_ns;
    double input_tokens;  /* all of the prompt */
    double cached_tokens; /* those of them that were not computed again */
    double output_tokens;
    bool is_batch;   /* might wait: an API gives its discount */
    bool is_metered; /* its energy was measured */
};

/* Tokens by tier, and whether they came in a batch. */
struct tw_actual_bought {
    double computed[TW_PRICE_TIERS][2], cached[TW_PRICE_TIERS][2], output[TW_PRICE_TIERS][2];
};

struct tw_actual {
    const struct tw_zone *zone;
    int64_t from_ns, to_ns;
    const struct tw_price_api *apis; /* [n_apis] */
    uint32_t n_apis;

    double n_requests, n_batch, input_tokens, cached_tokens, output_tokens;
    double input_squares, output_squares; /* of requests' tokens */
    double metered_tokens;                /* input and output */
    double hour_requests[TW_ACTUAL_HOURS];
    double hour_seconds[TW_ACTUAL_HOURS]; /* that lie within the time */
    int64_t busiest_s;                    /* when that hour began */
    double busiest_requests, busiest_seconds;
    int64_t current_s; /* the hour of the last request; those of one come together */
    double current_requests;
    struct tw_actual_bought bought[TW_LIMIT_PLAN_NAMES];
};

/* apis [n_apis], at most TW_LIMIT_PLAN_NAMES; from_ns < to_ns. */
void tw_actual_begin(struct tw_actual *actual, const struct tw_zone *zone, int64_t from_ns,
                     int64_t to_ns, const struct tw_price_api *apis, uint32_t n_apis);
/* In the order of their time. */
void tw_actual_add(struct tw_actual *actual, const struct tw_actual_request *request);

/* Which of the 48 an instant lies in. */
uint32_t tw_actual_hour_of(const struct tw_zone *zone, int64_t at_s);
/* Whether each hour of both kinds of days was seen to its end at least once. */
bool tw_actual_has_week(const struct tw_actual *actual);
/* What an API asks for the same tokens; is_cached: it has cached what was cached here. */
double tw_actual_usd(const struct tw_actual *actual, uint32_t api, bool is_cached);

#endif
