#include "plan_fixture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"

/* ---- exactness ---- */

struct exactness {
    const char *model;
    double rate;
    uint32_t n_input, n_output, n_kv_tokens, n_clients, n_replicas, n_pipeline, page_tokens;
    uint32_t n_prefixes, spill;
};

static struct tw_workload exactness_workload(const struct exactness *c, uint32_t n)
{
    struct tw_workload workload;
    struct tw_error error;
    const struct tw_use_case use = {
        .rate_requests_s = c->rate,
        .arrivals = TW_ARRIVAL_GAMMA,
        .arrival_cv = 1,
        .input = {TW_LENGTH_LOGNORMAL, c->n_input, 0.6, 1, 2000},
        .output = {TW_LENGTH_LOGNORMAL, c->n_output, 0.8, 1, 400},
        .prefix_tokens = c->n_prefixes > 0 ? c->n_input / 2 : 0,
        .n_prefixes = c->n_prefixes,
    };
    assert_int_equal(tw_workload_make(&use, 1, n, 7, &workload, &error), TW_OK);
    return workload;
}

/* All that a result and each outcome has, to the last bit. */
static void stretches_give_the_same_result_to_the_last_bit(void **state)
{
    (void)state;
    static const struct exactness cases[] = {
        {.model = "Llama-3.1-8B", .rate = 20, .n_input = 700, .n_output = 90},
        {"Llama-3.1-8B", 50, 900, 200, .n_kv_tokens = 12000}, /* preemptions */
        {"Llama-3.1-8B", 40, 600, 100, .n_kv_tokens = 9000, .n_prefixes = 3} /* evictions, too */,
        {"Llama-3.1-8B", 60, 300, 60, .page_tokens = 1},
        {"Llama-3.1-8B", 90, 900, 60, .n_replicas = 2, .spill = 1500},
        {"gpt-oss-20b", 20, 700, 90, .n_replicas = 2}, /* windows that are full */
        {.model = "gpt-oss-20b",
         .rate = 30,
         .n_input = 60,
         .n_output = 120}, /* and that are reached on the way */
        {"Llama-3.1-8B", 20, 300, 150, .n_clients = 24, .n_replicas = 2, .n_pipeline = 2}};
    enum { N = 400 };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct exactness *c = &cases[i];
        struct tw_plant plant = plan_plant(c->model, "H100-80GB-SXM");
        plant.n_replicas = c->n_replicas > 0 ? c->n_replicas : 1;
        plant.n_pipeline = c->n_pipeline > 0 ? c->n_pipeline : 1;
        plant.n_kv_tokens = c->n_kv_tokens;
        plant.page_tokens = c->page_tokens;
        plant.n_context_tokens = 2400;
        struct tw_workload workload = exactness_workload(c, N);
        struct tw_simulation simulation = {.plant = &plant,
                                           .workload = &workload,
                                           .n_clients = c->n_clients,
                                           .spill_waiting_tokens = c->spill};
        struct tw_plan_outcome fast[N] = {0}, slow[N] = {0};
        struct tw_plan_result a = plan_simulate(&simulation, fast);
        simulation.step_by_step = true;
        const struct tw_plan_result b = plan_simulate(&simulation, slow);
        assert_true(a.n_advanced_steps > 200 && b.n_advanced_steps == 0);
        assert_true(c->n_kv_tokens == 0 || a.n_preemptions > 0);
        assert_true(c->n_prefixes == 0 || (a.cached_tokens > 0 && a.n_evictions > 0));
        assert_true(c->spill == 0 || a.n_spilled > 0);
        a.n_advanced_steps = 0;
        assert_memory_equal(&a, &b, sizeof a);
        assert_memory_equal(fast, slow, sizeof fast);
        tw_workload_free(&workload);
    }
}

/* Where prompts fit in one step, what is planned alone is the step that reads each. */
static void all_but_the_steps_that_read_prompts_is_passed_in_stretches(void **state)
{
    (void)state;
    struct tw_plant plant = plan_plant("Llama-3.1-8B", "H100-80GB-SXM");
    struct tw_workload workload = plan_workload(40, 512, 16, 5000);
    const struct tw_simulation simulation = {.plant = &plant, .workload = &workload};
    const struct tw_plan_result r = plan_simulate(&simulation, NULL);
    assert_true(r.n_advanced_steps > 5000);
    assert_true(r.n_steps - r.n_advanced_steps <= 5000);
    tw_workload_free(&workload);
}

