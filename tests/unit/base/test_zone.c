#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/zone.h"

enum { HOUR = 3600, DAY = 86400 };

static void put(struct tw_buf *buf, uint64_t number, int n_bytes)
{
    for (int i = n_bytes - 1; i >= 0; i--) {
        const unsigned char byte = i < 8 ? (unsigned char)(number >> (8 * i)) : 0;
        assert_true(tw_buf_append(buf, &byte, 1));
    }
}

static void put_head(struct tw_buf *buf, char version, const uint32_t counts[6])
{
    tw_buf_append(buf, "TZif", 4);
    tw_buf_append(buf, &version, 1);
    for (int i = 0; i < 15; i++) {
        put(buf, 0, 1);
    }
    for (int i = 0; i < 6; i++) {
        put(buf, counts[i], 4);
    }
}

/* What a file says; counts and fields may be wrong on purpose. */
struct sample {
    char version; /* 0: version 1 */
    uint32_t n_ut, n_standard, n_leaps;
    uint32_t n_transitions, n_types, n_name_bytes;
    const int64_t *at_s;
    const int *type;
    const int32_t *offset_s;
    const char *footer; /* with its newlines */
};

static struct tw_buf file_of(const struct sample *sample)
{
    static const uint32_t nothing[6] = {0};
    const uint32_t counts[6] = {sample->n_ut,          sample->n_standard, sample->n_leaps,
                                sample->n_transitions, sample->n_types,    sample->n_name_bytes};
    struct tw_buf buf;
    tw_buf_init(&buf, 1 << 20);
    if (sample->version != '\0') {
        put_head(&buf, sample->version, nothing);
    }
    put_head(&buf, sample->version, counts);
    for (uint32_t i = 0; i < sample->n_transitions; i++) {
        put(&buf, (uint64_t)sample->at_s[i], sample->version != '\0' ? 8 : 4);
    }
    for (uint32_t i = 0; i < sample->n_transitions; i++) {
        put(&buf, (uint64_t)sample->type[i], 1);
    }
    for (uint32_t i = 0; i < sample->n_types; i++) {
        put(&buf, (uint32_t)sample->offset_s[i], 4);
        put(&buf, i % 2, 1);
        put(&buf, 0, 1);
    }
    for (uint32_t i = 0; i < sample->n_name_bytes; i++) {
        put(&buf, i + 1 < sample->n_name_bytes ? 'A' : 0, 1);
    }
    put(&buf, 0, (int)(sample->n_ut + sample->n_standard + 12 * sample->n_leaps));
    if (sample->footer != NULL) {
        tw_buf_append_text(&buf, sample->footer);
    }
    return buf;
}

static enum tw_status read_sample(const struct sample *sample, struct tw_zone **ret_zone)
{
    struct tw_error error = {.text = ""};
    struct tw_buf file = file_of(sample);
    enum tw_status status =
        tw_zone_parse(file.data, file.size_bytes, "Test/Zone", ret_zone, &error);
    assert_true(status == TW_OK || strstr(error.text, "Test/Zone") != NULL);
    tw_buf_free(&file);
    return status;
}

/* A zone without transitions, with a rule alone. */
static enum tw_status read_rule(const char *rule, struct tw_zone **ret_zone)
{
    char footer[600];
    const int32_t offset_s[] = {0};
    snprintf(footer, sizeof footer, "\n%s\n", rule);
    const struct sample sample = {
        .version = '3', .n_types = 1, .n_name_bytes = 4, .offset_s = offset_s, .footer = footer};
    return read_sample(&sample, ret_zone);
}

static int64_t instant(int64_t year, int month, int day, int hour, int minute)
{
    return tw_zone_day_of(year, month, day) * DAY + hour * HOUR + minute * 60;
}

static struct tw_zone *rule_zone(const char *rule)
{
    struct tw_zone *zone = NULL;
    assert_int_equal(read_rule(rule, &zone), TW_OK);
    return zone;
}

