#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "text_fixture.h"

#define M "\xe2\x96\x81"

#define assert_ids(tokenizer, text, flags, expected)                                               \
    assert_string_equal(text_fixture_ids(tokenizer, text, sizeof(text) - 1, flags), expected)

/* 256 "th", 257 "the", 258 " the", 259 <|end|> (control), 260 <tool> (user-defined), 261 <unk> */
static void fill_small(struct text_fixture *fixture)
{
    text_fixture_bpe(fixture);
    text_fixture_merge(fixture, "t", "h");
    text_fixture_merge(fixture, "th", "e");
    text_fixture_merge(fixture, " ", "the");
    text_fixture_token(fixture, "<|end|>", TW_TOKEN_CONTROL, 0);
    text_fixture_token(fixture, "<tool>", TW_TOKEN_USER_DEFINED, 0);
    text_fixture_token(fixture, "<unk>", TW_TOKEN_UNKNOWN, 0);
}

static void words_become_their_merged_tokens(void **state)
{
    (void)state;
    static struct text_fixture fixture;
    fill_small(&fixture);
    struct tw_tokenizer *tokenizer = text_fixture_create(&fixture);
    assert_ids(tokenizer, "the the", 0, "257 258");
    assert_ids(tokenizer, "then th", 0, "257 110 32 256");
    assert_ids(tokenizer, "", 0, "");
    assert_ids(tokenizer, "the the", 0, "257 258"); /* now from the cache of whole words */
    assert_ids(tokenizer, "\xff\0\xc3", 0, "255 0 195");
    tw_tokenizer_free(tokenizer);
}

static void a_user_cannot_write_a_control_token(void **state)
{
    (void)state;
    static struct text_fixture fixture;
    fill_small(&fixture);
    struct tw_tokenizer *tokenizer = text_fixture_create(&fixture);
    assert_ids(tokenizer, "<|end|>", 0, "60 124 101 110 100 124 62");
    assert_ids(tokenizer, "<unk>", 0, "60 117 110 107 62");
    assert_ids(tokenizer, "<|end|>", TW_ENCODE_SPECIAL, "259");
    assert_ids(tokenizer, "a<|end|>b", TW_ENCODE_SPECIAL, "97 259 98");
    assert_ids(tokenizer, "<unk>", TW_ENCODE_SPECIAL, "261");
    assert_ids(tokenizer, "<|end|", TW_ENCODE_SPECIAL, "60 124 101 110 100 124");
    tw_tokenizer_free(tokenizer);
}

static void a_user_defined_token_is_always_recognised(void **state)
{
    (void)state;
    static struct text_fixture fixture;
    fill_small(&fixture);
    struct tw_tokenizer *tokenizer = text_fixture_create(&fixture);
    assert_ids(tokenizer, "x<tool>the", 0, "120 260 257");
    assert_ids(tokenizer, "<tool><tool>", 0, "260 260");
    assert_ids(tokenizer, "<tool", 0, "60 116 111 111 108");
    tw_tokenizer_free(tokenizer);
}

static void the_longest_of_the_leftmost_added_tokens_wins(void **state)
{
    (void)state;
    static struct text_fixture fixture;
    text_fixture_bpe(&fixture);
    text_fixture_token(&fixture, "<a", TW_TOKEN_USER_DEFINED, 0);     /* 256 */
    text_fixture_token(&fixture, "<a><b>", TW_TOKEN_USER_DEFINED, 0); /* 257 */
    text_fixture_token(&fixture, "a><b>cde", TW_TOKEN_USER_DEFINED, 0);
    text_fixture_token(&fixture, "<a>", TW_TOKEN_CONTROL, 0); /* 259 */
    text_fixture_token(&fixture, "a>x", TW_TOKEN_USER_DEFINED, 0);
    struct tw_tokenizer *tokenizer = text_fixture_create(&fixture);
    assert_ids(tokenizer, "<a><b>cde", TW_ENCODE_SPECIAL, "257 99 100 101");
    assert_ids(tokenizer, "<a><b", TW_ENCODE_SPECIAL, "259 60 98");
    assert_ids(tokenizer, "<a|", TW_ENCODE_SPECIAL, "256 124");
    /* A forbidden one still takes its bytes: nothing inside it is looked for. */
    assert_ids(tokenizer, "<a>x", 0, "60 97 62 120");
    tw_tokenizer_free(tokenizer);
}

