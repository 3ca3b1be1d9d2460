/* What an architecture reads from a model's numbers, and what it refuses. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "byte_builder.h"
#include "model/arch.h"
#include "model/model.h"
#include "tiny_model.h"

static const char *const archs[] = {"llama", "qwen2", "qwen3", "qwen3moe"};

enum { N_ARCHS = sizeof archs / sizeof archs[0] };

static void check_shape(const struct tiny_model *model, const struct tw_model_shape *shape)
{
    assert_string_equal(shape->arch, model->arch);
    assert_int_equal(shape->n_layers, model->n_layers);
    assert_int_equal(shape->n_embed, model->n_embed);
    assert_int_equal(shape->n_heads, model->n_heads);
    assert_int_equal(shape->n_kv_heads, model->n_kv_heads);
    assert_int_equal(shape->head_dim, model->head_dim);
    assert_int_equal(shape->n_ffn, model->n_ffn);
    assert_int_equal(shape->n_vocab, model->n_vocab);
    assert_int_equal(shape->n_context_tokens, 256);
    assert_true(shape->rms_eps == 1e-5f);
    assert_true(shape->rope.freq_base == 500000);
    assert_int_equal(shape->rope.n_dims, model->head_dim);
    assert_int_equal(shape->rope.interleaved, strcmp(model->arch, "llama") == 0);
    assert_int_equal(shape->has_qkv_bias, strcmp(model->arch, "qwen2") == 0);
    assert_int_equal(shape->has_qk_norm, strncmp(model->arch, "qwen3", 5) == 0);
    assert_int_equal(shape->n_experts, model->n_experts);
    assert_int_equal(shape->n_experts_used, model->n_experts_used);
    assert_int_equal(shape->n_expert_ffn, model->n_expert_ffn);
    assert_int_equal(shape->experts_are_normed, model->n_experts != 0);
    assert_int_equal(shape->tied_head, model->tied);
}

static void a_file_and_a_folder_have_the_same_shape(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * N_ARCHS; i++) {
        struct tiny_model model = tiny_model_of(archs[i % N_ARCHS]);
        model.tied = i >= N_ARCHS;
        tiny_write_gguf(&model, "m.gguf");
        tiny_write_folder(&model, "f", 1);
        for (int k = 0; k < 2; k++) {
            struct tw_model_files *files = NULL;
            struct tw_model_shape shape;
            struct tw_error error = {0};
            assert_int_equal(tw_model_files_open(k == 0 ? "m.gguf" : "f", &files, &error), TW_OK);
            if (tw_model_read_shape(files, &shape, &error) != TW_OK ||
                tw_arch_check_tensors(files, &shape, &error) != TW_OK) {
                fail_msg("%s", error.text);
            }
            check_shape(&model, &shape);
            tw_model_files_close(files);
        }
    }
}

/* ---- config.json ---- */

/* The tiny model's config with members (JSON text) put over it. */
static enum tw_status read_config(const char *arch, const char *members,
                                  struct tw_model_shape *ret_shape, struct tw_error *error)
{
    struct tiny_model model = tiny_model_of(arch);
    json_t *config = tiny_config(&model);
    json_t *changes = json_loads(members, 0, NULL);
    assert_non_null(changes);
    json_object_update(config, changes);
    enum tw_status status = tw_arch_read_config(config, ret_shape, error);
    json_decref(changes);
    json_decref(config);
    return status;
}

static void expect_config(const char *arch, const char *members, enum tw_status status,
                          const char *words)
{
    struct tw_model_shape shape;
    struct tw_error error = {0};
    enum tw_status got = read_config(arch, members, &shape, &error);
    if (got != status || strstr(error.text, words) == NULL) {
        fail_msg("%s: expected %s with '%s', got %s: %s", members, tw_status_name(status), words,
                 tw_status_name(got), error.text);
    }
}

static void what_is_not_computed_is_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *arch, *members, *words;
    } rows[] = {
        {"llama", "{\"attention_bias\":true}", "attention_bias"},
        {"llama", "{\"mlp_bias\":true}", "mlp_bias"},
        {"qwen3", "{\"attention_bias\":true}", "attention_bias"},
        {"qwen2", "{\"attn_logit_softcapping\":50.0}", "attn_logit_softcapping = 50"},
        {"qwen2", "{\"final_logit_softcapping\":30.0}", "final_logit_softcapping"},
        {"qwen3", "{\"num_experts\":128}", "num_experts = 128"},
        {"llama", "{\"num_local_experts\":8}", "a mixture of experts"},
        {"qwen3moe", "{\"attention_bias\":true}", "attention_bias"},
        {"qwen3moe", "{\"decoder_sparse_step\":2}", "decoder_sparse_step = 2"},
        {"qwen3moe", "{\"mlp_only_layers\":[0]}", "mlp_only_layers"},
        {"qwen3moe", "{\"mlp_only_layers\":7}", "mlp_only_layers"},
        {"qwen3moe", "{\"shared_expert_intermediate_size\":512}",
         "an expert that all tokens share"},
        {"qwen3moe", "{\"n_group\":4}", "experts in groups"},
        {"qwen3moe", "{\"routed_scaling_factor\":2.5}", "scaled weights of experts"},
        {"qwen3moe", "{\"architectures\":[\"Qwen3MoeForSequenceClassification\"]}",
         "Qwen3MoeForCausalLM"},
        {"qwen3", "{\"model_type\":\"qwen3moe\"}", "known are llama, qwen2, qwen3, qwen3_moe"},
        {"llama", "{\"partial_rotary_factor\":0.5}", "partial_rotary_factor = 0.5"},
        {"llama", "{\"hidden_act\":\"gelu\"}", "hidden_act is 'gelu'"},
        {"llama", "{\"quantization_config\":{\"quant_method\":\"gptq\"}}", "'gptq'"},
        {"qwen2", "{\"use_sliding_window\":true,\"sliding_window\":128}", "128 of 256 tokens"},
        {"llama", "{\"sliding_window\":128}", "sliding window"},
        {"qwen3", "{\"layer_types\":[\"full_attention\",\"sliding_attention\"]}",
         "layer 1 has type 'sliding_attention'"},
        {"llama", "{\"residual_multiplier\":0.2}", "residual_multiplier"},
        {"llama", "{\"logits_scaling\":8}", "logits_scaling"},
        {"llama", "{\"embedding_multiplier\":12}", "embedding_multiplier"},
        {"llama", "{\"attention_multiplier\":0.01}", "attention_multiplier"},
        {"llama", "{\"clip_qkv\":8}", "clip_qkv"},
        {"qwen2", "{\"is_causal\":false}", "not causal"},
        {"llama", "{\"architectures\":[\"LlamaModel\"]}", "LlamaModel"},
        {"llama", "{\"rope_scaling\":{\"type\":\"dynamic\",\"factor\":2}}", "'dynamic'"},
        {"llama", "{\"rope_scaling\":{\"rope_type\":\"longrope\"}}", "'longrope'"},
        {"llama", "{\"rope_scaling\":{\"rope_type\":\"default\",\"mrope_section\":[1]}}",
         "mrope_section"},
        {"llama",
         "{\"rope_parameters\":{\"rope_type\":\"default\","
         "\"partial_rotary_factor\":0.25}}",
         "partial_rotary_factor"},
        {"qwen2", "{\"rope_scaling\":{\"type\":\"yarn\",\"factor\":4,\"truncate\":false}}",
         "truncate"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        expect_config(rows[i].arch, rows[i].members, TW_ERR_UNSUPPORTED, rows[i].words);
    }
}

