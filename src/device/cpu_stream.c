/* The CPU's streams: a list of operations that all threads walk together.
 *
 * Every thread executes every operation on its own part of the rows, so a layer costs a handful of
 * barriers and no wake-ups. Parts are static: which thread computes a value cannot change it.
 */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "device/cpu_stream.h"

enum { SEGMENT_PAGES = 8 }; /* 512 positions: the unit that attention is merged in */

static const size_t partials_bytes =
    TW_LIMIT_ATTENTION_SEGMENTS * sizeof(struct tw_attention_state);

static size_t scratch_bytes(const struct tw_stream *stream)
{
    return (size_t)stream->device->n_threads * sizeof(struct thread_scratch);
}

static size_t norm_rows_bytes(const struct tw_stream *stream)
{
    size_t width = (stream->limits.max_width + 15u) / 16u * 16u;
    return (size_t)stream->device->n_threads * width * sizeof(float);
}

static size_t bytes_form_bytes(const struct tw_stream *stream)
{
    return tw_act_bytes(stream->limits.max_rows, stream->limits.max_width);
}

static size_t floats_form_bytes(const struct tw_stream *stream)
{
    return (size_t)stream->limits.max_rows * tw_act_float_columns(stream->limits.max_width) *
           sizeof(float);
}

enum tw_status tw_stream_create(struct tw_device *device, const struct tw_stream_limits *limits,
                                struct tw_stream **ret_stream, struct tw_error *error)
{
    struct tw_stream *stream = tw_mem_zalloc(1, sizeof *stream);
    if (stream == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a stream");
    }
    stream->device = device;
    stream->limits = *limits;
    stream->ops = tw_mem_zalloc(limits->max_operations, sizeof *stream->ops);
    stream->bytes_form = tw_mem_map(bytes_form_bytes(stream));
    stream->floats_form = tw_mem_map(floats_form_bytes(stream));
    stream->scratch = tw_mem_map(scratch_bytes(stream));
    stream->norm_rows = tw_mem_map(norm_rows_bytes(stream));
    stream->partials = tw_mem_map(partials_bytes);
    if (stream->ops == NULL || stream->bytes_form == NULL || stream->floats_form == NULL ||
        stream->scratch == NULL || stream->norm_rows == NULL || stream->partials == NULL ||
        !tw_cpu_experts_init(stream)) {
        tw_stream_free(stream);
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION,
                            "no memory for a batch of %u tokens", limits->max_rows);
    }
    *ret_stream = stream;
    return TW_OK;
}

void tw_stream_free(struct tw_stream *stream)
{
    if (stream == NULL) {
        return;
    }
    tw_mem_free(stream->ops);
    tw_mem_unmap(stream->bytes_form, bytes_form_bytes(stream));
    tw_mem_unmap(stream->floats_form, floats_form_bytes(stream));
    tw_mem_unmap(stream->scratch, scratch_bytes(stream));
    tw_mem_unmap(stream->norm_rows, norm_rows_bytes(stream));
    tw_mem_unmap(stream->partials, partials_bytes);
    tw_cpu_experts_free(stream);
    tw_mem_free(stream);
}

void tw_stream_begin(struct tw_stream *stream, const struct tw_device_batch *batch)
{
    assert(batch->n_rows <= stream->limits.max_rows);
    stream->batch = batch;
    stream->n_ops = 0;
    stream->prepared = NULL;
}

struct op *tw_cpu_stream_push(struct tw_stream *stream, enum op_kind kind)
{
    assert(stream->n_ops < stream->limits.max_operations);
    struct op *op = &stream->ops[stream->n_ops++];
    *op = (struct op){.kind = kind, .n_rows = stream->batch->n_rows};
    return op;
}

void tw_stream_barrier(struct tw_stream *stream)
{
    tw_cpu_stream_push(stream, OP_BARRIER);
}

