#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "text/pattern.h"

static struct tw_pattern *compile(const char *source)
{
    struct tw_pattern *pattern = NULL;
    struct tw_error error = {0};
    if (tw_pattern_create(tw_bytes_of(source), &pattern, &error) != TW_OK) {
        fail_msg("%s: %s", source, error.text);
    }
    return pattern;
}

/* All matches as "begin-end begin-end". */
static const char *matches(const char *source, const char *text, size_t n)
{
    static char line[4096];
    struct tw_pattern *pattern = compile(source);
    struct tw_pattern_matcher matcher = {0};
    size_t used = 0;
    line[0] = '\0';
    tw_pattern_begin(&matcher, (struct tw_bytes){text, n});
    for (;;) {
        size_t begin, end;
        assert_int_equal(tw_pattern_next(pattern, &matcher, &begin, &end, NULL), TW_OK);
        if (begin == n) {
            break;
        }
        used += (size_t)snprintf(line + used, sizeof line - used, "%s%zu-%zu", used > 0 ? " " : "",
                                 begin, end);
    }
    tw_pattern_matcher_free(&matcher);
    tw_pattern_free(pattern);
    return line;
}

#define assert_matches(source, text, expected)                                                     \
    assert_string_equal(matches(source, text, sizeof(text) - 1), expected)

static void matches_come_in_order_and_do_not_overlap(void **state)
{
    (void)state;
    assert_matches("[a-z]+", "ab1cd22e", "0-2 3-5 7-8");
    assert_matches("aa", "aaaaa", "0-2 2-4");
    assert_matches("x", "abc", "");
    assert_matches("x", "", "");
    assert_matches("(?<=b)c|b", "abc", "1-2 2-3");
}

static void an_empty_match_does_not_hold_the_walk_up(void **state)
{
    (void)state;
    assert_matches("a*", "baac", "0-0 1-3");
    assert_matches("", "ab", "0-0 1-1");
    assert_matches("(?=b)",
                   "ab\xc3\xa9"
                   "b",
                   "1-1 4-4");
}

static void escapes_mean_what_oniguruma_takes_them_for(void **state)
{
    (void)state;
    assert_matches("\\s+", "a\xc2\x85\xe3\x80\x80z\xe1\xa0\x8ez\xef\xbb\xbf", "1-6");
    assert_matches("[^\\s]+", " \xe1\xa0\x8e ", "1-4");
    assert_matches("[\\S]+", " \xe1\xa0\x8e\xc2\x85", "1-4");
    assert_matches("\\S", " a\xc2\xa0", "1-2");
    assert_matches("\\w+", "a\xcc\x81_1 \xe2\x85\xa0", "0-5 6-9");
    assert_matches("\\w", "\xc2\xb2", "0-2");
    assert_matches("[\\w]", "\xc2\xb2", "");
    assert_matches("\\W+", "a-\xc2\xb2", "1-2");
    assert_matches("\\d+", "1\xd9\xa3\xc2\xbd", "0-3");
    assert_matches("\\v", "\x0a\x0b", "1-2");
    assert_matches("\\u00e9|\\x41|\\x{4e2d}+",
                   "\xc3\xa9"
                   "A\xe4\xb8\xad",
                   "0-2 2-3 3-6");
    assert_matches("(?i:'s)", "'S'\xc5\xbf", "0-2 2-5");
    assert_matches("\\p{Han}", "\xe4\xb8\xad\xe3\x80\x82", "0-3");
    assert_matches("\\p{Lu}+|\\P{L}+", "AB12c", "0-2 2-4");
    assert_matches("^a$", "a\nb\na", "0-1 4-5");
    assert_matches("[\\-\\s]+x", "- -x", "0-4");
}

static void what_would_mean_something_else_is_refused_by_name(void **state)
{
    (void)state;
    static const char *const sources[] = {
        "[a[bc]]",  "[a-z&&[^b]]", "\\h",    "\\b",     "\\R",         "\\X",     "\\Qa\\E",
        "\\g<1>",   "\\k<n>",      "\\K",    "\\N",     "\\C",         "(*FAIL)", "(?<n>a)",
        "(?P<n>a)", "a(?i)b",      "(?m:a)", "(?R)",    "(?1)",        "a{,3}",   "a{2}+",
        "\\xff",    "\\u12",       "[\\W]",  "[a-\\s]", "[\\s-z]",     "[]a]",    "[^]a]",
        "\\p{^L}",  "\\pL",        "\\",     "(?C1)",   "[[:alpha:]]", "(?#a)",   "\\p{Alpha}",
        "(",        "[a",          "a**{",   "*",       "\\x{110000}", "\\c",     "\\o{12}",
    };
    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++) {
        struct tw_pattern *pattern = NULL;
        struct tw_error error = {0};
        enum tw_status status = tw_pattern_create(tw_bytes_of(sources[i]), &pattern, &error);
        if (status != TW_ERR_UNSUPPORTED || pattern != NULL ||
            strstr(error.text, "pattern") == NULL) {
            fail_msg("%s: status %d, '%s'", sources[i], (int)status, error.text);
        }
    }
}

