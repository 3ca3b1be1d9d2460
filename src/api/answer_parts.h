/* answer_parts.h: the text of one answer taken apart: what the model thought, text, calls of tools.
 *
 *     text --[text/reasoning.h]--> thought
 *                             `--> [text/tool_calls.h]--> text
 *                                                    `--> calls
 *
 * Whole, the parts are collected until the answer ends. In a stream they are sent as they come, and
 * as OpenAI does it: a call begins with index, id, name and arguments "", then pieces of its
 * arguments follow. What is sent, put together, is what is collected, since both come from here.
 *
 * Ownership: the struct owns what it collects; what it is set up with must outlive it. Threads: one
 * at a time. Errors: has_failed, for want of memory.
 */
#ifndef TW_API_ANSWER_PARTS_H
#define TW_API_ANSWER_PARTS_H

#include "api/completion_json.h"
#include "text/reasoning.h"
#include "text/tool_calls.h"

struct tw_api_parts_setup {
    const struct tw_tool_form *tool_form; /* NULL: calls are not looked for */
    const json_t *tools;
    enum tw_reasoning_state thought; /* how the answer begins */
    bool is_parallel;                /* otherwise calls behind the first are left out */
    /* A stream's part, of which index and logprobs are to be filled in. NULL: no stream. */
    void (*send)(void *context, struct tw_completion_choice part);
    void *context;
};

struct tw_api_parts {
    struct tw_api_parts_setup setup;
    struct tw_reasoning reasoning;
    struct tw_tool_parser parser;
    struct tw_buf thought, text; /* not yet sent; without a stream: all */
    struct tw_buf arguments;     /* of the call in the making, not yet sent */
    struct tw_buf calls;         /* without a stream: items of the list */
    struct tw_buf name;          /* without a stream: of the call in the making */
    char id[40];
    uint32_t n_calls;
    bool is_in_call, is_left_out;
    bool has_failed;
};

void tw_api_parts_init(struct tw_api_parts *parts, const struct tw_api_parts_setup *setup);
void tw_api_parts_free(struct tw_api_parts *parts);

/* Takes text; is_last: the answer is over. In a stream, what is clear is sent. */
void tw_api_parts_push(struct tw_api_parts *parts, const char *text, size_t text_bytes,
                       bool is_last);

/* Whether the model is thinking. */
bool tw_api_parts_is_thought(const struct tw_api_parts *parts);

#endif
