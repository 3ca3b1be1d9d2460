/* What the planner says beside what others measured: memory of vLLM, requests of two servers, times
 * per token of a table, MLPerf throughput and power; and how fast it simulates.
 *
 *     plan_accuracy FOLDER [kv] [logs] [table] [held] [mlperf] [speed] [bursts]
 *         [--with TABLE.csv ...] [--check]
 *
 * FOLDER is the shared planning data. A table of one's own overrides constants, so that a fit needs
 * no build. --check: the exit code is 1 where a figure is worse than is held.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "measured.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "plan/calibrate.h"
#include "plan/catalogue.h"
#include "plan/quantiles.h"
#include "plan/simulator.h"
#include "plan/trace.h"

static struct tw_catalogue *catalogue;
static const char *folder;

/* What a figure may be at most, where --check asks: the program's exit code is 1 beyond it. */
static bool is_beyond;

static void hold(const char *what, double value, double most)
{
    if (value > most) {
        printf("beyond: %s is %.2f, at most %.2f is held\n", what, value, most);
        is_beyond = true;
    }
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
    struct sheet *sheet = sheet_open(folder, "measured/vllm_memory_measured.csv");
    double worst = 0;
    while (sheet_next(sheet)) {
        const double measured = sheet_number(sheet, "kv_tokens");
        const char *name = sheet_text(sheet, "model");
        if (measured == 0) {
            continue;
        }
        const char *version = sheet_text(sheet, "vllm_version");
        char engine_name[64];
        snprintf(engine_name, sizeof engine_name, "vllm-%.*s",
                 (int)(strrchr(version, '.') - version), version);
        struct tw_plant plant = plant_of(catalogue, our_name(name, memory_names), "H100-80GB-SXM",
                                         engine_name, strstr(name, "float32") ? "f32" : "bf16");
        struct tw_plan_engine engine = *plant.engine;
        engine.memory_share = sheet_number(sheet, "util");
        plant.engine = &engine;
        plant.n_tensor = (uint32_t)sheet_number(sheet, "tp");
        plant.n_sequences = strstr(version, "0.15.1") ? 128 : 1024;
        plant.kv = tw_number_format_find(strstr(name, "kv fp8")    ? "fp8"
                                         : strstr(name, "float32") ? "f32"
                                                                   : "bf16");
        plant.n_context_tokens = 4096;
        struct tw_plan_memory memory;
        need(tw_plan_fit(&plant, &memory, &measured_error));
        const double off = percent((double)memory.n_kv_tokens, measured);
        const bool counts = strstr(name, "Mistral-Small") == NULL; /* it sees pictures too */
        worst = counts && fabs(off) > worst ? fabs(off) : worst;
        printf("kv %-36s tp%u vllm %-7s %8.0f measured %8llu ours %+6.2f %%%s\n", name,
               plant.n_tensor, version, measured, (unsigned long long)memory.n_kv_tokens, off,
               counts ? "" : " (multimodal)");
    }
    hold("error of a KV pool", worst, 1.5);
    printf("kv worst of dense text models and Mixtral: %.2f %%\n", worst);
    sheet_close(sheet);
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
    need(tw_simulate(&simulation, &result, NULL, &measured_error));
    const uint32_t n = workload->n_requests;
    double *ttft = tw_mem_alloc(n, sizeof *ttft), *tpot = tw_mem_alloc(n, sizeof *tpot);
    for (uint32_t i = 0; i < n; i++) {
        ttft[i] = times[i].ttft_s;
        tpot[i] = times[i].tpot_s;
    }
    const struct tw_plan_quantiles a = tw_quantiles_of(ttft, n), b = tw_quantiles_of(tpot, n);
    printf("log %s: %llu preemptions, %u rows a step\n", title,
           (unsigned long long)result.n_preemptions, (unsigned)result.decode_rows_mean);
    const bool is_fitted = strcmp(title, "calibrated") == 0;
    hold("error of mean TTFT", fabs(percent(result.ttft_s.mean, a.mean)), is_fitted ? 3 : 15);
    hold("error of mean TPOT", fabs(percent(result.tpot_s.mean, b.mean)), is_fitted ? 3 : 15);
    if (is_fitted) {
        hold("error of TTFT p99", fabs(percent(result.ttft_s.p99, a.p99)), 6);
        hold("error of TPOT p99", fabs(percent(result.tpot_s.p99, b.p99)), 6);
    }
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
    need(tw_file_read(path, TW_LIMIT_PLAN_TABLE_BYTES, &buf, &measured_error));
    need(tw_trace_read(file, buf.data, buf.size_bytes, 0, &workload, &times, &measured_error));
    struct tw_plant plant = plant_of(catalogue, "Llama-3.1-8B", device, "vllm-0.19", "bf16");
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
    need(tw_calibrate_log(&plant, &workload, outcomes, &calibration, &measured_error));
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

static void table(void)
{
    struct sheet *sheet = sheet_open(folder, "measured/aic_silicon_sample.csv");
    double *off = tw_mem_alloc(10000, sizeof *off), mean = 0;
    uint32_t n = 0;
    while (sheet_next(sheet)) {
        struct measured_case one;
        struct tw_plan_result result;
        if (!measured_table_case(catalogue, sheet, &one)) {
            continue;
        }
        if (measured_simulate(&one, &result)) {
            const double ours = result.tpot_s.mean;
            printf("table,%s,%.3f,%.3f,%+.1f\n", one.name, one.measured * 1e3, ours * 1e3,
                   percent(ours, one.measured));
            off[n] = fabs(percent(ours, one.measured));
            mean += off[n++];
        } else {
            printf("table skipped %s: %s\n", one.name, measured_error.text);
        }
        measured_case_free(&one);
    }
    hold("median error of TPOT", median(off, n), 14);
    printf("table: %u dense rows, median error of TPOT %.1f %%, mean %.1f %%\n", n, median(off, n),
           mean / n);
    tw_mem_free(off);
    sheet_close(sheet);
}

/* ---- calibrated on one half of a device's rows, tried on the other ---- */

#define MOST_ROWS 1024

struct half {
    struct tw_plan_point points[MOST_ROWS];
    uint32_t n;
};

/* Calibrates by `by`, one device and engine at a time; errors on `on`, in percent. */
static uint32_t try_on(const struct half *by, const struct half *on, double *off, double *before)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < on->n; i++) {
        static struct tw_plan_point chosen[MOST_ROWS];
        const struct tw_plant *plant = &on->points[i].plant;
        bool is_first = true;
        uint32_t n_chosen = 0;
        for (uint32_t k = 0; k < i; k++) {
            const struct tw_plant *other = &on->points[k].plant;
            is_first &= other->device != plant->device || other->engine != plant->engine;
        }
        for (uint32_t k = 0; k < by->n && is_first; k++) {
            const struct tw_plant *other = &by->points[k].plant;
            if (other->device == plant->device && other->engine == plant->engine) {
                chosen[n_chosen++] = by->points[k];
            }
        }
        if (!is_first || n_chosen < 4) {
            continue;
        }
        struct tw_calibration calibration;
        need(tw_calibrate_points(chosen, n_chosen, &calibration, &measured_error));
        struct tw_plan_engine engine = *plant->engine;
        tw_calibration_apply(&calibration, &engine);
        double mine[MOST_ROWS];
        uint32_t n_mine = 0;
        for (uint32_t k = i; k < on->n; k++) {
            struct tw_plan_point point = on->points[k];
            if (point.plant.device != plant->device || point.plant.engine != plant->engine) {
                continue;
            }
            struct tw_plan_result result;
            need(tw_plan_point_simulate(&point, &result, &measured_error));
            before[n] = fabs(percent(result.tpot_s.mean, point.tpot_s));
            point.plant.engine = &engine;
            need(tw_plan_point_simulate(&point, &result, &measured_error));
            off[n] = fabs(percent(result.tpot_s.mean, point.tpot_s));
            mine[n_mine++] = off[n++];
        }
        printf("held out,%s,%s,calibrated by %u rows,tried on %u,median %.1f %%\n",
               plant->device->name, plant->engine->name, n_chosen, n_mine, median(mine, n_mine));
    }
    return n;
}

