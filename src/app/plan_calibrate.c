#include "app/plan_calibrate.h"

#include <stdio.h>
#include <time.h>

#include "app/command.h"
#include "app/plan_plant_args.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "plan/calibrate.h"
#include "plan/catalogue.h"

#define ROWS_BYTES ((size_t)64 << 10)

struct args {
    struct tw_plan_plant_args plant;
    bool log, points;
};

#define ROW(field) offsetof(struct args, field)

static const struct tw_option options[] = {
    {.name = "log",
     .kind = TW_OPTION_FLAG,
     .offset = ROW(log),
     .help = "FILE is a server's log: a request a line, with arrival, tokens, TTFT, TPOT."},
    {.name = "points",
     .kind = TW_OPTION_FLAG,
     .offset = ROW(points),
     .help = "FILE is a table of loads: clients, input_tokens, output_tokens, tpot_ms a line, and "
             "model, weights, tensor where they differ."},
};
static const struct tw_option_group group = {"Of the measurement", options,
                                             sizeof options / sizeof options[0]};

static enum tw_status calibrate_bench(const char *path, const struct tw_buf *text,
                                      const struct tw_plant *plant,
                                      struct tw_calibration *ret_calibration,
                                      struct tw_error *error)
{
    struct tw_plan_pass *passes = NULL;
    uint32_t n = 0;
    enum tw_status status =
        tw_calibrate_read_bench(path, text->data, text->size_bytes, &passes, &n, error);
    if (status == TW_OK) {
        status = tw_calibrate_passes(plant, passes, n, ret_calibration, error);
        tw_mem_free(passes);
    }
    return status;
}

static enum tw_status calibrate_log(const char *path, const struct tw_buf *text,
                                    const struct tw_plant *plant,
                                    struct tw_calibration *ret_calibration, struct tw_error *error)
{
    struct tw_workload workload;
    struct tw_plan_outcome *outcomes = NULL;
    enum tw_status status =
        tw_calibrate_read_log(path, text->data, text->size_bytes, &workload, &outcomes, error);
    if (status == TW_OK) {
        status = tw_calibrate_log(plant, &workload, outcomes, ret_calibration, error);
        tw_mem_free(outcomes);
        tw_workload_free(&workload);
    }
    return status;
}

static enum tw_status calibrate_points(const char *path, const struct tw_buf *text,
                                       const struct tw_catalogue *catalogue,
                                       const struct tw_plant *plant,
                                       struct tw_calibration *ret_calibration,
                                       struct tw_error *error)
{
    struct tw_plan_point *points = NULL;
    uint32_t n = 0;
    enum tw_status status = tw_calibrate_read_points(path, text->data, text->size_bytes, catalogue,
                                                     plant, &points, &n, error);
    if (status == TW_OK) {
        status = tw_calibrate_points(points, n, ret_calibration, error);
        tw_mem_free(points);
    }
    return status;
}

static void put_rows(const struct tw_calibration *calibration, const struct tw_plant *plant,
                     const char *what, struct tw_buf *out)
{
    char date[16] = "";
    struct tm day;
    const time_t now = (time_t)(tw_clock_wall_ns() / TW_SECOND_NS);
    if (gmtime_r(&now, &day) != NULL) {
        strftime(date, sizeof date, "%Y-%m-%d", &day);
    }
    tw_buf_append_format(out, "# %s on %s, %s: %u measurements, %.1f%% off on average.\n",
                         plant->model->name, plant->device->name, plant->weights->name,
                         calibration->n_measurements, 100 * calibration->residual);
    tw_buf_append_format(out, "# Surest to shrink what is left (%s, %.0f%%): %s.\n",
                         tw_calibration_name(calibration->widest), 100 * calibration->widest_share,
                         calibration->measure);
    tw_buf_append_text(out, "engine,field,value,low,high,source,date\n");
    for (int i = 0; i < TW_CALIBRATION_N; i++) {
        const enum tw_calibration_term term = (enum tw_calibration_term)i;
        const struct tw_range r =
            tw_range_times(calibration->value[i], 1 / tw_calibration_unit(term));
        tw_buf_append_format(out, "%s,%s,%.5g,%.5g,%.5g,%s%s,%s\n", plant->engine->name,
                             tw_calibration_name(term), r.typical, r.low, r.high, what,
                             calibration->is_measured[i] ? "" : " that hardly shows it", date);
    }
}

static enum tw_status calibrate(const struct args *args, const char *path, struct tw_buf *out,
                                struct tw_error *error)
{
    struct tw_catalogue *catalogue = NULL;
    struct tw_calibration calibration;
    struct tw_plant plant;
    struct tw_buf text;
    enum tw_status status =
        tw_catalogue_open((const char *const *)args->plant.catalogues.items,
                          (uint32_t)args->plant.catalogues.n_items, &catalogue, error);
    if (status != TW_OK) {
        return status;
    }
    status = tw_plan_plant_find(&args->plant, args->log || args->points ? "vllm" : "tokenworks",
                                catalogue, &plant, error);
    if (status == TW_OK) {
        status = tw_file_read(path, TW_LIMIT_PLAN_TABLE_BYTES, &text, error);
    }
    if (status == TW_OK) {
        status = args->points
                     ? calibrate_points(path, &text, catalogue, &plant, &calibration, error)
                     : (args->log ? calibrate_log : calibrate_bench)(path, &text, &plant,
                                                                     &calibration, error);
        tw_buf_free(&text);
    }
    if (status == TW_OK) {
        put_rows(&calibration, &plant,
                 args->points ? "load points"
                 : args->log  ? "a server's log"
                              : "bench engine",
                 out);
    }
    tw_catalogue_free(catalogue);
    return status;
}

int tw_plan_calibrate(int argc, char **argv)
{
    struct args args = {0};
    const struct tw_command_spec spec = {
        .name = "plan calibrate",
        .synopsis = "FILE --model M --device D [OPTIONS]",
        .about = "Prints what an engine reaches on a device that was measured, as rows for a file\n"
                 "of your own (a scenario's catalogue). FILE: what `bench engine --json` printed.",
        .least_words = 1,
        .most_words = 1,
        .uses = {{&tw_plan_plant_group, &args.plant}, {&group, &args}},
    };
    struct tw_words words;
    struct tw_buf out;
    struct tw_error error;
    int exit_code;
    tw_buf_init(&out, ROWS_BYTES);
    if (tw_command_parse(&spec, argc, argv, &words, &exit_code)) {
        enum tw_status status = calibrate(&args, words.items[0], &out, &error);
        if (status == TW_OK) {
            out.size_bytes--; /* the line that is written has its end */
            status = tw_command_write_line(&out, &error);
        }
        exit_code = status == TW_OK ? 0 : tw_command_fail(&error);
    }
    tw_buf_free(&out);
    tw_option_strings_free(&args.plant.catalogues);
    return exit_code;
}
