#define _GNU_SOURCE /* fallocate */
#include "base/file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

#define WRITE_BUFFER_BYTES     ((size_t)2 << 20) /* so the system can keep a file in huge pages */
#define TEMPORARY_SUFFIX_BYTES 48
#define TEMPORARY_TRIES        100
#define SETTLE_NS              ((int64_t)50000000) /* of a clock that ticks 100 times a second */

static enum tw_status from_errno(const char *what, const char *path, struct tw_error *error)
{
    enum tw_status status = errno == ENOENT || errno == ENOTDIR ? TW_ERR_NOT_FOUND : TW_ERR_IO;
    return tw_error_set(error, status, TW_NO_POSITION, "cannot %s '%s': %s", what, path,
                        strerror(errno));
}

/* The folder that a path's last name is in, with the slash behind it: "." where it names none. The
 * caller frees it. */
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? tw_mem_strndup(".", 1)
                         : tw_mem_strndup(path, (size_t)(slash - path) + 1);
}

/* Something was to be made under a path: what stands in the way is its folder, nearly always. */
static enum tw_status cannot_make(const char *what, const char *path, struct tw_error *error)
{
    int reason = errno;
    struct stat st;
    char *folder = folder_of(path);
    const char *shown = folder != NULL ? folder : "";
    bool is_there = stat(shown, &st) == 0;
    int n = (int)strlen(shown); /* without the slash behind it */
    n = n > 120 ? 120 : n > 1 ? n - (shown[n - 1] == '/') : n;
    enum tw_status status = TW_OK;
    if (reason == ENOENT && !is_there) {
        status = tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION,
                              "cannot %s '%.120s': the folder '%.*s' does not exist", what, path, n,
                              shown);
    } else if (reason == ENOTDIR) {
        status = tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION,
                              "cannot %s '%.120s': '%.*s' is no folder", what, path, n, shown);
    } else if (reason == EACCES && is_there) {
        status = tw_error_set(error, TW_ERR_IO, TW_NO_POSITION,
                              "cannot %s '%.120s': you may not write into the folder '%.*s'", what,
                              path, n, shown);
    }
    tw_mem_free(folder);
    errno = reason;
    return status != TW_OK ? status : from_errno(what, path, error);
}

static int64_t ns_of(struct timespec time)
{
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static struct tw_file_stamp stamp_of(const struct stat *st)
{
    return (struct tw_file_stamp){.size_bytes = (uint64_t)st->st_size,
                                  .mtime_ns = ns_of(st->st_mtim),
                                  .ctime_ns = ns_of(st->st_ctim),
                                  .inode = st->st_ino,
                                  .mode = st->st_mode & 0777,
                                  .group = st->st_gid,
                                  .owner = st->st_uid};
}

bool tw_file_stamp_is_trusted(const struct tw_file_stamp *stamp, const struct tw_file_stamp *about)
{
    return stamp->owner == geteuid() || stamp->owner == 0 || stamp->owner == about->owner;
}

bool tw_file_stamp_is_same(const struct tw_file_stamp *a, const struct tw_file_stamp *b)
{
    return a->size_bytes == b->size_bytes && a->mtime_ns == b->mtime_ns &&
           a->ctime_ns == b->ctime_ns && a->inode == b->inode;
}

bool tw_file_stamp_settle(const struct tw_file_stamp *stamp)
{
    int64_t age_ns = tw_clock_wall_ns() - stamp->ctime_ns;
    while (age_ns >= 0 && age_ns < SETTLE_NS) {
        const struct timespec rest = {.tv_nsec = SETTLE_NS - age_ns};
        nanosleep(&rest, NULL);
        age_ns = tw_clock_wall_ns() - stamp->ctime_ns;
    }
    return age_ns >= 0;
}

static enum tw_status open_regular(const char *path, int *ret_fd, struct tw_file_stamp *ret_stamp,
                                   struct tw_error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return from_errno("open", path, error);
    }
    struct stat st;
    enum tw_status status = TW_OK;
    if (fstat(fd, &st) != 0) {
        status = from_errno("look at", path, error);
    } else if (!S_ISREG(st.st_mode)) {
        status = tw_error_set(error, TW_ERR_IO, TW_NO_POSITION, "'%s' is not a regular file", path);
    }
    if (status != TW_OK) {
        close(fd);
        return status;
    }
    *ret_fd = fd;
    *ret_stamp = stamp_of(&st);
    return TW_OK;
}

/* Where a file lies in memory as in huge pages, what the system has of it in such pages is mapped
 * by them; file systems themselves align to small pages only. So it takes a place that is. */
