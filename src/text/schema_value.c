/* Values of a conjunction as grammar, and the queue of rules. */
#include <string.h>

#include "text/schema_parts.h"

static struct tw_bytes text_of(const json_t *value)
{
    return (struct tw_bytes){json_string_value(value), json_string_length(value)};
}

void tw_schema_add_spaced(struct tw_schema_compiler *c, uint32_t from, uint32_t to, char byte)
{
    uint32_t middle = tw_grammar_add_node(c->grammar);
    tw_grammar_add_byte(c->grammar, from, middle, byte);
    tw_grammar_add_byte(c->grammar, middle, to, ' ');
    tw_grammar_add_empty(c->grammar, middle, to);
}

uint32_t tw_schema_add_name(struct tw_schema_compiler *c, uint32_t from, const char *name,
                            tw_expr names)
{
    uint32_t close = tw_grammar_add_node(c->grammar), colon = tw_grammar_add_node(c->grammar);
    uint32_t value = tw_grammar_add_node(c->grammar);
    if (name != NULL) {
        tw_grammar_add_json_text(c->grammar, from, close, tw_bytes_of(name));
    } else {
        tw_grammar_add_expr(c->grammar, from, close, names, TW_SPELLING_JSON);
    }
    tw_grammar_add_byte(c->grammar, close, colon, '"');
    tw_schema_add_spaced(c, colon, value, ':');
    return value;
}

/* Where an item begins, behind a comma if it is not the first. */
static uint32_t begin_item(struct tw_schema_compiler *c, uint32_t last, bool is_first)
{
    uint32_t item = tw_grammar_add_node(c->grammar);
    if (is_first) {
        tw_grammar_add_empty(c->grammar, last, item);
    } else {
        tw_schema_add_spaced(c, last, item, ',');
    }
    return item;
}

/* ---- strings ---- */

static void write_string(struct tw_schema_compiler *c, uint32_t conjunction,
                         struct tw_grammar_rule rule)
{
    uint32_t close = tw_grammar_add_node(c->grammar);
    tw_expr strings = tw_schema_strings(c, conjunction);
    if (tw_schema_goes_on(c)) {
        tw_grammar_add_expr(c->grammar, rule.begin, close, strings, TW_SPELLING_JSON);
    }
    tw_grammar_add_byte(c->grammar, close, rule.end, '"');
}

static void write_enum_strings(struct tw_schema_compiler *c, uint32_t conjunction,
                               struct tw_grammar_rule rule)
{
    struct tw_list values = {0};
    uint32_t close = tw_grammar_add_node(c->grammar);
    tw_grammar_add_byte(c->grammar, close, rule.end, '"');
    tw_schema_enum(c, conjunction, &values);
    for (uint32_t i = 0; i < values.n && tw_schema_goes_on(c); i++) {
        const json_t *value = tw_schema_value(c, tw_list_at(&values, i));
        if (json_is_string(value)) {
            tw_grammar_add_json_text(c->grammar, rule.begin, close, text_of(value));
        }
    }
    tw_list_free(&values, c->budget);
}

/* ---- values as they stand ---- */

