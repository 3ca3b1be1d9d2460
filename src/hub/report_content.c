/* What is stored of requests, for those who may read it: each reading is on record before it
 * happens. */
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "hub/batch_state.h"
#include "hub/change.h"
#include "hub/report.h"

#define COUNT(values)   (sizeof(values) / sizeof *(values))
#define NEIGHBOURS      (2 * TW_LIMIT_HUB_GROUP) /* records of about the same time */
#define LIST_ROWS       1000
#define FIRST_KEYS_ROOM 16
#define SAME_IDS        16

/* The first row of a query, or none. */
static enum tw_status first_row(struct tw_db *db, const char *sql, const struct tw_db_value *values,
                                size_t n_values, struct tw_db_statement **ret_row,
                                bool *ret_has_row, struct tw_error *error)
{
    enum tw_status status = tw_db_prepare(db, sql, ret_row, error);
    return status == TW_OK ? tw_db_first(*ret_row, values, n_values, ret_has_row, error) : status;
}

/* ---- one row of content ---- */

struct row {
    int64_t request, project, erasures, at_ns, ended_ns;
    char ended[16];
    char client_id[TW_LIMIT_HUB_CLIENT_ID_BYTES];
    struct tw_subject subject;
    struct tw_buf sealed;
};

static const char BY_NUMBER[] =
    "SELECT request, client_id, project, erasures, at_ns, ended_ns, ended, subject, sealed"
    " FROM content WHERE request = ?";
static const char BY_ID[] =
    "SELECT request, client_id, project, erasures, at_ns, ended_ns, ended, subject, sealed"
    " FROM content WHERE client_id = ? AND request < ? ORDER BY request DESC LIMIT 1";

static enum tw_status take_row(struct tw_db_statement *from, struct row *ret_row,
                               struct tw_error *error)
{
    size_t n_bytes = 0;
    const void *bytes = tw_db_column_bytes(from, 7, &n_bytes);
    ret_row->request = tw_db_column_integer(from, 0);
    snprintf(ret_row->client_id, sizeof ret_row->client_id, "%s", tw_db_column_text(from, 1));
    ret_row->project = tw_db_column_integer(from, 2);
    ret_row->erasures = tw_db_column_integer(from, 3);
    ret_row->at_ns = tw_db_column_integer(from, 4);
    ret_row->ended_ns = tw_db_column_integer(from, 5);
    snprintf(ret_row->ended, sizeof ret_row->ended, "%s", tw_db_column_text(from, 6));
    if (n_bytes == sizeof ret_row->subject.bytes) {
        memcpy(ret_row->subject.bytes, bytes, n_bytes);
    }
    bytes = tw_db_column_bytes(from, 8, &n_bytes);
    if (!tw_buf_append(&ret_row->sealed, bytes, n_bytes)) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for content");
    }
    return TW_OK;
}

/* The caller frees sealed, also where it fails. */
static enum tw_status read_row(struct tw_db *db, const char *sql, const struct tw_db_value *values,
                               size_t n_values, struct row *ret_row, bool *ret_has_row,
                               struct tw_error *error)
{
    struct tw_db_statement *statement = NULL;
    *ret_row = (struct row){.request = 0};
    tw_buf_init(&ret_row->sealed, TW_LIMIT_DB_VALUE_BYTES);
    enum tw_status status = first_row(db, sql, values, n_values, &statement, ret_has_row, error);
    if (status == TW_OK && *ret_has_row) {
        status = take_row(statement, ret_row, error);
    }
    tw_db_finalize(statement);
    return status;
}

static enum tw_status is_gone(const struct row *row, struct tw_error *error)
{
    if (row->ended_ns != 0) {
        return tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION,
                            strcmp(row->ended, "erased") == 0
                                ? "the content of request %lld was erased"
                                : "the content of request %lld is gone: it was kept for as long as "
                                  "its project says",
                            (long long)row->request);
    }
    return TW_OK;
}

