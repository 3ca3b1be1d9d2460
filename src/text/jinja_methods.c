#include <string.h>
#include <utf8proc.h>

#include "text/casing.h"
#include "text/jinja_builtins.h"
#include "text/utf8.h"

#define ROW(name)                                                                                  \
    static struct tw_jinja_value name(struct tw_jinja *j, struct tw_jinja_value *a,                \
                                      struct tw_jinja_arguments *arguments)
#define UNUSED (void)j, (void)a, (void)arguments

static bool is_given(struct tw_jinja_value value)
{
    return value.kind != TW_JINJA_ABSENT && value.kind != TW_JINJA_NONE;
}

static struct tw_jinja_value stay_markup(struct tw_jinja_value text, struct tw_jinja_value result)
{
    result.is_markup = text.is_markup && result.kind == TW_JINJA_STRING;
    return result;
}

/* Markup escapes what it is combined with. */
static struct tw_jinja_value beside(struct tw_jinja *j, struct tw_jinja_value text,
                                    struct tw_jinja_value other)
{
    return text.is_markup && other.kind == TW_JINJA_STRING ? tw_jinja_escape(j, other) : other;
}

/* ---- case ---- */

static size_t put_cased(struct tw_jinja_builder *b, const struct tw_jinja_string *s, size_t at,
                        enum tw_jinja_case wanted)
{
    uint32_t code, codes[3];
    size_t n = tw_utf8_decode(s->data + at, s->size_bytes - at, &code);
    if (code == TW_UTF8_INVALID) {
        tw_jinja_put_part(b, s, at, n);
        return n;
    }
    size_t n_codes = wanted == TW_JINJA_UPPER ? tw_casing_upper(code, codes)
                     : wanted == TW_JINJA_TITLE
                         ? tw_casing_title(code, codes)
                         : tw_casing_lower(s->data, s->size_bytes, at, n, code, codes);
    for (size_t i = 0; i < n_codes; i++) {
        tw_jinja_put_code(b, codes[i], tw_jinja_is_input(s, at));
    }
    return n;
}

struct tw_jinja_value tw_jinja_in_case(struct tw_jinja *j, struct tw_jinja_value text,
                                       enum tw_jinja_case first, enum tw_jinja_case rest)
{
    struct tw_jinja_builder b = tw_jinja_builder(j);
    for (size_t at = 0; at < text.string->size_bytes && tw_jinja_step(j, 1);) {
        at += put_cased(&b, text.string, at, at == 0 ? first : rest);
    }
    return stay_markup(text, tw_jinja_built(&b));
}

ROW(upper)
{
    UNUSED;
    return tw_jinja_in_case(j, a[0], TW_JINJA_UPPER, TW_JINJA_UPPER);
}

ROW(lower)
{
    UNUSED;
    return tw_jinja_in_case(j, a[0], TW_JINJA_LOWER, TW_JINJA_LOWER);
}

ROW(capitalize)
{
    UNUSED;
    return tw_jinja_in_case(j, a[0], TW_JINJA_TITLE, TW_JINJA_LOWER);
}

ROW(title)
{
    UNUSED;
    const struct tw_jinja_string *s = a[0].string;
    struct tw_jinja_builder b = tw_jinja_builder(j);
    bool inside = false;
    for (size_t at = 0; at < s->size_bytes && tw_jinja_step(j, 1);) {
        uint32_t code;
        tw_utf8_decode(s->data + at, s->size_bytes - at, &code);
        at += put_cased(&b, s, at, inside ? TW_JINJA_LOWER : TW_JINJA_TITLE);
        inside = tw_casing_is_cased(code);
    }
    return stay_markup(a[0], tw_jinja_built(&b));
}

/* ---- what a text is made of ---- */

typedef bool (*code_fn)(uint32_t code);

static struct tw_jinja_value all_codes(struct tw_jinja *j, struct tw_jinja_value text, code_fn fn)
{
    const struct tw_jinja_string *s = text.string;
    for (size_t at = 0; at < s->size_bytes && tw_jinja_step(j, 1);) {
        uint32_t code;
        at += tw_utf8_decode(s->data + at, s->size_bytes - at, &code);
        if (!fn(code)) {
            return tw_jinja_bool(false);
        }
    }
    return tw_jinja_bool(s->size_bytes > 0);
}

