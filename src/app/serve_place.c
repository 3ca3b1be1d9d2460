#include "app/serve_place.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/http_server.h"

#define FIRST_PASSED_FD 3 /* of socket activation: sd_listen_fds(3) */
#define LOOPBACK_NET    127

union address {
    struct sockaddr any;
    struct sockaddr_in in4;
    struct sockaddr_in6 in6;
    struct sockaddr_un local;
};

/* A socket that was passed to this process (sd_listen_fds(3)), or -1. */
static int passed_socket(void)
{
    const char *pid = getenv("LISTEN_PID"), *n = getenv("LISTEN_FDS");
    if (pid == NULL || n == NULL || strtol(pid, NULL, 10) != (long)getpid() ||
        strtol(n, NULL, 10) < 1) {
        return -1;
    }
    return FIRST_PASSED_FD;
}

static bool is_loopback4(const struct in_addr *address)
{
    return ntohl(address->s_addr) >> 24 == LOOPBACK_NET;
}

/* An IPv4 address in IPv6 (::ffff:127.0.0.1) is what it is in IPv4. */
static bool is_loopback6(const struct in6_addr *address)
{
    struct in_addr in4;
    memcpy(&in4, address->s6_addr + 12, sizeof in4);
    return IN6_IS_ADDR_LOOPBACK(address) || (IN6_IS_ADDR_V4MAPPED(address) && is_loopback4(&in4));
}

static void describe(const union address *address, size_t size, struct tw_serve_place *place)
{
    char text[INET6_ADDRSTRLEN] = "";
    place->is_inet = address->any.sa_family != AF_UNIX;
    if (address->any.sa_family == AF_INET) {
        place->is_loopback = is_loopback4(&address->in4.sin_addr);
        inet_ntop(AF_INET, &address->in4.sin_addr, text, sizeof text);
        snprintf(place->address, sizeof place->address, "%s", text);
    } else if (address->any.sa_family == AF_INET6) {
        place->is_loopback = is_loopback6(&address->in6.sin6_addr);
        inet_ntop(AF_INET6, &address->in6.sin6_addr, text, sizeof text);
        snprintf(place->address, sizeof place->address, "[%s]", text);
    } else {
        const size_t n_bytes = size - offsetof(struct sockaddr_un, sun_path);
        place->is_loopback = true;
        snprintf(place->address, sizeof place->address, "unix:%.*s", (int)n_bytes,
                 address->local.sun_path);
    }
}

static enum tw_status ask_socket(int fd, struct tw_serve_place *place, struct tw_error *error)
{
    union address address = {.any = {.sa_family = AF_UNSPEC}};
    socklen_t size = sizeof address, listens_size = sizeof(int);
    int listens = 0;
    if (getsockname(fd, &address.any, &size) != 0 ||
        getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &listens_size) != 0 || listens == 0 ||
        (address.any.sa_family != AF_INET && address.any.sa_family != AF_INET6 &&
         address.any.sa_family != AF_UNIX)) {
        return tw_error_set(error, TW_ERR_IO, TW_NO_POSITION,
                            "LISTEN_FDS promises a listening socket of TCP or of the file system "
                            "as descriptor %d, which is none",
                            fd);
    }
    describe(&address, size, place);
    return TW_OK;
}

enum tw_status tw_serve_place_find(const char *host, struct tw_serve_place *ret_place,
                                   struct tw_error *error)
{
    struct tw_serve_place place = {.passed_fd = passed_socket()};
    union address address = {.any = {.sa_family = AF_UNSPEC}};
    enum tw_status status;
    if (place.passed_fd >= 0) {
        status = ask_socket(place.passed_fd, &place, error);
    } else {
        status = tw_http_check_address(host, error);
        if (inet_pton(AF_INET, host, &address.in4.sin_addr) == 1) {
            address.any.sa_family = AF_INET;
        } else if (inet_pton(AF_INET6, host, &address.in6.sin6_addr) == 1) {
            address.any.sa_family = AF_INET6;
        }
        if (status == TW_OK) {
            describe(&address, sizeof address, &place);
        }
    }
    if (status == TW_OK) {
        *ret_place = place;
    }
    return status;
}

static int notify_fd = -1;

int tw_serve_notify_open(void)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t n_bytes = path != NULL ? strlen(path) : 0;
    if (n_bytes == 0 || n_bytes >= sizeof address.sun_path || notify_fd >= 0) {
        return notify_fd;
    }
    memcpy(address.sun_path, path, n_bytes);
    if (path[0] == '@') {
        address.sun_path[0] = '\0';
    }
    const socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n_bytes);
    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, size) == 0) {
        notify_fd = fd;
    } else if (fd >= 0) {
        close(fd);
    }
    return notify_fd;
}

void tw_serve_notify(const char *state)
{
    if (notify_fd >= 0) {
        ssize_t sent = send(notify_fd, state, strlen(state), MSG_NOSIGNAL);
        (void)sent; /* nobody listens: nobody wants to know */
    }
}
