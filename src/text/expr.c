#include "text/expr.h"

#include <string.h>

#include "text/utf8.h"

/* A sequence is {SEQUENCE, first, rest} where the first is no sequence itself. */
enum kind { CHOICE, SEQUENCE, BOTH, BEGIN, END, SET, REPEAT, NOT, MULTIPLE };

/* Whether a term matches without a character: PASSES where more may follow, ENDS where nothing
 * does; at the start, or behind a character. */
enum { PASSES_AT_START = 1, PASSES = 2, ENDS_AT_START = 4, ENDS = 8, ALWAYS = 15, HAS_BEGIN = 16 };

struct memo {
    uint32_t walk;
    tw_expr result;
};

static uint32_t word(const struct tw_exprs *x, tw_expr a, uint32_t i)
{
    uint32_t n;
    return tw_tuples_get(&x->terms, a, &n)[i];
}

static uint32_t n_words(const struct tw_exprs *x, tw_expr a)
{
    uint32_t n;
    tw_tuples_get(&x->terms, a, &n);
    return n;
}

static bool is(const struct tw_exprs *x, tw_expr a, enum kind kind)
{
    return word(x, a, 0) == (uint32_t)kind;
}

static uint32_t flags_of(const struct tw_exprs *x, tw_expr a)
{
    return tw_list_at(&x->flags, a);
}

static void push(struct tw_exprs *x, uint32_t number)
{
    tw_list_push(&x->stack, x->budget, number);
}

/* ---- terms ---- */

static uint32_t find_flags(const struct tw_exprs *x, const uint32_t *words, uint32_t n)
{
    uint32_t flags = words[0] == SEQUENCE || words[0] == BOTH ? ALWAYS : 0;
    switch ((enum kind)words[0]) {
    case BEGIN:
        return PASSES_AT_START | ENDS_AT_START | HAS_BEGIN;
    case END:
        return ENDS_AT_START | ENDS;
    case REPEAT:
        return flags_of(x, words[1]) | (words[2] == 0 ? ALWAYS : 0);
    case NOT:
        return flags_of(x, words[1]) ^ ALWAYS;
    case MULTIPLE:
        return words[2] == 0 ? ALWAYS : 0;
    case CHOICE:
    case SEQUENCE:
    case BOTH:
        for (uint32_t i = 1; i < n; i++) {
            uint32_t part = flags_of(x, words[i]);
            flags = words[0] == CHOICE ? flags | part
                                       : (flags & (part | HAS_BEGIN)) | (part & HAS_BEGIN);
        }
        break;
    case SET:
        break;
    }
    return flags;
}

static tw_expr term(struct tw_exprs *x, const uint32_t *words, uint32_t n)
{
    uint32_t id = tw_tuples_intern(&x->terms, x->budget, words, n);
    if (id != TW_TUPLE_NONE && id == x->flags.n) {
        tw_list_push(&x->flags, x->budget, find_flags(x, words, n));
        tw_list_add(&x->memo, x->budget, 1, sizeof(struct memo));
    }
    return x->budget->status == TW_OK ? id : TW_EXPR_NOTHING;
}

/* kind and n - 1 parts, three at most. */
static tw_expr small_term(struct tw_exprs *x, uint32_t n, enum kind kind, uint32_t a, uint32_t b,
                          uint32_t c)
{
    const uint32_t words[] = {kind, a, b, c};
    return term(x, words, n);
}

void tw_exprs_init(struct tw_exprs *exprs, struct tw_budget *budget)
{
    static const enum kind kinds[] = {CHOICE, SEQUENCE, BOTH, BEGIN, END}; /* TW_EXPR_NOTHING... */
    *exprs = (struct tw_exprs){.budget = budget};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        small_term(exprs, 1, kinds[i], 0, 0, 0);
    }
}

