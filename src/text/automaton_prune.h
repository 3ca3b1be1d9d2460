/* automaton_prune.h: which nodes of a grammar lead somewhere.
 *
 * A node is live when the end of its rule can be reached from it through edges whose calls can
 * themselves come to an end. What is not live is a dead end for a writer and is left out.
 * Threads: any. Errors: those of the grammar's budget. */
#ifndef TW_TEXT_AUTOMATON_PRUNE_H
#define TW_TEXT_AUTOMATON_PRUNE_H

#include "text/grammar.h"

/* Adds uint32_t [nodes] to the empty list `live`: 1 or 0. A rule can be called with success when
 * its begin is live. False when the budget is used up. */
bool tw_automaton_find_live(const struct tw_grammar *grammar, struct tw_list *live);

#endif
