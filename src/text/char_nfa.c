/* A regular expression as a nondeterministic automaton (Thompson 1968), and that made deterministic
 * by the subset construction.
 *
 * Anchors are no characters, so a state is a node together with what they have been told: whether a
 * character was read already (^ cannot pass any more) and whether $ was passed (no character can
 * follow any more). */
#include "text/char_dfa.h"
#include "text/set_index.h"
#include "text/spans.h"
#include "text/utf8.h"

enum { READ = 1, ENDED = 2, LAYERS = 4 };

enum node_kind { NODE_SET, NODE_SPLIT, NODE_BEGIN, NODE_END, NODE_ACCEPT, NODE_ALL };

struct node {
    enum node_kind kind;
    uint32_t next, other; /* other: NODE_SPLIT */
    const struct tw_char_range *ranges;
    uint32_t n_ranges;
};

struct builder {
    struct tw_budget *budget;
    struct tw_list nodes;   /* struct node */
    struct tw_list marks;   /* uint32_t [nodes * LAYERS] number of the set that saw it last */
    struct tw_list pending; /* uint32_t */
    struct tw_list set;     /* uint32_t */
    uint32_t n_sets;
    struct tw_sweep sweep;
    struct tw_set_index index;
};

static const struct tw_char_range any_range[] = {{0, TW_UTF8_INVALID - 1}};

static struct node *node_at(struct builder *b, uint32_t i)
{
    return (struct node *)b->nodes.items + i;
}

static uint32_t add_node(struct builder *b, struct node node)
{
    struct node *place = tw_list_add(&b->nodes, b->budget, 1, sizeof *place);
    if (place == NULL || !tw_budget_spend(b->budget, 1)) {
        return 0;
    }
    *place = node;
    return b->nodes.n - 1;
}

/* ---- regex to nodes, from the end to the beginning ---- */

static uint32_t build(struct builder *b, const struct tw_regex *regex, uint32_t next);

static uint32_t build_sequence(struct builder *b, const struct tw_regex *child, uint32_t next)
{
    /* The last child first; a list that is linked forward is reversed on the way. */
    struct tw_list children = {0};
    for (; child != NULL; child = child->next) {
        const struct tw_regex **place = tw_list_add(&children, b->budget, 1, sizeof *place);
        if (place == NULL) {
            break;
        }
        *place = child;
    }
    const struct tw_regex **items = children.items;
    for (uint32_t i = children.n; i > 0; i--) {
        next = build(b, items[i - 1], next);
    }
    tw_list_free(&children, b->budget, sizeof(const struct tw_regex *));
    return next;
}

static uint32_t build_choice(struct builder *b, const struct tw_regex *child, uint32_t next)
{
    uint32_t entry = build(b, child, next);
    for (child = child->next; child != NULL; child = child->next) {
        uint32_t branch = build(b, child, next);
        entry = add_node(b, (struct node){.kind = NODE_SPLIT, .next = entry, .other = branch});
    }
    return entry;
}

static uint32_t build_repeat(struct builder *b, const struct tw_regex *regex, uint32_t next)
{
    const struct tw_regex *child = regex->first_child;
    uint32_t entry = next;
    if (regex->most == TW_REGEX_NO_END) {
        entry = add_node(b, (struct node){.kind = NODE_SPLIT, .other = next});
        uint32_t body = build(b, child, entry);
        if (b->budget->status == TW_OK) {
            node_at(b, entry)->next = body;
        }
    } else {
        for (uint32_t i = regex->least; i < regex->most && b->budget->status == TW_OK; i++) {
            uint32_t body = build(b, child, entry);
            entry = add_node(b, (struct node){.kind = NODE_SPLIT, .next = body, .other = next});
        }
    }
    for (uint32_t i = 0; i < regex->least && b->budget->status == TW_OK; i++) {
        entry = build(b, child, entry);
    }
    return entry;
}

static uint32_t build(struct builder *b, const struct tw_regex *regex, uint32_t next)
{
    if (!tw_budget_spend(b->budget, 1)) {
        return 0;
    }
    switch (regex->kind) {
    case TW_REGEX_SET:
        return add_node(b, (struct node){NODE_SET, next, 0, regex->ranges, regex->n_ranges});
    case TW_REGEX_SEQUENCE:
        return build_sequence(b, regex->first_child, next);
    case TW_REGEX_CHOICE:
        return build_choice(b, regex->first_child, next);
    case TW_REGEX_REPEAT:
        return build_repeat(b, regex, next);
    case TW_REGEX_BEGIN:
        return add_node(b, (struct node){.kind = NODE_BEGIN, .next = next});
    case TW_REGEX_END:
        return add_node(b, (struct node){.kind = NODE_END, .next = next});
    }
    return next;
}

/* ---- sets ---- */

static void push(struct builder *b, uint32_t node, uint32_t layer)
{
    uint32_t *marks = b->marks.items;
    uint32_t place = node * LAYERS + layer;
    if (marks[place] != b->n_sets) {
        marks[place] = b->n_sets;
        uint32_t *pending = tw_list_add(&b->pending, b->budget, 1, sizeof *pending);
        if (pending != NULL) {
            *pending = place;
        }
    }
}

static void keep(struct builder *b, uint32_t node, uint32_t layer)
{
    uint32_t *place = tw_list_add(&b->set, b->budget, 1, sizeof *place);
    if (place != NULL) {
        *place = node * LAYERS + layer;
    }
}