/* Decrypts and parses; the caller owns *ret_whole. */
static enum tw_status open_row(const struct row *row, struct tw_subject_key *key,
                               json_t **ret_whole, struct tw_error *error)
{
    struct tw_buf plain;
    tw_buf_init(&plain, TW_LIMIT_DB_VALUE_BYTES);
    enum tw_status status = tw_subject_key_unseal(key, row->request, row->sealed.data,
                                                  row->sealed.size_bytes, &plain, error);
    if (status == TW_OK) {
        status = tw_json_parse(plain.data, plain.size_bytes, "the content", ret_whole, error);
    }
    if (plain.size_bytes > 0) {
        sodium_memzero(plain.data, plain.size_bytes);
    }
    tw_buf_free(&plain);
    return status;
}

static enum tw_status find_key(struct tw_hub_change *change, const struct row *row,
                               struct tw_subject_key **ret_key, struct tw_error *error)
{
    struct tw_subject_key *key = NULL;
    enum tw_status status =
        tw_subject_keys_find(change->hub->content.keys, &row->subject, row->project, &key, error);
    const bool is_another = status == TW_OK && tw_subject_key_erasures(key) != row->erasures;
    if (status == TW_ERR_NOT_FOUND || is_another) {
        tw_subject_key_give_back(key);
        return tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION,
                            "the content of request %lld was erased: its key is gone",
                            (long long)row->request);
    }
    if (status == TW_OK) {
        *ret_key = key;
    }
    return status;
}

/* ---- what the log says of it ---- */

/* The record of a request that was settled at that time. *ret_body: NULL, there is none. */
static enum tw_status find_record(struct tw_hub_change *change, int64_t request, int64_t at_ns,
                                  int64_t *ret_seq, json_t **ret_body, struct tw_error *error)
{
    const char *log = change->hub->ledger.books.log;
    struct tw_db_statement *row = NULL;
    bool has_row = true;
    int64_t first = 0;
    *ret_body = NULL;
    enum tw_status status = tw_audit_log_seq_at(change->db, log, at_ns, &first, error);
    const struct tw_db_value values[] = {tw_db_text(log), tw_db_integer(first),
                                         tw_db_integer(first + NEIGHBOURS)};
    if (status == TW_OK) {
        status = tw_db_prepare(change->db,
                               "SELECT seq, body FROM audit WHERE log = ? AND seq >= ? AND seq < ?"
                               " AND kind = 'request.settled' ORDER BY seq",
                               &row, error);
    }
    if (status == TW_OK) {
        status = tw_db_query(row, values, COUNT(values), error);
    }
    while (status == TW_OK && has_row && *ret_body == NULL) {
        status = tw_db_next(row, &has_row, error);
        json_t *body =
            status == TW_OK && has_row ? json_loads(tw_db_column_text(row, 1), 0, NULL) : NULL;
        if (body != NULL && json_integer_value(json_object_get(body, "number")) == request) {
            *ret_seq = tw_db_column_integer(row, 0);
            *ret_body = body;
        } else {
            json_decref(body);
        }
    }
    tw_db_finalize(row);
    return status;
}

static void hash_text(const json_t *text, unsigned char ret_hash[TW_CONTENT_HASH_BYTES])
{
    const char *bytes = json_string_value(text);
    crypto_generichash(ret_hash, TW_CONTENT_HASH_BYTES,
                       (const unsigned char *)(bytes != NULL ? bytes : ""),
                       json_string_length(text), NULL, 0);
}

static void hash_answer(const json_t *answer, unsigned char ret_hash[TW_CONTENT_HASH_BYTES])
{
    const char *hex = json_string_value(json_object_get(answer, "hash"));
    if (hex == NULL ||
        sodium_hex2bin(ret_hash, TW_CONTENT_HASH_BYTES, hex, strlen(hex), NULL, NULL, NULL) != 0) {
        hash_text(json_object_get(answer, "text"), ret_hash);
    }
}