static void settings_that_change_nothing_are_accepted(void **state)
{
    (void)state;
    static const struct {
        const char *arch, *members;
    } rows[] = {
        {"llama", "{\"attention_bias\":false,\"mlp_bias\":false,\"pretraining_tp\":1}"},
        {"qwen2", "{\"use_sliding_window\":false,\"sliding_window\":128}"},
        {"qwen2", "{\"use_sliding_window\":true,\"sliding_window\":256}"},
        {"qwen2", "{\"sliding_window\":null}"},
        {"qwen3", "{\"layer_types\":[\"full_attention\",\"full_attention\"]}"},
        {"llama", "{\"rope_scaling\":null}"},
        {"llama", "{\"rope_scaling\":{\"rope_type\":\"default\"}}"},
        {"llama", "{\"partial_rotary_factor\":1.0,\"hidden_act\":\"swish\"}"},
        {"llama", "{\"architectures\":null}"},
        {"qwen3moe", "{\"mlp_only_layers\":[],\"decoder_sparse_step\":1,"
                     "\"shared_expert_intermediate_size\":0}"},
        {"qwen3moe", "{\"mlp_only_layers\":null,\"num_experts\":5,\"num_local_experts\":5}"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tw_model_shape shape;
        struct tw_error error = {0};
        if (read_config(rows[i].arch, rows[i].members, &shape, &error) != TW_OK) {
            fail_msg("%s: %s", rows[i].members, error.text);
        }
        assert_int_equal(shape.rope.scaling, TW_ROPE_SCALING_NONE);
    }
}

static void numbers_must_be_there_whole_and_within_limits(void **state)
{
    (void)state;
    static const struct {
        const char *members;
        enum tw_status status;
        const char *words;
    } rows[] = {
        {"{\"num_hidden_layers\":null}", TW_ERR_NOT_FOUND, "num_hidden_layers"},
        {"{\"hidden_size\":null}", TW_ERR_NOT_FOUND, "hidden_size"},
        {"{\"rms_norm_eps\":null}", TW_ERR_NOT_FOUND, "rms_norm_eps"},
        {"{\"vocab_size\":null}", TW_ERR_NOT_FOUND, "vocab_size"},
        {"{\"num_hidden_layers\":0}", TW_ERR_FORMAT, "a whole number above 0"},
        {"{\"num_hidden_layers\":-3}", TW_ERR_FORMAT, "a whole number above 0"},
        {"{\"num_hidden_layers\":2.5}", TW_ERR_FORMAT, "a whole number above 0"},
        {"{\"num_hidden_layers\":\"2\"}", TW_ERR_FORMAT, "a finite number"},
        {"{\"num_hidden_layers\":[2]}", TW_ERR_FORMAT, "a finite number"},
        {"{\"num_hidden_layers\":1025}", TW_ERR_LIMIT, "at most 1024"},
        {"{\"num_attention_heads\":1025}", TW_ERR_LIMIT, "num_attention_heads"},
        {"{\"num_key_value_heads\":9223372036854775807}", TW_ERR_LIMIT, "num_key_value_heads"},
        {"{\"head_dim\":514}", TW_ERR_LIMIT, "head_dim"},
        {"{\"head_dim\":null,\"hidden_size\":4096}", TW_ERR_LIMIT, "heads have 1024 dimensions"},
        {"{\"hidden_size\":262145}", TW_ERR_LIMIT, "hidden_size"},
        {"{\"intermediate_size\":1048577}", TW_ERR_LIMIT, "intermediate_size"},
        {"{\"vocab_size\":4194305}", TW_ERR_LIMIT, "vocab_size"},
        {"{\"max_position_embeddings\":16777217}", TW_ERR_LIMIT, "max_position_embeddings"},
        {"{\"num_key_value_heads\":3}", TW_ERR_FORMAT, "no multiple of 3 key heads"},
        {"{\"head_dim\":15}", TW_ERR_FORMAT, "RoPE needs an even number"},
        {"{\"head_dim\":null,\"hidden_size\":66}", TW_ERR_FORMAT, "no multiple of 4 heads"},
        {"{\"rms_norm_eps\":0}", TW_ERR_FORMAT, "rms_norm_eps"},
        {"{\"rms_norm_eps\":1e-60}", TW_ERR_FORMAT, "rms_norm_eps"},
        {"{\"rms_norm_eps\":2}", TW_ERR_FORMAT, "rms_norm_eps"},
        {"{\"rms_norm_eps\":\"1e-5\"}", TW_ERR_FORMAT, "rms_norm_eps"},
        {"{\"rope_theta\":0}", TW_ERR_FORMAT, "rope_theta is 0"},
        {"{\"rope_theta\":1e300}", TW_ERR_FORMAT, "rope_theta"},
        {"{\"rope_scaling\":7}", TW_ERR_FORMAT, "rope_scaling: expected an object"},
        {"{\"rope_scaling\":{\"type\":\"linear\",\"factor\":0}}", TW_ERR_FORMAT, "factor is 0"},
        {"{\"rope_scaling\":{\"type\":\"linear\",\"factor\":-2}}", TW_ERR_FORMAT, "factor is -2"},
        {"{\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8}}", TW_ERR_FORMAT,
         "low_freq_factor is 0"},
        {"{\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8,\"low_freq_factor\":4,"
         "\"high_freq_factor\":4}}",
         TW_ERR_FORMAT, "high_freq_factor must be above"},
        {"{\"model_type\":\"mamba\"}", TW_ERR_UNSUPPORTED, "'mamba'"},
        {"{\"model_type\":null}", TW_ERR_FORMAT, "model_type"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        expect_config("llama", rows[i].members, rows[i].status, rows[i].words);
    }
    expect_config("qwen3", "{\"head_dim\":null}", TW_ERR_FORMAT, "must say its head size");
}

static void numbers_of_experts_must_fit_each_other(void **state)
{
    (void)state;
    static const struct {
        const char *members;
        enum tw_status status;
        const char *words;
    } rows[] = {
        {"{\"num_experts\":0}", TW_ERR_FORMAT, "num_experts: expected a whole number above 0"},
        {"{\"num_experts\":null}", TW_ERR_NOT_FOUND, "num_experts"},
        {"{\"num_experts\":2.5}", TW_ERR_FORMAT, "num_experts"},
        {"{\"num_experts\":1025}", TW_ERR_LIMIT, "num_experts is 1025; at most 1024"},
        {"{\"num_experts\":1}", TW_ERR_FORMAT, "take 2 experts, but a layer has 1"},
        {"{\"num_experts_per_tok\":0}", TW_ERR_FORMAT, "num_experts_per_tok"},
        {"{\"num_experts_per_tok\":6}", TW_ERR_FORMAT, "take 6 experts, but a layer has 5"},
        {"{\"num_experts_per_tok\":65}", TW_ERR_LIMIT, "at most 64"},
        {"{\"num_experts_per_tok\":null}", TW_ERR_NOT_FOUND, "num_experts_per_tok"},
        {"{\"moe_intermediate_size\":null}", TW_ERR_NOT_FOUND, "moe_intermediate_size"},
        {"{\"moe_intermediate_size\":1048577}", TW_ERR_LIMIT, "moe_intermediate_size"},
        {"{\"norm_topk_prob\":\"yes\"}", TW_ERR_FORMAT, "norm_topk_prob"},
        {"{\"head_dim\":null}", TW_ERR_FORMAT, "must say its head size"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        expect_config("qwen3moe", rows[i].members, rows[i].status, rows[i].words);
    }
}

static void weights_of_experts_are_normed_where_the_file_says_so(void **state)
{
    (void)state;
    struct tw_model_shape shape;
    assert_int_equal(read_config("qwen3moe", "{}", &shape, NULL), TW_OK);
    assert_true(shape.experts_are_normed);
    assert_int_equal(read_config("qwen3moe", "{\"norm_topk_prob\":false}", &shape, NULL), TW_OK);
    assert_false(shape.experts_are_normed);
    assert_int_equal(read_config("qwen3moe", "{\"norm_topk_prob\":null}", &shape, NULL), TW_OK);
    assert_false(shape.experts_are_normed);
}

static void missing_key_heads_are_as_many_as_heads(void **state)
{
    (void)state;
    struct tw_model_shape shape;
    assert_int_equal(
        read_config("llama", "{\"num_key_value_heads\":null,\"head_dim\":null}", &shape, NULL),
        TW_OK);
    assert_int_equal(shape.n_kv_heads, 4);
    assert_int_equal(shape.head_dim, 16);
}

static void rope_scaling_of_a_config_is_read(void **state)
{
    (void)state;
    struct tw_model_shape shape;
    assert_int_equal(read_config("llama", "{\"rope_scaling\":{\"type\":\"linear\",\"factor\":4.0}}",
                                 &shape, NULL),
                     TW_OK);
    assert_int_equal(shape.rope.scaling, TW_ROPE_SCALING_LINEAR);
    assert_true(shape.rope.factor == 4);
    assert_int_equal(read_config("qwen2",
                                 "{\"rope_scaling\":{\"type\":\"yarn\",\"factor\":4.0,"
                                 "\"original_max_position_embeddings\":64}}",
                                 &shape, NULL),
                     TW_OK);
    assert_int_equal(shape.rope.scaling, TW_ROPE_SCALING_YARN);
    assert_true(shape.rope.original_context_tokens == 64);
    assert_true(shape.rope.beta_fast == 32 && shape.rope.beta_slow == 1);
    assert_true(shape.rope.attention_factor == 0);
    assert_int_equal(read_config("qwen3",
                                 "{\"rope_theta\":null,\"rope_parameters\":{\"rope_type\":\"yarn\","
                                 "\"rope_theta\":1000000.0,\"factor\":2.0,\"beta_fast\":16,"
                                 "\"beta_slow\":2,\"attention_factor\":1.25}}",
                                 &shape, NULL),
                     TW_OK);
    assert_true(shape.rope.freq_base == 1000000);
    assert_true(shape.rope.beta_fast == 16 && shape.rope.beta_slow == 2);
    assert_true(shape.rope.attention_factor == 1.25);
    assert_true(shape.rope.original_context_tokens == 256);
    assert_int_equal(read_config("llama",
                                 "{\"rope_scaling\":{\"type\":\"yarn\",\"factor\":10.0,"
                                 "\"mscale\":2.0,\"mscale_all_dim\":1.0}}",
                                 &shape, NULL),
                     TW_OK);
    double expected = (0.2 * log(10) + 1) / (0.1 * log(10) + 1);
    assert_true(fabs(shape.rope.attention_factor - expected) < 1e-12);
}

/* 0.1 log(4) + 1 is 1.13863, as the paper's authors ship it for a factor of 4. */
static void yarn_enlarges_cosines_by_the_logarithm_of_its_factor(void **state)
{
    (void)state;
    assert_true(fabs(tw_arch_yarn_magnitude(4, 1) - 1.138629436111989) < 1e-12);
    assert_true(fabs(tw_arch_yarn_magnitude(10, 2) - 1.460517018598809) < 1e-12);
    assert_true(tw_arch_yarn_magnitude(1, 1) == 1);
    assert_true(tw_arch_yarn_magnitude(0.5, 1) == 1);
    assert_true(tw_arch_yarn_magnitude(4, 0) == 1);
}

/* ---- GGUF ---- */

struct change {
    const char *key;
    enum tw_gguf_type type; /* of the value put under the key */
    double number;
    const char *text;
};

/* Metadata of the tiny model without the changed key, then the change; one embedding. */
static void write_changed(const char *arch, const struct change *change)
{
    struct tiny_model model = tiny_model_of(arch);
    struct tw_gguf_writer *writer = NULL;
    struct tw_gguf *plain = NULL;
    tiny_write_gguf(&model, "plain.gguf");
    assert_int_equal(tw_gguf_open("plain.gguf", &plain, NULL), TW_OK);
    assert_int_equal(tw_gguf_writer_open("m.gguf", &writer, NULL), TW_OK);
    for (size_t i = 0; i < tw_gguf_n_values(plain); i++) {
        const struct tw_gguf_value *value = tw_gguf_value(plain, i);
        bool is_changed = strlen(change->key) == value->key.size_bytes &&
                          memcmp(change->key, value->key.data, value->key.size_bytes) == 0;
        if (!is_changed) {
            tw_gguf_put_value(writer, value);
        }
    }
    tw_gguf_close(plain);
    const uint32_t list[2] = {2, 2};
    if (change->type == TW_GGUF_ARRAY) {
        tw_gguf_put_array(writer, change->key, TW_GGUF_UINT32, list, 2);
    } else if (change->type == TW_GGUF_STRING && change->text != NULL) {
        tw_gguf_put_text(writer, change->key, change->text);
    } else if (change->type == TW_GGUF_FLOAT32) {
        tw_gguf_put_f32(writer, change->key, (float)change->number);
    } else if (change->type == TW_GGUF_BOOL) {
        tw_gguf_put_bool(writer, change->key, change->number != 0);
    } else if (change->type == TW_GGUF_UINT32) {
        tw_gguf_put_u32(writer, change->key, (uint32_t)change->number);
    }
    const uint64_t shape[TW_TENSOR_DIMS] = {1, 40, 1, 1};
    const float zeros[40] = {0};
    tw_gguf_add_tensor(writer, "token_embd.weight", TW_DTYPE_F32, shape);
    assert_int_equal(tw_gguf_writer_begin(writer, NULL), TW_OK);
    assert_int_equal(tw_gguf_writer_data(writer, zeros, sizeof zeros, NULL), TW_OK);
    assert_int_equal(tw_gguf_writer_commit(writer, NULL), TW_OK);
}

static enum tw_status read_changed(const char *arch, const struct change *change,
                                   struct tw_model_shape *ret_shape, struct tw_error *error)
{
    struct tw_model_files *files = NULL;
    write_changed(arch, change);
    assert_int_equal(tw_model_files_open("m.gguf", &files, error), TW_OK);
    enum tw_status status = tw_model_read_shape(files, ret_shape, error);
    tw_model_files_close(files);
    return status;
}

static void settings_of_a_gguf_file_are_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        struct change change;
        enum tw_status status;
        const char *words;
    } rows[] = {
        {{"qwen2.block_count", TW_GGUF_STRING, 0, NULL}, TW_ERR_NOT_FOUND, "qwen2.block_count"},
        {{"qwen2.block_count", TW_GGUF_STRING, 0, "2"}, TW_ERR_FORMAT, "a finite number"},
        {{"qwen2.block_count", TW_GGUF_UINT32, 4e9, NULL}, TW_ERR_LIMIT, "qwen2.block_count"},
        {{"qwen2.attention.head_count_kv", TW_GGUF_ARRAY, 0, NULL},
         TW_ERR_FORMAT,
         "head_count_kv: expected a finite number"},
        {{"qwen2.attention.head_count_kv", TW_GGUF_UINT32, 3, NULL}, TW_ERR_FORMAT, "3 key heads"},
        {{"qwen2.attention.layer_norm_rms_epsilon", TW_GGUF_STRING, 0, NULL},
         TW_ERR_NOT_FOUND,
         "layer_norm_rms_epsilon"},
        {{"qwen2.attention.layer_norm_rms_epsilon", TW_GGUF_FLOAT32, NAN, NULL},
         TW_ERR_FORMAT,
         "a finite number"},
        {{"qwen2.rope.freq_base", TW_GGUF_FLOAT32, INFINITY, NULL},
         TW_ERR_FORMAT,
         "a finite number"},
        {{"qwen2.rope.freq_base", TW_GGUF_FLOAT32, 0, NULL}, TW_ERR_FORMAT, "RoPE"},
        {{"qwen2.attention.value_length", TW_GGUF_UINT32, 8, NULL},
         TW_ERR_UNSUPPORTED,
         "attention.value_length = 8"},
        {{"qwen2.rope.dimension_count", TW_GGUF_UINT32, 8, NULL},
         TW_ERR_UNSUPPORTED,
         "rope.dimension_count = 8"},
        {{"qwen2.attention.sliding_window", TW_GGUF_UINT32, 128, NULL},
         TW_ERR_UNSUPPORTED,
         "128 of 256"},
        {{"qwen2.expert_count", TW_GGUF_UINT32, 8, NULL}, TW_ERR_UNSUPPORTED, "expert_count = 8"},
        {{"qwen3moe.expert_count", TW_GGUF_UINT32, 0, NULL},
         TW_ERR_FORMAT,
         "qwen3moe.expert_count: expected a whole number above 0"},
        {{"qwen3moe.expert_count", TW_GGUF_UINT32, 5000, NULL}, TW_ERR_LIMIT, "at most 1024"},
        {{"qwen3moe.expert_count", TW_GGUF_STRING, 0, NULL}, TW_ERR_NOT_FOUND, "expert_count"},
        {{"qwen3moe.expert_used_count", TW_GGUF_UINT32, 6, NULL},
         TW_ERR_FORMAT,
         "take 6 experts, but a layer has 5"},
        {{"qwen3moe.expert_used_count", TW_GGUF_UINT32, 0, NULL}, TW_ERR_FORMAT, "expert_used"},
        {{"qwen3moe.expert_feed_forward_length", TW_GGUF_STRING, 0, NULL},
         TW_ERR_NOT_FOUND,
         "qwen3moe.expert_feed_forward_length"},
        {{"qwen3moe.expert_gating_func", TW_GGUF_UINT32, 2, NULL},
         TW_ERR_UNSUPPORTED,
         "by softmax"},
        {{"qwen3moe.expert_shared_count", TW_GGUF_UINT32, 1, NULL},
         TW_ERR_UNSUPPORTED,
         "all tokens share"},
        {{"qwen3moe.leading_dense_block_count", TW_GGUF_UINT32, 1, NULL},
         TW_ERR_UNSUPPORTED,
         "first layers without experts"},
        {{"qwen2.attn_logit_softcapping", TW_GGUF_FLOAT32, 50, NULL},
         TW_ERR_UNSUPPORTED,
         "attn_logit_softcapping"},
        {{"qwen2.final_logit_softcapping", TW_GGUF_FLOAT32, 30, NULL},
         TW_ERR_UNSUPPORTED,
         "final_logit_softcapping"},
        {{"qwen2.logit_scale", TW_GGUF_FLOAT32, 0.5, NULL}, TW_ERR_UNSUPPORTED, "logit_scale"},
        {{"qwen2.residual_scale", TW_GGUF_FLOAT32, 0.5, NULL},
         TW_ERR_UNSUPPORTED,
         "residual_scale"},
        {{"qwen2.attention.scale", TW_GGUF_FLOAT32, 0.5, NULL},
         TW_ERR_UNSUPPORTED,
         "attention.scale"},
        {{"qwen2.attention.clamp_kqv", TW_GGUF_FLOAT32, 8, NULL}, TW_ERR_UNSUPPORTED, "clamp_kqv"},
        {{"qwen2.attention.causal", TW_GGUF_BOOL, 0, NULL}, TW_ERR_UNSUPPORTED, "not causal"},
        {{"qwen2.use_parallel_residual", TW_GGUF_BOOL, 1, NULL}, TW_ERR_UNSUPPORTED, "parallel"},
        {{"qwen2.rope.scaling.type", TW_GGUF_STRING, 0, "longrope"},
         TW_ERR_UNSUPPORTED,
         "'longrope'"},
        {{"qwen2.rope.scaling.type", TW_GGUF_STRING, 0, "llama3"},
         TW_ERR_UNSUPPORTED,
         "rope_freqs.weight"},
        {{"qwen2.rope.scaling.type", TW_GGUF_UINT32, 1, NULL}, TW_ERR_FORMAT, "expected a text"},
        {{"general.architecture", TW_GGUF_STRING, 0, "mamba"},
         TW_ERR_UNSUPPORTED,
         "'mamba' is not supported; known are llama, qwen2, qwen3, qwen3moe"},
        {{"general.architecture", TW_GGUF_STRING, 0, NULL}, TW_ERR_FORMAT, "general.architecture"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tw_model_shape shape;
        struct tw_error error = {0};
        bool is_moe = strncmp(rows[i].change.key, "qwen3moe.", 9) == 0;
        enum tw_status got =
            read_changed(is_moe ? "qwen3moe" : "qwen2", &rows[i].change, &shape, &error);
        if (got != rows[i].status || strstr(error.text, rows[i].words) == NULL) {
            fail_msg("%s: expected %s with '%s', got %s: %s", rows[i].change.key,
                     tw_status_name(rows[i].status), rows[i].words, tw_status_name(got),
                     error.text);
        }
    }
}

static void rope_scaling_of_a_gguf_file_is_read(void **state)
{
    (void)state;
    struct tw_model_shape shape;
    struct change factor = {"llama.rope.scaling.factor", TW_GGUF_FLOAT32, 4, NULL};
    assert_int_equal(read_changed("llama", &factor, &shape, NULL), TW_OK);
    assert_int_equal(shape.rope.scaling, TW_ROPE_SCALING_LINEAR); /* a factor without a type */
    assert_true(shape.rope.factor == 4);
    factor.number = 1;
    assert_int_equal(read_changed("llama", &factor, &shape, NULL), TW_OK);
    assert_int_equal(shape.rope.scaling, TW_ROPE_SCALING_NONE);
    struct change yarn = {"llama.rope.scaling.type", TW_GGUF_STRING, 0, "yarn"};
    assert_int_equal(read_changed("llama", &yarn, &shape, NULL), TW_OK);
    assert_int_equal(shape.rope.scaling, TW_ROPE_SCALING_YARN);
    assert_true(shape.rope.beta_fast == 32 && shape.rope.original_context_tokens == 256);
}

/* ---- tensors ---- */

static void expect_tensors(const struct tiny_model *model, enum tw_status status, const char *words)
{
    struct tw_model_files *files = NULL;
    struct tw_model_shape shape;
    struct tw_error error = {0};
    tiny_write_gguf(model, "m.gguf");
    assert_int_equal(tw_model_files_open("m.gguf", &files, &error), TW_OK);
    enum tw_status got = tw_model_read_shape(files, &shape, &error);
    if (got == TW_OK) {
        got = tw_arch_check_tensors(files, &shape, &error);
    }
    if (got != status || strstr(error.text, words) == NULL) {
        fail_msg("expected %s with '%s', got %s: %s", tw_status_name(status), words,
                 tw_status_name(got), error.text);
    }
    tw_model_files_close(files);
}

static void each_missing_tensor_is_named(void **state)
{
    (void)state;
    for (size_t k = 0; k < N_ARCHS; k++) {
        struct tiny_model model = tiny_model_of(archs[k]);
        struct tiny_tensor tensor;
        for (size_t i = 0; tiny_tensor_at(&model, i, &tensor); i++) {
            struct tiny_model broken = model;
            broken.left_out = tensor.gguf_name;
            if (strcmp(tensor.gguf_name, "output.weight") != 0) { /* that makes it tied */
                expect_tensors(&broken, TW_ERR_NOT_FOUND, tensor.gguf_name);
            }
        }
    }
}

static void a_folder_without_its_head_is_not_silently_tied(void **state)
{
    (void)state;
    struct tiny_model model = tiny_model_of("llama");
    struct tw_model_files *files = NULL;
    struct tw_model_shape shape;
    struct tw_error error = {0};
    model.left_out = "output.weight";
    tiny_write_folder(&model, "f", 1);
    assert_int_equal(tw_model_files_open("f", &files, NULL), TW_OK);
    assert_int_equal(tw_model_read_shape(files, &shape, NULL), TW_OK);
    assert_int_equal(tw_arch_check_tensors(files, &shape, &error), TW_ERR_NOT_FOUND);
    assert_non_null(strstr(error.text, "output.weight"));
    tw_model_files_close(files);
}

static void a_tensor_nobody_would_read_is_refused(void **state)
{
    (void)state;
    static const char *const names[] = {"blk.0.attn_output.bias",
                                        "blk.0.ffn_gate_exps.weight",
                                        "blk.2.attn_norm.weight",
                                        "blk.00.attn_norm.weight",
                                        "blk.0.attn_q_norm.weight",
                                        "cls.output.weight",
                                        "output.bias",
                                        "blk.99999999999.attn_norm.weight"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct tiny_model model = tiny_model_of("qwen2");
        model.extra = names[i];
        expect_tensors(&model, TW_ERR_UNSUPPORTED, names[i]);
    }
}

static void biases_of_a_llama_file_are_taken_up(void **state)
{
    (void)state;
    struct tiny_model model = tiny_model_of("llama");
    model.extra = "blk.0.attn_q.bias"; /* and then all of them are wanted */
    expect_tensors(&model, TW_ERR_NOT_FOUND, "blk.1.attn_q.bias");
}

/* One tensor replaced by another of its name. */
static void expect_replaced_in(const char *arch, const char *name, enum tw_dtype dtype,
                               const uint64_t new_shape[3], enum tw_status status,
                               const char *words)
{
    struct tiny_model model = tiny_model_of(arch);
    struct tw_gguf_writer *writer = NULL;
    struct tiny_tensor tensor;
    assert_int_equal(tw_gguf_writer_open("m.gguf", &writer, NULL), TW_OK);
    tiny_put_metadata(&model, writer);
    size_t sizes[64];
    size_t n = 0;
    for (; tiny_tensor_at(&model, n, &tensor); n++) {
        bool is_it = strcmp(tensor.gguf_name, name) == 0;
        enum tw_dtype type = is_it ? dtype : TW_DTYPE_F32;
        uint64_t shape[4] = {tensor.n_columns, tensor.n_rows / tensor.n_experts, tensor.n_experts,
                             1};
        if (is_it) {
            memcpy(shape, new_shape, 3 * sizeof *shape);
        }
        tw_gguf_add_tensor(writer, tensor.gguf_name, type, shape);
        sizes[n] = (size_t)(shape[1] * shape[2]) * tw_dtype_row_bytes(type, (size_t)shape[0]);
    }
    assert_int_equal(tw_gguf_writer_begin(writer, NULL), TW_OK);
    for (size_t i = 0; i < n; i++) {
        void *zeros = calloc(1, sizes[i]);
        assert_int_equal(tw_gguf_writer_data(writer, zeros, sizes[i], NULL), TW_OK);
        free(zeros);
    }
    assert_int_equal(tw_gguf_writer_commit(writer, NULL), TW_OK);
    struct tw_model_files *files = NULL;
    struct tw_model_shape shape;
    struct tw_error error = {0};
    assert_int_equal(tw_model_files_open("m.gguf", &files, &error), TW_OK);
    assert_int_equal(tw_model_read_shape(files, &shape, &error), TW_OK);
    enum tw_status got = tw_arch_check_tensors(files, &shape, &error);
    if (got != status || strstr(error.text, words) == NULL) {
        fail_msg("expected %s with '%s', got %s: %s", tw_status_name(status), words,
                 tw_status_name(got), error.text);
    }
    tw_model_files_close(files);
}

static void expect_replaced(const char *name, enum tw_dtype dtype, uint64_t n_columns,
                            uint64_t n_rows, enum tw_status status, const char *words)
{
    expect_replaced_in("llama", name, dtype, (const uint64_t[3]){n_columns, n_rows, 1}, status,
                       words);
}

static void experts_of_another_number_or_shape_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum tw_dtype dtype;
        uint64_t shape[3];
        enum tw_status status;
        const char *words;
    } rows[] = {
        {"blk.0.ffn_gate_exps.weight",
         TW_DTYPE_F32,
         {64, 32, 4},
         TW_ERR_FORMAT,
         "is [64, 32, 4, 1]; the model's numbers ask for [64, 32, 5]"},
        {"blk.1.ffn_down_exps.weight", TW_DTYPE_F32, {64, 32, 5}, TW_ERR_FORMAT, "[32, 64, 5]"},
        {"blk.1.ffn_up_exps.weight", TW_DTYPE_F32, {64, 160, 1}, TW_ERR_FORMAT, "[64, 32, 5]"},
        {"blk.1.ffn_gate_inp.weight", TW_DTYPE_F32, {64, 6, 1}, TW_ERR_FORMAT, "[64, 5]"},
        {"blk.1.attn_v.weight", TW_DTYPE_F32, {64, 64, 2}, TW_ERR_FORMAT, "attn_v"},
        {"blk.1.ffn_up_exps.weight", TW_DTYPE_Q8_0, {64, 32, 5}, TW_OK, ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        expect_replaced_in("qwen3moe", rows[i].name, rows[i].dtype, rows[i].shape, rows[i].status,
                           rows[i].words);
    }
}

static void wrong_shapes_and_types_are_refused(void **state)
{
    (void)state;
    expect_replaced(
        "blk.1.attn_k.weight", TW_DTYPE_F32, 64, 64, TW_ERR_FORMAT,
        "'blk.1.attn_k.weight' is [64, 64, 1, 1]; the model's numbers ask for [64, 32]");
    expect_replaced("blk.0.ffn_down.weight", TW_DTYPE_F32, 64, 96, TW_ERR_FORMAT, "ffn_down");
    expect_replaced("blk.0.attn_norm.weight", TW_DTYPE_F32, 63, 1, TW_ERR_FORMAT, "attn_norm");
    expect_replaced("output.weight", TW_DTYPE_F32, 64, 39, TW_ERR_FORMAT, "output.weight");
    expect_replaced("blk.0.attn_norm.weight", TW_DTYPE_Q8_0, 64, 1, TW_ERR_UNSUPPORTED,
                    "'blk.0.attn_norm.weight' has type Q8_0");
    expect_replaced("blk.0.attn_norm.weight", TW_DTYPE_F16, 64, 1, TW_OK, "");
    expect_replaced("blk.0.attn_q.weight", TW_DTYPE_Q4_0, 64, 64, TW_OK, "");
}

static void names_match_both_ways(void **state)
{
    (void)state;
    for (size_t k = 0; k < N_ARCHS; k++) {
        struct tiny_model model = tiny_model_of(archs[k]);
        const struct tw_arch *arch = tw_arch_find(archs[k], strlen(archs[k]));
        struct tiny_tensor tensor;
        for (size_t i = 0; tiny_tensor_at(&model, i, &tensor); i++) {
            uint32_t layer = 99;
            char name[TW_ARCH_NAME_BYTES];
            char hf_name[TINY_NAME_BYTES];
            uint32_t expert = 99, expected = tensor.n_experts > 1 ? 3 : 0;
            const struct tw_arch_tensor *row = tw_arch_match_expert(
                arch, tiny_hf_name(&tensor, expected, hf_name), false, &layer, &expert);
            assert_non_null(row);
            assert_int_equal(expert, expected);
            tw_arch_tensor_name(row, layer, name);
            assert_string_equal(name, tensor.gguf_name);
            assert_ptr_equal(tw_arch_match(arch, tensor.gguf_name, true, &layer), row);
        }
        uint32_t layer = 0;
        assert_null(
            tw_arch_match(arch, "model.layers.0.mlp.experts.01.up_proj.weight", false, &layer));
        assert_null(
            tw_arch_match(arch, "model.layers.0.mlp.experts..up_proj.weight", false, &layer));
        assert_null(tw_arch_match(arch, "model.layers.01.mlp.up_proj.weight", false, &layer));
        assert_null(tw_arch_match(arch, "model.layers..mlp.up_proj.weight", false, &layer));
        assert_null(tw_arch_match(arch, "model.layers.0.mlp.up_proj.weight2", false, &layer));
        assert_null(tw_arch_match(arch, "model.layers.0.mlp.up_proj", false, &layer));
        assert_null(tw_arch_match(arch, "", false, &layer));
    }
}

/* ---- llama3 factors ---- */

/* The numbers of Llama 3.1, against the definition in terms of wavelengths. */
static void llama3_factors_follow_their_definition(void **state)
{
    (void)state;
    struct tiny_model model = tiny_model_of("llama");
    struct tw_model_files *files = NULL;
    tiny_write_folder(&model, "f", 1);
    assert_int_equal(tw_model_files_open("f", &files, NULL), TW_OK);
    struct tw_model_shape shape = {.arch = "llama",
                                   .rope = {.freq_base = 500000,
                                            .scaling = TW_ROPE_SCALING_LLAMA3,
                                            .factor = 8,
                                            .original_context_tokens = 8192,
                                            .low_freq_factor = 1,
                                            .high_freq_factor = 4,
                                            .n_dims = 128}};
    float factors[64];
    assert_int_equal(tw_arch_rope_factors(files, &shape, factors, NULL), TW_OK);
    int n_between = 0;
    for (int i = 0; i < 64; i++) {
        double frequency = pow(500000, -i / 64.0);
        double wavelength = 2 * 3.14159265358979323846 / frequency;
        double scaled = frequency;
        if (wavelength > 8192.0 / 1) {
            scaled = frequency / 8;
        } else if (wavelength >= 8192.0 / 4) {
            double smooth = (8192 / wavelength - 1) / (4 - 1);
            scaled = (1 - smooth) * frequency / 8 + smooth * frequency;
            n_between++;
        }
        assert_true(fabs(frequency / scaled - (double)factors[i]) < 1e-5);
    }
    assert_true(factors[0] == 1 && factors[63] == 8 && n_between > 3);
    shape.rope.scaling = TW_ROPE_SCALING_NONE;
    assert_int_equal(tw_arch_rope_factors(files, &shape, factors, NULL), TW_OK);
    assert_true(factors[0] == 1 && factors[63] == 1);
    tw_model_files_close(files);
}

/* A llama file with one layer's worth of nothing but rope_freqs.weight and an embedding. */
static struct tw_model_files *open_with_freqs(enum tw_dtype dtype, uint64_t n, const float *factors,
                                              double linear_factor)
{
    struct tiny_model model = tiny_model_of("llama");
    struct tw_gguf_writer *writer = NULL;
    struct tw_model_files *files = NULL;
    const uint64_t freqs[TW_TENSOR_DIMS] = {n, 1, 1, 1};
    const uint64_t embedding[TW_TENSOR_DIMS] = {1, 40, 1, 1};
    const float zeros[40] = {0};
    assert_int_equal(tw_gguf_writer_open("m.gguf", &writer, NULL), TW_OK);
    tiny_put_metadata(&model, writer);
    tw_gguf_put_f32(writer, "llama.rope.scaling.factor", (float)linear_factor);
    tw_gguf_add_tensor(writer, "rope_freqs.weight", dtype, freqs);
    tw_gguf_add_tensor(writer, "token_embd.weight", TW_DTYPE_F32, embedding);
    assert_int_equal(tw_gguf_writer_begin(writer, NULL), TW_OK);
    assert_int_equal(
        tw_gguf_writer_data(writer, factors, tw_dtype_row_bytes(dtype, (size_t)n), NULL), TW_OK);
    assert_int_equal(tw_gguf_writer_data(writer, zeros, sizeof zeros, NULL), TW_OK);
    assert_int_equal(tw_gguf_writer_commit(writer, NULL), TW_OK);
    assert_int_equal(tw_model_files_open("m.gguf", &files, NULL), TW_OK);
    return files;
}

static void factors_of_a_file_must_be_numbers_to_divide_by(void **state)
{
    (void)state;
    static const struct {
        enum tw_dtype dtype;
        uint64_t n;
        float last;
        enum tw_status status;
        const char *words;
    } rows[] = {
        {TW_DTYPE_F32, 8, 4, TW_OK, ""},
        {TW_DTYPE_F16, 8, 4, TW_ERR_FORMAT, "expected 8 f32 factors"},
        {TW_DTYPE_F32, 7, 4, TW_ERR_FORMAT, "expected 8 f32 factors"},
        {TW_DTYPE_F32, 8, 0, TW_ERR_FORMAT, "factor 7 is 0"},
        {TW_DTYPE_F32, 8, -1, TW_ERR_FORMAT, "factor 7 is -1"},
        {TW_DTYPE_F32, 8, NAN, TW_ERR_FORMAT, "factor 7 is"},
        {TW_DTYPE_F32, 8, INFINITY, TW_ERR_FORMAT, "factor 7 is inf"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        float factors[8] = {1, 1, 1, 1, 2, 2, 4, rows[i].last};
        float read[8] = {0};
        struct tw_model_shape shape;
        struct tw_error error = {0};
        struct tw_model_files *files = open_with_freqs(rows[i].dtype, rows[i].n, factors, 1);
        assert_int_equal(tw_model_read_shape(files, &shape, &error), TW_OK);
        assert_int_equal(shape.rope.scaling, TW_ROPE_SCALING_LLAMA3);
        assert_int_equal(tw_arch_rope_factors(files, &shape, read, &error), rows[i].status);
        assert_non_null(strstr(error.text, rows[i].words));
        assert_true(read[6] == (rows[i].status == TW_OK ? 4 : 0));
        tw_model_files_close(files);
    }
}

static void factors_beside_another_scaling_are_refused(void **state)
{
    (void)state;
    const float factors[8] = {1, 1, 1, 1, 2, 2, 4, 4};
    struct tw_model_shape shape;
    struct tw_error error = {0};
    struct tw_model_files *files = open_with_freqs(TW_DTYPE_F32, 8, factors, 4);
    assert_int_equal(tw_model_read_shape(files, &shape, &error), TW_ERR_UNSUPPORTED);
    assert_non_null(strstr(error.text, "both rope_freqs.weight and linear"));
    tw_model_files_close(files);
}

static void a_vocabulary_over_the_limit_is_refused(void **state)
{
    (void)state;
    struct tiny_model model = tiny_model_of("llama");
    struct tw_gguf_writer *writer = NULL;
    struct tw_model_files *files = NULL;
    struct tw_model_shape shape;
    struct tw_error error = {0};
    const uint64_t embedding[TW_TENSOR_DIMS] = {1, TW_LIMIT_VOCAB_TOKENS + 1, 1, 1};
    uint16_t *zeros = calloc(embedding[1], sizeof *zeros);
    assert_int_equal(tw_gguf_writer_open("m.gguf", &writer, NULL), TW_OK);
    tiny_put_metadata(&model, writer);
    tw_gguf_add_tensor(writer, "token_embd.weight", TW_DTYPE_F16, embedding);
    assert_int_equal(tw_gguf_writer_begin(writer, NULL), TW_OK);
    assert_int_equal(tw_gguf_writer_data(writer, zeros, embedding[1] * sizeof *zeros, NULL), TW_OK);
    assert_int_equal(tw_gguf_writer_commit(writer, NULL), TW_OK);
    free(zeros);
    assert_int_equal(tw_model_files_open("m.gguf", &files, NULL), TW_OK);
    assert_int_equal(tw_model_read_shape(files, &shape, &error), TW_ERR_LIMIT);
    assert_non_null(strstr(error.text, "4194305 rows"));
    tw_model_files_close(files);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, enter_new_folder, leave_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(a_file_and_a_folder_have_the_same_shape),
        cmocka_unit_test(what_is_not_computed_is_refused_by_name),
        cmocka_unit_test(settings_that_change_nothing_are_accepted),
        cmocka_unit_test(numbers_must_be_there_whole_and_within_limits),
        cmocka_unit_test(numbers_of_experts_must_fit_each_other),
        cmocka_unit_test(weights_of_experts_are_normed_where_the_file_says_so),
        cmocka_unit_test(missing_key_heads_are_as_many_as_heads),
        cmocka_unit_test(rope_scaling_of_a_config_is_read),
        cmocka_unit_test(yarn_enlarges_cosines_by_the_logarithm_of_its_factor),
        IN_FOLDER(settings_of_a_gguf_file_are_refused_by_name),
        IN_FOLDER(rope_scaling_of_a_gguf_file_is_read),
        IN_FOLDER(each_missing_tensor_is_named),
        IN_FOLDER(a_folder_without_its_head_is_not_silently_tied),
        IN_FOLDER(a_tensor_nobody_would_read_is_refused),
        IN_FOLDER(biases_of_a_llama_file_are_taken_up),
        IN_FOLDER(wrong_shapes_and_types_are_refused),
        IN_FOLDER(experts_of_another_number_or_shape_are_refused),
        cmocka_unit_test(names_match_both_ways),
        IN_FOLDER(llama3_factors_follow_their_definition),
        IN_FOLDER(factors_of_a_file_must_be_numbers_to_divide_by),
        IN_FOLDER(factors_beside_another_scaling_are_refused),
        IN_FOLDER(a_vocabulary_over_the_limit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
