/* completion_json.h: the objects of a completion, whole and in chunks, as OpenAI sends them. */
#ifndef TW_API_COMPLETION_JSON_H
#define TW_API_COMPLETION_JSON_H

#include "api/api_state.h"

/* What every object of one answer says. */
struct tw_completion_head {
    bool is_chat;
    char id[96];
    int64_t created_s;
    const char *model;
};

struct tw_completion_usage {
    uint64_t n_prompt_tokens, n_cached_tokens, n_completion_tokens;
    uint64_t n_reasoning_tokens; /* of those of the completion */
};

/* Log-probabilities not yet sent, as items of lists: of a chat, objects in items[0]; of a text,
 * tokens, their log-probabilities, the best ones, and where in the text each token begins. */
enum { COMPLETION_LOGPROB_LISTS = 4 };
struct tw_completion_logprobs {
    struct tw_buf items[COMPLETION_LOGPROB_LISTS];
    uint64_t n_characters; /* of the text so far */
    bool drops_space;      /* the first one is left out of the text */
};

/* A call of a tool, in chunks: first id and name, then the arguments. */
struct tw_completion_call {
    uint32_t index;
    const char *id, *name; /* NULL: the arguments */
    struct tw_bytes arguments;
};

/* One of the answers. */
struct tw_completion_choice {
    uint32_t index;
    struct tw_bytes reasoning; /* what the model thought; empty: nothing */
    struct tw_bytes text;
    bool has_role;                                 /* chunks: the first one of a chat */
    const char *finish_reason;                     /* NULL: goes on */
    const char *limited_by;                        /* why it is no longer; NULL: nothing to say */
    const struct tw_completion_logprobs *logprobs; /* NULL: not asked for */
    const struct tw_completion_call *call;         /* chunks: a call instead of text */
    const struct tw_buf *calls; /* whole: items of the list of calls; NULL: none */
};

void tw_completion_logprobs_init(struct tw_completion_logprobs *logprobs);
void tw_completion_logprobs_free(struct tw_completion_logprobs *logprobs);
bool tw_completion_logprobs_failed(const struct tw_completion_logprobs *logprobs);
/* The first token of an echoed prompt, which has no log-probability. */
void tw_completion_logprobs_begin(struct tw_completion_logprobs *logprobs, tw_token token,
                                  const struct tw_tokenizer *tokenizer);
/* Forgets what was sent. */
void tw_completion_logprobs_clear(struct tw_completion_logprobs *logprobs);
/* A chat leaves out the token that ended the answer: it has no text. */
void tw_completion_logprobs_add(struct tw_completion_logprobs *logprobs,
                                const struct tw_output *output, bool is_chat,
                                const struct tw_tokenizer *tokenizer);

/* "data: {...}\n\n". choice NULL: the chunk with the usage; says_usage: those without one carry
 * "usage": null. */
void tw_completion_json_chunk(struct tw_buf *out, const struct tw_completion_head *head,
                              const struct tw_completion_choice *choice,
                              const struct tw_completion_usage *usage, bool says_usage);

/* A whole call as an item for tw_completion_choice.calls. */
void tw_completion_json_call(struct tw_buf *items, const struct tw_completion_call *call);

void tw_completion_json_whole(struct tw_buf *out, const struct tw_completion_head *head,
                              const struct tw_completion_choice *choices, size_t n_choices,
                              const struct tw_completion_usage *usage);

#endif
