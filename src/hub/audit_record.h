/* audit_record.h: the bodies of audit records: canonical JSON, the same bytes for the same facts.
 *
 *     tw_audit_body_init -> { tw_audit_body_begin -> put ... -> tw_audit_body_end -> use it }
 *                        -> tw_audit_body_free
 *
 * Canonical: one line, no spaces, keys in the order of their bytes, integers of 64 bits and
 * strings, no other values. What is not known is not there. A number with a fraction is a string:
 * the shortest decimal that reads back equal.
 *
 * Invariants:
 * 1. Strings are data, whoever wrote them: quotes, control characters and what turns the direction
 *    of writing are escaped, bytes that are no UTF-8 become U+FFFD, and a text of more than
 *    TW_LIMIT_AUDIT_TEXT_BYTES is cut at a character, with the number of bytes that are missing.
 *    The body then ends with the field "was_cut", how many texts were, which no text can imitate.
 * 2. Keys of one object are put in their order; the opposite is a mistake of ours.
 * 3. The record of a request always fits, whatever the client sent.
 *
 * Ownership: the body owns its text until it begins again or is freed; keys are the caller's and
 * stay until the end of their object. Threads: one at a time.
 * Errors: TW_ERR_LIMIT for a change of configuration of more than TW_LIMIT_AUDIT_BODY_BYTES,
 * TW_ERR_MEMORY.
 */
#ifndef TW_HUB_AUDIT_RECORD_H
#define TW_HUB_AUDIT_RECORD_H

#include "base/json.h"

struct tw_audit_body {
    struct tw_buf buf; /* the text, complete after tw_audit_body_end */
    struct tw_json_writer json;
    const char *last_key[TW_LIMIT_AUDIT_DEPTH + 1];
    int64_t n_cut; /* texts */
};

void tw_audit_body_init(struct tw_audit_body *body);
void tw_audit_body_free(struct tw_audit_body *body);

void tw_audit_body_begin(struct tw_audit_body *body);
enum tw_status tw_audit_body_end(struct tw_audit_body *body, struct tw_error *error);

/* In an object with a key; in a list key is NULL. */
void tw_audit_body_object_begin(struct tw_audit_body *body, const char *key);
void tw_audit_body_object_end(struct tw_audit_body *body);
void tw_audit_body_list_begin(struct tw_audit_body *body, const char *key);
void tw_audit_body_list_end(struct tw_audit_body *body);

void tw_audit_body_put_int(struct tw_audit_body *body, const char *key, int64_t value);
/* NULL: nothing is put. */
void tw_audit_body_put_text(struct tw_audit_body *body, const char *key, const char *text);
void tw_audit_body_put_bytes(struct tw_audit_body *body, const char *key, const char *text,
                             size_t text_bytes);
/* Hexadecimal digits. NULL: nothing is put. */
void tw_audit_body_put_hex(struct tw_audit_body *body, const char *key, const void *bytes,
                           size_t n_bytes);
/* As strings: a fraction, and what 63 bits may not hold. */
void tw_audit_body_put_double(struct tw_audit_body *body, const char *key, double value);
void tw_audit_body_put_uint(struct tw_audit_body *body, const char *key, uint64_t value);

/* What a record is of. */
enum tw_audit_kind {
    TW_AUDIT_REQUEST_SETTLED = 0, /* request.settled */
    TW_AUDIT_REQUEST_REFUSED,     /* request.refused */
    TW_AUDIT_REQUEST_RECOVERED,   /* request.recovered: settled at its watermark after a crash */
    TW_AUDIT_CONFIG_CHANGED,      /* config.changed */
    TW_AUDIT_BUDGET_CROSSED,      /* budget.crossed: a limit that refuses nobody */
    TW_AUDIT_HUB_STARTED,         /* hub.started */
    TW_AUDIT_HUB_STOPPED,         /* hub.stopped */
    TW_AUDIT_CONTENT_READ,        /* content.read: somebody saw what was stored */
    TW_AUDIT_CONTENT_EXPIRED,     /* content.expired: it was kept for long enough */
    TW_AUDIT_SUBJECT_ERASED,      /* subject.erased */
    TW_AUDIT_SUBJECT_HELD,        /* subject.held: nothing of it may be erased */
    TW_AUDIT_SUBJECT_RELEASED,    /* subject.released */
    TW_AUDIT_COMMAND_REFUSED,     /* command.refused: a change, or by role */
    TW_AUDIT_CHANGE_PROPOSED,     /* change.proposed: two people are needed for it */
    TW_AUDIT_CHANGE_APPROVED,     /* change.approved: and was done by that */
    TW_AUDIT_CHANGE_REJECTED,     /* change.rejected */
    TW_AUDIT_FILE_ADDED,          /* file.added: requests for a batch */
    TW_AUDIT_FILE_DELETED,        /* file.deleted: by a client, not by its age */
    TW_AUDIT_BATCH_CREATED,       /* batch.created */
    TW_AUDIT_BATCH_CANCELLED,     /* batch.cancelled: somebody asked for that */
    TW_AUDIT_KIND_COUNT
};
const char *tw_audit_kind_name(enum tw_audit_kind kind);

