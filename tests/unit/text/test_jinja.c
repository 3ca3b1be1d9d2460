#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "text/jinja.h"
#include "text_fixture.h"

/* Renders with data of one line of JSON. The output's bytes that came with the data are put between
 * < and >. */
static enum tw_status render_marked(const char *source, const char *data_json, char *ret_text,
                                    size_t room, struct tw_error *error)
{
    static const struct tm day = {.tm_year = 124, .tm_mon = 1, .tm_mday = 3, .tm_wday = 6};
    struct tw_jinja_template *chat_template = NULL;
    struct tw_jinja_output output = {0};
    json_t *data = NULL, *settings = json_pack("{s:s}", "bos_token", "[B]");
    assert_int_equal(tw_json_parse(data_json, strlen(data_json), "data", &data, NULL), TW_OK);
    const struct tw_jinja_input input = {.data = data, .settings = settings, .now = &day};
    enum tw_status status = tw_jinja_compile(source, strlen(source), &chat_template, error);
    if (status == TW_OK) {
        status = tw_jinja_render(chat_template, &input, &output, error);
    }
    size_t n = 0, begin = 0;
    for (size_t i = 0; status == TW_OK && i < output.n_spans; i++) {
        size_t n_bytes = output.spans[i].end_bytes - begin;
        assert_true(n_bytes > 0 && n + n_bytes + 3 < room);
        n += (size_t)snprintf(ret_text + n, room - n, output.spans[i].is_input ? "<%.*s>" : "%.*s",
                              (int)n_bytes, output.text + begin);
        begin = output.spans[i].end_bytes;
    }
    ret_text[n] = '\0';
    if (status == TW_OK) {
        assert_int_equal(begin, output.text_bytes);
    }
    tw_jinja_output_free(&output);
    tw_jinja_free(chat_template);
    json_decref(data);
    json_decref(settings);
    return status;
}

static const char data[] = "{\"messages\":[{\"role\":\"user\",\"content\":\" Hi there \"},"
                           "{\"role\":\"x|>y\",\"content\":\"b\"}],"
                           "\"tools\":[{\"n\":1,\"s\":\"q\\\"\"}],\"n\":5,\"ss\":[\"u\",\"v\"]}";

static void assert_renders(const char *source, const char *expected)
{
    char text[4096];
    struct tw_error error = {0};
    if (render_marked(source, data, text, sizeof text, &error) != TW_OK) {
        fail_msg("%s: %s", source, error.text);
    }
    assert_string_equal(text, expected);
}

static void assert_fails(const char *source, enum tw_status status, const char *words)
{
    char text[4096];
    struct tw_error error = {0};
    assert_int_equal(render_marked(source, data, text, sizeof text, &error), status);
    if (strstr(error.text, words) == NULL) {
        fail_msg("'%s' is not in '%s'", words, error.text);
    }
}

static void text_of_data_is_known_through_every_operation(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"a{{ messages[0].content }}b", "a< Hi there >b"},
        {"{{ 'a' + messages[1].content + 'c' }}", "a<b>c"},
        {"{{ messages[1].content ~ 1 }}", "<b>1"},
        {"{{ ('a' + messages[0].content + 'c')[2:-2] }}", "<Hi there>"},
        {"{{ ('a' + messages[0].content + 'c')[::-1] }}", "c< ereht iH >a"},
        {"{{ ('a' + messages[0].content)[1] }}", "< >"},
        {"{{ messages[0].content|trim }}", "<Hi there>"},
        {"{{ messages[0].content.strip().upper() }}", "<HI THERE>"},
        {"{{ ('a' + messages[0].content).title() }}", "A< Hi There >"},
        {"{{ messages[0].content.split()|join('+') }}", "<Hi>+<there>"},
        {"{{ messages[0].content|replace('h', 'x')|trim }}", "<Hi t>x<ere>"},
        {"{{ 'a-c'|replace('-', messages[1].content) }}", "a<b>c"},
        {"{{ ss|join(', ') }}", "<u>, <v>"},
        {"{{ ['k', ss[0]]|map('upper')|join }}", "K<U>"},
        {"{{ tools|tojson }}", "<[{\"n\">: <1>, <\"s\">: <\"q\\\"\"}]>"},
        {"{{ {'a': ss[0]}|tojson }}", "{\"a\": <\"u\">}"},
        {"{{ ss }}", "<['u', 'v']>"},
        {"{{ n }}{{ n + 1 }}{{ 2 }}", "<56>2"},
        {"{{ ('x\\n' + ss[0])|indent(2) }}", "x\n  <u>"},
        {"{{ ss[0] * 2 + 'a' }}", "<uu>a"},
        {"{% set x %}a{{ ss[0] }}{% endset %}{{ x }}{{ x|length }}", "a<u>2"},
        {"{% macro m(x) %}({{ x }}){% endmacro %}{{ m(ss[0]) }}", "(<u>)"},
        {"{% filter upper %}a{{ ss[0] }}{% endfilter %}", "A<U>"},
        {"{% for c in 'a' + ss[0] %}{{ c }}.{% endfor %}", "a.<u>."},
        {"{{ '[1, \"a\"]'|from_json }}{{ ('[\"' + ss[0] + '\"]')|from_json }}", "[1, 'a']<['u']>"},
        {"{{ ss[0] if true }}{{ missing|default(ss[1]) }}", "<uv>"},
        {"{% for k, v in tools[0].items() %}{{ k }}{% endfor %}", "<ns>"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_renders(rows[i][0], rows[i][1]);
    }
}

