#include "train/corpus.h"

#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "train/rows.h"

/* A file being read. */
struct reading {
    tw_corpus_fn fn;
    void *context;
    struct tw_buf message; /* role, newline, content */
};

bool tw_corpus_is_rows(const char *path)
{
    static const char ending[] = ".jsonl";
    size_t n = strlen(path);
    return n >= sizeof ending - 1 && strcmp(path + n - (sizeof ending - 1), ending) == 0;
}

static enum tw_status on_row(void *context, const struct tw_row *row, struct tw_error *error)
{
    struct reading *reading = context;
    if (row->messages == NULL) {
        return reading->fn(reading->context, row->text, row->end_bytes, error);
    }
    enum tw_status status = TW_OK;
    for (size_t i = 0; i < row->n_messages && status == TW_OK; i++) {
        struct tw_bytes content = row->messages[i].content;
        struct tw_buf *message = &reading->message;
        tw_buf_clear(message);
        tw_buf_append_text(message, row->messages[i].role);
        tw_buf_append_text(message, "\n");
        if (!tw_buf_append(message, content.data, content.size_bytes)) {
            return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a message");
        }
        struct tw_bytes text = {message->data, message->size_bytes};
        status = reading->fn(reading->context, text, row->end_bytes, error);
    }
    return status;
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Where the piece that begins at `from` may end. */
static size_t piece_end(struct tw_bytes text, size_t from)
{
    if (text.size_bytes - from <= TW_LIMIT_CORPUS_PIECE_BYTES) {
        return text.size_bytes;
    }
    const char *at = text.data + from + TW_LIMIT_CORPUS_PIECE_BYTES;
    const char *end = text.data + text.size_bytes;
    while ((at = memchr(at, '\n', (size_t)(end - at))) != NULL && at + 1 < end) {
        at++;
        if (is_letter(*at)) {
            return (size_t)(at - text.data);
        }
    }
    return text.size_bytes;
}

static enum tw_status read_text(struct reading *reading, struct tw_bytes text, const char *path,
                                struct tw_error *error)
{
    enum tw_status status = TW_OK;
    for (size_t at = 0; at < text.size_bytes && status == TW_OK;) {
        size_t end = piece_end(text, at);
        struct tw_bytes piece = {text.data + at, end - at};
        status = reading->fn(reading->context, piece, end, error);
        at = end;
    }
    if (status != TW_OK) {
        tw_error_prefix(error, "%s", path);
    }
    return status;
}

enum tw_status tw_corpus_read(const char *path, tw_corpus_fn fn, void *context,
                              struct tw_error *error)
{
    struct tw_file_map map;
    enum tw_status status = tw_file_map_open(path, &map, error);
    if (status != TW_OK) {
        return status;
    }
    struct reading reading = {.fn = fn, .context = context};
    tw_buf_init(&reading.message, TW_LIMIT_TEXT_BYTES);
    struct tw_bytes bytes = {(const char *)map.data, map.size_bytes};
    status = tw_corpus_is_rows(path) ? tw_rows_read(bytes, path, on_row, &reading, error)
                                     : read_text(&reading, bytes, path, error);
    tw_buf_free(&reading.message);
    tw_file_map_close(&map);
    return status;
}
