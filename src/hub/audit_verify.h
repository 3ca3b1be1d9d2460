/* audit_verify.h: whether an audit log is what was written: a store's, or an export's, offline.
 *
 * Every hash is computed again, numbers must follow one another, times must not go back, every
 * checkpoint must be signed by the key, number its place, and sign the hash that is there. A
 * checkpoint that was kept elsewhere must be one of the log's, and its record must be there.
 *
 * What is found: any change, removal, insertion or move of what a checkpoint covers, by whoever has
 * all but the signing key. What is not: records behind the last checkpoint that somebody removed,
 * or wrote anew with all hashes; nor, without a checkpoint kept elsewhere, an end that was cut off
 * together with its checkpoints. The report says how many records no signature covers.
 *
 * Invariants:
 * 1. The first fault ends it; the report has its place and a sentence.
 * 2. Of a range, what is before it is the range's word; a checkpoint kept from its beginning (of
 *    the record before) proves it.
 *
 * Ownership: the caller's. Threads: any; a store's database is used by one at a time.
 * Errors: TW_OK however the verdict is: report.fault has it. Others where it could not be
 * reached: those of db.h and file.h; TW_ERR_USAGE for a kept checkpoint that cannot be compared.
 */
#ifndef TW_HUB_AUDIT_VERIFY_H
#define TW_HUB_AUDIT_VERIFY_H

#include "hub/audit_chain.h"
#include "store/db.h"

enum tw_audit_fault {
    TW_AUDIT_FAULT_NONE = 0,
    TW_AUDIT_FAULT_MISSING,    /* a record is not there */
    TW_AUDIT_FAULT_ORDER,      /* a record comes twice, or behind a later one */
    TW_AUDIT_FAULT_TIME,       /* a time goes back */
    TW_AUDIT_FAULT_HASH,       /* content and hash of a record do not belong together */
    TW_AUDIT_FAULT_CHECKPOINT, /* a checkpoint is missing, moved or not signed by the key */
    TW_AUDIT_FAULT_REWRITTEN,  /* a checkpoint signed another hash: what it covers was replaced */
    TW_AUDIT_FAULT_CUT,        /* the log ends before the checkpoint that was kept elsewhere */
    TW_AUDIT_FAULT_LINE,       /* a line of an export is none, or the export ends too early */
    TW_AUDIT_FAULT_COUNT
};
/* A word: "missing". */
const char *tw_audit_fault_name(enum tw_audit_fault fault);

struct tw_audit_report {
    enum tw_audit_fault fault;
    int64_t seq;       /* of the first bad record, or of the record that a bad checkpoint names */
    int64_t since_seq; /* the first that may be meant; before seq for what was rewritten only */
    uint64_t line;     /* of an export, from 1; 0: none */
    char text[TW_LIMIT_ERROR_TEXT_BYTES]; /* a sentence; "" without a fault */

    char log[TW_LIMIT_AUDIT_LOG_BYTES + 1];
    int64_t first_seq, last_seq; /* of the records that were good; last is first - 1 for none */
    int64_t n_records, n_checkpoints;
    int64_t signed_seq; /* the last that a checkpoint covers; first - 1: none */
    int64_t n_unsigned; /* records behind it */
    struct tw_audit_hash head;
};

struct tw_audit_verify_options {
    const struct tw_audit_public_key *key;
    const struct tw_audit_checkpoint *kept; /* NULL: none */
};

/* A log of the store. */
enum tw_status tw_audit_verify_store(struct tw_db *db, const char *log,
                                     const struct tw_audit_verify_options *options,
                                     struct tw_audit_report *ret_report, struct tw_error *error);
enum tw_status tw_audit_verify_text(const char *text, size_t n_bytes,
                                    const struct tw_audit_verify_options *options,
                                    struct tw_audit_report *ret_report, struct tw_error *error);
enum tw_status tw_audit_verify_file(const char *path, const struct tw_audit_verify_options *options,
                                    struct tw_audit_report *ret_report, struct tw_error *error);

#endif
