#include "text/regex.h"

#include <stdlib.h>
#include <string.h>

#include "text/utf8.h"

enum { MOST_RANGES = 4096 }; /* in one class; a bound on the work space, not on what is useful */

struct parser {
    struct tw_bytes text;
    size_t at;
    uint32_t depth;
    struct tw_arena *arena;
    struct tw_char_range *work; /* [2 * MOST_RANGES] for the class being read; made when needed */
    struct tw_error *error;
    enum tw_status status;
};

/* A class being put together. */
struct ranges {
    struct tw_char_range *items; /* [MOST_RANGES] */
    uint32_t n;
};

static const struct tw_char_range digits[] = {{'0', '9'}};
static const struct tw_char_range word[] = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
static const struct tw_char_range space[] = {
    {0x09, 0x0d},     {' ', ' '},       {0xa0, 0xa0},     {0x1680, 0x1680}, {0x2000, 0x200a},
    {0x2028, 0x2029}, {0x202f, 0x202f}, {0x205f, 0x205f}, {0x3000, 0x3000}, {0xfeff, 0xfeff},
};
static const struct tw_char_range line_ends[] = {{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}};

static struct tw_regex *fail(struct parser *p, enum tw_status status, size_t at, const char *what)
{
    if (p->status == TW_OK) {
        p->status = tw_error_set(p->error, status, at, "pattern, byte %zu: %s", at, what);
    }
    return NULL;
}

static struct tw_regex *no_memory(struct parser *p)
{
    return fail(p, TW_ERR_LIMIT, p->at, "the pattern is too large");
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

static struct tw_regex *new_node(struct parser *p, enum tw_regex_kind kind)
{
    struct tw_regex *node = tw_arena_alloc(p->arena, 1, sizeof *node);
    if (node == NULL) {
        return no_memory(p);
    }
    node->kind = kind;
    return node;
}

/* ---- classes ---- */

static void add_range(struct parser *p, struct ranges *set, uint32_t low, uint32_t high)
{
    if (set->n == MOST_RANGES) {
        no_memory(p);
        return;
    }
    set->items[set->n++] = (struct tw_char_range){low, high};
}

static void add_ranges(struct parser *p, struct ranges *set, const struct tw_char_range *more,
                       size_t n_more)
{
    for (size_t i = 0; i < n_more; i++) {
        add_range(p, set, more[i].low, more[i].high);
    }
}

static int compare_ranges(const void *a, const void *b)
{
    const struct tw_char_range *x = a, *y = b;
    return (x->low > y->low) - (x->low < y->low);
}

/* Sorted, and what touches is one. */
static void tidy(struct ranges *set)
{
    if (set->n == 0) {
        return;
    }
    qsort(set->items, set->n, sizeof *set->items, compare_ranges);
    uint32_t kept = 0;
    for (uint32_t i = 1; i < set->n; i++) {
        struct tw_char_range next = set->items[i];
        if (next.low <= set->items[kept].high + 1) {
            set->items[kept].high =
                next.high > set->items[kept].high ? next.high : set->items[kept].high;
        } else {
            set->items[++kept] = next;
        }
    }
    set->n = kept + 1;
}

/* The gaps between tidy ranges. */
static void add_others(struct parser *p, struct ranges *set, const struct tw_char_range *ranges,
                       size_t n)
{
    uint32_t low = 0;
    for (size_t i = 0; i < n; i++) {
        if (ranges[i].low > low) {
            add_range(p, set, low, ranges[i].low - 1);
        }
        low = ranges[i].high + 1;
    }
    if (low < TW_UTF8_INVALID) {
        add_range(p, set, low, TW_UTF8_INVALID - 1);
    }
}

static struct tw_regex *set_node(struct parser *p, struct ranges *set)
{
    tidy(set);
    struct tw_regex *node = new_node(p, TW_REGEX_SET);
    struct tw_char_range *copy = tw_arena_alloc(p->arena, set->n, sizeof *copy);
    if (node == NULL || copy == NULL) {
        return no_memory(p);
    }
    if (set->n > 0) {
        memcpy(copy, set->items, set->n * sizeof *copy);
    }
    node->ranges = copy;
    node->n_ranges = set->n;
    return node;
}

static bool add_class_escape(struct parser *p, struct ranges *set)
{
    static const struct {
        char letter;
        const struct tw_char_range *ranges;
        size_t n;
    } rows[] = {
        {'d', digits, sizeof digits / sizeof digits[0]},
        {'w', word, sizeof word / sizeof word[0]},
        {'s', space, sizeof space / sizeof space[0]},
    };
    if (p->at + 1 >= p->text.size_bytes || p->text.data[p->at] != '\\') {
        return false;
    }
    char letter = p->text.data[p->at + 1];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (letter == rows[i].letter) {
            add_ranges(p, set, rows[i].ranges, rows[i].n);
        } else if (letter == rows[i].letter - 'a' + 'A') {
            add_others(p, set, rows[i].ranges, rows[i].n);
        } else {
            continue;
        }
        p->at += 2;
        return true;
    }
    return false;
}

