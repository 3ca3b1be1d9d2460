/* Objects: declared members in their order, then others.
 *
 *     { " -> choose(0, 0)       choose(i, n)  member i or a later one must come; n came before
 *     choose -> name i ":value -> after(i + 1, n + 1)
 *     choose -> choose(i + 1, n)                where member i may be left out
 *     after  -> , " -> choose, after -> }       where no required member is left
 *
 * The quote stands before the choice: the set of all names that may come is large, and so it is one
 * set, not three (behind the comma, behind the space, behind the quote).
 *
 * Counting stops where a larger count makes no difference, usually at 1: a comma or none. */
#include <string.h>

#include "text/schema_parts.h"

enum {
    MOST_PATTERNS = 5
}; /* of patternProperties together: there are 2^n kinds of other members */

struct member {
    const char *name;
    uint32_t conjunction;
    bool is_required;
};

/* A pattern of patternProperties in one of the schemas. */
struct name_pattern {
    uint32_t owner; /* place in the conjunction */
    const json_t *schema;
    struct tw_char_dfa dfa;
};

struct object {
    struct tw_schema_compiler *c;
    uint32_t conjunction;
    struct tw_grammar_rule rule;
    json_t *places;         /* name -> place in members */
    struct tw_list members; /* struct member */
    struct name_pattern patterns[MOST_PATTERNS];
    uint32_t n_patterns;
    struct tw_char_dfa free_names; /* all but those of members */
    uint32_t n_required, least, most, n_counts;
    uint32_t last_required; /* place plus one; 0: none */
    struct tw_list nodes;   /* uint32_t: choose, then after, by place and count */
};

static const struct member *member_at(const struct object *o, uint32_t i)
{
    return (const struct member *)o->members.items + i;
}

/* ---- names ---- */

static void add_member(struct object *o, const char *name, bool is_required)
{
    const json_t *there = json_object_get(o->places, name);
    if (there == NULL) {
        struct member *member = tw_list_add(&o->members, o->c->budget, 1, sizeof *member);
        if (member == NULL ||
            json_object_set_new(o->places, name, json_integer(o->members.n - 1)) != 0) {
            return;
        }
        member->name = name;
        there = json_object_get(o->places, name);
    }
    struct member *member = (struct member *)o->members.items + json_integer_value(there);
    member->is_required |= is_required;
    tw_budget_spend(o->c->budget, 1);
}

static void collect_members(struct object *o)
{
    const json_t *schema, *value;
    const char *name;
    for (uint32_t i = 0; (schema = tw_schema_at(o->c, o->conjunction, i)) != NULL; i++) {
        json_object_foreach (json_object_get(schema, "properties"), name, value) {
            add_member(o, name, false);
        }
    }
    for (uint32_t i = 0; (schema = tw_schema_at(o->c, o->conjunction, i)) != NULL; i++) {
        const json_t *required = json_object_get(schema, "required");
        for (size_t j = 0; j < json_array_size(required); j++) {
            add_member(o, json_string_value(json_array_get(required, j)), true);
        }
        tw_schema_read_count(o->c, schema, "minProperties", true, &o->least);
        tw_schema_read_count(o->c, schema, "maxProperties", false, &o->most);
    }
    for (uint32_t i = 0; i < o->members.n; i++) {
        o->n_required += member_at(o, i)->is_required;
        o->last_required = member_at(o, i)->is_required ? i + 1 : o->last_required;
    }
}

static void collect_patterns(struct object *o)
{
    const json_t *schema, *value;
    const char *pattern;
    for (uint32_t i = 0; (schema = tw_schema_at(o->c, o->conjunction, i)) != NULL; i++) {
        json_object_foreach (json_object_get(schema, "patternProperties"), pattern, value) {
            if (o->n_patterns == MOST_PATTERNS) {
                tw_schema_fail(o->c, TW_ERR_UNSUPPORTED, schema, "patternProperties",
                               "more than %d patterns for the same object cannot be enforced",
                               MOST_PATTERNS);
            }
            if (!tw_schema_goes_on(o->c)) {
                return;
            }
            o->patterns[o->n_patterns++] = (struct name_pattern){
                i, value,
                tw_schema_pattern(o->c, schema, "patternProperties", tw_bytes_of(pattern), true)};
        }
    }
}

