/* Commands against books: what they change in the tables, in memory and in the record. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hub/hub_admin.h"
#include "hub/hub_state.h"
#include "hub_fixture.h"

#define PATH_OF_KEY "acme/research/chat/ci"

static const struct tw_hub_actor machine = {.name = "test"};

static int create(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    fixture_create(fixture);
    fixture_open(fixture);
    *state = fixture;
    return 0;
}

static int destroy(void **state)
{
    fixture_destroy(*state);
    free(*state);
    return 0;
}

static enum tw_status ask_as(struct fixture *fixture, const struct tw_hub_actor *actor,
                             const char *command, const char *fields, json_t **ret_answer,
                             struct tw_error *error)
{
    char group[32];
    const char *space = strchr(command, ' ');
    snprintf(group, sizeof group, "%.*s", (int)(space - command), command);
    json_t *json = json_loads(fields, 0, NULL);
    assert_non_null(json);
    return tw_hub_ask(fixture->hub, actor, tw_hub_make_command(group, space + 1, json), ret_answer,
                      error);
}

/* The answer, which stays until the next call. */
static json_t *good(struct fixture *fixture, const char *command, const char *fields)
{
    static json_t *answer;
    struct tw_error error;
    json_decref(answer);
    answer = NULL;
    if (ask_as(fixture, &machine, command, fields, &answer, &error) != TW_OK) {
        fail_msg("%s %s: %s", command, fields, error.text);
    }
    return answer;
}

static void refused(struct fixture *fixture, const char *command, const char *fields,
                    enum tw_status status, const char *sentence)
{
    struct tw_error error = {.text = ""};
    json_t *answer = NULL;
    const enum tw_status got = ask_as(fixture, &machine, command, fields, &answer, &error);
    if (got != status || strstr(error.text, sentence) == NULL) {
        fail_msg("%s %s: %d '%s' does not say '%s'", command, fields, (int)got, error.text,
                 sentence);
    }
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    assert_non_null(text);
    return text;
}

