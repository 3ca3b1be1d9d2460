#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "hub/csv.h"

static void assert_field(const char *text, const char *expected)
{
    struct tw_buf buf;
    struct tw_csv csv = {.buf = &buf};
    tw_buf_init(&buf, 1024);
    tw_csv_text(&csv, text);
    tw_buf_append(&buf, "", 1);
    assert_string_equal(buf.data, expected);
    tw_buf_free(&buf);
}

static void a_name_that_a_spreadsheet_would_compute_is_only_text(void **state)
{
    (void)state;
    assert_field("=1+1", "'=1+1");
    assert_field("+49", "'+49");
    assert_field("-2", "'-2");
    assert_field("@SUM(A1)", "'@SUM(A1)");
    assert_field("\t=1", "'\t=1");
    assert_field("\r=1", "\"'\r=1\"");
    assert_field("=HYPERLINK(\"x\",\"y\")", "\"'=HYPERLINK(\"\"x\"\",\"\"y\"\")\"");
    assert_field("a=1", "a=1");
    assert_field("acme/research", "acme/research");
}

static void what_would_end_a_field_is_in_quotes(void **state)
{
    (void)state;
    assert_field("a,b", "\"a,b\"");
    assert_field("a\"b", "\"a\"\"b\"");
    assert_field("a\nb", "\"a\nb\"");
    assert_field("a\rb", "\"a\rb\"");
    assert_field("größe", "größe");
}

static void an_empty_text_is_another_thing_than_none(void **state)
{
    (void)state;
    struct tw_buf buf;
    struct tw_csv csv = {.buf = &buf};
    tw_buf_init(&buf, 1024);
    tw_csv_text(&csv, "");
    tw_csv_text(&csv, NULL);
    tw_csv_null(&csv);
    tw_csv_integer(&csv, INT64_MIN);
    tw_csv_number(&csv, "0.50");
    tw_csv_end_row(&csv);
    tw_csv_null(&csv);
    tw_csv_text(&csv, "x");
    tw_csv_end_row(&csv);
    tw_buf_append(&buf, "", 1);
    assert_string_equal(buf.data, "\"\",,,-9223372036854775808,0.50\r\n,x\r\n");
    tw_buf_free(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_that_a_spreadsheet_would_compute_is_only_text),
        cmocka_unit_test(what_would_end_a_field_is_in_quotes),
        cmocka_unit_test(an_empty_text_is_another_thing_than_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