/* The commitment to what was decrypted, as hexadecimal digits; false: no memory, or no key. */
static bool commit_again(struct tw_subject_key *key, int64_t request, const json_t *whole,
                         char ret_salt[2 * TW_SUBJECT_SALT_BYTES + 1],
                         char ret_commitment[2 * TW_CONTENT_HASH_BYTES + 1])
{
    const json_t *answers = json_object_get(whole, "answers");
    const size_t n = json_array_size(answers) + 1;
    unsigned char salt[TW_SUBJECT_SALT_BYTES], commitment[TW_CONTENT_HASH_BYTES];
    unsigned char *hashes = tw_mem_zalloc(n, TW_CONTENT_HASH_BYTES);
    if (hashes == NULL || !tw_subject_key_salt(key, request, salt)) {
        tw_mem_free(hashes);
        return false;
    }
    hash_text(json_object_get(whole, "body"), hashes);
    for (size_t i = 1; i < n; i++) {
        hash_answer(json_array_get(answers, i - 1), hashes + i * TW_CONTENT_HASH_BYTES);
    }
    tw_content_commit(salt, hashes, n, commitment);
    sodium_bin2hex(ret_salt, 2 * TW_SUBJECT_SALT_BYTES + 1, salt, sizeof salt);
    sodium_bin2hex(ret_commitment, 2 * TW_CONTENT_HASH_BYTES + 1, commitment, sizeof commitment);
    tw_mem_free(hashes);
    return true;
}

/* ---- content show ---- */

static void put_path(struct tw_hub_change *change, json_t *out, int64_t project)
{
    pthread_rwlock_rdlock(&change->directory->lock);
    tw_change_put(change, out, "project",
                  tw_change_json_path(tw_directory_holder(change->directory, project)));
    pthread_rwlock_unlock(&change->directory->lock);
}

static enum tw_status put_proof(struct tw_hub_change *change, const struct row *row,
                                struct tw_subject_key *key, const json_t *whole,
                                struct tw_error *error)
{
    char salt[2 * TW_SUBJECT_SALT_BYTES + 1], commitment[2 * TW_CONTENT_HASH_BYTES + 1];
    json_t *record = NULL;
    int64_t seq = 0;
    enum tw_status status = find_record(change, row->request, row->at_ns, &seq, &record, error);
    if (status != TW_OK) {
        return status;
    }
    const char *kept = json_string_value(json_object_get(record, "commitment"));
    if (!commit_again(key, row->request, whole, salt, commitment)) {
        status = tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION,
                              "the content of request %lld was erased", (long long)row->request);
    } else {
        tw_change_put(change, change->answer, "record", seq > 0 ? json_integer(seq) : json_null());
        tw_change_put(change, change->answer, "salt", json_string(salt));
        tw_change_put(change, change->answer, "commitment", json_string(commitment));
        tw_change_put(change, change->answer, "is_as_recorded",
                      json_boolean(kept != NULL && strcmp(kept, commitment) == 0));
    }
    json_decref(record);
    return status;
}

static enum tw_status show_row(struct tw_hub_change *change, const struct row *row,
                               struct tw_subject_key *key, struct tw_error *error)
{
    json_t *whole = NULL;
    char subject[TW_SUBJECT_HEX_BYTES];
    enum tw_status status = open_row(row, key, &whole, error);
    if (status == TW_OK) {
        tw_subject_write(&row->subject, subject);
        tw_change_put(change, change->answer, "request", json_integer(row->request));
        tw_change_put(change, change->answer, "id", json_string(row->client_id));
        put_path(change, change->answer, row->project);
        tw_change_put(change, change->answer, "at", tw_change_json_when(row->at_ns));
        tw_change_put(change, change->answer, "subject", json_string(subject));
        status = put_proof(change, row, key, whole, error);
    }
    if (status == TW_OK && change->answer != NULL &&
        json_object_update(change->answer, whole) != 0) {
        status = tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for content");
    }
    json_decref(whole);
    return status;
}

/* Nothing is read, or recorded as read, of what is gone. */
static enum tw_status read_and_show(struct tw_hub_change *change, const struct row *row,
                                    struct tw_error *error)
{
    struct tw_subject_key *key = NULL;
    char object[64];
    enum tw_status status = is_gone(row, error);
    if (status == TW_OK) {
        status = find_key(change, row, &key, error);
    }
    if (status == TW_OK) {
        snprintf(object, sizeof object, "request %lld", (long long)row->request);
        status = tw_change_note_reading(change, object, error);
    }
    if (status == TW_OK) {
        status = show_row(change, row, key, error);
    }
    tw_subject_key_give_back(key);
    return status;
}

