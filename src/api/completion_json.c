#include "api/completion_json.h"

#include <string.h>

static struct tw_bytes token_bytes(const struct tw_tokenizer *tokenizer, tw_token token)
{
    return tw_tokenizer_token_bytes(tokenizer, token, true);
}

static void put_token(struct tw_json_writer *writer, const struct tw_tokenizer *tokenizer,
                      const struct tw_token_logprob *row)
{
    struct tw_bytes bytes = token_bytes(tokenizer, row->token);
    tw_json_key(writer, "token");
    tw_json_string(writer, bytes.data, bytes.size_bytes);
    tw_json_key(writer, "logprob");
    tw_json_float(writer, row->logprob);
    tw_json_key(writer, "bytes");
    tw_json_array_begin(writer);
    for (size_t i = 0; i < bytes.size_bytes; i++) {
        tw_json_uint(writer, (unsigned char)bytes.data[i]);
    }
    tw_json_array_end(writer);
}

static void put_chat_row(struct tw_json_writer *writer, const struct tw_output *output,
                         const struct tw_token_logprob *row, const struct tw_tokenizer *tokenizer)
{
    tw_json_object_begin(writer);
    put_token(writer, tokenizer, row);
    tw_json_key(writer, "top_logprobs");
    tw_json_array_begin(writer);
    for (uint32_t i = 1; i <= output->n_top && row[i].token != TW_TOKEN_NONE; i++) {
        tw_json_object_begin(writer);
        put_token(writer, tokenizer, &row[i]);
        tw_json_object_end(writer);
    }
    tw_json_array_end(writer);
    tw_json_object_end(writer);
}

/* A key that may hold any bytes. */
static void put_key(struct tw_json_writer *writer, struct tw_bytes key)
{
    tw_json_string(writer, key.data, key.size_bytes);
    tw_buf_append(writer->buf, ":", 1);
    writer->needs_comma = false;
}

static void put_best(struct tw_json_writer *writer, const struct tw_output *output,
                     const struct tw_token_logprob *row, const struct tw_tokenizer *tokenizer)
{
    if (output->n_top == 0) {
        tw_json_null(writer);
        return;
    }
    tw_json_object_begin(writer);
    for (uint32_t i = 1; i <= output->n_top && row[i].token != TW_TOKEN_NONE; i++) {
        put_key(writer, token_bytes(tokenizer, row[i].token));
        tw_json_float(writer, row[i].logprob);
    }
    tw_json_object_end(writer);
}

/* How many characters begin in a run of bytes. */
static uint64_t characters(struct tw_bytes bytes)
{
    uint64_t n = 0;
    for (size_t i = 0; i < bytes.size_bytes; i++) {
        n += ((unsigned char)bytes.data[i] & 0xC0) != 0x80;
    }
    return n;
}

/* Special tokens are no part of the text. */
static void count_characters(struct tw_completion_logprobs *logprobs, tw_token token,
                             const struct tw_tokenizer *tokenizer)
{
    struct tw_bytes bytes = tw_tokenizer_token_bytes(tokenizer, token, false);
    logprobs->n_characters += characters(bytes);
    if (bytes.size_bytes > 0) {
        logprobs->n_characters -= logprobs->drops_space && bytes.data[0] == ' ';
        logprobs->drops_space = false;
    }
}

/* output NULL: nothing is known of the token. */
static void add_text_row(struct tw_completion_logprobs *logprobs, const struct tw_output *output,
                         const struct tw_token_logprob *row, const struct tw_tokenizer *tokenizer)
{
    struct tw_bytes bytes = token_bytes(tokenizer, row->token);
    struct tw_json_writer writers[COMPLETION_LOGPROB_LISTS];
    for (int i = 0; i < COMPLETION_LOGPROB_LISTS; i++) {
        tw_json_begin(&writers[i], &logprobs->items[i]);
    }
    tw_json_string(&writers[0], bytes.data, bytes.size_bytes);
    if (output != NULL) {
        tw_json_float(&writers[1], row->logprob);
        put_best(&writers[2], output, row, tokenizer);
    } else {
        tw_json_null(&writers[1]);
        tw_json_null(&writers[2]);
    }
    tw_json_uint(&writers[3], logprobs->n_characters);
    count_characters(logprobs, row->token, tokenizer);
}

void tw_completion_logprobs_begin(struct tw_completion_logprobs *logprobs, tw_token token,
                                  const struct tw_tokenizer *tokenizer)
{
    struct tw_detokenizer detokenizer;
    tw_detokenizer_init(&detokenizer, tokenizer, false);
    logprobs->drops_space = detokenizer.drop_leading_space;
    add_text_row(logprobs, NULL, &(struct tw_token_logprob){.token = token}, tokenizer);
}

void tw_completion_logprobs_init(struct tw_completion_logprobs *logprobs)
{
    for (int i = 0; i < COMPLETION_LOGPROB_LISTS; i++) {
        tw_buf_init(&logprobs->items[i], TW_LIMIT_GENERATED_BYTES);
    }
    logprobs->n_characters = 0;
    logprobs->drops_space = false;
}

