#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/rng.h"
#include "hub/period.h"

enum { HOUR = 3600, DAY = 86400 };

/* A zone of one rule alone: the head of a file with one type of local time, twice, and the rule. */
static struct tw_zone *zone_of(const char *rule)
{
    static const char head[54 + 1] = "TZif2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
                                     "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\4"
                                     "\0\0\0\0\0\0ABC";
    struct tw_zone *zone = NULL;
    struct tw_buf buf;
    tw_buf_init(&buf, 4096);
    tw_buf_append(&buf, head, 54);
    tw_buf_append(&buf, head, 54);
    assert_true(tw_buf_append_format(&buf, "\n%s\n", rule));
    assert_int_equal(tw_zone_parse(buf.data, buf.size_bytes, "Rule", &zone, NULL), TW_OK);
    tw_buf_free(&buf);
    return zone;
}

static int64_t midnight(const struct tw_zone *zone, int64_t year, int month, int day)
{
    return tw_zone_day_start_s(zone, tw_zone_day_of(year, month, day));
}

static void assert_period(struct tw_period period, int64_t starts_s, int64_t ends_s)
{
    assert_int_equal(period.starts_s, starts_s);
    assert_int_equal(period.ends_s, ends_s);
}

static void kinds_have_names(void **state)
{
    (void)state;
    for (int i = 0; i < TW_PERIOD_COUNT; i++) {
        enum tw_period_kind kind = TW_PERIOD_DAY;
        assert_true(tw_period_kind_parse(tw_period_kind_name((enum tw_period_kind)i), &kind));
        assert_int_equal(kind, i);
    }
    enum tw_period_kind kind = TW_PERIOD_MONTH;
    assert_false(tw_period_kind_parse("year", &kind));
    assert_false(tw_period_kind_parse("", &kind));
    assert_int_equal(kind, TW_PERIOD_MONTH);
}

static void periods_begin_at_midnight_of_their_zone(void **state)
{
    (void)state;
    struct tw_zone *zone = zone_of("CET-1CEST,M3.5.0,M10.5.0/3");
    /* 2026-03-29 has 23 hours; it is a Sunday. */
    const int64_t at_s = tw_zone_day_of(2026, 3, 29) * DAY + 12 * HOUR;
    const int64_t day_s = tw_zone_day_of(2026, 3, 29) * DAY - HOUR;
    assert_period(tw_period_at(TW_PERIOD_DAY, zone, at_s), day_s, day_s + 23 * HOUR);
    assert_period(tw_period_at(TW_PERIOD_WEEK, zone, at_s), midnight(zone, 2026, 3, 23),
                  midnight(zone, 2026, 3, 30));
    assert_period(tw_period_at(TW_PERIOD_MONTH, zone, at_s), midnight(zone, 2026, 3, 1),
                  midnight(zone, 2026, 4, 1));
    assert_period(tw_period_at(TW_PERIOD_TOTAL, zone, at_s), 0, INT64_MAX);
    /* December's month ends in another year; a leap day belongs to February. */
    assert_period(tw_period_at(TW_PERIOD_MONTH, zone, midnight(zone, 2026, 12, 31)),
                  midnight(zone, 2026, 12, 1), midnight(zone, 2027, 1, 1));
    assert_period(tw_period_at(TW_PERIOD_MONTH, zone, midnight(zone, 2028, 2, 29)),
                  midnight(zone, 2028, 2, 1), midnight(zone, 2028, 3, 1));
    /* ISO weeks: 2027-01-01 is a Friday of a week that began in 2026. */
    assert_period(tw_period_at(TW_PERIOD_WEEK, zone, midnight(zone, 2027, 1, 1)),
                  midnight(zone, 2026, 12, 28), midnight(zone, 2027, 1, 4));
    /* The first second, and the last. */
    assert_period(tw_period_at(TW_PERIOD_DAY, zone, day_s), day_s, day_s + 23 * HOUR);
    assert_int_equal(tw_period_at(TW_PERIOD_DAY, zone, day_s - 1).ends_s, day_s);
    tw_zone_free(zone);
}

static void windows_before_1970_are_windows_too(void **state)
{
    (void)state;
    struct tw_zone *zone = zone_of("ABC0");
    assert_period(tw_period_at(TW_PERIOD_DAY, zone, -1), -DAY, 0);
    assert_period(tw_period_at(TW_PERIOD_WEEK, zone, 0), -3 * DAY, 4 * DAY);
    assert_period(tw_period_at(TW_PERIOD_WEEK, zone, -3 * DAY - 1), -10 * DAY, -3 * DAY);
    assert_period(tw_period_at(TW_PERIOD_MONTH, zone, -1), -31 * DAY, 0);
    tw_zone_free(zone);
}

