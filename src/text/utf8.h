/* utf8.h: UTF-8 read one character at a time, and what kind of character it is.
 *
 * Text comes from anywhere, so every byte string has a reading: a byte that does not begin a valid
 * sequence (overlong forms and surrogates included) counts as one character of its own,
 * TW_UTF8_INVALID, of class TW_CHAR_OTHER.
 *
 * Categories are those of the linked utf8proc (2.8: Unicode 15.0). TW_CHAR_SPACE is the property
 * White_Space, which is what the regular expression engines behind published tokenizers take \s
 * for. Threads: any. Errors: none.
 */
#ifndef TW_TEXT_UTF8_H
#define TW_TEXT_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TW_UTF8_INVALID 0x110000u

enum tw_char_class { TW_CHAR_OTHER = 0, TW_CHAR_LETTER, TW_CHAR_NUMBER, TW_CHAR_SPACE };

/* Length of the character at text (1..4) and its code point. n_bytes > 0. */
size_t tw_utf8_decode(const char *text, size_t n_bytes, uint32_t *ret_code);

/* How many bytes at the end of text begin a character that more bytes could still complete, 0..3.
 */
size_t tw_utf8_unfinished(const char *text, size_t n_bytes);

/* Bytes of the maximal part of a broken character at text (1..3), which is shown as one U+FFFD. */
size_t tw_utf8_broken(const char *text, size_t n_bytes);

/* Bytes written, 1..4. code is a valid scalar value. */
size_t tw_utf8_encode(uint32_t code, char ret_bytes[4]);

/* Of code points and of TW_UTF8_INVALID. */
enum tw_char_class tw_utf8_class(uint32_t code);
bool tw_utf8_is_space(uint32_t code);
bool tw_utf8_is_digit(uint32_t code); /* general category N: what "Digits" cuts at */
bool tw_utf8_is_word(uint32_t code);  /* \w of UTS 18: letters, marks, decimal digits, connectors */

#endif
