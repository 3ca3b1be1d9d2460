/* perplexity: how well a model predicts a text: exp of the mean negative log-probability.
 *
 * The text is cut into windows of --ctx tokens, one beginning every --stride tokens. A token's
 * probability depends on how much text stands before it, so only predictions in the second half of
 * a window count, and where windows overlap, only those that no earlier window has made:
 *
 *     window   [ . . . . . . . . | x x x x x x x x ]     stride = ctx: half of the tokens count
 *     next                       [ . . . . . . . . | x x x x x x x x ]
 *                                                        stride = ctx / 2: all after the first half
 *
 * A model with a begin token gets it in place of each window's first token. With the default stride
 * this is the number llama.cpp prints. */
#include <math.h>
#include <stdio.h>

#include "app/command.h"
#include "app/model_args.h"
#include "app/progress.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"

enum { DEFAULT_CONTEXT = 512, OUTPUT_ROWS = 64 };

struct perplexity_args {
    const char *file;
    int64_t stride;
    bool json;
    struct tw_model_args model;
};

#define ROW(field) offsetof(struct perplexity_args, field)

static const struct tw_option options[] = {
    {.name = "file",
     .kind = TW_OPTION_STRING,
     .offset = ROW(file),
     .value_name = "T",
     .help = "The text; - is standard input."},
    {.name = "stride",
     .kind = TW_OPTION_INT,
     .offset = ROW(stride),
     .value_name = "N",
     .least = 0,
     .most = TW_LIMIT_MODEL_CONTEXT_TOKENS,
     .help = "Tokens from one window's beginning to the next one's. Default: 0, as many as a "
             "window has."},
    {.name = "json",
     .kind = TW_OPTION_FLAG,
     .offset = ROW(json),
     .help = "Print one JSON object instead of a sentence."},
};

static const struct tw_option_group group = {"Text", options, sizeof options / sizeof options[0]};

/* Sums over the counted predictions, in the order of the text. */
struct tally {
    size_t n;
    double sum; /* of negative log-probabilities */
    double sum_squares;
};

struct windows {
    const struct tw_token_list *tokens;
    size_t n_context;
    size_t stride;
    size_t first_scored; /* within a window: the first token whose prediction counts */
    size_t n_windows;
};

static enum tw_status plan_windows(const struct perplexity_args *args,
                                   const struct tw_engine *engine,
                                   const struct tw_token_list *tokens, struct windows *ret_windows,
                                   struct tw_error *error)
{
    size_t wish = args->model.n_context_tokens != 0 ? (size_t)args->model.n_context_tokens
                                                    : (size_t)DEFAULT_CONTEXT;
    size_t most = tw_engine_shape(engine)->n_context_tokens;
    struct windows windows = {.tokens = tokens, .n_context = wish < most ? wish : most};
    if (windows.n_context < 4) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "--ctx %zu: a window needs at least 4 tokens", windows.n_context);
    }
    if (tokens->n_tokens < windows.n_context) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "the text has %zu tokens, a window %zu: give more text or a smaller "
                            "--ctx",
                            tokens->n_tokens, windows.n_context);
    }
    windows.stride = args->stride != 0 ? (size_t)args->stride : windows.n_context;
    size_t half = windows.n_context / 2 + 1;
    size_t fresh = windows.stride < windows.n_context ? windows.n_context - windows.stride : 0;
    windows.first_scored = fresh > half ? fresh : half;
    windows.n_windows = (tokens->n_tokens - windows.n_context) / windows.stride + 1;
    *ret_windows = windows;
    return TW_OK;
}

static enum tw_status score_windows(struct tw_engine *engine, const struct windows *windows,
                                    struct tally *tally, struct tw_error *error)
{
    const struct tw_tokenizer *tokenizer = tw_engine_tokenizer(engine);
    size_t n_scored = windows->n_context - windows->first_scored;
    tw_token *window = tw_mem_alloc(windows->n_context, sizeof *window);
    float *logprobs = tw_mem_alloc(n_scored, sizeof *logprobs);
    enum tw_status status = TW_OK;
    if (window == NULL || logprobs == NULL) {
        status = tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a window");
    }
    struct tw_progress progress;
    tw_progress_begin(&progress, "reading");
    for (size_t w = 0; status == TW_OK && w < windows->n_windows; w++) {
        for (size_t i = 0; i < windows->n_context; i++) {
            window[i] = windows->tokens->ids[w * windows->stride + i];
        }
        if (tw_tokenizer_adds_bos(tokenizer)) {
            window[0] = tw_tokenizer_bos(tokenizer);
        }
        status = tw_engine_score(engine, window, windows->n_context, windows->first_scored,
                                 logprobs, error);
        for (size_t i = 0; status == TW_OK && i < n_scored; i++) {
            tally->sum -= (double)logprobs[i];
            tally->sum_squares += (double)logprobs[i] * (double)logprobs[i];
            tally->n++;
        }
        tw_progress_update(&progress, w + 1, windows->n_windows);
    }
    tw_progress_end(&progress);
    tw_mem_free(window);
    tw_mem_free(logprobs);
    return status;
}

