#include <assert.h>
#include <string.h>

#include "base/hash.h"
#include "route/router_state.h"

__extension__ typedef unsigned __int128 wide;

#define MILLION 1000000u

/* Steps hold up who waits for a first token by about so many tokens for each text that decodes. */
#define DECODING_TOKENS 32
/* From this fill of the KV cache on a backend is about to push requests out; at its end it counts
 * as twice as slow. */
#define FULL_SHARE      0.8
#define ALIKE           0.25

const char *tw_route_verdict_text(enum tw_route_verdict verdict)
{
    static const char *const texts[] = {
        [TW_ROUTE_NO_MODEL] = "has this model",
        [TW_ROUTE_NO_ZONE] = "with this model is in a zone that the request may enter",
        [TW_ROUTE_NO_TRUST] = "that the request may enter is trusted enough for it",
        [TW_ROUTE_NO_ABILITY] = "that may be used can do what the request asks for",
        [TW_ROUTE_NO_CONTEXT] = "that may be used has room for so long a text",
        [TW_ROUTE_TRIED] = "is left that was not tried",
        [TW_ROUTE_DRAINING] = "that may be used takes new requests: they are being taken out",
        [TW_ROUTE_DOWN] = "that may be used is up",
        [TW_ROUTE_BROKEN] = "that may be used has worked lately",
        [TW_ROUTE_FULL] = "that may be used has room for another request",
        [TW_ROUTE_FOUND] = "is missing",
    };
    return texts[verdict];
}

/* ---- filter ---- */

static const struct tw_route_model *model_of(const struct tw_route_slot *slot, const char *name)
{
    for (size_t i = 0; i < slot->config.n_models; i++) {
        if (strcmp(slot->config.models[i].name, name) == 0) {
            return &slot->config.models[i];
        }
    }
    return NULL;
}

static bool was_tried(const struct tw_route_trip *trip, uint32_t backend)
{
    return (trip->tried[backend / 64] >> (backend % 64) & 1) != 0;
}

static bool has_room(const struct tw_route_model *model, const struct tw_route_request *request)
{
    return model->context_tokens == 0 || request->n_text_tokens <= model->context_tokens;
}

static uint32_t trust_of(const struct tw_route_slot *slot, const struct tw_route_request *request)
{
    return request->zone_trusts != NULL ? request->zone_trusts[slot->config.zone] : 0;
}

static enum tw_route_verdict verdict_on(const struct tw_router *router, uint32_t backend,
                                        const struct tw_route_model *model,
                                        const struct tw_route_request *request,
                                        const struct tw_route_trip *trip, int64_t now_ns)
{
    const struct tw_route_slot *slot = &router->slots[backend];
    const struct tw_route_backend *config = &slot->config;
    return model == NULL                                   ? TW_ROUTE_NO_MODEL
           : (request->zones >> config->zone & 1) == 0     ? TW_ROUTE_NO_ZONE
           : trust_of(slot, request) < trip->least_trust   ? TW_ROUTE_NO_TRUST
           : (request->abilities & ~model->abilities) != 0 ? TW_ROUTE_NO_ABILITY
           : !has_room(model, request)                     ? TW_ROUTE_NO_CONTEXT
           : was_tried(trip, backend)                      ? TW_ROUTE_TRIED
           : slot->is_draining                             ? TW_ROUTE_DRAINING
           : !slot->load.is_alive                          ? TW_ROUTE_DOWN
           : !tw_breaker_allows(&slot->breaker, now_ns)    ? TW_ROUTE_BROKEN
           : config->most_in_flight != 0 && slot->n_in_flight >= config->most_in_flight
               ? TW_ROUTE_FULL
               : TW_ROUTE_FOUND;
}

/* RFC 2782: a target of SRV records is asked where none of a better priority can be reached, or has
 * room. Mostly there are no ranks. */
static bool is_reserve(const struct tw_router *router, uint32_t backend,
                       const struct tw_route_request *request, const struct tw_route_trip *trip,
                       int64_t now_ns)
{
    const struct tw_route_backend *config = &router->slots[backend].config;
    for (uint32_t i = 0; config->rank > 0 && i < router->n_slots; i++) {
        const struct tw_route_slot *slot = &router->slots[i];
        if (slot->is_listed && slot->config.group == config->group &&
            slot->config.rank < config->rank &&
            verdict_on(router, i, model_of(slot, request->model), request, trip, now_ns) ==
                TW_ROUTE_FOUND) {
            return true;
        }
    }
    return false;
}

/* ---- score ---- */

struct score {
    uint32_t backend, n_hit_blocks;
    const struct tw_route_model *model;
    int64_t list_nano, cost_nano; /* without and with what is cached */
    int64_t wait_ns;
    uint64_t work_tokens;
    double share; /* of what it has for its weight */
    uint64_t tie;
};

