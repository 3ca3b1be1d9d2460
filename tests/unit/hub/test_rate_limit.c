#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/rng.h"
#include "hub/rate_limit.h"

#define SECOND ((int64_t)1000000000)
#define MINUTE (60 * SECOND)

static struct tw_rate_limits limits_of(int64_t requests, int64_t tokens, int64_t concurrent)
{
    return (struct tw_rate_limits){{requests, tokens, concurrent}};
}

static void a_limit_may_be_used_up_at_once_and_comes_back_evenly(void **state)
{
    (void)state;
    const struct tw_rate_limits limits = limits_of(6, 0, 0);
    struct tw_rate_state rates = {0};
    const struct tw_rate_holder path[] = {{&limits, &rates}};
    struct tw_rate_refusal refusal;
    int64_t now_ns = 5 * SECOND;
    for (int i = 0; i < 6; i++) {
        assert_true(tw_rate_limit_try(path, 1, 1, 0, now_ns, &refusal));
    }
    assert_false(tw_rate_limit_try(path, 1, 1, 0, now_ns, &refusal));
    assert_int_equal(refusal.holder, 0);
    assert_int_equal(refusal.kind, TW_RATE_REQUESTS);
    assert_int_equal(refusal.retry_ns, 10 * SECOND);
    now_ns += 10 * SECOND - 1;
    assert_false(tw_rate_limit_try(path, 1, 1, 0, now_ns, &refusal));
    assert_int_equal(refusal.retry_ns, 1);
    assert_true(tw_rate_limit_try(path, 1, 1, 0, now_ns + 1, &refusal));
    assert_false(tw_rate_limit_try(path, 1, 1, 0, now_ns + 1, &refusal));
    /* Idle for ever: no more than the limit is there. */
    now_ns = INT64_MAX - MINUTE;
    for (int i = 0; i < 6; i++) {
        assert_true(tw_rate_limit_try(path, 1, 1, 0, now_ns, &refusal));
    }
    assert_false(tw_rate_limit_try(path, 1, 1, 0, now_ns, &refusal));
}

static void more_tokens_than_the_limit_are_never_admitted(void **state)
{
    (void)state;
    const struct tw_rate_limits limits = limits_of(0, 1000, 0);
    struct tw_rate_state rates = {0};
    const struct tw_rate_holder path[] = {{&limits, &rates}};
    struct tw_rate_refusal refusal;
    assert_false(tw_rate_limit_try(path, 1, 1, 1001, 0, &refusal));
    assert_int_equal(refusal.kind, TW_RATE_TOKENS);
    assert_true(refusal.retry_ns == INT64_MAX);
    assert_true(tw_rate_limit_try(path, 1, 1, 1000, 0, &refusal));
    assert_false(tw_rate_limit_try(path, 1, 1, 500, 0, &refusal));
    assert_int_equal(refusal.retry_ns, MINUTE / 2);
    /* Without tokens there is nothing to wait for. */
    assert_true(tw_rate_limit_try(path, 1, 1, 0, 0, &refusal));
}

static void all_holders_admit_or_nothing_changes(void **state)
{
    (void)state;
    const struct tw_rate_limits key = limits_of(10, 10000, 0), project = limits_of(3, 600, 2);
    struct tw_rate_state rates[2] = {{.n_running = 0}};
    const struct tw_rate_holder path[] = {{&key, &rates[0]}, {&project, &rates[1]}};
    struct tw_rate_refusal refusal;
    struct tw_rate_shown shown = {0};
    assert_true(tw_rate_limit_try(path, 2, 1, 100, 0, &refusal));
    assert_true(tw_rate_limit_try(path, 2, 1, 100, 0, &refusal));
    assert_false(tw_rate_limit_try(path, 2, 1, 500, 0, &refusal));
    assert_int_equal(refusal.holder, 1);
    assert_int_equal(refusal.kind, TW_RATE_TOKENS);
    assert_false(tw_rate_limit_try(path, 2, 1, 100, 0, &refusal));
    assert_int_equal(refusal.kind, TW_RATE_CONCURRENT);
    assert_int_equal(refusal.retry_ns, 0);
    assert_true(tw_rate_limit_show(path, 1, TW_RATE_TOKENS, 0, &shown));
    assert_int_equal(shown.remaining, 9800);
    assert_int_equal(rates[0].n_running, 2);
    tw_rate_limit_end(path, 2);
    assert_true(tw_rate_limit_try(path, 2, 1, 100, 0, &refusal));
    assert_false(tw_rate_limit_try(path, 2, 1, 1, 0, &refusal));
    assert_int_equal(refusal.kind, TW_RATE_REQUESTS);
}

