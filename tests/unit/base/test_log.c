#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/json.h"
#include "base/log.h"

/* A datagram socket keeps writes apart: what one recv gives was one write. */
static int sockets[2];
static char record[1 << 16];

static int open_sockets(void **state)
{
    (void)state;
    return socketpair(AF_UNIX, SOCK_DGRAM, 0, sockets);
}

static int close_sockets(void **state)
{
    (void)state;
    tw_log_setup(TW_LOG_TEXT, TW_LOG_INFO, STDERR_FILENO);
    close(sockets[0]);
    close(sockets[1]);
    return 0;
}

/* The next record as a string, or NULL when none was written. */
static const char *next_record(void)
{
    ssize_t n = recv(sockets[1], record, sizeof record - 1, MSG_DONTWAIT);
    if (n < 0) {
        return NULL;
    }
    record[n] = '\0';
    return record;
}

static json_t *next_json(void)
{
    json_t *value = NULL;
    const char *text = next_record();
    assert_non_null(text);
    size_t n = strlen(text);
    assert_ptr_equal(strchr(text, '\n'), text + n - 1);
    assert_int_equal(tw_json_parse(text, n, "record", &value, NULL), TW_OK);
    return value;
}

static void assert_member(const json_t *object, const char *key, const char *expected)
{
    assert_string_equal(json_string_value(json_object_get(object, key)), expected);
}

static void a_json_record_is_one_write_and_one_line_that_parses(void **state)
{
    (void)state;
    const struct tw_log_context context = {"req-1", "00-4bf92f3577b34da6a3ce929d0e0e4736-00-01"};
    const struct tw_log_field fields[] = {{"path", "a\n\"b\"\xff", 0}, {"bytes", NULL, -7}};
    tw_log_setup(TW_LOG_JSON, TW_LOG_DEBUG, sockets[0]);
    tw_log_record(TW_LOG_WARN, &context, "slow\nreader", fields, 2);
    json_t *value = next_json();
    assert_null(next_record());
    assert_member(value, "level", "warn");
    assert_member(value, "message", "slow\nreader");
    assert_member(value, "request_id", "req-1");
    assert_member(value, "traceparent", context.traceparent);
    assert_member(value, "path", "a\n\"b\"\xef\xbf\xbd");
    assert_int_equal(json_integer_value(json_object_get(value, "bytes")), -7);
    const char *time = json_string_value(json_object_get(value, "time"));
    assert_int_equal(strlen(time), strlen("2026-01-01T00:00:00.000000Z"));
    json_decref(value);
}

static void a_record_without_context_names_none(void **state)
{
    (void)state;
    tw_log_setup(TW_LOG_JSON, TW_LOG_DEBUG, sockets[0]);
    tw_log(TW_LOG_DEBUG, "%d pages", 3);
    json_t *value = next_json();
    assert_member(value, "message", "3 pages");
    assert_null(json_object_get(value, "request_id"));
    assert_int_equal(json_object_size(value), 3);
    json_decref(value);
}

static void text_for_people_cannot_steer_their_terminal(void **state)
{
    (void)state;
    const struct tw_log_field fields[] = {{"file", "x\x1b[2J\ny", 0}, {"n", NULL, 5}};
    tw_log_setup(TW_LOG_TEXT, TW_LOG_INFO, sockets[0]);
    tw_log_record(TW_LOG_ERROR, NULL, "cannot\rread", fields, 2);
    assert_string_equal(next_record(), "tokenworks: error: cannot?read file=x?[2J?y n=5\n");
    tw_log(TW_LOG_INFO, "ready");
    assert_string_equal(next_record(), "tokenworks: ready\n");
}

static void records_below_the_level_are_dropped(void **state)
{
    (void)state;
    tw_log_setup(TW_LOG_TEXT, TW_LOG_WARN, sockets[0]);
    assert_false(tw_log_enabled(TW_LOG_INFO));
    assert_true(tw_log_enabled(TW_LOG_WARN));
    tw_log(TW_LOG_DEBUG, "a");
    tw_log(TW_LOG_INFO, "b");
    assert_null(next_record());
}

static void a_record_that_is_too_long_still_says_its_message(void **state)
{
    (void)state;
    static char endless[20000];
    memset(endless, '\x01', sizeof endless - 1); /* six bytes each in JSON */
    const struct tw_log_field fields[] = {{"name", endless, 0}};
    tw_log_setup(TW_LOG_JSON, TW_LOG_INFO, sockets[0]);
    tw_log_record(TW_LOG_ERROR, NULL, "bad name", fields, 1);
    json_t *value = next_json();
    assert_member(value, "message", "bad name");
    json_decref(value);
    tw_log_record(TW_LOG_ERROR, NULL, endless, NULL, 0);
    value = next_json();
    assert_member(value, "level", "error");
    json_decref(value);
}

enum { WRITERS = 4, RECORDS = 50 };

static void *write_records(void *argument)
{
    (void)argument;
    for (int i = 0; i < RECORDS; i++) {
        tw_log(TW_LOG_INFO, "record %d of many, long enough to be torn if writes were split", i);
    }
    return NULL;
}

static void *read_records(void *argument)
{
    int *ret_whole = argument;
    for (int i = 0; i < WRITERS * RECORDS; i++) {
        char line[1024];
        json_t *value;
        ssize_t n = recv(sockets[1], line, sizeof line, 0);
        if (n > 0 && tw_json_parse(line, (size_t)n, "record", &value, NULL) == TW_OK) {
            json_decref(value);
            ++*ret_whole;
        }
    }
    return NULL;
}

static void records_of_several_threads_do_not_mix(void **state)
{
    (void)state;
    pthread_t writers[WRITERS], reader;
    int n_whole = 0;
    tw_log_setup(TW_LOG_JSON, TW_LOG_INFO, sockets[0]);
    assert_int_equal(pthread_create(&reader, NULL, read_records, &n_whole), 0);
    for (int i = 0; i < WRITERS; i++) {
        assert_int_equal(pthread_create(&writers[i], NULL, write_records, NULL), 0);
    }
    for (int i = 0; i < WRITERS; i++) {
        pthread_join(writers[i], NULL);
    }
    pthread_join(reader, NULL);
    assert_int_equal(n_whole, WRITERS * RECORDS);
}

#define WITH_SOCKETS(test) cmocka_unit_test_setup_teardown(test, open_sockets, close_sockets)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SOCKETS(a_json_record_is_one_write_and_one_line_that_parses),
        WITH_SOCKETS(a_record_without_context_names_none),
        WITH_SOCKETS(text_for_people_cannot_steer_their_terminal),
        WITH_SOCKETS(records_below_the_level_are_dropped),
        WITH_SOCKETS(a_record_that_is_too_long_still_says_its_message),
        WITH_SOCKETS(records_of_several_threads_do_not_mix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
