/* What would break if a request were taken for less than it is: a text that nobody reads, a source
 * that lowers, a reason that tells what it should not. */
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
#include "policy/classify.h"

#define POLICY                                                                                     \
    "floor: public\nzones: [{name: house, trust: 1}]\n"                                            \
    "detectors:\n- {find: email, class: internal}\n- {find: card, class: confidential}\n"          \
    "- {name: project, pattern: 'PRJ-\\d{6}', class: restricted}\n"                                \
    "- {name: slow, pattern: '(a{1,200}){1,200}[bc]', class: internal}\nrules: []\n"

enum { PUBLIC = 0, INTERNAL, CONFIDENTIAL, RESTRICTED, CLASSES };

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

static struct tw_classified classify(const char *text)
{
    json_t *body = parse(text);
    const struct tw_classify_request request = {.body = body};
    struct tw_classified classified;
    assert_int_equal(tw_classify(policy, &request, &classified, NULL), TW_OK);
    json_decref(body);
    return classified;
}

static const struct tw_classify_reason *reason_of(const struct tw_classified *classified,
                                                  enum tw_classify_source source)
{
    for (size_t i = 0; i < classified->n_reasons; i++) {
        if (classified->reasons[i].source == source) {
            return &classified->reasons[i];
        }
    }
    return NULL;
}

static void detectors_read_every_text_of_a_request(void **state)
{
    static const struct {
        const char *body, *place;
    } rows[] = {
        {"{\"messages\": [{\"role\": \"user\", \"content\": \"hi\"}, {\"content\": \"a@b.de\"}]}",
         "messages[1].content"},
        {"{\"messages\": [{\"content\": [{\"type\": \"text\", \"text\": \"a@b.de\"}]}]}",
         "messages[0].content"},
        {"{\"messages\": [{\"role\": \"system\", \"content\": \"a@b.de\"}]}",
         "messages[0].content"},
        {"{\"messages\": [{\"role\": \"tool\", \"content\": \"{\\\"m\\\": \\\"a@b.de\\\"}\"}]}",
         "messages[0].content"},
        {"{\"messages\": [{\"tool_calls\": [{\"function\": {\"arguments\": "
         "\"{\\\"to\\\": \\\"a\\\\u0040b.de\\\"}\"}}]}]}",
         "messages[0].tool_calls"},
        {"{\"messages\": [{\"tool_calls\": [{\"function\": {\"arguments\": "
         "{\"a@b.de\": 1}}}]}]}",
         "messages[0].tool_calls"},
        {"{\"prompt\": \"a@b.de\"}", "prompt"},
        {"{\"prompt\": [\"x\", \"a@b.de\"]}", "prompt[1]"},
        {"{\"input\": [\"a@b.de\"]}", "input[0]"},
        {"{\"input\": [{\"content\": [{\"type\": \"input_text\", \"text\": \"a@b.de\"}]}]}",
         "input[0].content"},
        {"{\"tools\": [{\"function\": {\"description\": \"a@b.de\"}}]}",
         "tools[0].(another field)"},
        {"{\"metadata\": {\"anna@example.org\": 1}}", "metadata.(another field)"},
        {"{\"anna@example.org\": true}", "(another field)"},
        {"{\"messages\": [{\"content\": [\"x\", \"a@b.de\"]}]}", "messages[0].content"},
        {"{\"user\": \"a@b.de\"}", "user"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct tw_classified c = classify(rows[i].body);
        const struct tw_classify_reason *reason = reason_of(&c, TW_CLASSIFY_DETECTOR);
        if (c.rank.class != INTERNAL || reason == NULL ||
            strcmp(reason->place, rows[i].place) != 0) {
            fail_msg("%s: class %u, %s", rows[i].body, c.rank.class,
                     reason != NULL ? reason->place : "no reason");
        }
    }
}

static void numbers_and_texts_with_escapes_are_read_too(void **state)
{
    (void)state;
    static const char *const numbers[] = {"4111111111111111", "4111111111111111.0",
                                          "4.111111111111111e15", "-4111111111111111",
                                          "-4111111111111111.0"};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        char text[128];
        snprintf(text, sizeof text, "{\"tools\": [{\"function\": {\"n\": %s}}]}", numbers[i]);
        if (classify(text).rank.class != CONFIDENTIAL) {
            fail_msg("%s", text);
        }
    }
    assert_int_equal(classify("{\"temperature\": 0.5, \"tools\": [0.25]}").rank.class, PUBLIC);
    assert_int_equal(classify("{\"prompt\": \"[\\\"x\\\\n4111 1111 1111 1111\\\"]\"}").rank.class,
                     CONFIDENTIAL);
    assert_int_equal(classify("{\"seed\": 4111111111111111}").rank.class, PUBLIC);
    assert_int_equal(classify("{\"prompt\": \"PRJ-123456\"}").rank.class, RESTRICTED);
}

