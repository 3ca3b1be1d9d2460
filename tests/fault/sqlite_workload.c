#include "sqlite_workload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct workload_record {
    int number;
    enum workload_fate fate;
    bool is_full, is_broken, went_on_broken;
};

static const char *const steps[] = {
    "CREATE TABLE item(number %I NOT NULL, row %I NOT NULL, bytes %B NOT NULL,"
    " PRIMARY KEY(number, row)) %S;"
    "CREATE TABLE total(id %I PRIMARY KEY, n %I NOT NULL) %S;"
    "INSERT INTO total VALUES(1, 0)",
};

static int rows_of(const struct workload *workload, int number)
{
    return workload->n_rows + number % 3;
}

struct session {
    struct tw_db *db;
    struct tw_db_statement *put, *count;
};

static void session_close(struct session *session)
{
    tw_db_finalize(session->put);
    tw_db_finalize(session->count);
    tw_db_close(session->db);
    *session = (struct session){.db = NULL};
}

static bool session_open(const char *path, struct session *session)
{
    *session = (struct session){.db = NULL};
    if (tw_db_open(path, TW_DB_WRITE, &session->db, NULL) != TW_OK) {
        return false;
    }
    if (tw_db_migrate(session->db, steps, 1, NULL) != TW_OK ||
        tw_db_prepare(session->db, "INSERT INTO item VALUES(?, ?, ?)", &session->put, NULL) !=
            TW_OK ||
        tw_db_prepare(session->db, "UPDATE total SET n = n + ?", &session->count, NULL) != TW_OK) {
        session_close(session);
        return false;
    }
    return true;
}

static enum tw_status transact(const struct workload *workload, struct session *session, int number,
                               struct tw_error *error)
{
    int n_rows = rows_of(workload, number);
    char *bytes = malloc((size_t)workload->row_bytes);
    memset(bytes, 'a' + number % 26, (size_t)workload->row_bytes);
    enum tw_status status = tw_db_begin(session->db, error);
    if (status != TW_OK) {
        free(bytes);
        return status;
    }
    for (int i = 0; i < n_rows && status == TW_OK; i++) {
        struct tw_db_value values[] = {tw_db_integer(number), tw_db_integer(i),
                                       tw_db_bytes(bytes, (size_t)workload->row_bytes)};
        status = tw_db_run(session->put, values, 3, error);
    }
    if (status == TW_OK) {
        struct tw_db_value value = tw_db_integer(n_rows);
        status = tw_db_run(session->count, &value, 1, error);
    }
    free(bytes);
    if (status != TW_OK) {
        tw_db_rollback(session->db);
        return status;
    }
    return tw_db_commit(session->db, error);
}

static struct workload_record record_of(const struct session *session, int number,
                                        enum tw_status status, const struct tw_error *error)
{
    struct workload_record record = {.number = number, .fate = FATE_KEPT};
    if (status != TW_OK) {
        bool is_unknown = strstr(error->text, "not known") != NULL;
        record.fate = is_unknown ? FATE_UNKNOWN : FATE_REFUSED;
        record.is_full = status == TW_ERR_IO && strstr(error->text, "no room left") != NULL;
    }
    record.is_broken = tw_db_is_broken(session->db);
    if (record.is_broken) {
        record.went_on_broken = tw_db_begin(session->db, NULL) == TW_OK ||
                                tw_db_execute(session->db, "SELECT 1", NULL) == TW_OK;
    }
    return record;
}

void workload_run(const struct workload *workload, int report_fd)
{
    struct session session;
    if (!session_open(workload->path, &session)) {
        return;
    }
    int every = workload->n_restarts > 0 ? workload->n / (workload->n_restarts + 1) : workload->n;
    for (int i = 0; i < workload->n; i++) {
        struct tw_error error = {.text = ""};
        if (i > 0 && i % every == 0 && workload->n_restarts > 0) {
            session_close(&session);
            if (!session_open(workload->path, &session)) {
                return;
            }
        }
        int number = workload->first + i;
        enum tw_status status = transact(workload, &session, number, &error);
        struct workload_record record = record_of(&session, number, status, &error);
        if (write(report_fd, &record, sizeof(record)) != sizeof(record)) {
            abort();
        }
        if (record.is_broken) {
            break;
        }
    }
    if (!workload->leaves) {
        session_close(&session);
    }
}

void workload_listen(int report_fd, struct workload_report *report)
{
    struct workload_record record;
    while (read(report_fd, &record, sizeof(record)) == sizeof(record)) {
        report->fates[record.number] = record.fate;
        report->n_full += record.is_full;
        report->n_broken += record.is_broken;
        report->went_on_broken = report->went_on_broken || record.went_on_broken;
    }
}

static int64_t number_of(struct tw_db *db, const char *sql)
{
    struct tw_db_statement *statement = NULL;
    bool is_row = false;
    int64_t number = -1;
    if (tw_db_prepare(db, sql, &statement, NULL) == TW_OK &&
        tw_db_query(statement, NULL, 0, NULL) == TW_OK &&
        tw_db_next(statement, &is_row, NULL) == TW_OK && is_row) {
        number = strstr(sql, "integrity") != NULL
                     ? strcmp(tw_db_column_text(statement, 0), "ok") == 0
                     : tw_db_column_integer(statement, 0);
    }
    tw_db_finalize(statement);
    return number;
}

static const char *check_numbers(struct tw_db *db, const struct workload *workload,
                                 const struct workload_report *report, int *ret_last)
{
    static char text[160];
    struct tw_db_statement *statement = NULL;
    if (tw_db_prepare(db, "SELECT count(*) FROM item WHERE number = ?", &statement, NULL) !=
        TW_OK) {
        return "there is no table";
    }
    const char *problem = NULL;
    *ret_last = -1;
    for (int i = 0; i < workload->first + workload->n && problem == NULL; i++) {
        struct tw_db_value value = tw_db_integer(i);
        bool is_row = false;
        if (tw_db_query(statement, &value, 1, NULL) != TW_OK ||
            tw_db_next(statement, &is_row, NULL) != TW_OK) {
            problem = "the rows cannot be read";
            break;
        }
        int64_t n = tw_db_column_integer(statement, 0);
        enum workload_fate fate = report->fates[i];
        bool is_whole = n == rows_of(workload, i);
        *ret_last = n != 0 ? i : *ret_last;
        if ((n != 0 && !is_whole) || (fate == FATE_KEPT && n == 0) ||
            (fate == FATE_REFUSED && n != 0)) {
            snprintf(text, sizeof(text), "transaction %d was reported as %d and has %d rows of %d",
                     i, (int)fate, (int)n, rows_of(workload, i));
            problem = text;
        }
    }
    tw_db_finalize(statement);
    return problem;
}

const char *workload_check(const struct workload *workload, const struct workload_report *report,
                           int *ret_last)
{
    static struct tw_error error;
    struct tw_db *db = NULL;
    if (report->went_on_broken) {
        return "a broken store went on";
    }
    if (tw_db_open(workload->path, TW_DB_WRITE, &db, &error) != TW_OK) {
        return error.text;
    }
    if (tw_db_migrate(db, steps, 1, &error) != TW_OK) {
        tw_db_close(db);
        return error.text;
    }
    const char *problem = check_numbers(db, workload, report, ret_last);
    if (problem == NULL && number_of(db, "PRAGMA integrity_check") != 1) {
        problem = "the file is damaged";
    }
    if (problem == NULL &&
        number_of(db, "SELECT n FROM total") != number_of(db, "SELECT count(*) FROM item")) {
        problem = "the total is another than the rows";
    }
    tw_db_close(db);
    return problem;
}
