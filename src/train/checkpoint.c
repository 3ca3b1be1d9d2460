#include "train/checkpoint.h"

#include <math.h>
#include <stdbool.h>
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

static enum tw_status damaged(const char *name, const char *what, struct tw_error *error)
{
    return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                        "'%.120s' is no whole checkpoint: %s; delete it to start anew", name, what);
}

static enum tw_status check_sum(const unsigned char *bytes, size_t n_bytes, const char *name,
                                struct tw_error *error)
{
    uint64_t checksum;
    struct tw_hash *hash = tw_hash_create();
    if (hash == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a checksum");
    }
    tw_hash_add(hash, bytes, n_bytes - sizeof checksum);
    memcpy(&checksum, bytes + n_bytes - sizeof checksum, sizeof checksum);
    bool is_equal = tw_hash_value(hash) == checksum;
    tw_hash_free(hash);
    return is_equal ? TW_OK : damaged(name, "its checksum is wrong", error);
}

/* n_values is the state's own and n_history at most its capacity before the size is reckoned. */
static enum tw_status check_header(const struct header *header, size_t n_bytes, const char *name,
                                   const struct tw_train_state *state, struct tw_error *error)
{
    if (memcmp(header->magic, magic, sizeof magic) != 0) {
        return damaged(name, "it does not begin with TWTRAIN1", error);
    }
    if (header->fingerprint != state->fingerprint || header->n_values != state->n_values) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "'%.120s' belongs to another recipe or other data; delete it, or give "
                            "the run another output folder",
                            name);
    }
    if (header->n_history > state->history_capacity) {
        return damaged(name, "it has more steps than the recipe", error);
    }
    uint64_t size_bytes = sizeof *header + header->n_history * sizeof *state->history +
                          3 * header->n_values * sizeof(float) + sizeof(uint64_t);
    return size_bytes == n_bytes ? TW_OK : damaged(name, "its size is wrong", error);
}

/* Whoever draws or prints the points may count on it. */
static enum tw_status check_history(const unsigned char *points, uint64_t n, const char *name,
                                    struct tw_error *error)
{
    for (uint64_t i = 0; i < n; i++) {
        struct tw_train_point point;
        memcpy(&point, points + i * sizeof point, sizeof point);
        if (point.step != i || !isfinite(point.loss) || isinf(point.valid_loss)) {
            return damaged(name, "its history has a step that cannot be", error);
        }
    }
    return TW_OK;
}

static const unsigned char *take(void *to, const unsigned char *from, size_t n_bytes)
{
    if (n_bytes != 0) {
        memcpy(to, from, n_bytes);
    }
    return from + n_bytes;
}

enum tw_status tw_checkpoint_parse(const void *bytes, size_t n_bytes, const char *name,
                                   struct tw_train_state *state, struct tw_error *error)
{
    struct header header;
    if (n_bytes < sizeof header + sizeof(uint64_t)) {
        return damaged(name, "it is too short", error);
    }
    enum tw_status status = check_sum(bytes, n_bytes, name, error);
    if (status != TW_OK) {
        return status;
    }
    const unsigned char *p = take(&header, bytes, sizeof header);
    status = check_header(&header, n_bytes, name, state, error);
    if (status == TW_OK) {
        status = check_history(p, header.n_history, name, error);
    }
    if (status != TW_OK) {
        return status;
    }
    size_t array_bytes = header.n_values * sizeof(float);
    p = take(state->history, p, header.n_history * sizeof *state->history);
    p = take(state->weights, p, array_bytes);
    p = take(state->m, p, array_bytes);
    take(state->v, p, array_bytes);
    state->n_history = (uint32_t)header.n_history;
    state->seconds = header.seconds;
    return TW_OK;
}

enum tw_status tw_checkpoint_read(const char *path, struct tw_train_state *state,
                                  struct tw_error *error)
{
    struct tw_file_map map;
    enum tw_status status = tw_file_map_open(path, &map, error);
    if (status == TW_OK) {
        status = tw_checkpoint_parse(map.data, map.size_bytes, path, state, error);
        tw_file_map_close(&map);
    }
    return status;
}
