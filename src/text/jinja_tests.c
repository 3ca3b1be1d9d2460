#include <limits.h>
#include <locale.h>
#include <math.h>
#include <string.h>
#include <time.h>

#include "text/casing.h"
#include "text/jinja_builtins.h"
#include "text/utf8.h"

/* ---- arguments ---- */

const struct tw_jinja_builtin *tw_jinja_find_row(const struct tw_jinja_builtin *rows, size_t n_rows,
                                                 struct tw_bytes name)
{
    for (size_t i = 0; i < n_rows; i++) {
        if (tw_bytes_equal(tw_bytes_of(rows[i].name), name)) {
            return &rows[i];
        }
    }
    return NULL;
}

/* The place of a parameter in "width first blank", or -1. */
static int place_of(const char *parameters, const struct tw_jinja_string *name)
{
    int place = 0;
    for (const char *p = parameters; *p != '\0'; place++) {
        size_t n = strcspn(p, " ");
        if (n == name->size_bytes && memcmp(p, name->data, n) == 0) {
            return place;
        }
        p += n + (p[n] == ' ');
    }
    return -1;
}

static size_t count_parameters(const char *parameters)
{
    size_t n = parameters[0] != '-';
    for (const char *p = parameters; *p != '\0'; p++) {
        n += *p == ' ';
    }
    return n;
}

struct tw_jinja_value tw_jinja_run_builtin(struct tw_jinja *j,
                                           const struct tw_jinja_builtin *builtin,
                                           struct tw_jinja_value self,
                                           struct tw_jinja_arguments *arguments)
{
    struct tw_jinja_value a[TW_JINJA_MOST_PARAMETERS + 1] = {self};
    if (!tw_jinja_enter(j)) {
        return tw_jinja_undefined(NULL);
    }
    size_t n = builtin->parameters != NULL ? count_parameters(builtin->parameters) : 0;
    for (size_t i = 0; i < n; i++) {
        a[i + 1] = i < arguments->list.n_items ? arguments->list.items[i]
                                               : (struct tw_jinja_value){.kind = TW_JINJA_ABSENT};
    }
    if (builtin->parameters != NULL && arguments->list.n_items > n) {
        tw_jinja_fail(j, "'%s' takes %zu arguments, not %zu", builtin->name, n,
                      arguments->list.n_items);
    }
    for (size_t i = 0; builtin->parameters != NULL && i < arguments->named.n_pairs; i++) {
        int place = place_of(builtin->parameters, arguments->named.pairs[i].key.string);
        if (place < 0 || a[place + 1].kind != TW_JINJA_ABSENT) {
            tw_jinja_fail(j, "'%s' takes no argument '%.*s' here", builtin->name, 40,
                          arguments->named.pairs[i].key.string->data);
            break;
        }
        a[place + 1] = arguments->named.pairs[i].value;
    }
    for (int i = 0; i < builtin->n_required; i++) {
        if (a[i + 1].kind == TW_JINJA_ABSENT) {
            tw_jinja_fail(j, "'%s' needs %d arguments: %s", builtin->name, builtin->n_required,
                          builtin->parameters);
        }
    }
    struct tw_jinja_value value = tw_jinja_failed(j) ? self : builtin->run(j, a, arguments);
    tw_jinja_leave(j);
    return tw_jinja_failed(j) ? tw_jinja_undefined(NULL) : value;
}

int64_t tw_jinja_int_argument(struct tw_jinja *j, struct tw_jinja_value value, int64_t if_absent)
{
    if (value.kind == TW_JINJA_ABSENT) {
        return if_absent;
    }
    if (value.kind != TW_JINJA_INT && value.kind != TW_JINJA_BOOL) {
        tw_jinja_fail(j, "an argument must be a whole number");
        return 0;
    }
    return value.kind == TW_JINJA_INT ? value.integer : value.boolean;
}

bool tw_jinja_flag_argument(struct tw_jinja_value value, bool if_absent)
{
    return value.kind == TW_JINJA_ABSENT ? if_absent : tw_jinja_truth(value);
}

struct tw_jinja_string *tw_jinja_string_argument(struct tw_jinja *j, struct tw_jinja_value value)
{
    static const struct tw_jinja_string empty = {.data = "", .n_chars = 0};
    if (value.kind == TW_JINJA_STRING) {
        return value.string;
    }
    tw_jinja_fail(j, "an argument must be a text");
    return (struct tw_jinja_string *)(uintptr_t)&empty;
}

