#include "store/db.h"

#include <assert.h>
#include <string.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/printable.h"
#include "store/db_state.h"

static void give_up(struct tw_db_statement *statement)
{
    if (statement->is_running) {
        statement->db->store->reset(statement);
        statement->is_running = false;
    }
}

static void give_up_all(struct tw_db *db)
{
    for (struct tw_db_statement *s = db->statements; s != NULL; s = s->next) {
        give_up(s);
    }
}

enum tw_status tw_db_open(const char *address, enum tw_db_mode mode, struct tw_db **ret_db,
                          struct tw_error *error)
{
    struct tw_error unused;
    error = error != NULL ? error : &unused;
    if (address[0] == '\0') {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "a store needs an address: a file, or postgres://...");
    }
    if (strncmp(address, "postgres://", 11) == 0 || strncmp(address, "postgresql://", 13) == 0) {
        return tw_db_postgres_open(address, mode, ret_db, error);
    }
    const char *scheme_end = strstr(address, "://");
    if (scheme_end != NULL) {
        /* What comes behind it may hold a password. */
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "no kind of store begins with '%.*s://': it is a file, or "
                            "postgres://...",
                            (int)(scheme_end - address < 32 ? scheme_end - address : 32), address);
    }
    return tw_db_sqlite_open(address, mode == TW_DB_WRITE ? TW_DB_WRITE : TW_DB_READ, ret_db,
                             error);
}

void tw_db_set_patience(struct tw_db *db, int answer_ms)
{
    db->answer_ms = answer_ms;
}

void tw_db_close(struct tw_db *db)
{
    if (db == NULL) {
        return;
    }
    assert(db->statements == NULL);
    tw_db_rollback(db);
    db->store->close(db);
}

enum tw_status tw_db_reconnect(struct tw_db *db, struct tw_error *error)
{
    struct tw_error unused;
    error = error != NULL ? error : &unused;
    assert(!db->in_transaction);
    if (!db->is_broken) {
        return TW_OK;
    }
    if (db->store->reconnect == NULL) {
        return tw_error_set(error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                            "the store has to be opened again: %s", db->failure.text);
    }
    give_up_all(db);
    enum tw_status status = db->store->reconnect(db, error);
    db->is_broken = status != TW_OK;
    return status;
}

bool tw_db_is_postgres(const struct tw_db *db)
{
    return db->store->is_postgres;
}

bool tw_db_is_broken(const struct tw_db *db)
{
    return db->is_broken;
}

bool tw_db_should_retry(const struct tw_db *db)
{
    return db->should_retry && !db->is_broken;
}

void tw_db_break(struct tw_db *db, const struct tw_error *error)
{
    db->is_broken = true;
    db->failure = *error;
}

struct tw_db_value tw_db_null(void)
{
    return (struct tw_db_value){.kind = TW_DB_NULL};
}

struct tw_db_value tw_db_integer(int64_t integer)
{
    return (struct tw_db_value){.kind = TW_DB_INTEGER, .integer = integer};
}

struct tw_db_value tw_db_text(const char *text)
{
    if (text == NULL) {
        return tw_db_null();
    }
    return (struct tw_db_value){.kind = TW_DB_TEXT, .data = text, .size_bytes = strlen(text)};
}

struct tw_db_value tw_db_bytes(const void *data, size_t size_bytes)
{
    assert(data != NULL || size_bytes == 0);
    return (struct tw_db_value){
        .kind = TW_DB_BYTES, .data = data != NULL ? data : "", .size_bytes = size_bytes};
}

const char tw_db_notify_sql[] = "NOTIFY tokenworks";

enum tw_status tw_db_listen(struct tw_db *db, struct tw_error *error)
{
    return tw_db_execute(db, "LISTEN tokenworks", error);
}

/* Every call begins here: whether the store still works, and the transaction. */
static enum tw_status check_open(struct tw_db *db, struct tw_error *error)
{
    if (db->is_broken) {
        return tw_error_set(error, TW_ERR_IO, TW_NO_POSITION,
                            db->store->reconnect != NULL ? "PostgreSQL has to be reached again: %s"
                                                         : "the store has to be opened again: %s",
                            db->failure.text);
    }
    if (db->in_transaction && db->has_failed) {
        *error = db->failure;
        return db->failure.status;
    }
    db->should_retry = false;
    return TW_OK;
}

