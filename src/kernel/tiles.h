/* tiles.h: the list of product kernels a level has: every element type times 1..8 columns.
 *
 * TW_FOR_EACH_TILE(X) expands X(dtype, n) for all of them, TW_FOR_EACH_TILE_DTYPE(X) expands
 * X(dtype). Levels specialise one inline template with them and fill their table.
 */
#ifndef TW_KERNEL_TILES_H
#define TW_KERNEL_TILES_H

#define TW_FOR_EACH_TILE_WIDTH(X, dtype)                                                           \
    X(dtype, 1) X(dtype, 2) X(dtype, 3) X(dtype, 4) X(dtype, 5) X(dtype, 6) X(dtype, 7) X(dtype, 8)

#define TW_FOR_EACH_TILE_DTYPE(X)                                                                  \
    X(F32)                                                                                         \
    X(F16)                                                                                         \
    X(BF16)                                                                                        \
    X(Q8_0) X(Q4_0) X(Q4_1) X(Q5_0) X(Q5_1) X(Q2_K) X(Q3_K) X(Q4_K) X(Q5_K) X(Q6_K) X(IQ4_NL)

#define TW_FOR_EACH_TILE(X)                                                                        \
    TW_FOR_EACH_TILE_WIDTH(X, F32)                                                                 \
    TW_FOR_EACH_TILE_WIDTH(X, F16)                                                                 \
    TW_FOR_EACH_TILE_WIDTH(X, BF16)                                                                \
    TW_FOR_EACH_TILE_WIDTH(X, Q8_0)                                                                \
    TW_FOR_EACH_TILE_WIDTH(X, Q4_0)                                                                \
    TW_FOR_EACH_TILE_WIDTH(X, Q4_1)                                                                \
    TW_FOR_EACH_TILE_WIDTH(X, Q5_0)                                                                \
    TW_FOR_EACH_TILE_WIDTH(X, Q5_1)                                                                \
    TW_FOR_EACH_TILE_WIDTH(X, Q2_K)                                                                \
    TW_FOR_EACH_TILE_WIDTH(X, Q3_K)                                                                \
    TW_FOR_EACH_TILE_WIDTH(X, Q4_K)                                                                \
    TW_FOR_EACH_TILE_WIDTH(X, Q5_K)                                                                \
    TW_FOR_EACH_TILE_WIDTH(X, Q6_K)                                                                \
    TW_FOR_EACH_TILE_WIDTH(X, IQ4_NL)

#endif
