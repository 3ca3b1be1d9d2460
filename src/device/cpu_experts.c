/* Mixtures of experts on the CPU.
 *
 *     route:    rows shared out: each row's experts and weights
 *     up:       every thread sorts (row, rank) pairs by expert: slots. Groups of weight rows of all
 *               experts that have slots are shared out by what they cost; a thread gathers the
 *               input columns of an expert's slots into tiles of its own and multiplies.
 *     prepare:  slots shared out: hidden rows into the tiles of their expert
 *     down:     groups of weight rows shared out, the same of every expert: a thread owns some
 *               columns of y, and adds one expert after the other to them, so no sum needs a
 *               barrier.
 *
 * Slots of an expert are cut into chunks, tiles and columns; a product is the same for any cut
 * (docs/determinism.md), and y's order is that of the experts' numbers. The weights of an expert
 * are read once for a chunk: one token of an answer reads what it needs, a long prompt every expert
 * a few times, out of the cache.
 */
#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "device/cpu_stream.h"

/* Eight tiles of six columns; with 2048 rows of input 150 KB, which a second cache holds. */
enum { CHUNK_SLOTS = TW_EXPERT_CHUNK_ROWS };

enum { PASS_COST = 4 }; /* of reading a group of weights, against multiplying it with a column */

enum piece {
    CHOSEN = 0,   /* u32 [max_rows][used]: experts by rank */
    WEIGHTS,      /* f32, the same */
    HIDDEN,       /* f32 [slots][width] */
    HIDDEN_BYTES, /* the same as tiles: what down reads */
    HIDDEN_FLOATS,
    PLANS,          /* [n_threads]: see struct plan */
    GATHERED_BYTES, /* [n_threads]: a chunk's input as tiles */
    GATHERED_FLOATS,
    N_PIECES
};

struct expert_space {
    void *pieces[N_PIECES];
    struct tw_expert_choice choice; /* of the last route on the list */
};

static size_t plan_items(const struct tw_stream_limits *limits)
{
    return limits->max_experts + 1 + (size_t)limits->max_rows * limits->max_experts_used;
}

static size_t gathered_bytes(const struct tw_stream_limits *limits)
{
    return tw_act_bytes(CHUNK_SLOTS, limits->max_width);
}

static size_t gathered_floats(const struct tw_stream_limits *limits)
{
    return CHUNK_SLOTS * tw_act_float_columns(limits->max_width);
}

static size_t piece_bytes(const struct tw_stream *stream, enum piece piece)
{
    const struct tw_stream_limits *limits = &stream->limits;
    size_t n_threads = (size_t)stream->device->n_threads;
    size_t n_slots = (size_t)limits->max_rows * limits->max_experts_used;
    size_t width = limits->max_expert_width;
    switch (piece) {
    case CHOSEN:
        return n_slots * sizeof(uint32_t);
    case WEIGHTS:
        return n_slots * sizeof(float);
    case HIDDEN:
        return n_slots * width * sizeof(float);
    case HIDDEN_BYTES:
        return tw_act_bytes(n_slots, width);
    case HIDDEN_FLOATS:
        return n_slots * tw_act_float_columns(width) * sizeof(float);
    case PLANS:
        return n_threads * plan_items(limits) * sizeof(uint32_t);
    case GATHERED_BYTES:
        return n_threads * gathered_bytes(limits);
    case GATHERED_FLOATS:
        return n_threads * gathered_floats(limits) * sizeof(float);
    case N_PIECES:
        break;
    }
    return 0;
}

bool tw_cpu_experts_init(struct tw_stream *stream)
{
    if (stream->limits.max_experts == 0) {
        return true;
    }
    stream->experts = tw_mem_zalloc(1, sizeof *stream->experts);
    bool is_there = stream->experts != NULL;
    for (int i = 0; is_there && i < N_PIECES; i++) {
        stream->experts->pieces[i] = tw_mem_map(piece_bytes(stream, (enum piece)i));
        is_there = stream->experts->pieces[i] != NULL;
    }
    return is_there;
}

void tw_cpu_experts_free(struct tw_stream *stream)
{
    for (int i = 0; stream->experts != NULL && i < N_PIECES; i++) {
        tw_mem_unmap(stream->experts->pieces[i], piece_bytes(stream, (enum piece)i));
    }
    tw_mem_free(stream->experts);
}

