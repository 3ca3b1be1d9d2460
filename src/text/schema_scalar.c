/* What a conjunction of plain schemas says about types, numbers, strings and listed values. */
#include <math.h>
#include <string.h>

#include "text/regex.h"
#include "text/schema_parts.h"

const char *const tw_schema_string_keywords[] = {"pattern", "format", "minLength", "maxLength",
                                                 NULL};
const char *const tw_schema_array_keywords[] = {"items", "prefixItems", "minItems", "maxItems",
                                                NULL};
const char *const tw_schema_object_keywords[] = {
    "properties", "required", "additionalProperties", "minProperties", "maxProperties", NULL};

bool tw_schema_has_any(const json_t *schema, const char *const *keywords)
{
    while (*keywords != NULL && json_object_get(schema, *keywords) == NULL) {
        keywords++;
    }
    return *keywords != NULL;
}

/* ---- types ---- */

static int types_of_name(struct tw_schema_compiler *c, const json_t *schema, const json_t *name)
{
    static const struct {
        const char *name;
        int types;
    } rows[] = {
        {"null", TW_TYPE_NULL},     {"boolean", TW_TYPE_BOOLEAN}, {"integer", TW_TYPE_INTEGER},
        {"number", TW_TYPE_NUMBER}, {"string", TW_TYPE_STRING},   {"array", TW_TYPE_ARRAY},
        {"object", TW_TYPE_OBJECT},
    };
    const char *text = json_string_value(name);
    for (size_t i = 0; text != NULL && i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(text, rows[i].name) == 0) {
            return rows[i].types;
        }
    }
    tw_schema_fail(c, TW_ERR_FORMAT, schema, "type",
                   "it must be one or several of null, boolean, integer, number, string, array, "
                   "object");
    return 0;
}

int tw_schema_types(struct tw_schema_compiler *c, uint32_t conjunction)
{
    int types = TW_TYPE_ANY;
    const json_t *schema;
    for (uint32_t i = 0; (schema = tw_schema_at(c, conjunction, i)) != NULL; i++) {
        const json_t *type = json_object_get(schema, "type");
        int here = 0;
        if (!json_is_array(type)) {
            here = type == NULL ? TW_TYPE_ANY : types_of_name(c, schema, type);
        }
        for (size_t j = 0; j < json_array_size(type) && tw_budget_spend(c->budget, 1); j++) {
            here |= types_of_name(c, schema, json_array_get(type, j));
        }
        types &= here;
    }
    return types;
}

int tw_schema_type_of(const json_t *value)
{
    struct tw_decimal at;
    switch (json_typeof(value)) {
    case JSON_NULL:
        return TW_TYPE_NULL;
    case JSON_TRUE:
    case JSON_FALSE:
        return TW_TYPE_BOOLEAN;
    case JSON_INTEGER:
        return TW_TYPE_INTEGER;
    case JSON_REAL:
        return tw_decimal_from_json(value, &at) && at.n_fraction == 0 ? TW_TYPE_INTEGER
                                                                      : TW_TYPE_FRACTION;
    case JSON_STRING:
        return TW_TYPE_STRING;
    case JSON_ARRAY:
        return TW_TYPE_ARRAY;
    case JSON_OBJECT:
        break;
    }
    return TW_TYPE_OBJECT;
}

/* ---- numbers ---- */

static void read_bound(struct tw_schema_compiler *c, const json_t *schema, const char *keyword,
                       int direction, bool is_open, struct tw_number_bound *bound)
{
    const json_t *value = json_object_get(schema, keyword);
    struct tw_number_bound found = {.exists = true, .is_open = is_open};
    if (value == NULL) {
        return;
    }
    if (!tw_decimal_from_json(value, &found.at)) {
        tw_schema_fail(c, TW_ERR_UNSUPPORTED, schema, keyword,
                       "a bound with more than %d digits on a side of the point cannot be "
                       "enforced",
                       TW_DECIMAL_DIGITS);
        return;
    }
    int order = bound->exists ? direction * tw_decimal_compare(&found.at, &bound->at) : 1;
    if (order > 0 || (order == 0 && is_open)) {
        *bound = found;
    }
}

