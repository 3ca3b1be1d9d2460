/* One connection that writes holds `<file>.lock` and alone makes checkpoints: SQLite 3.7.0 to
 * 3.51.2 can damage a file when two connections make one at the same time. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/mem.h"
#include "store/db_state.h"

#define APPLICATION_ID 0x74776b73 /* "twks", in the file's head */

/* The log ("-wal"), as the file format has it. */
#define LOG_HEAD_BYTES       32
#define LOG_FRAME_HEAD_BYTES 24
#define LOG_SALT_AT          16
#define LOG_SALT_BYTES       8

struct sqlite_db {
    struct tw_db base;
    sqlite3 *handle;
    char *path;
    int lock_fd; /* -1: none */
    int64_t page_bytes;
    /* The log after the last commit: frames that count, what tells it from the log before its
     * last restart, and the number of frames that is worth the next checkpoint. */
    int64_t n_log_frames;
    unsigned char log_salt[LOG_SALT_BYTES];
    int64_t checkpoint_at_frames;
};

struct sqlite_statement {
    struct tw_db_statement base;
    sqlite3_stmt *handle;
};

static struct sqlite_db *sqlite_of(struct tw_db *db)
{
    return (struct sqlite_db *)db;
}

static sqlite3_stmt *handle_of(struct tw_db_statement *statement)
{
    return ((struct sqlite_statement *)statement)->handle;
}

/* What the system said, where it was the system. */
static const char *reason_of(const struct sqlite_db *db, int code)
{
    int number = db->handle != NULL ? sqlite3_system_errno(db->handle) : 0;
    return number != 0 ? strerror(number) : sqlite3_errstr(code);
}

static enum tw_status fail_io(struct sqlite_db *db, int code, struct tw_error *error)
{
    bool is_sync = code == SQLITE_IOERR_FSYNC || code == SQLITE_IOERR_DIR_FSYNC;
    bool is_read = code == SQLITE_IOERR_READ || code == SQLITE_IOERR_SHORT_READ;
    tw_error_set(error, TW_ERR_IO, TW_NO_POSITION,
                 "cannot %s '%s' (%s, %d): look at the disk and at the system's log, then start "
                 "again",
                 is_sync   ? "sync"
                 : is_read ? "read"
                           : "write",
                 db->path, reason_of(db, code), code);
    tw_db_break(&db->base, error);
    return TW_ERR_IO;
}

static enum tw_status fail_content(struct sqlite_db *db, int code, struct tw_error *error)
{
    if ((code & 0xff) == SQLITE_NOTADB) {
        tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                     "'%s' is no SQLite file: name another one, or bring it back from a backup",
                     db->path);
    } else {
        tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                     "'%s' is damaged (%s): bring it back from a backup", db->path,
                     sqlite3_errmsg(db->handle));
    }
    tw_db_break(&db->base, error);
    return TW_ERR_FORMAT;
}

static enum tw_status fail_busy(struct sqlite_db *db, struct tw_error *error)
{
    db->base.should_retry = true;
    return tw_error_set(error, TW_ERR_IO, TW_NO_POSITION,
                        "'%s' is kept busy by another program for more than %d s: try again, or "
                        "end that program",
                        db->path, TW_LIMIT_DB_WAIT_MS / 1000);
}

/* SQLite's answer as ours; code is not SQLITE_OK. */
static enum tw_status fail(struct sqlite_db *db, int code, struct tw_error *error)
{
    switch (code & 0xff) {
    case SQLITE_FULL:
        return tw_error_set(error, TW_ERR_IO, TW_NO_POSITION,
                            "no room left for '%s': make room on its disk, then try again",
                            db->path);
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
        return fail_io(db, code, error);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return fail_content(db, code, error);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return fail_busy(db, error);
    case SQLITE_NOMEM:
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for '%s'", db->path);
    case SQLITE_TOOBIG:
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "a row or statement is too large for '%s'", db->path);
    case SQLITE_READONLY:
        return tw_error_set(error, db->base.mode == TW_DB_READ ? TW_ERR_USAGE : TW_ERR_IO,
                            TW_NO_POSITION, "'%s' may only be read", db->path);
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION, "the store refuses a row: %s",
                            sqlite3_errmsg(db->handle));
    default:
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "the store refuses a statement: %s", sqlite3_errmsg(db->handle));
    }
}

