#define _GNU_SOURCE /* clone, process_vm_writev */
#include "escape_attempts.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/io_uring.h>
#include <linux/netlink.h>
#include <linux/perf_event.h>
#include <linux/vm_sockets.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define DISCARD_PORT 9
#define X32_BIT      0x40000000
#define I386_SOCKET  359
#define CURL         "/usr/bin/curl"

int escape_victim;

static pid_t victim(void)
{
    return escape_victim != 0 ? (pid_t)escape_victim : getppid();
}

/* A descriptor is a way out; so is anything else that is not -1. */
static int outcome(long result)
{
    const int code = errno;
    if (result >= 0) {
        close((int)result);
        return 0;
    }
    return code;
}

static int failure_of(long result)
{
    return result < 0 ? errno : 0;
}

static struct sockaddr_in somewhere(void)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons(DISCARD_PORT),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

/* ---- sockets ---- */

static int tcp_over_ipv4(void)
{
    return outcome(socket(AF_INET, SOCK_STREAM, 0));
}

static int tcp_over_ipv6(void)
{
    return outcome(socket(AF_INET6, SOCK_STREAM, IPPROTO_TCP));
}

static int udp_over_ipv4(void)
{
    return outcome(socket(AF_INET, SOCK_DGRAM, 0));
}

static int udp_over_ipv6(void)
{
    return outcome(socket(AF_INET6, SOCK_DGRAM, 0));
}

static int mptcp(void)
{
    return outcome(socket(AF_INET, SOCK_STREAM, 262));
}

static int sctp(void)
{
    return outcome(socket(AF_INET, SOCK_SEQPACKET, IPPROTO_SCTP));
}

static int ping_socket(void)
{
    return outcome(socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP));
}

static int raw_socket(void)
{
    return outcome(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
}

static int packet_socket(void)
{
    return outcome(socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL)));
}

