#include "api/relay_routes.h"

#include <assert.h>
#include <string.h>

#include "api/fleet.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "remote/request_needs.h"
#include "route/prefix_index.h"

#define BYTES_PER_TOKEN 4 /* about: only speed hangs on it */

/* Zones as numbers: that of the first server in it. */
static uint32_t zone_of(const struct tw_api_remotes *remotes, size_t remote)
{
    size_t i = 0;
    while (strcmp(remotes->items[i].zone, remotes->items[remote].zone) != 0) {
        i++;
    }
    return (uint32_t)i;
}

/* Entries of the file as numbers, likewise. */
static uint32_t group_of(const struct tw_api_remotes *remotes, size_t remote)
{
    size_t i = 0;
    while (strcmp(remotes->items[i].entry, remotes->items[remote].entry) != 0) {
        i++;
    }
    return (uint32_t)i;
}

_Static_assert(TW_LIMIT_SERVED_MODELS <= TW_LIMIT_ROUTE_MODELS,
               "a table of routes has room for each model that a server may have");

static struct tw_route_backend route_to(const struct tw_api_remotes *remotes, size_t i,
                                        struct tw_route_model *models)
{
    const struct tw_api_remote *remote = &remotes->items[i];
    for (size_t k = 0; k < remote->n_models; k++) {
        models[k] = (struct tw_route_model){.name = remote->models[k].name,
                                            .there = remote->models[k].upstream,
                                            .context_tokens = remote->models[k].n_context_tokens,
                                            .abilities = remote->models[k].abilities,
                                            .prices = remote->models[k].prices};
    }
    return (struct tw_route_backend){.name = remote->name,
                                     .zone = zone_of(remotes, i),
                                     .group = group_of(remotes, i),
                                     .rank = remote->rank,
                                     .models = models,
                                     .n_models = remote->n_models,
                                     .weight = remote->weight > 0 ? remote->weight : 1,
                                     .canary_per_mille = remote->canary_per_mille,
                                     .most_in_flight = remote->most_in_flight,
                                     .is_draining = remote->is_draining};
}

enum tw_status tw_api_routes_set(struct tw_api *api, const struct tw_api_remotes *remotes,
                                 struct tw_error *error)
{
    const size_t n = remotes->n_items;
    assert(api->relays.router != NULL); /* whoever has servers has a client for them */
    struct tw_route_backend *backends = tw_mem_zalloc(n + 1, sizeof *backends);
    struct tw_route_model *models = tw_mem_zalloc((n + 1) * TW_LIMIT_ROUTE_MODELS, sizeof *models);
    struct tw_route_table table = {.backends = backends};
    enum tw_status status = TW_OK;
    if (backends == NULL || models == NULL) {
        status = tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for routes");
    }
    for (size_t i = 0; status == TW_OK && i < n; i++) {
        if (remotes->items[i].backend != NULL) {
            backends[table.n_backends++] = route_to(remotes, i, &models[i * TW_LIMIT_ROUTE_MODELS]);
        }
    }
    if (status == TW_OK) {
        status = tw_router_set(api->relays.router, &table, error);
    }
    tw_mem_free(backends);
    tw_mem_free(models);
    return status;
}

enum tw_status tw_api_routes_open(struct tw_api *api, struct tw_error *error)
{
    struct tw_router_config config = tw_router_defaults();
    config.seed = tw_rng_system_seed();
    api->relays.seed = tw_rng_system_seed();
    config.block_tokens = TW_LIMIT_ROUTE_BLOCK_BYTES / BYTES_PER_TOKEN;
    return tw_router_create(&config, &api->relays.router, error);
}

void tw_api_routes_close(struct tw_api *api)
{
    tw_router_free(api->relays.router);
    api->relays.router = NULL;
}

/* ---- a trip ---- */

/* Whether "organisation/team/project/key" is below, or is, what a list names. */
static bool is_among(const char *path, const struct tw_api_preference *preference)
{
    for (size_t i = 0; i < preference->n_who; i++) {
        const size_t n = strlen(preference->who[i]);
        if (strncmp(path, preference->who[i], n) == 0 && (path[n] == '/' || path[n] == '\0')) {
            return true;
        }
    }
    return false;
}

