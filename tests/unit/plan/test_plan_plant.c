#include "plan_fixture.h"

#include <math.h>
#include <string.h>

#include "plan/step_time.h"

static struct tw_error error;

static void kv_bytes_of_a_token_are_exact(void **state)
{
    (void)state;
    const struct tw_number_format *bf16 = tw_number_format_find("bf16");
    static const struct {
        const char *model;
        uint32_t n_tensor;
        double bytes;
    } cases[] = {{"Llama-3.1-8B", 1, 131072},      {"Qwen2.5-7B", 1, 57344},
                 {"Mistral-Small-24B", 1, 163840}, {"Llama-2-7B", 1, 524288},
                 {"Llama-3.1-8B", 4, 32768},       {"Qwen2.5-7B", 8, 14336}, /* heads repeated */
                 {"DeepSeek-V3", 1, 70272},        {"DeepSeek-V3", 8, 70272}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct tw_plant plant = plan_plant(cases[i].model, "H100-80GB-SXM");
        assert_true(tw_plan_kv_token_bytes(plant.model, bf16, cases[i].n_tensor) == cases[i].bytes);
        assert_true(tw_plan_kv_token_bytes(plant.model, tw_number_format_find("fp8"),
                                           cases[i].n_tensor) == cases[i].bytes / 2);
    }
    /* 12 of 24 layers see 128 tokens: 2 x 8 heads x 64 x 2 bytes = 2,048 a layer. */
    struct tw_plant plant = plan_plant("gpt-oss-20b", "H100-80GB-SXM");
    assert_true(tw_plan_kv_sequence_bytes(plant.model, bf16, 1, 10000) ==
                2048.0 * (12 * 10000 + 12 * 128));
}

/* Measured by vLLM on an H100; see docs/plan-accuracy.md. */
static void pools_are_those_that_vllm_reports(void **state)
{
    (void)state;
    static const struct {
        const char *model, *engine;
        uint32_t n_tensor, n_sequences;
        double share, tokens;
    } cases[] = {{"Llama-3.1-8B", "vllm-0.19", 1, 1024, 0.95, 476000},
                 {"Qwen2.5-7B", "vllm-0.19", 1, 1024, 0.95, 1096000},
                 {"Llama-2-7B", "vllm-0.15", 1, 128, 0.9, 119408},
                 {"Llama-2-70B", "vllm-0.15", 4, 128, 0.9, 501712},
                 {"Mixtral-8x7B", "vllm-0.15", 2, 128, 0.9, 440176},
                 {"CodeLlama-34B", "vllm-0.15", 2, 128, 0.9, 425648}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct tw_plant plant = plan_plant(cases[i].model, "H100-80GB-SXM");
        assert_int_equal(
            tw_catalogue_engine(plan_catalogue(), cases[i].engine, &plant.engine, &error), TW_OK);
        struct tw_plan_engine engine = *plant.engine;
        engine.memory_share = cases[i].share;
        plant.engine = &engine;
        plant.n_tensor = cases[i].n_tensor;
        plant.n_sequences = cases[i].n_sequences;
        plant.n_context_tokens = 4096;
        struct tw_plan_memory memory;
        assert_int_equal(tw_plan_fit(&plant, &memory, &error), TW_OK);
        assert_true(fabs((double)memory.n_kv_tokens / cases[i].tokens - 1) < 0.005);
        const double sum =
            memory.weights_bytes + memory.activation_bytes + memory.other_bytes + memory.kv_bytes;
        assert_true(fabs(sum - memory.usable_bytes) < 1);
    }
}

static void what_does_not_fit_says_what_is_missing(void **state)
{
    (void)state;
    struct tw_plant plant = plan_plant("Llama-3.1-70B", "RTX-4090");
    struct tw_plan_memory memory;
    assert_int_equal(tw_plan_fit(&plant, &memory, &error), TW_ERR_UNSUPPORTED);
    assert_non_null(strstr(error.text, "GiB short a device"));
    plant = plan_plant("Qwen3-14B", "H100-80GB-SXM");
    plant.n_tensor = 5;
    assert_int_equal(tw_plan_fit(&plant, &memory, &error), TW_ERR_UNSUPPORTED);
    assert_non_null(strstr(error.text, "cannot share them evenly"));
}

static struct tw_step_cost cost_of(struct tw_plant *plant)
{
    struct tw_step_cost cost;
    assert_int_equal(tw_step_cost_make(plant, &cost, &error), TW_OK);
    return cost;
}

