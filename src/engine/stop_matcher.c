#include "engine/stop.h"

#include <string.h>

#include "base/mem.h"

/* One stop string with its Knuth-Morris-Pratt table: fallback[i] is the length of the longest
 * proper prefix of the string that ends its first i bytes. */
struct pattern {
    char *text;
    uint16_t *fallback; /* [n_bytes + 1] */
    size_t n_bytes;
    size_t n_matched; /* of the string's bytes, at the end of the text so far */
};

struct tw_stop_matcher {
    struct pattern *patterns; /* [n_patterns] */
    size_t n_patterns;
    bool is_done;
    size_t n_held;
    char held[TW_LIMIT_STOP_STRING_BYTES]; /* the last n_held bytes of the text */
};

static bool begins_inside_character(const char *text)
{
    return ((unsigned char)text[0] & 0xc0) == 0x80;
}

static enum tw_status check_strings(const struct tw_bytes *strings, size_t n_strings,
                                    struct tw_error *error)
{
    if (n_strings > TW_LIMIT_STOP_STRINGS) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "%zu stop strings: at most %d are allowed", n_strings,
                            TW_LIMIT_STOP_STRINGS);
    }
    for (size_t i = 0; i < n_strings; i++) {
        if (strings[i].size_bytes == 0) {
            return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                                "stop string %zu is empty: it would stop everything", i + 1);
        }
        if (strings[i].size_bytes > TW_LIMIT_STOP_STRING_BYTES) {
            return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                                "stop string %zu has %zu bytes: at most %d are allowed", i + 1,
                                strings[i].size_bytes, TW_LIMIT_STOP_STRING_BYTES);
        }
        if (begins_inside_character(strings[i].data)) {
            return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                                "stop string %zu is not UTF-8: it begins inside a character",
                                i + 1);
        }
    }
    return TW_OK;
}

static void fill_fallback(struct pattern *pattern)
{
    size_t length = 0;
    pattern->fallback[0] = 0;
    pattern->fallback[1] = 0;
    for (size_t i = 1; i < pattern->n_bytes; i++) {
        while (length > 0 && pattern->text[i] != pattern->text[length]) {
            length = pattern->fallback[length];
        }
        length += pattern->text[i] == pattern->text[length];
        pattern->fallback[i + 1] = (uint16_t)length;
    }
}

static bool pattern_init(struct pattern *pattern, struct tw_bytes string)
{
    pattern->n_bytes = string.size_bytes;
    pattern->text = tw_mem_strndup(string.data, string.size_bytes);
    pattern->fallback = tw_mem_alloc(string.size_bytes + 1, sizeof *pattern->fallback);
    if (pattern->text == NULL || pattern->fallback == NULL) {
        return false;
    }
    fill_fallback(pattern);
    return true;
}

enum tw_status tw_stop_matcher_create(const struct tw_bytes *strings, size_t n_strings,
                                      struct tw_stop_matcher **ret_matcher, struct tw_error *error)
{
    enum tw_status status = check_strings(strings, n_strings, error);
    if (status != TW_OK) {
        return status;
    }
    struct tw_stop_matcher *matcher = tw_mem_zalloc(1, sizeof *matcher);
    if (matcher != NULL) {
        matcher->patterns = tw_mem_zalloc(n_strings, sizeof *matcher->patterns);
        matcher->n_patterns = matcher->patterns != NULL ? n_strings : 0;
    }
    bool complete = matcher != NULL && matcher->patterns != NULL;
    for (size_t i = 0; complete && i < n_strings; i++) {
        complete = pattern_init(&matcher->patterns[i], strings[i]);
    }
    if (!complete) {
        tw_stop_matcher_free(matcher);
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for stop strings");
    }
    *ret_matcher = matcher;
    return TW_OK;
}

void tw_stop_matcher_free(struct tw_stop_matcher *matcher)
{
    if (matcher == NULL) {
        return;
    }
    for (size_t i = 0; i < matcher->n_patterns; i++) {
        tw_mem_free(matcher->patterns[i].text);
        tw_mem_free(matcher->patterns[i].fallback);
    }
    tw_mem_free(matcher->patterns);
    tw_mem_free(matcher);
}

/* True when the byte completes the string. */
static bool advance(struct pattern *pattern, char byte)
{
    size_t n = pattern->n_matched;
    while (n > 0 && pattern->text[n] != byte) {
        n = pattern->fallback[n];
    }
    n += pattern->text[n] == byte;
    pattern->n_matched = n;
    return n == pattern->n_bytes;
}

/* How much of the text's end could still become a stop string, or is one that is complete. */
static size_t advance_all(struct tw_stop_matcher *matcher, char byte, bool *ret_complete)
{
    size_t longest_open = 0;
    size_t longest_complete = 0;
    for (size_t i = 0; i < matcher->n_patterns; i++) {
        struct pattern *pattern = &matcher->patterns[i];
        bool complete = advance(pattern, byte);
        size_t *longest = complete ? &longest_complete : &longest_open;
        *longest = pattern->n_matched > *longest ? pattern->n_matched : *longest;
    }
    *ret_complete = longest_complete > 0;
    return *ret_complete ? longest_complete : longest_open;
}

/* Emits held text until only n_keep bytes of held + byte are left; these become the held text. */
static void shift_held(struct tw_stop_matcher *matcher, char byte, size_t n_keep,
                       struct tw_buf *out)
{
    if (n_keep == 0) {
        tw_buf_append(out, matcher->held, matcher->n_held);
        tw_buf_append(out, &byte, 1);
        matcher->n_held = 0;
        return;
    }
    size_t n_out = matcher->n_held + 1 - n_keep;
    if (n_out > 0) {
        tw_buf_append(out, matcher->held, n_out);
        memmove(matcher->held, matcher->held + n_out, matcher->n_held - n_out);
        matcher->n_held -= n_out;
    }
    matcher->held[matcher->n_held++] = byte;
}

bool tw_stop_matcher_push(struct tw_stop_matcher *matcher, const char *text, size_t text_bytes,
                          struct tw_buf *out)
{
    if (matcher->n_patterns == 0) {
        tw_buf_append(out, text, text_bytes);
        return false;
    }
    for (size_t i = 0; i < text_bytes && !matcher->is_done; i++) {
        bool complete;
        size_t n_keep = advance_all(matcher, text[i], &complete);
        shift_held(matcher, text[i], n_keep, out);
        if (complete) {
            matcher->is_done = true;
            matcher->n_held = 0;
        }
    }
    return matcher->is_done;
}

void tw_stop_matcher_finish(struct tw_stop_matcher *matcher, struct tw_buf *out)
{
    tw_buf_append(out, matcher->held, matcher->n_held);
    matcher->n_held = 0;
}
