#include "base/printable.h"

#include <string.h>

/* Bytes that a first byte promises; 0 for a byte that cannot come first. */
static size_t promised_bytes(unsigned char first)
{
    if (first < 0x80) {
        return 1;
    }
    if (first < 0xc2 || first > 0xf4) {
        return 0;
    }
    return first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

size_t tw_printable_utf8_bytes(const char *text, size_t n_bytes)
{
    const unsigned char *p = (const unsigned char *)text;
    size_t n = promised_bytes(p[0]);
    if (n > n_bytes) {
        return 0;
    }
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    bool overlong = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xf0 && p[1] < 0x90);
    bool no_scalar = (p[0] == 0xed && p[1] >= 0xa0) || (p[0] == 0xf4 && p[1] >= 0x90);
    return overlong || no_scalar ? 0 : n;
}

bool tw_printable_steers(const char *text, size_t n_bytes)
{
    const unsigned char *p = (const unsigned char *)text;
    if (n_bytes == 1) {
        return p[0] < 0x20 || p[0] == 0x7f;
    }
    if (n_bytes == 2) {
        return p[0] == 0xc2 && p[1] < 0xa0;
    }
    /* U+2028..U+202E and U+2066..U+2069 */
    return n_bytes == 3 && p[0] == 0xe2 &&
           ((p[1] == 0x80 && p[2] >= 0xa8 && p[2] <= 0xae) ||
            (p[1] == 0x81 && p[2] >= 0xa6 && p[2] <= 0xa9));
}

static void clean(char *text, size_t n_bytes, const char *kept)
{
    size_t i = 0;
    while (i < n_bytes) {
        size_t n = tw_printable_utf8_bytes(text + i, n_bytes - i);
        bool is_kept = text[i] != '\0' && strchr(kept, text[i]) != NULL;
        if (n == 0 || (tw_printable_steers(text + i, n) && !is_kept)) {
            n = n != 0 ? n : 1;
            memset(text + i, '?', n);
        }
        i += n;
    }
}

void tw_printable_clean(char *text, size_t n_bytes)
{
    clean(text, n_bytes, "");
}

void tw_printable_clean_lines(char *text, size_t n_bytes)
{
    clean(text, n_bytes, "\n\t");
}
