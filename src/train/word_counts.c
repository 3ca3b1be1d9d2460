#include "train/word_counts.h"

#include "base/mem.h"
#include "text/added.h"

/* A word of the table; its bytes stand in the buffer. */
struct word {
    uint32_t offset;
    uint32_t n_bytes;
    uint64_t count;
};

struct tw_word_counts {
    struct tw_added_set added;
    struct tw_normalise_scratch normalise;
    struct tw_pretokenize_scratch pretokenize;
    struct tw_buf bytes; /* of all words, end to end */
    struct word *words;
    size_t n_words, capacity_words;
    uint64_t *slots; /* [mask + 1]: the hash's upper half, then the word + 1; 0 is free */
    size_t mask;
    uint64_t text_bytes;
    uint64_t n_added;
};

static enum tw_status no_memory(struct tw_error *error)
{
    return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION,
                        "no memory for the words of the corpus");
}

enum tw_status tw_word_counts_create(const struct tw_added_token *added, size_t n_added,
                                     struct tw_word_counts **ret_counts, struct tw_error *error)
{
    struct tw_word_counts *counts = tw_mem_zalloc(1, sizeof *counts);
    if (counts == NULL) {
        return no_memory(error);
    }
    tw_buf_init(&counts->bytes, TW_LIMIT_CORPUS_WORD_BYTES);
    enum tw_status status = tw_added_init(&counts->added, added, n_added, error);
    if (status != TW_OK) {
        tw_word_counts_free(counts);
        return status;
    }
    *ret_counts = counts;
    return TW_OK;
}

void tw_word_counts_free(struct tw_word_counts *counts)
{
    if (counts == NULL) {
        return;
    }
    tw_added_free(&counts->added);
    tw_normalise_scratch_free(&counts->normalise);
    tw_pretokenize_scratch_free(&counts->pretokenize);
    tw_buf_free(&counts->bytes);
    tw_mem_free(counts->words);
    tw_mem_free(counts->slots);
    tw_mem_free(counts);
}

/* ---- the table ---- */

static struct tw_bytes bytes_of(const struct tw_word_counts *counts, size_t word)
{
    return (struct tw_bytes){counts->bytes.data + counts->words[word].offset,
                             counts->words[word].n_bytes};
}

/* The slot of the word, or a free one; NULL when too many words collide. */
static uint64_t *find_slot(const struct tw_word_counts *counts, struct tw_bytes word, uint64_t hash)
{
    size_t at = hash & counts->mask;
    for (int probes = 0; probes < TW_LIMIT_HASH_PROBES; probes++) {
        uint64_t *slot = &counts->slots[at];
        if (*slot == 0 || (*slot >> 32 == hash >> 32 &&
                           tw_bytes_equal(bytes_of(counts, (*slot & UINT32_MAX) - 1), word))) {
            return slot;
        }
        at = (at + 1) & counts->mask;
    }
    return NULL;
}

/* Twice the slots, with the words put in again. */
static bool grow_slots(struct tw_word_counts *counts)
{
    size_t n_slots = counts->slots != NULL ? 2 * (counts->mask + 1) : 65536;
    uint64_t *old = counts->slots;
    counts->slots = tw_mem_zalloc(n_slots, sizeof *counts->slots);
    if (counts->slots == NULL) {
        counts->slots = old;
        return false;
    }
    tw_mem_free(old);
    counts->mask = n_slots - 1;
    for (size_t i = 0; i < counts->n_words; i++) {
        struct tw_bytes word = bytes_of(counts, i);
        uint64_t hash = tw_bytes_hash(word.data, word.size_bytes);
        uint64_t *slot = find_slot(counts, word, hash);
        if (slot == NULL) {
            return false;
        }
        *slot = hash >> 32 << 32 | (i + 1);
    }
    return true;
}

