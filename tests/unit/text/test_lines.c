/* What would break if a row of a file were passed over, read twice or named with another line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "base/buf.h"
#include "text/lines.h"

/* Each line as "number:text|", then where the walk ended. */
static void assert_lines(const char *text, const char *want)
{
    struct tw_buf out;
    struct tw_lines lines = {.text = tw_bytes_of(text)};
    tw_buf_init(&out, 4096);
    for (struct tw_bytes line; tw_lines_next(&lines, &line);) {
        tw_buf_append_format(&out, "%d:", (int)lines.number);
        tw_buf_append(&out, line.data, line.size_bytes);
        tw_buf_append_text(&out, "|");
    }
    assert_true(tw_buf_append(&out, "", 1));
    assert_string_equal(out.data, want);
    assert_int_equal(lines.at, strlen(text));
    tw_buf_free(&out);
}

static void every_line_comes_once_with_its_number(void **state)
{
    (void)state;
    assert_lines("", "");
    assert_lines("a", "1:a|");
    assert_lines("a\n", "1:a|");
    assert_lines("a\nb", "1:a|2:b|");
    assert_lines(" a \r\nb\n", "1: a \r|2:b|");
}

static void blank_lines_are_passed_over_and_counted(void **state)
{
    (void)state;
    assert_lines("\n", "");
    assert_lines(" \t\r", "");
    assert_lines("\n\na\n \t \r\n\nb\n\n", "3:a|6:b|");
    assert_lines("\v\n\f", "1:\v|2:\f|");
}

static void the_next_line_begins_where_at_says(void **state)
{
    (void)state;
    struct tw_lines lines = {.text = {"ab\n\ncd\nxx", 7}};
    struct tw_bytes line = {"before", 6};
    assert_true(tw_lines_next(&lines, &line) && lines.at == 3);
    assert_true(tw_lines_next(&lines, &line) && lines.at == 7);
    assert_false(tw_lines_next(&lines, &line));
    assert_true(tw_bytes_equal(line, tw_bytes_of("cd")));
    lines = (struct tw_lines){.text = {NULL, 0}};
    assert_false(tw_lines_next(&lines, &line));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_line_comes_once_with_its_number),
        cmocka_unit_test(blank_lines_are_passed_over_and_counted),
        cmocka_unit_test(the_next_line_begins_where_at_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
