#include "hub/audit_export.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "hub/audit_rows.h"

static const char format_name[] = "tokenworks-audit-1";

enum { CHUNK_BYTES = 65536 };

static void put_hex(struct tw_json_writer *json, const char *key, const unsigned char *bytes,
                    size_t n_bytes)
{
    char hex[2 * TW_AUDIT_SIGNATURE_BYTES + 1];
    sodium_bin2hex(hex, sizeof hex, bytes, n_bytes);
    tw_json_put_text(json, key, hex);
}

static void write_head(struct tw_json_writer *json, const struct tw_audit_line *line)
{
    tw_json_put_text(json, "export", format_name);
    tw_json_put_int(json, "first", line->first_seq);
    tw_json_put_text(json, "log", line->log);
    put_hex(json, "previous", line->previous.bytes, sizeof line->previous.bytes);
}

static void write_record(struct tw_json_writer *json, const struct tw_audit_record *record)
{
    tw_json_put_int(json, "at_ns", record->at_ns);
    tw_json_key(json, "body");
    tw_json_string(json, record->body, record->body_bytes);
    put_hex(json, "hash", record->hash.bytes, sizeof record->hash.bytes);
    tw_json_key(json, "kind");
    tw_json_string(json, record->kind, record->kind_bytes);
    tw_json_put_int(json, "seq", record->seq);
}

static void write_checkpoint(struct tw_json_writer *json,
                             const struct tw_audit_checkpoint *checkpoint)
{
    tw_json_put_int(json, "at_ns", checkpoint->at_ns);
    tw_json_put_int(json, "checkpoint", checkpoint->number);
    put_hex(json, "hash", checkpoint->hash.bytes, sizeof checkpoint->hash.bytes);
    tw_json_put_int(json, "seq", checkpoint->seq);
    put_hex(json, "signature", checkpoint->signature.bytes, sizeof checkpoint->signature.bytes);
}

static void write_end(struct tw_json_writer *json, const struct tw_audit_line *line)
{
    tw_json_put_int(json, "checkpoints", line->n_checkpoints);
    tw_json_put_int(json, "end", line->last_seq);
    tw_json_put_int(json, "records", line->n_records);
}

bool tw_audit_line_write(const struct tw_audit_line *line, struct tw_buf *buf)
{
    struct tw_json_writer json;
    tw_json_begin(&json, buf);
    tw_json_object_begin(&json);
    if (line->kind == TW_AUDIT_LINE_HEAD) {
        write_head(&json, line);
    } else if (line->kind == TW_AUDIT_LINE_RECORD) {
        write_record(&json, &line->record);
    } else if (line->kind == TW_AUDIT_LINE_CHECKPOINT) {
        write_checkpoint(&json, &line->checkpoint);
    } else {
        write_end(&json, line);
    }
    tw_json_object_end(&json);
    return tw_buf_append(buf, "\n", 1);
}

/* What a line has of a value, where it has it: the comparison with what would be written tells. */
static int64_t integer_of(const json_t *tree, const char *key)
{
    return json_integer_value(json_object_get(tree, key));
}

static void take_hex(const json_t *tree, const char *key, unsigned char *ret_bytes,
                     size_t wanted_bytes)
{
    const json_t *hex = json_object_get(tree, key);
    size_t n_bytes;
    if (json_is_string(hex)) {
        sodium_hex2bin(ret_bytes, wanted_bytes, json_string_value(hex), json_string_length(hex),
                       NULL, &n_bytes, NULL);
    }
}

static void take_text(const json_t *tree, const char *key, const char **ret_text, size_t *ret_bytes)
{
    const json_t *text = json_object_get(tree, key);
    *ret_text = json_is_string(text) ? json_string_value(text) : "";
    *ret_bytes = json_string_length(text);
}

static void take_head(const json_t *tree, struct tw_audit_line *line)
{
    const char *log;
    size_t log_bytes;
    take_text(tree, "log", &log, &log_bytes);
    if (tw_audit_log_name_is_valid(log, log_bytes)) {
        memcpy(line->log, log, log_bytes);
    }
    line->first_seq = integer_of(tree, "first");
    take_hex(tree, "previous", line->previous.bytes, sizeof line->previous.bytes);
}

static void take_record(const json_t *tree, struct tw_audit_record *record)
{
    record->seq = integer_of(tree, "seq");
    record->at_ns = integer_of(tree, "at_ns");
    take_text(tree, "kind", &record->kind, &record->kind_bytes);
    take_text(tree, "body", &record->body, &record->body_bytes);
    take_hex(tree, "hash", record->hash.bytes, sizeof record->hash.bytes);
}

