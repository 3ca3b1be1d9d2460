#include "hub_fixture.h"

#include <dirent.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hub/content.h"
#include "hub/directory.h"
#include "hub/hub_admin.h"
#include "hub/hub_schema.h"
#include "hub/ledger.h"

static void must(enum tw_status status, const struct tw_error *error)
{
    if (status != TW_OK) {
        fail_msg("%s", error->text);
    }
}

static int64_t now_ns(void *context)
{
    return ((struct fixture *)context)->now_ns;
}

static const char *postgres(void)
{
    return getenv("TW_TEST_POSTGRES");
}

void fixture_execute(struct fixture *fixture, const char *sql)
{
    struct tw_db *db = NULL;
    struct tw_error error;
    must(tw_db_open(fixture->address, TW_DB_WRITE, &db, &error), &error);
    must(tw_db_begin(db, &error), &error);
    must(tw_db_execute(db, sql, &error), &error);
    must(tw_db_commit(db, &error), &error);
    tw_db_close(db);
}

int64_t fixture_query(struct fixture *fixture, const char *sql)
{
    struct tw_db *db = NULL;
    struct tw_db_statement *statement = NULL;
    struct tw_error error;
    bool has_row = false;
    must(tw_db_open(fixture->address, TW_DB_READ, &db, &error), &error);
    must(tw_db_prepare(db, sql, &statement, &error), &error);
    must(tw_db_query(statement, NULL, 0, &error), &error);
    must(tw_db_next(statement, &has_row, &error), &error);
    assert_true(has_row);
    const int64_t number = tw_db_column_integer(statement, 0);
    tw_db_finalize(statement);
    tw_db_close(db);
    return number;
}

static void add_secret(struct fixture *fixture, int64_t id, int64_t key, char *ret_text)
{
    struct tw_directory directory;
    struct tw_new_secret secret;
    struct tw_error error;
    struct tw_db *db = NULL;
    struct tw_db_statement *statement = NULL;
    char path[128];
    must(tw_directory_init(&directory, &error), &error);
    snprintf(path, sizeof path, "%s/pepper", fixture->folder);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fread(directory.pepper, 1, TW_DIRECTORY_HASH_BYTES, file),
                     TW_DIRECTORY_HASH_BYTES);
    fclose(file);
    tw_directory_make_secret(&directory, "tw-", &secret);
    snprintf(ret_text, sizeof fixture->secret, "%s", secret.text);
    must(tw_db_open(fixture->address, TW_DB_WRITE, &db, &error), &error);
    must(tw_db_prepare(db,
                       "INSERT INTO secret (id, holder, person, shown, hash, created_ns)"
                       " VALUES (?, ?, 0, ?, ?, 0)",
                       &statement, &error),
         &error);
    const struct tw_db_value values[] = {tw_db_integer(id), tw_db_integer(key),
                                         tw_db_text(secret.shown),
                                         tw_db_bytes(secret.hash, sizeof secret.hash)};
    must(tw_db_begin(db, &error), &error);
    must(tw_db_run(statement, values, 4, &error), &error);
    must(tw_db_commit(db, &error), &error);
    tw_db_finalize(statement);
    tw_db_close(db);
    tw_directory_free(&directory);
}

void fixture_create(struct fixture *fixture)
{
    memset(fixture, 0, sizeof *fixture);
    fixture->now_ns = FIXTURE_NOW_NS;
    snprintf(fixture->folder, sizeof fixture->folder, "/tmp/tw-hub-XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    if (postgres() != NULL) {
        snprintf(fixture->address, sizeof fixture->address, "%s", postgres());
        fixture_execute(fixture, "DROP SCHEMA public CASCADE; CREATE SCHEMA public");
    } else {
        snprintf(fixture->address, sizeof fixture->address, "%s/books.db", fixture->folder);
    }
    fixture_open(fixture);
    fixture_close(fixture);
    fixture_execute(
        fixture,
        "INSERT INTO holder (id, kind, parent, name, created_ns) VALUES (3, 'org', 0, 'acme', 0),"
        " (4, 'team', 3, 'research', 0), (5, 'project', 4, 'chat', 0), (6, 'key', 5, 'ci', 0),"
        " (7, 'key', 5, 'other', 0);"
        "INSERT INTO account (id, kind, project, debit_nano, credit_nano, debit_tokens,"
        " credit_tokens) VALUES (8, 'held', 5, 0, 0, 0, 0), (9, 'usage', 5, 0, 0, 0, 0);"
        "UPDATE books SET next_id = 100, writer = 0");
    add_secret(fixture, 10, FIXTURE_KEY, fixture->secret);
    add_secret(fixture, 11, FIXTURE_OTHER_KEY, fixture->other_secret);
}

