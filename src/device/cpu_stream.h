/* cpu_stream.h: what the files of the CPU's streams share; nobody else includes it.
 *
 *     cpu_stream.c: the list, and all operations but     cpu_experts.c: mixtures of experts
 *
 * Invariants: 1. an operation's outputs are shared out among threads by their number alone.
 * 2. What a worker writes between two barriers no other worker reads or writes.
 * Ownership: a stream owns its lists and work space. Threads: one struct worker for each thread of
 * a run. Errors: none; sizes are asserted where operations are put on the list.
 */
#ifndef TW_DEVICE_CPU_STREAM_H
#define TW_DEVICE_CPU_STREAM_H

#include "device/cpu_device.h"

enum { DECODE_PREFETCH_BYTES = 6144 }; /* ahead of a single pass: 4-8 KB measured best */

enum op_kind {
    OP_BARRIER = 0,
    OP_EMBED,
    OP_PREPARE,
    OP_NORM,
    OP_MATMUL,
    OP_SILU_MUL,
    OP_ROPE_APPEND,
    OP_ATTENTION,
    OP_ROUTE,
    OP_EXPERTS_UP,
    OP_EXPERTS_PREPARE,
    OP_EXPERTS_DOWN
};

enum { FORM_BYTES = 1, FORM_FLOATS = 2 }; /* what the products of a prepared input read */

struct op {
    enum op_kind kind;
    uint32_t n_rows; /* of x, or outputs */
    uint32_t width;
    const struct tw_device_buffer *x;
    struct tw_device_buffer *y;
    const struct tw_device_buffer *weight; /* norm or bias */
    const struct tw_device_buffer *weight2;
    float eps;
    union {
        const struct tw_device_table *table;
        struct {
            int forms;
            bool outputs_only;
        } prepare;
        struct {
            const struct tw_device_matrix *matrix;
            enum tw_epilogue epilogue;
            uint32_t y_offset, y_stride;
        } matmul;
        struct {
            struct tw_device_buffer *kv;
            struct tw_kv_shape shape;
            uint32_t layer, n_heads;
            struct tw_rope_op rope;
        } attention;
        struct {
            struct tw_expert_choice choice; /* OP_ROUTE */
            const struct tw_device_matrix *gate_up, *up, *down;
        } experts;
    } u;
};

struct thread_scratch {
    _Alignas(64) float tile[TW_TILE_COLUMNS_MAX * TW_GROUP_ROWS];
    _Alignas(64) float tile2[TW_TILE_COLUMNS_MAX * TW_GROUP_ROWS];
    _Alignas(64) float queries[TW_HEAD_DIM_MAX * TW_ATTENTION_HEADS_MAX];
    struct tw_attention_state state, segment;
};

struct expert_space; /* cpu_experts.c */

struct tw_stream {
    struct tw_device *device;
    struct tw_stream_limits limits;
    const struct tw_device_batch *batch;
    struct op *ops;
    uint32_t n_ops;
    const atomic_uint *n_waited_for; /* NULL: it runs to its end */
    bool gives_up[2];                /* at a barrier; for each second one */
    bool has_ended;                  /* the last run was not given up */
    struct op *prepared;             /* the input that the next products read */
    uint8_t *bytes_form;
    float *floats_form;
    struct thread_scratch *scratch;      /* [n_threads] */
    float *norm_rows;                    /* [n_threads][max_width] */
    struct tw_attention_state *partials; /* [TW_LIMIT_ATTENTION_SEGMENTS], for few rows */
    struct expert_space *experts;        /* NULL without experts */
};

/* What one thread needs to know while it walks the list. */
struct worker {
    struct tw_stream *stream;
    const struct tw_kernels *kernels;
    struct thread_scratch *scratch;
    float *norm_row;
    int thread;
    int n_threads;
};

/* An operation at the end of the list, over the rows of the batch. */
struct op *tw_cpu_stream_push(struct tw_stream *stream, enum op_kind kind);

/* Work space as stream->limits asks for; false when memory could not be had. */
bool tw_cpu_experts_init(struct tw_stream *stream);
void tw_cpu_experts_free(struct tw_stream *stream);
/* The worker's part of an operation of experts. */
void tw_cpu_experts_run(const struct worker *w, const struct op *op);

static inline float *floats_of(const struct tw_device_buffer *buffer)
{
    return (float *)(void *)buffer->data;
}

static inline void share(const struct worker *w, size_t n, size_t *ret_begin, size_t *ret_end)
{
    tw_threadpool_share(n, w->thread, w->n_threads, ret_begin, ret_end);
}

static inline int form_of(enum tw_dtype dtype)
{
    return tw_layout_of(dtype).scale == TW_SCALE_FLOAT ? FORM_FLOATS : FORM_BYTES;
}

/* Column `column` of a tile of floats. */
static inline void store_floats_form(const float *row, size_t width, float *tile,
                                     uint32_t n_columns, uint32_t column)
{
    size_t padded = tw_act_float_columns(width);
    for (size_t k = 0; k < width; k++) {
        tile[k * n_columns + column] = row[k];
    }
    for (size_t k = width; k < padded; k++) {
        tile[k * n_columns + column] = 0;
    }
}

/* A group of weights against tile after tile. One pass over the weights: prefetch a little ahead.
 * Several passes over a group: spread the next group's lines over all of them. */
struct group_walk {
    enum tw_dtype dtype;
    const uint8_t *weights, *ahead, *ahead_end;
    size_t n_steps, lines;
    bool one_pass;
};

/* group: counted through all experts of the matrix. */
static inline struct group_walk group_walk_of(const struct tw_device_matrix *matrix, size_t group,
                                              uint32_t n_tiles)
{
    size_t step_lines = TW_GROUP_PANELS * tw_layout_of(matrix->dtype).panel_step_bytes / 64;
    const uint8_t *weights = matrix->groups + group * matrix->group_bytes;
    bool one_pass = n_tiles == 1;
    return (struct group_walk){
        .dtype = matrix->dtype,
        .weights = weights,
        .ahead = weights + (one_pass ? DECODE_PREFETCH_BYTES : matrix->group_bytes),
        .ahead_end = weights + 2 * matrix->group_bytes,
        .n_steps = tw_layout_steps(matrix->dtype, matrix->n_columns),
        .lines = one_pass ? step_lines : (step_lines + n_tiles - 1) / n_tiles,
        .one_pass = one_pass,
    };
}

static inline void group_walk_tile(struct group_walk *walk, const struct tw_kernels *kernels,
                                   const void *acts, uint32_t n_columns, float *ret_tile)
{
    bool more = walk->one_pass || walk->ahead < walk->ahead_end;
    kernels->tile[walk->dtype][n_columns - 1](walk->weights, acts, walk->n_steps, ret_tile,
                                              walk->ahead, more ? walk->lines : 0);
    walk->ahead += walk->one_pass ? 0 : walk->lines * walk->n_steps * 64;
}

#endif
