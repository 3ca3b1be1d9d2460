#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "plan/meter_log.h"

#define TITLES TW_METER_LOG_TITLES "\n"
#define RANGE  "262143328850"
#define SECOND ((int64_t)1000000000)
/* 2026-11-28T10:00:00Z */
#define TEN    ((int64_t)1795860000 * SECOND)

static struct tw_meter_log *read_log(const char *text)
{
    struct tw_meter_log *log = NULL;
    struct tw_error error;
    if (tw_meter_log_read("m.csv", text, strlen(text), &log, &error) != TW_OK) {
        fail_msg("%s", error.text);
    }
    return log;
}

static void must_refuse(const char *text, enum tw_status status, const char *sentence)
{
    struct tw_meter_log *log = NULL;
    struct tw_error error = {0};
    assert_int_equal(tw_meter_log_read("m.csv", text, strlen(text), &log, &error), status);
    assert_null(log);
    if (strstr(error.text, sentence) == NULL) {
        fail_msg("'%s' has no '%s'", error.text, sentence);
    }
}

static void near(double a, double b)
{
    if (!(a - b < 1e-6 && b - a < 1e-6)) {
        fail_msg("%.9f is not %.9f", a, b);
    }
}

static void a_counter_that_rises_is_its_difference(void **state)
{
    (void)state;
    struct tw_meter_log *log =
        read_log(TITLES "2026-11-28T10:00:00Z,a,rapl package-0,1000000," RANGE "\n"
                        "2026-11-28T10:00:00Z,a,rapl package-0 dram,5," RANGE "\n"
                        "2026-11-28T10:01:00.500Z,a,rapl package-0,31000000," RANGE "\n"
                        "2026-11-28T10:01:00.500Z,a,rapl package-0 dram,2000005," RANGE "\n"
                        "# a remark\n"
                        "2026-11-28T10:02:00Z,a,rapl package-0 dram,3000005," RANGE "\n"
                        "2026-11-28T10:02:00Z,a,rapl package-0,41000000," RANGE "\n");
    assert_int_equal(log->n_spans, 2);
    assert_int_equal(log->n_readings, 3);
    assert_int_equal(log->spans[0].from_ns, TEN);
    assert_int_equal(log->spans[0].to_ns, TEN + 60 * SECOND + SECOND / 2);
    near(log->spans[0].joules, 32);
    near(log->spans[1].joules, 11);
    near(log->joules, 43);
    assert_int_equal(log->covered_ns, 120 * SECOND);
    assert_int_equal(log->n_meters, 2);
    assert_string_equal(log->meters[0].name, "rapl package-0");
    near(log->meters[0].joules, 40);
    near(log->meters[1].joules, 3);
    tw_meter_log_free(log);
}

static void a_counter_that_begins_again_goes_on(void **state)
{
    (void)state;
    struct tw_meter_log *log =
        read_log(TITLES "2026-11-28T10:00:00Z,a,rapl package-0,262143000000," RANGE "\n"
                        "2026-11-28T10:01:00Z,a,rapl package-0,671150," RANGE "\n"
                        "2026-11-28T10:02:00Z,a,rapl package-0,1671150," RANGE "\n");
    assert_int_equal(log->n_spans, 2);
    assert_int_equal(log->n_wraps, 1);
    near(log->spans[0].joules, 1); /* 0.32885 to its end, and 0.67115 */
    near(log->spans[1].joules, 1);
    tw_meter_log_free(log);
}

static void a_restart_is_a_gap(void **state)
{
    (void)state;
    struct tw_meter_log *log =
        read_log(TITLES "2026-11-28T10:00:00Z,a,rapl package-0,5000000," RANGE "\n"
                        "2026-11-28T10:01:00Z,b,rapl package-0,1000000," RANGE "\n"
                        "2026-11-28T10:02:00Z,b,rapl package-0,3000000," RANGE "\n"
                        "2026-11-28T10:03:00Z,b,rapl package-0,4000000," RANGE "\n"
                        "2026-11-28T10:03:30Z,c,rapl package-0,9000000," RANGE
                        "\n"); /* more, and yet another */
    assert_int_equal(log->n_spans, 2);
    assert_int_equal(log->n_restarts, 2);
    near(log->joules, 3);
    assert_int_equal(log->covered_ns, 120 * SECOND);
    tw_meter_log_free(log);
}

