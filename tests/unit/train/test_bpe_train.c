/* A vocabulary learnt from a corpus, and the files it becomes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/rng.h"
#include "text/tokenizer_json_write.h"
#include "train_fixture.h"

static const char corpus[] =
    "low lower lowest low low newer newer wider\n\nthe cat's hat, the cats' hats 12 12 12\n"
    "<|im_start|>low<|im_end|> <tool_call>{\"name\": \"lower\"}</tool_call>\n"
    "na\xc3\xafve na\xc3\xafve cafe\xcc\x81 caf\xc3\xa9 \xe4\xbb\x8a\xe5\xa4\xa9 "
    "\xe4\xbb\x8a\xe5\xa4\xa9\n";

static void assert_merge(const struct trained *trained, size_t i, const char *line)
{
    assert_true(i < trained->spec.n_merges);
    assert_string_equal(trained->spec.merges[i].data, line);
}

/* low (3), lower (2): lo 5, ow 5; of equal counts "lo" has the lower left id. */
static void the_most_frequent_pair_goes_first_and_lower_ids_break_ties(void **state)
{
    (void)state;
    struct trained trained;
    trained_init(&trained, "low\nlow\nlow\nlower\nlower", TW_BPE_LEAST_TOKENS + 16);
    assert_merge(&trained, 0, "l o");
    assert_merge(&trained, 1, "lo w");
    /* low e 2, e r 2: "e" is a byte and comes before what was made. */
    assert_merge(&trained, 2, "e r");
    assert_merge(&trained, 3, "low er");
    assert_int_equal(trained.spec.n_merges, 4);
    assert_int_equal(trained.report.n_merges, 4);
    assert_int_equal(trained.report.n_words, 3); /* low, newline, lower */
    trained_free(&trained);
}

/* "aaaaa": from the left, aa aa a. */
static void a_run_is_merged_from_the_left(void **state)
{
    (void)state;
    struct trained trained;
    trained_init(&trained, "aaaaa\naaaaa", TW_BPE_LEAST_TOKENS + 3);
    assert_merge(&trained, 0, "a a");
    assert_merge(&trained, 1, "aa a");
    assert_merge(&trained, 2, "aa aaa");
    trained_free(&trained);
}

static void the_bytes_come_first_in_the_order_of_their_characters(void **state)
{
    (void)state;
    struct trained trained;
    trained_init(&trained, corpus, 290);
    assert_int_equal(trained.spec.n_tokens, 290);
    assert_string_equal(trained.spec.tokens[0].data, "!");
    assert_string_equal(trained.spec.tokens[93].data, "~");
    assert_string_equal(trained.spec.tokens[94].data, "\xc2\xa1");
    assert_string_equal(trained.spec.tokens[188].data, "\xc4\x80");
    assert_string_equal(trained.spec.tokens[220].data, "\xc4\xa0");
    assert_string_equal(trained.spec.tokens[255].data, "\xc5\x83");
    trained_free(&trained);
}

static void the_added_tokens_come_last_and_the_three_of_conversations_are_special(void **state)
{
    (void)state;
    static const char *const texts[] = {"<|endoftext|>",   "<|im_start|>", "<|im_end|>",
                                        "<tool_call>",     "</tool_call>", "<tool_response>",
                                        "</tool_response>"};
    struct trained trained;
    trained_init(&trained, corpus, 290);
    for (tw_token i = 0; i < TW_BPE_ADDED_TOKENS; i++) {
        tw_token id = 283 + i;
        assert_int_equal(tw_tokenizer_find(trained.tokenizer, texts[i], strlen(texts[i])), id);
        assert_int_equal(tw_tokenizer_token_kind(trained.tokenizer, id),
                         i < 3 ? TW_TOKEN_CONTROL : TW_TOKEN_USER_DEFINED);
    }
    assert_int_equal(tw_tokenizer_eos(trained.tokenizer), 285);
    assert_true(tw_tokenizer_ends_generation(trained.tokenizer, 283));
    trained_free(&trained);
}

