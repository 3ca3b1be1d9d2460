/* The connection stays in pipeline mode: a statement that gives no rows is sent and not waited for
 * while a transaction is open, so a transaction costs a round trip for each query and one for its
 * commit, however many rows it writes. */
#include <assert.h>
#include <endian.h>
#include <inttypes.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "store/db_state.h"

#define OLDEST_SERVER 130000
#define KEPT_BYTES    ((size_t)1 << 20) /* of the rows of a query that is over */
#define MS_NS         INT64_C(1000000)

/* Types by their numbers in pg_type, which never change. */
enum {
    TYPE_BOOL = 16,
    TYPE_BYTES = 17,
    TYPE_NAME = 19,
    TYPE_INT8 = 20,
    TYPE_INT2 = 21,
    TYPE_INT4 = 23,
    TYPE_TEXT = 25,
    TYPE_UNKNOWN = 705,
    TYPE_BPCHAR = 1042,
    TYPE_VARCHAR = 1043,
    TYPE_NUMERIC = 1700,
};

struct postgres_db {
    struct tw_db base;
    PGconn *connection;
    size_t n_unanswered; /* statements that were sent since the last sync */
    size_t unsent_bytes; /* of their values, at most */
    uint64_t n_prepared; /* so far, for their names */
    bool is_committing;  /* a COMMIT was sent whose answer is missing */
};

struct postgres_statement {
    struct tw_db_statement base;
    char name[24], *sql; /* for the server, and for the next one */
    Oid parameter_types[TW_LIMIT_DB_PARAMETERS];
    int n_columns;
    Oid *column_types; /* [n_columns], as the three others */
    struct tw_db_value *row;
    /* The rows of the query: for each column its size (int32, -1 for NULL) and its bytes; integers
     * have 8, behind text there is a NUL. */
    struct tw_buf rows;
    size_t at_bytes;
};

/* The parameters of one call, as libpq wants them. */
struct parameters {
    const char *data[TW_LIMIT_DB_PARAMETERS];
    int sizes[TW_LIMIT_DB_PARAMETERS];
    int formats[TW_LIMIT_DB_PARAMETERS]; /* 1: binary, the server looks at those of NULL as well */
    char numbers[TW_LIMIT_DB_PARAMETERS][24];
};

static struct postgres_db *postgres_of(struct tw_db *db)
{
    return (struct postgres_db *)db;
}

static struct postgres_statement *statement_of(struct tw_db_statement *statement)
{
    return (struct postgres_statement *)statement;
}

/* What libpq says of the connection, in one line. */
static void put_connection_message(PGconn *connection, char *text, size_t room)
{
    snprintf(text, room, "%s", PQerrorMessage(connection));
    size_t n_bytes = strlen(text);
    while (n_bytes > 0 && text[n_bytes - 1] == '\n') {
        text[--n_bytes] = '\0';
    }
    for (char *p = text; *p != '\0'; p++) {
        *p = *p == '\n' || *p == '\t' ? ' ' : *p;
    }
}

/* Only the primary message: the others may quote rows. */
static void fail_lost(struct postgres_db *db, const char *message, struct tw_error *error)
{
    char text[200];
    if (message == NULL) {
        put_connection_message(db->connection, text, sizeof(text));
        message = text;
    }
    tw_error_set(error, TW_ERR_IO, TW_NO_POSITION, "the connection to PostgreSQL is lost%s: %s",
                 db->is_committing ? ", and it is not known whether the last transaction is kept"
                                   : "",
                 message);
    tw_db_break(&db->base, error);
}

static const struct error_class {
    const char *state; /* SQLSTATE, or its beginning; the first row that fits counts */
    enum tw_status status;
    bool should_retry, breaks;
} error_classes[] = {
    {"40001", TW_ERR_IO, true, false},        /* serialization failure */
    {"40P01", TW_ERR_IO, true, false},        /* deadlock */
    {"55P03", TW_ERR_IO, true, false},        /* lock timeout */
    {"25006", TW_ERR_USAGE, false, false},    /* read only */
    {"53100", TW_ERR_IO, false, false},       /* disk full */
    {"54", TW_ERR_LIMIT, false, false},       /* too large for the server */
    {"22", TW_ERR_USAGE, false, false},       /* a value that fits no column */
    {"23", TW_ERR_USAGE, false, false},       /* a constraint */
    {"42", TW_ERR_FORMAT, false, false},      /* no such table, a wrong statement */
    {"0A", TW_ERR_UNSUPPORTED, false, false}, /* also a plan that a migration has overtaken */
    {"58030", TW_ERR_IO, false, true},        /* the server's disk */
    {"XX", TW_ERR_FORMAT, false, true},       /* damaged */
};

