/* A folder and the GGUF file made from it are one model: numbers, weights, tokens, template. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "byte_builder.h"
#include "model/arch.h"
#include "model/convert.h"
#include "model/gguf.h"
#include "model/model.h"
#include "tiny_model.h"
#include "tiny_tokenizer.h"

static struct tw_model_files *open_files(const char *path)
{
    struct tw_model_files *files = NULL;
    struct tw_error error = {0};
    if (tw_model_files_open(path, &files, &error) != TW_OK) {
        fail_msg("%s", error.text);
    }
    return files;
}

static void convert(enum tw_model_mix mix)
{
    struct tw_error error = {0};
    if (tw_model_convert("f", "out.gguf", mix, 2, NULL, NULL, &error) != TW_OK) {
        fail_msg("%s", error.text);
    }
}

static struct tiny_model model_for(const char *arch)
{
    struct tiny_model model = tiny_model_of(arch);
    model.n_vocab = 272; /* more than either tokenizer has: the rest is padding */
    return model;
}

static void check_weights(const struct tiny_model *model, const struct tw_model_files *files)
{
    struct tiny_tensor tensor;
    for (size_t i = 0; tiny_tensor_at(model, i, &tensor); i++) {
        const struct tw_tensor_view *view = tw_model_files_find(files, tensor.gguf_name);
        assert_non_null(view);
        assert_false(view->rows_are_half_split);
        float values[128];
        size_t row_bytes = tw_dtype_row_bytes(view->dtype, tensor.n_columns);
        for (uint64_t row = 0; row < tensor.n_rows; row++) {
            tw_dtype_traits(view->dtype)
                ->dequantise((const char *)view->data + row * row_bytes, values, tensor.n_columns);
            for (uint64_t k = 0; k < tensor.n_columns; k++) {
                assert_true(values[k] == tiny_weight(tensor.gguf_name, row * tensor.n_columns + k));
            }
        }
    }
}

static void the_way_embeddings_are_made_survives(void **state)
{
    (void)state;
    struct tiny_model model = model_for("qwen3");
    enum tw_pooling pooling;
    tiny_write_folder(&model, "f", 1);
    tiny_write_tokenizer("f", tiny_bpe_json(NULL));
    assert_int_equal(mkdir("f/1_Pooling", 0700), 0);
    write_text("f/1_Pooling/config.json", "{\"pooling_mode_mean_tokens\":true}");
    convert(TW_MODEL_MIX_KEEP);
    struct tw_model_files *file = open_files("out.gguf");
    assert_int_equal(tw_model_files_pooling(file, &pooling, NULL), TW_OK);
    assert_int_equal(pooling, TW_POOLING_MEAN);
    tw_model_files_close(file);
}

static void shapes_and_weights_survive(void **state)
{
    (void)state;
    static const char *const archs[] = {"llama", "qwen2", "qwen3", "qwen3moe"};
    const enum tw_dtype dtypes[] = {TW_DTYPE_F32, TW_DTYPE_F16, TW_DTYPE_BF16};
    for (size_t i = 0; i < 8; i++) {
        struct tiny_model model = model_for(archs[i % 4]);
        model.matrix_dtype = dtypes[(i + i / 4) % 3];
        model.tied = i >= 4;
        tiny_write_folder(&model, "f", 1 + (int)i % 2);
        tiny_write_tokenizer("f", tiny_bpe_json(NULL));
        convert(TW_MODEL_MIX_KEEP);
        struct tw_model_files *folder = open_files("f");
        struct tw_model_files *file = open_files("out.gguf");
        struct tw_model_shape a, b;
        memset(&a, 0, sizeof a);
        memset(&b, 0, sizeof b);
        assert_int_equal(tw_model_read_shape(folder, &a, NULL), TW_OK);
        assert_int_equal(tw_model_read_shape(file, &b, NULL), TW_OK);
        assert_int_equal(tw_arch_check_tensors(file, &b, NULL), TW_OK);
        assert_string_equal(a.arch, b.arch);
        assert_memory_equal(&a.n_layers, &b.n_layers, 9 * sizeof a.n_layers);
        assert_true(a.rope.freq_base == b.rope.freq_base);
        assert_int_equal(a.rope.interleaved, b.rope.interleaved);
        assert_int_equal(a.tied_head, b.tied_head);
        assert_memory_equal(&a.n_experts, &b.n_experts, 3 * sizeof a.n_experts);
        assert_int_equal(a.experts_are_normed, b.experts_are_normed);
        assert_int_equal(tw_model_files_find(file, "blk.0.attn_q.weight")->dtype,
                         model.matrix_dtype);
        assert_int_equal(tw_model_files_find(file, "blk.0.attn_norm.weight")->dtype, TW_DTYPE_F32);
        check_weights(&model, file);
        tw_model_files_close(folder);
        tw_model_files_close(file);
        remove("f/model.safetensors");
    }
}

