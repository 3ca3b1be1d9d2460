/* simd_tile.h: the product of a weight group with an activation tile, for every format at once.
 *
 *     y[row, column] = sum over blocks of scale * dot(codes, bytes) - corrections   (kernels.h)
 *
 * One inline template; the element type and the tile's width are constants, so each instance keeps
 * only its own path. Memory: the group is one sequential stream; the tile (at most 8 x 48 bytes a
 * block) stays in the first-level cache. Per block of 32 columns the 32x6 tile of Q8_0 does 96 dot
 * instructions for 64 loads, and 12 conversions, 12 multiplications and 12 FMAs for the scales:
 * 80% of the dot peak is the ceiling with one activation scale per 32 (see bench/NOTES.md).
 *
 * The file that includes this has included simd_avx2.h or simd_avx512.h before.
 */
#ifndef TW_KERNEL_SIMD_SIMD_TILE_H
#define TW_KERNEL_SIMD_SIMD_TILE_H

#include "kernel/kernels.h"
#include "kernel/tiles.h"

#ifdef __clang__
#define SIMD_UNROLL _Pragma("unroll")
#else
#define SIMD_UNROLL _Pragma("GCC unroll 8")
#endif

/* Columns [first, first + n) of a tile of `width` columns, panels [panel, panel + n_panels). */
struct tile_part {
    int width, first, n;
    int panel, n_panels;
};

SIMD_INLINE float act_float(const uint8_t *block, int width, int field, int column)
{
    float value;
    memcpy(&value, block + 4 * (field * width + column), 4);
    return value;
}

SIMD_INLINE int32_t act_int(const uint8_t *block, int width, int field, int column)
{
    int32_t value;
    memcpy(&value, block + 4 * (field * width + column), 4);
    return value;
}

/* Four activation bytes of a column, in every lane. */
SIMD_INLINE vi act_bytes(const uint8_t *block, int width, int column, int chunk)
{
    int32_t value;
    memcpy(&value, block + TW_ACT_META_BYTES * width + TW_ACT_BLOCK * column + 4 * chunk, 4);
    return vi_set1(value);
}

/* Codes of columns 4c..4c+3 of sixteen rows. low and high: the block's planes. */
SIMD_INLINE vi weight_codes(const enum tw_dtype dtype, const uint8_t *low, const uint8_t *high,
                            const int c)
{
    const struct tw_layout layout = tw_layout_of(dtype);
    const int low_bits = (int)layout.low_bits;
    vi v;
    if (low_bits == 8) {
        v = vi_load(low + 64 * c);
    } else if (low_bits == 4) {
        v = vi_load(low + 64 * (c % 4));
        v = c < 4 ? v : vi_shift_right_16(v, 4);
        v = vi_and(v, vi_set1_u8(15));
    } else {
        v = vi_load(low + 64 * (c / 4));
        v = c % 4 == 0 ? v : vi_shift_right_16(v, c % 4 * 2);
        v = vi_and(v, vi_set1_u8(3));
    }
    if (layout.high_bits != 0) {
        const int from = layout.high_bits == 1 ? c : c % 4 * 2;
        const int mask = layout.high_bits == 1 ? 1 : 3;
        vi h = vi_load(high + (layout.high_bits == 1 ? 0 : 64 * (c / 4)));
        h = from < low_bits ? vi_shift_left_16(h, low_bits - from)
                            : vi_shift_right_16(h, from - low_bits);
        v = vi_or_masked(v, h, vi_set1_u8(mask << low_bits));
    }
    if (dtype == TW_DTYPE_IQ4_NL) {
        v = vi_lookup(tw_layout_iq4_nl_codes, v);
    }
    return v;
}

/* sums[i][j] += dot products of chunks [begin, end) of a block, starting from the correction for
 * unsigned codes. 4-bit planes are walked so that both nibbles of a load are used together. */
