#include "plan/calibrate.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "base/mem.h"
#include "plan/quantiles.h"

#define N TW_CALIBRATION_N

/* How far a measurement may be from the model, as a share, and how surely a coefficient is in its
 * range (two standard deviations of a logarithm). */
#define PASS_SHARE  0.03
#define LOG_SHARE   0.02
#define POINT_SHARE 0.1
#define MOST_ROUNDS 24
#define STEP        0.02 /* of a logarithm, for derivatives */

/* Steps of a point's simulation. */
struct told_step {
    struct tw_step_work work;
    double n; /* steps x sequences that waited in each */
};
struct told_steps {
    struct told_step *steps;
    uint32_t n, capacity;
    bool failed;
};

struct problem {
    const struct tw_plant *plant;
    const struct tw_plan_pass *passes;
    uint32_t n_passes;
    const struct tw_workload *workload;
    const struct tw_plan_point *points;
    const struct told_steps *told; /* [n_residuals], of points */
    double measured[10];           /* of a log: what is compared */
    double centre[N], width[N];    /* logarithms: the engine's own, and a standard deviation */
    uint32_t n_residuals;
    double share;
    struct tw_error *error;
};

static const struct {
    const char *name;
    double unit;
    bool is_share;
    size_t offset;
    const char *advice;
} terms[N] = {
#define E(member) offsetof(struct tw_plan_engine, member)
    [TW_CALIBRATE_COMPUTE] = {"compute_share", 1, true, E(compute_share),
                              "measure long prompts alone (512 tokens and more): they show the "
                              "arithmetic"},
    [TW_CALIBRATE_BANDWIDTH] = {"bandwidth_share", 1, true, E(bandwidth_share),
                                "measure one short text that decodes: it shows how fast weights "
                                "are read"},
    [TW_CALIBRATE_STEP] = {"step_ms", 1e-3, false, E(step_s),
                           "measure the smallest step (one token, short context) many times"},
    [TW_CALIBRATE_ROW] = {"row_us", 1e-6, false, E(row_s),
                          "measure decoding with 1, 8, 32 and more texts at the same context"},
    [TW_CALIBRATE_REQUEST] = {"request_ms", 1e-3, false, E(request_s),
                              "measure the time to the first token of short prompts on an idle "
                              "server"},
    [TW_CALIBRATE_REDUCE] = {"reduce_us", 1e-6, false, E(reduce_s),
                             "measure one load with one device and with several"},
    [TW_CALIBRATE_ATTENTION] = {"attention_share", 1, true, E(attention_share),
                                "measure prompts of 512 tokens and of many thousand"},
    [TW_CALIBRATE_PASSES] = {"passes", 1, false, E(passes),
                             "measure prompts with a small model and with a large one"},
    [TW_CALIBRATE_LAYER] = {"layer_us", 1e-6, false, E(layer_s),
                            "measure the smallest step of a model of few layers and of many"},
    [TW_CALIBRATE_LINK] = {"link_share", 1, true, E(link_share),
                           "measure long prompts with one device and with several"},
#undef E
};

const char *tw_calibration_name(enum tw_calibration_term term)
{
    return terms[term].name;
}

double tw_calibration_unit(enum tw_calibration_term term)
{
    return terms[term].unit;
}

static struct tw_range *term_of(struct tw_plan_engine *engine, int term)
{
    return (struct tw_range *)((char *)engine + terms[term].offset);
}

