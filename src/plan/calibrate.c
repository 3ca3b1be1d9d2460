#include "plan/calibrate.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "plan/quantiles.h"

#define N TW_CALIBRATION_N

/* How far a measurement may be from the model, as a share, and how surely a coefficient is in its
 * range (two standard deviations of a logarithm). */
#define PASS_SHARE  0.03
#define LOG_SHARE   0.02
#define MOST_ROUNDS 12
#define STEP        0.02 /* of a logarithm, for derivatives */

struct problem {
    const struct tw_plant *plant;
    const struct tw_plan_pass *passes;
    uint32_t n_passes;
    const struct tw_workload *workload;
    double measured[10];        /* of a log: what is compared */
    double centre[N], width[N]; /* logarithms: the engine's own, and a standard deviation */
    uint32_t n_residuals;
    double share;
    struct tw_error *error;
};

static const char *const names[N] = {"compute_share", "bandwidth_share", "step_ms",
                                     "row_us",        "request_ms",      "reduce_us"};
static const double units[N] = {1, 1, 1e-3, 1e-6, 1e-3, 1e-6};
static const char *const advice[N] = {
    "measure long prompts alone (512 tokens and more): they show the arithmetic",
    "measure one short text that decodes: it shows how fast weights are read",
    "measure the smallest step (one token, short context) many times",
    "measure decoding with 1, 8, 32 and more texts at the same context",
    "measure the time to the first token of short prompts on an idle server",
    "measure one load with one device and with several"};

const char *tw_calibration_name(enum tw_calibration_term term)
{
    return names[term];
}

double tw_calibration_unit(enum tw_calibration_term term)
{
    return units[term];
}

static struct tw_range *term_of(struct tw_plan_engine *engine, int term)
{
    struct tw_range *const terms[N] = {&engine->compute_share, &engine->bandwidth_share,
                                       &engine->step_s,        &engine->row_s,
                                       &engine->request_s,     &engine->reduce_s};
    return terms[term];
}

static double at_most(int term, double value)
{
    const bool is_share = term == TW_CALIBRATE_COMPUTE || term == TW_CALIBRATE_BANDWIDTH;
    return is_share && value > 1 ? 1 : value;
}

static void set_terms(struct tw_plan_engine *engine, const double *logs)
{
    for (int i = 0; i < N; i++) {
        *term_of(engine, i) = tw_range_exact(at_most(i, exp(logs[i])));
    }
}

/* ---- what is compared ---- */

static void summarise(double *ttft, uint32_t n, double *tpot, uint32_t n_tpot, double *ret)
{
    const struct tw_plan_quantiles a = tw_quantiles_of(ttft, n), b = tw_quantiles_of(tpot, n_tpot);
    const double all[10] = {a.mean, a.p50, a.p90, a.p95, a.p99, b.mean, b.p50, b.p90, b.p95, b.p99};
    memcpy(ret, all, sizeof all);
}

/* Logarithms of predicted over measured, in shares of what a measurement may be off. */
static enum tw_status pass_residuals(const struct problem *p, const struct tw_plant *plant,
                                     double *residuals)
{
    struct tw_step_cost cost;
    enum tw_status status = tw_step_cost_make(plant, &cost, p->error);
    for (uint32_t i = 0; i < p->n_passes && status == TW_OK; i++) {
        const double ours = tw_step_parts(&cost, &p->passes[i].work).total_s;
        residuals[i] = log(ours / p->passes[i].seconds) / p->share;
    }
    return status;
}

static enum tw_status log_residuals(const struct problem *p, const struct tw_plant *plant,
                                    double *residuals)
{
    struct tw_plan_result r;
    const struct tw_simulation simulation = {.plant = plant, .workload = p->workload};
    enum tw_status status = tw_simulate(&simulation, &r, NULL, p->error);
    if (status != TW_OK) {
        return status;
    }
    const double ours[10] = {r.ttft_s.mean, r.ttft_s.p50, r.ttft_s.p90, r.ttft_s.p95, r.ttft_s.p99,
                             r.tpot_s.mean, r.tpot_s.p50, r.tpot_s.p90, r.tpot_s.p95, r.tpot_s.p99};
    for (int i = 0; i < 10; i++) {
        /* Means count for more than single percentiles. */
        const double weight = i % 5 == 0 ? 2 : 1;
        residuals[i] = p->measured[i] > 0 && ours[i] > 0
                           ? weight * log(ours[i] / p->measured[i]) / p->share
                           : 0;
    }
    return TW_OK;
}

static enum tw_status residuals_at(const struct problem *p, const double *logs, double *residuals)
{
    struct tw_plan_engine engine = *p->plant->engine;
    struct tw_plant plant = *p->plant;
    set_terms(&engine, logs);
    plant.engine = &engine;
    return p->workload != NULL ? log_residuals(p, &plant, residuals)
                               : pass_residuals(p, &plant, residuals);
}

/* Half the squares of all residuals, and of how far coefficients are from where they were thought
 * to be: what the measurements do not show stays there. */
