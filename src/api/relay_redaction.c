#define _GNU_SOURCE /* memmem */
#include "api/relay_redaction.h"

#include <string.h>

#include "base/mem.h"

/* The texts of a choice that may come in pieces. */
enum kind { CONTENT = 0, THOUGHT, NEW_THOUGHT, REFUSAL, TEXT, ARGUMENTS };
static const char *const members[] = {"content", "reasoning_content", "reasoning", "refusal",
                                      "text"};

struct tw_api_redacted_text {
    json_int_t choice, call;
    enum kind kind;
    struct tw_restorer restorer;
};

/* By one of the ways in which a form is prescribed (answer_form.h, and what others take). */
static bool asks_for_json(const json_t *body)
{
    const char *form =
        json_string_value(json_object_get(json_object_get(body, "response_format"), "type"));
    const json_t *outputs = json_object_get(body, "structured_outputs");
    return (form != NULL && strcmp(form, "text") != 0) ||
           json_object_get(body, "guided_json") != NULL ||
           json_object_get(body, "json_schema") != NULL ||
           json_object_get(outputs, "json") != NULL ||
           json_object_get(outputs, "json_object") != NULL;
}

bool tw_api_redaction_begin(struct tw_api_redaction *redaction,
                            const struct tw_api_admission *admission, json_t *body,
                            struct tw_api_error *error)
{
    struct tw_error cause;
    if (admission->redact == 0) {
        return true;
    }
    redaction->content_is_json = asks_for_json(body);
    enum tw_status status = tw_redaction_create(tw_api_admission_policy(admission),
                                                admission->redact, &redaction->redaction, &cause);
    if (status == TW_OK) {
        status = tw_redaction_apply(redaction->redaction, body, &cause);
    }
    return status == TW_OK ||
           tw_api_refuse_status(error, 403, "invalid_request_error", "refused_by_policy",
                                "the rule '%s' lets this go on only with parts "
                                "replaced, and they cannot be: %s",
                                admission->rule, cause.text);
}

void tw_api_redaction_free(struct tw_api_redaction *redaction)
{
    tw_redaction_free(redaction->redaction);
    tw_mem_free(redaction->texts);
}

static bool has_pseudonyms(const struct tw_api_redaction *redaction)
{
    return redaction->redaction != NULL && tw_redaction_count(redaction->redaction) > 0;
}

/* ---- a stream ---- */

static struct tw_api_redacted_text *text_of(struct tw_api_redaction *redaction, json_int_t choice,
                                            enum kind kind, json_int_t call)
{
    for (size_t i = 0; i < redaction->n_texts; i++) {
        struct tw_api_redacted_text *text = &redaction->texts[i];
        if (text->choice == choice && text->kind == kind && text->call == call) {
            return text;
        }
    }
    if (redaction->n_texts == TW_LIMIT_API_REDACTED_TEXTS) {
        return NULL;
    }
    struct tw_api_redacted_text *texts =
        tw_mem_realloc(redaction->texts, redaction->n_texts + 1, sizeof *redaction->texts);
    if (texts == NULL) {
        return NULL;
    }
    redaction->texts = texts;
    struct tw_api_redacted_text *text = &texts[redaction->n_texts++];
    *text = (struct tw_api_redacted_text){.choice = choice, .kind = kind, .call = call};
    tw_restorer_begin(&text->restorer, redaction->redaction,
                      kind == ARGUMENTS || (kind == CONTENT && redaction->content_is_json));
    return text;
}

/* A member of an object, if it is a text. */
static bool restore_member(struct tw_api_redaction *redaction, json_t *object, const char *name,
                           json_int_t choice, enum kind kind, json_int_t call)
{
    const json_t *value = json_object_get(object, name);
    struct tw_api_redacted_text *text;
    struct tw_buf out;
    if (!json_is_string(value)) {
        return true;
    }
    text = text_of(redaction, choice, kind, call);
    if (text == NULL) {
        return false;
    }
    tw_buf_init(&out, TW_LIMIT_REMOTE_ANSWER_BYTES);
    tw_restorer_push(&text->restorer, json_string_value(value), json_string_length(value), &out);
    const bool is_done =
        !out.failed &&
        json_object_set_new(object, name,
                            json_stringn(out.size_bytes > 0 ? out.data : "", out.size_bytes)) == 0;
    tw_buf_free(&out);
    return is_done;
}

/* Into a call of the delta that has nothing else. */
static bool add_arguments(json_t *delta, json_int_t call, const char *text, size_t text_bytes)
{
    json_t *calls = json_object_get(delta, "tool_calls");
    if (!json_is_array(calls)) {
        calls = json_array();
        if (json_object_set_new(delta, "tool_calls", calls) != 0) {
            return false;
        }
    }
    return json_array_append_new(calls, json_pack("{s:I,s:{s:s%}}", "index", call, "function",
                                                  "arguments", text, text_bytes)) == 0;
}