static enum tw_status exec(struct sqlite_db *db, const char *sql, struct tw_error *error)
{
    int code = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);
    return code == SQLITE_OK ? TW_OK : fail(db, code, error);
}

/* The first column of the first row, as a number and as text of at most room - 1 bytes. */
static enum tw_status ask(struct sqlite_db *db, const char *sql, int64_t *ret_number, char *text,
                          size_t room, struct tw_error *error)
{
    sqlite3_stmt *handle = NULL;
    int code = sqlite3_prepare_v2(db->handle, sql, -1, &handle, NULL);
    if (code == SQLITE_OK) {
        code = sqlite3_step(handle);
    }
    if (code == SQLITE_ROW) {
        *ret_number = sqlite3_column_int64(handle, 0);
        snprintf(text, room, "%s", (const char *)sqlite3_column_text(handle, 0));
        code = SQLITE_OK;
    }
    enum tw_status status = code == SQLITE_OK ? TW_OK : fail(db, code, error);
    sqlite3_finalize(handle);
    return status;
}

static enum tw_status ask_number(struct sqlite_db *db, const char *sql, int64_t *ret_number,
                                 struct tw_error *error)
{
    char text[2];
    return ask(db, sql, ret_number, text, sizeof(text), error);
}

static sqlite3_file *log_file(struct sqlite_db *db)
{
    sqlite3_file *file = NULL;
    int code = sqlite3_file_control(db->handle, "main", SQLITE_FCNTL_JOURNAL_POINTER, &file);
    return code == SQLITE_OK && file != NULL && file->pMethods != NULL ? file : NULL;
}

/* What tells the log from the one before its last restart; zeros for a log without a head. */
static bool read_salt(struct sqlite_db *db, unsigned char *salt)
{
    sqlite3_file *file = log_file(db);
    memset(salt, 0, LOG_SALT_BYTES);
    int code = file != NULL ? file->pMethods->xRead(file, salt, LOG_SALT_BYTES, LOG_SALT_AT)
                            : SQLITE_IOERR_READ;
    return code == SQLITE_OK || code == SQLITE_IOERR_SHORT_READ;
}

/* After a commit whose sync failed its frames stand in the log, whole: whoever recovers the log
 * would find a transaction that was refused. So its first frame is made none. False where that
 * fails too. */
static bool strike_out_refused(struct sqlite_db *db)
{
    static const unsigned char no_frame[LOG_FRAME_HEAD_BYTES];
    unsigned char salt[LOG_SALT_BYTES];
    if (!read_salt(db, salt)) {
        return false;
    }
    sqlite3_file *file = log_file(db);
    bool is_same_log = memcmp(salt, db->log_salt, LOG_SALT_BYTES) == 0;
    int64_t n_frames = is_same_log ? db->n_log_frames : 0;
    int64_t at = LOG_HEAD_BYTES + n_frames * (LOG_FRAME_HEAD_BYTES + db->page_bytes);
    if (file->pMethods->xWrite(file, no_frame, LOG_FRAME_HEAD_BYTES, at) != SQLITE_OK) {
        return false;
    }
    file->pMethods->xSync(file, SQLITE_SYNC_NORMAL);
    return true;
}

/* A transaction that could not be made durable; it is not open any more. */
static enum tw_status fail_commit(struct sqlite_db *db, int code, struct tw_error *error)
{
    enum tw_status status = fail(db, code, error);
    if (sqlite3_get_autocommit(db->handle) == 0) {
        sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
    }
    if (db->base.is_broken && !strike_out_refused(db)) {
        tw_error_prefix(error, "it is not known whether the last transaction is kept");
    }
    return status;
}

