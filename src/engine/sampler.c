#include "engine/sampler.h"

#include <assert.h>
#include <math.h>

#include "base/mem.h"
#include "base/rng.h"
#include "engine/cutoff.h"
#include "engine/selection.h"
#include "engine/softmax.h"

/* A token's entry in the history: seen at all, and how often in the completion. */
#define SEEN       0x80000000u
#define COUNT_MASK 0x7fffffffu

struct tw_sampler {
    const struct tw_softmax *softmax;
    size_t n_vocab;
    float *logits;      /* [n_vocab] cleaned, then biased and penalised */
    float *weights;     /* [n_vocab] */
    double *chunk_sums; /* [TW_SOFTMAX_CHUNKS(n_vocab)] */
    uint32_t *counts;   /* [n_vocab] all 0 between calls */
    struct tw_cutoff_workspace cutoff;
};

struct tw_sampler_params tw_sampler_defaults(void)
{
    return (struct tw_sampler_params){.top_p = 1.0, .repetition_penalty = 1.0};
}

enum tw_status tw_sampler_create(enum tw_cpu_level level, size_t n_vocab,
                                 struct tw_sampler **ret_sampler, struct tw_error *error)
{
    assert(n_vocab > 0 && n_vocab <= TW_LIMIT_VOCAB_TOKENS);
    struct tw_sampler *sampler = tw_mem_zalloc(1, sizeof *sampler);
    if (sampler != NULL) {
        sampler->softmax = tw_softmax_of(level);
        sampler->n_vocab = n_vocab;
        sampler->logits = tw_mem_alloc(n_vocab, sizeof *sampler->logits);
        sampler->weights = tw_mem_alloc(n_vocab, sizeof *sampler->weights);
        sampler->chunk_sums = tw_mem_alloc(TW_SOFTMAX_CHUNKS(n_vocab), sizeof *sampler->chunk_sums);
        sampler->counts = tw_mem_zalloc(n_vocab, sizeof *sampler->counts);
        sampler->cutoff.candidates = tw_mem_alloc(n_vocab, sizeof(struct tw_candidate));
        sampler->cutoff.near = tw_mem_alloc(n_vocab, sizeof *sampler->cutoff.near);
    }
    if (sampler == NULL || sampler->logits == NULL || sampler->weights == NULL ||
        sampler->chunk_sums == NULL || sampler->counts == NULL ||
        sampler->cutoff.candidates == NULL || sampler->cutoff.near == NULL) {
        tw_sampler_free(sampler);
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION,
                            "no memory to sample from a vocabulary of %zu tokens", n_vocab);
    }
    *ret_sampler = sampler;
    return TW_OK;
}

void tw_sampler_free(struct tw_sampler *sampler)
{
    if (sampler == NULL) {
        return;
    }
    tw_mem_free(sampler->logits);
    tw_mem_free(sampler->weights);
    tw_mem_free(sampler->chunk_sums);
    tw_mem_free(sampler->counts);
    tw_mem_free(sampler->cutoff.candidates);
    tw_mem_free(sampler->cutoff.near);
    tw_mem_free(sampler);
}

/* ---- parameters ---- */

static enum tw_status check_range(const char *name, double value, double least, double most,
                                  struct tw_error *error)
{
    if (value >= least && value <= most) {
        return TW_OK;
    }
    return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION, "%s %g: it must be from %g to %g",
                        name, value, least, most);
}

static enum tw_status check_biases(const struct tw_sampler_params *params, size_t n_vocab,
                                   struct tw_error *error)
{
    if (params->n_biases > TW_LIMIT_LOGIT_BIASES) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "%zu logit biases: at most %d are allowed", params->n_biases,
                            TW_LIMIT_LOGIT_BIASES);
    }
    for (size_t i = 0; i < params->n_biases; i++) {
        tw_token token = params->biases[i].token;
        if (token < 0 || (size_t)token >= n_vocab) {
            return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                                "logit bias for token %d: the vocabulary has 0 to %zu", token,
                                n_vocab - 1);
        }
        if (!isfinite(params->biases[i].bias)) {
            return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                                "logit bias for token %d: it must be a finite number", token);
        }
    }
    return TW_OK;
}

