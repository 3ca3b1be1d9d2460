#include "synth_weights.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "tensor/f16.h"

#define LOUD            50.0 /* loud channels of the residual stream against ordinary ones */
#define LOUD_EVERY      448  /* channels for each pair of loud ones */
#define LOUD_NORMED     4.0  /* what is left of the loudness behind a norm */
#define LAYERS_SHARE    1.2  /* what all layers add, against the embedding (standard deviations) */
#define LOUD_IN_LOGITS  3.0  /* the same behind the last norm, where the head is tied */
#define LOGIT_DEVIATION 2.1  /* as planned; layers add more than their share, 2.5 comes out */
#define NORM_SPREAD     0.3
#define BIAS_SHARE      0.7 /* query and key biases against the projections */
#define QK_NORM_GAIN    1.5
#define GATE_DEVIATION  1.5
#define FFN_INNER       1.5  /* rms of silu(gate) * up with the deviations above */
#define ATTN_INNER      0.85 /* rms of attention's output: values of deviation 1, averaged */
#define SHARPEST        1.0  /* head gains run from 2^-0.5 to 2^this */

/* Spread of the router's logits. Where the last expert taken and the first not taken are nearly
 * equal, rounding decides, as in any such model; a wide spread makes the last one count little
 * there (about a tenth), so that what is measured of a model is its arithmetic, not that
 * decision. */
#define ROUTER_DEVIATION 3.0

#define TENSORS_A_LAYER 15 /* at most */

/* ---- random numbers ---- */

static uint64_t derive_seed(uint64_t seed, uint64_t index)
{
    uint32_t w[4];
    tw_rng_block(seed, UINT64_MAX - index, w);
    return (uint64_t)w[0] << 32 | w[1];
}

/* The sum of four uniform halves of a word pair, stretched in the tails: near normal, kurtosis 4 as
 * trained weights have, without a logarithm, since a big model takes 10^10 of them. */
static float noise_of_words(uint32_t a, uint32_t b)
{
    int32_t sum = (int32_t)((a & 0xffffu) + (a >> 16) + (b & 0xffffu) + (b >> 16)) - 131070;
    float v = (float)sum * (1.7320508f / 65536.0f);
    return v * (1.0f + 0.08f * v * v) * 0.815856f;
}

static void fill_noise(uint64_t seed, uint64_t row, size_t n, float scale, float *ret_values)
{
    uint64_t counter = row * ((n + 1) / 2);
    for (size_t i = 0; i < n; i += 2) {
        uint32_t w[4];
        tw_rng_block(seed, counter++, w);
        ret_values[i] = scale * noise_of_words(w[0], w[1]);
        if (i + 1 < n) {
            ret_values[i + 1] = scale * noise_of_words(w[2], w[3]);
        }
    }
}

static float round_to_bf16(double value)
{
    return tw_bf16_to_f32(tw_f32_to_bf16((float)value));
}

/* ---- the residual stream as the plan expects it ---- */

struct stream_level {
    double ordinary; /* deviation of a channel */
    double loud[3];  /* the same, by enum synth_channel */
    double total;    /* rms of the whole, epsilon included */
    double normed;   /* rms behind a norm whose weights do as fill_norm */
};

/* Behind `sublayers` of the 2 * n_layers sublayers. */
static struct stream_level level_behind(const struct synth_plan *plan, double sublayers)
{
    const struct tw_model_shape *shape = &plan->shape;
    double s = plan->preset->residual_scale, share = LAYERS_SHARE * LAYERS_SHARE;
    struct stream_level level;
    level.ordinary = s * sqrt(1 + share * sublayers / (2.0 * shape->n_layers));
    level.loud[SYNTH_ORDINARY] = level.ordinary;
    level.loud[SYNTH_LOUD_EMBED] = LOUD * s * sqrt(1 + share / 2);
    level.loud[SYNTH_LOUD_DOWN] = sublayers >= 2 ? LOUD * s * sqrt(1 + share / 2) : level.ordinary;
    double square = 0, normed = 0;
    for (int kind = 0; kind < 3; kind++) {
        double loud = level.loud[kind], n = plan->n_channels[kind];
        square += n * loud * loud;
        normed += n * (loud > level.ordinary ? LOUD_NORMED * LOUD_NORMED : 1);
    }
    level.total = sqrt(square / shape->n_embed + (double)shape->rms_eps);
    level.normed = sqrt(normed / shape->n_embed);
    return level;
}

