#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/mem.h"
#include "base/rng.h"
#include "text/normalise.h"
#include "text/utf8.h"

static const struct tw_normalise_step nfc = {.kind = TW_NORMALISE_NFC};

static struct tw_bytes apply(struct tw_normalise_scratch *scratch, struct tw_normalise_step step,
                             struct tw_bytes text)
{
    struct tw_bytes out = {0};
    assert_int_equal(tw_normalise(&step, 1, scratch, text, &out, NULL), TW_OK);
    return out;
}

/* utf8proc's whole-string function, which orders marks its own way. */
static void assert_as_utf8proc(struct tw_normalise_scratch *scratch, struct tw_bytes text)
{
    utf8proc_uint8_t *expected = NULL;
    utf8proc_ssize_t n =
        utf8proc_map((const utf8proc_uint8_t *)text.data, (utf8proc_ssize_t)text.size_bytes,
                     &expected, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    struct tw_bytes out = apply(scratch, nfc, text);
    if (n != (utf8proc_ssize_t)out.size_bytes || memcmp(out.data, expected, out.size_bytes) != 0) {
        for (size_t i = 0; i < text.size_bytes; i++) {
            print_error("%02x ", (unsigned char)text.data[i]);
        }
        fail_msg("is composed differently");
    }
    free(expected);
}

static bool is_scalar(uint32_t code)
{
    return code < 0xd800 || (code > 0xdfff && code < 0x110000);
}

static void every_character_alone_and_before_a_mark_is_composed_as_unicode_says(void **state)
{
    (void)state;
    struct tw_normalise_scratch scratch = {0};
    for (uint32_t code = 1; code < 0x110000; code++) {
        if (is_scalar(code)) {
            char text[16];
            size_t n = tw_utf8_encode(code, text);
            assert_as_utf8proc(&scratch, (struct tw_bytes){text, n});
            n += tw_utf8_encode(0x301, text + n);
            assert_as_utf8proc(&scratch, (struct tw_bytes){text, n});
        }
    }
    tw_normalise_scratch_free(&scratch);
}

/* Fails when a character that can be the second of a pair is taken for the start of a segment. */
static void every_pair_unicode_composes_is_composed(void **state)
{
    (void)state;
    struct tw_normalise_scratch scratch = {0};
    size_t n_pairs = 0;
    for (uint32_t code = 1; code < 0x110000; code++) {
        utf8proc_int32_t parts[8];
        int boundary = 0;
        utf8proc_ssize_t n_parts =
            is_scalar(code) ? utf8proc_decompose_char((utf8proc_int32_t)code, parts, 8,
                                                      UTF8PROC_STABLE | UTF8PROC_COMPOSE, &boundary)
                            : 0;
        char text[64];
        size_t n = 0;
        for (utf8proc_ssize_t i = 0; i < n_parts; i++) {
            n += tw_utf8_encode((uint32_t)parts[i], text + n);
        }
        if (n_parts > 1) {
            n_pairs++;
            assert_as_utf8proc(&scratch, (struct tw_bytes){text, n});
        }
    }
    assert_true(n_pairs > 12000); /* 11,172 of them Hangul */
    tw_normalise_scratch_free(&scratch);
}

static void mixed_characters_are_composed_as_unicode_says(void **state)
{
    (void)state;
    static const uint32_t pool[] = {'a',    'e',    0x300,  0x301,  0x308,  0x323,  0x327,   0x345,
                                    0x1100, 0x1161, 0x11a8, 0xac00, 0xac01, 0x3099, 0x304b,  0x9c7,
                                    0x9be,  0x9d7,  0x344,  0x1f71, 0x212b, 0xfb2a, 0x1d15e, 0xe9,
                                    0x4e2d, ' ',    0x1e0a, 0x5d0,  0x5b8,  0x5b4,  0xf71,   0xf72};
    struct tw_normalise_scratch scratch = {0};
    for (uint64_t round = 0; round < 20000; round++) {
        char text[256];
        size_t n = 0;
        uint32_t r[4];
        tw_rng_block(1, round, r);
        for (uint32_t i = 0; i < 1 + r[0] % 12; i++) {
            uint32_t pick[4];
            tw_rng_block(round, i, pick);
            n += tw_utf8_encode(pool[pick[0] % (sizeof pool / sizeof pool[0])], text + n);
        }
        assert_as_utf8proc(&scratch, (struct tw_bytes){text, n});
    }
    tw_normalise_scratch_free(&scratch);
}

/* Quadratic ordering would take hours here. */
static void a_text_of_nothing_but_marks_takes_linear_time(void **state)
{
    (void)state;
    enum { MARKS = 600000 };
    struct tw_normalise_scratch scratch = {0};
    char *text = tw_mem_alloc(MARKS, 2);
    size_t n = 0;
    for (int i = 0; i < MARKS; i++) {
        n += tw_utf8_encode(i % 2 == 0 ? 0x301 : 0x323, text + n);
    }
    struct tw_bytes out = apply(&scratch, nfc, (struct tw_bytes){text, n});
    assert_int_equal(out.size_bytes, n);
    for (size_t i = 0; i < MARKS; i++) {
        assert_memory_equal(out.data + 2 * i, i < MARKS / 2 ? "\xcc\xa3" : "\xcc\x81", 2);
    }
    tw_mem_free(text);
    tw_normalise_scratch_free(&scratch);
}

static void a_text_that_is_normal_already_is_not_copied(void **state)
{
    (void)state;
    static const char *const texts[] = {"plain",
                                        "h\xc3\xa9h\xc3\xa9",
                                        "\xe4\xb8\xad\xe6\x96\x87",
                                        "\xed\x95\x9c\xea\xb5\xad",
                                        "\xff\xfe",
                                        "q\xcc\xa3",
                                        ""};
    struct tw_normalise_scratch scratch = {0};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct tw_bytes out = apply(&scratch, nfc, tw_bytes_of(texts[i]));
        assert_ptr_equal(out.data, texts[i]);
    }
    tw_normalise_scratch_free(&scratch);
}

