#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

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

/* ---- printf-style formatting ---- */

struct conversion {
    char letter;
    bool left, plus, blank, zero, alternate;
    int64_t width, precision; /* -1: none */
};

/* The arguments of one format, taken one after the other or by key. */
struct format_source {
    struct tw_jinja *j;
    struct tw_jinja_value values;
    size_t n_taken;
    bool by_key;
};

static struct tw_jinja_value take(struct format_source *source)
{
    struct tw_jinja_value values = source->values;
    size_t n = values.kind == TW_JINJA_TUPLE ? values.list->n_items : 1;
    if (source->n_taken >= n) {
        return tw_jinja_fail(source->j, "a format has more places than there are values");
    }
    source->n_taken++;
    return values.kind == TW_JINJA_TUPLE ? values.list->items[source->n_taken - 1] : values;
}

/* Digits, or a star: the next argument. */
static int64_t take_number(struct format_source *source, const struct tw_jinja_string *s,
                           size_t *at)
{
    int64_t value = 0;
    if (*at < s->size_bytes && s->data[*at] == '*') {
        ++*at;
        value = tw_jinja_int_argument(source->j, take(source), 0);
    }
    for (; *at < s->size_bytes && s->data[*at] >= '0' && s->data[*at] <= '9'; ++*at) {
        value = value < TW_LIMIT_JINJA_DIGITS ? value * 10 + (s->data[*at] - '0') : value;
    }
    if (value > TW_LIMIT_JINJA_DIGITS || value < -TW_LIMIT_JINJA_DIGITS) {
        tw_jinja_fail_limit(source->j, "a format asks for more than %d places",
                            TW_LIMIT_JINJA_DIGITS);
        value = 0;
    }
    return value;
}

static struct conversion read_conversion(struct format_source *source,
                                         const struct tw_jinja_string *s, size_t *at)
{
    struct conversion c = {.width = 0, .precision = -1};
    for (bool goes_on = true; goes_on && *at < s->size_bytes; *at += goes_on) {
        char flag = s->data[*at];
        c.left = c.left || flag == '-';
        c.plus = c.plus || flag == '+';
        c.blank = c.blank || flag == ' ';
        c.zero = c.zero || flag == '0';
        c.alternate = c.alternate || flag == '#';
        goes_on = flag != '\0' && strchr("-+ 0#", flag) != NULL;
    }
    c.width = take_number(source, s, at);
    if (c.width < 0) {
        c.left = true;
        c.width = -c.width;
    }
    if (*at < s->size_bytes && s->data[*at] == '.') {
        ++*at;
        c.precision = take_number(source, s, at);
        c.precision = c.precision < 0 ? 0 : c.precision;
    }
    if (*at < s->size_bytes && s->data[*at] != '\0' && strchr("hlL", s->data[*at]) != NULL) {
        ++*at;
    }
    if (*at < s->size_bytes) {
        c.letter = s->data[(*at)++];
    } else {
        tw_jinja_fail(source->j, "a format ends within a place");
    }
    return c;
}

/* The digits of a whole number, without its sign. */
static void put_digits(struct tw_jinja_builder *b, const struct conversion *c, int64_t value)
{
    char digits[32];
    uint64_t magnitude = value < 0 ? -(uint64_t)value : (uint64_t)value;
    snprintf(digits, sizeof digits,
             c->letter == 'x'   ? "%" PRIx64
             : c->letter == 'X' ? "%" PRIX64
             : c->letter == 'o' ? "%" PRIo64
                                : "%" PRIu64,
             magnitude);
    for (int64_t n = (int64_t)strlen(digits); n < c->precision; n++) {
        tw_jinja_put_text(b, "0");
    }
    tw_jinja_put_text(b, digits);
}

