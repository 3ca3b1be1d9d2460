/* The tokenizer that a model's files describe, and what they may not say. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "byte_builder.h"
#include "model/gguf_write.h"
#include "model/tensors.h"
#include "tiny_model.h"
#include "tiny_tokenizer.h"

/* ---- GGUF files with one thing changed ---- */

/* What the file is to say; a field's zero means what is right. */
struct change {
    const char *arch; /* NULL: llama */
    const char *model, *pre;
    bool no_tokens, no_merges, no_scores, tokens_are_numbers, short_kinds, bad_kind;
    bool is_plain;    /* no unknown token, and no merges in their array */
    int eos;          /* 0: 2 */
    const char *flag; /* a bool key, with its value */
    bool flag_value;
    const char *id_key; /* a u32 key, with its value */
    uint32_t id;
    uint64_t n_rows; /* of the embedding; 0: 8 */
};

static const char *const tokens[] = {"<unk>", "<s>", "</s>", "a", "b", "ab", "1", "<|turn|>"};
enum { N_TOKENS = sizeof tokens / sizeof tokens[0] };

static void put_arrays(struct tw_gguf_writer *writer, const struct change *change)
{
    static const int32_t kinds[N_TOKENS] = {2, 3, 3, 1, 1, 1, 1, 3};
    static const int32_t bad_kinds[N_TOKENS] = {2, 3, 3, 1, 9, 1, 1, 3};
    static const int32_t plain_kinds[N_TOKENS] = {1, 3, 3, 1, 1, 5, 1, 4};
    static const float scores[N_TOKENS] = {0, 0, 0, -1, -2, -1, -3, 0};
    if (change->tokens_are_numbers) {
        tw_gguf_put_array(writer, "tokenizer.ggml.tokens", TW_GGUF_INT32, kinds, N_TOKENS);
    } else if (!change->no_tokens) {
        tw_gguf_put_strings(writer, "tokenizer.ggml.tokens", N_TOKENS);
        for (size_t i = 0; i < N_TOKENS; i++) {
            tw_gguf_put_item(writer, tokens[i], strlen(tokens[i]));
        }
    }
    tw_gguf_put_array(writer, "tokenizer.ggml.token_type", TW_GGUF_INT32,
                      change->bad_kind   ? bad_kinds
                      : change->is_plain ? plain_kinds
                                         : kinds,
                      change->short_kinds ? N_TOKENS - 1 : N_TOKENS);
    if (!change->no_scores) {
        tw_gguf_put_array(writer, "tokenizer.ggml.scores", TW_GGUF_FLOAT32, scores, N_TOKENS);
    }
    if (!change->no_merges) {
        tw_gguf_put_strings(writer, "tokenizer.ggml.merges", !change->is_plain);
        if (!change->is_plain) {
            tw_gguf_put_item(writer, "a b", 3);
        }
    }
}

static void write_changed(const struct change *change)
{
    struct tw_gguf_writer *writer = NULL;
    assert_int_equal(tw_gguf_writer_open("t.gguf", &writer, NULL), TW_OK);
    tw_gguf_put_text(writer, "general.architecture", change->arch != NULL ? change->arch : "llama");
    if (change->model != NULL) {
        tw_gguf_put_text(writer, "tokenizer.ggml.model", change->model);
    }
    if (change->pre != NULL) {
        tw_gguf_put_text(writer, "tokenizer.ggml.pre", change->pre);
    }
    put_arrays(writer, change);
    tw_gguf_put_u32(writer, "tokenizer.ggml.bos_token_id", 1);
    tw_gguf_put_u32(writer, "tokenizer.ggml.eos_token_id",
                    change->eos != 0 ? (uint32_t)change->eos : 2);
    if (change->flag != NULL) {
        tw_gguf_put_bool(writer, change->flag, change->flag_value);
    }
    if (change->id_key != NULL) {
        tw_gguf_put_u32(writer, change->id_key, change->id);
    }
    const uint64_t shape[TW_TENSOR_DIMS] = {1, change->n_rows != 0 ? change->n_rows : 8, 1, 1};
    const float zeros[64] = {0};
    tw_gguf_add_tensor(writer, "token_embd.weight", TW_DTYPE_F32, shape);
    assert_int_equal(tw_gguf_writer_begin(writer, NULL), TW_OK);
    assert_int_equal(tw_gguf_writer_data(writer, zeros, shape[1] * sizeof zeros[0], NULL), TW_OK);
    assert_int_equal(tw_gguf_writer_commit(writer, NULL), TW_OK);
}