void tw_stream_embed(struct tw_stream *stream, const struct tw_device_table *table,
                     struct tw_device_buffer *x)
{
    struct op *op = tw_cpu_stream_push(stream, OP_EMBED);
    op->u.table = table;
    op->y = x;
}

void tw_stream_prepare(struct tw_stream *stream, const struct tw_device_buffer *x, uint32_t width,
                       const struct tw_device_buffer *norm_weight, float eps, bool outputs_only)
{
    assert(width <= stream->limits.max_width);
    struct op *op = tw_cpu_stream_push(stream, OP_PREPARE);
    op->x = x;
    op->width = width;
    op->weight = norm_weight;
    op->eps = eps;
    op->u.prepare.outputs_only = outputs_only;
    if (outputs_only) {
        op->n_rows = stream->batch->n_outputs;
    }
    stream->prepared = op;
}

void tw_stream_norm(struct tw_stream *stream, struct tw_device_buffer *x, uint32_t width,
                    const struct tw_device_buffer *norm_weight, float eps)
{
    struct op *op = tw_cpu_stream_push(stream, OP_NORM);
    op->y = x;
    op->width = width;
    op->weight = norm_weight;
    op->eps = eps;
}

void tw_stream_matmul(struct tw_stream *stream, const struct tw_device_matrix *matrix,
                      enum tw_epilogue epilogue, const struct tw_device_buffer *bias,
                      struct tw_device_buffer *y, uint32_t y_offset, uint32_t y_stride)
{
    assert(stream->prepared != NULL && stream->prepared->width == matrix->n_columns);
    assert(matrix->interleaved == (epilogue == TW_EPILOGUE_SILU_MUL) && matrix->n_experts == 1);
    stream->prepared->u.prepare.forms |= form_of(matrix->dtype);
    struct op *op = tw_cpu_stream_push(stream, OP_MATMUL);
    op->n_rows = stream->prepared->n_rows;
    op->width = (uint32_t)matrix->n_columns;
    op->weight = bias;
    op->y = y;
    op->u.matmul.matrix = matrix;
    op->u.matmul.epilogue = epilogue;
    op->u.matmul.y_offset = y_offset;
    op->u.matmul.y_stride = y_stride;
}

void tw_stream_silu_mul(struct tw_stream *stream, struct tw_device_buffer *gate,
                        const struct tw_device_buffer *up, uint32_t width)
{
    struct op *op = tw_cpu_stream_push(stream, OP_SILU_MUL);
    op->x = up;
    op->y = gate;
    op->width = width;
}

void tw_stream_rope_append(struct tw_stream *stream, struct tw_device_buffer *qkv, uint32_t n_heads,
                           const struct tw_device_buffer *q_norm,
                           const struct tw_device_buffer *k_norm, float eps,
                           const struct tw_rope_op *rope, struct tw_device_buffer *kv,
                           const struct tw_kv_shape *shape, uint32_t layer)
{
    struct op *op = tw_cpu_stream_push(stream, OP_ROPE_APPEND);
    op->y = qkv;
    op->weight = q_norm;
    op->weight2 = k_norm;
    op->eps = eps;
    op->u.attention.kv = kv;
    op->u.attention.shape = *shape;
    op->u.attention.layer = layer;
    op->u.attention.n_heads = n_heads;
    op->u.attention.rope = *rope;
}

void tw_stream_attention(struct tw_stream *stream, const struct tw_device_buffer *qkv,
                         uint32_t n_heads, const struct tw_device_buffer *kv,
                         const struct tw_kv_shape *shape, uint32_t layer,
                         struct tw_device_buffer *out)
{
    assert(shape->head_dim <= TW_HEAD_DIM_MAX);
    struct op *op = tw_cpu_stream_push(stream, OP_ATTENTION);
    op->x = qkv;
    op->y = out;
    op->weight = kv;
    op->u.attention.shape = *shape;
    op->u.attention.layer = layer;
    op->u.attention.n_heads = n_heads;
}

