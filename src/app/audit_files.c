#include "app/audit_files.h"

#include <stdio.h>
#include <string.h>

#include "app/books_args.h"
#include "app/books_place.h"
#include "app/command.h"
#include "app/hub_print.h"
#include "base/clock.h"
#include "base/file.h"
#include "hub/audit_export.h"
#include "hub/audit_log.h"
#include "hub/audit_verify.h"

#define PUBLIC_KEY "audit-key.pub" /* beside the books */

struct desk {
    const struct tw_hub_args *args;
    struct tw_field_value values[TW_LIMIT_HUB_FIELDS];
    struct tw_db *db;
    char log[TW_LIMIT_AUDIT_LOG_BYTES + 1];
};

static const struct tw_field_value *value_of(const struct desk *desk, const char *name)
{
    const struct tw_hub_verb *verb = desk->args->verb;
    return &desk->values[tw_commands_field(verb, name) - verb->fields];
}

/* ---- the books ---- */

static enum tw_status open_books(struct desk *desk, struct tw_error *error)
{
    enum tw_status status = tw_books_args_open(desk->args->where.books, &desk->db, error);
    return status == TW_OK ? tw_books_args_read(desk->db, "SELECT log FROM books WHERE id = 1",
                                                desk->log, sizeof desk->log, error)
                           : status;
}

/* ---- verify ---- */

static enum tw_status load_key(const struct desk *desk, struct tw_audit_public_key *ret_key,
                               struct tw_error *error)
{
    struct tw_books_place place;
    char path[TW_LIMIT_CONF_STRING_BYTES];
    if (value_of(desk, "key")->is_set) {
        return tw_audit_public_key_load(value_of(desk, "key")->text, ret_key, error);
    }
    enum tw_status status = tw_books_place_find(desk->args->where.books, &place, error);
    if (status != TW_OK) {
        return status;
    }
    const int n = snprintf(path, sizeof path, "%s/%s", place.folder, PUBLIC_KEY);
    return n < (int)sizeof path ? tw_audit_public_key_load(path, ret_key, error)
                                : tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                                               "the path of the books is too long");
}

static enum tw_status print_report(const struct desk *desk, const struct tw_audit_report *report,
                                   struct tw_error *error)
{
    char head[TW_AUDIT_HEX_BYTES + 1];
    for (size_t i = 0; i < TW_AUDIT_HASH_BYTES; i++) {
        snprintf(head + 2 * i, 3, "%02x", report->head.bytes[i]);
    }
    json_t *answer = json_pack(
        "{s:b, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:s}", "good",
        report->fault == TW_AUDIT_FAULT_NONE, "log", report->log, "records",
        (json_int_t)report->n_records, "first", (json_int_t)report->first_seq, "last",
        (json_int_t)report->last_seq, "checkpoints", (json_int_t)report->n_checkpoints, "signed",
        (json_int_t)report->signed_seq, "unsigned", (json_int_t)report->n_unsigned, "head", head);
    if (answer != NULL && report->fault != TW_AUDIT_FAULT_NONE) {
        json_object_set_new(answer, "fault", json_string(tw_audit_fault_name(report->fault)));
        json_object_set_new(answer, "at", json_integer(report->seq));
    }
    const struct tw_hub_print how = {.as_json = desk->args->where.json};
    enum tw_status status = answer != NULL ? tw_hub_print(answer, &how, error)
                                           : tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION,
                                                          "no memory for the report");
    json_decref(answer);
    if (status == TW_OK && report->fault != TW_AUDIT_FAULT_NONE) {
        status = tw_error_set(error, TW_ERR_MISSED, TW_NO_POSITION,
                              "the log is not what was written: %.240s", report->text);
    }
    return status;
}

static enum tw_status verify(struct desk *desk, struct tw_error *error)
{
    struct tw_audit_public_key key;
    struct tw_audit_checkpoint kept;
    struct tw_audit_report report;
    struct tw_audit_verify_options options = {.key = &key};
    const char *file = value_of(desk, "file")->text;
    const struct tw_field_value *checkpoint = value_of(desk, "checkpoint");
    enum tw_status status = load_key(desk, &key, error);
    if (status == TW_OK && checkpoint->is_set) {
        status = tw_audit_checkpoint_load(checkpoint->text, &kept, error);
        options.kept = &kept;
    }
    if (status == TW_OK && file != NULL) {
        status = tw_audit_verify_file(file, &options, &report, error);
    } else if (status == TW_OK) {
        status = open_books(desk, error);
        if (status == TW_OK) {
            status = tw_audit_verify_store(desk->db, desk->log, &options, &report, error);
        }
    }
    return status == TW_OK ? print_report(desk, &report, error) : status;
}

