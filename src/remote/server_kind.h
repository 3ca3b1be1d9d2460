/* server_kind.h: kinds of servers behind us: what each understands beyond OpenAI's API.
 *
 *     member of a request -> passed on | kept back in silence | left out and named
 *
 * Passed on is what is known to shape an answer, and nothing else: a server's other members pick
 * files, adapters and slots of it, or ports of its neighbours, or put one tenant before another.
 * What says who asks and how the house keeps books (user, metadata, store, ...) stays here and is
 * no loss to the answer. All else is left out, and its sender told.
 *
 * Threads: any; it is constant.
 */
#ifndef TW_REMOTE_SERVER_KIND_H
#define TW_REMOTE_SERVER_KIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a model of a server can do beyond one text for another. */
enum tw_server_ability {
    TW_SERVER_TOOLS = 1,
    TW_SERVER_SCHEMAS = 2,
    TW_SERVER_EMBEDDINGS = 4,
    TW_SERVER_IMAGES = 8,
    TW_SERVER_LOGPROBS = 16,
    TW_SERVER_CHOICES = 32, /* several answers to one request */
    TW_SERVER_ANSWERS = 64, /* texts at all: a model for embeddings makes none */
    TW_SERVER_ALL = 127
};

struct tw_server_kind {
    const char *name;
    uint32_t abilities;   /* of its models, where nobody says otherwise */
    bool counts_on;       /* its streams say how many tokens there are as they go */
    bool counts_each;     /* and say it of each choice alone */
    bool takes_salt;      /* it keeps tenants' cached beginnings apart when it is told to */
    bool knows_new_limit; /* max_completion_tokens; older ones max_tokens */
};

/* "openai", "vllm", "sglang", "llama.cpp", "tokenworks"; NULL: another word. */
const struct tw_server_kind *tw_server_kind_named(const char *name);
/* The names, separated by ", ". */
const char *tw_server_kind_names(void);

enum tw_server_member { TW_MEMBER_PASSED = 0, TW_MEMBER_KEPT, TW_MEMBER_UNKNOWN };
enum tw_server_member tw_server_kind_member(const struct tw_server_kind *kind, const char *name);

/* "tools", "schemas", ...; 0: another word. */
uint32_t tw_server_ability_named(const char *name);
/* Of the least bit that is set: for messages. */
const char *tw_server_ability_name(uint32_t abilities);

#endif
