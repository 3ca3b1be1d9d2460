/* Any bytes as tokenizer.json, a zero byte, tokenizer_config.json, a zero byte, and a text. What is
 * accepted must encode the text, twice to the same ids, all of them inside the vocabulary. */
#include <assert.h>
#include <string.h>

#include "fuzz_target.h"
#include "text/tokenizer.h"

/* The input up to the next zero byte, which is skipped. */
static struct tw_bytes take(struct tw_bytes *rest)
{
    struct tw_bytes part = *rest;
    const char *zero = part.size_bytes != 0 ? memchr(part.data, 0, part.size_bytes) : NULL;
    if (zero != NULL) {
        part.size_bytes = (size_t)(zero - part.data);
    }
    size_t used = part.size_bytes + (zero != NULL);
    rest->data += used;
    rest->size_bytes -= used;
    return part;
}

static json_t *parse(struct tw_bytes text)
{
    json_t *value = NULL;
    return tw_json_parse(text.data, text.size_bytes, "input", &value, NULL) == TW_OK ? value : NULL;
}

static void check_special(const struct tw_tokenizer *tokenizer, const struct tw_token_list *list,
                          int flags)
{
    for (size_t i = 0; i < list->n_tokens; i++) {
        enum tw_token_kind kind = tw_tokenizer_token_kind(tokenizer, list->ids[i]);
        assert(list->ids[i] >= 0 && (size_t)list->ids[i] < tw_tokenizer_size(tokenizer));
        assert(flags != 0 || kind != TW_TOKEN_CONTROL);
    }
}

static void encode(const struct tw_tokenizer *tokenizer, struct tw_bytes text, int flags)
{
    struct tw_token_list first = {0};
    struct tw_token_list second = {0};
    struct tw_error error;
    enum tw_status status =
        tw_tokenizer_encode(tokenizer, text.data, text.size_bytes, flags, &first, &error);
    assert(status ==
           tw_tokenizer_encode(tokenizer, text.data, text.size_bytes, flags, &second, &error));
    assert(first.n_tokens == second.n_tokens);
    assert(first.n_tokens == 0 ||
           memcmp(first.ids, second.ids, first.n_tokens * sizeof *first.ids) == 0);
    check_special(tokenizer, &first, flags);
    tw_token_list_free(&first);
    tw_token_list_free(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tw_bytes rest = {(const char *)data, size};
    json_t *file = parse(take(&rest));
    json_t *config = parse(take(&rest));
    struct tw_tokenizer *tokenizer = NULL;
    struct tw_error error;
    if (file != NULL) {
        enum tw_status status = tw_tokenizer_from_json(file, config, &tokenizer, &error);
        assert((status == TW_OK) == (tokenizer != NULL));
        assert(status == TW_OK || strlen(error.text) > 0);
    }
    json_decref(file);
    json_decref(config);
    if (tokenizer != NULL) {
        encode(tokenizer, rest, 0);
        encode(tokenizer, rest, TW_ENCODE_SPECIAL | TW_ENCODE_BOS_EOS);
    }
    tw_tokenizer_free(tokenizer);
    return 0;
}
