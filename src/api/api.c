#include "api/api.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "api/admission.h"
#include "api/api_batches.h"
#include "api/api_refusals.h"
#include "api/api_state.h"
#include "api/fleet.h"
#include "api/relay.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/rng.h"
#include "hub/content.h"
#include "policy/classify.h"
#include "text/reasoning.h"

/* ---- what is answered at once ---- */

static void answer_status(struct tw_api *api, struct tw_http_request *http, const char *status)
{
    char text[64];
    struct tw_buf body;
    tw_buf_init(&body, sizeof text);
    tw_buf_append_format(&body, "{\"status\":\"%s\"}", status);
    tw_api_answer_json(api, http, &body);
    tw_buf_free(&body);
}

static void get_health(struct tw_api *api, struct tw_http_request *http,
                       const struct tw_api_tenant *tenant)
{
    (void)tenant;
    answer_status(api, http, "ok");
}

/* Whether new requests are taken: for load balancers. */
static void get_ready(struct tw_api *api, struct tw_http_request *http,
                      const struct tw_api_tenant *tenant)
{
    (void)tenant;
    struct tw_api_error error;
    for (size_t i = 0; i < api->config.n_models; i++) {
        if (tw_backend_usage(api->models[i].backend).has_failed) {
            tw_api_refuse_status(&error, 503, "server_error", NULL, "the model '%.100s' has failed",
                                 api->models[i].name);
            tw_api_answer_error(api, http, &error);
            return;
        }
    }
    if (api->is_draining) {
        tw_api_refuse_status(&error, 503, "server_error", NULL, "the server is shutting down");
        tw_api_answer_error(api, http, &error);
        return;
    }
    if (api->config.hub != NULL && !tw_hub_can_record(api->config.hub)) {
        tw_api_refuse_unrecorded(&error);
        tw_api_answer_error(api, http, &error);
        return;
    }
    answer_status(api, http, "ready");
}

/* name: its own, or an alias. */
static void write_model(struct tw_json_writer *writer, const struct tw_api_served *model,
                        const char *name)
{
    tw_json_object_begin(writer);
    tw_json_put_text(writer, "id", name);
    tw_json_put_text(writer, "object", "model");
    tw_json_put_int(writer, "created", model->created_s);
    tw_json_put_text(writer, "owned_by", "tokenworks");
    tw_json_put_text(writer, "root", model->name);
    tw_json_put_uint(writer, "max_model_len", tw_backend_context_tokens(model->backend));
    tw_json_put_bool(writer, "loaded", tw_backend_usage(model->backend).is_loaded);
    tw_json_object_end(writer);
}

/* Whether one before it on the list has it, too: models are listed once. */
static bool is_listed(const struct tw_api_remote *remotes, size_t n_remotes, const char *name)
{
    for (size_t i = 0; i < n_remotes; i++) {
        if (tw_api_remote_has(&remotes[i], name)) {
            return true;
        }
    }
    return false;
}

/* Those that other servers have, or the one of that name. False: there was none. */
static bool write_remote_models(struct tw_json_writer *writer, struct tw_api *api,
                                const struct tw_api_tenant *tenant, const char *name)
{
    bool is_there = false;
    struct tw_api_fleet *fleet = tw_api_fleet_take(api);
    for (size_t i = 0; i < fleet->remotes.n_items; i++) {
        const struct tw_api_remote *remote = &fleet->remotes.items[i];
        for (size_t k = 0; k < remote->n_models; k++) {
            const struct tw_api_remote_model *model = &remote->models[k];
            if ((name != NULL && strcmp(name, model->name) != 0) ||
                is_listed(fleet->remotes.items, i, model->name) ||
                (api->config.hub != NULL && tenant->caller.key != NULL &&
                 !tw_hub_may_use_model(api->config.hub, &tenant->caller, model->name))) {
                continue;
            }
            is_there = true;
            tw_json_object_begin(writer);
            tw_json_put_text(writer, "id", model->name);
            tw_json_put_text(writer, "object", "model");
            tw_json_put_int(writer, "created", api->created_s);
            tw_json_put_text(writer, "owned_by", remote->entry);
            tw_json_put_text(writer, "root", model->upstream);
            tw_json_put_uint(writer, "max_model_len", model->n_context_tokens);
            tw_json_object_end(writer);
        }
    }
    tw_api_fleet_drop(fleet);
    return is_there;
}

