/* scheduler.h: which tokens of which sequences the next step computes, and in which pages.
 *
 *     create -> { submit, cancel, pause, resume ...; plan -> (compute) -> commit -> push or end }
 *
 * A sequence is a prompt and the answer that grows behind it:
 *
 *     WAITING  -> RESIDENT  [plan: its turn came and its pages could be had]
 *     RESIDENT -> WAITING   [plan: preempted; what it computed stays cached while there is room,
 *                            the rest is computed again]
 *     any      -> gone      [end: computed pages stay in the prefix tree for others]
 *     PAUSED is a flag beside: it keeps its pages and is in no step.
 *
 * A step takes one row (a run of tokens) of each sequence that is chosen: one token of those that
 * decode, a piece of the prompt of the others, together at most the budget given to plan. A text
 * that decodes may have a draft behind it, a guess of what comes next (tw_scheduler_draft): its row
 * then has those tokens too and all their results, and each token that is pushed and was guessed is
 * computed already:
 *
 *     text a b c, draft d e f   ->  row c d e f, four results
 *     push d, push e            ->  as guessed: one more is owed
 *     push x                    ->  the text is a b c d e x, of which x is to be computed
 *
 * Of two sequences with the same beginning, whole pages of it are computed once, also when both
 * arrive together: in each step one of them computes the page, the other waits for it.
 * (Not for a sequence that wants the results of its whole prompt: it computes it itself.)
 *
 * Who is chosen: tenants by fair_share.h, within a tenant the least priority number, then the order
 * of arrival. Sequences that are resident keep their pages; more of them than a step has rows are
 * resident only when a tenant would otherwise wait too long (config.slack), and then rows go round.
 * Who has to give its pages back, when a resident sequence needs one and none is free or cached:
 * the paused, then IDLE tenants, then the tenant that was served most; of a tenant the last one.
 *
 * Invariants (tw_scheduler_check proves 1 to 3):
 * 1. Every page is free, or borrowed, or a node of the prefix tree, or one sequence's own.
 * 2. A row's positions before its first token are computed, and hold exactly the sequence's tokens.
 * 3. No page is written by two rows of a step.
 * 4. A resident sequence's last page is never short: a row always has the pages it writes. For a
 *    draft no page is taken: it ends with the text's last page, and drives nobody out.
 * 5. Every unpaused sequence of a tenant that is not IDLE ends, if those before it do.
 * 6. The same calls give the same steps.
 * 7. What of a draft was not pushed is never computed text: not in the tree, not paid for.
 *
 * Texts without tokens (request.tokens NULL) are texts that nobody else has: they share no pages.
 * That, and stretches of steps in which all sequences only decode (tw_scheduler_advance), are for
 * simulations, which know lengths and no words.
 *
 * Costs: a tenant pays for tokens that are computed for it the first time: prefill_cost for one of
 * the prompt, decode_cost for one of the answer (what is computed anew after a preemption, and what
 * others computed, costs nothing). What was guessed costs what it would have cost otherwise, once
 * it is pushed, and nothing if it was wrong: an answer has one price, however it was come by.
 *
 * Ownership: sequences belong to the scheduler until tw_scheduler_end. Tokens are copied. The step
 * that plan returns is valid until commit; rows' pointers too.
 * Pure: no clock, thread or device; a step's time is the caller's. Threads: one at a time.
 * Errors: TW_ERR_LIMIT where a queue is full or a text does not fit, TW_ERR_MEMORY.
 */
#ifndef TW_SCHED_SCHEDULER_H
#define TW_SCHED_SCHEDULER_H

#include "sched/fair_share.h"
#include "sched/prefix_tree.h"

struct tw_scheduler;
struct tw_sched_sequence;

struct tw_scheduler_config {
    uint32_t n_pages;
    uint32_t page_tokens;
    uint32_t max_rows;     /* sequences in a step */
    uint32_t most_decoded; /* tokens of a step with the drafts; more texts than that have none */
    uint32_t max_waiting;  /* up to TW_LIMIT_WAITING */
    uint32_t prefill_cost, decode_cost;
    uint64_t slack; /* in tokens at weight 1: how far tenants may be apart before one gives way */
    uint64_t seed;  /* of the prefix tree */
};

/* Costs 1 and 2 (decoding one token takes longer than one of a prompt), slack 4096, no drafts. */
struct tw_scheduler_config tw_scheduler_defaults(void);

/* share: must outlive the scheduler; others may use it too. */
enum tw_status tw_scheduler_create(const struct tw_scheduler_config *config,
                                   struct tw_fair_share *share, struct tw_scheduler **ret_scheduler,
                                   struct tw_error *error);
/* NULL is allowed; sequences go with it. */
void tw_scheduler_free(struct tw_scheduler *scheduler);

struct tw_sched_request {
    uint32_t tenant;       /* known to the fair share */
    uint64_t domain;       /* of shared prefixes, see prefix_tree.h */
    int32_t priority;      /* among the tenant's own: less comes first */
    const int32_t *tokens; /* [n_tokens], at least one; NULL: a text that nobody else has */
    uint32_t n_tokens;
    uint32_t n_tokens_most; /* with the answer; at least n_tokens + 1 */
    bool wants_all; /* rows of the whole prompt, so none of it may have been computed by others */
    void *owner;    /* the caller's, unused here */
    int32_t filler; /* the token that tw_scheduler_advance pushes */
};

enum tw_status tw_scheduler_submit(struct tw_scheduler *scheduler,
                                   const struct tw_sched_request *request,
                                   struct tw_sched_sequence **ret_sequence, struct tw_error *error);

