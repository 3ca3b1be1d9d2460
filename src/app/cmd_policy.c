/* policy: what data may go where: reads a policy, tests it by cases, explains a request by it, and
 * replays what is on record. */
#include <stdio.h>
#include <string.h>

#include "app/books_args.h"
#include "app/command.h"
#include "app/policy_ask.h"
#include "app/policy_cases.h"
#include "app/policy_replay.h"
#include "base/clock.h"
#include "hub/usage_period.h"

#define REPORT_BOUND_BYTES ((size_t)64 << 20)

/* What a command prints, and its end. */
static int finish(struct tw_policy *policy, struct tw_buf *out, enum tw_status status,
                  struct tw_error *error)
{
    struct tw_error write_error;
    if (out->size_bytes > 0 && out->data[out->size_bytes - 1] == '\n') {
        out->size_bytes--;
    }
    if (out->size_bytes > 0 && tw_command_write_line(out, &write_error) != TW_OK) {
        status = write_error.status;
        *error = write_error;
    }
    tw_buf_free(out);
    tw_policy_free(policy);
    return status == TW_OK ? 0 : tw_command_fail(error);
}

/* ---- check ---- */

struct check_args {
    bool json;
};

static const struct tw_option check_options[] = {
    {.name = "json",
     .kind = TW_OPTION_FLAG,
     .offset = offsetof(struct check_args, json),
     .help = "Print the version and the policy's canonical form as JSON."},
};

static const struct tw_option_group check_group = {"Options", check_options, 1};

static void put_words(struct tw_buf *out, const char *before, const struct tw_policy_words *list)
{
    for (size_t i = 0; i < list->n_words; i++) {
        tw_buf_append_format(out, "%s%s", i == 0 ? before : ", ", list->words[i]);
    }
}

static void put_rule(const struct tw_policy *policy, size_t i, struct tw_buf *out)
{
    const struct tw_policy_rule *rule = &policy->rules[i];
    tw_buf_append_format(out, "  %zu. %s: ", i + 1, rule->name);
    tw_policy_list_classes(policy, rule->classes, out);
    put_words(out, "; of ", &rule->who);
    put_words(out, "; models ", &rule->models);
    if (rule->redact != 0) {
        tw_buf_append_text(out, "; without ");
        tw_policy_list_detectors(policy, rule->redact, out);
    }
    if (rule->left_up_to != TW_POLICY_NONE) {
        tw_buf_append_format(out, " if that leaves %s at most", policy->classes[rule->left_up_to]);
    }
    if (rule->sentence != NULL) {
        tw_buf_append_format(out, " -> refused: %s\n", rule->sentence);
    } else {
        tw_buf_append_text(out, " -> ");
        tw_policy_list_zones(policy, rule->zones, out);
        tw_buf_append_text(out, "\n");
    }
}

static void put_zones(const struct tw_policy *policy, struct tw_buf *out)
{
    tw_buf_append_text(out, "zones:\n");
    for (size_t i = 0; i < policy->n_zones; i++) {
        const struct tw_policy_zone *zone = &policy->zones[i];
        tw_buf_append_format(out, "  %s, trust %u%s%s\n", zone->name, zone->trust,
                             zone->about != NULL ? ": " : "",
                             zone->about != NULL ? zone->about : "");
    }
}

static void put_detectors(const struct tw_policy *policy, struct tw_buf *out)
{
    tw_buf_append_text(out, "detectors:\n");
    for (size_t i = 0; i < policy->n_detectors; i++) {
        const struct tw_policy_detector *detector = &policy->detectors[i];
        tw_buf_append_format(out, "  %s -> %s", detector->name, policy->classes[detector->class]);
        if (detector->expression != NULL) {
            tw_buf_append_format(out, ", by the pattern %s", detector->expression);
        }
        if (detector->checksum != TW_CHECKSUM_NONE) {
            tw_buf_append_format(out, " and %s", tw_checksum_names[detector->checksum]);
        }
        tw_buf_append_text(out, "\n");
    }
}

