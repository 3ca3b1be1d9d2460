#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "engine/engine.h"
#include "engine/engine_state.h"

struct tw_generation tw_generation_defaults(void)
{
    return (struct tw_generation){.sampling = tw_sampler_defaults()};
}

enum tw_status tw_sequence_create(struct tw_engine *engine, struct tw_sequence **ret_sequence,
                                  struct tw_error *error)
{
    assert(engine->scheduler != NULL);
    struct tw_sequence *sequence = tw_mem_zalloc(1, sizeof *sequence);
    if (sequence == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a sequence");
    }
    sequence->engine = engine;
    tw_buf_init(&sequence->text, TW_LIMIT_GENERATED_BYTES);
    tw_buf_init(&sequence->taken_text, TW_LIMIT_GENERATED_BYTES);
    engine->n_sequences++;
    *ret_sequence = sequence;
    return TW_OK;
}

void tw_sequence_free(struct tw_sequence *sequence)
{
    if (sequence == NULL) {
        return;
    }
    tw_sequence_cancel(sequence);
    sequence->engine->n_sequences--;
    tw_stop_free(sequence->stop);
    tw_token_list_free(&sequence->tokens);
    tw_mem_free(sequence->biases);
    tw_mem_free(sequence->logprobs);
    tw_mem_free(sequence->text_ends);
    tw_mem_free(sequence->sums);
    tw_mem_free(sequence->embedding);
    tw_buf_free(&sequence->text);
    tw_buf_free(&sequence->taken_text);
    tw_mem_free(sequence);
}

/* ---- prompts ---- */

static enum tw_status check_tokens(const struct tw_engine *engine, const tw_token *tokens,
                                   size_t n_tokens, struct tw_error *error)
{
    for (size_t i = 0; i < n_tokens; i++) {
        if (tokens[i] < 0 || (uint32_t)tokens[i] >= engine->shape->n_vocab) {
            return tw_error_set(error, TW_ERR_USAGE, i,
                                "token %d: the model's vocabulary has 0 to %u", tokens[i],
                                engine->shape->n_vocab - 1);
        }
    }
    return TW_OK;
}

/* Positions of one sequence that has all pages. */
static uint64_t room_for(const struct tw_engine *engine)
{
    return (uint64_t)tw_engine_usage(engine).n_pages * TW_KV_PAGE_TOKENS;
}

static enum tw_status check_length(const struct tw_engine *engine, size_t n_before, size_t n_more,
                                   struct tw_error *error)
{
    uint32_t n_context = engine->shape->n_context_tokens;
    if (n_more > n_context || n_before > n_context - n_more) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "%zu tokens: the model's context is %u tokens", n_before + n_more,
                            n_context);
    }
    if (n_before + n_more > room_for(engine)) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "%zu tokens: the KV cache has room for %llu; give more context",
                            n_before + n_more, (unsigned long long)room_for(engine));
    }
    return TW_OK;
}

/* What there is counts as taken. */
static void skip_output(struct tw_sequence *sequence)
{
    sequence->n_scored_tokens = sequence->n_prompt_tokens;
    sequence->n_taken_tokens = sequence->tokens.n_tokens;
}

enum tw_status tw_sequence_append(struct tw_sequence *sequence, const tw_token *tokens,
                                  size_t n_tokens, struct tw_error *error)
{
    assert(sequence->scheduled == NULL);
    const size_t n_before = sequence->tokens.n_tokens;
    enum tw_status status = check_length(sequence->engine, n_before, n_tokens, error);
    if (status == TW_OK) {
        status = check_tokens(sequence->engine, tokens, n_tokens, error);
    }
    for (size_t i = 0; status == TW_OK && i < n_tokens; i++) {
        if (!tw_token_list_push(&sequence->tokens, tokens[i])) {
            sequence->tokens.n_tokens = n_before;
            status = tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION,
                                  "no memory for a prompt of %zu tokens", n_tokens);
        }
    }
    skip_output(sequence);
    return status;
}

void tw_sequence_truncate(struct tw_sequence *sequence, size_t n_tokens)
{
    assert(sequence->scheduled == NULL && n_tokens <= sequence->tokens.n_tokens);
    sequence->tokens.n_tokens = n_tokens;
    skip_output(sequence);
}

/* ---- answers ---- */

static enum tw_status copy_sampling(struct tw_sequence *sequence,
                                    const struct tw_sampler_params *params, struct tw_error *error)
{
    struct tw_logit_bias *biases = tw_mem_alloc(params->n_biases, sizeof *biases);
    if (biases == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for logit biases");
    }
    if (params->n_biases > 0) {
        memcpy(biases, params->biases, params->n_biases * sizeof *biases);
    }
    tw_mem_free(sequence->biases);
    sequence->biases = biases;
    sequence->sampling = *params;
    sequence->sampling.biases = biases;
    return TW_OK;
}

