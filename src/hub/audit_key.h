/* audit_key.h: the Ed25519 key that signs checkpoints of an audit log, and its public half.
 *
 *     FILE       the key, PEM as OpenSSL writes it (PKCS #8); made at first use, mode 0600
 *     FILE.pub   its public half, PEM; all that a verifier needs
 *
 * Invariants:
 * 1. A key is drawn from the system's random numbers and is on the disk before anything is signed.
 * 2. A key file that others may read or write is refused.
 * 3. A file is read only in the form in which it is written.
 *
 * Ownership: the caller frees the key, which wipes it. Threads: any may sign and verify.
 * Errors: TW_ERR_USAGE for a key file open to others, TW_ERR_FORMAT for one that is no such key or
 * does not go with its public half,
 * TW_ERR_NOT_FOUND, TW_ERR_IO, TW_ERR_MEMORY.
 */
#ifndef TW_HUB_AUDIT_KEY_H
#define TW_HUB_AUDIT_KEY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

enum { TW_AUDIT_PUBLIC_BYTES = 32, TW_AUDIT_SIGNATURE_BYTES = 64 };

struct tw_audit_key;

struct tw_audit_public_key {
    unsigned char bytes[TW_AUDIT_PUBLIC_BYTES];
};
struct tw_audit_signature {
    unsigned char bytes[TW_AUDIT_SIGNATURE_BYTES];
};

/* Reads the key, or makes it where neither it nor a public half is there; writes the public half
 * where that is missing. One of another key is an error (TW_ERR_FORMAT): a key was lost. */
enum tw_status tw_audit_key_open(const char *path, struct tw_audit_key **ret_key,
                                 struct tw_error *error);
/* NULL is allowed. */
void tw_audit_key_free(struct tw_audit_key *key);

struct tw_audit_public_key tw_audit_key_public(const struct tw_audit_key *key);
struct tw_audit_signature tw_audit_key_sign(const struct tw_audit_key *key, const void *text,
                                            size_t n_bytes);

bool tw_audit_public_key_verify(const struct tw_audit_public_key *key, const void *text,
                                size_t n_bytes, const struct tw_audit_signature *signature);
enum tw_status tw_audit_public_key_load(const char *path, struct tw_audit_public_key *ret_key,
                                        struct tw_error *error);
/* name goes into messages. */
enum tw_status tw_audit_public_key_parse(const char *text, size_t n_bytes, const char *name,
                                         struct tw_audit_public_key *ret_key,
                                         struct tw_error *error);

#endif