tw_expr tw_expr_set(struct tw_exprs *exprs, const struct tw_char_range *ranges, size_t n)
{
    uint32_t base = exprs->stack.n;
    push(exprs, SET);
    for (size_t i = 0; i < n; i++) {
        push(exprs, ranges[i].low);
        push(exprs, ranges[i].high);
    }
    exprs->stack.n = base;
    if (exprs->budget->status != TW_OK || n == 0) {
        return TW_EXPR_NOTHING;
    }
    return term(exprs, (const uint32_t *)exprs->stack.items + base, 1 + 2 * (uint32_t)n);
}

tw_expr tw_expr_char(struct tw_exprs *exprs, uint32_t low, uint32_t high)
{
    return tw_expr_set(exprs, &(struct tw_char_range){low, high}, 1);
}

/* What was pushed from base on as a choice or as both; the parts of parts that are alike are taken
 * out of them. */
static tw_expr join(struct tw_exprs *x, enum kind kind, uint32_t base)
{
    const tw_expr neutral = kind == CHOICE ? TW_EXPR_NOTHING : TW_EXPR_ANY;
    const tw_expr absorbing = kind == CHOICE ? TW_EXPR_ANY : TW_EXPR_NOTHING;
    uint32_t end = x->stack.n;
    bool is_absorbed = false;
    push(x, kind);
    for (uint32_t i = base; i < end && tw_budget_spend(x->budget, 1); i++) {
        tw_expr part = tw_list_at(&x->stack, i);
        is_absorbed |= part == absorbing;
        if (part == neutral || !is(x, part, kind)) {
            push(x, part);
            x->stack.n -= part == neutral;
            continue;
        }
        for (uint32_t j = 1; j < n_words(x, part); j++) {
            push(x, word(x, part, j));
        }
    }
    uint32_t n = x->stack.n - end;
    x->stack.n = base;
    if (x->budget->status != TW_OK || is_absorbed || n == 1) {
        return x->budget->status != TW_OK ? TW_EXPR_NOTHING : is_absorbed ? absorbing : neutral;
    }
    uint32_t *words = (uint32_t *)x->stack.items + end;
    tw_budget_spend(x->budget, 2 * (uint64_t)n);
    n = 1 + tw_subset_sort(words + 1, n - 1);
    return n == 2 ? words[1] : term(x, words, n);
}

static tw_expr join_two(struct tw_exprs *x, enum kind kind, tw_expr a, tw_expr b)
{
    uint32_t base = x->stack.n;
    push(x, a);
    push(x, b);
    return join(x, kind, base);
}

tw_expr tw_expr_either(struct tw_exprs *exprs, tw_expr a, tw_expr b)
{
    return join_two(exprs, CHOICE, a, b);
}

tw_expr tw_expr_both(struct tw_exprs *exprs, tw_expr a, tw_expr b)
{
    return join_two(exprs, BOTH, a, b);
}

tw_expr tw_expr_pop_choice(struct tw_exprs *exprs, uint32_t base)
{
    return join(exprs, CHOICE, base);
}

tw_expr tw_expr_not(struct tw_exprs *exprs, tw_expr a)
{
    if (a == TW_EXPR_NOTHING || a == TW_EXPR_ANY) {
        return a == TW_EXPR_ANY ? TW_EXPR_NOTHING : TW_EXPR_ANY;
    }
    return is(exprs, a, NOT) ? word(exprs, a, 1) : small_term(exprs, 2, NOT, a, 0, 0);
}

tw_expr tw_expr_repeat(struct tw_exprs *exprs, tw_expr a, uint32_t least, uint32_t most)
{
    if (most == 0 || a == TW_EXPR_EMPTY || (a == TW_EXPR_NOTHING && least == 0)) {
        return TW_EXPR_EMPTY;
    }
    if (a == TW_EXPR_NOTHING || (least == 1 && most == 1)) {
        return a;
    }
    least = (flags_of(exprs, a) & PASSES) != 0 ? 0 : least;
    if (least == 0 && most == TW_EXPR_NO_END && a == tw_expr_char(exprs, 0, TW_EXPR_LAST_CODE)) {
        return TW_EXPR_ANY;
    }
    return small_term(exprs, 4, REPEAT, a, least, most);
}

