/* A grammar made deterministic, all of it before the first byte is written.
 *
 * The subset construction, with calls: a state is a set of nodes, perhaps of several rules that
 * were called together. Since a called rule ends with the byte that closes it, all members of a
 * frame end together, and the frame reports which of the rules have matched (its outcome). The
 * caller then goes on behind those calls. Both a new outcome and a new call bring new ways on, so
 * each looks for the other. */
#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "text/automaton.h"

struct found_call {
    uint32_t state, entry, rules; /* rules: the set of them, in rule_sets */
    uint32_t n_returns;
    uint8_t byte;
};

struct found_return {
    uint32_t call, outcome, target;
};

/* A call edge of the state that is being looked at. */
struct call_edge {
    uint32_t rule;
    uint8_t byte;
};

struct builder {
    const struct tw_grammar *grammar;
    struct tw_budget *budget;
    bool is_ambiguous;
    struct tw_list live;       /* uint32_t [nodes]: the end of its rule can be reached */
    struct tw_list marks;      /* uint32_t [nodes] */
    struct tw_list pending;    /* uint32_t */
    struct tw_list set;        /* uint32_t */
    struct tw_list call_edges; /* struct call_edge */
    struct tw_list rules;      /* uint32_t, a set of rules being put together */
    struct tw_tuples sets;     /* of nodes: the states */
    struct tw_tuples rule_sets, outcomes;
    struct tw_list states, edges; /* as in struct tw_automaton */
    struct tw_list calls;         /* struct found_call, in the order of states */
    struct tw_list returns;       /* struct found_return */
    struct tw_sweep sweep;
    uint32_t n_closed;
};

static const struct tw_grammar_edge *edge_at(const struct builder *b, uint32_t edge)
{
    return edge == 0 ? NULL : (const struct tw_grammar_edge *)b->grammar->edges.items + edge - 1;
}

static const struct tw_grammar_edge *first_edge(const struct builder *b, uint32_t node)
{
    return edge_at(b, tw_list_at(&b->grammar->nodes, node));
}

static const struct tw_grammar_edge *next_edge(const struct builder *b,
                                               const struct tw_grammar_edge *edge)
{
    return edge_at(b, edge->next);
}

/* ---- nodes that lead somewhere ---- */

/* Whether an edge's target, and the beginning of the rule it calls, are live. */
static bool is_usable(const struct builder *b, const struct tw_grammar_edge *edge)
{
    const uint32_t *live = b->live.items;
    return live[edge->target] != 0 &&
           (edge->label != TW_LABEL_CALL ||
            live[tw_grammar_rule_at(b->grammar, edge->value).begin] != 0);
}

static void mark_live(struct builder *b, uint32_t node)
{
    uint32_t *live = (uint32_t *)b->live.items + node;
    if (!*live) {
        *live = 1;
        tw_list_push(&b->pending, b->budget, node);
    }
}

/* From the ends of rules backwards. waiting: for each node the edges that may become usable with
 * it, as links: edge e waits in link 2e for its target and in 2e + 1 for the rule it calls. */
static void find_live(struct builder *b)
{
    const struct tw_grammar *grammar = b->grammar;
    struct tw_list room = {0};
    uint32_t n_nodes = grammar->nodes.n, n_edges = grammar->edges.n;
    uint32_t *waiting = tw_list_add(&room, b->budget, n_nodes + 3 * n_edges, sizeof *waiting);
    if (waiting == NULL || !tw_budget_spend(b->budget, n_nodes + n_edges)) {
        return;
    }
    uint32_t *links = waiting + n_nodes, *sources = links + 2 * (size_t)n_edges;
    for (uint32_t node = 0; node < n_nodes; node++) {
        for (uint32_t e = tw_list_at(&grammar->nodes, node); e != 0; e = edge_at(b, e)->next) {
            const struct tw_grammar_edge *edge = edge_at(b, e);
            uint32_t link = 2 * (e - 1);
            sources[e - 1] = node;
            links[link] = waiting[edge->target];
            waiting[edge->target] = link + 1;
            if (edge->label == TW_LABEL_CALL) {
                uint32_t begin = tw_grammar_rule_at(grammar, edge->value).begin;
                links[link + 1] = waiting[begin];
                waiting[begin] = link + 2;
            }
        }
    }
    for (uint32_t rule = 0; rule < grammar->rules.n; rule++) {
        mark_live(b, tw_grammar_rule_at(grammar, rule).end);
    }
    while (b->pending.n > 0 && b->budget->status == TW_OK) {
        uint32_t node = tw_list_at(&b->pending, --b->pending.n);
        for (uint32_t link = waiting[node]; link != 0; link = links[link - 1]) {
            uint32_t e = (link - 1) / 2;
            if (is_usable(b, edge_at(b, e + 1))) {
                mark_live(b, sources[e]);
            }
        }
    }
    tw_list_free(&room, b->budget);
}

