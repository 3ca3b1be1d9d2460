#include "remote/json_span.h"

#include <string.h>

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static const char *skip_spaces(const char *at, const char *end)
{
    while (at < end && is_space(*at)) {
        at++;
    }
    return at;
}

/* Behind the string whose opening quote is at `at`; NULL where it does not end. */
static const char *skip_string(const char *at, const char *end)
{
    for (at++; at < end; at++) {
        if (*at == '"') {
            return at + 1;
        }
        if (*at == '\\') {
            at++;
        }
    }
    return NULL;
}

/* Behind the value at `at`; NULL where there is none or it does not end. */
static const char *skip_value(const char *at, const char *end)
{
    size_t depth = 0;
    while (at < end) {
        const char c = *at;
        if (c == '"') {
            at = skip_string(at, end);
            if (at == NULL || depth == 0) {
                return at;
            }
            continue;
        }
        if (c == '{' || c == '[') {
            depth++;
        } else if (c == '}' || c == ']') {
            if (depth == 0) {
                return NULL;
            }
            if (--depth == 0) {
                return at + 1;
            }
        } else if (depth == 0) {
            const char *begin = at;
            while (at < end && *at != ',' && *at != '}' && *at != ']' && !is_space(*at) &&
                   *at != '"' && *at != '{' && *at != '[' && *at != ':') {
                at++;
            }
            return at > begin ? at : NULL;
        }
        at++;
    }
    return NULL;
}

bool tw_json_walk_begin(struct tw_json_walk *walk, struct tw_json_span text)
{
    *walk = (struct tw_json_walk){0};
    if (text.at == NULL) {
        return false;
    }
    walk->end = text.at + text.n_bytes;
    walk->at = skip_spaces(text.at, walk->end);
    if (walk->at == walk->end || (*walk->at != '{' && *walk->at != '[')) {
        return false;
    }
    walk->is_object = *walk->at == '{';
    walk->at++;
    return true;
}

/* Nothing comes any more. */
static bool stop(struct tw_json_walk *walk)
{
    walk->at = walk->end;
    return false;
}

static bool read_key(struct tw_json_walk *walk, struct tw_json_span *ret_key)
{
    const char *begin = walk->at;
    const char *behind = *begin == '"' ? skip_string(begin, walk->end) : NULL;
    if (behind == NULL) {
        return false;
    }
    *ret_key = (struct tw_json_span){begin + 1, (size_t)(behind - begin) - 2};
    walk->at = skip_spaces(behind, walk->end);
    if (walk->at == walk->end || *walk->at != ':') {
        return false;
    }
    walk->at = skip_spaces(walk->at + 1, walk->end);
    return true;
}

bool tw_json_walk_next(struct tw_json_walk *walk, struct tw_json_span *ret_key,
                       struct tw_json_span *ret_value)
{
    if (walk->is_whole || walk->at == walk->end) {
        return false;
    }
    walk->at = skip_spaces(walk->at, walk->end);
    if (walk->at < walk->end && *walk->at == (walk->is_object ? '}' : ']')) {
        walk->at++;
        walk->is_whole = true;
        return false;
    }
    if (walk->has_begun) {
        if (walk->at == walk->end || *walk->at != ',') {
            return stop(walk);
        }
        walk->at = skip_spaces(walk->at + 1, walk->end);
    }
    struct tw_json_span key = {walk->at, 0};
    if (walk->at == walk->end || (walk->is_object && !read_key(walk, &key))) {
        return stop(walk);
    }
    const char *behind = skip_value(walk->at, walk->end);
    if (behind == NULL) {
        return stop(walk);
    }
    *ret_key = key;
    *ret_value = (struct tw_json_span){walk->at, (size_t)(behind - walk->at)};
    walk->at = behind;
    walk->has_begun = true;
    return true;
}

