#include "measured.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"

struct tw_error measured_error;

void need(enum tw_status status)
{
    if (status != TW_OK) {
        fprintf(stderr, "%s\n", measured_error.text);
        exit(1);
    }
}

/* ---- tables of measurements ---- */

struct sheet *sheet_open(const char *folder, const char *name)
{
    char path[1024];
    struct sheet *sheet = tw_mem_zalloc(1, sizeof *sheet);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    need(tw_file_read(path, TW_LIMIT_PLAN_TABLE_BYTES, &sheet->buf, &measured_error));
    sheet->lines.text = (struct tw_bytes){sheet->buf.data, sheet->buf.size_bytes};
    struct tw_bytes line;
    if (!tw_lines_next(&sheet->lines, &line)) {
        need(TW_ERR_FORMAT);
    }
    need(tw_csv_read_row(line, &sheet->titles, &measured_error));
    return sheet;
}

bool sheet_next(struct sheet *sheet)
{
    struct tw_bytes line;
    if (!tw_lines_next(&sheet->lines, &line)) {
        return false;
    }
    need(tw_csv_read_row(line, &sheet->row, &measured_error));
    return true;
}

const char *sheet_text(const struct sheet *sheet, const char *title)
{
    for (uint32_t i = 0; i < sheet->titles.n_fields; i++) {
        if (strcmp(sheet->titles.fields[i], title) == 0) {
            return i < sheet->row.n_fields ? sheet->row.fields[i] : "";
        }
    }
    fprintf(stderr, "plan_accuracy: no column %s\n", title);
    exit(1);
}

double sheet_number(const struct sheet *sheet, const char *title)
{
    double value = 0;
    return tw_csv_number_of(sheet_text(sheet, title), &value) ? value : 0;
}

void sheet_close(struct sheet *sheet)
{
    tw_buf_free(&sheet->buf);
    tw_mem_free(sheet);
}

/* ---- plants ---- */

struct tw_plant plant_of(const struct tw_catalogue *catalogue, const char *model,
                         const char *device, const char *engine, const char *weights)
{
    struct tw_plant plant = {.n_tensor = 1, .n_pipeline = 1, .n_replicas = 1};
    need(tw_catalogue_model(catalogue, model, &plant.model, &measured_error));
    need(tw_catalogue_device(catalogue, device, &plant.device, &measured_error));
    need(tw_catalogue_engine(catalogue, engine, &plant.engine, &measured_error));
    plant.weights = tw_number_format_find(weights);
    plant.kv = tw_number_format_find("bf16");
    plant.n_context_tokens = 8192;
    return plant;
}

/* ---- the table of times per token ---- */

static const char *const table_models[][2] = {{"Qwen/Qwen3-32B", "Qwen3-32B"},
                                              {"nvidia/Qwen3-32B-NVFP4", "Qwen3-32B"},
                                              {"meta-llama/Llama-3.1-70B", "Llama-3.1-70B"},
                                              {"meta-llama/Llama-3.1-8B-Instruct", "Llama-3.1-8B"},
                                              {"nvidia/Llama-3.1-8B-Instruct-FP8", "Llama-3.1-8B"},
                                              {NULL, NULL}};
static const char *const table_devices[][2] = {
    {"h100_sxm", "H100-80GB-SXM"},  {"h200_sxm", "H200-141GB-SXM"}, {"b200_sxm", "B200-180GB-SXM"},
    {"b300_sxm", "B300-288GB-SXM"}, {"gb200", "GB200-NVL72"},       {NULL, NULL}};

static const char *partner(const char *name, const char *const (*pairs)[2])
{
    for (; (*pairs)[0] != NULL; pairs++) {
        if (strcmp((*pairs)[0], name) == 0) {
            return (*pairs)[1];
        }
    }
    return NULL;
}

