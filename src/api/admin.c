#include "api/admin.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/mem.h"
#include "hub/hub_admin.h"

#define PREFIX     "/admin/v1/"
#define NAME_BYTES 64
#define WORD_BYTES 32
#define SCHEME     "Bearer "

/* Who asks for what. */
struct call {
    struct tw_admin *admin;
    struct tw_http_request *http;
    struct tw_hub_actor actor;
    char name[NAME_BYTES]; /* of an actor without a person */
    json_t *command;       /* of one that waits */
    struct call *next;
};

/* What is made on a thread of its own, one behind the other. */
struct queue {
    struct tw_admin *admin;
    pthread_t thread;
    bool has_thread;
    struct call *first, **end; /* under the admin's lock, as is the next */
    uint32_t n;
};

enum { LISTS = 0, REPORTS, QUEUES };

struct tw_admin {
    struct tw_hub *hub;
    char path[TW_LIMIT_CONF_STRING_BYTES];
    uint32_t own_uid;
    struct tw_http_server *server;
    struct queue queues[QUEUES];
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t wake;  /* of the queues, and of who waits for the end */
    uint32_t n_calls;     /* not answered yet */
    bool stops;
};

/* ---- answers ---- */

static int http_status_of(enum tw_status status)
{
    switch (status) {
    case TW_OK:
        return 200;
    case TW_ERR_USAGE:
    case TW_ERR_FORMAT:
    case TW_ERR_UNSUPPORTED:
        return 400;
    case TW_ERR_DENIED:
        return 403;
    case TW_ERR_NOT_FOUND:
        return 404;
    case TW_ERR_LIMIT:
    case TW_ERR_MISSED:
        return 409;
    case TW_ERR_IO:
    case TW_ERR_MEMORY:
    case TW_ERR_CANCELLED:
    case TW_STATUS_COUNT:
        break;
    }
    return 503;
}

static const char *code_of(const struct tw_error *error)
{
    return strncmp(error->text, TW_HUB_NOT_RECORDED, sizeof TW_HUB_NOT_RECORDED - 1) == 0
               ? "not_recorded"
               : tw_status_name(error->status);
}

static void answer_error(struct tw_http_request *http, int http_status,
                         const struct tw_error *error)
{
    static const struct tw_http_header headers[] = {{"Content-Type", "application/json"}};
    struct tw_buf body;
    struct tw_json_writer writer;
    tw_buf_init(&body, TW_LIMIT_API_ERROR_BYTES);
    tw_json_begin(&writer, &body);
    tw_json_object_begin(&writer);
    tw_json_key(&writer, "error");
    tw_json_object_begin(&writer);
    tw_json_put_text(&writer, "message", error->text);
    tw_json_put_text(&writer, "type", http_status < 500 ? "invalid_request_error" : "server_error");
    tw_json_put_null(&writer, "param");
    tw_json_put_text(&writer, "code", code_of(error));
    tw_json_object_end(&writer);
    tw_json_object_end(&writer);
    tw_http_answer(http, http_status, headers, 1, body.data, body.size_bytes);
    tw_buf_free(&body);
    tw_http_release(http);
}

static void answer_json(struct tw_http_request *http, const json_t *answer)
{
    static const struct tw_http_header headers[] = {{"Content-Type", "application/json"},
                                                    {"Cache-Control", "no-store"}};
    struct tw_buf body;
    struct tw_json_writer writer;
    tw_buf_init(&body, TW_LIMIT_ADMIN_ANSWER_BYTES);
    tw_json_begin(&writer, &body);
    tw_json_value(&writer, answer);
    if (body.failed) {
        struct tw_error error;
        tw_error_set(&error, TW_ERR_LIMIT, TW_NO_POSITION,
                     "the answer is too large; ask for a part, by a path or a number of rows");
        answer_error(http, http_status_of(TW_ERR_LIMIT), &error);
    } else {
        tw_http_answer(http, 200, headers, 2, body.data, body.size_bytes);
        tw_http_release(http);
    }
    tw_buf_free(&body);
}

static void end_call(struct call *call)
{
    struct tw_admin *admin = call->admin;
    tw_mem_free(call);
    pthread_mutex_lock(&admin->lock);
    admin->n_calls--;
    pthread_cond_broadcast(&admin->wake);
    pthread_mutex_unlock(&admin->lock);
}

static void on_answer(void *context, enum tw_status status, json_t *answer,
                      const struct tw_error *error)
{
    struct call *call = context;
    if (status == TW_OK) {
        answer_json(call->http, answer);
        json_decref(answer);
    } else {
        answer_error(call->http, http_status_of(status), error);
    }
    end_call(call);
}

/* ---- lists and reports ---- */

