/* simd_gemm.h: packing and tiles of float products (train_kernels.h).
 *
 *     c[8][32] = c0 + sum over k of a[k][8] b[k][32]
 *
 * A tile keeps eight rows of 32 (AVX-512: 16 registers) or of 8 columns (AVX2: 8 registers, four
 * passes) in registers; a step loads the row of b once and broadcasts eight words of a. Sixteen
 * chains of FMA hide its latency of four at two a cycle: 10 loads for 16 FMAs leaves the tile bound
 * by FMA. Packing transposes 8 x 8 words in registers; it costs 2-4% of a product of 256 columns.
 *
 * The file that includes this has included simd_avx2.h or simd_avx512.h before.
 */
#ifndef TW_KERNEL_SIMD_SIMD_GEMM_H
#define TW_KERNEL_SIMD_SIMD_GEMM_H

#include "kernel/simd/simd_tile.h"
#include "kernel/train_kernels.h"

/* ---- words ---- */

/* Eight f32 rounded to bf16, each in the upper half of its word. */
SIMD_INLINE __m256i round_bf16(__m256 x)
{
    __m256i bits = _mm256_castps_si256(x);
    __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    __m256i rounded = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
    __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
    __m256 is_nan = _mm256_cmp_ps(x, x, _CMP_UNORD_Q);
    __m256i kept = _mm256_castps_si256(
        _mm256_blendv_ps(_mm256_castsi256_ps(rounded), _mm256_castsi256_ps(quiet), is_nan));
    return _mm256_and_si256(kept, _mm256_set1_epi32((int)0xffff0000u));
}

/* Eight words of a vector that lies along memory: 8 f32, or 16 as pairs. */
SIMD_INLINE __m256i words_along(const enum tw_gemm_format format, const float *values)
{
    if (format == TW_GEMM_F32) {
        return _mm256_loadu_si256((const void *)values);
    }
    __m256i low = _mm256_srli_epi32(round_bf16(_mm256_loadu_ps(values)), 16);
    __m256i high = _mm256_srli_epi32(round_bf16(_mm256_loadu_ps(values + 8)), 16);
    return _mm256_permute4x64_epi64(_mm256_packus_epi32(low, high), 0xd8);
}