bool measured_table_case(const struct tw_catalogue *catalogue, const struct sheet *sheet,
                         struct measured_case *ret_case)
{
    const char *model = partner(sheet_text(sheet, "model_path"), table_models);
    const char *device = partner(sheet_text(sheet, "system"), table_devices);
    const char *gemm = sheet_text(sheet, "gemm_quant_mode");
    const char *backend = sheet_text(sheet, "backend");
    const double tpot_s = sheet_number(sheet, "silicon_tpot_ms") / 1e3;
    if (model == NULL || device == NULL || strcmp(sheet_text(sheet, "mode"), "agg") != 0 ||
        tpot_s <= 0) {
        return false;
    }
    struct measured_case one = {.measured = tpot_s, .n_replicas = 1};
    one.plant = plant_of(catalogue, model, device,
                         strcmp(backend, "trtllm") == 0   ? "tensorrt-llm"
                         : strcmp(backend, "sglang") == 0 ? "sglang"
                                                          : "vllm-0.19",
                         gemm[0] == '\0'              ? "bf16"
                         : strcmp(gemm, "nvfp4") == 0 ? "nvfp4"
                                                      : "fp8");
    one.plant.n_tensor = (uint32_t)sheet_number(sheet, "tp_size");
    one.plant.n_pipeline = (uint32_t)sheet_number(sheet, "pp_size");
    const double isl = sheet_number(sheet, "isl"), osl = sheet_number(sheet, "osl");
    one.n_clients = (uint32_t)(sheet_number(sheet, "batch_size") + 0.5);
    one.plant.n_context_tokens = (uint32_t)(isl + osl);
    one.plant.n_sequences = one.n_clients < 1024 ? one.n_clients > 0 ? one.n_clients : 1 : 1024;
    one.plant.kv = tw_number_format_find(gemm[0] == '\0' ? "bf16" : "fp8");
    /* The benchmark draws both lengths evenly from 0.8 to 1 of what is named. */
    one.point = (struct tw_plan_point){.plant = one.plant,
                                       .n_clients = one.n_clients,
                                       .n_input = isl,
                                       .n_output = osl,
                                       .least_share = 0.8,
                                       .tpot_s = tpot_s};
    need(tw_plan_point_workload(&one.point, &one.workload, &measured_error));
    snprintf(one.name, sizeof one.name, "%s,%s,%s,%s,%s,tp%u,%.0f,%.0f,c%u",
             sheet_text(sheet, "id"), sheet_text(sheet, "system"), backend, model, gemm,
             one.plant.n_tensor, isl, osl, one.n_clients);
    *ret_case = one;
    return true;
}

/* ---- MLPerf ---- */

/* Lengths of the benchmark's data sets: mean tokens in and out of a sample (those out as most
 * submissions' own tokens / samples say), and the spread. */
struct mlperf_task {
    const char *prefix, *model;
    double in, in_cv, out, out_cv;
};
static const struct mlperf_task tasks[] = {{"llama2-70b", "Llama-2-70B", 294, 1.0, 294, 0.7},
                                           {"llama3.1-8b", "Llama-3.1-8B", 778, 0.5, 128, 0},
                                           {"llama3.1-405b", "Llama-3.1-405B", 9428, 0.6, 652, 0.4},
                                           {"mixtral-8x7b", "Mixtral-8x7B", 344, 1.0, 145, 0.8}};
static const char *const mlperf_devices[][2] = {{"H100-SXM-80GB", "H100-80GB-SXM"},
                                                {"H200-SXM-141GB", "H200-141GB-SXM"},
                                                {"H200-NVL-141GB", "H200-NVL-141GB"},
                                                {"B200-SXM-180GB", "B200-180GB-SXM"},
                                                {"NVIDIA GB200", "GB200-NVL72"},
                                                {"L40S", "L40S"},
                                                {"RTX PRO 6000", "RTX-PRO-6000-Server"},
                                                {"MI300X", "MI300X"},
                                                {"MI325X", "MI325X"},
                                                {"MI355X", "MI355X"},
                                                {"GB300", "GB300-NVL72"},
                                                {NULL, NULL}};

/* closed/NVIDIA of MLPerf Inference v5.0 and v5.1 (mlcommons/inference_results_v5.0, configs/<task>
 * /Offline): tensor and pipeline parallelism, max_num_tokens, gpu_batch_size. */
static const struct mlperf_setting {
    const char *task, *device;
    uint32_t n_tensor, n_pipeline, step_tokens, n_sequences;
} settings[] = {
    {"llama2-70b", "H100-80GB-SXM", 1, 2, 1024, 1024}, {"llama2-70b", "H200", 1, 1, 1536, 2048},
    {"llama2-70b", "B200", 1, 1, 3584, 2048},          {"llama2-70b", "GB200", 1, 1, 3584, 2048},
    {"llama3.1-8b", "B200", 1, 1, 12000, 6000},        {"llama3.1-405b", "H100", 8, 1, 2560, 256},
    {"llama3.1-405b", "H200", 4, 2, 1536, 512},        {"llama3.1-405b", "B200", 2, 2, 1536, 128},
    {"llama3.1-405b", "GB200", 2, 2, 1536, 128},       {"llama3.1-405b", "GB300", 2, 2, 1536, 128},
};

static bool is_of(const char *name, const char *beginning)
{
    return strncmp(name, beginning, strlen(beginning)) == 0;
}

/* As it was set where that is known; else the fewest devices a replica that hold the model with
 * room for some hundred texts. */
