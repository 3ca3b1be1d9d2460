/* Values by their type, and the queue of rules. */
#include <math.h>
#include <string.h>

#include "text/schema_parts.h"

static const char *const string_keywords[] = {"pattern", "format", "minLength", "maxLength", NULL};
static const char *const array_keywords[] = {"items",    "prefixItems", "additionalItems",
                                             "minItems", "maxItems",    NULL};
static const char *const object_keywords[] = {
    "properties",    "required", "additionalProperties", "patternProperties", "minProperties",
    "maxProperties", NULL};

bool tw_schema_has(const struct tw_schema_compiler *c, uint32_t conjunction, const char *keyword)
{
    const json_t *schema;
    for (uint32_t i = 0; (schema = tw_schema_at(c, conjunction, i)) != NULL; i++) {
        if (json_object_get(schema, keyword) != NULL) {
            return true;
        }
    }
    return false;
}

static bool has_any(const json_t *schema, const char *const *names)
{
    for (; *names != NULL; names++) {
        if (json_object_get(schema, *names) != NULL) {
            return true;
        }
    }
    return false;
}

/* Those schemas of a conjunction that say something about strings, say: so that all free strings of
 * a schema are one rule. */
static uint32_t restrict_to(struct tw_schema_compiler *c, uint32_t conjunction,
                            const char *const *names)
{
    const json_t *schema;
    struct tw_list numbers = {0};
    for (uint32_t i = 0; (schema = tw_schema_at(c, conjunction, i)) != NULL; i++) {
        uint32_t *place = NULL;
        if (has_any(schema, names)) {
            place = tw_list_add(&numbers, c->budget, 1, sizeof *place);
        }
        if (place != NULL) {
            *place = tw_schema_number(c, schema);
        }
    }
    uint32_t result = tw_schema_conjunction(c, numbers.items, numbers.n);
    tw_list_free(&numbers, c->budget, sizeof(uint32_t));
    return result;
}

/* ---- types ---- */

static int type_of_name(struct tw_schema_compiler *c, const json_t *schema, const json_t *name)
{
    static const struct {
        const char *name;
        int types;
    } rows[] = {
        {"null", TW_TYPE_NULL},       {"boolean", TW_TYPE_BOOLEAN},
        {"integer", TW_TYPE_INTEGER}, {"number", TW_TYPE_INTEGER | TW_TYPE_FRACTION},
        {"string", TW_TYPE_STRING},   {"array", TW_TYPE_ARRAY},
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
        int here = type == NULL ? TW_TYPE_ANY : 0;
        if (type != NULL && !json_is_array(type)) {
            here = type_of_name(c, schema, type);
        }
        for (size_t j = 0; j < json_array_size(type) && tw_budget_spend(c->budget, 1); j++) {
            here |= type_of_name(c, schema, json_array_get(type, j));
        }
        types &= here;
    }
    return types;
}

/* ---- numbers ---- */

static void read_bound(struct tw_schema_compiler *c, const json_t *schema, const char *keyword,
                       bool is_low, bool is_open, struct tw_number_range *range)
{
    const json_t *value = json_object_get(schema, keyword);
    struct tw_decimal at;
    if (value == NULL) {
        return;
    }
    if (!tw_decimal_from_json(value, &at)) {
        tw_schema_fail(c, TW_ERR_UNSUPPORTED, schema, keyword,
                       "a bound with more than %d digits on a side of the point cannot be "
                       "enforced",
                       TW_DECIMAL_DIGITS);
        return;
    }
    bool exists = is_low ? range->has_low : range->has_high;
    int order = exists ? tw_decimal_compare(&at, is_low ? &range->low : &range->high) : 0;
    bool is_tighter = !exists || (is_low ? order > 0 : order < 0) || (order == 0 && is_open);
    if (is_tighter && is_low) {
        range->has_low = true;
        range->low = at;
        range->is_low_open = is_open;
    } else if (is_tighter) {
        range->has_high = true;
        range->high = at;
        range->is_high_open = is_open;
    }
}

