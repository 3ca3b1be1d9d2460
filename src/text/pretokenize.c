#define _GNU_SOURCE /* memmem */
#include "text/pretokenize.h"

#include <assert.h>

#include "text/utf8.h"

static const struct {
    const char *expression;
    enum tw_pretokenize_kind kind;
} known_expressions[] = {
    {"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
     TW_PRETOKENIZE_GPT2},
    {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|"
     " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
     TW_PRETOKENIZE_LLAMA3},
    {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|"
     " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
     TW_PRETOKENIZE_QWEN2},
};

bool tw_pretokenize_known(struct tw_bytes expression, enum tw_pretokenize_kind *ret_kind)
{
    for (size_t i = 0; i < sizeof known_expressions / sizeof known_expressions[0]; i++) {
        if (tw_bytes_equal(expression, tw_bytes_of(known_expressions[i].expression))) {
            *ret_kind = known_expressions[i].kind;
            return true;
        }
    }
    return false;
}

const char *tw_pretokenize_expression(enum tw_pretokenize_kind kind)
{
    assert(kind <= TW_PRETOKENIZE_QWEN2);
    return known_expressions[kind].expression;
}

#define L TW_CHAR_LETTER
#define N TW_CHAR_NUMBER
#define S TW_CHAR_SPACE
static const uint8_t ascii_classes[128] = {
    ['\t'] = S, ['\n'] = S, ['\v'] = S, ['\f'] = S, ['\r'] = S, [' '] = S, ['0'] = N, ['1'] = N,
    ['2'] = N,  ['3'] = N,  ['4'] = N,  ['5'] = N,  ['6'] = N,  ['7'] = N, ['8'] = N, ['9'] = N,
    ['A'] = L,  ['B'] = L,  ['C'] = L,  ['D'] = L,  ['E'] = L,  ['F'] = L, ['G'] = L, ['H'] = L,
    ['I'] = L,  ['J'] = L,  ['K'] = L,  ['L'] = L,  ['M'] = L,  ['N'] = L, ['O'] = L, ['P'] = L,
    ['Q'] = L,  ['R'] = L,  ['S'] = L,  ['T'] = L,  ['U'] = L,  ['V'] = L, ['W'] = L, ['X'] = L,
    ['Y'] = L,  ['Z'] = L,  ['a'] = L,  ['b'] = L,  ['c'] = L,  ['d'] = L, ['e'] = L, ['f'] = L,
    ['g'] = L,  ['h'] = L,  ['i'] = L,  ['j'] = L,  ['k'] = L,  ['l'] = L, ['m'] = L, ['n'] = L,
    ['o'] = L,  ['p'] = L,  ['q'] = L,  ['r'] = L,  ['s'] = L,  ['t'] = L, ['u'] = L, ['v'] = L,
    ['w'] = L,  ['x'] = L,  ['y'] = L,  ['z'] = L,
};
#undef L
#undef N
#undef S

static enum tw_char_class class_at(struct tw_bytes text, size_t at, size_t *ret_n_bytes)
{
    unsigned char c = (unsigned char)text.data[at];
    if (c < 0x80) {
        *ret_n_bytes = 1;
        return (enum tw_char_class)ascii_classes[c];
    }
    uint32_t code;
    *ret_n_bytes = tw_utf8_decode(text.data + at, text.size_bytes - at, &code);
    return tw_utf8_class(code);
}

static size_t run_end(struct tw_bytes text, size_t at, enum tw_char_class class)
{
    size_t n = 0;
    while (at < text.size_bytes && class_at(text, at, &n) == class) {
        at += n;
    }
    return at;
}

static bool is_newline(char c)
{
    return c == '\r' || c == '\n';
}

static char byte_at(struct tw_bytes text, size_t at)
{
    return at < text.size_bytes ? text.data[at] : '\0';
}

/* Bytes of 's 't 're 've 'm 'll 'd at position, 0 for none. Ignoring case, U+017F is an s too. */
static size_t contraction(struct tw_bytes text, size_t at, bool ignore_case)
{
    if (byte_at(text, at) != '\'') {
        return 0;
    }
    char a = byte_at(text, at + 1);
    char b = byte_at(text, at + 2);
    if (ignore_case) {
        if (a == '\xc5' && b == '\xbf') {
            return 3;
        }
        a = a >= 'A' && a <= 'Z' ? (char)(a | 0x20) : a;
        b = b >= 'A' && b <= 'Z' ? (char)(b | 0x20) : b;
    }
    if (a == 's' || a == 't' || a == 'm' || a == 'd') {
        return 2;
    }
    bool is_long = ((a == 'r' || a == 'v') && b == 'e') || (a == 'l' && b == 'l');
    return is_long ? 3 : 0;
}

