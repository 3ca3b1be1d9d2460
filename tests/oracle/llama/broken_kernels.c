/* Kernels with one mistake each, to prove that the comparison with llama.cpp notices mistakes.
 *
 * logits_broken is logits_tool with the linker's --wrap=tw_kernels_init: the table of kernels is
 * filled as always, and then TW_BROKEN names the entry that is exchanged for a wrong one. Nothing
 * in the product knows of this. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "kernel/kernels.h"

void __real_tw_kernels_init(struct tw_kernels *kernels, enum tw_cpu_level level);
void __wrap_tw_kernels_init(struct tw_kernels *kernels, enum tw_cpu_level level);

static struct tw_kernels sound;

enum { ACTS_MOST = 1 << 20, PAGE_TOKENS = 64 };

/* ---- products ---- */

/* A tile function does not hear its format and width: one wrong version for each of them. */
#define FOR_EACH_WIDTH(M, mistake, dtype)                                                          \
    M(mistake, dtype, 1)                                                                           \
    M(mistake, dtype, 2)                                                                           \
    M(mistake, dtype, 3)                                                                           \
    M(mistake, dtype, 4)                                                                           \
    M(mistake, dtype, 5)                                                                           \
    M(mistake, dtype, 6)                                                                           \
    M(mistake, dtype, 7)                                                                           \
    M(mistake, dtype, 8)

#define DEFINE_TILE(mistake, dtype, width)                                                         \
    static void mistake##_##dtype##_##width(const uint8_t *group, const void *acts,                \
                                            size_t n_steps, float *ret_tile,                       \
                                            const uint8_t *prefetch, size_t prefetch_lines)        \
    {                                                                                              \
        mistake(TW_DTYPE_##dtype, width, group, acts, n_steps, ret_tile, prefetch,                 \
                prefetch_lines);                                                                   \
    }

