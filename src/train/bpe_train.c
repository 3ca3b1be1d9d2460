#include "train/bpe_train.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "text/byte_alphabet.h"
#include "text/utf8.h"
#include "train/bpe_pairs.h"

#define ADDED(place, spelling, special)                                                            \
    {                                                                                              \
        .id = (place), .text = {(spelling), sizeof(spelling) - 1}, .is_special = (special)         \
    }

static const struct tw_added_token added_tokens[TW_BPE_ADDED_TOKENS] = {
    ADDED(0, "<|endoftext|>", true),     ADDED(1, "<|im_start|>", true),
    ADDED(2, "<|im_end|>", true),        ADDED(3, "<tool_call>", false),
    ADDED(4, "</tool_call>", false),     ADDED(5, "<tool_response>", false),
    ADDED(6, "</tool_response>", false),
};

const struct tw_added_token *tw_bpe_train_added(void)
{
    return added_tokens;
}

/* A pair and the count it had when it was put here: an upper bound of what it has now. */
struct candidate {
    uint64_t count;
    uint32_t pair;
};

struct trainer {
    struct tw_bpe_pairs pairs;
    struct candidate *heap; /* the best first */
    size_t n_heap, capacity_heap;
    struct tw_arena *arena;
    struct tw_bytes *texts;  /* [capacity] bytes of the tokens, not in the alphabet */
    struct tw_bytes *merges; /* [capacity - 256] */
    uint32_t *slots;         /* [mask + 1] token + 1, by bytes */
    size_t mask;
    struct tw_error *error;
};

static enum tw_status no_memory(const struct trainer *self)
{
    return tw_error_set(self->error, TW_ERR_MEMORY, TW_NO_POSITION,
                        "no memory to train a tokenizer");
}

/* ---- the queue of pairs ---- */

static bool is_better(const struct trainer *self, struct candidate a, struct candidate b)
{
    if (a.count != b.count) {
        return a.count > b.count;
    }
    const struct tw_bpe_pair *x = &self->pairs.pairs[a.pair];
    const struct tw_bpe_pair *y = &self->pairs.pairs[b.pair];
    return x->left != y->left ? x->left < y->left : x->right < y->right;
}

