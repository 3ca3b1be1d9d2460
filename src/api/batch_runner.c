/* The runner: takes the lines of batches, gives each to the preparing threads as a request of our
 * own, and puts on record what became of those that have no answer.
 *
 * Threads: its own; answers come on others, which only fill the slot under the lock. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api/api_batches.h"
#include "api/api_refusals.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "hub/content.h"

#define LOOK_NS TW_SECOND_NS       /* from one look at the books to the next */
#define SHY_NS  (5 * TW_SECOND_NS) /* where others are to take what was given back */

enum slot_state {
    SLOT_FREE = 0,
    SLOT_WAITING, /* until retry_ns, to be asked again */
    SLOT_RUNNING,
    SLOT_ANSWERED
};

/* Why a line has no answer. */
struct reason {
    const char *code, *message;
};
static const struct reason erased = {"erased", "the person whom the request names was erased"};
static const struct reason no_json = {"invalid_json_line", "the line is no JSON any more"};
static const struct reason expired = {
    "batch_expired", "the request could not be run before the batch's window was over"};
static const struct reason cancelled = {"batch_cancelled",
                                        "the batch was cancelled before the request was run"};
static const struct reason revoked = {
    "invalid_api_key", "the key that asked for the batch was revoked, or has expired"};
static const struct reason not_kept = {
    "result_not_kept",
    "the answer is too large to be kept, or the person whom it is about was erased"};
static const struct reason no_answer = {"server_error", "the request had no answer"};

struct job;

/* A line that runs, or is to run again. */
struct slot {
    struct tw_api_runner *runner;
    enum slot_state state; /* under the lock */
    struct job *job;
    struct tw_hub_line line;
    struct tw_http_request *http; /* our reference, while it runs */
    char custom_id[TW_LIMIT_BATCH_CUSTOM_BYTES + 1];
    char request_id[TW_LIMIT_HTTP_ID_BYTES + 1];
    char *body; /* of the request */
    size_t body_bytes;
    struct tw_buf user;
    int64_t retry_ns;
    uint32_t n_tries;
    /* Of the answer, under the lock: */
    int status;
    bool may_retry;
    struct tw_buf answer;
};

/* A line that was read and not begun. */
struct read_line {
    int64_t number;
    char *text; /* NULL: erased */
    size_t n_bytes;
};

/* A batch that is worked on. */
struct job {
    struct tw_batch batch;
    struct tw_hub_caller caller;
    bool has_caller;
    bool is_announced; /* to the scheduler */
    bool is_lost;      /* another hub has it, or has to: its lines cannot be read here */
    bool *done;        /* [n_lines] */
    size_t n_lines;
    int64_t last; /* line that was read */
    struct read_line lines[TW_LIMIT_BATCH_PIECE_LINES];
    size_t n_read, n_begun; /* of lines */
    bool is_read;           /* there are no more */
    uint32_t n_open;        /* slots */
    struct job *next;
};

struct tw_api_runner {
    struct tw_api_batches *batches;
    struct slot *slots; /* [n_slots] */
    size_t n_slots;
    struct job *jobs;
    struct tw_batch *own; /* [TW_LIMIT_BATCH_RUNNING]: room for a look */
    int64_t look_ns, warned_ns;
};

/* ---- making and freeing ---- */

struct tw_api_runner *tw_api_runner_create(struct tw_api_batches *batches)
{
    const struct tw_api_config *config = &batches->api->config;
    struct tw_api_runner *runner = tw_mem_zalloc(1, sizeof *runner);
    if (runner == NULL) {
        return NULL;
    }
    runner->batches = batches;
    runner->n_slots = config->batch_lines > 0 ? config->batch_lines : TW_LIMIT_BATCH_AT_ONCE / 8;
    if (runner->n_slots > TW_LIMIT_BATCH_AT_ONCE) {
        runner->n_slots = TW_LIMIT_BATCH_AT_ONCE;
    }
    runner->slots = tw_mem_zalloc(runner->n_slots, sizeof *runner->slots);
    runner->own = tw_mem_zalloc(TW_LIMIT_BATCH_RUNNING, sizeof *runner->own);
    if (runner->slots == NULL || runner->own == NULL) {
        tw_api_runner_free(runner);
        return NULL;
    }
    for (size_t i = 0; i < runner->n_slots; i++) {
        runner->slots[i].runner = runner;
    }
    return runner;
}

static void free_slot(struct slot *slot)
{
    if (slot->http != NULL) {
        tw_http_release(slot->http);
    }
    tw_hub_line_free(&slot->line);
    tw_mem_free(slot->body);
    tw_buf_free(&slot->answer);
    tw_buf_free(&slot->user);
    *slot = (struct slot){.runner = slot->runner};
}

static void free_lines(struct job *job)
{
    for (size_t i = 0; i < job->n_read; i++) {
        tw_mem_free(job->lines[i].text);
    }
    job->n_read = 0;
    job->n_begun = 0;
}

