/* sampler.h: from a row of logits to the next token.
 *
 * The order of operations, for a row l of n_vocab logits:
 *
 *     logprobs    log-softmax of the row as the model gave it, before anything below
 *     bias        l[t] += bias[t]
 *     repetition  l[t] = l[t] > 0 ? l[t] / r : l[t] * r   tokens of prompt and completion
 *     frequency   l[t] -= count[t] * f                    tokens of the completion only
 *     presence    l[t] -= p where count[t] > 0            tokens of the completion only
 *     form        l[t] = -infinity where t is not admissible
 *     temperature l / T; 0 takes the best token and ends here
 *     top-k       the k best tokens
 *     top-p       the shortest list of best tokens whose share of what is left reaches p
 *     min-p       tokens with at least min_p times the best one's probability
 *     draw        in proportion to the weights left
 *
 * Bias and penalties come first because they say which distribution is meant; a prescribed form
 * then takes out what no bias may bring back; the temperature shapes it; the filters then cut the
 * distribution that is really drawn from, so that "top-p 0.9" means 90% of it whatever the
 * temperature. This is the order of vLLM and Hugging Face (llama.cpp applies the temperature last).
 * Repetition is Keskar et al. 2019 (arXiv 1909.05858) as in Hugging Face; frequency and presence
 * are OpenAI's, whose counts leave the prompt out.
 *
 * Invariants:
 * 1. The result depends on logits, parameters, history and position alone: not on the batch,
 *    earlier calls, threads or the machine.
 * 2. The random number is a function of (seed, position).
 * 3. Of equal logits the lowest token comes first: in greedy choice and in every filter.
 * 4. NaN counts as -infinity and +infinity as the largest number. A row without any number is an
 *    error, since to go on with it would print rubbish without end.
 * 5. A token with probability 0 is never drawn.
 *
 * Ownership: the sampler is a workspace made once; a sample allocates nothing. Parameters and
 * history are the caller's. Threads: one at a time per sampler.
 * Errors: TW_ERR_USAGE from tw_sampler_check, TW_ERR_FORMAT for a row without numbers.
 */
#ifndef TW_ENGINE_SAMPLER_H
#define TW_ENGINE_SAMPLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cpu.h"
#include "base/status.h"
#include "text/tokenizer.h"

/* Below this a temperature counts as 0. */
#define TW_SAMPLER_LEAST_TEMPERATURE 1e-5

struct tw_logit_bias {
    tw_token token;
    float bias; /* finite; -100 bans and +100 forces in practice */
};

struct tw_sampler_params {
    double temperature;        /* 0..100 */
    uint32_t top_k;            /* 0: off */
    double top_p;              /* 0..1; 1: off */
    double min_p;              /* 0..1; 0: off */
    double repetition_penalty; /* 0.01..100; 1: off */
    double frequency_penalty;  /* -100..100; 0: off */
    double presence_penalty;   /* -100..100; 0: off */
    uint32_t repeat_last_n;    /* how many last tokens penalties look at; 0: all */
    uint64_t seed;
    const struct tw_logit_bias *biases; /* [n_biases], each token at most once */
    size_t n_biases;
    bool want_logprobs;
    uint32_t n_top_logprobs; /* up to TW_LIMIT_TOP_LOGPROBS; implies want_logprobs */
};

/* Greedy, everything else off. */
struct tw_sampler_params tw_sampler_defaults(void);

/* The tokens before the one to be sampled, and which may come now. Tokens outside the vocabulary
 * are passed over. */
struct tw_sampler_history {
    const tw_token *tokens; /* [n_tokens], the first n_prompt_tokens of them the prompt */
    size_t n_tokens;
    size_t n_prompt_tokens;
    uint64_t position;          /* of the token to be sampled, in its sequence */
    const uint64_t *admissible; /* bit t % 64 of word t / 64: token t may come; NULL: all may */
};

struct tw_token_logprob {
    tw_token token;
    float logprob; /* natural logarithm */
};

struct tw_sample {
    tw_token token;
    float logprob;  /* of token; 0 unless wanted */
    uint32_t n_top; /* best first */
    struct tw_token_logprob top[TW_LIMIT_TOP_LOGPROBS];
};

struct tw_sampler;

/* level: one that the machine can run; it changes the speed, not the samples. */
enum tw_status tw_sampler_create(enum tw_cpu_level level, size_t n_vocab,
                                 struct tw_sampler **ret_sampler, struct tw_error *error);
void tw_sampler_free(struct tw_sampler *sampler);

/* Whether the parameters are in their ranges, with a sentence if not. */
enum tw_status tw_sampler_check(const struct tw_sampler_params *params, size_t n_vocab,
                                struct tw_error *error);

/* logits: [n_vocab] f32, not changed. params must have passed tw_sampler_check. */
enum tw_status tw_sampler_sample(struct tw_sampler *sampler, const float *logits,
                                 const struct tw_sampler_params *params,
                                 const struct tw_sampler_history *history,
                                 struct tw_sample *ret_sample, struct tw_error *error);

/* The log-probability of token under the row as it is, and of the n_top best ones, for scoring. */
enum tw_status tw_sampler_score(struct tw_sampler *sampler, const float *logits, tw_token token,
                                uint32_t n_top, struct tw_sample *ret_sample,
                                struct tw_error *error);

#endif
