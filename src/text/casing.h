/* casing.h: upper, lower and title case as Unicode writes them in full.
 *
 *     "Stra\u00dfe" -> "STRASSE"      "\u01c6" -> upper "\u01c4", title "\u01c5"
 *
 * One character may become up to three. A capital sigma is a final one or not by what stands around
 * it, so that tw_casing_lower looks at the whole text. Simple mappings are utf8proc's.
 * Threads: any. Errors: none.
 */
#ifndef TW_TEXT_CASING_H
#define TW_TEXT_CASING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Characters written, 1..3. */
size_t tw_casing_upper(uint32_t code, uint32_t ret_codes[3]);
size_t tw_casing_title(uint32_t code, uint32_t ret_codes[3]);
/* Of the character with that code which begins at text[at] and has n_code bytes. */
size_t tw_casing_lower(const char *text, size_t n_bytes, size_t at, size_t n_code, uint32_t code,
                       uint32_t ret_codes[3]);

/* Whether it has a case at all. */
bool tw_casing_is_cased(uint32_t code);
/* Whether a text has letters with a case, and all of them are upper (or lower). */
bool tw_casing_is_all(const char *text, size_t n_bytes, bool upper);

#endif
