/* Which format each tensor gets, and that its weights are still the model's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "byte_builder.h"
#include "model/arch.h"
#include "model/gguf.h"
#include "model/quantise_model.h"
#include "tiny_model.h"

/* ---- the choice ---- */

static enum tw_dtype choose(enum tw_model_mix mix, const struct tw_model_shape *shape,
                            const char *name, uint64_t n_columns)
{
    bool is_vector = strstr(name, "norm") != NULL || strstr(name, "bias") != NULL;
    struct tw_tensor_view view = {
        .name = name, .dtype = TW_DTYPE_F32, .shape = {n_columns, is_vector ? 1 : 256, 1, 1}};
    return tw_model_mix_dtype(mix, shape, &view);
}

/* expected: for each layer the bits of a weight. */
static void check_bits(enum tw_model_mix mix, const char *name, const char *expected)
{
    struct tw_model_shape shape = {
        .arch = "qwen2", .n_layers = (uint32_t)strlen(expected), .n_heads = 8, .n_kv_heads = 8};
    for (uint32_t layer = 0; layer < shape.n_layers; layer++) {
        char full_name[64];
        snprintf(full_name, sizeof full_name, "blk.%u.%s.weight", layer, name);
        enum tw_dtype dtype = expected[layer] == '6'   ? TW_DTYPE_Q6_K
                              : expected[layer] == '5' ? TW_DTYPE_Q5_K
                                                       : TW_DTYPE_Q4_K;
        assert_int_equal(choose(mix, &shape, full_name, 256), dtype);
    }
}

static void check_more_bits(enum tw_model_mix mix, const char *expected)
{
    check_bits(mix, "attn_v", expected);
    check_bits(mix, "ffn_down", expected);
}

/* First and last eighth, and every third between: written out for the sizes that models have. */
static void q4_k_m_gives_more_bits_to_the_known_layers(void **state)
{
    (void)state;
    check_more_bits(TW_MODEL_MIX_Q4_K_M, "6644644644644666");
    check_more_bits(TW_MODEL_MIX_Q4_K_M, "666446446446446446446666");
    check_more_bits(TW_MODEL_MIX_Q4_K_M, "6664464464464464464464466666");
    check_more_bits(TW_MODEL_MIX_Q4_K_M, "66664464464464464464464464466666");
    check_more_bits(TW_MODEL_MIX_Q4_K_M, "46");
}

static void q5_k_m_gives_more_bits_to_the_same_layers(void **state)
{
    (void)state;
    check_more_bits(TW_MODEL_MIX_Q5_K_M, "6655655655655666");
    check_more_bits(TW_MODEL_MIX_Q5_K_M, "6665565565565565565565566666");
    check_more_bits(TW_MODEL_MIX_Q5_K_S, "5555555555555555");
}

/* attn_v of four layers, ffn_down of an eighth. */
static void q4_k_s_gives_more_bits_to_the_first_layers(void **state)
{
    (void)state;
    check_bits(TW_MODEL_MIX_Q4_K_S, "attn_v", "5555444444444444");
    check_bits(TW_MODEL_MIX_Q4_K_S, "ffn_down", "5544444444444444");
    check_bits(TW_MODEL_MIX_Q4_K_S, "attn_v", "55554444444444444444444444444444");
    check_bits(TW_MODEL_MIX_Q4_K_S, "ffn_down", "55554444444444444444444444444444");
    check_bits(TW_MODEL_MIX_Q4_K_S, "attn_q", "4444444444444444");
    check_bits(TW_MODEL_MIX_Q4_K_S, "ffn_up", "4444444444444444");
}

static void everything_else_of_q4_k_m_is_q4_k(void **state)
{
    (void)state;
    static const char *const names[] = {"blk.0.attn_q.weight",      "blk.0.attn_k.weight",
                                        "blk.0.attn_output.weight", "blk.0.ffn_gate.weight",
                                        "blk.0.ffn_up.weight",      "token_embd.weight"};
    struct tw_model_shape shape = {.arch = "llama", .n_layers = 32, .n_heads = 32, .n_kv_heads = 8};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        assert_int_equal(choose(TW_MODEL_MIX_Q4_K_M, &shape, names[i], 4096), TW_DTYPE_Q4_K);
    }
}

