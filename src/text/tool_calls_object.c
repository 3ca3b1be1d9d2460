/* Calls that are an object with a name and arguments, in either order. */
#include <string.h>

#include "base/json.h"
#include "text/tool_calls_parts.h"

enum { MEMBER_OTHER = 0, MEMBER_NAME, MEMBER_ARGUMENTS };

#define NOWHERE SIZE_MAX

void tw_tool_object_begin(struct tw_tool_parser *parser, size_t at)
{
    tw_json_scan_begin(&parser->scan);
    parser->at = at;
    parser->member = MEMBER_OTHER;
    parser->name_at = parser->arguments_at = parser->arguments_end = NOWHERE;
}

static int member_of(const char *name, size_t n_bytes)
{
    static const char *const names[] = {"arguments", "parameters"};
    const struct tw_bytes bytes = {name, n_bytes};
    return tw_bytes_equal(bytes, tw_bytes_of("name")) ? MEMBER_NAME
           : tw_bytes_equal(bytes, tw_bytes_of(names[0])) ||
                   tw_bytes_equal(bytes, tw_bytes_of(names[1]))
               ? MEMBER_ARGUMENTS
               : MEMBER_OTHER;
}

/* A string of the outermost object is complete. */
static void end_string(struct tw_tool_parser *parser)
{
    const size_t at = parser->string_at;
    if (parser->scan.is_name) {
        parser->member = member_of(parser->held.data + at + 1, parser->at - at - 1);
    } else if (parser->member == MEMBER_NAME) {
        parser->name_at = at;
        parser->name_end = parser->at + 1;
    }
}

/* Reads a byte, and notes where name and arguments stand. */
static bool scan_byte(struct tw_tool_parser *parser)
{
    struct tw_json_scan *scan = &parser->scan;
    const bool was_in_string = scan->in_string;
    const uint32_t depth = scan->depth;
    const char byte = parser->held.data[parser->at];
    if (!tw_json_scan_push(scan, byte) || (depth == 0 && byte == '[')) {
        return false;
    }
    if (depth == 1 && !was_in_string && scan->in_string) {
        parser->string_at = parser->at;
    } else if (depth == 1 && was_in_string && !scan->in_string && !parser->is_given) {
        end_string(parser);
    } else if (depth == 1 && scan->depth == 2 && parser->member == MEMBER_ARGUMENTS &&
               parser->arguments_at == NOWHERE && byte == '{') {
        parser->arguments_at = parser->at;
    } else if (depth == 2 && scan->depth == 1 && parser->arguments_at != NOWHERE &&
               parser->arguments_end == NOWHERE) {
        parser->arguments_end = parser->at + 1;
    }
    parser->at++;
    return true;
}

/* Gives the name, once it is there and the arguments have begun. */
static void give_name(struct tw_tool_parser *parser)
{
    json_t *name = NULL;
    if (parser->is_given || parser->name_at == NOWHERE || parser->arguments_at == NOWHERE) {
        return;
    }
    if (tw_json_parse(parser->held.data + parser->name_at, parser->name_end - parser->name_at,
                      "name", &name, NULL) != TW_OK ||
        json_string_length(name) == 0) {
        parser->name_at = NOWHERE;
        json_decref(name);
        return;
    }
    parser->is_given = parser->has_calls = true;
    tw_tool_give(parser, TW_TOOL_CALL, json_string_value(name), json_string_length(name));
    json_decref(name);
}

/* Of a call whose name was given: gives the arguments that were read, and drops what was read. */
static void give_arguments(struct tw_tool_parser *parser)
{
    if (!parser->is_given) {
        return;
    }
    const size_t begin = parser->arguments_at;
    const size_t end = parser->arguments_end != NOWHERE ? parser->arguments_end : parser->at;
    if (begin < end) {
        tw_tool_give(parser, TW_TOOL_ARGUMENTS, parser->held.data + begin, end - begin);
    }
    parser->arguments_at = 0;
    parser->arguments_end = parser->arguments_end != NOWHERE ? 0 : NOWHERE;
    tw_tool_drop(parser, parser->at);
}

enum tw_tool_step tw_tool_object_read(struct tw_tool_parser *parser)
{
    bool is_good = true;
    while (is_good && parser->at < parser->held.size_bytes &&
           !tw_json_scan_is_over(&parser->scan)) {
        is_good = scan_byte(parser);
        give_name(parser);
    }
    give_arguments(parser);
    const bool is_over = is_good && tw_json_scan_is_over(&parser->scan);
    if (!is_good || (is_over && !parser->is_given)) {
        return TW_TOOL_WRONG;
    }
    if (is_over) {
        parser->state = parser->form->tag != NULL ? TOOL_AT_CLOSE : TOOL_AT_NEXT;
    }
    return is_over ? TW_TOOL_ON : TW_TOOL_WAIT;
}
