/* Keys and their secrets. */
#include <sodium.h>
#include <string.h>

#include "base/mem.h"
#include "hub/change.h"

#define COUNT(values)      (sizeof(values) / sizeof *(values))
#define DEFAULT_OVERLAP_NS (INT64_C(86400) * 1000000000)

/* ---- secrets ---- */

enum tw_status tw_change_add_secret(struct tw_hub_change *change, int64_t key, int64_t person,
                                    int64_t expires_ns, struct tw_error *error)
{
    struct tw_new_secret secret;
    const struct tw_db_value expires = expires_ns != 0 ? tw_db_integer(expires_ns) : tw_db_null();
    tw_directory_make_secret(&change->hub->directory, key != 0 ? "tw-" : "tw-user-", &secret);
    const struct tw_db_value values[] = {tw_db_integer(tw_change_next_id(change)),
                                         tw_db_integer(key),
                                         tw_db_integer(person),
                                         tw_db_text(secret.shown),
                                         tw_db_bytes(secret.hash, sizeof secret.hash),
                                         tw_db_integer(change->hub->now_ns),
                                         expires};
    enum tw_status status =
        tw_change_run(change,
                      "INSERT INTO secret (id, holder, person, shown, hash, created_ns, expires_ns)"
                      " VALUES (?, ?, ?, ?, ?, ?, ?)",
                      values, COUNT(values), error);
    if (status == TW_OK) {
        tw_change_note_text(change, "secret", NULL, secret.shown);
        tw_change_note(change, "secret_expires_ns", tw_audit_text(NULL),
                       expires_ns != 0 ? tw_audit_integer(expires_ns) : tw_audit_text("never"));
        tw_change_put(change, change->answer, "secret", json_string(secret.text));
        tw_change_put(change, change->answer, "expires", tw_change_json_when(expires_ns));
    }
    sodium_memzero(&secret, sizeof secret);
    return status;
}

static bool is_good(const struct tw_hub_change *change, const struct tw_secret *secret)
{
    return secret->is_open && (secret->expires_ns == 0 || secret->expires_ns > change->hub->now_ns);
}

/* The latest of a key that is good, and how many are. */
static const struct tw_secret *newest(const struct tw_hub_change *change,
                                      const struct tw_holder *key, size_t *ret_n)
{
    const struct tw_items *secrets = &change->hub->directory.secrets;
    const struct tw_secret *last = NULL;
    *ret_n = 0;
    for (size_t i = 0; i < secrets->n; i++) {
        const struct tw_secret *secret = secrets->at[i];
        if (secret->key == key && is_good(change, secret)) {
            last = secret;
            (*ret_n)++;
        }
    }
    return last;
}

static enum tw_status check_expiry(const struct tw_hub_change *change, struct tw_error *error)
{
    const struct tw_field_value *expires = tw_change_value(change, "expires");
    if (expires->is_set && expires->integer != 0 && expires->integer <= change->hub->now_ns) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "expires: this lies in the past; to end a key use 'key revoke'");
    }
    return TW_OK;
}

static enum tw_status set_expiry(struct tw_hub_change *change, const struct tw_secret *secret,
                                 int64_t expires_ns, struct tw_error *error)
{
    const struct tw_db_value values[] = {expires_ns != 0 ? tw_db_integer(expires_ns) : tw_db_null(),
                                         tw_db_integer(secret->id)};
    tw_change_note_integer(change, "secret_expires_ns", secret->expires_ns, expires_ns);
    return tw_change_run(change, "UPDATE secret SET expires_ns = ? WHERE id = ?", values,
                         COUNT(values), error);
}

/* ---- commands ---- */

static enum tw_status find_user(struct tw_hub_change *change, struct tw_person **ret_person,
                                struct tw_error *error)
{
    const struct tw_field_value *user = tw_change_value(change, "user");
    if (!user->is_set) {
        return TW_OK;
    }
    enum tw_status status = tw_change_find_person(change, user->text, ret_person, error);
    if (status == TW_OK && (*ret_person)->org != NULL &&
        !tw_change_is_below(change->object, (*ret_person)->org)) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "user: '%.120s' belongs to another organisation than the project",
                            user->text);
    }
    return status;
}

static enum tw_status check_new_key(struct tw_hub_change *change, const char *name,
                                    struct tw_person **ret_person, struct tw_error *error)
{
    enum tw_status status = tw_change_check_holder(change, NULL, change->object, name, error);
    if (status == TW_OK) {
        status = check_expiry(change, error);
    }
    return status == TW_OK ? find_user(change, ret_person, error) : status;
}

