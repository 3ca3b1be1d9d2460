#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"
#include "engine/cutoff.h"
#include "engine/softmax.h"

enum { MOST = 700 };

struct fixture {
    float logits[MOST], weights[MOST];
    double sums[TW_SOFTMAX_CHUNKS(MOST)];
    struct tw_candidate candidates[MOST], sorted[MOST];
    uint32_t near[MOST];
    struct tw_cutoff_workspace workspace;
    struct tw_cutoff_row row;
    size_t n_positive; /* tokens of weight above 0, which come first when sorted */
};

static struct fixture f;

static void weigh(size_t n, float temperature)
{
    f.row = (struct tw_cutoff_row){
        .logits = f.logits,
        .weights = f.weights,
        .n = n,
        .max = tw_softmax_ref.max(f.logits, n),
        .inverse_temperature = 1.0f / temperature,
        .softmax = &tw_softmax_ref,
    };
    f.row.total = tw_softmax_ref.weights(f.logits, n, f.row.max, f.row.inverse_temperature, 0.0f,
                                         f.weights, f.sums);
    f.workspace.candidates = f.candidates;
    f.workspace.near = f.near;
    size_t n_sorted = tw_select_top(f.logits, n, n, f.sorted);
    f.n_positive = 0;
    while (f.n_positive < n_sorted && f.weights[f.sorted[f.n_positive].token] > 0.0f) {
        f.n_positive++;
    }
}

/* How many of the sorted tokens are kept, by the definition. Sums in another order may differ in
 * the last bits: *ret_near says that the share was met within that. */
static size_t kept_by_definition(uint32_t top_k, double top_p, bool *ret_near)
{
    size_t n = top_k != 0 && top_k < f.n_positive ? top_k : f.n_positive;
    double total = 0.0, mass = 0.0;
    for (size_t i = 0; i < n; i++) {
        total += (double)f.weights[f.sorted[i].token];
    }
    size_t kept = 0;
    do {
        mass += (double)f.weights[f.sorted[kept++].token];
        if (fabs(mass - top_p * total) < 1e-12 * total) {
            *ret_near = true;
        }
    } while (kept < n && mass < top_p * total);
    return kept;
}

static void assert_cut(uint32_t top_k, double top_p)
{
    bool near = false;
    size_t kept = kept_by_definition(top_k, top_p, &near);
    struct tw_candidate last = tw_cutoff_find(&f.row, top_k, top_p, &f.workspace);
    if (!near) {
        assert_int_equal(last.token, f.sorted[kept - 1].token);
        assert_true(last.value == f.sorted[kept - 1].value);
    }
}

static void assert_every_cut(size_t n)
{
    static const double shares[] = {0.0, 1e-9, 0.1, 0.5, 0.9, 0.95, 0.999, 0.9999999};
    for (size_t i = 0; i < sizeof shares / sizeof shares[0]; i++) {
        assert_cut(0, shares[i]);
        for (uint32_t k = 1; k < n + 2; k += 1 + k / 3) {
            assert_cut(k, shares[i]);
            assert_cut(k, 1.0);
        }
    }
}

static void cuts_are_those_of_a_full_sort(void **state)
{
    (void)state;
    static const float temperatures[] = {0.01f, 0.5f, 1.0f, 3.0f, 100.0f};
    for (size_t t = 0; t < sizeof temperatures / sizeof temperatures[0]; t++) {
        for (size_t n = 1; n <= MOST; n = n * 3 + 1) {
            for (size_t i = 0; i < n; i++) {
                f.logits[i] = (float)(3.0 * tw_rng_normal(n, i));
            }
            weigh(n, temperatures[t]);
            assert_every_cut(n);
        }
    }
}

static void ties_are_cut_at_the_lowest_tokens(void **state)
{
    (void)state;
    for (uint32_t n_values = 1; n_values <= 9; n_values += 4) {
        for (size_t i = 0; i < 300; i++) {
            uint32_t words[4];
            tw_rng_block(n_values, i, words);
            f.logits[i] = words[1] % 10 == 0 ? -INFINITY : (float)(words[0] % n_values);
        }
        weigh(300, 1.0f);
        assert_every_cut(300);
    }
}

static void one_token_far_above_the_others_is_kept_alone(void **state)
{
    (void)state;
    for (size_t i = 0; i < 50; i++) {
        f.logits[i] = i == 17 ? 1e30f : -1e30f;
    }
    weigh(50, 1.0f);
    assert_int_equal(f.n_positive, 1);
    assert_int_equal(tw_cutoff_find(&f.row, 40, 1.0, &f.workspace).token, 17);
    assert_int_equal(tw_cutoff_find(&f.row, 0, 0.999, &f.workspace).token, 17);
    assert_int_equal(tw_cutoff_find(&f.row, 40, 0.999, &f.workspace).token, 17);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cuts_are_those_of_a_full_sort),
        cmocka_unit_test(ties_are_cut_at_the_lowest_tokens),
        cmocka_unit_test(one_token_far_above_the_others_is_kept_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
