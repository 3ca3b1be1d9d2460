/* What goes wrong in a group, and requests that nobody can count: it stays with who did it. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "hub/hub_admin.h"
#include "hub/hub_state.h"
#include "hub_fixture.h"

#define MILLION    INT64_C(1000000)
#define N_WAITS    2000 /* of 5 ms */
#define MANY_NAMES TW_LIMIT_HUB_LIST_NAMES

static const struct tw_hub_actor machine = {.name = "test"};

static int create(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    fixture_create(fixture);
    *state = fixture;
    return 0;
}

static int destroy(void **state)
{
    fixture_destroy(*state);
    free(*state);
    return 0;
}

/* The answer, which is the caller's. */
static json_t *good(struct fixture *fixture, const char *group, const char *verb,
                    const char *fields)
{
    struct tw_error error;
    json_t *answer = NULL;
    json_t *json = json_loads(fields, 0, NULL);
    if (tw_hub_ask(fixture->hub, &machine, tw_hub_make_command(group, verb, json), &answer,
                   &error) != TW_OK) {
        fail_msg("%s %s %s: %s", group, verb, fields, error.text);
    }
    return answer;
}

static size_t n_rows(struct fixture *fixture, const char *group, const char *rows)
{
    json_t *answer = good(fixture, group, "list", "{}");
    const size_t n = json_array_size(json_object_get(answer, rows));
    json_decref(answer);
    return n;
}

/* ---- one group ---- */

/* Holds the writer up, so that what is asked meanwhile is one group; or lets a group fail. */
struct gate {
    struct tw_hub_op op;
    _Atomic bool is_held, may_go, is_done;
};

static void hold(struct tw_hub *hub, struct tw_hub_op *op)
{
    struct gate *gate = (struct gate *)op;
    (void)hub;
    gate->is_held = true;
    while (!gate->may_go) {
        sched_yield();
    }
}

static void spoil(struct tw_hub *hub, struct tw_hub_op *op)
{
    struct tw_error error;
    (void)op;
    tw_error_set(&error, TW_ERR_LIMIT, TW_NO_POSITION, "no room left");
    tw_hub_fail_group(hub, error.status, &error);
}

static void leave(struct tw_hub *hub, struct tw_hub_op *op, enum tw_status status)
{
    (void)hub;
    (void)status;
    ((struct gate *)op)->is_done = true;
}

static void begin(struct fixture *fixture, struct gate *gate)
{
    *gate = (struct gate){.op = {.apply = hold, .done = leave}};
    tw_hub_enqueue(fixture->hub, &gate->op);
    while (!gate->is_held) {
        sched_yield();
    }
}

static void go(struct gate *gate)
{
    gate->may_go = true;
    while (!gate->is_done) {
        sched_yield();
    }
}

/* What waits becomes one group that fails; commands would have groups of their own. */
static void fail_group(struct fixture *fixture, struct gate *spoiler)
{
    pthread_mutex_lock(&fixture->hub->lock);
    for (struct tw_hub_op *op = fixture->hub->first; op != NULL; op = op->next) {
        op->is_alone = false;
    }
    pthread_mutex_unlock(&fixture->hub->lock);
    *spoiler = (struct gate){.op = {.apply = spoil, .done = leave}};
    tw_hub_enqueue(fixture->hub, &spoiler->op);
}

static void wait_for(_Atomic int *number, int wanted)
{
    const struct timespec tick = {.tv_nsec = 5000000};
    for (int i = 0; *number != wanted && i < N_WAITS; i++) {
        nanosleep(&tick, NULL);
    }
    assert_int_equal(*number, wanted);
}

static void count(void *context, struct tw_hub_ticket *ticket, enum tw_status status)
{
    (void)ticket;
    *(_Atomic int *)context += status == TW_OK ? 1 : 100;
}

static struct tw_hub_request request_of(struct fixture *fixture, const char *secret)
{
    struct tw_hub_request request = {.model = "m",
                                     .client_id = "c",
                                     .n_prompt_tokens = 3,
                                     .n_answers = 1,
                                     .most_answer_tokens = 4};
    assert_int_equal(tw_hub_authenticate(fixture->hub, secret, &request.caller), TW_HUB_KEY_GOOD);
    return request;
}

/* ---- what never was ---- */

/* From now on the store refuses the row of the books at the end of each group in which there is
 * something of that name, or something closed. */
