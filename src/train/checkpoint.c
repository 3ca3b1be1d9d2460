#include "train/checkpoint.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "text/lines.h"

enum { SHOWN_DIGITS = 15 }; /* of a number, that a double has to the last */

static const char magic[8] = {'T', 'W', 'T', 'R', 'A', 'I', 'N', '2'};

struct header {
    char magic[8];
    uint64_t n_values, n_history;
    double seconds;
    uint64_t recipe_bytes, outputs_bytes;
};

/* Both are written as they lie in memory. */
_Static_assert(sizeof(struct header) == 48, "a header without gaps");
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
    if (writer->status == TW_OK && n_bytes != 0) {
        tw_hash_add(writer->hash, bytes, n_bytes);
        writer->status = tw_file_writer_write(writer->file, bytes, n_bytes, writer->error);
    }
}

static void put_all(struct hashing_writer *writer, const struct tw_train_state *state)
{
    struct header header = {.n_values = state->n_values,
                            .n_history = state->n_history,
                            .seconds = state->seconds,
                            .recipe_bytes = state->recipe.size_bytes,
                            .outputs_bytes = state->outputs.size_bytes};
    memcpy(header.magic, magic, sizeof magic);
    size_t array_bytes = state->n_values * sizeof(float);
    put(writer, &header, sizeof header);
    put(writer, state->recipe.data, state->recipe.size_bytes);
    put(writer, state->outputs.data, state->outputs.size_bytes);
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

/* ---- the recipe of a file against the run's ---- */

/* The value of a line "key value", or NULL data. */
static struct tw_bytes value_of(struct tw_bytes recipe, struct tw_bytes key)
{
    struct tw_lines lines = {.text = recipe};
    for (struct tw_bytes line; tw_lines_next(&lines, &line);) {
        size_t n = key.size_bytes;
        if (line.size_bytes > n && line.data[n] == ' ' && memcmp(line.data, key.data, n) == 0) {
            return (struct tw_bytes){line.data + n + 1, line.size_bytes - n - 1};
        }
    }
    return (struct tw_bytes){0};
}

static int shown(struct tw_bytes text)
{
    return (int)(text.size_bytes < 24 ? text.size_bytes : 24);
}

static bool is_hash(struct tw_bytes value)
{
    return value.size_bytes != 0 && value.data[0] == '#';
}

/* "training.steps is 60, there 40; data.train has another content", at most SHOWN_KEYS of them. */
/* Lines have the shortest form of a number, "1.2e+04"; people count in 12000. */
static void write_value(struct tw_bytes value, struct tw_buf *out)
{
    char digits[SHOWN_DIGITS + 1] = "";
    size_t n = 0, at = 0, exponent = 0;
    for (; at < value.size_bytes && n < SHOWN_DIGITS && value.data[at] != 'e'; at++) {
        if (value.data[at] >= '0' && value.data[at] <= '9') {
            digits[n++] = value.data[at];
        } else if (value.data[at] != '.' || at != 1) {
            break;
        }
    }
    if (value.size_bytes == at + 4 && memcmp(value.data + at, "e+", 2) == 0) {
        exponent = (size_t)(value.data[at + 2] - '0') * 10 + (size_t)(value.data[at + 3] - '0');
    }
    if (n > 0 && exponent + 1 >= n && exponent > 0 && exponent < SHOWN_DIGITS) {
        tw_buf_append_format(out, "%s%.*s", digits, (int)(exponent + 1 - n), "000000000000000");
    } else {
        tw_buf_append_format(out, "%.*s", shown(value), value.data);
    }
}

static void list_differences(struct tw_bytes ours, struct tw_bytes theirs, struct tw_buf *text)
{
    enum { SHOWN_KEYS = 3 };
    size_t n = 0;
    struct tw_lines lines = {.text = ours};
    for (struct tw_bytes line; tw_lines_next(&lines, &line);) {
        const char *space = memchr(line.data, ' ', line.size_bytes);
        size_t key_bytes = space != NULL ? (size_t)(space - line.data) : line.size_bytes;
        struct tw_bytes key = {line.data, key_bytes};
        struct tw_bytes a = value_of(ours, key), b = value_of(theirs, key);
        if (a.data == NULL || (b.data != NULL && tw_bytes_equal(a, b)) || ++n > SHOWN_KEYS) {
            continue;
        }
        tw_buf_append_format(text, "%s%.*s ", n > 1 ? "; " : "", shown(key), key.data);
        if (b.data == NULL || is_hash(a) || is_hash(b)) {
            tw_buf_append_text(text, "has another content");
        } else {
            tw_buf_append_text(text, "is ");
            write_value(a, text);
            tw_buf_append_text(text, ", there ");
            write_value(b, text);
        }
    }
    if (n > SHOWN_KEYS) {
        tw_buf_append_format(text, "; and %zu more", n - SHOWN_KEYS);
    }
}

static struct tw_bytes bytes_of(const struct tw_buf *buf)
{
    return (struct tw_bytes){buf->size_bytes != 0 ? buf->data : "", buf->size_bytes};
}

static enum tw_status other_recipe(const char *name, struct tw_bytes ours, struct tw_bytes theirs,
                                   struct tw_error *error)
{
    struct tw_buf text;
    tw_buf_init(&text, TW_LIMIT_ERROR_TEXT_BYTES);
    list_differences(ours, theirs, &text);
    enum tw_status status = tw_error_set(
        error, TW_ERR_USAGE, TW_NO_POSITION,
        "'%.60s' belongs to another recipe (%.*s): delete it, name another output.folder, or go on "
        "from its model with training.start",
        name, (int)text.size_bytes, text.size_bytes != 0 ? text.data : "");
    tw_buf_free(&text);
    return status;
}

/* ---- the parts of a file ---- */

static enum tw_status check_magic(const struct header *header, const char *name,
                                  struct tw_error *error)
{
    if (memcmp(header->magic, magic, sizeof magic) == 0) {
        return TW_OK;
    }
    if (memcmp(header->magic, "TWTRAIN1", sizeof magic) == 0) {
        return tw_error_set(error, TW_ERR_UNSUPPORTED, TW_NO_POSITION,
                            "'%.100s' was written by an older version: delete it, or name another "
                            "output.folder; the older version can still --export its model",
                            name);
    }
    return damaged(name, "it does not begin with TWTRAIN2", error);
}

/* Both texts lie in the file, and the list of outputs ends a path. */
static enum tw_status check_texts(const struct header *header, const unsigned char *texts,
                                  size_t n_bytes, const char *name, struct tw_error *error)
{
    uint64_t recipe_bytes = header->recipe_bytes, outputs_bytes = header->outputs_bytes;
    if (recipe_bytes > TW_LIMIT_RECORD_BYTES || outputs_bytes > TW_LIMIT_RECORD_BYTES ||
        sizeof *header + recipe_bytes + outputs_bytes + sizeof(uint64_t) > n_bytes) {
        return damaged(name, "its texts are longer than it is", error);
    }
    if (outputs_bytes != 0 && texts[recipe_bytes + outputs_bytes - 1] != '\0') {
        return damaged(name, "its last path has no end", error);
    }
    return TW_OK;
}

/* n_values is the state's own and n_history at most its capacity before the size is reckoned. */
static enum tw_status check_numbers(const struct header *header, size_t n_bytes, const char *name,
                                    const struct tw_train_state *state, struct tw_error *error)
{
    if (header->n_values != state->n_values) {
        return damaged(name, "it has another number of weights than the recipe", error);
    }
    if (header->n_history > state->history_capacity) {
        return damaged(name, "it has more steps than the recipe", error);
    }
    uint64_t size_bytes = sizeof *header + header->recipe_bytes + header->outputs_bytes +
                          header->n_history * sizeof *state->history +
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

static enum tw_status take_outputs(struct tw_bytes outputs, struct tw_train_state *state,
                                   struct tw_error *error)
{
    if (tw_buf_append(&state->outputs, outputs.data, outputs.size_bytes)) {
        return TW_OK;
    }
    return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a checkpoint");
}

enum tw_status tw_checkpoint_parse(const void *bytes, size_t n_bytes, const char *name,
                                   struct tw_train_state *state, struct tw_error *error)
{
    struct header header;
    if (n_bytes < sizeof header + sizeof(uint64_t)) {
        return damaged(name, "it is too short", error);
    }
    enum tw_status status = check_sum(bytes, n_bytes, name, error);
    const unsigned char *p = take(&header, bytes, sizeof header);
    if (status == TW_OK) {
        status = check_magic(&header, name, error);
    }
    if (status == TW_OK) {
        status = check_texts(&header, p, n_bytes, name, error);
    }
    if (status != TW_OK) {
        return status;
    }
    struct tw_bytes recipe = {(const char *)p, header.recipe_bytes};
    struct tw_bytes outputs = {recipe.data + recipe.size_bytes, header.outputs_bytes};
    p += recipe.size_bytes + outputs.size_bytes;
    if (!tw_bytes_equal(recipe, bytes_of(&state->recipe))) {
        return header.n_history == 0 ? take_outputs(outputs, state, error)
                                     : other_recipe(name, bytes_of(&state->recipe), recipe, error);
    }
    status = check_numbers(&header, n_bytes, name, state, error);
    if (status == TW_OK) {
        status = check_history(p, header.n_history, name, error);
    }
    if (status == TW_OK) {
        status = take_outputs(outputs, state, error);
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
