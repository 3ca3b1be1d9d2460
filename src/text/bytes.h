/* bytes.h: a run of bytes that belongs to someone else, looking into it, and the hash the
 * vocabulary tables use.
 *
 * The hash is fast and unkeyed: tables built from a file must bound their probes themselves.
 * Threads: any. Errors: none.
 */
#ifndef TW_TEXT_BYTES_H
#define TW_TEXT_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct tw_bytes {
    const char *data;
    size_t size_bytes;
};

static inline struct tw_bytes tw_bytes_of(const char *text)
{
    return (struct tw_bytes){text, strlen(text)};
}

static inline bool tw_bytes_equal(struct tw_bytes a, struct tw_bytes b)
{
    return a.size_bytes == b.size_bytes &&
           (a.size_bytes == 0 || memcmp(a.data, b.data, a.size_bytes) == 0);
}

/* Where `wanted` begins in a text, or may begin at its end; the text's length where it does not. */
static inline size_t tw_bytes_find(struct tw_bytes text, const char *wanted)
{
    const size_t n_wanted = strlen(wanted);
    for (size_t i = 0; i < text.size_bytes; i++) {
        const size_t n_left = text.size_bytes - i;
        if (memcmp(text.data + i, wanted, n_left < n_wanted ? n_left : n_wanted) == 0) {
            return i;
        }
    }
    return text.size_bytes;
}

static inline bool tw_bytes_is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* The length of a text without the white space at its end. */
static inline size_t tw_bytes_trimmed(struct tw_bytes text)
{
    while (text.size_bytes > 0 && tw_bytes_is_space(text.data[text.size_bytes - 1])) {
        text.size_bytes--;
    }
    return text.size_bytes;
}

/* The first place from `at` on where there is no white space. */
static inline size_t tw_bytes_skip_spaces(struct tw_bytes text, size_t at)
{
    while (at < text.size_bytes && tw_bytes_is_space(text.data[at])) {
        at++;
    }
    return at;
}

/* Folding a 64 x 64 -> 128 bit product spreads every input bit over the whole word. */
static inline uint64_t tw_bytes_mix(uint64_t a, uint64_t b)
{
    __extension__ typedef unsigned __int128 wide;
    wide product = (wide)(a ^ UINT64_C(0x9e3779b97f4a7c15)) * (b ^ UINT64_C(0xd6e8feb86659fd93));
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t tw_bytes_load(const char *p, size_t n_bytes)
{
    uint64_t word = 0;
    memcpy(&word, p, n_bytes);
    return word;
}

static inline uint64_t tw_bytes_hash(const char *p, size_t n_bytes)
{
    uint64_t hash = n_bytes;
    size_t left = n_bytes;
    for (; left > 8; left -= 8, p += 8) {
        hash = tw_bytes_mix(hash, tw_bytes_load(p, 8));
    }
    uint64_t tail = 0;
    if (left == 8) {
        tail = tw_bytes_load(p, 8);
    } else if (left >= 4) {
        tail = tw_bytes_load(p, 4) | tw_bytes_load(p + left - 4, 4) << 32;
    } else if (left > 0) {
        tail = (unsigned char)p[0] | (uint64_t)(unsigned char)p[left / 2] << 8 |
               (uint64_t)(unsigned char)p[left - 1] << 16;
    }
    return tw_bytes_mix(hash, tail);
}

#endif
