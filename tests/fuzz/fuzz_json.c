/* Any bytes through the JSON reader; what it accepts must survive being written and read again. */
#include <assert.h>
#include <string.h>

#include "base/json.h"
#include "base/limits.h"
#include "fuzz_target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *first, *second;
    struct tw_error error;
    if (tw_json_parse((const char *)data, size, "input", &first, &error) != TW_OK) {
        assert(strlen(error.text) > 0 && strchr(error.text, '\n') == NULL);
        return 0;
    }
    struct tw_buf buf;
    struct tw_json_writer writer;
    tw_buf_init(&buf, (size_t)64 << 20);
    tw_json_begin(&writer, &buf);
    tw_json_value(&writer, first);
    assert(!buf.failed);
    enum tw_status status = tw_json_parse(buf.data, buf.size_bytes, "again", &second, &error);
    assert(status == TW_OK);
    /* A real such as 5.0 is written as 5 and comes back as an integer, so only the size of the
     * tree is compared here; test_json.c compares values. */
    assert(json_typeof(first) == json_typeof(second) || json_is_number(first));
    assert(json_object_size(first) == json_object_size(second));
    assert(json_array_size(first) == json_array_size(second));
    json_decref(first);
    json_decref(second);
    tw_buf_free(&buf);
    return status == TW_OK ? 0 : -1;
}
