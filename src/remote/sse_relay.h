/* sse_relay.h: a stream of OpenAI's API passed on as it comes, and read on the way.
 *
 *     bytes in any pieces -> lines -> events -> tw_answer_scan_object -> events of ours
 *
 *     READING -> DONE   [data: [DONE]]          what follows is ignored
 *     READING -> CUT    [tw_sse_relay_end before it]
 *
 * What comes out has one form whatever came in: "data: ...\n\n" for every event that is passed on,
 * ": ...\n\n" for a comment (a heartbeat), "data: [DONE]\n\n". Names and ids of events are left
 * out: this API has none. Lines may end in LF, CRLF or CR, an event's data may be several lines.
 *
 * Invariants:
 * 1. The same bytes give the same output and the same tw_answer_seen however they are cut.
 * 2. [DONE] comes out once and last, and only if it came in.
 * 3. An error within the stream is not passed on: the caller says it in its own words.
 *
 * Ownership: the relay keeps what it has of an event; the texts of the terms are the caller's and
 * must stay. Pure; threads: one at a time.
 * Errors: TW_ERR_LIMIT for an event beyond TW_LIMIT_REMOTE_EVENT_BYTES, or where out is full;
 * TW_ERR_MEMORY.
 */
#ifndef TW_REMOTE_SSE_RELAY_H
#define TW_REMOTE_SSE_RELAY_H

#include "base/status.h"
#include "remote/answer_scan.h"

struct tw_sse_relay {
    struct tw_answer_terms terms;
    struct tw_answer_seen seen;
    struct tw_buf line, data;
    bool has_data;   /* a line of data came, if only an empty one */
    bool after_cr;   /* a LF that comes next belongs to it */
    bool has_begun;  /* three bytes came: a byte order mark is behind us */
    bool is_done;    /* [DONE] came */
    bool is_failure; /* "event: error": what comes is one */
    uint64_t n_comments;
};

void tw_sse_relay_init(struct tw_sse_relay *relay, const struct tw_answer_terms *terms);
void tw_sse_relay_free(struct tw_sse_relay *relay);

/* Appends to out what is to be sent on. */
enum tw_status tw_sse_relay_push(struct tw_sse_relay *relay, const char *bytes, size_t n_bytes,
                                 struct tw_buf *out, struct tw_error *error);

/* The server sends nothing any more: an event without its empty line counts if it is whole. Then
 * relay->is_done says whether the stream was. */
enum tw_status tw_sse_relay_end(struct tw_sse_relay *relay, struct tw_buf *out,
                                struct tw_error *error);

#endif
