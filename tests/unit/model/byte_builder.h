/* byte_builder.h: files for tests, byte by byte, independent of the code that writes them for real.
 *
 * A builder is bytes that grow; the build_* functions append. Offsets noted while building are
 * where a test then breaks something. Ownership: free with builder_free.
 */
#ifndef TW_TEST_BYTE_BUILDER_H
#define TW_TEST_BYTE_BUILDER_H

#include <stddef.h>
#include <stdint.h>

struct builder {
    unsigned char *data;
    size_t size_bytes;
    size_t capacity_bytes;
};

void builder_free(struct builder *b);

void build_bytes(struct builder *b, const void *bytes, size_t n_bytes);
void build_zeros(struct builder *b, size_t n_bytes);
void build_u8(struct builder *b, uint8_t value);
void build_u32(struct builder *b, uint32_t value);
void build_u64(struct builder *b, uint64_t value);
void build_f32(struct builder *b, float value);
void build_pad(struct builder *b, size_t alignment_bytes);

/* Overwrites. */
void builder_set_u32(struct builder *b, size_t at, uint32_t value);
void builder_set_u64(struct builder *b, size_t at, uint64_t value);

/* ---- GGUF ---- */

void build_gguf_head(struct builder *b, uint32_t version, uint64_t n_tensors, uint64_t n_keys);
/* A length of 64 bits, then the text. */
void build_gguf_string(struct builder *b, const char *text);
/* Key and type; the value follows. */
void build_gguf_key(struct builder *b, const char *key, uint32_t type);
void build_gguf_u32(struct builder *b, const char *key, uint32_t value);
void build_gguf_text(struct builder *b, const char *key, const char *value);
/* Key, array type, item type, length; the items follow. */
void build_gguf_array(struct builder *b, const char *key, uint32_t type, uint64_t n_items);
/* n_columns or, with n_rows above 0, a matrix. */
void build_gguf_tensor(struct builder *b, const char *name, uint64_t n_columns, uint64_t n_rows,
                       uint32_t type, uint64_t offset);

/* ---- safetensors ---- */

void build_safetensors(struct builder *b, const char *header, size_t n_data_bytes);

/* ---- files ---- */

/* Asserts that it could. */
void builder_write(const struct builder *b, const char *path);
void write_text(const char *path, const char *text);

/* A new empty folder as the working directory, and back out of it with everything in it removed:
 * set-up and tear-down functions of a test. */
int enter_new_folder(void **state);
int leave_folder(void **state);

#endif