/* ---- sets of nodes ---- */

static void push(struct builder *b, uint32_t node)
{
    uint32_t *mark = (uint32_t *)b->marks.items + node;
    if (tw_list_at(&b->live, node) != 0 && *mark != b->n_closed) {
        *mark = b->n_closed;
        tw_list_push(&b->pending, b->budget, node);
    }
}

/* Follows empty edges from what was pushed. Nodes that have nothing else are not kept. */
static uint32_t close_set(struct builder *b)
{
    b->set.n = 0;
    while (b->pending.n > 0 && tw_budget_spend(b->budget, 1)) {
        uint32_t node = tw_list_at(&b->pending, --b->pending.n);
        bool is_kept = false;
        for (const struct tw_grammar_edge *e = first_edge(b, node); e != NULL;
             e = next_edge(b, e)) {
            if (e->label == TW_LABEL_EMPTY) {
                push(b, e->target);
            } else {
                is_kept = true;
            }
        }
        if (is_kept) {
            tw_list_push(&b->set, b->budget, node);
        }
    }
    b->n_closed++;
    if (!tw_budget_spend(b->budget, 2 * (uint64_t)b->set.n)) {
        return TW_TUPLE_NONE;
    }
    b->set.n = tw_subset_sort(b->set.items, b->set.n);
    return tw_tuples_intern(&b->sets, b->budget, b->set.items, b->set.n);
}

/* ---- calls and outcomes ---- */

static bool is_subset(const uint32_t *a, uint32_t n_a, const uint32_t *b, uint32_t n_b)
{
    uint32_t j = 0;
    for (uint32_t i = 0; i < n_a; i++) {
        while (j < n_b && b[j] < a[i]) {
            j++;
        }
        if (j == n_b || b[j] != a[i]) {
            return false;
        }
    }
    return true;
}

/* Where the call goes on, if it can have this outcome: behind the edges that call a rule of it. */
static void add_return(struct builder *b, uint32_t call, uint32_t outcome)
{
    struct found_call *c = (struct found_call *)b->calls.items + call;
    uint32_t n_rules, n_matched, n_nodes;
    const uint32_t *rules = tw_tuples_get(&b->rule_sets, c->rules, &n_rules);
    const uint32_t *matched = tw_tuples_get(&b->outcomes, outcome, &n_matched);
    if (!is_subset(matched, n_matched, rules, n_rules) || !tw_budget_spend(b->budget, n_matched)) {
        return;
    }
    const uint32_t *nodes = tw_tuples_get(&b->sets, c->state, &n_nodes);
    for (uint32_t i = 0; i < n_nodes; i++) {
        for (const struct tw_grammar_edge *e = first_edge(b, nodes[i]); e != NULL;
             e = next_edge(b, e)) {
            uint32_t rule = e->value;
            if (e->label == TW_LABEL_CALL && is_subset(&rule, 1, matched, n_matched)) {
                push(b, e->target);
            }
        }
    }
    uint32_t target = close_set(b);
    struct found_return *place = tw_list_add(&b->returns, b->budget, 1, sizeof *place);
    if (place != NULL) {
        *place = (struct found_return){call, outcome, target};
        c->n_returns++;
    }
}