/* The number without its sign; *ret_sign gets it. */
static struct tw_jinja_value format_number(struct tw_jinja *j, const struct conversion *c,
                                           struct tw_jinja_value value, const char **ret_sign)
{
    struct tw_jinja_builder b = tw_jinja_builder(j);
    bool whole = strchr("diuxXo", c->letter) != NULL, negative;
    if (!tw_jinja_is_number(value) ||
        (strchr("xXo", c->letter) != NULL && value.kind == TW_JINJA_REAL)) {
        return tw_jinja_fail(j, "a format with %%%c needs a number", c->letter);
    }
    double real = tw_jinja_as_real(value);
    if (whole && value.kind == TW_JINJA_REAL && !(fabs(real) < 9.2e18)) {
        return tw_jinja_fail_limit(j, "a number has more than 64 bits");
    }
    int64_t integer = value.kind == TW_JINJA_INT ? value.integer : whole ? (int64_t)real : 0;
    negative = whole ? integer < 0 : signbit(real) && !isnan(real);
    *ret_sign = negative ? "-" : c->plus ? "+" : c->blank ? " " : "";
    if (whole) {
        tw_jinja_put_text(&b, !c->alternate      ? ""
                              : c->letter == 'x' ? "0x"
                              : c->letter == 'X' ? "0X"
                              : c->letter == 'o' ? "0o"
                                                 : "");
        put_digits(&b, c, integer);
    } else {
        const char *text = tw_jinja_print_real(
            j, c->letter, c->precision < 0 ? 6 : (int)c->precision, c->alternate, fabs(real));
        tw_jinja_put_text(&b, text != NULL ? text : "");
    }
    return tw_jinja_built(&b);
}

static struct tw_jinja_value format_char(struct tw_jinja *j, struct tw_jinja_value value)
{
    struct tw_jinja_builder b = tw_jinja_builder(j);
    if (value.kind == TW_JINJA_STRING && tw_jinja_length(j, value) == 1) {
        return value;
    }
    int64_t code = tw_jinja_int_argument(j, value, 0);
    if (code < 0 || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) {
        return tw_jinja_fail(j, "a format with %%c needs a character");
    }
    tw_jinja_put_code(&b, (uint32_t)code, value.is_input);
    return tw_jinja_built(&b);
}

static void put_conversion(struct tw_jinja_builder *b, const struct conversion *c,
                           struct tw_jinja_value value, bool is_markup)
{
    struct tw_jinja *j = b->j;
    const char *sign = "";
    struct tw_jinja_value text = value;
    if (c->letter == 's' || c->letter == 'r' || c->letter == 'a') {
        struct tw_jinja_builder repr = tw_jinja_builder(j);
        if (c->letter == 's') {
            text = is_markup ? tw_jinja_escape(j, value) : tw_jinja_str(j, value);
        } else {
            tw_jinja_put_repr(&repr, value);
            text = tw_jinja_built(&repr);
        }
        if (c->precision >= 0 && !tw_jinja_failed(j)) {
            text = tw_jinja_part(j, text, 0, tw_jinja_offset(j, text.string, (size_t)c->precision));
        }
    } else if (c->letter == 'c') {
        text = format_char(j, value);
    } else if (c->letter != '\0' && strchr("diuxXoeEfFgG", c->letter) != NULL) {
        text = format_number(j, c, value, &sign);
    } else {
        tw_jinja_fail(j, "a format has a place of the unknown kind %%%c", c->letter);
    }
    if (tw_jinja_failed(j)) {
        return;
    }
    bool zeros = c->zero && !c->left && strchr("srac", c->letter) == NULL;
    int64_t n = c->width - tw_jinja_length(j, text) - (int64_t)strlen(sign);
    tw_jinja_put_text(b, zeros ? sign : "");
    for (int64_t i = 0; i < n && !c->left; i++) {
        tw_jinja_put_text(b, zeros ? "0" : " ");
    }
    tw_jinja_put_text(b, zeros ? "" : sign);
    tw_jinja_put_value(b, text);
    for (int64_t i = 0; i < n && c->left; i++) {
        tw_jinja_put_text(b, " ");
    }
}

