#include "hub/audit_record.h"

#include <assert.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "base/printable.h"

enum { COMMITMENT_BYTES = 64 };

void tw_audit_body_init(struct tw_audit_body *body)
{
    tw_buf_init(&body->buf, TW_LIMIT_AUDIT_BODY_BYTES);
    tw_json_begin(&body->json, &body->buf);
}

void tw_audit_body_free(struct tw_audit_body *body)
{
    tw_buf_free(&body->buf);
}

static void put_key(struct tw_audit_body *body, const char *key)
{
    const char **last = &body->last_key[body->json.depth];
    assert(body->json.depth > 0);
    if (key == NULL) {
        return;
    }
    assert(*last == NULL || strcmp(*last, key) < 0);
    *last = key;
    tw_json_key(&body->json, key);
}

static void go_down(struct tw_audit_body *body)
{
    assert(body->json.depth <= TW_LIMIT_AUDIT_DEPTH);
    body->last_key[body->json.depth] = NULL;
}

void tw_audit_body_begin(struct tw_audit_body *body)
{
    body->n_cut = 0;
    tw_buf_clear(&body->buf);
    tw_json_begin(&body->json, &body->buf);
    tw_json_object_begin(&body->json);
    go_down(body);
}

enum tw_status tw_audit_body_end(struct tw_audit_body *body, struct tw_error *error)
{
    if (body->n_cut > 0) { /* known at the end only: behind all other keys */
        tw_audit_body_put_int(body, "was_cut", body->n_cut);
    }
    tw_json_object_end(&body->json);
    assert(body->json.depth == 0);
    if (body->buf.failed) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "a record of the audit log would have more than %zu bytes: change "
                            "less at once",
                            TW_LIMIT_AUDIT_BODY_BYTES);
    }
    return TW_OK;
}

void tw_audit_body_object_begin(struct tw_audit_body *body, const char *key)
{
    put_key(body, key);
    tw_json_object_begin(&body->json);
    go_down(body);
}

void tw_audit_body_object_end(struct tw_audit_body *body)
{
    tw_json_object_end(&body->json);
}

void tw_audit_body_list_begin(struct tw_audit_body *body, const char *key)
{
    put_key(body, key);
    tw_json_array_begin(&body->json);
    go_down(body);
}

void tw_audit_body_list_end(struct tw_audit_body *body)
{
    tw_json_array_end(&body->json);
}

void tw_audit_body_put_int(struct tw_audit_body *body, const char *key, int64_t value)
{
    put_key(body, key);
    tw_json_int(&body->json, value);
}

void tw_audit_body_put_text(struct tw_audit_body *body, const char *key, const char *text)
{
    if (text != NULL) {
        tw_audit_body_put_bytes(body, key, text, strlen(text));
    }
}

/* The most of a text that fits and does not end within a character. */
static size_t kept_bytes(const char *text, size_t text_bytes)
{
    size_t n_kept = 0;
    for (;;) {
        size_t n = tw_printable_utf8_bytes(text + n_kept, text_bytes - n_kept);
        n = n != 0 ? n : 1;
        if (n_kept + n > TW_LIMIT_AUDIT_TEXT_BYTES) {
            return n_kept;
        }
        n_kept += n;
    }
}

void tw_audit_body_put_bytes(struct tw_audit_body *body, const char *key, const char *text,
                             size_t text_bytes)
{
    put_key(body, key);
    if (text_bytes <= TW_LIMIT_AUDIT_TEXT_BYTES) {
        tw_json_string(&body->json, text, text_bytes);
        return;
    }
    char cut[TW_LIMIT_AUDIT_TEXT_BYTES + 64];
    size_t n_kept = kept_bytes(text, text_bytes);
    body->n_cut++;
    memcpy(cut, text, n_kept);
    int n =
        snprintf(cut + n_kept, sizeof cut - n_kept, " ... and %zu bytes more", text_bytes - n_kept);
    tw_json_string(&body->json, cut, n_kept + (size_t)n);
}

void tw_audit_body_put_hex(struct tw_audit_body *body, const char *key, const void *bytes,
                           size_t n_bytes)
{
    char hex[2 * COMMITMENT_BYTES + 1];
    assert(n_bytes <= COMMITMENT_BYTES);
    if (bytes != NULL) {
        sodium_bin2hex(hex, sizeof hex, bytes, n_bytes);
        tw_audit_body_put_text(body, key, hex);
    }
}

void tw_audit_body_put_double(struct tw_audit_body *body, const char *key, double value)
{
    struct tw_json_writer number;
    put_key(body, key);
    tw_json_string(&body->json, "", 0);
    assert(body->buf.failed || body->buf.size_bytes > 0);
    if (!body->buf.failed) {
        body->buf.size_bytes--;
        tw_json_begin(&number, &body->buf);
        tw_json_double(&number, value);
        tw_buf_append(&body->buf, "\"", 1);
    }
}

