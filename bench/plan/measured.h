/* measured.h: measurements of others as cases: a plant, its load, and what was measured.
 *
 *     table row:  closed loop of so many clients        -> mean TPOT
 *     MLPerf row: everything at once, offline scenario  -> tokens a second, of a replica
 *
 * Rows of MLPerf run as NVIDIA's published settings of v5.0 and v5.1 have it (parallelism, most
 * tokens of a step, most sequences), where they are known; elsewhere on the fewest devices that
 * hold the model with room for some hundred texts.
 *
 * Ownership: cases own their load until measured_case_free. Errors: the program ends.
 */
#ifndef TW_BENCH_PLAN_MEASURED_H
#define TW_BENCH_PLAN_MEASURED_H

#include "base/buf.h"
#include "plan/calibrate.h"
#include "plan/catalogue.h"
#include "plan/simulator.h"
#include "text/csv_read.h"
#include "text/lines.h"

struct sheet {
    struct tw_buf buf;
    struct tw_lines lines;
    struct tw_csv_row titles, row;
};
struct sheet *sheet_open(const char *folder, const char *name);
bool sheet_next(struct sheet *sheet);
const char *sheet_text(const struct sheet *sheet, const char *title);
double sheet_number(const struct sheet *sheet, const char *title);
void sheet_close(struct sheet *sheet);

/* Ends the program with the error's sentence unless all is well. */
extern struct tw_error measured_error;
void need(enum tw_status status);

struct tw_plant plant_of(const struct tw_catalogue *catalogue, const char *model,
                         const char *device, const char *engine, const char *weights);

struct measured_case {
    char name[160];
    struct tw_plant plant;
    struct tw_workload workload;
    uint32_t n_clients;
    double measured;   /* seconds a token, or tokens a second of one replica */
    double n_replicas; /* of the measured machine */
    double measured_w; /* of it; 0: not measured */
    bool is_throughput;
    struct tw_plan_point point; /* the same of a table's row, as calibration takes it */
};
/* Of the sheet's present row; false: the row is of another kind. */
bool measured_table_case(const struct tw_catalogue *catalogue, const struct sheet *sheet,
                         struct measured_case *ret_case);
bool measured_mlperf_case(const struct tw_catalogue *catalogue, const struct sheet *sheet,
                          struct measured_case *ret_case);
void measured_case_free(struct measured_case *one);
/* tpot_s.mean or output_tokens_s. false: the plant cannot hold it. */
bool measured_simulate(const struct measured_case *one, struct tw_plan_result *ret_result);

#endif
