#include "text/vocab.h"

#include <assert.h>

#include "base/mem.h"
#include "text/byte_alphabet.h"
#include "text/utf8.h"

/* Slots lie in no order, so that each is a wait for memory: so many are asked for at once. */
enum { AHEAD = 16 };

#define MARK "\xe2\x96\x81" /* U+2581, SentencePiece's space */

static bool map_init(struct tw_token_map *map, size_t n_tokens)
{
    size_t n_slots = 16;
    while (n_slots < 2 * n_tokens) {
        n_slots *= 2;
    }
    map->slots = tw_mem_map(n_slots * sizeof *map->slots);
    map->mask = n_slots - 1;
    return map->slots != NULL;
}

static void map_free(struct tw_token_map *map)
{
    tw_mem_unmap(map->slots, (map->mask + 1) * sizeof *map->slots);
}

static tw_token map_find(const struct tw_token_map *map, const struct tw_bytes *keys,
                         struct tw_bytes key, uint64_t hash)
{
    for (size_t at = hash & map->mask;; at = (at + 1) & map->mask) {
        uint64_t slot = map->slots[at];
        if (slot == 0) {
            return TW_TOKEN_NONE;
        }
        tw_token id = (tw_token)((slot & UINT32_MAX) - 1);
        if (slot >> 32 == hash >> 32 && tw_bytes_equal(keys[id], key)) {
            return id;
        }
    }
}

/* Replaces an equal key. False when too many keys collide. */
static bool map_insert(struct tw_token_map *map, const struct tw_bytes *keys, tw_token id)
{
    uint64_t hash = tw_bytes_hash(keys[id].data, keys[id].size_bytes);
    uint64_t fresh = (hash >> 32) << 32 | ((uint32_t)id + 1);
    size_t at = hash & map->mask;
    for (int probes = 0; probes < TW_LIMIT_HASH_PROBES; probes++) {
        uint64_t slot = map->slots[at];
        tw_token old = (tw_token)((slot & UINT32_MAX) - 1);
        if (slot == 0 || (slot >> 32 == hash >> 32 && tw_bytes_equal(keys[old], keys[id]))) {
            map->slots[at] = fresh;
            return true;
        }
        at = (at + 1) & map->mask;
    }
    return false;
}

static void map_prefetch(const struct tw_token_map *map, struct tw_bytes key)
{
    __builtin_prefetch(&map->slots[tw_bytes_hash(key.data, key.size_bytes) & map->mask]);
}

void tw_vocab_prefetch_text(const struct tw_vocab *vocab, struct tw_bytes text)
{
    map_prefetch(&vocab->by_text, text);
}

tw_token tw_vocab_find_text(const struct tw_vocab *vocab, struct tw_bytes text)
{
    return map_find(&vocab->by_text, vocab->texts, text, tw_bytes_hash(text.data, text.size_bytes));
}

tw_token tw_vocab_find_hashed(const struct tw_vocab *vocab, struct tw_bytes word, uint64_t hash)
{
    const struct tw_bytes *keys = vocab->family == TW_TOKENIZER_BPE ? vocab->bytes : vocab->texts;
    return map_find(&vocab->by_word, keys, word, hash);
}

tw_token tw_vocab_find_word(const struct tw_vocab *vocab, struct tw_bytes word)
{
    return tw_vocab_find_hashed(vocab, word, tw_bytes_hash(word.data, word.size_bytes));
}

bool tw_vocab_is_plain(const struct tw_vocab *vocab, tw_token id)
{
    uint8_t kind = vocab->kinds[id];
    return kind == TW_TOKEN_NORMAL || kind == TW_TOKEN_USER_DEFINED || kind == TW_TOKEN_UNUSED;
}

/* The bytes a text in the alphabet stands for; false when it holds another character. */
static bool decode_alphabet(struct tw_bytes text, char *ret_bytes, size_t *ret_n)
{
    size_t n = 0;
    for (size_t at = 0; at < text.size_bytes;) {
        uint32_t code;
        at += tw_utf8_decode(text.data + at, text.size_bytes - at, &code);
        int byte = tw_byte_alphabet_byte(code);
        if (byte < 0) {
            return false;
        }
        ret_bytes[n++] = (char)byte;
    }
    *ret_n = n;
    return true;
}