static void what_nobody_can_read_has_the_class_for_that(void **state)
{
    static const char *const bodies[] = {
        "{\"prompt\": [1, 2, 3]}",
        "{\"prompt\": [[1, 2], [3]]}",
        "{\"input\": [1]}",
        "{\"messages\": [{\"content\": [{\"type\": \"image_url\", \"image_url\": {}}]}]}",
        "{\"messages\": [{\"content\": [{\"type\": \"input_audio\"}]}]}",
        "{\"input\": [{\"type\": \"input_file\"}]}",
        "{\"messages\": [{\"content\": [{\"image_url\": {\"url\": \"https://x/y\"}}]}]}",
        "{\"messages\": [{\"content\": [{\"text\": \"no type\"}]}]}",
        "{\"messages\": [{\"content\": [{\"type\": \"text\", \"text\": 5}]}]}",
        "{\"messages\": [{\"content\": [{\"type\": \"text\", \"text\": \"\", \"x\": \"\"}]}]}",
        "{\"messages\": [{\"content\": [[\"x\"]]}]}",
        "{\"messages\": [{\"content\": {\"text\": \"x\"}}]}",
        "{\"messages\": [{\"content\": \"x\", \"images\": [\"aGVsbG8=\"]}]}",
        "{\"messages\": {\"content\": \"x\"}}",
        "{\"messages\": [{\"content\": \"![](data:image/png;base64,aGVsbG8=)\"}]}",
        "{\"prompt\": \"DATA:text/plain,%61\"}",
        "{\"prompt\": \"data:,%61\"}",
        "{\"prompt\": {\"prompt_string\": \"x\", \"multimodal_data\": [\"aGVsbG8=\"]}}",
        "{\"prompt\": [{\"prompt_string\": \"x\"}]}",
        "{\"prompt\": [1, \"text\"]}",
        "{\"prompt\": \"\", \"prompt_embeds\": \"aGVsbG8=\"}",
        "{\"input\": {\"image\": \"aGVsbG8=\"}}",
        "{\"whatever\": [\"x\"]}",
        "[\"x\"]",
    };
    (void)state;
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        const struct tw_classified c = classify(bodies[i]);
        if (c.rank.class != RESTRICTED || reason_of(&c, TW_CLASSIFY_UNREAD) == NULL) {
            fail_msg("%s: class %u", bodies[i], c.rank.class);
        }
    }
    static const char *const read[] = {
        "{\"prompt\": \"plain\", \"n\": 1}",
        "{\"prompt\": \"in the data: 5,6 and metadata:x,y, data:5,6\", \"whatever\": true}",
        "{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"x\"}, "
        "{\"type\": \"input_text\", \"text\": \"x\"}]}, {\"role\": \"assistant\", \"content\": "
        "null, \"tool_calls\": []}], \"temperature\": 0.5, \"stop\": [\"x\"]}",
        "{\"input\": [\"x\", {\"type\": \"message\", \"role\": \"user\", \"content\": \"x\"}]}",
        "{\"prompt\": [\"x\", \"y\"], \"stream\": true, \"user\": \"x\", \"whatever\": 5}"};
    for (size_t i = 0; i < sizeof read / sizeof read[0]; i++) {
        if (classify(read[i]).rank.class != PUBLIC) {
            fail_msg("%s", read[i]);
        }
    }
}

