#include "sched/fair_share.h"

#include <assert.h>

#include "base/mem.h"

struct tenant {
    uint64_t counter;
    uint32_t weight; /* with its class's factor; 0: unknown */
    uint32_t n_present;
    enum tw_priority_class priority_class;
};

struct tw_fair_share {
    struct tenant *tenants; /* [n_tenants] */
    uint32_t n_tenants;
    uint32_t *present; /* [n_present]: tenants that entered, in no order */
    uint32_t n_present;
};

enum tw_status tw_fair_share_create(struct tw_fair_share **ret_share, struct tw_error *error)
{
    struct tw_fair_share *share = tw_mem_zalloc(1, sizeof *share);
    if (share == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for tenants");
    }
    *ret_share = share;
    return TW_OK;
}

void tw_fair_share_free(struct tw_fair_share *share)
{
    if (share == NULL) {
        return;
    }
    tw_mem_free(share->tenants);
    tw_mem_free(share->present);
    tw_mem_free(share);
}

static enum tw_status make_room(struct tw_fair_share *share, uint32_t tenant,
                                struct tw_error *error)
{
    if (tenant < share->n_tenants) {
        return TW_OK;
    }
    uint32_t n = share->n_tenants * 2 > tenant ? share->n_tenants * 2 : tenant + 1;
    struct tenant *tenants = tw_mem_realloc(share->tenants, n, sizeof *tenants);
    if (tenants != NULL) {
        share->tenants = tenants;
    }
    uint32_t *present = tw_mem_realloc(share->present, n, sizeof *present);
    if (present != NULL) {
        share->present = present;
    }
    if (tenants == NULL || present == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for %u tenants", n);
    }
    for (uint32_t i = share->n_tenants; i < n; i++) {
        share->tenants[i] = (struct tenant){.weight = 0};
    }
    share->n_tenants = n;
    return TW_OK;
}

enum tw_status tw_fair_share_set(struct tw_fair_share *share, uint32_t tenant, uint32_t weight,
                                 enum tw_priority_class priority_class, struct tw_error *error)
{
    if (tenant >= TW_LIMIT_TENANTS) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "tenant %u: there can be %u of them", tenant, TW_LIMIT_TENANTS);
    }
    if (weight == 0 || weight > TW_LIMIT_TENANT_WEIGHT) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "a weight of %u: it must be 1 to %u", weight, TW_LIMIT_TENANT_WEIGHT);
    }
    enum tw_status status = make_room(share, tenant, error);
    if (status == TW_OK) {
        bool high = priority_class == TW_CLASS_HIGH;
        share->tenants[tenant].weight = weight * (high ? TW_FAIR_SHARE_HIGH_FACTOR : 1);
        share->tenants[tenant].priority_class = priority_class;
    }
    return status;
}

bool tw_fair_share_knows(const struct tw_fair_share *share, uint32_t tenant)
{
    return tenant < share->n_tenants && share->tenants[tenant].weight != 0;
}

static const struct tenant *get(const struct tw_fair_share *share, uint32_t tenant)
{
    assert(tw_fair_share_knows(share, tenant));
    return &share->tenants[tenant];
}

/* IDLE ones do not count for the others: they may be far behind. */
static bool least_present(const struct tw_fair_share *share, bool idle, uint64_t *ret_counter)
{
    bool any = false;
    for (uint32_t i = 0; i < share->n_present; i++) {
        const struct tenant *one = get(share, share->present[i]);
        if ((one->priority_class == TW_CLASS_IDLE) == idle &&
            (!any || one->counter < *ret_counter)) {
            *ret_counter = one->counter;
            any = true;
        }
    }
    return any;
}

void tw_fair_share_enter(struct tw_fair_share *share, uint32_t tenant)
{
    struct tenant *one = &share->tenants[tenant];
    assert(tw_fair_share_knows(share, tenant));
    if (one->n_present++ > 0) {
        return;
    }
    uint64_t least = 0;
    if (least_present(share, one->priority_class == TW_CLASS_IDLE, &least) &&
        one->counter < least) {
        one->counter = least;
    }
    share->present[share->n_present++] = tenant;
}

void tw_fair_share_leave(struct tw_fair_share *share, uint32_t tenant)
{
    struct tenant *one = &share->tenants[tenant];
    assert(tw_fair_share_knows(share, tenant) && one->n_present > 0);
    if (--one->n_present > 0) {
        return;
    }
    uint32_t i = 0;
    while (share->present[i] != tenant) {
        i++;
        assert(i < share->n_present);
    }
    share->present[i] = share->present[--share->n_present];
}

uint64_t tw_fair_share_step(const struct tw_fair_share *share, uint32_t tenant, uint64_t cost)
{
    return cost * TW_FAIR_SHARE_SCALE / get(share, tenant)->weight;
}

void tw_fair_share_charge(struct tw_fair_share *share, uint32_t tenant, uint64_t cost)
{
    share->tenants[tenant].counter += tw_fair_share_step(share, tenant, cost);
}

void tw_fair_share_charge_times(struct tw_fair_share *share, uint32_t tenant, uint64_t cost,
                                uint64_t n)
{
    share->tenants[tenant].counter += n * tw_fair_share_step(share, tenant, cost);
}

uint64_t tw_fair_share_counter(const struct tw_fair_share *share, uint32_t tenant)
{
    return get(share, tenant)->counter;
}

enum tw_priority_class tw_fair_share_class(const struct tw_fair_share *share, uint32_t tenant)
{
    return get(share, tenant)->priority_class;
}

bool tw_fair_share_before(const struct tw_fair_share *share, uint32_t a, uint32_t b)
{
    const struct tenant *one = get(share, a), *other = get(share, b);
    bool idle = one->priority_class == TW_CLASS_IDLE;
    if (idle != (other->priority_class == TW_CLASS_IDLE)) {
        return !idle;
    }
    if (one->counter != other->counter) {
        return one->counter < other->counter;
    }
    return a < b;
}