/* The routers decide, so they stay as they are; experts' down projections are treated as
 * others'. */
static void experts_get_the_bits_of_one_feed_forward(void **state)
{
    (void)state;
    struct tw_model_shape shape = {
        .arch = "qwen3moe", .n_layers = 48, .n_heads = 32, .n_kv_heads = 4, .n_experts = 128};
    static const struct {
        enum tw_model_mix mix;
        const char *name;
        enum tw_dtype dtype;
    } rows[] = {
        {TW_MODEL_MIX_Q4_K_M, "blk.0.ffn_down_exps.weight", TW_DTYPE_Q6_K},
        {TW_MODEL_MIX_Q4_K_M, "blk.6.ffn_down_exps.weight", TW_DTYPE_Q4_K},
        {TW_MODEL_MIX_Q4_K_M, "blk.8.ffn_down_exps.weight", TW_DTYPE_Q6_K},
        {TW_MODEL_MIX_Q4_K_M, "blk.0.ffn_gate_exps.weight", TW_DTYPE_Q4_K},
        {TW_MODEL_MIX_Q4_K_M, "blk.0.ffn_up_exps.weight", TW_DTYPE_Q4_K},
        {TW_MODEL_MIX_Q4_K_M, "blk.6.attn_v.weight", TW_DTYPE_Q4_K},
        {TW_MODEL_MIX_Q4_K_S, "blk.5.ffn_down_exps.weight", TW_DTYPE_Q5_K},
        {TW_MODEL_MIX_Q4_K_S, "blk.6.ffn_down_exps.weight", TW_DTYPE_Q4_K},
        {TW_MODEL_MIX_Q4_K_M, "blk.0.ffn_gate_inp.weight", TW_DTYPE_F32},
        {TW_MODEL_MIX_BF16, "blk.0.ffn_gate_inp.weight", TW_DTYPE_F32},
        {TW_MODEL_MIX_KEEP, "blk.0.ffn_gate_inp.weight", TW_DTYPE_F32},
        {TW_MODEL_MIX_BF16, "blk.0.ffn_gate_exps.weight", TW_DTYPE_BF16},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(choose(rows[i].mix, &shape, rows[i].name, 768), rows[i].dtype);
    }
}

static void beside_eight_experts_the_attention_gets_more_bits(void **state)
{
    (void)state;
    struct tw_model_shape shape = {
        .arch = "qwen3moe", .n_layers = 32, .n_heads = 32, .n_kv_heads = 8, .n_experts = 8};
    assert_int_equal(choose(TW_MODEL_MIX_Q4_K_M, &shape, "blk.9.attn_v.weight", 4096),
                     TW_DTYPE_Q8_0);
    assert_int_equal(choose(TW_MODEL_MIX_Q4_0, &shape, "blk.9.attn_k.weight", 4096), TW_DTYPE_Q8_0);
    assert_int_equal(choose(TW_MODEL_MIX_Q4_K_S, &shape, "blk.9.attn_output.weight", 4096),
                     TW_DTYPE_Q5_K);
    assert_int_equal(choose(TW_MODEL_MIX_Q6_K, &shape, "blk.9.attn_output.weight", 4096),
                     TW_DTYPE_Q6_K);
    assert_int_equal(choose(TW_MODEL_MIX_Q4_K_M, &shape, "blk.9.attn_q.weight", 4096),
                     TW_DTYPE_Q4_K);
    assert_int_equal(choose(TW_MODEL_MIX_F16, &shape, "blk.9.attn_v.weight", 4096), TW_DTYPE_F16);
}

