#define _GNU_SOURCE /* memfd_create */
#include "seal/seal_statement.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NAME       "tokenworks-seal"
#define LINK       "/memfd:" NAME
#define PATH_BYTES 320
#define NO_CALL    500 /* no kernel has it yet */

/* As it stands in the file. */
struct statement {
    char magic[16];
    uint32_t role, n_filters;
};
static const char magic[16] = NAME;

enum tw_status tw_seal_statement_open(int *ret_fd, struct tw_error *error)
{
    const int fd = memfd_create(NAME, MFD_CLOEXEC);
    if (fd < 0) {
        return tw_error_set(error, TW_ERR_IO, TW_NO_POSITION, "no file in memory: %s",
                            strerror(errno));
    }
    *ret_fd = fd;
    return TW_OK;
}

/* Each with arguments that the kernel would refuse for another reason, had it come so far: the
 * error says who refused. */
static const char *what_is_not_refused(enum tw_seal_role role)
{
    const struct {
        const char *name;
        long result;
        int code, expected;
    } calls[] = {
        {"execve", syscall(SYS_execve, NULL, NULL, NULL), errno, EPERM},
        {"io_uring_setup", syscall(SYS_io_uring_setup, 0, NULL), errno, EPERM},
        {"socket", syscall(SYS_socket, AF_INET, SOCK_DGRAM, 0), errno, EPERM},
        {"ptrace", syscall(SYS_ptrace, -1, 0, NULL, NULL), errno, EPERM},
        {"bind", syscall(SYS_bind, -1, NULL, 0), errno, EPERM},
        {"connect", role == TW_SEAL_ALONE ? syscall(SYS_connect, -1, NULL, 0) : -1,
         role == TW_SEAL_ALONE ? errno : EPERM, EPERM},
        {"a call without a name", syscall(NO_CALL), errno, ENOSYS},
    };
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        if (calls[i].result != -1 || calls[i].code != calls[i].expected) {
            return calls[i].name;
        }
    }
    return NULL;
}

enum tw_status tw_seal_statement_make(int fd, enum tw_seal_role role, uint32_t n_filters,
                                      struct tw_error *error)
{
    struct statement statement = {.role = role, .n_filters = n_filters};
    const char *what = what_is_not_refused(role);
    memcpy(statement.magic, magic, sizeof magic);
    if (what != NULL) {
        return tw_error_set(error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                            "the process could not be sealed: %s was not refused as it should be",
                            what);
    }
    return write(fd, &statement, sizeof statement) == (ssize_t)sizeof statement
               ? TW_OK
               : tw_error_set(error, TW_ERR_IO, TW_NO_POSITION,
                              "what the seal is cannot be written down: %s", strerror(errno));
}

/* ---- from outside ---- */

static bool read_file(const char *path, struct tw_seal_statement *ret_statement)
{
    struct statement statement;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    const bool is_whole =
        fd >= 0 && pread(fd, &statement, sizeof statement, 0) == (ssize_t)sizeof statement &&
        memcmp(statement.magic, magic, sizeof magic) == 0 && statement.role <= TW_SEAL_AS_BROKER;
    if (fd >= 0) {
        close(fd);
    }
    if (is_whole) {
        *ret_statement = (struct tw_seal_statement){.role = (enum tw_seal_role)statement.role,
                                                    .n_filters = statement.n_filters};
    }
    return is_whole;
}

bool tw_seal_statement_read(pid_t pid, struct tw_seal_statement *ret_statement)
{
    char path[PATH_BYTES], link[PATH_BYTES];
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *folder = opendir(path);
    bool is_found = false;
    for (const struct dirent *entry = folder != NULL ? readdir(folder) : NULL;
         entry != NULL && !is_found; entry = readdir(folder)) {
        snprintf(path, sizeof path, "/proc/%d/fd/%s", (int)pid, entry->d_name);
        const ssize_t n = readlink(path, link, sizeof link - 1);
        link[n > 0 ? n : 0] = '\0';
        is_found = strncmp(link, LINK, sizeof LINK - 1) == 0 && read_file(path, ret_statement);
    }
    if (folder != NULL) {
        closedir(folder);
    }
    return is_found;
}
