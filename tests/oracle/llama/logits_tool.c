/* logits_tool: the logits of a model at every position of a given sequence, as raw f32.
 *
 *     logits_tool MODEL TOKENS OUT [--chunk N] [--threads N] [--kv f16|q8_0] [--greedy N]
 *
 * TOKENS: a text file of token ids. OUT: [n_tokens, n_vocab] f32. The sequence goes through the
 * model --chunk tokens at a time (default: all at once). With --greedy N, the N most probable
 * tokens that follow are printed, one id a line. TW_CPU chooses the instruction set. */
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cpu.h"
#include "base/file.h"
#include "base/mem.h"
#include "model/model.h"

#define TOKENS_MOST 8192u

struct request {
    const char *model, *tokens, *output;
    uint32_t chunk, n_greedy;
    int n_threads;
    enum tw_dtype kv;
};

struct run {
    struct tw_device *device;
    struct tw_model *model;
    struct tw_kv_cache *cache;
    uint32_t *pages;
    tw_token *tokens;
    uint32_t n_tokens, n_done;
    uint32_t n_vocab;
};

static const struct option options[] = {
    {"chunk", required_argument, NULL, 'c'},
    {"threads", required_argument, NULL, 't'},
    {"kv", required_argument, NULL, 'k'},
    {"greedy", required_argument, NULL, 'g'},
    {NULL, 0, NULL, 0},
};

static bool read_request(int argc, char **argv, struct request *request)
{
    int code;
    while ((code = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (code) {
        case 'c':
            request->chunk = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 't':
            request->n_threads = (int)strtol(optarg, NULL, 10);
            break;
        case 'k':
            request->kv = strcmp(optarg, "q8_0") == 0 ? TW_DTYPE_Q8_0 : TW_DTYPE_F16;
            break;
        case 'g':
            request->n_greedy = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        default:
            return false;
        }
    }
    if (argc - optind != 3 || request->chunk == 0 || request->chunk > TOKENS_MOST) {
        return false;
    }
    request->model = argv[optind];
    request->tokens = argv[optind + 1];
    request->output = argv[optind + 2];
    return true;
}

static enum tw_status read_tokens(const struct request *request, struct run *run,
                                  struct tw_error *error)
{
    struct tw_buf text;
    enum tw_status status = tw_file_read(request->tokens, 1u << 20, &text, error);
    if (status != TW_OK) {
        return status;
    }
    run->tokens = tw_mem_alloc(TOKENS_MOST, sizeof *run->tokens);
    tw_buf_append(&text, "", 1);
    if (run->tokens == NULL || text.failed) {
        tw_buf_free(&text);
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for tokens");
    }
    char *at = text.data, *end;
    for (long id = strtol(at, &end, 10); end != at && run->n_tokens < TOKENS_MOST;
         id = strtol(at, &end, 10)) {
        run->tokens[run->n_tokens++] = (tw_token)id;
        at = end;
    }
    tw_buf_free(&text);
    return run->n_tokens > 0 ? TW_OK
                             : tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION, "no tokens");
}

static enum tw_status prepare(const struct request *request, struct run *run,
                              struct tw_error *error)
{
    enum tw_cpu_level level;
    struct tw_model_options model_options = {.max_batch_tokens = request->chunk,
                                             .max_output_rows = request->chunk};
    uint32_t n_pages =
        (run->n_tokens + request->n_greedy + TW_KV_PAGE_TOKENS - 1) / TW_KV_PAGE_TOKENS;
    enum tw_status status = tw_cpu_choose(&level, error);
    status = status != TW_OK ? status
                             : tw_device_cpu_create(request->n_threads, level, &run->device, error);
    status = status != TW_OK
                 ? status
                 : tw_model_load(request->model, run->device, &model_options, &run->model, error);
    status = status != TW_OK
                 ? status
                 : tw_kv_cache_create(run->model, n_pages, request->kv, &run->cache, error);
    if (status != TW_OK) {
        return status;
    }
    run->n_vocab = tw_model_shape(run->model)->n_vocab;
    run->pages = tw_mem_alloc(n_pages, sizeof *run->pages);
    if (run->pages == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for pages");
    }
    /* Backwards, so that a pass that ignores the table does not get away with it. */
    for (uint32_t i = 0; i < n_pages; i++) {
        run->pages[i] = n_pages - 1 - i;
    }
    return TW_OK;
}

