/* faulty_vfs.h: a file system below SQLite that fails, or loses what was not synced, on command.
 *
 *     faulty_vfs_install -> faulty_vfs_plan -> the program works -> faulty_vfs_plan(NULL)
 *
 * Calls of the kinds that a plan names are counted from 1; from the n-th on, once or for ever, they
 * fail with its code and do nothing. Everything else goes to SQLite's own layer.
 *
 * With keeps_durable set, what a file had at its last sync is kept beside it ("<file>.durable"),
 * and what it has when the plan's n-th call comes too ("<file>.stopped"); from there on every call
 * fails, as if the machine had stopped. faulty_vfs_restart then makes each file as a disk might
 * have it: of every sector that was written since the last sync either what it was or what it
 * became.
 *
 * Threads: one.
 */
#ifndef TW_TESTS_FAULT_FAULTY_VFS_H
#define TW_TESTS_FAULT_FAULTY_VFS_H

#include <stdbool.h>
#include <stdint.h>

enum {
    FAULTY_WRITE = 1,
    FAULTY_SYNC = 2,
    FAULTY_TRUNCATE = 4,
    FAULTY_SHARE = 8, /* growing the index of the log that processes share */
    FAULTY_DELETE = 16,
    FAULTY_READ = 32,
};

struct faulty_plan {
    int kinds;
    long at_call; /* 0: never */
    bool stays;   /* for ever */
    int code;     /* of SQLite */
    bool keeps_durable;
};

/* The default of all connections that are opened from now on. */
bool faulty_vfs_install(void);
/* NULL: nothing fails. The count begins anew. */
void faulty_vfs_plan(const struct faulty_plan *plan);
/* Of the kinds of the plan. */
long faulty_vfs_calls(void);
/* Whether the plan's call has come. */
bool faulty_vfs_failed(void);

/* For a database that no process has open: the file and its log after a stop. */
bool faulty_vfs_restart(const char *path, uint64_t seed);

#endif
