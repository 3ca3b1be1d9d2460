#define _GNU_SOURCE /* posix_spawn_file_actions_addclosefrom_np */
#include "seal/broker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "seal/broker_state.h"

#define START_SECONDS 20
#define OWN_WORDS     2 /* the program and the command */

static enum tw_status cannot(const char *what, int code, struct tw_error *error)
{
    return tw_error_set(error, TW_ERR_IO, TW_NO_POSITION, "cannot %s the broker: %s", what,
                        strerror(code));
}

/* Executed anew, with nothing of ours but its end of the pair and standard error. */
static int spawn(const char *program, const struct tw_reach_list *reach, int its_fd, pid_t *ret_pid)
{
    static char name[] = "tokenworks", command[] = "broker";
    static struct tw_reach_list words; /* argv is not const */
    char *argv[TW_LIMIT_REACH_ADDRESSES + OWN_WORDS + 1] = {name, command};
    char *environment[] = {NULL};
    posix_spawn_file_actions_t actions;
    words = *reach;
    for (size_t i = 0; i < words.n_items; i++) {
        argv[OWN_WORDS + i] = words.items[i].text;
    }
    int failure = posix_spawn_file_actions_init(&actions);
    if (failure != 0) {
        return failure;
    }
    const bool is_made =
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDWR, 0) == 0 &&
        posix_spawn_file_actions_adddup2(&actions, STDIN_FILENO, STDOUT_FILENO) == 0 &&
        posix_spawn_file_actions_adddup2(&actions, its_fd, TW_BROKER_FD) == 0 &&
        posix_spawn_file_actions_addclosefrom_np(&actions, TW_BROKER_FD + 1) == 0;
    failure = is_made ? posix_spawn(ret_pid, program, &actions, NULL, argv, environment) : ENOMEM;
    posix_spawn_file_actions_destroy(&actions);
    return failure;
}

/* It may look into this process, wherever yama lets parents do that (PR_SET_PTRACER), and says
 * whether it can. */
static enum tw_status meet(const struct tw_broker *broker, struct tw_error *error)
{
    const struct tw_broker_hello hello = {.pid = getpid(), .probe_fd = broker->fd};
    struct tw_error answer = {.status = TW_OK};
    prctl(PR_SET_PTRACER, (unsigned long)broker->pid, 0, 0, 0); /* without yama nothing is needed */
    if (send(broker->fd, &hello, sizeof hello, MSG_NOSIGNAL) != (ssize_t)sizeof hello) {
        return cannot("speak to", errno, error);
    }
    const ssize_t n = recv(broker->fd, &answer, sizeof answer, 0);
    if (n != (ssize_t)sizeof answer) {
        return cannot("hear from", n < 0 ? errno : ECONNRESET, error);
    }
    answer.text[sizeof answer.text - 1] = '\0';
    return answer.status == TW_OK
               ? TW_OK
               : tw_error_set(error, answer.status, TW_NO_POSITION, "%s", answer.text);
}

enum tw_status tw_broker_start(const char *program, const struct tw_reach_list *reach,
                               struct tw_broker *ret_broker, struct tw_error *error)
{
    struct tw_broker broker = {.pid = 0, .fd = -1};
    const struct timeval patience = {.tv_sec = START_SECONDS};
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        return cannot("start", errno, error);
    }
    setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    broker.fd = pair[0];
    const int failure = spawn(program, reach, pair[1], &broker.pid);
    close(pair[1]);
    if (failure != 0) {
        broker.pid = 0;
        tw_broker_close(&broker);
        return cannot("start", failure, error);
    }
    enum tw_status status = meet(&broker, error);
    if (status == TW_OK) {
        *ret_broker = broker;
    } else {
        tw_broker_close(&broker);
    }
    return status;
}

enum tw_status tw_broker_give(struct tw_broker *broker, int listener_fd, struct tw_error *error)
{
    union {
        struct cmsghdr header; /* for its alignment */
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {.bytes = {0}};
    char byte = 0;
    struct iovec part = {.iov_base = &byte, .iov_len = 1};
    const struct msghdr message = {.msg_iov = &part,
                                   .msg_iovlen = 1,
                                   .msg_control = control.bytes,
                                   .msg_controllen = sizeof control.bytes};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &listener_fd, sizeof listener_fd);
    const ssize_t n = sendmsg(broker->fd, &message, MSG_NOSIGNAL);
    const int code = errno;
    close(broker->fd);
    broker->fd = -1;
    return n == 1 ? TW_OK : cannot("speak to", code, error);
}

/* Before the seal; afterwards kill is refused, and it ends when this process does. */
void tw_broker_close(struct tw_broker *broker)
{
    if (broker->fd >= 0) {
        close(broker->fd);
        broker->fd = -1;
    }
    if (broker->pid > 0 && kill(broker->pid, SIGKILL) == 0) {
        waitpid(broker->pid, NULL, 0);
    }
    broker->pid = 0;
}