static void get_models(struct tw_api *api, struct tw_http_request *http,
                       const struct tw_api_tenant *tenant)
{
    struct tw_buf body;
    struct tw_json_writer writer;
    tw_buf_init(&body, TW_LIMIT_API_SMALL_BYTES);
    tw_json_begin(&writer, &body);
    tw_json_object_begin(&writer);
    tw_json_put_text(&writer, "object", "list");
    tw_json_key(&writer, "data");
    tw_json_array_begin(&writer);
    for (size_t i = 0; i < api->config.n_models; i++) {
        const struct tw_api_served *model = &api->models[i];
        if (!tw_api_may_use(api, model, tenant)) {
            continue;
        }
        write_model(&writer, model, model->name);
        for (size_t k = 0; k < model->n_aliases; k++) {
            write_model(&writer, model, model->aliases[k]);
        }
    }
    write_remote_models(&writer, api, tenant, NULL);
    tw_json_array_end(&writer);
    tw_json_object_end(&writer);
    tw_api_answer_json(api, http, &body);
    tw_buf_free(&body);
}

#define MODELS_PREFIX "/v1/models/"

static void get_model(struct tw_api *api, struct tw_http_request *http,
                      const struct tw_api_tenant *tenant)
{
    const char *name = tw_http_path(http) + strlen(MODELS_PREFIX);
    struct tw_api_error error;
    json_t *body = json_pack("{s:s}", "model", name);
    const struct tw_api_served *model = NULL;
    if (body == NULL) { /* a name that is no UTF-8 is none of ours */
        tw_api_refuse_status(&error, 404, "invalid_request_error", "model_not_found",
                             "there is no such model; GET /v1/models lists those there are");
    } else {
        model = tw_api_find_model(api, body, tenant, &error);
    }
    json_decref(body);
    struct tw_buf out;
    struct tw_json_writer writer;
    tw_buf_init(&out, TW_LIMIT_API_SMALL_BYTES);
    tw_json_begin(&writer, &out);
    if (model != NULL) {
        write_model(&writer, model, name);
    }
    if (model != NULL || write_remote_models(&writer, api, tenant, name)) {
        tw_api_answer_json(api, http, &out);
    } else {
        tw_api_answer_error(api, http, &error);
    }
    tw_buf_free(&out);
}

/* ---- routes ---- */

#define FILES   "/v1/files"
#define BATCHES "/v1/batches"

static const struct tw_api_route routes[] = {
    {.method = "GET", .path = "/health", .is_open = true, .get = get_health},
    {.method = "GET", .path = "/v1/health", .is_open = true, .get = get_health},
    {.method = "GET", .path = "/ready", .is_open = true, .get = get_ready},
    {.method = "GET", .path = "/metrics", .get = tw_api_metrics_text},
    {.method = "GET", .path = "/v1/models", .get = get_models},
    {.method = "GET", .path = MODELS_PREFIX, .is_beginning = true, .get = get_model},
    {.method = "POST",
     .path = "/v1/chat/completions",
     .has_content = true,
     .post = tw_api_chat_completions},
    {.method = "POST", .path = "/v1/completions", .has_content = true, .post = tw_api_completions},
    {.method = "POST", .path = "/v1/embeddings", .has_content = true, .post = tw_api_embeddings},
    {.method = "POST", .path = "/tokenize", .post = tw_api_tokenize},
    {.method = "POST", .path = "/detokenize", .post = tw_api_detokenize},
    {.method = "POST", .path = "/apply-template", .post = tw_api_apply_template},
    {.method = "GET", .path = FILES, .desk = tw_api_desk_list_files},
    {.method = "POST", .path = FILES, .desk = tw_api_desk_add_file},
    {.method = "GET", .path = FILES "/", .is_beginning = true, .desk = tw_api_desk_get_file},
    {.method = "DELETE", .path = FILES "/", .is_beginning = true, .desk = tw_api_desk_delete_file},
    {.method = "GET", .path = BATCHES, .desk = tw_api_desk_list_batches},
    {.method = "POST", .path = BATCHES, .desk = tw_api_desk_create_batch},
    {.method = "GET", .path = BATCHES "/", .is_beginning = true, .desk = tw_api_desk_get_batch},
    {.method = "POST", .path = BATCHES "/", .is_beginning = true, .desk = tw_api_desk_cancel_batch},
};

