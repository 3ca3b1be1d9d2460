/* Clients that leave, and clients that do not read what they asked for. */
#include "http_site.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

/* ---- clients that leave ---- */

static void a_client_that_closes_while_it_waits_is_noticed(void **state)
{
    (void)state;
    struct site site;
    open_site(&site);
    int fd;
    struct tw_http_request *request = ask_to_keep(&site, &fd);
    wait_ms(200); /* nobody closed anything */
    assert_false(tw_http_is_gone(request));
    close(fd);
    BECOMES(tw_http_is_gone(request));
    tw_http_answer(request, 200, NULL, 0, "to nobody", 9);
    tw_http_release(request);
    tw_http_server_stop(site.server);
}

static void a_client_that_closes_its_sending_side_is_gone(void **state)
{
    (void)state;
    struct site site;
    open_site(&site);
    int fd;
    struct tw_http_request *request = ask_to_keep(&site, &fd);
    shutdown(fd, SHUT_WR);
    BECOMES(tw_http_is_gone(request));
    tw_http_release(request);
    close(fd);
    tw_http_server_stop(site.server);
}

static void a_client_that_closed_before_its_request_was_handled_is_noticed(void **state)
{
    (void)state;
    struct site site;
    open_site(&site);
    for (int i = 0; i < 100; i++) {
        int fd = connect_to(&site);
        send_text(fd, GET_KEEP);
        shutdown(fd, SHUT_WR);
        struct tw_http_request *request = wait_for_kept(&site);
        BECOMES(tw_http_is_gone(request));
        tw_http_release(request);
        close(fd);
    }
    tw_http_server_stop(site.server);
}

static void a_client_that_resets_a_stream_is_noticed(void **state)
{
    (void)state;
    struct site site;
    open_site(&site);
    int fd;
    struct tw_http_request *request = ask_to_keep(&site, &fd);
    tw_http_stream_begin(request, 200, NULL, 0, NULL, 0);
    tw_http_stream_write(request, "first", 5);
    free(receive(fd, "first"));
    const struct linger hard = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(fd);
    BECOMES(tw_http_is_gone(request));
    tw_http_stream_write(request, "more", 4);
    tw_http_stream_end(request);
    tw_http_release(request);
    assert_int_equal(tw_http_server_usage(site.server).n_gone, 1);
    tw_http_server_stop(site.server);
}

static void an_event_of_a_connection_that_left_does_not_hurt_the_next_one(void **state)
{
    (void)state;
    struct site site;
    open_site(&site);
    int leaving, fd;
    struct tw_http_request *left = ask_to_keep(&site, &leaving);
    const struct tw_http_slot *slot = left->slot;
    const uint64_t key_of_left = tw_http_slot_key(slot);
    close(leaving);
    BECOMES(tw_http_is_gone(left));
    tw_http_release(left);
    BECOMES(tw_http_server_usage(site.server).n_connections == 0);
    struct tw_http_request *request = ask_to_keep(&site, &fd);
    assert_ptr_equal(request->slot, slot); /* the same one, with another connection */
    tw_http_hang_up(site.server, key_of_left);
    assert_false(tw_http_is_gone(request));
    tw_http_hang_up(site.server, tw_http_slot_key(slot));
    assert_true(tw_http_is_gone(request));
    tw_http_release(request);
    close(fd);
    tw_http_server_stop(site.server);
}

static void a_connection_that_cannot_be_watched_is_ended(void **state)
{
    (void)state;
    struct site site;
    struct tw_http_config config = site_config();
    config.max_connections = 1;
    open_site_with(&site, config);
    const uint32_t n_slots = 1 + TW_LIMIT_HTTP_SPARE_CONNECTIONS;
    for (uint32_t i = 0; i < n_slots + 1; i++) {
        assert_null(tw_http_slot_take(site.server, -1)); /* no slot is lost by it */
    }
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    struct tw_http_slot *slots[1 + TW_LIMIT_HTTP_SPARE_CONNECTIONS];
    for (uint32_t i = 0; i < n_slots; i++) {
        slots[i] = tw_http_slot_take(site.server, dup(ends[0]));
        assert_non_null(slots[i]);
    }
    int fd = connect_to(&site);
    char byte;
    assert_int_equal(recv(fd, &byte, 1, 0), 0); /* without having asked anything */
    close(fd);
    for (uint32_t i = 0; i < n_slots; i++) {
        close(slots[i]->fd);
        tw_http_slot_free(slots[i]);
    }
    close(ends[0]);
    close(ends[1]);
    expect(&site, GET_HELLO, "hello");
    tw_http_server_stop(site.server);
}

/* ---- clients that do not read ---- */

static struct tw_http_request *open_stream(struct site *site, int *ret_fd)
{
    struct tw_http_request *request = ask_to_keep(site, ret_fd);
    tw_http_stream_begin(request, 200, NULL, 0, NULL, 0);
    return request;
}

