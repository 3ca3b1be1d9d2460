#include "hub/model_digest.h"

#include <dirent.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"

#define HASH_BYTES   32
#define STAMP_BYTES  16
#define LINE_BYTES   (TW_MODEL_DIGEST_BYTES + 2 * STAMP_BYTES + 1)
#define MOST_FILES   TW_LIMIT_MODEL_SHARDS
#define MOST_LINES   64
#define SHARD_DIGITS 5
#define SHARD_BYTES  (SHARD_DIGITS + 4 + SHARD_DIGITS + 5) /* "00001-of-00002.gguf" */

/* The files of a model, by name. */
struct files {
    char *paths[MOST_FILES];
    size_t n;
};

static void free_files(struct files *files)
{
    for (size_t i = 0; i < files->n; i++) {
        tw_mem_free(files->paths[i]);
    }
}

static enum tw_status add_file(struct files *files, const char *folder, size_t folder_bytes,
                               const char *name, struct tw_error *error)
{
    const size_t n_bytes = folder_bytes + strlen(name) + 2;
    char *path = files->n < MOST_FILES ? tw_mem_alloc(n_bytes, 1) : NULL;
    if (path == NULL) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION, "the model has more than %d files",
                            MOST_FILES);
    }
    snprintf(path, n_bytes, "%.*s%s%s", (int)folder_bytes, folder, folder_bytes > 0 ? "/" : "",
             name);
    files->paths[files->n++] = path;
    return TW_OK;
}

static bool ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), n_end = strlen(end);
    return n > n_end && strcmp(text + n - n_end, end) == 0;
}

static bool is_part(const char *name)
{
    static const char *const ends[] = {".json", ".safetensors", ".model", ".jinja", ".txt"};
    bool is_part = false;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        is_part = is_part || ends_with(name, ends[i]);
    }
    return is_part && name[0] != '.';
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static enum tw_status list_folder(const char *path, struct files *files, struct tw_error *error)
{
    DIR *folder = opendir(path);
    const struct dirent *entry;
    enum tw_status status = TW_OK;
    if (folder == NULL) {
        return tw_error_set(error, TW_ERR_IO, TW_NO_POSITION, "cannot list '%.200s'", path);
    }
    while (status == TW_OK && (entry = readdir(folder)) != NULL) {
        if (is_part(entry->d_name)) {
            status = add_file(files, path, strlen(path), entry->d_name, error);
        }
    }
    closedir(folder);
    qsort(files->paths, files->n, sizeof *files->paths, compare);
    return status;
}

/* "name-00001-of-00003.gguf": how many there are; 0: the file is whole. */
static unsigned shards_of(const char *path)
{
    const size_t n = strlen(path);
    unsigned n_shards = 0;
    if (n <= SHARD_BYTES || !ends_with(path, ".gguf") ||
        memcmp(path + n - SHARD_BYTES + SHARD_DIGITS, "-of-", 4) != 0) {
        return 0;
    }
    for (const char *at = path + n - SHARD_DIGITS - 5; *at != '.'; at++) {
        if (*at < '0' || *at > '9') {
            return 0;
        }
        n_shards = n_shards * 10 + (unsigned)(*at - '0');
    }
    return n_shards;
}

static enum tw_status list_files(const char *path, struct files *files, struct tw_error *error)
{
    const char *slash = strrchr(path, '/');
    const size_t n_above = slash != NULL ? (size_t)(slash - path) : 0;
    const char *name = slash != NULL ? slash + 1 : path;
    const unsigned n_shards = shards_of(path);
    enum tw_status status = TW_OK;
    if (tw_file_is_directory(path)) {
        return list_folder(path, files, error);
    }
    if (n_shards == 0) {
        return add_file(files, path, n_above, name, error);
    }
    for (unsigned i = 1; status == TW_OK && i <= n_shards; i++) {
        char shard[TW_LIMIT_HUB_FILE_BYTES];
        snprintf(shard, sizeof shard, "%.*s%05u-of-%05u.gguf", (int)(strlen(name) - SHARD_BYTES),
                 name, i, n_shards);
        status = add_file(files, path, n_above, shard, error);
    }
    return status;
}

/* ---- hashes ---- */

static void add_stamp(crypto_generichash_state *state, const char *path,
                      const struct tw_file_stamp *stamp)
{
    char text[256];
    const int n = snprintf(text, sizeof text, "%" PRIu64 " %" PRId64 " %" PRId64 " %" PRIu64 "\n",
                           stamp->size_bytes, stamp->mtime_ns, stamp->ctime_ns, stamp->inode);
    crypto_generichash_update(state, (const unsigned char *)path, strlen(path) + 1);
    crypto_generichash_update(state, (const unsigned char *)text, (size_t)n);
}

/* *ret_is_settled: a change from now on would show. */
static enum tw_status hash_stamps(const struct files *files, char ret_hex[2 * STAMP_BYTES + 1],
                                  bool *ret_is_settled, struct tw_error *error)
{
    unsigned char hash[STAMP_BYTES];
    crypto_generichash_state state;
    enum tw_status status = TW_OK;
    bool is_settled = true;
    crypto_generichash_init(&state, NULL, 0, sizeof hash);
    for (size_t i = 0; status == TW_OK && i < files->n; i++) {
        struct tw_file_map map;
        status = tw_file_map_open(files->paths[i], &map, error);
        if (status == TW_OK) {
            add_stamp(&state, files->paths[i], &map.stamp);
            is_settled = tw_file_stamp_settle(&map.stamp) && is_settled;
            tw_file_map_close(&map);
        }
    }
    crypto_generichash_final(&state, hash, sizeof hash);
    sodium_bin2hex(ret_hex, 2 * STAMP_BYTES + 1, hash, sizeof hash);
    *ret_is_settled = is_settled;
    return status;
}

