/* From characters to bytes: UTF-8, and the spelling that JSON has for a character.
 *
 * The states are the derivatives of the expression. A range of code points is a tree of digits of
 * six bits behind a leading byte. Where all values of the remaining digits are in the range, one
 * tail of nodes serves every edge to that target. */
#include "text/grammar.h"
#include "text/utf8.h"

/* A node to arrive at, with its tails of 1 to 3 free digits; 0: not made yet. */
struct target {
    uint32_t node;
    uint32_t tails[3];
};

/* Nodes behind "\", "\u00" and "\u001"; 0: not made yet. */
struct escapes {
    uint32_t backslash, unicode[2];
};

static uint32_t tail(struct tw_grammar *g, struct target *target, int n_digits)
{
    if (n_digits == 0) {
        return target->node;
    }
    uint32_t *node = &target->tails[n_digits - 1];
    if (*node == 0) {
        uint32_t next = tail(g, target, n_digits - 1);
        *node = tw_grammar_add_node(g);
        tw_grammar_add_range(g, *node, next, 0x80, 0xbf);
    }
    return *node;
}

/* The numbers low..high as n_digits digits; the first of them is written above `lead`. */
static void add_digits(struct tw_grammar *g, uint32_t from, struct target *target, uint32_t lead,
                       int n_digits, uint32_t low, uint32_t high)
{
    int shift = 6 * (n_digits - 1);
    uint32_t mask = (1u << shift) - 1;
    uint32_t first = low >> shift, last = high >> shift;
    while (mask != 0 && first <= last && g->budget->status == TW_OK) {
        bool at_low = (low & mask) != 0 && first == low >> shift;
        bool at_high = (high & mask) != mask && last == high >> shift;
        if (!at_low && !at_high) {
            break;
        }
        uint32_t digit = at_low || first == last ? first++ : last--;
        uint32_t begin = digit == low >> shift ? low & mask : 0;
        uint32_t end = digit == high >> shift ? high & mask : mask;
        uint32_t node = tw_grammar_add_node(g);
        tw_grammar_add_range(g, from, node, lead + digit, lead + digit);
        add_digits(g, node, target, 0x80, n_digits - 1, begin, end);
    }
    if (first <= last && g->budget->status == TW_OK) {
        tw_grammar_add_range(g, from, tail(g, target, n_digits - 1), lead + first, lead + last);
    }
}

static void add_utf8(struct tw_grammar *g, uint32_t from, struct target *target, uint32_t low,
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
        uint32_t begin = low > rows[i].low ? low : rows[i].low;
        uint32_t end = high < rows[i].high ? high : rows[i].high;
        if (begin <= end) {
            add_digits(g, from, target, rows[i].lead, rows[i].n_bytes, begin, end);
        }
    }
}

/* ---- JSON ---- */

/* The letter behind the backslash, 'u' where there are digits; 0: none is needed. */
static char escape_of(uint32_t code)
{
    static const char letters[] = "btn\0fr"; /* from U+0008 on */
    bool has_letter = code >= 8 && code < 8 + sizeof letters - 1 && letters[code - 8] != '\0';
    return code == '"' || code == '\\' ? (char)code
           : code >= 0x20              ? '\0'
           : has_letter                ? letters[code - 8]
                                       : 'u';
}

static uint32_t node_behind(struct tw_grammar *g, uint32_t from, uint32_t *node, const char *text)
{
    if (*node == 0) {
        *node = tw_grammar_add_node(g);
        tw_grammar_add_text(g, from, *node, tw_bytes_of(text));
    }
    return *node;
}

static void add_escape(struct tw_grammar *g, uint32_t from, struct escapes *escapes, uint32_t to,
                       uint32_t code, char letter)
{
    uint32_t node = node_behind(g, from, &escapes->backslash, "\\");
    if (letter == 'u') {
        node = node_behind(g, node, &escapes->unicode[code >> 4], code < 16 ? "u000" : "u001");
        letter = "0123456789abcdef"[code & 15];
    }
    tw_grammar_add_byte(g, node, to, letter);
}

static void add_json(struct tw_grammar *g, uint32_t from, struct escapes *escapes,
                     struct target *target, uint32_t low, uint32_t high)
{
    static const uint32_t plain[][2] = {{0x20, 0x21}, {0x23, 0x5b}, {0x5d, TW_EXPR_LAST_CODE}};
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++) {
        uint32_t begin = low > plain[i][0] ? low : plain[i][0];
        uint32_t end = high < plain[i][1] ? high : plain[i][1];
        if (begin <= end) {
            add_utf8(g, from, target, begin, end);
        }
    }
    for (uint32_t code = low > 1 ? low : 1; code <= high && code <= '\\'; code++) {
        char letter = escape_of(code);
        if (letter != '\0') {
            add_escape(g, from, escapes, target->node, code, letter);
        }
    }
}