static void texts_between_tokens_are_read_and_so_is_a_number_that_is_none(void **state)
{
    static const char *const bodies[] = {
        "{\"prompt\": [1, \"4111111111111111\"]}", "{\"prompt\": [1, [2, \"4111111111111111\"]]}",
        "{\"prompt\": [1, 4111111111111111]}", "{\"input\": [1, {\"x\": \"4111111111111111\"}]}"};
    (void)state;
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        const struct tw_classified c = classify(bodies[i]);
        assert_non_null(reason_of(&c, TW_CLASSIFY_UNREAD));
        if (reason_of(&c, TW_CLASSIFY_DETECTOR) == NULL) {
            fail_msg("%s", bodies[i]);
        }
    }
}

static void a_number_cut_into_parts_of_a_message_is_found_once(void **state)
{
    static const struct {
        const char *first, *second;
        unsigned class;
    } rows[] = {{"card 4111 1111 ", "1111 1111 x", CONFIDENTIAL},
                {"card 4111 1111", "1111 1111 x", CONFIDENTIAL},
                {"card 411111111", "1111111 x", CONFIDENTIAL},
                {"PRJ-12", "3456", RESTRICTED},
                {"a@b", ".de", INTERNAL},
                {"4111 1111 1111 1111", "1", CONFIDENTIAL},
                {"4111 1111 x", "1111 1111", PUBLIC}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[256];
        snprintf(text, sizeof text,
                 "{\"messages\": [{\"content\": [{\"type\": \"text\", \"text\": \"%s\"}, "
                 "{\"type\": \"text\", \"text\": \"%s\"}]}]}",
                 rows[i].first, rows[i].second);
        const struct tw_classified c = classify(text);
        if (c.rank.class != rows[i].class) {
            fail_msg("%s: class %u", text, c.rank.class);
        }
    }
    const struct tw_classified c =
        classify("{\"messages\": [{\"content\": [{\"type\": \"text\", \"text\": \"a@b.de and\"}, "
                 "{\"type\": \"text\", \"text\": \"more\"}]}]}");
    assert_int_equal(reason_of(&c, TW_CLASSIFY_DETECTOR)->n, 1);
}

