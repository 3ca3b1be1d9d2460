/* engine_state.h: the inside of struct tw_engine and struct tw_sequence, for this layer alone.
 *
 * engine.c opens and closes, sequence.c edits one sequence, step.c decides what a forward pass
 * computes, score.c reads probabilities. A scheduler replaces step.c's choice of rows and touches
 * nothing else.
 */
#ifndef TW_ENGINE_ENGINE_STATE_H
#define TW_ENGINE_ENGINE_STATE_H

#include "base/buf.h"
#include "device/device.h"
#include "engine/engine.h"
#include "sched/page_pool.h"

enum tw_sequence_state {
    TW_SEQUENCE_IDLE = 0,
    TW_SEQUENCE_WAITING,
    TW_SEQUENCE_PREFILL,
    TW_SEQUENCE_DECODE
};

struct tw_sequence {
    struct tw_engine *engine;
    struct tw_sequence *previous, *next; /* among the active, in order of arrival */
    enum tw_sequence_state state;

    struct tw_token_list tokens;
    size_t n_computed;      /* positions in the cache; less than tokens.n_tokens when active */
    size_t n_prompt_tokens; /* of the answer in the making: tokens before it */
    uint32_t *pages;        /* [n_pages] */
    uint32_t n_pages, page_capacity;

    struct tw_sampler_params sampling;
    struct tw_logit_bias *biases; /* the copy sampling points to */
    struct tw_stop *stop;
    bool keep_pages;
    struct tw_constraint constraint; /* of the answer; without a masker there is none */

    /* What has come since the last take; `taken` is what the last take showed. */
    struct tw_buf text, taken_text;
    size_t n_taken_tokens; /* of tokens, up to where they were shown */
    struct tw_token_logprob *logprobs;
    size_t n_logprobs, logprob_capacity;
    enum tw_finish finish;
    struct tw_error error;
};

struct tw_engine {
    struct tw_device *device;
    struct tw_model *model;
    struct tw_kv_cache *cache;
    struct tw_page_pool *pool;
    struct tw_sampler *sampler;
    struct tw_engine_config config; /* without zeros */
    const struct tw_model_shape *shape;
    struct tw_token_trie *trie; /* NULL until somebody asks for it */

    struct tw_sequence *first, *last; /* active */
    uint32_t n_active;
    uint32_t n_sequences;
    uint64_t n_steps;
    uint64_t n_computed_tokens;

    /* The forward pass being put together: [max_sequences] each. */
    struct tw_batch_sequence *batch;
    struct tw_sequence **batch_owners;
    uint32_t n_batch;
    uint32_t n_batch_tokens;
};

uint32_t tw_sequence_pages_for(size_t n_positions);

/* Makes the sequence hold pages for n_positions; false when the pool has too few (or memory for
 * their numbers is lacking), with nothing changed. */
bool tw_sequence_grow(struct tw_sequence *sequence, size_t n_positions);

/* Puts the sequence to IDLE with a reason; frees its pages unless they are to be kept. */
void tw_sequence_end(struct tw_sequence *sequence, enum tw_finish finish, bool keep_pages);

/* Ends the sequence with TW_FINISH_ERROR; sequence->error must be set. */
void tw_sequence_fail(struct tw_sequence *sequence);

/* Adds a sampled token and its text; may end the sequence. */
void tw_sequence_push_sample(struct tw_sequence *sequence, const struct tw_sample *sample);

#endif
