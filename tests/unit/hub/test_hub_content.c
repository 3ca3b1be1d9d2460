/* Content of requests: stored, shown, erased, held and expired, on both stores. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hub/hub_admin.h"
#include "hub_fixture.h"

#define BODY   "{\"prompt\": \"a \\\"quoted\\\" prompt\", \"user\": \"alice\"}"
#define ANSWER "an answer\nof two lines"
#define DAY_NS (24 * 3600 * FIXTURE_SECOND_NS)

static int setup(void **state)
{
    static struct fixture fixture;
    fixture_create(&fixture);
    fixture_open(&fixture);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    fixture_destroy(*state);
    return 0;
}

static json_t *ask(struct fixture *fixture, const char *group, const char *verb, const char *fields)
{
    struct tw_error error;
    json_t *answer = fixture_ask(fixture, group, verb, fields, &error);
    if (answer == NULL) {
        fail_msg("%s %s: %s", group, verb, error.text);
    }
    return answer;
}

static void give(struct fixture *fixture, const char *group, const char *verb, const char *fields)
{
    json_decref(ask(fixture, group, verb, fields));
}

static void refused(struct fixture *fixture, const char *group, const char *verb,
                    const char *fields, enum tw_status status, const char *sentence)
{
    struct tw_error error;
    json_t *answer = fixture_ask(fixture, group, verb, fields, &error);
    assert_null(answer);
    assert_int_equal(error.status, status);
    if (strstr(error.text, sentence) == NULL) {
        fail_msg("'%s' does not say '%s'", error.text, sentence);
    }
}

static void store(struct fixture *fixture, const char *more)
{
    char fields[200];
    snprintf(fields, sizeof fields, "{\"path\": \"acme/research/chat\", \"store_content\": true%s}",
             more);
    give(fixture, "project", "set", fields);
}

static json_t *show(struct fixture *fixture, int64_t request)
{
    char fields[64];
    snprintf(fields, sizeof fields, "{\"request\": \"%lld\"}", (long long)request);
    return ask(fixture, "content", "show", fields);
}

static void show_refused(struct fixture *fixture, int64_t request, const char *sentence)
{
    char fields[64];
    snprintf(fields, sizeof fields, "{\"request\": \"%lld\"}", (long long)request);
    refused(fixture, "content", "show", fields, TW_ERR_NOT_FOUND, sentence);
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text != NULL ? text : "";
}

/* The last record of a kind. */
static json_t *last_record(struct fixture *fixture, const char *kind)
{
    char fields[64];
    snprintf(fields, sizeof fields, "{\"kind\": \"%s\"}", kind);
    json_t *answer = ask(fixture, "audit", "list", fields);
    json_t *body =
        json_incref(json_object_get(json_array_get(json_object_get(answer, "records"), 0), "body"));
    json_decref(answer);
    assert_non_null(body);
    return body;
}

static int64_t count(struct fixture *fixture, const char *kind)
{
    char sql[128];
    snprintf(sql, sizeof sql, "SELECT COUNT(*) FROM audit WHERE kind = '%s'", kind);
    return fixture_query(fixture, sql);
}

/* An operation, so that the writer has a group in which to tend. */
static void pass_group(struct fixture *fixture)
{
    fixture_write(fixture);
    fixture_write(fixture);
}

static void what_is_stored_is_shown_whole_and_as_the_record_commits_to_it(void **state)
{
    struct fixture *fixture = *state;
    store(fixture, "");
    const int64_t request = fixture_answer(fixture, fixture->secret, "alice", BODY, ANSWER);
    json_t *record = last_record(fixture, "request.settled");
    json_t *shown = show(fixture, request);
    const json_t *answer = json_array_get(json_object_get(shown, "answers"), 0);
    assert_string_equal(text_of(shown, "body"), BODY);
    assert_string_equal(text_of(answer, "text"), ANSWER);
    assert_int_equal(json_integer_value(json_object_get(answer, "tokens")), 5);
    assert_true(json_is_true(json_object_get(shown, "is_as_recorded")));
    assert_string_equal(text_of(shown, "commitment"), text_of(record, "commitment"));
    assert_string_equal(text_of(record, "content"), "stored");
    assert_int_equal(json_integer_value(json_object_get(record, "number")), request);
    assert_int_equal(count(fixture, "content.read"), 1);
    json_decref(record);
    json_decref(shown);
}

