#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "route/router_state.h"

static enum tw_status refuse(struct tw_error *error, const char *name, const char *why)
{
    return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION, "the backend '%s' %s", name, why);
}

static enum tw_status no_memory(struct tw_error *error)
{
    return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for routes");
}

/* ---- checks ---- */

static const char *why_no_backend(const struct tw_route_backend *b)
{
    return b->name[0] == '\0'                    ? "has no name"
           : b->zone >= TW_LIMIT_ROUTE_ZONES     ? "is in a zone that does not exist"
           : b->weight == 0                      ? "must have a weight from 1 on"
           : b->canary_per_mille > 1000          ? "has a canary share above the whole"
           : b->n_models == 0                    ? "has no model"
           : b->n_models > TW_LIMIT_ROUTE_MODELS ? "has too many models"
                                                 : NULL;
}

static enum tw_status check_backend(const struct tw_route_table *table, size_t i,
                                    struct tw_error *error)
{
    const struct tw_route_backend *backend = &table->backends[i];
    const char *why = why_no_backend(backend);
    for (size_t other = 0; other < i && why == NULL; other++) {
        if (strcmp(table->backends[other].name, backend->name) == 0) {
            why = "is there twice";
        }
    }
    for (size_t m = 0; m < backend->n_models && why == NULL; m++) {
        const struct tw_route_prices *prices = &backend->models[m].prices;
        if (prices->input_nano < 0 || prices->cached_nano < 0 || prices->output_nano < 0) {
            why = "has a negative price";
        }
    }
    return why != NULL ? refuse(error, backend->name, why) : TW_OK;
}

static enum tw_status check_table(const struct tw_route_table *table, struct tw_error *error)
{
    if (table->n_backends > TW_LIMIT_ROUTE_BACKENDS) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION, "more than %d backends",
                            TW_LIMIT_ROUTE_BACKENDS);
    }
    for (size_t i = 0; i < table->n_backends; i++) {
        enum tw_status status = check_backend(table, i, error);
        if (status != TW_OK) {
            return status;
        }
    }
    return TW_OK;
}

/* ---- copies ---- */

static const char *copy_text(struct tw_arena *texts, const char *text, bool *is_copied)
{
    const char *copy = text != NULL ? tw_arena_strndup(texts, text, strlen(text)) : NULL;
    *is_copied = *is_copied && (text == NULL || copy != NULL);
    return copy;
}

static bool copy_backend(struct tw_arena *texts, const struct tw_route_backend *from,
                         struct tw_route_backend *ret_to)
{
    bool is_copied = true;
    struct tw_route_model *models = tw_arena_alloc(texts, from->n_models, sizeof *models);
    if (models == NULL) {
        return false;
    }
    for (size_t i = 0; i < from->n_models; i++) {
        models[i] = from->models[i];
        models[i].name = copy_text(texts, from->models[i].name, &is_copied);
        models[i].there = from->models[i].there != NULL
                              ? copy_text(texts, from->models[i].there, &is_copied)
                              : models[i].name;
    }
    *ret_to = *from;
    ret_to->name = copy_text(texts, from->name, &is_copied);
    ret_to->models = models;
    return is_copied;
}

struct copies {
    struct tw_arena texts;
    struct tw_route_backend *backends;
};

static bool copy_table(const struct tw_route_table *table, struct copies *ret_copies)
{
    struct tw_arena *texts = &ret_copies->texts;
    tw_arena_init(texts, TW_LIMIT_ROUTE_TABLE_BYTES);
    ret_copies->backends =
        tw_arena_alloc(texts, table->n_backends + 1, sizeof *ret_copies->backends);
    bool is_copied = ret_copies->backends != NULL;
    for (size_t i = 0; i < table->n_backends && is_copied; i++) {
        is_copied = copy_backend(texts, &table->backends[i], &ret_copies->backends[i]);
    }
    return is_copied;
}

