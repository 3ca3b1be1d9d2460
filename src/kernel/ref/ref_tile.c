/* Reference products: each weight is found by its index in layout.h and the sums follow the order
 * in kernels.h, one row and one column at a time. */
#include <math.h>
#include <string.h>

#include "kernel/ref/ref.h"
#include "tensor/f16.h"

/* One column of an activation tile, at its current block. */
struct act_column {
    const uint8_t *block;
    uint32_t n_columns;
    uint32_t column;
};

static float act_f32(const struct act_column *act, uint32_t field)
{
    float value;
    memcpy(&value, act->block + 4 * (field * act->n_columns + act->column), 4);
    return value;
}

static int32_t act_i32(const struct act_column *act, uint32_t field)
{
    int32_t value;
    memcpy(&value, act->block + 4 * (field * act->n_columns + act->column), 4);
    return value;
}

enum { ACT_SCALE = 0, ACT_NEGATIVE_SUM = 1, ACT_NEGATIVE_SUM_LOW = 2, ACT_SCALED_SUM = 3 };

static int act_byte(const struct act_column *act, int k)
{
    const uint8_t *q = act->block + TW_ACT_META_BYTES * act->n_columns;
    return (int8_t)q[TW_ACT_BLOCK * act->column + (uint32_t)k];
}

/* The code of column k (0..31) of block b of a panel step. */
static int weight_code(const struct tw_layout *layout, enum tw_dtype dtype, const uint8_t *panel,
                       size_t b, int r, int k)
{
    size_t n_blocks = layout->step_columns / 32;
    const uint8_t *low = panel + layout->scale_bytes + b * 64 * layout->low_bits;
    const uint8_t *high =
        panel + layout->scale_bytes + n_blocks * 64 * layout->low_bits + b * 64 * layout->high_bits;
    int c = k / 4;
    int at = 4 * r + k % 4;
    int code;
    if (layout->low_bits == 8) {
        code = low[64 * c + at];
    } else if (layout->low_bits == 4) {
        code = low[64 * (c % 4) + at] >> (c / 4 * 4) & 15;
    } else {
        code = low[64 * (c / 4) + at] >> (c % 4 * 2) & 3;
    }
    if (layout->high_bits == 1) {
        code |= (high[at] >> c & 1) << layout->low_bits;
    } else if (layout->high_bits == 2) {
        code |= (high[64 * (c / 4) + at] >> (c % 4 * 2) & 3) << layout->low_bits;
    }
    return dtype == TW_DTYPE_IQ4_NL ? tw_layout_iq4_nl_codes[code] : code;
}

static float dot(const struct tw_layout *layout, enum tw_dtype dtype, const uint8_t *panel,
                 size_t b, int r, const struct act_column *act, int begin, int end)
{
    int offset = layout->offset_log2 != 0 ? 1 << layout->offset_log2 : 0;
    int sum = 0;
    for (int k = begin; k < end; k++) {
        sum += (weight_code(layout, dtype, panel, b, r, k) - offset) * act_byte(act, k);
    }
    return (float)sum;
}

static float load_f16(const uint8_t *at, size_t i)
{
    uint16_t half;
    memcpy(&half, at + 2 * i, 2);
    return tw_f16_to_f32(half);
}

static float add_block_32(const struct tw_layout *layout, enum tw_dtype dtype, const uint8_t *panel,
                          size_t b, int r, const struct act_column *act, float y)
{
    size_t lane = (size_t)r;
    size_t n_blocks = layout->step_columns / 32;
    float integer = dot(layout, dtype, panel, b, r, act, 0, 32);
    if (layout->scale == TW_SCALE_K32_MIN) {
        float scale = (float)panel[64 + 16 * b + lane] * load_f16(panel, lane);
        float min = (float)panel[192 + 16 * b + lane] * load_f16(panel, 16 + lane);
        y = fmaf(integer, scale * act_f32(act, ACT_SCALE), y);
        return fmaf(-min, act_f32(act, ACT_SCALED_SUM), y);
    }
    y = fmaf(integer, load_f16(panel, 16 * b + lane) * act_f32(act, ACT_SCALE), y);
    if (layout->scale == TW_SCALE_F16_MIN) {
        float min = load_f16(panel, 16 * (n_blocks + b) + lane);
        y = fmaf(min, act_f32(act, ACT_SCALED_SUM), y);
    }
    return y;
}

