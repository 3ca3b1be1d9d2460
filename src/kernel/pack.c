/* Packing: from the block formats of files to the panels of layout.h. */
#include <assert.h>
#include <string.h>

#include "kernel/layout.h"
#include "tensor/blocks.h"

enum { CODES = 32 };

static void codes_nibbles(const uint8_t *q, uint8_t codes[CODES])
{
    for (int k = 0; k < 16; k++) {
        codes[k] = q[k] & 15;
        codes[k + 16] = q[k] >> 4;
    }
}

static void add_high_bits(const uint8_t high[4], uint8_t codes[CODES])
{
    for (int k = 0; k < CODES; k++) {
        codes[k] |= (uint8_t)((high[k / 8] >> (k % 8) & 1) << 4);
    }
}

/* Sub-block b (0..7) of a 256-column block whose 4-bit planes lie in pairs of 32. */
static void codes_k_nibbles(const uint8_t *q, int b, uint8_t codes[CODES])
{
    for (int k = 0; k < CODES; k++) {
        uint8_t pair = q[b / 2 * 32 + k];
        codes[k] = b % 2 == 0 ? pair & 15 : pair >> 4;
    }
}

/* Sub-block b of a 256-column block whose 2-bit planes lie in quadruples of 32. */
static void codes_k_pairs(const uint8_t *q, int b, uint8_t codes[CODES])
{
    for (int k = 0; k < CODES; k++) {
        codes[k] = q[b / 4 * 32 + k] >> (b % 4 * 2) & 3;
    }
}

static void codes_q6_k(const struct tw_block_q6_k *block, int b, uint8_t codes[CODES])
{
    const uint8_t *low = block->low_codes + b / 4 * 64 + b % 2 * 32;
    const uint8_t *high = block->high_codes + b / 4 * 32;
    for (int k = 0; k < CODES; k++) {
        int nibble = b % 4 < 2 ? low[k] & 15 : low[k] >> 4;
        codes[k] = (uint8_t)(nibble | (high[k] >> (b % 4 * 2) & 3) << 4);
    }
}

/* Codes of 32-column block `block` of a row. */
static void row_codes(enum tw_dtype dtype, const void *row, size_t block, uint8_t codes[CODES])
{
    int b = (int)(block % 8);
    switch (dtype) {
    case TW_DTYPE_Q8_0: {
        const struct tw_block_q8_0 *p = (const struct tw_block_q8_0 *)row + block;
        for (int k = 0; k < CODES; k++) {
            codes[k] = (uint8_t)p->codes[k] ^ 0x80;
        }
        break;
    }
    case TW_DTYPE_Q4_0:
    case TW_DTYPE_IQ4_NL:
        codes_nibbles(((const struct tw_block_q4_0 *)row + block)->codes, codes);
        break;
    case TW_DTYPE_Q4_1:
        codes_nibbles(((const struct tw_block_q4_1 *)row + block)->codes, codes);
        break;
    case TW_DTYPE_Q5_0: {
        const struct tw_block_q5_0 *p = (const struct tw_block_q5_0 *)row + block;
        codes_nibbles(p->codes, codes);
        add_high_bits(p->high_bits, codes);
        break;
    }
    case TW_DTYPE_Q5_1: {
        const struct tw_block_q5_1 *p = (const struct tw_block_q5_1 *)row + block;
        codes_nibbles(p->codes, codes);
        add_high_bits(p->high_bits, codes);
        break;
    }
    case TW_DTYPE_Q2_K:
        codes_k_pairs(((const struct tw_block_q2_k *)row + block / 8)->codes, b, codes);
        break;
    case TW_DTYPE_Q3_K: {
        const struct tw_block_q3_k *p = (const struct tw_block_q3_k *)row + block / 8;
        codes_k_pairs(p->codes, b, codes);
        for (int k = 0; k < CODES; k++) {
            codes[k] |= (uint8_t)((p->high_bits[k] >> b & 1) << 2);
        }
        break;
    }
    case TW_DTYPE_Q4_K:
        codes_k_nibbles(((const struct tw_block_q4_k *)row + block / 8)->codes, b, codes);
        break;
    case TW_DTYPE_Q5_K: {
        const struct tw_block_q5_k *p = (const struct tw_block_q5_k *)row + block / 8;
        codes_k_nibbles(p->codes, b, codes);
        for (int k = 0; k < CODES; k++) {
            codes[k] |= (uint8_t)((p->high_bits[k] >> b & 1) << 4);
        }
        break;
    }
    case TW_DTYPE_Q6_K:
        codes_q6_k((const struct tw_block_q6_k *)row + block / 8, b, codes);
        break;
    case TW_DTYPE_F32:
    case TW_DTYPE_F16:
    case TW_DTYPE_BF16:
    case TW_DTYPE_COUNT:
        assert(!"no codes");
    }
}

