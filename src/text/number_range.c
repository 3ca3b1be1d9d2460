#include "text/number_range.h"

#include <stdio.h>
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

/* ---- numbers without their sign ---- */

enum order { BELOW, EQUAL, ABOVE, ORDERS };

struct bound {
    bool exists, is_open;
    struct tw_decimal at; /* not negative */
};

/* Where the writer is: `place` counts digits of the whole part (1..n_whole_most), then comes a
 * single "0", the point, and digits of the fraction. */
struct moment {
    uint32_t place;
    enum order low, high;
    uint32_t remainder;
};

struct machine {
    struct tw_grammar *grammar;
    struct bound low, high;
    bool is_integer;
    uint32_t multiple_of;
    uint32_t n_whole_most, n_fraction_most;
    uint32_t zero, point; /* places */
    uint32_t to;
    uint32_t exponent;    /* a node behind which an exponent's digits come; 0: none */
    struct tw_list nodes; /* uint32_t by moment; 0: not met yet */
    struct tw_list met;   /* struct moment, in the order in which they were met */
};

static uint32_t node_of(struct machine *m, struct moment moment)
{
    uint32_t place =
        ((moment.place * ORDERS + moment.low) * ORDERS + moment.high) * m->multiple_of +
        moment.remainder;
    uint32_t *node = (uint32_t *)m->nodes.items + place;
    if (*node == 0) {
        struct moment *met = tw_list_add(&m->met, m->grammar->budget, 1, sizeof *met);
        if (met != NULL) {
            *met = moment;
            *node = tw_grammar_add_node(m->grammar);
        }
    }
    return *node;
}

static uint32_t whole_digits(const struct machine *m, uint32_t place)
{
    return place <= m->n_whole_most ? place : 0;
}

/* The comparison behind one more digit; n_before digits of its part came before it. */
static enum order compare_digit(const struct bound *bound, enum order order, bool is_fraction,
                                uint32_t n_before, char digit)
{
    uint32_t n_there = is_fraction ? bound->at.n_fraction : bound->at.n_whole;
    if (!is_fraction && n_before >= n_there) {
        return ABOVE; /* longer than the bound, and it does not begin with 0 */
    }
    if (order != EQUAL) {
        return order;
    }
    char there = n_before >= n_there ? '0'
                 : is_fraction       ? bound->at.fraction[n_before]
                                     : bound->at.whole[n_before];
    return digit < there ? BELOW : digit > there ? ABOVE : EQUAL;
}

/* The comparison when the whole part ends here. */
static enum order end_whole(const struct machine *m, const struct bound *bound, enum order order,
                            uint32_t place)
{
    bool is_shorter = place < m->point && whole_digits(m, place) < bound->at.n_whole;
    return is_shorter ? BELOW : order;
}

/* And when the number does. */
static enum order end_number(const struct machine *m, const struct bound *bound, enum order order,
                             uint32_t place)
{
    order = end_whole(m, bound, order, place);
    uint32_t n_fraction = place > m->point ? place - m->point : 0;
    return order == EQUAL && n_fraction < bound->at.n_fraction ? BELOW : order;
}

static bool is_inside(const struct machine *m, struct moment now)
{
    enum order low = end_number(m, &m->low, now.low, now.place);
    enum order high = end_number(m, &m->high, now.high, now.place);
    bool above_low = !m->low.exists || low == ABOVE || (low == EQUAL && !m->low.is_open);
    bool below_high = !m->high.exists || high == BELOW || (high == EQUAL && !m->high.is_open);
    return above_low && below_high && now.remainder == 0 && now.place != 0 && now.place != m->point;
}

/* False where no digit may come. */
static bool next_place(const struct machine *m, uint32_t place, char digit, uint32_t *ret_place)
{
    if (place == 0) {
        *ret_place = digit == '0' ? m->zero : 1;
        return true;
    }
    bool goes_on =
        place < m->n_whole_most || (place >= m->point && place < m->point + m->n_fraction_most);
    *ret_place = place + 1;
    return goes_on;
}

/* "0" as the whole part has no digits to compare; a bound's comparison starts as EQUAL. */
static enum order follow_bound(const struct machine *m, const struct bound *bound, enum order order,
                               uint32_t place, char digit)
{
    if (!bound->exists || (place == 0 && digit == '0')) {
        return order;
    }
    bool is_fraction = place >= m->point;
    uint32_t n_before = is_fraction ? place - m->point : place;
    return compare_digit(bound, order, is_fraction, n_before, digit);
}

