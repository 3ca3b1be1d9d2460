/* A grammar made deterministic, all of it before the first byte is written.
 *
 * The subset construction, with calls: a state is a set of nodes, perhaps of several rules that
 * were called together. Since a called rule ends with the byte that closes it, all members of a
 * frame end together, and the frame reports which of the rules have matched (its outcome). The
 * caller then goes on behind those calls. Both a new outcome and a new caller bring new ways on, so
 * each looks for the other. */
#include <assert.h>

#include "base/mem.h"
#include "text/automaton.h"
#include "text/automaton_prune.h"
#include "text/set_index.h"
#include "text/spans.h"

/* A call found while building. */
struct found_call {
    uint32_t state, entry, rules; /* rules: the set of them, in rule_sets */
    uint32_t first_return;        /* in `ways`, plus one */
    uint32_t n_returns;
    uint8_t byte;
};

struct found_return {
    uint32_t outcome, target, next;
};

/* One of a list of numbers, all of one rule. */
struct link {
    uint32_t number, next;
};

/* A call edge of the set that is being looked at. */
struct call_edge {
    uint32_t rule, target;
    uint8_t byte;
};

struct builder {
    const struct tw_grammar *grammar;
    struct tw_budget *budget;
    struct tw_automaton *automaton;
    bool is_ambiguous;
    struct tw_list live;         /* uint32_t [nodes] */
    struct tw_list marks;        /* uint32_t [nodes] */
    struct tw_list pending, set; /* uint32_t */
    struct tw_list call_edges;   /* struct call_edge, of one state */
    struct tw_list rules_there;  /* uint32_t, work space */
    struct tw_list calls;        /* struct found_call, in the order of states */
    struct tw_list ways;         /* struct found_return */
    struct tw_list links;        /* struct link */
    struct tw_list callers;      /* uint32_t [rules] link plus one: calls that call the rule */
    struct tw_list outcomes;     /* uint32_t [rules] link plus one: outcomes it is first of */
    struct tw_list is_known;     /* uint32_t [rule_sets] whether it is an outcome already */
    struct tw_set_index index;   /* states */
    struct tw_set_index rule_sets;
    struct tw_sweep sweep;
    uint32_t n_closed;
};

static const struct tw_grammar_edge *first_edge(const struct builder *b, uint32_t node)
{
    uint32_t e = ((const uint32_t *)b->grammar->nodes.items)[node];
    return e == 0 ? NULL : (const struct tw_grammar_edge *)b->grammar->edges.items + e - 1;
}

static const struct tw_grammar_edge *next_edge(const struct builder *b,
                                               const struct tw_grammar_edge *edge)
{
    return edge->next == 0
               ? NULL
               : (const struct tw_grammar_edge *)b->grammar->edges.items + edge->next - 1;
}

static void append(struct builder *b, struct tw_list *list, uint32_t number)
{
    uint32_t *place = tw_list_add(list, b->budget, 1, sizeof *place);
    if (place != NULL) {
        *place = number;
    }
}

/* ---- sets of nodes ---- */

static void push(struct builder *b, uint32_t node)
{
    uint32_t *marks = b->marks.items;
    const uint32_t *live = b->live.items;
    if (live[node] && marks[node] != b->n_closed) {
        marks[node] = b->n_closed;
        append(b, &b->pending, node);
    }
}

/* Follows empty edges from what was pushed. Nodes that have nothing else are not kept. */
static uint32_t close_set(struct builder *b)
{
    b->set.n = 0;
    while (b->pending.n > 0 && tw_budget_spend(b->budget, 1)) {
        uint32_t node = ((const uint32_t *)b->pending.items)[--b->pending.n];
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
            append(b, &b->set, node);
        }
    }
    b->n_closed++;
    if (!tw_budget_spend(b->budget, b->set.n)) {
        return TW_SET_NONE;
    }
    b->set.n = tw_set_sort(b->set.items, b->set.n);
    return tw_set_index_intern(&b->index, b->budget, b->set.items, b->set.n);
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

