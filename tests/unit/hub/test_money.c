#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "hub/money.h"

__extension__ typedef unsigned __int128 wide;

enum { N_RANDOM = 200000 };

static uint64_t random_bits(uint64_t number)
{
    uint32_t r[4];
    tw_rng_block(17, number, r);
    return (uint64_t)r[0] << 32 | r[1];
}

/* Not negative, of any size. */
static int64_t random_count(uint64_t number)
{
    return (int64_t)(random_bits(2 * number) >> (1 + random_bits(2 * number + 1) % 63));
}

static void an_amount_is_read_as_written(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t nano;
    } amounts[] = {
        {"0", 0},
        {"-0", 0},
        {"12.50", 12500000000},
        {"0.000000001", 1},
        {"-0.000000001", -1},
        {"007", 7 * TW_MONEY_NANO},
        {"1.123456789", 1123456789},
        {"9223372036.854775807", INT64_MAX},
        {"-9223372036.854775808", INT64_MIN},
        {"00000000000000000000000000000000000000000000001.0", TW_MONEY_NANO},
    };
    for (size_t i = 0; i < sizeof amounts / sizeof *amounts; i++) {
        int64_t nano = 99;
        assert_int_equal(tw_money_parse(amounts[i].text, &nano, NULL), TW_OK);
        assert_int_equal(nano, amounts[i].nano);
    }
}

static void what_is_no_amount_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",     "-",         "+1",   ".5",           "5.",           "-.5",   "1,5",
        "1e3",  " 1",        "1 ",   "--1",          "0x10",         "1.2.3", "1_0",
        "EUR1", "1\xc2\xa0", "1.-2", "1.0000000000", "1.0000000001", "nan",
    };
    struct tw_error error;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int64_t nano = 99;
        assert_int_equal(tw_money_parse(bad[i], &nano, &error), TW_ERR_FORMAT);
        assert_int_equal(nano, 99);
    }
    static const char *const large[] = {"9223372036.854775808", "-9223372036.854775809",
                                        "10000000000", "99999999999999999999999999999999999999.5"};
    for (size_t i = 0; i < sizeof large / sizeof *large; i++) {
        int64_t nano = 99;
        assert_int_equal(tw_money_parse(large[i], &nano, &error), TW_ERR_LIMIT);
        assert_int_equal(nano, 99);
    }
    assert_string_equal(error.text, "'99999999999999999999999999999999999999.5' is no amount: "
                                    "amounts go to about 9.2 billion");
    tw_money_parse("12,50", &(int64_t){0}, &error);
    assert_string_equal(error.text, "'12,50' is no amount: write digits, with a point before "
                                    "decimals, such as 12.50");
}

static void an_amount_is_printed_as_short_as_it_goes(void **state)
{
    (void)state;
    static const struct {
        int64_t nano;
        const char *text;
    } amounts[] = {
        {0, "0"},
        {1, "0.000000001"},
        {-10, "-0.00000001"},
        {12500000000, "12.5"},
        {1000 * TW_MONEY_NANO, "1000"},
        {INT64_MIN, "-9223372036.854775808"},
        {INT64_MAX, "9223372036.854775807"},
    };
    char text[TW_MONEY_TEXT_BYTES];
    for (size_t i = 0; i < sizeof amounts / sizeof *amounts; i++) {
        tw_money_print(amounts[i].nano, text);
        assert_string_equal(text, amounts[i].text);
    }
}

static void what_is_printed_is_read_back(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < N_RANDOM; i++) {
        char text[TW_MONEY_TEXT_BYTES];
        const int64_t nano = (int64_t)random_bits(3 * i) >> (random_bits(3 * i + 1) % 64);
        int64_t again = 0;
        tw_money_print(nano, text);
        assert_int_equal(tw_money_parse(text, &again, NULL), TW_OK);
        assert_int_equal(again, nano);
    }
}

static void fixed_decimals_are_rounded_to_the_nearest(void **state)
{
    (void)state;
    static const struct {
        int64_t nano;
        int n_decimals;
        const char *text;
    } amounts[] = {
        {12500000000, 2, "12.50"},    {12345000000, 2, "12.35"},
        {12344999999, 2, "12.34"},    {-12345000000, 2, "-12.35"},
        {-4999999, 2, "0.00"},        {-5000000, 2, "-0.01"},
        {999999999, 2, "1.00"},       {500000000, 0, "1"},
        {499999999, 0, "0"},          {1, 9, "0.000000001"},
        {7, 8, "0.00000001"},         {INT64_MIN, 9, "-9223372036.854775808"},
        {INT64_MAX, 0, "9223372037"}, {INT64_MIN, 1, "-9223372036.9"},
    };
    char text[TW_MONEY_TEXT_BYTES];
    for (size_t i = 0; i < sizeof amounts / sizeof *amounts; i++) {
        tw_money_print_fixed(amounts[i].nano, amounts[i].n_decimals, text);
        assert_string_equal(text, amounts[i].text);
    }
}

