#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sched/prefix_tree.h"

enum { PAGE_TOKENS = 2 };

struct fixture {
    struct tw_page_pool *pool;
    struct tw_prefix_tree *tree;
};

static struct fixture set_up(uint32_t n_pages)
{
    struct fixture f;
    assert_int_equal(tw_page_pool_create(n_pages, &f.pool, NULL), TW_OK);
    assert_int_equal(tw_prefix_tree_create(f.pool, PAGE_TOKENS, 7, &f.tree, NULL), TW_OK);
    return f;
}

static void tear_down(struct fixture f)
{
    assert_true(tw_prefix_tree_check(f.tree));
    tw_prefix_tree_free(f.tree);
    assert_int_equal(tw_page_pool_free_pages(f.pool), tw_page_pool_total(f.pool));
    tw_page_pool_free(f.pool);
}

static uint32_t add(struct fixture f, uint32_t domain, uint32_t parent, int32_t a, int32_t b)
{
    uint32_t page;
    assert_true(tw_page_pool_alloc(f.pool, 1, &page));
    tw_prefix_tree_add(f.tree, domain, parent, (int32_t[]){a, b}, page, PAGE_TOKENS);
    return page;
}

static uint32_t find(struct fixture f, uint32_t domain, uint32_t parent, int32_t a, int32_t b)
{
    return tw_prefix_tree_find(f.tree, domain, parent, (int32_t[]){a, b});
}

static void a_page_is_found_by_tokens_parent_and_domain(void **state)
{
    (void)state;
    struct fixture f = set_up(8);
    uint32_t first = add(f, 1, TW_PREFIX_ROOT, 10, 11);
    uint32_t second = add(f, 1, first, 12, 13);
    assert_int_equal(find(f, 1, TW_PREFIX_ROOT, 10, 11), first);
    assert_int_equal(find(f, 1, first, 12, 13), second);
    assert_int_equal(find(f, 1, TW_PREFIX_ROOT, 12, 13), TW_PREFIX_NONE);
    assert_int_equal(find(f, 1, first, 12, 14), TW_PREFIX_NONE);
    assert_int_equal(find(f, 2, TW_PREFIX_ROOT, 10, 11), TW_PREFIX_NONE);
    uint32_t other = add(f, 2, TW_PREFIX_ROOT, 10, 11);
    assert_int_equal(find(f, 2, TW_PREFIX_ROOT, 10, 11), other);
    assert_int_equal(find(f, 1, TW_PREFIX_ROOT, 10, 11), first);
    tear_down(f);
}

static void a_page_that_nobody_finished_goes_with_its_last_user(void **state)
{
    (void)state;
    struct fixture f = set_up(4);
    uint32_t page;
    assert_true(tw_page_pool_alloc(f.pool, 1, &page));
    tw_prefix_tree_add(f.tree, 0, TW_PREFIX_ROOT, (int32_t[]){1, 2}, page, 0);
    tw_prefix_tree_use(f.tree, page);
    tw_prefix_tree_fill(f.tree, page, 1);
    tw_prefix_tree_release(f.tree, page, false);
    assert_int_equal(find(f, 0, TW_PREFIX_ROOT, 1, 2), page);
    assert_int_equal(tw_prefix_tree_filled(f.tree, page), 1);
    tw_prefix_tree_release(f.tree, page, false);
    assert_int_equal(find(f, 0, TW_PREFIX_ROOT, 1, 2), TW_PREFIX_NONE);
    assert_int_equal(tw_page_pool_free_pages(f.pool), 4);
    tear_down(f);
}

static void the_least_recently_used_leaf_is_evicted_first(void **state)
{
    (void)state;
    struct fixture f = set_up(8);
    uint32_t a = add(f, 0, TW_PREFIX_ROOT, 1, 1);
    uint32_t ab = add(f, 0, a, 2, 2);
    uint32_t c = add(f, 0, TW_PREFIX_ROOT, 3, 3);
    tw_prefix_tree_release(f.tree, c, false);
    tw_prefix_tree_release(f.tree, ab, false);
    tw_prefix_tree_release(f.tree, a, false);
    assert_int_equal(tw_prefix_tree_cached(f.tree), 3);
    /* c is used again: now it is the newest. */
    tw_prefix_tree_use(f.tree, c);
    tw_prefix_tree_release(f.tree, c, false);
    assert_int_equal(tw_prefix_tree_evict(f.tree, 1), 1);
    assert_int_equal(find(f, 0, a, 2, 2), TW_PREFIX_NONE);
    assert_int_equal(find(f, 0, TW_PREFIX_ROOT, 1, 1), a);
    assert_int_equal(tw_prefix_tree_evict(f.tree, 1), 1);
    assert_int_equal(find(f, 0, TW_PREFIX_ROOT, 1, 1), TW_PREFIX_NONE);
    assert_int_equal(find(f, 0, TW_PREFIX_ROOT, 3, 3), c);
    assert_int_equal(tw_prefix_tree_evict(f.tree, 5), 1);
    tear_down(f);
}