static size_t decode_marks(struct tw_bytes text, char *ret_bytes)
{
    size_t n = 0;
    for (size_t at = 0; at < text.size_bytes;) {
        bool is_mark = text.size_bytes - at >= 3 && memcmp(text.data + at, MARK, 3) == 0;
        ret_bytes[n++] = is_mark ? ' ' : text.data[at];
        at += is_mark ? 3 : 1;
    }
    return n;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The byte of "<0x0A>", or -1. */
static int byte_of_text(struct tw_bytes text)
{
    if (text.size_bytes != 6 || memcmp(text.data, "<0x", 3) != 0 || text.data[5] != '>') {
        return -1;
    }
    int high = hex_digit(text.data[3]);
    int low = hex_digit(text.data[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

static enum tw_status check_spec(const struct tw_tokenizer_spec *spec, size_t *ret_total_bytes,
                                 struct tw_error *error)
{
    size_t limit =
        spec->family == TW_TOKENIZER_SPM ? TW_LIMIT_SPM_PIECE_BYTES : TW_LIMIT_TOKEN_BYTES;
    size_t total = 0;
    if (spec->n_tokens == 0 || spec->n_tokens > TW_LIMIT_VOCAB_TOKENS) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "a vocabulary of %zu tokens; 1 to %u are possible", spec->n_tokens,
                            TW_LIMIT_VOCAB_TOKENS);
    }
    for (size_t i = 0; i < spec->n_tokens; i++) {
        if (spec->tokens[i].size_bytes > limit) {
            return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                                "token %zu has %zu bytes; at most %zu are possible", i,
                                spec->tokens[i].size_bytes, limit);
        }
        if (spec->kinds != NULL &&
            (spec->kinds[i] < TW_TOKEN_NORMAL || spec->kinds[i] > TW_TOKEN_BYTE)) {
            return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                                "token %zu is of unknown kind %u", i, spec->kinds[i]);
        }
        total += spec->tokens[i].size_bytes;
    }
    *ret_total_bytes = total;
    return TW_OK;
}

static bool allocate(struct tw_vocab *vocab, size_t n_tokens, size_t total_bytes)
{
    vocab->texts = tw_mem_zalloc(n_tokens, sizeof *vocab->texts);
    vocab->bytes = tw_mem_zalloc(n_tokens, sizeof *vocab->bytes);
    vocab->kinds = tw_mem_zalloc(n_tokens, sizeof *vocab->kinds);
    vocab->blob = tw_mem_alloc(total_bytes, 2);
    return vocab->texts != NULL && vocab->bytes != NULL && vocab->kinds != NULL &&
           vocab->blob != NULL && map_init(&vocab->by_text, n_tokens) &&
           map_init(&vocab->by_word, n_tokens);
}

/* Texts and kinds as the file gives them; the end of what is used of the blob. */
static char *copy_texts(struct tw_vocab *vocab, const struct tw_tokenizer_spec *spec)
{
    char *at = vocab->blob;
    bool is_spm = spec->family == TW_TOKENIZER_SPM;
    for (size_t i = 0; i < spec->n_tokens; i++) {
        struct tw_bytes text = spec->tokens[i];
        if (text.size_bytes != 0) {
            memcpy(at, text.data, text.size_bytes);
        }
        vocab->texts[i] = (struct tw_bytes){at, text.size_bytes};
        at += text.size_bytes;
        bool is_byte = spec->kinds == NULL && is_spm && byte_of_text(text) >= 0;
        vocab->kinds[i] = spec->kinds != NULL ? spec->kinds[i]
                          : is_byte           ? TW_TOKEN_BYTE
                                              : TW_TOKEN_NORMAL;
    }
    return at;
}

static bool index_texts(struct tw_vocab *vocab)
{
    for (size_t i = 0; i < vocab->n_tokens; i++) {
        if (i + AHEAD < vocab->n_tokens) {
            map_prefetch(&vocab->by_text, vocab->texts[i + AHEAD]);
        }
        if (vocab->texts[i].size_bytes != 0 &&
            !map_insert(&vocab->by_text, vocab->texts, (tw_token)i)) {
            return false;
        }
    }
    return true;
}

/* Bytes in the alphabet have their tokens whatever kind the file gives them: a "!" that serves as
 * padding is still how "!" is written. */