static void *map_aligned(int fd, size_t size)
{
    void *place = tw_mem_reserve(size);
    if (place == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    if (mmap(place, size, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED) {
        const int reason = errno;
        tw_mem_unmap(place, size);
        errno = reason;
        return NULL;
    }
    return place;
}

enum tw_status tw_file_map_open(const char *path, struct tw_file_map *ret_map,
                                struct tw_error *error)
{
    int fd = -1;
    struct tw_file_stamp stamp;
    enum tw_status status = open_regular(path, &fd, &stamp, error);
    if (status != TW_OK) {
        return status;
    }
    void *data = NULL;
    const size_t size = (size_t)stamp.size_bytes;
    if (size != 0) {
        data = map_aligned(fd, size);
        if (data == NULL) {
            status = from_errno("map", path, error);
        }
    }
    close(fd);
    if (status == TW_OK) {
        *ret_map = (struct tw_file_map){.data = data, .size_bytes = size, .stamp = stamp};
    }
    return status;
}

void tw_file_map_close(struct tw_file_map *map)
{
    if (map->data != NULL) {
        munmap((void *)(uintptr_t)map->data, map->size_bytes);
    }
    *map = (struct tw_file_map){0};
}

void tw_file_map_expect(const struct tw_file_map *map)
{
    madvise((void *)(uintptr_t)map->data, map->size_bytes, MADV_HUGEPAGE); /* costs speed only */
}

void tw_file_map_release(const void *data, size_t n_bytes)
{
    uintptr_t page_bytes = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t begin = ((uintptr_t)data + page_bytes - 1) / page_bytes * page_bytes;
    uintptr_t end = ((uintptr_t)data + n_bytes) / page_bytes * page_bytes;
    if (begin < end) {
        madvise((void *)begin, end - begin, MADV_DONTNEED); /* a hint: failure costs memory only */
    }
}

static enum tw_status read_all(int fd, const char *path, struct tw_buf *buf, struct tw_error *error)
{
    char piece[16384];
    for (;;) {
        ssize_t n = read(fd, piece, sizeof piece);
        if (n == 0) {
            return TW_OK;
        }
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return from_errno("read", path, error);
        }
        if ((size_t)n <= buf->bound_bytes - buf->size_bytes) {
            if (!tw_buf_append(buf, piece, (size_t)n)) {
                return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory to read '%s'",
                                    path);
            }
        } else {
            return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                                "'%s' is larger than the %zu bytes allowed here", path,
                                buf->bound_bytes);
        }
    }
}

static enum tw_status read_into(int fd, const char *path, size_t bound_bytes,
                                struct tw_buf *ret_buf, struct tw_error *error)
{
    struct tw_buf buf;
    tw_buf_init(&buf, bound_bytes);
    enum tw_status status = read_all(fd, path, &buf, error);
    if (status != TW_OK) {
        tw_buf_free(&buf);
        return status;
    }
    *ret_buf = buf;
    return TW_OK;
}

enum tw_status tw_file_read(const char *path, size_t bound_bytes, struct tw_buf *ret_buf,
                            struct tw_error *error)
{
    if (strcmp(path, "-") == 0) {
        return read_into(STDIN_FILENO, path, bound_bytes, ret_buf, error);
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return from_errno("open", path, error);
    }
    enum tw_status status = read_into(fd, path, bound_bytes, ret_buf, error);
    close(fd);
    return status;
}

enum tw_status tw_file_load(const char *path, size_t bound_bytes, struct tw_buf *ret_buf,
                            struct tw_error *error)
{
    int fd = -1;
    struct tw_file_stamp stamp;
    enum tw_status status = open_regular(path, &fd, &stamp, error);
    if (status != TW_OK) {
        return status;
    }
    status = read_into(fd, path, bound_bytes, ret_buf, error);
    close(fd);
    return status;
}

