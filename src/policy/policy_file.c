/* From a file to a policy: what the schema cannot say is checked here, each with its line. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/conf.h"
#include "base/mem.h"
#include "base/suggest.h"
#include "policy/policy.h"
#include "policy/policy_write.h"

/* ---- the schema ---- */

struct file_zone {
    char *name, *about;
    uint32_t trust;
};

struct file_detector {
    char *find, *name, *pattern, *checksum, *class;
};

struct file_floor {
    char **who, *class;
    unsigned who_count;
};

struct file_rule {
    char *name, *up_to, *refuse, *left_up_to;
    char **class, **who, **models, **allow, **redact;
    unsigned class_count, who_count, models_count, allow_count, redact_count;
};

struct file {
    char **classes;
    unsigned classes_count;
    char *floor, *unread;
    struct file_floor *floors;
    unsigned floors_count;
    struct file_zone *zones;
    unsigned zones_count;
    struct file_detector *detectors;
    unsigned detectors_count;
    struct file_rule *rules;
    unsigned rules_count;
};

#define OPTIONAL ((enum cyaml_flag)(CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL))
#define NAME(key, flags, type, member)                                                             \
    CYAML_FIELD_STRING_PTR(key, flags, type, member, 1, TW_LIMIT_POLICY_NAME_BYTES - 1)
#define WORDS(key, member, value)                                                                  \
    CYAML_FIELD_SEQUENCE(key, OPTIONAL, struct file_rule, member, value, 1, TW_LIMIT_POLICY_WORDS)

static const cyaml_schema_value_t name_value = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char *, 1, TW_LIMIT_POLICY_NAME_BYTES - 1)};
static const cyaml_schema_value_t pattern_value = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char *, 1, TW_LIMIT_POLICY_PATTERN_BYTES - 1)};

static const cyaml_schema_field_t zone_fields[] = {
    NAME("name", CYAML_FLAG_POINTER, struct file_zone, name),
    CYAML_FIELD_UINT("trust", CYAML_FLAG_DEFAULT, struct file_zone, trust),
    CYAML_FIELD_STRING_PTR("about", OPTIONAL, struct file_zone, about, 1,
                           TW_LIMIT_POLICY_SENTENCE_BYTES - 1),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t zone_value = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct file_zone, zone_fields)};

static const cyaml_schema_field_t detector_fields[] = {
    NAME("find", OPTIONAL, struct file_detector, find),
    NAME("name", OPTIONAL, struct file_detector, name),
    CYAML_FIELD_STRING_PTR("pattern", OPTIONAL, struct file_detector, pattern, 1,
                           TW_LIMIT_POLICY_EXPRESSION_BYTES),
    NAME("checksum", OPTIONAL, struct file_detector, checksum),
    NAME("class", CYAML_FLAG_POINTER, struct file_detector, class),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t detector_value = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct file_detector, detector_fields)};

static const cyaml_schema_field_t floor_fields[] = {
    CYAML_FIELD_SEQUENCE("who", CYAML_FLAG_POINTER, struct file_floor, who, &pattern_value, 1,
                         TW_LIMIT_POLICY_WORDS),
    NAME("class", CYAML_FLAG_POINTER, struct file_floor, class),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t floor_value = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct file_floor, floor_fields)};

static const cyaml_schema_field_t rule_fields[] = {
    NAME("name", OPTIONAL, struct file_rule, name),
    WORDS("class", class, &name_value),
    NAME("up-to", OPTIONAL, struct file_rule, up_to),
    WORDS("who", who, &pattern_value),
    WORDS("models", models, &pattern_value),
    WORDS("allow", allow, &name_value),
    CYAML_FIELD_STRING_PTR("refuse", OPTIONAL, struct file_rule, refuse, 1,
                           TW_LIMIT_POLICY_SENTENCE_BYTES - 1),
    WORDS("redact", redact, &name_value),
    NAME("left-up-to", OPTIONAL, struct file_rule, left_up_to),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t rule_value = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct file_rule, rule_fields)};

