#include <math.h>
#include <string.h>

#include "text/jinja_builtins.h"
#include "text/utf8.h"

struct tw_jinja_value tw_jinja_fail_undefined(struct tw_jinja *j, struct tw_jinja_value value)
{
    return tw_jinja_fail(j, "'%.80s' is undefined; the template needs it",
                         value.name != NULL ? value.name : "a value");
}

/* ---- attributes and items ---- */

static struct tw_jinja_value bind(struct tw_jinja *j, struct tw_jinja_value object,
                                  const struct tw_jinja_builtin *builtin)
{
    struct tw_jinja_value value = {.kind = TW_JINJA_METHOD, .method = NULL};
    value.method = tw_jinja_alloc(j, 1, sizeof *value.method);
    if (value.method == NULL) {
        return tw_jinja_undefined(NULL);
    }
    *value.method = (struct tw_jinja_method){object, builtin};
    return value;
}

struct tw_jinja_value tw_jinja_attribute(struct tw_jinja *j, struct tw_jinja_value object,
                                         const char *name, size_t n_bytes)
{
    if (object.kind == TW_JINJA_UNDEFINED) {
        return tw_jinja_fail_undefined(j, object);
    }
    if (object.kind == TW_JINJA_LOOP) {
        return tw_jinja_loop_attribute(j, object.loop, object, name);
    }
    struct tw_bytes text = {name, n_bytes};
    const struct tw_jinja_builtin *method = tw_jinja_find_method(object, text);
    if (method != NULL) {
        return bind(j, object, method);
    }
    if (object.kind == TW_JINJA_DICT || object.kind == TW_JINJA_NAMESPACE) {
        struct tw_jinja_value key = tw_jinja_string(j, name, n_bytes, false);
        const struct tw_jinja_value *found =
            tw_jinja_failed(j) ? NULL : tw_jinja_lookup(j, object.dict, key);
        if (found != NULL) {
            return *found;
        }
    }
    return tw_jinja_undefined(name);
}

static bool is_index(struct tw_jinja_value value)
{
    return value.kind == TW_JINJA_INT || value.kind == TW_JINJA_BOOL;
}

static int64_t index_of(struct tw_jinja_value value)
{
    return value.kind == TW_JINJA_INT ? value.integer : value.boolean;
}

static bool is_indexed(struct tw_jinja_value object)
{
    return object.kind == TW_JINJA_LIST || object.kind == TW_JINJA_TUPLE ||
           object.kind == TW_JINJA_RANGE || object.kind == TW_JINJA_STRING;
}

static struct tw_jinja_value char_at(struct tw_jinja *j, struct tw_jinja_value string, size_t i)
{
    size_t at = tw_jinja_offset(j, string.string, i);
    uint32_t code;
    size_t n = tw_utf8_decode(string.string->data + at, string.string->size_bytes - at, &code);
    return tw_jinja_part(j, string, at, n);
}

struct tw_jinja_value tw_jinja_item(struct tw_jinja *j, struct tw_jinja_value object,
                                    struct tw_jinja_value key)
{
    if (object.kind == TW_JINJA_UNDEFINED) {
        return tw_jinja_fail_undefined(j, object);
    }
    if (tw_jinja_failed(j)) {
        return tw_jinja_undefined(NULL);
    }
    if (object.kind == TW_JINJA_DICT && tw_jinja_hashable(j, key)) {
        const struct tw_jinja_value *found = tw_jinja_lookup(j, object.dict, key);
        if (found != NULL) {
            return *found;
        }
    }
    if (is_indexed(object) && is_index(key)) {
        int64_t n = tw_jinja_length(j, object), i = index_of(key);
        i += i < 0 ? n : 0;
        if (tw_jinja_failed(j) || i < 0 || i >= n) {
            return tw_jinja_undefined("an item outside of the list or text");
        }
        return object.kind == TW_JINJA_STRING ? char_at(j, object, (size_t)i)
                                              : object.list->items[i];
    }
    if (key.kind != TW_JINJA_STRING) {
        return tw_jinja_undefined("an item that is not there");
    }
    /* Errors and lookups want the name terminated. */
    char *name = tw_jinja_alloc(j, key.string->size_bytes + 1, 1);
    if (name == NULL) {
        return tw_jinja_undefined(NULL);
    }
    if (key.string->size_bytes > 0) {
        memcpy(name, key.string->data, key.string->size_bytes);
    }
    return object.kind == TW_JINJA_LOOP || object.kind == TW_JINJA_NAMESPACE ||
                   tw_jinja_find_method(object, tw_bytes_of(name)) != NULL
               ? tw_jinja_attribute(j, object, name, key.string->size_bytes)
               : tw_jinja_undefined(name);
}