/* ... and ends here: the first error of a transaction is the one that ends it. */
static enum tw_status note(struct tw_db *db, enum tw_status status, const struct tw_error *error)
{
    if (status != TW_OK && db->in_transaction && !db->is_broken) {
        db->has_failed = true;
        db->failure = *error;
    }
    return status;
}

/* Copies what is quoted or a comment as it is; the number of its bytes, 0 where neither begins. */
static size_t quoted_bytes(const char *sql)
{
    const char *end = NULL;
    if (sql[0] == '\'' || sql[0] == '"') {
        end = strchr(sql + 1, sql[0]);
        end = end != NULL ? end + 1 : NULL;
    } else if (sql[0] == '-' && sql[1] == '-') {
        end = strchr(sql, '\n');
    } else if (sql[0] == '/' && sql[1] == '*') {
        end = strstr(sql + 2, "*/");
        end = end != NULL ? end + 2 : NULL;
    } else {
        return 0;
    }
    return end != NULL ? (size_t)(end - sql) : strlen(sql);
}

static const struct sign {
    char letter;
    const char *sqlite, *postgres;
} signs[] = {
    {'I', "INTEGER", "BIGINT"},
    {'B', "BLOB", "BYTEA"},
    {'S', "STRICT", ""},
    {'L', "", "FOR UPDATE"},
    {'%', "%", "%"},
    {'N', "0", "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000000 AS BIGINT)"},
};

static const char *sign_text(char letter, bool is_postgres)
{
    for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++) {
        if (signs[i].letter == letter) {
            return is_postgres ? signs[i].postgres : signs[i].sqlite;
        }
    }
    return NULL;
}

/* The statement in a store's own words. The buffer is the caller's also where this fails. */
static enum tw_status translate(const char *sql, bool is_postgres, struct tw_buf *out,
                                size_t *ret_n_parameters, struct tw_error *error)
{
    size_t n_parameters = 0;
    for (const char *p = sql; *p != '\0';) {
        size_t n_quoted = quoted_bytes(p);
        if (n_quoted != 0) {
            tw_buf_append(out, p, n_quoted);
            p += n_quoted;
        } else if (*p == '%') {
            const char *text = sign_text(p[1], is_postgres);
            if (text == NULL) {
                return tw_error_set(error, TW_ERR_USAGE, (uint64_t)(p - sql),
                                    "a statement has a sign that means nothing: %.40s", p);
            }
            tw_buf_append_text(out, text);
            p += 2;
        } else if (*p == '?') {
            n_parameters++;
            tw_buf_append_format(out, is_postgres ? "$%zu" : "?", n_parameters);
            p++;
        } else {
            tw_buf_append(out, p++, 1);
        }
    }
    if (!tw_buf_append(out, "", 1)) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "a statement has more than %u bytes: %.60s...", TW_LIMIT_DB_SQL_BYTES,
                            sql);
    }
    if (n_parameters > TW_LIMIT_DB_PARAMETERS) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "a statement has %zu parameters, at most %d are allowed: %.60s...",
                            n_parameters, TW_LIMIT_DB_PARAMETERS, sql);
    }
    *ret_n_parameters = n_parameters;
    return TW_OK;
}

enum tw_status tw_db_prepare(struct tw_db *db, const char *sql,
                             struct tw_db_statement **ret_statement, struct tw_error *error)
{
    struct tw_error unused;
    error = error != NULL ? error : &unused;
    enum tw_status status = check_open(db, error);
    if (status != TW_OK) {
        return status;
    }
    struct tw_buf text;
    tw_buf_init(&text, TW_LIMIT_DB_SQL_BYTES);
    size_t n_parameters = 0;
    struct tw_db_statement *statement = NULL;
    status = translate(sql, db->store->is_postgres, &text, &n_parameters, error);
    if (status == TW_OK) {
        status = db->store->prepare(db, text.data, n_parameters, &statement, error);
    }
    tw_buf_free(&text);
    if (status != TW_OK) {
        return note(db, status, error);
    }
    statement->db = db;
    statement->n_parameters = n_parameters;
    statement->is_running = false;
    statement->previous = NULL;
    statement->next = db->statements;
    if (statement->next != NULL) {
        statement->next->previous = statement;
    }
    db->statements = statement;
    *ret_statement = statement;
    return TW_OK;
}

