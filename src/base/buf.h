/* buf.h: a byte buffer that grows up to a bound.
 *
 * Appending never half-succeeds: either all bytes are in, or the buffer is marked `failed` and
 * stays as it was. A writer of many pieces may therefore append blindly and look at `failed` once.
 *
 * Ownership: the buffer owns data until tw_buf_free. Threads: one at a time.
 */
#ifndef TW_BASE_BUF_H
#define TW_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>

struct tw_buf {
    char *data; /* NULL while empty */
    size_t size_bytes;
    size_t capacity_bytes;
    size_t bound_bytes;
    bool failed;
};

void tw_buf_init(struct tw_buf *buf, size_t bound_bytes);
void tw_buf_free(struct tw_buf *buf);

/* Empties the buffer and keeps its memory. */
void tw_buf_clear(struct tw_buf *buf);

/* False (and buf->failed) when the bound or memory is reached. */
bool tw_buf_append(struct tw_buf *buf, const void *bytes, size_t n_bytes);
bool tw_buf_append_text(struct tw_buf *buf, const char *text);
bool tw_buf_append_format(struct tw_buf *buf, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Bytes as base64 (RFC 4648, padded). */
bool tw_buf_append_base64(struct tw_buf *buf, const void *bytes, size_t n_bytes);

/* Removes the first n_bytes (at most size_bytes). */
void tw_buf_drop_front(struct tw_buf *buf, size_t n_bytes);

#endif
