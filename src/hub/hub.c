#include "hub/hub.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/file.h"
#include "base/mem.h"
#include "hub/hub_schema.h"
#include "hub/hub_state.h"

#define DEFAULT_CURRENCY "EUR"
#define PEPPER_FILE      "pepper"
#define AUDIT_KEY_FILE   "audit-key"

/* ---- opening ---- */

/* What keyed hashes are made with: random, in a file of its own, so that a copy of the store alone
 * is of no use to whoever guesses keys. */
static enum tw_status read_pepper(struct tw_hub *hub, const char *path, struct tw_error *error)
{
    struct tw_file_map map;
    enum tw_status status = tw_file_map_open(path, &map, error);
    if (status != TW_OK) {
        return status;
    }
    if ((map.stamp.mode & 0077) != 0) {
        status = tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                              "'%s' is open to others than its owner: if nobody can have changed "
                              "or taken it, chmod 600 it",
                              path);
    } else if (map.size_bytes != TW_DIRECTORY_HASH_BYTES) {
        status = tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                              "%s has %zu bytes, not %d: without the file that was made with the "
                              "books no key is good any more; restore it",
                              path, map.size_bytes, TW_DIRECTORY_HASH_BYTES);
    } else {
        memcpy(hub->directory.pepper, map.data, TW_DIRECTORY_HASH_BYTES);
    }
    tw_file_map_close(&map);
    return status;
}

static enum tw_status make_pepper(const char *path, struct tw_error *error)
{
    unsigned char random[TW_DIRECTORY_HASH_BYTES];
    randombytes_buf(random, sizeof random);
    enum tw_status status = tw_file_write_private(path, random, sizeof random, error);
    sodium_memzero(random, sizeof random);
    return status;
}

/* Of the folder that is configured, or of the store's own. */
enum tw_status tw_hub_path(const struct tw_hub_config *config, const char *name,
                           char ret_path[TW_LIMIT_HUB_FILE_BYTES], struct tw_error *error)
{
    const char *end = strrchr(config->address, '/');
    int n;
    if (config->folder != NULL) {
        n = snprintf(ret_path, TW_LIMIT_HUB_FILE_BYTES, "%s/%s", config->folder, name);
    } else if (strncmp(config->address, "postgres", 8) == 0) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "a hub on PostgreSQL needs a folder for its keys: name one");
    } else {
        n = snprintf(ret_path, TW_LIMIT_HUB_FILE_BYTES, "%.*s%s",
                     end == NULL ? 0 : (int)(end + 1 - config->address), config->address, name);
    }
    return n > 0 && n < TW_LIMIT_HUB_FILE_BYTES ? TW_OK
                                                : tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                                                               "the path of %s is too long", name);
}

static enum tw_status open_pepper(struct tw_hub *hub, bool is_new, struct tw_error *error)
{
    char path[TW_LIMIT_HUB_FILE_BYTES];
    enum tw_status status = tw_hub_path(&hub->config, PEPPER_FILE, path, error);
    if (status == TW_OK && !tw_file_exists(path)) {
        status = is_new ? make_pepper(path, error)
                        : tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION,
                                       "%s is missing: without it no key of these books is good; "
                                       "restore it from a backup",
                                       path);
    }
    return status == TW_OK ? read_pepper(hub, path, error) : status;
}

static enum tw_status open_audit(struct tw_hub *hub, struct tw_error *error)
{
    char path[TW_LIMIT_HUB_FILE_BYTES];
    enum tw_status status = tw_hub_path(&hub->config, AUDIT_KEY_FILE, path, error);
    if (status == TW_OK) {
        status = tw_audit_key_open(path, &hub->audit_key, error);
    }
    return status == TW_OK ? tw_audit_log_open(hub->db, hub->ledger.books.log, hub->audit_key,
                                               &hub->audit, error)
                           : status;
}

