#include "sched/scheduler.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "sched/scheduler_state.h"

struct tw_scheduler_config tw_scheduler_defaults(void)
{
    return (struct tw_scheduler_config){
        .max_waiting = 1024, .prefill_cost = 1, .decode_cost = 2, .slack = 4096};
}

static enum tw_status create_parts(struct tw_scheduler *s, struct tw_error *error)
{
    const struct tw_scheduler_config *c = &s->config;
    s->rows = tw_mem_zalloc(c->max_rows, sizeof *s->rows);
    enum tw_status status = tw_page_pool_create(c->n_pages, &s->pool, error);
    if (status == TW_OK) {
        status = tw_prefix_tree_create(s->pool, c->page_tokens, c->seed, &s->tree, error);
    }
    if (status == TW_OK) {
        s->claims = tw_mem_alloc(c->n_pages, sizeof *s->claims);
    }
    if (status == TW_OK && (s->rows == NULL || s->claims == NULL)) {
        status = tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a scheduler");
    }
    return status;
}

enum tw_status tw_scheduler_create(const struct tw_scheduler_config *config,
                                   struct tw_fair_share *share, struct tw_scheduler **ret_scheduler,
                                   struct tw_error *error)
{
    assert(config->page_tokens > 0 && config->max_rows > 0 && config->max_waiting > 0);
    assert(config->max_rows <= TW_LIMIT_BATCH_SEQUENCES);
    assert(config->max_waiting <= TW_LIMIT_WAITING);
    struct tw_scheduler *s = tw_mem_zalloc(1, sizeof *s);
    if (s == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a scheduler");
    }
    s->config = *config;
    s->share = share;
    enum tw_status status = create_parts(s, error);
    if (status != TW_OK) {
        tw_scheduler_free(s);
        return status;
    }
    *ret_scheduler = s;
    return TW_OK;
}

/* ---- lists ---- */

static bool comes_before(const struct tw_sched_sequence *a, const struct tw_sched_sequence *b)
{
    return a->priority != b->priority ? a->priority < b->priority : a->arrival < b->arrival;
}

void tw_sched_list_insert(struct tw_sched_list *list, struct tw_sched_sequence *sequence)
{
    struct tw_sched_sequence *before = list->last;
    while (before != NULL && comes_before(sequence, before)) {
        before = before->previous;
    }
    struct tw_sched_sequence *after = before != NULL ? before->next : list->first;
    sequence->previous = before;
    sequence->next = after;
    *(before != NULL ? &before->next : &list->first) = sequence;
    *(after != NULL ? &after->previous : &list->last) = sequence;
    sequence->list = list;
    list->n++;
}

void tw_sched_list_remove(struct tw_sched_sequence *sequence)
{
    struct tw_sched_list *list = sequence->list;
    *(sequence->previous != NULL ? &sequence->previous->next : &list->first) = sequence->next;
    *(sequence->next != NULL ? &sequence->next->previous : &list->last) = sequence->previous;
    sequence->list = NULL;
    list->n--;
}

struct tw_sched_lane *tw_sched_lane_of(const struct tw_scheduler *s,
                                       const struct tw_sched_sequence *sequence)
{
    return s->lanes[sequence->tenant];
}

/* ---- tenants ---- */

static bool make_room_for_lane(struct tw_scheduler *s, uint32_t tenant)
{
    if (tenant < s->n_lanes) {
        return true;
    }
    uint32_t n = s->n_lanes * 2 > tenant ? s->n_lanes * 2 : tenant + 1;
    struct tw_sched_lane **lanes = tw_mem_realloc(s->lanes, n, sizeof(*lanes));
    if (lanes == NULL) {
        return false;
    }
    memset(lanes + s->n_lanes, 0, (n - s->n_lanes) * sizeof(*lanes));
    s->lanes = lanes;
    uint32_t *tenants = tw_mem_realloc(s->tenants, n, sizeof *tenants);
    if (tenants == NULL) {
        return false;
    }
    s->tenants = tenants;
    s->n_lanes = n;
    return true;
}

static bool have_lane(struct tw_scheduler *s, uint32_t tenant)
{
    if (!make_room_for_lane(s, tenant)) {
        return false;
    }
    if (s->lanes[tenant] == NULL) {
        s->lanes[tenant] = tw_mem_zalloc(1, sizeof *s->lanes[tenant]);
    }
    return s->lanes[tenant] != NULL;
}

static void enter_lane(struct tw_scheduler *s, uint32_t tenant)
{
    if (s->lanes[tenant]->n_sequences++ == 0) {
        s->tenants[s->n_tenants++] = tenant;
    }
}

static void leave_lane(struct tw_scheduler *s, uint32_t tenant)
{
    if (--s->lanes[tenant]->n_sequences > 0) {
        return;
    }
    uint32_t i = 0;
    while (s->tenants[i] != tenant) {
        i++;
        assert(i < s->n_tenants);
    }
    s->tenants[i] = s->tenants[--s->n_tenants];
}