static void dates_are_those_of_the_calendar(void **state)
{
    (void)state;
    struct tw_zone *utc = NULL;
    assert_int_equal(tw_zone_open("/nowhere", "UTC", &utc, NULL), TW_OK);
    assert_string_equal(tw_zone_name(utc), "UTC");
    const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t day = tw_zone_day_of(1590, 1, 1);
    for (int64_t year = 1590; year < 2420; year++) {
        const bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        for (int month = 1; month <= 12; month++) {
            const int n = lengths[month - 1] + (month == 2 && is_leap);
            for (int of_month = 1; of_month <= n; of_month++, day++) {
                const struct tw_civil_time civil = tw_zone_civil(utc, day * DAY + DAY - 1);
                assert_int_equal(tw_zone_day_of(year, month, of_month), day);
                assert_int_equal(civil.day, day);
                assert_int_equal(civil.year, year);
                assert_int_equal(civil.month, month);
                assert_int_equal(civil.day_of_month, of_month);
                assert_true(civil.hour == 23 && civil.minute == 59 && civil.second == 59);
                assert_int_equal(tw_zone_day_start_s(utc, day), day * DAY);
            }
        }
    }
    assert_int_equal(tw_zone_day_of(1970, 1, 1), 0);
    const struct tw_civil_time first = tw_zone_civil(utc, -TW_ZONE_BOUND_S);
    assert_int_equal(tw_zone_day_of(first.year, first.month, first.day_of_month), first.day);
    tw_zone_free(utc);
}

static void no_name_leads_out_of_the_folder(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "../etc/passwd",
        "/etc/passwd",
        "Europe/../../x",
        "./UTC",
        "Europe//Berlin",
        "Europe/",
        ".",
        "a\nb",
        "a b",
        "\x01",
        "Europe/Berl\xc3\xadn",
        "a%b",
        "a\\b",
        "zone.tab",
        "UTC\x7f",
    };
    struct tw_zone *zone = NULL;
    struct tw_error error;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(tw_zone_open("/", bad[i], &zone, &error), TW_ERR_USAGE);
        assert_non_null(strstr(error.text, "Europe/Berlin"));
    }
    char name[TW_LIMIT_ZONE_NAME_BYTES + 2];
    memset(name, 'a', sizeof name);
    name[sizeof name - 1] = '\0';
    assert_int_equal(tw_zone_check_name(name, NULL), TW_ERR_USAGE);
    name[sizeof name - 2] = '\0';
    assert_int_equal(tw_zone_check_name(name, NULL), TW_OK);
    assert_int_equal(tw_zone_check_name("America/Port-au-Prince", NULL), TW_OK);
    assert_int_equal(tw_zone_check_name("Etc/GMT+12", NULL), TW_OK);
    assert_null(zone);
}

static void a_zone_that_is_not_there_is_said_to_be(void **state)
{
    (void)state;
    struct tw_zone *zone = NULL;
    struct tw_error error;
    assert_int_equal(tw_zone_open("/nowhere", "Europe/Berlin", &zone, &error), TW_ERR_NOT_FOUND);
    assert_string_equal(error.text,
                        "there is no time zone 'Europe/Berlin' in '/nowhere'; names look like "
                        "Europe/Berlin, and the package tzdata has their files");
    assert_int_equal(tw_zone_open("/", "usr", &zone, &error), TW_ERR_NOT_FOUND);
    assert_int_equal(tw_zone_open("/proc", "version", &zone, &error), TW_ERR_FORMAT);
    assert_null(zone);
}

static void an_offset_holds_from_its_transition_on(void **state)
{
    (void)state;
    const int64_t at_s[] = {-1000, 5000, 9000};
    const int type[] = {1, 0, 2};
    const int32_t offset_s[] = {100, -HOUR, 93599};
    for (int version = 0; version <= '4'; version = version == 0 ? '2' : version + 1) {
        struct tw_zone *zone = NULL;
        const struct sample sample = {.version = (char)version,
                                      .n_ut = 3,
                                      .n_standard = 3,
                                      .n_transitions = 3,
                                      .n_types = 3,
                                      .n_name_bytes = 4,
                                      .at_s = at_s,
                                      .type = type,
                                      .offset_s = offset_s,
                                      .footer = version == 0 ? NULL : "\n\n"};
        assert_int_equal(read_sample(&sample, &zone), TW_OK);
        assert_int_equal(tw_zone_civil(zone, -1001).offset_s, 100);
        assert_int_equal(tw_zone_civil(zone, -1000).offset_s, -HOUR);
        assert_int_equal(tw_zone_civil(zone, 4999).offset_s, -HOUR);
        assert_int_equal(tw_zone_civil(zone, 5000).offset_s, 100);
        assert_int_equal(tw_zone_civil(zone, 9000).offset_s, 93599);
        assert_int_equal(tw_zone_civil(zone, TW_ZONE_BOUND_S).offset_s, 93599);
        tw_zone_free(zone);
    }
}