static void free_job(struct job *job)
{
    free_lines(job);
    tw_mem_free(job->done);
    tw_mem_free(job);
}

void tw_api_runner_free(struct tw_api_runner *runner)
{
    if (runner == NULL) {
        return;
    }
    for (size_t i = 0; runner->slots != NULL && i < runner->n_slots; i++) {
        free_slot(&runner->slots[i]);
    }
    while (runner->jobs != NULL) {
        struct job *job = runner->jobs;
        runner->jobs = job->next;
        free_job(job);
    }
    tw_mem_free(runner->slots);
    tw_mem_free(runner->own);
    tw_mem_free(runner);
}

/* The store is away, or the like: it is tried again, and said once a minute. */
static void warn(struct tw_api_runner *runner, const struct tw_error *error)
{
    const int64_t now_ns = tw_clock_monotonic_ns();
    if (error->status == TW_ERR_CANCELLED || now_ns < runner->warned_ns) {
        return;
    }
    runner->warned_ns = now_ns + 60 * TW_SECOND_NS;
    tw_log(TW_LOG_WARN, "batches do not go on: %s", error->text);
}

/* ---- reading a file ---- */

/* A file on its first reading. */
struct validation {
    const struct job *job;
    struct tw_buf faults; /* a JSON list */
    struct tw_json_writer writer;
    size_t n_faults;
    int64_t n_lines, last;
    uint64_t seed;
    uint64_t (*ids)[2]; /* [n_ids] of room: hashes of custom_ids and their lines */
    size_t n_ids, room;
    bool has_failed; /* memory */
};

static void fault(struct validation *validation, int64_t line, const char *code, const char *param,
                  const char *message)
{
    struct tw_json_writer *writer = &validation->writer;
    if (validation->n_faults++ >= TW_LIMIT_BATCH_FAULTS) {
        return;
    }
    tw_json_object_begin(writer);
    tw_json_put_text(writer, "code", code);
    if (line > 0) {
        tw_json_put_int(writer, "line", line);
    } else {
        tw_json_put_null(writer, "line");
    }
    tw_json_put_text(writer, "message", message);
    if (param != NULL) {
        tw_json_put_text(writer, "param", param);
    } else {
        tw_json_put_null(writer, "param");
    }
    tw_json_object_end(writer);
}

static bool is_blank(const char *text, size_t n_bytes)
{
    for (size_t i = 0; i < n_bytes; i++) {
        if (strchr(" \t\r\n", text[i]) == NULL) {
            return false;
        }
    }
    return true;
}

static void check_fields(struct validation *validation, int64_t line, const json_t *json)
{
    const json_t *id = json_object_get(json, "custom_id");
    const char *custom_id = json_string_value(id);
    const char *method = json_string_value(json_object_get(json, "method"));
    const char *url = json_string_value(json_object_get(json, "url"));
    const json_t *body = json_object_get(json, "body");
    char text[160];
    if (custom_id == NULL || custom_id[0] == '\0' ||
        json_string_length(id) > TW_LIMIT_BATCH_CUSTOM_BYTES ||
        strlen(custom_id) != json_string_length(id)) {
        snprintf(text, sizeof text, "'custom_id' must be a text of 1 to %d bytes, none of them 0",
                 TW_LIMIT_BATCH_CUSTOM_BYTES);
        fault(validation, line, "invalid_custom_id", "custom_id", text);
    }
    if (method == NULL || strcmp(method, "POST") != 0) {
        fault(validation, line, "invalid_method", "method", "'method' must be 'POST'");
    }
    if (url == NULL || strcmp(url, validation->job->batch.endpoint) != 0) {
        snprintf(text, sizeof text, "'url' must be the batch's endpoint, '%s'",
                 validation->job->batch.endpoint);
        fault(validation, line, "mismatched_url", "url", text);
    }
    if (!json_is_object(body)) {
        fault(validation, line, "invalid_body", "body", "'body' must be the request, an object");
    } else if (json_is_true(json_object_get(body, "stream"))) {
        fault(validation, line, "invalid_body", "body.stream",
              "a batch has no streams: leave 'stream' out");
    }
}

static void remember_id(struct validation *validation, int64_t line, const json_t *json)
{
    const json_t *id = json_object_get(json, "custom_id");
    const char *custom_id = json_string_value(id);
    if (custom_id == NULL || strlen(custom_id) != json_string_length(id)) {
        return;
    }
    if (validation->n_ids == validation->room) {
        const size_t room = validation->room > 0 ? 2 * validation->room : 1024;
        void *ids = tw_mem_realloc(validation->ids, room, sizeof *validation->ids);
        if (ids == NULL) {
            validation->has_failed = true;
            return;
        }
        validation->ids = ids;
        validation->room = room;
    }
    validation->ids[validation->n_ids][0] =
        tw_hash_of(custom_id, strlen(custom_id), validation->seed);
    validation->ids[validation->n_ids++][1] = (uint64_t)line;
}

