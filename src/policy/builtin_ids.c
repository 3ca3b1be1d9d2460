/* What makes digits a number of a kind, beside its form: prefixes, dates, check digits. */
#include <string.h>

#include "policy/builtin_parts.h"
#include "policy/checksum.h"

static unsigned number(const char *symbols, size_t n)
{
    unsigned value = 0;
    for (size_t i = 0; i < n; i++) {
        value = value * 10 + (unsigned)(symbols[i] - '0');
    }
    return value;
}

static bool is_within(unsigned value, unsigned least, unsigned most)
{
    return value >= least && value <= most;
}

/* Sum of products by weights. */
static unsigned weigh(const char *symbols, const unsigned char *weights, size_t n)
{
    unsigned sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += (unsigned)(symbols[i] - '0') * weights[i];
    }
    return sum;
}

static bool is_date(unsigned year, unsigned month, unsigned day)
{
    static const unsigned char days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const bool is_leap = year % 4 == 0;
    return is_within(month, 1, 12) && is_within(day, 1, days[month - 1]) &&
           (month != 2 || day < 29 || is_leap);
}

/* ---- accounts and cards ---- */

struct iban_country {
    char name[3];
    unsigned char n_symbols;
};

/* clang-format off */
static const struct iban_country iban_countries[] = {
    {"AD", 24}, {"AE", 23}, {"AL", 28}, {"AT", 20}, {"AZ", 28}, {"BA", 20}, {"BE", 16}, {"BG", 22},
    {"BH", 22}, {"BI", 27}, {"BR", 29}, {"BY", 28}, {"CH", 21}, {"CR", 22}, {"CY", 28}, {"CZ", 24},
    {"DE", 22}, {"DJ", 27}, {"DK", 18}, {"DO", 28}, {"EE", 20}, {"EG", 29}, {"ES", 24}, {"FI", 18},
    {"FK", 18}, {"FO", 18}, {"FR", 27}, {"GB", 22}, {"GE", 22}, {"GI", 23}, {"GL", 18}, {"GR", 27},
    {"GT", 28}, {"HR", 21}, {"HU", 28}, {"IE", 22}, {"IL", 23}, {"IQ", 23}, {"IS", 26}, {"IT", 27},
    {"JO", 30}, {"KW", 30}, {"KZ", 20}, {"LB", 28}, {"LC", 32}, {"LI", 21}, {"LT", 20}, {"LU", 20},
    {"LV", 21}, {"LY", 25}, {"MC", 27}, {"MD", 24}, {"ME", 22}, {"MK", 19}, {"MN", 20}, {"MR", 27},
    {"MT", 31}, {"MU", 30}, {"NI", 28}, {"NL", 18}, {"NO", 15}, {"OM", 23}, {"PK", 24}, {"PL", 28},
    {"PS", 29}, {"PT", 25}, {"QA", 29}, {"RO", 24}, {"RS", 22}, {"RU", 33}, {"SA", 24}, {"SC", 31},
    {"SD", 18}, {"SE", 24}, {"SI", 19}, {"SK", 24}, {"SM", 27}, {"SO", 23}, {"ST", 25}, {"SV", 28},
    {"TL", 23}, {"TN", 24}, {"TR", 26}, {"UA", 29}, {"VA", 22}, {"VG", 24}, {"XK", 20}, {"YE", 30},
};
/* clang-format on */

size_t tw_builtin_iban_symbols(const char country[2])
{
    for (size_t i = 0; i < sizeof iban_countries / sizeof iban_countries[0]; i++) {
        if (memcmp(iban_countries[i].name, country, 2) == 0) {
            return iban_countries[i].n_symbols;
        }
    }
    return 0;
}

/* The first four symbols are checked as if they stood last. */
static bool is_iban(const char *symbols, size_t n)
{
    const unsigned rest = tw_checksum_rest97(symbols + 4, n - 4, 0);
    return tw_checksum_rest97(symbols, 4, rest) == 1;
}

/* Prefixes that card networks have, as six digits, and the lengths of their numbers. */
struct issuer {
    unsigned first, last;
    unsigned char least, most;
};

static bool is_card(const char *symbols, size_t n)
{
    static const struct issuer issuers[] = {
        {400000, 499999, 16, 16}, {510000, 559999, 16, 16}, {222100, 272099, 16, 16},
        {340000, 349999, 15, 15}, {370000, 379999, 15, 15}, {601100, 601199, 16, 19},
        {644000, 659999, 16, 19}, {300000, 305999, 14, 19}, {309500, 309599, 14, 19},
        {360000, 369999, 14, 19}, {380000, 399999, 16, 19}, {352800, 358999, 16, 19},
        {620000, 629999, 16, 19}, {501800, 501899, 16, 19}, {502000, 502099, 16, 19},
        {503800, 503899, 16, 19}, {589300, 589399, 16, 19}, {630400, 630499, 16, 19},
        {675900, 676399, 16, 19}, {220000, 220499, 16, 19}, {817100, 819999, 16, 16},
    };
    const unsigned prefix = number(symbols, 6);
    for (size_t i = 0; i < sizeof issuers / sizeof issuers[0]; i++) {
        if (is_within(prefix, issuers[i].first, issuers[i].last) &&
            is_within((unsigned)n, issuers[i].least, issuers[i].most)) {
            return tw_checksum_holds(TW_CHECKSUM_LUHN, symbols, n);
        }
    }
    return false;
}

