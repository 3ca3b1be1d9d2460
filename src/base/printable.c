#include "base/printable.h"

#include <stdbool.h>
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

static bool is_control(const char *text, size_t n_bytes)
{
    const unsigned char *p = (const unsigned char *)text;
    return n_bytes == 1 ? p[0] < 0x20 || p[0] == 0x7f : n_bytes == 2 && p[0] == 0xc2 && p[1] < 0xa0;
}

void tw_printable_clean(char *text, size_t n_bytes)
{
    size_t i = 0;
    while (i < n_bytes) {
        size_t n = tw_printable_utf8_bytes(text + i, n_bytes - i);
        if (n == 0 || is_control(text + i, n)) {
            n = n != 0 ? n : 1;
            memset(text + i, '?', n);
        }
        i += n;
    }
}