static void find_alphabet(struct tw_vocab *vocab)
{
    for (unsigned byte = 0; byte < 256; byte++) {
        char text[4];
        struct tw_bytes key = {text, tw_utf8_encode(tw_byte_alphabet_code(byte), text)};
        tw_token id = tw_vocab_find_text(vocab, key);
        vocab->byte_ids[byte] = id;
        if (id != TW_TOKEN_NONE) {
            vocab->kinds[id] = TW_TOKEN_NORMAL;
        }
    }
}

/* Writes the output bytes of a token; *ret_is_word: merging can end at it. */
static size_t spell_out(struct tw_vocab *vocab, tw_token id, char *out, bool *ret_is_word)
{
    struct tw_bytes text = vocab->texts[id];
    bool is_spm = vocab->family == TW_TOKENIZER_SPM;
    bool is_user_defined = vocab->kinds[id] == TW_TOKEN_USER_DEFINED;
    bool is_plain = tw_vocab_is_plain(vocab, id) && text.size_bytes != 0;
    int byte = is_spm ? byte_of_text(text) : -1;
    size_t n = 0;
    *ret_is_word = is_plain && is_spm;
    if (vocab->kinds[id] == TW_TOKEN_BYTE && byte >= 0) {
        out[0] = (char)byte;
        vocab->byte_ids[byte] = id;
        return 1;
    }
    if (is_plain && !is_user_defined && is_spm) {
        return decode_marks(text, out);
    }
    if (is_plain && !is_user_defined && decode_alphabet(text, out, &n)) {
        *ret_is_word = true;
        return n;
    }
    if (text.size_bytes != 0) {
        memcpy(out, text.data, text.size_bytes);
    }
    return text.size_bytes;
}

static bool insert_words(struct tw_vocab *vocab, const struct tw_bytes *words, const tw_token *ids,
                         size_t n_ids)
{
    for (size_t i = 0; i < n_ids; i++) {
        if (!map_insert(&vocab->by_word, words, ids[i])) {
            return false;
        }
    }
    return true;
}

static bool index_words(struct tw_vocab *vocab, char *at)
{
    const struct tw_bytes *words = vocab->family == TW_TOKENIZER_BPE ? vocab->bytes : vocab->texts;
    tw_token ids[AHEAD];
    size_t n_ids = 0;
    for (size_t i = 0; i < vocab->n_tokens; i++) {
        bool is_word;
        size_t n = spell_out(vocab, (tw_token)i, at, &is_word);
        vocab->bytes[i] = (struct tw_bytes){at, n};
        at += n;
        if (!is_word) {
            continue;
        }
        map_prefetch(&vocab->by_word, words[i]);
        ids[n_ids++] = (tw_token)i;
        if (n_ids == AHEAD) {
            n_ids = 0;
            if (!insert_words(vocab, words, ids, AHEAD)) {
                return false;
            }
        }
    }
    return insert_words(vocab, words, ids, n_ids);
}

enum tw_status tw_vocab_init(struct tw_vocab *vocab, const struct tw_tokenizer_spec *spec,
                             struct tw_error *error)
{
    *vocab = (struct tw_vocab){.family = spec->family};
    size_t total = 0;
    enum tw_status status = check_spec(spec, &total, error);
    if (status != TW_OK) {
        return status;
    }
    if (!allocate(vocab, spec->n_tokens, total)) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION,
                            "no memory for a vocabulary of %zu tokens", spec->n_tokens);
    }
    vocab->n_tokens = spec->n_tokens;
    for (size_t i = 0; i < 256; i++) {
        vocab->byte_ids[i] = TW_TOKEN_NONE;
    }
    char *spelled = copy_texts(vocab, spec);
    bool ok = index_texts(vocab);
    if (ok && spec->family == TW_TOKENIZER_BPE) {
        find_alphabet(vocab);
    }
    if (!ok || !index_words(vocab, spelled)) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "more than %d entries of the vocabulary collide", TW_LIMIT_HASH_PROBES);
    }
    return TW_OK;
}

void tw_vocab_free(struct tw_vocab *vocab)
{
    tw_mem_free(vocab->texts);
    tw_mem_free(vocab->bytes);
    tw_mem_free(vocab->kinds);
    tw_mem_free(vocab->blob);
    map_free(&vocab->by_text);
    map_free(&vocab->by_word);
    *vocab = (struct tw_vocab){0};
}
