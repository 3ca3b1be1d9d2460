/* A model is the same model as a GGUF file, as a split one, and as a Hugging Face folder. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/limits.h"
#include "byte_builder.h"
#include "model/tensors.h"
#include "tiny_model.h"

static const char *const archs[] = {"llama", "qwen2", "qwen3", "qwen3moe"};

enum { N_ARCHS = sizeof archs / sizeof archs[0] };

static struct tw_model_files *open_files(const char *path)
{
    struct tw_model_files *files = NULL;
    struct tw_error error = {0};
    if (tw_model_files_open(path, &files, &error) != TW_OK) {
        fail_msg("%s", error.text);
    }
    return files;
}

static void expect_failure(const char *path, enum tw_status status, const char *words)
{
    struct tw_model_files *files = NULL;
    struct tw_error error = {0};
    enum tw_status got = tw_model_files_open(path, &files, &error);
    if (got != status || strstr(error.text, words) == NULL) {
        fail_msg("expected %s with '%s', got %s: %s", tw_status_name(status), words,
                 tw_status_name(got), error.text);
    }
    assert_null(files);
}

/* Every weight, read through the row map, is the one the model was made with. */
static void check_weights(const struct tiny_model *model, const struct tw_model_files *files)
{
    struct tiny_tensor tensor;
    size_t n = 0;
    for (; tiny_tensor_at(model, n, &tensor); n++) {
        const struct tw_tensor_view *view = tw_model_files_find(files, tensor.gguf_name);
        assert_non_null(view);
        assert_int_equal(view->shape[0], tensor.n_columns);
        assert_int_equal(view->shape[1] * view->shape[2], tensor.n_rows);
        assert_int_equal(view->shape[2], tensor.n_experts);
        const struct tw_dtype_traits *traits = tw_dtype_traits(view->dtype);
        uint32_t map[128];
        assert_true(view->shape[1] <= 128);
        tw_tensor_row_map(view, tensor.rotated_heads != 0 ? tensor.rotated_heads : 1, map);
        float values[128];
        for (uint64_t row = 0; row < tensor.n_rows; row++) {
            uint64_t in_slice = map[row % view->shape[1]];
            const char *data = (const char *)tw_tensor_slice(view, row / view->shape[1]) +
                               in_slice * tensor.n_columns * traits->block_bytes;
            traits->dequantise(data, values, tensor.n_columns);
            for (uint64_t i = 0; i < tensor.n_columns; i++) {
                float expected = tiny_weight(tensor.gguf_name, row * tensor.n_columns + i);
                assert_true(values[i] == expected);
            }
        }
    }
    assert_int_equal(tw_model_files_count(files), n);
}

static void a_gguf_file_has_the_models_weights(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ARCHS; i++) {
        struct tiny_model model = tiny_model_of(archs[i]);
        tiny_write_gguf(&model, "m.gguf");
        struct tw_model_files *files = open_files("m.gguf");
        assert_int_equal(tw_model_files_source(files), TW_MODEL_GGUF);
        assert_non_null(tw_model_files_gguf(files));
        assert_null(tw_model_files_folder(files));
        assert_null(tw_model_files_config(files));
        check_weights(&model, files);
        assert_null(tw_model_files_find(files, "blk.2.attn_q.weight"));
        tw_model_files_close(files);
    }
}

static void a_folder_has_the_models_weights_in_every_type(void **state)
{
    (void)state;
    const enum tw_dtype dtypes[] = {TW_DTYPE_F32, TW_DTYPE_F16, TW_DTYPE_BF16};
    for (size_t i = 0; i < N_ARCHS; i++) {
        for (int n_files = 1; n_files <= 3; n_files++) {
            char folder[32];
            snprintf(folder, sizeof folder, "%s-%d", archs[i], n_files);
            struct tiny_model model = tiny_model_of(archs[i]);
            model.matrix_dtype = dtypes[n_files - 1];
            tiny_write_folder(&model, folder, n_files);
            struct tw_model_files *files = open_files(folder);
            assert_int_equal(tw_model_files_source(files), TW_MODEL_HF_FOLDER);
            assert_non_null(tw_model_files_config(files));
            assert_null(tw_model_files_generation_config(files));
            check_weights(&model, files);
            const struct tw_tensor_view *q = tw_model_files_find(files, "blk.1.attn_q.weight");
            const struct tw_tensor_view *v = tw_model_files_find(files, "blk.1.attn_v.weight");
            assert_int_equal(q->rows_are_half_split, i == 0);
            assert_false(v->rows_are_half_split);
            tw_model_files_close(files);
        }
    }
}

