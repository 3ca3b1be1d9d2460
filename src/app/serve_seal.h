/* serve_seal.h: how `tokenworks serve` is sealed, step by step.
 *
 *     tw_serve_seal_check   can what is configured be sealed at all? (serve_check.h asks)
 *     tw_serve_seal_begin   before anything is opened: descriptors closed, the broker started
 *     ... keys, models and books are opened, the sockets listen ...
 *     tw_serve_seal_apply   before the first client is accepted
 *
 * Without --sealed all three do nothing.
 *
 * Ownership: tw_serve_seal_end, at the very end. Threads: the main thread. Errors: those of seal.h
 * and broker.h; TW_ERR_USAGE for a configuration that cannot be sealed.
 */
#ifndef TW_APP_SERVE_SEAL_H
#define TW_APP_SERVE_SEAL_H

#include "app/serve_args.h"
#include "app/serve_place.h"
#include "seal/seal.h"

struct tw_serve_seal {
    struct tw_reach_list reach;
    struct tw_broker broker; /* pid 0: none */
    bool is_confined;        /* by Landlock, too */
    int notify_fd;
};

enum tw_status tw_serve_seal_check(const struct tw_serve_args *args, struct tw_error *error);

enum tw_status tw_serve_seal_begin(const struct tw_serve_args *args,
                                   const struct tw_serve_place *place, struct tw_serve_seal *seal,
                                   struct tw_error *error);

enum tw_status tw_serve_seal_apply(const struct tw_serve_args *args, struct tw_serve_seal *seal,
                                   struct tw_error *error);

void tw_serve_seal_end(struct tw_serve_seal *seal);

#endif
