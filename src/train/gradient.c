#include "train/gradient.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"

enum { HEAD_ROWS = 256 };

/* What a layer's forward pass leaves for its backward pass; [n_tokens, ...] each. */
struct layer_state {
    float *x, *normed;             /* [d] */
    float *qkv, *qk;               /* [q + 2 kv], [q + kv] */
    float *attended;               /* [q] */
    float *statistics;             /* [heads, 2] */
    float *middle, *normed_middle; /* [d], after attention */
    float *gate_up, *hidden;       /* [2 f], [f] */
};

struct tw_gradient {
    const struct tw_parameters *parameters;
    struct tw_dense *dense;
    enum tw_gemm_format format;
    size_t max_tokens;
    float *block; /* everything below */
    size_t n_block;
    struct layer_state *layers; /* [n_layers] */
    float *last;                /* [tokens, d] what the last layer gives */
    float *picked, *picked_normed, *dpicked, *dpicked_normed; /* [tokens, d] rows before targets */
    float *logits;                                            /* [HEAD_ROWS, vocab] */
    float *dx, *dnormed;                                      /* [tokens, d] */
    float *dhidden, *dqk, *dqkv, *dattended;
    float *cosines, *sines, *back_sines;
    double *losses;    /* [HEAD_ROWS] */
    int32_t *targets;  /* [tokens] */
    uint32_t *rows;    /* [tokens] the row before each target */
    double operations; /* of the batch at hand */
};

/* ---- memory ---- */

static float *take(float *block, size_t *cursor, size_t n)
{
    size_t at = *cursor;
    *cursor = at + (n + 15) / 16 * 16;
    return block != NULL ? block + at : NULL;
}

/* Lays everything out in block; with NULL, only counts. */
static size_t lay_out(struct tw_gradient *g, const struct tw_parameters *p, size_t t, float *block)
{
    size_t d = p->shape.n_embed, f = p->shape.n_ffn, q = p->q_width, kv = p->kv_width, at = 0;
    size_t n_pairs = (size_t)p->shape.n_context_tokens * (p->shape.head_dim / 2);
    for (size_t i = 0; i < p->shape.n_layers; i++) {
        struct layer_state state = {
            .x = take(block, &at, t * d),
            .normed = take(block, &at, t * d),
            .qkv = take(block, &at, t * (q + 2 * kv)),
            .qk = take(block, &at, t * (q + kv)),
            .attended = take(block, &at, t * q),
            .statistics = take(block, &at, t * 2 * p->shape.n_heads),
            .middle = take(block, &at, t * d),
            .normed_middle = take(block, &at, t * d),
            .gate_up = take(block, &at, t * 2 * f),
            .hidden = take(block, &at, t * f),
        };
        if (block != NULL) {
            g->layers[i] = state;
        }
    }
    struct tw_gradient counting;
    g = block != NULL ? g : &counting;
    g->last = take(block, &at, t * d);
    g->picked = take(block, &at, t * d);
    g->picked_normed = take(block, &at, t * d);
    g->dpicked = take(block, &at, t * d);
    g->dpicked_normed = take(block, &at, t * d);
    g->logits = take(block, &at, HEAD_ROWS * (size_t)p->shape.n_vocab);
    g->dx = take(block, &at, t * d);
    g->dnormed = take(block, &at, t * d);
    g->dhidden = take(block, &at, t * f);
    g->dqk = take(block, &at, t * (q + kv));
    g->dqkv = take(block, &at, t * (q + 2 * kv));
    g->dattended = take(block, &at, t * q);
    g->cosines = take(block, &at, n_pairs);
    g->sines = take(block, &at, n_pairs);
    g->back_sines = take(block, &at, n_pairs);
    return at;
}

static void fill_rope(struct tw_gradient *g)
{
    const struct tw_model_shape *shape = &g->parameters->shape;
    size_t n_pairs = shape->head_dim / 2;
    for (size_t position = 0; position < shape->n_context_tokens; position++) {
        for (size_t i = 0; i < n_pairs; i++) {
            double power = -2.0 * (double)i / (double)shape->head_dim;
            double angle = (double)position * pow(shape->rope.freq_base, power);
            size_t at = position * n_pairs + i;
            g->cosines[at] = (float)cos(angle);
            g->sines[at] = (float)sin(angle);
            g->back_sines[at] = -g->sines[at];
        }
    }
}

