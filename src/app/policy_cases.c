#include "app/policy_cases.h"

#include <stdio.h>
#include <string.h>

#include "app/policy_ask.h"
#include "base/conf.h"
#include "base/file.h"
#include "base/json.h"
#include "policy/redact.h"

/* ---- the file ---- */

struct expectation {
    char *class, *rule, *sent, *sentence;
    char **zones, **redacts;
    unsigned zones_count, redacts_count;
    bool *refused;
};

struct test_case {
    char *name, *text, *request, *header, *floor, *who, *model;
    char **zones;
    unsigned zones_count;
    struct expectation expect;
};

struct file {
    struct test_case *cases;
    unsigned cases_count;
};

#define OPTIONAL ((enum cyaml_flag)(CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL))
#define TEXT(key, type, member)                                                                    \
    CYAML_FIELD_STRING_PTR(key, OPTIONAL, type, member, 0, TW_LIMIT_CONF_STRING_BYTES)

static const cyaml_schema_value_t name_value = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char *, 1, TW_LIMIT_POLICY_NAME_BYTES - 1)};

static const cyaml_schema_field_t expect_fields[] = {
    TEXT("class", struct expectation, class),
    TEXT("rule", struct expectation, rule),
    CYAML_FIELD_SEQUENCE("zones", OPTIONAL, struct expectation, zones, &name_value, 0,
                         TW_LIMIT_POLICY_ZONES),
    CYAML_FIELD_SEQUENCE("redacts", OPTIONAL, struct expectation, redacts, &name_value, 0,
                         TW_LIMIT_POLICY_DETECTORS),
    CYAML_FIELD_BOOL_PTR("refused", OPTIONAL, struct expectation, refused),
    TEXT("sentence", struct expectation, sentence),
    TEXT("sent", struct expectation, sent),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t case_fields[] = {
    TEXT("name", struct test_case, name),
    TEXT("text", struct test_case, text),
    TEXT("request", struct test_case, request),
    TEXT("header", struct test_case, header),
    TEXT("floor", struct test_case, floor),
    TEXT("project", struct test_case, who),
    TEXT("model", struct test_case, model),
    CYAML_FIELD_SEQUENCE("zones", OPTIONAL, struct test_case, zones, &name_value, 1,
                         TW_LIMIT_POLICY_ZONES),
    CYAML_FIELD_MAPPING("expect", CYAML_FLAG_DEFAULT, struct test_case, expect, expect_fields),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t case_value = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct test_case, case_fields)};

static const cyaml_schema_field_t file_fields[] = {
    CYAML_FIELD_SEQUENCE("cases", CYAML_FLAG_POINTER, struct file, cases, &case_value, 1,
                         TW_LIMIT_POLICY_CASES),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t file_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct file, file_fields)};

/* ---- one case ---- */

struct run {
    const struct tw_policy *policy;
    const char *path;
    struct tw_buf *out;
    struct tw_policy_cases *counts;
};

static enum tw_status read_body(const struct run *run, struct test_case *test, json_t **ret_body,
                                struct tw_error *error)
{
    if ((test->text == NULL) == (test->request == NULL)) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "a case needs one of text and request (a file of JSON)");
    }
    if (test->text != NULL) {
        *ret_body =
            json_pack("{s:[{s:s, s:s}]}", "messages", "role", "user", "content", test->text);
        return *ret_body != NULL ? TW_OK
                                 : tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                                                "the text is no UTF-8, or there is no memory");
    }
    if (!tw_conf_resolve(run->path, &test->request)) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory");
    }
    return tw_json_load(test->request, TW_LIMIT_HTTP_BODY_BYTES, ret_body, error);
}

/* What a text becomes before it leaves; out is a text of C. */
static enum tw_status redact(const struct tw_policy *policy, uint64_t detectors, json_t *body,
                             struct tw_buf *out, struct tw_error *error)
{
    struct tw_redaction *redaction = NULL;
    enum tw_status status = tw_redaction_create(policy, detectors, &redaction, error);
    if (status == TW_OK) {
        status = tw_redaction_apply(redaction, body, error);
    }
    const json_t *message = json_array_get(json_object_get(body, "messages"), 0);
    const json_t *text = json_object_get(message, "content");
    if (status == TW_OK && json_is_string(text)) {
        tw_buf_append(out, json_string_value(text), json_string_length(text) + 1);
    }
    tw_redaction_free(redaction);
    return status;
}

static void say(struct tw_buf *why, const char *what, const char *is, const char *expected)
{
    tw_buf_append_format(why, "%s%s is '%s', expected '%s'", why->size_bytes > 0 ? "; " : "", what,
                         is, expected);
}

static void compare(struct tw_buf *why, const char *what, const char *is, const char *expected)
{
    if (expected != NULL && strcmp(is, expected) != 0) {
        say(why, what, is, expected);
    }
}

typedef void (*lister)(const struct tw_policy *, uint64_t, struct tw_buf *);
typedef int (*finder)(const struct tw_policy *, const char *);

