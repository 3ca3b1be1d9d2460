/* Any bytes as a request of the admin API: a path, a newline, a body. Values within the bounds of
 * their fields, or a sentence. */
#include <assert.h>
#include <string.h>

#include "api/admin.h"
#include "fuzz_target.h"

#define NOW_NS INT64_C(1764201600000000000)

static void check(const struct tw_field *field, const struct tw_field_value *value)
{
    if (!value->is_set) {
        assert(!field->is_required);
        return;
    }
    switch (field->kind) {
    case TW_FIELD_INTEGER:
    case TW_FIELD_TOKENS:
    case TW_FIELD_AMOUNT:
        assert(value->integer >= field->least && value->integer <= field->most);
        break;
    case TW_FIELD_WHEN:
    case TW_FIELD_DURATION:
        assert(value->integer >= 0);
        break;
    case TW_FIELD_NAME:
        assert(tw_commands_is_name(value->text, strlen(value->text)));
        break;
    case TW_FIELD_PATH:
    case TW_FIELD_TEXT:
        assert(value->text[0] != '\0' && strpbrk(value->text, "\n\r\x1b") == NULL);
        break;
    case TW_FIELD_CHOICE:
        assert(strcmp(field->choices[value->integer], value->text) == 0);
        break;
    case TW_FIELD_LIST:
        assert(json_array_size(value->list) <= TW_LIMIT_HUB_LIST_NAMES);
        break;
    case TW_FIELD_FLAG:
        assert(value->integer == 0 || value->integer == 1);
        break;
    case TW_FIELD_LIMIT:
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = size > 0 ? memchr(data, '\n', size) : NULL;
    const struct tw_hub_verb *verb = NULL;
    struct tw_field_value values[TW_LIMIT_HUB_FIELDS];
    struct tw_error error = {.text = ""};
    json_t *command = NULL;
    char path[128] = "";
    if (end == NULL || (size_t)(end - data) >= sizeof path) {
        return 0;
    }
    memcpy(path, data, (size_t)(end - data));
    const size_t body_bytes = size - (size_t)(end - data) - 1;
    if (tw_admin_read(path, (const char *)end + 1, body_bytes, &verb, &command, &error) != TW_OK) {
        assert(error.text[0] != '\0');
        return 0;
    }
    if (tw_commands_read(verb, json_object_get(command, "fields"), NOW_NS, values, &error) ==
        TW_OK) {
        for (size_t i = 0; i < verb->n_fields; i++) {
            check(&verb->fields[i], &values[i]);
        }
    } else {
        assert(error.text[0] != '\0');
    }
    json_decref(command);
    return 0;
}
