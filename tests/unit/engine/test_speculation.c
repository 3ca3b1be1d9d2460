/* Answers with drafts against answers without, on a real, tiny model:
 * TW_SHARED/testdata/stories260K.gguf. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/rng.h"
#include "engine/engine.h"

enum { MOST_TOKENS = 400, MOST_TOP = 3, MANY = 6, N_ROUNDS = 150, N_SLOW_ROUNDS = 25 };

static char model_path[4096];

/* ---- what is asked ---- */

struct dice {
    uint64_t seed, n;
};

static uint32_t roll(struct dice *dice, uint32_t below)
{
    uint32_t words[4];
    tw_rng_block(dice->seed, dice->n++, words);
    return words[0] % below;
}

/* A few tokens again and again, with a mistake now and then; or tokens at random. */
static size_t make_prompt(struct dice *dice, tw_token *ret_tokens)
{
    const size_t n = 1 + roll(dice, 180), period = 2 + roll(dice, 12);
    const bool repeats = roll(dice, 4) != 0;
    ret_tokens[0] = 1;
    for (size_t i = 1; i < n; i++) {
        const bool is_copy = repeats && i > period && roll(dice, 20) != 0;
        ret_tokens[i] = is_copy ? ret_tokens[i - period] : (tw_token)(259 + roll(dice, 250));
    }
    return n;
}

struct asked {
    tw_token prompt[MOST_TOKENS];
    size_t n_prompt;
    struct tw_generation generation;
    struct tw_logit_bias biases[2];
    struct tw_bytes stops[2];
    bool has_form;
    int pauses_at; /* the step, or -1 */
};

static void ask_sampling(struct dice *dice, struct asked *asked)
{
    struct tw_sampler_params *sampling = &asked->generation.sampling;
    sampling->temperature = roll(dice, 2) == 0 ? 0.0 : 0.3 + 0.3 * roll(dice, 4);
    sampling->top_k = roll(dice, 3) == 0 ? 20 : 0;
    sampling->top_p = roll(dice, 3) == 0 ? 0.9 : 1.0;
    sampling->repetition_penalty = roll(dice, 4) == 0 ? 1.2 : 1.0;
    sampling->frequency_penalty = roll(dice, 4) == 0 ? 0.4 : 0.0;
    sampling->presence_penalty = roll(dice, 4) == 0 ? 0.5 : 0.0;
    sampling->repeat_last_n = roll(dice, 2) == 0 ? 0 : 30;
    sampling->seed = roll(dice, 1000);
    sampling->want_logprobs = roll(dice, 2) == 0;
    sampling->n_top_logprobs = roll(dice, 3) == 0 ? MOST_TOP : 0;
    asked->biases[0] = (struct tw_logit_bias){(tw_token)(259 + roll(dice, 250)), 3.0f};
    asked->biases[1] = (struct tw_logit_bias){2, -100.0f};
    sampling->biases = asked->biases;
    sampling->n_biases = roll(dice, 3);
}

static void ask(struct dice *dice, struct asked *asked)
{
    static const char *const stops[] = {"\n", ".", " the", "and", "e w", "!"};
    memset(asked, 0, sizeof *asked);
    asked->n_prompt = make_prompt(dice, asked->prompt);
    asked->generation = tw_generation_defaults();
    ask_sampling(dice, asked);
    struct tw_stop_rules *rules = &asked->generation.rules;
    asked->has_form = roll(dice, 4) == 0;
    rules->max_tokens = 1 + roll(dice, 150);
    rules->ignore_end_tokens = !asked->has_form && roll(dice, 2) == 0;
    rules->strings = asked->stops;
    rules->n_strings = asked->has_form ? 0 : roll(dice, 3);
    for (size_t i = 0; i < 2; i++) {
        asked->stops[i] = tw_bytes_of(stops[(roll(dice, 3) + 3 * i)]);
    }
    asked->generation.scores_prompt = roll(dice, 6) == 0;
    asked->pauses_at = roll(dice, 4) == 0 ? (int)roll(dice, 30) : -1;
}

/* ---- what comes ---- */

struct result {
    tw_token tokens[MOST_TOKENS];
    size_t text_ends[MOST_TOKENS];
    size_t n_tokens, n_sampled;
    struct tw_token_logprob logprobs[MOST_TOKENS * (1 + MOST_TOP)];
    char text[8 * MOST_TOKENS];
    size_t text_bytes;
    enum tw_finish finish;
};

