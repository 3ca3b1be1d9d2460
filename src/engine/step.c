/* What one forward pass computes, and what becomes of its logits. */
#include <assert.h>

#include "engine/engine.h"
#include "engine/engine_state.h"

/* The scheduler's rows as the model takes them. */
static void fill_batch(struct tw_engine *engine, const struct tw_step *step)
{
    for (uint32_t i = 0; i < step->n_rows; i++) {
        const struct tw_step_row *row = &step->rows[i];
        engine->batch[i] = (struct tw_batch_sequence){
            .tokens = row->tokens,
            .n_tokens = row->n_tokens,
            .first_position = row->first_position,
            .pages = row->pages,
            .n_outputs = row->wants_token,
        };
    }
}

static struct tw_sequence *owner_of(const struct tw_step_row *row)
{
    return tw_scheduler_state(row->sequence).owner;
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
    sequence->n_cached_tokens = tw_scheduler_state(sequence->scheduled).n_cached_tokens;
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
    tw_sequence_push_sample(sequence, &sample);
}

/* The rows stay as they are until the next plan; sequences may end meanwhile, each in its own. */
static void use_logits(struct tw_engine *engine, const struct tw_step *step, const float *logits)
{
    for (uint32_t i = 0; i < step->n_rows; i++) {
        if (step->rows[i].wants_token) {
            sample_row(engine, owner_of(&step->rows[i]), logits);
            logits += engine->shape->n_vocab;
        }
    }
}

enum tw_status tw_engine_step(struct tw_engine *engine, uint32_t *ret_n_active,
                              struct tw_error *error)
{
    assert(engine->scheduler != NULL);
    struct tw_step step = tw_scheduler_plan(engine->scheduler, engine->config.max_batch_tokens);
    if (step.n_rows > 0) {
        const float *logits;
        fill_batch(engine, &step);
        enum tw_status status = tw_model_forward(engine->model, engine->cache, engine->batch,
                                                 step.n_rows, &logits, error);
        if (status != TW_OK) {
            tw_scheduler_abandon(engine->scheduler);
            return status;
        }
        tw_scheduler_commit(engine->scheduler);
        engine->n_steps++;
        engine->n_computed_tokens += step.n_tokens;
        use_logits(engine, &step, logits);
    }
    *ret_n_active = engine->n_active;
    return TW_OK;
}