static void a_text_that_grows_in_place_keeps_what_was_taken_of_it(void **state)
{
    (void)state;
    assert_renders(
        "{% set ns = namespace(a='', b='') %}{% for i in range(400) %}"
        "{% set ns.a = ns.a + 'x' + ss[0] %}{% if i == 300 %}{% set ns.b = ns.a %}"
        "{% endif %}{% endfor %}{% set c = ns.b + 'left' %}{% set d = ns.b + 'right' %}"
        "{{ ns.a|length }} {{ ns.b|length }} {{ c[-6:] }} {{ d[-7:] }} {{ ns.a[602:604] }}",
        "800 602 x<u>left x<u>right x<u>");
}

static void a_word_that_names_a_role_is_the_templates_and_nothing_else_is(void **state)
{
    (void)state;
    assert_renders("{{ '<|' + messages[0].role + '|>' }}", "<|user|>");
    assert_renders("{{ '<|' + messages[1].role + '|>' }}", "<|<x|>y>|>");
}

static void settings_are_the_templates_and_come_before_data(void **state)
{
    (void)state;
    char text[64];
    assert_renders("{{ bos_token }}x", "[B]x");
    assert_int_equal(render_marked("{{ bos_token }}", "{\"bos_token\":\"evil\"}", text, 64, NULL),
                     TW_OK);
    assert_string_equal(text, "[B]");
}

static void a_failure_names_the_line_and_the_reason(void **state)
{
    (void)state;
    assert_fails("a\n\n{{ messages[0].x.y }}", TW_ERR_FORMAT, "line 3: 'x' is undefined");
    assert_fails("a\n{% if %}", TW_ERR_FORMAT, "line 2: the tag ends where an expression");
    assert_fails("\n\n{{ 1|nothing }}", TW_ERR_FORMAT, "line 3: unknown filter 'nothing'");
    assert_fails("\n{{ 1 is divisibleby(2) }}", TW_ERR_FORMAT,
                 "line 2: unknown test 'divisibleby'");
    assert_fails("\n{{ 'a'.center(2) }}", TW_ERR_FORMAT,
                 "line 2: unknown method 'center' of a text");
    assert_fails("{{ ss|map('nothing') }}", TW_ERR_FORMAT, "line 1: unknown filter 'nothing'");
    assert_fails("{% for x in [1] %}\n{{ x() }}\n{% endfor %}", TW_ERR_FORMAT,
                 "line 2: only a macro");
    assert_fails("{{ raise_exception('no ' + ss[0]) }}", TW_ERR_FORMAT,
                 "line 1: the template refuses this conversation: no u");
    assert_fails("{% if n %}", TW_ERR_FORMAT, "the template ends before {% endif %}");
    assert_fails("{% include 'x' %}", TW_ERR_FORMAT, "line 1: unknown statement 'include'");
    assert_fails("a\xff", TW_ERR_FORMAT, "byte 1 is no UTF-8");
}

