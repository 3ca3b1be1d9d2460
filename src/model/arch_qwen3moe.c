/* Qwen3 with a mixture of experts: the attention of Qwen3, and in every layer a router that gives
 * each token to a few of many small feed-forwards. */
#include "base/limits.h"
#include "model/arch_rows.h"

static const struct tw_arch_tensor tensors[] = {
    TW_ARCH_ROWS_ENDS,
    TW_ARCH_ROWS_QKV(false),
    TW_ARCH_ROWS_QK_NORM,
    TW_ARCH_ROWS_ATTN_OUTPUT,
    TW_ARCH_ROW("blk.%u.ffn_gate_inp.weight", "model.layers.%u.mlp.gate.weight", EMBED, EXPERTS,
                ALWAYS),
    TW_ARCH_EXPERTS_ROW("blk.%u.ffn_gate_exps.weight",
                        "model.layers.%u.mlp.experts.%u.gate_proj.weight", EMBED, EXPERT_FFN),
    TW_ARCH_EXPERTS_ROW("blk.%u.ffn_up_exps.weight",
                        "model.layers.%u.mlp.experts.%u.up_proj.weight", EMBED, EXPERT_FFN),
    TW_ARCH_EXPERTS_ROW("blk.%u.ffn_down_exps.weight",
                        "model.layers.%u.mlp.experts.%u.down_proj.weight", EXPERT_FFN, EMBED),
    TW_ARCH_ROWS_END,
};

/* What changes the result and is not computed. */
static const struct tw_arch_refusal refused_rows[] = {
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
    enum tw_status status = tw_arch_refuse_all(source, refused_rows,
                                               sizeof refused_rows / sizeof refused_rows[0], error);
    const json_t *dense = json_object_get(source->config, "mlp_only_layers");
    if (status == TW_OK && dense != NULL && !json_is_null(dense) &&
        !(json_is_array(dense) && json_array_size(dense) == 0)) {
        return tw_error_set(error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                            "the model asks for layers without experts (mlp_only_layers), which is "
                            "not supported");
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
    enum tw_status status = tw_arch_read_qwen3(source, shape, error);
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
