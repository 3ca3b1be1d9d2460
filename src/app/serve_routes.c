#include "app/serve_routes.h"

#include <string.h>

#include "app/serve_config.h"
#include "base/mem.h"

bool tw_serve_routes_is_own(const struct tw_serve_args *args, const char *name)
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

static bool is_remote(const struct tw_serve_args *args, const char *name)
{
    unsigned n;
    const struct tw_serve_file_backend *rows = tw_serve_file_backends(args->file, &n);
    for (unsigned i = 0; i < n; i++) {
        for (unsigned k = 0; k < rows[i].models_count; k++) {
            if (strcmp(rows[i].models[k].name, name) == 0) {
                return true;
            }
        }
    }
    return false;
}

/* ---- fallbacks ---- */

static enum tw_status check_others(const struct tw_serve_args *args,
                                   const struct tw_serve_file_fallback *row, struct tw_error *error)
{
    for (unsigned k = 0; k < row->others_count; k++) {
        const char *other = row->others[k];
        bool is_there = strcmp(other, row->model) == 0;
        for (unsigned i = 0; !is_there && i < k; i++) {
            is_there = strcmp(other, row->others[i]) == 0;
        }
        if (is_there) {
            return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                                "fallbacks of '%.60s': '%.60s' was there before", row->model,
                                other);
        }
        if (!tw_serve_routes_is_own(args, other) && !is_remote(args, other)) {
            return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                                "fallbacks of '%.60s': there is no model '%.60s', here or at a "
                                "backend",
                                row->model, other);
        }
    }
    return TW_OK;
}

static enum tw_status read_fallbacks(struct tw_serve_routes *routes,
                                     const struct tw_serve_args *args, struct tw_error *error)
{
    unsigned n;
    const struct tw_serve_file_fallback *rows = tw_serve_file_fallbacks(args->file, &n);
    enum tw_status status = TW_OK;
    for (unsigned i = 0; status == TW_OK && i < n; i++) {
        for (unsigned k = 0; status == TW_OK && k < i; k++) {
            if (strcmp(rows[i].model, rows[k].model) == 0) {
                status = tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                                      "the model '%.60s' has fallbacks twice", rows[i].model);
            }
        }
        if (status == TW_OK && !is_remote(args, rows[i].model)) {
            status = tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                                  "fallbacks of '%.60s': no backend has that model; only those of "
                                  "backends fall back",
                                  rows[i].model);
        }
        status = status == TW_OK ? check_others(args, &rows[i], error) : status;
        if (status == TW_OK) {
            routes->fallbacks[routes->n_fallbacks++] =
                (struct tw_api_fallback){.model = rows[i].model,
                                         .others = (const char *const *)rows[i].others,
                                         .n_others = rows[i].others_count};
        }
    }
    return status;
}

/* ---- preferences ---- */

static enum tw_status read_pick(const char *word, enum tw_route_pick *ret_pick,
                                struct tw_error *error)
{
    static const char *const words[] = {[TW_PICK_CHEAPEST_FAST] = "cheapest",
                                        [TW_PICK_FASTEST] = "fastest",
                                        [TW_PICK_CHEAPEST] = "lowest-bill",
                                        [TW_PICK_SPREAD] = "spread"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(words[i], word) == 0) {
            *ret_pick = (enum tw_route_pick)i;
            return TW_OK;
        }
    }
    return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                        "preferences: '%.40s' is none of cheapest, fastest, lowest-bill, spread",
                        word);
}

static enum tw_status read_preferences(struct tw_serve_routes *routes,
                                       const struct tw_serve_args *args, struct tw_error *error)
{
    unsigned n;
    const struct tw_serve_file_preference *rows = tw_serve_file_preferences(args->file, &n);
    enum tw_status status = TW_OK;
    for (unsigned i = 0; status == TW_OK && i < n; i++) {
        struct tw_api_preference *to = &routes->preferences[routes->n_preferences++];
        *to = (struct tw_api_preference){.who = (const char *const *)rows[i].who,
                                         .n_who = rows[i].who_count};
        status = read_pick(rows[i].prefer, &to->pick, error);
    }
    if (status == TW_OK && n > 0 && args->books_address == NULL) {
        status = tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                              "preferences are of organisations and projects, which only books "
                              "know: give --books, or take them out");
    }
    return status;
}

enum tw_status tw_serve_routes_open(struct tw_serve_routes *routes,
                                    const struct tw_serve_args *args, struct tw_error *error)
{
    unsigned n_fallbacks, n_preferences;
    (void)tw_serve_file_fallbacks(args->file, &n_fallbacks);
    (void)tw_serve_file_preferences(args->file, &n_preferences);
    *routes = (struct tw_serve_routes){
        .fallbacks = tw_mem_zalloc(n_fallbacks + 1, sizeof *routes->fallbacks),
        .preferences = tw_mem_zalloc(n_preferences + 1, sizeof *routes->preferences)};
    enum tw_status status =
        routes->fallbacks != NULL && routes->preferences != NULL
            ? TW_OK
            : tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for routes");
    if (status == TW_OK) {
        status = read_fallbacks(routes, args, error);
    }
    if (status == TW_OK) {
        status = read_preferences(routes, args, error);
    }
    if (status != TW_OK) {
        tw_serve_routes_close(routes);
    }
    return status;
}

void tw_serve_routes_close(struct tw_serve_routes *routes)
{
    tw_mem_free(routes->fallbacks);
    tw_mem_free(routes->preferences);
    *routes = (struct tw_serve_routes){0};
}
