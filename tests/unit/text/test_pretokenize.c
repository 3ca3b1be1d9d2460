#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "base/rng.h"
#include "text/pretokenize.h"
#include "text/utf8.h"

static const char gpt2[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|"
                           "\\s+(?!\\S)|\\s+";
static const char llama3[] =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|"
    " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
static const char qwen2[] = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|"
                            " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/* The words, each followed by '|'. */
static enum tw_status append(void *context, struct tw_bytes word, struct tw_error *error)
{
    struct tw_buf *out = context;
    (void)error;
    assert_true(word.size_bytes > 0);
    tw_buf_append(out, word.data, word.size_bytes);
    tw_buf_append(out, "|", 1);
    return TW_OK;
}

static struct tw_buf cut(const struct tw_pretokenize_step *steps, size_t n_steps,
                         struct tw_bytes text, bool is_first)
{
    struct tw_buf out;
    struct tw_pretokenize_scratch scratch = {0};
    tw_buf_init(&out, (size_t)1 << 20);
    assert_int_equal(tw_pretokenize(steps, n_steps, &scratch, text, is_first, append, &out, NULL),
                     TW_OK);
    tw_pretokenize_scratch_free(&scratch);
    tw_buf_append(&out, "", 1);
    return out;
}

static void assert_steps(const struct tw_pretokenize_step *steps, size_t n_steps, const char *text,
                         bool is_first, const char *expected)
{
    struct tw_buf out = cut(steps, n_steps, tw_bytes_of(text), is_first);
    assert_string_equal(out.data, expected);
    tw_buf_free(&out);
}

static void assert_cut(enum tw_pretokenize_kind kind, const char *text, const char *expected)
{
    struct tw_pretokenize_step step = {.kind = kind};
    assert_steps(&step, 1, text, true, expected);
}

static void gpt2_cuts_where_its_pattern_cuts(void **state)
{
    (void)state;
    enum tw_pretokenize_kind kind = TW_PRETOKENIZE_GPT2;
    assert_cut(kind, "Hello world", "Hello| world|");
    assert_cut(kind, "it's we'll I'VE", "it|'s| we|'ll| I|'|VE|");
    assert_cut(kind, "a1b 22 c", "a|1|b| 22| c|");
    assert_cut(kind, "x  y   z", "x| | y|  | z|");
    assert_cut(kind, "x \n y", "x| \n| y|");
    assert_cut(kind, "x\n\ny  ", "x|\n|\n|y|  |");
    assert_cut(kind, "a!!! ??", "a|!!!| ??|");
    assert_cut(kind, "\xc3\xa9t\xc3\xa9 \xe4\xb8\xad\xe6\x96\x87\xef\xbc\x81",
               "\xc3\xa9t\xc3\xa9| \xe4\xb8\xad\xe6\x96\x87|\xef\xbc\x81|");
    assert_cut(kind, "a\xc2\xa0 b", "a|\xc2\xa0| b|");
    assert_cut(kind, " ", " |");
    assert_cut(kind,
               "\xff"
               "a \xff",
               "\xff|a| \xff|");
}

static void llama3_cuts_where_its_pattern_cuts(void **state)
{
    (void)state;
    enum tw_pretokenize_kind kind = TW_PRETOKENIZE_LLAMA3;
    assert_cut(kind, "It'S we'LL I'Ve", "It|'S| we|'LL| I|'Ve|");
    assert_cut(kind, "o'\xc5\xbfx", "o|'\xc5\xbf|x|");
    assert_cut(kind, "1234567 12", "123|456|7| |12|");
    assert_cut(kind, "(a) _b -c", "(a|)| _|b| -|c|");
    assert_cut(kind, "x!!\n\ny", "x|!!\n\n|y|");
    assert_cut(kind, "x  \n  \n  y", "x|  \n  \n| | y|");
    assert_cut(kind, "\ta\n\tb", "\ta|\n|\tb|");
    assert_cut(kind, "a\r\n\r\nb", "a|\r\n\r\n|b|");
    assert_cut(kind, "x   ", "x|   |");
    assert_cut(kind,
               "\xc2\xa0"
               "a\xe3\x80\x80\xe4\xb8\xad",
               "\xc2\xa0"
               "a|\xe3\x80\x80\xe4\xb8\xad|");
    assert_cut(kind, "\n x", "\n| x|");
    assert_cut(kind, "'", "'|");
    assert_cut(kind, "''s", "''|s|");
}

static void qwen2_takes_digits_one_by_one(void **state)
{
    (void)state;
    assert_cut(TW_PRETOKENIZE_QWEN2, "1234 x5", "1|2|3|4| x|5|");
    assert_cut(TW_PRETOKENIZE_QWEN2, "\xd9\xa3\xd9\xa4\xc2\xbd", "\xd9\xa3|\xd9\xa4|\xc2\xbd|");
}

static size_t random_text(uint64_t seed, char *text)
{
    static const char *const pool[] = {"a",
                                       "Z",
                                       "s",
                                       "'",
                                       "'ll",
                                       "'S",
                                       "1",
                                       "9",
                                       " ",
                                       " ",
                                       "  ",
                                       "\n",
                                       "\r",
                                       "\t",
                                       "!",
                                       "_",
                                       "-",
                                       "\xc3\xa9",
                                       "\xc5\xbf",
                                       "\xe4\xb8\xad",
                                       "\xcc\x81",
                                       "\xc2\xa0",
                                       "\xe3\x80\x80",
                                       "\xc2\x85",
                                       "\xe2\x80\xa8",
                                       "\xf0\x9f\x98\x80",
                                       "\xd9\xa3",
                                       "\xc2\xbd",
                                       "\xe2\x85\xa0",
                                       "\xef\xbb\xbf",
                                       "\xe1\xa0\x8e",
                                       "\xe2\x80\x8d",
                                       "\xce\xa9",
                                       "\xf0\x9d\x9f\x98",
                                       "re",
                                       "VE",
                                       "d",
                                       "\v",
                                       "\xcd\xb8"};
    size_t n = 0;
    for (uint64_t i = 0; i < 1 + seed % 20; i++) {
        uint32_t r[4];
        tw_rng_block(seed, i, r);
        const char *piece = pool[r[0] % (sizeof pool / sizeof pool[0])];
        memcpy(text + n, piece, strlen(piece));
        n += strlen(piece);
    }
    return n;
}

/* The hand-written pre-tokenizers against PCRE2 running the very expression. */
static void hand_written_and_regular_expression_cut_alike(void **state)
{
    (void)state;
    static const struct {
        const char *source;
        enum tw_pretokenize_kind kind;
    } rows[] = {{gpt2, TW_PRETOKENIZE_GPT2},
                {llama3, TW_PRETOKENIZE_LLAMA3},
                {qwen2, TW_PRETOKENIZE_QWEN2}};
    for (size_t row = 0; row < 3; row++) {
        struct tw_pattern *pattern = NULL;
        assert_int_equal(tw_pattern_create(tw_bytes_of(rows[row].source), &pattern, NULL), TW_OK);
        struct tw_pretokenize_step by_hand = {.kind = rows[row].kind};
        struct tw_pretokenize_step by_pattern = {.kind = TW_PRETOKENIZE_PATTERN,
                                                 .pattern = pattern};
        for (uint64_t seed = 0; seed < 20000; seed++) {
            char text[256];
            struct tw_bytes bytes = {text, random_text(seed, text)};
            struct tw_buf a = cut(&by_hand, 1, bytes, true);
            struct tw_buf b = cut(&by_pattern, 1, bytes, true);
            assert_string_equal(a.data, b.data);
            tw_buf_free(&a);
            tw_buf_free(&b);
        }
        tw_pattern_free(pattern);
    }
}

static void only_the_exact_expression_is_replaced_by_hand_written_code(void **state)
{
    (void)state;
    enum tw_pretokenize_kind kind = TW_PRETOKENIZE_KIND_COUNT;
    assert_true(tw_pretokenize_known(tw_bytes_of(gpt2), &kind));
    assert_int_equal(kind, TW_PRETOKENIZE_GPT2);
    assert_true(tw_pretokenize_known(tw_bytes_of(llama3), &kind));
    assert_int_equal(kind, TW_PRETOKENIZE_LLAMA3);
    assert_true(tw_pretokenize_known(tw_bytes_of(qwen2), &kind));
    assert_int_equal(kind, TW_PRETOKENIZE_QWEN2);
    assert_false(tw_pretokenize_known((struct tw_bytes){qwen2, sizeof qwen2 - 2}, &kind));
    assert_false(tw_pretokenize_known(tw_bytes_of(""), &kind));
}

static struct tw_pretokenize_step on_string(enum tw_pretokenize_behaviour behaviour, bool invert)
{
    return (struct tw_pretokenize_step){
        .kind = TW_PRETOKENIZE_STRING, .text = {"-", 1}, .behaviour = behaviour, .invert = invert};
}

/* The examples of Hugging Face's documentation of SplitDelimiterBehavior, and inverted ones. */
static void each_behaviour_does_with_matches_what_it_is_named_for(void **state)
{
    (void)state;
    static const struct {
        enum tw_pretokenize_behaviour behaviour;
        bool invert;
        const char *expected;
    } rows[] = {
        {TW_PRETOKENIZE_REMOVED, false, "the|final|countdown|"},
        {TW_PRETOKENIZE_ISOLATED, false, "the|-|final|-|-|countdown|"},
        {TW_PRETOKENIZE_MERGED_WITH_PREVIOUS, false, "the-|final-|-|countdown|"},
        {TW_PRETOKENIZE_MERGED_WITH_NEXT, false, "the|-final|-|-countdown|"},
        {TW_PRETOKENIZE_CONTIGUOUS, false, "the|-|final|--|countdown|"},
        {TW_PRETOKENIZE_REMOVED, true, "-|-|-|"},
        {TW_PRETOKENIZE_MERGED_WITH_PREVIOUS, true, "the|-final|-|-countdown|"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tw_pretokenize_step step = on_string(rows[i].behaviour, rows[i].invert);
        assert_steps(&step, 1, "the-final--countdown", true, rows[i].expected);
    }
    struct tw_pretokenize_step removed = on_string(TW_PRETOKENIZE_REMOVED, false);
    assert_steps(&removed, 1, "---", true, "");
}

static void digits_are_cut_off_in_runs_or_one_by_one(void **state)
{
    (void)state;
    assert_cut(TW_PRETOKENIZE_DIGITS, "ab12 3\xd9\xa3", "ab|12| |3\xd9\xa3|");
    assert_cut(TW_PRETOKENIZE_EACH_DIGIT, "12ab34", "1|2|ab|3|4|");
    assert_cut(TW_PRETOKENIZE_EACH_DIGIT, "no digits", "no digits|");
}

static void a_space_goes_before_a_piece_that_has_none(void **state)
{
    (void)state;
    assert_cut(TW_PRETOKENIZE_SPACE_PREFIX, "a b", " a b|");
    assert_cut(TW_PRETOKENIZE_SPACE_PREFIX, " a", " a|");
    assert_cut(TW_PRETOKENIZE_SPACE_PREFIX, "\na", " \na|");
}

#define M "\xe2\x96\x81"

static void metaspace_marks_and_cuts_words(void **state)
{
    (void)state;
    struct tw_pretokenize_step step = {.kind = TW_PRETOKENIZE_METASPACE,
                                       .text = {M, 3},
                                       .behaviour = TW_PRETOKENIZE_MERGED_WITH_NEXT};
    assert_steps(&step, 1, "a b  c", true, M "a|" M "b|" M "|" M "c|");
    assert_steps(&step, 1, " a", true, M "a|");
    step.keep_whole = true;
    assert_steps(&step, 1, "a b", false, M "a" M "b|");
    step.prepend = TW_PRETOKENIZE_PREPEND_FIRST;
    assert_steps(&step, 1, "a b", true, M "a" M "b|");
    assert_steps(&step, 1, "a b", false, "a" M "b|");
    step.prepend = TW_PRETOKENIZE_PREPEND_NEVER;
    assert_steps(&step, 1, "a b ", true, "a" M "b" M "|");
}

static void later_steps_see_each_piece_as_a_text_of_its_own(void **state)
{
    (void)state;
    const struct tw_pretokenize_step steps[] = {
        {.kind = TW_PRETOKENIZE_EACH_DIGIT},
        {.kind = TW_PRETOKENIZE_SPACE_PREFIX},
        {.kind = TW_PRETOKENIZE_GPT2},
    };
    assert_steps(steps, 3, "a  1b", true, " a|  | 1| b|");
    assert_steps(steps, 0, "a  1b", true, "a  1b|");
    assert_steps(steps, 3, "", true, "");
}

static enum tw_status refuse(void *context, struct tw_bytes word, struct tw_error *error)
{
    int *n_calls = context;
    (void)word;
    (void)error;
    ++*n_calls;
    return TW_ERR_CANCELLED;
}

static void a_failing_callback_ends_the_cutting(void **state)
{
    (void)state;
    const struct tw_pretokenize_step steps[] = {{.kind = TW_PRETOKENIZE_DIGITS},
                                                {.kind = TW_PRETOKENIZE_GPT2}};
    struct tw_pretokenize_scratch scratch = {0};
    int n_calls = 0;
    assert_int_equal(
        tw_pretokenize(steps, 2, &scratch, tw_bytes_of("a 1 b 2"), true, refuse, &n_calls, NULL),
        TW_ERR_CANCELLED);
    assert_int_equal(n_calls, 1);
    tw_pretokenize_scratch_free(&scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gpt2_cuts_where_its_pattern_cuts),
        cmocka_unit_test(llama3_cuts_where_its_pattern_cuts),
        cmocka_unit_test(qwen2_takes_digits_one_by_one),
        cmocka_unit_test(hand_written_and_regular_expression_cut_alike),
        cmocka_unit_test(only_the_exact_expression_is_replaced_by_hand_written_code),
        cmocka_unit_test(each_behaviour_does_with_matches_what_it_is_named_for),
        cmocka_unit_test(digits_are_cut_off_in_runs_or_one_by_one),
        cmocka_unit_test(a_space_goes_before_a_piece_that_has_none),
        cmocka_unit_test(metaspace_marks_and_cuts_words),
        cmocka_unit_test(later_steps_see_each_piece_as_a_text_of_its_own),
        cmocka_unit_test(a_failing_callback_ends_the_cutting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
