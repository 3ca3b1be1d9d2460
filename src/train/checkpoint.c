#include "train/checkpoint.h"

#include <string.h>

#include "base/file.h"
#include "base/hash.h"

static const char magic[8] = {'T', 'W', 'T', 'R', 'A', 'I', 'N', '1'};

struct header {
    char magic[8];
    uint64_t fingerprint, n_values, n_history;
    double seconds;
};

/* Both are written as they lie in memory. */
_Static_assert(sizeof(struct header) == 40, "a header without gaps");
_Static_assert(sizeof(struct tw_train_point) == 20, "points without gaps");

/* ---- writing ---- */

struct hashing_writer {
    struct tw_file_writer *file;
    struct tw_hash *hash;
    enum tw_status status; /* once it is not TW_OK, nothing more is written */
    struct tw_error *error;
};

static void put(struct hashing_writer *writer, const void *bytes, size_t n_bytes)
{
    if (writer->status == TW_OK) {
        tw_hash_add(writer->hash, bytes, n_bytes);
        writer->status = tw_file_writer_write(writer->file, bytes, n_bytes, writer->error);
    }
}

static void put_all(struct hashing_writer *writer, const struct tw_train_state *state)
{
    struct header header = {.fingerprint = state->fingerprint,
                            .n_values = state->n_values,
                            .n_history = state->n_history,
                            .seconds = state->seconds};
    memcpy(header.magic, magic, sizeof magic);
    size_t array_bytes = state->n_values * sizeof(float);
    put(writer, &header, sizeof header);
    put(writer, state->history, state->n_history * sizeof *state->history);
    put(writer, state->weights, array_bytes);
    put(writer, state->m, array_bytes);
    put(writer, state->v, array_bytes);
    uint64_t checksum = tw_hash_value(writer->hash);
    put(writer, &checksum, sizeof checksum);
}

enum tw_status tw_checkpoint_write(const char *path, const struct tw_train_state *state,
                                   struct tw_error *error)
{
    struct hashing_writer writer = {.hash = tw_hash_create(), .error = error};
    if (writer.hash == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a checksum");
    }
    writer.status = tw_file_writer_open(path, &writer.file, error);
    if (writer.status == TW_OK) {
        put_all(&writer, state);
        if (writer.status == TW_OK) {
            writer.status = tw_file_writer_commit(writer.file, error);
        } else {
            tw_file_writer_abort(writer.file);
        }
    }
    tw_hash_free(writer.hash);
    return writer.status;
}

/* ---- reading ---- */

static enum tw_status damaged(const char *path, const char *what, struct tw_error *error)
{
    return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                        "'%.120s' is no whole checkpoint: %s; delete it to start anew", path, what);
}

static enum tw_status check_header(const char *path, const struct header *header,
                                   const struct tw_file_map *map,
                                   const struct tw_train_state *state, struct tw_error *error)
{
    if (memcmp(header->magic, magic, sizeof magic) != 0) {
        return damaged(path, "it does not begin with TWTRAIN1", error);
    }
    if (header->fingerprint != state->fingerprint || header->n_values != state->n_values) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "'%.120s' belongs to another recipe or other data; delete it, or give "
                            "the run another output folder",
                            path);
    }
    if (header->n_history > state->history_capacity) {
        return damaged(path, "it has more steps than the recipe", error);
    }
    uint64_t size_bytes = sizeof *header + header->n_history * sizeof *state->history +
                          3 * header->n_values * sizeof(float) + sizeof(uint64_t);
    return size_bytes == map->size_bytes ? TW_OK : damaged(path, "its size is wrong", error);
}

static enum tw_status read_map(const char *path, const struct tw_file_map *map,
                               struct tw_train_state *state, struct tw_error *error)
{
    struct header header;
    if (map->size_bytes < sizeof header) {
        return damaged(path, "it is too short", error);
    }
    memcpy(&header, map->data, sizeof header);
    enum tw_status status = check_header(path, &header, map, state, error);
    if (status != TW_OK) {
        return status;
    }
    const unsigned char *p = map->data + sizeof header;
    size_t history_bytes = header.n_history * sizeof *state->history;
    size_t array_bytes = header.n_values * sizeof(float);
    memcpy(state->history, p, history_bytes);
    memcpy(state->weights, p + history_bytes, array_bytes);
    memcpy(state->m, p + history_bytes + array_bytes, array_bytes);
    memcpy(state->v, p + history_bytes + 2 * array_bytes, array_bytes);
    state->n_history = (uint32_t)header.n_history;
    state->seconds = header.seconds;
    return TW_OK;
}

static enum tw_status check_sum(const char *path, const struct tw_file_map *map,
                                struct tw_error *error)
{
    uint64_t checksum;
    if (map->size_bytes < sizeof checksum) {
        return damaged(path, "it is too short", error);
    }
    struct tw_hash *hash = tw_hash_create();
    if (hash == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a checksum");
    }
    size_t n_bytes = map->size_bytes - sizeof checksum;
    tw_hash_add(hash, map->data, n_bytes);
    memcpy(&checksum, map->data + n_bytes, sizeof checksum);
    bool is_equal = tw_hash_value(hash) == checksum;
    tw_hash_free(hash);
    return is_equal ? TW_OK : damaged(path, "its checksum is wrong", error);
}

enum tw_status tw_checkpoint_read(const char *path, struct tw_train_state *state,
                                  struct tw_error *error)
{
    struct tw_file_map map;
    enum tw_status status = tw_file_map_open(path, &map, error);
    if (status == TW_OK) {
        status = check_sum(path, &map, error);
        if (status == TW_OK) {
            status = read_map(path, &map, state, error);
        }
        tw_file_map_close(&map);
    }
    return status;
}
