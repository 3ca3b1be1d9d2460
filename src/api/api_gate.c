#include "api/api_gate.h"

#define AHEAD_TOKENS ((uint64_t)TW_LIMIT_HUB_AHEAD_TOKENS)

void tw_api_gate_init(struct tw_api_gate *gate, struct tw_http_request *http, struct tw_hub *hub,
                      struct tw_hub_ticket *ticket)
{
    *gate = (struct tw_api_gate){.http = http, .hub = hub, .ticket = ticket};
    pthread_mutex_init(&gate->lock, NULL);
    tw_buf_init(&gate->held, TW_LIMIT_HTTP_STREAM_BYTES);
}

void tw_api_gate_free(struct tw_api_gate *gate)
{
    tw_buf_free(&gate->held);
    pthread_mutex_destroy(&gate->lock);
}

/* The rest is under the lock. */
static void send_held(struct tw_api_gate *gate)
{
    if (gate->held.size_bytes > 0) {
        tw_http_stream_write(gate->http, gate->held.data, gate->held.size_bytes);
        tw_buf_clear(&gate->held);
    }
    gate->n_sent_tokens = gate->n_tokens;
}

static void ask(struct tw_api_gate *gate);

/* A tw_hub_done_fn. */
static void covered(void *context, struct tw_hub_ticket *ticket, enum tw_status status)
{
    struct tw_api_gate *gate = context;
    pthread_mutex_lock(&gate->lock);
    gate->is_asking = false;
    gate->has_failed = gate->has_failed || status != TW_OK;
    if (!gate->has_failed && gate->n_tokens <= ticket->n_covered_tokens) {
        send_held(gate);
    }
    ask(gate);
    pthread_mutex_unlock(&gate->lock);
}

/* For what is held, or where half of what is ahead is used up. */
static void ask(struct tw_api_gate *gate)
{
    const uint64_t n_covered = gate->ticket->n_covered_tokens;
    uint64_t n_wanted = gate->n_sent_tokens + AHEAD_TOKENS;
    if (gate->is_asking || gate->has_failed ||
        (gate->n_tokens <= n_covered && n_covered - gate->n_tokens > AHEAD_TOKENS / 2)) {
        return;
    }
    n_wanted = n_wanted < gate->n_tokens ? gate->n_tokens : n_wanted;
    if (n_wanted > gate->ticket->n_reserved_answer_tokens) {
        n_wanted = gate->ticket->n_reserved_answer_tokens;
    }
    if (n_wanted > n_covered) {
        gate->is_asking = true;
        tw_hub_cover(gate->hub, gate->ticket, n_wanted, covered, gate);
    }
}

void tw_api_gate_write(struct tw_api_gate *gate, const char *data, size_t size_bytes,
                       uint64_t n_tokens)
{
    if (gate->hub == NULL) {
        tw_http_stream_write(gate->http, data, size_bytes);
        return;
    }
    pthread_mutex_lock(&gate->lock);
    gate->n_tokens = n_tokens;
    if (gate->held.size_bytes == 0 && n_tokens <= gate->ticket->n_covered_tokens) {
        tw_http_stream_write(gate->http, data, size_bytes);
        gate->n_sent_tokens = n_tokens;
    } else {
        tw_buf_append(&gate->held, data, size_bytes);
        gate->has_failed = gate->has_failed || gate->held.failed;
    }
    ask(gate);
    pthread_mutex_unlock(&gate->lock);
}

size_t tw_api_gate_held_bytes(struct tw_api_gate *gate)
{
    if (gate->hub == NULL) {
        return 0;
    }
    pthread_mutex_lock(&gate->lock);
    const size_t n = gate->held.size_bytes;
    pthread_mutex_unlock(&gate->lock);
    return n;
}

bool tw_api_gate_has_failed(struct tw_api_gate *gate)
{
    if (gate->hub == NULL) {
        return false;
    }
    pthread_mutex_lock(&gate->lock);
    const bool has_failed = gate->has_failed;
    pthread_mutex_unlock(&gate->lock);
    return has_failed;
}

void tw_api_gate_open(struct tw_api_gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    send_held(gate);
    gate->hub = NULL;
    pthread_mutex_unlock(&gate->lock);
}

void tw_api_gate_drop(struct tw_api_gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    tw_buf_clear(&gate->held);
    gate->hub = NULL;
    pthread_mutex_unlock(&gate->lock);
}
