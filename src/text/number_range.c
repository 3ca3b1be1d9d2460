#include "text/number_range.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- decimals ---- */

/* digits: all of them; the point stands behind the first n_whole, which may be less than 0 or more
 * than there are. */
static bool place_point(const char *digits, int n_digits, int n_whole, struct tw_decimal *decimal)
{
    while (n_digits > 0 && digits[0] == '0') {
        digits++;
        n_digits--;
        n_whole--;
    }
    while (n_digits > 0 && digits[n_digits - 1] == '0') {
        n_digits--;
    }
    if (n_digits == 0) {
        decimal->is_negative = false;
        return true;
    }
    int n_fraction = n_digits > n_whole ? n_digits - n_whole : 0;
    if (n_whole > TW_DECIMAL_DIGITS || n_fraction > TW_DECIMAL_DIGITS) {
        return false;
    }
    decimal->n_whole = (uint8_t)(n_whole > 0 ? n_whole : 0);
    decimal->n_fraction = (uint8_t)n_fraction;
    for (int i = 0; i < n_whole; i++) {
        decimal->whole[i] = i < n_digits ? digits[i] : '0';
    }
    for (int i = 0; i < n_fraction; i++) {
        int at = n_whole + i;
        decimal->fraction[i] = at >= 0 ? digits[at] : '0';
    }
    return true;
}

bool tw_decimal_from_json(const json_t *value, struct tw_decimal *ret_decimal)
{
    struct tw_decimal decimal = {0};
    struct tw_json_writer writer;
    struct tw_buf buf;
    char digits[64];
    int n_digits = 0, n_whole = -1;
    if (!json_is_number(value)) {
        return false;
    }
    tw_buf_init(&buf, sizeof digits - 1);
    tw_json_begin(&writer, &buf);
    tw_json_value(&writer, value);
    bool good = tw_buf_append(&buf, "", 1) && !buf.failed;
    const char *at = good ? buf.data : "";
    decimal.is_negative = *at == '-';
    at += decimal.is_negative;
    for (; (*at >= '0' && *at <= '9') || *at == '.'; at++) {
        if (*at == '.') {
            n_whole = n_digits;
        } else {
            digits[n_digits++] = *at;
        }
    }
    n_whole = n_whole >= 0 ? n_whole : n_digits;
    n_whole += *at == 'e' ? (int)strtol(at + 1, NULL, 10) : 0;
    good = good && place_point(digits, n_digits, n_whole, &decimal);
    tw_buf_free(&buf);
    if (good) {
        *ret_decimal = decimal;
    }
    return good;
}

static int compare_magnitudes(const struct tw_decimal *a, const struct tw_decimal *b)
{
    if (a->n_whole != b->n_whole) {
        return a->n_whole < b->n_whole ? -1 : 1;
    }
    int order = memcmp(a->whole, b->whole, a->n_whole);
    if (order != 0) {
        return order;
    }
    uint8_t n = a->n_fraction < b->n_fraction ? a->n_fraction : b->n_fraction;
    order = memcmp(a->fraction, b->fraction, n);
    return order != 0 ? order : a->n_fraction - b->n_fraction;
}

int tw_decimal_compare(const struct tw_decimal *a, const struct tw_decimal *b)
{
    if (a->is_negative != b->is_negative) {
        return a->is_negative ? -1 : 1;
    }
    int order = compare_magnitudes(a, b);
    return a->is_negative ? -order : order;
}

bool tw_number_range_has(const struct tw_number_range *range, const json_t *value)
{
    struct tw_decimal at;
    if (!tw_decimal_from_json(value, &at)) {
        return false;
    }
    int low = range->low.exists ? tw_decimal_compare(&at, &range->low.at) : 1;
    int high = range->high.exists ? tw_decimal_compare(&at, &range->high.at) : -1;
    bool is_inside = low >= (range->low.is_open ? 1 : 0) && high <= (range->high.is_open ? -1 : 0);
    bool is_multiple =
        range->multiple_of == 1 || fmod(json_number_value(value), (double)range->multiple_of) == 0;
    return is_inside && is_multiple && (!range->is_integer || at.n_fraction == 0);
}

/* ---- expressions ---- */

static void push(struct tw_exprs *x, tw_expr expr)
{
    tw_list_push(&x->stack, x->budget, expr);
}

static tw_expr digits(struct tw_exprs *x, uint32_t first, uint32_t least, uint32_t most)
{
    return tw_expr_repeat(x, tw_expr_char(x, first, '9'), least, most);
}

/* digits[0..n) and then one above digits[n], which is not '9'. */
static void push_above(struct tw_exprs *x, const char *text, uint32_t n)
{
    push(x, tw_expr_text(x, (struct tw_bytes){text, n}));
    push(x, tw_expr_char(x, (uint32_t)text[n] + 1, '9'));
}

/* Digits of numbers above (or equal to) a magnitude, and whatever else: how numbers look must be
 * said beside it. */