static void what_is_in_use_is_never_evicted(void **state)
{
    (void)state;
    struct fixture f = set_up(4);
    uint32_t a = add(f, 0, TW_PREFIX_ROOT, 1, 1);
    uint32_t ab = add(f, 0, a, 2, 2);
    tw_prefix_tree_use(f.tree, a);
    tw_prefix_tree_release(f.tree, ab, false);
    tw_prefix_tree_release(f.tree, a, false); /* one user is left */
    assert_int_equal(tw_prefix_tree_evict(f.tree, 4), 1);
    assert_int_equal(find(f, 0, TW_PREFIX_ROOT, 1, 1), a);
    tear_down(f);
}

/* So many that there are more buckets twice in between, and that some have three pages at least:
 * removal from the middle of a chain. */
static void nodes_that_share_a_bucket_do_not_lose_each_other(void **state)
{
    (void)state;
    enum { N = 4000 };
    static uint32_t pages[N];
    struct fixture f = set_up(N);
    for (int32_t i = 0; i < N; i++) {
        pages[i] = add(f, 0, TW_PREFIX_ROOT, i, -i);
    }
    for (int32_t i = 0; i < N; i += 2) {
        tw_prefix_tree_release(f.tree, pages[i], false);
    }
    assert_int_equal(tw_prefix_tree_evict(f.tree, N), N / 2);
    for (int32_t i = 0; i < N; i++) {
        assert_int_equal(find(f, 0, TW_PREFIX_ROOT, i, -i), i % 2 ? pages[i] : TW_PREFIX_NONE);
    }
    tear_down(f);
}

/* Whatever is used by whom, and released in which order, a page goes before the one above it. */
static void cold_pages_are_evicted_first_unless_others_used_them(void **state)
{
    (void)state;
    struct fixture f = set_up(8);
    uint32_t a = add(f, 0, TW_PREFIX_ROOT, 1, 2), ab = add(f, 0, a, 3, 4);
    uint32_t cold = add(f, 0, TW_PREFIX_ROOT, 5, 6);
    tw_prefix_tree_release(f.tree, ab, false);
    tw_prefix_tree_release(f.tree, a, false);
    tw_prefix_tree_use(f.tree, a); /* by one that is cold: it stays what it was */
    uint32_t ac = add(f, 0, a, 7, 8);
    tw_prefix_tree_release(f.tree, cold, true);
    tw_prefix_tree_release(f.tree, ac, true);
    tw_prefix_tree_release(f.tree, a, true);
    assert_true(tw_prefix_tree_check(f.tree));
    assert_int_equal(tw_prefix_tree_evict(f.tree, 2), 2);
    assert_int_equal(find(f, 0, TW_PREFIX_ROOT, 5, 6), TW_PREFIX_NONE);
    assert_int_equal(find(f, 0, a, 7, 8), TW_PREFIX_NONE);
    assert_int_equal(find(f, 0, a, 3, 4), ab);
    assert_int_equal(tw_prefix_tree_evict(f.tree, 1), 1);
    assert_int_equal(find(f, 0, TW_PREFIX_ROOT, 1, 2), a);
    uint32_t d = add(f, 0, TW_PREFIX_ROOT, 9, 9);
    tw_prefix_tree_release(f.tree, d, true); /* behind none of its kind, before the others */
    assert_int_equal(tw_prefix_tree_evict(f.tree, 1), 1);
    assert_int_equal(find(f, 0, TW_PREFIX_ROOT, 1, 2), a);
    tear_down(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_page_is_found_by_tokens_parent_and_domain),
        cmocka_unit_test(a_page_that_nobody_finished_goes_with_its_last_user),
        cmocka_unit_test(the_least_recently_used_leaf_is_evicted_first),
        cmocka_unit_test(what_is_in_use_is_never_evicted),
        cmocka_unit_test(nodes_that_share_a_bucket_do_not_lose_each_other),
        cmocka_unit_test(cold_pages_are_evicted_first_unless_others_used_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
