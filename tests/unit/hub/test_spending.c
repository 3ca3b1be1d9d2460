#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "hub/spending.h"

static const struct tw_money_prices prices = {2500000, 1000000, 10000000}; /* 2.5, 1, 10 a token */

static const struct tw_spending_amount nothing = {0};

static struct tw_spending_budget hard(enum tw_spending_unit unit, int64_t limit)
{
    return (struct tw_spending_budget){.unit = unit, .limit = limit, .is_hard = true};
}

static struct tw_spending_decision clamp(const struct tw_spending_step *path, size_t n_steps,
                                         int64_t prompt_tokens, int64_t n_answers,
                                         int64_t max_output_tokens)
{
    const struct tw_spending_request request = {.prices = &prices,
                                                .prompt_tokens = prompt_tokens,
                                                .n_answers = n_answers,
                                                .max_output_tokens = max_output_tokens};
    struct tw_spending_decision decision = {0};
    assert_int_equal(tw_spending_clamp(path, n_steps, &request, &decision, NULL), TW_OK);
    return decision;
}

static void units_have_names(void **state)
{
    (void)state;
    enum tw_spending_unit unit = TW_SPENDING_MONEY;
    assert_true(tw_spending_unit_parse("tokens", &unit));
    assert_int_equal(unit, TW_SPENDING_TOKENS);
    assert_false(tw_spending_unit_parse("euros", &unit));
    assert_string_equal(tw_spending_unit_name(TW_SPENDING_MONEY), "money");
}

static void what_is_left_is_the_limit_and_what_was_carried_less_what_is_taken(void **state)
{
    (void)state;
    const struct tw_spending_budget budget = hard(TW_SPENDING_TOKENS, 100);
    struct tw_spending_window window = {.carried = 50, .spent = 30, .reserved = 20};
    assert_int_equal(tw_spending_available(&budget, &window), 100);
    window.spent = 200;
    assert_int_equal(tw_spending_available(&budget, &window), -70);
    assert_true(tw_spending_is_passed(&budget, &window));
    window.spent = 150;
    assert_false(tw_spending_is_passed(&budget, &window));
    const struct tw_spending_budget largest = hard(TW_SPENDING_TOKENS, INT64_MAX);
    const struct tw_spending_window full = {.carried = INT64_MAX};
    assert_int_equal(tw_spending_available(&largest, &full), INT64_MAX);
    const struct tw_spending_window empty = {.spent = INT64_MAX, .reserved = INT64_MAX};
    assert_int_equal(tw_spending_available(&budget, &empty), INT64_MIN);
}

static void without_budgets_everything_fits(void **state)
{
    (void)state;
    const struct tw_spending_decision decision = clamp(NULL, 0, 100, 2, 50);
    assert_int_equal(decision.verdict, TW_SPENDING_FITS);
    assert_true(decision.decided_by == TW_SPENDING_NOBODY);
    assert_int_equal(decision.max_output_tokens, 50);
    assert_int_equal(decision.amount.tokens, 200);
    assert_int_equal(decision.amount.money_nano, 250 + 2 * 50 * 10);
}