/* A run of spaces that begins at `from`: its end, where its last character begins, and the end of
 * its last CR or LF (0 for none). */
static size_t space_run(struct tw_bytes text, size_t from, size_t *ret_last, size_t *ret_newline)
{
    size_t at = from;
    size_t n = 0;
    *ret_newline = 0;
    *ret_last = from;
    while (at < text.size_bytes && class_at(text, at, &n) == TW_CHAR_SPACE) {
        *ret_last = at;
        if (is_newline(text.data[at])) {
            *ret_newline = at + 1;
        }
        at += n;
    }
    return at;
}

/* \s+(?!\S)|\s+ : the last space goes with the word behind, unless it is the only one. */
static size_t space_word(struct tw_bytes text, size_t from, size_t last, size_t end)
{
    return end == text.size_bytes || last == from ? end : last;
}

/* 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ */
static size_t next_gpt2(struct tw_bytes text, size_t from)
{
    size_t n = contraction(text, from, false);
    if (n != 0) {
        return from + n;
    }
    size_t begin = text.data[from] == ' ' && from + 1 < text.size_bytes ? from + 1 : from;
    enum tw_char_class class = class_at(text, begin, &n);
    if (class != TW_CHAR_SPACE) {
        return run_end(text, begin + n, class);
    }
    size_t last, newline;
    size_t end = space_run(text, from, &last, &newline);
    return space_word(text, from, last, end);
}

static size_t number_end(struct tw_bytes text, size_t at, int max_numbers)
{
    size_t n = 0;
    for (int i = 0; i < max_numbers && at < text.size_bytes; i++) {
        if (class_at(text, at, &n) != TW_CHAR_NUMBER) {
            break;
        }
        at += n;
    }
    return at;
}

/* [^\s\p{L}\p{N}]+[\r\n]* */
static size_t symbol_end(struct tw_bytes text, size_t at)
{
    at = run_end(text, at, TW_CHAR_OTHER);
    while (at < text.size_bytes && is_newline(text.data[at])) {
        at++;
    }
    return at;
}

/* (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,max_numbers}|
 *  ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+ */
static size_t next_llama3(struct tw_bytes text, size_t from, int max_numbers)
{
    size_t n = contraction(text, from, true);
    if (n != 0) {
        return from + n;
    }
    enum tw_char_class class = class_at(text, from, &n);
    if (class == TW_CHAR_LETTER) {
        return run_end(text, from + n, TW_CHAR_LETTER);
    }
    if (class == TW_CHAR_NUMBER) {
        return number_end(text, from, max_numbers);
    }
    size_t next = from + n;
    enum tw_char_class behind = TW_CHAR_SPACE;
    if (next < text.size_bytes) {
        behind = class_at(text, next, &n);
    }
    if (behind == TW_CHAR_LETTER && !is_newline(text.data[from])) {
        return run_end(text, next + n, TW_CHAR_LETTER);
    }
    if (class == TW_CHAR_OTHER || (text.data[from] == ' ' && behind == TW_CHAR_OTHER)) {
        return symbol_end(text, next);
    }
    size_t last, newline;
    size_t end = space_run(text, from, &last, &newline);
    return newline != 0 ? newline : space_word(text, from, last, end);
}

size_t tw_pretokenize_next(enum tw_pretokenize_kind kind, struct tw_bytes text, size_t from)
{
    assert(from < text.size_bytes);
    return kind == TW_PRETOKENIZE_GPT2
               ? next_gpt2(text, from)
               : next_llama3(text, from, kind == TW_PRETOKENIZE_LLAMA3 ? 3 : 1);
}

/* One run over the steps. */
struct run {
    const struct tw_pretokenize_step *steps;
    size_t n_steps;
    struct tw_pretokenize_scratch *scratch;
    tw_pretokenize_fn fn;
    void *context;
    struct tw_error *error;
};

/* One piece on its way through one step. */
struct piece {
    struct tw_bytes text;
    size_t step;
    bool is_first;
    size_t begin, end; /* the cut that waits to see whether its neighbour joins it */
    bool is_match;     /* of that cut */
    bool waits;
};

static enum tw_status run_step(struct run *run, size_t step, struct tw_bytes text, bool is_first);

static enum tw_status pass_on(struct run *run, const struct piece *piece, size_t begin, size_t end)
{
    struct tw_bytes text = {piece->text.data + begin, end - begin};
    return begin == end ? TW_OK
                        : run_step(run, piece->step + 1, text, piece->is_first && begin == 0);
}

