#include "policy/policy_write.h"

#include <sodium.h>
#include <string.h>

#include "base/json.h"

enum { HASH_BYTES = 32, CANONICAL_BYTES = 8 << 20 };

static void put_names(struct tw_json_writer *json, const char *key, const char *const *names,
                      size_t n)
{
    tw_json_key(json, key);
    tw_json_array_begin(json);
    for (size_t i = 0; i < n; i++) {
        tw_json_text(json, names[i]);
    }
    tw_json_array_end(json);
}

static void put_zones(struct tw_json_writer *json, const struct tw_policy *policy)
{
    tw_json_key(json, "zones");
    tw_json_array_begin(json);
    for (size_t i = 0; i < policy->n_zones; i++) {
        const struct tw_policy_zone *zone = &policy->zones[i];
        tw_json_object_begin(json);
        tw_json_put_text(json, "name", zone->name);
        tw_json_put_uint(json, "trust", zone->trust);
        if (zone->about != NULL) {
            tw_json_put_text(json, "about", zone->about);
        }
        tw_json_object_end(json);
    }
    tw_json_array_end(json);
}

static void put_detectors(struct tw_json_writer *json, const struct tw_policy *policy)
{
    tw_json_key(json, "detectors");
    tw_json_array_begin(json);
    for (size_t i = 0; i < policy->n_detectors; i++) {
        const struct tw_policy_detector *detector = &policy->detectors[i];
        tw_json_object_begin(json);
        tw_json_put_text(json, "name", detector->name);
        if (detector->expression == NULL) {
            tw_json_put_text(json, "find", tw_builtin_names[detector->kind]);
        } else {
            tw_json_put_text(json, "pattern", detector->expression);
            tw_json_put_text(json, "checksum", tw_checksum_names[detector->checksum]);
        }
        tw_json_put_text(json, "class", policy->classes[detector->class]);
        tw_json_object_end(json);
    }
    tw_json_array_end(json);
}

/* In the order in which the policy has them, not that of the rule. */
static void put_zone_set(struct tw_json_writer *json, const struct tw_policy *policy, uint64_t set)
{
    const char *names[TW_LIMIT_POLICY_ZONES];
    size_t n = 0;
    for (size_t i = 0; i < policy->n_zones; i++) {
        if ((set >> i & 1) != 0) {
            names[n++] = policy->zones[i].name;
        }
    }
    put_names(json, "allow", names, n);
}

static void put_redaction(struct tw_json_writer *json, const struct tw_policy *policy,
                          const struct tw_policy_rule *rule)
{
    const char *names[TW_LIMIT_POLICY_DETECTORS];
    size_t n = 0;
    for (size_t i = 0; i < policy->n_detectors; i++) {
        if ((rule->redact >> i & 1) != 0) {
            names[n++] = policy->detectors[i].name;
        }
    }
    if (n > 0) {
        put_names(json, "redact", names, n);
    }
    if (rule->left_up_to != TW_POLICY_NONE) {
        tw_json_put_text(json, "left-up-to", policy->classes[rule->left_up_to]);
    }
}

static void put_rule(struct tw_json_writer *json, const struct tw_policy *policy,
                     const struct tw_policy_rule *rule)
{
    const char *names[TW_LIMIT_POLICY_CLASSES];
    size_t n = 0;
    for (size_t i = 0; i < policy->n_classes; i++) {
        if ((rule->classes >> i & 1) != 0) {
            names[n++] = policy->classes[i];
        }
    }
    tw_json_object_begin(json);
    tw_json_put_text(json, "name", rule->name);
    put_names(json, "class", names, n);
    if (rule->who.n_words > 0) {
        put_names(json, "who", rule->who.words, rule->who.n_words);
    }
    if (rule->models.n_words > 0) {
        put_names(json, "models", rule->models.words, rule->models.n_words);
    }
    put_redaction(json, policy, rule);
    if (rule->sentence != NULL) {
        tw_json_put_text(json, "refuse", rule->sentence);
    } else {
        put_zone_set(json, policy, rule->zones);
    }
    tw_json_object_end(json);
}

static void put_floors(struct tw_json_writer *json, const struct tw_policy *policy)
{
    tw_json_key(json, "floors");
    tw_json_array_begin(json);
    for (size_t i = 0; i < policy->n_floors; i++) {
        const struct tw_policy_floor *floor = &policy->floors[i];
        tw_json_object_begin(json);
        put_names(json, "who", floor->who.words, floor->who.n_words);
        tw_json_put_text(json, "class", policy->classes[floor->class]);
        tw_json_object_end(json);
    }
    tw_json_array_end(json);
}

static void put_policy(struct tw_json_writer *json, const struct tw_policy *policy)
{
    tw_json_object_begin(json);
    put_names(json, "classes", policy->classes, policy->n_classes);
    tw_json_put_text(json, "floor", policy->classes[policy->floor]);
    tw_json_put_text(json, "unread", policy->classes[policy->unread]);
    if (policy->n_floors > 0) {
        put_floors(json, policy);
    }
    put_zones(json, policy);
    put_detectors(json, policy);
    tw_json_key(json, "rules");
    tw_json_array_begin(json);
    for (size_t i = 0; i < policy->n_rules; i++) {
        put_rule(json, policy, &policy->rules[i]);
    }
    tw_json_array_end(json);
    tw_json_object_end(json);
}

bool tw_policy_seal(struct tw_policy *policy)
{
    struct tw_buf text;
    struct tw_json_writer json;
    unsigned char hash[HASH_BYTES];
    tw_buf_init(&text, CANONICAL_BYTES);
    tw_json_begin(&json, &text);
    put_policy(&json, policy);
    const bool is_written = !text.failed && sodium_init() >= 0;
    if (is_written) {
        crypto_generichash(hash, sizeof hash, (const unsigned char *)text.data, text.size_bytes,
                           NULL, 0);
        sodium_bin2hex(policy->version, sizeof policy->version, hash, sizeof hash);
        memcpy(policy->short_version, policy->version, sizeof policy->short_version - 1);
        policy->canonical = tw_arena_strndup(&policy->arena, text.data, text.size_bytes);
    }
    tw_buf_free(&text);
    return is_written && policy->canonical != NULL;
}