/* ---- expressions ---- */

struct speller {
    struct tw_grammar *grammar;
    enum tw_spelling spelling;
    struct tw_tuples states; /* {expression, is_start} */
    struct tw_list targets;  /* struct target, by state */
};

static uint32_t state_of(struct speller *s, tw_expr expr, bool is_start)
{
    uint32_t state =
        tw_tuples_intern(&s->states, s->grammar->budget, (uint32_t[]){expr, is_start}, 2);
    if (state == s->targets.n) {
        struct target *target = tw_list_add(&s->targets, s->grammar->budget, 1, sizeof *target);
        if (target != NULL) {
            target->node = tw_grammar_add_node(s->grammar);
        }
    }
    return state;
}

static void add_edge(struct speller *s, uint32_t from, struct escapes *escapes, uint32_t state,
                     uint32_t low, uint32_t high)
{
    struct target *targets = s->targets.items;
    if (state >= s->targets.n) {
        return;
    }
    if (s->spelling == TW_SPELLING_PLAIN) {
        add_utf8(s->grammar, targets[from].node, &targets[state], low, high);
    } else {
        add_json(s->grammar, targets[from].node, escapes, &targets[state], low, high);
    }
}

/* Neighbouring pieces that lead to the same state are one range. */
static void add_state(struct speller *s, uint32_t state, tw_expr expr, bool is_start)
{
    struct tw_exprs *exprs = &s->grammar->exprs;
    struct escapes escapes = {0};
    const struct tw_span *unused;
    uint32_t last = TW_TUPLE_NONE, low = 0, high = 0;
    tw_expr_cut(exprs, expr, is_start);
    while (tw_sweep_next(&exprs->sweep, exprs->budget, &unused)) {
        tw_expr behind = tw_expr_derive(exprs, expr, exprs->sweep.low, is_start);
        uint32_t next = behind != TW_EXPR_NOTHING ? state_of(s, behind, false) : TW_TUPLE_NONE;
        if (next != last || exprs->sweep.low != high + 1) {
            add_edge(s, state, &escapes, last, low, high);
            low = exprs->sweep.low;
        }
        last = next;
        high = exprs->sweep.high;
    }
    add_edge(s, state, &escapes, last, low, high);
}

void tw_grammar_add_expr(struct tw_grammar *grammar, uint32_t from, uint32_t to, tw_expr expr,
                         enum tw_spelling spelling)
{
    struct speller s = {.grammar = grammar, .spelling = spelling};
    state_of(&s, expr, tw_expr_has_begin(&grammar->exprs, expr));
    for (uint32_t i = 0; i < s.targets.n && grammar->budget->status == TW_OK; i++) {
        uint32_t n;
        const uint32_t *key = tw_tuples_get(&s.states, i, &n);
        tw_expr here = key[0];
        bool is_start = key[1] != 0;
        uint32_t node = ((const struct target *)s.targets.items)[i].node;
        if (i == 0) {
            tw_grammar_add_empty(grammar, from, node);
        }
        add_state(&s, i, here, is_start);
        if (tw_expr_accepts(&grammar->exprs, here, is_start)) {
            tw_grammar_add_empty(grammar, node, to);
        }
    }
    tw_list_free(&s.states.numbers, grammar->budget);
    tw_list_free(&s.states.begins, grammar->budget);
    tw_list_free(&s.states.slots, grammar->budget);
    tw_list_free(&s.targets, grammar->budget);
}

void tw_grammar_add_json_text(struct tw_grammar *grammar, uint32_t from, uint32_t to,
                              struct tw_bytes text)
{
    size_t at = 0;
    while (at < text.size_bytes && grammar->budget->status == TW_OK) {
        uint32_t code;
        at += tw_utf8_decode(text.data + at, text.size_bytes - at, &code);
        struct target target = {.node = at < text.size_bytes ? tw_grammar_add_node(grammar) : to};
        add_json(grammar, from, &(struct escapes){0}, &target, code, code);
        from = target.node;
    }
    if (text.size_bytes == 0) {
        tw_grammar_add_empty(grammar, from, to);
    }
}
