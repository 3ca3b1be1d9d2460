#include <limits.h>
#include <string.h>

#include "text/jinja_builtins.h"

#define ROW(name)                                                                                  \
    static struct tw_jinja_value name(struct tw_jinja *j, struct tw_jinja_value *a,                \
                                      struct tw_jinja_arguments *arguments)
#define UNUSED (void)j, (void)a, (void)arguments

static bool is_given(struct tw_jinja_value value)
{
    return value.kind != TW_JINJA_ABSENT && value.kind != TW_JINJA_NONE;
}

/* ---- keys to compare by ---- */

/* "function.name" goes into nested items; digits are numbers. */
static struct tw_jinja_value attribute_path(struct tw_jinja *j, struct tw_jinja_value item,
                                            const char *path, size_t n_bytes, bool is_input)
{
    for (size_t at = 0; at <= n_bytes && !tw_jinja_failed(j);) {
        const char *dot = n_bytes > at ? memchr(path + at, '.', n_bytes - at) : NULL;
        size_t end = dot != NULL ? (size_t)(dot - path) : n_bytes;
        struct tw_jinja_value key = tw_jinja_string(j, path + at, end - at, is_input);
        int64_t number;
        bool digits = end > at;
        for (size_t i = at; i < end; i++) {
            digits = digits && path[i] >= '0' && path[i] <= '9';
        }
        if (digits && tw_jinja_parse_int(j, path + at, end - at, 10, &number)) {
            key = tw_jinja_int(number);
        }
        item = tw_jinja_item(j, item, key);
        at = end + 1;
    }
    return item;
}

static struct tw_jinja_value attribute_of(struct tw_jinja *j, struct tw_jinja_value item,
                                          struct tw_jinja_value attribute)
{
    if (!is_given(attribute)) {
        return item;
    }
    return attribute.kind == TW_JINJA_STRING ? attribute_path(j, item, attribute.string->data,
                                                              attribute.string->size_bytes, false)
                                             : tw_jinja_item(j, item, attribute);
}

static struct tw_jinja_value fold(struct tw_jinja *j, struct tw_jinja_value value, bool exact)
{
    return value.kind == TW_JINJA_STRING && !exact
               ? tw_jinja_in_case(j, value, TW_JINJA_LOWER, TW_JINJA_LOWER)
               : value;
}

/* A list with an entry for each of "first,second". */
static struct tw_jinja_value sort_key(struct tw_jinja *j, struct tw_jinja_value item,
                                      struct tw_jinja_value attribute, bool exact)
{
    struct tw_jinja_value key = tw_jinja_list(j, TW_JINJA_LIST);
    if (attribute.kind != TW_JINJA_STRING) {
        struct tw_jinja_value part = attribute_of(j, item, attribute);
        if (!tw_jinja_failed(j)) {
            tw_jinja_append(j, key.list, fold(j, part, exact));
        }
        return key;
    }
    const struct tw_jinja_string *s = attribute.string;
    for (size_t at = 0; at <= s->size_bytes && !tw_jinja_failed(j);) {
        const char *comma =
            s->size_bytes > at ? memchr(s->data + at, ',', s->size_bytes - at) : NULL;
        size_t end = comma != NULL ? (size_t)(comma - s->data) : s->size_bytes;
        struct tw_jinja_value part = attribute_path(j, item, s->data + at, end - at, false);
        if (!tw_jinja_failed(j)) {
            tw_jinja_append(j, key.list, fold(j, part, exact));
        }
        at = end + 1;
    }
    return key;
}

static bool is_less(struct tw_jinja *j, struct tw_jinja_value a, struct tw_jinja_value b)
{
    int order = tw_jinja_order(j, a, b);
    return order < 0 && order != INT_MIN;
}

/* ---- sorting: stable, from runs of one upwards ---- */

static void merge_runs(struct tw_jinja *j, struct tw_jinja_pair *from, struct tw_jinja_pair *to,
                       size_t begin, size_t middle, size_t end)
{
    size_t left = begin, right = middle;
    for (size_t i = begin; i < end; i++) {
        bool takes_right =
            left == middle || (right < end && !tw_jinja_failed(j) && tw_jinja_step(j, 1) &&
                               is_less(j, from[right].key, from[left].key));
        to[i] = from[takes_right ? right++ : left++];
    }
}

