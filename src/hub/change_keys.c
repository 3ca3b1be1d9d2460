/* Keys and their secrets. */
#include <sodium.h>
#include <string.h>

#include "hub/change.h"

#define COUNT(values)      (sizeof(values) / sizeof *(values))
#define DEFAULT_OVERLAP_NS (INT64_C(86400) * 1000000000)

/* ---- secrets ---- */

enum tw_status tw_change_add_secret(struct tw_hub_change *change, int64_t key, int64_t person,
                                    int64_t expires_ns, struct tw_error *error)
{
    struct tw_new_secret secret;
    const struct tw_db_value expires = expires_ns != 0 ? tw_db_integer(expires_ns) : tw_db_null();
    tw_directory_make_secret(change->directory, key != 0 ? "tw-" : "tw-user-", &secret);
    const int64_t id = tw_change_next_id(change);
    const struct tw_db_value values[] = {tw_db_integer(id),
                                         tw_db_integer(key),
                                         tw_db_integer(person),
                                         tw_db_text(secret.shown),
                                         tw_db_bytes(secret.hash, sizeof secret.hash),
                                         tw_db_integer(change->hub->now_ns),
                                         expires};
    enum tw_status status = tw_change_write(
        change, TW_DIRECTORY_SECRET, id,
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
    return secret->is_open && (secret->expires_ns == 0 || secret->expires_ns > change->now_ns);
}

/* The latest of a key that is good, and how many are. */
static const struct tw_secret *newest(const struct tw_hub_change *change,
                                      const struct tw_holder *key, size_t *ret_n)
{
    const struct tw_secret *last = NULL;
    *ret_n = 0;
    for (const struct tw_secret *at = key->secrets; at != NULL; at = at->next_of_owner) {
        if (is_good(change, at)) {
            last = last != NULL ? last : at;
            (*ret_n)++;
        }
    }
    return last;
}

static enum tw_status check_expiry(const struct tw_hub_change *change, struct tw_error *error)
{
    const struct tw_field_value *expires = tw_change_value(change, "expires");
    if (expires->is_set && expires->integer != 0 && expires->integer <= change->now_ns) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "expires: this lies in the past; to end a key use 'key revoke'");
    }
    return TW_OK;
}

enum tw_status tw_change_revoke_secrets(struct tw_hub_change *change,
                                        const struct tw_secret *secrets, struct tw_error *error)
{
    enum tw_status status = TW_OK;
    for (const struct tw_secret *at = secrets; status == TW_OK && at != NULL;
         at = at->next_of_owner) {
        const struct tw_db_value values[] = {tw_db_integer(change->now_ns), tw_db_integer(at->id)};
        if (at->is_open) {
            status = tw_change_write(change, TW_DIRECTORY_SECRET, at->id,
                                     "UPDATE secret SET revoked_ns = ? WHERE id = ?", values,
                                     COUNT(values), error);
        }
    }
    return status;
}

static enum tw_status set_expiry(struct tw_hub_change *change, const struct tw_secret *secret,
                                 int64_t expires_ns, struct tw_error *error)
{
    const struct tw_db_value values[] = {expires_ns != 0 ? tw_db_integer(expires_ns) : tw_db_null(),
                                         tw_db_integer(secret->id)};
    tw_change_note_integer(change, "secret_expires_ns", secret->expires_ns, expires_ns);
    return tw_change_write(change, TW_DIRECTORY_SECRET, secret->id,
                           "UPDATE secret SET expires_ns = ? WHERE id = ?", values, COUNT(values),
                           error);
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
        tw_change_begin(change);
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
        tw_change_begin(change);
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
    enum tw_status status = TW_OK;
    if (end_ns == change->now_ns) {
        return tw_change_revoke_secrets(change, change->object->secrets, error);
    }
    const struct tw_secret *at = change->object->secrets;
    for (; status == TW_OK && at != NULL; at = at->next_of_owner) {
        if (at->is_open && (at->expires_ns == 0 || at->expires_ns > end_ns)) {
            const struct tw_db_value values[] = {tw_db_integer(end_ns), tw_db_integer(at->id)};
            status = tw_change_write(change, TW_DIRECTORY_SECRET, at->id,
                                     "UPDATE secret SET expires_ns = ? WHERE id = ?", values,
                                     COUNT(values), error);
        }
    }
    return status;
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
    /* Whose key it is does not end with a secret. */
    const struct tw_person *owner = key->secrets != NULL ? key->secrets->person : NULL;
    enum tw_status status = check_expiry(change, error);
    if (status == TW_OK && n_good >= TW_LIMIT_HUB_SECRETS) {
        status =
            tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                         "the key has %zu secrets that are good; use a shorter overlap", n_good);
    }
    if (status == TW_OK) {
        tw_change_begin(change);
        status = end_old_secrets(change, end_ns, error);
    }
    if (status == TW_OK) {
        tw_change_put(change, change->answer, "id", json_integer(key->id));
        tw_change_put(change, change->answer, "path", json_string(path));
        tw_change_put(change, change->answer, "old_until", tw_change_json_when(end_ns));
        tw_change_note(change, "old_until_ns", tw_audit_text(NULL), tw_audit_integer(end_ns));
        status = tw_change_add_secret(change, key->id, owner != NULL ? owner->id : 0,
                                      expires->is_set ? expires->integer : old_expires_ns, error);
    }
    return status == TW_OK ? tw_change_end(change, path, error) : status;
}

