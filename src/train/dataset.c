#include "train/dataset.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "train/rows.h"

/* The mark of a target, in a token's highest bit but one: ids are below TW_LIMIT_VOCAB_TOKENS. */
#define TARGET (UINT32_C(1) << 30)

struct tw_dataset {
    struct tw_chat_format format;
    tw_token end_of_text;
    uint32_t n_context_tokens;
    uint32_t *tokens; /* of all documents, end to end, with their marks */
    size_t capacity_tokens;
    uint32_t *starts; /* [n_documents + 1] */
    size_t capacity_starts;
    struct tw_token_list list; /* of the document being read */
    struct tw_buf marks;       /* a byte for each token of it */
    const char *name;          /* of the file being read */
    struct tw_dataset_report report;
};

static enum tw_status no_memory(struct tw_error *error)
{
    return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for training documents");
}

enum tw_status tw_dataset_create(const struct tw_chat_format *format, uint32_t n_context_tokens,
                                 struct tw_dataset **ret_dataset, struct tw_error *error)
{
    static const char name[] = "<|endoftext|>";
    tw_token end = tw_tokenizer_find(format->tokenizer, name, sizeof name - 1);
    end = end != TW_TOKEN_NONE ? end : tw_tokenizer_eos(format->tokenizer);
    if (end == TW_TOKEN_NONE) {
        return tw_error_set(error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                            "the tokenizer has no token that ends a text (%s)", name);
    }
    struct tw_dataset *dataset = tw_mem_zalloc(1, sizeof *dataset);
    uint32_t *starts = tw_mem_zalloc(64, sizeof *starts);
    if (dataset == NULL || starts == NULL) {
        tw_mem_free(dataset);
        tw_mem_free(starts);
        return no_memory(error);
    }
    dataset->format = *format;
    dataset->end_of_text = end;
    dataset->n_context_tokens = n_context_tokens;
    dataset->starts = starts;
    dataset->capacity_starts = 64;
    tw_buf_init(&dataset->marks, TW_LIMIT_NORMALISED_BYTES);
    *ret_dataset = dataset;
    return TW_OK;
}

void tw_dataset_free(struct tw_dataset *dataset)
{
    if (dataset != NULL) {
        tw_mem_free(dataset->tokens);
        tw_mem_free(dataset->starts);
        tw_token_list_free(&dataset->list);
        tw_buf_free(&dataset->marks);
        tw_mem_free(dataset);
    }
}

/* ---- rendering ---- */

/* Marks the tokens of the list that have no mark yet. */
static enum tw_status mark_rest(struct tw_dataset *dataset, size_t n_tokens, bool is_target,
                                struct tw_error *error)
{
    char marks[64];
    memset(marks, is_target, sizeof marks);
    while (dataset->marks.size_bytes < n_tokens) {
        size_t n = n_tokens - dataset->marks.size_bytes;
        if (!tw_buf_append(&dataset->marks, marks, n < sizeof marks ? n : sizeof marks)) {
            return no_memory(error);
        }
    }
    return TW_OK;
}

/* The header as a chat's prompt ends with it, what the model is to say, and that it ends. */
static enum tw_status render_answer(struct tw_dataset *dataset, struct tw_bytes content,
                                    struct tw_error *error)
{
    struct tw_token_list *list = &dataset->list;
    enum tw_status status = tw_chat_format_answer(&dataset->format, list, error);
    if (status == TW_OK) {
        status = mark_rest(dataset, list->n_tokens, false, error);
    }
    if (status == TW_OK) {
        status = tw_tokenizer_encode(dataset->format.tokenizer, content.data, content.size_bytes, 0,
                                     list, error);
    }
    size_t n_said = list->n_tokens;
    if (status == TW_OK) {
        status = tw_chat_format_close(&dataset->format, TW_TOKEN_NONE, list, error);
    }
    return status == TW_OK ? mark_rest(dataset, n_said + 1, true, error) : status;
}

static enum tw_status render_conversation(struct tw_dataset *dataset, const struct tw_row *row,
                                          struct tw_error *error)
{
    enum tw_status status = TW_OK;
    bool has_answer = false;
    if (dataset->format.kind == TW_CHAT_PLAIN) {
        return tw_error_set(error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                            "the tokenizer has no markers for conversations (<|im_start|>)");
    }
    for (size_t i = 0; i < row->n_messages && status == TW_OK; i++) {
        const struct tw_row_message *message = &row->messages[i];
        if (strcmp(message->role, "assistant") == 0) {
            status = render_answer(dataset, message->content, error);
            has_answer = true;
        } else {
            status = tw_chat_format_message(&dataset->format, message->role, message->content.data,
                                            message->content.size_bytes, &dataset->list, error);
        }
        if (status == TW_OK) {
            status = mark_rest(dataset, dataset->list.n_tokens, false, error);
        }
    }
    if (status == TW_OK && !has_answer) {
        status = tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                              "no message of the assistant, so there is nothing to learn");
    }
    return status;
}

static enum tw_status render_text(struct tw_dataset *dataset, struct tw_bytes text,
                                  struct tw_error *error)
{
    struct tw_token_list *list = &dataset->list;
    enum tw_status status =
        tw_tokenizer_encode(dataset->format.tokenizer, text.data, text.size_bytes, 0, list, error);
    if (status == TW_OK && !tw_token_list_push(list, dataset->end_of_text)) {
        status = no_memory(error);
    }
    if (status == TW_OK && list->n_tokens < 2) {
        status = tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                              "the text is empty, so there is nothing to learn");
    }
    if (status == TW_OK) {
        status = mark_rest(dataset, 1, false, error);
    }
    return status == TW_OK ? mark_rest(dataset, list->n_tokens, true, error) : status;
}

