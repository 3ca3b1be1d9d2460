#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "engine/sampler.h"

#define N_DRAWS 100000

/* One sampler, one history; a test changes what it is about. */
struct fixture {
    struct tw_sampler *sampler;
    struct tw_sampler_params params;
    struct tw_sampler_history history;
    size_t n;
    float logits[4096];
};

static void fixture_init(struct fixture *f, size_t n)
{
    memset(f, 0, sizeof *f);
    f->n = n;
    f->params = tw_sampler_defaults();
    f->params.temperature = 1.0;
    f->params.seed = 11;
    assert_int_equal(tw_sampler_create(tw_cpu_detect(), n, &f->sampler, NULL), TW_OK);
}

static struct fixture *fixture_of(size_t n, const float *logits)
{
    static struct fixture f;
    fixture_init(&f, n);
    memcpy(f.logits, logits, n * sizeof *logits);
    return &f;
}

static struct tw_sample sample_at(struct fixture *f, uint64_t position)
{
    struct tw_sample sample;
    f->history.position = position;
    assert_int_equal(tw_sampler_check(&f->params, f->n, NULL), TW_OK);
    assert_int_equal(
        tw_sampler_sample(f->sampler, f->logits, &f->params, &f->history, &sample, NULL), TW_OK);
    assert_in_range(sample.token, 0, f->n - 1);
    return sample;
}

static tw_token greedy(struct fixture *f)
{
    f->params.temperature = 0.0;
    return sample_at(f, 0).token;
}

/* Which tokens come out in N draws, as a bit set. */
static uint64_t drawn_set(struct fixture *f, int n_draws)
{
    uint64_t set = 0;
    assert_true(f->n <= 64);
    for (int i = 0; i < n_draws; i++) {
        set |= 1ull << sample_at(f, (uint64_t)i).token;
    }
    return set;
}

/* Pearson's statistic of N draws against exact probabilities, and its 99.9% quantile by Wilson and
 * Hilferty. Expected counts are large enough in every test here. */
static double chi_square(const uint32_t *counts, const double *probabilities, size_t n,
                         double *ret_quantile)
{
    double sum = 0.0;
    size_t n_cells = 0;
    for (size_t i = 0; i < n; i++) {
        if (probabilities[i] == 0.0) {
            assert_int_equal(counts[i], 0);
            continue;
        }
        double expected = probabilities[i] * N_DRAWS;
        sum += ((double)counts[i] - expected) * ((double)counts[i] - expected) / expected;
        n_cells++;
    }
    double df = (double)(n_cells - 1);
    double cube = 1.0 - 2.0 / (9.0 * df) + 3.090232 * sqrt(2.0 / (9.0 * df));
    *ret_quantile = df * cube * cube * cube;
    return sum;
}

static void exact_softmax(const float *logits, size_t n, double temperature, double *ret)
{
    double max = -INFINITY, total = 0.0;
    for (size_t i = 0; i < n; i++) {
        max = fmax(max, (double)logits[i]);
    }
    for (size_t i = 0; i < n; i++) {
        ret[i] = exp(((double)logits[i] - max) / temperature);
        total += ret[i];
    }
    for (size_t i = 0; i < n; i++) {
        ret[i] /= total;
    }
}

static void count_draws(struct fixture *f, uint32_t *ret_counts)
{
    memset(ret_counts, 0, f->n * sizeof *ret_counts);
    for (uint64_t i = 0; i < N_DRAWS; i++) {
        ret_counts[sample_at(f, i).token]++;
    }
}

static void assert_draws_follow(struct fixture *f, const double *probabilities)
{
    static uint32_t counts[4096];
    double quantile;
    count_draws(f, counts);
    double sum = chi_square(counts, probabilities, f->n, &quantile);
    if (sum > quantile) {
        fail_msg("chi-square %g, 99.9%% of right samplers stay below %g", sum, quantile);
    }
}

static void greedy_takes_the_lowest_of_equal_tokens(void **state)
{
    (void)state;
    struct fixture *f = fixture_of(6, (float[]){1, 3, 2, 3, 3, -5});
    assert_int_equal(greedy(f), 1);
    f->params.top_k = 3;
    assert_int_equal(greedy(f), 1);
    tw_sampler_free(f->sampler);
}

