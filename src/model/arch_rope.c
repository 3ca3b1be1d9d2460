#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/arch.h"

static enum tw_status in_range(double value, double low, double high, const char *what,
                               struct tw_error *error)
{
    if (!(value >= low && value <= high)) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "RoPE: %s is %g; expected %g to %g", what, value, low, high);
    }
    return TW_OK;
}

/* Reads a number if it is there and checks it either way. */
static enum tw_status read_in_range(const struct tw_arch_source *source, const char *gguf_key,
                                    const char *hf_key, double low, double high, double *ret_value,
                                    struct tw_error *error)
{
    bool found = false;
    double value = *ret_value;
    enum tw_status status = tw_arch_number(source, gguf_key, hf_key, &value, &found, error);
    if (status == TW_OK) {
        status = in_range(value, low, high, hf_key, error);
    }
    if (status == TW_OK) {
        *ret_value = value;
    }
    return status;
}

static const struct {
    const char *name;
    enum tw_rope_scaling scaling;
} scaling_rows[] = {
    {"none", TW_ROPE_SCALING_NONE},     {"default", TW_ROPE_SCALING_NONE},
    {"linear", TW_ROPE_SCALING_LINEAR}, {"yarn", TW_ROPE_SCALING_YARN},
    {"llama3", TW_ROPE_SCALING_LLAMA3},
};

static enum tw_status scaling_from_name(struct tw_bytes name, enum tw_rope_scaling *ret_scaling,
                                        struct tw_error *error)
{
    for (size_t i = 0; i < sizeof scaling_rows / sizeof scaling_rows[0]; i++) {
        if (strlen(scaling_rows[i].name) == name.size_bytes &&
            memcmp(scaling_rows[i].name, name.data, name.size_bytes) == 0) {
            *ret_scaling = scaling_rows[i].scaling;
            return TW_OK;
        }
    }
    return tw_error_set(error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                        "RoPE scaling '%.*s' is not supported; linear, yarn and llama3 are",
                        (int)(name.size_bytes < 32 ? name.size_bytes : 32), name.data);
}

double tw_arch_yarn_magnitude(double factor, double strength)
{
    return factor > 1 ? 1 + 0.1 * strength * log(factor) : 1;
}

/* attention_factor, or what mscale and mscale_all_dim make of it; 0 leaves it to the factor. */
static enum tw_status read_config_attention_factor(const struct tw_arch_source *source,
                                                   struct tw_rope_shape *rope,
                                                   struct tw_error *error)
{
    double mscale = 0;
    double mscale_all = 0;
    enum tw_status status =
        read_in_range(source, NULL, "attention_factor", 0, 100, &rope->attention_factor, error);
    if (status == TW_OK) {
        status = read_in_range(source, NULL, "mscale", 0, 100, &mscale, error);
    }
    if (status == TW_OK) {
        status = read_in_range(source, NULL, "mscale_all_dim", 0, 100, &mscale_all, error);
    }
    if (status == TW_OK && rope->attention_factor == 0 && mscale != 0 && mscale_all != 0) {
        rope->attention_factor = tw_arch_yarn_magnitude(rope->factor, mscale) /
                                 tw_arch_yarn_magnitude(rope->factor, mscale_all);
    }
    return status;
}

/* yarn_attn_factor is the whole factor, as Hugging Face means it; attn_factor multiplies the one
 * derived from the context factor. */
static enum tw_status read_gguf_attention_factor(const struct tw_arch_source *source,
                                                 struct tw_rope_shape *rope, struct tw_error *error)
{
    double extra = 0;
    enum tw_status status =
        read_in_range(source, "rope.scaling.yarn_attn_factor", "attention_factor", 0, 100,
                      &rope->attention_factor, error);
    if (status == TW_OK) {
        status = read_in_range(source, "rope.scaling.attn_factor", "attention_factor", 0, 100,
                               &extra, error);
    }
    if (status == TW_OK && extra != 0) {
        rope->attention_factor = extra * tw_arch_yarn_magnitude(rope->factor, 1);
    }
    if (status == TW_OK) {
        status = tw_arch_refuse(source, "rope.scaling.yarn_ext_factor", NULL, 1, -1,
                                "its own YaRN extrapolation mix", error);
    }
    return status;
}

