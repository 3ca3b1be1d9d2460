/* What would break if redaction let something out, or gave back something else than was taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "policy/redact.h"

#define POLICY                                                                                     \
    "zones: [{name: house, trust: 1}]\n"                                                           \
    "detectors:\n- {find: email, class: internal}\n- {find: card, class: confidential}\n"          \
    "- {name: quoted-name, pattern: 'NAME \"[^\"]{1,40}\"', class: restricted}\n"                  \
    "- {name: quoted.name, pattern: 'Name [A-Z][a-z]{1,20}', class: restricted}\n"                 \
    "- {name: slow, pattern: '(a{1,200}){1,200}[bc]', class: internal}\nrules: []\n"

enum { EMAIL = 1, CARD = 2, NAME = 4, PLAIN_NAME = 8, SLOW = 16, BUF_BYTES = 1 << 20 };

static struct tw_policy *policy;

static int open_policy(void **state)
{
    struct tw_error error = {0};
    (void)state;
    if (tw_policy_read(POLICY, strlen(POLICY), "p.yaml", &policy, &error) != TW_OK) {
        print_error("%s\n", error.text);
        return -1;
    }
    return 0;
}

static int close_policy(void **state)
{
    (void)state;
    tw_policy_free(policy);
    return 0;
}

static json_t *parse(const char *text)
{
    json_t *body = NULL;
    struct tw_error error = {0};
    if (tw_json_parse(text, strlen(text), "body", &body, &error) != TW_OK) {
        fail_msg("%s", error.text);
    }
    return body;
}

static char *dump(const json_t *value)
{
    struct tw_buf buf;
    struct tw_json_writer json;
    tw_buf_init(&buf, BUF_BYTES);
    tw_json_begin(&json, &buf);
    tw_json_value(&json, value);
    tw_buf_append(&buf, "", 1);
    assert_false(buf.failed);
    return buf.data;
}

static struct tw_redaction *redaction_of(uint64_t detectors)
{
    struct tw_redaction *redaction = NULL;
    assert_int_equal(tw_redaction_create(policy, detectors, &redaction, NULL), TW_OK);
    return redaction;
}

static void assert_redacted(const char *body, uint64_t detectors, const char *expected)
{
    json_t *value = parse(body);
    struct tw_redaction *redaction = redaction_of(detectors);
    assert_int_equal(tw_redaction_apply(redaction, value, NULL), TW_OK);
    char *text = dump(value);
    assert_string_equal(text, expected);
    struct tw_buf buf = {.data = text};
    tw_buf_free(&buf);
    tw_redaction_free(redaction);
    json_decref(value);
}

static void one_value_has_one_pseudonym_wherever_it_stands(void **state)
{
    (void)state;
    assert_redacted("{\"model\":\"a@b.de\",\"messages\":[{\"content\":\"a@b.de, c@d.de, a@b.de\"},"
                    "{\"content\":[{\"type\":\"text\",\"text\":\"c@d.de 4111 1111 1111 1111\"}]}]}",
                    EMAIL | CARD,
                    "{\"model\":\"a@b.de\",\"messages\":[{\"content\":\"<EMAIL_1>, <EMAIL_2>, "
                    "<EMAIL_1>\"},{\"content\":[{\"type\":\"text\",\"text\":\"<EMAIL_2> "
                    "<CARD_1>\"}]}]}");
    assert_redacted("{\"prompt\":\"a@b.de 4111111111111111\"}", CARD,
                    "{\"prompt\":\"a@b.de <CARD_1>\"}");
}

static void arguments_of_tools_stay_json(void **state)
{
    (void)state;
    assert_redacted("{\"messages\":[{\"tool_calls\":[{\"function\":{\"arguments\":"
                    "\"{\\\"to\\\": \\\"a\\\\u0040b.de\\\", \\\"n\\\": 4111111111111111, "
                    "\\\"x@y.de\\\": 1}\"}}]}]}",
                    EMAIL | CARD,
                    "{\"messages\":[{\"tool_calls\":[{\"function\":{\"arguments\":"
                    "\"{\\\"to\\\":\\\"<EMAIL_1>\\\",\\\"n\\\":\\\"<CARD_1>\\\","
                    "\\\"<EMAIL_2>\\\":1}\"}}]}]}");
    assert_redacted("{\"messages\":[{\"x@y.de\":{\"n\":4111111111111111,\"z\":null}}]}",
                    EMAIL | CARD,
                    "{\"messages\":[{\"<EMAIL_1>\":{\"n\":\"<CARD_1>\",\"z\":null}}]}");
    /* Nothing is found: nothing is written anew. */
    assert_redacted("{\"prompt\":\"{ \\\"a\\\" : 1.50 }\"}", EMAIL,
                    "{\"prompt\":\"{ \\\"a\\\" : 1.50 }\"}");
}

