#include "hub/subject_keys.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/secret.h"

enum {
    KEY_BYTES = 32,
    NUMBER_BYTES = 8,
    CHECK_BYTES = 16,
    FILE_BYTES = KEY_BYTES + NUMBER_BYTES + CHECK_BYTES,
    NAME_BYTES = 64,
    BUCKETS = 4096,
    NONCE_BYTES = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
    TAG_BYTES = crypto_aead_xchacha20poly1305_ietf_ABYTES
};

/* What is derived of a key, by number. */
enum { FOR_CONTENT = 1, FOR_SALTS = 2, FOR_TAGS = 3 };
#define DERIVING "subject " /* eight characters */
#define BOUND_TO "tokenworks-content-1"
#define DAY_NS   INT64_C(86400000000000)
#define NAMING   "tokenworks-subject-1"

struct tw_subject_key {
    struct tw_subject_keys *owner;
    struct tw_subject subject;
    int64_t project, erasures;
    unsigned char key[KEY_BYTES];
    bool is_erased;
    uint32_t n_users;
    struct tw_subject_key *next_of_bucket;
    struct tw_subject_key *older, *newer; /* of those that nobody uses */
};

struct tw_subject_keys {
    int folder;            /* open */
    char *path;            /* for messages */
    unsigned char *naming; /* [KEY_BYTES] */
    atomic_int_least64_t n_erasures;
    pthread_mutex_t files; /* held while a file is looked at or changed */
    pthread_mutex_t lock;  /* of what follows, and of all keys; taken behind the other */
    struct tw_subject_key *buckets[BUCKETS];
    struct tw_subject_key *oldest, *newest;
    size_t n_unused;
};

/* ---- names ---- */

struct tw_subject tw_subject_of(const struct tw_subject_keys *keys, enum tw_subject_kind kind,
                                const char *name, size_t name_bytes)
{
    struct tw_subject subject;
    const unsigned char first = (unsigned char)kind;
    crypto_generichash_state state;
    crypto_generichash_init(&state, keys->naming, KEY_BYTES, sizeof subject.bytes);
    crypto_generichash_update(&state, &first, 1);
    crypto_generichash_update(&state, (const unsigned char *)name, name_bytes);
    crypto_generichash_final(&state, subject.bytes, sizeof subject.bytes);
    sodium_memzero(&state, sizeof state);
    return subject;
}

void tw_subject_write(const struct tw_subject *subject, char ret_text[TW_SUBJECT_HEX_BYTES])
{
    sodium_bin2hex(ret_text, TW_SUBJECT_HEX_BYTES, subject->bytes, sizeof subject->bytes);
}

static void write_name(const struct tw_subject *subject, int64_t project, char ret_name[NAME_BYTES])
{
    char text[TW_SUBJECT_HEX_BYTES];
    tw_subject_write(subject, text);
    snprintf(ret_name, NAME_BYTES, "%s-%" PRId64, text, project);
}

static bool read_name(const char *name, struct tw_subject *ret_subject, int64_t *ret_project)
{
    const char *end = NULL;
    size_t n_bytes = 0;
    const size_t n_hex = TW_SUBJECT_HEX_BYTES - 1;
    int64_t project = 0;
    char again[NAME_BYTES];
    if (strlen(name) <= n_hex + 1 || strlen(name) >= NAME_BYTES || name[n_hex] != '-' ||
        sodium_hex2bin(ret_subject->bytes, sizeof ret_subject->bytes, name, n_hex, NULL, &n_bytes,
                       &end) != 0 ||
        n_bytes != sizeof ret_subject->bytes) {
        return false;
    }
    for (const char *at = name + n_hex + 1; *at >= '0' && *at <= '9'; at++) {
        if (__builtin_mul_overflow(project, 10, &project) ||
            __builtin_add_overflow(project, *at - '0', &project)) {
            return false;
        }
    }
    write_name(ret_subject, project, again);
    *ret_project = project;
    return strcmp(again, name) == 0;
}