struct tw_audit_sampling {
    double temperature, top_p, min_p;
    double repetition_penalty, frequency_penalty, presence_penalty;
    int64_t top_k, max_tokens;
    uint64_t seed;
};

/* A budget's window as a request met it: what is left, in the budget's unit. */
struct tw_audit_budget {
    int64_t budget, starts_s;
    int64_t left_before, left_after;
};

/* Where a request ran or was to run, and why. Texts may be NULL. */
struct tw_audit_route {
    const char *backend, *zone;
    const char *class, *class_reason; /* of its data; never the data */
    const char *policy, *rule;        /* the policy's version; the rule that decided */
    const char *instead_of;           /* the model that was asked for, where another one ran */
};

/* Texts may be NULL, ids 0: they are left out. The key's id is recorded, never the key. */
struct tw_audit_request {
    const char *request;
    int64_t number; /* in the ledger */
    int64_t org, team, project, user, key;
    const char *model, *model_digest, *build, *isa;
    const char *price_class;                  /* standard, batch */
    const struct tw_audit_sampling *sampling; /* NULL: not known */
    const struct tw_audit_route *route;       /* the same */
    int64_t prompt_tokens, cached_tokens, output_tokens;
    /* What a server counted, where that is more than could be paid; otherwise 0. */
    int64_t reported_prompt_tokens, reported_output_tokens;
    int64_t price; /* its version; 0: free */
    int64_t cost_nano;
    const struct tw_audit_budget *budgets; /* the first TW_LIMIT_AUDIT_BUDGETS of them */
    size_t n_budgets;
    const char *finish;
    const void *commitment; /* to what was asked and answered, NULL: none */
    size_t commitment_bytes;
    const void *subject; /* by which whoever has its key finds whom it is about; NULL: not known */
    size_t subject_bytes;
    const char *content; /* what became of what was to be stored; NULL: nothing was */
    int http_status;     /* of a refusal; 0: it was not refused */
    const char *reason;  /* of a refusal */
};
enum tw_status tw_audit_body_request(struct tw_audit_body *body,
                                     const struct tw_audit_request *request,
                                     struct tw_error *error);

enum tw_audit_value_kind { TW_AUDIT_ABSENT = 0, TW_AUDIT_INTEGER, TW_AUDIT_TEXT };
struct tw_audit_value {
    enum tw_audit_value_kind kind;
    int64_t integer;
    const char *text;
};
struct tw_audit_value tw_audit_integer(int64_t integer);
struct tw_audit_value tw_audit_text(const char *text); /* NULL: absent */

/* A field that a command changed; absent before: it was made, absent after: it was taken away. */
struct tw_audit_field {
    const char *name; /* each name once */
    struct tw_audit_value before, after;
};
struct tw_audit_change {
    int64_t actor;                       /* a user's id; 0: nobody who has one */
    const char *actor_name;              /* who that is, or what: "console" */
    const char *command;                 /* "budget set" */
    const char *object;                  /* which one: "project 7" */
    const struct tw_audit_field *fields; /* [n_fields], at most TW_LIMIT_AUDIT_CHANGES */
    size_t n_fields;
};
enum tw_status tw_audit_body_change(struct tw_audit_body *body,
                                    const struct tw_audit_change *change, struct tw_error *error);

#endif