/* ---- national numbers ---- */

/* The fourth digit is the check digit of the others; the last six are a day of birth, of a month up
 * to 15 where the numbers of a day had run out. */
static bool is_at_svnr(const char *s)
{
    static const unsigned char weights[] = {3, 7, 9, 0, 5, 8, 4, 2, 1, 6};
    return s[0] != '0' && is_within(number(s + 4, 2), 1, 31) &&
           is_within(number(s + 6, 2), 1, 15) &&
           weigh(s, weights, 10) % 11 == (unsigned)(s[3] - '0');
}

/* Whoever was born from 2000 on has a 2 before the nine digits that are checked. Months have 20 or
 * 40 added in numbers for others than citizens; a part of a date may be unknown, 00. */
static bool is_be_nrn(const char *s)
{
    const unsigned month = number(s + 2, 2) % 20, day = number(s + 4, 2);
    const unsigned rest = number(s, 9) % 97, check = number(s + 9, 2);
    const unsigned later = (unsigned)((UINT64_C(2000000000) + number(s, 9)) % 97);
    const bool is_number = number(s + 6, 3) != 0 && number(s + 6, 3) != 999;
    return number(s + 2, 2) < 53 && month <= 12 && day <= 31 && is_number &&
           (check == 97 - rest || check == 97 - later);
}

static bool is_ch_ahv(const char *s)
{
    static const unsigned char weights[] = {1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1};
    return memcmp(s, "756", 3) == 0 && weigh(s, weights, 13) % 10 == 0;
}

/* Of the first ten digits one is there twice or three times, though not three times in a row, and
 * no other more than once. */
static bool is_de_steuer_id(const char *s)
{
    unsigned counts[10] = {0}, n_repeated = 0, n_most = 0;
    for (size_t i = 0; i < 10; i++) {
        const unsigned n = ++counts[s[i] - '0'];
        n_repeated += n == 2;
        n_most = n > n_most ? n : n_most;
        if (i >= 2 && s[i] == s[i - 1] && s[i] == s[i - 2]) {
            return false;
        }
    }
    return s[0] != '0' && n_repeated == 1 && n_most <= 3 &&
           tw_checksum_holds(TW_CHECKSUM_MOD11_10, s, 11);
}

static bool is_es_letter(unsigned value, char letter)
{
    return "TRWAGMYFPDXBNJZSQVHLCKE"[value % 23] == letter;
}

static bool is_es_nie(const char *s)
{
    return is_within((unsigned)s[0], 'X', 'Z') &&
           is_es_letter((unsigned)(s[0] - 'X') * 10000000 + number(s + 1, 7), s[8]);
}

/* Sex, year, month, place of birth, number, and 97 less what the rest of the number leaves. Corsica
 * is 2A and 2B, which count as 19 and 18. */
static bool is_fr_nir(const char *s)
{
    char digits[15];
    memcpy(digits, s, sizeof digits);
    if (s[6] == 'A' || s[6] == 'B') {
        if (s[5] != '2') {
            return false;
        }
        digits[5] = '1';
        digits[6] = s[6] == 'A' ? '9' : '8';
    } else if (!tw_builtin_is_digit((unsigned char)s[6])) {
        return false;
    }
    const unsigned month = number(s + 3, 2), place = number(digits + 5, 2);
    const bool is_month = is_within(month, 1, 12) || is_within(month, 20, 42) || month >= 50;
    return strchr("123478", s[0]) != NULL && is_month && place != 0 &&
           number(digits + 13, 2) == 97 - tw_checksum_rest97(digits, 13, 0);
}

/* A digit that had to be told from another person's is written as a letter. */
static int omocode_digit(char c)
{
    static const char letters[] = "LMNPQRSTUV";
    const char *at = c != '\0' ? strchr(letters, c) : NULL;
    return tw_builtin_is_digit((unsigned char)c) ? c - '0' : at != NULL ? (int)(at - letters) : -1;
}

static unsigned it_value(char c, bool is_odd)
{
    static const unsigned char odd[] = {1,  0,  5, 7, 9, 13, 15, 17, 19, 21, 2,  4,  18,
                                        20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23};
    const unsigned value =
        tw_builtin_is_digit((unsigned char)c) ? (unsigned)(c - '0') : (unsigned)(c - 'A');
    return is_odd ? odd[value] : value;
}

