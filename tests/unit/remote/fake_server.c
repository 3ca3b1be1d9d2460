#define _GNU_SOURCE
#include "fake_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* False once the client is gone. */
static bool say(int fd, const char *bytes, size_t n_bytes)
{
    while (n_bytes > 0) {
        const ssize_t n = send(fd, bytes, n_bytes, MSG_NOSIGNAL);
        if (n <= 0) {
            return false;
        }
        bytes += n;
        n_bytes -= (size_t)n;
    }
    return true;
}

static bool say_text(int fd, const char *text)
{
    return say(fd, text, strlen(text));
}

static bool say_chunk(int fd, const char *text)
{
    char head[32];
    snprintf(head, sizeof head, "%zx\r\n", strlen(text));
    return say_text(fd, head) && say_text(fd, text) && say_text(fd, "\r\n");
}

static bool say_whole(int fd, int status, const char *more, const char *body, size_t n_bytes)
{
    char head[256];
    snprintf(head, sizeof head,
             "HTTP/1.1 %d Said\r\nContent-Type: application/json\r\n%sX-Request-Id: fake-1\r\n"
             "Content-Length: %zu\r\n\r\n",
             status, more, n_bytes);
    return say_text(fd, head) && say(fd, body, n_bytes);
}

static bool has_left(int fd, int wait_ms)
{
    char byte;
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN | POLLRDHUP};
    return poll(&poll_fd, 1, wait_ms) > 0 && recv(fd, &byte, 1, MSG_PEEK) <= 0;
}

/* Until the client closes. */
static bool hang(struct fake_connection *connection)
{
    while (!has_left(connection->fd, 1000)) {
    }
    atomic_fetch_add(&connection->server->n_left, 1);
    return false;
}

static const char stream_head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                                  "Transfer-Encoding: chunked\r\n\r\n";

static bool stream(struct fake_connection *connection)
{
    const int fd = connection->fd;
    char event[128];
    bool goes_on = say_text(fd, stream_head);
    for (int i = 0; i < 10 && goes_on; i++) {
        snprintf(event, sizeof event,
                 "data: {\"id\":\"a\",\"model\":\"m\",\"choices\":[{\"index\":0,"
                 "\"delta\":{\"content\":\"%d\"}}]}\n\n",
                 i);
        goes_on = say_chunk(fd, event);
    }
    return goes_on && say_chunk(fd, "data: [DONE]\n\n") && say_text(fd, "0\r\n\r\n");
}

static bool flood(struct fake_connection *connection, int n_mb)
{
    static char block[65536];
    char head[64];
    snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", n_mb << 20);
    bool goes_on = say_text(connection->fd, head);
    for (int i = 0; i < 16 * n_mb && goes_on; i++) {
        goes_on = say(connection->fd, block, sizeof block);
    }
    atomic_fetch_add(&connection->server->n_left, !goes_on);
    return goes_on;
}

static bool drip(struct fake_connection *connection)
{
    bool goes_on = say_text(connection->fd, stream_head);
    while (goes_on && !has_left(connection->fd, 20)) {
        goes_on = say_chunk(connection->fd, ".");
    }
    atomic_fetch_add(&connection->server->n_left, 1);
    return false;
}

static bool hold(struct fake_connection *connection)
{
    bool goes_on =
        say_text(connection->fd, stream_head) && say_chunk(connection->fd, ": begun\n\n");
    while (goes_on && atomic_load(&connection->server->holds)) {
        if (has_left(connection->fd, 20)) {
            atomic_fetch_add(&connection->server->n_left, 1);
            return false;
        }
    }
    return goes_on && say_chunk(connection->fd, "data: [DONE]\n\n") &&
           say_text(connection->fd, "0\r\n\r\n");
}

static bool many_lines(struct fake_connection *connection, int n)
{
    static const char line[] = "X-Line: 0123456789012345678901234567890123456789\r\n";
    bool goes_on = say_text(connection->fd, "HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < n && goes_on; i++) {
        goes_on = say(connection->fd, line, sizeof line - 1);
    }
    return goes_on && say_text(connection->fd, "Content-Length: 0\r\n\r\n");
}

static bool reset(struct fake_connection *connection)
{
    const struct linger hard = {.l_onoff = 1};
    setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    return false;
}

static bool misbehave(struct fake_connection *connection, const char *path)
{
    const int fd = connection->fd;
    if (strcmp(path, "/cut") == 0) {
        say_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of it");
    } else if (strcmp(path, "/cut-chunk") == 0) {
        (void)(say_text(fd, stream_head) && say_chunk(fd, "data: {}\n\n"));
    } else if (strcmp(path, "/reset") == 0) {
        return reset(connection);
    } else if (strcmp(path, "/hang") == 0) {
        return hang(connection);
    } else if (strcmp(path, "/head-then-hang") == 0) {
        return say_text(fd, stream_head) && hang(connection);
    } else if (strcmp(path, "/byte-then-hang") == 0) {
        return say_text(fd, stream_head) && say_chunk(fd, ".") && hang(connection);
    } else if (strcmp(path, "/drip") == 0) {
        return drip(connection);
    } else if (strcmp(path, "/big-head") == 0) {
        return many_lines(connection, 2000);
    } else if (strcmp(path, "/endless-head") == 0) {
        return many_lines(connection, 1 << 30);
    } else if (strcmp(path, "/garbage") == 0) {
        say_text(fd, "SSH-2.0-Other\r\n\r\n");
    }
    return false;
}

