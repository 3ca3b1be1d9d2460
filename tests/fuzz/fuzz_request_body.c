/* Any bytes as the body of a request for a completion, read as a chat's and as a text's, down to
 * the tokens of its prompt: what is taken is within its bounds, what is refused has a status, and a
 * reason that is JSON. The demo model stands behind it: its vocabulary, its template. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "api/answer_form.h"
#include "api/api_state.h"
#include "api/chat_messages.h"
#include "api/request_fields.h"
#include "api/tool_choice.h"
#include "fuzz_target.h"

static struct tw_api *api;
static struct tw_backend *backend;
static struct tw_stage *stage;

static void close_all(void)
{
    tw_api_stop(api);
    tw_backend_stop(backend);
    tw_api_free(api);
    tw_backend_free(backend);
    tw_stage_free(stage);
}

/* Made once, and there until the process ends. */
static const struct tw_api_served *served(void)
{
    if (api == NULL) {
        const struct tw_stage_config stage_config = {
            .n_models = 1, .n_threads = 1, .level = TW_CPU_REF};
        const struct tw_backend_config config = {
            .name = "demo",
            .path = TW_FUZZ_MODEL,
            .engine = {.max_sequences = 1, .max_batch_tokens = 64, .kv_dtype = TW_DTYPE_F16},
            .n_context_tokens = 256,
            .max_waiting = 1,
        };
        struct tw_error error;
        enum tw_status status = tw_stage_create(&stage_config, &stage, &error);
        assert(status == TW_OK);
        status = tw_backend_open(&config, stage, &backend, &error);
        assert(status == TW_OK);
        const struct tw_api_model model = {.name = "demo", .backend = backend};
        const struct tw_api_config api_config = {
            .models = &model, .n_models = 1, .n_preparing_threads = 1, .stage = stage};
        status = tw_api_create(&api_config, &api, &error);
        assert(status == TW_OK && api->models[0].tool_form != NULL);
        atexit(close_all);
    }
    return &api->models[0];
}

static void check_refusal(const struct tw_api_error *error)
{
    struct tw_buf buf;
    json_t *json;
    assert(error->http_status >= 400 && error->http_status < 600);
    tw_buf_init(&buf, (size_t)1 << 16);
    tw_api_write_error(&buf, error);
    enum tw_status status = tw_json_parse(buf.data, buf.size_bytes, "error", &json, NULL);
    assert(status == TW_OK && !buf.failed);
    const json_t *message = json_object_get(json_object_get(json, "error"), "message");
    assert(json_string_length(message) > 0);
    json_decref(json);
    tw_buf_free(&buf);
}

static void check_fields(const struct tw_api_fields *fields)
{
    const struct tw_generation *generation = &fields->generation;
    assert(fields->n >= 1 && fields->n <= TW_LIMIT_API_CHOICES);
    assert(fields->n_stops <= TW_LIMIT_STOP_STRINGS && fields->n_biases <= TW_LIMIT_LOGIT_BIASES);
    assert(fields->top_logprobs >= 0 && fields->top_logprobs <= TW_LIMIT_API_TOP_LOGPROBS);
    assert(isfinite(generation->sampling.temperature) && generation->sampling.temperature >= 0);
    assert(generation->sampling.top_p >= 0 && generation->sampling.top_p <= 1);
    for (const char *c = fields->unknown; *c != '\0'; c++) {
        assert(*c >= ' ' && *c <= '~'); /* it becomes a header */
    }
}

static bool read_prompt(bool is_chat, const json_t *body, const struct tw_api_tools *tools,
                        bool may_think, struct tw_token_list *tokens, struct tw_api_error *error)
{
    const struct tw_api_served *model = served();
    const json_t *prompt = json_object_get(body, "prompt");
    if (is_chat) {
        return tw_api_chat_prompt(model, body, tools->shown, may_think, tokens, error);
    }
    return !json_is_string(prompt) ||
           tw_api_text_tokens(tw_backend_tokenizer(model->backend), prompt, true, TW_ENCODE_SPECIAL,
                              tokens, "prompt", error);
}

static void check_tokens(const struct tw_token_list *tokens)
{
    const size_t n_vocab = tw_tokenizer_size(tw_backend_tokenizer(served()->backend));
    for (size_t i = 0; i < tokens->n_tokens; i++) {
        assert(tokens->ids[i] >= 0 && (size_t)tokens->ids[i] < n_vocab);
    }
}

static void read_body(bool is_chat, const json_t *body)
{
    const struct tw_api_served *model = served();
    struct tw_api_fields fields;
    struct tw_api_form form = {0};
    struct tw_api_tools tools = {0};
    struct tw_token_list tokens = {0};
    struct tw_api_error error;
    bool is_good =
        tw_api_fields_read(&fields, is_chat, body, tw_backend_tokenizer(model->backend), &error);
    if (is_good) {
        check_fields(&fields);
    }
    is_good = is_good && tw_api_form_read(&form, body, &error) &&
              (!is_chat || tw_api_tools_read(&tools, &form, body, model, &error)) &&
              read_prompt(is_chat, body, &tools, form.wish.kind == TW_PRESCRIBED_NOTHING, &tokens,
                          &error) &&
              tw_api_form_compile(&form, body, model, false, &error);
    if (is_good) {
        check_tokens(&tokens);
    } else {
        check_refusal(&error);
    }
    tw_token_list_free(&tokens);
    tw_api_form_free(&form);
    tw_api_fields_free(&fields);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *body;
    struct tw_error error;
    if (tw_json_parse((const char *)data, size, "the body", &body, &error) != TW_OK) {
        assert(strlen(error.text) > 0);
        return 0;
    }
    if (json_is_object(body)) {
        read_body(true, body);
        read_body(false, body);
    }
    json_decref(body);
    return 0;
}
