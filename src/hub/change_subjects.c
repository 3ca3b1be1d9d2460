/* Those whom requests are about: erased, and kept from being erased. */
#include <stdio.h>
#include <string.h>

#include "hub/change.h"

#define COUNT(values) (sizeof(values) / sizeof *(values))

/* ---- who ---- */

static enum tw_status find_number(struct tw_hub_change *change, const char *text, int64_t *ret_id,
                                  struct tw_error *error)
{
    static const struct tw_field number = {
        .name = "subject", .kind = TW_FIELD_INTEGER, .least = 1, .most = INT64_MAX};
    struct tw_field_value value;
    struct tw_error ignored;
    (void)change;
    if (tw_commands_read_text(&number, text, 0, &value, &ignored) != TW_OK) {
        return tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION,
                            "there is no open '%.120s'; what was closed is named by its number",
                            text);
    }
    *ret_id = value.integer;
    return TW_OK;
}

/* By a path, or by the number that stays when the path is somebody else's. */
static enum tw_status find_id(struct tw_hub_change *change, enum tw_subject_kind kind,
                              const char *text, int64_t *ret_id, struct tw_error *error)
{
    struct tw_person *person = NULL;
    struct tw_holder *holder = NULL;
    struct tw_error ignored;
    if (kind == TW_SUBJECT_PERSON &&
        tw_change_find_person(change, text, &person, &ignored) == TW_OK) {
        *ret_id = person->id;
        return TW_OK;
    }
    if (kind == TW_SUBJECT_PROJECT &&
        tw_change_find_holder(change, text, &holder, &ignored) == TW_OK &&
        holder->kind == TW_HOLDER_PROJECT) {
        *ret_id = holder->id;
        return TW_OK;
    }
    return find_number(change, text, ret_id, error);
}

enum tw_status tw_change_find_subject(struct tw_hub_change *change, struct tw_subject *ret_subject,
                                      struct tw_error *error)
{
    const char *text = tw_change_value(change, "subject")->text;
    const enum tw_subject_kind kind =
        (enum tw_subject_kind)tw_change_integer(change, "kind", TW_SUBJECT_USER);
    char number[24];
    int64_t id = 0;
    if (kind != TW_SUBJECT_USER) {
        pthread_rwlock_rdlock(&change->directory->lock);
        enum tw_status status = find_id(change, kind, text, &id, error);
        pthread_rwlock_unlock(&change->directory->lock);
        if (status != TW_OK) {
            return status;
        }
        snprintf(number, sizeof number, "%lld", (long long)id);
        text = number;
    }
    *ret_subject = tw_subject_of(change->hub->content.keys, kind, text, strlen(text));
    return TW_OK;
}

static void put_subject(struct tw_hub_change *change, char ret_text[TW_SUBJECT_HEX_BYTES])
{
    tw_subject_write(&change->subject, ret_text);
    tw_change_put(change, change->answer, "name",
                  json_string(tw_change_value(change, "subject")->text));
    tw_change_put(change, change->answer, "subject", json_string(ret_text));
    tw_change_put(change, change->answer, "in", tw_change_json_path(change->object));
}

static void note_number(struct tw_hub_change *change, const char *name, int64_t number)
{
    tw_change_note(change, name, tw_audit_text(NULL), tw_audit_integer(number));
}

/* For the record: whose, without a name, and where. */
static void note_scope(struct tw_hub_change *change)
{
    char path[TW_HOLDER_KINDS * (TW_LIMIT_HUB_NAME_BYTES + 1)] = "everything";
    if (change->object != NULL) {
        tw_holder_write_path(change->object, path, sizeof path);
    }
    tw_change_note_text(change, "in", NULL, path);
}

static int64_t scope_of(const struct tw_hub_change *change)
{
    return change->object != NULL ? change->object->id : 0;
}

/* ---- holds ---- */

/* A hold within the scope, or above it. */
static bool meets(const struct tw_hub_change *change, int64_t scope)
{
    const struct tw_holder *held =
        scope != 0 ? tw_directory_holder(change->directory, scope) : NULL;
    return tw_change_is_below(held, change->object) || tw_change_is_below(change->object, held);
}