/* What a member's value has to meet: in each schema its own entry and those of patterns that its
 * name matches (bits of matches), or else additionalProperties. name: NULL for other members. */
static uint32_t member_conjunction(struct object *o, const char *name, uint32_t matches)
{
    struct tw_list numbers = {0};
    const json_t *schema;
    for (uint32_t i = 0; (schema = tw_schema_at(o->c, o->conjunction, i)) != NULL; i++) {
        const json_t *found[MOST_PATTERNS + 1];
        const json_t *properties = json_object_get(schema, "properties");
        size_t n = 0;
        found[0] = name != NULL ? json_object_get(properties, name) : NULL;
        n += found[0] != NULL;
        for (uint32_t j = 0; j < o->n_patterns; j++) {
            if (o->patterns[j].owner == i && (matches >> j & 1) != 0) {
                found[n++] = o->patterns[j].schema;
            }
        }
        if (n == 0) {
            found[0] = json_object_get(schema, "additionalProperties");
            n += found[0] != NULL;
        }
        uint32_t *place = tw_list_add(&numbers, o->c->budget, (uint32_t)n, sizeof *place);
        for (size_t j = 0; place != NULL && j < n; j++) {
            place[j] = tw_schema_number(o->c, found[j]);
        }
    }
    uint32_t result = tw_schema_conjunction(o->c, numbers.items, numbers.n);
    tw_list_free(&numbers, o->c->budget, sizeof(uint32_t));
    return result;
}

static void settle_members(struct object *o)
{
    for (uint32_t i = 0; i < o->members.n && tw_schema_goes_on(o->c); i++) {
        struct member *member = (struct member *)o->members.items + i;
        uint32_t matches = 0;
        for (uint32_t j = 0; j < o->n_patterns; j++) {
            bool is_match = tw_char_dfa_accepts(&o->patterns[j].dfa, tw_bytes_of(member->name));
            matches |= (uint32_t)is_match << j;
        }
        member->conjunction = member_conjunction(o, member->name, matches);
    }
}

/* ---- other members ---- */

static struct tw_char_dfa all_but_members(struct object *o)
{
    struct tw_budget *budget = o->c->budget;
    if (o->members.n == 0) {
        return tw_char_dfa_of_length(0, TW_REGEX_NO_END, budget);
    }
    struct tw_regex choice = {.kind = TW_REGEX_CHOICE};
    struct tw_regex **end = &choice.first_child;
    for (uint32_t i = 0; i < o->members.n && tw_budget_spend(budget, 1); i++) {
        struct tw_regex *node = tw_arena_alloc(&o->c->arena, 1, sizeof *node);
        const struct tw_regex *literal =
            tw_regex_literal(tw_bytes_of(member_at(o, i)->name), &o->c->arena);
        if (node == NULL || literal == NULL) {
            budget->status = TW_ERR_LIMIT;
            break;
        }
        *node = *literal;
        *end = node;
        end = &node->next;
    }
    struct tw_char_dfa result = {0};
    if (budget->status == TW_OK) {
        struct tw_char_dfa names = tw_char_dfa_from_regex(&choice, false, budget);
        result = tw_char_dfa_not(&names, budget);
        tw_char_dfa_free(&names, budget);
    }
    return result;
}

/* The names that match exactly these patterns and belong to no member. */
static struct tw_char_dfa names_of(struct object *o, uint32_t matches)
{
    struct tw_budget *budget = o->c->budget;
    struct tw_char_dfa any = tw_char_dfa_of_length(0, TW_REGEX_NO_END, budget);
    struct tw_char_dfa names = tw_char_dfa_both(&o->free_names, &any, budget);
    tw_char_dfa_free(&any, budget);
    for (uint32_t i = 0; i < o->n_patterns && tw_schema_goes_on(o->c); i++) {
        struct tw_char_dfa others = {0};
        bool is_match = (matches >> i & 1) != 0;
        if (!is_match) {
            others = tw_char_dfa_not(&o->patterns[i].dfa, budget);
        }
        struct tw_char_dfa both =
            tw_char_dfa_both(&names, is_match ? &o->patterns[i].dfa : &others, budget);
        tw_char_dfa_free(&others, budget);
        tw_char_dfa_free(&names, budget);
        names = both;
    }
    return names;
}

