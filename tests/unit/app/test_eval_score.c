#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "app/eval_score.h"

/* One answer to one row that expects this. */
static struct tw_eval_scores score(const char *expect, const char *answer)
{
    char line[4096];
    struct tw_eval_rows rows = {0};
    struct tw_eval_scores scores;
    struct tw_error error;
    int n = snprintf(line, sizeof line,
                     "{\"task\":\"t\",\"messages\":[{\"role\":\"user\",\"content\":\"?\"}],"
                     "\"expect\":%s}",
                     expect);
    assert_in_range(n, 1, sizeof line - 1);
    if (tw_eval_rows_parse(line, (size_t)n, "rows", &rows, &error) != TW_OK) {
        fail_msg("%s", error.text);
    }
    assert_int_equal(tw_eval_score(&rows.rows[0], answer, strlen(answer), &scores, &error), TW_OK);
    tw_eval_rows_free(&rows);
    return scores;
}

static void assert_share(struct tw_eval_scores scores, enum tw_eval_score_id id, uint64_t right,
                         uint64_t of)
{
    struct tw_eval_share share = scores.shares[id];
    if (share.right != right || share.of != of) {
        fail_msg("%s is %d of %d, not %d of %d", tw_eval_score_name(id), (int)share.right,
                 (int)share.of, (int)right, (int)of);
    }
}

/* ---- json ---- */

#define BILL "{\"kind\":\"json\",\"value\":{\"firm\":\"Nord AG\",\"total\":12,\"paid\":true}}"

static void assert_json(const char *answer, bool valid, uint64_t right, uint64_t of)
{
    struct tw_eval_scores scores = score(BILL, answer);
    assert_share(scores, TW_EVAL_VALID, valid ? 1 : 0, 1);
    assert_share(scores, TW_EVAL_FIELDS, right, of);
    assert_share(scores, TW_EVAL_OBJECTS, valid && right == of ? 1 : 0, 1);
    assert_share(scores, TW_EVAL_PASSED, valid && right == of ? 1 : 0, 1);
    assert_share(scores, TW_EVAL_RIGHT, 0, 0);
    assert_share(scores, TW_EVAL_CALL, 0, 0);
}

static void an_equal_object_is_right_in_any_order_and_with_any_white_space(void **state)
{
    (void)state;
    assert_json("{\"firm\":\"Nord AG\",\"total\":12,\"paid\":true}", true, 3, 3);
    assert_json(" \r\n{ \"paid\" : true,\n \"total\":12, \"firm\":\"Nord AG\" }\n\t ", true, 3, 3);
}

static void an_answer_that_is_not_one_whole_object_is_not_valid(void **state)
{
    static const char *const answers[] = {
        "",
        " \n",
        "{",
        "12",
        "null",
        "[{\"firm\":\"Nord AG\",\"total\":12,\"paid\":true}]",
        "{\"firm\":\"Nord AG\",\"total\":12,\"paid\":true} Done.",
        "Here it is: {\"firm\":\"Nord AG\",\"total\":12,\"paid\":true}",
        "{\"firm\":\"Nord AG\"}{\"total\":12}",
        "```json\n{\"firm\":\"Nord AG\",\"total\":12,\"paid\":true}\n```",
        "{\"firm\":\"Nord AG\",\"total\":12,\"paid\":true,}",
        "{'firm':'Nord AG','total':12,'paid':true}",
        "{\"firm\":\"Nord \xff\",\"total\":12,\"paid\":true}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        assert_json(answers[i], false, 0, 3);
    }
}

static void fields_are_counted_one_by_one_and_one_too_many_is_wrong(void **state)
{
    (void)state;
    assert_json("{}", true, 0, 3);
    assert_json("{\"firm\":\"Nord AG\",\"total\":13,\"paid\":true}", true, 2, 3);
    assert_json("{\"firm\":\"Nord AG\",\"paid\":true}", true, 2, 3);
    assert_json("{\"firm\":\"Nord AG\",\"total\":12,\"paid\":true,\"city\":\"Ulm\"}", true, 3, 4);
    assert_json("{\"Firm\":\"Nord AG\",\"total\":12,\"paid\":true}", true, 2, 4);
}