static void nothing_is_lost_and_every_token_is_computed_once(void **state)
{
    (void)state;
    struct tw_plant plant = plan_plant("Llama-3.1-8B", "H100-80GB-SXM");
    struct tw_workload workload = plan_workload(30, 500, 60, 1000);
    const struct tw_simulation simulation = {.plant = &plant, .workload = &workload};
    const struct tw_plan_result r = plan_simulate(&simulation, NULL);
    assert_int_equal(r.n_completed + r.n_spilled + r.n_refused, 1000);
    assert_int_equal(r.n_preemptions, 0);
    /* The last token of an answer is given and not computed. */
    assert_int_equal(r.n_computed_tokens, 1000 * (500 + 60 - 1));
    assert_true(r.output_tokens == 60000);
    tw_workload_free(&workload);
}

static void shared_beginnings_are_computed_once(void **state)
{
    (void)state;
    struct tw_workload workload;
    struct tw_error error;
    const struct tw_use_case use = {.rate_requests_s = 5,
                                    .arrivals = TW_ARRIVAL_GAMMA,
                                    .arrival_cv = 1,
                                    .input = {.mean_tokens = 1200},
                                    .output = {.mean_tokens = 20},
                                    .prefix_tokens = 1024,
                                    .n_prefixes = 4};
    assert_int_equal(tw_workload_make(&use, 1, 400, 1, &workload, &error), TW_OK);
    struct tw_plant plant = plan_plant("Llama-3.1-8B", "H100-80GB-SXM");
    struct tw_simulation simulation = {.plant = &plant, .workload = &workload};
    const struct tw_plan_result hits = plan_simulate(&simulation, NULL);
    assert_true(hits.cached_tokens == 396 * 1024.0);
    plant.no_prefix_cache = true;
    const struct tw_plan_result without = plan_simulate(&simulation, NULL);
    assert_true(without.cached_tokens == 0);
    assert_true(without.ttft_s.mean > hits.ttft_s.mean);
    tw_workload_free(&workload);
}

/* ---- queues whose answers are known ---- */

/* A server that gives every text a token a millisecond, to so many at once: with one-token prompts
 * a request is served for as many milliseconds as it has tokens. */
static struct tw_plan_result queue_of(uint32_t n_servers, double rate, bool exponential,
                                      uint32_t n_requests, struct tw_plan_outcome *outcomes)
{
    struct tw_plant plant = plan_plant("Qwen3-0.6B", "H100-80GB-SXM");
    plant.n_sequences = n_servers;
    plant.step_tokens = 100000;
    struct tw_step_cost cost = {.fixed_s = 1e-3};
    struct tw_workload workload = plan_workload(rate, 1, 100, n_requests);
    for (uint32_t i = 0; i < n_requests && exponential; i++) {
        const double n = -100 * log(1 - tw_rng_uniform(99, i));
        workload.requests[i].n_output = n < 1 ? 1 : n > 8000 ? 8000 : (uint32_t)(n + 0.5);
    }
    const struct tw_simulation simulation = {.plant = &plant, .workload = &workload, .cost = &cost};
    const struct tw_plan_result r = plan_simulate(&simulation, outcomes);
    tw_workload_free(&workload);
    return r;
}

static double erlang_c(uint32_t c, double load)
{
    double term = 1, sum = 1;
    for (uint32_t k = 1; k < c; k++) {
        term *= load / k;
        sum += term;
    }
    const double last = term * load / c / (1 - load / c);
    return last / (sum + last);
}

static void queues_wait_as_long_as_theory_says(void **state)
{
    (void)state;
    enum { N = 200000 };
    const double service = 0.1, busy = 0.7;
    const double m_m_1 = busy / (1 - busy) * service;
    struct tw_plan_result r = queue_of(1, busy / service, true, N, NULL);
    assert_true(fabs(r.queue_s.mean / m_m_1 - 1) < 0.05);
    r = queue_of(1, busy / service, false, N, NULL);
    assert_true(fabs(r.queue_s.mean / (m_m_1 / 2) - 1) < 0.05);
    r = queue_of(4, 4 * busy / service, true, N, NULL);
    const double m_m_4 = erlang_c(4, 4 * busy) * service / (4 * (1 - busy));
    assert_true(fabs(r.queue_s.mean / m_m_4 - 1) < 0.06);
}

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Little's law: how many are there on average, counted over time by a sweep over arrivals and ends,
 * is the rate times how long one stays. */