static bool answer(struct fake_connection *connection, const char *path, const char *request,
                   size_t n_bytes)
{
    struct fake_server *server = connection->server;
    const int fd = connection->fd;
    if (strcmp(path, "/v1/echo") == 0) {
        return say_whole(fd, 200, "", request, n_bytes);
    } else if (strcmp(path, "/v1/last") == 0) {
        (void)say_whole(fd, 200, "", request, n_bytes);
        return false;
    } else if (strcmp(path, "/v1/stream") == 0) {
        return stream(connection);
    } else if (strcmp(path, "/flood") == 0) {
        return flood(connection, 4);
    } else if (strncmp(path, "/flood/", 7) == 0) {
        return flood(connection, (int)strtol(path + 7, NULL, 10));
    } else if (strcmp(path, "/hold") == 0) {
        return hold(connection);
    } else if (strncmp(path, "/status/", 8) == 0) {
        return say_whole(fd, (int)strtol(path + 8, NULL, 10), "Retry-After: 7\r\n",
                         "{\"error\":{}}", 12);
    } else if (strcmp(path, "/elsewhere") == 0) {
        return say_whole(fd, 307, "Location: /v1/echo\r\n", "", 0);
    } else if (strcmp(path, "/health") == 0) {
        return say_whole(fd, atomic_load(&server->health_status), "", "{}", 2);
    } else if (strcmp(path, "/v1/models") == 0) {
        return say_whole(fd, atomic_load(&server->models_status), "", "{\"data\":[]}", 11);
    } else if (strcmp(path, "/metrics") == 0) {
        const char *metrics = atomic_load(&server->metrics);
        return say_whole(fd, atomic_load(&server->metrics_status), "", metrics, strlen(metrics));
    }
    return misbehave(connection, path);
}

/* A whole request; 0 once the client is gone. */
static size_t receive_request(int fd, char *request)
{
    size_t n = 0, wanted = SIZE_MAX;
    while (n < wanted && n < FAKE_REQUEST_BYTES - 1) {
        const ssize_t got = recv(fd, request + n, FAKE_REQUEST_BYTES - 1 - n, 0);
        if (got <= 0) {
            return 0;
        }
        n += (size_t)got;
        request[n] = '\0';
        const char *end = strstr(request, "\r\n\r\n");
        if (end != NULL) {
            const char *length = strcasestr(request, "content-length:");
            wanted = (size_t)(end - request) + 4 +
                     (length != NULL && length < end ? strtoul(length + 15, NULL, 10) : 0);
        }
    }
    return n;
}

static void *serve(void *context)
{
    struct fake_connection *connection = context;
    struct fake_server *server = connection->server;
    char *request = malloc(FAKE_REQUEST_BYTES);
    size_t n_bytes;
    bool goes_on = true;
    while (goes_on && (n_bytes = receive_request(connection->fd, request)) > 0) {
        char path[256] = "";
        const char *begin = strchr(request, ' ');
        const size_t n = begin != NULL ? strcspn(begin + 1, " ") : 0;
        if (n > 0 && n < sizeof path) {
            memcpy(path, begin + 1, n);
            path[n] = '\0';
        }
        pthread_mutex_lock(&server->lock);
        memcpy(server->request, request, n_bytes + 1);
        pthread_mutex_unlock(&server->lock);
        atomic_fetch_add(&server->n_requests, 1);
        goes_on = answer(connection, path, request, n_bytes);
    }
    free(request);
    pthread_mutex_lock(&server->lock);
    close(connection->fd);
    connection->fd = -1;
    pthread_mutex_unlock(&server->lock);
    return NULL;
}

static void *accept_all(void *context)
{
    struct fake_server *server = context;
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 256 << 10);
    for (unsigned i = 0; i < FAKE_CONNECTIONS; i++) {
        struct fake_connection *connection = &server->connections[i];
        const int fd = accept(server->fd, NULL, NULL);
        if (fd < 0) {
            break;
        }
        connection->server = server;
        connection->fd = fd;
        if (pthread_create(&connection->thread, &small, serve, connection) != 0) {
            close(fd);
            break;
        }
        atomic_fetch_add(&server->n_connections, 1);
    }
    pthread_attr_destroy(&small);
    return NULL;
}

void fake_server_start(struct fake_server *server)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof address;
    memset(server, 0, sizeof *server);
    server->connections = calloc(FAKE_CONNECTIONS, sizeof *server->connections);
    pthread_mutex_init(&server->lock, NULL);
    atomic_store(&server->health_status, 200);
    atomic_store(&server->models_status, 200);
    atomic_store(&server->metrics_status, 200);
    atomic_store(&server->metrics, "");
    server->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(server->fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(server->fd, 4096) != 0 ||
        getsockname(server->fd, (struct sockaddr *)&address, &n) != 0 ||
        pthread_create(&server->thread, NULL, accept_all, server) != 0) {
        perror("fake server");
        exit(1);
    }
    server->port = ntohs(address.sin_port);
}

void fake_server_stop(struct fake_server *server)
{
    shutdown(server->fd, SHUT_RDWR);
    pthread_join(server->thread, NULL);
    close(server->fd);
    atomic_store(&server->holds, false);
    for (unsigned i = 0; i < atomic_load(&server->n_connections); i++) {
        pthread_mutex_lock(&server->lock);
        if (server->connections[i].fd >= 0) {
            shutdown(server->connections[i].fd, SHUT_RDWR);
        }
        pthread_mutex_unlock(&server->lock);
        pthread_join(server->connections[i].thread, NULL);
    }
    pthread_mutex_destroy(&server->lock);
    free(server->connections);
}

bool fake_server_got(struct fake_server *server, const char *text)
{
    pthread_mutex_lock(&server->lock);
    const bool has = strstr(server->request, text) != NULL;
    pthread_mutex_unlock(&server->lock);
    return has;
}
