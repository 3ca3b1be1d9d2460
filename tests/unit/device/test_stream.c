/* What would break if a row's result depended on its neighbours, its threads or its chunk:
 * products, norms and attention of one row are compared bit by bit across batches, threads and
 * levels. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "device/device.h"

enum { WIDTH = 320, ROWS_OUT = 70, MAX_ROWS = 40, HEADS = 6, KV_HEADS = 2, HEAD_DIM = 24 };

struct world {
    struct tw_device *device;
    struct tw_stream *stream;
    struct tw_device_matrix *matrix;
    struct tw_device_buffer *x, *y, *norm, *kv, *qkv, *cos_sin, *out;
};

static float value(uint64_t stream, uint64_t i)
{
    return (float)tw_rng_normal(stream, i);
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

static const struct tw_kv_shape kv_shape = {
    .n_layers = 1, .n_kv_heads = KV_HEADS, .head_dim = HEAD_DIM, .dtype = TW_DTYPE_F16};
enum { QKV = (HEADS + 2 * KV_HEADS) * HEAD_DIM, PAGES = 40 };

static void open_world(struct world *w, int n_threads, enum tw_cpu_level level)
{
    memset(w, 0, sizeof *w);
    assert_int_equal(tw_device_cpu_create(n_threads, level, &w->device, NULL), TW_OK);
    struct tw_stream_limits limits = {
        .max_rows = MAX_ROWS, .max_width = WIDTH, .max_operations = 32};
    assert_int_equal(tw_stream_create(w->device, &limits, &w->stream, NULL), TW_OK);
    float *weights = tw_mem_alloc(ROWS_OUT * WIDTH, sizeof *weights);
    for (size_t i = 0; i < ROWS_OUT * WIDTH; i++) {
        weights[i] = value(1, i);
    }
    struct tw_matrix_source source = {
        .dtype = TW_DTYPE_F32, .n_rows = ROWS_OUT, .n_columns = WIDTH, .data = weights};
    assert_int_equal(tw_device_matrix_create(w->device, &source, NULL, &w->matrix, NULL), TW_OK);
    tw_mem_free(weights);
    assert_int_equal(tw_device_buffer_create(w->device, MAX_ROWS * WIDTH * 4, &w->x, NULL), TW_OK);
    assert_int_equal(tw_device_buffer_create(w->device, MAX_ROWS * ROWS_OUT * 4, &w->y, NULL),
                     TW_OK);
    assert_int_equal(tw_device_buffer_create(w->device, WIDTH * 4, &w->norm, NULL), TW_OK);
    size_t kv_bytes = PAGES * tw_device_kv_page_bytes(&kv_shape);
    assert_int_equal(tw_device_buffer_create(w->device, kv_bytes, &w->kv, NULL), TW_OK);
    assert_int_equal(tw_device_buffer_create(w->device, MAX_ROWS * QKV * 4, &w->qkv, NULL), TW_OK);
    assert_int_equal(tw_device_buffer_create(w->device, MAX_ROWS * HEAD_DIM * 4, &w->cos_sin, NULL),
                     TW_OK);
    assert_int_equal(
        tw_device_buffer_create(w->device, MAX_ROWS * HEADS * HEAD_DIM * 4, &w->out, NULL), TW_OK);
    fill(w->norm, 2, WIDTH);
}

static void close_world(struct world *w)
{
    tw_device_buffer_free(w->x);
    tw_device_buffer_free(w->y);
    tw_device_buffer_free(w->norm);
    tw_device_buffer_free(w->kv);
    tw_device_buffer_free(w->qkv);
    tw_device_buffer_free(w->cos_sin);
    tw_device_buffer_free(w->out);
    tw_device_matrix_free(w->matrix);
    tw_stream_free(w->stream);
    tw_device_free(w->device);
}

/* y of rows [first, first + n) of an endless input. */
static void run_product(struct world *w, uint32_t first, uint32_t n, float *ret_y)
{
    float *x = tw_mem_alloc(n * WIDTH, sizeof *x);
    for (size_t i = 0; i < n * WIDTH; i++) {
        x[i] = value(3, first * WIDTH + i);
    }
    tw_device_buffer_write(w->x, 0, x, n * WIDTH * sizeof *x);
    tw_mem_free(x);
    struct tw_device_batch batch = {.n_rows = n};
    tw_stream_begin(w->stream, &batch);
    tw_stream_prepare(w->stream, w->x, WIDTH, w->norm, 1e-6f, false);
    tw_stream_barrier(w->stream);
    tw_stream_matmul(w->stream, w->matrix, TW_EPILOGUE_STORE, NULL, w->y, 0, ROWS_OUT);
    tw_stream_run(w->stream);
    memcpy(ret_y, tw_device_buffer_read(w->y), n * ROWS_OUT * sizeof *ret_y);
}

static void test_a_row_does_not_see_its_batch(void **state)
{
    (void)state;
    static float alone[MAX_ROWS][ROWS_OUT], together[MAX_ROWS * ROWS_OUT];
    struct world w;
    open_world(&w, 2, tw_cpu_detect());
    for (uint32_t r = 0; r < MAX_ROWS; r++) {
        run_product(&w, r, 1, alone[r]);
    }
    for (uint32_t n = 1; n <= MAX_ROWS; n++) {
        run_product(&w, 0, n, together);
        assert_memory_equal(alone, together, n * sizeof alone[0]);
    }
    close_world(&w);
}

