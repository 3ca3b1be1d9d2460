#define _GNU_SOURCE /* memmem, accept4 */
/* A process that does what a server does, is sealed, and then tries to get out. Each attempt has a
 * child of its own, since nobody comes back from a seal. */
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
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "escape_attempts.h"
#include "seal/process_state.h"
#include "seal/seal.h"
#include "seal/seal_filter.h"

#define NOT_SEALED 255
#define SECONDS    60
#define OTHER_END  100 /* of a pair */

/* ---- a child ---- */

static int listen_on_loopback(uint16_t *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(fd, (const struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 8) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) != 0) {
        return -1;
    }
    *ret_port = ntohs(address.sin_port);
    return fd;
}

/* A thread from before the seal, which runs what it is given afterwards. */
struct old_thread {
    pthread_t handle;
    int (*run)(void);
    int wake_fd, result;
};

static void *wait_and_run(void *context)
{
    struct old_thread *thread = context;
    uint64_t number;
    if (read(thread->wake_fd, &number, sizeof number) == (ssize_t)sizeof number) {
        thread->result = thread->run();
    }
    return NULL;
}

static bool seal(void)
{
    struct tw_error error;
    const struct tw_seal_config config = {.kept_fd = -1};
    tw_seal_confine(false);
    if (tw_seal_apply(&config, &error) != TW_OK) {
        fprintf(stderr, "# %s\n", error.text);
        return false;
    }
    return true;
}

/* What the attempt meets in the thread that seals, or in one that was there before. */
static int attempt_sealed(int (*run)(void), bool by_old_thread)
{
    struct old_thread thread = {.run = run, .wake_fd = eventfd(0, 0), .result = NOT_SEALED};
    const uint64_t one = 1;
    uint16_t port;
    tw_seal_confine(false); /* of this thread and those that it makes */
    if (listen_on_loopback(&port) < 0 || epoll_create1(0) < 0 ||
        pthread_create(&thread.handle, NULL, wait_and_run, &thread) != 0 || !seal()) {
        return NOT_SEALED;
    }
    if (!by_old_thread) {
        return run();
    }
    if (write(thread.wake_fd, &one, sizeof one) != (ssize_t)sizeof one) {
        return NOT_SEALED;
    }
    pthread_join(thread.handle, NULL);
    return thread.result;
}

static int status_of(pid_t pid)
{
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static int in_child(int (*run)(void), bool by_old_thread)
{
    const pid_t pid = fork();
    if (pid == 0) {
        signal(SIGSEGV, SIG_DFL); /* cmocka's would go on with the next test, in the child */
        alarm(SECONDS);
        _exit(attempt_sealed(run, by_old_thread));
    }
    return status_of(pid);
}

/* ---- ways out ---- */

static bool has_landlock(void)
{
    return syscall(SYS_landlock_create_ruleset, NULL, 0, 1) > 0;
}

static void check_attempts(bool by_old_thread)
{
    size_t n_out = 0;
    for (const struct escape_attempt *attempt = escape_attempts; attempt->name != NULL; attempt++) {
        if (!has_landlock() && strcmp(attempt->name, "another_process_by_its_file") == 0) {
            print_message("# %s: this kernel has no Landlock\n", attempt->name);
            continue;
        }
        const int status = in_child(attempt->run, by_old_thread);
        const int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
        if (code != EPERM && code != EACCES) {
            print_message("# %s: status %d\n", attempt->name, status);
            n_out++;
        }
    }
    assert_int_equal(n_out, 0);
}

static void no_attempt_gets_out(void **state)
{
    (void)state;
    check_attempts(false);
}

static void no_attempt_gets_out_of_a_thread_that_was_there_before(void **state)
{
    (void)state;
    check_attempts(true);
}

/* The tests above would pass where everything fails anyway. */
static void most_attempts_get_out_of_a_process_that_is_not_sealed(void **state)
{
    (void)state;
    static const char *const expected[] = {
        "tcp_over_ipv4",  "udp_over_ipv4",      "local_stream",        "pair_of_sockets",
        "netlink_socket", "fork_by_its_number", "memory_that_is_code", "file_in_memory"};
    for (const struct escape_attempt *attempt = escape_attempts; attempt->name != NULL; attempt++) {
        for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
            if (strcmp(attempt->name, expected[i]) == 0) {
                assert_int_equal(attempt->run(), 0);
            }
        }
    }
}

static void a_call_of_another_abi_ends_the_process(void **state)
{
    (void)state;
    for (const struct escape_attempt *attempt = fatal_attempts; attempt->name != NULL; attempt++) {
        const int status = in_child(attempt->run, false);
        if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV) {
            print_message("# %s: this kernel has no such ABI\n", attempt->name);
            continue;
        }
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGSYS);
    }
}

/* ---- what goes on ---- */

static void *return_seven(void *context)
{
    *(int *)context = 7;
    return NULL;
}