static void any_file_of_a_folder_opens_it(void **state)
{
    (void)state;
    struct tiny_model model = tiny_model_of("qwen3");
    tiny_write_folder(&model, "f", 2);
    static const char *const paths[] = {"f", "f/", "f/config.json",
                                        "f/model.safetensors.index.json",
                                        "f/model-00002-of-00002.safetensors"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        struct tw_model_files *files = open_files(paths[i]);
        check_weights(&model, files);
        tw_model_files_close(files);
    }
}

static void half_split_rows_become_pairs(void **state)
{
    (void)state;
    struct tw_tensor_view view = {.shape = {1, 8, 1, 1}, .rows_are_half_split = true};
    uint32_t map[8];
    tw_tensor_row_map(&view, 2, map);
    const uint32_t expected[] = {0, 2, 1, 3, 4, 6, 5, 7};
    assert_memory_equal(map, expected, sizeof map);
    view.rows_are_half_split = false;
    tw_tensor_row_map(&view, 2, map);
    for (uint32_t i = 0; i < 8; i++) {
        assert_int_equal(map[i], i);
    }
}

/* ---- split GGUF files ---- */

struct split {
    const char *path;
    int no, count;       /* -1: without the key */
    int tensors_count;   /* likewise */
    const char *tensors; /* one letter each */
};

static void write_split(const struct split *split)
{
    struct tw_gguf_writer *writer = NULL;
    const uint64_t shape[TW_TENSOR_DIMS] = {1, 1, 1, 1};
    assert_int_equal(tw_gguf_writer_open(split->path, &writer, NULL), TW_OK);
    if (split->no == 0) {
        tw_gguf_put_text(writer, "general.architecture", "llama");
    }
    if (split->no >= 0) {
        tw_gguf_put_int(writer, "split.no", TW_GGUF_UINT16, split->no);
    }
    if (split->count >= 0) {
        tw_gguf_put_int(writer, "split.count", TW_GGUF_UINT16, split->count);
    }
    if (split->tensors_count >= 0) {
        tw_gguf_put_int(writer, "split.tensors.count", TW_GGUF_INT32, split->tensors_count);
    }
    for (const char *p = split->tensors; *p != '\0'; p++) {
        char name[2] = {*p, '\0'};
        tw_gguf_add_tensor(writer, name, TW_DTYPE_F32, shape);
    }
    assert_int_equal(tw_gguf_writer_begin(writer, NULL), TW_OK);
    for (const char *p = split->tensors; *p != '\0'; p++) {
        float value = (float)*p;
        assert_int_equal(tw_gguf_writer_data(writer, &value, sizeof value, NULL), TW_OK);
    }
    assert_int_equal(tw_gguf_writer_commit(writer, NULL), TW_OK);
}

static void a_split_model_is_one_model(void **state)
{
    (void)state;
    write_split(&(struct split){"m-00001-of-00003.gguf", 0, 3, 5, "ab"});
    write_split(&(struct split){"m-00002-of-00003.gguf", 1, 3, 5, "cd"});
    write_split(&(struct split){"m-00003-of-00003.gguf", 2, 3, 5, "e"});
    struct tw_model_files *files = open_files("m-00001-of-00003.gguf");
    assert_int_equal(tw_model_files_count(files), 5);
    for (const char *p = "abcde"; *p != '\0'; p++) {
        char name[2] = {*p, '\0'};
        const struct tw_tensor_view *view = tw_model_files_find(files, name);
        float value = 0;
        assert_non_null(view);
        memcpy(&value, view->data, sizeof value);
        assert_true(value == (float)*p);
    }
    struct tw_bytes arch;
    assert_true(tw_model_files_string(files, "general.architecture", &arch));
    tw_model_files_close(files);
}

