/* POST /v1/embeddings: texts as vectors of length 1.
 *
 * Threads: a preparing thread makes the request and submits its first inputs. Each that ends brings
 * the next one, on the backend's thread; n_next says which that is. n_open counts the inputs that
 * have not ended and the preparing thread itself; who brings it to zero answers.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "api/admission.h"
#include "api/api_content.h"
#include "api/api_refusals.h"
#include "api/api_state.h"
#include "api/chat_messages.h"
#include "api/relay_redaction.h"
#include "api/request_fields.h"
#include "base/clock.h"
#include "base/mem.h"

struct input {
    struct embedding *owner;
    struct tw_token_list tokens;
    struct tw_buf vector; /* as it stands in the answer */
};

struct embedding {
    struct tw_api *api;
    struct tw_http_request *http;
    json_t *body; /* NULL once it is read */
    const struct tw_api_served *model;
    struct tw_generation generation;
    int64_t arrived_ns;
    struct input *inputs; /* [n_inputs] */
    size_t n_inputs, n_tokens;
    float *numbers; /* [n_dimensions] of the vector that is being written */
    size_t n_dimensions;
    bool is_base64;
    int flags;                       /* of the tokenizer */
    char unknown[API_UNKNOWN_BYTES]; /* names of fields */
    atomic_size_t n_next, n_open;
    atomic_size_t n_read_tokens, n_cached_tokens; /* of the inputs that have ended */
    atomic_bool has_failed;
    /* Of who set has_failed: */
    bool was_cancelled; /* the client left, its key ended, or the server does */
    struct tw_api_error error;
    struct tw_hub_caller caller;
    struct tw_hub_ticket ticket; /* with a hub */
    struct tw_api_admission *admission;
    struct tw_content *content; /* the same */
    struct tw_hub_line *line;   /* of a batch */
    bool is_again;              /* see api_state.h */
    bool is_awaited;            /* tw_api_is_awaited */
    struct tw_buf whole;        /* its answer */
};

static void free_embedding(struct embedding *embedding)
{
    for (size_t i = 0; embedding->inputs != NULL && i < embedding->n_inputs; i++) {
        tw_token_list_free(&embedding->inputs[i].tokens);
        tw_buf_free(&embedding->inputs[i].vector);
    }
    tw_mem_free(embedding->inputs);
    tw_mem_free(embedding->numbers);
    tw_buf_free(&embedding->whole);
    tw_content_free(embedding->content);
    tw_api_admission_free(embedding->admission);
    json_decref(embedding->body);
    tw_mem_free(embedding);
}

/* ---- the answer ---- */

/* Each is written when it comes: thousands at the end would hold up the backend's thread. */
static void write_vector(struct input *input)
{
    const struct embedding *embedding = input->owner;
    struct tw_json_writer writer;
    tw_json_begin(&writer, &input->vector);
    tw_json_object_begin(&writer);
    tw_json_put_text(&writer, "object", "embedding");
    tw_json_put_uint(&writer, "index", (uint64_t)(input - embedding->inputs));
    tw_json_key(&writer, "embedding");
    if (embedding->is_base64) { /* of floats as they lie in memory: little-endian */
        tw_buf_append(&input->vector, "\"", 1);
        tw_buf_append_base64(&input->vector, embedding->numbers,
                             embedding->n_dimensions * sizeof *embedding->numbers);
        tw_buf_append(&input->vector, "\"", 1);
        writer.needs_comma = true;
    } else {
        tw_json_array_begin(&writer);
        for (size_t d = 0; d < embedding->n_dimensions; d++) {
            tw_json_float(&writer, embedding->numbers[d]);
        }
        tw_json_array_end(&writer);
    }
    tw_json_object_end(&writer);
}

/* For headers; NULL without a hub. */
static const struct tw_hub_shown *rates_of(const struct embedding *embedding)
{
    return embedding->api->config.hub != NULL ? &embedding->ticket.shown : NULL;
}

