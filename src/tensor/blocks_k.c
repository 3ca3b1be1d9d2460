/* Super-blocks of 256 elements. Codes are one byte per element, in the row's order, wherever there
 * is arithmetic: the layouts differ, the arithmetic does not. */
#include <string.h>

#include "tensor/blocks.h"
#include "tensor/f16.h"
#include "tensor/fit.h"

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

static void pack_two_bits(const uint8_t codes[256], uint8_t ret_packed[64])
{
    for (int h = 0; h < 2; h++) {
        for (int l = 0; l < 32; l++) {
            const uint8_t *code = &codes[128 * h + l];
            ret_packed[32 * h + l] = (uint8_t)((code[0] & 3) | (code[32] & 3) << 2 |
                                               (code[64] & 3) << 4 | (code[96] & 3) << 6);
        }
    }
}

/* Gathers bit `shift` of every code. */
static void pack_high_bits(const uint8_t codes[256], int shift, uint8_t ret_packed[32])
{
    for (int l = 0; l < 32; l++) {
        int bits = 0;
        for (int s = 0; s < 8; s++) {
            bits |= (codes[32 * s + l] >> shift & 1) << s;
        }
        ret_packed[l] = (uint8_t)bits;
    }
}

static void pack_nibble_pairs(const uint8_t codes[256], uint8_t ret_packed[128])
{
    for (int p = 0; p < 4; p++) {
        for (int l = 0; l < 32; l++) {
            const uint8_t *code = &codes[64 * p + l];
            ret_packed[32 * p + l] = (uint8_t)((code[0] & 15) | (code[32] & 15) << 4);
        }
    }
}

static void pack_six_bits(const uint8_t codes[256], struct tw_block_q6_k *ret_block)
{
    uint8_t high[256];
    for (int h = 0; h < 2; h++) {
        for (int l = 0; l < 64; l++) {
            const uint8_t *code = &codes[128 * h + l];
            ret_block->low_codes[64 * h + l] = (uint8_t)((code[0] & 15) | (code[64] & 15) << 4);
        }
    }
    for (int k = 0; k < 256; k++) {
        high[k] = codes[k] >> 4;
    }
    pack_two_bits(high, ret_block->high_codes);
}

static void pack_scale_min(const uint8_t scales[8], const uint8_t mins[8], uint8_t ret_packed[12])
{
    for (int j = 0; j < 4; j++) {
        ret_packed[j] = (uint8_t)(scales[j] | (scales[j + 4] >> 4) << 6);
        ret_packed[j + 4] = (uint8_t)(mins[j] | (mins[j + 4] >> 4) << 6);
        ret_packed[j + 8] = (uint8_t)((scales[j + 4] & 15) | (mins[j + 4] & 15) << 4);
    }
}

static void pack_scales_q3_k(const int8_t scales[16], uint8_t ret_packed[12])
{
    memset(ret_packed, 0, 12);
    for (int j = 0; j < 16; j++) {
        int scale = scales[j] + 32;
        uint8_t *low = &ret_packed[j % 8], *high = &ret_packed[8 + j % 4];
        *low = (uint8_t)(*low | (scale & 15) << (4 * (j / 8)));
        *high = (uint8_t)(*high | (scale >> 4) << (2 * (j / 4)));
    }
}

void tw_blocks_quantise_q2_k(const float *values, void *ret_blocks, size_t n)
{
    static const struct tw_fit_grid grid = {0, 3, NULL};
    struct tw_block_q2_k *block = ret_blocks;
    for (size_t i = 0; i < n / 256; i++) {
        struct tw_fit_super_line fit;
        float x[256];
        tw_fit_load(values + 256 * i, 256, x);
        tw_fit_super_line(x, 16, &grid, 15, &fit);
        for (int j = 0; j < 16; j++) {
            block[i].scales[j] = (uint8_t)(fit.scales[j] | fit.mins[j] << 4);
        }
        pack_two_bits(fit.codes, block[i].codes);
        block[i].d = fit.d;
        block[i].dmin = fit.dmin;
    }
}

void tw_blocks_quantise_q3_k(const float *values, void *ret_blocks, size_t n)
{
    static const struct tw_fit_grid grid = {-4, 3, NULL};
    struct tw_block_q3_k *block = ret_blocks;
    for (size_t i = 0; i < n / 256; i++) {
        struct tw_fit_super_scale fit;
        float x[256];
        tw_fit_load(values + 256 * i, 256, x);
        tw_fit_super_scale(x, &grid, 32, &fit);
        pack_high_bits(fit.codes, 2, block[i].high_bits);
        pack_two_bits(fit.codes, block[i].codes);
        pack_scales_q3_k(fit.scales, block[i].scales);
        block[i].d = fit.d;
    }
}

void tw_blocks_quantise_q4_k(const float *values, void *ret_blocks, size_t n)
{
    static const struct tw_fit_grid grid = {0, 15, NULL};
    struct tw_block_q4_k *block = ret_blocks;
    for (size_t i = 0; i < n / 256; i++) {
        struct tw_fit_super_line fit;
        float x[256];
        tw_fit_load(values + 256 * i, 256, x);
        tw_fit_super_line(x, 8, &grid, 63, &fit);
        block[i].d = fit.d;
        block[i].dmin = fit.dmin;
        pack_scale_min(fit.scales, fit.mins, block[i].scales);
        pack_nibble_pairs(fit.codes, block[i].codes);
    }
}

void tw_blocks_quantise_q5_k(const float *values, void *ret_blocks, size_t n)
{
    static const struct tw_fit_grid grid = {0, 31, NULL};
    struct tw_block_q5_k *block = ret_blocks;
    for (size_t i = 0; i < n / 256; i++) {
        struct tw_fit_super_line fit;
        float x[256];
        tw_fit_load(values + 256 * i, 256, x);
        tw_fit_super_line(x, 8, &grid, 63, &fit);
        block[i].d = fit.d;
        block[i].dmin = fit.dmin;
        pack_scale_min(fit.scales, fit.mins, block[i].scales);
        pack_high_bits(fit.codes, 4, block[i].high_bits);
        pack_nibble_pairs(fit.codes, block[i].codes);
    }
}

void tw_blocks_quantise_q6_k(const float *values, void *ret_blocks, size_t n)
{
    static const struct tw_fit_grid grid = {-32, 31, NULL};
    struct tw_block_q6_k *block = ret_blocks;
    for (size_t i = 0; i < n / 256; i++) {
        struct tw_fit_super_scale fit;
        float x[256];
        tw_fit_load(values + 256 * i, 256, x);
        tw_fit_super_scale(x, &grid, 128, &fit);
        pack_six_bits(fit.codes, &block[i]);
        memcpy(block[i].scales, fit.scales, sizeof fit.scales);
        block[i].d = fit.d;
    }
}