/* Four codes of a row are neighbours in a file and in a panel alike, so planes are made of 32-bit
 * words: word c holds columns 4c..4c+3, one in each byte. */
static uint32_t code_word(const uint8_t codes[CODES], int c)
{
    uint32_t word;
    memcpy(&word, codes + 4 * c, sizeof word);
    return word;
}

static void put_word(uint8_t *plane, int chunk, int row, uint32_t word)
{
    memcpy(plane + 64 * chunk + 4 * row, &word, sizeof word);
}

/* Two bits of each code, four words to one: bits [from, from + 2) of words 4h..4h+3. */
static uint32_t pair_word(const uint8_t codes[CODES], int h, uint32_t from)
{
    uint32_t word = 0;
    for (int i = 0; i < 4; i++) {
        word |= (code_word(codes, 4 * h + i) >> from & 0x03030303u) << 2 * i;
    }
    return word;
}

static void put_low_plane(uint32_t bits, const uint8_t codes[CODES], int row, uint8_t *plane)
{
    if (bits == 8) {
        for (int c = 0; c < 8; c++) {
            put_word(plane, c, row, code_word(codes, c));
        }
    } else if (bits == 4) {
        for (int c = 0; c < 4; c++) {
            uint32_t low = code_word(codes, c) & 0x0f0f0f0fu;
            uint32_t high = code_word(codes, c + 4) & 0x0f0f0f0fu;
            put_word(plane, c, row, low | high << 4);
        }
    } else {
        put_word(plane, 0, row, pair_word(codes, 0, 0));
        put_word(plane, 1, row, pair_word(codes, 1, 0));
    }
}

static void put_high_plane(uint32_t bits, uint32_t low_bits, const uint8_t codes[CODES], int row,
                           uint8_t *plane)
{
    if (bits == 2) {
        put_word(plane, 0, row, pair_word(codes, 0, low_bits));
        put_word(plane, 1, row, pair_word(codes, 1, low_bits));
        return;
    }
    uint32_t word = 0;
    for (int c = 0; c < 8; c++) {
        word |= (code_word(codes, c) >> low_bits & 0x01010101u) << c;
    }
    put_word(plane, 0, row, word);
}

static void put_f16(uint8_t *at, int row, uint16_t half)
{
    memcpy(at + 2 * row, &half, sizeof half);
}

/* Scales of formats with one block per 32 columns; `block` counts inside the step. */
static void put_block_scale(enum tw_dtype dtype, const void *row, size_t first_block, size_t block,
                            size_t n_blocks, int r, uint8_t *scales)
{
    uint8_t *d = scales + 32 * block;
    uint8_t *m = scales + 32 * n_blocks + 32 * block;
    size_t at = first_block + block;
    if (dtype == TW_DTYPE_Q8_0) {
        put_f16(d, r, ((const struct tw_block_q8_0 *)row + at)->d);
    } else if (dtype == TW_DTYPE_Q4_0 || dtype == TW_DTYPE_IQ4_NL) {
        put_f16(d, r, ((const struct tw_block_q4_0 *)row + at)->d);
    } else if (dtype == TW_DTYPE_Q5_0) {
        put_f16(d, r, ((const struct tw_block_q5_0 *)row + at)->d);
    } else if (dtype == TW_DTYPE_Q4_1) {
        put_f16(d, r, ((const struct tw_block_q4_1 *)row + at)->d);
        put_f16(m, r, ((const struct tw_block_q4_1 *)row + at)->m);
    } else {
        assert(dtype == TW_DTYPE_Q5_1);
        put_f16(d, r, ((const struct tw_block_q5_1 *)row + at)->d);
        put_f16(m, r, ((const struct tw_block_q5_1 *)row + at)->m);
    }
}

