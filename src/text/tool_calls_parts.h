/* tool_calls_parts.h: the inside of tool_calls.h, for its files alone.
 *
 *     tool_calls.c       the forms, text and tags    tool_calls_object.c      calls as an object
 *     tool_calls_write.c calls as grammar            tool_calls_parameters.c  as parameters
 */
#ifndef TW_TEXT_TOOL_CALLS_PARTS_H
#define TW_TEXT_TOOL_CALLS_PARTS_H

#include "text/tool_calls.h"

enum {
    TOOL_AT_TEXT = 0,  /* looking for a tag */
    TOOL_AT_REST,      /* all that comes is text */
    TOOL_AT_BEGIN,     /* of an answer without tags */
    TOOL_AT_OBJECT,    /* in the object that is the call, or before its bracket */
    TOOL_AT_NEXT,      /* behind it, where there are no tags */
    TOOL_AT_FUNCTION,  /* before <function= */
    TOOL_AT_PARAMETER, /* before <parameter= */
    TOOL_AT_STRING,    /* in a value that is given as it comes */
    TOOL_AT_VALUE,     /* in another one */
    TOOL_AT_CLOSE      /* before </tool_call> */
};

/* How a form begins, is read and is written: OPEN name MIDDLE arguments END. */
struct tw_tool_form {
    const char *marks[2]; /* what is in a chat template that writes it */
    const char *tag;      /* NULL: none, an answer is calls from its beginning */
    int state;            /* behind the tag, or at the beginning */
    const char *open, *middle, *end;
    const char *separator; /* NULL: one call at a time */
    enum tw_status (*add_arguments)(struct tw_grammar *grammar, uint32_t from, uint32_t to,
                                    const json_t *schema, struct tw_error *error);
};

/* What a step came to. */
enum tw_tool_step {
    TW_TOOL_WAIT, /* more must come */
    TW_TOOL_ON,   /* the state is another one, or less is held */
    TW_TOOL_WRONG /* no call from `at` on */
};

/* ---- tool_calls.c ---- */

struct tw_bytes tw_tool_held(const struct tw_tool_parser *parser);
void tw_tool_give(struct tw_tool_parser *parser, enum tw_tool_part_kind kind, const char *data,
                  size_t n_bytes);
void tw_tool_drop(struct tw_tool_parser *parser, size_t n_bytes);
/* Whether a word stands at a place of what is held; WAIT: perhaps. */
enum tw_tool_step tw_tool_match(const struct tw_tool_parser *parser, size_t at, const char *word);

/* ---- tool_calls_object.c ---- */

void tw_tool_object_begin(struct tw_tool_parser *parser, size_t at);
enum tw_tool_step tw_tool_object_read(struct tw_tool_parser *parser);

/* ---- tool_calls_parameters.c ---- */

enum tw_tool_step tw_tool_parameters_read(struct tw_tool_parser *parser);

/* Whether a parameter's schema, inside of root, allows strings only, as far as can be seen. */
bool tw_tool_is_string(const json_t *root, const json_t *schema);

/* ---- tool_calls_write.c: struct tw_tool_form.add_arguments ---- */

enum tw_status tw_tool_add_object(struct tw_grammar *grammar, uint32_t from, uint32_t to,
                                  const json_t *schema, struct tw_error *error);
enum tw_status tw_tool_add_parameters(struct tw_grammar *grammar, uint32_t from, uint32_t to,
                                      const json_t *schema, struct tw_error *error);

#endif
