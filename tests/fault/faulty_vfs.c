#include "faulty_vfs.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECTOR_BYTES 512

static sqlite3_vfs *real_vfs;
static sqlite3_vfs faulty_vfs;
static struct faulty_plan plan;
static long n_calls;
static bool has_failed, is_stopped;

struct faulty_file {
    sqlite3_file base;
    sqlite3_file *real;
    char name[512];
};

static sqlite3_file *real_of(sqlite3_file *file)
{
    return ((struct faulty_file *)file)->real;
}

struct content {
    unsigned char *bytes;
    size_t size_bytes;
    bool is_there;
};

static struct content read_content(const char *name)
{
    struct content content = {.bytes = NULL};
    FILE *f = fopen(name, "rb");
    if (f == NULL) {
        return content;
    }
    content.is_there = true;
    fseek(f, 0, SEEK_END);
    content.size_bytes = (size_t)ftell(f);
    rewind(f);
    content.bytes = malloc(content.size_bytes + 1);
    if (fread(content.bytes, 1, content.size_bytes, f) != content.size_bytes) {
        abort();
    }
    fclose(f);
    return content;
}

static void write_content(const char *name, const void *bytes, size_t size_bytes)
{
    FILE *f = fopen(name, "wb");
    if (f == NULL || fwrite(bytes, 1, size_bytes, f) != size_bytes || fclose(f) != 0) {
        abort();
    }
}

static void copy_beside(const char *name, const char *suffix)
{
    char other[600];
    struct content content = read_content(name);
    snprintf(other, sizeof(other), "%s.%s", name, suffix);
    if (content.is_there) {
        write_content(other, content.bytes, content.size_bytes);
    } else {
        unlink(other);
    }
    free(content.bytes);
}

static char main_name[512]; /* of the database that was opened last */
static const char *const parts[] = {"", "-wal", "-journal"};

static void stop_machine(void)
{
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        char name[600];
        snprintf(name, sizeof(name), "%s%s", main_name, parts[i]);
        copy_beside(name, "stopped");
    }
    is_stopped = true;
}

/* Whether a call of that kind is to fail. */
static bool fails(int kind)
{
    if (is_stopped) {
        return true;
    }
    if ((plan.kinds & kind) == 0) {
        return false;
    }
    n_calls++;
    bool is_hit =
        plan.at_call != 0 && (n_calls == plan.at_call || (plan.stays && n_calls > plan.at_call));
    has_failed = has_failed || is_hit;
    if (is_hit && plan.keeps_durable) {
        stop_machine();
    }
    return is_hit;
}

static int code_of(int otherwise)
{
    return is_stopped || plan.code == 0 ? otherwise : plan.code;
}

static int faulty_close(sqlite3_file *file)
{
    return real_of(file)->pMethods->xClose(real_of(file));
}

static int faulty_read(sqlite3_file *file, void *bytes, int n, sqlite3_int64 at)
{
    return fails(FAULTY_READ) ? code_of(SQLITE_IOERR_READ)
                              : real_of(file)->pMethods->xRead(real_of(file), bytes, n, at);
}

static int faulty_write(sqlite3_file *file, const void *bytes, int n, sqlite3_int64 at)
{
    return fails(FAULTY_WRITE) ? code_of(SQLITE_IOERR_WRITE)
                               : real_of(file)->pMethods->xWrite(real_of(file), bytes, n, at);
}

static int faulty_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    return fails(FAULTY_TRUNCATE) ? code_of(SQLITE_IOERR_TRUNCATE)
                                  : real_of(file)->pMethods->xTruncate(real_of(file), size);
}

static int faulty_sync(sqlite3_file *file, int flags)
{
    if (fails(FAULTY_SYNC)) {
        return code_of(SQLITE_IOERR_FSYNC);
    }
    int code = real_of(file)->pMethods->xSync(real_of(file), flags);
    if (code == SQLITE_OK && plan.keeps_durable) {
        copy_beside(((struct faulty_file *)file)->name, "durable");
    }
    return code;
}

static int faulty_size(sqlite3_file *file, sqlite3_int64 *ret_size)
{
    return real_of(file)->pMethods->xFileSize(real_of(file), ret_size);
}

static int faulty_lock(sqlite3_file *file, int level)
{
    return real_of(file)->pMethods->xLock(real_of(file), level);
}

static int faulty_unlock(sqlite3_file *file, int level)
{
    return real_of(file)->pMethods->xUnlock(real_of(file), level);
}

static int faulty_check_lock(sqlite3_file *file, int *ret_is_locked)
{
    return real_of(file)->pMethods->xCheckReservedLock(real_of(file), ret_is_locked);
}

static int faulty_control(sqlite3_file *file, int what, void *argument)
{
    return real_of(file)->pMethods->xFileControl(real_of(file), what, argument);
}

static int faulty_sector_size(sqlite3_file *file)
{
    return real_of(file)->pMethods->xSectorSize(real_of(file));
}

static int faulty_traits(sqlite3_file *file)
{
    return real_of(file)->pMethods->xDeviceCharacteristics(real_of(file));
}

static int faulty_shm_map(sqlite3_file *file, int region, int size, int extend,
                          void volatile **ret_memory)
{
    return fails(FAULTY_SHARE)
               ? code_of(SQLITE_IOERR_SHMSIZE)
               : real_of(file)->pMethods->xShmMap(real_of(file), region, size, extend, ret_memory);
}

