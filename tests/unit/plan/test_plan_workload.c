#include "plan_fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "plan/trace.h"

static struct tw_error error;

static void arrivals_have_the_rate_and_the_spread_that_was_asked(void **state)
{
    (void)state;
    const double cvs[] = {0.5, 1, 3, 1e-308}; /* the square of the last is 0 */
    for (int i = 0; i < 4; i++) {
        struct tw_workload w;
        const struct tw_use_case use = {.rate_requests_s = 20,
                                        .arrivals = TW_ARRIVAL_GAMMA,
                                        .arrival_cv = cvs[i],
                                        .input = {TW_LENGTH_LOGNORMAL, 900, 1.2, 1, 100000},
                                        .output = {TW_LENGTH_LOGNORMAL, 200, 0.7, 1, 100000}};
        assert_int_equal(tw_workload_make(&use, 1, 100000, 3, &w, &error), TW_OK);
        const struct tw_workload_summary s = tw_workload_summarise(&w);
        assert_true(fabs(s.rate_requests_s / 20 - 1) < 0.04);
        assert_true(fabs(s.arrival_cv - cvs[i]) < 0.05 * cvs[i] + 1e-6);
        assert_true(fabs(s.input_mean / 900 - 1) < 0.02);
        assert_true(fabs(s.output_mean / 200 - 1) < 0.02);
        tw_workload_free(&w);
    }
}

static enum tw_status read_text(const char *text, struct tw_workload *w)
{
    return tw_workload_read("t", text, strlen(text), 0, w, &error);
}

static void traces_are_read_in_all_their_forms(void **state)
{
    (void)state;
    struct tw_workload w;
    /* As a spreadsheet writes it, with a byte order mark. */
    assert_int_equal(read_text("\xef\xbb\xbf"
                               "TIMESTAMP,ContextTokens,GeneratedTokens\n"
                               "2023-11-16 23:59:59.5000000,374,44\n"
                               "2023-11-17 00:00:01.2500000,396,109\n",
                               &w),
                     TW_OK);
    assert_int_equal(w.n_requests, 2);
    assert_int_equal(w.requests[1].arrival_ns, 1750000000);
    assert_int_equal(w.requests[1].n_input, 396);
    tw_workload_free(&w);
    assert_int_equal(read_text("{\"timestamp\": 3000, \"input_length\": 600, \"output_length\": 5, "
                               "\"hash_ids\": [7, 9]}\n"
                               "{\"timestamp\": 1000, \"input_length\": 700, \"output_length\": 6, "
                               "\"hash_ids\": [7, 8]}\n",
                               &w),
                     TW_OK);
    assert_int_equal(w.requests[0].n_input, 700); /* sorted */
    assert_int_equal(w.requests[1].arrival_ns, 2000000000);
    assert_int_equal(w.blocks[w.requests[1].first_block + 1], 9);
    assert_true(fabs(tw_workload_summarise(&w).shared_share - 512.0 / 1300) < 1e-9);
    tw_workload_free(&w);
}

static void what_is_wrong_in_a_trace_is_refused_with_its_line(void **state)
{
    (void)state;
    static const char *const wrong[][2] = {
        {"a,b\n1,2\n", "t:1: the first line must have the titles"},
        {"arrival_s,input_tokens,output_tokens\n1,2,x\n", "t:2: this is no number"},
        {"arrival_s,input_tokens,output_tokens\n1,2\n", "t:2: another number of fields"},
        {"arrival_s,input_tokens,output_tokens\n1,-2,3\n", "t:2: a number of tokens must"},
        {"arrival_s,input_tokens,output_tokens\n", "t:1: there is no request"},
        {"{\"timestamp\": 1, \"input_length\": 2}\n", "t:1: a request needs"},
        {"{\"timestamp\": 1,\n", "t:1"},
        {"{\"timestamp\": 1, \"hash_ids\": [\"a\"]}\n", "t:1: hash_ids must be whole numbers"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct tw_workload w;
        assert_int_equal(read_text(wrong[i][0], &w), TW_ERR_FORMAT);
        assert_ptr_equal(strstr(error.text, wrong[i][1]), error.text);
    }
}

/* The recorded traces, where they are at hand: requests, means and spread as others say. */
static void public_traces_are_what_others_say(void **state)
{
    (void)state;
    const char *shared = getenv("TW_SHARED");
    static const struct {
        const char *file;
        uint32_t n;
        double input, output, cv, shared;
    } cases[] = {{"AzureLLMInferenceTrace_conv_2023.csv", 19366, 1154.7, 211.1, 1.09, 0},
                 {"AzureLLMInferenceTrace_code_2023.csv", 8819, 2047.8, 27.9, 13.15, 0},
                 {"mooncake_conversation_trace.jsonl", 12031, 12035.1, 342.6, 3.03, 0.366}};
    if (shared == NULL) {
        print_message("# not tested: TW_SHARED is not set\n");
        return; /* cmocka's skip() is a failure for meson */
    }
    for (int i = 0; i < 3; i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/plan-data/traces/%s", shared, cases[i].file);
        struct tw_workload w;
        assert_int_equal(tw_workload_read_file(path, 512, &w, &error), TW_OK);
        const struct tw_workload_summary s = tw_workload_summarise(&w);
        assert_int_equal(w.n_requests, cases[i].n);
        assert_true(fabs(s.input_mean - cases[i].input) < 0.1);
        assert_true(fabs(s.output_mean - cases[i].output) < 0.1);
        assert_true(fabs(s.arrival_cv / cases[i].cv - 1) < 0.02);
        assert_true(fabs(s.shared_share - cases[i].shared) < 0.02);
        tw_workload_free(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arrivals_have_the_rate_and_the_spread_that_was_asked),
        cmocka_unit_test(traces_are_read_in_all_their_forms),
        cmocka_unit_test(what_is_wrong_in_a_trace_is_refused_with_its_line),
        cmocka_unit_test(public_traces_are_what_others_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
