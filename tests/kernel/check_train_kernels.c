/* check_train_kernels: every training kernel of every ISA level against the reference, bit for bit,
 * on random, tiny, huge, halfway and padded input; with --bench, the rates of the product tiles.
 *
 *     check_train_kernels            checks all levels this machine has
 *     check_train_kernels --bench    and times the tiles (one core, data in cache)
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "kernel/train_kernels.h"
#include "tensor/f16.h"

enum { MOST_LEVELS = TW_CPU_LEVEL_COUNT + 1, MOST_VALUES = 40 * 600, GUARD = 16 };

static struct tw_train_kernels levels[MOST_LEVELS];
static const char *level_names[MOST_LEVELS];
static int n_levels, n_passed, n_failed;
static uint64_t random_counter;

static void check(bool ok, int level, const char *what, size_t n)
{
    if (ok) {
        n_passed++;
    } else {
        n_failed++;
        printf("FAILED %s %s, size %zu\n", level_names[level], what, n);
    }
}

/* Mostly ordinary values; with `wild`, ones from the whole range of f32 among them. */
static float random_value(bool wild)
{
    uint32_t words[4];
    tw_rng_block(5, random_counter++, words);
    float x = (float)((double)words[0] / 2147483648.0 - 1.0);
    if (wild && words[1] % 4 == 0) {
        return ldexpf(x, (int)(words[2] % 250) - 150);
    }
    if (wild && words[1] % 4 == 1) { /* halfway between two bf16 */
        return tw_f32_from_bits((tw_f32_bits(x) & 0xffff0000u) | 0x8000u);
    }
    return x * 2.0f;
}

static void fill(float *x, size_t n, bool wild)
{
    for (size_t i = 0; i < n; i++) {
        x[i] = random_value(wild);
    }
}

static bool same(const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        bool both_nan = isnan(a[i]) && isnan(b[i]);
        if (!both_nan && tw_f32_bits(a[i]) != tw_f32_bits(b[i])) {
            return false;
        }
    }
    return true;
}

static float *floats(size_t n)
{
    float *x = tw_mem_alloc(n + GUARD, sizeof *x);
    if (x == NULL) {
        perror("check_train_kernels");
        exit(1);
    }
    for (size_t i = n; i < n + GUARD; i++) {
        x[i] = 12345.0f;
    }
    return x;
}

static bool guard_is_whole(const float *x, size_t n)
{
    for (size_t i = n; i < n + GUARD; i++) {
        if (x[i] != 12345.0f) {
            return false;
        }
    }
    return true;
}

/* ---- products ---- */

struct product {
    enum tw_gemm_format format;
    size_t n_rows, n_columns, k; /* of one tile: up to 8 and 32 */
    bool wild, from_zero;
};

/* A as rows along memory or across it, B the other way round. */
static void run_product(int level, const struct product *p, bool across, const float *a,
                        const float *b, const float *c0, float *panels, float *c)
{
    const struct tw_train_kernels *t = &levels[level];
    size_t n_words = tw_gemm_words(p->format, p->k);
    uint32_t *panel_a = (uint32_t *)(void *)panels;
    uint32_t *panel_b = panel_a + TW_GEMM_ROWS * n_words;
    if (across) {
        t->pack_columns[p->format](a, p->n_rows, p->n_rows, p->k, TW_GEMM_ROWS, panel_a);
        t->pack_rows[p->format](b, p->k, p->n_columns, p->k, TW_GEMM_COLUMNS, panel_b);
    } else {
        t->pack_rows[p->format](a, p->k, p->n_rows, p->k, TW_GEMM_ROWS, panel_a);
        t->pack_columns[p->format](b, p->n_columns, p->n_columns, p->k, TW_GEMM_COLUMNS, panel_b);
    }
    t->gemm_tile[p->format](panel_a, panel_b, n_words, p->from_zero ? NULL : c0, c,
                            TW_GEMM_COLUMNS + 3);
}

