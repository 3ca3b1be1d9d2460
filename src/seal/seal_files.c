#define _GNU_SOURCE /* struct ucred */
#include "seal/seal_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OWN_FILES "/proc/self/fd"

/* Kinds without a type of file that can neither be sent through nor run anything; an io_uring would
 * go on connecting behind the filter. */
static const char *const harmless[] = {
    "anon_inode:[eventpoll]", "anon_inode:[eventfd]", "anon_inode:[timerfd]",
    "anon_inode:[signalfd]",  "anon_inode:inotify",
};

enum tw_status tw_seal_files_list(struct tw_seal_files *ret_files, struct tw_error *error)
{
    DIR *folder = opendir(OWN_FILES);
    size_t n = 0;
    if (folder == NULL) {
        return tw_error_set(error, TW_ERR_IO, TW_NO_POSITION,
                            "cannot see what is open: %s: %s; mount /proc", OWN_FILES,
                            strerror(errno));
    }
    const int own_fd = dirfd(folder);
    for (const struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        const int fd = entry->d_name[0] == '.' ? own_fd : (int)strtol(entry->d_name, NULL, 10);
        if (fd != own_fd && n < TW_LIMIT_SEAL_FILES) {
            ret_files->numbers[n++] = fd;
        }
    }
    closedir(folder);
    ret_files->n_numbers = n;
    return n < TW_LIMIT_SEAL_FILES
               ? TW_OK
               : tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                              "more than %d descriptors are open", TW_LIMIT_SEAL_FILES);
}

void tw_seal_files_name(int fd, char ret_text[TW_REACH_TEXT_BYTES])
{
    char path[sizeof OWN_FILES + 16];
    snprintf(path, sizeof path, OWN_FILES "/%d", fd);
    const ssize_t n = readlink(path, ret_text, TW_REACH_TEXT_BYTES - 1);
    ret_text[n > 0 ? n : 0] = '\0';
}

static bool is_harmless(int fd)
{
    char name[TW_REACH_TEXT_BYTES];
    tw_seal_files_name(fd, name);
    for (size_t i = 0; i < sizeof harmless / sizeof harmless[0]; i++) {
        if (strcmp(name, harmless[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* True for a socket, with what it is. */
static bool is_socket(int fd, int *ret_family, bool *ret_listens)
{
    socklen_t size = sizeof *ret_family;
    int listens = 0;
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, ret_family, &size) != 0) {
        return false;
    }
    size = sizeof listens;
    *ret_listens = getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 && listens != 0;
    return true;
}

enum tw_status tw_seal_files_check_standard(struct tw_error *error)
{
    static const char *const names[] = {"input", "output", "error"};
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        int family;
        bool listens;
        if (is_socket(fd, &family, &listens) && family != AF_UNIX) {
            return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                                "standard %s is a socket of a network, which a sealed process may "
                                "not have: send it to a file or a pipe",
                                names[fd]);
        }
    }
    return TW_OK;
}

/* Both ends of a pair are this process's own: libraries wake their threads with such. The other end
 * of one that was made elsewhere says so. */
static bool is_own_pair(int fd, int family)
{
    struct ucred maker = {.pid = 0};
    socklen_t size = sizeof maker;
    return family == AF_UNIX && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &maker, &size) == 0 &&
           maker.pid == getpid();
}

static enum tw_status check_socket(int fd, int family, const struct tw_reach_list *reach,
                                   struct tw_error *error)
{
    union tw_reach_socket_address peer = {.any = {.sa_family = AF_UNSPEC}};
    socklen_t size = sizeof peer;
    char text[TW_REACH_TEXT_BYTES] = "nothing";
    if ((fd <= STDERR_FILENO && family == AF_UNIX) || is_own_pair(fd, family)) {
        return TW_OK; /* a journal, or within this process */
    }
    if (getpeername(fd, &peer.any, &size) == 0) {
        if (reach != NULL && tw_reach_find(reach, &peer, size) != NULL) {
            return TW_OK;
        }
        tw_reach_format(&peer, size, text);
    }
    return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                        "the process cannot be sealed: descriptor %d is a socket that is "
                        "connected to %s, which is not on the list",
                        fd, text);
}

static enum tw_status check(int fd, const struct tw_reach_list *reach, struct tw_error *error)
{
    char name[TW_REACH_TEXT_BYTES];
    struct stat is;
    int family;
    bool listens;
    if (fstat(fd, &is) != 0) {
        return TW_OK; /* closed meanwhile */
    }
    if (is_socket(fd, &family, &listens)) {
        const bool may_listen = family == AF_INET || family == AF_INET6 || family == AF_UNIX;
        return listens && may_listen ? TW_OK : check_socket(fd, family, reach, error);
    }
    if ((is.st_mode & S_IFMT) != 0 || is_harmless(fd)) {
        return TW_OK;
    }
    tw_seal_files_name(fd, name);
    return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                        "the process cannot be sealed: descriptor %d (%s) is of a kind that is "
                        "not known to be harmless",
                        fd, name);
}

enum tw_status tw_seal_files_check(const struct tw_reach_list *reach, int kept_fd,
                                   int other_kept_fd, struct tw_error *error)
{
    static struct tw_seal_files files; /* too large for a stack, and asked by one thread */
    enum tw_status status = tw_seal_files_list(&files, error);
    for (size_t i = 0; status == TW_OK && i < files.n_numbers; i++) {
        if (files.numbers[i] != kept_fd && files.numbers[i] != other_kept_fd) {
            status = check(files.numbers[i], reach, error);
        }
    }
    return status;
}
