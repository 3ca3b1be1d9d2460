#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/stop.h"

/* Token i < 256 is byte i; END ends, MARK is special without ending. */
enum { END = 256, MARK = 257, N_TOKENS = 258 };

static struct tw_tokenizer *tokenizer;

static int make_tokenizer(void **state)
{
    (void)state;
    static char texts[256][8];
    struct tw_bytes tokens[N_TOKENS];
    uint8_t kinds[N_TOKENS];
    float scores[N_TOKENS] = {0};
    for (int i = 0; i < 256; i++) {
        snprintf(texts[i], sizeof texts[i], "<0x%02X>", i);
        tokens[i] = (struct tw_bytes){texts[i], 6};
        kinds[i] = TW_TOKEN_BYTE;
    }
    tokens[END] = (struct tw_bytes){"</s>", 4};
    tokens[MARK] = (struct tw_bytes){"<|mark|>", 8};
    kinds[END] = kinds[MARK] = TW_TOKEN_CONTROL;
    const struct tw_tokenizer_spec spec = {
        .family = TW_TOKENIZER_SPM,
        .n_tokens = N_TOKENS,
        .tokens = tokens,
        .kinds = kinds,
        .scores = scores,
        .add_space_prefix = true,
        .bos = TW_TOKEN_NONE,
        .eos = END,
        .unknown = TW_TOKEN_NONE,
    };
    return tw_tokenizer_create(&spec, &tokenizer, NULL) == TW_OK ? 0 : -1;
}

static int free_tokenizer(void **state)
{
    (void)state;
    tw_tokenizer_free(tokenizer);
    return 0;
}

/* Pushes the bytes of text as tokens ('$' stands for END, '@' for MARK) until a reason comes;
 * *ret_n_pushed says how many were taken. */
static enum tw_finish run(const struct tw_stop_rules *rules, const char *text, char *ret_shown,
                          size_t *ret_n_pushed)
{
    struct tw_stop *stop = NULL;
    struct tw_buf out;
    tw_buf_init(&out, 4096);
    assert_int_equal(tw_stop_create(rules, tokenizer, &stop, NULL), TW_OK);
    enum tw_finish finish = TW_FINISH_NONE;
    size_t n = 0;
    for (; text[n] != '\0' && finish == TW_FINISH_NONE; n++) {
        tw_token token = text[n] == '$'   ? END
                         : text[n] == '@' ? MARK
                                          : (tw_token)(unsigned char)text[n];
        finish = tw_stop_push(stop, token, &out);
    }
    if (finish == TW_FINISH_NONE) {
        tw_stop_finish(stop, &out);
    }
    memcpy(ret_shown, out.size_bytes > 0 ? out.data : "", out.size_bytes);
    ret_shown[out.size_bytes] = '\0';
    *ret_n_pushed = n;
    tw_buf_free(&out);
    tw_stop_free(stop);
    return finish;
}

static void assert_run(struct tw_stop_rules rules, const char *text, enum tw_finish finish,
                       size_t n_pushed, const char *shown)
{
    char got[512];
    size_t n;
    assert_int_equal(run(&rules, text, got, &n), finish);
    assert_int_equal(n, n_pushed);
    assert_string_equal(got, shown);
}

static void an_end_token_ends_and_shows_nothing(void **state)
{
    (void)state;
    assert_run((struct tw_stop_rules){0}, "ab$cd", TW_FINISH_STOP, 3, "ab");
    assert_run((struct tw_stop_rules){.show_special = true}, "a@$", TW_FINISH_STOP, 3, "a<|mark|>");
    assert_run((struct tw_stop_rules){.ignore_end_tokens = true}, "ab$cd", TW_FINISH_NONE, 5,
               "abcd");
}

static void the_bound_counts_tokens_and_not_characters(void **state)
{
    (void)state;
    assert_run((struct tw_stop_rules){.max_tokens = 3}, "abcd", TW_FINISH_LENGTH, 3, "abc");
    assert_run((struct tw_stop_rules){.max_tokens = 3}, "@@@a", TW_FINISH_LENGTH, 3, "");
    assert_run((struct tw_stop_rules){.max_tokens = 3}, "ab$", TW_FINISH_STOP, 3, "ab");
    assert_run((struct tw_stop_rules){.max_tokens = 2}, " a", TW_FINISH_LENGTH, 2, " a");
}

static void held_back_text_comes_out_at_every_end_but_its_own(void **state)
{
    (void)state;
    const struct tw_bytes strings[] = {{"stop", 4}};
    struct tw_stop_rules rules = {.strings = strings, .n_strings = 1};
    assert_run(rules, "xstop!", TW_FINISH_STOP, 5, "x");
    assert_run(rules, "xsto$", TW_FINISH_STOP, 5, "xsto");
    assert_run(rules, "xsto", TW_FINISH_NONE, 4, "xsto");
    rules.max_tokens = 4;
    assert_run(rules, "xstop", TW_FINISH_LENGTH, 4, "xsto");
    rules.max_tokens = 5;
    assert_run(rules, "xstop", TW_FINISH_STOP, 5, "x");
}

static void half_a_character_never_comes_out(void **state)
{
    (void)state;
    const struct tw_bytes strings[] = {{"\xc3\xa9", 2}};
    struct tw_stop_rules rules = {.strings = strings, .n_strings = 1};
    assert_run(rules, "a\xc3\xa8z\xc3\xa9q", TW_FINISH_STOP, 6, "a\xc3\xa8z");
    assert_run(rules, "a\xc3", TW_FINISH_NONE, 2, "a\xef\xbf\xbd");
    assert_run(rules, "a\xe6\x97", TW_FINISH_NONE, 3, "a\xef\xbf\xbd");
    rules.max_tokens = 2;
    assert_run(rules, "a\xc3\xa8", TW_FINISH_LENGTH, 2, "a\xef\xbf\xbd");
}

static void every_reason_has_a_name(void **state)
{
    (void)state;
    assert_string_equal(tw_finish_name(TW_FINISH_STOP), "stop");
    assert_string_equal(tw_finish_name(TW_FINISH_LENGTH), "length");
    for (int i = TW_FINISH_STOP; i < TW_FINISH_COUNT; i++) {
        assert_true(tw_finish_name((enum tw_finish)i)[0] != '\0');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_end_token_ends_and_shows_nothing),
        cmocka_unit_test(the_bound_counts_tokens_and_not_characters),
        cmocka_unit_test(held_back_text_comes_out_at_every_end_but_its_own),
        cmocka_unit_test(half_a_character_never_comes_out),
        cmocka_unit_test(every_reason_has_a_name),
    };
    return cmocka_run_group_tests(tests, make_tokenizer, free_tokenizer);
}
