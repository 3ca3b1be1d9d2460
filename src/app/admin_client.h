/* admin_client.h: commands of the hub, asked of the server that runs.
 *
 * Threads: one at a time. Errors: those that the server answers, with their status; TW_ERR_IO for
 * one that does not answer as it should.
 */
#ifndef TW_APP_ADMIN_CLIENT_H
#define TW_APP_ADMIN_CLIENT_H

#include <stdbool.h>

#include "base/json.h"

/* secret: a person's, or NULL: whoever has the machine. *ret_is_there: false where nobody listens
 * at the socket; then nothing else is set, and the status is TW_OK. */
enum tw_status tw_admin_client_ask(const char *socket_path, const char *secret, const char *group,
                                   const char *verb, json_t *fields, bool *ret_is_there,
                                   json_t **ret_answer, struct tw_error *error);

#endif
