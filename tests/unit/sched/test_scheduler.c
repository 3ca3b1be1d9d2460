#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "sched/scheduler.h"

enum { PAGE_TOKENS = 4, N_TOKENS_MOST = 4096 };

struct fixture {
    struct tw_fair_share *share;
    struct tw_scheduler *scheduler;
    uint64_t n_rows_of[8]; /* by tenant */
    uint64_t n_tokens_of[8];
    uint32_t n_prefill; /* tokens of the last step in rows of more than one */
};

static struct fixture set_up(uint32_t n_pages, uint32_t max_rows)
{
    struct fixture f = {.n_prefill = 0};
    struct tw_scheduler_config config = tw_scheduler_defaults();
    config.n_pages = n_pages;
    config.page_tokens = PAGE_TOKENS;
    config.max_rows = max_rows;
    config.max_waiting = 200;
    config.most_decoded = 6;
    config.slack = 64;
    assert_int_equal(tw_fair_share_create(&f.share, NULL), TW_OK);
    for (uint32_t tenant = 0; tenant < 8; tenant++) {
        assert_int_equal(tw_fair_share_set(f.share, tenant, 1, TW_CLASS_NORMAL, NULL), TW_OK);
    }
    assert_int_equal(tw_scheduler_create(&config, f.share, &f.scheduler, NULL), TW_OK);
    return f;
}

static void tear_down(struct fixture *f)
{
    assert_true(tw_scheduler_check(f->scheduler));
    tw_scheduler_free(f->scheduler);
    tw_fair_share_free(f->share);
}

/* Tokens of a text by kind: texts of one kind begin alike. */
static struct tw_sched_sequence *submit_in(struct fixture *f, uint32_t tenant, uint32_t domain,
                                           int32_t kind, uint32_t n_tokens, uint32_t n_answer)
{
    static int32_t tokens[N_TOKENS_MOST];
    for (uint32_t i = 0; i < n_tokens; i++) {
        tokens[i] = kind * N_TOKENS_MOST + (int32_t)i;
    }
    const struct tw_sched_request request = {
        .tenant = tenant,
        .domain = domain,
        .tokens = tokens,
        .n_tokens = n_tokens,
        .n_tokens_most = n_tokens + n_answer,
        .owner = (void *)(uintptr_t)tenant,
    };
    struct tw_sched_sequence *sequence = NULL;
    assert_int_equal(tw_scheduler_submit(f->scheduler, &request, &sequence, NULL), TW_OK);
    return sequence;
}

static struct tw_sched_sequence *submit(struct fixture *f, uint32_t tenant, int32_t kind,
                                        uint32_t n_tokens, uint32_t n_answer)
{
    return submit_in(f, tenant, tenant, kind, n_tokens, n_answer);
}

/* A step; answers are token 5 until they have their length, and are then ended. */
static struct tw_step step(struct fixture *f, uint32_t budget)
{
    struct tw_step planned = tw_scheduler_plan(f->scheduler, budget);
    static struct tw_step_row rows[64];
    assert_in_range(planned.n_rows, 0, 64);
    if (planned.n_rows == 0) {
        return planned;
    }
    memcpy(rows, planned.rows, planned.n_rows * sizeof *rows);
    tw_scheduler_commit(f->scheduler);
    f->n_prefill = 0;
    for (uint32_t i = 0; i < planned.n_rows; i++) {
        struct tw_sched_state state = tw_scheduler_state(rows[i].sequence);
        uintptr_t tenant = (uintptr_t)state.owner;
        f->n_rows_of[tenant]++;
        f->n_tokens_of[tenant] += rows[i].n_tokens;
        f->n_prefill += rows[i].n_tokens > 1 ? rows[i].n_tokens : 0;
        if (!rows[i].wants_token) {
            continue;
        }
        assert_int_equal(tw_scheduler_push(f->scheduler, rows[i].sequence, 5, NULL), TW_OK);
    }
    return planned;
}

/* Steps until the sequence has n tokens; it must not end by then. How many it took. */
static int steps_until(struct fixture *f, const struct tw_sched_sequence *sequence, uint32_t n,
                       uint32_t budget)
{
    int n_steps = 0;
    while (tw_scheduler_state(sequence).n_tokens < n) {
        assert_true(step(f, budget).n_rows > 0);
        assert_in_range(++n_steps, 0, 100000);
    }
    return n_steps;
}