static void read_multiple(struct tw_schema_compiler *c, const json_t *schema,
                          struct tw_number_range *range)
{
    enum { MOST = 10000 };
    const json_t *value = json_object_get(schema, "multipleOf");
    double number = json_number_value(value);
    if (value == NULL) {
        return;
    }
    bool is_good = number >= 1 && number <= MOST && floor(number) == number;
    uint32_t common = range->multiple_of;
    while (is_good && common <= MOST && common % (uint32_t)number != 0) {
        common += range->multiple_of;
    }
    if (!is_good || common > MOST) {
        tw_schema_fail(c, TW_ERR_UNSUPPORTED, schema, "multipleOf",
                       "only whole numbers from 1 to %d can be enforced", MOST);
        return;
    }
    range->multiple_of = common;
    range->is_integer = true;
}

struct tw_number_range tw_schema_number_range(struct tw_schema_compiler *c, uint32_t conjunction)
{
    struct tw_number_range range = {.multiple_of = 1};
    const json_t *schema;
    range.is_integer = (tw_schema_types(c, conjunction) & TW_TYPE_FRACTION) == 0;
    for (uint32_t i = 0; (schema = tw_schema_at(c, conjunction, i)) != NULL; i++) {
        read_bound(c, schema, "minimum", 1, false, &range.low);
        read_bound(c, schema, "exclusiveMinimum", 1, true, &range.low);
        read_bound(c, schema, "maximum", -1, false, &range.high);
        read_bound(c, schema, "exclusiveMaximum", -1, true, &range.high);
        read_multiple(c, schema, &range);
    }
    return range;
}

/* ---- formats ---- */

/* Patterns of the whole string. Each allows less than its standard or just as much: what the
 * automaton writes must pass any validator. What is left out is told in
 * docs/structured-output.md. */
#define YEAR "(?:[0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)"
#define LEAP_YEAR                                                                                  \
    "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)"
#define DATE                                                                                       \
    "(?:" YEAR "-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|"                                \
    "(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))|" LEAP_YEAR "-02-29)"
#define CLOCK "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
#define TIME  CLOCK ":[0-5][0-9](?:\\.[0-9]{1,6})?(?:Z|[+-]" CLOCK ")"

#define TIME_UNITS                                                                                 \
    "T(?:[0-9]{1,9}H(?:[0-9]{1,9}M(?:[0-9]{1,9}S)?)?|[0-9]{1,9}M(?:[0-9]{1,9}S)?|[0-9]{1,9}S)"
#define DURATION                                                                                   \
    "P(?:(?:[0-9]{1,9}D|[0-9]{1,9}M(?:[0-9]{1,9}D)?|"                                              \
    "[0-9]{1,9}Y(?:[0-9]{1,9}M(?:[0-9]{1,9}D)?)?)(?:" TIME_UNITS ")?|" TIME_UNITS "|[0-9]{1,9}W)"

#define LABEL    "[A-Za-z0-9](?:[A-Za-z0-9-]{0,28}[A-Za-z0-9])?"
#define HOSTNAME LABEL "(?:\\." LABEL "){0,7}"
#define ATOM     "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,20}"
#define EMAIL    ATOM "(?:\\." ATOM "){0,2}@" HOSTNAME

#define OCTET "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
#define IPV4  OCTET "(?:\\." OCTET "){3}"
#define H16   "[0-9A-Fa-f]{1,4}"
#define IPV6                                                                                       \
    "(?:(?:" H16 ":){7}" H16 "|(?:" H16 ":){1,7}:|(?:" H16 ":){6}:" H16 "|(?:" H16 ":){5}(?::" H16 \
    "){1,2}|(?:" H16 ":){4}(?::" H16 "){1,3}|(?:" H16 ":){3}(?::" H16 "){1,4}|(?:" H16             \
    ":){2}(?::" H16 "){1,5}|" H16 ":(?::" H16 "){1,6}|:(?::" H16 "){1,7}|::)"

#define HEX4 "[0-9A-Fa-f]{4}"
#define UUID HEX4 HEX4 "-" HEX4 "-" HEX4 "-" HEX4 "-" HEX4 HEX4 HEX4

