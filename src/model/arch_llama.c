/* Llama 1, 2 and 3.x, and models that say they are one. */
#include "model/arch.h"

static const struct tw_arch_tensor tensors[] = {
    {"token_embd.weight", "model.embed_tokens.weight", TW_ARCH_DIM_EMBED, TW_ARCH_DIM_VOCAB,
     TW_ARCH_NEED_ALWAYS, false, false},
    {"output_norm.weight", "model.norm.weight", TW_ARCH_DIM_EMBED, TW_ARCH_DIM_NONE,
     TW_ARCH_NEED_ALWAYS, false, false},
    {"output.weight", "lm_head.weight", TW_ARCH_DIM_EMBED, TW_ARCH_DIM_VOCAB, TW_ARCH_NEED_UNTIED,
     false, false},
    {"rope_freqs.weight", NULL, TW_ARCH_DIM_ROPE_PAIRS, TW_ARCH_DIM_NONE, TW_ARCH_NEED_OPTIONAL,
     false, false},
    {"blk.%u.attn_norm.weight", "model.layers.%u.input_layernorm.weight", TW_ARCH_DIM_EMBED,
     TW_ARCH_DIM_NONE, TW_ARCH_NEED_ALWAYS, false, false},
    {"blk.%u.attn_q.weight", "model.layers.%u.self_attn.q_proj.weight", TW_ARCH_DIM_EMBED,
     TW_ARCH_DIM_Q, TW_ARCH_NEED_ALWAYS, true, false},
    {"blk.%u.attn_k.weight", "model.layers.%u.self_attn.k_proj.weight", TW_ARCH_DIM_EMBED,
     TW_ARCH_DIM_KV, TW_ARCH_NEED_ALWAYS, true, false},
    {"blk.%u.attn_v.weight", "model.layers.%u.self_attn.v_proj.weight", TW_ARCH_DIM_EMBED,
     TW_ARCH_DIM_KV, TW_ARCH_NEED_ALWAYS, false, false},
    {"blk.%u.attn_q.bias", NULL, TW_ARCH_DIM_Q, TW_ARCH_DIM_NONE, TW_ARCH_NEED_QKV_BIAS, false,
     false},
    {"blk.%u.attn_k.bias", NULL, TW_ARCH_DIM_KV, TW_ARCH_DIM_NONE, TW_ARCH_NEED_QKV_BIAS, false,
     false},
    {"blk.%u.attn_v.bias", NULL, TW_ARCH_DIM_KV, TW_ARCH_DIM_NONE, TW_ARCH_NEED_QKV_BIAS, false,
     false},
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

/* GGUF files of relatives carry biases on q, k and v; a config.json with attention_bias asks for
 * one on the output projection too, which no file we read has. */
static enum tw_status read(const struct tw_arch_source *source, struct tw_model_shape *shape,
                           struct tw_error *error)
{
    enum tw_status status = tw_arch_refuse(source, NULL, "attention_bias", 0, 0,
                                           "a bias on all attention projections", error);
    if (status == TW_OK) {
        status = tw_arch_refuse(source, NULL, "mlp_bias", 0, 0, "a bias in the feed-forward part",
                                error);
    }
    if (status == TW_OK && source->config == NULL) {
        shape->has_qkv_bias = tw_model_files_find(source->files, "blk.0.attn_q.bias") != NULL;
    }
    return status;
}

const struct tw_arch tw_arch_llama = {
    .name = "llama",
    .hf_type = "llama",
    .hf_class = "LlamaForCausalLM",
    .interleaved_rope = true,
    .tensors = tensors,
    .read = read,
};
