#define _GNU_SOURCE /* memfd and friends of sockets */
/* A sealed process with a broker: it reaches the list, and nothing else however it asks. This
 * program is its own broker, as tokenworks is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "escape_attempts.h"
#include "seal/broker.h"
#include "seal/process_state.h"
#include "seal/seal.h"

#define OWN_PROGRAM "/proc/self/exe"
#define NOT_SEALED  255
#define SECONDS     60
#define N_RACES     3000

/* Somebody who listens; the list has the first of each family only. */
struct site {
    int allowed4, refused4, allowed6, allowed_local, refused_local;
    struct sockaddr_in to_allowed4, to_refused4;
    struct sockaddr_in6 to_allowed6;
    struct sockaddr_un to_allowed_local, to_refused_local;
    struct tw_reach_list reach;
};

static struct site site;

static int listen_at(int family, struct sockaddr *address, socklen_t size)
{
    const int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(fd, address, size), 0);
    assert_int_equal(listen(fd, 64), 0);
    assert_int_equal(getsockname(fd, address, &size), 0);
    return fd;
}

static void allow(const void *address, size_t size)
{
    struct tw_error error;
    char text[TW_REACH_TEXT_BYTES];
    tw_reach_format(address, size, text);
    assert_int_equal(tw_reach_add(&site.reach, text, NULL, &error), TW_OK);
}

static void name_local(struct sockaddr_un *address, const char *name)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    snprintf(address->sun_path, sizeof address->sun_path, "/tmp/tw_%s_%d", name, (int)getpid());
}