static void put_floors(const struct tw_policy *policy, struct tw_buf *out)
{
    for (size_t i = 0; i < policy->n_floors; i++) {
        const struct tw_policy_floor *floor = &policy->floors[i];
        tw_buf_append_format(out, "at least %s", policy->classes[floor->class]);
        put_words(out, ": of ", &floor->who);
        tw_buf_append_text(out, "\n");
    }
}

static void put_policy(const struct tw_policy *policy, struct tw_buf *out)
{
    tw_buf_append_format(out, "policy %s\nclasses, lowest first: ", policy->short_version);
    tw_policy_list_classes(policy, (uint32_t)((UINT64_C(1) << policy->n_classes) - 1), out);
    tw_buf_append_format(out, "\nevery request is at least %s; what no detector can read is %s\n",
                         policy->classes[policy->floor], policy->classes[policy->unread]);
    put_floors(policy, out);
    put_zones(policy, out);
    put_detectors(policy, out);
    tw_buf_append_text(out, "rules, of which the first that fits decides:\n");
    for (size_t i = 0; i < policy->n_rules; i++) {
        put_rule(policy, i, out);
    }
    tw_buf_append_text(out, "  otherwise -> refused\n");
    for (size_t i = 0; i < policy->n_rules; i++) {
        const int by = tw_policy_hidden_by(policy, i);
        if (by != TW_POLICY_NONE) {
            tw_buf_append_format(out,
                                 "note: rule %zu is never reached: rule %d and those before it "
                                 "take all of its classes\n",
                                 i + 1, by + 1);
        }
    }
}

static int check(int argc, char **argv)
{
    struct check_args args = {0};
    const struct tw_command_spec spec = {
        .name = "policy check",
        .synopsis = "FILE [OPTIONS]",
        .about = "Reads a policy and says what it is, in words.",
        .least_words = 1,
        .most_words = 1,
        .uses = {{&check_group, &args}},
    };
    struct tw_words words;
    struct tw_policy *policy = NULL;
    struct tw_buf out;
    struct tw_error error;
    int exit_code;
    if (!tw_command_parse(&spec, argc, argv, &words, &exit_code)) {
        return exit_code;
    }
    tw_buf_init(&out, REPORT_BOUND_BYTES);
    enum tw_status status = tw_policy_load(words.items[0], &policy, &error);
    if (status == TW_OK && args.json) {
        tw_buf_append_format(&out, "{\"version\":\"%s\",\"policy\":", policy->version);
        tw_buf_append_text(&out, policy->canonical);
        tw_buf_append_text(&out, "}");
    } else if (status == TW_OK) {
        put_policy(policy, &out);
    }
    return finish(policy, &out, status, &error);
}

/* ---- test ---- */

static int test(int argc, char **argv)
{
    const struct tw_command_spec spec = {
        .name = "policy test",
        .synopsis = "FILE CASES",
        .about = "Asks a policy the cases of a file and compares what it decides with what they\n"
                 "expect. Exit code 9 if one differs.",
        .least_words = 2,
        .most_words = 2,
    };
    struct tw_words words;
    struct tw_policy *policy = NULL;
    struct tw_policy_cases cases = {0};
    struct tw_buf out;
    struct tw_error error;
    int exit_code;
    if (!tw_command_parse(&spec, argc, argv, &words, &exit_code)) {
        return exit_code;
    }
    tw_buf_init(&out, REPORT_BOUND_BYTES);
    enum tw_status status = tw_policy_load(words.items[0], &policy, &error);
    if (status == TW_OK) {
        status = tw_policy_cases_run(policy, words.items[1], &out, &cases, &error);
    }
    if (status == TW_OK) {
        tw_buf_append_format(&out, "%zu passed, %zu failed, policy %s", cases.n_passed,
                             cases.n_failed, policy->short_version);
    }
    if (status == TW_OK && cases.n_failed > 0) {
        status = tw_error_set(&error, TW_ERR_MISSED, TW_NO_POSITION,
                              "%zu of %zu cases are not decided as expected", cases.n_failed,
                              cases.n_failed + cases.n_passed);
    }
    return finish(policy, &out, status, &error);
}

/* ---- explain ---- */