static void add_link(struct builder *b, struct tw_list *heads, uint32_t rule, uint32_t number)
{
    struct link *link = tw_list_add(&b->links, b->budget, 1, sizeof *link);
    if (link != NULL) {
        uint32_t *head = (uint32_t *)heads->items + rule;
        *link = (struct link){number, *head};
        *head = b->links.n;
    }
}

/* Where the call goes on: behind the edges that call a rule of the outcome. */
static void add_return(struct builder *b, uint32_t call, uint32_t outcome)
{
    struct found_call *c = (struct found_call *)b->calls.items + call;
    uint32_t n_rules, n_outcome, n_nodes;
    const uint32_t *rules = tw_set_index_get(&b->rule_sets, c->rules, &n_rules);
    const uint32_t *matched = tw_set_index_get(&b->rule_sets, outcome, &n_outcome);
    if (!tw_budget_spend(b->budget, n_outcome) || !is_subset(matched, n_outcome, rules, n_rules)) {
        return;
    }
    const uint32_t *nodes = tw_set_index_get(&b->index, c->state, &n_nodes);
    for (uint32_t i = 0; i < n_nodes; i++) {
        for (const struct tw_grammar_edge *e = first_edge(b, nodes[i]); e != NULL;
             e = next_edge(b, e)) {
            uint32_t rule = e->value;
            if (e->label == TW_LABEL_CALL && is_subset(&rule, 1, matched, n_outcome)) {
                push(b, e->target);
            }
        }
    }
    uint32_t target = close_set(b);
    struct found_return *way = tw_list_add(&b->ways, b->budget, 1, sizeof *way);
    if (way != NULL) {
        *way = (struct found_return){outcome, target, c->first_return};
        c->first_return = b->ways.n;
        c->n_returns++;
    }
}

static void add_outcome(struct builder *b, uint32_t outcome)
{
    while (b->is_known.n <= outcome && b->budget->status == TW_OK) {
        append(b, &b->is_known, 0);
    }
    uint32_t *is_known = b->is_known.items;
    if (b->budget->status != TW_OK || is_known[outcome]) {
        return;
    }
    is_known[outcome] = 1;
    uint32_t n;
    uint32_t first = tw_set_index_get(&b->rule_sets, outcome, &n)[0];
    add_link(b, &b->outcomes, first, outcome);
    uint32_t link = ((const uint32_t *)b->callers.items)[first];
    while (link != 0 && b->budget->status == TW_OK) {
        struct link l = ((const struct link *)b->links.items)[link - 1];
        add_return(b, l.number, outcome);
        link = l.next;
    }
}

/* The frame in which all rules called at this byte begin. */
static uint32_t entry_of(struct builder *b, uint32_t rule_set)
{
    uint32_t n;
    const uint32_t *rules = tw_set_index_get(&b->rule_sets, rule_set, &n);
    for (uint32_t i = 0; i < n; i++) {
        push(b, tw_grammar_rule_at(b->grammar, rules[i]).begin);
    }
    return close_set(b);
}

static void add_call(struct builder *b, uint32_t state, uint8_t byte)
{
    const struct call_edge *edges = b->call_edges.items;
    b->rules_there.n = 0;
    for (uint32_t i = 0; i < b->call_edges.n; i++) {
        if (edges[i].byte == byte) {
            append(b, &b->rules_there, edges[i].rule);
        }
    }
    if (b->rules_there.n == 0 || b->budget->status != TW_OK) {
        return;
    }
    b->rules_there.n = tw_set_sort(b->rules_there.items, b->rules_there.n);
    uint32_t rules =
        tw_set_index_intern(&b->rule_sets, b->budget, b->rules_there.items, b->rules_there.n);
    uint32_t entry = rules != TW_SET_NONE ? entry_of(b, rules) : TW_SET_NONE;
    struct found_call *call = tw_list_add(&b->calls, b->budget, 1, sizeof *call);
    if (entry == TW_SET_NONE || call == NULL) {
        return;
    }
    *call = (struct found_call){.state = state, .entry = entry, .rules = rules, .byte = byte};
    uint32_t number = b->calls.n - 1;
    for (uint32_t i = 0; i < b->rules_there.n && b->budget->status == TW_OK; i++) {
        uint32_t rule = ((const uint32_t *)b->rules_there.items)[i];
        add_link(b, &b->callers, rule, number);
        uint32_t link = ((const uint32_t *)b->outcomes.items)[rule];
        while (link != 0 && b->budget->status == TW_OK) {
            struct link l = ((const struct link *)b->links.items)[link - 1];
            add_return(b, number, l.number);
            link = l.next;
        }
    }
}

