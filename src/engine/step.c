/* What one forward pass computes, and what becomes of its logits. */
#include <assert.h>
#include <math.h>

#include "engine/engine.h"
#include "engine/engine_state.h"

static struct tw_sequence *owner_of(const struct tw_step_row *row)
{
    return tw_scheduler_state(row->sequence).owner;
}

/* The scheduler's rows as the model takes them. Of an embedding no logits are wanted. */
static void fill_batch(struct tw_engine *engine, const struct tw_step *step)
{
    engine->n_decoding = 0;
    for (uint32_t i = 0; i < step->n_rows; i++) {
        const struct tw_step_row *row = &step->rows[i];
        engine->owners[i] = owner_of(row);
        engine->batch[i] = (struct tw_batch_sequence){
            .tokens = row->tokens,
            .n_tokens = row->n_tokens,
            .first_position = row->first_position,
            .pages = row->pages,
            .n_outputs = engine->owners[i]->embedding != NULL ? 0 : row->n_outputs,
        };
        engine->n_decoding += row->wants_token;
    }
}

/* ---- logits ---- */

/* The rows of logits of a pass, one after the other. */
struct logits_reader {
    struct tw_engine *engine;
    const float *rows; /* max_output_rows of them */
    uint32_t n_read;   /* of these */
};

static const float *next_logits(struct logits_reader *reader)
{
    if (reader->n_read == reader->engine->config.max_output_rows) {
        reader->rows = tw_model_more_logits(reader->engine->model);
        reader->n_read = 0;
    }
    return reader->rows + (size_t)reader->n_read++ * reader->engine->shape->n_vocab;
}

static struct tw_sampler_history history_of(const struct tw_sequence *sequence)
{
    return (struct tw_sampler_history){
        .tokens = sequence->tokens.ids,
        .n_tokens = sequence->tokens.n_tokens,
        .n_prompt_tokens = sequence->n_prompt_tokens,
        .position = sequence->tokens.n_tokens,
    };
}

static enum tw_status sample(struct tw_engine *engine, struct tw_sequence *sequence,
                             const float *logits, struct tw_sample *ret_sample)
{
    struct tw_sampler_history history = history_of(sequence);
    enum tw_status status = TW_OK;
    if (sequence->constraint.masker != NULL) {
        status = tw_constraint_mask(&sequence->constraint, &history.admissible, &sequence->error);
    }
    return status == TW_OK ? tw_sampler_sample(engine->samplers[0], logits, &sequence->sampling,
                                               &history, ret_sample, &sequence->error)
                           : status;
}

/* early: the sample where it was taken early, which holds for the row's first. */
static void sample_row(struct tw_engine *engine, struct tw_sequence *sequence, const float *logits,
                       struct tw_early_sample *early)
{
    if (!early->is_there) {
        early->status = sample(engine, sequence, logits, &early->sample);
    }
    early->is_there = false;
    if (early->status != TW_OK) {
        tw_sequence_fail(sequence);
        return;
    }
    tw_sequence_push_sample(sequence, &early->sample);
}

/* Which of the pass's logits a row's first sample is of; -1 where there is none or where it has a
 * form, whose masks sequences share. */
static int64_t first_logits(const struct tw_engine *engine, const struct tw_step_row *row,
                            const struct tw_sequence *sequence, uint32_t n_before)
{
    const bool samples = row->wants_token && row->n_outputs > row->n_drafted &&
                         sequence->embedding == NULL && !sequence->only_prompt &&
                         sequence->constraint.masker == NULL;
    const uint32_t place = n_before + row->n_outputs - 1 - row->n_drafted;
    return samples && place < engine->config.max_output_rows ? (int64_t)place : -1;
}

struct early_work {
    struct tw_engine *engine;
    const struct tw_step *step;
    const float *logits;
};

