/* What a first start makes, and keys of a file of before. */
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "hub/change.h"
#include "hub/hub_admin.h"

#define COUNT(values) (sizeof(values) / sizeof *(values))
#define OWNER         "owner"
#define DEFAULT       "default"
#define FIRST_KEY     "first"
#define SHOWN_DIGITS  6 /* of a hash: all that is known of an old key */
#define NAME_BYTES    6 /* of it, in the key's name */

static const struct tw_hub_actor machine = {.name = "first start"};

/* ---- one thing after another ---- */

/* Somebody may have made organisations before; who has made a user or a key has a way in. */
static bool is_of_first_start(const struct tw_directory *directory)
{
    for (size_t i = 0; i < directory->holders.n; i++) {
        const struct tw_holder *holder = directory->holders.at[i];
        if (holder->kind == TW_HOLDER_KEY) {
            return false;
        }
    }
    for (size_t i = 0; i < directory->persons.n; i++) {
        const struct tw_person *person = directory->persons.at[i];
        if (person->org != NULL || !person->is_open || strcmp(person->name, OWNER) != 0) {
            return false;
        }
    }
    return true;
}

bool tw_hub_is_new(struct tw_hub *hub)
{
    pthread_rwlock_rdlock(&hub->directory.lock);
    const bool is_new = is_of_first_start(&hub->directory);
    pthread_rwlock_unlock(&hub->directory.lock);
    return is_new;
}

bool tw_hub_has_key(struct tw_hub *hub)
{
    bool has_key = false;
    pthread_rwlock_rdlock(&hub->directory.lock);
    for (size_t i = 0; i < hub->directory.holders.n; i++) {
        const struct tw_holder *holder = hub->directory.holders.at[i];
        has_key = has_key || (holder->kind == TW_HOLDER_KEY && tw_holder_is_open(holder));
    }
    pthread_rwlock_unlock(&hub->directory.lock);
    return has_key;
}

int64_t tw_hub_n_recovered(const struct tw_hub *hub)
{
    return hub->n_recovered;
}

/* Names of holders from the top; "default/default" is 2 deep. */
static bool has_default(struct tw_hub *hub, size_t n_deep)
{
    bool is_there = false;
    pthread_rwlock_rdlock(&hub->directory.lock);
    for (size_t i = 0; i < hub->directory.holders.n; i++) {
        const struct tw_holder *at = hub->directory.holders.at[i];
        size_t n = 0;
        while (at != NULL && at->is_open && strcmp(at->name, DEFAULT) == 0) {
            at = at->parent;
            n++;
        }
        is_there = is_there || (at == NULL && n == n_deep);
    }
    pthread_rwlock_unlock(&hub->directory.lock);
    return is_there;
}

/* Whether there is a user of that name, and has a role. */
static bool has_owner(struct tw_hub *hub, bool *ret_has_role)
{
    bool is_there = false;
    *ret_has_role = false;
    pthread_rwlock_rdlock(&hub->directory.lock);
    for (size_t i = 0; i < hub->directory.persons.n; i++) {
        const struct tw_person *person = hub->directory.persons.at[i];
        if (person->org == NULL && person->is_open && strcmp(person->name, OWNER) == 0) {
            is_there = true;
            *ret_has_role = person->grants != NULL;
        }
    }
    pthread_rwlock_unlock(&hub->directory.lock);
    return is_there;
}

/* A secret of the answer goes to ret_secret, where that is not NULL. Takes fields over. */
static enum tw_status ask(struct tw_hub *hub, const char *group, const char *verb, json_t *fields,
                          char *ret_secret, struct tw_error *error)
{
    json_t *answer = NULL;
    enum tw_status status =
        tw_hub_ask(hub, &machine, tw_hub_make_command(group, verb, fields), &answer, error);
    if (status == TW_OK && ret_secret != NULL) {
        snprintf(ret_secret, TW_DIRECTORY_SECRET_BYTES, "%s",
                 json_string_value(json_object_get(answer, "secret")));
    }
    json_decref(answer);
    return status;
}