static bool is_letter(uint32_t code)
{
    return tw_utf8_class(code) == TW_CHAR_LETTER;
}

static bool is_decimal(uint32_t code)
{
    return code < TW_UTF8_INVALID &&
           utf8proc_category((utf8proc_int32_t)code) == UTF8PROC_CATEGORY_ND;
}

static bool is_letter_or_digit(uint32_t code)
{
    return is_letter(code) || tw_utf8_is_digit(code);
}

ROW(isspace_row)
{
    UNUSED;
    return all_codes(j, a[0], tw_jinja_is_space);
}

ROW(isalpha_row)
{
    UNUSED;
    return all_codes(j, a[0], is_letter);
}

ROW(isdigit_row)
{
    UNUSED;
    return all_codes(j, a[0], is_decimal);
}

ROW(isalnum_row)
{
    UNUSED;
    return all_codes(j, a[0], is_letter_or_digit);
}

ROW(isupper_row)
{
    UNUSED;
    tw_jinja_step(j, a[0].string->size_bytes);
    return tw_jinja_bool(tw_casing_is_all(a[0].string->data, a[0].string->size_bytes, true));
}

ROW(islower_row)
{
    UNUSED;
    tw_jinja_step(j, a[0].string->size_bytes);
    return tw_jinja_bool(tw_casing_is_all(a[0].string->data, a[0].string->size_bytes, false));
}

/* ---- strip ---- */

static bool strips(const struct tw_jinja_string *set, const char *text, size_t n_bytes,
                   uint32_t code)
{
    if (set == NULL) {
        return tw_jinja_is_space(code);
    }
    for (size_t at = 0; at < set->size_bytes;) {
        uint32_t other;
        size_t n = tw_utf8_decode(set->data + at, set->size_bytes - at, &other);
        if (n == n_bytes && memcmp(set->data + at, text, n) == 0) {
            return true;
        }
        at += n;
    }
    return false;
}

struct tw_jinja_value tw_jinja_strip(struct tw_jinja *j, struct tw_jinja_value text,
                                     struct tw_jinja_value characters, bool left, bool right)
{
    const struct tw_jinja_string *s = text.string;
    struct tw_jinja_value given = beside(j, text, characters);
    const struct tw_jinja_string *set = is_given(given) ? tw_jinja_string_argument(j, given) : NULL;
    size_t begin = 0, end = 0;
    bool inside = !left;
    size_t n_steps = 1 + (set != NULL ? set->size_bytes / 16 : 0); /* of each character */
    for (size_t at = 0; at < s->size_bytes && tw_jinja_step(j, n_steps);) {
        uint32_t code;
        size_t n = tw_utf8_decode(s->data + at, s->size_bytes - at, &code);
        if (!strips(set, s->data + at, n, code)) {
            begin = inside ? begin : at;
            inside = true;
            end = at + n;
        }
        at += n;
    }
    end = right && inside ? end : s->size_bytes;
    begin = inside ? begin : end;
    return tw_jinja_failed(j) ? text : tw_jinja_part(j, text, begin, end > begin ? end - begin : 0);
}

ROW(strip)
{
    UNUSED;
    return tw_jinja_strip(j, a[0], a[1], true, true);
}

ROW(lstrip)
{
    UNUSED;
    return tw_jinja_strip(j, a[0], a[1], true, false);
}

ROW(rstrip)
{
    UNUSED;
    return tw_jinja_strip(j, a[0], a[1], false, true);
}

/* ---- find, count, begin, end ---- */