static enum tw_status check_holds(struct tw_hub_change *change, struct tw_error *error)
{
    struct tw_db_statement *row = NULL;
    const struct tw_db_value value =
        tw_db_bytes(change->subject.bytes, sizeof change->subject.bytes);
    bool has_row = true;
    enum tw_status status = tw_db_prepare(
        change->db,
        "SELECT id, scope, reason FROM legal_hold WHERE subject = ? AND released_ns IS NULL", &row,
        error);
    if (status == TW_OK) {
        status = tw_db_query(row, &value, 1, error);
    }
    while (status == TW_OK && has_row) {
        status = tw_db_next(row, &has_row, error);
        if (status == TW_OK && has_row && meets(change, tw_db_column_integer(row, 1))) {
            status =
                tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                             "the legal hold %lld ('%.100s') forbids to erase it; "
                             "'subject release' ends it",
                             (long long)tw_db_column_integer(row, 0), tw_db_column_text(row, 2));
        }
    }
    tw_db_finalize(row);
    return status;
}

enum tw_status tw_change_hold_subject(struct tw_hub_change *change, struct tw_error *error)
{
    char text[TW_SUBJECT_HEX_BYTES];
    const char *reason = tw_change_value(change, "reason")->text;
    enum tw_status status = tw_change_find_subject(change, &change->subject, error);
    if (status != TW_OK) {
        return status;
    }
    tw_change_begin(change);
    const int64_t id = tw_change_next_id(change);
    const struct tw_db_value values[] = {
        tw_db_integer(id), tw_db_bytes(change->subject.bytes, sizeof change->subject.bytes),
        tw_db_integer(scope_of(change)), tw_db_text(reason), tw_db_integer(change->hub->now_ns)};
    status = tw_change_run(change,
                           "INSERT INTO legal_hold (id, subject, scope, reason, since_ns)"
                           " VALUES (?, ?, ?, ?, ?)",
                           values, COUNT(values), error);
    if (status != TW_OK) {
        return status;
    }
    tw_change_put(change, change->answer, "hold", json_integer(id));
    put_subject(change, text);
    note_scope(change);
    note_number(change, "hold", id);
    tw_change_note_text(change, "reason", NULL, reason);
    return tw_change_end_as(change, TW_AUDIT_SUBJECT_HELD, text, error);
}

static enum tw_status count_rows(struct tw_hub_change *change, const char *sql,
                                 const struct tw_db_value *values, size_t n, int64_t *ret_count,
                                 struct tw_error *error)
{
    struct tw_db_statement *row = NULL;
    bool has_row = false;
    enum tw_status status = tw_db_prepare(change->db, sql, &row, error);
    if (status == TW_OK) {
        status = tw_db_first(row, values, n, &has_row, error);
    }
    if (status == TW_OK) {
        *ret_count = has_row ? tw_db_column_integer(row, 0) : 0;
    }
    tw_db_finalize(row);
    return status;
}

enum tw_status tw_change_release_subject(struct tw_hub_change *change, struct tw_error *error)
{
    char text[TW_SUBJECT_HEX_BYTES];
    int64_t n = 0;
    enum tw_status status = tw_change_find_subject(change, &change->subject, error);
    if (status != TW_OK) {
        return status;
    }
    const struct tw_db_value values[] = {
        tw_db_integer(change->hub->now_ns),
        tw_db_bytes(change->subject.bytes, sizeof change->subject.bytes),
        tw_db_integer(scope_of(change))};
    status = count_rows(change,
                        "SELECT COUNT(*) FROM legal_hold WHERE subject = ? AND scope = ?"
                        " AND released_ns IS NULL",
                        values + 1, 2, &n, error);
    if (status == TW_OK && n == 0) {
        return tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION,
                            "there is no legal hold of this subject with exactly this scope; "
                            "'subject list' shows them");
    }
    if (status == TW_OK) {
        tw_change_begin(change);
        status = tw_change_run(change,
                               "UPDATE legal_hold SET released_ns = ? WHERE subject = ?"
                               " AND scope = ? AND released_ns IS NULL",
                               values, COUNT(values), error);
    }
    if (status != TW_OK) {
        return status;
    }
    tw_change_put(change, change->answer, "released", json_integer(n));
    put_subject(change, text);
    note_scope(change);
    return tw_change_end_as(change, TW_AUDIT_SUBJECT_RELEASED, text, error);
}

/* ---- erasing ---- */

