#include "app/serve_backends.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "app/backend_places.h"
#include "app/backend_terms.h"
#include "app/serve_config.h"
#include "app/serve_routes.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"

#define DEFAULT_ZONE "elsewhere"
#define FLEET_BYTES  ((size_t)64 << 20)
#define NAME_BYTES   (TW_LIMIT_SERVED_NAME_BYTES + INET6_ADDRSTRLEN + 16)
#define MOST_DRAINED (2 * TW_LIMIT_REMOTES)

/* A server, shared by the fleets that have it. */
struct instance {
    struct tw_serve_backends *owner;
    struct instance *next;
    unsigned n_users; /* fleets; under instances_lock, as the list is */
    char *identity;   /* all that it was made of: where that is the same, so is the instance */
    char name[NAME_BYTES];
    struct tw_remote_backend *backend;
    bool is_known, is_alive; /* as the log was told; on the remote client's thread */
};

/* What the API has of them at a time, with its texts. */
struct fleet {
    struct tw_serve_backends *owner;
    struct tw_arena texts;
    struct tw_api_remote items[TW_LIMIT_REMOTES];
    struct instance *instances[TW_LIMIT_REMOTES]; /* NULL: an entry without a server */
    size_t n_items;
};

struct tw_serve_backends {
    const struct tw_serve_args *args;
    struct tw_remote_client *client; /* NULL: there will be none */
    struct tw_api *api;
    pthread_mutex_t lock;           /* of what follows; changes come one at a time */
    pthread_cond_t wake;            /* of the thread that looks names up */
    struct tw_serve_file *own_file; /* NULL: that of the arguments is still the one */
    struct tw_backend_places places;
    char drained[MOST_DRAINED][NAME_BYTES];
    size_t n_drained;
    bool stops, has_thread;
    pthread_t thread;
    pthread_mutex_t instances_lock; /* taken last, and nothing is called with it */
    struct instance *instances;
};

static const struct tw_server_kind *kind_of(const char *name)
{
    return tw_server_kind_named(name != NULL ? name : "openai");
}

/* ---- checking ---- */

enum tw_status tw_serve_backends_check(const struct tw_serve_args *args, struct tw_error *error)
{
    unsigned n = 0;
    const struct tw_serve_file_backend *rows = tw_serve_file_backends(args->file, &n);
    for (unsigned i = 0; i < n; i++) {
        for (unsigned k = 0; k < rows[i].models_count; k++) {
            const char *model = rows[i].models[k].name;
            if (tw_serve_routes_is_own(args, model)) {
                return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                                    "backend '%.60s': the model '%.60s' is served here under the "
                                    "same name: give one of them another",
                                    rows[i].name, model);
            }
        }
    }
    return TW_OK;
}

const char *tw_serve_backends_zone(const struct tw_serve_file_backend *row)
{
    return row->zone != NULL ? row->zone : DEFAULT_ZONE;
}

bool tw_serve_backends_have_zones(const struct tw_serve_file *file)
{
    unsigned n = 0, i = 0;
    const struct tw_serve_file_backend *rows = tw_serve_file_backends(file, &n);
    while (i < n && rows[i].zone == NULL) {
        i++;
    }
    return i < n;
}

/* ---- instances ---- */

/* On the remote client's thread. */
static void log_health(void *context, const struct tw_remote_health *health)
{
    struct instance *instance = context;
    if (instance->is_known && instance->is_alive == health->is_alive) {
        return;
    }
    const struct tw_log_field fields[] = {{"backend", instance->name, 0},
                                          {"reason", health->reason, 0}};
    tw_log_record(health->is_alive ? TW_LOG_INFO : TW_LOG_WARN, NULL,
                  health->is_alive ? "a backend answers" : "a backend does not answer", fields,
                  health->is_alive ? 1 : 2);
    instance->is_known = true;
    instance->is_alive = health->is_alive;
}

/* Nobody tells it anything any more. */
static void free_instance(void *context)
{
    struct instance *instance = context;
    tw_mem_free(instance->identity);
    tw_mem_free(instance);
}