static void write_whole(struct embedding *embedding)
{
    struct tw_buf *body = &embedding->whole;
    struct tw_json_writer writer;
    tw_json_begin(&writer, body);
    tw_json_object_begin(&writer);
    tw_json_put_text(&writer, "object", "list");
    tw_json_put_text(&writer, "model", embedding->model->name);
    tw_json_key(&writer, "data");
    tw_json_array_begin(&writer);
    for (size_t i = 0; i < embedding->n_inputs; i++) {
        const struct tw_buf *vector = &embedding->inputs[i].vector;
        tw_buf_append(body, ",", i > 0);
        tw_buf_append(body, vector->data, vector->size_bytes);
        body->failed = body->failed || vector->failed;
    }
    tw_json_array_end(&writer);
    tw_json_key(&writer, "usage");
    tw_json_object_begin(&writer);
    tw_json_put_uint(&writer, "prompt_tokens", embedding->n_tokens);
    tw_json_put_uint(&writer, "total_tokens", embedding->n_tokens);
    tw_json_object_end(&writer);
    tw_json_object_end(&writer);
}

static void finish(struct embedding *embedding)
{
    if (embedding->has_failed) {
        tw_api_answer_error(embedding->api, embedding->http, &embedding->error);
    } else {
        tw_api_answer_completion(embedding->api, embedding->http, &embedding->whole,
                                 embedding->unknown, rates_of(embedding));
    }
    free_embedding(embedding);
}

/* A tw_hub_done_fn: nothing is sent that is not on record. */
static void settled(void *context, struct tw_hub_ticket *ticket, enum tw_status status)
{
    struct embedding *embedding = context;
    struct tw_api *api = embedding->api;
    const bool is_awaited = embedding->is_awaited;
    (void)ticket;
    if (status != TW_OK) {
        embedding->has_failed = true;
        tw_api_refuse_unrecorded(&embedding->error);
    }
    finish(embedding);
    tw_api_met(api, is_awaited);
}

/* One of those that n_open counts is done. */
static void drop(struct embedding *embedding)
{
    if (atomic_fetch_sub(&embedding->n_open, 1) > 1) {
        return;
    }
    if (embedding->line == NULL) {
        tw_histogram_add(&embedding->api->metrics.whole,
                         tw_clock_monotonic_ns() - embedding->arrived_ns);
    }
    if (!embedding->has_failed) {
        write_whole(embedding);
    }
    if (embedding->line != NULL && !embedding->has_failed) {
        tw_hub_line_answer(embedding->line, &embedding->whole);
    }
    if (embedding->api->config.hub == NULL) {
        finish(embedding);
        return;
    }
    for (size_t i = 0; !embedding->has_failed && i < embedding->n_inputs; i++) {
        const struct tw_buf *vector = &embedding->inputs[i].vector;
        tw_content_add_hashed(embedding->content, 0, vector->data, vector->size_bytes);
    }
    /* What failed on our side costs nothing; who left pays what was computed by then. */
    struct tw_hub_usage usage = {.finish = !embedding->has_failed     ? "stop"
                                           : embedding->was_cancelled ? "cancelled"
                                                                      : "failed"};
    if (!embedding->has_failed || embedding->was_cancelled) {
        usage.n_prompt_tokens = embedding->n_read_tokens;
        usage.n_cached_tokens = embedding->n_cached_tokens;
    }
    tw_api_expect(embedding->api, embedding->is_awaited);
    tw_hub_settle(embedding->api->config.hub, &embedding->ticket, &usage, settled, embedding);
}

/* ---- what the backend calls ---- */

static enum tw_wish wish(void *context)
{
    const struct input *input = context;
    const struct embedding *embedding = input->owner;
    return embedding->has_failed || tw_http_is_gone(embedding->http) ||
                   (embedding->api->config.hub != NULL && !tw_hub_may_go_on(&embedding->caller))
               ? TW_WISH_CANCEL
               : TW_WISH_GO_ON;
}