/* ---- execution: what one thread does ---- */

static void run_embed(const struct worker *w, const struct op *op)
{
    const struct tw_device_table *table = op->u.table;
    const struct tw_device_batch *batch = w->stream->batch;
    size_t begin, end;
    share(w, op->n_rows, &begin, &end);
    for (size_t n = begin; n < end; n++) {
        int32_t token = batch->rows[n].token;
        assert(token >= 0 && (size_t)token < table->n_rows);
        tw_dtype_traits(table->dtype)
            ->dequantise(table->data + (size_t)token * table->row_bytes,
                         floats_of(op->y) + n * table->n_columns, table->n_columns);
    }
}

static void run_prepare(const struct worker *w, const struct op *op)
{
    struct tw_stream *stream = w->stream;
    struct tw_tiling tiling = tw_tiling_of(op->n_rows);
    size_t n_blocks = tw_act_blocks(op->width);
    size_t begin, end;
    share(w, op->n_rows, &begin, &end);
    for (size_t n = begin; n < end; n++) {
        size_t from = op->u.prepare.outputs_only ? stream->batch->outputs[n] : n;
        const float *row = floats_of(op->x) + from * op->width;
        if (op->weight != NULL) {
            w->kernels->rms_norm(row, floats_of(op->weight), op->width, op->eps, w->norm_row);
            row = w->norm_row;
        }
        uint32_t first, count;
        tw_tiling_tile(tiling, tw_tiling_tile_of_row(tiling, (uint32_t)n), &first, &count);
        uint32_t column = (uint32_t)n - first;
        if (op->u.prepare.forms & FORM_BYTES) {
            uint8_t *tile = stream->bytes_form + first * n_blocks * TW_ACT_BLOCK_BYTES;
            w->kernels->quantise_row(row, op->width, n_blocks, tile, count, column);
        }
        if (op->u.prepare.forms & FORM_FLOATS) {
            float *tile = stream->floats_form + first * tw_act_float_columns(op->width);
            store_floats_form(row, op->width, tile, count, column);
        }
    }
}

static void run_norm(const struct worker *w, const struct op *op)
{
    size_t begin, end;
    share(w, op->n_rows, &begin, &end);
    for (size_t n = begin; n < end; n++) {
        float *row = floats_of(op->y) + n * op->width;
        w->kernels->rms_norm(row, floats_of(op->weight), op->width, op->eps, row);
    }
}

/* Rows [first_row, first_row + n) of one tile column to where the product wants them. */
static void run_epilogue(const struct worker *w, const struct op *op, const float *tile,
                         size_t input_row, size_t first_row, size_t n)
{
    float *y =
        floats_of(op->y) + input_row * op->u.matmul.y_stride + op->u.matmul.y_offset + first_row;
    switch (op->u.matmul.epilogue) {
    case TW_EPILOGUE_STORE:
        memcpy(y, tile, n * sizeof *y);
        break;
    case TW_EPILOGUE_BIAS:
        memcpy(y, tile, n * sizeof *y);
        w->kernels->add(floats_of(op->weight) + first_row, n, y);
        break;
    case TW_EPILOGUE_ADD:
        w->kernels->add(tile, n, y);
        break;
    case TW_EPILOGUE_SILU_MUL:
        w->kernels->silu_mul(tile, tile + TW_PANEL_ROWS, n, y);
        break;
    }
}

/* The input rows of one product, cut into tiles. */
struct product_input {
    struct tw_tiling tiling;
    const uint8_t *data;
    size_t row_bytes;
};

static struct product_input input_of(const struct tw_stream *stream, const struct op *op)
{
    struct product_input input = {.tiling = tw_tiling_of(op->n_rows)};
    if (form_of(op->u.matmul.matrix->dtype) == FORM_FLOATS) {
        input.data = (const uint8_t *)stream->floats_form;
        input.row_bytes = tw_act_float_columns(op->width) * sizeof(float);
    } else {
        input.data = stream->bytes_form;
        input.row_bytes = tw_act_blocks(op->width) * TW_ACT_BLOCK_BYTES;
    }
    return input;
}

