/* simd_avx512.h: sixteen lanes of f32 or i32 as one AVX-512 register.
 *
 * The names below are all that the templates in this folder know of an instruction set; each
 * operation rounds exactly as its scalar form in kernel/ref does. Included by one .c file only.
 */
#ifndef TW_KERNEL_SIMD_SIMD_AVX512_H
#define TW_KERNEL_SIMD_SIMD_AVX512_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

/* The vector of float products (simd_gemm.h), and how many of them lie side by side in a tile. */
typedef __m512 vg;
enum { SIMD_GEMM_LANES = 16, SIMD_GEMM_VECTORS = 2 };

/* What a product keeps in registers at once: both panels, and tiles of up to 8 columns. */
#define SIMD_TILE_WHOLE 1
enum { SIMD_TILE_PANELS = 2, SIMD_TILE_COLUMNS = 8, SIMD_FULL_RANGE_IS_SIGNED = 0 };

#define SIMD_INLINE static inline __attribute__((always_inline))

typedef __m512 vf;
typedef __m512i vi;

SIMD_INLINE vf vf_zero(void)
{
    return _mm512_setzero_ps();
}
SIMD_INLINE vf vf_set1(float x)
{
    return _mm512_set1_ps(x);
}
SIMD_INLINE vf vf_load(const float *p)
{
    return _mm512_loadu_ps(p);
}
SIMD_INLINE void vf_store(float *p, vf x)
{
    _mm512_storeu_ps(p, x);
}
SIMD_INLINE vf vf_add(vf a, vf b)
{
    return _mm512_add_ps(a, b);
}
SIMD_INLINE vf vf_sub(vf a, vf b)
{
    return _mm512_sub_ps(a, b);
}
SIMD_INLINE vf vf_mul(vf a, vf b)
{
    return _mm512_mul_ps(a, b);
}
SIMD_INLINE vf vf_div(vf a, vf b)
{
    return _mm512_div_ps(a, b);
}
SIMD_INLINE vf vf_sqrt(vf a)
{
    return _mm512_sqrt_ps(a);
}
SIMD_INLINE vf vf_fma(vf a, vf b, vf c)
{
    return _mm512_fmadd_ps(a, b, c);
}
SIMD_INLINE vf vf_fnma(vf a, vf b, vf c)
{
    return _mm512_fnmadd_ps(a, b, c);
}
/* b where either is NaN. */
SIMD_INLINE vf vf_max(vf a, vf b)
{
    return _mm512_max_ps(a, b);
}
SIMD_INLINE vf vf_min(vf a, vf b)
{
    return _mm512_min_ps(a, b);
}
SIMD_INLINE vf vf_abs(vf a)
{
    return _mm512_abs_ps(a);
}
SIMD_INLINE vf vf_round(vf a)
{
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
/* a * 2^n for a whole n in [-126, 126]. */
SIMD_INLINE vf vf_times_power(vf a, vf n)
{
    return _mm512_scalef_ps(a, n);
}
SIMD_INLINE vf vf_from_vi(vi a)
{
    return _mm512_cvtepi32_ps(a);
}
/* Round to even; 0 where a is NaN. */
SIMD_INLINE vi vi_from_vf(vf a)
{
    return _mm512_maskz_cvtps_epi32(_mm512_cmp_ps_mask(a, a, _CMP_ORD_Q), a);
}
SIMD_INLINE vf vf_load_f16(const void *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256(p));
}
SIMD_INLINE vf vf_load_bf16(const void *p)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(p)), 16));
}
SIMD_INLINE vf vf_load_s8(const void *p)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(p)));
}
SIMD_INLINE vi vi_load_u8(const void *p)
{
    return _mm512_cvtepu8_epi32(_mm_loadu_si128(p));
}
SIMD_INLINE void vf_store_f16(uint16_t *p, vf a)
{
    _mm256_storeu_si256((void *)p,
                        _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
/* The low byte of each lane. */
SIMD_INLINE void vi_store_s8(void *p, vi a)
{
    _mm_storeu_si128(p, _mm512_cvtepi32_epi8(a));
}
SIMD_INLINE vi vi_zero(void)
{
    return _mm512_setzero_si512();
}
SIMD_INLINE vi vi_set1(int32_t x)
{
    return _mm512_set1_epi32(x);
}
SIMD_INLINE vi vi_set1_u8(int x)
{
    return _mm512_set1_epi8((char)x);
}
SIMD_INLINE vi vi_load(const void *p)
{
    return _mm512_load_si512(p);
}
SIMD_INLINE vi vi_and(vi a, vi b)
{
    return _mm512_and_si512(a, b);
}
/* a | (b & mask) */
SIMD_INLINE vi vi_or_masked(vi a, vi b, vi mask)
{
    return _mm512_ternarylogic_epi32(a, b, mask, 0xf8);
}
SIMD_INLINE vi vi_shift_left_16(vi a, int n)
{
    return _mm512_slli_epi16(a, (unsigned)n);
}
SIMD_INLINE vi vi_shift_right_16(vi a, int n)
{
    return _mm512_srli_epi16(a, (unsigned)n);
}
SIMD_INLINE vi vi_shift_left_32(vi a, int n)
{
    return _mm512_slli_epi32(a, (unsigned)n);
}
SIMD_INLINE vi vi_shift_right_32(vi a, int n)
{
    return _mm512_srli_epi32(a, (unsigned)n);
}
/* Bytes of a 16-entry table by the low 4 bits of each byte of index (0..15). */
SIMD_INLINE vi vi_lookup(const uint8_t table[16], vi index)
{
    __m128i t = _mm_loadu_si128((const void *)table);
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(t), index);
}
/* Per lane: sum + the dot product of 4 unsigned bytes of w with 4 signed bytes of a. */
SIMD_INLINE vi vi_dot(vi sum, vi w, vi a)
{
    return _mm512_dpbusd_epi32(sum, w, a);
}
/* The same for w up to 255. */
SIMD_INLINE vi vi_dot_full_range(vi sum, vi w, vi a)
{
    return _mm512_dpbusd_epi32(sum, w, a);
}
SIMD_INLINE int32_t vi_sum(vi a)
{
    return _mm512_reduce_add_epi32(a);
}
SIMD_INLINE float vf_sum16(vf a)
{
    __m256 s8 = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    __m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
    __m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));
    return _mm_cvtss_f32(_mm_add_ss(s2, _mm_movehdup_ps(s2)));
}
SIMD_INLINE float vf_max16(vf a)
{
    return _mm512_reduce_max_ps(a);
}
SIMD_INLINE float vf_first(vf a)
{
    return _mm512_cvtss_f32(a);
}

SIMD_INLINE vg vg_zero(void)
{
    return _mm512_setzero_ps();
}
SIMD_INLINE vg vg_load(const void *p)
{
    return _mm512_loadu_ps(p);
}
SIMD_INLINE void vg_store(float *p, vg x)
{
    _mm512_storeu_ps(p, x);
}
SIMD_INLINE vg vg_set1(uint32_t word)
{
    return _mm512_castsi512_ps(_mm512_set1_epi32((int)word));
}
SIMD_INLINE vg vg_fma(vg a, vg b, vg c)
{
    return _mm512_fmadd_ps(a, b, c);
}
/* The even and the odd bf16 of each pair, as f32. */
SIMD_INLINE vg vg_even(vg pairs)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(pairs), 16));
}
SIMD_INLINE vg vg_odd(vg pairs)
{
    __m512i mask = _mm512_set1_epi32((int)0xffff0000u);
    return _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(pairs), mask));
}

#endif
