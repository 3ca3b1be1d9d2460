/* audit_chain.h: what makes changes to an audit log show: each record's hash covers the one before,
 * and now and then a signature covers the last.
 *
 *     genesis(log) <- record 1 <- record 2 <- ... <- record n      BLAKE2b-256 over all before
 *                                     ^                 ^
 *                                checkpoint 1      checkpoint 2     Ed25519 over the hash there
 *
 * docs/formats/audit.md has every byte; a verifier can be written from it alone.
 *
 * Invariants:
 * 1. A hash covers the hash before, the log's name, number, time, kind and body of a record, each
 *    with its length: no two different records have the same bytes to be hashed.
 * 2. A record, the start of a log and a checkpoint begin with texts of their own, so that none can
 *    be shown as another.
 * 3. Of a checkpoint there is one text: what is read is what would be written, to the byte.
 *
 * Ownership: the caller's; nothing is allocated. Threads: any.
 * Errors: TW_ERR_FORMAT for a text that is no checkpoint.
 */
#ifndef TW_HUB_AUDIT_CHAIN_H
#define TW_HUB_AUDIT_CHAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "hub/audit_key.h"

enum { TW_AUDIT_HASH_BYTES = 32, TW_AUDIT_HEX_BYTES = 2 * TW_AUDIT_HASH_BYTES };

struct tw_audit_hash {
    unsigned char bytes[TW_AUDIT_HASH_BYTES];
};
bool tw_audit_hash_equal(const struct tw_audit_hash *a, const struct tw_audit_hash *b);

struct tw_audit_record {
    int64_t seq; /* from 1, without gaps */
    int64_t at_ns;
    const char *kind;
    size_t kind_bytes;
    const char *body; /* a line of canonical JSON (audit_record.h) */
    size_t body_bytes;
    struct tw_audit_hash hash; /* as it was kept */
};

/* A log's name: 1 to TW_LIMIT_AUDIT_LOG_BYTES of a-z, 0-9 and '-'. */
bool tw_audit_log_name_is_valid(const char *name, size_t n_bytes);
/* Draws one: 32 hexadecimal digits and the end of the text. */
void tw_audit_log_name_draw(char ret_name[33]);

/* The hash "before" record 1 of a log. */
struct tw_audit_hash tw_audit_genesis(const char *log);
/* What the hash of a record must be; record->hash is not looked at. */
struct tw_audit_hash tw_audit_record_hash(const struct tw_audit_hash *before, const char *log,
                                          const struct tw_audit_record *record);

struct tw_audit_checkpoint {
    char log[TW_LIMIT_AUDIT_LOG_BYTES + 1];
    int64_t number; /* from 1, without gaps: one that was removed is missed */
    int64_t seq;    /* of the last record that it covers */
    int64_t at_ns;  /* when it was signed */
    struct tw_audit_hash hash;
    struct tw_audit_signature signature;
};

/* Fills in the signature. */
void tw_audit_checkpoint_sign(struct tw_audit_checkpoint *checkpoint,
                              const struct tw_audit_key *key);
bool tw_audit_checkpoint_verify(const struct tw_audit_checkpoint *checkpoint,
                                const struct tw_audit_public_key *key);

/* The text of a checkpoint that is kept elsewhere: what is signed, and a line of the signature. */
bool tw_audit_checkpoint_write(const struct tw_audit_checkpoint *checkpoint, struct tw_buf *buf);
/* name goes into messages. Whether the signature is right is not asked here. */
enum tw_status tw_audit_checkpoint_parse(const char *text, size_t n_bytes, const char *name,
                                         struct tw_audit_checkpoint *ret_checkpoint,
                                         struct tw_error *error);
enum tw_status tw_audit_checkpoint_load(const char *path,
                                        struct tw_audit_checkpoint *ret_checkpoint,
                                        struct tw_error *error);

#endif
