#include "base/buf.h"

#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

void tw_buf_init(struct tw_buf *buf, size_t bound_bytes)
{
    *buf = (struct tw_buf){.bound_bytes = bound_bytes};
}

void tw_buf_free(struct tw_buf *buf)
{
    tw_mem_free(buf->data);
    tw_buf_init(buf, buf->bound_bytes);
}

void tw_buf_clear(struct tw_buf *buf)
{
    buf->size_bytes = 0;
    buf->failed = false;
}

static bool reserve(struct tw_buf *buf, size_t n_bytes)
{
    if (n_bytes > buf->bound_bytes - buf->size_bytes) {
        return false;
    }
    size_t need = buf->size_bytes + n_bytes;
    if (need <= buf->capacity_bytes) {
        return true;
    }
    size_t capacity = buf->capacity_bytes != 0 ? buf->capacity_bytes * 2 : 256;
    if (capacity < need) {
        capacity = need;
    }
    if (capacity > buf->bound_bytes) {
        capacity = buf->bound_bytes;
    }
    char *data = tw_mem_realloc(buf->data, capacity, 1);
    if (data == NULL) {
        return false;
    }
    buf->data = data;
    buf->capacity_bytes = capacity;
    return true;
}

bool tw_buf_append(struct tw_buf *buf, const void *bytes, size_t n_bytes)
{
    if (buf->failed || !reserve(buf, n_bytes)) {
        buf->failed = true;
        return false;
    }
    if (n_bytes != 0) {
        memcpy(buf->data + buf->size_bytes, bytes, n_bytes);
        buf->size_bytes += n_bytes;
    }
    return true;
}

bool tw_buf_append_text(struct tw_buf *buf, const char *text)
{
    return tw_buf_append(buf, text, strlen(text));
}

bool tw_buf_append_format(struct tw_buf *buf, const char *format, ...)
{
    char small[512];
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(small, sizeof small, format, args);
    va_end(args);
    bool ok = false;
    if (n >= 0 && (size_t)n < sizeof small) {
        ok = tw_buf_append(buf, small, (size_t)n);
    } else if (n >= 0) {
        char *large = tw_mem_alloc((size_t)n + 1, 1);
        if (large != NULL) {
            vsnprintf(large, (size_t)n + 1, format, again);
            ok = tw_buf_append(buf, large, (size_t)n);
            tw_mem_free(large);
        }
    }
    va_end(again);
    buf->failed = buf->failed || !ok;
    return ok;
}

bool tw_buf_append_base64(struct tw_buf *buf, const void *bytes, size_t n_bytes)
{
    const size_t n_characters = (n_bytes + 2) / 3 * 4;
    if (buf->failed || !reserve(buf, n_characters + 1)) { /* the library ends it with a zero */
        buf->failed = true;
        return false;
    }
    sodium_bin2base64(buf->data + buf->size_bytes, n_characters + 1, bytes, n_bytes,
                      sodium_base64_VARIANT_ORIGINAL);
    buf->size_bytes += n_characters;
    return true;
}

void tw_buf_drop_front(struct tw_buf *buf, size_t n_bytes)
{
    if (n_bytes > buf->size_bytes) {
        n_bytes = buf->size_bytes;
    }
    if (n_bytes != 0) {
        memmove(buf->data, buf->data + n_bytes, buf->size_bytes - n_bytes);
        buf->size_bytes -= n_bytes;
    }
}