static enum tw_route_pick pick_of(const struct tw_api *api, const struct tw_api_tenant *tenant)
{
    char path[TW_LIMIT_HUB_SHOWN_BYTES] = "";
    if (api->config.hub != NULL && api->config.n_preferences > 0) {
        tw_hub_caller_path(&tenant->caller, path, sizeof path);
    }
    for (size_t i = 0; i < api->config.n_preferences; i++) {
        if (is_among(path, &api->config.preferences[i])) {
            return api->config.preferences[i].pick;
        }
    }
    return TW_PICK_CHEAPEST_FAST;
}

bool tw_api_trip_begin(struct tw_api_trip *trip, const struct tw_api *api,
                       const struct tw_api_trip_terms *terms)
{
    static const char *const beginnings[] = {"messages", "prompt", "input"};
    const json_t *text = NULL;
    for (size_t i = 0; text == NULL && i < sizeof beginnings / sizeof beginnings[0]; i++) {
        text = json_object_get(terms->body, beginnings[i]);
    }
    struct tw_buf dump;
    struct tw_json_writer json;
    tw_buf_init(&dump, TW_LIMIT_HTTP_BODY_BYTES * 2);
    tw_json_begin(&json, &dump);
    if (text != NULL) {
        tw_json_value(&json, text);
    }
    const size_t n_bytes = dump.failed ? 0 : dump.size_bytes;
    uint64_t n_blocks = n_bytes / TW_LIMIT_ROUTE_BLOCK_BYTES;
    n_blocks = n_blocks < TW_LIMIT_ROUTE_BLOCKS ? n_blocks : TW_LIMIT_ROUTE_BLOCKS;
    trip->hashes = tw_mem_zalloc(n_blocks + 1, sizeof *trip->hashes);
    trip->request =
        (struct tw_route_request){.model = terms->model,
                                  .abilities = tw_request_needs(terms->body, terms->makes_answers),
                                  .n_prompt_tokens = n_bytes / BYTES_PER_TOKEN,
                                  .n_answer_tokens = terms->n_answer_tokens * terms->n_answers,
                                  .hashes = trip->hashes,
                                  .zone_trusts = trip->zone_trusts,
                                  .pick = pick_of(api, terms->tenant)};
    /* Several texts of one request are each less than their sum. An answer that may be longer than
     * there is room is bounded by it. */
    const json_t *prompt = json_object_get(terms->body, "prompt");
    const bool is_ids = json_is_integer(json_array_get(prompt, 0));
    const bool is_one_text = terms->makes_answers && (is_ids || !json_is_array(prompt));
    trip->n_least_tokens = is_ids        ? json_array_size(prompt)
                           : is_one_text ? n_bytes / TW_LIMIT_ROUTE_TOKEN_BYTES
                                         : 0;
    trip->request.n_text_tokens =
        terms->n_answer_tokens + (is_ids        ? trip->n_least_tokens
                                  : is_one_text ? trip->request.n_prompt_tokens
                                                : 0);
    if (trip->hashes != NULL && n_blocks > 0) {
        const uint64_t seed =
            api->relays.seed +
            (api->config.shares_prefixes ? 0 : terms->tenant->number * UINT64_C(0x9e3779b9));
        trip->request.n_hashes = tw_prefix_hashes(dump.data, n_bytes, TW_LIMIT_ROUTE_BLOCK_BYTES,
                                                  seed, trip->hashes, (uint32_t)n_blocks);
    }
    tw_buf_free(&dump);
    trip->request.hash = (uint64_t)tw_clock_monotonic_ns() * UINT64_C(0x9e3779b97f4a7c15);
    return trip->hashes != NULL;
}

void tw_api_trip_free(struct tw_api_trip *trip)
{
    tw_api_fleet_drop(trip->fleet);
    tw_mem_free(trip->hashes);
}

/* A server says what it likes. */
static uint32_t count_of(double value)
{
    return value >= 0 && value < TW_LIMIT_REMOTE_WAITING ? (uint32_t)value
                                                         : TW_LIMIT_REMOTE_WAITING;
}