static bool is_at(const struct tw_api_route *route, const char *path)
{
    const size_t n = strlen(route->path);
    if (route->is_beginning) {
        return strncmp(path, route->path, n) == 0 && path[n] != '\0';
    }
    return strcmp(route->path, path) == 0;
}

static const struct tw_api_route *find_route(const struct tw_http_request *http,
                                             struct tw_api_error *error)
{
    const char *method = tw_http_method(http), *path = tw_http_path(http);
    const struct tw_api_route *other = NULL;
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        if (is_at(&routes[i], path)) {
            other = &routes[i];
            if (strcmp(routes[i].method, method) == 0) {
                return &routes[i];
            }
        }
    }
    if (other != NULL) {
        tw_api_refuse_status(error, 405, "invalid_request_error", "method_not_allowed",
                             "%.80s is asked with %s, not with %s", path, other->method, method);
    } else {
        tw_api_refuse_status(error, 404, "invalid_request_error", "unknown_url",
                             "there is nothing at %.80s; docs/serve.md lists what there is", path);
    }
    return NULL;
}

/* ---- who may ask ---- */

static bool is_same_host(const char *host, size_t n_bytes, const char *allowed)
{
    return strlen(allowed) == n_bytes && strncasecmp(host, allowed, n_bytes) == 0;
}

/* A page in a browser can make a name of its own point to this machine and then ask it anything
 * (DNS rebinding); the Host header still says that name. */
static bool allows_host(const struct tw_api *api, const char *host)
{
    static const char *const ours[] = {"localhost", "127.0.0.1", "[::1]", NULL};
    if (!api->config.checks_host) {
        return true;
    }
    if (host == NULL) {
        return false;
    }
    const char *end = host[0] == '[' ? strchr(host, ']') : NULL;
    size_t n_bytes = end != NULL ? (size_t)(end - host) + 1 : strcspn(host, ":");
    const char *port = host + n_bytes;
    if (*port != '\0' && (*port != ':' || strspn(port + 1, "0123456789") < strlen(port + 1))) {
        return false;
    }
    for (size_t i = 0; ours[i] != NULL; i++) {
        if (is_same_host(host, n_bytes, ours[i])) {
            return true;
        }
    }
    for (size_t i = 0; api->config.hosts != NULL && api->config.hosts[i] != NULL; i++) {
        if (is_same_host(host, n_bytes, api->config.hosts[i])) {
            return true;
        }
    }
    return false;
}

/* ---- preparing ---- */

bool tw_api_is_awaited(const struct tw_api_call *call)
{
    return call->line == NULL && call->tenant.priority_class != TW_CLASS_IDLE;
}

void tw_api_expect(struct tw_api *api, bool is_awaited)
{
    if (is_awaited && api->config.stage != NULL) {
        tw_stage_expect(api->config.stage);
    }
}

void tw_api_met(struct tw_api *api, bool is_awaited)
{
    if (is_awaited && api->config.stage != NULL) {
        tw_stage_met(api->config.stage);
    }
}

static bool refuse_body(struct tw_api_error *error, const struct tw_error *cause)
{
    return cause->status == TW_ERR_MEMORY ? tw_api_refuse_error(error, cause, NULL)
                                          : tw_api_refuse(error, NULL, "%s", cause->text);
}

void tw_api_dispatch(struct tw_api *api, const struct tw_api_call *call)
{
    if (call->route->has_content && tw_api_relay_takes(api, call->body)) {
        tw_api_relay(api, call);
    } else {
        call->route->post(api, call);
    }
}