void fixture_open(struct fixture *fixture)
{
    struct tw_error error;
    const struct tw_hub_config config = {.address = fixture->address,
                                         .folder = fixture->folder,
                                         .build = "test",
                                         .isa_level = "ref",
                                         .now_ns = now_ns,
                                         .keeps_own_time = !fixture->has_store_time,
                                         .context = fixture};
    must(tw_hub_open(&config, &fixture->hub, &error), &error);
}

void fixture_open_later(struct fixture *fixture)
{
    fixture->now_ns += TW_LIMIT_HUB_LEASE_NS + FIXTURE_SECOND_NS;
    fixture_open(fixture);
}

void fixture_close(struct fixture *fixture)
{
    tw_hub_close(fixture->hub);
    fixture->hub = NULL;
}

static void remove_subjects(struct fixture *fixture)
{
    char path[128], file[512];
    snprintf(path, sizeof path, "%s/subjects", fixture->folder);
    DIR *folder = opendir(path);
    const struct dirent *entry;
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        remove(file);
    }
    if (folder != NULL) {
        closedir(folder);
    }
    remove(path);
}

void fixture_destroy(struct fixture *fixture)
{
    static const char *const names[] = {"books.db", "books.db-wal", "books.db-shm", "books.db.lock",
                                        "pepper",   "audit-key",    "audit-key.pub"};
    char path[128];
    fixture_close(fixture);
    remove_subjects(fixture);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", fixture->folder, names[i]);
        remove(path);
    }
    remove(fixture->folder);
}

/* A number that a row has, so that the hub gives it to nothing else. */
static void give_away(struct fixture *fixture, int64_t number)
{
    char sql[128];
    snprintf(sql, sizeof sql, "UPDATE books SET next_id = %lld WHERE next_id <= %lld",
             (long long)number + 1, (long long)number);
    fixture_execute(fixture, sql);
}

void fixture_add_budget(struct fixture *fixture, int64_t holder, const char *unit, int64_t limit,
                        bool is_hard, const char *period)
{
    static int64_t next = 1000;
    char sql[512];
    snprintf(sql, sizeof sql,
             "INSERT INTO budget (id, holder, name, unit, limit_value, is_hard, period, zone,"
             " rolls_over, since_entry, created_ns) VALUES (%lld, %lld, 'b%lld', '%s', %lld, %d,"
             " '%s', 'UTC', 0, (SELECT next_entry FROM books), 0)",
             (long long)next, (long long)holder, (long long)next, unit, (long long)limit, is_hard,
             period);
    fixture_execute(fixture, sql);
    give_away(fixture, next++);
}

void fixture_add_price(struct fixture *fixture, int64_t input, int64_t cached, int64_t output)
{
    static int64_t next = 500000;
    char sql[512];
    snprintf(
        sql, sizeof sql,
        "INSERT INTO price (id, project, model, class, input_nano, cached_nano, output_nano,"
        " valid_from_ns, created_ns) VALUES (%lld, 0, '*', 'standard', %lld, %lld, %lld, 0, 0)",
        (long long)next, (long long)input, (long long)cached, (long long)output);
    fixture_execute(fixture, sql);
    give_away(fixture, next++);
}

struct tw_ledger_summary fixture_check(struct fixture *fixture)
{
    struct tw_ledger_summary summary;
    struct tw_db *db = NULL;
    struct tw_error error;
    must(tw_db_open(fixture->address, TW_DB_READ, &db, &error), &error);
    must(tw_ledger_check(db, &summary, &error), &error);
    tw_db_close(db);
    return summary;
}

/* ---- calls that wait ---- */

struct waiter {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool is_done;
    enum tw_status status;
};

static void done(void *context, struct tw_hub_ticket *ticket, enum tw_status status)
{
    struct waiter *waiter = context;
    (void)ticket;
    pthread_mutex_lock(&waiter->lock);
    waiter->is_done = true;
    waiter->status = status;
    pthread_cond_signal(&waiter->wake);
    pthread_mutex_unlock(&waiter->lock);
}

static void begin_wait(struct waiter *waiter)
{
    *waiter = (struct waiter){.is_done = false};
    pthread_mutex_init(&waiter->lock, NULL);
    pthread_cond_init(&waiter->wake, NULL);
}

static enum tw_status end_wait(struct waiter *waiter)
{
    pthread_mutex_lock(&waiter->lock);
    while (!waiter->is_done) {
        pthread_cond_wait(&waiter->wake, &waiter->lock);
    }
    pthread_mutex_unlock(&waiter->lock);
    pthread_cond_destroy(&waiter->wake);
    pthread_mutex_destroy(&waiter->lock);
    return waiter->status;
}

