/* Blocks of 32 elements with one scale each. */
#include <math.h>

#include "tensor/blocks.h"
#include "tensor/f16.h"
#include "tensor/fit.h"

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

static void pack_nibbles(const uint8_t codes[32], uint8_t ret_packed[16])
{
    for (int i = 0; i < 16; i++) {
        ret_packed[i] = (uint8_t)((codes[i] & 15) | (codes[i + 16] & 15) << 4);
    }
}

static void pack_high_bits(const uint8_t codes[32], uint8_t ret_high_bits[4])
{
    for (int b = 0; b < 4; b++) {
        int bits = 0;
        for (int i = 0; i < 8; i++) {
            bits |= (codes[8 * b + i] >> 4) << i;
        }
        ret_high_bits[b] = (uint8_t)bits;
    }
}

/* A block's scale, offset and codes as they are stored. */
struct fitted {
    uint16_t d, m;
    uint8_t codes[32];
};

/* The f16 that lies `steps` further from zero, kept finite and of the same sign. */
static uint16_t half_beside(uint16_t half, int steps)
{
    int magnitude = (half & 0x7fff) + steps;
    magnitude = magnitude < 0 ? 0 : magnitude;
    magnitude = magnitude > 0x7bff ? 0x7bff : magnitude;
    return (uint16_t)((half & 0x8000) | magnitude);
}

/* Chooses among the half floats around the line's scale (and offset): the best of them need not be
 * the nearest, because the codes are rounded again with what is stored. */
static void settle(const float x[32], const float w[32], const struct tw_fit_grid *grid,
                   const struct tw_fit_line *line, int m_reach, struct fitted *ret_fitted)
{
    uint16_t d = tw_fit_half(line->scale), m = tw_fit_half(line->offset);
    struct tw_fit_line stored = {0, 0};
    float least_error = INFINITY;
    for (int k = -m_reach; k <= m_reach; k++) {
        union tw_fit_lanes scales, offsets;
        float error;
        for (int c = 0; c < TW_FIT_LANES; c++) {
            scales.v[c] = tw_f16_to_f32(half_beside(d, c - 3));
            offsets.v[c] = tw_f16_to_f32(half_beside(m, k));
        }
        int best = tw_fit_choose(x, w, 32, grid, &scales, &offsets, &error);
        if (error < least_error) {
            least_error = error;
            stored = (struct tw_fit_line){scales.v[best], offsets.v[best]};
        }
    }
    ret_fitted->d = tw_f32_to_f16(stored.scale);
    ret_fitted->m = tw_f32_to_f16(stored.offset);
    tw_fit_encode(x, 32, grid, &stored, ret_fitted->codes);
}

static void fit_scale(const float values[32], const struct tw_fit_grid *grid,
                      struct fitted *ret_fitted)
{
    float x[32], w[32];
    tw_fit_load(values, 32, x);
    tw_fit_weights(x, 32, w);
    struct tw_fit_line line = tw_fit_scale(x, w, 32, grid);
    settle(x, w, grid, &line, 0, ret_fitted);
}

static void fit_line(const float values[32], const struct tw_fit_grid *grid,
                     struct fitted *ret_fitted)
{
    float x[32], w[32];
    tw_fit_load(values, 32, x);
    tw_fit_weights(x, 32, w);
    struct tw_fit_line line = tw_fit_line(x, w, 32, grid, INFINITY);
    settle(x, w, grid, &line, 1, ret_fitted);
}

/* -128 stays unused: products of bytes with a sign trick overflow on it. */
void tw_blocks_quantise_q8_0(const float *values, void *ret_blocks, size_t n)
{
    static const struct tw_fit_grid grid = {-127, 127, NULL};
    struct tw_block_q8_0 *block = ret_blocks;
    for (size_t i = 0; i < n / 32; i++) {
        struct fitted fitted;
        fit_scale(values + 32 * i, &grid, &fitted);
        block[i].d = fitted.d;
        for (int k = 0; k < 32; k++) {
            block[i].codes[k] = (int8_t)(fitted.codes[k] - 127);
        }
    }
}

void tw_blocks_quantise_q4_0(const float *values, void *ret_blocks, size_t n)
{
    static const struct tw_fit_grid grid = {-8, 7, NULL};
    struct tw_block_q4_0 *block = ret_blocks;
    for (size_t i = 0; i < n / 32; i++) {
        struct fitted fitted;
        fit_scale(values + 32 * i, &grid, &fitted);
        block[i].d = fitted.d;
        pack_nibbles(fitted.codes, block[i].codes);
    }
}

void tw_blocks_quantise_q4_1(const float *values, void *ret_blocks, size_t n)
{
    static const struct tw_fit_grid grid = {0, 15, NULL};
    struct tw_block_q4_1 *block = ret_blocks;
    for (size_t i = 0; i < n / 32; i++) {
        struct fitted fitted;
        fit_line(values + 32 * i, &grid, &fitted);
        block[i].d = fitted.d;
        block[i].m = fitted.m;
        pack_nibbles(fitted.codes, block[i].codes);
    }
}

void tw_blocks_quantise_q5_0(const float *values, void *ret_blocks, size_t n)
{
    static const struct tw_fit_grid grid = {-16, 15, NULL};
    struct tw_block_q5_0 *block = ret_blocks;
    for (size_t i = 0; i < n / 32; i++) {
        struct fitted fitted;
        fit_scale(values + 32 * i, &grid, &fitted);
        block[i].d = fitted.d;
        pack_high_bits(fitted.codes, block[i].high_bits);
        pack_nibbles(fitted.codes, block[i].codes);
    }
}

void tw_blocks_quantise_q5_1(const float *values, void *ret_blocks, size_t n)
{
    static const struct tw_fit_grid grid = {0, 31, NULL};
    struct tw_block_q5_1 *block = ret_blocks;
    for (size_t i = 0; i < n / 32; i++) {
        struct fitted fitted;
        fit_line(values + 32 * i, &grid, &fitted);
        block[i].d = fitted.d;
        block[i].m = fitted.m;
        pack_high_bits(fitted.codes, block[i].high_bits);
        pack_nibbles(fitted.codes, block[i].codes);
    }
}

void tw_blocks_quantise_iq4_nl(const float *values, void *ret_blocks, size_t n)
{
    static const struct tw_fit_grid grid = {-127, 113, tw_blocks_iq4_nl_values};
    struct tw_block_iq4_nl *block = ret_blocks;
    for (size_t i = 0; i < n / 32; i++) {
        struct fitted fitted;
        fit_scale(values + 32 * i, &grid, &fitted);
        block[i].d = fitted.d;
        pack_nibbles(fitted.codes, block[i].codes);
    }
}
