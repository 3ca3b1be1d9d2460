/* /tokenize, /detokenize and /apply-template, with the fields of vLLM and those of llama.cpp. */
#include "api/api_state.h"
#include "api/chat_messages.h"

#define TOKENS_BYTES ((size_t)TW_LIMIT_PROMPT_BYTES * 8)

static const json_t *first_of(const json_t *body, const char *name, const char *other)
{
    const json_t *value = json_object_get(body, name);
    return value != NULL ? value : json_object_get(body, other);
}

static const json_t *shown_tools(const json_t *body)
{
    const json_t *tools = json_object_get(body, "tools");
    return json_array_size(tools) > 0 ? tools : NULL;
}

static bool read_tokens(struct tw_api *api, const json_t *body, const struct tw_api_tenant *tenant,
                        const struct tw_api_served **ret_model, struct tw_token_list *tokens,
                        struct tw_api_error *error)
{
    const struct tw_api_served *model = tw_api_find_model(api, body, tenant, error);
    *ret_model = model;
    if (model == NULL) {
        return false;
    }
    if (json_object_get(body, "messages") != NULL) {
        return tw_api_chat_prompt(model, body, shown_tools(body), true, tokens, error);
    }
    const json_t *add = first_of(body, "add_special_tokens", "add_special");
    return tw_api_text_tokens(tw_backend_tokenizer(model->backend),
                              first_of(body, "prompt", "content"), !json_is_false(add), 0, tokens,
                              "prompt", error);
}

static void write_tokens(struct tw_buf *out, const struct tw_api_served *model,
                         const struct tw_token_list *tokens)
{
    struct tw_json_writer writer;
    tw_json_begin(&writer, out);
    tw_json_object_begin(&writer);
    tw_json_put_uint(&writer, "count", tokens->n_tokens);
    tw_json_put_uint(&writer, "max_model_len", tw_backend_context_tokens(model->backend));
    tw_json_key(&writer, "tokens");
    tw_json_array_begin(&writer);
    for (size_t i = 0; i < tokens->n_tokens; i++) {
        tw_json_int(&writer, tokens->ids[i]);
    }
    tw_json_array_end(&writer);
    tw_json_object_end(&writer);
}

typedef void (*write_fn)(struct tw_buf *out, const struct tw_api_served *model,
                         const struct tw_token_list *tokens);

/* A prompt or a conversation as tokens, shown in one way or another. */
static void answer_tokens(struct tw_api *api, const struct tw_api_call *call, write_fn write)
{
    struct tw_token_list tokens = {0};
    struct tw_api_error error;
    const struct tw_api_served *model;
    if (read_tokens(api, call->body, &call->tenant, &model, &tokens, &error)) {
        struct tw_buf out;
        tw_buf_init(&out, TOKENS_BYTES);
        write(&out, model, &tokens);
        tw_api_answer_json(api, call->http, &out);
        tw_buf_free(&out);
    } else {
        tw_api_answer_error(api, call->http, &error);
    }
    tw_token_list_free(&tokens);
    json_decref(call->body);
}

void tw_api_tokenize(struct tw_api *api, const struct tw_api_call *call)
{
    answer_tokens(api, call, write_tokens);
}

static bool write_text(const struct tw_api_served *model, const json_t *ids, struct tw_buf *text,
                       struct tw_api_error *error)
{
    const struct tw_tokenizer *tokenizer = tw_backend_tokenizer(model->backend);
    struct tw_detokenizer detokenizer;
    if (!json_is_array(ids)) {
        return tw_api_refuse(error, "tokens", "'tokens' must be a list of token ids");
    }
    tw_detokenizer_init(&detokenizer, tokenizer, true);
    for (size_t i = 0; i < json_array_size(ids); i++) {
        const json_t *id = json_array_get(ids, i);
        const json_int_t token = json_integer_value(id);
        if (!json_is_integer(id) || token < 0 || (uint64_t)token >= tw_tokenizer_size(tokenizer)) {
            return tw_api_refuse(error, "tokens", "'tokens[%zu]' is no token id from 0 to %zu", i,
                                 tw_tokenizer_size(tokenizer) - 1);
        }
        tw_detokenizer_push(&detokenizer, (tw_token)token, text);
    }
    tw_detokenizer_finish(&detokenizer, text);
    return true;
}

void tw_api_detokenize(struct tw_api *api, const struct tw_api_call *call)
{
    struct tw_api_error error;
    struct tw_buf text, out;
    tw_buf_init(&text, TW_LIMIT_GENERATED_BYTES);
    tw_buf_init(&out, TOKENS_BYTES);
    const struct tw_api_served *model = tw_api_find_model(api, call->body, &call->tenant, &error);
    if (model != NULL && write_text(model, json_object_get(call->body, "tokens"), &text, &error)) {
        static const char *const names[] = {"prompt", "content"};
        struct tw_json_writer writer;
        tw_json_begin(&writer, &out);
        tw_json_object_begin(&writer);
        for (int i = 0; i < 2; i++) {
            tw_json_key(&writer, names[i]);
            tw_json_string(&writer, text.size_bytes > 0 ? text.data : "", text.size_bytes);
        }
        tw_json_object_end(&writer);
        out.failed = out.failed || text.failed;
        tw_api_answer_json(api, call->http, &out);
    } else {
        tw_api_answer_error(api, call->http, &error);
    }
    tw_buf_free(&text);
    tw_buf_free(&out);
    json_decref(call->body);
}

/* The prompt of a conversation as text, special tokens spelt out. */
static void write_prompt(struct tw_buf *out, const struct tw_api_served *model,
                         const struct tw_token_list *tokens)
{
    struct tw_detokenizer detokenizer;
    struct tw_json_writer writer;
    struct tw_buf text;
    tw_buf_init(&text, TW_LIMIT_GENERATED_BYTES);
    tw_detokenizer_init(&detokenizer, tw_backend_tokenizer(model->backend), true);
    for (size_t i = 0; i < tokens->n_tokens; i++) {
        tw_detokenizer_push(&detokenizer, tokens->ids[i], &text);
    }
    tw_detokenizer_finish(&detokenizer, &text);
    tw_json_begin(&writer, out);
    tw_json_object_begin(&writer);
    tw_json_key(&writer, "prompt");
    tw_json_string(&writer, text.size_bytes > 0 ? text.data : "", text.size_bytes);
    tw_json_object_end(&writer);
    out->failed = out->failed || text.failed;
    tw_buf_free(&text);
}

void tw_api_apply_template(struct tw_api *api, const struct tw_api_call *call)
{
    answer_tokens(api, call, write_prompt);
}
