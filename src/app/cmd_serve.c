/* serve: the OpenAI API over models on this machine, until it is told to stop. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "api/api.h"
#include "app/command.h"
#include "app/serve_approved.h"
#include "app/serve_args.h"
#include "app/serve_backends.h"
#include "app/serve_books.h"
#include "app/serve_check.h"
#include "app/serve_config.h"
#include "app/serve_models.h"
#include "app/serve_place.h"
#include "app/serve_routes.h"
#include "app/serve_seal.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "hub/hub_admin.h"

#define PREPARING         2
#define OTHER_DESCRIPTORS (TW_LIMIT_HTTP_SPARE_CONNECTIONS + 100)

struct serve {
    struct tw_serve_args args;
    struct tw_serve_place place;
    struct tw_serve_seal seal;
    int listen_fd, admin_fd; /* until a server has them; -1: none */
    struct tw_serve_models models;
    struct tw_serve_backends *backends;
    struct tw_serve_routes routes;
    const char **hosts; /* ends with NULL */
    struct tw_api_keys *keys;
    struct tw_hub *hub;
    struct tw_admin *admin;
    struct tw_buf cert, cert_key; /* until the server has them */
    struct tw_api_config api_config;
    char policy_version[TW_POLICY_VERSION_BYTES]; /* that holds; "": none */
    char digest[TW_APPROVAL_DIGEST_BYTES];        /* of models and backends; "": without books */
    struct tw_policy *first_policy;               /* until the API has it */
    struct tw_api *api;
    struct tw_http_server *server;
};

/* ---- serving ---- */

/* A connection is a descriptor; most systems start programs with 1024 and allow more. */
static void raise_descriptors(const struct serve *serve)
{
    const rlim_t wanted = (rlim_t)serve->args.max_connections + OTHER_DESCRIPTORS;
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted) {
        return;
    }
    const rlim_t most = limit.rlim_max;
    limit.rlim_cur = most < wanted ? most : wanted;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (most < wanted) {
        tw_log(TW_LOG_WARN,
               "only %llu file descriptors are allowed, so connections end there: raise ulimit -n",
               (unsigned long long)most);
    }
}

static void free_certificate(struct serve *serve)
{
    tw_buf_free(&serve->cert);
    tw_buf_free(&serve->cert_key);
}

/* The one way by which a policy becomes the server's: what else must be true of one, such as that
 * two people approved it, is asked here. */
static enum tw_status admit_policy(const struct serve *serve, struct tw_policy **ret_policy,
                                   struct tw_error *error)
{
    enum tw_status status = tw_policy_load(serve->args.policy_path, ret_policy, error);
    if (status == TW_OK) {
        status = tw_serve_approved_policy(serve->hub, (*ret_policy)->version, error);
        if (status != TW_OK) {
            tw_policy_free(*ret_policy);
            *ret_policy = NULL;
        }
    }
    return status;
}

static void log_policy(const struct serve *serve, const char *version)
{
    const struct tw_log_field fields[] = {{"file", serve->args.policy_path, 0},
                                          {"version", version, 0}};
    tw_log_record(TW_LOG_INFO, NULL, "a policy holds from now on", fields, 2);
}

static void warn_of_zones(const struct serve *serve, const struct tw_serve_file *file)
{
    if (serve->args.policy_path == NULL && tw_serve_backends_have_zones(file)) {
        tw_log(TW_LOG_WARN, "%s", TW_SERVE_ZONES_WITHOUT_POLICY);
    }
}

/* Before there are books: the record of the start says by which policy. */
static enum tw_status read_policy(struct serve *serve, struct tw_error *error)
{
    const char *path = serve->args.policy_path;
    enum tw_status status =
        path != NULL ? tw_policy_load(path, &serve->first_policy, error) : TW_OK;
    if (serve->first_policy != NULL) {
        snprintf(serve->policy_version, sizeof serve->policy_version, "%s",
                 serve->first_policy->version);
    }
    return status;
}

