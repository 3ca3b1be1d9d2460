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

static void the_exponential_is_right_to_a_few_units_in_the_last_place(void **state)
{
    (void)state;
    double worst = 0.0;
    for (double x = -86.9; x <= 0.0; x += 1e-4) {
        double exact = exp((double)(float)x);
        worst = fmax(worst, fabs((double)tw_softmax_exp((float)x) - exact) / exact);
    }
    assert_true(worst < 4.0 * (double)FLT_EPSILON);
    assert_true(tw_softmax_exp(0.0f) == 1.0f);
    assert_true(tw_softmax_exp(-0.0f) == 1.0f);
    assert_true(tw_softmax_exp(-INFINITY) == 0.0f);
    assert_true(tw_softmax_exp(-FLT_MAX) == 0.0f);
    assert_true(tw_softmax_exp(-88.0f) == 0.0f);
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
        float max = tw_softmax_max(logits, n);
        double total = tw_softmax_weights(logits, n, max, 1.0f, 0.0f, weights, sums);
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
    tw_softmax_clean(in, 8, out);
    assert_true(out[0] == -INFINITY && out[7] == -INFINITY && out[2] == -INFINITY);
    assert_true(out[1] == FLT_MAX && out[3] == FLT_MAX && out[4] == -FLT_MAX);
    assert_true(out[5] == 0.0f && out[6] == in[6]);
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
        cmocka_unit_test(the_selected_tokens_are_those_of_a_full_sort),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
