#define _GNU_SOURCE /* ppoll */
/* What the books cost a request through HTTP, where nothing is computed (null_backend.c): the whole
 * server and whoever asks it, in one process, with books and without, in turn.
 *
 *     http_hub_rates MODEL FOLDER [ROUNDS]
 *
 * MODEL gives tokenizer and template; FOLDER is on the disk that is to be measured. Each round, of
 * streams of one token: a closed loop of 64 connections; then 1,000 requests a second, evenly, and
 * when the first byte of their answers comes. Prints CSV.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/api.h"
#include "base/clock.h"
#include "base/mem.h"
#include "hub_site.h"

#define CONNECTIONS  64
#define CLOSED       20000
#define OPEN         8000
#define OPEN_STEP_NS (TW_SECOND_NS / 1000)
#define ANSWER_BYTES 8192
#define BODY                                                                                       \
    "{\"messages\":[{\"role\":\"user\",\"content\":\"What can you "                                \
    "do?\"}],\"max_tokens\":1,\"stream\":true}"

struct client {
    int fd;
    bool is_busy, has_begun;
    size_t n_bytes;
    char answer[ANSWER_BYTES + 1];
    int64_t due_ns;
};

struct load {
    struct client clients[CONNECTIONS];
    struct pollfd polled[CONNECTIONS];
    char request[1024];
    size_t request_bytes;
    int64_t *first_ns; /* [n_first], of the open loop */
    size_t n_first, n_done;
};