static void forget_output(struct tw_sequence *sequence, bool scores_prompt)
{
    tw_buf_clear(&sequence->text);
    tw_buf_clear(&sequence->taken_text);
    sequence->n_scored_tokens = scores_prompt ? 1 : sequence->tokens.n_tokens;
    sequence->n_taken_tokens = sequence->n_scored_tokens;
    sequence->n_logprobs = 0;
    sequence->n_text_ends = 0;
    sequence->finish = TW_FINISH_NONE;
}

/* How long the text may become: the last token is never computed. */
static size_t longest_text(const struct tw_sequence *sequence, uint64_t max_tokens)
{
    const struct tw_engine *engine = sequence->engine;
    size_t n_prompt = sequence->tokens.n_tokens;
    uint64_t most = engine->shape->n_context_tokens;
    most = room_for(engine) + 1 < most ? room_for(engine) + 1 : most;
    most = max_tokens != 0 && max_tokens < most && n_prompt + max_tokens < most
               ? n_prompt + max_tokens
               : most;
    return most > n_prompt ? (size_t)most : n_prompt + 1;
}

/* The buffers of an embedding, or none. */
static enum tw_status make_sums(struct tw_sequence *sequence, bool embeds, struct tw_error *error)
{
    const struct tw_engine *engine = sequence->engine;
    tw_mem_free(sequence->sums);
    tw_mem_free(sequence->embedding);
    sequence->sums = NULL;
    sequence->embedding = NULL;
    if (!embeds) {
        return TW_OK;
    }
    if (tw_model_pooling(engine->model) == TW_POOLING_OTHER) {
        return tw_error_set(error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                            "the model makes embeddings in a way that is not supported here");
    }
    sequence->sums = tw_mem_zalloc(engine->shape->n_embed, sizeof *sequence->sums);
    sequence->embedding = tw_mem_zalloc(engine->shape->n_embed, sizeof *sequence->embedding);
    return sequence->sums != NULL && sequence->embedding != NULL
               ? TW_OK
               : tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for an embedding");
}

static enum tw_status schedule(struct tw_sequence *sequence, const struct tw_generation *generation,
                               struct tw_error *error)
{
    const enum tw_pooling pooling = tw_model_pooling(sequence->engine->model);
    const bool needs_all_states =
        generation->embeds && (pooling == TW_POOLING_MEAN || pooling == TW_POOLING_FIRST);
    const struct tw_sched_request request = {
        .tenant = generation->tenant,
        .domain = generation->domain,
        .priority = generation->priority,
        .tokens = sequence->tokens.ids,
        .n_tokens = (uint32_t)sequence->tokens.n_tokens,
        .n_tokens_most = (uint32_t)sequence->n_tokens_most,
        .wants_all = generation->scores_prompt || needs_all_states,
        .owner = sequence,
    };
    return tw_scheduler_submit(sequence->engine->scheduler, &request, &sequence->scheduled, error);
}

static enum tw_status prepare(struct tw_sequence *sequence, const struct tw_generation *generation,
                              struct tw_stop **ret_stop, struct tw_error *error)
{
    const struct tw_engine *engine = sequence->engine;
    if (sequence->tokens.n_tokens == 0) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "the prompt is empty: the model needs at least one token");
    }
    if (!tw_fair_share_knows(engine->share, generation->tenant)) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION, "there is no tenant %u",
                            generation->tenant);
    }
    if (generation->masker != NULL && generation->rules.ignore_end_tokens) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "an answer of a prescribed form ends at an end token: they cannot be "
                            "ignored");
    }
    enum tw_status status = tw_sampler_check(&generation->sampling, engine->shape->n_vocab, error);
    if (status == TW_OK) {
        status = tw_stop_create(&generation->rules, tw_engine_tokenizer(engine), ret_stop, error);
    }
    if (status == TW_OK) {
        status = copy_sampling(sequence, &generation->sampling, error);
    }
    return status;
}