static void requests_with_one_prompt_compute_it_once(void **state)
{
    (void)state;
    struct fixture f = set_up(64, 8);
    struct tw_sched_sequence *sequences[8];
    for (int i = 0; i < 8; i++) {
        sequences[i] = submit_in(&f, (uint32_t)i, 0, 1, 42, 10);
    }
    for (int i = 0; i < 8; i++) {
        steps_until(&f, sequences[i], 43, 16);
    }
    /* Ten whole pages once; the last two tokens each for itself, and some tokens of answers. */
    struct tw_scheduler_usage usage = tw_scheduler_usage(f.scheduler);
    assert_int_equal(usage.n_prompt_tokens, 8 * 42);
    assert_int_equal(usage.n_cached_tokens, 7 * 40);
    assert_in_range(usage.n_computed_tokens, 40 + 8 * 2, 40 + 8 * 2 + 8 * 3);
    for (int i = 0; i < 8; i++) {
        tw_scheduler_end(f.scheduler, sequences[i]);
    }
    tear_down(&f);
}

/* What is computed is known at every step, and a preemption takes none of it back. */
static void of_a_prompt_it_is_known_how_far_it_was_read(void **state)
{
    (void)state;
    struct fixture f = set_up(12, 4);
    struct tw_sched_sequence *first = submit_in(&f, 0, 0, 1, 30, 4);
    assert_int_equal(tw_scheduler_state(first).n_read_tokens, 0);
    for (uint32_t n = 10; n <= 20; n += 10) {
        step(&f, 10);
        assert_int_equal(tw_scheduler_state(first).n_read_tokens, n);
        assert_int_equal(tw_scheduler_state(first).n_cached_tokens, 0);
    }
    tw_scheduler_pause(f.scheduler, first);
    struct tw_sched_sequence *other = submit_in(&f, 1, 1, 2, 40, 4);
    step(&f, 10);
    assert_int_equal(tw_scheduler_state(first).n_preemptions, 1);
    assert_int_equal(tw_scheduler_state(first).n_computed, 0);
    assert_int_equal(tw_scheduler_state(first).n_read_tokens, 20);
    tw_scheduler_end(f.scheduler, other);
    tw_scheduler_resume(f.scheduler, first);
    steps_until(&f, first, 32, 10);
    assert_int_equal(tw_scheduler_state(first).n_read_tokens, 30);
    struct tw_sched_sequence *second = submit_in(&f, 0, 0, 1, 30, 4);
    step(&f, 1);
    assert_int_equal(tw_scheduler_state(second).n_cached_tokens, 28);
    assert_int_equal(tw_scheduler_state(second).n_read_tokens, 29);
    tear_down(&f);
}

static void a_conversation_goes_on_from_its_cached_answer(void **state)
{
    (void)state;
    struct fixture f = set_up(64, 4);
    struct tw_sched_sequence *first = submit(&f, 0, 1, 10, 30);
    steps_until(&f, first, 30, 64);
    int32_t tokens[34];
    memcpy(tokens, tw_scheduler_state(first).tokens, 30 * sizeof *tokens);
    tw_scheduler_end(f.scheduler, first);
    for (int i = 30; i < 34; i++) {
        tokens[i] = 77;
    }
    const struct tw_sched_request request = {
        .tenant = 0, .domain = 0, .tokens = tokens, .n_tokens = 34, .n_tokens_most = 40};
    struct tw_sched_sequence *second;
    assert_int_equal(tw_scheduler_submit(f.scheduler, &request, &second, NULL), TW_OK);
    struct tw_step planned = tw_scheduler_plan(f.scheduler, 64);
    assert_int_equal(planned.rows[0].first_position, 28); /* seven pages of four */
    assert_int_equal(planned.n_tokens, 6);
    tw_scheduler_commit(f.scheduler);
    assert_int_equal(tw_scheduler_state(second).n_cached_tokens, 28);
    tw_scheduler_end(f.scheduler, second);
    tear_down(&f);
}

