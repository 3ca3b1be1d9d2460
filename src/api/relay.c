/* One request that another server answers, from its body to the end of its answer.
 *
 * Threads: a preparing thread makes it; the hub's writer, or that thread, sends it; from then on
 * the remote client's thread calls the sinks, one at a time, and sends it again where it may. The
 * watcher cancels and resumes calls. `lock` is held while a call is submitted and while another
 * thread has hold of it.
 */
#include "api/relay.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "api/admission.h"
#include "api/api_content.h"
#include "api/api_gate.h"
#include "api/api_refusals.h"
#include "api/fleet.h"
#include "api/relay_fallback.h"
#include "api/relay_redaction.h"
#include "api/relay_routes.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "remote/request_limits.h"
#include "remote/request_rewrite.h"
#include "remote/sse_relay.h"

struct tw_api_relay_item {
    struct tw_api *api;
    struct tw_http_request *http;
    struct tw_api_call origin; /* as it came; its parts are below */
    json_t *body;
    json_t *original; /* the body before it was redacted, to fall back; or NULL */
    struct tw_content *content;
    struct tw_api_admission *admission;
    struct tw_hub_line *line; /* of a batch */
    struct tw_api_tenant tenant;
    const char *path; /* of the endpoint */
    char client_model[TW_LIMIT_SERVED_NAME_BYTES];
    char sent_id[24];                            /* under a policy, instead of the client's */
    char answer_id[TW_LIMIT_HTTP_ID_BYTES + 16]; /* as that of a model here: the record has it */
    int64_t arrived_ns;
    struct tw_request_limits limits;
    uint64_t n_prompt_bound, n_reported_tokens;
    bool makes_answers, is_chat, wants_stream;

    struct tw_api_redaction redaction;
    struct tw_hub_ticket ticket;
    struct tw_api_gate gate;
    struct tw_rewrite_asked asked;

    struct tw_api_trip trip;
    const struct tw_api_remote *remote; /* NULL: it was never sent */
    pthread_mutex_t lock;               /* of call */
    struct tw_remote_call *call;        /* NULL: none runs */
    struct tw_remote_head head;
    struct tw_sse_relay stream;
    struct tw_answer_seen seen;    /* of a whole answer; of a stream the stream's */
    struct tw_buf received, chunk; /* of a whole answer or a refusal; what is passed on */
    bool has_answered;             /* the server: its answer began, and is no refusal or error */
    bool is_abandoned;             /* a server was at it when the client, or its key, was gone */
    bool has_begun;                /* to the client */
    bool has_failed;
    bool falls_back;       /* another model may do it */
    bool is_odd;           /* what came is no answer to what was asked */
    bool is_beyond;        /* the server counted more than was reserved */
    atomic_bool is_paused; /* the call waits until the client has read */
    atomic_bool has_left;  /* the client, or its key's end */
    struct tw_api_error error;
    struct tw_api_relay_item *previous, *next; /* in the list of those that are watched */
};

static void free_item(struct tw_api_relay_item *item)
{
    tw_sse_relay_free(&item->stream);
    tw_buf_free(&item->received);
    tw_buf_free(&item->chunk);
    tw_api_gate_free(&item->gate);
    tw_content_free(item->content);
    tw_api_redaction_free(&item->redaction);
    tw_api_trip_free(&item->trip);
    tw_api_admission_free(item->admission);
    json_decref(item->body);
    json_decref(item->original);
    pthread_mutex_destroy(&item->lock);
    tw_mem_free(item);
}

static const struct tw_answer_seen *seen_of(const struct tw_api_relay_item *item)
{
    return item->has_begun || item->head.is_stream ? &item->stream.seen : &item->seen;
}

static const struct tw_hub_shown *rates_of(const struct tw_api_relay_item *item)
{
    return item->api->config.hub != NULL ? &item->ticket.shown : NULL;
}

/* ---- servers ---- */

static const struct tw_api_remote_model *model_of(const struct tw_api_remote *remote,
                                                  const char *name)
{
    for (size_t i = 0; i < remote->n_models; i++) {
        if (strcmp(remote->models[i].name, name) == 0) {
            return &remote->models[i];
        }
    }
    return NULL;
}

bool tw_api_remote_has(const struct tw_api_remote *remote, const char *model)
{
    return model_of(remote, model) != NULL;
}

bool tw_api_relay_takes(struct tw_api *api, const json_t *body)
{
    const char *name = json_string_value(json_object_get(body, "model"));
    struct tw_api_fleet *fleet = tw_api_fleet_take(api);
    bool is_there = false;
    for (size_t i = 0; name != NULL && !is_there && i < fleet->remotes.n_items; i++) {
        is_there = model_of(&fleet->remotes.items[i], name) != NULL;
    }
    tw_api_fleet_drop(fleet);
    return is_there;
}

/* ---- the end ---- */