static double objective(const struct problem *p, const double *logs, const double *residuals)
{
    double sum = 0;
    for (uint32_t i = 0; i < p->n_residuals; i++) {
        sum += residuals[i] * residuals[i];
    }
    for (int i = 0; i < N; i++) {
        const double off = (logs[i] - p->centre[i]) / p->width[i];
        sum += off * off;
    }
    return sum / 2;
}

/* ---- least squares (Levenberg and Marquardt) ---- */

struct work {
    double *residuals, *tried, *columns; /* [n_residuals]; columns [N][n_residuals] */
    double normal[N][N], gradient[N];
};

static enum tw_status derive(const struct problem *p, const double *logs, struct work *w)
{
    for (int i = 0; i < N; i++) {
        double moved[N];
        memcpy(moved, logs, sizeof moved);
        const bool at_end = i <= TW_CALIBRATE_BANDWIDTH && exp(logs[i] + STEP) > 1;
        const double step = at_end ? -STEP : STEP;
        moved[i] += step;
        double *column = w->columns + (size_t)i * p->n_residuals;
        enum tw_status status = residuals_at(p, moved, column);
        if (status != TW_OK) {
            return status;
        }
        for (uint32_t k = 0; k < p->n_residuals; k++) {
            column[k] = (column[k] - w->residuals[k]) / step;
        }
    }
    for (int i = 0; i < N; i++) {
        const double *a = w->columns + (size_t)i * p->n_residuals;
        w->gradient[i] = (logs[i] - p->centre[i]) / (p->width[i] * p->width[i]);
        for (uint32_t k = 0; k < p->n_residuals; k++) {
            w->gradient[i] += a[k] * w->residuals[k];
        }
        for (int j = 0; j < N; j++) {
            const double *b = w->columns + (size_t)j * p->n_residuals;
            w->normal[i][j] = i == j ? 1 / (p->width[i] * p->width[i]) : 0;
            for (uint32_t k = 0; k < p->n_residuals; k++) {
                w->normal[i][j] += a[k] * b[k];
            }
        }
    }
    return TW_OK;
}

/* Gauss and Jordan; the matrix is positive definite, as every coefficient has a width. */
static void solve(double a[N][N], double *b)
{
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < N; j++) {
            if (j == i) {
                continue;
            }
            const double f = a[j][i] / a[i][i];
            for (int k = i; k < N; k++) {
                a[j][k] -= f * a[i][k];
            }
            b[j] -= f * b[i];
        }
    }
    for (int i = 0; i < N; i++) {
        b[i] /= a[i][i];
    }
}

static void invert(double a[N][N], double ret[N][N])
{
    for (int c = 0; c < N; c++) {
        double copy[N][N], unit[N] = {0};
        memcpy(copy, a, sizeof copy);
        unit[c] = 1;
        solve(copy, unit);
        for (int r = 0; r < N; r++) {
            ret[r][c] = unit[r];
        }
    }
}

static void clip(double *logs)
{
    for (int i = 0; i < N; i++) {
        logs[i] = i <= TW_CALIBRATE_BANDWIDTH && logs[i] > 0 ? 0 : logs[i];
    }
}

static enum tw_status improve(const struct problem *p, double *logs, struct work *w)
{
    enum tw_status status = residuals_at(p, logs, w->residuals);
    double best = status == TW_OK ? objective(p, logs, w->residuals) : 0, damping = 0.1;
    for (int round = 0; round < MOST_ROUNDS && status == TW_OK; round++) {
        status = derive(p, logs, w);
        bool better = false;
        for (int attempt = 0; attempt < 5 && !better && status == TW_OK; attempt++) {
            double a[N][N], step[N], moved[N];
            memcpy(a, w->normal, sizeof a);
            for (int i = 0; i < N; i++) {
                a[i][i] *= 1 + damping;
                step[i] = -w->gradient[i];
            }
            solve(a, step);
            for (int i = 0; i < N; i++) {
                moved[i] = logs[i] + (step[i] > 0.7 ? 0.7 : step[i] < -0.7 ? -0.7 : step[i]);
            }
            clip(moved);
            status = residuals_at(p, moved, w->tried);
            const double now = status == TW_OK ? objective(p, moved, w->tried) : best;
            better = now < best * (1 - 1e-6);
            damping = better ? damping / 5 : damping * 5;
            if (better) {
                best = now;
                memcpy(logs, moved, sizeof moved);
                memcpy(w->residuals, w->tried, p->n_residuals * sizeof *w->residuals);
            }
        }
        if (!better) {
            break;
        }
    }
    return status;
}

/* ---- from numbers to a calibration ---- */

/* The engine's own coefficients, with widths wide enough for machines of another kind. */
static void set_priors(struct problem *p)
{
    struct tw_plan_engine engine = *p->plant->engine;
    for (int i = 0; i < N; i++) {
        const struct tw_range *r = term_of(&engine, i);
        const double typical = r->typical > 0 ? r->typical : units[i] * 1e-3;
        const double low = r->low > 0 ? r->low : typical / 4;
        const double high = r->high > low ? r->high : 4 * low;
        p->centre[i] = log(typical);
        const double width = log(high / low) / 2;
        p->width[i] = i <= TW_CALIBRATE_BANDWIDTH ? width : width > 1 ? width : 1;
    }
}

