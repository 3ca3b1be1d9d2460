/* char_dfa.h: sets of texts as deterministic automata over code points.
 *
 *     regex --> automaton     both | not | of this length --> automaton --> bytes (grammar.h)
 *
 * Patterns, formats and lengths of one string are put together here, before they become bytes: an
 * automaton over code points is small, and there is no other way to a pattern AND a length.
 *
 * Invariants: 1. The edges of a state are sorted and do not overlap. 2. From every state an
 * accepting one can be reached; the automaton without states is the empty set. 3. State 0 begins.
 * Ownership: freed with the budget it was made with. Threads: one at a time.
 * Errors: those of the budget; a failed automaton is empty, and budget->status says so.
 */
#ifndef TW_TEXT_CHAR_DFA_H
#define TW_TEXT_CHAR_DFA_H

#include "text/budget.h"
#include "text/bytes.h"
#include "text/regex.h"

struct tw_char_edge {
    uint32_t low, high, target;
};

struct tw_char_state {
    uint32_t first_edge, n_edges;
    bool accepts;
};

struct tw_char_dfa {
    struct tw_list states; /* struct tw_char_state */
    struct tw_list edges;  /* struct tw_char_edge */
};

static inline const struct tw_char_state *tw_char_dfa_state(const struct tw_char_dfa *dfa,
                                                            uint32_t state)
{
    return (const struct tw_char_state *)dfa->states.items + state;
}

static inline const struct tw_char_edge *tw_char_dfa_edge(const struct tw_char_dfa *dfa,
                                                          uint32_t edge)
{
    return (const struct tw_char_edge *)dfa->edges.items + edge;
}

/* is_search: the texts that have a match somewhere; otherwise those that match as a whole. */
struct tw_char_dfa tw_char_dfa_from_regex(const struct tw_regex *regex, bool is_search,
                                          struct tw_budget *budget);

/* The texts of least to most characters; most may be TW_REGEX_NO_END. */
struct tw_char_dfa tw_char_dfa_of_length(uint32_t least, uint32_t most, struct tw_budget *budget);

struct tw_char_dfa tw_char_dfa_both(const struct tw_char_dfa *a, const struct tw_char_dfa *b,
                                    struct tw_budget *budget);
struct tw_char_dfa tw_char_dfa_not(const struct tw_char_dfa *a, struct tw_budget *budget);

/* Takes an automaton that may break invariant 2 apart and gives one that does not. */
struct tw_char_dfa tw_char_dfa_trim(struct tw_char_dfa *dfa, struct tw_budget *budget);

/* text: valid UTF-8. */
bool tw_char_dfa_accepts(const struct tw_char_dfa *dfa, struct tw_bytes text);

void tw_char_dfa_free(struct tw_char_dfa *dfa, struct tw_budget *budget);

#endif
