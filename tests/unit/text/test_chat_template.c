#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "text/chat_template.h"
#include "text_fixture.h"

static const char *demo_path; /* of demo/chat_template.jinja */

/* Bytes, then the markers of ChatML; <s> before a text if it adds_begin. */
enum { OPEN = 256, CLOSE, BEGIN };

static struct tw_tokenizer *chatml_tokenizer(bool adds_begin)
{
    static struct text_fixture fixture;
    text_fixture_bpe(&fixture);
    text_fixture_token(&fixture, "<|im_start|>", TW_TOKEN_CONTROL, 0);
    text_fixture_token(&fixture, "<|im_end|>", TW_TOKEN_CONTROL, 0);
    fixture.spec.bos = text_fixture_token(&fixture, "<s>", TW_TOKEN_CONTROL, 0);
    fixture.spec.eos = CLOSE;
    fixture.spec.add_bos = adds_begin;
    return text_fixture_create(&fixture);
}

static struct tw_chat_template *new_template(const struct tw_tokenizer *tokenizer,
                                             const char *source)
{
    struct tw_chat_template *chat_template = NULL;
    struct tw_error error;
    if (tw_chat_template_create(tokenizer, tw_bytes_of(source), &chat_template, &error) != TW_OK) {
        fail_msg("%s", error.text);
    }
    return chat_template;
}

/* Ids as text: bytes as they are, markers as {n}. */
static void assert_writes(const struct tw_tokenizer *tokenizer, const char *source,
                          const char *content, const char *expected)
{
    struct tw_chat_template *chat_template = new_template(tokenizer, source);
    struct tw_token_list list = {0};
    json_t *messages = json_array();
    char text[256];
    size_t n = 0;
    json_array_append_new(messages, tw_chat_message("user", content, strlen(content)));
    const struct tw_chat_prompt prompt = {.messages = messages, .add_generation_prompt = true};
    assert_int_equal(tw_chat_template_encode(chat_template, &prompt, &list, NULL), TW_OK);
    for (size_t i = 0; i < list.n_tokens && n + 8 < sizeof text; i++) {
        if (list.ids[i] < 256) {
            text[n++] = (char)list.ids[i];
        } else {
            n += (size_t)snprintf(text + n, 8, "{%d}", list.ids[i] - 256);
        }
    }
    text[n] = '\0';
    assert_string_equal(text, expected);
    tw_token_list_free(&list);
    json_decref(messages);
    tw_chat_template_free(chat_template);
}

static void a_template_gets_the_messages_and_the_tokenizers_own_tokens(void **state)
{
    (void)state;
    struct tw_tokenizer *tokenizer = chatml_tokenizer(false);
    assert_writes(tokenizer, "{{ messages[0].content }}", "x", "x");
    assert_writes(tokenizer, "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}", "<s>",
                  "{2}<s>{1}");
    assert_writes(tokenizer, "{% if add_generation_prompt %}<|im_start|>{% endif %}", "", "{0}");
    assert_writes(tokenizer, "{{ tools is defined }}", "", "False");
    assert_writes(tokenizer, "{{ strftime_now is defined }}", "", "False");
    tw_tokenizer_free(tokenizer);
}

static void the_begin_token_comes_first_and_once(void **state)
{
    (void)state;
    struct tw_tokenizer *tokenizer = chatml_tokenizer(true);
    assert_writes(tokenizer, "a", "", "{2}a");
    assert_writes(tokenizer, "{{ bos_token }}a", "", "{2}a");
    assert_writes(tokenizer, "", "", "{2}");
    tw_tokenizer_free(tokenizer);
}

static void a_message_of_any_bytes_is_encoded(void **state)
{
    (void)state;
    struct tw_tokenizer *tokenizer = chatml_tokenizer(false);
    assert_writes(tokenizer, "{{ messages[0].content|trim|upper }}", " a\xff\xc3 ", "A\xff\xc3");
    tw_tokenizer_free(tokenizer);
}

static enum tw_status check(const char *source, bool adds_begin, struct tw_error *error)
{
    struct tw_tokenizer *tokenizer = chatml_tokenizer(adds_begin);
    struct tw_chat_template *chat_template = new_template(tokenizer, source);
    struct tw_chat_format format = tw_chat_format_detect(tokenizer, (struct tw_bytes){NULL, 0});
    assert_int_equal(format.kind, TW_CHAT_CHATML);
    enum tw_status status = tw_chat_template_check(chat_template, &format, error);
    tw_chat_template_free(chat_template);
    tw_tokenizer_free(tokenizer);
    return status;
}

static void the_demo_models_template_is_the_form_it_is_trained_in(void **state)
{
    (void)state;
    struct tw_buf text;
    assert_int_equal(tw_file_read(demo_path, TW_LIMIT_JINJA_SOURCE_BYTES, &text, NULL), TW_OK);
    assert_true(tw_buf_append(&text, "", 1));
    for (int adds_begin = 0; adds_begin < 2; adds_begin++) {
        struct tw_error error = {0};
        if (check(text.data, adds_begin, &error) != TW_OK) {
            fail_msg("%s", error.text);
        }
    }
    tw_buf_free(&text);
}

static void a_template_of_another_form_is_told_from_the_built_in_one(void **state)
{
    (void)state;
    static const char *const others[] = {
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content|trim }}<|im_end|>\n"
        "{% endfor %}<|im_start|>assistant\n",
        "{{ messages }}",
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}"
        "{% endfor %}",
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        struct tw_error error = {0};
        assert_int_equal(check(others[i], false, &error), TW_ERR_UNSUPPORTED);
        assert_non_null(strstr(error.text, "another form than ChatML"));
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_template_gets_the_messages_and_the_tokenizers_own_tokens),
        cmocka_unit_test(the_begin_token_comes_first_and_once),
        cmocka_unit_test(a_message_of_any_bytes_is_encoded),
        cmocka_unit_test(the_demo_models_template_is_the_form_it_is_trained_in),
        cmocka_unit_test(a_template_of_another_form_is_told_from_the_built_in_one),
    };
    assert_int_equal(argc, 2);
    demo_path = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