static enum tw_status count_content(struct tw_hub_change *change, int64_t *ret_n,
                                    struct tw_error *error)
{
    const struct tw_db_value scope = tw_db_integer(scope_of(change));
    const struct tw_db_value values[] = {
        tw_db_bytes(change->subject.bytes, sizeof change->subject.bytes), scope, scope, scope,
        scope};
    return count_rows(change,
                      "SELECT COUNT(*) FROM content WHERE subject = ? AND ended_ns IS NULL"
                      " AND (CAST(? AS %I) = 0 OR org = ? OR team = ? OR project = ?)",
                      values, COUNT(values), ret_n, error);
}

static bool has_key(struct tw_hub_change *change)
{
    const struct tw_items *holders = &change->directory->holders;
    struct tw_subject_key *key = NULL;
    struct tw_error error;
    for (size_t i = 0; key == NULL && i < holders->n; i++) {
        const struct tw_holder *holder = holders->at[i];
        if (holder->kind == TW_HOLDER_PROJECT && tw_change_is_below(holder, change->object) &&
            tw_subject_keys_find(change->hub->content.keys, &change->subject, holder->id, &key,
                                 &error) == TW_ERR_FORMAT) {
            return true; /* damaged, but there */
        }
    }
    tw_subject_key_give_back(key);
    return key != NULL;
}

/* The record is durable: now the keys go. What fails here is done again by every opening. */
static enum tw_status erase_keys(struct tw_hub_change *change, struct tw_error *error)
{
    size_t n_keys = 0;
    enum tw_status status = tw_hub_erase_keys(change->hub, &change->subject, change->object,
                                              change->erasure, &n_keys, error);
    if (status != TW_OK) {
        tw_error_prefix(error,
                        "erasure %lld is on record, but not all keys are gone; the next "
                        "start tries again",
                        (long long)change->erasure);
        return status;
    }
    tw_change_put(change, change->answer, "keys", json_integer((json_int_t)n_keys));
    return TW_OK;
}

/* What proves it: the record, and a signature over the log up to it. */
static enum tw_status put_proof(struct tw_hub_change *change, struct tw_error *error)
{
    struct tw_hub *hub = change->hub;
    struct tw_audit_checkpoint checkpoint;
    struct tw_buf text;
    enum tw_status status = tw_audit_log_sign(hub->audit, hub->now_ns, error);
    if (status == TW_OK) {
        status =
            tw_audit_log_last_checkpoint(change->db, hub->ledger.books.log, &checkpoint, error);
    }
    if (status != TW_OK) {
        return status;
    }
    tw_buf_init(&text, TW_LIMIT_AUDIT_FILE_BYTES);
    tw_audit_checkpoint_write(&checkpoint, &text);
    tw_change_put(change, change->answer, "at", tw_change_json_when(hub->now_ns));
    tw_change_put(change, change->answer, "by", json_string(change->actor_name));
    tw_change_put(change, change->answer, "log", json_string(hub->ledger.books.log));
    tw_change_put(change, change->answer, "record", json_integer(tw_audit_log_seq(hub->audit)));
    tw_change_put(change, change->answer, "checkpoint",
                  text.failed ? NULL : json_stringn(text.data, text.size_bytes));
    tw_buf_free(&text);
    return TW_OK;
}

enum tw_status tw_change_erase_subject(struct tw_hub_change *change, struct tw_error *error)
{
    char text[TW_SUBJECT_HEX_BYTES];
    int64_t n_rows = 0;
    enum tw_status status = tw_change_find_subject(change, &change->subject, error);
    if (status == TW_OK) {
        status = check_holds(change, error);
    }
    if (status == TW_OK) {
        status = count_content(change, &n_rows, error);
    }
    /* Other hubs on the same books may have keys that are not here. */
    if (status == TW_OK && n_rows == 0 && !tw_db_is_postgres(change->db) && !has_key(change)) {
        return tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION,
                            "nothing is kept of this subject: no request named it, or it was "
                            "erased before");
    }
    if (status == TW_OK) {
        tw_change_begin(change);
        status = tw_hub_note_erasure(change->hub, &change->subject, change->object,
                                     &change->erasure, error);
    }
    if (status != TW_OK) {
        return status;
    }
    tw_change_put(change, change->answer, "erasure", json_integer(change->erasure));
    put_subject(change, text);
    tw_change_put(change, change->answer, "requests", json_integer(n_rows));
    note_scope(change);
    note_number(change, "erasure", change->erasure);
    note_number(change, "requests", n_rows);
    status = tw_change_end_as(change, TW_AUDIT_SUBJECT_ERASED, text, error);
    change->committed = erase_keys;
    return status == TW_OK ? put_proof(change, error) : status;
}
