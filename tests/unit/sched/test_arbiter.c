#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "sched/arbiter.h"

enum { PATIENCE = 100 };

struct fixture {
    struct tw_fair_share *share;
    struct tw_arbiter *arbiter;
};

/* Models of 10 bytes, 4 of them cache, and tenants 0 to 2 of weight 1, 2 and 1 (idle). */
static struct fixture make(uint32_t n_models, uint64_t memory_bytes, uint64_t cache_bytes)
{
    struct fixture f;
    const struct tw_arbiter_config config = {n_models, memory_bytes, cache_bytes, PATIENCE};
    assert_int_equal(tw_fair_share_create(&f.share, NULL), TW_OK);
    assert_int_equal(tw_fair_share_set(f.share, 0, 1, TW_CLASS_NORMAL, NULL), TW_OK);
    assert_int_equal(tw_fair_share_set(f.share, 1, 2, TW_CLASS_NORMAL, NULL), TW_OK);
    assert_int_equal(tw_fair_share_set(f.share, 2, 1, TW_CLASS_IDLE, NULL), TW_OK);
    assert_int_equal(tw_arbiter_create(&config, f.share, &f.arbiter, NULL), TW_OK);
    for (uint32_t i = 0; i < n_models; i++) {
        assert_int_equal(tw_arbiter_set_size(f.arbiter, i, "m", 6, 4, NULL), TW_OK);
    }
    return f;
}

static void unmake(struct fixture f)
{
    tw_arbiter_free(f.arbiter);
    tw_fair_share_free(f.share);
}

/* The model that moves, or -1. */
static int move(struct fixture f, int64_t now_ns)
{
    uint32_t model;
    return tw_arbiter_move(f.arbiter, now_ns, &model) ? (int)model : -1;
}

static void load(struct fixture f, uint32_t model, int64_t now_ns)
{
    tw_arbiter_want(f.arbiter, model, now_ns);
    assert_int_equal(move(f, now_ns), model);
    assert_int_equal(tw_arbiter_state(f.arbiter, model), TW_MODEL_LOADING);
    tw_arbiter_loaded(f.arbiter, model, true, now_ns);
    assert_int_equal(tw_arbiter_state(f.arbiter, model), TW_MODEL_LOADED);
}

static void run(struct fixture f, uint32_t model, uint32_t tenant, int64_t now_ns)
{
    assert_true(tw_arbiter_arrive(f.arbiter, model, tenant, now_ns));
    assert_true(tw_arbiter_may_begin(f.arbiter, model));
    tw_arbiter_begin(f.arbiter, model, now_ns);
}

/* ---- memory ---- */

static void a_model_that_alone_is_too_large_is_refused(void **state)
{
    (void)state;
    struct fixture f = make(1, 20, 10);
    struct tw_error error;
    assert_int_equal(tw_arbiter_set_size(f.arbiter, 0, "big", 17, 4, &error), TW_ERR_LIMIT);
    assert_non_null(strstr(error.text, "'big': 17 bytes"));
    assert_int_equal(tw_arbiter_set_size(f.arbiter, 0, "big", 1, 11, &error), TW_ERR_LIMIT);
    assert_int_equal(tw_arbiter_set_size(f.arbiter, 0, "big", UINT64_MAX, 5, &error), TW_ERR_LIMIT);
    assert_int_equal(tw_arbiter_set_size(f.arbiter, 0, "big", 10, 10, &error), TW_OK);
    unmake(f);
}

static void who_waits_longest_is_loaded_first_and_one_at_a_time(void **state)
{
    (void)state;
    struct fixture f = make(3, 0, 0);
    assert_int_equal(move(f, 0), -1);
    assert_true(tw_arbiter_arrive(f.arbiter, 2, 0, 1));
    assert_true(tw_arbiter_arrive(f.arbiter, 0, 0, 2));
    assert_int_equal(move(f, 3), 2);
    assert_int_equal(move(f, 3), -1);
    assert_false(tw_arbiter_may_begin(f.arbiter, 2));
    tw_arbiter_loaded(f.arbiter, 2, true, 4);
    assert_true(tw_arbiter_may_begin(f.arbiter, 2));
    assert_int_equal(move(f, 4), 0);
    unmake(f);
}

static void the_least_recently_used_makes_room(void **state)
{
    (void)state;
    struct fixture f = make(3, 25, 0);
    load(f, 0, 1);
    load(f, 1, 2);
    run(f, 0, 0, 3);
    tw_arbiter_depart(f.arbiter, 0, 0, true, 4);
    assert_true(tw_arbiter_arrive(f.arbiter, 2, 0, 5));
    assert_int_equal(move(f, 5), 1);
    assert_int_equal(tw_arbiter_state(f.arbiter, 1), TW_MODEL_LEAVING);
    assert_int_equal(move(f, 5), -1); /* its room is not free yet */
    tw_arbiter_left(f.arbiter, 1, 6);
    assert_int_equal(move(f, 6), 2);
    assert_int_equal(tw_arbiter_usage(f.arbiter).memory_bytes, 20);
    unmake(f);
}

