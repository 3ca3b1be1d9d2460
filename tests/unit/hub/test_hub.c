/* The hub: what is granted, covered, settled and recovered, on both stores. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "hub_fixture.h"

#define MILLION INT64_C(1000000)

static int setup(void **state)
{
    static struct fixture fixture;
    fixture_create(&fixture);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    fixture_destroy(*state);
    return 0;
}

static void a_request_is_reserved_and_settled_at_what_it_cost(void **state)
{
    struct fixture *fixture = *state;
    struct tw_hub_ticket ticket;
    fixture_add_price(fixture, 3 * MILLION, MILLION, 10 * MILLION);
    fixture_add_budget(fixture, FIXTURE_ORG, "money", 1000, true, "month");
    fixture_open(fixture);
    assert_int_equal(fixture_reserve(fixture, &ticket, fixture->secret, 20, 50, false), TW_OK);
    assert_int_equal(ticket.refusal, TW_HUB_GRANTED);
    assert_int_equal(ticket.max_answer_tokens, 50);
    assert_int_equal(ticket.amount_nano, 20 * 3 + 50 * 10);
    assert_int_equal(fixture_check(fixture).held_nano, 560);
    assert_int_equal(fixture_settle(fixture, &ticket, 20, 8, 30), TW_OK);
    const struct tw_ledger_summary summary = fixture_check(fixture);
    assert_int_equal(summary.held_nano, 0);
    assert_int_equal(summary.settled_nano, 12 * 3 + 8 * 1 + 30 * 10);
    assert_int_equal(summary.settled_tokens, 50);
    assert_int_equal(fixture_query(fixture, "SELECT spent FROM budget_window"), 344);
}

static void an_answer_is_bounded_to_what_can_be_paid(void **state)
{
    struct fixture *fixture = *state;
    struct tw_hub_ticket ticket;
    fixture_add_price(fixture, MILLION, MILLION, 10 * MILLION);
    fixture_add_budget(fixture, FIXTURE_PROJECT, "money", 125, true, "day");
    fixture_open(fixture);
    assert_int_equal(fixture_reserve(fixture, &ticket, fixture->secret, 20, 50, false), TW_OK);
    assert_int_equal(ticket.refusal, TW_HUB_GRANTED);
    assert_true(ticket.is_clamped);
    assert_int_equal(ticket.max_answer_tokens, 10);
    assert_non_null(strstr(ticket.reason, "acme/research/chat"));
    struct tw_hub_ticket other;
    assert_int_equal(fixture_reserve(fixture, &other, fixture->other_secret, 20, 50, false), TW_OK);
    assert_int_equal(other.refusal, TW_HUB_REFUSED_BUDGET);
    assert_int_equal(fixture_settle(fixture, &ticket, 20, 0, 10), TW_OK);
    assert_int_equal(fixture_check(fixture).settled_nano, 120);
    assert_int_equal(
        fixture_query(fixture, "SELECT COUNT(*) FROM audit WHERE kind = 'request.refused'"), 1);
}

static void a_budget_of_money_refuses_a_model_without_a_price(void **state)
{
    struct fixture *fixture = *state;
    struct tw_hub_ticket ticket;
    fixture_add_budget(fixture, FIXTURE_KEY, "money", 1000, true, "total");
    fixture_open(fixture);
    assert_int_equal(fixture_reserve(fixture, &ticket, fixture->secret, 1, 1, false), TW_OK);
    assert_int_equal(ticket.refusal, TW_HUB_REFUSED_PRICE);
    assert_int_equal(fixture_reserve(fixture, &ticket, fixture->other_secret, 1, 1, false), TW_OK);
    assert_int_equal(ticket.refusal, TW_HUB_GRANTED);
    assert_int_equal(ticket.amount_nano, 0);
    assert_int_equal(fixture_settle(fixture, &ticket, 1, 0, 1), TW_OK);
    fixture_check(fixture);
}

static void a_soft_budget_lets_through_and_says_so_once(void **state)
{
    struct fixture *fixture = *state;
    struct tw_hub_ticket ticket;
    fixture_add_budget(fixture, FIXTURE_TEAM, "tokens", 100, false, "week");
    fixture_open(fixture);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(fixture_reserve(fixture, &ticket, fixture->secret, 30, 30, false), TW_OK);
        assert_int_equal(ticket.refusal, TW_HUB_GRANTED);
        assert_false(ticket.is_clamped);
        assert_int_equal(fixture_settle(fixture, &ticket, 30, 0, 30), TW_OK);
    }
    assert_int_equal(
        fixture_query(fixture, "SELECT COUNT(*) FROM audit WHERE kind = 'budget.crossed'"), 1);
    fixture_check(fixture);
}

static void a_clock_that_is_set_back_reopens_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct tw_hub_ticket ticket;
    fixture_add_budget(fixture, FIXTURE_KEY, "tokens", 100, true, "day");
    fixture_open(fixture);
    fixture_reserve(fixture, &ticket, fixture->secret, 60, 40, false);
    fixture_settle(fixture, &ticket, 60, 0, 40);
    fixture->now_ns += 24 * 3600 * FIXTURE_SECOND_NS; /* another day: there is room again */
    fixture_reserve(fixture, &ticket, fixture->secret, 60, 40, false);
    assert_int_equal(ticket.refusal, TW_HUB_GRANTED);
    fixture_settle(fixture, &ticket, 60, 0, 40);
    fixture->now_ns = FIXTURE_NOW_NS - 24 * 3600 * FIXTURE_SECOND_NS; /* "yesterday" */
    fixture_reserve(fixture, &ticket, fixture->secret, 60, 40, false);
    assert_int_equal(ticket.refusal, TW_HUB_REFUSED_BUDGET);
    fixture_close(fixture); /* nor does a process that starts with such a clock */
    fixture_open(fixture);
    fixture_reserve(fixture, &ticket, fixture->secret, 60, 40, false);
    assert_int_equal(ticket.refusal, TW_HUB_REFUSED_BUDGET);
    fixture_check(fixture);
}