tw_expr tw_expr_multiple(struct tw_exprs *exprs, uint32_t multiple_of, uint32_t rest)
{
    return small_term(exprs, 3, MULTIPLE, multiple_of, rest, 0);
}

/* ---- sequences ---- */

/* The term as it is behind a character, where ^ cannot pass any more. */
static tw_expr behind_character(struct tw_exprs *x, tw_expr a)
{
    uint32_t base = x->stack.n, n = n_words(x, a);
    enum kind kind = (enum kind)word(x, a, 0);
    if ((flags_of(x, a) & HAS_BEGIN) == 0 || !tw_budget_spend(x->budget, 1)) {
        return a;
    }
    switch (kind) {
    case BEGIN:
        return TW_EXPR_NOTHING;
    case REPEAT:
        return tw_expr_repeat(x, behind_character(x, word(x, a, 1)), word(x, a, 2), word(x, a, 3));
    case NOT:
        return tw_expr_not(x, behind_character(x, word(x, a, 1)));
    case SEQUENCE:
        for (; is(x, a, SEQUENCE); a = word(x, a, 2)) {
            push(x, behind_character(x, word(x, a, 1)));
        }
        push(x, behind_character(x, a));
        return tw_expr_pop_sequence(x, base);
    case CHOICE:
    case BOTH:
        for (uint32_t i = 1; i < n; i++) {
            push(x, behind_character(x, word(x, a, i)));
        }
        return join(x, kind, base);
    case END:
    case SET:
    case MULTIPLE:
        break;
    }
    return a;
}

tw_expr tw_expr_sequence(struct tw_exprs *exprs, tw_expr a, tw_expr b)
{
    uint32_t base = exprs->stack.n;
    if (a == TW_EXPR_NOTHING || a == TW_EXPR_EMPTY || !tw_budget_spend(exprs->budget, 1)) {
        return a == TW_EXPR_EMPTY ? b : TW_EXPR_NOTHING;
    }
    if ((flags_of(exprs, a) & (PASSES_AT_START | ENDS_AT_START)) == 0) {
        b = behind_character(exprs, b);
    }
    if (b == TW_EXPR_NOTHING || b == TW_EXPR_EMPTY || (a == TW_EXPR_ANY && b == TW_EXPR_ANY)) {
        return b == TW_EXPR_EMPTY ? a : b;
    }
    if (is(exprs, a, CHOICE)) {
        uint32_t n = n_words(exprs, a);
        for (uint32_t i = 1; i < n; i++) {
            push(exprs, tw_expr_sequence(exprs, word(exprs, a, i), b));
        }
        return join(exprs, CHOICE, base);
    }
    if (is(exprs, a, SEQUENCE)) {
        for (; is(exprs, a, SEQUENCE); a = word(exprs, a, 2)) {
            push(exprs, word(exprs, a, 1));
        }
        push(exprs, a);
        push(exprs, b);
        return tw_expr_pop_sequence(exprs, base);
    }
    return small_term(exprs, 3, SEQUENCE, a, b, 0);
}

tw_expr tw_expr_pop_sequence(struct tw_exprs *exprs, uint32_t base)
{
    tw_expr rest = TW_EXPR_EMPTY;
    while (exprs->stack.n > base) {
        rest = tw_expr_sequence(exprs, tw_list_at(&exprs->stack, --exprs->stack.n), rest);
    }
    return rest;
}

tw_expr tw_expr_text(struct tw_exprs *exprs, struct tw_bytes text)
{
    uint32_t base = exprs->stack.n;
    size_t at = 0;
    while (at < text.size_bytes && exprs->budget->status == TW_OK) {
        uint32_t code;
        at += tw_utf8_decode(text.data + at, text.size_bytes - at, &code);
        push(exprs, tw_expr_char(exprs, code, code));
    }
    return tw_expr_pop_sequence(exprs, base);
}

