#include "model/weight_pack.h"

#include <string.h>

#include "base/arena.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/mem.h"
#include "model/name_index.h"

static const char magic[8] = {'t', 'w', 'p', 'a', 'c', 'k', '\r', '\n'};

/* As they lie in the file, little-endian like the machines we run on. */
struct header {
    char magic[8];
    uint32_t version, form;
    uint64_t file_bytes;
    uint64_t directory_at, directory_bytes;
    uint32_t n_stamps, n_entries;
    uint64_t content_low, content_high; /* of the bytes from 4096 to the directory */
    uint64_t directory_hash;
    uint64_t header_hash; /* of what stands before it */
};

struct stamp {
    uint64_t size_bytes;
    int64_t mtime_ns, ctime_ns;
    uint64_t inode;
};

struct entry {
    uint64_t at, n_bytes;
    uint32_t key_at, key_bytes; /* key_at counts from the first key */
};

_Static_assert(sizeof(struct header) == 80 && sizeof(struct stamp) == 32 &&
                   sizeof(struct entry) == 24,
               "the file's structs have no holes");

struct tw_weight_pack {
    struct tw_arena arena;
    struct tw_file_map map; /* empty when the bytes are the caller's */
    const unsigned char *data;
    struct header header;
    const struct stamp *stamps;
    const struct entry *entries;
    struct tw_name_index index;
};

static uint64_t header_hash(const struct header *header)
{
    return tw_hash_of(header, offsetof(struct header, header_hash), 0);
}

/* ---- reading ---- */

static enum tw_status damaged(const char *name, const char *what, struct tw_error *error)
{
    return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                        "'%.160s' is no whole file of packed weights: %s; it can be deleted", name,
                        what);
}

static enum tw_status check_header(const struct header *header, size_t size_bytes, const char *name,
                                   struct tw_error *error)
{
    if (memcmp(header->magic, magic, sizeof magic) != 0) {
        return damaged(name, "it does not begin with 'twpack'", error);
    }
    if (header->header_hash != header_hash(header)) {
        return damaged(name, "the header's checksum is wrong", error);
    }
    if (header->version != TW_PACK_VERSION) {
        return tw_error_set(error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                            "'%.160s' has version %u of the format; this program reads %u", name,
                            header->version, TW_PACK_VERSION);
    }
    if (header->file_bytes != size_bytes) {
        return damaged(name, "it has not the length that it says", error);
    }
    if (header->directory_at < TW_PACK_DATA_AT || header->directory_at > size_bytes ||
        header->directory_bytes != size_bytes - header->directory_at) {
        return damaged(name, "the directory does not end it", error);
    }
    if (header->n_stamps > TW_LIMIT_MODEL_SHARDS || header->n_entries > TW_LIMIT_PACK_MATRICES ||
        header->directory_bytes > TW_LIMIT_PACK_DIRECTORY_BYTES) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "'%.160s' has %u matrices in a directory of %llu bytes: more than are "
                            "read",
                            name, header->n_entries, (unsigned long long)header->directory_bytes);
    }
    if (header->directory_bytes < (uint64_t)header->n_stamps * sizeof(struct stamp) +
                                      (uint64_t)header->n_entries * sizeof(struct entry)) {
        return damaged(name, "the directory is too short", error);
    }
    return TW_OK;
}

/* Entries follow one another in the file, so that one look tells that none overlap. */
static enum tw_status check_entries(struct tw_weight_pack *pack, const char *keys,
                                    uint64_t keys_bytes, const char *name, struct tw_error *error)
{
    uint64_t end = TW_PACK_DATA_AT;
    for (uint32_t i = 0; i < pack->header.n_entries; i++) {
        const struct entry *entry = &pack->entries[i];
        if (entry->at < end || entry->at > pack->header.directory_at ||
            entry->n_bytes > pack->header.directory_at - entry->at) {
            return damaged(name, "a matrix lies outside of its place", error);
        }
        if (entry->at % TW_PACK_ALIGNMENT != 0) {
            return damaged(name, "a matrix does not lie at a multiple of 64", error);
        }
        if (entry->key_at > keys_bytes || entry->key_bytes > keys_bytes - entry->key_at ||
            entry->key_bytes > TW_LIMIT_PACK_KEY_BYTES) {
            return damaged(name, "a matrix has no name", error);
        }
        end = entry->at + entry->n_bytes;
        tw_name_index_add(&pack->index, keys + entry->key_at, entry->key_bytes, i);
    }
    size_t twice = 0;
    return tw_name_index_sort(&pack->index, &twice)
               ? TW_OK
               : damaged(name, "a matrix is there twice", error);
}

