/* engine_state.h: the inside of struct tw_engine and struct tw_sequence, for this layer alone.
 *
 * engine.c opens and closes, sequence.c edits one sequence, step.c computes what the scheduler has
 * planned, score.c reads probabilities.
 */
#ifndef TW_ENGINE_ENGINE_STATE_H
#define TW_ENGINE_ENGINE_STATE_H

#include "base/buf.h"
#include "device/device.h"
#include "engine/drafter.h"
#include "engine/engine.h"
#include "sched/scheduler.h"

struct tw_sequence {
    struct tw_engine *engine;
    struct tw_sched_sequence *scheduled; /* while active */

    struct tw_token_list tokens;
    size_t n_prompt_tokens; /* of the answer in the making: tokens before it */
    size_t n_tokens_most;   /* with the answer */
    size_t n_read_tokens;   /* of the last prompt: computed or cached */
    size_t n_cached_tokens; /* of those */

    struct tw_sampler_params sampling;
    struct tw_logit_bias *biases; /* the copy sampling points to */
    struct tw_stop *stop;
    struct tw_constraint constraint; /* of the answer; without a masker there is none */
    struct tw_drafter drafter;       /* of the answer */
    bool only_prompt;
    size_t n_scored_tokens; /* below n_prompt_tokens: of so many logprobs are known */
    double *sums;           /* [n_embed] of states, where an embedding is wanted; or NULL */
    float *embedding;       /* [n_embed] */

    /* What has come since the last take; `taken` is what the last take showed. */
    struct tw_buf text, taken_text;
    size_t n_taken_tokens; /* of tokens, up to where they were shown */
    struct tw_token_logprob *logprobs;
    size_t n_logprobs, logprob_capacity;
    size_t *text_ends; /* of each token that was sampled: bytes of text with it */
    size_t n_text_ends, text_end_capacity;
    enum tw_finish finish;
    struct tw_error error;
};

/* A row's first sample, where it was taken together with others'. */
struct tw_early_sample {
    bool is_there;
    enum tw_status status; /* where not TW_OK, the sequence has the error */
    struct tw_sample sample;
};

struct tw_engine {
    struct tw_device *device;
    struct tw_model *model;
    struct tw_kv_cache *cache;
    struct tw_fair_share *share;
    struct tw_scheduler *scheduler; /* with the cache */
    struct tw_sampler
        *samplers[TW_LIMIT_SAMPLERS]; /* of n_samplers >= 1: the threads that sample */
    uint32_t n_samplers;
    struct tw_engine_config config; /* without zeros */
    const struct tw_model_shape *shape;
    struct tw_token_trie *trie; /* NULL until somebody asks for it */

    uint32_t n_active;
    uint32_t n_sequences;
    uint64_t n_steps;
    uint64_t n_computed_tokens;
    uint64_t n_given_up_steps;
    uint32_t n_decoding; /* texts in the last step that got a token */

    /* [max_sequences] each: the forward pass being put together, and whose its rows are. */
    struct tw_batch_sequence *batch;
    struct tw_sequence **owners;
    struct tw_early_sample *early; /* of the rows */
};

/* How far the scheduler is with the prompt of an active sequence. */
void tw_sequence_note_read(struct tw_sequence *sequence);

/* The sequence is idle again, for a reason. */
void tw_sequence_end(struct tw_sequence *sequence, enum tw_finish finish);

/* Ends the sequence with TW_FINISH_ERROR; sequence->error must be set. */
void tw_sequence_fail(struct tw_sequence *sequence);

/* Adds the logprob of the next token of the prompt; may end the sequence. */
void tw_sequence_push_score(struct tw_sequence *sequence, const struct tw_sample *sample);

/* Adds a sampled token and its text, and tells the scheduler; may end the sequence. */
void tw_sequence_push_sample(struct tw_sequence *sequence, const struct tw_sample *sample);

#endif