static bool may_see_project(struct tw_hub_change *change, int64_t project)
{
    struct tw_directory *directory = change->directory;
    pthread_rwlock_rdlock(&directory->lock);
    const struct tw_holder *holder = tw_directory_holder(directory, project);
    const bool may =
        change->person == NULL || (holder != NULL && tw_change_may_see(change, holder));
    pthread_rwlock_unlock(&directory->lock);
    return may;
}

static bool is_number(const char *text)
{
    return text[strspn(text, "0123456789")] == '\0' && strlen(text) < 19;
}

static int64_t number_of(const char *digits)
{
    int64_t number = 0;
    for (; *digits != '\0'; digits++) {
        number = number * 10 + (*digits - '0');
    }
    return number;
}

/* A client chooses its ids: others may have the same one. The latest that who asks may see. */
static enum tw_status find_by_id(struct tw_hub_change *change, const char *id, struct row *ret_row,
                                 bool *ret_has_row, struct tw_error *error)
{
    int64_t before = INT64_MAX;
    enum tw_status status = TW_OK;
    for (int i = 0; i < SAME_IDS; i++) {
        const struct tw_db_value values[] = {tw_db_text(id), tw_db_integer(before)};
        status = read_row(change->db, BY_ID, values, COUNT(values), ret_row, ret_has_row, error);
        if (status != TW_OK || !*ret_has_row || may_see_project(change, ret_row->project)) {
            return status;
        }
        before = ret_row->request;
        *ret_has_row = false;
        tw_buf_free(&ret_row->sealed);
    }
    return status;
}

static enum tw_status find_row(struct tw_hub_change *change, const char *text, struct row *ret_row,
                               bool *ret_has_row, struct tw_error *error)
{
    if (!is_number(text)) {
        return find_by_id(change, text, ret_row, ret_has_row, error);
    }
    const struct tw_db_value number = tw_db_integer(number_of(text));
    enum tw_status status =
        read_row(change->db, BY_NUMBER, &number, 1, ret_row, ret_has_row, error);
    *ret_has_row = status == TW_OK && *ret_has_row && may_see_project(change, ret_row->project);
    return status;
}

enum tw_status tw_report_show_content(struct tw_hub_change *change, struct tw_error *error)
{
    const char *text = tw_change_value(change, "request")->text;
    struct row row;
    bool has_row = false;
    enum tw_status status = find_row(change, text, &row, &has_row, error);
    if (status == TW_OK && !has_row) {
        status = tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION,
                              "no content is stored of a request '%.120s'", text);
    }
    if (status == TW_OK) {
        status = read_and_show(change, &row, error);
    }
    tw_buf_free(&row.sealed);
    return status;
}

/* ---- subject export ---- */

struct export
{
    struct tw_hub_change *change;
    struct tw_subject subject;
    struct {
        int64_t project;
        struct tw_subject_key *key;
    } * keys; /* [n_keys], by project */
    size_t n_keys, room;
    json_t *rows;
    size_t n_bytes;
};

static enum tw_status add_key(struct export *export, int64_t project, struct tw_error *error)
{
    struct tw_subject_key *key = NULL;
    enum tw_status status = tw_subject_keys_find(export->change->hub->content.keys,
                                                 &export->subject, project, &key, error);
    if (status == TW_ERR_NOT_FOUND) {
        return TW_OK;
    }
    if (status == TW_OK && export->n_keys == export->room) {
        const size_t room = export->room > 0 ? export->room * 2 : FIRST_KEYS_ROOM;
        void *keys = room <= TW_LIMIT_HUB_ITEMS
                         ? tw_mem_realloc(export->keys, room, sizeof *export->keys)
                         : NULL;
        if (keys == NULL) {
            tw_subject_key_give_back(key);
            return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for keys");
        }
        export->keys = keys;
        export->room = room;
    }
    if (status == TW_OK) {
        export->keys[export->n_keys].project = project;
        export->keys[export->n_keys++].key = key;
    }
    return status;
}