static double at_most(int term, double value)
{
    return terms[term].is_share && value > 1 ? 1 : value;
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

/* Of large errors the root, so that their squares grow as the errors do. */
static double damped(double residual)
{
    const double size = fabs(residual);
    return size <= 1 ? residual : copysign(sqrt(2 * size - 1), residual);
}

/* Logarithms of predicted over measured, in shares of what a measurement may be off. */
static enum tw_status pass_residuals(const struct problem *p, const struct tw_plant *plant,
                                     double *residuals)
{
    struct tw_step_cost cost;
    enum tw_status status = tw_step_cost_make(plant, &cost, p->error);
    for (uint32_t i = 0; i < p->n_passes && status == TW_OK; i++) {
        const double ours = tw_step_parts(&cost, &p->passes[i].work).total_s;
        residuals[i] = damped(log(ours / p->passes[i].seconds) / p->share);
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

static enum tw_status point_residuals(const struct problem *p, const struct tw_plan_engine *engine,
                                      double *residuals)
{
    enum tw_status status = TW_OK;
    for (uint32_t i = 0; i < p->n_residuals && status == TW_OK; i++) {
        struct tw_step_cost cost;
        struct tw_plant plant = p->points[i].plant;
        plant.engine = engine;
        status = tw_step_cost_make(&plant, &cost, p->error);
        double seconds = 0, n = 0;
        for (uint32_t k = 0; k < p->told[i].n && status == TW_OK; k++) {
            const struct told_step *step = &p->told[i].steps[k];
            seconds += step->n * tw_step_parts(&cost, &step->work).total_s;
            n += step->n;
        }
        residuals[i] = n > 0 ? damped(log(seconds / n / p->points[i].tpot_s) / p->share) : 0;
    }
    return status;
}

static enum tw_status residuals_at(const struct problem *p, const double *logs, double *residuals)
{
    struct tw_plan_engine engine = *p->plant->engine;
    struct tw_plant plant = *p->plant;
    set_terms(&engine, logs);
    plant.engine = &engine;
    if (p->points != NULL) {
        return point_residuals(p, &engine, residuals);
    }
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
        const bool at_end = terms[i].is_share && exp(logs[i] + STEP) > 1;
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
        logs[i] = terms[i].is_share && logs[i] > 0 ? 0 : logs[i];
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
        const double typical = r->typical > 0 ? r->typical : terms[i].unit * 1e-3;
        const double low = r->low > 0 ? r->low : typical / 4;
        const double high = r->high > low ? r->high : 4 * low;
        p->centre[i] = log(typical);
        const double width = log(high / low) / 2;
        p->width[i] = terms[i].unit == 1 || width > 1 ? width : 1;
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
        /* But what they hardly show stays as sure as it was. */
        const double sigma =
            fmin(sqrt(covariance[i][i] * (mean_square > 1 ? mean_square : 1)), p->width[i]);
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
    ret->measure = terms[ret->widest].advice;
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
    struct tw_plant whole = *plant;
    if (whole.n_context_tokens == 0) {
        whole.n_context_tokens = tw_workload_summarise(workload).total_most;
    }
    struct problem problem = {.plant = &whole,
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

/* ---- load points ---- */

/* So many requests for each client: enough that beginning and end hardly count. */
#define REQUESTS_PER_CLIENT 5

enum tw_status tw_plan_point_workload(const struct tw_plan_point *point,
                                      struct tw_workload *ret_workload, struct tw_error *error)
{
    const struct tw_use_case use = {.rate_requests_s = 1,
                                    .input = {.mean_tokens = point->n_input},
                                    .output = {.mean_tokens = point->n_output}};
    enum tw_status status =
        tw_workload_make(&use, 1, REQUESTS_PER_CLIENT * point->n_clients, 1, ret_workload, error);
    const double spread = 1 - point->least_share;
    for (uint32_t i = 0; status == TW_OK && i < ret_workload->n_requests; i++) {
        /* Even, in an order of no pattern: primes that share no factor with their counts. */
        const double a = (i * 7919u) % 1000 / 1000.0, b = (i * 104729u) % 997 / 997.0;
        struct tw_plan_request *request = &ret_workload->requests[i];
        request->n_input = (uint32_t)fmax(1, point->n_input * (1 - spread * a));
        request->n_output = (uint32_t)fmax(1, point->n_output * (1 - spread * b));
    }
    return status;
}

static enum tw_status simulate_point(const struct tw_plan_point *point,
                                     struct tw_simulation *simulation,
                                     struct tw_plan_result *ret_result, struct tw_error *error)
{
    struct tw_workload workload;
    enum tw_status status = tw_plan_point_workload(point, &workload, error);
    if (status == TW_OK) {
        simulation->plant = &point->plant;
        simulation->workload = &workload;
        simulation->n_clients = point->n_clients;
        status = tw_simulate(simulation, ret_result, NULL, error);
        tw_workload_free(&workload);
    }
    return status;
}

enum tw_status tw_plan_point_simulate(const struct tw_plan_point *point,
                                      struct tw_plan_result *ret_result, struct tw_error *error)
{
    struct tw_simulation simulation = {0};
    return simulate_point(point, &simulation, ret_result, error);
}

static void take_steps(void *context, const struct tw_step_work *work, uint32_t n_steps,
                       uint32_t n_decoding)
{
    struct told_steps *told = context;
    if (n_decoding == 0) {
        return;
    }
    if (told->n == told->capacity && !told->failed) {
        const uint32_t capacity = told->capacity > 0 ? 2 * told->capacity : 256;
        struct told_step *steps = tw_mem_realloc(told->steps, capacity, sizeof *steps);
        told->failed = steps == NULL;
        told->steps = steps != NULL ? steps : told->steps;
        told->capacity = steps != NULL ? capacity : told->capacity;
    }
    if (!told->failed) {
        told->steps[told->n++] =
            (struct told_step){.work = *work, .n = (double)n_steps * n_decoding};
    }
}

static enum tw_status tell_steps(const struct tw_plan_point *point, struct told_steps *told,
                                 struct tw_error *error)
{
    struct tw_plan_result ignored;
    struct tw_simulation simulation = {.on_steps = take_steps, .on_steps_context = told};
    enum tw_status status = simulate_point(point, &simulation, &ignored, error);
    return status == TW_OK && told->failed
               ? tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a calibration")
               : status;
}

enum tw_status tw_calibrate_points(const struct tw_plan_point *points, uint32_t n_points,
                                   struct tw_calibration *ret_calibration, struct tw_error *error)
{
    if (n_points < 4) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "%u load points are too few to calibrate by: measure four or more, "
                            "with few clients and with many",
                            n_points);
    }
    struct told_steps *told = tw_mem_zalloc(n_points, sizeof *told);
    if (told == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a calibration");
    }
    struct problem problem = {.plant = &points[0].plant,
                              .points = points,
                              .told = told,
                              .n_residuals = n_points,
                              .share = POINT_SHARE,
                              .error = error};
    enum tw_status status = TW_OK;
    for (uint32_t i = 0; i < n_points && status == TW_OK; i++) {
        status = tell_steps(&points[i], &told[i], error);
    }
    status = status == TW_OK ? fit(&problem, ret_calibration) : status;
    for (uint32_t i = 0; i < n_points; i++) {
        tw_mem_free(told[i].steps);
    }
    tw_mem_free(told);
    return status;
}

void tw_calibration_apply(const struct tw_calibration *calibration, struct tw_plan_engine *engine)
{
    for (int i = 0; i < N; i++) {
        *term_of(engine, i) = calibration->value[i];
    }
}
