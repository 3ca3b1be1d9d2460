#include "hub/usage_period.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/suggest.h"

enum { FIRST_YEAR = 1970, LAST_YEAR = 2261, DAY_S = 86400, MONTH_BYTES = 7 };

/* Days [first, next), counted from 1970-01-01. */
struct days {
    int64_t first, next;
};

static const char *const WORDS[] = {"today",      "yesterday",  "this-week", "last-week",
                                    "this-month", "last-month", "this-year", "last-year",
                                    "all",        NULL};

static enum tw_status not_a_period(const char *text, struct tw_error *error)
{
    const char *guess = tw_suggest_word(text, WORDS);
    if (guess != NULL) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "'%.60s' is no period; did you mean '%s'?", text, guess);
    }
    return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                        "'%.60s' is no period; write 2026, 2026-11, 2026-11-15, "
                        "2026-11-01..2026-11-15, today, yesterday, this- or last- with week, month "
                        "or year, or all",
                        text);
}

/* ---- dates ---- */

/* n digits at *at, which moves behind them; -1 where there are others or none. */
static int digits(const char **at, int n)
{
    int value = 0;
    for (int i = 0; i < n; i++) {
        if ((*at)[i] < '0' || (*at)[i] > '9') {
            return -1;
        }
        value = 10 * value + ((*at)[i] - '0');
    }
    *at += n;
    return value;
}

static int64_t first_of_month(int64_t year, int month)
{
    return tw_zone_day_of(year + (month - 1) / 12, (month - 1) % 12 + 1, 1);
}

static enum tw_status check_date(int year, int month, int day, const char *text,
                                 struct tw_error *error)
{
    if (year < FIRST_YEAR || year > LAST_YEAR) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "'%.60s': the years %d to %d are known here", text, FIRST_YEAR,
                            LAST_YEAR);
    }
    if (month < 1 || month > 12) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION, "'%.60s': months are 01 to 12",
                            text);
    }
    const int64_t n_days = first_of_month(year, month + 1) - first_of_month(year, month);
    if (day < 1 || day > n_days) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "'%.60s': that month has the days 01 to %d", text, (int)n_days);
    }
    return TW_OK;
}

/* A year, month or day at *at, which moves behind it. text: the whole, for messages. */
static enum tw_status parse_date(const char **at, const char *text, struct days *ret_days,
                                 struct tw_error *error)
{
    int month = 1, day = 1, n_parts = 1;
    const int year = digits(at, 4);
    if (year >= 0 && **at == '-') {
        (*at)++;
        month = digits(at, 2);
        n_parts = 2;
    }
    if (n_parts == 2 && month >= 0 && **at == '-') {
        (*at)++;
        day = digits(at, 2);
        n_parts = 3;
    }
    if (year < 0 || month < 0 || day < 0) {
        return not_a_period(text, error);
    }
    enum tw_status status = check_date(year, month, day, text, error);
    if (status != TW_OK) {
        return status;
    }
    const int64_t first = tw_zone_day_of(year, month, day);
    const int64_t next = n_parts == 3   ? first + 1
                         : n_parts == 2 ? first_of_month(year, month + 1)
                                        : first_of_month(year + 1, 1);
    *ret_days = (struct days){first, next};
    return TW_OK;
}

static enum tw_status parse_dates(const char *text, struct days *ret_days, struct tw_error *error)
{
    const char *at = text;
    struct days first = {0}, last;
    enum tw_status status = parse_date(&at, text, &first, error);
    if (status != TW_OK) {
        return status;
    }
    last = first;
    if (strncmp(at, "..", 2) == 0) {
        at += 2;
        status = parse_date(&at, text, &last, error);
        if (status != TW_OK) {
            return status;
        }
    }
    if (*at != '\0') {
        return not_a_period(text, error);
    }
    if (last.next <= first.first) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION, "'%.60s' ends before it begins",
                            text);
    }
    *ret_days = (struct days){first.first, last.next};
    return TW_OK;
}

/* ---- words ---- */

static struct tw_period days_of(const struct tw_zone *zone, int64_t first, int64_t next)
{
    return (struct tw_period){tw_zone_day_start_s(zone, first), tw_zone_day_start_s(zone, next)};
}

static struct tw_period year_of(const struct tw_zone *zone, int64_t year)
{
    return days_of(zone, first_of_month(year, 1), first_of_month(year + 1, 1));
}

