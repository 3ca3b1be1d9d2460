/* Random small workloads and plants, and what the simulator says of them: a JSON object a line.
 *
 *     simulate_cases SEED N_CASES
 *
 * simulation_reference.py computes them again, step by step, from the rules as they are written.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/rng.h"
#include "plan/simulator.h"

enum { MOST_REQUESTS = 60, MOST_BLOCKS = 8 };

static struct tw_error error;
static uint64_t seed, n_drawn;

static void need(enum tw_status status)
{
    if (status != TW_OK) {
        fprintf(stderr, "simulate_cases: %s\n", error.text);
        exit(1);
    }
}

static uint32_t draw(uint32_t from, uint32_t to)
{
    return from + (uint32_t)(tw_rng_uniform(seed, n_drawn++) * (to - from + 1));
}

static bool chance(double p)
{
    return tw_rng_uniform(seed, n_drawn++) < p;
}

static double share(void)
{
    return tw_rng_uniform(seed, n_drawn++);
}

/* Milliseconds a step, and every term of it large enough to be missed. */
static struct tw_step_cost draw_cost(void)
{
    const bool has_window = chance(0.3), has_experts = chance(0.3);
    return (struct tw_step_cost){.fixed_s = 1e-3 * share(),
                                 .overlap = share(),
                                 .row_s = 1e-4 * share(),
                                 .request_s = chance(0.5) ? 2e-3 * share() : 0,
                                 .token_s = 2e-4 * share(),
                                 .activation_s = 1e-5 * share(),
                                 .attended_s = 1e-6 * share(),
                                 .result_s = 1e-4 * share(),
                                 .weights_s = 3e-3 * share(),
                                 .experts_s = has_experts ? 5e-3 * share() : 0,
                                 .expert_share = has_experts ? 0.02 + 0.3 * share() : 0,
                                 .context_s = 1e-5 * share(),
                                 .window_s = has_window ? 1e-5 * share() : 0,
                                 .n_window = has_window ? draw(8, 80) : 0,
                                 .reduce_s = 1e-4 * share(),
                                 .reduce_token_s = 1e-5 * share()};
}

static void draw_workload(struct tw_workload *workload, bool named)
{
    const double rate = 20 + 400 * share();
    uint64_t now_ns = 1000;
    workload->block_tokens = draw(3, 24);
    workload->n_requests = draw(1, MOST_REQUESTS);
    workload->n_blocks = 0;
    for (uint32_t i = 0; i < workload->n_requests; i++) {
        struct tw_plan_request *r = &workload->requests[i];
        *r = (struct tw_plan_request){.arrival_ns = now_ns,
                                      .n_input = draw(1, 120),
                                      .n_output = chance(0.15) ? 1 : draw(1, 60),
                                      .first_block = (uint32_t)workload->n_blocks};
        now_ns += chance(0.3) ? 0 : (uint64_t)(2e9 / rate * share());
        if (named && chance(0.8)) {
            r->n_blocks = draw(1, MOST_BLOCKS);
            const uint32_t family = draw(1, 3), n_common = draw(0, r->n_blocks);
            for (uint32_t b = 0; b < r->n_blocks; b++) {
                const uint64_t place = workload->n_blocks++;
                workload->blocks[place] = b < n_common ? family * 100 + b : 1000 + place;
            }
        }
    }
}