static bool mlperf_plant(struct tw_plant *plant, const char *task, uint32_t n_devices)
{
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        const struct mlperf_setting *s = &settings[i];
        if (strcmp(s->task, task) == 0 && is_of(plant->device->name, s->device)) {
            plant->n_tensor = s->n_tensor;
            plant->n_pipeline = s->n_pipeline;
            plant->step_tokens = s->step_tokens;
            plant->n_sequences = s->n_sequences < TW_LIMIT_BATCH_SEQUENCES
                                     ? s->n_sequences
                                     : TW_LIMIT_BATCH_SEQUENCES;
            return n_devices >= s->n_tensor * s->n_pipeline;
        }
    }
    for (uint32_t n = 1; n <= n_devices; n *= 2) {
        struct tw_plan_memory memory;
        plant->n_tensor = n;
        if (tw_plan_fit(plant, &memory, &measured_error) == TW_OK &&
            memory.weights_bytes < 0.6 * memory.usable_bytes) {
            return true;
        }
    }
    return false;
}

bool measured_mlperf_case(const struct tw_catalogue *catalogue, const struct sheet *sheet,
                          struct measured_case *ret_case)
{
    const struct mlperf_task *task = NULL;
    const char *device = NULL, *accel = sheet_text(sheet, "accel");
    const char *format = sheet_text(sheet, "weights");
    for (size_t i = 0; i < sizeof tasks / sizeof tasks[0]; i++) {
        task = is_of(sheet_text(sheet, "model"), tasks[i].prefix) ? &tasks[i] : task;
    }
    for (size_t i = 0; mlperf_devices[i][0] != NULL && device == NULL; i++) {
        device = strstr(accel, mlperf_devices[i][0]) ? mlperf_devices[i][1] : NULL;
    }
    if (task == NULL || device == NULL || strchr(accel, 'x') != NULL ||
        strcmp(sheet_text(sheet, "scenario"), "Offline") != 0 ||
        strcmp(sheet_text(sheet, "division"), "closed") != 0) { /* open ones may change the model */
        return false;
    }
    const char *ours = strstr(format, "mxfp4") ? "mxfp4" : strstr(format, "fp4") ? "nvfp4" : "fp8";
    const bool is_vllm = strstr(sheet_text(sheet, "software"), "vLLM") != NULL;
    struct measured_case one = {.is_throughput = true};
    one.plant =
        plant_of(catalogue, task->model, device, is_vllm ? "vllm-0.11" : "tensorrt-llm", ours);
    one.plant.kv = tw_number_format_find("fp8");
    one.plant.n_context_tokens = 4096;
    const uint32_t n_devices =
        (uint32_t)(sheet_number(sheet, "nodes") * sheet_number(sheet, "n_accel_per_node"));
    if (!mlperf_plant(&one.plant, task->prefix, n_devices < 8 ? n_devices : 8)) {
        return false;
    }
    const struct tw_use_case use = {
        .rate_requests_s = 1e6,
        .input = {TW_LENGTH_LOGNORMAL, task->in, task->in_cv, 8, 16384},
        .output = {TW_LENGTH_LOGNORMAL, task->out, task->out_cv, 1, task->out_cv > 0 ? 2048 : 128}};
    /* Runs are of ten minutes: many times what is under way at once. */
    const uint32_t n_requests =
        5 * (one.plant.n_sequences > 0 ? one.plant.n_sequences : 1024) * one.plant.n_pipeline;
    need(tw_workload_make(&use, 1, n_requests, 1, &one.workload, &measured_error));
    one.n_replicas = (double)n_devices / (one.plant.n_tensor * one.plant.n_pipeline);
    one.measured = sheet_number(sheet, "result") / one.n_replicas;
    one.measured_w = sheet_number(sheet, "power_result");
    snprintf(one.name, sizeof one.name, "%s,%s,%s x%s x%s,%s", sheet_text(sheet, "submitter"),
             sheet_text(sheet, "model"), device, sheet_text(sheet, "n_accel_per_node"),
             sheet_text(sheet, "nodes"), format);
    *ret_case = one;
    return true;
}

void measured_case_free(struct measured_case *one)
{
    tw_workload_free(&one->workload);
}

bool measured_simulate(const struct measured_case *one, struct tw_plan_result *ret_result)
{
    const struct tw_simulation simulation = {.plant = &one->plant,
                                             .workload = &one->workload,
                                             .n_clients = one->n_clients,
                                             .routing = TW_PLAN_ROUND_ROBIN};
    return tw_simulate(&simulation, ret_result, NULL, &measured_error) == TW_OK;
}