/* Rows of one device and engine by turns into two halves; each calibrates for the other. */
static void held_out(void)
{
    struct sheet *sheet = sheet_open(folder, "measured/aic_silicon_sample.csv");
    static struct half halves[2];
    static double off[2 * MOST_ROWS], before[2 * MOST_ROWS];
    uint32_t n_rows = 0;
    while (sheet_next(sheet) && n_rows < MOST_ROWS) {
        struct measured_case one;
        struct tw_plan_result ignored;
        if (measured_table_case(catalogue, sheet, &one)) {
            struct half *half = &halves[n_rows % 2];
            if (measured_simulate(&one, &ignored)) {
                half->points[half->n++] = one.point;
                n_rows++;
            }
            measured_case_free(&one);
        }
    }
    sheet_close(sheet);
    uint32_t n = try_on(&halves[0], &halves[1], off, before);
    n += try_on(&halves[1], &halves[0], off + n, before + n);
    hold("median error of TPOT held out", median(off, n), 10);
    printf("held out: %u rows, median error of TPOT %.1f %% with the other half's constants of the "
           "device and engine, %.1f %% with those for all\n",
           n, median(off, n), median(before, n));
}

/* ---- MLPerf ---- */

/* Rows of one kind are many: each kind is simulated once. */
struct known {
    struct tw_plant plant;
    uint32_t n_requests;
    double tokens_s, power_w;
};

