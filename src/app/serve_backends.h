/* serve_backends.h: the other servers of `tokenworks serve`, as its configuration file names them.
 *
 *     backends:
 *       - {name: gpu1, url: "https://10.0.0.5:8000", kind: vllm, zone: berlin, ca: ca.pem,
 *          key: gpu1.key, models: [{name: big, upstream: Qwen/Qwen2.5-72B-Instruct, ctx: 32768}]}
 *
 * A backend of the file is an entry; where its URLs stand for several servers (backend_url.h), each
 * is an instance of it, named by entry and address: "gpu1@10.0.0.5:8000". A model may be at several
 * of them, under one name, which no model of ours has.
 *
 *     the file, again, or by hand  --+
 *     names, when their TTL is over --+--> a new fleet --[tw_api_change]--> requests from now on
 *
 * What did not change keeps its connections and what is known of it. What is no longer there
 * answers what it has.
 *
 * A sealed server looks its names up once, before it is sealed; from then on it reaches what its
 * broker does.
 *
 * Ownership: texts are copied; the arguments outlive them. Threads: check, look_up, open and close
 * the main thread; change and drain any; names are looked up on a thread of their own; what happens
 * to a server goes into the log from the remote client's.
 * Errors: TW_ERR_USAGE, TW_ERR_NOT_FOUND, TW_ERR_LIMIT, and those of remote/remote_client.h.
 */
#ifndef TW_APP_SERVE_BACKENDS_H
#define TW_APP_SERVE_BACKENDS_H

#include "api/api.h"
#include "app/serve_args.h"
#include "app/serve_config.h"
#include "seal/reach.h"

struct tw_serve_backends;

/* What can be found out without asking anybody. The models of the arguments were taken. */
enum tw_status tw_serve_backends_check(const struct tw_serve_args *args, struct tw_error *error);

/* The zone of a backend of the file, whether it says one or not. */
const char *tw_serve_backends_zone(const struct tw_serve_file_backend *row);
/* Whether a backend says its zone: somebody believes that data is kept in some of them. */
bool tw_serve_backends_have_zones(const struct tw_serve_file *file);
#define TW_SERVE_ZONES_WITHOUT_POLICY                                                              \
    "backends have zones and no policy is given, so data may go to all of them: give --policy, "   \
    "or "                                                                                          \
    "'policy:' in the file"

/* For tw_api_config.relay_note: into the log. Threads: any. */
void tw_serve_log_relay(const struct tw_api_relay_note *note);
/* reach: of a sealed server, which gets the addresses of them all; NULL: it is not sealed. */
enum tw_status tw_serve_backends_look_up(const struct tw_serve_args *args,
                                         struct tw_reach_list *reach,
                                         struct tw_serve_backends **ret_backends,
                                         struct tw_error *error);
/* Begins to ask them whether they are there. */
enum tw_status tw_serve_backends_open(struct tw_serve_backends *backends, struct tw_error *error);
/* NULL: there will never be any. */
struct tw_remote_client *tw_serve_backends_client(struct tw_serve_backends *backends);

/* Gives them to the API, and from here on what names stand for. */
enum tw_status tw_serve_backends_start(struct tw_serve_backends *backends, struct tw_api *api,
                                       struct tw_error *error);

/* From now on those of another file, together with the policy of the change: both hold, or nothing
 * has changed. On success file and policy are theirs. *ret_n: how many instances. */
enum tw_status tw_serve_backends_change(struct tw_serve_backends *backends,
                                        struct tw_serve_file *file, struct tw_api_change *change,
                                        size_t *ret_n, struct tw_error *error);

/* An entry with all its instances, or one: it gets no new requests, until this says otherwise or
 * the server ends. agree: as of tw_api_change. */
enum tw_status tw_serve_backends_drain(struct tw_serve_backends *backends, const char *name,
                                       bool is_draining,
                                       enum tw_status (*agree)(void *context,
                                                               struct tw_error *error),
                                       void *context, struct tw_error *error);
/* Whether it was drained by hand. */
bool tw_serve_backends_is_drained(struct tw_serve_backends *backends, const char *name);

/* Names are looked up no more, and what they are answering ends. NULL is allowed. */
void tw_serve_backends_stop(struct tw_serve_backends *backends);
/* After the API was freed. NULL is allowed. */
void tw_serve_backends_close(struct tw_serve_backends *backends);

#endif