static tw_expr above(struct tw_exprs *x, const struct tw_decimal *at, bool or_equal)
{
    const uint32_t base = x->stack.n;
    const tw_expr point = tw_expr_char(x, '.', '.');
    const tw_expr end = tw_expr_either(x, TW_EXPR_EMPTY, tw_expr_sequence(x, point, TW_EXPR_ANY));
    /* More digits before the point. */
    push(x, tw_expr_sequence(
                x, digits(x, '1', 1, 1),
                tw_expr_sequence(x, digits(x, '0', at->n_whole, at->n_whole), TW_EXPR_ANY)));
    for (uint32_t i = 0; i < at->n_whole; i++) {
        uint32_t inner = x->stack.n, n_more = at->n_whole - i - 1u;
        if (at->whole[i] < '9') {
            push_above(x, at->whole, i);
            push(x, digits(x, '0', n_more, n_more));
            push(x, end);
            push(x, tw_expr_pop_sequence(x, inner));
        }
    }
    /* The same before the point, and above behind it. */
    uint32_t outer = x->stack.n;
    push(x, at->n_whole > 0 ? tw_expr_text(x, (struct tw_bytes){at->whole, at->n_whole})
                            : tw_expr_char(x, '0', '0'));
    uint32_t fractions = x->stack.n;
    for (uint32_t i = 0; i <= at->n_fraction; i++) {
        uint32_t inner = x->stack.n;
        push(x, point);
        if (i < at->n_fraction && at->fraction[i] < '9') {
            push_above(x, at->fraction, i);
        } else if (i == at->n_fraction) {
            push(x, tw_expr_text(x, (struct tw_bytes){at->fraction, i}));
            push(x, or_equal ? TW_EXPR_EMPTY : digits(x, '0', 0, TW_EXPR_NO_END));
            push(x, or_equal ? TW_EXPR_EMPTY : digits(x, '1', 1, 1));
        } else {
            push(x, TW_EXPR_NOTHING);
        }
        push(x, TW_EXPR_ANY);
        push(x, tw_expr_pop_sequence(x, inner));
    }
    if (or_equal && at->n_fraction == 0) {
        push(x, TW_EXPR_EMPTY);
    }
    push(x, tw_expr_pop_choice(x, fractions));
    push(x, tw_expr_pop_sequence(x, outer));
    return tw_expr_pop_choice(x, base);
}

/* Magnitudes that a bound keeps away from zero, and those that it keeps near it. */
static tw_expr beyond(struct tw_exprs *x, const struct tw_number_bound *bound)
{
    return above(x, &bound->at, !bound->is_open);
}

static tw_expr within(struct tw_exprs *x, const struct tw_number_bound *bound)
{
    return tw_expr_not(x, above(x, &bound->at, bound->is_open));
}

static uint32_t most_digits(uint8_t a, uint8_t b)
{
    uint32_t n = a > b ? a : b;
    return n > TW_NUMBER_DIGITS ? n : TW_NUMBER_DIGITS;
}

/* How magnitudes look. */
static tw_expr shape(struct tw_exprs *x, const struct tw_number_range *range)
{
    const struct tw_decimal *low = &range->low.at, *high = &range->high.at;
    const struct tw_char_range e[] = {{'E', 'E'}, {'e', 'e'}}, sign[] = {{'+', '+'}, {'-', '-'}};
    uint32_t n_whole = most_digits(low->n_whole, high->n_whole), base = x->stack.n;
    push(x,
         tw_expr_either(x, tw_expr_char(x, '0', '0'),
                        tw_expr_sequence(x, digits(x, '1', 1, 1), digits(x, '0', 0, n_whole - 1))));
    if (!range->is_integer) {
        tw_expr fraction = digits(x, '0', 1, most_digits(low->n_fraction, high->n_fraction));
        fraction = tw_expr_sequence(x, tw_expr_char(x, '.', '.'), fraction);
        push(x, tw_expr_either(x, TW_EXPR_EMPTY, fraction));
    }
    if (!range->is_integer && !range->low.exists && !range->high.exists) {
        uint32_t inner = x->stack.n;
        push(x, tw_expr_set(x, e, 2));
        push(x, tw_expr_repeat(x, tw_expr_set(x, sign, 2), 0, 1));
        push(x, digits(x, '0', 1, 2));
        push(x, tw_expr_repeat(x, tw_expr_pop_sequence(x, inner), 0, 1));
    }
    tw_expr all = tw_expr_pop_sequence(x, base);
    return range->multiple_of > 1 ? tw_expr_both(x, all, tw_expr_multiple(x, range->multiple_of, 0))
                                  : all;
}

tw_expr tw_number_range_expr(struct tw_exprs *exprs, const struct tw_number_range *range)
{
    const struct tw_number_bound *low = &range->low, *high = &range->high;
    const struct tw_decimal zero = {0};
    bool low_is_negative = !low->exists || low->at.is_negative;
    bool high_is_positive = !high->exists || !high->at.is_negative;
    tw_expr positive = high_is_positive ? shape(exprs, range) : TW_EXPR_NOTHING;
    tw_expr negative = low_is_negative ? shape(exprs, range) : TW_EXPR_NOTHING;
    negative = tw_expr_both(exprs, negative, above(exprs, &zero, false));
    if (low->exists && low_is_negative) {
        negative = tw_expr_both(exprs, negative, within(exprs, low));
    } else if (low->exists) {
        positive = tw_expr_both(exprs, positive, beyond(exprs, low));
    }
    if (high->exists && high_is_positive) {
        positive = tw_expr_both(exprs, positive, within(exprs, high));
    } else if (high->exists) {
        negative = tw_expr_both(exprs, negative, beyond(exprs, high));
    }
    return tw_expr_either(exprs, positive,
                          tw_expr_sequence(exprs, tw_expr_char(exprs, '-', '-'), negative));
}
