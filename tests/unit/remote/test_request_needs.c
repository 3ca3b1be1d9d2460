#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "remote/request_needs.h"

static uint32_t needs(const char *text, bool makes_answers)
{
    json_t *json;
    assert_int_equal(tw_json_parse(text, strlen(text), "request", &json, NULL), TW_OK);
    const uint32_t found = tw_request_needs(json, makes_answers);
    json_decref(json);
    return found;
}

static void a_request_needs_what_it_asks_for(void **state)
{
    (void)state;
    static const struct {
        const char *request;
        uint32_t wanted;
    } rows[] = {
        {"{}", 0},
        {"{\"tools\":[],\"n\":1,\"logprobs\":false,\"response_format\":{\"type\":\"text\"}}", 0},
        {"{\"tools\":null,\"n\":null,\"logprobs\":null,\"guided_json\":null}", 0},
        {"{\"tools\":[{}]}", TW_SERVER_TOOLS},
        {"{\"n\":2}", TW_SERVER_CHOICES},
        {"{\"best_of\":3}", TW_SERVER_CHOICES},
        {"{\"n_cmpl\":3}", TW_SERVER_CHOICES},
        {"{\"logprobs\":true}", TW_SERVER_LOGPROBS},
        {"{\"logprobs\":3}", TW_SERVER_LOGPROBS},
        {"{\"response_format\":{\"type\":\"json_schema\"}}", TW_SERVER_SCHEMAS},
        {"{\"guided_choice\":[\"a\"]}", TW_SERVER_SCHEMAS},
        {"{\"messages\":[{\"content\":[{\"type\":\"text\"},{\"type\":\"image_url\"}]}]}",
         TW_SERVER_IMAGES},
        {"{\"messages\":[{\"content\":\"image_url\"},3,null]}", 0},
        {"{\"messages\":{\"content\":[{\"type\":\"image_url\"}]},\"tools\":3}", TW_SERVER_TOOLS},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(needs(rows[i].request, true), TW_SERVER_ANSWERS | rows[i].wanted);
    }
    assert_int_equal(needs("{\"input\":\"a\",\"tools\":[{}]}", false), TW_SERVER_EMBEDDINGS);
}

static void every_ability_has_a_name_and_every_kind_is_found(void **state)
{
    (void)state;
    for (uint32_t bit = 1; bit < TW_SERVER_ALL; bit *= 2) {
        assert_int_equal(tw_server_ability_named(tw_server_ability_name(bit)), bit);
    }
    assert_int_equal(tw_server_ability_named("flying"), 0);
    assert_null(tw_server_kind_named("other"));
    const char *name = tw_server_kind_names();
    for (size_t n = 0; *name != '\0'; n++) {
        char one[16] = "";
        const size_t n_bytes = strcspn(name, ",");
        assert_true(n_bytes < sizeof one);
        memcpy(one, name, n_bytes);
        assert_string_equal(tw_server_kind_named(one)->name, one);
        name += n_bytes + strspn(name + n_bytes, ", ");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_needs_what_it_asks_for),
        cmocka_unit_test(every_ability_has_a_name_and_every_kind_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