static void let_go(struct instance *instance)
{
    struct tw_serve_backends *owner = instance->owner;
    pthread_mutex_lock(&owner->instances_lock);
    const bool was_last = --instance->n_users == 0;
    struct instance **at = &owner->instances;
    while (was_last && *at != instance) {
        at = &(*at)->next;
    }
    if (was_last) {
        *at = instance->next;
    }
    pthread_mutex_unlock(&owner->instances_lock);
    if (was_last) {
        tw_remote_backend_drop(instance->backend);
    }
}

static struct instance *find_instance(struct tw_serve_backends *backends, const char *identity)
{
    pthread_mutex_lock(&backends->instances_lock);
    struct instance *instance = backends->instances;
    while (instance != NULL && strcmp(instance->identity, identity) != 0) {
        instance = instance->next;
    }
    if (instance != NULL) {
        instance->n_users++;
    }
    pthread_mutex_unlock(&backends->instances_lock);
    return instance;
}

/* Of a CA by its content: a file that was replaced makes another server of it. */
static enum tw_status identify(const char *name, const struct tw_remote_config *config,
                               struct tw_buf *ret_identity, struct tw_error *error)
{
    uint64_t ca_hash = 0;
    if (config->ca_path != NULL) {
        struct tw_buf text;
        enum tw_status status =
            tw_file_load(config->ca_path, TW_LIMIT_REMOTE_CA_BYTES, &text, error);
        if (status != TW_OK) {
            return status;
        }
        ca_hash = tw_hash_of(text.size_bytes > 0 ? text.data : "", text.size_bytes, 0);
        tw_buf_free(&text);
    }
    const char *const parts[] = {
        name, config->url, config->connect_to, config->resolved, config->ca_path, config->key_path};
    tw_buf_init(ret_identity, TW_LIMIT_CONF_BYTES);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        tw_buf_append_format(ret_identity, "%s\n", parts[i] != NULL ? parts[i] : "");
    }
    tw_buf_append_format(ret_identity, "%016llx", (unsigned long long)ca_hash);
    tw_buf_append(ret_identity, "", 1); /* it is read as a text */
    return !ret_identity->failed
               ? TW_OK
               : tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a backend");
}

static enum tw_status make_instance(struct tw_serve_backends *backends, const char *name,
                                    struct tw_remote_config *config, const char *identity,
                                    struct instance **ret_instance, struct tw_error *error)
{
    struct instance *instance = tw_mem_zalloc(1, sizeof *instance);
    if (instance == NULL ||
        (instance->identity = tw_mem_strndup(identity, strlen(identity))) == NULL) {
        tw_mem_free(instance);
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a backend");
    }
    instance->owner = backends;
    instance->n_users = 1;
    snprintf(instance->name, sizeof instance->name, "%s", name);
    config->notice = log_health;
    config->gone = free_instance;
    config->notice_context = instance;
    enum tw_status status =
        tw_remote_backend_add(backends->client, config, &instance->backend, error);
    if (status != TW_OK) {
        free_instance(instance);
        return status;
    }
    pthread_mutex_lock(&backends->instances_lock);
    instance->next = backends->instances;
    backends->instances = instance;
    pthread_mutex_unlock(&backends->instances_lock);
    *ret_instance = instance;
    return TW_OK;
}

static enum tw_status take_instance(struct tw_serve_backends *backends, const char *name,
                                    struct tw_remote_config *config, struct instance **ret_instance,
                                    struct tw_error *error)
{
    struct tw_buf identity;
    enum tw_status status = identify(name, config, &identity, error);
    if (status != TW_OK) {
        return status;
    }
    *ret_instance = find_instance(backends, identity.data);
    if (*ret_instance == NULL) {
        status = make_instance(backends, name, config, identity.data, ret_instance, error);
    }
    tw_buf_free(&identity);
    return status;
}

/* ---- a fleet ---- */

/* tw_api_remotes.release */
static void free_fleet(void *context)
{
    struct fleet *fleet = context;
    for (size_t i = 0; i < fleet->n_items; i++) {
        if (fleet->instances[i] != NULL) {
            let_go(fleet->instances[i]);
        }
    }
    tw_arena_clear(&fleet->texts);
    tw_mem_free(fleet);
}

static const char *keep(struct fleet *fleet, const char *text)
{
    return tw_arena_strndup(&fleet->texts, text, strlen(text));
}

static enum tw_status no_memory(struct tw_error *error)
{
    return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for backends");
}

