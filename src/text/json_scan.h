/* json_scan.h: a JSON object or array read byte by byte: where it ends, and where it is none.
 *
 *     {"a": [1, "}"]} rest
 *     ^ push            ^ is_over
 *
 * Invariant: as long as every push was true, what was pushed is the beginning of JSON (RFC 8259),
 * and the whole of it where is_over. Bytes of strings beyond ASCII are not looked at.
 * Ownership: a plain struct that may be copied. Threads: one at a time. Limits:
 * TW_LIMIT_JSON_DEPTH; deeper is none.
 */
#ifndef TW_TEXT_JSON_SCAN_H
#define TW_TEXT_JSON_SCAN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"

struct tw_json_scan {
    int state;                                        /* of json_scan.c */
    uint32_t depth;                                   /* objects and arrays around the next byte */
    bool in_string;                                   /* a name or a value */
    bool is_name;                                     /* the string is, or was, a name */
    uint32_t n_left;                                  /* hexadecimal digits of an escape */
    const char *word;                                 /* the rest of true, false or null */
    uint64_t is_object[TW_LIMIT_JSON_DEPTH / 64 + 1]; /* bit: what is open at this depth */
};

/* Before the opening bracket. */
void tw_json_scan_begin(struct tw_json_scan *scan);

/* False, for good: this is no JSON. Not to be called behind the end. */
bool tw_json_scan_push(struct tw_json_scan *scan, char byte);

/* Whether the closing bracket was read. */
bool tw_json_scan_is_over(const struct tw_json_scan *scan);

#endif