/* A text as JSON in a text as JSON, so often. */
static json_t *nested(const char *text, int n)
{
    json_t *value = json_string(text);
    for (int i = 0; i < n; i++) {
        char *as_text = json_dumps(value, JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
        json_t *list = json_pack("[s]", as_text);
        json_decref(value);
        free(as_text);
        value = list;
    }
    char *as_text = json_dumps(value, JSON_ENCODE_ANY);
    json_decref(value);
    value = json_pack("{s:s}", "prompt", as_text);
    free(as_text);
    return value;
}

static void json_in_texts_is_read_as_deep_as_it_goes_or_counts_as_the_highest(void **state)
{
    char brackets[2 * TW_LIMIT_JSON_DEPTH + 8] = "{\"prompt\": \"";
    (void)state;
    for (int i = 0; i < 8; i++) {
        json_t *body = nested("plain \"text\"", i);
        const struct tw_classify_request request = {.body = body};
        struct tw_classified c;
        assert_int_equal(tw_classify(policy, &request, &c, NULL), TW_OK);
        const bool is_deep = i >= TW_LIMIT_POLICY_TEXTS_DEEP;
        assert_int_equal(c.rank.class, is_deep ? RESTRICTED : PUBLIC);
        assert_int_equal(reason_of(&c, TW_CLASSIFY_FAILED) != NULL, is_deep);
        json_decref(body);
    }
    size_t n = strlen(brackets);
    memset(brackets + n, '[', TW_LIMIT_JSON_DEPTH + 1);
    memcpy(brackets + n + TW_LIMIT_JSON_DEPTH + 1, "\\\\\"}", 5);
    const struct tw_classified c = classify(brackets);
    char sentence[TW_CLASSIFY_SENTENCE_BYTES];
    assert_non_null(reason_of(&c, TW_CLASSIFY_FAILED));
    tw_classify_say(policy, reason_of(&c, TW_CLASSIFY_FAILED), sentence);
    assert_string_equal(sentence, "restricted: could not look at all of prompt");
}

static void a_detector_that_gives_up_counts_as_the_highest_class(void **state)
{
    enum { N = 100000 };
    char *text = test_malloc(N + 32);
    (void)state;
    int n = snprintf(text, 32, "{\"prompt\": \"");
    memset(text + n, 'a', N);
    snprintf(text + n + N, 8, "\"}");
    const struct tw_classified c = classify(text);
    assert_int_equal(c.rank.class, RESTRICTED);
    assert_int_equal(c.rank.by_others, RESTRICTED);
    assert_non_null(reason_of(&c, TW_CLASSIFY_FAILED));
    test_free(text);
}

/* However a request cuts its texts, it has no more steps together. */
static void many_texts_have_the_steps_of_one(void **state)
{
    enum { N = 2000 };
    json_t *texts = json_array();
    (void)state;
    for (int i = 0; i < N; i++) {
        json_array_append_new(texts,
                              json_string("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
    }
    json_t *body = json_pack("{s:o}", "input", texts);
    const struct tw_classify_request request = {.body = body};
    struct tw_classified c;
    assert_int_equal(tw_classify(policy, &request, &c, NULL), TW_OK);
    const struct tw_classify_reason *reason = reason_of(&c, TW_CLASSIFY_FAILED);
    assert_non_null(reason);
    assert_true(reason->n > N / 2);
    json_decref(body);
}

static void a_header_raises_and_one_that_is_no_class_is_refused(void **state)
{
    struct tw_classified c;
    struct tw_error error = {0};
    struct tw_classify_request request = {.header = " Confidential "};
    (void)state;
    assert_int_equal(tw_classify(policy, &request, &c, &error), TW_OK);
    assert_int_equal(c.rank.class, CONFIDENTIAL);
    request.header = "public";
    request.floors[3] = "internal";
    assert_int_equal(tw_classify(policy, &request, &c, &error), TW_OK);
    assert_int_equal(c.rank.class, INTERNAL);
    static const char *const wrong[] = {"secret", "", "public, restricted", "public\tx"};
    for (size_t i = 0; i < 4; i++) {
        request.header = wrong[i];
        assert_int_equal(tw_classify(policy, &request, &c, &error), TW_ERR_USAGE);
        assert_non_null(strstr(error.text, "is not one of public, internal, confidential"));
    }
}

/* Of who asks, and whoever is above: the highest counts. */
static void the_policys_floors_count_for_those_that_they_name(void **state)
{
    static const char text[] =
        "floor: public\nfloors:\n- {who: [acme], class: internal}\n"
        "- {who: [acme/clinic], class: restricted}\n- {who: ['beta/lab-*'], class: confidential}\n"
        "zones: [{name: house, trust: 1}]\nrules: []\n";
    static const struct {
        const char *who;
        unsigned class;
    } rows[] = {{"acme/chat/x/ci", INTERNAL},    {"acme/clinic/x/ci", RESTRICTED},
                {"acme/clinics/x/ci", INTERNAL}, {"beta/lab-2/x/ci", CONFIDENTIAL},
                {"beta/office/x/ci", PUBLIC},    {NULL, PUBLIC}};
    struct tw_policy *own = NULL;
    (void)state;
    assert_int_equal(tw_policy_read(text, strlen(text), "p.yaml", &own, NULL), TW_OK);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct tw_classify_request request = {.who = rows[i].who, .header = "public"};
        struct tw_classified classified;
        assert_int_equal(tw_classify(own, &request, &classified, NULL), TW_OK);
        assert_int_equal(classified.rank.class, rows[i].class);
        assert_int_equal(reason_of(&classified, TW_CLASSIFY_FLOOR) != NULL,
                         rows[i].class != PUBLIC);
    }
    tw_policy_free(own);
}

static void a_floor_that_the_policy_lacks_counts_as_the_highest(void **state)
{
    struct tw_classified c;
    const struct tw_classify_request request = {.floors = {NULL, "old"}};
    (void)state;
    assert_int_equal(tw_classify(policy, &request, &c, NULL), TW_OK);
    assert_int_equal(c.rank.class, RESTRICTED);
}

static void reasons_say_where_and_never_what(void **state)
{
    char sentence[TW_CLASSIFY_SENTENCE_BYTES];
    (void)state;
    const struct tw_classified c = classify(
        "{\"messages\": [{\"content\": \"anna@example.org, bob@example.org\"}, "
        "{\"secret-key-name anna@example.org\": {\"anna@example.org\": \"anna@example.org\"}}]}");
    const struct tw_classify_reason *reason = reason_of(&c, TW_CLASSIFY_DETECTOR);
    assert_int_equal(reason->n, 5);
    tw_classify_say(policy, reason, sentence);
    assert_string_equal(sentence, "internal: email in messages[0].content, 5 times");
    for (size_t i = 0; i < c.n_reasons; i++) {
        tw_classify_say(policy, &c.reasons[i], sentence);
        assert_null(strstr(sentence, "anna"));
        assert_null(strstr(sentence, "secret"));
    }
}

/* ---- properties ---- */

static uint32_t draw(uint64_t *at, uint32_t below)
{
    uint32_t words[4];
    tw_rng_block(77, (*at)++, words);
    return words[0] % below;
}

static const char *draw_class(uint64_t *at)
{
    static const char *const names[] = {"public", "internal", "confidential", "restricted", "gone"};
    return draw(at, 3) == 0 ? names[draw(at, 5)] : NULL;
}

/* The class with all sources is the highest of the classes with one alone. */
static void one_more_source_never_lowers_a_class(void **state)
{
    static const char *const texts[] = {"nothing", "a@b.de", "4111111111111111", "PRJ-123456"};
    uint64_t at = 0;
    (void)state;
    for (unsigned round = 0; round < 2000; round++) {
        char text[256];
        const char *first = texts[draw(&at, 4)], *second = texts[draw(&at, 4)];
        snprintf(text, sizeof text,
                 "{\"messages\": [{\"content\": \"%s\"}, {\"content\": \"%s\"}]}", first, second);
        json_t *body = parse(text);
        struct tw_classify_request request = {.body = body};
        for (unsigned i = 0; i < TW_CLASSIFY_FLOORS; i++) {
            request.floors[i] = draw_class(&at);
        }
        struct tw_classified without, with;
        assert_int_equal(tw_classify(policy, &request, &without, NULL), TW_OK);
        static const char *const headers[] = {"public", "internal", "confidential", "restricted"};
        for (unsigned h = 0; h < CLASSES; h++) {
            request.header = headers[h];
            assert_int_equal(tw_classify(policy, &request, &with, NULL), TW_OK);
            const unsigned expected = h > without.rank.class ? h : without.rank.class;
            assert_int_equal(with.rank.class, expected);
        }
        request.header = NULL;
        for (unsigned i = 0; i < TW_CLASSIFY_FLOORS + 1; i++) {
            struct tw_classify_request fewer = request;
            if (i < TW_CLASSIFY_FLOORS) {
                fewer.floors[i] = NULL;
            } else {
                fewer.body = NULL;
            }
            assert_int_equal(tw_classify(policy, &fewer, &with, NULL), TW_OK);
            assert_true(with.rank.class <= without.rank.class);
        }
        json_decref(body);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(detectors_read_every_text_of_a_request),
        cmocka_unit_test(numbers_and_texts_with_escapes_are_read_too),
        cmocka_unit_test(what_nobody_can_read_has_the_class_for_that),
        cmocka_unit_test(texts_between_tokens_are_read_and_so_is_a_number_that_is_none),
        cmocka_unit_test(a_number_cut_into_parts_of_a_message_is_found_once),
        cmocka_unit_test(json_in_texts_is_read_as_deep_as_it_goes_or_counts_as_the_highest),
        cmocka_unit_test(a_detector_that_gives_up_counts_as_the_highest_class),
        cmocka_unit_test(many_texts_have_the_steps_of_one),
        cmocka_unit_test(a_header_raises_and_one_that_is_no_class_is_refused),
        cmocka_unit_test(the_policys_floors_count_for_those_that_they_name),
        cmocka_unit_test(a_floor_that_the_policy_lacks_counts_as_the_highest),
        cmocka_unit_test(reasons_say_where_and_never_what),
        cmocka_unit_test(one_more_source_never_lowers_a_class),
    };
    return cmocka_run_group_tests(tests, open_policy, close_policy);
}
