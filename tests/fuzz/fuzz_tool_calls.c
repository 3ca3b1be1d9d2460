/* Any bytes as an answer, in every form, in one piece and in pieces whose sizes the input chooses:
 * the same thought, the same text and the same calls come out, and all arguments are JSON or the
 * beginning of it. */
#include <assert.h>
#include <string.h>

#include "base/buf.h"
#include "fuzz_target.h"
#include "text/reasoning.h"
#include "text/tool_calls.h"

#define BOUND_BYTES ((size_t)64 << 20)

static const char *const templates[] = {
    "<tool_call>", "<tool_call><function=", "<|start_header_id|>\"parameters\": "};
static const char tools_text[] =
    "[{\"function\": {\"name\": \"f\", \"parameters\": {\"properties\": {\"s\": {\"type\": "
    "\"string\"}, \"n\": {\"type\": [\"integer\", \"boolean\"]}, \"a\": {\"$ref\": \"#\"}}}}}]";

struct heard {
    struct tw_buf all;
    struct tw_json_scan scan;
    struct tw_tool_parser parser;
    enum tw_tool_part_kind last;
};

static void hear(void *context, const struct tw_tool_part *part)
{
    struct heard *heard = context;
    assert(part->bytes.size_bytes > 0);
    if (part->kind != heard->last) {
        tw_buf_append_format(&heard->all, "(%d)", part->kind);
    }
    if (part->kind == TW_TOOL_CALL) {
        tw_json_scan_begin(&heard->scan);
    }
    for (size_t i = 0; part->kind == TW_TOOL_ARGUMENTS && i < part->bytes.size_bytes; i++) {
        const bool is_json = tw_json_scan_push(&heard->scan, part->bytes.data[i]);
        assert(is_json);
    }
    assert(part->kind != TW_TOOL_ARGUMENTS || heard->last != TW_TOOL_TEXT);
    heard->last = part->kind;
    tw_buf_append(&heard->all, part->bytes.data, part->bytes.size_bytes);
}

static void split(void *context, bool is_reasoning, struct tw_bytes piece)
{
    struct heard *heard = context;
    assert(piece.size_bytes > 0);
    if (is_reasoning) {
        tw_buf_append(&heard->all, piece.data, piece.size_bytes);
    } else {
        tw_tool_parser_push(&heard->parser, piece.data, piece.size_bytes);
    }
}

static void listen_to(struct heard *heard, const struct tw_tool_form *form, const json_t *tools,
                      const uint8_t *data, size_t size, bool in_pieces)
{
    struct tw_reasoning reasoning;
    tw_buf_init(&heard->all, BOUND_BYTES);
    heard->last = TW_TOOL_TEXT;
    tw_tool_parser_init(&heard->parser, form, tools, hear, heard);
    tw_reasoning_init(&reasoning, TW_REASONING_AT_BEGIN, split, heard);
    for (size_t at = 0; at < size;) {
        size_t n = in_pieces ? 1 + data[at] % 7u : size;
        n = n < size - at ? n : size - at;
        if (!tw_reasoning_push(&reasoning, (const char *)data + at, n)) {
            break;
        }
        at += n;
    }
    tw_reasoning_finish(&reasoning);
    tw_tool_parser_finish(&heard->parser);
    tw_tool_parser_free(&heard->parser);
    tw_reasoning_free(&reasoning);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *tools = NULL;
    if (size >= TW_LIMIT_TOOL_CALL_BYTES) {
        return 0; /* where it is too long to become a call depends on the pieces */
    }
    tw_json_parse(tools_text, sizeof tools_text - 1, "tools", &tools, NULL);
    assert(tools != NULL);
    for (size_t i = 0; i < sizeof templates / sizeof templates[0]; i++) {
        const struct tw_tool_form *form = tw_tool_form_detect(tw_bytes_of(templates[i]));
        struct heard whole, pieces;
        assert(form != NULL);
        listen_to(&whole, form, tools, data, size, false);
        listen_to(&pieces, form, tools, data, size, true);
        assert(whole.all.size_bytes == pieces.all.size_bytes);
        assert(whole.all.size_bytes == 0 ||
               memcmp(whole.all.data, pieces.all.data, whole.all.size_bytes) == 0);
        tw_buf_free(&whole.all);
        tw_buf_free(&pieces.all);
    }
    json_decref(tools);
    return 0;
}