static bool is_drained(const struct tw_serve_backends *backends, const char *name)
{
    size_t i = 0;
    while (i < backends->n_drained && strcmp(backends->drained[i], name) != 0) {
        i++;
    }
    return i < backends->n_drained;
}

void tw_serve_log_relay(const struct tw_api_relay_note *note)
{
    const struct tw_log_context context = {.request_id = note->request_id};
    struct tw_log_field fields[7] = {{"backend", note->backend, 0}};
    int n = 1;
    if (note->sent_id[0] != '\0') {
        fields[n++] = (struct tw_log_field){"sent_id", note->sent_id, 0};
    }
    if (note->detail[0] != '\0') {
        fields[n++] = (struct tw_log_field){"reason", note->detail, 0};
    }
    if (note->status != 0) {
        fields[n++] = (struct tw_log_field){"status", NULL, note->status};
    }
    if (note->n_reported_tokens > 0) {
        fields[n++] =
            (struct tw_log_field){"reserved_tokens", NULL, (int64_t)note->n_reserved_tokens};
        fields[n++] =
            (struct tw_log_field){"reported_tokens", NULL, (int64_t)note->n_reported_tokens};
        fields[n++] = (struct tw_log_field){"unpaid_tokens", NULL, (int64_t)note->n_unpaid_tokens};
    }
    tw_log_record(TW_LOG_WARN, &context, note->what, fields, n);
}

static uint32_t number_of(const uint64_t *number)
{
    return number != NULL ? (uint32_t)*number : 0;
}

static const struct tw_api_remote_model *keep_models(struct fleet *fleet,
                                                     const struct tw_serve_file_backend *row)
{
    const uint32_t abilities = kind_of(row->kind)->abilities;
    struct tw_api_remote_model *models =
        tw_arena_alloc(&fleet->texts, row->models_count, sizeof *models);
    bool is_kept = models != NULL;
    for (unsigned i = 0; is_kept && i < row->models_count; i++) {
        const struct tw_serve_file_remote_model *model = &row->models[i];
        models[i] = (struct tw_api_remote_model){
            .name = keep(fleet, model->name),
            .upstream = keep(fleet, model->upstream != NULL ? model->upstream : model->name),
            .n_context_tokens = (uint32_t)model->ctx};
        /* They were checked with the file. */
        (void)tw_backend_terms_cost(model, &models[i].prices, NULL);
        (void)tw_backend_terms_abilities(model, abilities, &models[i].abilities, NULL);
        is_kept = models[i].name != NULL && models[i].upstream != NULL;
    }
    return is_kept ? models : NULL;
}

/* Of members of requests; NULL: no memory. */
static const char *const *keep_passed(struct fleet *fleet, const struct tw_serve_file_backend *row)
{
    const char **passed = tw_arena_alloc(&fleet->texts, row->pass_count + 1, sizeof *passed);
    bool is_kept = passed != NULL;
    for (unsigned i = 0; is_kept && i < row->pass_count; i++) {
        passed[i] = keep(fleet, row->pass[i]);
        is_kept = passed[i] != NULL;
    }
    return is_kept ? passed : NULL;
}

/* An entry of the file, as it is put into a fleet. */
struct entry {
    struct tw_serve_backends *backends;
    const struct tw_serve_file_backend *row;
    struct fleet *fleet;
    const char *name, *zone;
    const struct tw_api_remote_model *models;
    const char *const *passed; /* [row->pass_count] */
    bool has_one;              /* server, which is called as the entry is */
};

static bool has_name(const struct fleet *fleet, const char *name)
{
    size_t i = 0;
    while (i < fleet->n_items && strcmp(fleet->items[i].name, name) != 0) {
        i++;
    }
    return i < fleet->n_items;
}

