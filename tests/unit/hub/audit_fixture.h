/* audit_fixture.h: a folder, a store in it, a key that is always the same, a log of requests. */
#ifndef TW_TESTS_UNIT_HUB_AUDIT_FIXTURE_H
#define TW_TESTS_UNIT_HUB_AUDIT_FIXTURE_H

#include "hub/audit_log.h"
#include "hub/audit_verify.h"

#define AUDIT_LOG   "00112233445566778899aabbccddeeff"
#define AUDIT_START ((int64_t)1800000000000000000)

/* The key of the bytes 0 to 31. */
#define AUDIT_KEY_PEM                                                                              \
    "-----BEGIN PRIVATE KEY-----\n"                                                                \
    "MC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\n"                           \
    "-----END PRIVATE KEY-----\n"
#define AUDIT_PUBLIC_PEM                                                                           \
    "-----BEGIN PUBLIC KEY-----\n"                                                                 \
    "MCowBQYDK2VwAyEAA6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=\n"                               \
    "-----END PUBLIC KEY-----\n"

/* A new folder below the system's place for such; remove_folder takes it away with its files. */
void make_folder(char ret_path[256]);
void remove_folder(const char *path);
void write_text(const char *path, const char *text, unsigned mode);
struct tw_audit_key *open_key(const char *folder, const char *name, const char *pem);

/* A SQLite store in a folder, or that of TW_TEST_POSTGRES, emptied; open_store: with the tables of
 * a log. */
struct tw_db *open_empty_store(const char *folder);
struct tw_db *open_store(const char *folder);
struct tw_audit_log *open_log(struct tw_db *db, const struct tw_audit_key *key);
void run_sql(struct tw_db *db, const char *sql);

/* The body of request number n: 300 to 700 bytes. */
void write_body(int64_t n, struct tw_buf *ret_body);
/* n records a hundredth of a second apart, in transactions of 25, with the checkpoints due. */
void append_requests(struct tw_db *db, struct tw_audit_log *log, int64_t n);

/* A sink for exports: context is a struct tw_buf. */
enum tw_status collect_lines(void *context, const char *lines, size_t n_bytes,
                             struct tw_error *error);

#endif