static int64_t number_of(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

static enum tw_hub_verdict verdict(struct fixture *fixture, const char *secret)
{
    struct tw_hub_caller caller;
    return tw_hub_authenticate(fixture->hub, secret, &caller);
}

/* ---- the tree ---- */

static void a_tree_is_made_from_the_top_and_shown(void **state)
{
    struct fixture *fixture = *state;
    good(fixture, "org create", "{\"path\": \"beta\"}");
    good(fixture, "team create", "{\"path\": \"beta/ops\", \"rpm\": 60}");
    good(fixture, "project create",
         "{\"path\": \"beta/ops/bot\", \"weight\": 3, \"class\": \"idle\", \"models\": [\"m\", "
         "\"n\"]}");
    json_t *answer = good(fixture, "project list", "{\"path\": \"beta\"}");
    json_t *row = json_array_get(json_object_get(answer, "projects"), 0);
    assert_string_equal(text_of(row, "path"), "beta/ops/bot");
    assert_string_equal(text_of(row, "class"), "idle");
    assert_int_equal(number_of(row, "weight"), 3);
    assert_int_equal(json_array_size(json_object_get(row, "models")), 2);
    assert_int_equal(json_array_size(json_object_get(answer, "projects")), 1);
    refused(fixture, "org create", "{\"path\": \"beta\"}", TW_ERR_USAGE, "'beta' is taken already");
    refused(fixture, "team create", "{\"path\": \"gamma/ops\"}", TW_ERR_NOT_FOUND,
            "no open 'gamma'");
    refused(fixture, "org set", "{\"path\": \"acme\", \"name\": \"beta\"}", TW_ERR_USAGE,
            "'beta' is taken");
}

static void a_new_name_is_found_and_an_old_one_is_not(void **state)
{
    struct fixture *fixture = *state;
    good(fixture, "team set", "{\"path\": \"acme/research\", \"name\": \"science\", \"tpm\": 9}");
    refused(fixture, "team set", "{\"path\": \"acme/research\"}", TW_ERR_NOT_FOUND, "no open");
    json_t *answer = good(fixture, "team set", "{\"path\": \"acme/science\"}");
    assert_int_equal(number_of(answer, "tpm"), 9);
    good(fixture, "team create", "{\"path\": \"acme/research\"}");
}

static void what_is_closed_is_gone_with_all_below_and_its_name_is_free(void **state)
{
    struct fixture *fixture = *state;
    good(fixture, "team close", "{\"path\": \"acme/research\"}");
    assert_int_equal(verdict(fixture, fixture->secret), TW_HUB_KEY_REVOKED);
    refused(fixture, "project set", "{\"path\": \"acme/research/chat\"}", TW_ERR_NOT_FOUND,
            "no open");
    assert_int_equal(json_array_size(json_object_get(good(fixture, "key list", "{}"), "keys")), 0);
    assert_int_equal(
        json_array_size(json_object_get(good(fixture, "key list", "{\"all\": true}"), "keys")), 2);
    good(fixture, "team create", "{\"path\": \"acme/research\"}");
    assert_int_equal(
        json_array_size(json_object_get(good(fixture, "project list", "{}"), "projects")), 0);
}

/* ---- lists ---- */

static void a_list_comes_in_pages_that_have_each_row_once(void **state)
{
    struct fixture *fixture = *state;
    char fields[128];
    int64_t after = 0;
    size_t n_rows = 0, n_pages = 0;
    for (int i = 0; i < 5; i++) {
        snprintf(fields, sizeof fields, "{\"path\": \"acme/research/chat/k%d\"}", i);
        good(fixture, "key create", fields);
    }
    for (bool has_more = true; has_more; n_pages++) {
        snprintf(fields, sizeof fields, "{\"most\": 3, \"after\": %lld}", (long long)after);
        json_t *answer = good(fixture, "key list", fields);
        const json_t *rows = json_object_get(answer, "keys");
        has_more = json_is_integer(json_object_get(answer, "next"));
        for (size_t i = 0; i < json_array_size(rows); i++, n_rows++) {
            const int64_t id = number_of(json_array_get(rows, i), "id");
            assert_true(id > after);
            after = id;
        }
        assert_true(!has_more || number_of(answer, "next") == after);
        assert_true(json_array_size(rows) <= 3);
    }
    assert_int_equal(n_rows, 7);
    assert_int_equal(n_pages, 3);
}

struct hold {
    pthread_mutex_t lock;
    _Atomic bool is_held;
};

static void hold_writer(void *context, struct tw_hub_ticket *ticket, enum tw_status status)
{
    struct hold *hold = context;
    (void)ticket;
    (void)status;
    hold->is_held = true;
    pthread_mutex_lock(&hold->lock);
    pthread_mutex_unlock(&hold->lock);
}

/* It would not come back, were it made by the writer, who is held up here. */
static void a_list_waits_for_nobody_and_shows_what_is_committed(void **state)
{
    struct fixture *fixture = *state;
    struct tw_hub_ticket ticket;
    struct hold hold = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct tw_hub_request request = {.model = "m",
                                     .client_id = "r",
                                     .n_prompt_tokens = 30,
                                     .n_answers = 1,
                                     .most_answer_tokens = 30};
    good(fixture, "budget set", "{\"path\": \"acme\", \"unit\": \"tokens\", \"limit\": 100}");
    assert_int_equal(tw_hub_authenticate(fixture->hub, fixture->secret, &request.caller),
                     TW_HUB_KEY_GOOD);
    pthread_mutex_lock(&hold.lock);
    tw_hub_reserve(fixture->hub, &ticket, &request, hold_writer, &hold);
    while (!hold.is_held) {
        sched_yield();
    }
    json_t *row = json_array_get(json_object_get(good(fixture, "budget list", "{}"), "budgets"), 0);
    assert_int_equal(number_of(row, "reserved"), 60);
    pthread_mutex_unlock(&hold.lock);
    fixture_settle(fixture, &ticket, 30, 0, 10);
    row = json_array_get(json_object_get(good(fixture, "budget list", "{}"), "budgets"), 0);
    assert_int_equal(number_of(row, "spent"), 40);
    assert_int_equal(number_of(row, "reserved"), 0);
}

/* ---- keys ---- */

static void count(void *context, struct tw_hub_ticket *ticket, enum tw_status status)
{
    (void)ticket;
    (void)status;
    ++*(_Atomic int *)context;
}

/* By a caller who was let in before. */
static void reserve_as(struct fixture *fixture, struct tw_hub_ticket *ticket,
                       const struct tw_hub_caller *caller)
{
    _Atomic int n_done = 0;
    const struct tw_hub_request request = {.caller = *caller,
                                           .model = "m",
                                           .n_prompt_tokens = 1,
                                           .n_answers = 1,
                                           .most_answer_tokens = 1};
    tw_hub_reserve(fixture->hub, ticket, &request, count, &n_done);
    while (n_done == 0) {
        sched_yield();
    }
}

static void a_secret_is_shown_once_and_opens_its_key(void **state)
{
    struct fixture *fixture = *state;
    char secret[TW_DIRECTORY_SECRET_BYTES];
    json_t *answer = good(fixture, "key create", "{\"path\": \"acme/research/chat/new\"}");
    snprintf(secret, sizeof secret, "%s", text_of(answer, "secret"));
    assert_int_equal(strncmp(secret, "tw-", 3), 0);
    assert_int_equal(verdict(fixture, secret), TW_HUB_KEY_GOOD);
    secret[strlen(secret) - 1] ^= 1;
    assert_int_equal(verdict(fixture, secret), TW_HUB_KEY_UNKNOWN);
    json_t *keys = json_object_get(good(fixture, "key list", "{}"), "keys");
    char *shown = json_dumps(keys, 0);
    assert_non_null(strstr(shown, "acme/research/chat/new"));
    assert_null(strstr(shown, secret + 12));
    free(shown);
}

static void after_a_revocation_nothing_is_admitted_and_what_runs_may_not_go_on(void **state)
{
    struct fixture *fixture = *state;
    struct tw_hub_ticket before, after;
    assert_int_equal(fixture_reserve(fixture, &before, fixture->secret, 1, 1, true), TW_OK);
    assert_int_equal(before.refusal, TW_HUB_GRANTED);
    assert_true(tw_hub_may_go_on(&before.request.caller));
    good(fixture, "key revoke", "{\"path\": \"" PATH_OF_KEY "\"}");
    assert_false(tw_hub_may_go_on(&before.request.caller));
    assert_int_equal(verdict(fixture, fixture->secret), TW_HUB_KEY_REVOKED);
    assert_int_equal(verdict(fixture, fixture->other_secret), TW_HUB_KEY_GOOD);
    fixture_settle(fixture, &before, 1, 0, 1);
    reserve_as(fixture, &after, &before.request.caller);
    assert_int_equal(after.refusal, TW_HUB_REFUSED_KEY);
    fixture_close(fixture);
    fixture_open(fixture);
    assert_int_equal(verdict(fixture, fixture->secret), TW_HUB_KEY_REVOKED);
}

static void a_rotated_key_has_two_secrets_until_the_overlap_ends(void **state)
{
    struct fixture *fixture = *state;
    char secret[TW_DIRECTORY_SECRET_BYTES];
    json_t *answer =
        good(fixture, "key rotate", "{\"path\": \"" PATH_OF_KEY "\", \"overlap\": \"1h\"}");
    snprintf(secret, sizeof secret, "%s", text_of(answer, "secret"));
    assert_int_equal(verdict(fixture, fixture->secret), TW_HUB_KEY_GOOD);
    assert_int_equal(verdict(fixture, secret), TW_HUB_KEY_GOOD);
    fixture->now_ns += 3600 * FIXTURE_SECOND_NS + 1;
    assert_int_equal(verdict(fixture, fixture->secret), TW_HUB_KEY_EXPIRED);
    assert_int_equal(verdict(fixture, secret), TW_HUB_KEY_GOOD);
    good(fixture, "key rotate", "{\"path\": \"" PATH_OF_KEY "\", \"overlap\": \"0\"}");
    assert_int_equal(verdict(fixture, secret), TW_HUB_KEY_REVOKED);
}

static void a_key_ends_when_it_was_said(void **state)
{
    struct fixture *fixture = *state;
    good(fixture, "key set", "{\"path\": \"" PATH_OF_KEY "\", \"expires\": \"+1d\"}");
    assert_int_equal(verdict(fixture, fixture->secret), TW_HUB_KEY_GOOD);
    fixture->now_ns += 86401 * FIXTURE_SECOND_NS;
    assert_int_equal(verdict(fixture, fixture->secret), TW_HUB_KEY_EXPIRED);
    refused(fixture, "key set", "{\"path\": \"" PATH_OF_KEY "\", \"expires\": \"never\"}",
            TW_ERR_USAGE, "has expired already");
    refused(fixture, "key rotate", "{\"path\": \"" PATH_OF_KEY "\", \"expires\": \"2020-01-01\"}",
            TW_ERR_USAGE, "lies in the past");
}

/* ---- budgets and prices ---- */

static json_t *budget_of(struct fixture *fixture, const char *path)
{
    json_t *budgets = json_object_get(good(fixture, "budget list", "{}"), "budgets");
    for (size_t i = 0; i < json_array_size(budgets); i++) {
        json_t *row = json_array_get(budgets, i);
        if (strcmp(text_of(row, "path"), path) == 0) {
            return row;
        }
    }
    fail_msg("%s has no budget", path);
    return NULL;
}

static void a_budget_bounds_what_it_says_and_shows_what_is_left(void **state)
{
    struct fixture *fixture = *state;
    struct tw_hub_ticket ticket;
    good(fixture, "budget set",
         "{\"path\": \"acme\", \"unit\": \"tokens\", \"limit\": 100, \"period\": \"day\"}");
    assert_int_equal(fixture_reserve(fixture, &ticket, fixture->secret, 30, 30, false), TW_OK);
    assert_int_equal(ticket.refusal, TW_HUB_GRANTED);
    assert_int_equal(number_of(budget_of(fixture, "acme"), "reserved"), 60);
    assert_int_equal(number_of(budget_of(fixture, "acme"), "left"), 40);
    fixture_settle(fixture, &ticket, 30, 0, 10);
    assert_int_equal(number_of(budget_of(fixture, "acme"), "spent"), 40);
    assert_int_equal(number_of(budget_of(fixture, "acme"), "left"), 60);
    assert_int_equal(fixture_reserve(fixture, &ticket, fixture->secret, 60, 10, false), TW_OK);
    assert_int_equal(ticket.refusal, TW_HUB_REFUSED_BUDGET);
    fixture_close(fixture);
    fixture_check(fixture);
}

static void a_new_limit_keeps_what_was_used_and_a_new_period_begins_anew(void **state)
{
    struct fixture *fixture = *state;
    struct tw_hub_ticket ticket;
    const char *tokens = "{\"path\": \"acme\", \"unit\": \"tokens\", \"limit\": 100}";
    const int64_t id = number_of(good(fixture, "budget set", tokens), "id");
    assert_int_equal(fixture_reserve(fixture, &ticket, fixture->secret, 30, 30, false), TW_OK);
    json_t *answer =
        good(fixture, "budget set", "{\"path\": \"acme\", \"limit\": \"1k\", \"soft\": true}");
    assert_int_equal(number_of(answer, "id"), id);
    assert_int_equal(number_of(answer, "limit"), 1000);
    assert_int_equal(number_of(answer, "reserved"), 60);
    answer = good(fixture, "budget set", "{\"path\": \"acme\", \"period\": \"week\"}");
    assert_int_not_equal(number_of(answer, "id"), id);
    assert_int_equal(number_of(answer, "reserved"), 0);
    assert_int_equal(number_of(answer, "limit"), 1000);
    fixture_settle(fixture, &ticket, 30, 0, 10);
    assert_int_equal(number_of(budget_of(fixture, "acme"), "spent"), 0);
    refused(fixture, "budget set", "{\"path\": \"acme\", \"unit\": \"money\"}", TW_ERR_USAGE,
            "needs 'limit': what may be used in a period, in money");
    good(fixture, "budget set", "{\"path\": \"acme\", \"unit\": \"money\", \"limit\": \"2.5\"}");
    assert_string_equal(text_of(budget_of(fixture, "acme"), "left"), "2.5");
    good(fixture, "budget close", "{\"path\": \"acme\"}");
    refused(fixture, "budget close", "{\"path\": \"acme\"}", TW_ERR_NOT_FOUND,
            "no open budget 'main'");
    fixture_close(fixture);
    fixture_check(fixture);
}

static void a_budget_that_makes_no_sense_is_refused(void **state)
{
    struct fixture *fixture = *state;
    refused(fixture, "budget set", "{\"path\": \"acme\"}", TW_ERR_USAGE, "needs 'limit'");
    refused(fixture, "budget set", "{\"path\": \"acme\", \"limit\": \"1.5\", \"unit\": \"tokens\"}",
            TW_ERR_USAGE, "limit, in tokens: '1.5' is no number of tokens");
    refused(fixture, "budget set", "{\"path\": \"acme\", \"limit\": \"20M\"}", TW_ERR_USAGE,
            "limit, in money: '20M' is no amount");
    refused(fixture, "budget set", "{\"path\": \"acme\", \"limit\": -1}", TW_ERR_USAGE,
            "limit: it must be from 0 to 1000000000 money");
    refused(fixture, "budget set", "{\"path\": \"acme\", \"limit\": 1, \"zone\": \"Europe/Berln\"}",
            TW_ERR_NOT_FOUND, "zone: ");
    refused(fixture, "budget set",
            "{\"path\": \"acme\", \"limit\": 1, \"zone\": \"../../etc/passwd\"}", TW_ERR_USAGE,
            "zone: ");
    refused(fixture, "budget set",
            "{\"path\": \"acme\", \"limit\": 1, \"rollover\": true, \"soft\": true}", TW_ERR_USAGE,
            "rollover: ");
    refused(fixture, "budget set",
            "{\"path\": \"acme\", \"limit\": 1, \"rollover\": true, \"period\": \"total\"}",
            TW_ERR_USAGE, "rollover: ");
    char fields[128];
    for (int i = 0; i < TW_LIMIT_HUB_PATH; i++) {
        snprintf(fields, sizeof fields, "{\"path\": \"%s\", \"limit\": 1, \"name\": \"b%d\"}",
                 i % 2 == 0 ? "acme" : PATH_OF_KEY, i);
        good(fixture, "budget set", fields);
    }
    refused(fixture, "budget set", "{\"path\": \"acme/research\", \"limit\": 1}", TW_ERR_LIMIT,
            "more than 32 budgets");
    good(fixture, "budget set", "{\"path\": \"acme/research/chat/other\", \"limit\": 1}");
}

static void prices_are_versions_and_a_request_is_charged_at_the_one_of_its_beginning(void **state)
{
    struct fixture *fixture = *state;
    struct tw_hub_ticket ticket;
    good(fixture, "price set", "{\"model\": \"*\", \"input\": \"1\", \"output\": \"2\"}");
    good(fixture, "budget set", "{\"path\": \"acme\", \"limit\": \"100\"}");
    assert_int_equal(fixture_reserve(fixture, &ticket, fixture->secret, 1000, 1000, false), TW_OK);
    assert_int_equal(ticket.refusal, TW_HUB_GRANTED);
    fixture->now_ns += FIXTURE_SECOND_NS;
    good(fixture, "price set", "{\"model\": \"*\", \"input\": \"10\", \"output\": \"20\"}");
    fixture_settle(fixture, &ticket, 1000, 0, 1000);
    assert_string_equal(text_of(budget_of(fixture, "acme"), "spent"), "0.003");
    json_t *answer = good(fixture, "price list", "{\"all\": true}");
    assert_int_equal(json_array_size(json_object_get(answer, "prices")), 2);
    json_t *prices = json_object_get(good(fixture, "price list", "{}"), "prices");
    assert_int_equal(json_array_size(prices), 1);
    assert_string_equal(text_of(json_array_get(prices, 0), "input"), "10");
    refused(fixture, "price set",
            "{\"model\": \"*\", \"input\": \"1\", \"output\": \"1\", \"from\": \"2020-01-01\"}",
            TW_ERR_USAGE, "from: a price holds from now");
    good(fixture, "price set",
         "{\"model\": \"*\", \"input\": \"1\", \"output\": \"1\", \"from\": \"+1d\"}");
    prices = json_object_get(good(fixture, "price list", "{}"), "prices");
    assert_string_equal(text_of(json_array_get(prices, 1), "state"), "to come");
    fixture_close(fixture);
    fixture_check(fixture);
}

/* ---- who may ---- */

static struct tw_hub_actor person(struct fixture *fixture, const char *path, const char *role,
                                  const char *scope)
{
    char fields[256];
    struct tw_hub_actor actor;
    snprintf(fields, sizeof fields, "{\"path\": \"%s\"}", path);
    good(fixture, "user create", fields);
    snprintf(fields, sizeof fields, "{\"path\": \"%s\", \"role\": \"%s\"%s%s%s}", path, role,
             scope != NULL ? ", \"scope\": \"" : "", scope != NULL ? scope : "",
             scope != NULL ? "\"" : "");
    good(fixture, "user grant", fields);
    snprintf(fields, sizeof fields, "{\"path\": \"%s\"}", path);
    json_t *answer = good(fixture, "user secret", fields);
    assert_true(tw_hub_find_person(fixture->hub, text_of(answer, "secret"), &actor));
    return actor;
}

static void denied(struct fixture *fixture, const struct tw_hub_actor *actor, const char *command,
                   const char *fields)
{
    struct tw_error error = {.text = ""};
    json_t *answer = NULL;
    const enum tw_status status = ask_as(fixture, actor, command, fields, &answer, &error);
    if (status != TW_ERR_DENIED) {
        fail_msg("%s %s: %d %s", command, fields, (int)status, error.text);
    }
}

static json_t *allowed(struct fixture *fixture, const struct tw_hub_actor *actor,
                       const char *command, const char *fields)
{
    static json_t *answer;
    struct tw_error error;
    json_decref(answer);
    answer = NULL;
    if (ask_as(fixture, actor, command, fields, &answer, &error) != TW_OK) {
        fail_msg("%s %s: %s", command, fields, error.text);
    }
    return answer;
}

static void a_team_lead_runs_the_team_and_does_not_raise_its_limits(void **state)
{
    struct fixture *fixture = *state;
    const struct tw_hub_actor lead = person(fixture, "acme/lea", "owner", "acme/research");
    allowed(fixture, &lead, "project create", "{\"path\": \"acme/research/lab\"}");
    allowed(fixture, &lead, "key create", "{\"path\": \"acme/research/lab/k\"}");
    allowed(fixture, &lead, "budget set", "{\"path\": \"acme/research/lab\", \"limit\": 5}");
    denied(fixture, &lead, "budget set", "{\"path\": \"acme/research\", \"limit\": 5}");
    denied(fixture, &lead, "budget set", "{\"path\": \"acme\", \"limit\": 5}");
    denied(fixture, &lead, "team set", "{\"path\": \"acme/research\", \"rpm\": 9}");
    denied(fixture, &lead, "team create", "{\"path\": \"acme/other\"}");
    denied(fixture, &lead, "price set", "{\"model\": \"*\", \"input\": \"0\", \"output\": \"0\"}");
    denied(fixture, &lead, "ledger check", "{}");
    denied(fixture, &lead, "user create", "{\"path\": \"acme/eve\"}");
}

static void who_may_not_know_is_told_the_same_of_what_is_there_and_what_is_not(void **state)
{
    struct fixture *fixture = *state;
    const struct tw_hub_actor lead = person(fixture, "acme/lea", "owner", "acme/research");
    struct tw_error there, missing;
    json_t *answer = NULL;
    good(fixture, "team create", "{\"path\": \"acme/secret\"}");
    ask_as(fixture, &lead, "team close", "{\"path\": \"acme/secret\"}", &answer, &there);
    ask_as(fixture, &lead, "team close", "{\"path\": \"acme/absent\"}", &answer, &missing);
    assert_int_equal(there.status, TW_ERR_DENIED);
    assert_int_equal(missing.status, TW_ERR_DENIED);
    assert_int_equal(strncmp(there.text, missing.text, 30), 0);
    assert_non_null(strstr(there.text, "do not allow 'team close' of acme/secret"));
    assert_non_null(strstr(missing.text, "do not allow 'team close' of acme/absent"));
    /* Nor do lists, or users of others, tell what there is. */
    static const char *const asked[][3] = {
        {"key list", "{\"path\": \"beta\"}", "{\"path\": \"absent\"}"},
        {"team list", "{\"path\": \"acme/secret\"}", "{\"path\": \"acme/absent\"}"},
        {"user list", "{\"path\": \"beta\"}", "{\"path\": \"absent\"}"},
        {"user grant",
         "{\"path\": \"beta/bob\", \"role\": \"member\", \"scope\": \"acme/research\"}",
         "{\"path\": \"beta/eve\", \"role\": \"member\", \"scope\": \"acme/research\"}"},
        {"key create", "{\"path\": \"acme/research/chat/k\", \"user\": \"beta/bob\"}",
         "{\"path\": \"acme/research/chat/k\", \"user\": \"beta/eve\"}"}};
    good(fixture, "org create", "{\"path\": \"beta\"}");
    good(fixture, "user create", "{\"path\": \"beta/bob\"}");
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        ask_as(fixture, &lead, asked[i][0], asked[i][1], &answer, &there);
        ask_as(fixture, &lead, asked[i][0], asked[i][2], &answer, &missing);
        assert_int_equal(there.status, TW_ERR_DENIED);
        assert_int_equal(missing.status, TW_ERR_DENIED);
        assert_int_equal(strncmp(there.text, missing.text, 30), 0);
    }
    allowed(fixture, &lead, "key list", "{\"path\": \"acme\"}");
}