static void a_split_without_tensors_in_its_first_file_opens(void **state)
{
    (void)state;
    write_split(&(struct split){"m-00001-of-00002.gguf", 0, 2, 2, ""});
    write_split(&(struct split){"m-00002-of-00002.gguf", 1, 2, 2, "ab"});
    struct tw_model_files *files = open_files("m-00001-of-00002.gguf");
    assert_int_equal(tw_model_files_count(files), 2);
    tw_model_files_close(files);
}

static void what_is_wrong_with_a_split_is_said(void **state)
{
    (void)state;
    write_split(&(struct split){"a-00001-of-00002.gguf", 0, 2, 2, "a"});
    expect_failure("a-00001-of-00002.gguf", TW_ERR_NOT_FOUND, "a-00002-of-00002.gguf");
    write_split(&(struct split){"a-00002-of-00002.gguf", 0, 2, 2, "b"});
    expect_failure("a-00001-of-00002.gguf", TW_ERR_FORMAT, "expected split.no 1");
    write_split(&(struct split){"a-00002-of-00002.gguf", 1, 3, 2, "b"});
    expect_failure("a-00001-of-00002.gguf", TW_ERR_FORMAT, "split.count 2");
    write_split(&(struct split){"a-00002-of-00002.gguf", -1, -1, -1, "b"});
    expect_failure("a-00001-of-00002.gguf", TW_ERR_FORMAT, "expected split.no 1");
    write_split(&(struct split){"a-00002-of-00002.gguf", 1, 2, 2, "a"});
    expect_failure("a-00001-of-00002.gguf", TW_ERR_FORMAT, "'a' is in two of the model's files");
    write_split(&(struct split){"a-00002-of-00002.gguf", 1, 2, 2, "bc"});
    expect_failure("a-00001-of-00002.gguf", TW_ERR_FORMAT,
                   "split.tensors.count is 2, the files have 3");
    write_split(&(struct split){"a-00002-of-00002.gguf", 1, 2, 2, "b"});
    expect_failure("a-00002-of-00002.gguf", TW_ERR_USAGE, "name the first one");
    write_split(&(struct split){"renamed.gguf", 0, 2, 2, "a"});
    expect_failure("renamed.gguf", TW_ERR_FORMAT, "must end in -00001-of-00002.gguf");
    write_split(&(struct split){"big-00001-of-00600.gguf", 0, 600, 2, "a"});
    expect_failure("big-00001-of-00600.gguf", TW_ERR_LIMIT, "600 files");
}

/* Each file alone is within the limit. */
static void write_many(const char *path, int no, uint32_t n)
{
    struct tw_gguf_writer *writer = NULL;
    const uint64_t shape[TW_TENSOR_DIMS] = {1, 1, 1, 1};
    const float value = 0;
    assert_int_equal(tw_gguf_writer_open(path, &writer, NULL), TW_OK);
    tw_gguf_put_u32(writer, "split.no", (uint32_t)no);
    tw_gguf_put_u32(writer, "split.count", 2);
    for (uint32_t i = 0; i < n; i++) {
        char name[32];
        snprintf(name, sizeof name, "%d.%u", no, i);
        tw_gguf_add_tensor(writer, name, TW_DTYPE_F32, shape);
    }
    assert_int_equal(tw_gguf_writer_begin(writer, NULL), TW_OK);
    for (uint32_t i = 0; i < n; i++) {
        assert_int_equal(tw_gguf_writer_data(writer, &value, sizeof value, NULL), TW_OK);
    }
    assert_int_equal(tw_gguf_writer_commit(writer, NULL), TW_OK);
}

static void too_many_tensors_in_a_split_are_refused(void **state)
{
    (void)state;
    write_many("m-00001-of-00002.gguf", 0, 40000);
    write_many("m-00002-of-00002.gguf", 1, 40000);
    expect_failure("m-00001-of-00002.gguf", TW_ERR_LIMIT, "80000 tensors");
}

