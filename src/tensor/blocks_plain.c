/* Floats of 32 and 16 bits. Loads and stores go through memcpy: a row in a mapped file need not be
 * aligned, and the compiler makes plain vector moves of it. */
#include <string.h>

#include "tensor/blocks.h"
#include "tensor/f16.h"

static uint16_t load_u16(const unsigned char *bytes, size_t i)
{
    uint16_t value;
    memcpy(&value, bytes + 2 * i, sizeof value);
    return value;
}

static void store_u16(unsigned char *ret_bytes, size_t i, uint16_t value)
{
    memcpy(ret_bytes + 2 * i, &value, sizeof value);
}

void tw_blocks_dequantise_f32(const void *blocks, float *ret_values, size_t n)
{
    if (n > 0) {
        memcpy(ret_values, blocks, n * sizeof *ret_values);
    }
}

void tw_blocks_dequantise_f16(const void *blocks, float *ret_values, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        ret_values[i] = tw_f16_to_f32(load_u16(blocks, i));
    }
}

void tw_blocks_dequantise_bf16(const void *blocks, float *ret_values, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        ret_values[i] = tw_bf16_to_f32(load_u16(blocks, i));
    }
}

void tw_blocks_quantise_f32(const float *values, void *ret_blocks, size_t n)
{
    if (n > 0) {
        memcpy(ret_blocks, values, n * sizeof *values);
    }
}

void tw_blocks_quantise_f16(const float *values, void *ret_blocks, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        store_u16(ret_blocks, i, tw_f32_to_f16(values[i]));
    }
}

void tw_blocks_quantise_bf16(const float *values, void *ret_blocks, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        store_u16(ret_blocks, i, tw_f32_to_bf16(values[i]));
    }
}
