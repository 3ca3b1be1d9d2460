/* What would break if a recipe were read wrongly, a value that cannot work got through, or the
 * learning rate took another way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "train/train_config.h"

struct key {
    const char *section, *name, *value;
};

static const struct key keys[] = {
    {"model", "layers", "8"},
    {"model", "embed", "192"},
    {"model", "heads", "6"},
    {"model", "kv_heads", "2"},
    {"model", "head_dim", "64"},
    {"model", "ffn", "512"},
    {"model", "context", "2048"},
    {"model", "rope_base", "10000"},
    {"model", "tied_head", "yes"},
    {"data", "tokenizer", "t.json"},
    {"data", "chat_template", "sub/t.jinja"},
    {"data", "train", "[a.jsonl, /b/c.jsonl]"},
    {"data", "valid", "[../v.jsonl]"},
    {"training", "seed", "18446744073709551615"},
    {"training", "steps", "1000"},
    {"training", "warmup_steps", "100"},
    {"training", "rows_per_step", "4"},
    {"training", "learning_rate", "0.002"},
    {"training", "final_learning_rate", "1.0e-4"},
    {"training", "beta1", "0.9"},
    {"training", "beta2", "0.98"},
    {"training", "epsilon", "1.0e-8"},
    {"training", "weight_decay", "0.05"},
    {"training", "clip", "1"},
    {"training", "format", "bf16"},
    {"training", "valid_every", "0"},
    {"training", "checkpoint_every", "250"},
    {"output", "folder", "out"},
    {"output", "gguf", "out.gguf"},
    {"output", "type", "Q8_0"},
};

enum { N_KEYS = sizeof keys / sizeof *keys };

/* A recipe in which one key has another value, or NULL for none. */
static const char *recipe_with(const char *key, const char *value)
{
    static char text[4096];
    size_t n = 0;
    for (size_t i = 0; i < N_KEYS; i++) {
        const char *shown = strcmp(keys[i].name, key) == 0 ? value : keys[i].value;
        if (i == 0 || strcmp(keys[i].section, keys[i - 1].section) != 0) {
            n += (size_t)snprintf(text + n, sizeof text - n, "%s:\n", keys[i].section);
        }
        if (shown != NULL) {
            n += (size_t)snprintf(text + n, sizeof text - n, "  %s: %s\n", keys[i].name, shown);
        }
    }
    return text;
}

/* Where a key stands in such a recipe; there is a line for each section too. */
static size_t line_of(const char *key)
{
    size_t line = 0;
    for (size_t i = 0; i < N_KEYS; i++) {
        line += 1 + (i == 0 || strcmp(keys[i].section, keys[i - 1].section) != 0);
        if (strcmp(keys[i].name, key) == 0) {
            return line;
        }
    }
    return 0;
}

static enum tw_status parse(const char *text, struct tw_train_config **ret_config,
                            struct tw_error *error)
{
    return tw_train_config_parse(text, strlen(text), "r.yaml", ret_config, error);
}

static struct tw_train_config *config_with(const char *key, const char *value)
{
    struct tw_train_config *config = NULL;
    struct tw_error error;
    if (parse(recipe_with(key, value), &config, &error) != TW_OK) {
        fail_msg("%s", error.text);
    }
    return config;
}

static void every_key_of_a_recipe_is_read(void **state)
{
    (void)state;
    struct tw_train_config *c = config_with("", NULL);
    assert_int_equal(c->model.layers, 8);
    assert_int_equal(c->model.embed, 192);
    assert_int_equal(c->model.heads, 6);
    assert_int_equal(c->model.kv_heads, 2);
    assert_int_equal(c->model.head_dim, 64);
    assert_int_equal(c->model.ffn, 512);
    assert_int_equal(c->model.context, 2048);
    assert_true(c->model.rope_base == 10000 && c->model.tied_head);
    assert_string_equal(c->data.tokenizer, "t.json");
    assert_string_equal(c->data.chat_template, "sub/t.jinja");
    assert_int_equal(c->data.train_count, 2);
    assert_string_equal(c->data.train[1], "/b/c.jsonl");
    assert_int_equal(c->data.valid_count, 1);
    const struct tw_train_run_config *r = &c->training;
    assert_int_equal(r->seed, UINT64_MAX);
    assert_int_equal(r->steps, 1000);
    assert_int_equal(r->warmup_steps, 100);
    assert_int_equal(r->rows_per_step, 4);
    assert_true(r->learning_rate == 0.002 && r->final_learning_rate == 1e-4);
    assert_true(r->beta1 == 0.9 && r->beta2 == 0.98 && r->epsilon == 1e-8);
    assert_true(r->weight_decay == 0.05 && r->clip == 1);
    assert_int_equal(r->format, TW_GEMM_BF16);
    assert_int_equal(r->valid_every, 0);
    assert_int_equal(r->checkpoint_every, 250);
    assert_string_equal(c->output.folder, "out");
    assert_string_equal(c->output.gguf, "out.gguf");
    assert_string_equal(c->output.type, "Q8_0");
    tw_train_config_free(c);
    c = config_with("format", "f32");
    assert_int_equal(c->training.format, TW_GEMM_F32);
    tw_train_config_free(c);
    tw_train_config_free(NULL);
}

