/* The templates of kernel/simd, compiled for this level. */
#include "kernel/kernels.h"
#include "kernel/simd/simd_avx2.h"

#include "kernel/simd/simd_tile.h"
#include "kernel/simd/simd_vector.h"

#include "kernel/simd/simd_attention.h"
#include "kernel/simd/simd_gemm.h"
#include "kernel/simd/simd_train.h"

void tw_kernels_init_avx2(struct tw_kernels *kernels)
{
    set_tiles(kernels);
    set_vectors(kernels);
    set_attention(kernels);
}

void tw_train_kernels_init_avx2(struct tw_train_kernels *kernels)
{
    set_gemm(kernels);
    set_train(kernels);
}
