/* Qwen2 and Qwen2.5, dense: biases on q, k and v. */
#include "model/arch_rows.h"

static const struct tw_arch_tensor tensors[] = {
    TW_ARCH_ROWS_ENDS,
    TW_ARCH_ROWS_QKV(false),
    TW_ARCH_ROW("blk.%u.attn_q.bias", "model.layers.%u.self_attn.q_proj.bias", Q, NONE, QKV_BIAS),
    TW_ARCH_ROW("blk.%u.attn_k.bias", "model.layers.%u.self_attn.k_proj.bias", KV, NONE, QKV_BIAS),
    TW_ARCH_ROW("blk.%u.attn_v.bias", "model.layers.%u.self_attn.v_proj.bias", KV, NONE, QKV_BIAS),
    TW_ARCH_ROWS_ATTN_OUTPUT,
    TW_ARCH_ROWS_DENSE_FFN,
    TW_ARCH_ROWS_END,
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
