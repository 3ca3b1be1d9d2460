#include <string.h>

#include "policy/builtin_parts.h"

/* The forms in which a number is written: 9 a digit, A a letter, X either, - a separator that may
 * be there, = one that must, + itself. A line that names words counts behind one of them only. */
struct form {
    enum tw_builtin kind;
    unsigned n_letters; /* at its beginning */
    const char *pattern;
    const char *const *words;
};

static const char *const bsn_words[] = {"bsn",         "burgerservicenummer", "sofinummer",
                                        "sofi-nummer", "burgerservicenr",     NULL};
static const char *const ssn_words[] = {"ssn", "social security", "social security number", NULL};
static const char *const person_words[] = {"personnummer", "personnr", "pnr", "samordningsnummer",
                                           NULL};

static const struct form forms[] = {
    {TW_BUILTIN_CARD, 0, "9999-9999-9999-9999", NULL},
    {TW_BUILTIN_CARD, 0, "9999-9999-9999-9999-999", NULL},
    {TW_BUILTIN_CARD, 0, "9999-999999-99999", NULL},
    {TW_BUILTIN_CARD, 0, "9999-999999-9999", NULL},
    {TW_BUILTIN_CARD, 0, "999999999999999999", NULL},
    {TW_BUILTIN_AT_SVNR, 0, "9999-99-99-99", NULL},
    {TW_BUILTIN_BE_NRN, 0, "99-99-99-999-99", NULL},
    {TW_BUILTIN_CH_AHV, 0, "999-9999-9999-99", NULL},
    {TW_BUILTIN_DE_STEUER_ID, 0, "99-999-999-999", NULL},
    {TW_BUILTIN_ES_DNI, 0, "99-999-999-A", NULL},
    {TW_BUILTIN_ES_NIE, 1, "A-9999999-A", NULL},
    {TW_BUILTIN_ES_NIE, 1, "A-9-999-999-A", NULL},
    {TW_BUILTIN_FR_NIR, 0, "9-99-99-9X-999-999-99", NULL},
    {TW_BUILTIN_IT_CODICE_FISCALE, 6, "AAA-AAA-XXAXX-AXXXA", NULL},
    {TW_BUILTIN_NL_BSN, 0, "999-999-999", bsn_words},
    {TW_BUILTIN_NL_BSN, 0, "9999-99-999", bsn_words},
    {TW_BUILTIN_PL_PESEL, 0, "99999999999", NULL},
    {TW_BUILTIN_SE_PERSONNUMMER, 0, "999999=9999", NULL},
    {TW_BUILTIN_SE_PERSONNUMMER, 0, "999999+9999", NULL},
    {TW_BUILTIN_SE_PERSONNUMMER, 0, "9999999999", person_words},
    {TW_BUILTIN_SE_PERSONNUMMER, 0, "99999999-9999", NULL},
    {TW_BUILTIN_SE_PERSONNUMMER, 0, "99999999+9999", NULL},
    {TW_BUILTIN_UK_NINO, 2, "AA-99-99-99-A", NULL},
    {TW_BUILTIN_US_SSN, 0, "999=99=9999", NULL},
    {TW_BUILTIN_US_SSN, 0, "999999999", ssn_words},
};

_Static_assert(sizeof forms / sizeof forms[0] == TW_BUILTIN_FORMS, "one set of bits for each");

/* ---- forms as bits ---- */

static struct tw_builtin_form_bits bits_of(const char *pattern)
{
    struct tw_builtin_form_bits bits = {0};
    uint32_t bit = 1;
    for (; *pattern != '\0'; pattern++) {
        switch (*pattern) {
        case '-':
            bits.may_break |= bit;
            break;
        case '=':
            bits.may_break |= bit;
            bits.must_break |= bit;
            break;
        case '+':
            bits.may_break |= bit;
            bits.plus |= bit;
            break;
        default:
            bits.all |= bit;
            bits.digits |= *pattern == '9' ? bit : 0;
            bits.letters |= *pattern == 'A' ? bit : 0;
            bit <<= 1;
            break;
        }
    }
    return bits;
}

void tw_builtin_prepare_forms(struct tw_builtin_scan *scan)
{
    for (size_t i = 0; i < TW_BUILTIN_FORMS; i++) {
        scan->forms[i] = bits_of(forms[i].pattern);
    }
}

static bool has_form(const struct tw_builtin_run *run, const struct tw_builtin_form_bits *bits)
{
    const uint32_t breaks = run->breaks & bits->all;
    return (bits->all >> run->n) == 0 && (run->digits & bits->digits) == bits->digits &&
           (run->digits & bits->letters) == 0 && (breaks & ~bits->may_break) == 0 &&
           (breaks & bits->must_break) == bits->must_break && (run->plus & bits->all) == bits->plus;
}

/* ---- reading ---- */