static void take(struct tw_sequence *sequence, struct result *result)
{
    struct tw_output output = tw_sequence_take(sequence);
    const size_t width = 1 + output.n_top;
    for (size_t i = 0; i < output.n_tokens - output.n_prompt_tokens; i++) {
        result->text_ends[result->n_sampled++] = result->text_bytes + output.text_ends[i];
    }
    if (output.logprobs != NULL) {
        memcpy(result->logprobs + result->n_tokens * width, output.logprobs,
               output.n_tokens * width * sizeof *output.logprobs);
    }
    memcpy(result->tokens + result->n_tokens, output.tokens, output.n_tokens * sizeof(tw_token));
    result->n_tokens += output.n_tokens;
    memcpy(result->text + result->text_bytes, output.text, output.text_bytes);
    result->text_bytes += output.text_bytes;
    result->finish = output.finish;
}

struct counts {
    uint64_t n_steps, n_drafted, n_accepted, n_preemptions, n_sampled;
    uint64_t n_stops, n_lengths, n_forms;
};

static struct tw_engine *open_engine(bool no_speculation, uint32_t max_sequences,
                                     uint32_t max_batch_tokens, uint64_t n_tokens)
{
    struct tw_engine_config config = tw_engine_defaults();
    struct tw_engine *engine = NULL;
    struct tw_error error;
    assert_int_equal(tw_cpu_choose(&config.level, NULL), TW_OK);
    config.n_threads = 1;
    config.max_sequences = max_sequences;
    config.max_batch_tokens = max_batch_tokens;
    config.no_speculation = no_speculation;
    if (tw_engine_open(model_path, &config, &engine, &error) != TW_OK) {
        fail_msg("%s", error.text);
    }
    assert_int_equal(tw_engine_reserve(engine, n_tokens, NULL), TW_OK);
    return engine;
}

/* A list of small objects, whose frame repeats itself. */
static struct tw_automaton *list_form;

static int compile_form(void **state)
{
    (void)state;
    static const char text[] =
        "{\"type\":\"array\",\"minItems\":2,\"maxItems\":8,\"items\":{\"type\":\"object\","
        "\"properties\":{\"name\":{\"type\":\"string\",\"maxLength\":6},"
        "\"n\":{\"type\":\"integer\",\"minimum\":10,\"maximum\":12}},"
        "\"required\":[\"name\",\"n\"],\"additionalProperties\":false}}";
    json_t *schema;
    if (tw_json_parse(text, sizeof text - 1, "schema", &schema, NULL) != TW_OK) {
        return 1;
    }
    enum tw_status status = tw_constraint_compile_schema(schema, false, &list_form, NULL);
    json_decref(schema);
    return status != TW_OK;
}

static int free_form(void **state)
{
    (void)state;
    tw_automaton_free(list_form);
    return 0;
}

static struct tw_masker *make_masker(struct tw_engine *engine)
{
    const struct tw_token_trie *trie = NULL;
    struct tw_masker *masker = NULL;
    assert_int_equal(tw_engine_token_trie(engine, &trie, NULL), TW_OK);
    assert_int_equal(tw_masker_create(list_form, trie, &masker, NULL), TW_OK);
    return masker;
}

static struct tw_sequence *start(struct tw_engine *engine, const struct asked *asked,
                                 struct tw_masker *masker)
{
    struct tw_sequence *sequence = NULL;
    struct tw_generation generation = asked->generation;
    generation.masker = asked->has_form ? masker : NULL;
    assert_int_equal(tw_sequence_create(engine, &sequence, NULL), TW_OK);
    assert_int_equal(tw_sequence_append(sequence, asked->prompt, asked->n_prompt, NULL), TW_OK);
    assert_int_equal(tw_sequence_generate(sequence, &generation, NULL), TW_OK);
    return sequence;
}

