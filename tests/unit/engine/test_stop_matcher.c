#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "engine/stop.h"

static struct tw_stop_matcher *new_matcher(const char *const *strings, size_t n)
{
    struct tw_bytes bytes[TW_LIMIT_STOP_STRINGS];
    struct tw_stop_matcher *matcher = NULL;
    for (size_t i = 0; i < n; i++) {
        bytes[i] = (struct tw_bytes){strings[i], strlen(strings[i])};
    }
    assert_int_equal(tw_stop_matcher_create(bytes, n, &matcher, NULL), TW_OK);
    return matcher;
}

/* Pushes text in pieces of piece_bytes; ret_text holds what came out, finish included. */
static bool run_pieces(const char *const *strings, size_t n, const char *text, size_t piece_bytes,
                       char *ret_text)
{
    struct tw_stop_matcher *matcher = new_matcher(strings, n);
    struct tw_buf out;
    tw_buf_init(&out, 1 << 16);
    bool matched = false;
    size_t n_bytes = strlen(text);
    for (size_t i = 0; i < n_bytes; i += piece_bytes) {
        size_t left = n_bytes - i;
        matched =
            tw_stop_matcher_push(matcher, text + i, left < piece_bytes ? left : piece_bytes, &out);
    }
    tw_stop_matcher_finish(matcher, &out);
    if (out.size_bytes > 0) {
        memcpy(ret_text, out.data, out.size_bytes);
    }
    ret_text[out.size_bytes] = '\0';
    tw_buf_free(&out);
    tw_stop_matcher_free(matcher);
    return matched;
}

static void a_stop_string_is_found_across_any_border_of_pieces(void **state)
{
    (void)state;
    static const struct {
        const char *strings[3];
        size_t n;
        const char *text, *shown;
        bool matched;
    } rows[] = {
        {{"STOP"}, 1, "go on STOP and more", "go on ", true},
        {{"STOP"}, 1, "go on STO and more", "go on STO and more", false},
        {{"STOP"}, 1, "ends in STO", "ends in STO", false},
        {{"aab"}, 1, "aaaaab!", "aaa", true},
        {{"abab!"}, 1, "abababab!x", "abab", true},
        {{"\n\n"}, 1, "a\nb\n\nc", "a\nb", true},
        {{"\xc3\xa9t\xc3\xa9"}, 1, "l'\xc3\xa9t\xc3\xa9 fini", "l'", true},
        {{"\xf0\x9f\x98\x80"}, 1, "x\xf0\x9f\x98\x81\xf0\x9f\x98\x80y", "x\xf0\x9f\x98\x81", true},
        {{"User:", "user", "U"}, 3, "say User: hi", "say ", true},
        {{"abcd", "bc"}, 2, "xabcd", "xa", true},
        {{"bcd", "abcd"}, 2, "xabcdy", "x", true},
        {{"he", "hers", "she"}, 3, "ushers", "u", true},
        {{"never"}, 1, "", "", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (size_t piece = 1; piece <= 24; piece++) {
            char shown[64];
            bool matched = run_pieces(rows[i].strings, rows[i].n, rows[i].text, piece, shown);
            assert_string_equal(shown, rows[i].shown);
            if (rows[i].text[0] != '\0') {
                assert_int_equal(matched, rows[i].matched);
            }
        }
    }
}

static void nothing_is_held_back_that_cannot_become_a_stop_string(void **state)
{
    (void)state;
    const char *strings[] = {"<end>", "fin"};
    struct tw_stop_matcher *matcher = new_matcher(strings, 2);
    struct tw_buf out;
    tw_buf_init(&out, 100);
    assert_false(tw_stop_matcher_push(matcher, "abc <en", 7, &out));
    assert_int_equal(out.size_bytes, 4);
    assert_false(tw_stop_matcher_push(matcher, "f", 1, &out));
    assert_int_equal(out.size_bytes, 7);
    assert_false(tw_stop_matcher_push(matcher, "!", 1, &out));
    assert_int_equal(out.size_bytes, 9);
    assert_memory_equal(out.data, "abc <enf!", 9);
    tw_buf_free(&out);
    tw_stop_matcher_free(matcher);
}

static void nothing_comes_out_after_the_stop_string(void **state)
{
    (void)state;
    const char *strings[] = {"."};
    struct tw_stop_matcher *matcher = new_matcher(strings, 1);
    struct tw_buf out;
    tw_buf_init(&out, 100);
    assert_true(tw_stop_matcher_push(matcher, "a.b", 3, &out));
    assert_true(tw_stop_matcher_push(matcher, "c", 1, &out));
    tw_stop_matcher_finish(matcher, &out);
    assert_int_equal(out.size_bytes, 1);
    tw_buf_free(&out);
    tw_stop_matcher_free(matcher);
}

/* The text as a search over the whole of it would cut it: at the first end of any stop string. */
static size_t naive_cut(const char *text, const char *const *strings, size_t n, bool *ret_found)
{
    size_t n_bytes = strlen(text);
    for (size_t end = 1; end <= n_bytes; end++) {
        size_t longest = 0;
        for (size_t i = 0; i < n; i++) {
            size_t length = strlen(strings[i]);
            if (length <= end && memcmp(text + end - length, strings[i], length) == 0) {
                longest = length > longest ? length : longest;
            }
        }
        if (longest > 0) {
            *ret_found = true;
            return end - longest;
        }
    }
    *ret_found = false;
    return n_bytes;
}

static void random_word(uint64_t seed, size_t n, char *ret_word)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t words[4];
        tw_rng_block(seed, i, words);
        ret_word[i] = "ab"[words[0] % 2];
    }
    ret_word[n] = '\0';
}

