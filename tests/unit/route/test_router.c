#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "route/router.h"

#define MS INT64_C(1000000)

enum { TOOLS = 1, SCHEMAS = 2, EMBEDDINGS = 4 };

static const struct tw_route_model able = {.name = "m",
                                           .there = "org/M",
                                           .context_tokens = 4096,
                                           .abilities = TOOLS,
                                           .prices = {100, 50, 200}};
static const struct tw_route_model cheap = {
    .name = "m", .there = "org/M", .context_tokens = 4096, .prices = {100, 50, 200}};
static const struct tw_route_model dear = {
    .name = "m", .abilities = TOOLS | SCHEMAS, .prices = {900, 100, 2000}};
static const struct tw_route_model small = {.name = "s"};

/* Two of one price, one dearer, one canary. */
static const struct tw_route_backend four[] = {
    {.name = "a", .zone = 0, .models = &able, .n_models = 1, .weight = 1},
    {.name = "b", .zone = 1, .models = &cheap, .n_models = 1, .weight = 1},
    {.name = "c", .zone = 2, .models = &dear, .n_models = 1, .weight = 4},
    {.name = "d", .zone = 0, .models = &small, .n_models = 1, .weight = 1},
};
static const uint32_t trusts[TW_LIMIT_ROUTE_ZONES] = {3, 2, 1, 4};

static const struct tw_route_request plain = {.model = "m",
                                              .n_prompt_tokens = 1000,
                                              .n_answer_tokens = 100,
                                              .zones = UINT64_MAX,
                                              .zone_trusts = trusts,
                                              .hash = 1};

static struct tw_router *make_of(const struct tw_route_backend *backends, size_t n)
{
    struct tw_router_config config = tw_router_defaults();
    struct tw_router *router;
    config.index_entries = 64;
    config.block_tokens = 100;
    const struct tw_route_table table = {.backends = backends, .n_backends = n};
    assert_int_equal(tw_router_create(&config, &router, NULL), TW_OK);
    assert_int_equal(tw_router_set(router, &table, NULL), TW_OK);
    return router;
}

static struct tw_router *make(void)
{
    return make_of(four, 4);
}

static void expect(const struct tw_router *router, const struct tw_route_request *request,
                   const char *backend)
{
    const struct tw_route_trip trip = {0};
    struct tw_route_choice choice;
    assert_int_equal(tw_router_choose(router, request, &trip, 0, &choice), TW_ROUTE_FOUND);
    assert_string_equal(choice.backend_name, backend);
}

static void expect_none(const struct tw_router *router, const struct tw_route_request *request,
                        enum tw_route_verdict wanted)
{
    const struct tw_route_trip trip = {0};
    struct tw_route_choice choice;
    assert_int_equal(tw_router_choose(router, request, &trip, 0, &choice), wanted);
    assert_true(tw_route_verdict_text(wanted)[0] != '\0');
}

static struct tw_route_ride go(struct tw_router *router, const struct tw_route_request *request,
                               const char *backend, struct tw_route_trip *trip, int64_t now_ns)
{
    struct tw_route_choice choice;
    assert_int_equal(tw_router_choose(router, request, trip, now_ns, &choice), TW_ROUTE_FOUND);
    assert_string_equal(choice.backend_name, backend);
    return tw_router_begin(router, request, &choice, trip, now_ns);
}

static void what_a_request_needs_decides_who_is_left_and_the_reason_says_what_was_missing(void **s)
{
    (void)s;
    struct tw_router *router = make();
    struct tw_route_request request = plain;
    request.zones = 4;
    expect(router, &request, "c");
    request.zones = 8;
    expect_none(router, &request, TW_ROUTE_NO_ZONE);
    request = plain;
    const struct tw_route_trip trip = {.least_trust = 3}, high = {.least_trust = 4};
    struct tw_route_choice choice;
    assert_int_equal(tw_router_choose(router, &request, &trip, 0, &choice), TW_ROUTE_FOUND);
    assert_string_equal(choice.backend_name, "a");
    assert_int_equal(tw_router_choose(router, &request, &high, 0, &choice), TW_ROUTE_NO_TRUST);
    request = plain;
    request.abilities = SCHEMAS;
    expect(router, &request, "c");
    request.abilities = EMBEDDINGS;
    expect_none(router, &request, TW_ROUTE_NO_ABILITY);
    request = plain;
    request.n_text_tokens = 4100;
    expect(router, &request, "c"); /* the others have no room */
    request.zones = 3;
    expect_none(router, &request, TW_ROUTE_NO_CONTEXT);
    request = plain;
    request.model = "unknown";
    expect_none(router, &request, TW_ROUTE_NO_MODEL);
    tw_router_free(router);
}

