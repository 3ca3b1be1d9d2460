#include <string.h>

#include "text/jinja_syntax.h"
#include "text/utf8.h"

enum { STATE_DATA = 0, STATE_BLOCK, STATE_PRINT };

struct tw_jinja_lexer tw_jinja_lexer(struct tw_jinja *j, const char *source, size_t source_bytes)
{
    struct tw_jinja_lexer lexer = {.j = j, .line = 1, .line_starting = true};
    if (source_bytes > TW_LIMIT_JINJA_SOURCE_BYTES) {
        tw_jinja_fail_limit(j, "it has %zu bytes; at most %u are read", source_bytes,
                            TW_LIMIT_JINJA_SOURCE_BYTES);
    }
    char *copy = tw_jinja_alloc(j, source_bytes + 1, 1);
    size_t n = 0;
    for (size_t at = 0, step; copy != NULL && at < source_bytes; at += step) {
        uint32_t code;
        step = tw_utf8_decode(source + at, source_bytes - at, &code);
        if (code == TW_UTF8_INVALID) {
            tw_jinja_fail(j, "byte %zu is no UTF-8", at);
            break;
        }
        if (code == '\r') {
            step += at + 1 < source_bytes && source[at + 1] == '\n';
            copy[n++] = '\n';
        } else {
            memcpy(copy + n, source + at, step);
            n += step;
        }
    }
    n -= n > 0 && copy[n - 1] == '\n';
    lexer.source = (struct tw_bytes){copy, tw_jinja_failed(j) ? 0 : n};
    return lexer;
}

static bool starts(const struct tw_jinja_lexer *x, size_t at, const char *text)
{
    size_t n = strlen(text);
    return x->source.size_bytes - at >= n && memcmp(x->source.data + at, text, n) == 0;
}

static char byte_at(const struct tw_jinja_lexer *x, size_t at)
{
    return at < x->source.size_bytes ? x->source.data[at] : '\0';
}

static size_t skip_space(const struct tw_jinja_lexer *x, size_t at)
{
    while (at < x->source.size_bytes) {
        uint32_t code;
        size_t n = tw_utf8_decode(x->source.data + at, x->source.size_bytes - at, &code);
        if (!tw_jinja_is_space(code)) {
            break;
        }
        at += n;
    }
    return at;
}

static void move_to(struct tw_jinja_lexer *x, size_t at)
{
    for (; x->at < at; x->at++) {
        x->line += x->source.data[x->at] == '\n';
    }
    x->j->line = x->line;
}

/* The end of a tag: "+%}", "-%}" with what is blank behind it, "%}" with a newline. 0 where there
 * is none. */
static size_t tag_end(const struct tw_jinja_lexer *x, size_t at, const char *close, bool trims)
{
    char sign = byte_at(x, at);
    if (starts(x, at, close)) {
        at += 2;
        return at + (trims && byte_at(x, at) == '\n');
    }
    if (sign == '-' && starts(x, at + 1, close)) {
        return skip_space(x, at + 3);
    }
    return sign == '+' && trims && starts(x, at + 1, close) ? at + 3 : 0;
}

/* Where the text before a tag ends: sign is what stands behind the tag's opening. */
static size_t data_end(const struct tw_jinja_lexer *x, size_t tag, char sign, bool is_print)
{
    size_t end = x->at, line_start = x->at;
    for (size_t at = x->at; at < tag;) {
        uint32_t code;
        size_t n = tw_utf8_decode(x->source.data + at, tag - at, &code);
        at += n;
        end = tw_jinja_is_space(code) ? end : at;
        line_start = code == '\n' ? at : line_start;
    }
    if (sign == '-') {
        return end;
    }
    bool strips = sign != '+' && !is_print && (line_start > x->at || x->line_starting);
    return strips && end <= line_start ? line_start : tag;
}

static size_t find_tag(const struct tw_jinja_lexer *x)
{
    for (size_t at = x->at; at + 1 < x->source.size_bytes; at++) {
        char second = x->source.data[at + 1];
        if (x->source.data[at] == '{' && (second == '%' || second == '{' || second == '#')) {
            return at;
        }
    }
    return SIZE_MAX;
}

static size_t comment_end(const struct tw_jinja_lexer *x, size_t at)
{
    size_t from = at + 2 + (byte_at(x, at + 2) == '-' || byte_at(x, at + 2) == '+');
    for (size_t k = from; k < x->source.size_bytes; k++) {
        size_t end = tag_end(x, k, "#}", true);
        if (end != 0) {
            return end;
        }
    }
    tw_jinja_fail(x->j, "a comment has no end: write #}");
    return x->source.size_bytes;
}

static struct tw_jinja_token token_of(const struct tw_jinja_lexer *x, enum tw_jinja_token_type type)
{
    return (struct tw_jinja_token){.type = type, .line = x->line};
}