static void caches_have_a_bound_of_their_own(void **state)
{
    (void)state;
    struct fixture f = make(2, 0, 7);
    load(f, 0, 1);
    tw_arbiter_want(f.arbiter, 1, 2);
    assert_int_equal(move(f, 2), 0);
    tw_arbiter_left(f.arbiter, 0, 3);
    assert_int_equal(move(f, 3), 1);
    assert_int_equal(tw_arbiter_usage(f.arbiter).cache_bytes, 4);
    unmake(f);
}

static void what_runs_is_ended_and_what_arrives_waits_once_patience_is_over(void **state)
{
    (void)state;
    struct fixture f = make(2, 10, 0);
    load(f, 0, 0);
    run(f, 0, 0, 1);
    assert_true(tw_arbiter_arrive(f.arbiter, 1, 1, 10));
    assert_int_equal(move(f, 10 + PATIENCE - 1), -1);
    assert_true(tw_arbiter_may_begin(f.arbiter, 0));
    assert_int_equal(move(f, 10 + PATIENCE), -1);
    assert_false(tw_arbiter_may_begin(f.arbiter, 0));
    assert_int_equal(tw_arbiter_state(f.arbiter, 0), TW_MODEL_LOADED);
    assert_true(tw_arbiter_arrive(f.arbiter, 0, 0, 120));
    tw_arbiter_depart(f.arbiter, 0, 0, true, 130);
    assert_int_equal(move(f, 130), 0);
    tw_arbiter_left(f.arbiter, 0, 131);
    assert_int_equal(move(f, 131), 1);
    tw_arbiter_loaded(f.arbiter, 1, true, 140);
    /* 0 waits again, but 1 has had neither its time nor a request. */
    assert_int_equal(move(f, 1000), -1);
    assert_true(tw_arbiter_may_begin(f.arbiter, 1));
    tw_arbiter_begin(f.arbiter, 1, 1000);
    tw_arbiter_depart(f.arbiter, 1, 1, true, 1001);
    assert_int_equal(move(f, 1001), 1);
    tw_arbiter_left(f.arbiter, 1, 1002);
    assert_int_equal(move(f, 1002), 0);
    unmake(f);
}

static void nobody_closes_for_somebody_who_left(void **state)
{
    (void)state;
    struct fixture f = make(2, 10, 0);
    load(f, 0, 0);
    run(f, 0, 0, 1);
    assert_true(tw_arbiter_arrive(f.arbiter, 1, 0, 2));
    assert_int_equal(move(f, 2 + PATIENCE), -1);
    assert_false(tw_arbiter_may_begin(f.arbiter, 0));
    tw_arbiter_depart(f.arbiter, 1, 0, false, 110);
    assert_int_equal(move(f, 111), -1);
    assert_true(tw_arbiter_may_begin(f.arbiter, 0));
    unmake(f);
}

static void a_load_that_failed_is_tried_again_for_who_still_waits(void **state)
{
    (void)state;
    struct fixture f = make(1, 0, 0);
    assert_true(tw_arbiter_arrive(f.arbiter, 0, 0, 1));
    assert_int_equal(move(f, 1), 0);
    assert_true(tw_arbiter_arrive(f.arbiter, 0, 0, 2));
    tw_arbiter_depart(f.arbiter, 0, 0, false, 3);
    tw_arbiter_loaded(f.arbiter, 0, false, 3);
    assert_int_equal(move(f, 3), 0);
    tw_arbiter_depart(f.arbiter, 0, 0, false, 4);
    tw_arbiter_loaded(f.arbiter, 0, false, 4);
    assert_int_equal(move(f, 5), -1);
    assert_int_equal(tw_arbiter_state(f.arbiter, 0), TW_MODEL_AWAY);
    unmake(f);
}

/* ---- turns ---- */

static int next(struct fixture f)
{
    uint32_t model;
    return tw_arbiter_next(f.arbiter, &model) ? (int)model : -1;
}

static void one_model_has_the_turn_and_keeps_it_to_its_end(void **state)
{
    (void)state;
    struct fixture f = make(2, 0, 0);
    assert_int_equal(next(f), -1);
    tw_arbiter_ask(f.arbiter, 1, true);
    assert_int_equal(next(f), 1);
    tw_arbiter_ask(f.arbiter, 0, true);
    assert_int_equal(next(f), -1);
    tw_arbiter_end(f.arbiter, 1, 5);
    tw_arbiter_ask(f.arbiter, 1, false);
    assert_int_equal(next(f), 0);
    unmake(f);
}

