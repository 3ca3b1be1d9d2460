/* simd_attention.h: attention over one page of the KV cache in sixteen lanes.
 *
 *     scores: a lane is a token; keys lie as [t/16][d][16], so 16 tokens of one d are one load that
 *             serves every query head of the group
 *     values: a lane is a dimension; values lie as [t][d]
 *
 * Each key and value is loaded and converted once for up to 8 query heads: with grouped heads the
 * kernel is bound by FMA (F16: 7 or 8 heads) or by memory (fewer). The next page is prefetched line
 * by line beside the work on this one.
 *
 * The file that includes this has included simd_avx2.h or simd_avx512.h before.
 */
#ifndef TW_KERNEL_SIMD_SIMD_ATTENTION_H
#define TW_KERNEL_SIMD_SIMD_ATTENTION_H

#include "kernel/kernels.h"
#include "kernel/simd/simd_tile.h"
#include "kernel/simd/simd_vector.h"

enum { PAGE_TOKENS = 64 };

/* One page, with the sizes the loops need. */
struct page_view {
    const uint8_t *keys, *values, *next_keys, *next_values;
    const float *key_scales, *value_scales; /* Q8_0 only */
    size_t dim;
    size_t item_bytes;
};

SIMD_INLINE vf load_items(const enum tw_dtype dtype, const uint8_t *p)
{
    return dtype == TW_DTYPE_F16 ? vf_load_f16(p) : vf_load_s8(p);
}

SIMD_INLINE void prefetch_line(const uint8_t *p)
{
    _mm_prefetch((const char *)p, _MM_HINT_T0);
}

/* scores[j][t] for sixteen tokens from t0 on. */
SIMD_INLINE void score_tokens(const enum tw_dtype dtype, const int n_heads,
                              const struct page_view *view, size_t t0, const float *queries,
                              float scores[TW_ATTENTION_HEADS_MAX][PAGE_TOKENS])
{
    vf sums[TW_ATTENTION_HEADS_MAX];
    SIMD_UNROLL
    for (int j = 0; j < n_heads; j++) {
        sums[j] = vf_zero();
    }
    size_t begin = t0 * view->dim * view->item_bytes;
    const uint8_t *keys = view->keys + begin;
    const uint8_t *next = view->next_keys + begin;
    size_t row_bytes = 16 * view->item_bytes;
    for (size_t d = 0; d < view->dim; d++) {
        prefetch_line(next + d * row_bytes);
        vf k = load_items(dtype, keys + d * row_bytes);
        SIMD_UNROLL
        for (int j = 0; j < n_heads; j++) {
            vf q = vf_set1(queries[TW_ATTENTION_HEADS_MAX * d + (size_t)j]);
            sums[j] = vf_fma(k, q, sums[j]);
        }
    }
    SIMD_UNROLL
    for (int j = 0; j < n_heads; j++) {
        if (dtype != TW_DTYPE_F16) {
            sums[j] = vf_mul(sums[j], vf_load(view->key_scales + t0));
        }
        vf_store(&scores[j][t0], sums[j]);
    }
}

/* Scores of one head become weights 2^(score - m'); returns what the old sums shrink by. */
static float soften(size_t n_tokens, float *scores, float *m, float *l)
{
    for (size_t t = n_tokens; t < PAGE_TOKENS; t++) {
        scores[t] = -INFINITY;
    }
    vf largest = vf_set1(*m);
    for (size_t t = 0; t < PAGE_TOKENS; t += 16) {
        largest = vf_max(vf_load(scores + t), largest);
    }
    float next_m = vf_max16(largest);
    vf p[4];
    SIMD_UNROLL
    for (int i = 0; i < 4; i++) {
        p[i] = vf_exp2(vf_sub(vf_load(scores + 16 * i), vf_set1(next_m)));
        vf_store(scores + 16 * i, p[i]);
    }
    if (n_tokens < PAGE_TOKENS) {
        memset(scores + n_tokens, 0, (PAGE_TOKENS - n_tokens) * sizeof *scores);
        SIMD_UNROLL
        for (int i = 0; i < 4; i++) {
            p[i] = vf_load(scores + 16 * i);
        }
    }
    float shrink = vf_first(vf_exp2(vf_set1(*m - next_m)));
    *m = next_m;
    *l = fmaf(*l, shrink, vf_sum16(vf_add(vf_add(p[0], p[1]), vf_add(p[2], p[3]))));
    return shrink;
}

