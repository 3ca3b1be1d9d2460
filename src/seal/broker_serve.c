/* The broker's own side. After its start it calls what seal_filter.c lists for it, on what the
 * kernel wrote (struct seccomp_notif) and on an address, which is compared and no more. */
#define _GNU_SOURCE /* process_vm_readv */
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "seal/broker.h"
#include "seal/broker_state.h"
#include "seal/seal.h"

struct server {
    const struct tw_reach_list *reach;
    int pid_fd; /* the process that is served */
    int listener_fd;
};

/* A kernel's structures may be larger than those we know; never by much. */
union notification {
    struct seccomp_notif known;
    char room[1024];
};

union answer {
    struct seccomp_notif_resp known;
    char room[1024];
};

/* ---- one call ---- */

static bool is_waiting(const struct server *server, uint64_t id)
{
    return ioctl(server->listener_fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0;
}

/* connect(descriptor, address, size) of that process: 0, or the error it gets. The numbers may be
 * those of another process that came after it, so the id is asked again when all is read. */
static int connect_for(const struct server *server, const struct seccomp_notif *call)
{
    union tw_reach_socket_address address = {.any = {.sa_family = AF_UNSPEC}};
    const size_t size = (uint32_t)call->data.args[2];
    if (size < sizeof address.any.sa_family || size > sizeof address) {
        return EINVAL;
    }
    const struct iovec here = {&address, size};
    const struct iovec there = {(void *)(uintptr_t)call->data.args[1], size};
    if (process_vm_readv((pid_t)call->pid, &here, 1, &there, 1, 0) != (ssize_t)size) {
        return EFAULT;
    }
    const struct tw_reach_address *entry = tw_reach_find(server->reach, &address, size);
    if (entry == NULL || !is_waiting(server, call->id)) {
        return EPERM;
    }
    const int fd =
        (int)syscall(SYS_pidfd_getfd, server->pid_fd, (int)(uint32_t)call->data.args[0], 0);
    if (fd < 0) {
        return EBADF;
    }
    const int flags = fcntl(fd, F_GETFL);
    int code = EPERM;
    if (flags >= 0 && (flags & O_NONBLOCK) != 0) {
        code = connect(fd, &entry->address.any, entry->size_bytes) == 0 ? 0 : errno;
    }
    close(fd);
    return code;
}

/* False when nobody is left who could ask. */
static bool serve_one(const struct server *server)
{
    union notification call;
    union answer answer;
    struct pollfd ready = {.fd = server->listener_fd, .events = POLLIN};
    if (poll(&ready, 1, -1) < 0) {
        return errno == EINTR;
    }
    if ((ready.revents & POLLIN) == 0) {
        return false;
    }
    memset(&call, 0, sizeof call);
    if (ioctl(server->listener_fd, SECCOMP_IOCTL_NOTIF_RECV, &call) != 0) {
        return errno == EINTR || errno == ENOENT; /* who asked has gone */
    }
    memset(&answer, 0, sizeof answer);
    answer.known.id = call.known.id;
    answer.known.error =
        call.known.data.nr == SYS_connect ? -connect_for(server, &call.known) : -EPERM;
    return ioctl(server->listener_fd, SECCOMP_IOCTL_NOTIF_SEND, &answer) == 0 || errno == ENOENT;
}

/* ---- the start ---- */

static enum tw_status cannot(const char *what, int code, struct tw_error *error)
{
    return tw_error_set(error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                        "the broker cannot %s: %s; with kernel.yama.ptrace_scope of 2 or 3, or "
                        "before Linux 5.9, there is no sealed: broker",
                        what, strerror(code));
}

/* Tries what it will do, while it can still say so. */
static enum tw_status try_all(struct server *server, const struct tw_broker_hello *hello,
                              struct tw_error *error)
{
    struct seccomp_notif_sizes sizes = {0, 0, 0};
    if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) != 0 ||
        sizes.seccomp_notif > sizeof(union notification) ||
        sizes.seccomp_notif_resp > sizeof(union answer)) {
        return cannot("hear of calls", errno, error);
    }
    server->pid_fd = (int)syscall(SYS_pidfd_open, hello->pid, 0);
    if (server->pid_fd < 0) {
        return cannot("find the process", errno, error);
    }
    const int fd = (int)syscall(SYS_pidfd_getfd, server->pid_fd, hello->probe_fd, 0);
    if (fd < 0) {
        return cannot("look into the process", errno, error);
    }
    close(fd);
    return tw_seal_apply_broker(error);
}

/* Who is told to end ends when the other one does, so that this one can still stop gently. */
static bool begin(struct tw_broker_hello *ret_hello)
{
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    return prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0 &&
           recv(TW_BROKER_FD, ret_hello, sizeof *ret_hello, 0) == (ssize_t)sizeof *ret_hello &&
           ret_hello->pid == getppid();
}

/* -1 where the process ended before it was sealed. */
static int take_listener(void)
{
    union {
        struct cmsghdr header; /* for its alignment */
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {.bytes = {0}};
    char byte;
    struct iovec part = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    int fd = -1;
    if (recvmsg(TW_BROKER_FD, &message, MSG_CMSG_CLOEXEC) == 1) {
        const struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        if (header != NULL && header->cmsg_type == SCM_RIGHTS) {
            memcpy(&fd, CMSG_DATA(header), sizeof fd);
        }
    }
    close(TW_BROKER_FD);
    return fd;
}

enum tw_status tw_broker_serve(const struct tw_reach_list *reach, struct tw_error *error)
{
    struct server server = {.reach = reach, .pid_fd = -1};
    struct tw_broker_hello hello;
    struct tw_error answer = {.status = TW_OK};
    if (!begin(&hello)) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "a broker is started by 'tokenworks serve --sealed broker', and ends "
                            "with it");
    }
    enum tw_status status = try_all(&server, &hello, &answer);
    if (send(TW_BROKER_FD, &answer, sizeof answer, MSG_NOSIGNAL) != (ssize_t)sizeof answer ||
        status != TW_OK) {
        return tw_error_set(error, TW_ERR_CANCELLED, TW_NO_POSITION, "nobody needs the broker");
    }
    server.listener_fd = take_listener();
    while (server.listener_fd >= 0 && serve_one(&server)) {
    }
    return TW_OK;
}