/* NVML counts from when its driver was loaded, and has no end to begin again at. */
static void a_driver_that_was_loaded_again_is_a_gap(void **state)
{
    (void)state;
    struct tw_meter_log *log = read_log(TITLES "2026-11-28T10:00:00Z,a,nvml GPU-1,5000000,0\n"
                                               "2026-11-28T10:00:00Z,a,nvml GPU-2,8000000,0\n"
                                               "2026-11-28T12:00:00Z,a,nvml GPU-1,7000000,0\n"
                                               "2026-11-28T12:00:00Z,a,nvml GPU-2,9000000,0\n"
                                               "2026-11-28T12:01:00Z,a,nvml GPU-1,7000001,0\n"
                                               "2026-11-28T12:01:00Z,a,nvml GPU-2,1,0\n"
                                               "2026-11-28T12:02:00Z,a,nvml GPU-1,7500001,0\n"
                                               "2026-11-28T12:02:00Z,a,nvml GPU-2,500001,0\n");
    assert_int_equal(log->n_spans, 2);
    assert_int_equal(log->n_restarts, 1);
    assert_int_equal(log->n_wraps, 0);
    near(log->joules, 4);
    near(log->meters[1].joules, 1.5);
    tw_meter_log_free(log);
}

/* In 263 seconds a thousand watts fill the counter: it may have begun again once or twice. */
static void a_pause_that_may_hide_an_end_is_a_gap(void **state)
{
    (void)state;
    assert_int_equal(tw_meter_log_trust_ns(UINT64_C(262143328850)), INT64_C(262143000000));
    assert_int_equal(tw_meter_log_trust_ns(0), INT64_MAX);
    struct tw_meter_log *log =
        read_log(TITLES "2026-11-28T10:00:00Z,a,rapl package-0,0," RANGE "\n"
                        "2026-11-28T10:04:22Z,a,rapl package-0,2000000," RANGE "\n"
                        "2026-11-28T10:08:45Z,a,rapl package-0,9000000," RANGE "\n");
    assert_int_equal(log->n_spans, 1);
    assert_int_equal(log->n_pauses, 1);
    near(log->joules, 2);
    tw_meter_log_free(log);
}

static void other_counters_than_before_are_a_gap(void **state)
{
    (void)state;
    struct tw_meter_log *log =
        read_log(TITLES "2026-11-28T10:00:00Z,a,rapl package-0,0," RANGE "\n"
                        "2026-11-28T10:01:00Z,a,rapl package-0,1000000," RANGE "\n"
                        "2026-11-28T10:01:00Z,a,nvml GPU-1,1000000,0\n"
                        "2026-11-28T10:02:00Z,a,rapl package-0,2000000," RANGE "\n"
                        "2026-11-28T10:02:00Z,a,nvml GPU-1,3000000,0\n"
                        "2026-11-28T10:03:00Z,a,rapl package-0,3000000," RANGE "\n"
                        "2026-11-28T10:03:00Z,a,nvml GPU-2,4000000,0\n");
    assert_int_equal(log->n_spans, 1);
    assert_int_equal(log->n_changes, 2);
    near(log->joules, 3);
    tw_meter_log_free(log);
}

static void a_clock_that_is_set_back_counts_no_time_twice(void **state)
{
    (void)state;
    struct tw_meter_log *log =
        read_log(TITLES "2026-11-28T10:00:00Z,a,rapl package-0,0," RANGE "\n"
                        "2026-11-28T10:01:00Z,a,rapl package-0,1000000," RANGE "\n"
                        "2026-11-28T10:00:30Z,a,rapl package-0,2000000," RANGE "\n"
                        "2026-11-28T10:01:30Z,a,rapl package-0,3000000," RANGE "\n"
                        "2026-11-28T10:02:30Z,a,rapl package-0,7000000," RANGE "\n"
                        "2026-11-28T10:02:00Z,b,rapl package-0,100," RANGE "\n"
                        "2026-11-28T10:03:00Z,b,rapl package-0,1000100," RANGE "\n"
                        "2026-11-28T10:04:00Z,b,rapl package-0,2000100," RANGE "\n");
    assert_int_equal(log->n_set_back, 2);
    assert_int_equal(log->n_spans, 3);
    near(log->joules, 1 + 4 + 1);
    for (size_t i = 1; i < log->n_spans; i++) {
        assert_true(log->spans[i].from_ns >= log->spans[i - 1].to_ns);
    }
    tw_meter_log_free(log);
}

