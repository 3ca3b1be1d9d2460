/* The engine on a real, tiny model: TW_SHARED/testdata/stories260K.gguf. */
#define _GNU_SOURCE
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/rng.h"
#include "engine/engine.h"
#include "model/tensors.h"

enum { MOST_TOKENS = 512, MANY = 12 };

static char model_path[4096];

/* ---- helpers ---- */

static struct tw_engine *open_engine(uint32_t max_sequences, uint32_t max_batch_tokens,
                                     uint64_t n_tokens)
{
    struct tw_engine_config config = tw_engine_defaults();
    assert_int_equal(tw_cpu_choose(&config.level, NULL), TW_OK);
    config.n_threads = 1;
    config.max_sequences = max_sequences;
    config.max_batch_tokens = max_batch_tokens;
    struct tw_engine *engine = NULL;
    struct tw_error error;
    if (tw_engine_open(model_path, &config, &engine, &error) != TW_OK) {
        fail_msg("%s", error.text);
    }
    assert_int_equal(tw_engine_reserve(engine, n_tokens, NULL), TW_OK);
    return engine;
}

/* A prompt of n tokens that no text would make, but every model accepts. */
static void random_prompt(uint64_t seed, size_t n, tw_token *ret_tokens)
{
    ret_tokens[0] = 1;
    for (size_t i = 1; i < n; i++) {
        uint32_t words[4];
        tw_rng_block(seed, i, words);
        ret_tokens[i] = (tw_token)(259 + words[0] % 250);
    }
}

struct result {
    tw_token tokens[MOST_TOKENS];
    size_t n_tokens;
    char text[8 * MOST_TOKENS];
    size_t text_bytes;
    float logprobs[MOST_TOKENS];
    size_t n_prompt_tokens;
    enum tw_finish finish;
    struct tw_error error;
};

static void take(struct tw_sequence *sequence, struct result *result)
{
    struct tw_output output = tw_sequence_take(sequence);
    for (size_t i = 0; i < output.n_tokens; i++) {
        if (output.logprobs != NULL) {
            result->logprobs[result->n_tokens] = output.logprobs[i * (1 + output.n_top)].logprob;
        }
        result->tokens[result->n_tokens++] = output.tokens[i];
    }
    memcpy(result->text + result->text_bytes, output.text, output.text_bytes);
    result->text_bytes += output.text_bytes;
    result->n_prompt_tokens += output.n_prompt_tokens;
    result->finish = output.finish;
    if (output.error != NULL) {
        result->error = *output.error;
    }
}

static struct tw_sequence *start(struct tw_engine *engine, const tw_token *prompt, size_t n,
                                 const struct tw_generation *generation)
{
    struct tw_sequence *sequence = NULL;
    assert_int_equal(tw_sequence_create(engine, &sequence, NULL), TW_OK);
    assert_int_equal(tw_sequence_append(sequence, prompt, n, NULL), TW_OK);
    assert_int_equal(tw_sequence_generate(sequence, generation, NULL), TW_OK);
    return sequence;
}

static void step(struct tw_engine *engine)
{
    uint32_t n_active;
    assert_int_equal(tw_engine_step(engine, &n_active, NULL), TW_OK);
    assert_int_equal(n_active, tw_engine_usage(engine).n_active);
}

/* Tokens that went through passes and are text; guesses that were wrong, or behind the end, are
 * not. */
static uint64_t computed_text(const struct tw_engine *engine)
{
    const struct tw_engine_usage usage = tw_engine_usage(engine);
    return usage.n_computed_tokens - (usage.n_drafted_tokens - usage.n_accepted_tokens);
}

static void run_to_end(struct tw_engine *engine, struct tw_sequence *sequence,
                       struct result *result)
{
    memset(result, 0, sizeof *result);
    while (tw_sequence_is_active(sequence)) {
        step(engine);
        take(sequence, result);
    }
}

static void assert_same(const struct result *a, const struct result *b)
{
    assert_int_equal(a->n_tokens, b->n_tokens);
    assert_memory_equal(a->tokens, b->tokens, a->n_tokens * sizeof a->tokens[0]);
    assert_memory_equal(a->logprobs, b->logprobs, a->n_tokens * sizeof a->logprobs[0]);
    assert_int_equal(a->text_bytes, b->text_bytes);
    assert_memory_equal(a->text, b->text, a->text_bytes);
    assert_int_equal(a->finish, b->finish);
}

/* Request i of a mix: its own length, sampling and seed. */
static struct tw_generation request(uint64_t i)
{
    struct tw_generation generation = tw_generation_defaults();
    generation.sampling.temperature = i % 3 == 0 ? 0.0 : 0.5 + 0.25 * (double)(i % 4);
    generation.sampling.top_k = i % 4 == 1 ? 20 : 0;
    generation.sampling.top_p = i % 4 == 2 ? 0.9 : 1.0;
    generation.sampling.repetition_penalty = i % 5 == 0 ? 1.2 : 1.0;
    generation.sampling.seed = i;
    generation.sampling.want_logprobs = true;
    generation.rules.max_tokens = 10 + 5 * (i % 7);
    generation.rules.ignore_end_tokens = true;
    return generation;
}

static size_t request_prompt(uint64_t i, tw_token *ret_prompt)
{
    size_t n = 1 + (i * 37) % 150;
    random_prompt(i, n, ret_prompt);
    return n;
}

static void run_alone(uint64_t i, struct result *result)
{
    tw_token prompt[MOST_TOKENS];
    size_t n = request_prompt(i, prompt);
    struct tw_generation generation = request(i);
    struct tw_engine *engine = open_engine(1, 512, 512);
    struct tw_sequence *sequence = start(engine, prompt, n, &generation);
    run_to_end(engine, sequence, result);
    assert_int_equal(result->finish, TW_FINISH_LENGTH);
    assert_int_equal(result->n_tokens, generation.rules.max_tokens);
    tw_sequence_free(sequence);
    tw_engine_close(engine);
}

static struct result alone[MANY];

static int run_each_alone(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < MANY; i++) {
        run_alone(i, &alone[i]);
    }
    return 0;
}

/* ---- tests ---- */

/* Twelve requests in one engine that has pages for some of them only, arriving a few steps apart,
 * with prompts cut into pieces of every size. */
