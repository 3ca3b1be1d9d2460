/* Mixtures of experts as operations of a stream: the sum is right, and a row's is the same bits
 * alone and in a batch, with any number of threads, at any level. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "device/device.h"

/* One expert is so popular that its rows fill more than two chunks; hidden rows and outputs end in
 * the middle of a group of weights. */
enum { EXPERTS = 7, USED = 3, POPULAR = 4, MAX_ROWS = 2 * TW_EXPERT_CHUNK_ROWS + 17 };
enum { WIDTH = 256, HIDDEN_MOST = 256 };

struct format {
    enum tw_dtype gate, up, down;
    uint32_t hidden;
};

/* Each way of reading weights; gate and up as one and apart, and in two forms at once. */
static const struct format formats[] = {
    {TW_DTYPE_F32, TW_DTYPE_F32, TW_DTYPE_F32, 72},
    {TW_DTYPE_F16, TW_DTYPE_BF16, TW_DTYPE_F16, 40},
    {TW_DTYPE_Q8_0, TW_DTYPE_Q8_0, TW_DTYPE_Q8_0, 96},
    {TW_DTYPE_Q4_K, TW_DTYPE_Q4_K, TW_DTYPE_Q6_K, 256},
    {TW_DTYPE_Q8_0, TW_DTYPE_F32, TW_DTYPE_Q4_0, 96},
};
enum { N_FORMATS = sizeof formats / sizeof formats[0] };

struct world {
    const struct format *format;
    struct tw_device *device;
    struct tw_stream *stream;
    struct tw_device_matrix *gate_up, *up, *down;
    struct tw_device_buffer *x, *y, *logits;
};

static float value(uint64_t stream, uint64_t i)
{
    return (float)tw_rng_normal(stream, i);
}

static float logit(uint32_t row, uint32_t expert)
{
    return 2 * value(9, (uint64_t)row * EXPERTS + expert) +
           (expert == POPULAR && row % 16 != 5 ? 9.0f : 0.0f);
}

/* Blocks of n_rows * EXPERTS rows of a random stream; freed by the caller. */
static uint8_t *make_blocks(enum tw_dtype dtype, uint64_t stream, size_t n_rows, size_t n_columns)
{
    size_t row_bytes = tw_dtype_row_bytes(dtype, n_columns);
    uint8_t *blocks = tw_mem_alloc(EXPERTS * n_rows, row_bytes);
    float row[WIDTH];
    for (size_t r = 0; r < EXPERTS * n_rows; r++) {
        for (size_t k = 0; k < n_columns; k++) {
            row[k] = value(stream, r * n_columns + k) / 8;
        }
        tw_dtype_traits(dtype)->quantise(row, blocks + r * row_bytes, n_columns);
    }
    return blocks;
}

static struct tw_matrix_source source_of(enum tw_dtype dtype, const uint8_t *blocks, size_t n_rows,
                                         size_t n_columns)
{
    return (struct tw_matrix_source){.dtype = dtype,
                                     .n_rows = n_rows,
                                     .n_columns = n_columns,
                                     .data = blocks,
                                     .n_experts = EXPERTS};
}

/* Those of down lie here and there, as in a folder. */
static void make_down(struct world *w)
{
    const struct format *f = w->format;
    uint8_t *blocks = make_blocks(f->down, 3, WIDTH - 8, f->hidden);
    size_t n_bytes = (WIDTH - 8) * tw_dtype_row_bytes(f->down, f->hidden);
    const void *experts[EXPERTS];
    uint8_t *copies[EXPERTS];
    for (size_t e = EXPERTS; e-- > 0;) {
        copies[e] = tw_mem_alloc(n_bytes, 1);
        memcpy(copies[e], blocks + e * n_bytes, n_bytes);
        experts[e] = copies[e];
    }
    tw_mem_free(blocks);
    struct tw_matrix_source source = source_of(f->down, NULL, WIDTH - 8, f->hidden);
    source.experts = experts;
    assert_int_equal(tw_device_matrix_create(w->device, &source, NULL, &w->down, NULL), TW_OK);
    for (size_t e = 0; e < EXPERTS; e++) {
        tw_mem_free(copies[e]);
    }
}