/* ---- the list ---- */

void tw_stream_route(struct tw_stream *stream, const struct tw_device_buffer *logits,
                     const struct tw_expert_choice *choice)
{
    assert(choice->n_experts <= stream->limits.max_experts);
    assert(choice->n_used >= 1 && choice->n_used <= stream->limits.max_experts_used &&
           choice->n_used <= choice->n_experts);
    struct op *op = tw_cpu_stream_push(stream, OP_ROUTE);
    op->x = logits;
    op->u.experts.choice = *choice;
    stream->experts->choice = *choice;
}

static void check_matrices(const struct tw_stream *stream, const struct tw_device_matrix *gate_up,
                           const struct tw_device_matrix *up, const struct tw_device_matrix *down)
{
    assert(stream->prepared != NULL && !stream->prepared->u.prepare.outputs_only);
    assert(stream->prepared->width == gate_up->n_columns);
    assert(gate_up->interleaved == (up == NULL) && !down->interleaved);
    assert(gate_up->n_experts == stream->experts->choice.n_experts);
    assert(down->n_experts == gate_up->n_experts);
    assert(up == NULL || (up->n_rows == gate_up->n_rows && up->n_columns == gate_up->n_columns &&
                          up->n_experts == gate_up->n_experts));
    assert(down->n_columns == (up == NULL ? gate_up->n_rows / 2 : gate_up->n_rows));
    assert(down->n_columns <= stream->limits.max_expert_width);
}

void tw_stream_experts(struct tw_stream *stream, const struct tw_device_matrix *gate_up,
                       const struct tw_device_matrix *up, const struct tw_device_matrix *down,
                       struct tw_device_buffer *y)
{
    static const enum op_kind kinds[] = {OP_EXPERTS_UP, OP_BARRIER, OP_EXPERTS_PREPARE, OP_BARRIER,
                                         OP_EXPERTS_DOWN};
    check_matrices(stream, gate_up, up, down);
    stream->prepared->u.prepare.forms |=
        form_of(gate_up->dtype) | (up != NULL ? form_of(up->dtype) : 0);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        struct op *op = tw_cpu_stream_push(stream, kinds[i]);
        op->y = y;
        op->width = (uint32_t)down->n_columns;
        op->u.experts.choice = stream->experts->choice;
        op->u.experts.gate_up = gate_up;
        op->u.experts.up = up;
        op->u.experts.down = down;
    }
}

/* ---- who takes whom ---- */

static void *piece_of(const struct worker *w, enum piece piece)
{
    return w->stream->experts->pieces[piece];
}

static void run_route(const struct worker *w, const struct op *op)
{
    const struct tw_expert_choice *choice = &op->u.experts.choice;
    uint32_t *chosen = piece_of(w, CHOSEN);
    float *weights = piece_of(w, WEIGHTS);
    size_t begin, end;
    share(w, op->n_rows, &begin, &end);
    for (size_t n = begin; n < end; n++) {
        tw_kernels_route(floats_of(op->x) + n * choice->n_experts, choice->n_experts,
                         choice->n_used, choice->is_normed, chosen + n * choice->n_used,
                         weights + n * choice->n_used);
    }
}

/* A thread's own view of the batch: slots [first[e], first[e + 1]) are expert e's, and slot s
 * stands for pairs[s] = row * n_used + rank, ascending within an expert. */
struct plan {
    uint32_t *first; /* [n_experts + 1] */
    uint32_t *pairs;
};

static struct plan plan_of(const struct worker *w)
{
    const struct tw_stream_limits *limits = &w->stream->limits;
    uint32_t *items = piece_of(w, PLANS);
    items += (size_t)w->thread * plan_items(limits);
    return (struct plan){.first = items, .pairs = items + limits->max_experts + 1};
}

static void make_plan(const struct worker *w, const struct op *op)
{
    const uint32_t *chosen = piece_of(w, CHOSEN);
    uint32_t n_experts = op->u.experts.choice.n_experts;
    uint32_t n_pairs = op->n_rows * op->u.experts.choice.n_used;
    struct plan plan = plan_of(w);
    memset(plan.first, 0, (n_experts + 1) * sizeof *plan.first);
    for (uint32_t i = 0; i < n_pairs; i++) {
        plan.first[chosen[i] + 1]++;
    }
    for (uint32_t e = 0; e < n_experts; e++) {
        plan.first[e + 1] += plan.first[e];
    }
    for (uint32_t i = 0; i < n_pairs; i++) {
        plan.pairs[plan.first[chosen[i]]++] = i;
    }
    /* Each beginning has become the next one's. */
    memmove(plan.first + 1, plan.first, n_experts * sizeof *plan.first);
    plan.first[0] = 0;
}

