#define _GNU_SOURCE /* memmem */
#include "text/normalise.h"

#include <assert.h>
#include <utf8proc.h>

#include "base/mem.h"
#include "text/utf8.h"

#define COMPOSE_OPTIONS  (UTF8PROC_STABLE | UTF8PROC_COMPOSE)
#define DECOMPOSED_CODES 4 /* the longest canonical decomposition of one code point */

/* Whether composition never reaches from before `code` into it: no combining class, and never the
 * second of a composed pair. Those seconds are marks, the Hangul vowels and finals, and the vowel
 * signs of Kirat Rai (Unicode 16). */
static bool is_boundary(uint32_t code)
{
    if (code < 0x300 || code == TW_UTF8_INVALID) {
        return true;
    }
    if ((code >= 0x1160 && code <= 0x11ff) || (code >= 0x16d63 && code <= 0x16d6a)) {
        return false;
    }
    const utf8proc_property_t *property = utf8proc_get_property((utf8proc_int32_t)code);
    return property->combining_class == 0 && property->category != UTF8PROC_CATEGORY_MN &&
           property->category != UTF8PROC_CATEGORY_MC && property->category != UTF8PROC_CATEGORY_ME;
}

/* Whether the code point, with nothing combining behind it, surely is its own form C. The ranges
 * decompose and compose back. */
static bool stands_alone(uint32_t code)
{
    if (code < 0x300 || (code >= 0x1e00 && code <= 0x1eff) || (code >= 0xac00 && code <= 0xd7a3) ||
        code == TW_UTF8_INVALID) {
        return true;
    }
    utf8proc_int32_t codes[DECOMPOSED_CODES];
    int boundary_state = 0;
    utf8proc_ssize_t n = utf8proc_decompose_char((utf8proc_int32_t)code, codes, DECOMPOSED_CODES,
                                                 COMPOSE_OPTIONS, &boundary_state);
    return n == 1 && codes[0] == (utf8proc_int32_t)code;
}

/* The end of the segment at position: one character and all that may combine with it. */
static size_t segment_end(struct tw_bytes text, size_t position, uint32_t *ret_first)
{
    size_t end =
        position + tw_utf8_decode(text.data + position, text.size_bytes - position, ret_first);
    if (*ret_first == TW_UTF8_INVALID) {
        return end;
    }
    while (end < text.size_bytes && (unsigned char)text.data[end] >= 0x80) {
        uint32_t code;
        size_t n = tw_utf8_decode(text.data + end, text.size_bytes - end, &code);
        if (is_boundary(code)) {
            break;
        }
        end += n;
    }
    return end;
}

static unsigned combining_class(int32_t code)
{
    return (unsigned)utf8proc_get_property(code)->combining_class;
}

static void insertion_sort(int32_t *codes, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        int32_t code = codes[i];
        unsigned rank = combining_class(code);
        size_t at = i;
        for (; at > 0 && combining_class(codes[at - 1]) > rank; at--) {
            codes[at] = codes[at - 1];
        }
        codes[at] = code;
    }
}

/* Stable by combining class. utf8proc's own ordering is quadratic in the length of a run of marks,
 * and a prompt may consist of nothing else. */
static void counting_sort(int32_t *codes, int32_t *spare, size_t n)
{
    size_t begin[257] = {0};
    for (size_t i = 0; i < n; i++) {
        begin[combining_class(codes[i]) + 1]++;
    }
    for (size_t i = 1; i < 257; i++) {
        begin[i] += begin[i - 1];
    }
    for (size_t i = 0; i < n; i++) {
        spare[begin[combining_class(codes[i])]++] = codes[i];
    }
    memcpy(codes, spare, n * sizeof *codes);
}

static void order_marks(int32_t *codes, int32_t *spare, size_t n)
{
    size_t i = 0;
    while (i < n) {
        size_t begin = i;
        while (i < n && combining_class(codes[i]) != 0) {
            i++;
        }
        size_t run = i - begin;
        if (run > 32) {
            counting_sort(codes + begin, spare, run);
        } else if (run > 1) {
            insertion_sort(codes + begin, run);
        }
        i += run == 0;
    }
}

