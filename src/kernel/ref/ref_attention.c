/* Reference attention over one page, and the merge of segments. */
#include <math.h>
#include <string.h>

#include "kernel/ref/ref.h"
#include "tensor/f16.h"

enum { PAGE_TOKENS = 64 };

struct page_view {
    enum tw_dtype dtype;
    uint32_t dim; /* head_dim rounded up to 16 */
    const uint8_t *keys, *values;
    const uint8_t *key_scales, *value_scales; /* f32 [64], Q8_0 only */
};

static struct page_view view_of(enum tw_dtype dtype, uint32_t head_dim, const uint8_t *page)
{
    uint32_t dim = (head_dim + 15) / 16 * 16;
    size_t part_bytes = (size_t)PAGE_TOKENS * dim * (dtype == TW_DTYPE_F16 ? 2 : 1);
    return (struct page_view){.dtype = dtype,
                              .dim = dim,
                              .keys = page,
                              .values = page + part_bytes,
                              .key_scales = page + 2 * part_bytes,
                              .value_scales = page + 2 * part_bytes + 4 * PAGE_TOKENS};
}

static float load_f32(const uint8_t *at, size_t i)
{
    float value;
    memcpy(&value, at + 4 * i, 4);
    return value;
}

static float load_item(enum tw_dtype dtype, const uint8_t *items, size_t i)
{
    if (dtype == TW_DTYPE_F16) {
        uint16_t half;
        memcpy(&half, items + 2 * i, 2);
        return tw_f16_to_f32(half);
    }
    return (float)(int8_t)items[i];
}

static size_t key_index(const struct page_view *view, uint32_t t, uint32_t d)
{
    return ((size_t)(t / 16) * view->dim + d) * 16 + t % 16;
}

static float score(const struct page_view *view, uint32_t t, const float *queries, uint32_t j)
{
    float s = 0;
    for (uint32_t d = 0; d < view->dim; d++) {
        float k = load_item(view->dtype, view->keys, key_index(view, t, d));
        s = fmaf(k, queries[TW_ATTENTION_HEADS_MAX * d + j], s);
    }
    return view->dtype == TW_DTYPE_F16 ? s : s * load_f32(view->key_scales, t);
}

static void attend_head(const struct page_view *view, uint32_t n_tokens, const float *queries,
                        uint32_t j, struct tw_attention_state *state)
{
    float p[PAGE_TOKENS] = {0};
    float m = state->m[j];
    for (uint32_t t = 0; t < n_tokens; t++) {
        p[t] = score(view, t, queries, j);
        m = p[t] > m ? p[t] : m;
    }
    for (uint32_t t = 0; t < n_tokens; t++) {
        p[t] = tw_ref_exp2(p[t] - m);
    }
    float c = tw_ref_exp2(state->m[j] - m);
    float lanes[16];
    for (int i = 0; i < 16; i++) {
        lanes[i] = (p[i] + p[16 + i]) + (p[32 + i] + p[48 + i]);
    }
    state->m[j] = m;
    state->l[j] = fmaf(state->l[j], c, tw_ref_sum16(lanes));
    for (uint32_t t = 0; t < n_tokens && view->dtype != TW_DTYPE_F16; t++) {
        p[t] = p[t] * load_f32(view->value_scales, t);
    }
    for (uint32_t d = 0; d < view->dim; d++) {
        float o = state->o[j][d] * c;
        for (uint32_t t = 0; t < n_tokens; t++) {
            float v = load_item(view->dtype, view->values, (size_t)t * view->dim + d);
            o = fmaf(p[t], v, o);
        }
        state->o[j][d] = o;
    }
}

static void attend_page(enum tw_dtype dtype, const uint8_t *page, const uint8_t *next_page,
                        uint32_t n_tokens, uint32_t head_dim, const float *queries,
                        uint32_t n_heads, struct tw_attention_state *state)
{
    (void)next_page;
    struct page_view view = view_of(dtype, head_dim, page);
    for (uint32_t j = 0; j < n_heads; j++) {
        attend_head(&view, n_tokens, queries, j, state);
    }
}

static void attend_merge(struct tw_attention_state *state, const struct tw_attention_state *later,
                         uint32_t head_dim, uint32_t n_heads)
{
    for (uint32_t j = 0; j < n_heads; j++) {
        float m = later->m[j] > state->m[j] ? later->m[j] : state->m[j];
        float a = tw_ref_exp2(state->m[j] - m);
        float b = tw_ref_exp2(later->m[j] - m);
        state->m[j] = m;
        state->l[j] = fmaf(later->l[j], b, state->l[j] * a);
        for (uint32_t d = 0; d < head_dim; d++) {
            state->o[j][d] = fmaf(later->o[j][d], b, state->o[j][d] * a);
        }
    }
}

static void store_bytes(const float *x, uint32_t n, uint8_t *at, size_t stride, uint8_t *scale_at)
{
    float largest = tw_ref_largest_magnitude(x, n);
    float inverse = tw_ref_byte_inverse(largest);
    float scale = largest / 127.0f;
    memcpy(scale_at, &scale, 4);
    for (uint32_t d = 0; d < n; d++) {
        at[d * stride] = (uint8_t)tw_ref_quantise_value(x[d], inverse);
    }
}

static void kv_store(enum tw_dtype dtype, const float *key, const float *value, uint32_t head_dim,
                     uint32_t slot, uint8_t *page)
{
    struct page_view view = view_of(dtype, head_dim, page);
    size_t part_bytes = (size_t)(view.values - view.keys);
    size_t first_key = key_index(&view, slot, 0);
    size_t first_value = (size_t)slot * view.dim;
    if (dtype != TW_DTYPE_F16) {
        uint8_t *scales = page + 2 * part_bytes;
        store_bytes(key, head_dim, page + first_key, 16, scales + 4 * slot);
        store_bytes(value, head_dim, page + part_bytes + first_value, 1,
                    scales + 4 * (PAGE_TOKENS + slot));
        return;
    }
    for (uint32_t d = 0; d < head_dim; d++) {
        uint16_t k = tw_f32_to_f16(key[d]), v = tw_f32_to_f16(value[d]);
        memcpy(page + 2 * (first_key + 16 * (size_t)d), &k, 2);
        memcpy(page + part_bytes + 2 * (first_value + d), &v, 2);
    }
}

void tw_ref_init_attention(struct tw_kernels *kernels)
{
    kernels->attend_page = attend_page;
    kernels->attend_merge = attend_merge;
    kernels->kv_store = kv_store;
}