/* cause NULL: it was cancelled. */
static void fail(struct embedding *embedding, const struct tw_error *cause)
{
    if (!atomic_exchange(&embedding->has_failed, true)) {
        embedding->was_cancelled = cause == NULL;
        if (cause == NULL && embedding->api->config.hub != NULL &&
            !tw_hub_may_go_on(&embedding->caller)) {
            tw_api_refuse_revoked(&embedding->error);
        } else {
            tw_api_refuse_failure(&embedding->error, cause);
        }
    }
}

/* The first numbers of a state, made to a vector of length 1. */
static void take_vector(struct input *input, const float *state)
{
    const struct embedding *embedding = input->owner;
    const size_t n = embedding->n_dimensions;
    double sum = 0;
    for (size_t d = 0; d < n; d++) {
        sum += (double)state[d] * (double)state[d];
    }
    for (size_t d = 0; d < n; d++) {
        embedding->numbers[d] = sum > 0 ? (float)((double)state[d] / sqrt(sum)) : 0;
    }
    write_vector(input);
}

static void submit_next(struct embedding *embedding);

static void output(void *context, const struct tw_output *part, size_t n_cached_tokens)
{
    struct input *input = context;
    input->owner->n_read_tokens += part->n_read_tokens;
    input->owner->n_cached_tokens += n_cached_tokens;
    if (part->embedding != NULL) {
        take_vector(input, part->embedding);
    } else {
        fail(input->owner, part->error);
    }
    submit_next(input->owner);
    drop(input->owner);
}

/* What cannot be submitted any more is done. */
static void submit_next(struct embedding *embedding)
{
    size_t i;
    while ((i = atomic_fetch_add(&embedding->n_next, 1)) < embedding->n_inputs) {
        struct input *input = &embedding->inputs[i];
        const struct tw_job_request request = {.tokens = input->tokens.ids,
                                               .n_tokens = input->tokens.n_tokens,
                                               .generation = &embedding->generation,
                                               .sink = {input, wish, output}};
        struct tw_error error;
        if (!embedding->has_failed) {
            if (tw_backend_submit(embedding->model->backend, &request, &error) == TW_OK) {
                return;
            }
            fail(embedding, &error);
        }
        drop(embedding);
    }
}

/* ---- making it ---- */

static bool read_fields(struct embedding *embedding, struct tw_api_error *error)
{
    static const char *const known[] = {
        "model",     "input",    "encoding_format",    "dimensions",
        "user",      "priority", "add_special_tokens", "safety_identifier",
        "cache_salt"};
    static const struct {
        const char *name, *why;
    } refused[] = {{"truncate_prompt_tokens", "shorten the texts"},
                   {"messages", "'input' has the texts"},
                   {"normalize", "embeddings here have length 1"}};
    const char *name;
    json_t *value;
    json_object_foreach (embedding->body, name, value) {
        bool is_known = false;
        for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
            is_known = is_known || strcmp(name, known[i]) == 0;
        }
        for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
            if (strcmp(name, refused[i].name) == 0 && !json_is_null(value) &&
                !json_is_true(value)) {
                return tw_api_refuse(error, name, "'%s' is not supported here: %s", name,
                                     refused[i].why);
            }
        }
        if (!is_known) {
            tw_api_name_unknown(embedding->unknown, name);
        }
    }
    return true;
}

static bool read_format(struct embedding *embedding, struct tw_api_error *error)
{
    const json_t *format = json_object_get(embedding->body, "encoding_format");
    const json_t *priority = json_object_get(embedding->body, "priority");
    const char *name = json_string_value(format);
    embedding->is_base64 = name != NULL && strcmp(name, "base64") == 0;
    if (format != NULL && !json_is_null(format) && !embedding->is_base64 &&
        (name == NULL || strcmp(name, "float") != 0)) {
        return tw_api_refuse(error, "encoding_format",
                             "'encoding_format' must be 'float' or 'base64'");
    }
    const json_int_t number = json_integer_value(priority);
    if ((priority != NULL && !json_is_null(priority) && !json_is_integer(priority)) ||
        number < INT32_MIN || number > INT32_MAX) {
        return tw_api_refuse(error, "priority", "'priority' must be a whole number");
    }
    embedding->generation.priority = (int32_t)number;
    embedding->flags = json_is_false(json_object_get(embedding->body, "add_special_tokens"))
                           ? 0
                           : TW_ENCODE_BOS_EOS;
    return true;
}

