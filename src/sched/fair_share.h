/* fair_share.h: how much each tenant was given, and who is to be served next.
 *
 * A virtual token counter (Sheng et al., "Fairness in serving large language models", OSDI 2024):
 * whoever computes tokens for a tenant adds cost / weight to its counter, and of those who wait the
 * one with the least counter comes next. One instance may serve several schedulers (one a model),
 * so that a tenant's share holds over all models together.
 *
 *     AWAY   (nothing to do) -> PRESENT [tw_fair_share_enter: its counter is lifted to the least
 *                                        counter of those present: nobody saves up by being away]
 *     PRESENT                -> AWAY    [tw_fair_share_leave, as often as it entered]
 *
 * Priority classes multiply the weight: HIGH is served 16 times as much as NORMAL, so it hardly
 * waits, and NORMAL never starves. IDLE gets what the others leave: whoever asks must first ask
 * whether anybody who is not IDLE could use it.
 *
 * Invariants:
 * 1. Counters never fall.
 * 2. Of two tenants that are present without a break and always have something that could run, the
 *    counters stay within what one step can add to one of them (the scheduler's bound).
 * 3. The same calls give the same answers: of equal counters the lowest tenant comes first.
 *
 * Pure: no clock, thread or device. Threads: one at a time.
 * Errors: TW_ERR_LIMIT and TW_ERR_MEMORY from tw_fair_share_set; unknown tenants are our own bug.
 */
#ifndef TW_SCHED_FAIR_SHARE_H
#define TW_SCHED_FAIR_SHARE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

enum tw_priority_class { TW_CLASS_NORMAL = 0, TW_CLASS_HIGH, TW_CLASS_IDLE };

/* Of a token's cost: a counter's unit is 1 / TW_FAIR_SHARE_SCALE of a token at weight 1. */
#define TW_FAIR_SHARE_SCALE       ((uint64_t)1 << 20)
#define TW_FAIR_SHARE_HIGH_FACTOR 16u

struct tw_fair_share;

enum tw_status tw_fair_share_create(struct tw_fair_share **ret_share, struct tw_error *error);
/* NULL is allowed. */
void tw_fair_share_free(struct tw_fair_share *share);

/* Makes tenant (0..TW_LIMIT_TENANTS - 1) known, or changes it; weight: 1..TW_LIMIT_TENANT_WEIGHT.
 * A new tenant's counter is 0. */
enum tw_status tw_fair_share_set(struct tw_fair_share *share, uint32_t tenant, uint32_t weight,
                                 enum tw_priority_class priority_class, struct tw_error *error);

bool tw_fair_share_knows(const struct tw_fair_share *share, uint32_t tenant);

void tw_fair_share_enter(struct tw_fair_share *share, uint32_t tenant);
void tw_fair_share_leave(struct tw_fair_share *share, uint32_t tenant);

/* cost: in tokens. */
void tw_fair_share_charge(struct tw_fair_share *share, uint32_t tenant, uint64_t cost);
/* The same n times. */
void tw_fair_share_charge_times(struct tw_fair_share *share, uint32_t tenant, uint64_t cost,
                                uint64_t n);

uint64_t tw_fair_share_counter(const struct tw_fair_share *share, uint32_t tenant);
/* What a cost adds to the tenant's counter. */
uint64_t tw_fair_share_step(const struct tw_fair_share *share, uint32_t tenant, uint64_t cost);
enum tw_priority_class tw_fair_share_class(const struct tw_fair_share *share, uint32_t tenant);

/* Whether a is to be served before b: not IDLE before IDLE, then the least counter. */
bool tw_fair_share_before(const struct tw_fair_share *share, uint32_t a, uint32_t b);

#endif