static void test_a_product_is_right_not_only_the_same(void **state)
{
    (void)state;
    static float y[ROWS_OUT];
    struct world w;
    open_world(&w, 1, TW_CPU_REF);
    run_product(&w, 5, 1, y);
    double squares = 0;
    for (int k = 0; k < WIDTH; k++) {
        double v = (double)value(3, (uint64_t)(5 * WIDTH + k));
        squares += v * v;
    }
    for (int r = 0; r < ROWS_OUT; r++) {
        double sum = 0;
        for (int k = 0; k < WIDTH; k++) {
            sum += (double)value(1, (uint64_t)(r * WIDTH + k)) *
                   (double)value(3, (uint64_t)(5 * WIDTH + k)) / sqrt(squares / WIDTH + 1e-6) *
                   (double)value(2, (uint64_t)k);
        }
        assert_true(fabs(sum - (double)y[r]) < 1e-4);
    }
    close_world(&w);
}

/* Attention over n_tokens earlier positions for n_rows rows of as many sequences that share all
 * pages but the last; returns the outputs of row 0. */
static void run_attention(struct world *w, uint32_t n_tokens, uint32_t n_rows, float *ret_out)
{
    static uint32_t table[PAGES];
    static const uint32_t *tables[1] = {table};
    static struct tw_device_row rows[MAX_ROWS];
    static float qkv[MAX_ROWS * QKV], cos_sin[MAX_ROWS * HEAD_DIM];
    struct tw_rope_op rope = {.n_dims = HEAD_DIM, .interleaved = false, .cos_sin = w->cos_sin};
    for (uint32_t i = 0; i < PAGES; i++) {
        table[i] = (i * 7 + 3) % PAGES; /* pages lie anywhere */
    }
    for (uint32_t done = 0; done <= n_tokens;) {
        uint32_t left = n_tokens + 1 - done, n = left < n_rows ? left : n_rows;
        for (uint32_t i = 0; i < n; i++) {
            rows[i] = (struct tw_device_row){.position = done + i, .table = 0};
            for (uint32_t k = 0; k < QKV; k++) {
                qkv[i * QKV + k] = value(4, (uint64_t)(done + i) * QKV + k);
            }
            for (uint32_t k = 0; k < HEAD_DIM / 2; k++) {
                cos_sin[i * HEAD_DIM + k] = (float)cos((done + i) / (k + 1.0));
                cos_sin[i * HEAD_DIM + HEAD_DIM / 2 + k] = (float)sin((done + i) / (k + 1.0));
            }
        }
        tw_device_buffer_write(w->qkv, 0, qkv, n * QKV * sizeof *qkv);
        tw_device_buffer_write(w->cos_sin, 0, cos_sin, n * HEAD_DIM * sizeof *cos_sin);
        struct tw_device_batch batch = {.n_rows = n, .rows = rows, .tables = tables};
        tw_stream_begin(w->stream, &batch);
        tw_stream_rope_append(w->stream, w->qkv, HEADS, NULL, NULL, 0, &rope, w->kv, &kv_shape, 0);
        tw_stream_barrier(w->stream);
        tw_stream_attention(w->stream, w->qkv, HEADS, w->kv, &kv_shape, 0, w->out);
        tw_stream_run(w->stream);
        done += n;
        memcpy(ret_out, (const float *)tw_device_buffer_read(w->out) + (n - 1) * HEADS * HEAD_DIM,
               HEADS * HEAD_DIM * sizeof *ret_out);
    }
}

static void test_long_attention_is_the_same_for_any_chunk_and_thread_count(void **state)
{
    (void)state;
    static float want[HEADS * HEAD_DIM], got[HEADS * HEAD_DIM];
    enum { TOKENS = 1060 }; /* three segments, the last one in the middle of a page */
    struct world w;
    open_world(&w, 1, TW_CPU_REF);
    run_attention(&w, TOKENS, MAX_ROWS, want);
    close_world(&w);
    for (int level = 0; level <= (int)tw_cpu_detect(); level++) {
        for (int n_threads = 1; n_threads <= 3; n_threads += 2) {
            static const uint32_t chunks[] = {1, 3, 17, MAX_ROWS};
            for (int c = level == 0 ? 3 : 0; c < 4; c++) {
                open_world(&w, n_threads, (enum tw_cpu_level)level);
                run_attention(&w, TOKENS, chunks[c], got);
                assert_memory_equal(want, got, sizeof want);
                close_world(&w);
            }
        }
    }
}

static void test_stale_bytes_of_a_page_do_not_matter(void **state)
{
    (void)state;
    static float want[HEADS * HEAD_DIM], got[HEADS * HEAD_DIM];
    struct world w;
    open_world(&w, 1, tw_cpu_detect());
    run_attention(&w, 70, 1, want);
    size_t kv_bytes = PAGES * tw_device_kv_page_bytes(&kv_shape);
    run_attention(&w, 1000, 8, got); /* leaves old keys and values everywhere */
    run_attention(&w, 70, 1, got);
    assert_memory_equal(want, got, sizeof want);
    uint8_t *garbage = tw_mem_alloc(kv_bytes, 1);
    memset(garbage, 0x7b, kv_bytes); /* large finite halves, in the padding of heads too */
    for (size_t i = 0; i < kv_bytes; i++) {
        garbage[i] = ((const uint8_t *)tw_device_buffer_read(w.kv))[i] != 0 ? 0x7b : 0;
    }
    tw_device_buffer_write(w.kv, 0, garbage, kv_bytes);
    tw_mem_free(garbage);
    run_attention(&w, 70, 1, got);
    assert_memory_equal(want, got, sizeof want);
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_row_does_not_see_its_batch),
        cmocka_unit_test(test_a_product_is_right_not_only_the_same),
        cmocka_unit_test(test_long_attention_is_the_same_for_any_chunk_and_thread_count),
        cmocka_unit_test(test_stale_bytes_of_a_page_do_not_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