/* A tw_batch_line_fn. A line that was erased has a result later, which says so. */
static bool check_line(void *context, int64_t line, const char *text, size_t n_bytes)
{
    struct validation *validation = context;
    json_t *json = NULL;
    size_t column;
    struct tw_error error;
    char place[80]; /* never the parser's text: it quotes the line, and faults are not encrypted */
    validation->last = line;
    if (text == NULL) {
        validation->n_lines++;
        return true;
    }
    if (is_blank(text, n_bytes)) {
        return true;
    }
    validation->n_lines++;
    const enum tw_status status = tw_json_parse_line(text, n_bytes, &json, &column, &error);
    if (status == TW_ERR_FORMAT) {
        snprintf(place, sizeof place, "the line is not valid JSON, from its column %zu on", column);
        fault(validation, line, "invalid_json_line", NULL, place);
    } else if (status != TW_OK) {
        fault(validation, line, "invalid_json_line", NULL, error.text);
    } else if (!json_is_object(json)) {
        fault(validation, line, "invalid_request", NULL, "a line must be a JSON object");
    } else {
        check_fields(validation, line, json);
        remember_id(validation, line, json);
    }
    json_decref(json);
    return true;
}

static int compare_ids(const void *a, const void *b)
{
    const uint64_t *one = a, *other = b;
    const size_t at = one[0] == other[0];
    return one[at] < other[at] ? -1 : one[at] > other[at];
}

/* Equal hashes of 64 bits are taken for equal ids. */
static void check_ids(struct validation *validation)
{
    char text[160];
    if (validation->n_ids > 1) {
        qsort(validation->ids, validation->n_ids, sizeof *validation->ids, compare_ids);
    }
    for (size_t i = 1; i < validation->n_ids; i++) {
        if (validation->ids[i][0] == validation->ids[i - 1][0]) {
            snprintf(text, sizeof text, "'custom_id' is that of line %llu, too",
                     (unsigned long long)validation->ids[i - 1][1]);
            fault(validation, (int64_t)validation->ids[i][1], "duplicate_custom_id", "custom_id",
                  text);
        }
    }
}

static bool stops(struct tw_api_batches *batches)
{
    pthread_mutex_lock(&batches->lock);
    const bool value = batches->stops;
    pthread_mutex_unlock(&batches->lock);
    return value;
}

static enum tw_status read_all(struct tw_api_runner *runner, struct validation *validation,
                               struct tw_error *error)
{
    const struct tw_batch *batch = &validation->job->batch;
    struct tw_batches *store = runner->batches->store;
    int64_t last = 0, before;
    enum tw_status status;
    do {
        before = last;
        status = tw_batches_read_lines(store, batch->project, batch->input, before, check_line,
                                       validation, &last, error);
    } while (status == TW_OK && last > before && !stops(runner->batches));
    check_ids(validation);
    if (status == TW_OK && validation->last == 0) {
        fault(validation, 0, "missing_file", "input_file_id", "the file is not there any more");
    } else if (status == TW_OK && validation->n_lines == 0) {
        fault(validation, 0, "empty_file", "input_file_id", "the file has no requests");
    }
    return status;
}

/* VALIDATING -> IN_PROGRESS or FAILED. */
static enum tw_status validate(struct tw_api_runner *runner, struct job *job,
                               struct tw_error *error)
{
    struct validation validation = {.job = job, .seed = runner->batches->api->relays.seed};
    tw_buf_init(&validation.faults, TW_LIMIT_BATCH_FAULTS_BYTES - 1);
    tw_json_begin(&validation.writer, &validation.faults);
    tw_json_array_begin(&validation.writer);
    enum tw_status status = read_all(runner, &validation, error);
    tw_json_array_end(&validation.writer);
    if (status == TW_OK && validation.has_failed) {
        status = tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a batch");
    }
    if (status == TW_OK && stops(runner->batches)) {
        status = tw_error_set(error, TW_ERR_CANCELLED, TW_NO_POSITION, "the server stops");
    }
    if (status == TW_OK) {
        tw_buf_append(&validation.faults, "", 1);
        status = tw_batches_begin(runner->batches->store, &job->batch, validation.n_lines,
                                  validation.n_faults == 0   ? NULL
                                  : validation.faults.failed ? "[]"
                                                             : validation.faults.data,
                                  error);
    }
    tw_buf_free(&validation.faults);
    tw_mem_free(validation.ids);
    return status;
}

/* ---- what is to run ---- */

static struct job *find_job(struct tw_api_runner *runner, int64_t id)
{
    struct job *job = runner->jobs;
    while (job != NULL && job->batch.id != id) {
        job = job->next;
    }
    return job;
}