static void a_rule_goes_on_behind_the_last_transition(void **state)
{
    (void)state;
    const int64_t at_s[] = {instant(2001, 1, 1, 0, 0)};
    const int type[] = {0};
    const int32_t offset_s[] = {HOUR};
    const struct sample sample = {.version = '2',
                                  .n_transitions = 1,
                                  .n_types = 1,
                                  .n_name_bytes = 1,
                                  .at_s = at_s,
                                  .type = type,
                                  .offset_s = offset_s,
                                  .footer = "\nCET-1CEST,M3.5.0,M10.5.0/3\n"};
    struct tw_zone *zone = NULL;
    assert_int_equal(read_sample(&sample, &zone), TW_OK);
    assert_int_equal(tw_zone_civil(zone, instant(2000, 7, 1, 0, 0)).offset_s, HOUR);
    assert_int_equal(tw_zone_civil(zone, instant(2026, 3, 29, 0, 59)).offset_s, HOUR);
    assert_int_equal(tw_zone_civil(zone, instant(2026, 3, 29, 1, 0)).offset_s, 2 * HOUR);
    assert_int_equal(tw_zone_civil(zone, instant(2026, 10, 25, 0, 59)).offset_s, 2 * HOUR);
    assert_int_equal(tw_zone_civil(zone, instant(2026, 10, 25, 1, 0)).offset_s, HOUR);
    assert_int_equal(tw_zone_civil(zone, instant(9999, 7, 1, 0, 0)).offset_s, 2 * HOUR);
    tw_zone_free(zone);
}

static void rules_of_all_forms_are_understood(void **state)
{
    (void)state;
    /* The 60th day with and without a leap day, counted and not counted. */
    struct tw_zone *zone = rule_zone("AAA0BBB,J60/0,J61/0");
    assert_int_equal(tw_zone_civil(zone, instant(2024, 2, 29, 12, 0)).offset_s, 0);
    assert_int_equal(tw_zone_civil(zone, instant(2024, 3, 1, 0, 0)).offset_s, HOUR);
    assert_int_equal(tw_zone_civil(zone, instant(2023, 3, 1, 0, 0)).offset_s, HOUR);
    tw_zone_free(zone);
    zone = rule_zone("AAA0BBB,59/0,60/0");
    assert_int_equal(tw_zone_civil(zone, instant(2024, 2, 29, 0, 0)).offset_s, HOUR);
    assert_int_equal(tw_zone_civil(zone, instant(2023, 3, 1, 0, 0)).offset_s, HOUR);
    tw_zone_free(zone);
    /* Times that are days away, over the end of a year; names in brackets; seconds. */
    zone = rule_zone("<+0330>-3:30:15<-+9>+1,M12.5.0/167:59:59,M1.1.1/-167");
    assert_int_equal(tw_zone_civil(zone, instant(2025, 12, 28, 20, 0)).offset_s, -HOUR);
    assert_int_equal(tw_zone_civil(zone, instant(2025, 12, 29, 20, 0)).offset_s, 3 * HOUR + 1815);
    assert_int_equal(tw_zone_civil(zone, instant(2026, 1, 3, 20, 29)).offset_s, 3 * HOUR + 1815);
    assert_int_equal(tw_zone_civil(zone, instant(2026, 1, 3, 20, 30)).offset_s, -HOUR);
    assert_int_equal(tw_zone_civil(zone, instant(2026, 6, 1, 0, 0)).offset_s, -HOUR);
    tw_zone_free(zone);
    /* Summer time that never ends: it begins again at the instant at which it ends. */
    zone = rule_zone("EST5EDT,0/0,J365/25");
    for (int64_t at_s = instant(2023, 12, 28, 0, 0); at_s < instant(2024, 1, 5, 0, 0);
         at_s += 900) {
        assert_int_equal(tw_zone_civil(zone, at_s).offset_s, -4 * HOUR);
    }
    tw_zone_free(zone);
    /* Winter time as the one that is called summer time, and the southern half. */
    zone = rule_zone("IST-1GMT0,M10.5.0,M3.5.0/1");
    assert_int_equal(tw_zone_civil(zone, instant(2026, 1, 1, 0, 0)).offset_s, 0);
    assert_int_equal(tw_zone_civil(zone, instant(2026, 7, 1, 0, 0)).offset_s, HOUR);
    tw_zone_free(zone);
}