static void results_of_a_whole_prompt_are_computed_for_it_and_then_shared(void **state)
{
    (void)state;
    struct fixture f = set_up(64, 4);
    struct tw_sched_sequence *first = submit(&f, 0, 1, 30, 10);
    steps_until(&f, first, 31, 64);
    tw_scheduler_pause(f.scheduler, first);
    const struct tw_sched_request request = {.tokens = tw_scheduler_state(first).tokens,
                                             .n_tokens = 30,
                                             .n_tokens_most = 31,
                                             .wants_all = true};
    struct tw_sched_sequence *second;
    assert_int_equal(tw_scheduler_submit(f.scheduler, &request, &second, NULL), TW_OK);
    uint32_t n_outputs = 0;
    for (uint32_t n = 0; n < 30;) {
        struct tw_step planned = tw_scheduler_plan(f.scheduler, 7);
        for (uint32_t i = 0; i < planned.n_rows; i++) {
            const struct tw_step_row row = planned.rows[i];
            if (row.sequence == second) {
                assert_int_equal(row.first_position, n);
                assert_int_equal(row.n_outputs, row.n_tokens);
                n += row.n_tokens;
                n_outputs += row.n_outputs;
            }
        }
        tw_scheduler_commit(f.scheduler);
    }
    assert_int_equal(n_outputs, 30);
    tw_scheduler_end(f.scheduler, second);
    tear_down(&f);
}

static void a_domain_does_not_see_the_other(void **state)
{
    (void)state;
    struct fixture f = set_up(64, 4);
    struct tw_sched_sequence *first = submit_in(&f, 0, 1, 1, 21, 20);
    steps_until(&f, first, 22, 64);
    struct tw_sched_sequence *other = submit_in(&f, 1, 2, 1, 21, 20);
    struct tw_sched_sequence *same = submit_in(&f, 1, 1, 1, 21, 20);
    steps_until(&f, other, 22, 64);
    steps_until(&f, same, 22, 64);
    assert_int_equal(tw_scheduler_state(other).n_cached_tokens, 0);
    assert_int_equal(tw_scheduler_state(same).n_cached_tokens, 20);
    tear_down(&f);
}

static void what_does_not_fit_is_refused_with_both_numbers(void **state)
{
    (void)state;
    struct fixture f = set_up(4, 2);
    struct tw_error error;
    struct tw_sched_sequence *sequence = NULL;
    const int32_t tokens[1] = {1};
    struct tw_sched_request request = {.tokens = tokens, .n_tokens = 1, .n_tokens_most = 18};
    assert_int_equal(tw_scheduler_submit(f.scheduler, &request, &sequence, &error), TW_ERR_LIMIT);
    assert_non_null(strstr(error.text, "18 tokens"));
    assert_non_null(strstr(error.text, "room for 16"));
    request.n_tokens_most = 17;
    for (int i = 0; i < 200; i++) {
        assert_int_equal(tw_scheduler_submit(f.scheduler, &request, &sequence, &error), TW_OK);
    }
    assert_int_equal(tw_scheduler_submit(f.scheduler, &request, &sequence, &error), TW_ERR_LIMIT);
    assert_non_null(strstr(error.text, "200 requests"));
    tear_down(&f);
}

/* Both always have something to do: rows by weight. */
static void rows_go_by_weight_when_there_are_too_few(void **state)
{
    (void)state;
    struct fixture f = set_up(4096, 4);
    assert_int_equal(tw_fair_share_set(f.share, 1, 3, TW_CLASS_NORMAL, NULL), TW_OK);
    for (int i = 0; i < 8; i++) {
        submit(&f, 0, i, 2, 4000 - 2);
        submit(&f, 1, 10 + i, 2, 4000 - 2);
    }
    for (int i = 0; i < 1500; i++) {
        step(&f, 64);
    }
    double ratio = (double)f.n_tokens_of[1] / (double)f.n_tokens_of[0];
    assert_true(ratio > 2.8 && ratio < 3.2);
    tear_down(&f);
}

static void a_flood_of_one_tenant_does_not_hold_up_another(void **state)
{
    (void)state;
    struct fixture f = set_up(1024, 4);
    for (int i = 0; i < 150; i++) {
        submit(&f, 0, i, 20, 1000);
    }
    for (int i = 0; i < 300; i++) {
        step(&f, 32);
    }
    struct tw_sched_sequence *small = submit(&f, 1, 500, 20, 14);
    /* Its counter is lifted to the flood's, so it waits for the slack (64 tokens at weight 1, two
     * a token and row: some ten steps) and then has a row in nearly each. */
    assert_in_range(steps_until(&f, small, 32, 32), 12, 60);
    tw_scheduler_end(f.scheduler, small);
    tear_down(&f);
}

