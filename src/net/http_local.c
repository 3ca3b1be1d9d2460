/* Sockets of the file system. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/http_server.h"

#define WAITING 128 /* connections that nobody has accepted */

static enum tw_status cannot(const char *what, const char *path, int code, struct tw_error *error)
{
    return tw_error_set(error, TW_ERR_IO, TW_NO_POSITION, "cannot %s the socket '%.160s': %s", what,
                        path, strerror(code));
}

/* Whether a process listens there. */
static bool is_answered(const struct sockaddr_un *address)
{
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const bool is_there =
        fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof *address) == 0;
    if (fd >= 0) {
        close(fd);
    }
    return is_there;
}

/* Only a socket is removed: what else has that name is somebody's. */
static enum tw_status make_room(const struct sockaddr_un *address, struct tw_error *error)
{
    struct stat is;
    if (lstat(address->sun_path, &is) != 0) {
        return TW_OK;
    }
    if (!S_ISSOCK(is.st_mode)) {
        return cannot("make", address->sun_path, EEXIST, error);
    }
    if (is_answered(address)) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "another process listens at '%.160s': end it first", address->sun_path);
    }
    return unlink(address->sun_path) == 0 ? TW_OK
                                          : cannot("replace", address->sun_path, errno, error);
}

/* Made with no rights for others from the beginning: before a chmod somebody could enter. */
static int bind_privately(const struct sockaddr_un *address, int fd)
{
    const mode_t old = umask(0177);
    const int result = bind(fd, (const struct sockaddr *)address, sizeof *address);
    const int code = errno;
    umask(old);
    errno = code;
    return result;
}

enum tw_status tw_http_listen_local(const char *path, int *ret_fd, struct tw_error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const size_t n_bytes = strlen(path);
    if (n_bytes == 0 || n_bytes >= sizeof address.sun_path) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "the path of a socket may have %zu bytes, '%.100s' has %zu",
                            sizeof address.sun_path - 1, path, n_bytes);
    }
    memcpy(address.sun_path, path, n_bytes);
    enum tw_status status = make_room(&address, error);
    if (status != TW_OK) {
        return status;
    }
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind_privately(&address, fd) != 0 || listen(fd, WAITING) != 0) {
        status = cannot("listen at", path, errno, error);
        if (fd >= 0) {
            close(fd);
        }
        return status;
    }
    *ret_fd = fd;
    return TW_OK;
}