static void seventy_billion_parameters_get_a_better_attn_v(void **state)
{
    (void)state;
    struct tw_model_shape shape = {.arch = "llama", .n_layers = 80, .n_heads = 64, .n_kv_heads = 8};
    assert_int_equal(choose(TW_MODEL_MIX_Q4_K_M, &shape, "blk.10.attn_v.weight", 8192),
                     TW_DTYPE_Q5_K);
    assert_int_equal(choose(TW_MODEL_MIX_Q4_K_M, &shape, "blk.0.attn_v.weight", 8192),
                     TW_DTYPE_Q6_K);
    assert_int_equal(choose(TW_MODEL_MIX_Q4_K_M, &shape, "blk.10.ffn_down.weight", 8192),
                     TW_DTYPE_Q4_K);
    shape.n_kv_heads = 64;
    assert_int_equal(choose(TW_MODEL_MIX_Q4_K_M, &shape, "blk.10.attn_v.weight", 8192),
                     TW_DTYPE_Q4_K);
}

static void the_head_gets_six_bits(void **state)
{
    (void)state;
    static const enum tw_model_mix mixes[] = {
        TW_MODEL_MIX_Q4_0,   TW_MODEL_MIX_Q5_1,   TW_MODEL_MIX_Q4_K_S, TW_MODEL_MIX_Q4_K_M,
        TW_MODEL_MIX_Q5_K_S, TW_MODEL_MIX_Q5_K_M, TW_MODEL_MIX_Q6_K};
    struct tw_model_shape untied = {.arch = "qwen3", .n_layers = 28};
    struct tw_model_shape tied = {.arch = "qwen3", .n_layers = 28, .tied_head = true};
    for (size_t i = 0; i < sizeof mixes / sizeof mixes[0]; i++) {
        assert_int_equal(choose(mixes[i], &untied, "output.weight", 1024), TW_DTYPE_Q6_K);
        assert_int_equal(choose(mixes[i], &untied, "output.weight", 896), TW_DTYPE_Q8_0);
        assert_int_equal(choose(mixes[i], &tied, "token_embd.weight", 1024), TW_DTYPE_Q6_K);
        assert_int_equal(choose(mixes[i], &tied, "token_embd.weight", 896), TW_DTYPE_Q8_0);
    }
    assert_int_equal(choose(TW_MODEL_MIX_Q4_0, &untied, "token_embd.weight", 1024), TW_DTYPE_Q4_0);
    assert_int_equal(choose(TW_MODEL_MIX_Q8_0, &untied, "output.weight", 1024), TW_DTYPE_Q8_0);
    assert_int_equal(choose(TW_MODEL_MIX_Q8_0, &tied, "token_embd.weight", 1024), TW_DTYPE_Q8_0);
    assert_int_equal(choose(TW_MODEL_MIX_F16, &untied, "output.weight", 1024), TW_DTYPE_F16);
}

static void rows_that_blocks_do_not_divide_fall_back(void **state)
{
    (void)state;
    static const struct {
        enum tw_model_mix mix;
        uint64_t n_columns;
        enum tw_dtype dtype;
    } rows[] = {
        {TW_MODEL_MIX_Q4_K_S, 896, TW_DTYPE_Q5_0},  {TW_MODEL_MIX_Q5_K_M, 896, TW_DTYPE_Q5_1},
        {TW_MODEL_MIX_Q6_K, 896, TW_DTYPE_Q8_0},    {TW_MODEL_MIX_Q4_K_M, 896, TW_DTYPE_Q5_0},
        {TW_MODEL_MIX_Q4_K_S, 4864, TW_DTYPE_Q4_K}, {TW_MODEL_MIX_Q4_K_S, 100, TW_DTYPE_F16},
        {TW_MODEL_MIX_Q8_0, 896, TW_DTYPE_Q8_0},    {TW_MODEL_MIX_Q8_0, 100, TW_DTYPE_F16},
        {TW_MODEL_MIX_Q4_0, 48, TW_DTYPE_F16},      {TW_MODEL_MIX_Q4_1, 64, TW_DTYPE_Q4_1},
        {TW_MODEL_MIX_BF16, 100, TW_DTYPE_BF16},    {TW_MODEL_MIX_F32, 7, TW_DTYPE_F32},
    };
    struct tw_model_shape shape = {.arch = "qwen2", .n_layers = 24};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(choose(rows[i].mix, &shape, "blk.4.ffn_up.weight", rows[i].n_columns),
                         rows[i].dtype);
    }
}