SIMD_INLINE void transpose_words(__m256i rows[8])
{
    __m256 r[8], t[8];
    SIMD_UNROLL
    for (int i = 0; i < 8; i++) {
        r[i] = _mm256_castsi256_ps(rows[i]);
    }
    SIMD_UNROLL
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
    SIMD_UNROLL
    for (int i = 0; i < 8; i += 4) {
        r[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
        r[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
        r[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        r[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
    }
    SIMD_UNROLL
    for (int i = 0; i < 4; i++) {
        rows[i] = _mm256_castps_si256(_mm256_permute2f128_ps(r[i], r[i + 4], 0x20));
        rows[i + 4] = _mm256_castps_si256(_mm256_permute2f128_ps(r[i], r[i + 4], 0x31));
    }
}

/* ---- packing ---- */

/* Words [i, i + 8) of eight vectors, of which n_vectors are there, into panel rows of `width`. */
SIMD_INLINE void pack_square(const enum tw_gemm_format format, const float *source, size_t stride,
                             size_t n_vectors, size_t i, size_t k, size_t width, uint32_t *panel)
{
    size_t per_word = format == TW_GEMM_F32 ? 1 : 2;
    size_t n_words = tw_gemm_words(format, k), first = i * per_word;
    size_t n_values = k - first < 8 * per_word ? k - first : 8 * per_word;
    __m256i rows[8];
    SIMD_UNROLL
    for (size_t v = 0; v < 8; v++) {
        if (v >= n_vectors) {
            rows[v] = _mm256_setzero_si256();
        } else if (n_values == 8 * per_word) {
            rows[v] = words_along(format, source + v * stride + first);
        } else {
            float values[16] = {0};
            memcpy(values, source + v * stride + first, n_values * sizeof *values);
            rows[v] = words_along(format, values);
        }
    }
    transpose_words(rows);
    for (size_t j = 0; j < 8 && i + j < n_words; j++) {
        _mm256_storeu_si256((void *)(panel + (i + j) * width), rows[j]);
    }
}

SIMD_INLINE void pack_rows(const enum tw_gemm_format format, const float *source, size_t stride,
                           size_t n_vectors, size_t k, size_t width, uint32_t *panel)
{
    size_t n_words = tw_gemm_words(format, k);
    for (size_t v = 0; v < width; v += 8) {
        size_t n = n_vectors > v ? n_vectors - v : 0;
        for (size_t i = 0; i < n_words; i += 8) {
            pack_square(format, n != 0 ? source + v * stride : source, stride, n, i, k, width,
                        panel + v);
        }
    }
}

/* Eight values at p of which n are there. */
SIMD_INLINE __m256 load_columns(const float *p, size_t n)
{
    if (n >= 8) {
        return _mm256_loadu_ps(p);
    }
    float values[8] = {0};
    memcpy(values, p, n * sizeof *values);
    return _mm256_loadu_ps(values);
}

SIMD_INLINE void pack_columns(const enum tw_gemm_format format, const float *source, size_t stride,
                              size_t n_vectors, size_t k, size_t width, uint32_t *panel)
{
    size_t per_word = format == TW_GEMM_F32 ? 1 : 2;
    for (size_t i = 0; i < k; i += per_word) {
        for (size_t v = 0; v < width; v += 8) {
            size_t n = n_vectors > v ? n_vectors - v : 0;
            const float *p = n != 0 ? source + i * stride + v : source;
            __m256i word;
            if (format == TW_GEMM_F32) {
                word = _mm256_castps_si256(load_columns(p, n));
            } else {
                __m256i even = _mm256_srli_epi32(round_bf16(load_columns(p, n)), 16);
                __m256 next = i + 1 < k ? load_columns(p + stride, n) : _mm256_setzero_ps();
                word = _mm256_or_si256(even, round_bf16(next));
            }
            _mm256_storeu_si256((void *)panel, word);
            panel += 8;
        }
    }
}

static void pack_rows_f32(const float *source, size_t stride, size_t n_vectors, size_t k,
                          size_t width, uint32_t *panel)
{
    pack_rows(TW_GEMM_F32, source, stride, n_vectors, k, width, panel);
}

static void pack_rows_bf16(const float *source, size_t stride, size_t n_vectors, size_t k,
                           size_t width, uint32_t *panel)
{
    pack_rows(TW_GEMM_BF16, source, stride, n_vectors, k, width, panel);
}

static void pack_columns_f32(const float *source, size_t stride, size_t n_vectors, size_t k,
                             size_t width, uint32_t *panel)
{
    pack_columns(TW_GEMM_F32, source, stride, n_vectors, k, width, panel);
}

static void pack_columns_bf16(const float *source, size_t stride, size_t n_vectors, size_t k,
                              size_t width, uint32_t *panel)
{
    pack_columns(TW_GEMM_BF16, source, stride, n_vectors, k, width, panel);
}

/* ---- tiles ---- */

/* One word of eight rows; pairs as two steps, the odd one first. */
SIMD_INLINE void gemm_step(const enum tw_gemm_format format, const uint32_t *a, const uint32_t *b,
                           vg sums[TW_GEMM_ROWS][SIMD_GEMM_VECTORS])
{
    vg row[SIMD_GEMM_VECTORS], odd[SIMD_GEMM_VECTORS];
    SIMD_UNROLL
    for (int v = 0; v < SIMD_GEMM_VECTORS; v++) {
        row[v] = vg_load(b + SIMD_GEMM_LANES * v);
        if (format == TW_GEMM_BF16) {
            odd[v] = vg_odd(row[v]);
            row[v] = vg_even(row[v]);
        }
    }
    SIMD_UNROLL
    for (int r = 0; r < TW_GEMM_ROWS; r++) {
        SIMD_UNROLL
        for (int v = 0; v < SIMD_GEMM_VECTORS; v++) {
            if (format == TW_GEMM_BF16) {
                sums[r][v] = vg_fma(vg_set1(a[r] & 0xffff0000u), odd[v], sums[r][v]);
                sums[r][v] = vg_fma(vg_set1(a[r] << 16), row[v], sums[r][v]);
            } else {
                sums[r][v] = vg_fma(vg_set1(a[r]), row[v], sums[r][v]);
            }
        }
    }
}

SIMD_INLINE void gemm_tile(const enum tw_gemm_format format, const uint32_t *a, const uint32_t *b,
                           size_t n_words, const float *c0, float *c, size_t c_stride)
{
    for (size_t at = 0; at < TW_GEMM_COLUMNS; at += SIMD_GEMM_LANES * SIMD_GEMM_VECTORS) {
        vg sums[TW_GEMM_ROWS][SIMD_GEMM_VECTORS];
        SIMD_UNROLL
        for (int r = 0; r < TW_GEMM_ROWS; r++) {
            SIMD_UNROLL
            for (int v = 0; v < SIMD_GEMM_VECTORS; v++) {
                size_t place = (size_t)r * c_stride + at + (size_t)(SIMD_GEMM_LANES * v);
                sums[r][v] = c0 != NULL ? vg_load(c0 + place) : vg_zero();
            }
        }
        for (size_t i = 0; i < n_words; i++) {
            gemm_step(format, a + i * TW_GEMM_ROWS, b + i * TW_GEMM_COLUMNS + at, sums);
        }
        SIMD_UNROLL
        for (int r = 0; r < TW_GEMM_ROWS; r++) {
            SIMD_UNROLL
            for (int v = 0; v < SIMD_GEMM_VECTORS; v++) {
                size_t place = (size_t)r * c_stride + at + (size_t)(SIMD_GEMM_LANES * v);
                vg_store(c + place, sums[r][v]);
            }
        }
    }
}

static void gemm_tile_f32(const uint32_t *a, const uint32_t *b, size_t n_words, const float *c0,
                          float *c, size_t c_stride)
{
    gemm_tile(TW_GEMM_F32, a, b, n_words, c0, c, c_stride);
}

/* A call of its own, so that no arithmetic moves across the change of mode around it. */
__attribute__((noinline)) static void gemm_tile_pairs(const uint32_t *a, const uint32_t *b,
                                                      size_t n_words, const float *c0, float *c,
                                                      size_t c_stride)
{
    gemm_tile(TW_GEMM_BF16, a, b, n_words, c0, c, c_stride);
}

/* Without the instruction: two FMAs that take subnormals for zeros, as it does. */
static void gemm_tile_bf16(const uint32_t *a, const uint32_t *b, size_t n_words, const float *c0,
                           float *c, size_t c_stride)
{
    unsigned mode = _mm_getcsr();
    _mm_setcsr(mode | 0x8040u); /* flush to zero, subnormals are zeros */
    gemm_tile_pairs(a, b, n_words, c0, c, c_stride);
    _mm_setcsr(mode);
}

static void set_gemm(struct tw_train_kernels *kernels)
{
    kernels->pack_rows[TW_GEMM_F32] = pack_rows_f32;
    kernels->pack_rows[TW_GEMM_BF16] = pack_rows_bf16;
    kernels->pack_columns[TW_GEMM_F32] = pack_columns_f32;
    kernels->pack_columns[TW_GEMM_BF16] = pack_columns_bf16;
    kernels->gemm_tile[TW_GEMM_F32] = gemm_tile_f32;
    kernels->gemm_tile[TW_GEMM_BF16] = gemm_tile_bf16;
}

#endif
