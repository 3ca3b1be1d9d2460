/* One completion, from its fields to the end of its answer.
 *
 * Threads: a preparing thread makes it and submits its choices; from then on the backend's thread
 * calls the sinks, perhaps before the last choice is submitted. n_open counts the choices that have
 * not ended and the preparing thread itself; who brings it to zero ends the answer. Everything else
 * is written by the backend's thread alone, after submission.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/admission.h"
#include "api/answer_form.h"
#include "api/answer_parts.h"
#include "api/api_content.h"
#include "api/api_gate.h"
#include "api/api_refusals.h"
#include "api/api_state.h"
#include "api/chat_messages.h"
#include "api/completion_json.h"
#include "api/relay_redaction.h"
#include "api/request_fields.h"
#include "api/tool_choice.h"
#include "base/clock.h"
#include "base/mem.h"

/* Not taken by the client: its sequences pause. What a step still adds fits behind it. */
#define PAUSE_BYTES  (TW_LIMIT_HTTP_STREAM_BYTES / 64)
#define ANSWER_BYTES ((size_t)TW_LIMIT_GENERATED_BYTES * 4)

struct choice {
    struct completion *owner;
    uint32_t index;
    const struct tw_token_list *prompt;
    struct tw_generation generation;
    struct tw_api_parts parts;
    struct tw_completion_logprobs logprobs; /* not yet sent; without a stream: all */
    bool has_logprobs;
    size_t n_read_tokens, n_cached_tokens; /* of the prompt, so far */
    enum tw_finish finish;
    bool has_begun; /* a chunk was sent */
    int64_t last_ns;
};

struct completion {
    struct tw_api *api;
    struct tw_http_request *http;
    json_t *body; /* in it are the texts of stops, and the tools */
    const struct tw_api_served *model;
    struct tw_api_fields fields;
    struct tw_api_form form;
    struct tw_api_tools tools;
    enum tw_reasoning_state thought; /* how an answer begins */
    struct tw_completion_head head;
    struct tw_token_list *prompts; /* [n_prompts] */
    size_t n_prompts;
    struct choice *choices; /* [n_choices], those of a prompt together */
    size_t n_choices;
    int64_t arrived_ns;
    struct tw_api_tenant tenant;
    struct tw_hub_ticket ticket; /* with a hub */
    struct tw_api_admission *admission;
    struct tw_content *content; /* the same */
    struct tw_hub_line *line;   /* of a batch */
    bool is_again;              /* see api_state.h */
    bool is_awaited;            /* tw_api_is_awaited */
    struct tw_api_redaction redaction;
    struct tw_audit_sampling sampling;
    struct tw_api_gate gate;
    atomic_size_t n_open;
    atomic_bool is_cancelled;
    bool has_failed;    /* error is why; nothing more is sent of the choices */
    bool was_cancelled; /* and it is the client's, or the key's end */
    bool is_refused;    /* not all choices could be submitted: no stream has begun */
    struct tw_api_error error, refusal;
    struct tw_completion_usage usage;
    struct tw_buf chunk, whole; /* of a stream; without one */
};

static void free_completion(struct completion *completion)
{
    for (size_t i = 0; i < completion->n_prompts; i++) {
        tw_token_list_free(&completion->prompts[i]);
    }
    for (size_t i = 0; i < completion->n_choices; i++) {
        tw_api_parts_free(&completion->choices[i].parts);
        tw_completion_logprobs_free(&completion->choices[i].logprobs);
    }
    tw_mem_free(completion->prompts);
    tw_mem_free(completion->choices);
    tw_buf_free(&completion->chunk);
    tw_buf_free(&completion->whole);
    tw_api_gate_free(&completion->gate);
    tw_api_fields_free(&completion->fields);
    tw_api_form_free(&completion->form);
    tw_content_free(completion->content);
    tw_api_redaction_free(&completion->redaction);
    tw_api_admission_free(completion->admission);
    json_decref(completion->body);
    tw_mem_free(completion);
}

/* ---- the end ---- */

static const char *finish_reason(const struct choice *choice)
{
    if (choice->finish == TW_FINISH_STOP && choice->parts.n_calls > 0) {
        return "tool_calls";
    }
    return choice->finish == TW_FINISH_NONE ? NULL : tw_finish_name(choice->finish);
}

