/* model.h: a loaded model: shape, tokenizer, weights on a device, and its forward pass.
 *
 *     files --[tw_model_load]--> weights packed on the device, or mapped as packed before
 *     batch of tokens from many sequences --[tw_model_forward]--> logits of the rows asked for
 *
 * The KV cache is paged: a page holds TW_KV_PAGE_TOKENS positions of one sequence for all layers.
 * Who owns which page is the caller's business (sched/page_pool.h); the forward pass only reads
 * page tables. Pages may be shared by sequences with a common prefix.
 *
 * Determinism: a row's logits are the same bits whatever else is in the batch, however its prompt
 * was chunked, and whatever the number of threads (docs/determinism.md).
 * Threads: one forward pass at a time per model. Errors: TW_ERR_LIMIT for a batch beyond the sizes
 * given at load.
 */
#ifndef TW_MODEL_MODEL_H
#define TW_MODEL_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "device/device.h"
#include "model/shape.h"
#include "model/tensors.h"
#include "model/weights.h"
#include "text/tokenizer.h"

struct tw_model;

/* Told while weights are packed; total_bytes is constant. Called on the loading thread. False: the
 * load is to stop, which ends it with TW_ERR_CANCELLED. */
typedef bool (*tw_model_progress_fn)(void *context, uint64_t done_bytes, uint64_t total_bytes);

struct tw_model_options {
    uint32_t max_batch_tokens;     /* rows of one forward pass; 0: 512 */
    uint32_t max_output_rows;      /* rows whose logits one pass may return; 0: 64 */
    tw_model_progress_fn progress; /* may be NULL */
    void *progress_context;
    const struct tw_pack_options *pack; /* model/weights.h; NULL: weights are packed into memory */
    const struct tw_tokenizer
        *tokenizer; /* of these files, and outlives the model; NULL: its own */
};

/* The device must outlive the model. The files stay mapped: embedding rows are read from there. */
enum tw_status tw_model_load(const char *path, struct tw_device *device,
                             const struct tw_model_options *options, struct tw_model **ret_model,
                             struct tw_error *error);
void tw_model_free(struct tw_model *model);

const struct tw_model_shape *tw_model_shape(const struct tw_model *model);
enum tw_pooling tw_model_pooling(const struct tw_model *model);
const struct tw_tokenizer *tw_model_tokenizer(const struct tw_model *model);
struct tw_bytes tw_model_chat_template(const struct tw_model *model);

/* Bytes of packed weights that a decode step must read (embedding rows excepted). */
uint64_t tw_model_weight_bytes(const struct tw_model *model);

/* Multiply-adds with weights: of a token in all layers, and of a row of logits; those that are done
 * with 8-bit integers, and those in floating point. */
struct tw_model_products {
    uint64_t quantised, floats;
    uint64_t head_quantised, head_floats;
};
struct tw_model_products tw_model_products(const struct tw_model *model);

/* The shape alone, from opened files: no weights are touched. */
enum tw_status tw_model_read_shape(const struct tw_model_files *files,
                                   struct tw_model_shape *ret_shape, struct tw_error *error);

/* Pages for n_pages * TW_KV_PAGE_TOKENS positions, zeroed. kv_dtype: F16 or Q8_0. */
struct tw_kv_cache;
enum tw_status tw_kv_cache_create(const struct tw_model *model, uint32_t n_pages,
                                  enum tw_dtype kv_dtype, struct tw_kv_cache **ret_cache,
                                  struct tw_error *error);
void tw_kv_cache_free(struct tw_kv_cache *cache);
/* Bytes of one page: all layers, keys and values. */
size_t tw_kv_page_bytes(const struct tw_model_shape *shape, enum tw_dtype kv_dtype);

/* One sequence of a batch: n_tokens new tokens at positions first_position, first_position+1, ...
 * pages[i] holds positions [64 i, 64 i + 63]; it must cover the last new position. The new
 * positions' pages must not be shared with another sequence of the batch. */
struct tw_batch_sequence {
    const tw_token *tokens;
    uint32_t n_tokens;
    uint32_t first_position;
    const uint32_t *pages;
    uint32_t n_outputs; /* logits are wanted for the last n_outputs of these tokens */
};

/* ret_logits: [sum of n_outputs, n_vocab] f32, in batch order; valid until the next pass. Of more
 * rows than max_output_rows those are the first; tw_model_more_logits has the others.
 * n_waited_for: once others make it more than 0, the pass is given up: TW_ERR_CANCELLED, and the
 * new positions are to be computed again. NULL: it runs to its end. */
enum tw_status tw_model_forward(struct tw_model *model, struct tw_kv_cache *cache,
                                const struct tw_batch_sequence *sequences, uint32_t n_sequences,
                                const atomic_uint *n_waited_for, const float **ret_logits,
                                struct tw_error *error);

/* Logits of the next rows of the last pass, up to max_output_rows; at least one must be left. They
 * take the place of those before. */
const float *tw_model_more_logits(struct tw_model *model);

/* What the last pass made of every row, [n_rows, n_embed] f32 in batch order, after the output
 * norm: what the head reads. Once, after all logits; valid until the next pass. */
const float *tw_model_states(struct tw_model *model);

#endif