static struct tw_tokenizer *with_added(struct text_fixture *fixture, struct tw_added_token token)
{
    text_fixture_bpe(fixture);
    token.id = text_fixture_token(fixture, "<x>", TW_TOKEN_USER_DEFINED, 0);
    token.text = tw_bytes_of("<x>");
    fixture->spec.added = &token;
    fixture->spec.n_added = 1;
    struct tw_tokenizer *tokenizer = text_fixture_create(fixture);
    fixture->spec.added = NULL;
    return tokenizer;
}

static void flags_of_added_tokens_take_spaces_and_respect_words(void **state)
{
    (void)state;
    static struct text_fixture fixture;
    struct tw_tokenizer *left = with_added(&fixture, (struct tw_added_token){.strip_left = true});
    assert_ids(left, "a \n<x> b", 0, "97 256 32 98");
    assert_ids(left, "\xe3\x80\x80\xc2\xa0<x>  <x>", 0, "256 256");
    assert_ids(left, "\xa0<x>", 0, "160 256");
    tw_tokenizer_free(left);
    struct tw_tokenizer *right = with_added(&fixture, (struct tw_added_token){.strip_right = true});
    assert_ids(right,
               "a <x> \n\xc2\x85"
               "b",
               0, "97 32 256 98");
    tw_tokenizer_free(right);
    struct tw_tokenizer *word = with_added(&fixture, (struct tw_added_token){.single_word = true});
    assert_ids(word, "<x> <x>", 0, "256 32 256");
    assert_ids(word, "a<x>", 0, "97 60 120 62");
    assert_ids(word, "<x>\xcc\x81", 0, "60 120 62 204 129");
    assert_ids(word, "\xc3\xa9<x>", 0, "195 169 60 120 62");
    assert_ids(word, ".<x>-", 0, "46 256 45");
    tw_tokenizer_free(word);
}

static void a_normalised_added_token_is_found_in_normalised_text_only(void **state)
{
    (void)state;
    static struct text_fixture fixture;
    text_fixture_bpe(&fixture);
    fixture.spec.normalise_nfc = true;
    struct tw_added_token token = {
        .id = text_fixture_token(&fixture, "<e\xcc\x81>", TW_TOKEN_USER_DEFINED, 0),
        .text = tw_bytes_of("<e\xcc\x81>"),
        .normalised = true,
    };
    fixture.spec.added = &token;
    fixture.spec.n_added = 1;
    struct tw_tokenizer *tokenizer = text_fixture_create(&fixture);
    assert_ids(tokenizer, "<e\xcc\x81>", 0, "256");
    assert_ids(tokenizer, "<\xc3\xa9>", 0, "256");
    tw_tokenizer_free(tokenizer);
    token.normalised = false;
    tokenizer = text_fixture_create(&fixture);
    assert_ids(tokenizer, "<e\xcc\x81>", 0, "256");
    assert_ids(tokenizer, "<\xc3\xa9>", 0, "60 195 169 62");
    tw_tokenizer_free(tokenizer);
}

static void text_is_composed_first_where_the_model_asks_for_it(void **state)
{
    (void)state;
    static struct text_fixture fixture;
    text_fixture_bpe(&fixture);
    struct tw_tokenizer *as_it_is = text_fixture_create(&fixture);
    fixture.spec.normalise_nfc = true;
    struct tw_tokenizer *composed = text_fixture_create(&fixture);
    assert_ids(as_it_is, "e\xcc\x81", 0, "101 204 129");
    assert_ids(composed, "e\xcc\x81", 0, "195 169");
    tw_tokenizer_free(as_it_is);
    tw_tokenizer_free(composed);
}

