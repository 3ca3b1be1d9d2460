#include "plan_fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "plan/calibrate.h"

static struct tw_error error;

/* An engine with other coefficients than the catalogue's. */
static struct tw_plan_engine truth_of(const struct tw_plant *plant)
{
    struct tw_plan_engine truth = *plant->engine;
    truth.compute_share = tw_range_exact(0.61);
    truth.bandwidth_share = tw_range_exact(0.77);
    truth.step_s = tw_range_exact(2.5e-3);
    return truth;
}

static void passes_give_back_the_coefficients_that_made_them(void **state)
{
    (void)state;
    struct tw_plant plant = plan_plant("Llama-3.1-8B", "H100-80GB-SXM"), made = plant;
    const struct tw_plan_engine truth = truth_of(&plant);
    made.engine = &truth;
    struct tw_step_cost cost;
    assert_int_equal(tw_step_cost_make(&made, &cost, &error), TW_OK);
    struct tw_plan_pass passes[12];
    for (uint32_t i = 0; i < 12; i++) {
        const uint64_t n = i < 6 ? 256u << i : 1u << (i - 6);
        passes[i].work = (struct tw_step_work){.n_tokens = n,
                                               .n_rows = i < 6 ? 1 : n,
                                               .n_results = i < 6 ? 1 : n,
                                               .n_context_tokens = 100.0 * n,
                                               .n_attended = 100.0 * n};
        passes[i].seconds = tw_step_parts(&cost, &passes[i].work).total_s;
    }
    struct tw_calibration c;
    assert_int_equal(tw_calibrate_passes(&plant, passes, 12, &c, &error), TW_OK);
    assert_true(c.residual < 0.01);
    /* Products and activations go with the tokens both: one model does not tell them apart.
     * Together they are found, and so is any other step. */
    struct tw_plan_engine fitted = *plant.engine;
    tw_calibration_apply(&c, &fitted);
    plant.engine = &fitted;
    struct tw_step_cost ours;
    assert_int_equal(tw_step_cost_make(&plant, &ours, &error), TW_OK);
    const struct tw_step_work mixed = {.n_tokens = 1500,
                                       .n_rows = 40,
                                       .n_results = 39,
                                       .n_context_tokens = 150e3,
                                       .n_attended = 150e3};
    const double made_s = tw_step_parts(&cost, &mixed).total_s;
    assert_true(fabs(tw_step_parts(&ours, &mixed).total_s / made_s - 1) < 0.03);
    const double per_token = (cost.token_s + cost.activation_s);
    assert_true(fabs((ours.token_s + ours.activation_s) / per_token - 1) < 0.03);
    assert_true(fabs(c.value[TW_CALIBRATE_BANDWIDTH].typical / 0.77 - 1) < 0.12);
    assert_false(c.is_measured[TW_CALIBRATE_REDUCE]); /* one device has no link */
    for (int i = 0; i < TW_CALIBRATION_N; i++) {
        assert_true(c.value[i].low <= c.value[i].typical && c.value[i].typical <= c.value[i].high);
    }
    assert_true(strlen(c.measure) > 10);
    assert_int_equal(tw_calibrate_passes(&plant, passes, 3, &c, &error), TW_ERR_USAGE);
}

static void a_log_brings_the_simulation_to_what_was_measured(void **state)
{
    (void)state;
    struct tw_plant plant = plan_plant("Llama-3.1-8B", "L40S"), made = plant;
    const struct tw_plan_engine truth = truth_of(&plant);
    made.engine = &truth;
    struct tw_workload workload = plan_workload(6, 700, 150, 300);
    struct tw_simulation simulation = {.plant = &made, .workload = &workload};
    struct tw_plan_outcome *outcomes = tw_mem_alloc(300, sizeof *outcomes);
    const struct tw_plan_result measured = plan_simulate(&simulation, outcomes);
    struct tw_calibration c;
    assert_int_equal(tw_calibrate_log(&plant, &workload, outcomes, &c, &error), TW_OK);
    struct tw_plan_engine fitted = *plant.engine;
    tw_calibration_apply(&c, &fitted);
    plant.engine = &fitted;
    simulation.plant = &plant;
    const struct tw_plan_result ours = plan_simulate(&simulation, NULL);
    assert_true(fabs(ours.ttft_s.mean / measured.ttft_s.mean - 1) < 0.03);
    assert_true(fabs(ours.tpot_s.mean / measured.tpot_s.mean - 1) < 0.03);
    tw_mem_free(outcomes);
    tw_workload_free(&workload);
}

/* Points of one half give the times of the other, also of another model; and a few that were
 * measured by another yardstick do not matter. */
