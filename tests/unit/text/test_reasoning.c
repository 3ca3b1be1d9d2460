#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "text/reasoning.h"

/* Reasoning in brackets, text as it is. */
struct heard {
    char reasoning[256], text[256];
};

static void hear(void *context, bool is_reasoning, struct tw_bytes piece)
{
    struct heard *heard = context;
    char *out = is_reasoning ? heard->reasoning : heard->text;
    assert_true(piece.size_bytes > 0);
    snprintf(out + strlen(out), 256 - strlen(out), "%.*s", (int)piece.size_bytes, piece.data);
}

static void expect_pieces(enum tw_reasoning_state state, const char *said, size_t first,
                          size_t size, const char *wanted, const char *wanted_text)
{
    struct tw_reasoning reasoning;
    struct heard heard = {.text = ""};
    const size_t n_bytes = strlen(said);
    tw_reasoning_init(&reasoning, state, hear, &heard);
    for (size_t at = 0, n = first; at < n_bytes; at += n, n = size) {
        n = n_bytes - at < n ? n_bytes - at : n;
        assert_true(tw_reasoning_push(&reasoning, said + at, n));
    }
    tw_reasoning_finish(&reasoning);
    tw_reasoning_free(&reasoning);
    assert_string_equal(heard.reasoning, wanted);
    assert_string_equal(heard.text, wanted_text);
}

/* Cut once at every place, and into pieces of every size. */
static void expect(enum tw_reasoning_state state, const char *said, const char *wanted,
                   const char *wanted_text)
{
    for (size_t n = 1; n <= strlen(said); n++) {
        expect_pieces(state, said, n, n, wanted, wanted_text);
        expect_pieces(state, said, n, strlen(said), wanted, wanted_text);
    }
}

static void a_thought_is_split_off(void **state)
{
    (void)state;
    expect(TW_REASONING_AT_BEGIN, "<think>\nHe greets.\n</think>\n\nHello!", "He greets.",
           "Hello!");
    expect(TW_REASONING_AT_BEGIN, "\n <think>a\n\n b</think>c", "a\n\n b", "c");
    expect(TW_REASONING_AT_BEGIN, "<think>\n\n</think>\n\nHello!", "", "Hello!");
    expect(TW_REASONING_AT_BEGIN, "<think>a < b </thin> </think></think> x", "a < b </thin>",
           "</think> x");
    expect(TW_REASONING_INSIDE, "\nHe greets.</think>\nHello!", "He greets.", "Hello!");
    expect(TW_REASONING_INSIDE, "a</think>\n\n\n{}", "a", "\n{}");
}

static void a_thought_that_never_ends_is_reasoning(void **state)
{
    (void)state;
    expect(TW_REASONING_AT_BEGIN, "<think>\nHe \n", "He", "");
    expect(TW_REASONING_INSIDE, "He greets </thi", "He greets </thi", "");
    expect(TW_REASONING_INSIDE, "a</think>\n", "a", "");
}

static void an_answer_without_one_is_text(void **state)
{
    (void)state;
    expect(TW_REASONING_AT_BEGIN, "Hello <think>a</think>", "", "Hello <think>a</think>");
    expect(TW_REASONING_AT_BEGIN, "\n\n<thin", "", "\n\n<thin");
    expect(TW_REASONING_AT_BEGIN, " <thing>", "", " <thing>");
    expect(TW_REASONING_TEXT, "<think>a</think>b", "", "<think>a</think>b");
}

static void the_prompt_says_how_an_answer_begins(void **state)
{
    (void)state;
    assert_int_equal(tw_reasoning_behind(tw_bytes_of("assistant\n<think>\n")), TW_REASONING_INSIDE);
    assert_int_equal(tw_reasoning_behind(tw_bytes_of("<think>\n\n</think>\n\n")),
                     TW_REASONING_TEXT);
    assert_int_equal(tw_reasoning_behind(tw_bytes_of("<|im_start|>assistant\n")),
                     TW_REASONING_AT_BEGIN);
    assert_int_equal(tw_reasoning_behind(tw_bytes_of("")), TW_REASONING_AT_BEGIN);
    assert_true(tw_reasoning_suits(tw_bytes_of("{{ '<think>' }}")));
    assert_false(tw_reasoning_suits(tw_bytes_of("{{ '<thin")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thought_is_split_off),
        cmocka_unit_test(a_thought_that_never_ends_is_reasoning),
        cmocka_unit_test(an_answer_without_one_is_text),
        cmocka_unit_test(the_prompt_says_how_an_answer_begins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
