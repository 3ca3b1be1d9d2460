/* router_state.h: what the files of the router share; for no one else. */
#ifndef TW_ROUTE_ROUTER_STATE_H
#define TW_ROUTE_ROUTER_STATE_H

#include "base/arena.h"
#include "route/prefix_index.h"
#include "route/router.h"

struct tw_route_slot {
    bool is_used;                   /* it has a backend, listed or with rides */
    bool is_listed;                 /* in the table */
    struct tw_route_backend config; /* texts in the router's arena; of an unlisted one not valid */
    uint64_t name_hash;
    bool is_draining;
    struct tw_prefix_index *index;
    struct tw_breaker breaker;
    struct tw_route_load load;
    int64_t load_ns;
    uint32_t n_in_flight, n_without_first;
    uint64_t backlog_tokens;
    double token_ns; /* seen; 0: not yet */
    double mean_work_tokens;
    uint64_t n_chosen, n_failed;
};

struct tw_router {
    struct tw_router_config config;
    struct tw_arena texts; /* of the table */
    struct tw_route_slot slots[TW_LIMIT_ROUTE_BACKENDS];
    uint32_t n_slots; /* beyond it none was ever used */
};

void tw_router_slot_clear(struct tw_route_slot *slot);

#endif