bool tw_file_is_directory(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool tw_file_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

/* The folder that a path's last name is in, and that name. */
static bool stat_folder_of(const char *path, struct stat *ret_stat, const char **ret_name)
{
    const char *slash = strrchr(path, '/');
    char *folder = folder_of(path);
    bool is_there = folder != NULL && stat(folder, ret_stat) == 0;
    *ret_name = slash == NULL ? path : slash + 1;
    tw_mem_free(folder);
    return is_there;
}

bool tw_file_is_same(const char *a, const char *b)
{
    struct stat at_a, at_b;
    const char *name_a = "", *name_b = "";
    bool both = stat(a, &at_a) == 0 && stat(b, &at_b) == 0;
    if (!both) {
        both = stat_folder_of(a, &at_a, &name_a) && stat_folder_of(b, &at_b, &name_b);
    }
    return both && at_a.st_dev == at_b.st_dev && at_a.st_ino == at_b.st_ino &&
           strcmp(name_a, name_b) == 0;
}

enum tw_status tw_file_absolute(const char *path, char **ret_path, struct tw_error *error)
{
    const char *slash = strrchr(path, '/'), *name = slash == NULL ? path : slash + 1;
    char folder[PATH_MAX];
    char *given = folder_of(path);
    bool is_there = given != NULL && realpath(given, folder) != NULL;
    enum tw_status status = is_there ? TW_OK : cannot_make("create", path, error);
    tw_mem_free(given);
    if (!is_there) {
        return status;
    }
    size_t folder_bytes = strcmp(folder, "/") == 0 ? 0 : strlen(folder);
    size_t room = folder_bytes + 1 + strlen(name) + 1;
    char *absolute = tw_mem_alloc(room, 1);
    if (absolute == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a path");
    }
    snprintf(absolute, room, "%.*s/%s", (int)folder_bytes, folder, name);
    *ret_path = absolute;
    return TW_OK;
}

enum tw_status tw_file_make_directory(const char *path, struct tw_error *error)
{
    if (mkdir(path, 0777) == 0 || (errno == EEXIST && tw_file_is_directory(path))) {
        return TW_OK;
    }
    return cannot_make("make the folder", path, error);
}

enum tw_status tw_file_lock_folder(const char *path, struct tw_file_lock *ret_lock,
                                   struct tw_error *error)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return from_errno("open the folder", path, error);
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
        close(fd);
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "'%.160s' is in use by another run: wait for its end, or name another "
                            "folder",
                            path);
    }
    *ret_lock = (struct tw_file_lock){.is_held = true, .fd = fd};
    return TW_OK;
}

void tw_file_unlock(struct tw_file_lock *lock)
{
    if (lock->is_held) {
        close(lock->fd);
    }
    *lock = (struct tw_file_lock){.is_held = false};
}

struct tw_file_writer {
    int fd;
    char *path;
    char *temporary_path;
    unsigned char *buffer;
    size_t buffered_bytes;
    uint64_t position_bytes;
    bool failed; /* bytes are missing: what follows would make a file with a hole */
};

static void writer_free(struct tw_file_writer *writer)
{
    if (writer->fd >= 0) {
        close(writer->fd);
    }
    tw_mem_free(writer->path);
    tw_mem_free(writer->temporary_path);
    tw_mem_free(writer->buffer);
    tw_mem_free(writer);
}

static struct tw_file_writer *writer_alloc(const char *path)
{
    struct tw_file_writer *writer = tw_mem_zalloc(1, sizeof *writer);
    if (writer == NULL) {
        return NULL;
    }
    writer->fd = -1;
    writer->path = tw_mem_strndup(path, strlen(path));
    writer->temporary_path = tw_mem_alloc(strlen(path) + TEMPORARY_SUFFIX_BYTES, 1);
    writer->buffer = tw_mem_alloc(WRITE_BUFFER_BYTES, 1);
    if (writer->path == NULL || writer->temporary_path == NULL || writer->buffer == NULL) {
        writer_free(writer);
        return NULL;
    }
    return writer;
}

static bool is_at(const char *path, int fd)
{
    struct stat at, of;
    return lstat(path, &at) == 0 && fstat(fd, &of) == 0 && at.st_dev == of.st_dev &&
           at.st_ino == of.st_ino;
}

/* Removes a temporary file that nobody writes any more: who does holds a lock on it. */
static void remove_stale(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    if (fd >= 0) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0 && is_at(path, fd)) {
            unlink(path);
        }
        close(fd);
    }
}

/* A new file under that name with our lock on it; another process may take it for a stale one
 * before we have the lock, and then it is not ours. */
static int create_locked(const char *path, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd >= 0 &&
        ((flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) || !is_at(path, fd))) {
        close(fd);
        errno = EEXIST;
        return -1;
    }
    return fd;
}

static int open_temporary(struct tw_file_writer *writer, mode_t mode)
{
    size_t room = strlen(writer->path) + TEMPORARY_SUFFIX_BYTES;
    int fd = -1;
    errno = EEXIST;
    for (int i = 0; i < TEMPORARY_TRIES && fd < 0 && errno == EEXIST; i++) {
        snprintf(writer->temporary_path, room, "%s.partial-tokenworks-%d", writer->path, i);
        remove_stale(writer->temporary_path);
        fd = create_locked(writer->temporary_path, mode);
    }
    return fd;
}

