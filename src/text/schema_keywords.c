#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/schema_parts.h"

enum keyword_kind {
    KEYWORD_IGNORED, /* says nothing about values */
    KEYWORD_REFUSED,
    KEYWORD_SCHEMA,
    KEYWORD_SCHEMA_OR_LIST,
    KEYWORD_SCHEMAS,      /* a list of schemas, not empty */
    KEYWORD_SCHEMA_TABLE, /* an object whose values are schemas */
    KEYWORD_NUMBER,
    KEYWORD_COUNT,
    KEYWORD_STRING,
    KEYWORD_NAMES, /* a list of strings */
    KEYWORD_VALUES,
    KEYWORD_FALSE, /* only false can be enforced */
    KEYWORD_OTHER  /* looked at where it is used */
};

static const struct {
    const char *name;
    enum keyword_kind kind;
} keywords[] = {
    {"$ref", KEYWORD_STRING},
    {"type", KEYWORD_OTHER},
    {"properties", KEYWORD_SCHEMA_TABLE},
    {"required", KEYWORD_NAMES},
    {"additionalProperties", KEYWORD_SCHEMA},
    {"patternProperties", KEYWORD_SCHEMA_TABLE},
    {"minProperties", KEYWORD_COUNT},
    {"maxProperties", KEYWORD_COUNT},
    {"enum", KEYWORD_VALUES},
    {"const", KEYWORD_OTHER},
    {"anyOf", KEYWORD_SCHEMAS},
    {"oneOf", KEYWORD_SCHEMAS},
    {"allOf", KEYWORD_SCHEMAS},
    {"items", KEYWORD_SCHEMA_OR_LIST},
    {"prefixItems", KEYWORD_SCHEMAS},
    {"additionalItems", KEYWORD_SCHEMA},
    {"minItems", KEYWORD_COUNT},
    {"maxItems", KEYWORD_COUNT},
    {"uniqueItems", KEYWORD_FALSE},
    {"pattern", KEYWORD_STRING},
    {"format", KEYWORD_STRING},
    {"minLength", KEYWORD_COUNT},
    {"maxLength", KEYWORD_COUNT},
    {"minimum", KEYWORD_NUMBER},
    {"maximum", KEYWORD_NUMBER},
    {"exclusiveMinimum", KEYWORD_NUMBER},
    {"exclusiveMaximum", KEYWORD_NUMBER},
    {"multipleOf", KEYWORD_NUMBER},
    {"$defs", KEYWORD_IGNORED},
    {"definitions", KEYWORD_IGNORED},
    {"$schema", KEYWORD_IGNORED},
    {"$id", KEYWORD_IGNORED},
    {"$comment", KEYWORD_IGNORED},
    {"title", KEYWORD_IGNORED},
    {"description", KEYWORD_IGNORED},
    {"default", KEYWORD_IGNORED},
    {"example", KEYWORD_IGNORED},
    {"examples", KEYWORD_IGNORED},
    {"deprecated", KEYWORD_IGNORED},
    {"readOnly", KEYWORD_IGNORED},
    {"writeOnly", KEYWORD_IGNORED},
    {"discriminator", KEYWORD_IGNORED},
};

bool tw_schema_goes_on(const struct tw_schema_compiler *c)
{
    return c->status == TW_OK && c->budget->status == TW_OK;
}

/* ---- places ---- */

static bool find_place(const json_t *at, const json_t *wanted, struct tw_buf *place);

static bool find_in_child(const json_t *child, const json_t *wanted, const char *name,
                          struct tw_buf *place)
{
    size_t before = place->size_bytes;
    tw_buf_append_text(place, "/");
    for (const char *p = name; *p != '\0'; p++) {
        tw_buf_append(place,
                      *p == '~'   ? "~0"
                      : *p == '/' ? "~1"
                                  : p,
                      *p == '~' || *p == '/' ? 2 : 1);
    }
    if (find_place(child, wanted, place)) {
        return true;
    }
    place->size_bytes = before;
    place->failed = false;
    return false;
}