static void sift_up(struct trainer *self, size_t at)
{
    struct candidate moved = self->heap[at];
    while (at > 0 && is_better(self, moved, self->heap[(at - 1) / 2])) {
        self->heap[at] = self->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    self->heap[at] = moved;
}

static void sift_down(struct trainer *self, size_t at)
{
    struct candidate moved = self->heap[at];
    for (;;) {
        size_t child = 2 * at + 1;
        if (child + 1 < self->n_heap && is_better(self, self->heap[child + 1], self->heap[child])) {
            child++;
        }
        if (child >= self->n_heap || !is_better(self, self->heap[child], moved)) {
            break;
        }
        self->heap[at] = self->heap[child];
        at = child;
    }
    self->heap[at] = moved;
}

static void remove_best(struct trainer *self)
{
    self->heap[0] = self->heap[--self->n_heap];
    if (self->n_heap > 0) {
        sift_down(self, 0);
    }
}

/* The pairs from `first` on join the queue, if they can ever be merged. */
static enum tw_status add_candidates(struct trainer *self, size_t first)
{
    const struct tw_bpe_pairs *pairs = &self->pairs;
    if (self->n_heap + (pairs->n_pairs - first) > self->capacity_heap) {
        size_t capacity = 2 * (self->n_heap + (pairs->n_pairs - first));
        struct candidate *heap = tw_mem_realloc(self->heap, capacity, sizeof *heap);
        if (heap == NULL) {
            return no_memory(self);
        }
        self->heap = heap;
        self->capacity_heap = capacity;
    }
    for (size_t i = first; i < pairs->n_pairs; i++) {
        const struct tw_bpe_pair *pair = &pairs->pairs[i];
        uint32_t n_bytes = pairs->token_bytes[pair->left] + pairs->token_bytes[pair->right];
        if (pair->count >= 2 && n_bytes <= TW_LIMIT_TRAINED_TOKEN_BYTES) {
            self->heap[self->n_heap] = (struct candidate){pair->count, (uint32_t)i};
            sift_up(self, self->n_heap++);
        }
    }
    return TW_OK;
}

/* ---- texts of tokens ---- */

static uint32_t *find_text(const struct trainer *self, struct tw_bytes text)
{
    size_t at = tw_bytes_hash(text.data, text.size_bytes) & self->mask;
    while (self->slots[at] != 0 && !tw_bytes_equal(self->texts[self->slots[at] - 1], text)) {
        at = (at + 1) & self->mask;
    }
    return &self->slots[at];
}

/* Bytes of a token, written in the alphabet into the arena; false when memory ends. */
static bool spell(struct trainer *self, struct tw_bytes bytes, struct tw_bytes *ret_text)
{
    char text[2 * TW_LIMIT_TRAINED_TOKEN_BYTES];
    size_t n = tw_byte_alphabet_spell(bytes.data, bytes.size_bytes, text);
    char *copy = tw_arena_strndup(self->arena, text, n);
    *ret_text = (struct tw_bytes){copy, n};
    return copy != NULL;
}

/* "left right" in the alphabet. */
static bool spell_merge(struct trainer *self, struct tw_bytes left, struct tw_bytes right,
                        struct tw_bytes *ret_line)
{
    char line[2 * TW_LIMIT_TRAINED_TOKEN_BYTES + 1];
    size_t n = tw_byte_alphabet_spell(left.data, left.size_bytes, line);
    line[n++] = ' ';
    n += tw_byte_alphabet_spell(right.data, right.size_bytes, line + n);
    char *copy = tw_arena_strndup(self->arena, line, n);
    *ret_line = (struct tw_bytes){copy, n};
    return copy != NULL;
}

/* The bytes of a pair put together, into bytes. */
static struct tw_bytes join(const struct trainer *self, const struct tw_bpe_pair *pair,
                            char bytes[TW_LIMIT_TRAINED_TOKEN_BYTES])
{
    struct tw_bytes left = self->texts[pair->left];
    struct tw_bytes right = self->texts[pair->right];
    memcpy(bytes, left.data, left.size_bytes);
    memcpy(bytes + left.size_bytes, right.data, right.size_bytes);
    return (struct tw_bytes){bytes, left.size_bytes + right.size_bytes};
}

/* ---- training ---- */

/* The ids of single bytes: in the order of their characters. */
static void order_bytes(tw_token ret_ids[256])
{
    tw_token id = 0;
    for (uint32_t code = 0; id < 256; code++) {
        int byte = tw_byte_alphabet_byte(code);
        if (byte >= 0) {
            ret_ids[byte] = id++;
        }
    }
}

static bool allocate(struct trainer *self, size_t capacity)
{
    size_t n_slots = 1024;
    while (n_slots < 2 * capacity) {
        n_slots *= 2;
    }
    self->mask = n_slots - 1;
    self->slots = tw_mem_zalloc(n_slots, sizeof *self->slots);
    self->texts = tw_arena_alloc(self->arena, capacity, sizeof *self->texts);
    self->merges = tw_arena_alloc(self->arena, capacity, sizeof *self->merges);
    return self->slots != NULL && self->texts != NULL && self->merges != NULL;
}

static bool add_text(struct trainer *self, tw_token id, struct tw_bytes bytes)
{
    char *copy = tw_arena_strndup(self->arena, bytes.data, bytes.size_bytes);
    if (copy == NULL) {
        return false;
    }
    self->texts[id] = (struct tw_bytes){copy, bytes.size_bytes};
    *find_text(self, self->texts[id]) = (uint32_t)id + 1;
    return true;
}

static enum tw_status merge_best(struct trainer *self, uint32_t pair, struct tw_bytes joined)
{
    struct tw_bpe_pairs *pairs = &self->pairs;
    tw_token merged = (tw_token)pairs->n_tokens;
    struct tw_bytes left = self->texts[pairs->pairs[pair].left];
    struct tw_bytes right = self->texts[pairs->pairs[pair].right];
    size_t n_before = pairs->n_pairs;
    if (!add_text(self, merged, joined) ||
        !spell_merge(self, left, right, &self->merges[merged - 256])) {
        return no_memory(self);
    }
    enum tw_status status = tw_bpe_pairs_merge(pairs, pair, self->error);
    return status == TW_OK ? add_candidates(self, n_before) : status;
}

/* Counts only fall (bpe_pairs.h), so the first candidate whose count still holds is the best. */
static enum tw_status merge_all(struct trainer *self, tw_bpe_progress_fn progress, void *context)
{
    struct tw_bpe_pairs *pairs = &self->pairs;
    enum tw_status status = add_candidates(self, 0);
    while (status == TW_OK && self->n_heap > 0 && pairs->n_tokens < pairs->capacity_tokens) {
        struct candidate best = self->heap[0];
        uint64_t count = pairs->pairs[best.pair].count;
        if (count >= 2 && count != best.count) {
            self->heap[0].count = count;
            sift_down(self, 0);
            continue;
        }
        remove_best(self);
        char bytes[TW_LIMIT_TRAINED_TOKEN_BYTES];
        struct tw_bytes joined = join(self, &pairs->pairs[best.pair], bytes);
        if (count < 2 || *find_text(self, joined) != 0) {
            continue;
        }
        status = merge_best(self, best.pair, joined);
        if (progress != NULL) {
            progress(context, pairs->n_tokens - 256, pairs->capacity_tokens - 256);
        }
    }
    return status;
}

static enum tw_status prepare(struct trainer *self, const struct tw_word_counts *counts,
                              size_t capacity)
{
    tw_token byte_ids[256];
    order_bytes(byte_ids);
    if (!allocate(self, capacity)) {
        return no_memory(self);
    }
    for (int byte = 0; byte < 256; byte++) {
        char text = (char)byte;
        if (!add_text(self, byte_ids[byte], (struct tw_bytes){&text, 1})) {
            return no_memory(self);
        }
    }
    return tw_bpe_pairs_init(&self->pairs, counts, byte_ids, capacity, self->error);
}

/* ---- the description ---- */

static enum tw_status describe(struct trainer *self, struct tw_tokenizer_spec *ret_spec)
{
    size_t n_learnt = self->pairs.n_tokens;
    size_t n_tokens = n_learnt + TW_BPE_ADDED_TOKENS;
    struct tw_bytes *tokens = tw_arena_alloc(self->arena, n_tokens, sizeof *tokens);
    uint8_t *kinds = tw_arena_alloc(self->arena, n_tokens, sizeof *kinds);
    struct tw_added_token *added = tw_arena_alloc(self->arena, TW_BPE_ADDED_TOKENS, sizeof *added);
    if (tokens == NULL || kinds == NULL || added == NULL) {
        return no_memory(self);
    }
    for (size_t i = 0; i < n_learnt; i++) {
        kinds[i] = TW_TOKEN_NORMAL;
        if (!spell(self, self->texts[i], &tokens[i])) {
            return no_memory(self);
        }
    }
    for (size_t i = 0; i < TW_BPE_ADDED_TOKENS; i++) {
        added[i] = added_tokens[i];
        added[i].id += (tw_token)n_learnt;
        tokens[n_learnt + i] = added[i].text;
        kinds[n_learnt + i] = added[i].is_special ? TW_TOKEN_CONTROL : TW_TOKEN_USER_DEFINED;
    }
    *ret_spec = (struct tw_tokenizer_spec){
        .family = TW_TOKENIZER_BPE,
        .n_tokens = n_tokens,
        .tokens = tokens,
        .kinds = kinds,
        .n_merges = n_learnt - 256,
        .merges = self->merges,
        .pretokenizer = TW_PRETOKENIZER_QWEN2,
        .normalise_nfc = true,
        .bos = TW_TOKEN_NONE,
        .eos = (tw_token)n_learnt + 2, /* <|im_end|> */
        .unknown = TW_TOKEN_NONE,
        .added = added,
        .n_added = TW_BPE_ADDED_TOKENS,
    };
    return TW_OK;
}

enum tw_status tw_bpe_train(const struct tw_word_counts *counts, size_t n_tokens,
                            tw_bpe_progress_fn progress, void *progress_context,
                            struct tw_arena *arena, struct tw_tokenizer_spec *ret_spec,
                            struct tw_bpe_report *ret_report, struct tw_error *error)
{
    if (n_tokens < TW_BPE_LEAST_TOKENS || n_tokens > TW_LIMIT_VOCAB_TOKENS) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "a vocabulary of %zu tokens; %d to %u are possible", n_tokens,
                            TW_BPE_LEAST_TOKENS, TW_LIMIT_VOCAB_TOKENS);
    }
    struct trainer self = {.arena = arena, .error = error};
    struct tw_tokenizer_spec spec = {0};
    enum tw_status status = prepare(&self, counts, n_tokens - TW_BPE_ADDED_TOKENS);
    if (status == TW_OK) {
        status = merge_all(&self, progress, progress_context);
    }
    if (status == TW_OK) {
        status = describe(&self, &spec);
    }
    if (status == TW_OK) {
        *ret_spec = spec;
        *ret_report = (struct tw_bpe_report){
            .text_bytes = tw_word_counts_text_bytes(counts),
            .corpus_tokens =
                tw_bpe_pairs_count_tokens(&self.pairs) + tw_word_counts_n_added(counts),
            .n_words = tw_word_counts_n_words(counts),
            .n_merges = spec.n_merges,
        };
    }
    tw_bpe_pairs_free(&self.pairs);
    tw_mem_free(self.heap);
    tw_mem_free(self.slots);
    return status;
}