static int open_site(void **state)
{
    (void)state;
    site.to_allowed4 = site.to_refused4 =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    site.to_allowed6 =
        (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    name_local(&site.to_allowed_local, "allowed");
    name_local(&site.to_refused_local, "refused");
    site.allowed4 =
        listen_at(AF_INET, (struct sockaddr *)&site.to_allowed4, sizeof site.to_allowed4);
    site.refused4 =
        listen_at(AF_INET, (struct sockaddr *)&site.to_refused4, sizeof site.to_refused4);
    site.allowed6 =
        listen_at(AF_INET6, (struct sockaddr *)&site.to_allowed6, sizeof site.to_allowed6);
    site.allowed_local =
        listen_at(AF_UNIX, (struct sockaddr *)&site.to_allowed_local, sizeof site.to_allowed_local);
    site.refused_local =
        listen_at(AF_UNIX, (struct sockaddr *)&site.to_refused_local, sizeof site.to_refused_local);
    allow(&site.to_allowed4, sizeof site.to_allowed4);
    allow(&site.to_allowed6, sizeof site.to_allowed6);
    allow(&site.to_allowed_local,
          offsetof(struct sockaddr_un, sun_path) + strlen(site.to_allowed_local.sun_path));
    return 0;
}

static int close_site(void **state)
{
    (void)state;
    unlink(site.to_allowed_local.sun_path);
    unlink(site.to_refused_local.sun_path);
    return 0;
}

/* How many have come, none of whom is answered. */
static int count_clients(int listener)
{
    int n = 0;
    for (int fd = accept(listener, NULL, NULL); fd >= 0; fd = accept(listener, NULL, NULL)) {
        close(fd);
        n++;
    }
    return n;
}

/* ---- a child with a broker ---- */

static struct tw_broker broker = {.fd = -1};

static bool seal(void)
{
    struct tw_error error;
    const struct tw_seal_config config = {.reach = &site.reach, .broker = &broker, .kept_fd = -1};
    enum tw_status status = tw_broker_start(OWN_PROGRAM, &site.reach, &broker, &error);
    if (status == TW_OK) {
        tw_seal_confine(true);
        status = tw_seal_apply(&config, &error);
    }
    if (status != TW_OK) {
        fprintf(stderr, "# %s\n", error.text);
    }
    return status == TW_OK;
}

static int in_child(int (*run)(void))
{
    const pid_t pid = fork();
    if (pid == 0) {
        alarm(SECONDS);
        _exit(seal() ? run() : NOT_SEALED);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* The error of a connection that does not block, when it is there. */
static int connect_to(int family, int flags, const void *address, socklen_t size)
{
    const int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    int code = fd < 0 ? errno : connect(fd, address, size) == 0 ? 0 : errno;
    if (code == EINPROGRESS) {
        struct pollfd ready = {.fd = fd, .events = POLLOUT};
        socklen_t code_size = sizeof code;
        poll(&ready, 1, SECONDS * 1000);
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &code_size);
    }
    if (code == 0 && send(fd, "out", 3, MSG_NOSIGNAL) != 3) {
        code = errno;
    }
    close(fd);
    return code;
}

#define CONNECT(family, to) connect_to(family, SOCK_NONBLOCK, &(to), sizeof(to))

/* ---- what it reaches ---- */

static int reach_all(void)
{
    const int code4 = CONNECT(AF_INET, site.to_allowed4);
    const int code6 = CONNECT(AF_INET6, site.to_allowed6);
    const int code_local = CONNECT(AF_UNIX, site.to_allowed_local);
    return code4 != 0 ? code4 : code6 != 0 ? code6 : code_local;
}

static void every_address_of_the_list_is_reached(void **state)
{
    (void)state;
    assert_int_equal(in_child(reach_all), 0);
    assert_int_equal(count_clients(site.allowed4), 1);
    assert_int_equal(count_clients(site.allowed6), 1);
    assert_int_equal(count_clients(site.allowed_local), 1);
}

static int options_stay(void)
{
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, IPPROTO_TCP), on = 1;
    int kept = 0;
    socklen_t size = sizeof kept;
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    const int code =
        connect(fd, (const struct sockaddr *)&site.to_allowed4, sizeof site.to_allowed4) == 0
            ? 0
            : errno;
    getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &kept, &size);
    return (code == 0 || code == EINPROGRESS) && kept == 1 && (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0
               ? 0
               : 1;
}

static void the_socket_is_the_one_that_was_made_with_its_options(void **state)
{
    (void)state;
    assert_int_equal(in_child(options_stay), 0);
    count_clients(site.allowed4);
}

/* ---- what it does not ---- */

static int try_others(void)
{
    struct sockaddr_in other_host = site.to_allowed4, other_port = site.to_allowed4;
    other_host.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1);
    other_port.sin_port = site.to_refused4.sin_port;
    struct sockaddr_in6 mapped = {.sin6_family = AF_INET6, .sin6_port = site.to_allowed4.sin_port};
    inet_pton(AF_INET6, "::ffff:127.0.0.1", &mapped.sin6_addr);
    const int codes[] = {
        CONNECT(AF_INET, site.to_refused4),
        CONNECT(AF_INET, other_host),
        CONNECT(AF_INET, other_port),
        CONNECT(AF_INET6, mapped),
        CONNECT(AF_UNIX, site.to_refused_local),
        connect_to(AF_INET, 0, &site.to_allowed4, sizeof site.to_allowed4), /* would block */
    };
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        if (codes[i] != EPERM) {
            return (int)i + 1;
        }
    }
    const int no_memory = connect_to(AF_INET, SOCK_NONBLOCK, NULL, 16);
    const int too_long = connect_to(AF_INET, SOCK_NONBLOCK, &site, 4096);
    return no_memory == EFAULT && too_long == EINVAL ? 0 : 100;
}

static void no_other_address_is_reached(void **state)
{
    (void)state;
    assert_int_equal(in_child(try_others), 0);
    assert_int_equal(count_clients(site.refused4), 0);
    assert_int_equal(count_clients(site.refused_local), 0);
    assert_int_equal(count_clients(site.allowed4), 0);
}

/* Another thread writes both ports in turn while connect is looked at. */
static struct sockaddr_in torn;
static atomic_bool race_ends;

static void *tear(void *context)
{
    volatile in_port_t *port = &torn.sin_port;
    (void)context;
    while (!race_ends) {
        *port = site.to_refused4.sin_port;
        *port = site.to_allowed4.sin_port;
    }
    return NULL;
}