/* config NULL: the entry has no server now. */
static enum tw_status add_item(const struct entry *entry, const char *name, uint32_t rank,
                               uint32_t weight, struct tw_remote_config *config,
                               struct tw_error *error)
{
    struct fleet *fleet = entry->fleet;
    struct tw_serve_backends *backends = entry->backends;
    const struct tw_serve_file_backend *row = entry->row;
    struct instance *instance = NULL;
    if (has_name(fleet, name)) {
        return TW_OK; /* two URLs lead to one server */
    }
    if (fleet->n_items == TW_LIMIT_REMOTES) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "more than %d other servers: '%.60s' is one too many", TW_LIMIT_REMOTES,
                            name);
    }
    const char *kept_name = keep(fleet, name);
    if (kept_name == NULL) {
        return no_memory(error);
    }
    if (config != NULL) {
        config->ca_path = row->ca;
        config->key_path = row->key;
        config->first_byte_ms = TW_LIMIT_REMOTE_FIRST_BYTE_MS;
        enum tw_status status = take_instance(backends, name, config, &instance, error);
        if (status != TW_OK) {
            return status;
        }
    }
    const uint64_t whole_weight = (uint64_t)(row->weight != NULL ? *row->weight : 1) * weight;
    fleet->instances[fleet->n_items] = instance;
    fleet->items[fleet->n_items++] = (struct tw_api_remote){
        .name = kept_name,
        .zone = entry->zone,
        .entry = entry->name,
        .backend = instance != NULL ? instance->backend : NULL,
        .models = entry->models,
        .n_models = row->models_count,
        .rank = rank,
        .weight = (uint32_t)(whole_weight < TW_LIMIT_REMOTE_WEIGHT ? whole_weight
                                                                   : TW_LIMIT_REMOTE_WEIGHT),
        .canary_per_mille = number_of(row->canary_per_mille),
        .most_in_flight = number_of(row->most_at_once),
        .is_draining = is_drained(backends, name) || is_drained(backends, entry->name),
        .kind = kind_of(row->kind),
        .shares_prefixes = row->shares_prefixes != NULL && *row->shares_prefixes,
        .passed = entry->passed,
        .n_passed = row->pass_count};
    return TW_OK;
}

static void write_address(const char *host, uint16_t port, char *ret_text, size_t n_bytes)
{
    const bool is_6 = strchr(host, ':') != NULL;
    snprintf(ret_text, n_bytes, "%s%s%s:%u", is_6 ? "[" : "", host, is_6 ? "]" : "", port);
}

/* A priority as the number of places that have a better one. */
static uint32_t rank_of(const struct tw_dns_places *places, const struct tw_dns_place *place)
{
    uint32_t rank = 0;
    for (size_t i = 0; i < places->n_items; i++) {
        rank += places->items[i].priority < place->priority;
    }
    return rank;
}

/* A server at each place that was found. */
static enum tw_status add_places(const struct entry *entry, const struct tw_backend_place_row *row,
                                 struct tw_error *error)
{
    enum tw_status status = TW_OK;
    for (size_t i = 0; status == TW_OK && i < row->places.n_items; i++) {
        const struct tw_dns_place *place = &row->places.items[i];
        char address[INET6_ADDRSTRLEN + 16], base[TW_LIMIT_REMOTE_URL_BYTES + 16],
            url[TW_LIMIT_REMOTE_URL_BYTES + 32], name[NAME_BYTES];
        write_address(place->address, place->port, address, sizeof address);
        write_address(row->url.tls_name, place->port, base, sizeof base);
        snprintf(url, sizeof url, "%s://%s", row->url.is_tls ? "https" : "http", base);
        snprintf(name, sizeof name, "%s@%s", entry->name, address);
        struct tw_remote_config config = tw_remote_defaults();
        config.url = url;
        config.connect_to = address;
        if (entry->fleet->n_items == TW_LIMIT_REMOTES) {
            tw_log(TW_LOG_WARN,
                   "more than %d other servers: '%s' and what is behind it get nothing",
                   TW_LIMIT_REMOTES, name);
            break; /* what DNS says is no mistake of the file */
        }
        status = add_item(entry, name, rank_of(&row->places, place),
                          place->weight > 0 ? place->weight : 1, &config, error);
    }
    return status;
}

/* What libcurl is told of a name where nobody can look it up. */
static void write_resolved(const struct tw_backend_place_row *row, struct tw_buf *out)
{
    tw_buf_append_format(out, "%s:%u:", row->url.host, row->url.port);
    for (size_t i = 0; i < row->places.n_items; i++) {
        const char *address = row->places.items[i].address;
        const bool is_6 = strchr(address, ':') != NULL;
        tw_buf_append_format(out, "%s%s%s%s", i > 0 ? "," : "", is_6 ? "[" : "", address,
                             is_6 ? "]" : "");
    }
    tw_buf_append(out, "", 1); /* it is read as a text */
}

