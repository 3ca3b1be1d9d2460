/* Who has which pages. */
#include <assert.h>
#include <stddef.h>

#include "sched/scheduler_state.h"

uint32_t tw_sched_available(const struct tw_scheduler *s)
{
    return tw_page_pool_free_pages(s->pool) + tw_prefix_tree_cached(s->tree);
}

static bool have_pages(struct tw_scheduler *s, uint32_t n, uint32_t *ret_pages)
{
    uint32_t n_free = tw_page_pool_free_pages(s->pool);
    if (tw_sched_available(s) < n) {
        return false;
    }
    if (n_free < n) {
        s->usage.n_evictions += tw_prefix_tree_evict(s->tree, n - n_free);
    }
    return tw_page_pool_alloc(s->pool, n, ret_pages);
}

/* The caller has made sure that there are as many. */
void tw_sched_take_pages(struct tw_scheduler *s, struct tw_sched_sequence *sequence, uint32_t n)
{
    bool taken = have_pages(s, n, sequence->pages + sequence->n_pages);
    assert(taken);
    (void)taken;
    sequence->n_pages += n;
}

bool tw_scheduler_borrow(struct tw_scheduler *s, uint32_t n, uint32_t *ret_pages)
{
    if (!have_pages(s, n, ret_pages)) {
        return false;
    }
    s->n_borrowed += n;
    return true;
}

void tw_scheduler_give_back(struct tw_scheduler *s, uint32_t n, const uint32_t *pages)
{
    assert(n <= s->n_borrowed);
    tw_page_pool_unref_all(s->pool, n, pages);
    s->n_borrowed -= n;
}

/* From the end: a path's last node goes first. What IDLE tenants leave is evicted before what
 * others have asked for. */
void tw_sched_release_pages(struct tw_scheduler *s, struct tw_sched_sequence *sequence)
{
    const bool is_idle = tw_fair_share_class(s->share, sequence->tenant) == TW_CLASS_IDLE;
    tw_page_pool_unref_all(s->pool, sequence->n_pages - sequence->n_nodes,
                           sequence->pages + sequence->n_nodes);
    sequence->n_pages = sequence->n_nodes;
    while (sequence->n_pages > 0) {
        tw_prefix_tree_release(s->tree, sequence->pages[--sequence->n_pages], is_idle);
    }
    sequence->n_nodes = 0;
    sequence->n_computed = 0;
    sequence->parted = false;
}

/* ---- preemption ---- */

static void preempt(struct tw_scheduler *s, struct tw_sched_sequence *sequence)
{
    assert(sequence->resident && !sequence->owes_token);
    tw_sched_list_remove(sequence);
    tw_sched_release_pages(s, sequence);
    sequence->resident = false;
    sequence->n_preemptions++;
    s->usage.n_preemptions++;
    if (sequence->paused) {
        tw_sched_list_insert(&s->paused_waiting, sequence);
        return;
    }
    tw_sched_list_insert(&tw_sched_lane_of(s, sequence)->waiting, sequence);
    s->n_running--;
    s->n_waiting++;
}

bool tw_sched_last_tenant(const struct tw_scheduler *s, uint32_t *ret_tenant)
{
    bool any = false;
    for (uint32_t i = 0; i < s->n_tenants; i++) {
        uint32_t tenant = s->tenants[i];
        if (s->lanes[tenant]->running.n > 0 &&
            (!any || tw_fair_share_before(s->share, *ret_tenant, tenant))) {
            *ret_tenant = tenant;
            any = true;
        }
    }
    return any;
}

/* Who has to give its pages back first. */
static struct tw_sched_sequence *victim(const struct tw_scheduler *s)
{
    uint32_t tenant;
    if (s->paused_resident.n > 0) {
        return s->paused_resident.last;
    }
    return tw_sched_last_tenant(s, &tenant) ? s->lanes[tenant]->running.last : NULL;
}

