/* Random tables, requests, failures, canaries, reloads and loads: whatever happens, no attempt goes
 * to a zone that its request may not enter, or to less trust than its first choice had. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "base/rng.h"
#include "route/router.h"

enum { N_TABLES = 400, N_STEPS = 400, MOST_BACKENDS = 12, MOST_MODELS = 4, N_RIDES = 32 };

struct world {
    uint64_t seed, n_draws;
    int64_t now_ns;
    struct tw_router *router;
    struct tw_route_backend backends[MOST_BACKENDS];
    struct tw_route_model models[MOST_BACKENDS][MOST_MODELS];
    char names[MOST_BACKENDS][8];
    size_t n_backends;
    struct tw_route_ride rides[N_RIDES];
    uint32_t n_rides;
    uint64_t n_chosen, n_retries, n_canaries;
};

static const char *const model_names[MOST_MODELS] = {"m0", "m1", "m2", "m3"};
static uint32_t draw(struct world *world, uint32_t below)
{
    uint32_t words[4];
    tw_rng_block(world->seed, world->n_draws++, words);
    return words[0] % below;
}

/* Zones and trust change as well: what counts is the table at the time of the choice. */
static void new_table(struct world *world)
{
    world->n_backends = 1 + draw(world, MOST_BACKENDS);
    for (size_t i = 0; i < world->n_backends; i++) {
        const uint32_t n_models = 1 + draw(world, MOST_MODELS);
        for (uint32_t m = 0; m < n_models; m++) {
            world->models[i][m] = (struct tw_route_model){
                .name = model_names[(m + i) % MOST_MODELS],
                .context_tokens = draw(world, 2) * 3000,
                .abilities = draw(world, 32),
                .prices = {draw(world, 3) * 100, draw(world, 2) * 10, draw(world, 3) * 100}};
        }
        snprintf(world->names[i], sizeof world->names[i], "b%zu", i);
        world->backends[i] = (struct tw_route_backend){
            .name = world->names[i],
            .zone = draw(world, 5),
            .models = world->models[i],
            .n_models = n_models,
            .group = draw(world, 3),
            .rank = draw(world, 3),
            .weight = 1 + draw(world, 4),
            .canary_per_mille = draw(world, 4) == 0 ? draw(world, 1001) : 0,
            .most_in_flight = draw(world, 3) == 0 ? 1 + draw(world, 3) : 0,
            .is_draining = draw(world, 10) == 0};
    }
    const struct tw_route_table table = {.backends = world->backends,
                                         .n_backends = world->n_backends};
    assert_int_equal(tw_router_set(world->router, &table, NULL), TW_OK);
}

static const struct tw_route_backend *config_of(const struct world *world, const char *name)
{
    for (size_t i = 0; i < world->n_backends; i++) {
        if (world->names[i][1] == name[1] && world->names[i][2] == name[2]) {
            return &world->backends[i];
        }
    }
    return NULL;
}

static uint32_t abilities_of(const struct tw_route_backend *backend, const char *model)
{
    for (size_t i = 0; i < backend->n_models; i++) {
        if (backend->models[i].name[1] == model[1]) {
            return backend->models[i].abilities;
        }
    }
    fail();
    return 0;
}

/* Of those that could be chosen if all were well, canaries aside: none has less than the first
 * choice has, or that one was better. What a trip must hold is at least the least of them. */
static uint32_t least_trust(const struct world *world, const struct tw_route_request *request)
{
    uint32_t least = UINT32_MAX;
    for (size_t i = 0; i < world->n_backends; i++) {
        const uint32_t zone = world->backends[i].zone;
        if ((request->zones >> zone & 1) != 0 && request->zone_trusts[zone] < least) {
            least = request->zone_trusts[zone];
        }
    }
    return least;
}

static void end_one(struct world *world)
{
    if (world->n_rides == 0) {
        return;
    }
    const uint32_t at = draw(world, world->n_rides);
    if (draw(world, 2) == 0) {
        tw_router_first(world->router, &world->rides[at], world->now_ns);
    }
    tw_router_end(world->router, &world->rides[at], (enum tw_outcome)draw(world, 3), world->now_ns);
    world->rides[at] = world->rides[--world->n_rides];
}