static void vectors_are_f32_in_every_mix(void **state)
{
    (void)state;
    static const char *const names[] = {"output_norm.weight", "blk.0.attn_norm.weight",
                                        "blk.0.attn_q_norm.weight", "blk.0.attn_q.bias"};
    struct tw_model_shape shape = {.arch = "qwen2", .n_layers = 24};
    for (int mix = 0; mix < TW_MODEL_MIX_COUNT; mix++) {
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
            assert_int_equal(choose((enum tw_model_mix)mix, &shape, names[i], 1024), TW_DTYPE_F32);
        }
    }
}

static void mixes_have_names(void **state)
{
    (void)state;
    enum tw_model_mix mix = TW_MODEL_MIX_COUNT;
    for (int i = 0; i < TW_MODEL_MIX_COUNT; i++) {
        assert_true(tw_model_mix_from_name(tw_model_mix_name((enum tw_model_mix)i), &mix));
        assert_int_equal(mix, i);
    }
    assert_true(tw_model_mix_from_name("q4_k_m", &mix) && mix == TW_MODEL_MIX_Q4_K_M);
    assert_false(tw_model_mix_from_name("Q3_K_XL", &mix));
    assert_false(tw_model_mix_from_name("Q4_K_", &mix));
    assert_int_equal(mix, TW_MODEL_MIX_Q4_K_M);
}

/* As users of other GGUF tools expect. */
static void the_short_names_are_the_middle_mixes(void **state)
{
    (void)state;
    enum tw_model_mix mix = TW_MODEL_MIX_COUNT;
    assert_true(tw_model_mix_from_name("Q4_K", &mix) && mix == TW_MODEL_MIX_Q4_K_M);
    assert_true(tw_model_mix_from_name("q5_k", &mix) && mix == TW_MODEL_MIX_Q5_K_M);
}

static void every_mix_says_its_own_file_type(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint32_t file_type;
    } rows[] = {{"F32", 0},     {"F16", 1},   {"Q4_0", 2},    {"Q4_1", 3},    {"Q8_0", 7},
                {"Q5_0", 8},    {"Q5_1", 9},  {"Q4_K_S", 14}, {"Q4_K_M", 15}, {"Q5_K_S", 16},
                {"Q5_K_M", 17}, {"Q6_K", 18}, {"BF16", 32},   {"Q4_K", 15},   {"Q5_K", 17}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        enum tw_model_mix mix = TW_MODEL_MIX_COUNT;
        assert_true(tw_model_mix_from_name(rows[i].name, &mix));
        assert_int_equal(tw_model_mix_file_type(mix, TW_DTYPE_F32), rows[i].file_type);
    }
}

/* ---- files ---- */

/* Rows of 256 and 512, so that every block format fits. */
static struct tiny_model wide_model(const char *arch)
{
    struct tiny_model model = tiny_model_of(arch);
    model.n_embed = 256;
    model.n_heads = 4;
    model.head_dim = 64;
    model.n_ffn = 512;
    model.n_expert_ffn = model.n_experts != 0 ? 256 : 0;
    return model;
}

static void quantise(const char *in, const char *out, enum tw_model_mix mix, int n_threads)
{
    struct tw_error error = {0};
    if (tw_model_quantise(in, out, mix, n_threads, NULL, NULL, &error) != TW_OK) {
        fail_msg("%s", error.text);
    }
}

static struct tw_model_files *open_files(const char *path)
{
    struct tw_model_files *files = NULL;
    struct tw_error error = {0};
    if (tw_model_files_open(path, &files, &error) != TW_OK) {
        fail_msg("%s", error.text);
    }
    return files;
}

