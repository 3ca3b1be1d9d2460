#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/rng.h"

/* The known answers that the generator's authors publish for philox4x32 with 10 rounds. */
static const struct {
    uint32_t counter[4], key[2], words[4];
} published[] = {
    {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
    {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
     {0xffffffff, 0xffffffff},
     {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
    {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
     {0xa4093822, 0x299f31d0},
     {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
};

static void the_generator_gives_the_published_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof published / sizeof published[0]; i++) {
        uint32_t words[4];
        tw_rng_philox(published[i].counter, published[i].key, words);
        assert_memory_equal(words, published[i].words, sizeof words);
    }
}

static void seed_and_counter_use_all_their_bits(void **state)
{
    (void)state;
    uint32_t base[4], other[4];
    tw_rng_block(0, 0, base);
    assert_memory_equal(base, published[0].words, sizeof base);
    for (int bit = 0; bit < 64; bit++) {
        tw_rng_block(UINT64_C(1) << bit, 0, other);
        assert_memory_not_equal(base, other, sizeof base);
        tw_rng_block(0, UINT64_C(1) << bit, other);
        assert_memory_not_equal(base, other, sizeof base);
    }
}

static void uniform_numbers_stay_below_one_and_fill_the_interval(void **state)
{
    (void)state;
    enum { N = 100000, BINS = 10 };
    int bins[BINS] = {0};
    for (uint64_t i = 0; i < N; i++) {
        double u = tw_rng_uniform(7, i);
        assert_true(u >= 0 && u < 1);
        assert_true(u == tw_rng_uniform(7, i));
        bins[(int)(u * BINS)]++;
    }
    for (int i = 0; i < BINS; i++) {
        assert_in_range(bins[i], N / BINS - 500, N / BINS + 500); /* five standard deviations */
    }
}

static void normal_numbers_have_mean_zero_deviation_one_and_tails(void **state)
{
    (void)state;
    enum { N = 200000 };
    double sum = 0, squares = 0, fourth = 0;
    for (uint64_t i = 0; i < N; i++) {
        double x = tw_rng_normal(3, i);
        assert_true(isfinite(x));
        sum += x;
        squares += x * x;
        fourth += x * x * x * x;
    }
    assert_true(fabs(sum / N) < 0.012);
    assert_true(fabs(squares / N - 1) < 0.02);
    assert_true(fabs(fourth / N - 3) < 0.15);
}

static void two_system_seeds_differ(void **state)
{
    (void)state;
    assert_int_not_equal(tw_rng_system_seed(), tw_rng_system_seed());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_generator_gives_the_published_answers),
        cmocka_unit_test(seed_and_counter_use_all_their_bits),
        cmocka_unit_test(uniform_numbers_stay_below_one_and_fill_the_interval),
        cmocka_unit_test(normal_numbers_have_mean_zero_deviation_one_and_tails),
        cmocka_unit_test(two_system_seeds_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