static void *work(void *context)
{
    struct queue *queue = context;
    struct tw_admin *admin = queue->admin;
    pthread_mutex_lock(&admin->lock);
    for (;;) {
        struct call *call = queue->first;
        if (call == NULL && admin->stops) {
            break;
        }
        if (call == NULL) {
            pthread_cond_wait(&admin->wake, &admin->lock);
            continue;
        }
        queue->first = call->next;
        if (call->next == NULL) {
            queue->end = &queue->first;
        }
        queue->n--;
        pthread_mutex_unlock(&admin->lock);
        tw_hub_command(admin->hub, &call->actor, call->command, on_answer, call);
        pthread_mutex_lock(&admin->lock);
    }
    pthread_mutex_unlock(&admin->lock);
    return NULL;
}

static void put_into(struct queue *queue, struct call *call)
{
    struct tw_admin *admin = call->admin;
    struct tw_error error;
    pthread_mutex_lock(&admin->lock);
    const bool has_room = queue->n < TW_LIMIT_ADMIN_REPORTS;
    if (has_room) {
        call->next = NULL;
        *queue->end = call;
        queue->end = &call->next;
        queue->n++;
        pthread_cond_broadcast(&admin->wake);
    }
    pthread_mutex_unlock(&admin->lock);
    if (!has_room) {
        json_decref(call->command);
        tw_error_set(&error, TW_ERR_LIMIT, TW_NO_POSITION,
                     "%d of them wait already; ask again later", TW_LIMIT_ADMIN_REPORTS);
        on_answer(call, error.status, NULL, &error);
    }
}

/* ---- requests ---- */

/* "/admin/v1/key/create" */
static bool read_path(const char *path, char ret_group[WORD_BYTES], char ret_verb[WORD_BYTES])
{
    const size_t n_prefix = strlen(PREFIX);
    if (strncmp(path, PREFIX, n_prefix) != 0) {
        return false;
    }
    const char *group = path + n_prefix, *slash = strchr(group, '/');
    if (slash == NULL || slash == group || slash[1] == '\0' || strchr(slash + 1, '/') != NULL ||
        slash - group >= WORD_BYTES || strlen(slash + 1) >= WORD_BYTES) {
        return false;
    }
    snprintf(ret_group, WORD_BYTES, "%.*s", (int)(slash - group), group);
    snprintf(ret_verb, WORD_BYTES, "%s", slash + 1);
    return true;
}

enum tw_status tw_admin_read(const char *path, const char *body, size_t body_bytes,
                             const struct tw_hub_verb **ret_verb, json_t **ret_command,
                             struct tw_error *error)
{
    char group[WORD_BYTES], word[WORD_BYTES];
    json_t *fields = NULL;
    if (!read_path(path, group, word)) {
        return tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION,
                            "there is nothing at '%.80s'; commands are at " PREFIX "GROUP/VERB",
                            path);
    }
    const struct tw_hub_verb *verb = tw_commands_find(group, word, error);
    if (verb == NULL) {
        return error->status;
    }
    if (body_bytes == 0) {
        fields = json_object();
    } else {
        enum tw_status status = tw_json_parse(body, body_bytes, "the body", &fields, error);
        if (status != TW_OK) {
            return status;
        }
    }
    if (!json_is_object(fields)) {
        json_decref(fields);
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "the body must be a JSON object with the fields of the command");
    }
    json_t *command = tw_hub_make_command(group, word, fields);
    if (command == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a command");
    }
    *ret_verb = verb;
    *ret_command = command;
    return TW_OK;
}

static const char *secret_of(const struct tw_http_request *http)
{
    const char *value = tw_http_header(http, "Authorization");
    return value == NULL                                        ? NULL
           : strncasecmp(value, SCHEME, sizeof SCHEME - 1) == 0 ? value + sizeof SCHEME - 1
                                                                : "";
}

static bool authenticate(const struct tw_admin *admin, const struct tw_http_request *http,
                         struct call *call)
{
    const char *secret = secret_of(http);
    uint32_t uid;
    if (secret != NULL) {
        return tw_hub_find_person(admin->hub, secret, &call->actor);
    }
    if (!tw_http_peer_user(http, &uid) || (uid != admin->own_uid && uid != 0)) {
        return false;
    }
    snprintf(call->name, sizeof call->name, "uid %u", (unsigned)uid);
    call->actor = (struct tw_hub_actor){.name = call->name};
    return true;
}

/* Whether the admin API goes on, and then counts the call. */
static bool begin_call(struct tw_admin *admin)
{
    pthread_mutex_lock(&admin->lock);
    const bool goes_on = !admin->stops;
    admin->n_calls += goes_on;
    pthread_mutex_unlock(&admin->lock);
    return goes_on;
}