/* ---- what is remembered; under the lock ---- */

static struct tw_subject_key **bucket_of(struct tw_subject_keys *keys,
                                         const struct tw_subject *subject, int64_t project)
{
    uint64_t low;
    memcpy(&low, subject->bytes, sizeof low);
    return &keys->buckets[(low ^ (uint64_t)project) % BUCKETS];
}

static void leave_bucket(struct tw_subject_key *key)
{
    struct tw_subject_key **at = bucket_of(key->owner, &key->subject, key->project);
    while (*at != NULL && *at != key) {
        at = &(*at)->next_of_bucket;
    }
    if (*at == key) {
        *at = key->next_of_bucket;
    }
}

static void leave_unused(struct tw_subject_key *key)
{
    struct tw_subject_keys *keys = key->owner;
    *(key->older != NULL ? &key->older->newer : &keys->oldest) = key->newer;
    *(key->newer != NULL ? &key->newer->older : &keys->newest) = key->older;
    key->older = key->newer = NULL;
    keys->n_unused--;
}

static void free_key(struct tw_subject_key *key)
{
    sodium_memzero(key, sizeof *key);
    tw_mem_free(key);
}

static void join_unused(struct tw_subject_key *key)
{
    struct tw_subject_keys *keys = key->owner;
    key->older = keys->newest;
    *(keys->newest != NULL ? &keys->newest->newer : &keys->oldest) = key;
    keys->newest = key;
    if (++keys->n_unused > TW_LIMIT_SUBJECT_KEYS) {
        struct tw_subject_key *oldest = keys->oldest;
        leave_unused(oldest);
        leave_bucket(oldest);
        free_key(oldest);
    }
}

/* Of those that are not erased. */
static struct tw_subject_key *use_remembered(struct tw_subject_keys *keys,
                                             const struct tw_subject *subject, int64_t project)
{
    pthread_mutex_lock(&keys->lock);
    struct tw_subject_key *key = *bucket_of(keys, subject, project);
    while (key != NULL &&
           (key->project != project || memcmp(&key->subject, subject, sizeof *subject) != 0)) {
        key = key->next_of_bucket;
    }
    if (key != NULL && key->n_users++ == 0) {
        leave_unused(key);
    }
    pthread_mutex_unlock(&keys->lock);
    return key;
}

/* One that was made before that erasure: whoever has it finds that it is erased. */
static void forget(struct tw_subject_keys *keys, const struct tw_subject *subject, int64_t project,
                   int64_t erasure)
{
    struct tw_subject_key *key = use_remembered(keys, subject, project);
    if (key == NULL) {
        return;
    }
    pthread_mutex_lock(&keys->lock);
    if (key->erasures < erasure) {
        sodium_memzero(key->key, sizeof key->key);
        key->is_erased = true;
        leave_bucket(key);
    }
    pthread_mutex_unlock(&keys->lock);
    tw_subject_key_give_back(key);
}

void tw_subject_key_give_back(struct tw_subject_key *key)
{
    if (key == NULL) {
        return;
    }
    struct tw_subject_keys *keys = key->owner;
    pthread_mutex_lock(&keys->lock);
    if (--key->n_users == 0) {
        if (key->is_erased) {
            free_key(key);
        } else {
            join_unused(key);
        }
    }
    pthread_mutex_unlock(&keys->lock);
}

/* ---- files; under the lock of files ---- */

static enum tw_status io_error(const struct tw_subject_keys *keys, const char *what,
                               const char *name, struct tw_error *error)
{
    return tw_error_set(error, TW_ERR_IO, TW_NO_POSITION,
                        "cannot %s the subject's key %.150s/%.60s: %s", what, keys->path, name,
                        strerror(errno));
}

