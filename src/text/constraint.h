/* constraint.h: text of a prescribed form, one token at a time: the seam between text and engine.
 *
 *     compile (schema, pattern, choices) -> automaton        once for each form, kept by its owner
 *     tw_masker_create(automaton, trie)                      once for each form and engine
 *     tw_constraint_begin(masker)                            once for each answer
 *         { tw_constraint_mask -> sample one of its tokens -> tw_constraint_advance } ...
 *         until tw_constraint_is_over, or an end token (admissible where the text is complete)
 *
 * A form that mixes plain text and JSON (a tool call's frame around its arguments) is a grammar of
 * its own: tw_grammar_add_text, tw_schema_add and their like between nodes, then
 * tw_automaton_create. The rest is the same.
 *
 * Invariants: 1. What was advanced through is always the beginning of a complete text. 2. With a
 * vocabulary that has all single bytes no mask is empty before tw_constraint_is_over.
 * Ownership: a constraint is a plain struct that may be copied; it refers to its masker.
 * Threads: those of the masker: one at a time. Errors: of schema.h, regex.h, automaton.h;
 * TW_ERR_UNSUPPORTED where the vocabulary cannot spell what must come.
 */
#ifndef TW_TEXT_CONSTRAINT_H
#define TW_TEXT_CONSTRAINT_H

#include "text/schema.h"
#include "text/token_mask.h"

/* The JSON a schema allows; schema: parsed. */
enum tw_status tw_constraint_compile_schema(const json_t *schema,
                                            struct tw_automaton **ret_automaton,
                                            struct tw_error *error);

/* Any JSON object: what response_format json_object asks for. */
enum tw_status tw_constraint_compile_object(struct tw_automaton **ret_automaton,
                                            struct tw_error *error);

/* The texts that match as a whole. */
enum tw_status tw_constraint_compile_regex(struct tw_bytes pattern,
                                           struct tw_automaton **ret_automaton,
                                           struct tw_error *error);

/* One of the texts [n_texts], each valid UTF-8. TW_ERR_USAGE where there is none. */
enum tw_status tw_constraint_compile_choices(const struct tw_bytes *texts, size_t n_texts,
                                             struct tw_automaton **ret_automaton,
                                             struct tw_error *error);

struct tw_constraint {
    struct tw_masker *masker;
    struct tw_walk walk;
};

struct tw_constraint tw_constraint_begin(struct tw_masker *masker);

/* The admissible tokens, as tw_masker_fill gives them; valid until the masker's next use. */
enum tw_status tw_constraint_mask(struct tw_constraint *constraint, const uint64_t **ret_mask,
                                  struct tw_error *error);

/* Takes a token. False, and nothing changed, when it was not admissible. An end token changes
 * nothing. */
bool tw_constraint_advance(struct tw_constraint *constraint, tw_token token);

/* Whether the text may end here; whether nothing more can come. */
bool tw_constraint_accepts(const struct tw_constraint *constraint);
bool tw_constraint_is_over(const struct tw_constraint *constraint);

#endif
