#define _GNU_SOURCE /* memmem */
#include "api/multipart.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* The value of a parameter behind a header's value: name=token or name="quoted". False: it is not
 * there, or has no end or no room. */
static bool read_parameter(const char *text, size_t n_bytes, const char *name, char *out,
                           size_t out_bytes)
{
    const size_t n_name = strlen(name);
    bool is_quoted = false;
    for (size_t i = 0; i + n_name + 1 < n_bytes; i++) {
        is_quoted ^= text[i] == '"';
        const bool begins = !is_quoted && (text[i] == ';' || text[i] == ' ');
        if (!begins || strncasecmp(text + i + 1, name, n_name) != 0 ||
            text[i + 1 + n_name] != '=') {
            continue;
        }
        size_t at = i + n_name + 2, n = 0;
        const bool has_quotes = at < n_bytes && text[at] == '"';
        at += has_quotes;
        while (at < n_bytes &&
               (has_quotes ? text[at] != '"' : text[at] != ';' && text[at] != ' ')) {
            at += has_quotes && text[at] == '\\' && at + 1 < n_bytes;
            if (n + 1 >= out_bytes) {
                return false;
            }
            out[n++] = text[at++];
        }
        out[n] = '\0';
        return !has_quotes || at < n_bytes;
    }
    return false;
}

enum tw_status tw_multipart_boundary(const char *content_type,
                                     char ret_boundary[TW_MULTIPART_BOUNDARY_BYTES],
                                     struct tw_error *error)
{
    static const char type[] = "multipart/form-data";
    if (content_type == NULL || strncasecmp(content_type, type, sizeof type - 1) != 0) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "a file is sent as multipart/form-data, with the fields 'file' and "
                            "'purpose'");
    }
    if (!read_parameter(content_type, strlen(content_type), "boundary", ret_boundary,
                        TW_MULTIPART_BOUNDARY_BYTES) ||
        ret_boundary[0] == '\0') {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "the Content-Type must name a boundary of 1 to %d characters",
                            TW_MULTIPART_BOUNDARY_BYTES - 1);
    }
    return TW_OK;
}

static enum tw_status refuse(struct tw_error *error, size_t at, const char *what)
{
    return tw_error_set(error, TW_ERR_FORMAT, (int64_t)at, "the form is broken at byte %zu: %s", at,
                        what);
}

/* Where a line that begins with the delimiter is, from `at` on; NULL: there is none. */
static const char *find_delimiter(const char *body, size_t body_bytes, size_t at,
                                  const char *delimiter, size_t n_delimiter)
{
    return at <= body_bytes ? memmem(body + at, body_bytes - at, delimiter, n_delimiter) : NULL;
}

static enum tw_status read_head(const char *body, size_t at, size_t n_head,
                                struct tw_multipart_part *part, struct tw_error *error)
{
    static const char disposition[] = "Content-Disposition:";
    const char *line = body + at, *end = body + at + n_head;
    while (line < end) {
        const char *stop = memmem(line, (size_t)(end - line), "\r\n", 2);
        const size_t n = stop != NULL ? (size_t)(stop - line) : (size_t)(end - line);
        if (n >= sizeof disposition &&
            strncasecmp(line, disposition, sizeof disposition - 1) == 0) {
            if (!read_parameter(line, n, "name", part->name, sizeof part->name)) {
                return refuse(error, (size_t)(line - body), "a part needs a name");
            }
            if (!read_parameter(line, n, "filename", part->filename, sizeof part->filename)) {
                part->filename[0] = '\0';
            }
            const char *slash = strrchr(part->filename, '/');
            if (slash != NULL) {
                memmove(part->filename, slash + 1, strlen(slash + 1) + 1);
            }
            return TW_OK;
        }
        line += n + 2;
    }
    return refuse(error, at, "a part has no Content-Disposition");
}

/* One part, from behind its delimiter's line; *at: behind its data. */
static enum tw_status read_part(const char *body, size_t body_bytes, const char *delimiter,
                                size_t n_delimiter, size_t *at, struct tw_multipart_part *part,
                                struct tw_error *error)
{
    const size_t n_left = body_bytes - *at;
    const size_t n_search =
        n_left < TW_LIMIT_MULTIPART_HEAD_BYTES ? n_left : TW_LIMIT_MULTIPART_HEAD_BYTES;
    const char *blank = memmem(body + *at, n_search, "\r\n\r\n", 4);
    if (blank == NULL) {
        return n_search < n_left ? tw_error_set(error, TW_ERR_LIMIT, (int64_t)*at,
                                                "the head of a part has more than %d bytes",
                                                TW_LIMIT_MULTIPART_HEAD_BYTES)
                                 : refuse(error, *at, "a part's head has no end");
    }
    enum tw_status status = read_head(body, *at, (size_t)(blank - (body + *at)), part, error);
    if (status != TW_OK) {
        return status;
    }
    const size_t first = (size_t)(blank - body) + 4;
    /* the line end before it belongs to the delimiter; that of an empty part is the head's */
    const char *end = find_delimiter(body, body_bytes, first - 2, delimiter, n_delimiter);
    if (end == NULL) {
        return refuse(error, first, "a part has no end");
    }
    part->data = body + first;
    part->n_bytes = (size_t)(end - body) > first ? (size_t)(end - body) - first : 0;
    *at = (size_t)(end - body) + n_delimiter;
    return TW_OK;
}

enum tw_status tw_multipart_parse(const char *boundary, const char *body, size_t body_bytes,
                                  struct tw_multipart *ret_form, struct tw_error *error)
{
    char delimiter[TW_MULTIPART_BOUNDARY_BYTES + 4];
    const size_t n_delimiter = (size_t)snprintf(delimiter, sizeof delimiter, "\r\n--%s", boundary);
    ret_form->n_parts = 0;
    /* the first one has no line end before it, where nothing stands before the form */
    size_t at = 0;
    if (body_bytes >= n_delimiter - 2 && memcmp(body, delimiter + 2, n_delimiter - 2) == 0) {
        at = n_delimiter - 2;
    } else {
        const char *first = find_delimiter(body, body_bytes, 0, delimiter, n_delimiter);
        if (first == NULL) {
            return refuse(error, 0, "its boundary is not in it");
        }
        at = (size_t)(first - body) + n_delimiter;
    }
    for (;;) {
        if (body_bytes - at >= 2 && memcmp(body + at, "--", 2) == 0) {
            return TW_OK;
        }
        while (at < body_bytes && (body[at] == ' ' || body[at] == '\t')) {
            at++;
        }
        if (body_bytes - at < 2 || memcmp(body + at, "\r\n", 2) != 0) {
            return refuse(error, at, "a boundary's line has no end");
        }
        at += 2;
        if (ret_form->n_parts == TW_LIMIT_MULTIPART_PARTS) {
            return tw_error_set(error, TW_ERR_LIMIT, (int64_t)at,
                                "the form has more than %d fields", TW_LIMIT_MULTIPART_PARTS);
        }
        struct tw_multipart_part *part = &ret_form->parts[ret_form->n_parts++];
        enum tw_status status =
            read_part(body, body_bytes, delimiter, n_delimiter, &at, part, error);
        if (status != TW_OK) {
            return status;
        }
    }
}

const struct tw_multipart_part *tw_multipart_find(const struct tw_multipart *form, const char *name)
{
    for (size_t i = 0; i < form->n_parts; i++) {
        if (strcmp(form->parts[i].name, name) == 0) {
            return &form->parts[i];
        }
    }
    return NULL;
}