static void run_group(const struct worker *w, const struct op *op,
                      const struct product_input *input, size_t group)
{
    const struct tw_device_matrix *matrix = op->u.matmul.matrix;
    size_t rows = matrix->interleaved ? TW_PANEL_ROWS : TW_GROUP_ROWS;
    size_t n_valid = matrix->interleaved ? matrix->n_rows / 2 : matrix->n_rows;
    size_t first_row = group * rows;
    n_valid = n_valid - first_row < rows ? n_valid - first_row : rows;
    struct group_walk walk = group_walk_of(matrix, group, input->tiling.n_tiles);
    for (uint32_t t = 0; t < input->tiling.n_tiles; t++) {
        uint32_t first, count;
        tw_tiling_tile(input->tiling, t, &first, &count);
        group_walk_tile(&walk, w->kernels, input->data + first * input->row_bytes, count,
                        w->scratch->tile);
        for (uint32_t j = 0; j < count; j++) {
            run_epilogue(w, op, w->scratch->tile + TW_GROUP_ROWS * j, first + j, first_row,
                         n_valid);
        }
    }
}

static void run_matmul(const struct worker *w, const struct op *op)
{
    struct product_input input = input_of(w->stream, op);
    size_t begin, end;
    share(w, op->u.matmul.matrix->n_groups, &begin, &end);
    for (size_t group = begin; group < end && op->n_rows != 0; group++) {
        run_group(w, op, &input, group);
    }
}

static void run_silu_mul(const struct worker *w, const struct op *op)
{
    size_t begin, end;
    share(w, op->n_rows, &begin, &end);
    for (size_t n = begin; n < end; n++) {
        float *gate = floats_of(op->y) + n * op->width;
        w->kernels->silu_mul(gate, floats_of(op->x) + n * op->width, op->width, gate);
    }
}

static uint8_t *head_page(const struct tw_device_buffer *kv, const struct tw_kv_shape *shape,
                          uint32_t page, uint32_t layer, uint32_t kv_head)
{
    size_t head_bytes = tw_kv_head_page_bytes(shape->dtype, shape->head_dim);
    size_t at = ((size_t)page * shape->n_layers + layer) * shape->n_kv_heads + kv_head;
    assert((at + 1) * head_bytes <= kv->size_bytes);
    return kv->data + at * head_bytes;
}

static void norm_and_rotate(const struct worker *w, const struct op *op, uint32_t n, float *head,
                            const struct tw_device_buffer *norm)
{
    const struct tw_rope_op *rope = &op->u.attention.rope;
    uint32_t head_dim = op->u.attention.shape.head_dim;
    if (norm != NULL) {
        w->kernels->rms_norm(head, floats_of(norm), head_dim, op->eps, head);
    }
    const float *cosines = floats_of(rope->cos_sin) + (size_t)n * rope->n_dims;
    w->kernels->rope(head, cosines, cosines + rope->n_dims / 2, rope->n_dims, rope->interleaved);
}

