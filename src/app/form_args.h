/* form_args.h: the options that prescribe the form of an answer: shared by run and chat. What is
 * enforced is in docs/structured-output.md. */
#ifndef TW_APP_FORM_ARGS_H
#define TW_APP_FORM_ARGS_H

#include "app/options.h"
#include "engine/engine.h"

/* Zero-initialise it. */
struct tw_form_args {
    const char *json_schema; /* a file */
    const char *regex;
    struct tw_automaton *automaton; /* NULL: no form is prescribed */
    struct tw_masker *masker;
};

extern const struct tw_option_group tw_form_args_group;

/* Compiles what the options say: before a model is loaded for minutes. */
enum tw_status tw_form_args_compile(struct tw_form_args *args, bool ignores_end_tokens,
                                    struct tw_error *error);

/* Puts the form into the generation. The engine must outlive args' use. */
enum tw_status tw_form_args_attach(struct tw_form_args *args, struct tw_engine *engine,
                                   struct tw_generation *generation, struct tw_error *error);

/* Before the engine is closed, or behind it: no answer may be in the making. */
void tw_form_args_free(struct tw_form_args *args);

#endif
