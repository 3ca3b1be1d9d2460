#include "text/added.h"

#include <stdlib.h>

#include "base/mem.h"
#include "text/utf8.h"

static int by_text(const void *a, const void *b)
{
    const struct tw_added_token *x = a;
    const struct tw_added_token *y = b;
    size_t common =
        x->text.size_bytes < y->text.size_bytes ? x->text.size_bytes : y->text.size_bytes;
    int order = memcmp(x->text.data, y->text.data, common);
    if (order == 0) {
        order =
            (x->text.size_bytes > y->text.size_bytes) - (x->text.size_bytes < y->text.size_bytes);
    }
    return order != 0 ? order : (x->id > y->id) - (x->id < y->id);
}

enum tw_status tw_added_init(struct tw_added_set *set, const struct tw_added_token *tokens,
                             size_t n_tokens, struct tw_error *error)
{
    *set = (struct tw_added_set){.tokens = tw_mem_alloc(n_tokens, sizeof *tokens)};
    if (set->tokens == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for added tokens");
    }
    size_t n = 0;
    for (size_t i = 0; i < n_tokens; i++) {
        if (tokens[i].text.size_bytes > TW_LIMIT_ADDED_TOKEN_BYTES) {
            return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                                "added token %d has %zu bytes; at most %d are possible",
                                tokens[i].id, tokens[i].text.size_bytes,
                                TW_LIMIT_ADDED_TOKEN_BYTES);
        }
        if (tokens[i].text.size_bytes != 0) {
            set->tokens[n++] = tokens[i];
        }
    }
    qsort(set->tokens, n, sizeof *set->tokens, by_text);
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || !tw_bytes_equal(set->tokens[i].text, set->tokens[i - 1].text)) {
            set->tokens[set->n_tokens++] = set->tokens[i];
            set->begin[(unsigned char)set->tokens[i].text.data[0] + 1]++;
        }
    }
    for (size_t i = 1; i < 257; i++) {
        set->begin[i] += set->begin[i - 1];
    }
    return TW_OK;
}

void tw_added_free(struct tw_added_set *set)
{
    tw_mem_free(set->tokens);
    *set = (struct tw_added_set){0};
}

/* The first of tokens[low, high) whose byte at depth is at least `byte`; all share the bytes
 * before, and are longer than depth. */
static size_t first_with(const struct tw_added_set *set, size_t low, size_t high, size_t depth,
                         unsigned byte)
{
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if ((unsigned char)set->tokens[middle].text.data[depth] < byte) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* The longest token that begins at `at`. */
static const struct tw_added_token *longest_at(const struct tw_added_set *set, struct tw_bytes text,
                                               size_t at)
{
    unsigned first = (unsigned char)text.data[at];
    size_t low = set->begin[first];
    size_t high = set->begin[first + 1];
    const struct tw_added_token *longest = NULL;
    for (size_t depth = 1; low < high; depth++) {
        if (set->tokens[low].text.size_bytes == depth) {
            longest = &set->tokens[low++];
        }
        if (at + depth == text.size_bytes) {
            break;
        }
        unsigned byte = (unsigned char)text.data[at + depth];
        low = first_with(set, low, high, depth, byte);
        high = first_with(set, low, high, depth, byte + 1);
    }
    return longest;
}

static uint32_t character_before(struct tw_bytes text, size_t at, size_t *ret_begin)
{
    for (size_t back = 1; back <= 4 && back <= at; back++) {
        uint32_t code;
        size_t n = tw_utf8_decode(text.data + at - back, back, &code);
        if (n == back && code != TW_UTF8_INVALID) {
            *ret_begin = at - back;
            return code;
        }
    }
    *ret_begin = at - 1;
    return TW_UTF8_INVALID;
}

static bool is_whole_word(struct tw_bytes text, size_t begin, size_t end)
{
    size_t before;
    uint32_t code;
    if (begin > 0 && tw_utf8_is_word(character_before(text, begin, &before))) {
        return false;
    }
    if (end == text.size_bytes) {
        return true;
    }
    tw_utf8_decode(text.data + end, text.size_bytes - end, &code);
    return !tw_utf8_is_word(code);
}

static size_t strip_left(struct tw_bytes text, size_t from, size_t begin)
{
    size_t before;
    while (begin > from && tw_utf8_is_space(character_before(text, begin, &before))) {
        begin = before;
    }
    return begin;
}

static size_t strip_right(struct tw_bytes text, size_t end)
{
    uint32_t code;
    while (end < text.size_bytes) {
        size_t n = tw_utf8_decode(text.data + end, text.size_bytes - end, &code);
        if (!tw_utf8_is_space(code)) {
            break;
        }
        end += n;
    }
    return end;
}

/* The token that counts at `at`, or NULL; *ret_next: where to look on if none does. */
static const struct tw_added_token *allowed_at(const struct tw_added_set *set, struct tw_bytes text,
                                               size_t at, struct tw_added_rights *rights,
                                               size_t *ret_next)
{
    const struct tw_added_token *token = longest_at(set, text, at);
    *ret_next = token != NULL ? at + token->text.size_bytes : at + 1;
    if (token == NULL || !token->is_special) {
        return token;
    }
    if (rights->granted != NULL) {
        size_t i = rights->i_granted++;
        return i < rights->n_granted && rights->granted[i] ? token : NULL;
    }
    if (rights->spans == NULL) {
        return rights->special ? token : NULL;
    }
    while (rights->spans[rights->i_span].end_bytes <= at) {
        rights->i_span++;
    }
    struct tw_text_span span = rights->spans[rights->i_span];
    if (span.is_input) {
        *ret_next = *ret_next < span.end_bytes ? *ret_next : span.end_bytes;
        return NULL;
    }
    if (*ret_next > span.end_bytes) {
        token = longest_at(set, (struct tw_bytes){text.data, span.end_bytes}, at);
        *ret_next = token != NULL ? at + token->text.size_bytes : at + 1;
    }
    return token;
}

const struct tw_added_token *tw_added_next(const struct tw_added_set *set, struct tw_bytes text,
                                           size_t from, struct tw_added_rights *rights,
                                           size_t *ret_begin, size_t *ret_end)
{
    for (size_t at = from; at < text.size_bytes && set->n_tokens != 0;) {
        unsigned first = (unsigned char)text.data[at];
        if (set->begin[first] == set->begin[first + 1]) {
            at++;
            continue;
        }
        size_t end;
        const struct tw_added_token *token = allowed_at(set, text, at, rights, &end);
        if (token != NULL && (!token->single_word || is_whole_word(text, at, end))) {
            *ret_begin = token->strip_left ? strip_left(text, from, at) : at;
            *ret_end = token->strip_right ? strip_right(text, end) : end;
            return token;
        }
        at = end;
    }
    *ret_begin = text.size_bytes;
    *ret_end = text.size_bytes;
    return NULL;
}
