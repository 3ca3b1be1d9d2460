#include "text/casing.h"

#include <utf8proc.h>

#include "text/utf8.h"

/* Characters that become more than one, or one that utf8proc does not give. */
struct row {
    uint16_t code;
    uint16_t upper[3], title[3];
};

/* clang-format off */
static const struct row rows[] = {
    {0x00df, {0x53, 0x53}, {0x53, 0x73}}, {0x0149, {0x2bc, 0x4e}, {0x2bc, 0x4e}},
    {0x01f0, {0x4a, 0x30c}, {0x4a, 0x30c}}, {0x0390, {0x399, 0x308, 0x301}, {0x399, 0x308, 0x301}},
    {0x03b0, {0x3a5, 0x308, 0x301}, {0x3a5, 0x308, 0x301}},
    {0x0587, {0x535, 0x552}, {0x535, 0x582}}, {0x1e96, {0x48, 0x331}, {0x48, 0x331}},
    {0x1e97, {0x54, 0x308}, {0x54, 0x308}}, {0x1e98, {0x57, 0x30a}, {0x57, 0x30a}},
    {0x1e99, {0x59, 0x30a}, {0x59, 0x30a}}, {0x1e9a, {0x41, 0x2be}, {0x41, 0x2be}},
    {0x1f50, {0x3a5, 0x313}, {0x3a5, 0x313}},
    {0x1f52, {0x3a5, 0x313, 0x300}, {0x3a5, 0x313, 0x300}},
    {0x1f54, {0x3a5, 0x313, 0x301}, {0x3a5, 0x313, 0x301}},
    {0x1f56, {0x3a5, 0x313, 0x342}, {0x3a5, 0x313, 0x342}},
    {0x1fb2, {0x1fba, 0x399}, {0x1fba, 0x345}}, {0x1fb3, {0x391, 0x399}, {0x1fbc}},
    {0x1fb4, {0x386, 0x399}, {0x386, 0x345}}, {0x1fb6, {0x391, 0x342}, {0x391, 0x342}},
    {0x1fb7, {0x391, 0x342, 0x399}, {0x391, 0x342, 0x345}}, {0x1fbc, {0x391, 0x399}, {0x1fbc}},
    {0x1fc2, {0x1fca, 0x399}, {0x1fca, 0x345}}, {0x1fc3, {0x397, 0x399}, {0x1fcc}},
    {0x1fc4, {0x389, 0x399}, {0x389, 0x345}}, {0x1fc6, {0x397, 0x342}, {0x397, 0x342}},
    {0x1fc7, {0x397, 0x342, 0x399}, {0x397, 0x342, 0x345}}, {0x1fcc, {0x397, 0x399}, {0x1fcc}},
    {0x1fd2, {0x399, 0x308, 0x300}, {0x399, 0x308, 0x300}},
    {0x1fd3, {0x399, 0x308, 0x301}, {0x399, 0x308, 0x301}},
    {0x1fd6, {0x399, 0x342}, {0x399, 0x342}},
    {0x1fd7, {0x399, 0x308, 0x342}, {0x399, 0x308, 0x342}},
    {0x1fe2, {0x3a5, 0x308, 0x300}, {0x3a5, 0x308, 0x300}},
    {0x1fe3, {0x3a5, 0x308, 0x301}, {0x3a5, 0x308, 0x301}},
    {0x1fe4, {0x3a1, 0x313}, {0x3a1, 0x313}}, {0x1fe6, {0x3a5, 0x342}, {0x3a5, 0x342}},
    {0x1fe7, {0x3a5, 0x308, 0x342}, {0x3a5, 0x308, 0x342}},
    {0x1ff2, {0x1ffa, 0x399}, {0x1ffa, 0x345}}, {0x1ff3, {0x3a9, 0x399}, {0x1ffc}},
    {0x1ff4, {0x38f, 0x399}, {0x38f, 0x345}}, {0x1ff6, {0x3a9, 0x342}, {0x3a9, 0x342}},
    {0x1ff7, {0x3a9, 0x342, 0x399}, {0x3a9, 0x342, 0x345}}, {0x1ffc, {0x3a9, 0x399}, {0x1ffc}},
    {0xfb00, {0x46, 0x46}, {0x46, 0x66}}, {0xfb01, {0x46, 0x49}, {0x46, 0x69}},
    {0xfb02, {0x46, 0x4c}, {0x46, 0x6c}}, {0xfb03, {0x46, 0x46, 0x49}, {0x46, 0x66, 0x69}},
    {0xfb04, {0x46, 0x46, 0x4c}, {0x46, 0x66, 0x6c}}, {0xfb05, {0x53, 0x54}, {0x53, 0x74}},
    {0xfb06, {0x53, 0x54}, {0x53, 0x74}}, {0xfb13, {0x544, 0x546}, {0x544, 0x576}},
    {0xfb14, {0x544, 0x535}, {0x544, 0x565}}, {0xfb15, {0x544, 0x53b}, {0x544, 0x56b}},
    {0xfb16, {0x54e, 0x546}, {0x54e, 0x576}}, {0xfb17, {0x544, 0x53d}, {0x544, 0x56d}},
};
/* clang-format on */

