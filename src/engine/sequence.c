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
    assert(engine->pool != NULL);
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
    tw_mem_free(sequence->pages);
    tw_mem_free(sequence->biases);
    tw_mem_free(sequence->logprobs);
    tw_buf_free(&sequence->text);
    tw_buf_free(&sequence->taken_text);
    tw_mem_free(sequence);
}

/* ---- pages ---- */

uint32_t tw_sequence_pages_for(size_t n_positions)
{
    return (uint32_t)((n_positions + TW_KV_PAGE_TOKENS - 1) / TW_KV_PAGE_TOKENS);
}

static bool reserve_page_numbers(struct tw_sequence *sequence, uint32_t n_pages)
{
    if (n_pages <= sequence->page_capacity) {
        return true;
    }
    uint32_t capacity = sequence->page_capacity * 2;
    capacity = capacity < n_pages ? n_pages : capacity;
    uint32_t *pages = tw_mem_realloc(sequence->pages, capacity, sizeof *pages);
    if (pages == NULL) {
        return false;
    }
    sequence->pages = pages;
    sequence->page_capacity = capacity;
    return true;
}

bool tw_sequence_grow(struct tw_sequence *sequence, size_t n_positions)
{
    uint32_t n_pages = tw_sequence_pages_for(n_positions);
    if (n_pages <= sequence->n_pages) {
        return true;
    }
    uint32_t n_more = n_pages - sequence->n_pages;
    if (!reserve_page_numbers(sequence, n_pages) ||
        !tw_page_pool_alloc(sequence->engine->pool, n_more, sequence->pages + sequence->n_pages)) {
        return false;
    }
    sequence->n_pages = n_pages;
    return true;
}

static void free_pages(struct tw_sequence *sequence)
{
    for (uint32_t i = 0; i < sequence->n_pages; i++) {
        tw_page_pool_unref(sequence->engine->pool, sequence->pages[i]);
    }
    sequence->n_pages = 0;
    sequence->n_computed = 0;
}

/* ---- the list of the active ---- */

static void link_last(struct tw_sequence *sequence)
{
    struct tw_engine *engine = sequence->engine;
    sequence->previous = engine->last;
    sequence->next = NULL;
    *(engine->last != NULL ? &engine->last->next : &engine->first) = sequence;
    engine->last = sequence;
    engine->n_active++;
}

static void unlink_active(struct tw_sequence *sequence)
{
    struct tw_engine *engine = sequence->engine;
    *(sequence->previous != NULL ? &sequence->previous->next : &engine->first) = sequence->next;
    *(sequence->next != NULL ? &sequence->next->previous : &engine->last) = sequence->previous;
    sequence->previous = sequence->next = NULL;
    engine->n_active--;
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

static enum tw_status check_length(const struct tw_engine *engine, size_t n_before, size_t n_more,
                                   struct tw_error *error)
{
    uint32_t n_context = engine->shape->n_context_tokens;
    if (n_more > n_context || n_before > n_context - n_more) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "%zu tokens: the model's context is %u tokens", n_before + n_more,
                            n_context);
    }
    uint32_t n_pages = tw_page_pool_total(engine->pool);
    if (tw_sequence_pages_for(n_before + n_more) > n_pages) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "%zu tokens: the KV cache has room for %llu; give more context",
                            n_before + n_more, (unsigned long long)n_pages * TW_KV_PAGE_TOKENS);
    }
    return TW_OK;
}

enum tw_status tw_sequence_append(struct tw_sequence *sequence, const tw_token *tokens,
                                  size_t n_tokens, struct tw_error *error)
{
    assert(sequence->state == TW_SEQUENCE_IDLE);
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
    sequence->n_taken_tokens = sequence->tokens.n_tokens;
    return status;
}

void tw_sequence_truncate(struct tw_sequence *sequence, size_t n_tokens)
{
    assert(sequence->state == TW_SEQUENCE_IDLE && n_tokens <= sequence->tokens.n_tokens);
    sequence->tokens.n_tokens = n_tokens;
    sequence->n_taken_tokens = n_tokens;
    if (sequence->n_computed > n_tokens) {
        sequence->n_computed = n_tokens;
    }
    uint32_t n_pages = tw_sequence_pages_for(n_tokens);
    while (sequence->n_pages > n_pages) {
        tw_page_pool_unref(sequence->engine->pool, sequence->pages[--sequence->n_pages]);
    }
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

static void forget_output(struct tw_sequence *sequence)
{
    tw_buf_clear(&sequence->text);
    tw_buf_clear(&sequence->taken_text);
    sequence->n_taken_tokens = sequence->tokens.n_tokens;
    sequence->n_logprobs = 0;
    sequence->finish = TW_FINISH_NONE;
}

enum tw_status tw_sequence_generate(struct tw_sequence *sequence,
                                    const struct tw_generation *generation, struct tw_error *error)
{
    struct tw_engine *engine = sequence->engine;
    assert(sequence->state == TW_SEQUENCE_IDLE);
    if (sequence->tokens.n_tokens == 0) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "the prompt is empty: the model needs at least one token");
    }
    if (engine->n_active == engine->config.max_sequences) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "%u sequences are active already: that is the maximum",
                            engine->n_active);
    }
    if (generation->masker != NULL && generation->rules.ignore_end_tokens) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "an answer of a prescribed form ends at an end token: they cannot be "
                            "ignored");
    }
    enum tw_status status = tw_sampler_check(&generation->sampling, engine->shape->n_vocab, error);
    struct tw_stop *stop = NULL;
    if (status == TW_OK) {
        status = tw_stop_create(&generation->rules, tw_engine_tokenizer(engine), &stop, error);
    }
    if (status == TW_OK) {
        status = copy_sampling(sequence, &generation->sampling, error);
    }
    if (status != TW_OK) {
        tw_stop_free(stop);
        return status;
    }
    tw_stop_free(sequence->stop);
    sequence->stop = stop;
    sequence->keep_pages = generation->keep_pages;
    sequence->constraint = tw_constraint_begin(generation->masker);
    sequence->n_prompt_tokens = sequence->tokens.n_tokens;
    if (sequence->n_computed == sequence->tokens.n_tokens) {
        sequence->n_computed--; /* logits come from computing the last token */
    }
    forget_output(sequence);
    sequence->state = TW_SEQUENCE_WAITING;
    link_last(sequence);
    return TW_OK;
}

