/* Any bytes through the JSON reader; what it accepts must survive being written and read again. */
#include <assert.h>
#include <string.h>

#include "base/json.h"
#include "base/limits.h"
#include "fuzz_target.h"

static void write_value(struct tw_json_writer *writer, const json_t *value);

static void write_object(struct tw_json_writer *writer, const json_t *object)
{
    const char *key;
    json_t *item;
    tw_json_object_begin(writer);
    json_object_foreach ((json_t *)(uintptr_t)object, key, item) {
        tw_json_key(writer, key);
        write_value(writer, item);
    }
    tw_json_object_end(writer);
}

static void write_array(struct tw_json_writer *writer, const json_t *array)
{
    tw_json_array_begin(writer);
    for (size_t i = 0; i < json_array_size(array); i++) {
        write_value(writer, json_array_get(array, i));
    }
    tw_json_array_end(writer);
}

static void write_value(struct tw_json_writer *writer, const json_t *value)
{
    if (json_is_object(value)) {
        write_object(writer, value);
    } else if (json_is_array(value)) {
        write_array(writer, value);
    } else if (json_is_string(value)) {
        tw_json_string(writer, json_string_value(value), json_string_length(value));
    } else if (json_is_integer(value)) {
        tw_json_int(writer, json_integer_value(value));
    } else if (json_is_real(value)) {
        tw_json_double(writer, json_real_value(value));
    } else if (json_is_boolean(value)) {
        tw_json_bool(writer, json_is_true(value));
    } else {
        tw_json_null(writer);
    }
}

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
    write_value(&writer, first);
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