/* The set of rules in b->rules as a number; it is sorted on the way. */
static uint32_t intern_rules(struct builder *b, struct tw_tuples *tuples)
{
    b->rules.n = tw_subset_sort(b->rules.items, b->rules.n);
    return tw_tuples_intern(tuples, b->budget, b->rules.items, b->rules.n);
}

static uint32_t find_outcome(struct builder *b)
{
    uint32_t n_before = tw_tuples_size(&b->outcomes);
    uint32_t outcome = intern_rules(b, &b->outcomes);
    if (outcome == n_before) {
        for (uint32_t i = 0; i < b->calls.n && tw_budget_spend(b->budget, i % 4 == 0); i++) {
            add_return(b, i, outcome);
        }
    }
    return outcome;
}

static void add_call(struct builder *b, uint32_t state, uint8_t byte)
{
    const struct call_edge *edges = b->call_edges.items;
    b->rules.n = 0;
    for (uint32_t i = 0; i < b->call_edges.n; i++) {
        if (edges[i].byte == byte) {
            tw_list_push(&b->rules, b->budget, edges[i].rule);
            push(b, tw_grammar_rule_at(b->grammar, edges[i].rule).begin);
        }
    }
    if (b->rules.n == 0 || b->budget->status != TW_OK) {
        return;
    }
    struct found_call found = {.state = state, .byte = byte};
    found.entry = close_set(b);
    found.rules = intern_rules(b, &b->rule_sets);
    struct found_call *call = tw_list_add(&b->calls, b->budget, 1, sizeof *call);
    if (call == NULL) {
        return;
    }
    *call = found;
    for (uint32_t i = 0; i < tw_tuples_size(&b->outcomes) && tw_budget_spend(b->budget, i % 4 == 0);
         i++) {
        add_return(b, b->calls.n - 1, i);
    }
}

/* ---- states ---- */

/* Sorts what the nodes of a state do into the sweep, call_edges and rules (that end here). */
static void gather(struct builder *b, uint32_t state, bool *ret_accepts)
{
    uint32_t n;
    const uint32_t *nodes = tw_tuples_get(&b->sets, state, &n);
    tw_sweep_clear(&b->sweep);
    b->call_edges.n = 0;
    b->rules.n = 0;
    *ret_accepts = false;
    for (uint32_t i = 0; i < n && tw_budget_spend(b->budget, 1); i++) {
        for (const struct tw_grammar_edge *e = first_edge(b, nodes[i]); e != NULL;
             e = next_edge(b, e)) {
            struct tw_grammar_rule rule = tw_grammar_rule_at(b->grammar, e->value);
            struct call_edge *place = NULL;
            if (e->label == TW_LABEL_END && e->value == 0) {
                *ret_accepts = true;
            } else if (e->label == TW_LABEL_END) {
                tw_list_push(&b->rules, b->budget, e->value);
            } else if (e->label == TW_LABEL_BYTES && is_usable(b, e)) {
                tw_sweep_add(&b->sweep, b->budget, e->value & 0xff, e->value >> 8, e->target);
            } else if (e->label == TW_LABEL_CALL && is_usable(b, e)) {
                place = tw_list_add(&b->call_edges, b->budget, 1, sizeof *place);
            }
            if (place != NULL) {
                *place = (struct call_edge){e->value, rule.open};
            }
        }
    }
}

