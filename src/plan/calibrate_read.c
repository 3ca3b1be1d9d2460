/* Measurements that a calibration is made of, from files. */
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "plan/calibrate.h"
#include "plan/trace.h"
#include "text/csv_read.h"
#include "text/lines.h"

static bool positive(const json_t *object, const char *key, double *ret_number)
{
    const json_t *value = json_object_get(object, key);
    double number = json_is_number(value) ? json_number_value(value) : -1;
    if (!(number >= 0) || !isfinite(number)) {
        return false;
    }
    *ret_number = number;
    return true;
}

/* A point of the bench: a prompt behind depth tokens, or sequences that decode at that depth. */
static bool read_point(const json_t *point, struct tw_plan_pass *pass)
{
    double n = 0, depth = 0;
    const char *phase = json_string_value(json_object_get(point, "phase"));
    const bool is_prefill = json_object_get(point, "prompt_tokens") != NULL;
    if (phase == NULL || !positive(point, is_prefill ? "prompt_tokens" : "sequences", &n) ||
        !positive(point, "depth_tokens", &depth) || !positive(point, "pass_s", &pass->seconds) ||
        n < 1 || n > 1e7 || depth > 1e9 || pass->seconds <= 0) {
        return false;
    }
    const double rows = is_prefill ? 1 : n;
    pass->work = (struct tw_step_work){.n_tokens = (uint64_t)n,
                                       .n_rows = (uint64_t)rows,
                                       .n_results = (uint64_t)rows,
                                       .n_context_tokens = is_prefill ? depth + n : n * (depth + 1),
                                       .n_window_tokens = is_prefill ? depth + n : n * (depth + 1),
                                       .n_attended = is_prefill ? n * depth + n * (n + 1) / 2
                                                                : n * (depth + 1)};
    return true;
}

static enum tw_status read_points(const char *file, const json_t *points,
                                  struct tw_plan_pass **ret_passes, uint32_t *ret_n,
                                  struct tw_error *error)
{
    const size_t n = json_array_size(points);
    struct tw_plan_pass *passes = tw_mem_zalloc(n, sizeof *passes);
    if (passes == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for %s", file);
    }
    for (size_t i = 0; i < n; i++) {
        if (!read_point(json_array_get(points, i), &passes[i])) {
            tw_mem_free(passes);
            return tw_error_set(error, TW_ERR_FORMAT, i,
                                "%s: point %zu needs phase, prompt_tokens or sequences, "
                                "depth_tokens and pass_s",
                                file, i + 1);
        }
    }
    *ret_passes = passes;
    *ret_n = (uint32_t)n;
    return TW_OK;
}

enum tw_status tw_calibrate_read_bench(const char *file, const char *text, size_t text_bytes,
                                       struct tw_plan_pass **ret_passes, uint32_t *ret_n,
                                       struct tw_error *error)
{
    json_t *root;
    enum tw_status status = tw_json_parse(text, text_bytes, file, &root, error);
    if (status != TW_OK) {
        return status;
    }
    const json_t *points = json_object_get(root, "points");
    if (json_array_size(points) == 0) {
        status = tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                              "%s has no points: give it the output of `tokenworks bench engine "
                              "--json`",
                              file);
    } else {
        status = read_points(file, points, ret_passes, ret_n, error);
    }
    json_decref(root);
    return status;
}

enum tw_status tw_calibrate_read_log(const char *file, const char *text, size_t text_bytes,
                                     struct tw_workload *ret_workload,
                                     struct tw_plan_outcome **ret_outcomes, struct tw_error *error)
{
    struct tw_workload workload;
    struct tw_trace_times *times;
    enum tw_status status = tw_trace_read(file, text, text_bytes, 0, &workload, &times, error);
    if (status != TW_OK) {
        return status;
    }
    struct tw_plan_outcome *outcomes = tw_mem_zalloc(workload.n_requests, sizeof *outcomes);
    for (uint32_t i = 0; outcomes != NULL && i < workload.n_requests; i++) {
        outcomes[i].ttft_s = isnan(times[i].ttft_s) ? -1 : times[i].ttft_s;
        outcomes[i].tpot_s = isnan(times[i].tpot_s) ? -1 : times[i].tpot_s;
        outcomes[i].latency_s = outcomes[i].queue_s = -1;
    }
    tw_mem_free(times);
    if (outcomes == NULL) {
        tw_workload_free(&workload);
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for %s", file);
    }
    *ret_workload = workload;
    *ret_outcomes = outcomes;
    return TW_OK;
}

/* ---- load points ---- */

enum { CLIENTS, INPUT, OUTPUT, TPOT, TENSOR, PIPELINE, LEAST, N_NUMBERS };
enum { N_NEEDED = TPOT + 1 };
static const struct {
    const char *title;
    double least, most;
    bool is_whole;
} numbers[N_NUMBERS] = {
    [CLIENTS] = {"clients", 1, 1 << 16, true},
    [INPUT] = {"input_tokens", 1, TW_LIMIT_PLAN_CONTEXT_TOKENS, false},
    [OUTPUT] = {"output_tokens", 2, TW_LIMIT_PLAN_CONTEXT_TOKENS, false},
    [TPOT] = {"tpot_ms", 1e-6, 1e9, false},
    [TENSOR] = {"tensor", 1, TW_LIMIT_PLAN_DEVICES, true},
    [PIPELINE] = {"pipeline", 1, TW_LIMIT_PLAN_DEVICES, true},
    [LEAST] = {"least_share", 0, 1, false},
};