/* Whoever writes looks at what is pending and pauses long before the stream's bound. */
static void a_stream_that_is_not_read_is_ended_however_little_waits(void **state)
{
    (void)state;
    struct site site;
    struct tw_http_config config = site_config();
    config.stall_seconds = 1;
    open_site_with(&site, config);
    int fd;
    struct tw_http_request *request = open_stream(&site, &fd);
    const int64_t start_ns = tw_clock_monotonic_ns();
    const char filler[500] = {0};
    for (int64_t now_ns = start_ns; !tw_http_is_gone(request) && now_ns - start_ns < PATIENCE_NS;
         now_ns = tw_clock_monotonic_ns()) {
        if (tw_http_pending_bytes(request) == 0) {
            tw_http_stream_write(request, filler, sizeof filler);
        } else {
            wait_ms(1);
        }
    }
    assert_true(tw_http_is_gone(request));
    assert_true(tw_clock_monotonic_ns() - start_ns > TW_SECOND_NS);
    /* Its connection ends as well, though nobody takes what libmicrohttpd is sending. */
    BECOMES(tw_http_server_usage(site.server).n_connections == 0);
    assert_int_equal(tw_http_server_usage(site.server).n_gone, 1);
    tw_http_release(request);
    close(fd);
    tw_http_server_stop(site.server);
}

static void a_stream_that_is_read_slowly_goes_on(void **state)
{
    (void)state;
    struct site site;
    struct tw_http_config config = site_config();
    config.stall_seconds = 1;
    open_site_with(&site, config);
    int fd;
    struct tw_http_request *request = open_stream(&site, &fd);
    char *filler = calloc(1, TW_LIMIT_HTTP_STREAM_BYTES);
    tw_http_stream_write(request, filler, TW_LIMIT_HTTP_STREAM_BYTES);
    const int64_t start_ns = tw_clock_monotonic_ns();
    while (tw_clock_monotonic_ns() - start_ns < 3 * TW_SECOND_NS) {
        assert_true(recv(fd, filler, 10000, 0) > 0);
        wait_ms(10);
    }
    assert_true(tw_http_pending_bytes(request) > 0); /* it waited all the time */
    assert_false(tw_http_is_gone(request));
    free(filler);
    tw_http_release(request);
    close(fd);
    tw_http_server_stop(site.server);
}

/* The server has a deadline for finished answers alone. */
static void check_unread_answer(bool is_stream)
{
    struct site site;
    struct tw_http_config config = site_config();
    config.answer_seconds = 1;
    config.stall_seconds = 3600;
    open_site_with(&site, config);
    int fd;
    struct tw_http_request *request = ask_to_keep(&site, &fd);
    char *filler = calloc(1, TW_LIMIT_HTTP_STREAM_BYTES);
    const int64_t start_ns = tw_clock_monotonic_ns();
    if (is_stream) {
        tw_http_stream_begin(request, 200, NULL, 0, NULL, 0);
        tw_http_stream_write(request, filler, TW_LIMIT_HTTP_STREAM_BYTES);
        tw_http_stream_end(request);
    } else {
        tw_http_answer(request, 200, NULL, 0, filler, TW_LIMIT_HTTP_STREAM_BYTES);
    }
    tw_http_release(request);
    free(filler);
    BECOMES(tw_http_server_usage(site.server).n_connections == 0);
    assert_true(tw_clock_monotonic_ns() - start_ns > TW_SECOND_NS);
    assert_int_equal(tw_http_server_usage(site.server).n_requests, 0);
    assert_int_equal(tw_http_server_usage(site.server).n_gone, 1);
    close(fd);
    tw_http_server_stop(site.server);
}

static void a_whole_answer_that_nobody_reads_is_ended_at_its_deadline(void **state)
{
    (void)state;
    check_unread_answer(false);
}

static void a_stream_that_ended_and_nobody_reads_is_ended_at_its_deadline(void **state)
{
    (void)state;
    check_unread_answer(true);
}

static void a_stream_beyond_its_bound_is_ended_at_once(void **state)
{
    (void)state;
    struct site site;
    struct tw_http_config config = site_config();
    config.stream_bytes = 1000;
    open_site_with(&site, config);
    int fd;
    struct tw_http_request *request = open_stream(&site, &fd);
    char filler[2000] = {0};
    tw_http_stream_write(request, filler, sizeof filler);
    assert_true(tw_http_is_gone(request));
    assert_true(tw_http_pending_bytes(request) <= 1000);
    tw_http_release(request);
    close(fd);
    tw_http_server_stop(site.server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_client_that_closes_while_it_waits_is_noticed),
        cmocka_unit_test(a_client_that_closes_its_sending_side_is_gone),
        cmocka_unit_test(a_client_that_closed_before_its_request_was_handled_is_noticed),
        cmocka_unit_test(a_client_that_resets_a_stream_is_noticed),
        cmocka_unit_test(an_event_of_a_connection_that_left_does_not_hurt_the_next_one),
        cmocka_unit_test(a_connection_that_cannot_be_watched_is_ended),
        cmocka_unit_test(a_stream_that_is_not_read_is_ended_however_little_waits),
        cmocka_unit_test(a_stream_that_is_read_slowly_goes_on),
        cmocka_unit_test(a_whole_answer_that_nobody_reads_is_ended_at_its_deadline),
        cmocka_unit_test(a_stream_that_ended_and_nobody_reads_is_ended_at_its_deadline),
        cmocka_unit_test(a_stream_beyond_its_bound_is_ended_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