static enum tw_status find_keys(struct export *export, struct tw_error *error)
{
    struct tw_directory *directory = export->change->directory;
    enum tw_status status = TW_OK;
    pthread_rwlock_rdlock(&directory->lock);
    for (size_t i = 0; status == TW_OK && i < directory->holders.n; i++) {
        const struct tw_holder *holder = directory->holders.at[i];
        if (holder->kind == TW_HOLDER_PROJECT &&
            tw_change_is_below(holder, export->change->object)) {
            status = add_key(export, holder->id, error);
        }
    }
    pthread_rwlock_unlock(&directory->lock);
    if (status == TW_OK && export->n_keys == 0) {
        status = tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION,
                              "nothing is kept of this subject: no request named it, or it was "
                              "erased");
    }
    return status;
}

static struct tw_subject_key *key_of(const struct export *export, int64_t project)
{
    for (size_t i = 0; i < export->n_keys; i++) {
        if (export->keys[i].project == project) {
            return export->keys[i].key;
        }
    }
    return NULL;
}

/* Whether a record's request is about the subject, which only its key tells. */
static bool is_about(struct tw_subject_key *key, const json_t *body)
{
    const char *kept = json_string_value(json_object_get(body, "subject"));
    unsigned char tag[TW_SUBJECT_TAG_BYTES];
    char text[2 * TW_SUBJECT_TAG_BYTES + 1];
    if (kept == NULL ||
        !tw_subject_key_tag(key, json_integer_value(json_object_get(body, "number")), tag)) {
        return false;
    }
    sodium_bin2hex(text, sizeof text, tag, sizeof tag);
    return strcmp(kept, text) == 0;
}

static enum tw_status put_content(struct export *export, json_t *out, int64_t request,
                                  struct tw_subject_key *key, struct tw_error *error)
{
    struct tw_hub_change *change = export->change;
    struct row row;
    bool has_row = false;
    json_t *whole = NULL;
    const struct tw_db_value value = tw_db_integer(request);
    enum tw_status status = read_row(change->db, BY_NUMBER, &value, 1, &row, &has_row, error);
    if (status == TW_OK && has_row && row.ended_ns == 0) {
        export->n_bytes += row.sealed.size_bytes;
        status = open_row(&row, key, &whole, error);
        if (status == TW_OK) {
            tw_change_put(change, out, "content", whole);
        }
    } else if (status == TW_OK && has_row) {
        tw_change_put(change, out, "content", json_string(row.ended));
    }
    tw_buf_free(&row.sealed);
    return status;
}

/* Takes body over. */
static enum tw_status export_record(struct export *export, struct tw_db_statement *record,
                                    json_t *body, struct tw_error *error)
{
    struct tw_hub_change *change = export->change;
    struct tw_subject_key *key =
        key_of(export, json_integer_value(json_object_get(body, "project")));
    if (body == NULL || key == NULL || !is_about(key, body)) {
        json_decref(body);
        return TW_OK;
    }
    const int64_t request = json_integer_value(json_object_get(body, "number"));
    json_t *out = tw_change_row(change, export->rows);
    export->n_bytes += strlen(tw_db_column_text(record, 3));
    tw_change_put(change, out, "seq", json_integer(tw_db_column_integer(record, 0)));
    tw_change_put(change, out, "at", tw_change_json_when(tw_db_column_integer(record, 1)));
    tw_change_put(change, out, "kind", json_string(tw_db_column_text(record, 2)));
    put_path(change, out, json_integer_value(json_object_get(body, "project")));
    tw_change_put(change, out, "record", body);
    return put_content(export, out, request, key, error);
}

