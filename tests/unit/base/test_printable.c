#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdint.h>
#include <string.h>

#include "base/printable.h"

static size_t encode(uint32_t code, char *ret_text)
{
    if (code < 0x80) {
        ret_text[0] = (char)code;
        return 1;
    }
    size_t n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const unsigned char marks[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n - 1; i > 0; i--) {
        ret_text[i] = (char)(0x80 | (code & 0x3f));
        code >>= 6;
    }
    ret_text[0] = (char)(marks[n] | code);
    return n;
}

static void every_scalar_value_is_valid_and_no_prefix_of_it_is(void **state)
{
    (void)state;
    for (uint32_t code = 0; code <= 0x10ffff; code++) {
        char text[4];
        size_t n = encode(code, text);
        size_t expected = code >= 0xd800 && code < 0xe000 ? 0 : n;
        if (tw_printable_utf8_bytes(text, n) != expected) {
            fail_msg("U+%04x", code);
        }
        if (n > 1 && tw_printable_utf8_bytes(text, n - 1) != 0) {
            fail_msg("U+%04x cut short", code);
        }
    }
}

static void what_is_no_utf8_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "\x80",
        "\xbf",
        "\xc0\x80",
        "\xc1\xbf",
        "\xe0\x80\x80",
        "\xe0\x9f\xbf",
        "\xed\xa0\x80",
        "\xf0\x8f\xbf\xbf",
        "\xf4\x90\x80",
        "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80",
        "\xff",
        "\xc3(",
        "\xe2\x82(",
        "\xf0\x9f\x98(",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(tw_printable_utf8_bytes(bad[i], strlen(bad[i])), 0);
    }
}

static void cleaning_leaves_nothing_that_a_terminal_obeys(void **state)
{
    (void)state;
    char text[] = "ok \x1b[31m \x9b \xc2\x9b"
                  "2J \x07\x7f\t\n caf\xc3\xa9 \xf0\x9f\x98\x80 \xe2\x82";
    tw_printable_clean(text, sizeof text - 1);
    assert_string_equal(text, "ok ?[31m ? ??2J ???? caf\xc3\xa9 \xf0\x9f\x98\x80 ??");
    tw_printable_clean(NULL, 0);
}

static void nothing_turns_the_direction_of_a_text_or_ends_its_line(void **state)
{
    (void)state;
    for (uint32_t code = 0x80; code <= 0x10ffff; code++) {
        char text[4];
        size_t n = encode(code, text);
        bool steers =
            code < 0xa0 || (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
        if (tw_printable_steers(text, n) != steers) {
            fail_msg("U+%04x", code);
        }
    }
    char text[] = "a\xe2\x80\xae"
                  "b";
    tw_printable_clean(text, sizeof text - 1);
    assert_string_equal(text, "a???b");
}

static void lines_and_columns_of_a_listing_stay(void **state)
{
    (void)state;
    char text[] = "a\tb\n\x1b\xc2\x85z\0y";
    tw_printable_clean_lines(text, sizeof text - 1);
    assert_string_equal(text, "a\tb\n???z?y");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_scalar_value_is_valid_and_no_prefix_of_it_is),
        cmocka_unit_test(what_is_no_utf8_is_refused),
        cmocka_unit_test(cleaning_leaves_nothing_that_a_terminal_obeys),
        cmocka_unit_test(nothing_turns_the_direction_of_a_text_or_ends_its_line),
        cmocka_unit_test(lines_and_columns_of_a_listing_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
