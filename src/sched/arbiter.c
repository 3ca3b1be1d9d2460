#include "sched/arbiter.h"

#include <assert.h>

#include "base/mem.h"

struct presence { /* of a tenant on a model */
    uint32_t tenant;
    uint32_t n;       /* requests that wait or run */
    uint32_t n_ready; /* of those, not paused */
};

struct model {
    uint64_t weight_bytes, cache_bytes;
    enum tw_arbiter_state state;
    bool closes;    /* LOADED: nothing begins any more */
    bool has_begun; /* something has, since it was loaded */
    bool is_wanted; /* AWAY or LOADING: somebody waits for it */
    int64_t wanted_ns, used_ns, loaded_ns;
    uint32_t n_waiting, n_running;

    bool asks;
    uint32_t n_passed;   /* turns of others since it asks */
    uint64_t n_turns_ns; /* what it has computed */
    struct presence *tenants;
    uint32_t n_tenants, tenant_capacity;
};

struct tw_arbiter {
    struct tw_arbiter_config config;
    const struct tw_fair_share *share;
    struct model *models; /* [config.n_models] */
    bool is_taken;        /* somebody has the turn */
    uint32_t holder;
};

enum tw_status tw_arbiter_create(const struct tw_arbiter_config *config,
                                 const struct tw_fair_share *share, struct tw_arbiter **ret_arbiter,
                                 struct tw_error *error)
{
    struct tw_arbiter *a = tw_mem_zalloc(1, sizeof *a);
    struct model *models = tw_mem_zalloc(config->n_models, sizeof *models);
    if (a == NULL || models == NULL) {
        tw_mem_free(a);
        tw_mem_free(models);
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for %u models",
                            config->n_models);
    }
    *a = (struct tw_arbiter){.config = *config, .share = share, .models = models};
    *ret_arbiter = a;
    return TW_OK;
}

void tw_arbiter_free(struct tw_arbiter *a)
{
    if (a == NULL) {
        return;
    }
    for (uint32_t i = 0; i < a->config.n_models; i++) {
        tw_mem_free(a->models[i].tenants);
    }
    tw_mem_free(a->models);
    tw_mem_free(a);
}

static struct model *get(const struct tw_arbiter *a, uint32_t model)
{
    assert(model < a->config.n_models);
    return &a->models[model];
}

enum tw_status tw_arbiter_set_size(struct tw_arbiter *a, uint32_t model, const char *name,
                                   uint64_t weight_bytes, uint64_t cache_bytes,
                                   struct tw_error *error)
{
    const struct tw_arbiter_config *config = &a->config;
    struct model *one = get(a, model);
    assert(one->state == TW_MODEL_AWAY);
    if (config->cache_bytes > 0 && cache_bytes > config->cache_bytes) {
        return tw_error_set(
            error, TW_ERR_LIMIT, TW_NO_POSITION,
            "'%.100s': a KV cache of %llu bytes; all models together may have %llu: "
            "raise kv-bytes, or give it less",
            name, (unsigned long long)cache_bytes, (unsigned long long)config->cache_bytes);
    }
    if (config->memory_bytes > 0 && (weight_bytes > config->memory_bytes ||
                                     cache_bytes > config->memory_bytes - weight_bytes)) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "'%.100s': %llu bytes of weights and %llu of KV cache are more than "
                            "the %llu that all models together may have: raise models-bytes, or "
                            "give it a smaller cache (ctx, max-seqs, kv-bytes)",
                            name, (unsigned long long)weight_bytes, (unsigned long long)cache_bytes,
                            (unsigned long long)config->memory_bytes);
    }
    one->weight_bytes = weight_bytes;
    one->cache_bytes = cache_bytes;
    return TW_OK;
}

/* ---- requests ---- */

static struct presence *find(const struct model *one, uint32_t tenant)
{
    for (uint32_t i = 0; i < one->n_tenants; i++) {
        if (one->tenants[i].tenant == tenant) {
            return &one->tenants[i];
        }
    }
    return NULL;
}