static bool reserve_codes(struct tw_normalise_scratch *scratch, size_t n_codes)
{
    if (n_codes <= scratch->capacity_codes) {
        return true;
    }
    size_t capacity = n_codes + n_codes / 2 + 64;
    int32_t *codes = tw_mem_realloc(scratch->codes, capacity, 2 * sizeof *codes);
    if (codes == NULL) {
        return false;
    }
    scratch->codes = codes;
    scratch->capacity_codes = capacity;
    return true;
}

/* Form C of a segment of valid UTF-8, as code points at scratch->codes. */
static bool compose_segment(struct tw_normalise_scratch *scratch, struct tw_bytes segment,
                            size_t *ret_n)
{
    if (!reserve_codes(scratch, segment.size_bytes * DECOMPOSED_CODES)) {
        return false;
    }
    int32_t *codes = scratch->codes;
    size_t n = 0;
    int boundary_state = 0;
    for (size_t at = 0; at < segment.size_bytes;) {
        uint32_t code;
        at += tw_utf8_decode(segment.data + at, segment.size_bytes - at, &code);
        utf8proc_ssize_t more = utf8proc_decompose_char(
            (utf8proc_int32_t)code, codes + n, DECOMPOSED_CODES, COMPOSE_OPTIONS, &boundary_state);
        assert(more > 0 && more <= DECOMPOSED_CODES);
        n += (size_t)more;
    }
    order_marks(codes, codes + scratch->capacity_codes, n);
    utf8proc_ssize_t composed =
        utf8proc_normalize_utf32(codes, (utf8proc_ssize_t)n, COMPOSE_OPTIONS);
    assert(composed > 0);
    *ret_n = (size_t)composed;
    return true;
}

static bool segment_is(struct tw_bytes segment, const int32_t *codes, size_t n)
{
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t code;
        if (at == segment.size_bytes) {
            return false;
        }
        at += tw_utf8_decode(segment.data + at, segment.size_bytes - at, &code);
        if (code != (uint32_t)codes[i]) {
            return false;
        }
    }
    return at == segment.size_bytes;
}

static void append_codes(struct tw_buf *out, const int32_t *codes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char bytes[4];
        tw_buf_append(out, bytes, tw_utf8_encode((uint32_t)codes[i], bytes));
    }
}

/* Past the ASCII characters that have ASCII (or the end) behind them: nothing can combine there. */
static size_t skip_ascii(struct tw_bytes text, size_t position)
{
    const char *p = text.data;
    size_t at = position;
    while (at + 8 <= text.size_bytes &&
           (tw_bytes_load(p + at, 8) & UINT64_C(0x8080808080808080)) == 0) {
        at += 8;
    }
    while (at < text.size_bytes && (unsigned char)p[at] < 0x80) {
        at++;
    }
    return at > position && at < text.size_bytes ? at - 1 : at;
}

static bool apply_nfc(struct tw_normalise_scratch *scratch, struct tw_bytes text,
                      struct tw_buf *out)
{
    size_t copied = 0;
    for (size_t at = skip_ascii(text, 0); at < text.size_bytes; at = skip_ascii(text, at)) {
        uint32_t first;
        size_t end = segment_end(text, at, &first);
        struct tw_bytes segment = {text.data + at, end - at};
        char alone[4];
        bool is_single = first == TW_UTF8_INVALID || tw_utf8_encode(first, alone) == end - at;
        if (!is_single || !stands_alone(first)) {
            size_t n = 0;
            if (!compose_segment(scratch, segment, &n)) {
                return false;
            }
            if (!segment_is(segment, scratch->codes, n)) {
                tw_buf_append(out, text.data + copied, at - copied);
                append_codes(out, scratch->codes, n);
                copied = end;
            }
        }
        at = end;
    }
    if (copied != 0) {
        tw_buf_append(out, text.data + copied, text.size_bytes - copied);
    }
    return true;
}

static const char *find(struct tw_bytes text, size_t from, struct tw_bytes what)
{
    return memmem(text.data + from, text.size_bytes - from, what.data, what.size_bytes);
}

