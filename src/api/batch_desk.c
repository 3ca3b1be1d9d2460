/* Calls about files and batches, as OpenAI's clients make them. */
#include <stdio.h>
#include <string.h>

#include "api/api_batches.h"
#include "api/api_refusals.h"
#include "api/multipart.h"
#include "base/clock.h"
#include "base/mem.h"
#include "hub/money.h"
#include "policy/classify.h"

#define DEFAULT_ROWS  20
#define PENDING_BYTES (TW_LIMIT_HTTP_STREAM_BYTES / 8)

/* A file on its way to a client, which reads as fast as it likes. */
struct tw_api_download {
    struct tw_http_request *http;
    int64_t project, file, last;
    struct tw_api_download *next;
};

/* ---- answers ---- */

static void answer_error(struct tw_api_desk_call *call, const struct tw_api_error *error)
{
    tw_api_answer_error(call->api, call->http, error);
}

static void answer_cause(struct tw_api_desk_call *call, const struct tw_error *cause)
{
    struct tw_api_error error;
    switch (cause->status) {
    case TW_ERR_NOT_FOUND:
        tw_api_refuse_status(&error, 404, "invalid_request_error", "not_found", "%s", cause->text);
        break;
    case TW_ERR_USAGE:
        tw_api_refuse_status(&error, 409, "invalid_request_error", "conflict", "%s", cause->text);
        break;
    case TW_ERR_IO:
        tw_api_refuse_unrecorded(&error);
        break;
    case TW_OK:
    case TW_ERR_FORMAT:
    case TW_ERR_UNSUPPORTED:
    case TW_ERR_LIMIT:
    case TW_ERR_MEMORY:
    case TW_ERR_CANCELLED:
    case TW_ERR_DENIED:
    case TW_ERR_MISSED:
    case TW_STATUS_COUNT:
        tw_api_refuse_error(&error, cause, NULL);
        break;
    }
    answer_error(call, &error);
}

static void put_seconds(struct tw_json_writer *writer, const char *key, int64_t ns)
{
    if (ns > 0) {
        tw_json_put_int(writer, key, ns / TW_SECOND_NS);
    } else {
        tw_json_put_null(writer, key);
    }
}

static void put_name(struct tw_json_writer *writer, const char *key, const char *name)
{
    if (name[0] != '\0') {
        tw_json_put_text(writer, key, name);
    } else {
        tw_json_put_null(writer, key);
    }
}

static void write_file(struct tw_json_writer *writer, const struct tw_batch_file *file)
{
    tw_json_object_begin(writer);
    tw_json_put_text(writer, "id", file->name);
    tw_json_put_text(writer, "object", "file");
    tw_json_put_int(writer, "bytes", file->n_bytes);
    put_seconds(writer, "created_at", file->created_ns);
    put_seconds(writer, "expires_at", file->expires_ns);
    tw_json_put_text(writer, "filename", file->filename);
    tw_json_put_text(writer, "purpose", file->purpose);
    tw_json_put_text(writer, "status", "processed");
    tw_json_object_end(writer);
}

static void put_usage(struct tw_json_writer *writer, const struct tw_batch *batch)
{
    tw_json_key(writer, "usage");
    tw_json_object_begin(writer);
    tw_json_put_int(writer, "input_tokens", batch->n_prompt_tokens);
    tw_json_key(writer, "input_tokens_details");
    tw_json_object_begin(writer);
    tw_json_put_int(writer, "cached_tokens", batch->n_cached_tokens);
    tw_json_object_end(writer);
    tw_json_put_int(writer, "output_tokens", batch->n_answer_tokens);
    tw_json_put_int(writer, "total_tokens", batch->n_prompt_tokens + batch->n_answer_tokens);
    tw_json_object_end(writer);
}

/* No field of OpenAI's: what was paid, in the currency of the books. */
static void put_cost(struct tw_json_writer *writer, const struct tw_batch *batch)
{
    char amount[TW_MONEY_TEXT_BYTES];
    tw_money_print(batch->amount_nano, amount);
    tw_json_key(writer, "cost");
    tw_json_object_begin(writer);
    tw_json_put_text(writer, "amount", amount);
    tw_json_put_text(writer, "currency", batch->currency);
    tw_json_object_end(writer);
}

static void put_json(struct tw_json_writer *writer, const char *key, const char *json)
{
    tw_json_key(writer, key);
    tw_buf_append_text(writer->buf, json);
    writer->needs_comma = true;
}