bool tw_api_is_stopping(struct tw_api *api)
{
    pthread_mutex_lock(&api->lock);
    const bool stops = api->stops;
    pthread_mutex_unlock(&api->lock);
    return stops;
}

static void prepare(struct tw_api *api, struct tw_api_task *task)
{
    struct tw_api_call *call = &task->call;
    struct tw_api_error error;
    struct tw_error cause;
    size_t n_bytes;
    const char *text = tw_http_body(call->http, &n_bytes);
    if (tw_http_is_gone(call->http)) {
        tw_http_release(call->http);
        return;
    }
    enum tw_status status = tw_json_parse(text, n_bytes, "the body", &call->body, &cause);
    if (status == TW_OK && call->route->has_content && api->config.hub != NULL) {
        status = tw_content_create(api->config.hub, &call->tenant.caller, text, n_bytes,
                                   &call->content, &cause);
    }
    tw_http_free_body(call->http);
    if (status != TW_OK) {
        json_decref(call->body);
        refuse_body(&error, &cause);
        tw_api_answer_error(api, call->http, &error);
    } else if (!json_is_object(call->body)) {
        tw_api_refuse(&error, NULL, "the body must be a JSON object");
        tw_api_refuse_call(api, call, &error);
    } else if (!call->route->has_content || tw_api_admit(api, call)) {
        tw_api_dispatch(api, call);
    }
}

/* Before which other one a task comes: batches come last, tenants in turn by their numbers. */
static bool is_before(const struct tw_api *api, const struct tw_api_task *task,
                      const struct tw_api_task *other)
{
    const uint32_t first = api->last_tenant + 1; /* wraps around behind the last tenant */
    const bool is_line = task->call.line != NULL, other_is_line = other->call.line != NULL;
    return is_line != other_is_line
               ? other_is_line
               : task->call.tenant.number - first < other->call.tenant.number - first;
}

/* Of one tenant the oldest task. There is at least one. */
static struct tw_api_task *take_task(struct tw_api *api)
{
    struct tw_api_task **next = &api->tasks;
    for (struct tw_api_task **at = next; *at != NULL; at = &(*at)->next) {
        if (is_before(api, *at, *next)) {
            next = at;
        }
    }
    struct tw_api_task *task = *next;
    *next = task->next;
    if (*next == NULL) {
        api->tasks_end = next;
    }
    api->n_tasks--;
    api->last_tenant = task->call.tenant.number;
    return task;
}

static void refuse_stopping(struct tw_api *api, struct tw_http_request *http)
{
    struct tw_api_error error;
    tw_api_refuse_status(&error, 503, "server_error", NULL, "the server is shutting down");
    tw_api_answer_error(api, http, &error);
}

static void *prepare_tasks(void *context)
{
    struct tw_api *api = context;
    pthread_mutex_lock(&api->lock);
    for (;;) {
        if (api->tasks == NULL) {
            if (api->stops) {
                break;
            }
            pthread_cond_wait(&api->wake, &api->lock);
            continue;
        }
        struct tw_api_task *task = take_task(api);
        const bool stops = api->stops, is_awaited = task->is_awaited;
        pthread_mutex_unlock(&api->lock);
        if (task->run != NULL) {
            task->run(task->context);
        } else if (stops) {
            refuse_stopping(api, task->call.http);
        } else {
            prepare(api, task);
        }
        tw_mem_free(task);
        tw_api_met(api, is_awaited);
        pthread_mutex_lock(&api->lock);
    }
    pthread_mutex_unlock(&api->lock);
    return NULL;
}

/* With the lock held. */
static void add_task(struct tw_api *api, struct tw_api_task *task)
{
    *api->tasks_end = task;
    api->tasks_end = &task->next;
    api->n_tasks++;
    pthread_cond_signal(&api->wake);
}

