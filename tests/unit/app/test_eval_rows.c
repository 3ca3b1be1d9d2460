#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "app/eval_rows.h"

#define ASK   "\"messages\":[{\"role\":\"user\",\"content\":\"?\"}]"
#define EXACT "\"expect\":{\"kind\":\"exact\",\"any\":[\"x\"]}"
#define GOOD  "{\"task\":\"t\"," ASK "," EXACT "}\n"

static void parse(const char *text, struct tw_eval_rows *rows)
{
    struct tw_error error;
    *rows = (struct tw_eval_rows){0};
    if (tw_eval_rows_parse(text, strlen(text), "rows", rows, &error) != TW_OK) {
        fail_msg("%s", error.text);
    }
}

static void assert_refused(const char *text, enum tw_status status, const char *part)
{
    struct tw_eval_rows rows = {0};
    struct tw_error error;
    assert_int_equal(tw_eval_rows_parse(text, strlen(text), "rows", &rows, &error), status);
    if (strstr(error.text, part) == NULL) {
        fail_msg("'%s' is not in '%s'", part, error.text);
    }
    tw_eval_rows_free(&rows);
}

/* A row whose expectation is this; it stands in line 2. */
static void assert_expect_refused(const char *expect, const char *part)
{
    char text[1024], message[256];
    snprintf(text, sizeof text, GOOD "{\"task\":\"t\"," ASK ",\"expect\":%s}", expect);
    snprintf(message, sizeof message, "rows:2: %s", part);
    assert_refused(text, TW_ERR_FORMAT, message);
}

static void rows_keep_their_order_and_know_line_task_and_kind(void **state)
{
    struct tw_eval_rows rows;
    (void)state;
    parse("\n" GOOD " \r\n{\"task\":\"u\"," ASK ",\"values\":[\"v\"],\"expect\":{\"kind\":\"json\","
          "\"value\":{}}}\r\n" GOOD "{\"task\":\"u\"," ASK "," EXACT ",\"answer\":\"\","
          "\"finish_reason\":\"stop\"}",
          &rows);
    assert_int_equal(rows.n_rows, 4);
    assert_int_equal(rows.n_tasks, 2);
    assert_string_equal(rows.tasks[1].name, "u");
    assert_int_equal(rows.tasks[1].n_rows, 2);
    assert_int_equal(rows.tasks[1].kinds, 1u << TW_EVAL_JSON | 1u << TW_EVAL_EXACT);
    assert_int_equal(rows.rows[0].line, 2);
    assert_int_equal(rows.rows[1].line, 4);
    assert_int_equal(rows.rows[1].task, 1);
    assert_int_equal(rows.rows[1].kind, TW_EVAL_JSON);
    assert_int_equal(rows.rows[3].line, 6);
    tw_eval_rows_free(&rows);
}

static void a_row_that_is_wrong_is_named_with_its_line(void **state)
{
    (void)state;
    assert_refused("", TW_ERR_FORMAT, "'rows' has no rows");
    assert_refused("\n \n", TW_ERR_FORMAT, "'rows' has no rows");
    assert_refused("{", TW_ERR_FORMAT, "rows:1: this row alone: not valid JSON");
    assert_refused(GOOD "\n[]", TW_ERR_FORMAT, "rows:3: a row must be a JSON object");
    assert_refused("{" ASK "," EXACT "}", TW_ERR_FORMAT, "rows:1: task must be a name");
    assert_refused("{\"task\":\"a b\"," ASK "," EXACT "}", TW_ERR_FORMAT, "rows:1: task must be");
    assert_refused("{\"task\":\"\"," ASK "," EXACT "}", TW_ERR_FORMAT, "rows:1: task must be");
    assert_refused("{\"task\":\"total\"," ASK "," EXACT "}", TW_ERR_FORMAT, "than 'total'");
    assert_refused("{\"task\":\"t\\u0000\"," ASK "," EXACT "}", TW_ERR_FORMAT, "task must be");
    assert_refused("{\"task\":\"t\"," ASK "," EXACT ",\"value\":[]}", TW_ERR_FORMAT,
                   "rows:1: the row has an unknown key 'value'");
    assert_refused("{\"task\":\"t\"," ASK "," EXACT ",\"values\":[1]}", TW_ERR_FORMAT,
                   "rows:1: values must be");
    assert_refused(GOOD "{\"task\":\"t\"," ASK "}", TW_ERR_FORMAT, "rows:2: expect must be");
}

