#include "text/merges.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "text/utf8.h"

/* Slots lie in no order, so that each is a wait for memory: so many are asked for at once. */
enum { AHEAD = 16, PREFETCHED_BYTES = 128 };

#define MARK "\xe2\x96\x81"

static bool slots_init(struct tw_merges *merges, size_t n_pairs)
{
    size_t n_slots = 16;
    while (n_slots < 2 * n_pairs) {
        n_slots *= 2;
    }
    merges->slots = tw_mem_map(n_slots * sizeof *merges->slots);
    merges->filter = tw_mem_zalloc(n_slots / 16, sizeof *merges->filter);
    merges->mask = n_slots - 1;
    return merges->slots != NULL && merges->filter != NULL;
}

static bool slots_grow(struct tw_merges *merges);

/* Keeps the first of equal pairs. False when memory or the bound of probes is reached. */
static bool insert(struct tw_merges *merges, struct tw_merge_slot pair)
{
    if (2 * (merges->n_pairs + 1) > merges->mask + 1 && !slots_grow(merges)) {
        return false;
    }
    uint64_t hash = tw_merges_hash(pair.left, pair.right);
    size_t bit = tw_merges_bit(merges, hash);
    size_t at = hash & merges->mask;
    for (int probes = 0; probes < TW_LIMIT_HASH_PROBES; probes++) {
        struct tw_merge_slot *slot = &merges->slots[at];
        if (slot->merged == 0) {
            *slot = pair;
            merges->filter[bit / 64] |= UINT64_C(1) << bit % 64;
            merges->n_pairs++;
            return true;
        }
        if (slot->left == pair.left && slot->right == pair.right) {
            return true;
        }
        at = (at + 1) & merges->mask;
    }
    return false;
}

static bool slots_grow(struct tw_merges *merges)
{
    struct tw_merges bigger = {0};
    if (!slots_init(&bigger, merges->mask + 1)) {
        tw_merges_free(&bigger);
        return false;
    }
    for (size_t i = 0; i <= merges->mask; i++) {
        if (merges->slots[i].merged != 0 && !insert(&bigger, merges->slots[i])) {
            tw_merges_free(&bigger);
            return false;
        }
    }
    bigger.cuts_at_marks = merges->cuts_at_marks;
    tw_merges_free(merges);
    *merges = bigger;
    return true;
}

int32_t tw_merges_symbol(const struct tw_vocab *vocab, struct tw_bytes character, uint32_t code)
{
    tw_token id = tw_vocab_find_word(vocab, character);
    if (id != TW_TOKEN_NONE) {
        return id;
    }
    uint32_t distinct = code == TW_UTF8_INVALID ? code + (unsigned char)character.data[0] : code;
    return TW_TOKEN_NONE - 1 - (int32_t)distinct;
}

static bool is_one_character(struct tw_bytes text, uint32_t *ret_code)
{
    return text.size_bytes != 0 &&
           tw_utf8_decode(text.data, text.size_bytes, ret_code) == text.size_bytes;
}

/* The symbol that text, which is token id or none, can be on the way to a merge, or
 * TW_TOKEN_NONE. */
static int32_t part_symbol(const struct tw_vocab *vocab, struct tw_bytes text, tw_token id)
{
    uint32_t code;
    if (vocab->family == TW_TOKENIZER_SPM && is_one_character(text, &code)) {
        return tw_merges_symbol(vocab, text, code);
    }
    return id != TW_TOKEN_NONE && tw_vocab_is_plain(vocab, id) ? id : TW_TOKEN_NONE;
}

static bool begins_with_mark(struct tw_bytes text)
{
    return text.size_bytes >= 3 && memcmp(text.data, MARK, 3) == 0;
}

static bool ends_with_mark(struct tw_bytes text)
{
    return text.size_bytes >= 3 && memcmp(text.data + text.size_bytes - 3, MARK, 3) == 0;
}

/* Pairs that wait to be inserted while their slots come from memory. */
struct pending {
    struct tw_merge_slot pairs[AHEAD];
    size_t n_pairs;
};

static enum tw_status insert_pending(struct tw_merges *merges, struct pending *pending,
                                     struct tw_error *error)
{
    bool ok = true;
    for (size_t i = 0; ok && i < pending->n_pairs; i++) {
        ok = insert(merges, pending->pairs[i]);
    }
    pending->n_pairs = 0;
    return ok ? TW_OK
              : tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                             "no memory for %zu merges, or too many of them collide",
                             merges->n_pairs);
}

/* Tokens of the two parts' texts; TW_TOKEN_NONE for a part that is none. */
struct parts {
    struct tw_bytes left, right;
    tw_token left_id, right_id;
};

