#include <math.h>

#include "tensor/f16.h"
#include "tensor/fit.h"

/* A second round gains about 0.5 %, a third 0.1 %. */
enum { ROUNDS = 2, LANES = TW_FIT_LANES };

/* A super-block while it is fitted. */
struct work {
    const float *x;
    float w[256];
    int n_subs;
    int n; /* elements of a sub-block */
    const struct tw_fit_grid *grid;
    int step_lo, step_hi;
    struct tw_fit_line lines[16]; /* of the sub-blocks, before their scales became steps */
    float d, dmin;                /* as f16 has them */
};

static float nearest_step(const struct work *work, float step)
{
    float clamped = step > (float)work->step_lo ? step : (float)work->step_lo;
    clamped = clamped < (float)work->step_hi ? clamped : (float)work->step_hi;
    return clamped + 0x1.8p23f - 0x1.8p23f;
}

static float ratio_or_zero(float a, float b)
{
    return b != 0 ? a / b : 0;
}

/* The first d is the least that reaches the largest scale. Among the subnormals of f16 rounding
 * down would lose up to half of it, so they are rounded up. */
static uint16_t first_half(float d)
{
    uint16_t half = tw_fit_half(d);
    if (fabsf(d) < 0x1p-14f && fabsf(tw_f16_to_f32(half)) < fabsf(d)) {
        half++;
    }
    return half;
}

/* Steps of sub-block j around its line's scale and minimum, then its codes. */
static void settle_line(const struct work *work, int j, struct tw_fit_super_line *fit)
{
    static const float around[LANES] = {0, -1, 1, -2, 2, -3, 3, 4};
    const float *x = work->x + j * work->n, *w = work->w + j * work->n;
    float scale = ratio_or_zero(work->lines[j].scale, work->d);
    float min = ratio_or_zero(-work->lines[j].offset, work->dmin);
    float least_error = INFINITY;
    struct tw_fit_line line = {0, 0};
    for (int s = -1; s <= 1; s++) {
        union tw_fit_lanes scales, offsets;
        float error, scale_step = nearest_step(work, scale + (float)s);
        for (int c = 0; c < LANES; c++) {
            scales.v[c] = work->d * scale_step;
            offsets.v[c] = -(work->dmin * nearest_step(work, min + around[c]));
        }
        int best = tw_fit_choose(x, w, work->n, work->grid, &scales, &offsets, &error);
        if (error < least_error) {
            least_error = error;
            line = (struct tw_fit_line){scales.v[best], offsets.v[best]};
            fit->scales[j] = (uint8_t)scale_step;
            fit->mins[j] = (uint8_t)nearest_step(work, min + around[best]);
        }
    }
    tw_fit_encode(x, work->n, work->grid, &line, fit->codes + j * work->n);
}

/* The d and dmin that lose least with these steps and codes: x ~ d a - dmin b with a = scale * code
 * and b = min, a 2x2 system. */
static void solve_line(const struct work *work, const struct tw_fit_super_line *fit, float *d,
                       float *dmin)
{
    double aa = 0, ab = 0, bb = 0, xa = 0, xb = 0;
    for (int k = 0; k < 256; k++) {
        float a = (float)(fit->scales[k / work->n] * fit->codes[k]);
        float b = fit->mins[k / work->n];
        float w = work->w[k];
        aa += (double)(w * a * a);
        ab += (double)(w * a * b);
        bb += (double)(w * b * b);
        xa += (double)(w * a * work->x[k]);
        xb += (double)(w * b * work->x[k]);
    }
    double determinant = aa * bb - ab * ab;
    double solved_d = determinant > 0 ? (xa * bb - xb * ab) / determinant : xa / aa;
    double solved_dmin = determinant > 0 ? (xa * ab - xb * aa) / determinant : 0;
    if (aa > 0 && solved_d > 0 && solved_dmin >= 0) {
        *d = (float)solved_d;
        *dmin = determinant > 0 ? (float)solved_dmin : *dmin;
    }
}