/* "abc" is a token that merging does not reach. */
static void a_word_that_is_a_token_is_taken_whole_only_with_ignore_merges(void **state)
{
    (void)state;
    static struct text_fixture fixture;
    text_fixture_bpe(&fixture);
    text_fixture_merge(&fixture, "b", "c");
    tw_token abc = text_fixture_token(&fixture, "abc", TW_TOKEN_NORMAL, 0);
    tw_token end = text_fixture_token(&fixture, "end", TW_TOKEN_CONTROL, 0);
    struct tw_tokenizer *merging = text_fixture_create(&fixture);
    fixture.spec.ignore_merges = true;
    struct tw_tokenizer *whole = text_fixture_create(&fixture);
    assert_int_equal(abc, 257);
    assert_int_equal(end, 258);
    assert_ids(merging, "abc", 0, "97 256");
    assert_ids(merging, "abc", 0, "97 256");
    assert_ids(whole, "abc abc", 0, "257 32 97 256");
    assert_ids(whole, "end", 0, "101 110 100");
    tw_tokenizer_free(merging);
    tw_tokenizer_free(whole);
}

static void first_and_last_tokens_are_added_on_request(void **state)
{
    (void)state;
    static struct text_fixture fixture;
    fill_small(&fixture);
    fixture.spec.bos = 259;
    fixture.spec.eos = 259;
    fixture.spec.add_bos = true;
    struct tw_tokenizer *tokenizer = text_fixture_create(&fixture);
    assert_ids(tokenizer, "a", TW_ENCODE_BOS_EOS, "259 97");
    assert_ids(tokenizer, "", TW_ENCODE_BOS_EOS, "259");
    assert_ids(tokenizer, "a", 0, "97");
    assert_true(tw_tokenizer_adds_bos(tokenizer));
    tw_tokenizer_free(tokenizer);
    fixture.spec.add_bos = false;
    fixture.spec.add_eos = true;
    tokenizer = text_fixture_create(&fixture);
    assert_ids(tokenizer, "a", TW_ENCODE_BOS_EOS, "97 259");
    assert_false(tw_tokenizer_adds_bos(tokenizer));
    tw_tokenizer_free(tokenizer);
    fixture.spec.eos = TW_TOKEN_NONE;
    tokenizer = text_fixture_create(&fixture);
    assert_ids(tokenizer, "a", TW_ENCODE_BOS_EOS, "97");
    tw_tokenizer_free(tokenizer);
}

static void a_byte_without_token_is_unknown_or_left_out(void **state)
{
    (void)state;
    static struct text_fixture fixture;
    fill_small(&fixture);
    fixture.tokens['q'] = tw_bytes_of("qqqq");
    fixture.spec.unknown = 261;
    struct tw_tokenizer *tokenizer = text_fixture_create(&fixture);
    assert_ids(tokenizer, "aqqb", 0, "97 261 261 98");
    tw_tokenizer_free(tokenizer);
    fixture.spec.fuse_unknown = true;
    tokenizer = text_fixture_create(&fixture);
    assert_ids(tokenizer, "qqaqqb", 0, "261 97 261 98");
    tw_tokenizer_free(tokenizer);
    fixture.spec.unknown = TW_TOKEN_NONE;
    tokenizer = text_fixture_create(&fixture);
    assert_ids(tokenizer, "aqqb", 0, "97 98");
    tw_tokenizer_free(tokenizer);
}