/* What bounded an answer: a budget, which the client did not ask for. */
static const char *limited_by(const struct choice *choice)
{
    const struct tw_hub_ticket *ticket = &choice->owner->ticket;
    return choice->finish == TW_FINISH_LENGTH && ticket->is_clamped ? ticket->reason : NULL;
}

static struct tw_completion_choice shown(const struct choice *choice)
{
    const struct tw_api_parts *parts = &choice->parts;
    return (struct tw_completion_choice){
        .index = choice->index,
        .reasoning = {parts->thought.data, parts->thought.size_bytes},
        .text = {parts->text.size_bytes > 0 ? parts->text.data : "", parts->text.size_bytes},
        .finish_reason = finish_reason(choice),
        .limited_by = limited_by(choice),
        .calls = parts->calls.size_bytes > 0 ? &parts->calls : NULL,
        .logprobs = choice->owner->fields.wants_logprobs ? &choice->logprobs : NULL,
    };
}

/* For headers; NULL without a hub. */
static const struct tw_hub_shown *rates_of(const struct completion *completion)
{
    return completion->api->config.hub != NULL ? &completion->ticket.shown : NULL;
}

/* Before the settlement, on the backend's thread: the hub's writer is not to wait for it. */
static void write_whole(struct completion *completion)
{
    struct tw_completion_choice *choices = tw_mem_zalloc(completion->n_choices, sizeof *choices);
    struct tw_buf *body = &completion->whole;
    body->failed = choices == NULL;
    for (size_t i = 0; choices != NULL && i < completion->n_choices; i++) {
        choices[i] = shown(&completion->choices[i]);
        body->failed = body->failed || completion->choices[i].parts.has_failed ||
                       tw_completion_logprobs_failed(&completion->choices[i].logprobs);
    }
    if (!body->failed) {
        tw_completion_json_whole(body, &completion->head, choices, completion->n_choices,
                                 &completion->usage);
    }
    body->failed = body->failed || !tw_api_redaction_restore_whole(&completion->redaction, body);
    tw_mem_free(choices);
}

static void answer_whole(struct completion *completion)
{
    tw_api_answer_completion(completion->api, completion->http, &completion->whole,
                             completion->fields.unknown, rates_of(completion));
}

static void fail(struct completion *completion, const struct tw_error *cause);

static void write_chunk(struct completion *completion)
{
    struct tw_buf *chunk = &completion->chunk;
    struct tw_error error;
    if (!completion->has_failed &&
        !tw_api_redaction_restore_events(&completion->redaction, chunk)) {
        tw_error_set(&error, TW_ERR_MEMORY, TW_NO_POSITION,
                     "no memory to put back what was replaced");
        fail(completion, &error);
    }
    if (!completion->has_failed && chunk->size_bytes > 0) {
        tw_api_gate_write(&completion->gate, chunk->data, chunk->size_bytes,
                          completion->usage.n_completion_tokens);
    }
    tw_buf_clear(chunk);
}

static void end_stream(struct completion *completion)
{
    struct tw_buf *chunk = &completion->chunk;
    if (completion->has_failed) {
        completion->has_failed = false; /* this is to be sent */
        tw_buf_append_text(chunk, "data: ");
        tw_api_write_error(chunk, &completion->error);
        tw_buf_append_text(chunk, "\n\n");
    } else if (completion->fields.include_usage) {
        tw_completion_json_chunk(chunk, &completion->head, NULL, &completion->usage, true);
    }
    tw_buf_append_text(chunk, "data: [DONE]\n\n");
    write_chunk(completion);
    tw_api_metrics_count_answer(&completion->api->metrics, 200);
    tw_http_stream_end(completion->http);
    tw_http_release(completion->http);
}

/* The answer that has most of the prompt, of several the first. */
static const struct choice *furthest(const struct choice *choices, size_t n)
{
    const struct choice *best = &choices[0];
    for (size_t i = 1; i < n; i++) {
        best = choices[i].n_read_tokens > best->n_read_tokens ? &choices[i] : best;
    }
    return best;
}

/* A prompt counts once, however many answers it has, and as far as it was read. */
static void count_prompts(const struct completion *completion, struct tw_completion_usage *usage)
{
    const size_t n = (size_t)completion->fields.n;
    for (size_t i = 0; i < completion->n_prompts; i++) {
        const struct choice *choice = furthest(&completion->choices[i * n], n);
        usage->n_prompt_tokens += choice->n_read_tokens;
        usage->n_cached_tokens += choice->n_cached_tokens;
    }
}