/* o[j][d..d+15] for all heads. */
SIMD_INLINE void add_values(const enum tw_dtype dtype, const int n_heads,
                            const struct page_view *view, size_t n_tokens, size_t d,
                            float weights[TW_ATTENTION_HEADS_MAX][PAGE_TOKENS],
                            const float *shrinks, struct tw_attention_state *state)
{
    vf sums[TW_ATTENTION_HEADS_MAX];
    SIMD_UNROLL
    for (int j = 0; j < n_heads; j++) {
        sums[j] = vf_mul(vf_load(&state->o[j][d]), vf_set1(shrinks[j]));
    }
    size_t row_bytes = view->dim * view->item_bytes;
    const uint8_t *values = view->values + d * view->item_bytes;
    const uint8_t *next = view->next_values + d * view->item_bytes;
    for (size_t t = 0; t < n_tokens; t++) {
        prefetch_line(next + t * row_bytes);
        vf v = load_items(dtype, values + t * row_bytes);
        SIMD_UNROLL
        for (int j = 0; j < n_heads; j++) {
            sums[j] = vf_fma(vf_set1(weights[j][t]), v, sums[j]);
        }
    }
    SIMD_UNROLL
    for (int j = 0; j < n_heads; j++) {
        vf_store(&state->o[j][d], sums[j]);
    }
}

SIMD_INLINE void attend(const enum tw_dtype dtype, const int n_heads, const struct page_view *view,
                        size_t n_tokens, const float *queries, struct tw_attention_state *state)
{
    _Alignas(64) float weights[TW_ATTENTION_HEADS_MAX][PAGE_TOKENS];
    float shrinks[TW_ATTENTION_HEADS_MAX];
    for (size_t t0 = 0; t0 < n_tokens; t0 += 16) {
        score_tokens(dtype, n_heads, view, t0, queries, weights);
    }
    for (int j = 0; j < n_heads; j++) {
        shrinks[j] = soften(n_tokens, weights[j], &state->m[j], &state->l[j]);
        for (size_t t = 0; dtype != TW_DTYPE_F16 && t < PAGE_TOKENS; t += 16) {
            vf scaled = vf_mul(vf_load(&weights[j][t]), vf_load(view->value_scales + t));
            vf_store(&weights[j][t], scaled);
        }
    }
    for (size_t d = 0; d < view->dim; d += 16) {
        add_values(dtype, n_heads, view, n_tokens, d, weights, shrinks, state);
    }
}

SIMD_INLINE void attend_any(const enum tw_dtype dtype, uint32_t n_heads,
                            const struct page_view *view, size_t n_tokens, const float *queries,
                            struct tw_attention_state *state)
{
    switch (n_heads) {
    case 1:
        attend(dtype, 1, view, n_tokens, queries, state);
        break;
    case 2:
        attend(dtype, 2, view, n_tokens, queries, state);
        break;
    case 3:
        attend(dtype, 3, view, n_tokens, queries, state);
        break;
    case 4:
        attend(dtype, 4, view, n_tokens, queries, state);
        break;
    case 5:
        attend(dtype, 5, view, n_tokens, queries, state);
        break;
    case 6:
        attend(dtype, 6, view, n_tokens, queries, state);
        break;
    case 7:
        attend(dtype, 7, view, n_tokens, queries, state);
        break;
    default:
        attend(dtype, 8, view, n_tokens, queries, state);
        break;
    }
}

static void attend_page(enum tw_dtype dtype, const uint8_t *page, const uint8_t *next_page,
                        uint32_t n_tokens, uint32_t head_dim, const float *queries,
                        uint32_t n_heads, struct tw_attention_state *state)
{
    size_t dim = (head_dim + 15) / 16 * 16;
    size_t item_bytes = dtype == TW_DTYPE_F16 ? 2 : 1;
    size_t part_bytes = PAGE_TOKENS * dim * item_bytes;
    const void *scales = page + 2 * part_bytes;
    struct page_view view = {
        .keys = page,
        .values = page + part_bytes,
        .next_keys = next_page,
        .next_values = next_page + part_bytes,
        .key_scales = scales,
        .value_scales = (const float *)scales + PAGE_TOKENS,
        .dim = dim,
        .item_bytes = item_bytes,
    };
    if (dtype == TW_DTYPE_F16) {
        attend_any(TW_DTYPE_F16, n_heads, &view, n_tokens, queries, state);
    } else {
        attend_any(TW_DTYPE_Q8_0, n_heads, &view, n_tokens, queries, state);
    }
}

