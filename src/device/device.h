/* device.h: where weights live and products are computed. The CPU now, CUDA behind the same calls.
 *
 * A forward pass is a list of batched operations put on a stream and then run:
 *
 *     tw_stream_begin(stream, batch) ; tw_stream_embed ; { tw_stream_prepare ; tw_stream_matmul ;
 *     tw_stream_rope_append ; tw_stream_attention ... } ; tw_stream_run(stream)
 *
 * Operations run in order; each sees what the ones before it wrote (tw_stream_barrier is where the
 * CPU must wait for all threads; between two operations without a barrier neither may read what
 * the other writes). Nothing is allocated while a stream is built or run.
 *
 * Shapes: activations are f32 rows [n_rows, width], contiguous. Weights are [rows, columns] in one
 * of the formats of tensor/dtype.h; a product computes y[n, r] = sum over k of W[r, k] * x[n, k].
 *
 * Determinism: y[n, r] is computed by a fixed sequence of roundings that depends on W's row, x's
 * row and nothing else (docs/determinism.md).
 * Ownership: a device owns its matrices, buffers and streams until the _free calls; free those
 * first. Threads: one stream is built and run by one thread at a time.
 * Errors: creation fails with TW_ERR_MEMORY or TW_ERR_UNSUPPORTED. Building and running cannot
 * fail: sizes are checked by assertions, since only our own code calls this.
 */
#ifndef TW_DEVICE_DEVICE_H
#define TW_DEVICE_DEVICE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cpu.h"
#include "base/status.h"
#include "tensor/dtype.h"

enum {
    TW_KV_PAGE_TOKENS = 64,
    TW_EXPERT_CHUNK_ROWS = 48 /* of the input of an expert, that a thread gathers at once */
};

struct tw_device;
struct tw_device_matrix;
struct tw_device_table;
struct tw_device_buffer;
struct tw_stream;

/* n_threads: 1..TW_LIMIT_THREADS, or 0 for as many as there are cores. */
enum tw_status tw_device_cpu_create(int n_threads, enum tw_cpu_level level,
                                    struct tw_device **ret_device, struct tw_error *error);
void tw_device_free(struct tw_device *device);
const char *tw_device_name(const struct tw_device *device); /* "cpu avx512, 2 threads" */
int tw_device_threads(const struct tw_device *device);
/* What the host's own part of the work should use. */
enum tw_cpu_level tw_device_level(const struct tw_device *device);

/* Calls a function on all threads of the device at once and returns when each has: for the host's
 * own part of a pass. Not while a stream runs. */
void tw_device_run(struct tw_device *device,
                   void (*function)(void *context, int thread, int n_threads), void *context);

/* ---- buffers: f32 and other plain memory on the device ---- */

enum tw_status tw_device_buffer_create(struct tw_device *device, size_t size_bytes,
                                       struct tw_device_buffer **ret_buffer,
                                       struct tw_error *error);
void tw_device_buffer_free(struct tw_device_buffer *buffer);
void tw_device_buffer_write(struct tw_device_buffer *buffer, size_t offset_bytes, const void *bytes,
                            size_t n_bytes);
/* The buffer's content where the host can read it; valid until the next run of a stream. */
const void *tw_device_buffer_read(struct tw_device_buffer *buffer);

/* ---- weights ---- */

/* Rows of a matrix as they lie in a file: row r is at data + r * row_bytes. */
struct tw_matrix_source {
    enum tw_dtype dtype;
    size_t n_rows;
    size_t n_columns;
    const void *data;
    /* NULL, or n_rows entries: row r of the matrix is row row_map[r] of data. */
    const uint32_t *row_map;
    /* Above 1: as many matrices of that type and shape, of a mixture of experts. They follow one
     * another in data, or lie where experts [n_experts] says, and data is not read. */
    size_t n_experts;
    const void *const *experts;
};

/* Copies and packs a weight matrix. With `second`, rows of the two are interleaved in groups of 16
 * (gate and up projections; both of one dtype and shape), for TW_EPILOGUE_SILU_MUL. */
enum tw_status tw_device_matrix_create(struct tw_device *device,
                                       const struct tw_matrix_source *source,
                                       const struct tw_matrix_source *second,
                                       struct tw_device_matrix **ret_matrix,
                                       struct tw_error *error);
