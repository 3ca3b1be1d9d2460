#include "plan_fixture.h"

#include <string.h>

#include "plan/sizing.h"

static struct tw_sizing size_of(const struct tw_plant *plant, const struct tw_workload *workload,
                                struct tw_plan_slo slo)
{
    struct tw_sizing sizing;
    struct tw_error error;
    assert_int_equal(tw_sizing_find(plant, workload, &slo, &sizing, &error), TW_OK);
    if (sizing.meets) {
        assert_true(sizing.at_peak.meets_slo);
        assert_true(slo.ttft_s <= 0 || sizing.at_peak.at_percentile_ttft_s <= slo.ttft_s);
        assert_true(slo.tpot_s <= 0 || sizing.at_peak.at_percentile_tpot_s <= slo.tpot_s);
        assert_true(tw_cost_replicas_for(&sizing.capacity, 1) >= sizing.plant.n_replicas);
    }
    return sizing;
}

static uint64_t devices_of(const struct tw_sizing *s)
{
    return s->meets ? (uint64_t)s->plant.n_replicas * s->plant.n_tensor * s->plant.n_pipeline
                    : UINT64_MAX;
}

static struct tw_plan_result at_peak(const struct tw_sizing *s, const struct tw_workload *workload,
                                     struct tw_plan_slo slo, uint32_t n_replicas)
{
    struct tw_plant plant = s->plant;
    plant.n_replicas = n_replicas;
    const struct tw_simulation simulation = {
        .plant = &plant, .workload = workload, .slo = slo, .trim_share = 0.1};
    return plan_simulate(&simulation, NULL);
}

/* On many more requests than a sizing looks at: what it found is enough, half
 * is not. */
static void what_is_found_meets_the_targets_and_half_does_not(void **state)
{
    (void)state;
    static const char *const devices[] = {"L40S", "H100-80GB-SXM", "MI300X"};
    const struct tw_plan_slo slo = {95, 0.4, 0.06, 0};
    struct tw_workload workload = plan_workload(120, 800, 150, 12000);
    for (size_t i = 0; i < sizeof devices / sizeof devices[0]; i++) {
        const struct tw_plant plant = plan_plant("Llama-3.1-8B", devices[i]);
        const struct tw_sizing s = size_of(&plant, &workload, slo);
        assert_true(s.meets && s.at_peak.meets_slo && s.plant.n_replicas > 1);
        assert_true(at_peak(&s, &workload, slo, s.plant.n_replicas).meets_slo);
        assert_false(at_peak(&s, &workload, slo, s.plant.n_replicas / 2).meets_slo);
        assert_int_equal(tw_cost_replicas_for(&s.capacity, 1), s.plant.n_replicas);
    }
    tw_workload_free(&workload);
}

static void looser_targets_never_need_more_devices(void **state)
{
    (void)state;
    const struct tw_plant plants[] = {plan_plant("Llama-3.1-8B", "L40S"),
                                      plan_plant("Llama-3.1-70B", "H200-141GB-SXM")};
    for (size_t i = 0; i < 2; i++) {
        for (double rate = 3; rate < 100; rate *= 20) {
            struct tw_workload workload = plan_workload(rate, 900, 120, 900);
            uint64_t by_ttft = UINT64_MAX, by_tpot = UINT64_MAX;
            for (double factor = 0.1; factor < 10; factor *= 3.4) {
                const struct tw_sizing a =
                    size_of(&plants[i], &workload, (struct tw_plan_slo){95, factor, 0.06, 0});
                const struct tw_sizing b =
                    size_of(&plants[i], &workload, (struct tw_plan_slo){95, 2, factor / 10, 0});
                assert_true(devices_of(&a) <= by_ttft);
                assert_true(devices_of(&b) <= by_tpot);
                by_ttft = devices_of(&a);
                by_tpot = devices_of(&b);
            }
            assert_true(by_ttft < UINT64_MAX && by_tpot < UINT64_MAX);
            tw_workload_free(&workload);
        }
    }
}

/* Two cards hold the weights twice and leave little for texts; four of them serve more than twice
 * as many. */
static void a_larger_shape_is_taken_where_it_needs_fewer_devices(void **state)
{
    (void)state;
    struct tw_workload workload = plan_workload(40, 1500, 200, 900);
    const struct tw_plan_slo slo = {95, 3, 0.1, 0};
    struct tw_plant plant = plan_plant("Llama-3.1-70B", "H100-80GB-SXM");
    plant.n_context_tokens = 2048;
    const struct tw_sizing s = size_of(&plant, &workload, slo);
    struct tw_plant least = plant;
    struct tw_plan_memory memory;
    struct tw_error error;
    least.n_tensor = 2;
    least.n_context_tokens = 1800;
    assert_int_equal(tw_plan_fit(&least, &memory, &error), TW_OK);
    assert_true(s.meets && s.plant.n_tensor > 2);
    tw_workload_free(&workload);
}

static void stages_hold_what_linked_cards_do_not(void **state)
{
    (void)state;
    struct tw_workload workload = plan_workload(1, 500, 50, 500);
    struct tw_plant plant = plan_plant("Llama-3.1-405B", "H100-80GB-SXM"); /* 810 GB */
    plant.n_context_tokens = 2048;
    const struct tw_sizing s = size_of(&plant, &workload, (struct tw_plan_slo){95, 10, 0.5, 0});
    assert_true(s.meets);
    assert_int_equal(s.plant.n_tensor, 8);
    assert_int_equal(s.plant.n_pipeline, 2);
    tw_workload_free(&workload);
}

static void targets_that_nothing_meets_say_so(void **state)
{
    (void)state;
    const struct tw_plant plant = plan_plant("Llama-3.1-8B", "H100-80GB-SXM");
    struct tw_workload workload = plan_workload(5, 800, 150, 300);
    const struct tw_sizing alone =
        size_of(&plant, &workload, (struct tw_plan_slo){95, 0.001, 0, 0});
    assert_false(alone.meets);
    assert_non_null(strstr(alone.why_not, "one request alone is slower"));
    /* Regular requests would do, but some are far longer than the mean. */
    for (uint32_t i = 0; i < 300; i++) {
        workload.requests[i].n_input = i % 15 == 0 ? 30000 : 800;
    }
    const struct tw_sizing loaded = size_of(&plant, &workload, (struct tw_plan_slo){95, 0.1, 0, 0});
    assert_false(loaded.meets);
    assert_non_null(strstr(loaded.why_not, "under any load"));
    tw_workload_free(&workload);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_found_meets_the_targets_and_half_does_not),
        cmocka_unit_test(looser_targets_never_need_more_devices),
        cmocka_unit_test(a_larger_shape_is_taken_where_it_needs_fewer_devices),
        cmocka_unit_test(stages_hold_what_linked_cards_do_not),
        cmocka_unit_test(targets_that_nothing_meets_say_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