static void no_learnt_token_holds_a_part_of_a_marker_that_only_markers_have(void **state)
{
    (void)state;
    struct trained trained;
    trained_init(&trained,
                 "<|im_start|>x<|im_start|>x<|im_start|>x<|im_end|>x<tool_call>x</tool_call>",
                 TW_BPE_LEAST_TOKENS + 20);
    assert_int_equal(trained.spec.n_merges, 0);
    assert_int_equal(trained.report.corpus_tokens, 11); /* six markers, five times x */
    trained_free(&trained);
}

static void composed_and_decomposed_characters_are_the_same_word(void **state)
{
    (void)state;
    struct trained trained;
    trained_init(&trained, "e\xcc\x81\n\xc3\xa9", TW_BPE_LEAST_TOKENS + 20);
    assert_int_equal(trained.spec.n_merges, 1);
    assert_int_equal(trained.report.n_words, 2);
    assert_int_equal(trained.spec.merges[0].size_bytes, 5);
    trained_free(&trained);
}

/* Two words of that many a's, of which merging doubles tokens as long as it may. */
static size_t longest_token(size_t n_bytes)
{
    struct trained trained;
    char text[2 * 300 + 2] = {0};
    size_t longest = 0;
    memset(text, 'a', 2 * n_bytes + 1);
    text[n_bytes] = '\n';
    trained_init(&trained, text, TW_BPE_LEAST_TOKENS + 40);
    for (size_t i = 0; i < 256 + trained.spec.n_merges; i++) {
        size_t n = trained.spec.tokens[i].size_bytes;
        longest = n > longest ? n : longest;
    }
    trained_free(&trained);
    return longest;
}

static void a_token_grows_up_to_its_bound_and_no_further(void **state)
{
    (void)state;
    assert_int_equal(longest_token(TW_LIMIT_TRAINED_TOKEN_BYTES - 1),
                     TW_LIMIT_TRAINED_TOKEN_BYTES - 1);
    assert_int_equal(longest_token(TW_LIMIT_TRAINED_TOKEN_BYTES), TW_LIMIT_TRAINED_TOKEN_BYTES);
    /* the last a goes to the second half, with which both are one byte too long */
    assert_int_equal(longest_token(TW_LIMIT_TRAINED_TOKEN_BYTES + 1),
                     TW_LIMIT_TRAINED_TOKEN_BYTES / 2 + 1);
}

static void a_size_out_of_range_is_refused(void **state)
{
    (void)state;
    struct tw_word_counts *counts = NULL;
    struct tw_arena arena;
    struct tw_tokenizer_spec spec;
    struct tw_bpe_report report;
    struct tw_error error;
    tw_arena_init(&arena, 1 << 20);
    assert_int_equal(tw_word_counts_create(NULL, 0, &counts, NULL), TW_OK);
    assert_int_equal(
        tw_bpe_train(counts, TW_BPE_LEAST_TOKENS - 1, NULL, NULL, &arena, &spec, &report, &error),
        TW_ERR_USAGE);
    assert_non_null(strstr(error.text, "263"));
    assert_int_equal(tw_bpe_train(counts, (size_t)TW_LIMIT_VOCAB_TOKENS + 1, NULL, NULL, &arena,
                                  &spec, &report, &error),
                     TW_ERR_USAGE);
    tw_word_counts_free(counts);
    tw_arena_clear(&arena);
}

/* What counting found in the words is what encoding makes of the text. */
static void the_reported_tokens_are_those_encoding_gives(void **state)
{
    (void)state;
    struct trained trained;
    struct tw_token_list list = {0};
    trained_init(&trained, corpus, 310);
    assert_int_equal(tw_tokenizer_encode(trained.tokenizer, corpus, sizeof corpus - 1,
                                         TW_ENCODE_SPECIAL, &list, NULL),
                     TW_OK);
    assert_int_equal(trained.report.corpus_tokens, list.n_tokens);
    assert_int_equal(trained.report.text_bytes, sizeof corpus - 1);
    tw_token_list_free(&list);
    trained_free(&trained);
}