void tw_db_finalize(struct tw_db_statement *statement)
{
    if (statement == NULL) {
        return;
    }
    if (statement->previous != NULL) {
        statement->previous->next = statement->next;
    } else {
        statement->db->statements = statement->next;
    }
    if (statement->next != NULL) {
        statement->next->previous = statement->previous;
    }
    statement->db->store->finalize(statement);
}

/* Text that a store would refuse, or cut short, is refused before. */
static enum tw_status check_text(const char *text, size_t n_bytes, size_t number,
                                 struct tw_error *error)
{
    for (size_t i = 0; i < n_bytes;) {
        size_t n = text[i] != '\0' ? tw_printable_utf8_bytes(text + i, n_bytes - i) : 0;
        if (n == 0) {
            return tw_error_set(error, TW_ERR_USAGE, i,
                                "text %zu for the store is no UTF-8 without NUL, at byte %zu",
                                number, i);
        }
        i += n;
    }
    return TW_OK;
}

static enum tw_status check_values(const struct tw_db_value *values, size_t n,
                                   struct tw_error *error)
{
    for (size_t i = 0; i < n; i++) {
        bool has_bytes = values[i].kind == TW_DB_TEXT || values[i].kind == TW_DB_BYTES;
        if (has_bytes && values[i].size_bytes > TW_LIMIT_DB_VALUE_BYTES) {
            return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                                "value %zu for the store has %zu bytes, at most %u are allowed",
                                i + 1, values[i].size_bytes, TW_LIMIT_DB_VALUE_BYTES);
        }
        if (values[i].kind == TW_DB_TEXT) {
            enum tw_status status = check_text(values[i].data, values[i].size_bytes, i + 1, error);
            if (status != TW_OK) {
                return status;
            }
        }
    }
    return TW_OK;
}

/* What tw_db_query and tw_db_run have in common, before the store is asked. */
static enum tw_status check_call(struct tw_db_statement *statement,
                                 const struct tw_db_value *values, size_t n, struct tw_error *error)
{
    assert(n == statement->n_parameters);
    give_up(statement);
    enum tw_status status = check_open(statement->db, error);
    return status != TW_OK ? status : note(statement->db, check_values(values, n, error), error);
}

enum tw_status tw_db_query(struct tw_db_statement *statement, const struct tw_db_value *values,
                           size_t n, struct tw_error *error)
{
    struct tw_error unused;
    error = error != NULL ? error : &unused;
    enum tw_status status = check_call(statement, values, n, error);
    if (status != TW_OK) {
        return status;
    }
    struct tw_db *db = statement->db;
    status = db->store->query(statement, values, n, error);
    statement->is_running = status == TW_OK;
    return note(db, status, error);
}

enum tw_status tw_db_next(struct tw_db_statement *statement, bool *ret_row, struct tw_error *error)
{
    struct tw_error unused;
    error = error != NULL ? error : &unused;
    struct tw_db *db = statement->db;
    enum tw_status status = check_open(db, error);
    if (status != TW_OK) {
        return status;
    }
    bool is_row = false;
    if (statement->is_running) {
        status = db->store->next(statement, &is_row, error);
        if (!is_row) {
            give_up(statement);
        }
    }
    if (status == TW_OK) {
        *ret_row = is_row;
    }
    return note(db, status, error);
}

static struct tw_db_value column_of(struct tw_db_statement *statement, int column)
{
    return statement->is_running ? statement->db->store->column(statement, column) : tw_db_null();
}

int64_t tw_db_column_integer(struct tw_db_statement *statement, int column)
{
    struct tw_db_value value = column_of(statement, column);
    return value.kind == TW_DB_INTEGER ? value.integer : 0;
}