static void add_literal(struct tw_schema_compiler *c, const json_t *value, uint32_t from,
                        uint32_t to)
{
    struct tw_buf buf;
    struct tw_json_writer writer;
    if ((tw_schema_type_of(value) & (TW_TYPE_STRING | TW_TYPE_ARRAY | TW_TYPE_OBJECT)) != 0) {
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

static void write_literal(struct tw_schema_compiler *c, const json_t *value,
                          struct tw_grammar_rule rule)
{
    struct tw_grammar *grammar = c->grammar;
    uint32_t last = rule.begin;
    const char *name;
    const json_t *member;
    if (json_is_string(value)) {
        last = tw_grammar_add_node(grammar);
        tw_grammar_add_json_text(grammar, rule.begin, last, text_of(value));
    }
    json_object_foreach ((json_t *)(uintptr_t)value, name, member) {
        uint32_t quote = begin_item(c, last, last == rule.begin);
        uint32_t begin = tw_grammar_add_node(grammar);
        last = tw_grammar_add_node(grammar);
        tw_grammar_add_byte(grammar, quote, begin, '"');
        add_literal(c, member, tw_schema_add_name(c, begin, name, TW_EXPR_NOTHING), last);
    }
    for (size_t i = 0; i < json_array_size(value) && tw_schema_goes_on(c); i++) {
        uint32_t item = begin_item(c, last, i == 0);
        last = tw_grammar_add_node(grammar);
        add_literal(c, json_array_get(value, i), item, last);
    }
    tw_grammar_add_byte(grammar, last, rule.end,
                        json_is_string(value)  ? '"'
                        : json_is_array(value) ? ']'
                                               : '}');
}

/* ---- arrays ---- */

/* The conjunction that item i has to meet. *n_prefix: from here on all items are alike. */
static uint32_t item_conjunction(struct tw_schema_compiler *c, uint32_t conjunction, uint32_t i,
                                 uint32_t *n_prefix)
{
    const json_t *schema;
    uint32_t base = c->stack.n;
    for (uint32_t j = 0; (schema = tw_schema_at(c, conjunction, j)) != NULL; j++) {
        const json_t *prefix = json_object_get(schema, "prefixItems");
        uint32_t n = (uint32_t)json_array_size(prefix);
        *n_prefix = n > *n_prefix ? n : *n_prefix;
        tw_schema_push(c, i < n ? json_array_get(prefix, i) : json_object_get(schema, "items"));
    }
    return tw_schema_pop(c, base);
}

static void write_array(struct tw_schema_compiler *c, uint32_t conjunction,
                        struct tw_grammar_rule rule)
{
    struct tw_schema_counts n = tw_schema_read_counts(c, conjunction, "minItems", "maxItems");
    uint32_t n_prefix = 0, last = rule.begin;
    item_conjunction(c, conjunction, 0, &n_prefix);
    /* One stage an item, as far as items or counts differ; the last one may repeat itself. */
    bool is_endless = n.most == TW_EXPR_NO_END;
    uint32_t n_stages = !is_endless ? n.most : (n_prefix > n.least ? n_prefix : n.least) + 1;
    if (n.least == 0) {
        tw_grammar_add_byte(c->grammar, last, rule.end, ']');
    }
    for (uint32_t i = 0; i < n_stages && tw_schema_goes_on(c); i++) {
        uint32_t item = begin_item(c, last, i == 0);
        last = tw_grammar_add_node(c->grammar);
        tw_schema_add_value(c, item_conjunction(c, conjunction, i, &n_prefix), item, last);
        if (i + 1 >= n.least) {
            tw_grammar_add_byte(c->grammar, last, rule.end, ']');
        }
        if (i + 1 == n_stages && is_endless) {
            tw_schema_add_spaced(c, last, item, ',');
        }
    }
}

/* ---- any value ---- */

static void add_enum(struct tw_schema_compiler *c, uint32_t conjunction,
                     const struct tw_list *values, uint32_t from, uint32_t to)
{
    bool has_strings = false;
    for (uint32_t i = 0; i < values->n && tw_schema_goes_on(c); i++) {
        const json_t *value = tw_schema_value(c, tw_list_at(values, i));
        has_strings |= json_is_string(value);
        if (!json_is_string(value)) {
            add_literal(c, value, from, to);
        }
    }
    if (has_strings) {
        uint32_t rule = tw_schema_rule_for(c, TW_SCHEMA_ENUM_STRINGS, conjunction);
        tw_grammar_add_call(c->grammar, from, to, rule);
    }
}

/* A rule for those schemas of a conjunction that say something about strings, say: so that all
 * free strings of a schema are one rule. */
static void add_rule(struct tw_schema_compiler *c, uint32_t conjunction, enum tw_schema_rule kind,
                     const char *const *keywords, uint32_t from, uint32_t to)
{
    const json_t *schema;
    uint32_t base = c->stack.n;
    for (uint32_t i = 0; (schema = tw_schema_at(c, conjunction, i)) != NULL; i++) {
        tw_schema_push(c, tw_schema_has_any(schema, keywords) ? schema : NULL);
    }
    uint32_t rule = tw_schema_rule_for(c, kind, tw_schema_pop(c, base));
    tw_grammar_add_call(c->grammar, from, to, rule);
}

static void add_by_type(struct tw_schema_compiler *c, uint32_t conjunction, uint32_t from,
                        uint32_t to)
{
    struct tw_grammar *grammar = c->grammar;
    int types = tw_schema_types(c, conjunction);
    if ((types & TW_TYPE_NULL) != 0) {
        tw_grammar_add_text(grammar, from, to, tw_bytes_of("null"));
    }
    if ((types & TW_TYPE_BOOLEAN) != 0) {
        tw_grammar_add_text(grammar, from, to, tw_bytes_of("true"));
        tw_grammar_add_text(grammar, from, to, tw_bytes_of("false"));
    }
    if ((types & TW_TYPE_NUMBER) != 0) {
        struct tw_number_range range = tw_schema_number_range(c, conjunction);
        tw_expr numbers = tw_number_range_expr(&grammar->exprs, &range);
        tw_grammar_add_expr(grammar, from, to, numbers, TW_SPELLING_PLAIN);
    }
    if ((types & TW_TYPE_STRING) != 0) {
        add_rule(c, conjunction, TW_SCHEMA_STRING, tw_schema_string_keywords, from, to);
    }
    if ((types & TW_TYPE_ARRAY) != 0) {
        add_rule(c, conjunction, TW_SCHEMA_ARRAY, tw_schema_array_keywords, from, to);
    }
    if ((types & TW_TYPE_OBJECT) != 0) {
        add_rule(c, conjunction, TW_SCHEMA_OBJECT, tw_schema_object_keywords, from, to);
    }
}

void tw_schema_add_value(struct tw_schema_compiler *c, uint32_t conjunction, uint32_t from,
                         uint32_t to)
{
    uint32_t n = tw_schema_expand(c, conjunction);
    for (uint32_t i = 0; i < n && tw_schema_goes_on(c); i++) {
        struct tw_list values = {0};
        uint32_t alternative = tw_schema_alternative(c, conjunction, i);
        if (tw_schema_enum(c, alternative, &values)) {
            add_enum(c, alternative, &values, from, to);
        } else {
            add_by_type(c, alternative, from, to);
        }
        tw_list_free(&values, c->budget);
    }
}

/* ---- the queue ---- */

static char opening_of(const struct tw_schema_compiler *c, enum tw_schema_rule kind,
                       uint32_t number)
{
    const json_t *literal = kind == TW_SCHEMA_LITERAL ? tw_schema_value(c, number) : NULL;
    return kind == TW_SCHEMA_ARRAY || json_is_array(literal)     ? '['
           : kind == TW_SCHEMA_OBJECT || json_is_object(literal) ? '{'
                                                                 : '"';
}

uint32_t tw_schema_rule_for(struct tw_schema_compiler *c, enum tw_schema_rule kind, uint32_t number)
{
    uint32_t id = tw_tuples_intern(&c->queue, c->budget, (uint32_t[]){kind, number}, 2);
    if (c->budget->status == TW_OK && id == c->rules.n) {
        uint32_t rule = tw_grammar_add_rule(c->grammar, opening_of(c, kind, number));
        tw_list_push(&c->rules, c->budget, rule);
    }
    return c->budget->status == TW_OK ? tw_list_at(&c->rules, id) : 0;
}

static void write_rule(struct tw_schema_compiler *c, uint32_t id)
{
    uint32_t n;
    const uint32_t *key = tw_tuples_get(&c->queue, id, &n);
    struct tw_grammar_rule rule = tw_grammar_rule_at(c->grammar, tw_list_at(&c->rules, id));
    switch ((enum tw_schema_rule)key[0]) {
    case TW_SCHEMA_STRING:
        write_string(c, key[1], rule);
        break;
    case TW_SCHEMA_ENUM_STRINGS:
        write_enum_strings(c, key[1], rule);
        break;
    case TW_SCHEMA_ARRAY:
        write_array(c, key[1], rule);
        break;
    case TW_SCHEMA_OBJECT:
        tw_schema_write_object(c, key[1], rule);
        break;
    case TW_SCHEMA_LITERAL:
        write_literal(c, tw_schema_value(c, key[1]), rule);
        break;
    }
}

/* Strings as plain text. What is listed comes as it stands. */
static void add_texts(struct tw_schema_compiler *c, uint32_t conjunction, uint32_t from,
                      uint32_t to, const char *without)
{
    struct tw_exprs *exprs = &c->grammar->exprs;
    uint32_t n = tw_schema_expand(c, conjunction);
    for (uint32_t i = 0; i < n && tw_schema_goes_on(c); i++) {
        struct tw_list values = {0};
        uint32_t alternative = tw_schema_alternative(c, conjunction, i);
        tw_expr texts = TW_EXPR_NOTHING;
        if (!tw_schema_enum(c, alternative, &values)) {
            texts = (tw_schema_types(c, alternative) & TW_TYPE_STRING) != 0
                        ? tw_schema_strings(c, alternative)
                        : TW_EXPR_NOTHING;
        }
        for (uint32_t k = 0; k < values.n && tw_schema_goes_on(c); k++) {
            const json_t *value = tw_schema_value(c, tw_list_at(&values, k));
            texts = tw_expr_either(exprs, texts, tw_expr_text(exprs, text_of(value)));
        }
        texts = tw_expr_both(exprs, texts, tw_expr_without(exprs, tw_bytes_of(without)));
        tw_grammar_add_expr(c->grammar, from, to, texts, TW_SPELLING_PLAIN);
        tw_list_free(&values, c->budget);
    }
}

enum tw_status tw_schema_add_part(struct tw_grammar *grammar, uint32_t from, uint32_t to,
                                  const struct tw_schema_part *part, struct tw_error *error)
{
    struct tw_schema_compiler c = {
        .grammar = grammar, .budget = grammar->budget, .root = part->root, .error = error};
    if (!json_is_object(part->schema) && !json_is_boolean(part->schema)) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "a schema is a JSON object, true or false");
    }
    tw_schema_push(&c, part->schema);
    const uint32_t conjunction = tw_schema_pop(&c, 0);
    if (part->without != NULL) {
        add_texts(&c, conjunction, from, to, part->without);
    } else {
        tw_schema_add_value(&c, conjunction, from, to);
    }
    for (uint32_t id = 0; id < tw_tuples_size(&c.queue) && tw_schema_goes_on(&c); id++) {
        write_rule(&c, id);
    }
    return c.status;
}

enum tw_status tw_schema_add(struct tw_grammar *grammar, uint32_t from, uint32_t to,
                             const json_t *schema, struct tw_error *error)
{
    const struct tw_schema_part part = {.root = schema, .schema = schema};
    return tw_schema_add_part(grammar, from, to, &part, error);
}
