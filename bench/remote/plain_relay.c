/* Bytes from one port to another and back, and nothing else: what any server in front of another
 * one adds on this machine, to be compared with what ours adds.
 *
 *     plain_relay PORT PORT_BEHIND
 *
 * One thread, one connection behind for each in front, loopback only; it ends with its parent.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_SOCKETS = 1025 };

static struct sockaddr_in address_of(const char *port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)strtoul(port, NULL, 10)),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int at_once(int fd)
{
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    return fd;
}

static bool write_all(int fd, const char *data, size_t size_bytes)
{
    while (size_bytes > 0) {
        const ssize_t n = send(fd, data, size_bytes, MSG_NOSIGNAL);
        if (n <= 0) {
            return false;
        }
        data += n;
        size_bytes -= (size_t)n;
    }
    return true;
}

/* sockets[0] listens; the partner of the odd socket i is i + 1. */
static void pass_on(struct pollfd *sockets, int i)
{
    static char data[1 << 16];
    const int partner = i % 2 == 1 ? i + 1 : i - 1;
    const ssize_t n = recv(sockets[i].fd, data, sizeof data, 0);
    if (n <= 0 || !write_all(sockets[partner].fd, data, (size_t)n)) {
        close(sockets[i].fd);
        close(sockets[partner].fd);
        sockets[i].fd = sockets[partner].fd = -1; /* poll looks past those */
    }
}

static int accept_pair(struct pollfd *sockets, int n, const struct sockaddr_in *behind)
{
    int at = 1;
    while (at < n && sockets[at].fd >= 0) {
        at += 2;
    }
    const int front = accept(sockets[0].fd, NULL, NULL);
    if (at + 2 > MAX_SOCKETS || front < 0) {
        close(front);
        return n;
    }
    const int back = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(back, (const struct sockaddr *)behind, sizeof *behind) != 0) {
        close(front);
        close(back);
        return n;
    }
    sockets[at] = (struct pollfd){.fd = at_once(front), .events = POLLIN};
    sockets[at + 1] = (struct pollfd){.fd = at_once(back), .events = POLLIN};
    return at + 2 > n ? at + 2 : n;
}

int main(int argc, char **argv)
{
    static struct pollfd sockets[MAX_SOCKETS];
    if (argc != 3) {
        fprintf(stderr, "usage: plain_relay PORT PORT_BEHIND\n");
        return 2;
    }
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    const struct sockaddr_in front = address_of(argv[1]), behind = address_of(argv[2]);
    const int listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (bind(listener, (const struct sockaddr *)&front, sizeof front) != 0 ||
        listen(listener, MAX_SOCKETS) != 0) {
        perror("plain_relay");
        return 1;
    }
    sockets[0] = (struct pollfd){.fd = listener, .events = POLLIN};
    for (int n = 1; poll(sockets, (nfds_t)n, -1) >= 0;) {
        for (int i = 1; i < n; i++) {
            if (sockets[i].fd >= 0 && sockets[i].revents != 0) {
                pass_on(sockets, i);
            }
        }
        if (sockets[0].revents != 0) {
            n = accept_pair(sockets, n, &behind);
        }
    }
    return 1;
}
