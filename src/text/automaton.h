/* automaton.h: a deterministic pushdown automaton over bytes: what may be written, byte by byte.
 *
 *     state --byte--> state                      inside a frame
 *     state --opening byte--> entry of a frame   the call is pushed
 *     exit state --------------> return state    the call is popped; nothing is read
 *
 * An exit state says with its outcome which of the rules merged into the frame have matched; a call
 * knows where it goes on for each outcome. Reasons: docs/decisions/0009-a-visible-stack.md.
 *
 * Invariants: 1. For each byte there is at most one way on. 2. From every position that
 * tw_walk_step reaches some text leads to acceptance: there are no dead ends, also where the stack
 * is bounded. 3. Only valid UTF-8 is accepted.
 * Ownership: made from a grammar, independent of it afterwards, freed by its owner. Threads: any
 * number may read. A walk is a plain struct that may be copied.
 * Errors: TW_ERR_FORMAT where nothing matches, TW_ERR_UNSUPPORTED for an opening byte with two
 * meanings, TW_ERR_LIMIT (the budget; TW_LIMIT_GRAMMAR_DEPTH), TW_ERR_MEMORY.
 */
#ifndef TW_TEXT_AUTOMATON_H
#define TW_TEXT_AUTOMATON_H

#include "text/grammar.h"

#define TW_AUTOMATON_NONE UINT32_MAX

enum { TW_AUTOMATON_ACCEPTS = 1, TW_AUTOMATON_EXIT = 2 };

struct tw_automaton_state {
    uint32_t first_edge;
    uint32_t extra;   /* of an exit: its outcome; otherwise the first call */
    uint16_t n_edges; /* sorted, apart from each other */
    uint8_t n_calls;
    uint8_t flags;
    uint8_t need; /* frames that must still be opened to get to the end of this one */
};

struct tw_automaton_edge {
    uint32_t target;
    uint8_t low, high;
};

struct tw_automaton_call {
    uint32_t entry;
    uint32_t first_return, n_returns;
    uint8_t byte;
    uint8_t need_after; /* the most that any return state needs */
};

struct tw_automaton_return {
    uint32_t outcome, target;
};

struct tw_automaton {
    struct tw_automaton_state *states; /* [n_states]; state 0 begins */
    struct tw_automaton_edge *edges;
    struct tw_automaton_call *calls;
    struct tw_automaton_return *returns;
    uint32_t n_states;
    uint8_t most_need;
};

/* what: the subject of messages, "the schema". Spends the grammar's budget. */
enum tw_status tw_automaton_create(const struct tw_grammar *grammar, const char *what,
                                   struct tw_automaton **ret_automaton, struct tw_error *error);
/* NULL is allowed. */
void tw_automaton_free(struct tw_automaton *automaton);

/* The state behind byte, or TW_AUTOMATON_NONE. */
uint32_t tw_automaton_follow(const struct tw_automaton *automaton, uint32_t state,
                             unsigned char byte);
/* The call at byte, or TW_AUTOMATON_NONE. */
uint32_t tw_automaton_find_call(const struct tw_automaton *automaton, uint32_t state,
                                unsigned char byte);
/* Where a call goes on after an exit. */
uint32_t tw_automaton_go_on(const struct tw_automaton *automaton, uint32_t call, uint32_t outcome);

/* A place in a text being written. */
struct tw_walk {
    uint32_t state;
    uint32_t depth;
    uint32_t calls[TW_LIMIT_GRAMMAR_DEPTH]; /* [depth] */
};

void tw_walk_begin(struct tw_walk *walk);

/* False, and nothing changed, where the byte may not come here. */
bool tw_walk_step(const struct tw_automaton *automaton, struct tw_walk *walk, unsigned char byte);

/* Whether the text may end here; whether it must. */
bool tw_walk_accepts(const struct tw_automaton *automaton, const struct tw_walk *walk);
bool tw_walk_is_over(const struct tw_automaton *automaton, const struct tw_walk *walk);

#endif
