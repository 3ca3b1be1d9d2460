/* What would break if the same facts could be two texts, or a client's text be more than data. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "hub/audit_record.h"

static void assert_body(const struct tw_audit_body *body, const char *want)
{
    assert_int_equal(body->buf.size_bytes, strlen(want));
    assert_memory_equal(body->buf.data, want, strlen(want));
}

/* Integers, strings, objects with keys in order, lists; nothing else. */
static void assert_canonical(const json_t *value)
{
    const char *last = NULL;
    const char *key;
    json_t *item;
    size_t i;
    if (json_is_object(value)) {
        json_object_foreach ((json_t *)(uintptr_t)value, key, item) {
            assert_true(last == NULL || strcmp(last, key) < 0);
            last = key;
            assert_canonical(item);
        }
    } else if (json_is_array(value)) {
        json_array_foreach (value, i, item) {
            assert_canonical(item);
        }
    } else {
        assert_true(json_is_integer(value) || json_is_string(value));
    }
}

static json_t *parse_canonical(const struct tw_audit_body *body)
{
    json_t *tree = NULL;
    assert_int_equal(tw_json_parse(body->buf.data, body->buf.size_bytes, "body", &tree, NULL),
                     TW_OK);
    assert_canonical(tree);
    for (size_t i = 0; i < body->buf.size_bytes; i++) {
        assert_true((unsigned char)body->buf.data[i] >= 0x20);
    }
    return tree;
}

static void a_request_has_all_that_is_known_of_it(void **state)
{
    (void)state;
    static const unsigned char commitment[4] = {0xde, 0xad, 0x00, 0x0f};
    struct tw_audit_body body;
    struct tw_audit_budget budget = {
        .budget = 5, .starts_s = 1798761600, .left_before = 10, .left_after = -3};
    struct tw_audit_sampling sampling = {.temperature = 0.7,
                                         .top_p = 1.0,
                                         .min_p = 0.05,
                                         .repetition_penalty = 1.1,
                                         .frequency_penalty = -2.0,
                                         .top_k = 40,
                                         .max_tokens = 256,
                                         .seed = UINT64_MAX};
    struct tw_audit_request request = {
        .request = "req-1",
        .org = 1,
        .team = 2,
        .project = 3,
        .user = 4,
        .key = 5,
        .model = "qwen",
        .model_digest = "ab12",
        .build = "0.1.0",
        .isa = "avx512",
        .price_class = "batch",
        .sampling = &sampling,
        .prompt_tokens = 12,
        .cached_tokens = 8,
        .output_tokens = 30,
        .price = 2,
        .cost_nano = INT64_MAX,
        .budgets = &budget,
        .n_budgets = 1,
        .finish = "stop",
        .commitment = commitment,
        .commitment_bytes = sizeof commitment,
    };
    tw_audit_body_init(&body);
    assert_int_equal(tw_audit_body_request(&body, &request, NULL), TW_OK);
    assert_body(
        &body,
        "{\"budgets\":[{\"budget\":5,\"left_after\":-3,\"left_before\":10,\"starts_s\":1798761600}]"
        ","
        "\"build\":\"0.1.0\",\"cached_tokens\":8,\"commitment\":\"dead000f\","
        "\"cost_nano\":9223372036854775807,\"finish\":\"stop\",\"isa\":\"avx512\",\"key\":5,"
        "\"model\":\"qwen\",\"model_digest\":\"ab12\",\"org\":1,\"output_tokens\":30,\"price\":2,"
        "\"price_class\":\"batch\",\"project\":3,\"prompt_tokens\":12,\"request\":\"req-1\","
        "\"sampling\":{\"frequency_penalty\":\"-2\",\"max_tokens\":256,\"min_p\":\"0.05\","
        "\"presence_penalty\":\"0\",\"repetition_penalty\":\"1.1\","
        "\"seed\":\"18446744073709551615\",\"temperature\":\"0.7\",\"top_k\":40,\"top_p\":\"1\"},"
        "\"team\":2,\"user\":4}");
    json_decref(parse_canonical(&body));
    tw_audit_body_free(&body);
}

