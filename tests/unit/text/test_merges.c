/* merges.h and bpe.h: the tables merging works from, and the two algorithms. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "text/bpe.h"
#include "text_fixture.h"

/* As defined: of all pairs, merge the leftmost of the best rank, then start again. */
static size_t merge_by_definition(const struct tw_merges *merges, int32_t *symbols, size_t n)
{
    for (;;) {
        const struct tw_merge_slot *best = NULL;
        size_t at = 0;
        for (size_t i = 0; i + 1 < n; i++) {
            const struct tw_merge_slot *slot = tw_merges_find(merges, symbols[i], symbols[i + 1]);
            if (slot != NULL && (best == NULL || slot->rank < best->rank)) {
                best = slot;
                at = i;
            }
        }
        if (best == NULL) {
            return n;
        }
        symbols[at] = best->merged - 1;
        memmove(symbols + at + 1, symbols + at + 2, (n - at - 2) * sizeof *symbols);
        n--;
    }
}

/* Merges over "abc" of random earlier tokens: many ways to the same string. */
static void add_random_merges(struct text_fixture *fixture, uint64_t seed)
{
    char spelled[400][32] = {"a", "b", "c"};
    size_t n_spelled = 3;
    for (uint64_t i = 0; i < 300; i++) {
        uint32_t r[4];
        tw_rng_block(seed, i, r);
        const char *left = spelled[r[0] % n_spelled];
        const char *right = spelled[r[1] % n_spelled];
        size_t n_left = strlen(left);
        size_t n_right = strlen(right);
        if (n_left + n_right >= 20) {
            continue;
        }
        memcpy(spelled[n_spelled], left, n_left);
        memcpy(spelled[n_spelled] + n_left, right, n_right + 1);
        bool is_new = true;
        for (size_t k = 0; k < n_spelled; k++) {
            is_new = is_new && strcmp(spelled[k], spelled[n_spelled]) != 0;
        }
        if (is_new) {
            text_fixture_merge(fixture, left, right);
            n_spelled++;
        } else { /* another way to make a token there is already */
            text_fixture_merge(fixture, left, right);
            fixture->spec.n_tokens--;
        }
    }
}

static void load(const struct text_fixture *fixture, struct tw_vocab *vocab,
                 struct tw_merges *merges)
{
    struct tw_error error = {0};
    if (tw_vocab_init(vocab, &fixture->spec, &error) != TW_OK ||
        tw_merges_init(merges, vocab, &fixture->spec, &error) != TW_OK) {
        fail_msg("%s", error.text);
    }
}

static void unload(struct tw_vocab *vocab, struct tw_merges *merges)
{
    tw_merges_free(merges);
    tw_vocab_free(vocab);
}

static void assert_merges_as_defined(const struct tw_merges *merges, const int32_t *symbols,
                                     size_t n, struct tw_bpe_scratch *scratch)
{
    int32_t expected[512];
    int32_t got[512];
    memcpy(expected, symbols, n * sizeof *symbols);
    memcpy(got, symbols, n * sizeof *symbols);
    size_t n_expected = merge_by_definition(merges, expected, n);
    size_t n_got = 0;
    assert_true(tw_bpe_merge(merges, scratch, got, n, &n_got));
    assert_int_equal(n_got, n_expected);
    assert_memory_equal(got, expected, n_got * sizeof *got);
}

static void short_and_long_words_merge_as_the_definition_says(void **state)
{
    (void)state;
    static const size_t lengths[] = {
        0,   1,  2, 3, 7, TW_BPE_SHORT_SYMBOLS - 1, TW_BPE_SHORT_SYMBOLS, TW_BPE_SHORT_SYMBOLS + 1,
        100, 500};
    static struct text_fixture fixture;
    for (uint64_t seed = 0; seed < 40; seed++) {
        struct tw_vocab vocab;
        struct tw_merges merges;
        struct tw_bpe_scratch scratch = {0};
        text_fixture_bpe(&fixture);
        add_random_merges(&fixture, seed);
        load(&fixture, &vocab, &merges);
        for (uint64_t round = 0; round < 40; round++) {
            int32_t symbols[512];
            size_t n = lengths[round % (sizeof lengths / sizeof lengths[0])];
            for (size_t i = 0; i < n; i++) {
                uint32_t r[4];
                tw_rng_block(seed * 1000 + round, i, r);
                symbols[i] = 'a' + (int32_t)(r[0] % 3);
            }
            assert_merges_as_defined(&merges, symbols, n, &scratch);
        }
        tw_bpe_scratch_free(&scratch);
        unload(&vocab, &merges);
    }
}

