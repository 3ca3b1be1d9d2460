/* Files and batches in the books, where their store or memory fails them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "hub/batch.h"
#include "hub_fixture.h"

struct site {
    struct fixture fixture;
    struct tw_batches *store;
    struct tw_hub_caller caller;
    struct tw_batch_file file;
    struct tw_batch batch;
    int64_t most_files; /* 0: the default */
};

static void must(enum tw_status status, const struct tw_error *error)
{
    if (status != TW_OK) {
        fail_msg("%s", error->text);
    }
}

static void open_store(struct site *site)
{
    const struct tw_batches_config config = {.project_files = site->most_files};
    struct tw_error error;
    must(tw_batches_open(site->fixture.hub, &config, &site->store, &error), &error);
    assert_int_equal(tw_hub_authenticate(site->fixture.hub, site->fixture.secret, &site->caller),
                     TW_HUB_KEY_GOOD);
}

static void close_all(struct site *site)
{
    tw_batches_close(site->store);
    site->store = NULL;
    fixture_close(&site->fixture);
}

static void nobody(const char *line, size_t line_bytes, struct tw_buf *ret_user)
{
    (void)line;
    (void)line_bytes;
    (void)ret_user;
}

static struct tw_batch_upload upload_of(const char *filename, const char *text)
{
    return (struct tw_batch_upload){.filename = filename,
                                    .text = text,
                                    .text_bytes = strlen(text),
                                    .data_class = "",
                                    .user = nobody};
}

/* A file of three lines, and a batch of it. */
static int setup(void **state)
{
    static struct site site;
    const struct tw_batch_upload upload = upload_of("requests.jsonl", "one\ntwo\nthree\n");
    struct tw_error error;
    site = (struct site){.store = NULL};
    fixture_create(&site.fixture);
    fixture_open(&site.fixture);
    open_store(&site);
    must(tw_batches_add_file(site.store, &site.caller, &upload, &site.file, &error), &error);
    const struct tw_batch_order order = {.input = site.file.name,
                                         .endpoint = "/v1/completions",
                                         .metadata = "null",
                                         .data_class = "",
                                         .window_s = TW_LIMIT_BATCH_WINDOW_SECONDS};
    must(tw_batches_create(site.store, &site.caller, &order, &site.batch, &error), &error);
    *state = &site;
    return 0;
}

static int teardown(void **state)
{
    struct site *site = *state;
    tw_batches_close(site->store);
    fixture_destroy(&site->fixture);
    return 0;
}

static void claim(struct site *site)
{
    struct tw_error error;
    size_t n = 0;
    must(tw_batches_claim(site->store, 1, &site->batch, &n, &error), &error);
    assert_int_equal(n, 1);
}

static void a_beginning_that_fails_leaves_the_batch_as_it_was(void **state)
{
    struct site *site = *state;
    struct tw_error error;
    close_all(site);
    fixture_execute(&site->fixture, "CREATE TRIGGER fails BEFORE UPDATE OF output ON batch"
                                    " BEGIN SELECT RAISE(ABORT, 'the disk is gone'); END");
    fixture_open(&site->fixture);
    open_store(site);
    claim(site);
    assert_int_not_equal(tw_batches_begin(site->store, &site->batch, 3, NULL, &error), TW_OK);
    assert_int_equal(site->batch.output, 0);
    assert_int_equal(site->batch.errors, 0);
    close_all(site);
    fixture_execute(&site->fixture, "DROP TRIGGER fails");
    fixture_open(&site->fixture);
    open_store(site);
    claim(site);
    must(tw_batches_begin(site->store, &site->batch, 3, NULL, &error), &error);
    assert_int_equal(site->batch.status, TW_BATCH_IN_PROGRESS);
    assert_true(site->batch.output > site->file.id);
    assert_true(site->batch.errors > site->batch.output);
    assert_int_equal(fixture_query(&site->fixture, "SELECT COUNT(*) FROM batch_file"), 3);
}