static void run_rope_append(const struct worker *w, const struct op *op)
{
    const struct tw_kv_shape *shape = &op->u.attention.shape;
    uint32_t n_heads = op->u.attention.n_heads, n_kv = shape->n_kv_heads;
    uint32_t head_dim = shape->head_dim, per_kv = n_heads / n_kv;
    size_t stride = (size_t)(n_heads + 2 * n_kv) * head_dim;
    size_t begin, end;
    share(w, (size_t)op->n_rows * n_kv, &begin, &end);
    for (size_t unit = begin; unit < end; unit++) {
        uint32_t n = (uint32_t)(unit / n_kv), kv_head = (uint32_t)(unit % n_kv);
        float *row = floats_of(op->y) + n * stride;
        for (uint32_t h = kv_head * per_kv; h < (kv_head + 1) * per_kv; h++) {
            norm_and_rotate(w, op, n, row + (size_t)h * head_dim, op->weight);
        }
        float *key = row + (size_t)(n_heads + kv_head) * head_dim;
        float *value = row + (size_t)(n_heads + n_kv + kv_head) * head_dim;
        norm_and_rotate(w, op, n, key, op->weight2);
        const struct tw_device_row *at = &w->stream->batch->rows[n];
        uint32_t page = w->stream->batch->tables[at->table][at->position / TW_KV_PAGE_TOKENS];
        w->kernels->kv_store(
            shape->dtype, key, value, head_dim, at->position % TW_KV_PAGE_TOKENS,
            head_page(op->u.attention.kv, shape, page, op->u.attention.layer, kv_head));
    }
}

/* One piece of attention work: up to 8 query heads of one KV head of one row. */
struct attention_unit {
    uint32_t row;
    uint32_t kv_head;
    uint32_t first_head; /* of the query heads */
    uint32_t n_heads;
    uint32_t n_tokens; /* positions the row sees */
};

static uint32_t head_blocks(const struct op *op)
{
    uint32_t per_kv = op->u.attention.n_heads / op->u.attention.shape.n_kv_heads;
    return (per_kv + TW_ATTENTION_HEADS_MAX - 1) / TW_ATTENTION_HEADS_MAX;
}

static struct attention_unit unit_of(const struct worker *w, const struct op *op, size_t index)
{
    uint32_t n_kv = op->u.attention.shape.n_kv_heads;
    uint32_t per_kv = op->u.attention.n_heads / n_kv, n_blocks = head_blocks(op);
    uint32_t block = (uint32_t)(index % n_blocks);
    uint32_t kv_head = (uint32_t)(index / n_blocks % n_kv);
    uint32_t row = (uint32_t)(index / n_blocks / n_kv);
    uint32_t done = block * TW_ATTENTION_HEADS_MAX;
    uint32_t left = per_kv - done;
    return (struct attention_unit){
        .row = row,
        .kv_head = kv_head,
        .first_head = kv_head * per_kv + done,
        .n_heads = left < TW_ATTENTION_HEADS_MAX ? left : TW_ATTENTION_HEADS_MAX,
        .n_tokens = w->stream->batch->rows[row].position + 1,
    };
}

static uint32_t segments_of(uint32_t n_tokens)
{
    uint32_t segment_tokens = SEGMENT_PAGES * TW_KV_PAGE_TOKENS;
    return (n_tokens + segment_tokens - 1) / segment_tokens;
}

/* Queries as the kernel wants them: [dim][8], scaled, zero beyond the heads and head_dim. */
static void load_queries(const struct worker *w, const struct op *op,
                         const struct attention_unit *unit)
{
    const struct tw_kv_shape *shape = &op->u.attention.shape;
    uint32_t dim = (shape->head_dim + 15) / 16 * 16;
    size_t stride = (size_t)(op->u.attention.n_heads + 2 * shape->n_kv_heads) * shape->head_dim;
    const float *q = floats_of(op->x) + unit->row * stride + unit->first_head * shape->head_dim;
    float scale = TW_LOG2_E / sqrtf((float)shape->head_dim);
    memset(w->scratch->queries, 0, dim * TW_ATTENTION_HEADS_MAX * sizeof(float));
    for (uint32_t j = 0; j < unit->n_heads; j++) {
        for (uint32_t d = 0; d < shape->head_dim; d++) {
            w->scratch->queries[TW_ATTENTION_HEADS_MAX * d + j] =
                q[(size_t)j * shape->head_dim + d] * scale;
        }
    }
}