static const struct error_class *class_of(const char *state)
{
    static const struct error_class other = {"", TW_ERR_IO, false, false};
    for (size_t i = 0; i < sizeof(error_classes) / sizeof(error_classes[0]); i++) {
        if (strncmp(state, error_classes[i].state, strlen(error_classes[i].state)) == 0) {
            return &error_classes[i];
        }
    }
    return &other;
}

/* A result that is an error, as ours. */
static enum tw_status fail(struct postgres_db *db, const PGresult *result, struct tw_error *error)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
    bool ends = severity != NULL && strcmp(severity, "ERROR") != 0; /* FATAL, PANIC */
    if (state == NULL || message == NULL || ends || PQstatus(db->connection) == CONNECTION_BAD) {
        fail_lost(db, message, error);
        return TW_ERR_IO;
    }
    const struct error_class *class = class_of(state);
    db->base.should_retry = class->should_retry;
    tw_error_set(error, class->status, TW_NO_POSITION, "PostgreSQL refuses: %s (%.5s)%s", message,
                 state,
                 strcmp(state, "53100") == 0 ? ": make room on its disk, then try again"
                 : class->should_retry       ? ": try the transaction again"
                                             : "");
    if (class->breaks) {
        tw_db_break(&db->base, error);
    }
    return class->status;
}

static int64_t read_int(const char *bytes, int n_bytes)
{
    uint64_t number = (bytes[0] & 0x80) != 0 ? UINT64_MAX : 0;
    for (int i = 0; i < n_bytes; i++) {
        number = number << 8 | (unsigned char)bytes[i];
    }
    return (int64_t)number;
}

/* What a sum of BIGINT is: digits to the base of 10,000. False for what is no int64. */
static bool read_numeric(const char *bytes, int size_bytes, int64_t *ret_number)
{
    if (size_bytes < 8) {
        return false;
    }
    int n_digits = (int)read_int(bytes, 2);
    int weight = (int)read_int(bytes + 2, 2);
    int sign = (int)(uint16_t)read_int(bytes + 4, 2);
    if ((sign != 0 && sign != 0x4000) || n_digits < 0 || size_bytes < 8 + 2 * n_digits) {
        return false;
    }
    int64_t number = 0;
    for (int i = 0; i < n_digits || i <= weight; i++) {
        int64_t digit = i < n_digits ? read_int(bytes + 8 + 2 * i, 2) : 0;
        if (i > weight) {
            if (digit != 0) {
                return false;
            }
            continue;
        }
        if (__builtin_mul_overflow(number, (int64_t)10000, &number) ||
            __builtin_add_overflow(number, sign == 0 ? digit : -digit, &number)) {
            return false;
        }
    }
    *ret_number = number;
    return true;
}

static bool is_text(Oid type)
{
    return type == TYPE_TEXT || type == TYPE_VARCHAR || type == TYPE_BPCHAR || type == TYPE_NAME ||
           type == TYPE_UNKNOWN;
}

static bool is_integer(Oid type)
{
    return type == TYPE_INT8 || type == TYPE_INT4 || type == TYPE_INT2 || type == TYPE_BOOL ||
           type == TYPE_NUMERIC;
}

static enum tw_status keep_integer(struct postgres_statement *statement, Oid type,
                                   const char *bytes, int size_bytes, struct tw_error *error)
{
    int64_t number = 0;
    int32_t kept_bytes = sizeof(number);
    if (type != TYPE_NUMERIC) {
        number = type == TYPE_BOOL ? bytes[0] != 0 : read_int(bytes, size_bytes);
    } else if (!read_numeric(bytes, size_bytes, &number)) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "a number of the store is no whole number of 64 bits");
    }
    tw_buf_append(&statement->rows, &kept_bytes, sizeof(kept_bytes));
    tw_buf_append(&statement->rows, &number, sizeof(number));
    return TW_OK;
}

static enum tw_status keep_row(struct postgres_statement *statement, const PGresult *result,
                               int row, struct tw_error *error)
{
    for (int i = 0; i < statement->n_columns; i++) {
        const char *bytes = PQgetvalue(result, row, i);
        int32_t size_bytes = PQgetisnull(result, row, i) ? -1 : PQgetlength(result, row, i);
        Oid type = statement->column_types[i];
        if (size_bytes >= 0 && is_integer(type)) {
            enum tw_status status = keep_integer(statement, type, bytes, size_bytes, error);
            if (status != TW_OK) {
                return status;
            }
            continue;
        }
        tw_buf_append(&statement->rows, &size_bytes, sizeof(size_bytes));
        if (size_bytes >= 0) {
            tw_buf_append(&statement->rows, bytes, (size_t)size_bytes);
            tw_buf_append(&statement->rows, "", 1);
        }
    }
    if (statement->rows.failed) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "a query gives more than %zu MB: ask for less at once",
                            TW_LIMIT_DB_ROWS_BYTES >> 20);
    }
    return TW_OK;
}