static enum tw_status check_currency(const struct tw_hub *hub, struct tw_error *error)
{
    const char *wanted = hub->config.currency, *has = hub->ledger.books.currency;
    return wanted == NULL || strcmp(wanted, has) == 0
               ? TW_OK
               : tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                              "these books are in %s for ever, not in %.20s: leave --currency out, "
                              "or begin other books",
                              has, wanted);
}

static enum tw_status open_parts(struct tw_hub *hub, struct tw_error *error)
{
    const char *currency = hub->config.currency != NULL ? hub->config.currency : DEFAULT_CURRENCY;
    enum tw_status status = tw_directory_init(&hub->directory, error);
    if (status == TW_OK) {
        status = tw_directory_init(&hub->listed, error);
    }
    hub->directory.zone_folder = hub->config.zone_folder;
    hub->listed.zone_folder = hub->config.zone_folder;
    if (status == TW_OK) {
        status = tw_db_open(hub->config.address, TW_DB_WRITE, &hub->db, error);
    }
    if (status == TW_OK) {
        status = tw_hub_schema_migrate(hub->db, error);
    }
    if (status == TW_OK) {
        status = tw_ledger_open(hub->db, currency, hub->config.now_ns(hub->config.context),
                                hub->config.keeps_own_time, &hub->ledger, error);
    }
    if (status == TW_OK && tw_db_is_postgres(hub->db)) {
        status = tw_db_prepare(hub->db, tw_db_notify_sql, &hub->notify, error);
    }
    if (status == TW_OK) {
        status = tw_hub_open_rates(hub, error);
    }
    if (status == TW_OK) {
        status = check_currency(hub, error);
    }
    if (status == TW_OK) {
        status = open_pepper(hub, hub->ledger.books.next_id == TW_LEDGER_FIRST_ID, error);
    }
    return status == TW_OK ? open_audit(hub, error) : status;
}

/* The scheduler knows a project before any key of it is good. */
static void announce(struct tw_hub *hub, struct tw_holder *project)
{
    const struct tw_holder_settings *settings = &project->settings;
    if (project->is_announced && project->announced_weight == settings->weight &&
        project->announced_class == settings->priority_class) {
        return;
    }
    if (project->number == 0) {
        project->number = ++hub->n_projects;
    }
    if (hub->config.project != NULL) {
        hub->config.project(hub->config.project_context, project->number,
                            (uint32_t)settings->weight, (int)settings->priority_class);
    }
    project->announced_weight = settings->weight;
    project->announced_class = settings->priority_class;
    project->is_announced = true;
}

enum tw_status tw_hub_update_directory(struct tw_hub *hub, struct tw_error *error)
{
    struct tw_directory *directory = &hub->directory;
    enum tw_status status =
        tw_directory_update(directory, hub->db, hub->ledger.books.next_change, error);
    while (status == TW_OK && directory->changed != NULL) {
        struct tw_holder *holder = directory->changed;
        directory->changed = holder->next_changed;
        holder->is_changed = false;
        if (holder->kind == TW_HOLDER_PROJECT) {
            announce(hub, holder);
            hub->content.has_aging |= holder->settings.keep_content_ns > 0;
        }
    }
    return status;
}

int64_t tw_hub_now_ns(struct tw_hub *hub)
{
    return hub->config.now_ns(hub->config.context) + hub->ahead_ns;
}

int64_t tw_hub_time_ns(struct tw_hub *hub)
{
    return tw_hub_now_ns(hub);
}

/* A command that is given where no server runs has its own record; two more would hide it. */
static bool is_unrecorded(const struct tw_hub *hub)
{
    return hub->config.is_brief && hub->n_recovered == 0;
}

/* One record for the start, together with the settlements of what was left open. */
static enum tw_status start_group(struct tw_hub *hub, struct tw_error *error)
{
    enum tw_status status = tw_hub_begin_group(hub, error);
    if (status != TW_OK) {
        return status;
    }
    status = tw_hub_recover(hub, error);
    if (status == TW_OK && !is_unrecorded(hub)) {
        status = tw_hub_record_start(hub, error);
    }
    if (status != TW_OK) {
        tw_hub_fail_group(hub, status, error);
    }
    return tw_hub_end_group(hub, error);
}

