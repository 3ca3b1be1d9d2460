#include "hub/audit_key.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/secret.h"

enum { SEED_BYTES = 32, PREFIX_BYTES = 16, BASE64_BYTES = 72, PEM_BYTES = 160 };

struct tw_audit_key {
    unsigned char seed[SEED_BYTES];
    unsigned char secret[crypto_sign_SECRETKEYBYTES]; /* libsodium's form: seed and public half */
    struct tw_audit_public_key public_key;
};

/* A PEM file of 32 bytes behind a constant beginning in DER: RFC 8410, sections 4 and 7. */
struct pem_form {
    const char *label;
    unsigned char prefix[PREFIX_BYTES];
    size_t prefix_bytes;
};
static const struct pem_form secret_form = {"PRIVATE KEY",
                                            {0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03,
                                             0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20},
                                            16};
static const struct pem_form public_form = {
    "PUBLIC KEY", {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00}, 12};

static void write_pem(const struct pem_form *form, const unsigned char bytes[SEED_BYTES],
                      char ret_text[PEM_BYTES])
{
    unsigned char der[PREFIX_BYTES + SEED_BYTES];
    char base64[BASE64_BYTES];
    memcpy(der, form->prefix, form->prefix_bytes);
    memcpy(der + form->prefix_bytes, bytes, SEED_BYTES);
    sodium_bin2base64(base64, sizeof base64, der, form->prefix_bytes + SEED_BYTES,
                      sodium_base64_VARIANT_ORIGINAL);
    snprintf(ret_text, PEM_BYTES, "-----BEGIN %s-----\n%s\n-----END %s-----\n", form->label, base64,
             form->label);
    sodium_memzero(der, sizeof der);
    sodium_memzero(base64, sizeof base64);
}

/* Only what write_pem would write of it. */
static bool parse_pem(const struct pem_form *form, const char *text, size_t n_bytes,
                      unsigned char ret_bytes[SEED_BYTES])
{
    unsigned char der[PREFIX_BYTES + SEED_BYTES];
    unsigned char bytes[SEED_BYTES] = {0};
    char again[PEM_BYTES];
    const char *begin = n_bytes != 0 ? memchr(text, '\n', n_bytes) : NULL;
    const char *end =
        begin != NULL ? memchr(begin + 1, '\n', n_bytes - (size_t)(begin + 1 - text)) : NULL;
    size_t der_bytes = 0;
    bool is_ours = end != NULL &&
                   sodium_base642bin(der, sizeof der, begin + 1, (size_t)(end - begin - 1), NULL,
                                     &der_bytes, NULL, sodium_base64_VARIANT_ORIGINAL) == 0 &&
                   der_bytes == form->prefix_bytes + SEED_BYTES;
    if (is_ours) {
        memcpy(bytes, der + form->prefix_bytes, SEED_BYTES);
        write_pem(form, bytes, again);
        is_ours = strlen(again) == n_bytes && memcmp(again, text, n_bytes) == 0;
    }
    if (is_ours) {
        memcpy(ret_bytes, bytes, SEED_BYTES);
    }
    sodium_memzero(der, sizeof der);
    sodium_memzero(bytes, sizeof bytes);
    sodium_memzero(again, sizeof again);
    return is_ours;
}

/* Of the public half, which anybody may read. */
static enum tw_status write_public_text(const char *path, const char *text, struct tw_error *error)
{
    struct tw_file_writer *writer;
    enum tw_status status = tw_file_writer_open(path, &writer, error);
    if (status != TW_OK) {
        return status;
    }
    status = tw_file_writer_write(writer, text, strlen(text), error);
    if (status != TW_OK) {
        tw_file_writer_abort(writer);
        return status;
    }
    return tw_file_writer_commit(writer, error);
}

static void take_seed(struct tw_audit_key *key)
{
    crypto_sign_seed_keypair(key->public_key.bytes, key->secret, key->seed);
}

static enum tw_status read_secret(const char *path, struct tw_audit_key *key,
                                  struct tw_error *error)
{
    struct tw_file_map map;
    enum tw_status status = tw_file_map_open(path, &map, error);
    if (status != TW_OK) {
        return status;
    }
    if ((map.stamp.mode & 0077) != 0) {
        status = tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                              "the signing key '%s' is open to others than its owner: if nobody "
                              "can have taken it, chmod 600 it",
                              path);
    } else if (!parse_pem(&secret_form, (const char *)map.data, map.size_bytes, key->seed)) {
        status = tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                              "'%s' is not an Ed25519 key as PEM", path);
    }
    tw_file_map_close(&map);
    return status;
}

