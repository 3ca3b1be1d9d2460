/* What would break if a row's result depended on its neighbours, the threads, its chunk or the
 * level: products with every epilogue, and attention, compared bit by bit. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/rng.h"
#include "device/device.h"

enum { WIDTH_MOST = 512, ROWS_OUT = 70, MAX_ROWS = 40, HEADS = 6, KV_HEADS = 2, HEAD_DIM = 24 };
enum { QKV = (HEADS + 2 * KV_HEADS) * HEAD_DIM, PAGES = 40, SEGMENT_TOKENS = 512 };

/* What every epilogue makes of a row, side by side. */
enum {
    STORED = 0,
    BIASED = ROWS_OUT,
    ADDED = 2 * ROWS_OUT,
    GATED = 3 * ROWS_OUT,
    OUT = 4 * ROWS_OUT
};

struct world {
    struct tw_device *device;
    struct tw_stream *stream;
    struct tw_device_matrix *matrix, *gate_up;
    struct tw_device_buffer *x, *y, *norm, *bias, *kv, *qkv, *cos_sin, *out;
    struct tw_kv_shape kv_shape;
    uint32_t width;
    uint32_t n_pages;
};

struct world_options {
    int n_threads;
    enum tw_cpu_level level;
    enum tw_dtype dtype, kv_dtype;
    uint32_t n_pages; /* 0: PAGES */
};

static float value(uint64_t stream, uint64_t i)
{
    return (float)tw_rng_normal(stream, i);
}

/* The same, uniform and cheap: long contexts take millions. */
static float cheap_value(uint64_t stream, uint64_t i)
{
    uint64_t x = (i + 1) * 0x9e3779b97f4a7c15u ^ stream << 32;
    x = (x ^ x >> 29) * 0xbf58476d1ce4e5b9u;
    return (float)((double)(x >> 40) * 0x1p-23 - 1) * 1.7f;
}

static void fill(struct tw_device_buffer *buffer, uint64_t stream, size_t n)
{
    float *values = tw_mem_alloc(n, sizeof *values);
    for (size_t i = 0; i < n; i++) {
        values[i] = value(stream, i);
    }
    tw_device_buffer_write(buffer, 0, values, n * sizeof *values);
    tw_mem_free(values);
}

static struct tw_device_buffer *make_buffer(struct world *w, size_t n_bytes)
{
    struct tw_device_buffer *buffer = NULL;
    assert_int_equal(tw_device_buffer_create(w->device, n_bytes, &buffer, NULL), TW_OK);
    return buffer;
}

/* Rows that no step of the layout divides, where the format has such. */
static uint32_t width_of(enum tw_dtype dtype)
{
    return tw_dtype_traits(dtype)->block_elements == 256 ? WIDTH_MOST : 320;
}

/* Weights of random stream `seed` as blocks; freed by the caller. */
static uint8_t *make_weights(enum tw_dtype dtype, uint64_t seed)
{
    uint32_t width = width_of(dtype);
    size_t row_bytes = tw_dtype_row_bytes(dtype, width);
    uint8_t *blocks = tw_mem_alloc(ROWS_OUT, row_bytes);
    float row[WIDTH_MOST];
    for (size_t r = 0; r < ROWS_OUT; r++) {
        for (uint32_t k = 0; k < width; k++) {
            row[k] = value(seed, r * width + k);
        }
        tw_dtype_traits(dtype)->quantise(row, blocks + r * row_bytes, width);
    }
    return blocks;
}

static void make_matrices(struct world *w, enum tw_dtype dtype)
{
    uint8_t *weights = make_weights(dtype, 1), *others = make_weights(dtype, 6);
    struct tw_matrix_source source = {
        .dtype = dtype, .n_rows = ROWS_OUT, .n_columns = w->width, .data = weights};
    struct tw_matrix_source second = source;
    second.data = others;
    assert_int_equal(tw_device_matrix_create(w->device, &source, NULL, &w->matrix, NULL), TW_OK);
    assert_int_equal(tw_device_matrix_create(w->device, &source, &second, &w->gate_up, NULL),
                     TW_OK);
    tw_mem_free(weights);
    tw_mem_free(others);
}