/* The reference itself, against sums in double. */
static bool is_near_double(const struct product *p, bool across, const float *a, const float *b,
                           const float *c0, const float *c)
{
    for (size_t row = 0; row < p->n_rows; row++) {
        for (size_t column = 0; column < p->n_columns; column++) {
            size_t at = row * (TW_GEMM_COLUMNS + 3) + column;
            double sum = p->from_zero ? 0 : (double)c0[at], size = fabs(sum);
            for (size_t i = 0; i < p->k; i++) {
                float x = across ? a[i * p->n_rows + row] : a[row * p->k + i];
                float y = across ? b[column * p->k + i] : b[i * p->n_columns + column];
                sum += (double)x * (double)y;
                size += fabs((double)x * (double)y);
            }
            double tolerance = p->format == TW_GEMM_F32 ? 1e-5 : 8e-3;
            if (!(fabs(sum - (double)c[at]) <= tolerance * size + 1e-30)) {
                return false;
            }
        }
    }
    return true;
}

static void check_product(const struct product *p)
{
    size_t n_c = TW_GEMM_ROWS * (TW_GEMM_COLUMNS + 3);
    size_t n_panels = (TW_GEMM_ROWS + TW_GEMM_COLUMNS) * tw_gemm_words(p->format, p->k);
    float *a = floats(p->n_rows * p->k), *b = floats(p->n_columns * p->k), *c0 = floats(n_c);
    float *want_panels = floats(n_panels), *panels = floats(n_panels);
    float *want = floats(n_c), *c = floats(n_c);
    fill(a, p->n_rows * p->k, p->wild);
    fill(b, p->n_columns * p->k, p->wild);
    fill(c0, n_c, p->wild);
    for (int across = 0; across < 2; across++) {
        memcpy(want, c0, n_c * sizeof *c);
        run_product(0, p, across != 0, a, b, c0, want_panels, want);
        if (!p->wild) {
            check(is_near_double(p, across != 0, a, b, c0, want), 0, "product", p->k);
        }
        for (int level = 1; level < n_levels; level++) {
            memcpy(c, c0, n_c * sizeof *c);
            run_product(level, p, across != 0, a, b, c0, panels, c);
            check(memcmp(panels, want_panels, n_panels * sizeof *panels) == 0, level, "packing",
                  p->k);
            check(same(c, want, n_c) && guard_is_whole(c, n_c) && guard_is_whole(panels, n_panels),
                  level, p->format == TW_GEMM_F32 ? "f32 product" : "bf16 product", p->k);
        }
    }
    float *all[] = {a, b, c0, want_panels, panels, want, c};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        tw_mem_free(all[i]);
    }
}

/* Packing rounds to bf16 whatever there is: infinities, the largest numbers, every kind of NaN. */
static void check_what_is_no_number(void)
{
    static const uint32_t bits[] = {0x7f800000, 0xff800000, 0x7f7fffff, 0xff7fffff,
                                    0x7f800001, 0xff80ffff, 0x7fffffff, 0x7fc08000};
    enum { K = sizeof bits / sizeof *bits, WORDS = TW_GEMM_ROWS * K / 2 };
    float *a = floats(TW_GEMM_ROWS * K), *want = floats(WORDS), *got = floats(WORDS);
    for (size_t i = 0; i < TW_GEMM_ROWS * K; i++) {
        a[i] = tw_f32_from_bits(bits[i % K]);
    }
    for (int across = 0; across < 2; across++) {
        for (int level = 0; level < n_levels; level++) {
            tw_pack_fn pack = across ? levels[level].pack_columns[TW_GEMM_BF16]
                                     : levels[level].pack_rows[TW_GEMM_BF16];
            float *panel = level == 0 ? want : got;
            pack(a, K, TW_GEMM_ROWS, K, TW_GEMM_ROWS, (uint32_t *)(void *)panel);
            check(level == 0 || memcmp(want, got, WORDS * sizeof *want) == 0, level,
                  "packing of what is no number", K);
        }
    }
    tw_mem_free(a);
    tw_mem_free(want);
    tw_mem_free(got);
}

