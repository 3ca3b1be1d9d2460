#include "kernel/kernels.h"

#include <string.h>

size_t tw_kv_head_page_bytes(enum tw_dtype dtype, uint32_t head_dim)
{
    size_t dim = (head_dim + 15) / 16 * 16;
    size_t item = dtype == TW_DTYPE_F16 ? 2 : 1;
    size_t scales = dtype == TW_DTYPE_F16 ? 0 : 2 * 64 * sizeof(float);
    return 2 * 64 * dim * item + scales;
}

void tw_attention_state_clear(struct tw_attention_state *state, uint32_t n_heads, uint32_t dim)
{
    for (uint32_t j = 0; j < n_heads; j++) {
        state->m[j] = -1e30f;
        state->l[j] = 0.0f;
        memset(state->o[j], 0, dim * sizeof(float));
    }
}

void tw_kernels_init(struct tw_kernels *kernels, enum tw_cpu_level level)
{
    memset(kernels, 0, sizeof *kernels);
    tw_kernels_init_ref(kernels);
    if (level >= TW_CPU_AVX2) {
        tw_kernels_init_avx2(kernels);
    }
    if (level >= TW_CPU_AVX512) {
        tw_kernels_init_avx512(kernels);
    }
    kernels->level = level;
    kernels->name = tw_cpu_level_name(level);
}