static void load_points_foretell_others(void **state)
{
    (void)state;
    const char *const models[] = {"Llama-3.1-8B", "Llama-3.1-70B"};
    struct tw_plan_point points[24];
    struct tw_plan_engine truth = *plan_plant("Llama-3.1-8B", "H100-80GB-SXM").engine;
    truth.compute_share = tw_range_exact(0.6);
    truth.bandwidth_share = tw_range_exact(0.7);
    truth.row_s = tw_range_exact(40e-6);
    truth.link_share = tw_range_exact(0.3);
    for (uint32_t i = 0; i < 24; i++) {
        struct tw_plant plant = plan_plant(models[i % 2], "H100-80GB-SXM");
        plant.n_tensor = i % 2 == 0 ? 1u << (i / 2 % 2) : 4;
        points[i] = (struct tw_plan_point){.plant = plant,
                                           .n_clients = 1u << (i / 4),
                                           .n_input = 300 + 900 * (i % 3),
                                           .n_output = 60,
                                           .least_share = 0.8};
        struct tw_plan_point made = points[i];
        made.plant.engine = &truth;
        struct tw_plan_result result;
        assert_int_equal(tw_plan_point_simulate(&made, &result, &error), TW_OK);
        points[i].tpot_s = result.tpot_s.mean;
    }
    struct tw_plan_point by[16];
    for (uint32_t i = 0; i < 16; i++) {
        by[i] = points[i / 2 * 3 + i % 2];
    }
    by[5].tpot_s *= 3;
    struct tw_calibration c;
    assert_int_equal(tw_calibrate_points(by, 16, &c, &error), TW_OK);
    struct tw_plan_engine fitted = *points[0].plant.engine;
    tw_calibration_apply(&c, &fitted);
    double before = 0, after = 0;
    for (uint32_t i = 2; i < 24; i += 3) { /* those that did not calibrate */
        struct tw_plan_result result;
        assert_int_equal(tw_plan_point_simulate(&points[i], &result, &error), TW_OK);
        before += fabs(result.tpot_s.mean / points[i].tpot_s - 1) / 8;
        points[i].plant.engine = &fitted;
        assert_int_equal(tw_plan_point_simulate(&points[i], &result, &error), TW_OK);
        after += fabs(result.tpot_s.mean / points[i].tpot_s - 1) / 8;
    }
    assert_true(after < 0.05 && before > 0.15);
    assert_int_equal(tw_calibrate_points(points, 3, &c, &error), TW_ERR_USAGE);
}

static void the_bench_is_read(void **state)
{
    (void)state;
    static const char text[] =
        "{\"points\":[{\"phase\":\"prefill\",\"prompt_tokens\":512,\"depth_tokens\":0,"
        "\"pass_s\":0.5},{\"phase\":\"decode\",\"sequences\":4,\"depth_tokens\":99,"
        "\"pass_s\":0.25}]}";
    struct tw_plan_pass *passes;
    uint32_t n;
    assert_int_equal(tw_calibrate_read_bench("b", text, strlen(text), &passes, &n, &error), TW_OK);
    assert_int_equal(n, 2);
    assert_int_equal(passes[0].work.n_tokens, 512);
    assert_true(passes[0].work.n_attended == 512 * 513 / 2);
    assert_int_equal(passes[1].work.n_rows, 4);
    assert_true(passes[1].work.n_context_tokens == 400 && passes[1].seconds == 0.25);
    tw_mem_free(passes);
    assert_int_equal(tw_calibrate_read_bench("b", "{}", 2, &passes, &n, &error), TW_ERR_FORMAT);
    assert_non_null(strstr(error.text, "bench engine"));
}

/* The requests of two servers that others measured, where the data is at hand. */
static void logs_of_real_servers_are_met(void **state)
{
    (void)state;
    const char *shared = getenv("TW_SHARED");
    static const struct {
        const char *file, *device;
        uint64_t n_kv_tokens;
    } cases[] = {{"RTX4090_Llama-3.1-8B.csv", "RTX-4090", 41408},
                 {"RTXPRO6000_Llama-3.1-8B.csv", "RTX-PRO-6000-Server", 0}};
    if (shared == NULL) {
        print_message("# not tested: TW_SHARED is not set\n");
        return; /* cmocka's skip() is a failure for meson */
    }
    for (int i = 0; i < 2; i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/plan-data/measured/%s", shared, cases[i].file);
        struct tw_buf buf;
        assert_int_equal(tw_file_read(path, TW_LIMIT_PLAN_TABLE_BYTES, &buf, &error), TW_OK);
        struct tw_workload workload;
        struct tw_plan_outcome *outcomes;
        assert_int_equal(
            tw_calibrate_read_log(path, buf.data, buf.size_bytes, &workload, &outcomes, &error),
            TW_OK);
        double ttft = 0, tpot = 0;
        for (uint32_t k = 0; k < workload.n_requests; k++) {
            ttft += outcomes[k].ttft_s / workload.n_requests;
            tpot += outcomes[k].tpot_s / workload.n_requests;
        }
        struct tw_plant plant = plan_plant("Llama-3.1-8B", cases[i].device);
        plant.step_tokens = 2048;
        plant.n_sequences = 128;
        plant.n_kv_tokens = cases[i].n_kv_tokens;
        const struct tw_simulation simulation = {.plant = &plant, .workload = &workload};
        const struct tw_plan_result before = plan_simulate(&simulation, NULL);
        assert_true(fabs(before.ttft_s.mean / ttft - 1) < 0.15);
        assert_true(fabs(before.tpot_s.mean / tpot - 1) < 0.15);
        struct tw_calibration c;
        assert_int_equal(tw_calibrate_log(&plant, &workload, outcomes, &c, &error), TW_OK);
        struct tw_plan_engine fitted = *plant.engine;
        tw_calibration_apply(&c, &fitted);
        plant.engine = &fitted;
        const struct tw_plan_result after = plan_simulate(&simulation, NULL);
        assert_true(fabs(after.ttft_s.mean / ttft - 1) < 0.03);
        assert_true(fabs(after.tpot_s.mean / tpot - 1) < 0.03);
        tw_mem_free(outcomes);
        tw_workload_free(&workload);
        tw_buf_free(&buf);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(passes_give_back_the_coefficients_that_made_them),
        cmocka_unit_test(a_log_brings_the_simulation_to_what_was_measured),
        cmocka_unit_test(load_points_foretell_others),
        cmocka_unit_test(the_bench_is_read),
        cmocka_unit_test(logs_of_real_servers_are_met),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