static void a_currency_is_three_capital_letters(void **state)
{
    (void)state;
    assert_true(tw_money_is_currency("EUR"));
    assert_true(tw_money_is_currency("USD"));
    static const char *const bad[] = {"", "EU", "EURO", "eur", "E1R", "EU ", "\xc3\x84Q"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(tw_money_is_currency(bad[i]));
    }
}

static void a_cost_is_the_sum_rounded_up_once(void **state)
{
    (void)state;
    int64_t nano = 0;
    /* A third of a nano-unit three times is one, not three. */
    const struct tw_money_prices prices = {333333, 333333, 333334};
    const struct tw_token_counts one_each = {1, 1, 1};
    assert_int_equal(tw_money_cost(&one_each, &prices, &nano, NULL), TW_OK);
    assert_int_equal(nano, 1);
    const struct tw_token_counts more = {1, 1, 2};
    assert_int_equal(tw_money_cost(&more, &prices, &nano, NULL), TW_OK);
    assert_int_equal(nano, 2);
    const struct tw_token_counts none = {0};
    assert_int_equal(tw_money_cost(&none, &prices, &nano, NULL), TW_OK);
    assert_int_equal(nano, 0);
    /* 2.50 a million input, 1.25 cached, 10 output. */
    const struct tw_money_prices usual = {2500000000, 1250000000, 10000000000};
    const struct tw_token_counts request = {1200, 800, 345};
    assert_int_equal(tw_money_cost(&request, &usual, &nano, NULL), TW_OK);
    assert_int_equal(nano, 3000000 + 1000000 + 3450000);
}

static void a_cost_is_what_128_bits_say(void **state)
{
    (void)state;
    int n_refused = 0;
    for (uint64_t i = 0; i < N_RANDOM; i++) {
        const struct tw_token_counts counts = {random_count(9 * i), random_count(9 * i + 1),
                                               random_count(9 * i + 2)};
        const struct tw_money_prices prices = {random_count(9 * i + 3), random_count(9 * i + 4),
                                               random_count(9 * i + 5)};
        const wide sum = (wide)counts.input * (wide)prices.input_nano +
                         (wide)counts.cached * (wide)prices.cached_nano +
                         (wide)counts.output * (wide)prices.output_nano;
        const wide expected = sum / 1000000 + (sum % 1000000 != 0);
        int64_t nano = -7;
        const enum tw_status status = tw_money_cost(&counts, &prices, &nano, NULL);
        if (expected > INT64_MAX) {
            assert_int_equal(status, TW_ERR_LIMIT);
            assert_int_equal(nano, -7);
            n_refused++;
        } else {
            assert_int_equal(status, TW_OK);
            assert_true((wide)nano == expected);
        }
    }
    assert_in_range(n_refused, N_RANDOM / 20, N_RANDOM / 20 * 19);
    const struct tw_token_counts most_counts = {INT64_MAX, INT64_MAX, INT64_MAX};
    const struct tw_money_prices most_prices = {INT64_MAX, INT64_MAX, INT64_MAX};
    assert_int_equal(tw_money_cost(&most_counts, &most_prices, &(int64_t){0}, NULL), TW_ERR_LIMIT);
}

