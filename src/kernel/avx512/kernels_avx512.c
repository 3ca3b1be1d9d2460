/* The templates of kernel/simd, compiled for this level, and its product of bf16 pairs. */
#include "kernel/kernels.h"
#include "kernel/simd/simd_avx512.h"

#include "kernel/simd/simd_tile.h"
#include "kernel/simd/simd_vector.h"

#include "kernel/simd/simd_attention.h"
#include "kernel/simd/simd_gemm.h"
#include "kernel/simd/simd_train.h"

void tw_kernels_init_avx512(struct tw_kernels *kernels)
{
    set_tiles(kernels);
    set_vectors(kernels);
    set_attention(kernels);
}

/* vdpbf16ps: both products of a pair in one instruction, as fast as an FMA. */
__attribute__((target("avx512bf16"))) static void gemm_tile_native(const uint32_t *a,
                                                                   const uint32_t *b,
                                                                   size_t n_words, const float *c0,
                                                                   float *c, size_t c_stride)
{
    __m512 sums[TW_GEMM_ROWS][2];
    SIMD_UNROLL
    for (size_t r = 0; r < TW_GEMM_ROWS; r++) {
        sums[r][0] = c0 != NULL ? _mm512_loadu_ps(c0 + r * c_stride) : _mm512_setzero_ps();
        sums[r][1] = c0 != NULL ? _mm512_loadu_ps(c0 + r * c_stride + 16) : _mm512_setzero_ps();
    }
    for (size_t i = 0; i < n_words; i++) {
        __m512bh low = (__m512bh)_mm512_loadu_si512(b + i * TW_GEMM_COLUMNS);
        __m512bh high = (__m512bh)_mm512_loadu_si512(b + i * TW_GEMM_COLUMNS + 16);
        SIMD_UNROLL
        for (size_t r = 0; r < TW_GEMM_ROWS; r++) {
            __m512bh pair = (__m512bh)_mm512_set1_epi32((int)a[i * TW_GEMM_ROWS + r]);
            sums[r][0] = _mm512_dpbf16_ps(sums[r][0], pair, low);
            sums[r][1] = _mm512_dpbf16_ps(sums[r][1], pair, high);
        }
    }
    SIMD_UNROLL
    for (size_t r = 0; r < TW_GEMM_ROWS; r++) {
        _mm512_storeu_ps(c + r * c_stride, sums[r][0]);
        _mm512_storeu_ps(c + r * c_stride + 16, sums[r][1]);
    }
}

void tw_train_kernels_init_avx512(struct tw_train_kernels *kernels, bool has_bf16)
{
    set_gemm(kernels);
    set_train(kernels);
    if (has_bf16) {
        kernels->gemm_tile[TW_GEMM_BF16] = gemm_tile_native;
    }
}
