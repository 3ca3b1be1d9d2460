#include "api/api_gate.h"

#define AHEAD_TOKENS ((uint64_t)TW_LIMIT_HUB_AHEAD_TOKENS)

void tw_api_gate_init(struct tw_api_gate *gate, struct tw_http_request *http, struct tw_hub *hub,
                      struct tw_hub_ticket *ticket)
{
    *gate = (struct tw_api_gate){.http = http, .hub = hub, .ticket = ticket};
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&gate->lock, &attributes);
    pthread_mutexattr_destroy(&attributes);
    tw_buf_init(&gate->held, TW_LIMIT_HTTP_STREAM_BYTES);
    tw_buf_init(&gate->marks, TW_LIMIT_HTTP_STREAM_BYTES);
}

void tw_api_gate_free(struct tw_api_gate *gate)
{
    tw_buf_free(&gate->held);
    tw_buf_free(&gate->marks);
    pthread_mutex_destroy(&gate->lock);
}

/* Where the bytes of so many tokens end in what is held. */
struct mark {
    size_t end_bytes;
    uint64_t n_tokens;
};

/* The rest is under the lock. */
static void hold(struct tw_api_gate *gate, const char *data, size_t size_bytes, uint64_t n_tokens)
{
    tw_buf_append(&gate->held, data, size_bytes);
    const struct mark mark = {gate->held.size_bytes, n_tokens};
    tw_buf_append(&gate->marks, &mark, sizeof mark);
    gate->has_failed = gate->has_failed || gate->held.failed || gate->marks.failed;
}

/* What is held up to a number of tokens. */
static void send_held(struct tw_api_gate *gate, uint64_t n_tokens)
{
    struct mark *marks = (struct mark *)(void *)gate->marks.data;
    const size_t n_marks = gate->marks.size_bytes / sizeof *marks;
    size_t n = 0;
    while (n < n_marks && marks[n].n_tokens <= n_tokens) {
        n++;
    }
    if (n == 0) {
        return;
    }
    const struct mark last = marks[n - 1];
    tw_http_stream_write(gate->http, gate->held.data, last.end_bytes);
    tw_buf_drop_front(&gate->held, last.end_bytes);
    for (size_t i = n; i < n_marks; i++) {
        marks[i].end_bytes -= last.end_bytes;
    }
    tw_buf_drop_front(&gate->marks, n * sizeof *marks);
    gate->n_written_tokens = last.n_tokens;
}

static void look_at_socket(struct tw_api_gate *gate)
{
    if (tw_http_pending_bytes(gate->http) == 0) {
        gate->n_sent_tokens = gate->n_written_tokens;
    }
}

static void ask(struct tw_api_gate *gate);

/* A tw_hub_done_fn. */
static void covered(void *context, struct tw_hub_ticket *ticket, enum tw_status status)
{
    struct tw_api_gate *gate = context;
    pthread_mutex_lock(&gate->lock);
    gate->is_asking = false;
    gate->has_failed = gate->has_failed || status != TW_OK;
    if (!gate->has_failed) {
        send_held(gate, ticket->n_covered_tokens);
    }
    ask(gate);
    pthread_mutex_unlock(&gate->lock);
}

/* For what is held, or where half of what is ahead is used up. */
static void ask(struct tw_api_gate *gate)
{
    const uint64_t n_covered = gate->ticket->n_covered_tokens;
    if (gate->is_asking || gate->has_failed || gate->has_ended ||
        (gate->marks.size_bytes == 0 && gate->n_tokens <= n_covered &&
         n_covered - gate->n_tokens > AHEAD_TOKENS / 2)) {
        return;
    }
    look_at_socket(gate);
    uint64_t n_wanted = gate->n_sent_tokens + AHEAD_TOKENS;
    if (gate->marks.size_bytes > 0) { /* a piece goes whole, however many tokens it took */
        const struct mark *first = (const struct mark *)(const void *)gate->marks.data;
        n_wanted = n_wanted < first->n_tokens ? first->n_tokens : n_wanted;
    }
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
    /* Who counts may take back what it said, or say more than can be covered: what waits for tokens
     * that never come would wait for ever. */
    n_tokens = n_tokens > gate->n_tokens ? n_tokens : gate->n_tokens;
    n_tokens = n_tokens < gate->ticket->n_reserved_answer_tokens
                   ? n_tokens
                   : gate->ticket->n_reserved_answer_tokens;
    gate->n_tokens = n_tokens;
    if (gate->held.size_bytes == 0 && n_tokens <= gate->ticket->n_covered_tokens) {
        tw_http_stream_write(gate->http, data, size_bytes);
        gate->n_written_tokens = n_tokens;
    } else {
        hold(gate, data, size_bytes, n_tokens);
    }
    ask(gate);
    pthread_mutex_unlock(&gate->lock);
}

bool tw_api_gate_is_ahead(struct tw_api_gate *gate)
{
    if (gate->hub == NULL) {
        return false;
    }
    pthread_mutex_lock(&gate->lock);
    look_at_socket(gate);
    ask(gate);
    const bool is_ahead = gate->n_tokens - gate->n_sent_tokens > AHEAD_TOKENS / 2;
    pthread_mutex_unlock(&gate->lock);
    return is_ahead;
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

void tw_api_gate_end(struct tw_api_gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    gate->has_ended = true;
    pthread_mutex_unlock(&gate->lock);
}

void tw_api_gate_open(struct tw_api_gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    send_held(gate, UINT64_MAX);
    gate->hub = NULL;
    pthread_mutex_unlock(&gate->lock);
}

void tw_api_gate_drop(struct tw_api_gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    tw_buf_clear(&gate->held);
    tw_buf_clear(&gate->marks);
    gate->hub = NULL;
    pthread_mutex_unlock(&gate->lock);
}
