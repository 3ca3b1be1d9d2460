#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdint.h>
#include <string.h>

#include "hub/report_table.h"

static void begin(struct tw_report_table *table)
{
    tw_report_table_init(table);
    tw_report_table_column(table, "project", false);
    tw_report_table_column(table, "requests", true);
    tw_report_table_column(table, "prices", false);
}

static void add(struct tw_report_table *table, const char *name, long long n, const char *prices)
{
    tw_report_table_cell(table, name);
    tw_report_table_integer(table, n);
    tw_report_table_cell(table, prices);
}

static void assert_table(struct tw_report_table *table, size_t n_wide, const char *expected)
{
    struct tw_buf out;
    tw_buf_init(&out, 4096);
    assert_int_equal(tw_report_table_write(table, n_wide, &out, NULL), TW_OK);
    tw_buf_append(&out, "", 1);
    assert_string_equal(out.data, expected);
    tw_buf_free(&out);
    tw_report_table_free(table);
}

static void numbers_line_up_to_the_right_and_names_to_the_left(void **state)
{
    (void)state;
    struct tw_report_table table;
    begin(&table);
    add(&table, "acme/research/chat", 7, "3 4");
    add(&table, "b", 1234567890123, "");
    assert_table(&table, 0,
                 "project                  requests  prices\n"
                 "acme/research/chat              7  3 4\n"
                 "b                   1234567890123\n");
}

static void a_narrow_terminal_cuts_names_and_never_numbers(void **state)
{
    (void)state;
    struct tw_report_table table;
    begin(&table);
    add(&table, "acme/research/chat", 7, "3");
    add(&table, "b", 1234567890123, "");
    assert_table(&table, 32,
                 "project         requests  prices\n"
                 "acme…chat              7  3\n"
                 "b          1234567890123\n");
}

static void a_width_that_is_too_small_leaves_a_table(void **state)
{
    (void)state;
    struct tw_report_table table;
    begin(&table);
    add(&table, "acme/research/chat", 12, "3");
    assert_table(&table, 1,
                 "project   requests  prices\n"
                 "acm…chat        12  3\n");
}

static void letters_of_several_bytes_are_one_character_wide(void **state)
{
    (void)state;
    struct tw_report_table table;
    begin(&table);
    add(&table, "größe", 1, "x");
    add(&table, "übergrößenträger", 2, "y");
    assert_table(&table, 27,
                 "project    requests  prices\n"
                 "größe             1  x\n"
                 "über…äger         2  y\n");
}

static void a_name_cannot_steer_the_terminal_or_begin_a_line(void **state)
{
    (void)state;
    struct tw_report_table table;
    begin(&table);
    add(&table, "a\x1b[2Jb\nc", 1, "x");
    assert_table(&table, 0,
                 "project   requests  prices\n"
                 "a?[2Jb?c         1  x\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_line_up_to_the_right_and_names_to_the_left),
        cmocka_unit_test(a_narrow_terminal_cuts_names_and_never_numbers),
        cmocka_unit_test(a_width_that_is_too_small_leaves_a_table),
        cmocka_unit_test(letters_of_several_bytes_are_one_character_wide),
        cmocka_unit_test(a_name_cannot_steer_the_terminal_or_begin_a_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