static void a_deleted_file_counts_until_its_lines_are_gone(void **state)
{
    struct site *site = *state;
    const struct tw_batch_upload upload = upload_of("more.jsonl", "one\n");
    struct tw_batch_file file;
    struct tw_error error;
    bool has_more = true;
    close_all(site);
    site->most_files = 2;
    fixture_open(&site->fixture);
    open_store(site);
    must(tw_batches_add_file(site->store, &site->caller, &upload, &file, &error), &error);
    must(tw_batches_delete_file(site->store, &site->caller, file.name, &error), &error);
    assert_int_equal(tw_batches_add_file(site->store, &site->caller, &upload, &file, &error),
                     TW_ERR_LIMIT);
    while (has_more) {
        must(tw_batches_tend(site->store, &has_more, &error), &error);
    }
    must(tw_batches_add_file(site->store, &site->caller, &upload, &file, &error), &error);
}

static void a_line_that_could_not_be_sealed_is_not_stored(void **state)
{
    struct site *site = *state;
    struct tw_hub_line line;
    struct tw_error error;
    claim(site);
    must(tw_batches_begin(site->store, &site->batch, 3, NULL, &error), &error);
    must(tw_hub_line_init(&line, site->store, &site->batch, &site->caller, 1, NULL, 0, &error),
         &error);
    line.custom_id = "a";
    line.request_id = "b";
    const struct tw_batch_error what = {.line = &line, .code = "c", .message = "d"};
    tw_buf_free(&line.sealed);
    tw_buf_init(&line.sealed, 8); /* as without memory */
    assert_int_equal(tw_batches_put_errors(site->store, &site->batch, &what, 1, &error),
                     TW_ERR_MEMORY);
    assert_int_equal(fixture_query(&site->fixture, "SELECT COUNT(*) FROM batch_line"), 3);
    assert_int_equal(fixture_query(&site->fixture, "SELECT n_failed FROM batch"), 0);
    tw_buf_free(&line.sealed);
    tw_buf_init(&line.sealed, TW_LIMIT_DB_VALUE_BYTES);
    must(tw_batches_put_errors(site->store, &site->batch, &what, 1, &error), &error);
    assert_int_equal(fixture_query(&site->fixture, "SELECT COUNT(*) FROM batch_line"), 4);
    assert_int_equal(fixture_query(&site->fixture, "SELECT n_failed FROM batch"), 1);
    tw_hub_line_free(&line);
}

struct told {
    struct site *site;
    int64_t n, most;
};

/* Asks the same store meanwhile, which others may as well. */
static bool ask_again(void *context, int64_t line, const char *text, size_t text_bytes)
{
    static const char *const texts[] = {"one\n", "two\n", "three\n"};
    struct told *told = context;
    struct tw_batch_file file;
    struct tw_error error;
    must(tw_batches_find_file(told->site->store, &told->site->caller, told->site->file.name, &file,
                              &error),
         &error);
    assert_int_equal(file.n_lines, 3);
    assert_int_equal(text_bytes, strlen(texts[line - 1]));
    assert_memory_equal(text, texts[line - 1], text_bytes);
    return ++told->n < told->most;
}

static void lines_are_told_while_others_may_ask_the_store(void **state)
{
    struct site *site = *state;
    struct told told = {.site = site, .most = 2};
    struct tw_error error;
    int64_t last = 0;
    must(tw_batches_read_lines(site->store, FIXTURE_PROJECT, site->file.id, 0, ask_again, &told,
                               &last, &error),
         &error);
    assert_int_equal(last, 2); /* it had enough */
    assert_int_equal(told.n, 2);
    told.most = 9;
    must(tw_batches_read_lines(site->store, FIXTURE_PROJECT, site->file.id, last, ask_again, &told,
                               &last, &error),
         &error);
    assert_int_equal(last, 3);
    assert_int_equal(told.n, 3);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_beginning_that_fails_leaves_the_batch_as_it_was),
        CASE(a_deleted_file_counts_until_its_lines_are_gone),
        CASE(a_line_that_could_not_be_sealed_is_not_stored),
        CASE(lines_are_told_while_others_may_ask_the_store),
    };
    return cmocka_run_group_tests_name("hub batches", tests, NULL, NULL);
}