void tw_device_matrix_free(struct tw_device_matrix *matrix);
size_t tw_device_matrix_bytes(const struct tw_device_matrix *matrix);

/* Packed weights that are kept, and used again from where they lie (model/weight_pack.h). The form
 * is a device's own and has a number, different for another form; 0: this device has none that
 * others may keep, and the functions below say TW_ERR_UNSUPPORTED and NULL. */
enum { TW_DEVICE_FORM_ALIGNMENT = 64 };
uint32_t tw_device_form(const struct tw_device *device);
/* The tw_device_matrix_bytes of a matrix in that form, where the host can read them. */
const void *tw_device_matrix_packed(const struct tw_device_matrix *matrix);
/* A matrix over such bytes, which are read and never written, and must outlive it. Of the sources
 * only type and shape count. TW_ERR_FORMAT when so many bytes at that address cannot be such a
 * matrix; any content is safe to multiply. */
enum tw_status tw_device_matrix_view(struct tw_device *device,
                                     const struct tw_matrix_source *source,
                                     const struct tw_matrix_source *second, const void *packed,
                                     size_t packed_bytes, struct tw_device_matrix **ret_matrix,
                                     struct tw_error *error);
/* From here on a created matrix is a view of a copy of its bytes; its own memory is free. */
void tw_device_matrix_move(struct tw_device_matrix *matrix, const void *packed);

/* A table whose rows are looked up, not multiplied (token embeddings). It keeps a view: source.data
 * must stay valid until the free. source.row_map must be NULL. */
enum tw_status tw_device_table_create(struct tw_device *device,
                                      const struct tw_matrix_source *source,
                                      struct tw_device_table **ret_table, struct tw_error *error);
void tw_device_table_free(struct tw_device_table *table);

/* ---- the batch a stream works on ---- */

struct tw_device_row {
    int32_t token;
    uint32_t position;
    uint32_t table; /* index into tables */
};

struct tw_device_batch {
    uint32_t n_rows;
    const struct tw_device_row *rows; /* [n_rows] */
    const uint32_t *const *tables;    /* page ids by sequence */
    uint32_t n_outputs;
    const uint32_t *outputs; /* [n_outputs] rows whose logits are wanted, ascending */
};

/* One layer's share of a KV page. */
struct tw_kv_shape {
    uint32_t n_layers;
    uint32_t n_kv_heads;
    uint32_t head_dim;
    enum tw_dtype dtype; /* F16 or Q8_0 */
};

/* Bytes of one page: all layers and heads, keys and values. */
size_t tw_device_kv_page_bytes(const struct tw_kv_shape *shape);

/* ---- operations ---- */

/* Room for batches of max_rows tokens and for inputs of products of up to max_width f32. */
struct tw_stream_limits {
    uint32_t max_rows;
    uint32_t max_width; /* widest row that is ever the input of a product, experts' own excepted */
    uint32_t max_operations;
    /* Mixtures of experts: experts of a layer (0: there are none), those of a token, and the width
     * of their hidden rows. */
    uint32_t max_experts, max_experts_used, max_expert_width;
};

enum tw_status tw_stream_create(struct tw_device *device, const struct tw_stream_limits *limits,
                                struct tw_stream **ret_stream, struct tw_error *error);
void tw_stream_free(struct tw_stream *stream);

/* Empties the stream. The batch is read until tw_stream_run returns. */
void tw_stream_begin(struct tw_stream *stream, const struct tw_device_batch *batch);
void tw_stream_barrier(struct tw_stream *stream);
void tw_stream_run(struct tw_stream *stream);
/* The same, and given up at the next barrier once others have made it more than 0: false, and what
 * operations write is neither what it was nor what it was to be. NULL: to the end. */
bool tw_stream_run_unless(struct tw_stream *stream, const atomic_uint *n_waited_for);

/* x[n, :] = row token[n] of table, as f32. A token outside the table is an assertion. */
void tw_stream_embed(struct tw_stream *stream, const struct tw_device_table *table,
                     struct tw_device_buffer *x);

/* Makes x[n_rows, width] ready to be the input of products: RMS norm with norm_weight [width] where
 * that is not NULL, then whatever form the device multiplies. With `outputs_only`, row i of the
 * input is row outputs[i] of x. One input at a time: the next prepare replaces it. */