static void without_the_setting_there_is_a_commitment_and_no_content(void **state)
{
    struct fixture *fixture = *state;
    const int64_t first = fixture_answer(fixture, fixture->secret, "alice", BODY, ANSWER);
    json_t *record = last_record(fixture, "request.settled");
    assert_int_equal(strlen(text_of(record, "commitment")), 64);
    assert_int_equal(strlen(text_of(record, "subject")), 32);
    assert_string_equal(text_of(record, "content"), "");
    fixture_answer(fixture, fixture->secret, "alice", BODY, ANSWER);
    json_t *other = last_record(fixture, "request.settled"); /* salted */
    assert_string_not_equal(text_of(record, "commitment"), text_of(other, "commitment"));
    assert_string_not_equal(text_of(record, "subject"), text_of(other, "subject"));
    assert_int_equal(fixture_query(fixture, "SELECT COUNT(*) FROM content"), 0);
    show_refused(fixture, first, "no content is stored");
    json_decref(record);
    json_decref(other);
}

static void erasing_a_subject_erases_its_content_and_no_other(void **state)
{
    struct fixture *fixture = *state;
    store(fixture, "");
    const int64_t alices = fixture_answer(fixture, fixture->secret, "alice", BODY, ANSWER);
    const int64_t bobs = fixture_answer(fixture, fixture->secret, "bob", "{}", "bob's");
    const int64_t nobodys = fixture_answer(fixture, fixture->secret, NULL, "{}", "nobody's");
    json_t *certificate = ask(fixture, "subject", "erase", "{\"subject\": \"alice\"}");
    assert_int_equal(json_integer_value(json_object_get(certificate, "keys")), 1);
    assert_int_equal(json_integer_value(json_object_get(certificate, "requests")), 1);
    assert_non_null(strstr(text_of(certificate, "checkpoint"), "tokenworks-checkpoint-1\n"));
    assert_string_equal(text_of(certificate, "by"), "test");
    show_refused(fixture, alices, "was erased");
    pass_group(fixture);
    show_refused(fixture, alices, "was erased");
    assert_int_equal(fixture_query(fixture, "SELECT COUNT(*) FROM content WHERE sealed IS NULL"),
                     1);
    json_t *shown = show(fixture, bobs);
    assert_string_equal(text_of(shown, "body"), "{}");
    json_decref(shown);
    json_decref(show(fixture, nobodys));
    json_t *record = last_record(fixture, "subject.erased");
    assert_string_equal(text_of(record, "object"), text_of(certificate, "subject"));
    refused(fixture, "subject", "export", "{\"subject\": \"alice\"}", TW_ERR_NOT_FOUND, "erased");
    json_decref(record);
    json_decref(certificate);
    fixture_check(fixture);
}

static void a_subject_that_comes_back_has_a_new_key_that_the_old_erasure_leaves_alone(void **state)
{
    struct fixture *fixture = *state;
    store(fixture, "");
    const int64_t before = fixture_answer(fixture, fixture->secret, "alice", BODY, ANSWER);
    give(fixture, "subject", "erase", "{\"subject\": \"alice\"}");
    const int64_t behind = fixture_answer(fixture, fixture->secret, "alice", BODY, "again");
    fixture_close(fixture);
    fixture_open(fixture);
    pass_group(fixture);
    json_decref(show(fixture, behind));
    show_refused(fixture, before, "was erased");
}

/* Its record was committed, and the process ended before the key was gone. */
static void an_erasure_that_a_crash_cut_off_is_finished_at_the_next_start(void **state)
{
    struct fixture *fixture = *state;
    store(fixture, "");
    const int64_t alices = fixture_answer(fixture, fixture->secret, "alice", BODY, ANSWER);
    const int64_t bobs = fixture_answer(fixture, fixture->secret, "bob", BODY, ANSWER);
    fixture_close(fixture);
    fixture_execute(fixture, "INSERT INTO erasure (number, subject, scope, at_ns, is_done)"
                             " SELECT 1, subject, 0, at_ns, 0 FROM content WHERE request = 1");
    assert_int_equal(alices, 1);
    fixture_open(fixture);
    show_refused(fixture, alices, "was erased");
    refused(fixture, "subject", "export", "{\"subject\": \"alice\"}", TW_ERR_NOT_FOUND, "erased");
    pass_group(fixture);
    assert_int_equal(fixture_query(fixture, "SELECT COUNT(*) FROM content WHERE ended = 'erased'"),
                     1);
    assert_int_equal(fixture_query(fixture, "SELECT is_done FROM erasure"), 1);
    json_decref(show(fixture, bobs));
}

