/* serve_approved.h: whether a server runs by what two people approved (hub/approval.h).
 *
 * The digest of the models is that of their names, aliases and files, of the server's zone, and of
 * the names, addresses, zones and models of other servers.
 *
 * Threads: any. Errors: those of tw_approval_check.
 */
#ifndef TW_APP_SERVE_APPROVED_H
#define TW_APP_SERVE_APPROVED_H

#include "api/api.h"
#include "app/serve_config.h"
#include "hub/approval.h"

/* Of what a server serves. file: that has the other servers; NULL: there are none. */
enum tw_status tw_serve_approved_digest(const char *zone, const struct tw_api_model *models,
                                        size_t n_models, const struct tw_serve_file *file,
                                        char ret_digest[TW_APPROVAL_DIGEST_BYTES],
                                        struct tw_error *error);

/* The same, and whether they are approved. Without books everything is, and has no digest (""). */
enum tw_status tw_serve_approved_models(const struct tw_api_config *config,
                                        const struct tw_serve_file *file,
                                        char ret_digest[TW_APPROVAL_DIGEST_BYTES],
                                        struct tw_error *error);
/* version: of the policy; NULL: there is none. */
enum tw_status tw_serve_approved_policy(struct tw_hub *hub, const char *version,
                                        struct tw_error *error);

#endif
