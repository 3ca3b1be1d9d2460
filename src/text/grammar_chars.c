/* From code points to bytes: UTF-8, and the spellings JSON has for a character.
 *
 * A range of numbers is a tree of digits: of six bits behind a leading byte in UTF-8, of four bits
 * in \uXXXX. Where all values of the remaining digits are in the range, one tail of nodes serves
 * every edge to that target. */
#include <string.h>

#include "text/grammar.h"
#include "text/utf8.h"

enum digit_kind { DIGIT_UTF8, DIGIT_HEX, DIGIT_KINDS };

/* A node to arrive at, with its tails of 1 to 3 free digits; 0: not made yet. */
struct target {
    uint32_t node;
    uint32_t tails[DIGIT_KINDS][3];
};

/* What stands before the digits. */
struct place {
    uint32_t node;
    uint32_t escape, unicode; /* behind "\" and behind "\u"; 0: not made yet */
};

struct spelling {
    struct tw_grammar *grammar;
    enum tw_spelling kind;
};

static void add_digit(struct spelling *s, uint32_t from, uint32_t to, enum digit_kind kind,
                      uint32_t lead, uint32_t low, uint32_t high)
{
    if (kind == DIGIT_UTF8) {
        tw_grammar_add_range(s->grammar, from, to, lead + low, lead + high);
        return;
    }
    if (low < 10) {
        tw_grammar_add_range(s->grammar, from, to, '0' + low, '0' + (high < 10 ? high : 9));
    }
    if (high >= 10) {
        uint32_t first = low > 10 ? low - 10 : 0;
        tw_grammar_add_range(s->grammar, from, to, 'a' + first, 'a' + high - 10);
        if (s->kind != TW_SPELLING_ONE) {
            tw_grammar_add_range(s->grammar, from, to, 'A' + first, 'A' + high - 10);
        }
    }
}

static uint32_t tail(struct spelling *s, struct target *target, enum digit_kind kind, int n_digits)
{
    if (n_digits == 0) {
        return target->node;
    }
    uint32_t *node = &target->tails[kind][n_digits - 1];
    if (*node == 0) {
        uint32_t next = tail(s, target, kind, n_digits - 1);
        *node = tw_grammar_add_node(s->grammar);
        add_digit(s, *node, next, kind, 0x80, 0, kind == DIGIT_UTF8 ? 63 : 15);
    }
    return *node;
}

/* The numbers low..high as n_digits digits; the first of them is written above `lead`. */
static void add_digits(struct spelling *s, uint32_t from, struct target *target,
                       enum digit_kind kind, uint32_t lead, int n_digits, uint32_t low,
                       uint32_t high)
{
    int shift = (kind == DIGIT_UTF8 ? 6 : 4) * (n_digits - 1);
    uint32_t mask = (1u << shift) - 1;
    uint32_t first = low >> shift, last = high >> shift;
    while (mask != 0 && first <= last && s->grammar->budget->status == TW_OK) {
        bool at_low = (low & mask) != 0 && first == low >> shift;
        bool at_high = (high & mask) != mask && last == high >> shift;
        if (!at_low && !at_high) {
            break;
        }
        uint32_t digit = at_low || first == last ? first++ : last--;
        uint32_t begin = digit == low >> shift ? low & mask : 0;
        uint32_t end = digit == high >> shift ? high & mask : mask;
        uint32_t node = tw_grammar_add_node(s->grammar);
        add_digit(s, from, node, kind, lead, digit, digit);
        add_digits(s, node, target, kind, 0x80, n_digits - 1, begin, end);
    }
    if (first <= last && s->grammar->budget->status == TW_OK) {
        add_digit(s, from, tail(s, target, kind, n_digits - 1), kind, lead, first, last);
    }
}