static int do_what_servers_do(void)
{
    char path[] = "/tmp/tw_sealed_XXXXXX", other[sizeof path + 8];
    pthread_t thread;
    int number = 0;
    const int fd = mkstemp(path);
    snprintf(other, sizeof other, "%s.moved", path);
    if (fd < 0 || write(fd, "text", 4) != 4 || fsync(fd) != 0 || ftruncate(fd, 4096) != 0 ||
        rename(path, other) != 0) {
        return 1;
    }
    char *map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    const bool is_mapped = map != MAP_FAILED && memcmp(map, "text", 4) == 0;
    unlink(other);
    close(fd);
    if (!is_mapped || pthread_create(&thread, NULL, return_seven, &number) != 0 ||
        pthread_join(thread, NULL) != 0 || number != 7) {
        return 2;
    }
    signal(SIGUSR1, SIG_IGN);
    return raise(SIGUSR1) == 0 && kill(getpid(), 0) == 0 ? 0 : 3;
}

static void files_threads_and_signals_to_itself_go_on(void **state)
{
    (void)state;
    assert_int_equal(in_child(do_what_servers_do, false), 0);
    assert_int_equal(in_child(do_what_servers_do, true), 0);
}

/* Answers one client. */
static int serve_one(int listener)
{
    char text[8] = "";
    const int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    const int on = 1;
    struct iovec part = {text, 4};
    const struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    return fd >= 0 && setsockopt(fd, IPPROTO_TCP, 1, &on, sizeof on) == 0 &&
                   recv(fd, text, 4, 0) == 4 && send(fd, text, 4, MSG_NOSIGNAL) == 4 &&
                   sendmsg(fd, &message, MSG_NOSIGNAL) == 4 && close(fd) == 0
               ? 0
               : 1;
}

static void who_comes_in_is_answered(void **state)
{
    (void)state;
    uint16_t port = 0;
    char answer[9] = "";
    const int listener = listen_on_loopback(&port);
    const pid_t pid = fork();
    if (pid == 0) {
        alarm(SECONDS);
        _exit(seal() ? serve_one(listener) : NOT_SEALED);
    }
    close(listener);
    const struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(send(fd, "ping", 4, 0), 4);
    assert_int_equal(recv(fd, answer, 8, MSG_WAITALL), 8);
    assert_string_equal(answer, "pingping");
    close(fd);
    assert_int_equal(status_of(pid), 0);
}

/* ---- what is open before ---- */

static int open_udp(void)
{
    return socket(AF_INET, SOCK_DGRAM, 0);
}

static int open_tcp(void)
{
    return socket(AF_INET6, SOCK_STREAM, 0);
}

static int open_netlink(void)
{
    return socket(AF_NETLINK, SOCK_RAW, 0);
}

static int open_pair(void)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) {
        return -1;
    }
    dup2(pair[1], OTHER_END);
    close(pair[1]);
    return pair[0];
}

static int open_connection(void)
{
    uint16_t port = 0;
    listen_on_loopback(&port);
    const struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    return connect(fd, (const struct sockaddr *)&to, sizeof to) == 0 ? fd : -1;
}

static int open_uring(void)
{
    char parameters[256] = {0};
    return (int)syscall(SYS_io_uring_setup, 4, parameters);
}

static void what_leads_out_already_is_found_and_nothing_is_sealed(void **state)
{
    (void)state;
    int (*const openers[])(void) = {open_udp, open_tcp, open_netlink, open_connection, open_uring};
    for (size_t i = 0; i < sizeof openers / sizeof openers[0]; i++) {
        const pid_t pid = fork();
        if (pid == 0) {
            struct tw_error error;
            const struct tw_seal_config config = {.kept_fd = -1};
            const int fd = openers[i]();
            const enum tw_status status = tw_seal_apply(&config, &error);
            _exit(fd < 0 && i == 4                                               ? 0 /* disabled */
                  : fd >= 0 && status == TW_ERR_USAGE && strlen(error.text) > 40 ? 0
                                                                                 : 1);
        }
        assert_int_equal(status_of(pid), 0);
    }
}

static void a_pair_of_its_own_may_stay_and_one_of_another_process_may_not(void **state)
{
    (void)state;
    for (int is_own = 0; is_own < 2; is_own++) {
        const int other = is_own == 0 ? open_pair() : -1;
        const pid_t pid = fork();
        if (pid == 0) {
            struct tw_error error;
            const struct tw_seal_config config = {.kept_fd = -1};
            const int own = is_own != 0 ? open_pair() : other;
            _exit(own >= 0 && tw_seal_apply(&config, &error) == (is_own != 0 ? TW_OK : TW_ERR_USAGE)
                      ? 0
                      : 1);
        }
        assert_int_equal(status_of(pid), 0);
        close(other);
        close(OTHER_END);
    }
}

