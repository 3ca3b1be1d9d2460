/* Several models through a long random life: requests come, are cancelled, pause and end, models
 * are loaded (some in vain), make room and come back. Whatever happens, memory stays within its
 * bound, nothing is lost or counted twice, nobody waits for ever, and tenants who are busy stay
 * near to each other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"
#include "sched/arbiter.h"

enum {
    N_MODELS = 6,
    N_TENANTS = 5, /* the last one idle */
    N_REQUESTS_MOST = 48,
    N_ROWS = 4, /* of a step */
    N_TOKENS_MOST = 60,
    N_ROUNDS = 400000,
    MEMORY = 100,
    CACHE = 45,
    PATIENCE_NS = 2000,
    STEP_NS = 10,
    LOAD_NS = 300
};

/* With at most 48 requests of 60 tokens, loads of 300 ns and a patience of 2000. */
#define AGE_MOST_NS 120000

struct request {
    bool exists, runs, paused;
    uint32_t model, tenant, n_tokens;
    int64_t since_ns; /* arrived, or got its last token, or was resumed */
};

struct world {
    struct tw_fair_share *share;
    struct tw_arbiter *arbiter;
    struct request requests[N_REQUESTS_MOST];
    uint64_t weights[N_MODELS], caches[N_MODELS];
    enum tw_arbiter_state states[N_MODELS];
    int64_t ready_ns[N_MODELS]; /* when it is loaded, or has left */
    int64_t now_ns;
    uint64_t n_draws, n_arrived, n_ended, n_cancelled, n_failed, n_loads, n_left;
    int64_t oldest_ns;
};

static uint32_t draw(struct world *world, uint32_t below)
{
    uint32_t words[4];
    tw_rng_block(21, world->n_draws++, words);
    return words[0] % below;
}

static void depart(struct world *world, struct request *request)
{
    if (request->paused) {
        tw_arbiter_resume(world->arbiter, request->model, request->tenant);
    }
    if (request->runs && !request->paused) {
        tw_fair_share_leave(world->share, request->tenant);
    }
    tw_arbiter_depart(world->arbiter, request->model, request->tenant, request->runs,
                      world->now_ns);
    request->exists = false;
}

/* Most want the favourite, where there is one. */
static void arrive(struct world *world, bool has_favourite)
{
    for (int i = 0; i < N_REQUESTS_MOST; i++) {
        struct request *request = &world->requests[i];
        if (!request->exists) {
            *request = (struct request){
                .exists = true,
                .model = has_favourite && draw(world, 8) != 0 ? 5 : draw(world, N_MODELS),
                .tenant = draw(world, N_TENANTS),
                .n_tokens = 1 + draw(world, N_TOKENS_MOST),
                .since_ns = world->now_ns};
            assert_true(
                tw_arbiter_arrive(world->arbiter, request->model, request->tenant, world->now_ns));
            world->n_arrived++;
            return;
        }
    }
}

static void disturb(struct world *world)
{
    struct request *request = &world->requests[draw(world, N_REQUESTS_MOST)];
    if (!request->exists) {
        return;
    }
    if (draw(world, 12) == 0) {
        depart(world, request);
        world->n_cancelled++;
    } else if (request->runs && request->paused) {
        request->paused = false;
        request->since_ns = world->now_ns;
        tw_arbiter_resume(world->arbiter, request->model, request->tenant);
        tw_fair_share_enter(world->share, request->tenant);
    } else if (request->runs) {
        request->paused = true;
        tw_arbiter_pause(world->arbiter, request->model, request->tenant);
        tw_fair_share_leave(world->share, request->tenant);
    }
}

/* ---- memory ---- */

static void finish_load(struct world *world, uint32_t model)
{
    const bool ok = draw(world, 20) != 0;
    for (int i = 0; i < N_REQUESTS_MOST; i++) {
        if (!ok && world->requests[i].exists && world->requests[i].model == model) {
            depart(world, &world->requests[i]);
            world->n_failed++;
        }
    }
    tw_arbiter_loaded(world->arbiter, model, ok, world->now_ns);
    world->n_loads += ok;
}

static void move_models(struct world *world)
{
    uint32_t model;
    for (uint32_t i = 0; i < N_MODELS; i++) {
        const enum tw_arbiter_state state = tw_arbiter_state(world->arbiter, i);
        if (state == TW_MODEL_LOADING && world->now_ns >= world->ready_ns[i]) {
            finish_load(world, i);
        } else if (state == TW_MODEL_LEAVING && world->now_ns >= world->ready_ns[i]) {
            tw_arbiter_left(world->arbiter, i, world->now_ns);
            world->n_left++;
        }
    }
    while (tw_arbiter_move(world->arbiter, world->now_ns, &model)) {
        const bool loads = tw_arbiter_state(world->arbiter, model) == TW_MODEL_LOADING;
        world->ready_ns[model] =
            world->now_ns + (loads ? 1 + draw(world, LOAD_NS) : draw(world, 9));
    }
}