static void the_date_is_what_the_caller_says(void **state)
{
    (void)state;
    struct tw_jinja_template *chat_template = NULL;
    struct tw_jinja_output output = {0};
    static const char source[] = "{{ strftime_now is defined }}";
    assert_renders("{{ strftime_now('%Y-%m-%d %A') }}", "2024-02-03 Saturday");
    assert_int_equal(tw_jinja_compile(source, sizeof source - 1, &chat_template, NULL), TW_OK);
    const struct tw_jinja_input input = {.now = NULL};
    assert_int_equal(tw_jinja_render(chat_template, &input, &output, NULL), TW_OK);
    assert_memory_equal(output.text, "False", 5);
    tw_jinja_output_free(&output);
    tw_jinja_free(chat_template);
}

static void what_a_rendering_changes_is_gone_with_it(void **state)
{
    (void)state;
    struct tw_jinja_template *chat_template = NULL;
    static const char source[] = "{{ xs.append(1) }}{{ xs|length }}";
    json_t *list = json_pack("{s:[i]}", "xs", 7);
    const struct tw_jinja_input input = {.data = list};
    assert_int_equal(tw_jinja_compile(source, sizeof source - 1, &chat_template, NULL), TW_OK);
    for (int i = 0; i < 2; i++) {
        struct tw_jinja_output output = {0};
        assert_int_equal(tw_jinja_render(chat_template, &input, &output, NULL), TW_OK);
        assert_int_equal(output.text_bytes, 5);
        assert_memory_equal(output.text, "None2", 5);
        tw_jinja_output_free(&output);
    }
    assert_int_equal(json_array_size(json_object_get(list, "xs")), 1);
    tw_jinja_free(chat_template);
    json_decref(list);
}

/* `open` n times, `middle`, `close` n times; the caller frees it. */
static char *nested(const char *begin, const char *open, const char *middle, const char *close,
                    size_t n)
{
    struct tw_buf buf;
    tw_buf_init(&buf, (size_t)64 << 20);
    tw_buf_append_text(&buf, begin);
    for (size_t i = 0; i < n; i++) {
        tw_buf_append_text(&buf, open);
    }
    tw_buf_append_text(&buf, middle);
    for (size_t i = 0; i < n; i++) {
        tw_buf_append_text(&buf, close);
    }
    tw_buf_append(&buf, "", 1);
    assert_false(buf.failed);
    return buf.data;
}

static void assert_nested_fails(const char *begin, const char *open, const char *middle,
                                const char *close, size_t n, const char *words)
{
    char *source = nested(begin, open, middle, close, n);
    assert_fails(source, TW_ERR_LIMIT, words);
    tw_mem_free(source);
}

static void every_bound_of_a_template_is_kept(void **state)
{
    (void)state;
    size_t deep = TW_LIMIT_JINJA_NESTING + 1;
    assert_nested_fails("", "a", "", "", TW_LIMIT_JINJA_SOURCE_BYTES + 1, "1048577 bytes");
    assert_nested_fails("", "{{n}}", "", "", TW_LIMIT_JINJA_NODES, "parts in its syntax");
    assert_nested_fails("{{ ", "(", "1", ")", deep, "100 in one another");
    assert_nested_fails("{{ ", "[", "1", "]", deep, "100 in one another");
    assert_nested_fails("{{ ", "not ", "1 }}", "", deep, "100 in one another");
    assert_nested_fails("{{ ", "-", "1 }}", "", deep, "100 in one another");
    assert_nested_fails("{{ ", "1 if 0 else ", "1 }}", "", deep, "100 in one another");
    assert_nested_fails("", "{% if n %}", "", "{% endif %}", deep, "100 in one another");
    assert_nested_fails("{{ n", " + n", " }}", "", TW_LIMIT_JINJA_DEPTH + 1, "deeper than 800");
    struct tw_buf names;
    tw_buf_init(&names, 1 << 20);
    for (int i = 0; i <= TW_LIMIT_JINJA_NAMES; i++) {
        tw_buf_append_format(&names, "{{ x%d }}", i);
    }
    assert_true(tw_buf_append(&names, "", 1));
    assert_fails(names.data, TW_ERR_LIMIT, "4096 different names");
    tw_buf_free(&names);
}

