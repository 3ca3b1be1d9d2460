/* gradient.h: the loss of a decoder over packed documents, and its gradient.
 *
 *     tokens of documents --[forward, everything kept]--> logits of the rows before a target
 *     --[cross entropy]--> sum of losses --[backward]--> gradients += scale * d(sum) / d(weights)
 *
 * The head is computed for the rows that predict a target only, 256 rows at a time: logits of a
 * whole batch would be its largest array by far. With TW_GEMM_BF16, products round their inputs to
 * bf16 and sum in f32; weights, activations and gradients are f32 either way.
 *
 * Invariants: 1. Same bits for any number of threads and any instruction set. 2. A document's loss
 * does not depend on its neighbours in the batch. 3. Padding between parts of the gradient stays 0.
 * Ownership: device and parameters must outlive it. Threads: one at a time.
 * Errors: TW_ERR_MEMORY at create. A batch beyond the sizes given there is an assertion.
 */
#ifndef TW_TRAIN_GRADIENT_H
#define TW_TRAIN_GRADIENT_H

#include "device/dense.h"
#include "train/parameters.h"

struct tw_gradient;

/* max_tokens: of one batch. Documents are at most parameters->shape.n_context_tokens long. */
enum tw_status tw_gradient_create(struct tw_device *device, const struct tw_parameters *parameters,
                                  size_t max_tokens, enum tw_gemm_format format,
                                  struct tw_gradient **ret_gradient, struct tw_error *error);
void tw_gradient_free(struct tw_gradient *gradient);

struct tw_train_batch {
    const int32_t *tokens;    /* [n_tokens] */
    const uint8_t *is_target; /* [n_tokens] 1: predicted from the tokens before it in its document;
                                   never for a document's first token */
    size_t n_tokens;
    struct tw_dense_documents documents;
};

struct tw_train_loss {
    double sum; /* nats */
    size_t n_targets;
    double operations; /* multiplications and additions of products that were done */
};

/* gradients: [parameters->n_values], added to; NULL: the loss alone. */
struct tw_train_loss tw_gradient_add(struct tw_gradient *gradient, const float *weights,
                                     const struct tw_train_batch *batch, float scale,
                                     float *gradients);

/* What it works with, for the optimiser. */
struct tw_dense *tw_gradient_dense(struct tw_gradient *gradient);

/* Bytes of memory that create takes on a device of n_threads: each has its own work space for
 * attention, a few MB for a context of some thousand tokens. */
size_t tw_gradient_bytes(const struct tw_parameters *parameters, size_t max_tokens, int n_threads);

#endif
