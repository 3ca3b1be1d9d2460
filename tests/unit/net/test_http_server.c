/* The HTTP server against raw sockets, each test with a server of its own on a free port. */
#include "http_site.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define LARGE_BYTES 90000 /* of a body */

/* ---- answers ---- */

static void a_request_is_answered_and_the_connection_stays(void **state)
{
    (void)state;
    struct site site;
    open_site(&site);
    int fd = connect_to(&site);
    for (int i = 0; i < 3; i++) {
        send_text(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nabcd");
        char *answer = receive(fd, "hello");
        assert_non_null(strstr(answer, "HTTP/1.1 200"));
        assert_non_null(strstr(answer, "Content-Type: text/plain"));
        assert_non_null(strstr(answer, "X-Request-Id: req_"));
        free(answer);
    }
    assert_int_equal(site.n_handled, 3);
    assert_int_equal(site.body_bytes, 4);
    assert_memory_equal(site.body, "abcd", 4);
    close(fd);
    tw_http_server_stop(site.server);
}

static void a_fit_request_id_is_kept_and_another_is_replaced(void **state)
{
    (void)state;
    struct site site;
    open_site(&site);
    expect(&site, "GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: my-id.7\r\n\r\n",
           "X-Request-Id: my-id.7\r\n");
    expect(&site, "GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: my id\r\n\r\n", "X-Request-Id: req_");
    tw_http_server_stop(site.server);
}

static void another_thread_can_answer_later(void **state)
{
    (void)state;
    struct site site;
    open_site(&site);
    int fd;
    struct tw_http_request *request = ask_to_keep(&site, &fd);
    wait_ms(50);
    tw_http_answer(request, 418, NULL, 0, "late", 4);
    tw_http_release(request);
    char *answer = receive(fd, "late");
    assert_non_null(strstr(answer, "HTTP/1.1 418"));
    free(answer);
    close(fd);
    tw_http_server_stop(site.server);
}

static void a_stream_arrives_piece_by_piece_with_heartbeats(void **state)
{
    (void)state;
    struct site site;
    open_site(&site);
    int fd;
    struct tw_http_request *request = ask_to_keep(&site, &fd);
    tw_http_stream_begin(request, 200, NULL, 0, ": still here\n", 1);
    tw_http_stream_write(request, "first", 5);
    char *answer = receive(fd, "first");
    assert_non_null(strstr(answer, "chunked"));
    free(answer);
    expect_on(fd, ": still here");
    tw_http_stream_write(request, "last", 4);
    tw_http_stream_end(request);
    tw_http_release(request);
    answer = receive(fd, "\r\n0\r\n\r\n");
    assert_non_null(strstr(answer, "last"));
    free(answer);
    /* The connection is as good as before. */
    send_text(fd, GET_HELLO);
    expect_on(fd, "hello");
    close(fd);
    tw_http_server_stop(site.server);
}

/* ---- what is refused ---- */

static void ambiguous_lengths_are_refused(void **state)
{
    (void)state;
    struct site site;
    open_site(&site);
    expect(&site,
           "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
           "0\r\n\r\n",
           "HTTP/1.1 400");
    expect(&site,
           "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
           "HTTP/1.1 400");
    expect(&site, "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "HTTP/1.1 400");
    assert_int_equal(site.n_handled, 0);
    tw_http_server_stop(site.server);
}

static void a_body_beyond_the_bound_is_refused_however_it_comes(void **state)
{
    (void)state;
    struct site site;
    open_site(&site);
    expect(&site, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100001\r\n\r\n", "HTTP/1.1 413");
    expect(&site, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
           "HTTP/1.1 4");
    int fd = connect_to(&site);
    send_text(fd, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    char piece[1010] = "3e8\r\n"; /* 1000 bytes */
    memset(piece + 5, 'x', 1000);
    memcpy(piece + 1005, "\r\n", 3);
    for (int i = 0; i < 101; i++) {
        send_text(fd, piece);
    }
    send_text(fd, "0\r\n\r\n");
    expect_on(fd, "HTTP/1.1 413");
    close(fd);
    assert_int_equal(site.n_handled, 0);
    tw_http_server_stop(site.server);
}

static void post_large(int fd, const char *path, size_t n_bytes)
{
    char head[100];
    snprintf(head, sizeof head, "POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", path,
             LARGE_BYTES);
    send_text(fd, head);
    char *filler = calloc(1, n_bytes + 1);
    memset(filler, 'x', n_bytes);
    send_text(fd, filler);
    free(filler);
}

/* Bodies for one and a half of the large ones. */
static void open_site_of_few_bodies(struct site *site)
{
    struct tw_http_config config = site_config();
    config.all_bodies_bytes = LARGE_BYTES * 3 / 2;
    open_site_with(site, config);
}

static void bodies_are_bounded_all_together(void **state)
{
    (void)state;
    struct site site;
    open_site_of_few_bodies(&site);
    int first = connect_to(&site), second = connect_to(&site);
    post_large(first, "/", LARGE_BYTES - 1);
    BECOMES(site.server->n_body_bytes == LARGE_BYTES - 1);
    post_large(second, "/", LARGE_BYTES);
    expect_on(second, "HTTP/1.1 503");
    send_text(first, "y"); /* the first one is not hurt */
    expect_on(first, "hello");
    BECOMES(site.server->n_body_bytes == 0);
    int third = connect_to(&site);
    post_large(third, "/", LARGE_BYTES);
    expect_on(third, "hello");
    close(first);
    close(second);
    close(third);
    tw_http_server_stop(site.server);
}

static void a_body_that_was_dropped_makes_room_before_its_answer(void **state)
{
    (void)state;
    struct site site;
    open_site_of_few_bodies(&site);
    int waiting = connect_to(&site), other = connect_to(&site), third = connect_to(&site);
    post_large(waiting, "/keep", LARGE_BYTES);
    struct tw_http_request *request = wait_for_kept(&site);
    post_large(other, "/", LARGE_BYTES);
    expect_on(other, "HTTP/1.1 503");
    tw_http_drop_body(request);
    post_large(third, "/", LARGE_BYTES);
    expect_on(third, "hello");
    tw_http_answer(request, 200, NULL, 0, "at last", 7);
    tw_http_release(request);
    expect_on(waiting, "at last");
    close(waiting);
    close(other);
    close(third);
    tw_http_server_stop(site.server);
}

static void a_head_beyond_the_bound_is_refused(void **state)
{
    (void)state;
    struct site site;
    open_site(&site);
    int fd = connect_to(&site);
    send_text(fd, "GET / HTTP/1.1\r\nHost: a\r\nX-Large: ");
    char filler[1001];
    memset(filler, 'x', 1000);
    filler[1000] = '\0';
    for (int i = 0; i < 64; i++) {
        if (send(fd, filler, 1000, MSG_NOSIGNAL) < 0) {
            break; /* closed already: that is the point */
        }
    }
    char *answer = receive(fd, NULL);
    assert_true(answer[0] == '\0' || strstr(answer, "HTTP/1.1 4") == answer);
    assert_int_equal(site.n_handled, 0);
    free(answer);
    close(fd);
    tw_http_server_stop(site.server);
}

/* ---- deadlines ---- */

/* Sends one byte every 100 ms and gives the seconds until the server closes. */
static double seconds_until_closed(int fd, const char *bytes)
{
    const int64_t start_ns = tw_clock_monotonic_ns();
    for (size_t i = 0; tw_clock_monotonic_ns() - start_ns < PATIENCE_NS; i++) {
        char byte = bytes[i % strlen(bytes)], answer;
        if (send(fd, &byte, 1, MSG_NOSIGNAL) < 0 || recv(fd, &answer, 1, MSG_DONTWAIT) == 0) {
            break;
        }
        wait_ms(100);
    }
    return (double)(tw_clock_monotonic_ns() - start_ns) / 1e9;
}

static void a_head_that_trickles_is_cut_off_at_its_deadline(void **state)
{
    (void)state;
    struct site site;
    struct tw_http_config config = site_config();
    config.head_seconds = 1;
    open_site_with(&site, config);
    int fd = connect_to(&site);
    send_text(fd, "GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ");
    double seconds = seconds_until_closed(fd, "x");
    assert_true(seconds > 0.8 && seconds < PATIENCE_NS / 1e9);
    close(fd);
    tw_http_server_stop(site.server);
}

static void a_body_that_trickles_is_cut_off_at_its_deadline(void **state)
{
    (void)state;
    struct site site;
    struct tw_http_config config = site_config();
    config.body_seconds = 1;
    open_site_with(&site, config);
    int fd = connect_to(&site);
    send_text(fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n");
    double seconds = seconds_until_closed(fd, "x");
    assert_true(seconds > 0.8 && seconds < PATIENCE_NS / 1e9);
    assert_int_equal(site.n_handled, 0);
    assert_true(tw_http_server_usage(site.server).n_refused > 0);
    close(fd);
    tw_http_server_stop(site.server);
}

static void an_idle_connection_is_closed_and_a_waiting_one_is_not(void **state)
{
    (void)state;
    struct site site;
    struct tw_http_config config = site_config();
    config.idle_seconds = 1;
    open_site_with(&site, config);
    int idle = connect_to(&site), waiting = connect_to(&site);
    send_text(idle, GET_HELLO);
    send_text(waiting, GET_KEEP);
    struct tw_http_request *request = wait_for_kept(&site);
    char *answer = receive(idle, NULL); /* until it is closed */
    assert_non_null(strstr(answer, "hello"));
    free(answer);
    wait_ms(500);
    assert_false(tw_http_is_gone(request));
    tw_http_answer(request, 200, NULL, 0, "at last", 7);
    tw_http_release(request);
    expect_on(waiting, "at last");
    close(idle);
    close(waiting);
    tw_http_server_stop(site.server);
}

/* ---- many, and the end ---- */

static void connections_beyond_the_bound_are_told_so_or_wait(void **state)
{
    (void)state;
    enum { N_SEEN = 8 + TW_LIMIT_HTTP_SPARE_CONNECTIONS, N = N_SEEN + 8 };
    struct site site;
    struct tw_http_config config = site_config();
    config.max_connections = 8;
    open_site_with(&site, config);
    int fds[N];
    for (size_t i = 0; i < N; i++) {
        fds[i] = connect_to(&site);
    }
    BECOMES(tw_http_server_usage(site.server).n_connections == N_SEEN);
    send_text(fds[8 + 4], GET_KEEP);
    struct tw_http_request *request = wait_for_kept(&site);
    assert_true(tw_http_is_crowded(request));
    tw_http_answer(request, 503, NULL, 0, "crowded", 7);
    tw_http_release(request);
    expect_on(fds[8 + 4], "crowded");
    send_text(fds[N - 1], GET_HELLO); /* beyond the spare ones: waits until others leave */
    wait_ms(200);
    assert_int_equal(site.n_handled, 1);
    assert_int_equal(tw_http_server_usage(site.server).n_connections, N_SEEN);
    for (size_t i = 0; i < N - 1; i++) {
        close(fds[i]);
    }
    expect_on(fds[N - 1], "hello");
    close(fds[N - 1]);
    BECOMES(tw_http_server_usage(site.server).n_connections == 0);
    expect(&site, GET_HELLO, "hello");
    tw_http_server_stop(site.server);
}

static void two_thousand_two_hundred_connections_are_served(void **state)
{
    (void)state;
    enum { N = 2200 };
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max < 8192 ? limit.rlim_max : 8192;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < 2 * N + 100) {
        print_message("# not tested: the limit of open files is too low\n");
        return; /* cmocka's skip() is a failure for meson */
    }
    struct site site;
    struct tw_http_config config = site_config();
    config.max_connections = N;
    open_site_with(&site, config);
    int *fds = calloc(N, sizeof *fds);
    for (int i = 0; i < N; i++) {
        fds[i] = connect_to(&site);
    }
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < N; i++) {
            send_text(fds[i], GET_HELLO);
        }
        for (int i = 0; i < N; i++) {
            expect_on(fds[i], "hello");
        }
    }
    assert_int_equal(site.n_handled, 2 * N);
    for (int i = 0; i < N; i++) {
        close(fds[i]);
    }
    free(fds);
    tw_http_server_stop(site.server);
}

/* libmicrohttpd takes 128 events at a time, and where that many came it waits for more before it
 * looks at them. */
static void a_burst_of_any_size_is_answered(void **state)
{
    (void)state;
    enum { FEWEST = 120, MOST = 136 };
    struct site site;
    struct tw_http_config config = site_config();
    config.n_threads = 1;
    config.max_connections = MOST + 1;
    open_site_with(&site, config);
    int fds[MOST + 1];
    for (int i = 0; i <= MOST; i++) {
        fds[i] = connect_to(&site);
        send_text(fds[i], GET_HELLO);
        expect_on(fds[i], "hello");
    }
    for (int n = FEWEST; n <= MOST; n++) {
        const int n_before = site.n_handled;
        site.holds = true;
        send_text(fds[MOST], GET_HOLD);
        BECOMES(site.n_handled == n_before + 1);
        for (int i = 0; i < n; i++) {
            send_text(fds[i], GET_HELLO);
        }
        site.holds = false;
        for (int i = 0; i < n; i++) {
            expect_on(fds[i], "hello");
        }
        expect_on(fds[MOST], "hello");
    }
    for (int i = 0; i <= MOST; i++) {
        close(fds[i]);
    }
    tw_http_server_stop(site.server);
}

/* The descriptor of this process that listens on the server's port, or -1. */
static int find_listening(const struct site *site)
{
    for (int fd = 0; fd < 1024; fd++) {
        struct sockaddr_in address = {0};
        int listens = 0;
        socklen_t size = sizeof address, listens_size = sizeof listens;
        if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &listens_size) == 0 && listens &&
            getsockname(fd, (struct sockaddr *)&address, &size) == 0 &&
            ntohs(address.sin_port) == tw_http_server_port(site->server)) {
            return fd;
        }
    }
    return -1;
}