static void a_big_prompt_gets_its_pages_beside_a_stream_of_small_ones(void **state)
{
    (void)state;
    struct fixture f = set_up(64, 4);
    struct tw_sched_sequence *small[4];
    for (int i = 0; i < 4; i++) {
        small[i] = submit(&f, 0, i, 8, 62);
    }
    steps_until(&f, small[3], 10, 64);
    struct tw_sched_sequence *big = submit(&f, 1, 50, 200, 20);
    int n_steps = 0;
    while (tw_scheduler_state(big).n_tokens < 210) {
        step(&f, 64);
        assert_in_range(++n_steps, 0, 400);
        for (int i = 0; i < 4; i++) {
            if (tw_scheduler_state(small[i]).n_tokens == 66) {
                tw_scheduler_end(f.scheduler, small[i]);
                small[i] = submit(&f, 0, n_steps * 4 + i, 8, 62);
            }
        }
    }
    tear_down(&f);
}

static void high_is_served_first_and_idle_last(void **state)
{
    (void)state;
    struct fixture f = set_up(4096, 2);
    assert_int_equal(tw_fair_share_set(f.share, 0, 1, TW_CLASS_IDLE, NULL), TW_OK);
    assert_int_equal(tw_fair_share_set(f.share, 2, 1, TW_CLASS_HIGH, NULL), TW_OK);
    for (int i = 0; i < 4; i++) {
        submit(&f, 0, i, 4, 3000);
    }
    for (int i = 0; i < 50; i++) {
        step(&f, 64);
    }
    assert_int_equal(f.n_rows_of[0], 100); /* alone it has all */
    for (int i = 0; i < 3; i++) {
        submit(&f, 1, 10 + i, 4, 3000);
        submit(&f, 2, 20 + i, 4, 3000);
    }
    for (int i = 0; i < 400; i++) {
        step(&f, 64);
    }
    assert_int_equal(f.n_rows_of[0], 100);
    double ratio = (double)f.n_rows_of[2] / (double)f.n_rows_of[1];
    assert_true(ratio > 8 && ratio < 24);
    tear_down(&f);
}

static void who_is_idle_is_held_for_others_that_are_on_the_way(void **state)
{
    (void)state;
    struct fixture f = set_up(64, 4);
    assert_int_equal(tw_fair_share_set(f.share, 0, 1, TW_CLASS_IDLE, NULL), TW_OK);
    submit(&f, 0, 1, 8, 40);
    assert_int_equal(step(&f, 64).n_rows, 1);
    tw_scheduler_hold_idle(f.scheduler, true);
    submit(&f, 0, 2, 8, 40);
    assert_int_equal(tw_scheduler_plan(f.scheduler, 64).n_rows, 0);
    assert_int_equal(tw_scheduler_usage(f.scheduler).n_waiting, 1);
    submit(&f, 1, 3, 8, 40);
    struct tw_step planned = tw_scheduler_plan(f.scheduler, 64);
    assert_int_equal(planned.n_rows, 1);
    assert_false(planned.is_idle);
    tw_scheduler_abandon(f.scheduler);
    tw_scheduler_hold_idle(f.scheduler, false);
    struct tw_sched_sequence *client = NULL;
    planned = tw_scheduler_plan(f.scheduler, 64);
    client = planned.rows[0].sequence;
    assert_int_equal(tw_scheduler_state(client).owner, 1);
    tw_scheduler_abandon(f.scheduler);
    tw_scheduler_end(f.scheduler, client);
    planned = tw_scheduler_plan(f.scheduler, 64);
    assert_int_equal(planned.n_rows, 2);
    assert_true(planned.is_idle);
    tw_scheduler_abandon(f.scheduler);
    tear_down(&f);
}

static void who_is_idle_gives_its_pages_to_others_at_once(void **state)
{
    (void)state;
    struct fixture f = set_up(16, 4);
    assert_int_equal(tw_fair_share_set(f.share, 0, 1, TW_CLASS_IDLE, NULL), TW_OK);
    for (int i = 0; i < 4; i++) {
        submit(&f, 0, i, 9, 20);
    }
    for (int i = 0; tw_scheduler_usage(f.scheduler).n_free_pages > 0; i++) {
        step(&f, 64);
        assert_in_range(i, 0, 20);
    }
    assert_int_equal(tw_scheduler_usage(f.scheduler).n_cached_pages, 0);
    struct tw_sched_sequence *client = submit(&f, 1, 9, 40, 20);
    const struct tw_step planned = step(&f, 64);
    assert_int_equal(planned.n_rows, 1);
    assert_int_equal(tw_scheduler_state(client).n_tokens, 41);
    assert_true(tw_scheduler_usage(f.scheduler).n_preemptions > 0);
    steps_until(&f, client, 48, 64);
    assert_int_equal(tw_scheduler_state(client).n_preemptions, 0);
    tear_down(&f);
}