/* Neighbouring ranges with the same target are one edge. */
static void add_byte_edges(struct builder *b, struct tw_automaton_state *state)
{
    const struct tw_span *covering;
    while (tw_sweep_next(&b->sweep, b->budget, &covering)) {
        uint32_t low = b->sweep.low, high = b->sweep.high;
        for (uint32_t i = 0; i < b->sweep.n_active; i++) {
            push(b, covering[i].target);
        }
        uint32_t target = close_set(b);
        struct tw_automaton_edge *edge = b->edges.items;
        if (state->n_edges > 0) {
            edge += b->edges.n - 1;
        }
        if (state->n_edges > 0 && edge->target == target && edge->high + 1u == low) {
            edge->high = (uint8_t)high;
        } else if ((edge = tw_list_add(&b->edges, b->budget, 1, sizeof *edge)) != NULL) {
            *edge = (struct tw_automaton_edge){target, (uint8_t)low, (uint8_t)high};
            state->n_edges++;
        }
        for (uint32_t i = 0; i < b->call_edges.n; i++) {
            uint8_t byte = ((const struct call_edge *)b->call_edges.items)[i].byte;
            b->is_ambiguous |= byte >= low && byte <= high;
        }
    }
}

static void add_state(struct builder *b, uint32_t id)
{
    static const char openings[] = "\"[{";
    bool accepts;
    gather(b, id, &accepts);
    struct tw_automaton_state *state = tw_list_add(&b->states, b->budget, 1, sizeof *state);
    if (state == NULL) {
        return;
    }
    state->first_edge = b->edges.n;
    state->flags = accepts ? TW_AUTOMATON_ACCEPTS : 0;
    if (b->rules.n > 0) {
        state->flags |= TW_AUTOMATON_EXIT;
        state->extra = find_outcome(b);
        return;
    }
    add_byte_edges(b, state);
    state->extra = b->calls.n;
    for (int i = 0; openings[i] != '\0' && b->budget->status == TW_OK; i++) {
        add_call(b, id, (uint8_t)openings[i]);
    }
    state->n_calls = (uint8_t)(b->calls.n - state->extra);
}

static void build(struct builder *b)
{
    uint32_t n_nodes = b->grammar->nodes.n;
    b->n_closed = 1;
    if (tw_list_add(&b->marks, b->budget, n_nodes, sizeof(uint32_t)) == NULL ||
        tw_list_add(&b->live, b->budget, n_nodes, sizeof(uint32_t)) == NULL) {
        return;
    }
    find_live(b);
    push(b, tw_grammar_rule_at(b->grammar, 0).begin);
    close_set(b);
    for (uint32_t id = 0; id < tw_tuples_size(&b->sets) && b->budget->status == TW_OK; id++) {
        add_state(b, id);
    }
}

/* ---- the result ---- */

static void *copy_list(const struct tw_list *list, size_t item_bytes)
{
    void *copy = tw_mem_alloc(list->n, item_bytes);
    if (copy != NULL && list->n > 0) {
        memcpy(copy, list->items, list->n * item_bytes);
    }
    return copy;
}

static bool copy_result(const struct builder *b, struct tw_automaton *automaton)
{
    automaton->n_states = b->states.n;
    automaton->states = copy_list(&b->states, sizeof *automaton->states);
    automaton->edges = copy_list(&b->edges, sizeof *automaton->edges);
    automaton->calls = tw_mem_zalloc(b->calls.n, sizeof *automaton->calls);
    automaton->returns = tw_mem_alloc(b->returns.n, sizeof *automaton->returns);
    if (automaton->states == NULL || automaton->edges == NULL || automaton->calls == NULL ||
        automaton->returns == NULL) {
        return false;
    }
    uint32_t n = 0;
    for (uint32_t i = 0; i < b->calls.n; i++) {
        const struct found_call *found = (const struct found_call *)b->calls.items + i;
        automaton->calls[i] = (struct tw_automaton_call){
            .entry = found->entry, .first_return = n, .byte = found->byte};
        n += found->n_returns;
    }
    for (uint32_t i = 0; i < b->returns.n; i++) {
        const struct found_return *found = (const struct found_return *)b->returns.items + i;
        struct tw_automaton_call *call = &automaton->calls[found->call];
        automaton->returns[call->first_return + call->n_returns++] =
            (struct tw_automaton_return){found->outcome, found->target};
    }
    return true;
}

enum { NEED_UNKNOWN = 255 };