/* Runs all to their ends; one that is paused goes on ten steps later. */
static void run(struct tw_engine *engine, const struct asked *asked, int n, struct result *results,
                struct counts *counts)
{
    struct tw_masker *masker = make_masker(engine);
    struct tw_sequence *sequences[MANY];
    uint32_t n_active = 1;
    memset(results, 0, (size_t)n * sizeof *results);
    for (int i = 0; i < n; i++) {
        sequences[i] = start(engine, &asked[i], masker);
    }
    for (int step = 0; n_active > 0; step++) {
        for (int i = 0; i < n; i++) {
            if (step == asked[i].pauses_at) {
                tw_sequence_pause(sequences[i]);
            } else if (step == asked[i].pauses_at + 10) {
                tw_sequence_resume(sequences[i]);
            }
        }
        assert_int_equal(tw_engine_step(engine, &n_active, NULL), TW_OK);
        for (int i = 0; i < n; i++) {
            take(sequences[i], &results[i]);
            const bool has_ended = !tw_sequence_is_active(sequences[i]);
            counts->n_stops += has_ended && results[i].finish == TW_FINISH_STOP;
        }
    }
    for (int i = 0; i < n; i++) {
        take(sequences[i], &results[i]);
        counts->n_sampled += results[i].n_sampled;
        counts->n_lengths += results[i].finish == TW_FINISH_LENGTH;
        counts->n_forms += asked[i].has_form;
        tw_sequence_free(sequences[i]);
    }
    tw_masker_free(masker);
    const struct tw_engine_usage usage = tw_engine_usage(engine);
    assert_int_equal(usage.n_free_pages, usage.n_pages);
    counts->n_steps += usage.n_steps;
    counts->n_drafted += usage.n_drafted_tokens;
    counts->n_accepted += usage.n_accepted_tokens;
    counts->n_preemptions += usage.n_preemptions;
}

static void assert_same(const struct result *a, const struct result *b)
{
    assert_int_equal(a->finish, b->finish);
    assert_int_equal(a->n_tokens, b->n_tokens);
    assert_int_equal(a->n_sampled, b->n_sampled);
    assert_memory_equal(a->tokens, b->tokens, sizeof a->tokens);
    assert_memory_equal(a->logprobs, b->logprobs, sizeof a->logprobs);
    assert_int_equal(a->text_bytes, b->text_bytes);
    assert_memory_equal(a->text, b->text, a->text_bytes);
    assert_memory_equal(a->text_ends, b->text_ends, sizeof a->text_ends);
}

/* ---- tests ---- */

/* One text and several, prompts cut into pieces, pages for all and for some. */
static void every_answer_is_the_same_with_and_without_drafts(void **state)
{
    (void)state;
    static struct asked asked[MANY];
    static struct result results[2][MANY];
    struct counts counts[2] = {{0}};
    enum tw_cpu_level level;
    assert_int_equal(tw_cpu_choose(&level, NULL), TW_OK);
    const uint64_t n_rounds = level == TW_CPU_REF ? N_SLOW_ROUNDS : N_ROUNDS;
    for (uint64_t round = 0; round < n_rounds; round++) {
        struct dice dice = {.seed = 7000 + round};
        const int n = round % 3 == 0 ? 1 : 1 + (int)roll(&dice, MANY);
        const uint32_t batch = 5 + roll(&dice, 100);
        const uint64_t n_tokens = roll(&dice, 2) == 0 ? 2048 : n == 1 ? 128 : 64;
        for (int i = 0; i < n; i++) {
            ask(&dice, &asked[i]);
        }
        for (int k = 0; k < 2; k++) {
            struct tw_engine *engine = open_engine(k == 0, (uint32_t)n, batch, n_tokens);
            run(engine, asked, n, results[k], &counts[k]);
            tw_engine_close(engine);
        }
        for (int i = 0; i < n; i++) {
            assert_same(&results[0][i], &results[1][i]);
        }
    }
    const struct counts *c = &counts[1];
    print_message(
        "# %llu tokens in %llu steps without drafts and %llu with %llu, of which %llu were "
        "right; %llu and %llu preemptions, %llu answers of a form\n",
        (unsigned long long)c->n_sampled, (unsigned long long)counts[0].n_steps,
        (unsigned long long)c->n_steps, (unsigned long long)c->n_drafted,
        (unsigned long long)c->n_accepted, (unsigned long long)counts[0].n_preemptions,
        (unsigned long long)c->n_preemptions, (unsigned long long)c->n_forms);
    assert_int_equal(counts[0].n_drafted, 0);
    assert_true(c->n_accepted > 100 && c->n_steps < counts[0].n_steps);
    if (n_rounds < N_ROUNDS) {
        return; /* too few for all of it to have happened */
    }
    assert_true(c->n_accepted > 1000 && c->n_drafted > c->n_accepted + 1000);
    assert_true(counts[0].n_preemptions > 10 && c->n_preemptions > 10);
    assert_true(c->n_stops > 50 && c->n_lengths > 50 && c->n_forms > 50);
}