static void make_matrices(struct world *w)
{
    const struct format *f = w->format;
    uint8_t *gate = make_blocks(f->gate, 1, f->hidden, WIDTH);
    uint8_t *up = make_blocks(f->up, 2, f->hidden, WIDTH);
    bool is_one = f->gate == f->up;
    struct tw_matrix_source gates = source_of(f->gate, gate, f->hidden, WIDTH);
    struct tw_matrix_source ups = source_of(f->up, up, f->hidden, WIDTH);
    assert_int_equal(
        tw_device_matrix_create(w->device, &gates, is_one ? &ups : NULL, &w->gate_up, NULL), TW_OK);
    if (!is_one) {
        assert_int_equal(tw_device_matrix_create(w->device, &ups, NULL, &w->up, NULL), TW_OK);
    }
    make_down(w);
    tw_mem_free(gate);
    tw_mem_free(up);
}

static struct tw_device_buffer *make_buffer(struct world *w, size_t n)
{
    struct tw_device_buffer *buffer = NULL;
    assert_int_equal(tw_device_buffer_create(w->device, n * sizeof(float), &buffer, NULL), TW_OK);
    return buffer;
}

static void open_world(struct world *w, const struct format *format, int n_threads,
                       enum tw_cpu_level level)
{
    *w = (struct world){.format = format};
    assert_int_equal(tw_device_cpu_create(n_threads, level, &w->device, NULL), TW_OK);
    struct tw_stream_limits limits = {.max_rows = MAX_ROWS,
                                      .max_width = WIDTH,
                                      .max_operations = 16,
                                      .max_experts = EXPERTS,
                                      .max_experts_used = USED,
                                      .max_expert_width = format->hidden};
    assert_int_equal(tw_stream_create(w->device, &limits, &w->stream, NULL), TW_OK);
    make_matrices(w);
    w->x = make_buffer(w, MAX_ROWS * WIDTH);
    w->y = make_buffer(w, MAX_ROWS * WIDTH);
    w->logits = make_buffer(w, MAX_ROWS * EXPERTS);
}

static void close_world(struct world *w)
{
    tw_device_buffer_free(w->x);
    tw_device_buffer_free(w->y);
    tw_device_buffer_free(w->logits);
    tw_device_matrix_free(w->gate_up);
    tw_device_matrix_free(w->up);
    tw_device_matrix_free(w->down);
    tw_stream_free(w->stream);
    tw_device_free(w->device);
}

enum { OUT = WIDTH - 8 };

static void write_values(struct tw_device_buffer *buffer, uint64_t stream, uint32_t first,
                         uint32_t n, uint32_t width)
{
    for (uint32_t i = 0; i < n * width; i++) {
        float v = value(stream, (uint64_t)first * width + i);
        tw_device_buffer_write(buffer, i * sizeof v, &v, sizeof v);
    }
}

/* Rows [first, first + n) of an endless input: [n][OUT]. */
static void run_rows(struct world *w, uint32_t first, uint32_t n, float *ret_y)
{
    const struct tw_expert_choice choice = {
        .n_experts = EXPERTS, .n_used = USED, .is_normed = true};
    write_values(w->x, 4, first, n, WIDTH);
    write_values(w->y, 5, first, n, OUT);
    for (uint32_t i = 0; i < n * EXPERTS; i++) {
        float l = logit(first + i / EXPERTS, i % EXPERTS);
        tw_device_buffer_write(w->logits, i * sizeof l, &l, sizeof l);
    }
    struct tw_device_batch batch = {.n_rows = n};
    tw_stream_begin(w->stream, &batch);
    tw_stream_prepare(w->stream, w->x, WIDTH, NULL, 0, false);
    tw_stream_route(w->stream, w->logits, &choice);
    tw_stream_barrier(w->stream);
    tw_stream_experts(w->stream, w->gate_up, w->up, w->down, w->y);
    tw_stream_run(w->stream);
    memcpy(ret_y, tw_device_buffer_read(w->y), (size_t)n * OUT * sizeof *ret_y);
}

static void test_a_row_does_not_see_its_batch_the_threads_or_the_level(void **state)
{
    (void)state;
    static const uint32_t batches[] = {1, 2, 7, 13, 50, MAX_ROWS};
    static float alone[(MAX_ROWS + 3) * OUT], together[MAX_ROWS * OUT];
    for (size_t f = 0; f < N_FORMATS; f++) {
        struct world w;
        open_world(&w, &formats[f], 1, TW_CPU_REF);
        for (uint32_t r = 0; r < MAX_ROWS + 3; r++) {
            run_rows(&w, r, 1, alone + (size_t)r * OUT);
        }
        close_world(&w);
        for (int level = 0; level <= (int)tw_cpu_detect(); level++) {
            for (int n_threads = 1; n_threads <= 5; n_threads += 2) {
                open_world(&w, &formats[f], n_threads, (enum tw_cpu_level)level);
                for (size_t b = 0; b < sizeof batches / sizeof batches[0]; b++) {
                    if (level == 0 && b % 5 != 0) {
                        continue; /* the plain level takes its time */
                    }
                    uint32_t first = b % 2 == 0 ? 0 : 3;
                    run_rows(&w, first, batches[b], together);
                    assert_memory_equal(alone + (size_t)first * OUT, together,
                                        batches[b] * OUT * sizeof *alone);
                }
                close_world(&w);
            }
        }
    }
}

