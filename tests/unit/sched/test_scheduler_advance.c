#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "sched/scheduler.h"

enum { PAGE_TOKENS = 4, N_TEXTS = 400, N_TENANTS = 3 };

/* A scheduler and the texts that are in it; two of them live through the same. */
struct world {
    struct tw_fair_share *share;
    struct tw_scheduler *scheduler;
    struct tw_sched_sequence *texts[N_TEXTS]; /* NULL: not yet, or gone */
    uint64_t n_advanced;
};

static struct world set_up(uint32_t n_pages, uint32_t max_rows)
{
    struct world w = {.n_advanced = 0};
    struct tw_scheduler_config config = tw_scheduler_defaults();
    config.n_pages = n_pages;
    config.page_tokens = PAGE_TOKENS;
    config.max_rows = max_rows;
    assert_int_equal(tw_fair_share_create(&w.share, NULL), TW_OK);
    for (uint32_t t = 0; t < N_TENANTS; t++) {
        assert_int_equal(tw_fair_share_set(w.share, t, 1 + 2 * t, TW_CLASS_NORMAL, NULL), TW_OK);
    }
    assert_int_equal(tw_scheduler_create(&config, w.share, &w.scheduler, NULL), TW_OK);
    return w;
}

static void tear_down(struct world *w)
{
    tw_scheduler_free(w->scheduler);
    tw_fair_share_free(w->share);
}

static uint32_t draw(uint32_t i, uint32_t what, uint32_t n)
{
    return (uint32_t)(tw_rng_uniform(what, i) * n);
}

/* Text i: every other one has tokens, of a few beginnings. */
static void submit(struct world *w, uint32_t i, uint32_t n_tenants)
{
    int32_t tokens[64];
    const uint32_t n = 1 + draw(i, 1, 60);
    for (uint32_t k = 0; k < n; k++) {
        tokens[k] = k < 24 ? (int32_t)draw(i, 2, 3) : (int32_t)i;
    }
    const struct tw_sched_request request = {
        .tenant = draw(i, 3, n_tenants),
        .tokens = i % 2 == 0 ? tokens : NULL,
        .n_tokens = n,
        .n_tokens_most = n + 1 + draw(i, 4, 90),
        .owner = (void *)(uintptr_t)i,
        .filler = -1 - (int32_t)i,
    };
    assert_int_equal(tw_scheduler_submit(w->scheduler, &request, &w->texts[i], NULL), TW_OK);
}

static uint32_t n_most_of(uint32_t i)
{
    return 1 + draw(i, 1, 60) + 1 + draw(i, 4, 90);
}

static void step(struct world *w)
{
    struct tw_step_row rows[64];
    const struct tw_step planned = tw_scheduler_plan(w->scheduler, 32);
    if (planned.n_rows == 0) {
        return;
    }
    memcpy(rows, planned.rows, planned.n_rows * sizeof *rows);
    tw_scheduler_commit(w->scheduler);
    for (uint32_t r = 0; r < planned.n_rows; r++) {
        const struct tw_sched_state state = tw_scheduler_state(rows[r].sequence);
        const uint32_t i = (uint32_t)(uintptr_t)state.owner;
        if (rows[r].wants_token && state.n_tokens + 1 == n_most_of(i)) {
            tw_scheduler_end(w->scheduler, rows[r].sequence);
            w->texts[i] = NULL;
        } else if (rows[r].wants_token) {
            assert_int_equal(
                tw_scheduler_push(w->scheduler, rows[r].sequence, -1 - (int32_t)i, NULL), TW_OK);
        }
    }
}

/* Answers that a stretch completed. */
static uint32_t end_complete(struct world *w)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < N_TEXTS; i++) {
        if (w->texts[i] != NULL && tw_scheduler_state(w->texts[i]).owes_token) {
            assert_int_equal(tw_scheduler_state(w->texts[i]).n_tokens + 1, n_most_of(i));
            tw_scheduler_end(w->scheduler, w->texts[i]);
            w->texts[i] = NULL;
            n++;
        }
    }
    return n;
}

static void compare(const struct world *a, const struct world *b)
{
    const struct tw_scheduler_usage x = tw_scheduler_usage(a->scheduler);
    const struct tw_scheduler_usage y = tw_scheduler_usage(b->scheduler);
    assert_memory_equal(&x, &y, sizeof x);
    for (uint32_t t = 0; t < N_TENANTS; t++) {
        assert_int_equal(tw_fair_share_counter(a->share, t), tw_fair_share_counter(b->share, t));
    }
    for (uint32_t i = 0; i < N_TEXTS; i++) {
        assert_int_equal(a->texts[i] == NULL, b->texts[i] == NULL);
        if (a->texts[i] != NULL) {
            const struct tw_sched_state s = tw_scheduler_state(a->texts[i]);
            const struct tw_sched_state t = tw_scheduler_state(b->texts[i]);
            assert_int_equal(s.n_tokens, t.n_tokens);
            assert_int_equal(s.n_computed, t.n_computed);
            assert_int_equal(s.resident, t.resident);
            assert_int_equal(s.n_preemptions, t.n_preemptions);
        }
    }
    assert_true(tw_scheduler_check(a->scheduler));
}