/* The part of a text that start and end leave, in bytes; false where start lies behind it. */
static bool bounds(struct tw_jinja *j, struct tw_jinja_value text, struct tw_jinja_value start,
                   struct tw_jinja_value end, size_t *ret_begin, size_t *ret_end)
{
    int64_t n = (int64_t)tw_jinja_chars(j, text.string);
    int64_t first = is_given(start) ? tw_jinja_int_argument(j, start, 0) : 0;
    int64_t last = is_given(end) ? tw_jinja_int_argument(j, end, 0) : n;
    first += first < 0 ? n : 0;
    last += last < 0 ? n : 0;
    first = first < 0 ? 0 : first;
    last = last < 0 ? 0 : last > n ? n : last;
    *ret_begin = tw_jinja_offset(j, text.string, (size_t)(first < n ? first : n));
    *ret_end = tw_jinja_offset(j, text.string, (size_t)last);
    return first <= last && first <= n && !tw_jinja_failed(j);
}

/* One text or a tuple of them, at the beginning or the end. */
static struct tw_jinja_value has_affix(struct tw_jinja *j, struct tw_jinja_value *a, bool at_end)
{
    size_t begin, end;
    bool within = bounds(j, a[0], a[2], a[3], &begin, &end), found = false;
    struct tw_jinja_list single = {.items = &a[1], .n_items = 1};
    const struct tw_jinja_list *list = a[1].kind == TW_JINJA_TUPLE ? a[1].list : &single;
    for (size_t i = 0; i < list->n_items && !found && tw_jinja_step(j, 1); i++) {
        const struct tw_jinja_string *s =
            tw_jinja_string_argument(j, beside(j, a[0], list->items[i]));
        tw_jinja_step(j, s->size_bytes / 64);
        bool fits = within && s->size_bytes <= end - begin;
        found = fits && (s->size_bytes == 0 ||
                         memcmp(a[0].string->data + (at_end ? end - s->size_bytes : begin), s->data,
                                s->size_bytes) == 0);
    }
    return tw_jinja_bool(found);
}

ROW(startswith)
{
    UNUSED;
    return has_affix(j, a, false);
}

ROW(endswith)
{
    UNUSED;
    return has_affix(j, a, true);
}

/* The number of the character where a[1] is, or -1. */
static int64_t find_char(struct tw_jinja *j, struct tw_jinja_value *a, bool from_end)
{
    const struct tw_jinja_string *what = tw_jinja_string_argument(j, a[1]);
    size_t begin, end, hit = SIZE_MAX;
    if (!bounds(j, a[0], a[2], a[3], &begin, &end)) {
        return -1;
    }
    size_t next = tw_jinja_find(j, a[0].string, begin, end, what);
    while (next != SIZE_MAX && tw_jinja_step(j, 1)) {
        hit = next;
        next =
            from_end && next < end ? tw_jinja_find(j, a[0].string, next + 1, end, what) : SIZE_MAX;
    }
    if (hit == SIZE_MAX) {
        return -1;
    }
    struct tw_jinja_value before = tw_jinja_part(j, a[0], 0, hit);
    return tw_jinja_failed(j) ? -1 : (int64_t)tw_jinja_chars(j, before.string);
}

ROW(find)
{
    UNUSED;
    return tw_jinja_int(find_char(j, a, false));
}

ROW(rfind)
{
    UNUSED;
    return tw_jinja_int(find_char(j, a, true));
}

ROW(index_of)
{
    UNUSED;
    int64_t at = find_char(j, a, false);
    return at < 0 ? tw_jinja_fail(j, "index() does not find this text") : tw_jinja_int(at);
}

ROW(count)
{
    UNUSED;
    const struct tw_jinja_string *what = tw_jinja_string_argument(j, a[1]);
    size_t begin, end;
    int64_t n = 0;
    if (!bounds(j, a[0], a[2], a[3], &begin, &end)) {
        return tw_jinja_int(0);
    }
    if (what->size_bytes == 0) {
        struct tw_jinja_value part = tw_jinja_part(j, a[0], begin, end - begin);
        return tw_jinja_int(tw_jinja_length(j, part) + 1);
    }
    for (size_t at = begin; tw_jinja_step(j, 1); n++) {
        at = tw_jinja_find(j, a[0].string, at, end, what);
        if (at == SIZE_MAX) {
            break;
        }
        at += what->size_bytes;
    }
    return tw_jinja_int(n);
}

