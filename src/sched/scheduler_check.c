/* Proof of the scheduler's invariants, for tests. */
#include "base/mem.h"
#include "sched/scheduler_state.h"

struct proof {
    const struct tw_scheduler *scheduler;
    uint8_t *own; /* [n_pages]: is some sequence's own */
    uint32_t n_own, n_running, n_waiting;
};

/* The first n_nodes pages are the path of its tokens. */
static bool path_is_right(const struct tw_scheduler *s, const struct tw_sched_sequence *sequence)
{
    uint32_t parent = TW_PREFIX_ROOT;
    for (uint32_t i = 0; i < sequence->n_nodes; i++) {
        const int32_t *tokens = sequence->tokens + (size_t)i * s->config.page_tokens;
        if (tw_prefix_tree_find(s->tree, sequence->domain, parent, tokens) != sequence->pages[i]) {
            return false;
        }
        parent = sequence->pages[i];
    }
    return true;
}

static bool own_pages_are_its_own(struct proof *proof, const struct tw_sched_sequence *sequence)
{
    for (uint32_t i = sequence->n_nodes; i < sequence->n_pages; i++) {
        uint32_t page = sequence->pages[i];
        if (proof->own[page] || tw_page_pool_references(proof->scheduler->pool, page) != 1) {
            return false;
        }
        proof->own[page] = 1;
        proof->n_own++;
    }
    return true;
}

static bool sequence_is_right(struct proof *proof, const struct tw_sched_sequence *sequence)
{
    const struct tw_scheduler *s = proof->scheduler;
    const uint64_t n_with_draft = (uint64_t)sequence->n_tokens + sequence->n_drafted;
    if (n_with_draft > sequence->token_capacity || n_with_draft >= sequence->n_tokens_most) {
        return false;
    }
    if (!sequence->resident) {
        return sequence->n_pages == 0 && sequence->n_nodes == 0 && sequence->n_computed == 0;
    }
    return sequence->n_nodes <= sequence->n_pages && sequence->n_computed <= sequence->n_tokens &&
           sequence->n_computed <= (uint64_t)sequence->n_pages * s->config.page_tokens &&
           path_is_right(s, sequence) && own_pages_are_its_own(proof, sequence);
}

static bool list_is_right(struct proof *proof, const struct tw_sched_list *list, bool resident,
                          bool paused)
{
    uint32_t n = 0;
    for (const struct tw_sched_sequence *one = list->first; one != NULL; one = one->next) {
        if (one->list != list || one->resident != resident || one->paused != paused ||
            !sequence_is_right(proof, one)) {
            return false;
        }
        n++;
    }
    return n == list->n;
}

static bool lanes_are_right(struct proof *proof)
{
    const struct tw_scheduler *s = proof->scheduler;
    for (uint32_t i = 0; i < s->n_lanes; i++) {
        const struct tw_sched_lane *lane = s->lanes[i];
        if (lane == NULL) {
            continue;
        }
        if (!list_is_right(proof, &lane->waiting, false, false) ||
            !list_is_right(proof, &lane->running, true, false)) {
            return false;
        }
        proof->n_waiting += lane->waiting.n;
        proof->n_running += lane->running.n;
    }
    return list_is_right(proof, &s->paused_resident, true, true) &&
           list_is_right(proof, &s->paused_waiting, false, true);
}

bool tw_scheduler_check(const struct tw_scheduler *s)
{
    struct proof proof = {.scheduler = s, .own = tw_mem_zalloc(s->config.n_pages, 1)};
    bool right = proof.own != NULL && tw_page_pool_check(s->pool) &&
                 tw_prefix_tree_check(s->tree) && lanes_are_right(&proof) &&
                 proof.n_waiting == s->n_waiting && proof.n_running == s->n_running;
    uint32_t n_held = proof.n_own + tw_prefix_tree_nodes(s->tree) + s->n_borrowed;
    tw_mem_free(proof.own);
    return right && n_held + tw_page_pool_free_pages(s->pool) == s->config.n_pages;
}
