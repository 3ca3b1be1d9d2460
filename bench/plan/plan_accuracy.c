/* What the planner says beside what others measured: memory of vLLM, requests of two servers, times
 * per token of a table, MLPerf throughput and power; and how fast it simulates.
 *
 *     plan_accuracy FOLDER [kv] [logs] [table] [mlperf] [speed] [bursts] [--with TABLE.csv ...]
 *
 * FOLDER is the shared planning data. A table of one's own overrides constants, so that a fit needs
 * no build.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "plan/calibrate.h"
#include "plan/catalogue.h"
#include "plan/quantiles.h"
#include "plan/simulator.h"
#include "plan/trace.h"
#include "text/csv_read.h"
#include "text/lines.h"

static struct tw_catalogue *catalogue;
static const char *folder;
static struct tw_error error;

static void stop(void)
{
    fprintf(stderr, "plan_accuracy: %s\n", error.text);
    exit(1);
}

static void need(enum tw_status status)
{
    if (status != TW_OK) {
        stop();
    }
}

/* ---- tables of measurements ---- */

struct sheet {
    struct tw_buf buf;
    struct tw_lines lines;
    struct tw_csv_row titles, row;
};

static struct sheet *open_sheet(const char *name)
{
    char path[1024];
    struct sheet *sheet = tw_mem_zalloc(1, sizeof *sheet);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    need(tw_file_read(path, TW_LIMIT_PLAN_TABLE_BYTES, &sheet->buf, &error));
    sheet->lines.text = (struct tw_bytes){sheet->buf.data, sheet->buf.size_bytes};
    struct tw_bytes line;
    if (!tw_lines_next(&sheet->lines, &line)) {
        stop();
    }
    need(tw_csv_read_row(line, &sheet->titles, &error));
    return sheet;
}

static bool next_row(struct sheet *sheet)
{
    struct tw_bytes line;
    if (!tw_lines_next(&sheet->lines, &line)) {
        return false;
    }
    need(tw_csv_read_row(line, &sheet->row, &error));
    return true;
}

static const char *field(const struct sheet *sheet, const char *title)
{
    for (uint32_t i = 0; i < sheet->titles.n_fields; i++) {
        if (strcmp(sheet->titles.fields[i], title) == 0) {
            return i < sheet->row.n_fields ? sheet->row.fields[i] : "";
        }
    }
    fprintf(stderr, "plan_accuracy: no column %s\n", title);
    exit(1);
}

static double number(const struct sheet *sheet, const char *title)
{
    double value = 0;
    return tw_csv_number_of(field(sheet, title), &value) ? value : 0;
}

static void close_sheet(struct sheet *sheet)
{
    tw_buf_free(&sheet->buf);
    tw_mem_free(sheet);
}

/* ---- plants ---- */

static struct tw_plant plant_of(const char *model, const char *device, const char *engine,
                                const char *weights)
{
    struct tw_plant plant = {.n_tensor = 1, .n_pipeline = 1, .n_replicas = 1};
    need(tw_catalogue_model(catalogue, model, &plant.model, &error));
    need(tw_catalogue_device(catalogue, device, &plant.device, &error));
    need(tw_catalogue_engine(catalogue, engine, &plant.engine, &error));
    plant.weights = tw_number_format_find(weights);
    plant.kv = tw_number_format_find("bf16");
    plant.n_context_tokens = 8192;
    return plant;
}

static double percent(double ours, double theirs)
{
    return 100 * (ours / theirs - 1);
}

static double median(double *values, uint32_t n)
{
    return tw_quantiles_at(values, n, 50);
}

/* ---- vLLM's KV pools ---- */

static const char *const memory_names[][2] = {{"Llama-3.1-8B-Instruct", "Llama-3.1-8B"},
                                              {"Qwen2.5-7B-Instruct", "Qwen2.5-7B"},
                                              {"Llama-2-7b-hf", "Llama-2-7B"},
                                              {"Llama-2-70b-hf", "Llama-2-70B"},
                                              {"Mistral-Small-3.2-24B", "Mistral-Small-24B"},
                                              {NULL, NULL}};