SIMD_INLINE void block_dots(const enum tw_dtype dtype, const struct tile_part part,
                            const uint8_t *low, const uint8_t *high, size_t panel_bytes,
                            const uint8_t *block, const int half,
                            vi sums[SIMD_TILE_PANELS][SIMD_TILE_COLUMNS])
{
    const struct tw_layout layout = tw_layout_of(dtype);
    const bool full_range = layout.offset_log2 == 7;
    const bool corrected = layout.offset_log2 != 0 && !(full_range && SIMD_FULL_RANGE_IS_SIGNED);
    SIMD_UNROLL
    for (int j = 0; j < part.n; j++) {
        int column = part.first + j;
        vi start = vi_zero();
        if (corrected) {
            int32_t sum = act_int(block, part.width, half == 0 ? 2 : 1, column);
            if (half == 1) {
                sum -= act_int(block, part.width, 2, column);
            }
            start = vi_set1((int32_t)((uint32_t)sum << layout.offset_log2));
        }
        SIMD_UNROLL
        for (int i = 0; i < part.n_panels; i++) {
            sums[i][j] = start;
        }
    }
    const int n_chunks = half < 0 ? 8 : 4;
    SIMD_UNROLL
    for (int n = 0; n < n_chunks; n++) {
        const int c = half >= 0 ? 4 * half + n : layout.low_bits == 4 ? n / 2 + n % 2 * 4 : n;
        vi w[SIMD_TILE_PANELS];
        SIMD_UNROLL
        for (int i = 0; i < part.n_panels; i++) {
            w[i] = weight_codes(dtype, low + (size_t)i * panel_bytes,
                                high + (size_t)i * panel_bytes, c);
        }
        SIMD_UNROLL
        for (int j = 0; j < part.n; j++) {
            vi a = act_bytes(block, part.width, part.first + j, c);
            SIMD_UNROLL
            for (int i = 0; i < part.n_panels; i++) {
                sums[i][j] = full_range ? vi_dot_full_range(sums[i][j], w[i], a)
                                        : vi_dot(sums[i][j], w[i], a);
            }
        }
    }
}

SIMD_INLINE vf scale_k32(const uint8_t *panel, int b)
{
    return vf_mul(vf_from_vi(vi_load_u8(panel + 64 + 16 * b)), vf_load_f16(panel));
}

SIMD_INLINE vf min_k32(const uint8_t *panel, int b)
{
    return vf_mul(vf_from_vi(vi_load_u8(panel + 192 + 16 * b)), vf_load_f16(panel + 32));
}

/* One block of 32 columns with one scale. */
SIMD_INLINE void add_block_32(const enum tw_dtype dtype, const struct tile_part part,
                              const uint8_t *panel, size_t panel_bytes, const int b,
                              const uint8_t *block, vf y[SIMD_TILE_PANELS][SIMD_TILE_COLUMNS])
{
    const struct tw_layout layout = tw_layout_of(dtype);
    const int n_blocks = (int)layout.step_columns / 32;
    const uint8_t *low = panel + layout.scale_bytes + (size_t)b * 64 * layout.low_bits;
    const uint8_t *high = panel + layout.scale_bytes + (size_t)n_blocks * 64 * layout.low_bits +
                          (size_t)b * 64 * layout.high_bits;
    vi sums[SIMD_TILE_PANELS][SIMD_TILE_COLUMNS];
    block_dots(dtype, part, low, high, panel_bytes, block, -1, sums);
    SIMD_UNROLL
    for (int i = 0; i < part.n_panels; i++) {
        const uint8_t *p = panel + (size_t)i * panel_bytes;
        vf scale = layout.scale == TW_SCALE_K32_MIN ? scale_k32(p, b) : vf_load_f16(p + 32 * b);
        SIMD_UNROLL
        for (int j = 0; j < part.n; j++) {
            int column = part.first + j;
            vf s = vf_set1(act_float(block, part.width, 0, column));
            y[i][j] = vf_fma(vf_from_vi(sums[i][j]), vf_mul(scale, s), y[i][j]);
            if (layout.scale == TW_SCALE_K32_MIN) {
                vf sum = vf_set1(act_float(block, part.width, 3, column));
                y[i][j] = vf_fnma(min_k32(p, b), sum, y[i][j]);
            } else if (layout.scale == TW_SCALE_F16_MIN) {
                vf sum = vf_set1(act_float(block, part.width, 3, column));
                y[i][j] = vf_fma(vf_load_f16(p + 32 * (n_blocks + b)), sum, y[i][j]);
            }
        }
    }
}

