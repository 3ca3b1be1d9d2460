/* audit_rows.h: the records and checkpoints of a log as a store has them, in their order, whatever
 * was done to them.
 *
 *     record 1, record 2, checkpoint 1 (of record 2), record 3, ...
 *
 * Invariants:
 * 1. Texts are given with all their bytes: a store may keep a zero byte in one, and what is behind.
 * 2. Rows are read in pages; memory does not grow with the log. Of very many that share a number
 *    the first come, more than one.
 * 3. Of a log that is being written, rows come up to where it was when this began.
 *
 * Ownership: a row points to the pages until the next call. Threads: the database's.
 * Errors: those of db.h.
 */
#ifndef TW_HUB_AUDIT_ROWS_H
#define TW_HUB_AUDIT_ROWS_H

#include "hub/audit_chain.h"
#include "store/db.h"

struct tw_audit_rows;

struct tw_audit_row {
    bool is_checkpoint;
    bool is_whole; /* hash and signature have their lengths; otherwise they are zero */
    struct tw_audit_record record;         /* of a checkpoint: all zero */
    struct tw_audit_checkpoint checkpoint; /* of a record: all zero */
};

/* Rows with first_seq <= seq <= last_seq. */
enum tw_status tw_audit_rows_open(struct tw_db *db, const char *log, int64_t first_seq,
                                  int64_t last_seq, struct tw_audit_rows **ret_rows,
                                  struct tw_error *error);
/* NULL is allowed. */
void tw_audit_rows_close(struct tw_audit_rows *rows);

/* The next: *ret_there says whether there was one. */
enum tw_status tw_audit_rows_next(struct tw_audit_rows *rows, bool *ret_there,
                                  struct tw_audit_row *ret_row, struct tw_error *error);

#endif