static void attend_segment(const struct worker *w, const struct op *op,
                           const struct attention_unit *unit, uint32_t segment,
                           struct tw_attention_state *state)
{
    const struct tw_kv_shape *shape = &op->u.attention.shape;
    const struct tw_device_row *row = &w->stream->batch->rows[unit->row];
    const uint32_t *table = w->stream->batch->tables[row->table];
    uint32_t n_pages = (unit->n_tokens + TW_KV_PAGE_TOKENS - 1) / TW_KV_PAGE_TOKENS;
    uint32_t begin = segment * SEGMENT_PAGES, end = begin + SEGMENT_PAGES;
    end = end < n_pages ? end : n_pages;
    tw_attention_state_clear(state, unit->n_heads, (shape->head_dim + 15) / 16 * 16);
    const uint8_t *page =
        head_page(op->weight, shape, table[begin], op->u.attention.layer, unit->kv_head);
    for (uint32_t i = begin; i < end; i++) {
        const uint8_t *next = page;
        if (i + 1 < n_pages) {
            next = head_page(op->weight, shape, table[i + 1], op->u.attention.layer, unit->kv_head);
        }
        uint32_t left = unit->n_tokens - i * TW_KV_PAGE_TOKENS;
        w->kernels->attend_page(shape->dtype, page, next,
                                left < TW_KV_PAGE_TOKENS ? left : TW_KV_PAGE_TOKENS,
                                shape->head_dim, w->scratch->queries, unit->n_heads, state);
        page = next;
    }
}

static void finish_unit(const struct op *op, const struct attention_unit *unit,
                        const struct tw_attention_state *state)
{
    uint32_t head_dim = op->u.attention.shape.head_dim;
    float *out = floats_of(op->y) +
                 ((size_t)unit->row * op->u.attention.n_heads + unit->first_head) * head_dim;
    for (uint32_t j = 0; j < unit->n_heads; j++) {
        float inverse = 1.0f / state->l[j];
        for (uint32_t d = 0; d < head_dim; d++) {
            out[(size_t)j * head_dim + d] = state->o[j][d] * inverse;
        }
    }
}

static void run_unit_alone(const struct worker *w, const struct op *op, size_t index)
{
    struct attention_unit unit = unit_of(w, op, index);
    uint32_t dim = (op->u.attention.shape.head_dim + 15) / 16 * 16;
    load_queries(w, op, &unit);
    attend_segment(w, op, &unit, 0, &w->scratch->state);
    for (uint32_t s = 1; s < segments_of(unit.n_tokens); s++) {
        attend_segment(w, op, &unit, s, &w->scratch->segment);
        w->kernels->attend_merge(&w->scratch->state, &w->scratch->segment, dim, unit.n_heads);
    }
    finish_unit(op, &unit, &w->scratch->state);
}

/* Few rows, long contexts: threads share segments, then units merge theirs in order. */
static void run_attention_by_segments(const struct worker *w, const struct op *op, size_t n_units)
{
    struct tw_attention_state *partials = w->stream->partials;
    size_t at = 0;
    for (size_t index = 0; index < n_units; index++) {
        struct attention_unit unit = unit_of(w, op, index);
        bool loaded = false;
        for (uint32_t s = 0; s < segments_of(unit.n_tokens); s++, at++) {
            if (at % (size_t)w->n_threads != (size_t)w->thread) {
                continue;
            }
            if (!loaded) {
                load_queries(w, op, &unit);
                loaded = true;
            }
            assert(at < TW_LIMIT_ATTENTION_SEGMENTS);
            attend_segment(w, op, &unit, s, &partials[at]);
        }
    }
    tw_threadpool_barrier(w->stream->device->pool, w->thread);
    uint32_t dim = (op->u.attention.shape.head_dim + 15) / 16 * 16;
    at = 0;
    for (size_t index = 0; index < n_units; index++) {
        struct attention_unit unit = unit_of(w, op, index);
        uint32_t n_segments = segments_of(unit.n_tokens);
        if (index % (size_t)w->n_threads == (size_t)w->thread) {
            for (uint32_t s = 1; s < n_segments; s++) {
                w->kernels->attend_merge(&partials[at], &partials[at + s], dim, unit.n_heads);
            }
            finish_unit(op, &unit, &partials[at]);
        }
        at += n_segments;
    }
}

