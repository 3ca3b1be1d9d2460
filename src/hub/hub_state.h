/* hub_state.h: the inside of the hub, for its own files alone.
 *
 *     hub.c          opening, closing, questions
 *     hub_writer.c   the queue and the groups
 *     hub_request.c  what a ticket does: reserve, cover, settle
 *     ledger.c       the rows of these
 *     hub_recover.c  what another process left open
 *
 * What the writer owns: db, statements, ledger, audit, and everything in the directory that is not
 * atomic, except while it is changed, which is done under directory.lock.
 */
#ifndef TW_HUB_HUB_STATE_H
#define TW_HUB_HUB_STATE_H

#include <pthread.h>

#include "hub/audit_log.h"
#include "hub/directory.h"
#include "hub/hub.h"
#include "hub/ledger.h"
#include "store/db.h"

struct tw_hub {
    struct tw_hub_config config;
    struct tw_db *db;
    struct tw_directory directory;
    struct tw_ledger ledger;
    struct tw_audit_log *audit;
    int64_t now_ns;       /* books' time of the group */
    bool is_failed;       /* the store is broken: everything is refused */
    struct tw_error failure; /* why */
    struct tw_error group_error; /* of the group: the first thing that went wrong in it */
    enum tw_status group_status;

    pthread_t thread;
    bool has_thread;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t wake;
    struct tw_hub_op *first, **last;
    bool stops;
};

/* Hands an operation to the writer. */
void tw_hub_enqueue(struct tw_hub *hub, struct tw_hub_op *op);
void *tw_hub_write(void *hub); /* the writer's thread */
/* Within an operation: something could not be written, so the group will not be committed. */
void tw_hub_fail_group(struct tw_hub *hub, enum tw_status status, const struct tw_error *error);
/* Begins and ends a group by hand, before there is a writer. */
enum tw_status tw_hub_begin_group(struct tw_hub *hub, struct tw_error *error);
enum tw_status tw_hub_end_group(struct tw_hub *hub, struct tw_error *error);

enum tw_status tw_hub_recover(struct tw_hub *hub, struct tw_error *error);

#endif