struct explain_args {
    const char *project, *header, *floor, *model;
    struct tw_option_strings zones;
    bool json;
};

#define ROW(field) offsetof(struct explain_args, field)

static const struct tw_option explain_options[] = {
    {.name = "project",
     .kind = TW_OPTION_STRING,
     .offset = ROW(project),
     .value_name = "P",
     .help = "Who asks: organisation/team/project."},
    {.name = "header",
     .kind = TW_OPTION_STRING,
     .offset = ROW(header),
     .value_name = "CLASS",
     .help = "What the client says in " TW_CLASSIFY_HEADER "."},
    {.name = "floor",
     .kind = TW_OPTION_STRING,
     .offset = ROW(floor),
     .value_name = "CLASS",
     .help = "The class that the key or its project has at least."},
    {.name = "model",
     .kind = TW_OPTION_STRING,
     .offset = ROW(model),
     .value_name = "M",
     .help = "The model that is asked. Default: that of the request."},
    {.name = "zone",
     .kind = TW_OPTION_STRINGS,
     .offset = ROW(zones),
     .value_name = "ZONE",
     .help = "Where the model runs; may be given several times. Default: in every zone."},
    {.name = "json", .kind = TW_OPTION_FLAG, .offset = ROW(json), .help = "Print one JSON object."},
};

static const struct tw_option_group explain_group = {
    "Options", explain_options, sizeof explain_options / sizeof explain_options[0]};

static const char *fit_of(const struct tw_policy *policy, size_t rule,
                          const struct tw_policy_answer *answer)
{
    static const char *const words[] = {"fits",
                                        "is for other classes",
                                        "is for others",
                                        "is for other models",
                                        "would leave what redaction does not take away",
                                        "redacts for other zones"};
    if (answer->decision.rule != TW_POLICY_NONE && (size_t)answer->decision.rule < rule) {
        return "is not reached";
    }
    return words[tw_policy_rule_fits(policy, rule, &answer->question)];
}

static void put_outcome(const struct tw_policy *policy, const struct tw_policy_decision *decision,
                        struct tw_buf *out)
{
    if (!decision->is_allowed) {
        tw_buf_append_format(out, "refused: %s\n", decision->sentence);
        return;
    }
    tw_buf_append_text(out, "may run in ");
    tw_policy_list_zones(policy, decision->zones, out);
    if (decision->redact != 0) {
        tw_buf_append_text(out, "; replaced before it leaves: ");
        tw_policy_list_detectors(policy, decision->redact, out);
    }
    tw_buf_append_text(out, "\n");
}

static void put_explanation(const struct tw_policy *policy, const struct tw_policy_answer *answer,
                            struct tw_buf *out)
{
    const struct tw_classified *classified = &answer->classified;
    tw_buf_append_format(out, "class %s\n", policy->classes[classified->rank.class]);
    for (size_t i = 0; i < classified->n_reasons; i++) {
        char sentence[TW_CLASSIFY_SENTENCE_BYTES];
        tw_classify_say(policy, &classified->reasons[i], sentence);
        tw_buf_append_format(out, "  %s\n", sentence);
    }
    tw_buf_append_text(out, "rules\n");
    for (size_t i = 0; i < policy->n_rules; i++) {
        tw_buf_append_format(out, "  %zu. %s: %s\n", i + 1, policy->rules[i].name,
                             fit_of(policy, i, answer));
    }
    put_outcome(policy, &answer->decision, out);
    tw_buf_append_format(out, "policy %s\n", policy->short_version);
}

/* ---- explain, as JSON ---- */

static void put_reasons(const struct tw_policy *policy, const struct tw_classified *classified,
                        struct tw_json_writer *json)
{
    tw_json_key(json, "reasons");
    tw_json_array_begin(json);
    for (size_t i = 0; i < classified->n_reasons; i++) {
        const struct tw_classify_reason *reason = &classified->reasons[i];
        tw_json_object_begin(json);
        tw_json_put_text(json, "class", policy->classes[reason->class]);
        tw_json_put_text(json, "source", tw_classify_source_name(reason->source));
        if (reason->detector != TW_POLICY_NONE) {
            tw_json_put_text(json, "detector", policy->detectors[reason->detector].name);
        }
        if (reason->place[0] != '\0') {
            tw_json_put_text(json, "place", reason->place);
        }
        tw_json_put_uint(json, "times", reason->n);
        tw_json_object_end(json);
    }
    tw_json_array_end(json);
}

