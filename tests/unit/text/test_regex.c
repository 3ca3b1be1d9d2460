#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "form_fixture.h"

#define TEXTS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void assert_pattern(const char *pattern, const char *const *good, const char *const *bad)
{
    struct tw_error error;
    struct tw_automaton *automaton = form_of_regex(pattern, &error);
    if (automaton == NULL) {
        fail_msg("%s: %s", pattern, error.text);
    }
    assert_form_accepts(automaton, good);
    assert_form_rejects(automaton, bad);
    tw_automaton_free(automaton);
}

static void what_the_dialect_has_means_what_it_should(void **state)
{
    (void)state;
    assert_pattern("a|bc", TEXTS("a", "bc"), TEXTS("", "b", "abc", "ac"));
    assert_pattern("(ab)*c?", TEXTS("", "c", "ababc"), TEXTS("abb", "cc"));
    assert_pattern("(?:a|)+b", TEXTS("b", "aab"), TEXTS("a"));
    assert_pattern("x{2}y{1,2}z{2,}", TEXTS("xxyzz", "xxyyzzz"), TEXTS("xyzz", "xxyyyzz", "xxyz"));
    assert_pattern("a{0}b", TEXTS("b"), TEXTS("ab"));
    assert_pattern("a{,2}", TEXTS("a{,2}"), TEXTS("aa"));
    assert_pattern("a*?b+?", TEXTS("b", "aabb"), TEXTS("a"));
    assert_pattern("(?<name>a)(?<other>b)", TEXTS("ab"), TEXTS("a"));
    assert_pattern("[a-c\\d_-]+", TEXTS("ab1_-"), TEXTS("d", ""));
    assert_pattern("[^a-c]", TEXTS("d", "\xc3\xa9", "\n"), TEXTS("a", "dd"));
    assert_pattern("[\\]\\\\^]+", TEXTS("]\\^"), TEXTS("[", "a"));
    assert_pattern("[^]", TEXTS("a", "\n"), TEXTS("", "ab"));
    assert_pattern(".", TEXTS("a", "\xf0\x9f\x98\x80"), TEXTS("\n", "\r", "\xe2\x80\xa8", ""));
    assert_pattern("\\w\\W\\s\\S\\D", TEXTS("a-\tx.", "_\xc3\xa9 0a"), TEXTS("--\txa", "a- x0"));
    assert_pattern("\\x41\\u00e9\\u{1F600}\\uD83D\\uDE00\\cA\\0?",
                   TEXTS("A\xc3\xa9\xf0\x9f\x98\x80\xf0\x9f\x98\x80\x01"), TEXTS("A"));
    assert_pattern("\\.\\/\\{\\$", TEXTS("./{$"), TEXTS("a/{$"));
    assert_pattern("[\\b]", TEXTS("\b"), TEXTS("b"));
}

static void anchors_hold_at_the_ends_alone(void **state)
{
    (void)state;
    assert_pattern("^a$", TEXTS("a"), TEXTS("", "aa"));
    assert_pattern("(^|x)a", TEXTS("a", "xa"), TEXTS("xxa"));
    assert_pattern("a($|b)", TEXTS("a", "ab"), TEXTS("abb"));
    assert_pattern("(a|^)*b", TEXTS("b", "aab"), TEXTS("a"));
    assert_pattern("^$^$", TEXTS(""), TEXTS("a"));
    assert_pattern("a|b^c|d$e", TEXTS("a"), TEXTS("bc", "de"));
}

static void characters_are_whole_and_valid_utf8(void **state)
{
    (void)state;
    assert_pattern("[\\u0080-\\u{10FFFF}]+",
                   TEXTS("\xc2\x80", "\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf"),
                   TEXTS("\x7f", "\x80", "\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80",
                         "\xf0\x80\x80\x80", "\xf4\x90\x80\x80", "\xff", "\xe2\x82"));
    assert_pattern("[\\u07ff-\\u0801]", TEXTS("\xdf\xbf", "\xe0\xa0\x80", "\xe0\xa0\x81"),
                   TEXTS("\xdf\xbe", "\xe0\xa0\x82"));
    assert_pattern("[\\ud7fe-\\ue001]", TEXTS("\xed\x9f\xbe", "\xee\x80\x81"),
                   TEXTS("\xed\x9f\xbd", "\xee\x80\x82", "\xed\xa0\x80"));
}

