/* What one forward pass computes, and what becomes of its logits. */
#include <assert.h>

#include "engine/engine.h"
#include "engine/engine_state.h"

/* Adds the next n tokens of a sequence to the pass. Logits are wanted when they reach the end. */
static void add_to_batch(struct tw_engine *engine, struct tw_sequence *sequence, uint32_t n)
{
    size_t first = sequence->n_computed;
    assert(first + n <= sequence->tokens.n_tokens);
    assert(tw_sequence_pages_for(first + n) <= sequence->n_pages);
    engine->batch[engine->n_batch] = (struct tw_batch_sequence){
        .tokens = sequence->tokens.ids + first,
        .n_tokens = n,
        .first_position = (uint32_t)first,
        .pages = sequence->pages,
        .n_outputs = first + n == sequence->tokens.n_tokens,
    };
    engine->batch_owners[engine->n_batch] = sequence;
    engine->n_batch++;
    engine->n_batch_tokens += n;
}

static void fail_for_pages(struct tw_sequence *sequence, size_t n_positions)
{
    const struct tw_engine *engine = sequence->engine;
    tw_error_set(&sequence->error, TW_ERR_LIMIT, TW_NO_POSITION,
                 "the KV cache is full: %zu tokens of context need %u pages, %u of %u are free; "
                 "give more context or run fewer sequences",
                 n_positions, tw_sequence_pages_for(n_positions),
                 tw_page_pool_free_pages(engine->pool) + sequence->n_pages,
                 tw_page_pool_total(engine->pool));
    tw_sequence_fail(sequence);
}

/* Decode rows come first: no answer in the making waits for somebody's prompt. */
static void add_decoding(struct tw_engine *engine)
{
    struct tw_sequence *next;
    for (struct tw_sequence *sequence = engine->first; sequence != NULL; sequence = next) {
        next = sequence->next;
        if (sequence->state != TW_SEQUENCE_DECODE) {
            continue;
        }
        if (!tw_sequence_grow(sequence, sequence->tokens.n_tokens)) {
            fail_for_pages(sequence, sequence->tokens.n_tokens);
            continue;
        }
        add_to_batch(engine, sequence, 1);
    }
}

static bool anyone_computes(const struct tw_engine *engine)
{
    for (const struct tw_sequence *s = engine->first; s != NULL; s = s->next) {
        if (s->state != TW_SEQUENCE_WAITING) {
            return true;
        }
    }
    return false;
}

/* A prompt starts only with all its pages in hand: two half-computed prompts must not wait for
 * each other. False when it has to wait for others to end. */
static bool admit(struct tw_engine *engine, struct tw_sequence *sequence)
{
    if (tw_sequence_grow(sequence, sequence->tokens.n_tokens)) {
        sequence->state = TW_SEQUENCE_PREFILL;
        return true;
    }
    if (anyone_computes(engine)) {
        return false;
    }
    fail_for_pages(sequence, sequence->tokens.n_tokens);
    return true;
}

static void add_prompts(struct tw_engine *engine)
{
    struct tw_sequence *next;
    for (struct tw_sequence *sequence = engine->first; sequence != NULL; sequence = next) {
        next = sequence->next;
        if (engine->n_batch_tokens == engine->config.max_batch_tokens) {
            return;
        }
        /* First come, first served: nobody overtakes one that waits for pages. */
        if (sequence->state == TW_SEQUENCE_WAITING && !admit(engine, sequence)) {
            return;
        }
        if (sequence->state == TW_SEQUENCE_PREFILL) {
            size_t left = sequence->tokens.n_tokens - sequence->n_computed;
            uint32_t room = engine->config.max_batch_tokens - engine->n_batch_tokens;
            add_to_batch(engine, sequence, left < room ? (uint32_t)left : room);
        }
    }
}

static void sample_row(struct tw_engine *engine, struct tw_sequence *sequence, const float *logits)
{
    struct tw_sampler_history history = {
        .tokens = sequence->tokens.ids,
        .n_tokens = sequence->tokens.n_tokens,
        .n_prompt_tokens = sequence->n_prompt_tokens,
        .position = sequence->tokens.n_tokens,
    };
    struct tw_sample sample;
    enum tw_status status = TW_OK;
    if (sequence->constraint.masker != NULL) {
        status = tw_constraint_mask(&sequence->constraint, &history.admissible, &sequence->error);
    }
    if (status == TW_OK) {
        status = tw_sampler_sample(engine->sampler, logits, &sequence->sampling, &history, &sample,
                                   &sequence->error);
    }
    if (status != TW_OK) {
        tw_sequence_fail(sequence);
        return;
    }
    sequence->state = TW_SEQUENCE_DECODE;
    tw_sequence_push_sample(sequence, &sample);
}

static void use_logits(struct tw_engine *engine, const float *logits)
{
    for (uint32_t i = 0; i < engine->n_batch; i++) {
        struct tw_sequence *sequence = engine->batch_owners[i];
        sequence->n_computed += engine->batch[i].n_tokens;
        engine->n_computed_tokens += engine->batch[i].n_tokens;
        if (engine->batch[i].n_outputs != 0) {
            sample_row(engine, sequence, logits);
            logits += engine->shape->n_vocab;
        }
    }
}

enum tw_status tw_engine_step(struct tw_engine *engine, uint32_t *ret_n_active,
                              struct tw_error *error)
{
    engine->n_batch = 0;
    engine->n_batch_tokens = 0;
    add_decoding(engine);
    add_prompts(engine);
    if (engine->n_batch > 0) {
        const float *logits;
        enum tw_status status = tw_model_forward(engine->model, engine->cache, engine->batch,
                                                 engine->n_batch, &logits, error);
        if (status != TW_OK) {
            return status;
        }
        engine->n_steps++;
        use_logits(engine, logits);
    }
    *ret_n_active = engine->n_active;
    return TW_OK;
}
