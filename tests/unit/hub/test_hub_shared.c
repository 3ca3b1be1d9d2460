/* Several hubs on one PostgreSQL. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "hub/hub_state.h"
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

static void hubs_that_share_books_serve_together_what_a_budget_pays(void **state)
{
    static struct fixture_client clients[HUBS * CLIENTS];
    size_t n_served = 0;
    (void)state;
    fixture_add_budget(&hubs[0], FIXTURE_ORG, "money", PAID * 20, true, "month");
    open_all();
    for (size_t i = 0; i < HUBS * CLIENTS; i++) {
        clients[i] = (struct fixture_client){.fixture = &hubs[i % HUBS]};
        assert_int_equal(pthread_create(&clients[i].thread, NULL, fixture_ask_once, &clients[i]),
                         0);
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

static void copy_file(const char *from, const char *to, const char *name)
{
    char path[160], bytes[4096];
    snprintf(path, sizeof path, "%s/%s", from, name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    const size_t n = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    snprintf(path, sizeof path, "%s/%s", to, name);
    file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, n, file), n);
    fclose(file);
    assert_int_equal(chmod(path, 0600), 0);
}

static json_t *must_ask(struct fixture *hub, const char *group, const char *verb,
                        const char *fields)
{
    struct tw_error error;
    json_t *answer = fixture_ask(hub, group, verb, fields, &error);
    if (answer == NULL) {
        fail_msg("%s", error.text);
    }
    return answer;
}

/* Each has a folder of its own, with its own keys of the same subjects. */
static void an_erasure_on_one_hub_takes_the_keys_of_the_others(void **state)
{
    static const char *const names[] = {"pepper", "audit-key", "audit-key.pub"};
    struct fixture *other = &hubs[1];
    struct tw_error error;
    char fields[64];
    (void)state;
    fixture_open(&hubs[0]);
    memcpy(other, &hubs[0], sizeof hubs[0]);
    snprintf(other->folder, sizeof other->folder, "/tmp/tw-hub-XXXXXX");
    assert_non_null(mkdtemp(other->folder));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        copy_file(hubs[0].folder, other->folder, names[i]);
    }
    fixture_open(other);
    json_decref(must_ask(&hubs[0], "project", "set",
                         "{\"path\": \"acme/research/chat\", \"store_content\": true}"));
    fixture_write(other); /* it reads what has changed */
    fixture_answer(&hubs[0], hubs[0].secret, "alice", "{}", "here");
    const int64_t there = fixture_answer(other, hubs[0].secret, "alice", "{}", "there");
    snprintf(fields, sizeof fields, "{\"request\": \"%lld\"}", (long long)there);
    json_decref(must_ask(other, "content", "show", fields));
    json_decref(must_ask(&hubs[0], "subject", "erase", "{\"subject\": \"alice\"}"));
    fixture_write(other);
    assert_null(fixture_ask(other, "subject", "export", "{\"subject\": \"alice\"}", &error));
    assert_int_equal(error.status, TW_ERR_NOT_FOUND);
    assert_null(fixture_ask(other, "content", "show", fields, &error));
    assert_non_null(strstr(error.text, "was erased"));
    fixture_destroy(other);
}

/* What it knows of the bound of a team, behind a group of its own. */
static uint32_t max_context(struct fixture *hub)
{
    struct tw_hub_caller caller;
    fixture_write(hub);
    assert_int_equal(tw_hub_authenticate(hub->hub, hub->secret, &caller), TW_HUB_KEY_GOOD);
    return tw_hub_max_context_tokens(hub->hub, &caller);
}

/* A row that was changed behind the back of all shows what is read. */
static void a_hub_reads_of_others_what_they_changed_and_all_where_that_is_too_much(void **state)
{
    struct fixture *other = &hubs[1];
    struct tw_hub_caller caller;
    char sql[160];
    (void)state;
    fixture_open(&hubs[0]);
    memcpy(other, &hubs[0], sizeof hubs[0]);
    fixture_open(other);
    assert_int_equal(max_context(other), UINT32_MAX);
    fixture_execute(&hubs[0], "UPDATE holder SET max_context_tokens = 7 WHERE id = 4");
    json_t *answer = must_ask(&hubs[0], "key", "create", "{\"path\": \"acme/research/chat/new\"}");
    assert_int_equal(max_context(other), UINT32_MAX);
    const char *secret = json_string_value(json_object_get(answer, "secret"));
    assert_int_equal(tw_hub_authenticate(other->hub, secret, &caller), TW_HUB_KEY_GOOD);
    json_decref(must_ask(other, "key", "revoke", "{\"path\": \"acme/research/chat/new\"}"));
    fixture_write(&hubs[0]);
    assert_int_equal(tw_hub_authenticate(hubs[0].hub, secret, &caller), TW_HUB_KEY_REVOKED);
    json_decref(answer);
    snprintf(sql, sizeof sql,
             "DELETE FROM directory_change; UPDATE books SET next_change = next_change + %d,"
             " writer = 0",
             TW_LIMIT_HUB_CHANGES + 1);
    fixture_execute(&hubs[0], sql);
    assert_int_equal(max_context(other), 7);
    assert_int_equal(max_context(&hubs[0]), 7);
}

