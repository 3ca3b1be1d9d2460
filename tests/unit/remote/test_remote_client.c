/* Calls to a server on this machine that answers well, badly, or not at all. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "fake_server.h"
#include "remote/remote_client.h"

#define PATIENCE_NS (30 * TW_SECOND_NS)

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define N_STREAMS 200
#endif
#endif
#ifndef N_STREAMS
#define N_STREAMS 2000
#endif

/* Waits until it holds. */
#define BECOMES(condition)                                                                         \
    do {                                                                                           \
        const int64_t waits_since_ns = tw_clock_monotonic_ns();                                    \
        while (!(condition) && tw_clock_monotonic_ns() - waits_since_ns < PATIENCE_NS) {           \
            usleep(1000);                                                                          \
        }                                                                                          \
        assert_true(condition);                                                                    \
    } while (false)

/* What a sink heard. */
struct heard {
    pthread_mutex_t lock;
    struct tw_remote_head head;
    struct tw_remote_result result;
    char reason[256];
    struct tw_buf body;
    int n_heads, n_ends, n_pauses;
    atomic_int n_bodies;
    atomic_bool pauses, stops, lasts;
    atomic_bool has_ended;
};

static void on_head(void *context, const struct tw_remote_head *head)
{
    struct heard *heard = context;
    pthread_mutex_lock(&heard->lock);
    heard->head = *head;
    heard->n_heads++;
    pthread_mutex_unlock(&heard->lock);
}

static enum tw_remote_take on_body(void *context, const char *bytes, size_t n_bytes)
{
    struct heard *heard = context;
    if (atomic_load(&heard->stops)) {
        return TW_REMOTE_STOP;
    }
    pthread_mutex_lock(&heard->lock);
    const bool pauses = atomic_load(&heard->pauses);
    heard->n_pauses += pauses;
    if (!pauses) {
        tw_buf_append(&heard->body, bytes, n_bytes);
    }
    pthread_mutex_unlock(&heard->lock);
    atomic_fetch_add(&heard->n_bodies, 1);
    return pauses ? TW_REMOTE_PAUSE : atomic_load(&heard->lasts) ? TW_REMOTE_LAST : TW_REMOTE_TAKEN;
}

static void on_end(void *context, const struct tw_remote_result *result)
{
    struct heard *heard = context;
    pthread_mutex_lock(&heard->lock);
    heard->result = *result;
    snprintf(heard->reason, sizeof heard->reason, "%s", result->reason);
    heard->n_ends++;
    pthread_mutex_unlock(&heard->lock);
    atomic_store(&heard->has_ended, true);
}

struct site {
    struct fake_server server;
    struct tw_remote_client *client;
    struct tw_remote_backend *backend;
    char folder[64];
};

/* Of all cases: whichever of them fails, it is taken away at the end. */
static char shared_folder[] = "/tmp/tw-remote-XXXXXX";

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(shared_folder) != NULL ? 0 : -1;
}

static int remove_folder(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", shared_folder);
    return system(command);
}

static struct tw_remote_config config_of(const struct site *site, char url[64])
{
    struct tw_remote_config config = tw_remote_defaults();
    snprintf(url, 64, "http://127.0.0.1:%d/v1/", site->server.port);
    config.url = url;
    config.poll_ms = 0;
    config.connect_ms = 2000;
    return config;
}

static void open_site_with(struct site *site, void (*change)(struct tw_remote_config *))
{
    char url[64];
    fake_server_start(&site->server);
    assert_int_equal(tw_remote_client_start(&site->client, NULL), TW_OK);
    struct tw_remote_config config = config_of(site, url);
    if (change != NULL) {
        change(&config);
    }
    assert_int_equal(tw_remote_backend_add(site->client, &config, &site->backend, NULL), TW_OK);
    snprintf(site->folder, sizeof site->folder, "%s", shared_folder);
}

static void open_site(struct site *site)
{
    open_site_with(site, NULL);
}

static void close_site(struct site *site)
{
    tw_remote_backend_drop(site->backend);
    tw_remote_client_free(site->client);
    fake_server_stop(&site->server);
}

static void heard_init(struct heard *heard)
{
    memset(heard, 0, sizeof *heard);
    pthread_mutex_init(&heard->lock, NULL);
    tw_buf_init(&heard->body, (size_t)64 << 20);
}

