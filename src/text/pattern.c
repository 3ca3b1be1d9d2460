#include "text/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/mem.h"
#include "text/utf8.h"

struct tw_pattern {
    pcre2_code *code;
};

#define HEAP_LIMIT_KIB 65536

/* White_Space, its complement, and UTS 18's word characters, for use between brackets. */
#define SPACES                                                                                     \
    "\\x09-\\x0d\\x20\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}"        \
    "\\x{205f}\\x{3000}"
#define NON_SPACES                                                                                 \
    "\\x00-\\x08\\x0e-\\x1f\\x21-\\x{84}\\x{86}-\\x{9f}\\x{a1}-\\x{167f}\\x{1681}-\\x{1fff}"       \
    "\\x{200b}-\\x{2027}\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}"                 \
    "\\x{3001}-\\x{10ffff}"
/* Alphabetic without what L, M and Nl already hold. Standing alone, \w takes the superscripts and
 * fractions of Latin-1 as well; between brackets it does not. */
#define WORD                                                                                       \
    "\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}\\x{24b6}-\\x{24e9}\\x{1f130}-\\x{1f149}"                    \
    "\\x{1f150}-\\x{1f169}\\x{1f170}-\\x{1f189}"
#define LONE_WORD WORD "\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}"

/* A reader of the source that writes the PCRE2 spelling. */
struct translation {
    struct tw_bytes source;
    size_t at;
    bool in_class;
    struct tw_buf out;
    struct tw_error *error;
};

static enum tw_status unsupported(struct translation *t, const char *what)
{
    return tw_error_set(t->error, TW_ERR_UNSUPPORTED, t->at,
                        "the pattern uses %s at byte %zu, which is not supported", what, t->at);
}

static char peek(const struct translation *t, size_t ahead)
{
    return ahead < t->source.size_bytes - t->at ? t->source.data[t->at + ahead] : '\0';
}

static void emit(struct translation *t, size_t n_source_bytes, const char *text)
{
    tw_buf_append_text(&t->out, text);
    t->at += n_source_bytes;
}

static void copy(struct translation *t, size_t n_bytes)
{
    tw_buf_append(&t->out, t->source.data + t->at, n_bytes);
    t->at += n_bytes;
}