static void check(const struct world *world)
{
    const struct tw_arbiter_usage usage = tw_arbiter_usage(world->arbiter);
    uint64_t memory = 0, cache = 0;
    uint32_t n_loading = 0, n_waiting = 0, n_running = 0;
    for (uint32_t i = 0; i < N_MODELS; i++) {
        const enum tw_arbiter_state state = tw_arbiter_state(world->arbiter, i);
        memory += state != TW_MODEL_AWAY ? world->weights[i] + world->caches[i] : 0;
        cache += state != TW_MODEL_AWAY ? world->caches[i] : 0;
        n_loading += state == TW_MODEL_LOADING;
    }
    for (int i = 0; i < N_REQUESTS_MOST; i++) {
        const struct request *request = &world->requests[i];
        n_waiting += request->exists && !request->runs;
        n_running += request->exists && request->runs;
        assert_true(!request->exists || !request->runs ||
                    tw_arbiter_state(world->arbiter, request->model) == TW_MODEL_LOADED);
    }
    assert_true(memory <= MEMORY && cache <= CACHE && n_loading <= 1);
    assert_true(usage.memory_bytes == memory && usage.cache_bytes == cache);
    assert_true(usage.n_waiting == n_waiting && usage.n_running == n_running);
}

/* ---- steps ---- */

static void begin_all(struct world *world, uint32_t model)
{
    for (int i = 0; i < N_REQUESTS_MOST && tw_arbiter_may_begin(world->arbiter, model); i++) {
        struct request *request = &world->requests[i];
        if (request->exists && !request->runs && request->model == model) {
            request->runs = true;
            tw_arbiter_begin(world->arbiter, model, world->now_ns);
            tw_fair_share_enter(world->share, request->tenant);
        }
    }
}

/* Of the tenant who comes first the one that has waited longest. */
static struct request *choose(struct world *world, uint32_t model, int64_t before_ns)
{
    struct request *best = NULL;
    for (int i = 0; i < N_REQUESTS_MOST; i++) {
        struct request *one = &world->requests[i];
        if (!one->exists || !one->runs || one->paused || one->model != model ||
            one->since_ns >= before_ns) {
            continue;
        }
        if (best == NULL || (one->tenant != best->tenant
                                 ? tw_fair_share_before(world->share, one->tenant, best->tenant)
                                 : one->since_ns < best->since_ns)) {
            best = one;
        }
    }
    return best;
}

static void compute(struct world *world, uint32_t model)
{
    begin_all(world, model);
    const int64_t begin_ns = world->now_ns;
    world->now_ns += STEP_NS;
    for (int row = 0; row < N_ROWS; row++) {
        struct request *request = choose(world, model, world->now_ns);
        if (request == NULL) {
            break;
        }
        tw_fair_share_charge(world->share, request->tenant, 2);
        request->since_ns = world->now_ns;
        if (--request->n_tokens == 0) {
            depart(world, request);
            world->n_ended++;
        }
    }
    tw_arbiter_end(world->arbiter, model, world->now_ns - begin_ns);
}

static bool has_work(const struct world *world, uint32_t model)
{
    bool has = false;
    for (int i = 0; i < N_REQUESTS_MOST; i++) {
        const struct request *one = &world->requests[i];
        has = has || (one->exists && one->model == model && !one->paused &&
                      (one->runs || tw_arbiter_may_begin(world->arbiter, model)));
    }
    return has;
}

static void turn(struct world *world)
{
    uint32_t model;
    for (uint32_t i = 0; i < N_MODELS; i++) {
        tw_arbiter_ask(world->arbiter, i, has_work(world, i));
    }
    if (tw_arbiter_next(world->arbiter, &model)) {
        compute(world, model);
    } else {
        world->now_ns += STEP_NS;
    }
}

static void note_age(struct world *world)
{
    for (int i = 0; i < N_REQUESTS_MOST; i++) {
        const struct request *one = &world->requests[i];
        const int64_t age_ns = world->now_ns - one->since_ns;
        if (one->exists && !one->paused && age_ns > world->oldest_ns) {
            world->oldest_ns = age_ns;
        }
    }
}