static void as_many_are_there_as_come_times_how_long_they_stay(void **state)
{
    (void)state;
    enum { N = 20000 };
    struct tw_plan_outcome *outcomes = tw_mem_alloc(N, sizeof *outcomes);
    double *starts = tw_mem_alloc(N, sizeof *starts), *ends = tw_mem_alloc(N, sizeof *ends);
    struct tw_workload workload = plan_workload(7, 1, 100, N);
    const struct tw_plan_result r = queue_of(1, 7, true, N, outcomes);
    for (uint32_t i = 0; i < N; i++) {
        starts[i] = (double)workload.requests[i].arrival_ns / 1e9;
        ends[i] = starts[i] + outcomes[i].latency_s;
    }
    qsort(ends, N, sizeof *ends, compare_doubles);
    double area = 0, at = starts[0];
    for (uint32_t s = 0, e = 0, n = 0; e < N;) {
        const bool comes = s < N && starts[s] <= ends[e];
        const double now = comes ? starts[s++] : ends[e++];
        area += n * (now - at);
        n = comes ? n + 1 : n - 1;
        at = now;
    }
    assert_true(fabs(area / r.duration_s / r.in_system_mean - 1) < 1e-6);
    assert_true(fabs(r.in_system_mean / (r.requests_s * r.latency_s.mean) - 1) < 1e-6);
    tw_workload_free(&workload);
    tw_mem_free(outcomes);
    tw_mem_free(starts);
    tw_mem_free(ends);
}

/* ---- monotonicity ---- */

static void more_replicas_and_less_load_are_never_slower(void **state)
{
    (void)state;
    struct tw_plant plant = plan_plant("Llama-3.1-8B", "L40S");
    struct tw_workload workload = plan_workload(12, 600, 120, 2000);
    double last = 1e9;
    for (plant.n_replicas = 1; plant.n_replicas <= 16; plant.n_replicas *= 2) {
        struct tw_simulation simulation = {.plant = &plant, .workload = &workload};
        const double mean = plan_simulate(&simulation, NULL).latency_s.mean;
        assert_true(mean < last);
        last = mean;
        simulation.rate_factor = 0.5;
        assert_true(plan_simulate(&simulation, NULL).latency_s.mean < mean);
    }
    tw_workload_free(&workload);
}

static void what_would_wait_too_long_goes_elsewhere(void **state)
{
    (void)state;
    struct tw_plant plant = plan_plant("Llama-3.1-8B", "L40S");
    struct tw_workload workload = plan_workload(40, 1500, 100, 2000);
    struct tw_simulation simulation = {.plant = &plant, .workload = &workload};
    const struct tw_plan_result all = plan_simulate(&simulation, NULL);
    simulation.spill_waiting_tokens = 4000;
    const struct tw_plan_result some = plan_simulate(&simulation, NULL);
    assert_int_equal(all.n_spilled, 0);
    assert_true(some.n_spilled > 200);
    assert_int_equal(some.n_completed + some.n_spilled, 2000);
    assert_true(some.spilled_input_tokens == some.n_spilled * 1500.0);
    assert_true(some.ttft_s.p99 < all.ttft_s.p99 / 4);
    tw_workload_free(&workload);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stretches_give_the_same_result_to_the_last_bit),
        cmocka_unit_test(all_but_the_steps_that_read_prompts_is_passed_in_stretches),
        cmocka_unit_test(nothing_is_lost_and_every_token_is_computed_once),
        cmocka_unit_test(shared_beginnings_are_computed_once),
        cmocka_unit_test(queues_wait_as_long_as_theory_says),
        cmocka_unit_test(as_many_are_there_as_come_times_how_long_they_stay),
        cmocka_unit_test(more_replicas_and_less_load_are_never_slower),
        cmocka_unit_test(what_would_wait_too_long_goes_elsewhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
