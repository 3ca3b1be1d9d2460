#include "tensor/fit.h"

#include <math.h>
#include <stdbool.h>
#include <xmmintrin.h>

#include "tensor/f16.h"

enum { LANES = TW_FIT_LANES, MAX_ELEMENTS = 32 };

/* Half of the least f16: where all magnitudes are at most this, zero loses least. */
#define NEGLIGIBLE 0x1p-25f

/* What the least-squares line of every candidate follows from. */
struct sums {
    union tw_fit_lanes q, qq, xq;
};

/* The problem, and the best line so far. */
struct search {
    const float *x, *w;
    int n;
    const struct tw_fit_grid *grid;
    float sum_w, sum_wx;
    float offset_bound;
    struct tw_fit_line best;
    float least_error;
};

static inline tw_fit_quad spread(float value)
{
    return (tw_fit_quad){value, value, value, value};
}

static float inverse_or_zero(float scale)
{
    return scale != 0 ? 1 / scale : 0;
}

/* Adding and taking away 1.5 * 2^23 rounds to the nearest integer, ties to even, for magnitudes
 * below 2^22; the clamp before it keeps them there. */
static inline tw_fit_quad nearest_integers(tw_fit_quad positions, tw_fit_quad lo, tw_fit_quad hi)
{
    return _mm_min_ps(_mm_max_ps(positions, lo), hi) + 0x1.8p23f - 0x1.8p23f;
}

/* Climbs a step for every middle between two levels that lies below the position. */
static tw_fit_quad nearest_levels(tw_fit_quad positions, const int8_t *levels)
{
    tw_fit_quad level = spread(levels[0]);
    for (int i = 1; i < 16; i++) {
        tw_fit_quad middle = spread(0.5f * (float)(levels[i - 1] + levels[i]));
        tw_fit_quad step = spread((float)(levels[i] - levels[i - 1]));
        level += _mm_and_ps(_mm_cmpgt_ps(positions, middle), step);
    }
    return level;
}

static inline tw_fit_quad nearest_codes(tw_fit_quad positions, tw_fit_quad lo, tw_fit_quad hi,
                                        const int8_t *levels)
{
    if (levels != NULL) {
        return nearest_levels(positions, levels);
    }
    return nearest_integers(positions, lo, hi);
}

void tw_fit_load(const float *values, size_t n, float *ret_x)
{
    for (size_t i = 0; i < n; i++) {
        float x = values[i] == values[i] ? values[i] : 0;
        x = x < 0x1p28f ? x : 0x1p28f;
        ret_x[i] = x > -0x1p28f ? x : -0x1p28f;
    }
}

/* Large weights count more. Against w = 1, measured on normal, Laplace and trained weights, the
 * plain squared error rises by up to 4 % (Q2_K: 10 %), and the error weighted by x^2 falls by 10 to
 * 50 %. w = x^2 itself gains little more there and loses much more on the plain error. */
void tw_fit_weights(const float *x, int n, float *ret_w)
{
    float sum = 0;
    for (int i = 0; i < n; i++) {
        sum += x[i] * x[i];
    }
    float rms = sqrtf(sum / (float)n);
    float slope = rms > 0 ? 2 / rms : 0;
    for (int i = 0; i < n; i++) {
        ret_w[i] = 1 + slope * fabsf(x[i]);
    }
}

uint16_t tw_fit_half(float value)
{
    float saturated = value < 65504 ? value : 65504;
    return tw_f32_to_f16(saturated > -65504 ? saturated : -65504);
}

/* Inlined twice, with and without levels: the choice inside the loop would cost a third of the
 * speed, since the sums then live in memory. */
static inline __attribute__((always_inline)) void assign_codes_of(
    const struct search *search, const int8_t *levels, const union tw_fit_lanes *inverses,
    const union tw_fit_lanes *offsets, union tw_fit_lanes *ret_codes, struct sums *ret_sums)
{
    struct sums sums = {0};
    tw_fit_quad lo = spread(search->grid->lo), hi = spread(search->grid->hi);
    for (int i = 0; i < search->n; i++) {
        float x = search->x[i], w = search->w[i];
        for (int h = 0; h < 2; h++) {
            tw_fit_quad position = (x - offsets->quads[h]) * inverses->quads[h];
            tw_fit_quad q = nearest_codes(position, lo, hi, levels);
            tw_fit_quad wq = w * q;
            ret_codes[i].quads[h] = q;
            sums.q.quads[h] += wq;
            sums.qq.quads[h] += wq * q;
            sums.xq.quads[h] += wq * x;
        }
    }
    *ret_sums = sums;
}

/* Codes of every candidate and the sums their least-squares lines need. */
static void assign_codes(const struct search *search, const union tw_fit_lanes *inverses,
                         const union tw_fit_lanes *offsets, union tw_fit_lanes *ret_codes,
                         struct sums *ret_sums)
{
    if (search->grid->levels != NULL) {
        assign_codes_of(search, search->grid->levels, inverses, offsets, ret_codes, ret_sums);
    } else {
        assign_codes_of(search, NULL, inverses, offsets, ret_codes, ret_sums);
    }
}