static void heard_free(struct heard *heard)
{
    assert_int_equal(heard->n_ends, 1);
    tw_buf_free(&heard->body);
    pthread_mutex_destroy(&heard->lock);
}

static struct tw_remote_call *begin_at(struct site *site, struct tw_remote_backend *backend,
                                       const char *path, const char *body, struct heard *heard)
{
    struct tw_buf bytes;
    struct tw_remote_call *call = NULL;
    tw_buf_init(&bytes, 1 << 20);
    if (body != NULL) {
        tw_buf_append_text(&bytes, body);
    }
    const struct tw_remote_request request = {
        .backend = backend,
        .path = path,
        .body = body != NULL ? &bytes : NULL,
        .request_id = "req-7",
        .sink = {.context = heard, .head = on_head, .body = on_body, .end = on_end}};
    assert_int_equal(tw_remote_submit(site->client, &request, &call, NULL), TW_OK);
    return call;
}

static struct tw_remote_call *begin(struct site *site, const char *path, const char *body,
                                    struct heard *heard)
{
    heard_init(heard);
    return begin_at(site, site->backend, path, body, heard);
}

/* The whole of a call. */
static void ask(struct site *site, const char *path, const char *body, struct heard *heard)
{
    struct tw_remote_call *call = begin(site, path, body, heard);
    BECOMES(atomic_load(&heard->has_ended));
    tw_remote_call_release(call);
}

static bool holds(const struct heard *heard, const char *text)
{
    return heard->body.size_bytes > 0 &&
           memmem(heard->body.data, heard->body.size_bytes, text, strlen(text)) != NULL;
}

/* ---- servers that answer ---- */

static void a_request_arrives_as_it_was_and_its_answer_comes_back(void **state)
{
    (void)state;
    struct site site;
    struct heard heard;
    open_site(&site);
    ask(&site, "/v1/echo", "{\"a\":1}", &heard);
    assert_int_equal(heard.result.end, TW_REMOTE_WHOLE);
    assert_int_equal(heard.result.status, 200);
    assert_int_equal(heard.n_heads, 1);
    assert_string_equal(heard.head.request_id, "fake-1");
    assert_string_equal(heard.head.content_type, "application/json");
    assert_true(holds(&heard, "POST /v1/echo HTTP/1.1\r\n"));
    assert_true(holds(&heard, "X-Request-Id: req-7\r\n"));
    assert_true(holds(&heard, "Content-Type: application/json\r\n"));
    assert_true(holds(&heard, "\r\n\r\n{\"a\":1}"));
    assert_false(holds(&heard, "Expect"));
    assert_false(holds(&heard, "Authorization"));
    assert_true(heard.result.first_byte_ns > 0 && heard.result.took_ns > 0);
    heard_free(&heard);
    close_site(&site);
}

static void a_connection_is_kept_for_the_next_call(void **state)
{
    (void)state;
    struct site site;
    open_site(&site);
    for (int i = 0; i < 10; i++) {
        struct heard heard;
        ask(&site, i % 2 == 0 ? "/v1/echo" : "/v1/stream", "{}", &heard);
        assert_int_equal(heard.result.end, TW_REMOTE_WHOLE);
        heard_free(&heard);
    }
    assert_int_equal(atomic_load(&site.server.n_connections), 1);
    close_site(&site);
}

static void a_kept_connection_that_the_server_closed_costs_no_call(void **state)
{
    (void)state;
    struct site site;
    open_site(&site);
    for (int i = 0; i < 50; i++) {
        struct heard heard;
        ask(&site, "/v1/last", "{}", &heard);
        assert_int_equal(heard.result.end, TW_REMOTE_WHOLE);
        heard_free(&heard);
    }
    close_site(&site);
}

static void a_stream_comes_whole_and_is_known_as_one(void **state)
{
    (void)state;
    struct site site;
    struct heard heard;
    open_site(&site);
    ask(&site, "/v1/stream", "{}", &heard);
    assert_true(heard.head.is_stream);
    assert_true(holds(&heard, "\"content\":\"9\"") && holds(&heard, "data: [DONE]\n\n"));
    heard_free(&heard);
    close_site(&site);
}