static enum tw_status add_job(struct tw_api_runner *runner, const struct tw_batch *batch,
                              struct tw_error *error)
{
    struct job *job = tw_mem_zalloc(1, sizeof *job);
    if (job == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a batch");
    }
    job->batch = *batch;
    struct job **end = &runner->jobs;
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = job;
    return TW_OK;
}

/* Which lines are done, when it is taken up. */
static enum tw_status take_up(struct tw_api_runner *runner, struct job *job, struct tw_error *error)
{
    job->n_lines = TW_LIMIT_BATCH_LINES;
    job->done = tw_mem_zalloc(job->n_lines, sizeof *job->done);
    if (job->done == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a batch");
    }
    enum tw_status status =
        tw_batches_mark_done(runner->batches->store, &job->batch, job->done, job->n_lines, error);
    if (status != TW_OK) {
        tw_mem_free(job->done);
        job->done = NULL;
    }
    return status;
}

struct keeping {
    struct job *job;
    bool has_failed;
};

static bool keep_line(void *context, int64_t number, const char *text, size_t n_bytes)
{
    struct keeping *keeping = context;
    struct job *job = keeping->job;
    const bool is_done = (size_t)number <= job->n_lines && job->done[number - 1];
    if (is_done || (text != NULL && is_blank(text, n_bytes))) {
        return true;
    }
    struct read_line *line = &job->lines[job->n_read];
    *line = (struct read_line){.number = number, .n_bytes = n_bytes};
    if (text != NULL) {
        line->text = tw_mem_strndup(text, n_bytes);
        if (line->text == NULL) {
            keeping->has_failed = true;
            return false;
        }
    }
    return ++job->n_read < TW_LIMIT_BATCH_PIECE_LINES;
}

/* The next line to begin; NULL: there is none, as *ret_status may say. */
static struct read_line *next_line(struct tw_api_runner *runner, struct job *job,
                                   enum tw_status *ret_status, struct tw_error *error)
{
    *ret_status = TW_OK;
    while (job->n_begun == job->n_read && !job->is_read) {
        struct keeping keeping = {.job = job};
        int64_t last = job->last;
        free_lines(job);
        *ret_status =
            tw_batches_read_lines(runner->batches->store, job->batch.project, job->batch.input,
                                  job->last, keep_line, &keeping, &last, error);
        if (*ret_status == TW_OK && keeping.has_failed) {
            *ret_status = tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for lines");
        }
        if (*ret_status != TW_OK) {
            free_lines(job);
            return NULL;
        }
        job->is_read = last == job->last;
        job->last = last;
    }
    return job->n_begun < job->n_read ? &job->lines[job->n_begun] : NULL;
}

/* ---- running ---- */

/* A tw_http_answered_fn. */
static void answered(void *context, int status, const struct tw_http_header *headers,
                     size_t n_headers, const void *body, size_t body_bytes)
{
    struct slot *slot = context;
    struct tw_api_batches *batches = slot->runner->batches;
    bool may_retry = status == 0 || status == 429 || status == 503;
    for (size_t i = 0; i < n_headers; i++) {
        may_retry = may_retry && (strcmp(headers[i].name, "x-should-retry") != 0 ||
                                  strcmp(headers[i].value, "false") != 0);
    }
    pthread_mutex_lock(&batches->lock);
    slot->status = status;
    slot->may_retry = may_retry;
    if (status != 200) { /* the settlement has the others */
        tw_buf_append(&slot->answer, body, body_bytes);
    }
    slot->state = SLOT_ANSWERED;
    batches->n_running--;
    pthread_cond_signal(&batches->wake_runner);
    pthread_mutex_unlock(&batches->lock);
}

static uint32_t tenant_of(const struct tw_hub_caller *caller)
{
    return caller->project < TW_LIMIT_PROJECTS ? TW_LIMIT_PROJECTS + caller->project : 0;
}

/* Asks it, or makes it wait for memory. */
static void ask(struct tw_api_runner *runner, struct slot *slot)
{
    struct tw_api_batches *batches = runner->batches;
    struct job *job = slot->job;
    struct tw_api_call call = {.line = &slot->line,
                               .arrived_ns = tw_clock_monotonic_ns(),
                               .tenant = {.number = tenant_of(&job->caller),
                                          .weight = job->caller.weight,
                                          .priority_class = TW_CLASS_IDLE,
                                          .may_use_special = job->caller.may_use_special,
                                          .caller = job->caller}};
    snprintf(call.data_class, sizeof call.data_class, "%s", job->batch.data_class);
    snprintf(call.file_class, sizeof call.file_class, "%s", job->batch.file_class);
    call.n_data_classes = call.data_class[0] != '\0';
    tw_buf_free(&slot->answer);
    tw_buf_init(&slot->answer, TW_LIMIT_BATCH_RESULT_BYTES);
    tw_buf_clear(&slot->line.sealed);
    slot->line.is_stored = false;
    slot->n_tries++;
    slot->http = tw_http_own_create(job->batch.endpoint, slot->request_id, slot->body,
                                    slot->body_bytes, answered, slot);
    call.http = slot->http;
    pthread_mutex_lock(&batches->lock);
    slot->state = slot->http != NULL ? SLOT_RUNNING : SLOT_WAITING;
    slot->retry_ns = tw_clock_monotonic_ns() + TW_SECOND_NS;
    batches->n_running += slot->http != NULL;
    pthread_mutex_unlock(&batches->lock);
    if (slot->http != NULL) {
        tw_api_ask(batches->api, &call, job->batch.endpoint);
    }
}

