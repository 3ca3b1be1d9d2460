#include "policy/builtin.h"

#include <string.h>

#include "policy/builtin_parts.h"

const char *const tw_builtin_names[TW_BUILTIN_COUNT + 1] = {
    "email",           "phone",   "iban",   "card",   "at-svnr",           "be-nrn", "ch-ahv",
    "de-steuer-id",    "es-dni",  "es-nie", "fr-nir", "it-codice-fiscale", "nl-bsn", "pl-pesel",
    "se-personnummer", "uk-nino", "us-ssn", NULL};

enum {
    LOCAL_BYTES = 64,   /* of a mail address before its @ */
    DOMAIN_BYTES = 253, /* and behind it */
    LETTERS = 8,        /* before a number; an Italian one has six */
    SHORT_DIGITS = 7    /* fewer are no number by themselves */
};

/* ---- places ---- */

size_t tw_builtin_digit(const struct tw_builtin_scan *scan, size_t at, char *ret_digit)
{
    const unsigned char c = tw_builtin_at(scan, at);
    if (tw_builtin_is_digit(c)) {
        *ret_digit = (char)c;
        return 1;
    }
    const unsigned char last = tw_builtin_at(scan, at + 2);
    if (c == 0xef && tw_builtin_at(scan, at + 1) == 0xbc && last >= 0x90 && last <= 0x99) {
        *ret_digit = (char)('0' + (last - 0x90));
        return 3;
    }
    return 0;
}

size_t tw_builtin_separator(const struct tw_builtin_scan *scan, size_t at, char *ret_kind)
{
    const unsigned char c = tw_builtin_at(scan, at), second = tw_builtin_at(scan, at + 1),
                        third = tw_builtin_at(scan, at + 2);
    if (c == ' ' || c == '.' || c == '-') {
        *ret_kind = (char)c;
        return 1;
    }
    if (c == 0xc2 && second == 0xa0) { /* the space that does not break */
        *ret_kind = ' ';
        return 2;
    }
    if (c == 0xe2 && second == 0x80 && (third == 0x87 || third == 0x89 || third == 0xaf)) {
        *ret_kind = ' ';
        return 3;
    }
    const bool is_dash = second == 0x80 && third >= 0x90 && third <= 0x95;
    const bool is_minus = second == 0x88 && third == 0x92;
    if (c == 0xe2 && (is_dash || is_minus)) {
        *ret_kind = '-';
        return 3;
    }
    return 0;
}

/* Letters of two bytes: Latin with marks, Greek, Cyrillic. */
static bool is_lead_of_letter(unsigned char c)
{
    return c >= 0xc3 && c <= 0xdf;
}

static bool is_later_byte(unsigned char c)
{
    return (c & 0xc0) == 0x80;
}

bool tw_builtin_begins(const struct tw_builtin_scan *scan, size_t at)
{
    const unsigned char *text = scan->text;
    char digit;
    if (at == 0 || tw_builtin_is_behind_escape(scan, at)) {
        return true;
    }
    const unsigned char before = text[at - 1];
    if (tw_builtin_is_word(before) || before == '+') {
        return false;
    }
    if (before == '.' || before == '-') {
        return at < 2 || !tw_builtin_is_digit(text[at - 2]);
    }
    const bool is_letter = at >= 2 && is_later_byte(before) && is_lead_of_letter(text[at - 2]);
    return !is_letter &&
           (at < 3 || text[at - 3] != 0xef || !tw_builtin_digit(scan, at - 3, &digit));
}

bool tw_builtin_ends(const struct tw_builtin_scan *scan, size_t at)
{
    const unsigned char c = tw_builtin_at(scan, at);
    char digit;
    if (c < 0x80) {
        const bool goes_on =
            (c == '.' || c == '-') && tw_builtin_is_digit(tw_builtin_at(scan, at + 1));
        return !tw_builtin_is_word(c) && !goes_on;
    }
    return !is_lead_of_letter(c) && tw_builtin_digit(scan, at, &digit) == 0;
}

/* Whether the word stands in the text at a place, whatever its case. */
static bool is_word_at(const unsigned char *text, size_t n, const char *word, size_t n_word)
{
    if (n < n_word) {
        return false;
    }
    for (size_t i = 0; i < n_word; i++) {
        const unsigned char c = text[i];
        if ((tw_builtin_is_letter(c) ? (c | 0x20) : c) != (unsigned char)word[i]) {
            return false;
        }
    }
    return true;
}

/* One of the words that begins here and ends before the place. */
static bool begins_word(const struct tw_builtin_scan *scan, size_t begin, size_t at,
                        const char *const *words)
{
    const unsigned char first = scan->text[begin] | 0x20;
    for (; *words != NULL; words++) {
        if (first == (unsigned char)**words) {
            const size_t n = strlen(*words);
            if (is_word_at(scan->text + begin, at - begin, *words, n) &&
                !tw_builtin_is_letter(tw_builtin_at(scan, begin + n))) {
                return true;
            }
        }
    }
    return false;
}

