/* Products, rows and parameters; attention is in dense_attention.c. */
#include "device/dense.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "device/dense_state.h"

/* A panel's part of this many words (B: 32 KB) stays in the first-level cache while panels of A
 * pass by; a block of A of this many panels (512 KB) stays in the second. */
enum { BLOCK_WORDS = 256, BLOCK_PANELS = 64 };

static size_t n_panels_of(size_t n, size_t width)
{
    return (n + width - 1) / width;
}

/* ---- products ---- */

size_t tw_dense_gemm_words(size_t m, size_t n, size_t k)
{
    return (n_panels_of(m, TW_GEMM_ROWS) * TW_GEMM_ROWS +
            n_panels_of(n, TW_GEMM_COLUMNS) * TW_GEMM_COLUMNS) *
           k;
}

static void copy_tile(const float *from, size_t from_stride, float *to, size_t to_stride,
                      size_t n_rows, size_t n_columns)
{
    for (size_t row = 0; row < n_rows; row++) {
        memcpy(to + row * to_stride, from + row * from_stride, n_columns * sizeof *to);
    }
}

/* Words [first, first + n_words) of one pair of panels; the edge of C goes through a whole tile. */
static void multiply_tile(const struct tw_panels *p, size_t a_panel, size_t b_panel, size_t first,
                          size_t n_words)
{
    const uint32_t *a = p->a + (a_panel * p->n_words + first) * TW_GEMM_ROWS;
    const uint32_t *b = p->b + (b_panel * p->n_words + first) * TW_GEMM_COLUMNS;
    size_t row = a_panel * TW_GEMM_ROWS, column = b_panel * TW_GEMM_COLUMNS;
    size_t place = row * p->c_stride + column;
    const float *from = first != 0 ? p->c : p->c0;
    from = from != NULL ? from + place : NULL;
    tw_gemm_tile_fn tile = p->kernels->gemm_tile[p->format];
    if (row + TW_GEMM_ROWS <= p->m && column + TW_GEMM_COLUMNS <= p->n) {
        tile(a, b, n_words, from, p->c + place, p->c_stride);
        return;
    }
    float whole[TW_GEMM_ROWS * TW_GEMM_COLUMNS] = {0};
    size_t n_rows = p->m - row < TW_GEMM_ROWS ? p->m - row : (size_t)TW_GEMM_ROWS;
    size_t n_columns = p->n - column < TW_GEMM_COLUMNS ? p->n - column : (size_t)TW_GEMM_COLUMNS;
    if (from != NULL) {
        copy_tile(from, p->c_stride, whole, TW_GEMM_COLUMNS, n_rows, n_columns);
    }
    tile(a, b, n_words, whole, whole, TW_GEMM_COLUMNS);
    copy_tile(whole, TW_GEMM_COLUMNS, p->c + place, p->c_stride, n_rows, n_columns);
}

void tw_dense_multiply(const struct tw_panels *panels, size_t a_begin, size_t a_end, size_t b_begin,
                       size_t b_end)
{
    for (size_t first = 0; first < panels->n_words; first += BLOCK_WORDS) {
        size_t left = panels->n_words - first;
        size_t n_words = left < BLOCK_WORDS ? left : (size_t)BLOCK_WORDS;
        for (size_t block = a_begin; block < a_end; block += BLOCK_PANELS) {
            size_t end = block + BLOCK_PANELS < a_end ? block + BLOCK_PANELS : a_end;
            for (size_t b_panel = b_begin; b_panel < b_end; b_panel++) {
                for (size_t a_panel = block; a_panel < end; a_panel++) {
                    multiply_tile(panels, a_panel, b_panel, first, n_words);
                }
            }
        }
    }
}

struct gemm_job {
    struct tw_threadpool *pool;
    const struct tw_gemm *gemm;
    struct tw_panels panels;
    uint32_t *a, *b;
};