static void the_tightest_hard_budget_decides(void **state)
{
    (void)state;
    /* 1,250 nano-units: 250 for the prompt, 100 tokens. */
    const struct tw_spending_budget money = hard(TW_SPENDING_MONEY, 1250);
    const struct tw_spending_budget tokens = hard(TW_SPENDING_TOKENS, 160);
    struct tw_spending_budget soft = hard(TW_SPENDING_TOKENS, 1);
    soft.is_hard = false;
    struct tw_spending_window windows[3] = {{0}};
    const struct tw_spending_step path[] = {
        {&soft, &windows[0]}, {&money, &windows[1]}, {&tokens, &windows[2]}};
    struct tw_spending_decision decision = clamp(path, 2, 100, 1, 300);
    assert_int_equal(decision.verdict, TW_SPENDING_CLAMPED);
    assert_int_equal(decision.decided_by, 1);
    assert_int_equal(decision.max_output_tokens, 100);
    assert_int_equal(decision.amount.money_nano, 1250);
    decision = clamp(path, 3, 100, 1, 300);
    assert_int_equal(decision.decided_by, 2);
    assert_int_equal(decision.max_output_tokens, 60);
    assert_int_equal(decision.amount.tokens, 160);
    /* For each answer. */
    decision = clamp(path, 3, 100, 7, 300);
    assert_int_equal(decision.max_output_tokens, 8);
    /* What fits exactly is not clamped. */
    decision = clamp(path, 3, 100, 1, 60);
    assert_int_equal(decision.verdict, TW_SPENDING_FITS);
    assert_true(decision.decided_by == TW_SPENDING_NOBODY);
    /* Of two that clamp as much the first. */
    const struct tw_spending_step twice[] = {{&tokens, &windows[2]}, {&tokens, &windows[0]}};
    assert_int_equal(clamp(twice, 2, 100, 1, 300).decided_by, 0);
}

static void less_than_a_token_is_refused(void **state)
{
    (void)state;
    const struct tw_spending_budget money = hard(TW_SPENDING_MONEY, 260);
    struct tw_spending_window window = {0};
    const struct tw_spending_step path[] = {{&money, &window}};
    assert_int_equal(clamp(path, 1, 100, 1, 300).max_output_tokens, 1);
    window.spent = 1;
    const struct tw_spending_decision decision = clamp(path, 1, 100, 1, 300);
    assert_int_equal(decision.verdict, TW_SPENDING_REFUSED);
    assert_int_equal(decision.decided_by, 0);
    assert_int_equal(decision.max_output_tokens, 0);
    assert_int_equal(decision.amount.money_nano, 0);
    assert_int_equal(decision.amount.tokens, 0);
    /* A request that makes no tokens needs its prompt alone. */
    assert_int_equal(clamp(path, 1, 100, 1, 0).verdict, TW_SPENDING_FITS);
    window.spent = 11;
    assert_int_equal(clamp(path, 1, 100, 1, 0).verdict, TW_SPENDING_REFUSED);
}

static void a_model_without_price_is_refused_where_money_counts(void **state)
{
    (void)state;
    const struct tw_spending_budget tokens = hard(TW_SPENDING_TOKENS, 100);
    struct tw_spending_budget money = hard(TW_SPENDING_MONEY, 100);
    struct tw_spending_window windows[2] = {{0}};
    const struct tw_spending_step path[] = {{&tokens, &windows[0]}, {&money, &windows[1]}};
    const struct tw_spending_request request = {
        .prompt_tokens = 10, .n_answers = 1, .max_output_tokens = 500};
    struct tw_spending_decision decision = {0};
    for (int is_hard = 0; is_hard < 2; is_hard++) {
        money.is_hard = is_hard;
        assert_int_equal(tw_spending_clamp(path, 2, &request, &decision, NULL), TW_OK);
        assert_int_equal(decision.verdict, TW_SPENDING_UNPRICED);
        assert_int_equal(decision.decided_by, 1);
        assert_int_equal(decision.max_output_tokens, 0);
    }
    assert_int_equal(tw_spending_clamp(path, 1, &request, &decision, NULL), TW_OK);
    assert_int_equal(decision.verdict, TW_SPENDING_CLAMPED);
    assert_int_equal(decision.max_output_tokens, 90);
    assert_int_equal(decision.amount.money_nano, 0);
}