static void a_temperature_of_almost_zero_is_greedy(void **state)
{
    (void)state;
    struct fixture *f = fixture_of(4, (float[]){1.0f, 1.0001f, 0.9f, 1.0f});
    f->params.temperature = 1e-6;
    for (uint64_t i = 0; i < 1000; i++) {
        assert_int_equal(sample_at(f, i).token, 1);
    }
    tw_sampler_free(f->sampler);
}

static void draws_follow_the_exact_softmax(void **state)
{
    (void)state;
    static const float logits[] = {0.3f, -1.2f, 2.2f, 1.1f, 0.0f, 2.1f, -2.5f, 0.7f, 1.9f, -0.4f};
    for (int t = 0; t < 3; t++) {
        double temperature = (double[]){0.5, 1.0, 1.7}[t];
        struct fixture *f = fixture_of(10, logits);
        double probabilities[10];
        exact_softmax(logits, 10, temperature, probabilities);
        f->params.temperature = temperature;
        assert_draws_follow(f, probabilities);
        tw_sampler_free(f->sampler);
    }
}

/* More tokens than a chunk of the sum, so that the draw crosses chunks. */
static void draws_follow_the_exact_softmax_over_several_chunks(void **state)
{
    (void)state;
    static float logits[2500];
    static double probabilities[2500];
    for (size_t i = 0; i < 2500; i++) {
        logits[i] = (float)(0.3 * tw_rng_normal(5, i));
    }
    struct fixture *f = fixture_of(2500, logits);
    exact_softmax(logits, 2500, 1.0, probabilities);
    assert_draws_follow(f, probabilities);
    tw_sampler_free(f->sampler);
}

static void filtered_draws_follow_the_renormalised_softmax(void **state)
{
    (void)state;
    static const float logits[] = {0.3f, -1.2f, 2.2f, 1.1f, 0.0f, 2.1f, -2.5f, 0.7f};
    struct fixture *f = fixture_of(8, logits);
    float kept[8];
    double probabilities[8];
    for (size_t i = 0; i < 8; i++) {
        kept[i] = i == 2 || i == 5 || i == 3 || i == 7 ? logits[i] : -INFINITY;
    }
    exact_softmax(kept, 8, 1.0, probabilities);
    f->params.top_k = 4;
    assert_draws_follow(f, probabilities);
    tw_sampler_free(f->sampler);
}

static void top_k_keeps_exactly_k_and_of_equal_ones_the_lowest(void **state)
{
    (void)state;
    struct fixture *f = fixture_of(6, (float[]){1, 2, 1, 1, 0, 1});
    for (uint32_t k = 1; k <= 8; k++) {
        static const uint64_t expected[] = {0x02, 0x03, 0x07, 0x0f, 0x2f, 0x3f, 0x3f, 0x3f};
        f->params.top_k = k;
        assert_int_equal(drawn_set(f, 3000), expected[k - 1]);
    }
    tw_sampler_free(f->sampler);
}

/* Probabilities 0.4, 0.3, 0.2, 0.1, out of order. */
static struct fixture *four_tokens(void)
{
    return fixture_of(4, (float[]){logf(0.2f), logf(0.4f), logf(0.1f), logf(0.3f)});
}

static void top_p_keeps_the_shortest_list_that_reaches_its_share(void **state)
{
    (void)state;
    static const struct {
        double top_p;
        uint64_t set;
    } rows[] = {{0.0, 0x2},  {0.39, 0x2}, {0.41, 0xa}, {0.69, 0xa},
                {0.71, 0xb}, {0.89, 0xb}, {0.91, 0xf}, {1.0, 0xf}};
    struct fixture *f = four_tokens();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        f->params.top_p = rows[i].top_p;
        assert_int_equal(drawn_set(f, 2000), rows[i].set);
    }
    tw_sampler_free(f->sampler);
}

static void top_p_takes_its_share_of_what_top_k_left(void **state)
{
    (void)state;
    /* Of 0.4 and 0.3 alone the first has 57%: a share of 0.5 is reached by it, 0.6 needs both. */
    struct fixture *f = four_tokens();
    f->params.top_k = 2;
    f->params.top_p = 0.5;
    assert_int_equal(drawn_set(f, 2000), 0x2);
    f->params.top_p = 0.6;
    assert_int_equal(drawn_set(f, 2000), 0xa);
    tw_sampler_free(f->sampler);
}

