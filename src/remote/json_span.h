/* json_span.h: the members of a JSON object and the items of an array, where they stand in a text.
 *
 *     {"id": "x", "usage": {"total_tokens": 3}}
 *       key ^value  key     ^^^^^^^^^^^^^^^^^^^ value
 *
 * For answers that are passed on: a few members are looked at or replaced, everything else goes
 * through byte by byte, and no tree is made. Brackets and quotes are matched, the rest is not
 * checked: who serves the text answers for it.
 *
 * Invariants:
 * 1. A span lies within the text, and spans of one walk follow one another.
 * 2. A walk ends, at the closing bracket (is_whole) or where the text is not what it should be.
 *
 * Ownership: spans point into the text. Pure; threads: any.
 * Limits: none of depth, since nothing recurses.
 */
#ifndef TW_REMOTE_JSON_SPAN_H
#define TW_REMOTE_JSON_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tw_json_span {
    const char *at; /* NULL: there is none */
    size_t n_bytes;
};

struct tw_json_walk {
    const char *at, *end;
    bool is_object;
    bool is_whole; /* the closing bracket was met */
    bool has_begun;
};

/* Before the opening bracket of a text, behind spaces. False where it is no object or array. */
bool tw_json_walk_begin(struct tw_json_walk *walk, struct tw_json_span text);

/* The next member or item. ret_key is without its quotes, as written, and empty for items. False at
 * the end. */
bool tw_json_walk_next(struct tw_json_walk *walk, struct tw_json_span *ret_key,
                       struct tw_json_span *ret_value);

/* The last member of that name of an object; {NULL, 0} where there is none. */
struct tw_json_span tw_json_span_member(struct tw_json_span object, const char *name);

/* Whether a span is that text. */
bool tw_json_span_is(struct tw_json_span span, const char *text);
bool tw_json_span_is_string(struct tw_json_span value);
bool tw_json_span_is_object(struct tw_json_span value);
bool tw_json_span_is_null(struct tw_json_span value); /* also where there is none */

/* A whole number that is not negative. False for anything else. */
bool tw_json_span_uint(struct tw_json_span value, uint64_t *ret_value);

/* Of a string, how many bytes it stands for in UTF-8; 0 for other values. */
size_t tw_json_span_text_bytes(struct tw_json_span value);

/* Copies what a string stands for, cut to room_bytes - 1 and always terminated. Escapes beyond
 * ASCII become '?': for words and messages. */
void tw_json_span_copy(struct tw_json_span value, char *ret_text, size_t room_bytes);

#endif