/* Only a schema's own address tells where it stands, and only a failure asks. */
static bool find_place(const json_t *at, const json_t *wanted, struct tw_buf *place)
{
    const char *name;
    const json_t *child;
    if (at == wanted) {
        return true;
    }
    json_object_foreach ((json_t *)(uintptr_t)at, name, child) {
        if (find_in_child(child, wanted, name, place)) {
            return true;
        }
    }
    for (size_t i = 0; i < json_array_size(at); i++) {
        char number[24];
        snprintf(number, sizeof number, "%zu", i);
        if (find_in_child(json_array_get(at, i), wanted, number, place)) {
            return true;
        }
    }
    return false;
}

void tw_schema_fail(struct tw_schema_compiler *c, enum tw_status status, const json_t *schema,
                    const char *keyword, const char *format, ...)
{
    if (!tw_schema_goes_on(c)) {
        return;
    }
    struct tw_buf place;
    char text[200];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    tw_buf_init(&place, 4096);
    bool found = find_place(c->root, schema, &place) && tw_buf_append(&place, "", 1);
    c->status = tw_error_set(c->error, status, TW_NO_POSITION, "schema, #%.80s%s%.40s: %s",
                             found ? place.data : "/...", keyword != NULL ? "/" : "",
                             keyword != NULL ? keyword : "", text);
    tw_buf_free(&place);
}

/* ---- checks ---- */

static bool is_schema(const json_t *value)
{
    return json_is_object(value) || json_is_boolean(value);
}

static bool are_schemas(const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (!is_schema(json_array_get(list, i))) {
            return false;
        }
    }
    return json_array_size(list) > 0;
}

static bool is_schema_table(const json_t *table)
{
    const char *name;
    json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)table, name, value) {
        if (!is_schema(value)) {
            return false;
        }
    }
    return json_is_object(table);
}

static bool are_names(const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (!json_is_string(json_array_get(list, i))) {
            return false;
        }
    }
    return json_is_array(list);
}

static bool is_count(const json_t *value)
{
    return json_is_number(value) && json_number_value(value) >= 0 &&
           floor(json_number_value(value)) == json_number_value(value);
}

/* What is wrong with a keyword's value, or NULL. */
static const char *complaint(enum keyword_kind kind, const json_t *value)
{
    switch (kind) {
    case KEYWORD_SCHEMA:
        return is_schema(value) ? NULL : "it must be a schema";
    case KEYWORD_SCHEMA_OR_LIST:
        return is_schema(value) || json_is_array(value) ? NULL : "it must be a schema";
    case KEYWORD_SCHEMAS:
        return are_schemas(value) ? NULL : "it must be a list of schemas, not empty";
    case KEYWORD_SCHEMA_TABLE:
        return is_schema_table(value) ? NULL : "it must be an object of schemas";
    case KEYWORD_NUMBER:
        return json_is_number(value) ? NULL : "it must be a number";
    case KEYWORD_COUNT:
        return is_count(value) ? NULL : "it must be a whole number, not negative";
    case KEYWORD_STRING:
        return json_is_string(value) ? NULL : "it must be a string";
    case KEYWORD_NAMES:
        return are_names(value) ? NULL : "it must be a list of strings";
    case KEYWORD_VALUES:
        return json_array_size(value) > 0 ? NULL : "it must be a list of values, not empty";
    case KEYWORD_FALSE:
        return json_is_boolean(value) ? NULL : "it must be true or false";
    case KEYWORD_IGNORED:
    case KEYWORD_REFUSED:
    case KEYWORD_OTHER:
        break;
    }
    return NULL;
}

static enum keyword_kind kind_of(const char *name)
{
    for (size_t i = 0; i < sizeof keywords / sizeof keywords[0]; i++) {
        if (strcmp(name, keywords[i].name) == 0) {
            return keywords[i].kind;
        }
    }
    return strncmp(name, "x-", 2) == 0 ? KEYWORD_IGNORED : KEYWORD_REFUSED;
}