static struct tw_jinja_token data_token(const struct tw_jinja_lexer *x, size_t end)
{
    struct tw_jinja_token token = token_of(x, TW_JINJA_TOKEN_DATA);
    token.text = (struct tw_bytes){x->source.data + x->at, end - x->at};
    return token;
}

/* Text up to the next tag, and the state behind its opening. */
static struct tw_jinja_token lex_data(struct tw_jinja_lexer *x)
{
    size_t tag = find_tag(x);
    if (tag == SIZE_MAX) {
        struct tw_jinja_token token = data_token(x, x->source.size_bytes);
        move_to(x, x->source.size_bytes);
        return token;
    }
    char kind = byte_at(x, tag + 1), sign = byte_at(x, tag + 2);
    struct tw_jinja_token token = data_token(x, data_end(x, tag, sign, kind == '{'));
    size_t end = tag + 2 + (sign == '-' || sign == '+');
    move_to(x, tag);
    x->line_starting = false;
    if (kind == '#') {
        end = comment_end(x, tag);
        x->line_starting = byte_at(x, end - 1) == '\n';
    } else {
        x->state = kind == '%' ? STATE_BLOCK : STATE_PRINT;
        x->opens = true;
    }
    move_to(x, end);
    return token;
}

/* ---- literals ---- */

/* The number of n hexadecimal digits, or one too large for a character. */
static uint32_t hex_of(const char *text, size_t n_left, size_t n)
{
    uint32_t value = 0;
    for (size_t i = 0; i < n; i++) {
        const char *digits = "0123456789abcdef";
        char c = i < n_left ? (char)(text[i] | (text[i] >= 'A' ? 0x20 : 0)) : '\0';
        const char *hit = c != '\0' ? strchr(digits, c) : NULL;
        if (hit == NULL || value > 0xfffffff) {
            return UINT32_MAX;
        }
        value = value * 16 + (uint32_t)(hit - digits);
    }
    return value;
}

/* What stands behind a backslash at text; gives how many bytes it takes. */
static size_t put_escape(struct tw_jinja_builder *b, const char *text, size_t n_left)
{
    static const char letters[] = "\\'\"abfnrtv", bytes[] = "\\'\"\a\b\f\n\r\t\v";
    const char *hit = text[0] != '\0' ? strchr(letters, text[0]) : NULL;
    size_t n_digits = text[0] == 'x' ? 2 : text[0] == 'u' ? 4 : text[0] == 'U' ? 8 : 0;
    if (hit != NULL) {
        tw_jinja_put(b, &bytes[hit - letters], 1, false);
        return 1;
    }
    if (n_digits == 0) {
        tw_jinja_put(b, "\\", text[0] == '\n' ? 0 : 1, false);
        return text[0] == '\n';
    }
    uint32_t code = hex_of(text + 1, n_left - 1, n_digits);
    if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) {
        tw_jinja_fail(b->j, "a text has an escape \\%c that is no character", text[0]);
    } else {
        tw_jinja_put_code(b, code, false);
    }
    return 1 + n_digits;
}

/* Without its quotes. */
static struct tw_jinja_value unquote(struct tw_jinja *j, const char *text, size_t n_bytes)
{
    struct tw_jinja_builder b = tw_jinja_builder(j);
    for (size_t at = 0; at < n_bytes && !tw_jinja_failed(j);) {
        const char *hit = memchr(text + at, '\\', n_bytes - at);
        size_t stop = hit != NULL ? (size_t)(hit - text) : n_bytes;
        tw_jinja_put(&b, text + at, stop - at, false);
        at = stop + 1;
        at += at < n_bytes ? put_escape(&b, text + at, n_bytes - at) : 0;
    }
    return tw_jinja_built(&b);
}

/* ---- inside of tags ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static size_t skip_digits(const struct tw_jinja_lexer *x, size_t at)
{
    while (is_digit(byte_at(x, at))) {
        at++;
    }
    return at;
}

/* 12, 1.5, 2e-3 */
static struct tw_jinja_token lex_number(struct tw_jinja_lexer *x)
{
    const char *text = x->source.data + x->at;
    struct tw_jinja_token token = token_of(x, TW_JINJA_TOKEN_LITERAL);
    size_t end = skip_digits(x, x->at);
    if (byte_at(x, end) == '.' && is_digit(byte_at(x, end + 1))) {
        end = skip_digits(x, end + 1);
    }
    if ((byte_at(x, end) | 0x20) == 'e') {
        size_t digits = end + 1 + (byte_at(x, end + 1) == '+' || byte_at(x, end + 1) == '-');
        end = is_digit(byte_at(x, digits)) ? skip_digits(x, digits) : end;
    }
    token.value = tw_jinja_number(x->j, text, end - x->at);
    if (token.value.kind == TW_JINJA_UNDEFINED) {
        tw_jinja_fail(x->j, "the number %.*s cannot be read",
                      (int)(end - x->at > 60 ? 60 : end - x->at), text);
    }
    move_to(x, end);
    return token;
}

