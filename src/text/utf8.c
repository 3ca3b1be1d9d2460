#include "text/utf8.h"

#include <assert.h>
#include <utf8proc.h>

/* What the second byte may be after a given first byte; this alone keeps out overlong forms,
 * surrogates and everything above U+10FFFF (Unicode 15, table 3-7). */
static size_t sequence_bytes(unsigned char first, unsigned char *ret_low, unsigned char *ret_high)
{
    *ret_low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    *ret_high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    if (first < 0x80) {
        return 1;
    }
    if (first < 0xc2 || first > 0xf4) {
        return 0;
    }
    return first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

/* Bytes of the longest prefix of text that a valid sequence could begin with. */
static size_t valid_prefix(const unsigned char *p, size_t n_bytes, size_t need)
{
    unsigned char low, high;
    sequence_bytes(p[0], &low, &high);
    size_t n = 1;
    while (n < need && n < n_bytes && p[n] >= low && p[n] <= high) {
        low = 0x80;
        high = 0xbf;
        n++;
    }
    return n;
}

size_t tw_utf8_decode(const char *text, size_t n_bytes, uint32_t *ret_code)
{
    const unsigned char *p = (const unsigned char *)text;
    if (p[0] < 0x80) {
        *ret_code = p[0];
        return 1;
    }
    unsigned char low, high;
    size_t need = sequence_bytes(p[0], &low, &high);
    if (need == 0 || valid_prefix(p, n_bytes, need) != need) {
        *ret_code = TW_UTF8_INVALID;
        return 1;
    }
    uint32_t code = p[0] & (0x7fu >> need);
    for (size_t i = 1; i < need; i++) {
        code = code << 6 | (p[i] & 0x3f);
    }
    *ret_code = code;
    return need;
}

size_t tw_utf8_broken(const char *text, size_t n_bytes)
{
    const unsigned char *p = (const unsigned char *)text;
    unsigned char low, high;
    size_t need = sequence_bytes(p[0], &low, &high);
    return need < 2 ? 1 : valid_prefix(p, n_bytes, need);
}

size_t tw_utf8_unfinished(const char *text, size_t n_bytes)
{
    const unsigned char *end = (const unsigned char *)text + n_bytes;
    for (size_t back = 1; back <= 3 && back <= n_bytes; back++) {
        unsigned char low, high;
        size_t need = sequence_bytes(end[-(ptrdiff_t)back], &low, &high);
        if (need > back && valid_prefix(end - back, back, need) == back) {
            return back;
        }
    }
    return 0;
}

size_t tw_utf8_encode(uint32_t code, char ret_bytes[4])
{
    assert(code < TW_UTF8_INVALID);
    if (code < 0x80) {
        ret_bytes[0] = (char)code;
        return 1;
    }
    size_t n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--) {
        ret_bytes[i] = (char)(0x80 | (code & 0x3f));
        code >>= 6;
    }
    ret_bytes[0] = (char)(code | (0xf00u >> n & 0xf0));
    return n;
}

bool tw_utf8_is_space(uint32_t code)
{
    if (code < 0x80) {
        return code == ' ' || (code >= 0x09 && code <= 0x0d);
    }
    return code == 0x85 || code == 0xa0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200a) ||
           code == 0x2028 || code == 0x2029 || code == 0x202f || code == 0x205f || code == 0x3000;
}

static utf8proc_category_t category(uint32_t code)
{
    return code < TW_UTF8_INVALID ? utf8proc_category((utf8proc_int32_t)code)
                                  : UTF8PROC_CATEGORY_CN;
}

static bool is_letter(utf8proc_category_t c)
{
    return c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_LO;
}

static bool is_number(utf8proc_category_t c)
{
    return c >= UTF8PROC_CATEGORY_ND && c <= UTF8PROC_CATEGORY_NO;
}

enum tw_char_class tw_utf8_class(uint32_t code)
{
    if (tw_utf8_is_space(code)) {
        return TW_CHAR_SPACE;
    }
    utf8proc_category_t c = category(code);
    return is_letter(c) ? TW_CHAR_LETTER : is_number(c) ? TW_CHAR_NUMBER : TW_CHAR_OTHER;
}

bool tw_utf8_is_digit(uint32_t code)
{
    return is_number(category(code));
}

/* Alphabetic is not among utf8proc's properties: letters, letter-like numbers and the circled and
 * squared letters are what it adds to the categories named. */
bool tw_utf8_is_word(uint32_t code)
{
    utf8proc_category_t c = category(code);
    bool by_category = is_letter(c) || c == UTF8PROC_CATEGORY_MN || c == UTF8PROC_CATEGORY_MC ||
                       c == UTF8PROC_CATEGORY_ME || c == UTF8PROC_CATEGORY_ND ||
                       c == UTF8PROC_CATEGORY_NL || c == UTF8PROC_CATEGORY_PC;
    bool letter_like = (code >= 0x24b6 && code <= 0x24e9) || (code >= 0x1f130 && code <= 0x1f149) ||
                       (code >= 0x1f150 && code <= 0x1f169) || (code >= 0x1f170 && code <= 0x1f189);
    return by_category || letter_like || code == 0x200c || code == 0x200d;
}