/* Letters with a case that are neither Lu, Ll nor Lt. */
static const struct {
    uint32_t first, last;
    bool is_upper;
} others[] = {
    {0xaa, 0xaa, false},       {0xba, 0xba, false},       {0x2b0, 0x2b8, false},
    {0x2c0, 0x2c1, false},     {0x2e0, 0x2e4, false},     {0x345, 0x345, false},
    {0x37a, 0x37a, false},     {0x1d2c, 0x1d6a, false},   {0x1d78, 0x1d78, false},
    {0x1d9b, 0x1dbf, false},   {0x2071, 0x2071, false},   {0x207f, 0x207f, false},
    {0x2090, 0x209c, false},   {0x2160, 0x216f, true},    {0x2170, 0x217f, false},
    {0x24b6, 0x24cf, true},    {0x24d0, 0x24e9, false},   {0x2c7c, 0x2c7d, false},
    {0xa69c, 0xa69d, false},   {0xa770, 0xa770, false},   {0xa7f8, 0xa7f9, false},
    {0xab5c, 0xab5f, false},   {0x10780, 0x10780, false}, {0x10783, 0x10785, false},
    {0x10787, 0x107b0, false}, {0x107b2, 0x107ba, false}, {0x1f130, 0x1f149, true},
    {0x1f150, 0x1f169, true},  {0x1f170, 0x1f189, true},
};

enum letter_case { NO_CASE = 0, LOWER_CASE, UPPER_CASE, TITLE_CASE };

static utf8proc_category_t category(uint32_t code)
{
    return code < TW_UTF8_INVALID ? utf8proc_category((utf8proc_int32_t)code)
                                  : UTF8PROC_CATEGORY_CN;
}

static enum letter_case case_of(uint32_t code)
{
    utf8proc_category_t c = category(code);
    if (c == UTF8PROC_CATEGORY_LU || c == UTF8PROC_CATEGORY_LL || c == UTF8PROC_CATEGORY_LT) {
        return c == UTF8PROC_CATEGORY_LU   ? UPPER_CASE
               : c == UTF8PROC_CATEGORY_LL ? LOWER_CASE
                                           : TITLE_CASE;
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        if (code >= others[i].first && code <= others[i].last) {
            return others[i].is_upper ? UPPER_CASE : LOWER_CASE;
        }
    }
    return NO_CASE;
}

bool tw_casing_is_cased(uint32_t code)
{
    return case_of(code) != NO_CASE;
}

static const struct row *find_row(uint32_t code)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].code == code) {
            return &rows[i];
        }
    }
    return NULL;
}

static size_t copy_codes(const uint16_t from[3], uint32_t ret_codes[3])
{
    size_t n = 0;
    for (; n < 3 && from[n] != 0; n++) {
        ret_codes[n] = from[n];
    }
    return n;
}