void tw_sequence_end(struct tw_sequence *sequence, enum tw_finish finish, bool keep_pages)
{
    assert(sequence->state != TW_SEQUENCE_IDLE && finish != TW_FINISH_NONE);
    unlink_active(sequence);
    sequence->state = TW_SEQUENCE_IDLE;
    sequence->finish = finish;
    if (!keep_pages) {
        free_pages(sequence);
    }
}

void tw_sequence_fail(struct tw_sequence *sequence)
{
    tw_stop_finish(sequence->stop, &sequence->text);
    tw_sequence_end(sequence, TW_FINISH_ERROR, false);
}

void tw_sequence_halt(struct tw_sequence *sequence)
{
    if (sequence->state != TW_SEQUENCE_IDLE) {
        tw_stop_finish(sequence->stop, &sequence->text);
        tw_sequence_end(sequence, TW_FINISH_CANCELLED, true);
    }
}

void tw_sequence_cancel(struct tw_sequence *sequence)
{
    tw_sequence_halt(sequence);
    free_pages(sequence);
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

static bool wants_logprobs(const struct tw_sequence *sequence)
{
    return sequence->sampling.want_logprobs || sequence->sampling.n_top_logprobs > 0;
}

static bool record_sample(struct tw_sequence *sequence, const struct tw_sample *sample)
{
    if (!tw_token_list_push(&sequence->tokens, sample->token)) {
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

void tw_sequence_push_sample(struct tw_sequence *sequence, const struct tw_sample *sample)
{
    if (!record_sample(sequence, sample)) {
        tw_error_set(&sequence->error, TW_ERR_MEMORY, TW_NO_POSITION,
                     "no memory for token %zu of a sequence", sequence->tokens.n_tokens);
        tw_sequence_fail(sequence);
        return;
    }
    enum tw_finish finish = tw_stop_push(sequence->stop, sample->token, &sequence->text);
    if (sequence->constraint.masker != NULL) {
        finish = advance_form(sequence, sample->token, finish);
    }
    if (finish == TW_FINISH_NONE &&
        sequence->tokens.n_tokens >= sequence->engine->shape->n_context_tokens) {
        tw_stop_finish(sequence->stop, &sequence->text);
        finish = TW_FINISH_LENGTH;
    }
    if (sequence->text.failed) {
        tw_error_set(&sequence->error, TW_ERR_LIMIT, TW_NO_POSITION,
                     "%zu bytes of an answer have not been taken", sequence->text.size_bytes);
        finish = TW_FINISH_ERROR;
    }
    if (finish != TW_FINISH_NONE) {
        tw_sequence_end(sequence, finish, sequence->keep_pages && finish != TW_FINISH_ERROR);
    }
}

/* ---- reading ---- */

struct tw_output tw_sequence_take(struct tw_sequence *sequence)
{
    struct tw_buf shown = sequence->text;
    sequence->text = sequence->taken_text;
    sequence->taken_text = shown;
    tw_buf_clear(&sequence->text);

    struct tw_output output = {
        .text = shown.data != NULL ? shown.data : "",
        .text_bytes = shown.size_bytes,
        .tokens = sequence->tokens.ids + sequence->n_taken_tokens,
        .n_tokens = sequence->tokens.n_tokens - sequence->n_taken_tokens,
        .finish = sequence->finish,
        .error = sequence->finish == TW_FINISH_ERROR ? &sequence->error : NULL,
    };
    if (wants_logprobs(sequence)) {
        output.logprobs = sequence->logprobs;
        output.n_top = sequence->sampling.n_top_logprobs;
    }
    sequence->n_taken_tokens = sequence->tokens.n_tokens;
    sequence->n_logprobs = 0;
    return output;
}

bool tw_sequence_is_active(const struct tw_sequence *sequence)
{
    return sequence->state != TW_SEQUENCE_IDLE;
}

const tw_token *tw_sequence_tokens(const struct tw_sequence *sequence, size_t *ret_n_tokens)
{
    *ret_n_tokens = sequence->tokens.n_tokens;
    return sequence->tokens.ids;
}

size_t tw_sequence_computed(const struct tw_sequence *sequence)
{
    return sequence->n_computed;
}