/* One end of a slice, as Python counts it: behind the end, if negative; within least and most. */
static int64_t slice_end(struct tw_jinja *j, struct tw_jinja_value value, int64_t if_none,
                         int64_t n, bool backwards)
{
    if (value.kind == TW_JINJA_NONE || value.kind == TW_JINJA_ABSENT) {
        return if_none;
    }
    if (!is_index(value)) {
        tw_jinja_fail(j, "the ends and the stride of a slice must be numbers");
        return 0;
    }
    int64_t i = index_of(value), least = backwards ? -1 : 0, most = backwards ? n - 1 : n;
    i += i < 0 ? n : 0;
    return i < least ? least : i > most ? most : i;
}

struct tw_jinja_value tw_jinja_slice(struct tw_jinja *j, struct tw_jinja_value object,
                                     struct tw_jinja_value from, struct tw_jinja_value to,
                                     struct tw_jinja_value stride)
{
    if (object.kind == TW_JINJA_UNDEFINED) {
        return tw_jinja_fail_undefined(j, object);
    }
    if (!is_indexed(object)) {
        return tw_jinja_fail(j, "only a list or a text can be cut");
    }
    int64_t n = tw_jinja_length(j, object), step = 1;
    if (stride.kind != TW_JINJA_NONE && stride.kind != TW_JINJA_ABSENT) {
        step = is_index(stride) ? index_of(stride) : 0;
        if (step == 0) {
            return tw_jinja_fail(j, "the stride of a slice must be a number and not 0");
        }
    }
    int64_t i = slice_end(j, from, step > 0 ? 0 : n - 1, n, step < 0);
    int64_t end = slice_end(j, to, step > 0 ? n : -1, n, step < 0);
    if (object.kind == TW_JINJA_STRING && step == 1) {
        size_t begin = tw_jinja_offset(j, object.string, (size_t)i);
        size_t stop = tw_jinja_offset(j, object.string, (size_t)(end > i ? end : i));
        return tw_jinja_failed(j) ? object : tw_jinja_part(j, object, begin, stop - begin);
    }
    struct tw_jinja_value list =
        object.kind == TW_JINJA_STRING ? tw_jinja_collect(j, object, TW_JINJA_LIST) : object;
    struct tw_jinja_builder b = tw_jinja_builder(j);
    b.is_markup = object.is_markup;
    struct tw_jinja_value result = tw_jinja_list(j, object.kind);
    if (object.kind == TW_JINJA_RANGE && !tw_jinja_failed(j)) {
        const struct tw_jinja_list *range = object.list;
        result.list->start = range->start + i * range->stride;
        result.list->stop = range->start + end * range->stride;
        if (__builtin_mul_overflow(range->stride, step, &result.list->stride)) {
            return tw_jinja_fail_limit(j, "a number has more than 64 bits");
        }
    }
    while (!tw_jinja_failed(j) && (step > 0 ? i < end : i > end)) {
        if (object.kind == TW_JINJA_STRING) {
            tw_jinja_put_value(&b, list.list->items[i]);
        } else {
            tw_jinja_append(j, result.list, list.list->items[i]);
        }
        if (__builtin_add_overflow(i, step, &i)) {
            break;
        }
    }
    result.is_input = object.is_input;
    return object.kind == TW_JINJA_STRING ? tw_jinja_built(&b) : result;
}

