/* db.h: one set of statements over two stores, SQLite and PostgreSQL.
 *
 *     tw_db_open -> { tw_db_prepare -> tw_db_query -> tw_db_next ... } -> tw_db_close
 *     tw_db_begin -> { tw_db_run ... } -> tw_db_commit   or tw_db_rollback
 *     tw_db_listen -> { tw_db_wait ... }
 *
 * The text of a statement is the same for both. Parameters are `?`, by their order. What differs
 * is written with a sign that each store replaces:
 *
 *     %I  a 64-bit integer       INTEGER      BIGINT
 *     %B  bytes                  BLOB         BYTEA
 *     %S  behind a table         STRICT       (nothing)
 *     %L  behind a SELECT        (nothing)    FOR UPDATE
 *     %N  the store's own time   0            ns since 1970 by the server's clock, at that moment
 *
 * and %% is a percent sign. Nothing is replaced in quotes and comments. PostgreSQL tells the kind
 * of a parameter from where it stands; where nothing says so it is CAST(? AS %I). Rows are made of
 * integers, text and bytes only; tables have %S, so that SQLite refuses other kinds as well.
 *
 * Text is UTF-8 without NUL. Values that a client sent are parameters, never part of a text.
 *
 * Invariants:
 * 1. A transaction that tw_db_commit said is there survives the end of the process and of the
 *    machine. One that it refused is not there, or may be: where the connection was lost in
 *    between, or a disk did not even let us take back what it would not sync. Then the error says
 *    that it is not known (TW_ERR_IO), and the store must be opened again.
 * 2. After a failed write or sync, a lost connection or damage the store is broken
 *    (tw_db_is_broken): every call fails until it is opened again, or PostgreSQL reached again by
 *    tw_db_reconnect, because what the system keeps is not known. That may be found behind a commit
 *    that is there and said so.
 *    A full disk does not break it.
 * 3. A SQLite file has one process that writes: tw_db_open takes a lock beside it, which ends with
 *    the process, and says who has it where that fails. Readers (TW_DB_READ) take none, see whole
 *    transactions only, and never write, not even a checkpoint of the log. PostgreSQL has any
 *    number of writers; what they must not change at once they lock by %L, in one order.
 * 4. No call waits for PostgreSQL without an end: what it does not answer in TW_LIMIT_DB_ANSWER_MS,
 *    though its machine still acknowledges, or in TW_LIMIT_DB_SILENT_MS where nothing does, is a
 *    lost connection. Each row counts as an answer. A migration has the time of a report.
 * 5. The first error in a transaction is its last word: all calls after it fail with the same
 *    error, tw_db_commit as well, and nothing of it is kept.
 *
 * Ownership: a statement belongs to its database and ends before it. Values point to the caller's
 * memory until the call returns; columns to the statement's until its next call.
 * Threads: one at a time for a database and its statements.
 * Errors: TW_ERR_IO for the store, a full disk among them, TW_ERR_FORMAT for a file, schema or
 * statement that is not ours, TW_ERR_LIMIT for a value beyond limits.h, TW_ERR_USAGE for an address
 * that makes no sense, a file that somebody else writes, a row that the schema forbids, a write to
 * what was opened for reading; TW_ERR_UNSUPPORTED for a server or file system that keeps no
 * promises.
 * A password in an address never gets into a message.
 */
#ifndef TW_STORE_DB_H
#define TW_STORE_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct tw_db;
struct tw_db_statement;

/* REPORT: READ, where an answer of PostgreSQL may take TW_LIMIT_DB_REPORT_MS instead of
 * TW_LIMIT_DB_ANSWER_MS. */
enum tw_db_mode { TW_DB_WRITE = 0, TW_DB_READ, TW_DB_REPORT };

/* Where a postgres://... address leads, in libpq's order: "HOST:PORT", "[IPV6]:PORT" or
 * "unix:/PATH"; is_numeric: it was given as a number (hostaddr), so libpq will not look for it.
 * TW_ERR_USAGE for an address that libpq cannot read. */
typedef enum tw_status (*tw_db_host_fn)(void *context, const char *place, bool is_numeric,
                                        struct tw_error *error);
enum tw_status tw_db_hosts(const char *address, tw_db_host_fn told, void *context,
                           struct tw_error *error);

/* address: a file for SQLite, which is made where it is missing (mode 0600; TW_ERR_NOT_FOUND for a
 * reader), or postgres://... as libpq reads it. */
enum tw_status tw_db_open(const char *address, enum tw_db_mode mode, struct tw_db **ret_db,
                          struct tw_error *error);
/* Ends a transaction that is open without keeping it. NULL is allowed. */
void tw_db_close(struct tw_db *db);

