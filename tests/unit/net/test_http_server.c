/* The HTTP server against raw sockets, each test with a server of its own on a free port. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
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
#include "net/http_state.h"

#define ANSWER_BYTES ((size_t)1 << 16)
#define SECOND_NS    INT64_C(1000000000)
#define PATIENCE_NS  (30 * SECOND_NS) /* also on a machine that is busy otherwise */
#define LARGE_BYTES  90000            /* of a body */
#define GET_KEEP     "GET /keep HTTP/1.1\r\nHost: a\r\n\r\n"
#define GET_HELLO    "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

/* Waits until it holds. */
#define BECOMES(condition)                                                                         \
    do {                                                                                           \
        const int64_t waits_since_ns = tw_clock_monotonic_ns();                                    \
        while (!(condition) && tw_clock_monotonic_ns() - waits_since_ns < PATIENCE_NS) {           \
            wait_ms(1);                                                                            \
        }                                                                                          \
        assert_true(condition);                                                                    \
    } while (false)

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
    const struct timeval patience = {.tv_sec = 30};
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

/* Reads until a text comes, which must. */
static void expect_on(int fd, const char *wanted)
{
    char *answer = receive(fd, wanted);
    if (strstr(answer, wanted) == NULL) {
        fail_msg("no '%s' in '%.300s'", wanted, answer);
    }
    free(answer);
}

static struct tw_http_request *wait_for_kept(struct site *site)
{
    BECOMES(site->kept != NULL);
    return atomic_exchange(&site->kept, NULL);
}

/* A client whose request waits for its answer. */
static struct tw_http_request *ask_to_keep(struct site *site, int *ret_fd)
{
    *ret_fd = connect_to(site);
    send_text(*ret_fd, GET_KEEP);
    return wait_for_kept(site);
}

/* Asks once on a connection of its own and wants an answer that holds a text. */
static void expect(const struct site *site, const char *request, const char *wanted)
{
    int fd = connect_to(site);
    send_text(fd, request);
    expect_on(fd, wanted);
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
    struct tw_http_config config = quick_config();
    config.all_bodies_bytes = LARGE_BYTES * 3 / 2;
    config.body_seconds = 60;
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
    open_site(&site);
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
    open_site(&site);
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
    open_site(&site);
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
    struct tw_http_config config = quick_config();
    config.head_seconds = 3600;
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
    struct tw_http_config config = quick_config();
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
    assert_true(tw_clock_monotonic_ns() - start_ns > SECOND_NS);
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
    struct tw_http_config config = quick_config();
    config.stall_seconds = 1;
    open_site_with(&site, config);
    int fd;
    struct tw_http_request *request = open_stream(&site, &fd);
    char *filler = calloc(1, TW_LIMIT_HTTP_STREAM_BYTES);
    tw_http_stream_write(request, filler, TW_LIMIT_HTTP_STREAM_BYTES);
    const int64_t start_ns = tw_clock_monotonic_ns();
    while (tw_clock_monotonic_ns() - start_ns < 3 * SECOND_NS) {
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
    struct tw_http_config config = quick_config();
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
    assert_true(tw_clock_monotonic_ns() - start_ns > SECOND_NS);
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
    struct tw_http_config config = quick_config();
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

/* ---- many, and the end ---- */

static void connections_beyond_the_bound_are_told_so_or_wait(void **state)
{
    (void)state;
    enum { N_SEEN = 8 + TW_LIMIT_HTTP_SPARE_CONNECTIONS, N = N_SEEN + 8 };
    struct site site;
    struct tw_http_config config = quick_config();
    config.max_connections = 8;
    config.idle_seconds = config.head_seconds = 60;
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
            send_text(fds[i], GET_HELLO);
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
    struct tw_http_config config = quick_config();
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
        cmocka_unit_test(a_body_that_was_dropped_makes_room_before_its_answer),
        cmocka_unit_test(a_head_beyond_the_bound_is_refused),
        cmocka_unit_test(a_head_that_trickles_is_cut_off_at_its_deadline),
        cmocka_unit_test(a_body_that_trickles_is_cut_off_at_its_deadline),
        cmocka_unit_test(an_idle_connection_is_closed_and_a_waiting_one_is_not),
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
        cmocka_unit_test(connections_beyond_the_bound_are_told_so_or_wait),
        cmocka_unit_test(two_thousand_two_hundred_connections_are_served),
        cmocka_unit_test(draining_refuses_new_connections_and_ends_what_runs),
        cmocka_unit_test(the_listening_socket_is_closed_when_the_threads_have_ended),
        cmocka_unit_test(a_socket_that_was_passed_goes_on_listening_for_others),
        cmocka_unit_test(stopping_leaves_requests_that_can_still_be_released),
        cmocka_unit_test(an_address_that_cannot_be_used_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