/* What takes the place of a file is open to nobody whom that was closed to. */
static enum tw_status take_mode(struct tw_file_writer *writer, const struct stat *old,
                                struct tw_error *error)
{
    mode_t mode = old->st_mode & 0777;
    if (fchown(writer->fd, (uid_t)-1, old->st_gid) != 0) {
        mode &= ~(mode_t)0070;
    }
    return fchmod(writer->fd, mode) == 0 ? TW_OK : from_errno("create", writer->path, error);
}

enum tw_status tw_file_writer_open(const char *path, struct tw_file_writer **ret_writer,
                                   struct tw_error *error)
{
    struct stat old;
    bool is_there = stat(path, &old) == 0;
    if (is_there && !S_ISREG(old.st_mode)) {
        return tw_error_set(error, TW_ERR_IO, TW_NO_POSITION,
                            "cannot write '%s': it exists and is not a regular file", path);
    }
    struct tw_file_writer *writer = writer_alloc(path);
    if (writer == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory to write '%s'", path);
    }
    writer->fd = open_temporary(writer, is_there ? 0600 : 0666);
    if (writer->fd < 0) {
        enum tw_status status = cannot_make("create", path, error);
        writer_free(writer);
        return status;
    }
    enum tw_status status = is_there ? take_mode(writer, &old, error) : TW_OK;
    if (status != TW_OK) {
        tw_file_writer_abort(writer);
        return status;
    }
    *ret_writer = writer;
    return TW_OK;
}

/* Only the owner's until its group is settled: whoever had opened it before could read on. */
static enum tw_status take_stamp_mode(struct tw_file_writer *writer,
                                      const struct tw_file_stamp *like, struct tw_error *error)
{
    struct stat st;
    if (fstat(writer->fd, &st) != 0) {
        return from_errno("look at", writer->path, error);
    }
    mode_t mode = 0600 | (like->mode & 0044);
    if (st.st_gid != like->group && fchown(writer->fd, (uid_t)-1, like->group) != 0) {
        mode &= ~(mode_t)0040;
    }
    return fchmod(writer->fd, mode) == 0 ? TW_OK : from_errno("create", writer->path, error);
}

enum tw_status tw_file_writer_open_like(const char *path, const struct tw_file_stamp *like,
                                        struct tw_file_writer **ret_writer, struct tw_error *error)
{
    struct stat old;
    if (lstat(path, &old) == 0 && !S_ISREG(old.st_mode) && !S_ISLNK(old.st_mode)) {
        return tw_error_set(error, TW_ERR_IO, TW_NO_POSITION,
                            "cannot write '%s': it exists and is not a regular file", path);
    }
    struct tw_file_writer *writer = writer_alloc(path);
    if (writer == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory to write '%s'", path);
    }
    writer->fd = open_temporary(writer, 0600);
    if (writer->fd < 0) {
        enum tw_status status = cannot_make("create", path, error);
        writer_free(writer);
        return status;
    }
    enum tw_status status = take_stamp_mode(writer, like, error);
    if (status != TW_OK) {
        tw_file_writer_abort(writer);
        return status;
    }
    *ret_writer = writer;
    return TW_OK;
}

enum tw_status tw_file_writer_reserve(struct tw_file_writer *writer, uint64_t n_bytes,
                                      struct tw_error *error)
{
    int result = 0;
    do {
        result = fallocate(writer->fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)n_bytes);
    } while (result != 0 && errno == EINTR);
    bool is_full = result != 0 && (errno == ENOSPC || errno == EDQUOT || errno == EFBIG);
    return is_full ? from_errno("write", writer->path, error) : TW_OK;
}

static enum tw_status write_all(struct tw_file_writer *writer, const unsigned char *bytes,
                                size_t n_bytes, struct tw_error *error)
{
    while (n_bytes != 0) {
        ssize_t n = write(writer->fd, bytes, n_bytes);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            writer->failed = true;
            return from_errno("write", writer->path, error);
        }
        bytes += n;
        n_bytes -= (size_t)n;
    }
    return TW_OK;
}

static enum tw_status flush(struct tw_file_writer *writer, struct tw_error *error)
{
    size_t n_bytes = writer->buffered_bytes;
    writer->buffered_bytes = 0;
    return write_all(writer, writer->buffer, n_bytes, error);
}

static enum tw_status refuse(const struct tw_file_writer *writer, struct tw_error *error)
{
    return tw_error_set(error, TW_ERR_IO, TW_NO_POSITION,
                        "cannot write '%s': an earlier write failed", writer->path);
}