static void the_cheapest_are_taken_and_of_these_the_fastest(void **s)
{
    (void)s;
    struct tw_router *router = make();
    struct tw_route_request request = plain;
    struct tw_route_trip trip = {0};
    request.zones = 3;
    struct tw_route_choice choice;
    assert_int_equal(tw_router_choose(router, &request, &trip, 0, &choice), TW_ROUTE_FOUND);
    const char *first = choice.backend_name, *second = first[0] == 'a' ? "b" : "a";
    assert_string_equal(choice.there, "org/M");
    assert_int_equal(choice.cost_nano, 1); /* 120,000 nano-units a million, rounded up */
    (void)tw_router_begin(router, &request, &choice, &trip, 0);
    expect(router, &request, second); /* the first one has something to do */
    request = plain;
    request.pick = TW_PICK_FASTEST;
    expect(router, &request, "c"); /* four times as much weight */
    request.pick = TW_PICK_SPREAD;
    trip = (struct tw_route_trip){0};
    assert_int_equal(tw_router_choose(router, &request, &trip, 0, &choice), TW_ROUTE_FOUND);
    assert_string_not_equal(choice.backend_name, first);
    tw_router_free(router);
}

static void a_known_beginning_draws_a_request_until_the_queue_is_longer(void **s)
{
    (void)s;
    struct tw_router *router = make();
    const uint64_t hashes[] = {11, 12, 13, 14, 15, 16, 17, 18};
    struct tw_route_request request = plain;
    request.hashes = hashes;
    request.n_hashes = 8;
    request.zones = 3;
    struct tw_route_trip trip = {0};
    struct tw_route_choice choice;
    assert_int_equal(tw_router_choose(router, &request, &trip, 0, &choice), TW_ROUTE_FOUND);
    const char *first = choice.backend_name, *second = first[0] == 'a' ? "b" : "a";
    struct tw_route_ride ride = tw_router_begin(router, &request, &choice, &trip, 0);
    tw_router_first(router, &ride, 100 * MS);
    tw_router_end(router, &ride, TW_OUTCOME_SUCCESS, 200 * MS);
    for (uint64_t i = 0; i < 20; i++) {
        request.hash = i;
        expect(router, &request, first);
    }
    trip = (struct tw_route_trip){0};
    assert_int_equal(tw_router_choose(router, &request, &trip, 0, &choice), TW_ROUTE_FOUND);
    assert_int_equal(choice.n_hit_blocks, 8);
    assert_int_equal(choice.work_tokens, 200);
    /* 4 x 200 tokens wait there: the 800 that would be saved. */
    for (int i = 0; i < 4; i++) {
        trip = (struct tw_route_trip){0};
        (void)go(router, &request, first, &trip, 200 * MS);
    }
    expect(router, &request, second);
    tw_router_free(router);
}

static void load_that_others_make_counts_while_it_is_fresh(void **s)
{
    (void)s;
    struct tw_router *router = make();
    struct tw_route_request request = plain;
    request.zones = 3;
    struct tw_route_choice choice;
    struct tw_route_trip trip = {0};
    assert_int_equal(tw_router_choose(router, &request, &trip, 0, &choice), TW_ROUTE_FOUND);
    const char *first = choice.backend_name, *second = first[0] == 'a' ? "b" : "a";
    struct tw_route_ride ride = tw_router_begin(router, &request, &choice, &trip, 0);
    tw_router_first(router, &ride, MS);
    tw_router_end(router, &ride, TW_OUTCOME_SUCCESS, MS);
    const struct tw_route_load busy = {.is_alive = true, .has_load = true, .n_waiting = 30};
    tw_router_load(router, tw_router_find(router, first), &busy, 0);
    expect(router, &request, second);
    const struct tw_route_load full = {.is_alive = true, .has_load = true, .kv_share = 0.99};
    tw_router_load(router, tw_router_find(router, first), &full, 0);
    expect(router, &request, second);
    trip = (struct tw_route_trip){0};
    const int64_t late_ns = tw_router_defaults().stale_ns + 1;
    assert_int_equal(tw_router_choose(router, &request, &trip, late_ns, &choice), TW_ROUTE_FOUND);
    assert_string_equal(choice.backend_name, first);
    tw_router_free(router);
}

