/* layout.h: how the CPU keeps weights and activations so that every product reads one stream.
 *
 * A matrix of R rows and K columns becomes ceil(R/32) groups of 32 rows. A group is two panels of
 * 16 rows side by side, cut into steps along K; all bytes of a group are contiguous:
 *
 *     group: | step 0: panel 0, panel 1 | step 1: panel 0, panel 1 | ...
 *
 * A panel step of a quantised format, for n_blocks = step_columns / 32 blocks of 32 columns
 * (byte order; [..][r] runs over the 16 rows):
 *
 *     scales     SCALE_F16       f16 d[n_blocks][r]
 *                SCALE_F16_MIN   f16 d[n_blocks][r], f16 m[n_blocks][r]
 *                SCALE_K32_MIN   f16 d[r], f16 dmin[r], u8 scale[8][r], u8 min[8][r]
 *                SCALE_K16       f16 d[r], 32 bytes of zero, s8 scale[16][r]
 *                SCALE_K16_MIN   f16 d[r], f16 dmin[r], u8 (scale | min << 4)[16][r]
 *     low plane  8 bits          u8 [n_blocks][c = 0..7][r][j = 0..3]: code of column 4c + j
 *                4 bits          u8 [n_blocks][c = 0..3][r][j]: columns 4c + j | 16 + 4c + j << 4
 *                2 bits          u8 [n_blocks][h = 0..1][r][j]: columns 16h + 4i + j << 2i, i < 4
 *     high plane 1 bit           u8 [n_blocks][r][j]: column 4c + j << c, c = 0..7
 *                2 bits          as the low plane of 2 bits
 *
 * Codes are unsigned; the weight's integer is code - 2^offset_log2 (or code, where there is a
 * minimum). One 64-byte vector holds 4 consecutive columns of 16 rows, which is what the byte dot
 * products of AVX2 and AVX-512 sum into one 32-bit lane a row: no horizontal sums anywhere.
 * Floats are [k][r], so that a lane is a row there too.
 *
 * Activations of a product (one input row = one column of the tile) are stored in tiles of n <= 8
 * columns, blocks of 32 along K, each quantised with one scale to 8 bits:
 *
 *     tile block: f32 scale[n] | i32 -sum[n] | i32 -sum of the first 16 [n] | f32 scale*sum [n] |
 *                 s8 q[n][32]
 *
 * For float weights a tile is f32 [k][n]. K is padded with zeros to whole steps.
 *
 * The packed form of weights is the same at every instruction set, and is kept in files: whoever
 * changes a byte of it raises TW_LAYOUT_VERSION (a test compares).
 */
#ifndef TW_KERNEL_LAYOUT_H
#define TW_KERNEL_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tensor/dtype.h"

enum {
    TW_LAYOUT_VERSION = 1,
    TW_PANEL_ROWS = 16,
    TW_GROUP_PANELS = 2,
    TW_GROUP_ROWS = TW_PANEL_ROWS * TW_GROUP_PANELS,
    TW_TILE_COLUMNS_MAX = 8,
    TW_ACT_BLOCK = 32,
    TW_ACT_META_BYTES = 16,
    TW_ACT_BLOCK_BYTES = TW_ACT_META_BYTES + TW_ACT_BLOCK /* of one column */
};

enum tw_scale_kind {
    TW_SCALE_FLOAT = 0, /* plain floats: no scales */
    TW_SCALE_F16,
    TW_SCALE_F16_MIN,
    TW_SCALE_K32_MIN,
    TW_SCALE_K16,
    TW_SCALE_K16_MIN
};

struct tw_layout {
    enum tw_scale_kind scale;
    uint32_t step_columns;
    uint32_t scale_bytes;      /* of a panel step */
    uint32_t low_bits;         /* 8, 4, 2; 16 or 32 for floats */
    uint32_t high_bits;        /* 0, 1, 2 */
    uint32_t offset_log2;      /* codes are shifted by 2^offset_log2; 0 where they are not */
    uint32_t panel_step_bytes; /* a multiple of 64 */
};

#define TW_LAYOUT_QUANTISED(kind, columns, scales, low, high, offset)                              \
    (struct tw_layout)                                                                             \
    {                                                                                              \
        .scale = kind, .step_columns = columns, .scale_bytes = scales, .low_bits = low,            \
        .high_bits = high, .offset_log2 = offset,                                                  \
        .panel_step_bytes = scales + (columns) / 8 * TW_PANEL_ROWS * ((low) + (high))              \
    }

