#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/limits.h"
#include "store/db.h"
#include "store/db_state.h"

/* By this number processes that migrate one PostgreSQL database wait for each other: "twks". */
#define ADVISORY_LOCK 0x74776b73

/* One row of one number. */
static enum tw_status read_number(struct tw_db *db, const char *sql, bool *ret_row,
                                  int64_t *ret_number, struct tw_error *error)
{
    struct tw_db_statement *statement = NULL;
    enum tw_status status = tw_db_prepare(db, sql, &statement, error);
    if (status == TW_OK) {
        status = tw_db_first(statement, NULL, 0, ret_row, error);
    }
    if (status == TW_OK && *ret_row) {
        *ret_number = tw_db_column_integer(statement, 0);
    }
    tw_db_finalize(statement);
    return status;
}

static enum tw_status write_version(struct tw_db *db, int64_t version, struct tw_error *error)
{
    struct tw_db_statement *statement = NULL;
    enum tw_status status =
        tw_db_prepare(db,
                      "INSERT INTO schema_version(id, version) VALUES(1, ?) "
                      "ON CONFLICT(id) DO UPDATE SET version = excluded.version",
                      &statement, error);
    if (status == TW_OK) {
        status = tw_db_run(statement, (struct tw_db_value[]){tw_db_integer(version)}, 1, error);
    }
    tw_db_finalize(statement);
    return status;
}

/* Within a transaction that holds whatever keeps others from migrating. */
static enum tw_status read_version(struct tw_db *db, size_t n, int64_t *ret_version,
                                   struct tw_error *error)
{
    bool is_row = false;
    int64_t version = 0;
    enum tw_status status = read_number(db, "SELECT version FROM schema_version WHERE id = 1",
                                        &is_row, &version, error);
    if (status != TW_OK) {
        return status;
    }
    if (version < 0) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "the store's schema has version %" PRId64 ", which none can have",
                            version);
    }
    if ((uint64_t)version > n) {
        return tw_error_set(error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                            "the store's schema has version %" PRId64 ", this program knows "
                            "versions up to %zu: use the program that wrote it, or a newer one",
                            version, n);
    }
    *ret_version = version;
    return TW_OK;
}

/* Two that make the same table at once disturb each other on PostgreSQL, IF NOT EXISTS or not. */
static enum tw_status keep_others_out(struct tw_db *db, struct tw_error *error)
{
    bool is_row = false;
    int64_t one = 0;
    char sql[96];
    if (!tw_db_is_postgres(db)) {
        return TW_OK;
    }
    snprintf(sql, sizeof(sql), "SET LOCAL statement_timeout = %d", TW_LIMIT_DB_REPORT_MS);
    enum tw_status status = tw_db_execute(db, sql, error);
    snprintf(sql, sizeof(sql), "SELECT 1 FROM pg_advisory_xact_lock(%d)", ADVISORY_LOCK);
    return status == TW_OK ? read_number(db, sql, &is_row, &one, error) : status;
}

/* In a transaction: one version up, or *ret_is_last. */
static enum tw_status step_up(struct tw_db *db, const char *const *steps, size_t n,
                              bool *ret_is_last, struct tw_error *error)
{
    int64_t version = 0;
    enum tw_status status = keep_others_out(db, error);
    if (status == TW_OK) {
        status = tw_db_execute(db,
                               "CREATE TABLE IF NOT EXISTS schema_version("
                               "id %I PRIMARY KEY CHECK(id = 1), version %I NOT NULL) %S",
                               error);
    }
    if (status == TW_OK) {
        status = read_version(db, n, &version, error);
    }
    if (status != TW_OK || (uint64_t)version == n) {
        *ret_is_last = status == TW_OK;
        return status;
    }
    status = tw_db_execute(db, steps[version], error);
    if (status == TW_OK) {
        status = write_version(db, version + 1, error);
    }
    if (status != TW_OK) {
        tw_error_prefix(error, "version %" PRId64 " of the store's schema", version + 1);
    }
    return status;
}

/* A reader migrates nothing, so the store has to be what it expects. */
static enum tw_status check_version(struct tw_db *db, size_t n, struct tw_error *error)
{
    int64_t version = 0;
    enum tw_status status = read_version(db, n, &version, error);
    if (status == TW_OK && (uint64_t)version < n) {
        return tw_error_set(error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                            "the store's schema has version %" PRId64 ", this program reads "
                            "version %zu: start once what writes it",
                            version, n);
    }
    return status;
}

static enum tw_status migrate_once(struct tw_db *db, const char *const *steps, size_t n,
                                   bool *ret_is_last, struct tw_error *error)
{
    enum tw_status status = tw_db_begin(db, error);
    if (status != TW_OK) {
        return status;
    }
    status = step_up(db, steps, n, ret_is_last, error);
    if (status != TW_OK) {
        tw_db_rollback(db);
        return status;
    }
    return tw_db_commit(db, error);
}

enum tw_status tw_db_migrate(struct tw_db *db, const char *const *steps, size_t n,
                             struct tw_error *error)
{
    struct tw_error unused;
    error = error != NULL ? error : &unused;
    assert(n <= TW_LIMIT_DB_VERSIONS);
    if (db->mode == TW_DB_READ) {
        return check_version(db, n, error);
    }
    const int answer_ms = db->answer_ms;
    bool is_last = false;
    enum tw_status status = TW_OK;
    db->answer_ms = TW_LIMIT_DB_REPORT_MS;
    while (status == TW_OK && !is_last) {
        status = migrate_once(db, steps, n, &is_last, error);
    }
    db->answer_ms = answer_ms;
    return status;
}