/* A client's prompt is found again however much of IDLE ones came between. */
static void what_idle_ones_leave_is_evicted_first(void **state)
{
    (void)state;
    struct fixture f = set_up(24, 4);
    assert_int_equal(tw_fair_share_set(f.share, 0, 1, TW_CLASS_IDLE, NULL), TW_OK);
    struct tw_sched_sequence *client = submit(&f, 1, 1, 40, 4);
    steps_until(&f, client, 41, 64);
    tw_scheduler_end(f.scheduler, client);
    for (int i = 0; i < 20; i++) {
        struct tw_sched_sequence *line = submit(&f, 0, 10 + i, 40, 4);
        steps_until(&f, line, 41, 64);
        tw_scheduler_end(f.scheduler, line);
    }
    client = submit(&f, 1, 1, 40, 4);
    steps_until(&f, client, 41, 64);
    assert_in_range(tw_scheduler_state(client).n_cached_tokens, 36, 39);
    tear_down(&f);
}

static void a_paused_sequence_keeps_its_pages_and_has_no_row(void **state)
{
    (void)state;
    struct fixture f = set_up(16, 1);
    struct tw_sched_sequence *slow = submit(&f, 0, 1, 8, 20);
    struct tw_sched_sequence *quick = submit(&f, 1, 2, 8, 20);
    steps_until(&f, slow, 10, 64);
    tw_scheduler_pause(f.scheduler, slow);
    tw_scheduler_pause(f.scheduler, slow);
    steps_until(&f, quick, 20, 64);
    struct tw_sched_state paused = tw_scheduler_state(slow);
    assert_int_equal(paused.n_tokens, 10);
    assert_int_equal(paused.n_computed, 9);
    assert_true(paused.resident && paused.paused);
    tw_scheduler_end(f.scheduler, quick);
    assert_int_equal(step(&f, 64).n_rows, 0);
    tw_scheduler_resume(f.scheduler, slow);
    assert_int_equal(steps_until(&f, slow, 12, 64), 2);
    tear_down(&f);
}

static void who_is_preempted_goes_on_and_pays_nothing_again(void **state)
{
    (void)state;
    struct fixture f = set_up(12, 4);
    struct tw_sched_sequence *one = submit(&f, 0, 1, 8, 38);
    struct tw_sched_sequence *two = submit(&f, 1, 2, 8, 38);
    bool ended[2] = {false, false};
    for (int i = 0; i < 400 && !(ended[0] && ended[1]); i++) {
        step(&f, 64);
        struct tw_sched_sequence *both[2] = {one, two};
        for (int k = 0; k < 2; k++) {
            if (!ended[k] && tw_scheduler_state(both[k]).n_tokens == 44) {
                tw_scheduler_end(f.scheduler, both[k]);
                ended[k] = true;
            }
        }
    }
    assert_true(ended[0] && ended[1]);
    assert_true(tw_scheduler_usage(f.scheduler).n_preemptions > 0);
    assert_true(tw_scheduler_usage(f.scheduler).n_computed_tokens > 2 * 43);
    /* Eight of the prompt at 1, 35 of the answer at 2: the last token is never computed. */
    for (uint32_t tenant = 0; tenant < 2; tenant++) {
        assert_int_equal(tw_fair_share_counter(f.share, tenant), 78 * TW_FAIR_SHARE_SCALE);
    }
    tear_down(&f);
}

static void the_prompts_of_a_step_stay_within_the_budget(void **state)
{
    (void)state;
    struct fixture f = set_up(256, 8);
    struct tw_sched_sequence *decoding = submit(&f, 0, 9, 2, 50);
    steps_until(&f, decoding, 3, 64);
    for (int i = 0; i < 4; i++) {
        submit(&f, 1, i, 100, 60);
    }
    for (int i = 0; i < 20; i++) {
        uint32_t n_tokens = step(&f, 16).n_tokens;
        assert_in_range(f.n_prefill, 12, 16);
        assert_in_range(n_tokens - f.n_prefill, 1, 5); /* single tokens, one a sequence */
    }
    tear_down(&f);
}

