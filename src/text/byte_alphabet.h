/* byte_alphabet.h: the characters that byte-level vocabularies write bytes with.
 *
 *     byte 0x41 'A'  ->  U+0041 'A'       printable Latin-1 stands for itself
 *     byte 0x20 ' '  ->  U+0120           the other 68 bytes, in order, for U+0100 and on
 *
 * It is GPT-2's, and that of every byte-level vocabulary since. Threads: any. Errors: none.
 */
#ifndef TW_TEXT_BYTE_ALPHABET_H
#define TW_TEXT_BYTE_ALPHABET_H

#include <stddef.h>
#include <stdint.h>

/* The code point of a byte, below U+0144. */
uint32_t tw_byte_alphabet_code(unsigned byte);

/* The byte a code point stands for, or -1. */
int tw_byte_alphabet_byte(uint32_t code);

/* Writes bytes in the alphabet; the number of bytes written, at most 2 * n_bytes. */
size_t tw_byte_alphabet_spell(const char *bytes, size_t n_bytes, char *ret_text);

#endif
