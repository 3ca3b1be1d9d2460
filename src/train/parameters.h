/* parameters.h: the weights of a qwen3 decoder as one array of f32, and what lies where in it.
 *
 *     [embedding | layer 0: norm, qkv, q norm, k norm, o, norm, gate|up, down | layer 1 ... |
 *      norm | head, unless it is tied to the embedding]
 *
 * Gradients and the optimiser's moments use the same layout. Matrices are [outputs, inputs]; q, k
 * and v lie one below the other, gate and up too, so that each pair of products is one. Parts begin
 * at multiples of 16 values; what lies between them is zero and stays zero.
 *
 * Threads: any may read. Errors: TW_ERR_UNSUPPORTED for shapes that training does not know.
 */
#ifndef TW_TRAIN_PARAMETERS_H
#define TW_TRAIN_PARAMETERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "model/shape.h"

struct tw_layer_offsets {
    size_t attention_norm, qkv, q_norm, k_norm, o, ffn_norm, gate_up, down;
};

struct tw_parameters {
    struct tw_model_shape shape;
    size_t q_width, kv_width;                   /* n_heads * head_dim, n_kv_heads * head_dim */
    size_t n_values;                            /* of the whole array */
    size_t n_weights;                           /* without what lies between the parts */
    size_t embedding, layers, final_norm, head; /* layers: where layer 0 begins */
    size_t layer_values;                        /* from one layer to the next */
    struct tw_layer_offsets layer;              /* within a layer */
};

enum tw_status tw_parameters_init(struct tw_parameters *parameters,
                                  const struct tw_model_shape *shape, struct tw_error *error);

/* One tensor of the model, as Hugging Face files name it. */
struct tw_parameter {
    char name[96];
    size_t offset;
    size_t n_rows, n_columns; /* a vector has one row */
    bool is_vector;
};

/* Tensor i of tw_parameters_count(). */
size_t tw_parameters_count(const struct tw_parameters *parameters);
struct tw_parameter tw_parameters_tensor(const struct tw_parameters *parameters, size_t i);

/* Random weights: uniform with the standard deviation 0.02, for matrices that add to the residual
 * stream 0.02 / sqrt(2 n_layers) (Radford et al. 2019, GPT-2); norms are 1. A function of seed. */
void tw_parameters_randomise(const struct tw_parameters *parameters, uint64_t seed,
                             float *ret_weights);

#endif
