/* Any bytes as a server's stream, in one piece and in many, and as a whole answer. */
#include <assert.h>
#include <string.h>

#include "base/json.h"
#include "fuzz_target.h"
#include "remote/sse_relay.h"

enum { OUT_BYTES = 64 << 20 };

static void relay(const char *bytes, size_t n_bytes, size_t step, enum tw_usage_form usage,
                  struct tw_sse_relay *ret_relay, struct tw_buf *ret_out)
{
    const struct tw_answer_terms terms = {.model = "house", .id = "x", .usage = usage};
    struct tw_error error;
    tw_buf_init(ret_out, OUT_BYTES);
    tw_sse_relay_init(ret_relay, &terms);
    for (size_t at = 0; at < n_bytes; at += step) {
        const size_t n = step < n_bytes - at ? step : n_bytes - at;
        assert(tw_sse_relay_push(ret_relay, bytes + at, n, ret_out, &error) == TW_OK);
    }
    assert(tw_sse_relay_end(ret_relay, ret_out, &error) == TW_OK);
}

static void check_cuts(const char *bytes, size_t n_bytes, enum tw_usage_form usage)
{
    struct tw_sse_relay whole, pieces;
    struct tw_buf out, other;
    relay(bytes, n_bytes, n_bytes + 1, usage, &whole, &out);
    relay(bytes, n_bytes, 1 + n_bytes % 13, usage, &pieces, &other);
    assert(out.size_bytes == other.size_bytes);
    assert(out.size_bytes == 0 || memcmp(out.data, other.data, out.size_bytes) == 0);
    assert(memcmp(&whole.seen, &pieces.seen, sizeof whole.seen) == 0);
    assert(whole.is_done == pieces.is_done);
    /* What came out, relayed once more, says the same. */
    struct tw_sse_relay again;
    struct tw_buf twice;
    relay(out.data, out.size_bytes, out.size_bytes + 1, usage, &again, &twice);
    assert(again.is_done == whole.is_done && again.seen.n_finished == whole.seen.n_finished);
    assert(again.seen.n_text_bytes == whole.seen.n_text_bytes);
    tw_sse_relay_free(&whole);
    tw_sse_relay_free(&pieces);
    tw_sse_relay_free(&again);
    tw_buf_free(&out);
    tw_buf_free(&other);
    tw_buf_free(&twice);
}

/* Of valid JSON valid JSON is made. */
static void check_whole(const char *bytes, size_t n_bytes)
{
    const struct tw_answer_terms terms = {.model = "house", .id = "x"};
    struct tw_answer_seen seen = {0};
    struct tw_buf out;
    struct tw_error error;
    json_t *json = NULL;
    tw_buf_init(&out, OUT_BYTES);
    const bool is_answer = tw_answer_scan_whole(bytes, n_bytes, &terms, &seen, &out);
    assert(is_answer != seen.error.is_there);
    if (is_answer && tw_json_parse(bytes, n_bytes, "in", &json, &error) == TW_OK) {
        json_decref(json);
        const enum tw_status status = tw_json_parse(out.data, out.size_bytes, "out", &json, &error);
        assert(status == TW_OK || status == TW_ERR_LIMIT);
        if (status == TW_OK) {
            json_decref(json);
        }
    }
    tw_buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (int usage = TW_USAGE_NONE; usage <= TW_USAGE_ALL; usage++) {
        check_cuts((const char *)data, size, (enum tw_usage_form)usage);
    }
    check_whole((const char *)data, size);
    return 0;
}
