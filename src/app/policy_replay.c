#include "app/policy_replay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/policy_ask.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "hub/report_table.h"
#include "hub/usage_period.h"

#define PATH_BYTES (4 * (TW_LIMIT_HUB_NAME_BYTES + 1))

/* UNKNOWN: it was refused, and where its model could have run is not on record. */
enum change { SAME = 0, NOW_REFUSED, NOW_ALLOWED, ELSEWHERE, REPLACED, UNKNOWN, CHANGES };
static const char *const change_names[CHANGES] = {"same",      "refused",  "allowed",
                                                  "elsewhere", "replaced", "not known"};

/* Requests that are alike in all that decides. */
struct group {
    int64_t key, n_requests;
    const char *model, *class, *zone, *rule; /* NULL: not on record; of json */
    int detector;                            /* that gave the class, or TW_POLICY_NONE */
    bool was_refused;
    char who[PATH_BYTES];
    enum change change;
    struct tw_policy_decision decision;
};

struct replay {
    const struct tw_policy *policy;
    struct tw_db *db;
    struct tw_period period;
    json_t *holders; /* {"7": ["acme", 0]}: name and parent */
    json_t *groups;  /* {"[7,...]": n}: the key is JSON */
    json_t *zones;   /* {"model": ["zone", ...]} where it ran */
    struct group *sorted;
    json_t **keys; /* [n_sorted] parsed keys, which the groups point into */
    size_t n_sorted;
    int64_t n_requests, n_without, n_changed, n_other_class, n_never_ran;
    struct tw_error *error;
};