static void lists_show_what_lies_in_the_scope(void **state)
{
    struct fixture *fixture = *state;
    good(fixture, "org create", "{\"path\": \"beta\"}");
    good(fixture, "team create", "{\"path\": \"beta/ops\"}");
    const struct tw_hub_actor member = person(fixture, "beta/max", "member", "beta/ops");
    good(fixture, "budget set", "{\"path\": \"acme\", \"limit\": 1}");
    good(fixture, "budget set", "{\"path\": \"beta\", \"limit\": 1}");
    good(fixture, "budget set", "{\"path\": \"beta/ops\", \"limit\": 1}");
    assert_int_equal(
        json_array_size(json_object_get(allowed(fixture, &member, "org list", "{}"), "orgs")), 0);
    assert_int_equal(
        json_array_size(json_object_get(allowed(fixture, &member, "key list", "{}"), "keys")), 0);
    json_t *budgets = json_object_get(allowed(fixture, &member, "budget list", "{}"), "budgets");
    assert_int_equal(json_array_size(budgets), 1);
    assert_string_equal(text_of(json_array_get(budgets, 0), "path"), "beta/ops");
    denied(fixture, &member, "user list", "{}");
    denied(fixture, &member, "ledger list", "{}");
}

static void roles_and_persons_end_at_once(void **state)
{
    struct fixture *fixture = *state;
    const struct tw_hub_actor fin = person(fixture, "acme/fin", "finance", NULL);
    const struct tw_hub_actor eva = person(fixture, "eva", "owner", NULL);
    allowed(fixture, &fin, "budget set", "{\"path\": \"acme\", \"limit\": 1}");
    denied(fixture, &fin, "key revoke", "{\"path\": \"" PATH_OF_KEY "\"}");
    refused(fixture, "user grant", "{\"path\": \"acme/fin\", \"role\": \"finance\"}", TW_ERR_USAGE,
            "has this role there already");
    good(fixture, "org create", "{\"path\": \"beta\"}");
    refused(fixture, "user grant",
            "{\"path\": \"acme/fin\", \"role\": \"owner\", \"scope\": \"beta\"}", TW_ERR_USAGE,
            "in that organisation only");
    good(fixture, "user withdraw", "{\"path\": \"acme/fin\", \"role\": \"finance\"}");
    denied(fixture, &fin, "budget set", "{\"path\": \"acme\", \"limit\": 2}");
    refused(fixture, "user withdraw", "{\"path\": \"acme/fin\", \"role\": \"finance\"}",
            TW_ERR_NOT_FOUND, "does not have this role");
    allowed(fixture, &eva, "org create", "{\"path\": \"gamma\"}");
    good(fixture, "user close", "{\"path\": \"eva\"}");
    denied(fixture, &eva, "org create", "{\"path\": \"delta\"}");
}

