#include "text/regex.h"

#include <string.h>

#include "text/utf8.h"

struct parser {
    struct tw_bytes text;
    size_t at;
    uint32_t depth;
    struct tw_exprs *exprs;
    struct tw_list ranges; /* struct tw_char_range: the class being read */
    struct tw_error *error;
    enum tw_status status;
};

static const struct tw_char_range line_ends[] = {{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}};

static tw_expr fail(struct parser *p, enum tw_status status, size_t at, const char *what)
{
    if (p->status == TW_OK) {
        p->status = tw_error_set(p->error, status, at, "pattern, byte %zu: %s", at, what);
    }
    return TW_EXPR_NOTHING;
}

static bool goes_on(const struct parser *p)
{
    return p->status == TW_OK && p->exprs->budget->status == TW_OK;
}

static bool is_at(const struct parser *p, const char *text)
{
    size_t n = strlen(text);
    return p->text.size_bytes - p->at >= n && memcmp(p->text.data + p->at, text, n) == 0;
}

static bool take(struct parser *p, const char *text)
{
    bool there = is_at(p, text);
    p->at += there ? strlen(text) : 0;
    return there;
}

/* ---- classes ---- */

static void add_range(struct parser *p, uint32_t low, uint32_t high)
{
    struct tw_char_range *range = tw_list_add(&p->ranges, p->exprs->budget, 1, sizeof *range);
    if (range != NULL) {
        *range = (struct tw_char_range){low, high};
    }
}

/* The ranges from place `begin` on, sorted and apart, become the gaps between them. */
static void negate(struct parser *p, uint32_t begin)
{
    struct tw_char_range *ranges = p->ranges.items;
    uint32_t low = 0, kept = begin;
    for (uint32_t i = begin; i < p->ranges.n; i++) {
        struct tw_char_range range = ranges[i];
        if (range.low > low) {
            ranges[kept++] = (struct tw_char_range){low, range.low - 1};
        }
        low = range.high + 1;
    }
    p->ranges.n = kept;
    if (low <= TW_EXPR_LAST_CODE) {
        add_range(p, low, TW_EXPR_LAST_CODE);
    }
}

static void add_ranges(struct parser *p, const struct tw_char_range *ranges, size_t n,
                       bool is_negated)
{
    uint32_t begin = p->ranges.n;
    for (size_t i = 0; i < n; i++) {
        add_range(p, ranges[i].low, ranges[i].high);
    }
    if (is_negated) {
        negate(p, begin);
    }
}

/* The class that was read; what overlaps or touches is one range. The ranges are empty again. */
static tw_expr finish_class(struct parser *p, bool is_negated)
{
    struct tw_sweep *sweep = &p->exprs->sweep;
    struct tw_budget *budget = p->exprs->budget;
    struct tw_char_range *ranges = p->ranges.items;
    const struct tw_span *unused;
    uint32_t kept = 0;
    tw_sweep_clear(sweep);
    for (uint32_t i = 0; i < p->ranges.n; i++) {
        tw_sweep_add(sweep, budget, ranges[i].low, ranges[i].high, 0);
    }
    p->ranges.n = 0;
    while (tw_sweep_next(sweep, budget, &unused)) {
        ranges = p->ranges.items;
        kept = p->ranges.n;
        if (kept > 0 && ranges[kept - 1].high + 1 == sweep->low) {
            ranges[kept - 1].high = sweep->high;
        } else {
            add_range(p, sweep->low, sweep->high);
        }
    }
    if (is_negated) {
        negate(p, 0);
    }
    kept = p->ranges.n;
    p->ranges.n = 0;
    return tw_expr_set(p->exprs, p->ranges.items, kept);
}

