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

struct member {
    const char *name;
    bool is_required;
};

struct object {
    struct tw_schema_compiler *c;
    uint32_t conjunction;
    struct tw_grammar_rule rule;
    json_t *places;         /* name -> place in members */
    struct tw_list members; /* struct member */
    tw_expr other_names;    /* TW_EXPR_NOTHING where only members may come */
    struct tw_schema_counts count;
    uint32_t n_required, n_counts;
    uint32_t last_required; /* place plus one; 0: none */
    struct tw_list nodes;   /* uint32_t: choose, then after, by place and count */
};

static const struct member *member_at(const struct object *o, uint32_t i)
{
    return (const struct member *)o->members.items + i;
}

/* ---- members ---- */

uint32_t tw_schema_member(struct tw_schema_compiler *c, uint32_t conjunction, const char *name)
{
    const json_t *schema;
    uint32_t base = c->stack.n;
    for (uint32_t i = 0; (schema = tw_schema_at(c, conjunction, i)) != NULL; i++) {
        const json_t *properties = json_object_get(schema, "properties");
        const json_t *value = name != NULL ? json_object_get(properties, name) : NULL;
        tw_schema_push(c, value != NULL ? value : json_object_get(schema, "additionalProperties"));
    }
    return tw_schema_pop(c, base);
}

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
    }
    for (uint32_t i = 0; i < o->members.n; i++) {
        o->n_required += member_at(o, i)->is_required;
        o->last_required = member_at(o, i)->is_required ? i + 1 : o->last_required;
    }
}

/* All names but those of members, if others may come at all. */
static tw_expr find_other_names(struct object *o)
{
    struct tw_exprs *exprs = &o->c->grammar->exprs;
    uint32_t base = exprs->stack.n;
    if (tw_schema_expand(o->c, tw_schema_member(o->c, o->conjunction, NULL)) == 0) {
        return TW_EXPR_NOTHING;
    }
    for (uint32_t i = 0; i < o->members.n && tw_schema_goes_on(o->c); i++) {
        tw_expr name = tw_expr_text(exprs, tw_bytes_of(member_at(o, i)->name));
        tw_list_push(&exprs->stack, exprs->budget, name);
    }
    return tw_expr_not(exprs, tw_expr_pop_choice(exprs, base));
}

/* Other members may have the same name twice, which a reader counts once. */
static void settle_counts(struct object *o)
{
    bool has_others = o->other_names != TW_EXPR_NOTHING;
    const json_t *schema;
    for (uint32_t i = 0; (schema = tw_schema_at(o->c, o->conjunction, i)) != NULL; i++) {
        if (json_object_get(schema, "minProperties") != NULL && has_others &&
            o->count.least > o->n_required + 1) {
            tw_schema_fail(o->c, TW_ERR_UNSUPPORTED, schema, "minProperties",
                           "beside additional properties at most the number of required ones "
                           "and one more can be enforced");
        }
    }
    if (!has_others && o->count.most >= o->members.n) {
        o->count.most = TW_EXPR_NO_END;
    }
    o->count.least = o->count.least <= o->n_required ? 0 : o->count.least;
    uint32_t least = o->count.least > 1 ? o->count.least : 1;
    o->n_counts = (o->count.most != TW_EXPR_NO_END ? o->count.most : least) + 1;
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
    return !is_last ? n + 1 : o->count.most != TW_EXPR_NO_END ? o->n_counts : n;
}

/* Members of one place and one new count share their text, whatever count they come from. */
static void add_place(struct object *o, uint32_t i)
{
    struct tw_grammar *grammar = o->c->grammar;
    const bool is_other = i == o->members.n;
    const char *name = is_other ? NULL : member_at(o, i)->name;
    for (uint32_t to = 1; to < o->n_counts && tw_schema_goes_on(o->c); to++) {
        uint32_t text = tw_grammar_add_node(grammar);
        for (uint32_t n = 0; n <= to; n++) {
            if (count_on(o, n) == to) {
                tw_grammar_add_empty(grammar, choose_node(o, i, n), text);
            }
        }
        uint32_t value = tw_schema_add_name(o->c, text, name, o->other_names);
        tw_schema_add_value(o->c, tw_schema_member(o->c, o->conjunction, name), value,
                            after_node(o, is_other ? i : i + 1, to));
    }
    for (uint32_t n = 0; n < o->n_counts && !is_other && !member_at(o, i)->is_required; n++) {
        tw_grammar_add_empty(grammar, choose_node(o, i, n), choose_node(o, i + 1, n));
    }
}

/* What may come behind the members before place i. */
static void add_after(struct object *o, uint32_t i, bool may_go_on)
{
    struct tw_grammar *grammar = o->c->grammar;
    for (uint32_t n = 1; n < o->n_counts; n++) {
        if (may_go_on) {
            uint32_t quote = tw_grammar_add_node(grammar);
            tw_schema_add_spaced(o->c, after_node(o, i, n), quote, ',');
            tw_grammar_add_byte(grammar, quote, choose_node(o, i, n), '"');
        }
        if (i >= o->last_required && n >= o->count.least) {
            tw_grammar_add_byte(grammar, after_node(o, i, n), o->rule.end, '}');
        }
    }
}

static void write_members(struct object *o)
{
    struct tw_grammar *grammar = o->c->grammar;
    collect_members(o);
    o->other_names = find_other_names(o);
    settle_counts(o);
    if (!tw_schema_goes_on(o->c) || !make_nodes(o)) {
        return;
    }
    tw_grammar_add_byte(grammar, o->rule.begin, choose_node(o, 0, 0), '"');
    if (o->n_required == 0 && o->count.least == 0) {
        tw_grammar_add_byte(grammar, o->rule.begin, o->rule.end, '}');
    }
    for (uint32_t i = 0; i <= o->members.n && tw_schema_goes_on(o->c); i++) {
        bool may_go_on = i < o->members.n || o->other_names != TW_EXPR_NOTHING;
        if (may_go_on) {
            add_place(o, i);
        }
        add_after(o, i, may_go_on);
    }
}

void tw_schema_write_object(struct tw_schema_compiler *c, uint32_t conjunction,
                            struct tw_grammar_rule rule)
{
    struct object o = {.c = c, .conjunction = conjunction, .rule = rule};
    o.count = tw_schema_read_counts(c, conjunction, "minProperties", "maxProperties");
    o.places = json_object();
    if (o.places == NULL) {
        c->budget->status = TW_ERR_MEMORY;
        return;
    }
    write_members(&o);
    json_decref(o.places);
    tw_list_free(&o.members, c->budget);
    tw_list_free(&o.nodes, c->budget);
}
