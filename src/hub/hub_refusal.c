/* What is refused to those who give commands, on record. */
#include <stdio.h>
#include <string.h>

#include "hub/change.h"

#define HOUR_NS      INT64_C(3600000000000)
#define SECRET_BYTES 20 /* a name that begins like a secret and is so long may be one */

bool tw_change_is_refusal(const struct tw_hub_change *change)
{
    switch (change->status) {
    case TW_ERR_USAGE:
    case TW_ERR_NOT_FOUND:
    case TW_ERR_FORMAT:
    case TW_ERR_UNSUPPORTED:
    case TW_ERR_LIMIT:
    case TW_ERR_MISSED:
    case TW_ERR_DENIED:
        return change->was_denied || change->is_for_server ||
               change->verb->manner == TW_COMMAND_CHANGE;
    case TW_ERR_IO: /* of a server's own files; the books' is told of otherwise */
        return change->is_for_server;
    case TW_OK:
    case TW_ERR_MEMORY:
    case TW_ERR_CANCELLED:
    case TW_STATUS_COUNT:
        break;
    }
    return false;
}

/* Whether there is to be one more record of this caller's. */
static bool take_place(struct tw_refusals *refusals, int64_t now_ns)
{
    if (now_ns - refusals->since_ns >= HOUR_NS) {
        refusals->since_ns = now_ns;
        refusals->n = 0;
    }
    const bool has_place = refusals->n < TW_LIMIT_HUB_REFUSALS;
    refusals->n += has_place;
    refusals->n_left_out += !has_place;
    return has_place;
}

static bool may_be_secret(const char *path)
{
    for (const char *at = path; at != NULL; at = strchr(at, '/')) {
        at += *at == '/';
        if (strncmp(at, "tw-", 3) == 0 && strcspn(at, "/") >= SECRET_BYTES) {
            return true;
        }
    }
    return false;
}

/* What has the form of a path, also where another field is wrong. */
static const char *path_of(const struct tw_hub_change *change)
{
    const struct tw_field *of_server = change->is_for_server && change->status != TW_ERR_USAGE
                                           ? tw_commands_field(change->verb, "name")
                                           : NULL;
    if (of_server != NULL) {
        const char *name = change->values[of_server - change->verb->fields].text;
        return name != NULL && may_be_secret(name) ? NULL : name;
    }
    static const char *const names[] = {"path", "in", "scope"};
    const json_t *fields = json_object_get(change->command, "fields");
    struct tw_field_value value;
    struct tw_error error;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const struct tw_field *field = tw_commands_field(change->verb, names[i]);
        const char *text = json_string_value(json_object_get(fields, names[i]));
        if (field != NULL && field->kind == TW_FIELD_PATH && text != NULL &&
            tw_commands_read_text(field, text, 0, &value, &error) == TW_OK) {
            return may_be_secret(text) ? NULL : text;
        }
    }
    return NULL;
}

/* From the first quote to the last: what is quoted may have quotes of its own. */
static void leave_out_quoted(const char *text, char *ret_text, size_t text_bytes)
{
    const char *first = strchr(text, '\''), *last = strrchr(text, '\'');
    if (first == NULL || last == first) {
        snprintf(ret_text, text_bytes, "%.*s", (int)strcspn(text, "'"), text);
    } else {
        snprintf(ret_text, text_bytes, "%.*s'...'%s", (int)(first - text), text, last + 1);
    }
}

enum tw_status tw_change_note_refusal(struct tw_hub_change *change, struct tw_error *error)
{
    struct tw_hub *hub = change->hub;
    struct tw_audit_body *body = &hub->body;
    struct tw_refusals *refusals =
        change->person != NULL ? &change->person->refusals : &hub->refusals;
    char command[64], reason[TW_LIMIT_ERROR_TEXT_BYTES + 8];
    if (!take_place(refusals, hub->now_ns)) {
        return TW_OK;
    }
    snprintf(command, sizeof command, "%s %s", change->verb->group, change->verb->verb);
    leave_out_quoted(change->was_denied ? "the roles do not allow it" : change->error.text, reason,
                     sizeof reason);
    tw_audit_body_begin(body);
    if (change->actor != 0) {
        tw_audit_body_put_int(body, "actor", change->actor);
    }
    tw_audit_body_put_text(body, "actor_name", change->actor_name);
    tw_audit_body_put_text(body, "command", command);
    if (refusals->n_left_out > 0) {
        tw_audit_body_put_int(body, "left_out", refusals->n_left_out);
    }
    tw_audit_body_put_text(body, "object", path_of(change));
    tw_audit_body_put_text(body, "reason", reason);
    tw_audit_body_put_text(body, "status", tw_status_name(change->status));
    refusals->n_left_out = 0;
    enum tw_status status = tw_audit_body_end(body, error);
    return status == TW_OK ? tw_audit_log_append(hub->audit, hub->now_ns,
                                                 tw_audit_kind_name(TW_AUDIT_COMMAND_REFUSED),
                                                 body->buf.data, body->buf.size_bytes, error)
                           : status;
}
