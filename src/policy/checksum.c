#include "policy/checksum.h"

const char *const tw_checksum_names[TW_CHECKSUM_COUNT + 1] = {"none",  "luhn",     "mod97",
                                                              "mod11", "mod11-10", NULL};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

unsigned tw_checksum_rest97(const char *symbols, size_t n_symbols, unsigned rest)
{
    for (size_t i = 0; i < n_symbols; i++) {
        const char c = symbols[i];
        rest =
            is_digit(c) ? rest * 10 + (unsigned)(c - '0') : rest * 100 + (unsigned)(c - 'A' + 10);
        rest %= 97;
    }
    return rest;
}

static bool luhn(const char *symbols, size_t n)
{
    unsigned sum = 0, n_digits = 0;
    for (size_t i = n; i-- > 0;) {
        if (is_digit(symbols[i])) {
            unsigned digit = (unsigned)(symbols[i] - '0') << (n_digits++ & 1);
            sum += digit > 9 ? digit - 9 : digit;
        }
    }
    return sum % 10 == 0;
}

static bool mod11(const char *symbols, size_t n)
{
    unsigned sum = 0, weight = 1;
    for (size_t i = n; i-- > 0;) {
        if (is_digit(symbols[i])) {
            sum = (sum + weight++ * (unsigned)(symbols[i] - '0')) % 11;
        } else if (symbols[i] == 'X' && weight == 1) {
            sum = 10;
            weight++;
        }
    }
    return sum == 0;
}

static bool mod11_10(const char *symbols, size_t n)
{
    unsigned product = 10, last = 0;
    bool has_last = false;
    for (size_t i = 0; i < n; i++) {
        if (!is_digit(symbols[i])) {
            continue;
        }
        if (has_last) {
            const unsigned sum = (last + product) % 10;
            product = 2 * (sum == 0 ? 10 : sum) % 11;
        }
        last = (unsigned)(symbols[i] - '0');
        has_last = true;
    }
    return (11 - product) % 10 == last;
}

/* Two digits, and one that is not zero. */
static bool is_number(const char *symbols, size_t n)
{
    unsigned n_digits = 0;
    bool is_zero = true;
    for (size_t i = 0; i < n; i++) {
        n_digits += is_digit(symbols[i]);
        is_zero = is_zero && (!is_digit(symbols[i]) || symbols[i] == '0');
    }
    return n_digits >= 2 && !is_zero;
}

bool tw_checksum_holds(enum tw_checksum checksum, const char *symbols, size_t n_symbols)
{
    if (checksum == TW_CHECKSUM_NONE) {
        return true;
    }
    if (!is_number(symbols, n_symbols)) {
        return false;
    }
    switch (checksum) {
    case TW_CHECKSUM_LUHN:
        return luhn(symbols, n_symbols);
    case TW_CHECKSUM_MOD97:
        return tw_checksum_rest97(symbols, n_symbols, 0) == 1;
    case TW_CHECKSUM_MOD11:
        return mod11(symbols, n_symbols);
    case TW_CHECKSUM_MOD11_10:
        return mod11_10(symbols, n_symbols);
    case TW_CHECKSUM_NONE:
    case TW_CHECKSUM_COUNT:
        break;
    }
    return false;
}
