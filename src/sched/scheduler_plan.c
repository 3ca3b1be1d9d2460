/* What a step computes. */
#include <assert.h>
#include <stddef.h>

#include "sched/scheduler_state.h"

/* ---- who becomes resident ---- */

static struct tw_sched_sequence *next_waiting(const struct tw_scheduler *s)
{
    bool any = false;
    uint32_t best = 0;
    for (uint32_t i = 0; i < s->n_tenants; i++) {
        uint32_t tenant = s->tenants[i];
        if (s->lanes[tenant]->waiting.n > 0 &&
            (!any || tw_fair_share_before(s->share, tenant, best))) {
            best = tenant;
            any = true;
        }
    }
    return any ? s->lanes[best]->waiting.first : NULL;
}

/* As many run as have rows. Those that would give way to this one do not count: they keep their
 * pages, and the rows go to whoever is behind. */
static bool has_a_place(const struct tw_scheduler *s, const struct tw_sched_sequence *sequence)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->n_tenants && n < s->config.max_rows; i++) {
        uint32_t tenant = s->tenants[i];
        uint32_t n_running = s->lanes[tenant]->running.n;
        if (n_running > 0 && !tw_sched_gives_way(s, sequence->tenant, tenant, 0)) {
            n += n_running;
        }
    }
    return n < s->config.max_rows;
}

/* Of a tenant that gets nothing for now. */
static bool is_held(const struct tw_scheduler *s, uint32_t tenant)
{
    return s->is_idle_held && tw_fair_share_class(s->share, tenant) == TW_CLASS_IDLE;
}

/* IDLE tenants come behind all others: where one is held, the rest are. */
static void admit_waiting(struct tw_scheduler *s)
{
    struct tw_sched_sequence *sequence;
    while ((sequence = next_waiting(s)) != NULL && !is_held(s, sequence->tenant) &&
           has_a_place(s, sequence) && tw_sched_admit(s, sequence)) {
    }
}

/* ---- who has a row ---- */

/* How many tokens from where it is may be computed by this row: up to a page of the tree that
 * another row of this step computes. Claims the pages. (Behind a page that is not full, none has
 * anything yet.) */
static uint32_t claim(struct tw_scheduler *s, const struct tw_sched_sequence *sequence,
                      uint32_t n_most)
{
    const uint32_t page_tokens = s->config.page_tokens;
    uint32_t n = 0;
    while (n < n_most) {
        uint32_t position = sequence->n_computed + n;
        uint32_t i = position / page_tokens;
        if (i >= sequence->n_nodes) {
            return n_most;
        }
        uint32_t page = sequence->pages[i];
        if (s->claims[page] == s->n_plans) {
            break;
        }
        s->claims[page] = s->n_plans;
        n = (i + 1) * page_tokens - sequence->n_computed;
    }
    return n < n_most ? n : n_most;
}

static uint64_t cost_of(const struct tw_scheduler *s, const struct tw_sched_sequence *sequence,
                        uint32_t first, uint32_t last)
{
    uint32_t n_prompt = sequence->n_prompt_tokens;
    uint64_t n_prefill = first < n_prompt ? (last < n_prompt ? last : n_prompt) - first : 0;
    return n_prefill * s->config.prefill_cost + (last - first - n_prefill) * s->config.decode_cost;
}

/* What of a row the tenant has not paid for yet. */
static uint64_t row_cost(const struct tw_scheduler *s, const struct tw_sched_sequence *sequence,
                         uint32_t n_tokens)
{
    uint32_t last = sequence->n_computed + n_tokens;
    uint32_t first =
        sequence->n_computed > sequence->n_accounted ? sequence->n_computed : sequence->n_accounted;
    return last > first ? cost_of(s, sequence, first, last) : 0;
}

/* A token of an answer that was not computed before: most rows are that. */
static bool is_answers_next(const struct tw_sched_sequence *sequence, uint32_t n_tokens)
{
    return n_tokens == 1 && sequence->n_computed >= sequence->n_prompt_tokens &&
           sequence->n_computed >= sequence->n_accounted;
}

/* Whether pages of the tree hold what is to be computed next. */
static bool has_shared_ahead(const struct tw_scheduler *s, const struct tw_sched_sequence *sequence)
{
    return (uint64_t)sequence->n_nodes * s->config.page_tokens > sequence->n_computed;
}