static void a_persons_new_secret_ends_the_old_one_and_is_no_key(void **state)
{
    struct fixture *fixture = *state;
    char first[TW_DIRECTORY_SECRET_BYTES];
    struct tw_hub_actor actor;
    good(fixture, "user create", "{\"path\": \"eva\"}");
    snprintf(first, sizeof first, "%s",
             text_of(good(fixture, "user secret", "{\"path\": \"eva\"}"), "secret"));
    assert_true(tw_hub_find_person(fixture->hub, first, &actor));
    assert_string_equal(actor.name, "eva");
    assert_int_equal(verdict(fixture, first), TW_HUB_KEY_UNKNOWN);
    good(fixture, "user secret", "{\"path\": \"eva\"}");
    assert_false(tw_hub_find_person(fixture->hub, first, &actor));
    assert_false(tw_hub_find_person(fixture->hub, fixture->secret, &actor));
}

/* ---- the record ---- */

static void a_change_is_on_record_with_before_and_after_and_without_secrets(void **state)
{
    struct fixture *fixture = *state;
    char secret[TW_DIRECTORY_SECRET_BYTES];
    json_t *answer = good(fixture, "key create", "{\"path\": \"acme/research/chat/new\"}");
    snprintf(secret, sizeof secret, "%s", text_of(answer, "secret"));
    good(fixture, "team set", "{\"path\": \"acme/research\", \"rpm\": 7}");
    good(fixture, "team set", "{\"path\": \"acme/research\", \"rpm\": 9}");
    json_t *records =
        json_object_get(good(fixture, "audit list", "{\"kind\": \"config.changed\"}"), "records");
    assert_int_equal(json_array_size(records), 3);
    json_t *body = json_object_get(json_array_get(records, 0), "body");
    assert_string_equal(text_of(body, "command"), "team set");
    assert_string_equal(text_of(body, "object"), "acme/research");
    assert_string_equal(text_of(body, "actor_name"), "test");
    assert_int_equal(number_of(json_object_get(body, "before"), "rpm"), 7);
    assert_int_equal(number_of(json_object_get(body, "after"), "rpm"), 9);
    assert_int_equal(json_object_size(json_object_get(body, "after")), 1);
    char *all = json_dumps(records, 0);
    assert_non_null(strstr(all, "acme/research/chat/new"));
    assert_null(strstr(all, secret + 12));
    free(all);
}