static void sample_share(void *context, int thread, int n_threads)
{
    struct early_work *work = context;
    struct tw_engine *engine = work->engine;
    (void)n_threads;
    uint32_t n_before = 0, n_found = 0;
    for (uint32_t i = 0; i < work->step->n_rows && thread < (int)engine->n_samplers; i++) {
        const struct tw_step_row *row = &work->step->rows[i];
        struct tw_sequence *sequence = engine->owners[i];
        const int64_t place = first_logits(engine, row, sequence, n_before);
        n_before += sequence->embedding == NULL ? row->n_outputs : 0;
        if (place >= 0 && n_found++ % engine->n_samplers == (uint32_t)thread) {
            struct tw_early_sample *early = &engine->early[i];
            struct tw_sampler_history history = history_of(sequence);
            early->is_there = true;
            early->status = tw_sampler_sample(
                engine->samplers[thread], work->logits + (size_t)place * engine->shape->n_vocab,
                &sequence->sampling, &history, &early->sample, &sequence->error);
        }
    }
}

/* Samples depend on nothing but their own text and logits, so all threads take their share. */
static void sample_early(struct tw_engine *engine, const struct tw_step *step, const float *logits)
{
    struct early_work work = {.engine = engine, .step = step, .logits = logits};
    for (uint32_t i = 0; i < step->n_rows; i++) {
        engine->early[i].is_there = false;
    }
    if (step->n_rows > 1 && engine->n_samplers > 1) {
        tw_device_run(engine->device, sample_share, &work);
    }
}

/* How likely was the token that follows the position? */
static void score_row(struct tw_engine *engine, struct tw_sequence *sequence, size_t position,
                      const float *logits)
{
    struct tw_sample sample;
    if (tw_sampler_score(engine->samplers[0], logits, sequence->tokens.ids[position + 1],
                         sequence->sampling.n_top_logprobs, &sample, &sequence->error) != TW_OK) {
        tw_sequence_fail(sequence);
        return;
    }
    tw_sequence_push_score(sequence, &sample);
}

/* What a text may go on with, for its next row. Where it has a form, up to the first token that may
 * not come. */
static void draft(struct tw_engine *engine, struct tw_sequence *sequence)
{
    tw_token tokens[TW_LIMIT_DRAFT_TOKENS];
    uint32_t n = tw_drafter_guess(&sequence->drafter, sequence->tokens.ids,
                                  sequence->tokens.n_tokens, engine->n_decoding, tokens);
    if (sequence->constraint.masker != NULL && n > 0) {
        struct tw_constraint ahead = sequence->constraint;
        uint32_t n_admissible = 0;
        while (n_admissible < n && tw_constraint_advance(&ahead, tokens[n_admissible])) {
            n_admissible++;
        }
        n = n_admissible;
    }
    tw_scheduler_draft(engine->scheduler, sequence->scheduled, tokens, n);
}

static bool owes_token(const struct tw_sequence *sequence)
{
    return tw_scheduler_state(sequence->scheduled).owes_token;
}

/* A row's logits, one position after the other: behind the first token that is not the draft's they
 * are of another text, and are passed over. So are those of a sequence that has ended. */
static void use_logits(struct logits_reader *reader, struct tw_sequence *sequence,
                       const struct tw_step_row *row, struct tw_early_sample *early)
{
    size_t position = row->first_position + row->n_tokens - row->n_outputs;
    uint32_t n_right = 0;
    for (uint32_t i = 0; i < row->n_outputs; i++, position++) {
        const float *logits = next_logits(reader);
        if (sequence->scheduled == NULL) {
            continue;
        }
        if (position + 1 < sequence->n_prompt_tokens) {
            score_row(reader->engine, sequence, position, logits);
        } else if (sequence->only_prompt) {
            tw_sequence_end(sequence, TW_FINISH_LENGTH);
        } else if (owes_token(sequence)) {
            sample_row(reader->engine, sequence, logits, early);
            n_right += sequence->scheduled != NULL && owes_token(sequence);
        }
    }
    if (sequence->scheduled != NULL && row->wants_token && !reader->engine->config.no_speculation) {
        tw_drafter_learn(&sequence->drafter, row->n_drafted, n_right);
        draft(reader->engine, sequence);
    }
}