static size_t largest(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* The products with one matrix [outputs, inputs]: forward, of the input, of the weights. */
static size_t words_of(size_t n_rows, size_t n_outputs, size_t n_inputs)
{
    size_t forward = tw_dense_gemm_words(n_rows, n_outputs, n_inputs);
    size_t input = tw_dense_gemm_words(n_rows, n_inputs, n_outputs);
    size_t weights = tw_dense_gemm_words(n_outputs, n_inputs, n_rows);
    return largest(forward, largest(input, weights));
}

static struct tw_dense_limits limits_of(const struct tw_parameters *p, size_t max_tokens)
{
    size_t d = p->shape.n_embed, f = p->shape.n_ffn, q = p->q_width, kv = p->kv_width;
    size_t words = words_of(HEAD_ROWS, p->shape.n_vocab, d);
    words = largest(words, words_of(max_tokens, q + 2 * kv, d));
    words = largest(words, words_of(max_tokens, d, q));
    words = largest(words, words_of(max_tokens, 2 * f, d));
    words = largest(words, words_of(max_tokens, d, f));
    return (struct tw_dense_limits){.n_gemm_words = words,
                                    .n_tokens = max_tokens,
                                    .n_width = d,
                                    .n_document_tokens = p->shape.n_context_tokens,
                                    .n_head_dim = p->shape.head_dim,
                                    .n_parameters = p->n_values};
}

size_t tw_gradient_bytes(const struct tw_parameters *parameters, size_t max_tokens, int n_threads)
{
    struct tw_dense_limits limits = limits_of(parameters, max_tokens);
    return lay_out(NULL, parameters, max_tokens, NULL) * sizeof(float) +
           tw_dense_bytes(&limits, n_threads);
}

enum tw_status tw_gradient_create(struct tw_device *device, const struct tw_parameters *parameters,
                                  size_t max_tokens, enum tw_gemm_format format,
                                  struct tw_gradient **ret_gradient, struct tw_error *error)
{
    struct tw_gradient *g = tw_mem_zalloc(1, sizeof *g);
    if (g == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for training");
    }
    *g = (struct tw_gradient){.parameters = parameters, .format = format, .max_tokens = max_tokens};
    g->n_block = lay_out(NULL, parameters, max_tokens, NULL);
    g->layers = tw_mem_alloc(parameters->shape.n_layers, sizeof *g->layers);
    g->losses = tw_mem_alloc(HEAD_ROWS, sizeof *g->losses);
    g->targets = tw_mem_alloc(max_tokens, sizeof *g->targets);
    g->rows = tw_mem_alloc(max_tokens, sizeof *g->rows);
    g->block = tw_mem_map(g->n_block * sizeof *g->block);
    if (g->layers == NULL || g->losses == NULL || g->targets == NULL || g->rows == NULL ||
        g->block == NULL) {
        size_t n_bytes = tw_gradient_bytes(parameters, max_tokens, tw_device_threads(device));
        tw_gradient_free(g);
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION,
                            "no memory for the %zu MB that a batch of %zu tokens takes",
                            n_bytes >> 20, max_tokens);
    }
    lay_out(g, parameters, max_tokens, g->block);
    fill_rope(g);
    struct tw_dense_limits limits = limits_of(parameters, max_tokens);
    enum tw_status status = tw_dense_create(device, &limits, &g->dense, error);
    if (status != TW_OK) {
        tw_gradient_free(g);
        return status;
    }
    *ret_gradient = g;
    return TW_OK;
}

void tw_gradient_free(struct tw_gradient *g)
{
    if (g == NULL) {
        return;
    }
    tw_dense_free(g->dense);
    tw_mem_unmap(g->block, g->n_block * sizeof *g->block);
    tw_mem_free(g->layers);
    tw_mem_free(g->losses);
    tw_mem_free(g->targets);
    tw_mem_free(g->rows);
    tw_mem_free(g);
}