/* Of 20 + 50 reserved. */
static uint64_t settle_beyond(struct fixture *fixture, uint64_t n_prompt, uint64_t n_cached,
                              uint64_t n_answer)
{
    struct tw_hub_ticket ticket;
    fixture_reserve(fixture, &ticket, fixture->secret, 20, 50, false);
    assert_int_equal(ticket.refusal, TW_HUB_GRANTED);
    assert_int_equal(fixture_settle(fixture, &ticket, n_prompt, n_cached, n_answer), TW_OK);
    fixture_check(fixture);
    return ticket.n_paid_tokens;
}

static void more_than_was_reserved_is_paid_as_far_as_hard_budgets_have_it(void **state)
{
    struct fixture *fixture = *state;
    fixture_add_price(fixture, MILLION, MILLION, 10 * MILLION);
    fixture_add_budget(fixture, FIXTURE_ORG, "money", 2000, true, "month");
    fixture_add_budget(fixture, FIXTURE_KEY, "tokens", 10, false, "day");
    fixture_open(fixture);
    /* Within what was reserved as a whole: nothing more is needed. */
    assert_int_equal(settle_beyond(fixture, 60, 0, 1), 61);
    assert_int_equal(fixture_query(fixture, "SELECT COUNT(*) FROM entry"), 3);
    assert_int_equal(settle_beyond(fixture, 100, 30, 50), 150);
    assert_int_equal(fixture_query(fixture, "SELECT COUNT(*) FROM entry WHERE kind = 'reserve'"),
                     3);
    assert_int_equal(fixture_query(fixture, "SELECT spent FROM budget_window"
                                            " WHERE budget = (SELECT MIN(id) FROM budget)"),
                     70 + 600);
    assert_int_equal(
        fixture_query(fixture, "SELECT COUNT(*) FROM audit WHERE body LIKE '%reported%'"), 0);
    /* 1330 are left: 20 + 50 at 520, 700 more of the prompt at 1, and 11 of the answer at 10. */
    assert_int_equal(settle_beyond(fixture, 720, 0, 1000), 720 + 61);
    assert_int_equal(fixture_query(fixture, "SELECT spent FROM budget_window"
                                            " WHERE budget = (SELECT MIN(id) FROM budget)"),
                     2000);
    assert_int_equal(
        fixture_query(fixture,
                      "SELECT COUNT(*) FROM audit WHERE body LIKE"
                      " '%\"reported_output_tokens\":1000,\"reported_prompt_tokens\":720,%'"),
        1);
}