static void put_rules(const struct tw_policy *policy, const struct tw_policy_answer *answer,
                      struct tw_json_writer *json)
{
    tw_json_key(json, "rules");
    tw_json_array_begin(json);
    for (size_t i = 0; i < policy->n_rules; i++) {
        tw_json_object_begin(json);
        tw_json_put_text(json, "name", policy->rules[i].name);
        tw_json_put_text(json, "outcome", fit_of(policy, i, answer));
        tw_json_object_end(json);
    }
    tw_json_array_end(json);
}

static void put_set(struct tw_json_writer *json, const char *key, uint64_t bits, size_t n,
                    const struct tw_policy *policy)
{
    tw_json_key(json, key);
    tw_json_array_begin(json);
    for (size_t i = 0; i < n; i++) {
        if ((bits >> i & 1) != 0) {
            tw_json_text(json, strcmp(key, "zones") == 0 ? policy->zones[i].name
                                                         : policy->detectors[i].name);
        }
    }
    tw_json_array_end(json);
}

static void put_json(const struct tw_policy *policy, const struct tw_policy_answer *answer,
                     struct tw_buf *out)
{
    const struct tw_policy_decision *decision = &answer->decision;
    struct tw_json_writer json;
    tw_json_begin(&json, out);
    tw_json_object_begin(&json);
    tw_json_put_text(&json, "policy", policy->version);
    tw_json_put_text(&json, "class", policy->classes[answer->classified.rank.class]);
    put_reasons(policy, &answer->classified, &json);
    put_rules(policy, answer, &json);
    tw_json_put_bool(&json, "allowed", decision->is_allowed);
    tw_json_key(&json, "rule");
    if (decision->rule == TW_POLICY_NONE) {
        tw_json_null(&json);
    } else {
        tw_json_text(&json, policy->rules[decision->rule].name);
    }
    put_set(&json, "zones", decision->zones, policy->n_zones, policy);
    put_set(&json, "redact", decision->redact, policy->n_detectors, policy);
    tw_json_put_text(&json, "sentence", decision->sentence);
    tw_json_object_end(&json);
}

static enum tw_status explain_request(const struct tw_policy *policy, const char *path,
                                      const struct explain_args *args, struct tw_buf *out,
                                      struct tw_error *error)
{
    struct tw_policy_answer answer;
    struct tw_policy_ask ask = {.floor = args->floor,
                                .header = args->header,
                                .who = args->project,
                                .model = args->model,
                                .zones = args->zones.items,
                                .n_zones = args->zones.n_items};
    enum tw_status status = tw_json_load(path, TW_LIMIT_HTTP_BODY_BYTES, &ask.body, error);
    if (status == TW_OK) {
        status = tw_policy_answer_ask(policy, &ask, &answer, error);
    }
    if (status == TW_OK && args->json) {
        put_json(policy, &answer, out);
    } else if (status == TW_OK) {
        put_explanation(policy, &answer, out);
    }
    json_decref(ask.body); /* the answer has its model's name from there */
    return status;
}

static int explain(int argc, char **argv)
{
    struct explain_args args = {0};
    const struct tw_command_spec spec = {
        .name = "policy explain",
        .synopsis = "FILE REQUEST.json [OPTIONS]",
        .about =
            "Says what a policy decides of a request (a body of the OpenAI API), and why. What\n"
            "was found in it is named, with its place, and never shown.",
        .least_words = 2,
        .most_words = 2,
        .uses = {{&explain_group, &args}},
    };
    struct tw_words words;
    struct tw_policy *policy = NULL;
    struct tw_buf out;
    struct tw_error error;
    int exit_code;
    if (tw_command_parse(&spec, argc, argv, &words, &exit_code)) {
        tw_buf_init(&out, REPORT_BOUND_BYTES);
        enum tw_status status = tw_policy_load(words.items[0], &policy, &error);
        if (status == TW_OK) {
            status = explain_request(policy, words.items[1], &args, &out, &error);
        }
        exit_code = finish(policy, &out, status, &error);
    }
    tw_option_strings_free(&args.zones);
    return exit_code;
}