static bool take_class_escape(struct parser *p)
{
    static const struct tw_char_range digits[] = {{'0', '9'}};
    static const struct tw_char_range words[] = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
    static const struct tw_char_range spaces[] = {
        {0x09, 0x0d},     {' ', ' '},       {0xa0, 0xa0},     {0x1680, 0x1680}, {0x2000, 0x200a},
        {0x2028, 0x2029}, {0x202f, 0x202f}, {0x205f, 0x205f}, {0x3000, 0x3000}, {0xfeff, 0xfeff},
    };
    static const struct {
        const char *small, *capital;
        const struct tw_char_range *ranges;
        size_t n;
    } rows[] = {
        {"\\d", "\\D", digits, sizeof digits / sizeof digits[0]},
        {"\\w", "\\W", words, sizeof words / sizeof words[0]},
        {"\\s", "\\S", spaces, sizeof spaces / sizeof spaces[0]},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        bool is_negated = is_at(p, rows[i].capital);
        if (take(p, rows[i].small) || take(p, rows[i].capital)) {
            add_ranges(p, rows[i].ranges, rows[i].n, is_negated);
            return true;
        }
    }
    return false;
}

/* ---- single characters ---- */

static bool take_hex(struct parser *p, size_t n_least, size_t n_most, uint32_t *ret_code)
{
    static const char digits[] = "0123456789abcdef";
    uint32_t code = 0;
    size_t n = 0;
    for (; n < n_most && p->at < p->text.size_bytes; n++, p->at++) {
        char c = p->text.data[p->at];
        const char *digit = memchr(digits, c >= 'A' && c <= 'F' ? c | 0x20 : c, 16);
        if (digit == NULL) {
            break;
        }
        code = code * 16 + (uint32_t)(digit - digits);
    }
    *ret_code = code;
    return n >= n_least;
}

/* Behind "\u". */
static uint32_t take_unicode_escape(struct parser *p, size_t begin)
{
    uint32_t code, low;
    if (take(p, "{")) {
        bool good = take_hex(p, 1, 6, &code) && code <= TW_EXPR_LAST_CODE && take(p, "}");
        return good ? code : fail(p, TW_ERR_FORMAT, begin, "\\u{...} is no code point");
    }
    if (!take_hex(p, 4, 4, &code)) {
        return fail(p, TW_ERR_FORMAT, begin, "\\u needs four hexadecimal digits");
    }
    size_t before = p->at;
    if (code >= 0xd800 && code < 0xdc00 && take(p, "\\u")) {
        if (take_hex(p, 4, 4, &low) && low >= 0xdc00 && low < 0xe000) {
            return 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        }
        p->at = before;
    }
    return code;
}

static uint32_t refuse_escape(struct parser *p, char c, size_t begin)
{
    static const struct {
        const char *letters, *what;
    } rows[] = {
        {"123456789k", "back references are not supported"},
        {"bB", "word boundaries (\\b, \\B) are not supported"},
        {"pP", "Unicode properties (\\p, \\P) are not supported"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strchr(rows[i].letters, c) != NULL) {
            return fail(p, TW_ERR_UNSUPPORTED, begin, rows[i].what);
        }
    }
    return fail(p, TW_ERR_UNSUPPORTED, begin, "this escape is not supported");
}