/* Two hours before, and an hour behind: neither kills the others, nor moves the books' time. */
static void the_clocks_of_hubs_do_not_matter_where_the_store_has_one(void **state)
{
    const int64_t hour_ns = 3600 * FIXTURE_SECOND_NS;
    struct tw_hub_ticket ticket, others[2];
    struct tw_hub_caller caller;
    (void)state;
    hubs[0].has_store_time = true;
    open_all();
    hubs[1].now_ns += 2 * hour_ns;
    hubs[2].now_ns -= hour_ns;
    json_decref(must_ask(&hubs[0], "key", "set",
                         "{\"path\": \"acme/research/chat/ci\", \"expires\": \"+1h\"}"));
    fixture_reserve(&hubs[0], &ticket, hubs[0].secret, 10, 100, true);
    assert_int_equal(ticket.refusal, TW_HUB_GRANTED);
    for (size_t i = 1; i < HUBS; i++) {
        fixture_close(&hubs[i]); /* and as one that starts with such a clock */
        fixture_open(&hubs[i]);
        assert_int_equal(fixture_check(&hubs[0]).n_open, i);
        assert_int_equal(tw_hub_authenticate(hubs[i].hub, hubs[0].secret, &caller),
                         TW_HUB_KEY_GOOD);
        fixture_reserve(&hubs[i], &others[i - 1], hubs[0].secret, 10, 100, true);
        assert_int_equal(others[i - 1].refusal, TW_HUB_GRANTED);
    }
    assert_int_equal(fixture_settle(&hubs[0], &ticket, 10, 0, 50), TW_OK);
    assert_int_equal(fixture_settle(&hubs[1], &others[0], 10, 0, 50), TW_OK);
    assert_int_equal(fixture_settle(&hubs[2], &others[1], 10, 0, 50), TW_OK);
    assert_int_equal(fixture_check(&hubs[0]).n_open, 0);
    assert_int_equal(fixture_query(&hubs[0], "SELECT COUNT(*) FROM entry WHERE at_ns > %N"), 0);
    assert_int_equal(
        fixture_query(&hubs[0], "SELECT COUNT(*) FROM entry WHERE at_ns < %N - 60000000000"), 0);
}

/* Ends all connections, and so what hubs had begun. */
static void cut_all(void)
{
    fixture_query(&hubs[0], "SELECT COUNT(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity"
                            " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'");
}

static void a_hub_reaches_the_database_again_by_itself(void **state)
{
    struct tw_hub_ticket ticket;
    (void)state;
    fixture_open(&hubs[0]);
    fixture_reserve(&hubs[0], &ticket, hubs[0].secret, 10, 100, true);
    cut_all();
    assert_int_equal(fixture_cover(&hubs[0], &ticket, 60), TW_OK);
    assert_true(tw_hub_can_record(hubs[0].hub));
    usleep(1100000); /* it tries once a second */
    cut_all();
    assert_int_equal(fixture_settle(&hubs[0], &ticket, 10, 0, 50), TW_OK);
    const struct tw_ledger_summary summary = fixture_check(&hubs[0]);
    assert_int_equal(summary.n_open, 0);
    assert_int_equal(summary.settled_tokens, 60);
}