static void only_optional_keys_may_be_left_out(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_KEYS; i++) {
        struct tw_train_config *config = NULL;
        struct tw_error error = {0};
        const char *name = keys[i].name;
        bool is_optional = strcmp(name, "chat_template") == 0 || strcmp(name, "gguf") == 0 ||
                           strcmp(name, "type") == 0;
        enum tw_status status = parse(recipe_with(name, NULL), &config, &error);
        assert_int_equal(status, is_optional ? TW_OK : TW_ERR_FORMAT);
        assert_true(is_optional || strstr(error.text, name) != NULL);
        tw_train_config_free(config);
    }
}

static void a_value_out_of_range_is_refused_with_its_key(void **state)
{
    (void)state;
    static const struct {
        const char *key, *least, *below, *most, *above;
    } rows[] = {
        {"layers", "1", "0", "1024", "1025"},
        {"embed", "1", "0", "16384", "16385"},
        {"heads", "2", "0", "1024", "1026"},
        {"kv_heads", "1", "0", "6", "1025"},
        {"head_dim", "2", "0", "512", "514"},
        {"ffn", "1", "0", "16384", "16385"},
        {"context", "2", "1", "32768", "32769"},
        {"rope_base", "1", "0.99", "1e9", "1.1e9"},
        {"steps", "100", "0", "10000000", "10000001"},
        {"warmup_steps", "0", NULL, "1000", "1001"},
        {"rows_per_step", "1", "0", "4096", "4097"},
        {"learning_rate", "0.0001", "-1", "10", "10.1"},
        {"final_learning_rate", "0", "-0.1", "0.002", "0.0021"},
        {"beta1", "0", "-0.1", "0.999999", "1"},
        {"beta2", "0", "-0.1", "0.999999", "1"},
        {"epsilon", "1e-30", "0", "1", "1.1"},
        {"weight_decay", "0", "-0.1", "100", "101"},
        {"clip", "0", "-0.1", "1e6", "1e7"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        tw_train_config_free(config_with(rows[i].key, rows[i].least));
        tw_train_config_free(config_with(rows[i].key, rows[i].most));
        const char *const bad[] = {rows[i].below, rows[i].above};
        for (int k = 0; k < 2; k++) {
            struct tw_train_config *config = NULL;
            struct tw_error error = {0};
            if (bad[k] != NULL) {
                assert_int_equal(parse(recipe_with(rows[i].key, bad[k]), &config, &error),
                                 TW_ERR_FORMAT);
                assert_non_null(strstr(error.text, rows[i].key));
                char place[32];
                snprintf(place, sizeof place, "(line: %zu, column: ", line_of(rows[i].key));
                assert_non_null(strstr(error.text, place));
                assert_null(config);
            }
        }
    }
}

static void a_bound_that_is_another_key_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *key, *value, *words;
    } rows[] = {
        {"warmup_steps", "2000", "warmup_steps is 2000; it must be at most steps (1000) (line: 19"},
        {"final_learning_rate", "0.1", "it must be at most learning_rate (0.002) (line: 22"},
        {"kv_heads", "8", "kv_heads is 8; it must be at most heads (6) (line: 5"},
        {"type", "F17", "type 'F17' is no weight format; Q8_0 and F16 are usual (line: 34"},
        {"tokenizer", NULL, "the key tokenizer is missing in data"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tw_train_config *config = NULL;
        struct tw_error error = {0};
        assert_int_equal(parse(recipe_with(rows[i].key, rows[i].value), &config, &error),
                         TW_ERR_FORMAT);
        if (strstr(error.text, rows[i].words) == NULL) {
            fail_msg("'%s' is not '%s'", error.text, rows[i].words);
        }
    }
}

