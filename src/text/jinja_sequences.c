#include <string.h>

#include "text/jinja_run.h"

/* ---- keys to compare by ---- */

/* item.attribute; "function.name" goes into nested items. */
static struct tw_jinja_value attribute_of(struct tw_jinja *j, struct tw_jinja_value item,
                                          struct tw_jinja_value attribute)
{
    if (!tw_jinja_is_given(attribute)) {
        return item;
    }
    if (attribute.kind != TW_JINJA_STRING) {
        return tw_jinja_item(j, item, attribute);
    }
    const struct tw_jinja_string *s = attribute.string;
    for (size_t at = 0; at <= s->size_bytes && !tw_jinja_failed(j);) {
        const char *dot = s->size_bytes > at ? memchr(s->data + at, '.', s->size_bytes - at) : NULL;
        size_t end = dot != NULL ? (size_t)(dot - s->data) : s->size_bytes;
        item = tw_jinja_item(j, item, tw_jinja_part(j, attribute, at, end - at));
        at = end + 1;
    }
    return item;
}

/* (key, value) of all pairs of a dict. */
static struct tw_jinja_value pairs_of(struct tw_jinja *j, struct tw_jinja_value dict)
{
    struct tw_jinja_value list = tw_jinja_list(j, TW_JINJA_LIST);
    for (size_t i = 0; !tw_jinja_failed(j) && i < dict.dict->n_pairs; i++) {
        struct tw_jinja_value pair = tw_jinja_list(j, TW_JINJA_TUPLE);
        if (!tw_jinja_failed(j)) {
            tw_jinja_append(j, pair.list, dict.dict->pairs[i].key);
            tw_jinja_append(j, pair.list, dict.dict->pairs[i].value);
            tw_jinja_append(j, list.list, pair);
        }
    }
    return list;
}

/* Texts are compared without their case, if it is not asked for. */
static struct tw_jinja_value fold(struct tw_jinja *j, struct tw_jinja_value value,
                                  struct tw_jinja_value exact)
{
    bool folds = value.kind == TW_JINJA_STRING && !tw_jinja_truth(exact);
    return folds ? tw_jinja_lower(j, value) : value;
}

/* ---- sorting ---- */

/* The values by their keys, equal ones in their order. By insertion: lists of templates are short,
 * and each comparison is counted. */
static struct tw_jinja_value sorted(struct tw_jinja *j, struct tw_jinja_pair *pairs, size_t n,
                                    bool reverse)
{
    struct tw_jinja_value list = tw_jinja_list(j, TW_JINJA_LIST);
    for (size_t i = 0; i < n && !tw_jinja_failed(j); i++) {
        struct tw_jinja_pair pair = pairs[i];
        size_t at = i;
        while (at > 0 && tw_jinja_step(j, 1) &&
               tw_jinja_compare(j, reverse ? '>' : '<', pair.key, pairs[at - 1].key)) {
            pairs[at] = pairs[at - 1];
            at--;
        }
        pairs[at] = pair;
    }
    for (size_t i = 0; i < n && !tw_jinja_failed(j); i++) {
        tw_jinja_append(j, list.list, pairs[i].value);
    }
    return list;
}

TW_JINJA_ROW(sort)
{
    struct tw_jinja_value items = tw_jinja_collect(j, a[0], TW_JINJA_LIST);
    size_t n = tw_jinja_failed(j) ? 0 : items.list->n_items;
    struct tw_jinja_pair *pairs = tw_jinja_alloc(j, n, sizeof *pairs);
    for (size_t i = 0; i < n && !tw_jinja_failed(j); i++) {
        pairs[i].value = items.list->items[i];
        pairs[i].key = fold(j, attribute_of(j, pairs[i].value, a[3]), a[2]);
    }
    return sorted(j, pairs, n, tw_jinja_truth(a[1]));
}