static void open_world(struct world *w, const struct world_options *options)
{
    memset(w, 0, sizeof *w);
    w->width = width_of(options->dtype);
    w->n_pages = options->n_pages != 0 ? options->n_pages : PAGES;
    w->kv_shape = (struct tw_kv_shape){
        .n_layers = 1, .n_kv_heads = KV_HEADS, .head_dim = HEAD_DIM, .dtype = options->kv_dtype};
    assert_int_equal(tw_device_cpu_create(options->n_threads, options->level, &w->device, NULL),
                     TW_OK);
    struct tw_stream_limits limits = {
        .max_rows = MAX_ROWS, .max_width = w->width, .max_operations = 32};
    assert_int_equal(tw_stream_create(w->device, &limits, &w->stream, NULL), TW_OK);
    make_matrices(w, options->dtype);
    w->x = make_buffer(w, MAX_ROWS * w->width * 4);
    w->y = make_buffer(w, MAX_ROWS * OUT * 4);
    w->norm = make_buffer(w, w->width * 4);
    w->bias = make_buffer(w, ROWS_OUT * 4);
    w->kv = make_buffer(w, w->n_pages * tw_device_kv_page_bytes(&w->kv_shape));
    w->qkv = make_buffer(w, MAX_ROWS * QKV * 4);
    w->cos_sin = make_buffer(w, MAX_ROWS * HEAD_DIM * 4);
    w->out = make_buffer(w, MAX_ROWS * HEADS * HEAD_DIM * 4);
    fill(w->norm, 2, w->width);
    fill(w->bias, 7, ROWS_OUT);
}

static void close_world(struct world *w)
{
    tw_device_buffer_free(w->x);
    tw_device_buffer_free(w->y);
    tw_device_buffer_free(w->norm);
    tw_device_buffer_free(w->bias);
    tw_device_buffer_free(w->kv);
    tw_device_buffer_free(w->qkv);
    tw_device_buffer_free(w->cos_sin);
    tw_device_buffer_free(w->out);
    tw_device_matrix_free(w->matrix);
    tw_device_matrix_free(w->gate_up);
    tw_stream_free(w->stream);
    tw_device_free(w->device);
}

static void write_rows(struct tw_device_buffer *buffer, uint64_t stream, uint32_t first, uint32_t n,
                       uint32_t width)
{
    float *x = tw_mem_alloc((size_t)n * width, sizeof *x);
    for (size_t i = 0; i < (size_t)n * width; i++) {
        x[i] = value(stream, (size_t)first * width + i);
    }
    tw_device_buffer_write(buffer, 0, x, (size_t)n * width * sizeof *x);
    tw_mem_free(x);
}

/* Every product of rows [first, first + n) of an endless input: [n][OUT]. */
static void run_products(struct world *w, uint32_t first, uint32_t n, float *ret_y)
{
    write_rows(w->x, 3, first, n, w->width);
    write_rows(w->y, 5, first, n, OUT); /* what ADD adds to */
    struct tw_device_batch batch = {.n_rows = n};
    tw_stream_begin(w->stream, &batch);
    tw_stream_prepare(w->stream, w->x, w->width, w->norm, 1e-6f, false);
    tw_stream_barrier(w->stream);
    tw_stream_matmul(w->stream, w->matrix, TW_EPILOGUE_STORE, NULL, w->y, STORED, OUT);
    tw_stream_matmul(w->stream, w->matrix, TW_EPILOGUE_BIAS, w->bias, w->y, BIASED, OUT);
    tw_stream_matmul(w->stream, w->matrix, TW_EPILOGUE_ADD, NULL, w->y, ADDED, OUT);
    tw_stream_matmul(w->stream, w->gate_up, TW_EPILOGUE_SILU_MUL, NULL, w->y, GATED, OUT);
    tw_stream_run(w->stream);
    memcpy(ret_y, tw_device_buffer_read(w->y), (size_t)n * OUT * sizeof *ret_y);
}