static struct presence *find_or_add(struct model *one, uint32_t tenant)
{
    struct presence *presence = find(one, tenant);
    if (presence != NULL) {
        return presence;
    }
    if (one->n_tenants == one->tenant_capacity) {
        const uint32_t n = one->tenant_capacity * 2 + 4;
        struct presence *tenants = tw_mem_realloc(one->tenants, n, sizeof *tenants);
        if (tenants == NULL) {
            return NULL;
        }
        one->tenants = tenants;
        one->tenant_capacity = n;
    }
    one->tenants[one->n_tenants] = (struct presence){.tenant = tenant};
    return &one->tenants[one->n_tenants++];
}

/* A model that had nothing to do has saved up no time. */
static void lift(const struct tw_arbiter *a, struct model *one)
{
    uint64_t least = UINT64_MAX;
    for (uint32_t i = 0; i < a->config.n_models; i++) {
        const struct model *other = &a->models[i];
        if (other != one && other->n_waiting + other->n_running > 0 && other->n_turns_ns < least) {
            least = other->n_turns_ns;
        }
    }
    if (least != UINT64_MAX && one->n_turns_ns < least) {
        one->n_turns_ns = least;
    }
}

bool tw_arbiter_arrive(struct tw_arbiter *a, uint32_t model, uint32_t tenant, int64_t now_ns)
{
    struct model *one = get(a, model);
    struct presence *presence = find_or_add(one, tenant);
    if (presence == NULL) {
        return false;
    }
    if (one->n_waiting + one->n_running == 0) {
        lift(a, one);
    }
    presence->n++;
    presence->n_ready++;
    one->n_waiting++;
    one->used_ns = now_ns;
    tw_arbiter_want(a, model, now_ns);
    return true;
}

uint32_t tw_arbiter_requests(const struct tw_arbiter *a, uint32_t model, uint32_t tenant)
{
    const struct presence *presence = find(get(a, model), tenant);
    return presence != NULL ? presence->n : 0;
}

bool tw_arbiter_may_begin(const struct tw_arbiter *a, uint32_t model)
{
    const struct model *one = get(a, model);
    return one->state == TW_MODEL_LOADED && !one->closes;
}

void tw_arbiter_begin(struct tw_arbiter *a, uint32_t model, int64_t now_ns)
{
    struct model *one = get(a, model);
    assert(tw_arbiter_may_begin(a, model) && one->n_waiting > 0);
    one->n_waiting--;
    one->n_running++;
    one->has_begun = true;
    one->used_ns = now_ns;
}

void tw_arbiter_pause(struct tw_arbiter *a, uint32_t model, uint32_t tenant)
{
    struct presence *presence = find(get(a, model), tenant);
    assert(presence != NULL && presence->n_ready > 0);
    presence->n_ready--;
}

void tw_arbiter_resume(struct tw_arbiter *a, uint32_t model, uint32_t tenant)
{
    struct presence *presence = find(get(a, model), tenant);
    assert(presence != NULL && presence->n_ready < presence->n);
    presence->n_ready++;
}

void tw_arbiter_depart(struct tw_arbiter *a, uint32_t model, uint32_t tenant, bool ran,
                       int64_t now_ns)
{
    struct model *one = get(a, model);
    struct presence *presence = find(one, tenant);
    uint32_t *n = ran ? &one->n_running : &one->n_waiting;
    assert(presence != NULL && presence->n_ready > 0 && *n > 0);
    *n -= 1;
    presence->n_ready--;
    if (--presence->n == 0) {
        *presence = one->tenants[--one->n_tenants];
    }
    one->used_ns = now_ns;
    one->is_wanted = one->is_wanted && one->n_waiting > 0;
}

/* ---- memory ---- */

enum tw_arbiter_state tw_arbiter_state(const struct tw_arbiter *a, uint32_t model)
{
    return get(a, model)->state;
}

void tw_arbiter_want(struct tw_arbiter *a, uint32_t model, int64_t now_ns)
{
    struct model *one = get(a, model);
    if (one->state == TW_MODEL_AWAY && !one->is_wanted) {
        one->is_wanted = true;
        one->wanted_ns = now_ns;
    }
}