static void a_worst_case_that_cannot_be_counted_is_an_error(void **state)
{
    (void)state;
    const struct tw_money_prices dear = {INT64_MAX, 0, INT64_MAX};
    struct tw_spending_request request = {
        .prices = &dear, .prompt_tokens = 1 << 24, .n_answers = 128, .max_output_tokens = 1 << 24};
    struct tw_spending_decision decision = {.max_output_tokens = 42};
    struct tw_error error;
    assert_int_equal(tw_spending_clamp(NULL, 0, &request, &decision, &error), TW_ERR_LIMIT);
    request.prices = NULL;
    request.max_output_tokens = INT64_MAX / 2;
    assert_int_equal(tw_spending_clamp(NULL, 0, &request, &decision, &error), TW_ERR_LIMIT);
    assert_int_equal(decision.max_output_tokens, 42);
    /* A hard budget bounds it first. */
    const struct tw_spending_budget tokens = hard(TW_SPENDING_TOKENS, INT64_MAX);
    struct tw_spending_window window = {0};
    const struct tw_spending_step path[] = {{&tokens, &window}};
    assert_int_equal(tw_spending_clamp(path, 1, &request, &decision, NULL), TW_OK);
    assert_int_equal(decision.max_output_tokens, (INT64_MAX - (1 << 24)) / 128);
}

static void a_step_is_done_in_all_windows_or_in_none(void **state)
{
    (void)state;
    const struct tw_spending_budget tokens = hard(TW_SPENDING_TOKENS, 100);
    const struct tw_spending_budget money = hard(TW_SPENDING_MONEY, 100);
    struct tw_spending_window windows[2] = {{.reserved = 5}, {.spent = INT64_MAX - 6}};
    const struct tw_spending_window before[2] = {windows[0], windows[1]};
    const struct tw_spending_step path[] = {{&tokens, &windows[0]}, {&money, &windows[1]}};
    const struct tw_spending_amount much = {7, 3}, fits = {6, 3}, more = {6, 4}, cheaper = {2, 1};
    assert_int_equal(tw_spending_reserve(path, 2, much, NULL), TW_ERR_LIMIT);
    assert_memory_equal(windows, before, sizeof windows);
    assert_int_equal(tw_spending_settle(path, 2, fits, cheaper, NULL), TW_ERR_USAGE);
    assert_memory_equal(windows, before, sizeof windows);
    assert_int_equal(tw_spending_reserve(path, 2, fits, NULL), TW_OK);
    assert_int_equal(windows[0].reserved, 8);
    assert_int_equal(windows[1].reserved, 6);
    assert_int_equal(tw_spending_settle(path, 2, fits, more, NULL), TW_ERR_USAGE);
    assert_int_equal(tw_spending_settle(path, 2, fits, (struct tw_spending_amount){-1, 0}, NULL),
                     TW_ERR_USAGE);
    assert_int_equal(windows[0].reserved, 8);
    assert_int_equal(tw_spending_settle(path, 2, fits, cheaper, NULL), TW_OK);
    assert_int_equal(windows[0].reserved, 5);
    assert_int_equal(windows[0].spent, 1);
    assert_int_equal(windows[1].reserved, 0);
    assert_int_equal(windows[1].spent, INT64_MAX - 4);
    /* Twice is not possible. */
    struct tw_error error;
    assert_int_equal(tw_spending_settle(path, 2, fits, nothing, &error), TW_ERR_USAGE);
    assert_non_null(strstr(error.text, "settled before"));
    /* Nor with one more than there is, in the last window of the path. */
    windows[0].reserved = windows[1].reserved = 6;
    const struct tw_spending_amount one_more = {7, 6};
    assert_int_equal(tw_spending_settle(path, 2, one_more, nothing, NULL), TW_ERR_USAGE);
    assert_int_equal(windows[0].reserved, 6);
}