#define PATH_CHAR "(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})"
#define USER_CHAR "(?:[A-Za-z0-9._~!$&'()*+,;=:-]|%[0-9A-Fa-f]{2})"
#define HOST_CHAR "(?:[A-Za-z0-9._~-]|%[0-9A-Fa-f]{2})"
#define AUTHORITY "(?:" USER_CHAR "*@)?" HOST_CHAR "*(?::[0-9]{0,5})?"
#define URI                                                                                        \
    "[A-Za-z][A-Za-z0-9+.-]*:(?://" AUTHORITY "(?:/" PATH_CHAR "*)*|/(?:" PATH_CHAR                \
    "+(?:/" PATH_CHAR "*)*)?|" PATH_CHAR "+(?:/" PATH_CHAR "*)*)(?:\\?(?:" PATH_CHAR               \
    "|[/?])*)?(?:#(?:" PATH_CHAR "|[/?])*)?"

static const struct {
    const char *name, *pattern;
} formats[] = {
    {"date", DATE},   {"time", TIME},         {"date-time", DATE "T" TIME},
    {"email", EMAIL}, {"hostname", HOSTNAME}, {"duration", DURATION},
    {"ipv4", IPV4},   {"ipv6", IPV6},         {"uuid", UUID},
    {"uri", URI},
};

/* ---- strings ---- */

static tw_expr parse(struct tw_schema_compiler *c, const json_t *schema, const char *keyword,
                     const char *pattern, size_t pattern_bytes)
{
    struct tw_error error;
    tw_expr expr = TW_EXPR_NOTHING;
    enum tw_status status = tw_regex_parse((struct tw_bytes){pattern, pattern_bytes},
                                           &c->grammar->exprs, &expr, &error);
    if (status != TW_OK) {
        tw_schema_fail(c, status, schema, keyword, "%s", error.text);
    }
    return expr;
}

static tw_expr read_pattern(struct tw_schema_compiler *c, const json_t *schema)
{
    struct tw_exprs *exprs = &c->grammar->exprs;
    const json_t *pattern = json_object_get(schema, "pattern");
    if (pattern == NULL) {
        return TW_EXPR_ANY;
    }
    tw_expr found =
        parse(c, schema, "pattern", json_string_value(pattern), json_string_length(pattern));
    return tw_expr_sequence(exprs, TW_EXPR_ANY, tw_expr_sequence(exprs, found, TW_EXPR_ANY));
}

static tw_expr read_format(struct tw_schema_compiler *c, const json_t *schema)
{
    const char *name = json_string_value(json_object_get(schema, "format"));
    for (size_t i = 0; name != NULL && i < sizeof formats / sizeof formats[0]; i++) {
        if (strcmp(name, formats[i].name) == 0) {
            return parse(c, schema, "format", formats[i].pattern, strlen(formats[i].pattern));
        }
    }
    if (name != NULL) {
        tw_schema_fail(c, TW_ERR_UNSUPPORTED, schema, "format",
                       "the format '%.40s' cannot be enforced", name);
    }
    return TW_EXPR_ANY;
}

tw_expr tw_schema_strings(struct tw_schema_compiler *c, uint32_t conjunction)
{
    struct tw_exprs *exprs = &c->grammar->exprs;
    struct tw_schema_counts n = tw_schema_read_counts(c, conjunction, "minLength", "maxLength");
    tw_expr any = tw_expr_char(exprs, 0, TW_EXPR_LAST_CODE);
    tw_expr strings =
        n.least <= n.most ? tw_expr_repeat(exprs, any, n.least, n.most) : TW_EXPR_NOTHING;
    const json_t *schema;
    for (uint32_t i = 0; (schema = tw_schema_at(c, conjunction, i)) != NULL; i++) {
        strings = tw_expr_both(exprs, strings, read_pattern(c, schema));
        strings = tw_expr_both(exprs, strings, read_format(c, schema));
    }
    return strings;
}

/* ---- enum and const ---- */

/* JSON Schema counts 1 and 1.0 as equal. */
static bool values_are_equal(const json_t *a, const json_t *b)
{
    struct tw_decimal x, y;
    if (json_is_number(a) && json_is_number(b)) {
        return tw_decimal_from_json(a, &x) && tw_decimal_from_json(b, &y) &&
               tw_decimal_compare(&x, &y) == 0;
    }
    return json_equal(a, b) != 0;
}

