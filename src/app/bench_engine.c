#include "app/bench_engine.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/bench_rates.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"

enum { CHUNK_TOKENS = 512, READ_BYTES = 1 << 30, N_COEFFICIENTS = 4 };

struct bench {
    const struct tw_bench_config *config;
    struct tw_device *device;
    struct tw_threadpool *pool;
    struct tw_model *model;
    struct tw_kv_cache *cache;
    enum tw_cpu_level level;
    tw_token tokens[CHUNK_TOKENS];
    uint32_t n_sequences, n_pages_each; /* the largest of all points */
    uint32_t *pages;                    /* [n_sequences, n_pages_each] */
    uint8_t *read_buffer;
    size_t read_bytes;
    double *rounds[4]; /* of the limits: [n_points * n_rounds] each */
    double *seconds, *shares;
    uint64_t n_done, n_passes;
};

/* Sorts. */
static double quantile(double *values, size_t n, double share)
{
    tw_bench_sort(values, n);
    return tw_bench_quantile(values, n, share);
}

/* ---- what a point needs ---- */

static uint32_t positions_of(const struct tw_bench_config *config,
                             const struct tw_bench_point *point)
{
    return point->depth_tokens + (point->is_prefill ? point->n_tokens : config->n_decode_steps);
}

static uint32_t chunks_of(const struct tw_bench_point *point)
{
    return point->is_prefill ? (point->n_tokens + CHUNK_TOKENS - 1) / CHUNK_TOKENS : 1;
}

static double tokens_of(const struct tw_bench_point *point)
{
    return point->is_prefill ? point->n_tokens : point->n_sequences;
}

static double outputs_of(const struct tw_bench_point *point)
{
    return point->is_prefill ? 1 : point->n_sequences;
}

/* Sum over the new tokens of how many positions each attends to. */
static double attended_by(const struct tw_bench_config *config, const struct tw_bench_point *point)
{
    const double n = point->n_tokens, depth = point->depth_tokens;
    return point->is_prefill ? n * depth + n * (n + 1) / 2
                             : point->n_sequences * (depth + 0.5 * (config->n_decode_steps + 1));
}

/* Bytes of keys and values that must be read once: of every chunk, what lies before its end. */
static double cached_bytes(const struct bench *b, const struct tw_bench_point *point)
{
    const double page_bytes =
        (double)tw_kv_page_bytes(tw_model_shape(b->model), b->config->kv_dtype);
    double n = attended_by(b->config, point);
    if (point->is_prefill) {
        n = 0;
        for (uint32_t end = 0; end < point->n_tokens;) {
            end = end + CHUNK_TOKENS < point->n_tokens ? end + CHUNK_TOKENS : point->n_tokens;
            n += point->depth_tokens + end;
        }
    }
    return n * page_bytes / TW_KV_PAGE_TOKENS;
}

static void count_needs(const struct bench *b, struct tw_bench_point *point)
{
    const struct tw_model_shape *s = tw_model_shape(b->model);
    const struct tw_model_products products = tw_model_products(b->model);
    const double tokens = tokens_of(point), outputs = outputs_of(point);
    point->n_bytes =
        (double)chunks_of(point) * (double)tw_model_weight_bytes(b->model) + cached_bytes(b, point);
    point->int8_operations =
        2 * (tokens * (double)products.quantised + outputs * (double)products.head_quantised);
    point->float_operations =
        2 * (tokens * (double)products.floats + outputs * (double)products.head_floats) +
        4.0 * s->n_layers * s->n_heads * s->head_dim * attended_by(b->config, point);
}

/* ---- passes ---- */

static enum tw_status forward(struct bench *b, const struct tw_batch_sequence *sequences,
                              uint32_t n, double *seconds, struct tw_error *error)
{
    const float *logits;
    const int64_t start_ns = tw_clock_monotonic_ns();
    enum tw_status status =
        tw_model_forward(b->model, b->cache, sequences, n, NULL, &logits, error);
    *seconds += (double)(tw_clock_monotonic_ns() - start_ns) * 1e-9;
    return status;
}