/* One for each way in which products read weights and activations. */
static const enum tw_dtype dtypes[] = {TW_DTYPE_F32,  TW_DTYPE_F16,  TW_DTYPE_Q8_0,
                                       TW_DTYPE_Q4_0, TW_DTYPE_Q4_K, TW_DTYPE_Q6_K};
enum { N_DTYPES = sizeof dtypes / sizeof dtypes[0] };

enum { FIRST = 3 }; /* a batch that does not begin with row 0 */

/* Rows as each is alone, at the reference level with one thread. */
static void run_rows_alone(enum tw_dtype dtype, float *ret_rows)
{
    struct world w;
    open_world(&w, &(struct world_options){1, TW_CPU_REF, dtype, TW_DTYPE_F16, 0});
    for (uint32_t r = 0; r < MAX_ROWS + FIRST; r++) {
        run_products(&w, r, 1, ret_rows + (size_t)r * OUT);
    }
    close_world(&w);
}

static void check_batches(struct world *w, uint32_t n_step, const float *alone)
{
    static float together[MAX_ROWS * OUT];
    for (uint32_t n = 1; n <= MAX_ROWS; n += n_step) {
        for (uint32_t first = 0; first <= FIRST; first += FIRST) {
            run_products(w, first, n, together);
            assert_memory_equal(alone + (size_t)first * OUT, together, n * OUT * sizeof *alone);
        }
    }
}

static void test_a_row_does_not_see_its_batch_the_threads_or_the_level(void **state)
{
    (void)state;
    static float alone[(MAX_ROWS + FIRST) * OUT];
    for (size_t i = 0; i < N_DTYPES; i++) {
        run_rows_alone(dtypes[i], alone);
        for (int level = 0; level <= (int)tw_cpu_detect(); level++) {
            for (int n_threads = 1; n_threads <= 3; n_threads++) {
                struct world w;
                open_world(&w, &(struct world_options){n_threads, (enum tw_cpu_level)level,
                                                       dtypes[i], TW_DTYPE_F16, 0});
                check_batches(&w, level == TW_CPU_REF ? 39 : 1, alone);
                close_world(&w);
            }
        }
    }
}

/* Products of views of copies, and of matrices that were moved to such a copy. */
static void test_packed_weights_multiply_the_same_from_a_copy_that_lies_elsewhere(void **state)
{
    (void)state;
    static float created[MAX_ROWS * OUT], viewed[MAX_ROWS * OUT];
    for (size_t i = 0; i < N_DTYPES; i++) {
        struct world w;
        open_world(&w, &(struct world_options){2, tw_cpu_detect(), dtypes[i], TW_DTYPE_F16, 0});
        run_products(&w, 0, MAX_ROWS, created);
        const size_t n_one = tw_device_matrix_bytes(w.matrix);
        const size_t n_two = tw_device_matrix_bytes(w.gate_up);
        uint8_t *copy = tw_mem_map(n_one + n_two);
        memcpy(copy, tw_device_matrix_packed(w.matrix), n_one);
        memcpy(copy + n_one, tw_device_matrix_packed(w.gate_up), n_two);
        struct tw_matrix_source source = {
            .dtype = dtypes[i], .n_rows = ROWS_OUT, .n_columns = w.width};
        struct tw_device_matrix *view = NULL;
        assert_int_equal(tw_device_matrix_view(w.device, &source, NULL, copy, n_one, &view, NULL),
                         TW_OK);
        tw_device_matrix_free(w.matrix);
        w.matrix = view;
        tw_device_matrix_move(w.gate_up, copy + n_one);
        run_products(&w, 0, MAX_ROWS, viewed);
        assert_memory_equal(created, viewed, sizeof created);
        view = NULL;
        assert_int_equal(
            tw_device_matrix_view(w.device, &source, NULL, copy, n_one - 64, &view, NULL),
            TW_ERR_FORMAT);
        assert_int_equal(
            tw_device_matrix_view(w.device, &source, &source, copy, n_one, &view, NULL),
            TW_ERR_FORMAT);
        assert_int_equal(
            tw_device_matrix_view(w.device, &source, NULL, copy + 32, n_one, &view, NULL),
            TW_ERR_FORMAT);
        assert_null(view);
        close_world(&w);
        tw_mem_unmap(copy, n_one + n_two);
    }
}