static void refuse_ghosts(struct fixture *fixture)
{
#define IS_GHOST                                                                                   \
    "EXISTS (SELECT 1 FROM holder WHERE name = 'ghost' OR closed_ns IS NOT NULL)"                  \
    " OR EXISTS (SELECT 1 FROM person WHERE name = 'ghost')"                                       \
    " OR EXISTS (SELECT 1 FROM price WHERE model = 'ghost')"                                       \
    " OR EXISTS (SELECT 1 FROM budget WHERE name = 'ghost')"                                       \
    " OR EXISTS (SELECT 1 FROM secret WHERE revoked_ns IS NOT NULL)"
    fixture_execute(fixture,
                    getenv("TW_TEST_POSTGRES") != NULL
                        ? "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                          " IF " IS_GHOST
                          " THEN RAISE EXCEPTION 'no room left'; END IF; RETURN NEW; END $$;"
                          "CREATE TRIGGER refuse BEFORE UPDATE ON books FOR EACH ROW"
                          " EXECUTE FUNCTION refuse()"
                        : "CREATE TRIGGER refuse BEFORE UPDATE ON books WHEN " IS_GHOST
                          " BEGIN SELECT RAISE(ABORT, 'no room left'); END");
}

static void refused(struct fixture *fixture, const char *group, const char *verb,
                    const char *fields)
{
    struct tw_error error;
    json_t *answer = NULL;
    json_t *json = json_loads(fields, 0, NULL);
    assert_int_not_equal(
        tw_hub_ask(fixture->hub, &machine, tw_hub_make_command(group, verb, json), &answer, &error),
        TW_OK);
    assert_non_null(strstr(error.text, "no room left"));
}

static void what_was_rolled_back_is_not_in_memory(void **state)
{
    struct fixture *fixture = *state;
    struct tw_hub_ticket ticket;
    refuse_ghosts(fixture);
    fixture_open(fixture);
    refused(fixture, "user", "create", "{\"path\": \"ghost\"}");
    refused(fixture, "key", "create", "{\"path\": \"acme/research/chat/ghost\"}");
    refused(fixture, "budget", "set",
            "{\"path\": \"acme\", \"unit\": \"tokens\", \"limit\": 1, \"name\": \"ghost\"}");
    refused(fixture, "project", "create", "{\"path\": \"acme/research/ghost\"}");
    refused(fixture, "price", "set", "{\"model\": \"ghost\", \"input\": \"7\", \"output\": \"7\"}");
    assert_int_equal(n_rows(fixture, "key", "keys"), 2);
    assert_int_equal(n_rows(fixture, "project", "projects"), 1);
    assert_int_equal(n_rows(fixture, "user", "users"), 0);
    assert_int_equal(n_rows(fixture, "budget", "budgets"), 0);
    assert_int_equal(n_rows(fixture, "price", "prices"), 0);
    /* The same numbers are given to other things. */
    json_decref(
        good(fixture, "price", "set", "{\"model\": \"*\", \"input\": \"1\", \"output\": \"2\"}"));
    json_decref(good(fixture, "user", "create", "{\"path\": \"somebody\"}"));
    json_decref(good(fixture, "team", "create", "{\"path\": \"acme/ops\"}"));
    assert_int_equal(fixture_reserve(fixture, &ticket, fixture->secret, 3, 4, false), TW_OK);
    assert_int_equal(ticket.refusal, TW_HUB_GRANTED);
    assert_int_equal(ticket.amount_nano, (3 * 1 + 4 * 2) * 1000);
    assert_int_equal(fixture_settle(fixture, &ticket, 3, 0, 4), TW_OK);
    fixture_close(fixture);
    assert_int_equal(fixture_check(fixture).settled_nano, 11000);
    fixture_open(fixture);
}

static void a_key_of_before_stays_good_when_a_change_is_rolled_back(void **state)
{
    struct fixture *fixture = *state;
    struct tw_hub_ticket ticket;
    refuse_ghosts(fixture);
    fixture_open(fixture);
    refused(fixture, "key", "revoke", "{\"path\": \"acme/research/chat/ci\"}");
    refused(fixture, "key", "rotate",
            "{\"path\": \"acme/research/chat/other\", \"overlap\": \"0\"}");
    assert_int_equal(n_rows(fixture, "key", "keys"), 2);
    assert_int_equal(fixture_reserve(fixture, &ticket, fixture->secret, 3, 4, false), TW_OK);
    assert_int_equal(fixture_settle(fixture, &ticket, 3, 0, 4), TW_OK);
    assert_int_equal(fixture_reserve(fixture, &ticket, fixture->other_secret, 3, 4, false), TW_OK);
    assert_int_equal(fixture_settle(fixture, &ticket, 3, 0, 4), TW_OK);
}