/* What the call needs at least; its need_after on the way. */
static uint32_t need_of_call(const struct tw_automaton *automaton, struct tw_automaton_call *call)
{
    uint32_t after = call->n_returns > 0 ? 0 : NEED_UNKNOWN;
    for (uint32_t i = 0; i < call->n_returns; i++) {
        uint32_t target = automaton->returns[call->first_return + i].target;
        uint32_t need = automaton->states[target].need;
        after = need > after ? need : after;
    }
    call->need_after = (uint8_t)after;
    uint32_t inside = automaton->states[call->entry].need + 1u;
    uint32_t need = inside > after ? inside : after;
    return need < NEED_UNKNOWN ? need : NEED_UNKNOWN;
}

static uint8_t need_of_state(const struct tw_automaton *automaton,
                             const struct tw_automaton_state *state)
{
    uint32_t least = state->flags != 0 ? 0 : NEED_UNKNOWN;
    for (uint32_t i = 0; i < state->n_edges; i++) {
        uint32_t need = automaton->states[automaton->edges[state->first_edge + i].target].need;
        least = need < least ? need : least;
    }
    for (uint32_t i = 0; i < state->n_calls; i++) {
        uint32_t need = need_of_call(automaton, &automaton->calls[state->extra + i]);
        least = need < least ? need : least;
    }
    return (uint8_t)least;
}

/* Needs only fall, so repeating until nothing changes ends. States are numbered as they are found:
 * backwards nearly all is settled in a few rounds. */
static void settle_needs(struct tw_automaton *automaton, struct tw_budget *budget)
{
    uint32_t n = automaton->n_states;
    for (uint32_t i = 0; i < n; i++) {
        automaton->states[i].need = NEED_UNKNOWN;
    }
    bool changed = true;
    while (changed && tw_budget_spend(budget, n)) {
        changed = false;
        for (uint32_t i = n; i > 0; i--) {
            struct tw_automaton_state *state = &automaton->states[i - 1];
            uint8_t need = need_of_state(automaton, state);
            changed |= need != state->need;
            state->need = need;
        }
    }
    for (uint32_t i = 0; i < n; i++) {
        uint8_t need = automaton->states[i].need;
        bool is_most = need <= TW_LIMIT_GRAMMAR_DEPTH && need > automaton->most_need;
        automaton->most_need = is_most ? need : automaton->most_need;
    }
}

static enum tw_status finish(struct builder *b, const char *what, struct tw_automaton *automaton,
                             struct tw_error *error)
{
    if (b->budget->status == TW_OK && !copy_result(b, automaton)) {
        b->budget->status = TW_ERR_MEMORY;
    }
    if (b->budget->status == TW_OK) {
        settle_needs(automaton, b->budget);
    }
    enum tw_status status = tw_budget_check(b->budget, what, error);
    if (status != TW_OK) {
        return status;
    }
    if (tw_list_at(&b->live, tw_grammar_rule_at(b->grammar, 0).begin) == 0) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "%s cannot be met: no text at all matches it", what);
    }
    if (b->is_ambiguous) {
        return tw_error_set(error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                            "%s has a place where a bracket or quote may be text as well as begin "
                            "a JSON value",
                            what);
    }
    if (automaton->states[0].need > TW_LIMIT_GRAMMAR_DEPTH) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "%s asks for values nested deeper than %d", what,
                            TW_LIMIT_GRAMMAR_DEPTH);
    }
    return TW_OK;
}

enum tw_status tw_automaton_create(const struct tw_grammar *grammar, const char *what,
                                   struct tw_automaton **ret_automaton, struct tw_error *error)
{
    struct builder b = {.grammar = grammar, .budget = grammar->budget};
    struct tw_automaton *automaton = tw_mem_zalloc(1, sizeof *automaton);
    if (automaton == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory to compile %s", what);
    }
    if (b.budget->status == TW_OK) {
        build(&b);
    }
    enum tw_status status = finish(&b, what, automaton, error);
    if (status != TW_OK) {
        tw_automaton_free(automaton);
        return status;
    }
    *ret_automaton = automaton;
    return TW_OK;
}
