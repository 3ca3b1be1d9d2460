/* tls.h: a certificate with its key, as new connections get it.
 *
 *     tw_tls_create (parsed, and checked against each other) -> tw_tls_use -> served
 *                                        another tw_tls_use  -> ...    from the next handshake on
 *
 * libmicrohttpd asks for the certificate through GnuTLS, whose callback knows no server: so what is
 * in use is in use for the whole process, which has one server with TLS at a time. Connections that
 * stand keep what they began with; therefore nothing that was used is freed before its server ends.
 *
 * Threads: tw_tls_retrieve from any, the rest from one at a time.
 * Errors: TW_ERR_FORMAT for texts that are not what they should be, TW_ERR_USAGE for a pair that is
 * none.
 */
#ifndef TW_NET_TLS_H
#define TW_NET_TLS_H

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>

#include "base/status.h"

/* Nothing older than TLS 1.2. */
#define TW_TLS_PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

struct tw_tls;

/* PEM texts: the certificate, those that certify it behind it, and the certificate's key. */
enum tw_status tw_tls_create(const char *cert_pem, const char *key_pem, struct tw_tls **ret_tls,
                             struct tw_error *error);
/* With all that were in use before it. NULL is allowed. */
void tw_tls_free(struct tw_tls *tls);

/* From here on new connections get this one. older: the one in use, which goes with it; or NULL. */
void tw_tls_use(struct tw_tls *tls, struct tw_tls *older);
/* Nothing is in use. */
void tw_tls_end(void);

/* A gnutls_certificate_retrieve_function3. */
int tw_tls_retrieve(gnutls_session_t session, const struct gnutls_cert_retr_st *info,
                    gnutls_pcert_st **ret_certs, unsigned *ret_n_certs,
                    gnutls_ocsp_data_st **ret_ocsp, unsigned *ret_n_ocsp, gnutls_privkey_t *ret_key,
                    unsigned *ret_flags);

#endif
