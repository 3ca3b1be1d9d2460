#include "plan_fixture.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "plan/facts.h"

static struct tw_error error;

#define TITLES "device,field,value,low,high,source,date\n"

static enum tw_status read_text(const char *text, struct tw_facts **ret_facts)
{
    assert_int_equal(tw_facts_create(ret_facts, &error), TW_OK);
    return tw_facts_read(*ret_facts, "mine.csv", text, strlen(text), &error);
}

static void sources_that_differ_make_a_range(void **state)
{
    (void)state;
    struct tw_facts *facts;
    assert_int_equal(
        read_text(TITLES "A,tdp_w,400,,,maker,2025\nA,tdp_w,550,500,600,press,2025\n", &facts),
        TW_OK);
    const struct tw_fact *fact = tw_facts_find(facts, "a", "tdp_w");
    assert_non_null(fact);
    assert_true(fact->number.low == 400 && fact->number.typical == 400);
    assert_true(fact->number.high == 600);
    assert_int_equal(fact->line, 2);
    tw_facts_free(facts);
}

static void a_later_file_replaces_what_earlier_ones_said(void **state)
{
    (void)state;
    struct tw_facts *facts;
    assert_int_equal(read_text(TITLES "A,tdp_w,400,,,maker,2025\n", &facts), TW_OK);
    const char *mine = TITLES "A,tdp_w,300,,,my meter,2026\n";
    assert_int_equal(tw_facts_read(facts, "b.csv", mine, strlen(mine), &error), TW_OK);
    const struct tw_fact *fact = tw_facts_find(facts, "A", "tdp_w");
    assert_true(fact->number.low == 300 && fact->number.high == 300);
    assert_string_equal(fact->source, "my meter");
    assert_int_equal(tw_facts_n_names(facts), 1);
    tw_facts_free(facts);
}

static void what_is_wrong_is_refused_with_file_and_line(void **state)
{
    (void)state;
    static const char *const wrong[][2] = {
        {"name,value\nA,1\n", "mine.csv:1: the first line must be the titles"},
        {TITLES "A,tdp_w,400,,,,2025\n", "mine.csv:2: say where the value is from"},
        {TITLES "A,tdp_w,400,500,,maker,2025\n", "mine.csv:2: the value must lie between"},
        {TITLES "A,tdp_w,many,1,2,maker,2025\n", "mine.csv:2: a value with low or high"},
        {TITLES "A,tdp_w,400\n", "mine.csv:2: a row has the seven fields"},
        {TITLES "\n# a note\nA,\"tdp,400\n", "mine.csv:4: column 3: a quote that is not closed"},
        {TITLES "A,kind,gpu,,,x,1\nA,kind,cpu,,,x,1\n", "mine.csv:3: the same name and field"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct tw_facts *facts;
        assert_int_equal(read_text(wrong[i][0], &facts), TW_ERR_FORMAT);
        assert_ptr_equal(strstr(error.text, wrong[i][1]), error.text);
        tw_facts_free(facts);
    }
}

/* Every line counts, also those that say again what others did. */
static void lines_beyond_the_limit_are_refused_whatever_they_say(void **state)
{
    (void)state;
    struct tw_facts *facts;
    static const char row[] = "A,tdp_w,400,,,maker,2025\n";
    const size_t n = TW_LIMIT_PLAN_FACTS + 1, titles = strlen(TITLES), length = strlen(row);
    char *text = malloc(titles + n * length + 1);
    assert_non_null(text);
    memcpy(text, TITLES, titles + 1);
    for (size_t i = 0; i < n; i++) {
        memcpy(text + titles + i * length, row, length + 1);
    }
    assert_int_equal(read_text(text, &facts), TW_ERR_LIMIT);
    const struct tw_fact *fact = tw_facts_find(facts, "A", "tdp_w");
    uint32_t n_others = 0;
    for (const struct tw_fact_source *s = fact->others; s != NULL; s = s->next) {
        assert_int_equal(s->line, n_others + 3);
        n_others++;
    }
    assert_int_equal(n_others, TW_LIMIT_PLAN_FACTS - 1);
    tw_facts_free(facts);
    free(text);
}

static void the_built_in_tables_say_what_they_must(void **state)
{
    (void)state;
    const struct tw_catalogue *c = plan_catalogue();
    assert_true(tw_catalogue_n_devices(c) >= 30);
    assert_true(tw_catalogue_n_models(c) >= 40);
    const struct tw_plan_model *model;
    assert_int_equal(tw_catalogue_model(c, "deepseek-v3", &model, &error), TW_OK);
    assert_true(model->n_parameters > 6.65e11 && model->n_parameters < 6.75e11);
    assert_true(model->n_active_parameters > 3.6e10 && model->n_active_parameters < 3.9e10);
    assert_int_equal(tw_catalogue_model(c, "Qwen3-30B-A3B", &model, &error), TW_OK);
    assert_true(model->n_parameters > 3.03e10 && model->n_parameters < 3.07e10);
    const struct tw_plan_engine *engine;
    assert_int_equal(tw_catalogue_engine(c, "vllm-0.16", &engine, &error), TW_OK);
    assert_string_equal(engine->name, "vllm-0.11"); /* the newest that is not newer */
    assert_int_equal(tw_catalogue_engine(c, "vllm", &engine, &error), TW_OK);
    assert_string_equal(engine->name, "vllm-0.19");
    const struct tw_plan_device *device;
    assert_int_equal(tw_catalogue_device(c, "Ascend-910B", &device, &error), TW_OK);
    assert_true(device->bandwidth_bytes_s.low == 400e9 && device->bandwidth_bytes_s.high == 1600e9);
    assert_int_equal(tw_catalogue_model(c, "LLama-3.1-8", &model, &error), TW_ERR_NOT_FOUND);
    assert_non_null(strstr(error.text, "did you mean 'Llama-3.1-8B'"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sources_that_differ_make_a_range),
        cmocka_unit_test(a_later_file_replaces_what_earlier_ones_said),
        cmocka_unit_test(what_is_wrong_is_refused_with_file_and_line),
        cmocka_unit_test(lines_beyond_the_limit_are_refused_whatever_they_say),
        cmocka_unit_test(the_built_in_tables_say_what_they_must),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
