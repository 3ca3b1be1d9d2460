#include "app/serve_backends.h"

#include <stdio.h>
#include <string.h>

#include "app/serve_config.h"
#include "base/log.h"
#include "base/mem.h"

#define DEFAULT_ZONE  "elsewhere"
#define FIRST_BYTE_MS 600000 /* of a whole answer that is all of it */
#define MOST_WEIGHT   1000000

struct tw_serve_backend {
    const char *name;
    struct tw_api_remote_model *models;
    bool is_known, is_alive; /* as the log was told; on the remote client's thread */
};

static const struct tw_server_kind *kind_of(const char *name)
{
    return tw_server_kind_named(name != NULL ? name : "openai");
}

/* ---- checking ---- */

static bool is_ours(const struct tw_serve_args *args, const char *name)
{
    for (size_t i = 0; i < args->n_models; i++) {
        const struct tw_serve_model *model = &args->models[i];
        bool is_it = strcmp(model->name, name) == 0;
        for (unsigned k = 0; !is_it && k < model->n_aliases; k++) {
            is_it = strcmp(model->aliases[k], name) == 0;
        }
        if (is_it) {
            return true;
        }
    }
    return false;
}

static enum tw_status read_amount(const char *backend, const char *what, const char *text,
                                  int64_t *ret_nano, struct tw_error *error)
{
    return tw_money_parse(text, ret_nano, NULL) == TW_OK && *ret_nano >= 0
               ? TW_OK
               : tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                              "backend '%.60s': the cost of %s '%.40s' is no amount a million "
                              "tokens, such as 0.15",
                              backend, what, text);
}

/* Where nobody says otherwise a cached token costs as much as any. */
static enum tw_status read_cost(const char *backend, const struct tw_serve_file_remote_model *model,
                                struct tw_route_prices *ret_prices, struct tw_error *error)
{
    const struct tw_serve_file_cost *cost = model->cost;
    *ret_prices = (struct tw_route_prices){0};
    if (cost == NULL) {
        return TW_OK;
    }
    enum tw_status status =
        read_amount(backend, "input", cost->input, &ret_prices->input_nano, error);
    if (status == TW_OK) {
        status = read_amount(backend, "output", cost->output, &ret_prices->output_nano, error);
    }
    if (status == TW_OK) {
        status = read_amount(backend, "cached", cost->cached != NULL ? cost->cached : cost->input,
                             &ret_prices->cached_nano, error);
    }
    return status;
}

static enum tw_status read_abilities(const struct tw_serve_file_backend *row,
                                     const struct tw_serve_file_remote_model *model,
                                     uint32_t *ret_abilities, struct tw_error *error)
{
    uint32_t abilities = model->can_count == 0 ? kind_of(row->kind)->abilities : 0;
    for (unsigned i = 0; i < model->can_count; i++) {
        const uint32_t ability = tw_server_ability_named(model->can[i]);
        if (ability == 0) {
            return tw_error_set(
                error, TW_ERR_USAGE, TW_NO_POSITION,
                "backend '%.60s': what '%.60s' can do, '%.40s', is none of answers, "
                "tools, schemas, logprobs, choices, images, embeddings",
                row->name, model->name, model->can[i]);
        }
        abilities |= ability;
    }
    *ret_abilities = abilities;
    return TW_OK;
}

static enum tw_status check_models(const struct tw_serve_args *args,
                                   const struct tw_serve_file_backend *row, struct tw_error *error)
{
    for (unsigned i = 0; i < row->models_count; i++) {
        const struct tw_serve_file_remote_model *model = &row->models[i];
        if (is_ours(args, model->name)) {
            return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                                "backend '%.60s': the model '%.60s' is served here under the same "
                                "name: give one of them another",
                                row->name, model->name);
        }
        struct tw_route_prices prices;
        uint32_t abilities;
        enum tw_status status = read_cost(row->name, model, &prices, error);
        if (status == TW_OK) {
            status = read_abilities(row, model, &abilities, error);
        }
        if (status != TW_OK) {
            return status;
        }
        if (model->ctx < 1 || model->ctx > TW_LIMIT_MODEL_CONTEXT_TOKENS) {
            return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                                "backend '%.60s': the context of '%.60s' must be from 1 to %u "
                                "tokens",
                                row->name, model->name, TW_LIMIT_MODEL_CONTEXT_TOKENS);
        }
        for (unsigned k = 0; k < i; k++) {
            if (strcmp(model->name, row->models[k].name) == 0) {
                return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                                    "backend '%.60s' has the model '%.60s' twice", row->name,
                                    model->name);
            }
        }
    }
    return TW_OK;
}

