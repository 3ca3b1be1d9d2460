/* Phone numbers: with the code of a country, or as they are dialled within one. Nothing checks
 * them, so what tells them from other numbers is how they are grouped. */
#include <string.h>

#include "policy/builtin_parts.h"

enum { DIGITS = 15, GROUPS = 8, SEPARATORS = 3 };

/* What was read: digits in groups, with what stands between them. */
struct phone {
    char digits[DIGITS + 1];
    size_t n_digits, n_groups;
    size_t lengths[GROUPS]; /* of groups, in digits */
    size_t ends[GROUPS];    /* of groups, in the text */
    char between[GROUPS];   /* before a group: ' ', '.', '-', '/', ')'; '*' for several kinds */
    bool has_plus, has_open;
};

static size_t phone_separator(const struct tw_builtin_scan *scan, size_t at, char *ret_kind)
{
    const unsigned char c = tw_builtin_at(scan, at);
    if (c == '/' || c == '(' || c == ')') {
        *ret_kind = (char)c;
        return 1;
    }
    return tw_builtin_separator(scan, at, ret_kind);
}

/* Passes over what may stand between two groups; 0 where the number ends. */
static size_t pass_between(const struct tw_builtin_scan *scan, size_t at, char *ret_kind)
{
    size_t n_bytes = 0;
    char kind = 0, all = 0, digit;
    for (size_t i = 0; i < SEPARATORS; i++) {
        const size_t n = phone_separator(scan, at + n_bytes, &kind);
        if (n == 0) {
            break;
        }
        const bool is_more = all == 0 || all == kind || all == ' ' || kind == ')';
        all = is_more && all != ')' ? kind : all == ')' && kind == ' ' ? ')' : '*';
        n_bytes += n;
    }
    *ret_kind = all;
    return n_bytes > 0 && tw_builtin_digit(scan, at + n_bytes, &digit) > 0 ? n_bytes : 0;
}

static size_t read_group(const struct tw_builtin_scan *scan, size_t at, struct phone *phone)
{
    size_t n = 0, n_bytes;
    char digit;
    while ((n_bytes = tw_builtin_digit(scan, at, &digit)) > 0) {
        if (phone->n_digits == DIGITS) {
            return 0;
        }
        phone->digits[phone->n_digits++] = digit;
        at += n_bytes;
        n++;
    }
    phone->lengths[phone->n_groups] = n;
    phone->ends[phone->n_groups++] = at;
    return at;
}

/* The (0) that is not dialled from abroad: +49 (0) 30 ... */
static size_t pass_trunk(const struct tw_builtin_scan *scan, size_t at)
{
    at += tw_builtin_at(scan, at) == ' ';
    const bool is_trunk = tw_builtin_at(scan, at) == '(' && tw_builtin_at(scan, at + 1) == '0' &&
                          tw_builtin_at(scan, at + 2) == ')';
    return is_trunk ? at + 3 : 0;
}

static void read_phone(const struct tw_builtin_scan *scan, size_t at, struct phone *phone)
{
    char kind = 0;
    while (phone->n_groups < GROUPS) {
        phone->between[phone->n_groups] = kind;
        const size_t n_before = phone->n_digits;
        const size_t end = read_group(scan, at, phone);
        if (end == 0) {
            phone->n_digits = n_before;
            return;
        }
        const size_t behind = phone->has_plus && phone->n_groups == 1 ? pass_trunk(scan, end) : 0;
        at = behind > 0 ? behind : end;
        const size_t n = pass_between(scan, at, &kind);
        char digit;
        if (n == 0 && (behind == 0 || tw_builtin_digit(scan, at, &digit) == 0)) {
            return;
        }
        at += n;
    }
}

/* ---- what is one ---- */

static bool is_american(const char *digits)
{
    return digits[0] >= '2' && digits[3] >= '2';
}

/* Behind a + or 00. Codes of countries that there are not: 28, 83, 89. */
static bool is_international(const char *digits, size_t n)
{
    if (digits[0] == '1') {
        return n == 11 && is_american(digits + 1);
    }
    if (digits[0] == '7') {
        return n == 11;
    }
    static const char unused[][3] = {"28", "83", "89"};
    for (size_t i = 0; i < sizeof unused / sizeof unused[0]; i++) {
        if (memcmp(unused[i], digits, 2) == 0) {
            return false;
        }
    }
    return digits[0] != '0' && n >= 9;
}

static bool has_lengths(const struct phone *phone, size_t n_groups, const char *lengths)
{
    for (size_t i = 0; i < n_groups; i++) {
        if (lengths[i] == '\0' || phone->lengths[i] != (size_t)(lengths[i] - '0')) {
            return false;
        }
    }
    return lengths[n_groups] == '\0';
}