/* ---- single characters ---- */

static bool take_hex(struct parser *p, size_t n_least, size_t n_most, uint32_t *ret_code)
{
    uint32_t code = 0;
    size_t n = 0;
    for (; n < n_most && p->at < p->text.size_bytes; n++, p->at++) {
        char c = p->text.data[p->at];
        char low = (char)(c | 0x20);
        uint32_t digit = c >= '0' && c <= '9'       ? (uint32_t)(c - '0')
                         : low >= 'a' && low <= 'f' ? (uint32_t)(low - 'a' + 10)
                                                    : 16;
        if (digit == 16) {
            break;
        }
        code = code * 16 + digit;
    }
    *ret_code = code;
    return n >= n_least;
}

/* Behind "\u". */
static uint32_t take_unicode_escape(struct parser *p, size_t begin)
{
    uint32_t code, low;
    if (take(p, "{")) {
        bool good = take_hex(p, 1, 6, &code) && code < TW_UTF8_INVALID && take(p, "}");
        return good ? code : (fail(p, TW_ERR_FORMAT, begin, "\\u{...} is no code point"), 0);
    }
    if (!take_hex(p, 4, 4, &code)) {
        fail(p, TW_ERR_FORMAT, begin, "\\u needs four hexadecimal digits");
        return 0;
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
    if ((c >= '1' && c <= '9') || c == 'k') {
        fail(p, TW_ERR_UNSUPPORTED, begin, "back references are not supported");
    } else if (c == 'b' || c == 'B') {
        fail(p, TW_ERR_UNSUPPORTED, begin, "word boundaries (\\b, \\B) are not supported");
    } else if (c == 'p' || c == 'P') {
        fail(p, TW_ERR_UNSUPPORTED, begin, "Unicode properties (\\p, \\P) are not supported");
    } else {
        fail(p, TW_ERR_UNSUPPORTED, begin, "this escape is not supported");
    }
    return 0;
}

/* Behind a backslash that begins no class. */
static uint32_t take_escape(struct parser *p, bool in_class)
{
    static const char letters[] = "tnvfr0", meanings[] = "\t\n\v\f\r";
    size_t begin = p->at - 1;
    if (p->at == p->text.size_bytes) {
        fail(p, TW_ERR_FORMAT, begin, "a backslash at the end");
        return 0;
    }
    char c = p->text.data[p->at];
    const char *known = c != '\0' ? strchr(letters, c) : NULL;
    if (known != NULL) {
        p->at++;
        return (unsigned char)meanings[known - letters];
    }
    if (c == 'u' || c == 'x') {
        p->at++;
        uint32_t code = 0;
        if (c == 'x' && !take_hex(p, 2, 2, &code)) {
            fail(p, TW_ERR_FORMAT, begin, "\\x needs two hexadecimal digits");
        }
        return c == 'u' ? take_unicode_escape(p, begin) : code;
    }
    if (c == 'c' && p->at + 1 < p->text.size_bytes && ((p->text.data[p->at + 1] | 0x20) >= 'a') &&
        ((p->text.data[p->at + 1] | 0x20) <= 'z')) {
        p->at += 2;
        return (unsigned char)p->text.data[p->at - 1] & 0x1f;
    }
    if (in_class && c == 'b') {
        p->at++;
        return '\b';
    }
    bool is_letter = ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || (c >= '0' && c <= '9');
    if (is_letter) {
        return refuse_escape(p, c, begin);
    }
    uint32_t code;
    p->at += tw_utf8_decode(p->text.data + p->at, p->text.size_bytes - p->at, &code);
    return code;
}

static uint32_t take_char(struct parser *p, bool in_class)
{
    if (take(p, "\\")) {
        return take_escape(p, in_class);
    }
    uint32_t code;
    p->at += tw_utf8_decode(p->text.data + p->at, p->text.size_bytes - p->at, &code);
    if (code == TW_UTF8_INVALID) {
        fail(p, TW_ERR_FORMAT, p->at - 1, "the pattern is not valid UTF-8");
    }
    return code;
}

/* One item of a class: a character, a range, or a class escape. */
static void parse_class_item(struct parser *p, struct ranges *set)
{
    if (add_class_escape(p, set)) {
        return;
    }
    size_t begin = p->at;
    uint32_t low = take_char(p, true);
    uint32_t high = low;
    bool is_range = is_at(p, "-") && !is_at(p, "-]") && p->at + 1 < p->text.size_bytes;
    if (is_range && p->status == TW_OK) {
        p->at++;
        uint32_t n_before = set->n;
        if (add_class_escape(p, set)) {
            set->n = n_before;
            fail(p, TW_ERR_FORMAT, begin, "a range cannot end in a class");
            return;
        }
        high = take_char(p, true);
    }
    if (high < low) {
        fail(p, TW_ERR_FORMAT, begin, "a range that runs backwards");
        return;
    }
    add_range(p, set, low, high);
}

/* Behind "[". */
static struct tw_regex *parse_class(struct parser *p)
{
    size_t begin = p->at - 1;
    if (p->work == NULL) {
        p->work = tw_arena_alloc(p->arena, 2 * MOST_RANGES, sizeof *p->work);
    }
    struct ranges set = {p->work, 0};
    if (set.items == NULL) {
        return no_memory(p);
    }
    bool negated = take(p, "^");
    while (p->status == TW_OK && !is_at(p, "]")) {
        if (p->at == p->text.size_bytes) {
            return fail(p, TW_ERR_FORMAT, begin, "a class without its ']'");
        }
        parse_class_item(p, &set);
    }
    if (p->status != TW_OK) {
        return NULL;
    }
    p->at++;
    if (negated) {
        tidy(&set);
        struct ranges others = {set.items + MOST_RANGES, 0};
        add_others(p, &others, set.items, set.n);
        return set_node(p, &others);
    }
    return set_node(p, &set);
}

/* ---- atoms, sequences, choices ---- */

static struct tw_regex *parse_choice(struct parser *p);

static bool skip_group_name(struct parser *p)
{
    const char *end = memchr(p->text.data + p->at, '>', p->text.size_bytes - p->at);
    if (end == NULL) {
        return false;
    }
    p->at = (size_t)(end - p->text.data) + 1;
    return true;
}

/* Behind "(". */
static struct tw_regex *parse_group(struct parser *p)
{
    size_t begin = p->at - 1;
    if (is_at(p, "?=") || is_at(p, "?!") || is_at(p, "?<=") || is_at(p, "?<!")) {
        return fail(p, TW_ERR_UNSUPPORTED, begin, "look-around is not supported");
    }
    bool named = take(p, "?<") || take(p, "?P<");
    if (named ? !skip_group_name(p) : !take(p, "?:") && is_at(p, "?")) {
        return fail(p, TW_ERR_UNSUPPORTED, begin, "this kind of group is not supported");
    }
    if (p->depth == TW_LIMIT_REGEX_DEPTH) {
        return fail(p, TW_ERR_LIMIT, begin, "groups nested too deep");
    }
    p->depth++;
    struct tw_regex *inner = parse_choice(p);
    p->depth--;
    if (inner != NULL && !take(p, ")")) {
        return fail(p, TW_ERR_FORMAT, begin, "a group without its ')'");
    }
    return inner;
}

static struct tw_regex *parse_atom(struct parser *p)
{
    struct tw_char_range few[24];
    struct ranges set = {few, 0};
    if (take(p, "(")) {
        return parse_group(p);
    }
    if (take(p, "[")) {
        return parse_class(p);
    }
    if (take(p, "^")) {
        return new_node(p, TW_REGEX_BEGIN);
    }
    if (take(p, "$")) {
        return new_node(p, TW_REGEX_END);
    }
    if (take(p, ".")) {
        add_others(p, &set, line_ends, sizeof line_ends / sizeof line_ends[0]);
    } else if (!add_class_escape(p, &set)) {
        uint32_t code = take_char(p, false);
        add_range(p, &set, code, code);
    }
    return p->status == TW_OK ? set_node(p, &set) : NULL;
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
            *ret_most = TW_REGEX_NO_END;
        }
        good = take(p, "}");
    }
    p->at = good ? p->at : begin;
    return good;
}