static enum tw_status read_from(const char *path, struct tw_tokenizer **ret_tokenizer,
                                struct tw_error *error)
{
    struct tw_model_files *files = NULL;
    assert_int_equal(tw_model_files_open(path, &files, error), TW_OK);
    enum tw_status status = tw_model_files_tokenizer(files, ret_tokenizer, error);
    tw_model_files_close(files);
    return status;
}

static struct tw_tokenizer *read_changed(struct change change)
{
    struct tw_tokenizer *tokenizer = NULL;
    struct tw_error error = {0};
    write_changed(&change);
    if (read_from("t.gguf", &tokenizer, &error) != TW_OK) {
        fail_msg("%s", error.text);
    }
    return tokenizer;
}

static void check_ids(const struct tw_tokenizer *tokenizer, const char *text, int flags,
                      const tw_token *expected, size_t n)
{
    struct tw_token_list list = {0};
    assert_int_equal(tw_tokenizer_encode(tokenizer, text, strlen(text), flags, &list, NULL), TW_OK);
    assert_int_equal(list.n_tokens, n);
    assert_memory_equal(list.ids, expected, n * sizeof *expected);
    tw_token_list_free(&list);
}

static void what_is_wrong_with_a_tokenizer_is_said(void **state)
{
    (void)state;
    static const struct {
        struct change change;
        enum tw_status status;
        const char *words;
    } rows[] = {
        {{.model = NULL}, TW_ERR_NOT_FOUND, "tokenizer.ggml.model"},
        {{.model = "bert"}, TW_ERR_UNSUPPORTED, "tokenizer 'bert'"},
        {{.model = "gpt2", .pre = "deepseek-v3"}, TW_ERR_UNSUPPORTED, "'deepseek-v3'"},
        {{.model = "llama", .no_tokens = true}, TW_ERR_FORMAT, "tokenizer.ggml.tokens"},
        {{.model = "llama", .tokens_are_numbers = true}, TW_ERR_FORMAT, "an array of string"},
        {{.model = "llama", .short_kinds = true}, TW_ERR_FORMAT, "with at least 8 items"},
        {{.model = "llama", .bad_kind = true}, TW_ERR_FORMAT, "token 4 has kind 9"},
        {{.model = "llama", .no_scores = true}, TW_ERR_FORMAT, "tokenizer.ggml.scores"},
        {{.model = "gpt2", .pre = "gpt-2", .no_merges = true}, TW_ERR_FORMAT, "ggml.merges"},
        {{.model = "llama", .eos = 8}, TW_ERR_FORMAT, "eos_token_id: expected a token below 8"},
        {{.model = "llama", .eos = -1}, TW_ERR_FORMAT, "eos_token_id"},
        {{.model = "llama", .id_key = "tokenizer.ggml.unknown_token_id", .id = 100},
         TW_ERR_FORMAT,
         "unknown_token_id"},
        {{.model = "llama", .id_key = "tokenizer.ggml.eot_token_id", .id = 8},
         TW_ERR_FORMAT,
         "eot_token_id"},
        {{.model = "llama", .n_rows = 7}, TW_ERR_FORMAT, "8 tokens, the embedding 7 rows"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tw_tokenizer *tokenizer = NULL;
        struct tw_error error = {0};
        write_changed(&rows[i].change);
        enum tw_status got = read_from("t.gguf", &tokenizer, &error);
        if (got != rows[i].status || strstr(error.text, rows[i].words) == NULL) {
            fail_msg("expected %s with '%s', got %s: %s", tw_status_name(rows[i].status),
                     rows[i].words, tw_status_name(got), error.text);
        }
        assert_null(tokenizer);
    }
}

static void each_kind_has_its_own_defaults(void **state)
{
    (void)state;
    static const struct {
        struct change change;
        bool adds_bos;
    } rows[] = {
        {{.model = "llama"}, true},
        {{.model = "gpt2", .pre = "gpt-2"}, false},
        {{.model = "gpt2", .pre = "qwen2", .arch = "qwen2"}, false},
        {{.model = "gpt2", .pre = "llama-bpe"}, true},
        {{.model = "gpt2", .pre = "llama3"}, true},
        {{.model = "gpt2", .pre = "smaug-bpe"}, false},
        {{.model = "llama", .flag = "tokenizer.ggml.add_bos_token"}, false},
        {{.model = "gpt2", .pre = "llama-bpe", .flag = "tokenizer.ggml.add_bos_token"}, false},
        {{.model = "gpt2",
          .pre = "gpt-2",
          .flag = "tokenizer.ggml.add_bos_token",
          .flag_value = true},
         true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tw_tokenizer *tokenizer = read_changed(rows[i].change);
        assert_int_equal(tw_tokenizer_adds_bos(tokenizer), rows[i].adds_bos);
        assert_int_equal(tw_tokenizer_bos(tokenizer), 1);
        assert_int_equal(tw_tokenizer_eos(tokenizer), 2);
        tw_tokenizer_free(tokenizer);
    }
}

/* Llama 3 keeps three digits together, Qwen2 one; GPT-2 any number. The vocabulary has "1" only, so
 * that "11" is two tokens everywhere: what differs is whether "ab" survives beside it. */
static void the_pre_tokenizer_is_the_named_one(void **state)
{
    (void)state;
    static const char *const names[] = {
        "gpt-2", "qwen2", "deepseek-r1-qwen", "llama-bpe", "smollm", "default", NULL};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct tw_tokenizer *tokenizer = read_changed((struct change){
            .model = "gpt2", .pre = names[i], .flag = "tokenizer.ggml.add_bos_token"});
        const tw_token expected[] = {5, 6, 6, 5};
        check_ids(tokenizer, "ab11ab", TW_ENCODE_BOS_EOS, expected, 4);
        tw_tokenizer_free(tokenizer);
    }
}

static void tokens_that_end_a_turn_end_the_answer(void **state)
{
    (void)state;
    struct tw_tokenizer *tokenizer = read_changed(
        (struct change){.model = "llama", .id_key = "tokenizer.ggml.eot_token_id", .id = 7});
    assert_true(tw_tokenizer_ends_generation(tokenizer, 7));
    assert_true(tw_tokenizer_ends_generation(tokenizer, 2));
    assert_false(tw_tokenizer_ends_generation(tokenizer, 3));
    tw_tokenizer_free(tokenizer);
    tokenizer = read_changed((struct change){.model = "llama"});
    assert_false(tw_tokenizer_ends_generation(tokenizer, 7));
    tw_tokenizer_free(tokenizer);
}

static void control_tokens_come_from_text_only_where_allowed(void **state)
{
    (void)state;
    struct tw_tokenizer *tokenizer = read_changed((struct change){.model = "gpt2", .pre = "gpt-2"});
    struct tw_token_list list = {0};
    const tw_token turn[] = {7};
    check_ids(tokenizer, "<|turn|>", TW_ENCODE_SPECIAL, turn, 1);
    assert_int_equal(tw_tokenizer_encode(tokenizer, "<|turn|>", 8, 0, &list, NULL), TW_OK);
    for (size_t i = 0; i < list.n_tokens; i++) {
        assert_int_not_equal(list.ids[i], 7);
    }
    tw_token_list_free(&list);
    tw_tokenizer_free(tokenizer);
}

static void a_tokenizer_that_no_json_file_can_say_is_refused(void **state)
{
    (void)state;
    static const struct {
        struct change change;
        const char *words;
    } rows[] = {
        {{.model = "llama"}, "no byte-level BPE"},
        {{.model = "gpt2", .pre = "smollm"}, "cuts words in a way"},
        {{.model = "gpt2", .pre = "llama-bpe"}, "puts a token before or behind"},
        {{.model = "gpt2", .pre = "gpt-2"}, "a token for what is unknown"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tw_model_files *files = NULL;
        struct tw_buf text = {0};
        struct tw_error error = {0};
        write_changed(&rows[i].change);
        assert_int_equal(tw_model_files_open("t.gguf", &files, NULL), TW_OK);
        assert_int_equal(tw_model_files_tokenizer_json(files, &text, &error), TW_ERR_UNSUPPORTED);
        assert_non_null(strstr(error.text, rows[i].words));
        assert_null(text.data);
        tw_model_files_close(files);
    }
}

static void a_tokenizer_comes_back_from_the_json_that_was_made_of_it(void **state)
{
    (void)state;
    const struct change change = {.model = "gpt2", .pre = "qwen2", .is_plain = true};
    struct tw_model_files *files = NULL;
    struct tw_tokenizer *tokenizer = NULL;
    struct tw_buf text = {0};
    json_t *json = NULL;
    write_changed(&change);
    assert_int_equal(tw_model_files_open("t.gguf", &files, NULL), TW_OK);
    assert_int_equal(tw_model_files_tokenizer_json(files, &text, NULL), TW_OK);
    tw_model_files_close(files);
    assert_int_equal(tw_json_parse(text.data, text.size_bytes, "j", &json, NULL), TW_OK);
    assert_int_equal(tw_tokenizer_from_json(json, NULL, &tokenizer, NULL), TW_OK);
    assert_int_equal(tw_tokenizer_size(tokenizer), N_TOKENS);
    for (tw_token i = 0; i < N_TOKENS; i++) {
        struct tw_bytes token = tw_tokenizer_token_text(tokenizer, i);
        assert_true(tw_bytes_equal(token, tw_bytes_of(tokens[i])));
    }
    const tw_token ids[] = {3, 4, 6, 7};
    check_ids(tokenizer, "ab1<|turn|>", 0, ids, 4);
    assert_int_equal(tw_tokenizer_token_kind(tokenizer, 1), TW_TOKEN_CONTROL);
    assert_int_equal(tw_tokenizer_token_kind(tokenizer, 7), TW_TOKEN_USER_DEFINED);
    tw_tokenizer_free(tokenizer);
    json_decref(json);
    tw_buf_free(&text);
}

/* ---- folders ---- */

static void write_folder(json_t *tokenizer)
{
    struct tiny_model model = tiny_model_of("qwen2");
    model.n_vocab = 272;
    tiny_write_folder(&model, "f", 1);
    tiny_write_tokenizer("f", tokenizer);
}

static void a_folders_tokenizer_is_read(void **state)
{
    (void)state;
    struct tw_tokenizer *tokenizer = NULL;
    struct tw_error error = {0};
    write_folder(tiny_bpe_json(NULL));
    write_text("f/tokenizer_config.json", "{\"eos_token\":\"<|im_end|>\"}");
    if (read_from("f", &tokenizer, &error) != TW_OK) {
        fail_msg("%s", error.text);
    }
    const tw_token hello[] = {260 - 1, 260};
    check_ids(tokenizer, "hello hello", 0, hello, 2);
    assert_int_equal(tw_tokenizer_eos(tokenizer), 264);
    tw_tokenizer_free(tokenizer);
}

static void end_tokens_of_the_configs_end_the_answer(void **state)
{
    (void)state;
    struct tw_tokenizer *tokenizer = NULL;
    write_folder(tiny_bpe_json(NULL));
    write_text("f/generation_config.json", "{\"eos_token_id\":[264,265]}");
    assert_int_equal(read_from("f", &tokenizer, NULL), TW_OK);
    assert_true(tw_tokenizer_ends_generation(tokenizer, 265));
    tw_tokenizer_free(tokenizer);
    tokenizer = NULL;
    write_text("f/generation_config.json", "{\"eos_token_id\":3}");
    assert_int_equal(read_from("f", &tokenizer, NULL), TW_OK);
    assert_true(tw_tokenizer_ends_generation(tokenizer, 3));
    assert_false(tw_tokenizer_ends_generation(tokenizer, 265));
    tw_tokenizer_free(tokenizer);
}

static void expect_folder_failure(enum tw_status status, const char *words)
{
    struct tw_tokenizer *tokenizer = NULL;
    struct tw_error error = {0};
    enum tw_status got = read_from("f", &tokenizer, &error);
    if (got != status || strstr(error.text, words) == NULL) {
        fail_msg("expected %s with '%s', got %s: %s", tw_status_name(status), words,
                 tw_status_name(got), error.text);
    }
    assert_null(tokenizer);
}

static void what_is_wrong_in_a_folder_is_said(void **state)
{
    (void)state;
    struct tiny_model model = tiny_model_of("qwen2");
    write_folder(tiny_bpe_json(NULL));
    write_text("f/generation_config.json", "{\"eos_token_id\":[1,99999]}");
    expect_folder_failure(TW_ERR_FORMAT, "generation_config.json: eos_token_id");
    write_text("f/generation_config.json", "{\"eos_token_id\":\"2\"}");
    expect_folder_failure(TW_ERR_FORMAT, "generation_config.json: eos_token_id");
    char many[512] = "{\"eos_token_id\":[0";
    for (int i = 1; i <= TW_LIMIT_END_TOKENS; i++) {
        size_t n = strlen(many);
        snprintf(many + n, sizeof many - n, ",%d%s", i, i == TW_LIMIT_END_TOKENS ? "]}" : "");
    }
    write_text("f/generation_config.json", many);
    expect_folder_failure(TW_ERR_LIMIT, "generation_config.json: too many end tokens");
    write_text("f/generation_config.json", "{}");
    write_text("f/tokenizer.json", "{\"model\":{\"type\":\"Unigram\"}}");
    expect_folder_failure(TW_ERR_UNSUPPORTED, "Unigram");
    write_text("f/tokenizer.json", "{");
    expect_folder_failure(TW_ERR_FORMAT, "tokenizer.json");
    tiny_write_folder(&model, "f", 1); /* an embedding of 40 rows */
    tiny_write_tokenizer("f", tiny_bpe_json(NULL));
    expect_folder_failure(TW_ERR_FORMAT, "266 tokens, the embedding 40 rows");
    remove("f/tokenizer.json");
    expect_folder_failure(TW_ERR_NOT_FOUND, "tokenizer.json");
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, enter_new_folder, leave_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(what_is_wrong_with_a_tokenizer_is_said),
        IN_FOLDER(each_kind_has_its_own_defaults),
        IN_FOLDER(the_pre_tokenizer_is_the_named_one),
        IN_FOLDER(tokens_that_end_a_turn_end_the_answer),
        IN_FOLDER(control_tokens_come_from_text_only_where_allowed),
        IN_FOLDER(a_tokenizer_that_no_json_file_can_say_is_refused),
        IN_FOLDER(a_tokenizer_comes_back_from_the_json_that_was_made_of_it),
        IN_FOLDER(a_folders_tokenizer_is_read),
        IN_FOLDER(end_tokens_of_the_configs_end_the_answer),
        IN_FOLDER(what_is_wrong_in_a_folder_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