/* Slots that are multiplied together. */
struct chunk {
    uint32_t first;
    struct tw_tiling tiling;
};

static struct chunk chunk_at(const struct plan *plan, uint32_t expert, uint32_t first)
{
    uint32_t n = plan->first[expert + 1] - first;
    return (struct chunk){.first = first,
                          .tiling = tw_tiling_of(n < CHUNK_SLOTS ? n : CHUNK_SLOTS)};
}

/* ---- up ---- */

static void copy_bytes_column(const uint8_t *from, uint32_t n_from, uint32_t from_column,
                              uint8_t *to, uint32_t n_to, uint32_t to_column, size_t n_blocks)
{
    for (size_t b = 0; b < n_blocks; b++) {
        for (uint32_t m = 0; m < TW_ACT_META_BYTES / 4; m++) {
            memcpy(to + 4 * (m * n_to + to_column), from + 4 * (m * n_from + from_column), 4);
        }
        memcpy(to + TW_ACT_META_BYTES * n_to + TW_ACT_BLOCK * to_column,
               from + TW_ACT_META_BYTES * n_from + TW_ACT_BLOCK * from_column, TW_ACT_BLOCK);
        from += (size_t)TW_ACT_BLOCK_BYTES * n_from;
        to += (size_t)TW_ACT_BLOCK_BYTES * n_to;
    }
}

static void copy_floats_column(const float *from, uint32_t n_from, uint32_t from_column, float *to,
                               uint32_t n_to, uint32_t to_column, size_t n)
{
    for (size_t k = 0; k < n; k++) {
        to[k * n_to + to_column] = from[k * n_from + from_column];
    }
}

/* A chunk's input, in the forms that its products read. */
struct gathered {
    uint8_t *bytes;
    float *floats;
    size_t row_blocks, row_floats;
};

static struct gathered gathered_of(const struct worker *w, const struct op *op)
{
    const struct tw_stream_limits *limits = &w->stream->limits;
    size_t thread = (size_t)w->thread, width = op->u.experts.gate_up->n_columns;
    return (struct gathered){
        .bytes = (uint8_t *)piece_of(w, GATHERED_BYTES) + thread * gathered_bytes(limits),
        .floats = (float *)piece_of(w, GATHERED_FLOATS) + thread * gathered_floats(limits),
        .row_blocks = tw_act_blocks(width),
        .row_floats = tw_act_float_columns(width),
    };
}

static void gather(const struct worker *w, const struct op *op, const struct chunk *chunk,
                   const struct gathered *to)
{
    const struct tw_device_matrix *up = op->u.experts.up;
    int forms = form_of(op->u.experts.gate_up->dtype) | (up != NULL ? form_of(up->dtype) : 0);
    struct tw_tiling rows = tw_tiling_of(op->n_rows);
    size_t block_bytes = to->row_blocks * TW_ACT_BLOCK_BYTES;
    struct plan plan = plan_of(w);
    for (uint32_t s = 0; s < chunk->tiling.n_rows; s++) {
        uint32_t row = plan.pairs[chunk->first + s] / op->u.experts.choice.n_used;
        uint32_t from, n_from, at, n_at;
        tw_tiling_tile(rows, tw_tiling_tile_of_row(rows, row), &from, &n_from);
        tw_tiling_tile(chunk->tiling, tw_tiling_tile_of_row(chunk->tiling, s), &at, &n_at);
        if (forms & FORM_BYTES) {
            copy_bytes_column(w->stream->bytes_form + from * block_bytes, n_from, row - from,
                              to->bytes + at * block_bytes, n_at, s - at, to->row_blocks);
        }
        if (forms & FORM_FLOATS) {
            copy_floats_column(w->stream->floats_form + from * to->row_floats, n_from, row - from,
                               to->floats + at * to->row_floats, n_at, s - at, to->row_floats);
        }
    }
}

