/* What two people approve: proposals, and what is in force. */
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "hub/approval.h"
#include "hub/change.h"

#define COUNT(values) (sizeof(values) / sizeof *(values))
#define TWO_PEOPLE    "two-people"

enum { DIGEST_BYTES = 32, VALUE_BYTES = 80 };

/* ---- what is in force ---- */

/* "" where there is none. */
static enum tw_status read_value(struct tw_db *db, const char *name, char value[VALUE_BYTES],
                                 struct tw_error *error)
{
    const struct tw_db_value values[] = {tw_db_text(name)};
    struct tw_db_statement *row = NULL;
    bool has_row = false;
    value[0] = '\0';
    enum tw_status status =
        tw_db_prepare(db, "SELECT value FROM approved WHERE name = ?", &row, error);
    if (status == TW_OK) {
        status = tw_db_first(row, values, 1, &has_row, error);
    }
    if (status == TW_OK && has_row) {
        snprintf(value, VALUE_BYTES, "%s", tw_db_column_text(row, 0));
    }
    tw_db_finalize(row);
    return status;
}

static enum tw_status read_two_people(struct tw_db *db, bool *ret_is_set, struct tw_error *error)
{
    char value[VALUE_BYTES];
    const enum tw_status status = read_value(db, TWO_PEOPLE, value, error);
    *ret_is_set = value[0] == '1';
    return status;
}

static enum tw_status write_value(struct tw_hub_change *change, const char *name, const char *value,
                                  struct tw_error *error)
{
    char before[VALUE_BYTES];
    const struct tw_db_value values[] = {tw_db_text(name), tw_db_text(value),
                                         tw_db_integer(change->hub->now_ns)};
    enum tw_status status = read_value(change->db, name, before, error);
    if (status == TW_OK) {
        status = tw_change_run(change, "DELETE FROM approved WHERE name = ?", values, 1, error);
    }
    if (status == TW_OK) {
        status = tw_change_run(change, "INSERT INTO approved (name, value, at_ns) VALUES (?, ?, ?)",
                               values, COUNT(values), error);
    }
    if (status == TW_OK) {
        tw_change_note_text(change, name, before[0] != '\0' ? before : NULL, value);
    }
    return status;
}

enum tw_status tw_approval_check_db(struct tw_db *db, const char *what, const char *digest,
                                    struct tw_error *error)
{
    char value[VALUE_BYTES] = "";
    bool needs_two = false;
    enum tw_status status = read_two_people(db, &needs_two, error);
    if (status == TW_OK) {
        status = read_value(db, what, value, error);
    }
    if (status != TW_OK || !needs_two || strcmp(value, digest != NULL ? digest : "") == 0) {
        return status;
    }
    if (digest == NULL) {
        return tw_error_set(error, TW_ERR_DENIED, TW_NO_POSITION,
                            "two people approve the %s here, and what they approved is not used: "
                            "%.64s",
                            what, value);
    }
    return tw_error_set(error, TW_ERR_DENIED, TW_NO_POSITION,
                        "two people approve the %s here, and have not approved this: "
                        "'approval use %s %s' proposes it",
                        what, what, digest);
}

enum tw_status tw_approval_check(struct tw_hub *hub, const char *what, const char *digest,
                                 struct tw_error *error)
{
    struct tw_db *db = NULL;
    enum tw_status status = tw_db_open(hub->config.address, TW_DB_READ, &db, error);
    if (status == TW_OK) {
        status = tw_approval_check_db(db, what, digest, error);
    }
    tw_db_close(db);
    return status;
}

/* ---- proposing ---- */

/* What needs two; of 'user', what would let one person be two. */
static bool needs_two(const struct tw_hub_verb *verb)
{
    static const char *const names[][2] = {
        {"price", "set"}, {"approval", "use"}, {"approval", "set"}, {"user", "grant"}};
    for (size_t i = 0; i < COUNT(names); i++) {
        if (strcmp(verb->group, names[i][0]) == 0 && strcmp(verb->verb, names[i][1]) == 0) {
            return true;
        }
    }
    return false;
}