void tw_completion_logprobs_free(struct tw_completion_logprobs *logprobs)
{
    for (int i = 0; i < COMPLETION_LOGPROB_LISTS; i++) {
        tw_buf_free(&logprobs->items[i]);
    }
}

bool tw_completion_logprobs_failed(const struct tw_completion_logprobs *logprobs)
{
    bool has_failed = false;
    for (size_t i = 0; i < COMPLETION_LOGPROB_LISTS; i++) {
        has_failed = has_failed || logprobs->items[i].failed;
    }
    return has_failed;
}

void tw_completion_logprobs_clear(struct tw_completion_logprobs *logprobs)
{
    for (int i = 0; i < COMPLETION_LOGPROB_LISTS; i++) {
        tw_buf_clear(&logprobs->items[i]);
    }
}

void tw_completion_logprobs_add(struct tw_completion_logprobs *logprobs,
                                const struct tw_output *output, bool is_chat,
                                const struct tw_tokenizer *tokenizer)
{
    for (size_t i = 0; i < output->n_tokens; i++) {
        const struct tw_token_logprob *row = &output->logprobs[i * (1 + output->n_top)];
        if (is_chat && i + 1 == output->n_tokens && output->finish == TW_FINISH_STOP &&
            tw_tokenizer_ends_generation(tokenizer, row->token)) {
            break;
        }
        for (int k = 0; k < (is_chat ? 1 : COMPLETION_LOGPROB_LISTS); k++) {
            if (logprobs->items[k].size_bytes > 0) {
                tw_buf_append(&logprobs->items[k], ",", 1);
            }
        }
        if (is_chat) {
            struct tw_json_writer writer;
            tw_json_begin(&writer, &logprobs->items[0]);
            put_chat_row(&writer, output, row, tokenizer);
        } else {
            add_text_row(logprobs, output, row, tokenizer);
        }
    }
}

/* ---- what all objects have ---- */

static void put_head(struct tw_json_writer *writer, const struct tw_completion_head *head,
                     const char *object)
{
    tw_json_put_text(writer, "id", head->id);
    tw_json_put_text(writer, "object", object);
    tw_json_put_int(writer, "created", head->created_s);
    tw_json_put_text(writer, "model", head->model);
}

static void put_usage(struct tw_json_writer *writer, const struct tw_completion_usage *usage)
{
    tw_json_key(writer, "usage");
    tw_json_object_begin(writer);
    tw_json_put_uint(writer, "prompt_tokens", usage->n_prompt_tokens);
    tw_json_put_uint(writer, "completion_tokens", usage->n_completion_tokens);
    tw_json_put_uint(writer, "total_tokens", usage->n_prompt_tokens + usage->n_completion_tokens);
    tw_json_key(writer, "prompt_tokens_details");
    tw_json_object_begin(writer);
    tw_json_put_uint(writer, "cached_tokens", usage->n_cached_tokens);
    tw_json_object_end(writer);
    tw_json_key(writer, "completion_tokens_details");
    tw_json_object_begin(writer);
    tw_json_put_uint(writer, "reasoning_tokens", usage->n_reasoning_tokens);
    tw_json_object_end(writer);
    tw_json_object_end(writer);
}

/* Items that are JSON already. */
static void put_items(struct tw_json_writer *writer, const char *key, const struct tw_buf *items)
{
    tw_json_key(writer, key);
    tw_json_array_begin(writer);
    if (items->size_bytes > 0) {
        tw_buf_append(writer->buf, items->data, items->size_bytes);
    }
    tw_json_array_end(writer);
}

static void put_logprobs(struct tw_json_writer *writer, bool is_chat,
                         const struct tw_completion_logprobs *logprobs)
{
    static const char *const names[COMPLETION_LOGPROB_LISTS] = {"tokens", "token_logprobs",
                                                                "top_logprobs", "text_offset"};
    tw_json_key(writer, "logprobs");
    if (logprobs == NULL) {
        tw_json_null(writer);
        return;
    }
    tw_json_object_begin(writer);
    if (is_chat) {
        put_items(writer, "content", &logprobs->items[0]);
        tw_json_put_null(writer, "refusal");
    }
    for (int i = 0; !is_chat && i < COMPLETION_LOGPROB_LISTS; i++) {
        put_items(writer, names[i], &logprobs->items[i]);
    }
    tw_json_object_end(writer);
}

/* Beside OpenAI's word what bounded the answer, where that is not the request itself. */
static void put_finish(struct tw_json_writer *writer, const char *finish_reason,
                       const char *limited_by)
{
    if (finish_reason != NULL && limited_by != NULL) {
        tw_json_put_text(writer, "limited_by", limited_by);
    }
    if (finish_reason != NULL) {
        tw_json_put_text(writer, "finish_reason", finish_reason);
    } else {
        tw_json_put_null(writer, "finish_reason");
    }
}

static void put_text(struct tw_json_writer *writer, const char *key, struct tw_bytes text)
{
    tw_json_key(writer, key);
    tw_json_string(writer, text.data, text.size_bytes);
}