/* ---- embeddings ---- */

/* states: [row->n_tokens, n_embed]. Sums are in double precision and in the order of the text, so
 * that they are the same however it was cut. */
static void use_states(struct tw_engine *engine, struct tw_sequence *sequence,
                       const struct tw_step_row *row, const float *states)
{
    const uint32_t n_embed = engine->shape->n_embed;
    const enum tw_pooling pooling = tw_model_pooling(engine->model);
    for (uint32_t i = row->n_tokens - row->n_outputs; i < row->n_tokens; i++) {
        const bool counts = pooling != TW_POOLING_FIRST || row->first_position + i == 0;
        for (uint32_t d = 0; counts && d < n_embed; d++) {
            sequence->sums[d] += (double)states[(size_t)i * n_embed + d];
        }
    }
    if (!row->wants_token) {
        return;
    }
    const double n = pooling == TW_POOLING_MEAN ? (double)sequence->tokens.n_tokens : 1;
    for (uint32_t d = 0; d < n_embed; d++) {
        sequence->embedding[d] = (float)(sequence->sums[d] / n);
        if (!isfinite(sequence->embedding[d])) {
            tw_error_set(&sequence->error, TW_ERR_FORMAT, TW_NO_POSITION,
                         "the model's embedding has no numbers: its weights are damaged");
            tw_sequence_fail(sequence);
            return;
        }
    }
    tw_sequence_end(sequence, TW_FINISH_STOP);
}

/* ---- the step ---- */

/* The rows stay as they are until the next plan; sequences may end meanwhile, each in its own. */
static void use_results(struct tw_engine *engine, const struct tw_step *step, const float *logits)
{
    struct logits_reader reader = {.engine = engine, .rows = logits};
    const float *states = NULL;
    bool any_embeds = false;
    for (uint32_t i = 0; i < step->n_rows; i++) {
        struct tw_sequence *sequence = engine->owners[i];
        any_embeds = any_embeds || sequence->embedding != NULL;
        tw_sequence_note_read(sequence);
        if (sequence->embedding == NULL) {
            use_logits(&reader, sequence, &step->rows[i], &engine->early[i]);
        }
    }
    if (any_embeds) {
        states = tw_model_states(engine->model);
    }
    for (uint32_t i = 0; any_embeds && i < step->n_rows; i++) {
        if (engine->owners[i]->embedding != NULL) {
            use_states(engine, engine->owners[i], &step->rows[i], states);
        }
        states += (size_t)step->rows[i].n_tokens * engine->shape->n_embed;
    }
}

enum tw_status tw_engine_step(struct tw_engine *engine, uint32_t *ret_n_active,
                              struct tw_error *error)
{
    const atomic_uint *n_waited_for = engine->config.n_waited_for;
    assert(engine->scheduler != NULL);
    tw_scheduler_hold_idle(engine->scheduler,
                           n_waited_for != NULL && atomic_load(n_waited_for) > 0);
    struct tw_step step = tw_scheduler_plan(engine->scheduler, engine->config.max_batch_tokens);
    if (step.n_rows > 0) {
        const float *logits;
        fill_batch(engine, &step);
        enum tw_status status =
            tw_model_forward(engine->model, engine->cache, engine->batch, step.n_rows,
                             step.is_idle ? n_waited_for : NULL, &logits, error);
        if (status != TW_OK) {
            const bool is_given_up = status == TW_ERR_CANCELLED;
            tw_scheduler_abandon(engine->scheduler);
            engine->n_given_up_steps += is_given_up;
            *ret_n_active = engine->n_active;
            return is_given_up ? TW_OK : status;
        }
        tw_scheduler_commit(engine->scheduler);
        engine->n_steps++;
        engine->n_computed_tokens += step.n_tokens;
        sample_early(engine, &step, logits);
        use_results(engine, &step, logits);
    }
    *ret_n_active = engine->n_active;
    return TW_OK;
}
