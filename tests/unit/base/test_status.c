#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "base/status.h"

static void every_status_has_a_name_and_only_ok_exits_with_zero(void **state)
{
    (void)state;
    for (int s = TW_OK; s < TW_STATUS_COUNT; s++) {
        assert_non_null(tw_status_name((enum tw_status)s));
        assert_int_equal(tw_status_exit_code((enum tw_status)s) == 0, s == TW_OK);
    }
}

static void no_two_failures_share_an_exit_code(void **state)
{
    (void)state;
    for (int a = TW_OK; a < TW_STATUS_COUNT; a++) {
        for (int b = a + 1; b < TW_STATUS_COUNT; b++) {
            assert_int_not_equal(tw_status_exit_code((enum tw_status)a),
                                 tw_status_exit_code((enum tw_status)b));
        }
    }
}

static void setting_an_error_returns_its_status_even_without_a_place_for_it(void **state)
{
    (void)state;
    struct tw_error error;
    assert_int_equal(tw_error_set(NULL, TW_ERR_IO, 0, "x"), TW_ERR_IO);
    assert_int_equal(tw_error_set(&error, TW_ERR_FORMAT, 12, "tensor '%s'", "a"), TW_ERR_FORMAT);
    assert_int_equal(error.status, TW_ERR_FORMAT);
    assert_int_equal(error.position, 12);
    assert_string_equal(error.text, "tensor 'a'");
}

static void a_name_from_a_hostile_file_cannot_steer_the_terminal(void **state)
{
    (void)state;
    struct tw_error error;
    tw_error_set(&error, TW_ERR_FORMAT, 0, "%s",
                 "a\x1b[2Jb\nc\x7f"
                 "d");
    assert_string_equal(error.text, "a?[2Jb?c?d");
    tw_error_set(&error, TW_ERR_FORMAT, 0, "%s", "caf\xc3\xa9");
    assert_string_equal(error.text, "caf\xc3\xa9");
}

static void an_endless_name_is_cut_and_terminated(void **state)
{
    (void)state;
    struct tw_error error;
    char name[2000];
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    tw_error_set(&error, TW_ERR_FORMAT, 0, "tensor '%s'", name);
    assert_int_equal(strlen(error.text), sizeof error.text - 1);
    tw_error_prefix(&error, "%s", name);
    assert_int_equal(strlen(error.text), sizeof error.text - 1);
}

static void a_prefix_goes_before_the_text(void **state)
{
    (void)state;
    struct tw_error error;
    tw_error_set(&error, TW_ERR_FORMAT, 3, "cut short");
    tw_error_prefix(&error, "shard %d", 2);
    assert_string_equal(error.text, "shard 2: cut short");
    assert_int_equal(error.status, TW_ERR_FORMAT);
    tw_error_prefix(NULL, "nobody %s", "listens");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_a_name_and_only_ok_exits_with_zero),
        cmocka_unit_test(no_two_failures_share_an_exit_code),
        cmocka_unit_test(setting_an_error_returns_its_status_even_without_a_place_for_it),
        cmocka_unit_test(a_name_from_a_hostile_file_cannot_steer_the_terminal),
        cmocka_unit_test(an_endless_name_is_cut_and_terminated),
        cmocka_unit_test(a_prefix_goes_before_the_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
