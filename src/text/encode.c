#define _GNU_SOURCE /* memmem */
#include <assert.h>

#include "base/mem.h"
#include "text/bpe.h"
#include "text/tokenizer_parts.h"
#include "text/utf8.h"
#include "text/word_cache.h"

/* Shorter texts are done before a cache of words has paid for being cleared. */
#define CACHED_TEXT_BYTES 16384

/* One call of tw_tokenizer_encode. */
struct encoder {
    const struct tw_tokenizer *tokenizer;
    struct tw_token_list *list;
    struct tw_bytes text; /* the whole */
    bool allow_special;
    const struct tw_text_span *spans; /* of the whole; or NULL */
    int32_t *symbols;
    size_t capacity_symbols;
    size_t unknown_end; /* length of the list just behind the last unknown token */
    struct tw_word_cache words;
    struct tw_bpe_scratch bpe;
    struct tw_normalise_scratch normalise;
    struct tw_pretokenize_scratch pretokenize;
};

bool tw_token_list_push(struct tw_token_list *list, tw_token id)
{
    if (list->n_tokens == list->capacity_tokens) {
        size_t capacity = list->capacity_tokens != 0 ? 2 * list->capacity_tokens : 64;
        tw_token *ids = tw_mem_realloc(list->ids, capacity, sizeof *ids);
        if (ids == NULL) {
            return false;
        }
        list->ids = ids;
        list->capacity_tokens = capacity;
    }
    list->ids[list->n_tokens++] = id;
    return true;
}

void tw_token_list_free(struct tw_token_list *list)
{
    tw_mem_free(list->ids);
    *list = (struct tw_token_list){0};
}

static enum tw_status no_memory(struct tw_error *error)
{
    return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory to tokenise the text");
}

static enum tw_status push(struct encoder *encoder, tw_token id, struct tw_error *error)
{
    struct tw_token_list *list = encoder->list;
    if (list->most_tokens != 0 && list->n_tokens >= list->most_tokens) {
        list->is_full = true;
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION, "more than %zu tokens",
                            list->most_tokens);
    }
    return tw_token_list_push(encoder->list, id) ? TW_OK : no_memory(error);
}

/* What the vocabulary cannot spell is the unknown token, or nothing where there is none. */
static enum tw_status push_unknown(struct encoder *encoder, struct tw_error *error)
{
    const struct tw_tokenizer *tokenizer = encoder->tokenizer;
    bool fuses = tokenizer->fuse_unknown && encoder->unknown_end == encoder->list->n_tokens &&
                 encoder->unknown_end != 0;
    if (tokenizer->unknown == TW_TOKEN_NONE || fuses) {
        return TW_OK;
    }
    enum tw_status status = push(encoder, tokenizer->unknown, error);
    encoder->unknown_end = encoder->list->n_tokens;
    return status;
}

/* A character that is no token, byte by byte if the vocabulary has all its bytes. */
static enum tw_status push_raw(struct encoder *encoder, int32_t symbol, struct tw_error *error)
{
    uint32_t code = (uint32_t)(TW_TOKEN_NONE - 1 - symbol);
    char bytes[4] = {(char)(code - TW_UTF8_INVALID)};
    size_t n = code < TW_UTF8_INVALID ? tw_utf8_encode(code, bytes) : 1;
    const tw_token *byte_ids = encoder->tokenizer->vocab.byte_ids;
    for (size_t i = 0; i < n; i++) {
        if (byte_ids[(unsigned char)bytes[i]] == TW_TOKEN_NONE) {
            return push_unknown(encoder, error);
        }
    }
    enum tw_status status = TW_OK;
    for (size_t i = 0; i < n && status == TW_OK; i++) {
        status = push(encoder, byte_ids[(unsigned char)bytes[i]], error);
    }
    return status;
}

/* Appends the symbols of a merged word; remembers those that are all tokens. */
static enum tw_status push_symbols(struct encoder *encoder, struct tw_bytes word, uint64_t hash,
                                   size_t n, struct tw_error *error)
{
    enum tw_status status = TW_OK;
    bool all_tokens = true;
    for (size_t i = 0; i < n && status == TW_OK; i++) {
        int32_t symbol = encoder->symbols[i];
        all_tokens = all_tokens && symbol >= 0;
        status = symbol >= 0                ? push(encoder, symbol, error)
                 : tw_merges_is_raw(symbol) ? push_raw(encoder, symbol, error)
                                            : push_unknown(encoder, error);
    }
    if (all_tokens) {
        tw_word_cache_put(&encoder->words, word, hash, encoder->symbols, n);
    }
    return status;
}