/* Weights once through the memory, and two operations a weight and token. */
static void a_step_is_the_roofline(void **state)
{
    (void)state;
    struct tw_plant plant = plan_plant("Llama-3.1-8B", "H100-80GB-SXM");
    struct tw_plan_engine engine = *plant.engine;
    plant.engine = &engine;
    engine.overlap = tw_range_exact(1);
    const struct tw_step_cost cost = cost_of(&plant);
    const double read = (8.03e9 - 0.525e9) * 2; /* without the table of words */
    assert_true(fabs(cost.weights_s * 3350e9 * engine.bandwidth_share.typical / read - 1) < 0.002);
    const double token = 2 * (8.03e9 - 2 * 0.525e9);
    assert_true(fabs(cost.token_s * 989e12 * engine.compute_share.typical / token - 1) < 0.002);
    assert_true(fabs(cost.context_s * 3350e9 * engine.bandwidth_share.typical - 131072) < 1);
    const double decode = tw_step_decode_s(&cost, 1, 1000);
    assert_true(fabs(decode - (cost.fixed_s + cost.row_s + cost.weights_s + cost.activation_s +
                               1000 * cost.context_s)) < 1e-9);
    /* In a layer: 10 times the state, 6.5 times the heads, 5 times the gate's width, in bf16. */
    const double activations = 32 * 2 * (16.5 * 4096 + 5 * 14336.0);
    assert_true(fabs(cost.activation_s * 3350e9 * engine.bandwidth_share.typical /
                         (activations * engine.passes.typical) -
                     1) < 0.002);
}

/* Where arithmetic and reading take as long, they take together between one and both of them. */
static void what_overlaps_takes_between_the_longer_one_and_both(void **state)
{
    (void)state;
    struct tw_plant plant = plan_plant("Llama-3.1-8B", "H100-80GB-SXM");
    struct tw_plan_engine engine = *plant.engine;
    plant.engine = &engine;
    double last = 1e9;
    for (int i = 0; i <= 10; i++) {
        engine.overlap = tw_range_exact(0.1 * i);
        const struct tw_step_cost cost = cost_of(&plant);
        const struct tw_step_work work = {.n_tokens = (uint64_t)(cost.weights_s / cost.token_s),
                                          .n_rows = 1};
        const struct tw_step_parts parts = tw_step_parts(&cost, &work);
        const double rest = cost.activation_s * (double)work.n_tokens;
        const double products = parts.total_s - parts.fixed_s - parts.link_s - rest;
        const double weights = parts.memory_s - rest;
        assert_true(products > 0.999 * fmax(parts.compute_s, weights));
        assert_true(products < 1.001 * (parts.compute_s + weights) && products < last);
        last = products;
    }
    assert_true(last < 1.02 * 16e9 / (3350e9 * engine.bandwidth_share.typical));
}

/* A device whose clocks fall at full load computes less; it reads as fast. */
static void what_large_products_keep_up_counts(void **state)
{
    (void)state;
    struct tw_plant plant = plan_plant("Llama-3.1-8B", "H100-80GB-SXM");
    struct tw_plan_device device = *plant.device;
    const struct tw_step_cost full = cost_of(&plant);
    plant.device = &device;
    device.sustained[TW_PLAN_RATE_BF16] = tw_range_exact(0.5);
    const struct tw_step_cost half = cost_of(&plant);
    assert_true(fabs(half.token_s / full.token_s - 2) < 1e-9);
    assert_true(half.weights_s == full.weights_s);
    const struct tw_plant amd = plan_plant("Llama-3.1-8B", "MI300X");
    assert_true(amd.device->sustained[TW_PLAN_RATE_FP8].typical < 0.7);
    assert_true(amd.device->sustained[TW_PLAN_RATE_INT8].typical ==
                amd.device->sustained[TW_PLAN_RATE_BF16].typical);
}

static void more_work_is_never_faster_and_more_hardware_never_slower(void **state)
{
    (void)state;
    struct tw_plant plant = plan_plant("Mixtral-8x7B", "H200-141GB-SXM");
    const struct tw_step_cost cost = cost_of(&plant);
    double last = 0;
    for (uint32_t n = 1; n <= 512; n *= 2) {
        assert_true(tw_step_decode_s(&cost, n, 1000) > last);
        last = tw_step_decode_s(&cost, n, 1000);
        assert_true(tw_step_decode_s(&cost, n, 2000) > last);
        assert_true(tw_step_prefill_s(&cost, 2 * n) > tw_step_prefill_s(&cost, n));
    }
    struct tw_plan_device faster = *plant.device;
    faster.bandwidth_bytes_s = tw_range_times(faster.bandwidth_bytes_s, 1.2);
    plant.device = &faster;
    const struct tw_step_cost more = cost_of(&plant);
    assert_true(tw_step_decode_s(&more, 8, 1000) < tw_step_decode_s(&cost, 8, 1000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kv_bytes_of_a_token_are_exact),
        cmocka_unit_test(pools_are_those_that_vllm_reports),
        cmocka_unit_test(what_does_not_fit_says_what_is_missing),
        cmocka_unit_test(a_step_is_the_roofline),
        cmocka_unit_test(what_overlaps_takes_between_the_longer_one_and_both),
        cmocka_unit_test(what_large_products_keep_up_counts),
        cmocka_unit_test(more_work_is_never_faster_and_more_hardware_never_slower),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