const char *tw_db_column_text(struct tw_db_statement *statement, int column)
{
    struct tw_db_value value = column_of(statement, column);
    return value.kind == TW_DB_TEXT ? value.data : "";
}

const void *tw_db_column_bytes(struct tw_db_statement *statement, int column,
                               size_t *ret_size_bytes)
{
    struct tw_db_value value = column_of(statement, column);
    *ret_size_bytes = value.kind == TW_DB_BYTES ? value.size_bytes : 0;
    return value.kind == TW_DB_BYTES ? value.data : "";
}

bool tw_db_column_is_null(struct tw_db_statement *statement, int column)
{
    return column_of(statement, column).kind == TW_DB_NULL;
}

enum tw_status tw_db_first(struct tw_db_statement *statement, const struct tw_db_value *values,
                           size_t n, bool *ret_row, struct tw_error *error)
{
    enum tw_status status = tw_db_query(statement, values, n, error);
    return status == TW_OK ? tw_db_next(statement, ret_row, error) : status;
}

enum tw_status tw_db_run(struct tw_db_statement *statement, const struct tw_db_value *values,
                         size_t n, struct tw_error *error)
{
    struct tw_error unused;
    error = error != NULL ? error : &unused;
    enum tw_status status = check_call(statement, values, n, error);
    if (status != TW_OK) {
        return status;
    }
    return note(statement->db, statement->db->store->run(statement, values, n, error), error);
}

static enum tw_status execute(struct tw_db *db, const char *sql, struct tw_error *error)
{
    struct tw_buf text;
    tw_buf_init(&text, TW_LIMIT_DB_SQL_BYTES);
    size_t n_parameters = 0;
    enum tw_status status = translate(sql, db->store->is_postgres, &text, &n_parameters, error);
    if (status == TW_OK) {
        assert(n_parameters == 0);
        status = db->store->execute(db, text.data, error);
    }
    tw_buf_free(&text);
    return note(db, status, error);
}

enum tw_status tw_db_execute(struct tw_db *db, const char *sql, struct tw_error *error)
{
    struct tw_error unused;
    error = error != NULL ? error : &unused;
    enum tw_status status = check_open(db, error);
    if (status != TW_OK || db->in_transaction) {
        return status != TW_OK ? status : execute(db, sql, error);
    }
    status = tw_db_begin(db, error);
    if (status != TW_OK) {
        return status;
    }
    status = execute(db, sql, error);
    if (status == TW_OK) {
        return tw_db_commit(db, error);
    }
    tw_db_rollback(db);
    return status;
}

enum tw_status tw_db_begin(struct tw_db *db, struct tw_error *error)
{
    struct tw_error unused;
    error = error != NULL ? error : &unused;
    assert(!db->in_transaction);
    enum tw_status status = check_open(db, error);
    if (status != TW_OK) {
        return status;
    }
    give_up_all(db);
    status = db->store->begin(db, error);
    db->in_transaction = status == TW_OK;
    db->has_failed = false;
    return status;
}

enum tw_status tw_db_commit(struct tw_db *db, struct tw_error *error)
{
    struct tw_error unused;
    error = error != NULL ? error : &unused;
    assert(db->in_transaction);
    enum tw_status status = check_open(db, error);
    if (status != TW_OK) {
        tw_db_rollback(db);
        return status;
    }
    give_up_all(db);
    status = db->store->commit(db, error);
    db->in_transaction = false;
    return status;
}

enum tw_status tw_db_wait(struct tw_db *db, int stop_fd, int timeout_ms, bool *ret_was_told,
                          struct tw_error *error)
{
    struct tw_error unused;
    error = error != NULL ? error : &unused;
    assert(!db->in_transaction && db->store->wait != NULL);
    enum tw_status status = check_open(db, error);
    return status == TW_OK ? db->store->wait(db, stop_fd, timeout_ms, ret_was_told, error) : status;
}

void tw_db_rollback(struct tw_db *db)
{
    if (!db->in_transaction) {
        return;
    }
    give_up_all(db);
    db->store->rollback(db);
    db->in_transaction = false;
    db->has_failed = false;
}
