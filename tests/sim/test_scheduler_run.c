/* The scheduler through a million random steps, against a memory that knows what belongs where.
 *
 * Each position of each page holds a hash of the whole text up to it, seeded by its domain, as a
 * real cache's keys and values depend on all tokens before. Before a row is computed, all that
 * stands before it in its pages must be the hashes of its own text: a page that was shared wrongly,
 * given away too early or written twice shows at once. Drafts write into the pages as well, rightly
 * guessed or not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/rng.h"
#include "sched/scheduler.h"

enum {
    PAGE_TOKENS = 4,
    N_PAGES = 96,
    MAX_ROWS = 6,
    MOST_DECODED = 9,
    MOST_DRAFT = 5,
    N_TENANTS = 5,
    N_SEQUENCES_MOST = 40,
    N_TOKENS_MOST = 120,
    N_STEPS = 1000000
};

struct member {
    struct tw_sched_sequence *sequence;
    uint64_t hashes[N_TOKENS_MOST]; /* of the text up to each token */
    uint32_t n_hashes, n_most, tenant, domain;
    uint32_t n_results; /* the results of positions before this one were had, or not wanted */
    bool paused;
    uint64_t last_step; /* in which it had a row, or came, or came back */
};

struct world {
    struct tw_fair_share *share;
    struct tw_scheduler *scheduler;
    uint64_t memory[N_PAGES][PAGE_TOKENS];
    struct member members[N_SEQUENCES_MOST];
    uint64_t n_draws, n_steps, n_ended, n_cancelled, n_forked, n_paused, n_ended_in_draft;
    uint64_t written[N_PAGES][PAGE_TOKENS]; /* in which step */
    uint64_t longest_wait;
};

/* With at most 40 sequences of 120 tokens nobody may wait longer for a row. */
#define N_WAIT_MOST 2500

static uint32_t draw(struct world *world, uint32_t below)
{
    uint32_t words[4];
    tw_rng_block(20, world->n_draws++, words);
    return words[0] % below;
}

static uint64_t extend(uint64_t hash, int32_t token)
{
    return tw_hash_of(&token, sizeof token, hash);
}

static void add_hash(struct member *member, int32_t token)
{
    uint64_t before =
        member->n_hashes == 0 ? 1000 + member->domain : member->hashes[member->n_hashes - 1];
    member->hashes[member->n_hashes++] = extend(before, token);
}

static struct member *free_member(struct world *world)
{
    for (int i = 0; i < N_SEQUENCES_MOST; i++) {
        if (world->members[i].sequence == NULL) {
            return &world->members[i];
        }
    }
    return NULL;
}

static struct member *any_member(struct world *world)
{
    struct member *member = &world->members[draw(world, N_SEQUENCES_MOST)];
    return member->sequence != NULL ? member : NULL;
}

static void submit(struct world *world, uint32_t tenant, const int32_t *tokens, uint32_t n_tokens)
{
    struct member *member = free_member(world);
    if (member == NULL) {
        return;
    }
    uint32_t n_room = N_TOKENS_MOST - n_tokens;
    struct tw_sched_request request = {
        .tenant = tenant,
        .domain = tenant / 2, /* some share, some do not */
        .priority = (int32_t)draw(world, 3) - 1,
        .tokens = tokens,
        .n_tokens = n_tokens,
        .n_tokens_most = n_tokens + 1 + draw(world, n_room),
        .wants_all = draw(world, 6) == 0,
        .owner = member,
    };
    *member = (struct member){.n_most = request.n_tokens_most,
                              .tenant = tenant,
                              .domain = request.domain,
                              .n_results = request.wants_all ? 0 : n_tokens - 1,
                              .last_step = world->n_steps};
    for (uint32_t i = 0; i < n_tokens; i++) {
        add_hash(member, tokens[i]);
    }
    assert_int_equal(tw_scheduler_submit(world->scheduler, &request, &member->sequence, NULL),
                     TW_OK);
}