void tw_api_run(struct tw_api *api, const struct tw_api_tenant *tenant, void (*run)(void *context),
                void *context)
{
    struct tw_api_task *task = tw_mem_zalloc(1, sizeof *task);
    bool is_queued = false;
    if (task != NULL) {
        *task = (struct tw_api_task){.call = {.tenant = *tenant}, .run = run, .context = context};
        pthread_mutex_lock(&api->lock);
        is_queued = !api->stops;
        if (is_queued) {
            add_task(api, task);
        }
        pthread_mutex_unlock(&api->lock);
    }
    if (!is_queued) {
        tw_mem_free(task);
        run(context);
    }
}

static void queue_task(struct tw_api *api, const struct tw_api_call *call,
                       const struct tw_api_route *route)
{
    struct tw_api_error error;
    struct tw_api_task *task = tw_mem_zalloc(1, sizeof *task);
    struct tw_http_request *http = call->http;
    bool is_queued = false, stops = false;
    if (task != NULL) {
        *task = (struct tw_api_task){.call = *call, .is_awaited = tw_api_is_awaited(call)};
        task->call.route = route;
        pthread_mutex_lock(&api->lock);
        stops = api->stops;
        if (api->n_tasks < TW_LIMIT_API_TASKS && !stops) {
            tw_api_expect(api, task->is_awaited);
            add_task(api, task);
            is_queued = true;
        }
        pthread_mutex_unlock(&api->lock);
    }
    if (is_queued) {
        return;
    }
    tw_mem_free(task);
    if (stops) {
        refuse_stopping(api, http);
    } else {
        tw_api_refuse_status(&error, 429, "rate_limit_error", "queue_full",
                             "too many requests are waiting; try again later");
        tw_api_answer_error(api, http, &error);
    }
}

/* ---- the handler ---- */

static const char *key_of(const struct tw_http_request *http)
{
    static const char scheme[] = "Bearer ";
    const char *value = tw_http_header(http, "Authorization");
    if (value != NULL && strncasecmp(value, scheme, sizeof scheme - 1) == 0) {
        return value + sizeof scheme - 1;
    }
    return tw_http_header(http, "X-Api-Key");
}

/* Numbers about the work are for those who run the machine, or have a key. */
static bool needs_key(const struct tw_api *api, const struct tw_http_request *http,
                      const struct tw_api_route *route)
{
    if ((api->config.keys == NULL && api->config.hub == NULL) ||
        (route != NULL && route->is_open)) {
        return false;
    }
    const char *peer = tw_http_peer(http);
    const bool is_here = strncmp(peer, "127.", 4) == 0 || strcmp(peer, "::1") == 0;
    return !(is_here && route != NULL && route->get == tw_api_metrics_text);
}

static bool refuse_guesses(struct tw_api_error *error)
{
    return tw_api_refuse_status(error, 429, "rate_limit_error", "too_many_wrong_keys",
                                "too many wrong keys came from your address; wait a minute");
}

/* The same by the hub. */
static bool check_hub_key(struct tw_api *api, const struct tw_http_request *http,
                          struct tw_api_tenant *ret_tenant, struct tw_api_error *error)
{
    const char *key = key_of(http), *peer = tw_http_peer(http);
    const int64_t now_s = tw_clock_monotonic_ns() / TW_SECOND_NS;
    struct tw_hub_caller caller;
    if (!tw_api_guesses_allow(&api->guesses, peer, now_s)) {
        return refuse_guesses(error);
    }
    if (key == NULL) {
        return tw_api_refuse_status(error, 401, "invalid_request_error", "invalid_api_key",
                                    "a key is needed: Authorization: Bearer KEY");
    }
    const enum tw_hub_verdict verdict = tw_hub_authenticate(api->config.hub, key, &caller);
    if (verdict != TW_HUB_KEY_GOOD) {
        tw_api_guesses_count(&api->guesses, peer, now_s);
        return tw_api_refuse_key(error, verdict);
    }
    *ret_tenant =
        (struct tw_api_tenant){.number = caller.project,
                               .weight = caller.weight,
                               .priority_class = (enum tw_priority_class)caller.priority_class,
                               .may_use_special = caller.may_use_special,
                               .caller = caller};
    return true;
}