static void a_folder_can_be_quantised_on_the_way(void **state)
{
    (void)state;
    struct tiny_model model = model_for("llama");
    tiny_write_folder(&model, "f", 1);
    tiny_write_tokenizer("f", tiny_bpe_json(NULL));
    convert(TW_MODEL_MIX_Q8_0);
    struct tw_model_files *file = open_files("out.gguf");
    const struct tw_tensor_view *q = tw_model_files_find(file, "blk.1.attn_q.weight");
    assert_int_equal(q->dtype, TW_DTYPE_Q8_0);
    float values[64];
    for (uint64_t row = 0; row < 64; row++) {
        tw_dtype_traits(q->dtype)->dequantise((const char *)q->data + row * 68, values, 64);
        for (uint64_t k = 0; k < 64; k++) {
            double expected = (double)tiny_weight("blk.1.attn_q.weight", row * 64 + k);
            assert_true(fabs((double)values[k] - expected) < 4.0 / 254);
        }
    }
    uint64_t file_type = 0;
    assert_true(tw_model_files_uint(file, "general.file_type", &file_type) && file_type == 7);
    tw_model_files_close(file);
}

static void llama3_scaling_becomes_a_tensor(void **state)
{
    (void)state;
    struct tiny_model model = model_for("llama");
    model.llama3_rope = true;
    tiny_write_folder(&model, "f", 1);
    tiny_write_tokenizer("f", tiny_bpe_json(NULL));
    convert(TW_MODEL_MIX_KEEP);
    struct tw_model_files *folder = open_files("f");
    struct tw_model_files *file = open_files("out.gguf");
    struct tw_model_shape a, b;
    float from_folder[8], from_file[8];
    assert_int_equal(tw_model_read_shape(folder, &a, NULL), TW_OK);
    assert_int_equal(tw_model_read_shape(file, &b, NULL), TW_OK);
    assert_int_equal(b.rope.scaling, TW_ROPE_SCALING_LLAMA3);
    assert_int_equal(tw_arch_check_tensors(file, &b, NULL), TW_OK);
    assert_int_equal(tw_arch_rope_factors(folder, &a, from_folder, NULL), TW_OK);
    assert_int_equal(tw_arch_rope_factors(file, &b, from_file, NULL), TW_OK);
    assert_memory_equal(from_folder, from_file, sizeof from_file);
    assert_true(from_file[0] == 1 && from_file[7] == 8);
    tw_model_files_close(folder);
    tw_model_files_close(file);
}

static void other_scaling_becomes_keys(void **state)
{
    (void)state;
    static const char *const scalings[] = {
        "{\"type\":\"linear\",\"factor\":4.0}",
        "{\"type\":\"yarn\",\"factor\":4.0,\"original_max_position_embeddings\":64}",
        "{\"type\":\"yarn\",\"factor\":2.0,\"attention_factor\":1.5,\"beta_fast\":16.0}"};
    for (size_t i = 0; i < 3; i++) {
        struct tiny_model model = model_for("qwen2");
        tiny_write_folder(&model, "f", 1);
        tiny_write_tokenizer("f", tiny_bpe_json(NULL));
        json_t *config = tiny_config(&model);
        json_object_set_new(config, "rope_scaling", json_loads(scalings[i], 0, NULL));
        char *text = json_dumps(config, 0);
        write_text("f/config.json", text);
        free(text);
        json_decref(config);
        convert(TW_MODEL_MIX_KEEP);
        struct tw_model_files *folder = open_files("f");
        struct tw_model_files *file = open_files("out.gguf");
        struct tw_model_shape a, b;
        assert_int_equal(tw_model_read_shape(folder, &a, NULL), TW_OK);
        assert_int_equal(tw_model_read_shape(file, &b, NULL), TW_OK);
        assert_int_equal(a.rope.scaling, b.rope.scaling);
        assert_true(a.rope.factor == b.rope.factor);
        assert_true(a.rope.original_context_tokens == b.rope.original_context_tokens);
        assert_true(a.rope.beta_fast == b.rope.beta_fast && a.rope.beta_slow == b.rope.beta_slow);
        assert_true(fabs(a.rope.attention_factor - b.rope.attention_factor) < 1e-6);
        tw_model_files_close(folder);
        tw_model_files_close(file);
    }
}