uint64_t tw_schema_weight(const json_t *value)
{
    const char *name;
    const json_t *member;
    uint64_t weight = 1 + json_string_length(value) / 16;
    json_object_foreach ((json_t *)(uintptr_t)value, name, member) {
        weight += 1 + tw_schema_weight(member);
    }
    for (size_t i = 0; i < json_array_size(value); i++) {
        weight += tw_schema_weight(json_array_get(value, i));
    }
    return weight;
}

static bool schema_lists(struct tw_schema_compiler *c, const json_t *schema, const json_t *value)
{
    const json_t *list = json_object_get(schema, "enum");
    const json_t *constant = json_object_get(schema, "const");
    const uint64_t weight = tw_schema_weight(value);
    bool found = list == NULL;
    for (size_t i = 0; !found && i < json_array_size(list) && tw_budget_spend(c->budget, weight);
         i++) {
        found = values_are_equal(json_array_get(list, i), value);
    }
    return found && (constant == NULL || values_are_equal(constant, value));
}

/* What the other keywords of a conjunction let through, made once for all candidates. */
struct filter {
    int types;
    struct tw_number_range range;
    tw_expr strings;
    bool says_structure;  /* a keyword of arrays or objects */
    const json_t *lister; /* the first schema with enum or const; NULL: none has */
};

static struct filter make_filter(struct tw_schema_compiler *c, uint32_t conjunction)
{
    static const char *const listing[] = {"enum", "const", NULL};
    struct filter filter = {.types = tw_schema_types(c, conjunction)};
    const json_t *schema;
    for (uint32_t i = 0; (schema = tw_schema_at(c, conjunction, i)) != NULL; i++) {
        bool lists = tw_schema_has_any(schema, listing);
        filter.lister = filter.lister == NULL && lists ? schema : filter.lister;
        filter.says_structure |= tw_schema_has_any(schema, tw_schema_array_keywords) ||
                                 tw_schema_has_any(schema, tw_schema_object_keywords);
    }
    if (filter.lister != NULL) {
        filter.range = tw_schema_number_range(c, conjunction);
        filter.strings = tw_schema_strings(c, conjunction);
    }
    return filter;
}

static bool value_fits(struct tw_schema_compiler *c, uint32_t conjunction,
                       const struct filter *filter, const json_t *value)
{
    const json_t *schema;
    int type = tw_schema_type_of(value);
    bool fits = (type & filter->types) != 0;
    for (uint32_t i = 0; fits && (schema = tw_schema_at(c, conjunction, i)) != NULL; i++) {
        bool is_source = schema == filter->lister && json_object_get(schema, "const") == NULL;
        fits = is_source || schema_lists(c, schema, value);
    }
    if (fits && (type & TW_TYPE_NUMBER) != 0) {
        return tw_number_range_has(&filter->range, value);
    }
    if (fits && type == TW_TYPE_STRING) {
        struct tw_bytes text = {json_string_value(value), json_string_length(value)};
        return filter->strings == TW_EXPR_ANY ||
               tw_expr_matches(&c->grammar->exprs, filter->strings, text);
    }
    if (fits && (type & (TW_TYPE_ARRAY | TW_TYPE_OBJECT)) != 0 && filter->says_structure) {
        tw_schema_fail(c, TW_ERR_UNSUPPORTED, filter->lister, "enum",
                       "arrays and objects among the values cannot be combined with keywords "
                       "about arrays or objects");
    }
    return fits;
}

bool tw_schema_enum(struct tw_schema_compiler *c, uint32_t conjunction, struct tw_list *values)
{
    struct filter filter = make_filter(c, conjunction);
    const json_t *list = json_object_get(filter.lister, "enum");
    size_t n = list != NULL ? json_array_size(list) : filter.lister != NULL;
    for (size_t i = 0; i < n && tw_schema_goes_on(c); i++) {
        const json_t *value =
            list != NULL ? json_array_get(list, i) : json_object_get(filter.lister, "const");
        if (value_fits(c, conjunction, &filter, value)) {
            tw_list_push(values, c->budget, tw_schema_number(c, value));
        }
    }
    return filter.lister != NULL;
}