tw_expr tw_expr_without(struct tw_exprs *exprs, struct tw_bytes text)
{
    tw_expr barred = tw_expr_either(exprs, tw_expr_text(exprs, text), tw_expr_char(exprs, 0, 0));
    barred = tw_expr_sequence(exprs, barred, TW_EXPR_ANY);
    return tw_expr_not(exprs, tw_expr_sequence(exprs, TW_EXPR_ANY, barred));
}

/* ---- reading ---- */

bool tw_expr_has_begin(const struct tw_exprs *exprs, tw_expr a)
{
    return (flags_of(exprs, a) & HAS_BEGIN) != 0;
}

bool tw_expr_accepts(const struct tw_exprs *exprs, tw_expr a, bool is_start)
{
    return (flags_of(exprs, a) & (is_start ? ENDS_AT_START : ENDS)) != 0;
}

static bool passes(const struct tw_exprs *x, tw_expr a, bool is_start)
{
    return (flags_of(x, a) & (is_start ? PASSES_AT_START : PASSES)) != 0;
}

static tw_expr derive(struct tw_exprs *x, tw_expr a, uint32_t code, bool is_start);

static bool is_known(const struct tw_exprs *x, tw_expr a)
{
    return ((const struct memo *)x->memo.items)[a].walk == x->n_walks;
}

static tw_expr derive_set(const struct tw_exprs *x, tw_expr a, uint32_t code)
{
    uint32_t n;
    const uint32_t *words = tw_tuples_get(&x->terms, a, &n);
    for (uint32_t i = 1; i < n && words[i] <= code; i += 2) {
        if (code <= words[i + 1]) {
            return TW_EXPR_EMPTY;
        }
    }
    return TW_EXPR_NOTHING;
}

/* Behind the first term, or behind a later one where those before it pass. */
static tw_expr derive_sequence(struct tw_exprs *x, tw_expr a, uint32_t code, bool is_start)
{
    uint32_t base = x->stack.n;
    bool goes_on = true;
    for (; goes_on && is(x, a, SEQUENCE) && !is_known(x, a); a = word(x, a, 2)) {
        tw_expr behind = derive(x, word(x, a, 1), code, is_start);
        push(x, tw_expr_sequence(x, behind, behind_character(x, word(x, a, 2))));
        goes_on = passes(x, word(x, a, 1), is_start) && tw_budget_spend(x->budget, 1);
    }
    if (goes_on) {
        push(x, derive(x, a, code, is_start));
    }
    return join(x, CHOICE, base);
}

static tw_expr derive_repeat(struct tw_exprs *x, tw_expr a, uint32_t code, bool is_start)
{
    uint32_t least = word(x, a, 2), most = word(x, a, 3);
    tw_expr body = word(x, a, 1);
    /* Where the body passes at the start any number of its copies may have done so. */
    least = least == 0 || passes(x, body, is_start) ? 0 : least - 1;
    most -= most != TW_EXPR_NO_END;
    tw_expr first = derive(x, body, code, is_start);
    if (first == TW_EXPR_NOTHING) {
        return first;
    }
    return tw_expr_sequence(x, first, tw_expr_repeat(x, behind_character(x, body), least, most));
}

static tw_expr derive_term(struct tw_exprs *x, tw_expr a, uint32_t code, bool is_start)
{
    uint32_t base = x->stack.n, n = n_words(x, a);
    enum kind kind = (enum kind)word(x, a, 0);
    switch (kind) {
    case SET:
        return derive_set(x, a, code);
    case SEQUENCE:
        return a == TW_EXPR_EMPTY ? TW_EXPR_NOTHING : derive_sequence(x, a, code, is_start);
    case REPEAT:
        return derive_repeat(x, a, code, is_start);
    case NOT:
        return tw_expr_not(x, derive(x, word(x, a, 1), code, is_start));
    case CHOICE:
    case BOTH:
        for (uint32_t i = 1; i < n; i++) {
            push(x, derive(x, word(x, a, i), code, is_start));
        }
        return join(x, kind, base);
    case MULTIPLE:
        return code < '0' || code > '9'
                   ? TW_EXPR_NOTHING
                   : tw_expr_multiple(x, word(x, a, 1),
                                      (word(x, a, 2) * 10 + code - '0') % word(x, a, 1));
    case BEGIN:
    case END:
        break;
    }
    return TW_EXPR_NOTHING;
}