#define REFUSALS "SELECT count(*) FROM audit WHERE kind = 'command.refused'"

static void what_is_refused_writes_nothing_but_its_record(void **state)
{
    struct fixture *fixture = *state;
    const int64_t n = fixture_query(fixture, "SELECT count(*) FROM audit");
    const int64_t id = fixture_query(fixture, "SELECT next_id FROM books");
    refused(fixture, "org create", "{\"path\": \"acme\"}", TW_ERR_USAGE, "taken");
    refused(fixture, "team create", "{\"path\": \"x/y\"}", TW_ERR_NOT_FOUND, "no open");
    refused(fixture, "budget set", "{\"path\": \"acme\"}", TW_ERR_USAGE, "limit");
    refused(fixture, "nothing here", "{}", TW_ERR_NOT_FOUND, "there is nothing called 'nothing'");
    refused(fixture, "key list", "{\"path\": \"x\"}", TW_ERR_NOT_FOUND, "no open");
    assert_int_equal(fixture_query(fixture, "SELECT count(*) FROM audit"), n + 3);
    assert_int_equal(fixture_query(fixture, REFUSALS), 3);
    assert_int_equal(fixture_query(fixture, "SELECT next_id FROM books"), id);
}

struct refusal {
    bool by_person; /* who has no role there */
    const char *command, *fields;
    const char *status;            /* NULL: no record */
    const char *object;            /* NULL: none */
    const char *reason, *unspoken; /* what the record has, and has not */
};

