/* dtype.h: the element types of weights: plain floats and quantised blocks.
 *
 * A row of n elements is stored as n / block_elements blocks of block_bytes each, with no padding.
 * The byte layouts are those of GGUF files (docs/formats/blocks.md), so a file's tensor is used as
 * it lies in the map. One table row per type; everything else asks the table.
 *
 * Threads: any. Nothing here allocates.
 */
#ifndef TW_TENSOR_DTYPE_H
#define TW_TENSOR_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum tw_dtype {
    TW_DTYPE_F32 = 0,
    TW_DTYPE_F16,
    TW_DTYPE_BF16,
    TW_DTYPE_Q8_0,
    TW_DTYPE_Q4_0,
    TW_DTYPE_Q4_1,
    TW_DTYPE_Q5_0,
    TW_DTYPE_Q5_1,
    TW_DTYPE_Q2_K,
    TW_DTYPE_Q3_K,
    TW_DTYPE_Q4_K,
    TW_DTYPE_Q5_K,
    TW_DTYPE_Q6_K,
    TW_DTYPE_IQ4_NL,
    TW_DTYPE_COUNT
};

/* blocks: n / block_elements blocks; values: n f32. n is a multiple of block_elements. */
typedef void (*tw_dequantise_fn)(const void *blocks, float *ret_values, size_t n);
typedef void (*tw_quantise_fn)(const float *values, void *ret_blocks, size_t n);

struct tw_dtype_traits {
    const char *name;        /* as in GGUF tools: "Q4_K" */
    uint32_t ggml_id;        /* the type's number in GGUF files */
    uint32_t block_elements; /* 1, 32 or 256 */
    uint32_t block_bytes;
    tw_dequantise_fn dequantise; /* exact to the format's definition, f32 arithmetic */
    tw_quantise_fn quantise;     /* NULL where we only read the type */
};

const struct tw_dtype_traits *tw_dtype_traits(enum tw_dtype dtype);

/* False for a type we do not know; *ret_dtype is then untouched. Names compare without case. */
bool tw_dtype_from_ggml_id(uint32_t ggml_id, enum tw_dtype *ret_dtype);
bool tw_dtype_from_name(const char *name, enum tw_dtype *ret_dtype);

/* Bytes of a row of n elements. n must be a multiple of block_elements. */
size_t tw_dtype_row_bytes(enum tw_dtype dtype, size_t n);

#endif
