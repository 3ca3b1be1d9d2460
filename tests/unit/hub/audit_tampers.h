/* audit_tampers.h: a log as its rows, and every way in which somebody changes them who has all but
 * the signing key. What must come of each is computed from the tamper, never by asking the code
 * that is tested. */
#ifndef TW_TESTS_UNIT_HUB_AUDIT_TAMPERS_H
#define TW_TESTS_UNIT_HUB_AUDIT_TAMPERS_H

#include "hub/audit_chain.h"

enum { BODY_BYTES = 1200, KIND_BYTES = 24, MAX_CHECKPOINTS = 200 };

/* A row of either table. */
struct item {
    bool is_checkpoint;
    char log[TW_LIMIT_AUDIT_LOG_BYTES + 1];
    int64_t seq, at_ns, number;
    char kind[KIND_BYTES];
    char body[BODY_BYTES];
    size_t kind_bytes, body_bytes;
    struct tw_audit_hash hash;
    struct tw_audit_signature signature;
    size_t line_at, line_bytes; /* of what it is in the export; 0 bytes once it was changed */
};

/* A log as its rows, in the order of an export. */
struct model {
    struct item *items;
    size_t n_items;
};

/* The log that is changed: as it was, and as it is now. */
struct scene {
    int64_t n_records;
    bool is_postgres; /* the store: it has no texts with zero bytes */
    struct tw_audit_key *foreign_key;
    struct model original, model;
    int64_t signed_seqs[MAX_CHECKPOINTS]; /* of the checkpoints 1 to n */
    int n_checkpoints;
};
extern struct scene scene;

/* A tamper: what to do, with which random numbers, and what must come of it. */
struct tamper {
    const char *name;
    bool in_store; /* otherwise in an export */
    uint64_t number;
    uint32_t n_drawn;
    const struct tw_audit_checkpoint *kept; /* NULL: none */
    struct tw_audit_checkpoint kept_room;
    bool is_found;
    int64_t seq; /* where */
};

struct tw_audit_record record_view(const struct item *item);
struct tw_audit_checkpoint checkpoint_view(const struct item *item);
struct item *checkpoint_of(int number);

/* The next of the tamper's random numbers. */
uint64_t draw(struct tamper *tamper, uint64_t below);
int64_t kept_seq(const struct tamper *tamper);

/* Changes scene.model in the way of the tamper's number, and sets its name and what is expected. */
void apply_tamper(struct tamper *tamper);

#endif
