/* checksum.h: the check digits of numbers that people write.
 *
 *     luhn      cards; mod 10 with every second digit doubled
 *     mod97     ISO 7064 MOD 97-10: letters count as 10..35, the whole leaves 1
 *     mod11     weights 1, 2, 3, ... from the right, divisible by 11 in sum; X at the end is ten
 *     mod11-10  ISO 7064 MOD 11,10
 *
 * A number is given as its symbols alone: digits and capital letters, no spaces. Where a checksum
 * counts digits only, letters are passed over. A number without two digits has no checksum that
 * holds, and neither has one of zeros alone.
 *
 * Threads: any. Errors: none.
 */
#ifndef TW_POLICY_CHECKSUM_H
#define TW_POLICY_CHECKSUM_H

#include <stdbool.h>
#include <stddef.h>

enum tw_checksum {
    TW_CHECKSUM_NONE = 0,
    TW_CHECKSUM_LUHN,
    TW_CHECKSUM_MOD97,
    TW_CHECKSUM_MOD11,
    TW_CHECKSUM_MOD11_10,
    TW_CHECKSUM_COUNT
};

/* By their number, "none" first; ends with NULL. */
extern const char *const tw_checksum_names[TW_CHECKSUM_COUNT + 1];

/* TW_CHECKSUM_NONE holds for everything. */
bool tw_checksum_holds(enum tw_checksum checksum, const char *symbols, size_t n_symbols);

/* What is left of a number when it is divided by 97; letters count as 10..35. */
unsigned tw_checksum_rest97(const char *symbols, size_t n_symbols, unsigned rest);

#endif