static void proxies_of_the_environment_are_not_asked(void **state)
{
    (void)state;
    struct site site;
    struct heard heard;
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("all_proxy", "http://127.0.0.1:1", 1);
    open_site(&site);
    ask(&site, "/v1/echo", "{}", &heard);
    assert_int_equal(heard.result.end, TW_REMOTE_WHOLE);
    assert_true(holds(&heard, "POST /v1/echo ")); /* a proxy is told the whole URL */
    unsetenv("http_proxy");
    unsetenv("all_proxy");
    heard_free(&heard);
    close_site(&site);
}

/* Cut, reset, silent or going on: what came before is all that is wanted. */
static void behind_the_last_piece_nothing_matters_and_a_good_connection_is_kept(void **state)
{
    static const char *const paths[] = {"/cut",  "/cut-chunk", "/byte-then-hang",
                                        "/drip", "/v1/stream", "/v1/stream"};
    (void)state;
    struct site site;
    open_site(&site);
    unsigned n_before = 0;
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        struct heard heard;
        heard_init(&heard);
        atomic_store(&heard.lasts, true);
        n_before = atomic_load(&site.server.n_connections);
        const int64_t since_ns = tw_clock_monotonic_ns();
        struct tw_remote_call *call = begin_at(&site, site.backend, paths[i], "{}", &heard);
        BECOMES(atomic_load(&heard.has_ended));
        assert_int_equal(heard.result.end, TW_REMOTE_WHOLE);
        assert_string_equal(heard.reason, "");
        assert_int_equal(atomic_load(&heard.n_bodies), 1);
        assert_true(tw_clock_monotonic_ns() - since_ns < 10 * TW_SECOND_NS);
        tw_remote_call_release(call);
        heard_free(&heard);
    }
    assert_int_equal(atomic_load(&site.server.n_connections), n_before); /* the last two are one */
    close_site(&site);
}

/* ---- servers that refuse ---- */

static void a_refusal_says_whether_another_server_is_worth_a_try(void **state)
{
    (void)state;
    struct site site;
    const struct {
        const char *path;
        int status;
        bool may_retry;
    } rows[] = {{"/status/400", 400, false}, {"/status/401", 401, true},
                {"/status/404", 404, true},  {"/status/413", 413, false},
                {"/status/422", 422, false}, {"/status/429", 429, true},
                {"/status/500", 500, true},  {"/status/503", 503, true}};
    open_site(&site);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct heard heard;
        ask(&site, rows[i].path, "{}", &heard);
        assert_int_equal(heard.result.end, TW_REMOTE_REFUSED);
        assert_int_equal(heard.result.status, rows[i].status);
        assert_int_equal(heard.result.may_retry, rows[i].may_retry);
        assert_int_equal(heard.result.retry_after_s, 7);
        assert_true(holds(&heard, "error"));
        heard_free(&heard);
    }
    close_site(&site);
}

static void a_redirect_is_not_followed(void **state)
{
    (void)state;
    struct site site;
    struct heard heard;
    open_site(&site);
    ask(&site, "/elsewhere", "{}", &heard);
    assert_int_equal(heard.result.end, TW_REMOTE_REFUSED);
    assert_int_equal(heard.result.status, 307);
    assert_int_equal(atomic_load(&site.server.n_requests), 1);
    heard_free(&heard);
    close_site(&site);
}

/* ---- servers that fail ---- */

static void expect_end(const char *path, enum tw_remote_end end, bool may_retry,
                       void (*change)(struct tw_remote_config *))
{
    struct site site;
    struct heard heard;
    open_site_with(&site, change);
    ask(&site, path, "{}", &heard);
    assert_string_equal(tw_remote_end_name(heard.result.end), tw_remote_end_name(end));
    assert_int_equal(heard.result.may_retry, may_retry);
    assert_true(heard.reason[0] != '\0');
    heard_free(&heard);
    close_site(&site);
}

static void an_answer_that_is_cut_off_is_known_and_not_tried_again(void **state)
{
    (void)state;
    expect_end("/cut", TW_REMOTE_CUT, false, NULL);
    expect_end("/cut-chunk", TW_REMOTE_CUT, false, NULL);
}

static void a_connection_that_ends_before_an_answer_may_be_tried_again(void **state)
{
    (void)state;
    expect_end("/reset", TW_REMOTE_CUT, true, NULL);
}

