#include "policy/policy.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "base/mem.h"

void tw_policy_free(struct tw_policy *policy)
{
    if (policy == NULL) {
        return;
    }
    for (size_t i = 0; i < policy->n_detectors; i++) {
        tw_expression_free(policy->detectors[i].compiled);
    }
    tw_arena_clear(&policy->arena);
    tw_mem_free(policy);
}

enum tw_status tw_policy_load(const char *path, struct tw_policy **ret_policy,
                              struct tw_error *error)
{
    struct tw_buf text;
    enum tw_status status = tw_file_read(path, TW_LIMIT_CONF_BYTES, &text, error);
    if (status == TW_OK) {
        status = tw_policy_read(text.size_bytes > 0 ? text.data : "", text.size_bytes, path,
                                ret_policy, error);
        tw_buf_free(&text);
    }
    return status;
}

int tw_policy_find_class(const struct tw_policy *policy, const char *name)
{
    for (size_t i = 0; i < policy->n_classes; i++) {
        if (strcasecmp(policy->classes[i], name) == 0) {
            return (int)i;
        }
    }
    return TW_POLICY_NONE;
}

int tw_policy_find_zone(const struct tw_policy *policy, const char *name)
{
    for (size_t i = 0; i < policy->n_zones; i++) {
        if (strcmp(policy->zones[i].name, name) == 0) {
            return (int)i;
        }
    }
    return TW_POLICY_NONE;
}

int tw_policy_find_detector(const struct tw_policy *policy, const char *name)
{
    for (size_t i = 0; i < policy->n_detectors; i++) {
        if (strcmp(policy->detectors[i].name, name) == 0) {
            return (int)i;
        }
    }
    return TW_POLICY_NONE;
}

/* ---- whether a rule fits ---- */

/* A star stands for any characters. When what follows one does not fit, the last star takes one
 * more: earlier ones need not. */
static bool fits_pattern(const char *pattern, size_t pattern_bytes, const char *text,
                         size_t text_bytes)
{
    size_t p = 0, t = 0, star = SIZE_MAX, behind = 0;
    while (t < text_bytes) {
        if (p < pattern_bytes && pattern[p] == '*') {
            star = p++;
            behind = t;
        } else if (p < pattern_bytes && pattern[p] == text[t]) {
            p++;
            t++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            t = ++behind;
        } else {
            return false;
        }
    }
    while (p < pattern_bytes && pattern[p] == '*') {
        p++;
    }
    return p == pattern_bytes;
}

/* "acme/research" fits all that is in it; a star stays within its part. */
static bool fits_path(const char *pattern, const char *path)
{
    for (;;) {
        const size_t n_pattern = strcspn(pattern, "/"), n_path = strcspn(path, "/");
        if (n_path == 0 || !fits_pattern(pattern, n_pattern, path, n_path)) {
            return false;
        }
        if (pattern[n_pattern] == '\0') {
            return true;
        }
        if (path[n_path] == '\0') {
            return false;
        }
        pattern += n_pattern + 1;
        path += n_path + 1;
    }
}

static bool fits_who(const struct tw_policy_words *list, const char *who)
{
    for (size_t i = 0; who != NULL && i < list->n_words; i++) {
        if (fits_path(list->words[i], who)) {
            return true;
        }
    }
    return list->n_words == 0;
}

bool tw_policy_asks_who(const struct tw_policy *policy)
{
    bool asks = policy->n_floors > 0;
    for (size_t i = 0; i < policy->n_rules; i++) {
        asks = asks || policy->rules[i].who.n_words > 0;
    }
    return asks;
}

/* So many names of a pattern as the paths have decide about them. */
static bool tells_apart(const struct tw_policy_words *list, const char *who, const char *other)
{
    for (size_t i = 0; i < list->n_words; i++) {
        char pattern[TW_LIMIT_POLICY_PATTERN_BYTES];
        snprintf(pattern, sizeof pattern, "%s", list->words[i]);
        char *end = pattern;
        for (const char *at = who; at != NULL && *end != '\0'; at = strchr(at, '/')) {
            at += *at == '/';
            end += strcspn(end, "/");
            end += *end == '/' && strchr(at, '/') != NULL;
        }
        *end = '\0';
        if (fits_path(pattern, who) != fits_path(pattern, other)) {
            return true;
        }
    }
    return false;
}

bool tw_policy_tells_apart(const struct tw_policy *policy, const char *who, const char *other)
{
    bool tells = false;
    for (size_t i = 0; i < policy->n_floors; i++) {
        tells = tells || tells_apart(&policy->floors[i].who, who, other);
    }
    for (size_t i = 0; i < policy->n_rules; i++) {
        tells = tells || tells_apart(&policy->rules[i].who, who, other);
    }
    return tells;
}