static uint32_t take_plain(struct parser *p)
{
    uint32_t code;
    p->at += tw_utf8_decode(p->text.data + p->at, p->text.size_bytes - p->at, &code);
    if (code == TW_UTF8_INVALID) {
        return fail(p, TW_ERR_FORMAT, p->at - 1, "the pattern is not valid UTF-8");
    }
    return code;
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* A character of the pattern, perhaps behind a backslash. */
static uint32_t take_char(struct parser *p, bool in_class)
{
    static const char letters[] = "tnvfr0b", meanings[] = "\t\n\v\f\r\0\b";
    size_t begin = p->at, n_letters = sizeof letters - (in_class ? 1 : 2); /* \b in classes only */
    uint32_t code = 0;
    if (!take(p, "\\")) {
        return take_plain(p);
    }
    if (p->at == p->text.size_bytes) {
        return fail(p, TW_ERR_FORMAT, begin, "a backslash at the end");
    }
    char c = p->text.data[p->at];
    const char *known = memchr(letters, c, n_letters);
    if (known == NULL && !is_letter(c) && (c < '0' || c > '9')) {
        return take_plain(p);
    }
    p->at++;
    if (known != NULL) {
        return (unsigned char)meanings[known - letters];
    }
    if (c == 'u') {
        return take_unicode_escape(p, begin);
    }
    if (c == 'x') {
        return take_hex(p, 2, 2, &code)
                   ? code
                   : fail(p, TW_ERR_FORMAT, begin, "\\x needs two hexadecimal digits");
    }
    if (c == 'c' && p->at < p->text.size_bytes && is_letter(p->text.data[p->at])) {
        return (unsigned char)p->text.data[p->at++] & 0x1f;
    }
    return refuse_escape(p, c, begin);
}

/* One item of a class: a character, a range, or a class escape. */
static void take_class_item(struct parser *p)
{
    size_t begin = p->at;
    if (take_class_escape(p)) {
        return;
    }
    uint32_t low = take_char(p, true), high = low;
    if (is_at(p, "-") && !is_at(p, "-]") && p->at + 1 < p->text.size_bytes && goes_on(p)) {
        p->at++;
        if (take_class_escape(p)) {
            fail(p, TW_ERR_FORMAT, begin, "a range cannot end in a class");
            return;
        }
        high = take_char(p, true);
    }
    if (high < low) {
        fail(p, TW_ERR_FORMAT, begin, "a range that runs backwards");
        return;
    }
    add_range(p, low, high);
}

/* Behind "[". */
static tw_expr take_class(struct parser *p)
{
    size_t begin = p->at - 1;
    bool is_negated = take(p, "^");
    while (goes_on(p) && !take(p, "]")) {
        if (p->at == p->text.size_bytes) {
            return fail(p, TW_ERR_FORMAT, begin, "a class without its ']'");
        }
        take_class_item(p);
    }
    return goes_on(p) ? finish_class(p, is_negated) : TW_EXPR_NOTHING;
}

/* ---- atoms, sequences, choices ---- */

static tw_expr take_choice(struct parser *p);

static bool skip_group_name(struct parser *p)
{
    const char *end = memchr(p->text.data + p->at, '>', p->text.size_bytes - p->at);
    p->at = end != NULL ? (size_t)(end - p->text.data) + 1 : p->at;
    return end != NULL;
}

/* Behind "(". */
static tw_expr take_group(struct parser *p)
{
    size_t begin = p->at - 1;
    if (is_at(p, "?=") || is_at(p, "?!") || is_at(p, "?<=") || is_at(p, "?<!")) {
        return fail(p, TW_ERR_UNSUPPORTED, begin, "look-around is not supported");
    }
    bool is_named = take(p, "?<") || take(p, "?P<");
    if (is_named ? !skip_group_name(p) : !take(p, "?:") && is_at(p, "?")) {
        return fail(p, TW_ERR_UNSUPPORTED, begin, "this kind of group is not supported");
    }
    if (p->depth == TW_LIMIT_REGEX_DEPTH) {
        return fail(p, TW_ERR_LIMIT, begin, "groups nested too deep");
    }
    p->depth++;
    tw_expr inner = take_choice(p);
    p->depth--;
    return take(p, ")") ? inner : fail(p, TW_ERR_FORMAT, begin, "a group without its ')'");
}

static tw_expr take_atom(struct parser *p)
{
    if (take(p, "(")) {
        return take_group(p);
    }
    if (take(p, "[")) {
        return take_class(p);
    }
    if (take(p, "^")) {
        return TW_EXPR_BEGIN;
    }
    if (take(p, "$")) {
        return TW_EXPR_END;
    }
    if (take(p, ".")) {
        add_ranges(p, line_ends, sizeof line_ends / sizeof line_ends[0], true);
    } else if (!take_class_escape(p)) {
        uint32_t code = take_char(p, false);
        add_range(p, code, code);
    }
    return finish_class(p, false);
}

static bool take_number(struct parser *p, uint32_t *ret_number)
{
    size_t begin = p->at;
    uint64_t number = 0;
    while (p->at < p->text.size_bytes && p->text.data[p->at] >= '0' && p->text.data[p->at] <= '9') {
        number = number * 10 + (uint64_t)(p->text.data[p->at++] - '0');
        number = number > UINT32_MAX - 1 ? UINT32_MAX - 1 : number;
    }
    *ret_number = (uint32_t)number;
    return p->at > begin;
}

/* "{n}", "{n,}" or "{n,m}"; anything else that begins with a brace is text. */
static bool take_braces(struct parser *p, uint32_t *ret_least, uint32_t *ret_most)
{
    size_t begin = p->at;
    bool good = take(p, "{") && take_number(p, ret_least);
    if (good) {
        *ret_most = *ret_least;
        if (take(p, ",") && !take_number(p, ret_most)) {
            *ret_most = TW_EXPR_NO_END;
        }
        good = take(p, "}");
    }
    p->at = good ? p->at : begin;
    return good;
}

static bool take_quantifier(struct parser *p, uint32_t *ret_least, uint32_t *ret_most)
{
    bool is_plus = is_at(p, "+"), is_question = is_at(p, "?");
    if (take(p, "*") || take(p, "+") || take(p, "?")) {
        *ret_least = is_plus;
        *ret_most = is_question ? 1 : TW_EXPR_NO_END;
        return true;
    }
    return take_braces(p, ret_least, ret_most);
}

/* An atom with its quantifier. */
static tw_expr take_piece(struct parser *p)
{
    size_t begin = p->at;
    uint32_t least, most, unused[2];
    if (take_quantifier(p, &least, &most)) {
        return fail(p, TW_ERR_FORMAT, begin, "a quantifier with nothing to repeat");
    }
    tw_expr atom = take_atom(p);
    if (!goes_on(p) || !take_quantifier(p, &least, &most)) {
        return atom;
    }
    take(p, "?");
    size_t after = p->at;
    if (take_quantifier(p, &unused[0], &unused[1])) {
        return fail(p, TW_ERR_FORMAT, after, "a quantifier behind a quantifier");
    }
    if (least > most) {
        return fail(p, TW_ERR_FORMAT, begin, "a repetition whose least is above its most");
    }
    if (least > TW_LIMIT_REGEX_REPEAT || (most != TW_EXPR_NO_END && most > TW_LIMIT_REGEX_REPEAT)) {
        return fail(p, TW_ERR_LIMIT, begin, "a repetition of more than 100000");
    }
    return tw_expr_repeat(p->exprs, atom, least, most);
}

static tw_expr take_sequence(struct parser *p)
{
    uint32_t base = p->exprs->stack.n;
    while (goes_on(p) && p->at < p->text.size_bytes && !is_at(p, "|") && !is_at(p, ")")) {
        tw_list_push(&p->exprs->stack, p->exprs->budget, take_piece(p));
    }
    return tw_expr_pop_sequence(p->exprs, base);
}

static tw_expr take_choice(struct parser *p)
{
    uint32_t base = p->exprs->stack.n;
    do {
        tw_list_push(&p->exprs->stack, p->exprs->budget, take_sequence(p));
    } while (take(p, "|"));
    return tw_expr_pop_choice(p->exprs, base);
}

enum tw_status tw_regex_parse(struct tw_bytes pattern, struct tw_exprs *exprs, tw_expr *ret_expr,
                              struct tw_error *error)
{
    struct parser p = {.text = pattern, .exprs = exprs, .error = error};
    if (pattern.size_bytes > TW_LIMIT_PATTERN_BYTES) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "a pattern of %zu bytes: at most %d are allowed", pattern.size_bytes,
                            TW_LIMIT_PATTERN_BYTES);
    }
    tw_expr expr = take_choice(&p);
    if (goes_on(&p) && p.at < pattern.size_bytes) {
        fail(&p, TW_ERR_FORMAT, p.at, "a ')' without its group");
    }
    tw_list_free(&p.ranges, exprs->budget);
    if (p.status == TW_OK) {
        *ret_expr = expr;
    }
    return p.status;
}
