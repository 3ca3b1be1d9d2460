#include "route/router.h"

#include <assert.h>

#include "base/mem.h"
#include "route/router_state.h"

/* Of the newest in a mean: about the last ten count. */
#define NEWEST 0.1

struct tw_router_config tw_router_defaults(void)
{
    return (struct tw_router_config){.index_entries = 65536,
                                     .block_tokens = 64,
                                     .token_ns = 100000,
                                     .stale_ns = INT64_C(5000000000),
                                     .breaker = tw_breaker_defaults()};
}

enum tw_status tw_router_create(const struct tw_router_config *config,
                                struct tw_router **ret_router, struct tw_error *error)
{
    struct tw_router *router = tw_mem_zalloc(1, sizeof *router);
    if (router == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for routes");
    }
    router->config = *config;
    *ret_router = router;
    return TW_OK;
}

void tw_router_free(struct tw_router *router)
{
    if (router == NULL) {
        return;
    }
    for (uint32_t i = 0; i < router->n_slots; i++) {
        tw_router_slot_clear(&router->slots[i]);
    }
    tw_arena_clear(&router->texts);
    tw_mem_free(router);
}

/* ---- what is known ---- */

void tw_router_load(struct tw_router *router, uint32_t backend, const struct tw_route_load *load,
                    int64_t now_ns)
{
    if (backend >= router->n_slots || !router->slots[backend].is_listed) {
        return; /* TW_ROUTE_NOWHERE, too */
    }
    struct tw_route_slot *slot = &router->slots[backend];
    /* Whoever was away has probably begun anew, with nothing cached. */
    if (load->is_alive && !slot->load.is_alive) {
        tw_prefix_index_clear(slot->index);
    }
    slot->load = *load;
    slot->load_ns = now_ns;
}

void tw_router_drain(struct tw_router *router, uint32_t backend, bool is_draining)
{
    if (backend < router->n_slots && router->slots[backend].is_listed) {
        router->slots[backend].is_draining = is_draining;
    }
}

bool tw_router_standing(const struct tw_router *router, uint32_t backend, int64_t now_ns,
                        struct tw_route_standing *ret_standing)
{
    if (backend >= router->n_slots || !router->slots[backend].is_used) {
        return false;
    }
    const struct tw_route_slot *slot = &router->slots[backend];
    *ret_standing = (struct tw_route_standing){.name = slot->is_listed ? slot->config.name : "",
                                               .is_listed = slot->is_listed,
                                               .is_draining = slot->is_draining,
                                               .is_alive = slot->load.is_alive,
                                               .breaker = tw_breaker_state(&slot->breaker, now_ns),
                                               .n_in_flight = slot->n_in_flight,
                                               .backlog_tokens = slot->backlog_tokens,
                                               .token_ns = slot->token_ns,
                                               .n_chosen = slot->n_chosen,
                                               .n_failed = slot->n_failed};
    return true;
}

/* ---- rides ---- */

static double towards(double mean, double newest)
{
    return mean > 0 ? mean + NEWEST * (newest - mean) : newest;
}

struct tw_route_ride tw_router_begin(struct tw_router *router,
                                     const struct tw_route_request *request,
                                     const struct tw_route_choice *choice,
                                     struct tw_route_trip *trip, int64_t now_ns)
{
    assert(choice->backend < router->n_slots && router->slots[choice->backend].is_listed);
    struct tw_route_slot *slot = &router->slots[choice->backend];
    struct tw_route_ride ride = {.backend = choice->backend,
                                 .work_tokens = choice->work_tokens,
                                 .ahead_tokens = slot->backlog_tokens,
                                 .began_ns = now_ns,
                                 .pass = tw_breaker_begin(&slot->breaker, now_ns)};
    trip->tried[choice->backend / 64] |= UINT64_C(1) << (choice->backend % 64);
    trip->n_tried++;
    trip->least_trust = choice->least_trust;
    slot->n_in_flight++;
    slot->n_without_first++;
    slot->n_chosen++;
    slot->backlog_tokens += ride.work_tokens;
    slot->mean_work_tokens = towards(slot->mean_work_tokens, (double)ride.work_tokens);
    tw_prefix_index_insert(slot->index, request->hashes,
                           request->n_hashes < TW_LIMIT_ROUTE_BLOCKS ? request->n_hashes
                                                                     : TW_LIMIT_ROUTE_BLOCKS);
    return ride;
}

static void leave_queue(struct tw_route_slot *slot, struct tw_route_ride *ride)
{
    if (!ride->has_first) {
        ride->has_first = true;
        slot->n_without_first--;
        slot->backlog_tokens -= ride->work_tokens;
    }
}

void tw_router_first(struct tw_router *router, struct tw_route_ride *ride, int64_t now_ns)
{
    struct tw_route_slot *slot = &router->slots[ride->backend];
    if (ride->has_first) {
        return;
    }
    leave_queue(slot, ride);
    const double n_tokens = (double)(ride->work_tokens + ride->ahead_tokens);
    /* A few tokens say more of the network than of the machine. */
    if (n_tokens >= 64 && now_ns > ride->began_ns) {
        slot->token_ns = towards(slot->token_ns, (double)(now_ns - ride->began_ns) / n_tokens);
    }
}

void tw_router_end(struct tw_router *router, struct tw_route_ride *ride, enum tw_outcome outcome,
                   int64_t now_ns)
{
    struct tw_route_slot *slot = &router->slots[ride->backend];
    assert(slot->is_used && slot->n_in_flight > 0);
    leave_queue(slot, ride);
    slot->n_in_flight--;
    slot->n_failed += outcome == TW_OUTCOME_FAILURE;
    tw_breaker_end(&slot->breaker, ride->pass, outcome, now_ns);
    if (!slot->is_listed && slot->n_in_flight == 0) {
        tw_router_slot_clear(slot);
    }
}