static enum tw_status add_one(const struct entry *entry, const struct tw_backend_place_row *row,
                              struct tw_error *error)
{
    char address[TW_LIMIT_REMOTE_URL_BYTES + 16], name[NAME_BYTES];
    struct tw_remote_config config = tw_remote_defaults();
    struct tw_buf resolved;
    write_address(row->url.host, row->url.port, address, sizeof address);
    const int n = entry->has_one ? snprintf(name, sizeof name, "%s", entry->name)
                                 : snprintf(name, sizeof name, "%s@%s", entry->name, address);
    if (n >= (int)sizeof name) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "the URL '%.100s' is too long for one of a list", row->text);
    }
    tw_buf_init(&resolved, TW_LIMIT_CONF_BYTES);
    config.url = row->text;
    if (row->places.n_items > 0) {
        write_resolved(row, &resolved);
        config.resolved = resolved.data;
    }
    enum tw_status status =
        resolved.failed ? no_memory(error) : add_item(entry, name, 0, 1, &config, error);
    tw_buf_free(&resolved);
    return status;
}

static enum tw_status add_url(const struct entry *entry, const char *text, struct tw_error *error)
{
    struct tw_backend_place_row *row;
    enum tw_status status = tw_backend_places_take(&entry->backends->places, text,
                                                   tw_clock_monotonic_ns(), &row, error);
    if (status != TW_OK) {
        return status;
    }
    return row->url.form == TW_BACKEND_ONE ? add_one(entry, row, error)
                                           : add_places(entry, row, error);
}

static enum tw_status add_entry(struct tw_serve_backends *backends, struct fleet *fleet,
                                const struct tw_serve_file_backend *row, struct tw_error *error)
{
    const struct entry entry = {.backends = backends,
                                .row = row,
                                .fleet = fleet,
                                .name = keep(fleet, row->name),
                                .zone = keep(fleet, row->zone != NULL ? row->zone : DEFAULT_ZONE),
                                .models = keep_models(fleet, row),
                                .passed = keep_passed(fleet, row),
                                .has_one = row->url != NULL};
    const size_t n_before = fleet->n_items;
    if (entry.name == NULL || entry.zone == NULL || entry.models == NULL || entry.passed == NULL) {
        return no_memory(error);
    }
    enum tw_status status = row->url != NULL ? add_url(&entry, row->url, error) : TW_OK;
    for (unsigned i = 0; status == TW_OK && i < row->urls_count; i++) {
        status = add_url(&entry, row->urls[i], error);
    }
    return status == TW_OK && fleet->n_items == n_before
               ? add_item(&entry, row->name, 0, 1, NULL, error)
               : status;
}

static enum tw_status make_fleet(struct tw_serve_backends *backends,
                                 const struct tw_serve_file *file, struct fleet **ret_fleet,
                                 struct tw_error *error)
{
    unsigned n = 0;
    const struct tw_serve_file_backend *rows = tw_serve_file_backends(file, &n);
    struct fleet *fleet = tw_mem_zalloc(1, sizeof *fleet);
    enum tw_status status = fleet != NULL ? TW_OK : no_memory(error);
    if (fleet != NULL) {
        fleet->owner = backends;
        tw_arena_init(&fleet->texts, FLEET_BYTES);
    }
    tw_backend_places_begin(&backends->places);
    for (unsigned i = 0; status == TW_OK && i < n; i++) {
        status = add_entry(backends, fleet, &rows[i], error);
    }
    if (status == TW_OK) {
        *ret_fleet = fleet;
    } else if (fleet != NULL) {
        free_fleet(fleet);
    }
    return status;
}

/* With the lock held. */
static enum tw_status install(struct tw_serve_backends *backends, const struct tw_serve_file *file,
                              struct tw_api_change *change, struct tw_error *error)
{
    struct fleet *fleet;
    enum tw_status status = make_fleet(backends, file, &fleet, error);
    if (status != TW_OK) {
        return status;
    }
    change->sets_remotes = true;
    change->remotes = (struct tw_api_remotes){
        .items = fleet->items, .n_items = fleet->n_items, .release = free_fleet, .context = fleet};
    status = tw_api_change(backends->api, change, error);
    if (status == TW_OK) {
        tw_backend_places_end(&backends->places);
    } else {
        free_fleet(fleet);
    }
    return status;
}