static void heads_that_cannot_be_shared_are_refused(void **state)
{
    (void)state;
    struct tw_train_config *config = NULL;
    struct tw_error error = {0};
    assert_int_equal(parse(recipe_with("kv_heads", "4"), &config, &error), TW_ERR_FORMAT);
    assert_non_null(strstr(error.text, "kv_heads is 4; it must divide heads, which is 6"));
    assert_int_equal(parse(recipe_with("head_dim", "63"), &config, &error), TW_ERR_FORMAT);
    assert_non_null(strstr(error.text, "head_dim is 63; it must be even"));
}

static void paths_are_relative_to_the_folder_of_the_recipe(void **state)
{
    (void)state;
    char folder[] = "/tmp/tokenworks-recipe-XXXXXX", path[64], want[128];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/r.yaml", folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(recipe_with("", NULL), file);
    fclose(file);
    struct tw_train_config *c = NULL;
    assert_int_equal(tw_train_config_load(path, &c, NULL), TW_OK);
    const char *const got[] = {c->data.tokenizer, c->data.chat_template, c->data.train[0],
                               c->data.valid[0],  c->output.folder,      c->output.gguf};
    const char *const names[] = {"t.json",     "sub/t.jinja", "a.jsonl",
                                 "../v.jsonl", "out",         "out.gguf"};
    for (size_t i = 0; i < sizeof got / sizeof *got; i++) {
        snprintf(want, sizeof want, "%s/%s", folder, names[i]);
        assert_string_equal(got[i], want);
    }
    assert_string_equal(c->data.train[1], "/b/c.jsonl");
    tw_train_config_free(c);
    assert_int_equal(chdir(folder), 0);
    assert_int_equal(tw_train_config_load("r.yaml", &c, NULL), TW_OK);
    assert_string_equal(c->data.tokenizer, "t.json");
    tw_train_config_free(c);
    assert_int_equal(chdir("/"), 0);
    unlink(path);
    assert_int_equal(tw_train_config_load(path, &c, NULL), TW_ERR_NOT_FOUND);
    rmdir(folder);
}

static bool is_near(double a, double b)
{
    double difference = a > b ? a - b : b - a;
    return difference <= 1e-12 * (a > b ? a : b);
}

static void the_learning_rate_rises_in_a_line_and_falls_along_half_a_cosine(void **state)
{
    (void)state;
    struct tw_train_run_config run = {
        .steps = 111, .warmup_steps = 10, .learning_rate = 0.01, .final_learning_rate = 0.002};
    assert_true(is_near(tw_train_learning_rate(&run, 0), 0.001));
    assert_true(is_near(tw_train_learning_rate(&run, 4), 0.005));
    assert_true(is_near(tw_train_learning_rate(&run, 9), 0.01));
    assert_true(is_near(tw_train_learning_rate(&run, 10), 0.01));
    assert_true(is_near(tw_train_learning_rate(&run, 60), 0.006));
    /* a quarter of the way: 1 + cos(45 degrees) of 2 */
    assert_true(is_near(tw_train_learning_rate(&run, 35), 0.002 + 0.008 * 0.85355339059327376));
    assert_true(is_near(tw_train_learning_rate(&run, 110), 0.002));
    for (uint32_t step = 11; step < 111; step++) {
        assert_true(tw_train_learning_rate(&run, step) < tw_train_learning_rate(&run, step - 1));
    }
}

static void short_runs_have_a_learning_rate_too(void **state)
{
    (void)state;
    struct tw_train_run_config run = {
        .steps = 1, .learning_rate = 0.01, .final_learning_rate = 0.002};
    assert_true(is_near(tw_train_learning_rate(&run, 0), 0.002));
    run.warmup_steps = 1;
    assert_true(is_near(tw_train_learning_rate(&run, 0), 0.01));
    run.steps = 2;
    assert_true(is_near(tw_train_learning_rate(&run, 1), 0.002));
    run.warmup_steps = 0;
    assert_true(is_near(tw_train_learning_rate(&run, 0), 0.01));
    assert_true(is_near(tw_train_learning_rate(&run, 1), 0.002));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_of_a_recipe_is_read),
        cmocka_unit_test(only_optional_keys_may_be_left_out),
        cmocka_unit_test(a_value_out_of_range_is_refused_with_its_key),
        cmocka_unit_test(a_bound_that_is_another_key_is_named),
        cmocka_unit_test(heads_that_cannot_be_shared_are_refused),
        cmocka_unit_test(paths_are_relative_to_the_folder_of_the_recipe),
        cmocka_unit_test(the_learning_rate_rises_in_a_line_and_falls_along_half_a_cosine),
        cmocka_unit_test(short_runs_have_a_learning_rate_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
