#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "text/utf8.h"

static void every_code_point_survives_being_written_and_read(void **state)
{
    (void)state;
    for (uint32_t code = 0; code < 0x110000; code++) {
        if (code >= 0xd800 && code <= 0xdfff) {
            continue;
        }
        char bytes[4];
        uint32_t back = 0;
        size_t n = tw_utf8_encode(code, bytes);
        if (tw_utf8_decode(bytes, n, &back) != n || back != code) {
            fail_msg("U+%04X came back as U+%04X", code, back);
        }
    }
}

static void bytes_that_begin_no_character_are_read_one_by_one(void **state)
{
    (void)state;
    static const char *const broken[] = {"\x80",
                                         "\xbf",
                                         "\xc0\x80",
                                         "\xc1\xbf",
                                         "\xc3",
                                         "\xc3\x28",
                                         "\xe0\x80\x80",
                                         "\xe0\x9f\xbf",
                                         "\xed\xa0\x80",
                                         "\xed\xbf\xbf",
                                         "\xe2\x82",
                                         "\xe2\x82\x28",
                                         "\xf0\x80\x80\x80",
                                         "\xf0\x8f\xbf\xbf",
                                         "\xf4\x90\x80\x80",
                                         "\xf5\x80\x80\x80",
                                         "\xf0\x9f\x98",
                                         "\xff",
                                         "\xfe"};
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        uint32_t code = 0;
        assert_int_equal(tw_utf8_decode(broken[i], strlen(broken[i]), &code), 1);
        assert_int_equal(code, TW_UTF8_INVALID);
    }
}

static void only_a_character_that_more_bytes_complete_is_unfinished(void **state)
{
    (void)state;
    static const uint32_t codes[] = {0x41, 0xe9, 0x7ff, 0x800, 0xd7ff, 0x20ac, 0x10000, 0x10ffff};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        char text[8] = "xyz";
        size_t n = tw_utf8_encode(codes[i], text + 3);
        for (size_t cut = 1; cut <= n; cut++) {
            size_t expected = cut < n ? cut : 0;
            assert_int_equal(tw_utf8_unfinished(text + 3, cut), expected);
            assert_int_equal(tw_utf8_unfinished(text, 3 + cut), expected);
        }
    }
    static const char *const hopeless[] = {"\x80",     "\xff",         "\xc0",
                                           "\xe0\x80", "\xed\xa0",     "\xf4\x90",
                                           "\xf8",     "\xc3\xa9\xa9", "\xe2\x28"};
    for (size_t i = 0; i < sizeof hopeless / sizeof hopeless[0]; i++) {
        assert_int_equal(tw_utf8_unfinished(hopeless[i], strlen(hopeless[i])), 0);
    }
    assert_int_equal(tw_utf8_unfinished("", 0), 0);
}

/* The example of the Unicode standard, table 3-8: 2, 1, 3, 2 bytes, then an A. */
static void a_broken_character_ends_where_the_standard_says(void **state)
{
    (void)state;
    static const char text[] = "\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41";
    static const size_t expected[] = {2, 1, 3, 2};
    size_t at = 0;
    for (size_t i = 0; i < 4; i++) {
        uint32_t code = 0;
        tw_utf8_decode(text + at, sizeof text - 1 - at, &code);
        assert_int_equal(code, TW_UTF8_INVALID);
        assert_int_equal(tw_utf8_broken(text + at, sizeof text - 1 - at), expected[i]);
        at += expected[i];
    }
    assert_int_equal(text[at], 'A');
}

static void white_space_is_the_unicode_property_and_nothing_else(void **state)
{
    (void)state;
    static const uint32_t spaces[] = {0x09,   0x0a,   0x0b,   0x0c,   0x0d,   0x20,   0x85,
                                      0xa0,   0x1680, 0x2000, 0x2001, 0x2002, 0x2003, 0x2004,
                                      0x2005, 0x2006, 0x2007, 0x2008, 0x2009, 0x200a, 0x2028,
                                      0x2029, 0x202f, 0x205f, 0x3000};
    size_t next = 0;
    for (uint32_t code = 0; code <= TW_UTF8_INVALID; code++) {
        bool expected = next < sizeof spaces / sizeof spaces[0] && spaces[next] == code;
        next += expected;
        if (tw_utf8_is_space(code) != expected ||
            (tw_utf8_class(code) == TW_CHAR_SPACE) != expected) {
            fail_msg("U+%04X", code);
        }
    }
    assert_int_equal(next, 25);
}

static void characters_fall_into_the_class_of_their_category(void **state)
{
    (void)state;
    static const struct {
        uint32_t code;
        enum tw_char_class class;
    } rows[] = {
        {'a', TW_CHAR_LETTER},     {'Z', TW_CHAR_LETTER},     {0xe9, TW_CHAR_LETTER},
        {0x2b0, TW_CHAR_LETTER},   {0x1c5, TW_CHAR_LETTER},   {0x4e2d, TW_CHAR_LETTER},
        {0xac00, TW_CHAR_LETTER},  {0x20000, TW_CHAR_LETTER}, {'0', TW_CHAR_NUMBER},
        {0x663, TW_CHAR_NUMBER},   {0x2160, TW_CHAR_NUMBER},  {0xbd, TW_CHAR_NUMBER},
        {0x1d7d8, TW_CHAR_NUMBER}, {0x301, TW_CHAR_OTHER},    {0x93f, TW_CHAR_OTHER},
        {'_', TW_CHAR_OTHER},      {0x1f600, TW_CHAR_OTHER},  {0x200d, TW_CHAR_OTHER},
        {0xfeff, TW_CHAR_OTHER},   {0x378, TW_CHAR_OTHER},    {0, TW_CHAR_OTHER},
        {0x180e, TW_CHAR_OTHER},   {0x10ffff, TW_CHAR_OTHER}, {TW_UTF8_INVALID, TW_CHAR_OTHER},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(tw_utf8_class(rows[i].code), rows[i].class);
    }
}

static void word_characters_are_letters_marks_digits_and_connectors(void **state)
{
    (void)state;
    static const uint32_t words[] = {'a',   '9',    '_',    0xe9,   0x301,
                                     0x93f, 0x203f, 0x2160, 0x24b6, 0x200d};
    static const uint32_t others[] = {' ', '-', '.', 0xbd, 0x2460, 0x1f600, TW_UTF8_INVALID};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        assert_true(tw_utf8_is_word(words[i]));
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        assert_false(tw_utf8_is_word(others[i]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_point_survives_being_written_and_read),
        cmocka_unit_test(bytes_that_begin_no_character_are_read_one_by_one),
        cmocka_unit_test(only_a_character_that_more_bytes_complete_is_unfinished),
        cmocka_unit_test(a_broken_character_ends_where_the_standard_says),
        cmocka_unit_test(white_space_is_the_unicode_property_and_nothing_else),
        cmocka_unit_test(characters_fall_into_the_class_of_their_category),
        cmocka_unit_test(word_characters_are_letters_marks_digits_and_connectors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