/* No error of a weight in [-2, 2) is larger than one step of the format. */
static double tolerance_of(enum tw_dtype dtype)
{
    static const double tolerances[TW_DTYPE_COUNT] = {
        [TW_DTYPE_Q8_0] = 4.0 / 254, [TW_DTYPE_Q6_K] = 4.0 / 62, [TW_DTYPE_Q5_0] = 4.0 / 30,
        [TW_DTYPE_Q5_1] = 4.0 / 31,  [TW_DTYPE_Q5_K] = 4.0 / 30, [TW_DTYPE_Q4_0] = 4.0 / 14,
        [TW_DTYPE_Q4_1] = 4.0 / 15,  [TW_DTYPE_Q4_K] = 4.0 / 14,
    };
    return tolerances[dtype];
}

static void check_weights(const struct tiny_model *model, const struct tw_model_files *files,
                          enum tw_model_mix mix)
{
    struct tw_model_shape shape;
    struct tiny_tensor tensor;
    assert_int_equal(tw_model_read_shape(files, &shape, NULL), TW_OK);
    assert_int_equal(tw_arch_check_tensors(files, &shape, NULL), TW_OK);
    float values[512];
    for (size_t i = 0; tiny_tensor_at(model, i, &tensor); i++) {
        const struct tw_tensor_view *view = tw_model_files_find(files, tensor.gguf_name);
        struct tw_tensor_view source = *view;
        source.dtype = tensor.dtype;
        assert_int_equal(view->dtype, tw_model_mix_dtype(mix, &shape, &source));
        size_t row_bytes = tw_dtype_row_bytes(view->dtype, (size_t)tensor.n_columns);
        for (uint64_t row = 0; row < tensor.n_rows; row++) {
            tw_dtype_traits(view->dtype)
                ->dequantise((const char *)view->data + row * row_bytes, values,
                             (size_t)tensor.n_columns);
            for (uint64_t k = 0; k < tensor.n_columns; k++) {
                double expected = (double)tiny_weight(tensor.gguf_name, row * tensor.n_columns + k);
                assert_true(fabs((double)values[k] - expected) <= tolerance_of(view->dtype));
            }
        }
    }
}

static void check_every_mix(const char *arch)
{
    static const uint32_t file_types[TW_MODEL_MIX_COUNT] = {0, 0, 1,  32, 7,  2,  3,
                                                            8, 9, 14, 15, 16, 17, 18};
    struct tiny_model model = wide_model(arch);
    char key[64];
    snprintf(key, sizeof key, "%s.block_count", arch);
    tiny_write_gguf(&model, "in.gguf");
    for (int i = 0; i < TW_MODEL_MIX_COUNT; i++) {
        enum tw_model_mix mix = (enum tw_model_mix)i;
        quantise("in.gguf", "out.gguf", mix, 2);
        struct tw_model_files *files = open_files("out.gguf");
        check_weights(&model, files, mix);
        uint64_t number = 99;
        assert_true(tw_model_files_uint(files, "general.file_type", &number));
        assert_int_equal(number, file_types[i]);
        assert_true(tw_model_files_uint(files, "general.quantization_version", &number));
        assert_int_equal(number, 2);
        assert_true(tw_model_files_uint(files, key, &number) && number == 2);
        tw_model_files_close(files);
    }
}

static void every_mix_of_a_model_has_its_weights(void **state)
{
    (void)state;
    check_every_mix("qwen2");
    check_every_mix("qwen3moe");
}

static void a_quantised_model_can_be_quantised_again(void **state)
{
    (void)state;
    struct tiny_model model = wide_model("llama");
    tiny_write_gguf(&model, "in.gguf");
    quantise("in.gguf", "q8.gguf", TW_MODEL_MIX_Q8_0, 1);
    quantise("q8.gguf", "f32.gguf", TW_MODEL_MIX_F32, 1);
    quantise("q8.gguf", "again.gguf", TW_MODEL_MIX_Q8_0, 1);
    struct tw_model_files *q8 = open_files("q8.gguf");
    struct tw_model_files *again = open_files("again.gguf");
    struct tw_model_files *f32 = open_files("f32.gguf");
    for (size_t i = 0; i < tw_model_files_count(q8); i++) {
        const struct tw_tensor_view *a = tw_model_files_tensor(q8, i);
        const struct tw_tensor_view *b = tw_model_files_find(again, a->name);
        assert_int_equal(a->size_bytes, b->size_bytes);
        assert_memory_equal(a->data, b->data, a->size_bytes);
        assert_int_equal(tw_model_files_find(f32, a->name)->dtype, TW_DTYPE_F32);
    }
    tw_model_files_close(q8);
    tw_model_files_close(again);
    tw_model_files_close(f32);
}