static void check_products(void)
{
    static const size_t depths[] = {1, 2, 7, 8, 15, 16, 17, 33, 64, 131};
    for (size_t i = 0; i < sizeof depths / sizeof *depths; i++) {
        for (int format = 0; format < TW_GEMM_FORMAT_COUNT; format++) {
            for (int wild = 0; wild < 2; wild++) {
                struct product p = {.format = (enum tw_gemm_format)format,
                                    .n_rows = i % 2 == 0 ? 8 : 1 + i % 8,
                                    .n_columns = i % 3 == 0 ? 32 : 1 + 3 * i,
                                    .k = depths[i],
                                    .wild = wild != 0,
                                    .from_zero = i % 4 == 1};
                check_product(&p);
            }
        }
    }
}

/* ---- rows ---- */

enum { ROW_INPUTS = 4, ROW_OUTPUTS = 3 };

/* One row kernel on a copy of the same input; results in out[0..2]. */
typedef void (*row_fn)(const struct tw_train_kernels *t, size_t n, float *in[ROW_INPUTS],
                       float *out[ROW_OUTPUTS]);

static void run_norm(const struct tw_train_kernels *t, size_t n, float *in[], float *out[])
{
    t->rms_norm_backward(in[0], in[1], in[2], n, 1e-6f, true, out[0], out[1]);
    t->rms_norm_backward(in[0], in[1], in[2], n, 1e-6f, false, out[2], out[1]);
}

static void run_silu(const struct tw_train_kernels *t, size_t n, float *in[], float *out[])
{
    t->silu_mul_backward(in[0], in[1], in[2], n, out[0], out[1]);
}

static void run_softmax(const struct tw_train_kernels *t, size_t n, float *in[], float *out[])
{
    size_t width = (n + 15) / 16 * 16;
    memcpy(out[0], in[0], n * sizeof **in);
    t->softmax(out[0], n, width, 0.18f, &out[2][0], &out[2][1]);
}

static void run_softmax_backward(const struct tw_train_kernels *t, size_t n, float *in[],
                                 float *out[])
{
    size_t width = (n + 15) / 16 * 16;
    memcpy(out[0], in[0], n * sizeof **in);
    memcpy(out[1], in[1], n * sizeof **in);
    t->softmax_backward(out[0], out[1], n, width, 0.18f, 1.5f, 0.02f, in[2][0], 0.125f);
}

static void run_dot(const struct tw_train_kernels *t, size_t n, float *in[], float *out[])
{
    out[0][0] = t->dot(in[0], in[1], n);
}

static void run_cross_entropy(const struct tw_train_kernels *t, size_t n, float *in[], float *out[])
{
    memcpy(out[0], in[0], n * sizeof **in);
    double loss = t->cross_entropy(out[0], n, (uint32_t)(n / 2), 0.01f);
    out[1][0] = (float)loss;
}

static void run_adamw(const struct tw_train_kernels *t, size_t n, float *in[], float *out[])
{
    const struct tw_adamw_step step = {.learning_rate = 1e-3f,
                                       .beta1 = 0.9f,
                                       .beta2 = 0.95f,
                                       .epsilon = 1e-8f,
                                       .weight_decay = 0.1f,
                                       .gradient_scale = 0.7f,
                                       .m_scale = 1.3f,
                                       .v_scale = 2.1f};
    for (size_t i = 0; i < n; i++) {
        out[0][i] = in[0][i];
        out[1][i] = in[1][i];
        out[2][i] = fabsf(in[2][i]);
    }
    t->adamw(&step, in[3], n, out[0], out[1], out[2]);
}

static const struct {
    const char *name;
    row_fn run;
    bool takes_wild;
} rows[] = {
    {"rms_norm_backward", run_norm, true},
    {"silu_mul_backward", run_silu, true},
    {"softmax", run_softmax, false},
    {"softmax_backward", run_softmax_backward, false},
    {"dot", run_dot, true},
    {"cross_entropy", run_cross_entropy, false},
    {"adamw", run_adamw, false},
};

