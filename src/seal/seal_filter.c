/* What is allowed is listed, everything else is EPERM: of 450 calls a server needs a quarter, and a
 * list of what is dangerous would be wrong with the next kernel. Why each bound on arguments is
 * there: docs/decisions/0031-a-list-of-calls.md.
 *
 * Arguments that are an int to the kernel are compared in their lower 32 bits, as the kernel reads
 * them; what stands above is chance. */
#define _GNU_SOURCE /* CLONE_NEWNS */
#include "seal/seal_filter.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#define INT_BITS      UINT64_C(0xffffffff)
#define FIRST_UNKNOWN 450 /* newer than what the lists were made of */
#define LAST_UNKNOWN  511 /* 512 and above are of the x32 ABI */
#define BINARY_TREE   2
#define NEW_NAMESPACES                                                                             \
    (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |  \
     CLONE_NEWNET)
#define TCGETS2_NUMBER 0x802c542a /* of newer libraries; its header does not go with others */
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41 /* glibc names its heaps with it, where that is switched on */
#endif

/* ---- calls with any arguments ---- */

/* What any program does: memory, threads that wait, time, signals to itself, its end. */
static const char *const common[] = {"read",
                                     "write",
                                     "readv",
                                     "writev",
                                     "close",
                                     "fstat",
                                     "newfstatat",
                                     "lseek",
                                     "brk",
                                     "munmap",
                                     "mremap",
                                     "madvise",
                                     "mincore",
                                     "mlock",
                                     "munlock",
                                     "futex",
                                     "futex_waitv",
                                     "membarrier",
                                     "rseq",
                                     "set_robust_list",
                                     "get_robust_list",
                                     "set_tid_address",
                                     "sched_yield",
                                     "getcpu",
                                     "clock_gettime",
                                     "clock_getres",
                                     "clock_nanosleep",
                                     "nanosleep",
                                     "gettimeofday",
                                     "time",
                                     "rt_sigaction",
                                     "rt_sigprocmask",
                                     "rt_sigreturn",
                                     "rt_sigpending",
                                     "rt_sigsuspend",
                                     "rt_sigtimedwait",
                                     "sigaltstack",
                                     "restart_syscall",
                                     "exit",
                                     "exit_group",
                                     "gettid",
                                     "getpid",
                                     "getppid",
                                     "getuid",
                                     "geteuid",
                                     "getgid",
                                     "getegid",
                                     "getgroups",
                                     "getpgrp",
                                     "getpgid",
                                     "getsid",
                                     "getrandom",
                                     "uname",
                                     "sysinfo",
                                     "getrusage",
                                     "times",
                                     "getrlimit",
                                     "poll",
                                     "ppoll",
                                     "shutdown",
                                     "getsockopt",
                                     "getsockname",
                                     "getpeername",
                                     NULL};

/* Files, events and connections that are accepted. */
static const char *const serving[] = {"open",
                                      "openat",
                                      "creat",
                                      "close_range",
                                      "dup",
                                      "dup2",
                                      "dup3",
                                      "pread64",
                                      "pwrite64",
                                      "preadv",
                                      "pwritev",
                                      "preadv2",
                                      "pwritev2",
                                      "sendfile",
                                      "copy_file_range",
                                      "stat",
                                      "lstat",
                                      "statx",
                                      "statfs",
                                      "fstatfs",
                                      "access",
                                      "faccessat",
                                      "faccessat2",
                                      "readlink",
                                      "readlinkat",
                                      "getdents64",
                                      "getcwd",
                                      "fsync",
                                      "fdatasync",
                                      "sync_file_range",
                                      "ftruncate",
                                      "truncate",
                                      "fallocate",
                                      "fadvise64",
                                      "readahead",
                                      "msync",
                                      "flock",
                                      "rename",
                                      "renameat",
                                      "renameat2",
                                      "link",
                                      "linkat",
                                      "unlink",
                                      "unlinkat",
                                      "mkdir",
                                      "mkdirat",
                                      "rmdir",
                                      "chmod",
                                      "fchmod",
                                      "fchmodat",
                                      "chown",
                                      "fchown",
                                      "lchown",
                                      "fchownat",
                                      "utimensat",
                                      "umask",
                                      "fgetxattr",
                                      "getxattr",
                                      "sched_getaffinity",
                                      "sched_setaffinity",
                                      "sched_getparam",
                                      "sched_getscheduler",
                                      "sched_get_priority_max",
                                      "sched_get_priority_min",
                                      "getpriority",
                                      "epoll_create",
                                      "epoll_create1",
                                      "epoll_ctl",
                                      "epoll_wait",
                                      "epoll_pwait",
                                      "epoll_pwait2",
                                      "select",
                                      "pselect6",
                                      "eventfd",
                                      "eventfd2",
                                      "pipe",
                                      "pipe2",
                                      "timerfd_create",
                                      "timerfd_settime",
                                      "timerfd_gettime",
                                      "accept",
                                      "accept4",
                                      "recvfrom",
                                      NULL};

