/* Many steps at once, in which all that is resident decodes. */
#include <assert.h>
#include <stddef.h>

#include "sched/scheduler_state.h"

/* Nobody who waits can come in before something ends: the rows are full, or the first in line has
 * no room and brings its own pages only. With several tenants, whose turn it is changes on the way:
 * then nobody may wait. */
static bool nobody_comes_in(const struct tw_scheduler *s)
{
    if (s->n_waiting == 0) {
        return true;
    }
    if (s->n_tenants != 1) {
        return false;
    }
    if (s->n_running >= s->config.max_rows) {
        return true;
    }
    const struct tw_sched_sequence *first = s->lanes[s->tenants[0]]->waiting.first;
    return first->tokens == NULL && s->n_running > 0 &&
           tw_sched_available(s) < (uint64_t)tw_sched_pages_for(s, first->n_tokens) + s->n_running;
}

static bool only_decodes(const struct tw_sched_sequence *one)
{
    return one->n_computed >= one->n_prompt_tokens && one->n_computed + 1 == one->n_tokens &&
           one->n_drafted == 0 && one->n_accounted <= one->n_computed &&
           one->first_output <= one->n_computed;
}

/* Rows of IDLE tenants stand aside while others have some. */
static bool all_have_rows(const struct tw_scheduler *s)
{
    uint32_t n_idle = 0, n = 0;
    for (uint32_t i = 0; i < s->n_tenants && s->n_tenants > 1; i++) {
        const bool runs = s->lanes[s->tenants[i]]->running.n > 0;
        n += runs;
        n_idle += runs && tw_fair_share_class(s->share, s->tenants[i]) == TW_CLASS_IDLE;
    }
    return n_idle == 0 || n_idle == n;
}

/* How many steps until the first answer is complete; 0 when somebody does not decode. */
static uint32_t steps_to_an_end(const struct tw_scheduler *s, uint32_t n_most)
{
    for (uint32_t i = 0; i < s->n_tenants && n_most > 0; i++) {
        const struct tw_sched_sequence *one = s->lanes[s->tenants[i]]->running.first;
        for (; one != NULL && n_most > 0; one = one->next) {
            const uint32_t n_left = one->n_tokens_most - one->n_tokens;
            n_most = !only_decodes(one) ? 0 : n_left < n_most ? n_left : n_most;
        }
    }
    return n_most;
}

static uint64_t pages_for_steps(const struct tw_scheduler *s, uint32_t n_steps)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < s->n_tenants; i++) {
        const struct tw_sched_sequence *one = s->lanes[s->tenants[i]]->running.first;
        for (; one != NULL; one = one->next) {
            n += tw_sched_pages_for(s, one->n_tokens + n_steps - 1) - one->n_pages;
        }
    }
    return n;
}

uint32_t tw_scheduler_steady_steps(const struct tw_scheduler *s, uint32_t n_most)
{
    assert(!s->planned && s->n_owed == 0);
    if (s->n_running == 0 || s->n_running > s->config.max_rows || s->paused_resident.n > 0 ||
        !nobody_comes_in(s) || !all_have_rows(s)) {
        return 0;
    }
    n_most = steps_to_an_end(s, n_most);
    const uint32_t n_available = tw_sched_available(s);
    /* So many pages are enough however the texts lie in theirs. */
    const uint64_t n_rows = s->n_running;
    if (n_most == 0 || n_rows * (n_most / s->config.page_tokens + 2) <= n_available ||
        pages_for_steps(s, n_most) <= n_available) {
        return n_most;
    }
    uint32_t enough = 0;
    while (n_most - enough > 1) {
        uint32_t middle = enough + (n_most - enough) / 2;
        *(pages_for_steps(s, middle) <= n_available ? &enough : &n_most) = middle;
    }
    return enough;
}

static enum tw_status advance_one(struct tw_scheduler *s, struct tw_sched_sequence *one,
                                  uint32_t n_steps, struct tw_error *error)
{
    const bool is_complete = one->n_tokens + n_steps == one->n_tokens_most;
    const uint32_t n_pushed = n_steps - is_complete;
    if (one->tokens != NULL) {
        enum tw_status status = tw_sched_make_room(one, n_pushed, error);
        if (status != TW_OK) {
            return status;
        }
        for (uint32_t i = 0; i < n_pushed; i++) {
            one->tokens[one->n_tokens + i] = one->filler;
        }
    }
    if (!tw_sched_hold(s, one->n_pages, one->n_tokens + n_steps - 1)) {
        tw_sched_take_pages(s, one,
                            tw_sched_pages_for(s, one->n_tokens + n_steps - 1) - one->n_pages);
    }
    assert(one->n_accounted >= one->n_prompt_tokens);
    one->n_tokens += n_pushed;
    one->n_computed += n_steps;
    one->n_accounted = one->n_computed;
    one->first_output = one->n_computed;
    one->owes_token = is_complete;
    s->n_owed += is_complete;
    if (one->tokens != NULL) {
        tw_sched_publish(s, one);
    }
    return TW_OK;
}

enum tw_status tw_scheduler_advance(struct tw_scheduler *s, uint32_t n_steps,
                                    struct tw_error *error)
{
    assert(!s->planned && s->n_owed == 0 && n_steps > 0);
    for (uint32_t i = 0; i < s->n_tenants; i++) {
        const struct tw_sched_list *running = &s->lanes[s->tenants[i]]->running;
        for (struct tw_sched_sequence *one = running->first; one != NULL; one = one->next) {
            enum tw_status status = advance_one(s, one, n_steps, error);
            if (status != TW_OK) {
                return status;
            }
        }
        tw_fair_share_charge_times(s->share, s->tenants[i], s->config.decode_cost,
                                   (uint64_t)n_steps * running->n);
    }
    s->n_plans += n_steps;
    s->usage.n_steps += n_steps;
    s->usage.n_computed_tokens += (uint64_t)n_steps * s->n_running;
    return TW_OK;
}
