/* What follows from a model's numbers. */
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "plan/catalogue_state.h"
#include "plan/model_shape.h"

struct tw_plan_parts tw_plan_model_parts(const struct tw_plan_model *m)
{
    const double d = m->n_embed, heads = m->n_heads, kv = m->n_kv_heads, dh = m->head_dim;
    struct tw_plan_parts p = {0};
    if (m->n_kv_latent > 0) {
        /* DeepSeek-V2, arXiv 2405.04434, section 2.1: queries through a latent of their own where
         * there is one; head_dim is of the part without positions. */
        const double dv = m->n_value_dim > 0 ? m->n_value_dim : dh;
        const double q_in = m->n_q_latent > 0 ? m->n_q_latent : d;
        p.attention = (m->n_q_latent > 0 ? d * m->n_q_latent : 0) +
                      q_in * heads * (dh + m->n_rope_latent) +
                      d * (m->n_kv_latent + m->n_rope_latent) + m->n_kv_latent * heads * (dh + dv) +
                      heads * dv * d;
    } else {
        p.attention = d * dh * (2 * heads + 2 * kv);
    }
    const double n_mixed = m->n_experts > 0 ? m->n_layers - m->n_dense_layers : 0;
    p.expert = 3 * d * m->n_expert_ffn;
    p.n_mixed_layers = n_mixed;
    p.dense = m->n_layers * p.attention + (m->n_layers - n_mixed) * 3 * d * m->n_ffn +
              n_mixed * (m->n_shared_experts * p.expert + d * m->n_experts);
    p.experts = n_mixed * m->n_experts * p.expert;
    p.head = (double)m->n_vocab * d;
    p.embedding = m->tied_head ? 0 : p.head;
    p.norms = m->n_layers * 2.0 * d + d;
    return p;
}

static enum tw_status refuse(const struct tw_plan_model *m, struct tw_error *error,
                             const char *what)
{
    return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION, "model %s: %s", m->name, what);
}

enum tw_status tw_plan_model_finish(struct tw_plan_model *m, struct tw_error *error)
{
    if (m->n_heads % m->n_kv_heads != 0) {
        return refuse(m, error, "kv_heads must divide heads");
    }
    if (m->n_ffn == 0 && m->n_dense_layers + (m->n_experts == 0) > 0) {
        return refuse(m, error, "ffn is missing, and some layers are no mixture of experts");
    }
    if (m->n_experts > 0 && (m->n_experts_used == 0 || m->n_experts_used > m->n_experts ||
                             m->n_expert_ffn == 0 || m->n_dense_layers >= m->n_layers)) {
        return refuse(m, error,
                      "experts needs experts_used (at most as many), expert_ffn, and "
                      "fewer dense_layers than layers");
    }
    if (m->n_window_layers + m->n_state_layers > m->n_layers ||
        (m->n_window_layers > 0 && m->n_window == 0)) {
        return refuse(m, error,
                      "window_layers and state_layers are more than layers, or window "
                      "is missing");
    }
    const struct tw_plan_parts p = tw_plan_model_parts(m);
    const double counted = p.dense + p.experts + p.head + p.embedding + p.norms;
    if (m->n_parameters == 0) {
        m->n_parameters = counted;
    } else if (m->n_parameters < 0.8 * counted || m->n_parameters > 1.25 * counted) {
        return refuse(m, error, "parameters is far from what the dimensions give");
    }
    /* What is published and not in the dimensions (a vision tower, say) works for every token. */
    const double other = m->n_parameters > counted ? m->n_parameters - counted : 0;
    m->n_active_parameters = p.dense + p.head + p.embedding + p.norms + other +
                             p.n_mixed_layers * m->n_experts_used * p.expert;
    return TW_OK;
}

/* ---- config.json ---- */

static double number_in(const json_t *config, const char *const *keys, double otherwise)
{
    for (; *keys != NULL; keys++) {
        const json_t *value = json_object_get(config, *keys);
        if (json_is_number(value)) {
            return json_number_value(value);
        }
        if (json_is_boolean(value)) {
            return json_is_true(value);
        }
    }
    return otherwise;
}

struct config_field {
    const char *keys[4];
    size_t offset;
    double most;
    bool is_required;
};

