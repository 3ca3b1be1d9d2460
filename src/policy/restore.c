/* Pseudonyms in an answer, put back: a machine that holds back what may still become one. */
#include <string.h>

#include "policy/redact_parts.h"

enum { BRACKET_BYTES = 6 }; /* as an escape */

enum reading { NONE = 0, MORE, WHOLE };

void tw_restorer_begin(struct tw_restorer *restorer, const struct tw_redaction *redaction,
                       bool is_json)
{
    restorer->redaction = redaction;
    restorer->is_json = is_json;
    restorer->n_held = 0;
}

/* A bracket at a place, plain or, in JSON, as an escape: its bytes in *ret_bytes. */
static enum reading read_bracket(const struct tw_restorer *restorer, size_t at, char plain,
                                 char last, size_t *ret_bytes)
{
    const char escape[BRACKET_BYTES] = {'\\', 'u', '0', '0', '3', last};
    const char *text = restorer->held + at;
    const size_t n = restorer->n_held - at;
    if (n == 0) {
        return MORE;
    }
    if (text[0] == plain) {
        *ret_bytes = 1;
        return WHOLE;
    }
    if (!restorer->is_json) {
        return NONE;
    }
    for (size_t i = 0; i < BRACKET_BYTES; i++) {
        if (i == n) {
            return MORE;
        }
        const char c = i == BRACKET_BYTES - 1 ? (char)(text[i] | 0x20) : text[i];
        if (c != escape[i]) {
            return NONE;
        }
    }
    *ret_bytes = BRACKET_BYTES;
    return WHOLE;
}

static bool is_of_name(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* What is held, from its beginning: a pseudonym of *ret_bytes, the beginning of one, or none. */
static enum reading read_held(const struct tw_restorer *restorer, size_t *ret_bytes,
                              const struct tw_pseudonym **ret_pseudonym)
{
    size_t n_open = 0, n_close = 0;
    enum reading reading = read_bracket(restorer, 0, '<', 'c', &n_open);
    if (reading != WHOLE) {
        return reading;
    }
    size_t end = n_open;
    while (end < restorer->n_held && is_of_name(restorer->held[end])) {
        end++;
    }
    if (end - n_open > restorer->redaction->longest_name_bytes) {
        return NONE;
    }
    reading = read_bracket(restorer, end, '>', 'e', &n_close);
    if (reading != WHOLE) {
        return reading;
    }
    *ret_pseudonym = tw_redact_find(restorer->redaction, restorer->held + n_open, end - n_open);
    *ret_bytes = end + n_close;
    return *ret_pseudonym != NULL ? WHOLE : NONE;
}

static void drop(struct tw_restorer *restorer, size_t n)
{
    memmove(restorer->held, restorer->held + n, restorer->n_held - n);
    restorer->n_held -= n;
}

static bool may_begin(const struct tw_restorer *restorer, char c)
{
    return c == '<' || (restorer->is_json && c == '\\');
}

/* Lets go what is certain to be no pseudonym. An escape of JSON goes whole: the second of two
 * backslashes begins nothing. */
static void let_go(struct tw_restorer *restorer, struct tw_buf *out)
{
    const bool is_escape = restorer->held[0] == '\\' && restorer->n_held > 1;
    size_t n = is_escape ? 2 : 1;
    while (n < restorer->n_held && !may_begin(restorer, restorer->held[n])) {
        n++;
    }
    tw_buf_append(out, restorer->held, n);
    drop(restorer, n);
}

/* Until what is held may still become something. */
static void settle(struct tw_restorer *restorer, bool is_over, struct tw_buf *out)
{
    while (restorer->n_held > 0) {
        const struct tw_pseudonym *pseudonym = NULL;
        size_t n = 0;
        const enum reading reading = read_held(restorer, &n, &pseudonym);
        if (reading == WHOLE) {
            tw_buf_append(out, restorer->is_json ? pseudonym->escaped : pseudonym->value,
                          restorer->is_json ? pseudonym->escaped_bytes : pseudonym->value_bytes);
            drop(restorer, n);
        } else if (reading == NONE || is_over) {
            let_go(restorer, out);
        } else {
            return;
        }
    }
}

void tw_restorer_push(struct tw_restorer *restorer, const char *piece, size_t piece_bytes,
                      struct tw_buf *out)
{
    if (restorer->redaction->n_items == 0) {
        tw_buf_append(out, piece, piece_bytes);
        return;
    }
    for (size_t at = 0; at < piece_bytes;) {
        size_t end = at;
        while (restorer->n_held == 0 && end < piece_bytes && !may_begin(restorer, piece[end])) {
            end++;
        }
        tw_buf_append(out, piece + at, end - at);
        at = end;
        if (at < piece_bytes) {
            restorer->held[restorer->n_held++] = piece[at++];
            settle(restorer, false, out);
        }
    }
}

void tw_restorer_end(struct tw_restorer *restorer, struct tw_buf *out)
{
    settle(restorer, true, out);
}

/* ---- a whole answer ---- */

static bool restore_string(const struct tw_redaction *redaction, json_t *string, bool is_json)
{
    struct tw_restorer restorer;
    struct tw_buf out;
    tw_buf_init(&out, TW_LIMIT_POLICY_TEXT_BYTES);
    tw_restorer_begin(&restorer, redaction, is_json);
    tw_restorer_push(&restorer, json_string_value(string), json_string_length(string), &out);
    tw_restorer_end(&restorer, &out);
    const bool is_set = !out.failed && json_string_setn(string, out.data != NULL ? out.data : "",
                                                        out.size_bytes) == 0;
    tw_buf_free(&out);
    return is_set;
}

static bool restore_value(const struct tw_redaction *redaction, json_t *value, const char *name,
                          bool content_is_json)
{
    const char *key;
    json_t *item;
    size_t i;
    bool is_ok = true;
    if (json_is_string(value)) {
        const bool is_json =
            strcmp(name, "arguments") == 0 || (content_is_json && strcmp(name, "content") == 0);
        is_ok = restore_string(redaction, value, is_json);
    }
    json_object_foreach (value, key, item) {
        is_ok = is_ok && restore_value(redaction, item, key, content_is_json);
    }
    json_array_foreach (value, i, item) {
        is_ok = is_ok && restore_value(redaction, item, name, content_is_json);
    }
    return is_ok;
}

enum tw_status tw_redaction_restore(const struct tw_redaction *redaction, json_t *answer,
                                    bool content_is_json, struct tw_error *error)
{
    return redaction->n_items == 0 || restore_value(redaction, answer, "", content_is_json)
               ? TW_OK
               : tw_redact_no_memory(error);
}