enum tw_status tw_hub_open(const struct tw_hub_config *config, struct tw_hub **ret_hub,
                           struct tw_error *error)
{
    tw_secret_guard_process(); /* of pepper, signing key, and keys of subjects */
    struct tw_hub *hub = tw_mem_zalloc(1, sizeof *hub);
    if (hub == NULL || sodium_init() < 0) {
        tw_mem_free(hub);
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for the hub");
    }
    hub->config = *config;
    hub->address = tw_mem_strndup(config->address, strlen(config->address));
    hub->config.address = hub->address;
    if (hub->address == NULL) {
        tw_mem_free(hub);
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for the hub");
    }
    hub->last = &hub->first;
    hub->link.stop_fd = -1;
    pthread_mutex_init(&hub->lock, NULL);
    pthread_mutex_init(&hub->list_lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&hub->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    tw_audit_body_init(&hub->body);
    enum tw_status status = open_parts(hub, error);
    if (status == TW_OK) {
        status = start_group(hub, error);
    }
    if (status == TW_OK) {
        status = tw_hub_open_content(hub, error);
    }
    if (status == TW_OK) {
        const int failure = pthread_create(&hub->thread, NULL, tw_hub_write, hub);
        hub->has_thread = failure == 0;
        if (failure != 0) {
            status = tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no thread for the hub: %s",
                                  strerror(failure));
        }
    }
    if (status == TW_OK && tw_db_is_postgres(hub->db) && !config->is_brief) {
        status = tw_hub_link_start(hub, error);
    }
    if (status != TW_OK) {
        tw_hub_close(hub);
        return status;
    }
    *ret_hub = hub;
    return TW_OK;
}

/* The last checkpoint, so that nothing is unanchored when nobody runs the hub. Others may go on
 * with what it leaves behind. */
static void sign_off(struct tw_hub *hub)
{
    struct tw_error error;
    if (tw_db_is_broken(hub->db) || tw_hub_begin(hub, &error) != TW_OK) {
        return;
    }
    hub->ledger.is_leaving = true;
    enum tw_status status = is_unrecorded(hub) ? TW_OK : tw_hub_record_stop(hub, &error);
    if (status == TW_OK) {
        status = tw_audit_log_sign(hub->audit, hub->now_ns, &error);
    }
    if (status != TW_OK) {
        tw_hub_fail_group(hub, status, &error);
    }
    tw_hub_end_group(hub, &error);
}

void tw_hub_stop(struct tw_hub *hub)
{
    if (hub == NULL || !hub->has_thread) {
        return;
    }
    tw_hub_link_stop(hub);
    pthread_mutex_lock(&hub->lock);
    hub->stops = true;
    pthread_cond_signal(&hub->wake);
    pthread_mutex_unlock(&hub->lock);
    pthread_join(hub->thread, NULL);
    hub->has_thread = false;
    sign_off(hub);
}

void tw_hub_close(struct tw_hub *hub)
{
    if (hub == NULL) {
        return;
    }
    tw_hub_stop(hub);
    tw_hub_close_content(hub);
    tw_audit_log_close(hub->audit);
    tw_audit_key_free(hub->audit_key);
    tw_audit_body_free(&hub->body);
    tw_ledger_close(&hub->ledger);
    tw_hub_close_rates(hub);
    tw_db_finalize(hub->notify);
    tw_db_close(hub->db);
    tw_directory_free(&hub->directory);
    tw_directory_free(&hub->listed);
    pthread_mutex_destroy(&hub->list_lock);
    pthread_cond_destroy(&hub->wake);
    pthread_mutex_destroy(&hub->lock);
    tw_mem_free(hub->owed.at);
    tw_mem_free(hub->doubted.at);
    tw_mem_free(hub->address);
    tw_mem_free(hub);
}

/* ---- who asks ---- */

bool tw_hub_can_record(const struct tw_hub *hub)
{
    return !hub->is_broken;
}

