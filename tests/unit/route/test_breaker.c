#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "route/breaker.h"

#define MS INT64_C(1000000)

static struct tw_breaker make(void)
{
    const struct tw_breaker_config config = {.n_consecutive = 3,
                                             .most_per_mille = 500,
                                             .n_outcomes = 8,
                                             .open_ns = 100 * MS,
                                             .probe_ns = 1000 * MS};
    struct tw_breaker breaker;
    tw_breaker_init(&breaker, &config);
    return breaker;
}

static void one(struct tw_breaker *breaker, enum tw_outcome outcome, int64_t now_ns)
{
    tw_breaker_end(breaker, tw_breaker_begin(breaker, now_ns), outcome, now_ns);
}

static void fail_until_open(struct tw_breaker *breaker, int64_t now_ns)
{
    for (int i = 0; i < 3; i++) {
        assert_int_equal(tw_breaker_state(breaker, now_ns), TW_BREAKER_CLOSED);
        one(breaker, TW_OUTCOME_FAILURE, now_ns);
    }
    assert_int_equal(tw_breaker_state(breaker, now_ns), TW_BREAKER_OPEN);
}

static void failures_in_a_row_open_it_and_a_success_between_does_not(void **state)
{
    (void)state;
    struct tw_breaker breaker = make();
    for (int i = 0; i < 3; i++) {
        one(&breaker, TW_OUTCOME_FAILURE, 0);
        one(&breaker, TW_OUTCOME_SUCCESS, 0);
        one(&breaker, TW_OUTCOME_SUCCESS, 0);
    }
    one(&breaker, TW_OUTCOME_FAILURE, 0);
    one(&breaker, TW_OUTCOME_FAILURE, 0);
    one(&breaker, TW_OUTCOME_NONE, 0); /* cancelled: says nothing */
    assert_true(tw_breaker_allows(&breaker, 0));
    one(&breaker, TW_OUTCOME_FAILURE, 0);
    assert_false(tw_breaker_allows(&breaker, 0));
}

static void too_many_failures_among_the_last_open_it(void **state)
{
    (void)state;
    struct tw_breaker breaker = make();
    one(&breaker, TW_OUTCOME_SUCCESS, 0);
    for (int i = 0; i < 2; i++) {
        one(&breaker, TW_OUTCOME_FAILURE, 0);
        one(&breaker, TW_OUTCOME_FAILURE, 0);
        assert_true(tw_breaker_allows(&breaker, 0));
        one(&breaker, TW_OUTCOME_SUCCESS, 0);
    }
    one(&breaker, TW_OUTCOME_FAILURE, 0); /* 5 of 8 */
    assert_false(tw_breaker_allows(&breaker, 0));
}

static void half_open_lets_one_through_and_its_success_closes(void **state)
{
    (void)state;
    struct tw_breaker breaker = make();
    fail_until_open(&breaker, 0);
    assert_false(tw_breaker_allows(&breaker, 99 * MS));
    assert_true(tw_breaker_allows(&breaker, 100 * MS));
    const struct tw_breaker_pass probe = tw_breaker_begin(&breaker, 100 * MS);
    assert_false(tw_breaker_allows(&breaker, 101 * MS));
    assert_int_equal(tw_breaker_state(&breaker, 101 * MS), TW_BREAKER_HALF_OPEN);
    tw_breaker_end(&breaker, probe, TW_OUTCOME_SUCCESS, 102 * MS);
    assert_int_equal(tw_breaker_state(&breaker, 102 * MS), TW_BREAKER_CLOSED);
    fail_until_open(&breaker, 102 * MS);
}

static void each_probe_that_fails_doubles_the_wait_to_a_bound(void **state)
{
    (void)state;
    struct tw_breaker breaker = make();
    int64_t now_ns = 0, wait_ns = 100 * MS;
    fail_until_open(&breaker, now_ns);
    for (int i = 0; i < 10; i++) {
        assert_false(tw_breaker_allows(&breaker, now_ns + wait_ns - 1));
        now_ns += wait_ns;
        one(&breaker, TW_OUTCOME_FAILURE, now_ns);
        wait_ns *= i < TW_LIMIT_BREAKER_DOUBLINGS ? 2 : 1;
    }
}

static void a_probe_that_is_lost_or_cancelled_makes_room_for_another(void **state)
{
    (void)state;
    struct tw_breaker breaker = make();
    fail_until_open(&breaker, 0);
    const struct tw_breaker_pass lost = tw_breaker_begin(&breaker, 100 * MS);
    assert_false(tw_breaker_allows(&breaker, 1099 * MS));
    assert_true(tw_breaker_allows(&breaker, 1100 * MS));
    tw_breaker_end(&breaker, lost, TW_OUTCOME_NONE, 200 * MS);
    assert_true(tw_breaker_allows(&breaker, 200 * MS));
}

static void what_began_before_it_opened_changes_nothing(void **state)
{
    (void)state;
    struct tw_breaker breaker = make();
    const struct tw_breaker_pass early = tw_breaker_begin(&breaker, 0);
    fail_until_open(&breaker, 0);
    tw_breaker_end(&breaker, early, TW_OUTCOME_SUCCESS, 50 * MS);
    assert_int_equal(tw_breaker_state(&breaker, 50 * MS), TW_BREAKER_OPEN);
    tw_breaker_end(&breaker, early, TW_OUTCOME_SUCCESS, 150 * MS);
    assert_int_equal(tw_breaker_state(&breaker, 150 * MS), TW_BREAKER_HALF_OPEN);
    tw_breaker_end(&breaker, early, TW_OUTCOME_FAILURE, 150 * MS);
    assert_true(tw_breaker_allows(&breaker, 150 * MS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failures_in_a_row_open_it_and_a_success_between_does_not),
        cmocka_unit_test(too_many_failures_among_the_last_open_it),
        cmocka_unit_test(half_open_lets_one_through_and_its_success_closes),
        cmocka_unit_test(each_probe_that_fails_doubles_the_wait_to_a_bound),
        cmocka_unit_test(a_probe_that_is_lost_or_cancelled_makes_room_for_another),
        cmocka_unit_test(what_began_before_it_opened_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