static void the_hour_that_is_repeated_over_midnight_is_in_one_window(void **state)
{
    (void)state;
    /* Back from 00:01 to 23:01 on 2006-10-29. */
    struct tw_zone *zone = zone_of("NST3:30NDT,M4.1.0/0:01,M10.5.0/0:01");
    const int64_t day_s = midnight(zone, 2006, 10, 29);
    const struct tw_period day = tw_period_at(TW_PERIOD_DAY, zone, day_s);
    assert_period(day, day_s, day_s + 25 * HOUR);
    for (int64_t at_s = day_s; at_s < day.ends_s; at_s += 30) {
        assert_period(tw_period_at(TW_PERIOD_DAY, zone, at_s), day.starts_s, day.ends_s);
    }
    assert_int_equal(tw_zone_civil(zone, day_s + 600).day_of_month, 28); /* and yet of the 29th */
    tw_zone_free(zone);
}

static void a_day_that_was_left_out_has_no_window(void **state)
{
    (void)state;
    /* No year has both, and the rule comes back each year: from 12 hours behind to 12 ahead. */
    struct tw_zone *zone = zone_of("ABC12DEF-12,J100/0,J200/0");
    const int64_t change_s = tw_zone_day_of(2025, 4, 10) * DAY + 12 * HOUR;
    const struct tw_period before = tw_period_at(TW_PERIOD_DAY, zone, change_s - 1);
    const struct tw_period after = tw_period_at(TW_PERIOD_DAY, zone, change_s);
    assert_period(before, change_s - DAY, change_s);
    assert_period(after, change_s, change_s + DAY);
    assert_int_equal(
        tw_zone_civil(zone, after.starts_s).day - tw_zone_civil(zone, before.starts_s).day, 2);
    assert_period(tw_period_next(TW_PERIOD_DAY, zone, before), after.starts_s, after.ends_s);
    tw_zone_free(zone);
}

static void windows_cover_all_time_without_gaps(void **state)
{
    (void)state;
    static const char *const rules[] = {
        "ABC0",
        "CET-1CEST,M3.5.0,M10.5.0/3",
        "NST3:30NDT,M4.1.0/0:01,M10.5.0/0:01",
        "AAA3BBB,M10.3.0/0,M2.3.0/0",
        "ABC12DEF-12,J100/0,J200/0",
        "ABC-12DEF12,J1/0,J152/0",
        "ABC24DEF-24:59:59,M1.1.1/-1,M6.1.1/0:00:01",
    };
    for (size_t r = 0; r < sizeof rules / sizeof *rules; r++) {
        struct tw_zone *zone = zone_of(rules[r]);
        for (int kind = TW_PERIOD_DAY; kind < TW_PERIOD_TOTAL; kind++) {
            const enum tw_period_kind of = (enum tw_period_kind)kind;
            struct tw_period period = tw_period_at(of, zone, 0);
            assert_true(period.starts_s <= 0 && 0 < period.ends_s);
            for (int i = 0; i < 3000; i++) {
                uint32_t random[4];
                tw_rng_block(3, (uint64_t)i, random);
                const int64_t length_s = period.ends_s - period.starts_s;
                assert_true(length_s > 0);
                const int64_t inside_s = period.starts_s + random[0] % length_s;
                assert_period(tw_period_at(of, zone, inside_s), period.starts_s, period.ends_s);
                assert_period(tw_period_at(of, zone, period.ends_s - 1), period.starts_s,
                              period.ends_s);
                const struct tw_period next = tw_period_next(of, zone, period);
                assert_int_equal(next.starts_s, period.ends_s);
                period = next;
            }
        }
        tw_zone_free(zone);
    }
}

static void windows_in_between_are_counted_to_the_bound(void **state)
{
    (void)state;
    struct tw_zone *zone = zone_of("CET-1CEST,M3.5.0,M10.5.0/3");
    const struct tw_period first = tw_period_at(TW_PERIOD_DAY, zone, midnight(zone, 2026, 3, 1));
    const struct tw_period last = tw_period_at(TW_PERIOD_DAY, zone, midnight(zone, 2026, 4, 1));
    assert_int_equal(tw_period_between(TW_PERIOD_DAY, zone, first, first, 99), 0);
    assert_int_equal(tw_period_between(TW_PERIOD_DAY, zone, first,
                                       tw_period_next(TW_PERIOD_DAY, zone, first), 99),
                     0);
    assert_int_equal(tw_period_between(TW_PERIOD_DAY, zone, first, last, 99), 30);
    assert_int_equal(tw_period_between(TW_PERIOD_DAY, zone, first, last, 7), 7);
    tw_zone_free(zone);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds_have_names),
        cmocka_unit_test(periods_begin_at_midnight_of_their_zone),
        cmocka_unit_test(windows_before_1970_are_windows_too),
        cmocka_unit_test(the_hour_that_is_repeated_over_midnight_is_in_one_window),
        cmocka_unit_test(a_day_that_was_left_out_has_no_window),
        cmocka_unit_test(windows_cover_all_time_without_gaps),
        cmocka_unit_test(windows_in_between_are_counted_to_the_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