/* Terms are shared: each is looked at once for a character. */
static tw_expr derive(struct tw_exprs *x, tw_expr a, uint32_t code, bool is_start)
{
    if (is_known(x, a)) {
        return ((const struct memo *)x->memo.items)[a].result;
    }
    if (!tw_budget_spend(x->budget, 1)) {
        return TW_EXPR_NOTHING;
    }
    tw_expr result = derive_term(x, a, code, is_start);
    ((struct memo *)x->memo.items)[a] = (struct memo){x->n_walks, result};
    return result;
}

tw_expr tw_expr_derive(struct tw_exprs *exprs, tw_expr a, uint32_t code, bool is_start)
{
    exprs->n_walks++;
    return exprs->budget->status == TW_OK ? derive(exprs, a, code, is_start) : TW_EXPR_NOTHING;
}

static void cut(struct tw_exprs *x, tw_expr a, bool is_start)
{
    struct memo *memo = (struct memo *)x->memo.items + a;
    enum kind kind = (enum kind)word(x, a, 0);
    if (memo->walk == x->n_walks || !tw_budget_spend(x->budget, 1)) {
        return;
    }
    memo->walk = x->n_walks;
    uint32_t n = n_words(x, a);
    if (kind == SET) {
        for (uint32_t i = 1; i < n; i += 2) {
            tw_sweep_add(&x->sweep, x->budget, word(x, a, i), word(x, a, i + 1), 0);
        }
    } else if (kind == MULTIPLE) {
        for (uint32_t digit = '0'; digit <= '9'; digit++) {
            tw_sweep_add(&x->sweep, x->budget, digit, digit, 0);
        }
    } else if (kind == SEQUENCE && a != TW_EXPR_EMPTY) {
        bool goes_on = true;
        for (; goes_on && is(x, a, SEQUENCE); a = word(x, a, 2)) {
            ((struct memo *)x->memo.items)[a].walk = x->n_walks;
            cut(x, word(x, a, 1), is_start);
            goes_on = passes(x, word(x, a, 1), is_start) && !is_known(x, word(x, a, 2)) &&
                      tw_budget_spend(x->budget, 1);
        }
        if (goes_on) {
            cut(x, a, is_start);
        }
    } else if (kind == CHOICE || kind == BOTH) {
        for (uint32_t i = 1; i < n; i++) {
            cut(x, word(x, a, i), is_start);
        }
    } else if (kind == REPEAT || kind == NOT) {
        cut(x, word(x, a, 1), is_start);
    }
    if (kind == NOT || a == TW_EXPR_ANY) {
        tw_sweep_add(&x->sweep, x->budget, 0, TW_EXPR_LAST_CODE, 0);
    }
}

void tw_expr_cut(struct tw_exprs *exprs, tw_expr a, bool is_start)
{
    tw_sweep_clear(&exprs->sweep);
    exprs->n_walks++;
    if (exprs->budget->status == TW_OK) {
        cut(exprs, a, is_start);
    }
}

bool tw_expr_matches(struct tw_exprs *exprs, tw_expr a, struct tw_bytes text)
{
    size_t at = 0;
    bool is_start = true;
    for (; at < text.size_bytes && a != TW_EXPR_NOTHING; is_start = false) {
        uint32_t code;
        at += tw_utf8_decode(text.data + at, text.size_bytes - at, &code);
        a = tw_expr_derive(exprs, a, code, is_start);
    }
    return exprs->budget->status == TW_OK && tw_expr_accepts(exprs, a, is_start);
}