static struct tw_batch_sequence tokens_at(struct bench *b, uint32_t sequence, uint32_t position,
                                          uint32_t n_tokens, uint32_t n_outputs)
{
    return (struct tw_batch_sequence){.tokens =
                                          b->tokens + sequence % CHUNK_TOKENS * (n_tokens == 1),
                                      .n_tokens = n_tokens,
                                      .first_position = position,
                                      .pages = b->pages + (size_t)sequence * b->n_pages_each,
                                      .n_outputs = n_outputs};
}

static enum tw_status run_prefill(struct bench *b, const struct tw_bench_point *point,
                                  double *ret_seconds, struct tw_error *error)
{
    enum tw_status status = TW_OK;
    *ret_seconds = 0;
    for (uint32_t at = 0; status == TW_OK && at < point->n_tokens; at += CHUNK_TOKENS) {
        const uint32_t left = point->n_tokens - at;
        const uint32_t n = left < CHUNK_TOKENS ? left : CHUNK_TOKENS;
        struct tw_batch_sequence sequence =
            tokens_at(b, 0, point->depth_tokens + at, n, n == left ? 1 : 0);
        status = forward(b, &sequence, 1, ret_seconds, error);
    }
    return status;
}

static enum tw_status run_decode(struct bench *b, const struct tw_bench_point *point,
                                 double *ret_seconds, struct tw_error *error)
{
    struct tw_batch_sequence sequences[TW_LIMIT_BATCH_SEQUENCES];
    enum tw_status status = TW_OK;
    *ret_seconds = 0;
    for (uint32_t step = 0; status == TW_OK && step < b->config->n_decode_steps; step++) {
        for (uint32_t s = 0; s < point->n_sequences; s++) {
            sequences[s] = tokens_at(b, s, point->depth_tokens + step, 1, 1);
        }
        status = forward(b, sequences, point->n_sequences, ret_seconds, error);
    }
    *ret_seconds /= b->config->n_decode_steps;
    return status;
}

/* One round of a point: its limits, then its pass. Arithmetic and reading can go on at once, so the
 * longer one bounds the pass. */
static enum tw_status measure(struct bench *b, struct tw_bench_point *point, size_t at,
                              struct tw_error *error)
{
    const struct tw_probe_rates now =
        tw_probe_rates(b->pool, b->level, b->read_buffer, b->read_bytes);
    double seconds;
    enum tw_status status = point->is_prefill ? run_prefill(b, point, &seconds, error)
                                              : run_decode(b, point, &seconds, error);
    const double reading = point->n_bytes / now.read;
    const double arithmetic = point->int8_operations / (now.int8 > 0 ? now.int8 : now.f32) +
                              point->float_operations / now.f32;
    b->rounds[0][at] = now.read;
    b->rounds[1][at] = now.int8;
    b->rounds[2][at] = now.bf16;
    b->rounds[3][at] = now.f32;
    b->seconds[at] = seconds;
    b->shares[at] = (reading > arithmetic ? reading : arithmetic) / seconds;
    point->reads_longer = reading > arithmetic;
    b->n_done++;
    if (status == TW_OK && b->config->progress != NULL &&
        !b->config->progress(b->config->progress_context, b->n_done, b->n_passes)) {
        status = tw_error_set(error, TW_ERR_CANCELLED, TW_NO_POSITION, "stopped while measuring");
    }
    return status;
}

/* Keys and values of the deepest point, for every sequence. */
static enum tw_status fill_cache(struct bench *b, const struct tw_bench_point *points,
                                 size_t n_points, struct tw_error *error)
{
    enum tw_status status = TW_OK;
    for (uint32_t s = 0; s < b->n_sequences; s++) {
        uint32_t depth = 0;
        for (size_t i = 0; i < n_points; i++) {
            const uint32_t sequences = points[i].is_prefill ? 1 : points[i].n_sequences;
            depth =
                s < sequences && points[i].depth_tokens > depth ? points[i].depth_tokens : depth;
        }
        for (uint32_t page = 0; status == TW_OK && page * TW_KV_PAGE_TOKENS < depth; page++) {
            double ignored = 0;
            struct tw_batch_sequence sequence = tokens_at(b, s, 0, TW_KV_PAGE_TOKENS, 0);
            sequence.pages += page; /* as if it were the first one */
            status = forward(b, &sequence, 1, &ignored, error);
        }
    }
    return status;
}