static enum tw_status keep_rows(struct postgres_statement *statement, const PGresult *result,
                                struct tw_error *error)
{
    if (PQnfields(result) != statement->n_columns) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "a query gives other columns than when it was prepared");
    }
    enum tw_status status = TW_OK;
    for (int i = 0; i < PQntuples(result) && status == TW_OK; i++) {
        status = keep_row(statement, result, i, error);
    }
    return status;
}

/* ---- waiting ---- */

/* The connection does not block: a server that is stopped, or whose disk is, has a machine that
 * acknowledges what it never answers. Until all is sent, or, where an answer is wanted, one is
 * there. False: it took too long. What is wrong otherwise is said by the next call of libpq. */
static bool wait_for_server(struct postgres_db *db, bool wants_answer)
{
    PGconn *connection = db->connection;
    const int64_t until_ns = tw_clock_monotonic_ns() + db->base.answer_ms * MS_NS;
    for (;;) {
        const int is_unsent = PQflush(connection);
        if (is_unsent < 0 || (wants_answer ? PQisBusy(connection) == 0 : is_unsent == 0)) {
            return true;
        }
        struct pollfd socket = {.fd = PQsocket(connection),
                                .events = is_unsent != 0 ? POLLIN | POLLOUT : POLLIN};
        const int64_t left_ns = until_ns - tw_clock_monotonic_ns();
        const int n = left_ns > 0 ? poll(&socket, 1, (int)(left_ns / MS_NS) + 1) : 0;
        if (left_ns <= 0) {
            return false;
        }
        if (n > 0 && (socket.revents & ~POLLOUT) != 0 && PQconsumeInput(connection) != 1) {
            return true;
        }
    }
}

static enum tw_status fail_late(struct postgres_db *db, struct tw_error *error)
{
    char text[64];
    snprintf(text, sizeof text, "no answer came in %d ms", db->base.answer_ms);
    fail_lost(db, text, error);
    return TW_ERR_IO;
}

/* Where the answers to what was sent go. */
struct answers {
    struct postgres_statement *rows; /* of the last statement; NULL: dropped */
    PGresult *last;                  /* its last result; the caller clears it */
    enum tw_status status;           /* the first error */
    struct tw_error *error;
};

static void take_result(struct postgres_db *db, struct answers *answers, PGresult *result,
                        bool is_last_statement)
{
    ExecStatusType kind = PQresultStatus(result);
    if (answers->status == TW_OK &&
        (kind == PGRES_FATAL_ERROR || kind == PGRES_BAD_RESPONSE || kind == PGRES_NONFATAL_ERROR)) {
        answers->status = fail(db, result, answers->error);
    } else if (answers->status == TW_OK && is_last_statement && answers->rows != NULL &&
               (kind == PGRES_SINGLE_TUPLE || kind == PGRES_TUPLES_OK)) {
        answers->status = keep_rows(answers->rows, result, answers->error);
    }
    if (is_last_statement && kind == PGRES_COMMAND_OK) {
        PQclear(answers->last);
        answers->last = result;
        return;
    }
    PQclear(result);
}

/* The next one, or NULL where a statement has no more; where it does not come in time the store is
 * broken. */
static PGresult *next_result(struct postgres_db *db, struct tw_error *error)
{
    if (!wait_for_server(db, true)) {
        fail_late(db, error);
        return NULL;
    }
    return PQgetResult(db->connection);
}

/* Waits for the answers to all that was sent. */
static void drain(struct postgres_db *db, struct answers *answers)
{
    size_t n_unanswered = db->n_unanswered;
    db->n_unanswered = 0;
    db->unsent_bytes = 0;
    bool is_synced = PQpipelineSync(db->connection) == 1;
    for (size_t i = 0; is_synced && !db->base.is_broken;) {
        if (i + 1 == n_unanswered && answers->rows != NULL) {
            PQsetSingleRowMode(db->connection);
        }
        PGresult *result;
        while ((result = next_result(db, answers->error)) != NULL) {
            if (PQresultStatus(result) == PGRES_PIPELINE_SYNC) {
                PQclear(result);
                return;
            }
            take_result(db, answers, result, i + 1 == n_unanswered);
            if (PQstatus(db->connection) == CONNECTION_BAD) {
                break;
            }
        }
        /* Each statement ends with a NULL; after the last comes the sync. */
        if (PQstatus(db->connection) == CONNECTION_BAD || i++ > n_unanswered) {
            break;
        }
    }
    if (!db->base.is_broken) {
        fail_lost(db, NULL, answers->error);
    }
    answers->status = answers->status != TW_OK ? answers->status : TW_ERR_IO;
}

static enum tw_status wait_for_all(struct postgres_db *db, struct tw_error *error)
{
    struct answers answers = {.error = error};
    drain(db, &answers);
    PQclear(answers.last);
    return answers.status;
}

