#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/rng.h"
#include "text/tool_calls.h"

#define HERMES "{{ '<tool_call>' }}"
#define CODER  "{{ '<tool_call>\n<function=' }}"
#define LLAMA  "{{ '<|start_header_id|>' }}{{ '\"parameters\": ' }}"

static json_t *json_of(const char *text)
{
    json_t *value = NULL;
    struct tw_error error;
    assert_int_equal(tw_json_parse(text, strlen(text), "json", &value, &error), TW_OK);
    return value;
}

/* What was given on: text as it is, a call as [name|arguments, and ] where something else comes. */
struct heard {
    char text[4096];
    size_t n_pieces; /* of arguments */
    bool is_in_call;
};

static void add(struct heard *heard, const char *text, size_t n_bytes)
{
    size_t n = strlen(heard->text);
    snprintf(heard->text + n, sizeof heard->text - n, "%.*s", (int)n_bytes, text);
}

static void hear(void *context, const struct tw_tool_part *part)
{
    struct heard *heard = context;
    assert_true(part->bytes.size_bytes > 0);
    if (heard->is_in_call && part->kind != TW_TOOL_ARGUMENTS) {
        add(heard, "]", 1);
        heard->is_in_call = false;
    }
    if (part->kind == TW_TOOL_CALL) {
        add(heard, "[", 1);
        heard->is_in_call = true;
    }
    add(heard, part->bytes.data, part->bytes.size_bytes);
    add(heard, "|", part->kind == TW_TOOL_CALL);
    heard->n_pieces += part->kind == TW_TOOL_ARGUMENTS;
}

static const char tools_text[] =
    "[{\"function\": {\"name\": \"f\", \"parameters\": {\"type\": \"object\", \"properties\": {"
    "\"s\": {\"type\": \"string\"}, \"n\": {\"type\": \"integer\"}, \"b\": {\"type\": \"boolean\"},"
    "\"l\": {\"type\": \"array\"}, \"m\": {\"type\": [\"string\", \"null\"]},"
    "\"e\": {\"enum\": [\"x\", \"y\"]}, \"r\": {\"$ref\": \"#/$defs/t\"}, \"any\": {},"
    "\"u\": {\"anyOf\": [{\"type\": \"string\"}, {\"const\": \"z\"}]}},"
    "\"$defs\": {\"t\": {\"type\": \"string\", \"maxLength\": 3}}}}}]";

static struct heard listen_to(const char *template, const char *said, uint64_t cuts)
{
    const struct tw_tool_form *form = tw_tool_form_detect(tw_bytes_of(template));
    struct tw_tool_parser parser;
    struct heard heard = {.text = ""};
    json_t *tools = json_of(tools_text);
    const size_t n_bytes = strlen(said);
    assert_non_null(form);
    tw_tool_parser_init(&parser, form, tools, hear, &heard);
    for (size_t at = 0, end = 0; at < n_bytes; at = end) {
        end = at + 1;
        while (end < n_bytes && (cuts >> end % 64 & 1) == 0) {
            end++;
        }
        assert_true(tw_tool_parser_push(&parser, said + at, end - at));
    }
    tw_tool_parser_finish(&parser);
    tw_tool_parser_free(&parser);
    json_decref(tools);
    add(&heard, "]", heard.is_in_call);
    return heard;
}

/* The same whole, byte by byte, in two pieces of every size, and cut at random. */
static void expect(const char *template, const char *said, const char *wanted)
{
    const struct heard whole = listen_to(template, said, 0);
    assert_string_equal(whole.text, wanted);
    for (unsigned i = 0; i < 64; i++) {
        assert_string_equal(listen_to(template, said, UINT64_C(1) << i).text, wanted);
    }
    assert_string_equal(listen_to(template, said, UINT64_MAX).text, wanted);
    for (uint64_t i = 0; i < 200; i++) {
        uint32_t words[4];
        tw_rng_block(7, i, words);
        const uint64_t cuts = (uint64_t)words[0] << 32 | words[1];
        assert_string_equal(listen_to(template, said, cuts).text, wanted);
    }
}

/* ---- <tool_call> around an object ---- */

#define CALL(name, arguments)                                                                      \
    "<tool_call>\n{\"name\": \"" name "\", \"arguments\": " arguments "}\n</tool_call>"