static int hex_value(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* \p{...} or \x{...} as a whole: a '}' elsewhere ends a repetition. Returns its length. */
static size_t braced_bytes(const struct translation *t)
{
    size_t left = t->source.size_bytes - t->at;
    const char *begin = t->source.data + t->at;
    const char *end = peek(t, 2) == '{' ? memchr(begin, '}', left) : NULL;
    return end != NULL ? (size_t)(end - begin) + 1 : 0;
}

/* A name of more than two letters is a script to Oniguruma; PCRE2 would add what shares it. */
static enum tw_status translate_property(struct translation *t)
{
    size_t n = braced_bytes(t);
    bool is_category = n == sizeof "\\p{L}" - 1 || n == sizeof "\\p{Lu}" - 1;
    if (n == 0 || peek(t, 3) == '^') {
        return unsupported(t, "\\p without a plain name");
    }
    if (!is_category) {
        copy(t, 3);
        emit(t, 0, "sc:");
        n -= 3;
    }
    copy(t, n);
    return TW_OK;
}

/* \xHH below 0x80, \x{...} and \uHHHH. */
static enum tw_status translate_hex(struct translation *t)
{
    int digits[4];
    for (size_t i = 0; i < 4; i++) {
        digits[i] = hex_value(peek(t, 2 + i));
    }
    if (peek(t, 1) == 'u') {
        if (digits[0] < 0 || digits[1] < 0 || digits[2] < 0 || digits[3] < 0) {
            return unsupported(t, "\\u without four digits");
        }
        char spelled[16];
        snprintf(spelled, sizeof spelled, "\\x{%.4s}", t->source.data + t->at + 2);
        emit(t, 6, spelled);
        return TW_OK;
    }
    if (braced_bytes(t) != 0) {
        copy(t, braced_bytes(t));
        return TW_OK;
    }
    if (digits[0] < 0 || digits[0] > 7 || digits[1] < 0) {
        return unsupported(t, "\\x for a byte above 7f");
    }
    copy(t, 4);
    return TW_OK;
}

static const char *class_escape(char letter)
{
    switch (letter) {
    case 's':
        return SPACES;
    case 'S':
        return NON_SPACES;
    case 'd':
        return "\\p{Nd}";
    case 'D':
        return "\\P{Nd}";
    case 'w':
        return WORD;
    default:
        return NULL;
    }
}

/* A set between brackets must not become the end of a range. */
static enum tw_status translate_class_escape(struct translation *t, const char *set)
{
    const char *here = t->source.data + t->at;
    bool before = here[-1] == '-' && strchr("[^\\", here[-2]) == NULL;
    bool behind = peek(t, 2) == '-' && peek(t, 3) != ']';
    if (before || behind) {
        return unsupported(t, "a class escape next to '-'");
    }
    emit(t, 2, set);
    return TW_OK;
}

static enum tw_status translate_escape(struct translation *t)
{
    char letter = peek(t, 1);
    const char *set = class_escape(letter);
    if (letter == 'u' || letter == 'x') {
        return translate_hex(t);
    }
    if (letter == 'v') {
        emit(t, 2, "\\x0b");
        return TW_OK;
    }
    if (set != NULL && t->in_class) {
        return translate_class_escape(t, set);
    }
    if (letter == 'W' && !t->in_class) {
        emit(t, 2, "[^" LONE_WORD "]");
        return TW_OK;
    }
    if (set != NULL) {
        emit(t, 2, "[");
        emit(t, 0, letter == 'w' ? LONE_WORD : set);
        emit(t, 0, "]");
        return TW_OK;
    }
    bool is_alphanumeric = (letter >= '0' && letter <= '9') || (letter >= 'a' && letter <= 'z') ||
                           (letter >= 'A' && letter <= 'Z');
    const char *allowed = t->in_class ? "nrtfae0pP" : "nrtfae0pPAzZ123456789";
    if (letter == '\0' || (is_alphanumeric && strchr(allowed, letter) == NULL)) {
        char name[] = {'\\', letter, '\0'};
        return unsupported(t, name);
    }
    if (letter == 'p' || letter == 'P') {
        return translate_property(t);
    }
    copy(t, 2);
    return TW_OK;
}

static enum tw_status translate_class_open(struct translation *t)
{
    t->in_class = true;
    copy(t, peek(t, 1) == '^' ? 2 : 1);
    if (peek(t, 0) == ']') {
        return unsupported(t, "']' as the first of a class");
    }
    return TW_OK;
}

/* (?i) inside a branch reaches over '|' differently in the two engines; at the start it does not
 * matter. */
static enum tw_status translate_group(struct translation *t)
{
    static const char *const openings[] = {
        "(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?i:", "(?-i:"};
    size_t left = t->source.size_bytes - t->at;
    if (peek(t, 1) == '*') {
        return unsupported(t, "(*");
    }
    if (peek(t, 1) != '?') {
        copy(t, 1);
        return TW_OK;
    }
    for (size_t i = 0; i < sizeof openings / sizeof openings[0]; i++) {
        size_t n = strlen(openings[i]);
        if (n <= left && memcmp(t->source.data + t->at, openings[i], n) == 0) {
            copy(t, n);
            return TW_OK;
        }
    }
    if (t->at == 0 && left >= 4 && memcmp(t->source.data, "(?i)", 4) == 0) {
        copy(t, 4);
        return TW_OK;
    }
    return unsupported(t, "a group option or name");
}

static enum tw_status translate_in_class(struct translation *t, char c)
{
    if (c == '[' || (c == '&' && peek(t, 1) == '&')) {
        return unsupported(t, c == '[' ? "a class inside a class" : "&& in a class");
    }
    t->in_class = c != ']';
    copy(t, 1);
    return TW_OK;
}

static enum tw_status translate_one(struct translation *t)
{
    char c = peek(t, 0);
    if (c == '\\') {
        return translate_escape(t);
    }
    if (t->in_class) {
        return translate_in_class(t, c);
    }
    if (c == '[') {
        return translate_class_open(t);
    }
    if (c == '(') {
        return translate_group(t);
    }
    if ((c == '{' && peek(t, 1) == ',') || (c == '}' && peek(t, 1) == '+')) {
        return unsupported(t, c == '{' ? "{,n}" : "{n,m}+");
    }
    copy(t, 1);
    return TW_OK;
}

static enum tw_status compile(struct tw_bytes pcre, pcre2_code **ret_code, struct tw_error *error)
{
    int number = 0;
    PCRE2_SIZE position = 0;
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    if (context == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a pattern");
    }
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    /* MULTILINE: ^ and $ of Oniguruma's own syntax are those of lines. */
    uint32_t options = PCRE2_UTF | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C;
    pcre2_code *code =
        pcre2_compile((PCRE2_SPTR)pcre.data, pcre.size_bytes, options, &number, &position, context);
    pcre2_compile_context_free(context);
    if (code == NULL) {
        PCRE2_UCHAR reason[128] = "";
        pcre2_get_error_message(number, reason, sizeof reason);
        return tw_error_set(error, TW_ERR_UNSUPPORTED, position,
                            "the pattern cannot be compiled: %s", (const char *)reason);
    }
    *ret_code = code;
    return TW_OK;
}

enum tw_status tw_pattern_create(struct tw_bytes source, struct tw_pattern **ret_pattern,
                                 struct tw_error *error)
{
    if (source.size_bytes > TW_LIMIT_PATTERN_BYTES) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "a pattern of %zu bytes; at most %d are read", source.size_bytes,
                            TW_LIMIT_PATTERN_BYTES);
    }
    struct translation t = {.source = source, .error = error};
    tw_buf_init(&t.out, (size_t)TW_LIMIT_PATTERN_BYTES * 128);
    enum tw_status status = TW_OK;
    while (status == TW_OK && t.at < source.size_bytes) {
        status = translate_one(&t);
    }
    if (status == TW_OK && t.out.failed) {
        status = tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a pattern");
    }
    pcre2_code *code = NULL;
    if (status == TW_OK) {
        const char *text = t.out.data != NULL ? t.out.data : "";
        status = compile((struct tw_bytes){text, t.out.size_bytes}, &code, error);
    }
    tw_buf_free(&t.out);
    if (status != TW_OK) {
        return status;
    }
    struct tw_pattern *pattern = tw_mem_alloc(1, sizeof *pattern);
    if (pattern == NULL) {
        pcre2_code_free(code);
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a pattern");
    }
    pattern->code = code;
    *ret_pattern = pattern;
    return TW_OK;
}