/* ---- the sum ---- */

static float *read_weights(enum tw_dtype dtype, uint64_t stream, size_t n_rows, size_t n_columns)
{
    uint8_t *blocks = make_blocks(dtype, stream, n_rows, n_columns);
    float *values = tw_mem_alloc(EXPERTS * n_rows * n_columns, sizeof *values);
    tw_dtype_traits(dtype)->dequantise(blocks, values, EXPERTS * n_rows * n_columns);
    tw_mem_free(blocks);
    return values;
}

struct textbook {
    const struct format *format;
    float *gate, *up, *down;
};

static double dot(const float *a, const double *b, size_t n)
{
    double sum = 0;
    for (size_t k = 0; k < n; k++) {
        sum += (double)a[k] * b[k];
    }
    return sum;
}

static void add_expert(const struct textbook *book, uint32_t expert, const double *x, double weight,
                       double *y)
{
    double inner[HIDDEN_MOST];
    size_t n = book->format->hidden;
    for (size_t i = 0; i < n; i++) {
        double gate = dot(book->gate + (expert * n + i) * WIDTH, x, WIDTH);
        inner[i] = gate / (1 + exp(-gate)) * dot(book->up + (expert * n + i) * WIDTH, x, WIDTH);
    }
    for (size_t r = 0; r < OUT; r++) {
        y[r] += weight * dot(book->down + (expert * OUT + r) * n, inner, n);
    }
}

/* The experts of the largest logits, one after the other. */
static void add_experts(const struct textbook *book, uint32_t row, double *y)
{
    double x[WIDTH], shares[USED], sum = 0;
    uint32_t chosen[USED];
    bool taken[EXPERTS] = {false};
    for (uint32_t k = 0; k < WIDTH; k++) {
        x[k] = (double)value(4, (uint64_t)row * WIDTH + k);
    }
    for (uint32_t rank = 0; rank < USED; rank++) {
        uint32_t best = EXPERTS;
        for (uint32_t e = 0; e < EXPERTS; e++) {
            if (!taken[e] && (best == EXPERTS || logit(row, e) > logit(row, best))) {
                best = e;
            }
        }
        taken[best] = true;
        chosen[rank] = best;
        shares[rank] = exp((double)logit(row, best));
        sum += shares[rank];
    }
    for (uint32_t rank = 0; rank < USED; rank++) {
        add_expert(book, chosen[rank], x, shares[rank] / sum, y);
    }
}

static void check_sum(const struct textbook *book, const float *y, uint32_t row)
{
    double want[OUT], squares = 0, errors = 0;
    for (uint32_t r = 0; r < OUT; r++) {
        want[r] = (double)value(5, (uint64_t)row * OUT + r);
    }
    add_experts(book, row, want);
    for (uint32_t r = 0; r < OUT; r++) {
        double off = (double)y[r] - want[r];
        squares += want[r] * want[r];
        errors += off * off;
    }
    bool is_plain = tw_dtype_traits(book->format->gate)->block_elements == 1;
    assert_true(sqrt(errors / squares) < (is_plain ? 2e-6 : 3e-2));
}

static void test_a_row_gets_the_weighted_sum_of_its_experts(void **state)
{
    (void)state;
    static float y[MAX_ROWS * OUT];
    for (size_t f = 0; f < N_FORMATS; f++) {
        struct world w;
        struct textbook book = {.format = &formats[f],
                                .gate = read_weights(formats[f].gate, 1, formats[f].hidden, WIDTH),
                                .up = read_weights(formats[f].up, 2, formats[f].hidden, WIDTH),
                                .down = read_weights(formats[f].down, 3, OUT, formats[f].hidden)};
        open_world(&w, &formats[f], 2, tw_cpu_detect());
        run_rows(&w, 0, MAX_ROWS, y);
        for (uint32_t row = 0; row < MAX_ROWS; row += 5) {
            check_sum(&book, y + (size_t)row * OUT, row);
        }
        close_world(&w);
        tw_mem_free(book.gate);
        tw_mem_free(book.up);
        tw_mem_free(book.down);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_row_does_not_see_its_batch_the_threads_or_the_level),
        cmocka_unit_test(test_a_row_gets_the_weighted_sum_of_its_experts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