static void text_without_calls_is_given_on_whole(void **state)
{
    (void)state;
    expect(HERMES, "Hello, world!\n ", "Hello, world!\n ");
    expect(HERMES, "a < b, <tool> and <tool_calls are text",
           "a < b, <tool> and <tool_calls are text");
    expect(CODER, "it ends with <tool_ca", "it ends with <tool_ca");
    expect(LLAMA, "It is {\"name\": \"f\", \"parameters\": {}}.",
           "It is {\"name\": \"f\", \"parameters\": {}}.");
    expect(LLAMA, "  ", "  ");
}

static void calls_are_taken_out(void **state)
{
    (void)state;
    expect(HERMES, CALL("f", "{}"), "[f|{}]");
    expect(HERMES, "I look. \n" CALL("f", "{\"a\": [1, \"x\"]}") "\n" CALL("g", "{}") "\n",
           "I look.[f|{\"a\": [1, \"x\"]}][g|{}]");
    expect(HERMES, CALL("f", "{}") " and text", "[f|{}] and text");
    expect(HERMES, CALL("f", "{\"a\": \"</tool_call>\", \"b\": {\"c\": \"}\\\"\"}}"),
           "[f|{\"a\": \"</tool_call>\", \"b\": {\"c\": \"}\\\"\"}}]");
    expect(HERMES,
           "<tool_call>{\"arguments\": {\"a\": 1}, \"id\": 3, \"name\": \"f\\u0061\"}</tool_call>",
           "[fa|{\"a\": 1}]");
    expect(HERMES,
           "<tool_call>{\"type\": {\"name\": 1}, \"name\": \"f\", \"parameters\": {}, \"x\": [{}]}",
           "[f|{}]");
}

static void what_is_no_call_is_text(void **state)
{
    (void)state;
    const char *const texts[] = {
        "<tool_call>nonsense</tool_call>",
        "<tool_call>{\"name\": 5}</tool_call>.",
        "<tool_call>{\"name\": \"f\", \"arguments\": 3}</tool_call>",
        "<tool_call>{\"name\": \"f\", \"arguments\": \"{}\"}</tool_call>",
        "<tool_call>{\"name\": \"\", \"arguments\": {}}</tool_call>",
        "<tool_call>[{\"name\": \"f\", \"arguments\": {}}]</tool_call>",
        "<tool_call>{\"x\": {\"name\": \"f\", \"arguments\": {}}}</tool_call>",
        "x<tool_call>{\"name\": \"f\"",
        "<tool_call>\n{\"name\": \"f\", \"arguments\": ",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        expect(HERMES, texts[i], texts[i]);
    }
    expect(HERMES, "<tool_call>" CALL("f", "{}"), "<tool_call>[f|{}]");
}

static void a_call_that_breaks_off_has_the_arguments_that_were_there(void **state)
{
    (void)state;
    expect(HERMES, "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": \"hel",
           "[f|{\"a\": \"hel]");
    expect(HERMES, "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": 1}", "[f|{\"a\": 1}]");
    expect(HERMES, CALL("f", "{\"a\": 1}") "\n<tool_c", "[f|{\"a\": 1}]\n<tool_c");
    expect(HERMES, "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": oh}}</tool_call>",
           "[f|{\"a\": ]oh}}</tool_call>");
    expect(HERMES, "<tool_call>{\"name\": \"f\", \"arguments\": {}} yes", "[f|{}] yes");
    expect(LLAMA, "{\"name\": \"f\", \"parameters\": {\"a\": [1, 2", "[f|{\"a\": [1, 2]");
    expect(LLAMA, "{\"name\": \"f\", \"parameters\": {\"a\" 5", "[f|{\"a\" ]5");
    expect(CODER, "<tool_call>\n<function=f>\n<parameter=s>\nhel\n</par", "[f|{\"s\": \"hel]");
    expect(CODER, "<tool_call><function=f><parameter=n>12", "[f|{\"n\": ]");
    expect(CODER, "<tool_call><function=f><parameter=n>1</parameter> so </function>",
           "[f|{\"n\": 1] so </function>");
}

/* ---- parameters between tags ---- */

