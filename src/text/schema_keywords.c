#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/schema_parts.h"

/* What a keyword's value must be; the messages stand in `wishes`. */
enum keyword_kind {
    KEYWORD_REFUSED,
    KEYWORD_IGNORED, /* says nothing about values */
    KEYWORD_OTHER,   /* looked at where it is used */
    KEYWORD_SCHEMA,
    KEYWORD_SCHEMAS,      /* a list, not empty */
    KEYWORD_SCHEMA_TABLE, /* an object whose values are schemas */
    KEYWORD_NUMBER,
    KEYWORD_COUNT,
    KEYWORD_STRING,
    KEYWORD_NAMES, /* a list of strings */
    KEYWORD_VALUES,
    KEYWORD_FALSE /* only false can be enforced */
};

static const char *const wishes[] = {
    [KEYWORD_SCHEMA] = "it must be a schema",
    [KEYWORD_SCHEMAS] = "it must be a list of schemas, not empty",
    [KEYWORD_SCHEMA_TABLE] = "it must be an object of schemas",
    [KEYWORD_NUMBER] = "it must be a number",
    [KEYWORD_COUNT] = "it must be a whole number, not negative",
    [KEYWORD_STRING] = "it must be a string",
    [KEYWORD_NAMES] = "it must be a list of strings",
    [KEYWORD_VALUES] = "it must be a list of values, not empty",
    [KEYWORD_FALSE] = "it must be true or false",
};

/* clang-format off */
static const struct {
    const char *name;
    enum keyword_kind kind;
} keywords[] = {
    {"$ref", KEYWORD_STRING},                  {"type", KEYWORD_OTHER},
    {"properties", KEYWORD_SCHEMA_TABLE},      {"required", KEYWORD_NAMES},
    {"additionalProperties", KEYWORD_SCHEMA},  {"minProperties", KEYWORD_COUNT},
    {"maxProperties", KEYWORD_COUNT},          {"enum", KEYWORD_VALUES},
    {"const", KEYWORD_OTHER},                  {"anyOf", KEYWORD_SCHEMAS},
    {"oneOf", KEYWORD_SCHEMAS},                {"allOf", KEYWORD_SCHEMAS},
    {"items", KEYWORD_SCHEMA},                 {"prefixItems", KEYWORD_SCHEMAS},
    {"minItems", KEYWORD_COUNT},               {"maxItems", KEYWORD_COUNT},
    {"uniqueItems", KEYWORD_FALSE},            {"pattern", KEYWORD_STRING},
    {"format", KEYWORD_STRING},                {"minLength", KEYWORD_COUNT},
    {"maxLength", KEYWORD_COUNT},              {"minimum", KEYWORD_NUMBER},
    {"maximum", KEYWORD_NUMBER},               {"exclusiveMinimum", KEYWORD_NUMBER},
    {"exclusiveMaximum", KEYWORD_NUMBER},      {"multipleOf", KEYWORD_NUMBER},
    {"$defs", KEYWORD_IGNORED},                {"definitions", KEYWORD_IGNORED},
    {"$schema", KEYWORD_IGNORED},              {"$id", KEYWORD_IGNORED},
    {"$comment", KEYWORD_IGNORED},             {"title", KEYWORD_IGNORED},
    {"description", KEYWORD_IGNORED},          {"default", KEYWORD_IGNORED},
    {"example", KEYWORD_IGNORED},              {"examples", KEYWORD_IGNORED},
    {"deprecated", KEYWORD_IGNORED},           {"readOnly", KEYWORD_IGNORED},
    {"writeOnly", KEYWORD_IGNORED},            {"discriminator", KEYWORD_IGNORED},
};
/* clang-format on */

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
        bool is_escaped = *p == '~' || *p == '/';
        tw_buf_append(place, is_escaped ? (*p == '~' ? "~0" : "~1") : p, is_escaped ? 2 : 1);
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
    bool found = at == wanted;
    json_object_foreach ((json_t *)(uintptr_t)at, name, child) {
        found = found || find_in_child(child, wanted, name, place);
    }
    for (size_t i = 0; i < json_array_size(at) && !found; i++) {
        char number[24];
        snprintf(number, sizeof number, "%zu", i);
        found = find_in_child(json_array_get(at, i), wanted, number, place);
    }
    return found;
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

static bool is_list_of(const json_t *list, bool (*is_right)(const json_t *))
{
    size_t n = 0;
    while (n < json_array_size(list) && is_right(json_array_get(list, n))) {
        n++;
    }
    return json_is_array(list) && n == json_array_size(list);
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

static bool is_string(const json_t *value)
{
    return json_is_string(value);
}

static bool is_right(enum keyword_kind kind, const json_t *value)
{
    double number = json_number_value(value);
    switch (kind) {
    case KEYWORD_SCHEMA:
        return is_schema(value);
    case KEYWORD_SCHEMAS:
        return is_list_of(value, is_schema) && json_array_size(value) > 0;
    case KEYWORD_SCHEMA_TABLE:
        return is_schema_table(value);
    case KEYWORD_NUMBER:
        return json_is_number(value);
    case KEYWORD_COUNT:
        return json_is_number(value) && number >= 0 && floor(number) == number;
    case KEYWORD_STRING:
        return json_is_string(value);
    case KEYWORD_NAMES:
        return is_list_of(value, is_string);
    case KEYWORD_VALUES:
        return json_array_size(value) > 0;
    case KEYWORD_FALSE:
        return json_is_boolean(value);
    case KEYWORD_REFUSED:
    case KEYWORD_IGNORED:
    case KEYWORD_OTHER:
        break;
    }
    return true;
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

void tw_schema_check(struct tw_schema_compiler *c, const json_t *schema)
{
    const char *name;
    const json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)schema, name, value) {
        enum keyword_kind kind = kind_of(name);
        if (!tw_budget_spend(c->budget, 10 + json_array_size(value) + json_object_size(value))) {
            return;
        }
        if (!is_right(kind, value)) {
            tw_schema_fail(c, TW_ERR_FORMAT, schema, name, "%s", wishes[kind]);
        }
        if (kind == KEYWORD_REFUSED || (kind == KEYWORD_FALSE && json_is_true(value))) {
            tw_schema_fail(c, TW_ERR_UNSUPPORTED, schema, name,
                           "this keyword cannot be enforced; take it out of the schema");
        }
    }
}

static void read_count(struct tw_schema_compiler *c, const json_t *schema, const char *keyword,
                       bool is_least, uint32_t *count)
{
    const json_t *value = json_object_get(schema, keyword);
    double number = json_number_value(value);
    if (number > TW_LIMIT_SCHEMA_REPEAT) {
        tw_schema_fail(c, TW_ERR_LIMIT, schema, keyword, "at most %d can be enforced",
                       TW_LIMIT_SCHEMA_REPEAT);
    } else if (value != NULL && (is_least ? number > *count : number < *count)) {
        *count = (uint32_t)number;
    }
}

struct tw_schema_counts tw_schema_read_counts(struct tw_schema_compiler *c, uint32_t conjunction,
                                              const char *least, const char *most)
{
    struct tw_schema_counts counts = {0, TW_EXPR_NO_END};
    const json_t *schema;
    for (uint32_t i = 0; (schema = tw_schema_at(c, conjunction, i)) != NULL; i++) {
        read_count(c, schema, least, true, &counts.least);
        read_count(c, schema, most, false, &counts.most);
    }
    return counts;
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
