#include "text/json_scan.h"

#include <string.h>

enum {
    SCAN_BEGIN = 0, /* the first bracket */
    SCAN_VALUE,
    SCAN_VALUE_OR_END, /* behind [ */
    SCAN_NAME_OR_END,  /* behind { */
    SCAN_NAME,
    SCAN_COLON,
    SCAN_BEHIND, /* a value: a comma or a closing bracket */
    SCAN_STRING,
    SCAN_ESCAPE,
    SCAN_HEX,
    SCAN_WORD,
    SCAN_MINUS,
    SCAN_ZERO,
    SCAN_DIGITS,
    SCAN_POINT,
    SCAN_FRACTION,
    SCAN_EXPONENT,
    SCAN_SIGN,
    SCAN_POWER,
    SCAN_OVER,
    SCAN_WRONG
};

void tw_json_scan_begin(struct tw_json_scan *scan)
{
    *scan = (struct tw_json_scan){.state = SCAN_BEGIN};
}

bool tw_json_scan_is_over(const struct tw_json_scan *scan)
{
    return scan->state == SCAN_OVER;
}

static bool is_in_object(const struct tw_json_scan *scan)
{
    return (scan->is_object[scan->depth / 64] >> scan->depth % 64 & 1) != 0;
}

static bool open_bracket(struct tw_json_scan *scan, bool is_object)
{
    if (scan->depth == TW_LIMIT_JSON_DEPTH) {
        return false;
    }
    scan->depth++;
    uint64_t *word = &scan->is_object[scan->depth / 64];
    const uint64_t bit = UINT64_C(1) << scan->depth % 64;
    *word = is_object ? *word | bit : *word & ~bit;
    scan->state = is_object ? SCAN_NAME_OR_END : SCAN_VALUE_OR_END;
    return true;
}

static bool close_bracket(struct tw_json_scan *scan, char byte)
{
    if (scan->depth == 0 || byte != (is_in_object(scan) ? '}' : ']')) {
        return false;
    }
    scan->depth--;
    scan->state = scan->depth == 0 ? SCAN_OVER : SCAN_BEHIND;
    return true;
}

static bool begin_string(struct tw_json_scan *scan, bool is_name)
{
    scan->state = SCAN_STRING;
    scan->in_string = true;
    scan->is_name = is_name;
    return true;
}

static bool begin_value(struct tw_json_scan *scan, char byte)
{
    static const char *const words[] = {"true", "false", "null"};
    if (byte == '{' || byte == '[') {
        return open_bracket(scan, byte == '{');
    }
    if (byte == '"') {
        return begin_string(scan, false);
    }
    if (byte == '-' || (byte >= '0' && byte <= '9')) {
        scan->state = byte == '-' ? SCAN_MINUS : byte == '0' ? SCAN_ZERO : SCAN_DIGITS;
        return true;
    }
    for (int i = 0; i < 3; i++) {
        if (byte == words[i][0]) {
            scan->word = words[i] + 1;
            scan->state = SCAN_WORD;
            return true;
        }
    }
    return false;
}

/* What stands between values. */
static bool push_between(struct tw_json_scan *scan, char byte)
{
    const int state = scan->state;
    if (byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r') {
        return true;
    }
    if ((byte == '}' && state == SCAN_NAME_OR_END) || (byte == ']' && state == SCAN_VALUE_OR_END)) {
        return close_bracket(scan, byte);
    }
    switch (state) {
    case SCAN_VALUE:
    case SCAN_VALUE_OR_END:
        return begin_value(scan, byte);
    case SCAN_NAME:
    case SCAN_NAME_OR_END:
        return byte == '"' && begin_string(scan, true);
    case SCAN_COLON:
        scan->state = SCAN_VALUE;
        return byte == ':';
    case SCAN_BEHIND:
        if (byte == ',') {
            scan->state = is_in_object(scan) ? SCAN_NAME : SCAN_VALUE;
            return true;
        }
        return close_bracket(scan, byte);
    default:
        return (byte == '{' || byte == '[') && open_bracket(scan, byte == '{');
    }
}

static bool push_in_string(struct tw_json_scan *scan, char byte)
{
    if (scan->state == SCAN_ESCAPE) {
        scan->n_left = 4;
        scan->state = byte == 'u' ? SCAN_HEX : SCAN_STRING;
        return byte != '\0' && strchr("\"\\/bfnrtu", byte) != NULL;
    }
    if (scan->state == SCAN_HEX) {
        scan->state = --scan->n_left == 0 ? SCAN_STRING : SCAN_HEX;
        return byte != '\0' && strchr("0123456789abcdefABCDEF", byte) != NULL;
    }
    if (byte == '"') {
        scan->in_string = false;
        scan->state = scan->is_name ? SCAN_COLON : SCAN_BEHIND;
    } else if (byte == '\\') {
        scan->state = SCAN_ESCAPE;
    }
    return (unsigned char)byte >= 0x20;
}

/* The state behind a byte of a number; SCAN_BEHIND: it was the first one behind the number. */
static int next_of_number(int state, char byte)
{
    const bool is_digit = byte >= '0' && byte <= '9';
    switch (state) {
    case SCAN_MINUS:
        return byte == '0' ? SCAN_ZERO : is_digit ? SCAN_DIGITS : SCAN_WRONG;
    case SCAN_POINT:
    case SCAN_FRACTION:
        if (is_digit) {
            return SCAN_FRACTION;
        }
        return state == SCAN_POINT          ? SCAN_WRONG
               : byte == 'e' || byte == 'E' ? SCAN_EXPONENT
                                            : SCAN_BEHIND;
    case SCAN_EXPONENT:
        return byte == '+' || byte == '-' ? SCAN_SIGN : is_digit ? SCAN_POWER : SCAN_WRONG;
    case SCAN_SIGN:
        return is_digit ? SCAN_POWER : SCAN_WRONG;
    case SCAN_POWER:
        return is_digit ? SCAN_POWER : SCAN_BEHIND;
    default: /* SCAN_ZERO, SCAN_DIGITS */
        return is_digit && state == SCAN_DIGITS ? SCAN_DIGITS
               : byte == '.'                    ? SCAN_POINT
               : byte == 'e' || byte == 'E'     ? SCAN_EXPONENT
                                                : SCAN_BEHIND;
    }
}

bool tw_json_scan_push(struct tw_json_scan *scan, char byte)
{
    const int state = scan->state;
    if (state < SCAN_STRING) {
        return push_between(scan, byte);
    }
    if (state <= SCAN_HEX) {
        return push_in_string(scan, byte);
    }
    if (state == SCAN_WORD) {
        const bool is_good = byte == *scan->word;
        scan->word += is_good;
        scan->state = *scan->word == '\0' ? SCAN_BEHIND : SCAN_WORD;
        return is_good;
    }
    if (state >= SCAN_OVER) {
        return false;
    }
    const int next = next_of_number(state, byte);
    scan->state = next;
    return next == SCAN_BEHIND ? push_between(scan, byte) : next != SCAN_WRONG;
}
