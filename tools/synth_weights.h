/* synth_weights.h: random weights that a wrong kernel cannot survive.
 *
 * Weights of a plain normal distribution give a model whose attention is uniform and whose logits
 * hardly depend on the layers; a broken kernel passes a test on those. These have what trained
 * weights have:
 *   - a few channels of the residual stream are 50 times the others: half of them come out of the
 *     embedding, with nearly the same value for every token, half out of the first down projection;
 *   - norm weights answer with small factors there, and vary by a third elsewhere;
 *   - heads have different sharpness; scores spread by 1 to 4, so that a position's weight is often
 *     above one half and rotating it wrongly moves it;
 *   - query and key biases are as large as the projections themselves;
 *   - rows of the up projection differ in size, so the input of the down projection has outliers;
 *   - every sublayer adds an equal share to the residual stream, and logits spread by 2 to 3.
 *
 * A plan with a stock is made many times faster, for benchmarks of large models: rows of matrices
 * are put together from SYNTH_STOCK blocks of noise, chosen at random, in steps of 2^(1/4) of size.
 * No two rows are the same, and all of the above holds, but values repeat.
 *
 * Invariants: 1. a row's values depend on (seed, tensor, row) alone, so rows may be made in any
 * order by any thread. 2. Norm weights, biases, routers and rope factors are numbers that bf16
 * holds exactly: a bf16 file and a GGUF file of one seed are the same model.
 * Ownership: the plan owns its tensors. Threads: any may fill rows of a finished plan.
 */
#ifndef TW_TOOLS_SYNTH_WEIGHTS_H
#define TW_TOOLS_SYNTH_WEIGHTS_H

#include <stdint.h>

#include "base/status.h"
#include "model/quantise_model.h"
#include "synth_presets.h"
#include "tensor/dtype.h"

enum synth_role {
    SYNTH_EMBED,
    SYNTH_HEAD,
    SYNTH_ATTN_NORM,
    SYNTH_FFN_NORM,
    SYNTH_OUTPUT_NORM,
    SYNTH_Q,
    SYNTH_K,
    SYNTH_V,
    SYNTH_Q_BIAS,
    SYNTH_K_BIAS,
    SYNTH_V_BIAS,
    SYNTH_QK_NORM,
    SYNTH_ATTN_OUTPUT,
    SYNTH_ROUTER,
    SYNTH_GATE,
    SYNTH_UP,
    SYNTH_DOWN,
    SYNTH_ROPE_FACTORS
};

struct synth_tensor {
    enum synth_role role;
    int layer; /* -1 outside the layers */
    char name[64];
    char hf_name[96]; /* empty where Hugging Face files have no such tensor */
    enum tw_dtype dtype;
    uint64_t n_columns, n_rows; /* of all experts */
    uint64_t n_experts;         /* 0: it is none of theirs */
    bool is_vector;
    uint64_t seed;
};

struct synth_plan {
    const struct synth_preset *preset;
    struct tw_model_shape shape; /* the preset's, as overridden */
    uint64_t seed;
    uint32_t file_type; /* general.file_type */
    bool has_stock;
    enum tw_pooling pooling; /* said in a GGUF file */
    bool dequantised; /* files hold, as F32, what the blocks of each tensor's type stand for */
    struct synth_tensor *tensors;
    uint32_t n_tensors;
    uint8_t *channels;      /* [n_embed] enum synth_channel */
    uint32_t n_channels[3]; /* by enum synth_channel */
};

enum synth_channel { SYNTH_ORDINARY = 0, SYNTH_LOUD_EMBED, SYNTH_LOUD_DOWN };

/* mix: which format each matrix gets; with TW_MODEL_MIX_KEEP all get dtype, as far as it fits. */
enum tw_status synth_plan_create(const struct synth_preset *preset,
                                 const struct tw_model_shape *shape, uint64_t seed,
                                 enum tw_model_mix mix, enum tw_dtype dtype,
                                 struct synth_plan *ret_plan, struct tw_error *error);
void synth_plan_free(struct synth_plan *plan);

/* The type a GGUF file of the plan has for the tensor. */
enum tw_dtype synth_file_dtype(const struct synth_plan *plan, const struct synth_tensor *tensor);

/* ret_values: [tensor->n_columns] f32, row `row` as GGUF orders rows. */
void synth_fill_row(const struct synth_plan *plan, const struct synth_tensor *tensor, uint64_t row,
                    float *ret_values);

/* ---- plans with a stock: matrices, block by block ---- */

enum { SYNTH_STOCK = 256 };

/* Columns of a block; all blocks of the tensor's type end where a block ends. */
size_t synth_stock_columns(const struct synth_tensor *tensor);

/* How often the row's scale is 2^(1/4) times that of row 0. */
int synth_stock_step(const struct synth_plan *plan, const struct synth_tensor *tensor,
                     uint64_t row);

/* Which block of the stock each block of a row is: ret_choices [n_blocks], below SYNTH_STOCK. */
void synth_stock_choose(const struct synth_tensor *tensor, uint64_t row, size_t n_blocks,
                        uint8_t *ret_choices);

/* ret_values: [synth_stock_columns(tensor)], block `choice` where it begins at column `first`. */
void synth_stock_fill(const struct synth_plan *plan, const struct synth_tensor *tensor, int step,
                      size_t first, uint32_t choice, float *ret_values);

/* The row of a GGUF file that row `row` of the Hugging Face file is: they differ in how the two
 * halves of a rotated pair are laid out, for queries and keys of Llama. */
uint64_t synth_hf_row(const struct synth_plan *plan, const struct synth_tensor *tensor,
                      uint64_t row);

#endif
