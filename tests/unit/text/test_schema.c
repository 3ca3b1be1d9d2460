#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "form_fixture.h"

#define TEXTS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* Single quotes stand for double ones in schemas and texts here. */
static const char *quoted(const char *text)
{
    static char copies[64][1024];
    static int next;
    char *copy = copies[next++ % 64];
    snprintf(copy, sizeof copies[0], "%s", text);
    for (char *p = copy; *p != '\0'; p++) {
        *p = *p == '\'' ? '"' : *p;
    }
    return copy;
}

static void assert_schema(const char *schema, const char *const *good, const char *const *bad)
{
    struct tw_error error;
    struct tw_automaton *automaton = form_of_schema(quoted(schema), &error);
    if (automaton == NULL) {
        fail_msg("%s: %s", schema, error.text);
    }
    for (; *good != NULL; good++) {
        assert_form_accepts(automaton, TEXTS(quoted(*good)));
    }
    for (; *bad != NULL; bad++) {
        assert_form_rejects(automaton, TEXTS(quoted(*bad)));
    }
    tw_automaton_free(automaton);
}

static void values_have_their_types(void **state)
{
    (void)state;
    assert_schema("{'type':'null'}", TEXTS("null"), TEXTS("", "nul", "true", "null "));
    assert_schema("{'type':['boolean','integer']}", TEXTS("true", "false", "-3"),
                  TEXTS("null", "1.5", "'1'"));
    assert_schema("{'type':'number'}", TEXTS("0", "-0.5", "12.25e-3", "1E9"),
                  TEXTS("01", "1.", ".5", "-", "+1", "1e", "1e123", "-0"));
    assert_schema("true", TEXTS("1", "'x'", "[]", "{}", "[{'a': [null]}]"), TEXTS("", "x", "[1,]"));
    assert_schema("{'type':'string'}",
                  TEXTS("''", "'a/b'", "'\\n\\\\\\\"'", "'\xc3\xa9'", "'\\u0001\\u001f'", "'\x7f'"),
                  TEXTS("'", "a", "'\n'", "'\\u0000'", "'\\u0041'", "'\\u000a'", "'\\/'",
                        "'\\ud83d'", "'\\x'", "'\xff'"));
}

static void lengths_are_counted_in_characters(void **state)
{
    (void)state;
    assert_schema("{'type':'string','minLength':2,'maxLength':3}",
                  TEXTS("'ab'", "'\xc3\xa9\xf0\x9f\x98\x80'", "'\\u0001\\u0002'", "'\\n\\'a'"),
                  TEXTS("'a'", "'abcd'", "'\\u0001'", "'\xf0\x9f\x98\x80'"));
}

static void numbers_keep_their_bounds(void **state)
{
    (void)state;
    assert_schema("{'type':'integer','minimum':-12,'exclusiveMaximum':105}",
                  TEXTS("-12", "-1", "0", "9", "99", "104"),
                  TEXTS("-13", "-0", "105", "200", "1000"));
    assert_schema("{'type':'number','exclusiveMinimum':0,'maximum':2.5}",
                  TEXTS("0.001", "1", "2.5", "2.50", "2.49999"),
                  TEXTS("0", "0.0", "2.51", "-1", "1e0"));
    assert_schema("{'type':'number','minimum':-2.25,'exclusiveMaximum':7.125}",
                  TEXTS("-2.25", "-2", "7", "7.1", "7.12", "7.1249"),
                  TEXTS("-2.251", "-3", "7.125", "7.1250", "7.13", "8"));
    assert_schema("{'type':'number','minimum':7.125}", TEXTS("7.125", "8", "10"),
                  TEXTS("7", "7.1", "7.12", "7.1249", "-8"));
    assert_schema("{'type':'integer','multipleOf':12,'minimum':1}", TEXTS("12", "144", "1200"),
                  TEXTS("0", "6", "13", "124"));
    assert_schema("{'type':'number','multipleOf':5}", TEXTS("0", "-15", "20"), TEXTS("2.5", "3"));
    assert_schema("{'type':'integer','minimum':9223372036854775806}",
                  TEXTS("9223372036854775806", "9223372036854775807"),
                  TEXTS("9223372036854775805", "922337203685477580"));
    assert_schema("{'allOf':[{'type':'integer','minimum':3},{'maximum':5}]}", TEXTS("3", "5"),
                  TEXTS("2", "6"));
}

