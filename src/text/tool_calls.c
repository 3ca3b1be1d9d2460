#include "text/tool_calls.h"

#include <string.h>

#include "base/json.h"

static const char begin_tag[] = "<tool_call>", end_tag[] = "</tool_call>";

static struct tw_bytes bytes_of(const char *text)
{
    return (struct tw_bytes){text, strlen(text)};
}

void tw_tool_parser_init(struct tw_tool_parser *parser)
{
    *parser = (struct tw_tool_parser){.is_in_call = false};
    tw_buf_init(&parser->held, TW_LIMIT_TOOL_CALL_BYTES);
}

void tw_tool_parser_free(struct tw_tool_parser *parser)
{
    tw_buf_free(&parser->held);
}

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static void give_text(struct tw_tool_parser *parser, size_t n_bytes, tw_tool_part_fn give,
                      void *context)
{
    if (n_bytes > 0) {
        const struct tw_tool_part part = {.text = {parser->held.data, n_bytes}};
        give(context, &part);
        tw_buf_drop_front(&parser->held, n_bytes);
    }
}

/* Where a text begins, or may begin, at its end: n_bytes where it does not. */
static size_t find(const char *in, size_t n_bytes, const char *wanted)
{
    const size_t n_wanted = strlen(wanted);
    for (size_t i = 0; i < n_bytes; i++) {
        const size_t n = n_bytes - i < n_wanted ? n_bytes - i : n_wanted;
        if (memcmp(in + i, wanted, n) == 0) {
            return i;
        }
    }
    return n_bytes;
}

static size_t without_spaces(const char *text, size_t n_bytes)
{
    while (n_bytes > 0 && is_space(text[n_bytes - 1])) {
        n_bytes--;
    }
    return n_bytes;
}

/* True when a call begins: the rest is to be looked at again. */
static bool step_text(struct tw_tool_parser *parser, tw_tool_part_fn give, void *context)
{
    const struct tw_buf *held = &parser->held;
    const size_t at = find(held->data, held->size_bytes, begin_tag);
    const size_t n_text = without_spaces(held->data, at);
    const bool begins = held->size_bytes - at >= sizeof begin_tag - 1;
    give_text(parser, n_text, give, context);
    if (begins) {
        tw_buf_drop_front(&parser->held, at - n_text);
        parser->is_in_call = true;
    }
    return begins;
}

/* A call that is none is text, tags and all. */
static void give_call(struct tw_tool_parser *parser, size_t n_bytes, tw_tool_part_fn give,
                      void *context)
{
    const size_t n_begin = sizeof begin_tag - 1, n_end = sizeof end_tag - 1;
    json_t *call = NULL;
    struct tw_buf arguments;
    tw_buf_init(&arguments, TW_LIMIT_TOOL_CALL_BYTES * 4);
    const bool is_json = tw_json_parse(parser->held.data + n_begin, n_bytes - n_begin - n_end,
                                       "call", &call, NULL) == TW_OK;
    const json_t *name = is_json ? json_object_get(call, "name") : NULL;
    const json_t *value = is_json ? json_object_get(call, "arguments") : NULL;
    if (json_is_string(name) && json_is_object(value)) {
        struct tw_json_writer writer;
        tw_json_begin(&writer, &arguments);
        tw_json_value(&writer, value);
    }
    if (arguments.size_bytes > 0 && !arguments.failed) {
        const struct tw_tool_part part = {.name = json_string_value(name),
                                          .arguments = {arguments.data, arguments.size_bytes}};
        give(context, &part);
        parser->has_calls = true;
        tw_buf_drop_front(&parser->held, n_bytes);
    } else {
        give_text(parser, n_bytes, give, context);
    }
    tw_buf_free(&arguments);
    json_decref(call);
}