static enum tw_status export_page(struct export *export, int64_t after, int64_t *ret_last,
                                  bool *ret_has_more, struct tw_error *error)
{
    struct tw_db_statement *record = NULL;
    const struct tw_db_value values[] = {tw_db_text(export->change->hub->ledger.books.log),
                                         tw_db_integer(after),
                                         tw_db_integer(TW_LIMIT_CONTENT_EXPORT_ROWS)};
    bool has_row = true;
    int64_t n = 0;
    enum tw_status status =
        tw_db_prepare(export->change->db,
                      "SELECT seq, at_ns, kind, body FROM audit WHERE log = ? AND seq > ?"
                      " ORDER BY seq LIMIT ?",
                      &record, error);
    if (status == TW_OK) {
        status = tw_db_query(record, values, COUNT(values), error);
    }
    while (status == TW_OK && has_row && export->n_bytes < TW_LIMIT_CONTENT_EXPORT_BYTES) {
        status = tw_db_next(record, &has_row, error);
        if (status == TW_OK && has_row) {
            *ret_last = tw_db_column_integer(record, 0);
            n++;
            const bool is_request = strncmp(tw_db_column_text(record, 2), "request.", 8) == 0;
            status = export_record(
                export, record,
                is_request ? json_loads(tw_db_column_text(record, 3), 0, NULL) : NULL, error);
        }
    }
    tw_db_finalize(record);
    *ret_has_more = has_row || n == TW_LIMIT_CONTENT_EXPORT_ROWS;
    return status;
}

/* Behind all records come lines of files of batches, by their file and number. */
#define LINES_FROM (INT64_C(1) << 62)
#define LINE_BITS  20 /* more than TW_LIMIT_BATCH_LINES has */

static enum tw_status export_line(struct export *export, struct tw_db_statement *line,
                                  struct tw_subject_key *key, struct tw_error *error)
{
    struct tw_hub_change *change = export->change;
    struct tw_buf plain;
    size_t n_sealed = 0, column;
    json_t *content = NULL;
    const int64_t number =
        tw_batch_line_number(tw_db_column_integer(line, 0), tw_db_column_integer(line, 1));
    const void *sealed = tw_db_column_bytes(line, 5, &n_sealed);
    tw_buf_init(&plain, TW_LIMIT_DB_VALUE_BYTES);
    enum tw_status status = tw_subject_key_unseal(key, number, sealed, n_sealed, &plain, error);
    if (status == TW_ERR_NOT_FOUND || status == TW_ERR_FORMAT) {
        tw_buf_free(&plain);
        return TW_OK; /* of before an erasure: it is gone */
    }
    if (status == TW_OK) {
        json_t *out = tw_change_row(change, export->rows);
        export->n_bytes += n_sealed;
        tw_change_put(change, out, "kind", json_string("batch.line"));
        tw_change_put(change, out, "file", json_string(tw_db_column_text(line, 2)));
        tw_change_put(change, out, "purpose", json_string(tw_db_column_text(line, 3)));
        tw_change_put(change, out, "line", json_integer(tw_db_column_integer(line, 1)));
        put_path(change, out, tw_db_column_integer(line, 4));
        if (tw_json_parse_line(plain.data, plain.size_bytes, &content, &column,
                               &(struct tw_error){0}) != TW_OK) {
            content = json_stringn(plain.data, plain.size_bytes);
        }
        tw_change_put(change, out, "content", content != NULL ? content : json_null());
        sodium_memzero(plain.data, plain.size_bytes);
    }
    tw_buf_free(&plain);
    return status;
}

