/* check_kernels: every kernel of every ISA level against the reference, bit for bit, on random,
 * padded and extreme input; the reference products against sums in double of dequantised weights;
 * with --bench, the time of each beside the reference.
 *
 *     check_kernels            checks all levels this machine has
 *     check_kernels --bench    and times them (one core, data in cache)
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "kernel/kernels.h"
#include "kernel/ref/ref.h"
#include "tensor/f16.h"

enum { GUARD_BYTES = 64, GUARD = 0xA5, FENCE_BYTES = 4096 };

static int n_passed, n_failed;
static uint64_t random_counter;

static void check(bool ok, const char *level, const char *what, const char *detail)
{
    if (ok) {
        n_passed++;
    } else {
        n_failed++;
        printf("FAILED %s %s %s\n", level, what, detail);
    }
}

static float random_normal(void)
{
    return (float)tw_rng_normal(7, random_counter++);
}

static uint32_t random_u32(void)
{
    uint32_t words[4];
    tw_rng_block(11, random_counter++, words);
    return words[0];
}

/* Equal bits, or both no number. */
static bool same_floats(const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        bool both_nan = isnan(a[i]) && isnan(b[i]);
        if (!both_nan && tw_f32_bits(a[i]) != tw_f32_bits(b[i])) {
            return false;
        }
    }
    return true;
}

static bool guard_is_whole(const void *end)
{
    const uint8_t *p = end;
    for (int i = 0; i < GUARD_BYTES; i++) {
        if (p[i] != GUARD) {
            return false;
        }
    }
    return true;
}

/* n floats with a guard behind: for outputs, whose alignment matters. */
static float *guarded_floats(size_t n)
{
    uint8_t *block = tw_mem_map(n * sizeof(float) + GUARD_BYTES);
    memset(block + n * sizeof(float), GUARD, GUARD_BYTES);
    return (float *)(void *)block;
}

/* n bytes whose last one is followed by a page that must not be touched: a kernel that reads one
 * byte too far ends here. */
static void *fenced(size_t n_bytes)
{
    size_t room = (n_bytes + FENCE_BYTES - 1) / FENCE_BYTES * FENCE_BYTES;
    uint8_t *block =
        mmap(NULL, room + FENCE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block == MAP_FAILED || mprotect(block + room, FENCE_BYTES, PROT_NONE) != 0) {
        perror("check_kernels: no memory");
        exit(1);
    }
    return block + room - n_bytes;
}

static void free_fenced(void *block, size_t n_bytes)
{
    size_t room = (n_bytes + FENCE_BYTES - 1) / FENCE_BYTES * FENCE_BYTES;
    munmap((uint8_t *)block + n_bytes - room, room + FENCE_BYTES);
}

enum fill {
    FILL_NORMAL = 0,
    FILL_OUTLIERS,
    FILL_EXTREME,
    FILL_ZERO,
    FILL_TINY,
    FILL_NOT_FINITE,
    FILL_COUNT
};
static const char *const fill_names[] = {"normal", "outliers", "extreme",
                                         "zero",   "tiny",     "not finite"};

static float fill_value(enum fill fill, size_t i)
{
    switch (fill) {
    case FILL_NORMAL:
        return random_normal();
    case FILL_OUTLIERS:
        return random_normal() * (random_u32() % 40 == 0 ? 50.0f : 1.0f);
    case FILL_EXTREME: /* bytes of -127 and 127 only: pairs that saturate 16 bits would show */
        return random_u32() % 2 != 0 ? 3.0f : -3.0f;
    case FILL_TINY: /* blocks whose largest value is around the smallest f32, or below it */
        return random_normal() * (i / 32 % 2 != 0 ? 1e-37f : 1e-41f);
    case FILL_NOT_FINITE:
        return i % 37 == 5 ? NAN : i % 53 == 7 ? INFINITY : random_normal();
    case FILL_ZERO:
    case FILL_COUNT:
        break;
    }
    return 0;
}

