#include "plan_fixture.h"

#include <string.h>

#include "plan/plant_search.h"

static struct tw_error error;
static const struct tw_plan_device *devices[3];
static const struct tw_number_format *formats[2];

static struct tw_plant_question question_of(const struct tw_workload *workload,
                                            struct tw_plan_slo slo)
{
    const struct tw_plant plant = plan_plant("Llama-3.1-8B", "H100-80GB-SXM");
    static const char *const names[] = {"RTX-4090", "L40S", "H100-80GB-SXM"};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(tw_catalogue_device(plan_catalogue(), names[i], &devices[i], &error),
                         TW_OK);
    }
    formats[0] = tw_number_format_find("bf16");
    formats[1] = tw_number_format_find("fp8");
    return (struct tw_plant_question){.model = plant.model,
                                      .engine = plant.engine,
                                      .devices = devices,
                                      .n_devices = 3,
                                      .weights = formats,
                                      .n_weights = 2,
                                      .kv = formats[0],
                                      .workload = workload,
                                      .slo = slo,
                                      .n_context_tokens = 4096,
                                      .most_devices = 256};
}

static struct tw_plant_search *search_of(const struct tw_plant_question *question)
{
    struct tw_plant_search *search;
    assert_int_equal(tw_plant_search(question, &search, &error), TW_OK);
    return search;
}

static void what_is_found_meets_the_targets_and_one_less_does_not(void **state)
{
    (void)state;
    struct tw_workload workload = plan_workload(30, 800, 150, 1500);
    const struct tw_plan_slo slo = {95, 1.0, 0.05, 0};
    const struct tw_plant_question question = question_of(&workload, slo);
    struct tw_plant_search *search = search_of(&question);
    uint32_t n_met = 0;
    for (uint32_t i = 0; i < tw_plant_search_n(search); i++) {
        const struct tw_plant_option *option = tw_plant_search_option(search, i);
        if (!option->meets) {
            assert_true(option->why_not[0] != '\0');
            continue;
        }
        n_met++;
        assert_true(option->result.at_percentile_ttft_s <= 1.0);
        assert_true(option->result.at_percentile_tpot_s <= 0.05);
        if (option->plant.n_replicas > 1) {
            struct tw_plant_option less;
            assert_int_equal(
                tw_plant_search_at(search, i, 1, option->plant.n_replicas - 1, &less, &error),
                TW_OK);
            assert_false(less.meets);
        }
    }
    assert_true(n_met >= 4);
    tw_plant_search_free(search);
    tw_workload_free(&workload);
}

static uint32_t fewest_devices(const struct tw_workload *workload, struct tw_plan_slo slo)
{
    const struct tw_plant_question question = question_of(workload, slo);
    struct tw_plant_search *search = search_of(&question);
    const struct tw_plant_option *best = tw_plant_search_option(search, 0);
    const uint32_t n = best->meets ? best->n_total_devices : UINT32_MAX;
    tw_plant_search_free(search);
    return n;
}

static void looser_targets_and_less_load_never_need_more(void **state)
{
    (void)state;
    struct tw_workload workload = plan_workload(60, 800, 150, 1000);
    uint32_t last = UINT32_MAX;
    for (double ttft = 0.1; ttft < 10; ttft *= 2.5) {
        const uint32_t n = fewest_devices(&workload, (struct tw_plan_slo){95, ttft, 0.06, 0});
        assert_true(n <= last);
        last = n;
    }
    assert_true(last < UINT32_MAX);
    const struct tw_plant_question question =
        question_of(&workload, (struct tw_plan_slo){95, 1, 0.06, 0});
    struct tw_plant_search *search = search_of(&question);
    struct tw_plant_option half, whole;
    assert_int_equal(tw_plant_search_at(search, 0, 1, 0, &whole, &error), TW_OK);
    assert_int_equal(tw_plant_search_at(search, 0, 0.5, 0, &half, &error), TW_OK);
    assert_true(half.n_total_devices <= whole.n_total_devices);
    /* What was asked once is not simulated again. */
    const uint32_t n = tw_plant_search_n_simulations(search);
    assert_int_equal(tw_plant_search_at(search, 0, 0.5, 0, &half, &error), TW_OK);
    assert_int_equal(tw_plant_search_n_simulations(search), n);
    tw_plant_search_free(search);
    tw_workload_free(&workload);
}

static void targets_that_nothing_meets_say_so(void **state)
{
    (void)state;
    struct tw_workload workload = plan_workload(5, 800, 150, 300);
    const struct tw_plant_question question =
        question_of(&workload, (struct tw_plan_slo){95, 0.001, 0, 0});
    struct tw_plant_search *search = search_of(&question);
    const struct tw_plant_option *best = tw_plant_search_option(search, 0);
    assert_false(best->meets);
    assert_non_null(strstr(best->why_not, "even alone"));
    tw_plant_search_free(search);
    tw_workload_free(&workload);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_found_meets_the_targets_and_one_less_does_not),
        cmocka_unit_test(looser_targets_and_less_load_never_need_more),
        cmocka_unit_test(targets_that_nothing_meets_say_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