/* A padding token "!" is still how "!" is written, and shown. */
static void a_control_token_that_spells_a_byte_stays_usable(void **state)
{
    (void)state;
    static struct text_fixture fixture;
    text_fixture_bpe(&fixture);
    fixture.kinds['!'] = TW_TOKEN_CONTROL;
    fixture.kinds[' '] = TW_TOKEN_CONTROL; /* spelled U+0120 */
    struct tw_tokenizer *tokenizer = text_fixture_create(&fixture);
    assert_ids(tokenizer, "a! b", 0, "97 33 32 98");
    assert_int_equal(tw_tokenizer_token_kind(tokenizer, '!'), TW_TOKEN_NORMAL);
    assert_int_equal(tw_tokenizer_token_bytes(tokenizer, ' ', false).data[0], ' ');
    tw_tokenizer_free(tokenizer);
}

static void any_bytes_come_back_from_byte_level_tokens(void **state)
{
    (void)state;
    static struct text_fixture fixture;
    fill_small(&fixture);
    for (int kind = TW_PRETOKENIZER_GPT2; kind <= TW_PRETOKENIZER_PATTERN; kind++) {
        fixture.spec.pretokenizer = (enum tw_pretokenizer)kind;
        fixture.spec.pattern = "\\p{L}+|\\s+";
        struct tw_tokenizer *tokenizer = text_fixture_create(&fixture);
        for (uint64_t seed = 0; seed < 2000; seed++) {
            char text[64];
            size_t n = seed % 64;
            for (size_t i = 0; i < n; i++) {
                uint32_t r[4];
                tw_rng_block(seed, i, r);
                text[i] = (r[1] & 3) != 0 ? "the <tol>|nd\xc3\xa9"[r[0] % 14] : (char)r[0];
            }
            size_t n_back = 0;
            const char *back = text_fixture_round(tokenizer, text, n, &n_back);
            assert_int_equal(n_back, n);
            assert_memory_equal(back, text, n);
        }
        tw_tokenizer_free(tokenizer);
    }
}

/* 259 mark, 260 "a", 261 mark-a, 262 "<|x|>" (control), 263 "[X]" (user-defined) */
static void fill_sentencepiece(struct text_fixture *fixture)
{
    text_fixture_spm(fixture);
    text_fixture_token(fixture, M, TW_TOKEN_NORMAL, -1);
    text_fixture_token(fixture, "a", TW_TOKEN_NORMAL, -2);
    text_fixture_token(fixture, M "a", TW_TOKEN_NORMAL, -3);
    text_fixture_token(fixture, "<|x|>", TW_TOKEN_CONTROL, 0);
    text_fixture_token(fixture, "[X]", TW_TOKEN_USER_DEFINED, 0);
    fixture->spec.add_space_prefix = true;
}

static void sentencepiece_puts_a_space_before_each_stretch_of_text(void **state)
{
    (void)state;
    static struct text_fixture fixture;
    fill_sentencepiece(&fixture);
    struct tw_tokenizer *tokenizer = text_fixture_create(&fixture);
    assert_ids(tokenizer, "a a", 0, "261 261");
    assert_ids(tokenizer, "", 0, "");
    assert_ids(tokenizer, " a", 0, "259 261");
    assert_ids(tokenizer, "a<|x|>a[X]a", TW_ENCODE_SPECIAL, "261 262 261 263 261");
    tw_tokenizer_free(tokenizer);
    fixture.spec.add_space_prefix = false;
    tokenizer = text_fixture_create(&fixture);
    assert_ids(tokenizer, "a a", 0, "260 261");
    tw_tokenizer_free(tokenizer);
}

