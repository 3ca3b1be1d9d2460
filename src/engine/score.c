/* Teacher-forced log-probabilities: the model reads a text and says how likely each token was. */
#include <assert.h>

#include "base/mem.h"
#include "engine/engine.h"
#include "engine/engine_state.h"

/* A text on its way through the model, in pieces of one forward pass. */
struct scoring {
    struct tw_engine *engine;
    const tw_token *tokens;
    size_t n_tokens;
    size_t first;
    uint32_t *pages;
    float *logprobs;
};

/* Positions [begin, end) as one pass. The row of position p tells about token p + 1. */
static enum tw_status score_piece(const struct scoring *scoring, size_t begin, size_t end,
                                  struct tw_error *error)
{
    struct tw_engine *engine = scoring->engine;
    size_t first_row = begin + 1 >= scoring->first ? begin : scoring->first - 1;
    size_t n_outputs = first_row < end ? end - first_row : 0;
    const struct tw_batch_sequence batch = {
        .tokens = scoring->tokens + begin,
        .n_tokens = (uint32_t)(end - begin),
        .first_position = (uint32_t)begin,
        .pages = scoring->pages,
        .n_outputs = (uint32_t)n_outputs,
    };
    const float *logits;
    enum tw_status status =
        tw_model_forward(engine->model, engine->cache, &batch, 1, NULL, &logits, error);
    for (size_t i = 0; status == TW_OK && i < n_outputs; i++) {
        size_t target = first_row + i + 1;
        struct tw_sample sample;
        status = tw_sampler_score(engine->samplers[0], logits + i * engine->shape->n_vocab,
                                  scoring->tokens[target], 0, &sample, error);
        if (status == TW_OK) {
            scoring->logprobs[target - scoring->first] = sample.logprob;
        }
    }
    engine->n_steps++;
    engine->n_computed_tokens += end - begin;
    return status;
}

/* The last token is never computed: nothing is asked about what follows it. A piece with outputs
 * is as long as there are rows for them. */
static enum tw_status score_all(const struct scoring *scoring, struct tw_error *error)
{
    const struct tw_engine_config *config = &scoring->engine->config;
    size_t n_outputs = config->max_output_rows < config->max_batch_tokens
                           ? config->max_output_rows
                           : config->max_batch_tokens;
    size_t n_positions = scoring->n_tokens - 1;
    size_t end;
    for (size_t begin = 0; begin < n_positions; begin = end) {
        size_t quiet = scoring->first - 1 > begin ? scoring->first - 1 - begin : 0;
        size_t most = quiet > 0 ? config->max_batch_tokens : n_outputs;
        size_t n = quiet > 0 && quiet < most ? quiet : most;
        end = n_positions - begin < n ? n_positions : begin + n;
        enum tw_status status = score_piece(scoring, begin, end, error);
        if (status != TW_OK) {
            return status;
        }
    }
    return TW_OK;
}

static enum tw_status check_request(const struct tw_engine *engine, const tw_token *tokens,
                                    size_t n_tokens, struct tw_error *error)
{
    if (n_tokens > (size_t)engine->shape->n_context_tokens + 1) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "%zu tokens to score: the model's context is %u tokens", n_tokens,
                            engine->shape->n_context_tokens);
    }
    for (size_t i = 0; i < n_tokens; i++) {
        if (tokens[i] < 0 || (uint32_t)tokens[i] >= engine->shape->n_vocab) {
            return tw_error_set(error, TW_ERR_USAGE, i,
                                "token %d: the model's vocabulary has 0 to %u", tokens[i],
                                engine->shape->n_vocab - 1);
        }
    }
    return TW_OK;
}

enum tw_status tw_engine_score(struct tw_engine *engine, const tw_token *tokens, size_t n_tokens,
                               size_t first, float *ret_logprobs, struct tw_error *error)
{
    assert(engine->scheduler != NULL && first >= 1 && first < n_tokens);
    enum tw_status status = check_request(engine, tokens, n_tokens, error);
    if (status != TW_OK) {
        return status;
    }
    uint32_t n_pages = (uint32_t)((n_tokens + TW_KV_PAGE_TOKENS - 2) / TW_KV_PAGE_TOKENS);
    uint32_t *pages = tw_mem_alloc(n_pages, sizeof *pages);
    if (pages == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for %u page numbers",
                            n_pages);
    }
    if (!tw_scheduler_borrow(engine->scheduler, n_pages, pages)) {
        tw_mem_free(pages);
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "%zu tokens to score need %u pages of KV cache, %u are free", n_tokens,
                            n_pages, tw_engine_usage(engine).n_free_pages);
    }
    const struct scoring scoring = {engine, tokens, n_tokens, first, pages, ret_logprobs};
    status = score_all(&scoring, error);
    tw_scheduler_give_back(engine->scheduler, n_pages, pages);
    tw_mem_free(pages);
    return status;
}