/* ---- replace, split, join ---- */

struct tw_jinja_value tw_jinja_replace(struct tw_jinja *j, struct tw_jinja_value text,
                                       struct tw_jinja_value old, struct tw_jinja_value new,
                                       int64_t most)
{
    const struct tw_jinja_string *s = text.string;
    const struct tw_jinja_string *what = tw_jinja_string_argument(j, beside(j, text, old));
    new = beside(j, text, new);
    tw_jinja_string_argument(j, new);
    struct tw_jinja_builder b = tw_jinja_builder(j);
    size_t at = 0, from = 0;
    while (most-- != 0 && tw_jinja_step(j, 1)) {
        size_t hit = tw_jinja_find(j, s, at, s->size_bytes, what);
        if (hit == SIZE_MAX) {
            break;
        }
        tw_jinja_put_part(&b, s, from, hit - from);
        tw_jinja_put_value(&b, new);
        from = at = hit + what->size_bytes;
        if (what->size_bytes == 0) {
            /* Between all characters, and at both ends. */
            uint32_t code;
            if (hit == s->size_bytes) {
                break;
            }
            at = hit + tw_utf8_decode(s->data + hit, s->size_bytes - hit, &code);
        }
    }
    tw_jinja_put_part(&b, s, from, s->size_bytes - from);
    return stay_markup(text, tw_jinja_built(&b));
}

ROW(replace)
{
    UNUSED;
    return tw_jinja_replace(j, a[0], a[1], a[2], tw_jinja_int_argument(j, a[3], -1));
}

static void append_part(struct tw_jinja *j, struct tw_jinja_value list, struct tw_jinja_value text,
                        size_t from, size_t end)
{
    tw_jinja_append(j, list.list, tw_jinja_part(j, text, from, end - from));
}

/* At runs of white space; none at the ends. */
static void split_words(struct tw_jinja *j, struct tw_jinja_value text, struct tw_jinja_value list,
                        int64_t most)
{
    const struct tw_jinja_string *s = text.string;
    size_t begin = SIZE_MAX;
    for (size_t at = 0; at < s->size_bytes && tw_jinja_step(j, 1);) {
        uint32_t code;
        size_t n = tw_utf8_decode(s->data + at, s->size_bytes - at, &code);
        bool is_space = tw_jinja_is_space(code);
        if (is_space && begin != SIZE_MAX) {
            append_part(j, list, text, begin, at);
            begin = SIZE_MAX;
            most--;
        } else if (!is_space && begin == SIZE_MAX) {
            begin = at;
            if (most == 0) {
                break;
            }
        }
        at += n;
    }
    if (begin != SIZE_MAX) {
        append_part(j, list, text, begin, s->size_bytes);
    }
}

static void split_at(struct tw_jinja *j, struct tw_jinja_value text, struct tw_jinja_value list,
                     const struct tw_jinja_string *what, int64_t most)
{
    size_t at = 0, hit;
    if (what->size_bytes == 0) {
        tw_jinja_fail(j, "split() needs a text to split at that is not empty");
    }
    while (most-- != 0 && tw_jinja_step(j, 1) &&
           (hit = tw_jinja_find(j, text.string, at, text.string->size_bytes, what)) != SIZE_MAX) {
        append_part(j, list, text, at, hit);
        at = hit + what->size_bytes;
    }
    append_part(j, list, text, at, text.string->size_bytes);
}

ROW(split)
{
    UNUSED;
    struct tw_jinja_value list = tw_jinja_list(j, TW_JINJA_LIST);
    int64_t most = tw_jinja_int_argument(j, a[2], -1);
    struct tw_jinja_value at = beside(j, a[0], a[1]);
    if (tw_jinja_failed(j)) {
        return list;
    }
    if (is_given(at)) {
        split_at(j, a[0], list, tw_jinja_string_argument(j, at), most);
    } else {
        split_words(j, a[0], list, most);
    }
    return list;
}