enum tw_status tw_sampler_check(const struct tw_sampler_params *params, size_t n_vocab,
                                struct tw_error *error)
{
    const struct {
        const char *name;
        double value, least, most;
    } rows[] = {
        {"temperature", params->temperature, 0.0, 100.0},
        {"top-p", params->top_p, 0.0, 1.0},
        {"min-p", params->min_p, 0.0, 1.0},
        {"repetition penalty", params->repetition_penalty, 0.01, 100.0},
        {"frequency penalty", params->frequency_penalty, -100.0, 100.0},
        {"presence penalty", params->presence_penalty, -100.0, 100.0},
        {"number of logprobs", params->n_top_logprobs, 0.0, TW_LIMIT_TOP_LOGPROBS},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        enum tw_status status =
            check_range(rows[i].name, rows[i].value, rows[i].least, rows[i].most, error);
        if (status != TW_OK) {
            return status;
        }
    }
    return check_biases(params, n_vocab, error);
}

/* ---- bias and penalties ---- */

static bool has_penalties(const struct tw_sampler_params *params)
{
    return params->repetition_penalty != 1.0 || params->frequency_penalty != 0.0 ||
           params->presence_penalty != 0.0;
}

static void apply_biases(struct tw_sampler *sampler, const struct tw_sampler_params *params)
{
    for (size_t i = 0; i < params->n_biases; i++) {
        float *logit = &sampler->logits[params->biases[i].token];
        *logit = tw_softmax_clean_one(*logit + params->biases[i].bias);
    }
}

static float penalised(float logit, uint32_t entry, const struct tw_sampler_params *params)
{
    double l = (double)logit;
    l = l > 0.0 ? l / params->repetition_penalty : l * params->repetition_penalty;
    uint32_t count = entry & COUNT_MASK;
    l -= (double)count * params->frequency_penalty;
    l -= count > 0 ? params->presence_penalty : 0.0;
    return tw_softmax_clean_one((float)l);
}

/* Two walks over the history instead of one over the vocabulary; the second puts the counts back
 * to 0. */
static void apply_penalties(struct tw_sampler *sampler, const struct tw_sampler_params *params,
                            const struct tw_sampler_history *history)
{
    size_t begin = 0;
    if (params->repeat_last_n != 0 && params->repeat_last_n < history->n_tokens) {
        begin = history->n_tokens - params->repeat_last_n;
    }
    for (size_t i = begin; i < history->n_tokens; i++) {
        tw_token token = history->tokens[i];
        if (token >= 0 && (size_t)token < sampler->n_vocab) {
            uint32_t is_completion = i >= history->n_prompt_tokens;
            sampler->counts[token] = (sampler->counts[token] | SEEN) + is_completion;
        }
    }
    for (size_t i = begin; i < history->n_tokens; i++) {
        tw_token token = history->tokens[i];
        if (token >= 0 && (size_t)token < sampler->n_vocab && sampler->counts[token] != 0) {
            sampler->logits[token] =
                penalised(sampler->logits[token], sampler->counts[token], params);
            sampler->counts[token] = 0;
        }
    }
}

/* ---- form ---- */

static void apply_form(struct tw_sampler *sampler, const uint64_t *admissible)
{
    for (size_t begin = 0; begin < sampler->n_vocab; begin += 64) {
        uint64_t word = admissible[begin / 64];
        size_t end = sampler->n_vocab - begin < 64 ? sampler->n_vocab : begin + 64;
        for (size_t t = begin; word != UINT64_MAX && t < end; t++) {
            sampler->logits[t] = (word >> (t - begin) & 1) != 0 ? sampler->logits[t] : -INFINITY;
        }
    }
}

/* ---- the draw ---- */