static enum tw_status prepare(struct tw_admin *admin, struct tw_http_request *http,
                              struct call *call, const struct tw_hub_verb **ret_verb,
                              int *ret_http_status, struct tw_error *error)
{
    size_t n_bytes;
    const char *body = tw_http_body(http, &n_bytes);
    *call = (struct call){.admin = admin, .http = http};
    if (strcmp(tw_http_method(http), "POST") != 0) {
        *ret_http_status = 405;
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION, "commands are given with POST");
    }
    if (!authenticate(admin, http, call)) {
        *ret_http_status = 401;
        return tw_error_set(error, TW_ERR_DENIED, TW_NO_POSITION,
                            "who are you? Authorization: Bearer with a user's secret, which 'user "
                            "secret' makes");
    }
    enum tw_status status =
        tw_admin_read(tw_http_path(http), body, n_bytes, ret_verb, &call->command, error);
    *ret_http_status = http_status_of(status);
    return status;
}

static void on_request(void *context, struct tw_http_request *http)
{
    struct tw_admin *admin = context;
    struct tw_error error;
    const struct tw_hub_verb *verb = NULL;
    struct call *call = tw_mem_alloc(1, sizeof *call);
    int http_status = 503;
    enum tw_status status;
    if (call == NULL) {
        status = tw_error_set(&error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a command");
    } else {
        status = prepare(admin, http, call, &verb, &http_status, &error);
    }
    if (status == TW_OK && !begin_call(admin)) {
        json_decref(call->command);
        http_status = 503;
        status =
            tw_error_set(&error, TW_ERR_CANCELLED, TW_NO_POSITION, "the server is shutting down");
    }
    if (status != TW_OK) {
        tw_mem_free(call);
        answer_error(http, http_status, &error);
    } else if (verb->manner == TW_COMMAND_REPORT) {
        put_into(&admin->queues[REPORTS], call);
    } else if (verb->manner == TW_COMMAND_LIST) {
        put_into(&admin->queues[LISTS], call);
    } else {
        tw_hub_command(admin->hub, &call->actor, call->command, on_answer, call);
    }
}

/* ---- making and freeing ---- */

static enum tw_status start(struct tw_admin *admin, int listen_fd, struct tw_error *error)
{
    struct tw_http_config config = tw_http_defaults();
    config.listen_fd = listen_fd;
    config.n_threads = 1;
    config.max_connections = TW_LIMIT_ADMIN_CONNECTIONS;
    config.body_bytes = TW_LIMIT_ADMIN_BODY_BYTES;
    config.handler = on_request;
    config.context = admin;
    for (size_t i = 0; i < QUEUES; i++) {
        struct queue *queue = &admin->queues[i];
        queue->has_thread = pthread_create(&queue->thread, NULL, work, queue) == 0;
        if (!queue->has_thread) {
            close(config.listen_fd);
            return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION,
                                "no thread for lists and reports");
        }
    }
    return tw_http_server_start(&config, &admin->server, error);
}

enum tw_status tw_admin_start(struct tw_hub *hub, const char *socket_path, int listen_fd,
                              struct tw_admin **ret_admin, struct tw_error *error)
{
    struct tw_admin *admin = tw_mem_zalloc(1, sizeof *admin);
    if (admin == NULL) {
        close(listen_fd);
        unlink(socket_path);
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for the admin API");
    }
    admin->hub = hub;
    admin->own_uid = (uint32_t)geteuid();
    for (size_t i = 0; i < QUEUES; i++) {
        admin->queues[i].admin = admin;
        admin->queues[i].end = &admin->queues[i].first;
    }
    snprintf(admin->path, sizeof admin->path, "%s", socket_path);
    pthread_mutex_init(&admin->lock, NULL);
    pthread_cond_init(&admin->wake, NULL);
    enum tw_status status = start(admin, listen_fd, error);
    if (status == TW_OK) {
        *ret_admin = admin;
    } else {
        tw_admin_stop(admin);
    }
    return status;
}

void tw_admin_stop(struct tw_admin *admin)
{
    if (admin == NULL) {
        return;
    }
    pthread_mutex_lock(&admin->lock);
    admin->stops = true;
    pthread_cond_broadcast(&admin->wake);
    while (admin->n_calls > 0) {
        pthread_cond_wait(&admin->wake, &admin->lock);
    }
    pthread_mutex_unlock(&admin->lock);
    for (size_t i = 0; i < QUEUES; i++) {
        if (admin->queues[i].has_thread) {
            pthread_join(admin->queues[i].thread, NULL);
        }
    }
    if (admin->path[0] != '\0') {
        unlink(admin->path);
    }
    tw_http_server_stop(admin->server);
    pthread_cond_destroy(&admin->wake);
    pthread_mutex_destroy(&admin->lock);
    tw_mem_free(admin);
}