static int faulty_shm_lock(sqlite3_file *file, int offset, int n, int flags)
{
    return real_of(file)->pMethods->xShmLock(real_of(file), offset, n, flags);
}

static void faulty_shm_barrier(sqlite3_file *file)
{
    real_of(file)->pMethods->xShmBarrier(real_of(file));
}

static int faulty_shm_unmap(sqlite3_file *file, int removes)
{
    return real_of(file)->pMethods->xShmUnmap(real_of(file), removes);
}

static const sqlite3_io_methods faulty_methods = {
    .iVersion = 2,
    .xClose = faulty_close,
    .xRead = faulty_read,
    .xWrite = faulty_write,
    .xTruncate = faulty_truncate,
    .xSync = faulty_sync,
    .xFileSize = faulty_size,
    .xLock = faulty_lock,
    .xUnlock = faulty_unlock,
    .xCheckReservedLock = faulty_check_lock,
    .xFileControl = faulty_control,
    .xSectorSize = faulty_sector_size,
    .xDeviceCharacteristics = faulty_traits,
    .xShmMap = faulty_shm_map,
    .xShmLock = faulty_shm_lock,
    .xShmBarrier = faulty_shm_barrier,
    .xShmUnmap = faulty_shm_unmap,
};

static int faulty_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags,
                       int *ret_flags)
{
    (void)vfs;
    struct faulty_file *f = (struct faulty_file *)file;
    f->real = (sqlite3_file *)(f + 1);
    f->base.pMethods = NULL;
    snprintf(f->name, sizeof(f->name), "%s", name != NULL ? name : "");
    if ((flags & SQLITE_OPEN_MAIN_DB) != 0) {
        snprintf(main_name, sizeof(main_name), "%s", f->name);
    }
    if (plan.keeps_durable && access(f->name, F_OK) != 0) {
        copy_beside(f->name, "durable"); /* a new file has nothing on the disk yet */
    }
    int code = real_vfs->xOpen(real_vfs, name, f->real, flags, ret_flags);
    if (f->real->pMethods != NULL) {
        f->base.pMethods = &faulty_methods;
    }
    return code;
}

static int faulty_delete(sqlite3_vfs *vfs, const char *name, int syncs)
{
    (void)vfs;
    if (fails(FAULTY_DELETE)) {
        return code_of(SQLITE_IOERR_DELETE);
    }
    int code = real_vfs->xDelete(real_vfs, name, syncs);
    if (code == SQLITE_OK && plan.keeps_durable && syncs != 0) {
        copy_beside(name, "durable"); /* its folder is synced: it will not come back */
    }
    return code;
}

bool faulty_vfs_install(void)
{
    real_vfs = sqlite3_vfs_find(NULL);
    faulty_vfs = *real_vfs;
    faulty_vfs.zName = "faulty";
    faulty_vfs.szOsFile = (int)sizeof(struct faulty_file) + real_vfs->szOsFile;
    faulty_vfs.xOpen = faulty_open;
    faulty_vfs.xDelete = faulty_delete;
    return sqlite3_vfs_register(&faulty_vfs, 1) == SQLITE_OK;
}

void faulty_vfs_plan(const struct faulty_plan *new_plan)
{
    plan = new_plan != NULL ? *new_plan : (struct faulty_plan){.kinds = 0};
    n_calls = 0;
    has_failed = false;
    is_stopped = false;
}

long faulty_vfs_calls(void)
{
    return n_calls;
}

bool faulty_vfs_failed(void)
{
    return has_failed;
}

static uint64_t next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return *seed >> 33;
}

static void restart_file(const char *name, uint64_t *seed)
{
    char durable_name[700], stopped_name[700];
    snprintf(durable_name, sizeof(durable_name), "%s.durable", name);
    snprintf(stopped_name, sizeof(stopped_name), "%s.stopped", name);
    struct content durable = read_content(durable_name);
    struct content stopped = read_content(stopped_name);
    unlink(durable_name);
    unlink(stopped_name);
    unlink(name);
    size_t most = durable.size_bytes > stopped.size_bytes ? durable.size_bytes : stopped.size_bytes;
    size_t size = next_random(seed) % 2 == 0 ? durable.size_bytes : stopped.size_bytes;
    unsigned char *mixed = calloc(most + 1, 1);
    for (size_t at = 0; at < most; at += SECTOR_BYTES) {
        const struct content *from = next_random(seed) % 2 == 0 ? &durable : &stopped;
        size_t n = most - at < SECTOR_BYTES ? most - at : SECTOR_BYTES;
        if (at < from->size_bytes) {
            size_t has = from->size_bytes - at < n ? from->size_bytes - at : n;
            memcpy(mixed + at, from->bytes + at, has);
        }
    }
    if (stopped.is_there || durable.is_there) {
        write_content(name, mixed, size);
    }
    free(mixed);
    free(durable.bytes);
    free(stopped.bytes);
}

bool faulty_vfs_restart(const char *path, uint64_t seed)
{
    char name[600];
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        snprintf(name, sizeof(name), "%s%s", path, parts[i]);
        restart_file(name, &seed);
    }
    snprintf(name, sizeof(name), "%s-shm", path);
    unlink(name);
    return access(path, F_OK) == 0;
}