static void assert_messages_refused(const char *messages, const char *part)
{
    char text[1024];
    snprintf(text, sizeof text, "{\"task\":\"t\",\"messages\":%s," EXACT "}", messages);
    assert_refused(text, TW_ERR_FORMAT, part);
}

#define SYSTEM    "{\"role\":\"system\",\"content\":\"?\"}"
#define USER      "{\"role\":\"user\",\"content\":\"?\"}"
#define ASSISTANT "{\"role\":\"assistant\",\"content\":\"?\"}"

static void messages_are_a_conversation_that_waits_for_an_answer(void **state)
{
    struct tw_eval_rows rows;
    (void)state;
    assert_messages_refused("[]", "rows:1: messages must be");
    assert_messages_refused("\"Hello\"", "rows:1: messages must be");
    assert_messages_refused("[7]", "rows:1: messages[0]: a message's role must be");
    assert_messages_refused("[{\"role\":\"tool\",\"content\":\"?\"}]", "[0]: a message's role");
    assert_messages_refused("[{\"role\":\"user\\u0000\",\"content\":\"?\"}]", "a message's role");
    assert_messages_refused("[{\"role\":\"user\"}]", "[0]: a message's content must be");
    assert_messages_refused("[" USER ",{\"role\":\"user\",\"content\":7}]", "[1]: a message's con");
    assert_messages_refused("[" USER "," SYSTEM "," USER "]", "[1]: a system message must be");
    assert_messages_refused("[" USER "," ASSISTANT "]", "[1]: the last message must be the user's");
    assert_messages_refused("[" SYSTEM "]", "[0]: the last message must be the user's");
    assert_messages_refused("[{\"role\":\"user\",\"content\":\"?\",\"name\":\"n\"}]",
                            "[0]: a message has an unknown key 'name'");
    parse("{\"task\":\"t\",\"messages\":[" SYSTEM "," USER "," ASSISTANT "," USER "]," EXACT "}",
          &rows);
    assert_int_equal(json_array_size(rows.rows[0].messages), 4);
    tw_eval_rows_free(&rows);
}

static void every_field_of_every_kind_is_checked(void **state)
{
    (void)state;
    assert_expect_refused("7", "expect must be an object");
    assert_expect_refused("{}", "expect.kind must be json, tool_call, contains or exact");
    assert_expect_refused("{\"kind\":7}", "expect.kind must be");
    assert_expect_refused("{\"kind\":\"JSON\",\"value\":{}}", "expect.kind must be");
    assert_expect_refused("{\"kind\":\"json\"}", "expect.value must be an object");
    assert_expect_refused("{\"kind\":\"json\",\"value\":[]}", "expect.value must be an object");
    assert_expect_refused("{\"kind\":\"json\",\"value\":{},\"any\":[]}", "expect has an unknown");
    assert_expect_refused("{\"kind\":\"tool_call\",\"arguments\":{}}", "expect.name must be");
    assert_expect_refused("{\"kind\":\"tool_call\",\"name\":\"\",\"arguments\":{}}", "expect.name");
    assert_expect_refused("{\"kind\":\"tool_call\",\"name\":\"n\"}", "expect.arguments must be");
    assert_expect_refused("{\"kind\":\"tool_call\",\"name\":\"n\",\"arguments\":\"{}\"}",
                          "expect.arguments must be an object");
    assert_expect_refused("{\"kind\":\"contains\"}", "expect.all must be");
    assert_expect_refused("{\"kind\":\"contains\",\"all\":[\"a\"]}", "expect.all must be");
    assert_expect_refused("{\"kind\":\"contains\",\"all\":[[]]}", "expect.all must be");
    assert_expect_refused("{\"kind\":\"contains\",\"all\":[[\"\"]]}", "expect.all must be");
    assert_expect_refused("{\"kind\":\"contains\",\"all\":[[\"a\"]],\"none\":\"b\"}",
                          "expect.none must be");
    assert_expect_refused("{\"kind\":\"contains\",\"all\":[],\"none\":[]}", "expect.all must be "
                                                                            "more than");
    assert_expect_refused("{\"kind\":\"exact\"}", "expect.any must be");
    assert_expect_refused("{\"kind\":\"exact\",\"any\":[]}", "expect.any must be");
    assert_expect_refused("{\"kind\":\"exact\",\"any\":[7]}", "expect.any must be");
}