/* The same from the end: parts are found backwards, then turned around. */
ROW(rsplit)
{
    UNUSED;
    int64_t most = tw_jinja_int_argument(j, a[2], -1), n = 0;
    struct tw_jinja_value whole[] = {a[0], a[1], {.kind = TW_JINJA_ABSENT}};
    struct tw_jinja_value parts = split(j, whole, arguments);
    if (tw_jinja_failed(j) || most < 0 || (int64_t)parts.list->n_items <= most + 1) {
        return parts;
    }
    if (!is_given(a[1])) {
        return tw_jinja_fail(j, "rsplit() with a number of parts needs a text to split at");
    }
    n = (int64_t)parts.list->n_items - most;
    struct tw_jinja_builder b = tw_jinja_builder(j);
    for (int64_t i = 0; i < n && !tw_jinja_failed(j); i++) {
        tw_jinja_put_value(&b, i > 0 ? a[1] : tw_jinja_undefined(NULL));
        tw_jinja_put_value(&b, parts.list->items[i]);
    }
    struct tw_jinja_value list = tw_jinja_list(j, TW_JINJA_LIST);
    if (!tw_jinja_failed(j)) {
        tw_jinja_append(j, list.list, stay_markup(a[0], tw_jinja_built(&b)));
    }
    for (int64_t i = n; i < n + most && !tw_jinja_failed(j); i++) {
        tw_jinja_append(j, list.list, parts.list->items[i]);
    }
    return list;
}

/* (before, at, behind) the first or last place, as a tuple. */
static struct tw_jinja_value partition_at(struct tw_jinja *j, struct tw_jinja_value *a, bool last)
{
    const struct tw_jinja_string *what = tw_jinja_string_argument(j, a[1]);
    size_t n = a[0].string->size_bytes, hit = SIZE_MAX, next = 0;
    if (!tw_jinja_failed(j) && what->size_bytes == 0) {
        tw_jinja_fail(j, "partition() needs a text that is not empty");
    }
    while (tw_jinja_step(j, 1) && (hit == SIZE_MAX || last) &&
           (next = tw_jinja_find(j, a[0].string, next, n, what)) != SIZE_MAX) {
        hit = next++;
    }
    bool found = hit != SIZE_MAX;
    size_t ends[4] = {0,
                      found  ? hit
                      : last ? 0
                             : n,
                      found  ? hit + what->size_bytes
                      : last ? 0
                             : n,
                      n};
    struct tw_jinja_value tuple = tw_jinja_list(j, TW_JINJA_TUPLE);
    for (int i = 0; i < 3 && !tw_jinja_failed(j); i++) {
        append_part(j, tuple, a[0], ends[i], ends[i + 1]);
    }
    return tuple;
}

ROW(partition)
{
    UNUSED;
    return partition_at(j, a, false);
}

ROW(rpartition)
{
    UNUSED;
    return partition_at(j, a, true);
}

static bool is_line_end(uint32_t code)
{
    return (code >= 0xa && code <= 0xd) || (code >= 0x1c && code <= 0x1e) || code == 0x85 ||
           code == 0x2028 || code == 0x2029;
}

struct tw_jinja_value tw_jinja_lines(struct tw_jinja *j, struct tw_jinja_value text, bool keep_ends)
{
    const struct tw_jinja_string *s = text.string;
    struct tw_jinja_value list = tw_jinja_list(j, TW_JINJA_LIST);
    size_t begin = 0;
    for (size_t at = 0; at < s->size_bytes && tw_jinja_step(j, 1);) {
        uint32_t code;
        size_t stop = at;
        at += tw_utf8_decode(s->data + at, s->size_bytes - at, &code);
        if (!is_line_end(code)) {
            continue;
        }
        at += code == '\r' && at < s->size_bytes && s->data[at] == '\n';
        append_part(j, list, text, begin, keep_ends ? at : stop);
        begin = at;
    }
    if (begin < s->size_bytes && !tw_jinja_failed(j)) {
        append_part(j, list, text, begin, s->size_bytes);
    }
    return list;
}

ROW(splitlines)
{
    UNUSED;
    return tw_jinja_lines(j, a[0], tw_jinja_flag_argument(a[1], false));
}