static void top_p_among_equal_tokens_keeps_the_lowest(void **state)
{
    (void)state;
    struct fixture *f = fixture_of(8, (float[]){0, 0, 0, 0, 0, 0, 0, 0});
    f->params.top_p = 0.3;
    assert_int_equal(drawn_set(f, 2000), 0x07);
    tw_sampler_free(f->sampler);
}

static void min_p_is_a_share_of_the_best_probability(void **state)
{
    (void)state;
    static const struct {
        double min_p;
        uint64_t set;
    } rows[] = {{0.0, 0xf},  {0.24, 0xf}, {0.26, 0xb}, {0.49, 0xb},
                {0.51, 0xa}, {0.76, 0x2}, {1.0, 0x2}};
    struct fixture *f = four_tokens();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        f->params.min_p = rows[i].min_p;
        f->params.top_k = 0;
        assert_int_equal(drawn_set(f, 2000), rows[i].set);
        f->params.top_k = 4; /* the sorted path must agree */
        assert_int_equal(drawn_set(f, 2000), rows[i].set);
    }
    tw_sampler_free(f->sampler);
}

static void filters_cut_after_the_temperature(void **state)
{
    (void)state;
    /* At temperature 2 probabilities 0.4, 0.3, 0.2, 0.1 become 0.33, 0.28, 0.23, 0.16. */
    struct fixture *f = four_tokens();
    f->params.top_p = 0.65;
    assert_int_equal(drawn_set(f, 2000), 0xa);
    f->params.temperature = 2.0;
    assert_int_equal(drawn_set(f, 2000), 0xb);
    tw_sampler_free(f->sampler);
}

/* The set top-p keeps in a large row, against a plain sort of all of it. */
static void top_p_in_a_large_row_agrees_with_a_full_sort(void **state)
{
    (void)state;
    static float logits[3000];
    static double probabilities[3000];
    for (size_t i = 0; i < 3000; i++) {
        logits[i] = (float)(1.5 * tw_rng_normal(9, i));
    }
    exact_softmax(logits, 3000, 1.0, probabilities);
    static bool kept[3000];
    double mass = 0.0;
    while (mass < 0.5) {
        size_t best = 0;
        for (size_t i = 0; i < 3000; i++) {
            best = !kept[i] && (kept[best] || probabilities[i] > probabilities[best]) ? i : best;
        }
        kept[best] = true;
        mass += probabilities[best];
    }
    for (size_t i = 0; i < 3000; i++) {
        probabilities[i] = kept[i] ? probabilities[i] / mass : 0.0;
    }
    struct fixture *f = fixture_of(3000, logits);
    f->params.top_p = 0.5;
    assert_draws_follow(f, probabilities);
    tw_sampler_free(f->sampler);
}

static void the_random_number_depends_on_seed_and_position_alone(void **state)
{
    (void)state;
    static const tw_token one[] = {3, 4, 5};
    static const tw_token other[] = {0};
    struct fixture *f = fixture_of(8, (float[]){0, 0, 0, 0, 0, 0, 0, 0});
    tw_token first[200];
    for (uint64_t i = 0; i < 200; i++) {
        f->history = (struct tw_sampler_history){.tokens = one, .n_tokens = 3};
        first[i] = sample_at(f, i).token;
    }
    int n_other_seed = 0;
    for (uint64_t i = 200; i > 0; i--) {
        f->history = (struct tw_sampler_history){.tokens = other, .n_tokens = 1};
        assert_int_equal(sample_at(f, i - 1).token, first[i - 1]);
        f->params.seed = 12;
        n_other_seed += sample_at(f, i - 1).token == first[i - 1];
        f->params.seed = 11;
    }
    assert_in_range(n_other_seed, 5, 60); /* 25 by chance */
    tw_sampler_free(f->sampler);
}

static void a_bias_is_added_before_everything_else(void **state)
{
    (void)state;
    const struct tw_logit_bias biases[] = {{2, 5.0f}, {0, -100.0f}};
    struct fixture *f = fixture_of(4, (float[]){9, 3, 0, 2});
    f->params.biases = biases;
    f->params.n_biases = 2;
    assert_int_equal(greedy(f), 2);
    f->params.temperature = 1.0;
    assert_int_equal(drawn_set(f, 3000) & 1, 0);
    tw_sampler_free(f->sampler);
}