static bool items_are_right(const json_t *items)
{
    return !json_is_array(items) || json_array_size(items) == 0 || are_schemas(items);
}

void tw_schema_check(struct tw_schema_compiler *c, const json_t *schema)
{
    const char *name;
    const json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)schema, name, value) {
        enum keyword_kind kind = kind_of(name);
        if (!tw_budget_spend(c->budget, 10 + json_array_size(value) + json_object_size(value))) {
            return;
        }
        const char *wrong = complaint(kind, value);
        if (wrong != NULL || (strcmp(name, "items") == 0 && !items_are_right(value))) {
            tw_schema_fail(c, TW_ERR_FORMAT, schema, name, "%s",
                           wrong != NULL ? wrong : "it must be a schema");
        }
        if (kind == KEYWORD_REFUSED || (kind == KEYWORD_FALSE && json_is_true(value))) {
            tw_schema_fail(c, TW_ERR_UNSUPPORTED, schema, name,
                           "this keyword cannot be enforced; take it out of the schema");
        }
    }
}

void tw_schema_read_count(struct tw_schema_compiler *c, const json_t *schema, const char *keyword,
                          bool is_least, uint32_t *count)
{
    const json_t *value = json_object_get(schema, keyword);
    if (value == NULL) {
        return;
    }
    double number = json_number_value(value);
    if (number > TW_LIMIT_SCHEMA_REPEAT) {
        tw_schema_fail(c, TW_ERR_LIMIT, schema, keyword, "at most %d can be enforced",
                       TW_LIMIT_SCHEMA_REPEAT);
        return;
    }
    uint32_t n = (uint32_t)number;
    *count = is_least ? (n > *count ? n : *count) : (n < *count ? n : *count);
}

/* ---- references ---- */

/* One step of a JSON pointer: "~1" is "/", "~0" is "~", and "%25" is "%", as in an address. */
static size_t read_step(const char *text, char *step, size_t step_bytes)
{
    size_t n = 0, i = 0;
    while (text[i] != '\0' && text[i] != '/' && n + 1 < step_bytes) {
        char hex[3] = {0};
        if (text[i] == '%' && text[i + 1] != '\0' && text[i + 2] != '\0') {
            memcpy(hex, text + i + 1, 2);
            step[n++] = (char)strtol(hex, NULL, 16);
            i += 3;
        } else if (text[i] == '~' && (text[i + 1] == '0' || text[i + 1] == '1')) {
            step[n++] = text[i + 1] == '0' ? '~' : '/';
            i += 2;
        } else {
            step[n++] = text[i++];
        }
    }
    step[n] = '\0';
    return i;
}

static const json_t *take_step(const json_t *at, const char *step)
{
    if (json_is_array(at) && step[0] >= '0' && step[0] <= '9') {
        return json_array_get(at, strtoul(step, NULL, 10));
    }
    return json_object_get(at, step);
}

const json_t *tw_schema_resolve(struct tw_schema_compiler *c, const json_t *schema)
{
    const char *ref = json_string_value(json_object_get(schema, "$ref"));
    const json_t *at = c->root;
    if (ref[0] != '#' || (ref[1] != '\0' && ref[1] != '/')) {
        tw_schema_fail(c, TW_ERR_UNSUPPORTED, schema, "$ref",
                       "only references into this schema (#/...) can be followed, not '%.60s'",
                       ref);
        return NULL;
    }
    size_t i = 1;
    while (at != NULL && ref[i] == '/') {
        char step[1024];
        i += 1 + read_step(ref + i + 1, step, sizeof step);
        at = take_step(at, step);
    }
    if (at == NULL || ref[i] != '\0' || !is_schema(at)) {
        tw_schema_fail(c, TW_ERR_FORMAT, schema, "$ref", "there is no schema at '%.80s'", ref);
        return NULL;
    }
    return at;
}