static void of_one_tenant_the_least_priority_number_comes_first(void **state)
{
    (void)state;
    struct fixture f = set_up(256, 1);
    const int32_t tokens[2] = {1, 2};
    struct tw_sched_request request = {.tokens = tokens, .n_tokens = 2, .n_tokens_most = 6};
    struct tw_sched_sequence *sequences[3];
    const int32_t priorities[3] = {0, 5, -5};
    for (int i = 0; i < 3; i++) {
        request.priority = priorities[i];
        request.domain = (uint32_t)i;
        assert_int_equal(tw_scheduler_submit(f.scheduler, &request, &sequences[i], NULL), TW_OK);
    }
    steps_until(&f, sequences[2], 3, 64);
    assert_int_equal(tw_scheduler_state(sequences[0]).n_tokens, 2);
    tw_scheduler_end(f.scheduler, sequences[2]);
    steps_until(&f, sequences[0], 3, 64);
    assert_int_equal(tw_scheduler_state(sequences[1]).n_tokens, 2);
    tear_down(&f);
}

static void borrowed_pages_are_nobody_elses(void **state)
{
    (void)state;
    struct fixture f = set_up(8, 2);
    uint32_t pages[8];
    struct tw_sched_sequence *first = submit(&f, 0, 1, 9, 5);
    steps_until(&f, first, 10, 64);
    assert_false(tw_scheduler_borrow(f.scheduler, 6, pages));
    assert_true(tw_scheduler_borrow(f.scheduler, 5, pages));
    assert_true(tw_scheduler_check(f.scheduler));
    struct tw_sched_sequence *second = submit(&f, 1, 2, 9, 5);
    step(&f, 64);
    assert_false(tw_scheduler_state(second).resident);
    tw_scheduler_end(f.scheduler, first);
    tw_scheduler_give_back(f.scheduler, 5, pages);
    steps_until(&f, second, 10, 64);
    tear_down(&f);
}

static void an_abandoned_step_is_planned_again_as_it_was(void **state)
{
    (void)state;
    struct fixture f = set_up(64, 4);
    for (int i = 0; i < 3; i++) {
        submit_in(&f, (uint32_t)i, 0, 1, 30, 10);
    }
    struct tw_step first = tw_scheduler_plan(f.scheduler, 16);
    struct tw_step_row row = first.rows[0];
    assert_int_equal(first.n_rows, 1); /* the others wait for its pages */
    tw_scheduler_abandon(f.scheduler);
    struct tw_step again = tw_scheduler_plan(f.scheduler, 16);
    assert_int_equal(again.n_rows, 1);
    assert_int_equal(again.n_tokens, first.n_tokens);
    assert_ptr_equal(again.rows[0].sequence, row.sequence);
    assert_int_equal(again.rows[0].first_position, 0);
    tw_scheduler_commit(f.scheduler);
    assert_int_equal(tw_scheduler_usage(f.scheduler).n_steps, 1);
    tear_down(&f);
}

/* ---- drafts ---- */

/* Plans and commits; the row of the one sequence there is. */
static struct tw_step_row one_row(struct fixture *f)
{
    struct tw_step planned = tw_scheduler_plan(f->scheduler, 64);
    assert_int_equal(planned.n_rows, 1);
    assert_int_equal(planned.n_tokens, planned.rows[0].n_tokens);
    struct tw_step_row row = planned.rows[0];
    tw_scheduler_commit(f->scheduler);
    return row;
}

static void push(struct fixture *f, struct tw_sched_sequence *sequence, int32_t token, bool owes)
{
    assert_int_equal(tw_scheduler_push(f->scheduler, sequence, token, NULL), TW_OK);
    struct tw_sched_state state = tw_scheduler_state(sequence);
    assert_int_equal(state.owes_token, owes);
    assert_int_equal(state.n_computed, state.n_tokens - !owes);
}

