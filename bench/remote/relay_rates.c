/* What it costs to pass a stream on: time for each event, for streams as servers send them.
 *
 *     relay_rates FILE.sse...
 *
 * One CSV row a file: events, bytes of an event on average, nanoseconds an event in pieces of one
 * event each, and beside it those of a plain copy of the same bytes (the machine's limit).
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "remote/sse_relay.h"

enum { ROUNDS = 20000 };

static uint64_t relay_once(const struct tw_buf *in, struct tw_buf *out)
{
    const struct tw_answer_terms terms = {.model = "house", .usage = TW_USAGE_LAST};
    struct tw_sse_relay relay;
    struct tw_error error;
    tw_sse_relay_init(&relay, &terms);
    const char *at = in->data, *end = in->data + in->size_bytes;
    while (at < end) {
        const char *stop = memmem(at, (size_t)(end - at), "\n\n", 2);
        const size_t n = stop != NULL ? (size_t)(stop - at) + 2 : (size_t)(end - at);
        out->size_bytes = 0; /* a sink takes what was written before the next piece comes */
        (void)tw_sse_relay_push(&relay, at, n, out, &error);
        at += n;
    }
    const uint64_t n_events = relay.seen.n_objects;
    tw_sse_relay_free(&relay);
    return n_events;
}

static void measure(const char *path, const struct tw_buf *in)
{
    struct tw_buf out;
    uint64_t n_events = 0;
    tw_buf_init(&out, (size_t)64 << 20);
    const int64_t begin_ns = tw_clock_monotonic_ns();
    for (int i = 0; i < ROUNDS; i++) {
        n_events += relay_once(in, &out);
    }
    const int64_t relayed_ns = tw_clock_monotonic_ns();
    for (int i = 0; i < ROUNDS; i++) {
        out.size_bytes = 0;
        tw_buf_append(&out, in->data, in->size_bytes);
        __asm__ volatile("" : : "r"(out.data) : "memory");
    }
    const int64_t copied_ns = tw_clock_monotonic_ns();
    const double n = n_events > 0 ? (double)n_events : 1;
    printf("%s,%llu,%.0f,%.0f,%.0f\n", path, (unsigned long long)(n_events / ROUNDS),
           (double)in->size_bytes * ROUNDS / n, (double)(relayed_ns - begin_ns) / n,
           (double)(copied_ns - relayed_ns) / n);
    tw_buf_free(&out);
}

int main(int argc, char **argv)
{
    printf("stream,events,event_bytes,relay_ns_per_event,copy_ns_per_event\n");
    for (int i = 1; i < argc; i++) {
        struct tw_buf in;
        struct tw_error error;
        if (tw_file_read(argv[i], 1 << 20, &in, &error) != TW_OK) {
            fprintf(stderr, "relay_rates: %s\n", error.text);
            return tw_status_exit_code(error.status);
        }
        measure(argv[i], &in);
        tw_buf_free(&in);
    }
    return 0;
}