static enum tw_status read_yarn(const struct tw_arch_source *source, struct tw_rope_shape *rope,
                                struct tw_error *error)
{
    rope->beta_fast = 32;
    rope->beta_slow = 1;
    enum tw_status status = read_in_range(source, "rope.scaling.yarn_beta_fast", "beta_fast", 1e-3,
                                          1e6, &rope->beta_fast, error);
    if (status == TW_OK) {
        status = read_in_range(source, "rope.scaling.yarn_beta_slow", "beta_slow", 1e-3, 1e6,
                               &rope->beta_slow, error);
    }
    if (status == TW_OK) {
        status = tw_arch_refuse(source, NULL, "truncate", 1, 1, "YaRN without rounding", error);
    }
    if (status == TW_OK) {
        status = source->config != NULL ? read_config_attention_factor(source, rope, error)
                                        : read_gguf_attention_factor(source, rope, error);
    }
    return status;
}

static enum tw_status read_llama3(const struct tw_arch_source *source, struct tw_rope_shape *rope,
                                  struct tw_error *error)
{
    enum tw_status status =
        read_in_range(source, NULL, "low_freq_factor", 1e-3, 1e6, &rope->low_freq_factor, error);
    if (status == TW_OK) {
        status = read_in_range(source, NULL, "high_freq_factor", 1e-3, 1e6, &rope->high_freq_factor,
                               error);
    }
    if (status == TW_OK && rope->high_freq_factor <= rope->low_freq_factor) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "RoPE: high_freq_factor must be above low_freq_factor");
    }
    return status;
}

/* source: of the numbers of the scaling itself. */
static enum tw_status read_scaling(const struct tw_arch_source *source, uint32_t n_context_tokens,
                                   struct tw_rope_shape *rope, struct tw_error *error)
{
    rope->original_context_tokens = n_context_tokens;
    enum tw_status status =
        read_in_range(source, "rope.scale_linear", "factor", 1e-3, 1e6, &rope->factor, error);
    if (status == TW_OK) {
        status =
            read_in_range(source, "rope.scaling.factor", "factor", 1e-3, 1e6, &rope->factor, error);
    }
    if (status == TW_OK && source->config != NULL && rope->scaling != TW_ROPE_SCALING_NONE) {
        bool found = false;
        double factor;
        status = tw_arch_number(source, NULL, "factor", &factor, &found, error);
        if (status == TW_OK && !found) {
            return tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION,
                                "RoPE: a scaling without a factor");
        }
    }
    if (status == TW_OK) {
        status = read_in_range(source, "rope.scaling.original_context_length",
                               "original_max_position_embeddings", 1, TW_LIMIT_MODEL_CONTEXT_TOKENS,
                               &rope->original_context_tokens, error);
    }
    if (status == TW_OK && rope->scaling == TW_ROPE_SCALING_YARN) {
        status = read_yarn(source, rope, error);
    }
    if (status == TW_OK && rope->scaling == TW_ROPE_SCALING_LLAMA3) {
        status = read_llama3(source, rope, error);
    }
    return status;
}

/* ---- config.json ---- */

/* rope_parameters replaced rope_scaling (and took rope_theta in) in later versions of the format.
 */
static enum tw_status read_config(const struct tw_arch_source *source, uint32_t n_context_tokens,
                                  struct tw_rope_shape *rope, struct tw_error *error)
{
    const json_t *object = json_object_get(source->config, "rope_parameters");
    if (!json_is_object(object)) {
        object = json_object_get(source->config, "rope_scaling");
    }
    if (object == NULL || json_is_null(object)) {
        return TW_OK;
    }
    if (!json_is_object(object)) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "config.json: rope_scaling: expected an object");
    }
    struct tw_arch_source part = {.arch = source->arch, .config = object};
    struct tw_bytes type = {"default", 7};
    bool found = false;
    enum tw_status status = tw_arch_text(&part, NULL, "type", &type, &found, error);
    if (status == TW_OK) {
        status = tw_arch_text(&part, NULL, "rope_type", &type, &found, error);
    }
    if (status == TW_OK) {
        status = scaling_from_name(type, &rope->scaling, error);
    }
    if (status == TW_OK) {
        status = tw_arch_refuse(&part, NULL, "partial_rotary_factor", 1, 1,
                                "RoPE on a part of each head", error);
    }
    if (status == TW_OK) {
        status = read_in_range(&part, NULL, "rope_theta", 1, 1e15, &rope->freq_base, error);
    }
    if (status == TW_OK && json_object_get(object, "mrope_section") != NULL) {
        return tw_error_set(error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                            "config.json: RoPE with mrope_section is not supported");
    }
    if (status == TW_OK && rope->scaling != TW_ROPE_SCALING_NONE) {
        status = read_scaling(&part, n_context_tokens, rope, error);
    }
    return status;
}

/* ---- GGUF ---- */

/* A factor without a type is linear, as older files have it. The llama3 factors of a GGUF file are
 * a tensor; only that there is one shows here. */