static bool check_key(struct tw_api *api, const struct tw_http_request *http,
                      struct tw_api_tenant *ret_tenant, struct tw_api_error *error)
{
    const char *key = key_of(http);
    switch (tw_api_keys_check(api->config.keys, key, tw_http_peer(http),
                              tw_clock_monotonic_ns() / TW_SECOND_NS, ret_tenant)) {
    case TW_API_KEY_GOOD:
        return true;
    case TW_API_KEY_TOO_OFTEN:
        return refuse_guesses(error);
    case TW_API_KEY_BAD:
        break;
    }
    return tw_api_refuse_status(error, 401, "invalid_request_error", "invalid_api_key",
                                key != NULL ? "this key is not known here"
                                            : "a key is needed: Authorization: Bearer KEY");
}

static bool may_ask(struct tw_api *api, const struct tw_http_request *http,
                    const struct tw_api_route *route, struct tw_api_tenant *ret_tenant,
                    struct tw_api_error *error)
{
    const char *host = tw_http_header(http, "Host");
    if (!allows_host(api, host)) {
        return tw_api_refuse_status(
            error, 403, "invalid_request_error", "host_not_allowed",
            "the Host header '%.60s' is not this machine's; see --allow-host",
            host != NULL ? host : "");
    }
    const bool is_vital =
        route != NULL && route->get != NULL && route->get != get_models && route->get != get_model;
    if (!is_vital && (tw_http_is_crowded(http) || api->is_draining)) {
        return tw_api_refuse_status(error, 503, "server_error", NULL,
                                    api->is_draining ? "the server is shutting down"
                                                     : "too many connections; try again later");
    }
    return !needs_key(api, http, route) ||
           (api->config.hub != NULL ? check_hub_key : check_key)(api, http, ret_tenant, error);
}

/* Whether a key is one at all; nothing is counted. */
static bool knows_key(struct tw_api *api, const struct tw_http_request *http)
{
    const char *key = key_of(http);
    struct tw_hub_caller caller;
    return api->config.hub == NULL ? tw_api_keys_knows(api->config.keys, key)
                                   : key != NULL && tw_hub_authenticate(api->config.hub, key,
                                                                        &caller) == TW_HUB_KEY_GOOD;
}

bool tw_api_keeps_body(void *context, struct tw_http_request *http)
{
    struct tw_api *api = context;
    struct tw_api_error error;
    const struct tw_api_route *route = find_route(http, &error);
    const bool has_body =
        route != NULL && (route->post != NULL || strcmp(route->method, "POST") == 0);
    return has_body && allows_host(api, tw_http_header(http, "Host")) &&
           (!needs_key(api, http, route) || knows_key(api, http));
}

uint32_t tw_api_data_class(const struct tw_http_request *http,
                           char ret_class[TW_LIMIT_POLICY_NAME_BYTES])
{
    const char *name = tw_http_header(http, TW_CLASSIFY_HEADER);
    const int n = snprintf(ret_class, TW_LIMIT_POLICY_NAME_BYTES, "%s", name != NULL ? name : "");
    return n < TW_LIMIT_POLICY_NAME_BYTES ? (uint32_t)tw_http_header_count(http, TW_CLASSIFY_HEADER)
                                          : UINT32_MAX;
}

void tw_api_handle(void *context, struct tw_http_request *http)
{
    struct tw_api *api = context;
    struct tw_api_error error, refusal;
    struct tw_api_tenant tenant = {0};
    const struct tw_api_route *route = find_route(http, &error);
    if (!may_ask(api, http, route, &tenant, &refusal)) {
        tw_api_answer_error(api, http, &refusal);
    } else if (route == NULL) {
        tw_api_answer_error(api, http, &error);
    } else if (route->get != NULL) {
        route->get(api, http, &tenant);
    } else if (route->desk != NULL) {
        const char *base = strncmp(route->path, FILES, strlen(FILES)) == 0 ? FILES : BATCHES;
        tw_api_desk_take(api, http, base, route->desk, &tenant);
    } else {
        struct tw_api_call call = {
            .http = http, .arrived_ns = tw_clock_monotonic_ns(), .tenant = tenant};
        call.n_data_classes = tw_api_data_class(http, call.data_class);
        queue_task(api, &call, route);
    }
}