static double sublayer_deviation(const struct synth_plan *plan)
{
    return plan->preset->residual_scale * LAYERS_SHARE / sqrt(2.0 * plan->shape.n_layers);
}

/* ---- rows ---- */

static double head_gain(const struct synth_plan *plan, const struct synth_tensor *tensor,
                        uint64_t row)
{
    uint64_t head = row / plan->shape.head_dim;
    uint64_t seed = derive_seed(plan->seed, 1000000 + (uint64_t)tensor->layer);
    return exp2(-0.5 + (SHARPEST + 0.5) * tw_rng_uniform(seed, head));
}

/* values: columns [first, first + n) of ordinary noise. */
static void raise_loud_channels(const struct synth_plan *plan, size_t first, size_t n,
                                float *values)
{
    struct stream_level level = level_behind(plan, 0);
    float spread = 0.2f / (float)plan->preset->residual_scale;
    for (size_t i = 0; i < n; i++) {
        if (plan->channels[first + i] == SYNTH_LOUD_EMBED) {
            float sign = (first + i) % 2 == 0 ? 1.0f : -1.0f;
            values[i] = (float)level.loud[SYNTH_LOUD_EMBED] * sign * (1.0f + spread * values[i]);
        }
    }
}

static void fill_embedding(const struct synth_plan *plan, const struct synth_tensor *tensor,
                           uint64_t row, float *ret_values)
{
    fill_noise(tensor->seed, row, tensor->n_columns, (float)plan->preset->residual_scale,
               ret_values);
    raise_loud_channels(plan, 0, tensor->n_columns, ret_values);
}

static void fill_norm(const struct synth_plan *plan, const struct synth_tensor *tensor,
                      double sublayers, float *ret_values)
{
    struct stream_level level = level_behind(plan, sublayers);
    for (uint64_t c = 0; c < tensor->n_columns; c++) {
        double gain = 1 + NORM_SPREAD * tw_rng_normal(tensor->seed, c);
        gain = gain < 0.2 ? 0.2 : gain;
        double loud = level.loud[plan->channels[c]];
        double target = loud > level.ordinary ? LOUD_NORMED / loud : gain / level.ordinary;
        ret_values[c] = round_to_bf16(level.total * target);
    }
}

/* Each loud channel counts as much as nine ordinary ones. */
static double shares_of_logits(const struct synth_plan *plan)
{
    double n_loud = plan->n_channels[SYNTH_LOUD_EMBED] + plan->n_channels[SYNTH_LOUD_DOWN];
    return plan->n_channels[SYNTH_ORDINARY] + n_loud * LOUD_IN_LOGITS * LOUD_IN_LOGITS;
}

/* A tied head reads the embedding: with positive norm weights every token would predict itself, so
 * their signs are random. The loud channels are all but constant in the embedding; their weights
 * let what is not constant count three times an ordinary channel. */
static void fill_output_norm(const struct synth_plan *plan, const struct synth_tensor *tensor,
                             float *ret_values)
{
    if (!plan->shape.tied_head) {
        fill_norm(plan, tensor, 2.0 * plan->shape.n_layers, ret_values);
        return;
    }
    struct stream_level level = level_behind(plan, 2.0 * plan->shape.n_layers);
    double per_channel = LOGIT_DEVIATION / sqrt(shares_of_logits(plan));
    double s = plan->preset->residual_scale;
    for (uint64_t c = 0; c < tensor->n_columns; c++) {
        double gain = 1 + NORM_SPREAD * tw_rng_normal(tensor->seed, 2 * c);
        double sign = tw_rng_uniform(tensor->seed, 2 * c + 1) < 0.5 ? -1 : 1;
        double weight = per_channel / (s * level.ordinary);
        if (plan->channels[c] == SYNTH_LOUD_EMBED) {
            weight = LOUD_IN_LOGITS * per_channel /
                     (0.2 * level.loud[SYNTH_LOUD_EMBED] * level.loud[SYNTH_LOUD_EMBED]);
        } else if (plan->channels[c] == SYNTH_LOUD_DOWN) {
            weight = LOUD_IN_LOGITS * per_channel / (s * level.loud[SYNTH_LOUD_DOWN]);
        }
        ret_values[c] = round_to_bf16(sign * gain * level.total * weight);
    }
}

