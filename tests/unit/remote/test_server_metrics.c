#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "base/buf.h"
#include "remote/server_metrics.h"

static const char vllm[] =
    "# HELP vllm:num_requests_running Number of requests in model execution batches.\n"
    "# TYPE vllm:num_requests_running gauge\n"
    "vllm:num_requests_running{engine=\"0\",model_name=\"org/a\"} 4.0\n"
    "vllm:num_requests_running{engine=\"1\",model_name=\"org/a\"} 3.0\n"
    "vllm:num_requests_waiting{engine=\"0\",model_name=\"quote \\\" brace } x\"} 2.0 1785000000\n"
    "vllm:num_requests_waiting_by_reason{reason=\"capacity\"} 99\n"
    "vllm:kv_cache_usage_perc{engine=\"0\",model_name=\"org/a\"} 0.25\n"
    "vllm:kv_cache_usage_perc{engine=\"1\",model_name=\"org/a\"} 0.5\n"
    "vllm:prefix_cache_queries_total{engine=\"0\"} 1.2e+06\n"
    "vllm:prefix_cache_hits_total{engine=\"0\"} 600000\n"
    "vllm:time_to_first_token_seconds_bucket{le=\"+Inf\"} 7\n";
static const char sglang[] = "sglang:num_queue_reqs{model_name=\"m\"} 5\r\n"
                             "sglang:num_running_reqs{model_name=\"m\"} 6\r\n"
                             "sglang:token_usage{model_name=\"m\"} 0.75\r\n";
static const char llamacpp[] = "llamacpp:requests_processing 1\nllamacpp:requests_deferred 2";
static const char tokenworks[] = "tokenworks_num_requests_waiting{model_name=\"a\"} 1\n"
                                 "tokenworks_num_requests_waiting{model_name=\"b\"} 2\n"
                                 "tokenworks_kv_cache_pages_used{model_name=\"a\"} 30\n"
                                 "tokenworks_kv_cache_pages{model_name=\"a\"} 120\n";

static struct tw_server_load read_in(const char *text, size_t step)
{
    struct tw_metrics_reader reader;
    const size_t n_bytes = strlen(text);
    tw_metrics_begin(&reader);
    for (size_t at = 0; at < n_bytes; at += step) {
        tw_metrics_push(&reader, text + at, step < n_bytes - at ? step : n_bytes - at);
    }
    return tw_metrics_end(&reader);
}

static bool is(double a, double b)
{
    return fabs(a - b) < 1e-9;
}

static void the_load_of_every_server_is_read(void **state)
{
    (void)state;
    for (size_t step = 1; step < 400; step += 37) {
        struct tw_server_load load = read_in(vllm, step);
        assert_true(is(load.value[TW_METRIC_RUNNING], 7) && is(load.value[TW_METRIC_WAITING], 2));
        assert_true(is(load.value[TW_METRIC_KV_SHARE], 0.5));
        assert_true(is(load.value[TW_METRIC_PREFIX_QUERIES], 1.2e6));
        load = read_in(sglang, step);
        assert_true(is(load.value[TW_METRIC_WAITING], 5) && is(load.value[TW_METRIC_RUNNING], 6));
        assert_true(is(load.value[TW_METRIC_KV_SHARE], 0.75));
        load = read_in(llamacpp, step);
        assert_true(is(load.value[TW_METRIC_RUNNING], 1) && is(load.value[TW_METRIC_WAITING], 2));
        assert_false(load.has[TW_METRIC_KV_SHARE]);
        load = read_in(tokenworks, step);
        assert_true(is(load.value[TW_METRIC_WAITING], 3));
        assert_true(is(load.value[TW_METRIC_KV_SHARE], 0.25));
    }
}

static void what_is_no_number_is_not_there(void **state)
{
    (void)state;
    struct tw_server_load load =
        read_in("vllm:num_requests_waiting NaN\nvllm:num_requests_running +Inf\n"
                "vllm:kv_cache_usage_perc -3\nsglang:num_queue_reqs\nsglang:token_usage{a=\"b\n"
                "llamacpp:requests_deferred 1x\nllamacpp:requests_processing {} \n",
                7);
    for (int i = 0; i < TW_METRIC_COUNT; i++) {
        assert_false(load.has[i]);
    }
    load = read_in("vllm:kv_cache_usage_perc 17\n", 100);
    assert_true(is(load.value[TW_METRIC_KV_SHARE], 1));
}

static void a_line_without_end_is_skipped_and_the_next_one_read(void **state)
{
    (void)state;
    struct tw_buf text;
    tw_buf_init(&text, 1 << 20);
    tw_buf_append_text(&text, "vllm:num_requests_waiting 1");
    for (int i = 0; i < TW_LIMIT_METRICS_LINE_BYTES; i++) {
        tw_buf_append_text(&text, "0");
    }
    tw_buf_append_text(&text, "\nvllm:num_requests_running 2\n");
    tw_buf_append(&text, "", 1);
    const struct tw_server_load load = read_in(text.data, 1000);
    assert_false(load.has[TW_METRIC_WAITING]);
    assert_true(is(load.value[TW_METRIC_RUNNING], 2));
    tw_buf_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_load_of_every_server_is_read),
        cmocka_unit_test(what_is_no_number_is_not_there),
        cmocka_unit_test(a_line_without_end_is_skipped_and_the_next_one_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