static void objects_keep_order_and_requirements(void **state)
{
    (void)state;
    const char *schema =
        "{'type':'object','properties':{'a':{'type':'integer'},'b':{'type':'boolean'},"
        "'c':{'type':'null'}},'required':['b'],'additionalProperties':false}";
    assert_schema(schema,
                  TEXTS("{'b':true}", "{'a': 1, 'b': true}", "{'a':1,'b':true,'c':null}",
                        "{'b':false, 'c': null}"),
                  TEXTS("{}", "{'a':1}", "{'b':true,'a':1}", "{'b':true,}", "{'b':true,'d':1}",
                        "{ 'b':true}", "{'b':true }", "{'b' :true}", "{'b':  true}",
                        "{'b':true,'b':true}", "{'\\u0062':true}"));
    assert_schema("{'type':'object','properties':{'a':{'type':'integer'}},"
                  "'additionalProperties':{'type':'string'}}",
                  TEXTS("{}", "{'a':1}", "{'x':'y'}", "{'a':1,'x':'y','aa':''}"),
                  TEXTS("{'a':'y'}", "{'x':1}", "{'x':'y','a':1}", "{'\\u0061':'y'}"));
    assert_schema("{'required':['z'],'type':'object'}", TEXTS("{'z':1,'y':2}"),
                  TEXTS("{}", "{'y':1}"));
    assert_schema("{'type':'object','properties':{'a':true,'b':true,'c':true},"
                  "'additionalProperties':false,'minProperties':2,'maxProperties':2}",
                  TEXTS("{'a':1,'c':1}", "{'b':1,'c':1}"), TEXTS("{'a':1}", "{'a':1,'b':1,'c':1}"));
}

static void arrays_keep_items_and_counts(void **state)
{
    (void)state;
    assert_schema("{'type':'array','items':{'type':'integer'},'minItems':1,'maxItems':3}",
                  TEXTS("[1]", "[1,2]", "[1, 2, 3]"), TEXTS("[]", "[1,2,3,4]", "['a']", "[1 ,2]"));
    assert_schema("{'prefixItems':[{'const':1},{'const':2}],'items':{'const':3},'type':'array'}",
                  TEXTS("[]", "[1]", "[1,2,3,3,3]"), TEXTS("[2]", "[1,3]"));
    assert_schema("{'type':'array','items':false}", TEXTS("[]"), TEXTS("[1]"));
}

static void listed_values_are_those_that_all_keywords_allow(void **state)
{
    (void)state;
    assert_schema("{'enum':['a','bb',3,2.5,null,[1,{'k':'v'}]],'type':['string','number','array']}",
                  TEXTS("'a'", "3", "2.5", "[1, {'k': 'v'}]"), TEXTS("null", "4", "'b'", "[1]"));
    assert_schema("{'enum':['a','bb','ccc'],'minLength':2,'pattern':'^[ab]'}", TEXTS("'bb'"),
                  TEXTS("'a'", "'ccc'"));
    assert_schema("{'enum':[1,2,3],'const':2.0}", TEXTS("2"), TEXTS("1", "3"));
    assert_schema("{'const':'\\u2028\\n\\\\'}", TEXTS("'\xe2\x80\xa8\\n\\\\'"),
                  TEXTS("'\\u2028\\n\\\\'"));
}