/* Digits that lead to the same moment are one edge: most do. */
static void add_digits(struct machine *m, struct moment now, uint32_t node)
{
    uint32_t target = 0;
    unsigned first = '0';
    for (char digit = '0'; digit <= '9'; digit++) {
        struct moment next = now;
        if (!next_place(m, now.place, digit, &next.place)) {
            return;
        }
        next.low = follow_bound(m, &m->low, now.low, now.place, digit);
        next.high = follow_bound(m, &m->high, now.high, now.place, digit);
        next.remainder = (now.remainder * 10 + (uint32_t)(digit - '0')) % m->multiple_of;
        uint32_t reached = node_of(m, next);
        if (digit > '0' && reached != target) {
            tw_grammar_add_range(m->grammar, node, target, first, (unsigned)digit - 1);
            first = (unsigned)digit;
        }
        target = reached;
    }
    tw_grammar_add_range(m->grammar, node, target, first, '9');
}

static void add_moment(struct machine *m, struct moment now)
{
    uint32_t node = node_of(m, now);
    add_digits(m, now, node);
    if (!m->is_integer && now.place > 0 && now.place < m->point) {
        struct moment next = {m->point, end_whole(m, &m->low, now.low, now.place),
                              end_whole(m, &m->high, now.high, now.place), 0};
        tw_grammar_add_byte(m->grammar, node, node_of(m, next), '.');
    }
    if (is_inside(m, now)) {
        tw_grammar_add_empty(m->grammar, node, m->to);
        if (m->exponent != 0) {
            tw_grammar_add_byte(m->grammar, node, m->exponent, 'e');
            tw_grammar_add_byte(m->grammar, node, m->exponent, 'E');
        }
    }
}

static uint32_t most_digits(uint8_t a, uint8_t b)
{
    uint32_t n = a > b ? a : b;
    return n > TW_NUMBER_DIGITS ? n : TW_NUMBER_DIGITS;
}

static void run_machine(struct machine *m, uint32_t from)
{
    struct tw_budget *budget = m->grammar->budget;
    m->n_whole_most = most_digits(m->low.at.n_whole, m->high.at.n_whole);
    m->n_fraction_most = most_digits(m->low.at.n_fraction, m->high.at.n_fraction);
    m->zero = m->n_whole_most + 1;
    m->point = m->zero + 1;
    uint32_t n_places = m->is_integer ? m->point : m->point + m->n_fraction_most + 1;
    struct moment first = {0, EQUAL, EQUAL, 0};
    if (tw_list_add(&m->nodes, budget, n_places * ORDERS * ORDERS * m->multiple_of,
                    sizeof(uint32_t)) != NULL) {
        tw_grammar_add_empty(m->grammar, from, node_of(m, first));
    }
    for (uint32_t i = 0; i < m->met.n && budget->status == TW_OK; i++) {
        add_moment(m, ((const struct moment *)m->met.items)[i]);
    }
    tw_list_free(&m->nodes, budget, sizeof(uint32_t));
    tw_list_free(&m->met, budget, sizeof(struct moment));
}

/* ---- signs ---- */

static struct bound magnitude(bool exists, bool is_open, const struct tw_decimal *at)
{
    struct bound bound = {.exists = exists, .is_open = is_open};
    if (exists) {
        bound.at = *at;
        bound.at.is_negative = false;
    }
    return bound;
}

static uint32_t add_exponent(struct tw_grammar *grammar, uint32_t to)
{
    uint32_t sign = tw_grammar_add_node(grammar), first = tw_grammar_add_node(grammar);
    uint32_t second = tw_grammar_add_node(grammar);
    tw_grammar_add_byte(grammar, sign, first, '+');
    tw_grammar_add_byte(grammar, sign, first, '-');
    tw_grammar_add_empty(grammar, sign, first);
    tw_grammar_add_range(grammar, first, second, '0', '9');
    tw_grammar_add_empty(grammar, second, to);
    tw_grammar_add_range(grammar, second, to, '0', '9');
    return sign;
}

void tw_grammar_add_number(struct tw_grammar *grammar, uint32_t from, uint32_t to,
                           const struct tw_number_range *range)
{
    static const struct tw_decimal zero;
    bool may_be_negative = !range->has_low || range->low.is_negative;
    bool may_be_positive = !range->has_high || !range->high.is_negative;
    bool is_free = !range->has_low && !range->has_high && !range->is_integer;
    uint32_t exponent = is_free ? add_exponent(grammar, to) : 0;
    const struct machine common = {
        .grammar = grammar,
        .is_integer = range->is_integer,
        .multiple_of = range->multiple_of,
        .to = to,
        .exponent = exponent,
    };
    if (may_be_positive) {
        struct machine m = common;
        bool has_low = range->has_low && !range->low.is_negative;
        m.low = magnitude(has_low, range->is_low_open, &range->low);
        m.high = magnitude(range->has_high, range->is_high_open, &range->high);
        run_machine(&m, from);
    }
    if (may_be_negative) {
        struct machine m = common;
        uint32_t node = tw_grammar_add_node(grammar);
        tw_grammar_add_byte(grammar, from, node, '-');
        bool has_low = range->has_high && range->high.is_negative;
        m.low = has_low ? magnitude(true, range->is_high_open, &range->high)
                        : magnitude(true, true, &zero);
        m.high = magnitude(range->has_low, range->is_low_open, &range->low);
        run_machine(&m, node);
    }
}
