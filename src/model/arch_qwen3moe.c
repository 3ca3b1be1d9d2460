/* Qwen3 with a mixture of experts: the attention of Qwen3, and in every layer a router that gives
 * each token to a few of many small feed-forwards. */
#include "base/limits.h"
#include "model/arch.h"

static const struct tw_arch_tensor tensors[] = {
    {"token_embd.weight", "model.embed_tokens.weight", TW_ARCH_DIM_EMBED, TW_ARCH_DIM_VOCAB,
     TW_ARCH_NEED_ALWAYS, false, false},
    {"output_norm.weight", "model.norm.weight", TW_ARCH_DIM_EMBED, TW_ARCH_DIM_NONE,
     TW_ARCH_NEED_ALWAYS, false, false},
    {"output.weight", "lm_head.weight", TW_ARCH_DIM_EMBED, TW_ARCH_DIM_VOCAB, TW_ARCH_NEED_UNTIED,
     false, false},
    {"blk.%u.attn_norm.weight", "model.layers.%u.input_layernorm.weight", TW_ARCH_DIM_EMBED,
     TW_ARCH_DIM_NONE, TW_ARCH_NEED_ALWAYS, false, false},
    {"blk.%u.attn_q.weight", "model.layers.%u.self_attn.q_proj.weight", TW_ARCH_DIM_EMBED,
     TW_ARCH_DIM_Q, TW_ARCH_NEED_ALWAYS, false, false},
    {"blk.%u.attn_k.weight", "model.layers.%u.self_attn.k_proj.weight", TW_ARCH_DIM_EMBED,
     TW_ARCH_DIM_KV, TW_ARCH_NEED_ALWAYS, false, false},
    {"blk.%u.attn_v.weight", "model.layers.%u.self_attn.v_proj.weight", TW_ARCH_DIM_EMBED,
     TW_ARCH_DIM_KV, TW_ARCH_NEED_ALWAYS, false, false},
    {"blk.%u.attn_q_norm.weight", "model.layers.%u.self_attn.q_norm.weight", TW_ARCH_DIM_HEAD,
     TW_ARCH_DIM_NONE, TW_ARCH_NEED_QK_NORM, false, false},
    {"blk.%u.attn_k_norm.weight", "model.layers.%u.self_attn.k_norm.weight", TW_ARCH_DIM_HEAD,
     TW_ARCH_DIM_NONE, TW_ARCH_NEED_QK_NORM, false, false},
    {"blk.%u.attn_output.weight", "model.layers.%u.self_attn.o_proj.weight", TW_ARCH_DIM_Q,
     TW_ARCH_DIM_EMBED, TW_ARCH_NEED_ALWAYS, false, false},
    {"blk.%u.ffn_norm.weight", "model.layers.%u.post_attention_layernorm.weight", TW_ARCH_DIM_EMBED,
     TW_ARCH_DIM_NONE, TW_ARCH_NEED_ALWAYS, false, false},
    {"blk.%u.ffn_gate_inp.weight", "model.layers.%u.mlp.gate.weight", TW_ARCH_DIM_EMBED,
     TW_ARCH_DIM_EXPERTS, TW_ARCH_NEED_ALWAYS, false, false},
    {"blk.%u.ffn_gate_exps.weight", "model.layers.%u.mlp.experts.%u.gate_proj.weight",
     TW_ARCH_DIM_EMBED, TW_ARCH_DIM_EXPERT_FFN, TW_ARCH_NEED_ALWAYS, false, true},
    {"blk.%u.ffn_up_exps.weight", "model.layers.%u.mlp.experts.%u.up_proj.weight",
     TW_ARCH_DIM_EMBED, TW_ARCH_DIM_EXPERT_FFN, TW_ARCH_NEED_ALWAYS, false, true},
    {"blk.%u.ffn_down_exps.weight", "model.layers.%u.mlp.experts.%u.down_proj.weight",
     TW_ARCH_DIM_EXPERT_FFN, TW_ARCH_DIM_EMBED, TW_ARCH_NEED_ALWAYS, false, true},
    {NULL, NULL, TW_ARCH_DIM_NONE, TW_ARCH_DIM_NONE, TW_ARCH_NEED_ALWAYS, false, false},
};