ROW(join)
{
    UNUSED;
    struct tw_jinja_builder b = tw_jinja_builder(j);
    struct tw_jinja_iterator it = tw_jinja_iterate(j, a[1]);
    struct tw_jinja_value item;
    for (bool is_first = true; tw_jinja_next(j, &it, &item); is_first = false) {
        if (item.kind != TW_JINJA_STRING) {
            return tw_jinja_fail(j, "join() joins texts only; the filter |join joins anything");
        }
        tw_jinja_put_value(&b, is_first ? tw_jinja_undefined(NULL) : a[0]);
        tw_jinja_put_value(&b, beside(j, a[0], item));
    }
    return stay_markup(a[0], tw_jinja_built(&b));
}

/* ---- padding ---- */

/* Spaces or another character on either side; `left` of them before the text. */
static struct tw_jinja_value pad(struct tw_jinja *j, struct tw_jinja_value *a, int64_t width,
                                 int side)
{
    struct tw_jinja_builder b = tw_jinja_builder(j);
    int64_t n = width - tw_jinja_length(j, a[0]);
    int64_t before = side < 0 ? 0 : side > 0 ? n : n / 2 + (n & width & 1);
    if (a[2].kind != TW_JINJA_ABSENT &&
        (a[2].kind != TW_JINJA_STRING || tw_jinja_length(j, a[2]) != 1)) {
        return tw_jinja_fail(j, "a text is filled up with one character");
    }
    for (int64_t i = 0; i < n + 1 && n >= 0 && tw_jinja_step(j, 1); i++) {
        if (i == before) {
            tw_jinja_put_value(&b, a[0]);
        }
        if (i < n && a[2].kind == TW_JINJA_ABSENT) {
            tw_jinja_put(&b, " ", 1, false);
        } else if (i < n) {
            tw_jinja_put_value(&b, a[2]);
        }
    }
    return n <= 0 ? a[0] : stay_markup(a[0], tw_jinja_built(&b));
}

ROW(center)
{
    UNUSED;
    return pad(j, a, tw_jinja_int_argument(j, a[1], 0), 0);
}

ROW(ljust)
{
    UNUSED;
    return pad(j, a, tw_jinja_int_argument(j, a[1], 0), -1);
}

ROW(rjust)
{
    UNUSED;
    return pad(j, a, tw_jinja_int_argument(j, a[1], 0), 1);
}

/* ---- dicts ---- */

/* start of the list says which view it is, to print it. */
static struct tw_jinja_value view(struct tw_jinja *j, struct tw_jinja_value dict, int which)
{
    struct tw_jinja_value list = tw_jinja_list(j, TW_JINJA_VIEW);
    for (size_t i = 0; i < dict.dict->n_pairs && !tw_jinja_failed(j); i++) {
        struct tw_jinja_pair pair = dict.dict->pairs[i];
        tw_jinja_append(j, list.list,
                        which == 0   ? pair.key
                        : which == 1 ? pair.value
                                     : tw_jinja_pair(j, pair.key, pair.value));
    }
    if (!tw_jinja_failed(j)) {
        list.list->start = which;
        list.is_input = dict.is_input;
    }
    return list;
}

ROW(keys)
{
    UNUSED;
    return view(j, a[0], 0);
}

ROW(values)
{
    UNUSED;
    return view(j, a[0], 1);
}

ROW(items)
{
    UNUSED;
    return view(j, a[0], 2);
}

static bool check_key(struct tw_jinja *j, struct tw_jinja_value key)
{
    if (!tw_jinja_hashable(j, key)) {
        tw_jinja_fail(j, "a list or dict cannot be the key of a dict");
    }
    return !tw_jinja_failed(j);
}

ROW(get)
{
    UNUSED;
    const struct tw_jinja_value *found =
        check_key(j, a[1]) ? tw_jinja_lookup(j, a[0].dict, a[1]) : NULL;
    return found != NULL ? *found : a[2].kind == TW_JINJA_ABSENT ? tw_jinja_none() : a[2];
}