/* The scheduler knows the tenant before its first line. */
static enum tw_status announce(struct tw_api_runner *runner, struct job *job,
                               struct tw_error *error)
{
    struct tw_stage *stage = runner->batches->api->config.stage;
    if (job->is_announced || tenant_of(&job->caller) == 0 || stage == NULL) {
        return TW_OK;
    }
    enum tw_status status = tw_stage_set_tenant(stage, tenant_of(&job->caller), job->caller.weight,
                                                TW_CLASS_IDLE, error);
    job->is_announced = status == TW_OK;
    return status;
}

static enum tw_status put_error(struct tw_api_runner *runner, struct job *job,
                                const struct tw_batch_error *what, struct tw_error *error)
{
    return tw_batches_put_errors(runner->batches->store, &job->batch, what, 1, error);
}

/* The line as a request, in a slot; with *ret_why it is none, and has only an error. */
static enum tw_status fill_slot(struct tw_api_runner *runner, struct job *job, struct slot *slot,
                                const struct read_line *line, const struct reason **ret_why,
                                struct tw_error *error)
{
    json_t *json = NULL;
    size_t column;
    *ret_why = NULL;
    slot->job = job;
    tw_buf_init(&slot->user, TW_LIMIT_SUBJECT_BYTES);
    if (line->text == NULL) {
        *ret_why = &erased;
    } else if (tw_json_parse_line(line->text, line->n_bytes, &json, &column, error) != TW_OK) {
        *ret_why = &no_json;
    } else {
        tw_api_batch_user(line->text, line->n_bytes, &slot->user);
        const char *custom_id = json_string_value(json_object_get(json, "custom_id"));
        snprintf(slot->custom_id, sizeof slot->custom_id, "%s", custom_id != NULL ? custom_id : "");
        slot->body = json_dumps(json_object_get(json, "body"), JSON_COMPACT);
        slot->body_bytes = slot->body != NULL ? strlen(slot->body) : 0;
    }
    json_decref(json);
    enum tw_status status =
        tw_hub_line_init(&slot->line, runner->batches->store, &job->batch, &job->caller,
                         line->number, slot->user.data, slot->user.size_bytes, error);
    if (status == TW_OK && *ret_why == NULL && slot->body == NULL) {
        status = tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a line");
    }
    snprintf(slot->request_id, sizeof slot->request_id, "%.50s-%lld", job->batch.name,
             (long long)line->number);
    slot->line.custom_id = slot->custom_id;
    slot->line.request_id = slot->request_id;
    return status;
}

static void end_line(struct job *job, const struct read_line *line)
{
    if ((size_t)line->number <= job->n_lines) {
        job->done[line->number - 1] = true;
    }
    job->n_begun++;
}

/* Whether no line of it is to be begun any more, and why. */
static const struct reason *stopped_by(const struct tw_api_runner *runner, const struct job *job)
{
    const int64_t now_ns = tw_hub_time_ns(runner->batches->api->config.hub);
    if (job->batch.status == TW_BATCH_CANCELLING) {
        return &cancelled;
    }
    if (now_ns >= job->batch.expires_ns) {
        return &expired;
    }
    return tw_hub_may_go_on(&job->caller) ? NULL : &revoked;
}

static bool is_just_over(const struct tw_api_runner *runner, const struct job *job)
{
    const int64_t now_ns = tw_hub_time_ns(runner->batches->api->config.hub);
    const int64_t over_ns =
        job->batch.status == TW_BATCH_CANCELLING ? job->batch.cancelling_ns : job->batch.expires_ns;
    return now_ns >= over_ns && now_ns - over_ns < TW_LIMIT_HUB_LEASE_NS;
}

