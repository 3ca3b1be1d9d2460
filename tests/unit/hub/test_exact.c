#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdint.h>

#include "hub/exact.h"

static void assert_text(struct tw_exact value, const char *expected)
{
    char text[TW_EXACT_TEXT_BYTES];
    tw_exact_write_short(&value, text);
    assert_string_equal(text, expected);
}

static void an_amount_has_as_many_digits_as_it_needs_and_at_least_two(void **state)
{
    (void)state;
    assert_text((struct tw_exact){0, 0}, "0.00");
    assert_text(tw_exact_of_nano(1500000000), "1.50");
    assert_text(tw_exact_of_nano(1), "0.000000001");
    assert_text((struct tw_exact){0, 1}, "0.000000000000001");
    assert_text((struct tw_exact){12345678901, 234560}, "12.34567890123456");
    assert_text((struct tw_exact){INT64_MAX, 999999}, "9223372036.854775807999999");
    char text[TW_EXACT_TEXT_BYTES];
    const struct tw_exact half = tw_exact_of_nano(500000000);
    tw_exact_write(&half, 9, text);
    assert_string_equal(text, "0.500000000");
}

static void what_tokens_cost_is_exact_to_the_fifteenth_digit(void **state)
{
    (void)state;
    struct tw_exact cost;
    assert_int_equal(tw_exact_cost(1, 1, &cost, NULL), TW_OK);
    assert_text(cost, "0.000000000000001");
    assert_int_equal(tw_exact_cost(999999, 1000001, &cost, NULL), TW_OK);
    assert_int_equal(cost.nano, 999999);
    assert_int_equal(cost.millionths, 999999);
    assert_int_equal(tw_exact_cost(INT64_MAX, 1000000, &cost, NULL), TW_OK);
    assert_int_equal(cost.nano, INT64_MAX);
    assert_int_equal(tw_exact_cost(0, INT64_MAX, &cost, NULL), TW_OK);
    assert_text(cost, "0.00");
}

static void what_does_not_fit_or_is_below_zero_is_an_error(void **state)
{
    (void)state;
    struct tw_exact cost = {7, 7};
    assert_int_equal(tw_exact_cost(INT64_MAX, 1000001, &cost, NULL), TW_ERR_LIMIT);
    assert_int_equal(tw_exact_cost(-1, 5, &cost, NULL), TW_ERR_FORMAT);
    assert_int_equal(tw_exact_cost(5, -1, &cost, NULL), TW_ERR_FORMAT);
    assert_int_equal(cost.nano, 7);
    struct tw_exact sum = {INT64_MAX, 999999};
    const struct tw_exact least = {0, 1};
    assert_int_equal(tw_exact_add(&sum, &least, NULL), TW_ERR_LIMIT);
    assert_int_equal(sum.millionths, 999999);
}

static void sums_carry_and_rests_borrow(void **state)
{
    (void)state;
    struct tw_exact sum = {1, 999999}, rest;
    const struct tw_exact part = {2, 3};
    assert_int_equal(tw_exact_add(&sum, &part, NULL), TW_OK);
    assert_int_equal(sum.nano, 4);
    assert_int_equal(sum.millionths, 2);
    assert_int_equal(tw_exact_rest(&sum, &part, &rest, NULL), TW_OK);
    assert_int_equal(rest.nano, 1);
    assert_int_equal(rest.millionths, 999999);
    assert_int_equal(tw_exact_rest(&part, &sum, &rest, NULL), TW_ERR_FORMAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_amount_has_as_many_digits_as_it_needs_and_at_least_two),
        cmocka_unit_test(what_tokens_cost_is_exact_to_the_fifteenth_digit),
        cmocka_unit_test(what_does_not_fit_or_is_below_zero_is_an_error),
        cmocka_unit_test(sums_carry_and_rests_borrow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
