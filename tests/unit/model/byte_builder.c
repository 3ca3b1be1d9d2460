#define _GNU_SOURCE
#include "byte_builder.h"

#include <assert.h>
#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void builder_free(struct builder *b)
{
    free(b->data);
    *b = (struct builder){0};
}

enum { EXACT_BYTES = 4096 };

/* Small files are exactly as many bytes as there are, so that a sanitizer sees a read behind them;
 * larger ones grow by doubling, or building them would take minutes. */
void build_bytes(struct builder *b, const void *bytes, size_t n_bytes)
{
    if (n_bytes == 0) {
        return;
    }
    size_t need = b->size_bytes + n_bytes;
    if (need > b->capacity_bytes) {
        b->capacity_bytes = need <= EXACT_BYTES ? need : 2 * need;
        b->data = realloc(b->data, b->capacity_bytes);
        assert(b->data != NULL);
    }
    memcpy(b->data + b->size_bytes, bytes, n_bytes);
    b->size_bytes += n_bytes;
}

void build_zeros(struct builder *b, size_t n_bytes)
{
    static const char zeros[65536];
    for (size_t left = n_bytes; left != 0;) {
        size_t piece = left < sizeof zeros ? left : sizeof zeros;
        build_bytes(b, zeros, piece);
        left -= piece;
    }
}

void build_u8(struct builder *b, uint8_t value)
{
    build_bytes(b, &value, sizeof value);
}

void build_u32(struct builder *b, uint32_t value)
{
    build_bytes(b, &value, sizeof value);
}

void build_u64(struct builder *b, uint64_t value)
{
    build_bytes(b, &value, sizeof value);
}

void build_f32(struct builder *b, float value)
{
    build_bytes(b, &value, sizeof value);
}

void build_pad(struct builder *b, size_t alignment_bytes)
{
    while (b->size_bytes % alignment_bytes != 0) {
        build_u8(b, 0);
    }
}

void builder_set_u32(struct builder *b, size_t at, uint32_t value)
{
    assert(at + sizeof value <= b->size_bytes);
    memcpy(b->data + at, &value, sizeof value);
}

void builder_set_u64(struct builder *b, size_t at, uint64_t value)
{
    assert(at + sizeof value <= b->size_bytes);
    memcpy(b->data + at, &value, sizeof value);
}

void build_gguf_head(struct builder *b, uint32_t version, uint64_t n_tensors, uint64_t n_keys)
{
    build_bytes(b, "GGUF", 4);
    build_u32(b, version);
    build_u64(b, n_tensors);
    build_u64(b, n_keys);
}

void build_gguf_string(struct builder *b, const char *text)
{
    build_u64(b, strlen(text));
    build_bytes(b, text, strlen(text));
}

void build_gguf_key(struct builder *b, const char *key, uint32_t type)
{
    build_gguf_string(b, key);
    build_u32(b, type);
}

void build_gguf_u32(struct builder *b, const char *key, uint32_t value)
{
    build_gguf_key(b, key, 4);
    build_u32(b, value);
}

void build_gguf_text(struct builder *b, const char *key, const char *value)
{
    build_gguf_key(b, key, 8);
    build_gguf_string(b, value);
}

void build_gguf_array(struct builder *b, const char *key, uint32_t type, uint64_t n_items)
{
    build_gguf_key(b, key, 9);
    build_u32(b, type);
    build_u64(b, n_items);
}

void build_gguf_tensor(struct builder *b, const char *name, uint64_t n_columns, uint64_t n_rows,
                       uint32_t type, uint64_t offset)
{
    build_gguf_string(b, name);
    build_u32(b, n_rows != 0 ? 2 : 1);
    build_u64(b, n_columns);
    if (n_rows != 0) {
        build_u64(b, n_rows);
    }
    build_u32(b, type);
    build_u64(b, offset);
}

void build_safetensors(struct builder *b, const char *header, size_t n_data_bytes)
{
    build_gguf_string(b, header); /* the same form: a length of 64 bits, then the text */
    build_zeros(b, n_data_bytes);
}

static void write_file(const char *path, const void *bytes, size_t n_bytes)
{
    FILE *file = fopen(path, "wb");
    assert(file != NULL);
    size_t n = n_bytes != 0 ? fwrite(bytes, 1, n_bytes, file) : 0;
    int closed = fclose(file);
    assert(n == n_bytes && closed == 0);
}

void builder_write(const struct builder *b, const char *path)
{
    write_file(path, b->data, b->size_bytes);
}

void write_text(const char *path, const char *text)
{
    write_file(path, text, strlen(text));
}

static char folder[64];

int enter_new_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "%s", "/tmp/tokenworks-test-XXXXXX");
    return mkdtemp(folder) != NULL && chdir(folder) == 0 ? 0 : -1;
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *place)
{
    (void)st;
    (void)kind;
    (void)place;
    return remove(path);
}

int leave_folder(void **state)
{
    (void)state;
    return chdir("/") == 0 ? nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS) : -1;
}