static void bounds_are_errors_with_the_line(void **state)
{
    struct tw_buf text;
    (void)state;
    tw_buf_init(&text, (size_t)64 << 20);
    tw_buf_append_text(&text, GOOD);
    for (size_t i = 0; i <= TW_LIMIT_EVAL_ROW_BYTES; i++) {
        tw_buf_append(&text, "x", 1);
    }
    tw_buf_append(&text, "", 1);
    assert_refused(text.data, TW_ERR_LIMIT, "rows:2: a row of 1048577 bytes");
    tw_buf_clear(&text);
    for (int i = 0; i <= TW_LIMIT_EVAL_TASKS; i++) {
        tw_buf_append_format(&text, "{\"task\":\"t%d\"," ASK "," EXACT "}\n", i);
    }
    tw_buf_append(&text, "", 1);
    assert_refused(text.data, TW_ERR_LIMIT, "rows:257: more than 256 tasks");
    tw_buf_free(&text);
}

static void chosen_rows_are_of_the_tasks_named_and_the_first_of_each(void **state)
{
    struct tw_eval_rows rows;
    struct tw_error error;
    char text[4096] = "";
    (void)state;
    for (const char *task = "abcabcaac"; *task != '\0'; task++) {
        size_t used = strlen(text);
        snprintf(text + used, sizeof text - used, "{\"task\":\"%c\"," ASK "," EXACT "}\n", *task);
    }
    static const char *const names[] = {"c", "a"};
    static const char *const wrong[] = {"a", "d"};
    static const size_t lines[] = {1, 3, 4, 6};
    parse(text, &rows);
    assert_int_equal(tw_eval_rows_select(&rows, wrong, 2, 0, &error), TW_ERR_USAGE);
    assert_string_equal(error.text, "no row has the task 'd'");
    assert_int_equal(rows.n_rows, 9);
    assert_int_equal(tw_eval_rows_select(&rows, NULL, 0, 0, &error), TW_OK);
    assert_int_equal(rows.n_rows, 9);
    assert_int_equal(tw_eval_rows_select(&rows, names, 2, 2, &error), TW_OK);
    assert_int_equal(rows.n_rows, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(rows.rows[i].line, lines[i]);
        assert_string_equal(json_string_value(json_object_get(rows.rows[i].json, "task")),
                            rows.tasks[rows.rows[i].task].name);
    }
    assert_int_equal(rows.n_tasks, 2);
    assert_int_equal(rows.tasks[1].n_rows, 2);
    assert_null(tw_eval_rows_find(&rows, "b", 1));
    assert_string_equal(tw_eval_rows_find(&rows, "cc", 1)->name, "c");
    tw_eval_rows_free(&rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_keep_their_order_and_know_line_task_and_kind),
        cmocka_unit_test(a_row_that_is_wrong_is_named_with_its_line),
        cmocka_unit_test(messages_are_a_conversation_that_waits_for_an_answer),
        cmocka_unit_test(every_field_of_every_kind_is_checked),
        cmocka_unit_test(bounds_are_errors_with_the_line),
        cmocka_unit_test(chosen_rows_are_of_the_tasks_named_and_the_first_of_each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