static enum tw_status no_memory(struct replay *replay)
{
    return tw_error_set(replay->error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a replay");
}

/* ---- what is on record ---- */

static enum tw_status read_holders(struct replay *replay)
{
    struct tw_db_statement *rows = NULL;
    bool has_row = false;
    enum tw_status status =
        tw_db_prepare(replay->db, "SELECT id, parent, name FROM holder", &rows, replay->error);
    if (status == TW_OK) {
        status = tw_db_query(rows, NULL, 0, replay->error);
    }
    while (status == TW_OK) {
        char id[24];
        status = tw_db_next(rows, &has_row, replay->error);
        if (status != TW_OK || !has_row) {
            break;
        }
        snprintf(id, sizeof id, "%lld", (long long)tw_db_column_integer(rows, 0));
        json_t *row = json_pack("[sI]", tw_db_column_text(rows, 2),
                                (json_int_t)tw_db_column_integer(rows, 1));
        status = json_object_set_new(replay->holders, id, row) == 0 ? TW_OK : no_memory(replay);
    }
    tw_db_finalize(rows);
    return status;
}

/* "acme/research/chat/ci", by the names of today. */
static void write_path(const struct replay *replay, int64_t id, char path[PATH_BYTES])
{
    const char *names[4];
    size_t n = 0, used = 0;
    path[0] = '\0';
    while (id != 0 && n < 4) {
        char text[24];
        snprintf(text, sizeof text, "%lld", (long long)id);
        const json_t *row = json_object_get(replay->holders, text);
        if (row == NULL) {
            return;
        }
        names[n++] = json_string_value(json_array_get(row, 0));
        id = json_integer_value(json_array_get(row, 1));
    }
    while (n > 0 && used < PATH_BYTES) {
        n--;
        used +=
            (size_t)snprintf(path + used, PATH_BYTES - used, "%s%s", used > 0 ? "/" : "", names[n]);
    }
}

/* "confidential: email in messages[0].content": the first word behind the class, if it found. */
static const char *detector_of(const char *reason, char name[TW_LIMIT_POLICY_NAME_BYTES])
{
    const char *word = reason != NULL ? strstr(reason, ": ") : NULL;
    const size_t n = word != NULL ? strcspn(word + 2, " ") : 0;
    if (n == 0 || n >= TW_LIMIT_POLICY_NAME_BYTES || strncmp(word + 2 + n, " in ", 4) != 0) {
        return NULL;
    }
    snprintf(name, TW_LIMIT_POLICY_NAME_BYTES, "%.*s", (int)n, word + 2);
    return name;
}

static bool note_zone(struct replay *replay, const char *model, const char *zone)
{
    json_t *list = json_object_get(replay->zones, model), *item;
    size_t i;
    if (list == NULL) {
        list = json_array();
        if (json_object_set_new(replay->zones, model, list) != 0) {
            return false;
        }
    }
    json_array_foreach (list, i, item) {
        if (strcmp(json_string_value(item), zone) == 0) {
            return true;
        }
    }
    return json_array_append_new(list, json_string(zone)) == 0;
}

static enum tw_status take_record(struct replay *replay, const char *kind, const json_t *body)
{
    const json_t *route = json_object_get(body, "route");
    const char *class = json_string_value(json_object_get(route, "class"));
    const char *zone = json_string_value(json_object_get(route, "zone"));
    const char *model = json_string_value(json_object_get(body, "model"));
    char detector[TW_LIMIT_POLICY_NAME_BYTES];
    if (class == NULL) {
        replay->n_without++;
        return TW_OK;
    }
    /* What has no price is refused with 403 as well, but its prompt was counted before. */
    const bool was_refused = strcmp(kind, "request.refused") == 0 &&
                             json_integer_value(json_object_get(body, "http_status")) == 403 &&
                             json_integer_value(json_object_get(body, "prompt_tokens")) == 0;
    if (zone != NULL && model != NULL && !note_zone(replay, model, zone)) {
        return no_memory(replay);
    }
    json_t *key =
        json_pack("[Isssss?b]", (json_int_t)json_integer_value(json_object_get(body, "key")),
                  model != NULL ? model : "", class, zone != NULL && !was_refused ? zone : "",
                  json_string_value(json_object_get(route, "rule")) != NULL
                      ? json_string_value(json_object_get(route, "rule"))
                      : "",
                  detector_of(json_string_value(json_object_get(route, "class_reason")), detector),
                  was_refused);
    struct tw_buf buf;
    struct tw_json_writer writer;
    tw_buf_init(&buf, TW_LIMIT_REPORT_BYTES);
    tw_json_begin(&writer, &buf);
    if (key != NULL) {
        tw_json_value(&writer, key);
    }
    tw_buf_append(&buf, "", 1);
    const char *text = key != NULL && !buf.failed ? buf.data : NULL;
    const json_t *before = text != NULL ? json_object_get(replay->groups, text) : NULL;
    enum tw_status status = TW_OK;
    if (text == NULL || json_object_set_new(replay->groups, text,
                                            json_integer(json_integer_value(before) + 1)) != 0) {
        status = no_memory(replay);
    } else if (json_object_size(replay->groups) > TW_LIMIT_POLICY_GROUPS) {
        status = tw_error_set(replay->error, TW_ERR_LIMIT, TW_NO_POSITION,
                              "the period has more than %d kinds of requests: choose a shorter one",
                              TW_LIMIT_POLICY_GROUPS);
    }
    replay->n_requests++;
    tw_buf_free(&buf);
    json_decref(key);
    return status;
}

static enum tw_status read_part(struct replay *replay, int64_t *seq, bool *ret_more)
{
    static const char sql[] =
        "SELECT seq, kind, body FROM audit WHERE log = (SELECT log FROM books WHERE id = 1)"
        " AND seq > ? AND at_ns >= ? AND at_ns < ?"
        " AND kind IN ('request.settled', 'request.recovered', 'request.refused')"
        " ORDER BY seq LIMIT ?";
    const struct tw_db_value values[] = {
        tw_db_integer(*seq), tw_db_integer(replay->period.starts_s * TW_SECOND_NS),
        tw_db_integer(replay->period.ends_s * TW_SECOND_NS), tw_db_integer(TW_LIMIT_REPORT_PART)};
    struct tw_db_statement *rows = NULL;
    bool has_row = false;
    enum tw_status status = tw_db_prepare(replay->db, sql, &rows, replay->error);
    *ret_more = false;
    if (status == TW_OK) {
        status = tw_db_query(rows, values, 4, replay->error);
    }
    while (status == TW_OK) {
        json_t *body = NULL;
        status = tw_db_next(rows, &has_row, replay->error);
        if (status != TW_OK || !has_row) {
            break;
        }
        const char *text = tw_db_column_text(rows, 2);
        *seq = tw_db_column_integer(rows, 0);
        *ret_more = true;
        status =
            tw_json_parse(text, strlen(text), "a record of the audit log", &body, replay->error);
        if (status == TW_OK) {
            status = take_record(replay, tw_db_column_text(rows, 1), body);
        }
        json_decref(body);
    }
    tw_db_finalize(rows);
    return status;
}

/* ---- deciding anew ---- */

/* A zone that the new policy lacks is none where it may run. */
static uint64_t zones_of(struct replay *replay, const struct group *group)
{
    const json_t *list = json_object_get(replay->zones, group->model);
    uint64_t zones = 0;
    size_t i;
    json_t *item;
    json_array_foreach (list, i, item) {
        const int zone = tw_policy_find_zone(replay->policy, json_string_value(item));
        zones |= zone != TW_POLICY_NONE ? UINT64_C(1) << zone : 0;
    }
    replay->n_never_ran += list == NULL ? group->n_requests : 0;
    return list != NULL ? zones : UINT64_MAX;
}

static struct tw_policy_rank rank_of(struct replay *replay, const struct group *group)
{
    const struct tw_policy *policy = replay->policy;
    const unsigned floor = tw_policy_floor_of(policy, group->who[0] != '\0' ? group->who : NULL);
    const int known = tw_policy_find_class(policy, group->class);
    const unsigned class =
        known != TW_POLICY_NONE ? (unsigned)known : (unsigned)policy->n_classes - 1;
    replay->n_other_class += known == TW_POLICY_NONE ? group->n_requests : 0;
    return (struct tw_policy_rank){
        .class = class > floor ? class : floor,
        .by_others = group->detector != TW_POLICY_NONE || class < floor ? floor : class,
        .found = group->detector != TW_POLICY_NONE ? UINT64_C(1) << group->detector : 0};
}

static enum change compare(const struct replay *replay, const struct group *group)
{
    const struct tw_policy_decision *decision = &group->decision;
    if (group->was_refused && decision->is_allowed &&
        json_object_get(replay->zones, group->model) == NULL) {
        return UNKNOWN;
    }
    if (group->was_refused || !decision->is_allowed) {
        return group->was_refused == !decision->is_allowed ? SAME
               : decision->is_allowed                      ? NOW_ALLOWED
                                                           : NOW_REFUSED;
    }
    const int zone = tw_policy_find_zone(replay->policy, group->zone);
    if (group->zone[0] != '\0' && (zone == TW_POLICY_NONE || (decision->zones >> zone & 1) == 0)) {
        return ELSEWHERE;
    }
    const bool is_new_rule = strcmp(replay->policy->rules[decision->rule].name, group->rule) != 0;
    return decision->redact != 0 && is_new_rule ? REPLACED : SAME;
}

static void decide(struct replay *replay, struct group *group)
{
    write_path(replay, group->key, group->who);
    const struct tw_policy_question question = {.rank = rank_of(replay, group),
                                                .who = group->who[0] != '\0' ? group->who : NULL,
                                                .model = group->model,
                                                .zones = zones_of(replay, group)};
    tw_policy_decide(replay->policy, &question, &group->decision);
    group->change = compare(replay, group);
    replay->n_changed += group->change != SAME && group->change != UNKNOWN ? group->n_requests : 0;
}

static int by_change(const void *a, const void *b)
{
    const struct group *x = a, *y = b;
    if (x->change != y->change) {
        return x->change < y->change ? -1 : 1;
    }
    if (x->n_requests != y->n_requests) {
        return x->n_requests > y->n_requests ? -1 : 1;
    }
    return strcmp(x->who, y->who);
}

static enum tw_status decide_all(struct replay *replay)
{
    const size_t n = json_object_size(replay->groups);
    const char *text;
    json_t *count;
    replay->sorted = tw_mem_zalloc(n + 1, sizeof *replay->sorted);
    replay->keys = tw_mem_zalloc(n + 1, sizeof *replay->keys);
    if (replay->sorted == NULL || replay->keys == NULL) {
        return no_memory(replay);
    }
    json_object_foreach (replay->groups, text, count) {
        struct group *group = &replay->sorted[replay->n_sorted];
        json_t *key = json_loads(text, 0, NULL);
        replay->keys[replay->n_sorted++] = key;
        if (key == NULL) {
            return no_memory(replay);
        }
        const char *detector = json_string_value(json_array_get(key, 5));
        *group = (struct group){.key = json_integer_value(json_array_get(key, 0)),
                                .n_requests = json_integer_value(count),
                                .model = json_string_value(json_array_get(key, 1)),
                                .class = json_string_value(json_array_get(key, 2)),
                                .zone = json_string_value(json_array_get(key, 3)),
                                .rule = json_string_value(json_array_get(key, 4)),
                                .was_refused = json_is_true(json_array_get(key, 6)),
                                .detector = detector != NULL
                                                ? tw_policy_find_detector(replay->policy, detector)
                                                : TW_POLICY_NONE};
        decide(replay, group);
    }
    qsort(replay->sorted, n, sizeof *replay->sorted, by_change);
    return TW_OK;
}

/* ---- what is told ---- */

static const char *rule_name(const struct replay *replay, const struct group *group)
{
    return group->decision.rule != TW_POLICY_NONE ? replay->policy->rules[group->decision.rule].name
                                                  : "none";
}

static void put_after(const struct replay *replay, const struct group *group, struct tw_buf *out)
{
    if (!group->decision.is_allowed) {
        tw_buf_append_text(out, "refused");
        return;
    }
    tw_policy_list_zones(replay->policy, group->decision.zones, out);
    if (group->decision.redact != 0) {
        tw_buf_append_text(out, " without ");
        tw_policy_list_detectors(replay->policy, group->decision.redact, out);
    }
}

static const char *before_of(const struct group *group)
{
    return group->was_refused ? "refused" : group->zone[0] != '\0' ? group->zone : "allowed";
}

static void put_row(const struct replay *replay, const struct group *group,
                    struct tw_report_table *table)
{
    struct tw_buf after;
    tw_buf_init(&after, TW_LIMIT_REPORT_BYTES);
    put_after(replay, group, &after);
    tw_buf_append(&after, "", 1);
    tw_report_table_cell(table, change_names[group->change]);
    tw_report_table_integer(table, group->n_requests);
    tw_report_table_cell(table, group->who);
    tw_report_table_cell(table, group->model);
    tw_report_table_cell(table, group->class);
    tw_report_table_cell(table, before_of(group));
    tw_report_table_cell(table, after.failed ? "" : after.data);
    tw_report_table_cell(table, group->rule);
    tw_report_table_cell(table, rule_name(replay, group));
    table->failed = table->failed || after.failed;
    tw_buf_free(&after);
}

static enum tw_status put_table(const struct replay *replay, size_t n_wide, struct tw_buf *out)
{
    static const char *const titles[] = {"change", "requests", "who",  "model",   "class",
                                         "before", "after",    "rule", "new rule"};
    struct tw_report_table table;
    bool has_rows = false;
    tw_report_table_init(&table);
    for (size_t i = 0; i < sizeof titles / sizeof titles[0]; i++) {
        tw_report_table_column(&table, titles[i], i == 1);
    }
    for (size_t i = 0; i < replay->n_sorted; i++) {
        if (replay->sorted[i].change != SAME) {
            put_row(replay, &replay->sorted[i], &table);
            has_rows = true;
        }
    }
    enum tw_status status =
        has_rows ? tw_report_table_write(&table, n_wide, out, replay->error) : TW_OK;
    tw_report_table_free(&table);
    return status;
}

/* What nobody can know from records, as far as it matters here. */
static void put_notes(const struct replay *replay, struct tw_buf *out)
{
    tw_buf_append_text(out, "note: requests are not kept, so detectors and limits of reading are "
                            "those of then; floors and rules are the new ones\n");
    if (replay->n_without > 0) {
        tw_buf_append_format(out,
                             "note: %lld requests have no class on record: no policy was in "
                             "use\n",
                             (long long)replay->n_without);
    }
    if (replay->n_other_class > 0) {
        tw_buf_append_format(out,
                             "note: %lld requests are of a class that this policy lacks; they "
                             "count as the highest\n",
                             (long long)replay->n_other_class);
    }
    if (replay->n_never_ran > 0) {
        tw_buf_append_format(
            out,
            "note: %lld requests were for models that ran nowhere in the "
            "period; they count as in every zone, and what was refused and might be "
            "allowed is not known\n",
            (long long)replay->n_never_ran);
    }
}

static void count_changes(const struct replay *replay, int64_t n_of[CHANGES])
{
    for (size_t i = 0; i < replay->n_sorted; i++) {
        n_of[replay->sorted[i].change] += replay->sorted[i].n_requests;
    }
}

static void put_json_row(const struct replay *replay, const struct group *group,
                         struct tw_json_writer *json)
{
    const struct tw_policy_decision *decision = &group->decision;
    tw_json_object_begin(json);
    tw_json_put_text(json, "change", change_names[group->change]);
    tw_json_put_int(json, "requests", group->n_requests);
    tw_json_put_text(json, "who", group->who);
    tw_json_put_text(json, "model", group->model);
    tw_json_put_text(json, "class", group->class);
    tw_json_put_text(json, "before", before_of(group));
    tw_json_put_text(json, "rule", group->rule);
    tw_json_put_text(json, "new_rule", rule_name(replay, group));
    tw_json_put_bool(json, "allowed", decision->is_allowed);
    tw_json_key(json, "zones");
    tw_json_array_begin(json);
    for (size_t i = 0; i < replay->policy->n_zones; i++) {
        if ((decision->zones >> i & 1) != 0) {
            tw_json_text(json, replay->policy->zones[i].name);
        }
    }
    tw_json_array_end(json);
    tw_json_key(json, "redact");
    tw_json_array_begin(json);
    for (size_t i = 0; i < replay->policy->n_detectors; i++) {
        if ((decision->redact >> i & 1) != 0) {
            tw_json_text(json, replay->policy->detectors[i].name);
        }
    }
    tw_json_array_end(json);
    tw_json_object_end(json);
}

static void put_json(const struct replay *replay, struct tw_buf *out)
{
    char starts[TW_USAGE_PERIOD_TEXT_BYTES], ends[TW_USAGE_PERIOD_TEXT_BYTES];
    struct tw_json_writer json;
    int64_t n_of[CHANGES] = {0};
    count_changes(replay, n_of);
    tw_usage_period_write_utc(replay->period.starts_s, starts);
    tw_usage_period_write_utc(replay->period.ends_s, ends);
    tw_json_begin(&json, out);
    tw_json_object_begin(&json);
    tw_json_put_text(&json, "policy", replay->policy->version);
    tw_json_put_text(&json, "starts", starts);
    tw_json_put_text(&json, "ends", ends);
    tw_json_put_int(&json, "requests", replay->n_requests);
    for (size_t i = 0; i < CHANGES; i++) {
        tw_json_put_int(&json, i == UNKNOWN ? "not_known" : change_names[i], n_of[i]);
    }
    tw_json_put_int(&json, "without_class", replay->n_without);
    tw_json_put_int(&json, "of_unknown_class", replay->n_other_class);
    tw_json_put_int(&json, "of_models_that_ran_nowhere", replay->n_never_ran);
    tw_json_key(&json, "changes");
    tw_json_array_begin(&json);
    for (size_t i = 0; i < replay->n_sorted; i++) {
        if (replay->sorted[i].change != SAME) {
            put_json_row(replay, &replay->sorted[i], &json);
        }
    }
    tw_json_array_end(&json);
    tw_json_object_end(&json);
}

static enum tw_status put_text(const struct replay *replay, size_t n_wide, struct tw_buf *out)
{
    int64_t n_of[CHANGES] = {0};
    char starts[TW_USAGE_PERIOD_TEXT_BYTES], ends[TW_USAGE_PERIOD_TEXT_BYTES];
    enum tw_status status = put_table(replay, n_wide, out);
    count_changes(replay, n_of);
    tw_usage_period_write_utc(replay->period.starts_s, starts);
    tw_usage_period_write_utc(replay->period.ends_s, ends);
    if (replay->n_requests == 0) {
        tw_buf_append_format(out,
                             "no requests in this period, from %s to %s, so nothing is known of "
                             "policy %s: --period chooses another\n",
                             starts, ends, replay->policy->short_version);
        put_notes(replay, out);
        return status;
    }
    tw_buf_append_format(out, "from %s to %s, %lld requests under policy %s: %lld as before",
                         starts, ends, (long long)replay->n_requests, replay->policy->short_version,
                         (long long)n_of[SAME]);
    for (size_t i = NOW_REFUSED; i < CHANGES; i++) {
        tw_buf_append_format(out, ", %lld %s", (long long)n_of[i], change_names[i]);
    }
    tw_buf_append_text(out, "\n");
    put_notes(replay, out);
    return status;
}

/* ---- all of it ---- */

enum tw_status tw_policy_replay(const struct tw_policy *policy, struct tw_db *db,
                                const struct tw_period *period, bool as_json, size_t n_wide,
                                struct tw_buf *out, struct tw_policy_replayed *ret_replayed,
                                struct tw_error *error)
{
    struct replay replay = {.policy = policy,
                            .db = db,
                            .period = *period,
                            .holders = json_object(),
                            .groups = json_object(),
                            .zones = json_object(),
                            .error = error};
    int64_t seq = 0;
    bool has_more = true;
    enum tw_status status = replay.holders != NULL && replay.groups != NULL && replay.zones != NULL
                                ? read_holders(&replay)
                                : no_memory(&replay);
    while (status == TW_OK && has_more) {
        status = read_part(&replay, &seq, &has_more);
    }
    if (status == TW_OK) {
        status = decide_all(&replay);
    }
    if (status == TW_OK && as_json) {
        put_json(&replay, out);
    } else if (status == TW_OK) {
        status = put_text(&replay, n_wide, out);
    }
    for (size_t i = 0; i < replay.n_sorted; i++) {
        json_decref(replay.keys[i]);
    }
    tw_mem_free(replay.keys);
    tw_mem_free(replay.sorted);
    json_decref(replay.holders);
    json_decref(replay.groups);
    json_decref(replay.zones);
    if (status == TW_OK) {
        *ret_replayed = (struct tw_policy_replayed){replay.n_requests, replay.n_changed};
    }
    return status;
}