static void negative_counts_and_prices_are_refused(void **state)
{
    (void)state;
    const struct tw_money_prices good = {1, 1, 1};
    const struct tw_token_counts fine = {1, 1, 1};
    int64_t nano = 5;
    for (int i = 0; i < 3; i++) {
        int64_t values[3] = {1, 1, 1};
        values[i] = -1;
        const struct tw_money_prices prices = {values[0], values[1], values[2]};
        const struct tw_token_counts counts = {values[0], values[1], values[2]};
        assert_int_equal(tw_money_cost(&fine, &prices, &nano, NULL), TW_ERR_FORMAT);
        assert_int_equal(tw_money_cost(&counts, &good, &nano, NULL), TW_ERR_FORMAT);
        assert_int_equal(tw_money_worst_cost(&prices, 1, 1, 1, &nano, NULL), TW_ERR_FORMAT);
        assert_int_equal(tw_money_most_output(&prices, 1, 1, 100), -1);
    }
    assert_int_equal(tw_money_worst_cost(&good, -1, 1, 1, &nano, NULL), TW_ERR_FORMAT);
    assert_int_equal(tw_money_worst_cost(&good, 1, 0, 1, &nano, NULL), TW_ERR_FORMAT);
    assert_int_equal(tw_money_worst_cost(&good, 1, 1, -1, &nano, NULL), TW_ERR_FORMAT);
    assert_int_equal(nano, 5);
}

static void the_most_output_is_the_largest_that_can_be_paid(void **state)
{
    (void)state;
    int n_paid = 0, n_refused = 0, n_countless = 0;
    for (uint64_t i = 0; i < N_RANDOM; i++) {
        const struct tw_money_prices prices = {
            random_count(9 * i), random_count(9 * i + 1),
            i % 50 == 0 ? 0 : random_count(9 * i + 2) >> (random_bits(9 * i + 8) % 40)};
        const int64_t prompt = random_count(9 * i + 3) >> 30;
        const int64_t n_answers = 1 + (random_count(9 * i + 4) >> (i % 2 * 56));
        const int64_t amount = random_count(9 * i + 5);
        const int64_t most = tw_money_most_output(&prices, prompt, n_answers, amount);
        int64_t cost = 0, more = 0;
        if (most < 0) {
            const enum tw_status status =
                tw_money_worst_cost(&prices, prompt, n_answers, 0, &cost, NULL);
            assert_true(status == TW_ERR_LIMIT || cost > amount);
            n_refused++;
            continue;
        }
        assert_int_equal(tw_money_worst_cost(&prices, prompt, n_answers, most, &cost, NULL), TW_OK);
        assert_true(cost <= amount);
        n_paid++;
        if (most == INT64_MAX / n_answers) { /* more cannot be counted */
            n_countless++;
            continue;
        }
        const enum tw_status status =
            tw_money_worst_cost(&prices, prompt, n_answers, most + 1, &more, NULL);
        assert_true(status == TW_ERR_LIMIT || more > amount);
    }
    assert_true(n_paid > N_RANDOM / 10 && n_refused > N_RANDOM / 10);
    assert_true(n_countless > 0 && n_countless < n_paid / 2);
    const struct tw_money_prices free_output = {5, 9, 0};
    assert_int_equal(tw_money_most_output(&free_output, 10, 4, 1), INT64_MAX / 4);
    assert_int_equal(tw_money_most_output(&free_output, 10, 4, -1), -1);
}

static void the_worst_cost_is_never_less_than_the_cost(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < N_RANDOM; i++) {
        const struct tw_money_prices prices = {random_count(9 * i) >> 20,
                                               random_count(9 * i + 1) >> 20,
                                               random_count(9 * i + 2) >> 20};
        const int64_t prompt = random_count(9 * i + 3) >> 40, most = random_count(9 * i + 4) >> 40;
        const int64_t n_answers = 1 + random_count(9 * i + 5) % 128;
        const struct tw_token_counts counts = {
            .input = prompt / 3, .cached = prompt - prompt / 3, .output = n_answers * most};
        int64_t worst = 0, cost = 0;
        assert_int_equal(tw_money_worst_cost(&prices, prompt, n_answers, most, &worst, NULL),
                         TW_OK);
        assert_int_equal(tw_money_cost(&counts, &prices, &cost, NULL), TW_OK);
        assert_true(cost <= worst);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_amount_is_read_as_written),
        cmocka_unit_test(what_is_no_amount_is_refused),
        cmocka_unit_test(an_amount_is_printed_as_short_as_it_goes),
        cmocka_unit_test(what_is_printed_is_read_back),
        cmocka_unit_test(fixed_decimals_are_rounded_to_the_nearest),
        cmocka_unit_test(a_currency_is_three_capital_letters),
        cmocka_unit_test(a_cost_is_the_sum_rounded_up_once),
        cmocka_unit_test(a_cost_is_what_128_bits_say),
        cmocka_unit_test(negative_counts_and_prices_are_refused),
        cmocka_unit_test(the_most_output_is_the_largest_that_can_be_paid),
        cmocka_unit_test(the_worst_cost_is_never_less_than_the_cost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