enum tw_hub_verdict tw_hub_authenticate(struct tw_hub *hub, const char *text,
                                        struct tw_hub_caller *ret_caller)
{
    struct tw_secret *secret = tw_directory_find_secret(&hub->directory, text);
    if (secret == NULL || secret->key == NULL) {
        return TW_HUB_KEY_UNKNOWN;
    }
    const struct tw_holder *project = tw_holder_above(secret->key, TW_HOLDER_PROJECT);
    struct tw_hub_caller caller = {.key = secret->key, .secret = secret};
    const int64_t expires_ns = secret->expires_ns;
    if (!project->is_announced) { /* it is being made */
        return TW_HUB_KEY_UNKNOWN;
    }
    if (!tw_hub_may_go_on(&caller)) {
        return TW_HUB_KEY_REVOKED;
    }
    if (expires_ns != 0 && expires_ns <= tw_hub_now_ns(hub)) {
        return TW_HUB_KEY_EXPIRED;
    }
    pthread_rwlock_rdlock(&hub->directory.lock);
    caller.project = project->number;
    caller.weight = (uint32_t)project->settings.weight;
    caller.priority_class = (int)project->settings.priority_class;
    caller.may_use_special = secret->key->settings.may_use_special;
    pthread_rwlock_unlock(&hub->directory.lock);
    *ret_caller = caller;
    return TW_HUB_KEY_GOOD;
}

bool tw_hub_may_go_on(const struct tw_hub_caller *caller)
{
    return caller->secret->is_open && tw_holder_is_open(caller->key);
}

/* Whether a name is a line of a text. */
static bool has_line(const char *lines, const char *name)
{
    const size_t n = strlen(name);
    const char *at = lines;
    while (at != NULL && (strncmp(at, name, n) != 0 || (at[n] != '\n' && at[n] != '\0'))) {
        at = strchr(at, '\n');
        at = at != NULL ? at + 1 : NULL;
    }
    return at != NULL;
}

bool tw_hub_may_use_model(struct tw_hub *hub, const struct tw_hub_caller *caller, const char *model)
{
    bool may = true;
    pthread_rwlock_rdlock(&hub->directory.lock);
    for (const struct tw_holder *at = caller->key; at != NULL; at = at->parent) {
        may = may && (at->settings.models == NULL || has_line(at->settings.models, model));
    }
    pthread_rwlock_unlock(&hub->directory.lock);
    return may;
}

int64_t tw_hub_project_id(const struct tw_hub_caller *caller)
{
    return tw_holder_above(caller->key, TW_HOLDER_PROJECT)->id;
}

void tw_hub_caller_path(const struct tw_hub_caller *caller, char *ret_path, size_t path_bytes)
{
    tw_holder_write_path(caller->key, ret_path, path_bytes);
}

bool tw_hub_has_path(struct tw_hub *hub, const char *path)
{
    const struct tw_items *holders = &hub->directory.holders;
    bool is_there = false;
    pthread_rwlock_rdlock(&hub->directory.lock);
    for (size_t i = 0; !is_there && i < holders->n; i++) {
        char text[TW_HOLDER_KINDS * (TW_LIMIT_HUB_NAME_BYTES + 1)];
        tw_holder_write_path(holders->at[i], text, sizeof text);
        is_there = strcmp(text, path) == 0;
    }
    pthread_rwlock_unlock(&hub->directory.lock);
    return is_there;
}

void tw_hub_guard_names(struct tw_hub *hub, tw_hub_tells_apart_fn tells_apart, void *context)
{
    hub->tells_apart = tells_apart;
    hub->tells_apart_context = context;
}

uint32_t tw_hub_max_context_tokens(struct tw_hub *hub, const struct tw_hub_caller *caller)
{
    int64_t most = UINT32_MAX;
    pthread_rwlock_rdlock(&hub->directory.lock);
    for (const struct tw_holder *at = caller->key; at != NULL; at = at->parent) {
        const int64_t own = at->settings.max_context_tokens;
        most = own > 0 && own < most ? own : most;
    }
    pthread_rwlock_unlock(&hub->directory.lock);
    return (uint32_t)most;
}