static void pack_share(const struct gemm_job *job, bool is_a, int thread, int n_threads)
{
    const struct tw_gemm *g = job->gemm;
    size_t width = is_a ? TW_GEMM_ROWS : TW_GEMM_COLUMNS, n = is_a ? g->m : g->n;
    const float *source = is_a ? g->a : g->b;
    size_t stride = is_a ? g->a_stride : g->b_stride;
    bool across = is_a ? g->a_across : g->b_across;
    uint32_t *panels = is_a ? job->a : job->b;
    const struct tw_train_kernels *kernels = job->panels.kernels;
    tw_pack_fn pack = across ? kernels->pack_columns[g->format] : kernels->pack_rows[g->format];
    size_t begin, end;
    tw_threadpool_share(n_panels_of(n, width), thread, n_threads, &begin, &end);
    for (size_t panel = begin; panel < end; panel++) {
        size_t first = panel * width, left = n - first;
        pack(source + first * (across ? 1 : stride), stride, left < width ? left : width, g->k,
             width, panels + first * job->panels.n_words);
    }
}

/* Every thread packs its share of both, then computes its share of C. */
static void gemm_part(void *context, int thread, int n_threads)
{
    const struct gemm_job *job = context;
    pack_share(job, true, thread, n_threads);
    pack_share(job, false, thread, n_threads);
    tw_threadpool_barrier(job->pool, thread);
    size_t n_a = n_panels_of(job->gemm->m, TW_GEMM_ROWS);
    size_t n_b = n_panels_of(job->gemm->n, TW_GEMM_COLUMNS);
    size_t begin, end;
    if (n_a >= 2 * (size_t)n_threads) {
        tw_threadpool_share(n_a, thread, n_threads, &begin, &end);
        tw_dense_multiply(&job->panels, begin, end, 0, n_b);
    } else {
        tw_threadpool_share(n_b, thread, n_threads, &begin, &end);
        tw_dense_multiply(&job->panels, 0, n_a, begin, end);
    }
}

void tw_dense_gemm(struct tw_dense *dense, const struct tw_gemm *gemm)
{
    assert(gemm->k > 0); /* a sum of nothing would leave C as it was */
    assert(tw_dense_gemm_words(gemm->m, gemm->n, gemm->k) <= dense->limits.n_gemm_words);
    size_t n_words = tw_gemm_words(gemm->format, gemm->k);
    size_t n_rows = n_panels_of(gemm->m, TW_GEMM_ROWS) * TW_GEMM_ROWS;
    uint32_t *a = dense->gemm_words, *b = a + n_rows * n_words;
    struct gemm_job job = {
        .pool = dense->device->pool,
        .gemm = gemm,
        .panels = {.kernels = &dense->kernels,
                   .format = gemm->format,
                   .a = a,
                   .b = b,
                   .m = gemm->m,
                   .n = gemm->n,
                   .n_words = n_words,
                   .c0 = gemm->c0,
                   .c = gemm->c,
                   .c_stride = gemm->c_stride},
        .a = a,
        .b = b,
    };
    tw_dense_run(dense, gemm_part, &job);
}

/* ---- rows ---- */

/* Arguments of one call, for the part that each thread does. */
struct rows_job {
    struct tw_dense *dense;
    const float *x, *weight, *dy;
    float *y;
    size_t n_rows, width;
    float eps, scale;
    const int32_t *tokens;
    double *losses;
};

static void norm_part(void *context, int thread, int n_threads)
{
    const struct rows_job *job = context;
    size_t begin, end;
    tw_threadpool_share(job->n_rows, thread, n_threads, &begin, &end);
    for (size_t row = begin; row < end; row++) {
        size_t at = row * job->width;
        job->dense->device->kernels.rms_norm(job->x + at, job->weight, job->width, job->eps,
                                             job->y + at);
    }
}

