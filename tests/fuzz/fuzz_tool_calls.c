/* Any bytes as an answer, in one piece and in pieces whose sizes the input chooses: the same text
 * and the same calls come out, and nothing that was said is lost but white space and calls. */
#include <assert.h>
#include <string.h>

#include "base/buf.h"
#include "fuzz_target.h"
#include "text/tool_calls.h"

#define BOUND_BYTES ((size_t)64 << 20)

struct heard {
    struct tw_buf all;
};

static void hear(void *context, const struct tw_tool_part *part)
{
    struct heard *heard = context;
    if (part->name != NULL) {
        assert(part->arguments.size_bytes >= 2 && part->arguments.data[0] == '{');
        tw_buf_append_text(&heard->all, "[");
        tw_buf_append_text(&heard->all, part->name);
        tw_buf_append(&heard->all, part->arguments.data, part->arguments.size_bytes);
        tw_buf_append_text(&heard->all, "]");
    } else {
        assert(part->text.size_bytes > 0);
        tw_buf_append(&heard->all, part->text.data, part->text.size_bytes);
    }
}

static struct heard listen_to(const uint8_t *data, size_t size, bool in_pieces)
{
    struct heard heard;
    struct tw_tool_parser parser;
    tw_buf_init(&heard.all, BOUND_BYTES);
    tw_tool_parser_init(&parser);
    for (size_t at = 0; at < size;) {
        size_t n = in_pieces ? 1 + data[at] % 7u : size;
        n = n < size - at ? n : size - at;
        if (!tw_tool_parser_push(&parser, (const char *)data + at, n, hear, &heard)) {
            break;
        }
        at += n;
    }
    tw_tool_parser_finish(&parser, hear, &heard);
    tw_tool_parser_free(&parser);
    return heard;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size >= TW_LIMIT_TOOL_CALL_BYTES) {
        return 0; /* where a call becomes too long depends on the pieces */
    }
    struct heard whole = listen_to(data, size, false), pieces = listen_to(data, size, true);
    assert(whole.all.size_bytes == pieces.all.size_bytes);
    assert(whole.all.size_bytes == 0 ||
           memcmp(whole.all.data, pieces.all.data, whole.all.size_bytes) == 0);
    tw_buf_free(&whole.all);
    tw_buf_free(&pieces.all);
    return 0;
}