static void a_draft_is_computed_with_the_text_and_counts_as_far_as_it_is_pushed(void **state)
{
    (void)state;
    static const int32_t draft[] = {7, 8, 9};
    struct fixture f = set_up(16, 4);
    struct tw_sched_sequence *sequence = submit(&f, 0, 1, 8, 40);
    one_row(&f);
    push(&f, sequence, 5, false);
    tw_scheduler_draft(f.scheduler, sequence, draft, 3);
    struct tw_step_row row = one_row(&f);
    assert_int_equal(row.first_position, 8);
    assert_int_equal(row.n_tokens, 4);
    assert_int_equal(row.n_drafted, 3);
    assert_int_equal(row.n_outputs, 4);
    assert_true(row.wants_token);
    push(&f, sequence, 7, true);
    push(&f, sequence, 8, true);
    push(&f, sequence, 6, false); /* not the 9 */
    row = one_row(&f);
    assert_int_equal(row.first_position, 11);
    assert_int_equal(row.n_tokens, 1);
    struct tw_scheduler_usage usage = tw_scheduler_usage(f.scheduler);
    assert_int_equal(usage.n_computed_tokens, 8 + 4 + 1);
    assert_int_equal(usage.n_drafted_tokens, 3);
    assert_int_equal(usage.n_accepted_tokens, 2);
    assert_true(tw_scheduler_check(f.scheduler));
    tear_down(&f);
}

static void a_page_that_a_draft_fills_is_shared_only_when_it_was_pushed(void **state)
{
    (void)state;
    static const int32_t draft[] = {5, 5, 5};
    for (int is_right = 0; is_right < 2; is_right++) {
        struct fixture f = set_up(16, 4);
        struct tw_sched_sequence *sequence = submit(&f, 0, 1, 8, 40);
        one_row(&f);
        push(&f, sequence, 5, false);
        tw_scheduler_draft(f.scheduler, sequence, draft, 3);
        assert_int_equal(one_row(&f).n_tokens, 4); /* the whole third page */
        push(&f, sequence, 5, true);
        push(&f, sequence, 5, true);
        push(&f, sequence, is_right ? 5 : 6, is_right);
        tw_scheduler_end(f.scheduler, sequence);
        assert_int_equal(tw_scheduler_usage(f.scheduler).n_cached_pages, 2 + is_right);
        tear_down(&f);
    }
}

static void a_draft_takes_no_page_and_nothing_behind_the_answers_end(void **state)
{
    (void)state;
    static const int32_t draft[] = {5, 5, 5, 5, 5};
    struct fixture f = set_up(16, 4);
    struct tw_sched_sequence *sequence = submit(&f, 0, 1, 9, 5);
    one_row(&f);
    push(&f, sequence, 5, false); /* ten tokens in three pages: two places are left */
    tw_scheduler_draft(f.scheduler, sequence, draft, 5);
    uint32_t n_free = tw_scheduler_usage(f.scheduler).n_free_pages;
    struct tw_step planned = tw_scheduler_plan(f.scheduler, 64);
    assert_int_equal(planned.rows[0].n_drafted, 2);
    assert_int_equal(tw_scheduler_usage(f.scheduler).n_free_pages, n_free);
    tw_scheduler_abandon(f.scheduler);
    assert_int_equal(one_row(&f).n_drafted, 2);
    push(&f, sequence, 5, true);
    push(&f, sequence, 5, true);
    push(&f, sequence, 5, false); /* thirteen of at most fourteen: the next one is the last */
    tw_scheduler_draft(f.scheduler, sequence, draft, 5);
    assert_int_equal(one_row(&f).n_drafted, 0);
    tw_scheduler_end(f.scheduler, sequence);
    tear_down(&f);
}

static void drafts_have_what_a_step_has_to_spare(void **state)
{
    (void)state;
    static const int32_t draft[] = {5, 5, 5};
    struct fixture f = set_up(64, 8);
    struct tw_sched_sequence *sequences[7];
    for (int32_t n = 0; n < 7; n++) {
        sequences[n] = submit(&f, 0, n, 8, 40);
        step(&f, 64);
        while (tw_scheduler_state(sequences[n]).n_tokens % PAGE_TOKENS != 1) {
            step(&f, 64);
        }
        uint32_t n_drafted = 0, n_tokens = 0;
        for (int i = 0; i <= n; i++) {
            tw_scheduler_draft(f.scheduler, sequences[i], draft, 3);
        }
        struct tw_step planned = tw_scheduler_plan(f.scheduler, 64);
        for (uint32_t i = 0; i < planned.n_rows; i++) {
            n_drafted += planned.rows[i].n_drafted;
            n_tokens += planned.rows[i].n_tokens;
        }
        assert_int_equal(planned.n_tokens, n_tokens);
        assert_int_equal(planned.n_rows, n + 1);
        assert_in_range(n_drafted, n < 5, n < 6 ? 6 - n - 1 : 0);
        tw_scheduler_abandon(f.scheduler);
        for (int i = 0; i <= n; i++) {
            tw_scheduler_draft(f.scheduler, sequences[i], draft, 0);
        }
    }
    tear_down(&f);
}