static void an_answer_is_the_same_alone_and_among_others(void **state)
{
    (void)state;
    static const uint32_t batch_sizes[] = {12, 13, 64, 100, 512};
    static struct result results[MANY];
    for (size_t b = 0; b < sizeof batch_sizes / sizeof batch_sizes[0]; b++) {
        struct tw_engine *engine = open_engine(MANY, batch_sizes[b], b % 2 == 0 ? 4096 : 1024);
        struct tw_sequence *sequences[MANY];
        memset(results, 0, sizeof results);
        for (uint64_t i = 0; i < MANY; i++) {
            tw_token prompt[MOST_TOKENS];
            size_t n = request_prompt(i, prompt);
            struct tw_generation generation = request(i);
            sequences[i] = start(engine, prompt, n, &generation);
            for (uint64_t s = 0; s < i % 3; s++) {
                step(engine);
            }
        }
        while (tw_engine_usage(engine).n_active > 0) {
            step(engine);
        }
        for (uint64_t i = 0; i < MANY; i++) {
            take(sequences[i], &results[i]);
            assert_same(&results[i], &alone[i]);
            tw_sequence_free(sequences[i]);
        }
        struct tw_engine_usage usage = tw_engine_usage(engine);
        assert_int_equal(usage.n_free_pages, usage.n_pages);
        tw_engine_close(engine);
    }
}

static void a_cancelled_sequence_frees_its_pages_and_disturbs_nobody(void **state)
{
    (void)state;
    for (int n_steps = 0; n_steps < 6; n_steps++) {
        struct tw_engine *engine = open_engine(3, 64, 2048);
        struct tw_sequence *sequences[3];
        static struct result result;
        for (uint64_t i = 0; i < 3; i++) {
            tw_token prompt[MOST_TOKENS];
            size_t n = request_prompt(i + 1, prompt);
            struct tw_generation generation = request(i + 1);
            sequences[i] = start(engine, prompt, n, &generation);
        }
        for (int i = 0; i < n_steps; i++) {
            step(engine);
        }
        tw_sequence_cancel(sequences[1]);
        assert_false(tw_sequence_is_active(sequences[1]));
        assert_int_equal(tw_sequence_computed(sequences[1]), 0);
        assert_int_equal(tw_sequence_take(sequences[1]).finish, TW_FINISH_CANCELLED);
        memset(&result, 0, sizeof result);
        take(sequences[0], &result);
        while (tw_sequence_is_active(sequences[0])) {
            step(engine);
            take(sequences[0], &result);
        }
        assert_same(&result, &alone[1]);
        tw_sequence_free(sequences[2]);
        struct tw_engine_usage usage = tw_engine_usage(engine);
        assert_int_equal(usage.n_free_pages, usage.n_pages);
        assert_int_equal(usage.n_active, 0);
        tw_sequence_free(sequences[0]);
        tw_sequence_free(sequences[1]);
        assert_int_equal(tw_engine_usage(engine).n_sequences, 0);
        tw_engine_close(engine);
    }
}

/* Two sequences grow until the pages are gone: one gives its own back and goes on later, and both
 * end as if they had been alone. */
static void sequences_that_do_not_fit_together_take_turns(void **state)
{
    (void)state;
    tw_token prompts[2][60];
    struct tw_generation generation = tw_generation_defaults();
    generation.rules.max_tokens = 200;
    generation.rules.ignore_end_tokens = true;
    generation.sampling.want_logprobs = true;
    static struct result expected[2], results[2];
    for (uint64_t i = 0; i < 2; i++) {
        random_prompt(5 + i, 60, prompts[i]);
        struct tw_engine *engine = open_engine(1, 512, 512);
        struct tw_sequence *sequence = start(engine, prompts[i], 60, &generation);
        run_to_end(engine, sequence, &expected[i]);
        tw_sequence_free(sequence);
        tw_engine_close(engine);
    }
    /* 6 pages; both together need 10. */
    struct tw_engine *engine = open_engine(2, 512, 256);
    struct tw_sequence *sequences[2];
    for (int i = 0; i < 2; i++) {
        sequences[i] = start(engine, prompts[i], 60, &generation);
    }
    while (tw_engine_usage(engine).n_active > 0) {
        step(engine);
    }
    memset(results, 0, sizeof results);
    for (int i = 0; i < 2; i++) {
        take(sequences[i], &results[i]);
        assert_same(&results[i], &expected[i]);
        tw_sequence_free(sequences[i]);
    }
    assert_true(computed_text(engine) > 2 * (60 + 199));
    assert_int_equal(tw_engine_usage(engine).n_free_pages, 6);
    tw_engine_close(engine);
}

/* What does not fit into the whole cache ends when this is full. */
static void a_full_cache_is_a_length_and_no_error(void **state)
{
    (void)state;
    static struct result result;
    tw_token prompt[60];
    random_prompt(6, 60, prompt);
    struct tw_generation generation = tw_generation_defaults();
    generation.rules.ignore_end_tokens = true;
    struct tw_engine *engine = open_engine(1, 512, 64); /* 2 pages */
    struct tw_sequence *sequence = start(engine, prompt, 60, &generation);
    run_to_end(engine, sequence, &result);
    assert_int_equal(result.finish, TW_FINISH_LENGTH);
    assert_int_equal(result.n_tokens, 128 - 60 + 1);
    tw_sequence_free(sequence);
    tw_engine_close(engine);
}

static void a_prompt_waits_for_pages_and_then_runs(void **state)
{
    (void)state;
    static struct result result;
    struct tw_engine *engine = open_engine(2, 512, 128); /* 4 pages */
    tw_token long_prompt[200], prompt[MOST_TOKENS];
    struct tw_generation generation = request(0);
    random_prompt(77, 200, long_prompt);
    struct tw_sequence *first = start(engine, long_prompt, 200, &generation);
    size_t n = request_prompt(1, prompt);
    generation = request(1);
    struct tw_sequence *second = start(engine, prompt, n, &generation);
    step(engine);
    assert_int_equal(tw_sequence_computed(second), 0);
    run_to_end(engine, first, &result);
    assert_int_equal(result.finish, TW_FINISH_LENGTH);
    run_to_end(engine, second, &result);
    assert_same(&result, &alone[1]);
    tw_sequence_free(first);
    tw_sequence_free(second);
    tw_engine_close(engine);
}