/* What a stretch does to the cut that waits before it: joins it, or pushes it out. */
static bool joins(enum tw_pretokenize_behaviour behaviour, const struct piece *piece, bool is_match)
{
    switch (behaviour) {
    case TW_PRETOKENIZE_MERGED_WITH_PREVIOUS:
        return is_match && !piece->is_match;
    case TW_PRETOKENIZE_MERGED_WITH_NEXT:
        return !is_match && piece->is_match;
    case TW_PRETOKENIZE_CONTIGUOUS:
        return is_match == piece->is_match;
    case TW_PRETOKENIZE_ISOLATED:
    case TW_PRETOKENIZE_REMOVED:
        break;
    }
    return false;
}

static enum tw_status flush(struct run *run, struct piece *piece)
{
    bool waits = piece->waits;
    piece->waits = false;
    return waits ? pass_on(run, piece, piece->begin, piece->end) : TW_OK;
}

/* The next stretch of a piece, a match or what lies between two. */
static enum tw_status stretch(struct run *run, struct piece *piece, size_t begin, size_t end,
                              bool is_match)
{
    const struct tw_pretokenize_step *step = &run->steps[piece->step];
    is_match = is_match != step->invert;
    if (piece->waits && joins(step->behaviour, piece, is_match)) {
        piece->end = end;
        piece->is_match = is_match;
        return TW_OK;
    }
    enum tw_status status = flush(run, piece);
    if (status == TW_OK && !(step->behaviour == TW_PRETOKENIZE_REMOVED && is_match)) {
        piece->begin = begin;
        piece->end = end;
        piece->is_match = is_match;
        piece->waits = true;
    }
    return status;
}

static enum tw_status find_string(struct piece *piece, struct tw_bytes string, size_t from,
                                  size_t *ret_begin, size_t *ret_end)
{
    const char *hit = memmem(piece->text.data + from, piece->text.size_bytes - from, string.data,
                             string.size_bytes);
    *ret_begin = hit != NULL ? (size_t)(hit - piece->text.data) : piece->text.size_bytes;
    *ret_end = hit != NULL ? *ret_begin + string.size_bytes : piece->text.size_bytes;
    return TW_OK;
}

/* Cuts at the matches of a pattern or a string. */
static enum tw_status cut_at_matches(struct run *run, struct piece *piece)
{
    const struct tw_pretokenize_step *step = &run->steps[piece->step];
    struct tw_pattern_matcher *matcher = &run->scratch->matchers[piece->step];
    bool is_pattern = step->kind == TW_PRETOKENIZE_PATTERN;
    if (is_pattern) {
        tw_pattern_begin(matcher, piece->text);
    }
    size_t at = 0;
    enum tw_status status = TW_OK;
    while (status == TW_OK && at < piece->text.size_bytes) {
        size_t begin, end;
        status = is_pattern ? tw_pattern_next(step->pattern, matcher, &begin, &end, run->error)
                            : find_string(piece, step->text, at, &begin, &end);
        if (status == TW_OK && begin > at) {
            status = stretch(run, piece, at, begin, false);
        }
        if (status == TW_OK && begin < piece->text.size_bytes) {
            status = stretch(run, piece, begin, end, true);
        }
        at = status == TW_OK ? end : at;
    }
    return status == TW_OK ? flush(run, piece) : status;
}

static enum tw_status cut_at_digits(struct run *run, struct piece *piece, bool each)
{
    struct tw_bytes text = piece->text;
    size_t begin = 0;
    bool was_digit = false;
    enum tw_status status = TW_OK;
    for (size_t at = 0; status == TW_OK && at < text.size_bytes;) {
        size_t n;
        bool is_digit = class_at(text, at, &n) == TW_CHAR_NUMBER;
        if (at > begin && (is_digit != was_digit || (each && is_digit))) {
            status = pass_on(run, piece, begin, at);
            begin = at;
        }
        was_digit = is_digit;
        at += n;
    }
    return status == TW_OK ? pass_on(run, piece, begin, text.size_bytes) : status;
}

static enum tw_status cut_known(struct run *run, struct piece *piece, enum tw_pretokenize_kind kind)
{
    enum tw_status status = TW_OK;
    for (size_t at = 0; status == TW_OK && at < piece->text.size_bytes;) {
        size_t end = tw_pretokenize_next(kind, piece->text, at);
        status = pass_on(run, piece, at, end);
        at = end;
    }
    return status;
}

static enum tw_status changed_text(struct run *run, struct piece *piece)
{
    const struct tw_buf *changed = &run->scratch->changed[piece->step];
    if (changed->failed) {
        return tw_error_set(run->error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "the pre-tokenised text would pass %zu bytes, or memory ran out",
                            changed->bound_bytes);
    }
    piece->text = (struct tw_bytes){changed->data, changed->size_bytes};
    return TW_OK;
}