static void check_same_file(const char *a_path, const char *b_path)
{
    struct tw_buf a, b;
    assert_int_equal(tw_file_read(a_path, 64 << 20, &a, NULL), TW_OK);
    assert_int_equal(tw_file_read(b_path, 64 << 20, &b, NULL), TW_OK);
    assert_int_equal(a.size_bytes, b.size_bytes);
    assert_memory_equal(a.data, b.data, a.size_bytes);
    tw_buf_free(&a);
    tw_buf_free(&b);
}

static void the_number_of_threads_changes_no_byte(void **state)
{
    (void)state;
    struct tiny_model model = wide_model("qwen3");
    tiny_write_gguf(&model, "in.gguf");
    quantise("in.gguf", "one.gguf", TW_MODEL_MIX_Q4_K_M, 1);
    quantise("in.gguf", "three.gguf", TW_MODEL_MIX_Q4_K_M, 3);
    check_same_file("one.gguf", "three.gguf");
}

struct progress {
    uint64_t last_bytes;
    uint64_t total_bytes;
    int n_calls;
    int stop_at; /* the call that wants no more; 0: none */
};

static bool note_progress(void *context, uint64_t done_bytes, uint64_t total_bytes)
{
    struct progress *progress = context;
    assert_true(done_bytes > progress->last_bytes && done_bytes <= total_bytes);
    progress->last_bytes = done_bytes;
    progress->total_bytes = total_bytes;
    progress->n_calls++;
    return progress->n_calls != progress->stop_at;
}

static void progress_ends_at_its_total(void **state)
{
    (void)state;
    struct tiny_model model = wide_model("llama");
    struct progress progress = {0};
    tiny_write_gguf(&model, "in.gguf");
    assert_int_equal(tw_model_quantise("in.gguf", "out.gguf", TW_MODEL_MIX_F16, 1, note_progress,
                                       &progress, NULL),
                     TW_OK);
    assert_true(progress.n_calls > 10);
    assert_int_equal(progress.last_bytes, progress.total_bytes);
}

static void who_wants_no_more_gets_no_file(void **state)
{
    (void)state;
    struct tiny_model model = wide_model("llama");
    struct progress progress = {.stop_at = 5};
    struct tw_error error;
    tiny_write_gguf(&model, "in.gguf");
    assert_int_equal(tw_model_quantise("in.gguf", "out.gguf", TW_MODEL_MIX_F16, 1, note_progress,
                                       &progress, &error),
                     TW_ERR_CANCELLED);
    assert_int_equal(progress.n_calls, 5);
    assert_false(tw_file_exists("out.gguf"));
    assert_false(tw_file_exists("out.gguf.partial-tokenworks-0"));
}

static void expect_failure(const char *in, enum tw_model_mix mix, enum tw_status status,
                           const char *words)
{
    struct tw_error error = {0};
    enum tw_status got = tw_model_quantise(in, "out.gguf", mix, 2, NULL, NULL, &error);
    if (got != status || strstr(error.text, words) == NULL) {
        fail_msg("expected %s with '%s', got %s: %s", tw_status_name(status), words,
                 tw_status_name(got), error.text);
    }
    assert_false(tw_file_exists("out.gguf"));
}

