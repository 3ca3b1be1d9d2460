/* serve_check.h: whether what `tokenworks serve` is told can be used.
 *
 * Threads: the main thread only. Errors: those of what is looked at.
 */
#ifndef TW_APP_SERVE_CHECK_H
#define TW_APP_SERVE_CHECK_H

#include "app/serve_args.h"
#include "app/serve_place.h"
#include "base/buf.h"

/* Whether the options agree with each other: without keys nobody but this machine may ask. */
enum tw_status tw_serve_check_options(const struct tw_serve_args *args,
                                      const struct tw_serve_place *place, struct tw_error *error);

/* The texts of the certificate and its key, which are checked; empty where there is none. Whatever
 * comes of it, the caller frees them. */
enum tw_status tw_serve_read_certificate(const struct tw_serve_args *args, struct tw_buf *ret_cert,
                                         struct tw_buf *ret_key, struct tw_error *error);

/* Looks at everything that can be looked at without serving, and prints a line on each: "ok: ..."
 * on standard output, errors where errors go. The exit code: that of the first error, or 0. */
int tw_serve_check(struct tw_serve_args *args);

#endif
