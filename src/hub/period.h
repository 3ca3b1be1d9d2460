/* period.h: the periods that budgets count in: days, weeks, months of a time zone, or all time.
 *
 *     ... | window n - 1 | window n: starts_s <= instant < ends_s | window n + 1 | ...
 *
 * Invariants:
 * 1. The windows of a kind and a zone cover all instants without gaps: each ends where the next one
 *    starts, and an instant lies in exactly one.
 * 2. A window starts at the first instant of a local day (base/zone.h): of any day, of a Monday
 *    (ISO 8601), of the first of a month. A day that a zone left out has no window.
 * 3. The window of all time starts at 0 and ends at INT64_MAX; there is no next one.
 *
 * Pure; threads: any. Errors: none; instants are within TW_ZONE_BOUND_S, of all time not negative.
 */
#ifndef TW_HUB_PERIOD_H
#define TW_HUB_PERIOD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/zone.h"

enum tw_period_kind {
    TW_PERIOD_DAY = 0,
    TW_PERIOD_WEEK,
    TW_PERIOD_MONTH,
    TW_PERIOD_TOTAL,
    TW_PERIOD_COUNT
};

/* Seconds since 1970. */
struct tw_period {
    int64_t starts_s, ends_s;
};

/* "day", "week", "month", "total". */
const char *tw_period_kind_name(enum tw_period_kind kind);
/* False for any other word. */
bool tw_period_kind_parse(const char *name, enum tw_period_kind *ret_kind);

/* The window that an instant lies in. */
struct tw_period tw_period_at(enum tw_period_kind kind, const struct tw_zone *zone, int64_t at_s);
/* The one behind it: not of TW_PERIOD_TOTAL. */
struct tw_period tw_period_next(enum tw_period_kind kind, const struct tw_zone *zone,
                                struct tw_period period);
/* How many windows lie between two of a kind and zone, of which the first is the earlier one; but
 * no more than bound. */
int64_t tw_period_between(enum tw_period_kind kind, const struct tw_zone *zone,
                          struct tw_period first, struct tw_period last, int64_t bound);

#endif