static const void *tile_of(const struct gathered *input, enum tw_dtype dtype, uint32_t first)
{
    return form_of(dtype) == FORM_FLOATS
               ? (const void *)(input->floats + first * input->row_floats)
               : (const void *)(input->bytes + first * input->row_blocks * TW_ACT_BLOCK_BYTES);
}

static void run_up_group(const struct worker *w, const struct op *op, const struct chunk *chunk,
                         const struct gathered *input, uint32_t expert, size_t group)
{
    const struct tw_device_matrix *gate = op->u.experts.gate_up, *up = op->u.experts.up;
    size_t rows = up == NULL ? TW_PANEL_ROWS : TW_GROUP_ROWS;
    size_t first_row = group * rows, n = op->width - first_row;
    n = n < rows ? n : rows;
    size_t at = expert * gate->n_groups + group;
    struct group_walk walk = group_walk_of(gate, at, chunk->tiling.n_tiles);
    struct group_walk walk_up = group_walk_of(up != NULL ? up : gate, at, chunk->tiling.n_tiles);
    const float *gates = w->scratch->tile;
    const float *ups = up != NULL ? w->scratch->tile2 : gates + TW_PANEL_ROWS;
    for (uint32_t t = 0; t < chunk->tiling.n_tiles; t++) {
        uint32_t first, count;
        tw_tiling_tile(chunk->tiling, t, &first, &count);
        group_walk_tile(&walk, w->kernels, tile_of(input, gate->dtype, first), count,
                        w->scratch->tile);
        if (up != NULL) {
            group_walk_tile(&walk_up, w->kernels, tile_of(input, up->dtype, first), count,
                            w->scratch->tile2);
        }
        float *hidden = piece_of(w, HIDDEN);
        hidden += (size_t)(chunk->first + first) * op->width + first_row;
        for (uint32_t j = 0; j < count; j++) {
            w->kernels->silu_mul(gates + TW_GROUP_ROWS * j, ups + TW_GROUP_ROWS * j, n,
                                 hidden + (size_t)j * op->width);
        }
    }
}

static void run_up_expert(const struct worker *w, const struct op *op, uint32_t expert,
                          size_t begin, size_t end)
{
    struct plan plan = plan_of(w);
    struct gathered input = gathered_of(w, op);
    for (uint32_t s = plan.first[expert]; s < plan.first[expert + 1]; s += CHUNK_SLOTS) {
        struct chunk chunk = chunk_at(&plan, expert, s);
        gather(w, op, &chunk, &input);
        for (size_t group = begin; group < end; group++) {
            run_up_group(w, op, &chunk, &input, expert, group);
        }
    }
}

/* Cost of one group of the expert's weights. */
static size_t group_cost(const struct plan *plan, uint32_t expert)
{
    uint32_t n = plan->first[expert + 1] - plan->first[expert];
    return n != 0 ? n + PASS_COST : 0;
}

/* The first group that begins at or behind a point on the line of all costs. */
static size_t group_from(size_t point, size_t base, size_t cost, size_t n_groups)
{
    size_t group = point <= base ? 0 : (point - base + cost - 1) / cost;
    return group < n_groups ? group : n_groups;
}

/* All groups lie on one line, each as long as it costs; a thread has those that begin in its part
 * of the line. */
static void run_up(const struct worker *w, const struct op *op)
{
    make_plan(w, op);
    struct plan plan = plan_of(w);
    uint32_t n_experts = op->u.experts.choice.n_experts;
    size_t n_groups = op->u.experts.gate_up->n_groups;
    size_t total = 0, base = 0, begin, end;
    for (uint32_t e = 0; e < n_experts; e++) {
        total += group_cost(&plan, e) * n_groups;
    }
    share(w, total, &begin, &end);
    for (uint32_t e = 0; e < n_experts; e++) {
        size_t cost = group_cost(&plan, e);
        if (cost == 0) {
            continue;
        }
        size_t first = group_from(begin, base, cost, n_groups);
        size_t behind = group_from(end, base, cost, n_groups);
        if (first < behind) {
            run_up_expert(w, op, e, first, behind);
        }
        base += cost * n_groups;
    }
}

/* ---- down ---- */