static void what_was_not_used_is_there_again(void **state)
{
    (void)state;
    const struct tw_rate_limits limits = limits_of(2, 600, 0);
    struct tw_rate_state rates = {0};
    const struct tw_rate_holder path[] = {{&limits, &rates}};
    struct tw_rate_refusal refusal;
    struct tw_rate_shown shown = {0};
    assert_true(tw_rate_limit_try(path, 1, 1, 500, 0, &refusal));
    tw_rate_limit_give_back(path, 1, 0, 450, 0);
    assert_true(tw_rate_limit_show(path, 1, TW_RATE_TOKENS, 0, &shown));
    assert_int_equal(shown.remaining, 550);
    assert_true(tw_rate_limit_show(path, 1, TW_RATE_REQUESTS, 0, &shown));
    assert_int_equal(shown.remaining, 1);
    /* Somebody else refused it: the request too. */
    tw_rate_limit_give_back(path, 1, 1, 50, 0);
    tw_rate_limit_end(path, 1);
    assert_true(tw_rate_limit_show(path, 1, TW_RATE_REQUESTS, 0, &shown));
    assert_int_equal(shown.remaining, 2);
    /* What has leaked meanwhile does not come twice. */
    assert_true(tw_rate_limit_try(path, 1, 1, 600, 0, &refusal));
    tw_rate_limit_give_back(path, 1, 0, 600, MINUTE / 2);
    assert_true(tw_rate_limit_show(path, 1, TW_RATE_TOKENS, MINUTE / 2, &shown));
    assert_int_equal(shown.remaining, 600);
    assert_int_equal(shown.reset_ns, 0);
}

static void the_holder_with_the_least_left_is_shown(void **state)
{
    (void)state;
    const struct tw_rate_limits none = limits_of(0, 0, 5), key = limits_of(60, 0, 0);
    const struct tw_rate_limits project = limits_of(100, 7, 0);
    struct tw_rate_state rates[3] = {{.n_running = 0}};
    const struct tw_rate_holder path[] = {
        {&none, &rates[0]}, {&key, &rates[1]}, {&project, &rates[2]}};
    struct tw_rate_refusal refusal;
    struct tw_rate_shown shown = {0};
    assert_false(tw_rate_limit_show(path, 1, TW_RATE_REQUESTS, 0, &shown));
    assert_int_equal(shown.limit, 0);
    for (int i = 0; i < 5; i++) {
        assert_true(tw_rate_limit_try(path, 3, 1, 0, 0, &refusal));
    }
    assert_true(tw_rate_limit_show(path, 3, TW_RATE_REQUESTS, SECOND / 2, &shown));
    assert_int_equal(shown.limit, 60);
    assert_int_equal(shown.remaining, 55); /* half a request does not count */
    assert_int_equal(shown.reset_ns, 9 * SECOND / 2);
    assert_true(tw_rate_limit_show(path, 3, TW_RATE_TOKENS, 0, &shown));
    assert_int_equal(shown.limit, 7);
    assert_int_equal(shown.remaining, 7);
    assert_int_equal(shown.reset_ns, 0);
}

static void a_limit_may_change_at_any_time(void **state)
{
    (void)state;
    struct tw_rate_limits limits = limits_of(0, 1000, 3);
    struct tw_rate_state rates = {0};
    const struct tw_rate_holder path[] = {{&limits, &rates}};
    struct tw_rate_refusal refusal;
    struct tw_rate_shown shown = {0};
    assert_true(tw_rate_limit_try(path, 1, 1, 900, 0, &refusal));
    limits.limit[TW_RATE_TOKENS] = 300; /* 900 are used: it takes 3 minutes */
    assert_true(tw_rate_limit_show(path, 1, TW_RATE_TOKENS, 0, &shown));
    assert_int_equal(shown.remaining, 0);
    assert_int_equal(shown.reset_ns, 3 * MINUTE);
    assert_false(tw_rate_limit_try(path, 1, 1, 300, 0, &refusal));
    assert_int_equal(refusal.retry_ns, 3 * MINUTE);
    limits.limit[TW_RATE_TOKENS] = 2000;
    assert_true(tw_rate_limit_try(path, 1, 1, 1100, 0, &refusal));
    limits.limit[TW_RATE_CONCURRENT] = 1;
    assert_false(tw_rate_limit_try(path, 1, 1, 0, MINUTE, &refusal));
    assert_int_equal(refusal.kind, TW_RATE_CONCURRENT);
    limits = limits_of(0, 0, 0);
    assert_true(tw_rate_limit_try(path, 1, 1, 1 << 30, MINUTE, &refusal));
    limits.limit[TW_RATE_TOKENS] = TW_LIMIT_HUB_RATE;
    assert_true(tw_rate_limit_try(path, 1, 1, TW_LIMIT_HUB_RATE, MINUTE, &refusal));
    assert_false(tw_rate_limit_try(path, 1, 1, TW_LIMIT_HUB_RATE, MINUTE, &refusal));
    assert_int_equal(refusal.retry_ns, MINUTE);
    assert_int_equal(rates.n_running, 4);
}