/* ---- what is written ---- */

/* A file that is there when it is whole, or standard output. */
struct sink {
    struct tw_file_writer *writer;
};

static enum tw_status open_sink(const struct desk *desk, struct sink *ret_sink,
                                struct tw_error *error)
{
    const struct tw_field_value *out = value_of(desk, "out");
    ret_sink->writer = NULL;
    return out->is_set ? tw_file_writer_open(out->text, &ret_sink->writer, error) : TW_OK;
}

static enum tw_status put(void *context, const char *lines, size_t n_bytes, struct tw_error *error)
{
    const struct sink *sink = context;
    return sink->writer != NULL ? tw_file_writer_write(sink->writer, lines, n_bytes, error)
                                : tw_command_write(lines, n_bytes, error);
}

static enum tw_status close_sink(struct sink *sink, enum tw_status status, struct tw_error *error)
{
    if (sink->writer == NULL) {
        return status;
    }
    if (status == TW_OK) {
        return tw_file_writer_commit(sink->writer, error);
    }
    tw_file_writer_abort(sink->writer);
    return status;
}

static enum tw_status find_range(const struct desk *desk, int64_t *ret_first, int64_t *ret_last,
                                 struct tw_error *error)
{
    const struct tw_field_value *since = value_of(desk, "since"), *until = value_of(desk, "until");
    int64_t first = 1, last = INT64_MAX;
    enum tw_status status = TW_OK;
    if (since->is_set) {
        status = tw_audit_log_seq_at(desk->db, desk->log, since->integer, &first, error);
    }
    if (status == TW_OK && until->is_set) {
        status = tw_audit_log_seq_at(desk->db, desk->log, until->integer, &last, error);
        last--;
    }
    if (status == TW_OK && first > last) {
        status = tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION,
                              "there is no record in that time");
    }
    *ret_first = first;
    *ret_last = last;
    return status;
}

static enum tw_status write_log(struct desk *desk, struct tw_error *error)
{
    struct sink sink;
    int64_t first, last;
    enum tw_status status = open_books(desk, error);
    if (status == TW_OK) {
        status = find_range(desk, &first, &last, error);
    }
    if (status == TW_OK) {
        status = open_sink(desk, &sink, error);
    }
    if (status != TW_OK) {
        return status;
    }
    status = tw_audit_export(desk->db, desk->log, first, last, put, &sink, error);
    return close_sink(&sink, status, error);
}

static enum tw_status write_checkpoint(struct desk *desk, struct tw_error *error)
{
    struct tw_audit_checkpoint checkpoint;
    struct sink sink;
    struct tw_buf text;
    enum tw_status status = open_books(desk, error);
    if (status == TW_OK) {
        status = tw_audit_log_last_checkpoint(desk->db, desk->log, &checkpoint, error);
    }
    if (status == TW_OK) {
        status = open_sink(desk, &sink, error);
    }
    if (status != TW_OK) {
        return status;
    }
    tw_buf_init(&text, TW_LIMIT_AUDIT_FILE_BYTES);
    status = tw_audit_checkpoint_write(&checkpoint, &text)
                 ? put(&sink, text.data, text.size_bytes, error)
                 : tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory");
    tw_buf_free(&text);
    return close_sink(&sink, status, error);
}

enum tw_status tw_audit_files_run(const struct tw_hub_args *args, struct tw_error *error)
{
    struct desk desk = {.args = args};
    enum tw_status status =
        tw_commands_read(args->verb, args->fields, tw_clock_wall_ns(), desk.values, error);
    if (status != TW_OK) {
        return status;
    }
    if (strcmp(args->verb->verb, "verify") == 0) {
        status = verify(&desk, error);
    } else if (strcmp(args->verb->verb, "export") == 0) {
        status = write_log(&desk, error);
    } else {
        status = write_checkpoint(&desk, error);
    }
    tw_db_close(desk.db);
    return status;
}
