#include "hub/audit_check.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/printable.h"

bool tw_audit_check_fail(struct tw_audit_check *check, enum tw_audit_fault fault, int64_t seq,
                         const char *format, ...)
{
    struct tw_audit_report *report = &check->report;
    if (report->fault != TW_AUDIT_FAULT_NONE) {
        return false;
    }
    va_list args;
    va_start(args, format);
    vsnprintf(report->text, sizeof report->text, format, args);
    va_end(args);
    tw_printable_clean(report->text, strlen(report->text));
    report->fault = fault;
    report->seq = seq;
    report->since_seq = seq;
    return false;
}

/* What a checkpoint does not sign was replaced, somewhere behind the one before. */
static bool fail_rewritten(struct tw_audit_check *check, int64_t seq, const char *which)
{
    int64_t since_seq = check->report.signed_seq + 1;
    since_seq = since_seq < seq ? since_seq : seq;
    tw_audit_check_fail(check, TW_AUDIT_FAULT_REWRITTEN, seq,
                        "%s signed another record %" PRId64 ": what is there now was written anew, "
                        "from record %" PRId64 " on or later",
                        which, seq, since_seq);
    check->report.since_seq = since_seq;
    return false;
}

static enum tw_status check_kept(const char *log, int64_t first_seq,
                                 const struct tw_audit_verify_options *options,
                                 struct tw_error *error)
{
    const struct tw_audit_checkpoint *kept = options->kept;
    if (strcmp(kept->log, log) != 0) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "the checkpoint that was kept is of the log %s, and this is %s",
                            kept->log, log);
    }
    if (!tw_audit_checkpoint_verify(kept, options->key)) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "the checkpoint that was kept is not signed by this key");
    }
    if (kept->seq < first_seq - 1) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "the checkpoint that was kept is of record %" PRId64
                            ", and the records here begin with %" PRId64,
                            kept->seq, first_seq);
    }
    return TW_OK;
}

enum tw_status tw_audit_check_begin(struct tw_audit_check *check, const char *log,
                                    int64_t first_seq, const struct tw_audit_hash *previous,
                                    const struct tw_audit_verify_options *options,
                                    struct tw_error *error)
{
    struct tw_audit_hash genesis = tw_audit_genesis(log);
    const struct tw_audit_checkpoint *kept = options->kept;
    *check = (struct tw_audit_check){
        .options = *options,
        .report = {.first_seq = first_seq, .last_seq = first_seq - 1, .signed_seq = first_seq - 1},
        .head = *previous,
        .last_ns = INT64_MIN,
        .next_number = first_seq == 1 ? 1 : 0,
    };
    snprintf(check->report.log, sizeof check->report.log, "%s", log);
    if (kept != NULL) {
        enum tw_status status = check_kept(log, first_seq, options, error);
        if (status != TW_OK) {
            return status;
        }
    }
    if (first_seq == 1 && !tw_audit_hash_equal(previous, &genesis)) {
        tw_audit_check_fail(check, TW_AUDIT_FAULT_HASH, 1,
                            "the hash before record 1 is not that of the log's beginning");
    } else if (kept != NULL && kept->seq == first_seq - 1 &&
               !tw_audit_hash_equal(previous, &kept->hash)) {
        fail_rewritten(check, kept->seq, "the checkpoint that was kept");
    }
    return TW_OK;
}

bool tw_audit_check_record(struct tw_audit_check *check, const struct tw_audit_record *record)
{
    struct tw_audit_report *report = &check->report;
    const struct tw_audit_checkpoint *kept = check->options.kept;
    int64_t expected_seq = report->last_seq + 1;
    if (report->fault != TW_AUDIT_FAULT_NONE) {
        return false;
    }
    if (record->seq > expected_seq) {
        return tw_audit_check_fail(check, TW_AUDIT_FAULT_MISSING, expected_seq,
                                   "record %" PRId64 " is missing: the next that is there is "
                                   "record %" PRId64,
                                   expected_seq, record->seq);
    }
    if (record->seq < expected_seq || expected_seq == INT64_MAX) {
        return tw_audit_check_fail(check, TW_AUDIT_FAULT_ORDER, record->seq,
                                   "record %" PRId64 " comes where record %" PRId64 " belongs",
                                   record->seq, expected_seq);
    }
    if (record->at_ns < check->last_ns) {
        return tw_audit_check_fail(check, TW_AUDIT_FAULT_TIME, record->seq,
                                   "record %" PRId64 " is of an earlier time than the one before",
                                   record->seq);
    }
    struct tw_audit_hash hash = tw_audit_record_hash(&check->head, report->log, record);
    if (!tw_audit_hash_equal(&hash, &record->hash)) {
        return tw_audit_check_fail(check, TW_AUDIT_FAULT_HASH, record->seq,
                                   "record %" PRId64 " was changed: its hash is not that of what "
                                   "it has and of the record before",
                                   record->seq);
    }
    if (kept != NULL && kept->seq == record->seq && !tw_audit_hash_equal(&hash, &kept->hash)) {
        return fail_rewritten(check, record->seq, "the checkpoint that was kept");
    }
    check->head = hash;
    check->last_ns = record->at_ns;
    report->last_seq = record->seq;
    report->n_records++;
    return true;
}