struct tw_dense *tw_gradient_dense(struct tw_gradient *gradient)
{
    return gradient->dense;
}

/* ---- the three products with a matrix ---- */

/* A matrix [n_outputs, n_inputs] of the weights, and its gradient (NULL: not wanted). */
struct matrix {
    const float *weights;
    float *gradient;
    size_t n_outputs, n_inputs;
};

static struct matrix matrix_at(const float *weights, float *gradients, size_t offset,
                               size_t n_outputs, size_t n_inputs)
{
    return (struct matrix){.weights = weights + offset,
                           .gradient = gradients != NULL ? gradients + offset : NULL,
                           .n_outputs = n_outputs,
                           .n_inputs = n_inputs};
}

static void multiply(struct tw_gradient *g, struct tw_gemm gemm)
{
    gemm.format = g->format;
    gemm.c_stride = gemm.n;
    g->operations += 2.0 * (double)gemm.m * (double)gemm.n * (double)gemm.k;
    tw_dense_gemm(g->dense, &gemm);
}

/* y = y0 + x W^T */
static void apply(struct tw_gradient *g, const struct matrix *w, const float *x, size_t n_rows,
                  const float *y0, float *y)
{
    multiply(g, (struct tw_gemm){.m = n_rows,
                                 .n = w->n_outputs,
                                 .k = w->n_inputs,
                                 .a = x,
                                 .a_stride = w->n_inputs,
                                 .b = w->weights,
                                 .b_stride = w->n_inputs,
                                 .c0 = y0,
                                 .c = y});
}

/* dx = dy W; dW += dy^T x */
static void apply_backward(struct tw_gradient *g, const struct matrix *w, const float *x,
                           const float *dy, size_t n_rows, float *dx)
{
    multiply(g, (struct tw_gemm){.m = n_rows,
                                 .n = w->n_inputs,
                                 .k = w->n_outputs,
                                 .a = dy,
                                 .a_stride = w->n_outputs,
                                 .b = w->weights,
                                 .b_stride = w->n_inputs,
                                 .b_across = true,
                                 .c = dx});
    multiply(g, (struct tw_gemm){.m = w->n_outputs,
                                 .n = w->n_inputs,
                                 .k = n_rows,
                                 .a = dy,
                                 .a_stride = w->n_outputs,
                                 .a_across = true,
                                 .b = x,
                                 .b_stride = w->n_inputs,
                                 .b_across = true,
                                 .c0 = w->gradient,
                                 .c = w->gradient});
}

/* ---- a layer ---- */

/* Layer i with everything its two passes need. */
struct layer {
    const struct layer_state *state;
    size_t begin; /* of its parameters */
    struct matrix qkv, o, gate_up, down;
    struct tw_dense_heads heads;
};

static struct layer layer_of(const struct tw_gradient *g, size_t i, const float *weights,
                             float *gradients)
{
    const struct tw_parameters *p = g->parameters;
    size_t d = p->shape.n_embed, f = p->shape.n_ffn, q = p->q_width, kv = p->kv_width;
    size_t begin = p->layers + i * p->layer_values;
    return (struct layer){
        .state = &g->layers[i],
        .begin = begin,
        .qkv = matrix_at(weights, gradients, begin + p->layer.qkv, q + 2 * kv, d),
        .o = matrix_at(weights, gradients, begin + p->layer.o, d, q),
        .gate_up = matrix_at(weights, gradients, begin + p->layer.gate_up, 2 * f, d),
        .down = matrix_at(weights, gradients, begin + p->layer.down, d, f),
        .heads = {.n_heads = p->shape.n_heads,
                  .n_kv_heads = p->shape.n_kv_heads,
                  .head_dim = p->shape.head_dim,
                  .eps = p->shape.rms_eps,
                  .q_norm = weights + begin + p->layer.q_norm,
                  .k_norm = weights + begin + p->layer.k_norm,
                  .cosines = g->cosines,
                  .sines = g->sines,
                  .back_sines = g->back_sines,
                  .format = g->format},
    };
}

