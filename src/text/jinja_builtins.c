#include <locale.h>
#include <string.h>
#include <time.h>

#include "text/jinja_run.h"

/* ---- arguments ---- */

/* The place of a parameter in "width first blank", or -1; name NULL: how many there are. */
static int place_of(const char *parameters, const struct tw_jinja_string *name)
{
    int place = 0;
    for (const char *p = parameters; *p != '\0'; place++) {
        size_t n = strcspn(p, " ");
        if (name != NULL && n == name->size_bytes && memcmp(p, name->data, n) == 0) {
            return place;
        }
        p += n + (p[n] == ' ');
    }
    return name != NULL ? -1 : place;
}

/* Arguments to a[1], a[2], ..., the named ones by their names. */
static void place_arguments(struct tw_jinja *j, const struct tw_jinja_builtin *builtin,
                            const struct tw_jinja_arguments *arguments, struct tw_jinja_value *a)
{
    int n = place_of(builtin->parameters, NULL);
    for (int i = 0; i < TW_JINJA_MOST_PARAMETERS; i++) {
        bool is_given = i < n && (size_t)i < arguments->list.n_items;
        a[i + 1] =
            is_given ? arguments->list.items[i] : (struct tw_jinja_value){.kind = TW_JINJA_ABSENT};
    }
    if (arguments->list.n_items > (size_t)n) {
        tw_jinja_fail(j, "'%s' takes %d arguments, not %zu", builtin->name, n,
                      arguments->list.n_items);
    }
    for (size_t i = 0; i < arguments->named.n_pairs; i++) {
        const struct tw_jinja_string *name = arguments->named.pairs[i].key.string;
        int place = place_of(builtin->parameters, name);
        if (place < 0 || a[place + 1].kind != TW_JINJA_ABSENT) {
            tw_jinja_fail(j, "'%s' takes no argument '%.*s' here", builtin->name,
                          (int)(name->size_bytes < 40 ? name->size_bytes : 40), name->data);
            return;
        }
        a[place + 1] = arguments->named.pairs[i].value;
    }
    for (int i = 0; i < builtin->n_required; i++) {
        if (a[i + 1].kind == TW_JINJA_ABSENT) {
            tw_jinja_fail(j, "'%s' needs at least %d arguments", builtin->name,
                          builtin->n_required);
        }
    }
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
    if (builtin->parameters != NULL) {
        place_arguments(j, builtin, arguments, a);
    }
    if ((builtin->uses & TW_JINJA_AS_TEXT) != 0) {
        a[0] = tw_jinja_str(j, a[0]);
    }
    struct tw_jinja_value value =
        tw_jinja_failed(j) ? self : builtin->run(j, builtin->variant, a, arguments);
    tw_jinja_leave(j);
    return tw_jinja_failed(j) ? tw_jinja_undefined(NULL) : value;
}

bool tw_jinja_is_given(struct tw_jinja_value value)
{
    return value.kind != TW_JINJA_ABSENT && value.kind != TW_JINJA_NONE;
}

int64_t tw_jinja_int_argument(struct tw_jinja *j, struct tw_jinja_value value, int64_t if_absent)
{
    if (value.kind == TW_JINJA_ABSENT) {
        return if_absent;
    }
    if (!tw_jinja_is_whole(value)) {
        tw_jinja_fail(j, "a whole number is needed here");
        return 0;
    }
    return tw_jinja_as_int(value);
}

struct tw_jinja_string *tw_jinja_string_argument(struct tw_jinja *j, struct tw_jinja_value value)
{
    static const struct tw_jinja_string empty = {.data = "", .n_chars = 0};
    if (value.kind == TW_JINJA_STRING) {
        return value.string;
    }
    tw_jinja_fail(j, "a text is needed here");
    return (struct tw_jinja_string *)(uintptr_t)&empty;
}

/* ---- tests ---- */

/* The first and the last kind that passes. */
#define KINDS(first, last) ((first) << 8 | (last))

TW_JINJA_ROW(is_kind)
{
    return tw_jinja_bool(a[0].kind >= variant >> 8 && a[0].kind <= (variant & 255));
}

TW_JINJA_ROW(is_truth)
{
    return tw_jinja_bool(a[0].kind == TW_JINJA_BOOL && a[0].boolean == (variant != 0));
}

TW_JINJA_ROW(is_iterable)
{
    return tw_jinja_bool(tw_jinja_can_iterate(a[0]));
}

TW_JINJA_ROW(is_compared)
{
    return tw_jinja_bool(tw_jinja_compare(j, variant, a[0], a[1]));
}

/* variant: the rest of a division by two. */
TW_JINJA_ROW(is_odd)
{
    struct tw_jinja_value rest = tw_jinja_operate(j, '%', a[0], tw_jinja_int(2));
    return tw_jinja_bool(!tw_jinja_failed(j) && tw_jinja_as_int(rest) == variant);
}

/* ---- functions ---- */

/* range(stop), range(start, stop), range(start, stop, step). */
TW_JINJA_ROW(range)
{
    bool has_start = a[2].kind != TW_JINJA_ABSENT;
    int64_t start = has_start ? tw_jinja_int_argument(j, a[1], 0) : 0;
    int64_t stop = tw_jinja_int_argument(j, has_start ? a[2] : a[1], 0);
    int64_t stride = tw_jinja_int_argument(j, a[3], 1);
    struct tw_jinja_value range = tw_jinja_list(j, TW_JINJA_LIST);
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
    return range;
}

