#include "hub/audit_log.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

struct head {
    int64_t seq, at_ns;
    struct tw_audit_hash hash;
};

struct tw_audit_log {
    struct tw_db *db;
    const struct tw_audit_key *key;
    char name[TW_LIMIT_AUDIT_LOG_BYTES + 1];
    struct tw_db_statement *append, *sign, *read_head, *read_checkpoint;
    struct head head;
    struct tw_audit_checkpoint last; /* number 0: none yet */
    bool is_stale;
};

static const char append_sql[] =
    "INSERT INTO audit (log, seq, at_ns, kind, body, hash) VALUES (?, ?, ?, ?, ?, ?)";
static const char sign_sql[] = "INSERT INTO checkpoint (log, number, seq, at_ns, hash, signature) "
                               "VALUES (?, ?, ?, ?, ?, ?)";
static const char head_sql[] =
    "SELECT seq, at_ns, hash FROM audit WHERE log = ? ORDER BY seq DESC LIMIT 1";
static const char checkpoint_sql[] =
    "SELECT number, seq, at_ns, hash, signature FROM checkpoint WHERE log = ? "
    "ORDER BY seq DESC LIMIT 1";
static const char record_sql[] = "SELECT at_ns, hash FROM audit WHERE log = ? AND seq = ?";

static bool take_bytes(struct tw_db_statement *statement, int column, unsigned char *ret_bytes,
                       size_t wanted_bytes)
{
    size_t n_bytes = 0;
    const void *bytes = tw_db_column_bytes(statement, column, &n_bytes);
    if (n_bytes != wanted_bytes) {
        return false;
    }
    memcpy(ret_bytes, bytes, n_bytes);
    return true;
}

static enum tw_status damaged(const char *name, struct tw_error *error)
{
    return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                        "the audit log %s was changed in the store: verify it, and restore it from "
                        "a backup or begin another",
                        name);
}

/* The only row of a query that is begun, if there is one; the query is ended by the next call. */
static enum tw_status begin_query(struct tw_db_statement *statement, const char *name,
                                  bool *ret_row, struct tw_error *error)
{
    struct tw_db_value value = tw_db_text(name);
    return tw_db_first(statement, &value, 1, ret_row, error);
}

/* Runs to its end, so that the store may forget about it. */
static enum tw_status end_query(struct tw_db_statement *statement, bool was_row,
                                struct tw_error *error)
{
    bool is_row = was_row;
    enum tw_status status = TW_OK;
    while (status == TW_OK && is_row) {
        status = tw_db_next(statement, &is_row, error);
    }
    return status;
}

static enum tw_status read_head(struct tw_db_statement *statement, const char *name,
                                struct head *ret_head, struct tw_error *error)
{
    bool is_row = false;
    bool is_whole = true;
    struct head head = {.hash = tw_audit_genesis(name)};
    enum tw_status status = begin_query(statement, name, &is_row, error);
    if (status == TW_OK && is_row) {
        head.seq = tw_db_column_integer(statement, 0);
        head.at_ns = tw_db_column_integer(statement, 1);
        is_whole =
            take_bytes(statement, 2, head.hash.bytes, sizeof head.hash.bytes) && head.seq > 0;
    }
    status = status == TW_OK ? end_query(statement, is_row, error) : status;
    if (status == TW_OK && !is_whole) {
        return damaged(name, error);
    }
    if (status == TW_OK) {
        *ret_head = head;
    }
    return status;
}

/* number 0 where there is none. */
static enum tw_status read_checkpoint(struct tw_db_statement *statement, const char *name,
                                      struct tw_audit_checkpoint *ret_checkpoint,
                                      struct tw_error *error)
{
    bool is_row = false;
    bool is_whole = true;
    struct tw_audit_checkpoint read = {.number = 0};
    snprintf(read.log, sizeof read.log, "%s", name);
    enum tw_status status = begin_query(statement, name, &is_row, error);
    if (status == TW_OK && is_row) {
        read.number = tw_db_column_integer(statement, 0);
        read.seq = tw_db_column_integer(statement, 1);
        read.at_ns = tw_db_column_integer(statement, 2);
        is_whole = take_bytes(statement, 3, read.hash.bytes, sizeof read.hash.bytes) &&
                   take_bytes(statement, 4, read.signature.bytes, sizeof read.signature.bytes) &&
                   read.number > 0 && read.seq > 0;
    }
    status = status == TW_OK ? end_query(statement, is_row, error) : status;
    if (status == TW_OK && !is_whole) {
        return damaged(name, error);
    }
    if (status == TW_OK) {
        *ret_checkpoint = read;
    }
    return status;
}

