/* dense.h: the float arithmetic of training on a device's threads: products of matrices, norms,
 * attention over packed documents, loss and optimiser, forward and backward.
 *
 *     tw_dense_create(device, sizes) -> calls, each on all threads, in the order made -> free
 *
 * Arrays are f32, row-major, contiguous unless a stride is given, in memory of the host; each call
 * has returned its results when it returns. Gradients named d... are of the loss with respect to
 * what stands behind the d. Formulas and orders of sums: kernel/train_kernels.h.
 *
 * Invariants: 1. Results are the same bits for any number of threads and at any instruction set:
 * work is cut by fixed sizes, and partial sums are added in the order of the rows. 2. Nothing is
 * allocated after create.
 * Ownership: the device must outlive it. Threads: one at a time. Errors: create gives
 * TW_ERR_MEMORY; sizes beyond those given there are assertions, since only our code calls this.
 */
#ifndef TW_DEVICE_DENSE_H
#define TW_DEVICE_DENSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "device/device.h"
#include "kernel/train_kernels.h"

struct tw_dense;

/* The largest of everything that will be asked for. */
struct tw_dense_limits {
    size_t n_gemm_words;      /* the largest tw_dense_gemm_words of any product */
    size_t n_tokens;          /* rows of norms and attention */
    size_t n_width;           /* width of a norm */
    size_t n_document_tokens; /* a document in attention */
    size_t n_head_dim;
    size_t n_parameters;
};

enum tw_status tw_dense_create(struct tw_device *device, const struct tw_dense_limits *limits,
                               struct tw_dense **ret_dense, struct tw_error *error);
void tw_dense_free(struct tw_dense *dense);

/* Bytes of memory that create takes on a device of n_threads. */
size_t tw_dense_bytes(const struct tw_dense_limits *limits, int n_threads);

/* ---- products ---- */

/* C[m, n] = sum over k > 0 of A(m, k) B(n, k), begun from C0 [m, n] where that is not NULL (it may
 * be C). A(m, k) is a[m * stride + k], or with a_across a[k * stride + m]; B likewise. So, with a
 * layer's weights W [outputs, inputs]:
 *     y  = x W^T    a = x, b = W
 *     dx = dy W     a = dy, b = W across
 *     dW = dy^T x   a = dy across, b = x across */
struct tw_gemm {
    enum tw_gemm_format format;
    size_t m, n, k;
    const float *a, *b;
    size_t a_stride, b_stride;
    bool a_across, b_across;
    const float *c0;
    float *c;
    size_t c_stride; /* of c0 too */
};

void tw_dense_gemm(struct tw_dense *dense, const struct tw_gemm *gemm);

/* Words of workspace that a product takes. */
size_t tw_dense_gemm_words(size_t m, size_t n, size_t k);

/* ---- rows ---- */

/* y[n_rows, width] from x, one RMS norm a row. */
void tw_dense_rms_norm(struct tw_dense *dense, const float *x, const float *weight, size_t n_rows,
                       size_t width, float eps, float *y);

/* dx is added to ret_dx; dweight [width] is added to. */
void tw_dense_rms_norm_backward(struct tw_dense *dense, const float *x, const float *weight,
                                const float *dy, size_t n_rows, size_t width, float eps,
                                float *ret_dx, float *dweight);

/* gate_up [n_rows, 2 width]: gates, then ups. y [n_rows, width]. */
void tw_dense_silu_mul(struct tw_dense *dense, const float *gate_up, size_t n_rows, size_t width,
                       float *y);
/* dgate and dup take the place of gate_up. */
void tw_dense_silu_mul_backward(struct tw_dense *dense, float *gate_up, const float *dy,
                                size_t n_rows, size_t width);

/* x[i] = table[tokens[i]]; dtable[tokens[i]] += dx[i]. */
void tw_dense_embed(struct tw_dense *dense, const float *table, const int32_t *tokens,
                    size_t n_rows, size_t width, float *x);
void tw_dense_embed_backward(struct tw_dense *dense, const float *dx, const int32_t *tokens,
                             size_t n_rows, size_t width, float *dtable);

/* Row i of logits [n_rows, n_vocab] becomes the gradient of scale * loss. ret_losses: [n_rows]
 * nats. */
void tw_dense_cross_entropy(struct tw_dense *dense, float *logits, const int32_t *targets,
                            size_t n_rows, size_t n_vocab, float scale, double *ret_losses);

/* ---- attention ---- */

/* Rows are tokens of documents laid one after another: document d is rows [starts[d], starts[d+1]),
 * its first token at position 0. Attention is causal and stays inside the document. */
struct tw_dense_documents {
    const uint32_t *starts; /* [n_documents + 1], ascending from 0 */
    size_t n_documents;
};

struct tw_dense_heads {
    size_t n_heads, n_kv_heads, head_dim;
    float eps;                    /* of the norms of q and k heads */
    const float *q_norm, *k_norm; /* [head_dim] */
    /* RoPE of half-split pairs, [n_document_tokens, head_dim / 2] each; back_sines = -sines. */
    const float *cosines, *sines, *back_sines;
    enum tw_gemm_format format; /* of the products */
};

/* Norm and RoPE of every head of q and k: qkv [n_tokens, (n_heads + 2 n_kv_heads) head_dim] ->
 * qk [n_tokens, (n_heads + n_kv_heads) head_dim]. */
void tw_dense_rotate(struct tw_dense *dense, const struct tw_dense_heads *heads,
                     const struct tw_dense_documents *documents, const float *qkv, float *qk);
/* The q and k parts of dqkv from dqk (which is overwritten); dq_norm and dk_norm are added to. */
void tw_dense_rotate_backward(struct tw_dense *dense, const struct tw_dense_heads *heads,
                              const struct tw_dense_documents *documents, const float *qkv,
                              float *dqk, float *dqkv, float *dq_norm, float *dk_norm);

/* out [n_tokens, n_heads head_dim]; statistics [n_tokens, n_heads, 2] is for backward. */
void tw_dense_attention(struct tw_dense *dense, const struct tw_dense_heads *heads,
                        const struct tw_dense_documents *documents, const float *qk,
                        const float *qkv, float *out, float *statistics);
/* dqk, and the v part of dqkv, from dout. */
void tw_dense_attention_backward(struct tw_dense *dense, const struct tw_dense_heads *heads,
                                 const struct tw_dense_documents *documents, const float *qk,
                                 const float *qkv, const float *out, const float *statistics,
                                 const float *dout, float *dqk, float *dqkv);

/* ---- parameters ---- */

/* The sum of squares of x [n]. */
double tw_dense_sum_squares(struct tw_dense *dense, const float *x, size_t n);

void tw_dense_adamw(struct tw_dense *dense, const struct tw_adamw_step *step, const float *gradient,
                    size_t n, float *weight, float *m, float *v);

#endif