static void put_faults(struct tw_json_writer *writer, const struct tw_batch *batch)
{
    if (batch->faults[0] == '\0') {
        tw_json_put_null(writer, "errors");
        return;
    }
    tw_json_key(writer, "errors");
    tw_json_object_begin(writer);
    tw_json_put_text(writer, "object", "list");
    put_json(writer, "data", batch->faults);
    tw_json_object_end(writer);
}

static int64_t ended(const struct tw_batch *batch, enum tw_batch_status status)
{
    return batch->status == status ? batch->ended_ns : 0;
}

static void write_batch(struct tw_json_writer *writer, const struct tw_batch *batch)
{
    tw_json_object_begin(writer);
    tw_json_put_text(writer, "id", batch->name);
    tw_json_put_text(writer, "object", "batch");
    tw_json_put_text(writer, "endpoint", batch->endpoint);
    put_faults(writer, batch);
    tw_json_put_text(writer, "input_file_id", batch->input_name);
    tw_json_put_text(writer, "completion_window", "24h");
    tw_json_put_text(writer, "status", tw_batch_status_name(batch->status));
    put_name(writer, "output_file_id", batch->output_name);
    put_name(writer, "error_file_id", batch->errors_name);
    put_seconds(writer, "created_at", batch->created_ns);
    put_seconds(writer, "in_progress_at", batch->started_ns);
    put_seconds(writer, "expires_at", batch->expires_ns);
    put_seconds(writer, "finalizing_at", batch->finalizing_ns);
    put_seconds(writer, "completed_at", ended(batch, TW_BATCH_COMPLETED));
    put_seconds(writer, "failed_at", ended(batch, TW_BATCH_FAILED));
    put_seconds(writer, "expired_at", ended(batch, TW_BATCH_EXPIRED));
    put_seconds(writer, "cancelling_at", batch->cancelling_ns);
    put_seconds(writer, "cancelled_at", ended(batch, TW_BATCH_CANCELLED));
    tw_json_key(writer, "request_counts");
    tw_json_object_begin(writer);
    tw_json_put_int(writer, "total", batch->n_total);
    tw_json_put_int(writer, "completed", batch->n_completed);
    tw_json_put_int(writer, "failed", batch->n_failed);
    tw_json_object_end(writer);
    put_usage(writer, batch);
    put_cost(writer, batch);
    put_json(writer, "metadata", batch->metadata);
    tw_json_object_end(writer);
}

static void answer_file(struct tw_api_desk_call *call, const struct tw_batch_file *file)
{
    struct tw_buf body;
    struct tw_json_writer writer;
    tw_buf_init(&body, TW_LIMIT_API_SMALL_BYTES);
    tw_json_begin(&writer, &body);
    write_file(&writer, file);
    tw_api_answer_json(call->api, call->http, &body);
    tw_buf_free(&body);
}

static void answer_batch(struct tw_api_desk_call *call, const struct tw_batch *batch)
{
    struct tw_buf body;
    struct tw_json_writer writer;
    tw_buf_init(&body, TW_LIMIT_API_SMALL_BYTES);
    tw_json_begin(&writer, &body);
    write_batch(&writer, batch);
    tw_api_answer_json(call->api, call->http, &body);
    tw_buf_free(&body);
}

/* ---- lists ---- */

static bool read_list(struct tw_api_desk_call *call, size_t *ret_most)
{
    const char *limit = call->limit;
    struct tw_api_error error;
    size_t most = DEFAULT_ROWS;
    if (limit[0] != '\0') {
        most = 0;
        for (const char *at = limit; *at >= '0' && *at <= '9' && most < 1000000; at++) {
            most = most * 10 + (size_t)(*at - '0');
        }
        if (limit[strspn(limit, "0123456789")] != '\0' || most == 0) {
            tw_api_refuse(&error, "limit", "'limit' must be a whole number of at least 1");
            answer_error(call, &error);
            return false;
        }
    }
    *ret_most = most < TW_LIMIT_BATCH_LIST ? most : TW_LIMIT_BATCH_LIST;
    return true;
}

static void end_list(struct tw_json_writer *writer, const char *first, const char *last,
                     bool has_more)
{
    tw_json_array_end(writer);
    put_name(writer, "first_id", first);
    put_name(writer, "last_id", last);
    tw_json_put_bool(writer, "has_more", has_more);
    tw_json_object_end(writer);
}