static void end_stream(struct tw_api_relay_item *item)
{
    struct tw_buf *chunk = &item->chunk;
    if (item->has_failed) {
        tw_buf_clear(chunk);
        tw_buf_append_text(chunk, "data: ");
        tw_api_write_error(chunk, &item->error);
        tw_buf_append_text(chunk, "\n\ndata: [DONE]\n\n");
    }
    if (chunk->size_bytes > 0) {
        tw_http_stream_write(item->http, chunk->data, chunk->size_bytes);
    }
    tw_api_metrics_count_answer(&item->api->metrics, 200);
    tw_http_stream_end(item->http);
    tw_http_release(item->http);
}

/* Whether another model does it. */
static bool fall_back(struct tw_api_relay_item *item)
{
    json_t **body = item->original != NULL ? &item->original : &item->body;
    if (!item->falls_back ||
        !tw_api_fall_back(item->api, &item->origin, *body,
                          tw_api_trip_floor(&item->trip, item->api, item->admission))) {
        return false;
    }
    *body = NULL; /* the other call's */
    return true;
}

static void finish(struct tw_api_relay_item *item)
{
    item->origin.is_again = true;
    if (item->falls_back && !item->has_left && fall_back(item)) {
        free_item(item);
        return;
    }
    if (item->has_begun) {
        end_stream(item);
    } else if (item->has_failed) {
        tw_api_answer_error(item->api, item->http, &item->error);
    } else {
        tw_api_answer_completion(item->api, item->http, &item->chunk, item->asked.left_out,
                                 rates_of(item));
    }
    free_item(item);
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t reserved_answer_tokens(const struct tw_api_relay_item *item)
{
    return item->ticket.max_answer_tokens * item->limits.n_answers;
}

/* A server that counts more than was reserved: what of it is paid hangs on the budgets. */
static void note_beyond(const struct tw_api_relay_item *item)
{
    const struct tw_api_relay_note note = {
        .request_id = tw_http_id(item->http),
        .sent_id = item->sent_id,
        .backend = item->remote->name,
        .what = "a backend counts more tokens than were reserved for the request",
        .detail = "",
        .n_reserved_tokens = item->n_prompt_bound + reserved_answer_tokens(item),
        .n_reported_tokens = item->n_reported_tokens,
        .n_unpaid_tokens = item->n_reported_tokens - item->ticket.n_paid_tokens};
    if (item->api->config.relay_note != NULL) {
        item->api->config.relay_note(&note);
    }
}

/* A tw_hub_done_fn: what is left to send may go where it is on record. */
static void settled(void *context, struct tw_hub_ticket *ticket, enum tw_status status)
{
    struct tw_api_relay_item *item = context;
    (void)ticket;
    if (item->is_beyond) {
        note_beyond(item);
    }
    if (status == TW_OK) {
        tw_api_gate_open(&item->gate);
    } else {
        tw_api_gate_drop(&item->gate);
        item->has_failed = true;
        item->falls_back = false;
        tw_api_refuse_unrecorded(&item->error);
    }
    finish(item);
}

/* What came of the answer, where the server does not say how many tokens that is. Beyond what was
 * reserved nothing can be guessed. Of a whole answer that is not all there, its bytes bound it. */
static uint64_t guessed_tokens(const struct tw_api_relay_item *item)
{
    const struct tw_answer_seen *seen = seen_of(item);
    const uint64_t n = item->head.is_stream  ? seen->n_deltas
                       : seen->n_objects > 0 ? seen->n_text_bytes
                       : item->is_abandoned  ? item->received.size_bytes
                                             : 0;
    return item->api->config.hub != NULL ? least(n, reserved_answer_tokens(item)) : n;
}

/* Of the answer so far: what the server said last of all of it, or the most that is known. */
static uint64_t answer_tokens(const struct tw_api_relay_item *item)
{
    const struct tw_answer_usage *usage = &seen_of(item)->usage;
    if (item->limits.n_answers == 0) {
        return 0;
    }
    if (usage->is_last && usage->n_completion_tokens > 0) {
        return usage->n_completion_tokens;
    }
    const uint64_t n_guessed = guessed_tokens(item);
    return usage->n_completion_tokens > n_guessed ? usage->n_completion_tokens : n_guessed;
}

static const char *end_name(const struct tw_api_relay_item *item)
{
    static const char *const names[] = {
        [TW_ANSWER_GOES_ON] = "stop",          [TW_ANSWER_STOP] = "stop",
        [TW_ANSWER_LENGTH] = "length",         [TW_ANSWER_TOOL_CALLS] = "tool_calls",
        [TW_ANSWER_FILTER] = "content_filter", [TW_ANSWER_OTHER] = "other"};
    if (item->has_left) {
        return "cancelled";
    }
    return item->has_failed ? "failed" : names[seen_of(item)->finish[0]];
}

/* What a server counts, but no more than its context can hold of it: then it says something else
 * than how many tokens there are. */
static uint64_t believed(const struct tw_api_relay_item *item, uint64_t n_reported,
                         uint64_t n_bound, uint64_t n_texts)
{
    const struct tw_api_remote_model *model = model_of(item->remote, item->client_model);
    const uint64_t n_most = n_texts * model->n_context_tokens;
    return least(n_reported, n_most > n_bound ? n_most : n_bound);
}

/* What a server has begun to answer is paid, whoever ended it: it will ask for it. So is the prompt
 * where the client did not wait for the answer, or lost its key: the server has computed it. */
static struct tw_hub_usage paid(struct tw_api_relay_item *item)
{
    const struct tw_answer_usage *said = &seen_of(item)->usage;
    struct tw_hub_usage usage = {.finish = end_name(item)};
    if (!item->has_answered && !item->is_abandoned) {
        return usage;
    }
    const uint64_t n_reserved = reserved_answer_tokens(item), n_answer = answer_tokens(item);
    usage.n_prompt_tokens = said->is_known ? believed(item, said->n_prompt_tokens,
                                                      item->n_prompt_bound, item->limits.n_prompts)
                                           : item->n_prompt_bound;
    usage.n_cached_tokens = least(said->n_cached_tokens, usage.n_prompt_tokens);
    usage.n_answer_tokens = believed(item, n_answer, n_reserved, item->limits.n_answers);
    item->n_reported_tokens =
        (said->is_known ? said->n_prompt_tokens : item->n_prompt_bound) + n_answer;
    item->is_beyond = usage.n_prompt_tokens > item->n_prompt_bound || n_answer > n_reserved ||
                      (said->is_known && said->n_prompt_tokens > usage.n_prompt_tokens);
    return usage;
}

static void unwatch(struct tw_api_relay_item *item)
{
    struct tw_api *api = item->api;
    pthread_mutex_lock(&api->relays.lock);
    *(item->previous != NULL ? &item->previous->next : &api->relays.first) = item->next;
    if (item->next != NULL) {
        item->next->previous = item->previous;
    }
    pthread_mutex_unlock(&api->relays.lock);
}

/* Nothing of it runs any more. */
static void end(struct tw_api_relay_item *item)
{
    unwatch(item);
    tw_histogram_add(&item->api->metrics.whole, tw_clock_monotonic_ns() - item->arrived_ns);
    if (item->api->config.hub == NULL) {
        finish(item);
        return;
    }
    if (item->content != NULL) {
        tw_content_end(item->content, 0, end_name(item));
    }
    const struct tw_hub_usage usage = paid(item);
    if (item->line != NULL && !item->has_begun && !item->has_failed) {
        tw_hub_line_answer(item->line, &item->chunk);
    }
    tw_api_gate_end(&item->gate);
    tw_hub_settle(item->api->config.hub, &item->ticket, &usage, settled, item);
}

/* ---- what went wrong, in our words ---- */

/* For the log alone. */
static void note(const struct tw_api_relay_item *item, const char *what, const char *detail,
                 int status)
{
    const struct tw_api_relay_note note = {.request_id = tw_http_id(item->http),
                                           .sent_id = item->sent_id,
                                           .backend = item->remote->name,
                                           .what = what,
                                           .detail = detail,
                                           .status = status};
    if (item->api->config.relay_note != NULL) {
        item->api->config.relay_note(&note);
    }
}

/* What it says of the request goes to the client, what it says of itself into the log. */
static void refuse_status(struct tw_api_relay_item *item, int status)
{
    struct tw_answer_error said;
    struct tw_api_error *error = &item->error;
    const char *name = item->remote->entry;
    tw_answer_scan_error(item->received.size_bytes > 0 ? item->received.data : "",
                         item->received.size_bytes, &said);
    if (status >= 400 && status < 500 && status != 401 && status != 403 && status != 404 &&
        status != 408 && status != 429) {
        tw_api_refuse_status(error, status, "invalid_request_error", NULL, "%s", said.text);
        snprintf(error->param, sizeof error->param, "%.90s", said.param);
        return;
    }
    note(item, "a backend refused a request", said.text, status);
    if (status == 401 || status == 403) {
        tw_api_refuse_status(error, 502, "server_error", "backend_refused_us",
                             "the server '%.60s' does not take our key", name);
    } else if (status == 404) {
        tw_api_refuse_status(error, 502, "server_error", "backend_lacks_model",
                             "the server '%.60s' does not have the model", name);
    } else if (status == 408) {
        tw_api_refuse_status(error, 504, "server_error", "backend_timed_out",
                             "the server '%.60s' did not get the request in time", name);
    } else if (status == 429 || status == 503) {
        tw_api_refuse_status(error, 429, "rate_limit_error", "backend_busy",
                             "the server '%.60s' has too much to do; try again later", name);
    } else {
        tw_api_refuse_status(error, 502, "server_error", "backend_failed",
                             "the server '%.60s' failed with status %d", name, status);
    }
}

static void refuse_connection(struct tw_api_relay_item *item, const struct tw_remote_result *result)
{
    static const char *const sentences[TW_REMOTE_END_COUNT] = {
        [TW_REMOTE_NOT_CONNECTED] = "cannot be reached",
        [TW_REMOTE_NOT_TRUSTED] = "does not prove that it is the one we trust",
        [TW_REMOTE_NO_ANSWER] = "did not answer in time",
        [TW_REMOTE_STALLED] = "began to answer and then sent nothing in time",
        [TW_REMOTE_CUT] = "ended the connection before its answer",
        [TW_REMOTE_MALFORMED] = "sent what is no answer",
        [TW_REMOTE_UNUSABLE] = "cannot be asked now",
    };
    const char *sentence = sentences[result->end];
    const bool is_late = result->end == TW_REMOTE_NO_ANSWER || result->end == TW_REMOTE_STALLED;
    note(item, "a backend failed a request", result->reason, result->status);
    tw_api_refuse_status(&item->error, is_late ? 504 : 502, "server_error",
                         is_late ? "backend_timed_out" : "backend_failed", "the server '%.60s' %s",
                         item->remote->entry, sentence != NULL ? sentence : "failed");
}

static void refuse_result(struct tw_api_relay_item *item, const struct tw_remote_result *result)
{
    struct tw_api_error *error = &item->error;
    if (item->has_left && item->api->config.hub != NULL &&
        !tw_hub_may_go_on(&item->tenant.caller)) {
        tw_api_refuse_revoked(error);
    } else if (tw_api_gate_has_failed(&item->gate)) {
        tw_api_refuse_unrecorded(error);
    } else if (result->end == TW_REMOTE_REFUSED) {
        refuse_status(item, result->status);
    } else if (result->end == TW_REMOTE_CANCELLED && !item->is_odd) {
        tw_api_refuse_status(error, 503, "server_error", NULL, "the server is shutting down");
    } else if (item->is_odd || result->end == TW_REMOTE_WHOLE) {
        const struct tw_answer_error *said = &seen_of(item)->error;
        note(item, "a backend did not answer as it should",
             said->is_there ? said->text : "its answer has no end", result->status);
        tw_api_refuse_status(error, 502, "server_error", "backend_failed",
                             "the server '%.60s' did not answer as it should", item->remote->entry);
    } else {
        refuse_connection(item, result);
    }
}

/* ---- what the remote client calls ---- */

static bool may_go_on(struct tw_api_relay_item *item)
{
    return !tw_http_is_gone(item->http) &&
           (item->api->config.hub == NULL ||
            (tw_hub_may_go_on(&item->tenant.caller) && !tw_api_gate_has_failed(&item->gate)));
}

/* Whether the client has so much to read that no more should come. */
static bool is_ahead(struct tw_api_relay_item *item)
{
    return item->has_begun && (tw_http_pending_bytes(item->http) > TW_LIMIT_RELAY_PAUSE_BYTES ||
                               tw_api_gate_is_ahead(&item->gate));
}

static void take_head(void *context, const struct tw_remote_head *head)
{
    struct tw_api_relay_item *item = context;
    item->head = *head;
}

static void pass_on(struct tw_api_relay_item *item)
{
    struct tw_buf *chunk = &item->chunk;
    if (chunk->size_bytes == 0) {
        return;
    }
    if (!item->has_begun) {
        item->has_begun = true;
        tw_histogram_add(&item->api->metrics.first_token,
                         tw_clock_monotonic_ns() - item->arrived_ns);
        tw_api_begin_stream(item->api, item->http, item->asked.left_out, rates_of(item));
    }
    if (item->content != NULL) {
        tw_content_add_hashed(item->content, 0, chunk->data, chunk->size_bytes);
    }
    tw_api_gate_write(&item->gate, chunk->data, chunk->size_bytes, answer_tokens(item));
    tw_buf_clear(chunk);
}

static enum tw_remote_take take_events(struct tw_api_relay_item *item, const char *bytes,
                                       size_t n_bytes)
{
    struct tw_error error;
    if (tw_sse_relay_push(&item->stream, bytes, n_bytes, &item->chunk, &error) != TW_OK ||
        !tw_api_redaction_restore_events(&item->redaction, &item->chunk)) {
        item->is_odd = true;
        return TW_REMOTE_STOP;
    }
    pass_on(item);
    item->has_answered = item->stream.seen.n_objects > 0;
    item->is_odd = item->stream.seen.error.is_there;
    return item->is_odd ? TW_REMOTE_STOP : item->stream.is_done ? TW_REMOTE_LAST : TW_REMOTE_TAKEN;
}

static enum tw_remote_take take_body(void *context, const char *bytes, size_t n_bytes)
{
    struct tw_api_relay_item *item = context;
    if (!may_go_on(item)) {
        item->has_left = true;
        return TW_REMOTE_STOP;
    }
    if (item->head.status / 100 == 2 && item->head.is_stream) {
        tw_api_trip_first(&item->trip, item->api);
    }
    item->is_paused = is_ahead(item);
    if (item->is_paused) {
        return TW_REMOTE_PAUSE;
    }
    if (item->head.status / 100 != 2) {
        const size_t room = TW_LIMIT_REMOTE_REFUSAL_BYTES - item->received.size_bytes;
        tw_buf_append(&item->received, bytes, n_bytes < room ? n_bytes : room);
        return TW_REMOTE_TAKEN;
    }
    if (item->head.is_stream != item->asked.is_stream) {
        item->is_odd = true; /* nothing of it is for the client */
        return TW_REMOTE_STOP;
    }
    if (item->head.is_stream) {
        return take_events(item, bytes, n_bytes);
    }
    item->has_answered = true;
    tw_buf_append(&item->received, bytes, n_bytes);
    item->is_odd = item->received.failed;
    return item->is_odd ? TW_REMOTE_STOP : TW_REMOTE_TAKEN;
}

/* Whether its cache is that of all our tenants, who are not to see what others left there. */
static bool hides_cached(const struct tw_api_relay_item *item)
{
    return !item->remote->kind->takes_salt && !item->remote->shares_prefixes &&
           !item->api->config.shares_prefixes && item->tenant.number != 0;
}

/* Whether all of an answer is there, of the kind that was asked for. */
static bool is_complete(struct tw_api_relay_item *item)
{
    struct tw_error error;
    if (item->head.is_stream) {
        const bool is_read = tw_sse_relay_end(&item->stream, &item->chunk, &error) == TW_OK &&
                             tw_api_redaction_restore_events(&item->redaction, &item->chunk) &&
                             item->stream.is_done;
        pass_on(item);
        return is_read;
    }
    const struct tw_answer_terms terms = {.model = item->client_model,
                                          .id = item->answer_id,
                                          .usage = TW_USAGE_ALL,
                                          .hides_cached = hides_cached(item)};
    const bool is_whole =
        tw_answer_scan_whole(item->received.size_bytes > 0 ? item->received.data : "",
                             item->received.size_bytes, &terms, &item->seen, &item->chunk) &&
        tw_api_redaction_restore_whole(&item->redaction, &item->chunk);
    if (is_whole && item->content != NULL) {
        tw_content_add_hashed(item->content, 0, item->chunk.data, item->chunk.size_bytes);
    }
    item->has_answered = item->has_answered && is_whole;
    return is_whole && !item->chunk.failed;
}

static void send_to(struct tw_api_relay_item *item, const struct tw_api_remote *remote);

/* What it says of the server. */
static enum tw_outcome outcome_of(const struct tw_remote_result *result, bool is_whole, bool is_odd,
                                  bool is_late)
{
    if (is_whole || is_odd) {
        return is_odd ? TW_OUTCOME_FAILURE : TW_OUTCOME_SUCCESS;
    }
    if (result->end == TW_REMOTE_CANCELLED || result->end == TW_REMOTE_UNUSABLE) {
        return TW_OUTCOME_NONE;
    }
    if (result->end == TW_REMOTE_REFUSED) {
        const int status = result->status;
        const bool is_ill = (status >= 500 && status != 501) || status == 401 || status == 403 ||
                            status == 408 || status == 429;
        return is_ill ? TW_OUTCOME_FAILURE : TW_OUTCOME_NONE; /* or any client could break it */
    }
    return is_late ? TW_OUTCOME_NONE : TW_OUTCOME_FAILURE;
}

static void take_end(void *context, const struct tw_remote_result *result)
{
    struct tw_api_relay_item *item = context;
    pthread_mutex_lock(&item->lock); /* a call that ends at once has not been given to us yet */
    tw_remote_call_release(item->call);
    item->call = NULL;
    pthread_mutex_unlock(&item->lock);
    tw_api_relays_count(item->api, item->is_odd ? TW_REMOTE_MALFORMED : result->end);
    const bool is_whole = result->end == TW_REMOTE_WHOLE && !item->is_odd && is_complete(item);
    /* A whole answer that takes long is long, here as anywhere. */
    const bool is_late = result->end == TW_REMOTE_NO_ANSWER && !item->asked.is_stream;
    tw_api_trip_end(&item->trip, item->api, outcome_of(result, is_whole, item->is_odd, is_late));
    item->has_left = !is_whole && (item->has_left || !may_go_on(item));
    item->is_abandoned = item->has_left && result->end == TW_REMOTE_CANCELLED && !item->is_odd &&
                         result->was_asked &&
                         (item->head.status == 0 || item->head.status / 100 == 2);
    if (!is_whole && !item->has_left && result->may_retry && !item->has_begun && !is_late) {
        enum tw_route_verdict verdict;
        const struct tw_api_remote *next =
            tw_api_trip_ride(&item->trip, item->api, item->admission, &verdict);
        if (next != NULL) {
            note(item, "a backend failed a request, which goes to another one", result->reason,
                 result->status);
            tw_buf_clear(&item->received);
            item->head = (struct tw_remote_head){0};
            send_to(item, next);
            return;
        }
        item->falls_back = true;
    }
    if (!is_whole) {
        item->has_failed = true;
        refuse_result(item, result);
    }
    end(item);
}

/* ---- sending it ---- */

/* What is said of each choice alone tells nothing of the other prompts. */
static bool counts_on(const struct tw_api_relay_item *item)
{
    const struct tw_server_kind *kind = item->remote->kind;
    return kind->counts_on && (!kind->counts_each || item->limits.n_prompts == 1);
}

static bool write_request(struct tw_api_relay_item *item, struct tw_buf *out,
                          struct tw_error *error)
{
    const struct tw_api_remote_model *model = model_of(item->remote, item->client_model);
    char salt[24];
    /* Ends in what no number has: some servers put the text behind it. */
    snprintf(salt, sizeof salt, "tenant-%u/", item->tenant.number);
    const bool has_salt = item->remote->kind->takes_salt && !item->remote->shares_prefixes &&
                          !item->api->config.shares_prefixes && item->tenant.number != 0;
    const bool is_bounded = item->api->config.hub != NULL &&
                            (item->ticket.is_clamped || item->limits.n_answer_tokens != 0 ||
                             item->ticket.max_answer_tokens < model->n_context_tokens);
    const struct tw_rewrite_terms terms = {
        .model = model->upstream,
        .n_answer_tokens = !item->makes_answers                ? 0
                           : is_bounded                        ? item->ticket.max_answer_tokens
                           : item->limits.n_answer_tokens != 0 ? item->limits.n_answer_tokens
                                                               : TW_REWRITE_NO_LIMIT,
        .n_answers = item->limits.n_answers,
        .is_chat = item->is_chat,
        .counts_on = counts_on(item),
        .kind = item->remote->kind,
        .passed = item->remote->passed,
        .n_passed = item->remote->n_passed,
        .cache_salt = has_salt ? salt : NULL};
    return tw_request_rewrite(item->body, &terms, &item->asked, out, error) == TW_OK;
}

/* What it cannot do for anybody is the client's to change; the rest passes. */
static bool refuse_route(const struct tw_api_relay_item *item, struct tw_api_error *error,
                         enum tw_route_verdict verdict)
{
    const char *code = verdict == TW_ROUTE_NO_ABILITY   ? "not_supported"
                       : verdict == TW_ROUTE_NO_CONTEXT ? "context_length_exceeded"
                                                        : NULL;
    if (verdict == TW_ROUTE_NO_ABILITY) {
        return tw_api_refuse_status(
            error, 400, "invalid_request_error", code,
            "no backend of the model '%.60s' that may be used can do what the request asks for: %s",
            item->client_model,
            tw_server_ability_name(tw_api_trip_lacks(&item->trip, item->api, item->admission)));
    }
    if (code != NULL) {
        return tw_api_refuse_status(error, 400, "invalid_request_error", code, "no backend %s",
                                    tw_route_verdict_text(verdict));
    }
    return tw_api_refuse_status(error, 503, "server_error", "no_backend", "no backend %s",
                                tw_route_verdict_text(verdict));
}

/* To a server that the trip rides to. */
static void send_to(struct tw_api_relay_item *item, const struct tw_api_remote *remote)
{
    struct tw_api *api = item->api;
    struct tw_buf body;
    struct tw_error error;
    item->remote = remote;
    item->admission->route.backend = item->remote->name;
    item->admission->route.zone = item->remote->zone;
    tw_buf_init(&body, TW_LIMIT_HTTP_BODY_BYTES * 2);
    bool is_sent = write_request(item, &body, &error);
    if (is_sent) {
        const struct tw_answer_terms terms = {.model = item->client_model,
                                              .id = item->answer_id,
                                              .usage = item->asked.usage,
                                              .counts_each = counts_on(item) &&
                                                             item->remote->kind->counts_each,
                                              .hides_cached = hides_cached(item)};
        tw_sse_relay_free(&item->stream);
        tw_sse_relay_init(&item->stream, &terms);
        const struct tw_remote_request request = {
            .backend = item->remote->backend,
            .path = item->path,
            .body = &body,
            .request_id = item->sent_id[0] != '\0' ? item->sent_id : tw_http_id(item->http),
            .sink = {item, take_head, take_body, take_end}};
        pthread_mutex_lock(&item->lock);
        is_sent =
            tw_remote_submit(api->config.remote_client, &request, &item->call, &error) == TW_OK;
        pthread_mutex_unlock(&item->lock);
    }
    if (!is_sent) {
        tw_api_trip_end(&item->trip, api, TW_OUTCOME_NONE);
        tw_buf_free(&body);
        item->has_failed = true;
        tw_api_refuse_failure(&item->error, error.status == TW_ERR_USAGE ? NULL : &error);
        if (error.status == TW_ERR_USAGE) {
            tw_api_refuse(&item->error, NULL, "%s", error.text);
        }
        end(item);
    }
}

static void watch(struct tw_api_relay_item *item)
{
    struct tw_api *api = item->api;
    pthread_mutex_lock(&api->relays.lock);
    item->next = api->relays.first;
    if (item->next != NULL) {
        item->next->previous = item;
    }
    api->relays.first = item;
    pthread_mutex_unlock(&api->relays.lock);
}

static void wake_watcher(struct tw_api *api)
{
    pthread_mutex_lock(&api->relays.lock);
    pthread_cond_signal(&api->relays.wake);
    pthread_mutex_unlock(&api->relays.lock);
}

/* Whether servers could do it, but not now. */
static bool is_ill(enum tw_route_verdict verdict)
{
    return verdict >= TW_ROUTE_DRAINING && verdict < TW_ROUTE_FOUND;
}

static void start(void *context)
{
    struct tw_api_relay_item *item = context;
    enum tw_route_verdict verdict;
    watch(item);
    const struct tw_api_remote *first =
        tw_api_trip_ride(&item->trip, item->api, item->admission, &verdict);
    if (first != NULL) {
        struct tw_api *api = item->api;
        send_to(item, first);
        wake_watcher(api); /* the request is on its way, and the item may be gone */
        return;
    }
    item->has_failed = true;
    item->falls_back = is_ill(verdict);
    refuse_route(item, &item->error, verdict);
    end(item);
}

/* A tw_hub_done_fn. */
static void granted(void *context, struct tw_hub_ticket *ticket, enum tw_status status)
{
    struct tw_api_relay_item *item = context;
    struct tw_api_error error;
    if (status == TW_OK && ticket->refusal == TW_HUB_GRANTED) {
        tw_api_run(item->api, &item->tenant, start, item); /* the writer is not to wait for it */
        return;
    }
    tw_api_refuse_ticket(&error, ticket);
    tw_api_answer_refusal(item->api, item->http, &error, ticket);
    free_item(item);
}

static void grant(struct tw_api_relay_item *item)
{
    struct tw_hub *hub = item->api->config.hub;
    enum tw_route_verdict verdict;
    struct tw_api_error error;
    const struct tw_api_remote *first =
        tw_api_trip_next(&item->trip, item->api, item->admission, &verdict);
    if (first == NULL) {
        item->falls_back = is_ill(verdict);
        if (fall_back(item)) {
            free_item(item);
            return;
        }
        refuse_route(item, &error, verdict);
        tw_api_answer_error(item->api, item->http, &error);
        free_item(item);
        return;
    }
    const struct tw_api_remote_model *model = model_of(first, item->client_model);
    if (hub == NULL) {
        start(item);
        return;
    }
    const struct tw_hub_request request = {.caller = item->tenant.caller,
                                           .model = item->client_model,
                                           .client_id = tw_http_id(item->http),
                                           .n_prompt_tokens = item->n_prompt_bound,
                                           .n_answers = item->limits.n_answers,
                                           .max_answer_tokens = item->limits.n_answer_tokens,
                                           .most_answer_tokens =
                                               item->makes_answers ? model->n_context_tokens : 0,
                                           .is_stream = item->wants_stream,
                                           .route = &item->admission->route,
                                           .content = item->content,
                                           .line = item->line,
                                           .is_again = item->origin.is_again};
    tw_hub_reserve(hub, &item->ticket, &request, granted, item);
}

/* ---- reading it ---- */

static bool read_limits(struct tw_api_relay_item *item, struct tw_api_error *error)
{
    struct tw_error cause;
    const char *member;
    return tw_request_limits_read(item->body, item->makes_answers, &item->limits, &member,
                                  &cause) == TW_OK ||
           tw_api_refuse(error, member, "%s", cause.text);
}

/* No tokenizer makes more tokens than bytes of a text, and JSON has more bytes around a message
 * than a template puts tokens there. Of other parts nobody knows. */
static uint64_t bound_prompt(const json_t *body, const struct tw_request_limits *limits)
{
    return json_dumpb(body, NULL, 0, JSON_COMPACT | JSON_ENCODE_ANY) +
           limits->n_unread_parts * TW_LIMIT_REMOTE_PART_TOKENS;
}

static bool begin_trip(struct tw_api_relay_item *item)
{
    const struct tw_api_trip_terms terms = {.body = item->body,
                                            .model = item->client_model,
                                            .tenant = &item->tenant,
                                            .makes_answers = item->makes_answers,
                                            .n_answer_tokens = item->limits.n_answer_tokens,
                                            .n_answers = item->limits.n_answers};
    return tw_api_trip_begin(&item->trip, item->api, &terms);
}

/* A client may write into its id what no detector looks for there, and where a policy counts it
 * stays here: servers know the request by another one, that the log has beside it. */
static void choose_id(struct tw_api_relay_item *item)
{
    const char *id = tw_http_id(item->http);
    snprintf(item->answer_id, sizeof item->answer_id, "%s-%s", item->is_chat ? "chatcmpl" : "cmpl",
             id);
    if (tw_api_admission_policy(item->admission) != NULL) {
        snprintf(item->sent_id, sizeof item->sent_id, "tw_%016llx",
                 (unsigned long long)tw_hash_of(id, strlen(id), item->api->seed));
    }
}

static bool prepare(struct tw_api_relay_item *item, struct tw_api_error *error)
{
    const char *name = json_string_value(json_object_get(item->body, "model"));
    const struct tw_api *api = item->api;
    if (api->config.hub != NULL &&
        !tw_hub_may_use_model(api->config.hub, &item->tenant.caller, name)) {
        tw_api_refuse_status(
            error, 404, "invalid_request_error", "model_not_found",
            "there is no model '%.100s' here; GET /v1/models lists those there are", name);
        return false;
    }
    snprintf(item->client_model, sizeof item->client_model, "%s", name);
    item->makes_answers = strcmp(item->path, "/v1/embeddings") != 0;
    item->is_chat = strcmp(item->path, "/v1/chat/completions") == 0;
    choose_id(item);
    const json_t *stream = json_object_get(item->body, "stream");
    if (stream != NULL && !json_is_boolean(stream) && !json_is_null(stream)) {
        return tw_api_refuse(error, "stream", "'stream' must be true or false");
    }
    item->wants_stream = json_is_true(stream);
    if (!read_limits(item, error) ||
        (item->content != NULL && !tw_api_content_name(item->content, item->body, error))) {
        return false; /* whom it is about is named by what the client wrote */
    }
    if (item->admission->redact != 0 && tw_api_has_fallbacks(api, &item->origin)) {
        item->original = json_deep_copy(item->body);
        if (item->original == NULL) {
            return tw_api_refuse_memory(error);
        }
    }
    if (!tw_api_redaction_begin(&item->redaction, item->admission, item->body, error)) {
        return false;
    }
    item->n_prompt_bound = bound_prompt(item->body, &item->limits);
    return (begin_trip(item) || tw_api_refuse_memory(error)) &&
           (item->content == NULL || tw_api_content_begin(item->content, 1, error));
}

void tw_api_relay(struct tw_api *api, const struct tw_api_call *call)
{
    struct tw_api_relay_item *item = tw_mem_zalloc(1, sizeof *item);
    struct tw_api_error error;
    if (item == NULL) {
        tw_api_refuse_memory(&error);
        tw_api_refuse_call(api, call, &error);
        return;
    }
    item->api = api;
    item->http = call->http;
    item->body = call->body;
    item->content = call->content;
    item->admission = call->admission;
    item->line = call->line;
    item->tenant = call->tenant;
    item->arrived_ns = call->arrived_ns;
    item->path = call->route->path;
    item->origin = *call;
    pthread_mutex_init(&item->lock, NULL);
    tw_buf_init(&item->received, TW_LIMIT_REMOTE_ANSWER_BYTES);
    tw_buf_init(&item->chunk, TW_LIMIT_REMOTE_ANSWER_BYTES);
    tw_api_gate_init(&item->gate, call->http, api->config.hub, &item->ticket);
    if (prepare(item, &error)) {
        grant(item);
    } else {
        tw_api_answer_error(api, item->http, &error);
        free_item(item);
    }
}

/* ---- clients that leave, or do not read ---- */

static void look_after(struct tw_api_relay_item *item)
{
    const bool goes_on = may_go_on(item);
    pthread_mutex_lock(&item->lock);
    if (item->call != NULL && !goes_on) {
        item->has_left = true;
        tw_remote_cancel(item->call);
    } else if (item->call != NULL && item->is_paused && !is_ahead(item)) {
        tw_remote_resume(item->call); /* again, until it has: it may come before the pause */
    }
    pthread_mutex_unlock(&item->lock);
}

static void *watch_all(void *context)
{
    struct tw_api *api = context;
    struct tw_api_relays *relays = &api->relays;
    pthread_mutex_lock(&relays->lock);
    while (!relays->stops) {
        if (relays->first == NULL) {
            pthread_cond_wait(&relays->wake, &relays->lock);
            continue;
        }
        for (struct tw_api_relay_item *item = relays->first; item != NULL; item = item->next) {
            look_after(item);
        }
        pthread_mutex_unlock(&relays->lock);
        nanosleep(&(struct timespec){.tv_nsec = TW_LIMIT_RELAY_LOOK_NS}, NULL);
        pthread_mutex_lock(&relays->lock);
    }
    pthread_mutex_unlock(&relays->lock);
    return NULL;
}

void tw_api_relays_count(struct tw_api *api, enum tw_remote_end end)
{
    atomic_fetch_add(&api->relays.n_ended[end], 1);
}

enum tw_status tw_api_relays_start(struct tw_api *api, struct tw_error *error)
{
    pthread_mutex_init(&api->relays.lock, NULL);
    pthread_cond_init(&api->relays.wake, NULL);
    pthread_mutex_init(&api->relays.router_lock, NULL);
    if (api->config.remote_client == NULL) {
        return TW_OK;
    }
    enum tw_status status = tw_api_routes_open(api, error);
    if (status != TW_OK) {
        return status;
    }
    const int failure = pthread_create(&api->relays.thread, NULL, watch_all, api);
    if (failure != 0) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no thread: %s",
                            strerror(failure));
    }
    api->relays.has_thread = true;
    return TW_OK;
}

void tw_api_relays_stop(struct tw_api *api)
{
    tw_api_routes_close(api);
    if (!api->relays.has_thread) {
        return;
    }
    pthread_mutex_lock(&api->relays.lock);
    api->relays.stops = true;
    pthread_cond_signal(&api->relays.wake);
    pthread_mutex_unlock(&api->relays.lock);
    pthread_join(api->relays.thread, NULL);
    api->relays.has_thread = false;
}