/* %(key)s: the place's key, looked up. */
static struct tw_jinja_value take_key(struct format_source *source, const struct tw_jinja_string *s,
                                      size_t *at)
{
    struct tw_jinja *j = source->j;
    size_t end = *at + 1;
    while (end < s->size_bytes && s->data[end] != ')') {
        end++;
    }
    if (end == s->size_bytes || source->values.kind != TW_JINJA_DICT) {
        return tw_jinja_fail(j, "a format with names needs a dict");
    }
    struct tw_jinja_value key = tw_jinja_string(j, s->data + *at + 1, end - *at - 1, false);
    const struct tw_jinja_value *found =
        tw_jinja_failed(j) ? NULL : tw_jinja_lookup(j, source->values.dict, key);
    *at = end + 1;
    source->by_key = true;
    return found != NULL ? *found : tw_jinja_fail(j, "a format names a key that is not there");
}

struct tw_jinja_value tw_jinja_percent(struct tw_jinja *j, struct tw_jinja_value format,
                                       struct tw_jinja_value arguments)
{
    const struct tw_jinja_string *s = format.string;
    struct tw_jinja_builder b = tw_jinja_builder(j);
    struct format_source source = {.j = j, .values = arguments};
    b.is_markup = format.is_markup;
    for (size_t at = 0; at < s->size_bytes && tw_jinja_step(j, 1);) {
        const char *hit = memchr(s->data + at, '%', s->size_bytes - at);
        size_t stop = hit != NULL ? (size_t)(hit - s->data) : s->size_bytes;
        tw_jinja_put_part(&b, s, at, stop - at);
        at = stop + 1;
        if (at > s->size_bytes) {
            break;
        }
        struct tw_jinja_value value = {.kind = TW_JINJA_ABSENT};
        if (at < s->size_bytes && s->data[at] == '(') {
            value = take_key(&source, s, &at);
        }
        struct conversion c = read_conversion(&source, s, &at);
        if (c.letter == '%') {
            tw_jinja_put_text(&b, "%");
        } else {
            value = value.kind == TW_JINJA_ABSENT ? take(&source) : value;
            put_conversion(&b, &c, value, format.is_markup);
        }
    }
    bool may_rest = arguments.kind == TW_JINJA_DICT || arguments.kind == TW_JINJA_LIST ||
                    arguments.kind == TW_JINJA_UNDEFINED;
    size_t n = arguments.kind == TW_JINJA_TUPLE ? arguments.list->n_items : 1;
    if (source.n_taken < n && !may_rest && !source.by_key) {
        tw_jinja_fail(j, "a format has fewer places than there are values");
    }
    return tw_jinja_built(&b);
}

ROW(format)
{
    UNUSED;
    struct tw_jinja_value text = tw_jinja_str(j, a[0]);
    struct tw_jinja_value values = {.kind = TW_JINJA_TUPLE, .list = &arguments->list};
    if (arguments->named.n_pairs > 0) {
        values = (struct tw_jinja_value){.kind = TW_JINJA_DICT, .dict = &arguments->named};
        if (arguments->list.n_items > 0) {
            return tw_jinja_fail(j, "format takes values or names, not both");
        }
    }
    return tw_jinja_failed(j) ? text : tw_jinja_percent(j, text, values);
}

/* ---- texts ---- */

ROW(string)
{
    UNUSED;
    return tw_jinja_str(j, a[0]);
}

ROW(safe)
{
    UNUSED;
    struct tw_jinja_value text = tw_jinja_str(j, a[0]);
    text.is_markup = text.kind == TW_JINJA_STRING;
    return text;
}

ROW(escape)
{
    UNUSED;
    return tw_jinja_escape(j, a[0]);
}

ROW(force_escape)
{
    UNUSED;
    a[0].is_markup = false;
    return tw_jinja_escape(j, a[0]);
}