static int64_t price_of(const struct tw_route_prices *prices, uint64_t n_input, uint64_t n_cached,
                        uint64_t n_output)
{
    const wide sum = (wide)n_input * (uint64_t)prices->input_nano +
                     (wide)n_cached * (uint64_t)prices->cached_nano +
                     (wide)n_output * (uint64_t)prices->output_nano;
    const wide nano = (sum + MILLION - 1) / MILLION;
    return nano > INT64_MAX ? INT64_MAX : (int64_t)nano;
}

/* Tokens that are computed before this request's prompt is, as far as we know. */
static double tokens_ahead(const struct tw_router *router, const struct tw_route_slot *slot,
                           int64_t now_ns)
{
    double ahead = (double)slot->backlog_tokens +
                   (double)(slot->n_in_flight - slot->n_without_first) * DECODING_TOKENS;
    if (slot->load.has_load && now_ns - slot->load_ns <= router->config.stale_ns &&
        slot->load.n_waiting > slot->n_without_first) {
        ahead += (double)(slot->load.n_waiting - slot->n_without_first) * slot->mean_work_tokens;
    }
    return ahead;
}

/* The mean speed that was seen of those that have a model; 0: of none. */
static double usual_token_ns(const struct tw_router *router, const char *model)
{
    double sum = 0, n = 0;
    for (uint32_t i = 0; i < router->n_slots; i++) {
        const struct tw_route_slot *slot = &router->slots[i];
        if (slot->is_listed && slot->token_ns > 0 && model_of(slot, model) != NULL) {
            sum += slot->token_ns;
            n++;
        }
    }
    return n > 0 ? sum / n : 0;
}

/* Who is about as fast as others counts as just as fast: otherwise all would follow the noise of
 * what was measured, and one of equals would have a fifth more to do than the others. */
static double plain_token_ns(const struct tw_router *router, const struct tw_route_slot *slot,
                             double usual_ns)
{
    if (slot->token_ns > usual_ns * (1 + ALIKE) ||
        (slot->token_ns > 0 && slot->token_ns < usual_ns * (1 - ALIKE))) {
        return slot->token_ns;
    }
    return usual_ns > 0 ? usual_ns : (double)router->config.token_ns / (double)slot->config.weight;
}

static double token_ns(const struct tw_router *router, const struct tw_route_slot *slot,
                       double usual_ns, int64_t now_ns)
{
    const double plain = plain_token_ns(router, slot, usual_ns);
    const bool is_full = slot->load.has_load && slot->load.kv_share > FULL_SHARE &&
                         now_ns - slot->load_ns <= router->config.stale_ns;
    return is_full ? plain * (1 + (slot->load.kv_share - FULL_SHARE) / (1 - FULL_SHARE)) : plain;
}

static struct score score_of(const struct tw_router *router, uint32_t backend,
                             const struct tw_route_model *model,
                             const struct tw_route_request *request, int64_t now_ns)
{
    const struct tw_route_slot *slot = &router->slots[backend];
    const uint64_t n_prompt = request->n_prompt_tokens;
    const uint32_t n_blocks =
        request->n_hashes < TW_LIMIT_ROUTE_BLOCKS ? request->n_hashes : TW_LIMIT_ROUTE_BLOCKS;
    const uint32_t n_hits = tw_prefix_index_match(slot->index, request->hashes, n_blocks);
    uint64_t n_cached = (uint64_t)n_hits * router->config.block_tokens;
    n_cached = n_cached < n_prompt ? n_cached : n_prompt;
    const double work = (double)(n_prompt - n_cached);
    const double wait_ns = (tokens_ahead(router, slot, now_ns) + work) *
                           token_ns(router, slot, usual_token_ns(router, model->name), now_ns);
    const uint64_t both[2] = {request->hash, slot->name_hash};
    return (struct score){
        .backend = backend,
        .n_hit_blocks = n_hits,
        .model = model,
        .list_nano = price_of(&model->prices, n_prompt, 0, request->n_answer_tokens),
        .cost_nano =
            price_of(&model->prices, n_prompt - n_cached, n_cached, request->n_answer_tokens),
        .wait_ns = wait_ns < 9e18 ? (int64_t)wait_ns : INT64_MAX,
        .work_tokens = n_prompt - n_cached,
        .share = (double)slot->n_in_flight / (double)slot->config.weight,
        .tie = tw_hash_of(both, sizeof both, router->config.seed),
    };
}

/* ---- pick ---- */

static int order(int64_t a, int64_t b)
{
    return a < b ? -1 : a > b;
}

/* Whether a is to be taken before b. What is cached is no part of the price that is compared first:
 * among backends of one price it would send everybody to one of them, however long the queue. */
