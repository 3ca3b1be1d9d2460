#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdint.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

/* Sizes that the compiler cannot see, or it warns about the very misuse that is tested here. */
static volatile size_t huge = SIZE_MAX;

static void a_product_that_overflows_is_refused(void **state)
{
    (void)state;
    assert_null(tw_mem_alloc(huge, 2));
    assert_null(tw_mem_zalloc(huge / 4 + 1, 4));
    assert_null(tw_mem_alloc(huge / 2 + 1, 1));
    char *block = tw_mem_alloc(4, 1);
    memcpy(block, "abc", 4);
    assert_null(tw_mem_realloc(block, huge, 8));
    assert_string_equal(block, "abc"); /* the old block is still ours */
    tw_mem_free(block);
    assert_null(tw_mem_map(huge));
    assert_null(tw_mem_map(0));
}

static void zero_items_give_a_block_that_may_be_freed(void **state)
{
    (void)state;
    void *a = tw_mem_alloc(0, 8), *b = tw_mem_zalloc(0, 0);
    assert_non_null(a);
    assert_non_null(b);
    a = tw_mem_realloc(a, 0, 1);
    assert_non_null(a);
    tw_mem_free(a);
    tw_mem_free(b);
    tw_mem_free(NULL);
}

static void maps_are_zeroed_whole_and_aligned_as_promised(void **state)
{
    (void)state;
    static const size_t sizes[] = {1,        4096,           4097,   (2u << 20) - 1,
                                   2u << 20, (2u << 20) + 1, 9999999};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t n = sizes[i];
        unsigned char *block = tw_mem_map(n);
        assert_non_null(block);
        assert_int_equal((uintptr_t)block % (n >= (2u << 20) ? 2u << 20 : 4096), 0);
        assert_int_equal(block[0] | block[n / 2] | block[n - 1], 0);
        memset(block, 1, n);
        tw_mem_unmap(block, n);
    }
    tw_mem_unmap(NULL, 100);
}

static void a_copied_string_is_terminated(void **state)
{
    (void)state;
    char *copy = tw_mem_strndup("tokenworks", 5);
    assert_string_equal(copy, "token");
    tw_mem_free(copy);
    copy = tw_mem_strndup(NULL, 0);
    assert_string_equal(copy, "");
    tw_mem_free(copy);
}

static void the_clock_never_goes_back_and_the_calendar_is_ours(void **state)
{
    (void)state;
    int64_t last = tw_clock_monotonic_ns();
    for (int i = 0; i < 10000; i++) {
        int64_t now = tw_clock_monotonic_ns();
        assert_true(now >= last);
        last = now;
    }
    int64_t years_ns = (int64_t)365 * 24 * 3600 * 1000000000;
    assert_true(tw_clock_wall_ns() > 50 * years_ns); /* nanoseconds, not a smaller unit */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_product_that_overflows_is_refused),
        cmocka_unit_test(zero_items_give_a_block_that_may_be_freed),
        cmocka_unit_test(maps_are_zeroed_whole_and_aligned_as_promised),
        cmocka_unit_test(a_copied_string_is_terminated),
        cmocka_unit_test(the_clock_never_goes_back_and_the_calendar_is_ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