#define LIKE_A_SECRET "tw-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const struct refusal refusals[] = {
    {false, "team set", "{\"path\": \"acme/nobody\", \"rpm\": 5}", "not found", "acme/nobody",
     "there is no open '...'", NULL},
    {false, "team set", "{\"path\": \"acme/research\", \"rpm\": \"hush\"}", "usage",
     "acme/research", "rpm", "hush"},
    {false, "team set", "{\"path\": \"acme/research\", \"hush\": 1}", "usage", "acme/research",
     "field '...'", "hush"},
    {false, "project set", "{\"path\": \"acme/research/chat\", \"weight\": 0}", "usage",
     "acme/research/chat", "0 is not from 1", NULL},
    {false, "key revoke", "{\"path\": \"" LIKE_A_SECRET "\"}", "usage", NULL, "'...'", "tw-aaa"},
    {false, "org close", "{\"path\": \"" LIKE_A_SECRET "\"}", "not found", NULL, "'...'", "tw-aaa"},
    {false, "budget close", "{\"path\": \"acme\", \"name\": \"it's 'hush'\"}", "usage", "acme", "",
     "hush"},
    {false, "subject release", "{\"subject\": \"hush@example.org\"}", "not found", NULL,
     "there is no legal hold", "hush"},
    {false, "price set",
     "{\"model\": \"m\", \"input\": \"1\", \"output\": \"1\", \"from\": \"2001-01-01\"}", "usage",
     NULL, "from: a price holds from now", NULL},
    {true, "org create", "{\"path\": \"mine\"}", "denied", "mine", "the roles do not allow it",
     NULL},
    {true, "team set", "{\"path\": \"acme/research\", \"rpm\": 9}", "denied", "acme/research",
     "the roles do not allow it", NULL},
    {true, "key revoke", "{\"path\": \"" PATH_OF_KEY "\"}", "denied", PATH_OF_KEY, "roles", NULL},
    {true, "ledger list", "{}", "denied", NULL, "the roles do not allow it", NULL},
    {true, "audit list", "{}", "denied", NULL, "the roles do not allow it", NULL},
    {true, "user list", "{}", "denied", NULL, "the roles do not allow it", NULL},
    {false, "key list", "{\"path\": \"nobody\"}", NULL, NULL, NULL, NULL},
    {false, "audit list", "{\"rows\": 0}", NULL, NULL, NULL, NULL},
};

static json_t *last_refusal(struct fixture *fixture)
{
    json_t *records =
        json_object_get(good(fixture, "audit list", "{\"kind\": \"command.refused\"}"), "records");
    return json_object_get(json_array_get(records, 0), "body");
}

static void check_refusal(struct fixture *fixture, const struct tw_hub_actor *actor,
                          const struct refusal *row)
{
    struct tw_error error;
    json_t *answer = NULL;
    const int64_t n = fixture_query(fixture, REFUSALS);
    if (ask_as(fixture, actor, row->command, row->fields, &answer, &error) == TW_OK) {
        fail_msg("%s %s is not refused", row->command, row->fields);
    }
    assert_int_equal(fixture_query(fixture, REFUSALS), n + (row->status != NULL));
    if (row->status == NULL) {
        return;
    }
    const json_t *body = last_refusal(fixture);
    char *all = json_dumps(body, 0);
    const char *object = json_string_value(json_object_get(body, "object"));
    if (strcmp(text_of(body, "status"), row->status) != 0 ||
        strcmp(text_of(body, "command"), row->command) != 0 ||
        strcmp(text_of(body, "actor_name"), actor->name) != 0 ||
        number_of(body, "actor") != actor->person ||
        strstr(text_of(body, "reason"), row->reason) == NULL ||
        strcmp(object != NULL ? object : "", row->object != NULL ? row->object : "") != 0 ||
        (row->unspoken != NULL && strstr(all, row->unspoken) != NULL)) {
        fail_msg("%s %s: %s", row->command, row->fields, all);
    }
    free(all);
}

static void a_refusal_is_on_record_without_what_was_given_by_mistake(void **state)
{
    struct fixture *fixture = *state;
    good(fixture, "user create", "{\"path\": \"acme/lea\"}");
    json_t *answer = good(fixture, "user secret", "{\"path\": \"acme/lea\"}");
    struct tw_hub_actor lea;
    assert_true(tw_hub_find_person(fixture->hub, text_of(answer, "secret"), &lea));
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        check_refusal(fixture, refusals[i].by_person ? &lea : &machine, &refusals[i]);
    }
    fixture_check(fixture);
}

/* 64 in an hour, and each caller has its own. */
static void a_loop_of_refusals_does_not_fill_the_log(void **state)
{
    struct fixture *fixture = *state;
    good(fixture, "user create", "{\"path\": \"acme/lea\"}");
    json_t *answer = good(fixture, "user secret", "{\"path\": \"acme/lea\"}");
    struct tw_hub_actor lea;
    assert_true(tw_hub_find_person(fixture->hub, text_of(answer, "secret"), &lea));
    for (int i = 0; i < TW_LIMIT_HUB_REFUSALS + 36; i++) {
        denied(fixture, &lea, i % 2 == 0 ? "org create" : "audit list",
               i % 2 == 0 ? "{\"path\": \"mine\"}" : "{}");
    }
    assert_int_equal(fixture_query(fixture, REFUSALS), TW_LIMIT_HUB_REFUSALS);
    refused(fixture, "org create", "{\"path\": \"acme\"}", TW_ERR_USAGE, "taken");
    assert_int_equal(fixture_query(fixture, REFUSALS), TW_LIMIT_HUB_REFUSALS + 1);
    assert_null(json_object_get(last_refusal(fixture), "left_out"));
    fixture->now_ns += 3600 * FIXTURE_SECOND_NS;
    denied(fixture, &lea, "org create", "{\"path\": \"mine\"}");
    assert_int_equal(number_of(last_refusal(fixture), "left_out"), 36);
    denied(fixture, &lea, "org create", "{\"path\": \"mine\"}");
    assert_null(json_object_get(last_refusal(fixture), "left_out"));
}