/* Products of attention over all documents: two forward, five backward, half of each square. */
static double attention_operations(const struct tw_gradient *g, const struct tw_train_batch *batch,
                                   double n_products)
{
    double sum = 0;
    for (size_t i = 0; i < batch->documents.n_documents; i++) {
        double n = batch->documents.starts[i + 1] - batch->documents.starts[i];
        sum += n * (n + 1) / 2;
    }
    return n_products * 2.0 * sum * (double)g->parameters->q_width;
}

static void forward_layer(struct tw_gradient *g, size_t i, const float *weights,
                          const struct tw_train_batch *batch, float *next)
{
    struct layer l = layer_of(g, i, weights, NULL);
    const struct layer_state *s = l.state;
    const struct tw_parameters *p = g->parameters;
    size_t n = batch->n_tokens, d = p->shape.n_embed;
    tw_dense_rms_norm(g->dense, s->x, weights + l.begin + p->layer.attention_norm, n, d,
                      p->shape.rms_eps, s->normed);
    apply(g, &l.qkv, s->normed, n, NULL, s->qkv);
    tw_dense_rotate(g->dense, &l.heads, &batch->documents, s->qkv, s->qk);
    tw_dense_attention(g->dense, &l.heads, &batch->documents, s->qk, s->qkv, s->attended,
                       s->statistics);
    apply(g, &l.o, s->attended, n, s->x, s->middle);
    tw_dense_rms_norm(g->dense, s->middle, weights + l.begin + p->layer.ffn_norm, n, d,
                      p->shape.rms_eps, s->normed_middle);
    apply(g, &l.gate_up, s->normed_middle, n, NULL, s->gate_up);
    tw_dense_silu_mul(g->dense, s->gate_up, n, p->shape.n_ffn, s->hidden);
    apply(g, &l.down, s->hidden, n, s->middle, next);
    g->operations += attention_operations(g, batch, 2);
}

/* g->dx is the gradient of what the layer gives, and becomes that of what it gets. */
static void backward_layer(struct tw_gradient *g, size_t i, const float *weights,
                           const struct tw_train_batch *batch, float *gradients)
{
    struct layer l = layer_of(g, i, weights, gradients);
    const struct layer_state *s = l.state;
    const struct tw_parameters *p = g->parameters;
    const struct tw_layer_offsets *at = &p->layer;
    size_t n = batch->n_tokens, d = p->shape.n_embed;
    const float *w = weights + l.begin;
    float *dw = gradients + l.begin;
    apply_backward(g, &l.down, s->hidden, g->dx, n, g->dhidden);
    tw_dense_silu_mul_backward(g->dense, s->gate_up, g->dhidden, n, p->shape.n_ffn);
    apply_backward(g, &l.gate_up, s->normed_middle, s->gate_up, n, g->dnormed);
    tw_dense_rms_norm_backward(g->dense, s->middle, w + at->ffn_norm, g->dnormed, n, d,
                               p->shape.rms_eps, g->dx, dw + at->ffn_norm);
    apply_backward(g, &l.o, s->attended, g->dx, n, g->dattended);
    tw_dense_attention_backward(g->dense, &l.heads, &batch->documents, s->qk, s->qkv, s->attended,
                                s->statistics, g->dattended, g->dqk, g->dqkv);
    tw_dense_rotate_backward(g->dense, &l.heads, &batch->documents, s->qkv, g->dqk, g->dqkv,
                             dw + at->q_norm, dw + at->k_norm);
    apply_backward(g, &l.qkv, s->normed, g->dqkv, n, g->dnormed);
    tw_dense_rms_norm_backward(g->dense, s->x, w + at->attention_norm, g->dnormed, n, d,
                               p->shape.rms_eps, g->dx, dw + at->attention_norm);
    g->operations += attention_operations(g, batch, 5);
}

/* ---- the head ---- */

/* The rows before targets, side by side. */
static size_t pick_rows(struct tw_gradient *g, const struct tw_train_batch *batch)
{
    size_t d = g->parameters->shape.n_embed, n = 0;
    for (size_t i = 1; i < batch->n_tokens; i++) {
        if (batch->is_target[i]) {
            g->targets[n] = batch->tokens[i];
            g->rows[n] = (uint32_t)(i - 1);
            memcpy(g->picked + n * d, g->last + (i - 1) * d, d * sizeof *g->picked);
            n++;
        }
    }
    return n;
}

