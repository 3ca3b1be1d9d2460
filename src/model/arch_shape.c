#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "model/arch.h"
#include "model/gguf.h"

enum { KEY_BYTES = 128 };

/* The key as the source spells it, for look-ups and messages; empty when it has no such key. */
static void full_key(const struct tw_arch_source *source, const char *gguf_key, const char *hf_key,
                     char ret_key[KEY_BYTES])
{
    const char *key = source->config != NULL ? hf_key : gguf_key;
    if (key == NULL) {
        ret_key[0] = '\0';
    } else if (source->config != NULL) {
        snprintf(ret_key, KEY_BYTES, "%s", key);
    } else {
        snprintf(ret_key, KEY_BYTES, "%s.%s", source->arch, key);
    }
}

static enum tw_status wrong_kind(const struct tw_arch_source *source, const char *key,
                                 const char *expected, struct tw_error *error)
{
    return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION, "%s%s: expected %s",
                        source->config != NULL ? "config.json: " : "key ", key, expected);
}

static bool gguf_number(const struct tw_gguf_value *value, double *ret_value)
{
    bool flag = false;
    if (tw_gguf_value_bool(value, &flag)) {
        *ret_value = flag ? 1 : 0;
        return true;
    }
    return tw_gguf_value_double(value, ret_value);
}

static bool json_number(const json_t *value, double *ret_value)
{
    if (json_is_boolean(value)) {
        *ret_value = json_is_true(value) ? 1 : 0;
        return true;
    }
    *ret_value = json_is_number(value) ? json_number_value(value) : 0;
    return json_is_number(value);
}

enum tw_status tw_arch_number(const struct tw_arch_source *source, const char *gguf_key,
                              const char *hf_key, double *ret_value, bool *ret_found,
                              struct tw_error *error)
{
    char key[KEY_BYTES];
    full_key(source, gguf_key, hf_key, key);
    double number = 0;
    bool fits = false;
    bool found = false;
    if (source->config != NULL) {
        const json_t *value = json_object_get(source->config, key);
        found = value != NULL && !json_is_null(value);
        fits = json_number(value, &number);
    } else {
        const struct tw_gguf *gguf = tw_model_files_gguf(source->files);
        const struct tw_gguf_value *value = tw_gguf_find_value(gguf, key);
        found = value != NULL;
        fits = gguf_number(value, &number);
    }
    if (found && !(fits && isfinite(number))) {
        return wrong_kind(source, key, "a finite number", error);
    }
    *ret_found = found;
    if (found) {
        *ret_value = number;
    }
    return TW_OK;
}

enum tw_status tw_arch_text(const struct tw_arch_source *source, const char *gguf_key,
                            const char *hf_key, struct tw_bytes *ret_value, bool *ret_found,
                            struct tw_error *error)
{
    char key[KEY_BYTES];
    full_key(source, gguf_key, hf_key, key);
    struct tw_bytes text = {"", 0};
    bool fits = false;
    bool found = false;
    if (source->config != NULL) {
        const json_t *value = json_object_get(source->config, key);
        found = value != NULL && !json_is_null(value);
        fits = json_is_string(value);
        text = fits ? (struct tw_bytes){json_string_value(value), json_string_length(value)} : text;
    } else {
        const struct tw_gguf *gguf = tw_model_files_gguf(source->files);
        const struct tw_gguf_value *value = tw_gguf_find_value(gguf, key);
        found = value != NULL;
        fits = tw_gguf_value_string(value, &text);
    }
    if (found && !fits) {
        return wrong_kind(source, key, "a text", error);
    }
    *ret_found = found;
    if (found) {
        *ret_value = text;
    }
    return TW_OK;
}

enum tw_status tw_arch_refuse(const struct tw_arch_source *source, const char *gguf_key,
                              const char *hf_key, double harmless, double also_harmless,
                              const char *what, struct tw_error *error)
{
    double value = 0;
    bool found = false;
    enum tw_status status = tw_arch_number(source, gguf_key, hf_key, &value, &found, error);
    if (status == TW_OK && found && value != harmless && value != also_harmless) {
        char key[KEY_BYTES];
        full_key(source, gguf_key, hf_key, key);
        return tw_error_set(error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                            "the model asks for %s (%s = %g), which is not supported", what, key,
                            value);
    }
    return status;
}