TW_JINJA_ROW(dictsort)
{
    bool by_value = tw_jinja_string_is(a[2], "value");
    if (a[0].kind != TW_JINJA_DICT ||
        (tw_jinja_is_given(a[2]) && !by_value && !tw_jinja_string_is(a[2], "key"))) {
        return tw_jinja_fail(j, "dictsort needs a dict, and 'key' or 'value' to sort by");
    }
    struct tw_jinja_value items = pairs_of(j, a[0]);
    size_t n = tw_jinja_failed(j) ? 0 : items.list->n_items;
    struct tw_jinja_pair *pairs = tw_jinja_alloc(j, n, sizeof *pairs);
    for (size_t i = 0; i < n && !tw_jinja_failed(j); i++) {
        pairs[i].value = items.list->items[i];
        pairs[i].key = fold(j, pairs[i].value.list->items[by_value], a[1]);
    }
    return sorted(j, pairs, n, tw_jinja_truth(a[3]));
}

TW_JINJA_ROW(unique)
{
    struct tw_jinja_value items = tw_jinja_collect(j, a[0], TW_JINJA_LIST);
    struct tw_jinja_value list = tw_jinja_list(j, TW_JINJA_LIST);
    struct tw_jinja_value keys = tw_jinja_list(j, TW_JINJA_LIST);
    for (size_t i = 0; !tw_jinja_failed(j) && i < items.list->n_items; i++) {
        struct tw_jinja_value item = items.list->items[i];
        struct tw_jinja_value key = fold(j, attribute_of(j, item, a[2]), a[1]);
        if (!tw_jinja_failed(j) && !tw_jinja_contains(j, keys, key)) {
            tw_jinja_append(j, keys.list, key);
            tw_jinja_append(j, list.list, item);
        }
    }
    return list;
}

/* ---- map, select, reject ---- */

/* The filter or test that a[place] names; the arguments behind it go to *ret_rest. */
static const struct tw_jinja_builtin *named_builtin(struct tw_jinja *j, int use,
                                                    const struct tw_jinja_arguments *arguments,
                                                    size_t place,
                                                    struct tw_jinja_arguments *ret_rest)
{
    const struct tw_jinja_string *name = tw_jinja_string_argument(j, arguments->list.items[place]);
    const struct tw_jinja_builtin *builtin =
        tw_jinja_failed(j) ? NULL : tw_jinja_find_builtin(use, name->data, name->size_bytes);
    if (builtin == NULL) {
        tw_jinja_fail(j, "unknown %s '%.*s'", use == TW_JINJA_IS_TEST ? "test" : "filter",
                      (int)(name->size_bytes < 60 ? name->size_bytes : 60), name->data);
    }
    *ret_rest = *arguments;
    ret_rest->list.items += place + 1;
    ret_rest->list.n_items -= place + 1;
    return builtin;
}

/* map('filter', ...), map(attribute='x'), map(attribute='x', default=y). */
TW_JINJA_ROW(map)
{
    struct tw_jinja_value attribute = {.kind = TW_JINJA_ABSENT}, other = attribute;
    const struct tw_jinja_builtin *filter = NULL;
    struct tw_jinja_arguments rest = {.list = {.items = NULL}};
    struct tw_jinja_value items = tw_jinja_collect(j, a[0], TW_JINJA_LIST);
    struct tw_jinja_value list = tw_jinja_list(j, TW_JINJA_LIST);
    if (arguments->list.n_items > 0) {
        filter = named_builtin(j, TW_JINJA_IS_FILTER, arguments, 0, &rest);
    }
    for (size_t i = 0; filter == NULL && i < arguments->named.n_pairs; i++) {
        struct tw_jinja_pair pair = arguments->named.pairs[i];
        attribute = tw_jinja_string_is(pair.key, "attribute") ? pair.value : attribute;
        other = tw_jinja_string_is(pair.key, "default") ? pair.value : other;
    }
    if (filter == NULL && !tw_jinja_is_given(attribute)) {
        return tw_jinja_fail(j, "map needs the name of a filter, or attribute=");
    }
    for (size_t i = 0; !tw_jinja_failed(j) && i < items.list->n_items; i++) {
        struct tw_jinja_value item =
            filter != NULL ? tw_jinja_run_builtin(j, filter, items.list->items[i], &rest)
                           : attribute_of(j, items.list->items[i], attribute);
        bool is_missing = item.kind == TW_JINJA_UNDEFINED && tw_jinja_is_given(other);
        tw_jinja_append(j, list.list, is_missing ? other : item);
    }
    return list;
}

