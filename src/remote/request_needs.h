/* request_needs.h: what a request asks a server to be able to do (TW_SERVER_ bits).
 *
 *     {"tools": [{...}], "n": 2} -> TW_SERVER_ANSWERS | TW_SERVER_TOOLS | TW_SERVER_CHOICES
 *
 * What is not what it should be asks for nothing: the server says so.
 *
 * Pure; threads: any. Errors: none.
 */
#ifndef TW_REMOTE_REQUEST_NEEDS_H
#define TW_REMOTE_REQUEST_NEEDS_H

#include "base/json.h"
#include "remote/server_kind.h"

/* makes_answers: texts; otherwise embeddings. */
uint32_t tw_request_needs(const json_t *request, bool makes_answers);

#endif