/* Two tenants, each with an answer of 30 tokens; one row a step, so that they compete. */
static void an_answer_has_one_price_with_and_without_drafts(void **state)
{
    (void)state;
    uint64_t counters[3][2];
    for (int kind = 0; kind < 3; kind++) { /* no drafts, right ones, wrong ones */
        const int32_t draft[] = {kind == 1 ? 5 : 6, 5, 5};
        struct fixture f = set_up(32, 1);
        int n_steps = 0, n_left = 2;
        submit(&f, 0, 1, 8, 31);
        submit(&f, 1, 2, 10, 31);
        for (; n_left > 0; n_steps++) {
            struct tw_step_row row = one_row(&f);
            do {
                struct tw_sched_state one = tw_scheduler_state(row.sequence);
                if (one.n_tokens == one.n_prompt_tokens + 29) {
                    tw_scheduler_end(f.scheduler, row.sequence);
                    n_left--;
                    row.sequence = NULL;
                    break;
                }
                assert_int_equal(tw_scheduler_push(f.scheduler, row.sequence, 5, NULL), TW_OK);
            } while (tw_scheduler_state(row.sequence).owes_token);
            if (row.sequence != NULL && kind > 0) {
                tw_scheduler_draft(f.scheduler, row.sequence, draft, 3);
            }
        }
        for (uint32_t tenant = 0; tenant < 2; tenant++) {
            counters[kind][tenant] = tw_fair_share_counter(f.share, tenant);
        }
        assert_true(kind == 1 ? n_steps < 30 : n_steps == 60);
        tear_down(&f);
    }
    assert_true(counters[0][0] > 0 && counters[0][1] > 0);
    assert_memory_equal(counters[0], counters[1], sizeof counters[0]);
    assert_memory_equal(counters[0], counters[2], sizeof counters[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_with_one_prompt_compute_it_once),
        cmocka_unit_test(of_a_prompt_it_is_known_how_far_it_was_read),
        cmocka_unit_test(a_conversation_goes_on_from_its_cached_answer),
        cmocka_unit_test(a_domain_does_not_see_the_other),
        cmocka_unit_test(results_of_a_whole_prompt_are_computed_for_it_and_then_shared),
        cmocka_unit_test(what_does_not_fit_is_refused_with_both_numbers),
        cmocka_unit_test(rows_go_by_weight_when_there_are_too_few),
        cmocka_unit_test(a_flood_of_one_tenant_does_not_hold_up_another),
        cmocka_unit_test(a_big_prompt_gets_its_pages_beside_a_stream_of_small_ones),
        cmocka_unit_test(high_is_served_first_and_idle_last),
        cmocka_unit_test(who_is_idle_is_held_for_others_that_are_on_the_way),
        cmocka_unit_test(who_is_idle_gives_its_pages_to_others_at_once),
        cmocka_unit_test(what_idle_ones_leave_is_evicted_first),
        cmocka_unit_test(a_paused_sequence_keeps_its_pages_and_has_no_row),
        cmocka_unit_test(who_is_preempted_goes_on_and_pays_nothing_again),
        cmocka_unit_test(the_prompts_of_a_step_stay_within_the_budget),
        cmocka_unit_test(an_abandoned_step_is_planned_again_as_it_was),
        cmocka_unit_test(borrowed_pages_are_nobody_elses),
        cmocka_unit_test(of_one_tenant_the_least_priority_number_comes_first),
        cmocka_unit_test(a_draft_is_computed_with_the_text_and_counts_as_far_as_it_is_pushed),
        cmocka_unit_test(a_page_that_a_draft_fills_is_shared_only_when_it_was_pushed),
        cmocka_unit_test(a_draft_takes_no_page_and_nothing_behind_the_answers_end),
        cmocka_unit_test(drafts_have_what_a_step_has_to_spare),
        cmocka_unit_test(an_answer_has_one_price_with_and_without_drafts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
