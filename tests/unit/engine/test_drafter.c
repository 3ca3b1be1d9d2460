#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "engine/drafter.h"

/* A drafter that trusts every place that much. */
static struct tw_drafter with_rate(double rate)
{
    struct tw_drafter drafter = tw_drafter_begin();
    for (int i = 0; i < TW_DRAFTER_RATES; i++) {
        drafter.rates[i] = rate;
    }
    return drafter;
}

/* What a sure drafter says after the text; its first n tokens must be those expected. */
static void assert_guess(const tw_token *tokens, size_t n_tokens, const tw_token *expected,
                         uint32_t n)
{
    struct tw_drafter drafter = with_rate(1.0);
    tw_token draft[TW_LIMIT_DRAFT_TOKENS];
    assert_int_equal(tw_drafter_guess(&drafter, tokens, n_tokens, 1, draft), TW_LIMIT_DRAFT_TOKENS);
    assert_memory_equal(draft, expected, n * sizeof *expected);
}

static void what_followed_the_end_of_the_text_is_guessed(void **state)
{
    (void)state;
    const tw_token text[] = {1, 2, 3, 4, 5, 6, 7, 2, 3};
    const tw_token after[] = {4, 5, 6, 7, 2, 3, 4, 5};
    assert_guess(text, 9, after, 8); /* on and on */
}

static void the_longest_match_counts_and_of_equal_ones_the_latest(void **state)
{
    (void)state;
    const tw_token longest[] = {1, 2, 3, 10, 7, 3, 11, 1, 2, 3};
    assert_guess(longest, 10, (tw_token[]){10, 7}, 2);
    const tw_token latest[] = {2, 3, 10, 7, 2, 3, 11, 9, 2, 3};
    assert_guess(latest, 10, (tw_token[]){11, 9}, 2);
    /* Beyond eight tokens a longer match is none. */
    tw_token far[60];
    for (int i = 0; i < 20; i++) {
        far[i] = far[20 + i] = far[40 + i] = i;
    }
    far[20] = 99;
    far[30] = 98;
    assert_guess(far, 60, (tw_token[]){0, 1},
                 2); /* behind nine that are the same, not behind twenty */
}

static void one_token_that_repeats_goes_on(void **state)
{
    (void)state;
    const tw_token text[] = {5, 8, 8};
    const tw_token after[] = {8, 8, 8, 8};
    assert_guess(text, 3, after, 4);
}

static void a_text_without_repetition_has_no_draft(void **state)
{
    (void)state;
    struct tw_drafter drafter = with_rate(1.0);
    tw_token text[100], draft[TW_LIMIT_DRAFT_TOKENS];
    for (int i = 0; i < 100; i++) {
        text[i] = i;
    }
    for (size_t n = 1; n <= 100; n++) {
        assert_int_equal(tw_drafter_guess(&drafter, text, n, 1, draft), 0);
    }
}

static void a_search_has_a_bound(void **state)
{
    (void)state;
    enum { N = TW_LIMIT_DRAFT_SEARCH_TOKENS + 2 };
    struct tw_drafter drafter = with_rate(1.0);
    static tw_token text[N];
    tw_token draft[TW_LIMIT_DRAFT_TOKENS];
    for (int i = 0; i < N; i++) {
        text[i] = i;
    }
    text[N - 1] = 1;
    assert_int_equal(tw_drafter_guess(&drafter, text, N, 1, draft), 0);
    text[N - 1] = 2;
    assert_int_equal(tw_drafter_guess(&drafter, text, N, 1, draft), TW_LIMIT_DRAFT_TOKENS);
    assert_int_equal(draft[0], 3);
}

static uint32_t length_at(double rate, uint32_t n_decoding)
{
    const tw_token text[] = {1, 2, 3, 1, 2};
    tw_token draft[TW_LIMIT_DRAFT_TOKENS];
    struct tw_drafter drafter = with_rate(rate);
    return tw_drafter_guess(&drafter, text, 5, n_decoding, draft);
}