/* Prompts of few kinds, so that beginnings are often the same. */
static void arrive(struct world *world)
{
    int32_t tokens[N_TOKENS_MOST];
    uint32_t n_tokens = 1 + draw(world, N_TOKENS_MOST / 2);
    uint32_t kind = draw(world, 3), part = 1 + draw(world, n_tokens);
    for (uint32_t i = 0; i < n_tokens; i++) {
        tokens[i] = (int32_t)(i < part ? (kind * 7 + i) % 11 : draw(world, 2));
    }
    submit(world, draw(world, N_TENANTS), tokens, n_tokens);
}

/* The text of one that runs goes on in another way. */
static void fork_one(struct world *world)
{
    struct member *member = any_member(world);
    if (member == NULL) {
        return;
    }
    struct tw_sched_state state = tw_scheduler_state(member->sequence);
    int32_t tokens[N_TOKENS_MOST];
    uint32_t n_tokens = 1 + draw(world, state.n_tokens);
    memcpy(tokens, state.tokens, n_tokens * sizeof *tokens);
    if (n_tokens < N_TOKENS_MOST) {
        submit(world, member->tenant, tokens, n_tokens);
        world->n_forked++;
    }
}

static void end(struct world *world, struct member *member)
{
    tw_scheduler_end(world->scheduler, member->sequence);
    member->sequence = NULL;
}

static void pause_or_resume(struct world *world)
{
    struct member *member = any_member(world);
    if (member == NULL) {
        return;
    }
    if (member->paused) {
        tw_scheduler_resume(world->scheduler, member->sequence);
        member->last_step = world->n_steps;
    } else {
        tw_scheduler_pause(world->scheduler, member->sequence);
        world->n_paused++;
    }
    member->paused = !member->paused;
}

static void happen(struct world *world)
{
    if (draw(world, 8) == 0) {
        arrive(world);
    }
    if (draw(world, 40) == 0) {
        fork_one(world);
    }
    if (draw(world, 30) == 0) {
        pause_or_resume(world);
    }
    struct member *member = draw(world, 60) == 0 ? any_member(world) : NULL;
    if (member != NULL) {
        end(world, member);
        world->n_cancelled++;
    }
}

static void compute(struct world *world, const struct tw_step_row *row)
{
    struct member *member = tw_scheduler_state(row->sequence).owner;
    assert_ptr_equal(member->sequence, row->sequence);
    assert_false(member->paused);
    for (uint32_t i = 0; i < row->first_position; i++) {
        uint64_t there = world->memory[row->pages[i / PAGE_TOKENS]][i % PAGE_TOKENS];
        assert_true(there == member->hashes[i]);
    }
    const uint32_t last = row->first_position + row->n_tokens, n_text = last - row->n_drafted;
    uint64_t hash =
        row->first_position > 0 ? member->hashes[row->first_position - 1] : 1000 + member->domain;
    for (uint32_t i = row->first_position; i < last; i++) {
        uint32_t page = row->pages[i / PAGE_TOKENS], slot = i % PAGE_TOKENS;
        hash = extend(hash, row->tokens[i - row->first_position]);
        assert_true(i >= n_text || hash == member->hashes[i]);
        assert_true(world->written[page][slot] != world->n_steps + 1);
        world->written[page][slot] = world->n_steps + 1;
        world->memory[page][slot] = hash;
    }
    if (row->n_outputs > 0) {
        assert_int_equal(last - row->n_outputs, member->n_results);
        member->n_results = n_text;
    }
    if (row->n_drafted > 0) {
        assert_true(row->wants_token && row->n_tokens == 1 + row->n_drafted &&
                    row->n_outputs == row->n_tokens && last < member->n_most);
    }
    assert_true(!row->wants_token || member->n_results == member->n_hashes);
    uint64_t wait = world->n_steps - member->last_step;
    if (tw_fair_share_class(world->share, member->tenant) != TW_CLASS_IDLE) {
        assert_in_range(wait, 0, N_WAIT_MOST);
        world->longest_wait = wait > world->longest_wait ? wait : world->longest_wait;
    }
    member->last_step = world->n_steps;
}

