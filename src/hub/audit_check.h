/* audit_check.h: the verdict on a log, row by row: the rules of audit_verify.h without a store or a
 * file.
 *
 *     tw_audit_check_begin -> { tw_audit_check_record | tw_audit_check_checkpoint } -> _end
 *
 * Each returns whether to go on: false after a fault, which is in the report. A checkpoint comes
 * behind the record that it names.
 *
 * Ownership: the check is the caller's; rows are looked at during the call only. Threads: one at a
 * time. Errors: TW_ERR_USAGE from begin for a kept checkpoint that says nothing about this log.
 */
#ifndef TW_HUB_AUDIT_CHECK_H
#define TW_HUB_AUDIT_CHECK_H

#include "hub/audit_verify.h"

struct tw_audit_check {
    struct tw_audit_verify_options options;
    struct tw_audit_report report;
    struct tw_audit_hash head; /* of the last record, or before the first */
    int64_t last_ns;
    int64_t next_number; /* of the checkpoint that must come; 0: any */
};

/* first_seq: of the record that must come first, with the hash before it; 1 and the log's genesis
 * for a whole log. */
enum tw_status tw_audit_check_begin(struct tw_audit_check *check, const char *log,
                                    int64_t first_seq, const struct tw_audit_hash *previous,
                                    const struct tw_audit_verify_options *options,
                                    struct tw_error *error);
bool tw_audit_check_record(struct tw_audit_check *check, const struct tw_audit_record *record);
bool tw_audit_check_checkpoint(struct tw_audit_check *check,
                               const struct tw_audit_checkpoint *checkpoint);
bool tw_audit_check_end(struct tw_audit_check *check);

/* Of the first fault only; always false. */
bool tw_audit_check_fail(struct tw_audit_check *check, enum tw_audit_fault fault, int64_t seq,
                         const char *format, ...) __attribute__((format(printf, 4, 5)));

#endif
