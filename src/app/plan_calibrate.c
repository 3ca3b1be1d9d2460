#include "app/plan_calibrate.h"

#include <stdio.h>
#include <time.h>

#include "app/command.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "plan/calibrate.h"
#include "plan/catalogue.h"

#define ROWS_BYTES ((size_t)64 << 10)

struct args {
    const char *model, *device, *engine, *weights;
    struct tw_option_strings catalogues;
    int64_t tensor, kv_tokens, sequences, step_tokens;
    bool log;
};

#define ROW(field) offsetof(struct args, field)

static const struct tw_option options[] = {
    {.name = "model",
     .kind = TW_OPTION_STRING,
     .offset = ROW(model),
     .value_name = "M",
     .help = "The model that was measured, by its name in the catalogue."},
    {.name = "device",
     .kind = TW_OPTION_STRING,
     .offset = ROW(device),
     .value_name = "D",
     .help = "The device that it ran on, by its name there."},
    {.name = "engine",
     .kind = TW_OPTION_STRING,
     .offset = ROW(engine),
     .value_name = "E",
     .help = "The engine. Default: tokenworks; with --log vllm."},
    {.name = "weights",
     .kind = TW_OPTION_STRING,
     .offset = ROW(weights),
     .value_name = "F",
     .help = "The format of its weights, such as q4_k or fp8. Default: the model's own."},
    {.name = "tensor",
     .kind = TW_OPTION_INT,
     .offset = ROW(tensor),
     .value_name = "N",
     .help = "Devices that share each layer. Default: 1.",
     .least = 1,
     .most = TW_LIMIT_PLAN_DEVICES},
    {.name = "kv-tokens",
     .kind = TW_OPTION_INT,
     .offset = ROW(kv_tokens),
     .value_name = "N",
     .help = "Tokens of the KV cache, as the server says. Default: what the memory gives.",
     .least = 1,
     .most = INT64_C(1) << 40},
    {.name = "sequences",
     .kind = TW_OPTION_INT,
     .offset = ROW(sequences),
     .value_name = "N",
     .help = "Most sequences in a step, as the server was set. Default: the engine's.",
     .least = 1,
     .most = 1 << 16},
    {.name = "step-tokens",
     .kind = TW_OPTION_INT,
     .offset = ROW(step_tokens),
     .value_name = "N",
     .help = "Most tokens of a step, likewise.",
     .least = 1,
     .most = 1 << 24},
    {.name = "log",
     .kind = TW_OPTION_FLAG,
     .offset = ROW(log),
     .help = "FILE is a server's log: a request a line, with arrival, tokens, TTFT, TPOT."},
    {.name = "catalogue",
     .kind = TW_OPTION_STRINGS,
     .offset = ROW(catalogues),
     .value_name = "F",
     .help = "A file of your own with devices, models or engines."},
};
static const struct tw_option_group group = {"Options", options,
                                             sizeof options / sizeof options[0]};

static enum tw_status find_plant(const struct args *args, const struct tw_catalogue *catalogue,
                                 struct tw_plant *ret_plant, struct tw_error *error)
{
    const char *engine = args->engine != NULL ? args->engine : args->log ? "vllm" : "tokenworks";
    struct tw_plant plant = {.n_tensor = args->tensor > 0 ? (uint32_t)args->tensor : 1,
                             .n_pipeline = 1,
                             .n_replicas = 1,
                             .step_tokens = (uint32_t)args->step_tokens,
                             .n_sequences = (uint32_t)args->sequences,
                             .n_kv_tokens = (uint64_t)args->kv_tokens};
    if (args->model == NULL || args->device == NULL) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "--model and --device say what was measured: name both");
    }
    enum tw_status status = tw_catalogue_model(catalogue, args->model, &plant.model, error);
    if (status == TW_OK) {
        status = tw_catalogue_device(catalogue, args->device, &plant.device, error);
    }
    if (status == TW_OK) {
        status = tw_catalogue_engine(catalogue, engine, &plant.engine, error);
    }
    if (status != TW_OK) {
        return status;
    }
    const char *weights = args->weights != NULL ? args->weights : plant.model->format;
    plant.weights = tw_number_format_find(weights);
    plant.kv = tw_number_format_find("bf16");
    *ret_plant = plant;
    return plant.weights != NULL
               ? TW_OK
               : tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                              "there is no format '%.40s': write --weights bf16, fp8, int4, q8_0, "
                              "q4_k ...",
                              weights);
}

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

static void put_rows(const struct tw_calibration *calibration, const struct tw_plant *plant,
                     const char *what, struct tw_buf *out)
{
    char date[16] = "";
    struct tm day;
    const time_t now = (time_t)(tw_clock_wall_ns() / 1000000000);
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
        tw_catalogue_open((const char *const *)args->catalogues.items,
                          (uint32_t)args->catalogues.n_items, &catalogue, error);
    if (status != TW_OK) {
        return status;
    }
    status = find_plant(args, catalogue, &plant, error);
    if (status == TW_OK) {
        status = tw_file_read(path, TW_LIMIT_PLAN_TABLE_BYTES, &text, error);
    }
    if (status == TW_OK) {
        status =
            (args->log ? calibrate_log : calibrate_bench)(path, &text, &plant, &calibration, error);
        tw_buf_free(&text);
    }
    if (status == TW_OK) {
        put_rows(&calibration, &plant, args->log ? "a server's log" : "bench engine", out);
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
        .uses = {{&group, &args}},
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
    tw_option_strings_free(&args.catalogues);
    return exit_code;
}