enum tw_status tw_arch_refuse_all(const struct tw_arch_source *source,
                                  const struct tw_arch_refusal *rows, size_t n_rows,
                                  struct tw_error *error)
{
    enum tw_status status = TW_OK;
    for (const struct tw_arch_refusal *row = rows; row < rows + n_rows && status == TW_OK; row++) {
        status = tw_arch_refuse(source, row->gguf_key, row->hf_key, row->harmless,
                                row->also_harmless, row->what, error);
    }
    return status;
}

/* What changes the result and no architecture here computes. */
static const struct tw_arch_refusal refused_rows[] = {
    {"attn_logit_softcapping", "attn_logit_softcapping", 0, 0, "soft-capped attention scores"},
    {"final_logit_softcapping", "final_logit_softcapping", 0, 0, "soft-capped logits"},
    {"logit_scale", "logit_scale", 0, 1, "scaled logits"},
    {NULL, "logits_scaling", 0, 1, "scaled logits"},
    {"residual_scale", "residual_multiplier", 0, 1, "scaled residuals"},
    {"embedding_scale", "embedding_multiplier", 0, 1, "scaled embeddings"},
    {"attention.scale", "attention_multiplier", 0, 0, "its own scale of attention scores"},
    {"attention.output_scale", NULL, 0, 1, "scaled attention output"},
    {"attention.value_scale", NULL, 0, 1, "scaled attention values"},
    {"attention.temperature_scale", "attn_temperature_tuning", 0, 0, "attention temperatures"},
    {"attention.clamp_kqv", "clip_qkv", 0, 0, "clamped q, k and v"},
    {"attention.max_alibi_bias", "alibi", 0, 0, "ALiBi positions"},
    {"attention.causal", "is_causal", 1, 1, "attention that is not causal"},
    {"use_parallel_residual", "use_parallel_residual", 0, 0, "parallel residuals"},
    {"rope.scaling.alpha", NULL, 0, 0, "NTK alpha scaling of RoPE"},
    {"rope.scaling.yarn_log_multiplier", NULL, 0, 0, "a YaRN log multiplier"},
    {NULL, "partial_rotary_factor", 1, 1, "RoPE on a part of each head"},
};

static enum tw_status refuse_experts(const struct tw_arch_source *source, struct tw_error *error)
{
    static const char *const hf_keys[] = {"num_experts", "num_local_experts", "n_routed_experts"};
    enum tw_status status = TW_OK;
    for (size_t i = 0; i < sizeof hf_keys / sizeof hf_keys[0] && status == TW_OK; i++) {
        status =
            tw_arch_refuse(source, "expert_count", hf_keys[i], 0, 0, "a mixture of experts", error);
    }
    return status;
}

static enum tw_status check_activation(const struct tw_arch_source *source, struct tw_error *error)
{
    struct tw_bytes name = {"silu", 4};
    bool found = false;
    enum tw_status status = tw_arch_text(source, NULL, "hidden_act", &name, &found, error);
    bool is_silu = (name.size_bytes == 4 && memcmp(name.data, "silu", 4) == 0) ||
                   (name.size_bytes == 5 && memcmp(name.data, "swish", 5) == 0);
    if (status == TW_OK && !is_silu) {
        return tw_error_set(error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                            "config.json: hidden_act is '%.32s'; only silu is supported",
                            name.data);
    }
    return status;
}

static enum tw_status check_layer_types(const json_t *config, struct tw_error *error)
{
    const json_t *types = json_object_get(config, "layer_types");
    for (size_t i = 0; i < json_array_size(types); i++) {
        const char *type = json_string_value(json_array_get(types, i));
        if (type == NULL || strcmp(type, "full_attention") != 0) {
            return tw_error_set(error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                                "config.json: layer %zu has type '%.32s'; only full_attention is "
                                "supported",
                                i, type != NULL ? type : "");
        }
    }
    return TW_OK;
}

/* A window at least as wide as the context changes nothing. */
static enum tw_status check_window(const struct tw_arch_source *source,
                                   const struct tw_model_shape *shape, struct tw_error *error)
{
    double window = 0;
    double is_used = 1;
    bool found = false;
    bool use_found = false;
    enum tw_status status = tw_arch_number(source, "attention.sliding_window", "sliding_window",
                                           &window, &found, error);
    if (status == TW_OK) {
        status = tw_arch_number(source, NULL, "use_sliding_window", &is_used, &use_found, error);
    }
    if (status == TW_OK && found && is_used != 0 && window > 0 &&
        window < shape->n_context_tokens) {
        return tw_error_set(error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                            "the model asks for sliding window attention (%g of %u tokens), which "
                            "is not supported",
                            window, shape->n_context_tokens);
    }
    return status;
}

