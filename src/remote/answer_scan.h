/* answer_scan.h: what an object of OpenAI's API says, and the same object as a client gets it.
 *
 *     an object of a server -> what it says is added to tw_answer_seen
 *                           -> written anew: other names for `model` and `id`, usage as asked for
 *
 * Chunks of a stream, whole answers, lists of embeddings and errors, as vLLM, SGLang, llama.cpp,
 * tokenworks and services write them. Members that are not named here go through byte by byte.
 *
 * Invariants:
 * 1. Counts never fall on the way. Usage is the last that was said; a server that counts as it goes
 *    says more each time, and may say it for each choice alone (counts_each): then it is their sum,
 *    until the usage of the whole comes, which is in a chunk without choices.
 * 2. An answer of n tokens has at least one byte of text, or one event, for each but the special
 *    ones: where no usage came, n_text_bytes bounds what is to be paid, and n_deltas is the least.
 *
 * Pure; threads: any. Errors: none; what is no object is text (is_odd).
 */
#ifndef TW_REMOTE_ANSWER_SCAN_H
#define TW_REMOTE_ANSWER_SCAN_H

#include "base/buf.h"
#include "base/limits.h"
#include "remote/json_span.h"

/* Which usage a client gets of a stream. */
enum tw_usage_form {
    TW_USAGE_NONE = 0, /* it did not ask: no member, and no chunk that has nothing else */
    TW_USAGE_LAST,     /* include_usage: where an answer ends; null in chunks before that */
    TW_USAGE_ALL       /* as the server says it */
};

struct tw_answer_terms {
    const char *model; /* what the client calls it; NULL: as it comes */
    const char *id;    /* NULL: as it comes */
    enum tw_usage_form usage;
    bool counts_each;  /* a chunk's usage is that of its one choice, as vLLM and SGLang say it */
    bool hides_cached; /* nothing in it tells what others left in the server's cache */
};

struct tw_answer_usage {
    bool is_known;
    bool is_last; /* it came where an answer ends, and is that of all choices */
    uint64_t n_prompt_tokens, n_cached_tokens, n_completion_tokens, n_reasoning_tokens;
};

enum tw_answer_finish {
    TW_ANSWER_GOES_ON = 0,
    TW_ANSWER_STOP,
    TW_ANSWER_LENGTH,
    TW_ANSWER_TOOL_CALLS,
    TW_ANSWER_FILTER,
    TW_ANSWER_OTHER
};

struct tw_answer_error {
    bool is_there;
    uint32_t code; /* a number that it gives as its status, such as 400; 0: none */
    char text[TW_LIMIT_REMOTE_REASON_BYTES], type[64], param[64];
};

struct tw_answer_seen {
    struct tw_answer_usage usage;
    uint64_t n_objects;
    uint64_t n_deltas;     /* of them, that brought text, thought or a part of a call */
    uint64_t n_text_bytes; /* of text, thought and calls, in UTF-8 */
    uint64_t n_odd;        /* events that are no objects */
    bool has_calls;
    uint32_t n_finished; /* choices that have ended */
    uint8_t finish[TW_LIMIT_API_CHOICES];
    uint32_t n_choice_tokens[TW_LIMIT_API_CHOICES]; /* said of each choice alone */
    struct tw_answer_error error;                   /* the first one */
};

/* Adds what an object says; true where it is to be passed on, and then written to out (without
 * what goes round it). Not passed on: errors, and chunks with nothing but an unasked usage. */
bool tw_answer_scan_object(struct tw_json_span object, const struct tw_answer_terms *terms,
                           struct tw_answer_seen *seen, struct tw_buf *out);

/* The body of a refusal: {"error": {...}}, {"object": "error", ...}, {"error": "..."},
 * {"detail": ...}, or text. ret_error->is_there is true in any case. */
void tw_answer_scan_error(const char *body, size_t n_bytes, struct tw_answer_error *ret_error);

/* A whole answer. False, with error set in seen, where it is none: it must not be passed on. */
bool tw_answer_scan_whole(const char *body, size_t n_bytes, const struct tw_answer_terms *terms,
                          struct tw_answer_seen *seen, struct tw_buf *out);

#endif