static void what_was_inherited_is_closed_and_named(void **state)
{
    (void)state;
    const pid_t pid = fork();
    if (pid == 0) {
        struct tw_buf closed;
        struct tw_error error;
        const int a = dup2(open_udp(), 50), b = dup2(open_tcp(), 60);
        tw_buf_init(&closed, 65536);
        const bool ok = tw_seal_close_inherited(60, &closed, &error) == TW_OK &&
                        fcntl(a, F_GETFD) < 0 && fcntl(b, F_GETFD) >= 0 &&
                        memmem(closed.data, closed.size_bytes, "50: socket:[", 12) != NULL &&
                        memmem(closed.data, closed.size_bytes, "60: ", 4) == NULL;
        dup2(open_udp(), STDIN_FILENO);
        _exit(ok && tw_seal_close_inherited(-1, &closed, &error) == TW_ERR_USAGE &&
                      strstr(error.text, "standard input") != NULL
                  ? 0
                  : 1);
    }
    assert_int_equal(status_of(pid), 0);
}

/* ---- how it looks from outside ---- */

static void a_sealed_process_shows_and_one_that_is_not_does_not(void **state)
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
        uint16_t port;
        close(done[1]);
        listen_on_loopback(&port);
        byte = seal() ? 's' : 'x';
        if (write(ready[1], &byte, 1) != 1 || read(done[0], &byte, 1) != 0) {
            _exit(1);
        }
        _exit(0);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(byte, 's');
    assert_int_equal(tw_process_state_read(pid, &seen, &error), TW_OK);
    assert_true(tw_process_is_sealed(&seen));
    assert_int_equal(seen.n_filtered, seen.n_threads);
    assert_int_equal(seen.n_sockets, 1);
    assert_int_equal(seen.sockets[0].kind, TW_SOCKET_LISTENS);
    assert_true(seen.sockets[0].is_loopback);
    tw_process_state_free(&seen);
    close(done[1]);
    assert_int_equal(status_of(pid), 0);
    assert_int_equal(tw_process_state_read(getpid(), &seen, &error), TW_OK);
    assert_false(tw_process_is_sealed(&seen));
    tw_process_state_free(&seen);
    assert_int_equal(tw_process_state_read(pid, &seen, &error), TW_ERR_NOT_FOUND);
}

static enum tw_process_socket_kind kind_of(const struct tw_process_state *seen, int fd)
{
    for (size_t i = 0; i < seen->n_sockets; i++) {
        if (seen->sockets[i].fd == fd) {
            return seen->sockets[i].kind;
        }
    }
    return TW_SOCKET_KIND_COUNT;
}

static void sockets_are_told_apart_from_outside(void **state)
{
    (void)state;
    static struct tw_process_state seen;
    struct tw_error error;
    uint16_t port;
    const int listener = listen_on_loopback(&port), udp = open_udp(), idle = open_tcp();
    const struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int out = open_connection(), client = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(client, (const struct sockaddr *)&to, sizeof to), 0);
    const int accepted = accept(listener, NULL, NULL), local = open_pair();
    assert_int_equal(tw_process_sockets_read(getpid(), &seen, &error), TW_OK);
    assert_int_equal(kind_of(&seen, listener), TW_SOCKET_LISTENS);
    assert_int_equal(kind_of(&seen, accepted), TW_SOCKET_ACCEPTED);
    assert_int_equal(kind_of(&seen, out), TW_SOCKET_CONNECTED);
    assert_int_equal(kind_of(&seen, client), TW_SOCKET_CONNECTED);
    assert_int_equal(kind_of(&seen, local), TW_SOCKET_LOCAL);
    assert_int_equal(kind_of(&seen, idle), TW_SOCKET_IDLE);
    assert_int_equal(kind_of(&seen, udp), TW_SOCKET_OTHER);
    tw_process_state_free(&seen);
    const int all[] = {listener, udp, idle, out, client, accepted, local};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        close(all[i]);
    }
    close(OTHER_END);
}

static void every_call_of_the_lists_has_a_number(void **state)
{
    (void)state;
    size_t n = 0;
    for (; tw_seal_filter_name(n) != NULL; n++) {
        assert_true(seccomp_syscall_resolve_name(tw_seal_filter_name(n)) >= 0);
    }
    assert_true(n > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_attempt_gets_out),
        cmocka_unit_test(no_attempt_gets_out_of_a_thread_that_was_there_before),
        cmocka_unit_test(most_attempts_get_out_of_a_process_that_is_not_sealed),
        cmocka_unit_test(a_call_of_another_abi_ends_the_process),
        cmocka_unit_test(files_threads_and_signals_to_itself_go_on),
        cmocka_unit_test(who_comes_in_is_answered),
        cmocka_unit_test(what_leads_out_already_is_found_and_nothing_is_sealed),
        cmocka_unit_test(a_pair_of_its_own_may_stay_and_one_of_another_process_may_not),
        cmocka_unit_test(what_was_inherited_is_closed_and_named),
        cmocka_unit_test(a_sealed_process_shows_and_one_that_is_not_does_not),
        cmocka_unit_test(sockets_are_told_apart_from_outside),
        cmocka_unit_test(every_call_of_the_lists_has_a_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