/* A piece of what is left of a batch that is over. */
static enum tw_status refuse_lines(struct tw_api_runner *runner, struct job *job,
                                   const struct reason *why, size_t *ret_n, struct tw_error *error)
{
    struct slot *slots = tw_mem_zalloc(TW_LIMIT_BATCH_PIECE_LINES, sizeof *slots);
    struct tw_batch_error *errors = tw_mem_zalloc(TW_LIMIT_BATCH_PIECE_LINES, sizeof *errors);
    enum tw_status status = TW_OK;
    const struct reason *other;
    size_t n = 0;
    if (slots == NULL || errors == NULL) {
        status = tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for lines");
    }
    const struct read_line *line = NULL;
    if (status == TW_OK) {
        line = next_line(runner, job, &status, error);
    }
    const size_t n_there = line != NULL ? job->n_read - job->n_begun : 0;
    while (status == TW_OK && n < n_there) {
        status = fill_slot(runner, job, &slots[n], line + n, &other, error);
        errors[n] = (struct tw_batch_error){
            .line = &slots[n].line, .code = why->code, .message = why->message};
        n++;
    }
    if (status == TW_OK && n > 0) {
        status = tw_batches_put_errors(runner->batches->store, &job->batch, errors, n, error);
    }
    for (size_t i = 0; i < n; i++) {
        if (status == TW_OK) {
            end_line(job, line + i);
        }
        free_slot(&slots[i]);
    }
    tw_mem_free(slots);
    tw_mem_free(errors);
    *ret_n = n;
    return status;
}

/* Begins the next line of a job in a free slot, or puts on record that it will not be. False: there
 * is none, or nothing can be done now. */
static bool begin_line(struct tw_api_runner *runner, struct job *job, struct slot *slot)
{
    struct tw_error error;
    const struct reason *why;
    enum tw_status status;
    const struct reason *stopped = stopped_by(runner, job);
    if (stopped != NULL) {
        size_t n = 0;
        status = refuse_lines(runner, job, stopped, &n, &error);
        if (status != TW_OK) {
            warn(runner, &error);
        }
        if (status == TW_ERR_MISSED && is_just_over(runner, job)) {
            job->is_lost = true; /* who can read its lines may be about to come back */
            return false;
        }
        if (status == TW_ERR_MISSED) { /* it ends all the same, or nobody could end it */
            job->is_read = true;
            job->n_begun = job->n_read;
        }
        return status == TW_OK && n > 0;
    }
    const struct read_line *line = next_line(runner, job, &status, &error);
    if (line == NULL) {
        if (status != TW_OK) {
            warn(runner, &error);
        }
        job->is_lost = status == TW_ERR_MISSED;
        return false;
    }
    status = announce(runner, job, &error);
    if (status == TW_OK) {
        status = fill_slot(runner, job, slot, line, &why, &error);
    }
    if (status == TW_OK && why != NULL) {
        const struct tw_batch_error what = {
            .line = &slot->line, .code = why->code, .message = why->message};
        status = put_error(runner, job, &what, &error);
        free_slot(slot);
        if (status == TW_OK) {
            end_line(job, line);
        }
    } else if (status == TW_OK) {
        job->n_open++;
        end_line(job, line);
        ask(runner, slot);
    } else {
        free_slot(slot);
    }
    if (status != TW_OK) {
        warn(runner, &error);
    }
    return status == TW_OK;
}

/* ---- answers ---- */

static void close_slot(struct slot *slot)
{
    slot->job->n_open--;
    free_slot(slot);
}

/* A line without a result: again later, or an error. */
static void settle_failure(struct tw_api_runner *runner, struct slot *slot)
{
    struct tw_api_batches *batches = runner->batches;
    struct job *job = slot->job;
    struct tw_error error;
    const struct reason *why = stopped_by(runner, job);
    const int64_t wait_ms = INT64_C(250) << (slot->n_tries < 9 ? slot->n_tries : 9);
    tw_http_release(slot->http);
    slot->http = NULL;
    /* an answer that the settlement did not take is too large, or its person was erased */
    const bool is_lost = slot->status == 200;
    /* its secret was rotated: the key has another one */
    const bool has_new_secret = slot->status == 401;
    if (why == NULL && (slot->may_retry || has_new_secret) && !is_lost) {
        pthread_mutex_lock(&batches->lock);
        slot->state = SLOT_WAITING;
        slot->retry_ns =
            tw_clock_monotonic_ns() +
            (wait_ms < TW_LIMIT_BATCH_RETRY_MS ? wait_ms : TW_LIMIT_BATCH_RETRY_MS) * 1000000;
        pthread_mutex_unlock(&batches->lock);
        return;
    }
    if (is_lost) {
        why = &not_kept;
    } else if (why == NULL && (slot->answer.size_bytes == 0 || slot->answer.failed)) {
        why = &no_answer;
    }
    struct tw_batch_error what = {.line = &slot->line};
    if (why != NULL) {
        what.code = why->code;
        what.message = why->message;
    } else {
        what.http_status = slot->status;
        what.body = slot->answer.data;
        what.body_bytes = slot->answer.size_bytes;
    }
    enum tw_status status = put_error(runner, job, &what, &error);
    if (status == TW_OK || status == TW_ERR_MISSED) {
        job->is_lost = job->is_lost || status == TW_ERR_MISSED;
        close_slot(slot);
        return;
    }
    warn(runner, &error);
    pthread_mutex_lock(&batches->lock);
    slot->state = SLOT_WAITING;
    slot->retry_ns = tw_clock_monotonic_ns() + TW_SECOND_NS;
    pthread_mutex_unlock(&batches->lock);
}