void tw_stream_prepare(struct tw_stream *stream, const struct tw_device_buffer *x, uint32_t width,
                       const struct tw_device_buffer *norm_weight, float eps, bool outputs_only);

/* The norm of tw_stream_prepare alone, of every row of x, in its place. */
void tw_stream_norm(struct tw_stream *stream, struct tw_device_buffer *x, uint32_t width,
                    const struct tw_device_buffer *norm_weight, float eps);

enum tw_epilogue {
    TW_EPILOGUE_STORE = 0, /* y = Wx */
    TW_EPILOGUE_BIAS,      /* y = Wx + bias[r] */
    TW_EPILOGUE_ADD,       /* y = y + Wx (residual) */
    TW_EPILOGUE_SILU_MUL   /* W = gate|up interleaved: y = silu(gate x) * (up x) */
};

/* y: [n_rows or n_outputs, y_stride] f32, columns [y_offset, y_offset + rows of W). bias: [rows]
 * f32, TW_EPILOGUE_BIAS only. */
void tw_stream_matmul(struct tw_stream *stream, const struct tw_device_matrix *matrix,
                      enum tw_epilogue epilogue, const struct tw_device_buffer *bias,
                      struct tw_device_buffer *y, uint32_t y_offset, uint32_t y_stride);

/* y[n, i] = silu(y[n, i]) * up[n, i]: for gate and up matrices of different formats. */
void tw_stream_silu_mul(struct tw_stream *stream, struct tw_device_buffer *gate,
                        const struct tw_device_buffer *up, uint32_t width);

/* How a row of logits [n_experts] becomes the n_used experts of a token and their weights:
 * tw_kernels_route in kernel/kernels.h. */
struct tw_expert_choice {
    uint32_t n_experts, n_used;
    bool is_normed;
};

/* Chooses the experts of every row. logits: [n_rows, n_experts] f32. */
void tw_stream_route(struct tw_stream *stream, const struct tw_device_buffer *logits,
                     const struct tw_expert_choice *choice);

/* The feed-forward of the experts that the last tw_stream_route chose, a barrier before, of the
 * prepared input:
 *
 *     y[n] = y[n] + weight * (down_e (silu(gate_e x[n]) * (up_e x[n]))), for e ascending
 *
 * where product and sum are rounded one after the other. gate_up: interleaved, with up NULL; or
 * gate alone, and up of another dtype. y: [n_rows, rows of down] f32. It takes five operations
 * of the list and has the barriers between them. */
void tw_stream_experts(struct tw_stream *stream, const struct tw_device_matrix *gate_up,
                       const struct tw_device_matrix *up, const struct tw_device_matrix *down,
                       struct tw_device_buffer *y);

struct tw_rope_op {
    uint32_t n_dims;
    bool interleaved;
    /* cos and sin of every batch row, [n_rows, n_dims / 2] each, f32, in one buffer */
    const struct tw_device_buffer *cos_sin;
};

/* For every row: RMS norm of each head of q and k (where the weights [head_dim] are given), RoPE on
 * q and k in place, then k and v go to the row's position in the KV cache.
 * qkv: [n_rows, (n_heads + 2 n_kv_heads) * head_dim] f32. */
void tw_stream_rope_append(struct tw_stream *stream, struct tw_device_buffer *qkv, uint32_t n_heads,
                           const struct tw_device_buffer *q_norm,
                           const struct tw_device_buffer *k_norm, float eps,
                           const struct tw_rope_op *rope, struct tw_device_buffer *kv,
                           const struct tw_kv_shape *shape, uint32_t layer);

/* out[n, h*head_dim + d] = causal attention of q over the row's sequence up to its position, scaled
 * by 1/sqrt(head_dim). Segments of 512 positions are computed on their own and merged in order, so
 * that a long context can be spread over threads without changing a bit. */
void tw_stream_attention(struct tw_stream *stream, const struct tw_device_buffer *qkv,
                         uint32_t n_heads, const struct tw_device_buffer *kv,
                         const struct tw_kv_shape *shape, uint32_t layer,
                         struct tw_device_buffer *out);

#endif