static void numbers_are_replaced_whatever_their_form_and_parameters_are_not(void **state)
{
    (void)state;
    assert_redacted("{\"seed\":4111111111111111,\"whatever\":4111111111111111,"
                    "\"tools\":[4111111111111111.0,-4111111111111111,4.111111111111111e15,0.5]}",
                    CARD,
                    "{\"seed\":4111111111111111,\"whatever\":\"<CARD_1>\","
                    "\"tools\":[\"<CARD_1>\",\"-<CARD_1>\",\"<CARD_1>\",0.5]}");
}

static void assert_not_redacted(const char *body, const char *sentence)
{
    json_t *value = parse(body);
    struct tw_redaction *redaction = redaction_of(EMAIL | CARD);
    struct tw_error error = {0};
    assert_int_equal(tw_redaction_apply(redaction, value, &error), TW_ERR_LIMIT);
    assert_non_null(strstr(error.text, sentence));
    tw_redaction_free(redaction);
    json_decref(value);
}

static void what_stands_across_parts_does_not_leave(void **state)
{
    static const struct {
        const char *parts[3], *sent[3];
    } rows[] = {{{"4111 1111", "1111 1111", ""}, {"<CARD_1>", "", ""}},
                {{"x 4111 1111 ", "1111 1111 y", "z"}, {"x <CARD_1>", " y", "z"}},
                {{"4111 ", "1111 1111 ", "1111."}, {"<CARD_1>", "", "."}},
                {{"anna@ex", "ample.org", " bob@b.de"}, {"<EMAIL_1>", "", " <EMAIL_2>"}},
                {{"anna.m", "uster@example.org", ""}, {"<EMAIL_1>", "", ""}}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        json_t *body = json_pack("{s:[{s:[{s:s, s:s}, {s:s, s:s}, s]}]}", "messages", "content",
                                 "type", "text", "text", rows[i].parts[0], "type", "input_text",
                                 "text", rows[i].parts[1], rows[i].parts[2]);
        json_t *sent = json_pack("{s:[{s:[{s:s, s:s}, {s:s, s:s}, s]}]}", "messages", "content",
                                 "type", "text", "text", rows[i].sent[0], "type", "input_text",
                                 "text", rows[i].sent[1], rows[i].sent[2]);
        char *text = dump(body), *expected = dump(sent);
        assert_redacted(text, EMAIL | CARD, expected);
        struct tw_buf bufs[] = {{.data = text}, {.data = expected}};
        tw_buf_free(&bufs[0]);
        tw_buf_free(&bufs[1]);
        json_decref(body);
        json_decref(sent);
    }
    assert_redacted("{\"input\":[\"4111 1111\",\"1111 1111\"]}", CARD,
                    "{\"input\":[\"4111 1111\",\"1111 1111\"]}");
}

static void json_that_is_too_deep_does_not_leave(void **state)
{
    json_t *value = json_string("\"a\u0040b.de\"");
    (void)state;
    for (int i = 0; i <= TW_LIMIT_POLICY_TEXTS_DEEP; i++) {
        char *text = json_dumps(value, JSON_ENCODE_ANY);
        json_decref(value);
        value = json_pack("[s]", text);
        free(text);
    }
    char *text = json_dumps(value, 0);
    json_decref(value);
    value = json_pack("{s:s}", "prompt", text);
    free(text);
    text = json_dumps(value, 0);
    assert_not_redacted(text, "JSON in JSON in JSON");
    json_decref(value);
    free(text);
}