ROW(pop_key)
{
    UNUSED;
    struct tw_jinja_dict *dict = a[0].dict;
    struct tw_jinja_value *found = check_key(j, a[1]) ? tw_jinja_lookup(j, dict, a[1]) : NULL;
    if (found == NULL) {
        return a[2].kind == TW_JINJA_ABSENT ? tw_jinja_fail(j, "pop() of a key that is not there")
                                            : a[2];
    }
    struct tw_jinja_value value = *found;
    struct tw_jinja_pair *pair =
        (struct tw_jinja_pair *)(void *)((char *)found - offsetof(struct tw_jinja_pair, value));
    dict->n_pairs--;
    tw_jinja_step(j, dict->n_pairs / 16);
    memmove(pair, pair + 1, (size_t)(dict->pairs + dict->n_pairs - pair) * sizeof *pair);
    return value;
}

ROW(setdefault)
{
    UNUSED;
    const struct tw_jinja_value *found =
        check_key(j, a[1]) ? tw_jinja_lookup(j, a[0].dict, a[1]) : NULL;
    if (found != NULL || tw_jinja_failed(j)) {
        return found != NULL ? *found : a[1];
    }
    struct tw_jinja_value value = a[2].kind == TW_JINJA_ABSENT ? tw_jinja_none() : a[2];
    tw_jinja_put_pair(j, a[0].dict, a[1], value);
    return value;
}

ROW(update)
{
    UNUSED;
    const struct tw_jinja_list *list = &arguments->list;
    if (list->n_items > 1 || (list->n_items == 1 && list->items[0].kind != TW_JINJA_DICT)) {
        return tw_jinja_fail(j, "update() takes a dict, and names");
    }
    const struct tw_jinja_dict *sources[] = {list->n_items == 1 ? list->items[0].dict : NULL,
                                             &arguments->named};
    for (int k = 0; k < 2; k++) {
        for (size_t i = 0; sources[k] != NULL && i < sources[k]->n_pairs; i++) {
            tw_jinja_put_pair(j, a[0].dict, sources[k]->pairs[i].key, sources[k]->pairs[i].value);
        }
    }
    return tw_jinja_none();
}

ROW(copy_dict)
{
    UNUSED;
    struct tw_jinja_value copy = tw_jinja_dict(j);
    for (size_t i = 0; i < a[0].dict->n_pairs && !tw_jinja_failed(j); i++) {
        tw_jinja_put_pair(j, copy.dict, a[0].dict->pairs[i].key, a[0].dict->pairs[i].value);
    }
    return copy;
}

ROW(clear_dict)
{
    UNUSED;
    a[0].dict->n_pairs = 0;
    return tw_jinja_none();
}

/* ---- lists ---- */

ROW(append)
{
    UNUSED;
    tw_jinja_append(j, a[0].list, a[1]);
    return tw_jinja_none();
}

ROW(extend)
{
    UNUSED;
    struct tw_jinja_value more = tw_jinja_collect(j, a[1], TW_JINJA_LIST);
    for (size_t i = 0; !tw_jinja_failed(j) && i < more.list->n_items; i++) {
        tw_jinja_append(j, a[0].list, more.list->items[i]);
    }
    return tw_jinja_none();
}

ROW(insert_row)
{
    UNUSED;
    struct tw_jinja_list *list = a[0].list;
    int64_t n = (int64_t)list->n_items, at = tw_jinja_int_argument(j, a[1], 0);
    at += at < 0 ? n : 0;
    at = at < 0 ? 0 : at > n ? n : at;
    tw_jinja_append(j, list, a[2]);
    if (tw_jinja_step(j, list->n_items / 16)) {
        memmove(list->items + at + 1, list->items + at, (size_t)(n - at) * sizeof *list->items);
        list->items[at] = a[2];
    }
    return tw_jinja_none();
}