/* Where a block of each type keeps its f16 scales (-1: none). */
static const int scale_offsets[TW_DTYPE_COUNT][2] = {
    [TW_DTYPE_F32] = {-1, -1},   [TW_DTYPE_F16] = {-1, -1},   [TW_DTYPE_BF16] = {-1, -1},
    [TW_DTYPE_Q8_0] = {0, -1},   [TW_DTYPE_Q4_0] = {0, -1},   [TW_DTYPE_Q4_1] = {0, 2},
    [TW_DTYPE_Q5_0] = {0, -1},   [TW_DTYPE_Q5_1] = {0, 2},    [TW_DTYPE_Q2_K] = {80, 82},
    [TW_DTYPE_Q3_K] = {108, -1}, [TW_DTYPE_Q4_K] = {0, 2},    [TW_DTYPE_Q5_K] = {0, 2},
    [TW_DTYPE_Q6_K] = {208, -1}, [TW_DTYPE_IQ4_NL] = {0, -1},
};

/* Any codes, and scales of every sign and size that a half has. */
static void random_row(enum tw_dtype dtype, size_t n_columns, bool extreme_codes, uint8_t *row)
{
    const struct tw_dtype_traits *traits = tw_dtype_traits(dtype);
    size_t n_bytes = tw_dtype_row_bytes(dtype, n_columns);
    for (size_t i = 0; i < n_bytes; i++) {
        uint32_t r = random_u32();
        row[i] = extreme_codes ? (r % 2 != 0 ? 0xff : 0x00) : (uint8_t)r;
    }
    if (traits->block_elements == 1) {
        for (size_t i = 0; i < n_columns; i++) {
            float value = random_normal();
            uint16_t half = dtype == TW_DTYPE_F16 ? tw_f32_to_f16(value) : tw_f32_to_bf16(value);
            memcpy(row + i * traits->block_bytes,
                   dtype == TW_DTYPE_F32 ? (void *)&value : (void *)&half, traits->block_bytes);
        }
        return;
    }
    for (size_t at = 0; at < n_bytes; at += traits->block_bytes) {
        for (int s = 0; s < 2 && scale_offsets[dtype][s] >= 0; s++) {
            float scale = random_normal() * (random_u32() % 8 == 0 ? 1e-6f : 0.02f);
            uint16_t half = tw_f32_to_f16(scale);
            memcpy(row + at + (size_t)scale_offsets[dtype][s], &half, 2);
        }
    }
}

/* One weight group and a tile of activations for it. */
struct product {
    enum tw_dtype dtype;
    size_t n_columns, n_steps, n_blocks;
    uint32_t width;
    uint8_t *rows;
    size_t row_bytes;
    int n_rows;
    uint8_t *group;
    float *x;
    void *acts;
    size_t acts_bytes;
};

static bool is_float(enum tw_dtype dtype)
{
    return tw_layout_of(dtype).scale == TW_SCALE_FLOAT;
}

static void make_product(struct product *p, enum fill fill)
{
    struct tw_kernels ref;
    tw_kernels_init(&ref, TW_CPU_REF);
    p->row_bytes = tw_dtype_row_bytes(p->dtype, p->n_columns);
    p->rows = tw_mem_zalloc((size_t)TW_GROUP_ROWS, p->row_bytes);
    const void *rows[TW_GROUP_ROWS] = {0};
    for (int r = 0; r < p->n_rows; r++) {
        uint8_t *row = p->rows + (size_t)r * p->row_bytes;
        random_row(p->dtype, p->n_columns, fill == FILL_EXTREME, row);
        rows[r] = row;
    }
    p->n_steps = tw_layout_steps(p->dtype, p->n_columns);
    p->group = fenced(tw_layout_group_bytes(p->dtype, p->n_columns));
    tw_layout_pack_group(p->dtype, rows, p->n_columns, p->group);
    p->n_blocks = tw_act_blocks(p->n_columns);
    p->x = tw_mem_zalloc(p->width * p->n_columns, sizeof(float));
    for (size_t i = 0; i < p->width * p->n_columns; i++) {
        p->x[i] = fill_value(fill, i);
    }
    size_t padded = tw_act_float_columns(p->n_columns);
    p->acts_bytes = is_float(p->dtype) ? p->width * padded * sizeof(float)
                                       : tw_act_bytes(p->width, p->n_columns);
    p->acts = fenced(p->acts_bytes);
    for (uint32_t j = 0; j < p->width; j++) {
        const float *x = p->x + j * p->n_columns;
        if (!is_float(p->dtype)) {
            ref.quantise_row(x, p->n_columns, p->n_blocks, p->acts, p->width, j);
            continue;
        }
        for (size_t k = 0; k < p->n_columns; k++) {
            ((float *)p->acts)[k * p->width + j] = x[k];
        }
    }
}