static void a_meter_at_the_wall_stands_for_all_others(void **state)
{
    (void)state;
    struct tw_meter_log *log =
        read_log(TITLES "2026-11-28T10:00:00Z,,rapl package-0,0," RANGE "\n"
                        "2026-11-28T10:00:00Z,,wall pdu-3,0,0\n"
                        "2026-11-28T11:00:00Z,,rapl package-0,1000000," RANGE "\n"
                        "2026-11-28T11:00:00Z,,wall pdu-3,720000000,0\n");
    assert_true(log->is_wall);
    assert_int_equal(log->n_meters, 1);
    near(log->joules, 720);
    tw_meter_log_free(log);
}

static void what_was_not_written_to_its_end_is_no_row(void **state)
{
    (void)state;
    struct tw_meter_log *log =
        read_log(TITLES "2026-11-28T10:00:00Z,a,rapl package-0,0," RANGE "\n"
                        "2026-11-28T10:01:00Z,a,rapl package-0,1000000," RANGE "\n"
                        "2026-11-28T10:02:00Z,a,rapl pack");
    assert_int_equal(log->n_spans, 1);
    tw_meter_log_free(log);
    log = read_log("");
    assert_int_equal(log->n_spans, 0);
    tw_meter_log_free(log);
}

static void what_is_wrong_is_said_with_its_line(void **state)
{
    (void)state;
    const char *good = TITLES "2026-11-28T10:00:00Z,a,m,1,0\n";
    char text[512];
    const struct {
        const char *row, *sentence;
    } cases[] = {
        {"2026-11-28T10:00:00,a,m,1,0", "line 3: the time is '2026-11-28T10:00:00'; write it as"},
        {"2026-02-29T10:00:00Z,a,m,1,0", "the time is"},
        {"2026-11-28T24:00:00Z,a,m,1,0", "the time is"},
        {"1960-11-28T10:00:00Z,a,m,1,0", "the time is"},
        {"2026-11-28T10:00:01Z,a,,1,0", "a counter's name"},
        {"2026-11-28T10:00:01Z,a,m,-1,0", "energy_uj is '-1'"},
        {"2026-11-28T10:00:01Z,a,m,1.5,0", "energy_uj is '1.5'"},
        {"2026-11-28T10:00:01Z,a,m,18446744073709551616,0", "energy_uj is"},
        {"2026-11-28T10:00:01Z,a,m,1,", "range_uj is ''"},
        {"2026-11-28T10:00:01Z,a,m,3,2", "cannot be more than range_uj"},
        {"2026-11-28T10:00:01Z,a,m,3", "write " TW_METER_LOG_TITLES},
        {"2026-11-28T10:00:00Z,a,m,3,0", "a second row of 'm'"},
        {"2026-11-28T10:00:01Z,\"a,m,3,0", "line 3"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(text, sizeof text, "%s%s\n", good, cases[i].row);
        must_refuse(text, TW_ERR_FORMAT, cases[i].sentence);
    }
    must_refuse("a,b\n", TW_ERR_FORMAT, "line 1: it begins with 'a,b'; write the titles");
}

static void a_file_has_so_many_counters_at_most(void **state)
{
    static char text[40000];
    size_t n = 0;
    (void)state;
    n += (size_t)snprintf(text, sizeof text, TITLES);
    for (int second = 0; second < 2 * (TW_LIMIT_METERS + 1); second++) {
        n += (size_t)snprintf(text + n, sizeof text - n, "2026-11-28T10:%02d:%02dZ,a,m%d,1,0\n",
                              second / 60, second % 60, second / 2);
    }
    must_refuse(text, TW_ERR_LIMIT, "more than 64 different counters");
    n = (size_t)snprintf(text, sizeof text, TITLES);
    for (int i = 0; i <= TW_LIMIT_METERS; i++) {
        n += (size_t)snprintf(text + n, sizeof text - n, "2026-11-28T10:00:00Z,a,m%d,1,0\n", i);
    }
    must_refuse(text, TW_ERR_FORMAT, "a machine has at most 64");
}

/* ---- several machines ---- */

static struct tw_meter_cover cover_of(struct tw_meter_log **logs, size_t n, int64_t from_s,
                                      int64_t to_s)
{
    struct tw_meter_cover cover;
    assert_int_equal(
        tw_meter_log_cover(logs, n, TEN + from_s * SECOND, TEN + to_s * SECOND, &cover, NULL),
        TW_OK);
    return cover;
}

static void only_the_time_that_all_machines_cover_counts(void **state)
{
    (void)state;
    /* 10 W from 0 to 60 and from 120 to 180 s; 20 W from 30 to 150 s. */
    struct tw_meter_log *logs[2] = {read_log(TITLES "2026-11-28T10:00:00Z,a,x,0,0\n"
                                                    "2026-11-28T10:01:00Z,a,x,600000000,0\n"
                                                    "2026-11-28T10:02:00Z,b,x,0,0\n"
                                                    "2026-11-28T10:03:00Z,b,x,600000000,0\n"),
                                    read_log(TITLES "2026-11-28T10:00:30Z,a,y,0,0\n"
                                                    "2026-11-28T10:02:30Z,a,y,2400000000,0\n")};
    struct tw_meter_cover cover = cover_of(logs, 2, -100, 1000);
    assert_int_equal(cover.n_spans, 2);
    assert_int_equal(cover.covered_ns, 60 * SECOND);
    near(cover.joules, 60 * 30);
    assert_false(tw_meter_log_covers(&cover, TEN + 29 * SECOND));
    assert_true(tw_meter_log_covers(&cover, TEN + 30 * SECOND));
    assert_true(tw_meter_log_covers(&cover, TEN + 59 * SECOND));
    assert_false(tw_meter_log_covers(&cover, TEN + 60 * SECOND));
    assert_true(tw_meter_log_covers(&cover, TEN + 120 * SECOND));
    assert_false(tw_meter_log_covers(&cover, TEN + 150 * SECOND));
    tw_meter_log_cover_free(&cover);
    cover = cover_of(logs, 2, 40, 130); /* spans that are cut */
    near(cover.joules, 30 * 30);
    tw_meter_log_cover_free(&cover);
    cover = cover_of(logs, 2, 60, 120);
    assert_int_equal(cover.covered_ns, 0);
    tw_meter_log_cover_free(&cover);
    cover = cover_of(logs, 1, 0, 90);
    near(cover.joules, 600);
    tw_meter_log_cover_free(&cover);
    cover = cover_of(logs, 0, 0, 90);
    assert_int_equal(cover.n_spans, 0);
    tw_meter_log_cover_free(&cover);
    tw_meter_log_free(logs[0]);
    tw_meter_log_free(logs[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_counter_that_rises_is_its_difference),
        cmocka_unit_test(a_counter_that_begins_again_goes_on),
        cmocka_unit_test(a_restart_is_a_gap),
        cmocka_unit_test(a_driver_that_was_loaded_again_is_a_gap),
        cmocka_unit_test(a_pause_that_may_hide_an_end_is_a_gap),
        cmocka_unit_test(other_counters_than_before_are_a_gap),
        cmocka_unit_test(a_clock_that_is_set_back_counts_no_time_twice),
        cmocka_unit_test(a_meter_at_the_wall_stands_for_all_others),
        cmocka_unit_test(what_was_not_written_to_its_end_is_no_row),
        cmocka_unit_test(what_is_wrong_is_said_with_its_line),
        cmocka_unit_test(a_file_has_so_many_counters_at_most),
        cmocka_unit_test(only_the_time_that_all_machines_cover_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