static void check_of(const unsigned char bytes[FILE_BYTES], unsigned char ret_check[CHECK_BYTES])
{
    crypto_generichash(ret_check, CHECK_BYTES, bytes, KEY_BYTES + NUMBER_BYTES, NULL, 0);
}

static int64_t number_in(const unsigned char bytes[FILE_BYTES])
{
    uint64_t number = 0;
    for (int i = 0; i < NUMBER_BYTES; i++) {
        number |= (uint64_t)bytes[KEY_BYTES + i] << (8 * i);
    }
    return (int64_t)number;
}

/* Opens a key's file and has it alone. *ret_fd < 0: there is none, and none was to be made. */
static enum tw_status open_file(const struct tw_subject_keys *keys, const char *name, bool makes,
                                int *ret_fd, struct tw_error *error)
{
    const int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | (makes ? O_CREAT : 0);
    struct stat stat;
    for (;;) {
        const int fd = openat(keys->folder, name, flags, 0600);
        if (fd < 0 && errno == ENOENT && !makes) {
            *ret_fd = -1;
            return TW_OK;
        }
        if (fd < 0) {
            return io_error(keys, "open", name, error);
        }
        if (flock(fd, LOCK_EX) != 0 || fstat(fd, &stat) != 0) {
            enum tw_status status = io_error(keys, "lock", name, error);
            close(fd);
            return status;
        }
        if (stat.st_nlink > 0) {
            *ret_fd = fd;
            return TW_OK;
        }
        close(fd); /* another process erased it between our two calls */
    }
}

/* *ret_is_whole: it has a key. A file that is short or begins with zeros has none: a process ended
 * before it was made, or before it was taken away. */
static enum tw_status read_file(const struct tw_subject_keys *keys, int fd, const char *name,
                                unsigned char ret_bytes[FILE_BYTES], bool *ret_is_whole,
                                struct tw_error *error)
{
    unsigned char check[CHECK_BYTES];
    const ssize_t n = pread(fd, ret_bytes, FILE_BYTES, 0);
    if (n < 0) {
        return io_error(keys, "read", name, error);
    }
    *ret_is_whole = n == FILE_BYTES && !sodium_is_zero(ret_bytes, KEY_BYTES);
    check_of(ret_bytes, check);
    if (*ret_is_whole && memcmp(check, ret_bytes + KEY_BYTES + NUMBER_BYTES, sizeof check) != 0) {
        return tw_error_set(
            error, TW_ERR_FORMAT, TW_NO_POSITION,
            "the subject's key %.150s/%.60s is damaged: restore it; without it what "
            "it encrypts cannot be read",
            keys->path, name);
    }
    return TW_OK;
}

static enum tw_status write_new(const struct tw_subject_keys *keys, int fd, const char *name,
                                unsigned char bytes[FILE_BYTES], struct tw_error *error)
{
    const uint64_t number = (uint64_t)atomic_load(&keys->n_erasures);
    randombytes_buf(bytes, KEY_BYTES);
    for (int i = 0; i < NUMBER_BYTES; i++) {
        bytes[KEY_BYTES + i] = (unsigned char)(number >> (8 * i));
    }
    check_of(bytes, bytes + KEY_BYTES + NUMBER_BYTES);
    if (pwrite(fd, bytes, FILE_BYTES, 0) != FILE_BYTES || fsync(fd) != 0 ||
        fsync(keys->folder) != 0) {
        return io_error(keys, "write", name, error);
    }
    return TW_OK;
}

/* Reads a key, or makes it; TW_ERR_NOT_FOUND. */
static enum tw_status load(struct tw_subject_keys *keys, const char *name, bool makes,
                           unsigned char ret_bytes[FILE_BYTES], bool *ret_was_made,
                           struct tw_error *error)
{
    int fd = -1;
    bool is_whole = false;
    *ret_was_made = false;
    enum tw_status status = open_file(keys, name, makes, &fd, error);
    if (status == TW_OK && fd >= 0) {
        status = read_file(keys, fd, name, ret_bytes, &is_whole, error);
    }
    if (status == TW_OK && fd >= 0 && !is_whole && makes) {
        status = write_new(keys, fd, name, ret_bytes, error);
        is_whole = *ret_was_made = true;
    }
    if (fd >= 0) {
        close(fd);
    }
    if (status == TW_OK && !is_whole) {
        status = tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION,
                              "there is no key of this subject: it was erased, or never made");
    }
    return status;
}