static void a_count_that_cannot_be_is_bounded_by_what_is_left(void **state)
{
    struct fixture *fixture = *state;
    fixture_add_price(fixture, 333333, MILLION, INT64_MAX / 100000);
    fixture_open(fixture);
    assert_true(settle_beyond(fixture, UINT64_MAX, UINT64_MAX, UINT64_MAX) >= 70);
    assert_true(settle_beyond(fixture, UINT64_MAX, 0, 3) >= 23);
    fixture_close(fixture);
    fixture_add_budget(fixture, FIXTURE_KEY, "tokens", 75, true, "day");
    fixture_execute(fixture, "UPDATE budget SET rolls_over = 1");
    fixture_open(fixture);
    assert_int_equal(settle_beyond(fixture, UINT64_MAX, 0, 0), 75);
}

/* What a day had left, the next one has. */
static void what_was_carried_over_does_not_pay_twice(void **state)
{
    struct fixture *fixture = *state;
    struct tw_hub_ticket first, ticket;
    fixture_add_budget(fixture, FIXTURE_KEY, "tokens", 100, true, "day");
    fixture_execute(fixture, "UPDATE budget SET rolls_over = 1");
    fixture_open(fixture);
    fixture_reserve(fixture, &first, fixture->secret, 20, 30, false);
    fixture->now_ns += 24 * 3600 * FIXTURE_SECOND_NS;
    fixture_reserve(fixture, &ticket, fixture->secret, 100, 50, false);
    assert_int_equal(ticket.refusal, TW_HUB_GRANTED);
    fixture_settle(fixture, &first, 60, 0, 30);
    assert_int_equal(first.n_paid_tokens, 50);
    fixture_settle(fixture, &ticket, 100, 0, 50);
    fixture_check(fixture);
}

static void a_settlement_counts_in_the_period_of_its_reservation(void **state)
{
    struct fixture *fixture = *state;
    struct tw_hub_ticket ticket;
    fixture_add_budget(fixture, FIXTURE_KEY, "tokens", 100, true, "day");
    fixture_open(fixture);
    fixture_reserve(fixture, &ticket, fixture->secret, 60, 40, false);
    fixture->now_ns += 24 * 3600 * FIXTURE_SECOND_NS;
    fixture_settle(fixture, &ticket, 60, 0, 40);
    assert_int_equal(fixture_query(fixture, "SELECT COUNT(*) FROM budget_window"), 1);
    assert_int_equal(fixture_query(fixture, "SELECT spent FROM budget_window"), 100);
    fixture_reserve(fixture, &ticket, fixture->secret, 60, 40, false);
    assert_int_equal(ticket.refusal, TW_HUB_GRANTED);
    fixture_settle(fixture, &ticket, 60, 0, 0);
    fixture_check(fixture);
}

/* Meanwhile the hub has forgotten the window, and others carry over what is left. */
static void a_settlement_finds_the_period_of_its_reservation_many_periods_later(void **state)
{
    struct fixture *fixture = *state;
    struct tw_hub_ticket first, ticket;
    fixture_add_budget(fixture, FIXTURE_KEY, "tokens", 100, true, "day");
    fixture_execute(fixture, "UPDATE budget SET rolls_over = 1");
    fixture_open(fixture);
    fixture_reserve(fixture, &first, fixture->secret, 60, 30, false);
    for (int i = 0; i < 9; i++) {
        fixture->now_ns += 24 * 3600 * FIXTURE_SECOND_NS;
        fixture_reserve(fixture, &ticket, fixture->secret, 10, 10, false);
        assert_int_equal(ticket.refusal, TW_HUB_GRANTED);
        fixture_settle(fixture, &ticket, 10, 0, 10);
    }
    fixture_settle(fixture, &first, 60, 0, 10);
    assert_int_equal(fixture_query(fixture, "SELECT COUNT(*) FROM budget_window"), 10);
    assert_int_equal(fixture_query(fixture, "SELECT spent FROM budget_window ORDER BY starts_s"),
                     70);
    assert_int_equal(fixture_query(fixture, "SELECT MAX(reserved) FROM budget_window"), 0);
    assert_int_equal(fixture_query(fixture, "SELECT MAX(carried) FROM budget_window"), 100);
    fixture_check(fixture);
}