static enum tw_status reserve_symbols(struct encoder *encoder, size_t n, struct tw_error *error)
{
    if (n <= encoder->capacity_symbols) {
        return TW_OK;
    }
    if (n >= INT32_MAX) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "a word of %zu bytes; at most %d can be merged", n, INT32_MAX - 1);
    }
    size_t capacity = n + n / 2 + 256;
    int32_t *symbols = tw_mem_realloc(encoder->symbols, capacity, sizeof *symbols);
    if (symbols == NULL) {
        return no_memory(error);
    }
    encoder->symbols = symbols;
    encoder->capacity_symbols = capacity;
    return TW_OK;
}

/* The symbols merging starts from: bytes, or characters. */
static size_t first_symbols(struct encoder *encoder, struct tw_bytes word)
{
    const struct tw_vocab *vocab = &encoder->tokenizer->vocab;
    size_t n = 0;
    if (vocab->family == TW_TOKENIZER_BPE) {
        for (; n < word.size_bytes; n++) {
            encoder->symbols[n] = vocab->byte_ids[(unsigned char)word.data[n]];
        }
        return n;
    }
    for (size_t at = 0; at < word.size_bytes;) {
        uint32_t code;
        size_t step = tw_utf8_decode(word.data + at, word.size_bytes - at, &code);
        struct tw_bytes character = {word.data + at, step};
        encoder->symbols[n++] = tw_merges_symbol(vocab, character, code);
        at += step;
    }
    return n;
}

static enum tw_status merge_word(struct encoder *encoder, struct tw_bytes word, uint64_t hash,
                                 tw_token whole, struct tw_error *error)
{
    enum tw_status status = reserve_symbols(encoder, word.size_bytes, error);
    if (status != TW_OK) {
        return status;
    }
    size_t n = first_symbols(encoder, word);
    if (!tw_bpe_merge(&encoder->tokenizer->merges, &encoder->bpe, encoder->symbols, n, &n)) {
        return no_memory(error);
    }
    if (whole != TW_TOKEN_NONE) {
        bool is_whole = n == 1 && encoder->symbols[0] == whole;
        __atomic_store_n(&encoder->tokenizer->wholeness[whole],
                         is_whole ? TW_WHOLE_YES : TW_WHOLE_NO, __ATOMIC_RELAXED);
    }
    return push_symbols(encoder, word, hash, n, error);
}

static enum tw_status push_line(struct encoder *encoder, const struct tw_word_cache_line *line,
                                struct tw_error *error)
{
    enum tw_status status = TW_OK;
    for (size_t i = 0; i < line->n_ids && status == TW_OK; i++) {
        status = push(encoder, line->ids[i], error);
    }
    return status;
}

/* Most words are tokens, and come out of merging as themselves. */
static enum tw_status encode_word(struct encoder *encoder, struct tw_bytes word,
                                  struct tw_error *error)
{
    const struct tw_tokenizer *tokenizer = encoder->tokenizer;
    uint64_t hash = tw_bytes_hash(word.data, word.size_bytes);
    const struct tw_word_cache_line *line = tw_word_cache_find(&encoder->words, word, hash);
    if (line != NULL) {
        return push_line(encoder, line, error);
    }
    tw_token whole = tw_vocab_find_hashed(&tokenizer->vocab, word, hash);
    if (whole != TW_TOKEN_NONE &&
        (tokenizer->ignore_merges ||
         __atomic_load_n(&tokenizer->wholeness[whole], __ATOMIC_RELAXED) == TW_WHOLE_YES)) {
        tw_word_cache_put(&encoder->words, word, hash, &whole, 1);
        return push(encoder, whole, error);
    }
    return merge_word(encoder, word, hash, whole, error);
}

static bool is_mark(struct tw_bytes text, size_t at)
{
    return text.size_bytes - at >= 3 && memcmp(text.data + at, "\xe2\x96\x81", 3) == 0;
}

/* Where no pair joins across the beginning of a run of marks, each word can be merged on its own:
 * the same ids as merging the whole text at once, from words short enough to be found whole. */