/* ---- tokenizers ---- */

static const char *const texts[] = {
    "",
    "hello",
    " hello hello",
    "hello  hello\n\nhellohello",
    "12121 hellox 12",
    "<|im_start|>hello<|im_end|>\n<tool>",
    "x\xe2\x96\x81hello <s> </s>",
    "h\xc3\xa9llo \xf0\x9f\x98\x80 \xff\x00",
    "e\xcc\x81 \xe4\xbd\xa0\xe5\xa5\xbd",
    "\t  \t hel lo he'll HE'LL",
};

static void check_same_ids(const struct tw_tokenizer *a, const struct tw_tokenizer *b)
{
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        for (int flags = 0; flags < 4; flags++) {
            struct tw_token_list x = {0};
            struct tw_token_list y = {0};
            size_t n = strlen(texts[i]);
            assert_int_equal(tw_tokenizer_encode(a, texts[i], n, flags, &x, NULL), TW_OK);
            assert_int_equal(tw_tokenizer_encode(b, texts[i], n, flags, &y, NULL), TW_OK);
            if (x.n_tokens != y.n_tokens ||
                (x.n_tokens != 0 && memcmp(x.ids, y.ids, x.n_tokens * sizeof *x.ids) != 0)) {
                fail_msg("'%s' (flags %d): %zu and %zu tokens", texts[i], flags, x.n_tokens,
                         y.n_tokens);
            }
            tw_token_list_free(&x);
            tw_token_list_free(&y);
        }
    }
}

static void check_same_tokenizer(void)
{
    struct tw_model_files *folder = open_files("f");
    struct tw_model_files *file = open_files("out.gguf");
    struct tw_tokenizer *a = NULL;
    struct tw_tokenizer *b = NULL;
    struct tw_error error = {0};
    if (tw_model_files_tokenizer(folder, &a, &error) != TW_OK ||
        tw_model_files_tokenizer(file, &b, &error) != TW_OK) {
        fail_msg("%s", error.text);
    }
    check_same_ids(a, b);
    assert_int_equal(tw_tokenizer_size(b), 272);
    assert_int_equal(tw_tokenizer_bos(a), tw_tokenizer_bos(b));
    assert_int_equal(tw_tokenizer_eos(a), tw_tokenizer_eos(b));
    for (tw_token id = 0; id < (tw_token)tw_tokenizer_size(a); id++) {
        assert_int_equal(tw_tokenizer_token_kind(a, id), tw_tokenizer_token_kind(b, id));
        assert_int_equal(tw_tokenizer_ends_generation(a, id), tw_tokenizer_ends_generation(b, id));
    }
    tw_tokenizer_free(a);
    tw_tokenizer_free(b);
    tw_model_files_close(folder);
    tw_model_files_close(file);
}

static void check_text(const char *key, const char *expected)
{
    struct tw_model_files *file = open_files("out.gguf");
    struct tw_bytes text = {"", 0};
    assert_true(tw_model_files_string(file, key, &text));
    assert_int_equal(text.size_bytes, strlen(expected));
    assert_memory_equal(text.data, expected, text.size_bytes);
    tw_model_files_close(file);
}

#define SPLIT(pattern, rest)                                                                       \
    "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":"        \
    "\"" pattern "\"},\"behavior\":\"Isolated\",\"invert\":false}," rest                           \
    "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false}]}"
#define LLAMA3                                                                                     \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}{1,3}| "         \
    "?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"
#define GPT2 "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":true}"