/* OpenAI's clients want no null here: what is not said again is left out. */
static void put_call(struct tw_json_writer *writer, const struct tw_completion_call *call,
                     bool has_index)
{
    tw_json_object_begin(writer);
    if (has_index) {
        tw_json_put_uint(writer, "index", call->index);
    }
    if (call->id != NULL) {
        tw_json_put_text(writer, "id", call->id);
        tw_json_put_text(writer, "type", "function");
    }
    tw_json_key(writer, "function");
    tw_json_object_begin(writer);
    if (call->name != NULL) {
        tw_json_put_text(writer, "name", call->name);
    }
    put_text(writer, "arguments", call->arguments);
    tw_json_object_end(writer);
    tw_json_object_end(writer);
}

void tw_completion_json_call(struct tw_buf *items, const struct tw_completion_call *call)
{
    struct tw_json_writer writer;
    if (items->size_bytes > 0) {
        tw_buf_append(items, ",", 1);
    }
    tw_json_begin(&writer, items);
    put_call(&writer, call, false);
}

/* Under both names that clients look for. */
static void put_reasoning(struct tw_json_writer *writer, struct tw_bytes reasoning)
{
    if (reasoning.size_bytes > 0) {
        put_text(writer, "reasoning_content", reasoning);
        put_text(writer, "reasoning", reasoning);
    }
}

static void put_delta(struct tw_json_writer *writer, const struct tw_completion_choice *choice)
{
    tw_json_key(writer, "delta");
    tw_json_object_begin(writer);
    if (choice->has_role) {
        tw_json_put_text(writer, "role", "assistant");
    }
    put_reasoning(writer, choice->reasoning);
    if (choice->text.size_bytes > 0 || choice->has_role) {
        put_text(writer, "content", choice->text);
    }
    if (choice->call != NULL) {
        tw_json_key(writer, "tool_calls");
        tw_json_array_begin(writer);
        put_call(writer, choice->call, true);
        tw_json_array_end(writer);
    }
    tw_json_object_end(writer);
}

void tw_completion_json_chunk(struct tw_buf *out, const struct tw_completion_head *head,
                              const struct tw_completion_choice *choice,
                              const struct tw_completion_usage *usage, bool says_usage)
{
    struct tw_json_writer writer;
    tw_buf_append_text(out, "data: ");
    tw_json_begin(&writer, out);
    tw_json_object_begin(&writer);
    put_head(&writer, head, head->is_chat ? "chat.completion.chunk" : "text_completion");
    tw_json_key(&writer, "choices");
    tw_json_array_begin(&writer);
    if (choice != NULL) {
        tw_json_object_begin(&writer);
        tw_json_put_uint(&writer, "index", choice->index);
        if (head->is_chat) {
            put_delta(&writer, choice);
        } else {
            put_text(&writer, "text", choice->text);
        }
        put_logprobs(&writer, head->is_chat, choice->logprobs);
        put_finish(&writer, choice->finish_reason, choice->limited_by);
        tw_json_object_end(&writer);
    }
    tw_json_array_end(&writer);
    if (usage != NULL) {
        put_usage(&writer, usage);
    } else if (says_usage) {
        tw_json_put_null(&writer, "usage");
    }
    tw_json_object_end(&writer);
    tw_buf_append_text(out, "\n\n");
}

static void put_whole_choice(struct tw_json_writer *writer, bool is_chat,
                             const struct tw_completion_choice *choice)
{
    tw_json_object_begin(writer);
    tw_json_put_uint(writer, "index", choice->index);
    if (is_chat) {
        tw_json_key(writer, "message");
        tw_json_object_begin(writer);
        tw_json_put_text(writer, "role", "assistant");
        if (choice->calls != NULL && choice->text.size_bytes == 0) {
            tw_json_put_null(writer, "content");
        } else {
            put_text(writer, "content", choice->text);
        }
        put_reasoning(writer, choice->reasoning);
        tw_json_put_null(writer, "refusal");
        if (choice->calls != NULL) {
            put_items(writer, "tool_calls", choice->calls);
        }
        tw_json_object_end(writer);
    } else {
        put_text(writer, "text", choice->text);
    }
    put_logprobs(writer, is_chat, choice->logprobs);
    put_finish(writer, choice->finish_reason, choice->limited_by);
    tw_json_object_end(writer);
}

void tw_completion_json_whole(struct tw_buf *out, const struct tw_completion_head *head,
                              const struct tw_completion_choice *choices, size_t n_choices,
                              const struct tw_completion_usage *usage)
{
    struct tw_json_writer writer;
    tw_json_begin(&writer, out);
    tw_json_object_begin(&writer);
    put_head(&writer, head, head->is_chat ? "chat.completion" : "text_completion");
    tw_json_key(&writer, "choices");
    tw_json_array_begin(&writer);
    for (size_t i = 0; i < n_choices; i++) {
        put_whole_choice(&writer, head->is_chat, &choices[i]);
    }
    tw_json_array_end(&writer);
    put_usage(&writer, usage);
    tw_json_object_end(&writer);
}