static void finish(struct completion *completion)
{
    struct tw_api *api = completion->api;
    if (completion->is_refused) {
        tw_api_answer_error(api, completion->http, &completion->refusal);
    } else if (completion->has_failed && !completion->fields.is_stream) {
        tw_api_answer_error(api, completion->http, &completion->error);
    } else if (completion->fields.is_stream) {
        end_stream(completion);
    } else {
        answer_whole(completion);
    }
    free_completion(completion);
}

/* A tw_hub_done_fn: what is left to send may go where it is on record. */
static void settled(void *context, struct tw_hub_ticket *ticket, enum tw_status status)
{
    struct completion *completion = context;
    struct tw_api *api = completion->api;
    const bool is_awaited = completion->is_awaited;
    (void)ticket;
    if (status == TW_OK) {
        tw_api_gate_open(&completion->gate);
    } else {
        tw_api_gate_drop(&completion->gate);
        tw_buf_clear(&completion->chunk);
        completion->has_failed = true;
        tw_api_refuse_unrecorded(&completion->error);
    }
    finish(completion);
    tw_api_met(api, is_awaited);
}

/* For the record: how it ended. */
static const char *end_name(const struct completion *completion)
{
    if (completion->is_refused || (completion->has_failed && !completion->was_cancelled)) {
        return "failed";
    }
    return completion->was_cancelled ? "cancelled" : finish_reason(&completion->choices[0]);
}

/* What is paid: what was computed for the client, also where it left before the first token, its
 * key ended or the server does. What failed on our side, or never ran, costs nothing but the tokens
 * that were sent, and their prompt. */
static struct tw_hub_usage paid(const struct completion *completion)
{
    const bool is_ours =
        completion->is_refused || (completion->has_failed && !completion->was_cancelled);
    const bool was_sent = completion->usage.n_completion_tokens > 0 &&
                          completion->fields.is_stream && !completion->is_refused;
    struct tw_hub_usage usage = {.finish = end_name(completion)};
    if (!is_ours || was_sent) {
        usage.n_prompt_tokens = completion->usage.n_prompt_tokens;
        usage.n_cached_tokens = completion->usage.n_cached_tokens;
        usage.n_answer_tokens = completion->usage.n_completion_tokens;
    }
    return usage;
}

/* One of those that n_open counts is done. */
static void drop(struct completion *completion, size_t n)
{
    if (atomic_fetch_sub(&completion->n_open, n) > n) {
        return;
    }
    count_prompts(completion, &completion->usage);
    if (completion->line == NULL) {
        tw_histogram_add(&completion->api->metrics.whole,
                         tw_clock_monotonic_ns() - completion->arrived_ns);
    }
    if (!completion->fields.is_stream && !completion->is_refused && !completion->has_failed) {
        write_whole(completion);
    }
    if (completion->api->config.hub == NULL) {
        finish(completion);
        return;
    }
    const struct tw_hub_usage usage = paid(completion);
    if (completion->line != NULL && completion->whole.size_bytes > 0) {
        tw_hub_line_answer(completion->line, &completion->whole);
    }
    tw_api_gate_end(&completion->gate);
    tw_api_expect(completion->api, completion->is_awaited);
    tw_hub_settle(completion->api->config.hub, &completion->ticket, &usage, settled, completion);
}

/* ---- what the backend calls ---- */

/* The key is good as ever, and what is sent can be put on record. */
static bool may_go_on(struct completion *completion)
{
    return tw_hub_may_go_on(&completion->tenant.caller) &&
           !tw_api_gate_has_failed(&completion->gate);
}

static enum tw_wish wish(void *context)
{
    const struct choice *choice = context;
    struct completion *completion = choice->owner;
    if (completion->is_cancelled || tw_http_is_gone(completion->http) ||
        (completion->api->config.hub != NULL && !may_go_on(completion))) {
        return TW_WISH_CANCEL;
    }
    return completion->fields.is_stream && (tw_http_pending_bytes(completion->http) > PAUSE_BYTES ||
                                            tw_api_gate_is_ahead(&completion->gate))
               ? TW_WISH_PAUSE
               : TW_WISH_GO_ON;
}

