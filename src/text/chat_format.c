#define _GNU_SOURCE
#include "text/chat_format.h"

#include <string.h>

#include "base/buf.h"

static const struct {
    const char *name;
    const char *open, *header_end, *close; /* spelling of the markers */
} kind_rows[] = {
    [TW_CHAT_PLAIN] = {"plain", NULL, NULL, NULL},
    [TW_CHAT_CHATML] = {"ChatML", "<|im_start|>", NULL, "<|im_end|>"},
    [TW_CHAT_LLAMA3] = {"Llama 3", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"},
};

const char *tw_chat_kind_name(enum tw_chat_kind kind)
{
    return kind_rows[kind].name;
}

static tw_token find_marker(const struct tw_tokenizer *tokenizer, const char *text)
{
    return text != NULL ? tw_tokenizer_find(tokenizer, text, strlen(text)) : TW_TOKEN_NONE;
}

static bool has_markers(const struct tw_tokenizer *tokenizer, enum tw_chat_kind kind)
{
    return find_marker(tokenizer, kind_rows[kind].open) != TW_TOKEN_NONE &&
           find_marker(tokenizer, kind_rows[kind].close) != TW_TOKEN_NONE &&
           (kind_rows[kind].header_end == NULL ||
            find_marker(tokenizer, kind_rows[kind].header_end) != TW_TOKEN_NONE);
}

static bool mentions(struct tw_bytes text, const char *word)
{
    return text.size_bytes > 0 && memmem(text.data, text.size_bytes, word, strlen(word)) != NULL;
}

struct tw_chat_format tw_chat_format_detect(const struct tw_tokenizer *tokenizer,
                                            struct tw_bytes chat_template)
{
    struct tw_chat_format format = {.tokenizer = tokenizer};
    for (enum tw_chat_kind kind = TW_CHAT_CHATML; kind <= TW_CHAT_LLAMA3; kind++) {
        bool wanted =
            chat_template.size_bytes == 0 || mentions(chat_template, kind_rows[kind].open);
        if (wanted && has_markers(tokenizer, kind)) {
            format.kind = kind;
            break;
        }
    }
    format.open = find_marker(tokenizer, kind_rows[format.kind].open);
    format.close = find_marker(tokenizer, kind_rows[format.kind].close);
    format.header_end = find_marker(tokenizer, kind_rows[format.kind].header_end);
    format.begin = TW_TOKEN_NONE;
    if (tw_tokenizer_adds_bos(tokenizer) || format.kind == TW_CHAT_LLAMA3) {
        format.begin = tw_tokenizer_bos(tokenizer);
    }
    return format;
}

static enum tw_status push(struct tw_token_list *list, tw_token token, struct tw_error *error)
{
    if (token != TW_TOKEN_NONE && !tw_token_list_push(list, token)) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a message");
    }
    return TW_OK;
}

static enum tw_status encode(const struct tw_chat_format *format, const char *text,
                             size_t text_bytes, struct tw_token_list *list, struct tw_error *error)
{
    return tw_tokenizer_encode(format->tokenizer, text, text_bytes, 0, list, error);
}

enum tw_status tw_chat_format_begin(const struct tw_chat_format *format, struct tw_token_list *list,
                                    struct tw_error *error)
{
    return push(list, format->begin, error);
}

/* ChatML: open, then role, newline and text as one piece. */
static enum tw_status open_chatml(const struct tw_chat_format *format, const char *role,
                                  const char *text, size_t text_bytes, struct tw_token_list *list,
                                  struct tw_error *error)
{
    struct tw_buf piece;
    tw_buf_init(&piece, TW_LIMIT_TEXT_BYTES);
    tw_buf_append_text(&piece, role);
    tw_buf_append_text(&piece, "\n");
    tw_buf_append(&piece, text, text_bytes);
    enum tw_status status = push(list, format->open, error);
    if (piece.failed) {
        status = tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                              "a message of %zu bytes is too large", text_bytes);
    }
    if (status == TW_OK) {
        status = encode(format, piece.data, piece.size_bytes, list, error);
    }
    tw_buf_free(&piece);
    return status;
}

/* Llama 3: the role between two markers, then an empty line and the text as one piece. */
static enum tw_status open_llama3(const struct tw_chat_format *format, const char *role,
                                  const char *text, size_t text_bytes, struct tw_token_list *list,
                                  struct tw_error *error)
{
    struct tw_buf piece;
    tw_buf_init(&piece, TW_LIMIT_TEXT_BYTES);
    tw_buf_append_text(&piece, "\n\n");
    tw_buf_append(&piece, text, text_bytes);
    enum tw_status status = push(list, format->open, error);
    if (piece.failed) {
        status = tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                              "a message of %zu bytes is too large", text_bytes);
    }
    if (status == TW_OK) {
        status = encode(format, role, strlen(role), list, error);
    }
    if (status == TW_OK) {
        status = push(list, format->header_end, error);
    }
    if (status == TW_OK) {
        status = encode(format, piece.data, piece.size_bytes, list, error);
    }
    tw_buf_free(&piece);
    return status;
}

static enum tw_status open_message(const struct tw_chat_format *format, const char *role,
                                   const char *text, size_t text_bytes, struct tw_token_list *list,
                                   struct tw_error *error)
{
    switch (format->kind) {
    case TW_CHAT_CHATML:
        return open_chatml(format, role, text, text_bytes, list, error);
    case TW_CHAT_LLAMA3:
        return open_llama3(format, role, text, text_bytes, list, error);
    case TW_CHAT_PLAIN:
        break;
    }
    return encode(format, text, text_bytes, list, error);
}

enum tw_status tw_chat_format_message(const struct tw_chat_format *format, const char *role,
                                      const char *text, size_t text_bytes,
                                      struct tw_token_list *list, struct tw_error *error)
{
    enum tw_status status = open_message(format, role, text, text_bytes, list, error);
    return status == TW_OK ? tw_chat_format_close(format, TW_TOKEN_NONE, list, error) : status;
}

enum tw_status tw_chat_format_answer(const struct tw_chat_format *format,
                                     struct tw_token_list *list, struct tw_error *error)
{
    if (format->kind == TW_CHAT_PLAIN) {
        return TW_OK;
    }
    return open_message(format, "assistant", "", 0, list, error);
}

enum tw_status tw_chat_format_close(const struct tw_chat_format *format, tw_token last,
                                    struct tw_token_list *list, struct tw_error *error)
{
    if (format->kind == TW_CHAT_PLAIN) {
        return TW_OK;
    }
    enum tw_status status = last != format->close ? push(list, format->close, error) : TW_OK;
    if (status == TW_OK && format->kind == TW_CHAT_CHATML) {
        status = encode(format, "\n", 1, list, error);
    }
    return status;
}
