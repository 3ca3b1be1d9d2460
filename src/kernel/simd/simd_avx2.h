/* simd_avx2.h: sixteen lanes of f32 or i32 as two AVX2 registers; see simd_avx512.h for the
 * meaning of each name.
 */
#ifndef TW_KERNEL_SIMD_SIMD_AVX2_H
#define TW_KERNEL_SIMD_SIMD_AVX2_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

/* Sixteen registers: one panel and two columns at a time. Full-range weights are multiplied as
 * signed bytes, because the unsigned form saturates (vpmaddubsw adds two products in 16 bits). */
#define SIMD_TILE_WHOLE 0
enum { SIMD_TILE_PANELS = 1, SIMD_TILE_COLUMNS = 2, SIMD_FULL_RANGE_IS_SIGNED = 1 };

/* The vector of float products (simd_gemm.h): eight rows of one leave room for its operands. */
typedef __m256 vg;
enum { SIMD_GEMM_LANES = 8, SIMD_GEMM_VECTORS = 1 };

#define SIMD_INLINE static inline __attribute__((always_inline))

typedef struct {
    __m256 lo, hi;
} vf;
typedef struct {
    __m256i lo, hi;
} vi;

SIMD_INLINE vf vf_zero(void)
{
    return (vf){_mm256_setzero_ps(), _mm256_setzero_ps()};
}
SIMD_INLINE vf vf_set1(float x)
{
    __m256 v = _mm256_set1_ps(x);
    return (vf){v, v};
}
SIMD_INLINE vf vf_load(const float *p)
{
    return (vf){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}
SIMD_INLINE void vf_store(float *p, vf x)
{
    _mm256_storeu_ps(p, x.lo);
    _mm256_storeu_ps(p + 8, x.hi);
}
SIMD_INLINE vf vf_add(vf a, vf b)
{
    return (vf){_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)};
}
SIMD_INLINE vf vf_sub(vf a, vf b)
{
    return (vf){_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)};
}
SIMD_INLINE vf vf_mul(vf a, vf b)
{
    return (vf){_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)};
}
SIMD_INLINE vf vf_div(vf a, vf b)
{
    return (vf){_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)};
}
SIMD_INLINE vf vf_sqrt(vf a)
{
    return (vf){_mm256_sqrt_ps(a.lo), _mm256_sqrt_ps(a.hi)};
}
SIMD_INLINE vf vf_fma(vf a, vf b, vf c)
{
    return (vf){_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
SIMD_INLINE vf vf_fnma(vf a, vf b, vf c)
{
    return (vf){_mm256_fnmadd_ps(a.lo, b.lo, c.lo), _mm256_fnmadd_ps(a.hi, b.hi, c.hi)};
}
SIMD_INLINE vf vf_max(vf a, vf b)
{
    return (vf){_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)};
}
SIMD_INLINE vf vf_min(vf a, vf b)
{
    return (vf){_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)};
}
SIMD_INLINE vf vf_abs(vf a)
{
    __m256 sign = _mm256_set1_ps(-0.0f);
    return (vf){_mm256_andnot_ps(sign, a.lo), _mm256_andnot_ps(sign, a.hi)};
}
SIMD_INLINE vf vf_round(vf a)
{
    return (vf){_mm256_round_ps(a.lo, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC),
                _mm256_round_ps(a.hi, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
SIMD_INLINE __m256 power_of_two(__m256 n)
{
    __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23));
}
SIMD_INLINE vf vf_times_power(vf a, vf n)
{
    return (vf){_mm256_mul_ps(a.lo, power_of_two(n.lo)), _mm256_mul_ps(a.hi, power_of_two(n.hi))};
}
SIMD_INLINE vf vf_from_vi(vi a)
{
    return (vf){_mm256_cvtepi32_ps(a.lo), _mm256_cvtepi32_ps(a.hi)};
}
SIMD_INLINE __m256i to_integers(__m256 a)
{
    __m256i valid = _mm256_castps_si256(_mm256_cmp_ps(a, a, _CMP_ORD_Q));
    return _mm256_and_si256(_mm256_cvtps_epi32(a), valid);
}
SIMD_INLINE vi vi_from_vf(vf a)
{
    return (vi){to_integers(a.lo), to_integers(a.hi)};
}
SIMD_INLINE vf vf_load_f16(const void *p)
{
    const __m128i *q = p;
    return (vf){_mm256_cvtph_ps(_mm_loadu_si128(q)), _mm256_cvtph_ps(_mm_loadu_si128(q + 1))};
}
SIMD_INLINE __m256 from_bf16(__m128i halves)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
}
SIMD_INLINE vf vf_load_bf16(const void *p)
{
    const __m128i *q = p;
    return (vf){from_bf16(_mm_loadu_si128(q)), from_bf16(_mm_loadu_si128(q + 1))};
}
SIMD_INLINE vf vf_load_s8(const void *p)
{
    __m128i bytes = _mm_loadu_si128(p);
    return (vf){_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)),
                _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8)))};
}
SIMD_INLINE vi vi_load_u8(const void *p)
{
    __m128i bytes = _mm_loadu_si128(p);
    return (vi){_mm256_cvtepu8_epi32(bytes), _mm256_cvtepu8_epi32(_mm_srli_si128(bytes, 8))};
}
SIMD_INLINE void vf_store_f16(uint16_t *p, vf a)
{
    __m128i *q = (void *)p;
    _mm_storeu_si128(q, _mm256_cvtps_ph(a.lo, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    _mm_storeu_si128(q + 1, _mm256_cvtps_ph(a.hi, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
/* Lanes hold -128..127, so the saturating packs do not change them. */
SIMD_INLINE __m128i pack_16(__m256i a)
{
    return _mm_packs_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
}
SIMD_INLINE void vi_store_s8(void *p, vi a)
{
    _mm_storeu_si128(p, _mm_packs_epi16(pack_16(a.lo), pack_16(a.hi)));
}
SIMD_INLINE vi vi_zero(void)
{
    return (vi){_mm256_setzero_si256(), _mm256_setzero_si256()};
}
SIMD_INLINE vi vi_set1(int32_t x)
{
    __m256i v = _mm256_set1_epi32(x);
    return (vi){v, v};
}
SIMD_INLINE vi vi_set1_u8(int x)
{
    __m256i v = _mm256_set1_epi8((char)x);
    return (vi){v, v};
}
SIMD_INLINE vi vi_load(const void *p)
{
    const __m256i *q = p;
    return (vi){_mm256_load_si256(q), _mm256_load_si256(q + 1)};
}
SIMD_INLINE vi vi_and(vi a, vi b)
{
    return (vi){_mm256_and_si256(a.lo, b.lo), _mm256_and_si256(a.hi, b.hi)};
}
SIMD_INLINE vi vi_or_masked(vi a, vi b, vi mask)
{
    return (vi){_mm256_or_si256(a.lo, _mm256_and_si256(b.lo, mask.lo)),
                _mm256_or_si256(a.hi, _mm256_and_si256(b.hi, mask.hi))};
}
SIMD_INLINE vi vi_shift_left_16(vi a, int n)
{
    return (vi){_mm256_slli_epi16(a.lo, n), _mm256_slli_epi16(a.hi, n)};
}
SIMD_INLINE vi vi_shift_right_16(vi a, int n)
{
    return (vi){_mm256_srli_epi16(a.lo, n), _mm256_srli_epi16(a.hi, n)};
}
SIMD_INLINE vi vi_shift_left_32(vi a, int n)
{
    return (vi){_mm256_slli_epi32(a.lo, n), _mm256_slli_epi32(a.hi, n)};
}
SIMD_INLINE vi vi_shift_right_32(vi a, int n)
{
    return (vi){_mm256_srli_epi32(a.lo, n), _mm256_srli_epi32(a.hi, n)};
}
SIMD_INLINE vi vi_lookup(const uint8_t table[16], vi index)
{
    __m256i t = _mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)table));
    return (vi){_mm256_shuffle_epi8(t, index.lo), _mm256_shuffle_epi8(t, index.hi)};
}
/* Pairs of products fit 16 bits: w is at most 63 here and |a| at most 127. */
SIMD_INLINE __m256i dot_small(__m256i sum, __m256i w, __m256i a)
{
    __m256i pairs = _mm256_maddubs_epi16(w, a);
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
SIMD_INLINE vi vi_dot(vi sum, vi w, vi a)
{
    return (vi){dot_small(sum.lo, w.lo, a.lo), dot_small(sum.hi, w.hi, a.hi)};
}
/* w - 128 as a signed byte: its magnitude times a with its sign. 128 * 127 * 2 still fits. */
SIMD_INLINE __m256i dot_signed(__m256i sum, __m256i w, __m256i a)
{
    __m256i s = _mm256_xor_si256(w, _mm256_set1_epi8((char)0x80));
    return dot_small(sum, _mm256_abs_epi8(s), _mm256_sign_epi8(a, s));
}
/* Here w counts as w - 128: see SIMD_FULL_RANGE_IS_SIGNED. */
SIMD_INLINE vi vi_dot_full_range(vi sum, vi w, vi a)
{
    return (vi){dot_signed(sum.lo, w.lo, a.lo), dot_signed(sum.hi, w.hi, a.hi)};
}
SIMD_INLINE int32_t vi_sum(vi a)
{
    __m256i s8 = _mm256_add_epi32(a.lo, a.hi);
    __m128i s4 = _mm_add_epi32(_mm256_castsi256_si128(s8), _mm256_extracti128_si256(s8, 1));
    __m128i s2 = _mm_add_epi32(s4, _mm_unpackhi_epi64(s4, s4));
    return _mm_cvtsi128_si32(_mm_add_epi32(s2, _mm_shuffle_epi32(s2, 0x55)));
}
SIMD_INLINE float vf_sum16(vf a)
{
    __m256 s8 = _mm256_add_ps(a.lo, a.hi);
    __m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
    __m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));
    return _mm_cvtss_f32(_mm_add_ss(s2, _mm_movehdup_ps(s2)));
}
SIMD_INLINE float vf_max16(vf a)
{
    __m256 m8 = _mm256_max_ps(a.lo, a.hi);
    __m128 m4 = _mm_max_ps(_mm256_castps256_ps128(m8), _mm256_extractf128_ps(m8, 1));
    __m128 m2 = _mm_max_ps(m4, _mm_movehl_ps(m4, m4));
    return _mm_cvtss_f32(_mm_max_ss(m2, _mm_movehdup_ps(m2)));
}
SIMD_INLINE float vf_first(vf a)
{
    return _mm256_cvtss_f32(a.lo);
}

SIMD_INLINE vg vg_zero(void)
{
    return _mm256_setzero_ps();
}
SIMD_INLINE vg vg_load(const void *p)
{
    return _mm256_loadu_ps(p);
}
SIMD_INLINE void vg_store(float *p, vg x)
{
    _mm256_storeu_ps(p, x);
}
SIMD_INLINE vg vg_set1(uint32_t word)
{
    return _mm256_castsi256_ps(_mm256_set1_epi32((int)word));
}
SIMD_INLINE vg vg_fma(vg a, vg b, vg c)
{
    return _mm256_fmadd_ps(a, b, c);
}
SIMD_INLINE vg vg_even(vg pairs)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(pairs), 16));
}
SIMD_INLINE vg vg_odd(vg pairs)
{
    __m256i mask = _mm256_set1_epi32((int)0xffff0000u);
    return _mm256_castsi256_ps(_mm256_and_si256(_mm256_castps_si256(pairs), mask));
}

#endif