static void apply_replace(const struct tw_normalise_step *step, struct tw_bytes text,
                          struct tw_buf *out)
{
    size_t copied = 0;
    const char *hit;
    while ((hit = find(text, copied, step->from)) != NULL) {
        size_t at = (size_t)(hit - text.data);
        tw_buf_append(out, text.data + copied, at - copied);
        tw_buf_append(out, step->to.data, step->to.size_bytes);
        copied = at + step->from.size_bytes;
    }
    tw_buf_append(out, text.data + copied, text.size_bytes - copied);
}

static void apply_trim(struct tw_bytes text, struct tw_buf *out)
{
    size_t at = 0;
    while (at < text.size_bytes) {
        size_t begin = at;
        while (at < text.size_bytes && text.data[at] == ' ') {
            at++;
        }
        if (at > begin && out->size_bytes != 0 && at < text.size_bytes) {
            tw_buf_append(out, " ", 1);
        }
        begin = at;
        while (at < text.size_bytes && text.data[at] != ' ') {
            at++;
        }
        tw_buf_append(out, text.data + begin, at - begin);
    }
}

/* *ret_changed: the result is in out; otherwise text stands as it is. */
static bool apply(const struct tw_normalise_step *step, struct tw_normalise_scratch *scratch,
                  struct tw_bytes text, struct tw_buf *out, bool *ret_changed)
{
    bool ok = true;
    *ret_changed = true;
    switch (step->kind) {
    case TW_NORMALISE_NFC:
        ok = apply_nfc(scratch, text, out);
        *ret_changed = out->size_bytes != 0;
        break;
    case TW_NORMALISE_PREPEND:
        tw_buf_append(out, step->to.data, step->to.size_bytes);
        tw_buf_append(out, text.data, text.size_bytes);
        break;
    case TW_NORMALISE_REPLACE:
        *ret_changed = find(text, 0, step->from) != NULL;
        if (*ret_changed) {
            apply_replace(step, text, out);
        }
        break;
    case TW_NORMALISE_TRIM_SPACES:
        apply_trim(text, out);
        break;
    case TW_NORMALISE_KIND_COUNT:
        assert(false);
    }
    return ok;
}

/* A few steps that replace one byte by many would multiply with one another. */
static size_t bound_for(size_t text_bytes)
{
    size_t room = TW_LIMIT_NORMALISED_BYTES - TW_LIMIT_NORMALISED_EXTRA_BYTES;
    return text_bytes < room / TW_LIMIT_NORMALISED_GROWTH
               ? text_bytes * TW_LIMIT_NORMALISED_GROWTH + TW_LIMIT_NORMALISED_EXTRA_BYTES
               : TW_LIMIT_NORMALISED_BYTES;
}

enum tw_status tw_normalise(const struct tw_normalise_step *steps, size_t n_steps,
                            struct tw_normalise_scratch *scratch, struct tw_bytes text,
                            struct tw_bytes *ret_text, struct tw_error *error)
{
    int next = 0;
    size_t bound_bytes = bound_for(text.size_bytes);
    for (size_t i = 0; i < n_steps && text.size_bytes != 0; i++) {
        struct tw_buf *out = &scratch->out[next];
        tw_buf_clear(out);
        out->bound_bytes = bound_bytes;
        bool changed;
        if (!apply(&steps[i], scratch, text, out, &changed)) {
            return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION,
                                "no memory to normalise %zu bytes of text", text.size_bytes);
        }
        if (out->failed) {
            return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                                "the normalised text would pass %zu bytes, or memory ran out",
                                out->bound_bytes);
        }
        if (changed) {
            text = (struct tw_bytes){out->data, out->size_bytes};
            next = 1 - next;
        }
    }
    *ret_text = text;
    return TW_OK;
}

void tw_normalise_scratch_free(struct tw_normalise_scratch *scratch)
{
    tw_buf_free(&scratch->out[0]);
    tw_buf_free(&scratch->out[1]);
    tw_mem_free(scratch->codes);
    *scratch = (struct tw_normalise_scratch){0};
}