static void sentencepiece_spells_unknown_characters_in_bytes(void **state)
{
    (void)state;
    static struct text_fixture fixture;
    fill_sentencepiece(&fixture);
    fixture.spec.add_space_prefix = false;
    struct tw_tokenizer *tokenizer = text_fixture_create(&fixture);
    assert_ids(tokenizer, "a\n\xc3\xa9", 0, "260 13 198 172");
    assert_ids(tokenizer,
               "\xff"
               "a\xe2\x96",
               0, "258 260 229 153");
    assert_ids(tokenizer, "<0x0A></s><s>", 0, "63 51 123 51 68 65 63 50 118 65 63 118 65");
    tw_tokenizer_free(tokenizer);
    for (int b = 0; b < 256; b++) { /* no byte tokens: the unknown token stands for them */
        fixture.kinds[3 + b] = TW_TOKEN_UNUSED;
    }
    fixture.spec.fuse_unknown = true;
    tokenizer = text_fixture_create(&fixture);
    assert_ids(tokenizer, "azza", 0, "260 0 260");
    tw_tokenizer_free(tokenizer);
}

/* Pieces merge into what text may spell only: an unknown or byte token's name is no piece. */
static void sentencepiece_merges_into_plain_pieces_only(void **state)
{
    (void)state;
    static const enum tw_token_kind kinds[] = {TW_TOKEN_UNKNOWN, TW_TOKEN_CONTROL, TW_TOKEN_BYTE};
    static struct text_fixture fixture;
    for (size_t i = 0; i < 3; i++) {
        fill_sentencepiece(&fixture);
        fixture.spec.add_space_prefix = false;
        text_fixture_token(&fixture, "aa", kinds[i], 5);
        struct tw_tokenizer *tokenizer = text_fixture_create(&fixture);
        assert_ids(tokenizer, "aa", 0, "260 260");
        tw_tokenizer_free(tokenizer);
    }
}

static void sentencepiece_cleans_spaces_where_the_model_asks_for_it(void **state)
{
    (void)state;
    static struct text_fixture fixture;
    fill_sentencepiece(&fixture);
    fixture.spec.remove_extra_whitespaces = true;
    struct tw_tokenizer *tokenizer = text_fixture_create(&fixture);
    assert_ids(tokenizer, "  a   a  ", 0, "261 261");
    assert_ids(tokenizer, "   ", 0, "");
    tw_tokenizer_free(tokenizer);
}

static void sentencepiece_tokens_decode_to_text_and_bytes(void **state)
{
    (void)state;
    static struct text_fixture fixture;
    fill_sentencepiece(&fixture);
    struct tw_tokenizer *tokenizer = text_fixture_create(&fixture);
    static const struct {
        tw_token id;
        const char *bytes;
        const char *special;
    } rows[] = {{261, " a", " a"}, {3 + 10, "\n", "\n"}, {262, "", "<|x|>"}, {263, "[X]", "[X]"},
                {1, "", "<s>"},    {0, "", "<unk>"},     {-1, "", ""},       {264, "", ""}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tw_bytes plain = tw_tokenizer_token_bytes(tokenizer, rows[i].id, false);
        struct tw_bytes special = tw_tokenizer_token_bytes(tokenizer, rows[i].id, true);
        assert_true(tw_bytes_equal(plain, tw_bytes_of(rows[i].bytes)));
        assert_true(tw_bytes_equal(special, tw_bytes_of(rows[i].special)));
    }
    assert_true(tw_bytes_equal(tw_tokenizer_token_text(tokenizer, 261), tw_bytes_of(M "a")));
    assert_int_equal(tw_tokenizer_find(tokenizer, M "a", 4), 261);
    assert_int_equal(tw_tokenizer_find(tokenizer, "nothing", 7), TW_TOKEN_NONE);
    assert_int_equal(tw_tokenizer_size(tokenizer), 264);
    tw_tokenizer_free(tokenizer);
}