static enum tw_status make_secret(const char *path, const char *public_path,
                                  struct tw_audit_key *key, struct tw_error *error)
{
    if (tw_file_exists(public_path)) {
        return tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION,
                            "the signing key '%s' is gone, and its public half '%s' is there: put "
                            "the key back, or move that file away to begin with a new key",
                            path, public_path);
    }
    char text[PEM_BYTES];
    randombytes_buf(key->seed, sizeof key->seed);
    write_pem(&secret_form, key->seed, text);
    enum tw_status status = tw_file_write_private(path, text, strlen(text), error);
    sodium_memzero(text, sizeof text);
    return status;
}

static enum tw_status settle_public(const char *public_path, const struct tw_audit_key *key,
                                    struct tw_error *error)
{
    struct tw_audit_public_key old;
    if (!tw_file_exists(public_path)) {
        char text[PEM_BYTES];
        write_pem(&public_form, key->public_key.bytes, text);
        return write_public_text(public_path, text, error);
    }
    enum tw_status status = tw_audit_public_key_load(public_path, &old, error);
    if (status == TW_OK && memcmp(old.bytes, key->public_key.bytes, sizeof old.bytes) != 0) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "'%s' is the public half of another key: what that one signed this "
                            "one cannot go on with",
                            public_path);
    }
    return status;
}

enum tw_status tw_audit_key_open(const char *path, struct tw_audit_key **ret_key,
                                 struct tw_error *error)
{
    struct tw_buf public_path;
    tw_buf_init(&public_path, (size_t)1 << 16);
    tw_buf_append_format(&public_path, "%s.pub", path);
    tw_buf_append(&public_path, "", 1);
    struct tw_audit_key *key = tw_secret_alloc(sizeof *key);
    if (key == NULL || public_path.failed) {
        tw_buf_free(&public_path);
        tw_secret_free(key);
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a signing key");
    }
    enum tw_status status = tw_file_exists(path) ? read_secret(path, key, error)
                                                 : make_secret(path, public_path.data, key, error);
    if (status == TW_OK) {
        take_seed(key);
        status = settle_public(public_path.data, key, error);
    }
    tw_buf_free(&public_path);
    if (status != TW_OK) {
        tw_audit_key_free(key);
        return status;
    }
    *ret_key = key;
    return TW_OK;
}

void tw_audit_key_free(struct tw_audit_key *key)
{
    tw_secret_free(key);
}

struct tw_audit_public_key tw_audit_key_public(const struct tw_audit_key *key)
{
    return key->public_key;
}

struct tw_audit_signature tw_audit_key_sign(const struct tw_audit_key *key, const void *text,
                                            size_t n_bytes)
{
    struct tw_audit_signature signature;
    crypto_sign_detached(signature.bytes, NULL, text, n_bytes, key->secret);
    return signature;
}

bool tw_audit_public_key_verify(const struct tw_audit_public_key *key, const void *text,
                                size_t n_bytes, const struct tw_audit_signature *signature)
{
    return crypto_sign_verify_detached(signature->bytes, text, n_bytes, key->bytes) == 0;
}

enum tw_status tw_audit_public_key_parse(const char *text, size_t n_bytes, const char *name,
                                         struct tw_audit_public_key *ret_key,
                                         struct tw_error *error)
{
    if (!parse_pem(&public_form, text, n_bytes, ret_key->bytes)) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "'%s' is not the public half of an Ed25519 key as PEM", name);
    }
    return TW_OK;
}

enum tw_status tw_audit_public_key_load(const char *path, struct tw_audit_public_key *ret_key,
                                        struct tw_error *error)
{
    struct tw_buf text;
    enum tw_status status = tw_file_load(path, TW_LIMIT_AUDIT_FILE_BYTES, &text, error);
    if (status != TW_OK) {
        return status;
    }
    status = tw_audit_public_key_parse(text.data, text.size_bytes, path, ret_key, error);
    tw_buf_free(&text);
    return status;
}