static bool read_dimensions(struct embedding *embedding, struct tw_api_error *error)
{
    const uint32_t n_most = tw_backend_embedding_length(embedding->model->backend);
    const json_t *dimensions = json_object_get(embedding->body, "dimensions");
    if (n_most == 0) {
        return tw_api_refuse(error, "model",
                             "the model makes embeddings in a way that is not supported here");
    }
    embedding->n_dimensions = n_most;
    if (dimensions == NULL || json_is_null(dimensions)) {
        return true;
    }
    const json_int_t n = json_integer_value(dimensions);
    if (!json_is_integer(dimensions) || n < 1 || n > (json_int_t)n_most) {
        return tw_api_refuse(error, "dimensions", "'dimensions' must be from 1 to %u", n_most);
    }
    embedding->n_dimensions = (size_t)n;
    return true;
}

/* A text or a list of token ids. */
static bool read_input(struct embedding *embedding, size_t i, const json_t *value,
                       struct tw_api_error *error)
{
    const struct tw_tokenizer *tokenizer = tw_backend_tokenizer(embedding->model->backend);
    const uint32_t n_most = tw_backend_context_tokens(embedding->model->backend);
    const uint32_t n_key =
        embedding->api->config.hub != NULL
            ? tw_hub_max_context_tokens(embedding->api->config.hub, &embedding->caller)
            : n_most;
    const uint32_t n_context = n_key < n_most ? n_key : n_most;
    struct input *input = &embedding->inputs[i];
    input->owner = embedding;
    tw_api_bound_prompt(embedding->model, &input->tokens);
    tw_buf_init(&input->vector, TW_LIMIT_GENERATED_BYTES);
    if (!json_is_array(value) && !json_is_string(value)) {
        return tw_api_refuse(error, "input",
                             "'input' must be a string, a list of strings, a list of token ids, or "
                             "a list of such lists");
    }
    if (!(json_is_array(value) ? tw_api_id_tokens(tokenizer, value, &input->tokens, "input", error)
                               : tw_api_text_tokens(tokenizer, value, false, embedding->flags,
                                                    &input->tokens, "input", error))) {
        return false;
    }
    const size_t n = input->tokens.n_tokens;
    if (n == 0) {
        return tw_api_refuse(error, "input", "input %zu is empty: it needs at least one token", i);
    }
    if (n > n_context) {
        tw_api_refuse_status(error, 400, "invalid_request_error", "context_length_exceeded",
                             "input %zu is too large: it has %zu tokens; the model's context is %u "
                             "tokens",
                             i, n, n_context);
        snprintf(error->param, sizeof error->param, "input");
        return false;
    }
    embedding->n_tokens += n;
    return true;
}

static bool read_inputs(struct embedding *embedding, struct tw_api_error *error)
{
    const json_t *input = json_object_get(embedding->body, "input");
    const bool is_list = json_is_array(input) && !json_is_integer(json_array_get(input, 0));
    const size_t n = is_list ? json_array_size(input) : 1;
    if (n == 0 || n > TW_LIMIT_EMBEDDINGS) {
        return tw_api_refuse(error, "input", "'input' has %zu texts; it must have 1 to %d", n,
                             TW_LIMIT_EMBEDDINGS);
    }
    embedding->inputs = tw_mem_zalloc(n, sizeof *embedding->inputs);
    embedding->numbers = tw_mem_alloc(embedding->n_dimensions, sizeof *embedding->numbers);
    embedding->n_inputs = n;
    if (embedding->inputs == NULL || embedding->numbers == NULL) {
        return tw_api_refuse_memory(error);
    }
    for (size_t i = 0; i < n; i++) {
        if (!read_input(embedding, i, is_list ? json_array_get(input, i) : input, error)) {
            return false;
        }
        if (embedding->n_tokens > TW_LIMIT_EMBEDDED_TOKENS) {
            return tw_api_refuse(error, "input",
                                 "'input' has more than %d tokens together; send it in parts",
                                 TW_LIMIT_EMBEDDED_TOKENS);
        }
    }
    return true;
}