/* Whole pages of the first turn are there still. */
static void a_continued_chat_computes_what_is_new_and_its_last_page(void **state)
{
    (void)state;
    tw_token prompt[150], whole[MOST_TOKENS];
    struct tw_generation generation = request(0);
    static struct result first_answer, second_answer, expected;
    random_prompt(8, 150, prompt);
    struct tw_engine *engine = open_engine(1, 32, 512);
    struct tw_sequence *chat = start(engine, prompt, 100, &generation);
    run_to_end(engine, chat, &first_answer);
    uint64_t n_before = computed_text(engine);
    size_t n_first = 100 + first_answer.n_tokens;
    assert_int_equal(tw_sequence_append(chat, prompt + 100, 50, NULL), TW_OK);
    assert_int_equal(tw_sequence_generate(chat, &generation, NULL), TW_OK);
    run_to_end(engine, chat, &second_answer);
    size_t n_cached = (n_first - 1) / 64 * 64;
    assert_int_equal(tw_sequence_cached(chat), n_cached);
    assert_int_equal(computed_text(engine) - n_before,
                     n_first + 50 - n_cached + second_answer.n_tokens - 1);
    tw_sequence_free(chat);
    tw_engine_close(engine);

    memcpy(whole, prompt, 100 * sizeof *whole);
    memcpy(whole + 100, first_answer.tokens, first_answer.n_tokens * sizeof *whole);
    memcpy(whole + n_first, prompt + 100, 50 * sizeof *whole);
    engine = open_engine(1, 32, 512);
    struct tw_sequence *fresh = start(engine, whole, n_first + 50, &generation);
    run_to_end(engine, fresh, &expected);
    assert_int_equal(tw_sequence_cached(fresh), 0);
    assert_same(&second_answer, &expected);
    tw_sequence_free(fresh);
    tw_engine_close(engine);
}

static void equal_prompts_are_computed_once_and_answered_alike(void **state)
{
    (void)state;
    tw_token prompt[200];
    struct tw_generation generation = request(2);
    static struct result results[4];
    random_prompt(9, 200, prompt);
    struct tw_engine *engine = open_engine(4, 100, 2048);
    struct tw_sequence *sequences[4];
    for (int i = 0; i < 4; i++) {
        sequences[i] = start(engine, prompt, 200, &generation);
    }
    while (tw_engine_usage(engine).n_active > 0) {
        step(engine);
    }
    memset(results, 0, sizeof results);
    size_t n_cached = 0;
    for (int i = 0; i < 4; i++) {
        take(sequences[i], &results[i]);
        assert_same(&results[i], &results[0]);
        n_cached += tw_sequence_cached(sequences[i]);
        tw_sequence_free(sequences[i]);
    }
    assert_int_equal(n_cached, 3 * 192);
    assert_int_equal(computed_text(engine), 192 + 4 * (8 + results[0].n_tokens - 1));
    tw_engine_close(engine);
}

/* 200 tokens in pieces of 64: what was computed when the client left, and not more. */
static void a_cancelled_prompt_says_how_much_of_it_was_computed(void **state)
{
    (void)state;
    tw_token prompt[200];
    const struct tw_generation generation = request(0);
    random_prompt(10, 200, prompt);
    for (size_t n_steps = 0; n_steps < 6; n_steps++) {
        struct tw_engine *engine = open_engine(2, 64, 512);
        struct tw_sequence *sequence = start(engine, prompt, 200, &generation);
        for (size_t i = 0; i < n_steps; i++) {
            step(engine);
        }
        tw_sequence_cancel(sequence);
        const size_t n_read = n_steps * 64 < 200 ? n_steps * 64 : 200;
        const struct tw_output output = tw_sequence_take(sequence);
        assert_int_equal(output.finish, TW_FINISH_CANCELLED);
        assert_int_equal(output.n_read_tokens, n_read);
        assert_int_equal(tw_sequence_cached(sequence), 0);
        tw_sequence_free(sequence);

        /* Whole pages of it are there for the next one, which leaves behind a step of its own. */
        sequence = start(engine, prompt, 200, &generation);
        step(engine);
        tw_sequence_cancel(sequence);
        const size_t n_cached = n_read / 64 * 64;
        assert_int_equal(tw_sequence_cached(sequence), n_cached);
        assert_int_equal(tw_sequence_take(sequence).n_read_tokens,
                         n_cached + 64 < 200 ? n_cached + 64 : 200);
        tw_sequence_free(sequence);
        tw_engine_close(engine);
    }
}

static void a_cancelled_answer_can_be_continued_and_truncated(void **state)
{
    (void)state;
    tw_token prompt[80];
    struct tw_generation generation = request(0);
    static struct result full, rest, again;
    random_prompt(8, 80, prompt);
    struct tw_engine *engine = open_engine(1, 32, 512);
    struct tw_sequence *sequence = start(engine, prompt, 80, &generation);
    run_to_end(engine, sequence, &full);

    tw_sequence_truncate(sequence, 80);
    assert_int_equal(tw_sequence_generate(sequence, &generation, NULL), TW_OK);
    run_to_end(engine, sequence, &again);
    assert_same(&again, &full);

    tw_sequence_truncate(sequence, 80);
    generation.rules.max_tokens = 100;
    assert_int_equal(tw_sequence_generate(sequence, &generation, NULL), TW_OK);
    memset(&rest, 0, sizeof rest);
    for (int i = 0; i < 4; i++) {
        step(engine);
    }
    assert_int_equal(tw_sequence_computed(sequence), 83);
    tw_sequence_cancel(sequence);
    take(sequence, &rest);
    assert_int_equal(rest.finish, TW_FINISH_CANCELLED);
    assert_int_equal(rest.n_tokens, 4);
    assert_memory_equal(rest.tokens, full.tokens, 4 * sizeof(tw_token));
    assert_int_equal(tw_sequence_computed(sequence), 0);
    assert_int_equal(tw_engine_usage(engine).n_free_pages, tw_engine_usage(engine).n_pages);
    tw_sequence_free(sequence);
    tw_engine_close(engine);
}