static void what_no_automaton_can_do_is_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *pattern;
        enum tw_status status;
        const char *part;
    } rows[] = {
        {"(a)\\1", TW_ERR_UNSUPPORTED, "byte 3: back references"},
        {"\\k<a>", TW_ERR_UNSUPPORTED, "back references"},
        {"a(?=b)", TW_ERR_UNSUPPORTED, "byte 1: look-around"},
        {"(?!b)", TW_ERR_UNSUPPORTED, "look-around"},
        {"(?<=b)", TW_ERR_UNSUPPORTED, "look-around"},
        {"(?<!b)", TW_ERR_UNSUPPORTED, "look-around"},
        {"\\bx", TW_ERR_UNSUPPORTED, "word boundaries"},
        {"\\p{L}", TW_ERR_UNSUPPORTED, "Unicode properties"},
        {"(?i)x", TW_ERR_UNSUPPORTED, "kind of group"},
        {"\\q", TW_ERR_UNSUPPORTED, "escape"},
        {"a++", TW_ERR_FORMAT, "behind a quantifier"},
        {"*a", TW_ERR_FORMAT, "nothing to repeat"},
        {"a{3,2}", TW_ERR_FORMAT, "least is above"},
        {"(a", TW_ERR_FORMAT, "byte 0: a group without"},
        {"a)", TW_ERR_FORMAT, "byte 1: a ')'"},
        {"[a", TW_ERR_FORMAT, "without its ']'"},
        {"[b-a]", TW_ERR_FORMAT, "backwards"},
        {"a\\", TW_ERR_FORMAT, "backslash at the end"},
        {"\\x4", TW_ERR_FORMAT, "two hexadecimal"},
        {"\\u12", TW_ERR_FORMAT, "four hexadecimal"},
        {"\\u{110000}", TW_ERR_FORMAT, "no code point"},
        {"\xff", TW_ERR_FORMAT, "not valid UTF-8"},
        {"a{100001}", TW_ERR_LIMIT, "more than 100000"},
        {"[]", TW_ERR_FORMAT, "no text at all"},
        {"a^b", TW_ERR_FORMAT, "no text at all"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tw_error error = {0};
        assert_null(form_of_regex(rows[i].pattern, &error));
        if (error.status != rows[i].status || strstr(error.text, rows[i].part) == NULL) {
            fail_msg("%s: %s", rows[i].pattern, error.text);
        }
    }
}

static void patterns_made_to_explode_are_refused(void **state)
{
    (void)state;
    static const char *const patterns[] = {
        "(a|b)*a(a|b){20}", "((a{0,1000}){0,1000}){0,1000}",
        ".{100000}",        "((((((((((a?){9}){9}){9}){9}){9}){9}){9}){9}){9}){9}",
        "(.*a.{30}){5}b",
    };
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
        struct tw_error error = {0};
        assert_null(form_of_regex(patterns[i], &error));
        assert_int_equal(error.status, TW_ERR_LIMIT);
    }
    char deep[2 * TW_LIMIT_REGEX_DEPTH + 8] = {0};
    memset(deep, '(', TW_LIMIT_REGEX_DEPTH + 1);
    struct tw_error error = {0};
    assert_null(form_of_regex(deep, &error));
    assert_non_null(strstr(error.text, "too deep"));
    assert_pattern("(a?){200}(x+x+)+y", TEXTS("xxy", "aaaxxxy"), TEXTS("xy"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_dialect_has_means_what_it_should),
        cmocka_unit_test(anchors_hold_at_the_ends_alone),
        cmocka_unit_test(characters_are_whole_and_valid_utf8),
        cmocka_unit_test(what_no_automaton_can_do_is_refused_by_name),
        cmocka_unit_test(patterns_made_to_explode_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