static enum tw_status read_directory(struct tw_weight_pack *pack, const char *name,
                                     struct tw_error *error)
{
    const struct header *header = &pack->header;
    const size_t n_bytes = (size_t)header->directory_bytes;
    unsigned char *copy = tw_arena_alloc(&pack->arena, n_bytes, 1);
    if (copy == NULL || !tw_name_index_init(&pack->index, &pack->arena, header->n_entries)) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory to read '%.160s'",
                            name);
    }
    memcpy(copy, pack->data + header->directory_at, n_bytes);
    if (tw_hash_of(copy, n_bytes, 0) != header->directory_hash) {
        return damaged(name, "the directory's checksum is wrong", error);
    }
    const size_t stamps_bytes = header->n_stamps * sizeof(struct stamp);
    const size_t entries_bytes = header->n_entries * sizeof(struct entry);
    pack->stamps = (const struct stamp *)(const void *)copy;
    pack->entries = (const struct entry *)(const void *)(copy + stamps_bytes);
    const char *keys = (const char *)copy + stamps_bytes + entries_bytes;
    return check_entries(pack, keys, n_bytes - stamps_bytes - entries_bytes, name, error);
}

enum tw_status tw_weight_pack_open_memory(const void *data, size_t size_bytes, const char *name,
                                          struct tw_weight_pack **ret_pack, struct tw_error *error)
{
    struct header header;
    if (size_bytes < TW_PACK_DATA_AT) {
        return damaged(name, "it is too short", error);
    }
    memcpy(&header, data, sizeof header);
    enum tw_status status = check_header(&header, size_bytes, name, error);
    if (status != TW_OK) {
        return status;
    }
    struct tw_weight_pack *pack = tw_mem_zalloc(1, sizeof *pack);
    if (pack == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory to read '%.160s'",
                            name);
    }
    /* The index has entries of its own, of about a key's size. */
    tw_arena_init(&pack->arena, 3 * TW_LIMIT_PACK_DIRECTORY_BYTES);
    pack->data = data;
    pack->header = header;
    status = read_directory(pack, name, error);
    if (status != TW_OK) {
        tw_weight_pack_close(pack);
        return status;
    }
    *ret_pack = pack;
    return TW_OK;
}

enum tw_status tw_weight_pack_open(const char *path, const struct tw_file_stamp *about,
                                   struct tw_weight_pack **ret_pack, struct tw_error *error)
{
    struct tw_file_map map;
    enum tw_status status = tw_file_map_open(path, &map, error);
    if (status != TW_OK) {
        return status;
    }
    /* Before a byte is read: a stranger can make reading slow, or end us by cutting the file. */
    if (about != NULL && !tw_file_stamp_is_trusted(&map.stamp, about)) {
        tw_file_map_close(&map);
        return tw_error_set(error, TW_ERR_IO, TW_NO_POSITION,
                            "'%.160s' belongs to somebody else than the model", path);
    }
    struct tw_weight_pack *pack = NULL;
    status = tw_weight_pack_open_memory(map.data, map.size_bytes, path, &pack, error);
    if (status != TW_OK) {
        tw_file_map_close(&map);
        return status;
    }
    tw_file_map_expect(&map);
    pack->map = map;
    *ret_pack = pack;
    return TW_OK;
}

void tw_weight_pack_close(struct tw_weight_pack *pack)
{
    if (pack != NULL) {
        tw_arena_clear(&pack->arena);
        tw_file_map_close(&pack->map);
        tw_mem_free(pack);
    }
}

static struct stamp kept_of(const struct tw_file_stamp *stamp)
{
    return (struct stamp){.size_bytes = stamp->size_bytes,
                          .mtime_ns = stamp->mtime_ns,
                          .ctime_ns = stamp->ctime_ns,
                          .inode = stamp->inode};
}

