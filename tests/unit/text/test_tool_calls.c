#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "text/tool_calls.h"

/* What was given on: text as it is, a call as [name|arguments]. */
struct heard {
    char text[4096];
};

static void hear(void *context, const struct tw_tool_part *part)
{
    struct heard *heard = context;
    size_t n = strlen(heard->text);
    if (part->name != NULL) {
        snprintf(heard->text + n, sizeof heard->text - n, "[%s|%.*s]", part->name,
                 (int)part->arguments.size_bytes, part->arguments.data);
    } else {
        snprintf(heard->text + n, sizeof heard->text - n, "%.*s", (int)part->text.size_bytes,
                 part->text.data);
    }
}

/* The same in pieces of every size. */
static void expect(const char *said, const char *wanted)
{
    for (size_t size = 1; size <= strlen(said); size++) {
        struct tw_tool_parser parser;
        struct heard heard = {""};
        tw_tool_parser_init(&parser);
        for (size_t at = 0; at < strlen(said); at += size) {
            size_t n = strlen(said) - at < size ? strlen(said) - at : size;
            assert_true(tw_tool_parser_push(&parser, said + at, n, hear, &heard));
        }
        tw_tool_parser_finish(&parser, hear, &heard);
        tw_tool_parser_free(&parser);
        assert_string_equal(heard.text, wanted);
    }
}

#define CALL(name, arguments)                                                                      \
    "<tool_call>\n{\"name\": \"" name "\", \"arguments\": " arguments "}\n</tool_call>"

static void text_without_calls_is_given_on_whole(void **state)
{
    (void)state;
    expect("Hello, world!\n ", "Hello, world!\n ");
    expect("a < b, <tool> and <tool_calls are text", "a < b, <tool> and <tool_calls are text");
    expect("it ends with <tool_ca", "it ends with <tool_ca");
}

static void calls_are_taken_out(void **state)
{
    (void)state;
    expect(CALL("f", "{}"), "[f|{}]");
    expect("I look. \n" CALL("f", "{\"a\": [1, \"x\"]}") "\n" CALL("g", "{}") "\n",
           "I look.[f|{\"a\":[1,\"x\"]}][g|{}]");
    expect(CALL("f", "{}") " and text", "[f|{}] and text");
}

static void what_is_no_call_is_text(void **state)
{
    (void)state;
    expect("<tool_call>nonsense</tool_call>", "<tool_call>nonsense</tool_call>");
    expect("<tool_call>{\"name\": 5}</tool_call>.", "<tool_call>{\"name\": 5}</tool_call>.");
    expect("<tool_call>{\"name\": \"f\", \"arguments\": 3}</tool_call>",
           "<tool_call>{\"name\": \"f\", \"arguments\": 3}</tool_call>");
    expect("x<tool_call>{\"name\": \"f\"", "x<tool_call>{\"name\": \"f\"");
}

static void only_templates_with_that_form_suit(void **state)
{
    (void)state;
    const char *const texts[] = {"{{ '<tool_call>' }}", "no", "<tool_call><function=f>",
                                 "<tool_cal"};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(tw_tool_calls_suit((struct tw_bytes){texts[i], strlen(texts[i])}), i == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_without_calls_is_given_on_whole),
        cmocka_unit_test(calls_are_taken_out),
        cmocka_unit_test(what_is_no_call_is_text),
        cmocka_unit_test(only_templates_with_that_form_suit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