/* The connection ends while the reservation is on its way: first it is not kept, then it is. */
static void what_is_refused_since_nobody_knows_whether_it_is_there_costs_nothing(void **state)
{
    struct tw_hub_ticket ticket, other;
    (void)state;
    fixture_add_budget(&hubs[0], FIXTURE_ORG, "tokens", 1000, true, "month");
    fixture_execute(&hubs[0],
                    "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS"
                    " 'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END';"
                    "CREATE CONSTRAINT TRIGGER dies AFTER INSERT ON reservation"
                    " INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION die()");
    fixture_open(&hubs[0]);
    fixture_reserve(&hubs[0], &ticket, hubs[0].secret, 10, 100, true);
    assert_int_equal(ticket.refusal, TW_HUB_REFUSED_STORE);
    assert_int_equal(hubs[0].hub->doubted.n, 1);
    assert_false(tw_hub_can_record(hubs[0].hub));
    fixture_execute(&hubs[0], "DROP FUNCTION die() CASCADE");
    fixture_reserve(&hubs[0], &other, hubs[0].secret, 10, 100, true);
    assert_int_equal(other.refusal, TW_HUB_GRANTED);
    assert_int_equal(other.number, ticket.number); /* nothing was there, so it was free */
    assert_int_equal(hubs[0].hub->doubted.n, 0);
    assert_int_equal(fixture_check(&hubs[0]).n_open, 1);
    tw_hub_doubt(hubs[0].hub, other.number); /* as if its answer had not come */
    fixture_reserve(&hubs[0], &ticket, hubs[0].secret, 10, 100, true);
    assert_int_equal(ticket.refusal, TW_HUB_GRANTED);
    assert_int_equal(fixture_check(&hubs[0]).n_open, 1);
    assert_int_equal(fixture_settle(&hubs[0], &ticket, 10, 0, 50), TW_OK);
    assert_int_equal(fixture_check(&hubs[0]).settled_tokens, 60);
    assert_int_equal(fixture_query(&hubs[0], "SELECT reserved FROM budget_window"), 0);
}

/* The limits are of all hubs together, and no window or clock of one of them. */
static void rates_are_those_of_all_hubs_together(void **state)
{
    static struct fixture_client clients[HUBS * CLIENTS];
    struct tw_hub_ticket tickets[HUBS];
    size_t n_served = 0;
    (void)state;
    open_all();
    json_decref(must_ask(&hubs[0], "team", "set", "{\"path\": \"acme/research\", \"rpm\": 50}"));
    for (size_t i = 0; i < HUBS * CLIENTS; i++) {
        clients[i] = (struct fixture_client){.fixture = &hubs[i % HUBS]};
        assert_int_equal(pthread_create(&clients[i].thread, NULL, fixture_ask_once, &clients[i]),
                         0);
    }
    for (size_t i = 0; i < HUBS * CLIENTS; i++) {
        pthread_join(clients[i].thread, NULL);
        n_served += clients[i].was_served;
    }
    assert_int_equal(n_served, 50);
    for (size_t i = 0; i < HUBS; i++) {
        hubs[i].now_ns += 60 * FIXTURE_SECOND_NS;
    }

    /* Two at once: what ran when the limit was set counts, whoever has it. */
    fixture_reserve(&hubs[0], &tickets[0], hubs[0].secret, 10, 10, true);
    json_decref(must_ask(&hubs[1], "project", "set",
                         "{\"path\": \"acme/research/chat\", \"concurrent\": 2}"));
    fixture_reserve(&hubs[1], &tickets[1], hubs[0].secret, 10, 10, true);
    assert_int_equal(tickets[1].refusal, TW_HUB_GRANTED);
    fixture_reserve(&hubs[2], &tickets[2], hubs[0].other_secret, 10, 10, true);
    assert_int_equal(tickets[2].refusal, TW_HUB_REFUSED_CONCURRENT);
    assert_int_equal(fixture_settle(&hubs[0], &tickets[0], 10, 0, 10), TW_OK);
    fixture_reserve(&hubs[2], &tickets[2], hubs[0].other_secret, 10, 10, true);
    assert_int_equal(tickets[2].refusal, TW_HUB_GRANTED);
    assert_int_equal(fixture_settle(&hubs[1], &tickets[1], 10, 0, 10), TW_OK);
    assert_int_equal(fixture_settle(&hubs[2], &tickets[2], 10, 0, 10), TW_OK);
    assert_int_equal(fixture_query(&hubs[0], "SELECT SUM(running) FROM rate"), 0);
}