/* clang-format off */
#define M(member) offsetof(struct tw_plan_model, member)
static const struct config_field config_fields[] = {
    {{"num_hidden_layers", "n_layer"}, M(n_layers), TW_LIMIT_MODEL_LAYERS, true},
    {{"hidden_size", "n_embd"}, M(n_embed), TW_LIMIT_MODEL_EMBED, true},
    {{"num_attention_heads", "n_head"}, M(n_heads), TW_LIMIT_MODEL_HEADS, true},
    {{"num_key_value_heads"}, M(n_kv_heads), TW_LIMIT_MODEL_HEADS, false},
    {{"qk_nope_head_dim", "head_dim"}, M(head_dim), TW_LIMIT_MODEL_HEAD_DIM, false},
    {{"intermediate_size", "n_inner"}, M(n_ffn), TW_LIMIT_MODEL_FFN, false},
    {{"vocab_size"}, M(n_vocab), TW_LIMIT_VOCAB_TOKENS, true},
    {{"max_position_embeddings", "n_positions"}, M(n_context_tokens),
     TW_LIMIT_MODEL_CONTEXT_TOKENS, false},
    {{"n_routed_experts", "num_local_experts", "num_experts"}, M(n_experts),
     TW_LIMIT_MODEL_EXPERTS, false},
    {{"num_experts_per_tok", "experts_per_token"}, M(n_experts_used),
     TW_LIMIT_MODEL_EXPERTS_USED, false},
    {{"moe_intermediate_size"}, M(n_expert_ffn), TW_LIMIT_MODEL_FFN, false},
    {{"n_shared_experts"}, M(n_shared_experts), TW_LIMIT_MODEL_EXPERTS, false},
    {{"first_k_dense_replace"}, M(n_dense_layers), TW_LIMIT_MODEL_LAYERS, false},
    {{"kv_lora_rank"}, M(n_kv_latent), TW_LIMIT_MODEL_EMBED, false},
    {{"qk_rope_head_dim"}, M(n_rope_latent), TW_LIMIT_MODEL_EMBED, false},
    {{"q_lora_rank"}, M(n_q_latent), TW_LIMIT_MODEL_EMBED, false},
    {{"v_head_dim"}, M(n_value_dim), TW_LIMIT_MODEL_HEAD_DIM, false},
    {{"sliding_window"}, M(n_window), TW_LIMIT_MODEL_CONTEXT_TOKENS, false},
};
/* clang-format on */

/* layer_types says which layers have a window; without it all have, where one is said. */
static void count_windows(const json_t *config, struct tw_plan_model *m)
{
    const json_t *types = json_object_get(config, "layer_types"), *type;
    const json_t *used = json_object_get(config, "use_sliding_window");
    size_t i;
    if (json_is_false(used)) {
        m->n_window = 0;
    }
    m->n_window_layers = m->n_window > 0 && !json_is_array(types) ? m->n_layers : 0;
    json_array_foreach (types, i, type) {
        const char *text = json_string_value(type);
        m->n_window_layers +=
            text != NULL && strcmp(text, "sliding_attention") == 0 && m->n_window > 0;
        m->n_state_layers += text != NULL && strcmp(text, "linear_attention") == 0;
    }
}

static enum tw_status read_object(const json_t *config, struct tw_plan_model *m,
                                  struct tw_error *error)
{
    for (size_t i = 0; i < sizeof config_fields / sizeof config_fields[0]; i++) {
        const struct config_field *field = &config_fields[i];
        double value = number_in(config, field->keys, 0);
        if (field->is_required && value == 0) {
            return tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION,
                                "%s: config.json has no %s", m->name, field->keys[0]);
        }
        if (value < 0 || value > field->most || value != floor(value)) {
            return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                                "%s: %s of config.json must be a whole number up to %.0f", m->name,
                                field->keys[0], field->most);
        }
        uint32_t count = (uint32_t)value;
        memcpy((char *)m + field->offset, &count, sizeof count);
    }
    m->n_kv_heads = m->n_kv_heads == 0 ? m->n_heads : m->n_kv_heads;
    m->head_dim = m->head_dim == 0 ? m->n_embed / m->n_heads : m->head_dim;
    m->n_context_tokens = m->n_context_tokens == 0 ? 4096 : m->n_context_tokens;
    m->n_expert_ffn = m->n_expert_ffn == 0 && m->n_experts > 0 ? m->n_ffn : m->n_expert_ffn;
    m->tied_head = number_in(config, (const char *const[]){"tie_word_embeddings", NULL}, 0) != 0;
    count_windows(config, m);
    return tw_plan_model_finish(m, error);
}

enum tw_status tw_plan_model_read_config(const char *name, const char *text, size_t text_bytes,
                                         struct tw_plan_model *ret_model, struct tw_error *error)
{
    json_t *config;
    enum tw_status status = tw_json_parse(text, text_bytes, name, &config, error);
    if (status != TW_OK) {
        return status;
    }
    struct tw_plan_model model = {
        .name = name, .format = "bf16", .licence = "", .source = "config.json", .date = ""};
    const json_t *inner = json_object_get(config, "text_config"); /* of multimodal models */
    status = read_object(json_is_object(inner) ? inner : config, &model, error);
    json_decref(config);
    if (status == TW_OK) {
        *ret_model = model;
    }
    return status;
}