#define P(name, value) "<parameter=" name ">\n" value "\n</parameter>\n"
#define F(name, parameters)                                                                        \
    "<tool_call>\n<function=" name ">\n" parameters "</function>\n</tool_call>"

static void parameters_become_an_object(void **state)
{
    (void)state;
    expect(CODER, F("f", ""), "[f|{}]");
    expect(CODER, "I look.\n" F("f", P("s", "a\n\"b\"\t<x>") P("n", "12")) "\n" F("g", P("z", "7")),
           "I look.[f|{\"s\": \"a\\n\\\"b\\\"\\t<x>\", \"n\": 12}][g|{\"z\": \"7\"}]");
    expect(CODER, "<tool_call><function=f><parameter=s>ü</parameter></function></tool_call>",
           "[f|{\"s\": \"ü\"}]");
    expect(CODER, F("f", P("s", "") P("s", "\n") P("s", "null")),
           "[f|{\"s\": \"\", \"s\": \"\\n\", \"s\": \"null\"}]");
}

static void values_have_the_types_of_the_schema(void **state)
{
    (void)state;
    expect(CODER, F("f", P("n", "12") P("b", "True") P("l", "[1,\n 2]") P("m", "null")),
           "[f|{\"n\": 12, \"b\": true, \"l\": [1,\n 2], \"m\": null}]");
    expect(CODER, F("f", P("m", "5") P("e", "x") P("r", "1") P("u", "{}") P("any", "{}")),
           "[f|{\"m\": \"5\", \"e\": \"x\", \"r\": \"1\", \"u\": \"{}\", \"any\": {}}]");
    expect(CODER, F("f", P("n", "many") P("b", "1") P("any", "so\nso")),
           "[f|{\"n\": \"many\", \"b\": \"1\", \"any\": \"so\\nso\"}]");
}

static void a_tag_in_a_string_of_a_list_is_text(void **state)
{
    (void)state;
    expect(CODER, F("f", P("l", "[\"a</parameter>b\"]") P("n", "1")),
           "[f|{\"l\": [\"a</parameter>b\"], \"n\": 1}]");
    expect(CODER, F("f", P("any", "{\"</parameter>\": [\"\\\"</parameter>\"]}")),
           "[f|{\"any\": {\"</parameter>\": [\"\\\"</parameter>\"]}}]");
    /* Where it is no JSON, the first tag ends it. */
    expect(CODER, F("f", P("l", "a</parameter>") ""),
           "[f|{\"l\": \"a\"]\n</parameter>\n</function>\n</tool_call>");
}

static void what_are_no_parameters_is_text(void **state)
{
    (void)state;
    const char *const texts[] = {
        "<tool_call>\n<function=>\n</function>\n</tool_call>",
        "<tool_call>\n<function=f g\n>",
        "<tool_call>\n<function=f>\nnonsense</function>",
        "<tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call>",
        "<tool_call>\n<function=f>\n<parameter=s",
        "<function=f></function>",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        expect(CODER, texts[i], texts[i]);
    }
}

/* ---- objects without tags ---- */

static void an_answer_of_objects_is_calls(void **state)
{
    (void)state;
    expect(LLAMA, "\n{\"name\": \"f\", \"parameters\": {\"a\": \"b\"}}\n", "[f|{\"a\": \"b\"}]");
    expect(LLAMA, "<|python_tag|>{\"name\": \"f\", \"parameters\": {}}", "[f|{}]");
    expect(LLAMA,
           "{\"type\": \"function\", \"name\": \"f\", \"parameters\": {\"a\": 1}}; "
           "{\"name\": \"g\", \"arguments\": {}}\n{\"name\": \"h\", \"parameters\": {}}",
           "[f|{\"a\": 1}][g|{}][h|{}]");
}

static void an_answer_that_is_no_object_of_a_call_is_text(void **state)
{
    (void)state;
    const char *const texts[] = {
        "{\"name\": \"Anna\", \"age\": 3}",
        "{ \"parameters\": {}}",
        "[1]",
        "<|python_tag|>print(1)",
        "<|python",
        "\n",
        "{\"name\": \"f\", \"parameters\": null} {\"name\": \"f\", \"parameters\": {}}"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        expect(LLAMA, texts[i], texts[i]);
    }
    expect(LLAMA, "{\"name\": \"f\", \"parameters\": {}}; done", "[f|{}]; done");
}