enum { WANTED = 1, BY_ATTRIBUTE = 2 };

/* Items whose value (or attribute) passes a test, or is true where none is named. */
TW_JINJA_ROW(choose)
{
    size_t n_before = (variant & BY_ATTRIBUTE) != 0;
    const struct tw_jinja_list *given = &arguments->list;
    const struct tw_jinja_builtin *test = NULL;
    struct tw_jinja_arguments rest = {.list = {.items = NULL}};
    struct tw_jinja_value items = tw_jinja_collect(j, a[0], TW_JINJA_LIST);
    struct tw_jinja_value list = tw_jinja_list(j, TW_JINJA_LIST);
    if (given->n_items < n_before) {
        return tw_jinja_fail(j, "selectattr and rejectattr need the name of an attribute");
    }
    if (given->n_items > n_before) {
        test = named_builtin(j, TW_JINJA_IS_TEST, arguments, n_before, &rest);
    }
    for (size_t i = 0; !tw_jinja_failed(j) && i < items.list->n_items; i++) {
        struct tw_jinja_value item = items.list->items[i], value = item;
        value = n_before > 0 ? attribute_of(j, item, given->items[0]) : item;
        value = test != NULL ? tw_jinja_run_builtin(j, test, value, &rest) : value;
        if (tw_jinja_truth(value) == ((variant & WANTED) != 0)) {
            tw_jinja_append(j, list.list, item);
        }
    }
    return list;
}

/* ---- lists and dicts ---- */

TW_JINJA_ROW(length)
{
    int64_t n = tw_jinja_length(j, a[0]);
    return n < 0 ? tw_jinja_fail(j, "length needs a list, dict or text") : tw_jinja_int(n);
}

TW_JINJA_ROW(list)
{
    return tw_jinja_collect(j, a[0], TW_JINJA_LIST);
}

/* The first or the last item. */
TW_JINJA_ROW(end_item)
{
    struct tw_jinja_value items = tw_jinja_collect(j, a[0], TW_JINJA_LIST);
    if (tw_jinja_failed(j) || items.list->n_items == 0) {
        return tw_jinja_undefined("an item of an empty list or text");
    }
    return items.list->items[variant < 0 ? items.list->n_items - 1 : 0];
}

TW_JINJA_ROW(reverse)
{
    struct tw_jinja_value none = tw_jinja_none();
    if (a[0].kind != TW_JINJA_STRING) {
        a[0] = tw_jinja_collect(j, a[0], TW_JINJA_LIST);
    }
    return tw_jinja_slice(j, a[0], (struct tw_jinja_value[]){none, none, tw_jinja_int(-1)});
}

/* list|join(separator, attribute), and separator.join(list): variant is the place of the list. */
TW_JINJA_ROW(join)
{
    struct tw_jinja_builder b = tw_jinja_builder(j);
    struct tw_jinja_value separator = a[1 - variant];
    struct tw_jinja_value items = tw_jinja_collect(j, a[variant], TW_JINJA_LIST);
    for (size_t i = 0; !tw_jinja_failed(j) && i < items.list->n_items; i++) {
        if (i > 0 && separator.kind != TW_JINJA_ABSENT) {
            tw_jinja_put_value(&b, separator);
        }
        tw_jinja_put_value(&b, attribute_of(j, items.list->items[i], a[2]));
    }
    return tw_jinja_built(&b);
}

TW_JINJA_ROW(items)
{
    if (a[0].kind == TW_JINJA_UNDEFINED) {
        return tw_jinja_list(j, TW_JINJA_LIST);
    }
    return a[0].kind == TW_JINJA_DICT ? pairs_of(j, a[0]) : tw_jinja_fail(j, "items needs a dict");
}

