/* multipart.h: a form with files, as browsers and clients send it (RFC 7578, RFC 2046).
 *
 *     --BOUNDARY CRLF head CRLF CRLF data CRLF --BOUNDARY ... --BOUNDARY--
 *
 * Ownership: parts point into the body. Threads: any. Errors: TW_ERR_FORMAT with the place;
 * TW_ERR_LIMIT for more parts or longer heads than limits.h has.
 */
#ifndef TW_API_MULTIPART_H
#define TW_API_MULTIPART_H

#include <stddef.h>

#include "base/limits.h"
#include "base/status.h"

enum { TW_MULTIPART_BOUNDARY_BYTES = 71, TW_MULTIPART_NAME_BYTES = 256 };

struct tw_multipart_part {
    char name[TW_MULTIPART_NAME_BYTES];
    char filename[TW_MULTIPART_NAME_BYTES]; /* without folders; "" where it is no file */
    const char *data;                       /* [n_bytes] */
    size_t n_bytes;
};

struct tw_multipart {
    struct tw_multipart_part parts[TW_LIMIT_MULTIPART_PARTS]; /* [n_parts] */
    size_t n_parts;
};

/* The boundary that a Content-Type names. NULL is no such type: TW_ERR_FORMAT. */
enum tw_status tw_multipart_boundary(const char *content_type,
                                     char ret_boundary[TW_MULTIPART_BOUNDARY_BYTES],
                                     struct tw_error *error);
enum tw_status tw_multipart_parse(const char *boundary, const char *body, size_t body_bytes,
                                  struct tw_multipart *ret_form, struct tw_error *error);
/* NULL: there is none of that name. */
const struct tw_multipart_part *tw_multipart_find(const struct tw_multipart *form,
                                                  const char *name);

#endif
