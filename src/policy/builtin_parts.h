/* builtin_parts.h: what the files of builtin.h share: places in a text, and where a number begins
 * and ends. Not for others. */
#ifndef TW_POLICY_BUILTIN_PARTS_H
#define TW_POLICY_BUILTIN_PARTS_H

#include "policy/builtin.h"

enum { TW_BUILTIN_SYMBOLS = 24, TW_BUILTIN_FORMS = 25 };

/* A form as bits, the first symbol's the lowest: which are digits, which letters, before which a
 * separator may stand or must, before which a plus. */
struct tw_builtin_form_bits {
    uint32_t all, digits, letters, may_break, must_break, plus;
};

/* Symbols (digits, capital letters) from a place on, with what stands between them, likewise. */
struct tw_builtin_run {
    char symbols[TW_BUILTIN_SYMBOLS];
    size_t ends[TW_BUILTIN_SYMBOLS]; /* behind each, in the text */
    unsigned n;
    uint32_t digits, breaks, plus, lower;
};

struct tw_builtin_scan {
    struct tw_builtin_form_bits forms[TW_BUILTIN_FORMS];
    const unsigned char *text;
    size_t text_bytes;
    uint32_t wanted;
    tw_builtin_found found;
    void *context;
    size_t phone_end; /* of the phone number found last */
};

static inline bool tw_builtin_is_digit(unsigned char c)
{
    return (unsigned)(c - '0') < 10;
}

static inline bool tw_builtin_is_letter(unsigned char c)
{
    return (unsigned)((c | 0x20) - 'a') < 26;
}

static inline bool tw_builtin_is_word(unsigned char c)
{
    return tw_builtin_is_digit(c) || tw_builtin_is_letter(c) || c == '_';
}

/* The byte at a place, 0 behind the end. */
static inline unsigned char tw_builtin_at(const struct tw_builtin_scan *scan, size_t at)
{
    return at < scan->text_bytes ? scan->text[at] : 0;
}

/* A digit, plain or of full width: its bytes, 0 for something else. */
size_t tw_builtin_digit(const struct tw_builtin_scan *scan, size_t at, char *ret_digit);

/* What may stand once between the groups of a number: a space (plain, not breaking, thin), a dot,
 * or a hyphen of any length. Its bytes, 0 for something else; *ret_kind is ' ', '.' or '-'. */
size_t tw_builtin_separator(const struct tw_builtin_scan *scan, size_t at, char *ret_kind);

/* Whether an escape ends here that stands for a line's end or a tab: logs are pasted with them. */
static inline bool tw_builtin_is_behind_escape(const struct tw_builtin_scan *scan, size_t at)
{
    const unsigned char c = at >= 2 ? scan->text[at - 1] : 0;
    return (c == 'n' || c == 'r' || c == 't') && scan->text[at - 2] == '\\';
}

/* Whether a number may begin or end here: it is no part of a word or of a longer number. */
bool tw_builtin_begins(const struct tw_builtin_scan *scan, size_t at);
bool tw_builtin_ends(const struct tw_builtin_scan *scan, size_t at);

/* Whether one of the words (lower case, to NULL) stands shortly before a place. */
bool tw_builtin_has_word(const struct tw_builtin_scan *scan, size_t at, const char *const *words);

/* Before the first call of the next two. */
void tw_builtin_prepare_forms(struct tw_builtin_scan *scan);

/* Up to TW_BUILTIN_SYMBOLS symbols from a place on, where there is one. */
void tw_builtin_read_run(const struct tw_builtin_scan *scan, size_t begin,
                         struct tw_builtin_run *ret_run);

/* Numbers of fixed forms that begin with so many letters. run: from their beginning. */
void tw_builtin_forms(struct tw_builtin_scan *scan, size_t begin, size_t n_letters,
                      const struct tw_builtin_run *run);

/* Phone numbers whose first digit is at a place. */
void tw_builtin_phone(struct tw_builtin_scan *scan, size_t first_digit,
                      const struct tw_builtin_run *run);

/* Whether symbols (digits, capital letters) are a number of that kind. has_word: behind a word that
 * says so. */
bool tw_builtin_check(enum tw_builtin kind, const char *symbols, size_t n_symbols, bool has_word);

/* Of an IBAN that begins with those two letters, in symbols; 0 where there are none. */
size_t tw_builtin_iban_symbols(const char country[2]);

#endif