static void free_product(struct product *p)
{
    tw_mem_free(p->rows);
    free_fenced(p->group, tw_layout_group_bytes(p->dtype, p->n_columns));
    tw_mem_free(p->x);
    free_fenced(p->acts, p->acts_bytes);
}

/* What activation k of column j is after quantisation, from the tile's own bytes. */
static double activation(const struct product *p, uint32_t j, size_t k)
{
    if (is_float(p->dtype)) {
        return (double)((const float *)p->acts)[k * p->width + j];
    }
    const uint8_t *block = (const uint8_t *)p->acts + k / 32 * TW_ACT_BLOCK_BYTES * p->width;
    float scale;
    memcpy(&scale, block + 4 * j, 4);
    return (double)scale * (int8_t)block[TW_ACT_META_BYTES * p->width + TW_ACT_BLOCK * j + k % 32];
}

/* The reference against sums in double: catches a wrong layout, which levels would share. */
static void check_against_double(const struct product *p, const float *tile, const char *detail)
{
    float *weights = tw_mem_alloc(p->n_columns, sizeof *weights);
    bool ok = true;
    for (int r = 0; r < TW_GROUP_ROWS; r++) {
        memset(weights, 0, p->n_columns * sizeof *weights);
        if (r < p->n_rows) {
            tw_dtype_traits(p->dtype)->dequantise(p->rows + (size_t)r * p->row_bytes, weights,
                                                  p->n_columns);
        }
        for (uint32_t j = 0; j < p->width; j++) {
            double sum = 0, magnitude = 0;
            for (size_t k = 0; k < p->n_columns; k++) {
                double term = (double)weights[k] * activation(p, j, k);
                sum += term;
                magnitude += fabs(term);
            }
            /* Formats with minima cancel a larger dot against a larger correction. */
            double slack = 4e-6 * magnitude * (1 + (double)p->n_columns / 512) + 1e-12;
            slack *= tw_layout_of(p->dtype).offset_log2 == 0 && !is_float(p->dtype) ? 30 : 1;
            ok = ok && fabs((double)tile[TW_GROUP_ROWS * j + (uint32_t)r] - sum) <= slack;
        }
    }
    tw_mem_free(weights);
    check(ok, "ref", "product against double", detail);
}

static void check_product(struct product *p, enum fill fill, const struct tw_kernels *kernels,
                          int n_levels)
{
    char detail[96];
    snprintf(detail, sizeof detail, "%s, %zu columns, tile of %u, %d rows, %s",
             tw_dtype_traits(p->dtype)->name, p->n_columns, p->width, p->n_rows, fill_names[fill]);
    make_product(p, fill);
    size_t n = (size_t)p->width * TW_GROUP_ROWS;
    float *want = guarded_floats(n), *got = guarded_floats(n);
    kernels[0].tile[p->dtype][p->width - 1](p->group, p->acts, p->n_steps, want, p->group, 0);
    if (fill != FILL_NOT_FINITE) {
        check_against_double(p, want, detail);
    }
    for (int level = 1; level < n_levels; level++) {
        memset(got, 0, n * sizeof *got);
        kernels[level].tile[p->dtype][p->width - 1](p->group, p->acts, p->n_steps, got, p->group,
                                                    3);
        check(same_floats(want, got, n) && guard_is_whole(got + n), kernels[level].name, "product",
              detail);
    }
    tw_mem_unmap(want, n * sizeof *want + GUARD_BYTES);
    tw_mem_unmap(got, n * sizeof *got + GUARD_BYTES);
    free_product(p);
}

static void check_products(const struct tw_kernels *kernels, int n_levels)
{
    static const size_t widths_32[] = {32, 64, 96, 320, 896};
    static const size_t widths_256[] = {256, 512, 1024};
    static const size_t widths_1[] = {1, 2, 7, 64, 173, 500};
    for (int dtype = 0; dtype < TW_DTYPE_COUNT; dtype++) {
        uint32_t elements = tw_dtype_traits((enum tw_dtype)dtype)->block_elements;
        const size_t *sizes = elements == 1 ? widths_1 : elements == 32 ? widths_32 : widths_256;
        size_t n_sizes = elements == 1 ? 6 : elements == 32 ? 5 : 3;
        for (size_t s = 0; s < n_sizes; s++) {
            for (uint32_t width = 1; width <= TW_TILE_COLUMNS_MAX; width++) {
                enum fill fill = (enum fill)((s + width) % FILL_COUNT);
                struct product p = {.dtype = (enum tw_dtype)dtype,
                                    .n_columns = sizes[s],
                                    .width = width,
                                    .n_rows = width % 3 == 0 ? 19 : TW_GROUP_ROWS};
                check_product(&p, fill, kernels, n_levels);
            }
        }
    }
}