static bool has_values(struct object *o, uint32_t conjunction)
{
    uint32_t n;
    tw_schema_expand(o->c, conjunction, &n);
    return n > 0;
}

/* From behind the quote of a name to behind its value. */
static void add_other_members(struct object *o, uint32_t from, uint32_t to)
{
    struct tw_grammar *grammar = o->c->grammar;
    for (uint32_t matches = 0; matches < 1u << o->n_patterns; matches++) {
        uint32_t conjunction = member_conjunction(o, NULL, matches);
        if (!tw_schema_goes_on(o->c) || !has_values(o, conjunction)) {
            continue;
        }
        struct tw_char_dfa names = names_of(o, matches);
        uint32_t close = tw_grammar_add_node(grammar), colon = tw_grammar_add_node(grammar);
        uint32_t value = tw_grammar_add_node(grammar);
        tw_grammar_add_chars(grammar, from, close, &names, TW_SPELLING_ONE);
        tw_grammar_add_byte(grammar, close, colon, '"');
        tw_schema_add_spaced(o->c, colon, value, ':');
        tw_schema_add_value(o->c, conjunction, value, to);
        tw_char_dfa_free(&names, o->c->budget);
    }
}

static bool has_other_members(struct object *o)
{
    bool has = false;
    for (uint32_t matches = 0; matches < 1u << o->n_patterns && !has; matches++) {
        has = has_values(o, member_conjunction(o, NULL, matches));
    }
    return has;
}

/* ---- the rule ---- */

static uint32_t choose_node(const struct object *o, uint32_t i, uint32_t n)
{
    return ((const uint32_t *)o->nodes.items)[i * o->n_counts + n];
}

static uint32_t after_node(const struct object *o, uint32_t i, uint32_t n)
{
    return choose_node(o, o->members.n + 1 + i, n);
}

static bool make_nodes(struct object *o)
{
    uint64_t n = 2 * (uint64_t)(o->members.n + 1) * o->n_counts;
    if (!tw_budget_spend(o->c->budget, n)) {
        return false;
    }
    uint32_t *nodes = tw_list_add(&o->nodes, o->c->budget, (uint32_t)n, sizeof *nodes);
    for (uint32_t i = 0; nodes != NULL && i < n; i++) {
        nodes[i] = tw_grammar_add_node(o->c->grammar);
    }
    return tw_schema_goes_on(o->c);
}

/* The count behind one more member; n_counts where it would be one too many. */
static uint32_t count_on(const struct object *o, uint32_t n)
{
    bool is_last = n + 1 == o->n_counts;
    return !is_last ? n + 1 : o->most != TW_REGEX_NO_END ? o->n_counts : n;
}

static void add_member_text(struct object *o, uint32_t i, uint32_t from, uint32_t to)
{
    struct tw_grammar *grammar = o->c->grammar;
    const struct member *member = member_at(o, i);
    uint32_t close = tw_grammar_add_node(grammar), colon = tw_grammar_add_node(grammar);
    uint32_t value = tw_grammar_add_node(grammar);
    tw_grammar_add_json_text(grammar, from, close, tw_bytes_of(member->name));
    tw_grammar_add_byte(grammar, close, colon, '"');
    tw_schema_add_spaced(o->c, colon, value, ':');
    tw_schema_add_value(o->c, member->conjunction, value, to);
}

