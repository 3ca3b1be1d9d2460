#include "policy/classify.h"

#include <stdio.h>
#include <string.h>

#include "policy/detect.h"

const char *tw_classify_source_name(enum tw_classify_source source)
{
    static const char *const names[] = {"policy",   "floor",  "header", "stored",
                                        "detector", "unread", "failed"};
    return names[source];
}

/* ---- reasons ---- */

static void add_reason(struct tw_classified *out, enum tw_classify_source source, unsigned class,
                       int detector, const char *place)
{
    out->rank.class = class > out->rank.class ? class : out->rank.class;
    if (source == TW_CLASSIFY_DETECTOR) {
        out->rank.found |= UINT64_C(1) << detector;
    } else if (class > out->rank.by_others) {
        out->rank.by_others = class;
    }
    const bool is_of_text = source >= TW_CLASSIFY_DETECTOR;
    for (size_t i = 0; is_of_text && i < out->n_reasons; i++) {
        struct tw_classify_reason *reason = &out->reasons[i];
        if (reason->source == source && reason->detector == detector) {
            reason->n++;
            return;
        }
    }
    struct tw_classify_reason *reason = &out->reasons[out->n_reasons++];
    *reason =
        (struct tw_classify_reason){.source = source, .class = class, .detector = detector, .n = 1};
    snprintf(reason->place, sizeof reason->place, "%s", place);
}

void tw_classify_say(const struct tw_policy *policy, const struct tw_classify_reason *reason,
                     char ret_sentence[TW_CLASSIFY_SENTENCE_BYTES])
{
    static const char *const whys[] = {"every request is at least that",
                                       "its key or project is at least that",
                                       "the client said so",
                                       "the conversation was that before",
                                       "",
                                       "no detector can read",
                                       "could not look at all of"};
    const char *name =
        reason->detector != TW_POLICY_NONE ? policy->detectors[reason->detector].name : "";
    int n = snprintf(ret_sentence, TW_CLASSIFY_SENTENCE_BYTES, "%s: %s%s",
                     policy->classes[reason->class], name,
                     reason->source == TW_CLASSIFY_FAILED ? " " : "");
    n += snprintf(ret_sentence + n, TW_CLASSIFY_SENTENCE_BYTES - (size_t)n, "%s",
                  whys[reason->source]);
    if (reason->place[0] != '\0') {
        n += snprintf(ret_sentence + n, TW_CLASSIFY_SENTENCE_BYTES - (size_t)n, "%s%s",
                      reason->source == TW_CLASSIFY_DETECTOR ? " in " : " ", reason->place);
    }
    if (reason->n > 1) {
        snprintf(ret_sentence + n, TW_CLASSIFY_SENTENCE_BYTES - (size_t)n, ", %llu times",
                 (unsigned long long)reason->n);
    }
}

/* ---- the body ---- */

struct walk {
    const struct tw_policy *policy;
    struct tw_classified *out;
    struct tw_detect_work work;
    uint64_t detectors;
    unsigned texts_deep; /* texts within texts */
    char place[TW_CLASSIFY_PLACE_BYTES];
};

static void on_found(void *context, unsigned detector, size_t begin, size_t end)
{
    struct walk *walk = context;
    (void)begin;
    (void)end;
    add_reason(walk->out, TW_CLASSIFY_DETECTOR, walk->policy->detectors[detector].class,
               (int)detector, walk->place);
}

static void walk_value(struct walk *walk, const json_t *value, unsigned level);

/* What is written with escapes is something else to whoever reads the JSON that it is. */
static void walk_json(struct walk *walk, const char *text, size_t n)
{
    json_t *value;
    const size_t at = strspn(text, " \t\r\n");
    const bool may_be = text[at] == '{' || text[at] == '[' || text[at] == '"';
    if (!may_be || memchr(text, '\\', n) == NULL ||
        walk->texts_deep == TW_LIMIT_POLICY_TEXTS_DEEP ||
        tw_json_parse(text, n, "", &value, NULL) != TW_OK) {
        return;
    }
    walk->texts_deep++;
    walk_value(walk, value, 3);
    walk->texts_deep--;
    json_decref(value);
}

static void walk_text(struct walk *walk, const char *text, size_t n)
{
    uint64_t failed;
    tw_detect(walk->policy, &walk->work, walk->detectors, text, n, on_found, walk, &failed);
    for (unsigned i = 0; failed != 0 && i < walk->policy->n_detectors; i++) {
        if ((failed >> i & 1) != 0) {
            add_reason(walk->out, TW_CLASSIFY_FAILED, (unsigned)walk->policy->n_classes - 1, (int)i,
                       walk->place);
        }
    }
    walk_json(walk, text, n);
}

static void add_unread(struct walk *walk)
{
    add_reason(walk->out, TW_CLASSIFY_UNREAD, walk->policy->unread, TW_POLICY_NONE, walk->place);
}

bool tw_classify_is_unread(const json_t *part)
{
    static const char *const words[] = {"image", "audio", "video", "file"};
    const char *type = json_string_value(json_object_get(part, "type"));
    for (size_t i = 0; type != NULL && i < sizeof words / sizeof words[0]; i++) {
        if (strstr(type, words[i]) != NULL) {
            return true;
        }
    }
    return false;
}

/* Names of the API may be told; those that a client made up may be content. */
static bool is_known(const char *key)
{
    static const char *const names[] = {"messages", "prompt",      "input",     "instructions",
                                        "tools",    "suffix",      "content",   "tool_calls",
                                        "name",     "reasoning",   "metadata",  "user",
                                        "stop",     "functions",   "documents", "response_format",
                                        "system",   "tool_choice", "arguments", "output"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(names[i], key) == 0) {
            return true;
        }
    }
    return false;
}