/* Scales of formats with one block per 256 columns. */
static void put_super_scales(enum tw_dtype dtype, const void *row, size_t step, int r,
                             uint8_t *scales)
{
    uint8_t *fine = scales + 64;
    if (dtype == TW_DTYPE_Q4_K || dtype == TW_DTYPE_Q5_K) {
        const struct tw_block_q4_k *q4 = (const struct tw_block_q4_k *)row + step;
        const struct tw_block_q5_k *q5 = (const struct tw_block_q5_k *)row + step;
        const uint8_t *packed = dtype == TW_DTYPE_Q4_K ? q4->scales : q5->scales;
        put_f16(scales, r, dtype == TW_DTYPE_Q4_K ? q4->d : q5->d);
        put_f16(scales + 32, r, dtype == TW_DTYPE_Q4_K ? q4->dmin : q5->dmin);
        for (int i = 0; i < 8; i++) {
            tw_blocks_scale_min(packed, i, &fine[16 * i + r], &fine[128 + 16 * i + r]);
        }
    } else if (dtype == TW_DTYPE_Q6_K) {
        const struct tw_block_q6_k *p = (const struct tw_block_q6_k *)row + step;
        put_f16(scales, r, p->d);
        for (int i = 0; i < 16; i++) {
            fine[16 * i + r] = (uint8_t)p->scales[i];
        }
    } else if (dtype == TW_DTYPE_Q3_K) {
        const struct tw_block_q3_k *p = (const struct tw_block_q3_k *)row + step;
        put_f16(scales, r, p->d);
        for (int i = 0; i < 16; i++) {
            fine[16 * i + r] = (uint8_t)tw_blocks_scale_q3_k(p->scales, i);
        }
    } else {
        assert(dtype == TW_DTYPE_Q2_K);
        const struct tw_block_q2_k *p = (const struct tw_block_q2_k *)row + step;
        put_f16(scales, r, p->d);
        put_f16(scales + 32, r, p->dmin);
        for (int i = 0; i < 16; i++) {
            fine[16 * i + r] = p->scales[i];
        }
    }
}

static void pack_quantised_row(enum tw_dtype dtype, const void *row, size_t step, size_t n_columns,
                               int r, uint8_t *panel)
{
    struct tw_layout layout = tw_layout_of(dtype);
    size_t step_blocks = layout.step_columns / CODES;
    size_t first = step * step_blocks;
    size_t n_blocks = n_columns / CODES - first;
    n_blocks = n_blocks < step_blocks ? n_blocks : step_blocks;
    size_t low_bytes = CODES / 8 * TW_PANEL_ROWS * layout.low_bits;
    size_t high_bytes = CODES / 8 * TW_PANEL_ROWS * layout.high_bits;
    uint8_t *low = panel + layout.scale_bytes;
    uint8_t *high = low + step_blocks * low_bytes;
    bool super_blocks = layout.step_columns == 256;
    if (super_blocks) {
        put_super_scales(dtype, row, step, r, panel);
    }
    for (size_t b = 0; b < n_blocks; b++) {
        uint8_t codes[CODES];
        row_codes(dtype, row, first + b, codes);
        put_low_plane(layout.low_bits, codes, r, low + b * low_bytes);
        if (layout.high_bits != 0) {
            put_high_plane(layout.high_bits, layout.low_bits, codes, r, high + b * high_bytes);
        }
        if (!super_blocks) {
            put_block_scale(dtype, row, first, b, step_blocks, r, panel);
        }
    }
}

static void pack_float_row(enum tw_dtype dtype, const void *row, size_t step, size_t n_columns,
                           int r, uint8_t *panel)
{
    struct tw_layout layout = tw_layout_of(dtype);
    size_t item = layout.low_bits / 8;
    for (size_t i = 0; i < layout.step_columns; i++) {
        size_t k = step * layout.step_columns + i;
        if (k < n_columns) {
            memcpy(panel + (i * TW_PANEL_ROWS + (size_t)r) * item, (const uint8_t *)row + k * item,
                   item);
        }
    }
}

void tw_layout_pack_group(enum tw_dtype dtype, const void *const rows[TW_GROUP_ROWS],
                          size_t n_columns, uint8_t *ret_group)
{
    struct tw_layout layout = tw_layout_of(dtype);
    size_t n_steps = tw_layout_steps(dtype, n_columns);
    memset(ret_group, 0, tw_layout_group_bytes(dtype, n_columns));
    for (size_t step = 0; step < n_steps; step++) {
        for (int i = 0; i < TW_GROUP_ROWS; i++) {
            size_t panel_index = step * TW_GROUP_PANELS + (size_t)i / TW_PANEL_ROWS;
            uint8_t *panel = ret_group + panel_index * layout.panel_step_bytes;
            if (rows[i] == NULL) {
                continue;
            }
            if (layout.scale == TW_SCALE_FLOAT) {
                pack_float_row(dtype, rows[i], step, n_columns, i % TW_PANEL_ROWS, panel);
            } else {
                pack_quantised_row(dtype, rows[i], step, n_columns, i % TW_PANEL_ROWS, panel);
            }
        }
    }
}