static int netlink_socket(void)
{
    return outcome(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
}

static int vsock(void)
{
    return outcome(socket(AF_VSOCK, SOCK_STREAM, 0));
}

static int kernel_crypto(void)
{
    return outcome(socket(AF_ALG, SOCK_SEQPACKET, 0));
}

static int local_stream(void)
{
    return outcome(socket(AF_UNIX, SOCK_STREAM, 0));
}

static int local_datagram(void)
{
    return outcome(socket(AF_UNIX, SOCK_DGRAM, 0));
}

static int pair_of_sockets(void)
{
    int pair[2];
    const int code = failure_of(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    if (code == 0) {
        close(pair[0]);
        close(pair[1]);
    }
    return code;
}

/* ---- descriptors that are there ---- */

/* Some socket of this process that listens, or -1. */
static int find_listener(void)
{
    for (int fd = 0; fd < 256; fd++) {
        int listens = 0;
        socklen_t size = sizeof listens;
        if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 && listens != 0) {
            return fd;
        }
    }
    return -1;
}

static int connect_of_a_listener(void)
{
    const struct sockaddr_in to = somewhere();
    return failure_of(connect(find_listener(), (const struct sockaddr *)&to, sizeof to));
}

static int binding_of_a_listener(void)
{
    const struct sockaddr_in to = {.sin_family = AF_INET};
    return failure_of(bind(find_listener(), (const struct sockaddr *)&to, sizeof to));
}

static int listening_again(void)
{
    return failure_of(listen(find_listener(), 1));
}

static int sendto_an_address(void)
{
    const struct sockaddr_in to = somewhere();
    return failure_of(
        sendto(find_listener(), "x", 1, MSG_NOSIGNAL, (const struct sockaddr *)&to, sizeof to));
}

static int sendmsg_that_connects(void)
{
    struct sockaddr_in to = somewhere();
    struct iovec part = {.iov_base = &to, .iov_len = 1};
    const struct msghdr message = {
        .msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &part, .msg_iovlen = 1};
    return failure_of(sendmsg(find_listener(), &message, MSG_FASTOPEN | MSG_NOSIGNAL));
}

static int sendto_that_connects(void)
{
    return failure_of(sendto(find_listener(), "x", 1, MSG_FASTOPEN | MSG_NOSIGNAL, NULL, 0));
}

static int many_messages(void)
{
    struct sockaddr_in to = somewhere();
    struct iovec part = {.iov_base = &to, .iov_len = 1};
    struct mmsghdr message = {
        .msg_hdr = {.msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &part, .msg_iovlen = 1}};
    return failure_of(sendmmsg(find_listener(), &message, 1, MSG_NOSIGNAL));
}

static int an_option_that_connects(void)
{
    const int on = 1;
    return failure_of(
        setsockopt(find_listener(), IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &on, sizeof on));
}

static int taking_a_descriptor_by_message(void)
{
    char byte;
    struct iovec part = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    return failure_of(recvmsg(find_listener(), &message, MSG_DONTWAIT));
}

static int taking_a_descriptor_from_a_process(void)
{
    const int code = outcome(syscall(SYS_pidfd_getfd, 0, 0, 0));
    return code != 0 ? code : outcome(syscall(SYS_pidfd_open, victim(), 0));
}

static int a_file_by_its_handle(void)
{
    struct file_handle *handle = calloc(1, sizeof *handle + 64);
    int mount;
    handle->handle_bytes = 64;
    const int code = name_to_handle_at(AT_FDCWD, "/", handle, &mount, 0) == 0 ? 0 : errno;
    const int opened = outcome(open_by_handle_at(AT_FDCWD, handle, O_RDONLY));
    free(handle);
    return opened != 0 ? opened : code;
}

/* ---- names ---- */

/* The resolver says in its own words that it did not get anywhere. */
static int looking_up_a_name(void)
{
    struct addrinfo *found = NULL;
    const int failure = getaddrinfo("tokenworks-escape.example.org", "80", NULL, &found);
    if (failure == 0) {
        freeaddrinfo(found);
        return 0;
    }
    return EPERM;
}

/* ---- programs and processes ---- */

static int curl_by_execve(void)
{
    static char name[] = "curl", address[] = "http://127.0.0.1:9/";
    char *const argv[] = {name, address, NULL};
    char *const environment[] = {NULL};
    return failure_of(execve(CURL, argv, environment));
}

static int curl_by_execveat(void)
{
    static char name[] = "curl";
    char *const argv[] = {name, NULL};
    char *const environment[] = {NULL};
    return failure_of(syscall(SYS_execveat, AT_FDCWD, CURL, argv, environment, 0));
}

/* The child of a fork that works ends at once. */
static int child_outcome(pid_t pid)
{
    const int code = errno;
    if (pid == 0) {
        _exit(0);
    }
    if (pid > 0) {
        waitpid(pid, NULL, 0);
        return 0;
    }
    return code;
}

static int fork_and_exec(void)
{
    const pid_t pid = fork();
    if (pid == 0) {
        execl(CURL, "curl", "http://127.0.0.1:9/", (char *)NULL);
    }
    return child_outcome(pid);
}

static int fork_by_its_number(void)
{
    return child_outcome((pid_t)syscall(SYS_fork));
}

static int spawning(void)
{
    static char name[] = "curl";
    char *const argv[] = {name, NULL};
    char *const environment[] = {NULL};
    pid_t pid;
    return posix_spawn(&pid, CURL, NULL, NULL, argv, environment);
}

static int a_thread_in_another_network(void)
{
    return child_outcome(
        (pid_t)syscall(SYS_clone, CLONE_NEWNET | CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0));
}

static int leaving_namespaces(void)
{
    return failure_of(unshare(CLONE_NEWUSER | CLONE_NEWNET));
}

static int joining_namespaces(void)
{
    const int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    const int code = failure_of(setns(fd, 0));
    close(fd);
    return code;
}

static int tracing_another_process(void)
{
    return failure_of(ptrace(PTRACE_SEIZE, victim(), NULL, NULL));
}

static int being_traced(void)
{
    return failure_of(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
}

static int reading_another_process(void)
{
    char byte;
    const struct iovec here = {&byte, 1}, there = {&escape_victim, 1};
    return failure_of(process_vm_readv(victim(), &here, 1, &there, 1, 0));
}

static int writing_another_process(void)
{
    const struct iovec here = {&escape_victim, 0}, there = {&escape_victim, 0};
    return failure_of(process_vm_writev(victim(), &here, 1, &there, 1, 0));
}

/* With Landlock only: to a filter it is a file. */
static int another_process_by_its_file(void)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/mem", (int)victim());
    return outcome(open(path, O_RDWR | O_CLOEXEC));
}

static int a_signal_to_another_process(void)
{
    return failure_of(kill(victim(), 0));
}

static int a_signal_to_another_thread(void)
{
    return failure_of(syscall(SYS_tgkill, victim(), victim(), 0));
}

/* ---- ways around calls ---- */

static int io_uring(void)
{
    struct io_uring_params parameters;
    memset(&parameters, 0, sizeof parameters);
    return outcome(syscall(SYS_io_uring_setup, 4, &parameters));
}

static int io_uring_that_is_there(void)
{
    return failure_of(syscall(SYS_io_uring_enter, 0, 1, 0, 0, NULL, 0));
}

static int bpf_program(void)
{
    union bpf_attr attributes;
    memset(&attributes, 0, sizeof attributes);
    return outcome(syscall(SYS_bpf, BPF_MAP_CREATE, &attributes, sizeof attributes));
}

static int performance_events(void)
{
    struct perf_event_attr attributes;
    memset(&attributes, 0, sizeof attributes);
    attributes.size = sizeof attributes;
    return outcome(syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0));
}

static int faults_in_user_space(void)
{
    return outcome(syscall(SYS_userfaultfd, O_CLOEXEC));
}

static int keys_of_the_kernel(void)
{
    return failure_of(syscall(SYS_keyctl, 0, 0, 0, 0, 0));
}