/* Ends a sequence at any time but between plan and commit, and frees it. */
void tw_scheduler_end(struct tw_scheduler *scheduler, struct tw_sched_sequence *sequence);

/* May be called again without effect. */
void tw_scheduler_pause(struct tw_scheduler *scheduler, struct tw_sched_sequence *sequence);
void tw_scheduler_resume(struct tw_scheduler *scheduler, struct tw_sched_sequence *sequence);

/* ---- a step ---- */

struct tw_step_row {
    struct tw_sched_sequence *sequence;
    const int32_t *tokens; /* [n_tokens] */
    const uint32_t *pages; /* of the whole sequence */
    uint32_t n_tokens;
    uint32_t first_position;
    uint32_t n_outputs; /* the last of the tokens, whose results are wanted; each once */
    uint32_t n_drafted; /* the last of the tokens, which are guessed */
    bool wants_token;   /* the row reaches the end of the text: what comes next? */
    void *owner;        /* as it was submitted */
};

struct tw_step {
    const struct tw_step_row *rows; /* [n_rows] */
    uint32_t n_rows;
    uint32_t n_tokens;
    bool is_idle; /* of IDLE tenants alone: it may be given up for others (abandon) */
};

/* Somebody of another class is on the way: while it is so, plan gives IDLE tenants no rows, and
 * makes none of their sequences resident. */
void tw_scheduler_hold_idle(struct tw_scheduler *scheduler, bool is_held);

/* prefill_budget: the most tokens of prompts; at least 1. An empty step: nothing can run now. */
struct tw_step tw_scheduler_plan(struct tw_scheduler *scheduler, uint32_t prefill_budget);

/* The planned step was computed. Each sequence of a row that wants a token must then be pushed one
 * or ended, before the next plan; with a draft, until it owes none (tw_sched_state). */
void tw_scheduler_commit(struct tw_scheduler *scheduler);

/* The planned step was not computed: everything is as it was before plan. */
void tw_scheduler_abandon(struct tw_scheduler *scheduler);

/* The text goes on with a token, and with at least one more: a sequence whose answer is complete is
 * ended instead. TW_ERR_MEMORY: as it was. */
enum tw_status tw_scheduler_push(struct tw_scheduler *scheduler, struct tw_sched_sequence *sequence,
                                 int32_t token, struct tw_error *error);

/* What may come after a text that owes no token: tokens [n_tokens], copied, instead of an earlier
 * draft. The next row that reaches the text's end has as many of them as there is room for. Takes
 * no memory: what has none is cut off. */
void tw_scheduler_draft(struct tw_scheduler *scheduler, struct tw_sched_sequence *sequence,
                        const int32_t *tokens, uint32_t n_tokens);

/* ---- many steps at once ---- */

/* In how many of the next steps every resident sequence decodes one token, nobody is admitted, and
 * all pages can be had: steps that bring nothing new, up to the first that completes an answer. At
 * most n_most; 0 while somebody reads a prompt, has a draft, is paused, or might be admitted. */
uint32_t tw_scheduler_steady_steps(const struct tw_scheduler *scheduler, uint32_t n_most);

/* As n_steps times plan, commit, and a push of its filler to each sequence; n_steps is at most what
 * tw_scheduler_steady_steps gave. An answer that the last step completes owes its last token, and
 * is to be ended. The numbers of pages may come in another order. TW_ERR_MEMORY: some went on and
 * others did not; free the scheduler. */
enum tw_status tw_scheduler_advance(struct tw_scheduler *scheduler, uint32_t n_steps,
                                    struct tw_error *error);

/* ---- pages for other uses ---- */

/* n pages that the caller may write until it gives them back; false when fewer are free or
 * cached. */
bool tw_scheduler_borrow(struct tw_scheduler *scheduler, uint32_t n, uint32_t *ret_pages);
void tw_scheduler_give_back(struct tw_scheduler *scheduler, uint32_t n, const uint32_t *pages);

/* ---- what there is ---- */

struct tw_sched_state {
    void *owner;
    const int32_t *tokens;
    uint32_t n_tokens, n_prompt_tokens;
    uint32_t n_computed;      /* positions it has in pages now */
    uint32_t n_read_tokens;   /* of the prompt: computed or cached once, wherever they are now */
    uint32_t n_cached_tokens; /* of those: what it did not have to compute */
    uint32_t n_preemptions;
    bool resident, paused;
    bool owes_token; /* a row wanted one that was not pushed yet */
};
struct tw_sched_state tw_scheduler_state(const struct tw_sched_sequence *sequence);

struct tw_scheduler_usage {
    uint32_t n_waiting, n_resident, n_paused; /* sequences; paused ones are among the others */
    uint32_t n_pages, n_free_pages, n_cached_pages;
    uint64_t n_steps;
    uint64_t n_computed_tokens; /* over all rows, drafts included */
    uint64_t n_drafted_tokens;  /* of those, guessed */
    uint64_t n_accepted_tokens; /* of those, pushed */
    uint64_t n_prompt_tokens;   /* of all sequences whose prompt is computed */
    uint64_t n_cached_tokens;   /* of those, not computed by the sequence itself */
    uint64_t n_preemptions;
    uint64_t n_evictions; /* pages */
};
struct tw_scheduler_usage tw_scheduler_usage(const struct tw_scheduler *scheduler);

/* Whether the invariants hold. Between steps; linear in pages and tokens: for tests. */
bool tw_scheduler_check(const struct tw_scheduler *scheduler);

#endif