static void invalid_bytes_pass_through_and_do_not_combine(void **state)
{
    (void)state;
    static const char text[] = "e\xff\xcc\x81"
                               "e\xcc\x81\xc3"
                               "e\xcc\x81\xf0\x9f";
    struct tw_normalise_scratch scratch = {0};
    struct tw_bytes out = apply(&scratch, nfc, tw_bytes_of(text));
    static const char expected[] = "e\xff\xcc\x81\xc3\xa9\xc3\xc3\xa9\xf0\x9f";
    assert_int_equal(out.size_bytes, sizeof expected - 1);
    assert_memory_equal(out.data, expected, out.size_bytes);
    tw_normalise_scratch_free(&scratch);
}

static void assert_step(struct tw_normalise_step step, const char *text, const char *expected)
{
    struct tw_normalise_scratch scratch = {0};
    struct tw_bytes out = apply(&scratch, step, tw_bytes_of(text));
    assert_int_equal(out.size_bytes, strlen(expected));
    assert_memory_equal(out.data != NULL ? out.data : "", expected, out.size_bytes);
    tw_normalise_scratch_free(&scratch);
}

static void prepend_replace_and_trim_do_what_their_names_say(void **state)
{
    (void)state;
    struct tw_normalise_step prepend = {.kind = TW_NORMALISE_PREPEND, .to = {"_", 1}};
    assert_step(prepend, "a b", "_a b");
    assert_step(prepend, "", "");
    struct tw_normalise_step replace = {
        .kind = TW_NORMALISE_REPLACE, .from = {" ", 1}, .to = {"__", 2}};
    assert_step(replace, " a  b ", "__a____b__");
    assert_step(replace, "ab", "ab");
    struct tw_normalise_step overlap = {
        .kind = TW_NORMALISE_REPLACE, .from = {"aa", 2}, .to = {"a", 1}};
    assert_step(overlap, "aaaaa", "aaa");
    struct tw_normalise_step trim = {.kind = TW_NORMALISE_TRIM_SPACES};
    assert_step(trim, "  a   b c  ", "a b c");
    assert_step(trim, "   ", "");
    assert_step(trim, "a", "a");
}

static void steps_follow_one_another(void **state)
{
    (void)state;
    const struct tw_normalise_step steps[] = {
        {.kind = TW_NORMALISE_PREPEND, .to = {" ", 1}},
        {.kind = TW_NORMALISE_REPLACE, .from = {" ", 1}, .to = {"e", 1}},
        {.kind = TW_NORMALISE_REPLACE, .from = {"x", 1}, .to = {"\xcc\x81", 2}},
        nfc,
    };
    struct tw_normalise_scratch scratch = {0};
    struct tw_bytes out = {0};
    assert_int_equal(tw_normalise(steps, 4, &scratch, tw_bytes_of("x x"), &out, NULL), TW_OK);
    assert_int_equal(out.size_bytes, 4);
    assert_memory_equal(out.data, "\xc3\xa9\xc3\xa9", 4);
    tw_normalise_scratch_free(&scratch);
}

/* Each step doubles the text; none of them alone is out of the ordinary. */
static void steps_that_multiply_stop_in_proportion_to_the_text(void **state)
{
    (void)state;
    struct tw_normalise_step steps[TW_LIMIT_TOKENIZER_STEPS];
    for (size_t i = 0; i < TW_LIMIT_TOKENIZER_STEPS; i++) {
        steps[i] = (struct tw_normalise_step){
            .kind = TW_NORMALISE_REPLACE, .from = {"x", 1}, .to = {"xx", 2}};
    }
    struct tw_normalise_scratch scratch = {0};
    struct tw_bytes out = {0};
    struct tw_error error;
    static char text[1024];
    memset(text, 'x', sizeof text);
    struct tw_bytes whole = {text, sizeof text};
    assert_int_equal(tw_normalise(steps, 4, &scratch, whole, &out, &error), TW_OK);
    assert_int_equal(out.size_bytes, 16 * sizeof text);
    assert_int_equal(tw_normalise(steps, TW_LIMIT_TOKENIZER_STEPS, &scratch, whole, &out, &error),
                     TW_ERR_LIMIT);
    assert_non_null(strstr(error.text, "normalised text"));
    tw_normalise_scratch_free(&scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_character_alone_and_before_a_mark_is_composed_as_unicode_says),
        cmocka_unit_test(every_pair_unicode_composes_is_composed),
        cmocka_unit_test(mixed_characters_are_composed_as_unicode_says),
        cmocka_unit_test(a_text_of_nothing_but_marks_takes_linear_time),
        cmocka_unit_test(a_text_that_is_normal_already_is_not_copied),
        cmocka_unit_test(invalid_bytes_pass_through_and_do_not_combine),
        cmocka_unit_test(prepend_replace_and_trim_do_what_their_names_say),
        cmocka_unit_test(steps_follow_one_another),
        cmocka_unit_test(steps_that_multiply_stop_in_proportion_to_the_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