/* A constant argument folds to constants: kernels are specialised through this. */
static inline struct tw_layout tw_layout_of(enum tw_dtype dtype)
{
    switch (dtype) {
    case TW_DTYPE_F32:
        return (struct tw_layout){TW_SCALE_FLOAT, 1, 0, 32, 0, 0, 64};
    case TW_DTYPE_F16:
    case TW_DTYPE_BF16:
        return (struct tw_layout){TW_SCALE_FLOAT, 2, 0, 16, 0, 0, 64};
    case TW_DTYPE_Q8_0:
        return TW_LAYOUT_QUANTISED(TW_SCALE_F16, 64, 64, 8, 0, 7);
    case TW_DTYPE_Q4_0:
        return TW_LAYOUT_QUANTISED(TW_SCALE_F16, 64, 64, 4, 0, 3);
    case TW_DTYPE_Q4_1:
        return TW_LAYOUT_QUANTISED(TW_SCALE_F16_MIN, 64, 128, 4, 0, 0);
    case TW_DTYPE_Q5_0:
        return TW_LAYOUT_QUANTISED(TW_SCALE_F16, 64, 64, 4, 1, 4);
    case TW_DTYPE_Q5_1:
        return TW_LAYOUT_QUANTISED(TW_SCALE_F16_MIN, 64, 128, 4, 1, 0);
    case TW_DTYPE_Q2_K:
        return TW_LAYOUT_QUANTISED(TW_SCALE_K16_MIN, 256, 320, 2, 0, 0);
    case TW_DTYPE_Q3_K:
        return TW_LAYOUT_QUANTISED(TW_SCALE_K16, 256, 320, 2, 1, 2);
    case TW_DTYPE_Q4_K:
        return TW_LAYOUT_QUANTISED(TW_SCALE_K32_MIN, 256, 320, 4, 0, 0);
    case TW_DTYPE_Q5_K:
        return TW_LAYOUT_QUANTISED(TW_SCALE_K32_MIN, 256, 320, 4, 1, 0);
    case TW_DTYPE_Q6_K:
        return TW_LAYOUT_QUANTISED(TW_SCALE_K16, 256, 320, 4, 2, 5);
    case TW_DTYPE_IQ4_NL:
        return TW_LAYOUT_QUANTISED(TW_SCALE_F16, 64, 64, 4, 0, 7);
    case TW_DTYPE_COUNT:
        break;
    }
    return (struct tw_layout){0};
}

/* IQ4_NL's sixteen values plus 128: what its 4-bit codes stand for. */
extern const uint8_t tw_layout_iq4_nl_codes[16];

static inline size_t tw_layout_steps(enum tw_dtype dtype, size_t n_columns)
{
    size_t columns = tw_layout_of(dtype).step_columns;
    return (n_columns + columns - 1) / columns;
}

static inline size_t tw_layout_group_bytes(enum tw_dtype dtype, size_t n_columns)
{
    return tw_layout_steps(dtype, n_columns) * TW_GROUP_PANELS *
           tw_layout_of(dtype).panel_step_bytes;
}

static inline size_t tw_layout_matrix_bytes(enum tw_dtype dtype, size_t n_rows, size_t n_columns)
{
    return (n_rows + TW_GROUP_ROWS - 1) / TW_GROUP_ROWS * tw_layout_group_bytes(dtype, n_columns);
}

/* Packs one group. rows[i]: row i of the group as it lies in a file, or NULL for zeros.
 * ret_group: tw_layout_group_bytes bytes, aligned to 64. */
void tw_layout_pack_group(enum tw_dtype dtype, const void *const rows[TW_GROUP_ROWS],
                          size_t n_columns, uint8_t *ret_group);

/* ---- activations ---- */

/* How n input rows are cut into tiles: one tile up to 8 rows, otherwise tiles of at most 6 whose
 * sizes differ by at most one (a 32x6 tile keeps everything in registers; 32x8 spills and still
 * wins where one pass over the weights does it all). */
struct tw_tiling {
    uint32_t n_rows;
    uint32_t n_tiles;
};

struct tw_tiling tw_tiling_of(uint32_t n_rows);
/* First row and number of rows of tile i. */
void tw_tiling_tile(struct tw_tiling tiling, uint32_t i, uint32_t *ret_first, uint32_t *ret_count);
/* The tile that row belongs to. */
uint32_t tw_tiling_tile_of_row(struct tw_tiling tiling, uint32_t row);

/* Blocks along K of an activation row of the given width: whole 256-column steps, so that one
 * quantised row serves weights of every format. */
static inline size_t tw_act_blocks(size_t width)
{
    return (width + 255) / 256 * 8;
}

/* Bytes of n_rows quantised activation rows, and of float ones. */
static inline size_t tw_act_bytes(size_t n_rows, size_t width)
{
    return n_rows * tw_act_blocks(width) * TW_ACT_BLOCK_BYTES;
}

static inline size_t tw_act_float_columns(size_t width)
{
    return (width + 1) / 2 * 2;
}

#endif