bool tw_sched_gives_way(const struct tw_scheduler *s, uint32_t waiting, uint32_t served,
                        uint32_t n_tokens)
{
    bool served_idle = tw_fair_share_class(s->share, served) == TW_CLASS_IDLE;
    if (served_idle != (tw_fair_share_class(s->share, waiting) == TW_CLASS_IDLE)) {
        return served_idle;
    }
    return tw_fair_share_counter(s->share, served) >
           tw_fair_share_counter(s->share, waiting) + s->config.slack * TW_FAIR_SHARE_SCALE +
               tw_fair_share_step(s->share, served, n_tokens);
}

/* ---- admission ---- */

/* What has results that are wanted is always computed, at least the last token. So its page is
 * never shared. */
static uint32_t shareable_pages(const struct tw_scheduler *s,
                                const struct tw_sched_sequence *sequence)
{
    return sequence->tokens != NULL ? sequence->first_output / s->config.page_tokens : 0;
}

static uint32_t parent_of(const struct tw_sched_sequence *sequence)
{
    return sequence->n_nodes == 0 ? TW_PREFIX_ROOT : sequence->pages[sequence->n_nodes - 1];
}

static void add_node(struct tw_scheduler *s, const struct tw_sched_sequence *sequence,
                     uint32_t page, uint32_t n_filled)
{
    const int32_t *tokens = sequence->tokens + (size_t)sequence->n_nodes * s->config.page_tokens;
    tw_prefix_tree_add(s->tree, sequence->domain, parent_of(sequence), tokens, page, n_filled);
    s->claims[page] = 0;
}

static void use_what_is_there(struct tw_scheduler *s, struct tw_sched_sequence *sequence)
{
    uint32_t most = shareable_pages(s, sequence);
    while (sequence->n_nodes < most) {
        const int32_t *tokens =
            sequence->tokens + (size_t)sequence->n_nodes * s->config.page_tokens;
        uint32_t page = tw_prefix_tree_find(s->tree, sequence->domain, parent_of(sequence), tokens);
        if (page == TW_PREFIX_NONE) {
            return;
        }
        tw_prefix_tree_use(s->tree, page);
        sequence->pages[sequence->n_pages++] = page;
        sequence->n_nodes++;
    }
}

/* Pages that are still to be computed become nodes at once, so that who comes next finds them. */
static void announce(struct tw_scheduler *s, struct tw_sched_sequence *sequence)
{
    uint32_t most = shareable_pages(s, sequence);
    while (sequence->n_nodes < most) {
        add_node(s, sequence, sequence->pages[sequence->n_nodes], 0);
        sequence->n_nodes++;
    }
}

/* Beside the pages it needs one is left for each that runs, so that the newcomer does not drive
 * them out with its first page. */
static bool take_all_pages(struct tw_scheduler *s, struct tw_sched_sequence *sequence)
{
    use_what_is_there(s, sequence);
    uint32_t n_more = tw_sched_pages_for(s, sequence->n_tokens) - sequence->n_pages;
    if (tw_sched_available(s) < (uint64_t)n_more + s->n_running) {
        tw_sched_release_pages(s, sequence);
        return false;
    }
    tw_sched_take_pages(s, sequence, n_more);
    announce(s, sequence);
    return true;
}

/* A paused sequence keeps its pages as long as anybody can run beside it. */
static bool may_preempt(const struct tw_scheduler *s, const struct tw_sched_sequence *waiting,
                        const struct tw_sched_sequence *served)
{
    return served->paused
               ? s->n_running == 0
               : tw_sched_gives_way(s, waiting->tenant, served->tenant, served->n_tokens);
}

/* Of the sequences that run, the one to give way; paused ones only when nobody runs. */
static struct tw_sched_sequence *gives_way(const struct tw_scheduler *s)
{
    uint32_t tenant;
    return tw_sched_last_tenant(s, &tenant) ? s->lanes[tenant]->running.last : victim(s);
}

