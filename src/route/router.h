/* router.h: at which backend a request runs.
 *
 *     filter:   zone -> trust -> abilities -> context -> not tried -> not draining -> alive
 *               -> breaker closed -> not full -> nobody of a lower rank in its group is left
 *     score:    price; time to the first token, from what is cached there (prefix_index.h), what
 *               waits before it, the KV cache's fill, and the speed that was seen
 *     pick:     the cheapest, of these the fastest; or as the request's project wants it
 *
 *     tw_router_choose (nothing changes) -> tw_router_begin -> tw_router_first -> tw_router_end
 *
 * A request's trip is all its attempts. The second one is made with the same trip.
 *
 * Invariants:
 * 1. No choice lies in a zone outside of the request's mask, whatever has failed, is missing or is
 *    a canary.
 * 2. A trip's first choice is made without canaries, and its trust is the least of the whole trip:
 *    no canary and no retry goes below it. None comes twice.
 * 3. The same calls give the same choices.
 *
 * Ownership: tables are copied. Texts of a choice stay until the next tw_router_set. A backend that
 * is no longer in the table stays until its rides have ended; one of the same name keeps what is
 * known of it.
 * Pure: time is an argument. Threads: one at a time.
 * Errors: TW_ERR_USAGE for a table that contradicts itself, TW_ERR_LIMIT (TW_LIMIT_ROUTE_*),
 * TW_ERR_MEMORY; then the old table stays.
 */
#ifndef TW_ROUTE_ROUTER_H
#define TW_ROUTE_ROUTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "route/breaker.h"

struct tw_router;

/* ---- the table ---- */

/* Nano-units a million tokens. */
struct tw_route_prices {
    int64_t input_nano, cached_nano, output_nano;
};

struct tw_route_model {
    const char *name;        /* as we call it */
    const char *there;       /* as the backend calls it; NULL: the same */
    uint32_t context_tokens; /* of prompt and answer; 0: not known, so not checked */
    uint32_t abilities;      /* what it can do: bits that mean something to the caller alone */
    struct tw_route_prices prices;
};

struct tw_route_backend {
    const char *name;
    uint32_t zone;                       /* below TW_LIMIT_ROUTE_ZONES */
    const struct tw_route_model *models; /* [n_models] */
    size_t n_models;
    uint32_t group, rank;      /* it gets nothing while one of its group with a lower rank may */
    uint32_t weight;           /* how much it can do beside others, from 1 on */
    uint32_t canary_per_mille; /* of the requests that it could take; 0: it is none */
    uint32_t most_in_flight;   /* of our requests; 0: no bound */
    bool is_draining;          /* no new requests */
};

struct tw_route_table {
    const struct tw_route_backend *backends;
    size_t n_backends;
};

struct tw_router_config {
    uint64_t seed;          /* of canaries and ties */
    uint32_t index_entries; /* blocks remembered of each backend */
    uint32_t block_tokens;  /* about, of a block whose hash requests bring */
    int64_t token_ns;       /* of a prompt, as long as no speed was seen, at weight 1 */
    int64_t stale_ns;       /* a load that is older counts as unknown */
    struct tw_breaker_config breaker;
};
struct tw_router_config tw_router_defaults(void);

enum tw_status tw_router_create(const struct tw_router_config *config,
                                struct tw_router **ret_router, struct tw_error *error);
/* NULL is allowed. */
void tw_router_free(struct tw_router *router);
enum tw_status tw_router_set(struct tw_router *router, const struct tw_route_table *table,
                             struct tw_error *error);

/* ---- what is known of backends ---- */

#define TW_ROUTE_NOWHERE UINT32_MAX
/* Its number, which stays; TW_ROUTE_NOWHERE. */
uint32_t tw_router_find(const struct tw_router *router, const char *name);

struct tw_route_load {
    bool is_alive;
    bool has_load;      /* the rest is known */
    uint32_t n_waiting; /* requests there that are not in steps, ours and others' */
    double kv_share;    /* 0..1 */
};
void tw_router_load(struct tw_router *router, uint32_t backend, const struct tw_route_load *load,
                    int64_t now_ns);