static enum tw_status reserve(struct tw_word_counts *counts, struct tw_error *error)
{
    if (counts->n_words == TW_LIMIT_CORPUS_WORDS) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "the corpus has more than %u distinct words; give a smaller one",
                            TW_LIMIT_CORPUS_WORDS);
    }
    if ((counts->slots == NULL || 2 * (counts->n_words + 1) > counts->mask + 1) &&
        !grow_slots(counts)) {
        return no_memory(error);
    }
    if (counts->n_words < counts->capacity_words) {
        return TW_OK;
    }
    size_t capacity = counts->capacity_words != 0 ? 2 * counts->capacity_words : 16384;
    struct word *words = tw_mem_realloc(counts->words, capacity, sizeof *words);
    if (words == NULL) {
        return no_memory(error);
    }
    counts->words = words;
    counts->capacity_words = capacity;
    return TW_OK;
}

static enum tw_status insert(struct tw_word_counts *counts, struct tw_bytes word, uint64_t hash,
                             uint64_t *slot, struct tw_error *error)
{
    size_t offset = counts->bytes.size_bytes;
    if (!tw_buf_append(&counts->bytes, word.data, word.size_bytes)) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "the distinct words of the corpus have more than %u bytes, or memory "
                            "ran out; give a smaller one",
                            TW_LIMIT_CORPUS_WORD_BYTES);
    }
    counts->words[counts->n_words++] =
        (struct word){(uint32_t)offset, (uint32_t)word.size_bytes, 1};
    *slot = hash >> 32 << 32 | counts->n_words;
    return TW_OK;
}

static enum tw_status on_word(void *context, struct tw_bytes word, struct tw_error *error)
{
    struct tw_word_counts *counts = context;
    uint64_t hash = tw_bytes_hash(word.data, word.size_bytes);
    enum tw_status status = reserve(counts, error);
    if (status != TW_OK) {
        return status;
    }
    uint64_t *slot = find_slot(counts, word, hash);
    if (slot == NULL) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "more than %d words of the corpus collide", TW_LIMIT_HASH_PROBES);
    }
    if (*slot == 0) {
        return insert(counts, word, hash, slot, error);
    }
    counts->words[(*slot & UINT32_MAX) - 1].count++;
    return TW_OK;
}

/* ---- texts ---- */

/* A stretch without added tokens. */
static enum tw_status count_plain(struct tw_word_counts *counts, struct tw_bytes text,
                                  struct tw_error *error)
{
    static const struct tw_normalise_step nfc = {.kind = TW_NORMALISE_NFC};
    static const struct tw_pretokenize_step cut = {.kind = TW_PRETOKENIZE_QWEN2};
    struct tw_bytes normalised;
    enum tw_status status = tw_normalise(&nfc, 1, &counts->normalise, text, &normalised, error);
    return status == TW_OK ? tw_pretokenize(&cut, 1, &counts->pretokenize, normalised, true,
                                            on_word, counts, error)
                           : status;
}

enum tw_status tw_word_counts_add(struct tw_word_counts *counts, struct tw_bytes text,
                                  struct tw_error *error)
{
    if (text.size_bytes > TW_LIMIT_TEXT_BYTES) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "a text of %zu bytes; at most %u are read", text.size_bytes,
                            TW_LIMIT_TEXT_BYTES);
    }
    enum tw_status status = TW_OK;
    struct tw_added_rights rights = {.special = true};
    for (size_t at = 0; at < text.size_bytes && status == TW_OK;) {
        size_t begin, end;
        bool is_added = tw_added_next(&counts->added, text, at, &rights, &begin, &end) != NULL;
        if (begin > at) {
            status = count_plain(counts, (struct tw_bytes){text.data + at, begin - at}, error);
        }
        counts->n_added += is_added;
        at = end;
    }
    counts->text_bytes += text.size_bytes;
    return status;
}

/* ---- results ---- */

size_t tw_word_counts_n_words(const struct tw_word_counts *counts)
{
    return counts->n_words;
}

struct tw_bytes tw_word_counts_word(const struct tw_word_counts *counts, size_t word)
{
    return bytes_of(counts, word);
}

uint64_t tw_word_counts_count(const struct tw_word_counts *counts, size_t word)
{
    return counts->words[word].count;
}

size_t tw_word_counts_word_bytes(const struct tw_word_counts *counts)
{
    return counts->bytes.size_bytes;
}

uint64_t tw_word_counts_text_bytes(const struct tw_word_counts *counts)
{
    return counts->text_bytes;
}

uint64_t tw_word_counts_n_added(const struct tw_word_counts *counts)
{
    return counts->n_added;
}