static enum tw_status must_be_user(struct tw_hub_change *change, struct tw_error *error)
{
    if (change->person != NULL) {
        return TW_OK;
    }
    return tw_error_set(error, TW_ERR_DENIED, TW_NO_POSITION,
                        "two people approve this here: give the command as a user, whose secret is "
                        "in the variable TOKENWORKS_SECRET");
}

void tw_approval_digest(const char *bytes, size_t n_bytes,
                        char ret_digest[TW_APPROVAL_DIGEST_BYTES])
{
    unsigned char digest[DIGEST_BYTES];
    crypto_generichash(digest, sizeof digest, (const unsigned char *)bytes, n_bytes, NULL, 0);
    sodium_bin2hex(ret_digest, TW_APPROVAL_DIGEST_BYTES, digest, sizeof digest);
}

static enum tw_status no_memory(struct tw_error *error)
{
    return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a proposal");
}

/* The command as JSON, among the change's texts; NULL: no memory. */
static const char *write_command(struct tw_hub_change *change)
{
    struct tw_buf buf;
    struct tw_json_writer json;
    tw_buf_init(&buf, TW_LIMIT_HUB_CHANGE_BYTES);
    tw_json_begin(&json, &buf);
    tw_json_value(&json, change->command);
    const char *text =
        buf.failed ? NULL : tw_arena_strndup(&change->texts, buf.data, buf.size_bytes);
    tw_buf_free(&buf);
    return text;
}

static void write_object(int64_t id, char object[32])
{
    snprintf(object, 32, "proposal %lld", (long long)id);
}

enum tw_status tw_approval_propose(struct tw_hub_change *change, bool *ret_is_proposed,
                                   struct tw_error *error)
{
    bool is_set = false;
    char digest[TW_APPROVAL_DIGEST_BYTES], object[32];
    *ret_is_proposed = false;
    if (!needs_two(change->verb)) {
        return TW_OK;
    }
    enum tw_status status = read_two_people(change->db, &is_set, error);
    if (status != TW_OK || !is_set) {
        return status;
    }
    status = must_be_user(change, error);
    if (status != TW_OK) {
        return status;
    }
    const char *text = write_command(change);
    if (text == NULL) {
        return no_memory(error);
    }
    tw_approval_digest(text, strlen(text), digest);
    tw_change_begin(change);
    const int64_t id = tw_change_next_id(change), now_ns = change->hub->now_ns;
    const int64_t expires_ns = now_ns + TW_LIMIT_HUB_PROPOSAL_NS;
    const struct tw_db_value values[] = {tw_db_integer(id),     tw_db_text(text),
                                         tw_db_text(digest),    tw_db_integer(change->actor),
                                         tw_db_integer(now_ns), tw_db_integer(expires_ns)};
    status = tw_change_run(change,
                           "INSERT INTO proposal (id, command, digest, person, at_ns, expires_ns,"
                           " state) VALUES (?, ?, ?, ?, ?, ?, 'open')",
                           values, COUNT(values), error);
    if (status == TW_OK) {
        write_object(id, object);
        tw_change_note_text(change, "digest", NULL, digest);
        tw_change_note_text(change, "proposed", NULL, text);
        tw_change_put(change, change->answer, "proposal", json_integer(id));
        tw_change_put(change, change->answer, "state", json_string("open"));
        tw_change_put(change, change->answer, "digest", json_string(digest));
        tw_change_put(change, change->answer, "expires", tw_change_json_when(expires_ns));
        status = tw_change_end_as(change, TW_AUDIT_CHANGE_PROPOSED, object, error);
    }
    *ret_is_proposed = status == TW_OK;
    return status;
}

/* ---- approving ---- */

static enum tw_status no_proposal(int64_t id, const char *why, struct tw_error *error)
{
    return tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION,
                        "proposal %lld %s; 'approval list' shows those that are open",
                        (long long)id, why);
}

