#include "net/tls.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "base/mem.h"

#define KEY_ID_BYTES 64

struct tw_tls {
    gnutls_pcert_st certs[TW_LIMIT_TLS_CHAIN_CERTS];
    unsigned n_certs;
    gnutls_privkey_t key;
    struct tw_tls *older;
};

static _Atomic(struct tw_tls *) in_use;

static gnutls_datum_t datum_of(const char *text)
{
    union {
        const char *in;
        unsigned char *out;
    } bytes = {text};
    return (gnutls_datum_t){bytes.out, (unsigned)strlen(text)};
}

static enum tw_status read_certs(struct tw_tls *tls, const char *pem, struct tw_error *error)
{
    const gnutls_datum_t text = datum_of(pem);
    unsigned n = TW_LIMIT_TLS_CHAIN_CERTS;
    int failure = gnutls_pcert_list_import_x509_raw(tls->certs, &n, &text, GNUTLS_X509_FMT_PEM,
                                                    GNUTLS_X509_CRT_LIST_IMPORT_FAIL_IF_EXCEED |
                                                        GNUTLS_X509_CRT_LIST_FAIL_IF_UNSORTED);
    if (failure < 0) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "the certificate cannot be read (%s): it must be in PEM form, those "
                            "that certify it behind it",
                            gnutls_strerror(failure));
    }
    tls->n_certs = n;
    return TW_OK;
}

static enum tw_status read_key(struct tw_tls *tls, const char *pem, struct tw_error *error)
{
    const gnutls_datum_t text = datum_of(pem);
    int failure = gnutls_privkey_init(&tls->key);
    if (failure == 0) {
        failure = gnutls_privkey_import_x509_raw(tls->key, &text, GNUTLS_X509_FMT_PEM, NULL, 0);
    }
    if (failure < 0) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "the key cannot be read (%s): it must be in PEM form and without a "
                            "password",
                            gnutls_strerror(failure));
    }
    return TW_OK;
}

static bool is_its_key(const struct tw_tls *tls)
{
    unsigned char ids[2][KEY_ID_BYTES];
    size_t n_bytes[2] = {KEY_ID_BYTES, KEY_ID_BYTES};
    gnutls_pubkey_t of_key;
    if (gnutls_pubkey_init(&of_key) < 0) {
        return false;
    }
    const bool is_same =
        gnutls_pubkey_import_privkey(of_key, tls->key, 0, 0) >= 0 &&
        gnutls_pubkey_get_key_id(of_key, GNUTLS_KEYID_USE_SHA256, ids[0], &n_bytes[0]) >= 0 &&
        gnutls_pubkey_get_key_id(tls->certs[0].pubkey, GNUTLS_KEYID_USE_SHA256, ids[1],
                                 &n_bytes[1]) >= 0 &&
        n_bytes[0] == n_bytes[1] && memcmp(ids[0], ids[1], n_bytes[0]) == 0;
    gnutls_pubkey_deinit(of_key);
    return is_same;
}

enum tw_status tw_tls_create(const char *cert_pem, const char *key_pem, struct tw_tls **ret_tls,
                             struct tw_error *error)
{
    struct tw_tls *tls = tw_mem_zalloc(1, sizeof *tls);
    if (tls == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a certificate");
    }
    enum tw_status status = read_certs(tls, cert_pem, error);
    if (status == TW_OK) {
        status = read_key(tls, key_pem, error);
    }
    if (status == TW_OK && !is_its_key(tls)) {
        status = tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                              "the key is not that of the certificate, which must be the first one "
                              "in its file");
    }
    if (status != TW_OK) {
        tw_tls_free(tls);
        return status;
    }
    *ret_tls = tls;
    return TW_OK;
}

void tw_tls_free(struct tw_tls *tls)
{
    while (tls != NULL) {
        struct tw_tls *older = tls->older;
        for (unsigned i = 0; i < tls->n_certs; i++) {
            gnutls_pcert_deinit(&tls->certs[i]);
        }
        if (tls->key != NULL) {
            gnutls_privkey_deinit(tls->key);
        }
        tw_mem_free(tls);
        tls = older;
    }
}

void tw_tls_use(struct tw_tls *tls, struct tw_tls *older)
{
    tls->older = older;
    in_use = tls;
}

void tw_tls_end(void)
{
    in_use = NULL;
}

int tw_tls_retrieve(gnutls_session_t session, const struct gnutls_cert_retr_st *info,
                    gnutls_pcert_st **ret_certs, unsigned *ret_n_certs,
                    gnutls_ocsp_data_st **ret_ocsp, unsigned *ret_n_ocsp, gnutls_privkey_t *ret_key,
                    unsigned *ret_flags)
{
    struct tw_tls *tls = in_use;
    (void)session;
    (void)info;
    if (tls == NULL) {
        return -1;
    }
    *ret_certs = tls->certs;
    *ret_n_certs = tls->n_certs;
    *ret_ocsp = NULL;
    *ret_n_ocsp = 0;
    *ret_key = tls->key;
    *ret_flags = 0; /* they stay ours */
    return 0;
}