static void every_bound_of_a_rendering_is_kept(void **state)
{
    (void)state;
    static const char *const works[] = {"'b' in x", "x == y", "x.strip('b')", "l.pop(0)",
                                        "8.5 in l"};
    for (size_t i = 0; i < sizeof works / sizeof *works; i++) {
        char source[512];
        snprintf(source, sizeof source,
                 "{%% set x = ' ' * 200000 %%}{%% set y = ' ' * 199999 + ' ' %%}"
                 "{%% set l = range(99999) + [7.5] %%}{%% for i in range(99999) %%}"
                 "{%% if %s %%}{%% endif %%}{%% endfor %%}",
                 works[i]);
        assert_fails(source, TW_ERR_LIMIT, "give it fewer or shorter messages");
    }
    assert_fails("{{ range(100001) }}", TW_ERR_LIMIT, "100000 numbers");
    assert_fails("{{ 'aaaaaaaaaaaaaaaa' * 9999999 }}", TW_ERR_LIMIT, "longer than 67108864");
    assert_fails("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", TW_ERR_LIMIT, "64 deep");
    assert_fails("{% set ns = namespace(x=[]) %}{% for i in range(999) %}{% set ns.x = [ns.x] %}"
                 "{% endfor %}{{ ns.x }}",
                 TW_ERR_LIMIT, "deeper than 800");
    assert_fails("{% set x = [] %}{{ x.append(x) }}{{ x }}", TW_ERR_LIMIT, "deeper than 800");
    assert_fails("{% set x = ('a' * 10000) * 1000 %}{% for i in range(99) %}"
                 "{% set y = x.replace('b', '') + 'c' %}{% endfor %}",
                 TW_ERR_LIMIT, "268435456 bytes of memory");
    assert_fails("{% set x = ('a' * 30000) * 1000 %}{{ x }}{{ x }}{{ x }}", TW_ERR_LIMIT, "bytes");
    assert_fails("{{ 9223372036854775807 + n }}", TW_ERR_LIMIT, "64 bits");
    assert_fails("{{ 1e300 * 1e300 }}", TW_ERR_LIMIT, "too large");
}

/* ---- tokens ---- */

/* 256 bytes, then "ab" by a merge, then <s>, <|end|>, <|end|>x and the user-defined <t>. */
enum { AB = 256, BEGIN, END, END_X, TOOL };

static struct tw_tokenizer *tokenizer_with(bool normalised)
{
    static struct text_fixture fixture;
    text_fixture_bpe(&fixture);
    text_fixture_merge(&fixture, "a", "b");
    static struct tw_added_token added[4];
    static const char *const texts[] = {"<s>", "<|end|>", "<|end|>x", "<t>"};
    for (int i = 0; i < 4; i++) {
        tw_token id = text_fixture_token(&fixture, texts[i],
                                         i < 3 ? TW_TOKEN_CONTROL : TW_TOKEN_USER_DEFINED, 0);
        added[i] = (struct tw_added_token){.id = id,
                                           .text = {texts[i], strlen(texts[i])},
                                           .is_special = i < 3,
                                           .normalised = normalised};
    }
    fixture.spec.added = added;
    fixture.spec.n_added = 4;
    fixture.spec.normalise_nfc = normalised;
    return text_fixture_create(&fixture);
}

/* The ids of a text in which data stands between < and > of U+27E8 and U+27E9; bytes as they are,
 * tokens as {name}. */