static void run_prepare_hidden(const struct worker *w, const struct op *op)
{
    struct plan plan = plan_of(w);
    size_t width = op->width, n_blocks = tw_act_blocks(width), begin, end;
    bool is_floats = form_of(op->u.experts.down->dtype) == FORM_FLOATS;
    uint8_t *bytes = piece_of(w, HIDDEN_BYTES);
    float *floats = piece_of(w, HIDDEN_FLOATS);
    const float *hidden = piece_of(w, HIDDEN);
    share(w, (size_t)op->n_rows * op->u.experts.choice.n_used, &begin, &end);
    uint32_t expert = 0;
    for (uint32_t s = (uint32_t)begin; s < end; s++) {
        while (plan.first[expert + 1] <= s) {
            expert++;
        }
        uint32_t in_expert = s - plan.first[expert], first, count;
        struct chunk chunk = chunk_at(&plan, expert, s - in_expert % CHUNK_SLOTS);
        uint32_t tile = tw_tiling_tile_of_row(chunk.tiling, s - chunk.first);
        tw_tiling_tile(chunk.tiling, tile, &first, &count);
        size_t at = chunk.first + first;
        if (is_floats) {
            store_floats_form(hidden + s * width, width, floats + at * tw_act_float_columns(width),
                              count, s - (uint32_t)at);
        } else {
            w->kernels->quantise_row(hidden + s * width, width, n_blocks,
                                     bytes + at * n_blocks * TW_ACT_BLOCK_BYTES, count,
                                     s - (uint32_t)at);
        }
    }
}

/* Plain C: the compiler makes vectors of it, and may not contract it. */
static void add_weighted(const float *restrict x, float weight, size_t n, float *restrict y)
{
    for (size_t i = 0; i < n; i++) {
        y[i] = y[i] + x[i] * weight;
    }
}

static void run_down_group(const struct worker *w, const struct op *op, const struct chunk *chunk,
                           uint32_t expert, size_t group)
{
    const struct tw_device_matrix *down = op->u.experts.down;
    const struct gathered input = {.bytes = piece_of(w, HIDDEN_BYTES),
                                   .floats = piece_of(w, HIDDEN_FLOATS),
                                   .row_blocks = tw_act_blocks(op->width),
                                   .row_floats = tw_act_float_columns(op->width)};
    const float *weights = piece_of(w, WEIGHTS);
    struct plan plan = plan_of(w);
    size_t first_row = group * TW_GROUP_ROWS, n = down->n_rows - first_row;
    n = n < TW_GROUP_ROWS ? n : TW_GROUP_ROWS;
    struct group_walk walk =
        group_walk_of(down, expert * down->n_groups + group, chunk->tiling.n_tiles);
    for (uint32_t t = 0; t < chunk->tiling.n_tiles; t++) {
        uint32_t first, count;
        tw_tiling_tile(chunk->tiling, t, &first, &count);
        first += chunk->first;
        group_walk_tile(&walk, w->kernels, tile_of(&input, down->dtype, first), count,
                        w->scratch->tile);
        for (uint32_t j = 0; j < count; j++) {
            uint32_t pair = plan.pairs[first + j];
            size_t row = pair / op->u.experts.choice.n_used;
            add_weighted(w->scratch->tile + TW_GROUP_ROWS * j, weights[pair], n,
                         floats_of(op->y) + row * down->n_rows + first_row);
        }
    }
}

static void run_down(const struct worker *w, const struct op *op)
{
    struct plan plan = plan_of(w);
    size_t begin, end;
    share(w, op->u.experts.down->n_groups, &begin, &end);
    for (uint32_t e = 0; e < op->u.experts.choice.n_experts; e++) {
        for (uint32_t s = plan.first[e]; s < plan.first[e + 1]; s += CHUNK_SLOTS) {
            struct chunk chunk = chunk_at(&plan, e, s);
            for (size_t group = begin; group < end; group++) {
                run_down_group(w, op, &chunk, e, group);
            }
        }
    }
}

void tw_cpu_experts_run(const struct worker *w, const struct op *op)
{
    if (op->kind == OP_ROUTE) {
        run_route(w, op);
    } else if (op->kind == OP_EXPERTS_UP) {
        run_up(w, op);
    } else if (op->kind == OP_EXPERTS_PREPARE) {
        run_prepare_hidden(w, op);
    } else {
        run_down(w, op);
    }
}
