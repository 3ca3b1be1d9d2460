#include "api/answer_parts.h"

#include <stdio.h>

#include "base/rng.h"

static struct tw_bytes bytes_of(const struct tw_buf *buf)
{
    return (struct tw_bytes){buf->size_bytes > 0 ? buf->data : "", buf->size_bytes};
}

/* ---- a stream ---- */

static void send(struct tw_api_parts *parts, struct tw_completion_choice part)
{
    parts->setup.send(parts->setup.context, part);
}

/* What was collected since the last time. No two of the three wait at once, but for a thought that
 * is over and the text behind it. */
static void flush(struct tw_api_parts *parts)
{
    const struct tw_completion_call call = {.index = parts->n_calls - 1,
                                            .arguments = bytes_of(&parts->arguments)};
    if (parts->setup.send == NULL) {
        return;
    }
    if (parts->thought.size_bytes > 0) {
        send(parts, (struct tw_completion_choice){.reasoning = bytes_of(&parts->thought)});
    }
    if (parts->text.size_bytes > 0) {
        send(parts, (struct tw_completion_choice){.text = bytes_of(&parts->text)});
    }
    if (parts->arguments.size_bytes > 0) {
        send(parts, (struct tw_completion_choice){.call = &call});
    }
    tw_buf_clear(&parts->thought);
    tw_buf_clear(&parts->text);
    tw_buf_clear(&parts->arguments);
}

/* ---- parts ---- */

static void end_call(struct tw_api_parts *parts)
{
    flush(parts);
    if (parts->is_in_call && parts->setup.send == NULL) {
        tw_buf_append(&parts->name, "", 1);
        const struct tw_completion_call call = {parts->n_calls - 1, parts->id, parts->name.data,
                                                bytes_of(&parts->arguments)};
        tw_completion_json_call(&parts->calls, &call);
        tw_buf_clear(&parts->name);
        tw_buf_clear(&parts->arguments);
    }
    parts->is_in_call = false;
}

static void begin_call(struct tw_api_parts *parts, struct tw_bytes name)
{
    parts->is_left_out = parts->n_calls > 0 && !parts->setup.is_parallel;
    if (parts->is_left_out) {
        return;
    }
    snprintf(parts->id, sizeof parts->id, "call_%016llx", (unsigned long long)tw_rng_system_seed());
    parts->is_in_call = true;
    parts->n_calls++;
    tw_buf_append(&parts->name, name.data, name.size_bytes);
    if (parts->setup.send != NULL) {
        tw_buf_append(&parts->name, "", 1);
        const struct tw_completion_call call = {
            parts->n_calls - 1, parts->id, parts->name.data, {"", 0}};
        send(parts, (struct tw_completion_choice){.call = &call});
        tw_buf_clear(&parts->name);
    }
}

static void take_part(void *context, const struct tw_tool_part *part)
{
    struct tw_api_parts *parts = context;
    switch (part->kind) {
    case TW_TOOL_CALL:
        end_call(parts);
        begin_call(parts, part->bytes);
        break;
    case TW_TOOL_ARGUMENTS:
        if (!parts->is_left_out) {
            tw_buf_append(&parts->arguments, part->bytes.data, part->bytes.size_bytes);
        }
        break;
    case TW_TOOL_TEXT:
        end_call(parts);
        tw_buf_append(&parts->text, part->bytes.data, part->bytes.size_bytes);
        break;
    }
}

static void take_piece(void *context, bool is_reasoning, struct tw_bytes piece)
{
    struct tw_api_parts *parts = context;
    if (is_reasoning) {
        tw_buf_append(&parts->thought, piece.data, piece.size_bytes);
    } else if (parts->setup.tool_form == NULL) {
        tw_buf_append(&parts->text, piece.data, piece.size_bytes);
    } else if (!tw_tool_parser_push(&parts->parser, piece.data, piece.size_bytes)) {
        parts->has_failed = true;
    }
}

/* ---- for others ---- */

void tw_api_parts_init(struct tw_api_parts *parts, const struct tw_api_parts_setup *setup)
{
    struct tw_buf *const bufs[] = {&parts->thought, &parts->text, &parts->arguments, &parts->calls,
                                   &parts->name};
    *parts = (struct tw_api_parts){.setup = *setup};
    for (size_t i = 0; i < sizeof bufs / sizeof bufs[0]; i++) {
        tw_buf_init(bufs[i], TW_LIMIT_GENERATED_BYTES);
    }
    tw_reasoning_init(&parts->reasoning, setup->thought, take_piece, parts);
    if (setup->tool_form != NULL) {
        tw_tool_parser_init(&parts->parser, setup->tool_form, setup->tools, take_part, parts);
    }
}

void tw_api_parts_free(struct tw_api_parts *parts)
{
    tw_buf_free(&parts->thought);
    tw_buf_free(&parts->text);
    tw_buf_free(&parts->arguments);
    tw_buf_free(&parts->calls);
    tw_buf_free(&parts->name);
    tw_reasoning_free(&parts->reasoning);
    tw_tool_parser_free(&parts->parser);
}

void tw_api_parts_push(struct tw_api_parts *parts, const char *text, size_t text_bytes,
                       bool is_last)
{
    if (text_bytes > 0 && !tw_reasoning_push(&parts->reasoning, text, text_bytes)) {
        parts->has_failed = true;
    }
    if (is_last) {
        tw_reasoning_finish(&parts->reasoning);
        if (parts->setup.tool_form != NULL) {
            tw_tool_parser_finish(&parts->parser);
        }
        end_call(parts);
    }
    flush(parts);
    parts->has_failed = parts->has_failed || parts->thought.failed || parts->text.failed ||
                        parts->arguments.failed || parts->calls.failed || parts->name.failed;
}

bool tw_api_parts_is_thought(const struct tw_api_parts *parts)
{
    return parts->reasoning.state == TW_REASONING_INSIDE;
}
