/* Heads: norm, RoPE and causal attention over packed documents, forward and backward.
 *
 * Attention of one head over a document of L tokens works on blocks of 64 queries; each block's
 * scores [64, L] stay in the second-level cache, and every product is one of tiles:
 *
 *     forward    S = Q K^T; W = softmax(c S); O = W V
 *     backward   S again; dW = dO V^T; W, dS from the statistics of the forward pass
 *                dQ = dS K; dK += dS^T Q; dV += W^T dO
 *
 * (Dao et al. 2022, arXiv 2205.14135, keep the statistics and not W for the same reason: W of a
 * long document does not fit.) A (document, key-value head) pair is one piece of work for one
 * thread, so that sums over query heads and blocks have one order. */
#include <assert.h>
#include <string.h>

#include "device/dense_state.h"

struct attention_job {
    struct tw_dense *dense;
    const struct tw_dense_heads *heads;
    const struct tw_dense_documents *documents;
    const float *qk, *qkv, *out, *dout;
    float *ret_out, *statistics, *dqk, *dqkv;
};

static size_t round_up(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

/* ---- work space ---- */

/* A thread's part, in words; n_keys and dim are rounded up to whole panels of B. */
struct space {
    uint32_t *keys;           /* K: a panel holds 32 keys */
    uint32_t *keys_across;    /* K: a panel holds 32 dimensions */
    uint32_t *values;         /* V, either way */
    uint32_t *a;              /* the left side of whatever is multiplied */
    uint32_t *b;              /* a block of Q or dO, across */
    float *scores, *dweights; /* [64, n_keys] */
};

static size_t space_words(size_t n_keys, size_t dim, size_t ret_ends[7])
{
    size_t widest = n_keys > dim ? n_keys : dim;
    const size_t sizes[7] = {n_keys * dim,
                             n_keys * dim,
                             n_keys * dim,
                             TW_DENSE_QUERY_ROWS * widest,
                             TW_DENSE_QUERY_ROWS * dim,
                             TW_DENSE_QUERY_ROWS * n_keys,
                             TW_DENSE_QUERY_ROWS * n_keys};
    size_t end = 0;
    for (int i = 0; i < 7; i++) {
        end += sizes[i];
        ret_ends[i] = end;
    }
    return end;
}

size_t tw_dense_attention_bytes(const struct tw_dense_limits *limits)
{
    size_t ends[7];
    return space_words(round_up(limits->n_document_tokens, TW_GEMM_COLUMNS),
                       round_up(limits->n_head_dim, TW_GEMM_COLUMNS), ends) *
           sizeof(uint32_t);
}

static struct space space_of(const struct tw_dense *dense, int thread, size_t n_keys, size_t dim)
{
    size_t ends[7];
    uint32_t *words =
        (uint32_t *)(void *)(dense->attention + (size_t)thread * dense->attention_bytes);
    size_t needed = space_words(n_keys, dim, ends) * sizeof *words;
    assert(needed <= dense->attention_bytes);
    return (struct space){.keys = words,
                          .keys_across = words + ends[0],
                          .values = words + ends[1],
                          .a = words + ends[2],
                          .b = words + ends[3],
                          .scores = (float *)(void *)(words + ends[4]),
                          .dweights = (float *)(void *)(words + ends[5])};
}

/* ---- products of one thread ---- */

/* One side of a product: `n` vectors of k values, packed into panels of `width`. */
static void pack_all(const struct attention_job *job, const float *source, size_t stride,
                     bool across, size_t n, size_t k, size_t width, uint32_t *panels)
{
    const struct tw_train_kernels *kernels = &job->dense->kernels;
    enum tw_gemm_format format = job->heads->format;
    tw_pack_fn pack = across ? kernels->pack_columns[format] : kernels->pack_rows[format];
    size_t n_words = tw_gemm_words(format, k);
    for (size_t first = 0; first < n; first += width) {
        size_t left = n - first;
        pack(source + first * (across ? 1 : stride), stride, left < width ? left : width, k, width,
             panels + first * n_words);
    }
}

/* c [m, n] = c0 + a b^T of packed sides. */
static void multiply(const struct attention_job *job, const uint32_t *a, const uint32_t *b,
                     size_t m, size_t n, size_t k, const float *c0, float *c, size_t c_stride)
{
    struct tw_panels panels = {.kernels = &job->dense->kernels,
                               .format = job->heads->format,
                               .a = a,
                               .b = b,
                               .m = m,
                               .n = n,
                               .n_words = tw_gemm_words(job->heads->format, k),
                               .c0 = c0,
                               .c = c,
                               .c_stride = c_stride};
    tw_dense_multiply(&panels, 0, round_up(m, TW_GEMM_ROWS) / TW_GEMM_ROWS, 0,
                      round_up(n, TW_GEMM_COLUMNS) / TW_GEMM_COLUMNS);
}

/* ---- one document and key-value head ---- */

struct piece {
    const struct attention_job *job;
    struct space space;
    size_t first_row, n_tokens; /* the document */
    size_t kv_head;
    size_t q_width, kv_width, n_keys; /* n_keys: n_tokens in whole panels */
    float scale, exponent_scale;      /* 1 / sqrt(head_dim), and times log2 e */
};

/* Sixty-four queries of one head, or what is left of the document. */
struct block {
    size_t head, first, n_rows;
    size_t n_seen;        /* keys that the last of them sees */
    size_t n_seen_panels; /* the same in whole panels */
};

static size_t qk_width(const struct piece *p)
{
    return p->q_width + p->kv_width;
}

static const float *keys_of(const struct piece *p)
{
    return p->job->qk + p->first_row * qk_width(p) + p->q_width +
           p->kv_head * p->job->heads->head_dim;
}

static size_t value_at(const struct piece *p)
{
    return p->first_row * (qk_width(p) + p->kv_width) + qk_width(p) +
           p->kv_head * p->job->heads->head_dim;
}

static size_t query_at(const struct piece *p, const struct block *b, size_t row_width)
{
    return (p->first_row + b->first) * row_width + b->head * p->job->heads->head_dim;
}

static float *statistics_of(const struct piece *p, const struct block *b, size_t row)
{
    size_t token = p->first_row + b->first + row;
    return p->job->statistics + 2 * (token * p->job->heads->n_heads + b->head);
}

static struct block block_of(const struct piece *p, size_t head, size_t first)
{
    size_t left = p->n_tokens - first;
    size_t n_rows = left < TW_DENSE_QUERY_ROWS ? left : (size_t)TW_DENSE_QUERY_ROWS;
    return (struct block){.head = head,
                          .first = first,
                          .n_rows = n_rows,
                          .n_seen = first + n_rows,
                          .n_seen_panels = round_up(first + n_rows, TW_GEMM_COLUMNS)};
}

static void score(const struct piece *p, const struct block *b)
{
    size_t dim = p->job->heads->head_dim;
    pack_all(p->job, p->job->qk + query_at(p, b, qk_width(p)), qk_width(p), false, b->n_rows, dim,
             TW_GEMM_ROWS, p->space.a);
    multiply(p->job, p->space.a, p->space.keys, round_up(b->n_rows, TW_GEMM_ROWS), b->n_seen_panels,
             dim, NULL, p->space.scores, p->n_keys);
}

static void attend_block(const struct piece *p, const struct block *b)
{
    const struct attention_job *job = p->job;
    score(p, b);
    for (size_t row = 0; row < b->n_rows; row++) {
        float *statistics = statistics_of(p, b, row);
        job->dense->kernels.softmax(p->space.scores + row * p->n_keys, b->first + row + 1,
                                    b->n_seen_panels, p->exponent_scale, &statistics[0],
                                    &statistics[1]);
    }
    pack_all(job, p->space.scores, p->n_keys, false, b->n_rows, b->n_seen, TW_GEMM_ROWS,
             p->space.a);
    multiply(job, p->space.a, p->space.values, b->n_rows, job->heads->head_dim, b->n_seen, NULL,
             job->ret_out + query_at(p, b, p->q_width), p->q_width);
}

/* The panels of V for W V hold dimensions, and their words run over the keys that a block sees:
 * each block has its own. */
static void attend_piece(const struct piece *p)
{
    const struct attention_job *job = p->job;
    size_t dim = job->heads->head_dim, group = job->heads->n_heads / job->heads->n_kv_heads;
    pack_all(job, keys_of(p), qk_width(p), false, p->n_tokens, dim, TW_GEMM_COLUMNS, p->space.keys);
    for (size_t first = 0; first < p->n_tokens; first += TW_DENSE_QUERY_ROWS) {
        struct block block = block_of(p, p->kv_head * group, first);
        pack_all(job, job->qkv + value_at(p), qk_width(p) + p->kv_width, true, dim, block.n_seen,
                 TW_GEMM_COLUMNS, p->space.values);
        for (size_t i = 0; i < group; i++) {
            block.head = p->kv_head * group + i;
            attend_block(p, &block);
        }
    }
}

/* Scores become weights, gradients of weights become gradients of scores. */
static void soften_backward(const struct piece *p, const struct block *b)
{
    const struct attention_job *job = p->job;
    size_t dim = job->heads->head_dim;
    for (size_t row = 0; row < b->n_rows; row++) {
        const float *statistics = statistics_of(p, b, row);
        size_t at = query_at(p, b, p->q_width) + row * p->q_width;
        float d = job->dense->kernels.dot(job->dout + at, job->out + at, dim);
        job->dense->kernels.softmax_backward(
            p->space.scores + row * p->n_keys, p->space.dweights + row * p->n_keys,
            b->first + row + 1, b->n_seen_panels, p->exponent_scale, statistics[0], statistics[1],
            d, p->scale);
    }
}

/* to [n_seen, head_dim] += rows^T x block, of which b->n_rows rows are summed. */
static void add_across(const struct piece *p, const struct block *b, const float *rows,
                       const float *with, size_t with_stride, float *to, size_t to_stride)
{
    size_t dim = p->job->heads->head_dim;
    pack_all(p->job, with, with_stride, true, dim, b->n_rows, TW_GEMM_COLUMNS, p->space.b);
    pack_all(p->job, rows, p->n_keys, true, b->n_seen, b->n_rows, TW_GEMM_ROWS, p->space.a);
    multiply(p->job, p->space.a, p->space.b, b->n_seen, dim, b->n_rows, to, to, to_stride);
}

static void attend_block_backward(const struct piece *p, const struct block *b)
{
    const struct attention_job *job = p->job;
    size_t dim = job->heads->head_dim;
    const float *dout = job->dout + query_at(p, b, p->q_width);
    const float *queries = job->qk + query_at(p, b, qk_width(p));
    score(p, b);
    pack_all(job, dout, p->q_width, false, b->n_rows, dim, TW_GEMM_ROWS, p->space.a);
    multiply(job, p->space.a, p->space.values, round_up(b->n_rows, TW_GEMM_ROWS), b->n_seen_panels,
             dim, NULL, p->space.dweights, p->n_keys);
    soften_backward(p, b);
    pack_all(job, p->space.dweights, p->n_keys, false, b->n_rows, b->n_seen, TW_GEMM_ROWS,
             p->space.a);
    multiply(job, p->space.a, p->space.keys_across, b->n_rows, dim, b->n_seen, NULL,
             job->dqk + query_at(p, b, qk_width(p)), qk_width(p));
    add_across(p, b, p->space.dweights, queries, qk_width(p),
               job->dqk + p->first_row * qk_width(p) + p->q_width + p->kv_head * dim, qk_width(p));
    add_across(p, b, p->space.scores, dout, p->q_width, job->dqkv + value_at(p),
               qk_width(p) + p->kv_width);
}

static void clear_gradients(const struct piece *p)
{
    size_t dim_bytes = p->job->heads->head_dim * sizeof(float);
    float *dkeys = p->job->dqk + (keys_of(p) - p->job->qk), *dvalues = p->job->dqkv + value_at(p);
    for (size_t token = 0; token < p->n_tokens; token++) {
        memset(dkeys + token * qk_width(p), 0, dim_bytes);
        memset(dvalues + token * (qk_width(p) + p->kv_width), 0, dim_bytes);
    }
}

static void attend_piece_backward(const struct piece *p)
{
    const struct attention_job *job = p->job;
    size_t dim = job->heads->head_dim, group = job->heads->n_heads / job->heads->n_kv_heads;
    clear_gradients(p);
    pack_all(job, keys_of(p), qk_width(p), false, p->n_tokens, dim, TW_GEMM_COLUMNS, p->space.keys);
    pack_all(job, job->qkv + value_at(p), qk_width(p) + p->kv_width, false, p->n_tokens, dim,
             TW_GEMM_COLUMNS, p->space.values);
    for (size_t first = 0; first < p->n_tokens; first += TW_DENSE_QUERY_ROWS) {
        struct block block = block_of(p, p->kv_head * group, first);
        pack_all(job, keys_of(p), qk_width(p), true, dim, block.n_seen, TW_GEMM_COLUMNS,
                 p->space.keys_across);
        for (size_t i = 0; i < group; i++) {
            block.head = p->kv_head * group + i;
            attend_block_backward(p, &block);
        }
    }
}

/* ---- all pieces ---- */

static struct piece piece_of(const struct attention_job *job, size_t document, size_t kv_head,
                             int thread)
{
    const struct tw_dense_heads *heads = job->heads;
    const uint32_t *starts = job->documents->starts;
    size_t n_tokens = starts[document + 1] - starts[document];
    assert(n_tokens <= job->dense->limits.n_document_tokens);
    size_t n_keys = round_up(n_tokens, TW_GEMM_COLUMNS);
    float scale = 1.0f / __builtin_sqrtf((float)heads->head_dim);
    return (struct piece){
        .job = job,
        .space = space_of(job->dense, thread, n_keys, round_up(heads->head_dim, TW_GEMM_COLUMNS)),
        .first_row = starts[document],
        .n_tokens = n_tokens,
        .kv_head = kv_head,
        .q_width = heads->n_heads * heads->head_dim,
        .kv_width = heads->n_kv_heads * heads->head_dim,
        .n_keys = n_keys,
        .scale = scale,
        .exponent_scale = scale * TW_LOG2_E,
    };
}

static size_t cost_of(const struct tw_dense_documents *documents, size_t document)
{
    size_t n = documents->starts[document + 1] - documents->starts[document];
    return n * (n + TW_DENSE_QUERY_ROWS);
}

/* Pieces lie on a line as long as their costs; a thread does those that begin in its part. */
static void attend_part(const struct attention_job *job, int thread, int n_threads,
                        void (*attend)(const struct piece *p))
{
    const struct tw_dense_documents *documents = job->documents;
    size_t n_kv_heads = job->heads->n_kv_heads, total = 0, at = 0, begin, end;
    for (size_t d = 0; d < documents->n_documents; d++) {
        total += n_kv_heads * cost_of(documents, d);
    }
    tw_threadpool_share(total, thread, n_threads, &begin, &end);
    for (size_t d = 0; d < documents->n_documents; d++) {
        for (size_t kv_head = 0; kv_head < n_kv_heads; kv_head++) {
            if (at >= begin && at < end) {
                struct piece piece = piece_of(job, d, kv_head, thread);
                attend(&piece);
            }
            at += cost_of(documents, d);
        }
    }
}

static void forward_part(void *context, int thread, int n_threads)
{
    attend_part(context, thread, n_threads, attend_piece);
}

static void backward_part(void *context, int thread, int n_threads)
{
    attend_part(context, thread, n_threads, attend_piece_backward);
}

void tw_dense_attention(struct tw_dense *dense, const struct tw_dense_heads *heads,
                        const struct tw_dense_documents *documents, const float *qk,
                        const float *qkv, float *out, float *statistics)
{
    struct attention_job job = {.dense = dense,
                                .heads = heads,
                                .documents = documents,
                                .qk = qk,
                                .qkv = qkv,
                                .ret_out = out,
                                .statistics = statistics};
    tw_dense_run(dense, forward_part, &job);
}

void tw_dense_attention_backward(struct tw_dense *dense, const struct tw_dense_heads *heads,
                                 const struct tw_dense_documents *documents, const float *qk,
                                 const float *qkv, const float *out, const float *statistics,
                                 const float *dout, float *dqk, float *dqkv)
{
    struct attention_job job = {.dense = dense,
                                .heads = heads,
                                .documents = documents,
                                .qk = qk,
                                .qkv = qkv,
                                .out = out,
                                .dout = dout,
                                .dqk = dqk,
                                .dqkv = dqkv};
    job.statistics = (float *)(uintptr_t)statistics; /* read only on this path */
    tw_dense_run(dense, backward_part, &job);
}

/* ---- norm and RoPE of heads ---- */

/* Calls fn for the rows [begin, end), each with its position in its document. */
static void for_rows(const struct attention_job *job, size_t begin, size_t end,
                     void (*fn)(const struct attention_job *job, size_t row, size_t position,
                                float *sums),
                     float *sums)
{
    const uint32_t *starts = job->documents->starts;
    size_t document = 0;
    for (size_t row = begin; row < end; row++) {
        while (row >= starts[document + 1]) {
            document++;
        }
        fn(job, row, row - starts[document], sums);
    }
}

static void rotate_row(const struct attention_job *job, size_t row, size_t position, float *sums)
{
    (void)sums;
    const struct tw_dense_heads *h = job->heads;
    const struct tw_kernels *kernels = &job->dense->device->kernels;
    size_t dim = h->head_dim, n_rotated = h->n_heads + h->n_kv_heads;
    const float *from = job->qkv + row * (n_rotated + h->n_kv_heads) * dim;
    float *to = job->ret_out + row * n_rotated * dim;
    for (size_t head = 0; head < n_rotated; head++) {
        const float *weight = head < h->n_heads ? h->q_norm : h->k_norm;
        kernels->rms_norm(from + head * dim, weight, dim, h->eps, to + head * dim);
        kernels->rope(to + head * dim, h->cosines + position * (dim / 2),
                      h->sines + position * (dim / 2), dim, 0);
    }
}

/* sums: [2, head_dim] of the two norms' gradients. */
static void rotate_row_backward(const struct attention_job *job, size_t row, size_t position,
                                float *sums)
{
    const struct tw_dense_heads *h = job->heads;
    size_t dim = h->head_dim, n_rotated = h->n_heads + h->n_kv_heads;
    size_t at = row * (n_rotated + h->n_kv_heads) * dim;
    float *dy = job->dqk + row * n_rotated * dim;
    for (size_t head = 0; head < n_rotated; head++) {
        bool is_query = head < h->n_heads;
        job->dense->device->kernels.rope(dy + head * dim, h->cosines + position * (dim / 2),
                                         h->back_sines + position * (dim / 2), dim, 0);
        job->dense->kernels.rms_norm_backward(
            job->qkv + at + head * dim, is_query ? h->q_norm : h->k_norm, dy + head * dim, dim,
            h->eps, false, job->dqkv + at + head * dim, is_query ? sums : sums + dim);
    }
}

static void rotate_part(void *context, int thread, int n_threads)
{
    const struct attention_job *job = context;
    size_t begin, end;
    tw_threadpool_share(job->documents->starts[job->documents->n_documents], thread, n_threads,
                        &begin, &end);
    for_rows(job, begin, end, rotate_row, NULL);
}

static size_t n_chunks_of(const struct attention_job *job)
{
    size_t n_rows = job->documents->starts[job->documents->n_documents];
    return round_up(n_rows, TW_DENSE_CHUNK_ROWS) / TW_DENSE_CHUNK_ROWS;
}

static void rotate_backward_part(void *context, int thread, int n_threads)
{
    const struct attention_job *job = context;
    size_t n_rows = job->documents->starts[job->documents->n_documents], begin, end;
    tw_threadpool_share(n_chunks_of(job), thread, n_threads, &begin, &end);
    for (size_t chunk = begin; chunk < end; chunk++) {
        size_t width = 2 * job->heads->head_dim;
        float *sums = job->dense->norm_sums + chunk * width;
        memset(sums, 0, width * sizeof *sums);
        size_t first = chunk * TW_DENSE_CHUNK_ROWS, last = first + TW_DENSE_CHUNK_ROWS;
        for_rows(job, first, last < n_rows ? last : n_rows, rotate_row_backward, sums);
    }
}

void tw_dense_rotate(struct tw_dense *dense, const struct tw_dense_heads *heads,
                     const struct tw_dense_documents *documents, const float *qkv, float *qk)
{
    struct attention_job job = {
        .dense = dense, .heads = heads, .documents = documents, .qkv = qkv, .ret_out = qk};
    tw_dense_run(dense, rotate_part, &job);
}

void tw_dense_rotate_backward(struct tw_dense *dense, const struct tw_dense_heads *heads,
                              const struct tw_dense_documents *documents, const float *qkv,
                              float *dqk, float *dqkv, float *dq_norm, float *dk_norm)
{
    struct attention_job job = {.dense = dense,
                                .heads = heads,
                                .documents = documents,
                                .qkv = qkv,
                                .dqk = dqk,
                                .dqkv = dqkv};
    assert(documents->starts[documents->n_documents] <= dense->limits.n_tokens);
    assert(2 * heads->head_dim <= dense->norm_width);
    tw_dense_run(dense, rotate_backward_part, &job);
    const float *sums = dense->norm_sums;
    for (size_t chunk = 0; chunk < n_chunks_of(&job); chunk++, sums += 2 * heads->head_dim) {
        dense->device->kernels.add(sums, heads->head_dim, dq_norm);
        dense->device->kernels.add(sums + heads->head_dim, heads->head_dim, dk_norm);
    }
}