/* ---- tests ---- */

#define ROW(name)                                                                                  \
    static struct tw_jinja_value name(struct tw_jinja *j, struct tw_jinja_value *a,                \
                                      struct tw_jinja_arguments *arguments)
#define UNUSED (void)j, (void)a, (void)arguments

/* Tests of the kind alone: the row's place gives the first and the last kind that passes. */
#define KIND_ROW(name, first, last)                                                                \
    ROW(name)                                                                                      \
    {                                                                                              \
        UNUSED;                                                                                    \
        return tw_jinja_bool(a[0].kind >= (first) && a[0].kind <= (last));                         \
    }

KIND_ROW(is_undefined, TW_JINJA_UNDEFINED, TW_JINJA_UNDEFINED)
KIND_ROW(is_defined, TW_JINJA_NONE, TW_JINJA_ABSENT)
KIND_ROW(is_none, TW_JINJA_NONE, TW_JINJA_NONE)
KIND_ROW(is_boolean, TW_JINJA_BOOL, TW_JINJA_BOOL)
KIND_ROW(is_integer, TW_JINJA_INT, TW_JINJA_INT)
KIND_ROW(is_float, TW_JINJA_REAL, TW_JINJA_REAL)
KIND_ROW(is_number, TW_JINJA_BOOL, TW_JINJA_REAL)
KIND_ROW(is_string, TW_JINJA_STRING, TW_JINJA_STRING)
KIND_ROW(is_mapping, TW_JINJA_DICT, TW_JINJA_DICT)

ROW(is_true)
{
    UNUSED;
    return tw_jinja_bool(a[0].kind == TW_JINJA_BOOL && a[0].boolean);
}

ROW(is_false)
{
    UNUSED;
    return tw_jinja_bool(a[0].kind == TW_JINJA_BOOL && !a[0].boolean);
}

ROW(is_iterable)
{
    UNUSED;
    return tw_jinja_bool(tw_jinja_can_iterate(a[0]) || a[0].kind == TW_JINJA_LOOP);
}

ROW(is_sequence)
{
    UNUSED;
    return tw_jinja_bool(a[0].kind == TW_JINJA_UNDEFINED ||
                         (a[0].kind >= TW_JINJA_STRING && a[0].kind <= TW_JINJA_RANGE) ||
                         a[0].kind == TW_JINJA_DICT);
}

ROW(is_callable)
{
    UNUSED;
    return tw_jinja_bool(a[0].kind == TW_JINJA_UNDEFINED ||
                         (a[0].kind >= TW_JINJA_LOOP && a[0].kind <= TW_JINJA_METHOD));
}

ROW(is_escaped)
{
    UNUSED;
    return tw_jinja_bool(a[0].is_markup);
}

ROW(is_equal)
{
    UNUSED;
    return tw_jinja_bool(tw_jinja_equal(j, a[0], a[1]));
}

ROW(is_different)
{
    UNUSED;
    return tw_jinja_bool(!tw_jinja_equal(j, a[0], a[1]));
}

ROW(is_less)
{
    UNUSED;
    int order = tw_jinja_order(j, a[0], a[1]);
    return tw_jinja_bool(order < 0 && order != INT_MIN);
}

ROW(is_at_most)
{
    UNUSED;
    int order = tw_jinja_order(j, a[0], a[1]);
    return tw_jinja_bool(order <= 0 && order != INT_MIN);
}

ROW(is_greater)
{
    UNUSED;
    return tw_jinja_bool(tw_jinja_order(j, a[0], a[1]) > 0);
}

ROW(is_at_least)
{
    UNUSED;
    return tw_jinja_bool(tw_jinja_order(j, a[0], a[1]) >= 0);
}

ROW(is_in)
{
    UNUSED;
    return tw_jinja_bool(tw_jinja_contains(j, a[1], a[0]));
}

ROW(is_same)
{
    UNUSED;
    return tw_jinja_bool(tw_jinja_same(a[0], a[1]));
}

/* Whether value % by == rest, in the arithmetic of templates. */
static struct tw_jinja_value has_rest(struct tw_jinja *j, struct tw_jinja_value value,
                                      struct tw_jinja_value by, int64_t rest)
{
    struct tw_jinja_value left = tw_jinja_operate(j, '%', value, by);
    return tw_jinja_bool(!tw_jinja_failed(j) && tw_jinja_equal(j, left, tw_jinja_int(rest)));
}