/* The error is the standard error of the mean, carried over to the exponential. */
static enum tw_status print_result(const struct perplexity_args *args,
                                   const struct windows *windows, const struct tally *tally,
                                   struct tw_error *error)
{
    double n = (double)tally->n;
    double mean = tally->sum / n;
    double variance = tally->sum_squares / n - mean * mean;
    double perplexity = exp(mean);
    double deviation =
        tally->n > 1 && variance > 0.0 ? perplexity * sqrt(variance / (n - 1.0)) : 0.0;
    struct tw_buf line;
    tw_buf_init(&line, 4096);
    if (args->json) {
        const struct {
            const char *key;
            uint64_t value;
        } counts[] = {{"n_tokens", windows->tokens->n_tokens},
                      {"n_counted", tally->n},
                      {"n_windows", windows->n_windows},
                      {"ctx", windows->n_context},
                      {"stride", windows->stride}};
        struct tw_json_writer writer;
        tw_json_begin(&writer, &line);
        tw_json_object_begin(&writer);
        tw_json_key(&writer, "perplexity");
        tw_json_double(&writer, perplexity);
        tw_json_key(&writer, "standard_error");
        tw_json_double(&writer, deviation);
        tw_json_key(&writer, "mean_logprob");
        tw_json_double(&writer, -mean);
        for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
            tw_json_key(&writer, counts[i].key);
            tw_json_uint(&writer, counts[i].value);
        }
        tw_json_object_end(&writer);
    } else {
        tw_buf_append_format(&line,
                             "perplexity %.4f +/- %.4f (%zu of %zu tokens, %zu windows of %zu, "
                             "stride %zu)",
                             perplexity, deviation, tally->n, windows->tokens->n_tokens,
                             windows->n_windows, windows->n_context, windows->stride);
    }
    enum tw_status status = tw_command_write_line(&line, error);
    tw_buf_free(&line);
    return status;
}

static enum tw_status measure(const struct perplexity_args *args, struct tw_engine *engine,
                              const struct tw_buf *text, struct tw_error *error)
{
    struct tw_token_list tokens = {0};
    struct windows windows = {0};
    struct tally tally = {0};
    enum tw_status status = tw_model_args_encode(tw_engine_tokenizer(engine), text->data,
                                                 text->size_bytes, false, &tokens, error);
    if (status == TW_OK) {
        status = plan_windows(args, engine, &tokens, &windows, error);
    }
    if (status == TW_OK) {
        status = tw_engine_reserve(engine, windows.n_context, error);
    }
    if (status == TW_OK) {
        status = score_windows(engine, &windows, &tally, error);
    }
    if (status == TW_OK) {
        status = print_result(args, &windows, &tally, error);
    }
    tw_token_list_free(&tokens);
    return status;
}

static enum tw_status execute(const struct perplexity_args *args, struct tw_error *error)
{
    if (args->file == NULL) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "no text: give --file with a text file, or - for standard input");
    }
    struct tw_buf text;
    enum tw_status status = tw_file_read(args->file, TW_LIMIT_TEXT_BYTES, &text, error);
    if (status != TW_OK) {
        return status;
    }
    struct tw_engine *engine;
    status = tw_model_args_open(&args->model, 1, OUTPUT_ROWS, &engine, error);
    if (status == TW_OK) {
        status = measure(args, engine, &text, error);
        tw_engine_close(engine);
    }
    tw_buf_free(&text);
    return status;
}

int tw_cmd_perplexity(int argc, char **argv)
{
    struct perplexity_args args = {.model = tw_model_args_defaults()};
    const struct tw_command_spec spec = {
        .name = "perplexity",
        .synopsis = "--model F --file T [--ctx N] [--stride N] [--json]",
        .about = "Measures how well a model predicts a text; lower is better. The text is read in\n"
                 "windows of --ctx tokens (default 512); predictions in the second half of each\n"
                 "window count. Numbers compare only for the same text, tokenizer and windows.",
        .uses = {{&group, &args}, {&tw_model_args_perplexity, &args.model}},
    };
    struct tw_words words;
    int exit_code;
    if (!tw_command_parse(&spec, argc, argv, &words, &exit_code)) {
        return exit_code;
    }
    struct tw_error error;
    return execute(&args, &error) == TW_OK ? 0 : tw_command_fail(&error);
}