static const char *const connecting[] = {"connect", "recvmsg", "process_vm_readv", "pidfd_getfd",
                                         NULL};

/* Known calls for which libraries have another way when, and only when, they are ENOSYS. clone3 has
 * its flags in memory, where no filter can look. */
static const char *const missing[] = {"clone3", "openat2", NULL};

/* ---- calls with a bound on one argument ---- */

struct choice {
    const char *name;
    unsigned argument;
    uint32_t value;
};

static const struct choice common_choices[] = {
    {"fcntl", 1, F_GETFL},     {"fcntl", 1, F_SETFL},
    {"fcntl", 1, F_GETFD},     {"fcntl", 1, F_SETFD},
    {"prctl", 0, PR_SET_NAME}, {"prctl", 0, PR_GET_NAME},
    {"prctl", 0, PR_SET_VMA},  {NULL, 0, 0},
};

/* Of ioctl those that a terminal, a pipe or a socket is asked; TIOCSTI would type into a shell. */
static const struct choice serving_choices[] = {
    {"fcntl", 1, F_DUPFD},        {"fcntl", 1, F_DUPFD_CLOEXEC},
    {"fcntl", 1, F_GETLK},        {"fcntl", 1, F_SETLK},
    {"fcntl", 1, F_SETLKW},       {"fcntl", 1, F_OFD_GETLK},
    {"fcntl", 1, F_OFD_SETLK},    {"fcntl", 1, F_OFD_SETLKW},
    {"ioctl", 1, FIONBIO},        {"ioctl", 1, FIONREAD},
    {"ioctl", 1, FIOCLEX},        {"ioctl", 1, TCGETS},
    {"ioctl", 1, TIOCGWINSZ},     {"ioctl", 1, TIOCOUTQ},
    {"ioctl", 1, TCGETS2_NUMBER}, {NULL, 0, 0},
};

static const struct choice connecting_choices[] = {
    {"ioctl", 1, (uint32_t)SECCOMP_IOCTL_NOTIF_RECV},
    {"ioctl", 1, (uint32_t)SECCOMP_IOCTL_NOTIF_SEND},
    {"ioctl", 1, (uint32_t)SECCOMP_IOCTL_NOTIF_ID_VALID},
    {NULL, 0, 0},
};

static const struct option_of_socket {
    int level, name;
} socket_options[] = {
    {IPPROTO_TCP, TCP_NODELAY},  {IPPROTO_TCP, TCP_CORK},      {IPPROTO_TCP, TCP_NOTSENT_LOWAT},
    {IPPROTO_TCP, TCP_KEEPIDLE}, {IPPROTO_TCP, TCP_KEEPINTVL}, {IPPROTO_TCP, TCP_KEEPCNT},
    {SOL_SOCKET, SO_KEEPALIVE},  {SOL_SOCKET, SO_LINGER},      {IPPROTO_TCP, TCP_USER_TIMEOUT},
};

/* ---- rules ---- */

struct rules {
    scmp_filter_ctx filter;
    int failure; /* of the first rule that could not be made */
    const char *name;
};

static void allow_if(struct rules *rules, const char *name, unsigned n_arguments,
                     const struct scmp_arg_cmp *arguments)
{
    const int call = seccomp_syscall_resolve_name(name);
    if (rules->failure != 0 || call == __NR_SCMP_ERROR) {
        return; /* a library that does not know the call does not allow it */
    }
    rules->failure =
        seccomp_rule_add_array(rules->filter, SCMP_ACT_ALLOW, call, n_arguments, arguments);
    rules->name = name;
}

static struct scmp_arg_cmp has_bits(unsigned argument, uint64_t mask, uint64_t value)
{
    return (struct scmp_arg_cmp){argument, SCMP_CMP_MASKED_EQ, mask, value};
}

static struct scmp_arg_cmp is_int(unsigned argument, uint32_t value)
{
    return has_bits(argument, INT_BITS, value);
}

static void allow_list(struct rules *rules, const char *const *names)
{
    for (size_t i = 0; names[i] != NULL; i++) {
        allow_if(rules, names[i], 0, NULL);
    }
}

static void allow_choices(struct rules *rules, const struct choice *choices)
{
    for (size_t i = 0; choices[i].name != NULL; i++) {
        const struct scmp_arg_cmp is_chosen = is_int(choices[i].argument, choices[i].value);
        allow_if(rules, choices[i].name, 1, &is_chosen);
    }
}

/* A program's own code is all that it runs, so no memory becomes code; signals go to itself; what
 * is sent has no address, and connects nothing on the way (MSG_FASTOPEN). */