static void invalid_bytes_are_never_in_a_match_and_end_the_text_before_them(void **state)
{
    (void)state;
    assert_matches("[^x]+",
                   "ab\xff"
                   "cd\xc3",
                   "0-2 3-5");
    assert_matches("\\s+(?!\\S)|\\s+|[^\\s]+", "a  \xff", "0-1 1-3");
    assert_matches(".", "\xff\xfe", "");
    assert_matches("(?<=b)c",
                   "b\xff"
                   "c",
                   "");
}

static void a_pattern_longer_than_the_limit_is_refused(void **state)
{
    (void)state;
    size_t n = TW_LIMIT_PATTERN_BYTES + 1;
    char *source = tw_mem_alloc(n, 1);
    memset(source, 'a', n);
    struct tw_pattern *pattern = NULL;
    assert_int_equal(tw_pattern_create((struct tw_bytes){source, n}, &pattern, NULL), TW_ERR_LIMIT);
    tw_mem_free(source);
}

/* Exponential backtracking at every position of the text: without a bound this never ends. */
static void a_hostile_pattern_is_given_up_after_a_bounded_number_of_steps(void **state)
{
    (void)state;
    struct tw_pattern *pattern = compile("(?:(?:a+)+)+c|(?:a|aa)+$x");
    struct tw_pattern_matcher matcher = {0};
    char text[3000];
    memset(text, 'a', sizeof text);
    tw_pattern_begin(&matcher, (struct tw_bytes){text, sizeof text});
    size_t begin, end;
    struct tw_error error = {0};
    assert_int_equal(tw_pattern_next(pattern, &matcher, &begin, &end, &error), TW_ERR_LIMIT);
    assert_non_null(strstr(error.text, "gave up"));
    tw_pattern_matcher_free(&matcher);
    tw_pattern_free(pattern);
}

/* Each word alone is matched within the bound of one attempt; many of them would take for ever. */
static void hard_places_share_one_account(void **state)
{
    (void)state;
    enum { WORDS = 40, WORD_BYTES = 26 };
    static char text[WORDS * WORD_BYTES];
    memset(text, 'a', sizeof text);
    for (size_t i = 1; i <= WORDS; i++) {
        text[i * WORD_BYTES - 1] = ' ';
    }
    struct tw_pattern *pattern = compile("(?:a|aa)+b|c");
    for (size_t n_words = 1; n_words <= WORDS; n_words += WORDS - 1) {
        struct tw_pattern_matcher matcher = {0};
        size_t begin, end;
        tw_pattern_begin(&matcher, (struct tw_bytes){text, n_words * WORD_BYTES});
        assert_int_equal(tw_pattern_next(pattern, &matcher, &begin, &end, NULL),
                         n_words == 1 ? TW_OK : TW_ERR_LIMIT);
        tw_pattern_matcher_free(&matcher);
    }
    tw_pattern_free(pattern);
}

static void a_long_run_that_needs_many_steps_is_still_matched(void **state)
{
    (void)state;
    enum { SPACES = 200000 };
    char *text = tw_mem_alloc(SPACES + 1, 1);
    memset(text, ' ', SPACES);
    text[SPACES] = 'x';
    struct tw_pattern *pattern = compile("\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+|x");
    struct tw_pattern_matcher matcher = {0};
    tw_pattern_begin(&matcher, (struct tw_bytes){text, SPACES + 1});
    size_t begin, end;
    assert_int_equal(tw_pattern_next(pattern, &matcher, &begin, &end, NULL), TW_OK);
    assert_int_equal(begin, 0);
    assert_int_equal(end, SPACES - 1);
    tw_pattern_matcher_free(&matcher);
    tw_pattern_free(pattern);
    tw_mem_free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_come_in_order_and_do_not_overlap),
        cmocka_unit_test(an_empty_match_does_not_hold_the_walk_up),
        cmocka_unit_test(escapes_mean_what_oniguruma_takes_them_for),
        cmocka_unit_test(what_would_mean_something_else_is_refused_by_name),
        cmocka_unit_test(invalid_bytes_are_never_in_a_match_and_end_the_text_before_them),
        cmocka_unit_test(a_pattern_longer_than_the_limit_is_refused),
        cmocka_unit_test(a_hostile_pattern_is_given_up_after_a_bounded_number_of_steps),
        cmocka_unit_test(hard_places_share_one_account),
        cmocka_unit_test(a_long_run_that_needs_many_steps_is_still_matched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
