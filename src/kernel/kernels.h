/* kernels.h: the compute kernels of one ISA level, as a table of functions.
 *
 *     tw_kernels_init(level):  ref fills every entry -> avx2 overwrites -> avx512 overwrites
 *
 * The ref level is plain scalar C and the specification: order and rounding of every operation are
 * as it says, and the other levels give the same bits (docs/determinism.md). tests/kernel checks
 * every entry of every level against it on random, padded and extreme input, and times it.
 *
 * Notation: fma(a, b, c) is a*b+c rounded once. "sum16(x)" adds 16 lanes as a tree:
 * 16 -> 8 (i and i+8) -> 4 (i and i+4) -> 2 -> 1. Lanes beyond the end of a row count as zeros.
 * Threads: kernels touch only what their parameters name. Nothing here allocates or fails.
 */
#ifndef TW_KERNEL_KERNELS_H
#define TW_KERNEL_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cpu.h"
#include "kernel/layout.h"
#include "tensor/dtype.h"

/* One weight group (32 rows) times one tile of n activation columns:
 *
 *     tile[j][r] = sum over blocks b, ascending, of
 *         SCALE_F16        y = fma(dot, d * s, y)
 *         SCALE_F16_MIN    the same, then y = fma(m, s*sum, y)
 *         SCALE_K32_MIN    y = fma(dot, (scale * d) * s, y); y = fma(-(min * dmin), s*sum, y)
 *         SCALE_K16        for both halves: y = fma(dot16, (scale * d) * s, y)
 *         SCALE_K16_MIN    the same, each followed by y = fma(-(min * dmin), s * sum16, y)
 *         SCALE_FLOAT      y = fma(w, x, y) for every k
 *
 * where dot is the exact integer sum of weight integers times activation bytes. y starts at +0.
 *
 * group: aligned to 64, n_steps steps. acts: the tile, n_columns wide (1..8). ret_tile:
 * [n_columns][32] f32, aligned to 64. prefetch: while the work goes on, prefetch_lines cache lines
 * a step from there on are brought closer (0: none). */
typedef void (*tw_tile_fn)(const uint8_t *group, const void *acts, size_t n_steps, float *ret_tile,
                           const uint8_t *prefetch, size_t prefetch_lines);

/* Scores and values of one page of the KV cache for n query heads that share a KV head.
 *
 * State of a softmax that is computed piece by piece (base 2): m = largest score so far, l = sum of
 * 2^(score - m), o = sum of 2^(score - m) * v. */
enum {
    TW_ATTENTION_HEADS_MAX = 8, /* query heads of one call */
    TW_HEAD_DIM_MAX = 512
};

struct tw_attention_state {
    _Alignas(64) float m[TW_ATTENTION_HEADS_MAX];
    float l[TW_ATTENTION_HEADS_MAX];
    _Alignas(64) float o[TW_ATTENTION_HEADS_MAX][TW_HEAD_DIM_MAX];
};

/* A page of one KV head of one layer, dim = head_dim rounded up to 16, 64 tokens:
 *     F16:  f16 k[t / 16][dim][16] | f16 v[t][dim]
 *     Q8_0: s8 k[t / 16][dim][16] | s8 v[t][dim] | f32 k_scale[t] | f32 v_scale[t]
 * (one scale a token and head: the cache's own form of 8-bit values). */
size_t tw_kv_head_page_bytes(enum tw_dtype dtype, uint32_t head_dim);

struct tw_kernels {
    const char *name;
    enum tw_cpu_level level;

    tw_tile_fn tile[TW_DTYPE_COUNT][TW_TILE_COLUMNS_MAX]; /* [dtype][n_columns - 1] */

    /* Quantises one activation row x[width] into column `column` of a tile of n_columns, n_blocks
     * blocks (those beyond width are zeros). Per block of 32: s = max|x| / 127;
     * q = round to even of x * (127 / max|x|), 0 where that is no number or max|x| is below
     * TW_BYTE_SMALLEST. */
    void (*quantise_row)(const float *x, size_t width, size_t n_blocks, uint8_t *tile,
                         uint32_t n_columns, uint32_t column);

    /* y = (x * r) * w, r = 1 / sqrt(sum16 of lane-wise fma(x, x, acc) / n + eps). y may be x. */
    void (*rms_norm)(const float *x, const float *weight, size_t n, float eps, float *y);