void tw_pattern_free(struct tw_pattern *pattern)
{
    if (pattern != NULL) {
        pcre2_code_free(pattern->code);
        tw_mem_free(pattern);
    }
}

void tw_pattern_begin(struct tw_pattern_matcher *matcher, struct tw_bytes text)
{
    matcher->text = text;
    matcher->position = 0;
    matcher->last_end = SIZE_MAX;
    matcher->valid_begin = 0;
    matcher->valid_end = 0;
    matcher->hard_steps += (uint64_t)TW_LIMIT_PATTERN_STEPS_PER_BYTE * text.size_bytes;
}

static bool reserve_match(const struct tw_pattern *pattern, struct tw_pattern_matcher *matcher)
{
    if (matcher->match_context == NULL) {
        matcher->match_context = pcre2_match_context_create(NULL);
        if (matcher->match_context == NULL) {
            return false;
        }
        pcre2_set_heap_limit(matcher->match_context, HEAP_LIMIT_KIB);
        matcher->hard_steps += TW_LIMIT_PATTERN_STEPS;
    }
    if (matcher->match_data == NULL) {
        matcher->match_data = pcre2_match_data_create_from_pattern(pattern->code, NULL);
    }
    return matcher->match_data != NULL;
}

/* Moves to the next stretch of valid UTF-8. PCRE2 would check the whole rest of the text before
 * every match, which is quadratic; so it is checked here, once. */
static bool next_valid(struct tw_pattern_matcher *matcher)
{
    struct tw_bytes text = matcher->text;
    size_t at = matcher->valid_end;
    uint32_t code = TW_UTF8_INVALID;
    size_t n = 0;
    while (at < text.size_bytes) {
        n = tw_utf8_decode(text.data + at, text.size_bytes - at, &code);
        if (code != TW_UTF8_INVALID) {
            break;
        }
        at += n;
    }
    matcher->valid_begin = at;
    matcher->position = at;
    while (at < text.size_bytes) {
        n = tw_utf8_decode(text.data + at, text.size_bytes - at, &code);
        if (code == TW_UTF8_INVALID) {
            break;
        }
        at += n;
    }
    matcher->valid_end = at;
    return at > matcher->valid_begin;
}