/* A broken connection to PostgreSQL anew, within TW_LIMIT_DB_RECONNECT_MS: all statements are good
 * again. TW_ERR_IO: it is not reached, and stays broken. TW_ERR_UNSUPPORTED: a file cannot be
 * trusted again before it was opened anew. */
enum tw_status tw_db_reconnect(struct tw_db *db, struct tw_error *error);

bool tw_db_is_postgres(const struct tw_db *db);
bool tw_db_is_broken(const struct tw_db *db);
/* Whether the last error came of what others did at the same time (a deadlock, a lock that was not
 * free for long): the same transaction, begun again, may well succeed. */
bool tw_db_should_retry(const struct tw_db *db);

enum tw_db_kind { TW_DB_NULL = 0, TW_DB_INTEGER, TW_DB_TEXT, TW_DB_BYTES };

struct tw_db_value {
    enum tw_db_kind kind;
    int64_t integer;
    const void *data; /* [size_bytes], of a text or of bytes */
    size_t size_bytes;
};
struct tw_db_value tw_db_null(void);
struct tw_db_value tw_db_integer(int64_t integer);
struct tw_db_value tw_db_text(const char *text); /* NULL: tw_db_null */
struct tw_db_value tw_db_bytes(const void *data, size_t size_bytes);

enum tw_status tw_db_prepare(struct tw_db *db, const char *sql,
                             struct tw_db_statement **ret_statement, struct tw_error *error);
/* NULL is allowed. */
void tw_db_finalize(struct tw_db_statement *statement);

/* Begins to run it; n must be the number of its parameters. A query that was begun before is given
 * up; all of them are when a transaction begins or ends. What writes and gives rows (RETURNING)
 * stands in a transaction. PostgreSQL's rows are kept in memory: long lists are asked for in parts.
 * Rows of a table that is written meanwhile may be there in their old or new form. */
enum tw_status tw_db_query(struct tw_db_statement *statement, const struct tw_db_value *values,
                           size_t n, struct tw_error *error);
/* The next row: *ret_row says whether there was one. */
enum tw_status tw_db_next(struct tw_db_statement *statement, bool *ret_row, struct tw_error *error);
/* Both for the first row, where no more of them are wanted. */
enum tw_status tw_db_first(struct tw_db_statement *statement, const struct tw_db_value *values,
                           size_t n, bool *ret_row, struct tw_error *error);
/* Of the row; column counts from 0. What is NULL, or of another kind, is 0, "" or no bytes. */
int64_t tw_db_column_integer(struct tw_db_statement *statement, int column);
const char *tw_db_column_text(struct tw_db_statement *statement, int column);
const void *tw_db_column_bytes(struct tw_db_statement *statement, int column,
                               size_t *ret_size_bytes);
bool tw_db_column_is_null(struct tw_db_statement *statement, int column);

/* Runs it to its end; rows are dropped. Within a transaction a store may answer later: what is
 * wrong is then reported by the next call that gives rows, at the latest by tw_db_commit. */
enum tw_status tw_db_run(struct tw_db_statement *statement, const struct tw_db_value *values,
                         size_t n, struct tw_error *error);
/* One or several statements without parameters or rows; outside of a transaction they are one. */
enum tw_status tw_db_execute(struct tw_db *db, const char *sql, struct tw_error *error);

/* A transaction that will write; of a reader: all its queries see the state that the first saw. */
enum tw_status tw_db_begin(struct tw_db *db, struct tw_error *error);
/* Ends it, also where it fails. */
enum tw_status tw_db_commit(struct tw_db *db, struct tw_error *error);
/* Where none is open nothing is done. */
void tw_db_rollback(struct tw_db *db);

/* What one connection to PostgreSQL says in a transaction, at its commit all hear that listen; a
 * file has nobody else, so nothing is said there. */
extern const char tw_db_notify_sql[]; /* to be prepared, for PostgreSQL alone */
/* For PostgreSQL alone, and again after tw_db_reconnect. */
enum tw_status tw_db_listen(struct tw_db *db, struct tw_error *error);
/* Outside of a transaction: until something was said, timeout_ms are over, or stop_fd (-1: none)
 * can be read. What was said since the last call counts. */
enum tw_status tw_db_wait(struct tw_db *db, int stop_fd, int timeout_ms, bool *ret_was_told,
                          struct tw_error *error);

/* Brings the schema to the last of n versions: steps[i] leads from version i to i + 1. One
 * transaction a step; several processes may do so at once. A store that is newer is refused with
 * both numbers (TW_ERR_UNSUPPORTED), by a reader one that is older as well. Its own table is
 * schema_version. Statements are prepared after it. */
enum tw_status tw_db_migrate(struct tw_db *db, const char *const *steps, size_t n,
                             struct tw_error *error);

/* For tests: how long an answer of PostgreSQL may take from now on. */
void tw_db_set_patience(struct tw_db *db, int answer_ms);

#endif
