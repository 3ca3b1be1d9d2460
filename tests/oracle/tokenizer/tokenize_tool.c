/* tokenize_tool: tokenises many texts with one tokenizer, for programs that compare.
 *
 *     tokenize_tool TOKENIZER.json [TOKENIZER_CONFIG.json]
 *     tokenize_tool --cut PATTERN
 *
 * Standard input is records "FLAGS BYTES\n" followed by that many bytes of text; FLAGS is the sum
 * of TW_ENCODE_SPECIAL (1) and TW_ENCODE_BOS_EOS (2), and any bytes may be in the text. For each
 * record one line comes out: the ids, a tab, and the bytes they decode to, in hexadecimal; with
 * --cut, the lengths of the words PATTERN cuts the text into.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "text/tokenizer.h"

static int fail(const struct tw_error *error)
{
    fprintf(stderr, "tokenize_tool: %s\n", error->text);
    return tw_status_exit_code(error->status);
}

static enum tw_status load(char **paths, int n_paths, struct tw_tokenizer **ret_tokenizer,
                           struct tw_error *error)
{
    json_t *tokenizer = NULL;
    json_t *config = NULL;
    enum tw_status status = tw_json_load(paths[0], TW_LIMIT_MODEL_JSON_BYTES, &tokenizer, error);
    if (status == TW_OK && n_paths > 1) {
        status = tw_json_load(paths[1], TW_LIMIT_MODEL_JSON_BYTES, &config, error);
    }
    if (status == TW_OK) {
        status = tw_tokenizer_from_json(tokenizer, config, ret_tokenizer, error);
    }
    json_decref(tokenizer);
    json_decref(config);
    return status;
}

static bool detokenise(const struct tw_tokenizer *tokenizer, const struct tw_token_list *list,
                       struct tw_buf *out)
{
    for (size_t i = 0; i < list->n_tokens; i++) {
        struct tw_bytes bytes = tw_tokenizer_token_bytes(tokenizer, list->ids[i], true);
        if (!tw_buf_append(out, bytes.data, bytes.size_bytes)) {
            return false;
        }
    }
    return true;
}

static void print(const struct tw_token_list *list, const struct tw_buf *bytes)
{
    for (size_t i = 0; i < list->n_tokens; i++) {
        printf("%s%" PRId32, i > 0 ? " " : "", list->ids[i]);
    }
    putchar('\t');
    for (size_t i = 0; i < bytes->size_bytes; i++) {
        printf("%02x", (unsigned char)bytes->data[i]);
    }
    putchar('\n');
}

static enum tw_status answer(const struct tw_tokenizer *tokenizer, const char *text, size_t n,
                             int flags, struct tw_error *error)
{
    struct tw_token_list list = {0};
    struct tw_buf bytes;
    tw_buf_init(&bytes, (size_t)TW_LIMIT_TEXT_BYTES);
    enum tw_status status = tw_tokenizer_encode(tokenizer, text, n, flags, &list, error);
    if (status == TW_OK && !detokenise(tokenizer, &list, &bytes)) {
        status = tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for the answer");
    }
    if (status == TW_OK) {
        print(&list, &bytes);
    }
    tw_buf_free(&bytes);
    tw_token_list_free(&list);
    return status;
}

/* Each text goes to one of these, with what it works with. */
typedef enum tw_status (*answer_fn)(const void *worker, const char *text, size_t n, int flags,
                                    struct tw_error *error);

static enum tw_status answer_ids(const void *worker, const char *text, size_t n, int flags,
                                 struct tw_error *error)
{
    return answer(worker, text, n, flags, error);
}

static enum tw_status print_length(void *context, struct tw_bytes word, struct tw_error *error)
{
    bool *is_first = context;
    (void)error;
    printf("%s%zu", *is_first ? "" : " ", word.size_bytes);
    *is_first = false;
    return TW_OK;
}

static enum tw_status answer_words(const void *worker, const char *text, size_t n, int flags,
                                   struct tw_error *error)
{
    struct tw_pretokenize_scratch scratch = {0};
    bool is_first = true;
    (void)flags;
    enum tw_status status = tw_pretokenize(worker, 1, &scratch, (struct tw_bytes){text, n}, true,
                                           print_length, &is_first, error);
    tw_pretokenize_scratch_free(&scratch);
    putchar('\n');
    return status;
}

static bool read_header(int *ret_flags, size_t *ret_n_bytes)
{
    char line[64];
    if (fgets(line, sizeof line, stdin) == NULL) {
        return false;
    }
    char *rest;
    *ret_flags = (int)strtol(line, &rest, 10);
    *ret_n_bytes = (size_t)strtoull(rest, &rest, 10);
    return *rest == '\n';
}

static enum tw_status answer_all(answer_fn fn, const void *worker, struct tw_error *error)
{
    int flags;
    size_t n;
    enum tw_status status = TW_OK;
    while (status == TW_OK && read_header(&flags, &n)) {
        char *text = n <= TW_LIMIT_TEXT_BYTES ? tw_mem_alloc(n, 1) : NULL;
        if (text == NULL || fread(text, 1, n, stdin) != n) {
            status = tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION, "a record is cut off");
        } else {
            status = fn(worker, text, n, flags, error);
        }
        tw_mem_free(text);
    }
    return status == TW_OK && !feof(stdin)
               ? tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION, "a record's head is no head")
               : status;
}

static enum tw_status cut_all(const char *pattern, struct tw_error *error)
{
    struct tw_pretokenize_step step = {.kind = TW_PRETOKENIZE_PATTERN};
    struct tw_pattern *compiled = NULL;
    enum tw_status status = TW_OK;
    if (!tw_pretokenize_known(tw_bytes_of(pattern), &step.kind)) {
        status = tw_pattern_create(tw_bytes_of(pattern), &compiled, error);
        step.pattern = compiled;
    }
    if (status == TW_OK) {
        status = answer_all(answer_words, &step, error);
    }
    tw_pattern_free(compiled);
    return status;
}

static enum tw_status tokenise_all(char **paths, int n_paths, struct tw_error *error)
{
    struct tw_tokenizer *tokenizer = NULL;
    enum tw_status status = load(paths, n_paths, &tokenizer, error);
    if (status == TW_OK) {
        status = answer_all(answer_ids, tokenizer, error);
    }
    tw_tokenizer_free(tokenizer);
    return status;
}

int main(int argc, char **argv)
{
    struct tw_error error = {0};
    if (argc < 2 || argc > 3) {
        fprintf(stderr, "usage: tokenize_tool TOKENIZER.json [TOKENIZER_CONFIG.json]\n"
                        "       tokenize_tool --cut PATTERN\n");
        return 2;
    }
    enum tw_status status = argc == 3 && strcmp(argv[1], "--cut") == 0
                                ? cut_all(argv[2], &error)
                                : tokenise_all(argv + 1, argc - 1, &error);
    return status == TW_OK ? 0 : fail(&error);
}