static void what_is_not_known_is_not_there(void **state)
{
    (void)state;
    struct tw_audit_body body;
    struct tw_audit_request request = {.http_status = 429, .reason = "budget 'team' is used up"};
    tw_audit_body_init(&body);
    assert_int_equal(tw_audit_body_request(&body, &request, NULL), TW_OK);
    assert_body(&body, "{\"cached_tokens\":0,\"cost_nano\":0,\"http_status\":429,"
                       "\"output_tokens\":0,\"price\":0,\"prompt_tokens\":0,"
                       "\"reason\":\"budget 'team' is used up\"}");
    tw_audit_body_free(&body);
}

static void a_text_of_a_client_stays_one_text(void **state)
{
    (void)state;
    struct tw_audit_body body;
    tw_audit_body_init(&body);
    tw_audit_body_begin(&body);
    tw_audit_body_put_text(&body, "a", "x\",\"cost_nano\":0,\"y\":\"\\");
    tw_audit_body_put_bytes(&body, "b", "nul\0esc\x1b[2J\n\xff\x7f", 14);
    tw_audit_body_put_text(&body, "c", "\xe2\x80\xaeright\xe2\x80\xa8line");
    assert_int_equal(tw_audit_body_end(&body, NULL), TW_OK);
    assert_body(&body, "{\"a\":\"x\\\",\\\"cost_nano\\\":0,\\\"y\\\":\\\"\\\\\","
                       "\"b\":\"nul\\u0000esc\\u001b[2J\\n\xef\xbf\xbd\\u007f\","
                       "\"c\":\"\\u202eright\\u2028line\"}");
    json_decref(parse_canonical(&body));
    tw_audit_body_free(&body);
}

static void a_long_text_is_cut_at_a_character_and_says_so(void **state)
{
    (void)state;
    static char text[3 * TW_LIMIT_AUDIT_TEXT_BYTES + 1];
    struct tw_audit_body body;
    memset(text, 'a', TW_LIMIT_AUDIT_TEXT_BYTES);
    tw_audit_body_init(&body);
    tw_audit_body_begin(&body);
    tw_audit_body_put_text(&body, "k", text);
    assert_int_equal(tw_audit_body_end(&body, NULL), TW_OK);
    json_t *tree = parse_canonical(&body);
    assert_string_equal(json_string_value(json_object_get(tree, "k")), text);
    assert_null(json_object_get(tree, "was_cut"));
    json_decref(tree);
    for (size_t i = 0; i < TW_LIMIT_AUDIT_TEXT_BYTES; i++) {
        memcpy(text + 3 * i, "\xe2\x82\xac", 3);
    }
    tw_audit_body_begin(&body);
    tw_audit_body_put_text(&body, "k", text);
    tw_audit_body_put_text(&body, "l", "whole ... and 8193 bytes more");
    tw_audit_body_list_begin(&body, "m");
    tw_audit_body_put_text(&body, NULL, text);
    tw_audit_body_list_end(&body);
    assert_int_equal(tw_audit_body_end(&body, NULL), TW_OK);
    tree = parse_canonical(&body);
    assert_int_equal(json_integer_value(json_object_get(tree, "was_cut")), 2);
    const char *cut = json_string_value(json_object_get(tree, "k"));
    assert_memory_equal(cut, text, 4095);
    assert_string_equal(cut + 4095, " ... and 8193 bytes more");
    json_decref(tree);
    tw_audit_body_begin(&body);
    tw_audit_body_put_text(&body, "k", "whole ... and 8193 bytes more");
    assert_int_equal(tw_audit_body_end(&body, NULL), TW_OK);
    tree = parse_canonical(&body);
    assert_int_equal(json_object_size(tree), 1);
    json_decref(tree);
    tw_audit_body_free(&body);
}

static void the_record_of_a_request_always_fits(void **state)
{
    (void)state;
    static char text[1 << 20];
    static struct tw_audit_budget budgets[1000];
    struct tw_audit_body body;
    struct tw_audit_sampling sampling = {.temperature = NAN, .seed = 1, .max_tokens = INT64_MIN};
    memset(text, 1, sizeof text - 1);
    struct tw_audit_request request = {.request = text,
                                       .model = text,
                                       .model_digest = text,
                                       .build = text,
                                       .isa = text,
                                       .price_class = text,
                                       .sampling = &sampling,
                                       .budgets = budgets,
                                       .n_budgets = 1000,
                                       .finish = text,
                                       .reason = text,
                                       .cost_nano = INT64_MIN};
    for (size_t i = 0; i < 1000; i++) {
        budgets[i] = (struct tw_audit_budget){INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN};
    }
    tw_audit_body_init(&body);
    assert_int_equal(tw_audit_body_request(&body, &request, NULL), TW_OK);
    json_t *tree = parse_canonical(&body);
    assert_int_equal(json_array_size(json_object_get(tree, "budgets")), TW_LIMIT_AUDIT_BUDGETS);
    json_decref(tree);
    tw_audit_body_free(&body);
}