static void an_erasure_of_a_scope_leaves_what_came_another_way(void **state)
{
    struct fixture *fixture = *state;
    store(fixture, "");
    give(fixture, "project", "create",
         "{\"path\": \"acme/research/other\", \"store_content\": true}");
    json_t *made = ask(fixture, "key", "create", "{\"path\": \"acme/research/other/k\"}");
    const int64_t here = fixture_answer(fixture, fixture->secret, "alice", BODY, ANSWER);
    const int64_t there = fixture_answer(fixture, text_of(made, "secret"), "alice", BODY, "there");
    give(fixture, "subject", "erase", "{\"subject\": \"alice\", \"in\": \"acme/research/other\"}");
    pass_group(fixture);
    show_refused(fixture, there, "was erased");
    json_decref(show(fixture, here));
    if (getenv("TW_TEST_POSTGRES") == NULL) { /* where no other hub may have a key */
        refused(fixture, "subject", "erase",
                "{\"subject\": \"nobody-like-that\", \"in\": \"acme\"}", TW_ERR_NOT_FOUND,
                "nothing is kept");
    }
    json_decref(made);
}

static void a_legal_hold_forbids_erasure_above_and_below_until_it_is_released(void **state)
{
    struct fixture *fixture = *state;
    store(fixture, "");
    const int64_t request = fixture_answer(fixture, fixture->secret, "alice", BODY, ANSWER);
    give(fixture, "subject", "hold",
         "{\"subject\": \"alice\", \"in\": \"acme/research\", \"reason\": \"file 12\"}");
    refused(fixture, "subject", "erase", "{\"subject\": \"alice\"}", TW_ERR_LIMIT, "file 12");
    refused(fixture, "subject", "erase", "{\"subject\": \"alice\", \"in\": \"acme\"}", TW_ERR_LIMIT,
            "file 12");
    refused(fixture, "subject", "erase", "{\"subject\": \"alice\", \"in\": \"acme/research/chat\"}",
            TW_ERR_LIMIT, "file 12");
    json_decref(show(fixture, request));
    refused(fixture, "subject", "release", "{\"subject\": \"alice\"}", TW_ERR_NOT_FOUND,
            "exactly this scope");
    give(fixture, "subject", "release", "{\"subject\": \"alice\", \"in\": \"acme/research\"}");
    give(fixture, "subject", "erase", "{\"subject\": \"alice\"}");
    show_refused(fixture, request, "was erased");
    assert_int_equal(count(fixture, "subject.held"), 1);
    assert_int_equal(count(fixture, "subject.released"), 1);
    assert_int_equal(count(fixture, "subject.erased"), 1);
}

static void what_is_kept_for_a_time_is_gone_after_it_but_for_what_is_held(void **state)
{
    struct fixture *fixture = *state;
    store(fixture, ", \"keep_content\": \"30d\"");
    const int64_t alices = fixture_answer(fixture, fixture->secret, "alice", BODY, ANSWER);
    const int64_t bobs = fixture_answer(fixture, fixture->secret, "bob", BODY, ANSWER);
    give(fixture, "subject", "hold", "{\"subject\": \"bob\", \"reason\": \"file 12\"}");
    fixture->now_ns += 29 * DAY_NS;
    pass_group(fixture);
    json_decref(show(fixture, alices));
    fixture->now_ns += DAY_NS;
    pass_group(fixture);
    show_refused(fixture, alices, "kept for as long");
    json_decref(show(fixture, bobs));
    json_t *record = last_record(fixture, "content.expired");
    assert_int_equal(json_array_size(json_object_get(record, "requests")), 1);
    json_decref(record);
    give(fixture, "subject", "release", "{\"subject\": \"bob\"}");
    fixture->now_ns += DAY_NS;
    pass_group(fixture);
    show_refused(fixture, bobs, "kept for as long");
}