/* Blocks of any bits: packing calculates with none of them. */
static uint64_t hash_packed(struct tw_device *device, enum tw_dtype dtype)
{
    const size_t n_bytes = ROWS_OUT * tw_dtype_row_bytes(dtype, width_of(dtype));
    uint8_t *blocks = tw_mem_alloc(n_bytes, 2);
    for (size_t i = 0; i < 2 * n_bytes; i++) {
        uint64_t x = (i + 1) * 0x9e3779b97f4a7c15u;
        blocks[i] = (uint8_t)((x ^ x >> 29) * 0xbf58476d1ce4e5b9u >> 56);
    }
    struct tw_matrix_source source = {
        .dtype = dtype, .n_rows = ROWS_OUT, .n_columns = width_of(dtype), .data = blocks};
    struct tw_matrix_source second = source;
    second.data = blocks + n_bytes;
    struct tw_hash *hash = tw_hash_create();
    for (int i = 0; i < 2; i++) {
        struct tw_device_matrix *matrix = NULL;
        assert_int_equal(
            tw_device_matrix_create(device, &source, i == 0 ? NULL : &second, &matrix, NULL),
            TW_OK);
        tw_hash_add(hash, tw_device_matrix_packed(matrix), tw_device_matrix_bytes(matrix));
        tw_device_matrix_free(matrix);
    }
    const uint64_t value = tw_hash_value(hash);
    tw_hash_free(hash);
    tw_mem_free(blocks);
    return value;
}

/* Files keep packed weights: bytes that change without the version would be read as others. The
 * hashes are those of version 1, of every type, alone and in pairs. */
static void test_the_packed_form_is_the_one_of_its_version_at_every_level(void **state)
{
    (void)state;
    static const uint64_t hashes[TW_DTYPE_COUNT] = {
        UINT64_C(0x8fcfedce7566ca5c), UINT64_C(0x19220c991ec73f70), UINT64_C(0x19220c991ec73f70),
        UINT64_C(0xb6254a8d0f551da3), UINT64_C(0xe3270bf3f11b681f), UINT64_C(0x0748b7deaec14300),
        UINT64_C(0x11bc1eae80c935f5), UINT64_C(0xaf78a1a4f4c2ec73), UINT64_C(0x52a8f84111af7734),
        UINT64_C(0xe99816104ef0fbba), UINT64_C(0x58a0cdf0c5697589), UINT64_C(0x7b4e7d482217e834),
        UINT64_C(0x794a78a0308a632e), UINT64_C(0xe3270bf3f11b681f),
    };
    for (int level = 0; level <= (int)tw_cpu_detect(); level++) {
        struct tw_device *device = NULL;
        assert_int_equal(tw_device_cpu_create(2, (enum tw_cpu_level)level, &device, NULL), TW_OK);
        assert_int_equal(tw_device_form(device), 1);
        for (int dtype = 0; dtype < TW_DTYPE_COUNT; dtype++) {
            assert_int_equal(hash_packed(device, (enum tw_dtype)dtype), hashes[dtype]);
        }
        tw_device_free(device);
    }
}

static double dot(const float *a, const double *b, uint32_t n)
{
    double sum = 0;
    for (uint32_t k = 0; k < n; k++) {
        sum += (double)a[k] * b[k];
    }
    return sum;
}