static void what_a_process_left_open_is_settled_at_its_watermark(void **state)
{
    struct fixture *fixture = *state;
    struct tw_hub_ticket stream, whole, moved;
    fixture_add_price(fixture, MILLION, MILLION, MILLION);
    fixture_add_budget(fixture, FIXTURE_ORG, "money", 10000, true, "total");
    fixture_open(fixture);
    fixture_reserve(fixture, &stream, fixture->secret, 100, 500, true);
    assert_int_equal(stream.n_covered_tokens, TW_LIMIT_HUB_AHEAD_TOKENS);
    fixture_reserve(fixture, &whole, fixture->secret, 200, 500, false);
    assert_int_equal(whole.n_covered_tokens, 0);
    fixture_reserve(fixture, &moved, fixture->other_secret, 300, 500, true);
    assert_int_equal(fixture_cover(fixture, &moved, 77), TW_OK);
    assert_int_equal(moved.n_covered_tokens, 77);
    fixture_close(fixture);
    assert_int_equal(fixture_query(fixture, "SELECT COUNT(*) FROM reservation"), 3);
    fixture_open_later(fixture);
    const struct tw_ledger_summary summary = fixture_check(fixture);
    assert_int_equal(summary.n_open, 0);
    assert_int_equal(summary.held_nano, 0);
    assert_int_equal(summary.settled_nano, 100 + TW_LIMIT_HUB_AHEAD_TOKENS + 300 + 77);
    assert_int_equal(
        fixture_query(fixture, "SELECT COUNT(*) FROM audit WHERE kind = 'request.recovered'"), 3);
}

static void a_key_that_is_closed_or_expired_gets_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct tw_hub_caller caller;
    struct tw_hub_ticket ticket;
    char sql[128];
    snprintf(sql, sizeof sql, "UPDATE secret SET expires_ns = %lld WHERE id = 11",
             (long long)(FIXTURE_NOW_NS + FIXTURE_SECOND_NS));
    fixture_execute(fixture, sql);
    fixture_open(fixture);
    assert_int_equal(tw_hub_authenticate(fixture->hub, "tw-nobody", &caller), TW_HUB_KEY_UNKNOWN);
    fixture_reserve(fixture, &ticket, fixture->other_secret, 1, 1, false);
    assert_int_equal(ticket.refusal, TW_HUB_GRANTED);
    fixture_settle(fixture, &ticket, 1, 0, 1);
    fixture->now_ns += 2 * FIXTURE_SECOND_NS;
    assert_int_equal(tw_hub_authenticate(fixture->hub, fixture->other_secret, &caller),
                     TW_HUB_KEY_EXPIRED);
    fixture_close(fixture);
    fixture_execute(fixture, "UPDATE holder SET closed_ns = 1 WHERE id = 4"); /* the team */
    fixture_open(fixture);
    assert_int_equal(tw_hub_authenticate(fixture->hub, fixture->secret, &caller),
                     TW_HUB_KEY_REVOKED);
}

static void rates_bound_requests_tokens_and_how_many_run(void **state)
{
    struct fixture *fixture = *state;
    struct tw_hub_ticket first, second, third;
    fixture_execute(fixture, "UPDATE holder SET requests_per_minute = 3, tokens_per_minute = 1000,"
                             " concurrent_requests = 2 WHERE id = 5");
    fixture_open(fixture);
    fixture_reserve(fixture, &first, fixture->secret, 10, 90, false);
    assert_true(first.shown.has_requests && first.shown.has_tokens);
    assert_int_equal(first.shown.requests.remaining, 2);
    assert_int_equal(first.shown.tokens.remaining, 900);
    fixture_reserve(fixture, &second, fixture->other_secret, 10, 90, false);
    fixture_reserve(fixture, &third, fixture->secret, 10, 90, false);
    assert_int_equal(third.refusal, TW_HUB_REFUSED_CONCURRENT);
    fixture_settle(fixture, &first, 10, 0, 0); /* gives tokens back */
    fixture_settle(fixture, &second, 10, 0, 0);
    fixture_reserve(fixture, &third, fixture->secret, 10, 970, false);
    assert_int_equal(third.refusal, TW_HUB_GRANTED);
    fixture_settle(fixture, &third, 10, 0, 970);
    fixture_reserve(fixture, &third, fixture->secret, 1, 1, false);
    assert_int_equal(third.refusal, TW_HUB_REFUSED_RATE);
    assert_in_range(third.retry_after_ms, 1, 20000);
    fixture->now_ns += 60 * FIXTURE_SECOND_NS;
    fixture_reserve(fixture, &third, fixture->secret, 1, 1, false);
    assert_int_equal(third.refusal, TW_HUB_GRANTED);
    fixture_settle(fixture, &third, 1, 0, 1);
    fixture_check(fixture);
}