/* ---- */

static void arguments_come_while_they_are_written(void **state)
{
    (void)state;
    const char *const texts[][2] = {
        {HERMES, CALL("f", "{\"a\": \"a long text\", \"b\": [1, 2, 3]}")},
        {LLAMA, "{\"name\": \"f\", \"parameters\": {\"a\": \"a long text\"}}"},
        {CODER, F("f", P("s", "a long text that comes letter by letter"))},
    };
    for (size_t i = 0; i < 3; i++) {
        assert_in_range(listen_to(texts[i][0], texts[i][1], UINT64_MAX).n_pieces, 10, 100);
        assert_in_range(listen_to(texts[i][0], texts[i][1], 0).n_pieces, 1, 8);
    }
}

static void a_call_that_never_begins_is_text_at_last(void **state)
{
    (void)state;
    struct tw_tool_parser parser;
    struct heard heard = {.text = ""};
    static const char piece[] = "                                                               \n";
    tw_tool_parser_init(&parser, tw_tool_form_detect(tw_bytes_of(CODER)), NULL, hear, &heard);
    assert_true(tw_tool_parser_push(&parser, "<tool_call>", 11));
    for (size_t n = 0; n < TW_LIMIT_TOOL_CALL_BYTES && heard.text[0] == '\0'; n += 64) {
        assert_true(tw_tool_parser_push(&parser, piece, 64));
    }
    assert_memory_equal(heard.text, "<tool_call> ", 12);
    tw_tool_parser_free(&parser);
}

static void forms_are_told_apart_by_the_template(void **state)
{
    (void)state;
    const struct tw_tool_form *forms[] = {tw_tool_form_detect(tw_bytes_of(HERMES)),
                                          tw_tool_form_detect(tw_bytes_of(CODER)),
                                          tw_tool_form_detect(tw_bytes_of(LLAMA))};
    assert_true(forms[0] != NULL && forms[1] != NULL && forms[2] != NULL);
    assert_true(forms[0] != forms[1] && forms[1] != forms[2] && forms[0] != forms[2]);
    const char *const none[] = {"no", "<tool_cal", "<|start_header_id|>", "<function=", ""};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        assert_null(tw_tool_form_detect(tw_bytes_of(none[i])));
    }
}

/* ---- calls that are prescribed ---- */

static bool accepts(const struct tw_automaton *automaton, const char *text)
{
    struct tw_walk walk;
    tw_walk_begin(&walk);
    for (size_t i = 0; text[i] != '\0'; i++) {
        if (!tw_walk_step(automaton, &walk, (unsigned char)text[i])) {
            return false;
        }
    }
    return tw_walk_accepts(automaton, &walk);
}

#define PARAMETERS                                                                                 \
    "{\"type\": \"object\", \"required\": [\"s\"], \"properties\": {\"s\": {\"type\": \"string\"," \
    "\"maxLength\": 9}, \"n\": {\"type\": \"integer\"}, \"m\": {\"type\": [\"string\", "           \
    "\"null\"]},"                                                                                  \
    "\"e\": {\"$ref\": \"#/$defs/e\"}}, \"$defs\": {\"e\": {\"enum\": [\"x\", \"y\"]}},"           \
    "\"additionalProperties\": false}"

static struct tw_automaton *compile(const char *template, bool may_repeat, bool is_thinking)
{
    json_t *functions =
        json_of("[{\"name\": \"f\", \"parameters\": " PARAMETERS "}, {\"name\": \"g\"}]");
    const struct tw_tool_wish wish = {functions, may_repeat, is_thinking};
    struct tw_automaton *automaton = NULL;
    struct tw_error error = {.text = ""};
    enum tw_status status = tw_tool_calls_compile(tw_tool_form_detect(tw_bytes_of(template)), &wish,
                                                  &automaton, &error);
    assert_string_equal(error.text, "");
    assert_int_equal(status, TW_OK);
    json_decref(functions);
    return automaton;
}