/* ---- states ---- */

static void gather_edge(struct builder *b, const struct tw_grammar_edge *edge, bool *ret_accepts)
{
    const uint32_t *live = b->live.items;
    if (edge->label == TW_LABEL_END) {
        *ret_accepts |= edge->value == 0;
        if (edge->value != 0) {
            append(b, &b->rules_there, edge->value);
        }
    } else if (edge->label == TW_LABEL_BYTES && live[edge->target]) {
        tw_sweep_add(&b->sweep, b->budget,
                     (struct tw_span){edge->value & 0xff, edge->value >> 8, edge->target});
    } else if (edge->label == TW_LABEL_CALL && live[edge->target]) {
        struct tw_grammar_rule rule = tw_grammar_rule_at(b->grammar, edge->value);
        struct call_edge *place = NULL;
        if (live[rule.begin]) {
            place = tw_list_add(&b->call_edges, b->budget, 1, sizeof *place);
        }
        if (place != NULL) {
            *place = (struct call_edge){edge->value, edge->target, rule.open};
        }
    }
}

/* Sorts what the nodes of a set do into the sweep, call_edges and rules_there (that end here). */
static void gather(struct builder *b, uint32_t state, bool *ret_accepts)
{
    uint32_t n;
    const uint32_t *nodes = tw_set_index_get(&b->index, state, &n);
    tw_sweep_clear(&b->sweep);
    b->call_edges.n = 0;
    b->rules_there.n = 0;
    *ret_accepts = false;
    for (uint32_t i = 0; i < n && tw_budget_spend(b->budget, 1); i++) {
        for (const struct tw_grammar_edge *e = first_edge(b, nodes[i]); e != NULL;
             e = next_edge(b, e)) {
            gather_edge(b, e, ret_accepts);
        }
    }
    tw_sweep_sort(&b->sweep);
}

static void add_byte_edge(struct builder *b, struct tw_automaton_state *state, uint32_t target,
                          uint32_t low, uint32_t high)
{
    struct tw_list *edges = &b->automaton->edges;
    struct tw_automaton_edge *all = edges->items;
    struct tw_automaton_edge *last = state->n_edges > 0 ? &all[edges->n - 1] : NULL;
    if (last != NULL && last->target == target && last->high + 1u == low) {
        last->high = (uint8_t)high;
        return;
    }
    struct tw_automaton_edge *edge = tw_list_add(edges, b->budget, 1, sizeof *edge);
    if (edge != NULL) {
        *edge = (struct tw_automaton_edge){target, (uint8_t)low, (uint8_t)high};
        state->n_edges++;
    }
}

static void add_byte_edges(struct builder *b, struct tw_automaton_state *state)
{
    uint32_t low, high, n;
    const struct tw_span *covering;
    while (tw_sweep_next(&b->sweep, b->budget, &low, &high, &covering, &n)) {
        for (uint32_t i = 0; i < n; i++) {
            push(b, covering[i].target);
        }
        add_byte_edge(b, state, close_set(b), low, high);
        for (uint32_t i = 0; i < b->call_edges.n; i++) {
            uint8_t byte = ((const struct call_edge *)b->call_edges.items)[i].byte;
            b->is_ambiguous |= byte >= low && byte <= high;
        }
    }
}

