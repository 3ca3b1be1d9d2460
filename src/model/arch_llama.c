/* Llama 1, 2 and 3.x, and models that say they are one. */
#include "model/arch_rows.h"

static const struct tw_arch_tensor tensors[] = {
    TW_ARCH_ROWS_ENDS,
    TW_ARCH_ROW("rope_freqs.weight", NULL, ROPE_PAIRS, NONE, OPTIONAL),
    TW_ARCH_ROWS_QKV(true),
    TW_ARCH_ROW("blk.%u.attn_q.bias", NULL, Q, NONE, QKV_BIAS),
    TW_ARCH_ROW("blk.%u.attn_k.bias", NULL, KV, NONE, QKV_BIAS),
    TW_ARCH_ROW("blk.%u.attn_v.bias", NULL, KV, NONE, QKV_BIAS),
    TW_ARCH_ROWS_ATTN_OUTPUT,
    TW_ARCH_ROWS_DENSE_FFN,
    TW_ARCH_ROWS_END,
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