/* ---- replay ---- */

struct replay_args {
    const char *books, *period;
    bool json;
};

static const struct tw_option replay_options[] = {
    {.name = "books",
     .kind = TW_OPTION_STRING,
     .offset = offsetof(struct replay_args, books),
     .value_name = "ADDRESS",
     .help = "The books: a file, a folder, or postgres://... . Default: TOKENWORKS_BOOKS, or "
             "where 'serve' has them."},
    {.name = "period",
     .kind = TW_OPTION_STRING,
     .offset = offsetof(struct replay_args, period),
     .value_name = "PERIOD",
     .help = "Of when: as 'usage' has it, like 2026-11, 2026-11-01..2026-11-15 or all, in UTC. "
             "Default: last-month."},
    {.name = "json",
     .kind = TW_OPTION_FLAG,
     .offset = offsetof(struct replay_args, json),
     .help = "Print one JSON object."},
};

static const struct tw_option_group replay_group = {
    "Options", replay_options, sizeof replay_options / sizeof replay_options[0]};

static enum tw_status replay_books(const struct tw_policy *policy, const struct replay_args *args,
                                   struct tw_buf *out, struct tw_error *error)
{
    struct tw_zone *utc = NULL;
    struct tw_db *db = NULL;
    struct tw_period period;
    struct tw_policy_replayed replayed = {0};
    enum tw_status status = tw_zone_open(NULL, "UTC", &utc, error);
    if (status == TW_OK) {
        status = tw_usage_period_parse(args->period != NULL ? args->period : "last-month", utc,
                                       tw_clock_wall_ns() / TW_SECOND_NS, &period, error);
    }
    if (status == TW_OK) {
        status = tw_books_args_open(args->books, &db, error);
    }
    if (status == TW_OK) {
        status = tw_policy_replay(policy, db, &period, args->json, tw_books_args_width(), out,
                                  &replayed, error);
    }
    if (status == TW_OK && replayed.n_changed > 0) {
        status = tw_error_set(error, TW_ERR_MISSED, TW_NO_POSITION,
                              "%lld of %lld requests would be decided otherwise",
                              (long long)replayed.n_changed, (long long)replayed.n_requests);
    }
    tw_db_close(db);
    tw_zone_free(utc);
    return status;
}

static int replay(int argc, char **argv)
{
    struct replay_args args = {0};
    const struct tw_command_spec spec = {
        .name = "policy replay",
        .synopsis = "FILE [OPTIONS]",
        .about =
            "Asks a policy what it would have decided of the requests that the books have on\n"
            "record, and says what would be otherwise. The books are read only. Requests are not\n"
            "kept, so their classes are those of then. Exit code 9 if something would change.",
        .least_words = 1,
        .most_words = 1,
        .uses = {{&replay_group, &args}},
    };
    struct tw_words words;
    struct tw_policy *policy = NULL;
    struct tw_buf out;
    struct tw_error error;
    int exit_code;
    if (!tw_command_parse(&spec, argc, argv, &words, &exit_code)) {
        return exit_code;
    }
    tw_buf_init(&out, REPORT_BOUND_BYTES);
    enum tw_status status = tw_policy_load(words.items[0], &policy, &error);
    if (status == TW_OK) {
        status = replay_books(policy, &args, &out, &error);
    }
    return finish(policy, &out, status, &error);
}

int tw_cmd_policy(int argc, char **argv)
{
    static const struct tw_command commands[] = {
        {"check", "read a policy and say what it is", check},
        {"test", "ask a policy the cases of a file", test},
        {"explain", "say what a policy decides of a request, and why", explain},
        {"replay", "say what a policy would have decided of past requests", replay},
        {NULL, NULL, NULL},
    };
    return tw_command_dispatch(commands, "tokenworks policy", "What data may go where.", argc,
                               argv);
}