static enum tw_status install_policy(struct serve *serve, struct tw_error *error)
{
    struct tw_policy *policy = serve->first_policy;
    enum tw_status status =
        tw_serve_approved_policy(serve->hub, policy != NULL ? policy->version : NULL, error);
    if (status != TW_OK || policy == NULL) {
        return status;
    }
    char version[TW_POLICY_SHORT_VERSION_BYTES];
    snprintf(version, sizeof version, "%s", policy->short_version);
    status = tw_api_set_policy(serve->api, policy, error);
    if (status == TW_OK) {
        serve->first_policy = NULL;
        log_policy(serve, version);
    }
    return status;
}

static const char *known(const char *text)
{
    return text[0] != '\0' ? text : NULL;
}

static enum tw_status start(struct serve *serve, struct tw_error *error)
{
    const struct tw_serve_args *args = &serve->args;
    serve->api_config = (struct tw_api_config){
        .models = serve->models.items,
        .n_models = serve->models.n_items,
        .stage = serve->models.stage,
        .zone = args->zone,
        .remote_client = tw_serve_backends_client(serve->backends),
        .fallbacks = serve->routes.fallbacks,
        .n_fallbacks = serve->routes.n_fallbacks,
        .preferences = serve->routes.preferences,
        .n_preferences = serve->routes.n_preferences,
        .n_preparing_threads = PREPARING,
        .checks_host = serve->keys == NULL && serve->hub == NULL && !args->no_auth,
        .keys = serve->hub == NULL ? serve->keys : NULL, /* or they were taken over */
        .hub = serve->hub,
        .shares_prefixes = args->shares_prefixes,
        .relay_note = tw_serve_log_relay,
        .hosts = serve->hosts,
        .heartbeat_seconds = (uint32_t)args->heartbeat_seconds,
        .batch_lines = (uint32_t)args->batch_lines,
        .batches = {.project_files = args->batch_files, .project_bytes = args->batch_bytes},
    };
    enum tw_status status =
        tw_serve_approved_models(&serve->api_config, args->file, serve->digest, error);
    if (status == TW_OK) {
        status = tw_api_create(&serve->api_config, &serve->api, error);
    }
    if (status == TW_OK) {
        status = tw_serve_backends_start(serve->backends, serve->api, error);
    }
    if (status == TW_OK) {
        status = install_policy(serve, error);
    }
    if (status != TW_OK) {
        return status;
    }
    struct tw_http_config http_config = tw_http_defaults();
    http_config.listen_fd = serve->listen_fd;
    http_config.listens_alone = serve->place.passed_fd < 0;
    http_config.max_connections = (uint32_t)args->max_connections;
    http_config.handler = tw_api_handle;
    http_config.keeps_body = tw_api_keeps_body;
    http_config.context = serve->api;
    http_config.tls_cert_pem = serve->cert.data;
    http_config.tls_key_pem = serve->cert_key.data;
    serve->listen_fd = -1;
    status = tw_http_server_start(&http_config, &serve->server, error);
    if (status == TW_OK) {
        tw_api_set_server(serve->api, serve->server);
    }
    free_certificate(serve);
    return status;
}

static void announce(const struct serve *serve)
{
    const char *scheme = serve->args.cert_path != NULL ? "https" : "http";
    char url[160];
    if (serve->place.is_inet) {
        snprintf(url, sizeof url, "%s://%s:%u", scheme, serve->place.address,
                 tw_http_server_port(serve->server));
    } else {
        snprintf(url, sizeof url, "%s+%s", scheme, serve->place.address);
    }
    for (size_t i = 0; i < serve->models.n_items; i++) {
        const struct tw_api_model *model = &serve->models.items[i];
        const struct tw_log_field fields[] = {
            {"model", model->name, 0},
            {"context_tokens", NULL, tw_backend_context_tokens(model->backend)}};
        tw_log_record(TW_LOG_INFO, NULL, "a model is served", fields, 2);
        const char *note = tw_api_template_note(serve->api, i);
        if (note[0] != '\0') {
            tw_log(TW_LOG_WARN,
                   "the model's chat template cannot be used, a built-in format is: %s", note);
        }
    }
    warn_of_zones(serve, serve->args.file);
    const struct tw_log_field fields[] = {{"url", url, 0}};
    tw_log_record(TW_LOG_INFO, NULL, "listening", fields, 1);
    tw_serve_notify("READY=1");
}