static void what_is_no_http_or_too_much_of_it_is_refused(void **state)
{
    (void)state;
    expect_end("/garbage", TW_REMOTE_MALFORMED, true, NULL);
    expect_end("/big-head", TW_REMOTE_MALFORMED, true, NULL);
    expect_end("/endless-head", TW_REMOTE_MALFORMED, true, NULL);
    expect_end("/flood/65", TW_REMOTE_MALFORMED, false, NULL);
}

static void be_impatient(struct tw_remote_config *config)
{
    config->first_byte_ms = 200;
    config->idle_ms = 200;
}

static void a_server_that_never_answers_is_given_up(void **state)
{
    (void)state;
    expect_end("/hang", TW_REMOTE_NO_ANSWER, true, be_impatient);
    expect_end("/head-then-hang", TW_REMOTE_NO_ANSWER, true, be_impatient);
}

static void a_server_that_stops_in_the_middle_is_given_up(void **state)
{
    (void)state;
    expect_end("/byte-then-hang", TW_REMOTE_STALLED, false, be_impatient);
}

static void be_brief(struct tw_remote_config *config)
{
    config->whole_ms = 300;
}

static void an_answer_that_drips_for_ever_ends_at_the_deadline_of_the_whole(void **state)
{
    (void)state;
    expect_end("/drip", TW_REMOTE_STALLED, false, be_brief);
}

static void nobody_there_is_told_as_such(void **state)
{
    (void)state;
    struct site site;
    struct heard heard;
    struct tw_remote_backend *other;
    struct tw_remote_config config = tw_remote_defaults();
    config.poll_ms = 0;
    open_site(&site);
    for (int i = 0; i < 2; i++) {
        config.url = i == 0 ? "http://127.0.0.1:1" : "http://no-such-host.invalid";
        assert_int_equal(tw_remote_backend_add(site.client, &config, &other, NULL), TW_OK);
        heard_init(&heard);
        struct tw_remote_call *call = begin_at(&site, other, "/v1/echo", "{}", &heard);
        BECOMES(atomic_load(&heard.has_ended));
        assert_false(heard.result.was_asked);
        assert_int_equal(heard.result.end, TW_REMOTE_NOT_CONNECTED);
        assert_true(heard.result.may_retry);
        tw_remote_call_release(call);
        tw_remote_backend_drop(other);
        heard_free(&heard);
    }
    close_site(&site);
}

/* ---- backpressure and cancelling ---- */

static void a_paused_sink_holds_the_server_up_and_loses_nothing(void **state)
{
    (void)state;
    struct site site;
    struct heard heard;
    open_site_with(&site, be_impatient);
    heard_init(&heard);
    atomic_store(&heard.pauses, true);
    struct tw_remote_call *call = begin_at(&site, site.backend, "/flood", "{}", &heard);
    BECOMES(atomic_load(&heard.n_bodies) == 1);
    usleep(600000); /* longer than a server may send nothing: it is not the server that is slow */
    assert_false(atomic_load(&heard.has_ended));
    assert_int_equal(heard.n_pauses, 1);
    assert_int_equal(tw_remote_client_usage(site.client).n_paused, 1);
    atomic_store(&heard.pauses, false);
    tw_remote_resume(call);
    BECOMES(atomic_load(&heard.has_ended));
    assert_int_equal(heard.result.end, TW_REMOTE_WHOLE);
    assert_int_equal(heard.body.size_bytes, 4 << 20);
    assert_int_equal(heard.result.n_body_bytes, 4 << 20);
    assert_int_equal(tw_remote_client_usage(site.client).n_paused, 0);
    tw_remote_call_release(call);
    heard_free(&heard);
    close_site(&site);
}

static void a_sink_may_pause_as_often_as_it_likes(void **state)
{
    (void)state;
    struct site site;
    struct heard heard;
    open_site(&site);
    heard_init(&heard);
    atomic_store(&heard.pauses, true);
    struct tw_remote_call *call = begin_at(&site, site.backend, "/flood", "{}", &heard);
    for (int i = 1; !atomic_load(&heard.has_ended) && i < 100000; i++) {
        atomic_store(&heard.pauses, i % 3 == 0);
        tw_remote_resume(call);
        usleep(200);
    }
    atomic_store(&heard.pauses, false);
    tw_remote_resume(call);
    BECOMES(atomic_load(&heard.has_ended));
    assert_int_equal(heard.body.size_bytes, 4 << 20);
    tw_remote_call_release(call);
    heard_free(&heard);
    close_site(&site);
}