/* ---- slots ---- */

void tw_router_slot_clear(struct tw_route_slot *slot)
{
    tw_prefix_index_free(slot->index);
    *slot = (struct tw_route_slot){0};
}

uint32_t tw_router_find(const struct tw_router *router, const char *name)
{
    for (uint32_t i = 0; i < router->n_slots; i++) {
        if (router->slots[i].is_listed && strcmp(router->slots[i].config.name, name) == 0) {
            return i;
        }
    }
    return TW_ROUTE_NOWHERE;
}

/* Slots for backends that are new, empty and with their memory: all or none of them. places: the
 * slot of each backend of the table. */
static enum tw_status find_places(struct tw_router *router, const struct tw_route_table *table,
                                  uint32_t *places, struct tw_prefix_index **indexes,
                                  struct tw_error *error)
{
    uint32_t at = 0;
    enum tw_status status = TW_OK;
    for (size_t i = 0; i < table->n_backends && status == TW_OK; i++) {
        places[i] = tw_router_find(router, table->backends[i].name);
        if (places[i] != TW_ROUTE_NOWHERE) {
            continue;
        }
        while (at < TW_LIMIT_ROUTE_BACKENDS && router->slots[at].is_used) {
            at++;
        }
        if (at == TW_LIMIT_ROUTE_BACKENDS) {
            return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                                "backends that were taken out still answer: try again later");
        }
        status = tw_prefix_index_create(router->config.index_entries, &indexes[i], error);
        places[i] = at++;
    }
    return status;
}

static void fill_slot(struct tw_router *router, uint32_t place,
                      const struct tw_route_backend *config, struct tw_prefix_index *index)
{
    struct tw_route_slot *slot = &router->slots[place];
    if (!slot->is_used) {
        *slot = (struct tw_route_slot){.is_used = true, .index = index, .load.is_alive = true};
        slot->name_hash = tw_hash_of(config->name, strlen(config->name), router->config.seed);
        tw_breaker_init(&slot->breaker, &router->config.breaker);
    }
    slot->is_listed = true;
    slot->config = *config;
    slot->is_draining = config->is_draining;
    router->n_slots = place >= router->n_slots ? place + 1 : router->n_slots;
}

static void install(struct tw_router *router, const struct tw_route_table *table,
                    const struct copies *copies, const uint32_t *places,
                    struct tw_prefix_index *const *indexes)
{
    for (uint32_t i = 0; i < router->n_slots; i++) {
        router->slots[i].is_listed = false;
    }
    for (size_t i = 0; i < table->n_backends; i++) {
        fill_slot(router, places[i], &copies->backends[i], indexes[i]);
    }
    for (uint32_t i = 0; i < router->n_slots; i++) {
        struct tw_route_slot *slot = &router->slots[i];
        if (!slot->is_listed && slot->is_used && slot->n_in_flight == 0) {
            tw_router_slot_clear(slot);
        }
    }
    tw_arena_clear(&router->texts);
    router->texts = copies->texts;
}

enum tw_status tw_router_set(struct tw_router *router, const struct tw_route_table *table,
                             struct tw_error *error)
{
    uint32_t places[TW_LIMIT_ROUTE_BACKENDS];
    struct tw_prefix_index *indexes[TW_LIMIT_ROUTE_BACKENDS] = {0};
    struct copies copies;
    enum tw_status status = check_table(table, error);
    if (status != TW_OK) {
        return status;
    }
    if (!copy_table(table, &copies)) {
        tw_arena_clear(&copies.texts);
        return no_memory(error);
    }
    status = find_places(router, table, places, indexes, error);
    if (status == TW_OK) {
        install(router, table, &copies, places, indexes);
        return TW_OK;
    }
    for (size_t i = 0; i < table->n_backends; i++) {
        tw_prefix_index_free(indexes[i]);
    }
    tw_arena_clear(&copies.texts);
    return status;
}