/* The lane whose next sequence gets the next row. */
static struct tw_sched_lane *next_lane(const struct tw_scheduler *s, uint32_t *ret_tenant)
{
    struct tw_sched_lane *best = NULL;
    bool best_idle = false;
    for (uint32_t i = 0; i < s->n_tenants; i++) {
        uint32_t tenant = s->tenants[i];
        struct tw_sched_lane *lane = s->lanes[tenant];
        if (lane->cursor == NULL) {
            continue;
        }
        const bool idle = lane->is_idle;
        bool before =
            best == NULL || (idle != best_idle                ? !idle
                             : lane->counter != best->counter ? lane->counter < best->counter
                                                              : tenant < *ret_tenant);
        if (before) {
            best = lane;
            best_idle = idle;
            *ret_tenant = tenant;
        }
    }
    return best;
}

/* One token of a sequence that decodes; of a prompt what the budget allows. */
static uint32_t row_tokens(struct tw_scheduler *s, const struct tw_sched_sequence *sequence,
                           uint32_t *budget)
{
    uint32_t n_left = sequence->n_tokens - sequence->n_computed;
    assert(n_left > 0);
    if (n_left == 1) {
        return 1;
    }
    uint32_t n = claim(s, sequence, n_left < *budget ? n_left : *budget);
    *budget -= n;
    return n;
}

static void begin_choice(struct tw_scheduler *s)
{
    for (uint32_t i = 0; i < s->n_tenants; i++) {
        struct tw_sched_lane *lane = s->lanes[s->tenants[i]];
        lane->cursor = lane->running.first;
        lane->counter = tw_fair_share_counter(s->share, s->tenants[i]);
        lane->decode_step = tw_fair_share_step(s->share, s->tenants[i], s->config.decode_cost);
        lane->is_idle = tw_fair_share_class(s->share, s->tenants[i]) == TW_CLASS_IDLE;
        for (struct tw_sched_sequence *one = lane->running.first; one != NULL; one = one->next) {
            if (has_shared_ahead(s, one)) {
                tw_sched_catch_up(s, one);
            }
        }
    }
}

/* Whoever comes waits for the end of the step that runs: those of IDLE tenants alone are short. */
static uint32_t idle_budget(uint32_t budget)
{
    const uint32_t part = budget / TW_LIMIT_IDLE_STEP_PART;
    return part > 0 ? part : 1;
}

static uint32_t choose_rows(struct tw_scheduler *s, uint32_t budget, bool *ret_is_idle)
{
    uint32_t n_tokens = 0, tenant = 0;
    struct tw_sched_lane *lane;
    s->n_rows = 0;
    bool is_idle = false;
    while (s->n_rows < s->config.max_rows && (lane = next_lane(s, &tenant)) != NULL) {
        if (!is_idle && lane->is_idle) {
            if (s->n_rows > 0 || s->is_idle_held) {
                break; /* others have the step to themselves: IDLE rows would make it longer */
            }
            is_idle = true;
            budget = idle_budget(budget);
        }
        struct tw_sched_sequence *sequence = lane->cursor;
        lane->cursor = sequence->next;
        uint32_t n = row_tokens(s, sequence, &budget);
        if (n == 0) {
            continue;
        }
        lane->counter += is_answers_next(sequence, n)
                             ? lane->decode_step
                             : tw_fair_share_step(s->share, tenant, row_cost(s, sequence, n));
        uint32_t last = sequence->n_computed + n;
        uint32_t first_output = sequence->first_output > sequence->n_computed
                                    ? sequence->first_output
                                    : sequence->n_computed;
        s->rows[s->n_rows++] = (struct tw_step_row){
            .sequence = sequence,
            .tokens = sequence->tokens != NULL ? sequence->tokens + sequence->n_computed : NULL,
            .pages = sequence->pages,
            .n_tokens = n,
            .first_position = sequence->n_computed,
            .n_outputs = last > first_output ? last - first_output : 0,
            .wants_token = last == sequence->n_tokens,
            .owner = sequence->owner,
        };
        n_tokens += n;
    }
    *ret_is_idle = is_idle;
    return n_tokens;
}

/* One token of a text whose end it is. */
static bool decodes(const struct tw_step_row *row)
{
    return row->n_tokens == 1 && row->wants_token;
}

/* Positions behind the text in the pages it has. */
static uint32_t room_behind(const struct tw_scheduler *s, const struct tw_sched_sequence *sequence)
{
    return sequence->n_pages * s->config.page_tokens - sequence->n_tokens;
}

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Rows that decode get their drafts, in the order in which they were chosen, as far as the step has
 * tokens to spare. */