/* After a call of libpq that sends: 1 where it worked. */
static enum tw_status sent(struct postgres_db *db, int worked, struct tw_error *error)
{
    if (worked != 1) {
        fail_lost(db, NULL, error);
        return TW_ERR_IO;
    }
    db->n_unanswered++;
    return TW_OK;
}

static enum tw_status send_text(struct postgres_db *db, const char *sql, struct tw_error *error)
{
    return sent(db, PQsendQueryParams(db->connection, sql, 0, NULL, NULL, NULL, NULL, 1), error);
}

/* A statement of which only the success counts, and all that was sent before. */
static enum tw_status ask(struct postgres_db *db, const char *sql, struct tw_error *error)
{
    enum tw_status status = send_text(db, sql, error);
    return status == TW_OK ? wait_for_all(db, error) : status;
}

static enum tw_status take_types(struct postgres_statement *statement, const PGresult *described,
                                 size_t n_parameters, struct tw_error *error)
{
    assert((size_t)PQnparams(described) == n_parameters);
    for (size_t i = 0; i < n_parameters; i++) {
        statement->parameter_types[i] = PQparamtype(described, (int)i);
    }
    statement->n_columns = PQnfields(described);
    size_t n = (size_t)statement->n_columns;
    statement->column_types = tw_mem_zalloc(n, sizeof(*statement->column_types));
    statement->row = tw_mem_zalloc(n, sizeof(*statement->row));
    if (statement->column_types == NULL || statement->row == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a statement");
    }
    for (int i = 0; i < statement->n_columns; i++) {
        Oid type = PQftype(described, i);
        statement->column_types[i] = type;
        if (!is_integer(type) && !is_text(type) && type != TYPE_BYTES) {
            return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                                "column %d of a query is neither integer nor text nor bytes "
                                "(type %u)",
                                i + 1, type);
        }
    }
    return TW_OK;
}

static void statement_free(struct postgres_statement *statement)
{
    tw_buf_free(&statement->rows);
    tw_mem_free(statement->sql);
    tw_mem_free(statement->column_types);
    tw_mem_free(statement->row);
    tw_mem_free(statement);
}

static enum tw_status postgres_prepare(struct tw_db *base, const char *sql, size_t n_parameters,
                                       struct tw_db_statement **ret_statement,
                                       struct tw_error *error)
{
    struct postgres_db *db = postgres_of(base);
    struct postgres_statement *statement = tw_mem_zalloc(1, sizeof(*statement));
    if (statement == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a statement");
    }
    tw_buf_init(&statement->rows, TW_LIMIT_DB_ROWS_BYTES);
    statement->sql = tw_mem_strndup(sql, strlen(sql));
    if (statement->sql == NULL) {
        statement_free(statement);
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a statement");
    }
    snprintf(statement->name, sizeof(statement->name), "s%" PRIu64, db->n_prepared++);
    struct answers answers = {.error = error};
    answers.status = sent(db, PQsendPrepare(db->connection, statement->name, sql, 0, NULL), error);
    if (answers.status == TW_OK) {
        answers.status = sent(db, PQsendDescribePrepared(db->connection, statement->name), error);
    }
    if (answers.status == TW_OK) {
        drain(db, &answers);
    }
    if (answers.status == TW_OK) {
        answers.status = take_types(statement, answers.last, n_parameters, error);
    }
    PQclear(answers.last);
    if (answers.status != TW_OK) {
        statement_free(statement);
        return answers.status;
    }
    *ret_statement = &statement->base;
    return TW_OK;
}

static void postgres_finalize(struct tw_db_statement *base)
{
    struct postgres_statement *statement = statement_of(base);
    struct postgres_db *db = postgres_of(base->db);
    /* In a transaction that has failed the server listens to nothing: the name is forgotten with
     * the connection. */
    if (!db->base.is_broken && !(db->base.in_transaction && db->base.has_failed)) {
        char sql[48];
        struct tw_error error;
        snprintf(sql, sizeof(sql), "DEALLOCATE %s", statement->name);
        enum tw_status status = send_text(db, sql, &error);
        if (status == TW_OK && !db->base.in_transaction) {
            wait_for_all(db, &error);
        }
    }
    statement_free(statement);
}