static bool can_connect(uint16_t port)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    const bool is_connected = connect(fd, (const struct sockaddr *)&address, sizeof address) == 0;
    close(fd);
    return is_connected;
}

static void draining_refuses_new_connections_and_ends_what_runs(void **state)
{
    (void)state;
    struct site site;
    open_site(&site);
    int fd;
    struct tw_http_request *request = ask_to_keep(&site, &fd);
    tw_http_server_drain(site.server);
    assert_false(can_connect(tw_http_server_port(site.server)));
    assert_int_equal(tw_http_server_usage(site.server).n_requests, 1);
    tw_http_answer(request, 200, NULL, 0, "the end", 7);
    tw_http_release(request);
    char *answer = receive(fd, NULL); /* the server closes after it */
    assert_non_null(strstr(answer, "Connection: close"));
    assert_non_null(strstr(answer, "the end"));
    free(answer);
    close(fd);
    tw_http_server_stop(site.server);
}

/* Its threads may still use it: another file could have its number by then. */
static void the_listening_socket_is_closed_when_the_threads_have_ended(void **state)
{
    (void)state;
    struct site site;
    open_site(&site);
    int listening = find_listening(&site);
    assert_true(listening >= 0);
    tw_http_server_drain(site.server);
    assert_true(fcntl(listening, F_GETFD) >= 0);
    tw_http_server_stop(site.server);
    assert_true(fcntl(listening, F_GETFD) < 0);
}