static void visit(struct builder *b, uint32_t i, uint32_t layer)
{
    const struct node *node = node_at(b, i);
    bool ended = (layer & ENDED) != 0;
    switch (node->kind) {
    case NODE_SET:
        if (!ended) {
            keep(b, i, READ);
        }
        break;
    case NODE_SPLIT:
        push(b, node->next, layer);
        push(b, node->other, layer);
        break;
    case NODE_BEGIN:
        if ((layer & READ) == 0) {
            push(b, node->next, layer);
        }
        break;
    case NODE_END:
        push(b, node->next, layer | ENDED);
        break;
    case NODE_ACCEPT:
    case NODE_ALL:
        keep(b, i, ended ? ENDED : READ);
        break;
    }
}

/* Where everything is accepted, nothing else in the set matters. Without this a search would keep
 * all ways in which a further match might begin. */
static void reduce(struct builder *b)
{
    uint32_t *set = b->set.items;
    for (uint32_t i = 0; i < b->set.n; i++) {
        if (node_at(b, set[i] / LAYERS)->kind == NODE_ALL && set[i] % LAYERS == READ) {
            set[0] = set[i];
            b->set.n = 1;
        }
    }
    b->set.n = tw_set_sort(set, b->set.n);
}

/* Follows what was pushed; the number of the set reached. */
static uint32_t close_set(struct builder *b)
{
    b->set.n = 0;
    while (b->pending.n > 0 && tw_budget_spend(b->budget, 1)) {
        uint32_t place = ((const uint32_t *)b->pending.items)[--b->pending.n];
        visit(b, place / LAYERS, place % LAYERS);
    }
    b->n_sets++;
    if (!tw_budget_spend(b->budget, b->set.n)) {
        return TW_SET_NONE;
    }
    reduce(b);
    return tw_set_index_intern(&b->index, b->budget, b->set.items, b->set.n);
}

static void sweep_set(struct builder *b, uint32_t id, bool *ret_accepts)
{
    uint32_t n;
    const uint32_t *set = tw_set_index_get(&b->index, id, &n);
    tw_sweep_clear(&b->sweep);
    *ret_accepts = false;
    for (uint32_t i = 0; i < n; i++) {
        const struct node *node = node_at(b, set[i] / LAYERS);
        *ret_accepts |= node->kind != NODE_SET;
        bool is_all = node->kind == NODE_ALL && set[i] % LAYERS == READ;
        const struct tw_char_range *ranges = is_all ? any_range : node->ranges;
        uint32_t n_ranges = is_all ? 1 : node->kind == NODE_SET ? node->n_ranges : 0;
        for (uint32_t j = 0; j < n_ranges; j++) {
            struct tw_span span = {ranges[j].low, ranges[j].high,
                                   is_all ? set[i] / LAYERS : node->next};
            tw_sweep_add(&b->sweep, b->budget, span);
        }
    }
    tw_sweep_sort(&b->sweep);
}

static bool add_state_of_set(struct builder *b, struct tw_char_dfa *dfa, uint32_t id)
{
    bool accepts;
    sweep_set(b, id, &accepts);
    struct tw_char_state *state = tw_list_add(&dfa->states, b->budget, 1, sizeof *state);
    if (state == NULL) {
        return false;
    }
    *state = (struct tw_char_state){.first_edge = dfa->edges.n, .accepts = accepts};
    uint32_t low, high, n;
    const struct tw_span *covering;
    while (tw_sweep_next(&b->sweep, b->budget, &low, &high, &covering, &n)) {
        for (uint32_t i = 0; i < n; i++) {
            push(b, covering[i].target, READ);
        }
        struct tw_char_edge edge = {low, high, close_set(b)};
        struct tw_char_edge *place = tw_list_add(&dfa->edges, b->budget, 1, sizeof *place);
        if (place == NULL) {
            return false;
        }
        *place = edge;
        state->n_edges++;
    }
    return b->budget->status == TW_OK;
}

static struct tw_char_dfa determinise(struct builder *b, uint32_t entry)
{
    struct tw_char_dfa dfa = {0};
    b->n_sets = 1;
    if (tw_list_add(&b->marks, b->budget, b->nodes.n * LAYERS, sizeof(uint32_t)) == NULL) {
        return dfa;
    }
    push(b, entry, 0);
    close_set(b);
    for (uint32_t i = 0; i < tw_set_index_size(&b->index); i++) {
        if (!add_state_of_set(b, &dfa, i)) {
            break;
        }
    }
    return dfa;
}

struct tw_char_dfa tw_char_dfa_from_regex(const struct tw_regex *regex, bool is_search,
                                          struct tw_budget *budget)
{
    struct builder b = {.budget = budget};
    uint32_t end = add_node(&b, (struct node){.kind = is_search ? NODE_ALL : NODE_ACCEPT});
    uint32_t entry = build(&b, regex, end);
    if (is_search) {
        uint32_t loop = add_node(&b, (struct node){.kind = NODE_SPLIT, .next = entry});
        uint32_t any = add_node(&b, (struct node){NODE_SET, loop, 0, any_range, 1});
        if (budget->status == TW_OK) {
            node_at(&b, loop)->other = any;
        }
        entry = loop;
    }
    struct tw_char_dfa dfa = {0};
    if (budget->status == TW_OK) {
        dfa = determinise(&b, entry);
    }
    tw_list_free(&b.nodes, budget, sizeof(struct node));
    tw_list_free(&b.marks, budget, sizeof(uint32_t));
    tw_list_free(&b.pending, budget, sizeof(uint32_t));
    tw_list_free(&b.set, budget, sizeof(uint32_t));
    tw_sweep_free(&b.sweep, budget);
    tw_set_index_free(&b.index, budget);
    return tw_char_dfa_trim(&dfa, budget);
}