/* ---- files ---- */

static struct tw_tokenizer *read_back(const struct tw_tokenizer_spec *spec)
{
    const struct tw_tokenizer_config config = {.class_name = "Qwen2Tokenizer",
                                               .eos = "<|im_end|>",
                                               .pad = "<|endoftext|>",
                                               .chat_template = "{{ messages }}",
                                               .n_context_tokens = 2048};
    struct tw_buf file, config_file;
    json_t *json = NULL, *config_json = NULL;
    struct tw_tokenizer *tokenizer = NULL;
    tw_buf_init(&file, 1 << 20);
    tw_buf_init(&config_file, 1 << 20);
    tw_tokenizer_json_write(spec, &file);
    tw_tokenizer_config_write(spec, &config, &config_file);
    assert_false(file.failed || config_file.failed);
    assert_int_equal(tw_json_parse(file.data, file.size_bytes, "t", &json, NULL), TW_OK);
    assert_int_equal(
        tw_json_parse(config_file.data, config_file.size_bytes, "c", &config_json, NULL), TW_OK);
    assert_int_equal(json_integer_value(json_object_get(config_json, "model_max_length")), 2048);
    assert_string_equal(json_string_value(json_object_get(config_json, "chat_template")),
                        "{{ messages }}");
    assert_int_equal(tw_tokenizer_from_json(json, config_json, &tokenizer, NULL), TW_OK);
    json_decref(json);
    json_decref(config_json);
    tw_buf_free(&file);
    tw_buf_free(&config_file);
    return tokenizer;
}

/* Letters, spaces, marks, markers and stray bytes, by a fixed generator. */
static size_t random_text(uint64_t seed, char text[512])
{
    static const char *const pieces[] = {"low",         "er",        " the",        "\n",
                                         "  ",          "1",         "caf\xc3\xa9", "\xe4\xbb\x8a",
                                         "'s",          "\xff",      "{}",          "<|im_end|>",
                                         "<tool_call>", "e\xcc\x81", "na\xc3"};
    size_t n = 0;
    uint32_t words[4];
    for (uint64_t i = 0; i < 24; i++) {
        tw_rng_block(seed, i, words);
        const char *piece = pieces[words[0] % (sizeof pieces / sizeof pieces[0])];
        memcpy(text + n, piece, strlen(piece));
        n += strlen(piece);
    }
    return n;
}

static void what_is_written_and_read_back_gives_the_same_ids(void **state)
{
    (void)state;
    struct trained trained;
    trained_init(&trained, corpus, 310);
    struct tw_tokenizer *other = read_back(&trained.spec);
    assert_int_equal(tw_tokenizer_size(other), tw_tokenizer_size(trained.tokenizer));
    assert_int_equal(tw_tokenizer_eos(other), tw_tokenizer_eos(trained.tokenizer));
    for (uint64_t seed = 0; seed < 1000; seed++) {
        char text[512], ours[4096];
        size_t n = random_text(seed, text);
        int flags = seed % 2 == 0 ? TW_ENCODE_SPECIAL : 0;
        snprintf(ours, sizeof ours, "%s", trained_ids(trained.tokenizer, text, n, flags));
        assert_string_equal(trained_ids(other, text, n, flags), ours);
    }
    tw_tokenizer_free(other);
    trained_free(&trained);
}