static void a_socket_that_was_passed_goes_on_listening_for_others(void **state)
{
    (void)state;
    struct site site, next;
    open_site(&site);
    const uint16_t port = tw_http_server_port(site.server);
    struct tw_http_config config = site_config();
    config.listen_fd = dup(find_listening(&site));
    open_site_with(&next, config); /* two servers have one socket, as of two processes */
    assert_int_equal(tw_http_server_port(next.server), port);
    tw_http_server_drain(next.server);
    assert_true(fcntl(config.listen_fd, F_GETFD) >= 0);
    expect(&site, GET_HELLO, "hello");
    tw_http_server_stop(next.server);
    assert_true(fcntl(config.listen_fd, F_GETFD) < 0);
    expect(&site, GET_HELLO, "hello");
    tw_http_server_stop(site.server);
    assert_false(can_connect(port));
}

static void stopping_leaves_requests_that_can_still_be_released(void **state)
{
    (void)state;
    struct site site;
    open_site(&site);
    int fd;
    struct tw_http_request *request = ask_to_keep(&site, &fd);
    tw_http_server_stop(site.server);
    assert_true(tw_http_is_gone(request));
    tw_http_stream_begin(request, 200, NULL, 0, NULL, 0);
    tw_http_stream_write(request, "x", 1);
    tw_http_stream_end(request);
    tw_http_release(request);
    close(fd);
}