/* Row r of the weights of stream `seed`, as their blocks have it. */
static void read_weights(enum tw_dtype dtype, uint64_t seed, uint32_t r, float *ret_row)
{
    uint8_t *blocks = make_weights(dtype, seed);
    size_t row_bytes = tw_dtype_row_bytes(dtype, width_of(dtype));
    tw_dtype_traits(dtype)->dequantise(blocks + r * row_bytes, ret_row, width_of(dtype));
    tw_mem_free(blocks);
}

/* The tolerances: a sum of f32 products, and activations rounded to 8 bits, whose error is about
 * 0.3% of each of the numbers added up. */
static void check_products(enum tw_dtype dtype, const float *y)
{
    enum { ROW = 5 };
    uint32_t width = width_of(dtype);
    bool is_plain = tw_dtype_traits(dtype)->block_elements == 1;
    double tolerance = is_plain ? 1e-4 : 0.02 * sqrt(width);
    double squares = 0, normed[WIDTH_MOST];
    for (uint32_t k = 0; k < width; k++) {
        normed[k] = (double)value(3, (uint64_t)ROW * width + k);
        squares += normed[k] * normed[k];
    }
    for (uint32_t k = 0; k < width; k++) {
        normed[k] *= (double)value(2, k) / sqrt(squares / width + 1e-6);
    }
    for (uint32_t r = 0; r < ROWS_OUT; r += 23) {
        float weights[WIDTH_MOST], others[WIDTH_MOST];
        read_weights(dtype, 1, r, weights);
        read_weights(dtype, 6, r, others);
        double sum = dot(weights, normed, width), up = dot(others, normed, width);
        double before = (double)value(5, (uint64_t)ROW * OUT + ADDED + r);
        double gated = sum / (1 + exp(-sum)) * up;
        assert_true(fabs((double)y[STORED + r] - sum) < tolerance);
        assert_true(fabs((double)y[BIASED + r] - sum - (double)value(7, r)) < tolerance);
        assert_true(fabs((double)y[ADDED + r] - sum - before) < tolerance);
        assert_true(fabs((double)y[GATED + r] - gated) < tolerance * (2 + fabs(sum) + fabs(up)));
    }
}

static void test_products_of_every_epilogue_are_right_not_only_the_same(void **state)
{
    (void)state;
    static float y[OUT];
    for (size_t i = 0; i < N_DTYPES; i++) {
        struct world w;
        open_world(&w, &(struct world_options){1, TW_CPU_REF, dtypes[i], TW_DTYPE_F16, 0});
        run_products(&w, 5, 1, y);
        check_products(dtypes[i], y);
        close_world(&w);
    }
}

/* Pages lie anywhere, and those of several sequences among each other. */
static void fill_table(const struct world *w, uint32_t *table, uint32_t sequence,
                       uint32_t n_sequences)
{
    for (uint32_t i = 0; i < w->n_pages / n_sequences; i++) {
        table[i] = (((i * n_sequences) + sequence) * 7 + 3) % w->n_pages;
    }
}

/* Rows [0, n) of the batch: what positions [first, first + n) of a sequence bring. */
static void write_positions(struct world *w, uint32_t sequence, uint32_t first, uint32_t n,
                            uint32_t at, struct tw_device_row *rows)
{
    static float qkv[MAX_ROWS * QKV], cos_sin[MAX_ROWS * HEAD_DIM];
    for (uint32_t i = 0; i < n; i++) {
        uint32_t position = first + i;
        rows[at + i] = (struct tw_device_row){.position = position, .table = sequence};
        for (uint32_t k = 0; k < QKV; k++) {
            qkv[i * QKV + k] = cheap_value(40 + sequence, (uint64_t)position * QKV + k);
        }
        for (uint32_t k = 0; k < HEAD_DIM / 2; k++) {
            cos_sin[i * HEAD_DIM + k] = (float)cos(position / (k + 1.0));
            cos_sin[i * HEAD_DIM + HEAD_DIM / 2 + k] = (float)sin(position / (k + 1.0));
        }
    }
    tw_device_buffer_write(w->qkv, at * QKV * sizeof *qkv, qkv, n * QKV * sizeof *qkv);
    tw_device_buffer_write(w->cos_sin, at * HEAD_DIM * sizeof *cos_sin, cos_sin,
                           n * HEAD_DIM * sizeof *cos_sin);
}