static void who_is_down_draining_broken_or_full_gets_nothing(void **s)
{
    (void)s;
    struct tw_route_backend one = four[0];
    one.most_in_flight = 2;
    struct tw_router *router = make_of(&one, 1);
    const struct tw_route_load down = {0}, up = {.is_alive = true};
    tw_router_load(router, 0, &down, 0);
    expect_none(router, &plain, TW_ROUTE_DOWN);
    tw_router_load(router, 0, &up, 0);
    tw_router_drain(router, 0, true);
    expect_none(router, &plain, TW_ROUTE_DRAINING);
    tw_router_drain(router, 0, false);
    struct tw_route_trip trips[2] = {0};
    struct tw_route_ride rides[2];
    for (int i = 0; i < 2; i++) {
        rides[i] = go(router, &plain, "a", &trips[i], 0);
    }
    expect_none(router, &plain, TW_ROUTE_FULL);
    for (int i = 0; i < 2; i++) {
        tw_router_end(router, &rides[i], TW_OUTCOME_SUCCESS, 0);
    }
    for (int i = 0; i < 5; i++) {
        struct tw_route_trip trip = {0};
        struct tw_route_ride ride = go(router, &plain, "a", &trip, 0);
        tw_router_end(router, &ride, TW_OUTCOME_FAILURE, 0);
    }
    expect_none(router, &plain, TW_ROUTE_BROKEN);
    struct tw_route_standing standing;
    assert_true(tw_router_standing(router, 0, 0, &standing));
    assert_int_equal(standing.breaker, TW_BREAKER_OPEN);
    assert_int_equal(standing.n_failed, 5);
    assert_int_equal(standing.backlog_tokens, 0);
    tw_router_free(router);
}

/* RFC 2782: as priorities of SRV records. */
static void a_reserve_is_asked_where_nobody_of_its_group_with_a_lower_rank_is_left(void **state)
{
    (void)state;
    const struct tw_route_backend ranked[] = {
        {.name = "a", .models = &able, .n_models = 1, .weight = 1, .most_in_flight = 1},
        {.name = "b", .group = 0, .rank = 1, .models = &able, .n_models = 1, .weight = 1000},
        {.name = "c", .group = 0, .rank = 2, .models = &able, .n_models = 1, .weight = 1000},
        {.name = "e", .group = 7, .rank = 0, .models = &dear, .n_models = 1, .weight = 1},
        {.name = "f", .group = 7, .rank = 1, .models = &cheap, .n_models = 1, .weight = 1000},
    };
    struct tw_router *router = make_of(ranked, 5);
    struct tw_route_trip trip = {0};
    struct tw_route_choice choice;
    const struct tw_route_load dead = {.is_alive = false};
    static const char *const wanted[] = {"a", "b", "c", "e", "f"};
    for (size_t i = 0; i < 5; i++) { /* one after the other fails */
        assert_int_equal(tw_router_choose(router, &plain, &trip, 0, &choice), TW_ROUTE_FOUND);
        assert_string_equal(choice.backend_name, wanted[i]);
        struct tw_route_ride ride = tw_router_begin(router, &plain, &choice, &trip, 0);
        tw_router_end(router, &ride, TW_OUTCOME_FAILURE, 0);
    }
    struct tw_route_trip other = {0};
    tw_router_load(router, tw_router_find(router, "a"), &dead, 0);
    tw_router_drain(router, tw_router_find(router, "e"), true);
    expect(router, &plain, "b");
    tw_router_drain(router, tw_router_find(router, "b"), true);
    tw_router_drain(router, tw_router_find(router, "c"), true);
    assert_int_equal(tw_router_choose(router, &plain, &other, 0, &choice), TW_ROUTE_FOUND);
    assert_string_equal(choice.backend_name, "f");
    tw_router_free(router);
}

