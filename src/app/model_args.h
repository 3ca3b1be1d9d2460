/* model_args.h: the options that say which model runs and with what: shared by run, chat,
 * perplexity and eval. Opening shows progress on a terminal. */
#ifndef TW_APP_MODEL_ARGS_H
#define TW_APP_MODEL_ARGS_H

#include "app/options.h"
#include "app/pack_args.h"
#include "engine/engine.h"

struct tw_model_args {
    const char *path;
    int64_t n_threads;        /* 0: every core */
    int64_t n_context_tokens; /* 0: the command's own default */
    int64_t n_batch_tokens;
    int kv_type; /* place in the choices f16, q8_0 */
    struct tw_pack_args pack;
    bool no_speculation;
};

/* The choices of --kv-type, and what they stand for. */
extern const char *const tw_kv_type_names[];
extern const enum tw_dtype tw_kv_types[];

/* The same options, each with the default of its command; of eval all but --batch, with which it
 * counts something else. */
extern const struct tw_option_group tw_model_args_run, tw_model_args_chat, tw_model_args_perplexity,
    tw_model_args_eval;

struct tw_model_args tw_model_args_defaults(void);

/* Opens the model for that many sequences at once; the KV cache is still to be reserved. */
enum tw_status tw_model_args_open(const struct tw_model_args *args, uint32_t max_sequences,
                                  uint32_t max_output_rows, struct tw_engine **ret_engine,
                                  struct tw_error *error);

/* The tokens of a prompt as the model wants them: its begin token first where it asks for one.
 * special: whether special tokens spelled out in the text are recognised. */
enum tw_status tw_model_args_encode(const struct tw_tokenizer *tokenizer, const char *text,
                                    size_t text_bytes, bool special, struct tw_token_list *list,
                                    struct tw_error *error);

#endif
