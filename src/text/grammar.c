#include "text/grammar.h"

#include <assert.h>

bool tw_grammar_init(struct tw_grammar *grammar, struct tw_budget *budget)
{
    *grammar = (struct tw_grammar){.budget = budget};
    tw_exprs_init(&grammar->exprs, budget);
    tw_grammar_add_rule(grammar, '\0');
    return budget->status == TW_OK;
}

struct tw_grammar_rule tw_grammar_rule_at(const struct tw_grammar *grammar, uint32_t rule)
{
    const struct tw_grammar_rule *rules = grammar->rules.items;
    return rule < grammar->rules.n ? rules[rule] : (struct tw_grammar_rule){0};
}

uint32_t tw_grammar_add_node(struct tw_grammar *grammar)
{
    uint32_t *node = tw_list_add(&grammar->nodes, grammar->budget, 1, sizeof *node);
    return node != NULL && tw_budget_spend(grammar->budget, 1) ? grammar->nodes.n - 1 : 0;
}

static void add_edge(struct tw_grammar *grammar, uint32_t from, uint32_t to,
                     enum tw_grammar_label label, uint32_t value)
{
    struct tw_grammar_edge *edge = tw_list_add(&grammar->edges, grammar->budget, 1, sizeof *edge);
    if (edge == NULL || !tw_budget_spend(grammar->budget, 1)) {
        return;
    }
    uint32_t *nodes = grammar->nodes.items;
    assert(from < grammar->nodes.n && to < grammar->nodes.n && value < 1u << 30);
    *edge = (struct tw_grammar_edge){
        .target = to, .next = nodes[from], .label = label, .value = value & ((1u << 30) - 1)};
    nodes[from] = grammar->edges.n;
}

uint32_t tw_grammar_add_rule(struct tw_grammar *grammar, char open)
{
    struct tw_grammar_rule rule = {.open = (unsigned char)open};
    rule.begin = tw_grammar_add_node(grammar);
    rule.end = tw_grammar_add_node(grammar);
    struct tw_grammar_rule *place = tw_list_add(&grammar->rules, grammar->budget, 1, sizeof *place);
    if (place == NULL) {
        return 0;
    }
    *place = rule;
    add_edge(grammar, rule.end, rule.end, TW_LABEL_END, grammar->rules.n - 1);
    return grammar->rules.n - 1;
}

void tw_grammar_add_range(struct tw_grammar *grammar, uint32_t from, uint32_t to, unsigned low,
                          unsigned high)
{
    assert(low <= high && high <= 0xff);
    add_edge(grammar, from, to, TW_LABEL_BYTES, low | high << 8);
}

void tw_grammar_add_byte(struct tw_grammar *grammar, uint32_t from, uint32_t to, char byte)
{
    tw_grammar_add_range(grammar, from, to, (unsigned char)byte, (unsigned char)byte);
}

void tw_grammar_add_empty(struct tw_grammar *grammar, uint32_t from, uint32_t to)
{
    add_edge(grammar, from, to, TW_LABEL_EMPTY, 0);
}

void tw_grammar_add_call(struct tw_grammar *grammar, uint32_t from, uint32_t to, uint32_t rule)
{
    add_edge(grammar, from, to, TW_LABEL_CALL, rule);
}

void tw_grammar_add_text(struct tw_grammar *grammar, uint32_t from, uint32_t to,
                         struct tw_bytes text)
{
    for (size_t i = 0; i < text.size_bytes && grammar->budget->status == TW_OK; i++) {
        bool is_last = i + 1 == text.size_bytes;
        uint32_t next = is_last ? to : tw_grammar_add_node(grammar);
        tw_grammar_add_byte(grammar, from, next, text.data[i]);
        from = next;
    }
    if (text.size_bytes == 0) {
        tw_grammar_add_empty(grammar, from, to);
    }
}