static void references_recurse(void **state)
{
    (void)state;
    assert_schema("{'type':'object','properties':{'n':{'anyOf':[{'$ref':'#'},{'type':'null'}]}},"
                  "'required':['n'],'additionalProperties':false}",
                  TEXTS("{'n':null}", "{'n':{'n':{'n':null}}}"),
                  TEXTS("{'n':{}}", "{'n':{'n':null}"));
    assert_schema("{'anyOf':[{'$ref':'#'},{'type':'integer'}]}", TEXTS("1"), TEXTS("''", "null"));
    assert_schema("{'$ref':'#/$defs/a~1b','$defs':{'a/b':{'type':'null'}}}", TEXTS("null"),
                  TEXTS("1"));
    assert_schema("{'$ref':'#/$defs/a','minimum':5,'$defs':{'a':{'type':'integer'}}}", TEXTS("5"),
                  TEXTS("4", "'5'"));
}

static void alternatives_may_begin_alike(void **state)
{
    (void)state;
    assert_schema(
        "{'anyOf':[{'type':'object','properties':{'k':{'const':'p'},'v':{'type':'integer'}},"
        "'required':['k','v'],'additionalProperties':false},"
        "{'type':'object','properties':{'k':{'type':'string'},'v':{'type':'string'}},"
        "'required':['k','v'],'additionalProperties':false}]}",
        TEXTS("{'k':'p','v':1}", "{'k':'p','v':'1'}", "{'k':'q','v':'1'}"),
        TEXTS("{'k':'q','v':1}"));
    assert_schema(
        "{'oneOf':[{'type':'integer','maximum':3},{'type':'integer','exclusiveMinimum':3}]}",
        TEXTS("3", "4"), TEXTS("3.5"));
}

static void formats_are_enforced(void **state)
{
    (void)state;
    assert_schema(
        "{'type':'string','format':'date'}", TEXTS("'2024-02-29'", "'1999-12-31'"),
        TEXTS("'2023-02-29'", "'1900-02-29'", "'2024-13-01'", "'0000-01-01'", "'2024-04-31'"));
    assert_schema(
        "{'type':'string','format':'date-time'}", TEXTS("'2024-02-29T23:59:59.5+01:00'"),
        TEXTS("'2024-02-29 23:59:59Z'", "'2024-02-29T24:00:00Z'", "'2024-02-29T23:59:59'"));
    assert_schema("{'type':'string','format':'ipv4'}", TEXTS("'255.0.10.1'"),
                  TEXTS("'256.0.0.1'", "'1.2.3'", "'01.2.3.4'"));
    assert_schema("{'type':'string','format':'ipv6'}",
                  TEXTS("'::'", "'1:2:3:4:5:6:7:8'", "'fe80::1'"),
                  TEXTS("'1::2::3'", "'1:2:3'", "'1:2:3:4:5:6:7:8:9'"));
    assert_schema("{'type':'string','format':'uuid'}",
                  TEXTS("'123e4567-e89b-12d3-a456-426614174000'"),
                  TEXTS("'123e4567e89b12d3a456426614174000'"));
    assert_schema("{'type':'string','format':'email'}", TEXTS("'a.b+c@x-y.org'"),
                  TEXTS("'a@'", "'.a@b'", "'a b@c'", "'a@-b'"));
    assert_schema("{'type':'string','format':'uri'}", TEXTS("'https://a.b/c?d=e#f'", "'urn:a:b'"),
                  TEXTS("'a b'", "'//a'", "'x'"));
    assert_schema("{'type':'string','format':'duration'}",
                  TEXTS("'P1Y2M3DT4H5M6S'", "'PT5M'", "'P2W'"), TEXTS("'P'", "'PT'", "'1Y'"));
}

