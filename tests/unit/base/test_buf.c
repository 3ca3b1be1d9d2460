#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"

static void what_is_appended_comes_out_in_order(void **state)
{
    (void)state;
    struct tw_buf buf;
    tw_buf_init(&buf, 1 << 20);
    for (int i = 0; i < 1000; i++) {
        assert_true(tw_buf_append_format(&buf, "%d,", i));
    }
    assert_int_equal(buf.size_bytes, 10 * 2 + 90 * 3 + 900 * 4);
    assert_memory_equal(buf.data, "0,1,2,", 6);
    assert_memory_equal(buf.data + buf.size_bytes - 8, "998,999,", 8);
    tw_buf_free(&buf);
}

static void an_append_beyond_the_bound_changes_nothing_and_sticks(void **state)
{
    (void)state;
    struct tw_buf buf;
    tw_buf_init(&buf, 10);
    assert_true(tw_buf_append_text(&buf, "12345678"));
    assert_false(tw_buf_append_text(&buf, "abc"));
    assert_true(buf.failed);
    assert_int_equal(buf.size_bytes, 8);
    assert_false(tw_buf_append_text(&buf, "a")); /* would fit, but a piece is missing before it */
    assert_int_equal(buf.size_bytes, 8);
    tw_buf_clear(&buf);
    assert_true(tw_buf_append_text(&buf, "1234567890"));
    assert_false(tw_buf_append(&buf, "x", SIZE_MAX));
    tw_buf_free(&buf);
}

static void a_formatted_piece_of_any_length_arrives_whole(void **state)
{
    (void)state;
    struct tw_buf buf;
    static char text[5001];
    tw_buf_init(&buf, 1 << 20);
    size_t expected = 0;
    for (size_t n = 500; n <= 5000; n += n < 520 ? 1 : 997) {
        memset(text, 'a', n);
        text[n] = '\0';
        assert_true(tw_buf_append_format(&buf, "%s", text));
        expected += n;
    }
    assert_int_equal(buf.size_bytes, expected);
    tw_buf_free(&buf);
    tw_buf_init(&buf, 100);
    assert_false(tw_buf_append_format(&buf, "%s", text));
    assert_true(buf.failed);
    tw_buf_free(&buf);
}

static void dropping_the_front_keeps_the_rest(void **state)
{
    (void)state;
    struct tw_buf buf;
    tw_buf_init(&buf, 100);
    tw_buf_drop_front(&buf, 5);
    tw_buf_append_text(&buf, "abcdef");
    tw_buf_drop_front(&buf, 2);
    assert_int_equal(buf.size_bytes, 4);
    assert_memory_equal(buf.data, "cdef", 4);
    tw_buf_drop_front(&buf, 100);
    assert_int_equal(buf.size_bytes, 0);
    tw_buf_free(&buf);
}

static void appending_nothing_needs_no_pointer(void **state)
{
    (void)state;
    struct tw_buf buf;
    tw_buf_init(&buf, 0);
    assert_true(tw_buf_append(&buf, NULL, 0));
    assert_false(buf.failed);
    tw_buf_free(&buf);
}

static void base64_is_that_of_the_standard(void **state)
{
    (void)state;
    static const char *const of_foobar[] = {"",         "Zg==",     "Zm8=",    "Zm9v",
                                            "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};
    for (size_t i = 0; i < 7; i++) {
        struct tw_buf buf;
        tw_buf_init(&buf, 10);
        tw_buf_append_text(&buf, "x");
        assert_true(tw_buf_append_base64(&buf, "foobar", i));
        assert_int_equal(buf.size_bytes, 1 + strlen(of_foobar[i]));
        assert_memory_equal(buf.data + 1, of_foobar[i], buf.size_bytes - 1);
        assert_int_equal(tw_buf_append_base64(&buf, "foobar", 6), i == 0);
        tw_buf_free(&buf);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_appended_comes_out_in_order),
        cmocka_unit_test(an_append_beyond_the_bound_changes_nothing_and_sticks),
        cmocka_unit_test(a_formatted_piece_of_any_length_arrives_whole),
        cmocka_unit_test(dropping_the_front_keeps_the_rest),
        cmocka_unit_test(appending_nothing_needs_no_pointer),
        cmocka_unit_test(base64_is_that_of_the_standard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