static bool prepare(struct embedding *embedding, const struct tw_api_call *call,
                    struct tw_api_error *error)
{
    embedding->generation = tw_generation_defaults();
    embedding->generation.embeds = true;
    embedding->generation.tenant = call->tenant.number;
    embedding->model = tw_api_find_model(embedding->api, embedding->body, &call->tenant, error);
    struct tw_api_redaction redaction = {0}; /* a vector has nothing to be put back in */
    const bool is_ready =
        embedding->model != NULL &&
        (embedding->content == NULL ||
         tw_api_content_name(embedding->content, embedding->body, error)) &&
        tw_api_redaction_begin(&redaction, embedding->admission, embedding->body, error) &&
        read_fields(embedding, error) &&
        tw_api_prefix_domain(embedding->api, embedding->body, &call->tenant,
                             &embedding->generation.domain, error) &&
        read_format(embedding, error) && read_dimensions(embedding, error) &&
        read_inputs(embedding, error) &&
        (embedding->content == NULL || tw_api_content_begin(embedding->content, 1, error));
    tw_api_redaction_free(&redaction);
    return is_ready;
}

static void begin(struct embedding *embedding)
{
    embedding->n_open = embedding->n_inputs + 1;
    for (size_t i = 0; i < TW_LIMIT_EMBEDDINGS_AT_ONCE; i++) {
        submit_next(embedding);
    }
    drop(embedding);
}

/* A tw_hub_done_fn. */
static void granted(void *context, struct tw_hub_ticket *ticket, enum tw_status status)
{
    struct embedding *embedding = context;
    struct tw_api *api = embedding->api;
    const bool is_awaited = embedding->is_awaited;
    struct tw_api_error error;
    if (status == TW_OK && ticket->refusal == TW_HUB_GRANTED) {
        begin(embedding);
    } else {
        tw_api_refuse_ticket(&error, ticket);
        tw_api_answer_refusal(api, embedding->http, &error, ticket);
        free_embedding(embedding);
    }
    tw_api_met(api, is_awaited);
}

void tw_api_embeddings(struct tw_api *api, const struct tw_api_call *call)
{
    struct embedding *embedding = tw_mem_zalloc(1, sizeof *embedding);
    struct tw_api_error error;
    if (embedding == NULL) {
        tw_api_refuse_memory(&error);
        tw_api_refuse_call(api, call, &error);
        return;
    }
    embedding->api = api;
    embedding->content = call->content;
    embedding->admission = call->admission;
    embedding->line = call->line;
    embedding->is_again = call->is_again;
    embedding->is_awaited = tw_api_is_awaited(call);
    tw_buf_init(&embedding->whole, TW_LIMIT_GENERATED_BYTES);
    embedding->http = call->http;
    embedding->body = call->body;
    embedding->arrived_ns = call->arrived_ns;
    embedding->caller = call->tenant.caller;
    if (!prepare(embedding, call, &error)) {
        tw_api_answer_error(api, call->http, &error);
        free_embedding(embedding);
        return;
    }
    json_decref(embedding->body);
    embedding->body = NULL;
    if (api->config.hub == NULL) {
        begin(embedding);
        return;
    }
    const struct tw_hub_request request = {.caller = embedding->caller,
                                           .model = embedding->model->name,
                                           .client_id = tw_http_id(embedding->http),
                                           .model_digest = embedding->model->digest,
                                           .route = tw_api_admission_route(embedding->admission),
                                           .content = embedding->content,
                                           .line = embedding->line,
                                           .is_again = embedding->is_again,
                                           .n_prompt_tokens = embedding->n_tokens};
    tw_api_expect(api, embedding->is_awaited);
    tw_hub_reserve(api->config.hub, &embedding->ticket, &request, granted, embedding);
}