/* Rescanning would need 10^12 steps. */
static void a_word_of_a_million_symbols_is_merged_in_time(void **state)
{
    (void)state;
    enum { SYMBOLS = 1 << 20 };
    static struct text_fixture fixture;
    struct tw_vocab vocab;
    struct tw_merges merges;
    struct tw_bpe_scratch scratch = {0};
    text_fixture_bpe(&fixture);
    text_fixture_merge(&fixture, "a", "a");
    text_fixture_merge(&fixture, "aa", "aa");
    text_fixture_merge(&fixture, "aaaa", "aaaa");
    load(&fixture, &vocab, &merges);
    int32_t *symbols = tw_mem_alloc(SYMBOLS + 1, sizeof *symbols);
    for (size_t i = 0; i < SYMBOLS + 1; i++) {
        symbols[i] = 'a';
    }
    size_t n = 0;
    assert_true(tw_bpe_merge(&merges, &scratch, symbols, SYMBOLS + 1, &n));
    assert_int_equal(n, SYMBOLS / 8 + 1);
    assert_int_equal(symbols[0], 258);
    assert_int_equal(symbols[n - 1], 'a');
    tw_mem_free(symbols);
    tw_bpe_scratch_free(&scratch);
    unload(&vocab, &merges);
}

static void a_merge_of_tokens_the_vocabulary_lacks_is_named(void **state)
{
    (void)state;
    static const char *const lines[] = {"zz z", "z zz", "z z", "z", "", " z", "z ", "zz"};
    static struct text_fixture fixture;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct tw_vocab vocab;
        struct tw_merges merges;
        struct tw_error error = {0};
        text_fixture_bpe(&fixture);
        text_fixture_merge(&fixture, "a", "b");
        fixture.merges[fixture.spec.n_merges++] = tw_bytes_of(lines[i]);
        assert_int_equal(tw_vocab_init(&vocab, &fixture.spec, NULL), TW_OK);
        assert_int_equal(tw_merges_init(&merges, &vocab, &fixture.spec, &error), TW_ERR_FORMAT);
        assert_non_null(strstr(error.text, "merge 1"));
        unload(&vocab, &merges);
    }
}

static void a_merge_into_a_control_token_is_left_out(void **state)
{
    (void)state;
    static struct text_fixture fixture;
    text_fixture_bpe(&fixture);
    text_fixture_merge(&fixture, "<", "s");
    text_fixture_merge(&fixture, "<s", ">");
    fixture.kinds[257] = TW_TOKEN_CONTROL;
    fixture.spec.pretokenizer = TW_PRETOKENIZER_PATTERN;
    fixture.spec.pattern = "[^ ]+";
    struct tw_tokenizer *tokenizer = text_fixture_create(&fixture);
    assert_string_equal(text_fixture_ids(tokenizer, "<s>", 3, 0), "256 62");
    assert_string_equal(text_fixture_ids(tokenizer, "<s>", 3, TW_ENCODE_SPECIAL), "257");
    tw_tokenizer_free(tokenizer);
}

#define M "\xe2\x96\x81"

/* "ab" and "bc" have one score: the left one goes first, whichever comes first in the file; "bc"
 * goes first when it has the better score. */
static void sentencepiece_merges_by_score_and_leftmost_of_equals(void **state)
{
    (void)state;
    static const struct {
        float ab, bc;
        bool bc_is_first;
        const char *expected;
    } rows[] = {{-2, -2, false, "ab c"},
                {-2, -2, true, "ab c"},
                {-2, -1, false, "a bc"},
                {-2, -1, true, "a bc"},
                {-1, -2, true, "ab c"}};
    static struct text_fixture fixture;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        text_fixture_spm(&fixture);
        bool swap = rows[i].bc_is_first;
        tw_token a = text_fixture_token(&fixture, "a", TW_TOKEN_NORMAL, -10);
        tw_token c = text_fixture_token(&fixture, "c", TW_TOKEN_NORMAL, -11);
        text_fixture_token(&fixture, "b", TW_TOKEN_NORMAL, -12);
        tw_token first = text_fixture_token(&fixture, swap ? "bc" : "ab", TW_TOKEN_NORMAL,
                                            swap ? rows[i].bc : rows[i].ab);
        tw_token second = text_fixture_token(&fixture, swap ? "ab" : "bc", TW_TOKEN_NORMAL,
                                             swap ? rows[i].ab : rows[i].bc);
        struct tw_tokenizer *tokenizer = text_fixture_create(&fixture);
        char expected[32];
        if (strcmp(rows[i].expected, "ab c") == 0) {
            snprintf(expected, sizeof expected, "%d %d", swap ? second : first, c);
        } else {
            snprintf(expected, sizeof expected, "%d %d", a, swap ? first : second);
        }
        assert_string_equal(text_fixture_ids(tokenizer, "abc", 3, 0), expected);
        tw_tokenizer_free(tokenizer);
    }
}

/* Merging a text at once and word by word must not differ: with a piece that joins across a mark
 * the shortcut is off. */