static void run_batch(struct world *w, const struct tw_device_row *rows, uint32_t n,
                      const uint32_t *const *tables, bool attend)
{
    struct tw_rope_op rope = {.n_dims = HEAD_DIM, .interleaved = false, .cos_sin = w->cos_sin};
    struct tw_device_batch batch = {.n_rows = n, .rows = rows, .tables = tables};
    tw_stream_begin(w->stream, &batch);
    tw_stream_rope_append(w->stream, w->qkv, HEADS, NULL, NULL, 0, &rope, w->kv, &w->kv_shape, 0);
    tw_stream_barrier(w->stream);
    if (attend) {
        tw_stream_attention(w->stream, w->qkv, HEADS, w->kv, &w->kv_shape, 0, w->out);
    }
    tw_stream_run(w->stream);
}

/* One sequence, chunk by chunk, the last of n_last rows; the output of its last position,
 * n_tokens. */
static void run_attention(struct world *w, uint32_t n_tokens, uint32_t chunk, uint32_t n_last,
                          float *ret_out)
{
    struct tw_device_row rows[MAX_ROWS];
    uint32_t *table = tw_mem_alloc(w->n_pages, sizeof *table);
    const uint32_t *tables[1] = {table};
    fill_table(w, table, 0, 1);
    for (uint32_t done = 0, n; done <= n_tokens; done += n) {
        uint32_t left = n_tokens + 1 - done;
        n = left <= n_last ? left : left - n_last < chunk ? left - n_last : chunk;
        write_positions(w, 0, done, n, 0, rows);
        run_batch(w, rows, n, tables, done + n > n_tokens);
        memcpy(ret_out, (const float *)tw_device_buffer_read(w->out) + (n - 1) * HEADS * HEAD_DIM,
               HEADS * HEAD_DIM * sizeof *ret_out);
    }
    tw_mem_free(table);
}

static const enum tw_dtype kv_dtypes[] = {TW_DTYPE_F16, TW_DTYPE_Q8_0};

static void check_long_attention(enum tw_dtype kv_dtype)
{
    static const uint32_t chunks[] = {1, 3, 17, MAX_ROWS};
    static float want[HEADS * HEAD_DIM], got[HEADS * HEAD_DIM];
    enum { TOKENS = 2 * SEGMENT_TOKENS + 36 }; /* the third segment ends in the middle of a page */
    struct world w;
    open_world(&w, &(struct world_options){1, TW_CPU_REF, TW_DTYPE_F32, kv_dtype, 0});
    run_attention(&w, TOKENS, MAX_ROWS, MAX_ROWS, want);
    close_world(&w);
    for (int level = 0; level <= (int)tw_cpu_detect(); level++) {
        for (int n_threads = 1; n_threads <= 3; n_threads++) {
            for (int c = level == 0 ? 2 : 0; c < 4; c++) { /* the plain level takes its time */
                open_world(&w, &(struct world_options){n_threads, (enum tw_cpu_level)level,
                                                       TW_DTYPE_F32, kv_dtype, 0});
                run_attention(&w, TOKENS, chunks[c], chunks[c], got);
                assert_memory_equal(want, got, sizeof want);
                close_world(&w);
            }
        }
    }
}

static void test_long_attention_is_the_same_for_any_chunk_thread_count_and_level(void **state)
{
    (void)state;
    check_long_attention(TW_DTYPE_F16);
    check_long_attention(TW_DTYPE_Q8_0);
}