enum tw_status tw_change_create_key(struct tw_hub_change *change, struct tw_error *error)
{
    const char *path = tw_change_value(change, "path")->text;
    const char *name = tw_change_last_name(path);
    struct tw_person *person = NULL;
    int64_t id = 0;
    enum tw_status status = check_new_key(change, name, &person, error);
    if (status == TW_OK) {
        status = tw_change_begin(change, error);
    }
    if (status == TW_OK) {
        status = tw_change_insert_holder(change, TW_HOLDER_KEY, change->object, name, &id, error);
    }
    if (status == TW_OK) {
        tw_change_put(change, change->answer, "id", json_integer(id));
        tw_change_put(change, change->answer, "path", json_string(path));
        status = tw_change_add_secret(change, id, person != NULL ? person->id : 0,
                                      tw_change_integer(change, "expires", 0), error);
        tw_change_warn_settings(change, NULL);
    }
    return status == TW_OK ? tw_change_end(change, path, error) : status;
}

enum tw_status tw_change_set_key(struct tw_hub_change *change, struct tw_error *error)
{
    struct tw_holder *key = change->object;
    const char *path = tw_change_value(change, "path")->text;
    const struct tw_field_value *expires = tw_change_value(change, "expires");
    size_t n_good = 0;
    const struct tw_secret *secret = newest(change, key, &n_good);
    enum tw_status status = tw_change_check_holder(change, key, key->parent,
                                                   tw_change_value(change, "name")->text, error);
    if (status == TW_OK) {
        status = check_expiry(change, error);
    }
    if (status == TW_OK && expires->is_set && secret == NULL) {
        status = tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                              "expires: the key's secret has expired already; 'key rotate' makes "
                              "a new one");
    }
    if (status == TW_OK) {
        status = tw_change_begin(change, error);
    }
    if (status == TW_OK) {
        status = tw_change_update_holder(change, key, error);
    }
    if (status == TW_OK && expires->is_set) {
        status = set_expiry(change, secret, expires->integer, error);
    }
    if (status == TW_OK) {
        status = tw_change_end(change, path, error);
    }
    if (status == TW_OK) {
        tw_change_put(change, change->answer, "id", json_integer(key->id));
        tw_change_put(change, change->answer, "path", tw_change_json_path(key));
        tw_change_put_settings(change, change->answer, key);
        tw_change_warn_settings(change, key);
    }
    return status;
}

/* Old secrets end when the overlap does, or before where they would have. */
static enum tw_status end_old_secrets(struct tw_hub_change *change, int64_t end_ns,
                                      struct tw_error *error)
{
    const int64_t now_ns = change->hub->now_ns, key = change->object->id;
    if (end_ns == now_ns) {
        const struct tw_db_value values[] = {tw_db_integer(now_ns), tw_db_integer(key)};
        return tw_change_run(change,
                             "UPDATE secret SET revoked_ns = ? WHERE holder = ?"
                             " AND revoked_ns IS NULL",
                             values, COUNT(values), error);
    }
    const struct tw_db_value values[] = {tw_db_integer(end_ns), tw_db_integer(key),
                                         tw_db_integer(end_ns)};
    return tw_change_run(change,
                         "UPDATE secret SET expires_ns = ? WHERE holder = ? AND revoked_ns IS NULL"
                         " AND (expires_ns IS NULL OR expires_ns > ?)",
                         values, COUNT(values), error);
}

enum tw_status tw_change_rotate_key(struct tw_hub_change *change, struct tw_error *error)
{
    struct tw_holder *key = change->object;
    const char *path = tw_change_value(change, "path")->text;
    const struct tw_field_value *expires = tw_change_value(change, "expires");
    const int64_t end_ns =
        change->hub->now_ns + tw_change_integer(change, "overlap", DEFAULT_OVERLAP_NS);
    size_t n_good = 0;
    const struct tw_secret *old = newest(change, key, &n_good);
    const int64_t old_expires_ns = old != NULL ? (int64_t)old->expires_ns : 0;
    const int64_t person = old != NULL && old->person != NULL ? old->person->id : 0;
    enum tw_status status = check_expiry(change, error);
    if (status == TW_OK && n_good >= TW_LIMIT_HUB_SECRETS) {
        status =
            tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                         "the key has %zu secrets that are good; use a shorter overlap", n_good);
    }
    if (status == TW_OK) {
        status = tw_change_begin(change, error);
    }
    if (status == TW_OK) {
        status = end_old_secrets(change, end_ns, error);
    }
    if (status == TW_OK) {
        tw_change_put(change, change->answer, "id", json_integer(key->id));
        tw_change_put(change, change->answer, "path", json_string(path));
        tw_change_put(change, change->answer, "old_until", tw_change_json_when(end_ns));
        tw_change_note(change, "old_until_ns", tw_audit_text(NULL), tw_audit_integer(end_ns));
        status = tw_change_add_secret(change, key->id, person,
                                      expires->is_set ? expires->integer : old_expires_ns, error);
    }
    return status == TW_OK ? tw_change_end(change, path, error) : status;
}

