/* blocks.h: the bytes of every weight format, and rows of them to and from f32.
 *
 *     f32 row [n] --tw_blocks_quantise_*--> blocks --tw_blocks_dequantise_*--> f32 row [n]
 *
 * docs/formats/blocks.md has each layout byte by byte. Code that knows the type only at run time
 * asks the table of dtype.h instead.
 *
 * Invariants: 1. the structs are the files' bytes: packed, little-endian, of alignment 1, so that a
 * pointer into a mapped file is good wherever it points. 2. Decoding is exact to the format:
 * products are exact in f32, and the one sum or difference is rounded to nearest even. 3. Encoding
 * is a function of the block's values alone, and gives blocks whose scales are finite: NaN counts
 * as 0, and what is beyond the format's range (infinities, too) becomes about the largest it has.
 * n is a multiple of the block's elements; `blocks` and values may not overlap.
 * Threads: any. Errors: none; nothing is allocated.
 */
#ifndef TW_TENSOR_BLOCKS_H
#define TW_TENSOR_BLOCKS_H

#include <stddef.h>
#include <stdint.h>

/* Blocks of 32. d and m are f16. */

struct tw_block_q8_0 {
    uint16_t d;
    int8_t codes[32];
} __attribute__((packed));

struct tw_block_q4_0 {
    uint16_t d;
    uint8_t codes[16]; /* element i low, element i + 16 high nibble */
} __attribute__((packed));

struct tw_block_q4_1 {
    uint16_t d;
    uint16_t m;
    uint8_t codes[16];
} __attribute__((packed));

struct tw_block_q5_0 {
    uint16_t d;
    uint8_t high_bits[4]; /* bit i of the little-endian word: the fifth bit of element i */
    uint8_t codes[16];
} __attribute__((packed));

struct tw_block_q5_1 {
    uint16_t d;
    uint16_t m;
    uint8_t high_bits[4];
    uint8_t codes[16];
} __attribute__((packed));

struct tw_block_iq4_nl {
    uint16_t d;
    uint8_t codes[16]; /* indices into tw_blocks_iq4_nl_values */
} __attribute__((packed));

/* Super-blocks of 256: 8 sub-blocks of 32 (Q4_K, Q5_K) or 16 of 16 (Q2_K, Q3_K, Q6_K), whose own
 * scales are small integers times d (and dmin). */

struct tw_block_q2_k {
    uint8_t scales[16]; /* low nibble scale, high nibble minimum */
    uint8_t codes[64];
    uint16_t d;
    uint16_t dmin;
} __attribute__((packed));

struct tw_block_q3_k {
    uint8_t high_bits[32];
    uint8_t codes[64];
    uint8_t scales[12]; /* 16 of 6 bits */
    uint16_t d;
} __attribute__((packed));

struct tw_block_q4_k {
    uint16_t d;
    uint16_t dmin;
    uint8_t scales[12]; /* 8 scales and 8 minima of 6 bits */
    uint8_t codes[128];
} __attribute__((packed));

struct tw_block_q5_k {
    uint16_t d;
    uint16_t dmin;
    uint8_t scales[12];
    uint8_t high_bits[32];
    uint8_t codes[128];
} __attribute__((packed));

struct tw_block_q6_k {
    uint8_t low_codes[128];
    uint8_t high_codes[64];
    int8_t scales[16];
    uint16_t d;
} __attribute__((packed));

_Static_assert(sizeof(struct tw_block_q8_0) == 34, "layout of Q8_0");
_Static_assert(sizeof(struct tw_block_q4_0) == 18, "layout of Q4_0");
_Static_assert(sizeof(struct tw_block_q4_1) == 20, "layout of Q4_1");
_Static_assert(sizeof(struct tw_block_q5_0) == 22, "layout of Q5_0");
_Static_assert(sizeof(struct tw_block_q5_1) == 24, "layout of Q5_1");
_Static_assert(sizeof(struct tw_block_iq4_nl) == 18, "layout of IQ4_NL");
_Static_assert(sizeof(struct tw_block_q2_k) == 84, "layout of Q2_K");
_Static_assert(sizeof(struct tw_block_q3_k) == 110, "layout of Q3_K");
_Static_assert(sizeof(struct tw_block_q4_k) == 144, "layout of Q4_K");
_Static_assert(sizeof(struct tw_block_q5_k) == 176, "layout of Q5_K");
_Static_assert(sizeof(struct tw_block_q6_k) == 210, "layout of Q6_K");