static void fill_bias(const struct synth_plan *plan, const struct synth_tensor *tensor,
                      float *ret_values)
{
    for (uint64_t i = 0; i < tensor->n_columns; i++) {
        double value = tw_rng_normal(tensor->seed, i);
        if (tensor->role == SYNTH_Q_BIAS) {
            value *= BIAS_SHARE * head_gain(plan, tensor, i);
        } else if (tensor->role == SYNTH_K_BIAS) {
            value *= BIAS_SHARE * (i % 29 == 5 ? 4 : 1);
        } else {
            value *= 0.4;
        }
        ret_values[i] = round_to_bf16(value);
    }
}

static void fill_qk_norm(const struct synth_tensor *tensor, float *ret_values)
{
    for (uint64_t i = 0; i < tensor->n_columns; i++) {
        double gain = 1 + NORM_SPREAD * tw_rng_normal(tensor->seed, i);
        ret_values[i] = round_to_bf16(QK_NORM_GAIN * (gain < 0.2 ? 0.2 : gain));
    }
}

/* Llama 3.1: wavelengths beyond the original context are stretched by `factor`, short ones kept,
 * those between interpolated. A file holds the divisor of each frequency. */
static void fill_rope_factors(const struct synth_plan *plan, const struct synth_tensor *tensor,
                              float *ret_values)
{
    const struct tw_rope_shape *rope = &plan->shape.rope;
    double low = rope->original_context_tokens / rope->low_freq_factor;
    double high = rope->original_context_tokens / rope->high_freq_factor;
    for (uint64_t i = 0; i < tensor->n_columns; i++) {
        double frequency = pow(rope->freq_base, -2.0 * (double)i / rope->n_dims);
        double wavelength = 2 * 3.14159265358979323846 / frequency;
        double factor = 1;
        if (wavelength > low) {
            factor = rope->factor;
        } else if (wavelength >= high) {
            double smooth = (rope->original_context_tokens / wavelength - rope->low_freq_factor) /
                            (rope->high_freq_factor - rope->low_freq_factor);
            factor = 1 / ((1 - smooth) / rope->factor + smooth);
        }
        ret_values[i] = (float)factor;
    }
}

/* A weighted mean of independent rows is smaller than one of them: what makes up for it. The
 * weights are uneven: the first counts about as much as all others. */
static double experts_share(const struct synth_plan *plan)
{
    return plan->shape.n_experts_used > 1 ? 1.25 : 1;
}

/* Routers are F32 in GGUF files and of the folder's type in others. */
static void round_router(const struct synth_tensor *tensor, size_t n, float *values)
{
    for (size_t i = 0; tensor->role == SYNTH_ROUTER && i < n; i++) {
        values[i] = round_to_bf16((double)values[i]);
    }
}

/* The deviation of a matrix's values in one row. */
static double row_deviation(const struct synth_plan *plan, const struct synth_tensor *tensor,
                            uint64_t row)
{
    const struct tw_model_shape *shape = &plan->shape;
    double in = 1 / sqrt((double)tensor->n_columns);
    double rms = tensor->layer < 0 ? 1 : level_behind(plan, 2.0 * tensor->layer).normed;
    /* Below a norm of their own, queries and keys may be small: then its epsilon counts. */
    double qk = shape->has_qk_norm ? 0.4 : 1;
    switch ((int)tensor->role) {
    case SYNTH_Q:
        return in / rms * qk * head_gain(plan, tensor, row);
    case SYNTH_K:
        return in / rms * qk;
    case SYNTH_V:
        return in / rms;
    case SYNTH_ROUTER:
        return in / rms * ROUTER_DEVIATION;
    case SYNTH_GATE:
        return in / rms * GATE_DEVIATION;
    case SYNTH_UP:
        return in / rms * exp(0.35 * tw_rng_normal(tensor->seed, UINT64_MAX / 2 + row));
    case SYNTH_ATTN_OUTPUT:
        return in * sublayer_deviation(plan) / ATTN_INNER;
    case SYNTH_DOWN:
        in *= experts_share(plan);
        if (tensor->layer == 0 && plan->channels[row % shape->n_embed] == SYNTH_LOUD_DOWN) {
            return in * level_behind(plan, 2).loud[SYNTH_LOUD_DOWN] / FFN_INNER;
        }
        return in * sublayer_deviation(plan) / FFN_INNER;
    case SYNTH_HEAD:
        return in * LOGIT_DEVIATION * exp(0.15 * tw_rng_normal(tensor->seed, UINT64_MAX / 2 + row));
    default:
        return in;
    }
}