/* keys() or values(): variant is the place in (key, value). */
TW_JINJA_ROW(halves)
{
    struct tw_jinja_value list = pairs_of(j, a[0]);
    for (size_t i = 0; !tw_jinja_failed(j) && i < list.list->n_items; i++) {
        list.list->items[i] = list.list->items[i].list->items[variant];
    }
    list.is_input = a[0].is_input;
    return list;
}

TW_JINJA_ROW(get)
{
    const struct tw_jinja_value *found = tw_jinja_lookup(j, a[0].dict, a[1]);
    return found != NULL ? *found : a[2].kind == TW_JINJA_ABSENT ? tw_jinja_none() : a[2];
}

TW_JINJA_ROW(pop_key)
{
    struct tw_jinja_dict *dict = a[0].dict;
    const struct tw_jinja_value *found = tw_jinja_lookup(j, dict, a[1]);
    for (size_t i = 0; i < dict->n_pairs && tw_jinja_step(j, 1); i++) {
        if (&dict->pairs[i].value == found) {
            struct tw_jinja_value value = *found;
            dict->n_pairs--;
            tw_jinja_step(j, (dict->n_pairs - i) / 16);
            memmove(dict->pairs + i, dict->pairs + i + 1,
                    (dict->n_pairs - i) * sizeof *dict->pairs);
            return value;
        }
    }
    return a[2].kind == TW_JINJA_ABSENT ? tw_jinja_fail(j, "pop() of a key that is not there")
                                        : a[2];
}

TW_JINJA_ROW(append)
{
    tw_jinja_append(j, a[0].list, a[1]);
    return tw_jinja_none();
}

TW_JINJA_ROW(pop_item)
{
    struct tw_jinja_list *list = a[0].list;
    int64_t n = (int64_t)list->n_items, at = tw_jinja_int_argument(j, a[1], -1);
    at += at < 0 ? n : 0;
    if (at < 0 || at >= n) {
        return tw_jinja_fail(j, "pop() of an item that is not there");
    }
    struct tw_jinja_value value = list->items[at];
    list->n_items--;
    tw_jinja_step(j, list->n_items / 16);
    memmove(list->items + at, list->items + at + 1, (size_t)(n - 1 - at) * sizeof *list->items);
    return value;
}

enum { FILTER = TW_JINJA_IS_FILTER };

const struct tw_jinja_builtin tw_jinja_sequence_rows[] = {
    {"length", FILTER, length, 0, "", 0},
    {"count", FILTER, length, 0, "", 0},
    {"list", FILTER, list, 0, "", 0},
    {"first", FILTER, end_item, 1, "", 0},
    {"last", FILTER, end_item, -1, "", 0},
    {"reverse", FILTER, reverse, 0, "", 0},
    {"join", FILTER, join, 0, "d attribute", 0},
    {"join", TW_JINJA_OF_TEXT, join, 1, ".", 1},
    {"items", FILTER | TW_JINJA_OF_DICT, items, 0, "", 0},
    {"sort", FILTER, sort, 0, "reverse case_sensitive attribute", 0},
    {"dictsort", FILTER, dictsort, 0, "case_sensitive by reverse", 0},
    {"unique", FILTER, unique, 0, "case_sensitive attribute", 0},
    {"map", FILTER, map, 0, NULL, 0},
    {"select", FILTER, choose, WANTED, NULL, 0},
    {"reject", FILTER, choose, 0, NULL, 0},
    {"selectattr", FILTER, choose, WANTED | BY_ATTRIBUTE, NULL, 0},
    {"rejectattr", FILTER, choose, BY_ATTRIBUTE, NULL, 0},
    {"keys", TW_JINJA_OF_DICT, halves, 0, "", 0},
    {"values", TW_JINJA_OF_DICT, halves, 1, "", 0},
    {"get", TW_JINJA_OF_DICT, get, 0, ". .", 1},
    {"pop", TW_JINJA_OF_DICT, pop_key, 0, ". .", 1},
    {"pop", TW_JINJA_OF_LIST, pop_item, 0, ".", 0},
    {"append", TW_JINJA_OF_LIST, append, 0, ".", 1},
    {NULL, 0, NULL, 0, NULL, 0},
};