static bool add_text(json_t *object, const char *name, const char *text, size_t text_bytes)
{
    const json_t *before = json_object_get(object, name);
    return json_object_set_new(object, name,
                               json_sprintf("%s%.*s",
                                            json_is_string(before) ? json_string_value(before) : "",
                                            (int)text_bytes, text)) == 0;
}

/* What is held of a choice that ends goes with its end. */
static bool flush_choice(struct tw_api_redaction *redaction, json_t *choice, json_t *delta,
                         json_int_t index)
{
    bool is_done = true;
    for (size_t i = 0; is_done && i < redaction->n_texts; i++) {
        struct tw_api_redacted_text *text = &redaction->texts[i];
        struct tw_buf out;
        if (text->choice != index) {
            continue;
        }
        tw_buf_init(&out, TW_LIMIT_REMOTE_ANSWER_BYTES);
        tw_restorer_end(&text->restorer, &out);
        if (out.failed) {
            is_done = false;
        } else if (out.size_bytes > 0 && text->kind == ARGUMENTS) {
            is_done = add_arguments(delta, text->call, out.data, out.size_bytes);
        } else if (out.size_bytes > 0) {
            is_done = add_text(text->kind == TEXT ? choice : delta, members[text->kind], out.data,
                               out.size_bytes);
        }
        tw_buf_free(&out);
    }
    return is_done;
}

static bool restore_choice(struct tw_api_redaction *redaction, json_t *choice)
{
    json_t *delta = json_object_get(choice, "delta"), *call;
    const json_int_t index = json_integer_value(json_object_get(choice, "index"));
    size_t i;
    bool is_done = restore_member(redaction, choice, members[TEXT], index, TEXT, 0);
    for (enum kind kind = CONTENT; is_done && kind < TEXT; kind++) {
        is_done = restore_member(redaction, delta, members[kind], index, kind, 0);
    }
    json_array_foreach (json_object_get(delta, "tool_calls"), i, call) {
        is_done = is_done &&
                  restore_member(redaction, json_object_get(call, "function"), "arguments", index,
                                 ARGUMENTS, json_integer_value(json_object_get(call, "index")));
    }
    return is_done && (!json_is_string(json_object_get(choice, "finish_reason")) ||
                       flush_choice(redaction, choice, delta, index));
}

static bool write_event(struct tw_buf *out, const json_t *event)
{
    struct tw_json_writer json;
    tw_buf_append_text(out, "data: ");
    tw_json_begin(&json, out);
    tw_json_value(&json, event);
    tw_buf_append_text(out, "\n\n");
    return !out->failed;
}

static bool restore_event(struct tw_api_redaction *redaction, const char *text, size_t text_bytes,
                          struct tw_buf *out)
{
    static const char head[] = "data: {";
    json_t *event = NULL, *choice;
    struct tw_error error;
    size_t i;
    if (text_bytes < sizeof head || strncmp(text, head, sizeof head - 1) != 0) {
        return tw_buf_append(out, text, text_bytes); /* a comment, or the end */
    }
    bool is_done = tw_json_parse(text + sizeof head - 2, text_bytes - (sizeof head - 2) - 2,
                                 "an event", &event, &error) == TW_OK;
    json_array_foreach (json_object_get(event, "choices"), i, choice) {
        is_done = is_done && restore_choice(redaction, choice);
    }
    is_done = is_done && write_event(out, event);
    json_decref(event);
    return is_done;
}

bool tw_api_redaction_restore_events(struct tw_api_redaction *redaction, struct tw_buf *events)
{
    struct tw_buf out;
    bool is_done = true;
    if (!has_pseudonyms(redaction) || events->size_bytes == 0) {
        return true;
    }
    tw_buf_init(&out, TW_LIMIT_REMOTE_ANSWER_BYTES);
    for (size_t at = 0; is_done && at < events->size_bytes;) {
        const char *end = memmem(events->data + at, events->size_bytes - at, "\n\n", 2);
        const size_t n =
            end != NULL ? (size_t)(end - events->data) + 2 - at : events->size_bytes - at;
        is_done = restore_event(redaction, events->data + at, n, &out);
        at += n;
    }
    tw_buf_free(events);
    *events = out;
    return is_done;
}

/* ---- a whole answer ---- */

bool tw_api_redaction_restore_whole(struct tw_api_redaction *redaction, struct tw_buf *answer)
{
    json_t *object = NULL;
    struct tw_error error;
    struct tw_json_writer json;
    if (!has_pseudonyms(redaction)) {
        return true;
    }
    bool is_done =
        tw_json_parse(answer->data, answer->size_bytes, "an answer", &object, &error) == TW_OK &&
        tw_redaction_restore(redaction->redaction, object, redaction->content_is_json, &error) ==
            TW_OK;
    if (is_done) {
        tw_buf_clear(answer);
        tw_json_begin(&json, answer);
        tw_json_value(&json, object);
        is_done = !answer->failed;
    }
    json_decref(object);
    return is_done;
}