/* Its command, where it can still be decided; among the change's texts. */
static enum tw_status find_open(struct tw_hub_change *change, int64_t id, int64_t *ret_person,
                                const char **ret_text, struct tw_error *error)
{
    const struct tw_db_value values[] = {tw_db_integer(id)};
    struct tw_db_statement *row = NULL;
    bool has_row = false;
    char digest[TW_APPROVAL_DIGEST_BYTES];
    enum tw_status status = tw_db_prepare(
        change->db, "SELECT command, digest, person, expires_ns, state FROM proposal WHERE id = ?",
        &row, error);
    if (status == TW_OK) {
        status = tw_db_first(row, values, 1, &has_row, error);
    }
    if (status == TW_OK && !has_row) {
        status = no_proposal(id, "is none", error);
    } else if (status == TW_OK && strcmp(tw_db_column_text(row, 4), "open") != 0) {
        status = no_proposal(id, "was decided already", error);
    } else if (status == TW_OK && tw_db_column_integer(row, 3) <= change->hub->now_ns) {
        status = no_proposal(id, "has expired", error);
    }
    if (status == TW_OK) {
        const char *text = tw_db_column_text(row, 0);
        tw_approval_digest(text, strlen(text), digest);
        if (strcmp(digest, tw_db_column_text(row, 1)) != 0) {
            status = no_proposal(id, "is not what was proposed", error);
        }
    }
    if (status == TW_OK) {
        *ret_person = tw_db_column_integer(row, 2);
        const char *text = tw_db_column_text(row, 0);
        *ret_text = tw_arena_strndup(&change->texts, text, strlen(text));
        status = *ret_text != NULL ? TW_OK : no_memory(error);
    }
    tw_db_finalize(row);
    return status;
}

enum tw_status tw_approval_take(struct tw_hub_change *change, struct tw_error *error)
{
    const int64_t id = tw_change_value(change, "proposal")->integer;
    int64_t person = 0;
    const char *text = NULL;
    json_t *command = NULL;
    enum tw_status status = must_be_user(change, error);
    if (status == TW_OK) {
        status = find_open(change, id, &person, &text, error);
    }
    const struct tw_person *proposer =
        status == TW_OK ? tw_directory_person(change->directory, person) : NULL;
    if (status == TW_OK && (proposer == NULL || !proposer->is_open)) {
        status = no_proposal(id, "is of somebody who is no user any more", error);
    } else if (status == TW_OK && person == change->actor) {
        status = tw_error_set(error, TW_ERR_DENIED, TW_NO_POSITION,
                              "'%s' proposed this, and somebody else has to approve it",
                              change->actor_name);
    }
    if (status == TW_OK) {
        status = tw_json_parse(text, strlen(text), "the proposal", &command, error);
    }
    const struct tw_hub_verb *verb =
        status == TW_OK
            ? tw_commands_find(json_string_value(json_object_get(command, "group")),
                               json_string_value(json_object_get(command, "verb")), error)
            : NULL;
    if (verb == NULL) {
        json_decref(command);
        return status != TW_OK ? status : error->status;
    }
    json_decref(change->command);
    change->command = command;
    change->verb = verb;
    change->approves = id;
    return TW_OK;
}

static enum tw_status end(struct tw_hub_change *change, int64_t id, const char *state,
                          enum tw_audit_kind kind, struct tw_error *error)
{
    char object[32];
    const struct tw_db_value values[] = {tw_db_text(state), tw_db_integer(change->actor),
                                         tw_db_integer(change->hub->now_ns), tw_db_integer(id)};
    enum tw_status status = tw_change_run(
        change, "UPDATE proposal SET state = ?, decided_by = ?, decided_ns = ? WHERE id = ?",
        values, COUNT(values), error);
    write_object(id, object);
    change->n_changed = 0;
    tw_change_note_text(change, "state", "open", state);
    return status == TW_OK ? tw_change_end_as(change, kind, object, error) : status;
}

