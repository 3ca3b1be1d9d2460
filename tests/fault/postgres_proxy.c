#include "postgres_proxy.h"

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define QUIET_MS 30

static struct sockaddr_un address_of(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    return address;
}

/* The server's messages: a letter and a length that counts itself. */
struct messages {
    unsigned char head[5];
    size_t n_head;
    long n_left;
    long n_ready;
};

static void follow(struct messages *m, const unsigned char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (m->n_left > 0) {
            m->n_left--;
            continue;
        }
        m->head[m->n_head++] = bytes[i];
        if (m->n_head == sizeof(m->head)) {
            m->n_left = (long)((uint32_t)m->head[1] << 24 | (uint32_t)m->head[2] << 16 |
                               (uint32_t)m->head[3] << 8 | m->head[4]) -
                        4;
            m->n_ready += m->head[0] == 'Z';
            m->n_head = 0;
        }
    }
}

static void send_all(int fd, const unsigned char *bytes, size_t n)
{
    while (n > 0) {
        ssize_t sent = send(fd, bytes, n, MSG_NOSIGNAL);
        if (sent <= 0) {
            return;
        }
        bytes += sent;
        n -= (size_t)sent;
    }
}

/* Carries what has come from one end; false at its end. */
static bool carry(int from, int to, long *n_carried, long cut_at, bool *is_cut,
                  struct messages *messages)
{
    unsigned char bytes[16384];
    ssize_t n = recv(from, bytes, sizeof(bytes), 0);
    if (n <= 0) {
        return false;
    }
    if (messages != NULL) {
        follow(messages, bytes, (size_t)n);
    }
    long room = cut_at < 0 ? n : cut_at - *n_carried;
    long n_sent = n < room ? n : room;
    if (!*is_cut) {
        send_all(to, bytes, (size_t)n_sent);
        *n_carried += n_sent;
        *is_cut = cut_at >= 0 && *n_carried >= cut_at;
    }
    return true;
}

static struct proxy_count carry_all(int client, int server, struct proxy_cut cut)
{
    struct proxy_count count = {.n_round_trips = 0};
    struct messages messages = {.n_head = 0};
    bool is_cut = false;
    for (;;) {
        struct pollfd fds[] = {{.fd = client, .events = POLLIN}, {.fd = server, .events = POLLIN}};
        int n = poll(fds, 2, is_cut ? QUIET_MS : -1);
        if (n <= 0) {
            break; /* cut, and nothing comes any more */
        }
        if (fds[1].revents != 0 && !carry(server, client, &count.to_client_bytes,
                                          cut.to_client_bytes, &is_cut, &messages)) {
            break;
        }
        if (fds[0].revents != 0 &&
            !carry(client, server, &count.to_server_bytes, cut.to_server_bytes, &is_cut, NULL)) {
            break;
        }
    }
    count.n_round_trips = messages.n_ready;
    return count;
}

static void serve(int listener, const char *server_path, struct proxy_cut cut, int count_fd)
{
    struct sockaddr_un address = address_of(server_path);
    int client = accept(listener, NULL, NULL);
    int server = socket(AF_UNIX, SOCK_STREAM, 0);
    if (client < 0 || connect(server, (struct sockaddr *)&address, sizeof(address)) != 0) {
        _exit(1);
    }
    struct proxy_count count = carry_all(client, server, cut);
    close(client);
    close(server);
    _exit(write(count_fd, &count, sizeof(count)) == sizeof(count) ? 0 : 1);
}

int proxy_start(const char *server, const char *folder, struct proxy_cut cut, struct proxy *proxy)
{
    char path[100];
    int fds[2];
    snprintf(path, sizeof(path), "%s/.s.PGSQL.5432", folder);
    unlink(path);
    struct sockaddr_un address = address_of(path);
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(listener, 1) != 0 || pipe(fds) != 0) {
        return 0;
    }
    proxy->process = fork();
    if (proxy->process == 0) {
        close(fds[0]);
        serve(listener, server, cut, fds[1]);
    }
    close(listener);
    close(fds[1]);
    proxy->count_fd = fds[0];
    return proxy->process > 0;
}

struct proxy_count proxy_end(struct proxy *proxy, const char *folder)
{
    char path[100];
    struct proxy_count count = {.n_round_trips = -1};
    if (read(proxy->count_fd, &count, sizeof(count)) != sizeof(count)) {
        count.n_round_trips = -1;
    }
    close(proxy->count_fd);
    int status;
    waitpid(proxy->process, &status, 0);
    snprintf(path, sizeof(path), "%s/.s.PGSQL.5432", folder);
    unlink(path);
    return count;
}
