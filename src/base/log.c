#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/printable.h"

#define RECORD_BYTES  8192
#define MESSAGE_BYTES 1024

static struct {
    enum tw_log_form form;
    enum tw_log_level lowest;
    int fd;
} settings = {TW_LOG_TEXT, TW_LOG_INFO, STDERR_FILENO};

static const char *const level_names[] = {"debug", "info", "warn", "error"};

void tw_log_setup(enum tw_log_form form, enum tw_log_level lowest, int fd)
{
    settings.form = form;
    settings.lowest = lowest;
    settings.fd = fd;
}

bool tw_log_enabled(enum tw_log_level level)
{
    return level >= settings.lowest;
}

static void write_time(struct tw_json_writer *writer)
{
    int64_t now_ns = tw_clock_wall_ns();
    time_t seconds = (time_t)(now_ns / TW_SECOND_NS);
    struct tm parts;
    gmtime_r(&seconds, &parts);
    char day[32], text[48];
    strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(text, sizeof text, "%s.%06dZ", day, (int)(now_ns / 1000 % 1000000));
    tw_json_key(writer, "time");
    tw_json_text(writer, text);
}

static void write_named(struct tw_json_writer *writer, const char *name, const char *text)
{
    if (text != NULL) {
        tw_json_key(writer, name);
        tw_json_text(writer, text);
    }
}

static void format_json(struct tw_buf *buf, enum tw_log_level level,
                        const struct tw_log_context *context, const char *message,
                        const struct tw_log_field *fields, int n_fields)
{
    struct tw_json_writer writer;
    tw_json_begin(&writer, buf);
    tw_json_object_begin(&writer);
    write_time(&writer);
    write_named(&writer, "level", level_names[level]);
    write_named(&writer, "message", message);
    if (context != NULL) {
        write_named(&writer, "request_id", context->request_id);
        write_named(&writer, "traceparent", context->traceparent);
    }
    for (int i = 0; i < n_fields; i++) {
        tw_json_key(&writer, fields[i].name);
        if (fields[i].text != NULL) {
            tw_json_text(&writer, fields[i].text);
        } else {
            tw_json_int(&writer, fields[i].number);
        }
    }
    tw_json_object_end(&writer);
}

static void format_text(struct tw_buf *buf, enum tw_log_level level, const char *message,
                        const struct tw_log_field *fields, int n_fields)
{
    tw_buf_append_format(buf, "tokenworks: %s%s%s", level == TW_LOG_INFO ? "" : level_names[level],
                         level == TW_LOG_INFO ? "" : ": ", message);
    for (int i = 0; i < n_fields; i++) {
        if (fields[i].text != NULL) {
            tw_buf_append_format(buf, " %s=%s", fields[i].name, fields[i].text);
        } else {
            tw_buf_append_format(buf, " %s=%lld", fields[i].name, (long long)fields[i].number);
        }
    }
}

static void format_record(struct tw_buf *buf, enum tw_log_level level,
                          const struct tw_log_context *context, const char *message,
                          const struct tw_log_field *fields, int n_fields)
{
    tw_buf_clear(buf);
    if (settings.form == TW_LOG_JSON) {
        format_json(buf, level, context, message, fields, n_fields);
    } else {
        format_text(buf, level, message, fields, n_fields);
        tw_printable_clean(buf->data, buf->size_bytes);
    }
    tw_buf_append(buf, "\n", 1);
}

void tw_log_record(enum tw_log_level level, const struct tw_log_context *context,
                   const char *message, const struct tw_log_field *fields, int n_fields)
{
    if (!tw_log_enabled(level)) {
        return;
    }
    struct tw_buf buf;
    tw_buf_init(&buf, RECORD_BYTES);
    format_record(&buf, level, context, message, fields, n_fields);
    if (buf.failed) {
        char start[MESSAGE_BYTES];
        snprintf(start, sizeof start, "%s", message);
        format_record(&buf, level, NULL, start, NULL, 0);
    }
    ssize_t written;
    do {
        written = write(settings.fd, buf.data, buf.size_bytes);
    } while (written < 0 && errno == EINTR); /* any other failure: nobody is left to tell */
    tw_buf_free(&buf);
}

void tw_log(enum tw_log_level level, const char *format, ...)
{
    if (!tw_log_enabled(level)) {
        return;
    }
    char message[MESSAGE_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    tw_log_record(level, NULL, message, NULL, 0);
}
