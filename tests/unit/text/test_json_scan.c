#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/json.h"
#include "text/json_scan.h"

/* How many bytes were taken until the end, or until one was refused. */
static size_t scan(const char *text, bool *ret_is_over)
{
    struct tw_json_scan scan;
    size_t n = 0;
    tw_json_scan_begin(&scan);
    while (text[n] != '\0' && !tw_json_scan_is_over(&scan) && tw_json_scan_push(&scan, text[n])) {
        n++;
    }
    *ret_is_over = tw_json_scan_is_over(&scan);
    return n;
}

static void json_is_read_to_its_end(void **state)
{
    (void)state;
    const char *const texts[] = {"{}",
                                 " [ ] ",
                                 "{\"a\": [1, -0, 0.5, 12e3, 1E-9, -3.25e+10]}",
                                 "[true, false, null]",
                                 "{\"}\": \"]\\\"\\\\\\u00aF\\n\"}",
                                 "[[[{}], {\"a\": {}}]]",
                                 "[\"\xc3\xbc\"]",
                                 "[0]x",
                                 "{} {}"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        bool is_over;
        size_t n = scan(texts[i], &is_over);
        json_t *value = NULL;
        assert_true(is_over);
        assert_int_equal(tw_json_parse(texts[i], n, "text", &value, NULL), TW_OK);
        json_decref(value);
    }
}

static void what_is_no_json_is_seen_at_its_byte(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t n;
    } rows[] = {{"x", 0},          {"1", 0},      {"{,", 1},     {"{\"a\" 1", 5},
                {"{\"a\":}", 5},   {"[1,]", 3},   {"[1 2", 3},   {"[01", 2},
                {"[-x", 2},        {"[1.e", 3},   {"[1e]", 3},   {"[1e+]", 4},
                {"[tru]", 4},      {"[\"\n", 2},  {"[\"\\x", 3}, {"[\"\\u12g", 6},
                {"{\"a\": 1]", 7}, {"[1}", 2},    {"[.5", 1},    {"[+1", 1},
                {"{1", 1},         {"[nulll", 5}, {"[1-", 2},    {"{\"a\": 1,}", 8}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        bool is_over;
        assert_int_equal(scan(rows[i].text, &is_over), rows[i].n);
        assert_false(is_over);
    }
}

static void what_is_nested_too_deep_is_refused(void **state)
{
    (void)state;
    char text[TW_LIMIT_JSON_DEPTH + 2];
    bool is_over;
    memset(text, '[', sizeof text);
    text[TW_LIMIT_JSON_DEPTH + 1] = '\0';
    assert_int_equal(scan(text, &is_over), TW_LIMIT_JSON_DEPTH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_is_read_to_its_end),
        cmocka_unit_test(what_is_no_json_is_seen_at_its_byte),
        cmocka_unit_test(what_is_nested_too_deep_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