static void add_state(struct builder *b, uint32_t id)
{
    bool accepts;
    gather(b, id, &accepts);
    struct tw_automaton_state *state =
        tw_list_add(&b->automaton->states, b->budget, 1, sizeof *state);
    if (state == NULL) {
        return;
    }
    state->first_edge = b->automaton->edges.n;
    state->flags = accepts ? TW_AUTOMATON_ACCEPTS : 0;
    if (b->rules_there.n > 0) {
        b->rules_there.n = tw_set_sort(b->rules_there.items, b->rules_there.n);
        state->flags |= TW_AUTOMATON_EXIT;
        state->extra =
            tw_set_index_intern(&b->rule_sets, b->budget, b->rules_there.items, b->rules_there.n);
        if (state->extra != TW_SET_NONE) {
            add_outcome(b, state->extra);
        }
        return;
    }
    add_byte_edges(b, state);
    static const char openings[] = "\"[{";
    state->extra = b->calls.n;
    for (int i = 0; openings[i] != '\0' && b->budget->status == TW_OK; i++) {
        add_call(b, id, (uint8_t)openings[i]);
    }
    state->n_calls = (uint8_t)(b->calls.n - state->extra);
}

/* ---- the result ---- */

static void copy_calls(struct builder *b)
{
    struct tw_automaton *automaton = b->automaton;
    for (uint32_t i = 0; i < b->calls.n; i++) {
        const struct found_call *found = (const struct found_call *)b->calls.items + i;
        struct tw_automaton_call *call = tw_list_add(&automaton->calls, b->budget, 1, sizeof *call);
        struct tw_automaton_return *returns =
            tw_list_add(&automaton->returns, b->budget, found->n_returns, sizeof *returns);
        if (call == NULL || returns == NULL) {
            return;
        }
        *call = (struct tw_automaton_call){
            .entry = found->entry,
            .first_return = automaton->returns.n - found->n_returns,
            .n_returns = found->n_returns,
            .byte = found->byte,
        };
        for (uint32_t way = found->first_return; way != 0;) {
            struct found_return r = ((const struct found_return *)b->ways.items)[way - 1];
            *returns++ = (struct tw_automaton_return){r.outcome, r.target};
            way = r.next;
        }
    }
}

enum { NEED_UNKNOWN = 255 };

/* What the call needs at least; its need_after on the way. */
static uint32_t need_of_call(struct tw_automaton *automaton, struct tw_automaton_call *call)
{
    const struct tw_automaton_return *returns = automaton->returns.items;
    uint32_t after = call->n_returns > 0 ? 0 : NEED_UNKNOWN;
    for (uint32_t i = 0; i < call->n_returns; i++) {
        uint32_t need = tw_automaton_state(automaton, returns[call->first_return + i].target)->need;
        after = need > after ? need : after;
    }
    call->need_after = (uint8_t)after;
    uint32_t inside = tw_automaton_state(automaton, call->entry)->need + 1u;
    uint32_t need = inside > after ? inside : after;
    return need < NEED_UNKNOWN ? need : NEED_UNKNOWN;
}

static uint8_t need_of_state(struct tw_automaton *automaton, const struct tw_automaton_state *state)
{
    const struct tw_automaton_edge *edges = automaton->edges.items;
    if ((state->flags & (TW_AUTOMATON_ACCEPTS | TW_AUTOMATON_EXIT)) != 0) {
        return 0;
    }
    uint32_t least = NEED_UNKNOWN;
    for (uint32_t i = 0; i < state->n_edges; i++) {
        uint32_t need = tw_automaton_state(automaton, edges[state->first_edge + i].target)->need;
        least = need < least ? need : least;
    }
    for (uint32_t i = 0; i < state->n_calls; i++) {
        struct tw_automaton_call *calls = automaton->calls.items;
        uint32_t need = need_of_call(automaton, &calls[state->extra + i]);
        least = need < least ? need : least;
    }
    return (uint8_t)least;
}

/* Needs only fall, so repeating until nothing changes ends. States are numbered as they are found:
 * backwards nearly all is settled in a few rounds. */