/* "</s>" is an ordinary word of many vocabularies: strikethrough in HTML. */
static void only_special_tokens_end_an_answer(void **state)
{
    (void)state;
    static struct text_fixture fixture;
    text_fixture_bpe(&fixture);
    tw_token plain = text_fixture_token(&fixture, "</s>", TW_TOKEN_NORMAL, 0);
    tw_token turn = text_fixture_token(&fixture, "<|eot_id|>", TW_TOKEN_CONTROL, 0);
    tw_token end = text_fixture_token(&fixture, "<|im_end|>", TW_TOKEN_USER_DEFINED, 0);
    fixture.spec.eos = text_fixture_token(&fixture, "<eos>", TW_TOKEN_CONTROL, 0);
    struct tw_tokenizer *tokenizer = text_fixture_create(&fixture);
    assert_false(tw_tokenizer_ends_generation(tokenizer, plain));
    assert_false(tw_tokenizer_ends_generation(tokenizer, TW_TOKEN_NONE));
    assert_true(tw_tokenizer_ends_generation(tokenizer, turn));
    assert_true(tw_tokenizer_ends_generation(tokenizer, end));
    assert_true(tw_tokenizer_ends_generation(tokenizer, fixture.spec.eos));
    assert_int_equal(tw_tokenizer_add_end(tokenizer, 'a'), TW_OK);
    assert_int_equal(tw_tokenizer_add_end(tokenizer, 'a'), TW_OK);
    assert_true(tw_tokenizer_ends_generation(tokenizer, 'a'));
    assert_int_equal(tw_tokenizer_add_end(tokenizer, 99999), TW_ERR_USAGE);
    enum tw_status status = TW_OK;
    for (tw_token id = 0; id < 200 && status == TW_OK; id++) {
        status = tw_tokenizer_add_end(tokenizer, id);
    }
    assert_int_equal(status, TW_ERR_LIMIT);
    tw_tokenizer_free(tokenizer);
}

static void a_bad_description_is_refused_with_the_reason(void **state)
{
    (void)state;
    static struct text_fixture fixture;
    struct tw_tokenizer *tokenizer = NULL;
    struct tw_error error;
    fill_small(&fixture);
    fixture.spec.eos = 9999;
    assert_int_equal(tw_tokenizer_create(&fixture.spec, &tokenizer, &error), TW_ERR_FORMAT);
    assert_non_null(strstr(error.text, "9999"));
    fill_small(&fixture);
    fixture.kinds[5] = 77;
    assert_int_equal(tw_tokenizer_create(&fixture.spec, &tokenizer, &error), TW_ERR_FORMAT);
    assert_non_null(strstr(error.text, "token 5"));
    fill_small(&fixture);
    fixture.spec.n_tokens = 0;
    assert_int_equal(tw_tokenizer_create(&fixture.spec, &tokenizer, &error), TW_ERR_LIMIT);
    fill_small(&fixture);
    fixture.tokens[7].size_bytes = TW_LIMIT_TOKEN_BYTES + 1;
    assert_int_equal(tw_tokenizer_create(&fixture.spec, &tokenizer, &error), TW_ERR_LIMIT);
    fill_small(&fixture);
    fixture.spec.pretokenizer = TW_PRETOKENIZER_PATTERN;
    fixture.spec.pattern = "(";
    assert_int_equal(tw_tokenizer_create(&fixture.spec, &tokenizer, &error), TW_ERR_UNSUPPORTED);
    fill_small(&fixture);
    struct tw_added_token outside = {.id = 5000, .text = tw_bytes_of("x")};
    fixture.spec.added = &outside;
    fixture.spec.n_added = 1;
    assert_int_equal(tw_tokenizer_create(&fixture.spec, &tokenizer, &error), TW_ERR_FORMAT);
    assert_null(tokenizer);
}