static void a_retry_is_not_for_canaries_while_others_are_left_and_a_reserve_is_none_either(void **s)
{
    (void)s;
    struct tw_route_backend three[] = {four[0], four[0], four[0]};
    three[1].name = "b";
    three[2].name = "canary";
    three[2].canary_per_mille = 500;
    struct tw_router *router = make_of(three, 3);
    struct tw_route_request request = plain;
    for (request.hash = 1; request.hash < 40; request.hash++) {
        struct tw_route_trip trip = {0};
        struct tw_route_choice choice;
        assert_int_equal(tw_router_choose(router, &request, &trip, 0, &choice), TW_ROUTE_FOUND);
        trip.n_tried = 1; /* somebody failed, and is gone by now */
        assert_int_equal(tw_router_choose(router, &request, &trip, 0, &choice), TW_ROUTE_FOUND);
        assert_false(choice.is_canary);
    }
    tw_router_free(router);
    three[1].canary_per_mille = 500; /* both of one group: b before the other */
    three[1].group = three[2].group = 1;
    three[2].rank = 1;
    router = make_of(three, 3);
    for (request.hash = 1; request.hash < 40; request.hash++) {
        const struct tw_route_trip trip = {0};
        struct tw_route_choice choice;
        assert_int_equal(tw_router_choose(router, &request, &trip, 0, &choice), TW_ROUTE_FOUND);
        assert_string_not_equal(choice.backend_name, "canary");
    }
    tw_router_free(router);
}

static void a_retry_goes_elsewhere_and_never_to_less_trust(void **s)
{
    (void)s;
    struct tw_router *router = make();
    struct tw_route_request request = plain;
    struct tw_route_trip trip = {0};
    request.zones = 1 << 1 | 1 << 2 | 1;
    request.abilities = TOOLS; /* a (3) and c (1) */
    struct tw_route_ride ride = go(router, &request, "a", &trip, 0);
    tw_router_end(router, &ride, TW_OUTCOME_FAILURE, 0);
    struct tw_route_choice choice;
    assert_int_equal(tw_router_choose(router, &request, &trip, 0, &choice), TW_ROUTE_TRIED);
    trip = (struct tw_route_trip){0};
    request.pick = TW_PICK_FASTEST;
    ride = go(router, &request, "c", &trip, 0);
    tw_router_end(router, &ride, TW_OUTCOME_FAILURE, 0);
    ride = go(router, &request, "a", &trip, 0);
    tw_router_end(router, &ride, TW_OUTCOME_FAILURE, 0);
    tw_router_free(router);
}

/* A canary that is trusted more does not keep a request from where it would have gone. */
static void the_first_choice_without_canaries_says_how_much_trust_a_trip_takes(void **s)
{
    (void)s;
    struct tw_route_backend three[] = {four[1], four[0], four[2]};
    three[1].canary_per_mille = 1000; /* a: more trust than b */
    three[2].canary_per_mille = 1000; /* c: less */
    struct tw_router *router = make_of(three, 3);
    struct tw_route_trip trip = {0};
    struct tw_route_ride ride = go(router, &plain, "a", &trip, 0);
    assert_int_equal(trip.least_trust, 2);
    tw_router_end(router, &ride, TW_OUTCOME_FAILURE, 0);
    ride = go(router, &plain, "b", &trip, 0);
    assert_int_equal(trip.least_trust, 2);
    tw_router_end(router, &ride, TW_OUTCOME_FAILURE, 0);
    struct tw_route_choice choice;
    assert_int_equal(tw_router_choose(router, &plain, &trip, 0, &choice), TW_ROUTE_TRIED);
    tw_router_free(router);
}

static void a_canary_gets_its_share_always_the_same_requests_and_none_that_it_may_not(void **s)
{
    (void)s;
    struct tw_route_backend three[3] = {four[0], four[1], four[0]};
    three[2].name = "canary";
    three[2].canary_per_mille = 100;
    struct tw_router *router = make_of(three, 3);
    struct tw_route_request request = plain;
    const struct tw_route_trip trip = {0};
    struct tw_route_choice choice, again;
    int n = 0;
    request.zones = 1;
    for (uint64_t i = 0; i < 10000; i++) {
        request.hash = i * 7919;
        assert_int_equal(tw_router_choose(router, &request, &trip, 0, &choice), TW_ROUTE_FOUND);
        assert_int_equal(tw_router_choose(router, &request, &trip, 9, &again), TW_ROUTE_FOUND);
        assert_int_equal(choice.backend, again.backend);
        n += choice.is_canary;
    }
    assert_true(n > 900 && n < 1100);
    request.zones = 2; /* where only b is */
    for (uint64_t i = 0; i < 1000; i++) {
        request.hash = i * 7919;
        expect(router, &request, "b");
    }
    tw_router_free(router);
    three[2].zone = 2; /* less trust than what would be chosen: never */
    router = make_of(three, 3);
    request.zones = 1 | 4;
    for (uint64_t i = 0; i < 1000; i++) {
        request.hash = i * 7919;
        expect(router, &request, "a");
    }
    /* What is left when the other is down. */
    tw_router_load(router, 0, &(struct tw_route_load){0}, 0);
    expect(router, &request, "canary");
    tw_router_free(router);
}