static size_t name_end(const struct tw_jinja_lexer *x, size_t at)
{
    while (at < x->source.size_bytes) {
        uint32_t code;
        size_t n = tw_utf8_decode(x->source.data + at, x->source.size_bytes - at, &code);
        if (!tw_utf8_is_word(code)) {
            break;
        }
        at += n;
    }
    return at;
}

static struct tw_jinja_token lex_string(struct tw_jinja_lexer *x)
{
    struct tw_jinja_token token = token_of(x, TW_JINJA_TOKEN_LITERAL);
    char quote = byte_at(x, x->at);
    size_t end = x->at + 1;
    while (end < x->source.size_bytes && x->source.data[end] != quote) {
        end += x->source.data[end] == '\\' ? 2 : 1;
    }
    if (end >= x->source.size_bytes) {
        tw_jinja_fail(x->j, "a text has no end: write %c", quote);
        return token;
    }
    token.value = unquote(x->j, x->source.data + x->at + 1, end - x->at - 1);
    move_to(x, end + 1);
    return token;
}

static struct tw_jinja_token lex_operator(struct tw_jinja_lexer *x)
{
    static const char pairs[] = "//==!=>=<=", singles[] = "+-/*%~[](){}><=.:|,;";
    struct tw_jinja_token token = token_of(x, TW_JINJA_TOKEN_OPERATOR);
    char c = byte_at(x, x->at);
    for (size_t i = 0; pairs[i] != '\0'; i += 2) {
        if (c == pairs[i] && byte_at(x, x->at + 1) == pairs[i + 1]) {
            token.op = TW_JINJA_OP(c, pairs[i + 1]);
            move_to(x, x->at + 2);
            return token;
        }
    }
    if (c == '\0' || strchr(singles, c) == NULL) {
        tw_jinja_fail(x->j, "an unexpected character '%c'", c);
        return token;
    }
    /* A }} within brackets ends no tag. Whether they fit together is the parser's business. */
    x->n_open += c == '(' || c == '[' || c == '{';
    x->n_open -= x->n_open > 0 && (c == ')' || c == ']' || c == '}');
    token.op = c;
    move_to(x, x->at + 1);
    return token;
}

static struct tw_jinja_token lex_tag(struct tw_jinja_lexer *x)
{
    move_to(x, skip_space(x, x->at));
    bool is_block = x->state == STATE_BLOCK;
    size_t end = x->n_open == 0 ? tag_end(x, x->at, is_block ? "%}" : "}}", is_block) : 0;
    char c = byte_at(x, x->at);
    struct tw_jinja_token token = token_of(x, TW_JINJA_TOKEN_END);
    if (end != 0) {
        token.type = is_block ? TW_JINJA_TOKEN_BLOCK_END : TW_JINJA_TOKEN_PRINT_END;
        move_to(x, end);
        x->line_starting = byte_at(x, end - 1) == '\n';
        x->state = STATE_DATA;
    } else if (x->at == x->source.size_bytes) {
        tw_jinja_fail(x->j, "a tag has no end: write %s", is_block ? "%}" : "}}");
    } else if (is_digit(c)) {
        token = lex_number(x);
    } else if (name_end(x, x->at) > x->at) {
        token.type = TW_JINJA_TOKEN_NAME;
        token.text = (struct tw_bytes){x->source.data + x->at, name_end(x, x->at) - x->at};
        move_to(x, x->at + token.text.size_bytes);
    } else if (c == '\'' || c == '"') {
        token = lex_string(x);
    } else {
        token = lex_operator(x);
    }
    return token;
}

struct tw_jinja_token tw_jinja_lex(struct tw_jinja_lexer *x)
{
    while (!tw_jinja_failed(x->j)) {
        bool is_tag = x->state == STATE_BLOCK || x->state == STATE_PRINT;
        if (is_tag && x->opens) {
            x->opens = false;
            return token_of(x, x->state == STATE_BLOCK ? TW_JINJA_TOKEN_BLOCK_BEGIN
                                                       : TW_JINJA_TOKEN_PRINT_BEGIN);
        }
        if (is_tag) {
            return lex_tag(x);
        }
        if (x->at == x->source.size_bytes) {
            break;
        }
        struct tw_jinja_token token = lex_data(x);
        if (token.text.size_bytes > 0) {
            return token;
        }
    }
    return token_of(x, TW_JINJA_TOKEN_END);
}
