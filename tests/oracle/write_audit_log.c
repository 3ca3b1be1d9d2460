/* Writes an audit log for another program to verify:
 *
 *     write_audit_log FOLDER RECORDS
 *
 * FOLDER/key.pub, FOLDER/export.jsonl and FOLDER/checkpoint, the last one of the log. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hub/audit_export.h"
#include "hub/audit_log.h"
#include "hub/audit_record.h"

#define START_NS ((int64_t)1800000000000000000)

static struct tw_error error;
static char path[600];

static const char *in_folder(const char *folder, const char *name)
{
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void must(enum tw_status status)
{
    if (status != TW_OK) {
        fprintf(stderr, "%s\n", error.text);
        exit(1);
    }
}

/* Bodies with what is hard to quote, and of all lengths around the blocks of a hash. */
static void append(struct tw_db *db, struct tw_audit_log *log, int64_t n_records)
{
    struct tw_audit_body body;
    char text[400];
    tw_audit_body_init(&body);
    must(tw_db_begin(db, &error));
    for (int64_t i = 0; i < n_records; i++) {
        size_t n_bytes = (size_t)(i % 300);
        memset(text, 'a' + (int)(i % 26), n_bytes);
        snprintf(text + n_bytes, sizeof text - n_bytes, "\"\\\x1b\xc3\xa9\xe2\x80\xae\xff");
        struct tw_audit_request request = {.model = text, .prompt_tokens = i, .reason = "a\nb"};
        must(tw_audit_body_request(&body, &request, &error));
        int64_t at_ns = START_NS + i * 30000000;
        must(tw_audit_log_append(log, at_ns, tw_audit_kind_name(TW_AUDIT_REQUEST_SETTLED),
                                 body.buf.data, body.buf.size_bytes, &error));
        must(tw_audit_log_seal(log, at_ns, &error));
    }
    must(tw_db_commit(db, &error));
    tw_audit_body_free(&body);
}

static enum tw_status write_lines(void *context, const char *lines, size_t n_bytes,
                                  struct tw_error *unused)
{
    (void)unused;
    return fwrite(lines, 1, n_bytes, context) == n_bytes ? TW_OK : TW_ERR_IO;
}

static void write_checkpoint(struct tw_db *db, const char *log, const char *to)
{
    struct tw_audit_checkpoint last;
    struct tw_buf text;
    tw_buf_init(&text, TW_LIMIT_AUDIT_FILE_BYTES);
    must(tw_audit_log_last_checkpoint(db, log, &last, &error));
    FILE *file = fopen(to, "w");
    if (file == NULL || !tw_audit_checkpoint_write(&last, &text) ||
        fwrite(text.data, 1, text.size_bytes, file) != text.size_bytes || fclose(file) != 0) {
        exit(1);
    }
    tw_buf_free(&text);
}

int main(int argc, char **argv)
{
    static const char *const steps[] = {TW_AUDIT_LOG_TABLES};
    char name[33];
    struct tw_audit_key *key;
    struct tw_db *db;
    struct tw_audit_log *log;
    if (argc != 3) {
        return 2;
    }
    must(tw_audit_key_open(in_folder(argv[1], "key"), &key, &error));
    must(tw_db_open(in_folder(argv[1], "books.db"), TW_DB_WRITE, &db, &error));
    must(tw_db_migrate(db, steps, 1, &error));
    tw_audit_log_name_draw(name);
    must(tw_audit_log_open(db, name, key, &log, &error));
    append(db, log, strtoll(argv[2], NULL, 10));
    FILE *file = fopen(in_folder(argv[1], "export.jsonl"), "w");
    if (file == NULL) {
        return 1;
    }
    must(tw_audit_export(db, name, 1, INT64_MAX, write_lines, file, &error));
    if (fclose(file) != 0) {
        return 1;
    }
    write_checkpoint(db, name, in_folder(argv[1], "checkpoint"));
    tw_audit_log_close(log);
    tw_db_close(db);
    tw_audit_key_free(key);
    return 0;
}