/* A request until it succeeds or nobody is left, with reloads between its attempts. */
static void ask(struct world *world)
{
    uint64_t hashes[8];
    uint32_t trusts[TW_LIMIT_ROUTE_ZONES] = {0};
    struct tw_route_trip trip = {0};
    uint32_t first_trust = 0, n_attempts = 0;
    for (uint32_t i = 0; i < 5; i++) {
        trusts[i] = draw(world, 4);
    }
    for (uint32_t i = 0; i < 8; i++) {
        hashes[i] = (uint64_t)draw(world, 3) << 8 | i;
    }
    const struct tw_route_request request = {.model = model_names[draw(world, MOST_MODELS)],
                                             .abilities =
                                                 draw(world, 3) == 0 ? 1u << draw(world, 5) : 0,
                                             .n_prompt_tokens = draw(world, 4000),
                                             .n_answer_tokens = draw(world, 500),
                                             .n_text_tokens = draw(world, 4000),
                                             .hashes = hashes,
                                             .n_hashes = draw(world, 9),
                                             .zones = draw(world, 32),
                                             .zone_trusts = trusts,
                                             .hash = draw(world, UINT32_MAX),
                                             .pick = (enum tw_route_pick)draw(world, 4)};
    struct tw_route_choice choice;
    while (tw_router_choose(world->router, &request, &trip, world->now_ns, &choice) ==
           TW_ROUTE_FOUND) {
        const struct tw_route_backend *backend = config_of(world, choice.backend_name);
        assert_non_null(backend);
        assert_true((request.zones >> backend->zone & 1) != 0);
        assert_true(backend->zone == choice.zone);
        assert_true((request.abilities & ~abilities_of(backend, request.model)) == 0);
        assert_false(backend->is_draining);
        if (n_attempts == 0) {
            first_trust = choice.least_trust;
            assert_true(choice.is_canary ? trusts[choice.zone] >= first_trust
                                         : trusts[choice.zone] == first_trust);
            assert_true(first_trust >= least_trust(world, &request));
        }
        assert_int_equal(choice.least_trust, first_trust);
        assert_true(trusts[backend->zone] >= first_trust);
        world->n_chosen++;
        world->n_retries += n_attempts > 0;
        world->n_canaries += choice.is_canary;
        assert_true(++n_attempts <= TW_LIMIT_ROUTE_BACKENDS);
        struct tw_route_ride ride =
            tw_router_begin(world->router, &request, &choice, &trip, world->now_ns);
        world->now_ns += draw(world, 1000) * 100000;
        if (draw(world, 2) == 0 && world->n_rides < N_RIDES) {
            world->rides[world->n_rides++] = ride;
            return;
        }
        tw_router_end(world->router, &ride, TW_OUTCOME_FAILURE, world->now_ns);
        if (draw(world, 20) == 0) {
            new_table(world);
        }
    }
}

static void step(struct world *world)
{
    const uint32_t what = draw(world, 12);
    world->now_ns += draw(world, 1000) * 1000000;
    if (what < 7) {
        ask(world);
    } else if (what < 9) {
        end_one(world);
    } else if (what < 11) {
        const struct tw_route_load load = {.is_alive = draw(world, 4) != 0,
                                           .has_load = draw(world, 2) == 0,
                                           .n_waiting = draw(world, 9),
                                           .kv_share = draw(world, 100) / 100.0};
        tw_router_load(world->router, draw(world, MOST_BACKENDS + 1), &load, world->now_ns);
    } else if (draw(world, 4) == 0) {
        new_table(world);
    }
}

static void no_attempt_leaves_its_zones_or_falls_in_trust(void **state)
{
    (void)state;
    struct world world = {0};
    for (uint64_t t = 0; t < N_TABLES; t++) {
        struct tw_router_config config = tw_router_defaults();
        config.index_entries = 32;
        config.seed = t;
        world.seed = 1000 + t;
        assert_int_equal(tw_router_create(&config, &world.router, NULL), TW_OK);
        new_table(&world);
        for (int i = 0; i < N_STEPS; i++) {
            step(&world);
        }
        while (world.n_rides > 0) {
            end_one(&world);
        }
        for (uint32_t i = 0; i < TW_LIMIT_ROUTE_BACKENDS; i++) {
            struct tw_route_standing standing;
            if (tw_router_standing(world.router, i, world.now_ns, &standing)) {
                assert_true(standing.is_listed);
                assert_int_equal(standing.n_in_flight + standing.backlog_tokens, 0);
            }
        }
        tw_router_free(world.router);
    }
    print_message("# %llu attempts, of which %llu retries, %llu canaries\n",
                  (unsigned long long)world.n_chosen, (unsigned long long)world.n_retries,
                  (unsigned long long)world.n_canaries);
    assert_true(world.n_retries > 1000 && world.n_canaries > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_attempt_leaves_its_zones_or_falls_in_trust),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