/* ---- keeping ---- */

static bool reserve(uint32_t **items, size_t *capacity, size_t n)
{
    if (n <= *capacity) {
        return true;
    }
    size_t wanted = n > 2 * *capacity ? n : 2 * *capacity;
    uint32_t *grown = tw_mem_realloc(*items, wanted, sizeof *grown);
    if (grown != NULL) {
        *items = grown;
        *capacity = wanted;
    }
    return grown != NULL;
}

static enum tw_status keep(struct tw_dataset *dataset, struct tw_error *error)
{
    struct tw_dataset_report *report = &dataset->report;
    size_t n = dataset->list.n_tokens;
    if (report->n_tokens + n > TW_LIMIT_DATASET_TOKENS ||
        report->n_documents == TW_LIMIT_DATASET_DOCUMENTS) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "more than %u tokens or %u documents; give fewer",
                            TW_LIMIT_DATASET_TOKENS, TW_LIMIT_DATASET_DOCUMENTS);
    }
    if (!reserve(&dataset->tokens, &dataset->capacity_tokens, report->n_tokens + n) ||
        !reserve(&dataset->starts, &dataset->capacity_starts, report->n_documents + 2)) {
        return no_memory(error);
    }
    uint32_t *tokens = dataset->tokens + report->n_tokens;
    for (size_t i = 0; i < n; i++) {
        bool is_target = dataset->marks.data[i] != 0;
        tokens[i] = (uint32_t)dataset->list.ids[i] | (is_target ? TARGET : 0);
        report->n_targets += is_target;
    }
    report->n_tokens += n;
    dataset->starts[++report->n_documents] = (uint32_t)report->n_tokens;
    return TW_OK;
}

static void skip(struct tw_dataset *dataset, uint64_t line)
{
    struct tw_dataset_report *report = &dataset->report;
    if (report->n_skipped++ == 0) {
        snprintf(report->first_skipped, sizeof report->first_skipped, "%.120s:%" PRIu64,
                 dataset->name, line);
    }
}

static enum tw_status on_row(void *context, const struct tw_row *row, struct tw_error *error)
{
    struct tw_dataset *dataset = context;
    dataset->list.n_tokens = 0;
    tw_buf_clear(&dataset->marks);
    enum tw_status status = tw_chat_format_begin(&dataset->format, &dataset->list, error);
    if (status == TW_OK) {
        status = row->messages != NULL ? render_conversation(dataset, row, error)
                                       : render_text(dataset, row->text, error);
    }
    size_t n = dataset->list.n_tokens;
    if (status != TW_OK) {
        return status;
    }
    assert(dataset->marks.size_bytes == n);
    struct tw_dataset_report *report = &dataset->report;
    report->longest_tokens = n > report->longest_tokens ? n : report->longest_tokens;
    if (report->n_rows++ == 0 || n < report->shortest_tokens) {
        report->shortest_tokens = n;
    }
    if (n > dataset->n_context_tokens) {
        skip(dataset, row->line);
        return TW_OK;
    }
    return keep(dataset, error);
}

enum tw_status tw_dataset_add_rows(struct tw_dataset *dataset, struct tw_bytes lines,
                                   const char *name, struct tw_error *error)
{
    dataset->name = name;
    return tw_rows_read(lines, name, on_row, dataset, error);
}

enum tw_status tw_dataset_add_file(struct tw_dataset *dataset, const char *path,
                                   struct tw_error *error)
{
    struct tw_file_map map;
    enum tw_status status = tw_file_map_open(path, &map, error);
    if (status != TW_OK) {
        return status;
    }
    struct tw_bytes lines = {(const char *)map.data, map.size_bytes};
    uint64_t n_before = dataset->report.n_rows;
    status = tw_dataset_add_rows(dataset, lines, path, error);
    if (status == TW_OK && dataset->report.n_rows == n_before) {
        status = tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION, "'%.160s' has no rows", path);
    }
    tw_file_map_close(&map);
    return status;
}

/* ---- reading ---- */

const struct tw_dataset_report *tw_dataset_report(const struct tw_dataset *dataset)
{
    return &dataset->report;
}

uint32_t tw_dataset_n_context(const struct tw_dataset *dataset)
{
    return dataset->n_context_tokens;
}

tw_token tw_dataset_end_of_text(const struct tw_dataset *dataset)
{
    return dataset->end_of_text;
}

size_t tw_dataset_n_documents(const struct tw_dataset *dataset)
{
    return dataset->report.n_documents;
}

uint32_t tw_dataset_document_tokens(const struct tw_dataset *dataset, size_t document)
{
    assert(document < dataset->report.n_documents);
    return dataset->starts[document + 1] - dataset->starts[document];
}

void tw_dataset_copy(const struct tw_dataset *dataset, size_t document, int32_t *ret_tokens,
                     uint8_t *ret_is_target)
{
    uint32_t n = tw_dataset_document_tokens(dataset, document);
    const uint32_t *tokens = dataset->tokens + dataset->starts[document];
    for (uint32_t i = 0; i < n; i++) {
        ret_tokens[i] = (int32_t)(tokens[i] & ~TARGET);
        ret_is_target[i] = (tokens[i] & TARGET) != 0;
    }
}
