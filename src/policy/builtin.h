/* builtin.h: what is found in any text without being told how: mail addresses, phone numbers,
 * accounts, cards, national numbers.
 *
 *     "Card 4111 1111 1111 1111, mail anna@example.org"
 *           ^-- card ----------^       ^-- email -----^
 *
 * A number counts where it stands alone, in a form in which it is written (the national number of
 * France in its groups, or without any), with the checksum, date and prefix that it must have.
 * Forms that are too like any other number (nine digits of a BSN) count only behind a word that
 * says what they are, at most TW_BUILTIN_WORD_BYTES before. docs/formats/policy.md has the list.
 *
 * Invariants: 1. Time is linear in the text: whatever it is, no place in it is looked at more often
 * than a fixed number of times. 2. What is found lies within the text and is not empty. 3. Any
 * bytes are a text; those of invalid UTF-8 belong to nothing.
 * Ownership: none. Threads: any. Errors: none.
 */
#ifndef TW_POLICY_BUILTIN_H
#define TW_POLICY_BUILTIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum tw_builtin {
    TW_BUILTIN_EMAIL = 0,
    TW_BUILTIN_PHONE,
    TW_BUILTIN_IBAN,
    TW_BUILTIN_CARD,
    TW_BUILTIN_AT_SVNR,
    TW_BUILTIN_BE_NRN,
    TW_BUILTIN_CH_AHV,
    TW_BUILTIN_DE_STEUER_ID,
    TW_BUILTIN_ES_DNI,
    TW_BUILTIN_ES_NIE,
    TW_BUILTIN_FR_NIR,
    TW_BUILTIN_IT_CODICE_FISCALE,
    TW_BUILTIN_NL_BSN,
    TW_BUILTIN_PL_PESEL,
    TW_BUILTIN_SE_PERSONNUMMER,
    TW_BUILTIN_UK_NINO,
    TW_BUILTIN_US_SSN,
    TW_BUILTIN_COUNT
};

/* By their number; ends with NULL. */
extern const char *const tw_builtin_names[TW_BUILTIN_COUNT + 1];

enum { TW_BUILTIN_WORD_BYTES = 48 };

#define TW_BUILTIN_ALL ((UINT32_C(1) << TW_BUILTIN_COUNT) - 1)

/* The bytes [begin, end) of the text are one. Several may overlap. */
typedef void (*tw_builtin_found)(void *context, enum tw_builtin kind, size_t begin, size_t end);

/* wanted: a bit (1 << kind) for each that is looked for. Of one kind places come in order. */
void tw_builtin_scan(const char *text, size_t text_bytes, uint32_t wanted, tw_builtin_found found,
                     void *context);

#endif