/* ---- sequences ---- */

static void free_sequence(struct tw_sched_sequence *sequence)
{
    tw_mem_free(sequence->tokens);
    tw_mem_free(sequence->pages);
    tw_mem_free(sequence);
}

static enum tw_status check_request(const struct tw_scheduler *s,
                                    const struct tw_sched_request *request, struct tw_error *error)
{
    assert(request->n_tokens > 0 && request->n_tokens_most > request->n_tokens);
    assert(tw_fair_share_knows(s->share, request->tenant));
    if (tw_sched_pages_for(s, request->n_tokens_most - 1) > s->config.n_pages) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "%u tokens with the answer: the KV cache has room for %llu",
                            request->n_tokens_most,
                            (unsigned long long)s->config.n_pages * s->config.page_tokens);
    }
    if (s->n_waiting + s->paused_waiting.n >= s->config.max_waiting) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "%u requests are waiting already: that is the maximum",
                            s->config.max_waiting);
    }
    return TW_OK;
}

static struct tw_sched_sequence *new_sequence(struct tw_scheduler *s,
                                              const struct tw_sched_request *request)
{
    struct tw_sched_sequence *sequence = tw_mem_zalloc(1, sizeof *sequence);
    if (sequence == NULL) {
        return NULL;
    }
    if (request->tokens != NULL) {
        sequence->tokens = tw_mem_alloc(request->n_tokens, sizeof *sequence->tokens);
    }
    sequence->pages =
        tw_mem_alloc(tw_sched_pages_for(s, request->n_tokens_most - 1), sizeof *sequence->pages);
    if ((sequence->tokens == NULL && request->tokens != NULL) || sequence->pages == NULL ||
        !have_lane(s, request->tenant)) {
        free_sequence(sequence);
        return NULL;
    }
    if (request->tokens != NULL) {
        memcpy(sequence->tokens, request->tokens, request->n_tokens * sizeof *sequence->tokens);
    }
    sequence->owner = request->owner;
    sequence->filler = request->filler;
    sequence->tenant = request->tenant;
    sequence->domain = request->domain;
    sequence->priority = request->priority;
    sequence->n_tokens = sequence->n_prompt_tokens = request->n_tokens;
    sequence->token_capacity = request->tokens != NULL ? request->n_tokens : request->n_tokens_most;
    sequence->n_tokens_most = request->n_tokens_most;
    sequence->first_output = request->wants_all ? 0 : request->n_tokens - 1;
    return sequence;
}

enum tw_status tw_scheduler_submit(struct tw_scheduler *s, const struct tw_sched_request *request,
                                   struct tw_sched_sequence **ret_sequence, struct tw_error *error)
{
    enum tw_status status = check_request(s, request, error);
    if (status != TW_OK) {
        return status;
    }
    struct tw_sched_sequence *sequence = new_sequence(s, request);
    if (sequence == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION,
                            "no memory for a prompt of %u tokens", request->n_tokens);
    }
    sequence->arrival = s->n_arrivals++;
    enter_lane(s, sequence->tenant);
    tw_fair_share_enter(s->share, sequence->tenant);
    tw_sched_list_insert(&tw_sched_lane_of(s, sequence)->waiting, sequence);
    s->n_waiting++;
    *ret_sequence = sequence;
    return TW_OK;
}

static void count_out(struct tw_scheduler *s, const struct tw_sched_sequence *sequence)
{
    if (!sequence->paused) {
        *(sequence->resident ? &s->n_running : &s->n_waiting) -= 1;
        tw_fair_share_leave(s->share, sequence->tenant);
    }
}

void tw_scheduler_end(struct tw_scheduler *s, struct tw_sched_sequence *sequence)
{
    assert(!s->planned);
    count_out(s, sequence);
    s->n_owed -= sequence->owes_token;
    tw_sched_list_remove(sequence);
    tw_sched_release_pages(s, sequence);
    leave_lane(s, sequence->tenant);
    free_sequence(sequence);
}

void tw_scheduler_pause(struct tw_scheduler *s, struct tw_sched_sequence *sequence)
{
    assert(!s->planned);
    if (sequence->paused) {
        return;
    }
    count_out(s, sequence);
    tw_sched_list_remove(sequence);
    sequence->paused = true;
    tw_sched_list_insert(sequence->resident ? &s->paused_resident : &s->paused_waiting, sequence);
}

void tw_scheduler_resume(struct tw_scheduler *s, struct tw_sched_sequence *sequence)
{
    assert(!s->planned);
    if (!sequence->paused) {
        return;
    }
    struct tw_sched_lane *lane = tw_sched_lane_of(s, sequence);
    tw_sched_list_remove(sequence);
    sequence->paused = false;
    tw_sched_list_insert(sequence->resident ? &lane->running : &lane->waiting, sequence);
    *(sequence->resident ? &s->n_running : &s->n_waiting) += 1;
    tw_fair_share_enter(s->share, sequence->tenant);
}