static uint32_t add_drafts(struct tw_scheduler *s)
{
    uint32_t n_decoded = 0, n_added = 0;
    if (s->config.most_decoded == 0) {
        return 0;
    }
    for (uint32_t i = 0; i < s->n_rows; i++) {
        n_decoded += decodes(&s->rows[i]);
    }
    for (uint32_t i = 0; i < s->n_rows && n_decoded + n_added < s->config.most_decoded; i++) {
        struct tw_step_row *row = &s->rows[i];
        if (decodes(row)) {
            uint32_t n_room = room_behind(s, row->sequence);
            uint32_t n_spare = s->config.most_decoded - n_decoded - n_added;
            row->n_drafted = smaller(row->sequence->n_drafted, smaller(n_room, n_spare));
            row->n_tokens += row->n_drafted;
            row->n_outputs += row->n_drafted;
            n_added += row->n_drafted;
        }
    }
    return n_added;
}

void tw_scheduler_hold_idle(struct tw_scheduler *s, bool is_held)
{
    s->is_idle_held = is_held;
}

struct tw_step tw_scheduler_plan(struct tw_scheduler *s, uint32_t prefill_budget)
{
    assert(!s->planned && s->n_owed == 0 && prefill_budget > 0);
    s->n_plans++;
    tw_sched_grow_all(s);
    admit_waiting(s);
    begin_choice(s);
    bool is_idle = false;
    uint32_t n_tokens = choose_rows(s, prefill_budget, &is_idle);
    n_tokens += add_drafts(s);
    s->planned = s->n_rows > 0;
    return (struct tw_step){
        .rows = s->rows, .n_rows = s->n_rows, .n_tokens = n_tokens, .is_idle = is_idle};
}

/* ---- what becomes of it ---- */

static void fill_nodes(struct tw_scheduler *s, const struct tw_sched_sequence *sequence,
                       uint32_t n_tokens)
{
    const uint32_t page_tokens = s->config.page_tokens;
    uint32_t last = sequence->n_computed + n_tokens;
    for (uint32_t i = sequence->n_computed / page_tokens;
         i < sequence->n_nodes && i * page_tokens < last; i++) {
        uint32_t n = last - i * page_tokens;
        tw_prefix_tree_fill(s->tree, sequence->pages[i], n < page_tokens ? n : page_tokens);
    }
}

static void count_paid(struct tw_scheduler *s, struct tw_sched_sequence *sequence,
                       uint32_t n_tokens)
{
    if (has_shared_ahead(s, sequence)) {
        fill_nodes(s, sequence, n_tokens);
    }
    bool was_prompt = sequence->n_accounted < sequence->n_prompt_tokens;
    sequence->n_computed += n_tokens;
    if (sequence->n_computed > sequence->n_accounted) {
        sequence->n_accounted = sequence->n_computed;
    }
    if (was_prompt && sequence->n_accounted >= sequence->n_prompt_tokens) {
        s->usage.n_prompt_tokens += sequence->n_prompt_tokens;
        s->usage.n_cached_tokens += sequence->n_cached_tokens;
    }
    if (sequence->first_output < sequence->n_computed) {
        sequence->first_output = sequence->n_computed; /* not again after a preemption */
    }
    if (sequence->tokens != NULL) {
        tw_sched_publish(s, sequence);
    }
}

void tw_sched_count_computed(struct tw_scheduler *s, struct tw_sched_sequence *sequence,
                             uint32_t n_tokens)
{
    tw_fair_share_charge(s->share, sequence->tenant, row_cost(s, sequence, n_tokens));
    count_paid(s, sequence, n_tokens);
}

static void commit_row(struct tw_scheduler *s, const struct tw_step_row *row)
{
    struct tw_sched_sequence *sequence = row->sequence;
    const uint32_t n_computed = row->n_tokens - row->n_drafted;
    if (is_answers_next(sequence, n_computed)) {
        tw_sched_lane_of(s, sequence)->n_decoded++; /* paid for together */
        count_paid(s, sequence, 1);
    } else {
        tw_sched_count_computed(s, sequence, n_computed);
    }
    s->usage.n_computed_tokens += row->n_tokens;
    s->usage.n_drafted_tokens += row->n_drafted;
    if (row->wants_token) {
        sequence->owes_token = true;
        sequence->n_drafted = row->n_drafted;
        s->n_owed++;
    }
}

void tw_scheduler_commit(struct tw_scheduler *s)
{
    assert(s->planned);
    s->planned = false;
    s->usage.n_steps++;
    for (uint32_t i = 0; i < s->n_rows; i++) {
        commit_row(s, &s->rows[i]);
    }
    for (uint32_t i = 0; i < s->n_tenants; i++) {
        struct tw_sched_lane *lane = s->lanes[s->tenants[i]];
        tw_fair_share_charge_times(s->share, s->tenants[i], s->config.decode_cost, lane->n_decoded);
        lane->n_decoded = 0;
    }
}

void tw_scheduler_abandon(struct tw_scheduler *s)
{
    assert(s->planned);
    s->planned = false;
}