static void the_turn_goes_to_the_tenant_who_was_given_least(void **state)
{
    (void)state;
    struct fixture f = make(3, 0, 0);
    for (uint32_t i = 0; i < 3; i++) {
        load(f, i, 1);
        tw_arbiter_ask(f.arbiter, i, true);
    }
    run(f, 0, 0, 2);
    run(f, 1, 1, 2);
    run(f, 2, 2, 2); /* idle */
    tw_fair_share_charge(f.share, 0, 10);
    tw_fair_share_charge(f.share, 1, 30); /* 15 at its weight */
    assert_int_equal(next(f), 0);
    tw_fair_share_charge(f.share, 0, 10);
    tw_arbiter_end(f.arbiter, 0, 1);
    assert_int_equal(next(f), 1);
    tw_arbiter_end(f.arbiter, 1, 1);
    /* One that can do nothing does not count, and the idle come last. */
    tw_arbiter_pause(f.arbiter, 1, 1);
    tw_arbiter_ask(f.arbiter, 1, false);
    assert_int_equal(next(f), 0);
    tw_arbiter_end(f.arbiter, 0, 1);
    tw_arbiter_ask(f.arbiter, 0, false);
    assert_int_equal(next(f), 2);
    tw_arbiter_end(f.arbiter, 2, 1);
    tw_arbiter_resume(f.arbiter, 1, 1);
    tw_arbiter_ask(f.arbiter, 1, true);
    assert_int_equal(next(f), 1);
    unmake(f);
}

static void two_models_of_one_tenant_share_its_time(void **state)
{
    (void)state;
    struct fixture f = make(2, 0, 0);
    int64_t spent[2] = {0, 0};
    for (uint32_t i = 0; i < 2; i++) {
        load(f, i, 1);
        run(f, i, 0, 2);
        tw_arbiter_ask(f.arbiter, i, true);
    }
    for (int i = 0; i < 1000; i++) {
        const int model = next(f);
        const int64_t step_ns = model == 0 ? 7 : 20;
        spent[model] += step_ns;
        tw_fair_share_charge(f.share, 0, 3);
        tw_arbiter_end(f.arbiter, (uint32_t)model, step_ns);
        assert_in_range(spent[0] - spent[1] + 20, 0, 40);
    }
    unmake(f);
}

static void a_model_that_is_loaded_takes_every_second_turn(void **state)
{
    (void)state;
    struct fixture f = make(3, 0, 0);
    int n_turns = 0;
    for (uint32_t i = 0; i < 2; i++) {
        load(f, i, 1);
        run(f, i, 0, 2);
        tw_arbiter_ask(f.arbiter, i, true);
    }
    assert_true(tw_arbiter_arrive(f.arbiter, 2, 1, 3));
    assert_int_equal(move(f, 3), 2);
    tw_arbiter_ask(f.arbiter, 2, true);
    for (int i = 0; i < 100; i++) {
        const int model = next(f);
        n_turns += model == 2;
        tw_arbiter_end(f.arbiter, (uint32_t)model, 1);
    }
    assert_int_equal(n_turns, 50);
    tw_arbiter_ask(f.arbiter, 0, false);
    tw_arbiter_ask(f.arbiter, 1, false);
    assert_int_equal(next(f), 2);
    unmake(f);
}

static void nobody_is_passed_for_ever(void **state)
{
    (void)state;
    struct fixture f = make(2, 0, 0);
    int n_passed = 0, n_turns = 0;
    for (uint32_t i = 0; i < 2; i++) {
        load(f, i, 1);
        tw_arbiter_ask(f.arbiter, i, true);
    }
    run(f, 0, 1, 2);
    run(f, 1, 2, 2); /* idle, beside one that is not */
    for (int i = 0; i < 1000; i++) {
        const int model = next(f);
        n_passed = model == 1 ? 0 : n_passed + 1;
        n_turns += model == 1;
        assert_true(n_passed <= TW_ARBITER_TURNS);
        tw_arbiter_end(f.arbiter, (uint32_t)model, 1);
    }
    assert_in_range(n_turns, 1000 / (TW_ARBITER_TURNS + 1), 1000 / TW_ARBITER_TURNS + 1);
    unmake(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_that_alone_is_too_large_is_refused),
        cmocka_unit_test(who_waits_longest_is_loaded_first_and_one_at_a_time),
        cmocka_unit_test(the_least_recently_used_makes_room),
        cmocka_unit_test(caches_have_a_bound_of_their_own),
        cmocka_unit_test(what_runs_is_ended_and_what_arrives_waits_once_patience_is_over),
        cmocka_unit_test(nobody_closes_for_somebody_who_left),
        cmocka_unit_test(a_load_that_failed_is_tried_again_for_who_still_waits),
        cmocka_unit_test(one_model_has_the_turn_and_keeps_it_to_its_end),
        cmocka_unit_test(the_turn_goes_to_the_tenant_who_was_given_least),
        cmocka_unit_test(two_models_of_one_tenant_share_its_time),
        cmocka_unit_test(a_model_that_is_loaded_takes_every_second_turn),
        cmocka_unit_test(nobody_is_passed_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