enum tw_status tw_change_revoke_key(struct tw_hub_change *change, struct tw_error *error)
{
    const char *path = tw_change_value(change, "path")->text;
    const struct tw_db_value values[] = {tw_db_integer(change->hub->now_ns),
                                         tw_db_integer(change->object->id)};
    enum tw_status status = tw_change_begin(change, error);
    if (status == TW_OK) {
        status = tw_change_run(change, "UPDATE holder SET closed_ns = ? WHERE id = ?", values,
                               COUNT(values), error);
    }
    if (status == TW_OK) {
        status = tw_change_run(change,
                               "UPDATE secret SET revoked_ns = ? WHERE holder = ?"
                               " AND revoked_ns IS NULL",
                               values, COUNT(values), error);
    }
    if (status == TW_OK) {
        tw_change_note_text(change, "state", "open", "revoked");
        tw_change_put(change, change->answer, "id", json_integer(change->object->id));
        tw_change_put(change, change->answer, "revoked", json_string(path));
        status = tw_change_end(change, path, error);
    }
    return status;
}

/* ---- the list ---- */

/* The secrets of a key that are good, the latest last. */
struct shown {
    const struct tw_secret *newest;
    json_t *list; /* of their beginnings; NULL: none */
};

/* Where a holder stands; it is there. */
static size_t place_of(const struct tw_items *holders, int64_t id)
{
    size_t low = 0, high = holders->n;
    while (high - low > 1) {
        const size_t middle = low + (high - low) / 2;
        const struct tw_holder *holder = holders->at[middle];
        if (holder->id <= id) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Of all keys, in the order of the holders: one walk over all secrets, not one a key. */
static struct shown *find_shown(const struct tw_hub_change *change)
{
    const struct tw_directory *directory = &change->hub->directory;
    const struct tw_items *holders = &directory->holders, *secrets = &directory->secrets;
    struct shown *shown = tw_mem_zalloc(holders->n + 1, sizeof *shown);
    for (size_t i = 0; shown != NULL && i < secrets->n; i++) {
        const struct tw_secret *secret = secrets->at[i];
        if (secret->key == NULL || !is_good(change, secret)) {
            continue;
        }
        struct shown *of_key = &shown[place_of(holders, secret->key->id)];
        of_key->newest = secret;
        if (of_key->list == NULL) {
            of_key->list = json_array();
        }
        json_array_append_new(of_key->list, json_string(secret->shown));
    }
    return shown;
}

static void put_key(struct tw_hub_change *change, json_t *row, const struct tw_holder *key,
                    const struct shown *shown)
{
    const struct tw_secret *secret = shown->newest;
    const bool is_open = tw_holder_is_open(key);
    char person[2 * (TW_LIMIT_HUB_NAME_BYTES + 1)];
    tw_change_put(change, row, "path", tw_change_json_path(key));
    tw_change_put(change, row, "id", json_integer(key->id));
    tw_change_put(change, row, "state",
                  json_string(!is_open         ? "revoked"
                              : secret == NULL ? "expired"
                                               : "open"));
    tw_change_put(change, row, "secrets",
                  shown->list != NULL ? json_incref(shown->list) : json_array());
    tw_change_put(change, row, "expires",
                  tw_change_json_when(secret != NULL ? (int64_t)secret->expires_ns : 0));
    if (secret != NULL && secret->person != NULL) {
        tw_change_write_person(secret->person, person, sizeof person);
        tw_change_put(change, row, "user", json_string(person));
    } else {
        tw_change_put(change, row, "user", json_null());
    }
    tw_change_put(change, row, "special", json_boolean(key->settings.may_use_special));
    tw_change_put_settings(change, row, key);
    tw_change_put(change, row, "created", tw_change_json_when(key->created_ns));
}

static void put_keys(struct tw_hub_change *change, const struct tw_holder *top,
                     const struct shown *shown)
{
    const struct tw_items *holders = &change->hub->directory.holders;
    json_t *rows = tw_change_rows(change, "keys");
    for (size_t i = 0; i < holders->n; i++) {
        const struct tw_holder *key = holders->at[i];
        if (key->kind == TW_HOLDER_KEY && tw_change_is_below(key, top) &&
            (tw_holder_is_open(key) || tw_change_integer(change, "all", 0) != 0) &&
            tw_change_may_see(change, key)) {
            json_t *row = tw_change_row(change, rows);
            put_key(change, row, key, &shown[i]);
        }
    }
}

enum tw_status tw_change_list_keys(struct tw_hub_change *change, struct tw_error *error)
{
    const struct tw_field_value *path = tw_change_value(change, "path");
    struct tw_holder *top = NULL;
    if (path->is_set) {
        enum tw_status status = tw_change_find_holder(change, path->text, &top, error);
        if (status != TW_OK) {
            return status;
        }
    }
    struct shown *shown = find_shown(change);
    if (shown == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a list of keys");
    }
    put_keys(change, top, shown);
    for (size_t i = 0; i < change->hub->directory.holders.n; i++) {
        json_decref(shown[i].list);
    }
    tw_mem_free(shown);
    return TW_OK;
}