enum tw_status tw_sequence_generate(struct tw_sequence *sequence,
                                    const struct tw_generation *generation, struct tw_error *error)
{
    assert(sequence->scheduled == NULL);
    struct tw_stop *stop = NULL;
    enum tw_status status = prepare(sequence, generation, &stop, error);
    if (status == TW_OK) {
        status = make_sums(sequence, generation->embeds, error);
    }
    if (status == TW_OK) {
        const bool has_answer = !generation->only_prompt && !generation->embeds;
        sequence->n_tokens_most =
            longest_text(sequence, has_answer ? generation->rules.max_tokens : 1);
        status = schedule(sequence, generation, error);
    }
    if (status != TW_OK) {
        tw_stop_free(stop);
        return status;
    }
    tw_stop_free(sequence->stop);
    sequence->stop = stop;
    sequence->constraint = tw_constraint_begin(generation->masker);
    sequence->drafter = tw_drafter_begin();
    sequence->n_prompt_tokens = sequence->tokens.n_tokens;
    sequence->n_read_tokens = sequence->n_cached_tokens = 0;
    sequence->only_prompt = generation->only_prompt;
    forget_output(sequence, generation->scores_prompt);
    sequence->engine->n_active++;
    return TW_OK;
}

void tw_sequence_note_read(struct tw_sequence *sequence)
{
    const struct tw_sched_state state = tw_scheduler_state(sequence->scheduled);
    sequence->n_read_tokens = state.n_read_tokens;
    sequence->n_cached_tokens = state.n_cached_tokens;
}

void tw_sequence_end(struct tw_sequence *sequence, enum tw_finish finish)
{
    assert(sequence->scheduled != NULL && finish != TW_FINISH_NONE);
    tw_sequence_note_read(sequence);
    tw_scheduler_end(sequence->engine->scheduler, sequence->scheduled);
    sequence->scheduled = NULL;
    sequence->finish = finish;
    sequence->engine->n_active--;
}

void tw_sequence_fail(struct tw_sequence *sequence)
{
    tw_stop_finish(sequence->stop, &sequence->text);
    tw_sequence_end(sequence, TW_FINISH_ERROR);
}

void tw_sequence_cancel(struct tw_sequence *sequence)
{
    if (sequence->scheduled != NULL) {
        tw_stop_finish(sequence->stop, &sequence->text);
        tw_sequence_end(sequence, TW_FINISH_CANCELLED);
    }
}

void tw_sequence_pause(struct tw_sequence *sequence)
{
    if (sequence->scheduled != NULL) {
        tw_scheduler_pause(sequence->engine->scheduler, sequence->scheduled);
    }
}

void tw_sequence_resume(struct tw_sequence *sequence)
{
    if (sequence->scheduled != NULL) {
        tw_scheduler_resume(sequence->engine->scheduler, sequence->scheduled);
    }
}

static bool push_logprobs(struct tw_sequence *sequence, const struct tw_sample *sample)
{
    size_t n = 1 + (size_t)sequence->sampling.n_top_logprobs;
    if (sequence->n_logprobs + n > sequence->logprob_capacity) {
        size_t capacity = 2 * sequence->logprob_capacity + n;
        void *grown = tw_mem_realloc(sequence->logprobs, capacity, sizeof *sequence->logprobs);
        if (grown == NULL) {
            return false;
        }
        sequence->logprobs = grown;
        sequence->logprob_capacity = capacity;
    }
    struct tw_token_logprob *row = sequence->logprobs + sequence->n_logprobs;
    row[0] = (struct tw_token_logprob){sample->token, sample->logprob};
    /* A vocabulary smaller than n_top leaves places empty. */
    for (size_t i = 1; i < n; i++) {
        row[i] = i <= sample->n_top ? sample->top[i - 1]
                                    : (struct tw_token_logprob){.token = TW_TOKEN_NONE};
    }
    sequence->n_logprobs += n;
    return true;
}

static bool have_text_end(struct tw_sequence *sequence)
{
    if (sequence->n_text_ends == sequence->text_end_capacity) {
        size_t capacity = 2 * sequence->text_end_capacity + TW_LIMIT_DECODED_TOKENS;
        size_t *grown = tw_mem_realloc(sequence->text_ends, capacity, sizeof *sequence->text_ends);
        if (grown == NULL) {
            return false;
        }
        sequence->text_ends = grown;
        sequence->text_end_capacity = capacity;
    }
    return true;
}

static bool wants_logprobs(const struct tw_sequence *sequence)
{
    return sequence->sampling.want_logprobs || sequence->sampling.n_top_logprobs > 0;
}

static bool record_sample(struct tw_sequence *sequence, const struct tw_sample *sample)
{
    if (!have_text_end(sequence) || !tw_token_list_push(&sequence->tokens, sample->token)) {
        return false;
    }
    if (wants_logprobs(sequence) && !push_logprobs(sequence, sample)) {
        sequence->tokens.n_tokens--; /* no token without its row */
        return false;
    }
    return true;
}

/* Where nothing more can come the answer is over: to ask the model for its end token would be a
 * pass for nothing. */