enum tw_status tw_approval_end(struct tw_hub_change *change, struct tw_error *error)
{
    tw_change_put(change, change->answer, "approved", json_integer(change->approves));
    return end(change, change->approves, "approved", TW_AUDIT_CHANGE_APPROVED, error);
}

/* Is never run: what was proposed stands in its place. */
enum tw_status tw_change_approve(struct tw_hub_change *change, struct tw_error *error)
{
    (void)change;
    return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION, "there is nothing to approve");
}

enum tw_status tw_change_reject(struct tw_hub_change *change, struct tw_error *error)
{
    const int64_t id = tw_change_value(change, "proposal")->integer;
    int64_t person = 0;
    const char *text = NULL;
    enum tw_status status = find_open(change, id, &person, &text, error);
    if (status != TW_OK) {
        return status;
    }
    tw_change_begin(change);
    tw_change_put(change, change->answer, "rejected", json_integer(id));
    return end(change, id, "rejected", TW_AUDIT_CHANGE_REJECTED, error);
}

/* ---- settings ---- */

/* Whether somebody could approve what the other proposes. */
static bool has_two_owners(const struct tw_hub_change *change, const struct tw_person *without)
{
    size_t n = 0;
    for (size_t i = 0; i < change->directory->persons.n; i++) {
        const struct tw_person *person = change->directory->persons.at[i];
        if (person == without) {
            continue;
        }
        bool is_owner = false, has_secret = false;
        for (const struct tw_grant *grant = person->grants; grant != NULL; grant = grant->next) {
            is_owner = is_owner || (grant->role == TW_ROLE_OWNER && grant->scope == NULL);
        }
        for (const struct tw_secret *secret = person->secrets; secret != NULL;
             secret = secret->next_of_owner) {
            has_secret = has_secret || secret->is_open;
        }
        n += person->is_open && is_owner && has_secret;
    }
    return n >= 2;
}

enum tw_status tw_approval_guard_secret(struct tw_hub_change *change, struct tw_error *error)
{
    bool is_set = false;
    const enum tw_status status = read_two_people(change->db, &is_set, error);
    if (status != TW_OK || !is_set || change->about->secrets == NULL ||
        (change->person != NULL && change->actor == change->about->id)) {
        return status;
    }
    change->was_denied = true;
    return tw_error_set(error, TW_ERR_DENIED, TW_NO_POSITION,
                        "where two people approve, a user who has a secret replaces it himself, or "
                        "whoever is shown the new one could be two: of somebody who lost his, "
                        "'user close' and 'user create' make a new user");
}

enum tw_status tw_approval_guard_owners(struct tw_hub_change *change, struct tw_error *error)
{
    bool is_set = false;
    const enum tw_status status = read_two_people(change->db, &is_set, error);
    if (status != TW_OK || !is_set || !has_two_owners(change, NULL) ||
        has_two_owners(change, change->about)) {
        return status;
    }
    return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                        "two people approve here, and without this one there are not two owners "
                        "any more: 'user grant' makes another one first");
}

enum tw_status tw_change_set_approval(struct tw_hub_change *change, struct tw_error *error)
{
    const bool is_set = tw_change_value(change, "two_people")->integer != 0;
    if (is_set && !has_two_owners(change, NULL)) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "fewer than two users are owner of everything and have a secret, so "
                            "nobody could approve: 'user create', 'user grant' and 'user secret' "
                            "first");
    }
    char models[VALUE_BYTES];
    enum tw_status status = read_value(change->db, "models", models, error);
    if (status != TW_OK) {
        return status;
    }
    if (is_set && models[0] == '\0') {
        tw_change_warn(change, "no models are approved, so no server with these books starts or "
                               "reads its files again: 'serve --check' says which digest 'approval "
                               "use models' is to be given");
    }
    tw_change_begin(change);
    status = write_value(change, TWO_PEOPLE, is_set ? "1" : "0", error);
    tw_change_put(change, change->answer, "two_people", json_boolean(is_set));
    return status == TW_OK ? tw_change_end(change, "approval", error) : status;
}