static void an_end_token_ends_the_answer_without_text(void **state)
{
    (void)state;
    static struct result result;
    const tw_token prompt[] = {1, 403, 407, 261, 378};
    struct tw_engine *engine = open_engine(1, 32, 512);
    tw_token eos = tw_tokenizer_eos(tw_engine_tokenizer(engine));
    const struct tw_logit_bias bias = {eos, 1000.0f};
    struct tw_generation generation = tw_generation_defaults();
    generation.sampling.biases = &bias;
    generation.sampling.n_biases = 1;
    struct tw_sequence *sequence = start(engine, prompt, 5, &generation);
    run_to_end(engine, sequence, &result);
    assert_int_equal(result.finish, TW_FINISH_STOP);
    assert_int_equal(result.n_tokens, 1);
    assert_int_equal(result.tokens[0], eos);
    assert_int_equal(result.text_bytes, 0);
    generation.rules.ignore_end_tokens = true;
    generation.rules.max_tokens = 5;
    tw_sequence_truncate(sequence, 5);
    assert_int_equal(tw_sequence_generate(sequence, &generation, NULL), TW_OK);
    run_to_end(engine, sequence, &result);
    assert_int_equal(result.finish, TW_FINISH_LENGTH);
    assert_int_equal(result.n_tokens, 5);
    tw_sequence_free(sequence);
    tw_engine_close(engine);
}

static void a_stop_string_ends_the_answer_before_itself(void **state)
{
    (void)state;
    static struct result result;
    const tw_token prompt[] = {1, 403, 407, 261, 378};
    const struct tw_bytes stops[] = {{"named", 5}, {"little boy", 10}};
    struct tw_engine *engine = open_engine(1, 32, 512);
    struct tw_generation generation = tw_generation_defaults();
    generation.rules.strings = stops;
    generation.rules.n_strings = 2;
    struct tw_sequence *sequence = start(engine, prompt, 5, &generation);
    run_to_end(engine, sequence, &result);
    assert_int_equal(result.finish, TW_FINISH_STOP);
    assert_int_equal(result.text_bytes, strlen(", there was a little girl "));
    assert_memory_equal(result.text, ", there was a little girl ", result.text_bytes);
    tw_sequence_free(sequence);
    tw_engine_close(engine);
}

static void the_context_of_the_model_is_a_length_and_no_error(void **state)
{
    (void)state;
    static struct result result;
    tw_token prompt[513];
    random_prompt(4, 513, prompt);
    struct tw_engine *engine = open_engine(1, 512, 1024);
    struct tw_generation generation = tw_generation_defaults();
    generation.rules.ignore_end_tokens = true;
    struct tw_sequence *sequence = start(engine, prompt, 500, &generation);
    run_to_end(engine, sequence, &result);
    assert_int_equal(result.finish, TW_FINISH_LENGTH);
    assert_int_equal(result.n_tokens, 12);
    tw_sequence_free(sequence);
    sequence = start(engine, prompt, 512, &generation);
    run_to_end(engine, sequence, &result);
    assert_int_equal(result.finish, TW_FINISH_LENGTH);
    assert_int_equal(result.n_tokens, 1);
    tw_sequence_free(sequence);
    assert_int_equal(tw_sequence_create(engine, &sequence, NULL), TW_OK);
    assert_int_equal(tw_sequence_append(sequence, prompt, 513, NULL), TW_ERR_LIMIT);
    tw_sequence_free(sequence);
    tw_engine_close(engine);
}

static void prompts_that_cannot_run_are_refused(void **state)
{
    (void)state;
    const tw_token bad[] = {1, 512}, negative[] = {-1}, good[] = {1};
    struct tw_engine *engine = open_engine(1, 32, 64); /* 2 pages */
    struct tw_generation generation = tw_generation_defaults();
    struct tw_sequence *a = NULL, *b = NULL;
    struct tw_error error;
    tw_token prompt[129];
    size_t n;
    assert_int_equal(tw_sequence_create(engine, &a, NULL), TW_OK);
    assert_int_equal(tw_sequence_generate(a, &generation, &error), TW_ERR_USAGE);
    assert_int_equal(tw_sequence_append(a, bad, 2, &error), TW_ERR_USAGE);
    assert_int_equal(tw_sequence_append(a, negative, 1, &error), TW_ERR_USAGE);
    random_prompt(1, 129, prompt);
    assert_int_equal(tw_sequence_append(a, prompt, 129, &error), TW_ERR_LIMIT);
    tw_sequence_tokens(a, &n);
    assert_int_equal(n, 0);
    assert_int_equal(tw_sequence_append(a, good, 1, &error), TW_OK);
    generation.sampling.temperature = -1.0;
    assert_int_equal(tw_sequence_generate(a, &generation, &error), TW_ERR_USAGE);
    assert_false(tw_sequence_is_active(a));
    generation = tw_generation_defaults();
    assert_int_equal(tw_sequence_generate(a, &generation, &error), TW_OK);
    assert_int_equal(tw_sequence_create(engine, &b, NULL), TW_OK);
    assert_int_equal(tw_sequence_append(b, good, 1, &error), TW_OK);
    assert_int_equal(tw_sequence_generate(b, &generation, &error), TW_OK); /* waits */
    tw_sequence_free(a);
    tw_sequence_free(b);
    tw_engine_close(engine);
}

static void scores_are_the_logprobs_of_generation(void **state)
{
    (void)state;
    static struct result result;
    tw_token text[MOST_TOKENS];
    float logprobs[MOST_TOKENS];
    struct tw_generation generation = request(2);
    generation.rules.max_tokens = 60;
    random_prompt(21, 70, text);
    struct tw_engine *engine = open_engine(1, 48, 512);
    struct tw_sequence *sequence = start(engine, text, 70, &generation);
    run_to_end(engine, sequence, &result);
    memcpy(text + 70, result.tokens, 60 * sizeof *text);
    assert_int_equal(tw_engine_score(engine, text, 130, 70, logprobs, NULL), TW_OK);
    assert_memory_equal(logprobs, result.logprobs, 60 * sizeof *logprobs);
    float from_first[MOST_TOKENS];
    assert_int_equal(tw_engine_score(engine, text, 130, 1, from_first, NULL), TW_OK);
    assert_memory_equal(from_first + 69, logprobs, 60 * sizeof *logprobs);
    assert_int_equal(tw_engine_usage(engine).n_free_pages, tw_engine_usage(engine).n_pages);
    tw_sequence_free(sequence);
    tw_engine_close(engine);
}