static enum tw_status put_parameter(struct parameters *p, size_t i, Oid type,
                                    const struct tw_db_value *value, struct tw_error *error)
{
    if (value->kind == TW_DB_NULL) {
        p->data[i] = NULL;
        p->formats[i] = 0;
        return TW_OK;
    }
    if ((value->kind == TW_DB_BYTES) != (type == TYPE_BYTES) ||
        (value->kind == TW_DB_TEXT && is_integer(type))) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "value %zu for the store is of another kind than its column", i + 1);
    }
    if (value->kind == TW_DB_INTEGER && type == TYPE_INT8) {
        uint64_t big_endian = htobe64((uint64_t)value->integer);
        memcpy(p->numbers[i], &big_endian, sizeof(big_endian));
        p->data[i] = p->numbers[i];
        p->sizes[i] = sizeof(big_endian);
        p->formats[i] = 1;
    } else if (value->kind == TW_DB_INTEGER) {
        snprintf(p->numbers[i], sizeof(p->numbers[i]), "%" PRId64, value->integer);
        p->data[i] = p->numbers[i];
        p->formats[i] = 0;
    } else {
        /* Text in binary is its bytes and has a size, so it needs no NUL. */
        p->data[i] = value->data;
        p->sizes[i] = (int)value->size_bytes;
        p->formats[i] = 1;
    }
    return TW_OK;
}

static enum tw_status send_statement(struct tw_db_statement *base, const struct tw_db_value *values,
                                     size_t n, struct tw_error *error)
{
    struct postgres_db *db = postgres_of(base->db);
    struct postgres_statement *statement = statement_of(base);
    struct parameters p;
    for (size_t i = 0; i < n; i++) {
        db->unsent_bytes += values[i].size_bytes;
        enum tw_status status =
            put_parameter(&p, i, statement->parameter_types[i], &values[i], error);
        if (status != TW_OK) {
            return status;
        }
    }
    enum tw_status status = sent(
        db,
        PQsendQueryPrepared(db->connection, statement->name, (int)n, p.data, p.sizes, p.formats, 1),
        error);
    if (status == TW_OK && db->unsent_bytes > TW_LIMIT_DB_UNSENT_BYTES) {
        db->unsent_bytes = 0;
        status = wait_for_server(db, false) ? TW_OK : fail_late(db, error);
    }
    return status;
}

static enum tw_status postgres_query(struct tw_db_statement *base, const struct tw_db_value *values,
                                     size_t n, struct tw_error *error)
{
    struct postgres_statement *statement = statement_of(base);
    tw_buf_clear(&statement->rows);
    statement->at_bytes = 0;
    enum tw_status status = send_statement(base, values, n, error);
    if (status != TW_OK) {
        return status;
    }
    struct answers answers = {.rows = statement, .error = error};
    drain(postgres_of(base->db), &answers);
    PQclear(answers.last);
    return answers.status;
}

static enum tw_status postgres_next(struct tw_db_statement *base, bool *ret_row,
                                    struct tw_error *error)
{
    (void)error;
    struct postgres_statement *statement = statement_of(base);
    *ret_row = statement->at_bytes < statement->rows.size_bytes;
    if (!*ret_row) {
        return TW_OK;
    }
    const char *p = statement->rows.data + statement->at_bytes;
    for (int i = 0; i < statement->n_columns; i++) {
        struct tw_db_value *value = &statement->row[i];
        Oid type = statement->column_types[i];
        int32_t size_bytes;
        memcpy(&size_bytes, p, sizeof(size_bytes));
        p += sizeof(size_bytes);
        *value = tw_db_null();
        if (size_bytes < 0) {
            continue;
        }
        if (is_integer(type)) {
            value->kind = TW_DB_INTEGER;
            memcpy(&value->integer, p, sizeof(value->integer));
            p += size_bytes;
            continue;
        }
        value->kind = type == TYPE_BYTES ? TW_DB_BYTES : TW_DB_TEXT;
        value->data = p;
        value->size_bytes = (size_t)size_bytes;
        p += size_bytes + 1;
    }
    statement->at_bytes = (size_t)(p - statement->rows.data);
    return TW_OK;
}

static struct tw_db_value postgres_column(struct tw_db_statement *base, int column)
{
    struct postgres_statement *statement = statement_of(base);
    bool is_at_row = statement->at_bytes != 0 && column >= 0 && column < statement->n_columns;
    return is_at_row ? statement->row[column] : tw_db_null();
}

static void postgres_reset(struct tw_db_statement *base)
{
    struct postgres_statement *statement = statement_of(base);
    if (statement->rows.capacity_bytes > KEPT_BYTES) {
        tw_buf_free(&statement->rows);
    }
    tw_buf_clear(&statement->rows);
    statement->at_bytes = 0;
}

static enum tw_status postgres_run(struct tw_db_statement *base, const struct tw_db_value *values,
                                   size_t n, struct tw_error *error)
{
    struct postgres_db *db = postgres_of(base->db);
    enum tw_status status = send_statement(base, values, n, error);
    bool waits = !db->base.in_transaction || db->n_unanswered >= TW_LIMIT_DB_UNANSWERED;
    return status == TW_OK && waits ? wait_for_all(db, error) : status;
}

/* Outside of a pipeline: the last result of one or several statements, which the caller clears;
 * NULL where there is none. */
