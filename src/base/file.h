/* file.h: files as the program uses them: mapped whole for reading, replaced whole for writing.
 *
 * A mapped file that is truncated by someone else while we read it raises SIGBUS; the program's
 * main turns that into a sentence and an exit code (see app/main.c). Threads: a map may be read by
 * any number.
 */
#ifndef TW_BASE_FILE_H
#define TW_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/status.h"

/* What tells a file from another one, and from itself before a change: whoever writes into it, or
 * puts another file in its place, changes one of the first four. Times are those of the file's
 * system; ctime cannot be set back by a program. */
struct tw_file_stamp {
    uint64_t size_bytes;
    int64_t mtime_ns, ctime_ns;
    uint64_t inode;
    uint32_t mode, group, owner; /* who may read it; no part of what is compared */
};
/* Whether a file is of somebody whom we believe about another one: ours, root's, or its owner's. */
bool tw_file_stamp_is_trusted(const struct tw_file_stamp *stamp, const struct tw_file_stamp *about);
bool tw_file_stamp_is_same(const struct tw_file_stamp *a, const struct tw_file_stamp *b);

/* Waits, at most a moment, until a change from now on would show in a stamp taken before: clocks of
 * file systems tick a hundred times a second. False where the file's time lies in the future, and
 * so says nothing. */
bool tw_file_stamp_settle(const struct tw_file_stamp *stamp);

struct tw_file_map {
    const unsigned char *data; /* NULL for an empty file */
    size_t size_bytes;
    struct tw_file_stamp stamp; /* of the very file that is mapped */
};

/* Maps a regular file read-only. Errors: TW_ERR_NOT_FOUND, TW_ERR_IO (with the reason). */
enum tw_status tw_file_map_open(const char *path, struct tw_file_map *ret_map,
                                struct tw_error *error);
void tw_file_map_close(struct tw_file_map *map);

/* Says that all of a map will be read again and again: it is worth huge pages. */
void tw_file_map_expect(const struct tw_file_map *map);

/* Says that a part of a map is not needed soon: its pages leave this process and may leave memory.
 * They come back by themselves when they are read again. */
void tw_file_map_release(const void *data, size_t n_bytes);

/* Reads a whole file (or standard input for path "-") of at most bound_bytes into a new buffer.
 * Errors: TW_ERR_LIMIT for a larger one; TW_ERR_NOT_FOUND, TW_ERR_IO, TW_ERR_MEMORY. */
enum tw_status tw_file_read(const char *path, size_t bound_bytes, struct tw_buf *ret_buf,
                            struct tw_error *error);

/* The same for a file of a model, which is a regular one or refused (TW_ERR_IO): a pipe or a device
 * in its place would have us wait without end. */
enum tw_status tw_file_load(const char *path, size_t bound_bytes, struct tw_buf *ret_buf,
                            struct tw_error *error);

bool tw_file_is_directory(const char *path);
bool tw_file_exists(const char *path);

/* Whether two paths lead to the same file, or will when there is one. */
bool tw_file_is_same(const char *a, const char *b);

/* The path from the root, for the file that stands under its last name. The folder that it is in
 * must be there: TW_ERR_NOT_FOUND, TW_ERR_IO, TW_ERR_MEMORY. The caller frees it. */
enum tw_status tw_file_absolute(const char *path, char **ret_path, struct tw_error *error);

/* Makes a folder in one that exists; one that is there already is fine. TW_ERR_NOT_FOUND,
 * TW_ERR_IO (also when the path is something else). */
enum tw_status tw_file_make_directory(const char *path, struct tw_error *error);

/* A folder that belongs to one process at a time, or to one part of it. The lock ends with the
 * process, however that ends, and leaves no file behind. Where a file system has no locks nobody is
 * kept out. */
struct tw_file_lock {
    bool is_held; /* false in one that is all zero, which may be unlocked */
    int fd;
};

/* TW_ERR_USAGE when another holds it; TW_ERR_NOT_FOUND (a file in its place too), TW_ERR_IO. */
enum tw_status tw_file_lock_folder(const char *path, struct tw_file_lock *ret_lock,
                                   struct tw_error *error);
void tw_file_unlock(struct tw_file_lock *lock);

/* A file that appears under its name only when complete.
 *
 *     OPEN [tw_file_writer_open] -> DONE [tw_file_writer_commit]: fsync, rename, fsync of folder
 *                                -> GONE [tw_file_writer_abort]:  the temporary file is removed
 *
 * The temporary file ("<path>.partial-tokenworks-...") lies beside the target, so the rename is
 * atomic; a process that is killed leaves it behind and the target as it was, and the next writer
 * to that target removes it: who still writes holds a lock on his. After a failed write the rest is
 * refused, commit included. A target that exists and is no regular file (a device, a pipe, a
 * folder) is TW_ERR_IO; a symbolic link is replaced by the file. The new file has the mode and
 * group of the one it replaces, otherwise what the umask leaves. */
struct tw_file_writer;

enum tw_status tw_file_writer_open(const char *path, struct tw_file_writer **ret_writer,
                                   struct tw_error *error);
/* The same for what is made of another file: those may read it who may read that one, whatever
 * stood there before, and its owner may write. Where the group cannot be had it may not read. */
enum tw_status tw_file_writer_open_like(const char *path, const struct tw_file_stamp *like,
                                        struct tw_file_writer **ret_writer, struct tw_error *error);
/* A whole file of secrets: it appears when complete, and nobody but its owner may read it. */
enum tw_status tw_file_write_private(const char *path, const void *bytes, size_t n_bytes,
                                     struct tw_error *error);
/* Room for n_bytes in all, so that a full disk shows now. What cannot be asked for is no error. */
enum tw_status tw_file_writer_reserve(struct tw_file_writer *writer, uint64_t n_bytes,
                                      struct tw_error *error);
enum tw_status tw_file_writer_write(struct tw_file_writer *writer, const void *bytes,
                                    size_t n_bytes, struct tw_error *error);
/* Zero bytes until the position is a multiple of alignment_bytes. */
enum tw_status tw_file_writer_align(struct tw_file_writer *writer, size_t alignment_bytes,
                                    struct tw_error *error);
/* Bytes in the place of some that were written before; the position stays. */
enum tw_status tw_file_writer_replace(struct tw_file_writer *writer, uint64_t at_bytes,
                                      const void *bytes, size_t n_bytes, struct tw_error *error);
/* Waits until what was written is on the disk, so that nobody waits long at the commit. */
enum tw_status tw_file_writer_sync(struct tw_file_writer *writer, struct tw_error *error);
uint64_t tw_file_writer_position(const struct tw_file_writer *writer);

/* Both free the writer, whatever they return. abort allows NULL. */
enum tw_status tw_file_writer_commit(struct tw_file_writer *writer, struct tw_error *error);
void tw_file_writer_abort(struct tw_file_writer *writer);

#endif
