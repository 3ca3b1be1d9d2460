#include "audit_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hub/audit_record.h"

void make_folder(char ret_path[256])
{
    const char *parent = getenv("TMPDIR");
    snprintf(ret_path, 256, "%s/audit-XXXXXX", parent != NULL ? parent : P_tmpdir);
    assert_non_null(mkdtemp(ret_path));
}

void remove_folder(const char *path)
{
    DIR *folder = opendir(path);
    assert_non_null(folder);
    for (const struct dirent *item; (item = readdir(folder)) != NULL;) {
        char name[600];
        snprintf(name, sizeof name, "%s/%s", path, item->d_name);
        if (item->d_name[0] != '.') {
            assert_int_equal(unlink(name), 0);
        }
    }
    closedir(folder);
    assert_int_equal(rmdir(path), 0);
}

void write_text(const char *path, const char *text, unsigned mode)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, mode), 0);
}

struct tw_audit_key *open_key(const char *folder, const char *name, const char *pem)
{
    char path[300];
    struct tw_audit_key *key = NULL;
    struct tw_error error = {0};
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (pem != NULL) {
        write_text(path, pem, 0600);
    }
    if (tw_audit_key_open(path, &key, &error) != TW_OK) {
        fail_msg("%s", error.text);
    }
    return key;
}

void write_body(int64_t n, struct tw_buf *ret_body)
{
    struct tw_audit_body body;
    char request[40];
    char reason[400];
    struct tw_audit_budget budgets[] = {{.budget = 3, .starts_s = 1799971200},
                                        {.budget = 9, .starts_s = 1798761600}};
    struct tw_audit_sampling sampling = {
        .temperature = 0.7, .top_p = 0.9, .repetition_penalty = 1.0, .seed = (uint64_t)n << 32};
    budgets[0].left_before = 1000000000 - n;
    budgets[0].left_after = 1000000000 - n - 7;
    snprintf(request, sizeof request, "req-%lld", (long long)n);
    memset(reason, 'x', sizeof reason);
    reason[n % 390] = '\0';
    struct tw_audit_request record = {
        .request = request,
        .org = 1,
        .team = 2,
        .project = 3 + n % 5,
        .key = 11,
        .model = "qwen2.5-0.5b",
        .sampling = &sampling,
        .prompt_tokens = 100 + n % 900,
        .output_tokens = n % 300,
        .price = 4,
        .cost_nano = 17 * n,
        .budgets = budgets,
        .n_budgets = 2,
        .finish = "stop",
        .reason = reason,
    };
    tw_audit_body_init(&body);
    assert_int_equal(tw_audit_body_request(&body, &record, NULL), TW_OK);
    tw_buf_clear(ret_body);
    assert_true(tw_buf_append(ret_body, body.buf.data, body.buf.size_bytes));
    tw_audit_body_free(&body);
}

struct tw_db *open_empty_store(const char *folder)
{
    char path[300];
    struct tw_db *db = NULL;
    struct tw_error error = {0};
    const char *address = getenv("TW_TEST_POSTGRES");
    snprintf(path, sizeof path, "%s/books.db", folder);
    if (tw_db_open(address != NULL ? address : path, TW_DB_WRITE, &db, &error) != TW_OK) {
        fail_msg("%s", error.text);
    }
    if (tw_db_is_postgres(db)) {
        run_sql(db, "DROP SCHEMA public CASCADE; CREATE SCHEMA public");
    }
    return db;
}

struct tw_db *open_store(const char *folder)
{
    static const char *const steps[] = {TW_AUDIT_LOG_TABLES};
    struct tw_error error = {0};
    struct tw_db *db = open_empty_store(folder);
    if (tw_db_migrate(db, steps, 1, &error) != TW_OK) {
        fail_msg("%s", error.text);
    }
    return db;
}

struct tw_audit_log *open_log(struct tw_db *db, const struct tw_audit_key *key)
{
    struct tw_audit_log *log = NULL;
    struct tw_error error = {0};
    if (tw_audit_log_open(db, AUDIT_LOG, key, &log, &error) != TW_OK) {
        fail_msg("%s", error.text);
    }
    return log;
}

void append_requests(struct tw_db *db, struct tw_audit_log *log, int64_t n)
{
    struct tw_buf body;
    struct tw_error error = {0};
    tw_buf_init(&body, TW_LIMIT_AUDIT_BODY_BYTES);
    for (int64_t i = 0; i < n; i++) {
        int64_t number = tw_audit_log_seq(log) + 1;
        int64_t at_ns = AUDIT_START + number * 10000000;
        bool is_last = i % 25 == 24 || i == n - 1;
        if (i % 25 == 0) {
            assert_int_equal(tw_db_begin(db, &error), TW_OK);
        }
        write_body(number, &body);
        enum tw_status status =
            tw_audit_log_append(log, at_ns, "request.settled", body.data, body.size_bytes, &error);
        status = status == TW_OK && is_last ? tw_audit_log_seal(log, at_ns, &error) : status;
        status = status == TW_OK && is_last ? tw_db_commit(db, &error) : status;
        if (status != TW_OK) {
            fail_msg("%s", error.text);
        }
    }
    tw_buf_free(&body);
}

void run_sql(struct tw_db *db, const char *sql)
{
    struct tw_error error = {0};
    if (tw_db_execute(db, sql, &error) != TW_OK) {
        fail_msg("%s", error.text);
    }
}

enum tw_status collect_lines(void *context, const char *lines, size_t n_bytes,
                             struct tw_error *error)
{
    (void)error;
    assert_int_equal(lines[n_bytes - 1], '\n');
    assert_true(tw_buf_append(context, lines, n_bytes));
    return TW_OK;
}