void synth_fill_row(const struct synth_plan *plan, const struct synth_tensor *tensor, uint64_t row,
                    float *ret_values)
{
    switch ((int)tensor->role) {
    case SYNTH_EMBED:
        fill_embedding(plan, tensor, row, ret_values);
        break;
    case SYNTH_ATTN_NORM:
        fill_norm(plan, tensor, 2.0 * tensor->layer, ret_values);
        break;
    case SYNTH_FFN_NORM:
        fill_norm(plan, tensor, 2.0 * tensor->layer + 1, ret_values);
        break;
    case SYNTH_OUTPUT_NORM:
        fill_output_norm(plan, tensor, ret_values);
        break;
    case SYNTH_Q_BIAS:
    case SYNTH_K_BIAS:
    case SYNTH_V_BIAS:
        fill_bias(plan, tensor, ret_values);
        break;
    case SYNTH_QK_NORM:
        fill_qk_norm(tensor, ret_values);
        break;
    case SYNTH_ROPE_FACTORS:
        fill_rope_factors(plan, tensor, ret_values);
        break;
    default:
        fill_noise(tensor->seed, row, tensor->n_columns, (float)row_deviation(plan, tensor, row),
                   ret_values);
        round_router(tensor, tensor->n_columns, ret_values);
        break;
    }
}

/* ---- plans with a stock ---- */

size_t synth_stock_columns(const struct synth_tensor *tensor)
{
    size_t n = tensor->n_columns;
    return n % 256 == 0 ? 256 : n % 32 == 0 ? 32 : n;
}

int synth_stock_step(const struct synth_plan *plan, const struct synth_tensor *tensor, uint64_t row)
{
    if (tensor->role == SYNTH_EMBED) {
        return 0;
    }
    double ratio = row_deviation(plan, tensor, row) / row_deviation(plan, tensor, 0);
    return (int)lround(4 * log2(ratio));
}

void synth_stock_choose(const struct synth_tensor *tensor, uint64_t row, size_t n_blocks,
                        uint8_t *ret_choices)
{
    uint64_t counter = row * ((n_blocks + 15) / 16);
    for (size_t i = 0; i < n_blocks; i += 16) {
        uint32_t w[4];
        tw_rng_block(tensor->seed, counter++, w);
        memcpy(ret_choices + i, w, n_blocks - i < 16 ? n_blocks - i : 16);
    }
}

void synth_stock_fill(const struct synth_plan *plan, const struct synth_tensor *tensor, int step,
                      size_t first, uint32_t choice, float *ret_values)
{
    size_t n = synth_stock_columns(tensor);
    double scale = tensor->role == SYNTH_EMBED ? plan->preset->residual_scale
                                               : row_deviation(plan, tensor, 0) * exp2(step / 4.0);
    fill_noise(derive_seed(plan->seed, 3000000), choice, n, (float)scale, ret_values);
    round_router(tensor, n, ret_values);
    if (tensor->role == SYNTH_EMBED) {
        raise_loud_channels(plan, first, n, ret_values);
    }
}

uint64_t synth_hf_row(const struct synth_plan *plan, const struct synth_tensor *tensor,
                      uint64_t row)
{
    bool rotated = tensor->role == SYNTH_Q || tensor->role == SYNTH_K;
    if (!rotated || strcmp(plan->shape.arch, "llama") != 0) {
        return row;
    }
    uint64_t dim = plan->shape.head_dim, half = dim / 2;
    uint64_t head = row / dim, within = row % dim;
    return head * dim + 2 * (within % half) + within / half;
}

/* ---- the list of tensors ---- */

/* Formats with blocks of 256 give way to one of about the same size where rows are not a multiple
 * of that. */
static enum tw_dtype dtype_that_fits(enum tw_dtype dtype, uint64_t n_columns)
{
    if (n_columns % tw_dtype_traits(dtype)->block_elements == 0) {
        return dtype;
    }
    switch ((int)dtype) {
    case TW_DTYPE_Q2_K:
    case TW_DTYPE_Q3_K:
        return TW_DTYPE_IQ4_NL;
    case TW_DTYPE_Q4_K:
        return TW_DTYPE_Q5_0;
    case TW_DTYPE_Q5_K:
        return TW_DTYPE_Q5_1;
    case TW_DTYPE_Q6_K:
        return TW_DTYPE_Q8_0;
    default:
        return TW_DTYPE_F16;
    }
}