ROW(is_divisible)
{
    UNUSED;
    return has_rest(j, a[0], a[1], 0);
}

ROW(is_even)
{
    UNUSED;
    return has_rest(j, a[0], tw_jinja_int(2), 0);
}

ROW(is_odd)
{
    UNUSED;
    return has_rest(j, a[0], tw_jinja_int(2), 1);
}

static struct tw_jinja_value is_in_case(struct tw_jinja *j, struct tw_jinja_value value, bool upper)
{
    struct tw_jinja_value text = tw_jinja_str(j, value);
    if (tw_jinja_failed(j) || !tw_jinja_step(j, text.string->size_bytes)) {
        return text;
    }
    return tw_jinja_bool(tw_casing_is_all(text.string->data, text.string->size_bytes, upper));
}

ROW(is_lower)
{
    UNUSED;
    return is_in_case(j, a[0], false);
}

ROW(is_upper)
{
    UNUSED;
    return is_in_case(j, a[0], true);
}

ROW(is_filter)
{
    UNUSED;
    const struct tw_jinja_string *name = tw_jinja_string_argument(j, a[0]);
    return tw_jinja_bool(tw_jinja_find_filter((struct tw_bytes){name->data, name->size_bytes}) !=
                         NULL);
}

ROW(is_test)
{
    UNUSED;
    const struct tw_jinja_string *name = tw_jinja_string_argument(j, a[0]);
    return tw_jinja_bool(tw_jinja_find_test((struct tw_bytes){name->data, name->size_bytes}) !=
                         NULL);
}

const struct tw_jinja_builtin *tw_jinja_find_test(struct tw_bytes name)
{
    static const struct tw_jinja_builtin rows[] = {
        {"defined", is_defined, "-", 0},   {"undefined", is_undefined, "-", 0},
        {"none", is_none, "-", 0},         {"boolean", is_boolean, "-", 0},
        {"true", is_true, "-", 0},         {"false", is_false, "-", 0},
        {"integer", is_integer, "-", 0},   {"float", is_float, "-", 0},
        {"number", is_number, "-", 0},     {"string", is_string, "-", 0},
        {"mapping", is_mapping, "-", 0},   {"iterable", is_iterable, "-", 0},
        {"sequence", is_sequence, "-", 0}, {"callable", is_callable, "-", 0},
        {"escaped", is_escaped, "-", 0},   {"even", is_even, "-", 0},
        {"odd", is_odd, "-", 0},           {"lower", is_lower, "-", 0},
        {"upper", is_upper, "-", 0},       {"filter", is_filter, "-", 0},
        {"test", is_test, "-", 0},         {"divisibleby", is_divisible, "num", 1},
        {"sameas", is_same, "other", 1},   {"in", is_in, "seq", 1},
        {"eq", is_equal, "b", 1},          {"equalto", is_equal, "b", 1},
        {"==", is_equal, "b", 1},          {"ne", is_different, "b", 1},
        {"!=", is_different, "b", 1},      {"lt", is_less, "b", 1},
        {"lessthan", is_less, "b", 1},     {"<", is_less, "b", 1},
        {"le", is_at_most, "b", 1},        {"<=", is_at_most, "b", 1},
        {"gt", is_greater, "b", 1},        {"greaterthan", is_greater, "b", 1},
        {">", is_greater, "b", 1},         {"ge", is_at_least, "b", 1},
        {">=", is_at_least, "b", 1},
    };
    return tw_jinja_find_row(rows, sizeof rows / sizeof *rows, name);
}

/* ---- functions ---- */

/* range(stop), range(start, stop), range(start, stop, step). */
ROW(range)
{
    UNUSED;
    bool has_start = a[2].kind != TW_JINJA_ABSENT;
    int64_t start = has_start ? tw_jinja_int_argument(j, a[1], 0) : 0;
    int64_t stop = tw_jinja_int_argument(j, has_start ? a[2] : a[1], 0);
    int64_t stride = tw_jinja_int_argument(j, a[3], 1);
    struct tw_jinja_value range = tw_jinja_list(j, TW_JINJA_RANGE);
    if (stride == 0) {
        return tw_jinja_fail(j, "range() needs a stride that is not 0");
    }
    for (int64_t i = start; !tw_jinja_failed(j) && (stride > 0 ? i < stop : i > stop);) {
        if (range.list->n_items == TW_LIMIT_JINJA_RANGE) {
            return tw_jinja_fail_limit(j, "range() of more than %d numbers", TW_LIMIT_JINJA_RANGE);
        }
        tw_jinja_append(j, range.list, tw_jinja_int(i));
        if (__builtin_add_overflow(i, stride, &i)) {
            break;
        }
    }
    if (!tw_jinja_failed(j)) {
        range.list->start = start;
        range.list->stop = stop;
        range.list->stride = stride;
    }
    return range;
}