/* Sorts by the keys; reverse: equal ones stay in their order. */
static struct tw_jinja_value sorted(struct tw_jinja *j, struct tw_jinja_pair *pairs, size_t n,
                                    bool reverse)
{
    struct tw_jinja_pair *other = tw_jinja_alloc(j, n, sizeof *other);
    struct tw_jinja_value list = tw_jinja_list(j, TW_JINJA_LIST);
    if (tw_jinja_failed(j)) {
        return list;
    }
    for (size_t i = 0; reverse && i < n / 2; i++) {
        struct tw_jinja_pair pair = pairs[i];
        pairs[i] = pairs[n - 1 - i];
        pairs[n - 1 - i] = pair;
    }
    for (size_t width = 1; width < n && !tw_jinja_failed(j); width *= 2) {
        for (size_t begin = 0; begin < n; begin += 2 * width) {
            size_t middle = begin + width < n ? begin + width : n;
            merge_runs(j, pairs, other, begin, middle, middle + width < n ? middle + width : n);
        }
        struct tw_jinja_pair *swap = pairs;
        pairs = other;
        other = swap;
    }
    for (size_t i = 0; i < n && !tw_jinja_failed(j); i++) {
        tw_jinja_append(j, list.list, pairs[reverse ? n - 1 - i : i].value);
    }
    return list;
}

ROW(sort)
{
    UNUSED;
    struct tw_jinja_value items = tw_jinja_collect(j, a[0], TW_JINJA_LIST);
    size_t n = tw_jinja_failed(j) ? 0 : items.list->n_items;
    struct tw_jinja_pair *pairs = tw_jinja_alloc(j, n, sizeof *pairs);
    for (size_t i = 0; i < n && !tw_jinja_failed(j); i++) {
        struct tw_jinja_value item = items.list->items[i];
        pairs[i].key = sort_key(j, item, a[3], tw_jinja_flag_argument(a[2], false));
        pairs[i].value = item;
    }
    return sorted(j, pairs, n, tw_jinja_flag_argument(a[1], false));
}

ROW(dictsort)
{
    UNUSED;
    bool by_value = tw_jinja_string_is(a[2], "value"), exact = tw_jinja_flag_argument(a[1], false);
    if (a[0].kind != TW_JINJA_DICT ||
        (a[2].kind != TW_JINJA_ABSENT && !by_value && !tw_jinja_string_is(a[2], "key"))) {
        return tw_jinja_fail(j, "dictsort needs a dict, and 'key' or 'value' to sort by");
    }
    const struct tw_jinja_dict *dict = a[0].dict;
    struct tw_jinja_pair *pairs = tw_jinja_alloc(j, dict->n_pairs, sizeof *pairs);
    for (size_t i = 0; i < dict->n_pairs && !tw_jinja_failed(j); i++) {
        pairs[i].key = fold(j, by_value ? dict->pairs[i].value : dict->pairs[i].key, exact);
        pairs[i].value = tw_jinja_pair(j, dict->pairs[i].key, dict->pairs[i].value);
    }
    return sorted(j, pairs, dict->n_pairs, tw_jinja_flag_argument(a[3], false));
}

/* The first of the smallest or largest. */
static struct tw_jinja_value extreme(struct tw_jinja *j, struct tw_jinja_value *a, bool largest)
{
    bool exact = tw_jinja_flag_argument(a[1], false), is_first = true;
    struct tw_jinja_iterator it = tw_jinja_iterate(j, a[0]);
    struct tw_jinja_value item, key, best = tw_jinja_undefined("the extreme of nothing"),
                                     best_key = best;
    while (tw_jinja_next(j, &it, &item)) {
        key = fold(j, attribute_of(j, item, a[2]), exact);
        if (is_first || (largest ? is_less(j, best_key, key) : is_less(j, key, best_key))) {
            best = item;
            best_key = key;
        }
        is_first = false;
    }
    return best;
}

ROW(min)
{
    UNUSED;
    return extreme(j, a, false);
}

ROW(max)
{
    UNUSED;
    return extreme(j, a, true);
}

