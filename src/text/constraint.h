/* constraint.h: text of a prescribed form, one token at a time: the seam between text and engine.
 *
 *     compile (schema, pattern, choices) -> automaton        once for each form, kept by its owner
 *     tw_masker_create(automaton, trie)                      once for each form and engine
 *     tw_constraint_begin(masker)                            once for each answer
 *         { tw_constraint_mask -> sample one of its tokens -> tw_constraint_advance } ...
 *         until tw_constraint_is_over, or an end token (admissible where the text is complete)
 *
 * A form that mixes plain text and JSON (a tool call's frame around its arguments) is a grammar of
 * its own: tw_grammar_add_text, tw_schema_add and their like between nodes, and
 * tw_constraint_compile. The rest is the same.
 *
 * A mask is found by walking the trie together with the automaton:
 *
 *     byte may not come  ->  its whole subtree is skipped
 *     the frame ends     ->  the rest of the token depends on who called: an exit
 *
 * What happens inside a frame depends on the state alone, so it is computed once for a state and
 * kept: a bit for each token, and the list of exits. A mask is then a copy of the bits, with each
 * exit's subtree walked on from the caller. All strings of a schema share their states, so the one
 * costly walk, that of "inside of a string", is made once.
 *
 * Invariants: 1. What was advanced through is always the beginning of a complete text. 2. With a
 * vocabulary that has all single bytes no mask is empty before tw_constraint_is_over. 3. A mask is
 * a function of automaton, trie and walk: what is kept changes nothing.
 * Ownership: a masker refers to automaton and trie, which must outlive it; a constraint is a plain
 * struct that may be copied and refers to its masker. Threads: one at a time per masker.
 * Errors: of schema.h, regex.h, automaton.h; TW_ERR_MEMORY; TW_ERR_UNSUPPORTED where the vocabulary
 * cannot spell what must come. Limits: TW_LIMIT_MASK_CACHE_BYTES.
 */
#ifndef TW_TEXT_CONSTRAINT_H
#define TW_TEXT_CONSTRAINT_H

#include "text/automaton.h"
#include "text/schema.h"
#include "text/token_trie.h"

/* What follows compiles forms. is_thinking: the form stands behind a thought that has begun
 * already, that is, behind any text that ends with the first </think>, and two line ends
 * (reasoning.h). */

/* The JSON a schema allows; schema: parsed. */
enum tw_status tw_constraint_compile_schema(const json_t *schema, bool is_thinking,
                                            struct tw_automaton **ret_automaton,
                                            struct tw_error *error);

/* Any JSON object: what response_format json_object asks for. */
enum tw_status tw_constraint_compile_object(bool is_thinking, struct tw_automaton **ret_automaton,
                                            struct tw_error *error);

/* The texts that match as a whole. */
enum tw_status tw_constraint_compile_regex(struct tw_bytes pattern, bool is_thinking,
                                           struct tw_automaton **ret_automaton,
                                           struct tw_error *error);

/* One of the texts [n_texts], each valid UTF-8. TW_ERR_USAGE where there is none. */
enum tw_status tw_constraint_compile_choices(const struct tw_bytes *texts, size_t n_texts,
                                             bool is_thinking, struct tw_automaton **ret_automaton,
                                             struct tw_error *error);

/* A form of one's own: fill puts it between the nodes of the rule. name: for messages. */
typedef enum tw_status (*tw_constraint_fill_fn)(struct tw_grammar *grammar,
                                                struct tw_grammar_rule rule, const void *what,
                                                struct tw_error *error);
enum tw_status tw_constraint_compile(tw_constraint_fill_fn fill, const void *what, const char *name,
                                     bool is_thinking, struct tw_automaton **ret_automaton,
                                     struct tw_error *error);

struct tw_masker;

enum tw_status tw_masker_create(const struct tw_automaton *automaton,
                                const struct tw_token_trie *trie, struct tw_masker **ret_masker,
                                struct tw_error *error);
/* NULL is allowed. */
void tw_masker_free(struct tw_masker *masker);

struct tw_constraint {
    struct tw_masker *masker;
    struct tw_walk walk;
};

struct tw_constraint tw_constraint_begin(struct tw_masker *masker);

/* Bit t % 64 of mask[t / 64] is set for every admissible token t of the vocabulary and for no
 * other. The mask is the masker's and valid until its next use. */
enum tw_status tw_constraint_mask(struct tw_constraint *constraint, const uint64_t **ret_mask,
                                  struct tw_error *error);

/* Takes a token. False, and nothing changed, when it was not admissible. An end token changes
 * nothing. */
bool tw_constraint_advance(struct tw_constraint *constraint, tw_token token);

/* Whether the text may end here; whether nothing more can come. */
bool tw_constraint_accepts(const struct tw_constraint *constraint);
bool tw_constraint_is_over(const struct tw_constraint *constraint);

#endif