/* ---- arithmetic ---- */

static struct tw_jinja_value floor_divide(struct tw_jinja *j, int op, int64_t a, int64_t b)
{
    if (b == -1) {
        int64_t negative;
        if (op == '%') {
            return tw_jinja_int(0);
        }
        return __builtin_sub_overflow((int64_t)0, a, &negative)
                   ? tw_jinja_fail_limit(j, "a number has more than 64 bits")
                   : tw_jinja_int(negative);
    }
    int64_t quotient = a / b, rest = a % b;
    bool corrects = rest != 0 && (rest < 0) != (b < 0);
    return tw_jinja_int(op == '%' ? rest + (corrects ? b : 0) : quotient - corrects);
}

static bool power(int64_t base, int64_t exponent, int64_t *ret_value)
{
    int64_t value = 1;
    while (exponent > 0) {
        if (exponent % 2 != 0 && __builtin_mul_overflow(value, base, &value)) {
            return false;
        }
        exponent /= 2;
        if (exponent > 0 && __builtin_mul_overflow(base, base, &base)) {
            return false;
        }
    }
    *ret_value = value;
    return true;
}

static struct tw_jinja_value operate_ints(struct tw_jinja *j, int op, int64_t a, int64_t b)
{
    int64_t value = 0;
    bool fits = true;
    switch (op) {
    case '+':
        fits = !__builtin_add_overflow(a, b, &value);
        break;
    case '-':
        fits = !__builtin_sub_overflow(a, b, &value);
        break;
    case '*':
        fits = !__builtin_mul_overflow(a, b, &value);
        break;
    case TW_JINJA_OP('*', '*'):
        fits = power(a, b, &value);
        break;
    default:
        return floor_divide(j, op, a, b);
    }
    return fits ? tw_jinja_int(value) : tw_jinja_fail_limit(j, "a number has more than 64 bits");
}

static struct tw_jinja_value operate_reals(struct tw_jinja *j, int op, double a, double b)
{
    double rest;
    switch (op) {
    case '+':
        return tw_jinja_real(a + b);
    case '-':
        return tw_jinja_real(a - b);
    case '*':
        return tw_jinja_real(a * b);
    case '/':
        return tw_jinja_real(a / b);
    case TW_JINJA_OP('*', '*'):
        if ((a == 0 && b < 0) || (a < 0 && isfinite(b) && b != floor(b)) ||
            (isinf(pow(a, b)) && isfinite(a) && isfinite(b))) {
            return tw_jinja_fail(j, "this power is no real number");
        }
        return tw_jinja_real(pow(a, b));
    default:
        /* As Python does it: the rest has the sign of b, and the quotient is made of it. */
        rest = fmod(a, b);
        double quotient = (a - rest) / b;
        if (rest != 0 && (b < 0) != (rest < 0)) {
            rest += b;
            quotient -= 1;
        } else if (rest == 0) {
            rest = copysign(0.0, b);
        }
        double whole = floor(quotient);
        whole += quotient - whole > 0.5 ? 1 : 0;
        whole = quotient == 0 ? copysign(0.0, a / b) : whole;
        return tw_jinja_real(op == '%' ? rest : whole);
    }
}

static struct tw_jinja_value operate_numbers(struct tw_jinja *j, int op, struct tw_jinja_value a,
                                             struct tw_jinja_value b)
{
    bool divides = op == '/' || op == '%' || op == TW_JINJA_OP('/', '/');
    if (divides && tw_jinja_as_real(b) == 0) {
        return tw_jinja_fail(j, "a division by zero");
    }
    bool ints = a.kind != TW_JINJA_REAL && b.kind != TW_JINJA_REAL && op != '/' &&
                !(op == TW_JINJA_OP('*', '*') && index_of(b) < 0);
    struct tw_jinja_value value =
        ints ? operate_ints(j, op, index_of(a), index_of(b))
             : operate_reals(j, op, tw_jinja_as_real(a), tw_jinja_as_real(b));
    value.is_input = a.is_input || b.is_input;
    return value;
}