/* ---- what could not be settled ---- */

static void a_request_that_could_not_be_settled_is_settled_as_soon_as_it_can_be(void **state)
{
    struct fixture *fixture = *state;
    const struct tw_hub_usage usage = {
        .n_prompt_tokens = 3, .n_answer_tokens = 4, .finish = "stop"};
    const struct timespec tick = {.tv_nsec = 5000000};
    struct gate gate, spoiler;
    struct tw_hub_ticket ticket, next;
    _Atomic int n_done = 0;
    fixture_add_price(fixture, MILLION, MILLION, MILLION);
    fixture_add_budget(fixture, FIXTURE_PROJECT, "money", 10, true, "total");
    fixture_execute(fixture, "UPDATE holder SET concurrent_requests = 1 WHERE kind = 'key'");
    fixture_open(fixture);
    assert_int_equal(fixture_reserve(fixture, &ticket, fixture->secret, 3, 4, true), TW_OK);
    assert_int_equal(ticket.refusal, TW_HUB_GRANTED);
    begin(fixture, &gate);
    fail_group(fixture, &spoiler);
    tw_hub_settle(fixture->hub, &ticket, &usage, count, &n_done);
    go(&gate);
    wait_for(&n_done, 100);
    int i = 0;
    while (fixture_query(fixture, "SELECT COUNT(*) FROM reservation") != 0 && i++ < N_WAITS) {
        nanosleep(&tick, NULL);
    }
    assert_int_equal(fixture_query(fixture, "SELECT spent FROM budget_window"), 7);
    assert_int_equal(
        fixture_query(fixture, "SELECT COUNT(*) FROM audit WHERE kind = 'request.recovered'"), 1);
    assert_int_equal(fixture_reserve(fixture, &next, fixture->secret, 1, 1, false), TW_OK);
    assert_int_equal(next.refusal, TW_HUB_GRANTED);
    assert_int_equal(fixture_settle(fixture, &next, 1, 0, 1), TW_OK);
    fixture_close(fixture);
    assert_int_equal(fixture_check(fixture).n_open, 0);
}

/* ---- what cannot be counted ---- */

static void a_request_that_cannot_be_counted_is_refused_and_no_other(void **state)
{
    struct fixture *fixture = *state;
    struct gate gate;
    struct tw_hub_ticket huge, small, last;
    _Atomic int n_done = 0;
    fixture_add_price(fixture, TW_LIMIT_HUB_LIMIT_NANO, 0, TW_LIMIT_HUB_LIMIT_NANO);
    fixture_add_budget(fixture, FIXTURE_ORG, "money", 1, false, "day");
    fixture_open(fixture);
    struct tw_hub_request too_much = request_of(fixture, fixture->secret);
    const struct tw_hub_request little = request_of(fixture, fixture->other_secret);
    too_much.n_answers = 128;
    too_much.most_answer_tokens = 131072;
    begin(fixture, &gate);
    tw_hub_reserve(fixture->hub, &huge, &too_much, count, &n_done);
    tw_hub_reserve(fixture->hub, &small, &little, count, &n_done);
    go(&gate);
    wait_for(&n_done, 2);
    assert_int_equal(huge.refusal, TW_HUB_REFUSED_BUDGET);
    assert_int_equal(small.refusal, TW_HUB_GRANTED);
    /* Nor are sums counted over their end. */
    too_much.n_answers = 60;
    tw_hub_reserve(fixture->hub, &huge, &too_much, count, &n_done);
    wait_for(&n_done, 3);
    assert_int_equal(huge.refusal, TW_HUB_GRANTED);
    tw_hub_reserve(fixture->hub, &last, &too_much, count, &n_done);
    wait_for(&n_done, 4);
    assert_int_equal(last.refusal, TW_HUB_REFUSED_BUDGET);
    assert_int_equal(fixture_settle(fixture, &huge, 0, 0, 0), TW_OK);
    assert_int_equal(fixture_settle(fixture, &small, 0, 0, 0), TW_OK);
    tw_hub_reserve(fixture->hub, &last, &too_much, count, &n_done);
    wait_for(&n_done, 5);
    assert_int_equal(last.refusal, TW_HUB_REFUSED_BUDGET);
    assert_int_equal(fixture_reserve(fixture, &small, fixture->other_secret, 1, 1, false), TW_OK);
    assert_int_equal(small.refusal, TW_HUB_GRANTED);
    assert_int_equal(fixture_settle(fixture, &small, 1, 0, 1), TW_OK);
    fixture_close(fixture);
    fixture_check(fixture);
}