static void what_is_no_rule_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "A0",
        "AAA",
        "AAA25",
        "AAA0:60",
        "AAA0:0:60",
        "AAA0 ",
        "AAA0BBB",
        "AAA0BB,J1,J2",
        "AAA0BBB,J1",
        "AAA0BBB,J0,J2",
        "AAA0BBB,J366,J2",
        "AAA0BBB,366,J2",
        "AAA0BBB,M13.1.0,J2",
        "AAA0BBB,M0.1.0,J2",
        "AAA0BBB,M1.6.0,J2",
        "AAA0BBB,M1.0.0,J2",
        "AAA0BBB,M1.1.7,J2",
        "AAA0BBB,M1.1,J2",
        "AAA0BBB,J1/168,J2",
        "AAA0BBB,J1/-168,J2",
        "AAA0BBB,J1/,J2",
        "AAA0BBB,J1,J2,",
        "AAA0BBB,J1,J2x",
        "<AAA0",
        "<A>0",
        "A+A0",
        ",",
        "99999999999999999999",
        "AAA99999999999999999999",
        ":Europe/Berlin",
    };
    struct tw_zone *zone = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(read_rule(bad[i], &zone), TW_ERR_FORMAT);
    }
    char rule[TW_LIMIT_ZONE_FOOTER_BYTES + 2];
    memset(rule, 'A', sizeof rule);
    memcpy(rule + sizeof rule - 2, "0", 2);
    assert_int_equal(read_rule(rule, &zone), TW_ERR_FORMAT);
    assert_int_equal(read_rule(rule + 1, &zone), TW_OK);
    tw_zone_free(zone);
}

/* A file that is fine, for one thing at a time to be wrong. */
static const int64_t fine_at_s[] = {0, 10};
static const int fine_type[] = {0, 1};
static const int32_t fine_offset_s[] = {0, HOUR};
static const struct sample fine = {.version = '2',
                                   .n_transitions = 2,
                                   .n_types = 2,
                                   .n_name_bytes = 4,
                                   .at_s = fine_at_s,
                                   .type = fine_type,
                                   .offset_s = fine_offset_s,
                                   .footer = "\nAAA0\n"};

static void what_breaks_the_format_is_refused(void **state)
{
    (void)state;
    static const int64_t same_s[] = {10, 10};
    static const int unknown_type[] = {0, 2};
    static const int32_t west_s[] = {0, -90000}, east_s[] = {93600, 0}, odd_s[] = {INT32_MIN, 0};
    struct sample samples[14];
    for (size_t i = 0; i < 14; i++) {
        samples[i] = fine;
    }
    samples[0].at_s = same_s;
    samples[1].type = unknown_type;
    samples[2].offset_s = west_s;
    samples[3].offset_s = east_s;
    samples[4].offset_s = odd_s;
    samples[5].n_types = 0;
    samples[6].n_name_bytes = 0;
    samples[7].n_ut = 1;
    samples[8].n_standard = 3;
    samples[9].footer = NULL;
    samples[10].footer = "\nAAA0\n\n";
    samples[11].footer = "\nAAA0";
    samples[12].footer = "AAA0\n";
    samples[13].footer = "\nAAA0\nx";
    struct tw_zone *zone = NULL;
    for (size_t i = 0; i < 14; i++) {
        assert_int_equal(read_sample(&samples[i], &zone), TW_ERR_FORMAT);
    }
    struct sample newer = fine, leaps = fine;
    newer.version = '5';
    leaps.n_leaps = 1;
    assert_int_equal(read_sample(&newer, &zone), TW_ERR_UNSUPPORTED);
    assert_int_equal(read_sample(&leaps, &zone), TW_ERR_UNSUPPORTED);
    assert_null(zone);
    assert_int_equal(read_sample(&fine, &zone), TW_OK);
    tw_zone_free(zone);
}

static void a_file_that_is_cut_anywhere_is_refused(void **state)
{
    (void)state;
    struct tw_buf file = file_of(&fine);
    struct tw_zone *zone = NULL;
    for (size_t n = 0; n < file.size_bytes; n++) {
        char *copy = malloc(n + 1);
        memcpy(copy, file.data, n);
        assert_int_equal(tw_zone_parse(copy, n, "x", &zone, NULL), TW_ERR_FORMAT);
        free(copy);
    }
    /* A claimed count beyond the file, of each kind, in both heads. */
    for (size_t head = 0; head <= 44; head += 44) {
        for (size_t i = 0; i < 6; i++) {
            char *copy = malloc(file.size_bytes);
            memcpy(copy, file.data, file.size_bytes);
            memset(copy + head + 20 + 4 * i, 0xff, 4);
            assert_int_equal(tw_zone_parse(copy, file.size_bytes, "x", &zone, NULL), TW_ERR_FORMAT);
            free(copy);
        }
    }
    tw_buf_free(&file);
}