/* One block of 32 columns with a scale for each half. */
SIMD_INLINE void add_block_16(const enum tw_dtype dtype, const struct tile_part part,
                              const uint8_t *panel, size_t panel_bytes, const int b,
                              const uint8_t *block, vf y[SIMD_TILE_PANELS][SIMD_TILE_COLUMNS])
{
    const struct tw_layout layout = tw_layout_of(dtype);
    const uint8_t *low = panel + layout.scale_bytes + (size_t)b * 64 * layout.low_bits;
    const uint8_t *high =
        panel + layout.scale_bytes + 8u * 64 * layout.low_bits + (size_t)b * 64 * layout.high_bits;
    SIMD_UNROLL
    for (int half = 0; half < 2; half++) {
        vi sums[SIMD_TILE_PANELS][SIMD_TILE_COLUMNS];
        block_dots(dtype, part, low, high, panel_bytes, block, half, sums);
        SIMD_UNROLL
        for (int i = 0; i < part.n_panels; i++) {
            const uint8_t *p = panel + (size_t)i * panel_bytes;
            const uint8_t *fine = p + 64 + 16 * (2 * b + half);
            vf scale = vf_load_s8(fine), min = vf_zero();
            if (layout.scale == TW_SCALE_K16_MIN) {
                vi both = vi_load_u8(fine);
                scale = vf_from_vi(vi_and(both, vi_set1(15)));
                min = vf_mul(vf_from_vi(vi_shift_right_32(both, 4)), vf_load_f16(p + 32));
            }
            scale = vf_mul(scale, vf_load_f16(p));
            SIMD_UNROLL
            for (int j = 0; j < part.n; j++) {
                int column = part.first + j;
                float s = act_float(block, part.width, 0, column);
                y[i][j] = vf_fma(vf_from_vi(sums[i][j]), vf_mul(scale, vf_set1(s)), y[i][j]);
                if (layout.scale == TW_SCALE_K16_MIN) {
                    int32_t low_sum = -act_int(block, part.width, 2, column);
                    int32_t sum =
                        half == 0 ? low_sum : -act_int(block, part.width, 1, column) - low_sum;
                    y[i][j] = vf_fnma(min, vf_set1(s * (float)sum), y[i][j]);
                }
            }
        }
    }
}

SIMD_INLINE vf load_weights(const enum tw_dtype dtype, const uint8_t *p)
{
    if (dtype == TW_DTYPE_F32) {
        float lanes[16];
        memcpy(lanes, p, sizeof lanes);
        return vf_load(lanes);
    }
    return dtype == TW_DTYPE_F16 ? vf_load_f16(p) : vf_load_bf16(p);
}

SIMD_INLINE void add_float_step(const enum tw_dtype dtype, const struct tile_part part,
                                const uint8_t *panel, size_t panel_bytes, const float *acts,
                                vf y[SIMD_TILE_PANELS][SIMD_TILE_COLUMNS])
{
    const struct tw_layout layout = tw_layout_of(dtype);
    const int row_bytes = (int)layout.low_bits / 8 * TW_PANEL_ROWS;
    SIMD_UNROLL
    for (int k = 0; k < (int)layout.step_columns; k++) {
        SIMD_UNROLL
        for (int i = 0; i < part.n_panels; i++) {
            vf w = load_weights(dtype, panel + (size_t)i * panel_bytes + row_bytes * k);
            SIMD_UNROLL
            for (int j = 0; j < part.n; j++) {
                vf x = vf_set1(acts[k * part.width + part.first + j]);
                y[i][j] = vf_fma(w, x, y[i][j]);
            }
        }
    }
}

/* As many lines as are read meanwhile go into the second-level cache: the first has about as many
 * misses under way as a burst has lines, so that loads would wait behind it. Fewer, of a group that
 * is read several times before, do not hold anything up there. */
SIMD_INLINE const uint8_t *prefetch_lines(const uint8_t *from, size_t lines, const bool is_many)
{
    for (size_t i = 0; i < lines; i++) {
        if (is_many) {
            _mm_prefetch((const char *)from + 64 * i, _MM_HINT_T1);
        } else {
            _mm_prefetch((const char *)from + 64 * i, _MM_HINT_T0);
        }
    }
    return from + 64 * lines;
}

/* One part of a tile over all of K. */
SIMD_INLINE void tile_part_product(const enum tw_dtype dtype, const struct tile_part part,
                                   const uint8_t *group, const void *acts, size_t n_steps,
                                   float *ret_tile, const uint8_t *prefetch, size_t lines)
{
    const struct tw_layout layout = tw_layout_of(dtype);
    const size_t panel_bytes = layout.panel_step_bytes;
    const int n_blocks = (int)layout.step_columns / 32;
    vf y[SIMD_TILE_PANELS][SIMD_TILE_COLUMNS];
    SIMD_UNROLL
    for (int i = 0; i < part.n_panels; i++) {
        SIMD_UNROLL
        for (int j = 0; j < part.n; j++) {
            y[i][j] = vf_zero();
        }
    }
    const uint8_t *panel = group + (size_t)part.panel * panel_bytes;
    const uint8_t *block = acts;
    /* A burst for every two blocks, and what that leaves before the first. */
    const size_t n_bursts = layout.scale == TW_SCALE_FLOAT ? 1 : (size_t)n_blocks / 2;
    const size_t lines_each = layout.scale == TW_SCALE_FLOAT ? 0 : lines / n_bursts;
    const size_t lines_first = lines - lines_each * n_bursts;
    const bool is_many = 64 * lines >= TW_GROUP_PANELS * panel_bytes;
    for (size_t step = 0; step < n_steps; step++) {
        prefetch = prefetch_lines(prefetch, lines_first, is_many);
        if (layout.scale == TW_SCALE_FLOAT) {
            add_float_step(dtype, part, panel, panel_bytes, (const float *)(const void *)block, y);
            block += sizeof(float) * layout.step_columns * (size_t)part.width;
        } else {
            for (int b = 0; b < n_blocks; b++) {
                prefetch = prefetch_lines(prefetch, b % 2 == 0 ? lines_each : 0, is_many);
                if (layout.scale == TW_SCALE_K16 || layout.scale == TW_SCALE_K16_MIN) {
                    add_block_16(dtype, part, panel, panel_bytes, b, block, y);
                } else {
                    add_block_32(dtype, part, panel, panel_bytes, b, block, y);
                }
                block += (size_t)TW_ACT_BLOCK_BYTES * (size_t)part.width;
            }
        }
        panel += TW_GROUP_PANELS * panel_bytes;
    }
    SIMD_UNROLL
    for (int j = 0; j < part.n; j++) {
        SIMD_UNROLL
        for (int i = 0; i < part.n_panels; i++) {
            vf_store(ret_tile + TW_GROUP_ROWS * (part.first + j) + TW_PANEL_ROWS * (part.panel + i),
                     y[i][j]);
        }
    }
}