/* ---- two people ---- */

static struct tw_hub_actor make_owner(struct fixture *fixture, const char *name)
{
    char fields[80];
    struct tw_hub_actor actor;
    snprintf(fields, sizeof fields, "{\"path\": \"%s\"}", name);
    good(fixture, "user create", fields);
    snprintf(fields, sizeof fields, "{\"path\": \"%s\", \"role\": \"owner\"}", name);
    good(fixture, "user grant", fields);
    snprintf(fields, sizeof fields, "{\"path\": \"%s\"}", name);
    assert_true(tw_hub_find_person(
        fixture->hub, text_of(good(fixture, "user secret", fields), "secret"), &actor));
    return actor;
}

static int64_t propose_price(struct fixture *fixture, const struct tw_hub_actor *actor)
{
    json_t *answer = NULL;
    struct tw_error error = {.text = ""};
    if (ask_as(fixture, actor, "price set",
               "{\"model\": \"late\", \"input\": \"3\", \"output\": \"4\"}", &answer,
               &error) != TW_OK) {
        fail_msg("%s", error.text);
    }
    const int64_t number = number_of(answer, "proposal");
    json_decref(answer);
    return number;
}

static enum tw_status decide(struct fixture *fixture, const struct tw_hub_actor *actor,
                             const char *command, int64_t number, struct tw_error *error)
{
    char fields[40];
    json_t *answer = NULL;
    snprintf(fields, sizeof fields, "{\"proposal\": %lld}", (long long)number);
    const enum tw_status status = ask_as(fixture, actor, command, fields, &answer, error);
    json_decref(answer);
    return status;
}

static void what_was_proposed_a_week_ago_can_not_be_approved_any_more(void **state)
{
    static const char prices[] = "SELECT COUNT(*) FROM price WHERE model = 'late'";
    struct fixture *fixture = *state;
    struct tw_error error;
    const struct tw_hub_actor ann = make_owner(fixture, "ann"), bob = make_owner(fixture, "bob");
    good(fixture, "approval set", "{\"two_people\": true}");
    const int64_t late = propose_price(fixture, &ann);
    fixture->now_ns += 1;
    const int64_t last = propose_price(fixture, &ann);
    fixture->now_ns += TW_LIMIT_HUB_PROPOSAL_NS - 1;
    assert_int_equal(decide(fixture, &bob, "approval approve", late, &error), TW_ERR_NOT_FOUND);
    assert_non_null(strstr(error.text, "has expired"));
    assert_int_equal(decide(fixture, &bob, "approval reject", late, &error), TW_ERR_NOT_FOUND);
    assert_int_equal(fixture_query(fixture, prices), 0);
    json_t *rows = json_object_get(good(fixture, "approval list", "{}"), "proposals");
    assert_int_equal(json_array_size(rows), 1);
    assert_int_equal(number_of(json_array_get(rows, 0), "proposal"), last);
    rows = json_object_get(good(fixture, "approval list", "{\"all\": true}"), "proposals");
    assert_string_equal(text_of(json_array_get(rows, 1), "state"), "expired");
    assert_int_equal(decide(fixture, &bob, "approval approve", last, &error), TW_OK);
    assert_int_equal(fixture_query(fixture, prices), 1);
    fixture_check(fixture);
}

/* ---- a first start ---- */

static void old_keys_stay_good_and_their_hashes_open_nothing(void **state)
{
    struct fixture *fixture = *state;
    const char *key = "sk-old-key", *other = "sk-another";
    struct tw_hub_old_key rows[] = {
        {.tenant = "night jobs",
         .hash = tw_secret_hash_of(key, strlen(key)),
         .weight = 4,
         .priority_class = 2},
        {.tenant = "night jobs",
         .hash = tw_secret_hash_of(other, strlen(other)),
         .weight = 4,
         .priority_class = 2,
         .may_use_special = true},
        {.tenant = "night jobs", .hash = tw_secret_hash_of(other, strlen(other)), .weight = 4}};
    struct tw_error error;
    struct tw_hub_caller caller;
    char hex[TW_SECRET_HEX_BYTES + 1];
    size_t n = 0;
    assert_int_equal(tw_hub_take_over(fixture->hub, rows, 3, &n, &error), TW_OK);
    assert_int_equal(n, 2);
    assert_int_equal(tw_hub_authenticate(fixture->hub, key, &caller), TW_HUB_KEY_GOOD);
    assert_int_equal(caller.weight, 4);
    assert_int_equal(caller.priority_class, 2);
    assert_false(caller.may_use_special);
    assert_int_equal(tw_hub_authenticate(fixture->hub, other, &caller), TW_HUB_KEY_GOOD);
    assert_true(caller.may_use_special);
    for (size_t i = 0; i < TW_SECRET_HASH_BYTES; i++) {
        snprintf(hex + 2 * i, 3, "%02x", rows[0].hash.bytes[i]);
    }
    assert_int_equal(verdict(fixture, hex), TW_HUB_KEY_UNKNOWN);
    json_t *projects =
        json_object_get(good(fixture, "project list", "{\"path\": \"default\"}"), "projects");
    assert_int_equal(json_array_size(projects), 1);
    assert_string_equal(text_of(json_array_get(projects, 0), "path"), "default/default/night-jobs");
    assert_int_equal(tw_hub_take_over(fixture->hub, rows, 3, &n, &error), TW_OK);
    assert_int_equal(n, 0);
}

static void a_first_start_makes_an_owner_and_a_key(void **state)
{
    struct fixture *fixture = *state;
    struct tw_hub_owner owner;
    struct tw_hub_actor actor;
    struct tw_error error;
    assert_false(tw_hub_is_new(fixture->hub));
    assert_int_equal(tw_hub_make_owner(fixture->hub, &owner, &error), TW_OK);
    assert_int_equal(verdict(fixture, owner.key_secret), TW_HUB_KEY_GOOD);
    assert_true(tw_hub_find_person(fixture->hub, owner.user_secret, &actor));
    allowed(fixture, &actor, "org close", "{\"path\": \"default\"}");
    assert_int_equal(verdict(fixture, owner.key_secret), TW_HUB_KEY_REVOKED);
}

