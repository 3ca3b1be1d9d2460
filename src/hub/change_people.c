/* Users: persons who give commands, their roles and secrets. */
#include <stdio.h>
#include <string.h>

#include "hub/approval.h"
#include "hub/change.h"

#define COUNT(values) (sizeof(values) / sizeof *(values))
#define PATH_BYTES    (TW_HOLDER_KINDS * (TW_LIMIT_HUB_NAME_BYTES + 1))

void tw_change_write_person(const struct tw_person *person, char *ret_path, size_t path_bytes)
{
    snprintf(ret_path, path_bytes, "%s%s%s", person->org != NULL ? person->org->name : "",
             person->org != NULL ? "/" : "", person->name);
}

static enum tw_status check_name(const struct tw_hub_change *change, const char *name,
                                 struct tw_error *error)
{
    const struct tw_items *persons = &change->directory->persons;
    for (size_t i = 0; i < persons->n; i++) {
        const struct tw_person *person = persons->at[i];
        if (person->is_open && person->org == change->object && strcmp(person->name, name) == 0) {
            return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                                "the name '%s' is taken already; choose another one", name);
        }
    }
    if (persons->n >= TW_LIMIT_HUB_ITEMS) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "the books have %d users, which is the most there can be",
                            TW_LIMIT_HUB_ITEMS);
    }
    return TW_OK;
}

enum tw_status tw_change_create_person(struct tw_hub_change *change, struct tw_error *error)
{
    const char *path = tw_change_value(change, "path")->text;
    const char *name = tw_change_last_name(path);
    enum tw_status status = check_name(change, name, error);
    if (status != TW_OK) {
        return status;
    }
    tw_change_begin(change);
    const int64_t id = tw_change_next_id(change);
    const struct tw_db_value values[] = {
        tw_db_integer(id), tw_db_integer(change->object != NULL ? change->object->id : 0),
        tw_db_text(name), tw_db_integer(change->hub->now_ns)};
    status = tw_change_write(change, TW_DIRECTORY_PERSON, id,
                             "INSERT INTO person (id, org, name, created_ns) VALUES (?, ?, ?, ?)",
                             values, COUNT(values), error);
    if (status == TW_OK) {
        tw_change_note_text(change, "name", NULL, name);
        tw_change_put(change, change->answer, "id", json_integer(id));
        tw_change_put(change, change->answer, "path", json_string(path));
        status = tw_change_end(change, path, error);
    }
    return status;
}

/* ---- roles ---- */

/* Where nothing is said, a role holds for the user's organisation. */
static const struct tw_holder *scope_of(const struct tw_hub_change *change)
{
    return change->object;
}

static const struct tw_grant *find_grant(const struct tw_hub_change *change, size_t *ret_n)
{
    const int64_t role = tw_change_value(change, "role")->integer;
    const struct tw_grant *found = NULL;
    *ret_n = 0;
    for (const struct tw_grant *grant = change->about->grants; grant != NULL; grant = grant->next) {
        (*ret_n)++;
        if ((int64_t)grant->role == role && grant->scope == scope_of(change)) {
            found = grant;
        }
    }
    return found;
}

/* Of a person's organisation nobody has roles elsewhere: whoever may end the person, or make the
 * person's secret, is owner of all that the person may do. */
static enum tw_status check_scope(const struct tw_hub_change *change, struct tw_error *error)
{
    const struct tw_holder *org = change->about->org;
    if (org != NULL && !tw_change_is_below(scope_of(change), org)) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "scope: a user of '%s' has roles in that organisation only", org->name);
    }
    return TW_OK;
}

static enum tw_status write_grant(struct tw_hub_change *change, const char *sql, bool is_given,
                                  struct tw_error *error)
{
    const struct tw_holder *scope = scope_of(change);
    const char *role = tw_change_value(change, "role")->text;
    const struct tw_db_value values[] = {tw_db_integer(change->about->id), tw_db_text(role),
                                         tw_db_integer(scope != NULL ? scope->id : 0)};
    char path[PATH_BYTES] = "everything";
    tw_change_begin(change);
    enum tw_status status = tw_change_write(change, TW_DIRECTORY_PERSON, change->about->id, sql,
                                            values, COUNT(values), error);
    if (status != TW_OK) {
        return status;
    }
    if (scope != NULL) {
        tw_holder_write_path(scope, path, sizeof path);
    }
    tw_change_note_text(change, role, is_given ? NULL : path, is_given ? path : NULL);
    const char *person = tw_change_value(change, "path")->text;
    tw_change_put(change, change->answer, "path", json_string(person));
    tw_change_put(change, change->answer, is_given ? "granted" : "withdrawn", json_string(role));
    tw_change_put(change, change->answer, "scope", tw_change_json_path(scope));
    return tw_change_end(change, person, error);
}

enum tw_status tw_change_grant_role(struct tw_hub_change *change, struct tw_error *error)
{
    size_t n_grants;
    enum tw_status status = check_scope(change, error);
    if (status != TW_OK) {
        return status;
    }
    if (find_grant(change, &n_grants) != NULL) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "the user has this role there already");
    }
    if (n_grants >= TW_LIMIT_HUB_GRANTS) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "the user has %d roles, which is the most there can be",
                            TW_LIMIT_HUB_GRANTS);
    }
    return write_grant(change, "INSERT INTO person_role (person, role, scope) VALUES (?, ?, ?)",
                       true, error);
}