static enum tw_status execute(struct postgres_db *db, const char *sql, PGresult **ret_result,
                              struct tw_error *error)
{
    enum tw_status status = TW_OK;
    PGresult *last = NULL, *result;
    if (PQsendQuery(db->connection, sql) != 1) {
        fail_lost(db, NULL, error);
        return TW_ERR_IO;
    }
    while ((result = next_result(db, error)) != NULL) {
        PQclear(last);
        last = result;
    }
    if (db->base.is_broken) {
        status = TW_ERR_IO;
    } else if (PQresultStatus(last) == PGRES_FATAL_ERROR) {
        status = fail(db, last, error);
    }
    if (status == TW_OK && ret_result != NULL) {
        *ret_result = last;
    } else {
        PQclear(last);
    }
    return status;
}

/* Several statements in one text are understood outside of a pipeline only. */
static enum tw_status postgres_execute(struct tw_db *base, const char *sql, struct tw_error *error)
{
    struct postgres_db *db = postgres_of(base);
    enum tw_status status = db->n_unanswered != 0 ? wait_for_all(db, error) : TW_OK;
    if (status != TW_OK) {
        return status;
    }
    int has_left = PQexitPipelineMode(db->connection);
    assert(has_left == 1 || PQstatus(db->connection) == CONNECTION_BAD);
    status = execute(db, sql, NULL, error);
    if (!db->base.is_broken && PQenterPipelineMode(db->connection) != 1) {
        fail_lost(db, NULL, error);
        status = TW_ERR_IO;
    }
    return status;
}

static enum tw_status postgres_begin(struct tw_db *base, struct tw_error *error)
{
    return send_text(postgres_of(base),
                     base->mode == TW_DB_WRITE ? "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
                                               : "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
                     error);
}

static void postgres_rollback(struct tw_db *base)
{
    struct postgres_db *db = postgres_of(base);
    struct tw_error error;
    if (!base->is_broken && db->n_unanswered != 0) {
        wait_for_all(db, &error); /* behind a statement that fails a ROLLBACK would be skipped */
    }
    bool should_retry = base->should_retry;
    if (!base->is_broken && ask(db, "ROLLBACK", &error) != TW_OK && !base->is_broken) {
        tw_db_break(base, &error);
    }
    base->should_retry = should_retry;
}

static enum tw_status postgres_commit(struct tw_db *base, struct tw_error *error)
{
    struct postgres_db *db = postgres_of(base);
    struct answers answers = {.error = error};
    db->is_committing = base->mode == TW_DB_WRITE;
    answers.status = send_text(db, "COMMIT", error);
    if (answers.status == TW_OK) {
        drain(db, &answers);
    }
    db->is_committing = false;
    /* The server answers a COMMIT of what has failed with ROLLBACK, and no error. */
    bool is_kept = answers.last != NULL && strcmp(PQcmdStatus(answers.last), "COMMIT") == 0;
    PQclear(answers.last);
    if (answers.status == TW_OK && !is_kept) {
        answers.status = tw_error_set(error, TW_ERR_IO, TW_NO_POSITION,
                                      "PostgreSQL has rolled the transaction back");
    }
    if (answers.status != TW_OK) {
        postgres_rollback(base);
    }
    return answers.status;
}

static void postgres_close(struct tw_db *base)
{
    struct postgres_db *db = postgres_of(base);
    PQfinish(db->connection);
    tw_mem_free(db);
}

static enum tw_status postgres_reconnect(struct tw_db *db, struct tw_error *error);
static enum tw_status postgres_wait(struct tw_db *db, int stop_fd, int timeout_ms,
                                    bool *ret_was_told, struct tw_error *error);

static const struct tw_db_store postgres_store = {
    .is_postgres = true,
    .close = postgres_close,
    .reconnect = postgres_reconnect,
    .wait = postgres_wait,
    .prepare = postgres_prepare,
    .finalize = postgres_finalize,
    .query = postgres_query,
    .next = postgres_next,
    .column = postgres_column,
    .reset = postgres_reset,
    .run = postgres_run,
    .execute = postgres_execute,
    .begin = postgres_begin,
    .commit = postgres_commit,
    .rollback = postgres_rollback,
};

static void drop_notice(void *context, const PGresult *result)
{
    (void)context;
    (void)result;
}

/* libpq cuts an address at the first sign that could end a part, and names the parts that it has
 * got then: with a password that has such a sign, a piece of it. Nothing of an address goes into a
 * message before it is clear where its password ends. */
static bool is_unclear(const char *address, const PQconninfoOption *options)
{
    const char *begin = strstr(address, "://") + 3;
    size_t host_end = strcspn(begin, "/");
    size_t path_end = host_end + strcspn(begin + host_end, "?");
    size_t n_at = 0;
    for (size_t i = 0; i < path_end; i++) {
        n_at += begin[i] == '@' ? (i < host_end ? 1 : 2) : 0;
    }
    for (; options->keyword != NULL; options++) {
        if (strcmp(options->keyword, "port") == 0 && options->val != NULL &&
            options->val[strspn(options->val, "0123456789,")] != '\0') {
            return true;
        }
    }
    return n_at > 1;
}