static int log_grew(void *context, sqlite3 *handle, const char *name, int n_frames)
{
    (void)handle;
    (void)name;
    struct sqlite_db *db = context;
    if (n_frames < db->n_log_frames) {
        db->checkpoint_at_frames = TW_LIMIT_DB_LOG_FRAMES; /* it began anew */
    }
    db->n_log_frames = n_frames;
    return SQLITE_OK;
}

/* After a commit, which stays: what goes wrong here breaks the store for what comes next. */
static void settle_log(struct sqlite_db *db)
{
    struct tw_error error;
    if (!read_salt(db, db->log_salt)) {
        fail_io(db, SQLITE_IOERR_READ, &error);
        return;
    }
    if (db->n_log_frames < db->checkpoint_at_frames) {
        return;
    }
    db->checkpoint_at_frames = db->n_log_frames + TW_LIMIT_DB_LOG_FRAMES;
    int code = sqlite3_wal_checkpoint_v2(db->handle, "main", SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    int kind = code & 0xff;
    /* Where there is no room, or somebody reads what stands in the log, the log grows on. */
    if (kind != SQLITE_OK && kind != SQLITE_BUSY && kind != SQLITE_FULL) {
        fail(db, code, &error);
    }
}

static int bind(sqlite3_stmt *handle, int number, const struct tw_db_value *value,
                sqlite3_destructor_type lifetime)
{
    switch (value->kind) {
    case TW_DB_NULL:
        return sqlite3_bind_null(handle, number);
    case TW_DB_INTEGER:
        return sqlite3_bind_int64(handle, number, value->integer);
    case TW_DB_TEXT:
        return sqlite3_bind_text64(handle, number, value->data, value->size_bytes, lifetime,
                                   SQLITE_UTF8);
    case TW_DB_BYTES:
        return sqlite3_bind_blob64(handle, number, value->data, value->size_bytes, lifetime);
    default:
        return SQLITE_MISUSE;
    }
}

static enum tw_status bind_all(struct tw_db_statement *statement, const struct tw_db_value *values,
                               size_t n, sqlite3_destructor_type lifetime, struct tw_error *error)
{
    for (size_t i = 0; i < n; i++) {
        int code = bind(handle_of(statement), (int)i + 1, &values[i], lifetime);
        if (code != SQLITE_OK) {
            return fail(sqlite_of(statement->db), code, error);
        }
    }
    return TW_OK;
}

static enum tw_status sqlite_prepare(struct tw_db *db, const char *sql, size_t n_parameters,
                                     struct tw_db_statement **ret_statement, struct tw_error *error)
{
    sqlite3_stmt *handle = NULL;
    const char *rest = NULL;
    int code = sqlite3_prepare_v3(sqlite_of(db)->handle, sql, -1, SQLITE_PREPARE_PERSISTENT,
                                  &handle, &rest);
    if (code != SQLITE_OK) {
        return fail(sqlite_of(db), code, error);
    }
    if (handle == NULL || rest[strspn(rest, " \n\t;")] != '\0') {
        sqlite3_finalize(handle);
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "the store refuses what is not one statement: %.80s", sql);
    }
    struct sqlite_statement *statement = tw_mem_zalloc(1, sizeof(*statement));
    if (statement == NULL) {
        sqlite3_finalize(handle);
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a statement");
    }
    assert((size_t)sqlite3_bind_parameter_count(handle) == n_parameters);
    statement->handle = handle;
    *ret_statement = &statement->base;
    return TW_OK;
}

static void sqlite_finalize(struct tw_db_statement *statement)
{
    sqlite3_finalize(handle_of(statement));
    tw_mem_free(statement);
}

static enum tw_status sqlite_query(struct tw_db_statement *statement,
                                   const struct tw_db_value *values, size_t n,
                                   struct tw_error *error)
{
    /* Its commit would come with the last row, which nobody needs to ask for. */
    assert(statement->db->in_transaction || sqlite3_stmt_readonly(handle_of(statement)) != 0);
    return bind_all(statement, values, n, SQLITE_TRANSIENT, error);
}