enum tw_status tw_change_use(struct tw_hub_change *change, struct tw_error *error)
{
    const char *what = tw_change_value(change, "what")->text;
    const char *digest = tw_change_value(change, "digest")->text;
    if (strspn(digest, "0123456789abcdef") != 2 * DIGEST_BYTES ||
        strlen(digest) > 2 * DIGEST_BYTES) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "digest: '%.70s' is none: write its 64 hexadecimal digits, as 'policy "
                            "check --json' or a server that refuses to start has them",
                            digest);
    }
    tw_change_begin(change);
    enum tw_status status = write_value(change, what, digest, error);
    tw_change_put(change, change->answer, what, json_string(digest));
    return status == TW_OK ? tw_change_end(change, what, error) : status;
}

/* ---- showing ---- */

static const char *person_name(const struct tw_hub_change *change, int64_t id)
{
    const struct tw_person *person = tw_directory_person(change->directory, id);
    return person != NULL ? person->name : NULL;
}

static void put_proposal(struct tw_hub_change *change, json_t *rows, struct tw_db_statement *from)
{
    json_t *row = tw_change_row(change, rows), *command = NULL;
    const char *state = tw_db_column_text(from, 5);
    const bool is_open = strcmp(state, "open") == 0;
    const bool has_expired = is_open && tw_db_column_integer(from, 4) <= change->now_ns;
    tw_change_put(change, row, "proposal", json_integer(tw_db_column_integer(from, 0)));
    tw_change_put(change, row, "state", json_string(has_expired ? "expired" : state));
    tw_change_put(change, row, "by",
                  tw_change_json_text(person_name(change, tw_db_column_integer(from, 2))));
    tw_change_put(change, row, "at", tw_change_json_when(tw_db_column_integer(from, 3)));
    tw_change_put(change, row, "expires", tw_change_json_when(tw_db_column_integer(from, 4)));
    tw_change_put(change, row, "decided_by",
                  tw_change_json_text(tw_db_column_is_null(from, 6)
                                          ? NULL
                                          : person_name(change, tw_db_column_integer(from, 6))));
    tw_change_put(change, row, "digest", json_string(tw_db_column_text(from, 7)));
    command = json_string(tw_db_column_text(from, 1));
    tw_change_put(change, row, "command", command);
}

enum tw_status tw_change_list_approvals(struct tw_hub_change *change, struct tw_error *error)
{
    static const char *const whats[] = {"policy", "models"};
    const bool with_all = tw_change_integer(change, "all", 0) != 0;
    const struct tw_db_value values[] = {tw_db_integer(with_all), tw_db_integer(change->now_ns),
                                         tw_db_integer(TW_LIMIT_HUB_LIST_ROWS)};
    struct tw_db_statement *from = NULL;
    char value[VALUE_BYTES];
    bool has_row = false, two_people = false;
    enum tw_status status = read_two_people(change->db, &two_people, error);
    tw_change_put(change, change->answer, "two_people", json_boolean(two_people));
    for (size_t i = 0; status == TW_OK && i < COUNT(whats); i++) {
        status = read_value(change->db, whats[i], value, error);
        tw_change_put(change, change->answer, whats[i],
                      tw_change_json_text(value[0] != '\0' ? value : NULL));
    }
    json_t *rows = tw_change_rows(change, "proposals");
    if (status == TW_OK) {
        status = tw_db_prepare(change->db,
                               "SELECT id, command, person, at_ns, expires_ns, state, decided_by,"
                               " digest FROM proposal WHERE ? <> 0 OR (state = 'open' AND"
                               " expires_ns > ?) ORDER BY id DESC LIMIT ?",
                               &from, error);
    }
    if (status == TW_OK) {
        status = tw_db_query(from, values, COUNT(values), error);
    }
    while (status == TW_OK) {
        status = tw_db_next(from, &has_row, error);
        if (status != TW_OK || !has_row) {
            break;
        }
        put_proposal(change, rows, from);
    }
    tw_db_finalize(from);
    return status;
}