static void a_draft_is_as_long_as_it_is_worth_its_rows(void **state)
{
    (void)state;
    assert_int_equal(length_at(0.1, 1), 0);
    assert_int_equal(length_at(0.2, 1), 1);
    assert_int_equal(length_at(0.4, 1), 2);
    assert_int_equal(length_at(0.6, 1), 3);
    assert_int_equal(length_at(0.9, 1), 3);
    assert_int_equal(length_at(0.95, 1), TW_LIMIT_DRAFT_TOKENS);
    assert_int_equal(length_at(0.6, 2), 1);
    assert_int_equal(length_at(0.6, 3), 0);
    assert_int_equal(length_at(0.6, 100), 0);
    assert_int_equal(length_at(0.95, 15), TW_LIMIT_DRAFT_TOKENS); /* the scheduler cuts it */
    assert_int_equal(length_at(0.95, 16), 0);
}

/* Guesses that are never right: drafts become rare, and come back when they are right again. */
static void wrong_drafts_end_and_are_tried_again_rarely(void **state)
{
    (void)state;
    const tw_token text[] = {1, 2, 3, 1, 2};
    tw_token draft[TW_LIMIT_DRAFT_TOKENS];
    struct tw_drafter drafter = tw_drafter_begin();
    uint32_t n_drafted = 0, n = 0;
    for (int i = 0; i < 20; i++) {
        n = tw_drafter_guess(&drafter, text, 5, 1, draft);
        tw_drafter_learn(&drafter, n, 0);
    }
    for (int i = 0; i < 160; i++) {
        n = tw_drafter_guess(&drafter, text, 5, 1, draft);
        tw_drafter_learn(&drafter, n, 0);
        n_drafted += n;
    }
    assert_int_equal(n_drafted, 10);
    /* One rate is not the others': a longer match is trusted still. */
    const tw_token longer[] = {9, 1, 2, 3, 9, 1, 2};
    assert_true(tw_drafter_guess(&drafter, longer, 7, 1, draft) > 1);
    for (int i = 0; i < 100; i++) {
        n = tw_drafter_guess(&drafter, text, 5, 1, draft);
        tw_drafter_learn(&drafter, n, n);
    }
    assert_int_equal(n, TW_LIMIT_DRAFT_TOKENS);
}

/* Every draft is what follows some place at which the text stood as it stands at its end. */
static void random_texts_are_followed_as_they_were_before(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 2000; seed++) {
        tw_token text[200], draft[TW_LIMIT_DRAFT_TOKENS];
        uint32_t words[4];
        tw_rng_block(seed, 0, words);
        const size_t n = 1 + words[0] % 180;
        for (size_t i = 0; i < n; i++) {
            tw_rng_block(seed, 1 + i, words);
            text[i] = (tw_token)(words[0] % (2 + seed % 30));
        }
        struct tw_drafter drafter = with_rate(1.0);
        const uint32_t n_draft = tw_drafter_guess(&drafter, text, n, 1, draft);
        memcpy(text + n, draft, n_draft * sizeof *draft);
        size_t best = 0; /* the longest end that stood before, by brute force */
        bool is_there = false;
        for (size_t end = 1; end < n; end++) {
            size_t length = 0;
            while (length < end && text[end - 1 - length] == text[n - 1 - length]) {
                length++;
            }
            length = length < 8 ? length : 8;
            const bool follows =
                memcmp(text + end, text + n, n_draft * sizeof *draft) == 0 && n_draft > 0;
            is_there = length > best ? follows : is_there || (length == best && follows);
            best = length > best ? length : best;
        }
        assert_int_equal(n_draft > 0, best > 0);
        assert_true(n_draft == 0 || is_there);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_followed_the_end_of_the_text_is_guessed),
        cmocka_unit_test(the_longest_match_counts_and_of_equal_ones_the_latest),
        cmocka_unit_test(one_token_that_repeats_goes_on),
        cmocka_unit_test(a_text_without_repetition_has_no_draft),
        cmocka_unit_test(a_search_has_a_bound),
        cmocka_unit_test(a_draft_is_as_long_as_it_is_worth_its_rows),
        cmocka_unit_test(wrong_drafts_end_and_are_tried_again_rarely),
        cmocka_unit_test(random_texts_are_followed_as_they_were_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
