/* The gate alone, between a hub and a client that do what each case says, and when: what a real
 * hub's writer does first is chance. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "api/api_gate.h"

#define AHEAD ((uint64_t)TW_LIMIT_HUB_AHEAD_TOKENS)

/* What the client has, what of it its socket has not taken, and the cover that was asked for. */
static struct {
    char sent[256];
    size_t n_sent, n_pending;
    struct tw_hub_ticket *ticket;
    uint64_t n_wanted;
    tw_hub_done_fn done;
    void *context;
} there;

void tw_http_stream_write(struct tw_http_request *request, const void *data, size_t size_bytes)
{
    (void)request;
    assert_true(there.n_sent + size_bytes < sizeof there.sent);
    memcpy(there.sent + there.n_sent, data, size_bytes);
    there.n_sent += size_bytes;
    there.sent[there.n_sent] = '\0';
}

size_t tw_http_pending_bytes(const struct tw_http_request *request)
{
    (void)request;
    return there.n_pending;
}

void tw_hub_cover(struct tw_hub *hub, struct tw_hub_ticket *ticket, uint64_t n_tokens,
                  tw_hub_done_fn done, void *context)
{
    (void)hub;
    assert_null(there.done); /* one at a time */
    there.ticket = ticket;
    there.n_wanted = n_tokens;
    there.done = done;
    there.context = context;
}

/* The hub has put it on record. False: nothing was asked of it. */
static bool cover(void)
{
    const tw_hub_done_fn done = there.done;
    there.done = NULL;
    if (done != NULL) {
        there.ticket->n_covered_tokens = there.n_wanted;
        done(there.context, there.ticket, TW_OK);
    }
    return done != NULL;
}

struct site {
    struct tw_api_gate gate;
    struct tw_hub_ticket ticket;
};

static void open_site(struct site *site)
{
    memset(&there, 0, sizeof there);
    memset(site, 0, sizeof *site);
    site->ticket.n_reserved_answer_tokens = 200;
    site->ticket.n_covered_tokens = AHEAD;
    tw_api_gate_init(&site->gate, NULL, (struct tw_hub *)site, &site->ticket);
}

static void put(struct site *site, const char *text, uint64_t n_tokens)
{
    tw_api_gate_write(&site->gate, text, strlen(text), n_tokens);
}

static void what_is_on_record_goes_and_the_rest_waits(void **state)
{
    (void)state;
    struct site site;
    open_site(&site);
    put(&site, "a", 1);
    assert_string_equal(there.sent, "a");
    there.n_pending = 1;
    put(&site, "b", AHEAD + 1);
    assert_string_equal(there.sent, "a");
    assert_true(tw_api_gate_is_ahead(&site.gate));
    assert_true(cover());
    assert_string_equal(there.sent, "ab");
    tw_api_gate_free(&site.gate);
}

/* Who counts says more than there is, and takes it back while the hub is at something else. */
static void a_count_that_is_taken_back_holds_nothing_up(void **state)
{
    (void)state;
    struct site site;
    open_site(&site);
    put(&site, "a", AHEAD + 8);
    put(&site, "b", AHEAD + 100);
    put(&site, "c", 1);
    assert_string_equal(there.sent, "");
    for (int i = 0; i < 10 && there.n_sent < 3; i++) {
        assert_true(cover());
    }
    assert_string_equal(there.sent, "abc");
    tw_api_gate_free(&site.gate);
}

static void more_than_was_reserved_waits_for_what_was(void **state)
{
    (void)state;
    struct site site;
    open_site(&site);
    put(&site, "a", 100000);
    assert_true(cover());
    assert_int_equal(site.ticket.n_covered_tokens, 200);
    assert_string_equal(there.sent, "a");
    put(&site, "b", 100001);
    assert_string_equal(there.sent, "ab");
    tw_api_gate_free(&site.gate);
}

static void a_failure_and_an_end_let_nothing_through(void **state)
{
    (void)state;
    struct site site;
    open_site(&site);
    put(&site, "a", AHEAD + 1);
    there.done(there.context, there.ticket, TW_ERR_IO);
    assert_true(tw_api_gate_has_failed(&site.gate));
    assert_string_equal(there.sent, "");
    tw_api_gate_drop(&site.gate);
    tw_api_gate_free(&site.gate);
    open_site(&site);
    tw_api_gate_end(&site.gate);
    put(&site, "a", AHEAD + 1);
    assert_false(cover());
    tw_api_gate_open(&site.gate);
    assert_string_equal(there.sent, "a");
    tw_api_gate_free(&site.gate);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_on_record_goes_and_the_rest_waits),
        cmocka_unit_test(a_count_that_is_taken_back_holds_nothing_up),
        cmocka_unit_test(more_than_was_reserved_waits_for_what_was),
        cmocka_unit_test(a_failure_and_an_end_let_nothing_through),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