/* What is not AWAY; without_leaving: nor about to be. */
static void sum_bytes(const struct tw_arbiter *a, bool without_leaving, uint64_t *ret_memory,
                      uint64_t *ret_cache)
{
    uint64_t memory = 0, cache = 0;
    for (uint32_t i = 0; i < a->config.n_models; i++) {
        const struct model *one = &a->models[i];
        const bool leaves = one->state == TW_MODEL_LEAVING || one->closes;
        if (one->state != TW_MODEL_AWAY && !(without_leaving && leaves)) {
            memory += one->weight_bytes + one->cache_bytes;
            cache += one->cache_bytes;
        }
    }
    *ret_memory = memory;
    *ret_cache = cache;
}

static bool fits(const struct tw_arbiter *a, const struct model *one, bool without_leaving)
{
    uint64_t memory, cache;
    sum_bytes(a, without_leaving, &memory, &cache);
    memory += one->weight_bytes + one->cache_bytes;
    cache += one->cache_bytes;
    return (a->config.memory_bytes == 0 || memory <= a->config.memory_bytes) &&
           (a->config.cache_bytes == 0 || cache <= a->config.cache_bytes);
}

static bool is_one_loading(const struct tw_arbiter *a)
{
    bool is_one = false;
    for (uint32_t i = 0; i < a->config.n_models; i++) {
        is_one = is_one || a->models[i].state == TW_MODEL_LOADING;
    }
    return is_one;
}

/* The one that is wanted longest; NULL: none is. */
static struct model *first_wanted(const struct tw_arbiter *a)
{
    struct model *first = NULL;
    for (uint32_t i = 0; i < a->config.n_models; i++) {
        struct model *one = &a->models[i];
        if (one->state == TW_MODEL_AWAY && one->is_wanted &&
            (first == NULL || one->wanted_ns < first->wanted_ns)) {
            first = one;
        }
    }
    return first;
}

/* The least recently used of those that may make room: without requests, or busy ones that have
 * had their time. */
static struct model *last_used(const struct tw_arbiter *a, bool busy, int64_t now_ns)
{
    struct model *last = NULL;
    for (uint32_t i = 0; i < a->config.n_models; i++) {
        struct model *one = &a->models[i];
        const bool is_busy = one->n_waiting + one->n_running > 0;
        const bool had_time = one->has_begun && now_ns - one->loaded_ns >= a->config.patience_ns;
        if (one->state == TW_MODEL_LOADED && !one->closes && is_busy == busy &&
            (!busy || had_time) && (last == NULL || one->used_ns < last->used_ns)) {
            last = one;
        }
    }
    return last;
}

/* One that closes and on which nothing runs any more; NULL: none. Nobody closes for nobody. */
static struct model *finish_closing(struct tw_arbiter *a, bool somebody_waits)
{
    struct model *done = NULL;
    for (uint32_t i = 0; i < a->config.n_models; i++) {
        struct model *one = &a->models[i];
        one->closes = one->closes && somebody_waits;
        if (one->closes && one->n_running == 0 && done == NULL) {
            done = one;
        }
    }
    return done;
}

static bool enter_state(const struct tw_arbiter *a, struct model *one, enum tw_arbiter_state state,
                        uint32_t *ret_model)
{
    one->state = state;
    one->closes = false;
    *ret_model = (uint32_t)(one - a->models);
    return true;
}

bool tw_arbiter_move(struct tw_arbiter *a, int64_t now_ns, uint32_t *ret_model)
{
    struct model *wanted = first_wanted(a);
    struct model *closed = finish_closing(a, wanted != NULL);
    if (closed != NULL) {
        return enter_state(a, closed, TW_MODEL_LEAVING, ret_model);
    }
    if (wanted == NULL || is_one_loading(a)) {
        return false;
    }
    if (fits(a, wanted, false)) {
        return enter_state(a, wanted, TW_MODEL_LOADING, ret_model);
    }
    if (fits(a, wanted, true)) {
        return false; /* there will be room by itself */
    }
    struct model *unused = last_used(a, false, now_ns);
    if (unused != NULL) {
        return enter_state(a, unused, TW_MODEL_LEAVING, ret_model);
    }
    if (now_ns - wanted->wanted_ns >= a->config.patience_ns) {
        struct model *busy = last_used(a, true, now_ns);
        if (busy != NULL) {
            busy->closes = true;
            return tw_arbiter_move(a, now_ns, ret_model);
        }
    }
    return false;
}

