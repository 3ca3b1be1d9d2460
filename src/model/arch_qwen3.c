/* Qwen3, dense: RMS norms on the heads of q and k, and a head size of its own. */
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
    {"blk.%u.ffn_gate.weight", "model.layers.%u.mlp.gate_proj.weight", TW_ARCH_DIM_EMBED,
     TW_ARCH_DIM_FFN, TW_ARCH_NEED_ALWAYS, false, false},
    {"blk.%u.ffn_up.weight", "model.layers.%u.mlp.up_proj.weight", TW_ARCH_DIM_EMBED,
     TW_ARCH_DIM_FFN, TW_ARCH_NEED_ALWAYS, false, false},
    {"blk.%u.ffn_down.weight", "model.layers.%u.mlp.down_proj.weight", TW_ARCH_DIM_FFN,
     TW_ARCH_DIM_EMBED, TW_ARCH_NEED_ALWAYS, false, false},
    {NULL, NULL, TW_ARCH_DIM_NONE, TW_ARCH_DIM_NONE, TW_ARCH_NEED_ALWAYS, false, false},
};

/* A file that is silent about head_dim means 128 here, not n_embed / n_heads. */
static enum tw_status read(const struct tw_arch_source *source, struct tw_model_shape *shape,
                           struct tw_error *error)
{
    shape->has_qk_norm = true;
    double head_dim = 0;
    bool found = false;
    enum tw_status status =
        tw_arch_number(source, "attention.key_length", "head_dim", &head_dim, &found, error);
    if (status == TW_OK && !found && shape->head_dim != 128) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "a qwen3 model must say its head size (%s)",
                            source->config != NULL ? "head_dim" : "qwen3.attention.key_length");
    }
    if (status == TW_OK) {
        status = tw_arch_refuse(source, NULL, "attention_bias", 0, 0,
                                "a bias on all attention projections", error);
    }
    return status;
}

const struct tw_arch tw_arch_qwen3 = {
    .name = "qwen3",
    .hf_type = "qwen3",
    .hf_class = "Qwen3ForCausalLM",
    .interleaved_rope = false,
    .tensors = tensors,
    .read = read,
};
