/* How fast text becomes token ids, on one core.
 *
 *     tokenize_rates TOKENIZER.json FILE [PASSES]
 *
 * Prints one CSV row: the file, its bytes, its tokens, the time to load the tokenizer, and the best
 * and the median rate of the passes over the whole file in MB/s (10^6 bytes).
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "text/tokenizer.h"

enum { MAX_PASSES = 1000 };

static int fail(const struct tw_error *error)
{
    fprintf(stderr, "tokenize_rates: %s\n", error->text);
    return tw_status_exit_code(error->status);
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static enum tw_status load(const char *path, struct tw_tokenizer **ret_tokenizer,
                           struct tw_error *error)
{
    json_t *json = NULL;
    enum tw_status status = tw_json_load(path, TW_LIMIT_MODEL_JSON_BYTES, &json, error);
    if (status == TW_OK) {
        status = tw_tokenizer_from_json(json, NULL, ret_tokenizer, error);
    }
    json_decref(json);
    return status;
}

static enum tw_status time_passes(const struct tw_tokenizer *tokenizer, const struct tw_buf *text,
                                  int n_passes, int64_t *ret_ns, size_t *ret_n_tokens,
                                  struct tw_error *error)
{
    enum tw_status status = TW_OK;
    for (int i = 0; i < n_passes && status == TW_OK; i++) {
        struct tw_token_list list = {0};
        int64_t begin = tw_clock_monotonic_ns();
        status = tw_tokenizer_encode(tokenizer, text->data, text->size_bytes, 0, &list, error);
        ret_ns[i] = tw_clock_monotonic_ns() - begin;
        *ret_n_tokens = list.n_tokens;
        tw_token_list_free(&list);
    }
    qsort(ret_ns, (size_t)n_passes, sizeof *ret_ns, compare);
    return status;
}

int main(int argc, char **argv)
{
    struct tw_error error = {0};
    struct tw_tokenizer *tokenizer = NULL;
    struct tw_buf text;
    int64_t pass_ns[MAX_PASSES];
    size_t n_tokens = 0;
    if (argc < 3 || argc > 4) {
        fprintf(stderr, "usage: tokenize_rates TOKENIZER.json FILE [PASSES]\n");
        return 2;
    }
    long wanted = argc == 4 ? strtol(argv[3], NULL, 10) : 10;
    int n_passes = wanted < 1 ? 1 : wanted > MAX_PASSES ? MAX_PASSES : (int)wanted;
    tw_buf_init(&text, TW_LIMIT_TEXT_BYTES);
    int64_t begin = tw_clock_monotonic_ns();
    enum tw_status status = load(argv[1], &tokenizer, &error);
    double load_ms = (double)(tw_clock_monotonic_ns() - begin) * 1e-6;
    if (status == TW_OK) {
        status = tw_file_read(argv[2], TW_LIMIT_TEXT_BYTES, &text, &error);
    }
    if (status == TW_OK) {
        status = time_passes(tokenizer, &text, n_passes, pass_ns, &n_tokens, &error);
    }
    if (status == TW_OK) {
        printf("file,bytes,tokens,load_ms,best_mb_s,median_mb_s\n");
        printf("%s,%zu,%zu,%.0f,%.1f,%.1f\n", argv[2], text.size_bytes, n_tokens, load_ms,
               (double)text.size_bytes * 1e3 / (double)pass_ns[0],
               (double)text.size_bytes * 1e3 / (double)pass_ns[n_passes / 2]);
    }
    tw_buf_free(&text);
    tw_tokenizer_free(tokenizer);
    return status == TW_OK ? 0 : fail(&error);
}