static enum tw_status encode_marked(struct encoder *encoder, struct tw_bytes text,
                                    struct tw_error *error)
{
    enum tw_status status = TW_OK;
    for (size_t at = 0; at < text.size_bytes && status == TW_OK;) {
        size_t end = at;
        while (end < text.size_bytes && is_mark(text, end)) {
            end += 3;
        }
        const char *hit = memmem(text.data + end, text.size_bytes - end, "\xe2\x96\x81", 3);
        end = hit != NULL ? (size_t)(hit - text.data) : text.size_bytes;
        status = encode_word(encoder, (struct tw_bytes){text.data + at, end - at}, error);
        at = end;
    }
    return status;
}

static enum tw_status on_word(void *context, struct tw_bytes word, struct tw_error *error)
{
    struct encoder *encoder = context;
    return encoder->tokenizer->merges.cuts_at_marks && !encoder->tokenizer->ignore_merges
               ? encode_marked(encoder, word, error)
               : encode_word(encoder, word, error);
}

/* A stretch of normalised text without added tokens. */
static enum tw_status encode_plain(struct encoder *encoder, struct tw_bytes text, bool is_first,
                                   struct tw_error *error)
{
    const struct tw_tokenizer *tokenizer = encoder->tokenizer;
    return tw_pretokenize(tokenizer->cuts, tokenizer->n_cuts, &encoder->pretokenize, text, is_first,
                          on_word, encoder, error);
}

typedef enum tw_status (*gap_fn)(struct encoder *encoder, struct tw_bytes text, bool is_first,
                                 struct tw_error *error);

/* Added tokens become their ids, what lies between goes to fn. */
static enum tw_status encode_around(struct encoder *encoder, const struct tw_added_set *added,
                                    struct tw_added_rights *rights, struct tw_bytes text,
                                    bool is_first, gap_fn fn, struct tw_error *error)
{
    enum tw_status status = TW_OK;
    for (size_t at = 0; at < text.size_bytes && status == TW_OK;) {
        size_t begin, end;
        const struct tw_added_token *token = tw_added_next(added, text, at, rights, &begin, &end);
        if (begin > at) {
            struct tw_bytes gap = {text.data + at, begin - at};
            status = fn(encoder, gap, is_first && at == 0, error);
        }
        if (status == TW_OK && token != NULL) {
            status = push(encoder, token->id, error);
        }
        at = end;
    }
    return status;
}

/* The next special token of a set in text, wherever it stands; its id or TW_TOKEN_NONE. */
static tw_token next_special(const struct tw_added_set *set, struct tw_bytes text, size_t *at,
                             size_t *ret_begin)
{
    const struct tw_added_token *token;
    struct tw_added_rights all = {.special = true};
    while ((token = tw_added_next(set, text, *at, &all, ret_begin, at)) != NULL) {
        if (token->is_special) {
            return token->id;
        }
    }
    return TW_TOKEN_NONE;
}

/* Whether one span that is not input has all the bytes of the whole text from begin to end. *i_span
 * rises with them. */
static bool is_trusted(const struct encoder *encoder, size_t begin, size_t end, size_t *i_span)
{
    while (encoder->spans[*i_span].end_bytes <= begin) {
        ++*i_span;
    }
    return !encoder->spans[*i_span].is_input && encoder->spans[*i_span].end_bytes >= end;
}

/* Who wrote what is not known of normalised text. But if the same special tokens are found in it,
 * in the same order, as in the raw text, then each is the one of its place there; if not, none of
 * them counts. Gives bools to free. */
static enum tw_status grant_special(const struct encoder *encoder, struct tw_bytes raw,
                                    struct tw_bytes normalised, struct tw_added_rights *rights,
                                    bool **ret_granted, struct tw_error *error)
{
    const struct tw_added_set *set = &encoder->tokenizer->added_normalised;
    size_t offset = (size_t)(raw.data - encoder->text.data), n = 0, at_raw = 0, at = 0, begin,
           i_span = 0;
    bool *granted = tw_mem_zalloc(raw.size_bytes + 1, sizeof *granted), agree = true;
    if (granted == NULL) {
        return no_memory(error);
    }
    for (tw_token id = 0; id != TW_TOKEN_NONE && agree;) {
        id = next_special(set, normalised, &at, &begin);
        agree = id == next_special(set, raw, &at_raw, &begin);
        if (agree && id != TW_TOKEN_NONE) {
            granted[n++] = is_trusted(encoder, offset + begin, offset + at_raw, &i_span);
        }
    }
    *ret_granted = granted;
    rights->granted = granted;
    rights->n_granted = agree ? n : 0;
    return TW_OK;
}