static int match(const struct tw_pattern *pattern, struct tw_pattern_matcher *matcher,
                 uint32_t options, uint32_t steps)
{
    pcre2_set_match_limit(matcher->match_context, steps);
    return pcre2_match(pattern->code, (PCRE2_SPTR)matcher->text.data + matcher->valid_begin,
                       matcher->valid_end - matcher->valid_begin,
                       matcher->position - matcher->valid_begin, options | PCRE2_NO_UTF_CHECK,
                       matcher->match_data, matcher->match_context);
}

static void step(struct tw_pattern_matcher *matcher)
{
    uint32_t code;
    if (matcher->position < matcher->valid_end) {
        matcher->position += tw_utf8_decode(matcher->text.data + matcher->position,
                                            matcher->valid_end - matcher->position, &code);
    }
}

/* An attempt at one place, with more and more steps until the account is empty. */
static int match_here(const struct tw_pattern *pattern, struct tw_pattern_matcher *matcher)
{
    uint32_t steps = TW_LIMIT_PATTERN_EASY_STEPS;
    int n = match(pattern, matcher, PCRE2_ANCHORED, steps);
    while (n == PCRE2_ERROR_MATCHLIMIT && steps < TW_LIMIT_PATTERN_STEPS) {
        steps = 8 * steps < TW_LIMIT_PATTERN_STEPS ? 8 * steps : TW_LIMIT_PATTERN_STEPS;
        if (steps > matcher->hard_steps) {
            break;
        }
        matcher->hard_steps -= steps;
        n = match(pattern, matcher, PCRE2_ANCHORED, steps);
    }
    return n;
}

/* The slow way past a place where the easy steps did not suffice: one start after the other, so
 * that only the attempts that need more are charged for it. */
static int match_hard(const struct tw_pattern *pattern, struct tw_pattern_matcher *matcher)
{
    size_t begin = matcher->position;
    int n = PCRE2_ERROR_NOMATCH;
    while (n == PCRE2_ERROR_NOMATCH && matcher->position < matcher->valid_end) {
        n = match_here(pattern, matcher);
        step(matcher);
    }
    matcher->position = begin;
    return n;
}

static enum tw_status match_error(const struct tw_pattern_matcher *matcher, int number,
                                  struct tw_error *error)
{
    PCRE2_UCHAR reason[128] = "";
    pcre2_get_error_message(number, reason, sizeof reason);
    return tw_error_set(error, number == PCRE2_ERROR_NOMEMORY ? TW_ERR_MEMORY : TW_ERR_LIMIT,
                        matcher->position, "the tokenizer's pattern gave up on the text: %s",
                        (const char *)reason);
}

enum tw_status tw_pattern_next(const struct tw_pattern *pattern, struct tw_pattern_matcher *matcher,
                               size_t *ret_begin, size_t *ret_end, struct tw_error *error)
{
    if (!reserve_match(pattern, matcher)) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory to match a pattern");
    }
    while (matcher->position < matcher->valid_end || next_valid(matcher)) {
        int n = match(pattern, matcher, 0, TW_LIMIT_PATTERN_EASY_STEPS);
        if (n == PCRE2_ERROR_MATCHLIMIT) {
            n = match_hard(pattern, matcher);
        }
        if (n == PCRE2_ERROR_NOMATCH) {
            matcher->position = matcher->valid_end;
            continue;
        }
        if (n < 0) {
            return match_error(matcher, n, error);
        }
        const PCRE2_SIZE *span = pcre2_get_ovector_pointer(matcher->match_data);
        size_t begin = matcher->valid_begin + span[0];
        size_t end = matcher->valid_begin + span[1];
        matcher->position = end;
        if (begin < end || end != matcher->last_end) {
            matcher->last_end = end;
            *ret_begin = begin;
            *ret_end = end;
            return TW_OK;
        }
        step(matcher);
    }
    *ret_begin = matcher->text.size_bytes;
    *ret_end = matcher->text.size_bytes;
    return TW_OK;
}

void tw_pattern_matcher_free(struct tw_pattern_matcher *matcher)
{
    pcre2_match_data_free(matcher->match_data);
    pcre2_match_context_free(matcher->match_context);
    *matcher = (struct tw_pattern_matcher){0};
}