bool tw_builtin_has_word(const struct tw_builtin_scan *scan, size_t at, const char *const *words)
{
    const size_t from = at > TW_BUILTIN_WORD_BYTES ? at - TW_BUILTIN_WORD_BYTES : 0;
    bool is_letter = from > 0 && tw_builtin_is_letter(scan->text[from - 1]);
    for (size_t i = from; i < at; i++) {
        const bool was_letter = is_letter;
        is_letter = tw_builtin_is_letter(scan->text[i]);
        if (is_letter && !was_letter && begins_word(scan, i, at, words)) {
            return true;
        }
    }
    return false;
}

/* ---- mail addresses ---- */

static bool is_wide_letter(const struct tw_builtin_scan *scan, size_t at)
{
    return is_lead_of_letter(tw_builtin_at(scan, at)) && is_later_byte(tw_builtin_at(scan, at + 1));
}

/* Where the part before the @ begins; the place of the @ where there is none. */
static size_t local_begin(const struct tw_builtin_scan *scan, size_t at)
{
    size_t begin = at, best = at;
    while (begin > 0 && at - begin < LOCAL_BYTES) {
        const unsigned char c = scan->text[begin - 1];
        const bool is_wide = is_later_byte(c) && begin >= 2 && is_wide_letter(scan, begin - 2);
        const bool is_plain = tw_builtin_is_word(c);
        const bool is_part = is_wide || is_plain || (c != 0 && strchr(".%+-'", c) != NULL);
        if (!is_part || tw_builtin_is_behind_escape(scan, begin)) {
            break;
        }
        begin -= is_wide ? 2 : 1;
        best = is_wide || is_plain ? begin : best; /* it does not begin with a dot */
    }
    return best;
}

/* Ends of names of files, which are in no use as domains: "icon@2x.png". */
static bool is_file_ending(const unsigned char *text, size_t n)
{
    static const char *const endings[] = {"png", "jpg", "jpeg", "gif", "svg", "webp",
                                          "css", "js",  "json", "ts",  NULL};
    for (size_t i = 0; endings[i] != NULL; i++) {
        if (n == strlen(endings[i]) && is_word_at(text, n, endings[i], n)) {
            return true;
        }
    }
    return false;
}

/* One label of a domain: its bytes, and whether it can be the last. */
static size_t label_bytes(const struct tw_builtin_scan *scan, size_t begin, bool *ret_is_last)
{
    size_t end = begin, last = begin;
    bool has_digit = false;
    while (end - begin < DOMAIN_BYTES) {
        const unsigned char c = tw_builtin_at(scan, end);
        const bool is_wide = is_wide_letter(scan, end);
        const bool is_plain = tw_builtin_is_digit(c) || tw_builtin_is_letter(c);
        if (!is_wide && !is_plain && c != '-') {
            break;
        }
        has_digit = has_digit || !(is_wide || tw_builtin_is_letter(c));
        end += is_wide ? 2 : 1;
        last = c != '-' ? end : last; /* a label does not end with a hyphen */
    }
    const bool is_puny = is_word_at(scan->text + begin, last - begin, "xn--", 4);
    *ret_is_last = last - begin >= 2 && (!has_digit || is_puny) &&
                   !is_file_ending(scan->text + begin, last - begin);
    return last - begin;
}

/* Where the domain that begins here ends; its beginning where there is none. */
static size_t domain_end(const struct tw_builtin_scan *scan, size_t begin)
{
    size_t at = begin, best = begin;
    for (size_t n_labels = 1; at - begin < DOMAIN_BYTES; n_labels++) {
        bool is_last;
        const size_t n = label_bytes(scan, at, &is_last);
        if (n == 0) {
            break;
        }
        at += n;
        best = n_labels > 1 && is_last ? at : n_labels > 1 ? begin : best;
        if (tw_builtin_at(scan, at) != '.') {
            break;
        }
        at++;
    }
    return best;
}

static void find_mail(struct tw_builtin_scan *scan, size_t at)
{
    const size_t begin = local_begin(scan, at);
    const size_t end = begin < at ? domain_end(scan, at + 1) : at + 1;
    if (begin < at && end > at + 1) {
        scan->found(scan->context, TW_BUILTIN_EMAIL, begin, end);
    }
}

/* ---- numbers ---- */

/* Where a run of digits and letters ends. */
static size_t group_end(const struct tw_builtin_scan *scan, size_t at)
{
    char digit;
    for (;;) {
        const unsigned char c = tw_builtin_at(scan, at);
        if (tw_builtin_is_digit(c) || tw_builtin_is_letter(c)) {
            at++;
        } else if (c == 0xef && tw_builtin_digit(scan, at, &digit) != 0) {
            at += 3;
        } else {
            return at;
        }
    }
}