/* A method of the text that a value is. */
static struct tw_jinja_value in_case(struct tw_jinja *j, struct tw_jinja_value value,
                                     enum tw_jinja_case first, enum tw_jinja_case rest)
{
    struct tw_jinja_value text = tw_jinja_str(j, value);
    return tw_jinja_failed(j) ? text : tw_jinja_in_case(j, text, first, rest);
}

ROW(upper)
{
    UNUSED;
    return in_case(j, a[0], TW_JINJA_UPPER, TW_JINJA_UPPER);
}

ROW(lower)
{
    UNUSED;
    return in_case(j, a[0], TW_JINJA_LOWER, TW_JINJA_LOWER);
}

ROW(capitalize)
{
    UNUSED;
    return in_case(j, a[0], TW_JINJA_TITLE, TW_JINJA_LOWER);
}

static bool begins_word(uint32_t code)
{
    return tw_jinja_is_space(code) || (code < 0x80 && strchr("-({[<", (int)code) != NULL && code);
}

/* A letter begins a word behind white space and opening brackets; words by themselves. */
ROW(title)
{
    UNUSED;
    struct tw_jinja_value text = tw_jinja_str(j, a[0]);
    struct tw_jinja_builder b = tw_jinja_builder(j);
    if (tw_jinja_failed(j)) {
        return text;
    }
    const struct tw_jinja_string *s = text.string;
    for (size_t at = 0, end; at < s->size_bytes && tw_jinja_step(j, 1); at = end) {
        uint32_t code, first;
        size_t n = tw_utf8_decode(s->data + at, s->size_bytes - at, &first);
        end = at + n;
        while (end < s->size_bytes) {
            size_t step = tw_utf8_decode(s->data + end, s->size_bytes - end, &code);
            if (begins_word(code) != begins_word(first)) {
                break;
            }
            end += step;
        }
        text.is_markup = false;
        tw_jinja_put_value(
            &b, in_case(j, tw_jinja_part(j, text, at, n), TW_JINJA_UPPER, TW_JINJA_UPPER));
        tw_jinja_put_value(&b, in_case(j, tw_jinja_part(j, text, at + n, end - at - n),
                                       TW_JINJA_LOWER, TW_JINJA_LOWER));
    }
    return tw_jinja_built(&b);
}

ROW(trim)
{
    UNUSED;
    struct tw_jinja_value text = tw_jinja_str(j, a[0]);
    return tw_jinja_failed(j) ? text : tw_jinja_strip(j, text, a[1], true, true);
}

ROW(replace)
{
    UNUSED;
    struct tw_jinja_value text = tw_jinja_str(j, a[0]);
    struct tw_jinja_value old = tw_jinja_str(j, a[1]), new = tw_jinja_str(j, a[2]);
    int64_t most = is_given(a[3]) ? tw_jinja_int_argument(j, a[3], -1) : -1;
    if (tw_jinja_failed(j)) {
        return text;
    }
    text.is_markup = false;
    return tw_jinja_replace(j, text, old, new, most);
}

ROW(indent)
{
    UNUSED;
    bool first = tw_jinja_flag_argument(a[2], false), blank = tw_jinja_flag_argument(a[3], false);
    struct tw_jinja_builder b = tw_jinja_builder(j);
    struct tw_jinja_value width = a[1];
    if (a[0].kind != TW_JINJA_STRING) {
        return tw_jinja_fail(j, "indent needs a text");
    }
    if (width.kind != TW_JINJA_STRING) {
        struct tw_jinja_value space = tw_jinja_string(j, " ", 1, false);
        width = tw_jinja_operate(j, '*', space, tw_jinja_int(tw_jinja_int_argument(j, width, 4)));
    }
    b.is_markup = a[0].is_markup;
    struct tw_jinja_value newline = tw_jinja_string(j, "\n", 1, false);
    struct tw_jinja_value text = tw_jinja_failed(j) ? a[0] : tw_jinja_join_two(j, a[0], newline);
    struct tw_jinja_value lines = tw_jinja_failed(j) ? text : tw_jinja_lines(j, text, false);
    for (size_t i = 0; !tw_jinja_failed(j) && i < lines.list->n_items; i++) {
        struct tw_jinja_value line = lines.list->items[i];
        tw_jinja_put_text(&b, i > 0 ? "\n" : "");
        if (i == 0 ? first : blank || line.string->size_bytes > 0) {
            tw_jinja_put_value(&b, width);
        }
        tw_jinja_put_value(&b, line);
    }
    return tw_jinja_built(&b);
}