static struct tw_jinja_value repeat(struct tw_jinja *j, struct tw_jinja_value what, int64_t n)
{
    if (what.kind == TW_JINJA_STRING) {
        struct tw_jinja_builder b = tw_jinja_builder(j);
        b.is_markup = what.is_markup;
        for (int64_t i = 0; i < n && tw_jinja_step(j, 1); i++) {
            tw_jinja_put_value(&b, what);
        }
        return tw_jinja_built(&b);
    }
    struct tw_jinja_value list = tw_jinja_list(j, what.kind);
    for (int64_t i = 0; i < n && tw_jinja_step(j, 1); i++) {
        for (size_t k = 0; k < what.list->n_items && !tw_jinja_failed(j); k++) {
            tw_jinja_append(j, list.list, what.list->items[k]);
        }
    }
    list.is_input = what.is_input;
    return list;
}

static struct tw_jinja_value add(struct tw_jinja *j, struct tw_jinja_value a,
                                 struct tw_jinja_value b)
{
    if (a.kind == TW_JINJA_STRING) {
        if (a.is_markup || b.is_markup) {
            a = tw_jinja_escape(j, a);
            b = tw_jinja_escape(j, b);
        }
        return tw_jinja_failed(j) ? a : tw_jinja_join_two(j, a, b);
    }
    struct tw_jinja_value list = tw_jinja_collect(j, a, a.kind);
    for (size_t i = 0; i < b.list->n_items && !tw_jinja_failed(j); i++) {
        tw_jinja_append(j, list.list, b.list->items[i]);
    }
    list.is_input = a.is_input || b.is_input;
    return list;
}

static bool is_sequence(struct tw_jinja_value value)
{
    return value.kind == TW_JINJA_STRING || value.kind == TW_JINJA_LIST ||
           value.kind == TW_JINJA_TUPLE;
}

struct tw_jinja_value tw_jinja_operate(struct tw_jinja *j, int op, struct tw_jinja_value a,
                                       struct tw_jinja_value b)
{
    if (tw_jinja_failed(j)) {
        return a;
    }
    if (tw_jinja_is_number(a) && tw_jinja_is_number(b)) {
        return operate_numbers(j, op, a, b);
    }
    if (op == '+' && a.kind == b.kind && is_sequence(a)) {
        return add(j, a, b);
    }
    if (op == '*' && is_sequence(a) && is_index(b)) {
        return repeat(j, a, index_of(b));
    }
    if (op == '*' && is_index(a) && is_sequence(b)) {
        return repeat(j, b, index_of(a));
    }
    if (op == '%' && a.kind == TW_JINJA_STRING) {
        return tw_jinja_percent(j, a, b);
    }
    if (a.kind == TW_JINJA_UNDEFINED || b.kind == TW_JINJA_UNDEFINED) {
        return tw_jinja_fail_undefined(j, a.kind == TW_JINJA_UNDEFINED ? a : b);
    }
    return tw_jinja_fail(j,
                         "'%.*s%c' does not go with values of these kinds; numbers, or two "
                         "texts or lists for +, are expected",
                         op > 255, &(char){(char)(op >> 8)}, op & 255);
}

struct tw_jinja_value tw_jinja_sign(struct tw_jinja *j, int op, struct tw_jinja_value value)
{
    if (value.kind == TW_JINJA_UNDEFINED) {
        return tw_jinja_fail_undefined(j, value);
    }
    if (!tw_jinja_is_number(value)) {
        return tw_jinja_fail(j, "only a number can have the sign '%c'", op);
    }
    if (value.kind == TW_JINJA_REAL) {
        return tw_jinja_real(op == '-' ? -value.real : value.real);
    }
    return operate_ints(j, op, 0, index_of(value));
}