static bool is_it_codice_fiscale(const char *s)
{
    static const unsigned char digit_places[] = {6, 7, 9, 10, 12, 13, 14};
    for (size_t i = 0; i < sizeof digit_places; i++) {
        if (omocode_digit(s[digit_places[i]]) < 0) {
            return false;
        }
    }
    const unsigned day = (unsigned)(omocode_digit(s[9]) * 10 + omocode_digit(s[10]));
    unsigned sum = 0;
    for (size_t i = 0; i < 15; i++) {
        sum += it_value(s[i], i % 2 == 0);
    }
    return strchr("ABCDEHLMPRST", s[8]) != NULL && is_within(day % 40, 1, 31) && day < 72 &&
           (unsigned)(s[15] - 'A') == sum % 26;
}

static bool is_nl_bsn(const char *s)
{
    static const unsigned char weights[] = {9, 8, 7, 6, 5, 4, 3, 2};
    return number(s, 9) != 0 && weigh(s, weights, 8) % 11 == (unsigned)(s[8] - '0');
}

/* Months have 20 added for those born from 2000 on. */
static bool is_pl_pesel(const char *s)
{
    static const unsigned char weights[] = {1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1};
    const unsigned month = number(s + 2, 2);
    return is_date(number(s, 2), month > 20 ? month - 20 : month, number(s + 4, 2)) &&
           weigh(s, weights, 11) % 10 == 0;
}

/* Days have 60 added in numbers for those who are not registered. Twelve digits of this century
 * that end like a time of day are more likely one. */
static bool is_se_personnummer(const char *s, size_t n, bool has_word)
{
    const char *last = s + n - 10;
    const unsigned century = n == 12 ? number(s, 2) : 19, day = number(last + 4, 2);
    const bool is_time = number(last + 6, 2) < 24 && number(last + 8, 2) < 60;
    return is_within(century, 18, 20) &&
           is_date(number(last, 2), number(last + 2, 2), day > 60 ? day - 60 : day) &&
           (century != 20 || !is_time || has_word) && number(last + 6, 3) != 0 &&
           tw_checksum_holds(TW_CHECKSUM_LUHN, last, 10);
}

/* No check digit: letters and pairs that are not given out. */
static bool is_uk_nino(const char *s)
{
    static const char unused[][3] = {"BG", "GB", "KN", "NK", "NT", "TN", "ZZ"};
    for (size_t i = 0; i < sizeof unused / sizeof unused[0]; i++) {
        if (memcmp(unused[i], s, 2) == 0) {
            return false;
        }
    }
    return strchr("DFIQUV", s[0]) == NULL && strchr("DFIOQUV", s[1]) == NULL &&
           is_within((unsigned)s[8], 'A', 'D');
}

/* No check digit: parts that are not given out, and the number of an advertisement. */
static bool is_us_ssn(const char *s)
{
    const unsigned area = number(s, 3);
    return area != 0 && area != 666 && area < 900 && number(s + 3, 2) != 0 &&
           number(s + 5, 4) != 0 && memcmp(s, "078051120", 9) != 0;
}

bool tw_builtin_check(enum tw_builtin kind, const char *symbols, size_t n_symbols, bool has_word)
{
    switch (kind) {
    case TW_BUILTIN_IBAN:
        return is_iban(symbols, n_symbols);
    case TW_BUILTIN_CARD:
        return is_card(symbols, n_symbols);
    case TW_BUILTIN_AT_SVNR:
        return is_at_svnr(symbols);
    case TW_BUILTIN_BE_NRN:
        return is_be_nrn(symbols);
    case TW_BUILTIN_CH_AHV:
        return is_ch_ahv(symbols);
    case TW_BUILTIN_DE_STEUER_ID:
        return is_de_steuer_id(symbols);
    case TW_BUILTIN_ES_DNI:
        return is_es_letter(number(symbols, 8), symbols[8]);
    case TW_BUILTIN_ES_NIE:
        return is_es_nie(symbols);
    case TW_BUILTIN_FR_NIR:
        return is_fr_nir(symbols);
    case TW_BUILTIN_IT_CODICE_FISCALE:
        return is_it_codice_fiscale(symbols);
    case TW_BUILTIN_NL_BSN:
        return is_nl_bsn(symbols);
    case TW_BUILTIN_PL_PESEL:
        return is_pl_pesel(symbols);
    case TW_BUILTIN_SE_PERSONNUMMER:
        return is_se_personnummer(symbols, n_symbols, has_word);
    case TW_BUILTIN_UK_NINO:
        return is_uk_nino(symbols);
    case TW_BUILTIN_US_SSN:
        return is_us_ssn(symbols);
    case TW_BUILTIN_EMAIL:
    case TW_BUILTIN_PHONE:
    case TW_BUILTIN_COUNT:
        break;
    }
    return false;
}