static void a_cancelled_call_ends_at_once_and_its_server_notices(void **state)
{
    (void)state;
    struct site site;
    struct heard heard;
    open_site(&site);
    atomic_store(&site.server.holds, true);
    struct tw_remote_call *call = begin(&site, "/hold", "{}", &heard);
    BECOMES(atomic_load(&heard.n_bodies) > 0);
    const int64_t since_ns = tw_clock_monotonic_ns();
    tw_remote_cancel(call);
    BECOMES(atomic_load(&heard.has_ended));
    assert_true(tw_clock_monotonic_ns() - since_ns < TW_SECOND_NS);
    assert_true(heard.result.was_asked);
    assert_int_equal(heard.result.end, TW_REMOTE_CANCELLED);
    assert_false(heard.result.may_retry);
    BECOMES(atomic_load(&site.server.n_left) == 1);
    tw_remote_cancel(call); /* too late, and nothing happens */
    tw_remote_resume(call);
    tw_remote_call_release(call);
    heard_free(&heard);
    close_site(&site);
}

static void a_call_can_be_cancelled_before_it_is_connected_and_while_it_is_paused(void **state)
{
    (void)state;
    struct site site;
    struct heard heard;
    open_site(&site);
    struct tw_remote_call *call = begin(&site, "/hang", "{}", &heard);
    tw_remote_cancel(call);
    BECOMES(atomic_load(&heard.has_ended));
    assert_int_equal(heard.result.end, TW_REMOTE_CANCELLED);
    tw_remote_call_release(call);
    heard_free(&heard);
    heard_init(&heard);
    atomic_store(&heard.pauses, true);
    call = begin_at(&site, site.backend, "/flood", "{}", &heard);
    BECOMES(atomic_load(&heard.n_bodies) == 1);
    tw_remote_cancel(call);
    BECOMES(atomic_load(&heard.has_ended));
    assert_int_equal(heard.result.end, TW_REMOTE_CANCELLED);
    tw_remote_call_release(call);
    heard_free(&heard);
    assert_int_equal(tw_remote_client_usage(site.client).n_calls, 0);
    close_site(&site);
}

static void a_sink_can_stop_its_call(void **state)
{
    (void)state;
    struct site site;
    struct heard heard;
    open_site(&site);
    heard_init(&heard);
    atomic_store(&heard.stops, true);
    struct tw_remote_call *call = begin_at(&site, site.backend, "/flood", "{}", &heard);
    BECOMES(atomic_load(&heard.has_ended));
    assert_int_equal(heard.result.end, TW_REMOTE_CANCELLED);
    tw_remote_call_release(call);
    heard_free(&heard);
    close_site(&site);
}

static void stopping_the_client_ends_every_call_and_takes_no_more(void **state)
{
    (void)state;
    struct site site;
    struct heard heard[8];
    struct tw_remote_call *calls[8];
    open_site(&site);
    for (int i = 0; i < 8; i++) {
        calls[i] = begin(&site, "/hang", "{}", &heard[i]);
    }
    tw_remote_client_stop(site.client);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(heard[i].result.end, TW_REMOTE_CANCELLED);
        tw_remote_call_release(calls[i]);
        heard_free(&heard[i]);
    }
    struct tw_remote_call *call = NULL;
    const struct tw_remote_request request = {.backend = site.backend, .path = "/v1/echo"};
    assert_int_equal(tw_remote_submit(site.client, &request, &call, NULL), TW_ERR_CANCELLED);
    assert_null(call);
    close_site(&site);
}

static void thousands_of_streams_run_at_once(void **state)
{
    (void)state;
    struct site site;
    struct heard *heard = calloc(N_STREAMS, sizeof *heard);
    struct tw_remote_call **calls = calloc(N_STREAMS, sizeof *calls);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    open_site(&site);
    atomic_store(&site.server.holds, true);
    for (int i = 0; i < N_STREAMS; i++) {
        calls[i] = begin(&site, "/hold", "{}", &heard[i]);
    }
    for (int i = 0; i < N_STREAMS; i++) {
        BECOMES(atomic_load(&heard[i].n_bodies) > 0);
    }
    assert_int_equal(tw_remote_client_usage(site.client).n_calls, N_STREAMS);
    atomic_store(&site.server.holds, false);
    for (int i = 0; i < N_STREAMS; i++) {
        BECOMES(atomic_load(&heard[i].has_ended));
        assert_int_equal(heard[i].result.end, TW_REMOTE_WHOLE);
        assert_true(holds(&heard[i], "data: [DONE]\n\n"));
        tw_remote_call_release(calls[i]);
        heard_free(&heard[i]);
    }
    assert_int_equal(tw_remote_client_usage(site.client).n_ended[TW_REMOTE_WHOLE], N_STREAMS);
    free(heard);
    free(calls);
    close_site(&site);
}