static void settle(struct tw_api_runner *runner, struct slot *slot)
{
    if (slot->status == 200 && slot->line.is_stored) {
        close_slot(slot);
    } else {
        settle_failure(runner, slot);
    }
}

/* ---- the end of a batch ---- */

static void drop_job(struct tw_api_runner *runner, struct job *job)
{
    struct job **at = &runner->jobs;
    while (*at != job) {
        at = &(*at)->next;
    }
    *at = job->next;
    free_job(job);
}

static enum tw_batch_status end_of(const struct tw_api_runner *runner, const struct job *job)
{
    if (job->batch.status == TW_BATCH_CANCELLING) {
        return TW_BATCH_CANCELLED;
    }
    return tw_hub_time_ns(runner->batches->api->config.hub) >= job->batch.expires_ns
               ? TW_BATCH_EXPIRED
               : TW_BATCH_COMPLETED;
}

/* All its lines have results. */
static void finish(struct tw_api_runner *runner, struct job *job)
{
    struct tw_batches *store = runner->batches->store;
    struct tw_error error;
    enum tw_status status = TW_OK;
    const enum tw_batch_status end = end_of(runner, job);
    if (end == TW_BATCH_COMPLETED) {
        status = tw_batches_finish(store, &job->batch, TW_BATCH_FINALIZING, &error);
    }
    if (status == TW_OK) {
        status = tw_batches_finish(store, &job->batch, end, &error);
    }
    if (status == TW_OK || status == TW_ERR_MISSED) {
        drop_job(runner, job);
    } else {
        warn(runner, &error);
    }
}

/* ---- the loop ---- */

/* A job goes from one step to the next; behind the last one it is freed. */
static void advance(struct tw_api_runner *runner, struct job *job)
{
    struct tw_error error = {0};
    enum tw_status status = TW_OK;
    if (!job->has_caller) {
        status = tw_batches_caller(runner->batches->store, &job->batch, &job->caller, &error);
        job->has_caller = status == TW_OK;
    }
    if (status == TW_ERR_DENIED) { /* nobody may run what is left of it */
        status =
            job->batch.output != 0
                ? tw_batches_finish(runner->batches->store, &job->batch, TW_BATCH_CANCELLED, &error)
                : tw_batches_begin(runner->batches->store, &job->batch, 0,
                                   "[{\"code\":\"invalid_api_key\",\"line\":null,\"message\":"
                                   "\"the key that asked for the batch was revoked, or has "
                                   "expired\",\"param\":null}]",
                                   &error);
    } else if (status == TW_OK && job->batch.status == TW_BATCH_VALIDATING) {
        status = validate(runner, job, &error);
    }
    if (status == TW_OK && job->batch.status == TW_BATCH_CANCELLING && job->batch.output == 0) {
        status = tw_batches_finish(runner->batches->store, &job->batch, TW_BATCH_CANCELLED, &error);
    }
    if (status == TW_OK && job->batch.ended_ns == 0 && job->done == NULL) {
        status = take_up(runner, job, &error);
    }
    if (status != TW_OK) {
        warn(runner, &error);
    }
    job->is_lost = status == TW_ERR_MISSED;
    if (job->batch.ended_ns != 0 && job->n_open == 0) {
        drop_job(runner, job);
    }
}

/* Lines of a batch that is over are cut off. */
static void cut_off(struct tw_api_runner *runner, const struct job *job)
{
    for (size_t i = 0; i < runner->n_slots; i++) {
        struct slot *slot = &runner->slots[i];
        pthread_mutex_lock(&runner->batches->lock);
        if (slot->state == SLOT_RUNNING && (job == NULL || slot->job == job)) {
            tw_http_own_abandon(slot->http);
        }
        pthread_mutex_unlock(&runner->batches->lock);
    }
}

/* What the books say: batches that are new, and what became of those there are. */
static void look(struct tw_api_runner *runner)
{
    struct tw_error error;
    size_t n = 0;
    bool has_more = false;
    enum tw_status status =
        tw_batches_claim(runner->batches->store, TW_LIMIT_BATCH_RUNNING, runner->own, &n, &error);
    for (size_t i = 0; status == TW_OK && i < n; i++) {
        struct job *job = find_job(runner, runner->own[i].id);
        if (job != NULL) {
            job->batch = runner->own[i];
        } else {
            status = add_job(runner, &runner->own[i], &error);
        }
    }
    if (status == TW_OK) {
        status = tw_batches_tend(runner->batches->store, &has_more, &error);
    }
    if (status != TW_OK) {
        warn(runner, &error);
    }
    for (struct job *job = runner->jobs, *next; job != NULL; job = next) {
        next = job->next;
        if (job->batch.status == TW_BATCH_CANCELLING ||
            (job->has_caller && stopped_by(runner, job) != NULL)) {
            cut_off(runner, job);
        }
        if (!job->has_caller || job->done == NULL) {
            advance(runner, job);
        }
    }
    runner->look_ns = tw_clock_monotonic_ns() + (has_more ? LOOK_NS / 10 : LOOK_NS);
}

