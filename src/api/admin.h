/* admin.h: the admin API: the hub's commands over HTTP, on a socket of the file system.
 *
 *     POST /admin/v1/<group>/<verb>    fields as a JSON object -> the answer as a JSON object
 *
 * Who gives a command: the user whose secret comes as Authorization: Bearer, with that user's
 * roles; without one whoever has the machine, that is a process of the server's own user or of
 * root. The socket is for its owner alone.
 *
 * Errors: {"error": {"message", "type", "param", "code"}}; the code is the name of a status of
 * base/status.h:
 *
 *     400 usage, format    401 denied (who are you)    403 denied    404 not found
 *     409 missed, limit    413 a body of more than TW_LIMIT_ADMIN_BODY_BYTES    503 the rest
 *
 * and "not_recorded", 503, of what was not done because it could not be put on record.
 *
 * Commands that change something are handed to the hub's writer; lists are made on a thread of
 * their own, one after another, and reports on another one, so that nothing waits behind them.
 *
 * Ownership: the hub outlives it. Threads: one starts and stops it. Errors: those of
 * net/http_server.h.
 */
#ifndef TW_API_ADMIN_H
#define TW_API_ADMIN_H

#include "hub/commands.h"
#include "hub/hub.h"
#include "net/http_server.h"

struct tw_admin;

/* Listens at a socket that tw_http_listen_local has made at that path. Both are its own from here
 * on, also where it fails. */
enum tw_status tw_admin_start(struct tw_hub *hub, const char *socket_path, int listen_fd,
                              struct tw_admin **ret_admin, struct tw_error *error);
/* Waits until what was asked is answered, and removes the socket. Before the hub is stopped. NULL
 * is allowed. */
void tw_admin_stop(struct tw_admin *admin);

/* The command that a path and a body ask for, and its row of the table. */
enum tw_status tw_admin_read(const char *path, const char *body, size_t body_bytes,
                             const struct tw_hub_verb **ret_verb, json_t **ret_command,
                             struct tw_error *error);

#endif