static void fill(const struct problem *p, const double *logs, struct work *w,
                 struct tw_calibration *ret)
{
    double covariance[N][N];
    invert(w->normal, covariance);
    double squares = 0;
    for (uint32_t i = 0; i < p->n_residuals; i++) {
        squares += w->residuals[i] * w->residuals[i];
    }
    const double mean_square = squares / p->n_residuals;
    *ret = (struct tw_calibration){.n_measurements = p->n_residuals};
    ret->residual = sqrt(mean_square) * p->share;
    double widest = -1;
    for (int i = 0; i < N; i++) {
        /* Residuals beyond what was allowed for widen the intervals by as much. */
        const double sigma = sqrt(covariance[i][i] * (mean_square > 1 ? mean_square : 1));
        ret->value[i] =
            (struct tw_range){at_most(i, exp(logs[i] - 2 * sigma)), at_most(i, exp(logs[i])),
                              at_most(i, exp(logs[i] + 2 * sigma))};
        ret->is_measured[i] = sigma < 0.5 * p->width[i];
        double moves = 0;
        const double *column = w->columns + (size_t)i * p->n_residuals;
        for (uint32_t k = 0; k < p->n_residuals; k++) {
            moves += fabs(column[k]) * p->share / p->n_residuals;
        }
        if (moves * sigma > widest) {
            widest = moves * sigma;
            ret->widest = (enum tw_calibration_term)i;
        }
    }
    ret->widest_share = widest;
    ret->measure = advice[ret->widest];
}

static enum tw_status fit(struct problem *p, struct tw_calibration *ret)
{
    struct work w = {0};
    double *all = tw_mem_zalloc((size_t)p->n_residuals * (N + 2), sizeof *all);
    if (all == NULL) {
        return tw_error_set(p->error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a calibration");
    }
    w.residuals = all;
    w.tried = all + p->n_residuals;
    w.columns = all + 2 * (size_t)p->n_residuals;
    set_priors(p);
    double logs[N];
    memcpy(logs, p->centre, sizeof logs);
    enum tw_status status = improve(p, logs, &w);
    if (status == TW_OK) {
        status = derive(p, logs, &w);
    }
    if (status == TW_OK) {
        fill(p, logs, &w, ret);
    }
    tw_mem_free(all);
    return status;
}

enum tw_status tw_calibrate_passes(const struct tw_plant *plant, const struct tw_plan_pass *passes,
                                   uint32_t n_passes, struct tw_calibration *ret_calibration,
                                   struct tw_error *error)
{
    if (n_passes < 4) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "%u passes are too few to calibrate by: measure four or more, of "
                            "prompts and of decoding",
                            n_passes);
    }
    struct problem problem = {.plant = plant,
                              .passes = passes,
                              .n_passes = n_passes,
                              .n_residuals = n_passes,
                              .share = PASS_SHARE,
                              .error = error};
    for (uint32_t i = 0; i < n_passes; i++) {
        if (!(passes[i].seconds > 0)) {
            return tw_error_set(error, TW_ERR_FORMAT, i, "pass %u took no time", i + 1);
        }
    }
    return fit(&problem, ret_calibration);
}

enum tw_status tw_calibrate_log(const struct tw_plant *plant, const struct tw_workload *workload,
                                const struct tw_plan_outcome *outcomes,
                                struct tw_calibration *ret_calibration, struct tw_error *error)
{
    const uint32_t n = workload->n_requests;
    if (n < 20) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "%u requests are too few to calibrate by: give 20 or more", n);
    }
    struct problem problem = {.plant = plant,
                              .workload = workload,
                              .n_residuals = 10,
                              .share = LOG_SHARE,
                              .error = error};
    double *times = tw_mem_alloc(2 * (size_t)n, sizeof *times);
    if (times == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a calibration");
    }
    uint32_t n_ttft = 0, n_tpot = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (outcomes[i].ttft_s >= 0) {
            times[n_ttft++] = outcomes[i].ttft_s;
        }
        if (outcomes[i].tpot_s >= 0 && workload->requests[i].n_output > 1) {
            times[n + n_tpot++] = outcomes[i].tpot_s;
        }
    }
    summarise(times, n_ttft, times + n, n_tpot, problem.measured);
    tw_mem_free(times);
    if (n_ttft == 0 && n_tpot == 0) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "the log has no times: it needs columns ttft_ms or tpot_ms");
    }
    return fit(&problem, ret_calibration);
}

void tw_calibration_apply(const struct tw_calibration *calibration, struct tw_plan_engine *engine)
{
    for (int i = 0; i < N; i++) {
        *term_of(engine, i) = calibration->value[i];
    }
}