/* ---- a first start that is ended ---- */

static void a_first_start_that_was_ended_anywhere_is_gone_on_with(void **state)
{
    static const struct {
        const char *group, *verb, *fields;
    } steps[] = {{"user", "create", "{\"path\": \"owner\"}"},
                 {"user", "grant", "{\"path\": \"owner\", \"role\": \"owner\"}"},
                 {"org", "create", "{\"path\": \"default\"}"},
                 {"team", "create", "{\"path\": \"default/default\"}"},
                 {"project", "create", "{\"path\": \"default/default/default\"}"},
                 {"user", "secret", "{\"path\": \"owner\"}"}};
    struct fixture *fixture = *state;
    for (size_t n = 0; n <= sizeof steps / sizeof *steps; n++) {
        struct tw_hub_owner owner;
        struct tw_hub_caller caller;
        struct tw_hub_actor actor;
        struct tw_error error;
        fixture_destroy(fixture);
        fixture_create(fixture);
        fixture_execute(fixture, "DELETE FROM secret; DELETE FROM holder; DELETE FROM account"
                                 " WHERE project <> 0");
        fixture_open(fixture);
        for (size_t i = 0; i < n; i++) {
            json_decref(good(fixture, steps[i].group, steps[i].verb, steps[i].fields));
        }
        assert_true(tw_hub_is_new(fixture->hub));
        assert_int_equal(tw_hub_make_owner(fixture->hub, &owner, &error), TW_OK);
        assert_true(tw_hub_find_person(fixture->hub, owner.user_secret, &actor));
        assert_int_equal(tw_hub_authenticate(fixture->hub, owner.key_secret, &caller),
                         TW_HUB_KEY_GOOD);
        assert_false(tw_hub_is_new(fixture->hub));
        assert_int_equal(n_rows(fixture, "user", "users"), 1);
        assert_int_equal(n_rows(fixture, "key", "keys"), 1);
    }
}

/* ---- memory ---- */

static void lists_of_models_that_change_again_and_again_take_no_more_memory(void **state)
{
    struct fixture *fixture = *state;
    char name[TW_LIMIT_HUB_TEXT_BYTES + 1];
    size_t used_bytes = 0;
    fixture_open(fixture);
    for (int i = 0; i < 50; i++) {
        json_t *models = json_array();
        for (int k = 0; k < MANY_NAMES; k++) {
            snprintf(name, sizeof name, "%0*d", TW_LIMIT_HUB_TEXT_BYTES, i * MANY_NAMES + k);
            json_array_append_new(models, json_string(name));
        }
        json_t *answer = NULL;
        struct tw_error error;
        json_t *fields = json_pack("{s:s, s:o}", "path", "acme", "models", models);
        assert_int_equal(tw_hub_ask(fixture->hub, &machine,
                                    tw_hub_make_command("org", "set", fields), &answer, &error),
                         TW_OK);
        json_decref(answer);
        used_bytes = i == 0 ? fixture->hub->directory.arena.used_bytes : used_bytes;
    }
    assert_int_equal(fixture->hub->directory.arena.used_bytes, used_bytes);
}

int main(void)
{
#define BOOKS(test) cmocka_unit_test_setup_teardown(test, create, destroy)
    const struct CMUnitTest tests[] = {
        BOOKS(what_was_rolled_back_is_not_in_memory),
        BOOKS(a_key_of_before_stays_good_when_a_change_is_rolled_back),
        BOOKS(a_request_that_could_not_be_settled_is_settled_as_soon_as_it_can_be),
        BOOKS(a_request_that_cannot_be_counted_is_refused_and_no_other),
        BOOKS(a_first_start_that_was_ended_anywhere_is_gone_on_with),
        BOOKS(lists_of_models_that_change_again_and_again_take_no_more_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
