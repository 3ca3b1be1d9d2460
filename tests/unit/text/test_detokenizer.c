#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "base/rng.h"
#include "text/utf8.h"
#include "text_fixture.h"

static struct tw_tokenizer *bytes_only(void)
{
    static struct text_fixture fixture;
    text_fixture_bpe(&fixture);
    text_fixture_token(&fixture, "<|end|>", TW_TOKEN_CONTROL, 0);
    text_fixture_token(&fixture, "<tool>", TW_TOKEN_USER_DEFINED, 0);
    return text_fixture_create(&fixture);
}

static bool is_valid(const char *text, size_t n)
{
    for (size_t at = 0; at < n;) {
        uint32_t code;
        at += tw_utf8_decode(text + at, n - at, &code);
        if (code == TW_UTF8_INVALID) {
            return false;
        }
    }
    return true;
}

/* Each byte a token; out after each push, separated by '|'. */
static void assert_stream(const char *bytes, size_t n, const char *expected)
{
    struct tw_tokenizer *tokenizer = bytes_only();
    struct tw_detokenizer detokenizer;
    struct tw_buf out;
    tw_buf_init(&out, 4096);
    tw_detokenizer_init(&detokenizer, tokenizer, false);
    for (size_t i = 0; i < n; i++) {
        assert_true(tw_detokenizer_push(&detokenizer, (unsigned char)bytes[i], &out));
        tw_buf_append(&out, "|", 1);
    }
    assert_true(tw_detokenizer_finish(&detokenizer, &out));
    tw_buf_append(&out, "", 1);
    assert_string_equal(out.data, expected);
    tw_buf_free(&out);
    tw_tokenizer_free(tokenizer);
}

#define FFFD "\xef\xbf\xbd"

static void a_character_comes_out_only_when_it_is_whole(void **state)
{
    (void)state;
    assert_stream("a\xc3\xa9z", 4, "a||\xc3\xa9|z|");
    assert_stream("\xf0\x9f\x98\x80!", 5, "|||\xf0\x9f\x98\x80|!|");
    assert_stream("\xe4\xb8\xad\xe6\x96\x87", 6, "||\xe4\xb8\xad|||\xe6\x96\x87|");
}

static void broken_characters_become_one_replacement_for_each_maximal_part(void **state)
{
    (void)state;
    assert_stream("\xff\x80", 2, FFFD "|" FFFD "|");
    assert_stream("\xc3z", 2, "|" FFFD "z|");
    assert_stream("\xe2\x82z", 3, "||" FFFD "z|");
    assert_stream("\xe2\xc3\xa9", 3, "|" FFFD "|\xc3\xa9|");
    assert_stream("\xf0\x9f\x98\xf0\x9f\x98\x80", 7, "|||" FFFD "|||\xf0\x9f\x98\x80|");
    assert_stream("\xed\xa0\x80", 3, "|" FFFD FFFD "|" FFFD "|");
    assert_stream("\xc0\xaf", 2, FFFD "|" FFFD "|");
}

static void what_is_kept_at_the_end_becomes_one_replacement(void **state)
{
    (void)state;
    assert_stream("a\xf0\x9f\x98", 4, "a||||" FFFD);
    assert_stream("a", 1, "a|");
    assert_stream("\xc3", 1, "|" FFFD);
}

/* The whole text decoded at once, with the same rule for broken parts. */
static void replace_broken(const char *text, size_t n, struct tw_buf *out)
{
    for (size_t at = 0; at < n;) {
        uint32_t code;
        size_t step = tw_utf8_decode(text + at, n - at, &code);
        if (code == TW_UTF8_INVALID) {
            step = tw_utf8_broken(text + at, n - at);
            tw_buf_append(out, FFFD, 3);
        } else {
            tw_buf_append(out, text + at, step);
        }
        at += step;
    }
}

/* Tokens that begin and end in the middle of characters. */
static struct tw_tokenizer *odd_cuts(void)
{
    static struct text_fixture fixture;
    text_fixture_bpe(&fixture);
    text_fixture_merge(&fixture, "\xf0", "\x9f");
    text_fixture_merge(&fixture, "\x98", "\x80");
    text_fixture_merge(&fixture, "\xa9", "\xc3");
    text_fixture_merge(&fixture, "\x82", "\xf0\x9f");
    text_fixture_merge(&fixture, "\x82\xf0\x9f", "\x98\x80");
    text_fixture_merge(&fixture, "\xac", "\xe2");
    text_fixture_merge(&fixture, "\xe2", "\x82");
    text_fixture_merge(&fixture, "\x80", "\xff");
    return text_fixture_create(&fixture);
}

