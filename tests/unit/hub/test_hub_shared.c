/* Several hubs on one PostgreSQL. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hub_fixture.h"

#define MILLION INT64_C(1000000)
#define HUBS    3
#define CLIENTS 40 /* of each hub */
#define PAID    31

static struct fixture hubs[HUBS];

static int setup(void **state)
{
    (void)state;
    if (getenv("TW_TEST_POSTGRES") == NULL) {
        return -1; /* tests/store/with_postgres.sh sets it */
    }
    fixture_create(&hubs[0]);
    fixture_add_price(&hubs[0], MILLION, MILLION, MILLION);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = HUBS; i-- > 0;) {
        if (i > 0) {
            fixture_close(&hubs[i]);
        } else {
            fixture_destroy(&hubs[i]);
        }
    }
    return 0;
}

/* All share the folder, and with it the pepper. */
static void open_all(void)
{
    for (size_t i = 0; i < HUBS; i++) {
        if (i > 0) {
            memcpy(&hubs[i], &hubs[0], sizeof hubs[0]);
            hubs[i].hub = NULL;
        }
        fixture_open(&hubs[i]);
    }
}

struct client {
    struct fixture *fixture;
    pthread_t thread;
    bool was_served;
};

static void *ask(void *context)
{
    struct client *client = context;
    struct tw_hub_ticket ticket;
    fixture_reserve(client->fixture, &ticket, client->fixture->secret, 10, 10, false);
    client->was_served = ticket.refusal == TW_HUB_GRANTED && !ticket.is_clamped;
    if (client->was_served) {
        fixture_settle(client->fixture, &ticket, 10, 0, 10);
    }
    return NULL;
}

static void hubs_that_share_books_serve_together_what_a_budget_pays(void **state)
{
    static struct client clients[HUBS * CLIENTS];
    size_t n_served = 0;
    (void)state;
    fixture_add_budget(&hubs[0], FIXTURE_ORG, "money", PAID * 20, true, "month");
    open_all();
    for (size_t i = 0; i < HUBS * CLIENTS; i++) {
        clients[i] = (struct client){.fixture = &hubs[i % HUBS]};
        assert_int_equal(pthread_create(&clients[i].thread, NULL, ask, &clients[i]), 0);
    }
    for (size_t i = 0; i < HUBS * CLIENTS; i++) {
        pthread_join(clients[i].thread, NULL);
        n_served += clients[i].was_served;
    }
    assert_int_equal(n_served, PAID);
    assert_int_equal(fixture_check(&hubs[0]).settled_nano, PAID * 20);
}

static void what_a_silent_hub_left_open_is_settled_once_by_another(void **state)
{
    struct tw_hub_ticket ticket, other;
    (void)state;
    fixture_open(&hubs[0]);
    fixture_reserve(&hubs[0], &ticket, hubs[0].secret, 10, 100, true);
    memcpy(&hubs[1], &hubs[0], sizeof hubs[0]);
    fixture_open(&hubs[1]); /* takes it for alive */
    assert_int_equal(fixture_check(&hubs[0]).n_open, 1);
    fixture_close(&hubs[1]);
    hubs[1].now_ns += TW_LIMIT_HUB_LEASE_NS + FIXTURE_SECOND_NS;
    fixture_open(&hubs[1]);
    const struct tw_ledger_summary summary = fixture_check(&hubs[0]);
    assert_int_equal(summary.n_open, 0);
    assert_int_equal(summary.settled_tokens, 10 + TW_LIMIT_HUB_AHEAD_TOKENS);
    assert_int_equal(fixture_cover(&hubs[0], &ticket, 60), TW_ERR_MISSED);
    assert_int_equal(fixture_settle(&hubs[0], &ticket, 10, 0, 50), TW_ERR_MISSED);
    assert_int_equal(fixture_check(&hubs[0]).settled_tokens, 10 + TW_LIMIT_HUB_AHEAD_TOKENS);
    fixture_reserve(&hubs[0], &other, hubs[0].secret, 10, 100, true);
    assert_int_equal(other.refusal, TW_HUB_GRANTED);
    assert_int_equal(fixture_settle(&hubs[0], &other, 10, 0, 50), TW_OK);
    fixture_check(&hubs[0]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(hubs_that_share_books_serve_together_what_a_budget_pays),
        TEST(what_a_silent_hub_left_open_is_settled_once_by_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