static void the_repetition_penalty_divides_positive_and_multiplies_negative_logits(void **state)
{
    (void)state;
    static const tw_token history[] = {0};
    struct fixture *f = fixture_of(3, (float[]){4.0f, 2.5f, -9.0f});
    f->history =
        (struct tw_sampler_history){.tokens = history, .n_tokens = 1, .n_prompt_tokens = 1};
    f->params.repetition_penalty = 1.5; /* 4 / 1.5 = 2.67 is still best */
    assert_int_equal(greedy(f), 0);
    f->params.repetition_penalty = 1.7; /* 2.35 is not */
    assert_int_equal(greedy(f), 1);
    memcpy(f->logits, (float[]){-2.0f, -3.0f, -9.0f}, 3 * sizeof(float));
    f->params.repetition_penalty = 1.4; /* -2.8 */
    assert_int_equal(greedy(f), 0);
    f->params.repetition_penalty = 1.6; /* -3.2 */
    assert_int_equal(greedy(f), 1);
    tw_sampler_free(f->sampler);
}

static void frequency_counts_each_use_and_presence_counts_once(void **state)
{
    (void)state;
    static const tw_token history[] = {1, 0, 0, 0};
    struct fixture *f = fixture_of(3, (float[]){4.0f, 3.1f, 0.0f});
    f->history = (struct tw_sampler_history){.tokens = history, .n_tokens = 4};
    f->params.frequency_penalty = 0.4; /* 4 - 1.2 = 2.8 and 3.1 - 0.4 = 2.7 */
    assert_int_equal(greedy(f), 0);
    f->params.frequency_penalty = 0.5; /* 2.5 and 2.6 */
    assert_int_equal(greedy(f), 1);
    f->params.frequency_penalty = 0.0;
    f->params.presence_penalty = 3.5; /* 0.5 and -0.4 and 0 */
    assert_int_equal(greedy(f), 0);
    f->params.presence_penalty = 4.5; /* -0.5 and -1.4 and 0 */
    assert_int_equal(greedy(f), 2);
    tw_sampler_free(f->sampler);
}

static void the_prompt_counts_for_repetition_only(void **state)
{
    (void)state;
    static const tw_token history[] = {0, 0, 0, 0};
    struct fixture *f = fixture_of(2, (float[]){4.0f, 3.0f});
    f->history =
        (struct tw_sampler_history){.tokens = history, .n_tokens = 4, .n_prompt_tokens = 4};
    f->params.frequency_penalty = 2.0;
    f->params.presence_penalty = 2.0;
    assert_int_equal(greedy(f), 0);
    f->history.n_prompt_tokens = 3;
    assert_int_equal(greedy(f), 1);
    tw_sampler_free(f->sampler);
}

static void repeat_last_n_forgets_what_is_further_back(void **state)
{
    (void)state;
    static const tw_token history[] = {0, 2, 2};
    struct fixture *f = fixture_of(3, (float[]){4.0f, 3.0f, 1.0f});
    f->history = (struct tw_sampler_history){.tokens = history, .n_tokens = 3};
    f->params.repetition_penalty = 2.0;
    assert_int_equal(greedy(f), 1);
    f->params.repeat_last_n = 2;
    assert_int_equal(greedy(f), 0);
    tw_sampler_free(f->sampler);
}

static void penalties_leave_nothing_behind_for_the_next_call(void **state)
{
    (void)state;
    static const tw_token history[] = {0, 0, 7, -1, 1000};
    struct fixture *f = fixture_of(3, (float[]){4.0f, 3.0f, 1.0f});
    f->history = (struct tw_sampler_history){.tokens = history, .n_tokens = 5};
    f->params.presence_penalty = 2.0;
    assert_int_equal(greedy(f), 1);
    f->history.n_tokens = 0;
    assert_int_equal(greedy(f), 0);
    tw_sampler_free(f->sampler);
}

