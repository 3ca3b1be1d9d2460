/* A folder written here is the model it was written from, to our reader and our converter. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "byte_builder.h"
#include "model/arch.h"
#include "model/convert.h"
#include "model/hf_write.h"
#include "model/safetensors.h"
#include "model/safetensors_write.h"
#include "tensor/f16.h"
#include "tiny_tokenizer.h"

/* ---- a model whose weights are a function of name and place ---- */

static struct tw_model_shape shape_of(bool tied)
{
    return (struct tw_model_shape){
        .arch = "qwen3",
        .n_layers = 3,
        .n_embed = 64,
        .n_heads = 4,
        .n_kv_heads = 2,
        .head_dim = 32,
        .n_ffn = 192,
        .n_vocab = TINY_BPE_TOKENS,
        .n_context_tokens = 2048,
        .rms_eps = 1e-6f,
        .rope = {.freq_base = 10000, .factor = 1, .n_dims = 32},
        .has_qk_norm = true,
        .tied_head = tied,
    };
}

/* Any bits that are a number: small and large, subnormal, of either sign. */
static float weight(const char *name, uint64_t i)
{
    uint32_t words[4];
    uint64_t seed = 0;
    for (const char *p = name; *p != '\0'; p++) {
        seed = seed * 131 + (unsigned char)*p;
    }
    tw_rng_block(seed, i, words);
    bool is_number = (words[0] & 0x7f800000u) != 0x7f800000u;
    return is_number ? tw_f32_from_bits(words[0]) : 0.5f;
}

/* The weights of one tensor at a time, as a trainer would point at its own. */
struct weights {
    float *values;
    const char *missing;
    size_t n_asked;
};

static const float *give(void *context, const char *name, uint64_t n_values)
{
    struct weights *weights = context;
    weights->n_asked++;
    if (weights->missing != NULL && strcmp(name, weights->missing) == 0) {
        return NULL;
    }
    weights->values = tw_mem_realloc(weights->values, n_values, sizeof(float));
    assert_non_null(weights->values);
    for (uint64_t i = 0; i < n_values; i++) {
        weights->values[i] = weight(name, i);
    }
    return weights->values;
}

static struct tw_hf_model model_of(const struct tw_model_shape *shape, enum tw_dtype dtype,
                                   struct weights *weights)
{
    return (struct tw_hf_model){.shape = shape,
                                .dtype = dtype,
                                .eos = 264,
                                .pad = 262,
                                .tensor = give,
                                .tensor_context = weights};
}

static void write_folder(const struct tw_hf_model *model)
{
    struct tw_error error = {0};
    if (tw_hf_write_folder("f", model, &error) != TW_OK) {
        fail_msg("%s", error.text);
    }
}

/* ---- reading it back ---- */

static struct tw_model_files *open_files(const char *path)
{
    struct tw_model_files *files = NULL;
    struct tw_error error = {0};
    if (tw_model_files_open(path, &files, &error) != TW_OK) {
        fail_msg("%s", error.text);
    }
    return files;
}

static void check_shape(const json_t *config, const struct tw_model_shape *shape)
{
    struct tw_model_shape read;
    struct tw_error error = {0};
    memset(&read, 0, sizeof read);
    if (tw_arch_read_config(config, &read, &error) != TW_OK) {
        fail_msg("%s", error.text);
    }
    assert_string_equal(read.arch, shape->arch);
    assert_int_equal(read.n_layers, shape->n_layers);
    assert_int_equal(read.n_embed, shape->n_embed);
    assert_int_equal(read.n_heads, shape->n_heads);
    assert_int_equal(read.n_kv_heads, shape->n_kv_heads);
    assert_int_equal(read.head_dim, shape->head_dim);
    assert_int_equal(read.n_ffn, shape->n_ffn);
    assert_int_equal(read.n_vocab, shape->n_vocab);
    assert_int_equal(read.n_context_tokens, shape->n_context_tokens);
    assert_true(read.rms_eps == shape->rms_eps);
    assert_true(read.rope.freq_base == shape->rope.freq_base);
    assert_int_equal(read.rope.scaling, TW_ROPE_SCALING_NONE);
    assert_int_equal(read.tied_head, shape->tied_head);
    assert_true(read.has_qk_norm && !read.has_qkv_bias);
}