static enum tw_status overwrite(const struct tw_subject_keys *keys, int fd, const char *name,
                                struct tw_error *error)
{
    static const unsigned char zeros[FILE_BYTES];
    if (pwrite(fd, zeros, sizeof zeros, 0) != (ssize_t)sizeof zeros || fsync(fd) != 0 ||
        unlinkat(keys->folder, name, 0) != 0 || fsync(keys->folder) != 0) {
        return io_error(keys, "erase", name, error);
    }
    return TW_OK;
}

static enum tw_status erase_file(struct tw_subject_keys *keys, const char *name, int64_t erasure,
                                 bool *ret_was_there, struct tw_error *error)
{
    unsigned char bytes[FILE_BYTES];
    int fd = -1;
    bool is_whole = false;
    *ret_was_there = false;
    enum tw_status status = open_file(keys, name, false, &fd, error);
    if (status != TW_OK || fd < 0) {
        return status;
    }
    status = read_file(keys, fd, name, bytes, &is_whole, error);
    /* A damaged one goes as well: it may be the key all the same. */
    const bool is_newer = status == TW_OK && is_whole && number_in(bytes) >= erasure;
    if (status != TW_ERR_IO && !is_newer) {
        *ret_was_there = is_whole;
        status = overwrite(keys, fd, name, error);
    }
    close(fd);
    sodium_memzero(bytes, sizeof bytes);
    return status;
}

/* ---- opening ---- */

static enum tw_status open_folder(struct tw_subject_keys *keys, struct tw_error *error)
{
    struct stat stat;
    const bool is_new = mkdir(keys->path, 0700) == 0;
    keys->folder = open(keys->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (keys->folder < 0 || fstat(keys->folder, &stat) != 0) {
        return io_error(keys, "open the folder of", "", error);
    }
    if ((stat.st_mode & 0077) != 0) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "the folder of keys '%.200s' is open to others than its owner: if "
                            "nobody can have taken them, chmod 700 it",
                            keys->path);
    }
    const int above = is_new ? openat(keys->folder, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (above >= 0) { /* so that the folder is there as long as what is in it */
        fsync(above);
        close(above);
    }
    return TW_OK;
}

enum tw_status tw_subject_keys_open(const char *folder,
                                    const unsigned char pepper[TW_SUBJECT_PEPPER_BYTES],
                                    struct tw_subject_keys **ret_keys, struct tw_error *error)
{
    struct tw_subject_keys *keys = tw_mem_zalloc(1, sizeof *keys);
    char *path = tw_mem_strndup(folder, strlen(folder));
    unsigned char *naming = tw_secret_alloc(KEY_BYTES);
    if (keys == NULL || path == NULL || naming == NULL) {
        tw_mem_free(keys);
        tw_mem_free(path);
        tw_secret_free(naming);
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for subjects' keys");
    }
    keys->path = path;
    keys->naming = naming;
    crypto_generichash(keys->naming, KEY_BYTES, (const unsigned char *)NAMING, sizeof NAMING - 1,
                       pepper, TW_SUBJECT_PEPPER_BYTES);
    pthread_mutex_init(&keys->files, NULL);
    pthread_mutex_init(&keys->lock, NULL);
    enum tw_status status = open_folder(keys, error);
    if (status == TW_OK) {
        *ret_keys = keys;
    } else {
        tw_subject_keys_close(keys);
    }
    return status;
}

