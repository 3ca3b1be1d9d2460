/* Renders templates for a comparison: each line of standard input is an object with "template" and
 * "data", and perhaps "settings"; a line comes out for each, with "text" and "spans" (pairs of an
 * end in bytes and whether they are input), or with "error". */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/jinja.h"

static const struct tm day = {
    .tm_year = 124, .tm_mon = 6, .tm_mday = 26, .tm_wday = 5, .tm_yday = 207, .tm_hour = 9};

static void write_error(struct tw_json_writer *json, const struct tw_error *error)
{
    tw_json_put_text(json, "error", error->text);
    tw_json_put_text(json, "status", tw_status_name(error->status));
}

static void write_output(struct tw_json_writer *json, const struct tw_jinja_output *output)
{
    tw_json_key(json, "text");
    tw_json_string(json, output->text, output->text_bytes);
    tw_json_key(json, "spans");
    tw_json_array_begin(json);
    for (size_t i = 0; i < output->n_spans; i++) {
        tw_json_array_begin(json);
        tw_json_uint(json, output->spans[i].end_bytes);
        tw_json_bool(json, output->spans[i].is_input);
        tw_json_array_end(json);
    }
    tw_json_array_end(json);
}

static void answer(const char *line, size_t n_bytes, struct tw_buf *out)
{
    json_t *request = NULL;
    struct tw_error error = {0};
    struct tw_jinja_template *chat_template = NULL;
    struct tw_jinja_output output = {0};
    struct tw_json_writer json;
    enum tw_status status = tw_json_parse(line, n_bytes, "request", &request, &error);
    if (status == TW_OK) {
        const json_t *source = json_object_get(request, "template");
        status = tw_jinja_compile(json_string_value(source), json_string_length(source),
                                  &chat_template, &error);
    }
    if (status == TW_OK) {
        const struct tw_jinja_input input = {.data = json_object_get(request, "data"),
                                             .settings = json_object_get(request, "settings"),
                                             .now = &day};
        status = tw_jinja_render(chat_template, &input, &output, &error);
    }
    tw_json_begin(&json, out);
    tw_json_object_begin(&json);
    if (status == TW_OK) {
        write_output(&json, &output);
    } else {
        write_error(&json, &error);
    }
    tw_json_object_end(&json);
    tw_buf_append_text(out, "\n");
    tw_jinja_output_free(&output);
    tw_jinja_free(chat_template);
    json_decref(request);
}

int main(void)
{
    char *line = NULL;
    size_t capacity = 0;
    struct tw_buf out;
    tw_buf_init(&out, (size_t)1 << 30);
    for (ssize_t n; (n = getline(&line, &capacity, stdin)) > 0;) {
        tw_buf_clear(&out);
        answer(line, (size_t)n, &out);
        if (out.failed || fwrite(out.data, 1, out.size_bytes, stdout) != out.size_bytes) {
            return 1;
        }
    }
    free(line);
    tw_buf_free(&out);
    return 0;
}