static bool is_better(const struct score *a, const struct score *b, enum tw_route_pick pick)
{
    const int by_list = order(a->list_nano, b->list_nano);
    const int by_cost = order(a->cost_nano, b->cost_nano);
    const int by_wait = order(a->wait_ns, b->wait_ns);
    const int by_share = a->share < b->share ? -1 : a->share > b->share;
    int keys[3] = {by_list, by_wait, by_share};
    if (pick == TW_PICK_FASTEST) {
        keys[0] = by_wait;
        keys[1] = by_cost;
    } else if (pick == TW_PICK_CHEAPEST) {
        keys[0] = by_cost;
    } else if (pick == TW_PICK_SPREAD) {
        keys[0] = by_share;
        keys[2] = by_list;
    }
    for (int i = 0; i < 3; i++) {
        if (keys[i] != 0) {
            return keys[i] < 0;
        }
    }
    return a->tie < b->tie;
}

/* The best of those that are canaries, or of those that are none. */
static enum tw_route_verdict find_best(const struct tw_router *router,
                                       const struct tw_route_request *request,
                                       const struct tw_route_trip *trip, bool is_canary,
                                       int64_t now_ns, struct score *ret_best)
{
    enum tw_route_verdict verdict = TW_ROUTE_NO_MODEL;
    for (uint32_t i = 0; i < router->n_slots; i++) {
        const struct tw_route_slot *slot = &router->slots[i];
        if (!slot->is_listed || (slot->config.canary_per_mille > 0) != is_canary) {
            continue;
        }
        const struct tw_route_model *there = model_of(slot, request->model);
        const enum tw_route_verdict of_this = verdict_on(router, i, there, request, trip, now_ns);
        if (of_this == TW_ROUTE_FOUND && is_reserve(router, i, request, trip, now_ns)) {
            continue; /* another one is found */
        }
        if (of_this == TW_ROUTE_FOUND) {
            const struct score score = score_of(router, i, there, request, now_ns);
            if (verdict != TW_ROUTE_FOUND || is_better(&score, ret_best, request->pick)) {
                *ret_best = score;
            }
        }
        verdict = of_this > verdict ? of_this : verdict;
    }
    return verdict;
}

/* The canary whose share this request falls into, if it may run there. The shares of several lie
 * behind one another. */
static void find_canary(const struct tw_router *router, const struct tw_route_request *request,
                        const struct tw_route_trip *trip, int64_t now_ns, struct score *ret_score)
{
    const uint32_t draw =
        (uint32_t)(tw_hash_of(&request->hash, sizeof request->hash, router->config.seed) % 1000);
    uint32_t share = 0;
    for (uint32_t i = 0; i < router->n_slots; i++) {
        const struct tw_route_slot *slot = &router->slots[i];
        const struct tw_route_model *there = slot->is_listed && slot->config.canary_per_mille > 0
                                                 ? model_of(slot, request->model)
                                                 : NULL;
        if (there == NULL) {
            continue;
        }
        const bool is_its = draw >= share && draw < share + slot->config.canary_per_mille;
        share += slot->config.canary_per_mille;
        if (is_its && verdict_on(router, i, there, request, trip, now_ns) == TW_ROUTE_FOUND &&
            !is_reserve(router, i, request, trip, now_ns)) {
            *ret_score = score_of(router, i, there, request, now_ns);
            return;
        }
    }
}

static struct tw_route_choice choice_of(const struct tw_router *router, const struct score *score,
                                        uint32_t least_trust)
{
    const struct tw_route_backend *config = &router->slots[score->backend].config;
    return (struct tw_route_choice){.backend = score->backend,
                                    .backend_name = config->name,
                                    .there = score->model->there,
                                    .zone = config->zone,
                                    .least_trust = least_trust,
                                    .is_canary = config->canary_per_mille > 0,
                                    .n_hit_blocks = score->n_hit_blocks,
                                    .cost_nano = score->list_nano,
                                    .wait_ns = score->wait_ns,
                                    .work_tokens = score->work_tokens};
}

/* First without canaries: that says how much trust it takes. Then a first attempt may get one; a
 * canary is also what is left when all others have failed. */
enum tw_route_verdict tw_router_choose(const struct tw_router *router,
                                       const struct tw_route_request *request,
                                       const struct tw_route_trip *trip, int64_t now_ns,
                                       struct tw_route_choice *ret_choice)
{
    struct score score;
    struct tw_route_trip kept = *trip;
    enum tw_route_verdict verdict = find_best(router, request, trip, false, now_ns, &score);
    const bool is_plain = verdict == TW_ROUTE_FOUND;
    if (!is_plain) {
        const enum tw_route_verdict of_canaries =
            find_best(router, request, trip, true, now_ns, &score);
        verdict = of_canaries > verdict ? of_canaries : verdict;
    }
    if (verdict != TW_ROUTE_FOUND) {
        return verdict;
    }
    if (trip->n_tried == 0) {
        kept.least_trust = trust_of(&router->slots[score.backend], request);
    }
    if (is_plain && trip->n_tried == 0) {
        find_canary(router, request, &kept, now_ns, &score);
    }
    *ret_choice = choice_of(router, &score, kept.least_trust);
    return TW_ROUTE_FOUND;
}