    /* Rotates n_dims values: pairs (2i, 2i+1) or (i, i + n_dims/2) by the angle whose cosine and
     * sine are given: a' = fma(a, cos, -(b * sin)); b' = fma(b, cos, a * sin). */
    void (*rope)(float *x, const float *cosines, const float *sines, size_t n_dims,
                 int interleaved);

    /* y[i] = gate / (1 + 2^(-gate * log2 e)) * up. y may be gate. */
    void (*silu_mul)(const float *gate, const float *up, size_t n, float *y);

    /* y[i] = y[i] + x[i] */
    void (*add)(const float *x, size_t n, float *y);

    /* Puts one token's key and value (head_dim f32 each) into slot 0..63 of a page. */
    void (*kv_store)(enum tw_dtype dtype, const float *key, const float *value, uint32_t head_dim,
                     uint32_t slot, uint8_t *page);

    /* Adds the first n_tokens (1..64) of a page to the state of n_heads (1..8) query heads.
     * queries: [dim][8] f32, dim = head_dim rounded up to 16 with zeros, already multiplied by
     * log2(e) / sqrt(head_dim). next_page is prefetched (may equal page).
     *
     *     score[t] = fma over d ascending of k[t][d] * q[d] from +0 (Q8_0: then * k_scale[t])
     *     m' = max(m, max score); c = 2^(m - m'); p[t] = 2^(score[t] - m'), 0 for t >= n_tokens
     *     l = fma(l, c, sum16((p[0..15] + p[16..31]) + (p[32..47] + p[48..63])))
     *     o[d] = fma over t ascending of p[t] * v[t][d] from o[d] * c (Q8_0: p[t] * v_scale[t]) */
    void (*attend_page)(enum tw_dtype dtype, const uint8_t *page, const uint8_t *next_page,
                        uint32_t n_tokens, uint32_t head_dim, const float *queries,
                        uint32_t n_heads, struct tw_attention_state *state);

    /* Merges the state of a later segment into an earlier one:
     *     m' = max; a = 2^(m1 - m'); b = 2^(m2 - m'); l = fma(l2, b, l1 * a); o the same. */
    void (*attend_merge)(struct tw_attention_state *state, const struct tw_attention_state *later,
                         uint32_t head_dim, uint32_t n_heads);
};

/* Which n_used of n_experts a row goes to, and how much each counts: the largest logits, the lower
 * index first among equals, in that order. With m the largest of all,
 *
 *     e(l) = 2^((l - m) * log2 e);    weight = e(l) / sum
 *
 * where the sum is over those chosen, in their order, with is_normed, otherwise over all, in
 * ascending order. Plain C at every level: a row is some hundred logits. n_used <= n_experts.
 * Whatever the logits are, these are n_used different experts. */
void tw_kernels_route(const float *logits, uint32_t n_experts, uint32_t n_used, bool is_normed,
                      uint32_t *ret_experts, float *ret_weights);

/* 2^x for every level: x is clamped to [-126, 126], n = round to even of x, r = x - n, then a
 * polynomial of degree 5 in r by Horner with fma, times 2^n. Largest relative error 1.7e-7. */
#define TW_EXP2_C0 1.0f
#define TW_EXP2_C1 6.93147004e-1f
#define TW_EXP2_C2 2.40222424e-1f
#define TW_EXP2_C3 5.55073358e-2f
#define TW_EXP2_C4 9.67151299e-3f
#define TW_EXP2_C5 1.32647215e-3f
#define TW_LOG2_E  1.44269502f

/* Values all below this become zeros when they are rounded to bytes: 127 / max|x| is infinite. */
#define TW_BYTE_SMALLEST 0x1p-120f

/* A state of n_heads (1..8) nothing has been added to, dim = head_dim rounded up to 16. The rest of
 * it, most of 16 KiB, stays what it was: nothing reads it. */
void tw_attention_state_clear(struct tw_attention_state *state, uint32_t n_heads, uint32_t dim);

/* The table of a level the machine can run. */
void tw_kernels_init(struct tw_kernels *kernels, enum tw_cpu_level level);

/* Each overwrites what its level does better. Called through tw_kernels_init only. */
void tw_kernels_init_ref(struct tw_kernels *kernels);
void tw_kernels_init_avx2(struct tw_kernels *kernels);
void tw_kernels_init_avx512(struct tw_kernels *kernels);

#endif