/* Of one record; *ret_row says whether it is there. */
static enum tw_status read_record(struct tw_db_statement *statement, const char *name, int64_t seq,
                                  bool *ret_row, int64_t *ret_at_ns, struct tw_audit_hash *ret_hash,
                                  struct tw_error *error)
{
    struct tw_db_value values[] = {tw_db_text(name), tw_db_integer(seq)};
    bool is_row = false;
    enum tw_status status = tw_db_first(statement, values, 2, &is_row, error);
    if (status != TW_OK) {
        return status;
    }
    *ret_row = is_row;
    if (is_row) {
        *ret_at_ns = tw_db_column_integer(statement, 0);
        *ret_row = take_bytes(statement, 1, ret_hash->bytes, sizeof ret_hash->bytes);
    }
    return end_query(statement, is_row, error);
}

/* A log that goes on from a checkpoint must still have what it signed. */
static enum tw_status check_last(struct tw_audit_log *log, struct tw_error *error)
{
    struct tw_audit_public_key key = tw_audit_key_public(log->key);
    struct tw_db_statement *statement;
    struct tw_audit_hash hash;
    int64_t at_ns;
    bool is_there = false;
    if (log->last.number == 0) {
        return TW_OK;
    }
    if (!tw_audit_checkpoint_verify(&log->last, &key)) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "the last checkpoint of the audit log %s was signed by another key: "
                            "give the key file that belongs to it",
                            log->name);
    }
    enum tw_status status = tw_db_prepare(log->db, record_sql, &statement, error);
    if (status != TW_OK) {
        return status;
    }
    status = read_record(statement, log->name, log->last.seq, &is_there, &at_ns, &hash, error);
    tw_db_finalize(statement);
    if (status == TW_OK && (!is_there || !tw_audit_hash_equal(&hash, &log->last.hash))) {
        return damaged(log->name, error);
    }
    return status;
}

static enum tw_status prepare(struct tw_audit_log *log, struct tw_error *error)
{
    enum tw_status status = tw_db_prepare(log->db, append_sql, &log->append, error);
    if (status == TW_OK) {
        status = tw_db_prepare(log->db, sign_sql, &log->sign, error);
    }
    if (status == TW_OK) {
        status = tw_db_prepare(log->db, head_sql, &log->read_head, error);
    }
    if (status == TW_OK) {
        status = tw_db_prepare(log->db, checkpoint_sql, &log->read_checkpoint, error);
    }
    return status;
}

enum tw_status tw_audit_log_open(struct tw_db *db, const char *name, const struct tw_audit_key *key,
                                 struct tw_audit_log **ret_log, struct tw_error *error)
{
    assert(tw_audit_log_name_is_valid(name, strlen(name)));
    struct tw_audit_log *log = tw_mem_zalloc(1, sizeof *log);
    if (log == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for an audit log");
    }
    log->db = db;
    log->key = key;
    snprintf(log->name, sizeof log->name, "%s", name);
    enum tw_status status = prepare(log, error);
    status = status == TW_OK ? tw_audit_log_reload(log, error) : status;
    status = status == TW_OK ? check_last(log, error) : status;
    if (status != TW_OK) {
        tw_audit_log_close(log);
        return status;
    }
    *ret_log = log;
    return TW_OK;
}

void tw_audit_log_close(struct tw_audit_log *log)
{
    if (log != NULL) {
        tw_db_finalize(log->append);
        tw_db_finalize(log->sign);
        tw_db_finalize(log->read_head);
        tw_db_finalize(log->read_checkpoint);
        tw_mem_free(log);
    }
}

enum tw_status tw_audit_log_reload(struct tw_audit_log *log, struct tw_error *error)
{
    struct head head;
    struct tw_audit_checkpoint last;
    log->is_stale = true;
    enum tw_status status = read_head(log->read_head, log->name, &head, error);
    status =
        status == TW_OK ? read_checkpoint(log->read_checkpoint, log->name, &last, error) : status;
    if (status != TW_OK) {
        return status;
    }
    if (last.seq > head.seq) {
        return damaged(log->name, error);
    }
    log->head = head;
    log->last = last;
    log->is_stale = false;
    return TW_OK;
}

static enum tw_status stale(const struct tw_audit_log *log, struct tw_error *error)
{
    return tw_error_set(error, TW_ERR_IO, TW_NO_POSITION,
                        "the audit log %s must be read again after a write that failed", log->name);
}

enum tw_status tw_audit_log_append(struct tw_audit_log *log, int64_t at_ns, const char *kind,
                                   const char *body, size_t body_bytes, struct tw_error *error)
{
    size_t kind_bytes = strlen(kind);
    assert(kind_bytes >= 1 && kind_bytes <= TW_LIMIT_AUDIT_KIND_BYTES);
    if (log->is_stale) {
        return stale(log, error);
    }
    if (body_bytes > TW_LIMIT_AUDIT_BODY_BYTES) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "a record of the audit log may have %zu bytes, and this one has %zu",
                            TW_LIMIT_AUDIT_BODY_BYTES, body_bytes);
    }
    struct tw_audit_record record = {
        .seq = log->head.seq + 1,
        .at_ns = at_ns > log->head.at_ns ? at_ns : log->head.at_ns,
        .kind = kind,
        .kind_bytes = kind_bytes,
        .body = body,
        .body_bytes = body_bytes,
    };
    record.hash = tw_audit_record_hash(&log->head.hash, log->name, &record);
    struct tw_db_value values[] = {
        tw_db_text(log->name),
        tw_db_integer(record.seq),
        tw_db_integer(record.at_ns),
        tw_db_text(kind),
        {.kind = TW_DB_TEXT, .data = body, .size_bytes = body_bytes},
        tw_db_bytes(record.hash.bytes, sizeof record.hash.bytes),
    };
    enum tw_status status = tw_db_run(log->append, values, sizeof values / sizeof values[0], error);
    log->is_stale = status != TW_OK;
    if (status == TW_OK) {
        log->head = (struct head){record.seq, record.at_ns, record.hash};
    }
    return status;
}

