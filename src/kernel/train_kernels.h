/* train_kernels.h: what training computes beside kernels.h: a table filled ref -> avx2 -> avx512.
 *
 * Products of float matrices, C = A B (+ C0), are made of tiles of 8 rows and 32 columns. A and B
 * are packed first into panels of 32-bit words, so that one tile kernel serves the three products
 * of a layer whatever lies contiguous in memory:
 *
 *     panel of A: word [k][8]     panel of B: word [k][32]     one word: an f32, or a pair of bf16
 *
 * The order of every sum is part of the specification (docs/determinism.md), so that all levels
 * give the same bits, with any number of threads:
 *     f32:  c = fma(a[k], b[k], c), k ascending, from c0 (or +0).
 *     bf16: k in pairs: c = fma(a[2i+1], b[2i+1], c), then c = fma(a[2i], b[2i], c); subnormal
 *           values count as zeros, before and after each step. That is what the instruction
 *           vdpbf16ps does; products of two bf16 are exact in f32.
 * "sum16 of f(i)" stands for sixteen lanes, lane i % 16 accumulating f(i) with i ascending from +0,
 * summed as a tree of halves (8, 4, 2, 1).
 *
 * Threads: any. Nothing here allocates. Sizes are checked by whoever calls.
 */
#ifndef TW_KERNEL_TRAIN_KERNELS_H
#define TW_KERNEL_TRAIN_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cpu.h"

enum { TW_GEMM_ROWS = 8, TW_GEMM_COLUMNS = 32 };

enum tw_gemm_format { TW_GEMM_F32 = 0, TW_GEMM_BF16, TW_GEMM_FORMAT_COUNT };

/* Words of a panel's row of k values: k, or pairs of them. */
static inline size_t tw_gemm_words(enum tw_gemm_format format, size_t k)
{
    return format == TW_GEMM_F32 ? k : (k + 1) / 2;
}

/* Packs one panel of `width` (8 or 32) vectors of k values; vectors from n_vectors on and what a
 * last pair lacks are zeros. panel: [tw_gemm_words(format, k)][width].
 *     pack_rows:    value (v, i) is source[v * stride + i]: the sum runs along memory
 *     pack_columns: value (v, i) is source[i * stride + v]: the sum runs across it */
typedef void (*tw_pack_fn)(const float *source, size_t stride, size_t n_vectors, size_t k,
                           size_t width, uint32_t *panel);

/* One tile: c[8][c_stride] from n_words packed words. c0: where the sums begin, of the same stride;
 * NULL for zeros; may be c. */
typedef void (*tw_gemm_tile_fn)(const uint32_t *a, const uint32_t *b, size_t n_words,
                                const float *c0, float *c, size_t c_stride);

struct tw_adamw_step {
    float learning_rate, beta1, beta2, epsilon, weight_decay;
    float gradient_scale;   /* gradients are multiplied by it first (clipping) */
    float m_scale, v_scale; /* 1 / (1 - beta^t): what undoes the start from zero */
};

struct tw_train_kernels {
    tw_pack_fn pack_rows[TW_GEMM_FORMAT_COUNT];
    tw_pack_fn pack_columns[TW_GEMM_FORMAT_COUNT];
    tw_gemm_tile_fn gemm_tile[TW_GEMM_FORMAT_COUNT];

    /* Of y = (x r) w, r = 1 / sqrt(sum16 of fma(x, x, .) / n + eps) (kernels.h):
     *     h = x r;  a = w dy;  mean = sum16 of fma(a, h, .) / n;  dx = fma(-h, mean, a) r
     *     dw = fma(dy, h, dw)
     * dx is added to ret_dx where accumulate is set, otherwise stored; ret_dx may then be dy. */
    void (*rms_norm_backward)(const float *x, const float *weight, const float *dy, size_t n,
                              float eps, bool accumulate, float *ret_dx, float *dweight);

    /* Of y = g s u, s = 1 / (1 + 2^(-g log2 e)):
     *     du = dy (g / (1 + 2^..));  dg = (dy u) (s fma(g, 1 - s, 1))
     * du and dg may be up and gate. */
    void (*silu_mul_backward)(const float *gate, const float *up, const float *dy, size_t n,
                              float *dgate, float *dup);

    /* A row of attention weights, in place. m = max s; w[i] = 2^(fma(s[i], c, -(m c))) for i < n,
     * 0 for n <= i < width; l = sum16 of w; then w[i] = w[i] (1 / l). c = log2 e / sqrt(head_dim).
     * ret_m and ret_inverse (1 / l) are what softmax_backward needs. width: a multiple of 16. */
    void (*softmax)(float *scores, size_t n, size_t width, float c, float *ret_m,
                    float *ret_inverse);

    /* w[i] as above (times inverse) takes the place of scores; ds[i] = (w[i] (dw[i] - d)) scale
     * takes the place of dw; both 0 for n <= i < width. */
    void (*softmax_backward)(float *scores, float *dw, size_t n, size_t width, float c, float m,
                             float inverse, float d, float scale);

    /* sum16 of fma(x, y, .) */
    float (*dot)(const float *x, const float *y, size_t n);

    /* Cross entropy of one row of n logits with the right answer `target`, in place:
     *     m = max z; e[i] = 2^(fma(z[i], log2 e, -(m log2 e))); l = sum16 of e
     *     z[i] becomes e[i] (scale / l), less scale at target
     * Returns the loss in nats, ln l + m - z[target]. */
    double (*cross_entropy)(float *logits, size_t n, uint32_t target, float scale);

    /* Loshchilov and Hutter 2019 (arXiv 1711.05101), algorithm 2, for n parameters:
     *     g = g gradient_scale;  m = fma(beta1, m, (1 - beta1) g)
     *     v = fma(beta2, v, (1 - beta2) (g g))
     *     change = fma(weight_decay, w, (m m_scale) / (sqrt(v v_scale) + eps))
     *     w = fma(-learning_rate, change, w) */
    void (*adamw)(const struct tw_adamw_step *step, const float *gradient, size_t n, float *weight,
                  float *m, float *v);
};

/* The table of a level the machine can run. */
void tw_train_kernels_init(struct tw_train_kernels *kernels, enum tw_cpu_level level);

/* Each overwrites what its level does better. Called through tw_train_kernels_init only. */
void tw_train_kernels_init_ref(struct tw_train_kernels *kernels);
void tw_train_kernels_init_avx2(struct tw_train_kernels *kernels);
void tw_train_kernels_init_avx512(struct tw_train_kernels *kernels, bool has_bf16);

#endif