/* A set of names, in whatever order they were written. */
static void compare_set(const struct tw_policy *policy, struct tw_buf *why, const char *what,
                        uint64_t is, char *const *names, unsigned n, lister list, finder find)
{
    uint64_t expected = 0;
    bool is_known = true;
    struct tw_buf text;
    for (unsigned i = 0; i < n; i++) {
        const int number = find(policy, names[i]);
        is_known = is_known && number != TW_POLICY_NONE;
        expected |= number != TW_POLICY_NONE ? UINT64_C(1) << number : 0;
    }
    if (names == NULL || (is_known && expected == is)) {
        return;
    }
    tw_buf_init(&text, TW_LIMIT_CONF_STRING_BYTES * 2);
    list(policy, is, &text);
    tw_buf_append(&text, "", 1);
    const size_t at = text.size_bytes;
    for (unsigned i = 0; i < n; i++) {
        tw_buf_append_format(&text, "%s%s", i > 0 ? ", " : "", names[i]);
    }
    tw_buf_append(&text, "", 1);
    say(why, what, text.failed ? "?" : text.data, text.failed ? "?" : text.data + at);
    tw_buf_free(&text);
}

static const char *rule_name(const struct tw_policy *policy, int rule)
{
    return rule == TW_POLICY_NONE ? "none" : policy->rules[rule].name;
}

static enum tw_status compare_all(const struct run *run, const struct expectation *expect,
                                  const struct tw_policy_answer *answer, json_t *body,
                                  struct tw_buf *why, struct tw_error *error)
{
    const struct tw_policy *policy = run->policy;
    const struct tw_policy_decision *decision = &answer->decision;
    struct tw_buf sent;
    enum tw_status status = TW_OK;
    compare(why, "class", policy->classes[answer->classified.rank.class], expect->class);
    compare(why, "rule", rule_name(policy, decision->rule), expect->rule);
    compare_set(policy, why, "zones", decision->zones, expect->zones, expect->zones_count,
                tw_policy_list_zones, tw_policy_find_zone);
    compare_set(policy, why, "redacts", decision->redact, expect->redacts, expect->redacts_count,
                tw_policy_list_detectors, tw_policy_find_detector);
    if (expect->refused != NULL) {
        compare(why, "refused", decision->is_allowed ? "no" : "yes",
                *expect->refused ? "yes" : "no");
    }
    compare(why, "sentence", decision->sentence, expect->sentence);
    if (expect->sent != NULL) {
        tw_buf_init(&sent, TW_LIMIT_POLICY_TEXT_BYTES);
        status = redact(policy, decision->redact, body, &sent, error);
        compare(why, "sent", sent.data != NULL && decision->is_allowed ? sent.data : "",
                expect->sent);
        tw_buf_free(&sent);
    }
    return status;
}

static void put_result(const struct run *run, const char *name, unsigned i,
                       const struct tw_buf *why)
{
    const bool is_passed = why->size_bytes == 0;
    run->counts->n_passed += is_passed;
    run->counts->n_failed += !is_passed;
    tw_buf_append_format(run->out, "%s %u", is_passed ? "passed" : "FAILED", i + 1);
    tw_buf_append_format(run->out, "%s%s", name != NULL ? ": " : "", name != NULL ? name : "");
    if (!is_passed) {
        tw_buf_append_text(run->out, "\n       ");
        tw_buf_append(run->out, why->data, why->size_bytes);
    }
    tw_buf_append_text(run->out, "\n");
}

static enum tw_status run_case(const struct run *run, struct test_case *test, unsigned i,
                               struct tw_error *error)
{
    struct tw_policy_answer answer;
    struct tw_policy_ask ask = {.floor = test->floor,
                                .header = test->header,
                                .who = test->who,
                                .model = test->model,
                                .zones = (const char *const *)test->zones,
                                .n_zones = test->zones_count};
    struct tw_buf why;
    tw_buf_init(&why, TW_LIMIT_POLICY_TEXT_BYTES);
    enum tw_status status = read_body(run, test, &ask.body, error);
    if (status == TW_OK) {
        status = tw_policy_answer_ask(run->policy, &ask, &answer, error);
    }
    if (status == TW_OK) {
        status = compare_all(run, &test->expect, &answer, ask.body, &why, error);
    }
    if (status == TW_OK) {
        put_result(run, test->name, i, &why);
    } else {
        tw_error_prefix(error, "'%.80s', case %u", run->path, i + 1);
    }
    tw_buf_free(&why);
    json_decref(ask.body);
    return status;
}

enum tw_status tw_policy_cases_run(const struct tw_policy *policy, const char *path,
                                   struct tw_buf *out, struct tw_policy_cases *ret_cases,
                                   struct tw_error *error)
{
    struct tw_buf text;
    void *conf = NULL;
    enum tw_status status = tw_file_read(path, TW_LIMIT_CONF_BYTES, &text, error);
    if (status != TW_OK) {
        return status;
    }
    status = tw_conf_parse(text.data, text.size_bytes, path, &file_schema, &conf, error);
    tw_buf_free(&text);
    if (status != TW_OK) {
        return status;
    }
    struct file *file = conf;
    struct tw_policy_cases counts = {0};
    const struct run run = {policy, path, out, &counts};
    for (unsigned i = 0; status == TW_OK && i < file->cases_count; i++) {
        status = run_case(&run, &file->cases[i], i, error);
    }
    tw_conf_free(&file_schema, conf);
    if (status == TW_OK) {
        *ret_cases = counts;
    }
    return status;
}