static enum tw_finish advance_form(struct tw_sequence *sequence, tw_token token,
                                   enum tw_finish finish)
{
    bool is_admissible = tw_constraint_advance(&sequence->constraint, token);
    assert(is_admissible);
    if (!is_admissible || finish == TW_FINISH_STOP ||
        !tw_constraint_is_over(&sequence->constraint)) {
        return finish;
    }
    if (finish == TW_FINISH_NONE) {
        tw_stop_finish(sequence->stop, &sequence->text);
    }
    return TW_FINISH_STOP;
}

static void fail_for_memory(struct tw_sequence *sequence, size_t token)
{
    tw_error_set(&sequence->error, TW_ERR_MEMORY, TW_NO_POSITION,
                 "no memory for token %zu of a sequence", token);
    tw_sequence_fail(sequence);
}

void tw_sequence_push_score(struct tw_sequence *sequence, const struct tw_sample *sample)
{
    if (wants_logprobs(sequence) && !push_logprobs(sequence, sample)) {
        fail_for_memory(sequence, sequence->n_scored_tokens);
        return;
    }
    sequence->n_scored_tokens++;
}

void tw_sequence_push_sample(struct tw_sequence *sequence, const struct tw_sample *sample)
{
    if (!record_sample(sequence, sample)) {
        fail_for_memory(sequence, sequence->tokens.n_tokens);
        return;
    }
    enum tw_finish finish = tw_stop_push(sequence->stop, sample->token, &sequence->text);
    if (sequence->constraint.masker != NULL) {
        finish = advance_form(sequence, sample->token, finish);
    }
    if (finish == TW_FINISH_NONE && sequence->tokens.n_tokens >= sequence->n_tokens_most) {
        tw_stop_finish(sequence->stop, &sequence->text);
        finish = TW_FINISH_LENGTH;
    }
    sequence->text_ends[sequence->n_text_ends++] = sequence->text.size_bytes;
    if (sequence->text.failed) {
        tw_error_set(&sequence->error, TW_ERR_LIMIT, TW_NO_POSITION,
                     "%zu bytes of an answer have not been taken", sequence->text.size_bytes);
        finish = TW_FINISH_ERROR;
    }
    if (finish == TW_FINISH_NONE &&
        tw_scheduler_push(sequence->engine->scheduler, sequence->scheduled, sample->token,
                          &sequence->error) != TW_OK) {
        finish = TW_FINISH_ERROR;
    }
    if (finish != TW_FINISH_NONE) {
        tw_sequence_end(sequence, finish);
    }
}

/* ---- reading ---- */

struct tw_output tw_sequence_take(struct tw_sequence *sequence)
{
    const size_t n_prompt = sequence->n_prompt_tokens, n_taken = sequence->n_taken_tokens;
    const size_t n_known = sequence->n_scored_tokens < n_prompt ? sequence->n_scored_tokens
                                                                : sequence->tokens.n_tokens;
    struct tw_buf shown = sequence->text;
    sequence->text = sequence->taken_text;
    sequence->taken_text = shown;
    tw_buf_clear(&sequence->text);

    struct tw_output output = {
        .text = shown.data != NULL ? shown.data : "",
        .text_bytes = shown.size_bytes,
        .tokens = sequence->tokens.ids + n_taken,
        .n_tokens = n_known - n_taken,
        .n_prompt_tokens =
            n_taken < n_prompt ? (n_known < n_prompt ? n_known : n_prompt) - n_taken : 0,
        .text_ends = sequence->text_ends,
        .n_read_tokens = sequence->n_read_tokens,
        .embedding = sequence->finish == TW_FINISH_STOP ? sequence->embedding : NULL,
        .finish = sequence->finish,
        .error = sequence->finish == TW_FINISH_ERROR ? &sequence->error : NULL,
    };
    if (wants_logprobs(sequence)) {
        output.logprobs = sequence->logprobs;
        output.n_top = sequence->sampling.n_top_logprobs;
    }
    sequence->n_taken_tokens = n_known;
    sequence->n_logprobs = 0;
    sequence->n_text_ends = 0;
    return output;
}

bool tw_sequence_is_active(const struct tw_sequence *sequence)
{
    return sequence->scheduled != NULL;
}

const tw_token *tw_sequence_tokens(const struct tw_sequence *sequence, size_t *ret_n_tokens)
{
    *ret_n_tokens = sequence->tokens.n_tokens;
    return sequence->tokens.ids;
}

size_t tw_sequence_computed(const struct tw_sequence *sequence)
{
    return sequence->scheduled != NULL ? tw_scheduler_state(sequence->scheduled).n_computed : 0;
}

size_t tw_sequence_cached(const struct tw_sequence *sequence)
{
    return sequence->n_cached_tokens;
}
