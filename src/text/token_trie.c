#include "text/token_trie.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* A vocabulary's texts lie all over memory; sorting looks at the heads, nearly always. */
struct entry {
    uint64_t head; /* the first eight bytes as a number, zeros behind the last */
    struct tw_bytes bytes;
    tw_token token;
};

static uint64_t head_of(struct tw_bytes bytes)
{
    uint64_t head = 0;
    for (size_t i = 0; i < 8; i++) {
        head = head << 8 | (i < bytes.size_bytes ? (uint8_t)bytes.data[i] : 0);
    }
    return head;
}

static int compare(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->head != y->head) {
        return x->head < y->head ? -1 : 1;
    }
    size_t n =
        x->bytes.size_bytes < y->bytes.size_bytes ? x->bytes.size_bytes : y->bytes.size_bytes;
    int order = memcmp(x->bytes.data, y->bytes.data, n);
    if (order == 0 && x->bytes.size_bytes != y->bytes.size_bytes) {
        order = x->bytes.size_bytes < y->bytes.size_bytes ? -1 : 1;
    }
    return order != 0 ? order : (x->token > y->token) - (x->token < y->token);
}

static bool has_own_text(const struct tw_tokenizer *tokenizer, tw_token token)
{
    enum tw_token_kind kind = tw_tokenizer_token_kind(tokenizer, token);
    return kind != TW_TOKEN_CONTROL && kind != TW_TOKEN_UNKNOWN && kind != TW_TOKEN_UNUSED &&
           !tw_tokenizer_ends_generation(tokenizer, token);
}

/* The sorted tokens; their number. Counts the nodes that they will need at most. */
static size_t collect(const struct tw_tokenizer *tokenizer, struct entry *entries,
                      size_t *ret_n_bytes)
{
    size_t n = 0, n_bytes = 0;
    for (size_t i = 0; i < tw_tokenizer_size(tokenizer); i++) {
        struct tw_bytes bytes = tw_tokenizer_token_bytes(tokenizer, (tw_token)i, false);
        bool fits = bytes.size_bytes > 0 && bytes.size_bytes <= UINT16_MAX;
        if (fits && has_own_text(tokenizer, (tw_token)i)) {
            entries[n++] = (struct entry){head_of(bytes), bytes, (tw_token)i};
            n_bytes += bytes.size_bytes;
        }
    }
    qsort(entries, n, sizeof *entries, compare);
    *ret_n_bytes = n_bytes;
    return n;
}

static size_t common_bytes(struct tw_bytes a, struct tw_bytes b)
{
    size_t n = 0;
    while (n < a.size_bytes && n < b.size_bytes && a.data[n] == b.data[n]) {
        n++;
    }
    return n;
}

/* path[d]: the node at depth d + 1 on the way to the token added last. */
static void add_token(struct tw_token_trie *trie, uint32_t *path, struct tw_bytes before,
                      const struct entry *entry)
{
    size_t n_shared = common_bytes(before, entry->bytes);
    for (size_t d = n_shared; d < before.size_bytes; d++) {
        trie->nodes[path[d]].end = trie->n_nodes;
    }
    for (size_t d = n_shared; d < entry->bytes.size_bytes; d++) {
        path[d] = trie->n_nodes;
        trie->nodes[trie->n_nodes++] = (struct tw_trie_node){
            .token = TW_TOKEN_NONE,
            .depth = (uint16_t)(d + 1),
            .byte = (uint8_t)entry->bytes.data[d],
        };
    }
    struct tw_trie_node *last = &trie->nodes[path[entry->bytes.size_bytes - 1]];
    trie->same[entry->token] = last->token;
    last->token = entry->token;
}

static void measure_token(struct tw_token_trie *trie, struct tw_bytes bytes)
{
    uint32_t n_open = 1; /* a string may be open at the innermost place */
    for (size_t i = 0; i < bytes.size_bytes; i++) {
        n_open += bytes.data[i] == '{' || bytes.data[i] == '[';
    }
    trie->most_nesting = n_open > trie->most_nesting ? n_open : trie->most_nesting;
    trie->most_bytes =
        bytes.size_bytes > trie->most_bytes ? (uint32_t)bytes.size_bytes : trie->most_bytes;
}

static void fill(struct tw_token_trie *trie, const struct entry *entries, size_t n, uint32_t *path)
{
    struct tw_bytes before = {"", 0};
    for (size_t i = 0; i < n; i++) {
        add_token(trie, path, before, &entries[i]);
        measure_token(trie, entries[i].bytes);
        before = entries[i].bytes;
    }
    for (size_t d = 0; d < before.size_bytes; d++) {
        trie->nodes[path[d]].end = trie->n_nodes;
    }
}

static void find_ends(struct tw_token_trie *trie, const struct tw_tokenizer *tokenizer)
{
    const uint32_t most = sizeof trie->ends / sizeof trie->ends[0];
    for (size_t i = 0; i < tw_tokenizer_size(tokenizer); i++) {
        if (tw_tokenizer_ends_generation(tokenizer, (tw_token)i) && trie->n_ends < most) {
            trie->ends[trie->n_ends++] = (tw_token)i;
        }
    }
}

enum tw_status tw_token_trie_create(const struct tw_tokenizer *tokenizer, size_t n_vocab,
                                    struct tw_token_trie **ret_trie, struct tw_error *error)
{
    size_t n_tokens = tw_tokenizer_size(tokenizer), n_bytes = 0, n = 0;
    n_vocab = n_vocab > n_tokens ? n_vocab : n_tokens;
    struct tw_token_trie *trie = tw_mem_zalloc(1, sizeof *trie);
    struct entry *entries = tw_mem_alloc(n_tokens, sizeof *entries);
    uint32_t *path = tw_mem_alloc((size_t)UINT16_MAX + 1, sizeof *path);
    bool good = trie != NULL && entries != NULL && path != NULL;
    if (good) {
        n = collect(tokenizer, entries, &n_bytes);
        trie->n_vocab = (uint32_t)n_vocab;
        trie->tokenizer = tokenizer;
        trie->nodes = tw_mem_alloc(n_bytes, sizeof *trie->nodes);
        trie->same = tw_mem_alloc(n_vocab, sizeof *trie->same);
        good = trie->nodes != NULL && trie->same != NULL && n_bytes <= UINT32_MAX;
    }
    if (good) {
        fill(trie, entries, n, path);
        find_ends(trie, tokenizer);
        void *shrunk = tw_mem_realloc(trie->nodes, trie->n_nodes, sizeof *trie->nodes);
        trie->nodes = shrunk != NULL ? shrunk : trie->nodes;
        *ret_trie = trie;
    } else {
        tw_token_trie_free(trie);
    }
    tw_mem_free(entries);
    tw_mem_free(path);
    return good ? TW_OK
                : tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION,
                               "no memory to sort a vocabulary of %zu tokens by their bytes",
                               n_tokens);
}

void tw_token_trie_free(struct tw_token_trie *trie)
{
    if (trie != NULL) {
        tw_mem_free(trie->nodes);
        tw_mem_free(trie->same);
        tw_mem_free(trie);
    }
}