static void a_clock_that_falls_gives_nothing(void **state)
{
    (void)state;
    const struct tw_rate_limits limits = limits_of(1, 0, 0);
    struct tw_rate_state rates = {0};
    const struct tw_rate_holder path[] = {{&limits, &rates}};
    struct tw_rate_refusal refusal;
    assert_true(tw_rate_limit_try(path, 1, 1, 0, 10 * MINUTE, &refusal));
    assert_false(tw_rate_limit_try(path, 1, 1, 0, 0, &refusal));
    assert_false(tw_rate_limit_try(path, 1, 1, 0, 11 * MINUTE - 1, &refusal));
    assert_true(tw_rate_limit_try(path, 1, 1, 0, 11 * MINUTE, &refusal));
}

static void a_reset_is_written_as_others_write_it(void **state)
{
    (void)state;
    static const struct {
        int64_t ns;
        const char *text;
    } resets[] = {
        {0, "0s"},
        {1, "1ms"},
        {17000000, "17ms"},
        {16000001, "17ms"},
        {999 * 1000000, "999ms"},
        {SECOND - 1, "1s"},
        {SECOND, "1s"},
        {8640000000, "8.64s"},
        {59999 * (SECOND / 1000), "59.999s"},
        {MINUTE, "1m0s"},
        {6 * MINUTE, "6m0s"},
        {MINUTE + 26400000000, "1m26.4s"},
        {MINUTE + 5000000, "1m0.005s"},
        {60 * MINUTE, "1h0m0s"},
        {25 * 60 * MINUTE + 61 * SECOND, "25h1m1s"},
        {INT64_MAX, "2562047h47m16.855s"},
    };
    for (size_t i = 0; i < sizeof resets / sizeof *resets; i++) {
        char text[TW_RATE_RESET_BYTES];
        tw_rate_limit_print_reset(resets[i].ns, text);
        assert_string_equal(text, resets[i].text);
    }
}

/* Every stretch of time by its first and last moment: what was taken in it, less what came back. In
 * tokens x nanoseconds, which 64 bits hold here. */
enum { N_STEPS = 1500, N_ROUNDS = 12 };

struct moment {
    int64_t at_ns, net_before, net_after; /* of everything so far */
};

static void check_stretches(const struct moment *moments, int64_t limit)
{
    for (int i = 0; i < N_STEPS; i++) {
        for (int k = i; k < N_STEPS; k++) {
            const int64_t net = moments[k].net_after - moments[i].net_before;
            const int64_t elapsed_ns = moments[k].at_ns - moments[i].at_ns;
            assert_true(net <= limit * (MINUTE + elapsed_ns));
        }
    }
}

static void no_stretch_of_time_admits_more_than_its_share(void **state)
{
    (void)state;
    static struct moment moments[N_STEPS];
    for (uint64_t round = 0; round < N_ROUNDS; round++) {
        const int64_t limit = 7 + 313 * (int64_t)round;
        const struct tw_rate_limits limits = limits_of(0, limit, 0);
        struct tw_rate_state rates = {0};
        const struct tw_rate_holder path[] = {{&limits, &rates}};
        int64_t now_ns = 0, net = 0;
        int n_admitted = 0, n_refused = 0, n_returned = 0;
        for (uint64_t i = 0; i < N_STEPS; i++) {
            uint32_t r[4];
            struct tw_rate_refusal refusal;
            struct tw_rate_shown shown = {0};
            tw_rng_block(round, i, r);
            now_ns += r[0] % 4 == 0 ? (int64_t)r[1] * (1 + (int64_t)round % 3) : 0;
            moments[i] = (struct moment){.at_ns = now_ns, .net_before = net};
            const int64_t n = r[2] % (limit + 1);
            assert_true(tw_rate_limit_show(path, 1, TW_RATE_TOKENS, now_ns, &shown));
            if (r[3] % 3 > 0) {
                const bool is_admitted = tw_rate_limit_try(path, 1, 1, n, now_ns, &refusal);
                assert_true(is_admitted == (n <= shown.remaining));
                net += is_admitted ? n * MINUTE : 0;
                n_admitted += is_admitted;
                n_refused += !is_admitted;
            } else {
                const uint64_t level = rates.buckets[TW_RATE_TOKENS].level;
                tw_rate_limit_give_back(path, 1, 0, n, now_ns);
                const int64_t returned = (int64_t)(level - rates.buckets[TW_RATE_TOKENS].level);
                assert_true(returned >= 0 && returned <= n * MINUTE);
                net -= returned;
                n_returned += returned > 0;
            }
            moments[i].net_after = net;
        }
        assert_true(n_admitted > 100 && n_refused > 100 && n_returned > 100);
        check_stretches(moments, limit);
    }
}