void tw_subject_keys_close(struct tw_subject_keys *keys)
{
    if (keys == NULL) {
        return;
    }
    while (keys->oldest != NULL) {
        struct tw_subject_key *key = keys->oldest;
        leave_unused(key);
        free_key(key);
    }
    if (keys->folder >= 0) {
        close(keys->folder);
    }
    pthread_mutex_destroy(&keys->files);
    pthread_mutex_destroy(&keys->lock);
    tw_secret_free(keys->naming);
    tw_mem_free(keys->path);
    tw_mem_free(keys);
}

/* Whether one more may be made. A clock that is set back begins no day anew. */
static bool has_quota(struct tw_subject_quota *quota, int64_t now_ns)
{
    const int64_t day = now_ns / DAY_NS;
    if (quota != NULL && day > quota->day) {
        quota->day = day;
        quota->n = 0;
    }
    return quota == NULL || quota->n < quota->most;
}

/* Reads a key, or makes it within a quota. */
static enum tw_status load_or_make(struct tw_subject_keys *keys, const char *name,
                                   struct tw_subject_quota *quota, int64_t now_ns,
                                   unsigned char ret_bytes[FILE_BYTES], struct tw_error *error)
{
    const bool makes = has_quota(quota, now_ns);
    bool was_made = false;
    enum tw_status status = load(keys, name, makes, ret_bytes, &was_made, error);
    if (quota != NULL && was_made) {
        quota->n++;
    }
    if (status == TW_ERR_NOT_FOUND) {
        status = tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                              "the requests of this project have named %u new users today, which "
                              "is the most there may be in a day",
                              quota != NULL ? quota->most : 0);
    }
    return status;
}

/* ---- keys ---- */

/* What find and take have in common. */
struct wanted {
    const struct tw_subject *subject;
    int64_t project;
    bool makes;
    struct tw_subject_quota *quota;
    int64_t now_ns;
};

static enum tw_status read_key(struct tw_subject_keys *keys, const struct wanted *wanted,
                               unsigned char ret_bytes[FILE_BYTES], struct tw_error *error)
{
    char name[NAME_BYTES];
    bool was_made;
    write_name(wanted->subject, wanted->project, name);
    return wanted->makes ? load_or_make(keys, name, wanted->quota, wanted->now_ns, ret_bytes, error)
                         : load(keys, name, false, ret_bytes, &was_made, error);
}

static enum tw_status get(struct tw_subject_keys *keys, const struct wanted *wanted,
                          struct tw_subject_key **ret_key, struct tw_error *error)
{
    const struct tw_subject *subject = wanted->subject;
    const int64_t project = wanted->project;
    unsigned char bytes[FILE_BYTES];
    struct tw_subject_key *key = use_remembered(keys, subject, project);
    if (key != NULL) {
        *ret_key = key;
        return TW_OK;
    }
    pthread_mutex_lock(&keys->files);
    key = use_remembered(keys, subject, project); /* somebody else may have been quicker */
    enum tw_status status = TW_OK;
    if (key == NULL) {
        status = read_key(keys, wanted, bytes, error);
        key = status == TW_OK ? tw_mem_zalloc(1, sizeof *key) : NULL;
        if (status == TW_OK && key == NULL) {
            status = tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a key");
        }
    }
    if (status == TW_OK && key->owner == NULL) {
        key->owner = keys;
        key->subject = *subject;
        key->project = project;
        key->erasures = number_in(bytes);
        key->n_users = 1;
        memcpy(key->key, bytes, sizeof key->key);
        pthread_mutex_lock(&keys->lock);
        struct tw_subject_key **bucket = bucket_of(keys, subject, project);
        key->next_of_bucket = *bucket;
        *bucket = key;
        pthread_mutex_unlock(&keys->lock);
    }
    pthread_mutex_unlock(&keys->files);
    sodium_memzero(bytes, sizeof bytes);
    if (status == TW_OK) {
        *ret_key = key;
    }
    return status;
}

