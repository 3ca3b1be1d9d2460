#include "base/status.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/printable.h"

static const struct {
    const char *name;
    int exit_code;
} status_rows[TW_STATUS_COUNT] = {
    [TW_OK] = {"ok", 0},
    [TW_ERR_USAGE] = {"usage", 2},
    [TW_ERR_NOT_FOUND] = {"not found", 3},
    [TW_ERR_IO] = {"input/output", 4},
    [TW_ERR_FORMAT] = {"format", 5},
    [TW_ERR_UNSUPPORTED] = {"unsupported", 6},
    [TW_ERR_LIMIT] = {"limit", 7},
    [TW_ERR_MEMORY] = {"memory", 8},
    [TW_ERR_CANCELLED] = {"cancelled", 130},
    [TW_ERR_MISSED] = {"missed", 9},
    [TW_ERR_DENIED] = {"denied", 10},
};

const char *tw_status_name(enum tw_status status)
{
    assert(status >= TW_OK && status < TW_STATUS_COUNT);
    return status_rows[status].name;
}

int tw_status_exit_code(enum tw_status status)
{
    assert(status >= TW_OK && status < TW_STATUS_COUNT);
    return status_rows[status].exit_code;
}

enum tw_status tw_error_set(struct tw_error *error, enum tw_status status, uint64_t position,
                            const char *format, ...)
{
    assert(status != TW_OK);
    if (error != NULL) {
        va_list args;
        va_start(args, format);
        vsnprintf(error->text, sizeof error->text, format, args);
        va_end(args);
        tw_printable_clean(error->text, strlen(error->text));
        error->status = status;
        error->position = position;
    }
    return status;
}

void tw_error_prefix(struct tw_error *error, const char *format, ...)
{
    if (error == NULL) {
        return;
    }
    char old[sizeof error->text];
    memcpy(old, error->text, sizeof old);
    va_list args;
    va_start(args, format);
    int n = vsnprintf(error->text, sizeof error->text, format, args);
    va_end(args);
    if (n >= 0 && (size_t)n < sizeof error->text) {
        snprintf(error->text + n, sizeof error->text - (size_t)n, ": %s", old);
    }
    tw_printable_clean(error->text, strlen(error->text));
}