/* More segments than may wait to be merged: two heads of keys, so twice the segments. */
static void test_a_context_of_any_length_is_the_same_with_one_thread_and_two(void **state)
{
    (void)state;
    static const uint32_t n_segments[] = {TW_LIMIT_ATTENTION_SEGMENTS / KV_HEADS,
                                          TW_LIMIT_ATTENTION_SEGMENTS / KV_HEADS + 8};
    static float want[HEADS * HEAD_DIM], got[HEADS * HEAD_DIM];
    for (size_t i = 0; i < 2; i++) {
        struct world_options options = {1, tw_cpu_detect(), TW_DTYPE_F32, TW_DTYPE_Q8_0,
                                        n_segments[i] * SEGMENT_TOKENS / TW_KV_PAGE_TOKENS};
        struct world w;
        open_world(&w, &options);
        run_attention(&w, n_segments[i] * SEGMENT_TOKENS - 1, MAX_ROWS, MAX_ROWS, want);
        close_world(&w);
        options.n_threads = 2;
        open_world(&w, &options);
        /* The last position comes alone: few rows are spread over threads by segments. */
        run_attention(&w, n_segments[i] * SEGMENT_TOKENS - 1, MAX_ROWS, 1, got);
        close_world(&w);
        assert_memory_equal(want, got, sizeof want);
    }
}

enum { NEIGHBOURS = 3, STEPS = 140 };

/* Sequences [first, end), one position of each in every batch; they begin at different steps. The
 * outputs of their last positions. */
static void run_sequences(enum tw_dtype kv_dtype, uint32_t first, uint32_t end, float *ret_out)
{
    static const uint32_t begin_at[NEIGHBOURS] = {0, 5, 65};
    static uint32_t table[NEIGHBOURS][PAGES];
    const uint32_t *tables[NEIGHBOURS];
    struct tw_device_row rows[NEIGHBOURS];
    struct world w;
    open_world(&w, &(struct world_options){2, tw_cpu_detect(), TW_DTYPE_F32, kv_dtype,
                                           PAGES - PAGES % NEIGHBOURS});
    for (uint32_t s = 0; s < NEIGHBOURS; s++) {
        fill_table(&w, table[s], s, NEIGHBOURS);
        /* Alone, there is no other table to be mistaken for its own. */
        tables[s] = end - first == 1 ? table[first] : table[s];
    }
    for (uint32_t step = 0; step < STEPS; step++) {
        uint32_t n = 0;
        for (uint32_t s = first; s < end; s++) {
            if (step >= begin_at[s]) {
                write_positions(&w, s, step - begin_at[s], 1, n++, rows);
            }
        }
        run_batch(&w, rows, n, tables, step == STEPS - 1);
    }
    memcpy(ret_out, tw_device_buffer_read(w.out),
           (end - first) * HEADS * HEAD_DIM * sizeof *ret_out);
    close_world(&w);
}

static void test_a_sequence_does_not_see_its_neighbours(void **state)
{
    (void)state;
    static float alone[NEIGHBOURS][HEADS * HEAD_DIM], together[NEIGHBOURS][HEADS * HEAD_DIM];
    for (size_t kv = 0; kv < 2; kv++) {
        for (uint32_t s = 0; s < NEIGHBOURS; s++) {
            run_sequences(kv_dtypes[kv], s, s + 1, alone[s]);
        }
        run_sequences(kv_dtypes[kv], 0, NEIGHBOURS, together[0]);
        assert_memory_equal(alone, together, sizeof alone);
    }
}