static void logprobs_are_those_of_the_unmodified_row_and_sum_to_one(void **state)
{
    (void)state;
    const struct tw_logit_bias bias = {3, 50.0f};
    static const float logits[] = {0.5f, 2.0f, 2.0f, -1.0f, 0.0f};
    double probabilities[5];
    exact_softmax(logits, 5, 1.0, probabilities);
    struct fixture *f = fixture_of(5, logits);
    f->params.temperature = 0.3;
    f->params.top_k = 2;
    f->params.biases = &bias;
    f->params.n_biases = 1;
    f->params.n_top_logprobs = 5;
    struct tw_sample sample = sample_at(f, 0);
    assert_int_equal(sample.token, 3);
    assert_true(fabs((double)sample.logprob - log(probabilities[3])) < 1e-6);
    assert_int_equal(sample.n_top, 5);
    static const tw_token order[] = {1, 2, 0, 4, 3};
    double sum = 0.0;
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(sample.top[i].token, order[i]);
        assert_true(fabs((double)sample.top[i].logprob - log(probabilities[order[i]])) < 1e-6);
        sum += exp((double)sample.top[i].logprob);
    }
    assert_true(fabs(sum - 1.0) < 1e-6);
    struct tw_sample alone;
    assert_int_equal(tw_sampler_score(f->sampler, logits, 3, 5, &alone, NULL), TW_OK);
    assert_true(alone.logprob == sample.logprob);
    assert_int_equal(alone.n_top, 5);
    assert_memory_equal(alone.top, sample.top, 5 * sizeof alone.top[0]);
    tw_sampler_free(f->sampler);
}

static void a_smaller_vocabulary_than_top_logprobs_gives_what_there_is(void **state)
{
    (void)state;
    struct fixture *f = fixture_of(3, (float[]){1, 2, -INFINITY});
    f->params.n_top_logprobs = TW_LIMIT_TOP_LOGPROBS;
    assert_int_equal(sample_at(f, 0).n_top, 2);
    tw_sampler_free(f->sampler);
}

static void broken_logits_are_never_drawn_and_never_crash(void **state)
{
    (void)state;
    struct fixture *f = fixture_of(6, (float[]){NAN, 1.0f, -INFINITY, 0.5f, NAN, 0.0f});
    for (int form = 0; form < 8; form++) {
        f->params.temperature = 1.0;
        f->params.top_k = form & 1 ? 5 : 0;
        f->params.top_p = form & 2 ? 0.99999 : 1.0;
        f->params.min_p = form & 4 ? 1e-9 : 0.0;
        f->params.n_top_logprobs = 3;
        assert_int_equal(drawn_set(f, 2000), 0x2a);
        assert_int_equal(greedy(f), 1);
    }
    f->logits[4] = INFINITY;
    assert_int_equal(greedy(f), 4);
    f->params.temperature = 1.0;
    assert_int_equal(drawn_set(f, 500), 0x10);
    tw_sampler_free(f->sampler);
}

static void a_row_without_any_number_is_an_error(void **state)
{
    (void)state;
    struct fixture *f = fixture_of(3, (float[]){NAN, -INFINITY, NAN});
    struct tw_sample sample = {.token = 77};
    struct tw_error error;
    for (int form = 0; form < 4; form++) {
        f->params.temperature = form & 1 ? 1.0 : 0.0;
        f->params.want_logprobs = (form & 2) != 0;
        assert_int_equal(
            tw_sampler_sample(f->sampler, f->logits, &f->params, &f->history, &sample, &error),
            TW_ERR_FORMAT);
        assert_int_equal(sample.token, 77);
    }
    tw_sampler_free(f->sampler);
}

static void extreme_logits_and_temperatures_stay_in_the_vocabulary(void **state)
{
    (void)state;
    struct fixture *f = fixture_of(5, (float[]){FLT_MAX, -FLT_MAX, 1e30f, -1e-40f, 0.0f});
    for (int i = 0; i < 4; i++) {
        f->params.temperature = (double[]){2e-5, 0.01, 1.0, 100.0}[i];
        assert_int_equal(drawn_set(f, 200), 0x01);
    }
    f->logits[0] = -FLT_MAX;
    f->logits[2] = 1.0f;
    f->params.top_k = 5;
    assert_int_equal(drawn_set(f, 2000), 0x1c);
    tw_sampler_free(f->sampler);
}