static void a_change_has_both_sides_in_one_order(void **state)
{
    (void)state;
    struct tw_audit_body body;
    struct tw_audit_body again;
    struct tw_audit_field fields[] = {
        {"rpm", tw_audit_integer(60), tw_audit_integer(0)},
        {"class", tw_audit_text(NULL), tw_audit_text("batch")},
        {"models", tw_audit_text("a,b"), tw_audit_text(NULL)},
    };
    struct tw_audit_field turned[] = {fields[2], fields[0], fields[1]};
    struct tw_audit_change change = {.actor = 8,
                                     .actor_name = "an owner",
                                     .command = "project set",
                                     .object = "project 7",
                                     .fields = fields,
                                     .n_fields = 3};
    tw_audit_body_init(&body);
    tw_audit_body_init(&again);
    assert_int_equal(tw_audit_body_change(&body, &change, NULL), TW_OK);
    assert_body(&body, "{\"actor\":8,\"actor_name\":\"an owner\","
                       "\"after\":{\"class\":\"batch\",\"rpm\":0},"
                       "\"before\":{\"models\":\"a,b\",\"rpm\":60},"
                       "\"command\":\"project set\",\"object\":\"project 7\"}");
    change.fields = turned;
    assert_int_equal(tw_audit_body_change(&again, &change, NULL), TW_OK);
    assert_int_equal(again.buf.size_bytes, body.buf.size_bytes);
    assert_memory_equal(again.buf.data, body.buf.data, body.buf.size_bytes);
    json_decref(parse_canonical(&body));
    tw_audit_body_free(&body);
    tw_audit_body_free(&again);
}

static void a_change_that_is_too_large_is_refused(void **state)
{
    (void)state;
    static struct tw_audit_field fields[TW_LIMIT_AUDIT_CHANGES + 1];
    static char names[TW_LIMIT_AUDIT_CHANGES + 1][8];
    static char text[TW_LIMIT_AUDIT_TEXT_BYTES + 1];
    struct tw_audit_body body;
    struct tw_error error;
    struct tw_audit_change change = {.fields = fields, .n_fields = TW_LIMIT_AUDIT_CHANGES + 1};
    memset(text, 1, sizeof text - 1);
    for (size_t i = 0; i <= TW_LIMIT_AUDIT_CHANGES; i++) {
        snprintf(names[i], sizeof names[i], "f%zu", i);
        fields[i] = (struct tw_audit_field){names[i], tw_audit_text(text), tw_audit_text(text)};
    }
    tw_audit_body_init(&body);
    assert_int_equal(tw_audit_body_change(&body, &change, &error), TW_ERR_LIMIT);
    change.n_fields = TW_LIMIT_AUDIT_CHANGES;
    assert_int_equal(tw_audit_body_change(&body, &change, &error), TW_ERR_LIMIT);
    assert_non_null(strstr(error.text, "change less"));
    change.n_fields = 3;
    assert_int_equal(tw_audit_body_change(&body, &change, &error), TW_OK);
    json_decref(parse_canonical(&body));
    tw_audit_body_free(&body);
}

static void every_kind_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (enum tw_audit_kind i = 0; i < TW_AUDIT_KIND_COUNT; i++) {
        assert_true(strlen(tw_audit_kind_name(i)) <= TW_LIMIT_AUDIT_KIND_BYTES);
        for (enum tw_audit_kind j = 0; j < i; j++) {
            assert_string_not_equal(tw_audit_kind_name(i), tw_audit_kind_name(j));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_has_all_that_is_known_of_it),
        cmocka_unit_test(what_is_not_known_is_not_there),
        cmocka_unit_test(a_text_of_a_client_stays_one_text),
        cmocka_unit_test(a_long_text_is_cut_at_a_character_and_says_so),
        cmocka_unit_test(the_record_of_a_request_always_fits),
        cmocka_unit_test(a_change_has_both_sides_in_one_order),
        cmocka_unit_test(a_change_that_is_too_large_is_refused),
        cmocka_unit_test(every_kind_has_a_name_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
