/* Super-blocks of 256 elements. Codes are unpacked to one byte per element, in the row's order,
 * before any arithmetic: the layouts differ, the arithmetic does not. */
#include "tensor/blocks.h"
#include "tensor/f16.h"

/* Two bits: byte 32 h + l has element 128 h + 32 s + l in its bits 2 s and 2 s + 1. */
static void unpack_two_bits(const uint8_t packed[64], uint8_t ret_codes[256])
{
    for (int h = 0; h < 2; h++) {
        for (int s = 0; s < 4; s++) {
            for (int l = 0; l < 32; l++) {
                ret_codes[128 * h + 32 * s + l] = packed[32 * h + l] >> (2 * s) & 3;
            }
        }
    }
}

/* One bit: byte l has element 32 s + l in bit s. It becomes the bit `shift` of the code. */
static void unpack_high_bits(const uint8_t packed[32], int shift, uint8_t codes[256])
{
    for (int s = 0; s < 8; s++) {
        for (int l = 0; l < 32; l++) {
            uint8_t *code = &codes[32 * s + l];
            *code = (uint8_t)(*code | (packed[l] >> s & 1) << shift);
        }
    }
}

/* Four bits: byte 32 p + l has element 64 p + l low and element 64 p + 32 + l high. */
static void unpack_nibble_pairs(const uint8_t packed[128], uint8_t ret_codes[256])
{
    for (int p = 0; p < 4; p++) {
        for (int l = 0; l < 32; l++) {
            ret_codes[64 * p + l] = packed[32 * p + l] & 15;
            ret_codes[64 * p + 32 + l] = packed[32 * p + l] >> 4;
        }
    }
}

/* Q6_K's low four bits: byte 64 h + l (l below 64) has element 128 h + l low, 64 further high. */
static void unpack_low_codes(const uint8_t packed[128], uint8_t ret_codes[256])
{
    for (int h = 0; h < 2; h++) {
        for (int l = 0; l < 64; l++) {
            ret_codes[128 * h + l] = packed[64 * h + l] & 15;
            ret_codes[128 * h + 64 + l] = packed[64 * h + l] >> 4;
        }
    }
}

static void unpack_six_bits(const struct tw_block_q6_k *block, uint8_t ret_codes[256])
{
    uint8_t high[256];
    unpack_low_codes(block->low_codes, ret_codes);
    unpack_two_bits(block->high_codes, high);
    for (int k = 0; k < 256; k++) {
        ret_codes[k] = (uint8_t)(ret_codes[k] | high[k] << 4);
    }
}

void tw_blocks_dequantise_q2_k(const void *blocks, float *ret_values, size_t n)
{
    const struct tw_block_q2_k *block = blocks;
    for (size_t i = 0; i < n / 256; i++) {
        float d = tw_f16_to_f32(block[i].d);
        float dmin = tw_f16_to_f32(block[i].dmin);
        float *values = ret_values + 256 * i;
        uint8_t codes[256];
        unpack_two_bits(block[i].codes, codes);
        for (int j = 0; j < 16; j++) {
            float scale = d * (float)(block[i].scales[j] & 15);
            float min = dmin * (float)(block[i].scales[j] >> 4);
            for (int k = 16 * j; k < 16 * j + 16; k++) {
                values[k] = scale * (float)codes[k] - min;
            }
        }
    }
}

void tw_blocks_dequantise_q3_k(const void *blocks, float *ret_values, size_t n)
{
    const struct tw_block_q3_k *block = blocks;
    for (size_t i = 0; i < n / 256; i++) {
        float d = tw_f16_to_f32(block[i].d);
        float *values = ret_values + 256 * i;
        uint8_t codes[256];
        unpack_two_bits(block[i].codes, codes);
        unpack_high_bits(block[i].high_bits, 2, codes);
        for (int j = 0; j < 16; j++) {
            float scale = d * (float)tw_blocks_scale_q3_k(block[i].scales, j);
            for (int k = 16 * j; k < 16 * j + 16; k++) {
                values[k] = scale * (float)(codes[k] - 4);
            }
        }
    }
}

static void dequantise_scale_min(uint16_t d_half, uint16_t dmin_half, const uint8_t scales[12],
                                 const uint8_t codes[256], float ret_values[256])
{
    float d = tw_f16_to_f32(d_half);
    float dmin = tw_f16_to_f32(dmin_half);
    for (int j = 0; j < 8; j++) {
        uint8_t scale_code, min_code;
        tw_blocks_scale_min(scales, j, &scale_code, &min_code);
        float scale = d * (float)scale_code;
        float min = dmin * (float)min_code;
        for (int k = 32 * j; k < 32 * j + 32; k++) {
            ret_values[k] = scale * (float)codes[k] - min;
        }
    }
}

void tw_blocks_dequantise_q4_k(const void *blocks, float *ret_values, size_t n)
{
    const struct tw_block_q4_k *block = blocks;
    for (size_t i = 0; i < n / 256; i++) {
        uint8_t codes[256];
        unpack_nibble_pairs(block[i].codes, codes);
        dequantise_scale_min(block[i].d, block[i].dmin, block[i].scales, codes,
                             ret_values + 256 * i);
    }
}

void tw_blocks_dequantise_q5_k(const void *blocks, float *ret_values, size_t n)
{
    const struct tw_block_q5_k *block = blocks;
    for (size_t i = 0; i < n / 256; i++) {
        uint8_t codes[256];
        unpack_nibble_pairs(block[i].codes, codes);
        unpack_high_bits(block[i].high_bits, 4, codes);
        dequantise_scale_min(block[i].d, block[i].dmin, block[i].scales, codes,
                             ret_values + 256 * i);
    }
}

void tw_blocks_dequantise_q6_k(const void *blocks, float *ret_values, size_t n)
{
    const struct tw_block_q6_k *block = blocks;
    for (size_t i = 0; i < n / 256; i++) {
        float d = tw_f16_to_f32(block[i].d);
        float *values = ret_values + 256 * i;
        uint8_t codes[256];
        unpack_six_bits(&block[i], codes);
        for (int j = 0; j < 16; j++) {
            float scale = d * (float)block[i].scales[j];
            for (int k = 16 * j; k < 16 * j + 16; k++) {
                values[k] = scale * (float)(codes[k] - 32);
            }
        }
    }
}