static void numbers_are_equal_as_numbers_and_never_to_texts(void **state)
{
    (void)state;
    assert_json("{\"firm\":\"Nord AG\",\"total\":12.0,\"paid\":true}", true, 3, 3);
    assert_json("{\"firm\":\"Nord AG\",\"total\":1.2e1,\"paid\":true}", true, 3, 3);
    assert_json("{\"firm\":\"Nord AG\",\"total\":\"12\",\"paid\":true}", true, 2, 3);
    assert_json("{\"firm\":\"Nord AG\",\"total\":12.5,\"paid\":true}", true, 2, 3);
    assert_json("{\"firm\":\"Nord AG\",\"total\":null,\"paid\":1}", true, 1, 3);
    assert_json("{\"firm\":\"Nord AG\",\"total\":12,\"paid\":\"true\"}", true, 2, 3);
    assert_json("{\"firm\":\"Nord AG\",\"total\":012,\"paid\":true}", false, 0, 3);
}

static void assert_equal_values(const char *expected, const char *found, bool equal)
{
    char expect[256], answer[256];
    snprintf(expect, sizeof expect, "{\"kind\":\"json\",\"value\":{\"x\":%s}}", expected);
    snprintf(answer, sizeof answer, "{\"x\":%s}", found);
    struct tw_eval_scores scores = score(expect, answer);
    if (scores.shares[TW_EVAL_FIELDS].right != (equal ? 1 : 0)) {
        fail_msg("%s and %s: equal is %d", expected, found, !equal);
    }
}

static void large_and_small_numbers_are_not_rounded_into_equality(void **state)
{
    (void)state;
    assert_equal_values("9007199254740993", "9007199254740992.0", false);
    assert_equal_values("9007199254740992", "9007199254740992.0", true);
    assert_equal_values("9007199254740992.0", "9007199254740993", false);
    assert_equal_values("9223372036854775807", "9223372036854775808", false);
    assert_equal_values("1000000000000000000000000", "1e24", true);
    assert_equal_values("0.1", "0.10", true);
    assert_equal_values("0.1", "0.1000001", false);
    assert_equal_values("0", "-0.0", true);
    assert_equal_values("-5", "5", false);
}

static void nested_values_are_equal_as_a_whole(void **state)
{
    (void)state;
    assert_equal_values("{\"a\":[1,{\"b\":2.0}]}", "{\"a\":[1.0,{\"b\":2}]}", true);
    assert_equal_values("{\"a\":1}", "{\"a\":1,\"b\":2}", false);
    assert_equal_values("{\"a\":1,\"b\":2}", "{\"a\":1}", false);
    assert_equal_values("{\"a\":1,\"b\":2}", "{\"a\":1,\"c\":2}", false);
    assert_equal_values("[1,2]", "[2,1]", false);
    assert_equal_values("[1,2]", "[1,2,3]", false);
    assert_equal_values("[]", "{}", false);
    assert_equal_values("null", "null", true);
    assert_equal_values("null", "false", false);
    assert_equal_values("true", "true", true);
}

static void texts_are_equal_character_by_character(void **state)
{
    (void)state;
    assert_equal_values("\"caf\xc3\xa9\"", "\"caf\\u00e9\"", true);
    assert_equal_values("\"caf\xc3\xa9\"", "\"cafe\xcc\x81\"", false);
    assert_equal_values("\"\xf0\x9f\x8d\x8e\"", "\"\\ud83c\\udf4e\"", true);
    assert_equal_values("\"a\"", "\"A\"", false);
    assert_equal_values("\"a\"", "\"a \"", false);
    assert_equal_values("\"a\"", "\"a\\u0000b\"", false);
    assert_equal_values("\"\"", "\"\"", true);
}

static void of_a_key_that_comes_twice_the_last_value_counts(void **state)
{
    (void)state;
    assert_json("{\"firm\":\"Nord AG\",\"total\":1,\"paid\":true,\"total\":12}", true, 3, 3);
    assert_json("{\"firm\":\"Nord AG\",\"total\":12,\"paid\":true,\"total\":1}", true, 2, 3);
}

static void an_empty_object_can_be_expected(void **state)
{
    (void)state;
    const char *expect = "{\"kind\":\"json\",\"value\":{}}";
    assert_share(score(expect, "{}"), TW_EVAL_PASSED, 1, 1);
    assert_share(score(expect, "{}"), TW_EVAL_FIELDS, 0, 0);
    assert_share(score(expect, ""), TW_EVAL_PASSED, 0, 1);
    assert_share(score(expect, "{\"a\":1}"), TW_EVAL_FIELDS, 0, 1);
    assert_share(score(expect, "{\"a\":1}"), TW_EVAL_PASSED, 0, 1);
}