/* What servers have said, for the router; and where the admission lets the request go. */
static void look_around(struct tw_api_trip *trip, struct tw_api *api,
                        const struct tw_api_remotes *remotes,
                        const struct tw_api_admission *admission, int64_t now_ns)
{
    trip->request.zones = 0;
    for (size_t i = 0; i < remotes->n_items; i++) {
        const struct tw_api_remote *remote = &remotes->items[i];
        if (remote->backend == NULL) {
            continue;
        }
        const struct tw_remote_health health = tw_remote_backend_health(remote->backend);
        const struct tw_route_load load = {.is_alive = !health.is_known || health.is_alive,
                                           .has_load = health.has_load,
                                           .n_waiting =
                                               count_of(health.load.value[TW_METRIC_WAITING]),
                                           .kv_share = health.load.value[TW_METRIC_KV_SHARE]};
        tw_router_load(api->relays.router, tw_router_find(api->relays.router, remote->name), &load,
                       health.is_known ? health.checked_ns : now_ns);
        const uint32_t zone = zone_of(remotes, i);
        if (tw_api_admission_allows(admission, remote->zone)) {
            trip->request.zones |= UINT64_C(1) << zone;
        }
        trip->zone_trusts[zone] = tw_api_admission_trust(admission, remote->zone);
    }
}

/* With the lock held. The trip has hold of the fleet of its last choice. */
static const struct tw_api_remote *choose(struct tw_api_trip *trip, struct tw_api *api,
                                          const struct tw_api_admission *admission, int64_t now_ns,
                                          struct tw_route_choice *ret_choice,
                                          enum tw_route_verdict *ret_verdict)
{
    struct tw_api_fleet *fleet = tw_api_fleet_take(api);
    const struct tw_api_remotes *remotes = &fleet->remotes;
    look_around(trip, api, remotes, admission, now_ns);
    *ret_verdict =
        tw_router_choose(api->relays.router, &trip->request, &trip->trip, now_ns, ret_choice);
    if (*ret_verdict == TW_ROUTE_NO_CONTEXT) { /* by a guess, which may be wrong */
        struct tw_route_request sure = trip->request;
        sure.n_text_tokens = trip->n_least_tokens;
        *ret_verdict = tw_router_choose(api->relays.router, &sure, &trip->trip, now_ns, ret_choice);
    }
    if (*ret_verdict != TW_ROUTE_FOUND) {
        tw_api_fleet_drop(fleet);
        return NULL;
    }
    size_t i = 0;
    while (strcmp(remotes->items[i].name, ret_choice->backend_name) != 0) {
        i++;
    }
    tw_api_fleet_drop(trip->fleet);
    trip->fleet = fleet;
    return &remotes->items[i];
}

const struct tw_api_remote *tw_api_trip_next(struct tw_api_trip *trip, struct tw_api *api,
                                             const struct tw_api_admission *admission,
                                             enum tw_route_verdict *ret_verdict)
{
    struct tw_route_choice choice;
    pthread_mutex_lock(&api->relays.router_lock);
    const struct tw_api_remote *remote =
        choose(trip, api, admission, tw_clock_monotonic_ns(), &choice, ret_verdict);
    pthread_mutex_unlock(&api->relays.router_lock);
    return remote;
}

const struct tw_api_remote *tw_api_trip_ride(struct tw_api_trip *trip, struct tw_api *api,
                                             const struct tw_api_admission *admission,
                                             enum tw_route_verdict *ret_verdict)
{
    struct tw_route_choice choice;
    const int64_t now_ns = tw_clock_monotonic_ns();
    pthread_mutex_lock(&api->relays.router_lock);
    const struct tw_api_remote *remote = choose(trip, api, admission, now_ns, &choice, ret_verdict);
    if (remote != NULL) {
        trip->ride =
            tw_router_begin(api->relays.router, &trip->request, &choice, &trip->trip, now_ns);
        trip->is_riding = true;
        trip->has_first = false;
    }
    pthread_mutex_unlock(&api->relays.router_lock);
    return remote;
}

static const struct tw_api_remote_model *model_of(const struct tw_api_trip *trip,
                                                  const struct tw_api_remote *remote)
{
    for (size_t k = 0; k < remote->n_models; k++) {
        if (strcmp(remote->models[k].name, trip->request.model) == 0) {
            return &remote->models[k];
        }
    }
    return NULL;
}

