#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"
#include "engine/selection.h"
#include "engine/softmax.h"

/* The weight of a logit below a best of 0. */
static float exp_of(float x)
{
    float weight;
    double sum;
    tw_softmax_ref.weights(&x, 1, 0.0f, 1.0f, 0.0f, &weight, &sum);
    return weight;
}

static void the_exponential_is_right_to_a_few_units_in_the_last_place(void **state)
{
    (void)state;
    double worst = 0.0;
    for (double x = -86.9; x <= 0.0; x += 1e-4) {
        double exact = exp((double)(float)x);
        worst = fmax(worst, fabs((double)exp_of((float)x) - exact) / exact);
    }
    assert_true(worst < 4.0 * (double)FLT_EPSILON);
    assert_true(exp_of(0.0f) == 1.0f);
    assert_true(exp_of(-0.0f) == 1.0f);
    assert_true(exp_of(-INFINITY) == 0.0f);
    assert_true(exp_of(-FLT_MAX) == 0.0f);
    assert_true(exp_of(-88.0f) == 0.0f);
}

static void weights_add_up_across_chunks_of_every_length(void **state)
{
    (void)state;
    static float logits[3100], weights[3100];
    double sums[TW_SOFTMAX_CHUNKS(3100)];
    for (size_t i = 0; i < 3100; i++) {
        logits[i] = (float)tw_rng_normal(3, i);
    }
    for (size_t n = 1; n < 3100; n += 97) {
        float max = tw_softmax_ref.max(logits, n);
        double total = tw_softmax_ref.weights(logits, n, max, 1.0f, 0.0f, weights, sums);
        double expected = 0.0, of_chunks = 0.0;
        float best = 0.0f;
        for (size_t i = 0; i < n; i++) {
            expected += exp((double)logits[i] - (double)max);
            best = fmaxf(best, weights[i]);
        }
        for (size_t i = 0; i < TW_SOFTMAX_CHUNKS(n); i++) {
            of_chunks += sums[i];
        }
        assert_true(fabs(total / expected - 1.0) < 1e-6);
        assert_true(of_chunks == total);
        assert_true(best == 1.0f);
    }
}

static void cleaning_leaves_numbers_alone(void **state)
{
    (void)state;
    const float in[] = {NAN, INFINITY, -INFINITY, FLT_MAX, -FLT_MAX, 0.0f, 1e-42f, -NAN};
    float out[8];
    tw_softmax_ref.clean(in, 8, out);
    assert_true(out[0] == -INFINITY && out[7] == -INFINITY && out[2] == -INFINITY);
    assert_true(out[1] == FLT_MAX && out[3] == FLT_MAX && out[4] == -FLT_MAX);
    assert_true(out[5] == 0.0f && out[6] == in[6]);
}

/* The row of a length, with what rows may hold put in at random. */
static void fill_row(float *logits, size_t n, uint64_t seed)
{
    static const float odd[] = {NAN, INFINITY, -INFINITY, FLT_MAX, -FLT_MAX, -0.0f};
    for (size_t i = 0; i < n; i++) {
        uint32_t words[4];
        tw_rng_block(seed, i, words);
        logits[i] = words[0] % 64 == 0 ? odd[words[1] % (sizeof odd / sizeof odd[0])]
                                       : (float)tw_rng_normal(seed, i) * 20.0f;
    }
}

static void every_instruction_set_gives_the_same_bits(void **state)
{
    (void)state;
    enum { MOST = 3000, N_CHUNKS = TW_SOFTMAX_CHUNKS(MOST) };
    static float row[MOST], clean[2][MOST], weights[2][MOST];
    static double sums[2][N_CHUNKS];
    static uint32_t found[2][MOST];
    for (size_t n = 1; n <= MOST; n += n < 70 ? 1 : 211) {
        fill_row(row, n, n);
        tw_softmax_ref.clean(row, n, clean[0]);
        const float max = tw_softmax_ref.max(clean[0], n);
        const size_t best = tw_softmax_ref.best(row, n);
        assert_true(best == n ? max == -INFINITY : clean[0][best] == max);
        if (max == -INFINITY) {
            continue;
        }
        double total = tw_softmax_ref.weights(clean[0], n, max, 0.7f, 1e-4f, weights[0], sums[0]);
        for (int level = TW_CPU_AVX2; level <= (int)tw_cpu_detect(); level++) {
            const struct tw_softmax *softmax = tw_softmax_of((enum tw_cpu_level)level);
            softmax->clean(row, n, clean[1]);
            assert_memory_equal(clean[0], clean[1], n * sizeof *row);
            assert_true(softmax->max(clean[1], n) == max && softmax->best(row, n) == best);
            assert_true(softmax->weights(clean[1], n, max, 0.7f, 1e-4f, weights[1], sums[1]) ==
                        total);
            assert_memory_equal(weights[0], weights[1], n * sizeof *row);
            assert_memory_equal(sums[0], sums[1], TW_SOFTMAX_CHUNKS(n) * sizeof **sums);
            assert_int_equal(softmax->gather(weights[1], n, 0.01f, found[1]),
                             tw_softmax_ref.gather(weights[0], n, 0.01f, found[0]));
            assert_memory_equal(found[0], found[1], sizeof found[0]);
        }
    }
}