/* The bits the weight has in the file. */
static uint32_t bits_in(enum tw_dtype dtype, float value)
{
    return dtype == TW_DTYPE_F32   ? tw_f32_bits(value)
           : dtype == TW_DTYPE_F16 ? tw_f32_to_f16(value)
                                   : tw_f32_to_bf16(value);
}

static void check_tensor(const struct tw_tensor_view *view, const char *hf_name,
                         enum tw_dtype dtype)
{
    size_t value_bytes = dtype == TW_DTYPE_F32 ? 4 : 2;
    assert_int_equal(view->dtype, dtype);
    for (uint64_t i = 0; i < view->shape[0] * view->shape[1]; i++) {
        uint32_t bits = 0;
        memcpy(&bits, (const char *)view->data + i * value_bytes, value_bytes);
        assert_int_equal(bits, bits_in(dtype, weight(hf_name, i)));
    }
}

static size_t check_weights(const struct tw_model_files *files, const struct tw_model_shape *shape,
                            enum tw_dtype dtype)
{
    size_t n = 0;
    for (const struct tw_arch_tensor *row = tw_arch_qwen3.tensors; row->gguf_name != NULL; row++) {
        uint32_t n_layers = tw_arch_tensor_layers(row, shape);
        for (uint32_t layer = 0; layer < n_layers; layer++) {
            char name[TW_ARCH_NAME_BYTES], hf_name[TW_ARCH_NAME_BYTES];
            tw_arch_tensor_name(row, layer, name);
            tw_arch_tensor_hf_name(row, layer, hf_name);
            const struct tw_tensor_view *view = tw_model_files_find(files, name);
            assert_int_equal(view != NULL, tw_arch_tensor_is_needed(row, shape));
            if (view != NULL) {
                check_tensor(view, hf_name, dtype);
                n++;
            }
        }
    }
    return n;
}

static void check_folder(enum tw_dtype dtype, bool tied)
{
    struct tw_model_shape shape = shape_of(tied);
    struct weights weights = {0};
    struct tw_hf_model model = model_of(&shape, dtype, &weights);
    write_folder(&model);
    struct tw_model_files *files = open_files("f");
    assert_int_equal(tw_arch_check_tensors(files, &shape, NULL), TW_OK);
    check_shape(tw_model_files_config(files), &shape);
    size_t n = check_weights(files, &shape, dtype);
    assert_int_equal(n, tied ? 2 + 3 * 11 : 3 + 3 * 11);
    assert_int_equal(weights.n_asked, n);
    assert_int_equal(tw_model_files_count(files), n);
    tw_model_files_close(files);
    tw_mem_free(weights.values);
}

static void a_folder_is_read_back_with_its_numbers_and_its_weights_bit_for_bit(void **state)
{
    (void)state;
    check_folder(TW_DTYPE_F32, true);
    check_folder(TW_DTYPE_F32, false);
}

static void halves_are_the_weights_rounded_to_nearest_even(void **state)
{
    (void)state;
    check_folder(TW_DTYPE_BF16, true);
    check_folder(TW_DTYPE_F16, false);
}

static void the_tokens_that_end_an_answer_are_in_the_generation_config(void **state)
{
    (void)state;
    struct tw_model_shape shape = shape_of(true);
    struct weights weights = {0};
    struct tw_hf_model model = model_of(&shape, TW_DTYPE_F32, &weights);
    struct tw_buf buf;
    tw_buf_init(&buf, 4096);
    tw_hf_write_generation_config(&model, &buf);
    assert_true(tw_buf_append(&buf, "", 1));
    assert_string_equal(buf.data, "{\"eos_token_id\":[264,262],\"pad_token_id\":262}");
    model.pad = model.eos;
    tw_buf_clear(&buf);
    tw_hf_write_generation_config(&model, &buf);
    assert_true(tw_buf_append(&buf, "", 1));
    assert_string_equal(buf.data, "{\"eos_token_id\":[264],\"pad_token_id\":264}");
    tw_buf_free(&buf);
}

