/* request_limits.h: what a client's request may cost at a server behind us, read from its members.
 *
 *     {"n": 2, "max_tokens": 50, "prompt": ["a", "b"]} -> 4 answers of at most 50 tokens
 *
 * This is the only place that reads them: what is reserved, what is sent along and what is refused
 * hang on one answer.
 *
 *     the most tokens of an answer   the least of max_tokens, max_completion_tokens and n_predict;
 *                                    null and -1 say nothing; 0 and whatever is no count is refused
 *     answers                        the most of n, best_of and n_cmpl, times the prompts
 *     parts that cannot be read      images, sound, films, files and what we do not know: how many
 *                                    tokens they are, their bytes do not say
 *
 * A client's own chat_template is refused: it may write any number of tokens that nobody counted.
 *
 * Pure; threads: any. Errors: TW_ERR_USAGE, with the member that is wrong.
 * Limits: TW_LIMIT_API_CHOICES.
 */
#ifndef TW_REMOTE_REQUEST_LIMITS_H
#define TW_REMOTE_REQUEST_LIMITS_H

#include "base/json.h"

struct tw_request_limits {
    uint64_t n_answer_tokens; /* the most of each answer; 0: the client does not say */
    uint64_t n_prompts;       /* at least 1 */
    uint64_t n_answers;       /* of all prompts; 0: the endpoint makes none */
    uint64_t n_unread_parts;  /* of all prompts */
};

/* Whether a member is such a most, under any name that servers know. */
bool tw_request_is_limit(const char *member);

/* ret_member: the one that is wrong, a literal; NULL where nothing is. */
enum tw_status tw_request_limits_read(const json_t *request, bool makes_answers,
                                      struct tw_request_limits *ret_limits, const char **ret_member,
                                      struct tw_error *error);

#endif