static void a_byte_level_tokenizer_gives_the_same_ids(void **state)
{
    (void)state;
    static const struct {
        const char *pre_tokenizer, *pre;
    } rows[] = {
        {NULL, "qwen2"},
        {SPLIT(LLAMA3, ""), "smaug-bpe"},
        {GPT2, "gpt-2"},
        {"{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\","
         "\"individual_digits\":true}," GPT2 "]}",
         "smollm"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tiny_model model = model_for("qwen2");
        tiny_write_folder(&model, "f", 1);
        tiny_write_tokenizer("f", tiny_bpe_json(rows[i].pre_tokenizer));
        write_text("f/tokenizer_config.json",
                   "{\"eos_token\":\"<|im_end|>\",\"pad_token\":\"<|endoftext|>\","
                   "\"bos_token\":null,\"chat_template\":\"{% for m in messages %}\"}");
        write_text("f/generation_config.json", "{\"eos_token_id\":[264,262,265]}");
        convert(TW_MODEL_MIX_KEEP);
        check_text("tokenizer.ggml.pre", rows[i].pre);
        check_text("tokenizer.ggml.model", "gpt2");
        check_text("tokenizer.chat_template", "{% for m in messages %}");
        check_same_tokenizer();
    }
}

static void a_llama3_tokenizer_gives_the_same_ids(void **state)
{
    (void)state;
    struct tiny_model model = model_for("llama");
    json_t *tokenizer = tiny_bpe_json(SPLIT(LLAMA3, ""));
    json_object_set_new(json_object_get(tokenizer, "model"), "ignore_merges", json_true());
    json_object_set_new(tokenizer, "normalizer", json_null());
    tiny_write_folder(&model, "f", 1);
    tiny_write_tokenizer("f", tokenizer);
    write_text("f/tokenizer_config.json", "{\"bos_token\":\"<|endoftext|>\",\"add_bos_token\":true,"
                                          "\"eos_token\":{\"content\":\"<|im_end|>\"}}");
    convert(TW_MODEL_MIX_KEEP);
    check_text("tokenizer.ggml.pre", "llama-bpe");
    check_same_tokenizer();
}

static void a_sentencepiece_tokenizer_gives_the_same_ids(void **state)
{
    (void)state;
    struct tiny_model model = model_for("llama");
    tiny_write_folder(&model, "f", 1);
    tiny_write_tokenizer("f", tiny_spm_json());
    write_text("f/tokenizer_config.json", "{\"bos_token\":\"<s>\",\"eos_token\":\"</s>\"}");
    convert(TW_MODEL_MIX_KEEP);
    check_text("tokenizer.ggml.model", "llama");
    check_same_tokenizer();
    struct tw_model_files *file = open_files("out.gguf");
    uint64_t n = 0;
    assert_true(tw_model_files_array_length(file, "tokenizer.ggml.scores", &n) && n == 272);
    tw_model_files_close(file);
}

static void expect_refused(json_t *tokenizer, const char *words)
{
    struct tiny_model model = model_for("qwen2");
    struct tw_error error = {0};
    tiny_write_folder(&model, "f", 1);
    tiny_write_tokenizer("f", tokenizer);
    enum tw_status got =
        tw_model_convert("f", "out.gguf", TW_MODEL_MIX_KEEP, 1, NULL, NULL, &error);
    if (got != TW_ERR_UNSUPPORTED || strstr(error.text, words) == NULL) {
        fail_msg("expected '%s', got %s: %s", words, tw_status_name(got), error.text);
    }
    assert_false(tw_file_exists("out.gguf"));
}

static void what_gguf_cannot_say_is_not_dropped_silently(void **state)
{
    (void)state;
    expect_refused(tiny_bpe_json(SPLIT("[a-z]+", "")), "this pre_tokenizer");
    expect_refused(tiny_bpe_json(SPLIT(LLAMA3, "{\"type\":\"Digits\"},")), "this pre_tokenizer");
    expect_refused(tiny_bpe_json("{\"type\":\"ByteLevel\",\"add_prefix_space\":true}"),
                   "this pre_tokenizer");
    json_t *tokenizer = tiny_bpe_json(NULL);
    json_object_set_new(tokenizer, "normalizer",
                        json_pack("{s:s, s:s}", "type", "Prepend", "prepend", "x"));
    expect_refused(tokenizer, "this normalizer");
    tokenizer = tiny_bpe_json(NULL);
    json_object_set_new(json_array_get(json_object_get(tokenizer, "added_tokens"), 0), "lstrip",
                        json_true());
    expect_refused(tokenizer, "lstrip");
    tokenizer = tiny_bpe_json(NULL);
    json_object_set_new(json_object_get(tokenizer, "model"), "ignore_merges", json_true());
    expect_refused(tokenizer, "this pre_tokenizer");
}

/* tiny_spm_json with one part replaced by JSON text. */
static json_t *changed_spm(const char *key, const char *value)
{
    json_t *tokenizer = tiny_spm_json();
    json_object_set_new(tokenizer, key, json_loads(value, JSON_DECODE_ANY, NULL));
    return tokenizer;
}

static void what_a_sentencepiece_file_cannot_say_is_refused(void **state)
{
    (void)state;
    expect_refused(changed_spm("normalizer", "{\"type\":\"NFC\"}"), "this normalizer");
    expect_refused(changed_spm("normalizer", "{\"type\":\"Prepend\",\"prepend\":\"_\"}"),
                   "this normalizer");
    expect_refused(changed_spm("normalizer", "{\"type\":\"Replace\",\"pattern\":{\"String\":"
                                             "\"a\"},\"content\":\"b\"}"),
                   "this normalizer");
    expect_refused(changed_spm("pre_tokenizer", "{\"type\":\"Digits\"}"), "this pre_tokenizer");
    expect_refused(changed_spm("pre_tokenizer",
                               "{\"type\":\"Metaspace\",\"replacement\":\"\u2581\","
                               "\"prepend_scheme\":\"first\",\"split\":true}"),
                   "this pre_tokenizer");
}

static void a_tokenizer_larger_than_the_model_is_refused(void **state)
{
    (void)state;
    struct tiny_model model = tiny_model_of("llama"); /* 40 tokens */
    struct tw_error error = {0};
    tiny_write_folder(&model, "f", 1);
    tiny_write_tokenizer("f", tiny_bpe_json(NULL));
    assert_int_equal(tw_model_convert("f", "out.gguf", TW_MODEL_MIX_KEEP, 1, NULL, NULL, &error),
                     TW_ERR_FORMAT);
    assert_non_null(strstr(error.text, "266 tokens, the model 40"));
    assert_false(tw_file_exists("out.gguf"));
}

static void a_folder_that_is_not_there_is_not_found(void **state)
{
    (void)state;
    struct tw_error error = {0};
    assert_int_equal(
        tw_model_convert("absent", "out.gguf", TW_MODEL_MIX_KEEP, 1, NULL, NULL, &error),
        TW_ERR_NOT_FOUND);
    assert_false(tw_file_exists("out.gguf"));
}

static void a_gguf_file_is_no_folder(void **state)
{
    (void)state;
    struct tiny_model model = tiny_model_of("llama");
    struct tw_error error = {0};
    tiny_write_gguf(&model, "m.gguf");
    assert_int_equal(
        tw_model_convert("m.gguf", "out.gguf", TW_MODEL_MIX_KEEP, 1, NULL, NULL, &error),
        TW_ERR_USAGE);
    assert_false(tw_file_exists("out.gguf"));
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, enter_new_folder, leave_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(shapes_and_weights_survive),
        IN_FOLDER(the_way_embeddings_are_made_survives),
        IN_FOLDER(a_folder_can_be_quantised_on_the_way),
        IN_FOLDER(llama3_scaling_becomes_a_tensor),
        IN_FOLDER(other_scaling_becomes_keys),
        IN_FOLDER(a_byte_level_tokenizer_gives_the_same_ids),
        IN_FOLDER(a_llama3_tokenizer_gives_the_same_ids),
        IN_FOLDER(a_sentencepiece_tokenizer_gives_the_same_ids),
        IN_FOLDER(what_gguf_cannot_say_is_not_dropped_silently),
        IN_FOLDER(what_a_sentencepiece_file_cannot_say_is_refused),
        IN_FOLDER(a_tokenizer_larger_than_the_model_is_refused),
        IN_FOLDER(a_folder_that_is_not_there_is_not_found),
        IN_FOLDER(a_gguf_file_is_no_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