/* Requests of clients, and lines of batches. */
static unsigned n_open(const struct serve *serve)
{
    return (unsigned)tw_http_server_usage(serve->server).n_requests +
           tw_api_batch_lines(serve->api);
}

/* Until everything is answered, time is over, or a second signal comes. */
static void drain(struct serve *serve, const sigset_t *signals)
{
    const int64_t end_ns = tw_clock_monotonic_ns() + serve->args.drain_seconds * TW_SECOND_NS;
    const struct timespec tick = {.tv_nsec = 20000000};
    tw_serve_notify("STOPPING=1");
    tw_api_drain(serve->api);
    tw_http_server_drain(serve->server);
    tw_log(TW_LOG_INFO, "stopping: no new requests, %u run", n_open(serve));
    while (n_open(serve) > 0 && tw_clock_monotonic_ns() < end_ns) {
        const int signal_number = sigtimedwait(signals, NULL, &tick);
        if (signal_number == SIGTERM || signal_number == SIGINT) {
            tw_log(TW_LOG_WARN, "a second signal: requests are cut off");
            break;
        }
    }
    const unsigned n_left = n_open(serve);
    if (n_left > 0) {
        tw_log(TW_LOG_WARN, "%u requests had not ended and are cut off", n_left);
    }
}

/* Who was cut off has an answer by now, which may be on its way. */
static void send_rest(const struct serve *serve)
{
    const int64_t end_ns = tw_clock_monotonic_ns() + TW_SECOND_NS;
    const struct timespec tick = {.tv_nsec = 2000000};
    while (serve->server != NULL && tw_http_server_usage(serve->server).n_requests > 0 &&
           tw_clock_monotonic_ns() < end_ns) {
        nanosleep(&tick, NULL);
    }
}

static void take_down(struct serve *serve)
{
    if (serve->api != NULL) {
        tw_api_stop(serve->api);
    }
    tw_serve_models_stop(&serve->models);
    tw_serve_backends_stop(serve->backends);
    tw_admin_stop(serve->admin);
    tw_hub_stop(serve->hub); /* what ended is settled, and its answer on the way */
    send_rest(serve);
    tw_http_server_stop(serve->server); /* until here its threads ask models, hub and API */
    tw_hub_close(serve->hub);
    tw_api_free(serve->api);
    tw_serve_models_close(&serve->models);
    tw_serve_backends_close(serve->backends);
    tw_serve_routes_close(&serve->routes);
    tw_api_keys_free(serve->keys);
    tw_policy_free(serve->first_policy);
    free_certificate(serve);
    tw_mem_free(serve->hosts);
    if (serve->listen_fd >= 0) {
        close(serve->listen_fd);
    }
    tw_serve_books_unlisten(&serve->args, serve->admin_fd);
    tw_serve_seal_end(&serve->seal);
    tw_serve_args_free(&serve->args);
}

static enum tw_status copy_hosts(struct serve *serve, struct tw_error *error)
{
    const struct tw_option_strings *hosts = &serve->args.hosts;
    serve->hosts = tw_mem_zalloc(hosts->n_items + 1, sizeof *serve->hosts);
    if (serve->hosts == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for host names");
    }
    for (size_t i = 0; i < hosts->n_items; i++) {
        serve->hosts[i] = hosts->items[i];
    }
    return TW_OK;
}

