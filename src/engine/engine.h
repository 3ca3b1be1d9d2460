/* engine.h: a loaded model that advances many sequences, one forward pass at a time.
 *
 *     tw_engine_open -> tw_engine_reserve -> { tw_sequence_append, tw_sequence_generate,
 *                                              tw_engine_step ..., tw_sequence_take } -> close
 *
 * A sequence is a list of tokens and at most one answer that is being generated:
 *
 *     IDLE   -> ACTIVE [tw_sequence_generate]
 *     ACTIVE -> IDLE   [tw_engine_step: it ends by itself, finish says why, or it alone fails;
 *                       tw_sequence_cancel]
 *
 * What a step computes, and in which pages of the KV cache, is the scheduler's decision
 * (sched/scheduler.h): one token of those that decode, and what they may go on with where their
 * text repeats itself (drafter.h); pieces of prompts, and whole pages of a common beginning once
 * for all. What was computed stays cached while there is room, so that a chat goes on from its last
 * whole page.
 *
 * Invariants:
 * 1. What a sequence generates does not depend on the others, on the number of threads, on how its
 *    prompt was cut into pieces, on what was cached, or on what was guessed.
 * 2. An idle sequence holds no page.
 * 3. One sequence's failure (a damaged row of logits, no memory for its text) ends that sequence
 *    alone, with TW_FINISH_ERROR and a sentence.
 *
 * Ownership: sequences belong to their engine and are freed before it. What tw_sequence_take gives
 * is valid until the next call on that sequence or the next step.
 * Threads: one at a time per engine, its sequences included. There is no clock here: who wants
 * timings takes them around tw_engine_step.
 * Errors: TW_ERR_LIMIT for sizes, TW_ERR_USAGE for parameters; what the model's files are guilty of
 * comes from tw_engine_open.
 */
#ifndef TW_ENGINE_ENGINE_H
#define TW_ENGINE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cpu.h"
#include "engine/sampler.h"
#include "engine/stop.h"
#include "model/model.h"
#include "sched/fair_share.h"
#include "text/constraint.h"

struct tw_engine;
struct tw_sequence;

struct tw_engine_config {
    int n_threads; /* 0: as many as there are cores */
    enum tw_cpu_level level;
    uint32_t max_sequences;        /* in one step, others wait; 0: 16 */
    uint32_t max_batch_tokens;     /* of prompts in one step; 0: 512 */
    uint32_t max_output_rows;      /* rows of logits, for scoring; raised to max_sequences */
    enum tw_dtype kv_dtype;        /* F16 or Q8_0 */
    bool no_speculation;           /* one token of an answer a step, whatever its text repeats */
    tw_model_progress_fn progress; /* while weights are packed; may be NULL */
    void *progress_context;
    const struct tw_pack_options *pack; /* files of packed weights (model/weights.h), or NULL */
    /* What several engines may have in common, each to be called while no other is; NULL: the
     * engine's own. They outlive it; the tokenizer must be of the same files. */
    struct tw_device *device; /* n_threads and level are its own then */
    struct tw_fair_share *share;
    const struct tw_tokenizer *tokenizer;
    /* How many requests of other classes than IDLE are on their way, as others count them: while
     * there are any, a step computes nothing of IDLE tenants, and gives up what it computes of them
     * (to be computed again). NULL: nobody counts. */
    const atomic_uint *n_waited_for;
};

/* Every core, the machine's best instruction set, 16 sequences, 512 tokens a pass, KV in F16. */
struct tw_engine_config tw_engine_defaults(void);

enum tw_status tw_engine_open(const char *path, const struct tw_engine_config *config,
                              struct tw_engine **ret_engine, struct tw_error *error);
/* NULL is allowed. */
void tw_engine_close(struct tw_engine *engine);

/* Makes the KV cache: room for n_tokens positions of all sequences together, rounded up to pages
 * per sequence: n_tokens / 64 + max_sequences pages. Once, before the first sequence. */
enum tw_status tw_engine_reserve(struct tw_engine *engine, uint64_t n_tokens,
                                 struct tw_error *error);

/* Makes a tenant (1..TW_LIMIT_TENANTS - 1) known, or changes it; after tw_engine_reserve. Weight
 * and class: sched/fair_share.h. Tenant 0 is there from the beginning, with weight 1. */
enum tw_status tw_engine_set_tenant(struct tw_engine *engine, uint32_t tenant, uint32_t weight,
                                    enum tw_priority_class priority_class, struct tw_error *error);

const struct tw_model_shape *tw_engine_shape(const struct tw_engine *engine);
const struct tw_tokenizer *tw_engine_tokenizer(const struct tw_engine *engine);
struct tw_model *tw_engine_model(const struct tw_engine *engine);
const char *tw_engine_device_name(const struct tw_engine *engine);

struct tw_engine_usage {
    uint32_t n_pages;      /* 0 before tw_engine_reserve */
    uint32_t n_free_pages; /* those that only cache something are free */
    uint32_t n_cached_pages;
    uint32_t n_sequences; /* that exist */
    uint32_t n_active;
    uint64_t n_steps;
    uint64_t n_computed_tokens; /* rows of all forward passes so far */
    uint64_t n_drafted_tokens;  /* of those, guessed (drafter.h) */
    uint64_t n_accepted_tokens; /* of those, what was sampled: each has saved a step */
    uint64_t n_preemptions;     /* sequences that had to give their pages back */
    uint64_t n_given_up_steps;  /* of IDLE tenants, for who was waited for */
};
struct tw_engine_usage tw_engine_usage(const struct tw_engine *engine);

