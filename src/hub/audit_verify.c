#include "hub/audit_verify.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "base/file.h"
#include "hub/audit_check.h"
#include "hub/audit_export.h"
#include "hub/audit_rows.h"

const char *tw_audit_fault_name(enum tw_audit_fault fault)
{
    static const char *const names[TW_AUDIT_FAULT_COUNT] = {
        [TW_AUDIT_FAULT_NONE] = "none",           [TW_AUDIT_FAULT_MISSING] = "missing",
        [TW_AUDIT_FAULT_ORDER] = "order",         [TW_AUDIT_FAULT_TIME] = "time",
        [TW_AUDIT_FAULT_HASH] = "hash",           [TW_AUDIT_FAULT_CHECKPOINT] = "checkpoint",
        [TW_AUDIT_FAULT_REWRITTEN] = "rewritten", [TW_AUDIT_FAULT_CUT] = "cut",
        [TW_AUDIT_FAULT_LINE] = "line",
    };
    assert(fault < TW_AUDIT_FAULT_COUNT);
    return names[fault];
}

static bool check_row(struct tw_audit_check *check, const struct tw_audit_row *row)
{
    if (!row->is_whole && row->is_checkpoint) {
        return tw_audit_check_fail(check, TW_AUDIT_FAULT_CHECKPOINT, row->checkpoint.seq,
                                   "checkpoint %" PRId64 ", of record %" PRId64
                                   ", has a hash or a signature of a wrong length",
                                   row->checkpoint.number, row->checkpoint.seq);
    }
    return row->is_checkpoint ? tw_audit_check_checkpoint(check, &row->checkpoint)
                              : tw_audit_check_record(check, &row->record);
}

static enum tw_status check_rows(struct tw_audit_check *check, struct tw_audit_rows *rows,
                                 struct tw_error *error)
{
    bool is_there = true;
    bool goes_on = check->report.fault == TW_AUDIT_FAULT_NONE;
    while (is_there && goes_on) {
        struct tw_audit_row row;
        enum tw_status status = tw_audit_rows_next(rows, &is_there, &row, error);
        if (status != TW_OK) {
            return status;
        }
        goes_on = !is_there || check_row(check, &row);
    }
    tw_audit_check_end(check);
    return TW_OK;
}

enum tw_status tw_audit_verify_store(struct tw_db *db, const char *log,
                                     const struct tw_audit_verify_options *options,
                                     struct tw_audit_report *ret_report, struct tw_error *error)
{
    struct tw_audit_check check;
    struct tw_audit_rows *rows;
    struct tw_audit_hash genesis = tw_audit_genesis(log);
    enum tw_status status = tw_audit_check_begin(&check, log, 1, &genesis, options, error);
    if (status != TW_OK) {
        return status;
    }
    status = tw_audit_rows_open(db, log, INT64_MIN, INT64_MAX, &rows, error);
    if (status != TW_OK) {
        return status;
    }
    status = check_rows(&check, rows, error);
    tw_audit_rows_close(rows);
    if (status == TW_OK) {
        *ret_report = check.report;
    }
    return status;
}

/* An export on its way through the check. */
struct reading {
    struct tw_audit_check check;
    const char *text;
    size_t n_bytes, at;
    uint64_t line; /* of the line read last */
    bool is_ended; /* the line of the end was read */
};

static bool fail_line(struct reading *reading, const char *what)
{
    return tw_audit_check_fail(&reading->check, TW_AUDIT_FAULT_LINE,
                               reading->check.report.last_seq + 1, "line %" PRIu64 ": %s",
                               reading->line, what);
}

/* False where there is none, with the fault in the report. */
static bool read_line(struct reading *reading, struct tw_audit_line *ret_line)
{
    struct tw_error error;
    const char *text = reading->text + reading->at;
    size_t n_left = reading->n_bytes - reading->at;
    const char *end = n_left != 0 ? memchr(text, '\n', n_left) : NULL;
    reading->line++;
    if (end == NULL) {
        return fail_line(reading, "the export ends too early");
    }
    size_t n_bytes = (size_t)(end - text);
    reading->at += n_bytes + 1;
    return tw_audit_line_parse(text, n_bytes, ret_line, &error) == TW_OK ||
           fail_line(reading, error.text);
}

static bool check_end_line(struct reading *reading, const struct tw_audit_line *line)
{
    const struct tw_audit_report *report = &reading->check.report;
    reading->is_ended = true;
    if (line->n_records != report->n_records || line->n_checkpoints != report->n_checkpoints ||
        line->last_seq != report->last_seq) {
        return fail_line(reading, "the export does not have what its last line counts");
    }
    if (reading->at != reading->n_bytes) {
        return fail_line(reading, "the export goes on behind its end");
    }
    return true;
}

static bool check_line(struct reading *reading, const struct tw_audit_line *line)
{
    switch (line->kind) {
    case TW_AUDIT_LINE_RECORD:
        return tw_audit_check_record(&reading->check, &line->record);
    case TW_AUDIT_LINE_CHECKPOINT:
        return tw_audit_check_checkpoint(&reading->check, &line->checkpoint);
    case TW_AUDIT_LINE_END:
        return check_end_line(reading, line);
    case TW_AUDIT_LINE_HEAD:
        break;
    }
    return fail_line(reading, "an export begins a second time");
}

/* Begins the check by the first line; where that is none the report says so. */
static enum tw_status read_head(struct reading *reading,
                                const struct tw_audit_verify_options *options,
                                struct tw_error *error)
{
    struct tw_audit_line line;
    enum tw_status status = TW_OK;
    if (!read_line(reading, &line)) {
        return TW_OK;
    }
    if (line.kind != TW_AUDIT_LINE_HEAD || line.first_seq < 1 || line.first_seq == INT64_MAX) {
        fail_line(reading, "an export begins with the line that names its log");
    } else {
        status = tw_audit_check_begin(&reading->check, line.log, line.first_seq, &line.previous,
                                      options, error);
    }
    tw_audit_line_free(&line);
    return status;
}

enum tw_status tw_audit_verify_text(const char *text, size_t n_bytes,
                                    const struct tw_audit_verify_options *options,
                                    struct tw_audit_report *ret_report, struct tw_error *error)
{
    struct reading reading = {.text = n_bytes != 0 ? text : "", .n_bytes = n_bytes};
    enum tw_status status = read_head(&reading, options, error);
    bool goes_on = status == TW_OK && reading.check.report.fault == TW_AUDIT_FAULT_NONE;
    while (goes_on && !reading.is_ended) {
        struct tw_audit_line line;
        goes_on = read_line(&reading, &line);
        if (goes_on) {
            goes_on = check_line(&reading, &line);
            tw_audit_line_free(&line);
        }
    }
    if (status != TW_OK) {
        return status;
    }
    reading.check.options = *options;
    if (!tw_audit_check_end(&reading.check)) {
        reading.check.report.line = reading.line;
    }
    *ret_report = reading.check.report;
    return TW_OK;
}

enum tw_status tw_audit_verify_file(const char *path, const struct tw_audit_verify_options *options,
                                    struct tw_audit_report *ret_report, struct tw_error *error)
{
    struct tw_file_map map;
    enum tw_status status = tw_file_map_open(path, &map, error);
    if (status != TW_OK) {
        return status;
    }
    status =
        tw_audit_verify_text((const char *)map.data, map.size_bytes, options, ret_report, error);
    tw_file_map_close(&map);
    return status;
}