static void streaming_agrees_with_a_search_over_the_whole_text(void **state)
{
    (void)state;
    int n_found = 0;
    for (uint64_t round = 0; round < 3000; round++) {
        char stops[3][8], text[40], shown[64];
        const char *strings[3] = {stops[0], stops[1], stops[2]};
        for (uint64_t i = 0; i < 3; i++) {
            random_word(round * 8 + i, 3 + (round + i) % 5, stops[i]);
        }
        random_word(round * 8 + 5, 36, text);
        bool found;
        size_t cut = naive_cut(text, strings, 3, &found);
        assert_int_equal(run_pieces(strings, 3, text, 1 + round % 5, shown), found);
        assert_int_equal(strlen(shown), cut);
        assert_memory_equal(shown, text, cut);
        n_found += found;
    }
    assert_in_range(n_found, 1000, 2999);
}

static void stop_strings_that_cannot_work_are_refused(void **state)
{
    (void)state;
    static char large[TW_LIMIT_STOP_STRING_BYTES + 1];
    memset(large, 'x', sizeof large);
    const struct tw_bytes empty = {"", 0}, inside = {"\xa9z", 2}, too_large = {large, sizeof large};
    struct tw_bytes many[TW_LIMIT_STOP_STRINGS + 1];
    for (size_t i = 0; i < TW_LIMIT_STOP_STRINGS + 1; i++) {
        many[i] = (struct tw_bytes){"x", 1};
    }
    struct tw_stop_matcher *matcher = NULL;
    struct tw_error error;
    assert_int_equal(tw_stop_matcher_create(&empty, 1, &matcher, &error), TW_ERR_USAGE);
    assert_int_equal(tw_stop_matcher_create(&inside, 1, &matcher, &error), TW_ERR_USAGE);
    assert_int_equal(tw_stop_matcher_create(&too_large, 1, &matcher, &error), TW_ERR_USAGE);
    assert_int_equal(tw_stop_matcher_create(many, TW_LIMIT_STOP_STRINGS + 1, &matcher, &error),
                     TW_ERR_USAGE);
    assert_null(matcher);
}

static void the_longest_allowed_stop_string_works(void **state)
{
    (void)state;
    static char large[TW_LIMIT_STOP_STRING_BYTES + 1], text[3 * TW_LIMIT_STOP_STRING_BYTES],
        shown[3 * TW_LIMIT_STOP_STRING_BYTES];
    memset(large, 'x', TW_LIMIT_STOP_STRING_BYTES - 1);
    large[TW_LIMIT_STOP_STRING_BYTES - 1] = '!';
    memset(text, 'x', 2 * TW_LIMIT_STOP_STRING_BYTES);
    text[2 * TW_LIMIT_STOP_STRING_BYTES] = '!';
    const char *strings[] = {large};
    assert_true(run_pieces(strings, 1, text, 7, shown));
    assert_int_equal(strlen(shown), TW_LIMIT_STOP_STRING_BYTES + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stop_string_is_found_across_any_border_of_pieces),
        cmocka_unit_test(nothing_is_held_back_that_cannot_become_a_stop_string),
        cmocka_unit_test(nothing_comes_out_after_the_stop_string),
        cmocka_unit_test(streaming_agrees_with_a_search_over_the_whole_text),
        cmocka_unit_test(stop_strings_that_cannot_work_are_refused),
        cmocka_unit_test(the_longest_allowed_stop_string_works),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
