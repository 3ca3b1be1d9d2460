/* grammar.h: a grammar over bytes being put together: nodes, edges, rules that call each other.
 *
 *     rule 0 (the whole)      n0 -- {..} call 1 --> n1
 *     rule 1, opened by '{'   n2 -- '"' --> n3 -- 'a' --> ... -- call 2 --> n9 -- '}' --> end
 *     rule 2, opened by '"'   ...
 *
 * An edge takes a byte, or nothing, or calls a rule. A called rule begins with its opening byte,
 * which belongs to the call, and ends with the byte that closes it; while it runs, the caller waits
 * on a stack. So the stack grows and shrinks at bytes that can be seen, whatever alternative is
 * being followed, and the whole can be made deterministic (automaton.h). Everything that does not
 * close itself (numbers, keys, patterns of plain text) is written into the rule it stands in.
 *
 * Invariants: 1. Rule 0 exists, has no opening byte and is never called. 2. Where a rule may be
 * called at its opening byte, that byte may not be taken as well; automaton.h refuses it.
 * Ownership: everything is the budget's. Threads: one at a time. Errors: those of the budget, which
 * stick; after a failure ids are 0 and what is added is lost.
 */
#ifndef TW_TEXT_GRAMMAR_H
#define TW_TEXT_GRAMMAR_H

#include "text/expr.h"

enum tw_grammar_label { TW_LABEL_BYTES = 0, TW_LABEL_EMPTY, TW_LABEL_CALL, TW_LABEL_END };

struct tw_grammar_edge {
    uint32_t target;
    uint32_t next;       /* edge of the same node, plus one; 0 ends */
    uint32_t label : 2;  /* enum tw_grammar_label */
    uint32_t value : 30; /* BYTES: low | high << 8; CALL, END: the rule */
};

struct tw_grammar_rule {
    uint32_t begin, end;
    unsigned char open;
};

struct tw_grammar {
    struct tw_budget *budget;
    struct tw_list nodes;  /* uint32_t: first edge plus one; 0: none */
    struct tw_list edges;  /* struct tw_grammar_edge */
    struct tw_list rules;  /* struct tw_grammar_rule */
    struct tw_exprs exprs; /* for tw_grammar_add_expr */
};

/* With rule 0. Where the budget has failed already, and only there, false: no grammar. */
bool tw_grammar_init(struct tw_grammar *grammar, struct tw_budget *budget);

struct tw_grammar_rule tw_grammar_rule_at(const struct tw_grammar *grammar, uint32_t rule);

uint32_t tw_grammar_add_node(struct tw_grammar *grammar);
uint32_t tw_grammar_add_rule(struct tw_grammar *grammar, char open);

/* Edges from one node to another. */
void tw_grammar_add_byte(struct tw_grammar *grammar, uint32_t from, uint32_t to, char byte);
void tw_grammar_add_range(struct tw_grammar *grammar, uint32_t from, uint32_t to, unsigned low,
                          unsigned high);
void tw_grammar_add_empty(struct tw_grammar *grammar, uint32_t from, uint32_t to);
void tw_grammar_add_call(struct tw_grammar *grammar, uint32_t from, uint32_t to, uint32_t rule);
void tw_grammar_add_text(struct tw_grammar *grammar, uint32_t from, uint32_t to,
                         struct tw_bytes text);

/* How a text is spelt. In JSON every text has one spelling, which is what stands between the
 * quotes: escapes where JSON needs them, the shortest ones. U+0000 has none. */
enum tw_spelling { TW_SPELLING_PLAIN = 0, TW_SPELLING_JSON };

/* The texts of an expression. */
void tw_grammar_add_expr(struct tw_grammar *grammar, uint32_t from, uint32_t to, tw_expr expr,
                         enum tw_spelling spelling);

/* One text in TW_SPELLING_JSON; valid UTF-8. */
void tw_grammar_add_json_text(struct tw_grammar *grammar, uint32_t from, uint32_t to,
                              struct tw_bytes text);

#endif