/* ---- keys ---- */

static void write_file(const char *path, const char *text, mode_t mode)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    assert_int_equal(chmod(path, mode), 0);
}

static void a_key_comes_from_its_file_and_is_read_anew_when_that_changes(void **state)
{
    (void)state;
    struct site site;
    struct heard heard;
    struct tw_remote_backend *other;
    struct tw_error error;
    char url[64], path[96], next[96];
    open_site(&site);
    snprintf(path, sizeof path, "%s/key", site.folder);
    snprintf(next, sizeof next, "%s/next", site.folder);
    struct tw_remote_config config = config_of(&site, url);
    config.key_path = path;
    assert_int_equal(tw_remote_backend_add(site.client, &config, &other, &error), TW_ERR_NOT_FOUND);
    write_file(path, "sk-first\n", 0644);
    assert_int_equal(tw_remote_backend_add(site.client, &config, &other, &error), TW_ERR_USAGE);
    assert_non_null(strstr(error.text, "chmod 600"));
    write_file(path, "two\nlines\n", 0600);
    assert_int_equal(tw_remote_backend_add(site.client, &config, &other, &error), TW_ERR_USAGE);
    write_file(path, "sk-first\n", 0600);
    assert_int_equal(tw_remote_backend_add(site.client, &config, &other, &error), TW_OK);
    for (int i = 0; i < 3; i++) {
        heard_init(&heard);
        struct tw_remote_call *call = begin_at(&site, other, "/v1/echo", "{}", &heard);
        BECOMES(atomic_load(&heard.has_ended));
        assert_int_equal(heard.result.end, i < 2 ? TW_REMOTE_WHOLE : TW_REMOTE_UNUSABLE);
        assert_true(i == 2 || holds(&heard, i == 0 ? "Authorization: Bearer sk-first\r\n"
                                                   : "Authorization: Bearer sk-second\r\n"));
        tw_remote_call_release(call);
        heard_free(&heard);
        if (i == 0) {
            write_file(next, "sk-second", 0600);
            assert_int_equal(rename(next, path), 0);
        } else if (i == 1) {
            unlink(path);
        }
    }
    tw_remote_backend_drop(other);
    close_site(&site);
}

static void urls_that_are_none_are_refused_with_the_reason(void **state)
{
    (void)state;
    struct tw_error error;
    const char *const bad[] = {"",
                               "localhost",
                               "ftp://a",
                               "http://",
                               "http://u:p@a",
                               "http://a/?q=1",
                               "http://a/#f",
                               "file:///etc/passwd"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(tw_remote_check_url(bad[i], &error), TW_ERR_USAGE);
    }
    assert_int_equal(tw_remote_check_url("http://a:8000", &error), TW_OK);
    assert_int_equal(tw_remote_check_url("https://[::1]:8000/v1/", &error), TW_OK);
    assert_int_equal(tw_remote_check_url("https://host.example/deployment/v1", &error), TW_OK);
}

/* ---- health ---- */

static void poll_often(struct tw_remote_config *config)
{
    config->poll_ms = 20;
    config->first_byte_ms = 300;
}

static void health_and_load_are_looked_at_again_and_again(void **state)
{
    (void)state;
    struct site site;
    open_site_with(&site, poll_often);
    atomic_store(&site.server.metrics, "vllm:num_requests_waiting{model_name=\"m\"} 3\n");
    BECOMES(tw_remote_backend_health(site.backend).has_load);
    assert_true(tw_remote_backend_health(site.backend).is_alive);
    BECOMES(tw_remote_backend_health(site.backend).load.value[TW_METRIC_WAITING] > 2.5);
    atomic_store(&site.server.metrics, "vllm:num_requests_waiting{model_name=\"m\"} 5\n");
    BECOMES(tw_remote_backend_health(site.backend).load.value[TW_METRIC_WAITING] > 4.5);
    atomic_store(&site.server.health_status, 503);
    BECOMES(tw_remote_backend_health(site.backend).n_failures > 1);
    assert_false(tw_remote_backend_health(site.backend).is_alive);
    assert_true(tw_remote_backend_health(site.backend).reason[0] != '\0');
    atomic_store(&site.server.health_status, 200);
    BECOMES(tw_remote_backend_health(site.backend).is_alive);
    assert_int_equal(tw_remote_backend_health(site.backend).n_failures, 0);
    close_site(&site);
}