static struct tw_train_loss head(struct tw_gradient *g, const float *weights, size_t n_targets,
                                 float scale, float *gradients)
{
    const struct tw_parameters *p = g->parameters;
    size_t d = p->shape.n_embed, v = p->shape.n_vocab;
    struct matrix w = matrix_at(weights, gradients, p->head, v, d);
    struct tw_train_loss loss = {.n_targets = n_targets};
    tw_dense_rms_norm(g->dense, g->picked, weights + p->final_norm, n_targets, d, p->shape.rms_eps,
                      g->picked_normed);
    for (size_t first = 0; first < n_targets; first += HEAD_ROWS) {
        size_t n = n_targets - first < HEAD_ROWS ? n_targets - first : (size_t)HEAD_ROWS;
        const float *x = g->picked_normed + first * d;
        apply(g, &w, x, n, NULL, g->logits);
        tw_dense_cross_entropy(g->dense, g->logits, g->targets + first, n, v, scale, g->losses);
        for (size_t i = 0; i < n; i++) {
            loss.sum += g->losses[i];
        }
        if (gradients != NULL) {
            apply_backward(g, &w, x, g->logits, n, g->dpicked_normed + first * d);
        }
    }
    return loss;
}

/* g->dx: zero but for the rows before targets. */
static void head_backward(struct tw_gradient *g, const float *weights, size_t n_tokens,
                          size_t n_targets, float *gradients)
{
    const struct tw_parameters *p = g->parameters;
    size_t d = p->shape.n_embed;
    memset(g->dpicked, 0, n_targets * d * sizeof *g->dpicked);
    tw_dense_rms_norm_backward(g->dense, g->picked, weights + p->final_norm, g->dpicked_normed,
                               n_targets, d, p->shape.rms_eps, g->dpicked,
                               gradients + p->final_norm);
    memset(g->dx, 0, n_tokens * d * sizeof *g->dx);
    for (size_t i = 0; i < n_targets; i++) {
        memcpy(g->dx + g->rows[i] * d, g->dpicked + i * d, d * sizeof *g->dx);
    }
}

/* ---- all of it ---- */

/* Rows before targets are looked for without a look at where documents begin. */
static void check_batch(const struct tw_gradient *g, const struct tw_train_batch *batch)
{
    const struct tw_dense_documents *documents = &batch->documents;
    assert(batch->n_tokens > 0 && batch->n_tokens <= g->max_tokens);
    assert(documents->starts[documents->n_documents] == batch->n_tokens);
    for (size_t i = 0; i < documents->n_documents; i++) {
        assert(documents->starts[i] < documents->starts[i + 1]);
        assert(!batch->is_target[documents->starts[i]]);
    }
}

struct tw_train_loss tw_gradient_add(struct tw_gradient *g, const float *weights,
                                     const struct tw_train_batch *batch, float scale,
                                     float *gradients)
{
    const struct tw_parameters *p = g->parameters;
    size_t n = batch->n_tokens, d = p->shape.n_embed, n_layers = p->shape.n_layers;
    check_batch(g, batch);
    g->operations = 0;
    tw_dense_embed(g->dense, weights + p->embedding, batch->tokens, n, d, g->layers[0].x);
    for (size_t i = 0; i < n_layers; i++) {
        forward_layer(g, i, weights, batch, i + 1 < n_layers ? g->layers[i + 1].x : g->last);
    }
    size_t n_targets = pick_rows(g, batch);
    struct tw_train_loss loss = head(g, weights, n_targets, scale, gradients);
    if (gradients != NULL) {
        head_backward(g, weights, n, n_targets, gradients);
        for (size_t i = n_layers; i-- > 0;) {
            backward_layer(g, i, weights, batch, gradients);
        }
        tw_dense_embed_backward(g->dense, g->dx, batch->tokens, n, d, gradients + p->embedding);
    }
    loss.operations = g->operations;
    return loss;
}