static bool step_call(struct tw_tool_parser *parser, tw_tool_part_fn give, void *context)
{
    const struct tw_buf *held = &parser->held;
    const size_t at = find(held->data, held->size_bytes, end_tag);
    const size_t n_end = sizeof end_tag - 1;
    if (held->size_bytes - at < n_end) {
        return false;
    }
    give_call(parser, at + n_end, give, context);
    parser->is_in_call = false;
    return true;
}

bool tw_tool_parser_push(struct tw_tool_parser *parser, const char *text, size_t text_bytes,
                         tw_tool_part_fn give, void *context)
{
    struct tw_buf *held = &parser->held;
    if (text_bytes > held->bound_bytes - held->size_bytes) {
        parser->is_in_call = false;
        give_text(parser, held->size_bytes, give, context);
    }
    if (!tw_buf_append(held, text, text_bytes)) {
        return false;
    }
    while (held->size_bytes > 0 &&
           (parser->is_in_call ? step_call : step_text)(parser, give, context)) {
    }
    return true;
}

void tw_tool_parser_finish(struct tw_tool_parser *parser, tw_tool_part_fn give, void *context)
{
    /* White space behind a call is not an answer. */
    if (parser->has_calls && without_spaces(parser->held.data, parser->held.size_bytes) == 0) {
        tw_buf_clear(&parser->held);
    }
    give_text(parser, parser->held.size_bytes, give, context);
}

bool tw_tool_calls_suit(struct tw_bytes chat_template)
{
    const char *text = chat_template.data;
    const size_t n_bytes = chat_template.size_bytes;
    const size_t at = find(text, n_bytes, begin_tag);
    const size_t other = find(text, n_bytes, "<function=");
    return n_bytes - at >= sizeof begin_tag - 1 && n_bytes - other < strlen("<function=");
}

/* ---- calls that are prescribed ---- */

/* "<tool_call>\n{"name": NAME, "arguments": OBJECT}\n</tool_call>" */
static enum tw_status add_call(struct tw_grammar *grammar, struct tw_grammar_rule rule,
                               const json_t *function, struct tw_error *error)
{
    static const char any[] = "{\"type\":\"object\"}";
    const json_t *name = json_object_get(function, "name");
    const json_t *parameters = json_object_get(function, "parameters");
    json_t *made = NULL;
    if (parameters == NULL || json_is_null(parameters)) {
        enum tw_status parsed = tw_json_parse(any, sizeof any - 1, "parameters", &made, error);
        if (parsed != TW_OK) {
            return parsed;
        }
        parameters = made;
    }
    const uint32_t open = tw_grammar_add_node(grammar), named = tw_grammar_add_node(grammar);
    const uint32_t begin = tw_grammar_add_node(grammar), end = tw_grammar_add_node(grammar);
    tw_grammar_add_text(grammar, rule.begin, open, bytes_of("<tool_call>\n{\"name\": \""));
    tw_grammar_add_json_text(grammar, open, named,
                             (struct tw_bytes){json_string_value(name), json_string_length(name)});
    tw_grammar_add_text(grammar, named, begin, bytes_of("\", \"arguments\": "));
    enum tw_status status = tw_schema_add(grammar, begin, end, parameters, error);
    tw_grammar_add_text(grammar, end, rule.end, bytes_of("}\n</tool_call>"));
    json_decref(made);
    return status;
}

enum tw_status tw_tool_calls_compile(const json_t *functions, struct tw_automaton **ret_automaton,
                                     struct tw_error *error)
{
    struct tw_budget budget = tw_budget_full();
    struct tw_grammar grammar;
    enum tw_status status = TW_OK;
    if (tw_grammar_init(&grammar, &budget)) {
        for (size_t i = 0; status == TW_OK && i < json_array_size(functions); i++) {
            status = add_call(&grammar, tw_grammar_rule_at(&grammar, 0),
                              json_array_get(functions, i), error);
        }
    }
    if (status == TW_OK) {
        status = tw_automaton_create(&grammar, "the tools", ret_automaton, error);
    }
    tw_budget_end(&budget);
    return status;
}