/* Whether a checkpoint is the key's and stands where it belongs. */
static bool check_place(struct tw_audit_check *check, const struct tw_audit_checkpoint *checkpoint)
{
    const int64_t last_seq = check->report.last_seq;
    if (!tw_audit_checkpoint_verify(checkpoint, check->options.key)) {
        return tw_audit_check_fail(check, TW_AUDIT_FAULT_CHECKPOINT, checkpoint->seq,
                                   "checkpoint %" PRId64 ", of record %" PRId64
                                   ", is not signed by this key",
                                   checkpoint->number, checkpoint->seq);
    }
    if (check->next_number != 0 && checkpoint->number != check->next_number) {
        return tw_audit_check_fail(check, TW_AUDIT_FAULT_CHECKPOINT, checkpoint->seq,
                                   "checkpoint %" PRId64 " is missing: at record %" PRId64
                                   " comes checkpoint %" PRId64,
                                   check->next_number, checkpoint->seq, checkpoint->number);
    }
    if (checkpoint->seq > last_seq) {
        return tw_audit_check_fail(check, TW_AUDIT_FAULT_MISSING, last_seq + 1,
                                   "record %" PRId64 " is missing: checkpoint %" PRId64
                                   " is of record %" PRId64,
                                   last_seq + 1, checkpoint->number, checkpoint->seq);
    }
    if (checkpoint->seq < last_seq || check->report.n_records == 0) {
        return tw_audit_check_fail(check, TW_AUDIT_FAULT_CHECKPOINT, checkpoint->seq,
                                   "checkpoint %" PRId64 " is of record %" PRId64
                                   " and does not stand behind it",
                                   checkpoint->number, checkpoint->seq);
    }
    return true;
}

static bool is_same_place(const struct tw_audit_checkpoint *a, const struct tw_audit_checkpoint *b)
{
    return a->seq == b->seq && a->at_ns == b->at_ns && tw_audit_hash_equal(&a->hash, &b->hash);
}

bool tw_audit_check_checkpoint(struct tw_audit_check *check,
                               const struct tw_audit_checkpoint *checkpoint)
{
    struct tw_audit_report *report = &check->report;
    const struct tw_audit_checkpoint *kept = check->options.kept;
    struct tw_audit_checkpoint ours = *checkpoint;
    char which[64];
    memcpy(ours.log, report->log, sizeof ours.log);
    if (report->fault != TW_AUDIT_FAULT_NONE || !check_place(check, &ours)) {
        return false;
    }
    snprintf(which, sizeof which, "checkpoint %" PRId64, ours.number);
    if (!tw_audit_hash_equal(&ours.hash, &check->head)) {
        return fail_rewritten(check, ours.seq, which);
    }
    if (ours.at_ns < check->last_ns) {
        return tw_audit_check_fail(check, TW_AUDIT_FAULT_CHECKPOINT, ours.seq,
                                   "%s is of an earlier time than its record %" PRId64, which,
                                   ours.seq);
    }
    if (kept != NULL && kept->number == ours.number && !is_same_place(kept, &ours)) {
        return tw_audit_check_fail(check, TW_AUDIT_FAULT_CHECKPOINT, ours.seq,
                                   "%s, of record %" PRId64 ", is another than the one that was "
                                   "kept, of record %" PRId64,
                                   which, ours.seq, kept->seq);
    }
    check->next_number = ours.number + 1;
    report->signed_seq = ours.seq;
    report->n_checkpoints++;
    return true;
}

bool tw_audit_check_end(struct tw_audit_check *check)
{
    struct tw_audit_report *report = &check->report;
    const struct tw_audit_checkpoint *kept = check->options.kept;
    report->n_unsigned = report->last_seq - report->signed_seq;
    report->head = check->head;
    if (report->fault != TW_AUDIT_FAULT_NONE) {
        return false;
    }
    if (kept != NULL && kept->seq > report->last_seq) {
        return tw_audit_check_fail(check, TW_AUDIT_FAULT_CUT, report->last_seq + 1,
                                   "record %" PRId64 " is missing: the end was cut off, the "
                                   "checkpoint that was kept is of record %" PRId64,
                                   report->last_seq + 1, kept->seq);
    }
    if (kept != NULL && kept->seq >= report->first_seq && check->next_number <= kept->number) {
        return tw_audit_check_fail(check, TW_AUDIT_FAULT_CHECKPOINT, kept->seq,
                                   "checkpoint %" PRId64 ", of record %" PRId64
                                   ", was kept and is not in the log",
                                   kept->number, kept->seq);
    }
    return true;
}