/* ---- beside requests ---- */

struct load {
    struct fixture *fixture;
    _Atomic bool stops;
    _Atomic int n_granted;
};

static void *ask_again_and_again(void *context)
{
    struct load *load = context;
    while (!load->stops) {
        struct tw_hub_ticket ticket;
        fixture_reserve(load->fixture, &ticket, load->fixture->other_secret, 3, 3, false);
        if (ticket.refusal == TW_HUB_GRANTED) {
            fixture_settle(load->fixture, &ticket, 3, 1, 2);
            load->n_granted++;
        }
    }
    return NULL;
}

static void changes_beside_requests_lose_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct load load = {.fixture = fixture};
    pthread_t threads[4];
    char fields[128];
    good(fixture, "price set", "{\"model\": \"*\", \"input\": \"1\", \"output\": \"2\"}");
    good(fixture, "budget set", "{\"path\": \"acme\", \"limit\": \"1000\"}");
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, ask_again_and_again, &load), 0);
    }
    for (int i = 0; i < 40; i++) {
        snprintf(fields, sizeof fields, "{\"path\": \"acme\", \"limit\": %d}", 1000 + i);
        good(fixture, "budget set", fields);
        snprintf(fields, sizeof fields, "{\"path\": \"acme/research/chat/k%d\"}", i);
        good(fixture, "key create", fields);
    }
    load.stops = true;
    for (size_t i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_true(load.n_granted > 0);
    fixture_close(fixture);
    assert_int_equal(fixture_check(fixture).n_requests, load.n_granted);
}

/* Holds the writer up, so that what is asked meanwhile is one group. */
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

static void leave(struct tw_hub *hub, struct tw_hub_op *op, enum tw_status status)
{
    (void)hub;
    (void)status;
    ((struct gate *)op)->is_done = true;
}

static void take_answer(void *context, enum tw_status status, json_t *answer,
                        const struct tw_error *error)
{
    if (status != TW_OK) { /* a failed assertion belongs to the test's thread */
        print_error("%s\n", error->text);
    }
    json_decref(answer);
    *(_Atomic int *)context += status == TW_OK;
}

static void a_change_in_one_group_with_requests_loses_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct gate gate = {.op = {.apply = hold, .done = leave}};
    struct tw_hub_ticket before, after;
    struct tw_hub_request request = {.model = "m",
                                     .client_id = "c",
                                     .n_prompt_tokens = 3,
                                     .n_answers = 1,
                                     .most_answer_tokens = 4};
    _Atomic int n_done = 0;
    good(fixture, "budget set", "{\"path\": \"acme\", \"unit\": \"tokens\", \"limit\": 100}");
    assert_int_equal(tw_hub_authenticate(fixture->hub, fixture->secret, &request.caller),
                     TW_HUB_KEY_GOOD);
    tw_hub_enqueue(fixture->hub, &gate.op);
    while (!gate.is_held) {
        sched_yield();
    }
    tw_hub_reserve(fixture->hub, &before, &request, count, &n_done);
    tw_hub_command(
        fixture->hub, &machine,
        tw_hub_make_command("budget", "set", json_pack("{s:s, s:i}", "path", "acme", "limit", 90)),
        take_answer, &n_done);
    tw_hub_reserve(fixture->hub, &after, &request, count, &n_done);
    gate.may_go = true;
    while (n_done < 3 || !gate.is_done) {
        sched_yield();
    }
    json_t *row = budget_of(fixture, "acme");
    assert_int_equal(number_of(row, "limit"), 90);
    assert_int_equal(number_of(row, "reserved"), 14);
    fixture_settle(fixture, &before, 3, 0, 4);
    fixture_settle(fixture, &after, 3, 0, 4);
    assert_int_equal(number_of(budget_of(fixture, "acme"), "spent"), 14);
    fixture_close(fixture);
    assert_int_equal(fixture_check(fixture).n_requests, 2);
}

int main(void)
{
#define BOOKS(test) cmocka_unit_test_setup_teardown(test, create, destroy)
    const struct CMUnitTest tests[] = {
        BOOKS(a_tree_is_made_from_the_top_and_shown),
        BOOKS(a_new_name_is_found_and_an_old_one_is_not),
        BOOKS(what_is_closed_is_gone_with_all_below_and_its_name_is_free),
        BOOKS(a_list_comes_in_pages_that_have_each_row_once),
        BOOKS(a_list_waits_for_nobody_and_shows_what_is_committed),
        BOOKS(a_secret_is_shown_once_and_opens_its_key),
        BOOKS(after_a_revocation_nothing_is_admitted_and_what_runs_may_not_go_on),
        BOOKS(a_rotated_key_has_two_secrets_until_the_overlap_ends),
        BOOKS(a_key_ends_when_it_was_said),
        BOOKS(a_budget_bounds_what_it_says_and_shows_what_is_left),
        BOOKS(a_new_limit_keeps_what_was_used_and_a_new_period_begins_anew),
        BOOKS(a_budget_that_makes_no_sense_is_refused),
        BOOKS(prices_are_versions_and_a_request_is_charged_at_the_one_of_its_beginning),
        BOOKS(a_team_lead_runs_the_team_and_does_not_raise_its_limits),
        BOOKS(who_may_not_know_is_told_the_same_of_what_is_there_and_what_is_not),
        BOOKS(lists_show_what_lies_in_the_scope),
        BOOKS(roles_and_persons_end_at_once),
        BOOKS(a_persons_new_secret_ends_the_old_one_and_is_no_key),
        BOOKS(a_change_is_on_record_with_before_and_after_and_without_secrets),
        BOOKS(what_is_refused_writes_nothing_but_its_record),
        BOOKS(a_refusal_is_on_record_without_what_was_given_by_mistake),
        BOOKS(a_loop_of_refusals_does_not_fill_the_log),
        BOOKS(what_was_proposed_a_week_ago_can_not_be_approved_any_more),
        BOOKS(old_keys_stay_good_and_their_hashes_open_nothing),
        BOOKS(a_first_start_makes_an_owner_and_a_key),
        BOOKS(changes_beside_requests_lose_nothing),
        BOOKS(a_change_in_one_group_with_requests_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