static void a_failed_encoding_leaves_the_list_as_it_was(void **state)
{
    (void)state;
    static struct text_fixture fixture;
    fill_small(&fixture);
    fixture.spec.pretokenizer = TW_PRETOKENIZER_PATTERN;
    fixture.spec.pattern = "b|(?:(?:a+)+)+c";
    struct tw_tokenizer *tokenizer = text_fixture_create(&fixture);
    struct tw_token_list list = {0};
    struct tw_error error;
    char text[2000];
    memset(text, 'a', sizeof text);
    text[0] = 'b';
    assert_true(tw_token_list_push(&list, 42));
    assert_int_equal(tw_tokenizer_encode(tokenizer, text, sizeof text, 0, &list, &error),
                     TW_ERR_LIMIT);
    assert_int_equal(list.n_tokens, 1);
    assert_int_equal(list.ids[0], 42);
    assert_int_equal(
        tw_tokenizer_encode(tokenizer, text, (size_t)TW_LIMIT_TEXT_BYTES + 1, 0, &list, &error),
        TW_ERR_LIMIT);
    tw_token_list_free(&list);
    tw_tokenizer_free(tokenizer);
}

static void the_description_may_go_once_the_tokenizer_is_made(void **state)
{
    (void)state;
    struct text_fixture *fixture = tw_mem_alloc(1, sizeof *fixture);
    fill_small(fixture);
    char pattern[] = "[a-z ]+";
    fixture->spec.pretokenizer = TW_PRETOKENIZER_PATTERN;
    fixture->spec.pattern = pattern;
    struct tw_tokenizer *tokenizer = text_fixture_create(fixture);
    memset(fixture, 0xee, sizeof *fixture);
    memset(pattern, 0xee, sizeof pattern);
    tw_mem_free(fixture);
    assert_ids(tokenizer, "the<tool><|end|>", TW_ENCODE_SPECIAL, "257 260 259");
    tw_tokenizer_free(tokenizer);
}

struct words_alone {
    const struct tw_tokenizer *tokenizer;
    struct tw_token_list list;
};

static enum tw_status encode_alone(void *context, struct tw_bytes word, struct tw_error *error)
{
    struct words_alone *alone = context;
    return tw_tokenizer_encode(alone->tokenizer, word.data, word.size_bytes, 0, &alone->list,
                               error);
}

/* A long text goes through a cache of words, in which they push one another out. */
static void a_long_text_has_the_ids_of_its_words(void **state)
{
    (void)state;
    enum { TEXT_BYTES = 300000 };
    static struct text_fixture fixture;
    fill_small(&fixture);
    struct tw_tokenizer *tokenizer = text_fixture_create(&fixture);
    char *text = tw_mem_alloc(TEXT_BYTES, 1);
    for (size_t i = 0; i < TEXT_BYTES; i++) {
        uint32_t r[4];
        tw_rng_block(7, i, r);
        text[i] = "thethe  abn\n<>"[r[0] % 14];
    }
    struct tw_token_list whole = {0};
    struct words_alone alone = {.tokenizer = tokenizer};
    struct tw_pretokenize_step step = {.kind = TW_PRETOKENIZE_GPT2};
    struct tw_pretokenize_scratch scratch = {0};
    struct tw_bytes bytes = {text, TEXT_BYTES};
    assert_int_equal(tw_tokenizer_encode(tokenizer, text, TEXT_BYTES, 0, &whole, NULL), TW_OK);
    assert_int_equal(tw_pretokenize(&step, 1, &scratch, bytes, true, encode_alone, &alone, NULL),
                     TW_OK);
    assert_int_equal(whole.n_tokens, alone.list.n_tokens);
    assert_memory_equal(whole.ids, alone.list.ids, whole.n_tokens * sizeof *whole.ids);
    tw_pretokenize_scratch_free(&scratch);
    tw_token_list_free(&whole);
    tw_token_list_free(&alone.list);
    tw_mem_free(text);
    tw_tokenizer_free(tokenizer);
}

struct worker {
    const struct tw_tokenizer *tokenizer;
    size_t n_wrong;
};

static void *encode_often(void *context)
{
    struct worker *worker = context;
    for (int i = 0; i < 2000; i++) {
        static const tw_token expected[] = {257, 258, 258, 110, 32, 256};
        static const char text[] = "the the then th";
        struct tw_token_list list = {0};
        enum tw_status status =
            tw_tokenizer_encode(worker->tokenizer, text, sizeof text - 1, 0, &list, NULL);
        worker->n_wrong += status != TW_OK || list.n_tokens != 6 ||
                           memcmp(list.ids, expected, sizeof expected) != 0;
        tw_token_list_free(&list);
    }
    return NULL;
}