static enum tw_status export_lines(struct export *export, int64_t *last, bool *ret_has_more,
                                   struct tw_error *error)
{
    struct tw_db_statement *line = NULL;
    const int64_t after = *last - LINES_FROM;
    const int64_t file = after >> LINE_BITS, number = after & ((INT64_C(1) << LINE_BITS) - 1);
    const struct tw_db_value values[] = {
        tw_db_bytes(export->subject.bytes, sizeof export->subject.bytes), tw_db_integer(file),
        tw_db_integer(file), tw_db_integer(number), tw_db_integer(TW_LIMIT_CONTENT_EXPORT_ROWS)};
    bool has_row = true;
    int64_t n = 0;
    enum tw_status status = tw_db_prepare(
        export->change->db,
        "SELECT l.file, l.line, f.name, f.purpose, l.project, l.sealed FROM batch_line l"
        " JOIN batch_file f ON f.id = l.file WHERE l.subject = ?"
        " AND (l.file > ? OR (l.file = ? AND l.line > ?)) ORDER BY l.file, l.line LIMIT ?",
        &line, error);
    if (status == TW_OK) {
        status = tw_db_query(line, values, COUNT(values), error);
    }
    while (status == TW_OK && has_row && export->n_bytes < TW_LIMIT_CONTENT_EXPORT_BYTES) {
        status = tw_db_next(line, &has_row, error);
        if (status == TW_OK && has_row) {
            struct tw_subject_key *key = key_of(export, tw_db_column_integer(line, 4));
            *last = LINES_FROM + (tw_db_column_integer(line, 0) << LINE_BITS) +
                    tw_db_column_integer(line, 1);
            n++;
            status = key != NULL ? export_line(export, line, key, error) : TW_OK;
        }
    }
    tw_db_finalize(line);
    *ret_has_more = has_row || n == TW_LIMIT_CONTENT_EXPORT_ROWS;
    return status;
}

enum tw_status tw_report_export_subject(struct tw_hub_change *change, struct tw_error *error)
{
    struct export export = {.change = change};
    char text[TW_SUBJECT_HEX_BYTES];
    int64_t last = tw_change_integer(change, "after", 0);
    bool has_more = false;
    enum tw_status status = tw_change_find_subject(change, &export.subject, error);
    if (status == TW_OK) {
        status = find_keys(&export, error);
    }
    if (status == TW_OK) {
        tw_subject_write(&export.subject, text);
        status = tw_change_note_reading(change, text, error);
    }
    if (status == TW_OK) {
        tw_change_put(change, change->answer, "subject", json_string(text));
        export.rows = tw_change_rows(change, "rows");
        if (last < LINES_FROM) {
            status = export_page(&export, last, &last, &has_more, error);
            last = has_more ? last : LINES_FROM;
        }
        if (status == TW_OK && last >= LINES_FROM) {
            status = export_lines(&export, &last, &has_more, error);
        }
    }
    if (status == TW_OK) {
        tw_change_put(change, change->answer, "next", has_more ? json_integer(last) : json_null());
    }
    for (size_t i = 0; i < export.n_keys; i++) {
        tw_subject_key_give_back(export.keys[i].key);
    }
    tw_mem_free(export.keys);
    return status;
}

/* ---- subject list ---- */

static enum tw_status each_row(struct tw_hub_change *change, const char *sql, json_t *rows,
                               void (*take)(struct tw_hub_change *change,
                                            struct tw_db_statement *row, json_t *out),
                               struct tw_error *error)
{
    struct tw_db_statement *row = NULL;
    bool has_row = true;
    enum tw_status status = tw_db_prepare(change->db, sql, &row, error);
    if (status == TW_OK) {
        status = tw_db_query(row, NULL, 0, error);
    }
    for (int n = 0; status == TW_OK && has_row && n < LIST_ROWS; n++) {
        status = tw_db_next(row, &has_row, error);
        if (status == TW_OK && has_row) {
            take(change, row, tw_change_row(change, rows));
        }
    }
    tw_db_finalize(row);
    return status;
}

static void put_subject(struct tw_hub_change *change, struct tw_db_statement *row, json_t *out)
{
    char text[TW_SUBJECT_HEX_BYTES];
    struct tw_subject subject = {{0}};
    size_t n_bytes = 0;
    const void *bytes = tw_db_column_bytes(row, 1, &n_bytes);
    if (n_bytes == sizeof subject.bytes) {
        memcpy(subject.bytes, bytes, n_bytes);
    }
    tw_subject_write(&subject, text);
    tw_change_put(change, out, "subject", json_string(text));
    pthread_rwlock_rdlock(&change->directory->lock);
    tw_change_put(
        change, out, "in",
        tw_change_json_path(tw_directory_holder(change->directory, tw_db_column_integer(row, 2))));
    pthread_rwlock_unlock(&change->directory->lock);
    tw_change_put(change, out, "at", tw_change_json_when(tw_db_column_integer(row, 3)));
}