/* The 16 levels of IQ4_NL, ascending. */
extern const int8_t tw_blocks_iq4_nl_values[16];

/* Scale (0..63) and minimum (0..63) of sub-block j (0..7) of Q4_K and Q5_K. */
static inline void tw_blocks_scale_min(const uint8_t scales[12], int j, uint8_t *ret_scale,
                                       uint8_t *ret_min)
{
    if (j < 4) {
        *ret_scale = scales[j] & 63;
        *ret_min = scales[j + 4] & 63;
    } else {
        *ret_scale = (uint8_t)((scales[j + 4] & 15) | (scales[j - 4] >> 6) << 4);
        *ret_min = (uint8_t)(scales[j + 4] >> 4 | (scales[j] >> 6) << 4);
    }
}

/* Scale (-32..31) of sub-block j (0..15) of Q3_K. */
static inline int tw_blocks_scale_q3_k(const uint8_t scales[12], int j)
{
    int low = j < 8 ? scales[j] & 15 : scales[j - 8] >> 4;
    int high = scales[8 + j % 4] >> (2 * (j / 4)) & 3;
    return (low | high << 4) - 32;
}

void tw_blocks_dequantise_f32(const void *blocks, float *ret_values, size_t n);
void tw_blocks_dequantise_f16(const void *blocks, float *ret_values, size_t n);
void tw_blocks_dequantise_bf16(const void *blocks, float *ret_values, size_t n);
void tw_blocks_dequantise_q8_0(const void *blocks, float *ret_values, size_t n);
void tw_blocks_dequantise_q4_0(const void *blocks, float *ret_values, size_t n);
void tw_blocks_dequantise_q4_1(const void *blocks, float *ret_values, size_t n);
void tw_blocks_dequantise_q5_0(const void *blocks, float *ret_values, size_t n);
void tw_blocks_dequantise_q5_1(const void *blocks, float *ret_values, size_t n);
void tw_blocks_dequantise_iq4_nl(const void *blocks, float *ret_values, size_t n);
void tw_blocks_dequantise_q2_k(const void *blocks, float *ret_values, size_t n);
void tw_blocks_dequantise_q3_k(const void *blocks, float *ret_values, size_t n);
void tw_blocks_dequantise_q4_k(const void *blocks, float *ret_values, size_t n);
void tw_blocks_dequantise_q5_k(const void *blocks, float *ret_values, size_t n);
void tw_blocks_dequantise_q6_k(const void *blocks, float *ret_values, size_t n);

void tw_blocks_quantise_f32(const float *values, void *ret_blocks, size_t n);
void tw_blocks_quantise_f16(const float *values, void *ret_blocks, size_t n);
void tw_blocks_quantise_bf16(const float *values, void *ret_blocks, size_t n);
void tw_blocks_quantise_q8_0(const float *values, void *ret_blocks, size_t n);
void tw_blocks_quantise_q4_0(const float *values, void *ret_blocks, size_t n);
void tw_blocks_quantise_q4_1(const float *values, void *ret_blocks, size_t n);
void tw_blocks_quantise_q5_0(const float *values, void *ret_blocks, size_t n);
void tw_blocks_quantise_q5_1(const float *values, void *ret_blocks, size_t n);
void tw_blocks_quantise_iq4_nl(const float *values, void *ret_blocks, size_t n);
void tw_blocks_quantise_q2_k(const float *values, void *ret_blocks, size_t n);
void tw_blocks_quantise_q3_k(const float *values, void *ret_blocks, size_t n);
void tw_blocks_quantise_q4_k(const float *values, void *ret_blocks, size_t n);
void tw_blocks_quantise_q5_k(const float *values, void *ret_blocks, size_t n);
void tw_blocks_quantise_q6_k(const float *values, void *ret_blocks, size_t n);

#endif