static const struct tw_serve_file *file_of(const struct tw_serve_backends *backends)
{
    return backends->own_file != NULL ? backends->own_file : backends->args->file;
}

/* The same file, of which something else became of it. */
static void install_again(struct tw_serve_backends *backends, const char *why)
{
    struct tw_api_change change = {.sets_policy = false};
    struct tw_error error;
    if (install(backends, file_of(backends), &change, &error) == TW_OK) {
        const struct tw_log_field fields[] = {{"servers", NULL, (int64_t)change.remotes.n_items}};
        tw_log_record(TW_LOG_INFO, NULL, why, fields, 1);
    } else {
        tw_log(TW_LOG_ERROR, "the backends stay as they were: %s", error.text);
    }
}

/* ---- names ---- */

/* With the lock held, which it gives up meanwhile. */
static void look_up(struct tw_serve_backends *backends, const struct tw_backend_place_row *row)
{
    struct tw_dns_places found;
    struct tw_error error;
    const struct tw_backend_url url = row->url;
    char text[TW_LIMIT_REMOTE_URL_BYTES];
    snprintf(text, sizeof text, "%s", row->text);
    pthread_mutex_unlock(&backends->lock);
    enum tw_status status =
        tw_dns_lookup(backends->places.nameserver,
                      url.form == TW_BACKEND_SERVICES ? TW_DNS_SERVICES : TW_DNS_ADDRESSES,
                      url.host, url.port, &found, &error);
    pthread_mutex_lock(&backends->lock);
    struct tw_backend_place_row *now = tw_backend_places_find(&backends->places, text);
    if (now == NULL || backends->stops) {
        return;
    }
    if (status != TW_OK) { /* what is known stays */
        tw_log(TW_LOG_WARN, "'%s': %s; it is asked again", text, error.text);
        now->due_ns = tw_clock_monotonic_ns() + TW_LIMIT_DNS_RETRY_NS;
    } else if (tw_backend_places_put(now, &found, tw_clock_monotonic_ns())) {
        install_again(backends, "a backend's name stands for other servers");
    }
}

static void *look_up_all(void *context)
{
    struct tw_serve_backends *backends = context;
    pthread_mutex_lock(&backends->lock);
    while (!backends->stops) {
        const struct tw_backend_place_row *row = tw_backend_places_next(&backends->places);
        if (row != NULL && row->due_ns <= tw_clock_monotonic_ns()) {
            look_up(backends, row);
        } else if (row != NULL) {
            const struct timespec until = {.tv_sec = row->due_ns / TW_SECOND_NS,
                                           .tv_nsec = row->due_ns % TW_SECOND_NS};
            pthread_cond_timedwait(&backends->wake, &backends->lock, &until);
        } else {
            pthread_cond_wait(&backends->wake, &backends->lock);
        }
    }
    pthread_mutex_unlock(&backends->lock);
    return NULL;
}

/* ---- its life ---- */

enum tw_status tw_serve_backends_look_up(const struct tw_serve_args *args,
                                         struct tw_reach_list *reach,
                                         struct tw_serve_backends **ret_backends,
                                         struct tw_error *error)
{
    struct tw_serve_backends *backends = tw_mem_zalloc(1, sizeof *backends);
    unsigned n = 0;
    const struct tw_serve_file_backend *rows = tw_serve_file_backends(args->file, &n);
    pthread_condattr_t monotonic;
    enum tw_status status = backends != NULL ? TW_OK : no_memory(error);
    if (status != TW_OK) {
        return status;
    }
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&backends->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&backends->lock, NULL);
    pthread_mutex_init(&backends->instances_lock, NULL);
    backends->args = args;
    backends->places.nameserver = args->nameserver;
    backends->places.reach = reach;
    *ret_backends = backends;
    const int64_t now_ns = tw_clock_monotonic_ns();
    for (unsigned i = 0; status == TW_OK && i < n; i++) {
        struct tw_backend_place_row *row;
        if (rows[i].url != NULL) {
            status = tw_backend_places_take(&backends->places, rows[i].url, now_ns, &row, error);
        }
        for (unsigned k = 0; status == TW_OK && k < rows[i].urls_count; k++) {
            status =
                tw_backend_places_take(&backends->places, rows[i].urls[k], now_ns, &row, error);
        }
    }
    backends->places.is_fixed = reach != NULL;
    return status;
}