/* Prompts of all lengths are scored among others, in pieces of every size, in an engine that has
 * fewer rows for logits than a piece has tokens and pages for some of them only, where what they
 * need was cached before. */
static void a_scored_prompt_is_that_of_tw_engine_score_whatever_else_runs(void **state)
{
    (void)state;
    static struct result results[MANY];
    static tw_token prompts[MANY][MOST_TOKENS];
    float logprobs[MOST_TOKENS];
    for (uint32_t batch = 13; batch <= 150; batch += 137) {
        struct tw_engine *engine = open_engine(MANY, batch, batch == 13 ? 4096 : 256);
        struct tw_sequence *sequences[MANY];
        memset(results, 0, sizeof results);
        for (uint64_t i = 0; i < MANY; i++) {
            size_t n = request_prompt(i, prompts[i]);
            struct tw_generation generation = request(i);
            sequences[i] = start(engine, prompts[i], n, &generation);
        }
        while (tw_engine_usage(engine).n_active > 0) {
            step(engine);
        }
        for (uint64_t i = 0; i < MANY; i++) {
            struct tw_generation generation = request(i);
            generation.scores_prompt = true;
            generation.only_prompt = i % 4 == 3;
            tw_sequence_free(sequences[i]);
            sequences[i] = start(engine, prompts[i], request_prompt(i, prompts[i]), &generation);
        }
        while (tw_engine_usage(engine).n_active > 0) {
            step(engine);
            for (uint64_t i = 0; i < MANY; i++) {
                take(sequences[i], &results[i]);
            }
        }
        for (uint64_t i = 0; i < MANY; i++) {
            size_t n = request_prompt(i, prompts[i]), n_answer = alone[i].n_tokens;
            if (n > 1) {
                assert_int_equal(tw_engine_score(engine, prompts[i], n, 1, logprobs, NULL), TW_OK);
                assert_memory_equal(results[i].logprobs, logprobs, (n - 1) * sizeof *logprobs);
                assert_memory_equal(results[i].tokens, prompts[i] + 1, (n - 1) * sizeof(tw_token));
            }
            n_answer = i % 4 == 3 ? 0 : n_answer;
            assert_int_equal(results[i].n_tokens, n - 1 + n_answer);
            assert_int_equal(results[i].n_prompt_tokens, n - 1);
            assert_memory_equal(results[i].logprobs + n - 1, alone[i].logprobs,
                                n_answer * sizeof(float));
            assert_memory_equal(results[i].tokens + n - 1, alone[i].tokens,
                                n_answer * sizeof(tw_token));
            assert_int_equal(results[i].finish, TW_FINISH_LENGTH);
            tw_sequence_free(sequences[i]);
        }
        tw_engine_close(engine);
    }
}

static void the_best_tokens_of_a_scored_prompt_come_with_it(void **state)
{
    (void)state;
    tw_token prompt[20];
    random_prompt(8, 20, prompt);
    struct tw_generation generation = tw_generation_defaults();
    generation.scores_prompt = generation.only_prompt = true;
    generation.sampling.n_top_logprobs = 3;
    struct tw_engine *engine = open_engine(1, 64, 256);
    struct tw_sequence *sequence = start(engine, prompt, 20, &generation);
    while (tw_sequence_is_active(sequence)) {
        step(engine);
    }
    struct tw_output output = tw_sequence_take(sequence);
    assert_int_equal(output.n_tokens, 19);
    assert_int_equal(output.n_prompt_tokens, 19);
    assert_int_equal(output.n_top, 3);
    for (size_t i = 0; i < 19; i++) {
        const struct tw_token_logprob *row = &output.logprobs[4 * i];
        assert_int_equal(row[0].token, prompt[i + 1]);
        assert_true(row[1].logprob >= row[2].logprob && row[2].logprob >= row[3].logprob);
        assert_true(row[1].logprob >= row[0].logprob);
    }
    assert_int_equal(tw_sequence_take(sequence).n_tokens, 0);
    tw_sequence_truncate(sequence, 5);
    assert_int_equal(tw_sequence_take(sequence).n_tokens, 0);
    tw_sequence_free(sequence);
    tw_engine_close(engine);
}

static void embed_alone(const tw_token *prompt, size_t n, uint32_t batch, float *ret_embedding)
{
    struct tw_generation generation = tw_generation_defaults();
    generation.embeds = true;
    struct tw_engine *engine = open_engine(1, batch, 512);
    const size_t n_embed = tw_engine_shape(engine)->n_embed;
    struct tw_sequence *sequence = start(engine, prompt, n, &generation);
    while (tw_sequence_is_active(sequence)) {
        step(engine);
    }
    struct tw_output output = tw_sequence_take(sequence);
    assert_int_equal(output.finish, TW_FINISH_STOP);
    assert_int_equal(output.n_tokens, 0);
    memcpy(ret_embedding, output.embedding, n_embed * sizeof(float));
    tw_sequence_free(sequence);
    tw_engine_close(engine);
}

/* Beside answers, with and without what was computed before, in pieces. */
static void an_embedding_is_the_same_alone_and_among_others(void **state)
{
    (void)state;
    static float embeddings[MANY][1024];
    static struct result results[MANY];
    for (uint64_t i = 0; i < MANY; i += 2) {
        tw_token prompt[MOST_TOKENS];
        size_t n = request_prompt(i, prompt);
        embed_alone(prompt, n, i % 4 == 0 ? 512 : 13, embeddings[i]);
    }
    assert_memory_not_equal(embeddings[0], embeddings[2], sizeof embeddings[0]);
    struct tw_engine *engine = open_engine(MANY, 40, 1024);
    const size_t n_bytes = tw_engine_shape(engine)->n_embed * sizeof(float);
    for (int round = 0; round < 2; round++) {
        struct tw_sequence *sequences[MANY];
        for (uint64_t i = 0; i < MANY; i++) {
            tw_token prompt[MOST_TOKENS];
            size_t n = request_prompt(i, prompt);
            struct tw_generation generation = request(i);
            generation.embeds = i % 2 == 0;
            sequences[i] = start(engine, prompt, n, &generation);
        }
        while (tw_engine_usage(engine).n_active > 0) {
            step(engine);
        }
        memset(results, 0, sizeof results);
        for (uint64_t i = 0; i < MANY; i++) {
            if (i % 2 == 0) {
                struct tw_output output = tw_sequence_take(sequences[i]);
                assert_int_equal(output.finish, TW_FINISH_STOP);
                assert_memory_equal(output.embedding, embeddings[i], n_bytes);
            } else {
                take(sequences[i], &results[i]);
                assert_same(&results[i], &alone[i]);
            }
            tw_sequence_free(sequences[i]);
        }
    }
    struct tw_engine_usage usage = tw_engine_usage(engine);
    assert_int_equal(usage.n_free_pages, usage.n_pages);
    tw_engine_close(engine);
}