static void a_server_without_health_or_metrics_is_asked_for_its_models(void **state)
{
    (void)state;
    struct site site;
    open_site_with(&site, NULL);
    struct tw_remote_backend *other;
    char url[64];
    struct tw_remote_config config = config_of(&site, url);
    poll_often(&config);
    atomic_store(&site.server.health_status, 404);
    atomic_store(&site.server.metrics_status, 404);
    assert_int_equal(tw_remote_backend_add(site.client, &config, &other, NULL), TW_OK);
    BECOMES(tw_remote_backend_health(other).is_alive);
    assert_false(tw_remote_backend_health(other).has_load);
    atomic_store(&site.server.models_status, 401);
    BECOMES(!tw_remote_backend_health(other).is_alive);
    tw_remote_backend_drop(other);
    close_site(&site);
}

/* ---- TLS ---- */

struct tls_server {
    pid_t pid;
    int port;
    FILE *out; /* open as long as it runs: what it says must go somewhere */
};

static void run_quietly(const char *command)
{
    char whole[1024];
    snprintf(whole, sizeof whole, "%s >/dev/null 2>&1", command);
    assert_int_equal(system(whole), 0);
}

static void make_certificate(const char *folder, const char *name, const char *host)
{
    char command[768];
    snprintf(command, sizeof command,
             "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc -days 2 "
             "-subj /CN=%s -addext subjectAltName=%s -out %s/%s.pem -keyout %s/%s.key",
             "fake", host, folder, name, folder, name);
    run_quietly(command);
}

/* openssl's, which answers every GET with a page. It ends with this process. It takes a port that
 * is free, and says which: "ACCEPT 127.0.0.1:40123". */
static void start_tls(const struct site *site, const char *name, struct tls_server *tls)
{
    static const char accepts[] = "ACCEPT 127.0.0.1:";
    char cert[96], key[96], line[128];
    int said[2];
    assert_int_equal(pipe(said), 0);
    snprintf(cert, sizeof cert, "%s/%s.pem", site->folder, name);
    snprintf(key, sizeof key, "%s/%s.key", site->folder, name);
    char *const words[] = {(char[]){"openssl"}, (char[]){"s_server"},
                           (char[]){"-accept"}, (char[]){"127.0.0.1:0"},
                           (char[]){"-cert"},   cert,
                           (char[]){"-key"},    key,
                           (char[]){"-www"},    NULL};
    tls->pid = fork();
    assert_true(tls->pid >= 0);
    if (tls->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(said[1], STDOUT_FILENO);
        execvp(words[0], words);
        _exit(127);
    }
    close(said[1]);
    tls->out = fdopen(said[0], "r");
    tls->port = 0;
    while (tls->port == 0 && fgets(line, sizeof line, tls->out) != NULL) {
        if (strncmp(line, accepts, sizeof accepts - 1) == 0) {
            tls->port = (int)strtol(line + sizeof accepts - 1, NULL, 10);
        }
    }
    assert_true(tls->port != 0);
}

static void stop_tls(struct tls_server *tls)
{
    kill(tls->pid, SIGKILL);
    waitpid(tls->pid, NULL, 0);
    fclose(tls->out);
}

static enum tw_remote_end ask_tls(struct site *site, const char *host, int port, const char *ca)
{
    struct tw_remote_backend *backend;
    struct heard heard;
    char url[64], path[96];
    struct tw_remote_config config = tw_remote_defaults();
    snprintf(url, sizeof url, "https://%s:%d", host, port);
    snprintf(path, sizeof path, "%s/%s.pem", site->folder, ca != NULL ? ca : "");
    config.url = url;
    config.ca_path = ca != NULL ? path : NULL;
    config.poll_ms = 0;
    config.connect_ms = 3000;
    assert_int_equal(tw_remote_backend_add(site->client, &config, &backend, NULL), TW_OK);
    heard_init(&heard);
    struct tw_remote_call *call = begin_at(site, backend, "/v1/models", NULL, &heard);
    BECOMES(atomic_load(&heard.has_ended));
    const enum tw_remote_end end = heard.result.end;
    assert_true(end == TW_REMOTE_WHOLE || heard.result.may_retry);
    tw_remote_call_release(call);
    tw_remote_backend_drop(backend);
    heard_free(&heard);
    return end;
}