static void threads_share_one_tokenizer(void **state)
{
    (void)state;
    static struct text_fixture fixture;
    fill_small(&fixture);
    struct tw_tokenizer *tokenizer = text_fixture_create(&fixture);
    struct worker workers[4];
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        workers[i] = (struct worker){.tokenizer = tokenizer};
        assert_int_equal(pthread_create(&threads[i], NULL, encode_often, &workers[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(workers[i].n_wrong, 0);
    }
    tw_tokenizer_free(tokenizer);
}

/* A file that calls a chat marker an ordinary word would let a user end his turn. */
static void chat_markers_are_special_whatever_the_file_says(void **state)
{
    (void)state;
    static const char *const markers[] = {"<|im_start|>", "<|im_end|>", "<|eot_id|>"};
    for (size_t i = 0; i < sizeof markers / sizeof markers[0]; i++) {
        static struct text_fixture fixture;
        text_fixture_bpe(&fixture);
        tw_token id = text_fixture_token(&fixture, markers[i], TW_TOKEN_USER_DEFINED, 0);
        char want[16];
        snprintf(want, sizeof want, "%d", id);
        struct tw_tokenizer *tokenizer = text_fixture_create(&fixture);
        size_t n = strlen(markers[i]);
        assert_string_not_equal(text_fixture_ids(tokenizer, markers[i], n, 0), want);
        assert_string_equal(text_fixture_ids(tokenizer, markers[i], n, TW_ENCODE_SPECIAL), want);
        assert_int_equal(tw_tokenizer_token_kind(tokenizer, id), TW_TOKEN_CONTROL);
        tw_tokenizer_free(tokenizer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chat_markers_are_special_whatever_the_file_says),
        cmocka_unit_test(words_become_their_merged_tokens),
        cmocka_unit_test(a_user_cannot_write_a_control_token),
        cmocka_unit_test(a_user_defined_token_is_always_recognised),
        cmocka_unit_test(the_longest_of_the_leftmost_added_tokens_wins),
        cmocka_unit_test(flags_of_added_tokens_take_spaces_and_respect_words),
        cmocka_unit_test(a_normalised_added_token_is_found_in_normalised_text_only),
        cmocka_unit_test(text_is_composed_first_where_the_model_asks_for_it),
        cmocka_unit_test(a_word_that_is_a_token_is_taken_whole_only_with_ignore_merges),
        cmocka_unit_test(first_and_last_tokens_are_added_on_request),
        cmocka_unit_test(a_byte_without_token_is_unknown_or_left_out),
        cmocka_unit_test(a_control_token_that_spells_a_byte_stays_usable),
        cmocka_unit_test(any_bytes_come_back_from_byte_level_tokens),
        cmocka_unit_test(sentencepiece_puts_a_space_before_each_stretch_of_text),
        cmocka_unit_test(sentencepiece_spells_unknown_characters_in_bytes),
        cmocka_unit_test(sentencepiece_merges_into_plain_pieces_only),
        cmocka_unit_test(sentencepiece_cleans_spaces_where_the_model_asks_for_it),
        cmocka_unit_test(sentencepiece_tokens_decode_to_text_and_bytes),
        cmocka_unit_test(only_special_tokens_end_an_answer),
        cmocka_unit_test(a_bad_description_is_refused_with_the_reason),
        cmocka_unit_test(a_failed_encoding_leaves_the_list_as_it_was),
        cmocka_unit_test(the_description_may_go_once_the_tokenizer_is_made),
        cmocka_unit_test(a_long_text_has_the_ids_of_its_words),
        cmocka_unit_test(threads_share_one_tokenizer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