enum tw_status tw_serve_backends_open(struct tw_serve_backends *backends, struct tw_error *error)
{
    const struct tw_serve_args *args = backends->args;
    enum tw_status status = tw_serve_backends_check(args, error);
    if (status != TW_OK || args->config_path == NULL || args->sealed == TW_SERVE_SEALED_PROCESS) {
        return status;
    }
    return tw_remote_client_start(&backends->client, error);
}

struct tw_remote_client *tw_serve_backends_client(struct tw_serve_backends *backends)
{
    return backends->client;
}

static void log_models(const struct tw_api_remotes *remotes)
{
    for (size_t i = 0; i < remotes->n_items; i++) {
        const struct tw_api_remote *remote = &remotes->items[i];
        for (size_t k = 0; k < remote->n_models; k++) {
            const struct tw_log_field fields[] = {{"model", remote->models[k].name, 0},
                                                  {"backend", remote->name, 0},
                                                  {"zone", remote->zone, 0}};
            tw_log_record(TW_LOG_INFO, NULL, "a model of another server is served", fields, 3);
        }
    }
}

enum tw_status tw_serve_backends_start(struct tw_serve_backends *backends, struct tw_api *api,
                                       struct tw_error *error)
{
    struct tw_api_change change = {.sets_policy = false};
    if (backends->client == NULL) {
        return TW_OK;
    }
    pthread_mutex_lock(&backends->lock);
    backends->api = api;
    enum tw_status status = install(backends, backends->args->file, &change, error);
    if (status == TW_OK) {
        log_models(&change.remotes);
    }
    pthread_mutex_unlock(&backends->lock);
    if (status == TW_OK && !backends->places.is_fixed) {
        backends->has_thread = pthread_create(&backends->thread, NULL, look_up_all, backends) == 0;
        status = backends->has_thread
                     ? TW_OK
                     : tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no thread for names");
    }
    return status;
}

/* Looks up what is new in a file, which takes its time, and has the rows of it. */
static enum tw_status look_up_new(struct tw_serve_backends *backends,
                                  const struct tw_serve_file *file, struct tw_backend_places *found,
                                  struct tw_error *error)
{
    unsigned n = 0;
    const struct tw_serve_file_backend *rows = tw_serve_file_backends(file, &n);
    enum tw_status status = TW_OK;
    for (unsigned i = 0; status == TW_OK && i < n; i++) {
        const unsigned n_urls = rows[i].url != NULL ? 1 : rows[i].urls_count;
        for (unsigned k = 0; status == TW_OK && k < n_urls; k++) {
            const char *url = rows[i].url != NULL ? rows[i].url : rows[i].urls[k];
            struct tw_backend_place_row *row;
            pthread_mutex_lock(&backends->lock);
            const bool is_known = tw_backend_places_find(&backends->places, url) != NULL;
            pthread_mutex_unlock(&backends->lock);
            if (!is_known) {
                status = tw_backend_places_take(found, url, tw_clock_monotonic_ns(), &row, error);
            }
        }
    }
    return status;
}

enum tw_status tw_serve_backends_change(struct tw_serve_backends *backends,
                                        struct tw_serve_file *file, struct tw_api_change *change,
                                        size_t *ret_n, struct tw_error *error)
{
    struct tw_serve_args args = *backends->args;
    struct tw_backend_places found = {.nameserver = backends->places.nameserver,
                                      .reach = backends->places.reach,
                                      .is_fixed = backends->places.is_fixed};
    args.file = file;
    enum tw_status status = tw_serve_backends_check(&args, error);
    if (status == TW_OK) {
        status = look_up_new(backends, file, &found, error);
    }
    if (status != TW_OK) {
        tw_backend_places_free(&found);
        return status;
    }
    pthread_mutex_lock(&backends->lock);
    tw_backend_places_merge(&backends->places, &found);
    status = install(backends, file, change, error);
    if (status == TW_OK) {
        tw_serve_file_free(backends->own_file);
        backends->own_file = file;
        *ret_n = change->remotes.n_items;
        log_models(&change->remotes);
        pthread_cond_signal(&backends->wake);
    }
    pthread_mutex_unlock(&backends->lock);
    return status;
}