/* The same plain thing between all groups from a group on. */
static bool is_even(const struct phone *phone, size_t first, size_t n_groups)
{
    for (size_t i = first; i < n_groups; i++) {
        if (phone->between[i] != phone->between[first] || phone->between[i] == '*') {
            return false;
        }
    }
    return true;
}

static bool is_american_form(const struct phone *phone, size_t n_groups)
{
    const bool has_one = phone->digits[0] == '1' && has_lengths(phone, n_groups, "1334");
    if (!has_one && !has_lengths(phone, n_groups, "334")) {
        return false;
    }
    const bool is_form = is_even(phone, 1, n_groups) ||
                         (phone->has_open && phone->between[1] == ')' && phone->between[2] != '*');
    return is_form && is_american(phone->digits + has_one);
}

/* 01 42 68 53 00 */
static bool is_french_form(const struct phone *phone, size_t n_groups)
{
    return phone->digits[0] == '0' && phone->digits[1] != '0' &&
           has_lengths(phone, n_groups, "22222") && is_even(phone, 1, n_groups) &&
           phone->between[1] != '/' && phone->between[1] != ')';
}

/* A zero, an area and a number, apart. Dots there are dates. */
static bool is_national(const struct phone *phone, size_t n_groups, size_t n_digits)
{
    if (phone->digits[0] != '0' || phone->digits[1] == '0' || n_groups < 2 || n_digits < 9 ||
        n_digits > 12 || phone->lengths[0] < 3 || phone->lengths[0] > 6) {
        return false;
    }
    for (size_t i = 1; i < n_groups; i++) {
        if (phone->between[i] == '.' || phone->between[i] == '*' || phone->lengths[i] < 2) {
            return false;
        }
    }
    return !phone->has_open || phone->between[1] == ')';
}

static const char *const phone_words[] = {
    "phone",     "telephone", "tel",      "tel.nr", "telefon", "telefonnummer", "telefono",
    "teléfono",  "téléphone", "mobile",   "mobil",  "handy",   "fax",           "cell",
    "rufnummer", "whatsapp",  "portable", "gsm",    NULL};

static bool is_phone(const struct tw_builtin_scan *scan, const struct phone *phone, size_t begin,
                     size_t n_groups)
{
    size_t n_digits = 0;
    for (size_t i = 0; i < n_groups; i++) {
        n_digits += phone->lengths[i];
    }
    if (n_digits < 7) {
        return false;
    }
    if (phone->has_plus) {
        return is_international(phone->digits, n_digits);
    }
    if (is_american_form(phone, n_groups) || is_french_form(phone, n_groups) ||
        is_national(phone, n_groups, n_digits)) {
        return true;
    }
    const bool is_abroad = memcmp(phone->digits, "00", 2) == 0 && n_digits > 10 &&
                           is_international(phone->digits + 2, n_digits - 2);
    if (is_abroad && n_groups > 1) {
        return true;
    }
    return phone->between[1] != '.' && tw_builtin_has_word(scan, begin, phone_words);
}

/* What spares most numbers a closer look: they have no plus, no zero in front, are not grouped as
 * in America, and no word says what they are. */
static bool may_be_phone(const struct tw_builtin_scan *scan, const struct phone *phone,
                         size_t begin, const struct tw_builtin_run *run)
{
    const bool is_american_run = (run->breaks & 0x7f) == 0x48 || (run->breaks & 0xff) == 0x92;
    const bool has_seven = (run->digits & 0x7f) == 0x7f;
    return phone->has_plus || phone->has_open || run->symbols[0] == '0' || is_american_run ||
           (has_seven && tw_builtin_has_word(scan, begin, phone_words));
}

void tw_builtin_phone(struct tw_builtin_scan *scan, size_t first_digit,
                      const struct tw_builtin_run *run)
{
    struct phone phone = {.n_digits = 0};
    size_t begin = first_digit;
    if (begin < scan->phone_end) {
        return; /* a group of the one before */
    }
    phone.has_open = begin > 0 && scan->text[begin - 1] == '(';
    begin -= phone.has_open;
    phone.has_plus = begin > 0 && scan->text[begin - 1] == '+';
    begin -= phone.has_plus;
    if (!tw_builtin_begins(scan, begin) || !may_be_phone(scan, &phone, begin, run)) {
        return;
    }
    read_phone(scan, first_digit, &phone);
    for (size_t n = phone.n_groups; n > 0; n--) {
        if (tw_builtin_ends(scan, phone.ends[n - 1]) && is_phone(scan, &phone, begin, n)) {
            scan->found(scan->context, TW_BUILTIN_PHONE, begin, phone.ends[n - 1]);
            scan->phone_end = phone.ends[n - 1];
            return;
        }
    }
}