void tw_audit_body_put_uint(struct tw_audit_body *body, const char *key, uint64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, value);
    tw_audit_body_put_text(body, key, text);
}

const char *tw_audit_kind_name(enum tw_audit_kind kind)
{
    static const char *const names[TW_AUDIT_KIND_COUNT] = {
        [TW_AUDIT_REQUEST_SETTLED] = "request.settled",
        [TW_AUDIT_REQUEST_REFUSED] = "request.refused",
        [TW_AUDIT_REQUEST_RECOVERED] = "request.recovered",
        [TW_AUDIT_CONFIG_CHANGED] = "config.changed",
        [TW_AUDIT_BUDGET_CROSSED] = "budget.crossed",
        [TW_AUDIT_HUB_STARTED] = "hub.started",
        [TW_AUDIT_HUB_STOPPED] = "hub.stopped",
        [TW_AUDIT_CONTENT_READ] = "content.read",
        [TW_AUDIT_CONTENT_EXPIRED] = "content.expired",
        [TW_AUDIT_SUBJECT_ERASED] = "subject.erased",
        [TW_AUDIT_SUBJECT_HELD] = "subject.held",
        [TW_AUDIT_SUBJECT_RELEASED] = "subject.released",
        [TW_AUDIT_COMMAND_REFUSED] = "command.refused",
        [TW_AUDIT_CHANGE_PROPOSED] = "change.proposed",
        [TW_AUDIT_CHANGE_APPROVED] = "change.approved",
        [TW_AUDIT_CHANGE_REJECTED] = "change.rejected",
        [TW_AUDIT_FILE_ADDED] = "file.added",
        [TW_AUDIT_FILE_DELETED] = "file.deleted",
        [TW_AUDIT_BATCH_CREATED] = "batch.created",
        [TW_AUDIT_BATCH_CANCELLED] = "batch.cancelled",
    };
    assert(kind < TW_AUDIT_KIND_COUNT);
    return names[kind];
}

static void put_id(struct tw_audit_body *body, const char *key, int64_t id)
{
    if (id != 0) {
        tw_audit_body_put_int(body, key, id);
    }
}

static void put_budgets(struct tw_audit_body *body, const struct tw_audit_budget *budgets,
                        size_t n_budgets)
{
    if (n_budgets == 0) {
        return;
    }
    size_t n = n_budgets < TW_LIMIT_AUDIT_BUDGETS ? n_budgets : TW_LIMIT_AUDIT_BUDGETS;
    tw_audit_body_list_begin(body, "budgets");
    for (size_t i = 0; i < n; i++) {
        tw_audit_body_object_begin(body, NULL);
        tw_audit_body_put_int(body, "budget", budgets[i].budget);
        tw_audit_body_put_int(body, "left_after", budgets[i].left_after);
        tw_audit_body_put_int(body, "left_before", budgets[i].left_before);
        tw_audit_body_put_int(body, "starts_s", budgets[i].starts_s);
        tw_audit_body_object_end(body);
    }
    tw_audit_body_list_end(body);
}

static void put_sampling(struct tw_audit_body *body, const struct tw_audit_sampling *sampling)
{
    if (sampling == NULL) {
        return;
    }
    tw_audit_body_object_begin(body, "sampling");
    tw_audit_body_put_double(body, "frequency_penalty", sampling->frequency_penalty);
    tw_audit_body_put_int(body, "max_tokens", sampling->max_tokens);
    tw_audit_body_put_double(body, "min_p", sampling->min_p);
    tw_audit_body_put_double(body, "presence_penalty", sampling->presence_penalty);
    tw_audit_body_put_double(body, "repetition_penalty", sampling->repetition_penalty);
    tw_audit_body_put_uint(body, "seed", sampling->seed);
    tw_audit_body_put_double(body, "temperature", sampling->temperature);
    tw_audit_body_put_int(body, "top_k", sampling->top_k);
    tw_audit_body_put_double(body, "top_p", sampling->top_p);
    tw_audit_body_object_end(body);
}

static void put_route(struct tw_audit_body *body, const struct tw_audit_route *route)
{
    if (route == NULL) {
        return;
    }
    tw_audit_body_object_begin(body, "route");
    tw_audit_body_put_text(body, "backend", route->backend);
    tw_audit_body_put_text(body, "class", route->class);
    tw_audit_body_put_text(body, "class_reason", route->class_reason);
    tw_audit_body_put_text(body, "instead_of", route->instead_of);
    tw_audit_body_put_text(body, "policy", route->policy);
    tw_audit_body_put_text(body, "rule", route->rule);
    tw_audit_body_put_text(body, "zone", route->zone);
    tw_audit_body_object_end(body);
}