/* Pages go from one sequence to another as they are. */
static void check_stale_bytes(enum tw_dtype kv_dtype)
{
    static float want[HEADS * HEAD_DIM], got[HEADS * HEAD_DIM];
    struct world w;
    open_world(&w, &(struct world_options){1, tw_cpu_detect(), TW_DTYPE_F32, kv_dtype, 0});
    run_attention(&w, 70, 1, 1, want);
    size_t kv_bytes = w.n_pages * tw_device_kv_page_bytes(&w.kv_shape);
    run_attention(&w, 1000, 8, 8, got); /* leaves old keys and values everywhere */
    assert_memory_not_equal(want, got, sizeof want);
    run_attention(&w, 70, 1, 1, got);
    assert_memory_equal(want, got, sizeof want);
    uint8_t *garbage = tw_mem_alloc(kv_bytes, 1);
    memset(garbage, 0x7b, kv_bytes); /* large and finite, in the padding of heads too */
    tw_device_buffer_write(w.kv, 0, garbage, kv_bytes);
    run_attention(&w, 70, 1, 1, got);
    assert_memory_equal(want, got, sizeof want);
    close_world(&w);
    /* What a sequence may have left: not finite, but only where it wrote. */
    open_world(&w, &(struct world_options){1, tw_cpu_detect(), TW_DTYPE_F32, kv_dtype, 0});
    run_attention(&w, PAGES * TW_KV_PAGE_TOKENS - 1, MAX_ROWS, MAX_ROWS, got);
    for (size_t i = 0; i < kv_bytes; i++) {
        garbage[i] = ((const uint8_t *)tw_device_buffer_read(w.kv))[i] != 0 ? 0xff : 0;
    }
    tw_device_buffer_write(w.kv, 0, garbage, kv_bytes);
    tw_mem_free(garbage);
    run_attention(&w, 70, 1, 1, got);
    assert_memory_equal(want, got, sizeof want);
    close_world(&w);
}

static void test_stale_bytes_of_a_page_do_not_matter(void **state)
{
    (void)state;
    check_stale_bytes(TW_DTYPE_F16);
    check_stale_bytes(TW_DTYPE_Q8_0);
}

static void test_a_norm_is_that_of_the_formula_in_every_row(void **state)
{
    (void)state;
    static float before[MAX_ROWS * WIDTH_MOST], weights[WIDTH_MOST];
    static struct tw_device_row rows[MAX_ROWS];
    for (int n_threads = 1; n_threads <= 3; n_threads++) {
        struct world w;
        open_world(&w, &(struct world_options){.n_threads = n_threads,
                                               .level = tw_cpu_detect(),
                                               .dtype = TW_DTYPE_F32,
                                               .kv_dtype = TW_DTYPE_F16});
        const struct tw_device_batch batch = {.n_rows = MAX_ROWS, .rows = rows};
        fill(w.x, 30, MAX_ROWS * w.width);
        fill(w.norm, 31, w.width);
        memcpy(before, tw_device_buffer_read(w.x), MAX_ROWS * w.width * sizeof(float));
        memcpy(weights, tw_device_buffer_read(w.norm), w.width * sizeof(float));
        tw_stream_begin(w.stream, &batch);
        tw_stream_norm(w.stream, w.x, w.width, w.norm, 1e-5f);
        tw_stream_run(w.stream);
        const float *after = tw_device_buffer_read(w.x);
        for (size_t n = 0; n < MAX_ROWS; n++) {
            const float *row = before + n * w.width;
            double sum = 0;
            for (size_t k = 0; k < w.width; k++) {
                sum += (double)row[k] * (double)row[k];
            }
            double scale = 1 / sqrt(sum / w.width + 1e-5);
            for (size_t k = 0; k < w.width; k++) {
                double expected = (double)row[k] * scale * (double)weights[k];
                double off = fabs((double)after[n * w.width + k] - expected);
                assert_true(off <= 1e-6 * (1 + fabs(expected)));
            }
        }
        close_world(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_row_does_not_see_its_batch_the_threads_or_the_level),
        cmocka_unit_test(test_packed_weights_multiply_the_same_from_a_copy_that_lies_elsewhere),
        cmocka_unit_test(test_the_packed_form_is_the_one_of_its_version_at_every_level),
        cmocka_unit_test(test_products_of_every_epilogue_are_right_not_only_the_same),
        cmocka_unit_test(test_long_attention_is_the_same_for_any_chunk_thread_count_and_level),
        cmocka_unit_test(test_a_context_of_any_length_is_the_same_with_one_thread_and_two),
        cmocka_unit_test(test_a_sequence_does_not_see_its_neighbours),
        cmocka_unit_test(test_stale_bytes_of_a_page_do_not_matter),
        cmocka_unit_test(test_a_norm_is_that_of_the_formula_in_every_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