static const char *our_name(const char *name, const char *const (*pairs)[2])
{
    static char stem[128];
    snprintf(stem, sizeof stem, "%.*s", (int)strcspn(name, " "), name);
    for (; (*pairs)[0] != NULL; pairs++) {
        if (strcmp((*pairs)[0], stem) == 0) {
            return (*pairs)[1];
        }
    }
    return stem;
}

static void kv_pools(void)
{
    struct sheet *sheet = open_sheet("measured/vllm_memory_measured.csv");
    double worst = 0;
    while (next_row(sheet)) {
        const double measured = number(sheet, "kv_tokens");
        const char *name = field(sheet, "model");
        if (measured == 0) {
            continue;
        }
        const char *version = field(sheet, "vllm_version");
        char engine_name[64];
        snprintf(engine_name, sizeof engine_name, "vllm-%.*s",
                 (int)(strrchr(version, '.') - version), version);
        struct tw_plant plant = plant_of(our_name(name, memory_names), "H100-80GB-SXM", engine_name,
                                         strstr(name, "float32") ? "f32" : "bf16");
        struct tw_plan_engine engine = *plant.engine;
        engine.memory_share = number(sheet, "util");
        plant.engine = &engine;
        plant.n_tensor = (uint32_t)number(sheet, "tp");
        plant.n_sequences = strstr(version, "0.15.1") ? 128 : 1024;
        plant.kv = tw_number_format_find(strstr(name, "kv fp8")    ? "fp8"
                                         : strstr(name, "float32") ? "f32"
                                                                   : "bf16");
        plant.n_context_tokens = 4096;
        struct tw_plan_memory memory;
        need(tw_plan_fit(&plant, &memory, &error));
        const double off = percent((double)memory.n_kv_tokens, measured);
        const bool counts = strstr(name, "Mistral-Small") == NULL; /* it sees pictures too */
        worst = counts && fabs(off) > worst ? fabs(off) : worst;
        printf("kv %-36s tp%u vllm %-7s %8.0f measured %8llu ours %+6.2f %%%s\n", name,
               plant.n_tensor, version, measured, (unsigned long long)memory.n_kv_tokens, off,
               counts ? "" : " (multimodal)");
    }
    printf("kv worst of dense text models and Mixtral: %.2f %%\n", worst);
    close_sheet(sheet);
}

static double seconds_now(void)
{
    return (double)tw_clock_monotonic_ns() / 1e9;
}

/* ---- two servers, request by request ---- */

static void show(const char *what, double ours, double theirs)
{
    printf("   %-12s %9.1f ms measured %9.1f ours %+6.1f %%\n", what, theirs * 1e3, ours * 1e3,
           percent(ours, theirs));
}

static void compare_log(const char *title, const struct tw_plant *plant,
                        const struct tw_workload *workload, const struct tw_trace_times *times)
{
    const struct tw_simulation simulation = {.plant = plant, .workload = workload};
    struct tw_plan_result result;
    need(tw_simulate(&simulation, &result, NULL, &error));
    const uint32_t n = workload->n_requests;
    double *ttft = tw_mem_alloc(n, sizeof *ttft), *tpot = tw_mem_alloc(n, sizeof *tpot);
    for (uint32_t i = 0; i < n; i++) {
        ttft[i] = times[i].ttft_s;
        tpot[i] = times[i].tpot_s;
    }
    const struct tw_plan_quantiles a = tw_quantiles_of(ttft, n), b = tw_quantiles_of(tpot, n);
    printf("log %s: %llu preemptions, %u rows a step\n", title,
           (unsigned long long)result.n_preemptions, (unsigned)result.decode_rows_mean);
    show("TTFT mean", result.ttft_s.mean, a.mean);
    show("TTFT p50", result.ttft_s.p50, a.p50);
    show("TTFT p99", result.ttft_s.p99, a.p99);
    show("TPOT mean", result.tpot_s.mean, b.mean);
    show("TPOT p50", result.tpot_s.p50, b.p50);
    show("TPOT p99", result.tpot_s.p99, b.p99);
    tw_mem_free(ttft);
    tw_mem_free(tpot);
}