static bool parse_word(const char *text, const struct tw_zone *zone, int64_t now_s,
                       struct tw_period *ret_period)
{
    static const struct {
        const char *word;
        enum tw_period_kind kind;
        bool is_last;
    } rows[] = {{"today", TW_PERIOD_DAY, false},        {"yesterday", TW_PERIOD_DAY, true},
                {"this-week", TW_PERIOD_WEEK, false},   {"last-week", TW_PERIOD_WEEK, true},
                {"this-month", TW_PERIOD_MONTH, false}, {"last-month", TW_PERIOD_MONTH, true}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (strcmp(text, rows[i].word) == 0) {
            const struct tw_period now = tw_period_at(rows[i].kind, zone, now_s);
            *ret_period =
                rows[i].is_last ? tw_period_at(rows[i].kind, zone, now.starts_s - 1) : now;
            return true;
        }
    }
    const int64_t year = tw_zone_civil(zone, now_s).year;
    if (strcmp(text, "this-year") == 0 || strcmp(text, "last-year") == 0) {
        *ret_period = year_of(zone, text[0] == 'l' ? year - 1 : year);
        return true;
    }
    if (strcmp(text, "all") == 0) {
        *ret_period =
            days_of(zone, first_of_month(FIRST_YEAR, 1), first_of_month(LAST_YEAR + 1, 1));
        return true;
    }
    return false;
}

enum tw_status tw_usage_period_parse(const char *text, const struct tw_zone *zone, int64_t now_s,
                                     struct tw_period *ret_period, struct tw_error *error)
{
    if (parse_word(text, zone, now_s, ret_period)) {
        return TW_OK;
    }
    struct days days = {0};
    enum tw_status status = parse_dates(text, &days, error);
    if (status == TW_OK) {
        *ret_period = days_of(zone, days.first, days.next);
    }
    return status;
}

enum tw_status tw_usage_period_parse_month(const char *text, const struct tw_zone *zone,
                                           int64_t now_s, struct tw_period *ret_period,
                                           struct tw_error *error)
{
    struct tw_period period;
    enum tw_status status = tw_usage_period_parse(text, zone, now_s, &period, error);
    if (status != TW_OK && strspn(text, "0123456789-") == strlen(text) &&
        strlen(text) != MONTH_BYTES) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "'%.60s' is no month; write YYYY-MM, like 2026-01", text);
    }
    if (status != TW_OK) {
        return status;
    }
    const struct tw_period month = tw_period_at(TW_PERIOD_MONTH, zone, period.starts_s);
    if (month.starts_s != period.starts_s || month.ends_s != period.ends_s) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "'%.60s' is not one month; write 2026-11, this-month or last-month",
                            text);
    }
    *ret_period = period;
    return TW_OK;
}

/* ---- writing ---- */

void tw_usage_period_write_day(const struct tw_zone *zone, int64_t at_s,
                               char ret_text[TW_USAGE_PERIOD_TEXT_BYTES])
{
    const struct tw_civil_time time = tw_zone_civil(zone, at_s);
    snprintf(ret_text, TW_USAGE_PERIOD_TEXT_BYTES, "%04d-%02d-%02d", (int)time.year, time.month,
             time.day_of_month);
}

void tw_usage_period_write_month(const struct tw_zone *zone, int64_t at_s,
                                 char ret_text[TW_USAGE_PERIOD_TEXT_BYTES])
{
    const struct tw_civil_time time = tw_zone_civil(zone, at_s);
    snprintf(ret_text, TW_USAGE_PERIOD_TEXT_BYTES, "%04d-%02d", (int)time.year, time.month);
}

void tw_usage_period_write_utc(int64_t at_s, char ret_text[TW_USAGE_PERIOD_TEXT_BYTES])
{
    const int64_t day = (at_s >= 0 ? at_s : at_s - (DAY_S - 1)) / DAY_S;
    const int second = (int)(at_s - day * DAY_S);
    int64_t year = 1970 + day / 366 - (day < 0);
    while (first_of_month(year + 1, 1) <= day) {
        year++;
    }
    int month = 1;
    while (first_of_month(year, month + 1) <= day) {
        month++;
    }
    snprintf(ret_text, TW_USAGE_PERIOD_TEXT_BYTES, "%04d-%02d-%02dT%02d:%02d:%02dZ", (int)year,
             month, (int)(day - first_of_month(year, month)) + 1, second / 3600, second / 60 % 60,
             second % 60);
}
