#include "kernel/layout.h"

const uint8_t tw_layout_iq4_nl_codes[16] = {
    128 - 127, 128 - 104, 128 - 83, 128 - 65, 128 - 49, 128 - 35, 128 - 22, 128 - 10,
    128 + 1,   128 + 13,  128 + 25, 128 + 38, 128 + 53, 128 + 69, 128 + 89, 128 + 113,
};

struct tw_tiling tw_tiling_of(uint32_t n_rows)
{
    uint32_t n_tiles = n_rows <= TW_TILE_COLUMNS_MAX ? 1 : (n_rows + 5) / 6;
    return (struct tw_tiling){.n_rows = n_rows, .n_tiles = n_tiles};
}

void tw_tiling_tile(struct tw_tiling tiling, uint32_t i, uint32_t *ret_first, uint32_t *ret_count)
{
    uint32_t small = tiling.n_rows / tiling.n_tiles;
    uint32_t n_large = tiling.n_rows % tiling.n_tiles;
    *ret_first = i * small + (i < n_large ? i : n_large);
    *ret_count = small + (i < n_large);
}

uint32_t tw_tiling_tile_of_row(struct tw_tiling tiling, uint32_t row)
{
    uint32_t small = tiling.n_rows / tiling.n_tiles;
    uint32_t n_large = tiling.n_rows % tiling.n_tiles;
    uint32_t in_large = n_large * (small + 1);
    return row < in_large ? row / (small + 1) : n_large + (row - in_large) / small;
}