void tw_api_ask(struct tw_api *api, const struct tw_api_call *call, const char *path)
{
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        if (routes[i].post != NULL && strcmp(routes[i].path, path) == 0) {
            queue_task(api, call, &routes[i]);
            return;
        }
    }
    tw_http_release(call->http); /* which says so */
}

/* ---- making and freeing ---- */

/* A template that cannot be used leaves the built-in formats. */
static void take_template(struct tw_api_served *model)
{
    const struct tw_bytes source = tw_backend_chat_template(model->backend);
    struct tw_error error;
    if (source.size_bytes > 0 &&
        tw_chat_template_create(tw_backend_tokenizer(model->backend), source, &model->chat_template,
                                &error) != TW_OK) {
        snprintf(model->note, sizeof model->note, "%s", error.text);
    }
    if (model->chat_template != NULL) {
        model->tool_form = tw_tool_form_detect(source);
        model->thinks = tw_reasoning_suits(source);
    }
}

static enum tw_status copy_models(struct tw_api *api, struct tw_error *error)
{
    api->models = tw_mem_zalloc(api->config.n_models + 1, sizeof *api->models); /* not none */
    for (size_t i = 0; api->models != NULL && i < api->config.n_models; i++) {
        const struct tw_api_model *from = &api->config.models[i];
        api->models[i] = (struct tw_api_served){
            .name = tw_mem_strndup(from->name, strlen(from->name)),
            .aliases = from->aliases,
            .n_aliases = from->n_aliases,
            .backend = from->backend,
            .digest = from->digest,
            .kv_type = from->kv_type,
            .pack_version = from->pack_version,
            .format = tw_chat_format_detect(tw_backend_tokenizer(from->backend),
                                            tw_backend_chat_template(from->backend)),
            .created_s = tw_clock_wall_ns() / TW_SECOND_NS,
        };
        if (api->models[i].name == NULL) {
            break;
        }
        take_template(&api->models[i]);
    }
    const size_t n = api->config.n_models;
    if (api->models == NULL || (n > 0 && api->models[n - 1].name == NULL)) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for the API");
    }
    return TW_OK;
}

static enum tw_status start_threads(struct tw_api *api, struct tw_error *error)
{
    api->threads = tw_mem_zalloc(api->config.n_preparing_threads, sizeof *api->threads);
    if (api->threads == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for the API");
    }
    while (api->n_threads < api->config.n_preparing_threads) {
        int failure = pthread_create(&api->threads[api->n_threads], NULL, prepare_tasks, api);
        if (failure != 0) {
            return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no thread: %s",
                                strerror(failure));
        }
        api->n_threads++;
    }
    return TW_OK;
}

/* A tw_api_tenant_fn. */
static enum tw_status announce(void *context, const struct tw_api_tenant *tenant,
                               struct tw_error *error)
{
    struct tw_api *api = context;
    return tw_stage_set_tenant(api->config.stage, tenant->number, tenant->weight,
                               tenant->priority_class, error);
}

static enum tw_status announce_all(struct tw_api *api, struct tw_error *error)
{
    struct tw_api_tenant tenant;
    enum tw_status status = TW_OK;
    const struct tw_api_keys *keys = api->config.keys;
    for (size_t i = 0; status == TW_OK && keys != NULL && tw_api_keys_tenant(keys, i, &tenant);
         i++) {
        status = announce(api, &tenant, error);
    }
    return status;
}

bool tw_api_prefix_domain(const struct tw_api *api, const json_t *body,
                          const struct tw_api_tenant *tenant, uint64_t *ret_domain,
                          struct tw_api_error *error)
{
    const json_t *salt = json_object_get(body, "cache_salt");
    const uint64_t shared = api->config.shares_prefixes ? 0 : tenant->number;
    *ret_domain = shared;
    if (salt == NULL || json_is_null(salt)) {
        return true;
    }
    if (!json_is_string(salt) || json_string_length(salt) == 0) {
        return tw_api_refuse(error, "cache_salt", "'cache_salt' must be a text that is not empty");
    }
    /* The highest bit is no tenant's. */
    const uint64_t seed = tw_hash_of(&shared, sizeof shared, api->seed);
    *ret_domain = tw_hash_of(json_string_value(salt), json_string_length(salt), seed) | 1ULL << 63;
    return true;
}

