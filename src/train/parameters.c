#include "train/parameters.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/rng.h"

static const float init_deviation = 0.02f;

/* Takes n values at the cursor. */
static size_t take(size_t *cursor, size_t n)
{
    size_t at = *cursor;
    *cursor = (at + n + 15) / 16 * 16;
    return at;
}

static enum tw_status check(const struct tw_model_shape *shape, struct tw_error *error)
{
    if (strcmp(shape->arch, "qwen3") != 0 || shape->has_qkv_bias || !shape->has_qk_norm ||
        shape->rope.scaling != TW_ROPE_SCALING_NONE || shape->rope.interleaved ||
        shape->rope.n_dims != shape->head_dim) {
        return tw_error_set(error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                            "only models of the qwen3 architecture without RoPE scaling can be "
                            "trained");
    }
    return TW_OK;
}

enum tw_status tw_parameters_init(struct tw_parameters *parameters,
                                  const struct tw_model_shape *shape, struct tw_error *error)
{
    enum tw_status status = check(shape, error);
    if (status != TW_OK) {
        return status;
    }
    size_t d = shape->n_embed, f = shape->n_ffn, v = shape->n_vocab;
    size_t q = (size_t)shape->n_heads * shape->head_dim;
    size_t kv = (size_t)shape->n_kv_heads * shape->head_dim;
    size_t at = 0;
    struct tw_layer_offsets layer = {
        .attention_norm = take(&at, d),
        .qkv = take(&at, (q + 2 * kv) * d),
        .q_norm = take(&at, shape->head_dim),
        .k_norm = take(&at, shape->head_dim),
        .o = take(&at, d * q),
        .ffn_norm = take(&at, d),
        .gate_up = take(&at, 2 * f * d),
        .down = take(&at, d * f),
    };
    size_t layer_values = at, cursor = 0;
    *parameters = (struct tw_parameters){.shape = *shape, .q_width = q, .kv_width = kv};
    parameters->embedding = take(&cursor, v * d);
    parameters->layer = layer;
    parameters->layer_values = layer_values;
    parameters->layers = take(&cursor, shape->n_layers * layer_values);
    parameters->final_norm = take(&cursor, d);
    parameters->head = shape->tied_head ? parameters->embedding : take(&cursor, v * d);
    parameters->n_values = cursor;
    for (size_t i = 0; i < tw_parameters_count(parameters); i++) {
        struct tw_parameter tensor = tw_parameters_tensor(parameters, i);
        parameters->n_weights += tensor.n_rows * tensor.n_columns;
    }
    return TW_OK;
}

/* ---- tensors ---- */

enum { LAYER_TENSORS = 11 };

size_t tw_parameters_count(const struct tw_parameters *parameters)
{
    return (size_t)LAYER_TENSORS * parameters->shape.n_layers +
           (parameters->shape.tied_head ? 2 : 3);
}

/* n_rows: 0 for a vector, since a matrix may have one row. */
static struct tw_parameter tensor_of(const char *name, size_t offset, size_t n_rows,
                                     size_t n_columns)
{
    struct tw_parameter tensor = {.offset = offset,
                                  .n_rows = n_rows != 0 ? n_rows : 1,
                                  .n_columns = n_columns,
                                  .is_vector = n_rows == 0};
    snprintf(tensor.name, sizeof tensor.name, "%s", name);
    return tensor;
}

static struct tw_parameter layer_tensor(const struct tw_parameters *p, size_t layer, size_t i)
{
    const struct tw_layer_offsets *at = &p->layer;
    size_t d = p->shape.n_embed, f = p->shape.n_ffn, q = p->q_width, kv = p->kv_width;
    size_t head = p->shape.head_dim;
    const struct {
        const char *name;
        size_t offset, n_rows, n_columns;
    } rows[LAYER_TENSORS] = {
        {"input_layernorm", at->attention_norm, 0, d},
        {"self_attn.q_proj", at->qkv, q, d},
        {"self_attn.k_proj", at->qkv + q * d, kv, d},
        {"self_attn.v_proj", at->qkv + (q + kv) * d, kv, d},
        {"self_attn.q_norm", at->q_norm, 0, head},
        {"self_attn.k_norm", at->k_norm, 0, head},
        {"self_attn.o_proj", at->o, d, q},
        {"post_attention_layernorm", at->ffn_norm, 0, d},
        {"mlp.gate_proj", at->gate_up, f, d},
        {"mlp.up_proj", at->gate_up + f * d, f, d},
        {"mlp.down_proj", at->down, d, f},
    };
    char name[96];
    snprintf(name, sizeof name, "model.layers.%zu.%s.weight", layer, rows[i].name);
    return tensor_of(name, p->layers + layer * p->layer_values + rows[i].offset, rows[i].n_rows,
                     rows[i].n_columns);
}

struct tw_parameter tw_parameters_tensor(const struct tw_parameters *parameters, size_t i)
{
    size_t d = parameters->shape.n_embed, v = parameters->shape.n_vocab;
    if (i == 0) {
        return tensor_of("model.embed_tokens.weight", parameters->embedding, v, d);
    }
    i--;
    if (i < (size_t)LAYER_TENSORS * parameters->shape.n_layers) {
        return layer_tensor(parameters, i / LAYER_TENSORS, i % LAYER_TENSORS);
    }
    return i == (size_t)LAYER_TENSORS * parameters->shape.n_layers
               ? tensor_of("model.norm.weight", parameters->final_norm, 0, d)
               : tensor_of("lm_head.weight", parameters->head, v, d);
}

/* ---- the beginning ---- */

static bool adds_to_residual(const char *name)
{
    return strstr(name, "o_proj") != NULL || strstr(name, "down_proj") != NULL;
}

void tw_parameters_randomise(const struct tw_parameters *parameters, uint64_t seed,
                             float *ret_weights)
{
    memset(ret_weights, 0, parameters->n_values * sizeof *ret_weights);
    double small = (double)init_deviation / sqrt(2.0 * parameters->shape.n_layers);
    for (size_t i = 0; i < tw_parameters_count(parameters); i++) {
        struct tw_parameter tensor = tw_parameters_tensor(parameters, i);
        size_t n = tensor.n_rows * tensor.n_columns;
        double deviation = adds_to_residual(tensor.name) ? small : (double)init_deviation;
        for (size_t j = 0; j < n; j++) {
            /* uniform in [-1, 1) has the standard deviation 1 / sqrt(3) */
            double u = 2.0 * tw_rng_uniform(seed, tensor.offset + j) - 1.0;
            ret_weights[tensor.offset + j] =
                tensor.is_vector ? 1.0f : (float)(u * sqrt(3.0) * deviation);
        }
    }
}