/* A stretch of the raw text without added tokens. */
static enum tw_status encode_raw(struct encoder *encoder, struct tw_bytes text, bool is_first,
                                 struct tw_error *error)
{
    const struct tw_tokenizer *tokenizer = encoder->tokenizer;
    const struct tw_added_set *added = &tokenizer->added_normalised;
    struct tw_added_rights rights = {.special = encoder->allow_special};
    struct tw_bytes normalised;
    bool *granted = NULL;
    enum tw_status status = tw_normalise(tokenizer->normalise, tokenizer->n_normalise,
                                         &encoder->normalise, text, &normalised, error);
    if (status == TW_OK && encoder->spans != NULL && added->n_tokens > 0) {
        status = grant_special(encoder, text, normalised, &rights, &granted, error);
    }
    if (status == TW_OK) {
        status = encode_around(encoder, added, &rights, normalised, is_first, encode_plain, error);
    }
    tw_mem_free(granted);
    return status;
}

static enum tw_status encode_all(struct encoder *encoder, struct tw_bytes text, int flags,
                                 struct tw_error *error)
{
    const struct tw_tokenizer *tokenizer = encoder->tokenizer;
    enum tw_status status = TW_OK;
    if ((flags & TW_ENCODE_BOS_EOS) != 0 && tokenizer->add_bos) {
        status = push(encoder, tokenizer->bos, error);
    }
    if (status == TW_OK) {
        struct tw_added_rights rights = {.special = encoder->allow_special,
                                         .spans = encoder->spans};
        status = encode_around(encoder, &tokenizer->added, &rights, text, true, encode_raw, error);
    }
    if (status == TW_OK && (flags & TW_ENCODE_BOS_EOS) != 0 && tokenizer->add_eos) {
        status = push(encoder, tokenizer->eos, error);
    }
    return status;
}

/* spans: NULL, or who wrote what. */
static enum tw_status encode_text(const struct tw_tokenizer *tokenizer, struct tw_bytes text,
                                  int flags, const struct tw_text_span *spans,
                                  struct tw_token_list *list, struct tw_error *error)
{
    if (text.size_bytes > TW_LIMIT_TEXT_BYTES) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "a text of %zu bytes; at most %u are tokenised", text.size_bytes,
                            TW_LIMIT_TEXT_BYTES);
    }
    struct encoder encoder = {.tokenizer = tokenizer,
                              .list = list,
                              .text = text,
                              .allow_special = (flags & TW_ENCODE_SPECIAL) != 0,
                              .spans = spans};
    if (text.size_bytes >= CACHED_TEXT_BYTES) {
        tw_word_cache_init(&encoder.words);
    }
    size_t n_before = list->n_tokens;
    enum tw_status status = encode_all(&encoder, text, flags, error);
    if (status != TW_OK) {
        list->n_tokens = n_before;
    }
    tw_mem_free(encoder.symbols);
    tw_word_cache_free(&encoder.words);
    tw_bpe_scratch_free(&encoder.bpe);
    tw_normalise_scratch_free(&encoder.normalise);
    tw_pretokenize_scratch_free(&encoder.pretokenize);
    return status;
}

enum tw_status tw_tokenizer_encode(const struct tw_tokenizer *tokenizer, const char *text,
                                   size_t text_bytes, int flags, struct tw_token_list *list,
                                   struct tw_error *error)
{
    return encode_text(tokenizer, (struct tw_bytes){text, text_bytes}, flags, NULL, list, error);
}

enum tw_status tw_tokenizer_encode_spans(const struct tw_tokenizer *tokenizer, const char *text,
                                         size_t text_bytes, const struct tw_text_span *spans,
                                         size_t n_spans, struct tw_token_list *list,
                                         struct tw_error *error)
{
    assert(text_bytes == 0 || spans[n_spans - 1].end_bytes >= text_bytes);
    return encode_text(tokenizer, (struct tw_bytes){text, text_bytes}, TW_ENCODE_SPECIAL, spans,
                       list, error);
}
