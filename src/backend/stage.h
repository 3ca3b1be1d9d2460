/* stage.h: what the models of a server share: memory, cores, and how much each tenant was given.
 *
 *     tw_stage_create -> { tw_backend_open ... tw_backend_free } -> tw_stage_free
 *
 * Models compute in turns, one at a time and each with all cores (sched/arbiter.h says whose turn
 * it is, and who leaves memory for whom). Whoever has the turn may call its engine, and nobody else
 * may: the engines share a device and the tenants' counters. Only to close one that has no sequence
 * takes no turn, since that touches neither. A model that is being loaded gives the turn away
 * between two tensors, where those took a while.
 *
 * Locks: one, of the arbiter and of the backends' queues; it is not held across a step, a load or a
 * sink. Ownership: the backends are freed before it. Threads: any.
 * Errors: those of sched/arbiter.h and device/device.h.
 */
#ifndef TW_BACKEND_STAGE_H
#define TW_BACKEND_STAGE_H

#include "base/cpu.h"
#include "base/status.h"
#include "sched/fair_share.h"

struct tw_stage;

struct tw_stage_config {
    uint32_t n_models; /* up to TW_LIMIT_SERVED_MODELS */
    int n_threads;     /* 0: as many as there are cores */
    enum tw_cpu_level level;
    uint64_t memory_bytes; /* of the weights and caches that are in memory; 0: no bound */
    uint64_t cache_bytes;  /* of the caches alone; 0: no bound */
};

enum tw_status tw_stage_create(const struct tw_stage_config *config, struct tw_stage **ret_stage,
                               struct tw_error *error);
/* NULL is allowed. */
void tw_stage_free(struct tw_stage *stage);

/* Makes a tenant (1..TW_LIMIT_TENANTS - 1) known to all models, or changes it; waits for the end of
 * the step that is being computed. Tenant 0 is there from the beginning, with weight 1. */
enum tw_status tw_stage_set_tenant(struct tw_stage *stage, uint32_t tenant, uint32_t weight,
                                   enum tw_priority_class priority_class, struct tw_error *error);

/* A request of another class than IDLE is on its way to a model, or its answer on the way to its
 * client, and needs the cores for that: until as many have come (tw_stage_met) as were expected, no
 * model computes anything of IDLE tenants, and what one is computing of them it gives up. For what
 * takes moments: whoever waits for something else expects nobody. */
void tw_stage_expect(struct tw_stage *stage);
void tw_stage_met(struct tw_stage *stage);

#endif
