#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "text/casing.h"
#include "text/utf8.h"

static void assert_lower(const char *text, const char *expected)
{
    char out[64];
    size_t n_out = 0, n_bytes = strlen(text);
    for (size_t at = 0; at < n_bytes;) {
        uint32_t code, codes[3];
        size_t n = tw_utf8_decode(text + at, n_bytes - at, &code);
        size_t n_codes = tw_casing_lower(text, n_bytes, at, n, code, codes);
        for (size_t i = 0; i < n_codes; i++) {
            n_out += tw_utf8_encode(codes[i], out + n_out);
        }
        at += n;
    }
    out[n_out] = '\0';
    assert_string_equal(out, expected);
}

static void a_sigma_at_the_end_of_a_word_is_a_final_one(void **state)
{
    (void)state;
    assert_lower("ΣΑΣ ΑΣ'Α ΑΣ.", "σας ασ'α ας.");
    assert_lower("Σ", "σ");
}

static void one_character_may_become_three(void **state)
{
    (void)state;
    uint32_t codes[3];
    assert_int_equal(tw_casing_upper(0xdf, codes), 2);
    assert_int_equal(tw_casing_upper(0x390, codes), 3);
    assert_int_equal(tw_casing_upper(0x1f80, codes), 2);
    assert_int_equal(codes[0], 0x1f08);
    assert_int_equal(tw_casing_title(0x1c6, codes), 1);
    assert_int_equal(codes[0], 0x1c5);
    assert_lower("İ", "i\u0307");
}

static void a_text_is_upper_if_it_has_letters_and_all_are(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool upper, lower;
    } rows[] = {{"AB1", true, false}, {"aB", false, false}, {"ab-", false, true},
                {"12", false, false}, {"", false, false},   {"Ⅷ", true, false},
                {"ǅ", false, false},  {"ª", false, true}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t n = strlen(rows[i].text);
        assert_int_equal(tw_casing_is_all(rows[i].text, n, true), rows[i].upper);
        assert_int_equal(tw_casing_is_all(rows[i].text, n, false), rows[i].lower);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sigma_at_the_end_of_a_word_is_a_final_one),
        cmocka_unit_test(one_character_may_become_three),
        cmocka_unit_test(a_text_is_upper_if_it_has_letters_and_all_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