static enum tw_status check_config_only(const struct tw_arch_source *source, struct tw_error *error)
{
    const json_t *quantisation = json_object_get(source->config, "quantization_config");
    if (quantisation != NULL && !json_is_null(quantisation)) {
        const char *method = json_string_value(json_object_get(quantisation, "quant_method"));
        return tw_error_set(error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                            "config.json: weights quantised with '%.32s' are not read; F32, F16 "
                            "and BF16 are",
                            method != NULL ? method : "an unnamed method");
    }
    enum tw_status status = check_activation(source, error);
    return status == TW_OK ? check_layer_types(source->config, error) : status;
}

/* ---- the common numbers ---- */

static const struct {
    const char *gguf_key;
    const char *hf_key;
    size_t offset;
    uint32_t limit;
    bool is_required;
} size_rows[] = {
    {"block_count", "num_hidden_layers", offsetof(struct tw_model_shape, n_layers),
     TW_LIMIT_MODEL_LAYERS, true},
    {"embedding_length", "hidden_size", offsetof(struct tw_model_shape, n_embed),
     TW_LIMIT_MODEL_EMBED, true},
    {"attention.head_count", "num_attention_heads", offsetof(struct tw_model_shape, n_heads),
     TW_LIMIT_MODEL_HEADS, true},
    {"attention.head_count_kv", "num_key_value_heads", offsetof(struct tw_model_shape, n_kv_heads),
     TW_LIMIT_MODEL_HEADS, false},
    {"attention.key_length", "head_dim", offsetof(struct tw_model_shape, head_dim),
     TW_LIMIT_MODEL_HEAD_DIM, false},
    {"feed_forward_length", "intermediate_size", offsetof(struct tw_model_shape, n_ffn),
     TW_LIMIT_MODEL_FFN, true},
    {"context_length", "max_position_embeddings", offsetof(struct tw_model_shape, n_context_tokens),
     TW_LIMIT_MODEL_CONTEXT_TOKENS, true},
};

enum tw_status tw_arch_size(const struct tw_arch_source *source, const char *gguf_key,
                            const char *hf_key, uint32_t limit, bool is_required,
                            uint32_t *ret_size, struct tw_error *error)
{
    double value = 0;
    bool found = false;
    enum tw_status status = tw_arch_number(source, gguf_key, hf_key, &value, &found, error);
    if (status != TW_OK || (!found && !is_required)) {
        return status;
    }
    char key[KEY_BYTES];
    full_key(source, gguf_key, hf_key, key);
    if (!found) {
        return tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION, "the model does not say %s",
                            key);
    }
    if (value < 1 || value != floor(value)) {
        return wrong_kind(source, key, "a whole number above 0", error);
    }
    if (value > limit) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION, "%s is %.0f; at most %u is read",
                            key, value, limit);
    }
    *ret_size = (uint32_t)value;
    return TW_OK;
}

static enum tw_status read_sizes(const struct tw_arch_source *source, struct tw_model_shape *shape,
                                 struct tw_error *error)
{
    for (size_t i = 0; i < sizeof size_rows / sizeof size_rows[0]; i++) {
        uint32_t size = 0;
        enum tw_status status =
            tw_arch_size(source, size_rows[i].gguf_key, size_rows[i].hf_key, size_rows[i].limit,
                         size_rows[i].is_required, &size, error);
        if (status != TW_OK) {
            return status;
        }
        memcpy((char *)shape + size_rows[i].offset, &size, sizeof size);
    }
    if (source->config == NULL) {
        return TW_OK;
    }
    return tw_arch_size(source, NULL, "vocab_size", TW_LIMIT_VOCAB_TOKENS, true, &shape->n_vocab,
                        error);
}