struct points_file {
    const char *name;
    const struct tw_catalogue *catalogue;
    const struct tw_plant *base;
    struct tw_csv_row titles, row;
    uint64_t line;
    struct tw_plan_point *points;
    uint32_t n, capacity;
    struct tw_error *error;
};

static const char *field_of(const struct points_file *f, const char *title)
{
    for (uint32_t i = 0; i < f->titles.n_fields && i < f->row.n_fields; i++) {
        if (strcmp(f->titles.fields[i], title) == 0) {
            return f->row.fields[i];
        }
    }
    return "";
}

static enum tw_status number_of(const struct points_file *f, int which, double *number)
{
    const char *text = field_of(f, numbers[which].title);
    if (text[0] == '\0' && which >= N_NEEDED) {
        return TW_OK;
    }
    if (!tw_csv_number_of(text, number) || *number < numbers[which].least ||
        *number > numbers[which].most || (numbers[which].is_whole && *number != floor(*number))) {
        return tw_error_set(f->error, TW_ERR_FORMAT, f->line,
                            "%s:%llu: %s is '%.40s'; it must be a %snumber from %.6g to %.6g",
                            f->name, (unsigned long long)f->line, numbers[which].title, text,
                            numbers[which].is_whole ? "whole " : "", numbers[which].least,
                            numbers[which].most);
    }
    return TW_OK;
}

static enum tw_status point_of_row(struct points_file *f, struct tw_plan_point *point)
{
    struct tw_plant plant = *f->base;
    double values[N_NUMBERS] = {
        [TENSOR] = plant.n_tensor, [PIPELINE] = plant.n_pipeline, [LEAST] = 1};
    enum tw_status status = TW_OK;
    for (int i = 0; i < N_NUMBERS && status == TW_OK; i++) {
        status = number_of(f, i, &values[i]);
    }
    const char *model = field_of(f, "model"), *weights = field_of(f, "weights");
    if (status == TW_OK && model[0] != '\0') {
        status = tw_catalogue_model(f->catalogue, model, &plant.model, f->error);
    }
    if (status == TW_OK && weights[0] != '\0') {
        plant.weights = tw_number_format_find(weights);
        status = plant.weights != NULL
                     ? TW_OK
                     : tw_error_set(f->error, TW_ERR_FORMAT, f->line,
                                    "%s:%llu: there is no format '%.40s'", f->name,
                                    (unsigned long long)f->line, weights);
    }
    plant.n_tensor = (uint32_t)values[TENSOR];
    plant.n_pipeline = (uint32_t)values[PIPELINE];
    plant.n_context_tokens = (uint32_t)(values[INPUT] + values[OUTPUT]);
    *point = (struct tw_plan_point){.plant = plant,
                                    .n_clients = (uint32_t)values[CLIENTS],
                                    .n_input = values[INPUT],
                                    .n_output = values[OUTPUT],
                                    .least_share = values[LEAST],
                                    .tpot_s = values[TPOT] * 1e-3};
    return status;
}

static enum tw_status add_point(struct points_file *f)
{
    if (f->n == f->capacity) {
        const uint32_t capacity = f->capacity > 0 ? 2 * f->capacity : 64;
        struct tw_plan_point *points = tw_mem_realloc(f->points, capacity, sizeof *points);
        if (points == NULL || capacity > TW_LIMIT_PLAN_FACTS) {
            f->points = points != NULL ? points : f->points;
            return tw_error_set(f->error, TW_ERR_LIMIT, f->line, "%s: too many load points",
                                f->name);
        }
        f->points = points;
        f->capacity = capacity;
    }
    return point_of_row(f, &f->points[f->n++]);
}

enum tw_status tw_calibrate_read_points(const char *file, const char *text, size_t text_bytes,
                                        const struct tw_catalogue *catalogue,
                                        const struct tw_plant *base,
                                        struct tw_plan_point **ret_points, uint32_t *ret_n,
                                        struct tw_error *error)
{
    struct points_file *f = tw_mem_zalloc(1, sizeof *f);
    if (f == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for %s", file);
    }
    *f = (struct points_file){.name = file, .catalogue = catalogue, .base = base, .error = error};
    struct tw_lines lines = {.text = {text, text_bytes}};
    enum tw_status status = TW_OK;
    for (struct tw_bytes line; status == TW_OK && tw_lines_next(&lines, &line);) {
        f->line = lines.number;
        const bool is_first = f->titles.n_fields == 0;
        if (line.size_bytes == 0 || line.data[0] == '#') {
            continue;
        }
        status = tw_csv_read_row(line, is_first ? &f->titles : &f->row, error);
        if (status != TW_OK) {
            tw_error_prefix(error, "%s:%llu", file, (unsigned long long)f->line);
        } else if (!is_first) {
            status = add_point(f);
        }
    }
    if (status == TW_OK && f->n == 0) {
        status = tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                              "%s has no load points: give it a title line with clients, "
                              "input_tokens, output_tokens and tpot_ms, and a point a line",
                              file);
    }
    if (status == TW_OK) {
        *ret_points = f->points;
        *ret_n = f->n;
    } else {
        tw_mem_free(f->points);
    }
    tw_mem_free(f);
    return status;
}