enum tw_status tw_subject_keys_take(struct tw_subject_keys *keys, const struct tw_subject *subject,
                                    int64_t project, struct tw_subject_quota *quota, int64_t now_ns,
                                    struct tw_subject_key **ret_key, struct tw_error *error)
{
    const struct wanted wanted = {subject, project, true, quota, now_ns};
    return get(keys, &wanted, ret_key, error);
}

enum tw_status tw_subject_keys_find(struct tw_subject_keys *keys, const struct tw_subject *subject,
                                    int64_t project, struct tw_subject_key **ret_key,
                                    struct tw_error *error)
{
    const struct wanted wanted = {.subject = subject, .project = project};
    return get(keys, &wanted, ret_key, error);
}

void tw_subject_keys_set_erasures(struct tw_subject_keys *keys, int64_t n_erasures)
{
    atomic_store(&keys->n_erasures, n_erasures);
}

enum tw_status tw_subject_keys_erase(struct tw_subject_keys *keys, const struct tw_subject *subject,
                                     int64_t project, int64_t erasure, bool *ret_was_there,
                                     struct tw_error *error)
{
    char name[NAME_BYTES];
    write_name(subject, project, name);
    pthread_mutex_lock(&keys->files);
    enum tw_status status = erase_file(keys, name, erasure, ret_was_there, error);
    forget(keys, subject, project, erasure); /* also where another process took the file away */
    pthread_mutex_unlock(&keys->files);
    return status;
}