static void check_quantise(const struct tw_kernels *kernels, int n_levels)
{
    static const size_t sizes[] = {1, 15, 16, 17, 31, 32, 33, 172, 896, 4864};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        for (int fill = 0; fill < FILL_COUNT; fill++) {
            size_t n_blocks = tw_act_blocks(sizes[s]);
            uint32_t width = 1 + (uint32_t)(s % 8), column = width - 1;
            size_t bytes = n_blocks * TW_ACT_BLOCK_BYTES * width;
            float *x = fenced(sizes[s] * sizeof *x);
            for (size_t i = 0; i < sizes[s]; i++) {
                x[i] = fill_value((enum fill)fill, i);
            }
            uint8_t *want = tw_mem_zalloc(bytes, 1), *got = tw_mem_zalloc(bytes, 1);
            kernels[0].quantise_row(x, sizes[s], n_blocks, want, width, column);
            for (int level = 1; level < n_levels; level++) {
                memset(got, 0, bytes);
                kernels[level].quantise_row(x, sizes[s], n_blocks, got, width, column);
                bool ok = true;
                for (size_t b = 0; b < n_blocks; b++) {
                    const uint8_t *w = want + b * TW_ACT_BLOCK_BYTES * width;
                    const uint8_t *g = got + b * TW_ACT_BLOCK_BYTES * width;
                    float sums[2];
                    memcpy(&sums[0], w + 4 * (3 * width + column), 4);
                    memcpy(&sums[1], g + 4 * (3 * width + column), 4);
                    ok = ok && same_floats(&sums[0], &sums[1], 1) &&
                         memcmp(w, g, 12 * (size_t)width) == 0 &&
                         memcmp(w + 16 * width, g + 16 * width, 32 * (size_t)width) == 0;
                }
                check(ok, kernels[level].name, "quantise_row", fill_names[fill]);
            }
            free_fenced(x, sizes[s] * sizeof *x);
            tw_mem_free(want);
            tw_mem_free(got);
        }
    }
}

enum { VECTORS = 5 };
static const char *const vector_names[VECTORS] = {"rms_norm", "silu_mul", "add", "rope",
                                                  "rope interleaved"};

static void run_vector(const struct tw_kernels *k, int which, const float *x, const float *w,
                       size_t n, float *y)
{
    switch (which) {
    case 0:
        k->rms_norm(x, w, n, 1e-6f, y);
        break;
    case 1:
        k->silu_mul(x, w, n, y);
        break;
    case 2:
        memcpy(y, w, n * sizeof *y);
        k->add(x, n, y);
        break;
    default:
        memcpy(y, x, n * sizeof *y);
        k->rope(y, w, w + n / 2, n / 2 * 2, which == 4);
        break;
    }
}

static void check_vectors(const struct tw_kernels *kernels, int n_levels)
{
    static const size_t sizes[] = {2, 8, 16, 18, 48, 64, 128, 130, 896, 1001};
    for (int which = 0; which < VECTORS; which++) {
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            for (int fill = 0; fill < FILL_COUNT; fill++) {
                size_t n = sizes[s];
                float *x = fenced(n * sizeof *x), *w = fenced((n + 1) * sizeof *w);
                float *want = guarded_floats(n), *got = guarded_floats(n);
                for (size_t i = 0; i < n; i++) {
                    x[i] = fill_value((enum fill)fill, i);
                    w[i] = random_normal();
                }
                run_vector(&kernels[0], which, x, w, n, want);
                for (int level = 1; level < n_levels; level++) {
                    run_vector(&kernels[level], which, x, w, n, got);
                    check(same_floats(want, got, n) && guard_is_whole(got + n), kernels[level].name,
                          vector_names[which], fill_names[fill]);
                }
                free_fenced(x, n * sizeof *x);
                free_fenced(w, (n + 1) * sizeof *w);
                tw_mem_unmap(want, n * sizeof *want + GUARD_BYTES);
                tw_mem_unmap(got, n * sizeof *got + GUARD_BYTES);
            }
        }
    }
}