/* ---- the cost model ---- */

/* Solves the normal equations over the coefficients in use, by elimination. False where they do not
 * determine them. */
static bool solve(double a[N_COEFFICIENTS][N_COEFFICIENTS + 1], const bool *in_use, double *x)
{
    for (int i = 0; i < N_COEFFICIENTS; i++) {
        if (!in_use[i]) {
            memset(a[i], 0, sizeof a[i]);
            for (int k = 0; k < N_COEFFICIENTS; k++) {
                a[k][i] = 0;
            }
            a[i][i] = 1;
        }
    }
    for (int i = 0; i < N_COEFFICIENTS; i++) { /* positive semidefinite: needs no pivoting */
        const double scale = a[i][i];
        if (!(scale > 1e-9)) {
            return false;
        }
        for (int k = i; k <= N_COEFFICIENTS; k++) {
            a[i][k] /= scale;
        }
        for (int row = 0; row < N_COEFFICIENTS; row++) {
            const double factor = row == i ? 0 : a[row][i];
            for (int k = i; k <= N_COEFFICIENTS; k++) {
                a[row][k] -= factor * a[i][k];
            }
        }
    }
    for (int i = 0; i < N_COEFFICIENTS; i++) {
        x[i] = a[i][N_COEFFICIENTS];
    }
    return true;
}

static void columns_of(const struct bench *b, const struct tw_bench_point *point, double *columns)
{
    columns[0] = chunks_of(point);
    columns[1] = tokens_of(point);
    columns[2] = outputs_of(point);
    columns[3] = attended_by(b->config, point);
}

/* The coefficient to leave out: the most negative one, or, where the points do not tell them apart,
 * rows of logits, which go with tokens when decoding, and positions. -1 for none. */
static int to_leave_out(bool is_solved, const double *x, const bool *in_use)
{
    if (!is_solved) {
        return in_use[2] ? 2 : in_use[3] ? 3 : 1;
    }
    int worst = -1;
    for (int k = 0; k < N_COEFFICIENTS; k++) {
        if (x[k] < 0 && (worst < 0 || x[k] < x[worst])) {
            worst = k;
        }
    }
    return worst;
}

/* Least squares of the relative errors, over all passes. */
static struct tw_bench_cost fit_cost(const struct bench *b, const struct tw_bench_point *points,
                                     size_t n_points)
{
    const size_t n_rounds = b->config->n_rounds;
    bool in_use[N_COEFFICIENTS] = {true, true, true, true};
    double x[N_COEFFICIENTS] = {0}, scale[N_COEFFICIENTS] = {0}, columns[N_COEFFICIENTS];
    for (size_t i = 0; i < n_points; i++) { /* columns of like size, or rounding decides */
        columns_of(b, &points[i], columns);
        for (int k = 0; k < N_COEFFICIENTS; k++) {
            scale[k] = fmax(scale[k], columns[k] / points[i].seconds);
        }
    }
    for (int left_out = 0; left_out >= 0;) {
        double a[N_COEFFICIENTS][N_COEFFICIENTS + 1] = {{0}};
        for (size_t i = 0; i < n_points * n_rounds; i++) {
            columns_of(b, &points[i / n_rounds], columns);
            for (int row = 0; row < N_COEFFICIENTS; row++) {
                columns[row] /= scale[row] * b->seconds[i];
            }
            for (int row = 0; row < N_COEFFICIENTS; row++) {
                for (int k = 0; k < N_COEFFICIENTS; k++) {
                    a[row][k] += columns[row] * columns[k];
                }
                a[row][N_COEFFICIENTS] += columns[row];
            }
        }
        const bool is_solved = solve(a, in_use, x);
        left_out = to_leave_out(is_solved, x, in_use);
        if (left_out >= 0) {
            in_use[left_out] = false;
        }
    }
    double squares = 0;
    for (size_t i = 0; i < n_points * n_rounds; i++) {
        double seconds = 0;
        columns_of(b, &points[i / n_rounds], columns);
        for (int k = 0; k < N_COEFFICIENTS; k++) {
            seconds += x[k] * columns[k] / scale[k];
        }
        squares += (seconds / b->seconds[i] - 1) * (seconds / b->seconds[i] - 1);
    }
    return (struct tw_bench_cost){.fixed_seconds = x[0] / scale[0],
                                  .token_seconds = x[1] / scale[1],
                                  .output_seconds = x[2] / scale[2],
                                  .position_seconds = x[3] / scale[3],
                                  .error = sqrt(squares / (double)(n_points * n_rounds))};
}