static void only_the_pinned_authority_is_believed_and_only_for_its_name(void **state)
{
    (void)state;
    struct site site;
    struct tls_server tls;
    open_site(&site);
    make_certificate(site.folder, "right", "IP:127.0.0.1,DNS:localhost");
    make_certificate(site.folder, "wrong", "IP:127.0.0.1,DNS:localhost");
    make_certificate(site.folder, "named", "DNS:elsewhere.example");
    start_tls(&site, "right", &tls);
    BECOMES(ask_tls(&site, "127.0.0.1", tls.port, "right") == TW_REMOTE_WHOLE);
    assert_int_equal(ask_tls(&site, "localhost", tls.port, "right"), TW_REMOTE_WHOLE);
    assert_int_equal(ask_tls(&site, "127.0.0.1", tls.port, "wrong"), TW_REMOTE_NOT_TRUSTED);
    assert_int_equal(ask_tls(&site, "127.0.0.1", tls.port, NULL), TW_REMOTE_NOT_TRUSTED);
    stop_tls(&tls);
    start_tls(&site, "named", &tls);
    BECOMES(ask_tls(&site, "127.0.0.1", tls.port, "named") == TW_REMOTE_NOT_TRUSTED);
    stop_tls(&tls);
    /* A server without TLS is none, and it is not asked without. */
    assert_true(ask_tls(&site, "127.0.0.1", site.server.port, "right") != TW_REMOTE_WHOLE);
    assert_int_equal(atomic_load(&site.server.n_requests), 0);
    close_site(&site);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_arrives_as_it_was_and_its_answer_comes_back),
        cmocka_unit_test(a_connection_is_kept_for_the_next_call),
        cmocka_unit_test(a_kept_connection_that_the_server_closed_costs_no_call),
        cmocka_unit_test(a_stream_comes_whole_and_is_known_as_one),
        cmocka_unit_test(behind_the_last_piece_nothing_matters_and_a_good_connection_is_kept),
        cmocka_unit_test(proxies_of_the_environment_are_not_asked),
        cmocka_unit_test(a_refusal_says_whether_another_server_is_worth_a_try),
        cmocka_unit_test(a_redirect_is_not_followed),
        cmocka_unit_test(an_answer_that_is_cut_off_is_known_and_not_tried_again),
        cmocka_unit_test(a_connection_that_ends_before_an_answer_may_be_tried_again),
        cmocka_unit_test(what_is_no_http_or_too_much_of_it_is_refused),
        cmocka_unit_test(a_server_that_never_answers_is_given_up),
        cmocka_unit_test(a_server_that_stops_in_the_middle_is_given_up),
        cmocka_unit_test(an_answer_that_drips_for_ever_ends_at_the_deadline_of_the_whole),
        cmocka_unit_test(nobody_there_is_told_as_such),
        cmocka_unit_test(a_paused_sink_holds_the_server_up_and_loses_nothing),
        cmocka_unit_test(a_sink_may_pause_as_often_as_it_likes),
        cmocka_unit_test(a_cancelled_call_ends_at_once_and_its_server_notices),
        cmocka_unit_test(a_call_can_be_cancelled_before_it_is_connected_and_while_it_is_paused),
        cmocka_unit_test(a_sink_can_stop_its_call),
        cmocka_unit_test(stopping_the_client_ends_every_call_and_takes_no_more),
        cmocka_unit_test(thousands_of_streams_run_at_once),
        cmocka_unit_test(a_key_comes_from_its_file_and_is_read_anew_when_that_changes),
        cmocka_unit_test(urls_that_are_none_are_refused_with_the_reason),
        cmocka_unit_test(health_and_load_are_looked_at_again_and_again),
        cmocka_unit_test(a_server_without_health_or_metrics_is_asked_for_its_models),
        cmocka_unit_test(only_the_pinned_authority_is_believed_and_only_for_its_name),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