ROW(unique)
{
    UNUSED;
    struct tw_jinja_value list = tw_jinja_list(j, TW_JINJA_STREAM), item;
    struct tw_jinja_value keys = tw_jinja_list(j, TW_JINJA_LIST);
    struct tw_jinja_iterator it = tw_jinja_iterate(j, a[0]);
    while (tw_jinja_next(j, &it, &item)) {
        struct tw_jinja_value key =
            fold(j, attribute_of(j, item, a[2]), tw_jinja_flag_argument(a[1], false));
        if (!tw_jinja_hashable(j, key)) {
            return tw_jinja_fail(j, "unique needs items that are texts or numbers");
        }
        if (!tw_jinja_failed(j) && !tw_jinja_contains(j, keys, key)) {
            tw_jinja_append(j, keys.list, key);
            tw_jinja_append(j, list.list, item);
        }
    }
    return list;
}

ROW(sum)
{
    UNUSED;
    struct tw_jinja_value total = a[2].kind == TW_JINJA_ABSENT ? tw_jinja_int(0) : a[2], item;
    struct tw_jinja_iterator it = tw_jinja_iterate(j, a[0]);
    while (tw_jinja_next(j, &it, &item)) {
        total = tw_jinja_operate(j, '+', total, attribute_of(j, item, a[1]));
    }
    return total;
}

/* ---- map, select, reject ---- */

/* The arguments behind the first `from`, with all names. */
static struct tw_jinja_arguments behind(const struct tw_jinja_arguments *arguments, size_t from)
{
    struct tw_jinja_arguments rest = *arguments;
    from = from < rest.list.n_items ? from : rest.list.n_items;
    rest.list.items = from > 0 ? rest.list.items + from : rest.list.items;
    rest.list.n_items -= from;
    rest.list.capacity = rest.list.n_items;
    return rest;
}

static struct tw_jinja_value map_attribute(struct tw_jinja *j, struct tw_jinja_value source,
                                           struct tw_jinja_arguments *arguments)
{
    const struct tw_jinja_value *attribute = tw_jinja_lookup_text(&arguments->named, "attribute");
    const struct tw_jinja_value *other = tw_jinja_lookup_text(&arguments->named, "default");
    struct tw_jinja_value list = tw_jinja_list(j, TW_JINJA_STREAM), item;
    if (attribute == NULL || arguments->named.n_pairs != 1u + (other != NULL)) {
        return tw_jinja_fail(j, "map needs the name of a filter, or attribute=");
    }
    struct tw_jinja_iterator it = tw_jinja_iterate(j, source);
    while (tw_jinja_next(j, &it, &item)) {
        item = attribute_of(j, item, *attribute);
        bool is_missing =
            item.kind == TW_JINJA_UNDEFINED && other != NULL && other->kind != TW_JINJA_NONE;
        tw_jinja_append(j, list.list, is_missing ? *other : item);
    }
    return list;
}

ROW(map)
{
    UNUSED;
    struct tw_jinja_value list = tw_jinja_list(j, TW_JINJA_STREAM), item;
    if (!tw_jinja_truth(a[0])) {
        return list;
    }
    if (arguments->list.n_items == 0) {
        return map_attribute(j, a[0], arguments);
    }
    const struct tw_jinja_string *name = tw_jinja_string_argument(j, arguments->list.items[0]);
    const struct tw_jinja_builtin *filter =
        tw_jinja_find_filter((struct tw_bytes){name->data, name->size_bytes});
    if (filter == NULL) {
        return tw_jinja_fail(j, "map: there is no filter of this name");
    }
    struct tw_jinja_iterator it = tw_jinja_iterate(j, a[0]);
    while (tw_jinja_next(j, &it, &item)) {
        struct tw_jinja_arguments rest = behind(arguments, 1);
        tw_jinja_append(j, list.list, tw_jinja_run_builtin(j, filter, item, &rest));
    }
    return list;
}