static void attend_merge(struct tw_attention_state *state, const struct tw_attention_state *later,
                         uint32_t head_dim, uint32_t n_heads)
{
    for (uint32_t j = 0; j < n_heads; j++) {
        float m = later->m[j] > state->m[j] ? later->m[j] : state->m[j];
        vf a = vf_exp2(vf_set1(state->m[j] - m));
        vf b = vf_exp2(vf_set1(later->m[j] - m));
        state->m[j] = m;
        state->l[j] = fmaf(later->l[j], vf_first(b), state->l[j] * vf_first(a));
        for (uint32_t d = 0; d < head_dim; d += 16) {
            vf o = vf_mul(vf_load(&state->o[j][d]), a);
            vf_store(&state->o[j][d], vf_fma(vf_load(&later->o[j][d]), b, o));
        }
    }
}

/* Keys are scattered to their lane, values are a row. */
static void store_f16(const float *x, uint32_t head_dim, uint16_t *first, size_t stride)
{
    for (uint32_t d = 0; d < head_dim; d += 16) {
        uint32_t n = head_dim - d < 16 ? head_dim - d : 16;
        uint16_t halves[16];
        vf_store_f16(halves, n == 16 ? vf_load(x + d) : vf_load_part(x + d, n));
        if (stride == 1) {
            memcpy(first + d, halves, n * sizeof *halves);
            continue;
        }
        for (uint32_t i = 0; i < n; i++) {
            first[(d + i) * stride] = halves[i];
        }
    }
}

static void store_s8(const float *x, uint32_t head_dim, uint8_t *first, size_t stride,
                     float *ret_scale)
{
    vf magnitude = vf_zero();
    for (uint32_t d = 0; d < head_dim; d += 16) {
        uint32_t n = head_dim - d < 16 ? head_dim - d : 16;
        magnitude = vf_max(vf_abs(n == 16 ? vf_load(x + d) : vf_load_part(x + d, n)), magnitude);
    }
    float largest = vf_max16(magnitude);
    vf inverse = vf_set1(largest >= TW_BYTE_SMALLEST ? 127.0f / largest : 0);
    *ret_scale = largest / 127.0f;
    for (uint32_t d = 0; d < head_dim; d += 16) {
        uint32_t n = head_dim - d < 16 ? head_dim - d : 16;
        uint8_t bytes[16];
        vf v = n == 16 ? vf_load(x + d) : vf_load_part(x + d, n);
        vi_store_s8(bytes, vi_from_vf(vf_mul(v, inverse)));
        for (uint32_t i = 0; i < n; i++) {
            first[(d + i) * stride] = bytes[i];
        }
    }
}

static void kv_store(enum tw_dtype dtype, const float *key, const float *value, uint32_t head_dim,
                     uint32_t slot, uint8_t *page)
{
    size_t dim = (head_dim + 15) / 16 * 16;
    size_t first_key = slot / 16 * dim * 16 + slot % 16;
    size_t first_value = PAGE_TOKENS * dim + slot * dim;
    if (dtype == TW_DTYPE_F16) {
        uint16_t *halves = (uint16_t *)(void *)page;
        store_f16(key, head_dim, halves + first_key, 16);
        store_f16(value, head_dim, halves + first_value, 1);
        return;
    }
    float *scales = (float *)(void *)(page + 2 * PAGE_TOKENS * dim);
    store_s8(key, head_dim, page + first_key, 16, &scales[slot]);
    store_s8(value, head_dim, page + first_value, 1, &scales[PAGE_TOKENS + slot]);
}

static void set_attention(struct tw_kernels *kernels)
{
    kernels->attend_page = attend_page;
    kernels->attend_merge = attend_merge;
    kernels->kv_store = kv_store;
}

#endif