/* namespace(a=1) and dict(a=1). */
TW_JINJA_ROW(make_dict)
{
    struct tw_jinja_value dict = tw_jinja_dict(j);
    if (arguments->list.n_items > 0) {
        return tw_jinja_fail(j, "only arguments with names are possible here");
    }
    if (!tw_jinja_failed(j)) {
        *dict.dict = arguments->named;
        dict.kind = (uint8_t)variant;
    }
    return dict;
}

/* The author's words to the user. */
TW_JINJA_ROW(raise_exception)
{
    struct tw_jinja_value text = tw_jinja_str(j, a[1]);
    size_t n = tw_jinja_failed(j) ? 0 : text.string->size_bytes;
    return tw_jinja_fail(j, "the template refuses this conversation: %.*s",
                         (int)(n < 200 ? n : 200), n > 0 ? text.string->data : "");
}

TW_JINJA_ROW(strftime_now)
{
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

enum { TEST = TW_JINJA_IS_TEST, FUNCTION = TW_JINJA_IS_FUNCTION };

/* clang-format off */
static const struct tw_jinja_builtin rows[] = {
    {"defined", TEST, is_kind, KINDS(TW_JINJA_NONE, TW_JINJA_ABSENT), "", 0},
    {"undefined", TEST, is_kind, KINDS(TW_JINJA_UNDEFINED, TW_JINJA_UNDEFINED), "", 0},
    {"none", TEST, is_kind, KINDS(TW_JINJA_NONE, TW_JINJA_NONE), "", 0},
    {"boolean", TEST, is_kind, KINDS(TW_JINJA_BOOL, TW_JINJA_BOOL), "", 0},
    {"integer", TEST, is_kind, KINDS(TW_JINJA_INT, TW_JINJA_INT), "", 0},
    {"float", TEST, is_kind, KINDS(TW_JINJA_REAL, TW_JINJA_REAL), "", 0},
    {"number", TEST, is_kind, KINDS(TW_JINJA_BOOL, TW_JINJA_REAL), "", 0},
    {"string", TEST, is_kind, KINDS(TW_JINJA_STRING, TW_JINJA_STRING), "", 0},
    {"mapping", TEST, is_kind, KINDS(TW_JINJA_DICT, TW_JINJA_DICT), "", 0},
    {"sequence", TEST, is_iterable, 0, "", 0},
    {"iterable", TEST, is_iterable, 0, "", 0},
    {"true", TEST, is_truth, 1, "", 0},
    {"false", TEST, is_truth, 0, "", 0},
    {"odd", TEST, is_odd, 1, "", 0},
    {"even", TEST, is_odd, 0, "", 0},
    {"in", TEST, is_compared, TW_JINJA_IN, ".", 1},
    {"eq", TEST, is_compared, TW_JINJA_OP('=', '='), ".", 1},
    {"equalto", TEST, is_compared, TW_JINJA_OP('=', '='), ".", 1},
    {"==", TEST, is_compared, TW_JINJA_OP('=', '='), ".", 1},
    {"ne", TEST, is_compared, TW_JINJA_OP('!', '='), ".", 1},
    {"!=", TEST, is_compared, TW_JINJA_OP('!', '='), ".", 1},
    {"lt", TEST, is_compared, '<', ".", 1},
    {"lessthan", TEST, is_compared, '<', ".", 1},
    {"<", TEST, is_compared, '<', ".", 1},
    {"le", TEST, is_compared, TW_JINJA_OP('<', '='), ".", 1},
    {"<=", TEST, is_compared, TW_JINJA_OP('<', '='), ".", 1},
    {"gt", TEST, is_compared, '>', ".", 1},
    {"greaterthan", TEST, is_compared, '>', ".", 1},
    {">", TEST, is_compared, '>', ".", 1},
    {"ge", TEST, is_compared, TW_JINJA_OP('>', '='), ".", 1},
    {">=", TEST, is_compared, TW_JINJA_OP('>', '='), ".", 1},
    {"range", FUNCTION, range, 0, ". . .", 1},
    {"namespace", FUNCTION, make_dict, TW_JINJA_NAMESPACE, NULL, 0},
    {"dict", FUNCTION, make_dict, TW_JINJA_DICT, NULL, 0},
    {"raise_exception", FUNCTION, raise_exception, 0, "message", 1},
    {"strftime_now", FUNCTION, strftime_now, 0, "format", 1},
    {NULL, 0, NULL, 0, NULL, 0},
};
/* clang-format on */

const struct tw_jinja_builtin *tw_jinja_find_builtin(int uses, const char *name, size_t n_bytes)
{
    const struct tw_jinja_builtin *const tables[] = {rows, tw_jinja_text_rows,
                                                     tw_jinja_sequence_rows};
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        for (const struct tw_jinja_builtin *row = tables[i]; row->name != NULL; row++) {
            if ((row->uses & uses) != 0 &&
                tw_bytes_equal(tw_bytes_of(row->name), (struct tw_bytes){name, n_bytes})) {
                return row;
            }
        }
    }
    return NULL;
}