static const cyaml_schema_field_t file_fields[] = {
    CYAML_FIELD_SEQUENCE("classes", OPTIONAL, struct file, classes, &name_value, 1,
                         TW_LIMIT_POLICY_CLASSES),
    NAME("floor", OPTIONAL, struct file, floor),
    NAME("unread", OPTIONAL, struct file, unread),
    CYAML_FIELD_SEQUENCE("floors", OPTIONAL, struct file, floors, &floor_value, 0,
                         TW_LIMIT_POLICY_FLOORS),
    CYAML_FIELD_SEQUENCE("zones", CYAML_FLAG_POINTER, struct file, zones, &zone_value, 1,
                         TW_LIMIT_POLICY_ZONES),
    CYAML_FIELD_SEQUENCE("detectors", OPTIONAL, struct file, detectors, &detector_value, 0,
                         TW_LIMIT_POLICY_DETECTORS),
    CYAML_FIELD_SEQUENCE("rules", CYAML_FLAG_POINTER, struct file, rules, &rule_value, 0,
                         TW_LIMIT_POLICY_RULES),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t file_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct file, file_fields)};

/* ---- what is wrong, and where ---- */

struct source {
    const char *text;
    size_t text_bytes;
    const char *name;
    struct tw_policy *policy;
    struct tw_error *error;
};

static __attribute__((format(printf, 3, 4))) enum tw_status wrong(const struct source *source,
                                                                  const char *path,
                                                                  const char *format, ...)
{
    char what[TW_LIMIT_ERROR_TEXT_BYTES], where[64] = "";
    struct tw_conf_place place;
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    if (tw_conf_find(source->text, source->text_bytes, path, &place)) {
        snprintf(where, sizeof where, " (line: %zu, column: %zu)", place.line, place.column);
    }
    return tw_error_set(source->error, TW_ERR_FORMAT, TW_NO_POSITION, "'%.60s': %.200s%s",
                        source->name, what, where);
}

static enum tw_status no_memory(const struct source *source)
{
    return tw_error_set(source->error, TW_ERR_MEMORY, TW_NO_POSITION, "'%.120s': no memory",
                        source->name);
}