static uint32_t greatest_divisor(uint32_t a, uint32_t b)
{
    while (b != 0) {
        uint32_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
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
    bool good = number >= 1 && number <= MOST && floor(number) == number;
    uint32_t multiple = good ? (uint32_t)number : 1;
    uint32_t common =
        multiple / greatest_divisor(multiple, range->multiple_of) * range->multiple_of;
    if (!good || common > MOST) {
        tw_schema_fail(c, TW_ERR_UNSUPPORTED, schema, "multipleOf",
                       "only whole numbers from 1 to %d can be enforced", MOST);
        return;
    }
    range->multiple_of = common;
    range->is_integer = true;
}

struct tw_number_range tw_schema_number_range(struct tw_schema_compiler *c, uint32_t conjunction,
                                              int types)
{
    struct tw_number_range range = {.multiple_of = 1};
    const json_t *schema;
    range.is_integer = (types & TW_TYPE_FRACTION) == 0;
    for (uint32_t i = 0; (schema = tw_schema_at(c, conjunction, i)) != NULL; i++) {
        read_bound(c, schema, "minimum", true, false, &range);
        read_bound(c, schema, "exclusiveMinimum", true, true, &range);
        read_bound(c, schema, "maximum", false, false, &range);
        read_bound(c, schema, "exclusiveMaximum", false, true, &range);
        read_multiple(c, schema, &range);
    }
    return range;
}

/* Whether a number is inside; how it is written does not matter here. */
static bool number_fits(const struct tw_number_range *range, const json_t *value)
{
    struct tw_decimal at;
    if (!tw_decimal_from_json(value, &at)) {
        return false;
    }
    int low = range->has_low ? tw_decimal_compare(&at, &range->low) : 1;
    int high = range->has_high ? tw_decimal_compare(&at, &range->high) : -1;
    bool inside = low >= (range->is_low_open ? 1 : 0) && high <= (range->is_high_open ? -1 : 0);
    bool is_multiple =
        range->multiple_of == 1 || fmod(json_number_value(value), (double)range->multiple_of) == 0;
    return inside && is_multiple && (!range->is_integer || at.n_fraction == 0);
}

/* ---- strings ---- */

struct tw_char_dfa tw_schema_pattern(struct tw_schema_compiler *c, const json_t *schema,
                                     const char *keyword, struct tw_bytes pattern, bool is_search)
{
    const struct tw_regex *regex;
    struct tw_error error;
    enum tw_status status = tw_regex_parse(pattern, &c->arena, &regex, &error);
    if (status != TW_OK) {
        tw_schema_fail(c, status, schema, keyword, "%s", error.text);
        return (struct tw_char_dfa){0};
    }
    return tw_char_dfa_from_regex(regex, is_search, c->budget);
}

/* *dfa becomes both; more is taken apart. */
static void narrow(struct tw_schema_compiler *c, struct tw_char_dfa *dfa, bool *is_narrowed,
                   struct tw_char_dfa more)
{
    if (*is_narrowed) {
        struct tw_char_dfa both = tw_char_dfa_both(dfa, &more, c->budget);
        tw_char_dfa_free(dfa, c->budget);
        tw_char_dfa_free(&more, c->budget);
        *dfa = both;
    } else {
        *dfa = more;
    }
    *is_narrowed = true;
}

static void narrow_by_format(struct tw_schema_compiler *c, const json_t *schema,
                             struct tw_char_dfa *dfa, bool *is_narrowed)
{
    const char *name = json_string_value(json_object_get(schema, "format"));
    const char *pattern = name != NULL ? tw_schema_format_pattern(name) : NULL;
    if (name != NULL && pattern == NULL) {
        tw_schema_fail(c, TW_ERR_UNSUPPORTED, schema, "format",
                       "the format '%.40s' cannot be enforced", name);
    } else if (name != NULL) {
        narrow(c, dfa, is_narrowed,
               tw_schema_pattern(c, schema, "format", tw_bytes_of(pattern), false));
    }
}

/* The strings of a conjunction. *ret_is_free: nothing but their length is said. */
static struct tw_char_dfa strings_of(struct tw_schema_compiler *c, uint32_t conjunction,
                                     bool *ret_is_free)
{
    struct tw_char_dfa dfa = {0};
    uint32_t least = 0, most = TW_REGEX_NO_END;
    bool is_narrowed = false;
    const json_t *schema;
    for (uint32_t i = 0; (schema = tw_schema_at(c, conjunction, i)) != NULL; i++) {
        const char *pattern = json_string_value(json_object_get(schema, "pattern"));
        tw_schema_read_count(c, schema, "minLength", true, &least);
        tw_schema_read_count(c, schema, "maxLength", false, &most);
        if (pattern != NULL && tw_schema_goes_on(c)) {
            narrow(c, &dfa, &is_narrowed,
                   tw_schema_pattern(c, schema, "pattern", tw_bytes_of(pattern), true));
        }
        narrow_by_format(c, schema, &dfa, &is_narrowed);
    }
    *ret_is_free = !is_narrowed;
    if (tw_schema_goes_on(c) && least <= most &&
        (!is_narrowed || least > 0 || most != TW_REGEX_NO_END)) {
        narrow(c, &dfa, &is_narrowed, tw_char_dfa_of_length(least, most, c->budget));
    } else if (least > most) {
        tw_char_dfa_free(&dfa, c->budget);
    }
    return dfa;
}

static void write_string(struct tw_schema_compiler *c, uint32_t conjunction,
                         struct tw_grammar_rule rule)
{
    bool is_free;
    struct tw_char_dfa dfa = strings_of(c, conjunction, &is_free);
    uint32_t close = tw_grammar_add_node(c->grammar);
    if (tw_schema_goes_on(c)) {
        tw_grammar_add_chars(c->grammar, rule.begin, close, &dfa,
                             is_free ? TW_SPELLING_FREE : TW_SPELLING_TIDY);
    }
    tw_grammar_add_byte(c->grammar, close, rule.end, '"');
    tw_char_dfa_free(&dfa, c->budget);
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
    struct tw_char_dfa strings;
    bool are_strings_free;
    bool says_structure; /* a keyword of arrays or objects */
    const json_t *lister;
};

static int type_of_value(const json_t *value)
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

static struct filter make_filter(struct tw_schema_compiler *c, uint32_t conjunction)
{
    struct filter filter = {.types = tw_schema_types(c, conjunction), .are_strings_free = true};
    const json_t *schema;
    filter.range = tw_schema_number_range(c, conjunction, filter.types);
    for (uint32_t i = 0; (schema = tw_schema_at(c, conjunction, i)) != NULL; i++) {
        bool lists =
            json_object_get(schema, "enum") != NULL || json_object_get(schema, "const") != NULL;
        filter.lister = filter.lister == NULL && lists ? schema : filter.lister;
        filter.are_strings_free &= !has_any(schema, string_keywords);
        filter.says_structure |=
            has_any(schema, array_keywords) || has_any(schema, object_keywords);
    }
    if (!filter.are_strings_free) {
        bool unused;
        filter.strings = strings_of(c, conjunction, &unused);
    }
    return filter;
}

static bool value_fits(struct tw_schema_compiler *c, uint32_t conjunction,
                       const struct filter *filter, const json_t *value)
{
    int type = type_of_value(value);
    const json_t *schema;
    bool fits = (type & filter->types) != 0;
    for (uint32_t i = 0; fits && (schema = tw_schema_at(c, conjunction, i)) != NULL; i++) {
        fits = schema == filter->lister && json_object_get(schema, "const") == NULL
                   ? true
                   : schema_lists(c, schema, value);
    }
    if (fits && (type & (TW_TYPE_INTEGER | TW_TYPE_FRACTION)) != 0) {
        return number_fits(&filter->range, value);
    }
    if (fits && type == TW_TYPE_STRING && !filter->are_strings_free) {
        struct tw_bytes text = {json_string_value(value), json_string_length(value)};
        return tw_char_dfa_accepts(&filter->strings, text);
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
    if (!tw_schema_has(c, conjunction, "enum") && !tw_schema_has(c, conjunction, "const")) {
        return false;
    }
    struct filter filter = make_filter(c, conjunction);
    const json_t *list = json_object_get(filter.lister, "enum");
    size_t n = list != NULL ? json_array_size(list) : 1;
    for (size_t i = 0; i < n && tw_schema_goes_on(c); i++) {
        const json_t *value =
            list != NULL ? json_array_get(list, i) : json_object_get(filter.lister, "const");
        uint32_t *place = NULL;
        if (value_fits(c, conjunction, &filter, value)) {
            place = tw_list_add(values, c->budget, 1, sizeof *place);
        }
        if (place != NULL) {
            *place = tw_schema_number(c, value);
        }
    }
    tw_char_dfa_free(&filter.strings, c->budget);
    return true;
}

static void write_enum_strings(struct tw_schema_compiler *c, uint32_t conjunction,
                               struct tw_grammar_rule rule)
{
    struct tw_list values = {0};
    uint32_t close = tw_grammar_add_node(c->grammar);
    tw_grammar_add_byte(c->grammar, close, rule.end, '"');
    tw_schema_enum(c, conjunction, &values);
    for (uint32_t i = 0; i < values.n && tw_schema_goes_on(c); i++) {
        const json_t *value = tw_schema_value(c, ((const uint32_t *)values.items)[i]);
        if (json_is_string(value)) {
            struct tw_bytes text = {json_string_value(value), json_string_length(value)};
            tw_grammar_add_json_text(c->grammar, rule.begin, close, text);
        }
    }
    tw_list_free(&values, c->budget, sizeof(uint32_t));
}

/* ---- values as they stand ---- */

void tw_schema_add_spaced(struct tw_schema_compiler *c, uint32_t from, uint32_t to, char byte)
{
    uint32_t middle = tw_grammar_add_node(c->grammar);
    tw_grammar_add_byte(c->grammar, from, middle, byte);
    tw_grammar_add_byte(c->grammar, middle, to, ' ');
    tw_grammar_add_empty(c->grammar, middle, to);
}

void tw_schema_add_literal(struct tw_schema_compiler *c, const json_t *value, uint32_t from,
                           uint32_t to)
{
    struct tw_buf buf;
    struct tw_json_writer writer;
    if (json_is_string(value) || json_is_array(value) || json_is_object(value)) {
        uint32_t rule = tw_schema_rule_for(c, TW_SCHEMA_LITERAL, tw_schema_number(c, value));
        tw_grammar_add_call(c->grammar, from, to, rule);
        return;
    }
    tw_buf_init(&buf, 64);
    tw_json_begin(&writer, &buf);
    tw_json_value(&writer, value);
    tw_grammar_add_text(c->grammar, from, to, (struct tw_bytes){buf.data, buf.size_bytes});
    tw_buf_free(&buf);
}

static uint32_t write_members(struct tw_schema_compiler *c, const json_t *value, uint32_t from)
{
    struct tw_grammar *grammar = c->grammar;
    const char *name;
    const json_t *member;
    bool is_first = true;
    json_object_foreach ((json_t *)(uintptr_t)value, name, member) {
        uint32_t nodes[5];
        for (int i = 0; i < 5; i++) {
            nodes[i] = tw_grammar_add_node(grammar);
        }
        if (is_first) {
            tw_grammar_add_empty(grammar, from, nodes[0]);
        } else {
            tw_schema_add_spaced(c, from, nodes[0], ',');
        }
        tw_grammar_add_byte(grammar, nodes[0], nodes[1], '"');
        tw_grammar_add_json_text(grammar, nodes[1], nodes[2], tw_bytes_of(name));
        tw_grammar_add_byte(grammar, nodes[2], nodes[3], '"');
        tw_schema_add_spaced(c, nodes[3], nodes[4], ':');
        from = tw_grammar_add_node(grammar);
        tw_schema_add_literal(c, member, nodes[4], from);
        is_first = false;
    }
    return from;
}

static void write_literal(struct tw_schema_compiler *c, const json_t *value,
                          struct tw_grammar_rule rule)
{
    struct tw_grammar *grammar = c->grammar;
    uint32_t last = rule.begin;
    if (json_is_string(value)) {
        struct tw_bytes text = {json_string_value(value), json_string_length(value)};
        last = tw_grammar_add_node(grammar);
        tw_grammar_add_json_text(grammar, rule.begin, last, text);
        tw_grammar_add_byte(grammar, last, rule.end, '"');
        return;
    }
    if (json_is_object(value)) {
        last = write_members(c, value, rule.begin);
        tw_grammar_add_byte(grammar, last, rule.end, '}');
        return;
    }
    for (size_t i = 0; i < json_array_size(value) && tw_schema_goes_on(c); i++) {
        uint32_t item = tw_grammar_add_node(grammar), next = tw_grammar_add_node(grammar);
        if (i == 0) {
            tw_grammar_add_empty(grammar, last, item);
        } else {
            tw_schema_add_spaced(c, last, item, ',');
        }
        tw_schema_add_literal(c, json_array_get(value, i), item, next);
        last = next;
    }
    tw_grammar_add_byte(grammar, last, rule.end, ']');
}

/* ---- arrays ---- */

static const json_t *item_schema(const json_t *schema, uint32_t i, uint32_t *n_prefix)
{
    const json_t *items = json_object_get(schema, "items");
    const json_t *prefix = json_object_get(schema, "prefixItems");
    const json_t *rest = items;
    if (json_is_array(items)) { /* as drafts before 2020-12 have it */
        prefix = items;
        rest = json_object_get(schema, "additionalItems");
    }
    uint32_t n = (uint32_t)json_array_size(prefix);
    *n_prefix = n > *n_prefix ? n : *n_prefix;
    return i < n ? json_array_get(prefix, i) : rest;
}

/* The conjunction that item i has to meet. *n_prefix: from here on all items are alike. */
static uint32_t item_conjunction(struct tw_schema_compiler *c, uint32_t conjunction, uint32_t i,
                                 uint32_t *n_prefix)
{
    struct tw_list numbers = {0};
    const json_t *schema;
    for (uint32_t j = 0; (schema = tw_schema_at(c, conjunction, j)) != NULL; j++) {
        const json_t *item = item_schema(schema, i, n_prefix);
        uint32_t *place = item != NULL ? tw_list_add(&numbers, c->budget, 1, sizeof *place) : NULL;
        if (place != NULL) {
            *place = tw_schema_number(c, item);
        }
    }
    uint32_t result = tw_schema_conjunction(c, numbers.items, numbers.n);
    tw_list_free(&numbers, c->budget, sizeof(uint32_t));
    return result;
}

static void write_array(struct tw_schema_compiler *c, uint32_t conjunction,
                        struct tw_grammar_rule rule)
{
    uint32_t least = 0, most = TW_REGEX_NO_END, n_prefix = 0;
    const json_t *schema;
    for (uint32_t i = 0; (schema = tw_schema_at(c, conjunction, i)) != NULL; i++) {
        tw_schema_read_count(c, schema, "minItems", true, &least);
        tw_schema_read_count(c, schema, "maxItems", false, &most);
    }
    item_conjunction(c, conjunction, 0, &n_prefix);
    /* One stage an item, as far as items or counts differ; the last one may repeat itself. */
    uint32_t n_stages = n_prefix > least ? n_prefix : least;
    n_stages = most != TW_REGEX_NO_END ? most : n_stages + 1;
    uint32_t last = rule.begin;
    if (least == 0) {
        tw_grammar_add_byte(c->grammar, last, rule.end, ']');
    }
    for (uint32_t i = 0; i < n_stages && tw_schema_goes_on(c); i++) {
        uint32_t item = tw_grammar_add_node(c->grammar), next = tw_grammar_add_node(c->grammar);
        if (i == 0) {
            tw_grammar_add_empty(c->grammar, last, item);
        } else {
            tw_schema_add_spaced(c, last, item, ',');
        }
        tw_schema_add_value(c, item_conjunction(c, conjunction, i, &n_prefix), item, next);
        if (i + 1 >= least) {
            tw_grammar_add_byte(c->grammar, next, rule.end, ']');
        }
        if (i + 1 == n_stages && most == TW_REGEX_NO_END) {
            tw_schema_add_spaced(c, next, item, ',');
        }
        last = next;
    }
}

/* ---- any value ---- */

static void add_enum(struct tw_schema_compiler *c, uint32_t conjunction,
                     const struct tw_list *values, uint32_t from, uint32_t to)
{
    bool has_strings = false;
    for (uint32_t i = 0; i < values->n && tw_schema_goes_on(c); i++) {
        const json_t *value = tw_schema_value(c, ((const uint32_t *)values->items)[i]);
        if (json_is_string(value)) {
            has_strings = true;
        } else {
            tw_schema_add_literal(c, value, from, to);
        }
    }
    if (has_strings) {
        uint32_t rule = tw_schema_rule_for(c, TW_SCHEMA_ENUM_STRINGS, conjunction);
        tw_grammar_add_call(c->grammar, from, to, rule);
    }
}

static void add_by_type(struct tw_schema_compiler *c, uint32_t conjunction, uint32_t from,
                        uint32_t to)
{
    static const struct {
        int type;
        enum tw_schema_rule kind;
        const char *const *keywords;
    } rows[] = {
        {TW_TYPE_STRING, TW_SCHEMA_STRING, string_keywords},
        {TW_TYPE_ARRAY, TW_SCHEMA_ARRAY, array_keywords},
        {TW_TYPE_OBJECT, TW_SCHEMA_OBJECT, object_keywords},
    };
    struct tw_grammar *grammar = c->grammar;
    int types = tw_schema_types(c, conjunction);
    if ((types & TW_TYPE_NULL) != 0) {
        tw_grammar_add_text(grammar, from, to, tw_bytes_of("null"));
    }
    if ((types & TW_TYPE_BOOLEAN) != 0) {
        tw_grammar_add_text(grammar, from, to, tw_bytes_of("true"));
        tw_grammar_add_text(grammar, from, to, tw_bytes_of("false"));
    }
    if ((types & (TW_TYPE_INTEGER | TW_TYPE_FRACTION)) != 0) {
        struct tw_number_range range = tw_schema_number_range(c, conjunction, types);
        if (tw_schema_goes_on(c)) {
            tw_grammar_add_number(grammar, from, to, &range);
        }
    }
    for (size_t i = 0; i < sizeof rows / sizeof rows[0] && tw_schema_goes_on(c); i++) {
        if ((types & rows[i].type) != 0) {
            uint32_t own = restrict_to(c, conjunction, rows[i].keywords);
            tw_grammar_add_call(grammar, from, to, tw_schema_rule_for(c, rows[i].kind, own));
        }
    }
}

void tw_schema_add_value(struct tw_schema_compiler *c, uint32_t conjunction, uint32_t from,
                         uint32_t to)
{
    uint32_t n;
    tw_schema_expand(c, conjunction, &n);
    for (uint32_t i = 0; i < n && tw_schema_goes_on(c); i++) {
        struct tw_list values = {0};
        uint32_t alternative = tw_schema_expand(c, conjunction, &n)[i];
        if (tw_schema_enum(c, alternative, &values)) {
            add_enum(c, alternative, &values, from, to);
        } else {
            add_by_type(c, alternative, from, to);
        }
        tw_list_free(&values, c->budget, sizeof(uint32_t));
    }
}

/* ---- the queue ---- */

uint32_t tw_schema_rule_for(struct tw_schema_compiler *c, enum tw_schema_rule kind, uint32_t number)
{
    uint32_t key[2] = {kind, number};
    uint32_t id = tw_set_index_intern(&c->queue, c->budget, key, 2);
    if (id != TW_SET_NONE && id == c->rules.n) {
        char open = kind == TW_SCHEMA_ARRAY ? '[' : kind == TW_SCHEMA_OBJECT ? '{' : '"';
        if (kind == TW_SCHEMA_LITERAL && !json_is_string(tw_schema_value(c, number))) {
            open = json_is_array(tw_schema_value(c, number)) ? '[' : '{';
        }
        uint32_t *place = tw_list_add(&c->rules, c->budget, 1, sizeof *place);
        if (place != NULL) {
            *place = tw_grammar_add_rule(c->grammar, open);
        }
    }
    return id < c->rules.n ? ((const uint32_t *)c->rules.items)[id] : 0;
}

static void write_rule(struct tw_schema_compiler *c, uint32_t id)
{
    uint32_t n;
    const uint32_t *key = tw_set_index_get(&c->queue, id, &n);
    uint32_t number = key[1];
    struct tw_grammar_rule rule =
        tw_grammar_rule_at(c->grammar, ((const uint32_t *)c->rules.items)[id]);
    switch ((enum tw_schema_rule)key[0]) {
    case TW_SCHEMA_STRING:
        write_string(c, number, rule);
        break;
    case TW_SCHEMA_ENUM_STRINGS:
        write_enum_strings(c, number, rule);
        break;
    case TW_SCHEMA_ARRAY:
        write_array(c, number, rule);
        break;
    case TW_SCHEMA_OBJECT:
        tw_schema_write_object(c, number, rule);
        break;
    case TW_SCHEMA_LITERAL:
        write_literal(c, tw_schema_value(c, number), rule);
        break;
    }
}

static void free_compiler(struct tw_schema_compiler *c)
{
    tw_arena_clear(&c->arena);
    tw_list_free(&c->values, c->budget, sizeof(const json_t *));
    tw_list_free(&c->slots, c->budget, sizeof(uint32_t));
    tw_set_index_free(&c->sets, c->budget);
    tw_list_free(&c->spans, c->budget, sizeof(struct tw_schema_span));
    tw_list_free(&c->alternatives, c->budget, sizeof(uint32_t));
    tw_set_index_free(&c->queue, c->budget);
    tw_list_free(&c->rules, c->budget, sizeof(uint32_t));
    tw_list_free(&c->cells, c->budget, sizeof(struct tw_schema_cell));
    tw_list_free(&c->items, c->budget, sizeof(struct tw_schema_item));
}

enum tw_status tw_schema_add(struct tw_grammar *grammar, uint32_t from, uint32_t to,
                             const json_t *schema, struct tw_error *error)
{
    struct tw_schema_compiler c = {
        .grammar = grammar, .budget = grammar->budget, .root = schema, .error = error};
    if (!json_is_object(schema) && !json_is_boolean(schema)) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "a schema is a JSON object, true or false");
    }
    tw_arena_init(&c.arena, TW_LIMIT_GRAMMAR_BYTES);
    uint32_t root = tw_schema_number(&c, schema);
    tw_schema_add_value(&c, tw_schema_conjunction(&c, &root, 1), from, to);
    for (uint32_t id = 0; id < tw_set_index_size(&c.queue) && tw_schema_goes_on(&c); id++) {
        write_rule(&c, id);
    }
    free_compiler(&c);
    return c.status;
}
