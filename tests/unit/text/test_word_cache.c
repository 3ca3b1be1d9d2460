#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "text/word_cache.h"

static void a_word_is_found_by_all_its_bytes_and_nothing_less(void **state)
{
    (void)state;
    struct tw_word_cache cache;
    assert_true(tw_word_cache_init(&cache));
    static const int32_t ids[] = {7, 8, 9};
    struct tw_bytes word = tw_bytes_of(" hello");
    tw_word_cache_put(&cache, word, 0x123456789abcdef0, ids, 3);
    const struct tw_word_cache_line *line = tw_word_cache_find(&cache, word, 0x123456789abcdef0);
    assert_non_null(line);
    assert_int_equal(line->n_ids, 3);
    assert_memory_equal(line->ids, ids, sizeof ids);
    /* Words whose hashes are equal are still different words. */
    assert_null(tw_word_cache_find(&cache, tw_bytes_of(" hellO"), 0x123456789abcdef0));
    assert_null(tw_word_cache_find(&cache, tw_bytes_of(" hell"), 0x123456789abcdef0));
    assert_null(tw_word_cache_find(&cache, tw_bytes_of(" hello"), 0x123456779abcdef0));
    tw_word_cache_put(&cache, tw_bytes_of("other"), 0x123456789abcdef0, ids, 1);
    assert_null(tw_word_cache_find(&cache, word, 0x123456789abcdef0));
    tw_word_cache_free(&cache);
}

static void what_does_not_fit_a_line_is_passed_over(void **state)
{
    (void)state;
    struct tw_word_cache cache;
    assert_true(tw_word_cache_init(&cache));
    int32_t ids[TW_WORD_CACHE_IDS + 1] = {0};
    char text[TW_WORD_CACHE_BYTES + 1] = {0};
    struct tw_bytes fits = {text, TW_WORD_CACHE_BYTES};
    struct tw_bytes longer = {text, TW_WORD_CACHE_BYTES + 1};
    tw_word_cache_put(&cache, longer, 1, ids, 1);
    assert_null(tw_word_cache_find(&cache, longer, 1));
    tw_word_cache_put(&cache, fits, 2, ids, TW_WORD_CACHE_IDS + 1);
    assert_null(tw_word_cache_find(&cache, fits, 2));
    tw_word_cache_put(&cache, fits, 3, ids, TW_WORD_CACHE_IDS);
    assert_non_null(tw_word_cache_find(&cache, fits, 3));
    tw_word_cache_free(&cache);
}

static void without_memory_nothing_is_kept_and_nothing_breaks(void **state)
{
    (void)state;
    struct tw_word_cache cache = {0};
    int32_t id = 1;
    tw_word_cache_put(&cache, tw_bytes_of("a"), 1, &id, 1);
    assert_null(tw_word_cache_find(&cache, tw_bytes_of("a"), 1));
    tw_word_cache_free(&cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_word_is_found_by_all_its_bytes_and_nothing_less),
        cmocka_unit_test(what_does_not_fit_a_line_is_passed_over),
        cmocka_unit_test(without_memory_nothing_is_kept_and_nothing_breaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
