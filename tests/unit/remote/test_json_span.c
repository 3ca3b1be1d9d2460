#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "remote/json_span.h"

static struct tw_json_span span(const char *text)
{
    return (struct tw_json_span){text, strlen(text)};
}

static void members_are_found_with_their_whole_values(void **state)
{
    (void)state;
    const struct tw_json_span object =
        span(" {\"a\" : {\"x\":[1,\"}\\\"]\"]} , \"b\":-1.5e3,\"c\":\"\", \"d\":[ ] , \"e\":null}");
    assert_true(tw_json_span_is(tw_json_span_member(object, "a"), "{\"x\":[1,\"}\\\"]\"]}"));
    assert_true(tw_json_span_is(tw_json_span_member(object, "b"), "-1.5e3"));
    assert_true(tw_json_span_is(tw_json_span_member(object, "c"), "\"\""));
    assert_true(tw_json_span_is(tw_json_span_member(object, "d"), "[ ]"));
    assert_true(tw_json_span_is_null(tw_json_span_member(object, "e")));
    assert_null(tw_json_span_member(object, "x").at);
    assert_true(tw_json_span_is(tw_json_span_member(span("{\"a\":1,\"a\":2}"), "a"), "2"));
}

static size_t count(const char *text, bool *ret_is_whole)
{
    struct tw_json_walk walk;
    struct tw_json_span key, value;
    size_t n = 0;
    *ret_is_whole = false;
    if (tw_json_walk_begin(&walk, span(text))) {
        while (tw_json_walk_next(&walk, &key, &value)) {
            n++;
        }
        *ret_is_whole = walk.is_whole;
    }
    return n;
}

static void a_walk_knows_whether_it_saw_the_end(void **state)
{
    (void)state;
    const struct {
        const char *text;
        size_t n;
        bool is_whole;
    } rows[] = {{"{}", 0, true},          {"[]", 0, true},
                {"[1,2,[3]]", 3, true},   {"{\"a\":1", 1, false},
                {"{\"a\":1,}", 1, false}, {"{\"a\" 1}", 0, false},
                {"[1 2]", 1, false},      {"{\"a", 0, false},
                {"{\"a\":\"x", 0, false}, {"{\"a\":{\"b\":1}", 1, false},
                {"", 0, false},           {"7", 0, false},
                {"[}", 0, false},         {"[\"\\", 0, false},
                {"{\"a\":}", 0, false}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        bool is_whole;
        assert_int_equal(count(rows[i].text, &is_whole), rows[i].n);
        assert_int_equal(is_whole, rows[i].is_whole);
    }
}

static void text_is_counted_in_the_bytes_that_it_stands_for(void **state)
{
    (void)state;
    assert_int_equal(tw_json_span_text_bytes(span("\"abc\"")), 3);
    assert_int_equal(tw_json_span_text_bytes(span("\"\\n\\\"\\\\x\"")), 4);
    assert_int_equal(tw_json_span_text_bytes(span("\"\\u0041\\u00e9\\u20ac\\ud83d\\ude00\"")),
                     1 + 2 + 3 + 4);
    assert_int_equal(tw_json_span_text_bytes(span("\"\xc3\xa9\"")), 2);
    assert_int_equal(tw_json_span_text_bytes(span("null")), 0);
    assert_int_equal(tw_json_span_text_bytes(span("12345")), 0);
}

static void numbers_and_words_are_read_or_are_none(void **state)
{
    (void)state;
    uint64_t n = 7;
    char text[8];
    assert_true(tw_json_span_uint(span("18446744073709551615"), &n) && n == UINT64_MAX);
    n = 7;
    assert_false(tw_json_span_uint(span("18446744073709551616"), &n));
    assert_false(tw_json_span_uint(span("-1"), &n) || tw_json_span_uint(span("1.0"), &n) ||
                 tw_json_span_uint(span("\"1\""), &n) || tw_json_span_uint(span("null"), &n));
    assert_int_equal(n, 7);
    tw_json_span_copy(span("\"a\\nb\\u0041\\u20acxyz\""), text, sizeof text);
    assert_string_equal(text, "a\nbA?xy");
    tw_json_span_copy(span("7"), text, sizeof text);
    assert_string_equal(text, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_are_found_with_their_whole_values),
        cmocka_unit_test(a_walk_knows_whether_it_saw_the_end),
        cmocka_unit_test(text_is_counted_in_the_bytes_that_it_stands_for),
        cmocka_unit_test(numbers_and_words_are_read_or_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
