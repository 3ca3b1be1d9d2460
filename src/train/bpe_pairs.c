#include "train/bpe_pairs.h"

#include <assert.h>

#include "base/mem.h"

#define WALL TW_TOKEN_NONE

static enum tw_status no_memory(struct tw_error *error)
{
    return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION,
                        "no memory to train a tokenizer on so many words");
}

/* ---- the table of pairs ---- */

static uint32_t *find_slot(const struct tw_bpe_pairs *self, tw_token left, tw_token right)
{
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    for (size_t at = tw_bytes_mix(key, 0) & self->mask;; at = (at + 1) & self->mask) {
        uint32_t *slot = &self->slots[at];
        if (*slot == 0) {
            return slot;
        }
        const struct tw_bpe_pair *pair = &self->pairs[*slot - 1];
        if (pair->left == left && pair->right == right) {
            return slot;
        }
    }
}

static bool grow_table(struct tw_bpe_pairs *self)
{
    size_t capacity = self->capacity_pairs != 0 ? 2 * self->capacity_pairs : 65536;
    struct tw_bpe_pair *pairs = tw_mem_realloc(self->pairs, capacity, sizeof *pairs);
    if (pairs == NULL) {
        return false;
    }
    self->pairs = pairs;
    self->capacity_pairs = capacity;
    tw_mem_free(self->slots);
    self->slots = tw_mem_zalloc(2 * capacity, sizeof *self->slots);
    if (self->slots == NULL) {
        return false;
    }
    self->mask = 2 * capacity - 1;
    for (size_t i = 0; i < self->n_pairs; i++) {
        *find_slot(self, pairs[i].left, pairs[i].right) = (uint32_t)i + 1;
    }
    return true;
}

/* Room for n more pairs, so that places can be linked without a way to fail. */
static enum tw_status reserve(struct tw_bpe_pairs *self, size_t n, struct tw_error *error)
{
    if (self->n_pairs + n > TW_LIMIT_TRAINED_PAIRS) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "the words of the corpus have more than %u different pairs; give a "
                            "smaller corpus",
                            TW_LIMIT_TRAINED_PAIRS);
    }
    while (self->n_pairs + n > self->capacity_pairs) {
        if (!grow_table(self)) {
            return no_memory(error);
        }
    }
    return TW_OK;
}

static uint32_t find_or_add(struct tw_bpe_pairs *self, tw_token left, tw_token right)
{
    uint32_t *slot = find_slot(self, left, right);
    if (*slot == 0) {
        assert(self->n_pairs < self->capacity_pairs);
        self->pairs[self->n_pairs++] = (struct tw_bpe_pair){.left = left, .right = right};
        *slot = (uint32_t)self->n_pairs;
    }
    return *slot - 1;
}

/* ---- places ---- */

static uint32_t width(const struct tw_bpe_pairs *self, tw_token token)
{
    return self->token_bytes[token];
}

static uint64_t count_at(const struct tw_bpe_pairs *self, uint32_t place)
{
    return self->word_counts[self->words[place]];
}

static void link_place(struct tw_bpe_pairs *self, uint32_t place, tw_token left, tw_token right)
{
    struct tw_bpe_pair *pair = &self->pairs[find_or_add(self, left, right)];
    assert(pair->last < place);
    self->previous[place] = pair->last;
    self->next[place] = 0;
    if (pair->last != 0) {
        self->next[pair->last] = place;
    } else {
        pair->first = place;
    }
    pair->last = place;
    pair->count += count_at(self, place);
}

static void unlink_place(struct tw_bpe_pairs *self, uint32_t place, tw_token left, tw_token right)
{
    struct tw_bpe_pair *pair = &self->pairs[*find_slot(self, left, right) - 1];
    uint32_t before = self->previous[place];
    uint32_t after = self->next[place];
    if (before != 0) {
        self->next[before] = after;
    } else {
        pair->first = after;
    }
    if (after != 0) {
        self->previous[after] = before;
    } else {
        pair->last = before;
    }
    pair->count -= count_at(self, place);
}

/* ---- cells ---- */

static bool allocate(struct tw_bpe_pairs *self, const struct tw_word_counts *counts,
                     size_t n_tokens)
{
    size_t n_words = tw_word_counts_n_words(counts);
    self->n_cells = tw_word_counts_word_bytes(counts) + n_words + 1;
    self->symbols = tw_mem_alloc(self->n_cells, sizeof *self->symbols);
    self->words = tw_mem_alloc(self->n_cells, sizeof *self->words);
    self->next = tw_mem_alloc(self->n_cells, sizeof *self->next);
    self->previous = tw_mem_alloc(self->n_cells, sizeof *self->previous);
    self->word_counts = tw_mem_alloc(n_words, sizeof *self->word_counts);
    self->token_bytes = tw_mem_alloc(n_tokens, sizeof *self->token_bytes);
    self->capacity_tokens = n_tokens;
    return self->symbols != NULL && self->words != NULL && self->next != NULL &&
           self->previous != NULL && self->word_counts != NULL && self->token_bytes != NULL;
}