static void choose_dtypes(struct synth_plan *plan, enum tw_model_mix mix, enum tw_dtype dtype)
{
    for (uint32_t i = 0; i < plan->n_tensors; i++) {
        struct synth_tensor *tensor = &plan->tensors[i];
        struct tw_tensor_view view = {.name = tensor->name,
                                      .dtype = TW_DTYPE_F32,
                                      .shape = {tensor->n_columns, tensor->n_rows, 1, 1}};
        if (tensor->is_vector || tensor->role == SYNTH_ROUTER) {
            tensor->dtype = TW_DTYPE_F32;
        } else if (mix == TW_MODEL_MIX_KEEP) {
            tensor->dtype = dtype_that_fits(dtype, tensor->n_columns);
        } else {
            tensor->dtype = tw_model_mix_dtype(mix, &plan->shape, &view);
        }
    }
}

static struct synth_tensor *add_tensor(struct synth_plan *plan, enum synth_role role, int layer,
                                       uint64_t n_columns, uint64_t n_rows)
{
    uint32_t i = plan->n_tensors++;
    struct synth_tensor *tensor = &plan->tensors[i];
    tensor->role = role;
    tensor->layer = layer;
    tensor->n_columns = n_columns;
    tensor->n_rows = n_rows == 0 ? 1 : n_rows;
    tensor->is_vector = n_rows == 0;
    tensor->seed = derive_seed(plan->seed, i);
    return tensor;
}

static void name_tensor(struct synth_tensor *tensor, const char *name, const char *hf_name)
{
    snprintf(tensor->name, sizeof tensor->name, "%s", name);
    snprintf(tensor->hf_name, sizeof tensor->hf_name, "%s", hf_name);
}

static void name_in_layer(struct synth_tensor *tensor, const char *name, const char *hf_name)
{
    snprintf(tensor->name, sizeof tensor->name, "blk.%d.%s", tensor->layer, name);
    snprintf(tensor->hf_name, sizeof tensor->hf_name, "model.layers.%d.%s", tensor->layer, hf_name);
}

/* All experts' rows follow one another; %u in the Hugging Face name is the expert. */
static struct synth_tensor *add_expert_tensor(struct synth_plan *plan, enum synth_role role, int l,
                                              uint64_t n_columns, uint64_t n_rows)
{
    uint64_t n = plan->shape.n_experts;
    struct synth_tensor *tensor = add_tensor(plan, role, l, n_columns, n_rows * n);
    tensor->n_experts = n;
    return tensor;
}

static void add_experts(struct synth_plan *plan, int l)
{
    uint64_t d = plan->shape.n_embed, ffn = plan->shape.n_expert_ffn;
    name_in_layer(add_tensor(plan, SYNTH_ROUTER, l, d, plan->shape.n_experts),
                  "ffn_gate_inp.weight", "mlp.gate.weight");
    name_in_layer(add_expert_tensor(plan, SYNTH_GATE, l, d, ffn), "ffn_gate_exps.weight",
                  "mlp.experts.%u.gate_proj.weight");
    name_in_layer(add_expert_tensor(plan, SYNTH_UP, l, d, ffn), "ffn_up_exps.weight",
                  "mlp.experts.%u.up_proj.weight");
    name_in_layer(add_expert_tensor(plan, SYNTH_DOWN, l, ffn, d), "ffn_down_exps.weight",
                  "mlp.experts.%u.down_proj.weight");
}

static void add_layer(struct synth_plan *plan, int l)
{
    const struct tw_model_shape *s = &plan->shape;
    uint64_t d = s->n_embed, q = (uint64_t)s->n_heads * s->head_dim;
    uint64_t kv = (uint64_t)s->n_kv_heads * s->head_dim, ffn = s->n_ffn;
    name_in_layer(add_tensor(plan, SYNTH_ATTN_NORM, l, d, 0), "attn_norm.weight",
                  "input_layernorm.weight");
    name_in_layer(add_tensor(plan, SYNTH_Q, l, d, q), "attn_q.weight", "self_attn.q_proj.weight");
    name_in_layer(add_tensor(plan, SYNTH_K, l, d, kv), "attn_k.weight", "self_attn.k_proj.weight");
    name_in_layer(add_tensor(plan, SYNTH_V, l, d, kv), "attn_v.weight", "self_attn.v_proj.weight");
    if (s->has_qkv_bias) {
        name_in_layer(add_tensor(plan, SYNTH_Q_BIAS, l, q, 0), "attn_q.bias",
                      "self_attn.q_proj.bias");
        name_in_layer(add_tensor(plan, SYNTH_K_BIAS, l, kv, 0), "attn_k.bias",
                      "self_attn.k_proj.bias");
        name_in_layer(add_tensor(plan, SYNTH_V_BIAS, l, kv, 0), "attn_v.bias",
                      "self_attn.v_proj.bias");
    }
    if (s->has_qk_norm) {
        name_in_layer(add_tensor(plan, SYNTH_QK_NORM, l, s->head_dim, 0), "attn_q_norm.weight",
                      "self_attn.q_norm.weight");
        name_in_layer(add_tensor(plan, SYNTH_QK_NORM, l, s->head_dim, 0), "attn_k_norm.weight",
                      "self_attn.k_norm.weight");
    }
    name_in_layer(add_tensor(plan, SYNTH_ATTN_OUTPUT, l, q, d), "attn_output.weight",
                  "self_attn.o_proj.weight");
    name_in_layer(add_tensor(plan, SYNTH_FFN_NORM, l, d, 0), "ffn_norm.weight",
                  "post_attention_layernorm.weight");
    if (s->n_experts != 0) {
        add_experts(plan, l);
        return;
    }
    name_in_layer(add_tensor(plan, SYNTH_GATE, l, d, ffn), "ffn_gate.weight",
                  "mlp.gate_proj.weight");
    name_in_layer(add_tensor(plan, SYNTH_UP, l, d, ffn), "ffn_up.weight", "mlp.up_proj.weight");
    name_in_layer(add_tensor(plan, SYNTH_DOWN, l, ffn, d), "ffn_down.weight",
                  "mlp.down_proj.weight");
}