/* ---- the whole ---- */

static enum tw_status open_model(struct bench *b, const struct tw_bench_point *points,
                                 size_t n_points, struct tw_error *error)
{
    uint32_t n_positions = 1;
    b->n_sequences = 1;
    for (size_t i = 0; i < n_points; i++) {
        const uint32_t positions = positions_of(b->config, &points[i]);
        n_positions = positions > n_positions ? positions : n_positions;
        b->n_sequences =
            points[i].n_sequences > b->n_sequences ? points[i].n_sequences : b->n_sequences;
    }
    const uint32_t n_rows = b->n_sequences > CHUNK_TOKENS ? b->n_sequences : CHUNK_TOKENS;
    const struct tw_model_options options = {
        .max_batch_tokens = n_rows, .max_output_rows = b->n_sequences, .pack = b->config->pack};
    enum tw_status status = tw_cpu_choose(&b->level, error);
    if (status == TW_OK) {
        status = tw_device_cpu_create(b->config->n_threads, b->level, &b->device, error);
    }
    if (status == TW_OK) {
        status = tw_model_load(b->config->path, b->device, &options, &b->model, error);
    }
    if (status != TW_OK) {
        return status;
    }
    if (n_positions > tw_model_shape(b->model)->n_context_tokens) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "%u positions are to be measured, the model's context has %u: shorten "
                            "--prompt or --depth",
                            n_positions, tw_model_shape(b->model)->n_context_tokens);
    }
    b->n_pages_each = (n_positions + TW_KV_PAGE_TOKENS - 1) / TW_KV_PAGE_TOKENS;
    const uint64_t n_pages = (uint64_t)b->n_sequences * b->n_pages_each;
    if (n_pages > TW_LIMIT_KV_PAGES) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "%u sequences of %u positions: too many; make --batch or --depth less",
                            b->n_sequences, n_positions);
    }
    return tw_kv_cache_create(b->model, (uint32_t)n_pages, b->config->kv_dtype, &b->cache, error);
}

static enum tw_status make_buffers(struct bench *b, size_t n_points, struct tw_error *error)
{
    const size_t n_results = n_points * b->config->n_rounds;
    const size_t n_pages = (size_t)b->n_sequences * b->n_pages_each;
    const uint64_t n_bytes = tw_model_weight_bytes(b->model);
    bool has_all = (b->pages = tw_mem_alloc(n_pages, sizeof *b->pages)) != NULL;
    for (size_t i = 0; i < 4; i++) {
        has_all = (b->rounds[i] = tw_mem_alloc(n_results, sizeof **b->rounds)) != NULL && has_all;
    }
    b->read_bytes = n_bytes < READ_BYTES ? (size_t)n_bytes / 512 * 512 + 512 : READ_BYTES;
    has_all = (b->seconds = tw_mem_alloc(n_results, sizeof *b->seconds)) != NULL && has_all;
    has_all = (b->shares = tw_mem_alloc(n_results, sizeof *b->shares)) != NULL && has_all;
    has_all = (b->read_buffer = tw_mem_map(b->read_bytes)) != NULL && has_all;
    if (!has_all) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory to measure with");
    }
    memset(b->read_buffer, 1, b->read_bytes);
    for (uint32_t i = 0; i < n_pages; i++) { /* as in use, a sequence's pages lie apart */
        b->pages[i] = i % b->n_pages_each * b->n_sequences + i / b->n_pages_each;
    }
    for (uint32_t i = 0; i < CHUNK_TOKENS; i++) {
        uint32_t words[4];
        tw_rng_block(1, i, words);
        b->tokens[i] = (tw_token)(words[0] % tw_model_shape(b->model)->n_vocab);
    }
    return tw_threadpool_create(tw_device_threads(b->device), &b->pool, error);
}