ROW(pop_item)
{
    UNUSED;
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

ROW(reverse_list)
{
    UNUSED;
    struct tw_jinja_list *list = a[0].list;
    for (size_t i = 0; i < list->n_items / 2; i++) {
        struct tw_jinja_value item = list->items[i];
        list->items[i] = list->items[list->n_items - 1 - i];
        list->items[list->n_items - 1 - i] = item;
    }
    tw_jinja_step(j, list->n_items);
    return tw_jinja_none();
}

ROW(index_in_list)
{
    UNUSED;
    for (size_t i = 0; i < a[0].list->n_items && tw_jinja_step(j, 1); i++) {
        if (tw_jinja_equal(j, a[0].list->items[i], a[1])) {
            return tw_jinja_int((int64_t)i);
        }
    }
    return tw_jinja_fail(j, "index() of an item that is not in the list");
}

ROW(count_in_list)
{
    UNUSED;
    int64_t n = 0;
    for (size_t i = 0; i < a[0].list->n_items && tw_jinja_step(j, 1); i++) {
        n += tw_jinja_equal(j, a[0].list->items[i], a[1]);
    }
    return tw_jinja_int(n);
}

ROW(copy_list)
{
    UNUSED;
    return tw_jinja_collect(j, a[0], TW_JINJA_LIST);
}

/* A dot for a parameter that has no name. */
static const struct tw_jinja_builtin string_rows[] = {
    {"upper", upper, "-", 0},
    {"lower", lower, "-", 0},
    {"capitalize", capitalize, "-", 0},
    {"title", title, "-", 0},
    {"strip", strip, ".", 0},
    {"lstrip", lstrip, ".", 0},
    {"rstrip", rstrip, ".", 0},
    {"startswith", startswith, ". . .", 1},
    {"endswith", endswith, ". . .", 1},
    {"find", find, ". . .", 1},
    {"rfind", rfind, ". . .", 1},
    {"index", index_of, ". . .", 1},
    {"count", count, ". . .", 1},
    {"replace", replace, ". . .", 2},
    {"split", split, "sep maxsplit", 0},
    {"rsplit", rsplit, "sep maxsplit", 0},
    {"partition", partition, ".", 1},
    {"rpartition", rpartition, ".", 1},
    {"splitlines", splitlines, "keepends", 0},
    {"join", join, ".", 1},
    {"center", center, ". .", 1},
    {"ljust", ljust, ". .", 1},
    {"rjust", rjust, ". .", 1},
    {"isspace", isspace_row, "-", 0},
    {"isalpha", isalpha_row, "-", 0},
    {"isdigit", isdigit_row, "-", 0},
    {"isalnum", isalnum_row, "-", 0},
    {"isupper", isupper_row, "-", 0},
    {"islower", islower_row, "-", 0},
};

static const struct tw_jinja_builtin dict_rows[] = {
    {"keys", keys, "-", 0},      {"values", values, "-", 0},  {"items", items, "-", 0},
    {"get", get, ". .", 1},      {"pop", pop_key, ". .", 1},  {"setdefault", setdefault, ". .", 1},
    {"update", update, NULL, 0}, {"copy", copy_dict, "-", 0}, {"clear", clear_dict, "-", 0},
};

/* A tuple has the first ones only. */
static const struct tw_jinja_builtin list_rows[] = {
    {"index", index_in_list, ".", 1},  {"count", count_in_list, ".", 1}, {"append", append, ".", 1},
    {"extend", extend, ".", 1},        {"insert", insert_row, ". .", 2}, {"pop", pop_item, ".", 0},
    {"reverse", reverse_list, "-", 0}, {"copy", copy_list, "-", 0},
};

const struct tw_jinja_builtin *tw_jinja_find_method(struct tw_jinja_value object,
                                                    struct tw_bytes name)
{
    switch (object.kind) {
    case TW_JINJA_STRING:
        return tw_jinja_find_row(string_rows, sizeof string_rows / sizeof *string_rows, name);
    case TW_JINJA_DICT:
        return tw_jinja_find_row(dict_rows, sizeof dict_rows / sizeof *dict_rows, name);
    case TW_JINJA_LIST:
        return tw_jinja_find_row(list_rows, sizeof list_rows / sizeof *list_rows, name);
    case TW_JINJA_TUPLE:
        return tw_jinja_find_row(list_rows, 2, name);
    default:
        return NULL;
    }
}
