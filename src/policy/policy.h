/* policy.h: what data may go where: classes, zones, detectors and rules, from one file in YAML.
 *
 *     file --read--> policy --decide(class, who, model, zones)--> zones | redaction and zones | no
 *
 * docs/formats/policy.md says what the file looks like.
 *
 * Invariants: 1. The first rule that fits decides; where none fits, the answer is no. 2. A zone is
 * allowed only if that rule names it. 3. What a decision depends on is in its question: there is no
 * clock, no state. 4. Policies with the same version are the same: it is the BLAKE2b hash of the
 * canonical form, which has all that was read and nothing of how it was written.
 * Ownership: all that a policy points to is its own until tw_policy_free. Threads: it does not
 * change, so any number may use one.
 * Errors: those of conf.h, and TW_ERR_FORMAT with the line of what is wrong and what to write.
 */
#ifndef TW_POLICY_POLICY_H
#define TW_POLICY_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"
#include "policy/builtin.h"
#include "policy/expression.h"

enum { TW_POLICY_NONE = -1, TW_POLICY_VERSION_BYTES = 65, TW_POLICY_SHORT_VERSION_BYTES = 13 };

struct tw_policy_zone {
    const char *name;
    const char *about; /* NULL: nothing is said */
    unsigned trust;    /* more is more */
};

struct tw_policy_detector {
    const char *name;
    unsigned class;         /* that a text with it has at least */
    enum tw_builtin kind;   /* TW_BUILTIN_COUNT where it is an expression */
    const char *expression; /* its source; NULL where it is built in */
    enum tw_checksum checksum;
    struct tw_expression *compiled;
};

/* Words of a list; n_words is 0 where the rule has none and all fit. */
struct tw_policy_words {
    const char **words;
    size_t n_words;
};

/* What a request of some has at least. */
struct tw_policy_floor {
    struct tw_policy_words who; /* not none */
    unsigned class;
};

struct tw_policy_rule {
    const char *name;
    uint32_t classes;           /* bits */
    struct tw_policy_words who; /* of organisations, teams, projects */
    struct tw_policy_words models;
    uint64_t zones;       /* bits; 0 where it refuses */
    const char *sentence; /* with which it refuses; NULL where it allows */
    uint64_t redact;      /* bits of detectors */
    int left_up_to;       /* a class, or TW_POLICY_NONE */
};

struct tw_policy {
    struct tw_arena arena;
    const char *classes[TW_LIMIT_POLICY_CLASSES]; /* [n_classes] lowest first */
    struct tw_policy_zone zones[TW_LIMIT_POLICY_ZONES];
    struct tw_policy_detector detectors[TW_LIMIT_POLICY_DETECTORS];
    struct tw_policy_rule rules[TW_LIMIT_POLICY_RULES];
    size_t n_classes, n_zones, n_detectors, n_rules;
    const struct tw_policy_floor *floors; /* [n_floors] */
    size_t n_floors;
    unsigned floor;                        /* the class that every request has at least */
    unsigned unread;                       /* that of what no detector can read */
    const char *canonical;                 /* JSON in one line */
    char version[TW_POLICY_VERSION_BYTES]; /* hexadecimal */
    char short_version[TW_POLICY_SHORT_VERSION_BYTES]; /* its beginning, to be shown */
};

/* name goes into messages. */
enum tw_status tw_policy_read(const char *text, size_t text_bytes, const char *name,
                              struct tw_policy **ret_policy, struct tw_error *error);
enum tw_status tw_policy_load(const char *path, struct tw_policy **ret_policy,
                              struct tw_error *error);
/* NULL is allowed. */
void tw_policy_free(struct tw_policy *policy);

/* The number of a class (whatever its case), a zone, a detector; TW_POLICY_NONE. */
int tw_policy_find_class(const struct tw_policy *policy, const char *name);
int tw_policy_find_zone(const struct tw_policy *policy, const char *name);
int tw_policy_find_detector(const struct tw_policy *policy, const char *name);

/* Whether a rule or a floor is for some alone. */
bool tw_policy_asks_who(const struct tw_policy *policy);
/* Whether a floor or a rule that is for one of two paths is not for the other: then what has the
 * one must not be given the other. */
bool tw_policy_tells_apart(const struct tw_policy *policy, const char *who, const char *other);
/* The class that a request of who has at least, whatever it says; NULL: of nobody. */
unsigned tw_policy_floor_of(const struct tw_policy *policy, const char *who);

/* ---- decisions ---- */

/* How high a request is: the higher of what detectors found in it and of what else is known. */
struct tw_policy_rank {
    unsigned class;
    unsigned by_others; /* the class without any detector's finding */
    uint64_t found;     /* detectors that found something: bits */
};

struct tw_policy_question {
    struct tw_policy_rank rank;
    const char *who;   /* "organisation/team/project/key", as far as it is known; NULL: nobody */
    const char *model; /* NULL: none */
    uint64_t zones;    /* where it could run: bits */
};

struct tw_policy_decision {
    int rule; /* its number, or TW_POLICY_NONE where no rule fits */
    bool is_allowed;
    uint64_t zones;  /* where it may run, of those that were asked for; 0 where it may not */
    uint64_t redact; /* detectors whose findings are to be replaced before it leaves */
    char sentence[TW_LIMIT_ERROR_TEXT_BYTES]; /* for the client, where it is refused */
};

/* Where the rule that fits allows none of the zones that were asked for, the answer is no. */
void tw_policy_decide(const struct tw_policy *policy, const struct tw_policy_question *question,
                      struct tw_policy_decision *ret_decision);

/* What decides whether a rule fits, one part after the other. */
enum tw_policy_fit {
    TW_POLICY_FITS = 0,
    TW_POLICY_OTHER_CLASS,
    TW_POLICY_OTHER_WHO,
    TW_POLICY_OTHER_MODEL,
    TW_POLICY_LEAVES_MORE, /* than left-up-to: of a class that redaction does not take away */
    TW_POLICY_OTHER_ZONE,  /* it redacts for zones alone where the request could not run */
    TW_POLICY_FIT_COUNT
};
enum tw_policy_fit tw_policy_rule_fits(const struct tw_policy *policy, size_t rule,
                                       const struct tw_policy_question *question);

/* The earlier rule because of which a rule is never reached; TW_POLICY_NONE: it is. */
int tw_policy_hidden_by(const struct tw_policy *policy, size_t rule);

#endif