static void check_exp2_accuracy(void)
{
    double worst = 0;
    for (int i = -125999; i <= 125999; i += 7) {
        float x = (float)i * 1e-3f;
        double want = exp2((double)x);
        double error = fabs((double)tw_ref_exp2(x) - want) / want;
        worst = error > worst ? error : worst;
    }
    char detail[64];
    snprintf(detail, sizeof detail, "largest relative error %.3g", worst);
    check(worst < 2.5e-7, "ref", "2^x against libm", detail);
}

struct attention_case {
    enum tw_dtype dtype;
    uint32_t head_dim, n_heads, n_tokens;
};

/* Two pages one after the other and a merge with a third state. */
static void run_attention(const struct tw_kernels *k, const struct attention_case *c,
                          uint8_t *pages[2], const float *keys, const float *values,
                          const float *queries, struct tw_attention_state *ret_state)
{
    size_t page_bytes = tw_kv_head_page_bytes(c->dtype, c->head_dim);
    for (int page = 0; page < 2; page++) {
        memset(pages[page], 0, page_bytes);
        for (uint32_t t = 0; t < 64; t++) {
            size_t at = ((size_t)page * 64 + t) * c->head_dim;
            k->kv_store(c->dtype, keys + at, values + at, c->head_dim, t, pages[page]);
        }
    }
    struct tw_attention_state *other = tw_mem_zalloc(1, sizeof *other);
    const uint32_t dim = (c->head_dim + 15) / 16 * 16;
    memset(ret_state, 0x7f, sizeof *ret_state); /* what was there before is nobody's */
    tw_attention_state_clear(ret_state, c->n_heads, dim);
    k->attend_page(c->dtype, pages[0], pages[1], 64, c->head_dim, queries, c->n_heads, ret_state);
    k->attend_page(c->dtype, pages[1], pages[1], c->n_tokens, c->head_dim, queries, c->n_heads,
                   ret_state);
    memset(other, 0x7f, sizeof *other);
    tw_attention_state_clear(other, c->n_heads, dim);
    k->attend_page(c->dtype, pages[0], pages[0], c->n_tokens, c->head_dim, queries, c->n_heads,
                   other);
    k->attend_merge(ret_state, other, dim, c->n_heads);
    tw_mem_free(other);
}

/* Softmax attention in double over the tokens that run_attention sees. */
static double attention_error(const struct attention_case *c, const float *keys,
                              const float *values, const float *queries, uint32_t j,
                              const struct tw_attention_state *state)
{
    double scores[192], largest = -1e300, total = 0, worst = 0;
    size_t tokens[192];
    uint32_t n = 64 + 2 * c->n_tokens;
    for (uint32_t i = 0; i < n; i++) {
        tokens[i] = i < 64 ? i : i < 64 + c->n_tokens ? i : i - 64 - c->n_tokens;
        scores[i] = 0;
        for (uint32_t d = 0; d < c->head_dim; d++) {
            scores[i] += (double)keys[tokens[i] * c->head_dim + d] *
                         (double)queries[TW_ATTENTION_HEADS_MAX * d + j];
        }
        largest = scores[i] > largest ? scores[i] : largest;
    }
    for (uint32_t i = 0; i < n; i++) {
        scores[i] = exp2(scores[i] - largest);
        total += scores[i];
    }
    for (uint32_t d = 0; d < c->head_dim; d++) {
        double want = 0;
        for (uint32_t i = 0; i < n; i++) {
            want += scores[i] / total * (double)values[tokens[i] * c->head_dim + d];
        }
        double got = (double)state->o[j][d] / (double)state->l[j];
        worst = fabs(got - want) > worst ? fabs(got - want) : worst;
    }
    return worst;
}