static void what_cannot_be_enforced_is_refused_with_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *schema;
        enum tw_status status;
        const char *part;
    } rows[] = {
        {"{'not':{}}", TW_ERR_UNSUPPORTED, "#/not: this keyword"},
        {"{'properties':{'a/b':{'if':true}}}", TW_ERR_UNSUPPORTED, "#/properties/a~1b/if:"},
        {"{'items':{'uniqueItems':true}}", TW_ERR_UNSUPPORTED, "#/items/uniqueItems:"},
        {"{'patternProperties':{'^a':true}}", TW_ERR_UNSUPPORTED, "#/patternProperties: this"},
        {"{'items':[{'const':1}]}", TW_ERR_FORMAT, "#/items: it must be a schema"},
        {"{'format':'regex'}", TW_ERR_UNSUPPORTED, "#/format: the format 'regex'"},
        {"{'multipleOf':0.01}", TW_ERR_UNSUPPORTED, "#/multipleOf:"},
        {"{'$ref':'http://x/y'}", TW_ERR_UNSUPPORTED, "#/$ref: only references into"},
        {"{'$ref':'#/$defs/a'}", TW_ERR_FORMAT, "#/$ref: there is no schema"},
        {"{'pattern':'(?=a)'}", TW_ERR_UNSUPPORTED, "#/pattern: pattern, byte 0: look-around"},
        {"{'oneOf':[{'type':'string'},{'const':'a'}]}", TW_ERR_UNSUPPORTED,
         "#/oneOf: branches 0 and 1"},
        {"{'oneOf':[{'type':'number'},{'type':'integer'}]}", TW_ERR_UNSUPPORTED, "may both hold"},
        {"{'minProperties':2,'type':'object'}", TW_ERR_UNSUPPORTED, "#/minProperties:"},
        {"{'enum':[{}],'required':['a']}", TW_ERR_UNSUPPORTED, "#/enum: arrays and objects"},
        {"{'type':'text'}", TW_ERR_FORMAT, "#/type: it must be one or several of"},
        {"{'anyOf':[]}", TW_ERR_FORMAT, "#/anyOf: it must be a list of schemas"},
        {"{'minItems':-1}", TW_ERR_FORMAT, "#/minItems: it must be a whole number"},
        {"{'properties':[]}", TW_ERR_FORMAT, "#/properties: it must be an object"},
        {"[]", TW_ERR_FORMAT, "a schema is a JSON object"},
        {"false", TW_ERR_FORMAT, "no text at all"},
        {"{'$ref':'#'}", TW_ERR_FORMAT, "no text at all"},
        {"{'allOf':[{'type':'string'},{'type':'null'}]}", TW_ERR_FORMAT, "no text at all"},
        {"{'type':'object','properties':{'a':{'$ref':'#'}},'required':['a']}", TW_ERR_FORMAT,
         "no text at all"},
        {"{'type':'integer','minimum':2,'maximum':1}", TW_ERR_FORMAT, "no text at all"},
        {"{'maxLength':100001}", TW_ERR_LIMIT, "#/maxLength: at most 100000"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tw_error error = {0};
        if (form_of_schema(quoted(rows[i].schema), &error) != NULL ||
            error.status != rows[i].status || strstr(error.text, rows[i].part) == NULL) {
            fail_msg("%s: %d %s", rows[i].schema, error.status, error.text);
        }
    }
}

/* "head" then n times "item", with the number in place of %d, then "tail". */
static struct tw_automaton *form_of_many(const char *head, const char *item, int n,
                                         const char *tail, struct tw_error *error)
{
    struct tw_buf buf;
    tw_buf_init(&buf, (size_t)8 << 20);
    tw_buf_append_text(&buf, quoted(head));
    for (int i = 0; i < n; i++) {
        char number[16];
        const char *text = quoted(item);
        const char *place = strstr(text, "%d");
        snprintf(number, sizeof number, "%d", i);
        tw_buf_append(&buf, text, (size_t)(place - text));
        tw_buf_append_text(&buf, number);
        tw_buf_append_text(&buf, place + 2);
    }
    tw_buf_append_text(&buf, quoted(tail));
    tw_buf_append(&buf, "", 1);
    struct tw_automaton *automaton = form_of_schema(buf.data, error);
    tw_buf_free(&buf);
    return automaton;
}

