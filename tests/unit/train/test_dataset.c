/* Conversations and texts as tokens, and which of them are to be learnt. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/json.h"
#include "train/dataset.h"
#include "train_fixture.h"

static struct trained trained;

static int set_up(void **state)
{
    (void)state;
    trained_init(&trained,
                 "user\nuser\nassistant\nassistant\nsystem\nsystem\nYes.\nYes.\nWhat is it?\n"
                 "What is it?\n",
                 TW_BPE_LEAST_TOKENS + 100);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    trained_free(&trained);
    return 0;
}

static struct tw_chat_format chat_format(void)
{
    return tw_chat_format_detect(trained.tokenizer, (struct tw_bytes){"", 0});
}

static struct tw_dataset *make(uint32_t n_context_tokens, const char *lines)
{
    struct tw_chat_format format = chat_format();
    struct tw_dataset *dataset = NULL;
    assert_int_equal(tw_dataset_create(&format, n_context_tokens, &dataset, NULL), TW_OK);
    assert_int_equal(tw_dataset_add_rows(dataset, tw_bytes_of(lines), "f", NULL), TW_OK);
    return dataset;
}

/* The bytes of the tokens with targets in brackets, runs of them together. */
static const char *shown(const struct tw_dataset *dataset, size_t document)
{
    static char text[4096];
    int32_t tokens[1024];
    uint8_t is_target[1024];
    size_t n = 0;
    bool inside = false;
    uint32_t n_tokens = tw_dataset_document_tokens(dataset, document);
    assert_true(n_tokens <= 1024);
    tw_dataset_copy(dataset, document, tokens, is_target);
    for (uint32_t i = 0; i < n_tokens; i++) {
        struct tw_bytes b = tw_tokenizer_token_bytes(trained.tokenizer, tokens[i], true);
        const char *bracket = is_target[i] == inside ? "" : inside ? "]" : "[";
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%.*s", bracket, (int)b.size_bytes,
                              b.data);
        inside = is_target[i] != 0;
    }
    snprintf(text + n, sizeof text - n, "%s", inside ? "]" : "");
    return text;
}

static void the_assistants_words_and_their_end_are_learnt_and_nothing_else(void **state)
{
    (void)state;
    struct tw_dataset *dataset =
        make(512, "{\"messages\": [{\"role\": \"system\", \"content\": \"Be brief.\"},"
                  "{\"role\": \"user\", \"content\": \"What is it?\"},"
                  "{\"role\": \"assistant\", \"content\": \"Yes.\"},"
                  "{\"role\": \"user\", \"content\": \"\"},"
                  "{\"role\": \"assistant\", \"content\": \"\"}]}");
    assert_int_equal(tw_dataset_n_documents(dataset), 1);
    assert_string_equal(shown(dataset, 0), "<|im_start|>system\nBe brief.<|im_end|>\n"
                                           "<|im_start|>user\nWhat is it?<|im_end|>\n"
                                           "<|im_start|>assistant\n[Yes.<|im_end|>]\n"
                                           "<|im_start|>user\n<|im_end|>\n"
                                           "<|im_start|>assistant\n[<|im_end|>]\n");
    const struct tw_dataset_report *report = tw_dataset_report(dataset);
    assert_int_equal(report->n_tokens, tw_dataset_document_tokens(dataset, 0));
    assert_int_equal(report->longest_tokens, report->n_tokens);
    assert_int_equal(report->n_targets, 4); /* "Yes", ".", and twice the end */
    tw_dataset_free(dataset);
}

static void of_a_text_all_but_the_first_token_are_learnt(void **state)
{
    (void)state;
    struct tw_dataset *dataset = make(512, "{\"text\": \"What is it?\"}");
    assert_string_equal(shown(dataset, 0), "What[ is it?<|endoftext|>]");
    tw_dataset_free(dataset);
}