/* ---- folders ---- */

static void what_a_folder_lacks_is_said(void **state)
{
    (void)state;
    mkdir("f", 0777);
    expect_failure("f", TW_ERR_NOT_FOUND, "config.json");
    write_text("f/config.json", "{\"model_type\":");
    expect_failure("f", TW_ERR_FORMAT, "not valid JSON");
    write_text("f/config.json", "[1]");
    expect_failure("f", TW_ERR_FORMAT, "expected a JSON object");
    write_text("f/config.json", "{}");
    expect_failure("f", TW_ERR_FORMAT, "model_type");
    write_text("f/config.json", "{\"model_type\":\"gemma3\"}");
    expect_failure("f", TW_ERR_UNSUPPORTED, "'gemma3' is not supported; known are llama, qwen2");
    write_text("f/config.json", "{\"model_type\":\"qwen2\",\"architectures\":"
                                "[\"Qwen2ForSequenceClassification\"]}");
    expect_failure("f", TW_ERR_UNSUPPORTED, "Qwen2ForSequenceClassification");
    write_text("f/config.json", "{\"model_type\":\"qwen2\"}");
    expect_failure("f", TW_ERR_NOT_FOUND, "neither model.safetensors nor");
    write_text("f/generation_config.json", "nonsense");
    expect_failure("f", TW_ERR_FORMAT, "generation_config.json");
    expect_failure("absent", TW_ERR_NOT_FOUND, "absent");
}

static void expect_index_failure(const char *index, enum tw_status status, const char *words)
{
    write_text("f/model.safetensors.index.json", index);
    expect_failure("f", status, words);
}

static void a_wrong_index_is_refused(void **state)
{
    (void)state;
    struct tiny_model model = tiny_model_of("llama");
    tiny_write_folder(&model, "f", 2);
    expect_index_failure("{", TW_ERR_FORMAT, "not valid JSON");
    expect_index_failure("{}", TW_ERR_FORMAT, "expected an object under weight_map");
    expect_index_failure("{\"weight_map\":[]}", TW_ERR_FORMAT, "expected an object");
    expect_index_failure("{\"weight_map\":{\"a\":7}}", TW_ERR_FORMAT, "tensor 'a'");
    expect_index_failure("{\"weight_map\":{\"a\":\"../model-00001-of-00002.safetensors\"}}",
                         TW_ERR_FORMAT, "a file in the folder");
    expect_index_failure("{\"weight_map\":{\"a\":\"..\"}}", TW_ERR_FORMAT, "a file in the folder");
    expect_index_failure("{\"weight_map\":{\"a\":\"absent.safetensors\"}}", TW_ERR_NOT_FOUND,
                         "absent.safetensors");
    expect_index_failure("{\"weight_map\":{\"a\":\"model-00001-of-00002.safetensors\"}}",
                         TW_ERR_NOT_FOUND,
                         "tensor 'a' is not in 'model-00001-of-00002.safetensors'");
}

static void an_index_of_too_many_files_is_refused(void **state)
{
    (void)state;
    struct tiny_model model = tiny_model_of("llama");
    tiny_write_folder(&model, "f", 2);
    json_t *map = json_object();
    for (int i = 0; i <= TW_LIMIT_MODEL_SHARDS; i++) {
        char name[32];
        snprintf(name, sizeof name, "%d.safetensors", i);
        json_object_set_new(map, name, json_string(name));
    }
    json_t *index = json_pack("{s:o}", "weight_map", map);
    char *text = json_dumps(index, 0);
    expect_index_failure(text, TW_ERR_LIMIT, "more than 512 files");
    free(text);
    json_decref(index);
}

static void write_many_safetensors(const char *path, char first)
{
    struct builder header = {0};
    struct builder file = {0};
    for (int i = 0; i < 40000; i++) {
        char entry[96];
        int n = snprintf(entry, sizeof entry,
                         "%c\"%c%d\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[%d,%d]}",
                         i == 0 ? '{' : ',', first, i, 4 * i, 4 * i + 4);
        build_bytes(&header, entry, (size_t)n);
    }
    build_bytes(&header, "}", 1);
    while (header.size_bytes % 8 != 0) {
        build_bytes(&header, " ", 1);
    }
    build_u64(&file, header.size_bytes);
    build_bytes(&file, header.data, header.size_bytes);
    build_zeros(&file, (size_t)4 * 40000);
    builder_write(&file, path);
    builder_free(&header);
    builder_free(&file);
}