static void check_row(size_t kernel, size_t n, bool wild)
{
    float *in[ROW_INPUTS], *want[ROW_OUTPUTS], *got[ROW_OUTPUTS];
    size_t width = (n + 15) / 16 * 16;
    for (int i = 0; i < ROW_INPUTS; i++) {
        in[i] = floats(width);
        fill(in[i], width, wild);
    }
    for (int i = 0; i < ROW_OUTPUTS; i++) {
        want[i] = floats(width);
        got[i] = floats(width);
        memcpy(want[i], in[(i + 1) % ROW_INPUTS], width * sizeof **in);
    }
    rows[kernel].run(&levels[0], n, in, want);
    for (int level = 1; level < n_levels; level++) {
        for (int i = 0; i < ROW_OUTPUTS; i++) {
            memcpy(got[i], in[(i + 1) % ROW_INPUTS], width * sizeof **in);
        }
        rows[kernel].run(&levels[level], n, in, got);
        for (int i = 0; i < ROW_OUTPUTS; i++) {
            check(same(want[i], got[i], width) && guard_is_whole(got[i], width), level,
                  rows[kernel].name, n);
        }
    }
    for (int i = 0; i < ROW_INPUTS; i++) {
        tw_mem_free(in[i]);
    }
    for (int i = 0; i < ROW_OUTPUTS; i++) {
        tw_mem_free(want[i]);
        tw_mem_free(got[i]);
    }
}

static void check_rows(void)
{
    static const size_t sizes[] = {1, 5, 15, 16, 17, 31, 64, 100, 256, 1000};
    for (size_t kernel = 0; kernel < sizeof rows / sizeof *rows; kernel++) {
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            check_row(kernel, sizes[i], false);
            if (rows[kernel].takes_wild) {
                check_row(kernel, sizes[i], true);
            }
        }
    }
}

/* ---- rates ---- */

static void bench(void)
{
    enum { WORDS = 256, CALLS = 4000, RUNS = 7 };
    uint32_t *a = tw_mem_map(TW_GEMM_ROWS * WORDS * sizeof *a);
    uint32_t *b = tw_mem_map(TW_GEMM_COLUMNS * WORDS * sizeof *b);
    float *c = tw_mem_map(TW_GEMM_ROWS * TW_GEMM_COLUMNS * sizeof *c);
    printf("format,level,best_gflop_per_s\n");
    for (int format = 0; format < TW_GEMM_FORMAT_COUNT; format++) {
        for (int level = 1; level < n_levels; level++) {
            double best = 0;
            for (int run = 0; run < RUNS; run++) {
                int64_t start_ns = tw_clock_monotonic_ns();
                for (int i = 0; i < CALLS; i++) {
                    levels[level].gemm_tile[format](a, b, WORDS, NULL, c, TW_GEMM_COLUMNS);
                }
                double flops = 2.0 * TW_GEMM_ROWS * TW_GEMM_COLUMNS * WORDS * CALLS *
                               (format == TW_GEMM_F32 ? 1 : 2);
                double rate = flops / (double)(tw_clock_monotonic_ns() - start_ns);
                best = rate > best ? rate : best;
            }
            printf("%s,%s,%.0f\n", format == TW_GEMM_F32 ? "f32" : "bf16", level_names[level],
                   best);
        }
    }
    tw_mem_unmap(a, TW_GEMM_ROWS * WORDS * sizeof *a);
    tw_mem_unmap(b, TW_GEMM_COLUMNS * WORDS * sizeof *b);
    tw_mem_unmap(c, TW_GEMM_ROWS * TW_GEMM_COLUMNS * sizeof *c);
}

/* All levels of this machine, and the widest once more without its bf16 instruction. */
static void find_levels(void)
{
    int highest = (int)tw_cpu_detect();
    for (int level = 0; level <= highest; level++) {
        tw_train_kernels_init(&levels[n_levels], (enum tw_cpu_level)level);
        level_names[n_levels++] = tw_cpu_level_name((enum tw_cpu_level)level);
    }
    if (tw_cpu_has_bf16()) {
        tw_train_kernels_init_ref(&levels[n_levels]);
        tw_train_kernels_init_avx512(&levels[n_levels], false);
        level_names[n_levels++] = "avx512 without bf16";
    }
}

int main(int argc, char **argv)
{
    find_levels();
    if (argc > 1 && strcmp(argv[1], "--bench") == 0) {
        bench();
        return 0;
    }
    check_products();
    check_what_is_no_number();
    check_rows();
    printf("levels: %d\n%d passed, %d failed\n", n_levels, n_passed, n_failed);
    return n_failed != 0;
}