/* The errors of eight lines with given codes; the best line is kept. */
static void judge(struct search *search, const union tw_fit_lanes *codes,
                  const union tw_fit_lanes *scales, const union tw_fit_lanes *offsets)
{
    union tw_fit_lanes errors = {{0}};
    for (int i = 0; i < search->n; i++) {
        for (int h = 0; h < 2; h++) {
            tw_fit_quad decoded = scales->quads[h] * codes[i].quads[h] + offsets->quads[h];
            tw_fit_quad e = search->x[i] - decoded;
            errors.quads[h] += search->w[i] * (e * e);
        }
    }
    for (int c = 0; c < LANES; c++) {
        if (errors.v[c] < search->least_error) {
            search->least_error = errors.v[c];
            search->best = (struct tw_fit_line){scales->v[c], offsets->v[c]};
        }
    }
}

/* Eight candidate scales without offset. */
static void try_scales(struct search *search, const union tw_fit_lanes *inverses)
{
    static const union tw_fit_lanes no_offsets;
    union tw_fit_lanes codes[MAX_ELEMENTS], scales;
    struct sums sums;
    assign_codes(search, inverses, &no_offsets, codes, &sums);
    for (int c = 0; c < LANES; c++) {
        scales.v[c] = sums.qq.v[c] > 0 ? sums.xq.v[c] / sums.qq.v[c] : 0;
    }
    judge(search, codes, &scales, &no_offsets);
}

/* Eight candidate lines. Where the codes do not determine a line (all are equal, and what is left
 * of the determinant is rounding), it is the one through the least element: a minimum costs the
 * most precision when scales and minima become integers. */
static void try_lines(struct search *search, const union tw_fit_lanes *inverses,
                      const union tw_fit_lanes *offsets)
{
    union tw_fit_lanes codes[MAX_ELEMENTS], scales, solved;
    struct sums sums;
    assign_codes(search, inverses, offsets, codes, &sums);
    for (int c = 0; c < LANES; c++) {
        float q = sums.q.v[c], qq = sums.qq.v[c], xq = sums.xq.v[c];
        float determinant = search->sum_w * qq - q * q;
        float scale = (search->sum_w * xq - search->sum_wx * q) / determinant;
        float offset = (qq * search->sum_wx - q * xq) / determinant;
        if (offset > search->offset_bound) {
            offset = search->offset_bound;
            scale = (xq - offset * q) / qq;
        }
        bool usable = determinant > 1e-6f * search->sum_w * qq && scale > 0;
        float plain_scale = qq > 0 ? xq / qq : inverse_or_zero(inverses->v[c]);
        scales.v[c] = usable ? scale : plain_scale;
        solved.v[c] = usable ? offset : 0;
    }
    judge(search, codes, &scales, &solved);
}

/* The width of one code step. */
static float step_width(const struct tw_fit_grid *grid)
{
    return grid->levels != NULL ? (grid->hi - grid->lo) / 15 : 1;
}

/* Scales that put the largest magnitude near the end `end` of the range: reach 0 just uses the
 * range, more clips the extreme for the sake of the others. */
static void try_reaches(struct search *search, float end, float extreme)
{
    static const float reaches[LANES] = {0, -0.5f, 0.5f, 1, 1.5f, 2, 2.75f, 3.5f};
    union tw_fit_lanes inverses;
    float step = copysignf(step_width(search->grid), end);
    for (int c = 0; c < LANES; c++) {
        inverses.v[c] = (end + reaches[c] * step) / extreme;
    }
    try_scales(search, &inverses);
}

static void refine_scale(struct search *search)
{
    static const float nudges[LANES] = {0, -0.36f, -0.24f, -0.12f, 0.12f, 0.24f, 0.36f, 0.5f};
    union tw_fit_lanes inverses;
    float inverse = inverse_or_zero(search->best.scale);
    float step = step_width(search->grid) / -search->grid->lo;
    for (int c = 0; c < LANES; c++) {
        inverses.v[c] = inverse * (1 + nudges[c] * step);
    }
    try_scales(search, &inverses);
}

struct tw_fit_line tw_fit_scale(const float *x, const float *w, int n,
                                const struct tw_fit_grid *grid)
{
    struct search search = {.x = x, .w = w, .n = n, .grid = grid, .least_error = INFINITY};
    float extreme = 0;
    for (int i = 0; i < n; i++) {
        extreme = fabsf(x[i]) > fabsf(extreme) ? x[i] : extreme;
    }
    if (fabsf(extreme) <= NEGLIGIBLE) {
        return search.best;
    }
    try_reaches(&search, grid->lo, extreme);
    if (grid->hi != -grid->lo) {
        try_reaches(&search, grid->hi, extreme);
    }
    refine_scale(&search);
    return search.best;
}

/* Lines that put 0 `below` steps under the range and the largest element `above` steps over it. */
static void try_ends(struct search *search, float range, const float *below, const float *above)
{
    union tw_fit_lanes inverses, offsets;
    for (int c = 0; c < LANES; c++) {
        inverses.v[c] = (search->grid->hi + below[c] + above[c]) / range;
        offsets.v[c] = below[c] / inverses.v[c];
    }
    try_lines(search, &inverses, &offsets);
}

