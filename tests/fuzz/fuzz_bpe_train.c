/* Any bytes as a corpus: the vocabulary learnt from them counts their tokens as encoding them does,
 * and is what its file says. */
#include <assert.h>

#include "fuzz_target.h"
#include "text/tokenizer_json_write.h"
#include "train/bpe_train.h"

enum { LEARNT_TOKENS = 96 };

static size_t encoded_tokens(const struct tw_tokenizer *tokenizer, const uint8_t *data, size_t size)
{
    struct tw_token_list list = {0};
    enum tw_status status =
        tw_tokenizer_encode(tokenizer, (const char *)data, size, TW_ENCODE_SPECIAL, &list, NULL);
    assert(status == TW_OK);
    size_t n = list.n_tokens;
    tw_token_list_free(&list);
    return n;
}

static void check_file(const struct tw_tokenizer_spec *spec, const uint8_t *data, size_t size,
                       uint64_t n_tokens)
{
    struct tw_buf file;
    json_t *json = NULL;
    struct tw_tokenizer *tokenizer = NULL;
    tw_buf_init(&file, 1 << 20);
    tw_tokenizer_json_write(spec, &file);
    assert(!file.failed);
    enum tw_status status = tw_json_parse(file.data, file.size_bytes, "file", &json, NULL);
    assert(status == TW_OK);
    status = tw_tokenizer_from_json(json, NULL, &tokenizer, NULL);
    assert(status == TW_OK && tw_tokenizer_size(tokenizer) == spec->n_tokens);
    assert(encoded_tokens(tokenizer, data, size) == n_tokens);
    tw_tokenizer_free(tokenizer);
    json_decref(json);
    tw_buf_free(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tw_word_counts *counts = NULL;
    struct tw_arena arena;
    struct tw_tokenizer_spec spec;
    struct tw_bpe_report report;
    struct tw_bytes text = {(const char *)data, size};
    tw_arena_init(&arena, (size_t)16 << 20);
    enum tw_status status =
        tw_word_counts_create(tw_bpe_train_added(), TW_BPE_ADDED_TOKENS, &counts, NULL);
    assert(status == TW_OK);
    status = tw_word_counts_add(counts, text, NULL);
    assert(status == TW_OK && tw_word_counts_text_bytes(counts) == size);
    status = tw_bpe_train(counts, TW_BPE_LEAST_TOKENS + LEARNT_TOKENS, NULL, NULL, &arena, &spec,
                          &report, NULL);
    assert(status == TW_OK && report.n_merges <= LEARNT_TOKENS);
    struct tw_tokenizer *tokenizer = NULL;
    status = tw_tokenizer_create(&spec, &tokenizer, NULL);
    assert(status == TW_OK);
    assert(encoded_tokens(tokenizer, data, size) == report.corpus_tokens);
    check_file(&spec, data, size, report.corpus_tokens);
    tw_tokenizer_free(tokenizer);
    tw_word_counts_free(counts);
    tw_arena_clear(&arena);
    return 0;
}