static int race(void)
{
    pthread_t thread;
    int n_allowed = 0, n_refused = 0, n_other = 0, other = 0;
    torn = site.to_allowed4;
    pthread_create(&thread, NULL, tear, NULL);
    for (int i = 0; i < N_RACES || ((n_allowed == 0 || n_refused == 0) && i < 100 * N_RACES); i++) {
        const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        const int code = connect(fd, (const struct sockaddr *)&torn, sizeof torn) == 0 ? 0 : errno;
        n_allowed += code == 0 || code == EINPROGRESS || code == EAGAIN;
        n_refused += code == EPERM;
        if (code != 0 && code != EINPROGRESS && code != EAGAIN && code != EPERM) {
            n_other++;
            other = code;
        }
        close(fd);
    }
    race_ends = true;
    pthread_join(thread, NULL);
    if (n_allowed == 0 || n_refused == 0 || n_other > 0) {
        fprintf(stderr, "# %d let through, %d refused, %d others (%s)\n", n_allowed, n_refused,
                n_other, strerror(other));
        return 1;
    }
    return 0;
}

/* A process, since a process with threads may not fork and go on under ThreadSanitizer. */
static pid_t take_clients(void)
{
    const pid_t pid = fork();
    if (pid == 0) {
        alarm(SECONDS);
        while (true) {
            count_clients(site.allowed4);
        }
    }
    return pid;
}

static void an_address_that_changes_while_it_is_read_leads_nowhere_else(void **state)
{
    (void)state;
    const pid_t taker = take_clients();
    const int code = in_child(race);
    kill(taker, SIGKILL);
    waitpid(taker, NULL, 0);
    count_clients(site.allowed4);
    assert_int_equal(code, 0);
    assert_int_equal(count_clients(site.refused4), 0);
}

/* Of the attempts, those that a broker changes: a socket can be had, and leads nowhere. */
static bool is_changed(const char *name)
{
    return strcmp(name, "tcp_over_ipv4") == 0 || strcmp(name, "tcp_over_ipv6") == 0 ||
           strcmp(name, "local_stream") == 0;
}

static int try_all_attempts(void)
{
    for (const struct escape_attempt *attempt = escape_attempts; attempt->name != NULL; attempt++) {
        const int code = attempt->run();
        const bool is_fine = is_changed(attempt->name)
                                 ? code == 0
                                 : code == EPERM || code == EACCES || code == EBADF;
        if (!is_fine) {
            fprintf(stderr, "# %s: %d\n", attempt->name, code);
            return 1;
        }
    }
    return 0;
}

static void with_a_broker_no_other_attempt_gets_out(void **state)
{
    (void)state;
    struct tw_error error;
    (void)error;
    assert_int_equal(in_child(try_all_attempts), 0);
}

static int fasten(void)
{
    struct sockaddr_in to = site.to_refused4;
    struct iovec part = {.iov_base = &to, .iov_len = 1};
    const struct msghdr message = {
        .msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &part, .msg_iovlen = 1};
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    const bool is_refused = sendmsg(fd, &message, MSG_FASTOPEN) < 0 && errno == EPERM;
    return is_refused && sendmsg(fd, &message, MSG_NOSIGNAL) < 0 ? 0 : 1;
}

static void a_socket_that_is_not_connected_sends_nothing(void **state)
{
    (void)state;
    assert_int_equal(in_child(fasten), 0);
    assert_int_equal(count_clients(site.refused4), 0);
}

/* ---- the broker itself ---- */

