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
 * Ownership: freed with its budget. Threads: one at a time. Errors: those of the budget, which
 * stick; after a failure ids are 0 and what is added is lost.
 */
#ifndef TW_TEXT_GRAMMAR_H
#define TW_TEXT_GRAMMAR_H

#include "text/bytes.h"
#include "text/char_dfa.h"

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
    struct tw_list nodes; /* uint32_t: first edge plus one; 0: none */
    struct tw_list edges; /* struct tw_grammar_edge */
    struct tw_list rules; /* struct tw_grammar_rule */
};

/* With rule 0. */
void tw_grammar_init(struct tw_grammar *grammar, struct tw_budget *budget);
void tw_grammar_free(struct tw_grammar *grammar);

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

/* How a set of texts is spelt. JSON spellings are of what stands between the quotes; NUL is in none
 * of them. */
enum tw_spelling {
    TW_SPELLING_PLAIN = 0, /* UTF-8 */
    TW_SPELLING_FREE,      /* JSON, every escape allowed */
    TW_SPELLING_TIDY,      /* JSON; from space to ~ only what needs an escape has one ("\/" too) */
    TW_SPELLING_ONE        /* JSON, one spelling for each text: escapes where needed, shortest */
};

void tw_grammar_add_chars(struct tw_grammar *grammar, uint32_t from, uint32_t to,
                          const struct tw_char_dfa *dfa, enum tw_spelling spelling);

/* One text in TW_SPELLING_ONE, without the quotes. */
void tw_grammar_add_json_text(struct tw_grammar *grammar, uint32_t from, uint32_t to,
                              struct tw_bytes text);

#endif
