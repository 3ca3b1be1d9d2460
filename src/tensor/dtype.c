#include "tensor/dtype.h"

#include <assert.h>
#include <strings.h>

#include "tensor/blocks.h"

/* clang-format off */
static const struct tw_dtype_traits traits[TW_DTYPE_COUNT] = {
    [TW_DTYPE_F32]    = {"F32",     0,   1,   4, tw_blocks_dequantise_f32,    tw_blocks_quantise_f32},
    [TW_DTYPE_F16]    = {"F16",     1,   1,   2, tw_blocks_dequantise_f16,    tw_blocks_quantise_f16},
    [TW_DTYPE_BF16]   = {"BF16",   30,   1,   2, tw_blocks_dequantise_bf16,   tw_blocks_quantise_bf16},
    [TW_DTYPE_Q8_0]   = {"Q8_0",    8,  32,  34, tw_blocks_dequantise_q8_0,   tw_blocks_quantise_q8_0},
    [TW_DTYPE_Q4_0]   = {"Q4_0",    2,  32,  18, tw_blocks_dequantise_q4_0,   tw_blocks_quantise_q4_0},
    [TW_DTYPE_Q4_1]   = {"Q4_1",    3,  32,  20, tw_blocks_dequantise_q4_1,   tw_blocks_quantise_q4_1},
    [TW_DTYPE_Q5_0]   = {"Q5_0",    6,  32,  22, tw_blocks_dequantise_q5_0,   tw_blocks_quantise_q5_0},
    [TW_DTYPE_Q5_1]   = {"Q5_1",    7,  32,  24, tw_blocks_dequantise_q5_1,   tw_blocks_quantise_q5_1},
    [TW_DTYPE_Q2_K]   = {"Q2_K",   10, 256,  84, tw_blocks_dequantise_q2_k,   tw_blocks_quantise_q2_k},
    [TW_DTYPE_Q3_K]   = {"Q3_K",   11, 256, 110, tw_blocks_dequantise_q3_k,   tw_blocks_quantise_q3_k},
    [TW_DTYPE_Q4_K]   = {"Q4_K",   12, 256, 144, tw_blocks_dequantise_q4_k,   tw_blocks_quantise_q4_k},
    [TW_DTYPE_Q5_K]   = {"Q5_K",   13, 256, 176, tw_blocks_dequantise_q5_k,   tw_blocks_quantise_q5_k},
    [TW_DTYPE_Q6_K]   = {"Q6_K",   14, 256, 210, tw_blocks_dequantise_q6_k,   tw_blocks_quantise_q6_k},
    [TW_DTYPE_IQ4_NL] = {"IQ4_NL", 20,  32,  18, tw_blocks_dequantise_iq4_nl, tw_blocks_quantise_iq4_nl},
};
/* clang-format on */

const struct tw_dtype_traits *tw_dtype_traits(enum tw_dtype dtype)
{
    assert((unsigned)dtype < TW_DTYPE_COUNT);
    return &traits[dtype];
}

bool tw_dtype_from_ggml_id(uint32_t ggml_id, enum tw_dtype *ret_dtype)
{
    for (int i = 0; i < TW_DTYPE_COUNT; i++) {
        if (traits[i].ggml_id == ggml_id) {
            *ret_dtype = (enum tw_dtype)i;
            return true;
        }
    }
    return false;
}

bool tw_dtype_from_name(const char *name, enum tw_dtype *ret_dtype)
{
    for (int i = 0; i < TW_DTYPE_COUNT; i++) {
        if (strcasecmp(traits[i].name, name) == 0) {
            *ret_dtype = (enum tw_dtype)i;
            return true;
        }
    }
    return false;
}

size_t tw_dtype_row_bytes(enum tw_dtype dtype, size_t n)
{
    const struct tw_dtype_traits *row = tw_dtype_traits(dtype);
    assert(n % row->block_elements == 0);
    return n / row->block_elements * row->block_bytes;
}
