#include "kernel/train_kernels.h"

#include <string.h>

void tw_train_kernels_init(struct tw_train_kernels *kernels, enum tw_cpu_level level)
{
    memset(kernels, 0, sizeof *kernels);
    tw_train_kernels_init_ref(kernels);
    if (level >= TW_CPU_AVX2) {
        tw_train_kernels_init_avx2(kernels);
    }
    if (level >= TW_CPU_AVX512) {
        tw_train_kernels_init_avx512(kernels, tw_cpu_has_bf16());
    }
}