static enum tw_status check_address(const char *address, struct tw_error *error)
{
    char *reason = NULL;
    PQconninfoOption *options = PQconninfoParse(address, &reason);
    bool is_understood = options != NULL && !is_unclear(address, options);
    PQconninfoFree(options);
    PQfreemem(reason);
    if (!is_understood) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "the address of PostgreSQL is not understood: it is "
                            "postgres://user:password@host:port/database, where signs such as "
                            "'@', '/', '?', '%%' in a name or password are written %%40, %%2F, "
                            "%%3F, %%25");
    }
    return TW_OK;
}

/* Settings that stand before the address may be changed by it, those behind it may not. */
static PGconn *connect_to(const char *address)
{
    static const char *const names[] = {
        "connect_timeout",  "keepalives_idle",  "keepalives_interval",
        "keepalives_count", "tcp_user_timeout", "fallback_application_name",
        "dbname",           "client_encoding",  NULL};
    char connect_s[12], silent_ms[12];
    snprintf(connect_s, sizeof connect_s, "%d", TW_LIMIT_DB_CONNECT_S);
    snprintf(silent_ms, sizeof silent_ms, "%d", TW_LIMIT_DB_SILENT_MS);
    const char *const values[] = {connect_s,    "2",     "1",    "3", silent_ms,
                                  "tokenworks", address, "UTF8", NULL};
    return PQconnectdbParams(names, values, 1);
}

/* One row of texts, outside of a pipeline. */
static enum tw_status check_settings(struct postgres_db *db, struct tw_error *error)
{
    PGresult *result = NULL;
    enum tw_status status =
        execute(db,
                "SELECT current_setting('server_encoding'), current_setting('fsync'), "
                "current_setting('synchronous_commit'), pg_is_in_recovery()",
                &result, error);
    if (status != TW_OK) {
        return status;
    }
    if (strcmp(PQgetvalue(result, 0, 0), "UTF8") != 0) {
        status = tw_error_set(error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                              "the database has the encoding %s: make one with ENCODING 'UTF8'",
                              PQgetvalue(result, 0, 0));
    } else if (db->base.mode == TW_DB_WRITE && strcmp(PQgetvalue(result, 0, 3), "t") == 0) {
        status = tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                              "this PostgreSQL is a standby, which may only be read: name the "
                              "primary");
    } else if (db->base.mode == TW_DB_WRITE && strcmp(PQgetvalue(result, 0, 1), "on") != 0) {
        status = tw_error_set(error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                              "this PostgreSQL runs with fsync off, and would lose what it has "
                              "promised to keep: set fsync = on");
    }
    /* remote_apply waits for more than we need, which is its owner's wish; all others for less. */
    bool is_set = status == TW_OK && strcmp(PQgetvalue(result, 0, 2), "remote_apply") == 0;
    PQclear(result);
    return status == TW_OK && !is_set ? execute(db, "SET synchronous_commit = on", NULL, error)
                                      : status;
}

static enum tw_status set_up(struct postgres_db *db, struct tw_error *error)
{
    int version = PQserverVersion(db->connection);
    if (version < OLDEST_SERVER) {
        return tw_error_set(error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                            "PostgreSQL %d is too old: 13 is the oldest that will do",
                            version / 10000);
    }
    PQsetnonblocking(db->connection, 1);
    enum tw_status status = check_settings(db, error);
    if (status != TW_OK) {
        return status;
    }
    const bool is_report = db->base.answer_ms == TW_LIMIT_DB_REPORT_MS;
    char sql[540];
    snprintf(sql, sizeof(sql),
             "SET standard_conforming_strings = on; SET lock_timeout = %d;"
             "SET statement_timeout = %d;"
             "SET idle_in_transaction_session_timeout = %d;"
             "SET default_transaction_isolation = 'read committed';"
             "SET default_transaction_read_only = %s; SET client_min_messages = error",
             TW_LIMIT_DB_WAIT_MS, is_report ? TW_LIMIT_DB_REPORT_MS : TW_LIMIT_DB_STATEMENT_MS,
             TW_LIMIT_DB_IDLE_MS, db->base.mode == TW_DB_READ ? "on" : "off");
    status = execute(db, sql, NULL, error);
    if (status == TW_OK && PQenterPipelineMode(db->connection) != 1) {
        fail_lost(db, NULL, error);
        status = TW_ERR_IO;
    }
    return status;
}

