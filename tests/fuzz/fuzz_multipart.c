/* Any bytes as a form: each part lies within it, and names have their ends. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api_batches.h"
#include "api/multipart.h"
#include "base/mem.h"
#include "fuzz_target.h"

/* The first line is a Content-Type, the rest is the form. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char type[300], boundary[TW_MULTIPART_BOUNDARY_BYTES];
    struct tw_multipart form;
    struct tw_error error;
    struct tw_buf user;
    const uint8_t *end = memchr(data, '\n', size);
    const size_t n_type = end != NULL ? (size_t)(end - data) : 0;
    snprintf(type, sizeof type, "%.*s", (int)(n_type < 299 ? n_type : 299), (const char *)data);
    const char *body = (const char *)data + (end != NULL ? n_type + 1 : 0);
    const size_t n_body = size - (size_t)((const uint8_t *)body - data);
    if (tw_multipart_boundary(type, boundary, &error) == TW_OK &&
        tw_multipart_parse(boundary, body, n_body, &form, &error) == TW_OK) {
        for (size_t i = 0; i < form.n_parts; i++) {
            const struct tw_multipart_part *part = &form.parts[i];
            assert(part->data >= body && part->n_bytes <= n_body &&
                   part->data + part->n_bytes <= body + n_body);
            assert(memchr(part->name, '\0', sizeof part->name) != NULL);
            assert(memchr(part->filename, '\0', sizeof part->filename) != NULL);
            assert(strchr(part->filename, '/') == NULL);
        }
    }
    tw_buf_init(&user, TW_LIMIT_SUBJECT_BYTES);
    tw_api_batch_user(body, n_body, &user);
    assert(user.size_bytes <= TW_LIMIT_SUBJECT_BYTES);
    tw_buf_free(&user);
    return 0;
}