static void allow_common(struct rules *rules, pid_t own_pid)
{
    const struct scmp_arg_cmp no_code = has_bits(2, PROT_EXEC, 0);
    const struct scmp_arg_cmp to_self = is_int(0, (uint32_t)own_pid);
    const struct scmp_arg_cmp own_limits = is_int(0, 0);
    const struct scmp_arg_cmp without_address[] = {has_bits(3, MSG_FASTOPEN, 0),
                                                   {4, SCMP_CMP_EQ, 0, 0}};
    allow_list(rules, common);
    allow_choices(rules, common_choices);
    allow_if(rules, "mmap", 1, &no_code);
    allow_if(rules, "mprotect", 1, &no_code);
    allow_if(rules, "tgkill", 1, &to_self);
    allow_if(rules, "kill", 1, &to_self);
    allow_if(rules, "prlimit64", 1, &own_limits);
    allow_if(rules, "sendto", 2, without_address);
}

static void allow_socket_options(struct rules *rules)
{
    for (size_t i = 0; i < sizeof socket_options / sizeof socket_options[0]; i++) {
        const struct scmp_arg_cmp option[] = {is_int(1, (uint32_t)socket_options[i].level),
                                              is_int(2, (uint32_t)socket_options[i].name)};
        allow_if(rules, "setsockopt", 2, option);
    }
}

/* Threads, no processes, and none in a world of its own. */
static void allow_serving(struct rules *rules)
{
    const struct scmp_arg_cmp is_thread =
        has_bits(0, CLONE_THREAD | NEW_NAMESPACES | CLONE_PTRACE | CLONE_UNTRACED, CLONE_THREAD);
    const struct scmp_arg_cmp connects_nothing = has_bits(2, MSG_FASTOPEN, 0);
    allow_list(rules, serving);
    allow_choices(rules, serving_choices);
    allow_socket_options(rules);
    allow_if(rules, "clone", 1, &is_thread);
    allow_if(rules, "sendmsg", 1, &connects_nothing);
}

/* A socket of TCP or of the file system, which leads nowhere until it is connected. */
static void allow_broker(struct rules *rules)
{
    static const int families[] = {AF_INET, AF_INET6, AF_UNIX};
    static const int protocols[] = {0, IPPROTO_TCP};
    const uint64_t type_bits = INT_BITS & ~(uint64_t)(SOCK_CLOEXEC | SOCK_NONBLOCK);
    for (size_t i = 0; i < 3; i++) {
        for (size_t k = 0; k < 2; k++) {
            const struct scmp_arg_cmp is_stream[] = {is_int(0, (uint32_t)families[i]),
                                                     has_bits(1, type_bits, SOCK_STREAM),
                                                     is_int(2, (uint32_t)protocols[k])};
            allow_if(rules, "socket", 3, is_stream);
        }
    }
    if (rules->failure == 0) {
        rules->failure = seccomp_rule_add(rules->filter, SCMP_ACT_NOTIFY, SCMP_SYS(connect), 0);
        rules->name = "connect";
    }
}

static void say_unknown(struct rules *rules)
{
    for (size_t i = 0; rules->failure == 0 && missing[i] != NULL; i++) {
        rules->failure = seccomp_rule_add(rules->filter, SCMP_ACT_ERRNO(ENOSYS),
                                          seccomp_syscall_resolve_name(missing[i]), 0);
        rules->name = missing[i];
    }
    for (int call = FIRST_UNKNOWN; rules->failure == 0 && call <= LAST_UNKNOWN; call++) {
        rules->failure = seccomp_rule_add(rules->filter, SCMP_ACT_ERRNO(ENOSYS), call, 0);
        rules->name = "a newer call";
    }
}

/* All threads at once; another ABI has numbers of its own, and is no mistake. */
static int set_up(scmp_filter_ctx filter)
{
    int failure = seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 1);
    if (failure == 0) {
        failure = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    }
    if (failure == 0) {
        failure = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, BINARY_TREE);
    }
    if (failure == 0) {
        failure = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    }
    return failure;
}

enum tw_status tw_seal_filter_make(enum tw_seal_role role, pid_t own_pid,
                                   scmp_filter_ctx *ret_filter, struct tw_error *error)
{
    struct rules rules = {.filter = seccomp_init(SCMP_ACT_ERRNO(EPERM)), .name = "the filter"};
    if (rules.filter == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a filter");
    }
    rules.failure = set_up(rules.filter);
    allow_common(&rules, own_pid);
    if (role == TW_SEAL_AS_BROKER) {
        allow_list(&rules, connecting);
        allow_choices(&rules, connecting_choices);
    } else {
        allow_serving(&rules);
    }
    if (role == TW_SEAL_WITH_BROKER) {
        allow_broker(&rules);
    }
    say_unknown(&rules);
    if (rules.failure != 0) {
        seccomp_release(rules.filter);
        return tw_error_set(error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                            "the process cannot be sealed: libseccomp refuses the rule for %s: %s",
                            rules.name, strerror(-rules.failure));
    }
    *ret_filter = rules.filter;
    return TW_OK;
}

const char *tw_seal_filter_name(size_t i)
{
    static const char *const *const lists[] = {common, serving, connecting, missing};
    for (size_t k = 0; k < sizeof lists / sizeof lists[0]; k++) {
        for (size_t at = 0; lists[k][at] != NULL; at++) {
            if (i-- == 0) {
                return lists[k][at];
            }
        }
    }
    return NULL;
}
