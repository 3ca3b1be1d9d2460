#include "hub/period.h"

#include <assert.h>
#include <string.h>

enum { WEEK_DAYS = 7, MONDAY_BEFORE_1970 = 3, MOST_MONTH_DAYS = 31 };

static const char *const NAMES[TW_PERIOD_COUNT] = {
    [TW_PERIOD_DAY] = "day",
    [TW_PERIOD_WEEK] = "week",
    [TW_PERIOD_MONTH] = "month",
    [TW_PERIOD_TOTAL] = "total",
};

const char *tw_period_kind_name(enum tw_period_kind kind)
{
    return NAMES[kind];
}

bool tw_period_kind_parse(const char *name, enum tw_period_kind *ret_kind)
{
    for (int i = 0; i < TW_PERIOD_COUNT; i++) {
        if (strcmp(name, NAMES[i]) == 0) {
            *ret_kind = (enum tw_period_kind)i;
            return true;
        }
    }
    return false;
}

/* The first day of the period that a day belongs to. */
static int64_t first_day(enum tw_period_kind kind, int64_t day)
{
    int64_t year;
    int month, day_of_month;
    if (kind == TW_PERIOD_WEEK) {
        return day - ((day + MONDAY_BEFORE_1970) % WEEK_DAYS + WEEK_DAYS) % WEEK_DAYS;
    }
    if (kind == TW_PERIOD_MONTH) {
        tw_zone_date_of(day, &year, &month, &day_of_month);
        return day - (day_of_month - 1);
    }
    return day;
}

/* Of the period behind, from the first day of one. */
static int64_t next_first_day(enum tw_period_kind kind, int64_t first)
{
    const int64_t days = kind == TW_PERIOD_WEEK    ? WEEK_DAYS
                         : kind == TW_PERIOD_MONTH ? MOST_MONTH_DAYS
                                                   : 1;
    return first_day(kind, first + days);
}

/* The local date of an instant may be of an earlier period: where clocks are set back over
 * midnight, or where the date behind it was left out and its window is empty. */
struct tw_period tw_period_at(enum tw_period_kind kind, const struct tw_zone *zone, int64_t at_s)
{
    if (kind == TW_PERIOD_TOTAL) {
        assert(at_s >= 0);
        return (struct tw_period){0, INT64_MAX};
    }
    int64_t day = first_day(kind, tw_zone_civil(zone, at_s).day);
    struct tw_period period = {.starts_s = tw_zone_day_start_s(zone, day)};
    for (;;) {
        day = next_first_day(kind, day);
        period.ends_s = tw_zone_day_start_s(zone, day);
        if (at_s < period.ends_s) {
            return period;
        }
        period.starts_s = period.ends_s;
    }
}

struct tw_period tw_period_next(enum tw_period_kind kind, const struct tw_zone *zone,
                                struct tw_period period)
{
    assert(kind != TW_PERIOD_TOTAL);
    return tw_period_at(kind, zone, period.ends_s);
}

int64_t tw_period_between(enum tw_period_kind kind, const struct tw_zone *zone,
                          struct tw_period first, struct tw_period last, int64_t bound)
{
    int64_t n = 0;
    while (n < bound && first.ends_s < last.starts_s) {
        first = tw_period_next(kind, zone, first);
        n++;
    }
    return n;
}