static uint32_t larger(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static void add_utf8(struct spelling *s, uint32_t from, struct target *target, uint32_t low,
                     uint32_t high)
{
    static const struct {
        uint32_t low, high, lead;
        int n_bytes;
    } rows[] = {
        {0, 0x7f, 0, 1},           {0x80, 0x7ff, 0xc0, 2},       {0x800, 0xd7ff, 0xe0, 3},
        {0xe000, 0xffff, 0xe0, 3}, {0x10000, 0x10ffff, 0xf0, 4},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint32_t begin = larger(low, rows[i].low), end = smaller(high, rows[i].high);
        if (begin <= end) {
            add_digits(s, from, target, DIGIT_UTF8, rows[i].lead, rows[i].n_bytes, begin, end);
        }
    }
}

/* ---- JSON ---- */

static uint32_t escape_node(struct spelling *s, struct place *place)
{
    if (place->escape == 0) {
        place->escape = tw_grammar_add_node(s->grammar);
        tw_grammar_add_byte(s->grammar, place->node, place->escape, '\\');
    }
    return place->escape;
}

static uint32_t unicode_node(struct spelling *s, struct place *place)
{
    if (place->unicode == 0) {
        uint32_t escape = escape_node(s, place);
        place->unicode = tw_grammar_add_node(s->grammar);
        tw_grammar_add_byte(s->grammar, escape, place->unicode, 'u');
    }
    return place->unicode;
}

static const char short_letters[] = "\"\\/bfnrt", short_meanings[] = "\"\\/\b\f\n\r\t";

static void add_short_escapes(struct spelling *s, struct place *place, struct target *target,
                              uint32_t low, uint32_t high)
{
    for (size_t i = 0; short_letters[i] != '\0'; i++) {
        uint32_t code = (unsigned char)short_meanings[i];
        bool is_needless = code == '/' && s->kind == TW_SPELLING_ONE;
        if (code >= low && code <= high && !is_needless) {
            tw_grammar_add_byte(s->grammar, escape_node(s, place), target->node, short_letters[i]);
        }
    }
}

static void add_surrogates(struct spelling *s, uint32_t from, struct target *target, uint32_t first,
                           uint32_t last, uint32_t low, uint32_t high)
{
    struct target middle = {.node = tw_grammar_add_node(s->grammar)};
    uint32_t escape = tw_grammar_add_node(s->grammar), unicode = tw_grammar_add_node(s->grammar);
    add_digits(s, from, &middle, DIGIT_HEX, 0, 4, 0xd800 + first, 0xd800 + last);
    tw_grammar_add_byte(s->grammar, middle.node, escape, '\\');
    tw_grammar_add_byte(s->grammar, escape, unicode, 'u');
    add_digits(s, unicode, target, DIGIT_HEX, 0, 4, 0xdc00 + low, 0xdc00 + high);
}

/* Pairs of surrogates for low..high, less 0x10000: the upper ten bits, then the lower ten. */
static void add_pairs(struct spelling *s, uint32_t from, struct target *target, uint32_t low,
                      uint32_t high)
{
    while (low <= high && s->grammar->budget->status == TW_OK) {
        uint32_t first = low >> 10, last = high >> 10;
        if ((low & 1023) != 0 || first == last) {
            uint32_t end = first == last ? high & 1023 : 1023;
            add_surrogates(s, from, target, first, first, low & 1023, end);
            low = (first + 1) << 10;
            continue;
        }
        last -= (high & 1023) != 1023;
        add_surrogates(s, from, target, first, last, 0, 1023);
        low = (last + 1) << 10;
    }
}

static void add_unicode_escapes(struct spelling *s, struct place *place, struct target *target,
                                uint32_t low, uint32_t high)
{
    static const uint32_t ranges[][2] = {{1, 0xd7ff}, {0xe000, 0xffff}};
    for (size_t i = 0; i < 2; i++) {
        uint32_t begin = larger(low, ranges[i][0]), end = smaller(high, ranges[i][1]);
        if (begin <= end) {
            add_digits(s, unicode_node(s, place), target, DIGIT_HEX, 0, 4, begin, end);
        }
    }
    if (high >= 0x10000) {
        add_pairs(s, unicode_node(s, place), target, larger(low, 0x10000) - 0x10000,
                  high - 0x10000);
    }
}

/* The parts of low..high that may be written as \uXXXX. */
static void add_long_escapes(struct spelling *s, struct place *place, struct target *target,
                             uint32_t low, uint32_t high)
{
    /* Control characters without a letter of their own. */
    static const uint32_t needed[][2] = {{1, 7}, {0xb, 0xb}, {0xe, 0x1f}};
    static const uint32_t tidy[][2] = {{1, 0x1f}, {0x7f, 0x10ffff}};
    static const uint32_t all[][2] = {{1, 0x10ffff}};
    const uint32_t(*rows)[2] = s->kind == TW_SPELLING_ONE    ? needed
                               : s->kind == TW_SPELLING_TIDY ? tidy
                                                             : all;
    size_t n_rows = s->kind == TW_SPELLING_ONE ? 3 : s->kind == TW_SPELLING_TIDY ? 2 : 1;
    for (size_t i = 0; i < n_rows; i++) {
        uint32_t begin = larger(low, rows[i][0]), end = smaller(high, rows[i][1]);
        if (begin <= end) {
            add_unicode_escapes(s, place, target, begin, end);
        }
    }
}

static void add_json_chars(struct spelling *s, struct place *place, struct target *target,
                           uint32_t low, uint32_t high)
{
    static const uint32_t raw[][2] = {{0x20, 0x21}, {0x23, 0x5b}, {0x5d, 0x10ffff}};
    for (size_t i = 0; i < sizeof raw / sizeof raw[0]; i++) {
        uint32_t begin = larger(low, raw[i][0]), end = smaller(high, raw[i][1]);
        if (begin <= end) {
            add_utf8(s, place->node, target, begin, end);
        }
    }
    add_short_escapes(s, place, target, low, high);
    add_long_escapes(s, place, target, low, high);
}

/* ---- automata ---- */

static void add_state(struct spelling *s, const struct tw_char_dfa *dfa, uint32_t i, uint32_t to,
                      struct target *targets)
{
    const struct tw_char_state *state = tw_char_dfa_state(dfa, i);
    struct place place = {.node = targets[i].node};
    for (uint32_t j = 0; j < state->n_edges; j++) {
        struct tw_char_edge edge = *tw_char_dfa_edge(dfa, state->first_edge + j);
        if (s->kind == TW_SPELLING_PLAIN) {
            add_utf8(s, place.node, &targets[edge.target], edge.low, edge.high);
        } else {
            add_json_chars(s, &place, &targets[edge.target], edge.low, edge.high);
        }
    }
    if (state->accepts) {
        tw_grammar_add_empty(s->grammar, place.node, to);
    }
}

void tw_grammar_add_chars(struct tw_grammar *grammar, uint32_t from, uint32_t to,
                          const struct tw_char_dfa *dfa, enum tw_spelling spelling)
{
    struct spelling s = {grammar, spelling};
    struct tw_list list = {0};
    uint32_t n = dfa->states.n;
    struct target *targets = tw_list_add(&list, grammar->budget, n, sizeof *targets);
    for (uint32_t i = 0; targets != NULL && i < n; i++) {
        targets[i].node = tw_grammar_add_node(grammar);
    }
    if (targets != NULL && n > 0) {
        tw_grammar_add_empty(grammar, from, targets[0].node);
    }
    for (uint32_t i = 0; i < n && grammar->budget->status == TW_OK; i++) {
        add_state(&s, dfa, i, to, targets);
    }
    tw_list_free(&list, grammar->budget, sizeof *targets);
}

void tw_grammar_add_json_text(struct tw_grammar *grammar, uint32_t from, uint32_t to,
                              struct tw_bytes text)
{
    struct spelling s = {grammar, TW_SPELLING_ONE};
    size_t at = 0;
    while (at < text.size_bytes && grammar->budget->status == TW_OK) {
        uint32_t code;
        at += tw_utf8_decode(text.data + at, text.size_bytes - at, &code);
        struct place place = {.node = from};
        struct target target = {.node = at < text.size_bytes ? tw_grammar_add_node(grammar) : to};
        add_json_chars(&s, &place, &target, code, code);
        from = target.node;
    }
    if (text.size_bytes == 0) {
        tw_grammar_add_empty(grammar, from, to);
    }
}