static void expect_accepted(const char *template, const char *call, const char *separator)
{
    char twice[512], thought[512];
    snprintf(twice, sizeof twice, "%s%s%s", call, separator, call);
    snprintf(thought, sizeof thought, "so {\"<tool_call> </think\n</think>\n\n%s", call);
    struct tw_automaton *one = compile(template, false, false),
                        *many = compile(template, true, false);
    struct tw_automaton *thinking = compile(template, false, true);
    assert_true(accepts(one, call));
    assert_false(accepts(one, twice));
    assert_int_equal(accepts(many, call), true);
    assert_int_equal(accepts(many, twice), separator[0] != '\0');
    assert_false(accepts(one, thought));
    assert_true(accepts(thinking, thought));
    assert_false(accepts(thinking, call));
    assert_false(accepts(one, "text"));
    tw_automaton_free(one);
    tw_automaton_free(many);
    tw_automaton_free(thinking);
}

static void a_prescribed_call_has_the_models_form(void **state)
{
    (void)state;
    expect_accepted(HERMES, CALL("f", "{\"s\": \"a\", \"n\": 5}"), "\n");
    expect_accepted(LLAMA, "{\"name\": \"f\", \"parameters\": {\"s\": \"a\"}}", "");
    expect_accepted(CODER, F("f", P("s", "a") P("n", "5") P("m", "\"q\"") P("e", "x")), "\n");
    expect_accepted(CODER, F("g", ""), "\n");
}

static void prescribed_parameters_keep_the_schema(void **state)
{
    (void)state;
    struct tw_automaton *automaton = compile(CODER, false, false);
    assert_true(accepts(automaton, F("f", P("s", "\n\"<x>") P("m", "null"))));
    const char *const wrong[] = {
        F("f", ""),
        F("f", P("n", "5") P("s", "a")),
        F("f", P("s", "a") P("n", "x")),
        F("f", P("s", "more than nine letters")),
        F("f", P("s", "a") P("e", "z")),
        F("f", P("s", "a") P("m", "bare")),
        F("f", P("s", "</parameter>")),
        F("h", ""),
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_false(accepts(automaton, wrong[i]));
    }
    tw_automaton_free(automaton);
}

static void parameters_that_the_form_cannot_spell_are_refused(void **state)
{
    (void)state;
    const char *const texts[] = {
        "[{\"name\": \"f\", \"parameters\": {\"anyOf\": []}}]",
        "[{\"name\": \"f\", \"parameters\": {\"type\": \"string\"}}]",
        "[{\"name\": \"f\", \"parameters\": {\"required\": [\"a\"]}}]",
        "[{\"name\": \"f\", \"parameters\": {\"properties\": {\"a>\": {}}}}]",
        "[{\"name\": \"f\", \"parameters\": {\"properties\": []}}]",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        const struct tw_tool_wish wish = {.functions = json_of(texts[i])};
        struct tw_automaton *automaton;
        struct tw_error error;
        assert_int_equal(tw_tool_calls_compile(tw_tool_form_detect(tw_bytes_of(CODER)), &wish,
                                               &automaton, &error),
                         TW_ERR_UNSUPPORTED);
        json_decref((json_t *)(uintptr_t)wish.functions);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_without_calls_is_given_on_whole),
        cmocka_unit_test(calls_are_taken_out),
        cmocka_unit_test(what_is_no_call_is_text),
        cmocka_unit_test(a_call_that_breaks_off_has_the_arguments_that_were_there),
        cmocka_unit_test(parameters_become_an_object),
        cmocka_unit_test(values_have_the_types_of_the_schema),
        cmocka_unit_test(a_tag_in_a_string_of_a_list_is_text),
        cmocka_unit_test(what_are_no_parameters_is_text),
        cmocka_unit_test(an_answer_of_objects_is_calls),
        cmocka_unit_test(an_answer_that_is_no_object_of_a_call_is_text),
        cmocka_unit_test(arguments_come_while_they_are_written),
        cmocka_unit_test(a_call_that_never_begins_is_text_at_last),
        cmocka_unit_test(forms_are_told_apart_by_the_template),
        cmocka_unit_test(a_prescribed_call_has_the_models_form),
        cmocka_unit_test(prescribed_parameters_keep_the_schema),
        cmocka_unit_test(parameters_that_the_form_cannot_spell_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