bool tw_weight_pack_is_of(const struct tw_weight_pack *pack, uint32_t form,
                          const struct tw_file_stamp *stamps, size_t n_stamps)
{
    bool is_same = pack->header.form == form && pack->header.n_stamps == n_stamps;
    for (size_t i = 0; is_same && i < n_stamps; i++) {
        const struct stamp now = kept_of(&stamps[i]);
        is_same = memcmp(&now, &pack->stamps[i], sizeof now) == 0;
    }
    return is_same;
}

size_t tw_weight_pack_count(const struct tw_weight_pack *pack)
{
    return pack->header.n_entries;
}

bool tw_weight_pack_find(const struct tw_weight_pack *pack, const char *key, const void **ret_bytes,
                         size_t *ret_n_bytes)
{
    size_t place = 0;
    if (!tw_name_index_find(&pack->index, key, strlen(key), &place)) {
        return false;
    }
    *ret_bytes = pack->data + pack->entries[place].at;
    *ret_n_bytes = (size_t)pack->entries[place].n_bytes;
    return true;
}

enum tw_status tw_weight_pack_check(const struct tw_weight_pack *pack, struct tw_error *error)
{
    struct tw_hash *hash = tw_hash_create();
    if (hash == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a checksum");
    }
    tw_hash_add(hash, pack->data + TW_PACK_DATA_AT,
                (size_t)pack->header.directory_at - TW_PACK_DATA_AT);
    const struct tw_hash128 is = tw_hash_value128(hash);
    const struct tw_hash128 was = {pack->header.content_low, pack->header.content_high};
    tw_hash_free(hash);
    return tw_hash128_is_same(is, was)
               ? TW_OK
               : tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                              "the packed weights have another checksum than when they were "
                              "written: delete the file, and the next start packs again");
}

/* ---- writing ---- */

struct output {
    struct tw_file_writer *file;
    struct tw_hash *hash;
    uint64_t n_unsynced_bytes;
    struct tw_error *error;
};

static enum tw_status put(struct output *out, const void *bytes, size_t n_bytes)
{
    if (out->hash != NULL) {
        tw_hash_add(out->hash, bytes, n_bytes);
    }
    return tw_file_writer_write(out->file, bytes, n_bytes, out->error);
}

static enum tw_status put_padding(struct output *out, size_t alignment_bytes)
{
    static const unsigned char zeros[TW_PACK_DATA_AT];
    size_t over = (size_t)(tw_file_writer_position(out->file) % alignment_bytes);
    return over == 0 ? TW_OK : put(out, zeros, alignment_bytes - over);
}

/* Whoever waits for the loader's turn waits for so much of a slow disk, not for all. */
static enum tw_status sync_some(struct output *out, size_t n_bytes)
{
    out->n_unsynced_bytes += n_bytes;
    if (out->n_unsynced_bytes < TW_LIMIT_PACK_UNSYNCED_BYTES) {
        return TW_OK;
    }
    out->n_unsynced_bytes = 0;
    return tw_file_writer_sync(out->file, out->error);
}

static enum tw_status put_matrices(struct output *out, const struct tw_pack_item *items,
                                   size_t n_items, struct entry *entries, tw_pack_go_on_fn go_on,
                                   void *context)
{
    uint32_t key_at = 0;
    enum tw_status status = TW_OK;
    for (size_t i = 0; status == TW_OK && i < n_items; i++) {
        if (go_on != NULL && !go_on(context)) {
            return tw_error_set(out->error, TW_ERR_CANCELLED, TW_NO_POSITION,
                                "stopped while packed weights were written");
        }
        status = put_padding(out, TW_PACK_ALIGNMENT);
        entries[i] = (struct entry){.at = tw_file_writer_position(out->file),
                                    .n_bytes = items[i].n_bytes,
                                    .key_at = key_at,
                                    .key_bytes = (uint32_t)strlen(items[i].key)};
        key_at += entries[i].key_bytes;
        status = status != TW_OK ? status : put(out, items[i].bytes, items[i].n_bytes);
        status = status != TW_OK ? status : sync_some(out, items[i].n_bytes);
    }
    return status == TW_OK ? put_padding(out, TW_PACK_ALIGNMENT) : status;
}