static void one_log(const char *file, const char *device, uint64_t n_kv_tokens)
{
    char path[1024];
    struct tw_buf buf;
    struct tw_workload workload;
    struct tw_trace_times *times;
    snprintf(path, sizeof path, "%s/measured/%s", folder, file);
    need(tw_file_read(path, TW_LIMIT_PLAN_TABLE_BYTES, &buf, &error));
    need(tw_trace_read(file, buf.data, buf.size_bytes, 0, &workload, &times, &error));
    struct tw_plant plant = plant_of("Llama-3.1-8B", device, "vllm-0.19", "bf16");
    plant.step_tokens = 2048;
    plant.n_sequences = 128;
    plant.n_kv_tokens = n_kv_tokens;
    compare_log(file, &plant, &workload, times);
    struct tw_plan_outcome *outcomes = tw_mem_zalloc(workload.n_requests, sizeof *outcomes);
    for (uint32_t i = 0; i < workload.n_requests; i++) {
        outcomes[i] =
            (struct tw_plan_outcome){.ttft_s = times[i].ttft_s, .tpot_s = times[i].tpot_s};
    }
    struct tw_calibration calibration;
    const double start = seconds_now();
    need(tw_calibrate_log(&plant, &workload, outcomes, &calibration, &error));
    printf("calibrated in %.2f s, residual %.1f %%: ", seconds_now() - start,
           100 * calibration.residual);
    for (int i = 0; i < TW_CALIBRATION_N; i++) {
        printf("%s %.4g [%.4g, %.4g]%s ", tw_calibration_name((enum tw_calibration_term)i),
               calibration.value[i].typical, calibration.value[i].low, calibration.value[i].high,
               calibration.is_measured[i] ? "" : " (assumed)");
    }
    printf("\n  widest: %s\n", calibration.measure);
    struct tw_plan_engine engine = *plant.engine;
    tw_calibration_apply(&calibration, &engine);
    plant.engine = &engine;
    compare_log("calibrated", &plant, &workload, times);
    tw_mem_free(outcomes);
    tw_buf_free(&buf);
    tw_workload_free(&workload);
    tw_mem_free(times);
}