void tw_dense_rms_norm(struct tw_dense *dense, const float *x, const float *weight, size_t n_rows,
                       size_t width, float eps, float *y)
{
    struct rows_job job = {.dense = dense,
                           .x = x,
                           .weight = weight,
                           .n_rows = n_rows,
                           .width = width,
                           .eps = eps,
                           .y = y};
    tw_dense_run(dense, norm_part, &job);
}

static void norm_backward_part(void *context, int thread, int n_threads)
{
    const struct rows_job *job = context;
    size_t begin, end;
    tw_threadpool_share(n_panels_of(job->n_rows, TW_DENSE_CHUNK_ROWS), thread, n_threads, &begin,
                        &end);
    for (size_t chunk = begin; chunk < end; chunk++) {
        float *sums = job->dense->norm_sums + chunk * job->width;
        memset(sums, 0, job->width * sizeof *sums);
        size_t last = (chunk + 1) * TW_DENSE_CHUNK_ROWS;
        last = last < job->n_rows ? last : job->n_rows;
        for (size_t row = chunk * TW_DENSE_CHUNK_ROWS; row < last; row++) {
            size_t at = row * job->width;
            job->dense->kernels.rms_norm_backward(job->x + at, job->weight, job->dy + at,
                                                  job->width, job->eps, true, job->y + at, sums);
        }
    }
}

void tw_dense_rms_norm_backward(struct tw_dense *dense, const float *x, const float *weight,
                                const float *dy, size_t n_rows, size_t width, float eps,
                                float *ret_dx, float *dweight)
{
    assert(n_rows <= dense->limits.n_tokens && width <= dense->norm_width);
    struct rows_job job = {.dense = dense,
                           .x = x,
                           .weight = weight,
                           .dy = dy,
                           .n_rows = n_rows,
                           .width = width,
                           .eps = eps,
                           .y = ret_dx};
    tw_dense_run(dense, norm_backward_part, &job);
    for (size_t chunk = 0; chunk < n_panels_of(n_rows, TW_DENSE_CHUNK_ROWS); chunk++) {
        dense->device->kernels.add(dense->norm_sums + chunk * width, width, dweight);
    }
}

static void silu_part(void *context, int thread, int n_threads)
{
    const struct rows_job *job = context;
    size_t begin, end;
    tw_threadpool_share(job->n_rows, thread, n_threads, &begin, &end);
    for (size_t row = begin; row < end; row++) {
        const float *gate = job->x + 2 * row * job->width;
        job->dense->device->kernels.silu_mul(gate, gate + job->width, job->width,
                                             job->y + row * job->width);
    }
}

void tw_dense_silu_mul(struct tw_dense *dense, const float *gate_up, size_t n_rows, size_t width,
                       float *y)
{
    struct rows_job job = {.dense = dense, .x = gate_up, .n_rows = n_rows, .width = width, .y = y};
    tw_dense_run(dense, silu_part, &job);
}

static void silu_backward_part(void *context, int thread, int n_threads)
{
    const struct rows_job *job = context;
    size_t begin, end;
    tw_threadpool_share(job->n_rows, thread, n_threads, &begin, &end);
    for (size_t row = begin; row < end; row++) {
        float *gate = job->y + 2 * row * job->width, *up = gate + job->width;
        job->dense->kernels.silu_mul_backward(gate, up, job->dy + row * job->width, job->width,
                                              gate, up);
    }
}

void tw_dense_silu_mul_backward(struct tw_dense *dense, float *gate_up, const float *dy,
                                size_t n_rows, size_t width)
{
    struct rows_job job = {
        .dense = dense, .dy = dy, .n_rows = n_rows, .width = width, .y = gate_up};
    tw_dense_run(dense, silu_backward_part, &job);
}

static void embed_part(void *context, int thread, int n_threads)
{
    const struct rows_job *job = context;
    size_t begin, end;
    tw_threadpool_share(job->n_rows, thread, n_threads, &begin, &end);
    for (size_t row = begin; row < end; row++) {
        memcpy(job->y + row * job->width, job->x + (size_t)job->tokens[row] * job->width,
               job->width * sizeof *job->y);
    }
}

