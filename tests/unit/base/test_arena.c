#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdint.h>
#include <string.h>

#include "base/arena.h"

static void blocks_are_zeroed_aligned_and_do_not_overlap(void **state)
{
    (void)state;
    enum { BLOCKS = 2000 };
    static unsigned char *blocks[BLOCKS];
    struct tw_arena arena;
    tw_arena_init(&arena, (size_t)64 << 20);
    for (size_t i = 0; i < BLOCKS; i++) {
        size_t n = 1 + i * 37 % 500;
        blocks[i] = tw_arena_alloc(&arena, n, 1);
        assert_non_null(blocks[i]);
        assert_int_equal((uintptr_t)blocks[i] % 16, 0);
        for (size_t k = 0; k < n; k++) {
            assert_int_equal(blocks[i][k], 0);
        }
        memset(blocks[i], (int)(i % 251) + 1, n);
    }
    for (size_t i = 0; i < BLOCKS; i++) {
        size_t n = 1 + i * 37 % 500;
        for (size_t k = 0; k < n; k++) {
            assert_int_equal(blocks[i][k], i % 251 + 1);
        }
    }
    tw_arena_clear(&arena);
}

static void the_bound_is_an_error_and_not_a_crash(void **state)
{
    (void)state;
    struct tw_arena arena;
    tw_arena_init(&arena, 100);
    assert_non_null(tw_arena_alloc(&arena, 64, 1));
    assert_null(tw_arena_alloc(&arena, 48, 1));
    assert_non_null(tw_arena_alloc(&arena, 32, 1));
    assert_null(tw_arena_alloc(&arena, 16, 1));
    assert_int_equal(arena.used_bytes, 96);
    tw_arena_clear(&arena);
}

static void a_product_that_overflows_is_refused(void **state)
{
    (void)state;
    struct tw_arena arena;
    tw_arena_init(&arena, SIZE_MAX);
    assert_null(tw_arena_alloc(&arena, SIZE_MAX, 2));
    assert_null(tw_arena_alloc(&arena, SIZE_MAX / 8 + 2, 8));
    assert_null(tw_arena_alloc(&arena, SIZE_MAX, 1));
    assert_int_equal(arena.used_bytes, 0);
    tw_arena_clear(&arena);
}

static void a_cleared_arena_serves_again_up_to_its_bound(void **state)
{
    (void)state;
    struct tw_arena arena;
    tw_arena_init(&arena, 1 << 20);
    for (int round = 0; round < 3; round++) {
        assert_non_null(tw_arena_alloc(&arena, 1 << 20, 1));
        assert_null(tw_arena_alloc(&arena, 1, 1));
        tw_arena_clear(&arena);
        assert_int_equal(arena.used_bytes, 0);
    }
}

static void a_copied_string_is_terminated(void **state)
{
    (void)state;
    struct tw_arena arena;
    tw_arena_init(&arena, 4096);
    assert_string_equal(tw_arena_strndup(&arena, "tokenworks", 5), "token");
    assert_string_equal(tw_arena_strndup(&arena, NULL, 0), "");
    static const char long_text[5000] = "x";
    assert_null(tw_arena_strndup(&arena, long_text, sizeof long_text));
    tw_arena_clear(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_zeroed_aligned_and_do_not_overlap),
        cmocka_unit_test(the_bound_is_an_error_and_not_a_crash),
        cmocka_unit_test(a_product_that_overflows_is_refused),
        cmocka_unit_test(a_cleared_arena_serves_again_up_to_its_bound),
        cmocka_unit_test(a_copied_string_is_terminated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