static enum tw_status sqlite_next(struct tw_db_statement *statement, bool *ret_row,
                                  struct tw_error *error)
{
    sqlite3_stmt *handle = handle_of(statement);
    int code = sqlite3_step(handle);
    if (code != SQLITE_ROW && code != SQLITE_DONE) {
        return fail(sqlite_of(statement->db), code, error);
    }
    for (int i = 0; code == SQLITE_ROW && i < sqlite3_data_count(handle); i++) {
        if (sqlite3_column_type(handle, i) == SQLITE_FLOAT) {
            return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                                "column %d of a row of the store is no whole number", i + 1);
        }
    }
    *ret_row = code == SQLITE_ROW;
    return TW_OK;
}

static struct tw_db_value sqlite_column(struct tw_db_statement *statement, int column)
{
    sqlite3_stmt *handle = handle_of(statement);
    const void *data;
    switch (sqlite3_column_type(handle, column)) {
    case SQLITE_INTEGER:
        return tw_db_integer(sqlite3_column_int64(handle, column));
    case SQLITE_TEXT:
        data = sqlite3_column_text(handle, column);
        return (struct tw_db_value){.kind = TW_DB_TEXT,
                                    .data = data != NULL ? data : "",
                                    .size_bytes = (size_t)sqlite3_column_bytes(handle, column)};
    case SQLITE_BLOB:
        data = sqlite3_column_blob(handle, column);
        return tw_db_bytes(data, data != NULL ? (size_t)sqlite3_column_bytes(handle, column) : 0);
    default:
        return tw_db_null();
    }
}

static void sqlite_reset(struct tw_db_statement *statement)
{
    sqlite3_reset(handle_of(statement));
    sqlite3_clear_bindings(handle_of(statement));
}

static enum tw_status sqlite_run(struct tw_db_statement *statement,
                                 const struct tw_db_value *values, size_t n, struct tw_error *error)
{
    struct sqlite_db *db = sqlite_of(statement->db);
    sqlite3_stmt *handle = handle_of(statement);
    enum tw_status status = bind_all(statement, values, n, SQLITE_STATIC, error);
    if (status != TW_OK) {
        sqlite_reset(statement);
        return status;
    }
    int code = SQLITE_ROW;
    while (code == SQLITE_ROW) {
        code = sqlite3_step(handle);
    }
    bool is_own = !db->base.in_transaction && sqlite3_stmt_readonly(handle) == 0;
    if (code != SQLITE_DONE) {
        status = is_own ? fail_commit(db, code, error) : fail(db, code, error);
    }
    sqlite_reset(statement);
    if (status == TW_OK && is_own) {
        settle_log(db);
    }
    return status;
}

static enum tw_status sqlite_execute(struct tw_db *db, const char *sql, struct tw_error *error)
{
    return exec(sqlite_of(db), sql, error);
}

static enum tw_status sqlite_begin(struct tw_db *db, struct tw_error *error)
{
    return exec(sqlite_of(db), db->mode == TW_DB_WRITE ? "BEGIN IMMEDIATE" : "BEGIN", error);
}

static enum tw_status sqlite_commit(struct tw_db *base, struct tw_error *error)
{
    struct sqlite_db *db = sqlite_of(base);
    int code = sqlite3_exec(db->handle, "COMMIT", NULL, NULL, NULL);
    if (code != SQLITE_OK) {
        return fail_commit(db, code, error);
    }
    if (base->mode == TW_DB_WRITE) {
        settle_log(db);
    }
    return TW_OK;
}

/* Some errors have ended the transaction already. */
static void sqlite_rollback(struct tw_db *db)
{
    struct tw_error error;
    sqlite3 *handle = sqlite_of(db)->handle;
    if (sqlite3_get_autocommit(handle) != 0) {
        return;
    }
    int code = sqlite3_exec(handle, "ROLLBACK", NULL, NULL, NULL);
    if (code != SQLITE_OK && !db->is_broken) {
        fail(sqlite_of(db), code, &error);
        tw_db_break(db, &error);
    }
}

