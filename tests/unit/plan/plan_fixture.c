#include "plan_fixture.h"

static struct tw_catalogue *catalogue;
static struct tw_error error;

const struct tw_catalogue *plan_catalogue(void)
{
    if (catalogue == NULL) {
        assert_int_equal(tw_catalogue_open(NULL, 0, &catalogue, &error), TW_OK);
    }
    return catalogue;
}

struct tw_plant plan_plant(const char *model, const char *device)
{
    const struct tw_catalogue *c = plan_catalogue();
    struct tw_plant plant = {
        .n_tensor = 1, .n_pipeline = 1, .n_replicas = 1, .n_context_tokens = 8192};
    assert_int_equal(tw_catalogue_model(c, model, &plant.model, &error), TW_OK);
    assert_int_equal(tw_catalogue_device(c, device, &plant.device, &error), TW_OK);
    assert_int_equal(tw_catalogue_engine(c, "vllm-0.19", &plant.engine, &error), TW_OK);
    plant.weights = tw_number_format_find("bf16");
    plant.kv = tw_number_format_find("bf16");
    return plant;
}

struct tw_workload plan_workload(double rate_requests_s, uint32_t n_input, uint32_t n_output,
                                 uint32_t n_requests)
{
    struct tw_workload workload;
    const struct tw_use_case use = {.rate_requests_s = rate_requests_s,
                                    .arrivals = TW_ARRIVAL_GAMMA,
                                    .arrival_cv = 1,
                                    .input = {.mean_tokens = n_input},
                                    .output = {.mean_tokens = n_output}};
    assert_int_equal(tw_workload_make(&use, 1, n_requests, 1, &workload, &error), TW_OK);
    return workload;
}

struct tw_plan_result plan_simulate(const struct tw_simulation *simulation,
                                    struct tw_plan_outcome *outcomes)
{
    struct tw_plan_result result;
    assert_int_equal(tw_simulate(simulation, &result, outcomes, &error), TW_OK);
    return result;
}