static void whatever_the_tokens_each_piece_is_valid_and_the_sum_is_the_text(void **state)
{
    (void)state;
    static const tw_token pool[] = {'a',  0xc3, 0xa9, 0xe2, 0x82, 0xac, 0xf0, 0x9f,
                                    0x98, 0x80, 0xff, 0xed, 0xa0, 0xf4, 0x90, ' ',
                                    256,  257,  258,  259,  260,  261,  262,  263};
    struct tw_tokenizer *tokenizer = odd_cuts();
    for (uint64_t seed = 0; seed < 10000; seed++) {
        struct tw_detokenizer detokenizer;
        struct tw_buf text, out, expected;
        tw_buf_init(&text, 4096);
        tw_buf_init(&out, 4096);
        tw_buf_init(&expected, 4096);
        tw_detokenizer_init(&detokenizer, tokenizer, false);
        for (size_t i = 0; i < 1 + seed % 40; i++) {
            uint32_t r[4];
            tw_rng_block(seed, i, r);
            tw_token id = pool[r[0] % (sizeof pool / sizeof pool[0])];
            struct tw_bytes bytes = tw_tokenizer_token_bytes(tokenizer, id, false);
            tw_buf_append(&text, bytes.data, bytes.size_bytes);
            size_t before = out.size_bytes;
            assert_true(tw_detokenizer_push(&detokenizer, id, &out));
            assert_true(out.size_bytes == before ||
                        is_valid(out.data + before, out.size_bytes - before));
        }
        assert_true(tw_detokenizer_finish(&detokenizer, &out));
        replace_broken(text.data, text.size_bytes, &expected);
        assert_int_equal(out.size_bytes, expected.size_bytes);
        assert_memory_equal(out.data, expected.data, out.size_bytes);
        tw_buf_free(&text);
        tw_buf_free(&out);
        tw_buf_free(&expected);
    }
    tw_tokenizer_free(tokenizer);
}

static void special_tokens_show_only_on_request_and_added_ones_always(void **state)
{
    (void)state;
    struct tw_tokenizer *tokenizer = bytes_only();
    for (int with_special = 0; with_special < 2; with_special++) {
        struct tw_detokenizer detokenizer;
        struct tw_buf out;
        tw_buf_init(&out, 4096);
        tw_detokenizer_init(&detokenizer, tokenizer, with_special != 0);
        static const tw_token ids[] = {'a', 256, 257, 0xc3, 256, 0xa9, -1, 9999};
        for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
            assert_true(tw_detokenizer_push(&detokenizer, ids[i], &out));
        }
        tw_buf_append(&out, "", 1);
        assert_string_equal(out.data, with_special != 0 ? "a<|end|><tool>" FFFD "<|end|>" FFFD
                                                        : "a<tool>\xc3\xa9");
        tw_buf_free(&out);
    }
    tw_tokenizer_free(tokenizer);
}

#define M "\xe2\x96\x81"

static struct tw_tokenizer *sentencepiece(bool add_space_prefix)
{
    static struct text_fixture fixture;
    text_fixture_spm(&fixture);
    fixture.spec.add_space_prefix = add_space_prefix;
    text_fixture_token(&fixture, M "a", TW_TOKEN_NORMAL, -1); /* 259 */
    text_fixture_token(&fixture, M M, TW_TOKEN_NORMAL, -2);   /* 260 */
    text_fixture_token(&fixture, M, TW_TOKEN_NORMAL, -3);
    text_fixture_token(&fixture, "a", TW_TOKEN_NORMAL, -4);
    return text_fixture_create(&fixture);
}

static void assert_decoded(const struct tw_tokenizer *tokenizer, const tw_token *ids, size_t n,
                           const char *expected)
{
    struct tw_detokenizer detokenizer;
    struct tw_buf out;
    tw_buf_init(&out, 4096);
    tw_detokenizer_init(&detokenizer, tokenizer, false);
    for (size_t i = 0; i < n; i++) {
        assert_true(tw_detokenizer_push(&detokenizer, ids[i], &out));
    }
    assert_true(tw_detokenizer_finish(&detokenizer, &out));
    tw_buf_append(&out, "", 1);
    assert_string_equal(out.data, expected);
    tw_buf_free(&out);
}

static void the_space_put_before_the_text_is_dropped_once(void **state)
{
    (void)state;
    struct tw_tokenizer *with = sentencepiece(true);
    struct tw_tokenizer *without = sentencepiece(false);
    static const tw_token words[] = {1, 259, 259};
    static const tw_token spaces[] = {260, 259};
    static const tw_token bytes[] = {3 + 0xc3, 3 + 0xa9, 259};
    assert_decoded(with, words, 3, "a a");
    assert_decoded(without, words, 3, " a a");
    assert_decoded(with, spaces, 2, "  a");
    assert_decoded(with, bytes, 3, "\xc3\xa9 a");
    tw_tokenizer_free(with);
    tw_tokenizer_free(without);
}

static void a_full_buffer_is_told_and_nothing_is_written_beyond_it(void **state)
{
    (void)state;
    struct tw_tokenizer *tokenizer = bytes_only();
    struct tw_detokenizer detokenizer;
    struct tw_buf out;
    tw_buf_init(&out, 3);
    tw_detokenizer_init(&detokenizer, tokenizer, false);
    assert_true(tw_detokenizer_push(&detokenizer, 'a', &out));
    assert_false(tw_detokenizer_push(&detokenizer, 257, &out));
    assert_true(out.size_bytes <= 3);
    tw_buf_free(&out);
    tw_tokenizer_free(tokenizer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_character_comes_out_only_when_it_is_whole),
        cmocka_unit_test(broken_characters_become_one_replacement_for_each_maximal_part),
        cmocka_unit_test(what_is_kept_at_the_end_becomes_one_replacement),
        cmocka_unit_test(whatever_the_tokens_each_piece_is_valid_and_the_sum_is_the_text),
        cmocka_unit_test(special_tokens_show_only_on_request_and_added_ones_always),
        cmocka_unit_test(the_space_put_before_the_text_is_dropped_once),
        cmocka_unit_test(a_full_buffer_is_told_and_nothing_is_written_beyond_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