static void check_attention_case(const struct attention_case *c, const struct tw_kernels *kernels,
                                 int n_levels)
{
    char detail[96];
    snprintf(detail, sizeof detail, "%s, head of %u, %u heads, %u tokens",
             tw_dtype_traits(c->dtype)->name, c->head_dim, c->n_heads, c->n_tokens);
    size_t n = (size_t)128 * c->head_dim, dim = (c->head_dim + 15) / 16 * 16;
    size_t page_bytes = tw_kv_head_page_bytes(c->dtype, c->head_dim);
    float *keys = fenced(n * sizeof *keys), *values = fenced(n * sizeof *values);
    float *queries = fenced(dim * TW_ATTENTION_HEADS_MAX * sizeof *queries);
    uint8_t *want_pages[2], *got_pages[2];
    for (int i = 0; i < 2; i++) {
        want_pages[i] = fenced(page_bytes);
        got_pages[i] = fenced(page_bytes);
    }
    for (size_t i = 0; i < n; i++) {
        keys[i] = random_normal();
        values[i] = random_normal();
    }
    for (size_t i = 0; i < c->head_dim * TW_ATTENTION_HEADS_MAX; i++) {
        queries[i] = random_normal() * 0.3f;
    }
    struct tw_attention_state *want = tw_mem_zalloc(1, sizeof *want);
    struct tw_attention_state *got = tw_mem_zalloc(1, sizeof *got);
    run_attention(&kernels[0], c, want_pages, keys, values, queries, want);
    double tolerance = c->dtype == TW_DTYPE_F16 ? 4e-3 : 6e-2; /* what the cache's rounding costs */
    double worst = 0;
    for (uint32_t j = 0; j < c->n_heads; j++) {
        double error = attention_error(c, keys, values, queries, j, want);
        worst = error > worst ? error : worst;
    }
    check(worst <= tolerance, "ref", "attention against double", detail);
    for (int level = 1; level < n_levels; level++) {
        run_attention(&kernels[level], c, got_pages, keys, values, queries, got);
        bool ok = memcmp(want_pages[0], got_pages[0], page_bytes) == 0 &&
                  memcmp(want_pages[1], got_pages[1], page_bytes) == 0 &&
                  same_floats(want->m, got->m, c->n_heads) &&
                  same_floats(want->l, got->l, c->n_heads);
        for (uint32_t j = 0; j < c->n_heads; j++) {
            ok = ok && same_floats(want->o[j], got->o[j], c->head_dim);
        }
        check(ok, kernels[level].name, "attention", detail);
    }
    for (int i = 0; i < 2; i++) {
        free_fenced(want_pages[i], page_bytes);
        free_fenced(got_pages[i], page_bytes);
    }
    free_fenced(keys, n * sizeof *keys);
    free_fenced(values, n * sizeof *values);
    free_fenced(queries, dim * TW_ATTENTION_HEADS_MAX * sizeof *queries);
    tw_mem_free(want);
    tw_mem_free(got);
}

static void check_attention(const struct tw_kernels *kernels, int n_levels)
{
    static const uint32_t dims[] = {8, 16, 64, 80, 128};
    static const uint32_t tokens[] = {1, 15, 16, 33, 64};
    for (size_t d = 0; d < sizeof dims / sizeof *dims; d++) {
        for (uint32_t n_heads = 1; n_heads <= TW_ATTENTION_HEADS_MAX; n_heads++) {
            struct attention_case c = {
                .head_dim = dims[d], .n_heads = n_heads, .n_tokens = tokens[(d + n_heads) % 5]};
            c.dtype = TW_DTYPE_F16;
            check_attention_case(&c, kernels, n_levels);
            c.dtype = TW_DTYPE_Q8_0;
            check_attention_case(&c, kernels, n_levels);
        }
    }
}

/* Median of 7 measurements, nanoseconds a call. */
static double time_product(const struct tw_kernels *k, const struct product *p, float *tile)
{
    double times[7];
    for (int i = 0; i < 7; i++) {
        int n_calls = 0;
        int64_t start_ns = tw_clock_monotonic_ns(), now_ns = start_ns;
        while (now_ns - start_ns < 2000000) {
            for (int c = 0; c < 4; c++) {
                k->tile[p->dtype][p->width - 1](p->group, p->acts, p->n_steps, tile, p->group, 0);
            }
            n_calls += 4;
            now_ns = tw_clock_monotonic_ns();
        }
        times[i] = (double)(now_ns - start_ns) / n_calls;
    }
    for (int i = 1; i < 7; i++) {
        for (int j = i; j > 0 && times[j] < times[j - 1]; j--) {
            double t = times[j];
            times[j] = times[j - 1];
            times[j - 1] = t;
        }
    }
    return times[3];
}