static void refine_line(struct search *search)
{
    static const float wider[LANES] = {0, 0.2f, -0.2f, 0.2f, -0.2f, 0.4f, -0.4f, 0};
    static const float higher[LANES] = {0, 0.1f, 0.1f, -0.1f, -0.1f, 0, 0, 0.2f};
    union tw_fit_lanes inverses, offsets;
    struct tw_fit_line line = search->best;
    for (int c = 0; c < LANES; c++) {
        inverses.v[c] = (1 + wider[c] / search->grid->hi) / line.scale;
        offsets.v[c] = line.offset + higher[c] * line.scale;
    }
    try_lines(search, &inverses, &offsets);
}

/* Works on x - min: the sums then do not cancel when the elements lie close together. */
struct tw_fit_line tw_fit_line(const float *x, const float *w, int n,
                               const struct tw_fit_grid *grid, float offset_bound)
{
    static const float below[2 * LANES] = {0, -.3f, .3f, .6f, 0, -.3f, .3f, .6f,
                                           0, -.3f, .3f, .6f, 0, -.3f, .3f, .6f};
    static const float above[2 * LANES] = {0,   0,   0,   0,   -.3f, -.3f, -.3f, -.3f,
                                           .3f, .3f, .3f, .3f, .6f,  .6f,  .6f,  .6f};
    float shifted[MAX_ELEMENTS];
    float min = offset_bound, max = x[0];
    for (int i = 0; i < n; i++) {
        min = x[i] < min ? x[i] : min;
        max = x[i] > max ? x[i] : max;
    }
    if (max - min <= NEGLIGIBLE) {
        return (struct tw_fit_line){0, min};
    }
    struct search search = {.x = shifted,
                            .w = w,
                            .n = n,
                            .grid = grid,
                            .offset_bound = offset_bound - min,
                            .least_error = INFINITY};
    for (int i = 0; i < n; i++) {
        shifted[i] = x[i] - min;
        search.sum_w += w[i];
        search.sum_wx += w[i] * shifted[i];
    }
    try_ends(&search, max - min, below, above);
    try_ends(&search, max - min, below + LANES, above + LANES);
    refine_line(&search);
    refine_line(&search);
    search.best.offset += min;
    return search.best;
}

static inline __attribute__((always_inline)) void sum_errors_of(
    const float *x, const float *w, int n, const struct tw_fit_grid *grid, const int8_t *levels,
    const union tw_fit_lanes *scales, const union tw_fit_lanes *offsets,
    union tw_fit_lanes *ret_errors)
{
    union tw_fit_lanes inverses, errors = {{0}};
    tw_fit_quad lo = spread(grid->lo), hi = spread(grid->hi);
    for (int c = 0; c < LANES; c++) {
        inverses.v[c] = inverse_or_zero(scales->v[c]);
    }
    for (int i = 0; i < n; i++) {
        for (int h = 0; h < 2; h++) {
            tw_fit_quad position = (x[i] - offsets->quads[h]) * inverses.quads[h];
            tw_fit_quad q = nearest_codes(position, lo, hi, levels);
            tw_fit_quad e = x[i] - (scales->quads[h] * q + offsets->quads[h]);
            errors.quads[h] += w[i] * (e * e);
        }
    }
    *ret_errors = errors;
}

int tw_fit_choose(const float *x, const float *w, int n, const struct tw_fit_grid *grid,
                  const union tw_fit_lanes *scales, const union tw_fit_lanes *offsets,
                  float *ret_error)
{
    union tw_fit_lanes errors;
    int best = 0;
    if (grid->levels != NULL) {
        sum_errors_of(x, w, n, grid, grid->levels, scales, offsets, &errors);
    } else {
        sum_errors_of(x, w, n, grid, NULL, scales, offsets, &errors);
    }
    for (int c = 1; c < LANES; c++) {
        best = errors.v[c] < errors.v[best] ? c : best;
    }
    *ret_error = errors.v[best];
    return best;
}

static int level_index(float level, const struct tw_fit_grid *grid)
{
    int index = 0;
    while ((float)grid->levels[index] < level) {
        index++;
    }
    return index;
}

void tw_fit_encode(const float *x, int n, const struct tw_fit_grid *grid,
                   const struct tw_fit_line *line, uint8_t *ret_codes)
{
    float inverse = inverse_or_zero(line->scale);
    tw_fit_quad lo = spread(grid->lo), hi = spread(grid->hi);
    for (int i = 0; i < n; i += 4) {
        tw_fit_quad four = {x[i], x[i + 1], x[i + 2], x[i + 3]};
        tw_fit_quad values = nearest_codes((four - line->offset) * inverse, lo, hi, grid->levels);
        for (int c = 0; c < 4; c++) {
            int code = (int)(values[c] - grid->lo);
            ret_codes[i + c] =
                (uint8_t)(grid->levels != NULL ? level_index(values[c], grid) : code);
        }
    }
}