static void where_no_token_ends_a_text_the_one_that_ends_an_answer_does(void **state)
{
    (void)state;
    struct tw_tokenizer_spec spec = trained.spec;
    struct tw_added_token added[TW_BPE_ADDED_TOKENS];
    struct tw_bytes tokens[TW_BPE_LEAST_TOKENS + 100];
    struct tw_tokenizer *tokenizer = NULL;
    struct tw_dataset *dataset = NULL;
    memcpy(added, spec.added, sizeof added);
    memcpy(tokens, spec.tokens, spec.n_tokens * sizeof *tokens);
    added[0].text = tokens[added[0].id] = tw_bytes_of("<|end_of_text|>");
    spec.added = added;
    spec.tokens = tokens;
    for (int has_eos = 0; has_eos < 2; has_eos++) {
        spec.eos = has_eos ? added[2].id : TW_TOKEN_NONE;
        assert_int_equal(tw_tokenizer_create(&spec, &tokenizer, NULL), TW_OK);
        struct tw_chat_format format = tw_chat_format_detect(tokenizer, (struct tw_bytes){"", 0});
        assert_int_equal(tw_dataset_create(&format, 64, &dataset, NULL),
                         has_eos ? TW_OK : TW_ERR_UNSUPPORTED);
        if (has_eos) {
            assert_int_equal(tw_dataset_end_of_text(dataset), added[2].id);
            tw_dataset_free(dataset);
        }
        tw_tokenizer_free(tokenizer);
    }
}

/* Ids of a document as a list. */
static void assert_ids(const struct tw_dataset *dataset, size_t document,
                       const struct tw_token_list *list)
{
    int32_t tokens[1024];
    uint8_t is_target[1024];
    assert_int_equal(tw_dataset_document_tokens(dataset, document), list->n_tokens);
    tw_dataset_copy(dataset, document, tokens, is_target);
    assert_memory_equal(tokens, list->ids, list->n_tokens * sizeof *tokens);
}

static void a_conversation_has_the_ids_that_a_chat_gives_it(void **state)
{
    (void)state;
    struct tw_chat_format format = chat_format();
    struct tw_token_list list = {0};
    struct tw_dataset *dataset =
        make(512, "{\"messages\": [{\"role\": \"user\", \"content\": \"What is\\n\\nit?\"},"
                  "{\"role\": \"assistant\", \"content\": \"Yes.\"}]}");
    assert_int_equal(tw_chat_format_begin(&format, &list, NULL), TW_OK);
    assert_int_equal(tw_chat_format_message(&format, "user", "What is\n\nit?", 12, &list, NULL),
                     TW_OK);
    assert_int_equal(tw_chat_format_message(&format, "assistant", "Yes.", 4, &list, NULL), TW_OK);
    assert_ids(dataset, 0, &list);
    tw_token_list_free(&list);
    tw_dataset_free(dataset);
}

/* A message as one piece would join the header's newline to the answer's. */
static void an_answer_follows_the_header_it_is_asked_for_with(void **state)
{
    (void)state;
    struct tw_chat_format format = chat_format();
    struct tw_token_list list = {0};
    struct tw_dataset *dataset =
        make(512, "{\"messages\": [{\"role\": \"assistant\", \"content\": \"\\n\\nYes.\"}]}");
    assert_int_equal(tw_chat_format_begin(&format, &list, NULL), TW_OK);
    assert_int_equal(tw_chat_format_answer(&format, &list, NULL), TW_OK);
    assert_int_equal(tw_tokenizer_encode(trained.tokenizer, "\n\nYes.", 6, 0, &list, NULL), TW_OK);
    assert_int_equal(tw_chat_format_close(&format, TW_TOKEN_NONE, &list, NULL), TW_OK);
    assert_ids(dataset, 0, &list);
    tw_token_list_free(&list);
    tw_dataset_free(dataset);
}

static void content_cannot_speak_in_markers_but_in_those_of_tools(void **state)
{
    (void)state;
    struct tw_dataset *dataset =
        make(512, "{\"messages\": [{\"role\": \"user\", \"content\": \"<|im_end|>\"},"
                  "{\"role\": \"assistant\", \"content\": \"<tool_call>{}</tool_call>\"}]}");
    int32_t tokens[512];
    uint8_t is_target[512];
    size_t n_ends = 0, n_calls = 0;
    uint32_t n = tw_dataset_document_tokens(dataset, 0);
    tw_dataset_copy(dataset, 0, tokens, is_target);
    for (uint32_t i = 0; i < n; i++) {
        n_ends += tokens[i] == tw_tokenizer_find(trained.tokenizer, "<|im_end|>", 10);
        n_calls += tokens[i] == tw_tokenizer_find(trained.tokenizer, "<tool_call>", 11);
    }
    assert_int_equal(n_ends, 2);
    assert_int_equal(n_calls, 1);
    tw_dataset_free(dataset);
}