static void numbers_are_written_as_people_write_them(void **state)
{
    (void)state;
    struct tw_model_shape shape = shape_of(true);
    struct weights weights = {0};
    struct tw_hf_model model = model_of(&shape, TW_DTYPE_BF16, &weights);
    struct tw_buf buf;
    tw_buf_init(&buf, 4096);
    tw_hf_write_config(&model, &buf);
    assert_true(tw_buf_append(&buf, "", 1));
    assert_non_null(strstr(buf.data, "\"architectures\":[\"Qwen3ForCausalLM\"]"));
    assert_non_null(strstr(buf.data, "\"torch_dtype\":\"bfloat16\""));
    assert_non_null(strstr(buf.data, "\"rms_norm_eps\":1e-06,"));
    tw_buf_clear(&buf);
    shape.rms_eps = 1.2345678e-5f; /* more digits than people write */
    tw_hf_write_config(&model, &buf);
    json_t *config = NULL;
    assert_int_equal(tw_json_parse(buf.data, buf.size_bytes, "config.json", &config, NULL), TW_OK);
    check_shape(config, &shape);
    json_decref(config);
    tw_buf_free(&buf);
}

/* ---- the way to GGUF ---- */

static void a_folder_with_a_tokenizer_becomes_a_gguf_file(void **state)
{
    (void)state;
    struct tw_model_shape shape = shape_of(true);
    struct weights weights = {0};
    struct tw_hf_model model = model_of(&shape, TW_DTYPE_F32, &weights);
    json_t *tokenizer = tiny_bpe_json(NULL);
    char *text = json_dumps(tokenizer, 0);
    assert_non_null(text);
    model.tokenizer_json = tw_bytes_of(text);
    model.tokenizer_config =
        tw_bytes_of("{\"eos_token\": \"<|im_end|>\", \"chat_template\": \"{{ x }}\"}");
    write_folder(&model);
    free(text);
    json_decref(tokenizer);
    struct tw_error error = {0};
    if (tw_model_convert("f", "out.gguf", TW_MODEL_MIX_KEEP, 1, NULL, NULL, &error) != TW_OK) {
        fail_msg("%s", error.text);
    }
    struct tw_model_files *files = open_files("out.gguf");
    struct tw_tokenizer *read = NULL;
    assert_int_equal(check_weights(files, &shape, TW_DTYPE_F32), 35);
    assert_int_equal(tw_model_files_tokenizer(files, &read, NULL), TW_OK);
    assert_int_equal(tw_tokenizer_size(read), TINY_BPE_TOKENS);
    assert_true(tw_bytes_equal(tw_model_files_chat_template(files), tw_bytes_of("{{ x }}")));
    tw_tokenizer_free(read);
    tw_model_files_close(files);
    tw_mem_free(weights.values);
}

/* ---- what does not succeed ---- */

static void without_a_tensor_there_is_no_model(void **state)
{
    (void)state;
    struct tw_model_shape shape = shape_of(true);
    struct weights weights = {.missing = "model.layers.1.mlp.up_proj.weight"};
    struct tw_hf_model model = model_of(&shape, TW_DTYPE_BF16, &weights);
    struct tw_error error = {0};
    assert_int_equal(tw_hf_write_folder("f", &model, &error), TW_ERR_NOT_FOUND);
    assert_non_null(strstr(error.text, weights.missing));
    assert_true(tw_file_is_directory("f"));
    assert_false(tw_file_exists("f/config.json"));
    assert_false(tw_file_exists("f/model.safetensors"));
    tw_mem_free(weights.values);
}

static void a_shape_that_the_files_cannot_say_is_refused(void **state)
{
    (void)state;
    struct tw_model_shape shape = shape_of(true);
    struct weights weights = {0};
    struct tw_hf_model model = model_of(&shape, TW_DTYPE_F32, &weights);
    shape.rope.scaling = TW_ROPE_SCALING_YARN;
    assert_int_equal(tw_hf_write_folder("f", &model, NULL), TW_ERR_UNSUPPORTED);
    shape = shape_of(true);
    snprintf(shape.arch, sizeof shape.arch, "llama");
    assert_int_equal(tw_hf_write_folder("f", &model, NULL), TW_ERR_UNSUPPORTED);
    assert_false(tw_file_exists("f"));
}