static void bench(const struct tw_kernels *kernels, int n_levels)
{
    static const uint32_t widths[] = {1, 4, 6, 8};
    printf("dtype,columns,tile,level,ns,gop_per_s,speedup_over_ref\n");
    for (int dtype = 0; dtype < TW_DTYPE_COUNT; dtype++) {
        for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
            struct product p = {.dtype = (enum tw_dtype)dtype,
                                .n_columns = 1024,
                                .width = widths[i],
                                .n_rows = TW_GROUP_ROWS};
            make_product(&p, FILL_NORMAL);
            float *tile = guarded_floats((size_t)p.width * TW_GROUP_ROWS);
            double ref_ns = time_product(&kernels[0], &p, tile);
            for (int level = 0; level < n_levels; level++) {
                double ns = level == 0 ? ref_ns : time_product(&kernels[level], &p, tile);
                double operations = 2.0 * TW_GROUP_ROWS * p.width * (double)p.n_columns;
                printf("%s,%zu,%u,%s,%.0f,%.1f,%.1f\n", tw_dtype_traits(p.dtype)->name, p.n_columns,
                       p.width, kernels[level].name, ns, operations / ns, ref_ns / ns);
            }
            tw_mem_unmap(tile, (size_t)p.width * TW_GROUP_ROWS * sizeof *tile + GUARD_BYTES);
            free_product(&p);
        }
    }
}

/* ---- routing ---- */

/* Is expert `a` before `b` by the rule? */
static bool goes_first(const float *logits, uint32_t a, uint32_t b)
{
    return logits[a] > logits[b] || (logits[a] == logits[b] && a < b);
}

static void check_route(uint32_t n_experts, uint32_t n_used, bool is_normed, bool has_ties)
{
    float logits[256], weights[64];
    uint32_t experts[64];
    double sum = 0, all = 0;
    for (uint32_t i = 0; i < n_experts; i++) {
        logits[i] = has_ties ? (float)(random_u32() % 4) : 3 * random_normal();
        all += exp((double)logits[i]);
    }
    tw_kernels_route(logits, n_experts, n_used, is_normed, experts, weights);
    for (uint32_t rank = 0; rank < n_used; rank++) {
        uint32_t n_before = 0;
        for (uint32_t i = 0; i < n_experts; i++) {
            n_before += goes_first(logits, i, experts[rank]);
        }
        check(n_before == rank, "all", "route", "an expert is not of its rank");
        sum += exp((double)logits[experts[rank]]);
    }
    for (uint32_t rank = 0; rank < n_used; rank++) {
        double want = exp((double)logits[experts[rank]]) / (is_normed ? sum : all);
        check(fabs((double)weights[rank] - want) < 1e-5 * want, "all", "route",
              "a weight is wrong");
    }
}

/* Even of logits that are no numbers. */
static void check_route_without_numbers(void)
{
    enum { N = 9, USED = 4 };
    for (int pattern = 0; pattern < 1 << N; pattern++) {
        float logits[N], weights[USED];
        uint32_t experts[USED], seen = 0;
        for (int i = 0; i < N; i++) {
            logits[i] = (pattern >> i & 1) != 0 ? NAN : random_normal();
        }
        tw_kernels_route(logits, N, USED, true, experts, weights);
        for (int i = 0; i < USED; i++) {
            check(experts[i] < N && (seen >> experts[i] & 1) == 0, "all", "route",
                  "experts are not different ones");
            seen |= 1u << experts[i];
        }
    }
}

static void check_routes(void)
{
    for (int i = 0; i < 200; i++) {
        check_route(128, 8, i % 2 == 0, i % 3 == 0);
        check_route(1 + random_u32() % 255, 1, i % 2 == 0, false);
        check_route(64, 64, i % 2 == 0, i % 3 == 0);
        check_route(8, 2, i % 2 == 0, i % 3 == 0);
    }
    check_route_without_numbers();
}

int main(int argc, char **argv)
{
    struct tw_kernels kernels[TW_CPU_LEVEL_COUNT];
    int n_levels = (int)tw_cpu_detect() + 1;
    for (int level = 0; level < n_levels; level++) {
        tw_kernels_init(&kernels[level], (enum tw_cpu_level)level);
    }
    if (argc > 1 && strcmp(argv[1], "--bench") == 0) {
        bench(kernels, n_levels);
        return 0;
    }
    check_products(kernels, n_levels);
    check_quantise(kernels, n_levels);
    check_vectors(kernels, n_levels);
    check_exp2_accuracy();
    check_attention(kernels, n_levels);
    check_routes();
    printf("levels:");
    for (int level = 0; level < n_levels; level++) {
        printf(" %s", kernels[level].name);
    }
    printf("\n%d passed, %d failed\n", n_passed, n_failed);
    return n_failed != 0;
}