static void fill_cells(struct tw_bpe_pairs *self, const struct tw_word_counts *counts,
                       const tw_token byte_ids[256])
{
    size_t at = 0;
    self->symbols[at++] = WALL;
    for (size_t i = 0; i < tw_word_counts_n_words(counts); i++) {
        struct tw_bytes word = tw_word_counts_word(counts, i);
        self->word_counts[i] = tw_word_counts_count(counts, i);
        for (size_t k = 0; k < word.size_bytes; k++) {
            self->words[at] = (uint32_t)i;
            self->symbols[at++] = byte_ids[(unsigned char)word.data[k]];
        }
        self->symbols[at++] = WALL;
    }
    assert(at == self->n_cells);
}

enum tw_status tw_bpe_pairs_init(struct tw_bpe_pairs *self, const struct tw_word_counts *counts,
                                 const tw_token byte_ids[256], size_t n_tokens,
                                 struct tw_error *error)
{
    *self = (struct tw_bpe_pairs){0};
    assert(n_tokens >= 256);
    if (!allocate(self, counts, n_tokens)) {
        return no_memory(error);
    }
    for (; self->n_tokens < 256; self->n_tokens++) {
        self->token_bytes[self->n_tokens] = 1;
    }
    fill_cells(self, counts, byte_ids);
    enum tw_status status = reserve(self, 65536, error);
    for (size_t at = 0; at + 1 < self->n_cells && status == TW_OK; at++) {
        if (self->symbols[at] != WALL && self->symbols[at + 1] != WALL) {
            link_place(self, (uint32_t)at, self->symbols[at], self->symbols[at + 1]);
        }
    }
    return status;
}

void tw_bpe_pairs_free(struct tw_bpe_pairs *self)
{
    tw_mem_free(self->pairs);
    tw_mem_free(self->slots);
    tw_mem_free(self->symbols);
    tw_mem_free(self->words);
    tw_mem_free(self->next);
    tw_mem_free(self->previous);
    tw_mem_free(self->word_counts);
    tw_mem_free(self->token_bytes);
    *self = (struct tw_bpe_pairs){0};
}

/* ---- merging ---- */

/* (before, left, right, after) becomes (before, merged, after). */
static void merge_place(struct tw_bpe_pairs *self, uint32_t place, tw_token left, tw_token right,
                        tw_token merged)
{
    uint32_t middle = place + width(self, left);
    uint32_t end = middle + width(self, right);
    tw_token before = self->symbols[place - 1];
    tw_token after = self->symbols[end];
    uint32_t begin = before != WALL ? place - width(self, before) : place;
    unlink_place(self, place, left, right);
    if (before != WALL) {
        unlink_place(self, begin, before, left);
    }
    if (after != WALL) {
        unlink_place(self, middle, right, after);
    }
    self->symbols[place] = merged;
    self->symbols[end - 1] = merged;
    if (before != WALL) {
        link_place(self, begin, before, merged);
    }
    if (after != WALL) {
        link_place(self, place, merged, after);
    }
}

enum tw_status tw_bpe_pairs_merge(struct tw_bpe_pairs *self, size_t pair, struct tw_error *error)
{
    assert(self->n_tokens < self->capacity_tokens);
    tw_token left = self->pairs[pair].left;
    tw_token right = self->pairs[pair].right;
    tw_token merged = (tw_token)self->n_tokens++;
    self->token_bytes[merged] = width(self, left) + width(self, right);
    for (uint32_t place; (place = self->pairs[pair].first) != 0;) {
        enum tw_status status = reserve(self, 2, error);
        if (status != TW_OK) {
            return status;
        }
        merge_place(self, place, left, right, merged);
    }
    return TW_OK;
}

uint64_t tw_bpe_pairs_count_tokens(const struct tw_bpe_pairs *self)
{
    uint64_t n = 0;
    for (size_t at = 0; at < self->n_cells;) {
        bool is_wall = self->symbols[at] == WALL;
        n += is_wall ? 0 : count_at(self, (uint32_t)at);
        at += is_wall ? 1 : width(self, self->symbols[at]);
    }
    return n;
}
