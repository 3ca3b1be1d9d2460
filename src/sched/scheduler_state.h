/* scheduler_state.h: the inside of struct tw_scheduler, for its own files alone.
 *
 * scheduler.c keeps sequences and queues, scheduler_pages.c gives pages and takes them back,
 * scheduler_plan.c decides what a step computes, scheduler_advance.c passes many steps at once,
 * scheduler_check.c proves the invariants.
 */
#ifndef TW_SCHED_SCHEDULER_STATE_H
#define TW_SCHED_SCHEDULER_STATE_H

#include "sched/scheduler.h"

/* A sequence is in one list: its tenant's waiting or running, or one of those that are paused. */
struct tw_sched_list {
    struct tw_sched_sequence *first, *last;
    uint32_t n;
};

struct tw_sched_sequence {
    struct tw_sched_sequence *previous, *next;
    struct tw_sched_list *list;
    void *owner;
    uint32_t tenant;
    uint64_t domain;
    int32_t priority;
    uint64_t arrival;

    int32_t *tokens; /* [n_tokens], room for token_capacity; NULL: a text that nobody else has */
    int32_t filler;
    uint32_t n_tokens, token_capacity, n_prompt_tokens, n_tokens_most;
    uint32_t
        n_drafted; /* behind the tokens; while a token is owed: those the row had and has left */

    uint32_t *pages; /* [n_pages], room for n_tokens_most - 1 tokens */
    uint32_t n_pages;
    uint32_t n_nodes; /* the first n_nodes pages are a path of the tree, the others its own */
    bool parted;      /* somebody computes the same page in another: no more nodes */

    uint32_t n_computed;
    uint32_t first_output; /* results are wanted from here on; below n_tokens when planned */
    uint32_t n_accounted;  /* positions paid for or had for nothing */
    uint32_t n_cached_tokens;
    uint32_t n_preemptions;
    bool resident, paused, owes_token;
};

struct tw_sched_lane { /* of a tenant */
    struct tw_sched_list waiting, running;
    uint32_t n_sequences;
    /* While rows are chosen: the next to look at, and the counter if the step were over. */
    struct tw_sched_sequence *cursor;
    uint64_t counter;
    uint64_t decode_step; /* what one token of an answer adds to it */
    bool is_idle;
    uint32_t n_decoded; /* tokens of answers in the step that is committed */
};

struct tw_scheduler {
    struct tw_scheduler_config config;
    struct tw_fair_share *share;
    struct tw_page_pool *pool;
    struct tw_prefix_tree *tree;

    struct tw_sched_lane **lanes; /* [n_lanes] by tenant; NULL: never seen */
    uint32_t n_lanes;
    uint32_t *tenants; /* [n_tenants] that have sequences, in no order */
    uint32_t n_tenants;
    struct tw_sched_list paused_resident, paused_waiting;
    uint32_t n_waiting, n_running; /* not paused */
    uint64_t n_arrivals;

    struct tw_step_row *rows; /* [max_rows], of the step that is planned */
    uint32_t n_rows;
    bool planned, is_idle_held;
    uint32_t n_owed;
    uint32_t n_borrowed; /* pages */
    uint64_t n_plans;
    uint64_t *claims; /* [n_pages] of nodes: the last plan in which somebody computes the page */
    struct tw_scheduler_usage usage;
};

struct tw_sched_lane *tw_sched_lane_of(const struct tw_scheduler *scheduler,
                                       const struct tw_sched_sequence *sequence);

/* Room for n_tokens more behind the text, or TW_ERR_MEMORY. */
enum tw_status tw_sched_make_room(struct tw_sched_sequence *sequence, uint32_t n_tokens,
                                  struct tw_error *error);

/* By priority, then arrival. */
void tw_sched_list_insert(struct tw_sched_list *list, struct tw_sched_sequence *sequence);
void tw_sched_list_remove(struct tw_sched_sequence *sequence);

/* ---- scheduler_plan.c ---- */

/* The next n_tokens of a text were computed by it: they are paid for, and whole pages shown. */
void tw_sched_count_computed(struct tw_scheduler *scheduler, struct tw_sched_sequence *sequence,
                             uint32_t n_tokens);

/* ---- scheduler_pages.c ---- */

static inline uint32_t tw_sched_pages_for(const struct tw_scheduler *scheduler, uint32_t n_tokens)
{
    const uint32_t page_tokens = scheduler->config.page_tokens;
    return n_tokens / page_tokens + (n_tokens % page_tokens != 0);
}

/* Whether n_pages hold n_tokens: the question of every step, without a division. */
static inline bool tw_sched_hold(const struct tw_scheduler *scheduler, uint32_t n_pages,
                                 uint32_t n_tokens)
{
    return (uint64_t)n_pages * scheduler->config.page_tokens >= n_tokens;
}

/* Makes a waiting sequence resident; false when it has to wait for pages. */
bool tw_sched_admit(struct tw_scheduler *scheduler, struct tw_sched_sequence *sequence);

/* Every running sequence gets the pages of all its tokens, or has to wait. */
void tw_sched_grow_all(struct tw_scheduler *scheduler);

/* What others computed for it counts as computed. */
void tw_sched_catch_up(struct tw_scheduler *scheduler, struct tw_sched_sequence *sequence);

/* Own pages that are wholly computed become nodes of the tree. */
void tw_sched_publish(struct tw_scheduler *scheduler, struct tw_sched_sequence *sequence);

/* Pages that can be had, free or cached. */
uint32_t tw_sched_available(const struct tw_scheduler *scheduler);
/* So many pages more, which are available. */
void tw_sched_take_pages(struct tw_scheduler *scheduler, struct tw_sched_sequence *sequence,
                         uint32_t n);

void tw_sched_release_pages(struct tw_scheduler *scheduler, struct tw_sched_sequence *sequence);

/* Whether the tenant that waits is so far behind the other that this one has to give way, although
 * that costs n_tokens. */
bool tw_sched_gives_way(const struct tw_scheduler *scheduler, uint32_t waiting, uint32_t served,
                        uint32_t n_tokens);

/* The tenant with running sequences that is served last; false: none runs. */
bool tw_sched_last_tenant(const struct tw_scheduler *scheduler, uint32_t *ret_tenant);

#endif