static void what_is_left_is_carried_up_to_the_limit(void **state)
{
    (void)state;
    struct tw_spending_budget budget = hard(TW_SPENDING_TOKENS, 100);
    struct tw_spending_window window = {.spent = 60, .reserved = 10};
    assert_int_equal(tw_spending_carry(&budget, &window, 0), 0);
    budget.rolls_over = true;
    assert_int_equal(tw_spending_carry(&budget, &window, 0), 30);
    window.carried = 50;
    assert_int_equal(tw_spending_carry(&budget, &window, 0), 80);
    window.carried = 90;
    assert_int_equal(tw_spending_carry(&budget, &window, 0), 100);
    window.carried = 0;
    assert_int_equal(tw_spending_carry(&budget, &window, 1), 100);
    assert_int_equal(tw_spending_carry(&budget, &window, INT64_MAX), 100);
    window.spent = 500; /* more than a limit that was lowered */
    assert_int_equal(tw_spending_carry(&budget, &window, 0), 0);
    budget.limit = 0;
    assert_int_equal(tw_spending_carry(&budget, &window, INT64_MAX), 0);
    budget.limit = INT64_MAX;
    window = (struct tw_spending_window){.carried = INT64_MAX};
    assert_int_equal(tw_spending_carry(&budget, &window, 3), INT64_MAX);
    budget.period = TW_PERIOD_TOTAL;
    assert_int_equal(tw_spending_carry(&budget, &window, 0), 0);
    budget.period = TW_PERIOD_DAY;
    budget.is_hard = false;
    assert_int_equal(tw_spending_carry(&budget, &window, 0), 0);
}

/* A million random operations of many requests under four budgets. */
enum { N_OPERATIONS = 1000000, N_BUDGETS = 4, N_OPEN = 64 };

struct request {
    struct tw_spending_amount reserved;
    int path; /* a bit for each budget; 0: none is open here */
};

struct run {
    struct tw_spending_budget budgets[N_BUDGETS];
    struct tw_spending_window windows[N_BUDGETS];
    struct request open[N_OPEN];
    int64_t spent[N_BUDGETS]; /* of the window, as the settlements say */
    int n_verdicts[4], n_rolled, n_tight;
};

static size_t path_of(struct run *run, int bits, struct tw_spending_step path[N_BUDGETS])
{
    size_t n = 0;
    for (int i = 0; i < N_BUDGETS; i++) {
        if (bits >> i & 1) {
            path[n++] = (struct tw_spending_step){&run->budgets[i], &run->windows[i]};
        }
    }
    return n;
}

static void begin_request(struct run *run, const uint32_t r[4], struct request *request)
{
    struct tw_spending_step path[N_BUDGETS];
    const int bits = 1 + (int)(r[1] % ((1 << N_BUDGETS) - 1));
    const size_t n = path_of(run, bits, path);
    const int64_t wanted = r[2] % 8 == 0 ? 0 : (int64_t)(r[2] % 900);
    const struct tw_spending_decision decision =
        clamp(path, n, r[3] % 700, 1 + (r[3] >> 16) % 3, wanted);
    run->n_verdicts[decision.verdict]++;
    assert_true(decision.max_output_tokens <= wanted);
    if (decision.verdict == TW_SPENDING_REFUSED) {
        assert_true(path[decision.decided_by].budget->is_hard);
        return;
    }
    assert_int_equal(tw_spending_reserve(path, n, decision.amount, NULL), TW_OK);
    *request = (struct request){decision.amount, bits};
}

static void end_request(struct run *run, const uint32_t r[4], struct request *request)
{
    struct tw_spending_step path[N_BUDGETS];
    const size_t n = path_of(run, request->path, path);
    const int64_t part = r[1] % 4 == 0 ? 1024 : r[1] % 1024;
    const struct tw_spending_amount cost = {request->reserved.money_nano * part / 1024,
                                            request->reserved.tokens * part / 1024};
    if (r[2] % 5 == 0) {
        assert_int_equal(tw_spending_settle(path, n, request->reserved, nothing, NULL), TW_OK);
    } else {
        assert_int_equal(tw_spending_settle(path, n, request->reserved, cost, NULL), TW_OK);
        for (int i = 0; i < N_BUDGETS; i++) {
            const bool is_money = run->budgets[i].unit == TW_SPENDING_MONEY;
            run->spent[i] += (request->path >> i & 1) * (is_money ? cost.money_nano : cost.tokens);
        }
    }
    *request = (struct request){0};
}

