/* serve_backends.h: the other servers of `tokenworks serve`, as its configuration file names them.
 *
 *     backends:
 *       - {name: gpu1, url: "https://10.0.0.5:8000", kind: vllm, zone: berlin, ca: ca.pem,
 *          key: gpu1.key, models: [{name: big, upstream: Qwen/Qwen2.5-72B-Instruct, ctx: 32768}]}
 *
 * A model may be on several of them, under one name, which no model of ours has.
 *
 * Ownership: texts are the arguments'. Threads: the main thread only; what happens to a server goes
 * into the log from the remote client's.
 * Errors: TW_ERR_USAGE, and those of remote/remote_client.h.
 */
#ifndef TW_APP_SERVE_BACKENDS_H
#define TW_APP_SERVE_BACKENDS_H

#include "api/api.h"
#include "app/serve_args.h"

struct tw_serve_backend;

struct tw_serve_backends {
    struct tw_remote_client *client; /* NULL: there are none */
    struct tw_api_remote *items;     /* [n_items] */
    size_t n_items;
    struct tw_serve_backend *own; /* [n_items] */
};

/* What can be found out without asking anybody. The models of the arguments were taken. */
enum tw_status tw_serve_backends_check(const struct tw_serve_args *args, struct tw_error *error);

enum tw_status tw_serve_backends_open(struct tw_serve_backends *backends,
                                      const struct tw_serve_args *args, struct tw_error *error);
/* For tw_api_config.relay_note: into the log. Threads: any. */
void tw_serve_log_relay(const struct tw_api_relay_note *note);
/* What they are answering ends. */
void tw_serve_backends_stop(struct tw_serve_backends *backends);
/* Of one that is zeros: nothing. */
void tw_serve_backends_close(struct tw_serve_backends *backends);

#endif