static json_t *path(const char *text)
{
    return json_pack("{s:s}", "path", text);
}

/* The secrets come last: a first start that is ended before them is gone on with by the next. */
enum tw_status tw_hub_make_owner(struct tw_hub *hub, struct tw_hub_owner *ret_owner,
                                 struct tw_error *error)
{
    static const struct {
        const char *group, *path;
    } tree[] = {{"org", DEFAULT},
                {"team", DEFAULT "/" DEFAULT},
                {"project", DEFAULT "/" DEFAULT "/" DEFAULT}};
    struct tw_hub_owner owner;
    bool has_role;
    enum tw_status status = TW_OK;
    if (!has_owner(hub, &has_role)) {
        status = ask(hub, "user", "create", path(OWNER), NULL, error);
    }
    if (status == TW_OK && !has_role) {
        status = ask(hub, "user", "grant", json_pack("{s:s, s:s}", "path", OWNER, "role", "owner"),
                     NULL, error);
    }
    for (size_t i = 0; status == TW_OK && i < COUNT(tree); i++) {
        if (!has_default(hub, i + 1)) {
            status = ask(hub, tree[i].group, "create", path(tree[i].path), NULL, error);
        }
    }
    if (status == TW_OK) {
        status = ask(hub, "user", "secret", path(OWNER), owner.user_secret, error);
    }
    if (status == TW_OK) {
        status = ask(hub, "key", "create",
                     json_pack("{s:s, s:s}", "path", DEFAULT "/" DEFAULT "/" DEFAULT "/" FIRST_KEY,
                               "user", OWNER),
                     owner.key_secret, error);
    }
    if (status == TW_OK) {
        *ret_owner = owner;
    }
    sodium_memzero(&owner, sizeof owner);
    return status;
}

/* ---- a file's keys ---- */

/* For the record: no field, and so nothing to be given by a command. */
static const struct tw_hub_verb take_over_verb = {.group = "key", .verb = "take-over"};

/* An operation whose end somebody waits for. */
struct take_over {
    struct tw_hub_op op;
    struct tw_hub_change change;
    const struct tw_hub_old_key *keys;
    size_t n_keys, n_made;
    enum tw_status status;
    struct tw_error error;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool is_done;
};

/* What a tenant is called, as a name. */
static void write_name(const char *tenant, char ret_name[TW_LIMIT_HUB_NAME_BYTES + 1])
{
    size_t n = 0;
    for (; tenant[n] != '\0' && n < TW_LIMIT_HUB_NAME_BYTES; n++) {
        ret_name[n] = tenant[n] == '.' || tw_commands_is_name(&tenant[n], 1) ? tenant[n] : '-';
    }
    ret_name[n] = '\0';
    if (!tw_commands_is_name(ret_name, n)) { /* nothing but dots, or nothing */
        snprintf(ret_name, TW_LIMIT_HUB_NAME_BYTES + 1, "%s", DEFAULT);
    }
}

/* The holder of that name, made where it is not there. */
static enum tw_status need_holder(struct take_over *self, enum tw_holder_kind kind,
                                  const struct tw_holder *parent, const char *name,
                                  struct tw_error *error)
{
    struct tw_hub_change *change = &self->change;
    int64_t id;
    if (tw_directory_child(change->directory, parent, name, strlen(name)) != NULL) {
        return TW_OK;
    }
    enum tw_status status = tw_change_insert_holder(change, kind, parent, name, &id, error);
    change->n_changed = 0; /* one record for all of them is written in the end */
    return status == TW_OK ? tw_hub_update_directory(change->hub, error) : status;
}

