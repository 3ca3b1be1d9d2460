/* stage_state.h: the inside of the stage, for this layer alone.
 *
 * stage.c hands out turns and room, backend.c is a model's thread. Functions that say so are called
 * under the lock.
 */
#ifndef TW_BACKEND_STAGE_STATE_H
#define TW_BACKEND_STAGE_STATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "backend/stage.h"
#include "device/device.h"
#include "sched/arbiter.h"

struct tw_stage_news;

struct tw_stage {
    struct tw_fair_share *share; /* of whoever has the turn */
    struct tw_device *device;    /* as well */
    pthread_mutex_t lock;        /* of what follows */
    pthread_cond_t changed;      /* a model was loaded or not, or a tenant is known */
    struct tw_arbiter *arbiter;
    pthread_cond_t *wakes[TW_LIMIT_SERVED_MODELS]; /* of the models' threads */
    uint32_t n_models, n_most_models; /* that have come, and that are to; each keeps its number */
    int holder;                       /* of the turn; -1: nobody */
    struct tw_stage_news *news;       /* tenants that wait to be known */
    atomic_uint n_expected;           /* without the lock */
};

/* Under the lock. Moves models in and out of memory as far as it can; their threads are woken. */
void tw_stage_settle(struct tw_stage *stage);

/* Under the lock. Waits until the model has the turn. */
void tw_stage_take_turn(struct tw_stage *stage, uint32_t model);
/* Under the lock. Gives it back after a step; asks: for another one. */
void tw_stage_end_turn(struct tw_stage *stage, uint32_t model, int64_t step_ns, bool asks);
/* Under the lock. The model does not want the turn any more, whether it has it or not. */
void tw_stage_withdraw(struct tw_stage *stage, uint32_t model);

#endif