static void too_many_tensors_in_a_folder_are_refused(void **state)
{
    (void)state;
    struct tiny_model model = tiny_model_of("llama");
    tiny_write_folder(&model, "f", 2);
    write_many_safetensors("f/a.safetensors", 'a');
    write_many_safetensors("f/b.safetensors", 'b');
    expect_index_failure("{\"weight_map\":{\"a0\":\"a.safetensors\",\"b0\":\"b.safetensors\"}}",
                         TW_ERR_LIMIT, "80000 tensors");
}

static void tensors_the_architecture_does_not_have_are_refused(void **state)
{
    (void)state;
    struct tiny_model model = tiny_model_of("llama");
    model.extra = "model.layers.0.mlp.experts.0.up_proj.weight";
    tiny_write_folder(&model, "f", 1);
    expect_failure("f", TW_ERR_UNSUPPORTED, "mlp.experts.0.up_proj.weight");
}

static void a_missing_expert_is_named(void **state)
{
    (void)state;
    struct tiny_model model = tiny_model_of("qwen3moe");
    model.left_out_of_folder = "model.layers.1.mlp.experts.3.down_proj.weight";
    tiny_write_folder(&model, "f", 2);
    expect_failure("f", TW_ERR_NOT_FOUND, "expert 3 for 'blk.1.ffn_down_exps.weight'");
}

/* A folder whose config.json says something else than its tensors. */
static void expect_folder_with(const char *members, enum tw_status status, const char *words)
{
    struct tiny_model model = tiny_model_of("qwen3moe");
    json_t *config = tiny_config(&model);
    json_t *changes = json_loads(members, 0, NULL);
    tiny_write_folder(&model, "f", 1);
    json_object_update(config, changes);
    char *text = json_dumps(config, 0);
    write_text("f/config.json", text);
    free(text);
    json_decref(changes);
    json_decref(config);
    expect_failure("f", status, words);
}

static void experts_must_be_those_that_the_config_counts(void **state)
{
    (void)state;
    expect_folder_with("{\"num_experts\":4}", TW_ERR_UNSUPPORTED, "but 2 layers of 4 experts");
    expect_folder_with("{\"num_experts\":6}", TW_ERR_NOT_FOUND, "no matrix of expert 5");
    expect_folder_with("{\"num_hidden_layers\":1}", TW_ERR_UNSUPPORTED, "1 layers of 5 experts");
    expect_folder_with("{\"num_experts\":0}", TW_ERR_FORMAT, "num_experts");
    expect_folder_with("{\"num_experts\":1000000000}", TW_ERR_LIMIT, "num_experts");
}

static void an_expert_of_another_shape_or_twice_is_refused(void **state)
{
    (void)state;
    struct tiny_model model = tiny_model_of("qwen3moe");
    model.left_out_of_folder = "model.layers.0.mlp.experts.2.up_proj.weight";
    model.extra = "layers.0.mlp.experts.2.up_proj.weight"; /* a vector, in the short spelling */
    tiny_write_folder(&model, "f", 1);
    expect_failure("f", TW_ERR_FORMAT, "another type or shape than those of other experts");
    model.left_out_of_folder = NULL;
    tiny_write_folder(&model, "g", 1);
    expect_failure("g", TW_ERR_FORMAT, "'layers.0.mlp.experts.2.up_proj.weight' is there twice");
}

static void what_follows_from_the_shape_is_left_out(void **state)
{
    (void)state;
    struct tiny_model model = tiny_model_of("llama");
    model.extra = "model.layers.0.self_attn.rotary_emb.inv_freq";
    tiny_write_folder(&model, "f", 1);
    struct tw_model_files *files = open_files("f");
    struct tiny_tensor tensor;
    size_t n = 0;
    for (; tiny_tensor_at(&model, n, &tensor); n++) {
    }
    assert_int_equal(tw_model_files_count(files), n - 1);
    tw_model_files_close(files);
}