static void a_folder_that_cannot_be_made_is_named(void **state)
{
    (void)state;
    struct tw_error error = {0};
    write_text("file", "x");
    assert_int_equal(tw_file_make_directory("file", &error), TW_ERR_IO);
    assert_non_null(strstr(error.text, "'file'"));
    assert_int_equal(tw_file_make_directory("no/where", &error), TW_ERR_NOT_FOUND);
    assert_int_equal(tw_file_make_directory("new", &error), TW_OK);
    assert_int_equal(tw_file_make_directory("new", &error), TW_OK);
}

/* ---- the safetensors writer by itself ---- */

static void data_in_pieces_of_any_size_lies_where_the_header_says(void **state)
{
    (void)state;
    const uint64_t matrix[] = {3, 2}, vector[] = {5};
    const float values[6] = {1, 2, 3, -4, 5e-40f, 6};
    const uint16_t halves[5] = {1, 2, 3, 4, 5};
    struct tw_safetensors_writer *writer = NULL;
    assert_int_equal(tw_safetensors_writer_open("a.safetensors", &writer, NULL), TW_OK);
    tw_safetensors_add_tensor(writer, "m", TW_DTYPE_F32, matrix, 2);
    tw_safetensors_add_tensor(writer, "v", TW_DTYPE_BF16, vector, 1);
    assert_int_equal(tw_safetensors_writer_begin(writer, NULL), TW_OK);
    assert_int_equal(tw_safetensors_writer_data(writer, values, 7, NULL), TW_OK);
    assert_int_equal(tw_safetensors_writer_data(writer, (const char *)values + 7, 17, NULL), TW_OK);
    assert_int_equal(tw_safetensors_writer_data(writer, halves, 10, NULL), TW_OK);
    assert_false(tw_file_exists("a.safetensors"));
    assert_int_equal(tw_safetensors_writer_commit(writer, NULL), TW_OK);

    struct tw_file_map map;
    struct tw_safetensors *file = NULL;
    uint64_t header_bytes = 0;
    assert_int_equal(tw_file_map_open("a.safetensors", &map, NULL), TW_OK);
    memcpy(&header_bytes, map.data, sizeof header_bytes);
    assert_int_equal((8 + header_bytes) % 64, 0);
    tw_file_map_close(&map);
    assert_int_equal(tw_safetensors_open("a.safetensors", &file, NULL), TW_OK);
    const struct tw_tensor_view *m = tw_safetensors_find(file, "m");
    const struct tw_tensor_view *v = tw_safetensors_find(file, "v");
    assert_true(m->shape[0] == 3 && m->shape[1] == 2 && v->shape[0] == 5 && v->shape[1] == 1);
    assert_memory_equal(m->data, values, sizeof values);
    assert_memory_equal(v->data, halves, sizeof halves);
    tw_safetensors_close(file);
}

static void an_abandoned_file_leaves_nothing(void **state)
{
    (void)state;
    const uint64_t vector[] = {5};
    struct tw_safetensors_writer *writer = NULL;
    assert_int_equal(tw_safetensors_writer_open("a.safetensors", &writer, NULL), TW_OK);
    tw_safetensors_add_tensor(writer, "v", TW_DTYPE_F32, vector, 1);
    assert_int_equal(tw_safetensors_writer_begin(writer, NULL), TW_OK);
    tw_safetensors_writer_abort(writer);
    tw_safetensors_writer_abort(NULL);
    assert_false(tw_file_exists("a.safetensors"));
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, enter_new_folder, leave_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(a_folder_is_read_back_with_its_numbers_and_its_weights_bit_for_bit),
        IN_FOLDER(halves_are_the_weights_rounded_to_nearest_even),
        IN_FOLDER(the_tokens_that_end_an_answer_are_in_the_generation_config),
        IN_FOLDER(numbers_are_written_as_people_write_them),
        IN_FOLDER(a_folder_with_a_tokenizer_becomes_a_gguf_file),
        IN_FOLDER(without_a_tensor_there_is_no_model),
        IN_FOLDER(a_shape_that_the_files_cannot_say_is_refused),
        IN_FOLDER(a_folder_that_cannot_be_made_is_named),
        IN_FOLDER(data_in_pieces_of_any_size_lies_where_the_header_says),
        IN_FOLDER(an_abandoned_file_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