static void large_schemas_are_taken(void **state)
{
    (void)state;
    struct tw_error error;
    struct tw_automaton *choices =
        form_of_many("{'enum':[", "'choice number %d',", 10000, "'last']}", &error);
    assert_non_null(choices);
    assert_form_accepts(choices, TEXTS("\"choice number 9999\"", "\"last\""));
    assert_form_rejects(choices, TEXTS("\"choice number 10000\""));
    tw_automaton_free(choices);
    struct tw_automaton *members =
        form_of_many("{'type':'object','additionalProperties':false,'properties':{",
                     "'member%d':{'type':'string'},", 300, "'z':{'type':'null'}}}", &error);
    assert_non_null(members);
    assert_form_accepts(members, TEXTS("{\"member7\":\"\",\"member298\":\"a\",\"z\":null}", "{}"));
    assert_form_rejects(members, TEXTS("{\"member8\":\"\",\"member7\":\"\"}"));
    tw_automaton_free(members);
    struct tw_automaton *text = form_of_schema("{\"type\":\"string\",\"maxLength\":4000}", &error);
    assert_non_null(text);
    tw_automaton_free(text);
}

static void schemas_made_to_explode_are_refused(void **state)
{
    (void)state;
    struct tw_error error;
    assert_null(form_of_many("{'allOf':[", "{'anyOf':[{'minimum':%d},{'maximum':7}]},", 40,
                             "true]}", &error));
    assert_int_equal(error.status, TW_ERR_LIMIT);
    assert_null(form_of_many("{'anyOf':[",
                             "{'type':'object','properties':{'k%d':{'type':'null'}}},", 40,
                             "true]}", &error));
    assert_int_equal(error.status, TW_ERR_LIMIT);
    assert_null(form_of_schema("{\"type\":\"string\",\"maxLength\":100000}", &error));
    assert_int_equal(error.status, TW_ERR_LIMIT);
    assert_null(form_of_schema("{\"type\":\"integer\",\"multipleOf\":9999}", &error));
    assert_int_equal(error.status, TW_ERR_LIMIT);
}

static char *nested(int n, char *text, size_t text_bytes)
{
    size_t at = 0;
    for (int i = 0; i < n; i++) {
        at += (size_t)snprintf(text + at, text_bytes - at,
                               "{\"type\":\"array\",\"minItems\":1,\"items\":");
    }
    at += (size_t)snprintf(text + at, text_bytes - at, "true");
    memset(text + at, '}', (size_t)n);
    text[at + (size_t)n] = '\0';
    return text;
}

static void values_that_must_nest_too_deep_are_refused(void **state)
{
    (void)state;
    static char text[TW_LIMIT_GRAMMAR_DEPTH * 64];
    struct tw_error error;
    struct tw_automaton *automaton =
        form_of_schema(nested(TW_LIMIT_GRAMMAR_DEPTH, text, sizeof text), &error);
    assert_non_null(automaton);
    tw_automaton_free(automaton);
    assert_null(form_of_schema(nested(TW_LIMIT_GRAMMAR_DEPTH + 1, text, sizeof text), &error));
    assert_int_equal(error.status, TW_ERR_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_have_their_types),
        cmocka_unit_test(lengths_are_counted_in_characters),
        cmocka_unit_test(numbers_keep_their_bounds),
        cmocka_unit_test(objects_keep_order_and_requirements),
        cmocka_unit_test(arrays_keep_items_and_counts),
        cmocka_unit_test(listed_values_are_those_that_all_keywords_allow),
        cmocka_unit_test(references_recurse),
        cmocka_unit_test(alternatives_may_begin_alike),
        cmocka_unit_test(formats_are_enforced),
        cmocka_unit_test(what_cannot_be_enforced_is_refused_with_its_place),
        cmocka_unit_test(large_schemas_are_taken),
        cmocka_unit_test(schemas_made_to_explode_are_refused),
        cmocka_unit_test(values_that_must_nest_too_deep_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