ROW(center)
{
    UNUSED;
    struct tw_jinja_value text = tw_jinja_str(j, a[0]), item = tw_jinja_int(80);
    struct tw_jinja_arguments width = {.list = {.items = &item, .n_items = 1, .capacity = 1}};
    item = a[1].kind != TW_JINJA_ABSENT ? a[1] : item;
    return tw_jinja_run_builtin(j, tw_jinja_find_method(text, tw_bytes_of("center")), text, &width);
}

ROW(wordcount)
{
    UNUSED;
    struct tw_jinja_value text = tw_jinja_str(j, a[0]);
    int64_t n = 0;
    bool inside = false;
    for (size_t at = 0; tw_jinja_step(j, 1) && at < text.string->size_bytes;) {
        uint32_t code;
        at += tw_utf8_decode(text.string->data + at, text.string->size_bytes - at, &code);
        n += tw_utf8_is_word(code) && !inside;
        inside = tw_utf8_is_word(code);
    }
    return tw_jinja_int(n);
}

/* ---- numbers ---- */

ROW(absolute)
{
    UNUSED;
    if (!tw_jinja_is_number(a[0])) {
        return tw_jinja_fail(j, "abs needs a number");
    }
    bool negative = a[0].kind == TW_JINJA_REAL ? signbit(a[0].real) != 0 && !isnan(a[0].real)
                                               : tw_jinja_as_real(a[0]) < 0;
    return tw_jinja_sign(j, negative ? '-' : '+', a[0]);
}

/* int() of a number; false where Python raises ValueError. */
static bool whole_part(struct tw_jinja *j, double real, int64_t *ret_value)
{
    if (isnan(real)) {
        return false;
    }
    if (!(fabs(real) < 9.2e18)) {
        tw_jinja_fail_limit(j, "a number has more than 64 bits");
        return true;
    }
    *ret_value = (int64_t)real;
    return true;
}

ROW(to_int)
{
    UNUSED;
    int64_t value = 0;
    double real = 0;
    bool good = true;
    if (a[0].kind == TW_JINJA_UNDEFINED) {
        return tw_jinja_fail_undefined(j, a[0]);
    }
    int64_t base = tw_jinja_int_argument(j, a[2], 10);
    if (a[0].kind == TW_JINJA_STRING) {
        const struct tw_jinja_string *s = a[0].string;
        good = (base == 0 || (base >= 2 && base <= 36)) &&
               tw_jinja_parse_int(j, s->data, s->size_bytes, base, &value);
        if (!good) {
            good = tw_jinja_parse_real(j, s->data, s->size_bytes, &real) &&
                   whole_part(j, real, &value);
        }
    } else if (a[0].kind == TW_JINJA_REAL) {
        good = whole_part(j, a[0].real, &value);
    } else if (tw_jinja_is_number(a[0])) {
        value = tw_jinja_int_argument(j, a[0], 0);
    } else {
        good = false;
    }
    struct tw_jinja_value result = good                           ? tw_jinja_int(value)
                                   : a[1].kind == TW_JINJA_ABSENT ? tw_jinja_int(0)
                                                                  : a[1];
    result.is_input = result.is_input || a[0].is_input || a[0].kind == TW_JINJA_STRING;
    return result;
}