/* The next token depends on the text alone, so that equal texts stay equal for a while. */
static int32_t token_after(uint64_t hash)
{
    return (int32_t)(hash % 3);
}

/* What will come, now and then with a mistake. */
static void draft(struct world *world, struct member *member)
{
    int32_t tokens[MOST_DRAFT];
    uint32_t n = draw(world, MOST_DRAFT + 1);
    uint64_t hash = member->hashes[member->n_hashes - 1];
    for (uint32_t i = 0; i < n; i++) {
        tokens[i] = token_after(hash) + (draw(world, 6) == 0);
        hash = extend(hash, tokens[i]);
    }
    tw_scheduler_draft(world->scheduler, member->sequence, tokens, n);
}

/* All that the row's results say, one after the other. */
static void answer(struct world *world, struct member *member, const struct tw_step_row *row)
{
    for (uint32_t n = 0; n == 0 || tw_scheduler_state(member->sequence).owes_token; n++) {
        assert_in_range(n, 0, row->n_drafted);
        member->n_results += n > 0; /* the token before was guessed, so this result is had too */
        bool is_cancelled = n > 0 && draw(world, 50) == 0;
        if (is_cancelled || member->n_hashes + 1 == member->n_most) {
            end(world, member);
            world->n_ended++;
            world->n_ended_in_draft += n > 0;
            return;
        }
        int32_t token = token_after(member->hashes[member->n_hashes - 1]);
        assert_int_equal(tw_scheduler_push(world->scheduler, member->sequence, token, NULL), TW_OK);
        add_hash(member, token);
    }
    draft(world, member);
}

static bool step(struct world *world)
{
    uint32_t budget = 1 + draw(world, 24);
    struct tw_step step = tw_scheduler_plan(world->scheduler, budget);
    uint32_t n_tokens = 0, n_prefill = 0, n_decoded = 0, n_drafted = 0;
    assert_in_range(step.n_rows, 0, MAX_ROWS);
    struct tw_step_row rows[MAX_ROWS];
    for (uint32_t i = 0; i < step.n_rows; i++) {
        rows[i] = step.rows[i];
        bool decodes = rows[i].n_tokens == 1 + rows[i].n_drafted && rows[i].wants_token;
        n_tokens += rows[i].n_tokens;
        n_drafted += rows[i].n_drafted;
        *(decodes ? &n_decoded : &n_prefill) += rows[i].n_tokens;
        compute(world, &rows[i]);
    }
    assert_int_equal(n_tokens, step.n_tokens);
    assert_in_range(n_prefill, 0, budget);
    assert_true(n_drafted == 0 || n_decoded <= MOST_DECODED);
    if (step.n_rows == 0) {
        return false;
    }
    tw_scheduler_commit(world->scheduler);
    world->n_steps++;
    for (uint32_t i = 0; i < step.n_rows; i++) {
        if (rows[i].wants_token) {
            answer(world, tw_scheduler_state(rows[i].sequence).owner, &rows[i]);
        }
    }
    return true;
}

static struct world *new_world(void)
{
    struct world *world = tw_mem_zalloc(1, sizeof *world);
    assert_non_null(world);
    assert_int_equal(tw_fair_share_create(&world->share, NULL), TW_OK);
    for (uint32_t i = 0; i < N_TENANTS; i++) {
        enum tw_priority_class class = i == 3 ? TW_CLASS_HIGH : i == 4 ? TW_CLASS_IDLE : 0;
        assert_int_equal(tw_fair_share_set(world->share, i, 1 + i, class, NULL), TW_OK);
    }
    struct tw_scheduler_config config = tw_scheduler_defaults();
    config.n_pages = N_PAGES;
    config.page_tokens = PAGE_TOKENS;
    config.max_rows = MAX_ROWS;
    config.most_decoded = MOST_DECODED;
    config.slack = 100;
    assert_int_equal(tw_scheduler_create(&config, world->share, &world->scheduler, NULL), TW_OK);
    return world;
}