static void a_new_table_keeps_what_is_known_and_who_left_stays_for_his_rides(void **s)
{
    (void)s;
    struct tw_router *router = make();
    struct tw_route_request request = plain;
    struct tw_route_trip trip = {0};
    request.zones = 1;
    struct tw_route_ride ride = go(router, &request, "a", &trip, 0);
    struct tw_route_table table = {.backends = four + 1, .n_backends = 3};
    assert_int_equal(tw_router_set(router, &table, NULL), TW_OK);
    assert_int_equal(tw_router_find(router, "a"), TW_ROUTE_NOWHERE);
    expect_none(router, &request, TW_ROUTE_NO_ZONE);
    struct tw_route_standing standing;
    assert_true(tw_router_standing(router, ride.backend, 0, &standing));
    assert_false(standing.is_listed);
    tw_router_first(router, &ride, 1);
    tw_router_end(router, &ride, TW_OUTCOME_SUCCESS, 2);
    assert_false(tw_router_standing(router, ride.backend, 0, &standing));
    const uint32_t b = tw_router_find(router, "b");
    tw_router_load(router, b, &(struct tw_route_load){0}, 0);
    table = (struct tw_route_table){.backends = four, .n_backends = 4};
    assert_int_equal(tw_router_set(router, &table, NULL), TW_OK);
    assert_int_equal(tw_router_find(router, "b"), b);
    assert_true(tw_router_standing(router, b, 0, &standing));
    assert_false(standing.is_alive);
    expect(router, &request, "a");
    tw_router_free(router);
}

static void a_table_that_contradicts_itself_is_refused_and_the_old_one_stays(void **s)
{
    (void)s;
    struct tw_router *router = make();
    struct tw_error error;
    struct tw_route_backend bad[6] = {four[0], four[0], four[0], four[0], four[0], four[0]};
    bad[0].zone = TW_LIMIT_ROUTE_ZONES;
    bad[1].weight = 0;
    bad[2].canary_per_mille = 1001;
    bad[3].n_models = 0;
    bad[4].name = "";
    for (int i = 0; i < 5; i++) {
        const struct tw_route_table table = {.backends = &bad[i], .n_backends = 1};
        assert_int_equal(tw_router_set(router, &table, &error), TW_ERR_USAGE);
    }
    const struct tw_route_backend twice[] = {four[0], four[0]};
    struct tw_route_table table = {.backends = twice, .n_backends = 2};
    assert_int_equal(tw_router_set(router, &table, &error), TW_ERR_USAGE);
    struct tw_route_request request = plain;
    request.zones = 1;
    expect(router, &request, "a");
    tw_router_free(router);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            what_a_request_needs_decides_who_is_left_and_the_reason_says_what_was_missing),
        cmocka_unit_test(the_cheapest_are_taken_and_of_these_the_fastest),
        cmocka_unit_test(a_known_beginning_draws_a_request_until_the_queue_is_longer),
        cmocka_unit_test(load_that_others_make_counts_while_it_is_fresh),
        cmocka_unit_test(who_is_down_draining_broken_or_full_gets_nothing),
        cmocka_unit_test(a_reserve_is_asked_where_nobody_of_its_group_with_a_lower_rank_is_left),
        cmocka_unit_test(
            a_retry_is_not_for_canaries_while_others_are_left_and_a_reserve_is_none_either),
        cmocka_unit_test(a_retry_goes_elsewhere_and_never_to_less_trust),
        cmocka_unit_test(the_first_choice_without_canaries_says_how_much_trust_a_trip_takes),
        cmocka_unit_test(a_canary_gets_its_share_always_the_same_requests_and_none_that_it_may_not),
        cmocka_unit_test(a_new_table_keeps_what_is_known_and_who_left_stays_for_his_rides),
        cmocka_unit_test(a_table_that_contradicts_itself_is_refused_and_the_old_one_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