enum tw_status tw_serve_backends_check(const struct tw_serve_args *args, struct tw_error *error)
{
    unsigned n = 0;
    enum tw_status status = TW_OK;
    const struct tw_serve_file_backend *rows = tw_serve_file_backends(args->file, &n);
    for (unsigned i = 0; status == TW_OK && i < n; i++) {
        const struct tw_serve_file_backend *row = &rows[i];
        for (unsigned k = 0; status == TW_OK && k < i; k++) {
            if (strcmp(row->name, rows[k].name) == 0) {
                status = tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                                      "two backends are called '%.60s'", row->name);
            }
        }
        if (status == TW_OK && kind_of(row->kind) == NULL) {
            status = tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                                  "backend '%.60s': its kind '%.40s' is none of %s", row->name,
                                  row->kind, tw_server_kind_names());
        }
        if (status == TW_OK &&
            ((row->weight != NULL && (*row->weight < 1 || *row->weight > MOST_WEIGHT)) ||
             (row->canary_per_mille != NULL && *row->canary_per_mille > 1000) ||
             (row->most_at_once != NULL && *row->most_at_once > TW_LIMIT_REMOTE_CALLS))) {
            status = tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                                  "backend '%.60s': weight must be from 1 to %d, "
                                  "canary-per-mille at most 1000, most-at-once at most %d",
                                  row->name, MOST_WEIGHT, TW_LIMIT_REMOTE_CALLS);
        }
        if (status == TW_OK) {
            status = tw_remote_check_url(row->url, error);
        }
        if (status == TW_OK) {
            status = check_models(args, row, error);
        }
    }
    return status;
}

/* ---- opening ---- */

/* On the remote client's thread. */
static void log_health(void *context, const struct tw_remote_health *health)
{
    struct tw_serve_backend *backend = context;
    if (backend->is_known && backend->is_alive == health->is_alive) {
        return;
    }
    const struct tw_log_field fields[] = {{"backend", backend->name, 0},
                                          {"reason", health->reason, 0}};
    tw_log_record(health->is_alive ? TW_LOG_INFO : TW_LOG_WARN, NULL,
                  health->is_alive ? "a backend answers" : "a backend does not answer", fields,
                  health->is_alive ? 1 : 2);
    backend->is_known = true;
    backend->is_alive = health->is_alive;
}

static uint32_t number_of(const uint64_t *number)
{
    return number != NULL ? (uint32_t)*number : 0;
}

static enum tw_status open_one(struct tw_serve_backends *backends,
                               const struct tw_serve_file_backend *row, struct tw_error *error)
{
    struct tw_api_remote *remote = &backends->items[backends->n_items];
    struct tw_serve_backend *own = &backends->own[backends->n_items];
    struct tw_remote_config config = tw_remote_defaults();
    config.url = row->url;
    config.ca_path = row->ca;
    config.key_path = row->key;
    config.first_byte_ms = FIRST_BYTE_MS;
    config.notice = log_health;
    config.notice_context = own;
    own->name = row->name;
    own->models = tw_mem_zalloc(row->models_count, sizeof *own->models);
    if (own->models == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for backends");
    }
    for (unsigned i = 0; i < row->models_count; i++) {
        const struct tw_serve_file_remote_model *model = &row->models[i];
        own->models[i] = (struct tw_api_remote_model){
            .name = model->name,
            .upstream = model->upstream != NULL ? model->upstream : model->name,
            .n_context_tokens = (uint32_t)model->ctx};
        /* They were checked. */
        (void)read_cost(row->name, model, &own->models[i].prices, NULL);
        (void)read_abilities(row, model, &own->models[i].abilities, NULL);
    }
    *remote = (struct tw_api_remote){.weight = number_of(row->weight),
                                     .canary_per_mille = number_of(row->canary_per_mille),
                                     .most_in_flight = number_of(row->most_at_once),
                                     .name = row->name,
                                     .zone = row->zone != NULL ? row->zone : DEFAULT_ZONE,
                                     .models = own->models,
                                     .n_models = row->models_count,
                                     .kind = kind_of(row->kind),
                                     .shares_prefixes =
                                         row->shares_prefixes != NULL && *row->shares_prefixes,
                                     .passed = (const char *const *)row->pass,
                                     .n_passed = row->pass_count};
    enum tw_status status =
        tw_remote_backend_add(backends->client, &config, &remote->backend, error);
    if (status != TW_OK) {
        tw_mem_free(own->models);
        return status;
    }
    backends->n_items++;
    return TW_OK;
}

enum tw_status tw_serve_backends_open(struct tw_serve_backends *backends,
                                      const struct tw_serve_args *args, struct tw_error *error)
{
    unsigned n = 0;
    const struct tw_serve_file_backend *rows = tw_serve_file_backends(args->file, &n);
    enum tw_status status = tw_serve_backends_check(args, error);
    if (status != TW_OK || n == 0) {
        return status;
    }
    backends->items = tw_mem_zalloc(n, sizeof *backends->items);
    backends->own = tw_mem_zalloc(n, sizeof *backends->own);
    if (backends->items == NULL || backends->own == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for backends");
    }
    status = tw_remote_client_start(&backends->client, error);
    for (unsigned i = 0; status == TW_OK && i < n; i++) {
        status = open_one(backends, &rows[i], error);
    }
    return status;
}

void tw_serve_backends_stop(struct tw_serve_backends *backends)
{
    tw_remote_client_stop(backends->client);
}

void tw_serve_backends_close(struct tw_serve_backends *backends)
{
    for (size_t i = 0; i < backends->n_items; i++) {
        tw_remote_backend_drop(backends->items[i].backend);
        tw_mem_free(backends->own[i].models);
    }
    tw_remote_client_free(backends->client);
    tw_mem_free(backends->items);
    tw_mem_free(backends->own);
    *backends = (struct tw_serve_backends){0};
}
