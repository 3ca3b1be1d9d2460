/* tool_choice.h: the tools of a chat request, and what the model may do with them.
 *
 *     none             the model does not see them
 *     auto (default)   it sees them; calls in its answer are taken out of the text
 *     required         the answer is calls of them, by a form (answer_form.h): several where the
 *                      model's form knows that and parallel_tool_calls is not false, otherwise one
 *     NAME             the answer is one call of this one
 *
 * For models whose template writes calls in a form of text/tool_calls.h; others are refused.
 * Ownership: the tools point into the body. */
#ifndef TW_API_TOOL_CHOICE_H
#define TW_API_TOOL_CHOICE_H

#include "api/answer_form.h"

/* Zero-initialise it. */
struct tw_api_tools {
    const json_t *shown; /* to the template, or NULL */
};

/* form: gets the prescribed calls, where there are some. */
bool tw_api_tools_read(struct tw_api_tools *tools, struct tw_api_form *form, const json_t *body,
                       const struct tw_api_served *model, struct tw_api_error *error);

#endif