static size_t one(int32_t mapped, uint32_t code, uint32_t ret_codes[3])
{
    ret_codes[0] = code < TW_UTF8_INVALID ? (uint32_t)mapped : code;
    return 1;
}

size_t tw_casing_upper(uint32_t code, uint32_t ret_codes[3])
{
    const struct row *row = code >= 0xdf ? find_row(code) : NULL;
    if (row != NULL) {
        return copy_codes(row->upper, ret_codes);
    }
    if (code >= 0x1f80 && code <= 0x1faf) {
        /* Greek vowels with an iota below: the vowel, then a capital iota. */
        static const uint16_t blocks[] = {0x1f08, 0x1f28, 0x1f68};
        ret_codes[0] = blocks[(code - 0x1f80) / 16] + (code & 7);
        ret_codes[1] = 0x399;
        return 2;
    }
    return one(utf8proc_toupper((utf8proc_int32_t)code), code, ret_codes);
}

size_t tw_casing_title(uint32_t code, uint32_t ret_codes[3])
{
    const struct row *row = code >= 0xdf ? find_row(code) : NULL;
    return row != NULL ? copy_codes(row->title, ret_codes)
                       : one(utf8proc_totitle((utf8proc_int32_t)code), code, ret_codes);
}

/* What is looked through for the letters beside a sigma. */
static bool is_ignored(uint32_t code)
{
    static const uint16_t marks[] = {0x27,   0x2e,   0x3a,   0xb7,   0x387,  0x55f,
                                     0x5f4,  0x2018, 0x2019, 0x2024, 0x2027, 0xfe13,
                                     0xfe52, 0xfe55, 0xff07, 0xff0e, 0xff1a};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        if (marks[i] == code) {
            return true;
        }
    }
    utf8proc_category_t c = category(code);
    return c == UTF8PROC_CATEGORY_MN || c == UTF8PROC_CATEGORY_ME || c == UTF8PROC_CATEGORY_CF ||
           c == UTF8PROC_CATEGORY_LM || c == UTF8PROC_CATEGORY_SK;
}

static bool cased_before(const char *text, size_t at)
{
    while (at > 0) {
        size_t back = 1;
        while (back < 4 && back < at && ((unsigned char)text[at - back] & 0xc0) == 0x80) {
            back++;
        }
        uint32_t code;
        tw_utf8_decode(text + at - back, back, &code);
        if (!is_ignored(code)) {
            return tw_casing_is_cased(code);
        }
        at -= back;
    }
    return false;
}

static bool cased_behind(const char *text, size_t n_bytes, size_t at)
{
    while (at < n_bytes) {
        uint32_t code;
        at += tw_utf8_decode(text + at, n_bytes - at, &code);
        if (!is_ignored(code)) {
            return tw_casing_is_cased(code);
        }
    }
    return false;
}

size_t tw_casing_lower(const char *text, size_t n_bytes, size_t at, size_t n_code, uint32_t code,
                       uint32_t ret_codes[3])
{
    if (code == 0x130) { /* a capital i with a dot keeps the dot */
        ret_codes[0] = 'i';
        ret_codes[1] = 0x307;
        return 2;
    }
    if (code == 0x3a3) {
        bool is_final = cased_before(text, at) && !cased_behind(text, n_bytes, at + n_code);
        ret_codes[0] = is_final ? 0x3c2 : 0x3c3;
        return 1;
    }
    return one(utf8proc_tolower((utf8proc_int32_t)code), code, ret_codes);
}

bool tw_casing_is_all(const char *text, size_t n_bytes, bool upper)
{
    bool has_case = false;
    for (size_t at = 0; at < n_bytes;) {
        uint32_t code;
        at += tw_utf8_decode(text + at, n_bytes - at, &code);
        enum letter_case c = case_of(code);
        if (c != NO_CASE && c != (upper ? UPPER_CASE : LOWER_CASE)) {
            return false;
        }
        has_case = has_case || c != NO_CASE;
    }
    return has_case;
}