static struct tw_holder *team_of(const struct take_over *self)
{
    const struct tw_hub_change *change = &self->change;
    const struct tw_holder *org =
        tw_directory_child(change->directory, NULL, DEFAULT, strlen(DEFAULT));
    return tw_directory_child(change->directory, org, DEFAULT, strlen(DEFAULT));
}

static enum tw_status need_team(struct take_over *self, struct tw_error *error)
{
    enum tw_status status = need_holder(self, TW_HOLDER_ORG, NULL, DEFAULT, error);
    if (status == TW_OK) {
        const struct tw_holder *org =
            tw_directory_child(self->change.directory, NULL, DEFAULT, strlen(DEFAULT));
        status = need_holder(self, TW_HOLDER_TEAM, org, DEFAULT, error);
    }
    return status;
}

/* One that is there keeps its weight and class: somebody may have changed them here. */
static enum tw_status need_project(struct take_over *self, const struct tw_hub_old_key *key,
                                   struct tw_error *error)
{
    static const char *const classes[] = {"normal", "high", "idle"};
    struct tw_hub_change *change = &self->change;
    char name[TW_LIMIT_HUB_NAME_BYTES + 1];
    write_name(key->tenant, name);
    if (tw_directory_child(change->directory, team_of(self), name, strlen(name)) != NULL) {
        return TW_OK;
    }
    enum tw_status status = need_holder(self, TW_HOLDER_PROJECT, team_of(self), name, error);
    const struct tw_holder *project =
        tw_directory_child(change->directory, team_of(self), name, strlen(name));
    if (status != TW_OK) {
        return status;
    }
    const struct tw_db_value values[] = {tw_db_integer(key->weight),
                                         tw_db_text(classes[key->priority_class]),
                                         tw_db_integer(project->id)};
    return tw_change_write(change, TW_DIRECTORY_HOLDER, project->id,
                           "UPDATE holder SET weight = ?, class = ? WHERE id = ?", values,
                           COUNT(values), error);
}

static enum tw_status add_key(struct take_over *self, const struct tw_hub_old_key *key,
                              const unsigned char *hash, struct tw_error *error)
{
    struct tw_hub_change *change = &self->change;
    char tenant[TW_LIMIT_HUB_NAME_BYTES + 1], name[32] = "old-", shown[TW_DIRECTORY_SHOWN_BYTES];
    int64_t id = 0;
    write_name(key->tenant, tenant);
    const struct tw_holder *project =
        tw_directory_child(change->directory, team_of(self), tenant, strlen(tenant));
    for (size_t i = 0; i < NAME_BYTES; i++) {
        snprintf(name + 4 + 2 * i, 3, "%02x", key->hash.bytes[i]);
    }
    snprintf(shown, sizeof shown, "sha256:%.*s...", SHOWN_DIGITS, name + 4);
    enum tw_status status =
        tw_change_insert_holder(change, TW_HOLDER_KEY, project, name, &id, error);
    change->n_changed = 0;
    if (status != TW_OK) {
        return status;
    }
    const struct tw_db_value special[] = {tw_db_integer(key->may_use_special), tw_db_integer(id)};
    status = tw_change_write(change, TW_DIRECTORY_HOLDER, id,
                             "UPDATE holder SET may_use_special = ? WHERE id = ?", special,
                             COUNT(special), error);
    if (status != TW_OK) {
        return status;
    }
    const int64_t secret_id = tw_change_next_id(change);
    const struct tw_db_value secret[] = {
        tw_db_integer(secret_id), tw_db_integer(id), tw_db_text(shown),
        tw_db_bytes(hash, TW_DIRECTORY_HASH_BYTES), tw_db_integer(change->hub->now_ns)};
    self->n_made++;
    return tw_change_write(change, TW_DIRECTORY_SECRET, secret_id,
                           "INSERT INTO secret (id, holder, person, shown, hash, created_ns)"
                           " VALUES (?, ?, 0, ?, ?, ?)",
                           secret, COUNT(secret), error);
}