/* What is small and may be wrong comes before the models, which take their time. */
static enum tw_status load_keys(struct serve *serve, struct tw_error *error)
{
    const struct tw_serve_args *args = &serve->args;
    enum tw_status status = tw_serve_place_find(args->host, &serve->place, error);
    if (status == TW_OK) {
        status = tw_serve_check_options(args, &serve->place, error);
    }
    if (status == TW_OK) {
        struct tw_reach_list *reach = &serve->seal.reach;
        status = tw_serve_backends_look_up(
            args, args->sealed == TW_SERVE_SEALED_BROKER ? reach : NULL, &serve->backends, error);
    }
    if (status == TW_OK) {
        status = tw_serve_seal_begin(args, &serve->place, &serve->seal, error);
    }
    if (status == TW_OK && args->keys_path != NULL) {
        status = tw_api_keys_load(args->keys_path, &serve->keys, error);
    }
    if (status == TW_OK) {
        status = tw_serve_read_certificate(args, &serve->cert, &serve->cert_key, error);
    }
    return status;
}

/* A file that is wrong changes nothing. */
static void reload_keys(struct serve *serve)
{
    struct tw_error error;
    enum tw_status status = tw_api_reload_keys(serve->api, &error);
    if (status == TW_OK) {
        tw_log(TW_LOG_INFO, "the keys were read again");
    } else {
        tw_log(TW_LOG_ERROR, "the keys stay as they were: %s", error.text);
    }
}

static void reload_certificate(struct serve *serve)
{
    struct tw_buf cert, key;
    struct tw_error error;
    enum tw_status status = tw_serve_read_certificate(&serve->args, &cert, &key, &error);
    if (status == TW_OK) {
        status = tw_http_server_set_certificate(serve->server, cert.data, key.data, &error);
    }
    if (status == TW_OK) {
        tw_log(TW_LOG_INFO, "the certificate was read again: new connections get it");
    } else {
        tw_log(TW_LOG_ERROR, "the certificate stays as it was: %s", error.text);
    }
    tw_buf_free(&cert);
    tw_buf_free(&key);
}

/* What is read again: all of it holds from now on, or nothing has changed. */
struct reading {
    struct serve *serve;
    struct tw_hub_change *command; /* NULL: there are no books that would have it on record */
    struct tw_serve_args fresh;
    struct tw_policy *policy;
    char digest[TW_APPROVAL_DIGEST_BYTES], version[TW_POLICY_VERSION_BYTES];
    char short_version[TW_POLICY_SHORT_VERSION_BYTES];
    size_t n_backends;
};

/* As of tw_api_change: on record before it is done. */
static enum tw_status record_reading(void *context, struct tw_error *error)
{
    const struct reading *reading = context;
    const struct serve *serve = reading->serve;
    const struct tw_hub_server_field fields[] = {
        {"models", known(serve->digest), known(reading->digest)},
        {"policy", known(serve->policy_version), known(reading->version)}};
    return reading->command != NULL ? tw_hub_server_record(reading->command, fields, 2, error)
                                    : TW_OK;
}

static enum tw_status read_again(struct reading *reading, struct tw_error *error)
{
    const struct serve *serve = reading->serve;
    const struct tw_serve_args *args = &serve->args;
    enum tw_status status = TW_OK;
    snprintf(reading->digest, sizeof reading->digest, "%s", serve->digest);
    if (args->config_path != NULL) {
        status = tw_serve_config_load(args->config_path, &reading->fresh, error);
    }
    if (status == TW_OK && reading->fresh.file != NULL) {
        status = tw_serve_approved_models(&serve->api_config, reading->fresh.file, reading->digest,
                                          error);
    }
    if (status == TW_OK && args->policy_path != NULL) {
        status = admit_policy(serve, &reading->policy, error);
    }
    if (status == TW_OK && reading->policy != NULL) {
        snprintf(reading->version, sizeof reading->version, "%s", reading->policy->version);
        snprintf(reading->short_version, sizeof reading->short_version, "%s",
                 reading->policy->short_version);
    }
    return status;
}