unsigned tw_policy_floor_of(const struct tw_policy *policy, const char *who)
{
    unsigned class = policy->floor;
    for (size_t i = 0; who != NULL && i < policy->n_floors; i++) {
        const struct tw_policy_floor *floor = &policy->floors[i];
        class = floor->class > class && fits_who(&floor->who, who) ? floor->class : class;
    }
    return class;
}

static bool fits_model(const struct tw_policy_words *list, const char *model)
{
    for (size_t i = 0; model != NULL && i < list->n_words; i++) {
        if (fits_pattern(list->words[i], strlen(list->words[i]), model, strlen(model))) {
            return true;
        }
    }
    return list->n_words == 0;
}

/* The class without what the redaction takes away. */
static unsigned class_left(const struct tw_policy *policy, uint64_t redact,
                           const struct tw_policy_rank *rank)
{
    unsigned class = rank->by_others;
    for (size_t i = 0; i < policy->n_detectors; i++) {
        const bool is_left = (rank->found & ~redact & UINT64_C(1) << i) != 0;
        if (is_left && policy->detectors[i].class > class) {
            class = policy->detectors[i].class;
        }
    }
    return class;
}

enum tw_policy_fit tw_policy_rule_fits(const struct tw_policy *policy, size_t rule,
                                       const struct tw_policy_question *question)
{
    const struct tw_policy_rule *r = &policy->rules[rule];
    if ((r->classes >> question->rank.class & 1) == 0) {
        return TW_POLICY_OTHER_CLASS;
    }
    if (!fits_who(&r->who, question->who)) {
        return TW_POLICY_OTHER_WHO;
    }
    if (!fits_model(&r->models, question->model)) {
        return TW_POLICY_OTHER_MODEL;
    }
    const bool leaves_more =
        r->left_up_to != TW_POLICY_NONE &&
        class_left(policy, r->redact, &question->rank) > (unsigned)r->left_up_to;
    if (leaves_more) {
        return TW_POLICY_LEAVES_MORE;
    }
    /* To replace is another way than to refuse, so it is taken where it leads somewhere. */
    return r->redact != 0 && (r->zones & question->zones) == 0 ? TW_POLICY_OTHER_ZONE
                                                               : TW_POLICY_FITS;
}

int tw_policy_hidden_by(const struct tw_policy *policy, size_t rule)
{
    uint32_t left = policy->rules[rule].classes;
    for (size_t i = 0; i < rule; i++) {
        const struct tw_policy_rule *r = &policy->rules[i];
        if (r->who.n_words == 0 && r->models.n_words == 0 && r->redact == 0) {
            left &= ~r->classes;
            if (left == 0) {
                return (int)i;
            }
        }
    }
    return TW_POLICY_NONE;
}

/* ---- decisions ---- */

static void list_zones(const struct tw_policy *policy, uint64_t zones, char *text, size_t n_bytes)
{
    size_t n = 0;
    text[0] = '\0';
    for (size_t i = 0; i < policy->n_zones && n < n_bytes; i++) {
        if ((zones >> i & 1) != 0) {
            n += (size_t)snprintf(text + n, n_bytes - n, "%s%s", n > 0 ? ", " : "",
                                  policy->zones[i].name);
        }
    }
}

static void say_no_rule(const struct tw_policy *policy, const struct tw_policy_question *question,
                        struct tw_policy_decision *decision)
{
    snprintf(
        decision->sentence, sizeof decision->sentence,
        "this request is %s, and no rule of the policy lets it run anywhere; send less, or ask "
        "whoever keeps the policy",
        policy->classes[question->rank.class]);
}

static void say_no_zone(const struct tw_policy *policy, const struct tw_policy_question *question,
                        uint64_t zones, struct tw_policy_decision *decision)
{
    char list[160];
    list_zones(policy, zones, list, sizeof list);
    snprintf(decision->sentence, sizeof decision->sentence,
             "this request is %s and may run in %s only; this model does not run there now",
             policy->classes[question->rank.class], list);
}

void tw_policy_decide(const struct tw_policy *policy, const struct tw_policy_question *question,
                      struct tw_policy_decision *ret_decision)
{
    struct tw_policy_decision decision = {.rule = TW_POLICY_NONE};
    size_t i = 0;
    while (i < policy->n_rules && tw_policy_rule_fits(policy, i, question) != TW_POLICY_FITS) {
        i++;
    }
    if (i == policy->n_rules) {
        say_no_rule(policy, question, &decision);
        *ret_decision = decision;
        return;
    }
    const struct tw_policy_rule *rule = &policy->rules[i];
    decision.rule = (int)i;
    decision.zones = rule->zones & question->zones;
    decision.is_allowed = decision.zones != 0;
    decision.redact = decision.is_allowed ? rule->redact : 0;
    if (rule->sentence != NULL) {
        snprintf(decision.sentence, sizeof decision.sentence, "%s", rule->sentence);
    } else if (!decision.is_allowed) {
        say_no_zone(policy, question, rule->zones, &decision);
    }
    *ret_decision = decision;
}