static tw_token best_token(const struct tw_sampler *sampler, const float *logits)
{
    size_t best = sampler->softmax->best(logits, sampler->n_vocab);
    return best < sampler->n_vocab ? (tw_token)best : TW_TOKEN_NONE;
}

/* The token at `target` of the cumulated weights in index order. Rounding may carry the target
 * past the end; the last token with any weight is then meant. */
static tw_token draw_from_row(const struct tw_sampler *sampler, double target)
{
    size_t n = sampler->n_vocab;
    tw_token last = TW_TOKEN_NONE;
    double before = 0.0;
    for (size_t begin = 0; begin < n; begin += TW_SOFTMAX_CHUNK) {
        double sum = sampler->chunk_sums[begin / TW_SOFTMAX_CHUNK];
        size_t end = n - begin < TW_SOFTMAX_CHUNK ? n : begin + TW_SOFTMAX_CHUNK;
        if (before + sum > target || end == n) {
            double reached = before;
            for (size_t i = begin; i < end; i++) {
                if (sampler->weights[i] > 0.0f) {
                    last = (tw_token)i;
                    reached += (double)sampler->weights[i];
                    if (reached > target) {
                        return last;
                    }
                }
            }
        }
        before += sum;
    }
    return last;
}

/* The same among the tokens that a cut left: up to `last` in the order, and not below `least`. */
static tw_token draw_from_cut(const struct tw_sampler *sampler, struct tw_candidate last,
                              float least, double uniform)
{
    const struct tw_cutoff_workspace *cut = &sampler->cutoff;
    double total = 0.0, reached = 0.0;
    size_t n_kept = 0;
    for (size_t i = 0; i < cut->n_near; i++) {
        uint32_t token = cut->near[i];
        float logit = sampler->logits[token];
        bool kept = logit > last.value || (logit == last.value && (tw_token)token <= last.token);
        if (kept && sampler->weights[token] >= least) {
            cut->near[n_kept++] = token;
            total += (double)sampler->weights[token];
        }
    }
    for (size_t i = 0; i < n_kept; i++) {
        reached += (double)sampler->weights[cut->near[i]];
        if (reached > uniform * total) {
            return (tw_token)cut->near[i];
        }
    }
    return (tw_token)cut->near[n_kept - 1]; /* rounding; the best token is always kept */
}

/* min_p is a share of the best token's weight, which is 1: it is itself the bound. */
static tw_token draw(struct tw_sampler *sampler, const struct tw_sampler_params *params,
                     uint64_t position)
{
    const double uniform = tw_rng_uniform(params->seed, position);
    struct tw_cutoff_row row = {
        .logits = sampler->logits,
        .weights = sampler->weights,
        .n = sampler->n_vocab,
        .max = sampler->softmax->max(sampler->logits, sampler->n_vocab),
        .inverse_temperature = (float)(1.0 / params->temperature),
        .softmax = sampler->softmax,
    };
    if (row.max == -INFINITY) {
        return TW_TOKEN_NONE;
    }
    bool is_cut = params->top_k != 0 || params->top_p < 1.0;
    float least = (float)params->min_p;
    row.total =
        sampler->softmax->weights(row.logits, row.n, row.max, row.inverse_temperature,
                                  is_cut ? 0.0f : least, sampler->weights, sampler->chunk_sums);
    if (!is_cut) {
        return draw_from_row(sampler, uniform * row.total);
    }
    struct tw_candidate last = tw_cutoff_find(&row, params->top_k, params->top_p, &sampler->cutoff);
    return draw_from_cut(sampler, last, least, uniform);
}

/* ---- logprobs ---- */

struct row_scale {
    float max;
    double total;
};

/* sampler->logits must hold the cleaned row. */
static struct row_scale measure_row(struct tw_sampler *sampler)
{
    struct row_scale scale = {.max = sampler->softmax->max(sampler->logits, sampler->n_vocab)};
    if (scale.max > -INFINITY) {
        scale.total = sampler->softmax->weights(sampler->logits, sampler->n_vocab, scale.max, 1.0f,
                                                0.0f, sampler->weights, sampler->chunk_sums);
    }
    return scale;
}