static void take_checkpoint(const json_t *tree, struct tw_audit_checkpoint *checkpoint)
{
    checkpoint->number = integer_of(tree, "checkpoint");
    checkpoint->seq = integer_of(tree, "seq");
    checkpoint->at_ns = integer_of(tree, "at_ns");
    take_hex(tree, "hash", checkpoint->hash.bytes, sizeof checkpoint->hash.bytes);
    take_hex(tree, "signature", checkpoint->signature.bytes, sizeof checkpoint->signature.bytes);
}

static void take_end(const json_t *tree, struct tw_audit_line *line)
{
    line->n_checkpoints = integer_of(tree, "checkpoints");
    line->n_records = integer_of(tree, "records");
    line->last_seq = integer_of(tree, "end");
}

static void take_line(const json_t *tree, struct tw_audit_line *line)
{
    if (json_object_get(tree, "export") != NULL) {
        line->kind = TW_AUDIT_LINE_HEAD;
        take_head(tree, line);
    } else if (json_object_get(tree, "body") != NULL) {
        line->kind = TW_AUDIT_LINE_RECORD;
        take_record(tree, &line->record);
    } else if (json_object_get(tree, "checkpoint") != NULL) {
        line->kind = TW_AUDIT_LINE_CHECKPOINT;
        take_checkpoint(tree, &line->checkpoint);
    } else {
        line->kind = TW_AUDIT_LINE_END;
        take_end(tree, line);
    }
}

static bool is_what_is_written(const struct tw_audit_line *line, const char *text, size_t n_bytes)
{
    struct tw_buf again;
    tw_buf_init(&again, TW_LIMIT_AUDIT_LINE_BYTES);
    bool is_same = tw_audit_line_write(line, &again) && again.size_bytes == n_bytes + 1 &&
                   memcmp(again.data, text, n_bytes) == 0;
    tw_buf_free(&again);
    return is_same && (line->kind != TW_AUDIT_LINE_HEAD || line->log[0] != '\0');
}

enum tw_status tw_audit_line_parse(const char *text, size_t n_bytes, struct tw_audit_line *ret_line,
                                   struct tw_error *error)
{
    struct tw_audit_line line = {.tree = NULL};
    size_t column;
    if (n_bytes >= TW_LIMIT_AUDIT_LINE_BYTES) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION, "the line has more than %zu bytes",
                            TW_LIMIT_AUDIT_LINE_BYTES);
    }
    enum tw_status status =
        tw_json_parse_line(n_bytes != 0 ? text : "", n_bytes, &line.tree, &column, error);
    if (status != TW_OK) {
        return status;
    }
    take_line(line.tree, &line);
    if (!is_what_is_written(&line, text, n_bytes)) {
        tw_audit_line_free(&line);
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "the line is not one that an export of an audit log has");
    }
    *ret_line = line;
    return TW_OK;
}

void tw_audit_line_free(struct tw_audit_line *line)
{
    json_decref(line->tree);
    line->tree = NULL;
}

/* Lines on their way out. */
struct outlet {
    tw_audit_sink_fn sink;
    void *context;
    struct tw_buf buf;
    struct tw_audit_line end; /* what was written so far */
};

static enum tw_status flush(struct outlet *outlet, struct tw_error *error)
{
    enum tw_status status = TW_OK;
    if (outlet->buf.size_bytes != 0) {
        status = outlet->sink(outlet->context, outlet->buf.data, outlet->buf.size_bytes, error);
    }
    tw_buf_clear(&outlet->buf);
    return status;
}

static enum tw_status put_line(struct outlet *outlet, const struct tw_audit_line *line,
                               struct tw_error *error)
{
    if (!tw_audit_line_write(line, &outlet->buf)) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "a record of the audit log does not fit into a line of %zu bytes",
                            TW_LIMIT_AUDIT_LINE_BYTES);
    }
    return outlet->buf.size_bytes >= CHUNK_BYTES ? flush(outlet, error) : TW_OK;
}

static enum tw_status put_row(struct outlet *outlet, const struct tw_audit_row *row,
                              struct tw_error *error)
{
    struct tw_audit_line line = {
        .kind = row->is_checkpoint ? TW_AUDIT_LINE_CHECKPOINT : TW_AUDIT_LINE_RECORD,
        .record = row->record,
        .checkpoint = row->checkpoint,
    };
    if (!row->is_whole) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "the audit log was changed in the store: a hash or a signature has "
                            "not its length; verify it");
    }
    if (row->is_checkpoint) {
        outlet->end.n_checkpoints++;
    } else {
        outlet->end.n_records++;
        outlet->end.last_seq = row->record.seq;
    }
    return put_line(outlet, &line, error);
}