bool tw_audit_log_is_due(const struct tw_audit_log *log, int64_t now_ns)
{
    return log->head.seq > log->last.seq &&
           (log->last.number == 0 || now_ns - log->last.at_ns >= TW_LIMIT_AUDIT_CHECKPOINT_NS);
}

enum tw_status tw_audit_log_seal(struct tw_audit_log *log, int64_t now_ns, struct tw_error *error)
{
    if (!log->is_stale && !tw_audit_log_is_due(log, now_ns)) {
        return TW_OK;
    }
    return tw_audit_log_sign(log, now_ns, error);
}

enum tw_status tw_audit_log_sign(struct tw_audit_log *log, int64_t now_ns, struct tw_error *error)
{
    if (log->is_stale) {
        return stale(log, error);
    }
    if (log->head.seq == log->last.seq) {
        return TW_OK;
    }
    struct tw_audit_checkpoint next = {
        .number = log->last.number + 1,
        .seq = log->head.seq,
        .at_ns = now_ns > log->head.at_ns ? now_ns : log->head.at_ns,
        .hash = log->head.hash,
    };
    memcpy(next.log, log->name, sizeof next.log);
    tw_audit_checkpoint_sign(&next, log->key);
    struct tw_db_value values[] = {
        tw_db_text(log->name),
        tw_db_integer(next.number),
        tw_db_integer(next.seq),
        tw_db_integer(next.at_ns),
        tw_db_bytes(next.hash.bytes, sizeof next.hash.bytes),
        tw_db_bytes(next.signature.bytes, sizeof next.signature.bytes),
    };
    enum tw_status status = tw_db_run(log->sign, values, sizeof values / sizeof values[0], error);
    log->is_stale = status != TW_OK;
    if (status == TW_OK) {
        log->last = next;
    }
    return status;
}

int64_t tw_audit_log_seq(const struct tw_audit_log *log)
{
    return log->head.seq;
}

int64_t tw_audit_log_signed_seq(const struct tw_audit_log *log)
{
    return log->last.seq;
}

enum tw_status tw_audit_log_last_checkpoint(struct tw_db *db, const char *name,
                                            struct tw_audit_checkpoint *ret_checkpoint,
                                            struct tw_error *error)
{
    struct tw_db_statement *statement;
    struct tw_audit_checkpoint last;
    enum tw_status status = tw_db_prepare(db, checkpoint_sql, &statement, error);
    if (status != TW_OK) {
        return status;
    }
    status = read_checkpoint(statement, name, &last, error);
    tw_db_finalize(statement);
    if (status == TW_OK && last.number == 0) {
        return tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION,
                            "the audit log %s has no checkpoint yet", name);
    }
    if (status == TW_OK) {
        *ret_checkpoint = last;
    }
    return status;
}

/* Times do not go back, so halving finds the place with a few reads. */
static enum tw_status search_time(struct tw_db_statement *statement, const char *name,
                                  int64_t last_seq, int64_t at_ns, int64_t *ret_seq,
                                  struct tw_error *error)
{
    int64_t low = 1; /* what is wanted lies in low..high */
    int64_t high = last_seq + 1;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        int64_t middle_ns = 0;
        bool is_there = false;
        struct tw_audit_hash hash;
        enum tw_status status =
            read_record(statement, name, middle, &is_there, &middle_ns, &hash, error);
        if (status != TW_OK) {
            return status;
        }
        if (!is_there) {
            return damaged(name, error);
        }
        if (middle_ns >= at_ns) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    *ret_seq = low;
    return TW_OK;
}

enum tw_status tw_audit_log_seq_at(struct tw_db *db, const char *name, int64_t at_ns,
                                   int64_t *ret_seq, struct tw_error *error)
{
    struct tw_db_statement *read_last = NULL;
    struct tw_db_statement *read_one = NULL;
    struct head head;
    enum tw_status status = tw_db_prepare(db, head_sql, &read_last, error);
    if (status == TW_OK) {
        status = tw_db_prepare(db, record_sql, &read_one, error);
    }
    if (status == TW_OK) {
        status = read_head(read_last, name, &head, error);
    }
    if (status == TW_OK) {
        status = search_time(read_one, name, head.seq, at_ns, ret_seq, error);
    }
    tw_db_finalize(read_last);
    tw_db_finalize(read_one);
    return status;
}
