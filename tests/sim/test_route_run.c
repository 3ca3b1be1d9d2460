/* Four nodes, a trace of conversations, and the router against taking turns: what is found in the
 * nodes' caches, and whether their load stays even. A made trace; and a real one where TW_SHARED
 * names a folder that has it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "route_nodes.h"

enum { N_NODES = 4 };

static struct tw_router *make_router(const struct plant *plant, uint32_t block_tokens)
{
    static const char *const names[] = {"a", "b", "c", "d"};
    const struct tw_route_model model = {.name = "m"};
    struct tw_route_backend backends[N_NODES];
    struct tw_router *router;
    struct tw_router_config config = tw_router_defaults();
    config.index_entries = plant->n_pages;
    config.block_tokens = block_tokens;
    for (int i = 0; i < N_NODES; i++) {
        backends[i] = (struct tw_route_backend){
            .name = names[i], .models = &model, .n_models = 1, .weight = 1};
    }
    const struct tw_route_table table = {.backends = backends, .n_backends = N_NODES};
    assert_int_equal(tw_router_create(&config, &router, NULL), TW_OK);
    assert_int_equal(tw_router_set(router, &table, NULL), TW_OK);
    return router;
}

static void print(const char *name, const struct plant *plant, const struct plant_result *result)
{
    print_message("# %s, %u pages a node: hits %.1f%%, most of a node beside the mean: requests "
                  "%.2f, work %.2f; first token mean %.2f s, p90 %.2f s\n",
                  name, plant->n_pages,
                  100.0 * (double)result->n_hit_tokens / (double)result->n_prompt_tokens,
                  result->most_requests, result->most_work, result->mean_first_s,
                  result->p90_first_s);
}

static void compare(const struct trace *trace, uint32_t n_pages)
{
    const struct plant plant = {
        .n_nodes = N_NODES, .n_pages = n_pages, .token_ns = 70000, .answer_token_ns = 20000000};
    const struct plant_result in_turns = plant_run(&plant, trace, NULL);
    struct tw_router *router = make_router(&plant, trace->block_tokens);
    const struct plant_result routed = plant_run(&plant, trace, router);
    print("in turns", &plant, &in_turns);
    print("routed", &plant, &routed);
    print_message("# %.2f times the hits\n",
                  (double)routed.n_hit_tokens / (double)in_turns.n_hit_tokens);
    for (uint32_t i = 0; i < N_NODES; i++) {
        struct tw_route_standing standing;
        assert_true(tw_router_standing(router, i, 0, &standing));
        assert_int_equal(standing.n_in_flight, 0);
        assert_int_equal(standing.backlog_tokens, 0);
    }
    tw_router_free(router);
    assert_true((double)routed.n_hit_tokens >= 1.8 * (double)in_turns.n_hit_tokens);
    assert_true(routed.most_work <= 1.15);
    assert_true(routed.most_requests <= 1.15);
    assert_true(routed.mean_first_s < in_turns.mean_first_s);
}

static void conversations_go_where_they_were_and_the_load_stays_even(void **state)
{
    (void)state;
    struct trace trace = trace_make(11, 1200);
    compare(&trace, 4000);
    trace_free(&trace);
}

static void a_real_trace_of_conversations_finds_nearly_twice_as_much(void **state)
{
    (void)state;
    char path[512];
    const char *shared = getenv("TW_SHARED");
    (void)snprintf(path, sizeof path, "%s/plan-data/traces/mooncake_conversation_trace.jsonl",
                   shared != NULL ? shared : "");
    struct trace trace = trace_load(path);
    if (trace.n == 0) {
        trace_free(&trace);
        print_message("# not tested: TW_SHARED has no trace\n");
        return; /* cmocka's skip() is a failure for meson */
    }
    compare(&trace, 4000);
    trace_free(&trace);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conversations_go_where_they_were_and_the_load_stays_even),
        cmocka_unit_test(a_real_trace_of_conversations_finds_nearly_twice_as_much),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