static void free_world(struct world *world)
{
    tw_scheduler_free(world->scheduler);
    tw_fair_share_free(world->share);
    tw_mem_free(world);
}

/* No arrivals any more: everybody ends, and then all pages are free or cached. */
static void drain(struct world *world)
{
    for (int i = 0; i < N_SEQUENCES_MOST; i++) {
        struct member *member = &world->members[i];
        if (member->sequence != NULL && member->paused) {
            tw_scheduler_resume(world->scheduler, member->sequence);
            member->paused = false;
        }
    }
    for (int i = 0; i < 40 * N_SEQUENCES_MOST * N_TOKENS_MOST && step(world); i++) {
    }
    struct tw_scheduler_usage usage = tw_scheduler_usage(world->scheduler);
    assert_int_equal(usage.n_resident + usage.n_waiting, 0);
    assert_int_equal(usage.n_free_pages + usage.n_cached_pages, N_PAGES);
}

static void a_million_random_steps_keep_every_invariant(void **state)
{
    (void)state;
    struct world *world = new_world();
    for (uint32_t i = 0; world->n_steps < N_STEPS; i++) {
        happen(world);
        step(world);
        if (i % 101 == 0) {
            assert_true(tw_scheduler_check(world->scheduler));
        }
    }
    drain(world);
    assert_true(tw_scheduler_check(world->scheduler));
    struct tw_scheduler_usage usage = tw_scheduler_usage(world->scheduler);
    print_message(
        "# %llu ended, %llu cancelled, %llu forked, %llu paused, %llu preempted, "
        "%llu pages evicted, %llu of %llu prompt tokens cached, %llu steps without a row, "
        "%llu of %llu drafted tokens accepted, %llu ended amid a draft\n",
        (unsigned long long)world->n_ended, (unsigned long long)world->n_cancelled,
        (unsigned long long)world->n_forked, (unsigned long long)world->n_paused,
        (unsigned long long)usage.n_preemptions, (unsigned long long)usage.n_evictions,
        (unsigned long long)usage.n_cached_tokens, (unsigned long long)usage.n_prompt_tokens,
        (unsigned long long)world->longest_wait, (unsigned long long)usage.n_accepted_tokens,
        (unsigned long long)usage.n_drafted_tokens, (unsigned long long)world->n_ended_in_draft);
    /* All of it must have happened often. */
    assert_true(world->n_ended > 10000 && world->n_cancelled > 1000 && world->n_forked > 1000);
    assert_true(usage.n_preemptions > 1000 && usage.n_evictions > 10000);
    assert_true(usage.n_cached_tokens > usage.n_prompt_tokens / 10);
    assert_true(usage.n_accepted_tokens > 10000 && world->n_ended_in_draft > 1000);
    assert_true(usage.n_drafted_tokens > usage.n_accepted_tokens + 10000);
    free_world(world);
}

static void the_same_calls_give_the_same_steps(void **state)
{
    (void)state;
    struct world *worlds[2] = {new_world(), new_world()};
    for (int i = 0; i < 20000; i++) {
        for (int k = 0; k < 2; k++) {
            happen(worlds[k]);
            step(worlds[k]);
        }
        assert_int_equal(worlds[0]->n_steps, worlds[1]->n_steps);
        assert_memory_equal(worlds[0]->memory, worlds[1]->memory, sizeof worlds[0]->memory);
    }
    free_world(worlds[0]);
    free_world(worlds[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_million_random_steps_keep_every_invariant),
        cmocka_unit_test(the_same_calls_give_the_same_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