static enum tw_status hash_file(const char *path, char ret_hex[TW_MODEL_DIGEST_BYTES],
                                struct tw_error *error)
{
    unsigned char hash[HASH_BYTES];
    struct tw_file_map map;
    enum tw_status status = tw_file_map_open(path, &map, error);
    if (status == TW_OK) {
        crypto_generichash(hash, sizeof hash, map.data, map.size_bytes, NULL, 0);
        sodium_bin2hex(ret_hex, TW_MODEL_DIGEST_BYTES, hash, sizeof hash);
        tw_file_map_close(&map);
    }
    return status;
}

static enum tw_status hash_files(const struct files *files, bool is_folder,
                                 char ret_hex[TW_MODEL_DIGEST_BYTES], struct tw_error *error)
{
    unsigned char hash[HASH_BYTES];
    char hex[TW_MODEL_DIGEST_BYTES];
    crypto_generichash_state state;
    enum tw_status status = TW_OK;
    if (files->n == 1 && !is_folder) {
        return hash_file(files->paths[0], ret_hex, error);
    }
    crypto_generichash_init(&state, NULL, 0, sizeof hash);
    for (size_t i = 0; status == TW_OK && i < files->n; i++) {
        const char *slash = strrchr(files->paths[i], '/');
        const char *name = slash != NULL ? slash + 1 : files->paths[i];
        status = hash_file(files->paths[i], hex, error);
        crypto_generichash_update(&state, (const unsigned char *)hex, sizeof hex - 1);
        crypto_generichash_update(&state, (const unsigned char *)"  ", 2);
        crypto_generichash_update(&state, (const unsigned char *)name, strlen(name));
        crypto_generichash_update(&state, (const unsigned char *)"\n", 1);
    }
    crypto_generichash_final(&state, hash, sizeof hash);
    sodium_bin2hex(ret_hex, TW_MODEL_DIGEST_BYTES, hash, sizeof hash);
    return status;
}

/* ---- what is known already: lines "DIGEST STAMPS", the latest first ---- */

static void read_cache(const char *path, struct tw_buf *ret_text)
{
    struct tw_error ignored;
    if (path == NULL ||
        tw_file_read(path, (size_t)MOST_LINES * LINE_BYTES, ret_text, &ignored) != TW_OK) {
        tw_buf_init(ret_text, (size_t)MOST_LINES * LINE_BYTES);
    }
}

static bool find_line(const struct tw_buf *text, const char *stamps,
                      char ret_digest[TW_MODEL_DIGEST_BYTES])
{
    for (size_t at = 0; at + LINE_BYTES <= text->size_bytes; at += LINE_BYTES) {
        const char *line = text->data + at;
        if (memcmp(line + TW_MODEL_DIGEST_BYTES, stamps, 2 * STAMP_BYTES) == 0 &&
            line[LINE_BYTES - 1] == '\n' && line[TW_MODEL_DIGEST_BYTES - 1] == ' ') {
            memcpy(ret_digest, line, TW_MODEL_DIGEST_BYTES - 1);
            ret_digest[TW_MODEL_DIGEST_BYTES - 1] = '\0';
            return true;
        }
    }
    return false;
}

static void write_cache(const char *path, const struct tw_buf *text, const char *digest,
                        const char *stamps)
{
    const size_t most = (size_t)(MOST_LINES - 1) * LINE_BYTES;
    const size_t n_kept = text->size_bytes / LINE_BYTES * LINE_BYTES;
    struct tw_buf lines;
    struct tw_error ignored;
    if (path == NULL) {
        return;
    }
    tw_buf_init(&lines, (size_t)MOST_LINES * LINE_BYTES);
    tw_buf_append_format(&lines, "%s %s\n", digest, stamps);
    tw_buf_append(&lines, text->data, n_kept < most ? n_kept : most);
    if (!lines.failed) {
        tw_file_write_private(path, lines.data, lines.size_bytes, &ignored);
    }
    tw_buf_free(&lines);
}

static enum tw_status digest_files(const struct files *files, bool is_folder,
                                   const char *cache_path, char ret_digest[TW_MODEL_DIGEST_BYTES],
                                   struct tw_error *error)
{
    char stamps[2 * STAMP_BYTES + 1], again[2 * STAMP_BYTES + 1];
    struct tw_buf known;
    bool is_settled = false, ignored;
    enum tw_status status = hash_stamps(files, stamps, &is_settled, error);
    if (status != TW_OK) {
        return status;
    }
    read_cache(cache_path, &known);
    if (!find_line(&known, stamps, ret_digest)) {
        status = hash_files(files, is_folder, ret_digest, error);
        /* What was written to meanwhile is hashed again the next time. */
        if (status == TW_OK && is_settled && hash_stamps(files, again, &ignored, error) == TW_OK &&
            strcmp(stamps, again) == 0) {
            write_cache(cache_path, &known, ret_digest, stamps);
        }
    }
    tw_buf_free(&known);
    return status;
}

enum tw_status tw_model_digest_of(const char *model_path, const char *cache_path,
                                  char ret_digest[TW_MODEL_DIGEST_BYTES], struct tw_error *error)
{
    struct files *files = tw_mem_zalloc(1, sizeof *files);
    if (files == NULL || sodium_init() < 0) {
        tw_mem_free(files);
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a model's files");
    }
    enum tw_status status = list_files(model_path, files, error);
    if (status == TW_OK) {
        status =
            digest_files(files, tw_file_is_directory(model_path), cache_path, ret_digest, error);
    }
    free_files(files);
    tw_mem_free(files);
    return status;
}