#define TAKE_TILE(mistake, dtype, width)                                                           \
    kernels->tile[TW_DTYPE_##dtype][width - 1] = mistake##_##dtype##_##width;

static void drop_last_step(enum tw_dtype dtype, uint32_t width, const uint8_t *group,
                           const void *acts, size_t n_steps, float *ret_tile,
                           const uint8_t *prefetch, size_t prefetch_lines)
{
    sound.tile[dtype][width - 1](group, acts, n_steps - 1, ret_tile, prefetch, prefetch_lines);
}

/* The block minima meet sums of zero. */
static void forget_minima(enum tw_dtype dtype, uint32_t width, const uint8_t *group,
                          const void *acts, size_t n_steps, float *ret_tile,
                          const uint8_t *prefetch, size_t prefetch_lines)
{
    static _Thread_local _Alignas(64) uint8_t copy[ACTS_MOST];
    size_t block_bytes = (size_t)width * TW_ACT_BLOCK_BYTES;
    size_t n_blocks = n_steps * tw_layout_of(dtype).step_columns / TW_ACT_BLOCK;
    if (n_blocks * block_bytes > sizeof copy) {
        abort();
    }
    memcpy(copy, acts, n_blocks * block_bytes);
    for (size_t b = 0; b < n_blocks; b++) {
        memset(copy + b * block_bytes + 12 * (size_t)width, 0, 4 * (size_t)width);
    }
    sound.tile[dtype][width - 1](group, copy, n_steps, ret_tile, prefetch, prefetch_lines);
}

/* One row in 32 takes its first step a quarter too large. */
static void enlarge_a_scale(enum tw_dtype dtype, uint32_t width, const uint8_t *group,
                            const void *acts, size_t n_steps, float *ret_tile,
                            const uint8_t *prefetch, size_t prefetch_lines)
{
    _Alignas(64) float first[TW_TILE_COLUMNS_MAX * TW_GROUP_ROWS];
    sound.tile[dtype][width - 1](group, acts, 1, first, prefetch, 0);
    sound.tile[dtype][width - 1](group, acts, n_steps, ret_tile, prefetch, prefetch_lines);
    for (uint32_t j = 0; j < width; j++) {
        ret_tile[j * TW_GROUP_ROWS + 7] += first[j * TW_GROUP_ROWS + 7] / 4;
    }
}

FOR_EACH_WIDTH(DEFINE_TILE, drop_last_step, F32)
FOR_EACH_WIDTH(DEFINE_TILE, drop_last_step, Q8_0)
FOR_EACH_WIDTH(DEFINE_TILE, drop_last_step, Q4_K)
FOR_EACH_WIDTH(DEFINE_TILE, forget_minima, Q4_K)
FOR_EACH_WIDTH(DEFINE_TILE, enlarge_a_scale, Q8_0)

static void break_last_step(struct tw_kernels *kernels)
{
    FOR_EACH_WIDTH(TAKE_TILE, drop_last_step, F32)
    FOR_EACH_WIDTH(TAKE_TILE, drop_last_step, Q8_0)
    FOR_EACH_WIDTH(TAKE_TILE, drop_last_step, Q4_K)
}

static void break_minima(struct tw_kernels *kernels)
{
    FOR_EACH_WIDTH(TAKE_TILE, forget_minima, Q4_K)
}

static void break_block_scale(struct tw_kernels *kernels)
{
    FOR_EACH_WIDTH(TAKE_TILE, enlarge_a_scale, Q8_0)
}

/* ---- norm, rotation, activation ---- */

static void norm_without_epsilon(const float *x, const float *weight, size_t n, float eps, float *y)
{
    (void)eps;
    sound.rms_norm(x, weight, n, 0.0f, y);
}

static void rotate_other_pairs(float *x, const float *cosines, const float *sines, size_t n_dims,
                               int interleaved)
{
    sound.rope(x, cosines, sines, n_dims, !interleaved);
}

static void rotate_backwards(float *x, const float *cosines, const float *sines, size_t n_dims,
                             int interleaved)
{
    float turned[TW_HEAD_DIM_MAX / 2];
    for (size_t i = 0; i < n_dims / 2; i++) {
        turned[i] = -sines[i];
    }
    sound.rope(x, cosines, turned, n_dims, interleaved);
}

/* The fast pairs are right; the slower half does not turn at all. */
static void rotate_fast_pairs(float *x, const float *cosines, const float *sines, size_t n_dims,
                              int interleaved)
{
    float some_cosines[TW_HEAD_DIM_MAX / 2], some_sines[TW_HEAD_DIM_MAX / 2];
    size_t n_pairs = n_dims / 2;
    for (size_t i = 0; i < n_pairs; i++) {
        bool is_fast = i < n_pairs / 2;
        some_cosines[i] = is_fast ? cosines[i] : 1.0f;
        some_sines[i] = is_fast ? sines[i] : 0.0f;
    }
    sound.rope(x, some_cosines, some_sines, n_dims, interleaved);
}

static void activate_roughly(const float *gate, const float *up, size_t n, float *y)
{
    for (size_t i = 0; i < n; i++) {
        y[i] = gate[i] / (1.0f + expf(-1.1f * gate[i])) * up[i];
    }
}

/* ---- attention ---- */

static void attend_next_page(enum tw_dtype dtype, const uint8_t *page, const uint8_t *next_page,
                             uint32_t n_tokens, uint32_t head_dim, const float *queries,
                             uint32_t n_heads, struct tw_attention_state *state)
{
    (void)page;
    sound.attend_page(dtype, next_page, next_page, n_tokens, head_dim, queries, n_heads, state);
}

static void attend_one_less(enum tw_dtype dtype, const uint8_t *page, const uint8_t *next_page,
                            uint32_t n_tokens, uint32_t head_dim, const float *queries,
                            uint32_t n_heads, struct tw_attention_state *state)
{
    uint32_t n_seen = n_tokens == PAGE_TOKENS ? n_tokens - 1 : n_tokens;
    sound.attend_page(dtype, page, next_page, n_seen, head_dim, queries, n_heads, state);
}

/* 1 / sqrt(d - 4) for 1 / sqrt(d). */
static void attend_with_wrong_scale(enum tw_dtype dtype, const uint8_t *page,
                                    const uint8_t *next_page, uint32_t n_tokens, uint32_t head_dim,
                                    const float *queries, uint32_t n_heads,
                                    struct tw_attention_state *state)
{
    _Alignas(64) float scaled[TW_HEAD_DIM_MAX * TW_ATTENTION_HEADS_MAX];
    size_t n = (size_t)(head_dim + 15) / 16 * 16 * TW_ATTENTION_HEADS_MAX;
    float factor = sqrtf((float)head_dim / ((float)head_dim - 4.0f));
    for (size_t i = 0; i < n; i++) {
        scaled[i] = queries[i] * factor;
    }
    sound.attend_page(dtype, page, next_page, n_tokens, head_dim, scaled, n_heads, state);
}

static void break_epsilon(struct tw_kernels *kernels)
{
    kernels->rms_norm = norm_without_epsilon;
}

static void break_rope_pairs(struct tw_kernels *kernels)
{
    kernels->rope = rotate_other_pairs;
}

static void break_rope_sign(struct tw_kernels *kernels)
{
    kernels->rope = rotate_backwards;
}

static void break_slow_pairs(struct tw_kernels *kernels)
{
    kernels->rope = rotate_fast_pairs;
}

static void break_activation(struct tw_kernels *kernels)
{
    kernels->silu_mul = activate_roughly;
}

static void break_page(struct tw_kernels *kernels)
{
    kernels->attend_page = attend_next_page;
}

static void break_page_end(struct tw_kernels *kernels)
{
    kernels->attend_page = attend_one_less;
}

static void break_score_scale(struct tw_kernels *kernels)
{
    kernels->attend_page = attend_with_wrong_scale;
}

/* ---- routing: not in the table, so wrapped on its own ---- */

void __real_tw_kernels_route(const float *logits, uint32_t n_experts, uint32_t n_used,
                             bool is_normed, uint32_t *ret_experts, float *ret_weights);
void __wrap_tw_kernels_route(const float *logits, uint32_t n_experts, uint32_t n_used,
                             bool is_normed, uint32_t *ret_experts, float *ret_weights);

static bool is_broken(const char *name)
{
    const char *broken = getenv("TW_BROKEN");
    return broken != NULL && strcmp(broken, name) == 0;
}

/* The last expert taken gives way to the best one that was not. */
static void take_the_next(const float *logits, uint32_t n_experts, uint32_t n_used,
                          uint32_t *experts)
{
    uint32_t more[TW_LIMIT_MODEL_EXPERTS_USED];
    float weights[TW_LIMIT_MODEL_EXPERTS_USED];
    if (n_used < n_experts && n_used < TW_LIMIT_MODEL_EXPERTS_USED) {
        __real_tw_kernels_route(logits, n_experts, n_used + 1, true, more, weights);
        experts[n_used - 1] = more[n_used];
    }
}

void __wrap_tw_kernels_route(const float *logits, uint32_t n_experts, uint32_t n_used,
                             bool is_normed, uint32_t *ret_experts, float *ret_weights)
{
    bool sums = is_broken("expert-sum") ? !is_normed : is_normed;
    __real_tw_kernels_route(logits, n_experts, n_used, sums, ret_experts, ret_weights);
    if (is_broken("expert-rank")) {
        take_the_next(logits, n_experts, n_used, ret_experts);
    }
    for (uint32_t i = 0; is_broken("expert-weight") && i < n_used; i++) {
        ret_weights[i] = 1.0f / (float)n_used;
    }
}

static void break_nothing_here(struct tw_kernels *kernels)
{
    (void)kernels;
}

static const struct {
    const char *name;
    void (*apply)(struct tw_kernels *kernels);
} mistakes[] = {
    {"last-step", break_last_step},
    {"minima", break_minima},
    {"block-scale", break_block_scale},
    {"epsilon", break_epsilon},
    {"rope-pairs", break_rope_pairs},
    {"rope-sign", break_rope_sign},
    {"slow-pairs", break_slow_pairs},
    {"activation", break_activation},
    {"page", break_page},
    {"page-end", break_page_end},
    {"score-scale", break_score_scale},
    {"expert-sum", break_nothing_here},
    {"expert-rank", break_nothing_here},
    {"expert-weight", break_nothing_here},
};

void __wrap_tw_kernels_init(struct tw_kernels *kernels, enum tw_cpu_level level)
{
    const char *name = getenv("TW_BROKEN");
    __real_tw_kernels_init(kernels, level);
    sound = *kernels;
    if (name == NULL || strcmp(name, "nothing") == 0) {
        return;
    }
    for (size_t i = 0; i < sizeof mistakes / sizeof mistakes[0]; i++) {
        if (strcmp(name, mistakes[i].name) == 0) {
            mistakes[i].apply(kernels);
            return;
        }
    }
    fprintf(stderr, "TW_BROKEN: no mistake is called '%s'\n", name);
    exit(EXIT_FAILURE);
}