/* ---- tool calls ---- */

static void assert_call(const char *answer, bool name, bool call)
{
    struct tw_eval_scores scores = score("{\"kind\":\"tool_call\",\"name\":\"add\","
                                         "\"arguments\":{\"a\":1,\"b\":\"x\"}}",
                                         answer);
    if (scores.shares[TW_EVAL_NAME].right != name || scores.shares[TW_EVAL_CALL].right != call) {
        fail_msg("%s: name %d, call %d", answer, !!scores.shares[TW_EVAL_NAME].right,
                 !!scores.shares[TW_EVAL_CALL].right);
    }
    assert_share(scores, TW_EVAL_PASSED, call ? 1 : 0, 1);
    assert_share(scores, TW_EVAL_VALID, 0, 0);
}

#define ADD "{\"name\":\"add\",\"arguments\":{\"a\":1,\"b\":\"x\"}}"

static void one_call_with_the_right_name_and_arguments_is_right(void **state)
{
    (void)state;
    assert_call("<tool_call>" ADD "</tool_call>", true, true);
    assert_call("\n<tool_call>\n" ADD "\n</tool_call>\n", true, true);
    assert_call("<tool_call>{\"arguments\":{\"b\":\"x\",\"a\":1.0},\"name\":\"add\"}</tool_call>",
                true, true);
}

static void a_call_with_the_right_name_and_anything_else_wrong_has_the_name(void **state)
{
    (void)state;
    assert_call("<tool_call>{\"name\":\"add\",\"arguments\":{\"a\":1}}</tool_call>", true, false);
    assert_call("<tool_call>{\"name\":\"add\",\"arguments\":{\"a\":1,\"b\":\"x\",\"c\":2}}"
                "</tool_call>",
                true, false);
    assert_call("<tool_call>{\"name\":\"add\",\"arguments\":{\"a\":\"1\",\"b\":\"x\"}}</tool_call>",
                true, false);
    assert_call("<tool_call>{\"name\":\"add\"}</tool_call>", true, false);
    assert_call("<tool_call>{\"name\":\"add\",\"arguments\":\"{}\"}</tool_call>", true, false);
    assert_call("<tool_call>{\"name\":\"add\",\"arguments\":{\"a\":1,\"b\":\"x\"},\"id\":7}"
                "</tool_call>",
                true, false);
    assert_call("Let me add. <tool_call>" ADD "</tool_call>", true, false);
    assert_call("<tool_call>" ADD "</tool_call> Done.", true, false);
}

static void no_call_or_several_or_a_broken_one_has_nothing(void **state)
{
    static const char *const answers[] = {
        "",
        "2",
        ADD,
        "<tool_call>",
        "</tool_call>",
        "<tool_call></tool_call>",
        "</tool_call>" ADD "<tool_call>",
        "<tool_call>" ADD,
        ADD "</tool_call>",
        "<tool_call>" ADD "</tool_call",
        "<tool_call>" ADD "</tool_call><tool_call>" ADD "</tool_call>",
        "<tool_call>" ADD "</tool_call>\n<tool_call>" ADD,
        "<tool_call><tool_call>" ADD "</tool_call></tool_call>",
        "<tool_call>" ADD "</tool_call></tool_call>",
        "<tool_call>[" ADD "]</tool_call>",
        "<tool_call>" ADD ADD "</tool_call>",
        "<tool_call>{\"name\":\"add\",}</tool_call>",
        "<tool_call>{\"name\":\"Add\",\"arguments\":{\"a\":1,\"b\":\"x\"}}</tool_call>",
        "<tool_call>{\"name\":7,\"arguments\":{\"a\":1,\"b\":\"x\"}}</tool_call>",
        "<Tool_Call>" ADD "</Tool_Call>",
    };
    (void)state;
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        assert_call(answers[i], false, false);
    }
}

