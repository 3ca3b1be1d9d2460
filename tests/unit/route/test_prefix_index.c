#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/rng.h"
#include "route/prefix_index.h"

static struct tw_prefix_index *make(uint32_t n)
{
    struct tw_prefix_index *index;
    assert_int_equal(tw_prefix_index_create(n, &index, NULL), TW_OK);
    return index;
}

static void the_longest_known_beginning_is_found(void **state)
{
    (void)state;
    struct tw_prefix_index *index = make(16);
    const uint64_t text[] = {1, 2, 3, 4}, other[] = {1, 2, 9, 4}, none[] = {9, 1, 2};
    assert_int_equal(tw_prefix_index_match(index, text, 4), 0);
    tw_prefix_index_insert(index, text, 3);
    assert_int_equal(tw_prefix_index_match(index, text, 4), 3);
    assert_int_equal(tw_prefix_index_match(index, other, 4), 2);
    assert_int_equal(tw_prefix_index_match(index, none, 3), 0);
    assert_int_equal(tw_prefix_index_match(index, text, 0), 0);
    tw_prefix_index_clear(index);
    assert_int_equal(tw_prefix_index_match(index, text, 4), 0);
    assert_true(tw_prefix_index_check(index));
    tw_prefix_index_free(index);
}

static void the_oldest_goes_first_and_of_a_text_its_end(void **state)
{
    (void)state;
    struct tw_prefix_index *index = make(4);
    const uint64_t a[] = {1, 2, 3}, b[] = {7, 8}, c[] = {1, 2};
    tw_prefix_index_insert(index, a, 3);
    tw_prefix_index_insert(index, b, 2);
    assert_int_equal(tw_prefix_index_match(index, a, 3), 2); /* 3 went */
    assert_int_equal(tw_prefix_index_match(index, b, 2), 2);
    tw_prefix_index_insert(index, c, 2); /* used again */
    tw_prefix_index_insert(index, (const uint64_t[]){20}, 1);
    assert_int_equal(tw_prefix_index_match(index, b, 2), 1);
    assert_int_equal(tw_prefix_index_match(index, a, 3), 2);
    assert_true(tw_prefix_index_check(index));
    tw_prefix_index_free(index);
}

static void a_text_longer_than_the_index_leaves_its_beginning(void **state)
{
    (void)state;
    struct tw_prefix_index *index = make(4);
    const uint64_t text[] = {1, 2, 3, 4, 5, 6};
    tw_prefix_index_insert(index, text, 6);
    assert_int_equal(tw_prefix_index_match(index, text, 6), 4);
    assert_int_equal(tw_prefix_index_entries(index), 4);
    assert_true(tw_prefix_index_check(index));
    tw_prefix_index_free(index);
}

static void it_stays_whole_through_a_long_random_life(void **state)
{
    (void)state;
    struct tw_prefix_index *index = make(97);
    for (uint64_t i = 0; i < 20000; i++) {
        uint32_t r[4];
        uint64_t text[8];
        tw_rng_block(3, i, r);
        const uint32_t n = r[0] % 9;
        for (uint32_t b = 0; b < n; b++) {
            text[b] = (uint64_t)(r[1] % 40) * 8 + b; /* many of one bucket */
        }
        tw_prefix_index_insert(index, text, n);
        assert_int_equal(tw_prefix_index_match(index, text, n), n);
        if (i % 500 == 0) {
            assert_true(tw_prefix_index_check(index));
        }
    }
    assert_int_equal(tw_prefix_index_entries(index), 97);
    tw_prefix_index_free(index);
}

static void a_block_stands_for_all_before_it_and_for_who_may_share_it(void **state)
{
    (void)state;
    uint64_t a[4], b[4], c[4];
    assert_int_equal(tw_prefix_hashes("aaaabbbbccccd", 13, 4, 1, a, 4), 3);
    assert_int_equal(tw_prefix_hashes("xaaabbbbcccc", 12, 4, 1, b, 4), 3);
    assert_int_equal(tw_prefix_hashes("aaaabbbbcccc", 12, 4, 2, c, 2), 2);
    for (int i = 0; i < 2; i++) {
        assert_true(a[i] != b[i] && a[i] != c[i]);
    }
    assert_int_equal(tw_prefix_hashes("aaaabbbbzzzz", 12, 4, 1, b, 4), 3);
    assert_true(a[0] == b[0] && a[1] == b[1] && a[2] != b[2]);
    assert_int_equal(tw_prefix_hashes("", 0, 4, 1, a, 4), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_longest_known_beginning_is_found),
        cmocka_unit_test(the_oldest_goes_first_and_of_a_text_its_end),
        cmocka_unit_test(a_text_longer_than_the_index_leaves_its_beginning),
        cmocka_unit_test(it_stays_whole_through_a_long_random_life),
        cmocka_unit_test(a_block_stands_for_all_before_it_and_for_who_may_share_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
