/* schema.h: JSON Schema as a grammar of the JSON texts that it allows.
 *
 *     schema --[$ref, allOf, anyOf: alternatives]--> sets of plain schemas --[by type]--> rules
 *
 * What is enforced, what is refused, and how the JSON is written: docs/structured-output.md. A
 * keyword that cannot be enforced is an error with its name and place, never passed over.
 *
 * Invariants: 1. Every text of the grammar is JSON that the schema allows. 2. Of the JSON that the
 * schema allows, every text in the documented spelling is in the grammar. Ownership: the schema is
 * only read. Threads: one at a time per grammar. Errors: TW_ERR_FORMAT for what is no schema,
 * TW_ERR_UNSUPPORTED, TW_ERR_LIMIT, TW_ERR_MEMORY; those of the grammar's budget stay in it for
 * tw_automaton_create to tell.
 */
#ifndef TW_TEXT_SCHEMA_H
#define TW_TEXT_SCHEMA_H

#include "base/json.h"
#include "text/grammar.h"

/* Adds the values of a schema between two nodes. $ref is resolved inside of `schema`. */
enum tw_status tw_schema_add(struct tw_grammar *grammar, uint32_t from, uint32_t to,
                             const json_t *schema, struct tw_error *error);

/* The values of a schema that is a part of another one, in which its $ref are resolved. without:
 * NULL; or the schema allows strings only, and they come as plain text in which this does not. */
struct tw_schema_part {
    const json_t *root, *schema;
    const char *without;
};
enum tw_status tw_schema_add_part(struct tw_grammar *grammar, uint32_t from, uint32_t to,
                                  const struct tw_schema_part *part, struct tw_error *error);

#endif
