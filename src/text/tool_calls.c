#include "text/tool_calls.h"

#include <string.h>

#include "text/tool_calls_parts.h"

static const char begin_tag[] = "<tool_call>", end_tag[] = "</tool_call>";
static const char python_tag[] = "<|python_tag|>";

static const struct tw_tool_form forms[] = {
    {
        .marks = {begin_tag, "<function="},
        .tag = begin_tag,
        .state = TOOL_AT_FUNCTION,
        .open = "<tool_call>\n<function=",
        .middle = ">\n",
        .end = "</function>\n</tool_call>",
        .separator = "\n",
        .add_arguments = tw_tool_add_parameters,
    },
    {
        .marks = {begin_tag, begin_tag},
        .tag = begin_tag,
        .state = TOOL_AT_OBJECT,
        .open = "<tool_call>\n{\"name\": \"",
        .middle = "\", \"arguments\": ",
        .end = "}\n</tool_call>",
        .separator = "\n",
        .add_arguments = tw_tool_add_object,
    },
    {
        .marks = {"<|start_header_id|>", "\"parameters\": "},
        .state = TOOL_AT_BEGIN,
        .open = "{\"name\": \"",
        .middle = "\", \"parameters\": ",
        .end = "}",
        .add_arguments = tw_tool_add_object,
    },
};

static bool contains(struct tw_bytes text, const char *word)
{
    return text.size_bytes - tw_bytes_find(text, word) >= strlen(word);
}

const struct tw_tool_form *tw_tool_form_detect(struct tw_bytes chat_template)
{
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if (contains(chat_template, forms[i].marks[0]) &&
            contains(chat_template, forms[i].marks[1])) {
            return &forms[i];
        }
    }
    return NULL;
}

/* ---- for all files ---- */

struct tw_bytes tw_tool_held(const struct tw_tool_parser *parser)
{
    return (struct tw_bytes){parser->held.data, parser->held.size_bytes};
}

void tw_tool_give(struct tw_tool_parser *parser, enum tw_tool_part_kind kind, const char *data,
                  size_t n_bytes)
{
    if (n_bytes > 0) {
        const struct tw_tool_part part = {kind, {data, n_bytes}};
        parser->give(parser->context, &part);
    }
}

void tw_tool_drop(struct tw_tool_parser *parser, size_t n_bytes)
{
    tw_buf_drop_front(&parser->held, n_bytes);
    parser->at = parser->at > n_bytes ? parser->at - n_bytes : 0;
}

enum tw_tool_step tw_tool_match(const struct tw_tool_parser *parser, size_t at, const char *word)
{
    const size_t n_word = strlen(word), n_left = parser->held.size_bytes - at;
    if (n_left > 0 &&
        memcmp(parser->held.data + at, word, n_left < n_word ? n_left : n_word) != 0) {
        return TW_TOOL_WRONG;
    }
    return n_left < n_word ? TW_TOOL_WAIT : TW_TOOL_ON;
}

/* ---- text and what stands around calls ---- */

void tw_tool_parser_init(struct tw_tool_parser *parser, const struct tw_tool_form *form,
                         const json_t *tools, tw_tool_part_fn give, void *context)
{
    *parser =
        (struct tw_tool_parser){.form = form, .tools = tools, .give = give, .context = context};
    parser->state = form->tag != NULL ? TOOL_AT_TEXT : form->state;
    tw_buf_init(&parser->held, TW_LIMIT_TOOL_CALL_BYTES);
}

void tw_tool_parser_free(struct tw_tool_parser *parser)
{
    tw_buf_free(&parser->held);
}

static void give_text(struct tw_tool_parser *parser, size_t n_bytes)
{
    tw_tool_give(parser, TW_TOOL_TEXT, parser->held.data, n_bytes);
    tw_tool_drop(parser, n_bytes);
}

static enum tw_tool_step read_text(struct tw_tool_parser *parser)
{
    const struct tw_bytes held = tw_tool_held(parser);
    const char *tag = parser->form->tag;
    const size_t at = tw_bytes_find(held, tag);
    const size_t n_text = tw_bytes_trimmed((struct tw_bytes){held.data, at});
    const bool begins = held.size_bytes - at >= strlen(tag);
    give_text(parser, n_text);
    if (!begins) {
        return TW_TOOL_WAIT;
    }
    tw_tool_drop(parser, at - n_text);
    parser->state = parser->form->state;
    parser->at = strlen(tag);
    if (parser->state == TOOL_AT_OBJECT) {
        tw_tool_object_begin(parser, parser->at);
    }
    return TW_TOOL_ON;
}