static int connect_to(uint16_t port)
{
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    const int on = 1;
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address) != 0) {
        hub_site_die("no connection to the server");
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static void ask(struct load *load, struct client *client, int64_t due_ns)
{
    client->is_busy = true;
    client->has_begun = false;
    client->n_bytes = 0;
    client->due_ns = due_ns;
    if (write(client->fd, load->request, load->request_bytes) != (ssize_t)load->request_bytes) {
        hub_site_die("a request could not be sent");
    }
}

/* What came. An answer has ended with its last chunk. */
static void take(struct load *load, struct client *client)
{
    const ssize_t n =
        read(client->fd, client->answer + client->n_bytes, ANSWER_BYTES - client->n_bytes);
    if (n <= 0) {
        hub_site_die("the server closed a connection");
    }
    client->n_bytes += (size_t)n;
    client->answer[client->n_bytes] = '\0';
    if (!client->has_begun && strstr(client->answer, "data: ") != NULL) {
        client->has_begun = true;
        if (load->first_ns != NULL) {
            load->first_ns[load->n_first++] = tw_clock_monotonic_ns() - client->due_ns;
        }
    }
    if (strstr(client->answer, "\r\n0\r\n\r\n") != NULL) {
        if (strstr(client->answer, "[DONE]") == NULL) {
            hub_site_die(client->answer);
        }
        client->is_busy = false;
        load->n_done++;
    } else if (strncmp(client->answer, "HTTP/1.1 200", 12) != 0 && client->n_bytes > 12) {
        hub_site_die(client->answer);
    }
}

static void wait_for_some(struct load *load, int64_t until_ns)
{
    const int64_t left_ns = until_ns - tw_clock_monotonic_ns();
    for (size_t i = 0; i < CONNECTIONS; i++) {
        load->polled[i] = (struct pollfd){.fd = load->clients[i].fd, .events = POLLIN};
    }
    const struct timespec most = {.tv_nsec = left_ns > 0 && left_ns < TW_SECOND_NS ? left_ns : 0,
                                  .tv_sec = left_ns >= TW_SECOND_NS};
    if (ppoll(load->polled, CONNECTIONS, &most, NULL) < 0 && errno != EINTR) {
        hub_site_die("ppoll failed");
    }
    for (size_t i = 0; i < CONNECTIONS; i++) {
        if (load->polled[i].revents != 0) {
            take(load, &load->clients[i]);
        }
    }
}

static double run_closed(struct load *load)
{
    const int64_t before_ns = tw_clock_monotonic_ns();
    size_t n_asked = 0;
    load->first_ns = NULL;
    load->n_done = 0;
    while (load->n_done < CLOSED) {
        for (size_t i = 0; i < CONNECTIONS && n_asked < CLOSED; i++) {
            if (!load->clients[i].is_busy) {
                ask(load, &load->clients[i], 0);
                n_asked++;
            }
        }
        wait_for_some(load, tw_clock_monotonic_ns() + TW_SECOND_NS);
    }
    return CLOSED / ((double)(tw_clock_monotonic_ns() - before_ns) / 1e9);
}

/* Times count from when a request was due, also where it had to wait for a connection. */
static void run_open(struct load *load, int64_t *first_ns)
{
    const int64_t start_ns = tw_clock_monotonic_ns();
    size_t n_asked = 0;
    load->first_ns = first_ns;
    load->n_first = load->n_done = 0;
    while (load->n_done < OPEN) {
        const int64_t due_ns = start_ns + (int64_t)n_asked * OPEN_STEP_NS;
        size_t i = 0;
        while (i < CONNECTIONS && load->clients[i].is_busy) {
            i++;
        }
        if (n_asked < OPEN && i < CONNECTIONS && due_ns <= tw_clock_monotonic_ns()) {
            ask(load, &load->clients[i], due_ns);
            n_asked++;
        } else {
            wait_for_some(load, n_asked < OPEN ? due_ns : tw_clock_monotonic_ns() + TW_SECOND_NS);
        }
    }
}

/* ---- a server ---- */

struct site {
    struct tw_stage *stage;
    struct tw_backend *backend;
    struct tw_hub *hub;
    struct tw_api *api;
    struct tw_http_server *server;
};

static void start(struct site *site, const char *model, const char *address)
{
    struct tw_error error;
    const struct tw_stage_config stage = {.n_models = 1, .n_threads = 1, .level = tw_cpu_detect()};
    const struct tw_backend_config backend = {.name = "null", .path = model, .max_waiting = 1000};
    hub_site_must(tw_stage_create(&stage, &site->stage, &error), &error);
    hub_site_must(tw_backend_open(&backend, site->stage, &site->backend, &error), &error);
    if (address != NULL) {
        site->hub = hub_site_open(address, tw_api_take_project, site->stage);
    }
    const struct tw_api_model served = {.name = "null", .backend = site->backend};
    const struct tw_api_config api = {.models = &served,
                                      .n_models = 1,
                                      .stage = site->stage,
                                      .n_preparing_threads = 2,
                                      .hub = site->hub};
    hub_site_must(tw_api_create(&api, &site->api, &error), &error);
    struct tw_http_config http = tw_http_defaults();
    http.port = 0;
    http.handler = tw_api_handle;
    http.keeps_body = tw_api_keeps_body;
    http.context = site->api;
    hub_site_must(tw_http_server_start(&http, &site->server, &error), &error);
    tw_api_set_server(site->api, site->server);
}

static void stop(struct site *site)
{
    tw_api_stop(site->api);
    tw_backend_stop(site->backend);
    tw_hub_stop(site->hub);
    tw_http_server_stop(site->server);
    tw_hub_close(site->hub);
    tw_api_free(site->api);
    tw_backend_free(site->backend);
    tw_stage_free(site->stage);
}

static void measure(const char *model, const char *address, const char *key)
{
    static struct load load;
    static int64_t first_ns[OPEN];
    struct site site = {0};
    start(&site, model, address);
    load.request_bytes = (size_t)snprintf(
        load.request, sizeof load.request,
        "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n"
        "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n" BODY,
        key, sizeof BODY - 1);
    for (size_t i = 0; i < CONNECTIONS; i++) {
        load.clients[i] = (struct client){.fd = connect_to(tw_http_server_port(site.server))};
    }
    const char *name = address != NULL ? "on" : "off";
    printf("%s,requests_per_s,%.0f\n", name, run_closed(&load));
    run_open(&load, first_ns);
    printf("%s,first_byte_p50_ms,%.3f\n", name, hub_site_at_ms(first_ns, load.n_first, 0.5));
    printf("%s,first_byte_p99_ms,%.3f\n", name, hub_site_at_ms(first_ns, load.n_first, 0.99));
    for (size_t i = 0; i < CONNECTIONS; i++) {
        close(load.clients[i].fd);
    }
    stop(&site);
}

int main(int argc, char **argv)
{
    char address[4096], keys[HUB_SITE_KEYS][HUB_SITE_SECRET_BYTES];
    const int n_rounds = argc > 3 ? (int)strtol(argv[3], NULL, 10) : 3;
    if (argc < 3) {
        hub_site_die("usage: http_hub_rates MODEL FOLDER [ROUNDS]");
    }
    mkdir(argv[2], 0700);
    snprintf(address, sizeof address, "%s/books-%d.db", argv[2], (int)getpid());
    struct tw_hub *hub = hub_site_open(address, NULL, NULL);
    hub_site_make(hub, keys);
    tw_hub_close(hub);
    printf("books,what,value\n");
    for (int i = 0; i < n_rounds; i++) {
        printf("disk,fdatasync_p50_ms,%.3f\n", hub_site_sync_ms(argv[2]));
        measure(argv[1], NULL, "none");
        measure(argv[1], address, keys[0]);
    }
    return 0;
}