static void parameters_out_of_range_are_named(void **state)
{
    (void)state;
    const struct tw_logit_bias outside = {8, 1.0f}, infinite = {1, INFINITY};
    struct tw_sampler_params bad[9];
    for (size_t i = 0; i < 9; i++) {
        bad[i] = tw_sampler_defaults();
    }
    bad[0].temperature = -0.1;
    bad[1].temperature = NAN;
    bad[2].top_p = 1.1;
    bad[3].min_p = -1.0;
    bad[4].repetition_penalty = 0.0;
    bad[5].presence_penalty = INFINITY;
    bad[6].n_top_logprobs = TW_LIMIT_TOP_LOGPROBS + 1;
    bad[7].biases = &outside;
    bad[7].n_biases = 1;
    bad[8].biases = &infinite;
    bad[8].n_biases = 1;
    for (size_t i = 0; i < 9; i++) {
        struct tw_error error;
        assert_int_equal(tw_sampler_check(&bad[i], 8, &error), TW_ERR_USAGE);
        assert_true(strlen(error.text) > 10);
    }
}

static void what_is_not_admissible_is_never_chosen_whatever_its_bias(void **state)
{
    (void)state;
    static float logits[200];
    struct tw_logit_bias bias = {130, 100.0f};
    uint64_t admissible[4] = {0, 1ull << 6 | 1ull << 40, 1ull << 3, UINT64_MAX << 8};
    for (size_t i = 0; i < 200; i++) {
        logits[i] = (float)(i % 7);
    }
    struct fixture *f = fixture_of(200, logits);
    f->params.biases = &bias;
    f->params.n_biases = 1;
    f->history.admissible = admissible;
    int n_seen[200] = {0};
    for (uint64_t i = 0; i < 2000; i++) {
        n_seen[sample_at(f, i).token]++;
    }
    assert_int_equal(n_seen[70] + n_seen[104] + n_seen[131], 2000);
    assert_true(n_seen[70] > 0 && n_seen[104] > 0 && n_seen[131] > 0);
    assert_int_equal(greedy(f), 104); /* 104 % 7 is 6, the others' less */
    tw_sampler_free(f->sampler);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greedy_takes_the_lowest_of_equal_tokens),
        cmocka_unit_test(a_temperature_of_almost_zero_is_greedy),
        cmocka_unit_test(draws_follow_the_exact_softmax),
        cmocka_unit_test(draws_follow_the_exact_softmax_over_several_chunks),
        cmocka_unit_test(filtered_draws_follow_the_renormalised_softmax),
        cmocka_unit_test(top_k_keeps_exactly_k_and_of_equal_ones_the_lowest),
        cmocka_unit_test(top_p_keeps_the_shortest_list_that_reaches_its_share),
        cmocka_unit_test(top_p_takes_its_share_of_what_top_k_left),
        cmocka_unit_test(top_p_among_equal_tokens_keeps_the_lowest),
        cmocka_unit_test(min_p_is_a_share_of_the_best_probability),
        cmocka_unit_test(filters_cut_after_the_temperature),
        cmocka_unit_test(top_p_in_a_large_row_agrees_with_a_full_sort),
        cmocka_unit_test(the_random_number_depends_on_seed_and_position_alone),
        cmocka_unit_test(a_bias_is_added_before_everything_else),
        cmocka_unit_test(the_repetition_penalty_divides_positive_and_multiplies_negative_logits),
        cmocka_unit_test(frequency_counts_each_use_and_presence_counts_once),
        cmocka_unit_test(the_prompt_counts_for_repetition_only),
        cmocka_unit_test(repeat_last_n_forgets_what_is_further_back),
        cmocka_unit_test(what_is_not_admissible_is_never_chosen_whatever_its_bias),
        cmocka_unit_test(penalties_leave_nothing_behind_for_the_next_call),
        cmocka_unit_test(logprobs_are_those_of_the_unmodified_row_and_sum_to_one),
        cmocka_unit_test(a_smaller_vocabulary_than_top_logprobs_gives_what_there_is),
        cmocka_unit_test(broken_logits_are_never_drawn_and_never_crash),
        cmocka_unit_test(a_row_without_any_number_is_an_error),
        cmocka_unit_test(extreme_logits_and_temperatures_stay_in_the_vocabulary),
        cmocka_unit_test(parameters_out_of_range_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
