/* audit_export.h: a range of an audit log as lines of JSON, and those lines read again.
 *
 *     {"export":"tokenworks-audit-1","first":1,"log":"...","previous":"<hash>"}
 *     {"at_ns":...,"body":"...","hash":"...","kind":"...","seq":1}
 *     {"at_ns":...,"checkpoint":1,"hash":"...","seq":1,"signature":"..."}
 *     ...
 *     {"checkpoints":1,"end":1,"records":1}
 *
 * Invariants:
 * 1. The same records give the same bytes, whenever they are exported.
 * 2. A checkpoint stands behind the record whose hash it signs.
 * 3. A line is accepted only where it is, to the byte, what would be written of its values.
 *
 * The body is a string, not an object: what is hashed is its bytes.
 * Ownership: a line owns what it points to until tw_audit_line_free. Threads: any.
 * Errors: TW_ERR_FORMAT for a line that is none of these, those of db.h and of the sink.
 */
#ifndef TW_HUB_AUDIT_EXPORT_H
#define TW_HUB_AUDIT_EXPORT_H

#include "base/json.h"
#include "hub/audit_chain.h"
#include "store/db.h"

enum tw_audit_line_kind {
    TW_AUDIT_LINE_HEAD = 0,
    TW_AUDIT_LINE_RECORD,
    TW_AUDIT_LINE_CHECKPOINT,
    TW_AUDIT_LINE_END
};

struct tw_audit_line {
    enum tw_audit_line_kind kind;
    json_t *tree;                           /* what texts below point into */
    char log[TW_LIMIT_AUDIT_LOG_BYTES + 1]; /* of the head */
    int64_t first_seq;                      /* of the head */
    struct tw_audit_hash previous;          /* of the head: the hash before the first record */
    struct tw_audit_record record;
    struct tw_audit_checkpoint checkpoint;      /* its log is empty */
    int64_t n_records, n_checkpoints, last_seq; /* of the end */
};

/* With the newline. False where the buffer is full. */
bool tw_audit_line_write(const struct tw_audit_line *line, struct tw_buf *buf);
/* Without the newline. */
enum tw_status tw_audit_line_parse(const char *text, size_t n_bytes, struct tw_audit_line *ret_line,
                                   struct tw_error *error);
void tw_audit_line_free(struct tw_audit_line *line);

/* Takes whole lines, one or several a call. */
typedef enum tw_status (*tw_audit_sink_fn)(void *context, const char *lines, size_t n_bytes,
                                           struct tw_error *error);

/* The records first_seq to last_seq, and on to the next checkpoint behind them where there is one,
 * so that a signature covers all. first_seq must be there unless it is 1; INT64_MAX as last_seq
 * takes all. A log that is being written may be exported. */
enum tw_status tw_audit_export(struct tw_db *db, const char *log, int64_t first_seq,
                               int64_t last_seq, tw_audit_sink_fn sink, void *context,
                               struct tw_error *error);

#endif
