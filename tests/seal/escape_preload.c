#define _GNU_SOURCE /* syscall */
/* A library for LD_PRELOAD that turns any program into one with somebody inside: a thread of its
 * own waits until the process is sealed, tries to get out, and writes into the file ESCAPE_REPORT,
 * a line for each attempt: its name and the error it met, or 0. ESCAPE_SOCKET opens
 * a socket beforehand, as code that ran at the start could; ESCAPE_FATAL tries the attempt of that
 * number that ends the process; ESCAPE_CONNECT lists addresses (ADDRESS:PORT,...) to connect to. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "escape_attempts.h"

#define EARLY_FD 200

static char report_path[256], fatal_number[8], connect_list[256];

/* Without a descriptor, which the server would take for an inherited one. A filter without the call
 * is one, too. */
static bool is_sealed(void)
{
    return prctl(PR_GET_SECCOMP) != 0;
}

static void wait_until_sealed(void)
{
    const struct timespec tick = {.tv_nsec = 5000000};
    char name[16];
    for (unsigned n = 0; !is_sealed(); n++) {
        snprintf(name, sizeof name, "waits %u", n); /* a test sees that it looks, again and again */
        prctl(PR_SET_NAME, name);
        nanosleep(&tick, NULL);
    }
}

/* As libpq and libcurl do it: a socket that does not block. The error of the connection. */
static int connect_to(const char *place, int flags)
{
    char host[64];
    const char *colon = strrchr(place, ':');
    snprintf(host, sizeof host, "%.*s", (int)(colon - place), place);
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)strtol(colon + 1, NULL, 10))};
    inet_pton(AF_INET, host, &to.sin_addr);
    const int fd = socket(AF_INET, SOCK_STREAM | flags, 0);
    if (fd < 0) {
        return errno;
    }
    int code = connect(fd, (const struct sockaddr *)&to, sizeof to) == 0 ? 0 : errno;
    if (code == EINPROGRESS) {
        struct pollfd ready = {.fd = fd, .events = POLLOUT};
        socklen_t size = sizeof code;
        poll(&ready, 1, 10000);
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &size);
    }
    if (code == 0) {
        send(fd, "out", 3, MSG_NOSIGNAL);
    }
    close(fd);
    return code;
}

static void try_connections(FILE *report)
{
    for (const char *at = connect_list; *at != '\0';) {
        char place[64];
        const size_t n_bytes = strcspn(at, ",");
        snprintf(place, sizeof place, "%.*s", (int)n_bytes, at);
        fprintf(report, "%s %d\n", place, connect_to(place, SOCK_NONBLOCK));
        fprintf(report, "blocking:%s %d\n", place, connect_to(place, 0));
        at += n_bytes + (at[n_bytes] == ',');
    }
}

/* Opens a way out again and again, since inherited ones are closed, until the seal. By number: with
 * ThreadSanitizer the library's functions would tell of this race. */
static void *open_early(void *context)
{
    const struct timespec tick = {.tv_nsec = 100000};
    (void)context;
    for (int i = 0; i < 100000 && !is_sealed(); i++) {
        if (syscall(SYS_fcntl, EARLY_FD, F_GETFD) < 0) {
            const long fd = syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
            syscall(SYS_dup2, fd, EARLY_FD);
            syscall(SYS_close, fd);
        }
        nanosleep(&tick, NULL);
    }
    return NULL;
}

static void *try_all(void *context)
{
    (void)context;
    wait_until_sealed();
    FILE *report = fopen(report_path, "w"); /* files stay possible */
    if (report == NULL) {
        return NULL;
    }
    if (fatal_number[0] != '\0') {
        const struct escape_attempt *fatal = &fatal_attempts[strtol(fatal_number, NULL, 10)];
        fprintf(report, "%s %d\n", fatal->name, fatal->run());
    } else if (connect_list[0] != '\0') {
        try_connections(report);
    } else {
        for (const struct escape_attempt *attempt = escape_attempts; attempt->name != NULL;
             attempt++) {
            fprintf(report, "%s %d\n", attempt->name, attempt->run());
        }
    }
    fprintf(report, "end 0\n");
    fclose(report);
    return NULL;
}

static void copy(char *to, size_t room, const char *name)
{
    const char *value = getenv(name);
    snprintf(to, room, "%s", value != NULL ? value : "");
}

static void __attribute__((constructor)) begin(void)
{
    pthread_t thread;
    sigset_t all, old;
    copy(report_path, sizeof report_path, "ESCAPE_REPORT");
    copy(fatal_number, sizeof fatal_number, "ESCAPE_FATAL");
    copy(connect_list, sizeof connect_list, "ESCAPE_CONNECT");
    if (report_path[0] == '\0') {
        return;
    }
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &old);
    pthread_create(&thread, NULL, getenv("ESCAPE_SOCKET") != NULL ? open_early : try_all, NULL);
    pthread_detach(thread);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}
