/* Qwen2 and Qwen2.5, dense: biases on q, k and v. */
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
    {"blk.%u.attn_q.bias", "model.layers.%u.self_attn.q_proj.bias", TW_ARCH_DIM_Q, TW_ARCH_DIM_NONE,
     TW_ARCH_NEED_QKV_BIAS, false, false},
    {"blk.%u.attn_k.bias", "model.layers.%u.self_attn.k_proj.bias", TW_ARCH_DIM_KV,
     TW_ARCH_DIM_NONE, TW_ARCH_NEED_QKV_BIAS, false, false},
    {"blk.%u.attn_v.bias", "model.layers.%u.self_attn.v_proj.bias", TW_ARCH_DIM_KV,
     TW_ARCH_DIM_NONE, TW_ARCH_NEED_QKV_BIAS, false, false},
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

static enum tw_status read(const struct tw_arch_source *source, struct tw_model_shape *shape,
                           struct tw_error *error)
{
    (void)source;
    (void)error;
    shape->has_qkv_bias = true;
    return TW_OK;
}

const struct tw_arch tw_arch_qwen2 = {
    .name = "qwen2",
    .hf_type = "qwen2",
    .hf_class = "Qwen2ForCausalLM",
    .interleaved_rope = false,
    .tensors = tensors,
    .read = read,
};