static size_t read_symbol(const struct tw_builtin_scan *scan, size_t at, struct tw_builtin_run *run)
{
    const unsigned char c = tw_builtin_at(scan, at);
    const uint32_t bit = UINT32_C(1) << run->n;
    char symbol = (char)c;
    size_t n = 1;
    if (tw_builtin_is_letter(c)) {
        symbol = (char)(c & ~0x20);
        run->lower |= c >= 'a' ? bit : 0;
    } else {
        n = tw_builtin_is_digit(c) ? 1 : c == 0xef ? tw_builtin_digit(scan, at, &symbol) : 0;
        run->digits |= n > 0 ? bit : 0;
    }
    if (n > 0) {
        run->symbols[run->n] = symbol;
        run->ends[run->n++] = at + n;
    }
    return n;
}

void tw_builtin_read_run(const struct tw_builtin_scan *scan, size_t begin,
                         struct tw_builtin_run *ret_run)
{
    struct tw_builtin_run *run = ret_run;
    size_t at = begin, n = 0;
    char kind;
    run->n = 0;
    run->digits = run->breaks = run->plus = run->lower = 0;
    while (run->n < TW_BUILTIN_SYMBOLS) {
        n = read_symbol(scan, at, run);
        if (n > 0) {
            at += n;
            continue;
        }
        const bool is_plus = tw_builtin_at(scan, at) == '+';
        const size_t n_between = is_plus ? 1 : tw_builtin_separator(scan, at, &kind);
        const uint32_t bit = UINT32_C(1) << run->n;
        n = n_between > 0 ? read_symbol(scan, at + n_between, run) : 0;
        if (n == 0) {
            return;
        }
        run->breaks |= bit;
        run->plus |= is_plus ? bit : 0;
        at += n_between + n;
    }
}

/* ---- what is found ---- */

static bool try_form(struct tw_builtin_scan *scan, size_t begin, const struct form *form,
                     const struct tw_builtin_form_bits *bits, const struct tw_builtin_run *run)
{
    const size_t n = (size_t)__builtin_popcount(bits->all), end = run->ends[n - 1];
    /* In lower case it is the number of a commit more often than of a person. */
    const bool is_commit = form->kind == TW_BUILTIN_UK_NINO && (run->lower & bits->all) != 0;
    if (is_commit || !tw_builtin_ends(scan, end)) {
        return false;
    }
    const bool has_word = form->words != NULL && tw_builtin_has_word(scan, begin, form->words);
    if (form->words != NULL && !has_word) {
        return false;
    }
    if (!tw_builtin_check(form->kind, run->symbols, n, has_word)) {
        return false;
    }
    scan->found(scan->context, form->kind, begin, end);
    return true;
}

/* The country says how long it is, up to 34 symbols; letters and digits may take turns. */
static void try_iban(struct tw_builtin_scan *scan, size_t begin, const struct tw_builtin_run *run)
{
    enum { LONGEST = 34 };
    struct tw_builtin_run more;
    char symbols[LONGEST + TW_BUILTIN_SYMBOLS];
    const size_t n_symbols = run->n > 4 ? tw_builtin_iban_symbols(run->symbols) : 0;
    size_t n = run->n, end = 0, kind_bytes;
    char kind;
    if (n_symbols == 0 || (run->digits & 0xf) != 0xc || run->plus != 0) {
        return;
    }
    memcpy(symbols, run->symbols, n);
    if (n < n_symbols && n == TW_BUILTIN_SYMBOLS) { /* the rest of a long one */
        kind_bytes = tw_builtin_separator(scan, run->ends[n - 1], &kind);
        tw_builtin_read_run(scan, run->ends[n - 1] + kind_bytes, &more);
        memcpy(symbols + n, more.symbols, more.n);
        n += more.plus == 0 ? more.n : 0;
        end = n >= n_symbols ? more.ends[n_symbols - TW_BUILTIN_SYMBOLS - 1] : 0;
    } else if (n >= n_symbols) {
        end = run->ends[n_symbols - 1];
    }
    if (end > 0 && tw_builtin_ends(scan, end) &&
        tw_builtin_check(TW_BUILTIN_IBAN, symbols, n_symbols, false)) {
        scan->found(scan->context, TW_BUILTIN_IBAN, begin, end);
    }
}

void tw_builtin_forms(struct tw_builtin_scan *scan, size_t begin, size_t n_letters,
                      const struct tw_builtin_run *run)
{
    if (!tw_builtin_begins(scan, begin)) {
        return;
    }
    if (n_letters == 2 && (scan->wanted >> TW_BUILTIN_IBAN & 1) != 0) {
        try_iban(scan, begin, run);
    }
    uint32_t wanted = scan->wanted;
    for (size_t i = 0; i < TW_BUILTIN_FORMS; i++) {
        const uint32_t bit = UINT32_C(1) << forms[i].kind;
        if (forms[i].n_letters == n_letters && (wanted & bit) != 0 &&
            has_form(run, &scan->forms[i]) &&
            try_form(scan, begin, &forms[i], &scan->forms[i], run)) {
            wanted &= ~bit; /* other forms of it fit the same digits */
        }
    }
}