static const struct known *simulate_once(struct known *all, uint32_t *n_all,
                                         const struct measured_case *one)
{
    for (uint32_t i = 0; i < *n_all; i++) {
        if (memcmp(&all[i].plant, &one->plant, sizeof one->plant) == 0 &&
            all[i].n_requests == one->workload.n_requests) {
            return &all[i];
        }
    }
    struct tw_plan_result result;
    if (!measured_simulate(one, &result)) {
        need(TW_ERR_UNSUPPORTED);
    }
    all[*n_all] = (struct known){.n_requests = one->workload.n_requests,
                                 .tokens_s = result.output_tokens_s,
                                 .power_w = result.power_w};
    memcpy(&all[*n_all].plant, &one->plant, sizeof one->plant);
    return &all[(*n_all)++];
}

static void mlperf(void)
{
    struct sheet *sheet = sheet_open(folder, "measured/mlperf_v5.1_llm.csv");
    static struct known all[512];
    double off[512], off_w[64];
    uint32_t n = 0, n_w = 0, n_within = 0, n_all = 0;
    while (sheet_next(sheet)) {
        static struct measured_case one;
        memset(&one, 0, sizeof one);
        if (!measured_mlperf_case(catalogue, sheet, &one) || n == 512) {
            continue;
        }
        const struct known *ours = simulate_once(all, &n_all, &one);
        const double part = percent(ours->tokens_s, one.measured);
        printf("mlperf,%s,%.0f,%.0f,%+.1f\n", one.name, one.measured * one.n_replicas,
               ours->tokens_s * one.n_replicas, part);
        off[n] = fabs(part);
        n_within += off[n++] <= 25;
        if (one.measured_w > 0 && n_w < 64) {
            const double watts = ours->power_w * one.n_replicas;
            off_w[n_w] = fabs(percent(watts, one.measured_w));
            printf("mlperf power,%s,%.0f W measured,%.0f ours,%+.1f\n", one.name, one.measured_w,
                   watts, percent(watts, one.measured_w));
            n_w++;
        }
        measured_case_free(&one);
    }
    hold("rows beyond 25 % of MLPerf", n - n_within, 0.05 * n);
    hold("error of power", tw_quantiles_at(off_w, n_w, 100), 15);
    printf("mlperf: %u offline rows, median error %.1f %%, %u within 25 %%; power %u rows, "
           "median %.1f %%\n",
           n, median(off, n), n_within, n_w, median(off_w, n_w));
    sheet_close(sheet);
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
        need(tw_simulate(simulation, &result, NULL, &measured_error));
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
    need(tw_workload_read_file(path, 0, workload, &measured_error));
}

static void speed(void)
{
    struct tw_workload workload;
    struct tw_plant plant =
        plant_of(catalogue, "Llama-3.1-8B", "H100-80GB-SXM", "vllm-0.19", "bf16");
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
        need(tw_workload_make(&use, 1, 200000, 1, &workload, &measured_error));
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
        need(tw_simulate(&simulation, &result, NULL, &measured_error));
        if (result.meets_slo) {
            break;
        }
    }
    return plant->n_replicas;
}

static void bursts(void)
{
    struct tw_workload code, even;
    struct tw_plant plant =
        plant_of(catalogue, "Llama-3.1-8B", "H100-80GB-SXM", "vllm-0.19", "bf16");
    plant.n_context_tokens = 16384;
    read_trace("AzureLLMInferenceTrace_code_2023.csv", &code);
    need(tw_workload_rearrive(&code, 1, 7, &even, &measured_error));
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
    } parts[] = {{"kv", kv_pools},   {"logs", logs},   {"table", table},  {"held", held_out},
                 {"mlperf", mlperf}, {"speed", speed}, {"bursts", bursts}};
    const char *files[16];
    uint32_t n_files = 0, n_chosen = 0;
    if (argc < 2) {
        fprintf(stderr, "usage: plan_accuracy FOLDER [kv|logs|table|held|mlperf|speed|bursts ...] "
                        "[--with TABLE.csv ...] [--check]\n");
        return 2;
    }
    folder = argv[1];
    int n_words = argc;
    const bool checks = strcmp(argv[argc - 1], "--check") == 0;
    n_words -= checks;
    argc -= checks;
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--with") == 0) {
            n_words = i;
            for (i++; i < argc && n_files < 16; i++) {
                files[n_files++] = argv[i];
            }
        }
    }
    need(tw_catalogue_open(files, n_files, &catalogue, &measured_error));
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
    return checks && is_beyond;
}
