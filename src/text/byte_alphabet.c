#include "text/byte_alphabet.h"

#include <stdbool.h>

#include "text/utf8.h"

/* The bytes that do not stand for themselves, in order. */
static const unsigned char shifted[68] = {
    0,   1,   2,   3,   4,   5,   6,   7,   8,   9,   10,  11,  12,  13,  14,  15,  16,
    17,  18,  19,  20,  21,  22,  23,  24,  25,  26,  27,  28,  29,  30,  31,  32,  127,
    128, 129, 130, 131, 132, 133, 134, 135, 136, 137, 138, 139, 140, 141, 142, 143, 144,
    145, 146, 147, 148, 149, 150, 151, 152, 153, 154, 155, 156, 157, 158, 159, 160, 173,
};

static bool stands_for_itself(unsigned byte)
{
    return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

uint32_t tw_byte_alphabet_code(unsigned byte)
{
    if (stands_for_itself(byte)) {
        return byte;
    }
    uint32_t place = 0;
    while (shifted[place] != byte) {
        place++;
    }
    return 0x100 + place;
}

int tw_byte_alphabet_byte(uint32_t code)
{
    if (code < 0x100) {
        return stands_for_itself(code) ? (int)code : -1;
    }
    return code < 0x100 + sizeof shifted ? shifted[code - 0x100] : -1;
}

size_t tw_byte_alphabet_spell(const char *bytes, size_t n_bytes, char *ret_text)
{
    size_t n = 0;
    for (size_t i = 0; i < n_bytes; i++) {
        char character[4];
        size_t step = tw_utf8_encode(tw_byte_alphabet_code((unsigned char)bytes[i]), character);
        for (size_t k = 0; k < step; k++) {
            ret_text[n++] = character[k];
        }
    }
    return n;
}