static enum tw_status put_directory(struct output *out, const struct tw_file_stamp *stamps,
                                    size_t n_stamps, const struct tw_pack_item *items,
                                    const struct entry *entries, size_t n_items)
{
    enum tw_status status = TW_OK;
    for (size_t i = 0; status == TW_OK && i < n_stamps; i++) {
        const struct stamp kept = kept_of(&stamps[i]);
        status = put(out, &kept, sizeof kept);
    }
    status = status != TW_OK ? status : put(out, entries, n_items * sizeof *entries);
    for (size_t i = 0; status == TW_OK && i < n_items; i++) {
        status = put(out, items[i].key, entries[i].key_bytes);
    }
    return status;
}

/* Everything but the header, which is known only then; fills it. */
static enum tw_status put_body(struct output *out, const struct tw_file_stamp *stamps,
                               const struct tw_pack_item *items, struct entry *entries,
                               struct header *header, tw_pack_go_on_fn go_on, void *context)
{
    static const unsigned char zeros[TW_PACK_DATA_AT];
    struct tw_hash *content = tw_hash_create(), *directory = tw_hash_create();
    enum tw_status status = TW_OK;
    if (content == NULL || directory == NULL) {
        status = tw_error_set(out->error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for hashes");
    } else {
        status = put(out, zeros, sizeof zeros);
        out->hash = content;
    }
    if (status == TW_OK) {
        status = put_matrices(out, items, header->n_entries, entries, go_on, context);
        header->content_low = tw_hash_value128(content).low;
        header->content_high = tw_hash_value128(content).high;
        header->directory_at = tw_file_writer_position(out->file);
        out->hash = directory;
    }
    if (status == TW_OK) {
        status = put_directory(out, stamps, header->n_stamps, items, entries, header->n_entries);
        header->directory_hash = tw_hash_value(directory);
        header->file_bytes = tw_file_writer_position(out->file);
        header->directory_bytes = header->file_bytes - header->directory_at;
    }
    out->hash = NULL;
    tw_hash_free(content);
    tw_hash_free(directory);
    return status;
}

static uint64_t room_for(const struct tw_pack_item *items, size_t n_items)
{
    uint64_t n_bytes = TW_PACK_DATA_AT;
    for (size_t i = 0; i < n_items; i++) {
        n_bytes += items[i].n_bytes + TW_PACK_ALIGNMENT;
    }
    return n_bytes;
}

/* Nobody may read what is made of several files who may not read each of them. */
static struct tw_file_stamp narrowest(const struct tw_file_stamp *stamps, size_t n_stamps)
{
    struct tw_file_stamp all = stamps[0];
    for (size_t i = 1; i < n_stamps; i++) {
        all.mode &= stamps[i].group == all.group ? stamps[i].mode : stamps[i].mode & ~0070u;
    }
    return all;
}

enum tw_status tw_weight_pack_write(const char *path, uint32_t form,
                                    const struct tw_file_stamp *stamps, size_t n_stamps,
                                    const struct tw_pack_item *items, size_t n_items,
                                    tw_pack_go_on_fn go_on, void *context, struct tw_error *error)
{
    struct output out = {.error = error};
    struct header header = {.version = TW_PACK_VERSION,
                            .form = form,
                            .n_stamps = (uint32_t)n_stamps,
                            .n_entries = (uint32_t)n_items};
    memcpy(header.magic, magic, sizeof magic);
    if (n_items > TW_LIMIT_PACK_MATRICES || n_stamps > TW_LIMIT_MODEL_SHARDS || n_stamps == 0) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "%zu matrices of %zu files: more than a file of packed weights holds",
                            n_items, n_stamps);
    }
    struct entry *entries = tw_mem_zalloc(n_items, sizeof *entries);
    if (entries == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a directory");
    }
    const struct tw_file_stamp like = narrowest(stamps, n_stamps);
    enum tw_status status = tw_file_writer_open_like(path, &like, &out.file, error);
    if (status == TW_OK) {
        status = tw_file_writer_reserve(out.file, room_for(items, n_items), error);
        status = status != TW_OK ? status
                                 : put_body(&out, stamps, items, entries, &header, go_on, context);
        header.header_hash = header_hash(&header);
        status = status != TW_OK
                     ? status
                     : tw_file_writer_replace(out.file, 0, &header, sizeof header, error);
        if (status == TW_OK) {
            status = tw_file_writer_commit(out.file, error);
        } else {
            tw_file_writer_abort(out.file);
        }
    }
    tw_mem_free(entries);
    return status;
}
