/* The HTTP server against raw sockets, each test with a server of its own on a free port. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "net/http_server.h"

#define ANSWER_BYTES ((size_t)1 << 16)

/* What the handler does is told by the path. */
struct site {
    struct tw_http_server *server;
    _Atomic(struct tw_http_request *) kept; /* "/keep": whoever tests answers */
    atomic_int n_handled;
    char body[256];
    atomic_size_t body_bytes;
};

static void handle(void *context, struct tw_http_request *request)
{
    struct site *site = context;
    static const struct tw_http_header headers[] = {{"Content-Type", "text/plain"}};
    site->n_handled++;
    if (strcmp(tw_http_path(request), "/keep") == 0) {
        site->kept = request;
        return;
    }
    size_t n_bytes;
    const char *body = tw_http_body(request, &n_bytes);
    memcpy(site->body, body, n_bytes < sizeof site->body ? n_bytes : sizeof site->body);
    site->body_bytes = n_bytes;
    tw_http_answer(request, 200, headers, 1, "hello", 5);
    tw_http_release(request);
}

static struct tw_http_config quick_config(void)
{
    struct tw_http_config config = tw_http_defaults();
    config.port = 0;
    config.head_seconds = config.body_seconds = config.idle_seconds = 1;
    config.max_connections = 64;
    config.body_bytes = 100000;
    return config;
}

static void open_site_with(struct site *site, struct tw_http_config config)
{
    memset(site, 0, sizeof *site);
    config.handler = handle;
    config.context = site;
    struct tw_error error;
    assert_int_equal(tw_http_server_start(&config, &site->server, &error), TW_OK);
}

static void open_site(struct site *site)
{
    open_site_with(site, quick_config());
}

static int connect_to(const struct site *site)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(tw_http_server_port(site->server)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    const struct timeval patience = {.tv_sec = 10};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return fd;
}