static void create(struct world *world, uint64_t memory_bytes, uint64_t cache_bytes)
{
    const struct tw_arbiter_config config = {N_MODELS, memory_bytes, cache_bytes, PATIENCE_NS};
    assert_int_equal(tw_fair_share_create(&world->share, NULL), TW_OK);
    for (uint32_t i = 0; i < N_TENANTS; i++) {
        assert_int_equal(tw_fair_share_set(world->share, i, 1 + i,
                                           i == N_TENANTS - 1 ? TW_CLASS_IDLE : TW_CLASS_NORMAL,
                                           NULL),
                         TW_OK);
    }
    assert_int_equal(tw_arbiter_create(&config, world->share, &world->arbiter, NULL), TW_OK);
    for (uint32_t i = 0; i < N_MODELS; i++) {
        world->weights[i] = 10 + 8 * i;
        world->caches[i] = 5 + 7 * (i % 4);
        assert_int_equal(
            tw_arbiter_set_size(world->arbiter, i, "m", world->weights[i], world->caches[i], NULL),
            TW_OK);
    }
}

static void destroy(struct world *world)
{
    tw_arbiter_free(world->arbiter);
    tw_fair_share_free(world->share);
}

static void nothing_is_lost_and_nobody_waits_for_ever(void **state)
{
    (void)state;
    static struct world world;
    create(&world, MEMORY, CACHE);
    for (int i = 0; i < N_ROUNDS; i++) {
        /* Quiet times, and crowded ones. */
        const bool is_crowded = i / 20000 % 2 == 0;
        if (draw(&world, 16) < (is_crowded ? 4u : 1u)) {
            arrive(&world, is_crowded);
        }
        if (draw(&world, 12) == 0) {
            disturb(&world);
        }
        move_models(&world);
        turn(&world);
        check(&world);
        note_age(&world);
    }
    print_message("# %llu requests: %llu ended, %llu cancelled, %llu of a model that failed; %llu "
                  "loads, %llu made room; the longest wait was %lld ns\n",
                  (unsigned long long)world.n_arrived, (unsigned long long)world.n_ended,
                  (unsigned long long)world.n_cancelled, (unsigned long long)world.n_failed,
                  (unsigned long long)world.n_loads, (unsigned long long)world.n_left,
                  (long long)world.oldest_ns);
    assert_true(world.oldest_ns < AGE_MOST_NS);
    assert_true(world.n_ended > 5000 && world.n_cancelled > 500 && world.n_left > 300);
    destroy(&world);
}

/* Everybody always has something to do, on models of their own or on common ones. */
static void busy_tenants_stay_near_to_each_other_over_all_models(void **state)
{
    (void)state;
    static struct world world;
    static const uint32_t models[4][2] = {{0, 0}, {1, 2}, {2, 2}, {3, 0}};
    uint64_t tokens[4] = {0};
    create(&world, 0, 0);
    for (int round = 0; round < 60000; round++) {
        for (uint32_t tenant = 0; tenant < 4; tenant++) {
            for (int k = 0; k < 8; k++) {
                struct request *request = &world.requests[tenant * 8 + (uint32_t)k];
                if (!request->exists) {
                    *request = (struct request){.exists = true,
                                                .model = models[tenant][k % 2],
                                                .tenant = tenant,
                                                .n_tokens = 1 + draw(&world, N_TOKENS_MOST),
                                                .since_ns = world.now_ns};
                    tokens[tenant] += request->n_tokens;
                    assert_true(
                        tw_arbiter_arrive(world.arbiter, request->model, tenant, world.now_ns));
                }
            }
        }
        move_models(&world);
        turn(&world);
        /* From when all are there: a step of four rows at a cost of 2, for each of two. */
        for (uint32_t a = 0; round > 20000 && a < 4; a++) {
            for (uint32_t b = 0; b < 4; b++) {
                const uint64_t one = tw_fair_share_counter(world.share, a),
                               other = tw_fair_share_counter(world.share, b);
                assert_true(one < other + 2 * tw_fair_share_step(world.share, a, 2 * N_ROWS) +
                                      tw_fair_share_step(world.share, b, 2 * N_ROWS));
            }
        }
    }
    /* Their weights are 1 to 4. */
    for (uint32_t a = 1; a < 4; a++) {
        assert_in_range(tokens[a] * 100 / tokens[0], 90 * (a + 1), 110 * (a + 1));
    }
    destroy(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_lost_and_nobody_waits_for_ever),
        cmocka_unit_test(busy_tenants_stay_near_to_each_other_over_all_models),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