/* A new window, once nothing of the old one is open. */
static void roll(struct run *run, int budget, int64_t n_empty)
{
    for (int i = 0; i < N_OPEN; i++) {
        if (run->open[i].path >> budget & 1) {
            return;
        }
    }
    struct tw_spending_window *window = &run->windows[budget];
    const int64_t carried = tw_spending_carry(&run->budgets[budget], window, n_empty);
    assert_true(carried >= 0 && carried <= run->budgets[budget].limit * TW_LIMIT_HUB_CARRY);
    *window = (struct tw_spending_window){.carried = carried};
    run->spent[budget] = 0;
    run->n_rolled++;
}

static void check(struct run *run)
{
    int64_t reserved[N_BUDGETS] = {0};
    for (int i = 0; i < N_OPEN; i++) {
        for (int b = 0; b < N_BUDGETS; b++) {
            const struct tw_spending_amount *amount = &run->open[i].reserved;
            reserved[b] +=
                (run->open[i].path >> b & 1) *
                (run->budgets[b].unit == TW_SPENDING_MONEY ? amount->money_nano : amount->tokens);
        }
    }
    for (int b = 0; b < N_BUDGETS; b++) {
        const struct tw_spending_window *window = &run->windows[b];
        assert_int_equal(window->reserved, reserved[b]);
        assert_int_equal(window->spent, run->spent[b]);
        assert_true(window->spent >= 0 && window->reserved >= 0);
        if (run->budgets[b].is_hard) {
            const int64_t left =
                run->budgets[b].limit + window->carried - window->spent - window->reserved;
            assert_true(left >= 0);
            run->n_tight += left < 10;
        }
    }
}

static void a_hard_budget_is_never_passed_and_sums_are_kept(void **state)
{
    (void)state;
    struct run run = {.budgets = {hard(TW_SPENDING_MONEY, 60000), hard(TW_SPENDING_TOKENS, 9000),
                                  hard(TW_SPENDING_TOKENS, 1000), hard(TW_SPENDING_MONEY, 50)}};
    run.budgets[0].rolls_over = run.budgets[2].rolls_over = true;
    run.budgets[3].is_hard = false;
    for (uint64_t i = 0; i < N_OPERATIONS; i++) {
        uint32_t r[4];
        tw_rng_block(11, i, r);
        struct request *request = &run.open[r[0] % N_OPEN];
        if (request->path != 0) {
            end_request(&run, r, request);
        } else if ((r[0] >> 8) % 3 > 0) {
            begin_request(&run, r, request);
        }
        /* Time passes more slowly than requests; a round ends before a window does. */
        if (i % 500 >= 440) {
            request = &run.open[i % 500 - 440];
            if (request->path != 0) {
                end_request(&run, r, request);
            }
        }
        if (r[1] >> 8 & 1) {
            roll(&run, (int)(r[2] >> 8) % N_BUDGETS, r[3] >> 8 & 1);
        }
        check(&run);
    }
    assert_true(run.n_verdicts[TW_SPENDING_FITS] > 10000);
    assert_true(run.n_verdicts[TW_SPENDING_CLAMPED] > 10000);
    assert_true(run.n_verdicts[TW_SPENDING_REFUSED] > 10000);
    assert_true(run.n_rolled > 1000 && run.n_tight > 10000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(units_have_names),
        cmocka_unit_test(what_is_left_is_the_limit_and_what_was_carried_less_what_is_taken),
        cmocka_unit_test(without_budgets_everything_fits),
        cmocka_unit_test(the_tightest_hard_budget_decides),
        cmocka_unit_test(less_than_a_token_is_refused),
        cmocka_unit_test(a_model_without_price_is_refused_where_money_counts),
        cmocka_unit_test(a_worst_case_that_cannot_be_counted_is_an_error),
        cmocka_unit_test(a_step_is_done_in_all_windows_or_in_none),
        cmocka_unit_test(what_is_left_is_carried_up_to_the_limit),
        cmocka_unit_test(a_hard_budget_is_never_passed_and_sums_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