static void walk_object(struct walk *walk, const json_t *object, unsigned level)
{
    const size_t n = strlen(walk->place);
    const char *key;
    json_t *value;
    if (tw_classify_is_unread(object)) {
        add_unread(walk);
    }
    json_object_foreach ((json_t *)(uintptr_t)object, key, value) {
        if (level <= 2 && walk->texts_deep == 0) {
            snprintf(walk->place + n, sizeof walk->place - n, "%s%s", n > 0 ? "." : "",
                     is_known(key) ? key : "(another field)");
        }
        walk_text(walk, key, strlen(key));
        walk_value(walk, value, level + 1);
        walk->place[n] = '\0';
    }
}

static bool is_of_ids(const struct walk *walk)
{
    return strncmp(walk->place, "prompt", 6) == 0 || strncmp(walk->place, "input", 5) == 0;
}

static void walk_array(struct walk *walk, const json_t *array, unsigned level)
{
    const size_t n = strlen(walk->place);
    const bool may_be_ids = level <= 2 && walk->texts_deep == 0 && is_of_ids(walk);
    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *value = json_array_get(array, i);
        if (may_be_ids && json_is_number(value)) {
            add_unread(walk);
            return;
        }
        if (level == 1 && walk->texts_deep == 0) {
            snprintf(walk->place + n, sizeof walk->place - n, "[%zu]", i);
        }
        walk_value(walk, value, level + 1);
        walk->place[n] = '\0';
    }
}

/* level: how deep it lies in the body; its own fields lie at 1. */
static void walk_value(struct walk *walk, const json_t *value, unsigned level)
{
    char digits[24];
    switch (json_typeof(value)) {
    case JSON_STRING:
        walk_text(walk, json_string_value(value), json_string_length(value));
        break;
    case JSON_INTEGER:
        if (level > 1) { /* those at 1 are parameters */
            const int n =
                snprintf(digits, sizeof digits, "%lld", (long long)json_integer_value(value));
            walk_text(walk, digits, (size_t)n);
        }
        break;
    case JSON_OBJECT:
        walk_object(walk, value, level);
        break;
    case JSON_ARRAY:
        walk_array(walk, value, level);
        break;
    case JSON_REAL:
    case JSON_TRUE:
    case JSON_FALSE:
    case JSON_NULL:
        break;
    }
}

/* ---- all sources ---- */

static enum tw_status unknown_class(const struct tw_policy *policy, const char *name,
                                    struct tw_error *error)
{
    char list[160] = "";
    size_t n = 0;
    for (size_t i = 0; i < policy->n_classes && n < sizeof list; i++) {
        n += (size_t)snprintf(list + n, sizeof list - n, "%s%s", i > 0 ? ", " : "",
                              policy->classes[i]);
    }
    return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                        TW_CLASSIFY_HEADER ": '%.40s' is not one of %s", name, list);
}

static enum tw_status take_header(const struct tw_policy *policy, const char *value,
                                  struct tw_classified *out, struct tw_error *error)
{
    char name[TW_LIMIT_POLICY_NAME_BYTES];
    value += strspn(value, " \t");
    size_t n = strlen(value);
    while (n > 0 && (value[n - 1] == ' ' || value[n - 1] == '\t')) {
        n--;
    }
    snprintf(name, sizeof name, "%.*s", n < sizeof name ? (int)n : 0, value);
    const int class = tw_policy_find_class(policy, name);
    if (class == TW_POLICY_NONE) {
        return unknown_class(policy, value, error);
    }
    add_reason(out, TW_CLASSIFY_HEADER_VALUE, (unsigned)class, TW_POLICY_NONE, "");
    return TW_OK;
}

/* Of a class that is kept somewhere, and that the policy may have no more. */
static void take_kept(const struct tw_policy *policy, enum tw_classify_source source,
                      const char *name, struct tw_classified *out)
{
    const int class = tw_policy_find_class(policy, name);
    const bool is_known_class = class != TW_POLICY_NONE;
    add_reason(out, source, is_known_class ? (unsigned)class : (unsigned)policy->n_classes - 1,
               TW_POLICY_NONE, is_known_class ? "" : "(a class that the policy does not have)");
}

enum tw_status tw_classify(const struct tw_policy *policy,
                           const struct tw_classify_request *request,
                           struct tw_classified *ret_classified, struct tw_error *error)
{
    ret_classified->rank = (struct tw_policy_rank){0};
    ret_classified->n_reasons = 0;
    add_reason(ret_classified, TW_CLASSIFY_POLICY_FLOOR, policy->floor, TW_POLICY_NONE, "");
    const unsigned floor = tw_policy_floor_of(policy, request->who);
    if (floor > policy->floor) {
        add_reason(ret_classified, TW_CLASSIFY_FLOOR, floor, TW_POLICY_NONE, "");
    }
    for (size_t i = 0; i < TW_CLASSIFY_FLOORS; i++) {
        if (request->floors[i] != NULL) {
            take_kept(policy, TW_CLASSIFY_FLOOR, request->floors[i], ret_classified);
        }
    }
    if (request->stored != NULL) {
        take_kept(policy, TW_CLASSIFY_STORED, request->stored, ret_classified);
    }
    if (request->header != NULL) {
        enum tw_status status = take_header(policy, request->header, ret_classified, error);
        if (status != TW_OK) {
            return status;
        }
    }
    struct walk walk = {.policy = policy,
                        .out = ret_classified,
                        .detectors = policy->n_detectors == 64
                                         ? UINT64_MAX
                                         : (UINT64_C(1) << policy->n_detectors) - 1};
    if (request->body != NULL) {
        tw_detect_begin(&walk.work);
        walk_value(&walk, request->body, 0);
        tw_detect_end(&walk.work);
    }
    return TW_OK;
}
