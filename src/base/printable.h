/* printable.h: text from files and users on its way to a terminal or into a record.
 *
 * Such text may hold escape sequences, which steer terminals, and bytes that are no UTF-8, which
 * break readers of our records. Here is what counts as valid UTF-8 for the whole base layer.
 *
 * Threads: any. Errors: none. Nothing is allocated.
 */
#ifndef TW_BASE_PRINTABLE_H
#define TW_BASE_PRINTABLE_H

#include <stdbool.h>
#include <stddef.h>

/* Length in bytes of the valid UTF-8 character at text, 1..4, or 0: overlong forms, surrogates,
 * values beyond U+10FFFF and characters cut off at n_bytes are not valid. n_bytes > 0. */
size_t tw_printable_utf8_bytes(const char *text, size_t n_bytes);

/* Whether the valid character of n_bytes at text is one that a terminal obeys rather than shows: a
 * control character (C0, DEL, and C1, which terminals obey as well), a separator of lines or
 * paragraphs, or one that turns the direction of what follows, so that a text reads as another. */
bool tw_printable_steers(const char *text, size_t n_bytes);

/* Replaces in place, by '?', every byte of such characters and of invalid UTF-8. The size stays as
 * it is. */
void tw_printable_clean(char *text, size_t n_bytes);

/* The same for a text of several lines: newlines and tabs stay. */
void tw_printable_clean_lines(char *text, size_t n_bytes);

#endif
