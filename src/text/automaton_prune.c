#include "text/automaton_prune.h"

/* The edges by the node they lead to, and the calls by the rule they call. */
struct finder {
    const struct tw_grammar *grammar;
    const struct tw_grammar_edge *edges;
    uint32_t *live;
    struct tw_list work;
    uint32_t *sources;    /* [edges] the node an edge belongs to */
    uint32_t *first_into; /* [nodes] edge plus one */
    uint32_t *next_into;  /* [edges] edge plus one */
    uint32_t *first_call; /* [rules] edge plus one */
    uint32_t *next_call;  /* [edges] edge plus one */
    uint32_t *begins;     /* [nodes] rule plus one of which the node is the begin */
    uint32_t *pending;    /* [nodes] */
    uint32_t n_pending;
};

static bool make_room(struct finder *f)
{
    uint32_t n_nodes = f->grammar->nodes.n, n_edges = f->grammar->edges.n;
    uint32_t n_rules = f->grammar->rules.n;
    uint32_t *room = tw_list_add(&f->work, f->grammar->budget, 3 * n_nodes + 3 * n_edges + n_rules,
                                 sizeof *room);
    if (room == NULL || !tw_budget_spend(f->grammar->budget, n_nodes + n_edges)) {
        return false;
    }
    f->first_into = room;
    f->begins = f->first_into + n_nodes;
    f->pending = f->begins + n_nodes;
    f->sources = f->pending + n_nodes;
    f->next_into = f->sources + n_edges;
    f->next_call = f->next_into + n_edges;
    f->first_call = f->next_call + n_edges;
    return true;
}

static void link_edges(struct finder *f)
{
    const uint32_t *nodes = f->grammar->nodes.items;
    for (uint32_t node = 0; node < f->grammar->nodes.n; node++) {
        for (uint32_t e = nodes[node]; e != 0; e = f->edges[e - 1].next) {
            const struct tw_grammar_edge *edge = &f->edges[e - 1];
            f->sources[e - 1] = node;
            f->next_into[e - 1] = f->first_into[edge->target];
            f->first_into[edge->target] = e;
            if (edge->label == TW_LABEL_CALL) {
                f->next_call[e - 1] = f->first_call[edge->value];
                f->first_call[edge->value] = e;
            }
        }
    }
}

static void mark(struct finder *f, uint32_t node)
{
    if (!f->live[node]) {
        f->live[node] = 1;
        f->pending[f->n_pending++] = node;
    }
}

/* A rule that turns out to have an end makes its calls usable. */
static void mark_callers(struct finder *f, uint32_t rule)
{
    for (uint32_t e = f->first_call[rule]; e != 0; e = f->next_call[e - 1]) {
        if (f->live[f->edges[e - 1].target]) {
            mark(f, f->sources[e - 1]);
        }
    }
}

static void mark_sources(struct finder *f, uint32_t node)
{
    for (uint32_t e = f->first_into[node]; e != 0; e = f->next_into[e - 1]) {
        const struct tw_grammar_edge *edge = &f->edges[e - 1];
        bool is_usable = edge->label != TW_LABEL_CALL ||
                         f->live[tw_grammar_rule_at(f->grammar, edge->value).begin];
        if (is_usable) {
            mark(f, f->sources[e - 1]);
        }
    }
}

bool tw_automaton_find_live(const struct tw_grammar *grammar, struct tw_list *live)
{
    struct finder f = {.grammar = grammar, .edges = grammar->edges.items};
    f.live = tw_list_add(live, grammar->budget, grammar->nodes.n, sizeof *f.live);
    if (f.live != NULL && make_room(&f)) {
        link_edges(&f);
        for (uint32_t rule = 0; rule < grammar->rules.n; rule++) {
            struct tw_grammar_rule r = tw_grammar_rule_at(grammar, rule);
            f.begins[r.begin] = rule + 1;
            mark(&f, r.end);
        }
        while (f.n_pending > 0) {
            uint32_t node = f.pending[--f.n_pending];
            mark_sources(&f, node);
            if (f.begins[node] != 0) {
                mark_callers(&f, f.begins[node] - 1);
            }
        }
    }
    tw_list_free(&f.work, grammar->budget, sizeof(uint32_t));
    return grammar->budget->status == TW_OK;
}
