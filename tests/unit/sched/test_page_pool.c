#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"
#include "sched/page_pool.h"

static struct tw_page_pool *new_pool(uint32_t n_pages)
{
    struct tw_page_pool *pool = NULL;
    assert_int_equal(tw_page_pool_create(n_pages, &pool, NULL), TW_OK);
    return pool;
}

static void a_pool_of_no_or_too_many_pages_is_refused(void **state)
{
    (void)state;
    struct tw_page_pool *pool = NULL;
    struct tw_error error;
    assert_int_equal(tw_page_pool_create(0, &pool, &error), TW_ERR_LIMIT);
    assert_int_equal(tw_page_pool_create(TW_LIMIT_KV_PAGES + 1, &pool, &error), TW_ERR_LIMIT);
    assert_null(pool);
}

static void an_allocation_that_does_not_fit_takes_nothing(void **state)
{
    (void)state;
    struct tw_page_pool *pool = new_pool(4);
    uint32_t pages[5] = {77, 77, 77, 77, 77};
    assert_true(tw_page_pool_alloc(pool, 3, pages));
    assert_false(tw_page_pool_alloc(pool, 2, pages + 3));
    assert_int_equal(pages[3], 77);
    assert_int_equal(tw_page_pool_free_pages(pool), 1);
    assert_true(tw_page_pool_alloc(pool, 1, pages + 3));
    assert_false(tw_page_pool_alloc(pool, 1, pages + 4));
    assert_true(tw_page_pool_alloc(pool, 0, pages + 4));
    assert_true(tw_page_pool_check(pool));
    tw_page_pool_free(pool);
}

static void no_page_is_handed_out_twice(void **state)
{
    (void)state;
    struct tw_page_pool *pool = new_pool(64);
    uint32_t pages[64];
    int seen[64] = {0};
    assert_true(tw_page_pool_alloc(pool, 64, pages));
    for (int i = 0; i < 64; i++) {
        assert_in_range(pages[i], 0, 63);
        assert_int_equal(seen[pages[i]]++, 0);
    }
    tw_page_pool_free(pool);
}

static void a_shared_page_lives_until_its_last_holder_lets_go(void **state)
{
    (void)state;
    struct tw_page_pool *pool = new_pool(2);
    uint32_t page;
    assert_true(tw_page_pool_alloc(pool, 1, &page));
    tw_page_pool_ref(pool, page);
    assert_int_equal(tw_page_pool_references(pool, page), 2);
    tw_page_pool_unref(pool, page);
    assert_int_equal(tw_page_pool_free_pages(pool), 1);
    tw_page_pool_unref(pool, page);
    assert_int_equal(tw_page_pool_free_pages(pool), 2);
    assert_int_equal(tw_page_pool_references(pool, page), 0);
    assert_true(tw_page_pool_check(pool));
    tw_page_pool_free(pool);
}

/* The pool against a plain array of counters through 20,000 random calls. */
struct mirror {
    uint32_t references[97];
    uint32_t n_held;
};

static void random_alloc(struct tw_page_pool *pool, struct mirror *mirror, uint32_t word)
{
    uint32_t pages[8];
    uint32_t n = word % 9;
    bool fits = n <= 97 - mirror->n_held;
    assert_int_equal(tw_page_pool_alloc(pool, n, pages), fits);
    for (uint32_t i = 0; fits && i < n; i++) {
        assert_int_equal(mirror->references[pages[i]], 0);
        mirror->references[pages[i]] = 1;
        mirror->n_held++;
    }
}

static void random_change(struct tw_page_pool *pool, struct mirror *mirror, uint32_t page, bool up)
{
    if (mirror->references[page] == 0) {
        return;
    }
    if (up) {
        tw_page_pool_ref(pool, page);
        mirror->references[page]++;
        return;
    }
    tw_page_pool_unref(pool, page);
    mirror->n_held -= --mirror->references[page] == 0;
}

static void counts_stay_right_through_any_order_of_calls(void **state)
{
    (void)state;
    struct tw_page_pool *pool = new_pool(97);
    struct mirror mirror = {.n_held = 0};
    for (uint32_t step = 0; step < 20000; step++) {
        uint32_t words[4];
        tw_rng_block(7, step, words);
        if (words[0] % 8 == 0) {
            random_alloc(pool, &mirror, words[1]);
        } else {
            random_change(pool, &mirror, words[1] % 97, words[0] % 8 < 3);
        }
        assert_int_equal(tw_page_pool_free_pages(pool), 97 - mirror.n_held);
        assert_true(tw_page_pool_check(pool));
    }
    for (uint32_t page = 0; page < 97; page++) {
        assert_int_equal(tw_page_pool_references(pool, page), mirror.references[page]);
    }
    tw_page_pool_free(pool);
}

static void the_same_calls_give_the_same_pages(void **state)
{
    (void)state;
    uint32_t got[2][12];
    for (int run = 0; run < 2; run++) {
        struct tw_page_pool *pool = new_pool(9);
        assert_true(tw_page_pool_alloc(pool, 6, got[run]));
        tw_page_pool_unref(pool, got[run][4]);
        tw_page_pool_unref(pool, got[run][1]);
        assert_true(tw_page_pool_alloc(pool, 5, got[run] + 6));
        got[run][11] = tw_page_pool_free_pages(pool);
        tw_page_pool_free(pool);
    }
    assert_memory_equal(got[0], got[1], sizeof got[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pool_of_no_or_too_many_pages_is_refused),
        cmocka_unit_test(an_allocation_that_does_not_fit_takes_nothing),
        cmocka_unit_test(no_page_is_handed_out_twice),
        cmocka_unit_test(a_shared_page_lives_until_its_last_holder_lets_go),
        cmocka_unit_test(counts_stay_right_through_any_order_of_calls),
        cmocka_unit_test(the_same_calls_give_the_same_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
