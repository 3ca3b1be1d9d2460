/* Any bytes as a chat template and, behind the first NUL, as the data it is rendered with: a text
 * whose spans cover it, twice the same, and in which no marker of the data is a special token; or a
 * reason that names a line. */
#include <assert.h>
#include <string.h>

#include "fuzz_target.h"
#include "text/jinja.h"

enum { N_BYTES = 256, MARK = 256 };

/* Token i is byte i, then one special token. SentencePiece spells all bytes, so that nothing is
 * merged: each token of the text is one of them. */
static const struct tw_tokenizer *tokenizer(void)
{
    static struct tw_tokenizer *made;
    static char texts[N_BYTES][8];
    struct tw_bytes tokens[N_BYTES + 1];
    uint8_t kinds[N_BYTES + 1];
    float scores[N_BYTES + 1] = {0};
    if (made != NULL) {
        return made;
    }
    for (int i = 0; i < N_BYTES; i++) {
        static const char digits[] = "0123456789ABCDEF";
        char text[] = {'<', '0', 'x', digits[i / 16], digits[i % 16], '>', '\0'};
        memcpy(texts[i], text, sizeof text);
        tokens[i] = tw_bytes_of(texts[i]);
        kinds[i] = TW_TOKEN_BYTE;
    }
    tokens[MARK] = tw_bytes_of("<m>");
    kinds[MARK] = TW_TOKEN_CONTROL;
    const struct tw_tokenizer_spec spec = {.family = TW_TOKENIZER_SPM,
                                           .n_tokens = N_BYTES + 1,
                                           .tokens = tokens,
                                           .kinds = kinds,
                                           .scores = scores,
                                           .bos = TW_TOKEN_NONE,
                                           .eos = TW_TOKEN_NONE,
                                           .unknown = TW_TOKEN_NONE};
    enum tw_status status = tw_tokenizer_create(&spec, &made, NULL);
    assert(status == TW_OK);
    return made;
}

/* Markers whole within the template's spans. */
static size_t count_markers(const struct tw_jinja_output *output)
{
    size_t n = 0, begin = 0;
    for (size_t i = 0; i < output->n_spans; i++) {
        size_t end = output->spans[i].end_bytes;
        assert(end > begin && end <= output->text_bytes);
        for (size_t at = begin; at + 3 <= end && !output->spans[i].is_input; at++) {
            n += memcmp(output->text + at, "<m>", 3) == 0;
        }
        begin = end;
    }
    assert(begin == output->text_bytes);
    return n;
}

static void check_tokens(const struct tw_jinja_output *output)
{
    struct tw_token_list list = {0};
    size_t n_marks = 0;
    enum tw_status status = tw_jinja_encode(output, tokenizer(), &list, NULL);
    assert(status == TW_OK);
    for (size_t i = 0; i < list.n_tokens; i++) {
        n_marks += list.ids[i] == MARK;
    }
    assert(n_marks == count_markers(output));
    tw_token_list_free(&list);
}

static void check_rendering(const struct tw_jinja_template *chat_template, const json_t *data)
{
    struct tw_jinja_output first = {0}, second = {0};
    struct tw_error error = {0};
    const struct tw_jinja_input input = {.data = data};
    enum tw_status status = tw_jinja_render(chat_template, &input, &first, &error);
    enum tw_status again = tw_jinja_render(chat_template, &input, &second, NULL);
    assert(status == again);
    if (status == TW_OK) {
        assert(first.text_bytes == second.text_bytes && first.n_spans == second.n_spans);
        assert(memcmp(first.text, second.text, first.text_bytes) == 0);
        check_tokens(&first);
    } else {
        assert(strstr(error.text, "chat template, line ") != NULL);
    }
    tw_jinja_output_free(&first);
    tw_jinja_output_free(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data, *end = size > 0 ? memchr(text, '\0', size) : NULL;
    size_t n_source = end != NULL ? (size_t)(end - text) : size;
    struct tw_jinja_template *chat_template = NULL;
    struct tw_error error = {0};
    json_t *json = NULL;
    if (end != NULL) {
        tw_json_parse(end + 1, size - n_source - 1, "data", &json, NULL);
    }
    if (tw_jinja_compile(text, n_source, &chat_template, &error) == TW_OK) {
        check_rendering(chat_template, json);
    } else {
        assert(strstr(error.text, "chat template, line ") != NULL);
    }
    tw_jinja_free(chat_template);
    json_decref(json);
    return 0;
}
