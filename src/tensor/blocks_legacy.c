/* Blocks of 32 elements with one scale each. */
#include "tensor/blocks.h"
#include "tensor/f16.h"

const int8_t tw_blocks_iq4_nl_values[16] = {
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
};

static void unpack_nibbles(const uint8_t packed[16], uint8_t ret_codes[32])
{
    for (int i = 0; i < 16; i++) {
        ret_codes[i] = packed[i] & 15;
        ret_codes[i + 16] = packed[i] >> 4;
    }
}

static void unpack_five_bits(const uint8_t packed[16], const uint8_t high_bits[4],
                             uint8_t ret_codes[32])
{
    unpack_nibbles(packed, ret_codes);
    for (int i = 0; i < 32; i++) {
        ret_codes[i] = (uint8_t)(ret_codes[i] | (high_bits[i / 8] >> (i % 8) & 1) << 4);
    }
}

void tw_blocks_dequantise_q8_0(const void *blocks, float *ret_values, size_t n)
{
    const struct tw_block_q8_0 *block = blocks;
    for (size_t i = 0; i < n / 32; i++) {
        float d = tw_f16_to_f32(block[i].d);
        for (int k = 0; k < 32; k++) {
            ret_values[32 * i + k] = d * (float)block[i].codes[k];
        }
    }
}

void tw_blocks_dequantise_q4_0(const void *blocks, float *ret_values, size_t n)
{
    const struct tw_block_q4_0 *block = blocks;
    for (size_t i = 0; i < n / 32; i++) {
        float d = tw_f16_to_f32(block[i].d);
        uint8_t codes[32];
        unpack_nibbles(block[i].codes, codes);
        for (int k = 0; k < 32; k++) {
            ret_values[32 * i + k] = d * (float)(codes[k] - 8);
        }
    }
}

void tw_blocks_dequantise_q4_1(const void *blocks, float *ret_values, size_t n)
{
    const struct tw_block_q4_1 *block = blocks;
    for (size_t i = 0; i < n / 32; i++) {
        float d = tw_f16_to_f32(block[i].d);
        float m = tw_f16_to_f32(block[i].m);
        uint8_t codes[32];
        unpack_nibbles(block[i].codes, codes);
        for (int k = 0; k < 32; k++) {
            ret_values[32 * i + k] = d * (float)codes[k] + m;
        }
    }
}

void tw_blocks_dequantise_q5_0(const void *blocks, float *ret_values, size_t n)
{
    const struct tw_block_q5_0 *block = blocks;
    for (size_t i = 0; i < n / 32; i++) {
        float d = tw_f16_to_f32(block[i].d);
        uint8_t codes[32];
        unpack_five_bits(block[i].codes, block[i].high_bits, codes);
        for (int k = 0; k < 32; k++) {
            ret_values[32 * i + k] = d * (float)(codes[k] - 16);
        }
    }
}

void tw_blocks_dequantise_q5_1(const void *blocks, float *ret_values, size_t n)
{
    const struct tw_block_q5_1 *block = blocks;
    for (size_t i = 0; i < n / 32; i++) {
        float d = tw_f16_to_f32(block[i].d);
        float m = tw_f16_to_f32(block[i].m);
        uint8_t codes[32];
        unpack_five_bits(block[i].codes, block[i].high_bits, codes);
        for (int k = 0; k < 32; k++) {
            ret_values[32 * i + k] = d * (float)codes[k] + m;
        }
    }
}

void tw_blocks_dequantise_iq4_nl(const void *blocks, float *ret_values, size_t n)
{
    const struct tw_block_iq4_nl *block = blocks;
    for (size_t i = 0; i < n / 32; i++) {
        float d = tw_f16_to_f32(block[i].d);
        uint8_t codes[32];
        unpack_nibbles(block[i].codes, codes);
        for (int k = 0; k < 32; k++) {
            ret_values[32 * i + k] = d * (float)tw_blocks_iq4_nl_values[codes[k]];
        }
    }
}