/* Letters, digits, and what joins them: a name goes into headers and records. */
static bool is_name(const char *text)
{
    for (const char *c = text; *c != '\0'; c++) {
        const bool is_plain =
            (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9');
        if (!is_plain && (c == text || strchr("-_.", *c) == NULL)) {
            return false;
        }
    }
    return text[0] != '\0';
}

static enum tw_status take_name(const struct source *source, const char *path, const char *text,
                                const char **ret_name)
{
    if (!is_name(text)) {
        return wrong(source, path,
                     "'%.60s' is no name: write letters, digits, and - _ . between them", text);
    }
    const char *name = tw_arena_strndup(&source->policy->arena, text, strlen(text));
    if (name == NULL) {
        return no_memory(source);
    }
    *ret_name = name;
    return TW_OK;
}

static enum tw_status take_text(const struct source *source, const char *text,
                                const char **ret_text)
{
    const char *copy =
        text != NULL ? tw_arena_strndup(&source->policy->arena, text, strlen(text)) : NULL;
    if (text != NULL && copy == NULL) {
        return no_memory(source);
    }
    *ret_text = copy;
    return TW_OK;
}

enum kind { CLASS = 0, ZONE, DETECTOR };

/* The number of something that the file must have named; otherwise what was probably meant. */
static enum tw_status find(const struct source *source, const char *path, enum kind kind,
                           const char *name, unsigned *ret_number)
{
    static const char *const kinds[] = {"class", "zone", "detector"};
    const struct tw_policy *policy = source->policy;
    const int number = kind == CLASS  ? tw_policy_find_class(policy, name)
                       : kind == ZONE ? tw_policy_find_zone(policy, name)
                                      : tw_policy_find_detector(policy, name);
    if (number != TW_POLICY_NONE) {
        *ret_number = (unsigned)number;
        return TW_OK;
    }
    const char *names[TW_LIMIT_POLICY_ZONES + 1], *guess;
    const size_t n = kind == CLASS  ? policy->n_classes
                     : kind == ZONE ? policy->n_zones
                                    : policy->n_detectors;
    for (size_t i = 0; i < n; i++) {
        names[i] = kind == CLASS  ? policy->classes[i]
                   : kind == ZONE ? policy->zones[i].name
                                  : policy->detectors[i].name;
    }
    names[n] = NULL;
    guess = tw_suggest_word(name, names);
    if (guess != NULL) {
        return wrong(source, path, "there is no %s '%.60s'; did you mean %s?", kinds[kind], name,
                     guess);
    }
    return wrong(source, path, "there is no %s '%.60s': name it above, or use one that is there",
                 kinds[kind], name);
}

static enum tw_status find_all(const struct source *source, const char *path, enum kind kind,
                               char *const *names, unsigned n, uint64_t *ret_bits)
{
    uint64_t bits = 0;
    char entry[80];
    for (unsigned i = 0; i < n; i++) {
        unsigned number = 0;
        snprintf(entry, sizeof entry, "%s.%u", path, i);
        enum tw_status status = find(source, entry, kind, names[i], &number);
        if (status != TW_OK) {
            return status;
        }
        bits |= UINT64_C(1) << number;
    }
    *ret_bits = bits;
    return TW_OK;
}

/* ---- classes and zones ---- */

static enum tw_status take_classes(const struct source *source, const struct file *file)
{
    static char public[] = "public", internal[] = "internal", confidential[] = "confidential",
                restricted[] = "restricted";
    static char *const defaults[] = {public, internal, confidential, restricted};
    char *const *names = file->classes_count > 0 ? file->classes : defaults;
    const unsigned n = file->classes_count > 0 ? file->classes_count : 4;
    struct tw_policy *policy = source->policy;
    for (unsigned i = 0; i < n; i++) {
        char path[32];
        snprintf(path, sizeof path, "classes.%u", i);
        enum tw_status status = take_name(source, path, names[i], &policy->classes[i]);
        if (status == TW_OK && tw_policy_find_class(policy, names[i]) != TW_POLICY_NONE) {
            status = wrong(source, path, "the class '%.60s' is there a second time: leave one out",
                           names[i]);
        }
        if (status != TW_OK) {
            return status;
        }
        policy->n_classes++;
    }
    enum tw_status status = TW_OK;
    policy->unread = n - 1;
    if (file->floor != NULL) {
        status = find(source, "floor", CLASS, file->floor, &policy->floor);
    }
    if (status == TW_OK && file->unread != NULL) {
        status = find(source, "unread", CLASS, file->unread, &policy->unread);
    }
    return status;
}

static enum tw_status take_zone(const struct source *source, unsigned i,
                                const struct file_zone *zone)
{
    struct tw_policy *policy = source->policy;
    struct tw_policy_zone *out = &policy->zones[policy->n_zones];
    char path[48];
    snprintf(path, sizeof path, "zones.%u.name", i);
    enum tw_status status = take_name(source, path, zone->name, &out->name);
    if (status == TW_OK && tw_policy_find_zone(policy, zone->name) != TW_POLICY_NONE) {
        status = wrong(source, path, "the zone '%.60s' is there a second time: leave one out",
                       zone->name);
    }
    if (status == TW_OK && zone->trust > TW_LIMIT_POLICY_TRUST) {
        snprintf(path, sizeof path, "zones.%u.trust", i);
        status = wrong(source, path, "trust is %u; write a number from 0 to %d", zone->trust,
                       TW_LIMIT_POLICY_TRUST);
    }
    if (status == TW_OK) {
        status = take_text(source, zone->about, &out->about);
    }
    out->trust = zone->trust;
    policy->n_zones += status == TW_OK;
    return status;
}

/* ---- detectors ---- */

static enum tw_status find_builtin(const struct source *source, const char *path, const char *name,
                                   enum tw_builtin *ret_kind)
{
    for (unsigned i = 0; i < TW_BUILTIN_COUNT; i++) {
        if (strcmp(tw_builtin_names[i], name) == 0) {
            *ret_kind = (enum tw_builtin)i;
            return TW_OK;
        }
    }
    const char *guess = tw_suggest_word(name, tw_builtin_names);
    return guess != NULL
               ? wrong(source, path, "nothing finds '%.60s'; did you mean %s?", name, guess)
               : wrong(source, path, "nothing finds '%.60s': give it a name and a pattern instead",
                       name);
}

static enum tw_status find_checksum(const struct source *source, const char *path, const char *name,
                                    enum tw_checksum *ret_checksum)
{
    for (unsigned i = 0; tw_checksum_names[i] != NULL; i++) {
        if (strcmp(tw_checksum_names[i], name) == 0) {
            *ret_checksum = (enum tw_checksum)i;
            return TW_OK;
        }
    }
    return wrong(source, path, "checksum: '%.60s' is not one of none, luhn, mod97, mod11, mod11-10",
                 name);
}

static enum tw_status take_expression(const struct source *source, const char *prefix,
                                      const struct file_detector *detector,
                                      struct tw_policy_detector *out)
{
    char path[48];
    struct tw_error cause;
    enum tw_status status = TW_OK;
    snprintf(path, sizeof path, "%s.checksum", prefix);
    if (detector->checksum != NULL) {
        status = find_checksum(source, path, detector->checksum, &out->checksum);
    }
    if (status == TW_OK) {
        status = take_text(source, detector->pattern, &out->expression);
    }
    if (status != TW_OK) {
        return status;
    }
    snprintf(path, sizeof path, "%s.pattern", prefix);
    status = tw_expression_create(detector->pattern, out->checksum, &out->compiled, &cause);
    return status == TW_ERR_FORMAT ? wrong(source, path, "%s", cause.text)
           : status != TW_OK       ? no_memory(source)
                                   : TW_OK;
}

static enum tw_status check_detector(const struct source *source, const char *prefix,
                                     const struct file_detector *detector)
{
    if (detector->find != NULL && (detector->pattern != NULL || detector->checksum != NULL)) {
        return wrong(source, prefix,
                     "a detector has either find or a pattern: leave one of them out");
    }
    if (detector->find == NULL && (detector->pattern == NULL || detector->name == NULL)) {
        return wrong(source, prefix,
                     "a detector needs find (find: email), or a name and a pattern");
    }
    return TW_OK;
}

static enum tw_status take_detector(const struct source *source, unsigned i,
                                    const struct file_detector *detector)
{
    struct tw_policy *policy = source->policy;
    struct tw_policy_detector *out = &policy->detectors[policy->n_detectors];
    char prefix[32], path[48];
    snprintf(prefix, sizeof prefix, "detectors.%u", i);
    *out = (struct tw_policy_detector){.kind = TW_BUILTIN_COUNT};
    enum tw_status status = check_detector(source, prefix, detector);
    if (status == TW_OK && detector->find != NULL) {
        snprintf(path, sizeof path, "%s.find", prefix);
        status = find_builtin(source, path, detector->find, &out->kind);
    }
    const char *name = detector->name != NULL ? detector->name : detector->find;
    if (status == TW_OK) {
        snprintf(path, sizeof path, "%s.%s", prefix, detector->name != NULL ? "name" : "find");
        status = take_name(source, path, name, &out->name);
    }
    if (status == TW_OK && tw_policy_find_detector(policy, name) != TW_POLICY_NONE) {
        status =
            wrong(source, path, "the detector '%.60s' is there a second time: leave one out", name);
    }
    if (status == TW_OK) {
        snprintf(path, sizeof path, "%s.class", prefix);
        status = find(source, path, CLASS, detector->class, &out->class);
    }
    if (status == TW_OK && detector->find == NULL) {
        status = take_expression(source, prefix, detector, out);
    }
    policy->n_detectors += status == TW_OK;
    return status;
}

/* ---- rules ---- */

static enum tw_status check_rule(const struct source *source, const char *prefix,
                                 const struct file_rule *rule)
{
    if ((rule->class == NULL) == (rule->up_to == NULL)) {
        return wrong(source, prefix,
                     "a rule needs one of class and up-to: class: [confidential], or up-to: "
                     "internal");
    }
    if ((rule->allow == NULL) == (rule->refuse == NULL)) {
        return wrong(source, prefix,
                     "a rule needs one of allow and refuse: allow: [a zone], or refuse: a sentence "
                     "for the client");
    }
    if (rule->redact != NULL && rule->allow == NULL) {
        return wrong(source, prefix, "redact needs allow: where may it go then?");
    }
    if (rule->left_up_to != NULL && rule->redact == NULL) {
        return wrong(source, prefix, "left-up-to needs redact: it is about what redaction leaves");
    }
    return TW_OK;
}

static enum tw_status take_words(const struct source *source, const char *prefix, const char *key,
                                 char *const *words, unsigned n, struct tw_policy_words *ret_words)
{
    char path[64];
    const char **copies = tw_arena_alloc(&source->policy->arena, n, sizeof *copies);
    enum tw_status status = copies != NULL || n == 0 ? TW_OK : no_memory(source);
    for (unsigned i = 0; status == TW_OK && i < n; i++) {
        snprintf(path, sizeof path, "%s.%s.%u", prefix, key, i);
        const size_t n_bytes = strlen(words[i]);
        const bool is_path =
            words[i][0] != '/' && words[i][n_bytes - 1] != '/' && strstr(words[i], "//") == NULL;
        status = is_path ? take_text(source, words[i], &copies[i])
                         : wrong(source, path, "'%.60s' has an empty part: write acme/research",
                                 words[i]);
    }
    if (status == TW_OK) {
        *ret_words = (struct tw_policy_words){copies, n};
    }
    return status;
}

static enum tw_status take_rule_name(const struct source *source, const char *prefix, unsigned i,
                                     const char *name, struct tw_policy_rule *out)
{
    char path[48], number[32];
    snprintf(path, sizeof path, "%s.name", prefix);
    snprintf(number, sizeof number, "rule %u", i + 1);
    for (size_t k = 0; name != NULL && k < source->policy->n_rules; k++) {
        if (strcmp(source->policy->rules[k].name, name) == 0) {
            return wrong(source, path, "the rule '%.60s' is there a second time: name it otherwise",
                         name);
        }
    }
    return take_text(source, name != NULL ? name : number, &out->name);
}

static enum tw_status take_rule_classes(const struct source *source, const char *prefix,
                                        const struct file_rule *rule, struct tw_policy_rule *out)
{
    char path[48];
    uint64_t classes = 0;
    unsigned class = 0;
    enum tw_status status;
    if (rule->class != NULL) {
        snprintf(path, sizeof path, "%s.class", prefix);
        status = find_all(source, path, CLASS, rule->class, rule->class_count, &classes);
    } else {
        snprintf(path, sizeof path, "%s.up-to", prefix);
        status = find(source, path, CLASS, rule->up_to, &class);
        classes = (UINT64_C(2) << class) - 1;
    }
    out->classes = (uint32_t)classes;
    return status;
}

static enum tw_status take_outcome(const struct source *source, const char *prefix,
                                   const struct file_rule *rule, struct tw_policy_rule *out)
{
    char path[48];
    unsigned class = 0;
    snprintf(path, sizeof path, "%s.allow", prefix);
    enum tw_status status =
        find_all(source, path, ZONE, rule->allow, rule->allow_count, &out->zones);
    if (status == TW_OK) {
        snprintf(path, sizeof path, "%s.redact", prefix);
        status = find_all(source, path, DETECTOR, rule->redact, rule->redact_count, &out->redact);
    }
    out->left_up_to = TW_POLICY_NONE;
    if (status == TW_OK && rule->left_up_to != NULL) {
        snprintf(path, sizeof path, "%s.left-up-to", prefix);
        status = find(source, path, CLASS, rule->left_up_to, &class);
        out->left_up_to = (int)class;
    }
    return status == TW_OK ? take_text(source, rule->refuse, &out->sentence) : status;
}

static enum tw_status take_rule(const struct source *source, unsigned i,
                                const struct file_rule *rule)
{
    struct tw_policy *policy = source->policy;
    struct tw_policy_rule *out = &policy->rules[policy->n_rules];
    char prefix[32];
    snprintf(prefix, sizeof prefix, "rules.%u", i);
    enum tw_status status = check_rule(source, prefix, rule);
    if (status == TW_OK) {
        status = take_rule_name(source, prefix, i, rule->name, out);
    }
    if (status == TW_OK) {
        status = take_rule_classes(source, prefix, rule, out);
    }
    if (status == TW_OK) {
        status = take_words(source, prefix, "who", rule->who, rule->who_count, &out->who);
    }
    if (status == TW_OK) {
        status =
            take_words(source, prefix, "models", rule->models, rule->models_count, &out->models);
    }
    if (status == TW_OK) {
        status = take_outcome(source, prefix, rule, out);
    }
    policy->n_rules += status == TW_OK;
    return status;
}

/* ---- floors ---- */

static enum tw_status take_floors(const struct source *source, const struct file *file)
{
    struct tw_policy *policy = source->policy;
    struct tw_policy_floor *floors =
        tw_arena_alloc(&policy->arena, file->floors_count, sizeof *floors);
    enum tw_status status = floors != NULL || file->floors_count == 0 ? TW_OK : no_memory(source);
    for (unsigned i = 0; status == TW_OK && i < file->floors_count; i++) {
        const struct file_floor *floor = &file->floors[i];
        char prefix[32], path[48];
        snprintf(prefix, sizeof prefix, "floors.%u", i);
        snprintf(path, sizeof path, "%s.class", prefix);
        status = find(source, path, CLASS, floor->class, &floors[i].class);
        if (status == TW_OK) {
            status =
                take_words(source, prefix, "who", floor->who, floor->who_count, &floors[i].who);
        }
    }
    policy->floors = floors;
    policy->n_floors = status == TW_OK ? file->floors_count : 0;
    return status;
}

/* ---- all of it ---- */

static enum tw_status take_all(const struct source *source, const struct file *file)
{
    enum tw_status status = take_classes(source, file);
    if (status == TW_OK) {
        status = take_floors(source, file);
    }
    for (unsigned i = 0; status == TW_OK && i < file->zones_count; i++) {
        status = take_zone(source, i, &file->zones[i]);
    }
    for (unsigned i = 0; status == TW_OK && i < file->detectors_count; i++) {
        status = take_detector(source, i, &file->detectors[i]);
    }
    for (unsigned i = 0; status == TW_OK && i < file->rules_count; i++) {
        status = take_rule(source, i, &file->rules[i]);
    }
    if (status == TW_OK && !tw_policy_seal(source->policy)) {
        status = no_memory(source);
    }
    return status;
}

enum tw_status tw_policy_read(const char *text, size_t text_bytes, const char *name,
                              struct tw_policy **ret_policy, struct tw_error *error)
{
    void *file = NULL;
    enum tw_status status = tw_conf_parse(text, text_bytes, name, &file_schema, &file, error);
    if (status != TW_OK) {
        return status;
    }
    struct tw_policy *policy = tw_mem_zalloc(1, sizeof *policy);
    const struct source source = {text, text_bytes, name, policy, error};
    if (policy == NULL) {
        status = no_memory(&source);
    } else {
        tw_arena_init(&policy->arena, (size_t)16 * TW_LIMIT_CONF_BYTES);
        status = take_all(&source, file);
    }
    tw_conf_free(&file_schema, file);
    if (status != TW_OK) {
        tw_policy_free(policy);
        return status;
    }
    *ret_policy = policy;
    return TW_OK;
}