/* Puts a value over the first weight of a tensor. */
static void poke(const char *path, const char *name, float value)
{
    struct tw_buf bytes;
    struct tw_gguf *gguf = NULL;
    assert_int_equal(tw_file_read(path, 64 << 20, &bytes, NULL), TW_OK);
    assert_int_equal(tw_gguf_open_memory(bytes.data, bytes.size_bytes, path, &gguf, NULL), TW_OK);
    for (size_t i = 0; i < tw_gguf_n_tensors(gguf); i++) {
        const struct tw_tensor_view *view = tw_gguf_tensor(gguf, i);
        if (strcmp(view->name, name) == 0) {
            size_t at = (size_t)((const char *)view->data - bytes.data);
            memcpy(bytes.data + at, &value, sizeof value);
        }
    }
    tw_gguf_close(gguf);
    struct builder file = {.data = (unsigned char *)bytes.data, .size_bytes = bytes.size_bytes};
    builder_write(&file, path);
    tw_buf_free(&bytes);
}

static void weights_that_cannot_be_written_stop_it(void **state)
{
    (void)state;
    struct tiny_model model = wide_model("llama");
    tiny_write_gguf(&model, "in.gguf");
    poke("in.gguf", "blk.1.ffn_up.weight", NAN);
    expect_failure("in.gguf", TW_MODEL_MIX_Q4_K_M, TW_ERR_FORMAT,
                   "'blk.1.ffn_up.weight': row 0 has a weight that is not finite");
    poke("in.gguf", "blk.1.ffn_up.weight", -INFINITY);
    expect_failure("in.gguf", TW_MODEL_MIX_BF16, TW_ERR_FORMAT, "not finite");
    poke("in.gguf", "blk.1.ffn_up.weight", 70000.0f);
    expect_failure("in.gguf", TW_MODEL_MIX_F16, TW_ERR_FORMAT, "does not fit F16");
    expect_failure("in.gguf", TW_MODEL_MIX_Q8_0, TW_ERR_FORMAT, "does not fit Q8_0");
    quantise("in.gguf", "bf16.gguf", TW_MODEL_MIX_BF16, 1);
}

static void what_is_no_model_is_not_quantised(void **state)
{
    (void)state;
    struct tiny_model model = wide_model("llama");
    expect_failure("absent.gguf", TW_MODEL_MIX_Q8_0, TW_ERR_NOT_FOUND, "absent.gguf");
    model.left_out = "blk.1.ffn_norm.weight";
    tiny_write_gguf(&model, "in.gguf");
    expect_failure("in.gguf", TW_MODEL_MIX_Q8_0, TW_ERR_NOT_FOUND, "blk.1.ffn_norm.weight");
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, enter_new_folder, leave_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(q4_k_m_gives_more_bits_to_the_known_layers),
        cmocka_unit_test(q5_k_m_gives_more_bits_to_the_same_layers),
        cmocka_unit_test(q4_k_s_gives_more_bits_to_the_first_layers),
        cmocka_unit_test(everything_else_of_q4_k_m_is_q4_k),
        cmocka_unit_test(experts_get_the_bits_of_one_feed_forward),
        cmocka_unit_test(beside_eight_experts_the_attention_gets_more_bits),
        cmocka_unit_test(seventy_billion_parameters_get_a_better_attn_v),
        cmocka_unit_test(the_head_gets_six_bits),
        cmocka_unit_test(rows_that_blocks_do_not_divide_fall_back),
        cmocka_unit_test(vectors_are_f32_in_every_mix),
        cmocka_unit_test(mixes_have_names),
        cmocka_unit_test(the_short_names_are_the_middle_mixes),
        cmocka_unit_test(every_mix_says_its_own_file_type),
        IN_FOLDER(every_mix_of_a_model_has_its_weights),
        IN_FOLDER(a_quantised_model_can_be_quantised_again),
        IN_FOLDER(the_number_of_threads_changes_no_byte),
        IN_FOLDER(progress_ends_at_its_total),
        IN_FOLDER(who_wants_no_more_gets_no_file),
        IN_FOLDER(weights_that_cannot_be_written_stop_it),
        IN_FOLDER(what_is_no_model_is_not_quantised),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