static void a_document_longer_than_the_context_is_counted_and_left_out(void **state)
{
    (void)state;
    struct tw_dataset *dataset =
        make(6, "{\"text\": \"it\"}\n{\"text\": \"a b c d e f\"}\n{\"text\": \"1234567\"}\n"
                "{\"text\": \"12345\"}\n{\"text\": \"123456\"}");
    const struct tw_dataset_report *report = tw_dataset_report(dataset);
    assert_int_equal(report->n_documents, 2);
    assert_int_equal(report->n_skipped, 3);
    assert_string_equal(report->first_skipped, "f:2");
    assert_string_equal(shown(dataset, 1), "1[2345<|endoftext|>]");
    assert_true(report->longest_tokens > 6);
    tw_dataset_free(dataset);
}

static void assert_refused(const char *lines, enum tw_status status, const char *text)
{
    struct tw_chat_format format = chat_format();
    struct tw_dataset *dataset = NULL;
    struct tw_error error;
    assert_int_equal(tw_dataset_create(&format, 64, &dataset, NULL), TW_OK);
    assert_int_equal(tw_dataset_add_rows(dataset, tw_bytes_of(lines), "f", &error), status);
    assert_string_equal(error.text, text);
    tw_dataset_free(dataset);
}

static void what_cannot_be_learnt_from_is_refused_with_file_and_line(void **state)
{
    (void)state;
    assert_refused("{\"text\": \"a\"}\n{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}",
                   TW_ERR_FORMAT, "f:2: no message of the assistant, so there is nothing to learn");
    assert_refused("{\"text\": \"\"}", TW_ERR_FORMAT,
                   "f:1: the text is empty, so there is nothing to learn");
    assert_refused("{\"messages\": [{\"role\": \"bot\", \"content\": \"a\"}]}", TW_ERR_FORMAT,
                   "f:1: message 1 has the role 'bot'; expected system, user or assistant");
}

static void the_rows_before_a_bad_one_stay(void **state)
{
    (void)state;
    struct tw_chat_format format = chat_format();
    struct tw_dataset *dataset = NULL;
    const char *path = trained_file("d.jsonl", "{\"text\": \"it\"}\nnonsense\n");
    assert_int_equal(tw_dataset_create(&format, 64, &dataset, NULL), TW_OK);
    assert_int_equal(tw_dataset_add_file(dataset, path, NULL), TW_ERR_FORMAT);
    unlink(path);
    assert_int_equal(tw_dataset_n_documents(dataset), 1);
    assert_int_equal(tw_dataset_add_rows(dataset, tw_bytes_of("{\"text\": \"What\"}"), "g", NULL),
                     TW_OK);
    assert_int_equal(tw_dataset_n_documents(dataset), 2);
    assert_string_equal(shown(dataset, 1), "What[<|endoftext|>]");
    tw_dataset_free(dataset);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_assistants_words_and_their_end_are_learnt_and_nothing_else),
        cmocka_unit_test(of_a_text_all_but_the_first_token_are_learnt),
        cmocka_unit_test(where_no_token_ends_a_text_the_one_that_ends_an_answer_does),
        cmocka_unit_test(a_conversation_has_the_ids_that_a_chat_gives_it),
        cmocka_unit_test(an_answer_follows_the_header_it_is_asked_for_with),
        cmocka_unit_test(content_cannot_speak_in_markers_but_in_those_of_tools),
        cmocka_unit_test(a_document_longer_than_the_context_is_counted_and_left_out),
        cmocka_unit_test(what_cannot_be_learnt_from_is_refused_with_file_and_line),
        cmocka_unit_test(the_rows_before_a_bad_one_stay),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
