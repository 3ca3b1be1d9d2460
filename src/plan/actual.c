#include "plan/actual.h"

#include <string.h>

#include "base/clock.h"

enum { HOUR_S = 3600 };

static uint32_t hour_of(const struct tw_civil_time *time)
{
    const int64_t weekday = ((time->day + 3) % 7 + 7) % 7; /* 1970-01-01 was a Thursday */
    return (uint32_t)time->hour + (weekday >= 5 ? 24 : 0);
}

uint32_t tw_actual_hour_of(const struct tw_zone *zone, int64_t at_s)
{
    const struct tw_civil_time time = tw_zone_civil(zone, at_s);
    return hour_of(&time);
}

void tw_actual_begin(struct tw_actual *actual, const struct tw_zone *zone, int64_t from_ns,
                     int64_t to_ns, const struct tw_price_api *apis, uint32_t n_apis)
{
    memset(actual, 0, sizeof *actual);
    actual->zone = zone;
    actual->from_ns = from_ns;
    actual->to_ns = to_ns;
    actual->apis = apis;
    actual->n_apis = n_apis;
    actual->current_s = INT64_MIN;
    for (int64_t at_ns = from_ns; at_ns < to_ns;) {
        const struct tw_civil_time time = tw_zone_civil(zone, at_ns / TW_SECOND_NS);
        const int64_t next_ns =
            (at_ns / TW_SECOND_NS + HOUR_S - time.minute * 60 - time.second) * TW_SECOND_NS;
        const int64_t end_ns = next_ns < to_ns ? next_ns : to_ns;
        actual->hour_seconds[hour_of(&time)] += (double)(end_ns - at_ns) * 1e-9;
        at_ns = end_ns;
    }
}

/* An hour that lies partly outside of the time has fewer seconds. */
static double seconds_of(const struct tw_actual *actual, int64_t starts_s)
{
    const int64_t starts_ns = starts_s * TW_SECOND_NS, ends_ns = (starts_s + HOUR_S) * TW_SECOND_NS;
    const int64_t from_ns = starts_ns > actual->from_ns ? starts_ns : actual->from_ns;
    const int64_t to_ns = ends_ns < actual->to_ns ? ends_ns : actual->to_ns;
    return (double)(to_ns - from_ns) * 1e-9;
}

static void buy(struct tw_actual *actual, uint32_t at, const struct tw_actual_request *request)
{
    const struct tw_price_api *api = &actual->apis[at];
    struct tw_actual_bought *bought = &actual->bought[at];
    uint32_t t = 0;
    while (t + 1 < api->n_tiers && request->input_tokens >= api->tiers[t + 1].from_tokens) {
        t++;
    }
    bought->computed[t][request->is_batch] += request->input_tokens - request->cached_tokens;
    bought->cached[t][request->is_batch] += request->cached_tokens;
    bought->output[t][request->is_batch] += request->output_tokens;
}

void tw_actual_add(struct tw_actual *actual, const struct tw_actual_request *request)
{
    const int64_t at_s = request->at_ns / TW_SECOND_NS;
    const struct tw_civil_time time = tw_zone_civil(actual->zone, at_s);
    const int64_t starts_s = at_s - time.minute * 60 - time.second;
    actual->n_requests++;
    actual->n_batch += request->is_batch;
    actual->input_tokens += request->input_tokens;
    actual->cached_tokens += request->cached_tokens;
    actual->output_tokens += request->output_tokens;
    actual->input_squares += request->input_tokens * request->input_tokens;
    actual->output_squares += request->output_tokens * request->output_tokens;
    actual->metered_tokens +=
        request->is_metered ? request->input_tokens + request->output_tokens : 0;
    actual->hour_requests[hour_of(&time)]++;
    actual->current_requests = starts_s == actual->current_s ? actual->current_requests + 1 : 1;
    actual->current_s = starts_s;
    if (actual->current_requests > actual->busiest_requests) {
        actual->busiest_requests = actual->current_requests;
        actual->busiest_s = starts_s;
        actual->busiest_seconds = seconds_of(actual, starts_s);
    }
    for (uint32_t i = 0; i < actual->n_apis; i++) {
        buy(actual, i, request);
    }
}

bool tw_actual_has_week(const struct tw_actual *actual)
{
    for (uint32_t i = 0; i < TW_ACTUAL_HOURS; i++) {
        if (actual->hour_seconds[i] < HOUR_S) {
            return false;
        }
    }
    return true;
}

double tw_actual_usd(const struct tw_actual *actual, uint32_t api, bool is_cached)
{
    const struct tw_price_api *price = &actual->apis[api];
    const struct tw_actual_bought *bought = &actual->bought[api];
    double usd = 0;
    for (uint32_t t = 0; t < price->n_tiers; t++) {
        for (int b = 0; b < 2; b++) {
            const double cached_usd =
                is_cached ? price->tiers[t].cached_usd : price->tiers[t].input_usd;
            usd += (bought->computed[t][b] * price->tiers[t].input_usd +
                    bought->cached[t][b] * cached_usd +
                    bought->output[t][b] * price->tiers[t].output_usd) *
                   1e-6 * (b == 1 ? 1 - price->batch_discount : 1);
        }
    }
    return usd;
}