static void a_pseudonym_that_stands_in_the_request_is_not_given_out(void **state)
{
    (void)state;
    assert_redacted("{\"prompt\":\"<EMAIL_1> a@b.de\"}", EMAIL,
                    "{\"prompt\":\"<EMAIL_1> <EMAIL_2>\"}");
    assert_redacted("{\"prompt\":\"a@b.de\",\"x\":[\"\\\\u003cEMAIL_7\\\\u003e\"]}", EMAIL,
                    "{\"prompt\":\"<EMAIL_8>\",\"x\":[\"\\\\u003cEMAIL_7\\\\u003e\"]}");
    assert_redacted("{\"prompt\":\"a@b.de <EMAIL_99999999999>\"}", EMAIL,
                    "{\"prompt\":\"<EMAIL_1> <EMAIL_99999999999>\"}");
}

static void detectors_with_the_same_capitals_share_no_pseudonym(void **state)
{
    (void)state;
    assert_redacted("{\"prompt\":\"NAME \\\"A\\\", Name Bert, NAME \\\"C\\\"\"}", NAME | PLAIN_NAME,
                    "{\"prompt\":\"<QUOTED_NAME_1>, <QUOTED_NAME_2>, <QUOTED_NAME_3>\"}");
}

static void what_overlaps_is_replaced_as_a_whole(void **state)
{
    (void)state;
    assert_redacted("{\"prompt\":\"NAME \\\"Anna a@b.de\\\" x\"}", EMAIL | NAME,
                    "{\"prompt\":\"<QUOTED_NAME_1> x\"}");
}

static void a_request_that_could_not_be_searched_is_an_error(void **state)
{
    enum { N = 100000 };
    char *text = test_malloc(N + 1);
    struct tw_error error = {0};
    (void)state;
    memset(text, 'a', N);
    text[N] = '\0';
    json_t *body = json_pack("{s:s}", "prompt", text);
    struct tw_redaction *redaction = redaction_of(SLOW);
    assert_int_equal(tw_redaction_apply(redaction, body, &error), TW_ERR_LIMIT);
    assert_non_null(strstr(error.text, "the detector 'slow'"));
    tw_redaction_free(redaction);
    json_decref(body);
    test_free(text);
}

/* ---- answers ---- */

static uint32_t draw(uint64_t *at, uint32_t below)
{
    uint32_t words[4];
    tw_rng_block(5, (*at)++, words);
    return words[0] % below;
}

/* A redaction that knows two addresses, a card and a name with quotes. */
static struct tw_redaction *prepared(void)
{
    json_t *body = parse("{\"prompt\":\"a@b.de c@d.de 4111 1111 1111 1111 NAME \\\"A B\\\"\"}");
    struct tw_redaction *redaction = redaction_of(EMAIL | CARD | NAME);
    assert_int_equal(tw_redaction_apply(redaction, body, NULL), TW_OK);
    assert_int_equal(tw_redaction_count(redaction), 4);
    json_decref(body);
    return redaction;
}

/* In pieces of at most that many bytes, drawn; and what is held back is never more than it may. */
static struct tw_buf restore(const struct tw_redaction *redaction, bool is_json, const char *text,
                             size_t most, uint64_t *at)
{
    struct tw_restorer restorer;
    struct tw_buf out;
    const size_t n = strlen(text), longest = strlen("\\u003cQUOTED_NAME_1\\u003e");
    size_t n_in = 0;
    tw_buf_init(&out, BUF_BYTES);
    tw_restorer_begin(&restorer, redaction, is_json);
    while (n_in < n) {
        size_t piece = 1 + draw(at, (uint32_t)most);
        piece = piece < n - n_in ? piece : n - n_in;
        char *copy = test_malloc(piece); /* exactly as large */
        memcpy(copy, text + n_in, piece);
        tw_restorer_push(&restorer, copy, piece, &out);
        test_free(copy);
        n_in += piece;
        assert_true(restorer.n_held < longest);
    }
    tw_restorer_end(&restorer, &out);
    assert_int_equal(restorer.n_held, 0);
    tw_buf_append(&out, "", 1);
    assert_false(out.failed);
    return out;
}