static enum tw_tool_step read_rest(struct tw_tool_parser *parser)
{
    give_text(parser, parser->held.size_bytes);
    return TW_TOOL_WAIT;
}

/* An object must begin at this place, or all is text. */
static enum tw_tool_step expect_object(struct tw_tool_parser *parser, size_t at)
{
    at = tw_bytes_skip_spaces(tw_tool_held(parser), at);
    if (at == parser->held.size_bytes) {
        return TW_TOOL_WAIT;
    }
    parser->is_given = false;
    parser->state = TOOL_AT_REST;
    if (parser->held.data[at] == '{') {
        parser->state = TOOL_AT_OBJECT;
        tw_tool_object_begin(parser, at);
    }
    return TW_TOOL_ON;
}

static enum tw_tool_step read_begin(struct tw_tool_parser *parser)
{
    const size_t at = tw_bytes_skip_spaces(tw_tool_held(parser), 0);
    const enum tw_tool_step tag = tw_tool_match(parser, at, python_tag);
    return tag == TW_TOOL_WAIT
               ? tag
               : expect_object(parser, at + (tag == TW_TOOL_ON ? sizeof python_tag - 1 : 0));
}

static enum tw_tool_step read_next(struct tw_tool_parser *parser)
{
    const size_t at = tw_bytes_skip_spaces(tw_tool_held(parser), 0);
    const bool has_semicolon = at < parser->held.size_bytes && parser->held.data[at] == ';';
    return expect_object(parser, at + has_semicolon);
}

/* A call whose end is not marked is one all the same. */
static enum tw_tool_step read_close(struct tw_tool_parser *parser)
{
    const size_t at = tw_bytes_skip_spaces(tw_tool_held(parser), 0);
    const enum tw_tool_step tag = tw_tool_match(parser, at, end_tag);
    if (tag != TW_TOOL_WAIT) {
        tw_tool_drop(parser, tag == TW_TOOL_ON ? at + sizeof end_tag - 1 : 0);
        parser->is_given = false;
        parser->state = TOOL_AT_TEXT;
    }
    return tag == TW_TOOL_WAIT ? tag : TW_TOOL_ON;
}

/* What was not given of a call is text; behind its tag another one may begin. */
static void fail(struct tw_tool_parser *parser)
{
    const bool has_tag = parser->form->tag != NULL;
    if (parser->is_given) {
        tw_tool_drop(parser, parser->at);
    } else if (has_tag) {
        give_text(parser, strlen(parser->form->tag));
    }
    parser->is_given = false;
    parser->state = has_tag ? TOOL_AT_TEXT : TOOL_AT_REST;
}

static bool step(struct tw_tool_parser *parser)
{
    enum tw_tool_step came_to = TW_TOOL_WAIT;
    switch (parser->state) {
    case TOOL_AT_TEXT:
        came_to = read_text(parser);
        break;
    case TOOL_AT_REST:
        came_to = read_rest(parser);
        break;
    case TOOL_AT_BEGIN:
        came_to = read_begin(parser);
        break;
    case TOOL_AT_OBJECT:
        came_to = tw_tool_object_read(parser);
        break;
    case TOOL_AT_NEXT:
        came_to = read_next(parser);
        break;
    case TOOL_AT_CLOSE:
        came_to = read_close(parser);
        break;
    default:
        came_to = tw_tool_parameters_read(parser);
    }
    if (came_to == TW_TOOL_WRONG) {
        fail(parser);
    }
    return came_to != TW_TOOL_WAIT;
}

bool tw_tool_parser_push(struct tw_tool_parser *parser, const char *text, size_t text_bytes)
{
    struct tw_buf *held = &parser->held;
    while (text_bytes > 0) {
        if (held->size_bytes == held->bound_bytes) {
            parser->at = 0;
            fail(parser);
            give_text(parser, held->size_bytes);
        }
        const size_t n_room = held->bound_bytes - held->size_bytes;
        const size_t n = text_bytes < n_room ? text_bytes : n_room;
        if (!tw_buf_append(held, text, n)) {
            return false;
        }
        text += n;
        text_bytes -= n;
        while (held->size_bytes > 0 && step(parser)) {
        }
    }
    return true;
}

void tw_tool_parser_finish(struct tw_tool_parser *parser)
{
    const size_t n_text = tw_bytes_trimmed(tw_tool_held(parser));
    /* White space behind a call is not an answer. */
    if (parser->is_given || (parser->has_calls && n_text == 0)) {
        tw_buf_clear(&parser->held);
    }
    give_text(parser, parser->held.size_bytes);
}