static enum tw_status add_pair(struct tw_merges *merges, struct pending *pending,
                               const struct tw_vocab *vocab, const struct parts *parts,
                               uint32_t rank, tw_token merged, struct tw_error *error)
{
    int32_t a = part_symbol(vocab, parts->left, parts->left_id);
    int32_t b = part_symbol(vocab, parts->right, parts->right_id);
    if (a == TW_TOKEN_NONE || b == TW_TOKEN_NONE) {
        return TW_OK;
    }
    if (begins_with_mark(parts->right) && !ends_with_mark(parts->left)) {
        merges->cuts_at_marks = false;
    }
    __builtin_prefetch(&merges->slots[tw_merges_hash(a, b) & merges->mask]);
    pending->pairs[pending->n_pairs++] = (struct tw_merge_slot){a, b, rank, merged + 1};
    return pending->n_pairs == AHEAD ? insert_pending(merges, pending, error) : TW_OK;
}

static enum tw_status bad_merge(const struct tw_tokenizer_spec *spec, size_t i, const char *what,
                                struct tw_error *error)
{
    int n = (int)(spec->merges[i].size_bytes < 80 ? spec->merges[i].size_bytes : 80);
    return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION, "merge %zu ('%.*s') %s", i, n,
                        spec->merges[i].data, what);
}

/* What the lines' merges make will be looked for. Short ones, which nearly all are: others are
 * looked for all the same. */
static void prefetch_wholes(const struct tw_vocab *vocab, const struct tw_bytes *lines, size_t n)
{
    char both[PREFETCHED_BYTES];
    for (size_t i = 0; i < n; i++) {
        const size_t n_bytes = lines[i].size_bytes;
        const char *space = n_bytes >= 3 && n_bytes <= PREFETCHED_BYTES
                                ? memchr(lines[i].data + 1, ' ', n_bytes - 1)
                                : NULL;
        if (space != NULL) {
            const size_t n_left = (size_t)(space - lines[i].data);
            memcpy(both, lines[i].data, n_left);
            memcpy(both + n_left, space + 1, n_bytes - n_left - 1);
            tw_vocab_prefetch_text(vocab, (struct tw_bytes){both, n_bytes - 1});
        }
    }
}

/* "left right". A merge into or out of a special token is left out: text may not spell one. */
static enum tw_status add_listed(struct tw_merges *merges, struct pending *pending,
                                 const struct tw_vocab *vocab, const struct tw_tokenizer_spec *spec,
                                 size_t i, struct tw_error *error)
{
    struct tw_bytes line = spec->merges[i];
    if (line.size_bytes < 3 || line.size_bytes > TW_LIMIT_TOKEN_BYTES) {
        return bad_merge(spec, i, "is not of the form 'left right'", error);
    }
    const char *space = memchr(line.data + 1, ' ', line.size_bytes - 1);
    if (space == NULL || space + 1 == line.data + line.size_bytes) {
        return bad_merge(spec, i, "is not of the form 'left right'", error);
    }
    struct tw_bytes left = {line.data, (size_t)(space - line.data)};
    struct tw_bytes right = {space + 1, line.size_bytes - left.size_bytes - 1};
    char both[TW_LIMIT_TOKEN_BYTES];
    memcpy(both, left.data, left.size_bytes);
    memcpy(both + left.size_bytes, right.data, right.size_bytes);
    struct tw_bytes whole = {both, left.size_bytes + right.size_bytes};
    tw_token merged = tw_vocab_find_text(vocab, whole);
    const struct parts parts = {left, right, tw_vocab_find_text(vocab, left),
                                tw_vocab_find_text(vocab, right)};
    if (merged == TW_TOKEN_NONE || parts.left_id == TW_TOKEN_NONE ||
        parts.right_id == TW_TOKEN_NONE) {
        return bad_merge(spec, i, "names a token the vocabulary does not have", error);
    }
    return tw_vocab_is_plain(vocab, merged)
               ? add_pair(merges, pending, vocab, &parts, (uint32_t)i, merged, error)
               : TW_OK;
}

static enum tw_status init_from_list(struct tw_merges *merges, const struct tw_vocab *vocab,
                                     const struct tw_tokenizer_spec *spec, struct tw_error *error)
{
    if (spec->n_merges > TW_LIMIT_BPE_MERGES) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "%zu merges; at most %u are possible", spec->n_merges,
                            TW_LIMIT_BPE_MERGES);
    }
    if (!slots_init(merges, spec->n_merges)) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for %zu merges",
                            spec->n_merges);
    }
    struct pending pending = {.n_pairs = 0};
    enum tw_status status = TW_OK;
    for (size_t i = 0; status == TW_OK && i < spec->n_merges; i++) {
        if (i % AHEAD == 0) {
            const size_t n_left = spec->n_merges - i;
            prefetch_wholes(vocab, spec->merges + i, n_left < AHEAD ? n_left : AHEAD);
        }
        status = add_listed(merges, &pending, vocab, spec, i, error);
    }
    return status == TW_OK ? insert_pending(merges, &pending, error) : status;
}

struct scored {
    float score;
    tw_token id;
};

static int by_score(const void *a, const void *b)
{
    const struct scored *x = a;
    const struct scored *y = b;
    return x->score > y->score ? -1 : x->score < y->score ? 1 : (x->id > y->id) - (x->id < y->id);
}