static void sqlite_close(struct tw_db *base)
{
    struct sqlite_db *db = sqlite_of(base);
    /* Only what a writer is sure of is brought from the log into the file. */
    if (db->handle != NULL && db->base.mode == TW_DB_WRITE && !db->base.is_broken &&
        db->lock_fd >= 0) {
        sqlite3_db_config(db->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
    }
    int code = sqlite3_close(db->handle);
    assert(code == SQLITE_OK);
    if (db->lock_fd >= 0) {
        /* A name that stays is a lock that two cannot have; who held it last is no news. */
        if (ftruncate(db->lock_fd, 0) != 0) {
            errno = 0;
        }
        close(db->lock_fd);
    }
    tw_mem_free(db->path);
    tw_mem_free(db);
}

static const struct tw_db_store sqlite_store = {
    .close = sqlite_close,
    .prepare = sqlite_prepare,
    .finalize = sqlite_finalize,
    .query = sqlite_query,
    .next = sqlite_next,
    .column = sqlite_column,
    .reset = sqlite_reset,
    .run = sqlite_run,
    .execute = sqlite_execute,
    .begin = sqlite_begin,
    .commit = sqlite_commit,
    .rollback = sqlite_rollback,
};

/* The file under the last of its names: beside that one stand its log and its lock. */
static enum tw_status find_file(const char *path, char **ret_path, bool *ret_is_there,
                                struct tw_error *error)
{
    char real[PATH_MAX];
    struct stat st;
    if (realpath(path, real) == NULL) {
        *ret_is_there = false;
        return tw_file_absolute(path, ret_path, error);
    }
    if (stat(real, &st) != 0 || !S_ISREG(st.st_mode)) {
        return tw_error_set(error, TW_ERR_IO, TW_NO_POSITION, "'%s' is not a regular file", path);
    }
    if (st.st_nlink > 1) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "'%s' is one of several names (hard links) of a file, and would have "
                            "a log and a lock under each: leave it one name",
                            path);
    }
    *ret_path = tw_mem_strndup(real, strlen(real));
    *ret_is_there = true;
    return *ret_path != NULL
               ? TW_OK
               : tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory to open '%s'", path);
}

/* Whoever else has the lock wrote its process id into the file. */
static enum tw_status fail_locked(const struct sqlite_db *db, int fd, struct tw_error *error)
{
    char text[16] = "";
    ssize_t n_bytes = pread(fd, text, sizeof(text) - 1, 0);
    long holder = n_bytes > 0 ? strtol(text, NULL, 10) : 0;
    if (holder <= 0) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "another process writes '%s': end it first", db->path);
    }
    return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                        holder == (long)getpid() ? "this process (%ld) writes '%s' already"
                                                 : "process %ld writes '%s': end it first",
                        holder, db->path);
}

static enum tw_status take_lock(struct sqlite_db *db, struct tw_error *error)
{
    char name[PATH_MAX];
    char text[16];
    int n_bytes = snprintf(name, sizeof(name), "%s.lock", db->path);
    if (n_bytes >= (int)sizeof(name)) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION, "the name '%s' is too long",
                            db->path);
    }
    int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return tw_error_set(error, TW_ERR_IO, TW_NO_POSITION, "cannot make '%s': %s", name,
                            strerror(errno));
    }
    enum tw_status status = TW_OK;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        status = errno == EWOULDBLOCK ? fail_locked(db, fd, error)
                                      : tw_error_set(error, TW_ERR_IO, TW_NO_POSITION,
                                                     "cannot lock '%s': %s", name, strerror(errno));
        close(fd);
        return status;
    }
    n_bytes = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)n_bytes, 0) != n_bytes) {
        status = tw_error_set(error, TW_ERR_IO, TW_NO_POSITION, "cannot write '%s': %s", name,
                              strerror(errno));
        close(fd);
        return status;
    }
    db->lock_fd = fd;
    return TW_OK;
}