/* Members of one place and one new count share their text, whatever count they come from. */
static void add_place(struct object *o, uint32_t i)
{
    struct tw_grammar *grammar = o->c->grammar;
    bool is_other = i == o->members.n;
    for (uint32_t to = 1; to < o->n_counts && tw_schema_goes_on(o->c); to++) {
        uint32_t text = tw_grammar_add_node(grammar);
        for (uint32_t n = 0; n <= to; n++) {
            if (count_on(o, n) == to) {
                tw_grammar_add_empty(grammar, choose_node(o, i, n), text);
            }
        }
        if (is_other) {
            add_other_members(o, text, after_node(o, i, to));
        } else {
            add_member_text(o, i, text, after_node(o, i + 1, to));
        }
    }
    for (uint32_t n = 0; n < o->n_counts; n++) {
        if (!is_other && !member_at(o, i)->is_required) {
            tw_grammar_add_empty(grammar, choose_node(o, i, n), choose_node(o, i + 1, n));
        }
        if (n > 0) {
            uint32_t quote = tw_grammar_add_node(grammar);
            tw_schema_add_spaced(o->c, after_node(o, i, n), quote, ',');
            tw_grammar_add_byte(grammar, quote, choose_node(o, i, n), '"');
        }
        if (n > 0 && i >= o->last_required && n >= o->least) {
            tw_grammar_add_byte(grammar, after_node(o, i, n), o->rule.end, '}');
        }
    }
}

/* Other members may have the same name twice, which a reader counts once. */
static void check_counts(struct object *o, bool has_others)
{
    const json_t *schema;
    for (uint32_t i = 0; (schema = tw_schema_at(o->c, o->conjunction, i)) != NULL; i++) {
        if (json_object_get(schema, "minProperties") != NULL && has_others &&
            o->least > o->n_required + 1) {
            tw_schema_fail(o->c, TW_ERR_UNSUPPORTED, schema, "minProperties",
                           "beside additional properties at most the number of required ones "
                           "and one more can be enforced");
        }
    }
    if (!has_others && o->most >= o->members.n) {
        o->most = TW_REGEX_NO_END;
    }
    o->least = o->least <= o->n_required ? 0 : o->least;
    uint32_t highest = o->most != TW_REGEX_NO_END ? o->most : o->least > 1 ? o->least : 1;
    o->n_counts = highest + 1;
}

static void write_members(struct object *o)
{
    collect_members(o);
    collect_patterns(o);
    settle_members(o);
    bool has_others = tw_schema_goes_on(o->c) && has_other_members(o);
    check_counts(o, has_others);
    if (!tw_schema_goes_on(o->c) || !make_nodes(o)) {
        return;
    }
    if (has_others) {
        o->free_names = all_but_members(o);
    }
    struct tw_grammar *grammar = o->c->grammar;
    tw_grammar_add_byte(grammar, o->rule.begin, choose_node(o, 0, 0), '"');
    if (o->n_required == 0 && o->least == 0) {
        tw_grammar_add_byte(grammar, o->rule.begin, o->rule.end, '}');
    }
    for (uint32_t i = 0; i < o->members.n + has_others && tw_schema_goes_on(o->c); i++) {
        add_place(o, i);
    }
    if (!has_others && tw_schema_goes_on(o->c)) {
        for (uint32_t n = 1; n < o->n_counts; n++) {
            if (n >= o->least) {
                tw_grammar_add_byte(grammar, after_node(o, o->members.n, n), o->rule.end, '}');
            }
        }
    }
}

void tw_schema_write_object(struct tw_schema_compiler *c, uint32_t conjunction,
                            struct tw_grammar_rule rule)
{
    struct object o = {.c = c, .conjunction = conjunction, .rule = rule, .most = TW_REGEX_NO_END};
    o.places = json_object();
    if (o.places == NULL) {
        c->budget->status = TW_ERR_MEMORY;
        return;
    }
    write_members(&o);
    json_decref(o.places);
    for (uint32_t i = 0; i < o.n_patterns; i++) {
        tw_char_dfa_free(&o.patterns[i].dfa, c->budget);
    }
    tw_char_dfa_free(&o.free_names, c->budget);
    tw_list_free(&o.members, c->budget, sizeof(struct member));
    tw_list_free(&o.nodes, c->budget, sizeof(uint32_t));
}