static void all_weights_of_a_size_are_gathered(void **state)
{
    (void)state;
    float weights[200];
    uint32_t found[200];
    for (size_t n = 1; n <= 200; n++) {
        size_t n_expected = 0;
        for (size_t i = 0; i < n; i++) {
            uint32_t words[4];
            tw_rng_block(n, i, words);
            weights[i] = (float)(words[0] % 8) / 8.0f;
            n_expected += weights[i] >= 0.75f;
        }
        const size_t n_found = tw_softmax_of(tw_cpu_detect())->gather(weights, n, 0.75f, found);
        assert_int_equal(n_found, n_expected);
        for (size_t i = 0; i < n_found; i++) {
            assert_true(weights[found[i]] >= 0.75f && (i == 0 || found[i] > found[i - 1]));
        }
    }
}

static void the_best_is_the_first_of_equals(void **state)
{
    (void)state;
    float row[40];
    for (size_t at = 0; at < 40; at++) {
        for (size_t i = 0; i < 40; i++) {
            row[i] = i < at ? -1.0f : i % 3 == 0 || i == at ? 2.0f : 1.0f;
        }
        assert_int_equal(tw_softmax_of(tw_cpu_detect())->best(row, 40), at);
    }
    const float nothing[] = {NAN, -INFINITY};
    assert_int_equal(tw_softmax_of(tw_cpu_detect())->best(nothing, 2), 2);
}

static void the_selected_tokens_are_those_of_a_full_sort(void **state)
{
    (void)state;
    float values[300];
    struct tw_candidate best[300], all[300];
    for (size_t k = 1; k <= 300; k += 13) {
        for (size_t i = 0; i < 300; i++) { /* few distinct values: many ties */
            uint32_t words[4];
            tw_rng_block(k, i, words);
            values[i] = words[0] % 50 == 0 ? -INFINITY : (float)(words[1] % 23);
            all[i] = (struct tw_candidate){values[i], (tw_token)i};
        }
        size_t n_best = tw_select_top(values, 300, k, best);
        size_t n_left = 300;
        tw_select_order(all, 300);
        for (size_t i = 0; i < n_best; i++) {
            struct tw_candidate next = tw_select_next(all, &n_left);
            assert_int_equal(next.token, best[i].token);
            assert_int_equal(n_left, 300 - i - 1);
            if (i > 0) {
                assert_true(
                    best[i].value < best[i - 1].value ||
                    (best[i].value == best[i - 1].value && best[i].token > best[i - 1].token));
            }
            for (size_t j = 0; j < 300 && i + 1 == n_best && n_best == k; j++) {
                bool better = values[j] > best[i].value ||
                              (values[j] == best[i].value && (tw_token)j < best[i].token);
                bool found = false;
                for (size_t m = 0; m < i; m++) {
                    found |= best[m].token == (tw_token)j;
                }
                assert_int_equal(better, found);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_exponential_is_right_to_a_few_units_in_the_last_place),
        cmocka_unit_test(weights_add_up_across_chunks_of_every_length),
        cmocka_unit_test(cleaning_leaves_numbers_alone),
        cmocka_unit_test(every_instruction_set_gives_the_same_bits),
        cmocka_unit_test(all_weights_of_a_size_are_gathered),
        cmocka_unit_test(the_best_is_the_first_of_equals),
        cmocka_unit_test(the_selected_tokens_are_those_of_a_full_sort),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