enum tw_status tw_change_withdraw_role(struct tw_hub_change *change, struct tw_error *error)
{
    size_t n_grants;
    if (find_grant(change, &n_grants) == NULL) {
        return tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION,
                            "the user does not have this role there; 'user list' shows what there "
                            "is");
    }
    const enum tw_status status = tw_approval_guard_owners(change, error);
    if (status != TW_OK) {
        return status;
    }
    return write_grant(change,
                       "DELETE FROM person_role WHERE person = ? AND role = ? AND scope = ?", false,
                       error);
}

/* ---- secrets, and the end ---- */

enum tw_status tw_change_make_person_secret(struct tw_hub_change *change, struct tw_error *error)
{
    const char *path = tw_change_value(change, "path")->text;
    enum tw_status status = tw_approval_guard_secret(change, error);
    if (status != TW_OK) {
        return status;
    }
    tw_change_begin(change);
    status = tw_change_revoke_secrets(change, change->about->secrets, error);
    if (status == TW_OK) {
        tw_change_put(change, change->answer, "path", json_string(path));
        status = tw_change_add_secret(change, 0, change->about->id, 0, error);
    }
    return status == TW_OK ? tw_change_end(change, path, error) : status;
}

enum tw_status tw_change_close_person(struct tw_hub_change *change, struct tw_error *error)
{
    const char *path = tw_change_value(change, "path")->text;
    const struct tw_db_value values[] = {tw_db_integer(change->hub->now_ns),
                                         tw_db_integer(change->about->id)};
    enum tw_status status = tw_approval_guard_owners(change, error);
    if (status != TW_OK) {
        return status;
    }
    tw_change_begin(change);
    status = tw_change_write(change, TW_DIRECTORY_PERSON, change->about->id,
                             "UPDATE person SET closed_ns = ? WHERE id = ?", values, COUNT(values),
                             error);
    if (status == TW_OK) {
        status = tw_change_revoke_secrets(change, change->about->secrets, error);
    }
    if (status == TW_OK) {
        status =
            tw_change_run(change, "DELETE FROM person_role WHERE person = ?", &values[1], 1, error);
    }
    if (status == TW_OK) {
        tw_change_note_text(change, "state", "open", "closed");
        tw_change_put(change, change->answer, "id", json_integer(change->about->id));
        tw_change_put(change, change->answer, "closed", json_string(path));
        status = tw_change_end(change, path, error);
    }
    return status;
}

/* ---- the list ---- */

static const char *shown_secret(const struct tw_person *person)
{
    const struct tw_secret *at = person->secrets;
    while (at != NULL && !at->is_open) {
        at = at->next_of_owner;
    }
    return at != NULL ? at->shown : NULL;
}

/* "finance of acme" */
static json_t *roles_of(const struct tw_person *person)
{
    json_t *list = json_array();
    for (const struct tw_grant *grant = person->grants; list != NULL && grant != NULL;
         grant = grant->next) {
        char path[PATH_BYTES] = "everything", text[PATH_BYTES + 32];
        if (grant->scope != NULL) {
            tw_holder_write_path(grant->scope, path, sizeof path);
        }
        snprintf(text, sizeof text, "%s of %s", tw_role_name(grant->role), path);
        json_array_insert_new(list, 0, json_string(text));
    }
    return list;
}

static void put_person(struct tw_hub_change *change, json_t *row, const struct tw_person *person)
{
    char name[2 * (TW_LIMIT_HUB_NAME_BYTES + 1)];
    tw_change_write_person(person, name, sizeof name);
    tw_change_put(change, row, "path", json_string(name));
    tw_change_put(change, row, "id", json_integer(person->id));
    tw_change_put(change, row, "state", json_string(person->is_open ? "open" : "closed"));
    tw_change_put(change, row, "roles", roles_of(person));
    tw_change_put(change, row, "secret", tw_change_json_text(shown_secret(person)));
    tw_change_put(change, row, "created", tw_change_json_when(person->created_ns));
}

enum tw_status tw_change_list_persons(struct tw_hub_change *change, struct tw_error *error)
{
    const struct tw_items *persons = &change->directory->persons;
    struct tw_holder *org = NULL;
    enum tw_status status = tw_change_find_top(change, &org, error);
    if (status != TW_OK) {
        return status;
    }
    struct tw_change_page page = tw_change_page_begin(change, "users", persons);
    size_t i = page.first;
    for (; i < persons->n && tw_change_page_has_room(&page); i++) {
        const struct tw_person *person = persons->at[i];
        if ((org == NULL || person->org == org) && tw_change_may_see(change, person->org) &&
            (person->is_open || tw_change_integer(change, "all", 0) != 0)) {
            put_person(change, tw_change_page_row(&page, person->id), person);
        }
    }
    tw_change_page_end(&page, i < persons->n);
    return TW_OK;
}
