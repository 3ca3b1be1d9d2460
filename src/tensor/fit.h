/* fit.h: the scales and codes that lose least: the search behind the quantisers.
 *
 *     values[n] --[tw_fit_load, tw_fit_weights]--> x, w
 *        --[tw_fit_scale, tw_fit_line]--> a line: x ~ scale * code + offset, in f32
 *        --[tw_fit_choose]--> the best of lines that the format can store
 *        --[tw_fit_encode]--> codes
 *
 * A fit minimises the sum of w (x - decoded)^2. It tries a fixed list of candidate lines, eight at
 * a time, one per vector lane; gives every element its nearest code; solves for the scale and
 * offset that suit these codes best; and keeps the candidate of least error, the first of equals.
 * Then it looks around the winner once or twice more. Ten times as many candidates gain less than
 * 0.5 %.
 *
 * Invariants: 1. a result is a function of the arguments: no randomness, and no step whose number
 * depends on a tolerance. 2. Codes are rounded to nearest, ties to even. 3. With x from tw_fit_load
 * every result is finite.
 * Shapes: x, w: [n] f32, n 16 or 32, w > 0.
 * Threads: any. Errors: none; nothing is allocated.
 */
#ifndef TW_TENSOR_FIT_H
#define TW_TENSOR_FIT_H

#include <stddef.h>
#include <stdint.h>

enum { TW_FIT_LANES = 8 };

/* One value per candidate. A quad is the vector that every x86-64 has. */
typedef float tw_fit_quad __attribute__((vector_size(16)));
union tw_fit_lanes {
    float v[TW_FIT_LANES];
    tw_fit_quad quads[2];
};

/* The values a code can have: the integers lo..hi, or 16 ascending levels from lo to hi. */
struct tw_fit_grid {
    float lo, hi;
    const int8_t *levels; /* NULL for integers */
};

struct tw_fit_line {
    float scale;
    float offset; /* what the code value 0 stands for */
};

/* Copies; NaN becomes 0, magnitudes above 2^28 (the reach of the widest format) become 2^28. */
void tw_fit_load(const float *values, size_t n, float *ret_x);

/* The error weights of n elements. */
void tw_fit_weights(const float *x, int n, float *ret_w);

/* A line without offset; lo < 0 < hi. The scale is negative where that uses the range better. */
struct tw_fit_line tw_fit_scale(const float *x, const float *w, int n,
                                const struct tw_fit_grid *grid);

/* A line with an offset of at most offset_bound (0 for formats that can only subtract); lo = 0. */
struct tw_fit_line tw_fit_line(const float *x, const float *w, int n,
                               const struct tw_fit_grid *grid, float offset_bound);

/* The lane of the line that loses least when every element takes its nearest code. */
int tw_fit_choose(const float *x, const float *w, int n, const struct tw_fit_grid *grid,
                  const union tw_fit_lanes *scales, const union tw_fit_lanes *offsets,
                  float *ret_error);

/* The nearest code of every element, counted from 0. A scale of 0 gives the value 0, or the least
 * magnitude among the levels. */
void tw_fit_encode(const float *x, int n, const struct tw_fit_grid *grid,
                   const struct tw_fit_line *line, uint8_t *ret_codes);

/* To f16, saturating at +-65504. */
uint16_t tw_fit_half(float value);

/* Super-blocks of 256 elements: sub-blocks whose scales (and minima) are small integers, their
 * steps, times the super-block's d (and dmin). Steps and codes are chosen again for the d and dmin
 * that f16 can hold, then d and dmin for the steps and codes. */

/* Element = d * scale * code - dmin * min. scales, mins: 0..step_max. */
struct tw_fit_super_line {
    uint16_t d;
    uint16_t dmin;
    uint8_t scales[16];
    uint8_t mins[16];
    uint8_t codes[256];
};

/* n_subs: 8 or 16. x from tw_fit_load. */
void tw_fit_super_line(const float x[256], int n_subs, const struct tw_fit_grid *grid, int step_max,
                       struct tw_fit_super_line *ret_fit);

/* Element = d * scale * (code + lo). scales: -step_end..step_end - 1; 16 sub-blocks. */
struct tw_fit_super_scale {
    uint16_t d;
    int8_t scales[16];
    uint8_t codes[256];
};

void tw_fit_super_scale(const float x[256], const struct tw_fit_grid *grid, int step_end,
                        struct tw_fit_super_scale *ret_fit);

#endif