enum tw_status tw_sched_make_room(struct tw_sched_sequence *sequence, uint32_t n_tokens,
                                  struct tw_error *error)
{
    const uint32_t n_needed = sequence->n_tokens + n_tokens;
    if (n_needed <= sequence->token_capacity) {
        return TW_OK;
    }
    uint32_t capacity = sequence->n_tokens_most - sequence->n_tokens < sequence->n_tokens
                            ? sequence->n_tokens_most
                            : 2 * sequence->n_tokens;
    capacity = capacity > n_needed ? capacity : n_needed;
    int32_t *tokens = tw_mem_realloc(sequence->tokens, capacity, sizeof *tokens);
    if (tokens == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION,
                            "no memory for token %u of a sequence", sequence->n_tokens);
    }
    sequence->tokens = tokens;
    sequence->token_capacity = capacity;
    return TW_OK;
}

enum tw_status tw_scheduler_push(struct tw_scheduler *s, struct tw_sched_sequence *sequence,
                                 int32_t token, struct tw_error *error)
{
    assert(sequence->owes_token && sequence->n_tokens + 1 < sequence->n_tokens_most);
    enum tw_status status = tw_sched_make_room(sequence, 1, error);
    if (status != TW_OK) {
        return status;
    }
    const bool was_guessed =
        sequence->n_drafted > 0 && sequence->tokens[sequence->n_tokens] == token;
    if (sequence->tokens != NULL) {
        sequence->tokens[sequence->n_tokens] = token;
    }
    sequence->n_tokens++;
    if (was_guessed) {
        sequence->n_drafted--;
        s->usage.n_accepted_tokens++;
        tw_sched_count_computed(s, sequence, 1);
        return TW_OK;
    }
    sequence->n_drafted = 0;
    sequence->owes_token = false;
    s->n_owed--;
    return TW_OK;
}

void tw_scheduler_draft(struct tw_scheduler *s, struct tw_sched_sequence *sequence,
                        const int32_t *tokens, uint32_t n_tokens)
{
    assert(!s->planned && !sequence->owes_token && sequence->tokens != NULL);
    const uint32_t n_memory = sequence->token_capacity - sequence->n_tokens;
    const uint32_t n_useful = sequence->n_tokens_most - sequence->n_tokens - 1;
    const uint32_t n_room = n_memory < n_useful ? n_memory : n_useful;
    sequence->n_drafted = n_tokens < n_room ? n_tokens : n_room;
    for (uint32_t i = 0; i < sequence->n_drafted; i++) {
        sequence->tokens[sequence->n_tokens + i] = tokens[i];
    }
}

static void free_list(struct tw_sched_list *list)
{
    struct tw_sched_sequence *next;
    for (struct tw_sched_sequence *one = list->first; one != NULL; one = next) {
        next = one->next;
        free_sequence(one);
    }
}

void tw_scheduler_free(struct tw_scheduler *s)
{
    if (s == NULL) {
        return;
    }
    for (uint32_t i = 0; i < s->n_lanes; i++) {
        if (s->lanes[i] != NULL) {
            free_list(&s->lanes[i]->waiting);
            free_list(&s->lanes[i]->running);
            tw_mem_free(s->lanes[i]);
        }
    }
    free_list(&s->paused_resident);
    free_list(&s->paused_waiting);
    tw_mem_free(s->lanes);
    tw_mem_free(s->tenants);
    tw_prefix_tree_free(s->tree);
    tw_page_pool_free(s->pool);
    tw_mem_free(s->rows);
    tw_mem_free(s->claims);
    tw_mem_free(s);
}

/* ---- what there is ---- */

struct tw_sched_state tw_scheduler_state(const struct tw_sched_sequence *sequence)
{
    return (struct tw_sched_state){
        .owner = sequence->owner,
        .tokens = sequence->tokens,
        .n_tokens = sequence->n_tokens,
        .n_prompt_tokens = sequence->n_prompt_tokens,
        .n_computed = sequence->n_computed,
        .n_read_tokens = sequence->n_accounted < sequence->n_prompt_tokens
                             ? sequence->n_accounted
                             : sequence->n_prompt_tokens,
        .n_cached_tokens = sequence->n_cached_tokens,
        .n_preemptions = sequence->n_preemptions,
        .resident = sequence->resident,
        .paused = sequence->paused,
        .owes_token = sequence->owes_token,
    };
}

struct tw_scheduler_usage tw_scheduler_usage(const struct tw_scheduler *s)
{
    struct tw_scheduler_usage usage = s->usage;
    usage.n_waiting = s->n_waiting + s->paused_waiting.n;
    usage.n_resident = s->n_running + s->paused_resident.n;
    usage.n_paused = s->paused_waiting.n + s->paused_resident.n;
    usage.n_pages = s->config.n_pages;
    usage.n_free_pages = tw_page_pool_free_pages(s->pool);
    usage.n_cached_pages = tw_prefix_tree_cached(s->tree);
    return usage;
}