enum tw_status fixture_reserve(struct fixture *fixture, struct tw_hub_ticket *ticket,
                               const char *secret, uint64_t n_prompt, uint64_t max_answer,
                               bool is_stream)
{
    struct waiter waiter;
    struct tw_hub_request request = {.model = "m",
                                     .client_id = "r",
                                     .n_prompt_tokens = n_prompt,
                                     .n_answers = 1,
                                     .max_answer_tokens = max_answer,
                                     .most_answer_tokens = max_answer,
                                     .is_stream = is_stream};
    assert_int_equal(tw_hub_authenticate(fixture->hub, secret, &request.caller), TW_HUB_KEY_GOOD);
    begin_wait(&waiter);
    tw_hub_reserve(fixture->hub, ticket, &request, done, &waiter);
    return end_wait(&waiter);
}

enum tw_status fixture_cover(struct fixture *fixture, struct tw_hub_ticket *ticket,
                             uint64_t n_tokens)
{
    struct waiter waiter;
    begin_wait(&waiter);
    tw_hub_cover(fixture->hub, ticket, n_tokens, done, &waiter);
    return end_wait(&waiter);
}

enum tw_status fixture_settle(struct fixture *fixture, struct tw_hub_ticket *ticket,
                              uint64_t n_prompt, uint64_t n_cached, uint64_t n_answer)
{
    struct waiter waiter;
    const struct tw_hub_usage usage = {.n_prompt_tokens = n_prompt,
                                       .n_cached_tokens = n_cached,
                                       .n_answer_tokens = n_answer,
                                       .finish = "stop"};
    begin_wait(&waiter);
    tw_hub_settle(fixture->hub, ticket, &usage, done, &waiter);
    return end_wait(&waiter);
}

/* ---- content ---- */

int64_t fixture_answer(struct fixture *fixture, const char *secret, const char *user,
                       const char *body, const char *answer)
{
    struct waiter waiter;
    struct tw_hub_ticket ticket;
    struct tw_error error;
    struct tw_hub_request request = {.model = "m",
                                     .client_id = "r",
                                     .n_prompt_tokens = 3,
                                     .n_answers = 1,
                                     .max_answer_tokens = 5,
                                     .most_answer_tokens = 5};
    assert_int_equal(tw_hub_authenticate(fixture->hub, secret, &request.caller), TW_HUB_KEY_GOOD);
    must(tw_content_create(fixture->hub, &request.caller, body, strlen(body), &request.content,
                           &error),
         &error);
    must(tw_content_name_subject(request.content, user, user != NULL ? strlen(user) : 0, &error),
         &error);
    must(tw_content_begin_answers(request.content, 1, &error), &error);
    begin_wait(&waiter);
    tw_hub_reserve(fixture->hub, &ticket, &request, done, &waiter);
    assert_int_equal(end_wait(&waiter), TW_OK);
    assert_int_equal(ticket.refusal, TW_HUB_GRANTED);
    tw_content_add(request.content, 0, answer, strlen(answer), 5);
    tw_content_end(request.content, 0, "stop");
    assert_int_equal(fixture_settle(fixture, &ticket, 3, 0, 5), TW_OK);
    tw_content_free(request.content);
    return ticket.number;
}

json_t *fixture_ask(struct fixture *fixture, const char *group, const char *verb,
                    const char *fields, struct tw_error *ret_error)
{
    const struct tw_hub_actor actor = {.name = "test"};
    json_t *answer = NULL;
    json_t *command = tw_hub_make_command(group, verb, json_loads(fields, 0, NULL));
    return tw_hub_ask(fixture->hub, &actor, command, &answer, ret_error) == TW_OK ? answer : NULL;
}

void fixture_write(struct fixture *fixture)
{
    struct tw_error error;
    json_t *answer = fixture_ask(fixture, "org", "set", "{\"path\": \"acme\"}", &error);
    if (answer == NULL) {
        fail_msg("%s", error.text);
    }
    json_decref(answer);
}

void *fixture_ask_once(void *context)
{
    struct fixture_client *client = context;
    struct tw_hub_ticket ticket;
    fixture_reserve(client->fixture, &ticket, client->fixture->secret, 10, 10, false);
    client->was_served = ticket.refusal == TW_HUB_GRANTED && !ticket.is_clamped;
    if (client->was_served) {
        fixture_settle(client->fixture, &ticket, 10, 0, 10);
    }
    return NULL;
}
