#include "remote/sse_relay.h"

#include <string.h>

void tw_sse_relay_init(struct tw_sse_relay *relay, const struct tw_answer_terms *terms)
{
    *relay = (struct tw_sse_relay){.terms = *terms};
    tw_buf_init(&relay->line, TW_LIMIT_REMOTE_EVENT_BYTES);
    tw_buf_init(&relay->data, TW_LIMIT_REMOTE_EVENT_BYTES);
}

void tw_sse_relay_free(struct tw_sse_relay *relay)
{
    tw_buf_free(&relay->line);
    tw_buf_free(&relay->data);
}

/* Takes back what was written when the event turns out not to be passed on. */
static void take_object(struct tw_sse_relay *relay, struct tw_json_span object, struct tw_buf *out)
{
    const size_t n_before = out->size_bytes;
    tw_buf_append_text(out, "data: ");
    if (tw_answer_scan_object(object, &relay->terms, &relay->seen, out)) {
        tw_buf_append_text(out, "\n\n");
    } else {
        out->size_bytes = n_before;
    }
}

/* The empty line behind an event. */
static void take_event(struct tw_sse_relay *relay, struct tw_buf *out)
{
    const struct tw_json_span data = {relay->data.data, relay->data.size_bytes};
    const bool has_data = relay->has_data && data.n_bytes > 0;
    if (relay->data.failed) {
        return;
    }
    if (has_data && relay->is_failure) {
        if (!relay->seen.error.is_there) {
            tw_answer_scan_error(data.at, data.n_bytes, &relay->seen.error);
        }
    } else if (has_data && tw_json_span_is(data, "[DONE]")) {
        relay->is_done = true;
        tw_buf_append_text(out, "data: [DONE]\n\n");
    } else if (has_data) {
        take_object(relay, data, out);
    }
    relay->data.size_bytes = 0;
    relay->has_data = false;
    relay->is_failure = false;
}

/* The value behind a field's name, or NULL where the line is of another field. */
static const char *value_of(const char *line, size_t n_bytes, const char *name,
                            size_t *ret_value_bytes)
{
    const size_t n_name = strlen(name);
    if (n_bytes < n_name || memcmp(line, name, n_name) != 0 ||
        (n_bytes > n_name && line[n_name] != ':')) {
        return NULL;
    }
    size_t at = n_name + (n_bytes > n_name);
    at += at < n_bytes && line[at] == ' ';
    *ret_value_bytes = n_bytes - at;
    return line + at;
}

static void take_line(struct tw_sse_relay *relay, const char *line, size_t n_bytes,
                      struct tw_buf *out)
{
    size_t n_value = 0;
    const char *value;
    if (relay->is_done) {
        return;
    }
    if (n_bytes == 0) {
        take_event(relay, out);
    } else if (line[0] == ':') {
        relay->n_comments++;
        tw_buf_append(out, line, n_bytes);
        tw_buf_append_text(out, "\n\n");
    } else if ((value = value_of(line, n_bytes, "data", &n_value)) != NULL) {
        /* Between lines of JSON there is room for a space as well as for a newline. */
        if (relay->has_data) {
            tw_buf_append(&relay->data, " ", 1);
        }
        relay->has_data = true;
        tw_buf_append(&relay->data, value, n_value);
    } else if ((value = value_of(line, n_bytes, "event", &n_value)) != NULL) {
        relay->is_failure = n_value == 5 && memcmp(value, "error", 5) == 0;
    }
}

/* A byte order mark may stand before everything. */
static void skip_mark(struct tw_sse_relay *relay, const char **line, size_t *n_bytes)
{
    static const char mark[] = "\xef\xbb\xbf";
    if (!relay->has_begun && *n_bytes >= 3 && memcmp(*line, mark, 3) == 0) {
        *line += 3;
        *n_bytes -= 3;
    }
    relay->has_begun = true;
}

/* A line ends here: what was kept of it, and n_bytes more. */
static void end_line(struct tw_sse_relay *relay, const char *bytes, size_t n_bytes,
                     struct tw_buf *out)
{
    const char *line = bytes;
    size_t n_line = n_bytes;
    if (relay->line.size_bytes > 0) {
        tw_buf_append(&relay->line, bytes, n_bytes);
        line = relay->line.data;
        n_line = relay->line.size_bytes;
    }
    if (relay->line.failed) {
        return;
    }
    skip_mark(relay, &line, &n_line);
    take_line(relay, line, n_line, out);
    relay->line.size_bytes = 0;
}

static enum tw_status check_room(const struct tw_sse_relay *relay, const struct tw_buf *out,
                                 struct tw_error *error)
{
    if (relay->line.failed || relay->data.failed) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "the server sent an event of more than %zu bytes",
                            TW_LIMIT_REMOTE_EVENT_BYTES);
    }
    return out->failed ? tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                                      "no room for what the server sent")
                       : TW_OK;
}

/* Where a byte comes next, or the end. Each is looked for anew only behind its last place: lines
 * that all end in the one must not have the other sought through all the rest, again and again. */
static const char *next_of(const char *at, const char *end, char byte)
{
    const char *found = at < end ? memchr(at, byte, (size_t)(end - at)) : NULL;
    return found != NULL ? found : end;
}

enum tw_status tw_sse_relay_push(struct tw_sse_relay *relay, const char *bytes, size_t n_bytes,
                                 struct tw_buf *out, struct tw_error *error)
{
    const char *at = bytes, *end = bytes + n_bytes;
    const char *lf = next_of(at, end, '\n'), *cr = next_of(at, end, '\r');
    while (at < end && !relay->is_done) {
        if (relay->after_cr && *at == '\n') {
            relay->after_cr = false;
            at++;
            continue;
        }
        relay->after_cr = false;
        lf = lf < at ? next_of(at, end, '\n') : lf;
        cr = cr < at ? next_of(at, end, '\r') : cr;
        const char *stop = cr < lf ? cr : lf;
        if (stop == end) {
            tw_buf_append(&relay->line, at, (size_t)(end - at));
            break;
        }
        end_line(relay, at, (size_t)(stop - at), out);
        relay->after_cr = stop == cr;
        at = stop + 1;
    }
    return check_room(relay, out, error);
}

enum tw_status tw_sse_relay_end(struct tw_sse_relay *relay, struct tw_buf *out,
                                struct tw_error *error)
{
    if (!relay->is_done && relay->line.size_bytes > 0) {
        end_line(relay, "", 0, out);
    }
    if (relay->has_data && !relay->is_done) {
        const struct tw_json_span data = {relay->data.data, relay->data.size_bytes};
        struct tw_json_walk walk;
        struct tw_json_span key, value;
        if (tw_json_walk_begin(&walk, data)) {
            while (tw_json_walk_next(&walk, &key, &value)) {
            }
        }
        if (walk.is_whole || tw_json_span_is(data, "[DONE]")) {
            take_event(relay, out);
        }
    }
    return check_room(relay, out, error);
}