/* All ways to cut the piece between two characters. */
static enum tw_status add_cuts(struct tw_merges *merges, const struct tw_vocab *vocab, tw_token id,
                               uint32_t rank, struct tw_error *error)
{
    struct tw_bytes text = vocab->texts[id];
    struct pending pending = {.n_pairs = 0};
    enum tw_status status = TW_OK;
    uint32_t code;
    size_t at = text.size_bytes != 0 ? tw_utf8_decode(text.data, text.size_bytes, &code) : 0;
    while (status == TW_OK && at < text.size_bytes) {
        struct parts parts = {.left = {text.data, at},
                              .right = {text.data + at, text.size_bytes - at}};
        parts.left_id = tw_vocab_find_text(vocab, parts.left);
        parts.right_id = tw_vocab_find_text(vocab, parts.right);
        status = add_pair(merges, &pending, vocab, &parts, rank, id, error);
        at += tw_utf8_decode(parts.right.data, parts.right.size_bytes, &code);
    }
    return status == TW_OK ? insert_pending(merges, &pending, error) : status;
}

/* Pieces that begin and end with one another have as many pairs as characters, and each is looked
 * up by its whole text. */
static enum tw_status check_cuts(const struct tw_merges *merges, const struct tw_vocab *vocab,
                                 uint64_t n_cut_bytes, struct tw_error *error)
{
    if (n_cut_bytes > TW_LIMIT_SPM_CUT_BYTES) {
        return tw_error_set(
            error, TW_ERR_LIMIT, TW_NO_POSITION,
            "the vocabulary's %zu pieces are too long, taken together, to be cut in "
            "all ways",
            vocab->n_tokens);
    }
    size_t most = TW_LIMIT_SPM_PAIRS_PER_PIECE * vocab->n_tokens + TW_LIMIT_SPM_PIECE_BYTES;
    most = most < TW_LIMIT_BPE_MERGES ? most : TW_LIMIT_BPE_MERGES;
    if (merges->n_pairs > most) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "the vocabulary's %zu pieces are made of one another in more than %zu "
                            "ways",
                            vocab->n_tokens, most);
    }
    return TW_OK;
}

/* Pieces of equal score have equal rank. */
static enum tw_status add_scored(struct tw_merges *merges, const struct tw_vocab *vocab,
                                 const struct scored *pieces, size_t n, struct tw_error *error)
{
    uint32_t rank = 0;
    uint64_t n_cut_bytes = 0;
    enum tw_status status = TW_OK;
    for (size_t i = 0; status == TW_OK && i < n; i++) {
        uint64_t size_bytes = vocab->texts[pieces[i].id].size_bytes;
        n_cut_bytes += size_bytes * size_bytes;
        rank += i > 0 && pieces[i].score != pieces[i - 1].score;
        status = check_cuts(merges, vocab, n_cut_bytes, error);
        if (status == TW_OK) {
            status = add_cuts(merges, vocab, pieces[i].id, rank, error);
        }
    }
    return status;
}

static enum tw_status init_from_scores(struct tw_merges *merges, const struct tw_vocab *vocab,
                                       const struct tw_tokenizer_spec *spec, struct tw_error *error)
{
    struct scored *pieces = tw_mem_alloc(vocab->n_tokens, sizeof *pieces);
    if (pieces == NULL || !slots_init(merges, vocab->n_tokens)) {
        tw_mem_free(pieces);
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for %zu scores",
                            vocab->n_tokens);
    }
    size_t n = 0;
    enum tw_status status = TW_OK;
    for (size_t i = 0; i < vocab->n_tokens && status == TW_OK; i++) {
        float score = spec->scores != NULL ? spec->scores[i] : 0.0f;
        bool is_current = tw_vocab_find_word(vocab, vocab->texts[i]) == (tw_token)i;
        if (isnan(score)) {
            status = tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                                  "the score of token %zu is not a number", i);
        } else if (is_current) {
            pieces[n++] = (struct scored){score, (tw_token)i};
        }
    }
    if (status == TW_OK) {
        qsort(pieces, n, sizeof *pieces, by_score);
        status = add_scored(merges, vocab, pieces, n, error);
    }
    tw_mem_free(pieces);
    return status;
}

enum tw_status tw_merges_init(struct tw_merges *merges, const struct tw_vocab *vocab,
                              const struct tw_tokenizer_spec *spec, struct tw_error *error)
{
    *merges = (struct tw_merges){.cuts_at_marks = spec->family == TW_TOKENIZER_SPM};
    return spec->family == TW_TOKENIZER_BPE || spec->n_merges != 0
               ? init_from_list(merges, vocab, spec, error)
               : init_from_scores(merges, vocab, spec, error);
}

void tw_merges_free(struct tw_merges *merges)
{
    tw_mem_unmap(merges->slots, (merges->mask + 1) * sizeof *merges->slots);
    tw_mem_free(merges->filter);
    *merges = (struct tw_merges){0};
}