static float add_block_16(const struct tw_layout *layout, enum tw_dtype dtype, const uint8_t *panel,
                          size_t b, int r, const struct act_column *act, float y)
{
    size_t lane = (size_t)r;
    int sums[2];
    sums[0] = -act_i32(act, ACT_NEGATIVE_SUM_LOW);
    sums[1] = -act_i32(act, ACT_NEGATIVE_SUM) - sums[0];
    for (int half = 0; half < 2; half++) {
        uint8_t fine = panel[64 + 16 * (2 * b + (size_t)half) + lane];
        int code = layout->scale == TW_SCALE_K16 ? (int8_t)fine : fine & 15;
        float scale = (float)code * load_f16(panel, lane);
        float integer = dot(layout, dtype, panel, b, r, act, 16 * half, 16 * half + 16);
        y = fmaf(integer, scale * act_f32(act, ACT_SCALE), y);
        if (layout->scale == TW_SCALE_K16_MIN) {
            float min = (float)(fine >> 4) * load_f16(panel, 16 + lane);
            y = fmaf(-min, act_f32(act, ACT_SCALE) * (float)sums[half], y);
        }
    }
    return y;
}

static void tile_quantised(enum tw_dtype dtype, uint32_t n_columns, const uint8_t *group,
                           const uint8_t *acts, size_t n_steps, float *ret_tile)
{
    struct tw_layout layout = tw_layout_of(dtype);
    size_t step_blocks = layout.step_columns / 32;
    bool halves = layout.scale == TW_SCALE_K16 || layout.scale == TW_SCALE_K16_MIN;
    for (uint32_t j = 0; j < n_columns; j++) {
        for (size_t row = 0; row < TW_GROUP_ROWS; row++) {
            struct act_column act = {.block = acts, .n_columns = n_columns, .column = j};
            int r = (int)(row % TW_PANEL_ROWS);
            float y = 0;
            for (size_t step = 0; step < n_steps; step++) {
                const uint8_t *panel = group + (step * TW_GROUP_PANELS + row / TW_PANEL_ROWS) *
                                                   layout.panel_step_bytes;
                for (size_t b = 0; b < step_blocks; b++) {
                    y = halves ? add_block_16(&layout, dtype, panel, b, r, &act, y)
                               : add_block_32(&layout, dtype, panel, b, r, &act, y);
                    act.block += TW_ACT_BLOCK_BYTES * n_columns;
                }
            }
            ret_tile[TW_GROUP_ROWS * j + row] = y;
        }
    }
}

static float load_weight(enum tw_dtype dtype, const uint8_t *at)
{
    if (dtype == TW_DTYPE_F32) {
        float value;
        memcpy(&value, at, 4);
        return value;
    }
    uint16_t half;
    memcpy(&half, at, 2);
    return dtype == TW_DTYPE_F16 ? tw_f16_to_f32(half) : tw_bf16_to_f32(half);
}

static void tile_float(enum tw_dtype dtype, uint32_t n_columns, const uint8_t *group,
                       const float *acts, size_t n_steps, float *ret_tile)
{
    struct tw_layout layout = tw_layout_of(dtype);
    size_t item_bytes = layout.low_bits / 8;
    for (uint32_t j = 0; j < n_columns; j++) {
        for (size_t row = 0; row < TW_GROUP_ROWS; row++) {
            float y = 0;
            for (size_t k = 0; k < n_steps * layout.step_columns; k++) {
                size_t step = k / layout.step_columns, i = k % layout.step_columns;
                const uint8_t *panel = group + (step * TW_GROUP_PANELS + row / TW_PANEL_ROWS) *
                                                   layout.panel_step_bytes;
                size_t at = (i * TW_PANEL_ROWS + row % TW_PANEL_ROWS) * item_bytes;
                y = fmaf(load_weight(dtype, panel + at), acts[k * n_columns + j], y);
            }
            ret_tile[TW_GROUP_ROWS * j + row] = y;
        }
    }
}

#define DEFINE_TILE(dtype, n)                                                                      \
    static void tile_##dtype##_##n(const uint8_t *group, const void *acts, size_t n_steps,         \
                                   float *ret_tile, const uint8_t *prefetch,                       \
                                   size_t prefetch_lines)                                          \
    {                                                                                              \
        (void)prefetch;                                                                            \
        (void)prefetch_lines;                                                                      \
        if (tw_layout_of(TW_DTYPE_##dtype).scale == TW_SCALE_FLOAT) {                              \
            tile_float(TW_DTYPE_##dtype, n, group, acts, n_steps, ret_tile);                       \
        } else {                                                                                   \
            tile_quantised(TW_DTYPE_##dtype, n, group, acts, n_steps, ret_tile);                   \
        }                                                                                          \
    }

TW_FOR_EACH_TILE(DEFINE_TILE)

#define SET_TILE(dtype, n) kernels->tile[TW_DTYPE_##dtype][(n)-1] = tile_##dtype##_##n;

void tw_ref_init_tiles(struct tw_kernels *kernels)
{
    TW_FOR_EACH_TILE(SET_TILE)
}