void tw_dense_embed(struct tw_dense *dense, const float *table, const int32_t *tokens,
                    size_t n_rows, size_t width, float *x)
{
    struct rows_job job = {
        .dense = dense, .x = table, .tokens = tokens, .n_rows = n_rows, .width = width, .y = x};
    tw_dense_run(dense, embed_part, &job);
}

/* Rows of one token may come from anywhere, so threads share the columns. */
static void embed_backward_part(void *context, int thread, int n_threads)
{
    const struct rows_job *job = context;
    size_t begin, end;
    tw_threadpool_share(n_panels_of(job->width, 16), thread, n_threads, &begin, &end);
    begin *= 16;
    end = end * 16 < job->width ? end * 16 : job->width;
    for (size_t row = 0; begin < end && row < job->n_rows; row++) {
        float *to = job->y + (size_t)job->tokens[row] * job->width + begin;
        job->dense->device->kernels.add(job->dy + row * job->width + begin, end - begin, to);
    }
}

void tw_dense_embed_backward(struct tw_dense *dense, const float *dx, const int32_t *tokens,
                             size_t n_rows, size_t width, float *dtable)
{
    struct rows_job job = {
        .dense = dense, .dy = dx, .tokens = tokens, .n_rows = n_rows, .width = width, .y = dtable};
    tw_dense_run(dense, embed_backward_part, &job);
}

static void loss_part(void *context, int thread, int n_threads)
{
    const struct rows_job *job = context;
    size_t begin, end;
    tw_threadpool_share(job->n_rows, thread, n_threads, &begin, &end);
    for (size_t row = begin; row < end; row++) {
        assert(job->tokens[row] >= 0 && (size_t)job->tokens[row] < job->width);
        job->losses[row] = job->dense->kernels.cross_entropy(
            job->y + row * job->width, job->width, (uint32_t)job->tokens[row], job->scale);
    }
}

void tw_dense_cross_entropy(struct tw_dense *dense, float *logits, const int32_t *targets,
                            size_t n_rows, size_t n_vocab, float scale, double *ret_losses)
{
    struct rows_job job = {.dense = dense,
                           .y = logits,
                           .tokens = targets,
                           .n_rows = n_rows,
                           .width = n_vocab,
                           .scale = scale,
                           .losses = ret_losses};
    tw_dense_run(dense, loss_part, &job);
}

/* ---- parameters ---- */

static size_t chunk_size(size_t n, size_t chunk)
{
    size_t first = chunk * TW_DENSE_CHUNK_VALUES;
    return n - first < TW_DENSE_CHUNK_VALUES ? n - first : (size_t)TW_DENSE_CHUNK_VALUES;
}

static void squares_part(void *context, int thread, int n_threads)
{
    const struct rows_job *job = context;
    size_t begin, end;
    tw_threadpool_share(n_panels_of(job->width, TW_DENSE_CHUNK_VALUES), thread, n_threads, &begin,
                        &end);
    for (size_t chunk = begin; chunk < end; chunk++) {
        const float *x = job->x + chunk * TW_DENSE_CHUNK_VALUES;
        job->losses[chunk] = (double)job->dense->kernels.dot(x, x, chunk_size(job->width, chunk));
    }
}

double tw_dense_sum_squares(struct tw_dense *dense, const float *x, size_t n)
{
    assert(n <= dense->limits.n_parameters);
    struct rows_job job = {.dense = dense, .x = x, .width = n, .losses = dense->square_sums};
    tw_dense_run(dense, squares_part, &job);
    double sum = 0;
    for (size_t chunk = 0; chunk < n_panels_of(n, TW_DENSE_CHUNK_VALUES); chunk++) {
        sum += dense->square_sums[chunk];
    }
    return sum;
}