static void what_a_description_asks_for_is_in_the_file(void **state)
{
    (void)state;
    static const struct {
        enum tw_pretokenizer pretokenizer;
        enum tw_pretokenize_kind kind;
    } cuts[] = {{TW_PRETOKENIZER_GPT2, TW_PRETOKENIZE_GPT2},
                {TW_PRETOKENIZER_LLAMA3, TW_PRETOKENIZE_LLAMA3},
                {TW_PRETOKENIZER_QWEN2, TW_PRETOKENIZE_QWEN2}};
    struct trained trained;
    trained_init(&trained, corpus, 290);
    for (int i = 0; i < 12; i++) {
        struct tw_tokenizer_spec spec = trained.spec, read;
        struct tw_arena arena;
        struct tw_buf file;
        json_t *json = NULL;
        spec.normalise_nfc = i % 2 == 1;
        spec.ignore_merges = i / 2 % 2 == 1;
        spec.pretokenizer = cuts[i / 4].pretokenizer;
        tw_buf_init(&file, 1 << 20);
        tw_arena_init(&arena, 1 << 24);
        tw_tokenizer_json_write(&spec, &file);
        assert_int_equal(tw_json_parse(file.data, file.size_bytes, "file", &json, NULL), TW_OK);
        assert_int_equal(tw_tokenizer_spec_from_json(json, NULL, &arena, &read, NULL), TW_OK);
        assert_int_equal(read.n_normalise, spec.normalise_nfc);
        assert_int_equal(read.ignore_merges, spec.ignore_merges);
        assert_int_equal(read.n_cuts, 1);
        enum tw_pretokenize_kind kind;
        assert_true(tw_pretokenize_known(read.cuts[0].text, &kind));
        assert_int_equal(kind, cuts[i / 4].kind);
        json_decref(json);
        tw_arena_clear(&arena);
        tw_buf_free(&file);
    }
    trained_free(&trained);
}

static void a_thousand_texts_come_back_from_their_tokens(void **state)
{
    (void)state;
    struct trained trained;
    trained_init(&trained, corpus, 310);
    for (uint64_t seed = 0; seed < 1000; seed++) {
        char text[512];
        struct tw_token_list list = {0};
        struct tw_buf out;
        struct tw_bytes normalised;
        struct tw_normalise_scratch scratch = {0};
        const struct tw_normalise_step nfc = {.kind = TW_NORMALISE_NFC};
        struct tw_bytes input = {text, random_text(seed, text)};
        tw_buf_init(&out, 4096);
        assert_int_equal(
            tw_tokenizer_encode(trained.tokenizer, text, input.size_bytes, 0, &list, NULL), TW_OK);
        for (size_t i = 0; i < list.n_tokens; i++) {
            struct tw_bytes b = tw_tokenizer_token_bytes(trained.tokenizer, list.ids[i], true);
            tw_buf_append(&out, b.data, b.size_bytes);
        }
        assert_int_equal(tw_normalise(&nfc, 1, &scratch, input, &normalised, NULL), TW_OK);
        assert_true(tw_bytes_equal(normalised, (struct tw_bytes){out.data, out.size_bytes}));
        tw_normalise_scratch_free(&scratch);
        tw_token_list_free(&list);
        tw_buf_free(&out);
    }
    trained_free(&trained);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_most_frequent_pair_goes_first_and_lower_ids_break_ties),
        cmocka_unit_test(a_run_is_merged_from_the_left),
        cmocka_unit_test(the_bytes_come_first_in_the_order_of_their_characters),
        cmocka_unit_test(the_added_tokens_come_last_and_the_three_of_conversations_are_special),
        cmocka_unit_test(no_learnt_token_holds_a_part_of_a_marker_that_only_markers_have),
        cmocka_unit_test(composed_and_decomposed_characters_are_the_same_word),
        cmocka_unit_test(a_token_grows_up_to_its_bound_and_no_further),
        cmocka_unit_test(a_size_out_of_range_is_refused),
        cmocka_unit_test(the_reported_tokens_are_those_encoding_gives),
        cmocka_unit_test(what_is_written_and_read_back_gives_the_same_ids),
        cmocka_unit_test(what_a_description_asks_for_is_in_the_file),
        cmocka_unit_test(a_thousand_texts_come_back_from_their_tokens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