enum tw_status tw_change_revoke_key(struct tw_hub_change *change, struct tw_error *error)
{
    const char *path = tw_change_value(change, "path")->text;
    const struct tw_db_value values[] = {tw_db_integer(change->hub->now_ns),
                                         tw_db_integer(change->object->id)};
    tw_change_begin(change);
    enum tw_status status = tw_change_write(change, TW_DIRECTORY_HOLDER, change->object->id,
                                            "UPDATE holder SET closed_ns = ? WHERE id = ?", values,
                                            COUNT(values), error);
    if (status == TW_OK) {
        status = tw_change_revoke_secrets(change, change->object->secrets, error);
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

/* The beginnings of the secrets that are good, the latest last. */
static json_t *shown_secrets(const struct tw_hub_change *change, const struct tw_holder *key)
{
    json_t *list = json_array();
    for (const struct tw_secret *at = key->secrets; at != NULL; at = at->next_of_owner) {
        if (is_good(change, at)) {
            json_array_insert_new(list, 0, json_string(at->shown));
        }
    }
    return list;
}

static void put_key(struct tw_hub_change *change, json_t *row, const struct tw_holder *key)
{
    size_t n_good = 0;
    const struct tw_secret *secret = newest(change, key, &n_good);
    const struct tw_person *owner = key->secrets != NULL ? key->secrets->person : NULL;
    char person[2 * (TW_LIMIT_HUB_NAME_BYTES + 1)];
    tw_change_put(change, row, "path", tw_change_json_path(key));
    tw_change_put(change, row, "id", json_integer(key->id));
    tw_change_put(change, row, "state",
                  json_string(!tw_holder_is_open(key) ? "revoked"
                              : secret == NULL        ? "expired"
                                                      : "open"));
    tw_change_put(change, row, "secrets", shown_secrets(change, key));
    tw_change_put(change, row, "expires",
                  tw_change_json_when(secret != NULL ? (int64_t)secret->expires_ns : 0));
    if (owner != NULL) {
        tw_change_write_person(owner, person, sizeof person);
    }
    tw_change_put(change, row, "user", tw_change_json_text(owner != NULL ? person : NULL));
    tw_change_put(change, row, "special", json_boolean(key->settings.may_use_special));
    tw_change_put_settings(change, row, key);
    tw_change_put(change, row, "created", tw_change_json_when(key->created_ns));
}

enum tw_status tw_change_list_keys(struct tw_hub_change *change, struct tw_error *error)
{
    const struct tw_items *holders = &change->directory->holders;
    struct tw_holder *top = NULL;
    enum tw_status status = tw_change_find_top(change, &top, error);
    if (status != TW_OK) {
        return status;
    }
    struct tw_change_page page = tw_change_page_begin(change, "keys", holders);
    size_t i = page.first;
    for (; i < holders->n && tw_change_page_has_room(&page); i++) {
        const struct tw_holder *key = holders->at[i];
        if (key->kind == TW_HOLDER_KEY && tw_change_is_listed(change, key, top)) {
            put_key(change, tw_change_page_row(&page, key->id), key);
        }
    }
    tw_change_page_end(&page, i < holders->n);
    return TW_OK;
}
