#include <limits.h>
#include <math.h>
#include <string.h>

#include "text/jinja_value.h"

bool tw_jinja_is_number(struct tw_jinja_value value)
{
    return value.kind == TW_JINJA_BOOL || value.kind == TW_JINJA_INT || value.kind == TW_JINJA_REAL;
}

double tw_jinja_as_real(struct tw_jinja_value number)
{
    return number.kind == TW_JINJA_REAL  ? number.real
           : number.kind == TW_JINJA_INT ? (double)number.integer
                                         : (double)number.boolean;
}

/* 64 bits of mantissa hold every integer and every double: comparisons are exact. */
static long double exact(struct tw_jinja_value number)
{
    return number.kind == TW_JINJA_INT ? (long double)number.integer
                                       : (long double)tw_jinja_as_real(number);
}

bool tw_jinja_truth(struct tw_jinja_value value)
{
    switch (value.kind) {
    case TW_JINJA_UNDEFINED:
    case TW_JINJA_NONE:
    case TW_JINJA_ABSENT:
        return false;
    case TW_JINJA_BOOL:
        return value.boolean;
    case TW_JINJA_INT:
        return value.integer != 0;
    case TW_JINJA_REAL:
        return value.real != 0;
    case TW_JINJA_STRING:
        return value.string->size_bytes != 0;
    case TW_JINJA_LIST:
    case TW_JINJA_TUPLE:
    case TW_JINJA_RANGE:
    case TW_JINJA_VIEW:
        return value.list->n_items != 0;
    case TW_JINJA_DICT:
        return value.dict->n_pairs != 0;
    default:
        return true;
    }
}

static int order_strings(const struct tw_jinja_string *a, const struct tw_jinja_string *b)
{
    size_t common = a->size_bytes < b->size_bytes ? a->size_bytes : b->size_bytes;
    int order = common > 0 ? memcmp(a->data, b->data, common) : 0;
    return order != 0 ? order : (a->size_bytes > b->size_bytes) - (a->size_bytes < b->size_bytes);
}

bool tw_jinja_same(struct tw_jinja_value a, struct tw_jinja_value b)
{
    if (a.kind != b.kind) {
        return false;
    }
    switch (a.kind) {
    case TW_JINJA_UNDEFINED:
        return false;
    case TW_JINJA_NONE:
        return true;
    case TW_JINJA_BOOL:
        return a.boolean == b.boolean;
    case TW_JINJA_INT:
        return a.integer == b.integer;
    case TW_JINJA_REAL:
        return a.real == b.real;
    case TW_JINJA_STRING:
        return order_strings(a.string, b.string) == 0;
    default:
        return a.list == b.list;
    }
}

static bool equal_lists(struct tw_jinja *j, const struct tw_jinja_list *a,
                        const struct tw_jinja_list *b)
{
    bool equal = a->n_items == b->n_items;
    for (size_t i = 0; equal && i < a->n_items && i < b->n_items && tw_jinja_step(j, 1); i++) {
        equal = tw_jinja_equal(j, a->items[i], b->items[i]);
    }
    return equal;
}

static bool equal_dicts(struct tw_jinja *j, const struct tw_jinja_dict *a,
                        const struct tw_jinja_dict *b)
{
    bool equal = a->n_pairs == b->n_pairs;
    for (size_t i = 0; equal && i < a->n_pairs && tw_jinja_step(j, 1); i++) {
        const struct tw_jinja_value *other = tw_jinja_lookup(j, b, a->pairs[i].key);
        equal = other != NULL && tw_jinja_equal(j, a->pairs[i].value, *other);
    }
    return equal;
}

static bool equal_kinds(struct tw_jinja *j, struct tw_jinja_value a, struct tw_jinja_value b)
{
    switch (a.kind) {
    case TW_JINJA_UNDEFINED:
        return true;
    case TW_JINJA_LIST:
    case TW_JINJA_TUPLE:
    case TW_JINJA_RANGE:
        return a.list == b.list || equal_lists(j, a.list, b.list);
    case TW_JINJA_DICT:
        return a.dict == b.dict || equal_dicts(j, a.dict, b.dict);
    default:
        return tw_jinja_same(a, b);
    }
}