struct adamw_job {
    const struct tw_dense *dense;
    const struct tw_adamw_step *step;
    const float *gradient;
    size_t n;
    float *weight, *m, *v;
};

static void adamw_part(void *context, int thread, int n_threads)
{
    const struct adamw_job *job = context;
    size_t begin, end;
    tw_threadpool_share(n_panels_of(job->n, TW_DENSE_CHUNK_VALUES), thread, n_threads, &begin,
                        &end);
    for (size_t chunk = begin; chunk < end; chunk++) {
        size_t at = chunk * TW_DENSE_CHUNK_VALUES;
        job->dense->kernels.adamw(job->step, job->gradient + at, chunk_size(job->n, chunk),
                                  job->weight + at, job->m + at, job->v + at);
    }
}

void tw_dense_adamw(struct tw_dense *dense, const struct tw_adamw_step *step, const float *gradient,
                    size_t n, float *weight, float *m, float *v)
{
    struct adamw_job job = {.dense = dense,
                            .step = step,
                            .gradient = gradient,
                            .n = n,
                            .weight = weight,
                            .m = m,
                            .v = v};
    tw_dense_run(dense, adamw_part, &job);
}

/* ---- creation ---- */

static size_t norm_width(const struct tw_dense_limits *limits)
{
    return limits->n_width > 2 * limits->n_head_dim ? limits->n_width : 2 * limits->n_head_dim;
}

static size_t norm_sums_bytes(const struct tw_dense_limits *limits)
{
    return n_panels_of(limits->n_tokens, TW_DENSE_CHUNK_ROWS) * norm_width(limits) * sizeof(float);
}

static size_t square_sums_bytes(const struct tw_dense_limits *limits)
{
    return n_panels_of(limits->n_parameters, TW_DENSE_CHUNK_VALUES) * sizeof(double);
}

size_t tw_dense_bytes(const struct tw_dense_limits *limits, int n_threads)
{
    return limits->n_gemm_words * sizeof(uint32_t) + norm_sums_bytes(limits) +
           square_sums_bytes(limits) + (size_t)n_threads * tw_dense_attention_bytes(limits);
}

enum tw_status tw_dense_create(struct tw_device *device, const struct tw_dense_limits *limits,
                               struct tw_dense **ret_dense, struct tw_error *error)
{
    struct tw_dense *dense = tw_mem_zalloc(1, sizeof *dense);
    if (dense == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for training");
    }
    dense->device = device;
    dense->limits = *limits;
    dense->norm_width = norm_width(limits);
    tw_train_kernels_init(&dense->kernels, device->kernels.level);
    dense->attention_bytes = tw_dense_attention_bytes(limits);
    dense->gemm_words = tw_mem_map(limits->n_gemm_words * sizeof *dense->gemm_words);
    dense->norm_sums = tw_mem_map(norm_sums_bytes(limits));
    dense->square_sums = tw_mem_map(square_sums_bytes(limits));
    dense->attention = tw_mem_map((size_t)device->n_threads * dense->attention_bytes);
    if (dense->gemm_words == NULL || dense->norm_sums == NULL || dense->square_sums == NULL ||
        dense->attention == NULL) {
        tw_dense_free(dense);
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION,
                            "no memory for the work space of training: use a smaller context");
    }
    *ret_dense = dense;
    return TW_OK;
}

void tw_dense_free(struct tw_dense *dense)
{
    if (dense == NULL) {
        return;
    }
    tw_mem_unmap(dense->gemm_words, dense->limits.n_gemm_words * sizeof *dense->gemm_words);
    tw_mem_unmap(dense->norm_sums, norm_sums_bytes(&dense->limits));
    tw_mem_unmap(dense->square_sums, square_sums_bytes(&dense->limits));
    tw_mem_unmap(dense->attention, (size_t)dense->device->n_threads * dense->attention_bytes);
    tw_mem_free(dense);
}