/* Items whose value (or attribute) passes a test, or is true where none is named. */
static struct tw_jinja_value choose(struct tw_jinja *j, struct tw_jinja_value source,
                                    struct tw_jinja_arguments *arguments, bool wanted,
                                    bool by_attribute)
{
    struct tw_jinja_value list = tw_jinja_list(j, TW_JINJA_STREAM), item;
    size_t n_before = by_attribute;
    const struct tw_jinja_builtin *test = NULL;
    if (!tw_jinja_truth(source)) {
        return list;
    }
    if (arguments->list.n_items < n_before) {
        return tw_jinja_fail(j, "selectattr and rejectattr need the name of an attribute");
    }
    if (arguments->list.n_items > n_before) {
        const struct tw_jinja_string *name =
            tw_jinja_string_argument(j, arguments->list.items[n_before]);
        test = tw_jinja_find_test((struct tw_bytes){name->data, name->size_bytes});
        if (test == NULL) {
            return tw_jinja_fail(j, "select: there is no test of this name");
        }
    }
    struct tw_jinja_iterator it = tw_jinja_iterate(j, source);
    while (tw_jinja_next(j, &it, &item)) {
        struct tw_jinja_arguments rest = behind(arguments, n_before + 1);
        struct tw_jinja_value value =
            by_attribute ? attribute_of(j, item, arguments->list.items[0]) : item;
        if (test != NULL) {
            value = tw_jinja_run_builtin(j, test, value, &rest);
        }
        if (tw_jinja_truth(value) == wanted) {
            tw_jinja_append(j, list.list, item);
        }
    }
    return list;
}

ROW(select_items)
{
    UNUSED;
    return choose(j, a[0], arguments, true, false);
}

ROW(reject_items)
{
    UNUSED;
    return choose(j, a[0], arguments, false, false);
}

ROW(select_by)
{
    UNUSED;
    return choose(j, a[0], arguments, true, true);
}

ROW(reject_by)
{
    UNUSED;
    return choose(j, a[0], arguments, false, true);
}

/* ---- lists ---- */

ROW(list)
{
    UNUSED;
    return tw_jinja_collect(j, a[0], TW_JINJA_LIST);
}

ROW(first)
{
    UNUSED;
    struct tw_jinja_iterator it = tw_jinja_iterate(j, a[0]);
    struct tw_jinja_value item;
    return tw_jinja_next(j, &it, &item) ? item : tw_jinja_undefined("the first of nothing");
}

ROW(last)
{
    UNUSED;
    if (a[0].kind == TW_JINJA_STREAM) {
        return tw_jinja_fail(j, "last needs a list; put |list before it");
    }
    struct tw_jinja_value items = tw_jinja_collect(j, a[0], TW_JINJA_LIST);
    return tw_jinja_failed(j) || items.list->n_items == 0
               ? tw_jinja_undefined("the last of nothing")
               : items.list->items[items.list->n_items - 1];
}

ROW(reverse)
{
    UNUSED;
    if (a[0].kind == TW_JINJA_STRING) {
        struct tw_jinja_value none = tw_jinja_none();
        return tw_jinja_slice(j, a[0], none, none, tw_jinja_int(-1));
    }
    enum tw_jinja_kind kind = a[0].kind == TW_JINJA_STREAM ? TW_JINJA_LIST : TW_JINJA_STREAM;
    struct tw_jinja_value items = tw_jinja_collect(j, a[0], TW_JINJA_LIST);
    struct tw_jinja_value list = tw_jinja_list(j, kind);
    for (size_t i = tw_jinja_failed(j) ? 0 : items.list->n_items; i > 0; i--) {
        tw_jinja_append(j, list.list, items.list->items[i - 1]);
    }
    return list;
}

ROW(items)
{
    UNUSED;
    struct tw_jinja_value list = tw_jinja_list(j, TW_JINJA_STREAM);
    if (a[0].kind != TW_JINJA_DICT && a[0].kind != TW_JINJA_UNDEFINED) {
        return tw_jinja_fail(j, "items needs a dict");
    }
    for (size_t i = 0; a[0].kind == TW_JINJA_DICT && !tw_jinja_failed(j) && i < a[0].dict->n_pairs;
         i++) {
        struct tw_jinja_pair pair = a[0].dict->pairs[i];
        tw_jinja_append(j, list.list, tw_jinja_pair(j, pair.key, pair.value));
    }
    return list;
}