bool tw_jinja_equal(struct tw_jinja *j, struct tw_jinja_value a, struct tw_jinja_value b)
{
    if (tw_jinja_is_number(a) && tw_jinja_is_number(b)) {
        return exact(a) == exact(b);
    }
    if (a.kind != b.kind) {
        return false;
    }
    if (a.kind == TW_JINJA_STRING) {
        size_t n = a.string->size_bytes;
        return n == b.string->size_bytes && tw_jinja_step(j, n / 64) && tw_jinja_same(a, b);
    }
    if (a.kind < TW_JINJA_STRING && a.kind != TW_JINJA_UNDEFINED) {
        return tw_jinja_same(a, b);
    }
    if (!tw_jinja_enter(j)) {
        return false;
    }
    bool equal = equal_kinds(j, a, b);
    tw_jinja_leave(j);
    return equal;
}

static int order_lists(struct tw_jinja *j, const struct tw_jinja_list *a,
                       const struct tw_jinja_list *b)
{
    for (size_t i = 0; i < a->n_items && i < b->n_items && tw_jinja_step(j, 1); i++) {
        if (!tw_jinja_equal(j, a->items[i], b->items[i])) {
            return tw_jinja_order(j, a->items[i], b->items[i]);
        }
    }
    return (a->n_items > b->n_items) - (a->n_items < b->n_items);
}

int tw_jinja_order(struct tw_jinja *j, struct tw_jinja_value a, struct tw_jinja_value b)
{
    if (tw_jinja_is_number(a) && tw_jinja_is_number(b)) {
        long double x = exact(a), y = exact(b);
        return isnan(x) || isnan(y) ? INT_MIN : (x > y) - (x < y);
    }
    if (a.kind == b.kind && a.kind == TW_JINJA_STRING) {
        tw_jinja_step(j, a.string->size_bytes / 64);
        return order_strings(a.string, b.string);
    }
    if (a.kind == b.kind && (a.kind == TW_JINJA_LIST || a.kind == TW_JINJA_TUPLE)) {
        if (!tw_jinja_enter(j)) {
            return 0;
        }
        int order = order_lists(j, a.list, b.list);
        tw_jinja_leave(j);
        return order;
    }
    const struct tw_jinja_value *odd = b.kind == TW_JINJA_UNDEFINED ? &b : &a;
    if (odd->kind == TW_JINJA_UNDEFINED) {
        tw_jinja_fail(j, "'%.60s' is undefined and cannot be compared",
                      odd->name != NULL ? odd->name : "a value");
    } else {
        tw_jinja_fail(j, "values of these kinds have no order; compare two numbers or two texts");
    }
    return 0;
}

static bool is_in_string(struct tw_jinja *j, struct tw_jinja_value set, struct tw_jinja_value item)
{
    if (item.kind != TW_JINJA_STRING) {
        tw_jinja_fail(j, "only a text can be in a text");
        return false;
    }
    return tw_jinja_find(j, set.string, 0, set.string->size_bytes, item.string) != SIZE_MAX;
}

bool tw_jinja_contains(struct tw_jinja *j, struct tw_jinja_value set, struct tw_jinja_value item)
{
    if (set.kind == TW_JINJA_STRING) {
        return is_in_string(j, set, item);
    }
    if (set.kind == TW_JINJA_DICT) {
        if (!tw_jinja_hashable(j, item)) {
            tw_jinja_fail(j, "a list or dict cannot be the key of a dict");
            return false;
        }
        return tw_jinja_lookup(j, set.dict, item) != NULL;
    }
    struct tw_jinja_iterator it = tw_jinja_iterate(j, set);
    struct tw_jinja_value member;
    while (tw_jinja_next(j, &it, &member)) {
        if (tw_jinja_equal(j, member, item)) {
            return true;
        }
    }
    return false;
}

bool tw_jinja_hashable(struct tw_jinja *j, struct tw_jinja_value value)
{
    if (value.kind == TW_JINJA_TUPLE) {
        for (size_t i = 0; i < value.list->n_items && tw_jinja_step(j, 1); i++) {
            /* Deeper tuples are refused, so that this need not recurse. */
            if (value.list->items[i].kind == TW_JINJA_TUPLE ||
                !tw_jinja_hashable(j, value.list->items[i])) {
                return false;
            }
        }
        return true;
    }
    return value.kind != TW_JINJA_LIST && value.kind != TW_JINJA_DICT &&
           value.kind != TW_JINJA_VIEW;
}