static void assert_restored(bool is_json, const char *text, const char *expected)
{
    struct tw_redaction *redaction = prepared();
    uint64_t at = 0;
    for (size_t most = 1; most < 40; most += 3) {
        struct tw_buf out = restore(redaction, is_json, text, most, &at);
        assert_string_equal(out.data, expected);
        tw_buf_free(&out);
    }
    tw_redaction_free(redaction);
}

static void pseudonyms_are_put_back_and_nothing_else_is_touched(void **state)
{
    (void)state;
    assert_restored(false, "To <EMAIL_1>, <EMAIL_2>: <CARD_1>.",
                    "To a@b.de, c@d.de: 4111 1111 1111 1111.");
    assert_restored(false, "<<EMAIL_1>><EMAIL_3><email_1> <EMAIL_1 <EMAIL_",
                    "<a@b.de>"
                    "<EMAIL_3><email_1> "
                    "<EMAIL_1 <EMAIL_");
    assert_restored(false, "if (a<b && c>d) \\u003cEMAIL_1\\u003e <QUOTED_NAME_1>",
                    "if (a<b && c>d) \\u003cEMAIL_1\\u003e NAME \"A B\"");
    assert_restored(false, "<ABCDEFGHIJKLMNOPQRSTUVWXYZ_ABCDEFGHIJKLMNOPQRSTUVWXYZ>",
                    "<ABCDEFGHIJKLMNOPQRSTUVWXYZ_ABCDEFGHIJKLMNOPQRSTUVWXYZ>");
    assert_restored(false, "", "");
}

static void arguments_are_put_back_with_the_escapes_of_json(void **state)
{
    (void)state;
    assert_restored(true, "{\"to\":\"<EMAIL_1>\",\"n\":\"\\u003cEMAIL_2\\u003E\"}",
                    "{\"to\":\"a@b.de\",\"n\":\"c@d.de\"}");
    assert_restored(true, "{\"x\":\"<QUOTED_NAME_1>\\n\\\\\"}",
                    "{\"x\":\"NAME \\\"A B\\\"\\n\\\\\"}");
    /* A backslash that is escaped begins nothing. */
    assert_restored(true, "{\"x\":\"\\\\u003cEMAIL_1\\\\u003e\"}",
                    "{\"x\":\"\\\\u003cEMAIL_1\\\\u003e\"}");
    assert_restored(true, "{\"x\":\"\\\\u003cEMAIL_1>\"}", "{\"x\":\"\\\\u003cEMAIL_1>\"}");
    assert_restored(true, "{\"x\":\"\\\\\\u003cEMAIL_1>\"}", "{\"x\":\"\\\\a@b.de\"}");
    assert_restored(true, "\\u003", "\\u003");
}

static void whole_answers_are_put_back_by_their_fields(void **state)
{
    struct tw_redaction *redaction = prepared();
    json_t *answer = parse("{\"choices\":[{\"message\":{\"content\":\"<QUOTED_NAME_1>\","
                           "\"tool_calls\":[{\"function\":{\"arguments\":"
                           "\"{\\\"q\\\":\\\"<QUOTED_NAME_1>\\\"}\"}}]}}]}");
    (void)state;
    assert_int_equal(tw_redaction_restore(redaction, answer, false, NULL), TW_OK);
    char *text = dump(answer);
    assert_string_equal(text, "{\"choices\":[{\"message\":{\"content\":\"NAME \\\"A B\\\"\","
                              "\"tool_calls\":[{\"function\":{\"arguments\":"
                              "\"{\\\"q\\\":\\\"NAME \\\\\\\"A B\\\\\\\"\\\"}\"}}]}}]}");
    struct tw_buf buf = {.data = text};
    tw_buf_free(&buf);
    json_decref(answer);
    tw_redaction_free(redaction);
}

/* ---- properties ---- */

/* Words, some of which are to be found; *n_values of them, which a value list gets. */
static size_t random_text(uint64_t *at, char *text, size_t n_bytes, char values[][32],
                          size_t *n_values)
{
    static const char *const words[] = {"and", "<",    ">",  "<EMAIL_", "{", "\\",     "é",
                                        "\"",  "4711", "\n", "_1>",     "@", "EMAIL_1"};
    size_t n = 0;
    text[0] = '\0';
    for (unsigned i = draw(at, 30); i > 0 && n + 64 < n_bytes; i--) {
        if (draw(at, 3) == 0 && *n_values < 16) {
            char *value = values[(*n_values)++];
            snprintf(value, 32, "u%u@host%u.example", draw(at, 1000), draw(at, 3));
            n += (size_t)snprintf(text + n, n_bytes - n, " %s ", value);
        } else {
            n += (size_t)snprintf(text + n, n_bytes - n, "%s ", words[draw(at, 13)]);
        }
    }
    return n;
}