enum tw_status tw_file_writer_write(struct tw_file_writer *writer, const void *bytes,
                                    size_t n_bytes, struct tw_error *error)
{
    if (writer->failed) {
        return refuse(writer, error);
    }
    writer->position_bytes += n_bytes;
    for (const char *from = bytes; n_bytes != 0;) {
        const size_t n_room = WRITE_BUFFER_BYTES - writer->buffered_bytes;
        const size_t n = n_bytes < n_room ? n_bytes : n_room;
        memcpy(writer->buffer + writer->buffered_bytes, from, n);
        writer->buffered_bytes += n;
        from += n;
        n_bytes -= n;
        enum tw_status status = n == n_room ? flush(writer, error) : TW_OK;
        if (status != TW_OK) {
            return status;
        }
    }
    return TW_OK;
}

enum tw_status tw_file_writer_align(struct tw_file_writer *writer, size_t alignment_bytes,
                                    struct tw_error *error)
{
    static const unsigned char zeros[64];
    assert(alignment_bytes != 0);
    while (writer->position_bytes % alignment_bytes != 0) {
        size_t n = alignment_bytes - (size_t)(writer->position_bytes % alignment_bytes);
        n = n < sizeof zeros ? n : sizeof zeros;
        enum tw_status status = tw_file_writer_write(writer, zeros, n, error);
        if (status != TW_OK) {
            return status;
        }
    }
    return TW_OK;
}

enum tw_status tw_file_writer_replace(struct tw_file_writer *writer, uint64_t at_bytes,
                                      const void *bytes, size_t n_bytes, struct tw_error *error)
{
    assert(at_bytes <= writer->position_bytes && n_bytes <= writer->position_bytes - at_bytes);
    if (writer->failed) {
        return refuse(writer, error);
    }
    enum tw_status status = flush(writer, error);
    const unsigned char *from = bytes;
    while (status == TW_OK && n_bytes != 0) {
        ssize_t n = pwrite(writer->fd, from, n_bytes, (off_t)at_bytes);
        if (n < 0 && errno != EINTR) {
            writer->failed = true;
            status = from_errno("write", writer->path, error);
        } else if (n > 0) {
            from += n;
            at_bytes += (uint64_t)n;
            n_bytes -= (size_t)n;
        }
    }
    return status;
}

enum tw_status tw_file_writer_sync(struct tw_file_writer *writer, struct tw_error *error)
{
    enum tw_status status = writer->failed ? refuse(writer, error) : flush(writer, error);
    if (status == TW_OK && fdatasync(writer->fd) != 0) {
        writer->failed = true;
        status = from_errno("write", writer->path, error);
    }
    return status;
}

uint64_t tw_file_writer_position(const struct tw_file_writer *writer)
{
    return writer->position_bytes;
}

/* The rename is durable only once the folder that holds the name is. */
static void sync_folder_of(const char *path)
{
    char *folder = folder_of(path);
    if (folder == NULL) {
        return;
    }
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    tw_mem_free(folder);
}

enum tw_status tw_file_writer_commit(struct tw_file_writer *writer, struct tw_error *error)
{
    enum tw_status status = writer->failed ? refuse(writer, error) : flush(writer, error);
    if (status == TW_OK && fsync(writer->fd) != 0) {
        status = from_errno("write", writer->path, error);
    }
    if (status == TW_OK && rename(writer->temporary_path, writer->path) != 0) {
        status = from_errno("create", writer->path, error);
    }
    if (status != TW_OK) {
        tw_file_writer_abort(writer);
        return status;
    }
    sync_folder_of(writer->path);
    writer_free(writer);
    return TW_OK;
}

void tw_file_writer_abort(struct tw_file_writer *writer)
{
    if (writer != NULL) {
        unlink(writer->temporary_path);
        writer_free(writer);
    }
}

enum tw_status tw_file_write_private(const char *path, const void *bytes, size_t n_bytes,
                                     struct tw_error *error)
{
    const struct tw_file_stamp only_us = {.mode = 0600, .group = getegid(), .owner = geteuid()};
    struct tw_file_writer *writer = NULL;
    enum tw_status status = tw_file_writer_open_like(path, &only_us, &writer, error);
    if (status != TW_OK) {
        return status;
    }
    status = tw_file_writer_write(writer, bytes, n_bytes, error);
    if (status != TW_OK) {
        tw_file_writer_abort(writer);
        return status;
    }
    return tw_file_writer_commit(writer, error);
}
