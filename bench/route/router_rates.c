/* What a choice of a backend costs: time for one, with its beginning and its end.
 *
 *     router_rates
 *
 * One CSV row for each number of backends and of blocks of a prompt: nanoseconds for a choice, its
 * beginning, its first token and its end, every backend having a beginning of the prompt; and
 * beside it those of hashing the prompt's blocks, 256 bytes each.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "route/prefix_index.h"
#include "route/router.h"

enum { ROUNDS = 2000, BLOCK_BYTES = 256, MOST_BACKENDS = 64 };

static struct tw_router *make(uint32_t n)
{
    static const struct tw_route_model model = {.name = "m"};
    static char names[MOST_BACKENDS][8];
    struct tw_route_backend backends[MOST_BACKENDS];
    struct tw_router_config config = tw_router_defaults();
    struct tw_router *router = NULL;
    for (uint32_t i = 0; i < n; i++) {
        (void)snprintf(names[i], sizeof names[i], "b%u", i);
        backends[i] = (struct tw_route_backend){
            .name = names[i], .models = &model, .n_models = 1, .weight = 1};
    }
    const struct tw_route_table table = {.backends = backends, .n_backends = n};
    struct tw_error error;
    if (tw_router_create(&config, &router, &error) != TW_OK ||
        tw_router_set(router, &table, &error) != TW_OK) {
        fprintf(stderr, "router_rates: %s\n", error.text);
        exit(1);
    }
    return router;
}

static void measure(uint32_t n_backends, uint32_t n_blocks)
{
    static uint64_t hashes[TW_LIMIT_ROUTE_BLOCKS];
    struct tw_router *router = make(n_backends);
    char *text = tw_mem_zalloc(n_blocks, BLOCK_BYTES);
    if (text == NULL) {
        exit(1);
    }
    int64_t hash_ns = 0, route_ns = 0;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        memcpy(text + (size_t)(i % n_blocks) * BLOCK_BYTES, &i, sizeof i);
        const int64_t begin_ns = tw_clock_monotonic_ns();
        const uint32_t n = tw_prefix_hashes(text, (size_t)n_blocks * BLOCK_BYTES, BLOCK_BYTES, 1,
                                            hashes, TW_LIMIT_ROUTE_BLOCKS);
        const int64_t hashed_ns = tw_clock_monotonic_ns();
        const struct tw_route_request request = {.model = "m",
                                                 .n_prompt_tokens = (uint64_t)n_blocks * 64,
                                                 .n_answer_tokens = 500,
                                                 .hashes = hashes,
                                                 .n_hashes = n,
                                                 .zones = 1,
                                                 .hash = i};
        struct tw_route_trip trip = {0};
        struct tw_route_choice choice;
        if (tw_router_choose(router, &request, &trip, begin_ns, &choice) != TW_ROUTE_FOUND) {
            exit(1);
        }
        struct tw_route_ride ride = tw_router_begin(router, &request, &choice, &trip, begin_ns);
        tw_router_first(router, &ride, begin_ns + 1000000);
        tw_router_end(router, &ride, TW_OUTCOME_SUCCESS, begin_ns + 2000000);
        route_ns += tw_clock_monotonic_ns() - hashed_ns;
        hash_ns += hashed_ns - begin_ns;
    }
    printf("%u,%u,%.0f,%.0f\n", n_backends, n_blocks, (double)route_ns / ROUNDS,
           (double)hash_ns / ROUNDS);
    tw_mem_free(text);
    tw_router_free(router);
}

int main(void)
{
    static const uint32_t counts[] = {4, 16, MOST_BACKENDS}, blocks[] = {16, 200, 1600};
    printf("backends,blocks,route_ns,hash_ns\n");
    for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
        for (size_t b = 0; b < sizeof blocks / sizeof blocks[0]; b++) {
            measure(counts[c], blocks[b]);
        }
    }
    return 0;
}
