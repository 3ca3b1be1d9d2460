#include "http_site.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ANSWER_BYTES ((size_t)1 << 16)

static void handle(void *context, struct tw_http_request *request)
{
    struct site *site = context;
    static const struct tw_http_header headers[] = {{"Content-Type", "text/plain"}};
    site->n_handled++;
    if (strcmp(tw_http_path(request), "/keep") == 0) {
        site->kept = request;
        return;
    }
    while (strcmp(tw_http_path(request), "/hold") == 0 && site->holds) {
        wait_ms(1);
    }
    size_t n_bytes;
    const char *body = tw_http_body(request, &n_bytes);
    memcpy(site->body, body, n_bytes < sizeof site->body ? n_bytes : sizeof site->body);
    site->body_bytes = n_bytes;
    tw_http_answer(request, 200, headers, 1, "hello", 5);
    tw_http_release(request);
}

struct tw_http_config site_config(void)
{
    struct tw_http_config config = tw_http_defaults();
    config.port = 0;
    config.head_seconds = config.body_seconds = config.idle_seconds = 60;
    config.max_connections = 64;
    config.body_bytes = 100000;
    return config;
}

void open_site_with(struct site *site, struct tw_http_config config)
{
    memset(site, 0, sizeof *site);
    config.handler = handle;
    config.context = site;
    struct tw_error error;
    assert_int_equal(tw_http_server_start(&config, &site->server, &error), TW_OK);
}

void open_site(struct site *site)
{
    open_site_with(site, site_config());
}

int connect_to(const struct site *site)
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

void send_text(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

char *receive(int fd, const char *until)
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

void wait_ms(int ms)
{
    const struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
    nanosleep(&time, NULL);
}

void expect_on(int fd, const char *wanted)
{
    const int64_t start_ns = tw_clock_monotonic_ns();
    char *answer = receive(fd, wanted);
    if (strstr(answer, wanted) == NULL) {
        int unsent_bytes = -1; /* what the server's side of the socket has not taken */
        ioctl(fd, TIOCOUTQ, &unsent_bytes);
        fail_msg("no '%s' in '%.300s' after %d ms, %d bytes unsent", wanted, answer,
                 (int)((tw_clock_monotonic_ns() - start_ns) / 1000000), unsent_bytes);
    }
    free(answer);
}

struct tw_http_request *wait_for_kept(struct site *site)
{
    BECOMES(site->kept != NULL);
    return atomic_exchange(&site->kept, NULL);
}

struct tw_http_request *ask_to_keep(struct site *site, int *ret_fd)
{
    *ret_fd = connect_to(site);
    send_text(*ret_fd, GET_KEEP);
    return wait_for_kept(site);
}

void expect(const struct site *site, const char *request, const char *wanted)
{
    int fd = connect_to(site);
    send_text(fd, request);
    expect_on(fd, wanted);
    close(fd);
}