static void measure(struct choice *choice, const struct tw_output *output)
{
    struct tw_api_metrics *metrics = &choice->owner->api->metrics;
    if (choice->owner->line != NULL) {
        return; /* nobody waits for it */
    }
    int64_t now_ns = tw_clock_monotonic_ns();
    if (output->n_tokens > output->n_prompt_tokens) {
        if (choice->last_ns == 0) {
            tw_histogram_add(&metrics->first_token, now_ns - choice->owner->arrived_ns);
        } else {
            tw_histogram_add(&metrics->between_tokens, now_ns - choice->last_ns);
        }
        choice->last_ns = now_ns;
    }
    if (output->finish != TW_FINISH_NONE) {
        metrics->finished[output->finish]++;
    }
}

static void put_chunk(struct completion *completion, const struct tw_completion_choice *part)
{
    struct tw_completion_usage usage = completion->usage;
    if (completion->fields.counts_on) {
        count_prompts(completion, &usage);
    }
    tw_completion_json_chunk(&completion->chunk, &completion->head, part,
                             completion->fields.counts_on ? &usage : NULL,
                             completion->fields.include_usage);
}

/* A chat's first chunk has the role and nothing else. */
static void begin_choice(struct choice *choice)
{
    if (!choice->has_begun && choice->owner->fields.is_chat) {
        const struct tw_completion_choice part = {
            .index = choice->index, .text = {"", 0}, .has_role = true};
        put_chunk(choice->owner, &part);
    }
    choice->has_begun = true;
}

/* Sends a part. The log-probabilities of all tokens since the last one go with it. */
static void send_part(void *context, struct tw_completion_choice part)
{
    struct choice *choice = context;
    if (choice->owner->has_failed) {
        return;
    }
    part.index = choice->index;
    part.text.data = part.text.data != NULL ? part.text.data : "";
    part.logprobs = choice->has_logprobs ? &choice->logprobs : NULL;
    begin_choice(choice);
    put_chunk(choice->owner, &part);
    tw_completion_logprobs_clear(&choice->logprobs);
    choice->has_logprobs = false;
}

/* The whole answer fails with one of its choices. cause NULL: it was cancelled. */
static void fail(struct completion *completion, const struct tw_error *cause)
{
    completion->is_cancelled = true;
    if (completion->has_failed) {
        return;
    }
    completion->has_failed = true;
    completion->was_cancelled = cause == NULL && !tw_api_gate_has_failed(&completion->gate);
    if (cause == NULL && completion->api->config.hub != NULL &&
        tw_api_gate_has_failed(&completion->gate)) {
        tw_api_refuse_unrecorded(&completion->error);
    } else if (cause == NULL && completion->api->config.hub != NULL &&
               !tw_hub_may_go_on(&completion->tenant.caller)) {
        tw_api_refuse_revoked(&completion->error);
    } else {
        tw_api_refuse_failure(&completion->error, cause);
    }
}

/* A token counts as thought where the thought goes on before it or behind it. */
static void take_text(struct choice *choice, const struct tw_output *part)
{
    const bool was_thought = tw_api_parts_is_thought(&choice->parts);
    tw_api_parts_push(&choice->parts, part->text, part->text_bytes, part->finish != TW_FINISH_NONE);
    if (was_thought || tw_api_parts_is_thought(&choice->parts)) {
        choice->owner->usage.n_reasoning_tokens += part->n_tokens;
    }
}

/* What the engine made, whatever the client is shown of it. */
static void record_text(struct choice *choice, const struct tw_output *part)
{
    struct tw_content *content = choice->owner->content;
    if (content != NULL) {
        tw_content_add(content, choice->index, part->text, part->text_bytes,
                       part->n_tokens - part->n_prompt_tokens);
    }
    if (content != NULL && part->finish != TW_FINISH_NONE) {
        tw_content_end(content, choice->index, tw_finish_name(part->finish));
    }
}