static void a_head_beside_a_tied_embedding_is_left_out(void **state)
{
    (void)state;
    struct tiny_model model = tiny_model_of("qwen2");
    model.tied = true;
    model.extra = "lm_head.weight";
    tiny_write_folder(&model, "f", 1);
    struct tw_model_files *files = open_files("f");
    assert_null(tw_model_files_find(files, "output.weight"));
    tw_model_files_close(files);
}

static void check_template(const char *expected)
{
    struct tw_model_files *files = open_files("f");
    struct tw_bytes text = tw_model_files_chat_template(files);
    assert_int_equal(text.size_bytes, strlen(expected));
    assert_memory_equal(text.data, expected, text.size_bytes);
    tw_model_files_close(files);
}

static void the_chat_template_is_found_where_it_may_be(void **state)
{
    (void)state;
    struct tiny_model model = tiny_model_of("qwen2");
    tiny_write_folder(&model, "f", 1);
    check_template("");
    write_text("f/tokenizer_config.json", "{\"chat_template\":\"{{ one }}\"}");
    check_template("{{ one }}");
    write_text("f/tokenizer_config.json",
               "{\"chat_template\":[{\"name\":\"tools\",\"template\":\"t\"},"
               "{\"name\":\"default\",\"template\":\"two\"}]}");
    check_template("two");
    write_text("f/chat_template.jinja", "{{ three }}\n");
    check_template("{{ three }}\n");
}

static void check_pooling(const char *path, enum tw_pooling expected)
{
    struct tw_model_files *files = open_files(path);
    enum tw_pooling pooling;
    assert_int_equal(tw_model_files_pooling(files, &pooling, NULL), TW_OK);
    assert_int_equal(pooling, expected);
    tw_model_files_close(files);
}

static void a_gguf_file_says_how_embeddings_are_made(void **state)
{
    (void)state;
    struct tiny_model model = tiny_model_of("qwen3");
    tiny_write_gguf(&model, "m.gguf");
    check_pooling("m.gguf", TW_POOLING_NONE);
    for (int i = 0; i <= 6; i++) {
        model.pooling = i;
        tiny_write_gguf(&model, "m.gguf");
        check_pooling("m.gguf", i < 4 ? (enum tw_pooling)i : TW_POOLING_OTHER);
    }
}

#define MODULE(kind, path)                                                                         \
    "{\"type\":\"sentence_transformers.models." kind "\",\"path\":\"" path "\"}"

static void a_folder_says_how_embeddings_are_made(void **state)
{
    (void)state;
    struct tiny_model model = tiny_model_of("qwen3");
    tiny_write_folder(&model, "f", 1);
    check_pooling("f", TW_POOLING_NONE);
    assert_int_equal(mkdir("f/1_Pooling", 0700), 0);
    static const struct {
        const char *config;
        enum tw_pooling pooling;
    } rows[] = {
        {"{\"pooling_mode_mean_tokens\":false,\"pooling_mode_lasttoken\":true}", TW_POOLING_LAST},
        {"{\"pooling_mode_mean_tokens\":true}", TW_POOLING_MEAN},
        {"{\"pooling_mode_cls_token\":true,\"include_prompt\":true}", TW_POOLING_FIRST},
        {"{\"pooling_mode_max_tokens\":true}", TW_POOLING_OTHER},
        {"{\"pooling_mode_max_tokens\":true,\"pooling_mode_mean_tokens\":true}", TW_POOLING_OTHER},
        {"{\"pooling_mode\":\"mean\"}", TW_POOLING_MEAN},
        {"{\"pooling_mode\":\"max\"}", TW_POOLING_OTHER},
        {"{}", TW_POOLING_OTHER},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        write_text("f/1_Pooling/config.json", rows[i].config);
        check_pooling("f", rows[i].pooling);
    }
    write_text("f/1_Pooling/config.json", rows[1].config);
    write_text("f/modules.json",
               "[" MODULE("Transformer", "") "," MODULE("Pooling", "1_Pooling") "," MODULE(
                   "Normalize", "2_Normalize") "]");
    check_pooling("f", TW_POOLING_MEAN);
    write_text("f/modules.json", "[" MODULE("Pooling", "1_Pooling") "," MODULE("Dense", "2") "]");
    check_pooling("f", TW_POOLING_OTHER);
    write_text("f/modules.json", "[" MODULE("Pooling", "../f/1_Pooling") "]");
    check_pooling("f", TW_POOLING_OTHER);
    write_text("f/modules.json", "[");
    struct tw_model_files *files = open_files("f");
    enum tw_pooling pooling;
    assert_int_equal(tw_model_files_pooling(files, &pooling, NULL), TW_ERR_FORMAT);
    tw_model_files_close(files);
}