/* A text of the model's own making: on one it does not understand, small errors decide. */
static void write_story(tw_token *ret_tokens, size_t n_tokens)
{
    static struct result result;
    static const tw_token prompt[] = {1, 403, 407, 261, 378};
    struct tw_generation generation = tw_generation_defaults();
    generation.rules.max_tokens = n_tokens - 5;
    struct tw_engine *engine = open_engine(1, 64, 512);
    struct tw_sequence *sequence = start(engine, prompt, 5, &generation);
    run_to_end(engine, sequence, &result);
    assert_int_equal(result.n_tokens, n_tokens - 5);
    memcpy(ret_tokens, prompt, sizeof prompt);
    memcpy(ret_tokens + 5, result.tokens, result.n_tokens * sizeof *ret_tokens);
    tw_sequence_free(sequence);
    tw_engine_close(engine);
}

static void the_quantised_cache_gives_nearly_the_same_scores(void **state)
{
    (void)state;
    tw_token text[200];
    float scores[2][199];
    write_story(text, 200);
    for (int i = 0; i < 2; i++) {
        struct tw_engine_config config = tw_engine_defaults();
        config.n_threads = 1;
        config.kv_dtype = i == 0 ? TW_DTYPE_F16 : TW_DTYPE_Q8_0;
        struct tw_engine *engine = NULL;
        assert_int_equal(tw_cpu_choose(&config.level, NULL), TW_OK);
        assert_int_equal(tw_engine_open(model_path, &config, &engine, NULL), TW_OK);
        assert_int_equal(tw_engine_reserve(engine, 256, NULL), TW_OK);
        assert_int_equal(tw_engine_score(engine, text, 200, 1, scores[i], NULL), TW_OK);
        tw_engine_close(engine);
    }
    double sum = 0.0;
    bool differ = false;
    for (int i = 0; i < 199; i++) {
        sum += fabs((double)scores[0][i] - (double)scores[1][i]);
        differ |= scores[0][i] != scores[1][i];
    }
    assert_true(differ);
    if (sum / 199.0 > 0.03) {
        fail_msg("log-probabilities are off by %g on average", sum / 199.0);
    }
}

/* A copy of the model in which one token's embedding is NaN: whoever's context has it gets no
 * numbers. */
static void write_damaged_model(const char *path, tw_token token)
{
    struct tw_model_files *files = NULL;
    struct tw_buf bytes;
    assert_int_equal(tw_model_files_open(model_path, &files, NULL), TW_OK);
    const struct tw_tensor_view *embedding = tw_model_files_find(files, "token_embd.weight");
    assert_int_equal(embedding->dtype, TW_DTYPE_F32);
    size_t row_bytes = embedding->shape[0] * sizeof(float);
    assert_int_equal(tw_file_read(model_path, 1 << 24, &bytes, NULL), TW_OK);
    const char *row = (const char *)embedding->data + (size_t)token * row_bytes;
    char *place = memmem(bytes.data, bytes.size_bytes, row, row_bytes);
    assert_non_null(place);
    for (size_t i = 0; i < row_bytes; i += sizeof(float)) {
        memcpy(place + i, &(float){NAN}, sizeof(float));
    }
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes.data, 1, bytes.size_bytes, file), bytes.size_bytes);
    fclose(file);
    tw_buf_free(&bytes);
    tw_model_files_close(files);
}

static void a_row_without_numbers_fails_its_sequence_alone(void **state)
{
    (void)state;
    static struct result broken, sound;
    char damaged[] = "/tmp/tokenworks-damaged-XXXXXX", saved[sizeof model_path];
    int fd = mkstemp(damaged);
    assert_true(fd >= 0);
    close(fd);
    write_damaged_model(damaged, 300);
    memcpy(saved, model_path, sizeof saved);
    snprintf(model_path, sizeof model_path, "%s", damaged);
    struct tw_engine *engine = open_engine(2, 64, 512);
    memcpy(model_path, saved, sizeof saved);
    unlink(damaged);

    const tw_token bad[] = {1, 403, 300, 261}, good[] = {1, 403, 407, 261, 378};
    struct tw_generation generation = tw_generation_defaults();
    generation.rules.max_tokens = 8;
    struct tw_sequence *a = start(engine, bad, 4, &generation);
    struct tw_sequence *b = start(engine, good, 5, &generation);
    run_to_end(engine, a, &broken);
    assert_int_equal(broken.finish, TW_FINISH_ERROR);
    assert_int_equal(broken.error.status, TW_ERR_FORMAT);
    memset(&sound, 0, sizeof sound);
    take(b, &sound);
    while (tw_sequence_is_active(b)) {
        step(engine);
        take(b, &sound);
    }
    assert_int_equal(sound.finish, TW_FINISH_LENGTH);
    assert_int_equal(sound.n_tokens, 8);
    tw_sequence_free(a);
    for (int i = 0; i < 2; i++) {
        generation.embeds = i == 0;
        generation.scores_prompt = i == 1;
        a = start(engine, bad, 4, &generation);
        run_to_end(engine, a, &broken);
        assert_int_equal(broken.finish, TW_FINISH_ERROR);
        assert_int_equal(broken.error.status, TW_ERR_FORMAT);
        tw_sequence_free(a);
    }
    tw_sequence_free(b);
    tw_engine_close(engine);
}

