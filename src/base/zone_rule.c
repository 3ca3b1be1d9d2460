/* The rule of a TZif footer: a TZ string of POSIX with the two extensions of RFC 8536: names in
 * angle brackets, and times of day from -167 to 167 hours. */
#include <string.h>

#include "base/zone_state.h"

enum { MOST_RULE_HOURS = 167, MOST_OFFSET_HOURS = 24, DEFAULT_TIME_S = 2 * ZONE_HOUR_S };

/* Changes of the years around an instant: two each, of two years before it and two behind. */
enum { YEARS_AROUND = 2, N_CHANGES = 2 * (2 * YEARS_AROUND + 1) };

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool take(const char **at, char c)
{
    if (**at != c) {
        return false;
    }
    (*at)++;
    return true;
}

/* Digits that make a number of at most `most`. */
static bool take_number(const char **at, int least, int most, int *ret_number)
{
    int number = 0;
    if (!is_digit(**at)) {
        return false;
    }
    while (is_digit(**at)) {
        number = number * 10 + (**at - '0');
        if (number > most) {
            return false;
        }
        (*at)++;
    }
    *ret_number = number;
    return number >= least;
}

/* An abbreviation, of at least three characters. Nobody needs it. */
static bool skip_name(const char **at)
{
    const bool is_quoted = take(at, '<');
    const char *begin = *at;
    while (is_letter(**at) || (is_quoted && (is_digit(**at) || **at == '+' || **at == '-'))) {
        (*at)++;
    }
    return *at - begin >= 3 && (!is_quoted || take(at, '>'));
}

/* [+-]hh[:mm[:ss]] */
static bool take_time(const char **at, int most_hours, int32_t *ret_s)
{
    const bool is_negative = take(at, '-');
    int hours, minutes = 0, seconds = 0;
    if (!is_negative) {
        take(at, '+');
    }
    if (!take_number(at, 0, most_hours, &hours) ||
        (take(at, ':') && (!take_number(at, 0, 59, &minutes) ||
                           (take(at, ':') && !take_number(at, 0, 59, &seconds))))) {
        return false;
    }
    const int32_t s = hours * ZONE_HOUR_S + minutes * 60 + seconds;
    *ret_s = is_negative ? -s : s;
    return true;
}

/* In TZ strings west is positive. */
static bool take_offset(const char **at, int32_t *ret_offset_s)
{
    int32_t west_s;
    if (!take_time(at, MOST_OFFSET_HOURS, &west_s)) {
        return false;
    }
    *ret_offset_s = -west_s;
    return true;
}

static bool take_date(const char **at, struct tw_zone_date *ret_date)
{
    struct tw_zone_date date = {.time_s = DEFAULT_TIME_S};
    bool is_good;
    if (take(at, 'M')) {
        date.form = ZONE_DATE_WEEKDAY;
        is_good = take_number(at, 1, 12, &date.month) && take(at, '.') &&
                  take_number(at, 1, 5, &date.week) && take(at, '.') &&
                  take_number(at, 0, 6, &date.day);
    } else if (take(at, 'J')) {
        date.form = ZONE_DATE_JULIAN;
        is_good = take_number(at, 1, 365, &date.day);
    } else {
        date.form = ZONE_DATE_ORDINAL;
        is_good = take_number(at, 0, 365, &date.day);
    }
    if (!is_good || (take(at, '/') && !take_time(at, MOST_RULE_HOURS, &date.time_s))) {
        return false;
    }
    *ret_date = date;
    return true;
}

/* POSIX leaves open when summer time is where a string does not say so: that is refused. */
bool tw_zone_rule_parse(const char *text, struct tw_zone_rule *ret_rule)
{
    struct tw_zone_rule rule = {0};
    const char *at = text;
    if (!skip_name(&at) || !take_offset(&at, &rule.offset_s)) {
        return false;
    }
    if (*at != '\0') {
        rule.has_summer = true;
        rule.summer_offset_s = rule.offset_s + ZONE_HOUR_S;
        if (!skip_name(&at) || (*at != ',' && !take_offset(&at, &rule.summer_offset_s)) ||
            !take(&at, ',') || !take_date(&at, &rule.begins) || !take(&at, ',') ||
            !take_date(&at, &rule.ends)) {
            return false;
        }
    }
    if (*at != '\0') {
        return false;
    }
    *ret_rule = rule;
    return true;
}

static bool is_leap(int64_t year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static int64_t day_of_date(const struct tw_zone_date *date, int64_t year)
{
    const int64_t new_year = tw_zone_day_of(year, 1, 1);
    if (date->form == ZONE_DATE_ORDINAL) {
        return new_year + date->day;
    }
    if (date->form == ZONE_DATE_JULIAN) {
        return new_year + date->day - 1 + (is_leap(year) && date->day >= 60);
    }
    const int64_t first = tw_zone_day_of(year, date->month, 1);
    const int64_t next_month = date->month == 12 ? tw_zone_day_of(year + 1, 1, 1)
                                                 : tw_zone_day_of(year, date->month + 1, 1);
    const int weekday = (int)(((first + 4) % 7 + 7) % 7); /* 1970-01-01 was a Thursday */
    int64_t day = first + (date->day - weekday + 7) % 7 + 7 * (date->week - 1);
    return day < next_month ? day : day - 7;
}

struct change {
    int64_t at_s;
    int32_t offset_s; /* from then on */
};

/* Stable: where summer time of one year ends at the very instant at which that of the next begins
 * (a rule of all the year), the beginning comes last. Each change holds until the next one. */
static void insert(struct change *changes, int n, struct change change)
{
    for (; n > 0 && changes[n - 1].at_s > change.at_s; n--) {
        changes[n] = changes[n - 1];
    }
    changes[n] = change;
}

struct tw_zone_stretch tw_zone_rule_stretch(const struct tw_zone_rule *rule, int64_t at_s)
{
    if (!rule->has_summer) {
        return (struct tw_zone_stretch){INT64_MIN, INT64_MAX, rule->offset_s};
    }
    struct change changes[N_CHANGES];
    int64_t year;
    int month, day_of_month, n = 0;
    tw_zone_date_of(tw_zone_day_at(at_s, rule->offset_s), &year, &month, &day_of_month);
    for (int64_t y = year - YEARS_AROUND; y <= year + YEARS_AROUND; y++) {
        const int64_t begins_s = day_of_date(&rule->begins, y) * ZONE_DAY_S + rule->begins.time_s;
        const int64_t ends_s = day_of_date(&rule->ends, y) * ZONE_DAY_S + rule->ends.time_s;
        insert(changes, n++, (struct change){begins_s - rule->offset_s, rule->summer_offset_s});
        insert(changes, n++, (struct change){ends_s - rule->summer_offset_s, rule->offset_s});
    }
    int i =
        0; /* a rule moves a change by some days at most: the first is before, the last behind */
    while (changes[i + 1].at_s <= at_s) {
        i++;
    }
    return (struct tw_zone_stretch){changes[i].at_s, changes[i + 1].at_s, changes[i].offset_s};
}
