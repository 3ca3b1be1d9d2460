/* tool_calls.h: calls of tools in the text of an answer, in the form of Hermes and Qwen:
 *
 *     I shall look.<tool_call>
 *     {"name": "get_weather", "arguments": {"city": "Ulm"}}
 *     </tool_call>
 *
 *     TEXT -> CALL [at <tool_call>; white space before it belongs to nobody]
 *     CALL -> TEXT [at </tool_call>: a call, or plain text where it is none]
 *
 * Text is given on as soon as it cannot be the beginning of a call any more. What stands between
 * the tags and is no object with a name is text, tags included: nothing that was said is lost.
 *
 * Invariant: what is given on does not depend on the pieces in which the text arrived, but for
 * where one piece of text ends and the next begins.
 * Ownership: parts are valid during the call. Threads: one at a time per parser.
 * Limits: TW_LIMIT_TOOL_CALL_BYTES; a longer call is text.
 */
#ifndef TW_TEXT_TOOL_CALLS_H
#define TW_TEXT_TOOL_CALLS_H

#include "base/buf.h"
#include "text/automaton.h"
#include "text/constraint.h"

struct tw_tool_part {
    struct tw_bytes text;      /* where name is NULL */
    const char *name;          /* of a call, otherwise NULL */
    struct tw_bytes arguments; /* JSON */
};

typedef void (*tw_tool_part_fn)(void *context, const struct tw_tool_part *part);

struct tw_tool_parser {
    struct tw_buf held; /* text that may begin a call, or the call so far */
    bool is_in_call;
    bool has_calls;
};

void tw_tool_parser_init(struct tw_tool_parser *parser);
void tw_tool_parser_free(struct tw_tool_parser *parser);
/* False: no memory. */
bool tw_tool_parser_push(struct tw_tool_parser *parser, const char *text, size_t text_bytes,
                         tw_tool_part_fn give, void *context);
/* The answer is over: what is held is text. */
void tw_tool_parser_finish(struct tw_tool_parser *parser, tw_tool_part_fn give, void *context);

/* Whether a chat template writes calls in this form. */
bool tw_tool_calls_suit(struct tw_bytes chat_template);

/* An answer that is one call of one of the tools: [{"name", "parameters": schema}, ...]. */
enum tw_status tw_tool_calls_compile(const json_t *functions, struct tw_automaton **ret_automaton,
                                     struct tw_error *error);

#endif