enum tw_status tw_db_postgres_open(const char *address, enum tw_db_mode mode, struct tw_db **ret_db,
                                   struct tw_error *error)
{
    enum tw_status status = check_address(address, error);
    if (status != TW_OK) {
        return status;
    }
    struct postgres_db *db = tw_mem_zalloc(1, sizeof(*db));
    if (db == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a connection");
    }
    db->base.store = &postgres_store;
    db->base.mode = mode == TW_DB_WRITE ? TW_DB_WRITE : TW_DB_READ;
    db->base.answer_ms = mode == TW_DB_REPORT ? TW_LIMIT_DB_REPORT_MS : TW_LIMIT_DB_ANSWER_MS;
    db->connection = connect_to(address);
    if (PQstatus(db->connection) != CONNECTION_OK) {
        char text[240];
        put_connection_message(db->connection, text, sizeof(text));
        status = tw_error_set(error, TW_ERR_IO, TW_NO_POSITION, "cannot reach PostgreSQL: %s",
                              db->connection != NULL ? text : "no memory");
    } else {
        PQsetNoticeReceiver(db->connection, drop_notice, NULL);
        status = set_up(db, error);
    }
    if (status != TW_OK) {
        postgres_close(&db->base);
        return status;
    }
    *ret_db = &db->base;
    return TW_OK;
}

/* ---- reached again ---- */

static enum tw_status fail_unreached(struct postgres_db *db, struct tw_error *error)
{
    char text[240];
    put_connection_message(db->connection, text, sizeof(text));
    return tw_error_set(error, TW_ERR_IO, TW_NO_POSITION, "cannot reach PostgreSQL: %s",
                        text[0] != '\0' ? text : "it does not answer in time");
}

/* Waits until a socket has what a poll of libpq asked for. False: the time is over. */
static bool wait_for_socket(PGconn *connection, PostgresPollingStatusType wanted, int64_t until_ns)
{
    struct pollfd socket = {.fd = PQsocket(connection),
                            .events = wanted == PGRES_POLLING_WRITING ? POLLOUT : POLLIN};
    const int64_t left_ms = (until_ns - tw_clock_monotonic_ns()) / MS_NS;
    return left_ms > 0 && poll(&socket, 1, (int)left_ms) > 0;
}

/* All of them are sent, and then waited for at once. */
static enum tw_status prepare_again(struct postgres_db *db, struct tw_error *error)
{
    enum tw_status status = TW_OK;
    db->n_unanswered = 0;
    for (struct tw_db_statement *s = db->base.statements; s != NULL && status == TW_OK;
         s = s->next) {
        struct postgres_statement *statement = statement_of(s);
        status = sent(db, PQsendPrepare(db->connection, statement->name, statement->sql, 0, NULL),
                      error);
    }
    return status == TW_OK && db->n_unanswered > 0 ? wait_for_all(db, error) : status;
}

static enum tw_status postgres_reconnect(struct tw_db *base, struct tw_error *error)
{
    struct postgres_db *db = postgres_of(base);
    const int64_t until_ns = tw_clock_monotonic_ns() + TW_LIMIT_DB_RECONNECT_MS * MS_NS;
    PostgresPollingStatusType now = PGRES_POLLING_WRITING;
    if (PQresetStart(db->connection) != 1) {
        return fail_unreached(db, error);
    }
    while (now != PGRES_POLLING_OK) {
        if (now == PGRES_POLLING_FAILED || !wait_for_socket(db->connection, now, until_ns)) {
            return fail_unreached(db, error);
        }
        now = PQresetPoll(db->connection);
    }
    base->is_broken = false; /* for what follows; the caller decides by the status */
    base->should_retry = false;
    const int answer_ms = base->answer_ms;
    base->answer_ms = TW_LIMIT_DB_RECONNECT_MS;
    enum tw_status status = set_up(db, error);
    status = status == TW_OK ? prepare_again(db, error) : status;
    base->answer_ms = answer_ms;
    return status;
}

static bool was_told(struct postgres_db *db)
{
    bool is_there = false;
    PGnotify *notice;
    while ((notice = PQnotifies(db->connection)) != NULL) {
        is_there = true;
        PQfreemem(notice);
    }
    return is_there;
}

static enum tw_status postgres_wait(struct tw_db *base, int stop_fd, int timeout_ms,
                                    bool *ret_was_told, struct tw_error *error)
{
    struct postgres_db *db = postgres_of(base);
    if (was_told(db)) { /* it came with the answer to a statement */
        *ret_was_told = true;
        return TW_OK;
    }
    struct pollfd sockets[] = {{.fd = PQsocket(db->connection), .events = POLLIN},
                               {.fd = stop_fd, .events = POLLIN}};
    poll(sockets, 2, timeout_ms);
    if (sockets[0].revents != 0 && PQconsumeInput(db->connection) != 1) {
        fail_lost(db, NULL, error);
        return TW_ERR_IO;
    }
    *ret_was_told = was_told(db);
    return TW_OK;
}