static void the_broker_is_sealed_shows_its_list_and_ends_with_the_process(void **state)
{
    (void)state;
    static struct tw_process_state seen;
    struct tw_error error;
    int ready[2], done[2];
    char byte = 0;
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(done), 0);
    const pid_t pid = fork();
    if (pid == 0) {
        close(done[1]);
        byte = seal() ? 's' : 'x';
        _exit(write(ready[1], &byte, 1) == 1 && read(done[0], &byte, 1) == 0 ? 0 : 1);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(byte, 's');
    assert_int_equal(tw_process_state_read(pid, &seen, &error), TW_OK);
    assert_true(tw_process_is_sealed(&seen));
    assert_true(seen.broker_pid > 0);
    assert_true(seen.is_broker_sealed);
    assert_int_equal(seen.reach.n_items, 3);
    assert_non_null(tw_reach_find(
        &seen.reach, (const union tw_reach_socket_address *)(const void *)&site.to_allowed4,
        sizeof site.to_allowed4));
    const pid_t broker_pid = seen.broker_pid;
    tw_process_state_free(&seen);
    close(done[1]);
    int status = 0;
    waitpid(pid, &status, 0);
    assert_int_equal(status, 0);
    for (int i = 0; i < SECONDS * 100 && kill(broker_pid, 0) == 0; i++) {
        poll(NULL, 0, 10);
        waitpid(broker_pid, NULL, WNOHANG);
        if (tw_process_state_read(broker_pid, &seen, &error) != TW_OK || seen.n_threads == 0 ||
            seen.name[0] == '\0') {
            break;
        }
        const bool is_zombie = seen.n_sockets + seen.n_files == 0;
        tw_process_state_free(&seen);
        if (is_zombie) {
            break;
        }
    }
    assert_true(tw_process_state_read(broker_pid, &seen, &error) != TW_OK ||
                seen.n_sockets + seen.n_files == 0);
}

static int killed_pipe[2];

static int connect_without_broker(void)
{
    char byte = 0;
    const pid_t pid = broker.pid;
    if (write(killed_pipe[1], &pid, sizeof pid) != (ssize_t)sizeof pid) {
        return 1;
    }
    poll(NULL, 0, 500); /* the parent ends the broker */
    (void)byte;
    return CONNECT(AF_INET, site.to_allowed4) == ENOSYS ? 0 : 2;
}

static void *end_broker(void *context)
{
    pid_t pid = 0;
    (void)context;
    if (read(killed_pipe[0], &pid, sizeof pid) == (ssize_t)sizeof pid && pid > 0) {
        kill(pid, SIGKILL);
    }
    return NULL;
}

static void without_its_broker_the_process_connects_to_nothing(void **state)
{
    (void)state;
    pthread_t thread;
    assert_int_equal(pipe(killed_pipe), 0);
    pthread_create(&thread, NULL, end_broker, NULL);
    assert_int_equal(in_child(connect_without_broker), 0);
    pthread_join(thread, NULL);
    assert_int_equal(count_clients(site.allowed4), 0);
}

static void a_broker_that_nobody_started_says_so(void **state)
{
    (void)state;
    struct tw_error error;
    const pid_t pid = fork();
    if (pid == 0) {
        const int null_fd = open("/dev/null", O_RDWR);
        dup2(null_fd, TW_BROKER_FD);
        _exit(tw_broker_serve(&site.reach, &error) == TW_ERR_USAGE ? 0 : 1);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    assert_int_equal(status, 0);
}

/* What `tokenworks broker` does. */
static int serve(int argc, char **argv)
{
    static struct tw_reach_list reach;
    struct tw_error error;
    for (int i = 2; i < argc; i++) {
        if (tw_reach_add(&reach, argv[i], NULL, &error) != TW_OK) {
            return 1;
        }
    }
    return tw_broker_serve(&reach, &error) == TW_OK ? 0 : 1;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_address_of_the_list_is_reached),
        cmocka_unit_test(the_socket_is_the_one_that_was_made_with_its_options),
        cmocka_unit_test(no_other_address_is_reached),
        cmocka_unit_test(an_address_that_changes_while_it_is_read_leads_nowhere_else),
        cmocka_unit_test(with_a_broker_no_other_attempt_gets_out),
        cmocka_unit_test(a_socket_that_is_not_connected_sends_nothing),
        cmocka_unit_test(the_broker_is_sealed_shows_its_list_and_ends_with_the_process),
        cmocka_unit_test(without_its_broker_the_process_connects_to_nothing),
        cmocka_unit_test(a_broker_that_nobody_started_says_so),
    };
    if (argc >= 2 && strcmp(argv[1], "broker") == 0) {
        return serve(argc, argv);
    }
    return cmocka_run_group_tests(tests, open_site, close_site);
}