/* The number of letters of a group that stands before a place, with a separator in between; its
 * beginning in *ret_begin. 0: there is none. */
static size_t letters_before(const struct tw_builtin_scan *scan, size_t at, size_t *ret_begin)
{
    char kind;
    size_t n = 1; /* bytes of the separator */
    while (n <= 3 && n <= at && tw_builtin_separator(scan, at - n, &kind) != n) {
        n++;
    }
    if (n > 3 || n > at) {
        return 0;
    }
    size_t begin = at - n;
    while (begin > 0 && at - n - begin < LETTERS && tw_builtin_is_letter(scan->text[begin - 1])) {
        begin--;
    }
    *ret_begin = begin;
    return at - n - begin;
}

/* Letters in groups of their own: X-1234567-L, AB 12 34 56 C, DE 89 3704 ..., RSS MRA 85T10 ... */
static void forms_behind_letters(struct tw_builtin_scan *scan, size_t begin, size_t n_letters)
{
    struct tw_builtin_run run;
    size_t before = begin, first = begin;
    size_t n = letters_before(scan, begin, &before);
    if (n == 3 && n_letters == 0 && letters_before(scan, before, &first) == 3) {
        before = first;
        n = 6;
    } else if (n == 3 && n_letters == 3) {
        n = 6;
    } else if (n_letters != 0 || (n != 1 && n != 2)) {
        return;
    }
    tw_builtin_read_run(scan, before, &run);
    tw_builtin_forms(scan, before, n, &run);
}

/* Whether a few digits are all there is, as most numbers of a text are: 12, 2026, 99. */
static bool is_alone(const struct tw_builtin_scan *scan, size_t at, size_t end)
{
    const unsigned char next = tw_builtin_at(scan, end);
    char digit, kind;
    if (end - at >= SHORT_DIGITS || next == ')' || next == '(') {
        return false;
    }
    const size_t n = next == '/' || next == '+' ? 1 : tw_builtin_separator(scan, end, &kind);
    const unsigned char behind = tw_builtin_at(scan, end + n);
    const bool goes_on = behind == '(' || tw_builtin_digit(scan, end + n, &digit) > 0 ||
                         (tw_builtin_is_letter(behind) && end - at >= 3);
    return n == 0 || !goes_on;
}

/* A number whose first digit is at a place. Where its group ends. */
static size_t find_number(struct tw_builtin_scan *scan, size_t at)
{
    size_t begin = at;
    while (begin > 0 && at - begin < LETTERS && tw_builtin_is_letter(scan->text[begin - 1]) &&
           !tw_builtin_is_behind_escape(scan, begin)) {
        begin--;
    }
    const size_t n_letters = at - begin, end = group_end(scan, at);
    if (n_letters == 0 && is_alone(scan, at, end)) {
        return end;
    }
    struct tw_builtin_run run;
    tw_builtin_read_run(scan, begin, &run);
    tw_builtin_forms(scan, begin, n_letters, &run);
    forms_behind_letters(scan, begin, n_letters);
    if (n_letters == 0 && (scan->wanted >> TW_BUILTIN_PHONE & 1) != 0) {
        tw_builtin_phone(scan, at, &run);
    }
    return end;
}

/* ---- the scan ---- */

static const unsigned char anchors[256] = {
    ['0'] = 1, ['1'] = 1, ['2'] = 1, ['3'] = 1, ['4'] = 1, ['5'] = 1,
    ['6'] = 1, ['7'] = 1, ['8'] = 1, ['9'] = 1, ['@'] = 1, [0xef] = 1};

void tw_builtin_scan(const char *text, size_t text_bytes, uint32_t wanted, tw_builtin_found found,
                     void *context)
{
    struct tw_builtin_scan scan = {.text = (const unsigned char *)text,
                                   .text_bytes = text_bytes,
                                   .wanted = wanted,
                                   .found = found,
                                   .context = context};
    const bool wants_mail = (wanted >> TW_BUILTIN_EMAIL & 1) != 0;
    const bool wants_numbers = (wanted & ~(UINT32_C(1) << TW_BUILTIN_EMAIL)) != 0;
    char digit;
    tw_builtin_prepare_forms(&scan);
    for (size_t at = 0; at < text_bytes;) {
        const unsigned char c = scan.text[at];
        if (anchors[c] == 0) {
            at++;
        } else if (c == '@') {
            if (wants_mail) {
                find_mail(&scan, at);
            }
            at++;
        } else if (wants_numbers && tw_builtin_digit(&scan, at, &digit) != 0) {
            at = find_number(&scan, at);
        } else {
            at++;
        }
    }
}