static void output(void *context, const struct tw_output *output_part, size_t n_cached_tokens)
{
    struct choice *choice = context;
    struct completion *completion = choice->owner;
    measure(choice, output_part);
    if (output_part->n_read_tokens >= choice->n_read_tokens) { /* a failure knows of nothing */
        choice->n_read_tokens = output_part->n_read_tokens;
        choice->n_cached_tokens = n_cached_tokens;
    }
    completion->usage.n_completion_tokens += output_part->n_tokens - output_part->n_prompt_tokens;
    if (output_part->logprobs != NULL) {
        tw_completion_logprobs_add(&choice->logprobs, output_part, completion->fields.is_chat,
                                   tw_backend_tokenizer(completion->model->backend));
        choice->has_logprobs = true;
    }
    choice->finish = output_part->finish;
    if (choice->finish == TW_FINISH_ERROR || choice->finish == TW_FINISH_CANCELLED) {
        fail(completion, output_part->error);
    }
    /* An echoed prompt is sent whole, once all of it is scored. */
    const bool is_reading =
        choice->finish == TW_FINISH_NONE && output_part->n_tokens == output_part->n_prompt_tokens;
    if (!is_reading) {
        take_text(choice, output_part);
        record_text(choice, output_part);
    }
    if (choice->parts.has_failed && !completion->has_failed) {
        struct tw_error error;
        tw_error_set(&error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for an answer's text");
        fail(completion, &error);
    }
    if (completion->fields.is_stream && choice->finish != TW_FINISH_NONE) {
        send_part(choice, (struct tw_completion_choice){.finish_reason = finish_reason(choice),
                                                        .limited_by = limited_by(choice)});
    }
    write_chunk(completion);
    if (choice->finish != TW_FINISH_NONE) {
        drop(completion, 1);
    }
}

/* ---- making it ---- */

/* The model's, or what the key may have of it. */
static uint32_t context_of(const struct completion *completion)
{
    const uint32_t n = tw_backend_context_tokens(completion->model->backend);
    struct tw_hub *hub = completion->api->config.hub;
    const uint32_t most =
        hub != NULL ? tw_hub_max_context_tokens(hub, &completion->tenant.caller) : n;
    return n < most ? n : most;
}

static bool check_length(const struct completion *completion, struct tw_api_error *error)
{
    const uint32_t n_context = context_of(completion);
    const size_t n_least = completion->fields.generation.only_prompt ? 0 : 1;
    for (size_t i = 0; i < completion->n_prompts; i++) {
        const size_t n = completion->prompts[i].n_tokens;
        if (n == 0) {
            return tw_api_refuse(error, "prompt",
                                 "the prompt is empty: it needs at least one token");
        }
        if (n + n_least > n_context) {
            tw_api_refuse_status(error, 400, "invalid_request_error", "context_length_exceeded",
                                 "the prompt has %zu tokens; the model's context is %u tokens%s", n,
                                 n_context,
                                 n_least > 0 ? ", of which the answer needs at least one" : "");
            snprintf(error->param, sizeof error->param, "%s",
                     completion->fields.is_chat ? "messages" : "prompt");
            return false;
        }
    }
    return true;
}

/* The context may be less than what the model could do. */
static void bound_answer(const struct completion *completion, struct choice *choice)
{
    const uint64_t most = context_of(completion) - choice->prompt->n_tokens;
    uint64_t *max_tokens = &choice->generation.rules.max_tokens;
    *max_tokens = *max_tokens == 0 || *max_tokens > most ? most : *max_tokens;
}

/* A stream sends them as they come; a whole answer collects them. */
static bool check_logprobs(const struct completion *completion, struct tw_api_error *error)
{
    const struct tw_api_fields *fields = &completion->fields;
    const uint64_t most_tokens = fields->generation.rules.max_tokens;
    const uint64_t n_context = context_of(completion);
    const uint64_t n_each = 1 + (uint64_t)fields->top_logprobs;
    uint64_t n_tokens = 0;
    for (size_t i = 0; i < completion->n_prompts; i++) {
        const uint64_t n = completion->prompts[i].n_tokens, room = n_context - n;
        if (fields->is_stream && fields->echo && fields->wants_logprobs &&
            n * n_each > TW_LIMIT_API_ECHOED_LOGPROBS) {
            return tw_api_refuse(error, "logprobs",
                                 "a streamed echo is one piece, and would have %llu "
                                 "log-probabilities; at most %u. Ask for a whole answer",
                                 (unsigned long long)(n * n_each), TW_LIMIT_API_ECHOED_LOGPROBS);
        }
        n_tokens += fields->echo ? n : 0;
        if (!fields->generation.only_prompt) {
            n_tokens += most_tokens == 0 || most_tokens > room ? room : most_tokens;
        }
    }
    n_tokens *= (uint64_t)fields->n * n_each;
    return fields->is_stream || !fields->wants_logprobs || n_tokens <= TW_LIMIT_API_LOGPROBS ||
           tw_api_refuse(error, "logprobs",
                         "the answer could have %llu log-probabilities; at most %u. Ask for fewer "
                         "tokens, answers, prompts or alternatives, or for a stream",
                         (unsigned long long)n_tokens, TW_LIMIT_API_LOGPROBS);
}

static bool make_choices(struct completion *completion, struct tw_api_error *error)
{
    const size_t n = (size_t)completion->fields.n;
    if (completion->n_prompts * n > TW_LIMIT_API_CHOICES) {
        return tw_api_refuse(error, "n", "%zu prompts with %zu answers each; at most %d together",
                             completion->n_prompts, n, TW_LIMIT_API_CHOICES);
    }
    completion->choices = tw_mem_zalloc(completion->n_prompts * n, sizeof *completion->choices);
    if (completion->choices == NULL) {
        return tw_api_refuse_memory(error);
    }
    uint64_t domain;
    if (!tw_api_prefix_domain(completion->api, completion->body, &completion->tenant, &domain,
                              error)) {
        return false;
    }
    completion->n_choices = completion->n_prompts * n;
    for (size_t i = 0; i < completion->n_choices; i++) {
        struct choice *choice = &completion->choices[i];
        *choice = (struct choice){.owner = completion,
                                  .index = (uint32_t)i,
                                  .prompt = &completion->prompts[i / n],
                                  .generation = completion->fields.generation};
        choice->generation.sampling.seed += i % n;
        choice->generation.masker = completion->form.masker;
        choice->generation.tenant = completion->tenant.number;
        choice->generation.domain = domain;
        bound_answer(completion, choice);
        const struct tw_api_parts_setup setup = {
            .tool_form = completion->tools.shown != NULL ? completion->model->tool_form : NULL,
            .tools = completion->tools.shown,
            .thought = completion->thought,
            .is_parallel = completion->fields.is_parallel,
            .send = completion->fields.is_stream ? send_part : NULL,
            .context = choice};
        tw_api_parts_init(&choice->parts, &setup);
        tw_completion_logprobs_init(&choice->logprobs);
    }
    return true;
}

/* A text or a list of token ids. */
static bool add_prompt(struct completion *completion, const json_t *prompt,
                       struct tw_api_error *error)
{
    const struct tw_tokenizer *tokenizer = tw_backend_tokenizer(completion->model->backend);
    struct tw_token_list *tokens = &completion->prompts[completion->n_prompts++];
    tw_api_bound_prompt(completion->model, tokens);
    if (json_is_array(prompt)) {
        return tw_api_id_tokens(tokenizer, prompt, tokens, "prompt", error);
    }
    if (!json_is_string(prompt)) {
        return tw_api_refuse(error, "prompt",
                             "'prompt' must be a string, a list of strings, a list "
                             "of token ids, or a list of such lists");
    }
    const int flags = completion->tenant.may_use_special ? TW_ENCODE_SPECIAL : 0;
    return tw_api_text_tokens(tokenizer, prompt, true, flags, tokens, "prompt", error);
}

static bool make_text_prompts(struct completion *completion, struct tw_api_error *error)
{
    const json_t *prompt = json_object_get(completion->body, "prompt");
    const bool is_list = json_is_array(prompt) && json_array_size(prompt) > 0 &&
                         !json_is_integer(json_array_get(prompt, 0));
    const size_t n = is_list ? json_array_size(prompt) : 1;
    if (n > TW_LIMIT_API_CHOICES) {
        return tw_api_refuse(error, "prompt", "%zu prompts; at most %d in one request", n,
                             TW_LIMIT_API_CHOICES);
    }
    completion->prompts = tw_mem_zalloc(n, sizeof *completion->prompts);
    if (completion->prompts == NULL) {
        return tw_api_refuse_memory(error);
    }
    for (size_t i = 0; i < n; i++) {
        if (!add_prompt(completion, is_list ? json_array_get(prompt, i) : prompt, error)) {
            return false;
        }
    }
    return true;
}

static bool make_chat_prompt(struct completion *completion, struct tw_api_error *error)
{
    completion->prompts = tw_mem_zalloc(1, sizeof *completion->prompts);
    if (completion->prompts == NULL) {
        return tw_api_refuse_memory(error);
    }
    completion->n_prompts = 1;
    tw_api_bound_prompt(completion->model, &completion->prompts[0]);
    if (!tw_api_tools_read(&completion->tools, &completion->form, completion->body,
                           completion->model, error) ||
        !tw_api_chat_prompt(completion->model, completion->body, completion->tools.shown,
                            completion->form.wish.kind == TW_PRESCRIBED_NOTHING,
                            completion->prompts, error)) {
        return false;
    }
    completion->thought = tw_api_thought_behind(completion->model, completion->prompts);
    return true;
}

/* With echo an answer begins with its prompt, and so do its log-probabilities. */
static void echo_prompts(struct completion *completion)
{
    const struct tw_tokenizer *tokenizer = tw_backend_tokenizer(completion->model->backend);
    for (size_t i = 0; completion->fields.echo && i < completion->n_choices; i++) {
        struct choice *choice = &completion->choices[i];
        struct tw_detokenizer detokenizer;
        tw_detokenizer_init(&detokenizer, tokenizer, false);
        tw_completion_logprobs_begin(&choice->logprobs, choice->prompt->ids[0], tokenizer);
        choice->has_logprobs = completion->fields.wants_logprobs;
        for (size_t k = 0; k < choice->prompt->n_tokens; k++) {
            tw_detokenizer_push(&detokenizer, choice->prompt->ids[k], &choice->parts.text);
        }
        tw_detokenizer_finish(&detokenizer, &choice->parts.text);
    }
}

static const struct tw_generation *generation_of(const void *context, size_t answer)
{
    const struct completion *completion = context;
    return &completion->choices[answer].generation;
}

/* What the answers will be made by. */
static bool record_terms(struct completion *completion, struct tw_api_error *error)
{
    const struct tw_api_terms terms = {.model = completion->model,
                                       .prompts = completion->prompts,
                                       .n_prompts = completion->n_prompts,
                                       .n_answers = completion->n_choices,
                                       .form = &completion->form.wish,
                                       .generation = generation_of,
                                       .context = completion};
    return tw_api_content_terms(completion->content, &terms, error);
}

static bool prepare(struct completion *completion, struct tw_api_error *error)
{
    completion->model =
        tw_api_find_model(completion->api, completion->body, &completion->tenant, error);
    if (completion->model == NULL ||
        (completion->content != NULL &&
         !tw_api_content_name(completion->content, completion->body, error)) ||
        !tw_api_redaction_begin(&completion->redaction, completion->admission, completion->body,
                                error)) {
        return false; /* whom it is about is named by what the client wrote */
    }
    const bool is_chat = completion->fields.is_chat;
    if (!tw_api_fields_read(&completion->fields, is_chat, completion->body,
                            tw_backend_tokenizer(completion->model->backend), error) ||
        !tw_api_form_read(&completion->form, completion->body, error) ||
        !(is_chat ? make_chat_prompt : make_text_prompts)(completion, error) ||
        !tw_api_form_compile(&completion->form, completion->body, completion->model,
                             completion->thought == TW_REASONING_INSIDE, error) ||
        !check_length(completion, error) || !check_logprobs(completion, error) ||
        !make_choices(completion, error)) {
        return false;
    }
    if (completion->content != NULL && !record_terms(completion, error)) {
        return false;
    }
    tw_api_fields_prune(completion->body, completion->tools.shown != NULL);
    echo_prompts(completion);
    completion->head.is_chat = is_chat;
    completion->head.model = completion->model->name;
    completion->head.created_s = tw_clock_wall_ns() / TW_SECOND_NS;
    snprintf(completion->head.id, sizeof completion->head.id, "%s%.80s",
             is_chat ? "chatcmpl-" : "cmpl-", tw_http_id(completion->http));
    return true;
}

/* From here on the completion belongs to whoever drops it last. */
static void submit(struct completion *completion)
{
    struct tw_error error;
    size_t n_submitted = 0;
    enum tw_status status = TW_OK;
    completion->n_open = completion->n_choices + 1;
    while (n_submitted < completion->n_choices) {
        struct choice *choice = &completion->choices[n_submitted];
        const struct tw_job_request request = {.tokens = choice->prompt->ids,
                                               .n_tokens = choice->prompt->n_tokens,
                                               .generation = &choice->generation,
                                               .sink = {choice, wish, output}};
        status = tw_backend_submit(completion->model->backend, &request, &error);
        if (status != TW_OK) {
            break;
        }
        n_submitted++;
    }
    if (status == TW_OK && completion->fields.is_stream) {
        tw_api_begin_stream(completion->api, completion->http, completion->fields.unknown,
                            rates_of(completion));
    }
    if (status != TW_OK) {
        completion->is_cancelled = true;
        completion->is_refused = true;
        tw_api_refuse_failure(&completion->refusal, &error);
    }
    drop(completion, 1 + completion->n_choices - n_submitted);
}

/* A tw_hub_done_fn: it may have tokens, or may not. */
static void granted(void *context, struct tw_hub_ticket *ticket, enum tw_status status)
{
    struct completion *completion = context;
    struct tw_api *api = completion->api;
    const bool is_awaited = completion->is_awaited;
    struct tw_api_error error;
    if (status != TW_OK || ticket->refusal != TW_HUB_GRANTED) {
        tw_api_refuse_ticket(&error, ticket);
        tw_api_answer_refusal(api, completion->http, &error, ticket);
        free_completion(completion);
        tw_api_met(api, is_awaited);
        return;
    }
    for (size_t i = 0; i < completion->n_choices; i++) {
        uint64_t *max_tokens = &completion->choices[i].generation.rules.max_tokens;
        *max_tokens =
            *max_tokens < ticket->max_answer_tokens ? *max_tokens : ticket->max_answer_tokens;
    }
    submit(completion);
    tw_api_met(api, is_awaited);
}

/* Asks the hub first, where there is one. */
static void grant(struct completion *completion)
{
    struct tw_hub *hub = completion->api->config.hub;
    if (hub == NULL) {
        submit(completion);
        return;
    }
    struct tw_hub_request request = {
        .caller = completion->tenant.caller,
        .model = completion->model->name,
        .client_id = completion->head.id,
        .n_answers = completion->fields.generation.only_prompt ? 0 : completion->n_choices,
        .max_answer_tokens = completion->fields.generation.rules.max_tokens,
        .is_stream = completion->fields.is_stream,
        .model_digest = completion->model->digest,
        .sampling = &completion->sampling,
        .route = tw_api_admission_route(completion->admission),
        .content = completion->content,
        .line = completion->line,
        .is_again = completion->is_again,
    };
    completion->sampling = tw_api_content_sampling(&completion->choices[0].generation);
    for (size_t i = 0; i < completion->n_prompts; i++) {
        request.n_prompt_tokens += completion->prompts[i].n_tokens;
    }
    for (size_t i = 0; i < completion->n_choices; i++) {
        const uint64_t most = completion->choices[i].generation.rules.max_tokens;
        request.most_answer_tokens =
            most > request.most_answer_tokens ? most : request.most_answer_tokens;
    }
    tw_api_expect(completion->api, completion->is_awaited);
    tw_hub_reserve(hub, &completion->ticket, &request, granted, completion);
}

static void complete(struct tw_api *api, const struct tw_api_call *call, bool is_chat)
{
    struct completion *completion = tw_mem_zalloc(1, sizeof *completion);
    struct tw_api_error error;
    if (completion == NULL) {
        tw_api_refuse_memory(&error);
        tw_api_refuse_call(api, call, &error);
        return;
    }
    completion->api = api;
    completion->content = call->content;
    completion->admission = call->admission;
    completion->line = call->line;
    completion->is_again = call->is_again;
    completion->is_awaited = tw_api_is_awaited(call);
    completion->http = call->http;
    completion->body = call->body;
    completion->arrived_ns = call->arrived_ns;
    completion->tenant = call->tenant;
    completion->fields.is_chat = is_chat;
    tw_buf_init(&completion->chunk, TW_LIMIT_GENERATED_BYTES);
    tw_buf_init(&completion->whole, ANSWER_BYTES);
    tw_api_gate_init(&completion->gate, call->http, api->config.hub, &completion->ticket);
    if (prepare(completion, &error)) {
        grant(completion);
    } else {
        tw_api_answer_error(api, call->http, &error);
        free_completion(completion);
    }
}

void tw_api_chat_completions(struct tw_api *api, const struct tw_api_call *call)
{
    complete(api, call, true);
}

void tw_api_completions(struct tw_api *api, const struct tw_api_call *call)
{
    complete(api, call, false);
}