static int mounting(void)
{
    return failure_of(mount("none", "/proc/self", "tmpfs", 0, NULL));
}

static int new_root(void)
{
    return failure_of(chroot("/proc/self/cwd"));
}

static int memory_that_is_code(void)
{
    void *place =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const int code = errno;
    if (place != MAP_FAILED) {
        munmap(place, 4096);
        return 0;
    }
    return code;
}

static int memory_that_becomes_code(void)
{
    void *place = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const int code = failure_of(mprotect(place, 4096, PROT_READ | PROT_EXEC));
    munmap(place, 4096);
    return code;
}

static int shared_memory(void)
{
    const int id = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);
    const int code = errno;
    if (id >= 0) {
        shmctl(id, IPC_RMID, NULL);
        return 0;
    }
    return code;
}

static int file_in_memory(void)
{
    return outcome(memfd_create("x", 0));
}

static int typing_into_a_terminal(void)
{
    return failure_of(ioctl(0, TIOCSTI, "x"));
}

static int signals_by_a_descriptor(void)
{
    return failure_of(fcntl(find_listener(), F_SETOWN, victim()));
}

static int another_filter(void)
{
    return failure_of(syscall(SYS_seccomp, 1, 0, NULL));
}

static int privileges_by_prctl(void)
{
    return failure_of(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0));
}

static int another_user(void)
{
    return failure_of(syscall(SYS_setuid, getuid()));
}

#define ATTEMPT(function)                                                                          \
    {                                                                                              \
#function, function                                                                        \
    }

const struct escape_attempt escape_attempts[] = {
    ATTEMPT(tcp_over_ipv4),
    ATTEMPT(tcp_over_ipv6),
    ATTEMPT(udp_over_ipv4),
    ATTEMPT(udp_over_ipv6),
    ATTEMPT(mptcp),
    ATTEMPT(sctp),
    ATTEMPT(ping_socket),
    ATTEMPT(raw_socket),
    ATTEMPT(packet_socket),
    ATTEMPT(netlink_socket),
    ATTEMPT(vsock),
    ATTEMPT(kernel_crypto),
    ATTEMPT(local_stream),
    ATTEMPT(local_datagram),
    ATTEMPT(pair_of_sockets),
    ATTEMPT(connect_of_a_listener),
    ATTEMPT(binding_of_a_listener),
    ATTEMPT(listening_again),
    ATTEMPT(sendto_an_address),
    ATTEMPT(sendto_that_connects),
    ATTEMPT(sendmsg_that_connects),
    ATTEMPT(many_messages),
    ATTEMPT(an_option_that_connects),
    ATTEMPT(taking_a_descriptor_by_message),
    ATTEMPT(taking_a_descriptor_from_a_process),
    ATTEMPT(a_file_by_its_handle),
    ATTEMPT(looking_up_a_name),
    ATTEMPT(curl_by_execve),
    ATTEMPT(curl_by_execveat),
    ATTEMPT(fork_and_exec),
    ATTEMPT(fork_by_its_number),
    ATTEMPT(spawning),
    ATTEMPT(a_thread_in_another_network),
    ATTEMPT(leaving_namespaces),
    ATTEMPT(joining_namespaces),
    ATTEMPT(tracing_another_process),
    ATTEMPT(being_traced),
    ATTEMPT(reading_another_process),
    ATTEMPT(writing_another_process),
    ATTEMPT(another_process_by_its_file),
    ATTEMPT(a_signal_to_another_process),
    ATTEMPT(a_signal_to_another_thread),
    ATTEMPT(io_uring),
    ATTEMPT(io_uring_that_is_there),
    ATTEMPT(bpf_program),
    ATTEMPT(performance_events),
    ATTEMPT(faults_in_user_space),
    ATTEMPT(keys_of_the_kernel),
    ATTEMPT(mounting),
    ATTEMPT(new_root),
    ATTEMPT(memory_that_is_code),
    ATTEMPT(memory_that_becomes_code),
    ATTEMPT(shared_memory),
    ATTEMPT(file_in_memory),
    ATTEMPT(typing_into_a_terminal),
    ATTEMPT(signals_by_a_descriptor),
    ATTEMPT(another_filter),
    ATTEMPT(privileges_by_prctl),
    ATTEMPT(another_user),
    {NULL, NULL},
};

/* ---- other ABIs ---- */

static int socket_of_x32(void)
{
    return outcome(syscall(SYS_socket | X32_BIT, AF_INET, SOCK_STREAM, 0));
}

static int socket_of_i386(void)
{
    long result = I386_SOCKET;
    __asm__ volatile("int $0x80"
                     : "+a"(result)
                     : "b"((long)AF_INET), "c"((long)SOCK_STREAM), "d"(0L)
                     : "memory");
    return result < 0 ? (int)-result : outcome(result);
}

const struct escape_attempt fatal_attempts[] = {
    ATTEMPT(socket_of_x32),
    ATTEMPT(socket_of_i386),
    {NULL, NULL},
};