/* ---- by hand ---- */

static bool is_there(struct tw_serve_backends *backends, const char *name)
{
    unsigned n = 0;
    const struct tw_serve_file_backend *rows = tw_serve_file_backends(file_of(backends), &n);
    bool is_known = false;
    for (unsigned i = 0; i < n && !is_known; i++) {
        is_known = strcmp(rows[i].name, name) == 0;
    }
    pthread_mutex_lock(&backends->instances_lock);
    for (struct instance *at = backends->instances; at != NULL && !is_known; at = at->next) {
        is_known = strcmp(at->name, name) == 0;
    }
    pthread_mutex_unlock(&backends->instances_lock);
    return is_known;
}

static void forget_drained(struct tw_serve_backends *backends, const char *name)
{
    for (size_t i = 0; i < backends->n_drained; i++) {
        if (strcmp(backends->drained[i], name) == 0) {
            backends->n_drained--;
            memmove(backends->drained[i], backends->drained[backends->n_drained], NAME_BYTES);
            return;
        }
    }
}

static void set_drained(struct tw_serve_backends *backends, const char *name, bool is_draining)
{
    forget_drained(backends, name);
    if (is_draining) {
        snprintf(backends->drained[backends->n_drained++], NAME_BYTES, "%s", name);
    }
}

bool tw_serve_backends_is_drained(struct tw_serve_backends *backends, const char *name)
{
    pthread_mutex_lock(&backends->lock);
    const bool is_it = is_drained(backends, name);
    pthread_mutex_unlock(&backends->lock);
    return is_it;
}

enum tw_status tw_serve_backends_drain(struct tw_serve_backends *backends, const char *name,
                                       bool is_draining,
                                       enum tw_status (*agree)(void *context,
                                                               struct tw_error *error),
                                       void *context, struct tw_error *error)
{
    enum tw_status status = TW_OK;
    struct tw_api_change change = {.agree = agree, .agree_context = context};
    pthread_mutex_lock(&backends->lock);
    const bool was_drained = is_drained(backends, name);
    if (backends->client == NULL || !is_there(backends, name)) {
        status = tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION,
                              "there is no backend '%.100s': 'backend list' shows those there are",
                              name);
    } else if (is_draining && !was_drained && backends->n_drained == MOST_DRAINED) {
        status = tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                              "%d backends are drained already", MOST_DRAINED);
    }
    if (status == TW_OK) {
        set_drained(backends, name, is_draining);
        status = install(backends, file_of(backends), &change, error);
        if (status != TW_OK) {
            set_drained(backends, name, was_drained);
        }
    }
    pthread_mutex_unlock(&backends->lock);
    if (status == TW_OK) {
        const struct tw_log_field fields[] = {{"backend", name, 0}};
        tw_log_record(TW_LOG_INFO, NULL,
                      is_draining ? "a backend is drained" : "a backend gets requests again",
                      fields, 1);
    }
    return status;
}

/* ---- the end ---- */

void tw_serve_backends_stop(struct tw_serve_backends *backends)
{
    if (backends == NULL) {
        return;
    }
    pthread_mutex_lock(&backends->lock);
    backends->stops = true;
    pthread_cond_signal(&backends->wake);
    pthread_mutex_unlock(&backends->lock);
    if (backends->has_thread) {
        pthread_join(backends->thread, NULL);
        backends->has_thread = false;
    }
    tw_remote_client_stop(backends->client);
}

void tw_serve_backends_close(struct tw_serve_backends *backends)
{
    if (backends == NULL) {
        return;
    }
    tw_serve_backends_stop(backends);
    tw_remote_client_free(backends->client);
    tw_backend_places_free(&backends->places);
    tw_serve_file_free(backends->own_file);
    pthread_cond_destroy(&backends->wake);
    pthread_mutex_destroy(&backends->instances_lock);
    pthread_mutex_destroy(&backends->lock);
    tw_mem_free(backends);
}