/* A token that is wanted above all: two tokens are known by then, the others follow. */
static void a_text_that_repeats_itself_takes_fewer_steps_than_tokens(void **state)
{
    (void)state;
    static struct asked asked;
    static struct result results[2];
    struct counts counts[2] = {{0}};
    struct dice dice = {.seed = 1};
    ask(&dice, &asked);
    asked.generation = tw_generation_defaults();
    asked.generation.rules.max_tokens = 200;
    asked.biases[0] = (struct tw_logit_bias){403, 100.0f};
    asked.generation.sampling.biases = asked.biases;
    asked.generation.sampling.n_biases = 1;
    asked.has_form = false;
    asked.pauses_at = -1;
    const size_t n_prompt = asked.n_prompt;
    for (int k = 0; k < 2; k++) {
        struct tw_engine *engine = open_engine(k == 0, 1, 512, 512);
        run(engine, &asked, 1, &results[k], &counts[k]);
        const struct tw_engine_usage usage = tw_engine_usage(engine);
        /* Without drafts every token but the last is computed once; what was accepted as well. */
        assert_int_equal(usage.n_computed_tokens - usage.n_drafted_tokens + usage.n_accepted_tokens,
                         n_prompt + 199);
        tw_engine_close(engine);
    }
    assert_same(&results[0], &results[1]);
    assert_int_equal(counts[0].n_steps, 200);
    assert_int_equal(counts[1].n_steps + counts[1].n_accepted, 200);
    assert_in_range(counts[1].n_steps, 13, 40);
}

/* The form repeats itself for each object of the list. */
static void a_form_that_repeats_itself_is_guessed(void **state)
{
    (void)state;
    static struct asked asked;
    static struct result results[2];
    struct counts counts[2] = {{0}};
    for (uint64_t seed = 0; seed < 5; seed++) {
        asked.generation = tw_generation_defaults();
        asked.generation.sampling.temperature = seed == 0 ? 0.0 : 1.0;
        asked.generation.sampling.seed = seed;
        asked.generation.rules.max_tokens = 300;
        asked.has_form = true;
        asked.pauses_at = -1;
        asked.n_prompt = 1;
        asked.prompt[0] = 1;
        for (int k = 0; k < 2; k++) {
            struct tw_engine *engine = open_engine(k == 0, 1, 512, 512);
            run(engine, &asked, 1, &results[k], &counts[k]);
            tw_engine_close(engine);
        }
        assert_same(&results[0], &results[1]);
    }
    assert_true(counts[1].n_accepted > 50);
    assert_true(counts[1].n_steps < counts[0].n_steps);
}

/* Sixteen texts fill a step: nothing is guessed behind any of them. */
static void a_full_step_has_no_drafts(void **state)
{
    (void)state;
    enum { FULL = 16 };
    struct tw_engine *engine = open_engine(false, FULL, 512, 4096);
    struct tw_sequence *sequences[FULL];
    static struct asked asked;
    asked.generation = tw_generation_defaults();
    asked.generation.rules.max_tokens = 60;
    asked.generation.rules.ignore_end_tokens = true;
    asked.n_prompt = 30;
    for (size_t i = 0; i < asked.n_prompt; i++) {
        asked.prompt[i] = i == 0 ? 1 : (tw_token)(403 + i % 3);
    }
    for (int i = 0; i < FULL; i++) {
        sequences[i] = start(engine, &asked, NULL);
    }
    for (uint32_t n_active = 1; n_active > 0;) {
        assert_int_equal(tw_engine_step(engine, &n_active, NULL), TW_OK);
    }
    assert_int_equal(tw_engine_usage(engine).n_drafted_tokens, 0);
    for (int i = 0; i < FULL; i++) {
        tw_sequence_free(sequences[i]);
    }
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
        cmocka_unit_test(every_answer_is_the_same_with_and_without_drafts),
        cmocka_unit_test(a_text_that_repeats_itself_takes_fewer_steps_than_tokens),
        cmocka_unit_test(a_form_that_repeats_itself_is_guessed),
        cmocka_unit_test(a_full_step_has_no_drafts),
    };
    return cmocka_run_group_tests(tests, compile_form, free_form);
}
