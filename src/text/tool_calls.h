/* tool_calls.h: calls of tools in the text of an answer, in the forms that models write:
 *
 *     Hermes, Qwen2.5, Qwen3         Qwen3-Coder                  Llama 3
 *     <tool_call>                    <tool_call>                  {"name": "f",
 *     {"name": "f",                  <function=f>                  "parameters": {"city": "Ulm"}}
 *      "arguments": {"city": "Ulm"}} <parameter=city>
 *     </tool_call>                   Ulm
 *                                    </parameter>
 *                                    </function>
 *                                    </tool_call>
 *
 *     TEXT -> CALL [its first byte; white space before it belongs to nobody]
 *     CALL -> GIVEN [the name is there, and the arguments begin: the name is given, and from now
 *                    on the arguments as they come]
 *     CALL -> TEXT [it cannot be a call: it is text, tags included]
 *     GIVEN -> TEXT [the end; or what comes is no call any more: that is text]
 *
 * Llama 3 has no tags. There an answer is calls from its first byte on (or behind <|python_tag|>),
 * separated by white space and `;`, or it is text to its end.
 *
 * Arguments are a JSON object, as the model wrote it; in the form of Qwen3-Coder it is made of the
 * parameters. There a value that the tool's schema allows to be a string only is given as it comes;
 * others when they are complete: as JSON where they are of an allowed type, otherwise as a string.
 *
 * A call that breaks off (the answer ends, or goes on as no call can) has the arguments that were
 * there: a beginning of JSON, which does not parse. What of it was not yet clear is left out.
 *
 * Invariants: 1. What is given does not depend on the pieces in which the text arrived, but for
 * where one piece of text, or of arguments, ends and the next begins. 2. The arguments of a call
 * joined are JSON or the beginning of JSON.
 * Ownership: parts are valid during the call; the tools must outlive the parser. Threads: one at a
 * time per parser. Limits: TW_LIMIT_TOOL_CALL_BYTES of what is not yet clear, beyond which it is
 * text; TW_LIMIT_TOOL_NAME_BYTES.
 */
#ifndef TW_TEXT_TOOL_CALLS_H
#define TW_TEXT_TOOL_CALLS_H

#include "base/buf.h"
#include "text/automaton.h"
#include "text/constraint.h"
#include "text/json_scan.h"

struct tw_tool_form;

/* The form in which a chat template writes calls; NULL: none of these. */
const struct tw_tool_form *tw_tool_form_detect(struct tw_bytes chat_template);

/* ---- reading ---- */

enum tw_tool_part_kind { TW_TOOL_TEXT = 0, TW_TOOL_CALL, TW_TOOL_ARGUMENTS };

struct tw_tool_part {
    enum tw_tool_part_kind kind;
    struct tw_bytes bytes; /* CALL: the name; ARGUMENTS: of the last call; never empty */
};

typedef void (*tw_tool_part_fn)(void *context, const struct tw_tool_part *part);

struct tw_tool_parser {
    const struct tw_tool_form *form;
    const json_t *tools; /* [{"function": {"name", "parameters"}}, ...] */
    tw_tool_part_fn give;
    void *context;
    struct tw_buf held; /* what is not yet clear */
    size_t at;          /* how much of it was read */
    int state;
    bool is_given; /* the call in the making: its name */
    bool has_calls;
    /* A call that is an object: places in `held`, SIZE_MAX for what has not come. */
    struct tw_json_scan scan;
    int member;
    size_t string_at, name_at, name_end, arguments_at, arguments_end;
    /* A call that is parameters. */
    const json_t *schema; /* of all of them */
    int types;            /* of the value */
    bool has_parameters, has_value;
    bool is_json; /* the value may be an object or a list: `scan` has read n_scanned of it */
    size_t n_scanned;
};

void tw_tool_parser_init(struct tw_tool_parser *parser, const struct tw_tool_form *form,
                         const json_t *tools, tw_tool_part_fn give, void *context);
void tw_tool_parser_free(struct tw_tool_parser *parser);
/* False: no memory. */
bool tw_tool_parser_push(struct tw_tool_parser *parser, const char *text, size_t text_bytes);
/* The answer is over. */
void tw_tool_parser_finish(struct tw_tool_parser *parser);

/* ---- calls that are prescribed ---- */

/* An answer that is calls of the tools' functions [{"name", "parameters": schema}, ...] in this
 * form: one, or with may_repeat, where the form knows several, one or more. is_thinking: as in
 * constraint.h. TW_ERR_UNSUPPORTED for parameters that the form cannot spell. */
struct tw_tool_wish {
    const json_t *functions;
    bool may_repeat, is_thinking;
};
enum tw_status tw_tool_calls_compile(const struct tw_tool_form *form,
                                     const struct tw_tool_wish *wish,
                                     struct tw_automaton **ret_automaton, struct tw_error *error);

#endif