static enum tw_status install_reading(struct reading *reading, struct tw_error *error)
{
    struct serve *serve = reading->serve;
    struct tw_api_change change = {.sets_policy = reading->policy != NULL,
                                   .policy = reading->policy,
                                   .agree = record_reading,
                                   .agree_context = reading};
    enum tw_status status = TW_OK;
    if (reading->fresh.file != NULL) {
        warn_of_zones(serve, reading->fresh.file);
        status = tw_serve_backends_change(serve->backends, reading->fresh.file, &change,
                                          &reading->n_backends, error);
    } else if (reading->policy != NULL) {
        status = tw_api_change(serve->api, &change, error);
    }
    if (status == TW_OK) { /* theirs */
        reading->fresh.file = NULL;
        reading->policy = NULL;
        snprintf(serve->digest, sizeof serve->digest, "%s", reading->digest);
        snprintf(serve->policy_version, sizeof serve->policy_version, "%s", reading->version);
    }
    return status;
}

static enum tw_status reload_routes(struct serve *serve, struct tw_hub_change *command,
                                    struct tw_error *error)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* SIGHUP and a command may meet */
    struct reading reading = {
        .serve = serve, .command = command, .fresh = tw_serve_args_defaults()};
    pthread_mutex_lock(&lock);
    enum tw_status status = read_again(&reading, error);
    if (status == TW_OK) {
        status = install_reading(&reading, error);
    }
    pthread_mutex_unlock(&lock);
    tw_policy_free(reading.policy);
    tw_serve_args_free(&reading.fresh);
    if (status != TW_OK) {
        tw_log(TW_LOG_ERROR, "backends and policy stay as they were: %s", error->text);
        return status;
    }
    if (serve->args.config_path != NULL) {
        const struct tw_log_field fields[] = {{"file", serve->args.config_path, 0},
                                              {"servers", NULL, (int64_t)reading.n_backends}};
        tw_log_record(TW_LOG_INFO, NULL, "the backends were read again", fields, 2);
    }
    if (reading.short_version[0] != '\0') {
        log_policy(serve, reading.short_version);
    }
    return TW_OK;
}

/* ---- commands ---- */

static void put_standing(void *context, const struct tw_api_standing *standing)
{
    json_t *row =
        json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I}", "name", standing->name, "zone",
                  standing->zone, "state",
                  !standing->has_address  ? "no address"
                  : standing->is_draining ? "draining"
                  : !standing->is_alive   ? "down"
                                          : "up",
                  "breaker", standing->breaker, "running", (json_int_t)standing->n_in_flight,
                  "waiting", (json_int_t)standing->n_waiting, "requests",
                  (json_int_t)standing->n_chosen, "failures", (json_int_t)standing->n_failed);
    if (standing->has_load) {
        json_object_set_new(row, "kv_percent",
                            json_integer((json_int_t)(standing->kv_share * 100)));
    }
    if (standing->token_ns > 0) {
        json_object_set_new(row, "prompt_tokens_per_s",
                            json_integer((json_int_t)(1e9 / standing->token_ns)));
    }
    if (standing->reason[0] != '\0') {
        json_object_set_new(row, "reason", json_string(standing->reason));
    }
    json_array_append_new(context, row);
}

static enum tw_status reload_by_command(struct serve *serve, struct tw_hub_change *command,
                                        json_t *answer, struct tw_error *error)
{
    enum tw_status status = TW_OK;
    if (serve->args.policy_path == NULL && serve->args.config_path == NULL) {
        status = tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                              "this server has no configuration file and no policy to read again");
    }
    if (status == TW_OK) {
        status = reload_routes(serve, command, error);
    }
    json_object_set_new(answer, "reloaded", json_boolean(status == TW_OK));
    return status;
}

struct draining {
    struct tw_hub_change *command;
    bool was, is;
};