/* The engine's vocabulary sorted by bytes, for tw_masker_create. Made at the first call, and the
 * engine's. TW_ERR_MEMORY. */
enum tw_status tw_engine_token_trie(struct tw_engine *engine, const struct tw_token_trie **ret_trie,
                                    struct tw_error *error);

/* One forward pass over what is active; nothing is done when nothing is. An answer may gain several
 * tokens by it. *ret_n_active: sequences that go on. TW_OK also when a sequence failed alone. */
enum tw_status tw_engine_step(struct tw_engine *engine, uint32_t *ret_n_active,
                              struct tw_error *error);

/* ---- sequences ---- */

struct tw_generation {
    struct tw_sampler_params sampling; /* biases are copied */
    struct tw_stop_rules rules;        /* strings are copied */
    uint32_t tenant;                   /* whose share it is: 0, or one of tw_engine_set_tenant */
    uint64_t domain;                   /* only sequences of one domain share what was computed */
    int32_t priority;                  /* among the tenant's own: less comes first */
    struct tw_masker *masker; /* the form of the answer, or NULL; must outlive the answer */
    bool scores_prompt;       /* the prompt's tokens come first in the output, with logprobs */
    bool only_prompt;         /* the answer ends before its first token, with TW_FINISH_LENGTH */
    bool embeds;              /* no answer: the prompt's embedding, with TW_FINISH_STOP */
};

/* Greedy, no bound but the model's context. */
struct tw_generation tw_generation_defaults(void);

enum tw_status tw_sequence_create(struct tw_engine *engine, struct tw_sequence **ret_sequence,
                                  struct tw_error *error);
/* NULL is allowed. Whatever its state. */
void tw_sequence_free(struct tw_sequence *sequence);

/* Adds tokens to an idle sequence. TW_ERR_LIMIT when they do not fit into the model's context or
 * into all pages there are; TW_ERR_USAGE for ids outside the vocabulary. Nothing is added then. */
enum tw_status tw_sequence_append(struct tw_sequence *sequence, const tw_token *tokens,
                                  size_t n_tokens, struct tw_error *error);

/* Forgets all but the first n_tokens of an idle sequence. */
void tw_sequence_truncate(struct tw_sequence *sequence, size_t n_tokens);

/* Begins an answer: all tokens so far are its prompt, at least one. It ends with TW_FINISH_LENGTH
 * where the context or the whole KV cache is full. With a masker the answer has that form: it ends
 * with TW_FINISH_STOP at an end token, or as soon as nothing more can come; end tokens must not be
 * ignored then. TW_ERR_UNSUPPORTED for an embedding of a kind that we do not compute. */
enum tw_status tw_sequence_generate(struct tw_sequence *sequence,
                                    const struct tw_generation *generation, struct tw_error *error);

/* Ends the answer in the making with TW_FINISH_CANCELLED; nothing happens to an idle sequence. */
void tw_sequence_cancel(struct tw_sequence *sequence);

/* What came since the last take. Token i has logprobs[i * (1 + n_top)] for itself, then n_top for
 * the best ones, where asked for. An end token is among the tokens and has no text. */
struct tw_output {
    const char *text; /* whole characters; held-back text is not in it */
    size_t text_bytes;
    const tw_token *tokens;
    size_t n_tokens;
    size_t n_prompt_tokens; /* of them the prompt's, which come first (scores_prompt): all but the
                               very first, before which there is nothing */
    /* Of each token of the answer how much of the text there was with it; the last one's is at most
     * text_bytes. */
    const size_t *text_ends;                 /* [n_tokens - n_prompt_tokens] */
    const struct tw_token_logprob *logprobs; /* NULL unless wanted */
    uint32_t n_top;
    size_t n_read_tokens;         /* of the prompt so far, computed or cached (tw_sequence_cached);
                                     where the answer was cancelled, as far as it came */
    const float *embedding;       /* [n_embed], not normalised, with the finish; otherwise NULL */
    enum tw_finish finish;        /* TW_FINISH_NONE: goes on */
    const struct tw_error *error; /* for TW_FINISH_ERROR */
};
struct tw_output tw_sequence_take(struct tw_sequence *sequence);

/* An active sequence keeps its pages and is in no step until it is resumed. Without effect on an
 * idle one, or where it is so already. */
void tw_sequence_pause(struct tw_sequence *sequence);
void tw_sequence_resume(struct tw_sequence *sequence);

bool tw_sequence_is_active(const struct tw_sequence *sequence);

/* All tokens: prompts, answers, and the last one sampled. */
const tw_token *tw_sequence_tokens(const struct tw_sequence *sequence, size_t *ret_n_tokens);
/* How many of them are in the KV cache now; 0 for an idle one. */
size_t tw_sequence_computed(const struct tw_sequence *sequence);
/* How many tokens of the last prompt others had computed already; known with the first token, and
 * where the answer ends before it. */
size_t tw_sequence_cached(const struct tw_sequence *sequence);

/* ---- scoring ---- */

/* The log-probability of tokens[i] given the ones before it, for i in [first, n_tokens), into
 * ret_logprobs [n_tokens - first]. first is at least 1. Needs tw_engine_reserve and that many free
 * pages; leaves nothing behind. */
enum tw_status tw_engine_score(struct tw_engine *engine, const tw_token *tokens, size_t n_tokens,
                               size_t first, float *ret_logprobs, struct tw_error *error);

#endif
