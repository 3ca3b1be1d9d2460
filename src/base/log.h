/* log.h: what the program says about itself on standard error.
 *
 * Two forms of the same record: human text for commands, one JSON object a line for the server. A
 * record is one line whatever its strings hold; one that is too long goes out without its fields.
 * A record carries the request id and the W3C traceparent where there is one, and never content:
 * no prompt, no completion, no key. Library layers log at debug only; policy lives in app.
 * Threads: any; a record is one write(2).
 */
#ifndef TW_BASE_LOG_H
#define TW_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum tw_log_level { TW_LOG_DEBUG = 0, TW_LOG_INFO, TW_LOG_WARN, TW_LOG_ERROR };
enum tw_log_form { TW_LOG_TEXT = 0, TW_LOG_JSON };

/* Which request a record belongs to. Either string may be NULL. */
struct tw_log_context {
    const char *request_id;
    const char *traceparent;
};

/* A named value of a record: text when text is not NULL, otherwise the number. */
struct tw_log_field {
    const char *name;
    const char *text;
    int64_t number;
};

/* Records below `lowest` are dropped. fd is not owned. Call before other threads start. */
void tw_log_setup(enum tw_log_form form, enum tw_log_level lowest, int fd);

bool tw_log_enabled(enum tw_log_level level);

/* One record. context and fields may be NULL (then n_fields is 0). */
void tw_log_record(enum tw_log_level level, const struct tw_log_context *context,
                   const char *message, const struct tw_log_field *fields, int n_fields);

/* A record with nothing but a message, in printf's form. */
void tw_log(enum tw_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