bool tw_sched_admit(struct tw_scheduler *s, struct tw_sched_sequence *sequence)
{
    assert(!sequence->resident && !sequence->paused && sequence->n_pages == 0);
    while (!take_all_pages(s, sequence)) {
        struct tw_sched_sequence *other = gives_way(s);
        if (other == NULL || !may_preempt(s, sequence, other)) {
            return false;
        }
        preempt(s, other);
    }
    tw_sched_list_remove(sequence);
    sequence->resident = true;
    tw_sched_list_insert(&tw_sched_lane_of(s, sequence)->running, sequence);
    s->n_waiting--;
    s->n_running++;
    return true;
}

/* ---- while it runs ---- */

static void grow(struct tw_scheduler *s, struct tw_sched_sequence *sequence)
{
    uint32_t n_more = tw_sched_pages_for(s, sequence->n_tokens) - sequence->n_pages;
    while (sequence->resident && tw_sched_available(s) < n_more) {
        preempt(s, victim(s)); /* at last itself */
    }
    if (sequence->resident) {
        tw_sched_take_pages(s, sequence, n_more);
    }
}

/* The lists change when somebody gives way: then from the beginning, where whoever has what it
 * needs is passed over. */
static bool grow_lane(struct tw_scheduler *s, const struct tw_sched_lane *lane)
{
    for (struct tw_sched_sequence *one = lane->running.first; one != NULL; one = one->next) {
        if (!tw_sched_hold(s, one->n_pages, one->n_tokens)) {
            const uint64_t n_preemptions = s->usage.n_preemptions;
            grow(s, one);
            if (s->usage.n_preemptions != n_preemptions) {
                return false;
            }
        }
    }
    return true;
}

void tw_sched_grow_all(struct tw_scheduler *s)
{
    uint32_t i = 0;
    while (i < s->n_tenants) {
        i = grow_lane(s, s->lanes[s->tenants[i]]) ? i + 1 : 0;
    }
}

void tw_sched_catch_up(struct tw_scheduler *s, struct tw_sched_sequence *sequence)
{
    const uint32_t page_tokens = s->config.page_tokens;
    uint32_t i = sequence->n_computed / page_tokens;
    while (i < sequence->n_nodes) {
        uint32_t n_filled = tw_prefix_tree_filled(s->tree, sequence->pages[i]);
        uint32_t n = i * page_tokens + n_filled;
        sequence->n_computed = n > sequence->n_computed ? n : sequence->n_computed;
        if (n_filled < page_tokens) {
            break;
        }
        i++;
    }
    if (sequence->n_computed > sequence->n_accounted) {
        uint32_t n = sequence->n_computed < sequence->n_prompt_tokens ? sequence->n_computed
                                                                      : sequence->n_prompt_tokens;
        sequence->n_cached_tokens += n > sequence->n_accounted ? n - sequence->n_accounted : 0;
        sequence->n_accounted = sequence->n_computed;
    }
}

static void publish_page(struct tw_scheduler *s, struct tw_sched_sequence *sequence)
{
    const uint32_t page_tokens = s->config.page_tokens;
    uint32_t *page = &sequence->pages[sequence->n_nodes];
    const int32_t *tokens = sequence->tokens + (size_t)sequence->n_nodes * page_tokens;
    uint32_t parent = parent_of(sequence);
    uint32_t there = tw_prefix_tree_find(s->tree, sequence->domain, parent, tokens);
    if (there == TW_PREFIX_NONE) {
        add_node(s, sequence, *page, page_tokens);
    } else if (tw_prefix_tree_filled(s->tree, there) == page_tokens) {
        tw_prefix_tree_use(s->tree, there);
        tw_page_pool_unref(s->pool, *page);
        *page = there;
    } else {
        sequence->parted = true;
        return;
    }
    sequence->n_nodes++;
}

void tw_sched_publish(struct tw_scheduler *s, struct tw_sched_sequence *sequence)
{
    while (sequence->tokens != NULL && !sequence->parted &&
           (uint64_t)(sequence->n_nodes + 1) * s->config.page_tokens <= sequence->n_computed) {
        publish_page(s, sequence);
    }
}