/* Budget, tokens a minute, and its place among those that run. */
static void what_a_dead_hub_held_comes_back_after_its_lease(void **state)
{
    struct fixture *other = &hubs[1];
    struct tw_hub_ticket ticket, next;
    (void)state;
    fixture_add_budget(&hubs[0], FIXTURE_ORG, "tokens", 200, true, "month");
    fixture_open(&hubs[0]);
    memcpy(other, &hubs[0], sizeof hubs[0]);
    fixture_open(other);
    json_decref(
        must_ask(other, "key", "set", "{\"path\": \"acme/research/chat/ci\", \"concurrent\": 1}"));
    fixture_reserve(&hubs[0], &ticket, hubs[0].secret, 10, 190, false);
    assert_int_equal(ticket.refusal, TW_HUB_GRANTED);
    fixture_close(&hubs[0]); /* and leaves it open */
    fixture_reserve(other, &next, hubs[0].secret, 10, 190, false);
    assert_int_equal(next.refusal, TW_HUB_REFUSED_BUDGET);
    other->now_ns += TW_LIMIT_HUB_LEASE_NS + FIXTURE_SECOND_NS;
    usleep(TW_LIMIT_HUB_BEAT_NS / 1000 + 500000); /* then it looks after others, asked or not */
    fixture_reserve(other, &next, hubs[0].secret, 10, 190, false);
    assert_int_equal(next.refusal, TW_HUB_GRANTED);
    assert_int_equal(next.max_answer_tokens, 190);
    assert_int_equal(fixture_settle(other, &next, 10, 0, 190), TW_OK);
    assert_int_equal(fixture_check(other).settled_tokens, 200);
}

static bool becomes(bool (*is_so)(const void *), const void *what)
{
    for (int i = 0; i < 1000; i++) { /* ten seconds */
        if (is_so(what)) {
            return true;
        }
        usleep(10000);
    }
    return false;
}

static bool is_revoked(const void *secret)
{
    struct tw_hub_caller caller;
    return tw_hub_authenticate(hubs[1].hub, secret, &caller) == TW_HUB_KEY_REVOKED;
}

static bool is_good(const void *secret)
{
    struct tw_hub_caller caller;
    return tw_hub_authenticate(hubs[1].hub, secret, &caller) == TW_HUB_KEY_GOOD;
}

static bool wrote_after(const void *ns)
{
    return fixture_query(&hubs[0], "SELECT MAX(seen_ns) FROM hub_process") > *(const int64_t *)ns;
}

/* Both have nothing to do. */
static void a_revocation_reaches_hubs_that_are_told_and_hubs_that_are_not(void **state)
{
    (void)state;
    hubs[0].has_store_time = true;
    fixture_open(&hubs[0]);
    memcpy(&hubs[1], &hubs[0], sizeof hubs[0]);
    fixture_open(&hubs[1]);
    json_t *answer = must_ask(&hubs[0], "key", "create", "{\"path\": \"acme/research/chat/new\"}");
    const char *secret = json_string_value(json_object_get(answer, "secret"));
    assert_true(becomes(is_good, secret)); /* so it has a link */
    json_decref(must_ask(&hubs[0], "key", "revoke", "{\"path\": \"acme/research/chat/new\"}"));
    assert_true(becomes(is_revoked, secret));
    fixture_close(&hubs[0]);

    /* What is said is heard, although nothing has changed: earlier than it would write anyway. */
    fixture_write(&hubs[1]);
    const int64_t before_ns = fixture_query(&hubs[0], "SELECT MAX(seen_ns) FROM hub_process");
    fixture_execute(&hubs[0], tw_db_notify_sql);
    assert_true(becomes(wrote_after, &before_ns));
    assert_true(fixture_query(&hubs[0], "SELECT MAX(seen_ns) FROM hub_process") - before_ns <
                TW_LIMIT_HUB_BEAT_NS);

    /* And what changes is seen where nothing is said. */
    fixture_execute(&hubs[0], "UPDATE secret SET revoked_ns = 1 WHERE holder = 7;"
                              "INSERT INTO directory_change SELECT next_change, 2, 11 FROM books;"
                              "UPDATE books SET next_change = next_change + 1, writer = 0");
    assert_true(becomes(is_revoked, hubs[1].other_secret));
    json_decref(answer);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(hubs_that_share_books_serve_together_what_a_budget_pays),
        TEST(what_a_silent_hub_left_open_is_settled_once_by_another),
        TEST(an_erasure_on_one_hub_takes_the_keys_of_the_others),
        TEST(a_hub_reads_of_others_what_they_changed_and_all_where_that_is_too_much),
        TEST(the_clocks_of_hubs_do_not_matter_where_the_store_has_one),
        TEST(rates_are_those_of_all_hubs_together),
        TEST(what_a_dead_hub_held_comes_back_after_its_lease),
        TEST(a_hub_reaches_the_database_again_by_itself),
        TEST(what_is_refused_since_nobody_knows_whether_it_is_there_costs_nothing),
        TEST(a_revocation_reaches_hubs_that_are_told_and_hubs_that_are_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