enum tw_status tw_api_create(const struct tw_api_config *config, struct tw_api **ret_api,
                             struct tw_error *error)
{
    struct tw_api *api = tw_mem_zalloc(1, sizeof *api);
    if (api == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for the API");
    }
    api->config = *config;
    api->created_s = tw_clock_wall_ns() / TW_SECOND_NS;
    api->seed = tw_rng_system_seed();
    api->tasks_end = &api->tasks;
    pthread_mutex_init(&api->lock, NULL);
    pthread_cond_init(&api->wake, NULL);
    tw_api_guesses_init(&api->guesses);
    api->fleet = tw_api_fleet_make(&(struct tw_api_remotes){.n_items = 0});
    enum tw_status status = api->fleet != NULL ? copy_models(api, error)
                                               : tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION,
                                                              "no memory for the API");
    if (status == TW_OK) {
        status = announce_all(api, error);
    }
    if (status == TW_OK) {
        status = tw_api_relays_start(api, error);
    }
    if (status == TW_OK) {
        status = start_threads(api, error);
    }
    if (status == TW_OK) {
        status = tw_api_batches_start(api, error);
    }
    if (status != TW_OK) {
        tw_api_free(api);
        return status;
    }
    tw_api_admission_guard(api, true);
    *ret_api = api;
    return TW_OK;
}

void tw_api_take_project(void *stage, uint32_t number, uint32_t weight, int priority_class)
{
    if (number >= TW_LIMIT_PROJECTS) {
        return;
    }
    struct tw_error error; /* no memory: it has the share of everybody who is not known */
    tw_stage_set_tenant(stage, number, weight, (enum tw_priority_class)priority_class, &error);
}

enum tw_status tw_api_reload_keys(struct tw_api *api, struct tw_error *error)
{
    return tw_api_keys_reload(api->config.keys, announce, api, error);
}

const char *tw_api_template_note(const struct tw_api *api, size_t i)
{
    return api->models[i].note;
}

void tw_api_set_server(struct tw_api *api, const struct tw_http_server *server)
{
    api->server = server;
}

void tw_api_drain(struct tw_api *api)
{
    api->is_draining = true;
    tw_api_batches_drain(api->batches);
}

uint32_t tw_api_batch_lines(const struct tw_api *api)
{
    return tw_api_batches_running(api->batches);
}

void tw_api_stop(struct tw_api *api)
{
    tw_api_batches_stop(api->batches);
    pthread_mutex_lock(&api->lock);
    const bool is_first = !api->stops;
    api->stops = true;
    pthread_cond_broadcast(&api->wake);
    pthread_mutex_unlock(&api->lock);
    if (is_first) { /* later there may be no hub any more */
        tw_api_admission_guard(api, false);
    }
    for (uint32_t i = 0; i < api->n_threads; i++) {
        pthread_join(api->threads[i], NULL);
    }
    api->n_threads = 0;
}

void tw_api_free(struct tw_api *api)
{
    if (api == NULL) {
        return;
    }
    tw_api_stop(api);
    tw_api_relays_stop(api);
    tw_api_batches_free(api->batches);
    if (api->fleet != NULL) {
        tw_api_set_policy(api, NULL, NULL);
        tw_api_fleet_drop(api->fleet);
    }
    for (size_t i = 0; api->models != NULL && i < api->config.n_models; i++) {
        tw_chat_template_free(api->models[i].chat_template);
        tw_mem_free(api->models[i].name);
    }
    tw_api_guesses_free(&api->guesses);
    pthread_cond_destroy(&api->wake);
    pthread_mutex_destroy(&api->lock);
    tw_mem_free(api->threads);
    tw_mem_free(api->models);
    tw_mem_free(api);
}