/* A key that was rotated has another secret. */
static void renew_callers(struct tw_api_runner *runner)
{
    struct tw_error error;
    for (struct job *job = runner->jobs; job != NULL; job = job->next) {
        if (job->has_caller && !tw_hub_may_go_on(&job->caller)) {
            tw_batches_caller(runner->batches->store, &job->batch, &job->caller, &error);
        }
    }
}

static struct slot *free_one(struct tw_api_runner *runner)
{
    struct slot *found = NULL;
    pthread_mutex_lock(&runner->batches->lock);
    for (size_t i = 0; found == NULL && i < runner->n_slots; i++) {
        found = runner->slots[i].state == SLOT_FREE ? &runner->slots[i] : NULL;
    }
    pthread_mutex_unlock(&runner->batches->lock);
    return found;
}

/* Fills the free slots, a line of each batch in turn. */
static void begin_lines(struct tw_api_runner *runner)
{
    bool goes_on = true;
    while (goes_on) {
        goes_on = false;
        for (struct job *job = runner->jobs; job != NULL; job = job->next) {
            struct slot *slot = job->done != NULL && !job->is_lost ? free_one(runner) : NULL;
            if (slot != NULL && begin_line(runner, job, slot)) {
                goes_on = true;
            }
        }
    }
}

static void give_back(struct tw_api_runner *runner, struct job *job)
{
    struct tw_error error;
    if (tw_batches_give_back(runner->batches->store, &job->batch, &error) != TW_OK) {
        warn(runner, &error);
        return;
    }
    drop_job(runner, job);
    runner->look_ns = tw_clock_monotonic_ns() + SHY_NS;
}

static void end_batches(struct tw_api_runner *runner)
{
    for (struct job *job = runner->jobs, *next; job != NULL; job = next) {
        next = job->next;
        if (job->is_lost && job->n_open == 0) {
            give_back(runner, job);
        } else if (job->done != NULL && job->is_read && job->n_begun == job->n_read &&
                   job->n_open == 0) {
            finish(runner, job);
        }
    }
}

/* What has been answered, and what is to be asked again. */
static void tend_slots(struct tw_api_runner *runner)
{
    const int64_t now_ns = tw_clock_monotonic_ns();
    struct tw_api_batches *batches = runner->batches;
    for (size_t i = 0; i < runner->n_slots; i++) {
        struct slot *slot = &runner->slots[i];
        pthread_mutex_lock(&batches->lock);
        const enum slot_state state = slot->state;
        const bool is_draining = batches->is_draining;
        pthread_mutex_unlock(&batches->lock);
        if (state == SLOT_ANSWERED) {
            settle(runner, slot);
        } else if (state == SLOT_WAITING && now_ns >= slot->retry_ns && !is_draining) {
            ask(runner, slot);
        }
    }
}

static bool has_answers(const struct tw_api_runner *runner)
{
    for (size_t i = 0; i < runner->n_slots; i++) {
        if (runner->slots[i].state == SLOT_ANSWERED) {
            return true;
        }
    }
    return false;
}

static int64_t next_ns(const struct tw_api_runner *runner)
{
    int64_t next = runner->look_ns;
    for (size_t i = 0; i < runner->n_slots && !runner->batches->is_draining; i++) {
        const struct slot *slot = &runner->slots[i];
        if (slot->state == SLOT_WAITING && slot->retry_ns < next) {
            next = slot->retry_ns;
        }
    }
    return next;
}

void *tw_api_runner(void *context)
{
    struct tw_api_batches *batches = context;
    struct tw_api_runner *runner = batches->run;
    pthread_mutex_lock(&batches->lock);
    while (!batches->stops) {
        const int64_t until_ns = next_ns(runner);
        const struct timespec until = {.tv_sec = until_ns / TW_SECOND_NS,
                                       .tv_nsec = until_ns % TW_SECOND_NS};
        int failure = 0;
        while (!batches->stops && !batches->has_news && !has_answers(runner) && failure == 0) {
            failure = pthread_cond_timedwait(&batches->wake_runner, &batches->lock, &until);
        }
        const bool looks = batches->has_news || tw_clock_monotonic_ns() >= runner->look_ns;
        const bool is_draining = batches->is_draining;
        batches->has_news = false;
        pthread_mutex_unlock(&batches->lock);
        renew_callers(runner);
        tend_slots(runner);
        if (looks && !is_draining) {
            look(runner);
        }
        if (!is_draining) {
            begin_lines(runner);
            end_batches(runner);
        } else {
            runner->look_ns = tw_clock_monotonic_ns() + LOOK_NS;
        }
        pthread_mutex_lock(&batches->lock);
    }
    pthread_mutex_unlock(&batches->lock);
    cut_off(runner, NULL);
    return NULL;
}
