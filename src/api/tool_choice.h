/* tool_choice.h: the tools of a chat request, and what the model may do with them.
 *
 *     none             the model does not see them
 *     auto (default)   it sees them; calls in its answer are taken out of the text
 *     required, NAME   the answer is one call, by a form (answer_form.h)
 *
 * For models whose template writes calls as text/tool_calls.h reads them; others are refused.
 * Ownership: the tools point into the body. */
#ifndef TW_API_TOOL_CHOICE_H
#define TW_API_TOOL_CHOICE_H

#include "api/answer_form.h"

/* Zero-initialise it. */
struct tw_api_tools {
    const json_t *shown; /* to the template, or NULL */
};

/* form: gets the prescribed call, where there is one; it must have none yet. */
bool tw_api_tools_read(struct tw_api_tools *tools, struct tw_api_form *form, const json_t *body,
                       const struct tw_api_served *model, struct tw_api_error *error);

#endif