static void print_case(const struct tw_simulation *s, const struct tw_plan_result *result,
                       const struct tw_plan_outcome *outcomes)
{
    const struct tw_plant *p = s->plant;
    const struct tw_step_cost *c = s->cost;
    const struct tw_workload *w = s->workload;
    printf("{\"lanes\": %u, \"stages\": %u, \"page_tokens\": %u, \"step_tokens\": %u, "
           "\"sequences\": %u, \"pages\": %" PRIu64 ", \"ours\": %s, \"prefix_cache\": %s, "
           "\"round_robin\": %s, \"clients\": %u, \"spill\": %" PRIu64 ", \"block_tokens\": %u, ",
           p->n_replicas * p->n_pipeline, p->n_pipeline, p->page_tokens, p->step_tokens,
           p->n_sequences, p->n_kv_tokens / p->page_tokens / p->n_pipeline,
           p->engine->is_ours ? "true" : "false", p->no_prefix_cache ? "false" : "true",
           s->routing == TW_PLAN_ROUND_ROBIN ? "true" : "false", s->n_clients,
           s->spill_waiting_tokens, w->block_tokens);
    printf("\"cost\": {\"fixed\": %.17g, \"overlap\": %.17g, \"row\": %.17g, \"request\": %.17g, "
           "\"token\": %.17g, \"activation\": %.17g, \"attended\": %.17g, \"result\": %.17g, "
           "\"weights\": %.17g, "
           "\"experts\": %.17g, \"expert_share\": %.17g, \"context\": %.17g, \"window\": %.17g, "
           "\"n_window\": %.17g, \"reduce\": %.17g, \"reduce_token\": %.17g}, ",
           c->fixed_s, c->overlap, c->row_s, c->request_s, c->token_s, c->activation_s,
           c->attended_s, c->result_s, c->weights_s, c->experts_s, c->expert_share, c->context_s,
           c->window_s, c->n_window, c->reduce_s, c->reduce_token_s);
    printf("\"steps\": %" PRIu64 ", \"preemptions\": %" PRIu64 ", \"evictions\": %" PRIu64
           ", \"computed\": %" PRIu64 ", \"spilled\": %u, \"refused\": %u, \"requests\": [",
           result->n_steps, result->n_preemptions, result->n_evictions, result->n_computed_tokens,
           result->n_spilled, result->n_refused);
    for (uint32_t i = 0; i < w->n_requests; i++) {
        const struct tw_plan_request *r = &w->requests[i];
        const struct tw_plan_outcome *o = &outcomes[i];
        printf("%s{\"arrival\": %" PRIu64 ", \"input\": %u, \"output\": %u, \"blocks\": [",
               i > 0 ? ", " : "", r->arrival_ns, r->n_input, r->n_output);
        for (uint32_t b = 0; b < r->n_blocks; b++) {
            printf("%s%" PRIu64, b > 0 ? ", " : "", w->blocks[r->first_block + b]);
        }
        printf("], \"ttft\": %.9f, \"tpot\": %.12f, \"latency\": %.9f, \"queue\": %.9f, "
               "\"cached\": %u, \"preempted\": %u, \"replica\": %u}",
               o->ttft_s, o->tpot_s, o->latency_s, o->queue_s, o->n_cached, o->n_preemptions,
               o->replica);
    }
    printf("]}\n");
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: simulate_cases SEED N_CASES\n");
        return 2;
    }
    seed = strtoull(argv[1], NULL, 10);
    const unsigned long n_cases = strtoul(argv[2], NULL, 10);
    struct tw_catalogue *catalogue;
    need(tw_catalogue_open(NULL, 0, &catalogue, &error));
    struct tw_plant plant = {.n_tensor = 1};
    need(tw_catalogue_model(catalogue, "Qwen3-0.6B", &plant.model, &error));
    need(tw_catalogue_device(catalogue, "H100-80GB-SXM", &plant.device, &error));
    need(tw_catalogue_engine(catalogue, "vllm-0.19", &plant.engine, &error));
    plant.weights = plant.kv = tw_number_format_find("bf16");
    plant.n_context_tokens = 16;
    struct tw_workload workload = {
        .requests = tw_mem_zalloc(MOST_REQUESTS, sizeof *workload.requests),
        .blocks = tw_mem_zalloc(MOST_REQUESTS * MOST_BLOCKS, sizeof *workload.blocks)};
    struct tw_plan_outcome outcomes[MOST_REQUESTS];
    for (unsigned long i = 0; i < n_cases; i++) {
        struct tw_plan_engine engine = *plant.engine;
        engine.is_ours = chance(0.5);
        struct tw_plant one = plant;
        one.engine = &engine;
        one.n_replicas = draw(1, 3);
        one.n_pipeline = chance(0.2) ? 2 : 1;
        one.page_tokens = draw(1, 16);
        one.step_tokens = draw(1, 120);
        one.n_sequences = draw(1, 12);
        one.no_prefix_cache = chance(0.3);
        one.n_kv_tokens = (uint64_t)draw(120, chance(0.6) ? 400 : 3000) * one.n_pipeline;
        const struct tw_step_cost cost = draw_cost();
        draw_workload(&workload, chance(0.6));
        const struct tw_simulation simulation = {
            .plant = &one,
            .workload = &workload,
            .routing = chance(0.3) ? TW_PLAN_ROUND_ROBIN : TW_PLAN_LEAST_LOADED,
            .n_clients = chance(0.25) ? draw(1, 12) : 0,
            .spill_waiting_tokens = chance(0.15) ? draw(50, 400) : 0,
            .cost = &cost};
        struct tw_plan_result result;
        need(tw_simulate(&simulation, &result, outcomes, &error));
        print_case(&simulation, &result, outcomes);
    }
    tw_mem_free(workload.requests);
    tw_mem_free(workload.blocks);
    tw_catalogue_free(catalogue);
    return 0;
}