static size_t count_segments(const struct worker *w, const struct op *op, size_t n_units)
{
    size_t n = 0;
    for (size_t index = 0; index < n_units; index++) {
        n += segments_of(unit_of(w, op, index).n_tokens);
    }
    return n;
}

static void run_attention(const struct worker *w, const struct op *op)
{
    size_t n_units = (size_t)op->n_rows * op->u.attention.shape.n_kv_heads * head_blocks(op);
    if (w->n_threads > 1 && n_units < 4 * (size_t)w->n_threads) {
        size_t n_segments = count_segments(w, op, n_units);
        if (n_segments > n_units && n_segments <= TW_LIMIT_ATTENTION_SEGMENTS) {
            run_attention_by_segments(w, op, n_units);
            return;
        }
    }
    for (size_t index = (size_t)w->thread; index < n_units; index += (size_t)w->n_threads) {
        run_unit_alone(w, op, index);
    }
}

/* Thread 0 looks, all others read what it saw. Of two barriers in a row each has a place of its
 * own: who is slow may still read one when thread 0 is at the next. */
static bool pass_barrier(const struct worker *w, uint32_t number)
{
    struct tw_stream *stream = w->stream;
    bool *gives_up = &stream->gives_up[number % 2];
    if (w->thread == 0) {
        *gives_up = stream->n_waited_for != NULL && atomic_load(stream->n_waited_for) > 0;
    }
    tw_threadpool_barrier(stream->device->pool, w->thread);
    return !*gives_up;
}

static void run_op(const struct worker *w, const struct op *op)
{
    switch (op->kind) {
    case OP_BARRIER:
        break;
    case OP_EMBED:
        run_embed(w, op);
        break;
    case OP_PREPARE:
        run_prepare(w, op);
        break;
    case OP_NORM:
        run_norm(w, op);
        break;
    case OP_MATMUL:
        run_matmul(w, op);
        break;
    case OP_SILU_MUL:
        run_silu_mul(w, op);
        break;
    case OP_ROPE_APPEND:
        run_rope_append(w, op);
        break;
    case OP_ATTENTION:
        run_attention(w, op);
        break;
    case OP_ROUTE:
    case OP_EXPERTS_UP:
    case OP_EXPERTS_PREPARE:
    case OP_EXPERTS_DOWN:
        tw_cpu_experts_run(w, op);
        break;
    }
}

static void walk(void *context, int thread, int n_threads)
{
    struct tw_stream *stream = context;
    size_t norm_width = (stream->limits.max_width + 15u) / 16u * 16u;
    struct worker w = {
        .stream = stream,
        .kernels = &stream->device->kernels,
        .scratch = &stream->scratch[thread],
        .norm_row = stream->norm_rows + (size_t)thread * norm_width,
        .thread = thread,
        .n_threads = n_threads,
    };
    uint32_t n_barriers = 0;
    bool goes_on = true;
    for (uint32_t i = 0; i < stream->n_ops && goes_on; i++) {
        if (stream->ops[i].kind == OP_BARRIER) {
            goes_on = pass_barrier(&w, n_barriers++);
        } else {
            run_op(&w, &stream->ops[i]);
        }
    }
    if (thread == 0) {
        stream->has_ended = goes_on;
    }
}

bool tw_stream_run_unless(struct tw_stream *stream, const atomic_uint *n_waited_for)
{
    stream->n_waited_for = n_waited_for;
    tw_threadpool_run(stream->device->pool, walk, stream);
    return stream->has_ended;
}

void tw_stream_run(struct tw_stream *stream)
{
    tw_stream_run_unless(stream, NULL);
}