static bool take_quantifier(struct parser *p, uint32_t *ret_least, uint32_t *ret_most)
{
    *ret_least = 0;
    *ret_most = TW_REGEX_NO_END;
    if (take(p, "*")) {
        return true;
    }
    if (take(p, "+")) {
        *ret_least = 1;
        return true;
    }
    if (take(p, "?")) {
        *ret_most = 1;
        return true;
    }
    return take_braces(p, ret_least, ret_most);
}

static struct tw_regex *repeat(struct parser *p, struct tw_regex *atom, size_t begin)
{
    uint32_t least, most, unused[2];
    if (!take_quantifier(p, &least, &most)) {
        return atom;
    }
    take(p, "?");
    size_t after = p->at;
    if (is_at(p, "+") || take_quantifier(p, &unused[0], &unused[1])) {
        return fail(p, TW_ERR_FORMAT, after, "a quantifier behind a quantifier");
    }
    if (least > most) {
        return fail(p, TW_ERR_FORMAT, begin, "a repetition whose least is above its most");
    }
    if (least > TW_LIMIT_REGEX_REPEAT ||
        (most != TW_REGEX_NO_END && most > TW_LIMIT_REGEX_REPEAT)) {
        return fail(p, TW_ERR_LIMIT, begin, "a repetition of more than 100000");
    }
    struct tw_regex *node = new_node(p, TW_REGEX_REPEAT);
    if (node != NULL) {
        node->first_child = atom;
        node->least = least;
        node->most = most;
    }
    return node;
}