static void live(uint32_t n_pages, uint32_t max_rows, uint32_t n_tenants, uint32_t every,
                 uint64_t *ret_advanced, uint64_t *ret_preemptions)
{
    struct world a = set_up(n_pages, max_rows), b = set_up(n_pages, max_rows);
    uint32_t n_texts = 0, n_ended = 0;
    for (uint32_t round = 0; n_texts < N_TEXTS || tw_scheduler_usage(a.scheduler).n_resident > 0;
         round++) {
        if (n_texts < N_TEXTS && round % every == 0) {
            submit(&a, n_texts, n_tenants);
            submit(&b, n_texts++, n_tenants);
        }
        const uint32_t n = tw_scheduler_steady_steps(a.scheduler, 1 + draw(round, 5, 40));
        if (n > 0) {
            assert_int_equal(tw_scheduler_advance(a.scheduler, n, NULL), TW_OK);
            a.n_advanced += n;
            n_ended += end_complete(&a);
            for (uint32_t i = 0; i < n; i++) {
                step(&b);
            }
        } else {
            step(&a);
            step(&b);
        }
        compare(&a, &b);
        assert_in_range(round, 0, 100000);
    }
    assert_true(n_ended > 20); /* in stretches */
    *ret_advanced = a.n_advanced;
    *ret_preemptions = tw_scheduler_usage(a.scheduler).n_preemptions;
    tear_down(&a);
    tear_down(&b);
}

static void many_steps_at_once_leave_what_they_would_one_by_one(void **state)
{
    (void)state;
    uint64_t n_advanced, n_preemptions;
    live(2000, 16, 1, 5, &n_advanced, &n_preemptions); /* room for all */
    assert_true(n_advanced > 500);
    live(2000, 16, N_TENANTS, 12, &n_advanced, &n_preemptions);
    assert_true(n_advanced > 500);
    live(60, 16, 1, 1, &n_advanced, &n_preemptions); /* pages are short */
    assert_true(n_advanced > 100 && n_preemptions > 0);
    live(90, 4, N_TENANTS, 20, &n_advanced, &n_preemptions);
    assert_true(n_advanced > 100);
}

static void who_reads_or_might_come_in_ends_a_stretch(void **state)
{
    (void)state;
    struct world w = set_up(100, 2);
    assert_int_equal(tw_scheduler_steady_steps(w.scheduler, 100), 0); /* nobody there */
    const struct tw_sched_request request = {.n_tokens = 40, .n_tokens_most = 60};
    struct tw_sched_sequence *one, *two;
    assert_int_equal(tw_scheduler_submit(w.scheduler, &request, &one, NULL), TW_OK);
    assert_int_equal(tw_scheduler_steady_steps(w.scheduler, 100), 0); /* waits */
    for (int i = 0; i < 2; i++) { /* 32 of the 40 tokens, then the rest */
        const struct tw_step planned = tw_scheduler_plan(w.scheduler, 32);
        assert_int_equal(planned.n_rows, 1);
        const bool wants = planned.rows[0].wants_token;
        tw_scheduler_commit(w.scheduler);
        if (wants) {
            assert_int_equal(tw_scheduler_push(w.scheduler, one, 1, NULL), TW_OK);
        } else {
            assert_int_equal(tw_scheduler_steady_steps(w.scheduler, 100), 0); /* reads */
        }
    }
    /* 41 of 60 tokens: the last step gives the 60th, which is not pushed. */
    assert_int_equal(tw_scheduler_steady_steps(w.scheduler, 100), 19);
    assert_int_equal(tw_scheduler_steady_steps(w.scheduler, 5), 5);
    assert_int_equal(tw_scheduler_submit(w.scheduler, &request, &two, NULL), TW_OK);
    assert_int_equal(tw_scheduler_steady_steps(w.scheduler, 100), 0); /* might come in */
    tw_scheduler_end(w.scheduler, two);
    tw_scheduler_pause(w.scheduler, one);
    assert_int_equal(tw_scheduler_steady_steps(w.scheduler, 100), 0);
    tw_scheduler_resume(w.scheduler, one);
    tw_scheduler_end(w.scheduler, one);
    tear_down(&w);
}

/* While others have rows, those of IDLE tenants have none: what stands still is no stretch. */
static void idle_texts_beside_others_end_a_stretch(void **state)
{
    (void)state;
    struct world w = set_up(100, 4);
    assert_int_equal(tw_fair_share_set(w.share, 2, 1, TW_CLASS_IDLE, NULL), TW_OK);
    struct tw_sched_sequence *texts[2];
    for (uint32_t i = 0; i < 2; i++) { /* the IDLE one first, so that both are resident */
        const struct tw_sched_request request = {
            .tenant = 2 - i, .n_tokens = 4, .n_tokens_most = 20};
        assert_int_equal(tw_scheduler_submit(w.scheduler, &request, &texts[i], NULL), TW_OK);
        assert_int_equal(tw_scheduler_plan(w.scheduler, 32).n_rows, 1);
        tw_scheduler_commit(w.scheduler);
        assert_int_equal(tw_scheduler_push(w.scheduler, texts[i], 1, NULL), TW_OK);
        assert_int_equal(tw_scheduler_steady_steps(w.scheduler, 100), i == 0 ? 15 : 0);
    }
    tear_down(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_steps_at_once_leave_what_they_would_one_by_one),
        cmocka_unit_test(who_reads_or_might_come_in_ends_a_stretch),
        cmocka_unit_test(idle_texts_beside_others_end_a_stretch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