/* Where registers hold a whole tile, an instance is one part. Otherwise the tile is walked in parts
 * of two columns and one panel, whose few instances all widths share. */
#if SIMD_TILE_WHOLE

#define SIMD_DEFINE_TILE(dtype, n_columns)                                                         \
    static void tile_##dtype##_##n_columns(const uint8_t *group, const void *acts, size_t n_steps, \
                                           float *ret_tile, const uint8_t *prefetch, size_t lines) \
    {                                                                                              \
        const struct tile_part part = {                                                            \
            .width = n_columns, .n = n_columns, .n_panels = TW_GROUP_PANELS};                      \
        tile_part_product(TW_DTYPE_##dtype, part, group, acts, n_steps, ret_tile, prefetch,        \
                          lines);                                                                  \
    }

#else

typedef void (*tile_part_fn)(struct tile_part part, const uint8_t *group, const void *acts,
                             size_t n_steps, float *ret_tile, const uint8_t *prefetch,
                             size_t lines);

static void walk_parts(tile_part_fn pair, tile_part_fn single, int width, const uint8_t *group,
                       const void *acts, size_t n_steps, float *ret_tile, const uint8_t *prefetch,
                       size_t lines)
{
    for (int panel = 0; panel < TW_GROUP_PANELS; panel++) {
        for (int first = 0; first < width; first += 2) {
            struct tile_part part = {.width = width, .first = first, .panel = panel};
            size_t part_lines = panel + first == 0 ? lines : 0;
            (width - first >= 2 ? pair : single)(part, group, acts, n_steps, ret_tile, prefetch,
                                                 part_lines);
        }
    }
}

#define SIMD_DEFINE_PART(dtype, n_columns)                                                         \
    static void part_##dtype##_##n_columns(struct tile_part part, const uint8_t *group,            \
                                           const void *acts, size_t n_steps, float *ret_tile,      \
                                           const uint8_t *prefetch, size_t lines)                  \
    {                                                                                              \
        part.n = n_columns;                                                                        \
        part.n_panels = 1;                                                                         \
        tile_part_product(TW_DTYPE_##dtype, part, group, acts, n_steps, ret_tile, prefetch,        \
                          lines);                                                                  \
    }

#define SIMD_DEFINE_PARTS(dtype)                                                                   \
    SIMD_DEFINE_PART(dtype, 1)                                                                     \
    SIMD_DEFINE_PART(dtype, 2)

TW_FOR_EACH_TILE_DTYPE(SIMD_DEFINE_PARTS)

#define SIMD_DEFINE_TILE(dtype, n_columns)                                                         \
    static void tile_##dtype##_##n_columns(const uint8_t *group, const void *acts, size_t n_steps, \
                                           float *ret_tile, const uint8_t *prefetch, size_t lines) \
    {                                                                                              \
        walk_parts(part_##dtype##_2, part_##dtype##_1, n_columns, group, acts, n_steps, ret_tile,  \
                   prefetch, lines);                                                               \
    }

#endif

#define SIMD_SET_TILE(dtype, n) kernels->tile[TW_DTYPE_##dtype][(n)-1] = tile_##dtype##_##n;

TW_FOR_EACH_TILE(SIMD_DEFINE_TILE)

static void set_tiles(struct tw_kernels *kernels)
{
    TW_FOR_EACH_TILE(SIMD_SET_TILE)
}

#endif