static struct tw_regex *parse_sequence(struct parser *p)
{
    struct tw_regex *sequence = new_node(p, TW_REGEX_SEQUENCE);
    struct tw_regex **end = sequence != NULL ? &sequence->first_child : NULL;
    while (p->status == TW_OK && p->at < p->text.size_bytes && !is_at(p, "|") && !is_at(p, ")")) {
        size_t begin = p->at;
        uint32_t unused[2];
        if (take_quantifier(p, &unused[0], &unused[1])) {
            return fail(p, TW_ERR_FORMAT, begin, "a quantifier with nothing to repeat");
        }
        struct tw_regex *atom = parse_atom(p);
        atom = atom != NULL ? repeat(p, atom, begin) : NULL;
        if (atom == NULL) {
            return NULL;
        }
        /* A group's node may be repeated elsewhere but is never shared: it is linked once. */
        *end = atom;
        end = &atom->next;
    }
    return p->status == TW_OK ? sequence : NULL;
}

static struct tw_regex *parse_choice(struct parser *p)
{
    struct tw_regex *choice = new_node(p, TW_REGEX_CHOICE);
    struct tw_regex **end = choice != NULL ? &choice->first_child : NULL;
    while (p->status == TW_OK) {
        struct tw_regex *branch = parse_sequence(p);
        if (branch == NULL) {
            return NULL;
        }
        *end = branch;
        end = &branch->next;
        if (!take(p, "|")) {
            return choice;
        }
    }
    return NULL;
}

enum tw_status tw_regex_parse(struct tw_bytes pattern, struct tw_arena *arena,
                              const struct tw_regex **ret_regex, struct tw_error *error)
{
    struct parser p = {.text = pattern, .arena = arena, .error = error};
    if (pattern.size_bytes > TW_LIMIT_PATTERN_BYTES) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "a pattern of %zu bytes: at most %d are allowed", pattern.size_bytes,
                            TW_LIMIT_PATTERN_BYTES);
    }
    struct tw_regex *regex = parse_choice(&p);
    if (regex != NULL && p.at < pattern.size_bytes) {
        fail(&p, TW_ERR_FORMAT, p.at, "a ')' without its group");
    }
    if (p.status == TW_OK) {
        *ret_regex = regex;
    }
    return p.status;
}

const struct tw_regex *tw_regex_literal(struct tw_bytes text, struct tw_arena *arena)
{
    struct parser p = {.text = text, .arena = arena};
    struct tw_regex *sequence = new_node(&p, TW_REGEX_SEQUENCE);
    struct tw_regex **end = sequence != NULL ? &sequence->first_child : NULL;
    while (p.status == TW_OK && p.at < text.size_bytes) {
        struct tw_char_range one;
        p.at += tw_utf8_decode(text.data + p.at, text.size_bytes - p.at, &one.low);
        one.high = one.low;
        *end = set_node(&p, &(struct ranges){&one, 1});
        end = *end != NULL ? &(*end)->next : end;
    }
    return p.status == TW_OK ? sequence : NULL;
}
