/* db_state.h: what db.c and the two stores share; nobody else includes it.
 *
 *     db.c           the public calls: signs, bounds, what a transaction has come to
 *       |  struct tw_db_store, a table of functions
 *     db_sqlite.c    db_postgres.c
 *
 * Each store puts its own struct around tw_db and tw_db_statement, with that as its first member.
 *
 * Invariants:
 * 1. A store's function is called for a store that is not broken, except close, finalize and
 *    rollback, and never within a transaction that has failed, except rollback and finalize.
 * 2. error is never NULL there, and a failure always fills it.
 */
#ifndef TW_STORE_DB_STATE_H
#define TW_STORE_DB_STATE_H

#include "store/db.h"

struct tw_db_store {
    bool is_postgres;
    void (*close)(struct tw_db *db);
    /* Of a store that is broken. These two: NULL of a store that has no connection. */
    enum tw_status (*reconnect)(struct tw_db *db, struct tw_error *error);
    enum tw_status (*wait)(struct tw_db *db, int stop_fd, int timeout_ms, bool *ret_was_told,
                           struct tw_error *error);
    /* sql is in the store's own words. The statement's base is filled by db.c. */
    enum tw_status (*prepare)(struct tw_db *db, const char *sql, size_t n_parameters,
                              struct tw_db_statement **ret_statement, struct tw_error *error);
    void (*finalize)(struct tw_db_statement *statement);
    enum tw_status (*query)(struct tw_db_statement *statement, const struct tw_db_value *values,
                            size_t n, struct tw_error *error);
    enum tw_status (*next)(struct tw_db_statement *statement, bool *ret_row,
                           struct tw_error *error);
    struct tw_db_value (*column)(struct tw_db_statement *statement, int column);
    /* Gives a query up whose rows have not all been asked for. */
    void (*reset)(struct tw_db_statement *statement);
    enum tw_status (*run)(struct tw_db_statement *statement, const struct tw_db_value *values,
                          size_t n, struct tw_error *error);
    enum tw_status (*execute)(struct tw_db *db, const char *sql, struct tw_error *error);
    enum tw_status (*begin)(struct tw_db *db, struct tw_error *error);
    /* Where it fails nothing of the transaction is open any more. */
    enum tw_status (*commit)(struct tw_db *db, struct tw_error *error);
    void (*rollback)(struct tw_db *db);
};

struct tw_db {
    const struct tw_db_store *store;
    enum tw_db_mode mode; /* WRITE or READ */
    int answer_ms;        /* for each answer of a server */
    struct tw_db_statement *statements;
    bool in_transaction;
    bool has_failed;         /* the transaction: failure is its first error */
    bool should_retry;       /* of the last error */
    bool is_broken;          /* for good */
    struct tw_error failure; /* of the transaction, or what broke the store */
};

struct tw_db_statement {
    struct tw_db *db;
    struct tw_db_statement *next, *previous;
    size_t n_parameters;
    bool is_running; /* a query that has or may have more rows */
};

/* Broken from now on, for the reason in error. */
void tw_db_break(struct tw_db *db, const struct tw_error *error);

enum tw_status tw_db_sqlite_open(const char *path, enum tw_db_mode mode, struct tw_db **ret_db,
                                 struct tw_error *error);
enum tw_status tw_db_postgres_open(const char *address, enum tw_db_mode mode, struct tw_db **ret_db,
                                   struct tw_error *error);

#endif