static struct tw_buf *begin_change(struct run *run, const struct piece *piece)
{
    struct tw_buf *changed = &run->scratch->changed[piece->step];
    tw_buf_clear(changed);
    changed->bound_bytes = TW_LIMIT_NORMALISED_BYTES;
    return changed;
}

static enum tw_status prefix_space(struct run *run, struct piece *piece)
{
    if (piece->text.data[0] != ' ') {
        struct tw_buf *changed = begin_change(run, piece);
        tw_buf_append(changed, " ", 1);
        tw_buf_append(changed, piece->text.data, piece->text.size_bytes);
        enum tw_status status = changed_text(run, piece);
        if (status != TW_OK) {
            return status;
        }
    }
    return pass_on(run, piece, 0, piece->text.size_bytes);
}

static bool begins_with(struct tw_bytes text, struct tw_bytes what)
{
    return text.size_bytes >= what.size_bytes && memcmp(text.data, what.data, what.size_bytes) == 0;
}

static void replace_spaces(struct tw_bytes text, struct tw_bytes mark, struct tw_buf *out)
{
    size_t at = 0;
    while (at < text.size_bytes) {
        const char *hit = memchr(text.data + at, ' ', text.size_bytes - at);
        size_t end = hit != NULL ? (size_t)(hit - text.data) : text.size_bytes;
        tw_buf_append(out, text.data + at, end - at);
        if (hit != NULL) {
            tw_buf_append(out, mark.data, mark.size_bytes);
        }
        at = end + 1;
    }
}

static enum tw_status metaspace(struct run *run, struct piece *piece)
{
    const struct tw_pretokenize_step *step = &run->steps[piece->step];
    bool wanted = step->prepend == TW_PRETOKENIZE_PREPEND_ALWAYS ||
                  (step->prepend == TW_PRETOKENIZE_PREPEND_FIRST && piece->is_first);
    bool has_mark = piece->text.data[0] == ' ' || begins_with(piece->text, step->text);
    struct tw_buf *changed = begin_change(run, piece);
    if (wanted && !has_mark) {
        tw_buf_append(changed, step->text.data, step->text.size_bytes);
    }
    replace_spaces(piece->text, step->text, changed);
    enum tw_status status = changed_text(run, piece);
    if (status != TW_OK) {
        return status;
    }
    return step->keep_whole ? pass_on(run, piece, 0, piece->text.size_bytes)
                            : cut_at_matches(run, piece);
}

static enum tw_status run_step(struct run *run, size_t step, struct tw_bytes text, bool is_first)
{
    if (step == run->n_steps) {
        return run->fn(run->context, text, run->error);
    }
    struct piece piece = {.text = text, .step = step, .is_first = is_first};
    enum tw_pretokenize_kind kind = run->steps[step].kind;
    switch (kind) {
    case TW_PRETOKENIZE_GPT2:
    case TW_PRETOKENIZE_LLAMA3:
    case TW_PRETOKENIZE_QWEN2:
        return cut_known(run, &piece, kind);
    case TW_PRETOKENIZE_PATTERN:
    case TW_PRETOKENIZE_STRING:
        return cut_at_matches(run, &piece);
    case TW_PRETOKENIZE_DIGITS:
    case TW_PRETOKENIZE_EACH_DIGIT:
        return cut_at_digits(run, &piece, kind == TW_PRETOKENIZE_EACH_DIGIT);
    case TW_PRETOKENIZE_SPACE_PREFIX:
        return prefix_space(run, &piece);
    case TW_PRETOKENIZE_METASPACE:
        return metaspace(run, &piece);
    case TW_PRETOKENIZE_KIND_COUNT:
        break;
    }
    assert(false);
    return TW_ERR_UNSUPPORTED;
}

enum tw_status tw_pretokenize(const struct tw_pretokenize_step *steps, size_t n_steps,
                              struct tw_pretokenize_scratch *scratch, struct tw_bytes text,
                              bool is_first, tw_pretokenize_fn fn, void *context,
                              struct tw_error *error)
{
    assert(n_steps <= TW_LIMIT_TOKENIZER_STEPS);
    struct run run = {steps, n_steps, scratch, fn, context, error};
    return text.size_bytes != 0 ? run_step(&run, 0, text, is_first) : TW_OK;
}

void tw_pretokenize_scratch_free(struct tw_pretokenize_scratch *scratch)
{
    for (size_t i = 0; i < TW_LIMIT_TOKENIZER_STEPS; i++) {
        tw_pattern_matcher_free(&scratch->matchers[i]);
        tw_buf_free(&scratch->changed[i]);
    }
}