enum tw_status tw_audit_body_request(struct tw_audit_body *body,
                                     const struct tw_audit_request *request, struct tw_error *error)
{
    tw_audit_body_begin(body);
    put_budgets(body, request->budgets, request->n_budgets);
    tw_audit_body_put_text(body, "build", request->build);
    tw_audit_body_put_int(body, "cached_tokens", request->cached_tokens);
    tw_audit_body_put_hex(body, "commitment", request->commitment, request->commitment_bytes);
    tw_audit_body_put_text(body, "content", request->content);
    tw_audit_body_put_int(body, "cost_nano", request->cost_nano);
    tw_audit_body_put_text(body, "finish", request->finish);
    put_id(body, "http_status", request->http_status);
    tw_audit_body_put_text(body, "isa", request->isa);
    put_id(body, "key", request->key);
    tw_audit_body_put_text(body, "model", request->model);
    tw_audit_body_put_text(body, "model_digest", request->model_digest);
    put_id(body, "number", request->number);
    put_id(body, "org", request->org);
    tw_audit_body_put_int(body, "output_tokens", request->output_tokens);
    tw_audit_body_put_int(body, "price", request->price);
    tw_audit_body_put_text(body, "price_class", request->price_class);
    put_id(body, "project", request->project);
    tw_audit_body_put_int(body, "prompt_tokens", request->prompt_tokens);
    tw_audit_body_put_text(body, "reason", request->reason);
    put_id(body, "reported_output_tokens", request->reported_output_tokens);
    put_id(body, "reported_prompt_tokens", request->reported_prompt_tokens);
    tw_audit_body_put_text(body, "request", request->request);
    put_route(body, request->route);
    put_sampling(body, request->sampling);
    tw_audit_body_put_hex(body, "subject", request->subject, request->subject_bytes);
    put_id(body, "team", request->team);
    put_id(body, "user", request->user);
    return tw_audit_body_end(body, error);
}

struct tw_audit_value tw_audit_integer(int64_t integer)
{
    return (struct tw_audit_value){.kind = TW_AUDIT_INTEGER, .integer = integer};
}

struct tw_audit_value tw_audit_text(const char *text)
{
    return (struct tw_audit_value){.kind = text != NULL ? TW_AUDIT_TEXT : TW_AUDIT_ABSENT,
                                   .text = text};
}

static void put_value(struct tw_audit_body *body, const char *name,
                      const struct tw_audit_value *value)
{
    if (value->kind == TW_AUDIT_INTEGER) {
        tw_audit_body_put_int(body, name, value->integer);
    } else if (value->kind == TW_AUDIT_TEXT) {
        tw_audit_body_put_text(body, name, value->text);
    }
}

/* The numbers of the fields in the order of their names. */
static void sort_fields(const struct tw_audit_change *change,
                        unsigned char ret_order[TW_LIMIT_AUDIT_CHANGES])
{
    for (size_t i = 0; i < change->n_fields; i++) {
        size_t at = i;
        while (at > 0 &&
               strcmp(change->fields[ret_order[at - 1]].name, change->fields[i].name) > 0) {
            ret_order[at] = ret_order[at - 1];
            at--;
        }
        ret_order[at] = (unsigned char)i;
    }
}

enum tw_status tw_audit_body_change(struct tw_audit_body *body,
                                    const struct tw_audit_change *change, struct tw_error *error)
{
    unsigned char order[TW_LIMIT_AUDIT_CHANGES];
    if (change->n_fields > TW_LIMIT_AUDIT_CHANGES) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "one command may change %d fields, and this one changes %zu",
                            TW_LIMIT_AUDIT_CHANGES, change->n_fields);
    }
    sort_fields(change, order);
    tw_audit_body_begin(body);
    put_id(body, "actor", change->actor);
    tw_audit_body_put_text(body, "actor_name", change->actor_name);
    tw_audit_body_object_begin(body, "after");
    for (size_t i = 0; i < change->n_fields; i++) {
        const struct tw_audit_field *field = &change->fields[order[i]];
        put_value(body, field->name, &field->after);
    }
    tw_audit_body_object_end(body);
    tw_audit_body_object_begin(body, "before");
    for (size_t i = 0; i < change->n_fields; i++) {
        const struct tw_audit_field *field = &change->fields[order[i]];
        put_value(body, field->name, &field->before);
    }
    tw_audit_body_object_end(body);
    tw_audit_body_put_text(body, "command", change->command);
    tw_audit_body_put_text(body, "object", change->object);
    return tw_audit_body_end(body, error);
}