static enum tw_status read_gguf(const struct tw_arch_source *source, uint32_t n_context_tokens,
                                struct tw_rope_shape *rope, struct tw_error *error)
{
    struct tw_bytes type = {"linear", 6};
    bool found = false;
    enum tw_status status = tw_arch_text(source, "rope.scaling.type", NULL, &type, &found, error);
    if (status == TW_OK) {
        status = scaling_from_name(type, &rope->scaling, error);
    }
    if (status == TW_OK && rope->scaling == TW_ROPE_SCALING_LLAMA3) {
        return tw_error_set(error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                            "key %s.rope.scaling.type: expected none, linear or yarn (llama3 "
                            "scaling is the tensor rope_freqs.weight in GGUF files)",
                            source->arch);
    }
    if (status == TW_OK && rope->scaling != TW_ROPE_SCALING_NONE) {
        status = read_scaling(source, n_context_tokens, rope, error);
    }
    if (status != TW_OK) {
        return status;
    }
    if (rope->scaling == TW_ROPE_SCALING_LINEAR && rope->factor == 1) {
        rope->scaling = TW_ROPE_SCALING_NONE;
    }
    if (tw_model_files_find(source->files, "rope_freqs.weight") != NULL) {
        if (rope->scaling != TW_ROPE_SCALING_NONE) {
            return tw_error_set(error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                                "the model has both rope_freqs.weight and %.*s RoPE scaling",
                                (int)type.size_bytes, type.data);
        }
        rope->scaling = TW_ROPE_SCALING_LLAMA3;
    }
    return TW_OK;
}

enum tw_status tw_arch_read_rope(const struct tw_arch_source *source, uint32_t head_dim,
                                 uint32_t n_context_tokens, struct tw_rope_shape *rope,
                                 struct tw_error *error)
{
    rope->freq_base = 10000;
    rope->factor = 1;
    rope->n_dims = head_dim;
    enum tw_status status =
        read_in_range(source, "rope.freq_base", "rope_theta", 1, 1e15, &rope->freq_base, error);
    if (status != TW_OK) {
        return status;
    }
    return source->config != NULL ? read_config(source, n_context_tokens, rope, error)
                                  : read_gguf(source, n_context_tokens, rope, error);
}

/* ---- factors ---- */

static enum tw_status factors_from_tensor(const struct tw_tensor_view *tensor, uint32_t n_pairs,
                                          float *ret_factors, struct tw_error *error)
{
    if (tensor->dtype != TW_DTYPE_F32 || tensor->shape[0] != n_pairs || tensor->shape[1] != 1) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "tensor rope_freqs.weight: expected %u f32 factors", n_pairs);
    }
    float factors[TW_LIMIT_MODEL_HEAD_DIM / 2]; /* what is checked is what is used */
    memcpy(factors, tensor->data, n_pairs * sizeof *factors);
    for (uint32_t i = 0; i < n_pairs; i++) {
        if (!(factors[i] > 0 && factors[i] < 1e9f)) {
            return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                                "tensor rope_freqs.weight: factor %u is %g", i, (double)factors[i]);
        }
    }
    memcpy(ret_factors, factors, n_pairs * sizeof *factors);
    return TW_OK;
}

/* Llama 3.1: wavelengths much shorter than the original context stay, much longer ones are
 * stretched by the factor, and between the two the frequency is interpolated. */
static double llama3_factor(const struct tw_rope_shape *rope, uint32_t pair)
{
    const double two_pi = 6.283185307179586;
    double wavelength = two_pi * pow(rope->freq_base, 2.0 * pair / rope->n_dims);
    double turns = rope->original_context_tokens / wavelength;
    if (turns > rope->high_freq_factor) {
        return 1;
    }
    if (turns < rope->low_freq_factor) {
        return rope->factor;
    }
    double smooth =
        (turns - rope->low_freq_factor) / (rope->high_freq_factor - rope->low_freq_factor);
    return 1 / ((1 - smooth) / rope->factor + smooth);
}

enum tw_status tw_arch_rope_factors(const struct tw_model_files *files,
                                    const struct tw_model_shape *shape, float *ret_factors,
                                    struct tw_error *error)
{
    uint32_t n_pairs = shape->rope.n_dims / 2;
    const struct tw_tensor_view *tensor = tw_model_files_find(files, "rope_freqs.weight");
    if (tensor != NULL) {
        return factors_from_tensor(tensor, n_pairs, ret_factors, error);
    }
    bool is_llama3 = shape->rope.scaling == TW_ROPE_SCALING_LLAMA3;
    for (uint32_t i = 0; i < n_pairs; i++) {
        ret_factors[i] = is_llama3 ? (float)llama3_factor(&shape->rope, i) : 1.0f;
    }
    return TW_OK;
}