static void old_content_goes_in_small_pieces(void **state)
{
    struct fixture *fixture = *state;
    const int n = TW_LIMIT_CONTENT_PIECE + 6;
    store(fixture, ", \"keep_content\": \"1d\"");
    for (int i = 0; i < n; i++) {
        fixture_answer(fixture, fixture->secret, "alice", BODY, ANSWER);
    }
    fixture->now_ns += 2 * DAY_NS;
    pass_group(fixture);
    pass_group(fixture);
    assert_int_equal(
        fixture_query(fixture, "SELECT COUNT(*) FROM content WHERE sealed IS NOT NULL"), 0);
    assert_int_equal(count(fixture, "content.expired"), 2);
}

static void an_export_has_all_records_of_a_subject_and_their_content(void **state)
{
    struct fixture *fixture = *state;
    fixture_answer(fixture, fixture->secret, "alice", "{\"unstored\": 1}", ANSWER);
    store(fixture, "");
    const int64_t stored = fixture_answer(fixture, fixture->secret, "alice", BODY, ANSWER);
    fixture_answer(fixture, fixture->secret, "bob", "{\"of\": \"bob\"}", ANSWER);
    fixture_answer(fixture, fixture->other_secret, "alice", BODY, "by another key");
    json_t *answer = ask(fixture, "subject", "export", "{\"subject\": \"alice\"}");
    const json_t *rows = json_object_get(answer, "rows");
    assert_int_equal(json_array_size(rows), 3);
    assert_null(json_object_get(json_array_get(rows, 0), "content"));
    const json_t *row = json_array_get(rows, 1);
    assert_string_equal(text_of(json_object_get(row, "content"), "body"), BODY);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(row, "record"), "number")),
                     stored);
    assert_true(json_is_null(json_object_get(answer, "next")));
    assert_int_equal(count(fixture, "content.read"), 1);
    json_t *part = ask(fixture, "subject", "export", "{\"subject\": \"alice\", \"after\": 1000}");
    assert_int_equal(json_array_size(json_object_get(part, "rows")), 0);
    json_decref(part);
    json_decref(answer);
}

static void a_request_that_names_nobody_is_of_its_keys_person_or_of_the_project(void **state)
{
    struct fixture *fixture = *state;
    store(fixture, "");
    json_t *user = ask(fixture, "user", "create", "{\"path\": \"acme/carol\"}");
    json_decref(user);
    json_t *made = ask(fixture, "key", "create",
                       "{\"path\": \"acme/research/chat/hers\", \"user\": \"acme/carol\"}");
    const int64_t hers = fixture_answer(fixture, text_of(made, "secret"), NULL, BODY, "hers");
    const int64_t nobodys = fixture_answer(fixture, fixture->secret, NULL, BODY, "nobody's");
    give(fixture, "subject", "erase", "{\"subject\": \"acme/carol\", \"kind\": \"person\"}");
    show_refused(fixture, hers, "was erased");
    json_decref(show(fixture, nobodys));
    give(fixture, "subject", "erase",
         "{\"subject\": \"acme/research/chat\", \"kind\": \"project\"}");
    show_refused(fixture, nobodys, "was erased");
    json_decref(made);
}

static void an_id_that_two_clients_chose_shows_what_one_may_see(void **state)
{
    struct fixture *fixture = *state;
    struct tw_hub_actor vera;
    json_t *shown = NULL;
    struct tw_error error;
    store(fixture, "");
    give(fixture, "project", "create",
         "{\"path\": \"acme/research/other\", \"store_content\": true}");
    json_t *made = ask(fixture, "key", "create", "{\"path\": \"acme/research/other/k\"}");
    give(fixture, "user", "create", "{\"path\": \"vera\"}");
    give(fixture, "user", "grant",
         "{\"path\": \"vera\", \"role\": \"auditor\", \"scope\": \"acme/research/chat\"}");
    json_t *secret = ask(fixture, "user", "secret", "{\"path\": \"vera\"}");
    assert_true(tw_hub_find_person(fixture->hub, text_of(secret, "secret"), &vera));
    const int64_t here = fixture_answer(fixture, fixture->secret, "alice", BODY, "here");
    const int64_t there = fixture_answer(fixture, text_of(made, "secret"), "alice", BODY, "there");
    char number[24];
    snprintf(number, sizeof number, "%lld", (long long)there);
    json_t *by_id = tw_hub_make_command("content", "show", json_pack("{s:s}", "request", "r"));
    json_t *by_number =
        tw_hub_make_command("content", "show", json_pack("{s:s}", "request", number));
    assert_int_equal(tw_hub_ask(fixture->hub, &vera, by_id, &shown, &error), TW_OK);
    assert_int_equal(json_integer_value(json_object_get(shown, "request")), here);
    json_decref(shown);
    assert_int_equal(tw_hub_ask(fixture->hub, &vera, by_number, &shown, &error), TW_ERR_NOT_FOUND);
    json_decref(made);
    json_decref(secret);
}