static enum tw_status advance(struct run *run, uint32_t n, uint32_t n_outputs,
                              const float **ret_logits, struct tw_error *error)
{
    struct tw_batch_sequence sequence = {.tokens = run->tokens + run->n_done,
                                         .n_tokens = n,
                                         .first_position = run->n_done,
                                         .pages = run->pages,
                                         .n_outputs = n_outputs};
    enum tw_status status =
        tw_model_forward(run->model, run->cache, &sequence, 1, NULL, ret_logits, error);
    run->n_done += n;
    return status;
}

static tw_token best_token(const float *logits, uint32_t n_vocab)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < n_vocab; i++) {
        best = logits[i] > logits[best] ? i : best;
    }
    return (tw_token)best;
}

static enum tw_status write_logits(const struct request *request, struct run *run,
                                   struct tw_error *error)
{
    FILE *file = fopen(request->output, "wb");
    if (file == NULL) {
        return tw_error_set(error, TW_ERR_IO, TW_NO_POSITION, "%s: cannot write", request->output);
    }
    enum tw_status status = TW_OK;
    uint32_t n_given = run->n_tokens;
    tw_token next = TW_TOKEN_NONE;
    while (status == TW_OK && run->n_done < n_given) {
        const float *logits;
        uint32_t left = n_given - run->n_done, n = left < request->chunk ? left : request->chunk;
        status = advance(run, n, n, &logits, error);
        if (status == TW_OK) {
            size_t count = (size_t)n * run->n_vocab;
            if (fwrite(logits, sizeof *logits, count, file) != count) {
                status = tw_error_set(error, TW_ERR_IO, TW_NO_POSITION, "%s: write failed",
                                      request->output);
            }
            next = best_token(logits + (size_t)(n - 1) * run->n_vocab, run->n_vocab);
        }
    }
    for (uint32_t i = 0; status == TW_OK && i < request->n_greedy; i++) {
        const float *logits;
        printf("%d\n", (int)next);
        run->tokens[run->n_tokens++] = next;
        status = advance(run, 1, 1, &logits, error);
        next = status == TW_OK ? best_token(logits, run->n_vocab) : next;
    }
    if (fclose(file) != 0 && status == TW_OK) {
        status =
            tw_error_set(error, TW_ERR_IO, TW_NO_POSITION, "%s: write failed", request->output);
    }
    return status;
}

int main(int argc, char **argv)
{
    struct request request = {.chunk = 512, .n_threads = 2, .kv = TW_DTYPE_F16};
    struct run run = {0};
    struct tw_error error = {0};
    if (!read_request(argc, argv, &request)) {
        fprintf(stderr, "usage: logits_tool MODEL TOKENS OUT [--chunk N] [--threads N] "
                        "[--kv f16|q8_0] [--greedy N]\n");
        return tw_status_exit_code(TW_ERR_USAGE);
    }
    enum tw_status status = read_tokens(&request, &run, &error);
    if (status == TW_OK && run.n_tokens + request.n_greedy > TOKENS_MOST) {
        status =
            tw_error_set(&error, TW_ERR_LIMIT, TW_NO_POSITION, "more than %u tokens", TOKENS_MOST);
    }
    status = status != TW_OK ? status : prepare(&request, &run, &error);
    status = status != TW_OK ? status : write_logits(&request, &run, &error);
    tw_kv_cache_free(run.cache);
    tw_model_free(run.model);
    tw_device_free(run.device);
    tw_mem_free(run.pages);
    tw_mem_free(run.tokens);
    if (status != TW_OK) {
        fprintf(stderr, "logits_tool: %s\n", error.text);
        return tw_status_exit_code(status);
    }
    return 0;
}
