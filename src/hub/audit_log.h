/* audit_log.h: one audit log in a store, and its writer's end.
 *
 *     tw_db_begin
 *         tw_audit_log_append ...          a record each: it is there when the transaction is
 *         tw_audit_log_seal                a checkpoint, where one is due
 *     tw_db_commit  or  tw_db_rollback, tw_audit_log_reload
 *
 * Invariants:
 * 1. Records of a log are numbered from 1 without gaps; their times never go back: an earlier one
 *    becomes that of the record before.
 * 2. While records come and seal is called there is a checkpoint a second; the records behind the
 *    last one are as many as came since.
 * 3. After a call that failed, a commit that failed or a rollback the head in memory is not the
 *    store's: tw_audit_log_reload comes before anything else. After a call that failed all others
 *    do until then.
 * 4. A log whose last checkpoint another key signed, or that ends before it, is not gone on with.
 *
 * Ownership: the log uses the database and the key, which outlive it. Threads: the one that writes.
 * Errors: those of db.h; TW_ERR_FORMAT for a log that was cut or changed, TW_ERR_USAGE for
 * another's key, TW_ERR_LIMIT for a body that is too long.
 */
#ifndef TW_HUB_AUDIT_LOG_H
#define TW_HUB_AUDIT_LOG_H

#include "hub/audit_chain.h"
#include "store/db.h"

/* The tables, for tw_db_migrate. */
#define TW_AUDIT_LOG_TABLES                                                                        \
    "CREATE TABLE audit (log TEXT NOT NULL, seq %I NOT NULL, at_ns %I NOT NULL, "                  \
    "kind TEXT NOT NULL, body TEXT NOT NULL, hash %B NOT NULL, PRIMARY KEY (log, seq)) %S;"        \
    "CREATE TABLE checkpoint (log TEXT NOT NULL, number %I NOT NULL, seq %I NOT NULL, "            \
    "at_ns %I NOT NULL, hash %B NOT NULL, signature %B NOT NULL, PRIMARY KEY (log, seq)) %S;"

struct tw_audit_log;

/* name: the log's, which need not have records yet. */
enum tw_status tw_audit_log_open(struct tw_db *db, const char *name, const struct tw_audit_key *key,
                                 struct tw_audit_log **ret_log, struct tw_error *error);
/* Writes nothing: whoever closes a hub signs and commits before. NULL is allowed. */
void tw_audit_log_close(struct tw_audit_log *log);

/* In a transaction. */
enum tw_status tw_audit_log_append(struct tw_audit_log *log, int64_t at_ns, const char *kind,
                                   const char *body, size_t body_bytes, struct tw_error *error);
/* Whether seal would sign: records are behind the last checkpoint, and it is a second old. */
bool tw_audit_log_is_due(const struct tw_audit_log *log, int64_t now_ns);
/* In a transaction, behind its last record: signs where a checkpoint is due. */
enum tw_status tw_audit_log_seal(struct tw_audit_log *log, int64_t now_ns, struct tw_error *error);
/* The same without waiting for the second, for the end of a hub; nothing where no record is behind
 * the last checkpoint. */
enum tw_status tw_audit_log_sign(struct tw_audit_log *log, int64_t now_ns, struct tw_error *error);

/* After a rollback or a failure, outside of a transaction or at the beginning of one. */
enum tw_status tw_audit_log_reload(struct tw_audit_log *log, struct tw_error *error);

/* Of the last record; 0 for a log without. */
int64_t tw_audit_log_seq(const struct tw_audit_log *log);
/* Of the last record that a checkpoint covers; 0 where there is none. */
int64_t tw_audit_log_signed_seq(const struct tw_audit_log *log);

/* The last checkpoint of a log, to be kept elsewhere. TW_ERR_NOT_FOUND where there is none. */
enum tw_status tw_audit_log_last_checkpoint(struct tw_db *db, const char *name,
                                            struct tw_audit_checkpoint *ret_checkpoint,
                                            struct tw_error *error);
/* The first record at that time or later: *ret_seq is one more than the last where none is. */
enum tw_status tw_audit_log_seq_at(struct tw_db *db, const char *name, int64_t at_ns,
                                   int64_t *ret_seq, struct tw_error *error);

#endif
