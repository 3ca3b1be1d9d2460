/* calibrate.h: an engine's coefficients from measurements, by least squares.
 *
 *     passes (tw_plan_pass: what a step computed, how long it took)   -> tw_calibrate_passes
 *     a server's log (arrival, input, output, TTFT, TPOT a request)   -> tw_calibrate_log
 *     load points (clients, input, output, TPOT), of several models   -> tw_calibrate_points
 *
 * Few coefficients, each with a meaning: the shares of arithmetic, attention, bandwidth and link,
 * and the fixed times of step, row, request, reduce and layer, and the passes of activations. What
 * a measurement does not show (the link on one device) keeps its range. Every coefficient has a
 * standard error from the residuals, and an interval of two of them.
 *
 * Points are simulated once: with so many clients that ask again at once, which steps there are
 * does not depend on how long they take, only their times do. Errors of points and passes count by
 * their size, not by its square, beyond what is usual: a few that were measured while the machine
 * had something else to do, or otherwise, do not decide.
 *
 * Invariants: shares stay in (0, 1.05], times >= 0; the same data give the same coefficients.
 * Ownership: plain values. Threads: any.
 * Errors: TW_ERR_FORMAT with what is missing; TW_ERR_USAGE for too few measurements.
 */
#ifndef TW_PLAN_CALIBRATE_H
#define TW_PLAN_CALIBRATE_H

#include "plan/simulator.h"

struct tw_plan_pass {
    struct tw_step_work work;
    double seconds;
};

enum tw_calibration_term {
    TW_CALIBRATE_COMPUTE = 0,
    TW_CALIBRATE_BANDWIDTH,
    TW_CALIBRATE_STEP,
    TW_CALIBRATE_ROW,
    TW_CALIBRATE_REQUEST,
    TW_CALIBRATE_REDUCE,
    TW_CALIBRATE_ATTENTION,
    TW_CALIBRATE_PASSES,
    TW_CALIBRATE_LAYER,
    TW_CALIBRATE_LINK,
    TW_CALIBRATION_N
};
/* Its field of an engine's row, and how much of a second (or a share) is 1 there. */
const char *tw_calibration_name(enum tw_calibration_term term);
double tw_calibration_unit(enum tw_calibration_term term);

struct tw_calibration {
    struct tw_range value[TW_CALIBRATION_N];
    bool is_measured[TW_CALIBRATION_N];
    uint32_t n_measurements;
    double residual; /* root mean square of relative errors */
    /* The term whose uncertainty moves the predicted time most, and by what share of it; and what
     * to measure to shrink it. */
    enum tw_calibration_term widest;
    double widest_share;
    const char *measure;
};

/* plant: the one that was measured. */
enum tw_status tw_calibrate_passes(const struct tw_plant *plant, const struct tw_plan_pass *passes,
                                   uint32_t n_passes, struct tw_calibration *ret_calibration,
                                   struct tw_error *error);
/* outcomes [workload's n_requests]: as measured. */
enum tw_status tw_calibrate_log(const struct tw_plant *plant, const struct tw_workload *workload,
                                const struct tw_plan_outcome *outcomes,
                                struct tw_calibration *ret_calibration, struct tw_error *error);

/* A load that a server was measured under: n_clients in a closed loop. */
struct tw_plan_point {
    struct tw_plant plant; /* of one replica; of one device and engine for all points */
    uint32_t n_clients;
    double n_input, n_output; /* tokens of a request at most; they vary evenly from least_share */
    double least_share;       /* of that to 1 */
    double tpot_s;            /* mean */
};
enum tw_status tw_calibrate_points(const struct tw_plan_point *points, uint32_t n_points,
                                   struct tw_calibration *ret_calibration, struct tw_error *error);
/* The point's requests, and its simulation. */
enum tw_status tw_plan_point_workload(const struct tw_plan_point *point,
                                      struct tw_workload *ret_workload, struct tw_error *error);
enum tw_status tw_plan_point_simulate(const struct tw_plan_point *point,
                                      struct tw_plan_result *ret_result, struct tw_error *error);

/* engine with the calibrated coefficients instead of its own. */
void tw_calibration_apply(const struct tw_calibration *calibration, struct tw_plan_engine *engine);

/* Reads load points: CSV with the titles clients, input_tokens, output_tokens and tpot_ms, and
 * where they differ from base also model, weights, tensor, pipeline and least_share (1). The points
 * point into the catalogue. */
enum tw_status tw_calibrate_read_points(const char *file, const char *text, size_t text_bytes,
                                        const struct tw_catalogue *catalogue,
                                        const struct tw_plant *base,
                                        struct tw_plan_point **ret_points, uint32_t *ret_n,
                                        struct tw_error *error);

/* Reads `tokenworks bench engine --json` (passes), or a log (CSV, JSONL; ttft_ms, tpot_ms). */
enum tw_status tw_calibrate_read_bench(const char *file, const char *text, size_t text_bytes,
                                       struct tw_plan_pass **ret_passes, uint32_t *ret_n,
                                       struct tw_error *error);
enum tw_status tw_calibrate_read_log(const char *file, const char *text, size_t text_bytes,
                                     struct tw_workload *ret_workload,
                                     struct tw_plan_outcome **ret_outcomes, struct tw_error *error);

#endif