static void fill_top_logprobs(struct tw_sampler *sampler, struct row_scale scale, uint32_t n_wanted,
                              struct tw_sample *sample)
{
    size_t n =
        tw_select_top(sampler->logits, sampler->n_vocab, n_wanted, sampler->cutoff.candidates);
    sample->n_top = (uint32_t)n;
    for (size_t i = 0; i < n; i++) {
        struct tw_candidate c = sampler->cutoff.candidates[i];
        sample->top[i].token = c.token;
        sample->top[i].logprob = tw_softmax_logprob(c.value, scale.max, scale.total);
    }
}

/* ---- the whole ---- */

static enum tw_status no_number(struct tw_error *error)
{
    return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                        "the model gave no number for any token: its weights are damaged");
}

static bool is_greedy(const struct tw_sampler_params *params)
{
    return params->temperature < TW_SAMPLER_LEAST_TEMPERATURE;
}

/* The best token of the row as it is: nothing has to be written. */
static bool takes_best(const struct tw_sampler_params *params,
                       const struct tw_sampler_history *history)
{
    return is_greedy(params) && !params->want_logprobs && params->n_top_logprobs == 0 &&
           params->n_biases == 0 && !has_penalties(params) && history->admissible == NULL;
}

static tw_token choose(struct tw_sampler *sampler, const struct tw_sampler_params *params,
                       const struct tw_sampler_history *history)
{
    apply_biases(sampler, params);
    if (has_penalties(params)) {
        apply_penalties(sampler, params, history);
    }
    if (history->admissible != NULL) {
        apply_form(sampler, history->admissible);
    }
    if (is_greedy(params)) {
        return best_token(sampler, sampler->logits);
    }
    return draw(sampler, params, history->position);
}

enum tw_status tw_sampler_sample(struct tw_sampler *sampler, const float *logits,
                                 const struct tw_sampler_params *params,
                                 const struct tw_sampler_history *history,
                                 struct tw_sample *ret_sample, struct tw_error *error)
{
    bool want_logprobs = params->want_logprobs || params->n_top_logprobs > 0;
    struct tw_sample sample = {.token = TW_TOKEN_NONE};
    struct row_scale scale = {0};
    if (takes_best(params, history)) {
        sample.token = best_token(sampler, logits);
        if (sample.token == TW_TOKEN_NONE) {
            return no_number(error);
        }
        *ret_sample = sample;
        return TW_OK;
    }
    sampler->softmax->clean(logits, sampler->n_vocab, sampler->logits);
    if (want_logprobs) {
        scale = measure_row(sampler);
        if (scale.max == -INFINITY) {
            return no_number(error);
        }
        fill_top_logprobs(sampler, scale, params->n_top_logprobs, &sample);
    }
    sample.token = choose(sampler, params, history);
    if (sample.token == TW_TOKEN_NONE) {
        return no_number(error);
    }
    if (want_logprobs) {
        sample.logprob =
            tw_softmax_logprob(tw_softmax_clean_one(logits[sample.token]), scale.max, scale.total);
    }
    *ret_sample = sample;
    return TW_OK;
}

enum tw_status tw_sampler_score(struct tw_sampler *sampler, const float *logits, tw_token token,
                                uint32_t n_top, struct tw_sample *ret_sample,
                                struct tw_error *error)
{
    assert(token >= 0 && (size_t)token < sampler->n_vocab);
    sampler->softmax->clean(logits, sampler->n_vocab, sampler->logits);
    struct row_scale scale = measure_row(sampler);
    if (scale.max == -INFINITY) {
        return no_number(error);
    }
    struct tw_sample sample = {.token = token};
    fill_top_logprobs(sampler, scale, n_top, &sample);
    sample.logprob = tw_softmax_logprob(sampler->logits[token], scale.max, scale.total);
    *ret_sample = sample;
    return TW_OK;
}