/* Made by us, so that nobody else can read it or its log, which gets its mode. A file that is there
 * is not opened: closing it would end the locks that another connection of this process has. */
static enum tw_status create_file(const struct sqlite_db *db, struct tw_error *error)
{
    int fd = open(db->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return tw_error_set(error, TW_ERR_IO, TW_NO_POSITION, "cannot create '%s': %s", db->path,
                            strerror(errno));
    }
    close(fd);
    return TW_OK;
}

/* Nothing is read yet. Whoever has no lock makes no checkpoint, at its end neither. */
static enum tw_status open_handle(struct sqlite_db *db, int flags, struct tw_error *error)
{
    static const struct {
        int what, value;
    } settings[] = {
        {SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1}, {SQLITE_DBCONFIG_DEFENSIVE, 1},
        {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},   {SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0},
        {SQLITE_DBCONFIG_ENABLE_FKEY, 1},      {SQLITE_DBCONFIG_DQS_DML, 0},
        {SQLITE_DBCONFIG_DQS_DDL, 0},
    };
    int code = sqlite3_open_v2(
        db->path, &db->handle,
        flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_EXRESCODE, NULL);
    if (code != SQLITE_OK) {
        return tw_error_set(error, TW_ERR_IO, TW_NO_POSITION, "cannot open '%s': %s", db->path,
                            reason_of(db, code));
    }
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        code = sqlite3_db_config(db->handle, settings[i].what, settings[i].value, NULL);
        assert(code == SQLITE_OK);
    }
    sqlite3_limit(db->handle, SQLITE_LIMIT_ATTACHED, 0);
    sqlite3_limit(db->handle, SQLITE_LIMIT_SQL_LENGTH, TW_LIMIT_DB_SQL_BYTES);
    sqlite3_limit(db->handle, SQLITE_LIMIT_LENGTH, 2 * TW_LIMIT_DB_VALUE_BYTES);
    sqlite3_busy_timeout(db->handle, TW_LIMIT_DB_WAIT_MS);
    sqlite3_wal_autocheckpoint(db->handle, 0);
    return exec(db,
                "PRAGMA mmap_size = 0; PRAGMA temp_store = MEMORY; PRAGMA cell_size_check = ON;"
                "PRAGMA secure_delete = ON",
                error);
}

/* Whether the file is ours, or has nothing in it yet. */
static enum tw_status check_ours(struct sqlite_db *db, bool *ret_is_new, struct tw_error *error)
{
    int64_t application = 0, n_tables = 0;
    enum tw_status status = ask_number(db, "PRAGMA application_id", &application, error);
    if (status == TW_OK) {
        status = ask_number(db, "SELECT count(*) FROM sqlite_schema", &n_tables, error);
    }
    if (status != TW_OK) {
        return status;
    }
    *ret_is_new = application == 0 && n_tables == 0;
    if (application != APPLICATION_ID && !*ret_is_new) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "'%s' is another program's database: name another file", db->path);
    }
    return TW_OK;
}

static enum tw_status use_log(struct sqlite_db *db, struct tw_error *error)
{
    char mode[16] = "";
    int64_t number = 0;
    /* With a log EXTRA is FULL: a commit is synced. A new file has a journal before its log, and
     * only with EXTRA that cannot come back, after its deletion, when the machine stops. */
    enum tw_status status = exec(db, "PRAGMA synchronous = EXTRA", error);
    if (status == TW_OK) {
        status = ask(db, "PRAGMA journal_mode = WAL", &number, mode, sizeof(mode), error);
    }
    if (status == TW_OK && strcmp(mode, "wal") != 0) {
        return tw_error_set(error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                            "'%s' cannot have a log beside it (journal mode %s): its file system "
                            "shares no memory, name a file on another one",
                            db->path, mode);
    }
    if (status == TW_OK) {
        status = exec(db, "PRAGMA journal_size_limit = 67108864", error);
    }
    if (status == TW_OK) {
        status = ask_number(db, "PRAGMA synchronous", &number, error);
        assert(status != TW_OK || number == 3);
    }
    return status;
}