/* ---- many at once ---- */

#define CLIENTS 200
#define PAID    37

static void of_200_at_once_as_many_are_served_as_the_budget_pays(void **state)
{
    struct fixture *fixture = *state;
    static struct fixture_client clients[CLIENTS];
    size_t n_served = 0;
    fixture_add_price(fixture, MILLION, MILLION, MILLION);
    fixture_add_budget(fixture, FIXTURE_ORG, "money", PAID * 20, true, "month");
    fixture_add_budget(fixture, FIXTURE_PROJECT, "tokens", CLIENTS * 20, true, "day");
    fixture_open(fixture);
    for (size_t i = 0; i < CLIENTS; i++) {
        clients[i] = (struct fixture_client){.fixture = fixture};
        assert_int_equal(pthread_create(&clients[i].thread, NULL, fixture_ask_once, &clients[i]),
                         0);
    }
    for (size_t i = 0; i < CLIENTS; i++) {
        pthread_join(clients[i].thread, NULL);
        n_served += clients[i].was_served;
    }
    assert_int_equal(n_served, PAID);
    assert_int_equal(fixture_check(fixture).settled_nano, PAID * 20);
}

/* ---- anything in any order ---- */

#define TICKETS 24
#define ROUNDS  1500

static uint64_t draw(uint64_t *counter, uint64_t below)
{
    uint32_t words[4];
    tw_rng_block(7, (*counter)++, words);
    return (((uint64_t)words[0] << 32) | words[1]) % below;
}

static void step_of(struct fixture *fixture, struct tw_hub_ticket *ticket, bool *is_open,
                    uint64_t *counter)
{
    const uint64_t n_prompt = ticket->request.n_prompt_tokens;
    if (!*is_open) {
        fixture_reserve(fixture, ticket,
                        draw(counter, 2) > 0 ? fixture->secret : fixture->other_secret,
                        1 + draw(counter, 400), 1 + draw(counter, 400), draw(counter, 2) > 0);
        *is_open = ticket->refusal == TW_HUB_GRANTED;
    } else if (draw(counter, 3) == 0) {
        fixture_cover(fixture, ticket, draw(counter, ticket->n_reserved_answer_tokens + 1));
    } else {
        /* Now and then more than was reserved. */
        const uint64_t times = draw(counter, 4) == 0 ? 3 : 1;
        fixture_settle(fixture, ticket, n_prompt * times, draw(counter, n_prompt + 1),
                       draw(counter, ticket->n_reserved_answer_tokens * times + 1));
        *is_open = false;
    }
}

static void books_balance_after_anything_in_any_order(void **state)
{
    struct fixture *fixture = *state;
    static struct tw_hub_ticket tickets[TICKETS];
    bool is_open[TICKETS] = {false};
    uint64_t counter = 0;
    fixture_add_price(fixture, 333333, 111111, 777777);
    fixture_add_budget(fixture, FIXTURE_ORG, "money", 60000, true, "day");
    fixture_add_budget(fixture, FIXTURE_PROJECT, "tokens", 90000, true, "week");
    fixture_add_budget(fixture, FIXTURE_KEY, "tokens", 20000, false, "day");
    fixture_open(fixture);
    for (int i = 0; i < ROUNDS; i++) {
        const size_t k = (size_t)draw(&counter, TICKETS);
        step_of(fixture, &tickets[k], &is_open[k], &counter);
        fixture->now_ns += (int64_t)draw(&counter, 600) * FIXTURE_SECOND_NS;
        if (i % 500 == 250) {
            fixture_check(fixture);
        }
        if (i % 500 == 499) {
            fixture_close(fixture);
            fixture_open_later(fixture);
            memset(is_open, 0, sizeof is_open);
            assert_int_equal(fixture_check(fixture).n_open, 0);
        }
    }
    assert_true(fixture_query(fixture, "SELECT COUNT(*) FROM audit") > ROUNDS / 4);
    assert_int_equal(fixture_query(fixture, "SELECT COUNT(*) FROM budget_window w JOIN budget b ON"
                                            " b.id = w.budget WHERE b.is_hard = 1 AND"
                                            " w.spent + w.reserved > b.limit_value + w.carried"),
                     0);
}

