/* Any bytes as a scenario: one whose numbers keep their bounds, or a reason. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "fuzz_target.h"
#include "plan/scenario.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tw_scenario *scenario = NULL;
    struct tw_error error = {0};
    if (tw_scenario_read((const char *)data, size, "s.yaml", &scenario, &error) != TW_OK) {
        assert(scenario == NULL && error.text[0] != '\0');
        return 0;
    }
    double peak = 0;
    assert(scenario->n_models >= 1 && scenario->n_models <= TW_LIMIT_PLAN_MODELS);
    for (uint32_t i = 0; i < scenario->n_models; i++) {
        const struct tw_plan_slo *slo = &scenario->models[i].slo;
        assert(scenario->models[i].name != NULL && slo->percentile > 0 && slo->percentile <= 100);
        assert(slo->ttft_s > 0 || slo->tpot_s > 0 || slo->latency_s > 0);
    }
    assert(scenario->n_months >= 1 && scenario->n_months <= TW_LIMIT_PLAN_MONTHS);
    assert(scenario->n_classes >= 1 && scenario->n_places >= 1);
    for (int i = 0; i < TW_COST_INPUTS; i++) {
        const struct tw_range r = scenario->ranges[i];
        assert(isfinite(r.low) && isfinite(r.high) && r.low <= r.typical && r.typical <= r.high);
        assert(r.low >= tw_cost_input_rows[i].least && r.high <= tw_cost_input_rows[i].most);
    }
    for (uint32_t i = 0; i < scenario->demand.n_classes; i++) {
        peak = fmax(peak, scenario->demand.load[i]);
    }
    assert(peak == 1);
    for (uint32_t i = 0; i < scenario->n_cases; i++) {
        assert(scenario->cases[i].rate_requests_s > 0 &&
               isfinite(scenario->cases[i].rate_requests_s));
        assert(scenario->case_classes[i] < scenario->n_classes);
        assert(scenario->case_models[i] < scenario->n_models);
    }
    tw_scenario_free(scenario);
    return 0;
}