enum tw_status tw_subject_keys_sweep(struct tw_subject_keys *keys, tw_subject_erased_fn erased_by,
                                     void *context, struct tw_error *error)
{
    const int fd = openat(keys->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd >= 0 ? fdopendir(fd) : NULL;
    enum tw_status status = TW_OK;
    if (folder == NULL) {
        status = io_error(keys, "list the folder of", "", error);
        if (fd >= 0) {
            close(fd);
        }
        return status;
    }
    const struct dirent *entry;
    while (status == TW_OK && (entry = readdir(folder)) != NULL) {
        struct tw_subject subject;
        int64_t project;
        bool was_there;
        const int64_t erasure = read_name(entry->d_name, &subject, &project)
                                    ? erased_by(context, &subject, project)
                                    : 0;
        if (erasure > 0) {
            status = tw_subject_keys_erase(keys, &subject, project, erasure, &was_there, error);
        }
    }
    closedir(folder);
    return status;
}

/* ---- what a key is for ---- */

const struct tw_subject *tw_subject_key_subject(const struct tw_subject_key *key)
{
    return &key->subject;
}

int64_t tw_subject_key_erasures(const struct tw_subject_key *key)
{
    return key->erasures;
}

/* The caller wipes it. */
static bool derive(struct tw_subject_key *key, uint64_t purpose, unsigned char ret_key[KEY_BYTES])
{
    pthread_mutex_lock(&key->owner->lock);
    const bool is_there = !key->is_erased;
    if (is_there) {
        crypto_kdf_derive_from_key(ret_key, KEY_BYTES, purpose, DERIVING, key->key);
    }
    pthread_mutex_unlock(&key->owner->lock);
    return is_there;
}

static bool derive_for_request(struct tw_subject_key *key, uint64_t purpose, int64_t request,
                               unsigned char *ret_bytes, size_t n_bytes)
{
    unsigned char derived[KEY_BYTES], number[8];
    if (!derive(key, purpose, derived)) {
        return false;
    }
    for (size_t i = 0; i < sizeof number; i++) {
        number[i] = (unsigned char)((uint64_t)request >> (8 * i));
    }
    crypto_generichash(ret_bytes, n_bytes, number, sizeof number, derived, sizeof derived);
    sodium_memzero(derived, sizeof derived);
    return true;
}

bool tw_subject_key_salt(struct tw_subject_key *key, int64_t request,
                         unsigned char ret_salt[TW_SUBJECT_SALT_BYTES])
{
    return derive_for_request(key, FOR_SALTS, request, ret_salt, TW_SUBJECT_SALT_BYTES);
}

bool tw_subject_key_tag(struct tw_subject_key *key, int64_t request,
                        unsigned char ret_tag[TW_SUBJECT_TAG_BYTES])
{
    return derive_for_request(key, FOR_TAGS, request, ret_tag, TW_SUBJECT_TAG_BYTES);
}

/* What sealed content belongs to. */
struct bound {
    char text[128];
    size_t n_bytes;
};

static struct bound bound_to(const struct tw_subject_key *key, int64_t request)
{
    struct bound bound;
    char subject[TW_SUBJECT_HEX_BYTES];
    tw_subject_write(&key->subject, subject);
    const int n =
        snprintf(bound.text, sizeof bound.text, BOUND_TO "\n%s\n%" PRId64 "\n%" PRId64 "\n",
                 subject, key->project, request);
    bound.n_bytes = (size_t)n;
    return bound;
}

/* Makes room for what a function writes behind the buffer's end. */
static unsigned char *room_in(struct tw_buf *buf, size_t n_bytes)
{
    static const char zeros[4096];
    const size_t at = buf->size_bytes;
    for (size_t n = 0; n < n_bytes && !buf->failed; n += sizeof zeros) {
        const size_t left = n_bytes - n;
        tw_buf_append(buf, zeros, left < sizeof zeros ? left : sizeof zeros);
    }
    return buf->failed ? NULL : (unsigned char *)buf->data + at;
}

bool tw_subject_key_seal(struct tw_subject_key *key, int64_t request, const void *plain,
                         size_t plain_bytes, struct tw_buf *ret_sealed)
{
    unsigned char derived[KEY_BYTES];
    const struct bound bound = bound_to(key, request);
    if (!derive(key, FOR_CONTENT, derived)) {
        return false;
    }
    unsigned char *at = room_in(ret_sealed, NONCE_BYTES + plain_bytes + TAG_BYTES);
    if (at != NULL) {
        randombytes_buf(at, NONCE_BYTES);
        crypto_aead_xchacha20poly1305_ietf_encrypt(at + NONCE_BYTES, NULL, plain, plain_bytes,
                                                   (const unsigned char *)bound.text, bound.n_bytes,
                                                   NULL, at, derived);
    }
    sodium_memzero(derived, sizeof derived);
    return true;
}

enum tw_status tw_subject_key_unseal(struct tw_subject_key *key, int64_t request,
                                     const void *sealed, size_t sealed_bytes,
                                     struct tw_buf *ret_plain, struct tw_error *error)
{
    unsigned char derived[KEY_BYTES];
    const unsigned char *nonce = sealed;
    const struct bound bound = bound_to(key, request);
    if (sealed_bytes < NONCE_BYTES + TAG_BYTES) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "the stored content of request %" PRId64 " is cut off", request);
    }
    if (!derive(key, FOR_CONTENT, derived)) {
        return tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION,
                            "the key of request %" PRId64 " was erased", request);
    }
    const size_t n_bytes = sealed_bytes - NONCE_BYTES - TAG_BYTES;
    unsigned char *at = room_in(ret_plain, n_bytes);
    enum tw_status status = TW_OK;
    if (ret_plain->failed) {
        status = tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for content");
    } else if (crypto_aead_xchacha20poly1305_ietf_decrypt(
                   at, NULL, NULL, nonce + NONCE_BYTES, n_bytes + TAG_BYTES,
                   (const unsigned char *)bound.text, bound.n_bytes, nonce, derived) != 0) {
        status = tw_error_set(
            error, TW_ERR_FORMAT, TW_NO_POSITION,
            "the stored content of request %" PRId64 " is not what was stored for it", request);
    }
    sodium_memzero(derived, sizeof derived);
    return status;
}