/* namespace(...) and dict(...): a dict or pairs, then names. */
static struct tw_jinja_value make_dict(struct tw_jinja *j, enum tw_jinja_kind kind,
                                       struct tw_jinja_arguments *arguments)
{
    struct tw_jinja_value dict = tw_jinja_dict(j), item;
    if (arguments->list.n_items > 1) {
        return tw_jinja_fail(j, "at most one argument without a name is possible here");
    }
    if (arguments->list.n_items == 1) {
        struct tw_jinja_value source = arguments->list.items[0];
        struct tw_jinja_iterator it = tw_jinja_iterate(j, source);
        while (tw_jinja_next(j, &it, &item)) {
            struct tw_jinja_value key = item, value = item;
            if (source.kind == TW_JINJA_DICT) {
                value = *tw_jinja_lookup(j, source.dict, key);
            } else {
                struct tw_jinja_value pair = tw_jinja_collect(j, item, TW_JINJA_TUPLE);
                if (!tw_jinja_failed(j) && pair.list->n_items != 2) {
                    tw_jinja_fail(j, "a dict is made of pairs");
                }
                if (tw_jinja_failed(j)) {
                    break;
                }
                key = pair.list->items[0];
                value = pair.list->items[1];
            }
            tw_jinja_put_pair(j, dict.dict, key, value);
        }
    }
    for (size_t i = 0; i < arguments->named.n_pairs && !tw_jinja_failed(j); i++) {
        tw_jinja_put_pair(j, dict.dict, arguments->named.pairs[i].key,
                          arguments->named.pairs[i].value);
    }
    dict.kind = tw_jinja_failed(j) ? TW_JINJA_UNDEFINED : (uint8_t)kind;
    return dict;
}

ROW(new_namespace)
{
    UNUSED;
    return make_dict(j, TW_JINJA_NAMESPACE, arguments);
}

ROW(new_dict)
{
    UNUSED;
    return make_dict(j, TW_JINJA_DICT, arguments);
}

/* The author's words to the user. */
ROW(raise_exception)
{
    UNUSED;
    struct tw_jinja_value text = tw_jinja_str(j, a[1]);
    size_t n = tw_jinja_failed(j) ? 0 : text.string->size_bytes;
    return tw_jinja_fail(j, "the template refuses this conversation: %.*s",
                         (int)(n < 200 ? n : 200), n > 0 ? text.string->data : "");
}

ROW(strftime_now)
{
    UNUSED;
    const struct tw_jinja_string *format = tw_jinja_string_argument(j, a[1]);
    char pattern[128], text[512];
    if (tw_jinja_failed(j) || format->size_bytes >= sizeof pattern) {
        return tw_jinja_fail(j, "strftime_now() needs a format of less than 128 bytes");
    }
    memcpy(pattern, format->size_bytes > 0 ? format->data : "", format->size_bytes);
    pattern[format->size_bytes] = '\0';
    locale_t old = uselocale(newlocale(LC_ALL_MASK, "C", (locale_t)0));
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    size_t n = strftime(text, sizeof text, pattern, j->now);
#pragma GCC diagnostic pop
    uselocale(old);
    struct tw_jinja_builder b = tw_jinja_builder(j);
    tw_jinja_put(&b, text, n, tw_jinja_has_input(format));
    return tw_jinja_built(&b);
}

const struct tw_jinja_builtin *tw_jinja_find_function(struct tw_bytes name)
{
    static const struct tw_jinja_builtin rows[] = {
        {"range", range, ". . .", 1},
        {"namespace", new_namespace, NULL, 0},
        {"dict", new_dict, NULL, 0},
        {"raise_exception", raise_exception, "message", 1},
        {"strftime_now", strftime_now, "format", 1},
    };
    return tw_jinja_find_row(rows, sizeof rows / sizeof *rows, name);
}