static void take_hold(struct tw_hub_change *change, struct tw_db_statement *row, json_t *out)
{
    tw_change_put(change, out, "what", json_string("hold"));
    tw_change_put(change, out, "number", json_integer(tw_db_column_integer(row, 0)));
    put_subject(change, row, out);
    tw_change_put(change, out, "until", tw_change_json_when(tw_db_column_integer(row, 4)));
    tw_change_put(change, out, "reason", json_string(tw_db_column_text(row, 5)));
}

static void take_erasure(struct tw_hub_change *change, struct tw_db_statement *row, json_t *out)
{
    tw_change_put(change, out, "what", json_string("erasure"));
    tw_change_put(change, out, "number", json_integer(tw_db_column_integer(row, 0)));
    put_subject(change, row, out);
}

enum tw_status tw_report_list_subjects(struct tw_hub_change *change, struct tw_error *error)
{
    json_t *rows = tw_change_rows(change, "subjects");
    enum tw_status status =
        each_row(change,
                 tw_change_integer(change, "all", 0) != 0
                     ? "SELECT id, subject, scope, since_ns, released_ns, reason FROM legal_hold"
                       " ORDER BY id DESC"
                     : "SELECT id, subject, scope, since_ns, released_ns, reason FROM legal_hold"
                       " WHERE released_ns IS NULL ORDER BY id DESC",
                 rows, take_hold, error);
    return status == TW_OK
               ? each_row(change,
                          "SELECT number, subject, scope, at_ns FROM erasure ORDER BY number DESC",
                          rows, take_erasure, error)
               : status;
}

/* ---- audit register ---- */

/* Those whose role lets them read content of a project. */
static json_t *readers(const struct tw_hub_change *change, const struct tw_holder *project)
{
    const struct tw_items *persons = &change->directory->persons;
    struct tw_error error;
    const struct tw_hub_verb *show = tw_commands_find("content", "show", &error);
    json_t *list = json_array();
    for (size_t i = 0; i < persons->n && show != NULL; i++) {
        const struct tw_person *person = persons->at[i];
        bool may = false;
        for (const struct tw_grant *grant = person->grants; grant != NULL; grant = grant->next) {
            may = may || tw_commands_may(show, grant->role, grant->scope, project);
        }
        if (may && person->is_open) {
            char path[2 * (TW_LIMIT_HUB_NAME_BYTES + 1)];
            tw_change_write_person(person, path, sizeof path);
            json_array_append_new(list, json_string(path));
        }
    }
    return list;
}

static void register_project(struct tw_hub_change *change, json_t *row,
                             const struct tw_holder *project)
{
    const bool stores = project->settings.stores_content;
    tw_change_put(change, row, "path", tw_change_json_path(project));
    tw_change_put(change, row, "id", json_integer(project->id));
    tw_change_put(change, row, "stored",
                  json_string(stores ? "prompts, parameters and answers, encrypted with a key per "
                                       "person; counts, costs, commitments"
                                     : "counts, costs, commitments"));
    tw_change_put_settings(change, row, project);
    if (project->settings.models == NULL) {
        tw_change_put(change, row, "models", json_pack("[s]", "*"));
    }
    tw_change_put(change, row, "readers", readers(change, project));
}

enum tw_status tw_report_register(struct tw_hub_change *change, struct tw_error *error)
{
    const struct tw_items *holders = &change->directory->holders;
    struct tw_holder *top = NULL;
    enum tw_status status = tw_change_find_top(change, &top, error);
    if (status != TW_OK) {
        return status;
    }
    struct tw_change_page page = tw_change_page_begin(change, "projects", holders);
    size_t i = page.first;
    for (; i < holders->n && tw_change_page_has_room(&page); i++) {
        const struct tw_holder *holder = holders->at[i];
        if (holder->kind == TW_HOLDER_PROJECT && tw_change_is_listed(change, holder, top)) {
            register_project(change, tw_change_page_row(&page, holder->id), holder);
        }
    }
    tw_change_page_end(&page, i < holders->n);
    return TW_OK;
}