/* Waiting as long as was said is enough, and a moment less is not. */
static void the_wait_that_is_told_is_exact(void **state)
{
    (void)state;
    int n_waits = 0;
    for (uint64_t round = 0; round < 2000; round++) {
        uint32_t r[4];
        tw_rng_block(23, round, r);
        const struct tw_rate_limits limits = limits_of(0, 1 + r[0] % 100000, 0);
        const int64_t limit = limits.limit[TW_RATE_TOKENS];
        struct tw_rate_state rates = {0};
        const struct tw_rate_holder path[] = {{&limits, &rates}};
        struct tw_rate_refusal refusal;
        int64_t now_ns = r[1];
        for (uint64_t i = 0; i < 20; i++) {
            tw_rng_block(24 + round, i, r);
            const int64_t n = 1 + r[2] % limit;
            now_ns += r[3] % 1000000000;
            if (!tw_rate_limit_try(path, 1, 1, n, now_ns, &refusal)) {
                const int64_t then_ns = now_ns + refusal.retry_ns;
                struct tw_rate_refusal again;
                assert_false(tw_rate_limit_try(path, 1, 1, n, then_ns - 1, &again));
                assert_int_equal(again.retry_ns, 1);
                assert_true(tw_rate_limit_try(path, 1, 1, n, then_ns, &again));
                now_ns = then_ns;
                n_waits++;
            }
        }
    }
    assert_true(n_waits > 1000);
}

static void what_takes_the_place_of_one_that_ended_is_no_other_request(void **state)
{
    (void)state;
    struct tw_rate_limits limits = {.limit = {1, 1000, 1}};
    struct tw_rate_state counted = {0};
    const struct tw_rate_holder path[] = {{&limits, &counted}};
    struct tw_rate_refusal refusal;
    assert_true(tw_rate_limit_try(path, 1, 1, 600, 0, &refusal));
    tw_rate_limit_give_back(path, 1, 0, 600, 0);
    tw_rate_limit_end(path, 1);
    assert_true(tw_rate_limit_try(path, 1, 0, 900, 0, &refusal));
    assert_false(tw_rate_limit_try(path, 1, 0, 0, 0, &refusal)); /* it runs */
    assert_int_equal(refusal.kind, TW_RATE_CONCURRENT);
    tw_rate_limit_end(path, 1);
    assert_false(tw_rate_limit_try(path, 1, 0, 101, 0, &refusal)); /* its tokens are its own */
    assert_int_equal(refusal.kind, TW_RATE_TOKENS);
    assert_false(tw_rate_limit_try(path, 1, 1, 0, 0, &refusal));
    assert_int_equal(refusal.kind, TW_RATE_REQUESTS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_limit_may_be_used_up_at_once_and_comes_back_evenly),
        cmocka_unit_test(more_tokens_than_the_limit_are_never_admitted),
        cmocka_unit_test(all_holders_admit_or_nothing_changes),
        cmocka_unit_test(what_was_not_used_is_there_again),
        cmocka_unit_test(the_holder_with_the_least_left_is_shown),
        cmocka_unit_test(a_limit_may_change_at_any_time),
        cmocka_unit_test(a_clock_that_falls_gives_nothing),
        cmocka_unit_test(a_reset_is_written_as_others_write_it),
        cmocka_unit_test(no_stretch_of_time_admits_more_than_its_share),
        cmocka_unit_test(the_wait_that_is_told_is_exact),
        cmocka_unit_test(what_takes_the_place_of_one_that_ended_is_no_other_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