static void conclude(struct bench *b, struct tw_bench_point *points, size_t n_points,
                     struct tw_bench_result *ret_result)
{
    const size_t n_rounds = b->config->n_rounds, n_results = n_points * n_rounds;
    for (size_t i = 0; i < n_points; i++) {
        points[i].seconds = quantile(b->seconds + i * n_rounds, n_rounds, 0.5);
        points[i].seconds_first_quartile = quantile(b->seconds + i * n_rounds, n_rounds, 0.25);
        points[i].seconds_third_quartile = quantile(b->seconds + i * n_rounds, n_rounds, 0.75);
        points[i].share = quantile(b->shares + i * n_rounds, n_rounds, 0.5);
    }
    *ret_result = (struct tw_bench_result){
        .weight_bytes = tw_model_weight_bytes(b->model),
        .limits = {.read = quantile(b->rounds[0], n_results, 0.5),
                   .int8 = quantile(b->rounds[1], n_results, 0.5),
                   .bf16 = quantile(b->rounds[2], n_results, 0.5),
                   .f32 = quantile(b->rounds[3], n_results, 0.5)},
        .cost = fit_cost(b, points, n_points),
    };
    (void)snprintf(ret_result->device, sizeof ret_result->device, "%s", tw_device_name(b->device));
}

static enum tw_status run(struct bench *b, struct tw_bench_point *points, size_t n_points,
                          struct tw_bench_result *ret_result, struct tw_error *error)
{
    enum tw_status status = open_model(b, points, n_points, error);
    status = status != TW_OK ? status : make_buffers(b, n_points, error);
    status = status != TW_OK ? status : fill_cache(b, points, n_points, error);
    b->n_passes = (uint64_t)n_points * (b->config->n_rounds + 1);
    for (size_t i = 0; status == TW_OK && i < n_points; i++) {
        count_needs(b, &points[i]);
        status = measure(b, &points[i], i * b->config->n_rounds, error); /* to warm up */
    }
    for (size_t r = 0; r < b->config->n_rounds; r++) {
        for (size_t i = 0; status == TW_OK && i < n_points; i++) {
            status = measure(b, &points[i], i * b->config->n_rounds + r, error);
        }
    }
    if (status == TW_OK) {
        conclude(b, points, n_points, ret_result);
    }
    return status;
}

enum tw_status tw_bench_engine(const struct tw_bench_config *config, struct tw_bench_point *points,
                               size_t n_points, struct tw_bench_result *ret_result,
                               struct tw_error *error)
{
    struct bench b = {.config = config};
    enum tw_status status = run(&b, points, n_points, ret_result, error);
    for (size_t i = 0; i < 4; i++) {
        tw_mem_free(b.rounds[i]);
    }
    tw_mem_free(b.seconds);
    tw_mem_free(b.shares);
    tw_mem_free(b.pages);
    if (b.read_buffer != NULL) {
        tw_mem_unmap(b.read_buffer, b.read_bytes);
    }
    tw_kv_cache_free(b.cache);
    tw_model_free(b.model);
    tw_threadpool_free(b.pool);
    tw_device_free(b.device);
    return status;
}