static const char *state_of(bool is_draining)
{
    return is_draining ? "draining" : "up";
}

/* As of tw_api_change. */
static enum tw_status record_draining(void *context, struct tw_error *error)
{
    const struct draining *draining = context;
    const struct tw_hub_server_field field = {"state", state_of(draining->was),
                                              state_of(draining->is)};
    return tw_hub_server_record(draining->command, &field, 1, error);
}

/* A tw_hub_server_fn. */
static enum tw_status on_command(void *context, struct tw_hub_change *command, const char *verb,
                                 const char *name, json_t *answer, struct tw_error *error)
{
    struct serve *serve = context;
    if (strcmp(verb, "reload") == 0) {
        return reload_by_command(serve, command, answer, error);
    }
    if (strcmp(verb, "list") == 0) {
        json_t *rows = json_array();
        tw_api_each_remote(serve->api, put_standing, rows);
        json_object_set_new(answer, "backends", rows);
        return TW_OK;
    }
    const bool is_draining = strcmp(verb, "drain") == 0;
    json_object_set_new(answer, "name", json_string(name));
    json_object_set_new(answer, "state", json_string(state_of(is_draining)));
    struct draining draining = {command, tw_serve_backends_is_drained(serve->backends, name),
                                is_draining};
    return tw_serve_backends_drain(serve->backends, name, is_draining, record_draining, &draining,
                                   error);
}

/* On record as a command is, and as refused where it is. */
static void reload_by_signal(struct serve *serve)
{
    const struct tw_hub_actor actor = {.name = "SIGHUP"};
    struct tw_error error;
    json_t *command = NULL, *answer = NULL;
    if (serve->hub == NULL) {
        (void)reload_routes(serve, NULL, &error);
        return;
    }
    command = tw_hub_make_command("backend", "reload", json_object());
    if (command == NULL) {
        tw_log(TW_LOG_ERROR, "backends and policy stay as they were: no memory for a command");
        return;
    }
    (void)tw_hub_ask(serve->hub, &actor, command, &answer, &error); /* the log has what it says */
    json_decref(answer);
}

static void reload(struct serve *serve)
{
    const bool has_routes = serve->args.policy_path != NULL || serve->args.config_path != NULL;
    if (has_routes) {
        reload_by_signal(serve);
    }
    if (serve->keys != NULL && serve->hub == NULL) {
        reload_keys(serve);
    }
    if (serve->args.cert_path != NULL) {
        reload_certificate(serve);
    }
    if (serve->keys == NULL && serve->args.cert_path == NULL && !has_routes) {
        tw_log(TW_LOG_WARN,
               "SIGHUP: there are no keys, certificate, backends or policy to read again");
    }
}

/* SIGHUP reads what may be read again; any other of the signals is the end. */
static void wait_for_end(struct serve *serve, const sigset_t *signals)
{
    int signal_number = 0;
    while (sigwait(signals, &signal_number) == 0 && signal_number == SIGHUP) {
        reload(serve);
    }
}

static enum tw_status open_models(struct serve *serve, struct tw_error *error)
{
    enum tw_status status = tw_serve_args_take_models(&serve->args, error);
    if (status == TW_OK) {
        status = tw_serve_models_begin(&serve->models, &serve->args, error);
    }
    for (size_t i = 0; status == TW_OK && i < serve->args.n_models; i++) {
        status = tw_serve_models_open(&serve->models, &serve->args, i, error);
    }
    if (status == TW_OK) {
        status = tw_serve_backends_open(serve->backends, error);
    }
    if (status == TW_OK) {
        status = tw_serve_routes_open(&serve->routes, &serve->args, error);
    }
    return status == TW_OK ? tw_serve_models_load(&serve->models, &serve->args, error) : status;
}

