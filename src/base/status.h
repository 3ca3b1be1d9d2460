/* status.h: the one error vocabulary of the program.
 *
 * A function that can fail returns enum tw_status and gives its results through ret_ parameters,
 * which stay untouched on failure. Where a user can act on the reason, it also fills an optional
 * struct tw_error with a position and a sentence.
 *
 * Errors are for what the world does wrong: files, users, machines. Our own mistakes are asserts.
 */
#ifndef TW_BASE_STATUS_H
#define TW_BASE_STATUS_H

#include <stdint.h>

#include "base/limits.h"

enum tw_status {
    TW_OK = 0,
    TW_ERR_USAGE,       /* the caller's words are off: options, parameters */
    TW_ERR_NOT_FOUND,   /* a file, a model, a tensor that should be there is not */
    TW_ERR_IO,          /* the operating system refused a read, a write, a map */
    TW_ERR_FORMAT,      /* a file or text breaks its own format */
    TW_ERR_UNSUPPORTED, /* well-formed, but nothing we can run */
    TW_ERR_LIMIT,       /* a bound of limits.h or of the configuration was reached */
    TW_ERR_MEMORY,      /* memory could not be had */
    TW_ERR_CANCELLED,   /* stopped on request */
    TW_ERR_MISSED,      /* everything ran, but a result is below what was asked for */
    TW_ERR_DENIED,      /* who asks may not */
    TW_STATUS_COUNT
};

/* position: a byte offset in the input where one makes sense, otherwise TW_NO_POSITION. */
#define TW_NO_POSITION UINT64_MAX

struct tw_error {
    enum tw_status status;
    uint64_t position;
    char text[TW_LIMIT_ERROR_TEXT_BYTES]; /* one line, no newline, always terminated */
};

/* A fixed English word, e.g. "format". Never NULL. */
const char *tw_status_name(enum tw_status status);

/* The process exit code of docs/exit-codes.md: 0, or one number a kind. */
int tw_status_exit_code(enum tw_status status);

/* Fills *error (which may be NULL) and returns status, so that a failure is one line:
 *     return tw_error_set(error, TW_ERR_FORMAT, offset, "tensor '%s': ...", name);
 * The text is made printable (base/printable.h): names come from hostile files and end on
 * terminals. It must not be formatted from error->text itself; tw_error_prefix is for that. */
enum tw_status tw_error_set(struct tw_error *error, enum tw_status status, uint64_t position,
                            const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Puts "prefix: " before the text already in *error (which may be NULL). */
void tw_error_prefix(struct tw_error *error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
