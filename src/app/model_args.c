#include "app/model_args.h"

#include "app/progress.h"
#include "base/cpu.h"

const char *const tw_kv_type_names[] = {"f16", "q8_0", NULL};
const enum tw_dtype tw_kv_types[] = {TW_DTYPE_F16, TW_DTYPE_Q8_0};

#define ROW(field) offsetof(struct tw_model_args, field)

/* --batch is the last row: eval has another meaning for that name. */
#define ROWS(context_help)                                                                         \
    {.name = "model",                                                                              \
     .kind = TW_OPTION_STRING,                                                                     \
     .offset = ROW(path),                                                                          \
     .value_name = "F",                                                                            \
     .help =                                                                                       \
         "The model: a .gguf file (the first one of a split model) or a Hugging Face folder."},    \
        {.name = "threads",                                                                        \
         .kind = TW_OPTION_INT,                                                                    \
         .offset = ROW(n_threads),                                                                 \
         .value_name = "N",                                                                        \
         .least = 0,                                                                               \
         .most = TW_LIMIT_THREADS,                                                                 \
         .help = "Threads that compute. Default: 0, as many as there are cores."},                 \
        {.name = "ctx",                                                                            \
         .kind = TW_OPTION_INT,                                                                    \
         .offset = ROW(n_context_tokens),                                                          \
         .value_name = "N",                                                                        \
         .least = 0,                                                                               \
         .most = TW_LIMIT_MODEL_CONTEXT_TOKENS,                                                    \
         .help = context_help},                                                                    \
        {.name = "kv-type",                                                                        \
         .kind = TW_OPTION_CHOICE,                                                                 \
         .offset = ROW(kv_type),                                                                   \
         .value_name = "T",                                                                        \
         .choices = tw_kv_type_names,                                                              \
         .help =                                                                                   \
             "How the KV cache is kept: f16, or q8_0 for about half the memory. Default: f16."},   \
        TW_PACK_ARGS_ROWS(struct tw_model_args, pack),                                             \
        {.name = "no-speculation",                                                                 \
         .kind = TW_OPTION_FLAG,                                                                   \
         .offset = ROW(no_speculation),                                                            \
         .help = "Compute one token of an answer after the other, also where its text repeats "    \
                 "itself: "                                                                        \
                 "slower, with the same result."},                                                 \
        {.name = "batch",                                                                          \
         .kind = TW_OPTION_INT,                                                                    \
         .offset = ROW(n_batch_tokens),                                                            \
         .value_name = "N",                                                                        \
         .least = 1,                                                                               \
         .most = TW_LIMIT_BATCH_TOKENS,                                                            \
         .help = "Most tokens in one pass through the model; long prompts are cut into pieces of " \
                 "that "                                                                           \
                 "size, with the same result. Default: 512."},

#define CONTEXT "Context of a sequence in tokens, prompt and answer together"

static const struct tw_option run_rows[] = {
    ROWS(CONTEXT ". Default: 0, and most: what the model was trained for.")};
static const struct tw_option chat_rows[] = {
    ROWS(CONTEXT "; at most what the model was trained for. Default: 4096.")};
static const struct tw_option window_rows[] = {
    ROWS("Tokens of a window; at most what the model was trained for. Default: 512.")};

#define COUNT(rows) (sizeof(rows) / sizeof *(rows))
const struct tw_option_group tw_model_args_run = {"Model", run_rows, COUNT(run_rows)};
const struct tw_option_group tw_model_args_chat = {"Model", chat_rows, COUNT(chat_rows)};
const struct tw_option_group tw_model_args_perplexity = {"Model", window_rows, COUNT(window_rows)};
const struct tw_option_group tw_model_args_eval = {"Model", run_rows, COUNT(run_rows) - 1};

struct tw_model_args tw_model_args_defaults(void)
{
    return (struct tw_model_args){.n_batch_tokens = 512};
}

enum tw_status tw_model_args_open(const struct tw_model_args *args, uint32_t max_sequences,
                                  uint32_t max_output_rows, struct tw_engine **ret_engine,
                                  struct tw_error *error)
{
    if (args->path == NULL) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "no model: give --model with a .gguf file or a Hugging Face folder");
    }
    struct tw_progress progress;
    struct tw_pack_options pack;
    struct tw_engine_config config = {
        .n_threads = (int)args->n_threads,
        .max_sequences = max_sequences,
        .max_batch_tokens = (uint32_t)args->n_batch_tokens,
        .max_output_rows = max_output_rows,
        .kv_dtype = tw_kv_types[args->kv_type],
        .no_speculation = args->no_speculation,
        .progress = tw_progress_go_on,
        .progress_context = &progress,
        .pack = &pack,
    };
    enum tw_status status = tw_cpu_choose(&config.level, error);
    if (status == TW_OK) {
        status = tw_pack_args_options(&args->pack, args->path, &pack, error);
    }
    if (status != TW_OK) {
        return status;
    }
    tw_progress_begin(&progress, "loading");
    status = tw_engine_open(args->path, &config, ret_engine, error);
    tw_progress_end(&progress);
    tw_pack_options_free(&pack);
    return status;
}

enum tw_status tw_model_args_encode(const struct tw_tokenizer *tokenizer, const char *text,
                                    size_t text_bytes, bool special, struct tw_token_list *list,
                                    struct tw_error *error)
{
    /* Not TW_ENCODE_BOS_EOS: an end token after the prompt would end the answer before it began. */
    if (tw_tokenizer_adds_bos(tokenizer) &&
        !tw_token_list_push(list, tw_tokenizer_bos(tokenizer))) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a prompt");
    }
    return tw_tokenizer_encode(tokenizer, text, text_bytes, special ? TW_ENCODE_SPECIAL : 0, list,
                               error);
}
