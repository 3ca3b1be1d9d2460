/* Qwen3, dense: RMS norms on the heads of q and k, and a head size of its own. */
#include "model/arch_rows.h"

static const struct tw_arch_tensor tensors[] = {
    TW_ARCH_ROWS_ENDS,        TW_ARCH_ROWS_QKV(false), TW_ARCH_ROWS_QK_NORM,
    TW_ARCH_ROWS_ATTN_OUTPUT, TW_ARCH_ROWS_DENSE_FFN,  TW_ARCH_ROWS_END,
};

/* A file that is silent about head_dim means 128 here, not n_embed / n_heads. */
enum tw_status tw_arch_read_qwen3(const struct tw_arch_source *source, struct tw_model_shape *shape,
                                  struct tw_error *error)
{
    shape->has_qk_norm = true;
    double head_dim = 0;
    bool found = false;
    enum tw_status status =
        tw_arch_number(source, "attention.key_length", "head_dim", &head_dim, &found, error);
    if (status == TW_OK && !found && shape->head_dim != 128) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "a %s model must say its head size (%s)", source->arch,
                            source->config != NULL ? "head_dim" : "attention.key_length");
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
    .read = tw_arch_read_qwen3,
};