static void content_that_was_changed_in_the_store_is_not_shown(void **state)
{
    struct fixture *fixture = *state;
    store(fixture, "");
    const int64_t first = fixture_answer(fixture, fixture->secret, "alice", BODY, ANSWER);
    const int64_t second = fixture_answer(fixture, fixture->secret, "alice", BODY, "another");
    char sql[200], fields[64];
    snprintf(sql, sizeof sql,
             "UPDATE content SET sealed = (SELECT sealed FROM content WHERE request = %lld)"
             " WHERE request = %lld",
             (long long)second, (long long)first);
    fixture_close(fixture);
    fixture_execute(fixture, sql);
    fixture_open(fixture);
    snprintf(fields, sizeof fields, "{\"request\": \"%lld\"}", (long long)first);
    refused(fixture, "content", "show", fields, TW_ERR_FORMAT, "is not what was stored");
    json_decref(show(fixture, second));
}

static void of_what_is_too_large_nothing_is_stored_and_the_record_says_so(void **state)
{
    struct fixture *fixture = *state;
    static char body[TW_LIMIT_CONTENT_BYTES + 2];
    memset(body, ' ', sizeof body - 1);
    store(fixture, "");
    const int64_t request = fixture_answer(fixture, fixture->secret, "alice", body, ANSWER);
    json_t *record = last_record(fixture, "request.settled");
    assert_string_equal(text_of(record, "content"), "too large");
    assert_int_equal(strlen(text_of(record, "commitment")), 64);
    show_refused(fixture, request, "no content is stored");
    json_decref(record);
}

static void what_is_stored_and_who_may_read_it_is_in_the_register(void **state)
{
    struct fixture *fixture = *state;
    store(fixture, ", \"keep_content\": \"7d\"");
    give(fixture, "user", "create", "{\"path\": \"acme/dora\"}");
    give(fixture, "user", "grant", "{\"path\": \"acme/dora\", \"role\": \"auditor\"}");
    give(fixture, "user", "create", "{\"path\": \"acme/emil\"}");
    give(fixture, "user", "grant", "{\"path\": \"acme/emil\", \"role\": \"owner\"}");
    json_t *answer = ask(fixture, "audit", "register", "{}");
    const json_t *row = json_array_get(json_object_get(answer, "projects"), 0);
    assert_string_equal(text_of(row, "path"), "acme/research/chat");
    assert_string_equal(text_of(row, "keep_content"), "7d");
    assert_non_null(strstr(text_of(row, "stored"), "encrypted"));
    assert_int_equal(json_array_size(json_object_get(row, "readers")), 1);
    json_decref(answer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            what_is_stored_is_shown_whole_and_as_the_record_commits_to_it, setup, teardown),
        cmocka_unit_test_setup_teardown(without_the_setting_there_is_a_commitment_and_no_content,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(erasing_a_subject_erases_its_content_and_no_other, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            a_subject_that_comes_back_has_a_new_key_that_the_old_erasure_leaves_alone, setup,
            teardown),
        cmocka_unit_test_setup_teardown(
            an_erasure_that_a_crash_cut_off_is_finished_at_the_next_start, setup, teardown),
        cmocka_unit_test_setup_teardown(an_erasure_of_a_scope_leaves_what_came_another_way, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            a_legal_hold_forbids_erasure_above_and_below_until_it_is_released, setup, teardown),
        cmocka_unit_test_setup_teardown(
            what_is_kept_for_a_time_is_gone_after_it_but_for_what_is_held, setup, teardown),
        cmocka_unit_test_setup_teardown(old_content_goes_in_small_pieces, setup, teardown),
        cmocka_unit_test_setup_teardown(an_export_has_all_records_of_a_subject_and_their_content,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_request_that_names_nobody_is_of_its_keys_person_or_of_the_project, setup, teardown),
        cmocka_unit_test_setup_teardown(an_id_that_two_clients_chose_shows_what_one_may_see, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(content_that_was_changed_in_the_store_is_not_shown, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            of_what_is_too_large_nothing_is_stored_and_the_record_says_so, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_stored_and_who_may_read_it_is_in_the_register,
                                        setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
