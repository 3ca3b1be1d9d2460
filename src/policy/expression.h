/* expression.h: regular expressions of an organisation, which hostile texts cannot make slow.
 *
 *     "PRJ-\d{6}"  --create-->  expression  --scan(text)-->  [begin, end) of each match
 *
 * The language is PCRE2's, in Unicode, without what has no end: repeats have an upper one ({1,40}
 * in place of +), there is no recursion, no verb, no \X, \C, \K or \Q. What matches counts where
 * its checksum holds.
 *
 * Invariants: 1. Scans end: those of a request take at most TW_LIMIT_POLICY_STEPS steps together
 * and TW_LIMIT_POLICY_STEPS_PER_BYTE for each byte of their texts, and a step looks at no more than
 * TW_LIMIT_POLICY_REPEAT characters. Beyond, it is TW_ERR_LIMIT and says nothing of the text.
 * 2. Matches are not empty, and come in order without overlap.
 * Ownership: the expression's own until tw_expression_free. Threads: any number may scan with one.
 * Errors: TW_ERR_FORMAT for an expression that is not read, with the place in it, from 0;
 * TW_ERR_LIMIT, TW_ERR_MEMORY.
 */
#ifndef TW_POLICY_EXPRESSION_H
#define TW_POLICY_EXPRESSION_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "policy/checksum.h"

struct tw_expression;

enum tw_status tw_expression_create(const char *source, enum tw_checksum checksum,
                                    struct tw_expression **ret_expression, struct tw_error *error);
/* NULL is allowed. */
void tw_expression_free(struct tw_expression *expression);

typedef void (*tw_expression_found)(void *context, size_t begin, size_t end);

/* What scans need, of whatever expressions, one after the other; zero-initialise it. */
struct tw_expression_work {
    void *data, *context;
};
void tw_expression_work_free(struct tw_expression_work *work);

/* text: valid UTF-8. *n_steps: what a request has left, TW_LIMIT_POLICY_STEPS in the beginning. */
enum tw_status tw_expression_scan(const struct tw_expression *expression,
                                  struct tw_expression_work *work, uint64_t *n_steps,
                                  const char *text, size_t text_bytes, tw_expression_found found,
                                  void *context, struct tw_error *error);

#endif