static enum tw_status complete_heads(struct tw_model_shape *shape, struct tw_error *error)
{
    if (shape->n_kv_heads == 0) {
        shape->n_kv_heads = shape->n_heads;
    }
    if (shape->n_heads % shape->n_kv_heads != 0) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "%u attention heads are no multiple of %u key heads", shape->n_heads,
                            shape->n_kv_heads);
    }
    if (shape->head_dim == 0) {
        if (shape->n_embed % shape->n_heads != 0) {
            return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                                "%u embedding dimensions are no multiple of %u heads",
                                shape->n_embed, shape->n_heads);
        }
        shape->head_dim = shape->n_embed / shape->n_heads;
    }
    if (shape->head_dim % 2 != 0) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "heads have %u dimensions; RoPE needs an even number", shape->head_dim);
    }
    if (shape->head_dim > TW_LIMIT_MODEL_HEAD_DIM) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "heads have %u dimensions; at most %u are read", shape->head_dim,
                            TW_LIMIT_MODEL_HEAD_DIM);
    }
    return TW_OK;
}

static enum tw_status check_value_heads(const struct tw_arch_source *source,
                                        const struct tw_model_shape *shape, struct tw_error *error)
{
    enum tw_status status =
        tw_arch_refuse(source, "attention.value_length", NULL, shape->head_dim, shape->head_dim,
                       "value heads of another size than key heads", error);
    if (status == TW_OK) {
        status = tw_arch_refuse(source, "rope.dimension_count", NULL, shape->head_dim,
                                shape->head_dim, "RoPE on a part of each head", error);
    }
    return status;
}

static enum tw_status read_eps(const struct tw_arch_source *source, struct tw_model_shape *shape,
                               struct tw_error *error)
{
    double eps = 0;
    bool found = false;
    enum tw_status status = tw_arch_number(source, "attention.layer_norm_rms_epsilon",
                                           "rms_norm_eps", &eps, &found, error);
    if (status != TW_OK) {
        return status;
    }
    char key[KEY_BYTES];
    full_key(source, "attention.layer_norm_rms_epsilon", "rms_norm_eps", key);
    if (!found) {
        return tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION, "the model does not say %s",
                            key);
    }
    if ((float)eps <= 0 || eps > 1) {
        return wrong_kind(source, key, "a number above 0 and at most 1", error);
    }
    shape->rms_eps = (float)eps;
    return TW_OK;
}

static enum tw_status read_tied(const struct tw_arch_source *source, struct tw_model_shape *shape,
                                struct tw_error *error)
{
    double tied = 0;
    bool found = false;
    enum tw_status status =
        tw_arch_number(source, NULL, "tie_word_embeddings", &tied, &found, error);
    if (status == TW_OK) {
        shape->tied_head = tied != 0;
    }
    return status;
}

static enum tw_status read_common(const struct tw_arch_source *source, struct tw_model_shape *shape,
                                  struct tw_error *error)
{
    enum tw_status status = read_sizes(source, shape, error);
    if (status == TW_OK) {
        status = complete_heads(shape, error);
    }
    if (status == TW_OK) {
        status = check_value_heads(source, shape, error);
    }
    if (status == TW_OK) {
        status = read_eps(source, shape, error);
    }
    if (status == TW_OK) {
        status = tw_arch_read_rope(source, shape->head_dim, shape->n_context_tokens, &shape->rope,
                                   error);
    }
    if (status == TW_OK && source->config != NULL) {
        status = read_tied(source, shape, error);
    }
    return status;
}

enum tw_status tw_arch_read_shape(const struct tw_arch *arch, const struct tw_arch_source *source,
                                  struct tw_model_shape *ret_shape, struct tw_error *error)
{
    struct tw_model_shape shape = {.rope = {.interleaved = arch->interleaved_rope}};
    snprintf(shape.arch, sizeof shape.arch, "%s", arch->name);
    enum tw_status status = read_common(source, &shape, error);
    if (status == TW_OK) {
        status = check_window(source, &shape, error);
    }
    if (status == TW_OK) {
        status = tw_arch_refuse_all(source, refused_rows,
                                    sizeof refused_rows / sizeof refused_rows[0], error);
    }
    if (status == TW_OK && !arch->has_experts) {
        status = refuse_experts(source, error);
    }
    if (status == TW_OK && source->config != NULL) {
        status = check_config_only(source, error);
    }
    if (status == TW_OK) {
        status = arch->read(source, &shape, error);
    }
    if (status == TW_OK) {
        *ret_shape = shape;
    }
    return status;
}