static void a_piece_with_a_mark_inside_is_still_found(void **state)
{
    (void)state;
    static struct text_fixture fixture;
    text_fixture_spm(&fixture);
    text_fixture_token(&fixture, "a", TW_TOKEN_NORMAL, -5);
    text_fixture_token(&fixture, M, TW_TOKEN_NORMAL, -5);
    text_fixture_token(&fixture, M "b", TW_TOKEN_NORMAL, -3);
    text_fixture_token(&fixture, "b", TW_TOKEN_NORMAL, -5);
    struct tw_vocab vocab;
    struct tw_merges merges;
    load(&fixture, &vocab, &merges);
    assert_true(merges.cuts_at_marks);
    unload(&vocab, &merges);
    tw_token joined = text_fixture_token(&fixture, "a" M "b", TW_TOKEN_NORMAL, -1);
    load(&fixture, &vocab, &merges);
    assert_false(merges.cuts_at_marks);
    unload(&vocab, &merges);
    struct tw_tokenizer *tokenizer = text_fixture_create(&fixture);
    char expected[32];
    snprintf(expected, sizeof expected, "%d", joined);
    assert_string_equal(text_fixture_ids(tokenizer, "a b", 3, 0), expected);
    tw_tokenizer_free(tokenizer);
}

/* "xy" is a piece although "x" is none: characters merge by what they are, not by their ids. */
static void a_character_that_is_no_piece_still_merges_into_one(void **state)
{
    (void)state;
    static struct text_fixture fixture;
    text_fixture_spm(&fixture);
    tw_token y = text_fixture_token(&fixture, "y", TW_TOKEN_NORMAL, -1);
    tw_token xy = text_fixture_token(&fixture, "\xc3\xa9y", TW_TOKEN_NORMAL, -2);
    struct tw_tokenizer *tokenizer = text_fixture_create(&fixture);
    char expected[64];
    snprintf(expected, sizeof expected, "%d %d %d %d", xy, y, 3 + 0xc3, 3 + 0xa9);
    assert_string_equal(text_fixture_ids(tokenizer, "\xc3\xa9yy\xc3\xa9", 6, 0), expected);
    tw_tokenizer_free(tokenizer);
}

static void a_score_that_is_no_number_is_refused(void **state)
{
    (void)state;
    static struct text_fixture fixture;
    text_fixture_spm(&fixture);
    text_fixture_token(&fixture, "a", TW_TOKEN_NORMAL, NAN);
    struct tw_tokenizer *tokenizer = NULL;
    struct tw_error error = {0};
    assert_int_equal(tw_tokenizer_create(&fixture.spec, &tokenizer, &error), TW_ERR_FORMAT);
    assert_non_null(strstr(error.text, "token 259"));
}

/* Every piece is a prefix and a suffix of the next, and there is a pair for each of its cuts. */
static void pieces_nested_in_one_another_are_refused(void **state)
{
    (void)state;
    enum { LONGEST = 300 };
    static struct text_fixture fixture;
    static char text[LONGEST + 1];
    text_fixture_spm(&fixture);
    for (size_t n = 1; n <= LONGEST; n++) {
        text[n - 1] = 'a';
        text_fixture_token(&fixture, text, TW_TOKEN_NORMAL, -(float)n);
    }
    struct tw_tokenizer *tokenizer = NULL;
    struct tw_error error = {0};
    assert_int_equal(tw_tokenizer_create(&fixture.spec, &tokenizer, &error), TW_ERR_LIMIT);
    assert_non_null(strstr(error.text, "made of one another"));
}

/* Each piece is within its bound; cutting them all would hash a gigabyte. */
static void too_many_long_pieces_are_refused(void **state)
{
    (void)state;
    enum { PIECES = 1100, BYTES = 1024 };
    struct tw_bytes *tokens = tw_mem_alloc(PIECES, sizeof *tokens);
    char *texts = tw_mem_alloc(PIECES, BYTES);
    for (size_t i = 0; i < PIECES; i++) {
        memset(texts + i * BYTES, 'a', BYTES);
        snprintf(texts + i * BYTES, BYTES, "%zu", i);
        tokens[i] = (struct tw_bytes){texts + i * BYTES, BYTES};
    }
    const struct tw_tokenizer_spec spec = {.family = TW_TOKENIZER_SPM,
                                           .tokens = tokens,
                                           .n_tokens = PIECES,
                                           .bos = TW_TOKEN_NONE,
                                           .eos = TW_TOKEN_NONE,
                                           .unknown = TW_TOKEN_NONE};
    struct tw_tokenizer *tokenizer = NULL;
    struct tw_error error = {0};
    assert_int_equal(tw_tokenizer_create(&spec, &tokenizer, &error), TW_ERR_LIMIT);
    assert_non_null(strstr(error.text, "too long"));
    tw_mem_free(tokens);
    tw_mem_free(texts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(short_and_long_words_merge_as_the_definition_says),
        cmocka_unit_test(a_word_of_a_million_symbols_is_merged_in_time),
        cmocka_unit_test(a_merge_of_tokens_the_vocabulary_lacks_is_named),
        cmocka_unit_test(a_merge_into_a_control_token_is_left_out),
        cmocka_unit_test(sentencepiece_merges_by_score_and_leftmost_of_equals),
        cmocka_unit_test(a_piece_with_a_mark_inside_is_still_found),
        cmocka_unit_test(a_character_that_is_no_piece_still_merges_into_one),
        cmocka_unit_test(a_score_that_is_no_number_is_refused),
        cmocka_unit_test(too_many_long_pieces_are_refused),
        cmocka_unit_test(pieces_nested_in_one_another_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