static void settings_beyond_the_bounds_are_refused(void **state)
{
    (void)state;
    struct tw_engine *engine = NULL;
    struct tw_error error;
    struct tw_engine_config bad[5];
    for (int i = 0; i < 5; i++) {
        bad[i] = tw_engine_defaults();
    }
    bad[0].n_threads = TW_LIMIT_THREADS + 1;
    bad[1].max_sequences = TW_LIMIT_BATCH_SEQUENCES + 1;
    bad[2].max_batch_tokens = TW_LIMIT_BATCH_TOKENS + 1;
    bad[3].kv_dtype = TW_DTYPE_F32;
    bad[4].n_threads = -1;
    for (int i = 0; i < 5; i++) {
        assert_int_not_equal(tw_engine_open(model_path, &bad[i], &engine, &error), TW_OK);
        assert_null(engine);
    }
    engine = open_engine(1, 32, 64);
    assert_int_equal(tw_engine_reserve(engine, 64, &error), TW_ERR_USAGE);
    tw_engine_close(engine);
}

/* A form that no model writes by itself; an answer whose form is complete ends at once. */
static void an_answer_of_a_prescribed_form_has_it(void **state)
{
    (void)state;
    struct tw_engine *engine = open_engine(2, 64, 1024);
    struct tw_automaton *automaton = NULL;
    const struct tw_token_trie *trie = NULL;
    struct tw_masker *masker = NULL;
    const char *pattern = "\\{[0-9]{3}(,[0-9]{3}){2}\\}";
    assert_int_equal(tw_constraint_compile_regex(tw_bytes_of(pattern), false, &automaton, NULL),
                     TW_OK);
    assert_int_equal(tw_engine_token_trie(engine, &trie, NULL), TW_OK);
    assert_int_equal(tw_masker_create(automaton, trie, &masker, NULL), TW_OK);
    tw_token prompt[8];
    random_prompt(5, 8, prompt);
    for (uint64_t seed = 0; seed < 8; seed++) {
        static struct result result, other;
        struct tw_generation generation = tw_generation_defaults();
        generation.sampling.temperature = 1.0;
        generation.sampling.seed = seed;
        struct tw_sequence *free_one = start(engine, prompt, 8, &generation);
        generation.masker = masker;
        generation.rules.max_tokens = seed == 0 ? 13 : 100; /* enough, to the byte, or more */
        struct tw_sequence *sequence = start(engine, prompt, 8, &generation);
        run_to_end(engine, sequence, &result);
        tw_sequence_free(free_one);
        assert_int_equal(result.finish, TW_FINISH_STOP);
        assert_int_equal(result.text_bytes, 13);
        assert_true(result.text[0] == '{' && result.text[4] == ',' && result.text[12] == '}');
        tw_sequence_free(sequence);
        sequence = start(engine, prompt, 8, &generation);
        run_to_end(engine, sequence, &other);
        assert_same(&result, &other);
        tw_sequence_free(sequence);
    }
    struct tw_generation generation = tw_generation_defaults();
    struct tw_sequence *sequence = NULL;
    generation.masker = masker;
    generation.rules.ignore_end_tokens = true;
    assert_int_equal(tw_sequence_create(engine, &sequence, NULL), TW_OK);
    assert_int_equal(tw_sequence_append(sequence, prompt, 8, NULL), TW_OK);
    assert_int_equal(tw_sequence_generate(sequence, &generation, NULL), TW_ERR_USAGE);
    tw_sequence_free(sequence);
    tw_engine_close(engine);
    tw_masker_free(masker);
    tw_automaton_free(automaton);
}

/* A list of small objects: long enough to be met by others at every stage. */
static struct tw_masker *make_list_masker(struct tw_engine *engine,
                                          struct tw_automaton **ret_automaton)
{
    static const char text[] =
        "{\"type\":\"array\",\"minItems\":4,\"maxItems\":6,\"items\":{\"type\":\"object\","
        "\"properties\":{\"a\":{\"type\":\"integer\",\"minimum\":10},"
        "\"b\":{\"type\":\"string\",\"maxLength\":6}},"
        "\"required\":[\"a\"],\"additionalProperties\":false}}";
    const struct tw_token_trie *trie = NULL;
    struct tw_masker *masker = NULL;
    json_t *schema;
    assert_int_equal(tw_json_parse(text, sizeof text - 1, "schema", &schema, NULL), TW_OK);
    assert_int_equal(tw_constraint_compile_schema(schema, false, ret_automaton, NULL), TW_OK);
    json_decref(schema);
    assert_int_equal(tw_engine_token_trie(engine, &trie, NULL), TW_OK);
    assert_int_equal(tw_masker_create(*ret_automaton, trie, &masker, NULL), TW_OK);
    return masker;
}

static struct tw_generation list_request(uint64_t seed, struct tw_masker *masker)
{
    struct tw_generation generation = tw_generation_defaults();
    generation.sampling.temperature = seed % 2 == 0 ? 0.0 : 0.9;
    generation.sampling.seed = seed;
    generation.sampling.want_logprobs = true;
    generation.rules.max_tokens = 120;
    generation.masker = masker;
    return generation;
}

/* One masker serves all answers of a form; others, of no form, run among them; pages of the prompt
 * are computed anew, or found in the prefix tree. */
static void a_prescribed_answer_is_the_same_alone_in_a_batch_and_behind_a_cached_prefix(
    void **state)
{
    (void)state;
    enum { ANSWERS = 5, PROMPT = 150 };
    static struct result first[ANSWERS], other;
    tw_token prompt[PROMPT];
    random_prompt(9, PROMPT, prompt);
    for (uint64_t i = 0; i < ANSWERS; i++) {
        struct tw_automaton *automaton = NULL;
        struct tw_engine *engine = open_engine(1, 512, 1024);
        struct tw_masker *masker = make_list_masker(engine, &automaton);
        struct tw_generation generation = list_request(i, masker);
        for (int again = 0; again < 2; again++) {
            struct result *result = again ? &other : &first[i];
            struct tw_sequence *sequence = start(engine, prompt, PROMPT, &generation);
            run_to_end(engine, sequence, result);
            assert_int_equal(tw_sequence_cached(sequence) > 0, again);
            tw_sequence_free(sequence);
        }
        assert_same(&first[i], &other);
        assert_true(first[i].n_tokens > 20 && first[i].text[0] == '[');
        tw_engine_close(engine);
        tw_masker_free(masker);
        tw_automaton_free(automaton);
    }
    static const uint32_t batch_sizes[] = {11, 64, 512};
    for (size_t b = 0; b < 3; b++) {
        struct tw_automaton *automaton = NULL;
        struct tw_engine *engine = open_engine(2 * ANSWERS, batch_sizes[b], 4096);
        struct tw_masker *masker = make_list_masker(engine, &automaton);
        struct tw_sequence *sequences[2 * ANSWERS];
        for (uint64_t i = 0; i < 2 * ANSWERS; i++) {
            struct tw_generation generation = i % 2 == 0 ? list_request(i / 2, masker) : request(i);
            sequences[i] = start(engine, prompt, PROMPT, &generation);
            step(engine);
        }
        for (uint64_t i = 0; i < ANSWERS; i++) {
            run_to_end(engine, sequences[2 * i], &other);
            assert_same(&first[i], &other);
        }
        for (uint64_t i = 0; i < 2 * ANSWERS; i++) {
            tw_sequence_free(sequences[i]);
        }
        tw_engine_close(engine);
        tw_masker_free(masker);
        tw_automaton_free(automaton);
    }
}