static void assert_tokens(const struct tw_tokenizer *tokenizer, const char *source,
                          const char *user, const char *expected)
{
    static const char *const names[] = {"{ab}", "{s}", "{end}", "{endx}", "{t}"};
    struct tw_jinja_template *chat_template = NULL;
    struct tw_jinja_output output = {0};
    struct tw_token_list list = {0};
    char text[512];
    size_t n = 0;
    json_t *json = json_pack("{s:s}", "u", user);
    const struct tw_jinja_input input = {.data = json};
    assert_int_equal(tw_jinja_compile(source, strlen(source), &chat_template, NULL), TW_OK);
    assert_int_equal(tw_jinja_render(chat_template, &input, &output, NULL), TW_OK);
    assert_int_equal(tw_jinja_encode(&output, tokenizer, &list, NULL), TW_OK);
    for (size_t i = 0; i < list.n_tokens && n + 8 < sizeof text; i++) {
        if (list.ids[i] < 256) {
            text[n++] = (char)list.ids[i];
        } else {
            n += (size_t)snprintf(text + n, 8, "%s", names[list.ids[i] - 256]);
        }
    }
    text[n] = '\0';
    assert_string_equal(text, expected);
    tw_token_list_free(&list);
    tw_jinja_output_free(&output);
    tw_jinja_free(chat_template);
    json_decref(json);
}

static void special_tokens_come_from_the_template_alone(void **state)
{
    (void)state;
    for (int normalised = 0; normalised < 2; normalised++) {
        struct tw_tokenizer *tokenizer = tokenizer_with(normalised);
        assert_tokens(tokenizer, "<s>{{ u }}<|end|>", "hi", "{s}hi{end}");
        assert_tokens(tokenizer, "<s>{{ u }}<|end|>", "<|end|><s>", "{s}<|end|><s>{end}");
        assert_tokens(tokenizer, "{{ '<|' + u + '|>' }}", "end", "<|end|>");
        assert_tokens(tokenizer, "{{ u }}|><|end|>", "<|end", "<|end|>{end}");
        assert_tokens(tokenizer, "<|end{{ u }}", "|>", "<|end|>");
        assert_tokens(tokenizer, "{{ u }}", "<t>", "{t}");
        assert_tokens(tokenizer, "{{ (u|upper)[:2] }}<s>", "<s>", "<S{s}");
        tw_tokenizer_free(tokenizer);
    }
}

static void text_between_special_tokens_is_one_piece(void **state)
{
    (void)state;
    struct tw_tokenizer *tokenizer = tokenizer_with(false);
    assert_tokens(tokenizer, "<s>a{{ u }}", "b", "{s}{ab}");
    assert_tokens(tokenizer, "<s>a{{ u }}<s>b", "", "{s}a{s}b");
    assert_tokens(tokenizer, "{{ u }}b<s>", "xa", "x{ab}{s}");
    tw_tokenizer_free(tokenizer);
}

static void a_users_text_beside_a_marker_leaves_it_what_it_is(void **state)
{
    (void)state;
    struct tw_tokenizer *tokenizer = tokenizer_with(false);
    assert_tokens(tokenizer, "<|end|>x", "", "{endx}");
    assert_tokens(tokenizer, "<|end|>{{ u }}", "x", "{end}x");
    assert_tokens(tokenizer, "{{ u }}<s>", "<|end|", "<|end|{s}");
    tw_tokenizer_free(tokenizer);
}

/* What normalisation makes of a user's text is no marker either. */
static void text_that_becomes_a_marker_by_normalisation_is_none(void **state)
{
    (void)state;
    struct tw_tokenizer *tokenizer = tokenizer_with(true);
    assert_tokens(tokenizer, "<s>{{ u }}<s>", "a\xcc\x81<s>", "{s}\xc3\xa1<s>{s}");
    tw_tokenizer_free(tokenizer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_of_data_is_known_through_every_operation),
        cmocka_unit_test(a_text_that_grows_in_place_keeps_what_was_taken_of_it),
        cmocka_unit_test(a_word_that_names_a_role_is_the_templates_and_nothing_else_is),
        cmocka_unit_test(settings_are_the_templates_and_come_before_data),
        cmocka_unit_test(a_failure_names_the_line_and_the_reason),
        cmocka_unit_test(the_date_is_what_the_caller_says),
        cmocka_unit_test(what_a_rendering_changes_is_gone_with_it),
        cmocka_unit_test(every_bound_of_a_template_is_kept),
        cmocka_unit_test(every_bound_of_a_rendering_is_kept),
        cmocka_unit_test(special_tokens_come_from_the_template_alone),
        cmocka_unit_test(text_between_special_tokens_is_one_piece),
        cmocka_unit_test(a_users_text_beside_a_marker_leaves_it_what_it_is),
        cmocka_unit_test(text_that_becomes_a_marker_by_normalisation_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
