#include <string.h>

#include "text/jinja_syntax.h"

bool tw_jinja_is_whole(struct tw_jinja_value value)
{
    return value.kind == TW_JINJA_BOOL || value.kind == TW_JINJA_INT;
}

bool tw_jinja_is_number(struct tw_jinja_value value)
{
    return tw_jinja_is_whole(value) || value.kind == TW_JINJA_REAL;
}

int64_t tw_jinja_as_int(struct tw_jinja_value whole)
{
    return whole.kind == TW_JINJA_INT ? whole.integer : whole.boolean;
}

double tw_jinja_as_real(struct tw_jinja_value number)
{
    return number.kind == TW_JINJA_REAL ? number.real : (double)tw_jinja_as_int(number);
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
        return value.list->n_items != 0;
    case TW_JINJA_DICT:
        return value.dict->n_pairs != 0;
    default:
        return true;
    }
}

/* Below, at or above 0. */
static int order_numbers(struct tw_jinja_value a, struct tw_jinja_value b)
{
    if (tw_jinja_is_whole(a) && tw_jinja_is_whole(b)) {
        int64_t x = tw_jinja_as_int(a), y = tw_jinja_as_int(b);
        return (x > y) - (x < y);
    }
    double x = tw_jinja_as_real(a), y = tw_jinja_as_real(b);
    return (x > y) - (x < y);
}

static int order_strings(struct tw_jinja *j, const struct tw_jinja_string *a,
                         const struct tw_jinja_string *b)
{
    size_t common = a->size_bytes < b->size_bytes ? a->size_bytes : b->size_bytes;
    int order = common > 0 ? memcmp(a->data, b->data, common) : 0;
    tw_jinja_step(j, common / 64);
    return order != 0 ? order : (a->size_bytes > b->size_bytes) - (a->size_bytes < b->size_bytes);
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

bool tw_jinja_equal(struct tw_jinja *j, struct tw_jinja_value a, struct tw_jinja_value b)
{
    if (tw_jinja_is_number(a) && tw_jinja_is_number(b)) {
        return order_numbers(a, b) == 0;
    }
    if (a.kind != b.kind) {
        return false;
    }
    if (a.kind == TW_JINJA_STRING) {
        return a.string->size_bytes == b.string->size_bytes &&
               order_strings(j, a.string, b.string) == 0;
    }
    if (a.kind < TW_JINJA_STRING) {
        return true; /* both none, both undefined */
    }
    if (a.kind > TW_JINJA_DICT || a.list == b.list) {
        return a.list == b.list;
    }
    if (!tw_jinja_enter(j)) {
        return false;
    }
    bool equal =
        a.kind == TW_JINJA_DICT ? equal_dicts(j, a.dict, b.dict) : equal_lists(j, a.list, b.list);
    tw_jinja_leave(j);
    return equal;
}

static int order(struct tw_jinja *j, struct tw_jinja_value a, struct tw_jinja_value b)
{
    if (tw_jinja_is_number(a) && tw_jinja_is_number(b)) {
        return order_numbers(a, b);
    }
    if (a.kind == TW_JINJA_STRING && b.kind == TW_JINJA_STRING) {
        return order_strings(j, a.string, b.string);
    }
    if (a.kind == TW_JINJA_UNDEFINED || b.kind == TW_JINJA_UNDEFINED) {
        tw_jinja_fail_undefined(j, a.kind == TW_JINJA_UNDEFINED ? a : b);
    } else {
        tw_jinja_fail(j, "values of these kinds have no order; compare two numbers or two texts");
    }
    return 0;
}

bool tw_jinja_contains(struct tw_jinja *j, struct tw_jinja_value set, struct tw_jinja_value item)
{
    if (set.kind == TW_JINJA_STRING && item.kind == TW_JINJA_STRING) {
        return tw_jinja_find(j, set.string, 0, item.string) != SIZE_MAX;
    }
    if (set.kind == TW_JINJA_DICT && item.kind != TW_JINJA_LIST && item.kind != TW_JINJA_DICT) {
        return tw_jinja_lookup(j, set.dict, item) != NULL;
    }
    if (set.kind == TW_JINJA_LIST || set.kind == TW_JINJA_TUPLE) {
        for (size_t i = 0; i < set.list->n_items && tw_jinja_step(j, 1); i++) {
            if (tw_jinja_equal(j, set.list->items[i], item)) {
                return true;
            }
        }
    } else if (set.kind != TW_JINJA_UNDEFINED) {
        tw_jinja_fail(j, "'in' needs a list, a dict and a key, or two texts");
    }
    return false;
}

bool tw_jinja_compare(struct tw_jinja *j, int op, struct tw_jinja_value a, struct tw_jinja_value b)
{
    switch (op) {
    case TW_JINJA_OP('=', '='):
        return tw_jinja_equal(j, a, b);
    case TW_JINJA_OP('!', '='):
        return !tw_jinja_equal(j, a, b);
    case TW_JINJA_IN:
        return tw_jinja_contains(j, b, a);
    case TW_JINJA_NOT_IN:
        return !tw_jinja_contains(j, b, a);
    case '<':
        return order(j, a, b) < 0;
    case '>':
        return order(j, a, b) > 0;
    case TW_JINJA_OP('<', '='):
        return order(j, a, b) <= 0;
    default:
        return order(j, a, b) >= 0;
    }
}