struct tw_json_span tw_json_span_member(struct tw_json_span object, const char *name)
{
    struct tw_json_walk walk;
    struct tw_json_span key, value, found = {NULL, 0};
    if (!tw_json_walk_begin(&walk, object) || !walk.is_object) {
        return found;
    }
    while (tw_json_walk_next(&walk, &key, &value)) {
        if (tw_json_span_is(key, name)) {
            found = value;
        }
    }
    return found;
}

bool tw_json_span_is(struct tw_json_span span, const char *text)
{
    const size_t n_bytes = strlen(text);
    return span.at != NULL && span.n_bytes == n_bytes && memcmp(span.at, text, n_bytes) == 0;
}

bool tw_json_span_is_string(struct tw_json_span value)
{
    return value.at != NULL && value.n_bytes >= 2 && value.at[0] == '"';
}

bool tw_json_span_is_object(struct tw_json_span value)
{
    return value.at != NULL && value.n_bytes >= 2 && value.at[0] == '{';
}

bool tw_json_span_is_null(struct tw_json_span value)
{
    return value.at == NULL || tw_json_span_is(value, "null");
}

bool tw_json_span_uint(struct tw_json_span value, uint64_t *ret_value)
{
    uint64_t sum = 0;
    if (value.at == NULL || value.n_bytes == 0) {
        return false;
    }
    for (size_t i = 0; i < value.n_bytes; i++) {
        const char c = value.at[i];
        if (c < '0' || c > '9' || __builtin_mul_overflow(sum, 10u, &sum) ||
            __builtin_add_overflow(sum, (uint64_t)(c - '0'), &sum)) {
            return false;
        }
    }
    *ret_value = sum;
    return true;
}

static int digit_of(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : 0;
}

/* The number of \uXXXX, whose X stand at `at`; cut off, or no digits: zeros. */
static uint32_t code_of(const char *at, const char *end)
{
    uint32_t code = 0;
    for (int i = 0; i < 4; i++) {
        code = code << 4 | (uint32_t)(at + i < end ? digit_of(at[i]) : 0);
    }
    return code;
}

size_t tw_json_span_text_bytes(struct tw_json_span value)
{
    if (!tw_json_span_is_string(value)) {
        return 0;
    }
    const char *at = value.at + 1, *end = value.at + value.n_bytes - 1;
    size_t n_bytes = 0;
    while (at < end) {
        const char *escape = memchr(at, '\\', (size_t)(end - at));
        if (escape == NULL) {
            return n_bytes + (size_t)(end - at);
        }
        n_bytes += (size_t)(escape - at);
        if (end - escape < 2) {
            return n_bytes; /* no string that a walk gives */
        }
        at = escape + 2;
        if (escape[1] == 'u') {
            /* Two halves of a pair stand for four bytes: two each. */
            const uint32_t code = code_of(at, end);
            n_bytes += code < 0x80 ? 1 : code < 0x800 || (code & 0xf800) == 0xd800 ? 2 : 3;
            at += end - at < 4 ? end - at : 4;
        } else {
            n_bytes++;
        }
    }
    return n_bytes;
}

static char plain(char c)
{
    static const char from[] = "nrtbf", to[] = "\n\r\t\b\f";
    const char *found = c != '\0' ? strchr(from, c) : NULL;
    return found != NULL ? to[found - from] : c;
}

void tw_json_span_copy(struct tw_json_span value, char *ret_text, size_t room_bytes)
{
    size_t n = 0;
    const bool is_string = tw_json_span_is_string(value);
    const char *at = is_string ? value.at + 1 : NULL;
    const char *end = is_string ? value.at + value.n_bytes - 1 : NULL;
    while (at < end && n + 1 < room_bytes) {
        char c = *at++;
        if (c == '\\' && at < end) {
            c = plain(*at++);
            if (c == 'u') {
                const uint32_t code = code_of(at, end);
                c = code > 0 && code < 0x80 ? (char)code : '?';
                at += end - at < 4 ? end - at : 4;
            }
        }
        ret_text[n++] = c;
    }
    ret_text[n] = '\0';
}