static void settle_super_line(struct work *work, uint16_t d, uint16_t dmin,
                              struct tw_fit_super_line *fit)
{
    fit->d = d;
    fit->dmin = dmin;
    work->d = tw_f16_to_f32(d);
    work->dmin = tw_f16_to_f32(dmin);
    for (int j = 0; j < work->n_subs; j++) {
        settle_line(work, j, fit);
    }
}

void tw_fit_super_line(const float x[256], int n_subs, const struct tw_fit_grid *grid, int step_max,
                       struct tw_fit_super_line *ret_fit)
{
    struct work work = {
        .x = x, .n_subs = n_subs, .n = 256 / n_subs, .grid = grid, .step_hi = step_max};
    float d = 0, dmin = 0;
    for (int j = 0; j < n_subs; j++) {
        float *w = work.w + j * work.n;
        tw_fit_weights(x + j * work.n, work.n, w);
        work.lines[j] = tw_fit_line(x + j * work.n, w, work.n, grid, 0);
        d = fmaxf(d, work.lines[j].scale / (float)step_max);
        dmin = fmaxf(dmin, -work.lines[j].offset / (float)step_max);
    }
    settle_super_line(&work, first_half(d), first_half(dmin), ret_fit);
    for (int round = 1; round < ROUNDS; round++) {
        solve_line(&work, ret_fit, &d, &dmin);
        settle_super_line(&work, tw_fit_half(d), tw_fit_half(dmin), ret_fit);
    }
}

/* The same without minima. Sub-block j's scale may change sign: the last lane. */
static void settle_scale(const struct work *work, int j, struct tw_fit_super_scale *fit)
{
    static const union tw_fit_lanes no_offsets;
    static const float around[LANES] = {0, -1, 1, -2, 2, -3, 3, 0};
    const float *x = work->x + j * work->n, *w = work->w + j * work->n;
    float scale = ratio_or_zero(work->lines[j].scale, work->d);
    union tw_fit_lanes steps, scales;
    float error;
    for (int c = 0; c < LANES; c++) {
        steps.v[c] = nearest_step(work, (c < LANES - 1 ? scale : -scale) + around[c]);
        scales.v[c] = work->d * steps.v[c];
    }
    int best = tw_fit_choose(x, w, work->n, work->grid, &scales, &no_offsets, &error);
    struct tw_fit_line line = {scales.v[best], 0};
    fit->scales[j] = (int8_t)steps.v[best];
    tw_fit_encode(x, work->n, work->grid, &line, fit->codes + j * work->n);
}

static float solve_scale(const struct work *work, const struct tw_fit_super_scale *fit, float d)
{
    double aa = 0, xa = 0;
    for (int k = 0; k < 256; k++) {
        float a = (float)fit->scales[k / work->n] * ((float)fit->codes[k] + work->grid->lo);
        aa += (double)(work->w[k] * a * a);
        xa += (double)(work->w[k] * a * work->x[k]);
    }
    return aa > 0 ? (float)(xa / aa) : d;
}

static void settle_super_scale(struct work *work, uint16_t d, struct tw_fit_super_scale *fit)
{
    fit->d = d;
    work->d = tw_f16_to_f32(d);
    for (int j = 0; j < work->n_subs; j++) {
        settle_scale(work, j, fit);
    }
}

/* d is such that the scale of largest magnitude gets the step at the longer end of their range. */
void tw_fit_super_scale(const float x[256], const struct tw_fit_grid *grid, int step_end,
                        struct tw_fit_super_scale *ret_fit)
{
    struct work work = {
        .x = x, .n_subs = 16, .n = 16, .grid = grid, .step_lo = -step_end, .step_hi = step_end - 1};
    float largest = 0;
    for (int j = 0; j < work.n_subs; j++) {
        float *w = work.w + j * work.n;
        tw_fit_weights(x + j * work.n, work.n, w);
        work.lines[j] = tw_fit_scale(x + j * work.n, w, work.n, grid);
        largest = fabsf(work.lines[j].scale) > fabsf(largest) ? work.lines[j].scale : largest;
    }
    float d = largest / (float)-step_end;
    settle_super_scale(&work, first_half(d), ret_fit);
    for (int round = 1; round < ROUNDS; round++) {
        d = solve_scale(&work, ret_fit, d);
        settle_super_scale(&work, tw_fit_half(d), ret_fit);
    }
}
