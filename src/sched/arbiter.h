/* arbiter.h: which of several models are in memory, and which of them computes next.
 *
 *     AWAY    -> LOADING [tw_arbiter_move: somebody waits for it, and there is room]
 *     LOADING -> LOADED  [tw_arbiter_loaded], or AWAY again where that failed
 *     LOADED  -> LEAVING [tw_arbiter_move: another needs the room, and nothing runs on it]
 *     LEAVING -> AWAY    [tw_arbiter_left]
 *
 * Memory. Whoever waits longest is loaded next. Models on which nothing runs or waits make room at
 * once, the one least recently used first. Where that is not enough, and has not been for the
 * patience, the least recently used of the others closes: what runs on it goes on to its end, and
 * what arrives waits until it was away and is back. So a model that is always asked does not keep
 * others out, and one that was loaded serves for the patience at least, and a request at least.
 *
 * Turns. One model computes at a time, with all cores. Of those that ask, the turn goes to the one
 * that has the tenant whose turn it is (fair_share.h; the models' schedulers charge the same
 * counters, so a tenant that used much on one model does not start fresh on another). Of equals the
 * one that has computed for less time comes first. A model that is being loaded takes every second
 * turn, if others ask. Whatever the counters say, who has seen
 * TW_ARBITER_TURNS turns of others pass comes next, the one that has seen most first.
 *
 * Invariants:
 * 1. At most one model has the turn, and at most one is LOADING.
 * 2. Models that are not AWAY are together within memory_bytes, their caches within cache_bytes.
 * 3. A model on which something runs is LOADED.
 * 4. Tenants that always have something to run stay as near to each other as within one model, plus
 *    what one step can add to each, wherever the bound on turns does not step in.
 * 5. The same calls give the same answers.
 *
 * Pure: no clock, thread or device; times are passed in and never fall. Threads: one at a time.
 * Errors: TW_ERR_LIMIT for a model that alone is too large, TW_ERR_MEMORY.
 */
#ifndef TW_SCHED_ARBITER_H
#define TW_SCHED_ARBITER_H

#include "sched/fair_share.h"

enum { TW_ARBITER_TURNS = 64 };

struct tw_arbiter;

struct tw_arbiter_config {
    uint32_t n_models;
    uint64_t memory_bytes; /* of weights and caches; 0: no bound */
    uint64_t cache_bytes;  /* of caches alone; 0: no bound */
    int64_t patience_ns;
};

/* share: must outlive the arbiter. */
enum tw_status tw_arbiter_create(const struct tw_arbiter_config *config,
                                 const struct tw_fair_share *share, struct tw_arbiter **ret_arbiter,
                                 struct tw_error *error);
/* NULL is allowed. */
void tw_arbiter_free(struct tw_arbiter *arbiter);

/* While it is AWAY. name: for the message. */
enum tw_status tw_arbiter_set_size(struct tw_arbiter *arbiter, uint32_t model, const char *name,
                                   uint64_t weight_bytes, uint64_t cache_bytes,
                                   struct tw_error *error);

/* ---- requests ---- */

/* A request waits for the model, which is to be loaded where it is not. False: no memory. */
bool tw_arbiter_arrive(struct tw_arbiter *arbiter, uint32_t model, uint32_t tenant, int64_t now_ns);
/* Whether requests that wait may begin: the model is LOADED and does not close. */
/* The tenant's requests at the model that have not departed. */
uint32_t tw_arbiter_requests(const struct tw_arbiter *arbiter, uint32_t model, uint32_t tenant);
bool tw_arbiter_may_begin(const struct tw_arbiter *arbiter, uint32_t model);
/* One that waits runs. */
void tw_arbiter_begin(struct tw_arbiter *arbiter, uint32_t model, int64_t now_ns);
/* One that runs can do nothing for a while, or can again: its tenant is not to wait for it. */
void tw_arbiter_pause(struct tw_arbiter *arbiter, uint32_t model, uint32_t tenant);
void tw_arbiter_resume(struct tw_arbiter *arbiter, uint32_t model, uint32_t tenant);
/* One is over, and is not paused; ran: it had begun. */
void tw_arbiter_depart(struct tw_arbiter *arbiter, uint32_t model, uint32_t tenant, bool ran,
                       int64_t now_ns);

/* ---- memory ---- */

enum tw_arbiter_state { TW_MODEL_AWAY = 0, TW_MODEL_LOADING, TW_MODEL_LOADED, TW_MODEL_LEAVING };
enum tw_arbiter_state tw_arbiter_state(const struct tw_arbiter *arbiter, uint32_t model);

/* The model is to be loaded, although nobody has asked for it. */
void tw_arbiter_want(struct tw_arbiter *arbiter, uint32_t model, int64_t now_ns);

/* The next thing to do; true: *ret_model is LOADING or LEAVING from here on. To be asked until it
 * is false, whenever something has changed and now and then while somebody waits. */
bool tw_arbiter_move(struct tw_arbiter *arbiter, int64_t now_ns, uint32_t *ret_model);
/* What was LOADING is LOADED; or, not ok, it is AWAY, and tried again if somebody waits. */
void tw_arbiter_loaded(struct tw_arbiter *arbiter, uint32_t model, bool ok, int64_t now_ns);
void tw_arbiter_left(struct tw_arbiter *arbiter, uint32_t model, int64_t now_ns);

/* ---- turns ---- */

/* Whether the model wants the turn; it keeps asking until told otherwise. */
void tw_arbiter_ask(struct tw_arbiter *arbiter, uint32_t model, bool asks);
/* Gives the turn away. False: it is taken, or nobody asks. */
bool tw_arbiter_next(struct tw_arbiter *arbiter, uint32_t *ret_model);
/* The turn is over; step_ns: how long it took. */
void tw_arbiter_end(struct tw_arbiter *arbiter, uint32_t model, int64_t step_ns);

struct tw_arbiter_usage {
    uint64_t memory_bytes, cache_bytes; /* of those that are not AWAY */
    uint32_t n_loaded;
    uint32_t n_waiting, n_running; /* requests */
};
struct tw_arbiter_usage tw_arbiter_usage(const struct tw_arbiter *arbiter);

#endif