/* Its secret is there already, also of a key that was revoked meanwhile: that one stays so. */
static bool is_there(const struct take_over *self, size_t i, const unsigned char *hash)
{
    const struct tw_items *secrets = &self->change.directory->secrets;
    for (size_t k = 0; k < secrets->n; k++) {
        const struct tw_secret *secret = secrets->at[k];
        if (sodium_memcmp(secret->hash, hash, TW_DIRECTORY_HASH_BYTES) == 0) {
            return true;
        }
    }
    for (size_t k = 0; k < i; k++) {
        if (tw_secret_hash_equal(&self->keys[k].hash, &self->keys[i].hash)) {
            return true;
        }
    }
    return false;
}

static enum tw_status take_all(struct take_over *self, struct tw_error *error)
{
    struct tw_hub_change *change = &self->change;
    tw_change_begin(change);
    enum tw_status status = need_team(self, error);
    for (size_t i = 0; status == TW_OK && i < self->n_keys; i++) {
        status = need_project(self, &self->keys[i], error);
    }
    for (size_t i = 0; status == TW_OK && i < self->n_keys; i++) {
        unsigned char hash[TW_DIRECTORY_HASH_BYTES];
        tw_directory_hash_digest(change->directory, &self->keys[i].hash, hash);
        if (!is_there(self, i, hash)) {
            status = add_key(self, &self->keys[i], hash, error);
        }
    }
    if (status == TW_OK) {
        tw_change_note(change, "keys", tw_audit_text(NULL),
                       tw_audit_integer((int64_t)self->n_made));
        status = tw_change_end(change, DEFAULT "/" DEFAULT, error);
    }
    return status;
}

static void apply_take_over(struct tw_hub *hub, struct tw_hub_op *op)
{
    struct take_over *self = (struct take_over *)((char *)op - offsetof(struct take_over, op));
    self->status = take_all(self, &self->error);
    if (self->status != TW_OK) {
        tw_hub_fail_group(hub, self->status, &self->error);
    }
}

static void done_take_over(struct tw_hub *hub, struct tw_hub_op *op, enum tw_status status)
{
    struct take_over *self = (struct take_over *)((char *)op - offsetof(struct take_over, op));
    pthread_mutex_lock(&self->lock);
    if (status != TW_OK) {
        self->status = status;
        self->error = hub->group_error;
    }
    self->is_done = true;
    pthread_cond_signal(&self->wake);
    pthread_mutex_unlock(&self->lock);
}

enum tw_status tw_hub_take_over(struct tw_hub *hub, const struct tw_hub_old_key *keys, size_t n,
                                size_t *ret_n, struct tw_error *error)
{
    struct take_over *self = tw_mem_zalloc(1, sizeof *self);
    if (self == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for old keys");
    }
    self->op = (struct tw_hub_op){.apply = apply_take_over, .done = done_take_over};
    self->keys = keys;
    self->n_keys = n;
    self->change.hub = hub;
    self->change.db = hub->db;
    self->change.directory = &hub->directory;
    self->change.verb = &take_over_verb;
    snprintf(self->change.actor_name, sizeof self->change.actor_name, "%s", machine.name);
    tw_arena_init(&self->change.texts, TW_LIMIT_HUB_CHANGE_BYTES);
    pthread_mutex_init(&self->lock, NULL);
    pthread_cond_init(&self->wake, NULL);
    tw_hub_enqueue(hub, &self->op);
    pthread_mutex_lock(&self->lock);
    while (!self->is_done) {
        pthread_cond_wait(&self->wake, &self->lock);
    }
    pthread_mutex_unlock(&self->lock);
    const enum tw_status status = self->status;
    if (status == TW_OK) {
        *ret_n = self->n_made;
    } else {
        *error = self->error;
    }
    pthread_cond_destroy(&self->wake);
    pthread_mutex_destroy(&self->lock);
    tw_arena_clear(&self->change.texts);
    tw_mem_free(self);
    return status;
}
