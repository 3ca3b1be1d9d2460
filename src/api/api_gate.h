/* api_gate.h: what is sent of an answer waits here until its tokens are on record.
 *
 *     tw_api_gate_write ->  HELD  -> the client      at once where the watermark is far enough,
 *                                                    otherwise when the hub has moved it
 *
 * The watermark is asked for ahead of need, so as a rule nothing waits: at most
 * TW_LIMIT_HUB_AHEAD_TOKENS beyond what the client's socket has taken, or what one step brought to
 * all answers of a request where that is more. Who reads slowly holds it up, and is to pause
 * (tw_api_gate_is_ahead, before each step). Without a hub everything is sent at once.
 *
 * Threads: the backend's thread writes; the hub's writer calls back. Ownership: the HTTP request,
 * the hub and the ticket are the caller's, and outlive it; it is freed behind the settlement, which
 * tw_api_gate_end makes the last that is asked of the hub.
 */
#ifndef TW_API_API_GATE_H
#define TW_API_API_GATE_H

#include <pthread.h>

#include "base/buf.h"
#include "hub/hub.h"
#include "net/http_server.h"

struct tw_api_gate {
    struct tw_http_request *http;
    struct tw_hub *hub; /* NULL: nothing is counted */
    struct tw_hub_ticket *ticket;
    /* Recursive: a hub that has ended calls back at once. */
    pthread_mutex_t lock;      /* of what follows */
    struct tw_buf held, marks; /* which bytes of it are which tokens */
    uint64_t n_tokens;         /* of the answer, to the end of what is held */
    uint64_t n_written_tokens; /* to the stream */
    uint64_t n_sent_tokens;    /* of those, taken by the socket */
    bool is_asking;
    bool has_ended;  /* it is being settled: nothing is asked for any more */
    bool has_failed; /* nothing more can be put on record, so nothing more is sent */
};

void tw_api_gate_init(struct tw_api_gate *gate, struct tw_http_request *http, struct tw_hub *hub,
                      struct tw_hub_ticket *ticket);
void tw_api_gate_free(struct tw_api_gate *gate);

/* n_tokens: of the whole answer so far, with those of these bytes; less than was said before counts
 * as that, and more than was reserved as what was. */
void tw_api_gate_write(struct tw_api_gate *gate, const char *data, size_t size_bytes,
                       uint64_t n_tokens);
/* Whether so much has not reached the client's socket that no more should be made: what is held
 * when an answer is settled is paid, and a process may end before it is sent. The client may have
 * read more meanwhile, so what is held may go. */
bool tw_api_gate_is_ahead(struct tw_api_gate *gate);
bool tw_api_gate_has_failed(struct tw_api_gate *gate);
/* Before the settlement is asked for: from here on no watermark is, since one that came behind it
 * would find nobody. */
void tw_api_gate_end(struct tw_api_gate *gate);
/* The answer is settled: all of it may go. */
void tw_api_gate_open(struct tw_api_gate *gate);
/* What is held is not sent: its record failed. */
void tw_api_gate_drop(struct tw_api_gate *gate);

#endif