/* What changes the result and is not computed. */
static const struct {
    const char *gguf_key;
    const char *hf_key;
    double harmless, also_harmless;
    const char *what;
} refused_rows[] = {
    {NULL, "attention_bias", 0, 0, "a bias on all attention projections"},
    {NULL, "decoder_sparse_step", 1, 1, "layers without experts between those that have some"},
    {"leading_dense_block_count", "first_k_dense_replace", 0, 0, "first layers without experts"},
    {"interleave_moe_layer_step", NULL, 1, 1,
     "layers without experts between those that have some"},
    {"moe_every_n_layers", NULL, 0, 1, "layers without experts between those that have some"},
    {"expert_shared_count", "n_shared_experts", 0, 0, "an expert that all tokens share"},
    {"expert_shared_feed_forward_length", "shared_expert_intermediate_size", 0, 0,
     "an expert that all tokens share"},
    {"expert_group_count", "n_group", 0, 1, "experts in groups"},
    {"expert_weights_scale", "routed_scaling_factor", 0, 1, "scaled weights of experts"},
    {"expert_gating_func", NULL, 0, 1, "another choice of experts than by softmax"},
};

static enum tw_status refuse_numbers(const struct tw_arch_source *source, struct tw_error *error)
{
    enum tw_status status = TW_OK;
    for (size_t i = 0; i < sizeof refused_rows / sizeof refused_rows[0] && status == TW_OK; i++) {
        status = tw_arch_refuse(source, refused_rows[i].gguf_key, refused_rows[i].hf_key,
                                refused_rows[i].harmless, refused_rows[i].also_harmless,
                                refused_rows[i].what, error);
    }
    const json_t *dense = json_object_get(source->config, "mlp_only_layers");
    if (status == TW_OK && dense != NULL && !json_is_null(dense) &&
        !(json_is_array(dense) && json_array_size(dense) == 0)) {
        return tw_error_set(error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                            "the model asks for layers without experts (mlp_only_layers), which is "
                            "not supported");
    }
    return status;
}

/* A file that is silent about head_dim means 128 here, not n_embed / n_heads. */
static enum tw_status check_head_dim(const struct tw_arch_source *source,
                                     const struct tw_model_shape *shape, struct tw_error *error)
{
    double head_dim = 0;
    bool found = false;
    enum tw_status status =
        tw_arch_number(source, "attention.key_length", "head_dim", &head_dim, &found, error);
    if (status == TW_OK && !found && shape->head_dim != 128) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "a qwen3moe model must say its head size (%s)",
                            source->config != NULL ? "head_dim" : "qwen3moe.attention.key_length");
    }
    return status;
}

/* Newer tools write num_local_experts for num_experts. */
static enum tw_status read_sizes(const struct tw_arch_source *source, struct tw_model_shape *shape,
                                 struct tw_error *error)
{
    bool is_renamed = json_object_get(source->config, "num_experts") == NULL &&
                      json_object_get(source->config, "num_local_experts") != NULL;
    enum tw_status status =
        tw_arch_size(source, "expert_count", is_renamed ? "num_local_experts" : "num_experts",
                     TW_LIMIT_MODEL_EXPERTS, true, &shape->n_experts, error);
    if (status == TW_OK) {
        status = tw_arch_size(source, "expert_used_count", "num_experts_per_tok",
                              TW_LIMIT_MODEL_EXPERTS_USED, true, &shape->n_experts_used, error);
    }
    if (status == TW_OK) {
        status = tw_arch_size(source, "expert_feed_forward_length", "moe_intermediate_size",
                              TW_LIMIT_MODEL_FFN, true, &shape->n_expert_ffn, error);
    }
    if (status == TW_OK && shape->n_experts_used > shape->n_experts) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "a token is to take %u experts, but a layer has %u",
                            shape->n_experts_used, shape->n_experts);
    }
    return status;
}

/* A GGUF file that is silent means true, a config.json false. */
static enum tw_status read_normed(const struct tw_arch_source *source, struct tw_model_shape *shape,
                                  struct tw_error *error)
{
    double normed = source->config != NULL ? 0 : 1;
    bool found = false;
    enum tw_status status =
        tw_arch_number(source, "expert_weights_norm", "norm_topk_prob", &normed, &found, error);
    shape->experts_are_normed = normed != 0;
    return status;
}

static enum tw_status read(const struct tw_arch_source *source, struct tw_model_shape *shape,
                           struct tw_error *error)
{
    shape->has_qk_norm = true;
    enum tw_status status = check_head_dim(source, shape, error);
    if (status == TW_OK) {
        status = refuse_numbers(source, error);
    }
    if (status == TW_OK) {
        status = read_sizes(source, shape, error);
    }
    return status == TW_OK ? read_normed(source, shape, error) : status;
}

const struct tw_arch tw_arch_qwen3moe = {
    .name = "qwen3moe",
    .hf_type = "qwen3_moe",
    .hf_class = "Qwen3MoeForCausalLM",
    .interleaved_rope = false,
    .has_experts = true,
    .tensors = tensors,
    .read = read,
};