static void a_tag_inside_an_argument_is_text(void **state)
{
    (void)state;
    const char *expect = "{\"kind\":\"tool_call\",\"name\":\"say\",\"arguments\":"
                         "{\"text\":\"</tool_call> <tool_call>\"}}";
    const char *answer = "<tool_call>{\"name\":\"say\",\"arguments\":"
                         "{\"text\":\"</tool_call> <tool_call>\"}}</tool_call>";
    assert_share(score(expect, answer), TW_EVAL_CALL, 1, 1);
}

/* ---- contains and exact ---- */

static void assert_right(const char *expect, const char *answer, bool right)
{
    struct tw_eval_scores scores = score(expect, answer);
    if (scores.shares[TW_EVAL_RIGHT].right != right) {
        fail_msg("%s, '%s': right is %d", expect, answer, !right);
    }
    assert_share(scores, TW_EVAL_PASSED, right ? 1 : 0, 1);
}

static void of_each_group_one_must_be_there_and_none_of_the_others(void **state)
{
    (void)state;
    const char *expect = "{\"kind\":\"contains\",\"all\":[[\"two\",\"2\"],[\"Core\"]],"
                         "\"none\":[\"three\"]}";
    assert_right(expect, "It has TWO cores.", true);
    assert_right(expect, "core 2", true);
    assert_right(expect, "two", false);
    assert_right(expect, "cores", false);
    assert_right(expect, "two cores, not Three", false);
    assert_right(expect, "", false);
}

static void a_piece_of_another_word_or_number_is_not_what_was_asked_for(void **state)
{
    static const struct {
        const char *part, *answer;
        bool right;
    } rows[] = {
        {"male", "female", false},
        {"male", "The patient is male.", true},
        {"male", "female, not male", true},
        {"core", "two Cores", true},
        {"core", "hardcore", false},
        {"core", "hard-core", true},
        {"core", "2core", false},
        {"core",
         "\xe2\x80\x9c"
         "core",
         true},
        {"14", "14", true},
        {"14", "(14)", true},
        {"14", "It is 14.", true},
        {"14", "14, 15", true},
        {"14", "114", false},
        {"14", "140", false},
        {"14", "14.5", false},
        {"14", "0.14", false},
        {"14", "1,140", false},
        {"14", "2,14", false},
        {"14", "14,000", false},
        {"14", "114 of 14", true},
        {"14", "v14", false},
        {"14", "14 C", true},
        {"14", "14C", true},
        {"14", "no.14", true},
        {"14", ".14", true},
        {"14", "2026-05-14", true},
        {"EUR", "EUR4", true},
        {"0 ", "10 pieces", false},
        {"0 ", "0 pieces", true},
        {"4 EUR", "14 EUR", false},
        {"4 EUR", "4 EURO", true},
        {"EUR 4", "EUR 4.50", false},
        {"<tool", "x<tool", true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char all[128], none[128];
        snprintf(all, sizeof all, "{\"kind\":\"contains\",\"all\":[[\"%s\"]]}", rows[i].part);
        snprintf(none, sizeof none, "{\"kind\":\"contains\",\"all\":[],\"none\":[\"%s\"]}",
                 rows[i].part);
        assert_right(all, rows[i].answer, rows[i].right);
        assert_right(none, rows[i].answer, !rows[i].right);
    }
}

static void only_what_must_not_be_there_can_be_expected(void **state)
{
    (void)state;
    const char *expect = "{\"kind\":\"contains\",\"all\":[],\"none\":[\"<tool_call>\"]}";
    assert_right(expect, "", true);
    assert_right(expect, "No tool is needed.", true);
    assert_right(expect, "<tool_call>{}</tool_call>", false);
}

static void exact_is_without_case_white_space_and_one_full_stop(void **state)
{
    (void)state;
    const char *expect = "{\"kind\":\"exact\",\"any\":[\"Positive\",\"very good.\"]}";
    assert_right(expect, "positive", true);
    assert_right(expect, " POSITIVE.\n", true);
    assert_right(expect, "Very good", true);
    assert_right(expect, "positive..", false);
    assert_right(expect, "positive!", false);
    assert_right(expect, "it is positive", false);
    assert_right(expect, "very  good", false);
    assert_right(expect, "", false);
    assert_right(expect, ".", false);
}

static void characters_beyond_ascii_are_compared_as_they_are(void **state)
{
    (void)state;
    const char *expect = "{\"kind\":\"exact\",\"any\":[\"Z\xc3\xbcrich\"]}";
    assert_right(expect, "z\xc3\xbcRICH", true);
    assert_right(expect, "Z\xc3\x9crich", false);
    assert_right(expect, "Z\xc3\xbcrich\xc2\xa0", false);
}

/* ---- shares ---- */

static void assert_near(double a, double b)
{
    if (fabs(a - b) > 5e-5) {
        fail_msg("%.6f is not %.6f", a, b);
    }
}

/* Values of R's prop.test(x, n, correct = FALSE). */
static void intervals_are_wilsons(void **state)
{
    static const struct {
        uint64_t right, of;
        double low, high;
    } known[] = {{0, 20, 0.0, 0.161125},
                 {20, 20, 0.838875, 1.0},
                 {10, 20, 0.299298, 0.700702},
                 {1, 1, 0.206543, 1.0},
                 {81, 263, 0.255292, 0.366219}};
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        struct tw_eval_share share = {known[i].right, known[i].of};
        struct tw_eval_interval interval = tw_eval_share_interval(share);
        assert_near(interval.low, known[i].low);
        assert_near(interval.high, known[i].high);
    }
}