ROW(join)
{
    UNUSED;
    struct tw_jinja_builder b = tw_jinja_builder(j);
    struct tw_jinja_iterator it = tw_jinja_iterate(j, a[0]);
    struct tw_jinja_value item;
    for (bool is_first = true; tw_jinja_next(j, &it, &item); is_first = false) {
        if (!is_first && a[1].kind != TW_JINJA_ABSENT) {
            tw_jinja_put_value(&b, a[1]);
        }
        tw_jinja_put_value(&b, attribute_of(j, item, a[2]));
    }
    return tw_jinja_built(&b);
}

ROW(batch)
{
    UNUSED;
    int64_t width = tw_jinja_int_argument(j, a[1], 0);
    struct tw_jinja_value list = tw_jinja_list(j, TW_JINJA_STREAM), item,
                          row = tw_jinja_undefined(NULL);
    struct tw_jinja_iterator it = tw_jinja_iterate(j, a[0]);
    while (tw_jinja_next(j, &it, &item)) {
        if (row.kind == TW_JINJA_UNDEFINED || (int64_t)row.list->n_items == width) {
            if (row.kind == TW_JINJA_UNDEFINED && width == 0) {
                tw_jinja_append(j, list.list, tw_jinja_list(j, TW_JINJA_LIST));
            }
            row = tw_jinja_list(j, TW_JINJA_LIST);
            tw_jinja_append(j, list.list, row);
        }
        if (!tw_jinja_failed(j)) {
            tw_jinja_append(j, row.list, item);
        }
    }
    while (row.kind == TW_JINJA_LIST && is_given(a[2]) && (int64_t)row.list->n_items < width &&
           tw_jinja_step(j, 1)) {
        tw_jinja_append(j, row.list, a[2]);
    }
    return list;
}

ROW(slice)
{
    UNUSED;
    int64_t n_slices = tw_jinja_int_argument(j, a[1], 0);
    struct tw_jinja_value list = tw_jinja_list(j, TW_JINJA_STREAM);
    struct tw_jinja_value items = tw_jinja_collect(j, a[0], TW_JINJA_LIST);
    if (tw_jinja_failed(j) || n_slices == 0) {
        return tw_jinja_fail(j, "slice needs a number of slices that is not 0");
    }
    int64_t n = (int64_t)items.list->n_items, at = 0;
    for (int64_t i = 0; i < n_slices && !tw_jinja_failed(j); i++) {
        struct tw_jinja_value part = tw_jinja_list(j, TW_JINJA_LIST);
        int64_t size = n / n_slices + (i < n % n_slices);
        for (int64_t k = 0; k < size && !tw_jinja_failed(j); k++) {
            tw_jinja_append(j, part.list, items.list->items[at++]);
        }
        if (is_given(a[2]) && i >= n % n_slices && !tw_jinja_failed(j)) {
            tw_jinja_append(j, part.list, a[2]);
        }
        tw_jinja_append(j, list.list, part);
    }
    return list;
}

const struct tw_jinja_builtin *tw_jinja_find_sequence_filter(struct tw_bytes name)
{
    static const struct tw_jinja_builtin rows[] = {
        {"batch", batch, "linecount fill_with", 1},
        {"dictsort", dictsort, "case_sensitive by reverse", 0},
        {"first", first, "-", 0},
        {"items", items, "-", 0},
        {"join", join, "d attribute", 0},
        {"last", last, "-", 0},
        {"list", list, "-", 0},
        {"map", map, NULL, 0},
        {"max", max, "case_sensitive attribute", 0},
        {"min", min, "case_sensitive attribute", 0},
        {"reject", reject_items, NULL, 0},
        {"rejectattr", reject_by, NULL, 0},
        {"reverse", reverse, "-", 0},
        {"select", select_items, NULL, 0},
        {"selectattr", select_by, NULL, 0},
        {"slice", slice, "slices fill_with", 1},
        {"sort", sort, "reverse case_sensitive attribute", 0},
        {"sum", sum, "attribute start", 0},
        {"unique", unique, "case_sensitive attribute", 0},
    };
    return tw_jinja_find_row(rows, sizeof rows / sizeof *rows, name);
}
