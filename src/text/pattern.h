/* pattern.h: regular expressions of tokenizer files, through PCRE2's interpreter.
 *
 * Published tokenizers are written for Oniguruma. What means the same in PCRE2 goes through as it
 * is; \s \S \d \D \w \W \v \u are spelled out as the sets Oniguruma takes them for (PCRE2 differs
 * on U+180E and on marks); what has another meaning there (nested classes, class intersection, \h,
 * \b, calls, verbs) is TW_ERR_UNSUPPORTED rather than a silently different tokenizer.
 *
 * Invariants: 1. Bytes of invalid UTF-8 are never part of a match, and look like the end of the
 * text to what stands before them. 2. Matches come in order and do not overlap; an empty one comes
 * only where no other match has just ended. 3. Matching ends: one attempt takes at most
 * TW_LIMIT_PATTERN_STEPS; those that take more than TW_LIMIT_PATTERN_EASY_STEPS take no more in sum
 * than that and TW_LIMIT_PATTERN_STEPS_PER_BYTE for each byte the matcher has been given.
 * No JIT: it needs memory that is writable and executable.
 * Threads: a pattern may be used by any number, a matcher by one. Errors: TW_ERR_FORMAT,
 * TW_ERR_UNSUPPORTED, TW_ERR_LIMIT, TW_ERR_MEMORY.
 */
#ifndef TW_TEXT_PATTERN_H
#define TW_TEXT_PATTERN_H

#include "base/status.h"
#include "text/bytes.h"

struct tw_pattern;

enum tw_status tw_pattern_create(struct tw_bytes source, struct tw_pattern **ret_pattern,
                                 struct tw_error *error);
/* NULL is allowed. */
void tw_pattern_free(struct tw_pattern *pattern);

/* One thread's walk over the matches in a text; zero-initialise it once.
 *
 *     IDLE --begin--> WALKING --next (found)--> WALKING --next (none left)--> IDLE */
struct tw_pattern_matcher {
    void *match_data;
    void *match_context;
    struct tw_bytes text;
    size_t position;
    size_t last_end;               /* of the match before, or SIZE_MAX */
    size_t valid_begin, valid_end; /* the stretch of valid UTF-8 around position */
    uint64_t hard_steps;           /* what attempts that were not easy may still take */
};

/* text stays the caller's and must outlive the walk. */
void tw_pattern_begin(struct tw_pattern_matcher *matcher, struct tw_bytes text);

/* The next match; *ret_begin == *ret_end == size of the text when there is none. */
enum tw_status tw_pattern_next(const struct tw_pattern *pattern, struct tw_pattern_matcher *matcher,
                               size_t *ret_begin, size_t *ret_end, struct tw_error *error);

void tw_pattern_matcher_free(struct tw_pattern_matcher *matcher);

#endif