uint32_t tw_api_trip_floor(const struct tw_api_trip *trip, struct tw_api *api,
                           const struct tw_api_admission *admission)
{
    uint32_t least = UINT32_MAX;
    if (trip->trip.n_tried > 0) {
        return trip->trip.least_trust;
    }
    struct tw_api_fleet *fleet = tw_api_fleet_take(api);
    for (size_t i = 0; i < fleet->remotes.n_items; i++) {
        const struct tw_api_remote *remote = &fleet->remotes.items[i];
        if (model_of(trip, remote) != NULL && tw_api_admission_allows(admission, remote->zone)) {
            const uint32_t trust = tw_api_admission_trust(admission, remote->zone);
            least = trust < least ? trust : least;
        }
    }
    tw_api_fleet_drop(fleet);
    return least;
}

uint32_t tw_api_trip_lacks(const struct tw_api_trip *trip, struct tw_api *api,
                           const struct tw_api_admission *admission)
{
    uint32_t lacks = trip->request.abilities;
    struct tw_api_fleet *fleet = tw_api_fleet_take(api);
    for (size_t i = 0; i < fleet->remotes.n_items; i++) {
        const struct tw_api_remote *remote = &fleet->remotes.items[i];
        const struct tw_api_remote_model *model = model_of(trip, remote);
        if (model != NULL && tw_api_admission_allows(admission, remote->zone)) {
            lacks &= trip->request.abilities & ~model->abilities;
        }
    }
    tw_api_fleet_drop(fleet);
    /* Each can do a part, and none all of it. */
    return lacks != 0 ? lacks : trip->request.abilities;
}

void tw_api_trip_first(struct tw_api_trip *trip, struct tw_api *api)
{
    if (trip->is_riding && !trip->has_first) {
        trip->has_first = true;
        pthread_mutex_lock(&api->relays.router_lock);
        tw_router_first(api->relays.router, &trip->ride, tw_clock_monotonic_ns());
        pthread_mutex_unlock(&api->relays.router_lock);
    }
}

void tw_api_trip_end(struct tw_api_trip *trip, struct tw_api *api, enum tw_outcome outcome)
{
    if (trip->is_riding) {
        trip->is_riding = false;
        pthread_mutex_lock(&api->relays.router_lock);
        tw_router_end(api->relays.router, &trip->ride, outcome, tw_clock_monotonic_ns());
        pthread_mutex_unlock(&api->relays.router_lock);
    }
}

/* ---- how they stand ---- */

static struct tw_api_standing standing_of(const struct tw_api *api,
                                          const struct tw_api_remote *remote, int64_t now_ns)
{
    static const char *const breakers[] = {[TW_BREAKER_CLOSED] = "closed",
                                           [TW_BREAKER_OPEN] = "open",
                                           [TW_BREAKER_HALF_OPEN] = "half-open"};
    struct tw_api_standing standing = {.name = remote->name,
                                       .zone = remote->zone,
                                       .has_address = remote->backend != NULL,
                                       .is_draining = remote->is_draining,
                                       .breaker = breakers[TW_BREAKER_CLOSED]};
    struct tw_route_standing route;
    if (remote->backend == NULL) {
        return standing;
    }
    const struct tw_remote_health health = tw_remote_backend_health(remote->backend);
    standing.is_alive = !health.is_known || health.is_alive;
    standing.has_load = health.has_load;
    standing.n_waiting = count_of(health.load.value[TW_METRIC_WAITING]);
    standing.kv_share = health.load.value[TW_METRIC_KV_SHARE];
    memcpy(standing.reason, health.reason, sizeof standing.reason);
    if (tw_router_standing(api->relays.router, tw_router_find(api->relays.router, remote->name),
                           now_ns, &route)) {
        standing.breaker = breakers[route.breaker];
        standing.n_in_flight = route.n_in_flight;
        standing.token_ns = route.token_ns;
        standing.n_chosen = route.n_chosen;
        standing.n_failed = route.n_failed;
    }
    return standing;
}

void tw_api_each_remote(struct tw_api *api,
                        void (*tell)(void *context, const struct tw_api_standing *standing),
                        void *context)
{
    const int64_t now_ns = tw_clock_monotonic_ns();
    pthread_mutex_lock(&api->relays.router_lock);
    struct tw_api_fleet *fleet = tw_api_fleet_take(api);
    for (size_t i = 0; i < fleet->remotes.n_items; i++) {
        const struct tw_api_standing standing = standing_of(api, &fleet->remotes.items[i], now_ns);
        tell(context, &standing);
    }
    pthread_mutex_unlock(&api->relays.router_lock);
    tw_api_fleet_drop(fleet);
}
