/* subject_keys.h: a key for each person whom requests are about, in a file of its own.
 *
 *     FOLDER/<32 hexadecimal digits: the subject>-<number of the project>      mode 0600
 *         0    key, 32 random bytes
 *         32   how many erasures the books had when it was made, 8 bytes, little-endian
 *         40   BLAKE2b of these, 16 bytes
 *
 *     take:   nothing -> MADE     on the disk before it is given out
 *     erase:  MADE -> nothing     overwritten, synced, taken out of the folder, which is synced,
 *                                 and wiped from memory
 *
 * What content is encrypted with, and the salts of its commitments, are made of it and nothing
 * else: with the key they are gone, wherever copies of the store are. So keys are never in the
 * store, its log, or its backups. A subject is a keyed hash of who it is, without a way back.
 *
 * Invariants:
 * 1. Of a subject in a project there is one key at a time, whatever processes share the folder.
 * 2. A key that was erased while somebody had it derives nothing any more.
 * 3. tw_subject_keys_sweep erases what came back out of a backup: a key that is older than an
 *    erasure of its subject.
 *
 * Ownership: a key that was taken or found is given back before the keys are closed. At most
 * TW_LIMIT_SUBJECT_KEYS are remembered beside those.
 * Threads: any. Errors: TW_ERR_IO, a full disk among them, TW_ERR_MEMORY; TW_ERR_FORMAT for a
 * file that was changed; TW_ERR_NOT_FOUND from find, TW_ERR_LIMIT from take.
 */
#ifndef TW_HUB_SUBJECT_KEYS_H
#define TW_HUB_SUBJECT_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/status.h"

enum {
    TW_SUBJECT_BYTES = 16,
    TW_SUBJECT_HEX_BYTES = 2 * TW_SUBJECT_BYTES + 1, /* as text, with its end */
    TW_SUBJECT_PEPPER_BYTES = 32,
    TW_SUBJECT_SALT_BYTES = 32,
    TW_SUBJECT_TAG_BYTES = 16
};

/* Whom a request is about. */
enum tw_subject_kind {
    TW_SUBJECT_USER = 0, /* whom it names */
    TW_SUBJECT_PERSON,   /* whose key it came with */
    TW_SUBJECT_PROJECT   /* nobody in particular */
};
#define TW_SUBJECT_KINDS 3

struct tw_subject {
    unsigned char bytes[TW_SUBJECT_BYTES];
};

struct tw_subject_keys;
struct tw_subject_key;

/* Makes the folder, for us alone. pepper: what subjects are hashed with. */
enum tw_status tw_subject_keys_open(const char *folder,
                                    const unsigned char pepper[TW_SUBJECT_PEPPER_BYTES],
                                    struct tw_subject_keys **ret_keys, struct tw_error *error);
/* NULL is allowed. */
void tw_subject_keys_close(struct tw_subject_keys *keys);

/* name: of a user as the request has it; otherwise a number as text. */
struct tw_subject tw_subject_of(const struct tw_subject_keys *keys, enum tw_subject_kind kind,
                                const char *name, size_t name_bytes);
void tw_subject_write(const struct tw_subject *subject, char ret_text[TW_SUBJECT_HEX_BYTES]);

/* How many keys somebody may have made in a day: each is a file, and two syncs that others wait
 * for, so names that are made up may not go on without end. Changed by one call at a time. */
struct tw_subject_quota {
    uint32_t most;
    int64_t day; /* since 1970 UTC: n were made in it */
    uint32_t n;
};

/* The key of a subject in a project; made where there is none, within the quota (NULL: there is
 * none) of the day in which now_ns lies. TW_ERR_LIMIT: it is used up. */
enum tw_status tw_subject_keys_take(struct tw_subject_keys *keys, const struct tw_subject *subject,
                                    int64_t project, struct tw_subject_quota *quota, int64_t now_ns,
                                    struct tw_subject_key **ret_key, struct tw_error *error);
/* The same without making one. */
enum tw_status tw_subject_keys_find(struct tw_subject_keys *keys, const struct tw_subject *subject,
                                    int64_t project, struct tw_subject_key **ret_key,
                                    struct tw_error *error);
/* NULL is allowed. */
void tw_subject_key_give_back(struct tw_subject_key *key);

/* How many erasures there were so far: new keys say so, and are not touched by them. */
void tw_subject_keys_set_erasures(struct tw_subject_keys *keys, int64_t n_erasures);
/* Erases a key that was made before that erasure; *ret_was_there: whether there was one. */
enum tw_status tw_subject_keys_erase(struct tw_subject_keys *keys, const struct tw_subject *subject,
                                     int64_t project, int64_t erasure, bool *ret_was_there,
                                     struct tw_error *error);
/* Goes through the folder: each key that erased_by names a later erasure for is erased. 0: none. */
typedef int64_t (*tw_subject_erased_fn)(void *context, const struct tw_subject *subject,
                                        int64_t project);
enum tw_status tw_subject_keys_sweep(struct tw_subject_keys *keys, tw_subject_erased_fn erased_by,
                                     void *context, struct tw_error *error);

/* ---- what a key is for; false: it was erased ---- */

const struct tw_subject *tw_subject_key_subject(const struct tw_subject_key *key);
/* The number in its file. */
int64_t tw_subject_key_erasures(const struct tw_subject_key *key);

/* What a commitment to a request's content is keyed with. May be shown to whoever is to check it:
 * it says nothing of other requests. */
bool tw_subject_key_salt(struct tw_subject_key *key, int64_t request,
                         unsigned char ret_salt[TW_SUBJECT_SALT_BYTES]);
/* By which whoever has the key finds the subject's records: another one for each request. */
bool tw_subject_key_tag(struct tw_subject_key *key, int64_t request,
                        unsigned char ret_tag[TW_SUBJECT_TAG_BYTES]);
/* XChaCha20-Poly1305, bound to subject, project and request. Failure of memory shows in
 * ret_sealed->failed. */
bool tw_subject_key_seal(struct tw_subject_key *key, int64_t request, const void *plain,
                         size_t plain_bytes, struct tw_buf *ret_sealed);
/* TW_ERR_FORMAT for what this key did not seal for this request; TW_ERR_NOT_FOUND: erased. */
enum tw_status tw_subject_key_unseal(struct tw_subject_key *key, int64_t request,
                                     const void *sealed, size_t sealed_bytes,
                                     struct tw_buf *ret_plain, struct tw_error *error);

#endif