void tw_arbiter_loaded(struct tw_arbiter *a, uint32_t model, bool ok, int64_t now_ns)
{
    struct model *one = get(a, model);
    assert(one->state == TW_MODEL_LOADING);
    one->state = ok ? TW_MODEL_LOADED : TW_MODEL_AWAY;
    one->is_wanted = one->has_begun = false;
    one->loaded_ns = one->used_ns = now_ns;
    if (!ok && one->n_waiting > 0) {
        tw_arbiter_want(a, model, now_ns);
    }
}

void tw_arbiter_left(struct tw_arbiter *a, uint32_t model, int64_t now_ns)
{
    struct model *one = get(a, model);
    assert(one->state == TW_MODEL_LEAVING && one->n_running == 0);
    one->state = TW_MODEL_AWAY;
    if (one->n_waiting > 0) {
        tw_arbiter_want(a, model, now_ns);
    }
}

/* ---- turns ---- */

void tw_arbiter_ask(struct tw_arbiter *a, uint32_t model, bool asks)
{
    struct model *one = get(a, model);
    one->n_passed = one->asks && asks ? one->n_passed : 0;
    one->asks = asks;
}

/* The tenant of the model that is to be served first; false: nothing of anybody's could run. One
 * that is not known is to be told so, which takes no time. */
static bool first_tenant(const struct tw_arbiter *a, const struct model *one, uint32_t *ret_tenant)
{
    bool any = false;
    for (uint32_t i = 0; i < one->n_tenants; i++) {
        const struct presence *presence = &one->tenants[i];
        if (presence->n_ready > 0 && tw_fair_share_knows(a->share, presence->tenant) &&
            (!any || tw_fair_share_before(a->share, presence->tenant, *ret_tenant))) {
            *ret_tenant = presence->tenant;
            any = true;
        }
    }
    return any;
}

static bool comes_before(const struct tw_arbiter *a, const struct model *one,
                         const struct model *other)
{
    uint32_t tenant = 0, other_tenant = 0;
    if (one->n_passed != other->n_passed &&
        (one->n_passed >= TW_ARBITER_TURNS || other->n_passed >= TW_ARBITER_TURNS)) {
        return one->n_passed > other->n_passed;
    }
    /* A load that does not wait for those who compute, and does not keep them waiting. */
    const bool loads = one->state == TW_MODEL_LOADING;
    if (loads != (other->state == TW_MODEL_LOADING)) {
        return loads ? one->n_passed > 0 : other->n_passed == 0;
    }
    /* Without a tenant there is only something to be tidied up. */
    const bool has = first_tenant(a, one, &tenant),
               other_has = first_tenant(a, other, &other_tenant);
    if (has != other_has) {
        return !has;
    }
    if (has && tenant != other_tenant) {
        return tw_fair_share_before(a->share, tenant, other_tenant);
    }
    return one->n_turns_ns < other->n_turns_ns;
}

bool tw_arbiter_next(struct tw_arbiter *a, uint32_t *ret_model)
{
    struct model *next = NULL;
    for (uint32_t i = 0; !a->is_taken && i < a->config.n_models; i++) {
        struct model *one = &a->models[i];
        if (one->asks && (next == NULL || comes_before(a, one, next))) {
            next = one;
        }
    }
    if (next == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < a->config.n_models; i++) {
        a->models[i].n_passed += a->models[i].asks;
    }
    next->n_passed = 0;
    a->is_taken = true;
    a->holder = *ret_model = (uint32_t)(next - a->models);
    return true;
}

void tw_arbiter_end(struct tw_arbiter *a, uint32_t model, int64_t step_ns)
{
    assert(a->is_taken && a->holder == model && step_ns >= 0);
    a->is_taken = false;
    get(a, model)->n_turns_ns += (uint64_t)step_ns;
}

struct tw_arbiter_usage tw_arbiter_usage(const struct tw_arbiter *a)
{
    struct tw_arbiter_usage usage = {.n_loaded = 0};
    sum_bytes(a, false, &usage.memory_bytes, &usage.cache_bytes);
    for (uint32_t i = 0; i < a->config.n_models; i++) {
        usage.n_loaded += a->models[i].state == TW_MODEL_LOADED;
        usage.n_waiting += a->models[i].n_waiting;
        usage.n_running += a->models[i].n_running;
    }
    return usage;
}