static void an_address_that_cannot_be_used_is_an_error(void **state)
{
    (void)state;
    struct tw_http_config config = site_config();
    struct tw_http_server *server = NULL;
    struct tw_error error;
    config.host = "localhost";
    assert_int_equal(tw_http_server_start(&config, &server, &error), TW_ERR_USAGE);
    assert_non_null(strstr(error.text, "127.0.0.1"));
    struct site site;
    open_site(&site);
    config.host = "127.0.0.1";
    config.port = tw_http_server_port(site.server);
    assert_int_equal(tw_http_server_start(&config, &server, &error), TW_ERR_IO);
    assert_non_null(strstr(error.text, "cannot listen on 127.0.0.1"));
    tw_http_server_stop(site.server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_answered_and_the_connection_stays),
        cmocka_unit_test(a_fit_request_id_is_kept_and_another_is_replaced),
        cmocka_unit_test(another_thread_can_answer_later),
        cmocka_unit_test(a_stream_arrives_piece_by_piece_with_heartbeats),
        cmocka_unit_test(ambiguous_lengths_are_refused),
        cmocka_unit_test(a_body_beyond_the_bound_is_refused_however_it_comes),
        cmocka_unit_test(bodies_are_bounded_all_together),
        cmocka_unit_test(a_body_that_was_dropped_makes_room_before_its_answer),
        cmocka_unit_test(a_head_beyond_the_bound_is_refused),
        cmocka_unit_test(a_head_that_trickles_is_cut_off_at_its_deadline),
        cmocka_unit_test(a_body_that_trickles_is_cut_off_at_its_deadline),
        cmocka_unit_test(an_idle_connection_is_closed_and_a_waiting_one_is_not),
        cmocka_unit_test(connections_beyond_the_bound_are_told_so_or_wait),
        cmocka_unit_test(two_thousand_two_hundred_connections_are_served),
        cmocka_unit_test(a_burst_of_any_size_is_answered),
        cmocka_unit_test(draining_refuses_new_connections_and_ends_what_runs),
        cmocka_unit_test(the_listening_socket_is_closed_when_the_threads_have_ended),
        cmocka_unit_test(a_socket_that_was_passed_goes_on_listening_for_others),
        cmocka_unit_test(stopping_leaves_requests_that_can_still_be_released),
        cmocka_unit_test(an_address_that_cannot_be_used_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