/* What comes back of a text that goes out, whatever the cuts, is what it was. */
static void texts_go_out_without_their_values_and_come_back_the_same(void **state)
{
    uint64_t at = 1000;
    size_t n_found = 0;
    (void)state;
    for (unsigned round = 0; round < 3000; round++) {
        char text[2048], values[16][32];
        size_t n_values = 0;
        random_text(&at, text, sizeof text, values, &n_values);
        json_t *body = json_pack("{s:s}", "prompt", text);
        struct tw_redaction *redaction = redaction_of(EMAIL);
        assert_int_equal(tw_redaction_apply(redaction, body, NULL), TW_OK);
        const char *sent = json_string_value(json_object_get(body, "prompt"));
        for (size_t i = 0; i < n_values; i++) {
            assert_null(strstr(sent, values[i]));
        }
        n_found += tw_redaction_count(redaction);
        struct tw_buf out = restore(redaction, false, sent, 1 + draw(&at, 30), &at);
        assert_string_equal(out.data, text);
        tw_buf_free(&out);
        /* As a string of JSON it comes back as that. */
        json_t *string = json_object_get(body, "prompt");
        char *dumped = dump(string);
        out = restore(redaction, true, dumped, 1 + draw(&at, 30), &at);
        json_t *back = parse(out.data);
        assert_string_equal(json_string_value(back), text);
        json_decref(back);
        tw_buf_free(&out);
        out = (struct tw_buf){.data = dumped};
        tw_buf_free(&out);
        tw_redaction_free(redaction);
        json_decref(body);
    }
    assert_true(n_found > 1000);
}

static void many_values_have_as_many_pseudonyms(void **state)
{
    enum { VALUES = 5000 };
    char *text = test_malloc(VALUES * 24);
    size_t n = 0;
    uint64_t at = 0;
    (void)state;
    for (unsigned i = 0; i < VALUES; i++) {
        n += (size_t)snprintf(text + n, 24, "u%u@host.example ", i);
    }
    json_t *body = json_pack("{s:s}", "prompt", text);
    struct tw_redaction *redaction = redaction_of(EMAIL);
    assert_int_equal(tw_redaction_apply(redaction, body, NULL), TW_OK);
    assert_int_equal(tw_redaction_count(redaction), VALUES);
    struct tw_buf out =
        restore(redaction, false, json_string_value(json_object_get(body, "prompt")), 9, &at);
    assert_string_equal(out.data, text);
    tw_buf_free(&out);
    tw_redaction_free(redaction);
    json_decref(body);
    test_free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_value_has_one_pseudonym_wherever_it_stands),
        cmocka_unit_test(arguments_of_tools_stay_json),
        cmocka_unit_test(numbers_are_replaced_whatever_their_form_and_parameters_are_not),
        cmocka_unit_test(what_stands_across_parts_does_not_leave),
        cmocka_unit_test(json_that_is_too_deep_does_not_leave),
        cmocka_unit_test(a_pseudonym_that_stands_in_the_request_is_not_given_out),
        cmocka_unit_test(detectors_with_the_same_capitals_share_no_pseudonym),
        cmocka_unit_test(what_overlaps_is_replaced_as_a_whole),
        cmocka_unit_test(a_request_that_could_not_be_searched_is_an_error),
        cmocka_unit_test(pseudonyms_are_put_back_and_nothing_else_is_touched),
        cmocka_unit_test(arguments_are_put_back_with_the_escapes_of_json),
        cmocka_unit_test(whole_answers_are_put_back_by_their_fields),
        cmocka_unit_test(texts_go_out_without_their_values_and_come_back_the_same),
        cmocka_unit_test(many_values_have_as_many_pseudonyms),
    };
    return cmocka_run_group_tests(tests, open_policy, close_policy);
}
