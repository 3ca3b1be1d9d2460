#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdint.h>
#include <string.h>

#include "hub/usage_period.h"

/* 2026-11-18 12:34:56 UTC, a Wednesday. */
#define NOW_S ((int64_t)1795005296)

static struct tw_zone *open_zone(const char *name)
{
    struct tw_zone *zone = NULL;
    assert_int_equal(tw_zone_open(NULL, name, &zone, NULL), TW_OK);
    return zone;
}

static void assert_period(const char *zone_name, const char *text, const char *from, const char *to)
{
    struct tw_zone *zone = open_zone(zone_name);
    struct tw_period period;
    struct tw_error error;
    char first[TW_USAGE_PERIOD_TEXT_BYTES], last[TW_USAGE_PERIOD_TEXT_BYTES];
    if (tw_usage_period_parse(text, zone, NOW_S, &period, &error) != TW_OK) {
        fail_msg("%s: %s", text, error.text);
    }
    tw_usage_period_write_utc(period.starts_s, first);
    tw_usage_period_write_utc(period.ends_s, last);
    assert_string_equal(first, from);
    assert_string_equal(last, to);
    tw_zone_free(zone);
}

static void dates_are_whole_years_months_and_days(void **state)
{
    (void)state;
    assert_period("UTC", "2026", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z");
    assert_period("UTC", "2026-11", "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z");
    assert_period("UTC", "2026-12", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z");
    assert_period("UTC", "2028-02-29", "2028-02-29T00:00:00Z", "2028-03-01T00:00:00Z");
}

static void both_ends_of_a_range_are_counted(void **state)
{
    (void)state;
    assert_period("UTC", "2026-11-01..2026-11-15", "2026-11-01T00:00:00Z", "2026-11-16T00:00:00Z");
    assert_period("UTC", "2026-10..2026-11", "2026-10-01T00:00:00Z", "2026-12-01T00:00:00Z");
    assert_period("UTC", "2026-11-15..2026-11-15", "2026-11-15T00:00:00Z", "2026-11-16T00:00:00Z");
    assert_period("UTC", "2026-11-15..2026", "2026-11-15T00:00:00Z", "2027-01-01T00:00:00Z");
}

static void words_are_seen_from_now(void **state)
{
    (void)state;
    assert_period("UTC", "today", "2026-11-18T00:00:00Z", "2026-11-19T00:00:00Z");
    assert_period("UTC", "yesterday", "2026-11-17T00:00:00Z", "2026-11-18T00:00:00Z");
    assert_period("UTC", "this-week", "2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z");
    assert_period("UTC", "last-week", "2026-11-09T00:00:00Z", "2026-11-16T00:00:00Z");
    assert_period("UTC", "this-month", "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z");
    assert_period("UTC", "last-month", "2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z");
    assert_period("UTC", "this-year", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z");
    assert_period("UTC", "last-year", "2025-01-01T00:00:00Z", "2026-01-01T00:00:00Z");
    assert_period("UTC", "all", "1970-01-01T00:00:00Z", "2262-01-01T00:00:00Z");
}

static void days_are_those_of_the_zone_when_clocks_change(void **state)
{
    (void)state;
    assert_period("Europe/Berlin", "2026-10", "2026-09-30T22:00:00Z", "2026-10-31T23:00:00Z");
    assert_period("Europe/Berlin", "2026-10-25", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z");
    assert_period("Asia/Kathmandu", "2026-11-18", "2026-11-17T18:15:00Z", "2026-11-18T18:15:00Z");
    assert_period("Pacific/Auckland", "today", "2026-11-18T11:00:00Z", "2026-11-19T11:00:00Z");
}

static void assert_refused(const char *text, const char *part)
{
    struct tw_zone *zone = open_zone("UTC");
    struct tw_period period;
    struct tw_error error;
    if (tw_usage_period_parse(text, zone, NOW_S, &period, &error) != TW_ERR_USAGE) {
        fail_msg("%s is not refused", text);
    }
    if (strstr(error.text, part) == NULL) {
        fail_msg("'%s' is not in '%s'", part, error.text);
    }
    tw_zone_free(zone);
}

static void a_period_that_is_none_is_refused_with_what_would_be_right(void **state)
{
    (void)state;
    assert_refused("last-mont", "did you mean 'last-month'");
    assert_refused("", "2026-11-01..2026-11-15");
    assert_refused("2026-13", "months are 01 to 12");
    assert_refused("2026-00", "months are 01 to 12");
    assert_refused("2026-02-29", "the days 01 to 28");
    assert_refused("2026-11-00", "the days 01 to 30");
    assert_refused("1969", "1970 to 2261");
    assert_refused("2262", "1970 to 2261");
    assert_refused("9999-01..9999-02", "1970 to 2261");
    assert_refused("2026-11-15..2026-11-14", "ends before it begins");
    assert_refused("2026-1", "is no period");
    assert_refused("2026-11-1", "is no period");
    assert_refused("2026-11-01..", "is no period");
    assert_refused("2026-11-01 ", "is no period");
    assert_refused("2026-11-01...2026-11-02", "is no period");
    assert_refused("26-11-01", "is no period");
    assert_refused("\x1b[2J2026", "is no period");
}

static void an_invoice_is_for_one_month(void **state)
{
    (void)state;
    struct tw_zone *zone = open_zone("Europe/Berlin");
    struct tw_period period;
    struct tw_error error;
    assert_int_equal(tw_usage_period_parse_month("2026-11", zone, NOW_S, &period, NULL), TW_OK);
    assert_int_equal(tw_usage_period_parse_month("last-month", zone, NOW_S, &period, NULL), TW_OK);
    const char *const others[] = {"2026", "2026-11-01", "2026-10..2026-11", "today", "all"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        assert_int_equal(tw_usage_period_parse_month(others[i], zone, NOW_S, &period, &error),
                         TW_ERR_USAGE);
        assert_non_null(strstr(error.text, "is not one month"));
    }
    tw_zone_free(zone);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dates_are_whole_years_months_and_days),
        cmocka_unit_test(both_ends_of_a_range_are_counted),
        cmocka_unit_test(words_are_seen_from_now),
        cmocka_unit_test(days_are_those_of_the_zone_when_clocks_change),
        cmocka_unit_test(a_period_that_is_none_is_refused_with_what_would_be_right),
        cmocka_unit_test(an_invoice_is_for_one_month),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