static void the_check_finds_what_was_changed(void **state)
{
    struct fixture *fixture = *state;
    static const char *const changes[] = {
        "UPDATE entry SET amount_nano = amount_nano + 1 WHERE kind = 'settle'",
        "UPDATE entry SET tokens = tokens + 1 WHERE kind = 'reserve'",
        "UPDATE account SET debit_nano = debit_nano + 1 WHERE kind = 'usage'",
        "UPDATE budget_window SET spent = spent - 1",
        "UPDATE budget_window SET reserved = reserved + 1",
        "UPDATE price SET output_nano = output_nano + 1000000",
        "DELETE FROM entry WHERE kind = 'release'",
        "DELETE FROM entry WHERE kind = 'settle'",
        "DELETE FROM reservation",
        "UPDATE reservation SET amount_nano = amount_nano - 1",
        "DELETE FROM budget_window",
        "UPDATE budget_window SET ends_s = ends_s - 1",
        "UPDATE budget_window SET carried = 20000", /* twice the limit */
        "UPDATE books SET next_entry = next_entry + 1",
        "UPDATE books SET next_request = next_request + 1",
        "UPDATE books SET last_ns = last_ns - 1000000000",
        "UPDATE entry SET request = 1 WHERE request = 2",
        "DELETE FROM entry WHERE id = (SELECT MAX(id) FROM entry)",
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        struct tw_hub_ticket ticket, open;
        struct tw_ledger_summary summary;
        struct tw_error error;
        struct tw_db *db = NULL;
        fixture_add_price(fixture, MILLION, MILLION, MILLION);
        fixture_add_budget(fixture, FIXTURE_ORG, "money", 10000, true, "total");
        fixture_open(fixture);
        fixture_reserve(fixture, &ticket, fixture->secret, 10, 10, false);
        fixture_settle(fixture, &ticket, 10, 0, 10);
        fixture_reserve(fixture, &open, fixture->secret, 10, 10, false);
        fixture_close(fixture);
        fixture_check(fixture);
        fixture_execute(fixture, changes[i]);
        assert_int_equal(tw_db_open(fixture->address, TW_DB_READ, &db, &error), TW_OK);
        if (tw_ledger_check(db, &summary, &error) != TW_ERR_MISSED) {
            fail_msg("not found: %s", changes[i]);
        }
        tw_db_close(db);
        fixture_destroy(fixture);
        fixture_create(fixture);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_request_is_reserved_and_settled_at_what_it_cost),
        TEST(an_answer_is_bounded_to_what_can_be_paid),
        TEST(a_budget_of_money_refuses_a_model_without_a_price),
        TEST(a_soft_budget_lets_through_and_says_so_once),
        TEST(a_clock_that_is_set_back_reopens_nothing),
        TEST(more_than_was_reserved_is_paid_as_far_as_hard_budgets_have_it),
        TEST(a_count_that_cannot_be_is_bounded_by_what_is_left),
        TEST(what_was_carried_over_does_not_pay_twice),
        TEST(a_settlement_counts_in_the_period_of_its_reservation),
        TEST(a_settlement_finds_the_period_of_its_reservation_many_periods_later),
        TEST(what_a_process_left_open_is_settled_at_its_watermark),
        TEST(a_key_that_is_closed_or_expired_gets_nothing),
        TEST(rates_bound_requests_tokens_and_how_many_run),
        TEST(of_200_at_once_as_many_are_served_as_the_budget_pays),
        TEST(books_balance_after_anything_in_any_order),
        TEST(the_check_finds_what_was_changed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