static void the_ends_of_an_interval_are_within_zero_and_one(void **state)
{
    (void)state;
    for (uint64_t n = 0; n < 200; n++) {
        for (uint64_t right = 0; right <= n; right++) {
            struct tw_eval_share share = {right, n};
            struct tw_eval_interval interval = tw_eval_share_interval(share);
            double value = tw_eval_share_value(share);
            assert_true(interval.low >= 0.0 && interval.low <= value);
            assert_true(interval.high <= 1.0 && interval.high >= value);
        }
    }
}

static void nothing_of_nothing_is_not_a_success(void **state)
{
    (void)state;
    struct tw_eval_share none = {0, 0};
    assert_true(tw_eval_share_value(none) == 0.0);
}

static void sums_add_each_score(void **state)
{
    (void)state;
    struct tw_eval_scores sum = {0};
    struct tw_eval_scores one = score(BILL, "{\"total\":12,\"x\":1}");
    struct tw_eval_scores two = score("{\"kind\":\"exact\",\"any\":[\"a\"]}", "a");
    tw_eval_scores_add(&sum, &one);
    tw_eval_scores_add(&sum, &one);
    tw_eval_scores_add(&sum, &two);
    assert_share(sum, TW_EVAL_FIELDS, 2, 8);
    assert_share(sum, TW_EVAL_VALID, 2, 2);
    assert_share(sum, TW_EVAL_RIGHT, 1, 1);
    assert_share(sum, TW_EVAL_PASSED, 1, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_equal_object_is_right_in_any_order_and_with_any_white_space),
        cmocka_unit_test(an_answer_that_is_not_one_whole_object_is_not_valid),
        cmocka_unit_test(fields_are_counted_one_by_one_and_one_too_many_is_wrong),
        cmocka_unit_test(numbers_are_equal_as_numbers_and_never_to_texts),
        cmocka_unit_test(large_and_small_numbers_are_not_rounded_into_equality),
        cmocka_unit_test(nested_values_are_equal_as_a_whole),
        cmocka_unit_test(texts_are_equal_character_by_character),
        cmocka_unit_test(of_a_key_that_comes_twice_the_last_value_counts),
        cmocka_unit_test(an_empty_object_can_be_expected),
        cmocka_unit_test(one_call_with_the_right_name_and_arguments_is_right),
        cmocka_unit_test(a_call_with_the_right_name_and_anything_else_wrong_has_the_name),
        cmocka_unit_test(no_call_or_several_or_a_broken_one_has_nothing),
        cmocka_unit_test(a_tag_inside_an_argument_is_text),
        cmocka_unit_test(of_each_group_one_must_be_there_and_none_of_the_others),
        cmocka_unit_test(a_piece_of_another_word_or_number_is_not_what_was_asked_for),
        cmocka_unit_test(only_what_must_not_be_there_can_be_expected),
        cmocka_unit_test(exact_is_without_case_white_space_and_one_full_stop),
        cmocka_unit_test(characters_beyond_ascii_are_compared_as_they_are),
        cmocka_unit_test(intervals_are_wilsons),
        cmocka_unit_test(the_ends_of_an_interval_are_within_zero_and_one),
        cmocka_unit_test(nothing_of_nothing_is_not_a_success),
        cmocka_unit_test(sums_add_each_score),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