static void more_transitions_than_the_bound_are_refused(void **state)
{
    (void)state;
    const size_t n = TW_LIMIT_ZONE_TRANSITIONS + 1;
    int64_t *at_s = malloc(n * sizeof *at_s);
    int *type = calloc(n, sizeof *type);
    struct tw_zone *zone = NULL;
    struct sample sample = fine;
    for (size_t i = 0; i < n; i++) {
        at_s[i] = (int64_t)i;
    }
    sample.at_s = at_s;
    sample.type = type;
    sample.n_transitions = (uint32_t)n;
    assert_int_equal(read_sample(&sample, &zone), TW_ERR_LIMIT);
    sample.n_transitions--;
    assert_int_equal(read_sample(&sample, &zone), TW_OK);
    tw_zone_free(zone);
    free(at_s);
    free(type);
}

static void a_day_begins_at_its_first_instant(void **state)
{
    (void)state;
    /* Forward over midnight: the day begins at one. */
    struct tw_zone *zone = rule_zone("AAA3BBB,M10.3.0/0,M2.3.0/0");
    const int64_t spring = tw_zone_day_of(2025, 10, 19), autumn = tw_zone_day_of(2025, 2, 16);
    assert_int_equal(tw_zone_day_start_s(zone, spring), spring * DAY + 3 * HOUR);
    assert_int_equal(tw_zone_civil(zone, spring * DAY + 3 * HOUR).hour, 1);
    assert_int_equal(tw_zone_day_start_s(zone, spring + 1), (spring + 1) * DAY + 2 * HOUR);
    /* Back from midnight: yesterday's last hour comes twice, and then the day begins. */
    assert_int_equal(tw_zone_day_start_s(zone, autumn), autumn * DAY + 3 * HOUR);
    assert_int_equal(tw_zone_day_start_s(zone, autumn - 1), (autumn - 1) * DAY + 2 * HOUR);
    tw_zone_free(zone);
    /* Midnight exists twice: the first. */
    zone = rule_zone("AAA5BBB,M3.2.0/0,M11.1.0/1");
    const int64_t twice = tw_zone_day_of(2025, 11, 2);
    assert_int_equal(tw_zone_day_start_s(zone, twice), twice * DAY + 4 * HOUR);
    assert_int_equal(tw_zone_day_start_s(zone, twice + 1), (twice + 1) * DAY + 5 * HOUR);
    tw_zone_free(zone);
    /* Back over midnight when the day is a minute old. */
    zone = rule_zone("AAA3:30BBB,M4.1.0/0:01,M10.5.0/0:01");
    const int64_t minute = tw_zone_day_of(2006, 10, 29);
    assert_int_equal(tw_zone_day_start_s(zone, minute), minute * DAY + 2 * HOUR + 1800);
    assert_int_equal(tw_zone_civil(zone, minute * DAY + 2 * HOUR + 1860).day, minute - 1);
    tw_zone_free(zone);
}

static void a_day_that_was_left_out_begins_with_the_next(void **state)
{
    (void)state;
    const int64_t left_out = tw_zone_day_of(2011, 12, 30);
    const int64_t at_s[] = {left_out * DAY + 10 * HOUR};
    const int type[] = {1};
    const int32_t offset_s[] = {-10 * HOUR, 14 * HOUR};
    struct sample sample = fine;
    sample.n_transitions = 1;
    sample.at_s = at_s;
    sample.type = type;
    sample.offset_s = offset_s;
    sample.footer = "\n<+14>-14\n";
    struct tw_zone *zone = NULL;
    assert_int_equal(read_sample(&sample, &zone), TW_OK);
    assert_int_equal(tw_zone_day_start_s(zone, left_out - 1), at_s[0] - DAY);
    assert_int_equal(tw_zone_day_start_s(zone, left_out), at_s[0]);
    assert_int_equal(tw_zone_day_start_s(zone, left_out + 1), at_s[0]);
    assert_int_equal(tw_zone_day_start_s(zone, left_out + 2), at_s[0] + DAY);
    tw_zone_free(zone);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dates_are_those_of_the_calendar),
        cmocka_unit_test(no_name_leads_out_of_the_folder),
        cmocka_unit_test(a_zone_that_is_not_there_is_said_to_be),
        cmocka_unit_test(an_offset_holds_from_its_transition_on),
        cmocka_unit_test(a_rule_goes_on_behind_the_last_transition),
        cmocka_unit_test(rules_of_all_forms_are_understood),
        cmocka_unit_test(what_is_no_rule_is_refused),
        cmocka_unit_test(what_breaks_the_format_is_refused),
        cmocka_unit_test(a_file_that_is_cut_anywhere_is_refused),
        cmocka_unit_test(more_transitions_than_the_bound_are_refused),
        cmocka_unit_test(a_day_begins_at_its_first_instant),
        cmocka_unit_test(a_day_that_was_left_out_begins_with_the_next),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