/* ---- what is given up for others ---- */

static atomic_uint n_waited_for;
static atomic_bool has_enough;

static void *come_and_go(void *context)
{
    (void)context;
    while (!has_enough) {
        n_waited_for = 1;
        sched_yield();
        n_waited_for = 0;
        for (int i = 0; i < 200 && !has_enough; i++) {
            sched_yield();
        }
    }
    return NULL;
}

/* On all threads: what one of them sees, all do. */
static void an_idle_step_that_is_given_up_is_computed_again_with_the_same_answer(void **state)
{
    (void)state;
    static struct result undisturbed, disturbed;
    struct tw_engine_config config = tw_engine_defaults();
    config.n_threads = 2;
    config.n_waited_for = &n_waited_for;
    struct tw_engine *engine = NULL;
    assert_int_equal(tw_engine_open(model_path, &config, &engine, NULL), TW_OK);
    assert_int_equal(tw_engine_reserve(engine, 4096, NULL), TW_OK);
    assert_int_equal(tw_engine_set_tenant(engine, 1, 1, TW_CLASS_IDLE, NULL), TW_OK);
    tw_token prompt[90];
    random_prompt(3, 90, prompt);
    struct tw_generation generation = request(5);
    generation.rules.max_tokens = 200;
    struct tw_sequence *first = start(engine, prompt, 90, &generation);
    run_to_end(engine, first, &undisturbed);
    tw_sequence_free(first);
    assert_int_equal(tw_engine_usage(engine).n_given_up_steps, 0);

    generation.tenant = 1;
    generation.domain = 1; /* nothing of it is cached */
    struct tw_sequence *idle = start(engine, prompt, 90, &generation);
    n_waited_for = 1;
    for (int i = 0; i < 3; i++) {
        step(engine);
    }
    assert_int_equal(tw_sequence_computed(idle), 0);
    n_waited_for = 0;
    pthread_t other;
    has_enough = false;
    assert_int_equal(pthread_create(&other, NULL, come_and_go, NULL), 0);
    run_to_end(engine, idle, &disturbed);
    assert_same(&undisturbed, &disturbed);
    /* On a busy machine the other thread may have come between steps alone. */
    for (int i = 0; i < 200 && tw_engine_usage(engine).n_given_up_steps == 0; i++) {
        tw_sequence_free(idle);
        generation.domain++;
        idle = start(engine, prompt, 90, &generation);
        run_to_end(engine, idle, &disturbed);
        assert_same(&undisturbed, &disturbed);
    }
    has_enough = true;
    pthread_join(other, NULL);
    n_waited_for = 0;
    assert_true(tw_engine_usage(engine).n_given_up_steps > 0);
    tw_sequence_free(idle);
    tw_engine_close(engine);
}

int main(void)
{
    const char *shared = getenv("TW_SHARED");
    snprintf(model_path, sizeof model_path, "%s/testdata/stories260K.gguf",
             shared != NULL ? shared : "");
    if (shared == NULL || !tw_file_exists(model_path)) {
        printf("1..0 # SKIP TW_SHARED has no testdata/stories260K.gguf\n");
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_is_the_same_alone_and_among_others),
        cmocka_unit_test(a_cancelled_sequence_frees_its_pages_and_disturbs_nobody),
        cmocka_unit_test(sequences_that_do_not_fit_together_take_turns),
        cmocka_unit_test(a_full_cache_is_a_length_and_no_error),
        cmocka_unit_test(a_prompt_waits_for_pages_and_then_runs),
        cmocka_unit_test(a_continued_chat_computes_what_is_new_and_its_last_page),
        cmocka_unit_test(equal_prompts_are_computed_once_and_answered_alike),
        cmocka_unit_test(a_cancelled_prompt_says_how_much_of_it_was_computed),
        cmocka_unit_test(a_cancelled_answer_can_be_continued_and_truncated),
        cmocka_unit_test(an_end_token_ends_the_answer_without_text),
        cmocka_unit_test(a_stop_string_ends_the_answer_before_itself),
        cmocka_unit_test(the_context_of_the_model_is_a_length_and_no_error),
        cmocka_unit_test(prompts_that_cannot_run_are_refused),
        cmocka_unit_test(scores_are_the_logprobs_of_generation),
        cmocka_unit_test(a_scored_prompt_is_that_of_tw_engine_score_whatever_else_runs),
        cmocka_unit_test(the_best_tokens_of_a_scored_prompt_come_with_it),
        cmocka_unit_test(an_embedding_is_the_same_alone_and_among_others),
        cmocka_unit_test(the_quantised_cache_gives_nearly_the_same_scores),
        cmocka_unit_test(a_row_without_numbers_fails_its_sequence_alone),
        cmocka_unit_test(an_answer_of_a_prescribed_form_has_it),
        cmocka_unit_test(
            a_prescribed_answer_is_the_same_alone_in_a_batch_and_behind_a_cached_prefix),
        cmocka_unit_test(an_idle_step_that_is_given_up_is_computed_again_with_the_same_answer),
        cmocka_unit_test(settings_beyond_the_bounds_are_refused),
    };
    return cmocka_run_group_tests(tests, run_each_alone, NULL);
}