static void begin_list(struct tw_json_writer *writer, struct tw_buf *body)
{
    tw_buf_init(body, TW_LIMIT_BATCH_LIST_BYTES);
    tw_json_begin(writer, body);
    tw_json_object_begin(writer);
    tw_json_put_text(writer, "object", "list");
    tw_json_key(writer, "data");
    tw_json_array_begin(writer);
}

/* Room for one row more than a page has, or NULL, and the call is answered. */
static void *begin_page(struct tw_api_desk_call *call, size_t row_bytes, size_t *ret_most)
{
    struct tw_error cause;
    if (!read_list(call, ret_most)) {
        return NULL;
    }
    void *rows = tw_mem_zalloc(TW_LIMIT_BATCH_LIST + 1, row_bytes);
    if (rows == NULL) {
        tw_error_set(&cause, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a list");
        answer_cause(call, &cause);
    }
    return rows;
}

void tw_api_desk_list_files(struct tw_api_desk_call *call)
{
    struct tw_error cause;
    struct tw_json_writer writer;
    struct tw_buf body;
    size_t most, n = 0;
    struct tw_batch_file *files = begin_page(call, sizeof *files, &most);
    if (files == NULL) {
        return;
    }
    if (tw_batches_list_files(
            call->batches->store, &call->tenant.caller, call->after[0] != '\0' ? call->after : NULL,
            call->purpose[0] != '\0' ? call->purpose : NULL, strcmp(call->order, "asc") == 0,
            most + 1, files, &n, &cause) != TW_OK) {
        answer_cause(call, &cause);
    } else {
        const bool has_more = n > most;
        n = has_more ? most : n;
        begin_list(&writer, &body);
        for (size_t i = 0; i < n; i++) {
            write_file(&writer, &files[i]);
        }
        end_list(&writer, n > 0 ? files[0].name : "", n > 0 ? files[n - 1].name : "", has_more);
        tw_api_answer_json(call->api, call->http, &body);
        tw_buf_free(&body);
    }
    tw_mem_free(files);
}

void tw_api_desk_list_batches(struct tw_api_desk_call *call)
{
    struct tw_error cause;
    struct tw_json_writer writer;
    struct tw_buf body;
    size_t most, n = 0;
    struct tw_batch *batches = begin_page(call, sizeof *batches, &most);
    if (batches == NULL) {
        return;
    }
    if (tw_batches_list(call->batches->store, &call->tenant.caller,
                        call->after[0] != '\0' ? call->after : NULL, most + 1, batches, &n,
                        &cause) != TW_OK) {
        answer_cause(call, &cause);
    } else {
        const bool has_more = n > most;
        n = has_more ? most : n;
        begin_list(&writer, &body);
        for (size_t i = 0; i < n; i++) {
            write_batch(&writer, &batches[i]);
        }
        end_list(&writer, n > 0 ? batches[0].name : "", n > 0 ? batches[n - 1].name : "", has_more);
        tw_api_answer_json(call->api, call->http, &body);
        tw_buf_free(&body);
    }
    tw_mem_free(batches);
}

/* ---- files ---- */

void tw_api_batch_user(const char *line, size_t line_bytes, struct tw_buf *ret_user)
{
    static const char *const names[] = {"safety_identifier", "user"};
    json_t *json = NULL;
    size_t column;
    if (tw_json_parse_line(line, line_bytes, &json, &column, &(struct tw_error){0}) != TW_OK) {
        return; /* whoever runs it says so */
    }
    const json_t *body = json_object_get(json, "body");
    for (size_t i = 0; ret_user->size_bytes == 0 && i < sizeof names / sizeof *names; i++) {
        const json_t *value = json_object_get(body, names[i]);
        if (json_is_string(value)) {
            tw_buf_append(ret_user, json_string_value(value), json_string_length(value));
        }
    }
    json_decref(json);
}

/* A field that is a number of seconds; 0 where it is not there. */
static bool read_seconds(const struct tw_multipart *form, int64_t *ret_seconds,
                         struct tw_api_error *error)
{
    const struct tw_multipart_part *part = tw_multipart_find(form, "expires_after[seconds]");
    const struct tw_multipart_part *anchor = tw_multipart_find(form, "expires_after[anchor]");
    static const char created[] = "created_at";
    int64_t n = 0;
    *ret_seconds = 0;
    if (anchor != NULL && (anchor->n_bytes != sizeof created - 1 ||
                           memcmp(anchor->data, created, anchor->n_bytes) != 0)) {
        return tw_api_refuse(error, "expires_after",
                             "'expires_after[anchor]' must be 'created_at'");
    }
    for (size_t i = 0; part != NULL && i < part->n_bytes; i++) {
        n = part->data[i] >= '0' && part->data[i] <= '9' && n < 100000000
                ? n * 10 + (part->data[i] - '0')
                : INT64_MAX / 20;
    }
    if (part != NULL && (n < TW_LIMIT_BATCH_LEAST_SECONDS || n > TW_LIMIT_BATCH_FILE_SECONDS)) {
        return tw_api_refuse(
            error, "expires_after", "'expires_after[seconds]' must be from %lld to %lld",
            (long long)TW_LIMIT_BATCH_LEAST_SECONDS, (long long)TW_LIMIT_BATCH_FILE_SECONDS);
    }
    *ret_seconds = n;
    return true;
}

/* Or lines would have a lower class than was said. */
static bool check_class(const struct tw_api_desk_call *call, struct tw_api_error *error)
{
    const uint32_t n = call->n_data_classes;
    return n == 0 || (n == 1 && call->data_class[0] != '\0') ||
           tw_api_refuse(error, NULL,
                         TW_CLASSIFY_HEADER ": give it once, with the name of one class");
}

static bool read_form(struct tw_api_desk_call *call, struct tw_multipart *form,
                      struct tw_batch_upload *upload, struct tw_api_error *error)
{
    char boundary[TW_MULTIPART_BOUNDARY_BYTES];
    static const char batch[] = "batch";
    struct tw_error cause;
    size_t n_bytes;
    const char *body = tw_http_body(call->http, &n_bytes);
    if (!check_class(call, error)) {
        return false;
    }
    if (tw_multipart_boundary(call->content_type, boundary, &cause) != TW_OK ||
        tw_multipart_parse(boundary, body, n_bytes, form, &cause) != TW_OK) {
        return tw_api_refuse(error, NULL, "%s", cause.text);
    }
    const struct tw_multipart_part *purpose = tw_multipart_find(form, "purpose");
    const struct tw_multipart_part *file = tw_multipart_find(form, "file");
    if (purpose == NULL || purpose->n_bytes != sizeof batch - 1 ||
        memcmp(purpose->data, batch, sizeof batch - 1) != 0) {
        return tw_api_refuse(error, "purpose", "'purpose' must be 'batch': files are for batches");
    }
    if (file == NULL) {
        return tw_api_refuse(error, "file", "the form has no field 'file'");
    }
    *upload = (struct tw_batch_upload){.filename = file->filename[0] != '\0' ? file->filename
                                                                             : "upload.jsonl",
                                       .text = file->data,
                                       .text_bytes = file->n_bytes,
                                       .data_class = call->data_class,
                                       .user = tw_api_batch_user};
    return read_seconds(form, &upload->lifetime_s, error);
}

void tw_api_desk_add_file(struct tw_api_desk_call *call)
{
    struct tw_multipart *form = tw_mem_zalloc(1, sizeof *form);
    struct tw_batch_upload upload;
    struct tw_batch_file file;
    struct tw_api_error error;
    struct tw_error cause;
    if (form == NULL) {
        tw_api_refuse_memory(&error);
        answer_error(call, &error);
    } else if (!read_form(call, form, &upload, &error)) {
        answer_error(call, &error);
    } else if (tw_batches_add_file(call->batches->store, &call->tenant.caller, &upload, &file,
                                   &cause) != TW_OK) {
        answer_cause(call, &cause);
    } else {
        tw_http_free_body(call->http);
        answer_file(call, &file);
    }
    tw_mem_free(form);
}

static void begin_download(struct tw_api_desk_call *call, const struct tw_batch_file *file)
{
    struct tw_api_batches *batches = call->batches;
    static const struct tw_http_header headers[] = {{"Content-Type", "application/octet-stream"}};
    struct tw_api_error error;
    struct tw_api_download *download =
        batches->n_downloads < TW_LIMIT_BATCH_DOWNLOADS ? tw_mem_zalloc(1, sizeof *download) : NULL;
    if (download == NULL) {
        tw_api_refuse_status(&error, 503, "server_error", NULL,
                             "too many files are being read; try again later");
        answer_error(call, &error);
        return;
    }
    *download = (struct tw_api_download){.http = call->http,
                                         .project = tw_hub_project_id(&call->tenant.caller),
                                         .file = file->id,
                                         .next = batches->downloads};
    batches->downloads = download;
    batches->n_downloads++;
    tw_api_metrics_count_answer(&call->api->metrics, 200);
    tw_http_stream_begin(call->http, 200, headers, 1, NULL, 0);
}

static bool send_line(void *context, int64_t line, const char *text, size_t text_bytes)
{
    const struct tw_api_download *download = context;
    (void)line;
    if (text != NULL) { /* what was erased is left out */
        tw_http_stream_write(download->http, text, text_bytes);
    }
    return tw_http_pending_bytes(download->http) < PENDING_BYTES;
}

/* False: it has ended. A file that cannot be read to its end is cut off, which the client sees. */
static bool read_on(struct tw_api_batches *batches, struct tw_api_download *download)
{
    struct tw_error error;
    int64_t last = download->last;
    if (tw_http_is_gone(download->http)) {
        return false;
    }
    if (tw_http_pending_bytes(download->http) >= PENDING_BYTES) {
        return true;
    }
    if (tw_batches_read_lines(batches->store, download->project, download->file, last, send_line,
                              download, &last, &error) != TW_OK) {
        tw_http_stream_cut(download->http);
        return false;
    }
    const bool goes_on = last > download->last;
    download->last = last;
    return goes_on;
}

static void end_download(struct tw_api_batches *batches, struct tw_api_download *download)
{
    tw_http_stream_end(download->http);
    tw_http_release(download->http);
    tw_mem_free(download);
    batches->n_downloads--;
}

bool tw_api_desk_go_on(struct tw_api_batches *batches)
{
    struct tw_api_download **at = &batches->downloads;
    while (*at != NULL) {
        struct tw_api_download *download = *at;
        if (read_on(batches, download)) {
            at = &download->next;
        } else {
            *at = download->next;
            end_download(batches, download);
        }
    }
    return batches->downloads != NULL;
}

void tw_api_desk_end_downloads(struct tw_api_batches *batches)
{
    while (batches->downloads != NULL) {
        struct tw_api_download *download = batches->downloads;
        batches->downloads = download->next;
        tw_http_stream_cut(download->http);
        end_download(batches, download);
    }
}

static void refuse_verb(struct tw_api_desk_call *call)
{
    struct tw_api_error error;
    tw_api_refuse_status(&error, 404, "invalid_request_error", "unknown_url",
                         "there is nothing at this place; docs/batches.md lists what there is");
    answer_error(call, &error);
}

void tw_api_desk_get_file(struct tw_api_desk_call *call)
{
    struct tw_batch_file file;
    struct tw_error cause;
    const bool wants_content = strcmp(call->verb, "content") == 0;
    if (call->verb[0] != '\0' && !wants_content) {
        refuse_verb(call);
    } else if (tw_batches_find_file(call->batches->store, &call->tenant.caller, call->name, &file,
                                    &cause) != TW_OK) {
        answer_cause(call, &cause);
    } else if (wants_content) {
        begin_download(call, &file);
    } else {
        answer_file(call, &file);
    }
}

void tw_api_desk_delete_file(struct tw_api_desk_call *call)
{
    struct tw_error cause;
    struct tw_buf body;
    if (call->verb[0] != '\0') {
        refuse_verb(call);
        return;
    }
    if (tw_batches_delete_file(call->batches->store, &call->tenant.caller, call->name, &cause) !=
        TW_OK) {
        answer_cause(call, &cause);
        return;
    }
    tw_buf_init(&body, TW_LIMIT_API_SMALL_BYTES);
    tw_buf_append_format(&body, "{\"id\":\"%s\",\"object\":\"file\",\"deleted\":true}", call->name);
    tw_api_answer_json(call->api, call->http, &body);
    tw_buf_free(&body);
}

/* ---- batches ---- */

static bool read_metadata(const json_t *metadata, struct tw_buf *out, struct tw_api_error *error)
{
    struct tw_json_writer writer;
    const char *name;
    json_t *value;
    if (metadata == NULL || json_is_null(metadata)) {
        tw_buf_append(out, "null", 5);
        return true;
    }
    if (!json_is_object(metadata) || json_object_size(metadata) > TW_LIMIT_BATCH_METADATA) {
        return tw_api_refuse(error, "metadata", "'metadata' must be an object of at most %d pairs",
                             TW_LIMIT_BATCH_METADATA);
    }
    json_object_foreach ((json_t *)(uintptr_t)metadata, name, value) {
        if (!json_is_string(value) || strlen(name) > TW_LIMIT_BATCH_METADATA_NAME ||
            json_string_length(value) > TW_LIMIT_BATCH_METADATA_TEXT) {
            return tw_api_refuse(error, "metadata",
                                 "'metadata' has texts of at most %d bytes under names of at most "
                                 "%d",
                                 TW_LIMIT_BATCH_METADATA_TEXT, TW_LIMIT_BATCH_METADATA_NAME);
        }
    }
    tw_json_begin(&writer, out);
    tw_json_value(&writer, metadata);
    tw_buf_append(out, "", 1);
    return !out->failed || tw_api_refuse(error, "metadata", "'metadata' is too large");
}

static bool read_order(const struct tw_api_desk_call *call, const json_t *body,
                       struct tw_batch_order *order, struct tw_buf *metadata,
                       struct tw_api_error *error)
{
    static const char *const endpoints[] = {"/v1/chat/completions", "/v1/completions",
                                            "/v1/embeddings"};
    const char *input = json_string_value(json_object_get(body, "input_file_id"));
    const char *endpoint = json_string_value(json_object_get(body, "endpoint"));
    const char *window = json_string_value(json_object_get(body, "completion_window"));
    bool is_known = false;
    for (size_t i = 0; endpoint != NULL && i < sizeof endpoints / sizeof *endpoints; i++) {
        is_known = is_known || strcmp(endpoint, endpoints[i]) == 0;
    }
    if (!check_class(call, error)) {
        return false;
    }
    if (input == NULL) {
        return tw_api_refuse(error, "input_file_id",
                             "'input_file_id' must be the id of a file that was sent to /v1/files");
    }
    if (!is_known) {
        return tw_api_refuse(error, "endpoint",
                             "'endpoint' must be '/v1/chat/completions', '/v1/completions' or "
                             "'/v1/embeddings'");
    }
    if (window == NULL || strcmp(window, "24h") != 0) {
        return tw_api_refuse(error, "completion_window", "'completion_window' must be '24h'");
    }
    *order = (struct tw_batch_order){
        .input = input, .endpoint = endpoint, .window_s = TW_LIMIT_BATCH_WINDOW_SECONDS};
    return read_metadata(json_object_get(body, "metadata"), metadata, error);
}

static void tell_runner(struct tw_api_batches *batches)
{
    pthread_mutex_lock(&batches->lock);
    batches->has_news = true;
    pthread_cond_signal(&batches->wake_runner);
    pthread_mutex_unlock(&batches->lock);
}

void tw_api_desk_create_batch(struct tw_api_desk_call *call)
{
    struct tw_batch_order order;
    struct tw_api_error error;
    struct tw_error cause;
    struct tw_batch batch;
    struct tw_buf metadata;
    json_t *body = NULL;
    size_t n_bytes;
    const char *text = tw_http_body(call->http, &n_bytes);
    tw_buf_init(&metadata, TW_LIMIT_BATCH_METADATA_BYTES);
    if (tw_json_parse(text, n_bytes, "the body", &body, &cause) != TW_OK) {
        tw_api_refuse(&error, NULL, "%s", cause.text);
        answer_error(call, &error);
    } else if (!read_order(call, body, &order, &metadata, &error)) {
        answer_error(call, &error);
    } else {
        order.metadata = metadata.data;
        order.data_class = call->data_class;
        if (tw_batches_create(call->batches->store, &call->tenant.caller, &order, &batch, &cause) !=
            TW_OK) {
            answer_cause(call, &cause);
        } else {
            answer_batch(call, &batch);
            tell_runner(call->batches);
        }
    }
    tw_buf_free(&metadata);
    json_decref(body);
}

void tw_api_desk_get_batch(struct tw_api_desk_call *call)
{
    struct tw_batch batch;
    struct tw_error cause;
    if (call->verb[0] != '\0') {
        refuse_verb(call);
    } else if (tw_batches_find(call->batches->store, &call->tenant.caller, call->name, &batch,
                               &cause) != TW_OK) {
        answer_cause(call, &cause);
    } else {
        answer_batch(call, &batch);
    }
}

void tw_api_desk_cancel_batch(struct tw_api_desk_call *call)
{
    struct tw_batch batch;
    struct tw_error cause;
    if (strcmp(call->verb, "cancel") != 0) {
        refuse_verb(call);
    } else if (tw_batches_cancel(call->batches->store, &call->tenant.caller, call->name, &batch,
                                 &cause) != TW_OK) {
        answer_cause(call, &cause);
    } else {
        answer_batch(call, &batch);
        tell_runner(call->batches);
    }
}