ROW(to_float)
{
    UNUSED;
    double value = 0;
    bool good = tw_jinja_is_number(a[0]);
    if (a[0].kind == TW_JINJA_UNDEFINED) {
        return tw_jinja_fail_undefined(j, a[0]);
    }
    if (a[0].kind == TW_JINJA_STRING) {
        good = tw_jinja_parse_real(j, a[0].string->data, a[0].string->size_bytes, &value);
    } else if (good) {
        value = tw_jinja_as_real(a[0]);
    }
    return good || a[1].kind == TW_JINJA_ABSENT ? tw_jinja_real(value) : a[1];
}

/* Half to even, of the decimal digits that the number has. */
static struct tw_jinja_value round_common(struct tw_jinja *j, struct tw_jinja_value value,
                                          int64_t precision)
{
    if (value.kind != TW_JINJA_REAL && precision >= 0) {
        return tw_jinja_int(tw_jinja_int_argument(j, value, 0));
    }
    double real = tw_jinja_as_real(value);
    if (precision < 0) {
        double unit = pow(10, (double)-precision), rounded = rint(real / unit) * unit;
        return value.kind == TW_JINJA_REAL ? tw_jinja_real(rounded)
                                           : tw_jinja_int((int64_t)rounded);
    }
    const char *text = tw_jinja_print_real(j, 'f', (int)precision, false, real);
    if (isfinite(real) && text != NULL) {
        tw_jinja_parse_real(j, text, strlen(text), &real);
    }
    return tw_jinja_real(real);
}

ROW(round_number)
{
    UNUSED;
    int64_t precision = tw_jinja_int_argument(j, a[1], 0);
    bool common = a[2].kind == TW_JINJA_ABSENT || tw_jinja_string_is(a[2], "common");
    bool is_ceil = tw_jinja_string_is(a[2], "ceil");
    if (!tw_jinja_is_number(a[0]) || (!common && !is_ceil && !tw_jinja_string_is(a[2], "floor")) ||
        precision < -300 || precision > 50) {
        return tw_jinja_fail(j, "round needs a number, at most 50 places, and one of 'common', "
                                "'ceil' and 'floor'");
    }
    if (common) {
        return round_common(j, a[0], precision);
    }
    double scaled = tw_jinja_as_real(a[0]) * pow(10, (double)precision);
    if (!isfinite(scaled)) {
        return tw_jinja_fail(j, "round needs a finite number");
    }
    return tw_jinja_real((is_ceil ? ceil(scaled) : floor(scaled)) / pow(10, (double)precision));
}

/* ---- any value ---- */

ROW(or_default)
{
    UNUSED;
    bool is_missing = a[0].kind == TW_JINJA_UNDEFINED ||
                      (tw_jinja_flag_argument(a[2], false) && !tw_jinja_truth(a[0]));
    return !is_missing                    ? a[0]
           : a[1].kind == TW_JINJA_ABSENT ? tw_jinja_string(j, "", 0, false)
                                          : a[1];
}

ROW(length)
{
    UNUSED;
    int64_t n = tw_jinja_length(j, a[0]);
    return n < 0 ? tw_jinja_fail(j, "length needs a list, dict or text; put |list before it")
                 : tw_jinja_int(n);
}

ROW(get_attribute)
{
    UNUSED;
    const struct tw_jinja_string *name = tw_jinja_string_argument(j, a[1]);
    struct tw_bytes text = {name->data, name->size_bytes};
    if (a[0].kind == TW_JINJA_UNDEFINED) {
        return tw_jinja_fail_undefined(j, a[0]);
    }
    bool has = a[0].kind == TW_JINJA_NAMESPACE || a[0].kind == TW_JINJA_LOOP ||
               tw_jinja_find_method(a[0], text) != NULL;
    return has ? tw_jinja_item(j, a[0], a[1]) : tw_jinja_undefined("an attribute");
}