/* What stands in the log is brought into the file, anew and with a sync: after a sync that failed
 * in the life before, the system may show of the log what the disk does not have. Where somebody
 * reads it, the log stays as it is. */
static enum tw_status empty_log(struct sqlite_db *db, struct tw_error *error)
{
    int n_frames = 0;
    sqlite3_wal_hook(db->handle, log_grew, db);
    db->checkpoint_at_frames = TW_LIMIT_DB_LOG_FRAMES;
    int code =
        sqlite3_wal_checkpoint_v2(db->handle, "main", SQLITE_CHECKPOINT_TRUNCATE, &n_frames, NULL);
    if (code != SQLITE_OK && code != SQLITE_BUSY) {
        return fail(db, code, error);
    }
    db->n_log_frames = n_frames > 0 ? n_frames : 0;
    if (!read_salt(db, db->log_salt)) {
        return fail_io(db, SQLITE_IOERR_READ, error);
    }
    return ask_number(db, "PRAGMA page_size", &db->page_bytes, error);
}

static enum tw_status open_writer(struct sqlite_db *db, bool is_there, struct tw_error *error)
{
    bool is_new = true;
    enum tw_status status = TW_OK;
    if (is_there) {
        status = open_handle(db, SQLITE_OPEN_READWRITE, error);
        if (status == TW_OK) {
            status = check_ours(db, &is_new, error); /* before anything is made beside it */
        }
    }
    if (status == TW_OK) {
        status = take_lock(db, error);
    }
    if (status == TW_OK && !is_there) {
        status = create_file(db, error);
        if (status == TW_OK) {
            status = open_handle(db, SQLITE_OPEN_READWRITE, error);
        }
    }
    if (status == TW_OK) {
        status = use_log(db, error);
    }
    if (status == TW_OK && is_new) {
        char sql[80];
        snprintf(sql, sizeof(sql), "BEGIN IMMEDIATE; PRAGMA application_id = %d; COMMIT",
                 APPLICATION_ID);
        status = exec(db, sql, error);
    }
    return status == TW_OK ? empty_log(db, error) : status;
}

static enum tw_status open_reader(struct sqlite_db *db, bool is_there, struct tw_error *error)
{
    if (!is_there) {
        return tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION, "there is no '%s'", db->path);
    }
    bool is_new = false;
    enum tw_status status = open_handle(db, SQLITE_OPEN_READONLY, error);
    if (status == TW_OK) {
        status = exec(db, "PRAGMA query_only = ON", error);
    }
    if (status == TW_OK) {
        status = check_ours(db, &is_new, error);
    }
    if (status == TW_OK && is_new) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "'%s' has nothing in it yet: start once what writes it", db->path);
    }
    return status;
}

enum tw_status tw_db_sqlite_open(const char *path, enum tw_db_mode mode, struct tw_db **ret_db,
                                 struct tw_error *error)
{
    char *real = NULL;
    bool is_there = false;
    enum tw_status status = find_file(path, &real, &is_there, error);
    if (status != TW_OK) {
        return status;
    }
    struct sqlite_db *db = tw_mem_zalloc(1, sizeof(*db));
    if (db == NULL) {
        tw_mem_free(real);
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory to open '%s'", path);
    }
    *db = (struct sqlite_db){
        .base = {.store = &sqlite_store, .mode = mode}, .path = real, .lock_fd = -1};
    status =
        mode == TW_DB_WRITE ? open_writer(db, is_there, error) : open_reader(db, is_there, error);
    if (status != TW_OK) {
        db->base.is_broken = true; /* nothing more is written */
        sqlite_close(&db->base);
        return status;
    }
    *ret_db = &db->base;
    return TW_OK;
}