/* Until the next tw_router_set says otherwise. */
void tw_router_drain(struct tw_router *router, uint32_t backend, bool is_draining);

struct tw_route_standing {
    const char *name;
    bool is_listed, is_draining, is_alive;
    enum tw_breaker_state breaker;
    uint32_t n_in_flight;
    uint64_t backlog_tokens; /* of prompts that have no first token yet */
    double token_ns;         /* seen; 0: not yet */
    uint64_t n_chosen, n_failed;
};
/* False for a number that is nobody's. */
bool tw_router_standing(const struct tw_router *router, uint32_t backend, int64_t now_ns,
                        struct tw_route_standing *ret_standing);

/* ---- choosing ---- */

enum tw_route_pick {
    TW_PICK_CHEAPEST_FAST = 0, /* the lowest price, of these the fastest */
    TW_PICK_FASTEST,
    TW_PICK_CHEAPEST, /* by what it will cost, cached tokens at their price */
    TW_PICK_SPREAD    /* the fewest requests for its weight */
};

struct tw_route_request {
    const char *model;
    uint32_t abilities;                        /* needed */
    uint64_t n_prompt_tokens, n_answer_tokens; /* at most; for all answers together */
    uint64_t n_text_tokens;                    /* of the prompt with one answer: for the context */
    const uint64_t *hashes;                    /* [n_hashes] of the prompt's blocks */
    uint32_t n_hashes;
    uint64_t zones;              /* bit z: it may enter zone z */
    const uint32_t *zone_trusts; /* [TW_LIMIT_ROUTE_ZONES] more is more; NULL: all are alike */
    uint64_t hash;               /* of the request: who gets a canary */
    enum tw_route_pick pick;
};

struct tw_route_trip { /* all zero at first */
    uint64_t tried[TW_LIMIT_ROUTE_BACKENDS / 64];
    uint32_t n_tried, least_trust;
};

/* Why there is no backend: the step at which the best of them was lost. */
enum tw_route_verdict {
    TW_ROUTE_NO_MODEL = 0, /* nobody has it */
    TW_ROUTE_NO_ZONE,
    TW_ROUTE_NO_TRUST,
    TW_ROUTE_NO_ABILITY,
    TW_ROUTE_NO_CONTEXT,
    TW_ROUTE_TRIED,
    TW_ROUTE_DRAINING,
    TW_ROUTE_DOWN,
    TW_ROUTE_BROKEN,
    TW_ROUTE_FULL,
    TW_ROUTE_FOUND
};
/* A sentence's end: "no backend ...". */
const char *tw_route_verdict_text(enum tw_route_verdict verdict);

struct tw_route_choice {
    uint32_t backend;
    const char *backend_name, *there; /* the model as it is called there */
    uint32_t zone;
    uint32_t least_trust; /* of this and what follows: invariant 2 */
    bool is_canary;
    uint32_t n_hit_blocks;
    int64_t cost_nano, wait_ns; /* that were expected: what it costs at most, first token */
    uint64_t work_tokens;       /* to be computed of the prompt */
};

enum tw_route_verdict tw_router_choose(const struct tw_router *router,
                                       const struct tw_route_request *request,
                                       const struct tw_route_trip *trip, int64_t now_ns,
                                       struct tw_route_choice *ret_choice);

/* A request at a backend, until its end. */
struct tw_route_ride {
    uint32_t backend;
    uint64_t work_tokens, ahead_tokens;
    int64_t began_ns;
    bool has_first;
    struct tw_breaker_pass pass;
};
/* The choice is taken; between choosing and beginning nothing else was called. */
struct tw_route_ride tw_router_begin(struct tw_router *router,
                                     const struct tw_route_request *request,
                                     const struct tw_route_choice *choice,
                                     struct tw_route_trip *trip, int64_t now_ns);
/* Its first token came. */
void tw_router_first(struct tw_router *router, struct tw_route_ride *ride, int64_t now_ns);
void tw_router_end(struct tw_router *router, struct tw_route_ride *ride, enum tw_outcome outcome,
                   int64_t now_ns);

#endif