/* As json.dumps with the given arguments. */
ROW(to_json)
{
    UNUSED;
    struct tw_jinja_builder b = tw_jinja_builder(j);
    struct tw_jinja_json_style style = {.ensure_ascii = tw_jinja_flag_argument(a[1], false),
                                        .sort_keys = tw_jinja_flag_argument(a[4], false),
                                        .is_indented = is_given(a[2])};
    style.indent = a[2];
    if (style.is_indented && a[2].kind != TW_JINJA_STRING) {
        struct tw_jinja_value space = tw_jinja_string(j, " ", 1, false);
        int64_t width = tw_jinja_int_argument(j, a[2], 0);
        style.indent = tw_jinja_operate(j, '*', space, tw_jinja_int(width));
    }
    const char *comma = style.is_indented ? "," : ", ";
    style.item_separator = tw_jinja_string(j, comma, strlen(comma), false);
    style.key_separator = tw_jinja_string(j, ": ", 2, false);
    if (is_given(a[3])) {
        struct tw_jinja_value pair = tw_jinja_collect(j, a[3], TW_JINJA_TUPLE);
        if (tw_jinja_failed(j) || pair.list->n_items != 2) {
            return tw_jinja_fail(j, "tojson needs two separators");
        }
        style.item_separator = pair.list->items[0];
        style.key_separator = pair.list->items[1];
    }
    tw_jinja_put_json(&b, a[0], &style);
    return tw_jinja_built(&b);
}

ROW(from_json)
{
    UNUSED;
    const struct tw_jinja_string *s = tw_jinja_string_argument(j, a[0]);
    json_t *json = NULL;
    struct tw_error error = {0};
    if (s->size_bytes > TW_LIMIT_JINJA_SOURCE_BYTES || !tw_jinja_step(j, s->size_bytes)) {
        return tw_jinja_fail_limit(j, "from_json reads at most %u bytes",
                                   TW_LIMIT_JINJA_SOURCE_BYTES);
    }
    if (tw_json_parse(s->size_bytes > 0 ? s->data : "", s->size_bytes, "text", &json, &error) !=
        TW_OK) {
        return tw_jinja_fail(j, "from_json: %.100s", error.text);
    }
    j->copies_texts = true;
    struct tw_jinja_value value = tw_jinja_from_json(j, json, tw_jinja_has_input(s));
    j->copies_texts = false;
    json_decref(json);
    return value;
}

const struct tw_jinja_builtin *tw_jinja_find_filter(struct tw_bytes name)
{
    static const struct tw_jinja_builtin rows[] = {
        {"abs", absolute, "-", 0},
        {"attr", get_attribute, "name", 1},
        {"capitalize", capitalize, "-", 0},
        {"center", center, "width", 0},
        {"count", length, "-", 0},
        {"d", or_default, "default_value boolean", 0},
        {"default", or_default, "default_value boolean", 0},
        {"e", escape, "-", 0},
        {"escape", escape, "-", 0},
        {"float", to_float, "default", 0},
        {"forceescape", force_escape, "-", 0},
        {"format", format, NULL, 0},
        {"from_json", from_json, "-", 0},
        {"indent", indent, "width first blank", 0},
        {"int", to_int, "default base", 0},
        {"length", length, "-", 0},
        {"lower", lower, "-", 0},
        {"replace", replace, "old new count", 2},
        {"round", round_number, "precision method", 0},
        {"safe", safe, "-", 0},
        {"string", string, "-", 0},
        {"title", title, "-", 0},
        {"tojson", to_json, "ensure_ascii indent separators sort_keys", 0},
        {"trim", trim, "chars", 0},
        {"upper", upper, "-", 0},
        {"wordcount", wordcount, "-", 0},
    };
    const struct tw_jinja_builtin *row = tw_jinja_find_row(rows, sizeof rows / sizeof *rows, name);
    return row != NULL ? row : tw_jinja_find_sequence_filter(name);
}