static enum tw_status open_books(struct serve *serve, struct tw_error *error)
{
    if (serve->args.books_address == NULL) {
        return TW_OK;
    }
    const struct tw_serve_args *args = &serve->args;
    const struct tw_serve_books_terms terms = {.stage = serve->models.stage,
                                               .keys = serve->keys,
                                               .policy = known(serve->policy_version),
                                               .served = serve->digest};
    enum tw_status status = tw_serve_books_make(args, error);
    if (status == TW_OK) {
        tw_serve_books_identify(args, &serve->models);
        status = tw_serve_approved_digest(args->zone, serve->models.items, serve->models.n_items,
                                          args->file, serve->digest, error);
    }
    return status == TW_OK ? tw_serve_books_open(args, &terms, &serve->hub, error) : status;
}

/* Clients may come from here on, and wait: nobody is accepted before the process is sealed. */
static enum tw_status listen_and_seal(struct serve *serve, struct tw_error *error)
{
    const struct tw_serve_args *args = &serve->args;
    enum tw_status status = TW_OK;
    serve->listen_fd = serve->place.passed_fd;
    if (serve->listen_fd < 0) {
        status = tw_http_listen(args->host, (uint16_t)args->port, &serve->listen_fd, error);
    }
    if (status == TW_OK && serve->hub != NULL) {
        status = tw_serve_books_listen(args, &serve->admin_fd, error);
    }
    return status == TW_OK ? tw_serve_seal_apply(args, &serve->seal, error) : status;
}

static enum tw_status start_admin(struct serve *serve, struct tw_error *error)
{
    const int fd = serve->admin_fd;
    serve->admin_fd = -1;
    if (serve->hub != NULL) {
        tw_hub_set_server(serve->hub, on_command, serve);
    }
    return fd < 0 ? TW_OK
                  : tw_serve_books_start_admin(&serve->args, serve->hub, fd, &serve->admin, error);
}

static enum tw_status execute(struct serve *serve, struct tw_error *error)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    sigprocmask(SIG_BLOCK, &signals, NULL); /* in all threads: only this one waits for them */
    signal(SIGPIPE, SIG_IGN);
    tw_log_setup(isatty(STDERR_FILENO) ? TW_LOG_TEXT : TW_LOG_JSON, TW_LOG_INFO, STDERR_FILENO);
    raise_descriptors(serve);
    enum tw_status status = load_keys(serve, error);
    if (status == TW_OK) {
        status = copy_hosts(serve, error);
    }
    if (status == TW_OK) {
        status = open_models(serve, error);
    }
    if (status == TW_OK) {
        status = read_policy(serve, error);
    }
    if (status == TW_OK) {
        status = open_books(serve, error);
    }
    if (status == TW_OK) {
        status = listen_and_seal(serve, error);
    }
    if (status == TW_OK) {
        status = start(serve, error);
    }
    if (status == TW_OK && serve->hub != NULL) { /* secrets are shown once: what may fail is done */
        status = tw_serve_books_greet(serve->hub, error);
    }
    if (status == TW_OK) {
        status = start_admin(serve, error);
    }
    if (status == TW_ERR_CANCELLED) { /* as SIGTERM and SIGINT end it later */
        tw_serve_notify("STOPPING=1");
        tw_log(TW_LOG_INFO, "stopping: %s", error->text);
        return TW_OK;
    }
    if (status != TW_OK) {
        return status;
    }
    announce(serve);
    wait_for_end(serve, &signals);
    drain(serve, &signals);
    return TW_OK;
}

int tw_cmd_serve(int argc, char **argv)
{
    static struct serve serve = {.listen_fd = -1, .admin_fd = -1, .seal.broker.fd = -1};
    int exit_code;
    if (tw_serve_args_parse(argc, argv, &serve.args, &exit_code)) {
        struct tw_error error;
        if (serve.args.only_check) {
            exit_code = tw_serve_check(&serve.args);
        } else {
            exit_code = execute(&serve, &error) == TW_OK ? 0 : tw_command_fail(&error);
        }
    }
    take_down(&serve);
    return exit_code;
}