static void a_model_for_embeddings_may_leave_a_part_of_its_names_out(void **state)
{
    (void)state;
    struct tiny_model model = tiny_model_of("qwen3");
    model.tied = true;
    model.short_names = true;
    tiny_write_folder(&model, "f", 2);
    struct tw_model_files *files = open_files("f");
    check_weights(&model, files);
    tw_model_files_close(files);
}

/* Opening the pipe would wait for somebody to write into it. */
static void a_pipe_among_the_files_of_a_folder_is_refused_at_once(void **state)
{
    (void)state;
    static const char *const names[] = {"config.json",           "generation_config.json",
                                        "tokenizer_config.json", "chat_template.jinja",
                                        "model.safetensors",     "tokenizer.json"};
    struct tiny_model model = tiny_model_of("qwen2");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char folder[16];
        char path[64];
        snprintf(folder, sizeof folder, "f%zu", i);
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        tiny_write_folder(&model, folder, 1);
        remove(path);
        assert_int_equal(mkfifo(path, 0600), 0);
        struct tw_model_files *files = NULL;
        struct tw_tokenizer *tokenizer = NULL;
        struct tw_error error = {0};
        enum tw_status status = tw_model_files_open(folder, &files, &error);
        if (status == TW_OK) {
            status = tw_model_files_tokenizer(files, &tokenizer, &error);
            tw_model_files_close(files);
        }
        assert_int_equal(status, TW_ERR_IO);
        assert_non_null(strstr(error.text, names[i]));
    }
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, enter_new_folder, leave_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(a_gguf_file_has_the_models_weights),
        IN_FOLDER(a_folder_has_the_models_weights_in_every_type),
        IN_FOLDER(any_file_of_a_folder_opens_it),
        cmocka_unit_test(half_split_rows_become_pairs),
        IN_FOLDER(a_split_model_is_one_model),
        IN_FOLDER(a_split_without_tensors_in_its_first_file_opens),
        IN_FOLDER(what_is_wrong_with_a_split_is_said),
        IN_FOLDER(too_many_tensors_in_a_split_are_refused),
        IN_FOLDER(what_a_folder_lacks_is_said),
        IN_FOLDER(a_wrong_index_is_refused),
        IN_FOLDER(an_index_of_too_many_files_is_refused),
        IN_FOLDER(too_many_tensors_in_a_folder_are_refused),
        IN_FOLDER(tensors_the_architecture_does_not_have_are_refused),
        IN_FOLDER(a_missing_expert_is_named),
        IN_FOLDER(experts_must_be_those_that_the_config_counts),
        IN_FOLDER(an_expert_of_another_shape_or_twice_is_refused),
        IN_FOLDER(what_follows_from_the_shape_is_left_out),
        IN_FOLDER(a_head_beside_a_tied_embedding_is_left_out),
        IN_FOLDER(the_chat_template_is_found_where_it_may_be),
        IN_FOLDER(a_gguf_file_says_how_embeddings_are_made),
        IN_FOLDER(a_folder_says_how_embeddings_are_made),
        IN_FOLDER(a_model_for_embeddings_may_leave_a_part_of_its_names_out),
        IN_FOLDER(a_pipe_among_the_files_of_a_folder_is_refused_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