static void logs(void)
{
    one_log("RTX4090_Llama-3.1-8B.csv", "RTX-4090", 41408); /* as that server said */
    one_log("RTXPRO6000_Llama-3.1-8B.csv", "RTX-PRO-6000-Server", 0);
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

static bool table_row(const struct sheet *sheet, double *ret_ours)
{
    const char *model = partner(field(sheet, "model_path"), table_models);
    const char *device = partner(field(sheet, "system"), table_devices);
    const char *gemm = field(sheet, "gemm_quant_mode");
    if (model == NULL || device == NULL || strcmp(field(sheet, "mode"), "agg") != 0) {
        return false;
    }
    const char *backend = field(sheet, "backend");
    struct tw_plant plant = plant_of(model, device,
                                     strcmp(backend, "trtllm") == 0   ? "tensorrt-llm"
                                     : strcmp(backend, "sglang") == 0 ? "sglang"
                                                                      : "vllm-0.19",
                                     gemm[0] == '\0'              ? "bf16"
                                     : strcmp(gemm, "nvfp4") == 0 ? "nvfp4"
                                                                  : "fp8");
    plant.n_tensor = (uint32_t)number(sheet, "tp_size");
    plant.n_pipeline = (uint32_t)number(sheet, "pp_size");
    const double isl = number(sheet, "isl"), osl = number(sheet, "osl");
    const uint32_t n_clients = (uint32_t)(number(sheet, "batch_size") + 0.5);
    plant.n_context_tokens = (uint32_t)(isl + osl);
    plant.n_sequences = n_clients < 1024 ? n_clients > 0 ? n_clients : 1 : 1024;
    plant.kv = tw_number_format_find(gemm[0] == '\0' ? "bf16" : "fp8");
    struct tw_use_case use = {.rate_requests_s = 1,
                              .arrival_cv = 1,
                              .arrivals = TW_ARRIVAL_GAMMA,
                              .input = {.mean_tokens = isl},
                              .output = {.mean_tokens = osl}};
    struct tw_workload workload;
    need(tw_workload_make(&use, 1, 5 * n_clients, 1, &workload, &error));
    /* The benchmark draws both lengths evenly from 0.8 to 1 of what is named. */
    for (uint32_t i = 0; i < workload.n_requests; i++) {
        struct tw_plan_request *request = &workload.requests[i];
        request->n_input = (uint32_t)(isl * (1 - 0.2 * ((i * 7919u) % 1000) / 1000.0));
        request->n_output = (uint32_t)(osl * (1 - 0.2 * ((i * 104729u) % 997) / 997.0));
    }
    const struct tw_simulation simulation = {
        .plant = &plant, .workload = &workload, .n_clients = n_clients};
    struct tw_plan_result result;
    enum tw_status status = tw_simulate(&simulation, &result, NULL, &error);
    tw_workload_free(&workload);
    if (status != TW_OK) {
        printf("table skipped %s: %s\n", field(sheet, "id"), error.text);
        return false;
    }
    *ret_ours = result.tpot_s.mean;
    return true;
}

static void table(void)
{
    struct sheet *sheet = open_sheet("measured/aic_silicon_sample.csv");
    double *off = tw_mem_alloc(10000, sizeof *off), mean = 0;
    uint32_t n = 0;
    while (next_row(sheet)) {
        double ours;
        const double theirs = number(sheet, "silicon_tpot_ms") / 1e3;
        if (theirs > 0 && table_row(sheet, &ours)) {
            printf("table,%s,%s,%s,%s,%s,tp%s,%s,%s,c%s,%.3f,%.3f,%+.1f\n", field(sheet, "id"),
                   field(sheet, "system"), field(sheet, "backend"),
                   partner(field(sheet, "model_path"), table_models),
                   field(sheet, "gemm_quant_mode"), field(sheet, "tp_size"), field(sheet, "isl"),
                   field(sheet, "osl"), field(sheet, "batch_size"), theirs * 1e3, ours * 1e3,
                   percent(ours, theirs));
            off[n] = fabs(percent(ours, theirs));
            mean += off[n++];
        }
    }
    printf("table: %u dense rows, median error of TPOT %.1f %%, mean %.1f %%\n", n, median(off, n),
           mean / n);
    tw_mem_free(off);
    close_sheet(sheet);
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

/* The plant of fewest devices a replica that holds the model with room for some hundred texts. */
static bool mlperf_plant(struct tw_plant *plant, uint32_t n_devices)
{
    for (uint32_t n = 1; n <= n_devices; n *= 2) {
        struct tw_plan_memory memory;
        plant->n_tensor = n;
        plant->n_replicas = n_devices / n;
        if (tw_plan_fit(plant, &memory, &error) == TW_OK &&
            memory.weights_bytes < 0.6 * memory.usable_bytes) {
            return true;
        }
    }
    return false;
}

static bool mlperf_row(const struct sheet *sheet, double *ret_tokens_s, double *ret_w)
{
    const struct mlperf_task *task = NULL;
    const char *device = NULL, *accel = field(sheet, "accel"), *format = field(sheet, "weights");
    for (size_t i = 0; i < sizeof tasks / sizeof tasks[0]; i++) {
        task = strncmp(field(sheet, "model"), tasks[i].prefix, strlen(tasks[i].prefix)) == 0
                   ? &tasks[i]
                   : task;
    }
    for (size_t i = 0; mlperf_devices[i][0] != NULL && device == NULL; i++) {
        device = strstr(accel, mlperf_devices[i][0]) ? mlperf_devices[i][1] : NULL;
    }
    if (task == NULL || device == NULL || strchr(accel, 'x') != NULL ||
        strcmp(field(sheet, "scenario"), "Offline") != 0 ||
        strcmp(field(sheet, "division"), "closed") != 0) { /* open ones may change the model */
        return false;
    }
    const char *ours = strstr(format, "mxfp4") ? "mxfp4" : strstr(format, "fp4") ? "nvfp4" : "fp8";
    struct tw_plant plant = plant_of(task->model, device, "tensorrt-llm", ours);
    plant.kv = tw_number_format_find("fp8");
    plant.n_context_tokens = 4096;
    plant.step_tokens = 8192;
    const uint32_t n_devices =
        (uint32_t)(number(sheet, "nodes") * number(sheet, "n_accel_per_node"));
    if (!mlperf_plant(&plant, n_devices < 8 ? n_devices : 8)) {
        return false;
    }
    const double n_parts = n_devices < 8 ? 1 : n_devices / 8.0;
    const struct tw_use_case use = {
        .rate_requests_s = 1e6,
        .input = {TW_LENGTH_LOGNORMAL, task->in, task->in_cv, 8, 16384},
        .output = {TW_LENGTH_LOGNORMAL, task->out, task->out_cv, 1, task->out_cv > 0 ? 2048 : 128}};
    struct tw_workload workload;
    need(tw_workload_make(&use, 1, 3000 * plant.n_replicas, 1, &workload, &error));
    struct tw_plan_result result;
    const struct tw_simulation simulation = {
        .plant = &plant, .workload = &workload, .routing = TW_PLAN_ROUND_ROBIN};
    need(tw_simulate(&simulation, &result, NULL, &error));
    tw_workload_free(&workload);
    /* 405b and mixtral count their results in another unit in some rows: tokens a second here. */
    *ret_tokens_s = result.output_tokens_s * n_parts;
    *ret_w = result.power_w * n_parts;
    return true;
}

static void mlperf(void)
{
    struct sheet *sheet = open_sheet("measured/mlperf_v5.1_llm.csv");
    double off[512], off_w[64];
    uint32_t n = 0, n_w = 0, n_within = 0;
    while (next_row(sheet)) {
        double ours, watts;
        if (!mlperf_row(sheet, &ours, &watts) || n == 512) {
            continue;
        }
        const double theirs = number(sheet, "result");
        printf("mlperf,%s,%s,%s,%s x%s x%s,%s,%.0f,%.0f,%+.1f\n", field(sheet, "submitter"),
               field(sheet, "model"), field(sheet, "division"), field(sheet, "accel"),
               field(sheet, "n_accel_per_node"), field(sheet, "nodes"), field(sheet, "weights"),
               theirs, ours, percent(ours, theirs));
        off[n] = fabs(percent(ours, theirs));
        n_within += off[n++] <= 25;
        if (number(sheet, "power_result") > 0 && n_w < 64) {
            off_w[n_w] = fabs(percent(watts, number(sheet, "power_result")));
            printf("mlperf power,%s,%.0f W measured,%.0f ours,%+.1f\n", field(sheet, "model"),
                   number(sheet, "power_result"), watts,
                   percent(watts, number(sheet, "power_result")));
            n_w++;
        }
    }
    printf("mlperf: %u offline rows, median error %.1f %%, %u within 25 %%; power %u rows, "
           "median %.1f %%\n",
           n, median(off, n), n_within, n_w, median(off_w, n_w));
    close_sheet(sheet);
}

/* ---- speed, bursts ---- */

/* A second of one core: others may want it, too. */
static double processor_s(void)
{
    return (double)clock() / CLOCKS_PER_SEC;
}

static void time_one(const char *title, const struct tw_simulation *simulation, uint32_t n_times)
{
    double best = 1e9;
    struct tw_plan_result result;
    for (uint32_t i = 0; i < n_times; i++) {
        const double start = processor_s();
        need(tw_simulate(simulation, &result, NULL, &error));
        const double took = processor_s() - start;
        best = took < best ? took : best;
    }
    printf("speed %s: %u requests, %.0f a second; busy %.2f, %llu steps, %llu in stretches, TTFT "
           "p50 %.0f ms p99 %.0f ms\n",
           title, simulation->workload->n_requests, simulation->workload->n_requests / best,
           result.busy_share, (unsigned long long)result.n_steps,
           (unsigned long long)result.n_advanced_steps, result.ttft_s.p50 * 1e3,
           result.ttft_s.p99 * 1e3);
}

static void read_trace(const char *name, struct tw_workload *workload)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/traces/%s", folder, name);
    need(tw_workload_read_file(path, 0, workload, &error));
}

static void speed(void)
{
    struct tw_workload workload;
    struct tw_plant plant = plant_of("Llama-3.1-8B", "H100-80GB-SXM", "vllm-0.19", "bf16");
    read_trace("AzureLLMInferenceTrace_conv_2023.csv", &workload);
    plant.n_context_tokens = 16384;
    struct tw_simulation simulation = {.plant = &plant, .workload = &workload};
    time_one("Azure conversation, one H100", &simulation, 5);
    tw_workload_free(&workload);
    for (int rate = 2; rate <= 40; rate += 19) {
        const struct tw_use_case use = {.rate_requests_s = rate,
                                        .arrivals = TW_ARRIVAL_GAMMA,
                                        .arrival_cv = 1,
                                        .input = {.mean_tokens = 512},
                                        .output = {.mean_tokens = 16}};
        char title[64];
        snprintf(title, sizeof title, "512 in 16 out at %d/s", rate);
        need(tw_workload_make(&use, 1, 200000, 1, &workload, &error));
        time_one(title, &simulation, 5);
        tw_workload_free(&workload);
    }
    read_trace("mooncake_conversation_trace.jsonl", &workload);
    plant.n_replicas = 16;
    plant.n_context_tokens = 131072;
    time_one("Mooncake conversation, 16 H100", &simulation, 1);
    tw_workload_free(&workload);
}

static uint32_t replicas_for(struct tw_plant *plant, const struct tw_workload *workload)
{
    const struct tw_simulation simulation = {
        .plant = plant, .workload = workload, .slo = {99, 1.0, 0.05, 0}};
    struct tw_plan_result result;
    for (plant->n_replicas = 1; plant->n_replicas < 256; plant->n_replicas++) {
        need(tw_simulate(&simulation, &result, NULL, &error));
        if (result.meets_slo) {
            break;
        }
    }
    return plant->n_replicas;
}

static void bursts(void)
{
    struct tw_workload code, even;
    struct tw_plant plant = plant_of("Llama-3.1-8B", "H100-80GB-SXM", "vllm-0.19", "bf16");
    plant.n_context_tokens = 16384;
    read_trace("AzureLLMInferenceTrace_code_2023.csv", &code);
    need(tw_workload_rearrive(&code, 1, 7, &even, &error));
    const uint32_t a = replicas_for(&plant, &code), b = replicas_for(&plant, &even);
    printf("bursts: Azure code as recorded (CV %.1f) needs %u replicas, as Poisson (CV %.2f) %u: "
           "%.1f times as many\n",
           tw_workload_summarise(&code).arrival_cv, a, tw_workload_summarise(&even).arrival_cv, b,
           (double)a / b);
    tw_workload_free(&code);
    tw_workload_free(&even);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } parts[] = {{"kv", kv_pools},   {"logs", logs},   {"table", table},
                 {"mlperf", mlperf}, {"speed", speed}, {"bursts", bursts}};
    const char *files[16];
    uint32_t n_files = 0, n_chosen = 0;
    if (argc < 2) {
        fprintf(stderr, "usage: plan_accuracy FOLDER [kv|logs|table|mlperf|speed|bursts ...] "
                        "[--with TABLE.csv ...]\n");
        return 2;
    }
    folder = argv[1];
    int n_words = argc;
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--with") == 0) {
            n_words = i;
            for (i++; i < argc && n_files < 16; i++) {
                files[n_files++] = argv[i];
            }
        }
    }
    need(tw_catalogue_open(files, n_files, &catalogue, &error));
    for (size_t p = 0; p < sizeof parts / sizeof parts[0]; p++) {
        for (int i = 2; i < n_words; i++) {
            if (strcmp(argv[i], parts[p].name) == 0) {
                parts[p].run();
                n_chosen++;
            }
        }
        if (n_words == 2) {
            parts[p].run();
        }
    }
    tw_catalogue_free(catalogue);
    return 0;
}