static void add_all(struct synth_plan *plan)
{
    const struct tw_model_shape *shape = &plan->shape;
    name_tensor(add_tensor(plan, SYNTH_EMBED, -1, shape->n_embed, shape->n_vocab),
                "token_embd.weight", "model.embed_tokens.weight");
    for (uint32_t l = 0; l < shape->n_layers; l++) {
        add_layer(plan, (int)l);
    }
    name_tensor(add_tensor(plan, SYNTH_OUTPUT_NORM, -1, shape->n_embed, 0), "output_norm.weight",
                "model.norm.weight");
    if (!shape->tied_head) {
        name_tensor(add_tensor(plan, SYNTH_HEAD, -1, shape->n_embed, shape->n_vocab),
                    "output.weight", "lm_head.weight");
    }
    if (shape->rope.scaling == TW_ROPE_SCALING_LLAMA3) {
        name_tensor(add_tensor(plan, SYNTH_ROPE_FACTORS, -1, shape->rope.n_dims / 2, 0),
                    "rope_freqs.weight", "");
    }
}

static void choose_loud_channels(struct synth_plan *plan)
{
    uint32_t n = plan->shape.n_embed, pairs = n < LOUD_EVERY ? 1 : n / LOUD_EVERY;
    uint64_t seed = derive_seed(plan->seed, 2000000);
    for (uint32_t made = 0, i = 0; made < 2 * pairs; i++) {
        uint32_t c = (uint32_t)(tw_rng_uniform(seed, i) * n);
        if (plan->channels[c] == SYNTH_ORDINARY) {
            plan->channels[c] = made++ % 2 == 0 ? SYNTH_LOUD_EMBED : SYNTH_LOUD_DOWN;
        }
    }
    for (uint32_t c = 0; c < n; c++) {
        plan->n_channels[plan->channels[c]]++;
    }
}

enum tw_status synth_plan_create(const struct synth_preset *preset,
                                 const struct tw_model_shape *shape, uint64_t seed,
                                 enum tw_model_mix mix, enum tw_dtype dtype,
                                 struct synth_plan *ret_plan, struct tw_error *error)
{
    struct synth_plan plan = {.preset = preset, .shape = *shape, .seed = seed};
    plan.tensors = tw_mem_zalloc(TENSORS_A_LAYER * shape->n_layers + 4, sizeof *plan.tensors);
    plan.channels = tw_mem_zalloc(shape->n_embed, 1);
    if (plan.tensors == NULL || plan.channels == NULL) {
        synth_plan_free(&plan);
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for the plan");
    }
    choose_loud_channels(&plan);
    add_all(&plan);
    choose_dtypes(&plan, mix, dtype);
    plan.file_type = tw_model_mix_file_type(mix, dtype);
    *ret_plan = plan;
    return TW_OK;
}

enum tw_dtype synth_file_dtype(const struct synth_plan *plan, const struct synth_tensor *tensor)
{
    return plan->dequantised ? TW_DTYPE_F32 : tensor->dtype;
}

void synth_plan_free(struct synth_plan *plan)
{
    tw_mem_free(plan->tensors);
    tw_mem_free(plan->channels);
}