static bool settle_needs(struct builder *b)
{
    struct tw_automaton_state *states = b->automaton->states.items;
    uint32_t n = b->automaton->states.n;
    for (uint32_t i = 0; i < n; i++) {
        states[i].need = NEED_UNKNOWN;
    }
    bool changed = true;
    while (changed && tw_budget_spend(b->budget, n)) {
        changed = false;
        for (uint32_t i = n; i > 0; i--) {
            uint8_t need = need_of_state(b->automaton, &states[i - 1]);
            changed |= need != states[i - 1].need;
            states[i - 1].need = need;
        }
    }
    for (uint32_t i = 0; i < n; i++) {
        uint8_t need = states[i].need;
        b->automaton->most_need = need <= TW_LIMIT_GRAMMAR_DEPTH && need > b->automaton->most_need
                                      ? need
                                      : b->automaton->most_need;
    }
    return b->budget->status == TW_OK;
}

static void build(struct builder *b)
{
    uint32_t n_nodes = b->grammar->nodes.n, n_rules = b->grammar->rules.n;
    b->n_closed = 1;
    if (tw_list_add(&b->marks, b->budget, n_nodes, sizeof(uint32_t)) == NULL ||
        tw_list_add(&b->callers, b->budget, n_rules, sizeof(uint32_t)) == NULL ||
        tw_list_add(&b->outcomes, b->budget, n_rules, sizeof(uint32_t)) == NULL ||
        !tw_automaton_find_live(b->grammar, &b->live)) {
        return;
    }
    push(b, tw_grammar_rule_at(b->grammar, 0).begin);
    close_set(b);
    for (uint32_t id = 0; id < tw_set_index_size(&b->index) && b->budget->status == TW_OK; id++) {
        add_state(b, id);
    }
}

static void free_builder(struct builder *b)
{
    tw_list_free(&b->live, b->budget, sizeof(uint32_t));
    tw_list_free(&b->marks, b->budget, sizeof(uint32_t));
    tw_list_free(&b->pending, b->budget, sizeof(uint32_t));
    tw_list_free(&b->set, b->budget, sizeof(uint32_t));
    tw_list_free(&b->call_edges, b->budget, sizeof(struct call_edge));
    tw_list_free(&b->rules_there, b->budget, sizeof(uint32_t));
    tw_list_free(&b->calls, b->budget, sizeof(struct found_call));
    tw_list_free(&b->ways, b->budget, sizeof(struct found_return));
    tw_list_free(&b->links, b->budget, sizeof(struct link));
    tw_list_free(&b->callers, b->budget, sizeof(uint32_t));
    tw_list_free(&b->outcomes, b->budget, sizeof(uint32_t));
    tw_list_free(&b->is_known, b->budget, sizeof(uint32_t));
    tw_set_index_free(&b->index, b->budget);
    tw_set_index_free(&b->rule_sets, b->budget);
    tw_sweep_free(&b->sweep, b->budget);
}

static enum tw_status check_result(const struct builder *b, const char *what,
                                   struct tw_error *error)
{
    enum tw_status status = tw_budget_check(b->budget, what, error);
    if (status != TW_OK) {
        return status;
    }
    if (((const uint32_t *)b->live.items)[tw_grammar_rule_at(b->grammar, 0).begin] == 0) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "%s cannot be met: no text at all matches it", what);
    }
    if (b->is_ambiguous) {
        return tw_error_set(error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                            "%s has a place where a bracket or quote may be text as well as begin "
                            "a JSON value",
                            what);
    }
    if (tw_automaton_state(b->automaton, 0)->need > TW_LIMIT_GRAMMAR_DEPTH) {
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
    b.automaton = tw_mem_zalloc(1, sizeof *b.automaton);
    if (b.automaton == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory to compile %s", what);
    }
    if (b.budget->status == TW_OK) {
        build(&b);
    }
    if (b.budget->status == TW_OK) {
        copy_calls(&b);
        settle_needs(&b);
    }
    enum tw_status status = check_result(&b, what, error);
    free_builder(&b);
    if (status != TW_OK) {
        tw_automaton_free(b.automaton);
        return status;
    }
    *ret_automaton = b.automaton;
    return TW_OK;
}
