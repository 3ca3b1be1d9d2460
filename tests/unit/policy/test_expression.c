/* What would break if an expression of an organisation found what it should not, passed over what
 * it should find, or could be made slow by a text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/expression.h"

struct hits {
    size_t n;
    size_t begins[8], ends[8];
};

static void on_found(void *context, size_t begin, size_t end)
{
    struct hits *hits = context;
    if (hits->n < 8) {
        hits->begins[hits->n] = begin;
        hits->ends[hits->n] = end;
    }
    hits->n++;
}

static enum tw_status scan(const char *source, enum tw_checksum checksum, const char *text,
                           size_t n, struct hits *hits)
{
    struct tw_expression *expression;
    struct tw_error error = {0};
    if (tw_expression_create(source, checksum, &expression, &error) != TW_OK) {
        fail_msg("'%s': %s", source, error.text);
    }
    *hits = (struct hits){0};
    struct tw_expression_work work = {0};
    uint64_t n_steps = TW_LIMIT_POLICY_STEPS;
    const enum tw_status status =
        tw_expression_scan(expression, &work, &n_steps, text, n, on_found, hits, &error);
    tw_expression_work_free(&work);
    tw_expression_free(expression);
    return status;
}

static size_t count(const char *source, enum tw_checksum checksum, const char *text)
{
    struct hits hits;
    assert_int_equal(scan(source, checksum, text, strlen(text), &hits), TW_OK);
    return hits.n;
}

static void assert_refused(const char *source, const char *part)
{
    struct tw_expression *expression = NULL;
    struct tw_error error = {0};
    const enum tw_status status =
        tw_expression_create(source, TW_CHECKSUM_NONE, &expression, &error);
    if (status != TW_ERR_FORMAT || strstr(error.text, part) == NULL) {
        fail_msg("'%s' gives '%s', expected '%s'", source, error.text, part);
    }
    assert_null(expression);
}

static void each_match_is_found_once_and_where_it_is(void **state)
{
    struct hits hits;
    const char *text = "PRJ-000001, prj-2, PRJ-123456 and PRJ-1234567";
    (void)state;
    assert_int_equal(scan("\\bPRJ-\\d{6}\\b", TW_CHECKSUM_NONE, text, strlen(text), &hits), TW_OK);
    assert_int_equal(hits.n, 2);
    assert_int_equal(hits.begins[0], 0);
    assert_int_equal(hits.ends[0], 10);
    assert_int_equal(hits.begins[1], 19);
    assert_int_equal(count("(?i)\\bstreng geheim\\b", TW_CHECKSUM_NONE, "STRENG GEHEIM!"), 1);
    assert_int_equal(count("(?<=Nr\\. )\\d{3}", TW_CHECKSUM_NONE, "Nr. 123, 456"), 1);
    assert_int_equal(count("\\bm[üu]ller\\b", TW_CHECKSUM_NONE, "müller, muller, müllerin"), 2);
    assert_int_equal(count("a{2,3}+b?", TW_CHECKSUM_NONE, "aaaa aab"), 2);
    assert_int_equal(count("[[:alpha:]]{2}[]+*]", TW_CHECKSUM_NONE, "ab+ cd] e*"), 2);
    assert_int_equal(count("x", TW_CHECKSUM_NONE, ""), 0);
}

static void a_match_counts_where_its_checksum_holds(void **state)
{
    (void)state;
    assert_int_equal(count("\\d{11}", TW_CHECKSUM_LUHN, "79927398713 79927398714"), 1);
    assert_int_equal(count("P\\d{3} \\d{4}-\\d{4}", TW_CHECKSUM_LUHN, "P799 2739-8713"), 1);
    /* The first eleven digits are wrong, the next right. */
    assert_int_equal(count("\\d{11}", TW_CHECKSUM_LUHN, "179927398713"), 1);
    assert_int_equal(count("\\d{9}[\\dXx]", TW_CHECKSUM_MOD11, "097522980x 0975229801"), 1);
}

static void what_has_no_end_is_refused_with_what_to_write(void **state)
{
    (void)state;
    assert_refused("\\d+", "write {1,40} in place of + at character 3");
    assert_refused("a*b", "write {0,40} in place of * at character 2");
    assert_refused("a{3,}", "write {1,40} in place of {1,}");
    assert_refused("(a{1,5})++", "in place of +");
    assert_refused("a{1,300}", "at most 256");
    assert_refused("a{,3}", "write {0,");
    assert_refused("(?R)", "a kind of group");
    assert_refused("(a)(?1)", "a kind of group");
    assert_refused("(?C1)a", "a kind of group");
    assert_refused("(*LIMIT_MATCH=1)a", "a verb");
    assert_refused("\\X", "\\X");
    assert_refused("a\\Kb", "\\K");
    assert_refused("\\Qa+\\E", "\\Q");
    assert_refused("(a", "missing closing parenthesis");
    assert_refused("[a", "missing terminating ]");
    assert_refused("a?", "at least one character");
    assert_refused("\\b", "at least one character");
    assert_refused("", "at least one character");
    assert_refused("\\", "\\ at end of pattern");
}

/* An attempt at each place that reads far and fails, which is quadratic at least. */
static void a_text_made_to_be_slow_is_an_error_soon(void **state)
{
    static const char *const sources[] = {"(a{1,200}){1,200}[bc]", "(a?){1,100}(a?){1,100}[bc]",
                                          "(a|aa|aaa){1,256}[bc]", ".{1,256}?[bc]"};
    enum { TEXT_BYTES = 200000 };
    char *text = test_malloc(TEXT_BYTES);
    struct hits hits;
    (void)state;
    memset(text, 'a', TEXT_BYTES);
    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++) {
        const enum tw_status status = scan(sources[i], TW_CHECKSUM_NONE, text, TEXT_BYTES, &hits);
        if (status != TW_ERR_LIMIT) {
            fail_msg("'%s' ends with %d", sources[i], (int)status);
        }
    }
    /* What people write has far fewer steps than there may be. */
    assert_int_equal(scan("\\b[A-Z]{2}\\d{6}\\b", TW_CHECKSUM_NONE, text, TEXT_BYTES, &hits),
                     TW_OK);
    memset(text, '7', TEXT_BYTES);
    assert_int_equal(scan("\\b\\d{6,12}-[A-Z]", TW_CHECKSUM_NONE, text, TEXT_BYTES, &hits), TW_OK);
    test_free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_match_is_found_once_and_where_it_is),
        cmocka_unit_test(a_match_counts_where_its_checksum_holds),
        cmocka_unit_test(what_has_no_end_is_refused_with_what_to_write),
        cmocka_unit_test(a_text_made_to_be_slow_is_an_error_soon),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