static enum tw_status put_rows(struct outlet *outlet, struct tw_audit_rows *rows,
                               struct tw_error *error)
{
    for (;;) {
        struct tw_audit_row row;
        bool is_there = false;
        enum tw_status status = tw_audit_rows_next(rows, &is_there, &row, error);
        if (status == TW_OK && is_there) {
            status = put_row(outlet, &row, error);
        }
        if (status != TW_OK || !is_there) {
            return status;
        }
    }
}

/* The hash of the record before the range. */
static enum tw_status find_previous(struct tw_db *db, const char *log, int64_t first_seq,
                                    struct tw_audit_hash *ret_previous, struct tw_error *error)
{
    struct tw_audit_rows *rows;
    struct tw_audit_row row;
    bool is_there = false;
    if (first_seq == 1) {
        *ret_previous = tw_audit_genesis(log);
        return TW_OK;
    }
    enum tw_status status = tw_audit_rows_open(db, log, first_seq - 1, first_seq - 1, &rows, error);
    if (status != TW_OK) {
        return status;
    }
    status = tw_audit_rows_next(rows, &is_there, &row, error);
    if (status == TW_OK && (!is_there || row.is_checkpoint || !row.is_whole)) {
        status = tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION,
                              "the audit log %s has no record %lld for an export to begin behind",
                              log, (long long)first_seq - 1);
    }
    if (status == TW_OK) {
        *ret_previous = row.record.hash;
    }
    tw_audit_rows_close(rows);
    return status;
}

/* The end of the range, or the first checkpoint behind it. */
static enum tw_status find_end(struct tw_db *db, const char *log, int64_t last_seq,
                               int64_t *ret_last_seq, struct tw_error *error)
{
    static const char sql[] = "SELECT min(seq) FROM checkpoint WHERE log = ? AND seq >= ?";
    struct tw_db_value values[] = {tw_db_text(log), tw_db_integer(last_seq)};
    struct tw_db_statement *statement;
    bool is_row = false;
    enum tw_status status = tw_db_prepare(db, sql, &statement, error);
    if (status != TW_OK) {
        return status;
    }
    status = tw_db_query(statement, values, sizeof values / sizeof values[0], error);
    status = status == TW_OK ? tw_db_next(statement, &is_row, error) : status;
    if (status == TW_OK) {
        bool is_found = is_row && !tw_db_column_is_null(statement, 0);
        *ret_last_seq = is_found ? tw_db_column_integer(statement, 0) : last_seq;
    }
    tw_db_finalize(statement);
    return status;
}

enum tw_status tw_audit_export(struct tw_db *db, const char *log, int64_t first_seq,
                               int64_t last_seq, tw_audit_sink_fn sink, void *context,
                               struct tw_error *error)
{
    struct outlet outlet = {.sink = sink, .context = context};
    struct tw_audit_line head = {.kind = TW_AUDIT_LINE_HEAD, .first_seq = first_seq};
    struct tw_audit_rows *rows = NULL;
    if (first_seq < 1 || last_seq < first_seq - 1) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "an export goes from record 1 or later to one that is not before it");
    }
    tw_buf_init(&outlet.buf, TW_LIMIT_AUDIT_LINE_BYTES + CHUNK_BYTES);
    snprintf(head.log, sizeof head.log, "%s", log);
    outlet.end = (struct tw_audit_line){.kind = TW_AUDIT_LINE_END, .last_seq = first_seq - 1};
    enum tw_status status = find_previous(db, log, first_seq, &head.previous, error);
    status = status == TW_OK ? find_end(db, log, last_seq, &last_seq, error) : status;
    status =
        status == TW_OK ? tw_audit_rows_open(db, log, first_seq, last_seq, &rows, error) : status;
    status = status == TW_OK ? put_line(&outlet, &head, error) : status;
    status = status == TW_OK ? put_rows(&outlet, rows, error) : status;
    status = status == TW_OK ? put_line(&outlet, &outlet.end, error) : status;
    status = status == TW_OK ? flush(&outlet, error) : status;
    tw_audit_rows_close(rows);
    tw_buf_free(&outlet.buf);
    return status;
}