static void send_text(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Reads until the connection ends or until what was read holds `until`. */
static char *receive(int fd, const char *until)
{
    char *answer = calloc(1, ANSWER_BYTES);
    size_t n_bytes = 0;
    while (n_bytes + 1 < ANSWER_BYTES && (until == NULL || strstr(answer, until) == NULL)) {
        ssize_t n = recv(fd, answer + n_bytes, ANSWER_BYTES - 1 - n_bytes, 0);
        if (n <= 0) {
            break;
        }
        n_bytes += (size_t)n;
    }
    return answer;
}

static void wait_ms(int ms)
{
    const struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
    nanosleep(&time, NULL);
}

static struct tw_http_request *wait_for_kept(struct site *site)
{
    for (int i = 0; i < 1000 && site->kept == NULL; i++) {
        wait_ms(5);
    }
    assert_non_null(site->kept);
    return site->kept;
}

static bool becomes_gone(const struct tw_http_request *request, int ms)
{
    for (int i = 0; i < ms && !tw_http_is_gone(request); i++) {
        wait_ms(1);
    }
    return tw_http_is_gone(request);
}

/* Asks once on a connection of its own and wants an answer that holds a text. */
static void expect(const struct site *site, const char *request, const char *wanted)
{
    int fd = connect_to(site);
    send_text(fd, request);
    char *answer = receive(fd, wanted);
    if (strstr(answer, wanted) == NULL) {
        fail_msg("no '%s' in '%.300s'", wanted, answer);
    }
    free(answer);
    close(fd);
}

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
    int fd = connect_to(&site);
    send_text(fd, "GET /keep HTTP/1.1\r\nHost: a\r\n\r\n");
    struct tw_http_request *request = wait_for_kept(&site);
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
    int fd = connect_to(&site);
    send_text(fd, "GET /keep HTTP/1.1\r\nHost: a\r\n\r\n");
    struct tw_http_request *request = wait_for_kept(&site);
    tw_http_stream_begin(request, 200, NULL, 0, ": still here\n", 1);
    tw_http_stream_write(request, "first", 5);
    char *answer = receive(fd, "first");
    assert_non_null(strstr(answer, "chunked"));
    free(answer);
    answer = receive(fd, ": still here");
    assert_non_null(strstr(answer, ": still here"));
    free(answer);
    tw_http_stream_write(request, "last", 4);
    tw_http_stream_end(request);
    tw_http_release(request);
    answer = receive(fd, "\r\n0\r\n\r\n");
    assert_non_null(strstr(answer, "last"));
    free(answer);
    /* The connection is as good as before. */
    send_text(fd, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    answer = receive(fd, "hello");
    assert_non_null(strstr(answer, "hello"));
    free(answer);
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
    char *answer = receive(fd, "HTTP/1.1 413");
    assert_non_null(strstr(answer, "HTTP/1.1 413"));
    free(answer);
    close(fd);
    assert_int_equal(site.n_handled, 0);
    tw_http_server_stop(site.server);
}

static void bodies_are_bounded_all_together(void **state)
{
    (void)state;
    struct site site;
    struct tw_http_config config = quick_config();
    config.all_bodies_bytes = 150000;
    config.body_seconds = 10;
    open_site_with(&site, config);
    int first = connect_to(&site), second = connect_to(&site);
    char *filler = calloc(1, 90001);
    memset(filler, 'x', 90000);
    send_text(first, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 90001\r\n\r\n");
    send_text(first, filler);
    wait_ms(200);
    send_text(second, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 90000\r\n\r\n");
    send_text(second, filler);
    char *answer = receive(second, "HTTP/1.1 503");
    assert_non_null(strstr(answer, "HTTP/1.1 503"));
    free(answer);
    send_text(first, "y"); /* the first one is not hurt */
    answer = receive(first, "hello");
    assert_non_null(strstr(answer, "HTTP/1.1 200"));
    free(answer);
    wait_ms(100); /* and there is room again */
    int third = connect_to(&site);
    send_text(third, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 90000\r\n\r\n");
    send_text(third, filler);
    answer = receive(third, "hello");
    assert_non_null(strstr(answer, "HTTP/1.1 200"));
    free(answer);
    free(filler);
    close(first);
    close(second);
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
    for (size_t i = 0; tw_clock_monotonic_ns() - start_ns < INT64_C(8000000000); i++) {
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
    open_site(&site);
    int fd = connect_to(&site);
    send_text(fd, "GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ");
    double seconds = seconds_until_closed(fd, "x");
    assert_true(seconds > 0.8 && seconds < 4);
    close(fd);
    tw_http_server_stop(site.server);
}

static void a_body_that_trickles_is_cut_off_at_its_deadline(void **state)
{
    (void)state;
    struct site site;
    open_site(&site);
    int fd = connect_to(&site);
    send_text(fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n");
    double seconds = seconds_until_closed(fd, "x");
    assert_true(seconds > 0.8 && seconds < 4);
    assert_int_equal(site.n_handled, 0);
    assert_true(tw_http_server_usage(site.server).n_refused > 0);
    close(fd);
    tw_http_server_stop(site.server);
}

static void an_idle_connection_is_closed_and_a_waiting_one_is_not(void **state)
{
    (void)state;
    struct site site;
    open_site(&site);
    int idle = connect_to(&site), waiting = connect_to(&site);
    send_text(idle, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    send_text(waiting, "GET /keep HTTP/1.1\r\nHost: a\r\n\r\n");
    struct tw_http_request *request = wait_for_kept(&site);
    char *answer = receive(idle, NULL); /* until it is closed */
    assert_non_null(strstr(answer, "hello"));
    free(answer);
    wait_ms(500);
    assert_false(tw_http_is_gone(request));
    tw_http_answer(request, 200, NULL, 0, "at last", 7);
    tw_http_release(request);
    answer = receive(waiting, "at last");
    assert_non_null(strstr(answer, "at last"));
    free(answer);
    close(idle);
    close(waiting);
    tw_http_server_stop(site.server);
}

/* ---- clients that leave ---- */

static void a_client_that_closes_while_it_waits_is_noticed(void **state)
{
    (void)state;
    struct site site;
    open_site(&site);
    int fd = connect_to(&site);
    send_text(fd, "GET /keep HTTP/1.1\r\nHost: a\r\n\r\n");
    struct tw_http_request *request = wait_for_kept(&site);
    assert_false(becomes_gone(request, 200));
    close(fd);
    assert_true(becomes_gone(request, 1000));
    tw_http_answer(request, 200, NULL, 0, "to nobody", 9);
    tw_http_release(request);
    tw_http_server_stop(site.server);
}

static void a_client_that_closes_its_sending_side_is_gone(void **state)
{
    (void)state;
    struct site site;
    open_site(&site);
    int fd = connect_to(&site);
    send_text(fd, "GET /keep HTTP/1.1\r\nHost: a\r\n\r\n");
    struct tw_http_request *request = wait_for_kept(&site);
    shutdown(fd, SHUT_WR);
    assert_true(becomes_gone(request, 1000));
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
        send_text(fd, "GET /keep HTTP/1.1\r\nHost: a\r\n\r\n");
        shutdown(fd, SHUT_WR);
        struct tw_http_request *request = wait_for_kept(&site);
        site.kept = NULL;
        assert_true(becomes_gone(request, 1000));
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
    int fd = connect_to(&site);
    send_text(fd, "GET /keep HTTP/1.1\r\nHost: a\r\n\r\n");
    struct tw_http_request *request = wait_for_kept(&site);
    tw_http_stream_begin(request, 200, NULL, 0, NULL, 0);
    tw_http_stream_write(request, "first", 5);
    free(receive(fd, "first"));
    const struct linger hard = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(fd);
    assert_true(becomes_gone(request, 1000));
    tw_http_stream_write(request, "more", 4);
    tw_http_stream_end(request);
    tw_http_release(request);
    assert_int_equal(tw_http_server_usage(site.server).n_gone, 1);
    tw_http_server_stop(site.server);
}

/* A descriptor's number is taken again at once; the new connection must not be mistaken. */
static void a_new_connection_is_not_taken_for_the_one_that_left(void **state)
{
    (void)state;
    struct site site;
    open_site(&site);
    for (int i = 0; i < 200; i++) {
        int leaving = connect_to(&site);
        send_text(leaving, "GET /keep HTTP/1.1\r\nHost: a\r\n\r\n");
        struct tw_http_request *left = wait_for_kept(&site);
        site.kept = NULL;
        close(leaving);
        int fd = connect_to(&site);
        send_text(fd, "GET /keep HTTP/1.1\r\nHost: a\r\n\r\n");
        struct tw_http_request *request = wait_for_kept(&site);
        site.kept = NULL;
        assert_true(becomes_gone(left, 1000));
        assert_false(tw_http_is_gone(request));
        tw_http_release(left);
        tw_http_answer(request, 200, NULL, 0, "for you", 7);
        tw_http_release(request);
        char *answer = receive(fd, "for you");
        assert_non_null(strstr(answer, "for you"));
        free(answer);
        close(fd);
    }
    tw_http_server_stop(site.server);
}

static void a_stream_that_is_not_read_is_ended_and_bounded(void **state)
{
    (void)state;
    struct site site;
    struct tw_http_config config = quick_config();
    config.stream_soft_bytes = 10000;
    config.stream_soft_seconds = 1;
    config.stream_hard_bytes = 100000000;
    open_site_with(&site, config);
    int fd = connect_to(&site);
    send_text(fd, "GET /keep HTTP/1.1\r\nHost: a\r\n\r\n");
    struct tw_http_request *request = wait_for_kept(&site);
    tw_http_stream_begin(request, 200, NULL, 0, NULL, 0);
    char *filler = calloc(1, 20000000); /* more than the kernel buffers */
    tw_http_stream_write(request, filler, 20000000);
    free(filler);
    assert_false(becomes_gone(request, 500));
    assert_true(becomes_gone(request, 5000));
    tw_http_release(request);
    close(fd);
    tw_http_server_stop(site.server);
}

static void a_stream_beyond_its_hard_bound_is_ended_at_once(void **state)
{
    (void)state;
    struct site site;
    struct tw_http_config config = quick_config();
    config.stream_hard_bytes = 1000;
    open_site_with(&site, config);
    int fd = connect_to(&site);
    send_text(fd, "GET /keep HTTP/1.1\r\nHost: a\r\n\r\n");
    struct tw_http_request *request = wait_for_kept(&site);
    tw_http_stream_begin(request, 200, NULL, 0, NULL, 0);
    char filler[2000] = {0};
    tw_http_stream_write(request, filler, sizeof filler);
    assert_true(tw_http_is_gone(request));
    assert_true(tw_http_pending_bytes(request) <= 1000);
    tw_http_release(request);
    close(fd);
    tw_http_server_stop(site.server);
}

/* ---- many, and the end ---- */

static void connections_beyond_the_bound_are_told_so(void **state)
{
    (void)state;
    struct site site;
    struct tw_http_config config = quick_config();
    config.max_connections = 8;
    config.idle_seconds = config.head_seconds = 60;
    open_site_with(&site, config);
    int fds[8 + TW_LIMIT_HTTP_SPARE_CONNECTIONS + 8];
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++) {
        fds[i] = connect_to(&site);
    }
    wait_ms(200);
    assert_true(tw_http_server_usage(site.server).n_connections <=
                8 + TW_LIMIT_HTTP_SPARE_CONNECTIONS);
    send_text(fds[8 + 4], "GET /keep HTTP/1.1\r\nHost: a\r\n\r\n");
    struct tw_http_request *request = wait_for_kept(&site);
    assert_true(tw_http_is_crowded(request));
    tw_http_answer(request, 503, NULL, 0, "crowded", 7);
    tw_http_release(request);
    char *answer = receive(fds[8 + 4], "crowded");
    assert_non_null(strstr(answer, "503"));
    free(answer);
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++) {
        close(fds[i]);
    }
    wait_ms(300);
    expect(&site, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "hello");
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
        skip();
    }
    struct site site;
    struct tw_http_config config = quick_config();
    config.max_connections = N;
    config.head_seconds = config.idle_seconds = 60;
    open_site_with(&site, config);
    int *fds = calloc(N, sizeof *fds);
    for (int i = 0; i < N; i++) {
        fds[i] = connect_to(&site);
    }
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < N; i++) {
            send_text(fds[i], "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        }
        for (int i = 0; i < N; i++) {
            char *answer = receive(fds[i], "hello");
            assert_non_null(strstr(answer, "HTTP/1.1 200"));
            free(answer);
        }
    }
    assert_int_equal(site.n_handled, 2 * N);
    for (int i = 0; i < N; i++) {
        close(fds[i]);
    }
    free(fds);
    tw_http_server_stop(site.server);
}

static void draining_refuses_new_connections_and_ends_what_runs(void **state)
{
    (void)state;
    struct site site;
    open_site(&site);
    int fd = connect_to(&site);
    send_text(fd, "GET /keep HTTP/1.1\r\nHost: a\r\n\r\n");
    struct tw_http_request *request = wait_for_kept(&site);
    tw_http_server_drain(site.server);
    wait_ms(100);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(tw_http_server_port(site.server)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int refused = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_not_equal(connect(refused, (const struct sockaddr *)&address, sizeof address), 0);
    close(refused);
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

static void stopping_leaves_requests_that_can_still_be_released(void **state)
{
    (void)state;
    struct site site;
    open_site(&site);
    int fd = connect_to(&site);
    send_text(fd, "GET /keep HTTP/1.1\r\nHost: a\r\n\r\n");
    struct tw_http_request *request = wait_for_kept(&site);
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
    struct tw_http_config config = quick_config();
    struct tw_http_server *server = NULL;
    struct tw_error error;
    config.handler = handle;
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
        cmocka_unit_test(a_head_beyond_the_bound_is_refused),
        cmocka_unit_test(a_head_that_trickles_is_cut_off_at_its_deadline),
        cmocka_unit_test(a_body_that_trickles_is_cut_off_at_its_deadline),
        cmocka_unit_test(an_idle_connection_is_closed_and_a_waiting_one_is_not),
        cmocka_unit_test(a_client_that_closes_while_it_waits_is_noticed),
        cmocka_unit_test(a_client_that_closes_its_sending_side_is_gone),
        cmocka_unit_test(a_client_that_closed_before_its_request_was_handled_is_noticed),
        cmocka_unit_test(a_client_that_resets_a_stream_is_noticed),
        cmocka_unit_test(a_new_connection_is_not_taken_for_the_one_that_left),
        cmocka_unit_test(a_stream_that_is_not_read_is_ended_and_bounded),
        cmocka_unit_test(a_stream_beyond_its_hard_bound_is_ended_at_once),
        cmocka_unit_test(connections_beyond_the_bound_are_told_so),
        cmocka_unit_test(two_thousand_two_hundred_connections_are_served),
        cmocka_unit_test(draining_refuses_new_connections_and_ends_what_runs),
        cmocka_unit_test(stopping_leaves_requests_that_can_still_be_released),
        cmocka_unit_test(an_address_that_cannot_be_used_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
