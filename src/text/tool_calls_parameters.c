/* Calls that are parameters between tags, given as the object that they make. */
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "text/tool_calls_parts.h"

static const char begin_function[] = "<function=", end_function[] = "</function>";
static const char begin_parameter[] = "<parameter=", end_parameter[] = "</parameter>";

/* ---- what a schema allows ---- */

/* A type is a bit, 1 << json_typeof. */
enum {
    BOOLEANS = 1 << JSON_TRUE | 1 << JSON_FALSE,
    NUMBERS = 1 << JSON_INTEGER | 1 << JSON_REAL,
    ALL_TYPES =
        BOOLEANS | NUMBERS | 1 << JSON_OBJECT | 1 << JSON_ARRAY | 1 << JSON_STRING | 1 << JSON_NULL,
    MOST_SCHEMAS = 4096 /* and steps to them, looked at for one value; beyond, all may come */
};

static int types_of_names(const json_t *names)
{
    static const struct {
        const char *name;
        int types;
    } rows[] = {{"null", 1 << JSON_NULL},    {"boolean", BOOLEANS},
                {"integer", NUMBERS},        {"number", NUMBERS},
                {"array", 1 << JSON_ARRAY},  {"string", 1 << JSON_STRING},
                {"object", 1 << JSON_OBJECT}};
    const size_t n = json_is_array(names) ? json_array_size(names) : 1;
    int types = 0;
    for (size_t i = 0; i < n && types != ALL_TYPES; i++) {
        const char *name =
            json_string_value(json_is_array(names) ? json_array_get(names, i) : names);
        for (size_t k = 0; name != NULL && k < sizeof rows / sizeof rows[0]; k++) {
            types |= strcmp(name, rows[k].name) == 0 ? rows[k].types : 0;
        }
    }
    return types;
}

/* The schema that "#/a/b" means; NULL for what is not found. A step of it counts as a schema. */
static const json_t *resolve(const json_t *root, const char *reference, int *n_left)
{
    char name[TW_LIMIT_TOOL_NAME_BYTES];
    while (root != NULL && *reference != '\0' && --*n_left >= 0) {
        reference += strcspn(reference, "/");
        reference += *reference == '/';
        const size_t n = strcspn(reference, "/");
        if (n >= sizeof name) {
            return NULL;
        }
        memcpy(name, reference, n);
        name[n] = '\0';
        root = n > 0 ? json_object_get(root, name) : root;
        reference += n;
    }
    return root;
}

static int types_within(const json_t *root, const json_t *schema, int *n_left)
{
    static const char *const lists[] = {"anyOf", "oneOf", "allOf", "enum"};
    const json_t *type = json_object_get(schema, "type");
    const json_t *constant = json_object_get(schema, "const");
    const char *reference = json_string_value(json_object_get(schema, "$ref"));
    int types = type != NULL ? types_of_names(type) : ALL_TYPES;
    if (!json_is_object(schema) || --*n_left < 0) {
        return ALL_TYPES;
    }
    if (constant != NULL) {
        types &= 1 << json_typeof(constant);
    }
    if (reference != NULL) {
        types &= types_within(root, resolve(root, reference, n_left), n_left);
    }
    for (size_t k = 0; k < sizeof lists / sizeof lists[0]; k++) {
        const json_t *list = json_object_get(schema, lists[k]);
        int any = 0;
        for (size_t i = 0; i < json_array_size(list) && *n_left >= 0; i++) {
            const json_t *item = json_array_get(list, i);
            *n_left -= k == 3;
            const int one = k == 3 ? 1 << json_typeof(item) : types_within(root, item, n_left);
            any |= one;
            types &= k == 2 ? one : ALL_TYPES;
        }
        types &= json_is_array(list) ? any : ALL_TYPES;
    }
    return *n_left >= 0 ? types : ALL_TYPES;
}

static int types_of(const json_t *root, const json_t *schema)
{
    int n_left = MOST_SCHEMAS;
    return types_within(root, schema, &n_left);
}

bool tw_tool_is_string(const json_t *root, const json_t *schema)
{
    return types_of(root, schema) == 1 << JSON_STRING;
}

/* ---- values ---- */

/* The inside of a JSON string. Bytes beyond ASCII stay, so that a character may come in pieces. */
static void give_escaped(struct tw_tool_parser *parser, const char *text, size_t n_bytes)
{
    struct tw_buf out;
    tw_buf_init(&out, n_bytes * 6);
    for (size_t i = 0; i < n_bytes; i++) {
        const unsigned char byte = (unsigned char)text[i];
        if (byte == '\n' || byte == '\t') {
            tw_buf_append_text(&out, byte == '\n' ? "\\n" : "\\t");
        } else if (byte < 0x20) {
            tw_buf_append_format(&out, "\\u%04x", byte);
        } else {
            tw_buf_append(&out, "\\", byte == '"' || byte == '\\');
            tw_buf_append(&out, text + i, 1);
        }
    }
    tw_tool_give(parser, TW_TOOL_ARGUMENTS, out.data, out.size_bytes);
    tw_buf_free(&out);
}

static void give_json(struct tw_tool_parser *parser, const char *json)
{
    tw_tool_give(parser, TW_TOOL_ARGUMENTS, json, strlen(json));
}

/* The line end on either side of a value belongs to the tags. */
static struct tw_bytes without_line_ends(struct tw_bytes value)
{
    if (value.size_bytes > 0 && value.data[0] == '\n') {
        value.data++;
        value.size_bytes--;
    }
    value.size_bytes -= value.size_bytes > 0 && value.data[value.size_bytes - 1] == '\n';
    return value;
}

/* true, false and null as Python writes them, too; NULL: it is none of them. */
static const char *word_of(struct tw_bytes value, int types)
{
    static const struct {
        const char *said, *meant;
        int type;
    } rows[] = {{"true", "true", 1 << JSON_TRUE},
                {"false", "false", 1 << JSON_FALSE},
                {"null", "null", 1 << JSON_NULL},
                {"none", "null", 1 << JSON_NULL}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if ((types & rows[i].type) != 0 && value.size_bytes == strlen(rows[i].said) &&
            strncasecmp(value.data, rows[i].said, value.size_bytes) == 0) {
            return rows[i].meant;
        }
    }
    return NULL;
}

static void give_value(struct tw_tool_parser *parser, struct tw_bytes value)
{
    const size_t begin = tw_bytes_skip_spaces(value, 0), end = tw_bytes_trimmed(value);
    const struct tw_bytes bare = {value.data + begin, end > begin ? end - begin : 0};
    const char *word = word_of(bare, parser->types);
    json_t *json = NULL;
    if (word != NULL) {
        give_json(parser, word);
    } else if (tw_json_parse(bare.data, bare.size_bytes, "value", &json, NULL) == TW_OK &&
               (parser->types >> json_typeof(json) & 1) != 0) {
        tw_tool_give(parser, TW_TOOL_ARGUMENTS, bare.data, bare.size_bytes);
    } else {
        value = without_line_ends(value);
        give_json(parser, "\"");
        give_escaped(parser, value.data, value.size_bytes);
        give_json(parser, "\"");
    }
    json_decref(json);
}

/* Whether what is held is, at a place behind those asked for before, within a string of an object
 * or a list: then a tag there is text. */
static bool is_in_string(struct tw_tool_parser *parser, size_t at)
{
    const struct tw_bytes held = tw_tool_held(parser);
    for (; parser->is_json && parser->n_scanned < at; parser->n_scanned++) {
        const char byte = held.data[parser->n_scanned];
        const bool is_around =
            parser->scan.depth == 0 && byte != 0 && strchr(" \t\r\n", byte) != NULL;
        if (!is_around) {
            parser->is_json =
                !tw_json_scan_is_over(&parser->scan) && tw_json_scan_push(&parser->scan, byte);
        }
    }
    return parser->is_json && parser->scan.in_string;
}

static enum tw_tool_step read_value(struct tw_tool_parser *parser)
{
    const size_t n_tag = sizeof end_parameter - 1;
    const struct tw_bytes held = tw_tool_held(parser);
    size_t end = parser->at > n_tag ? parser->at - n_tag : 0; /* was looked through */
    for (bool is_text = true; is_text;) {
        end +=
            tw_bytes_find((struct tw_bytes){held.data + end, held.size_bytes - end}, end_parameter);
        is_text = held.size_bytes - end >= n_tag && is_in_string(parser, end);
        end += is_text;
    }
    parser->at = held.size_bytes;
    if (held.size_bytes - end < n_tag) {
        return TW_TOOL_WAIT;
    }
    give_value(parser, (struct tw_bytes){held.data, end});
    tw_tool_drop(parser, end + n_tag);
    parser->state = TOOL_AT_PARAMETER;
    return TW_TOOL_ON;
}

static enum tw_tool_step read_string(struct tw_tool_parser *parser)
{
    if (!parser->has_value) {
        parser->has_value = true;
        tw_tool_drop(parser, parser->held.data[0] == '\n');
    }
    const struct tw_bytes held = tw_tool_held(parser);
    const size_t end = tw_bytes_find(held, end_parameter);
    const bool is_over = held.size_bytes - end >= sizeof end_parameter - 1;
    const size_t n_value = end - (end > 0 && held.data[end - 1] == '\n');
    give_escaped(parser, held.data, n_value);
    tw_tool_drop(parser, is_over ? end + sizeof end_parameter - 1 : n_value);
    if (is_over) {
        give_json(parser, "\"");
        parser->state = TOOL_AT_PARAMETER;
    }
    return is_over ? TW_TOOL_ON : TW_TOOL_WAIT;
}

/* ---- tags ---- */

/* A name up to its '>', which is at *ret_end. */
static enum tw_tool_step find_name_end(const struct tw_tool_parser *parser, size_t at,
                                       size_t *ret_end)
{
    const struct tw_bytes held = tw_tool_held(parser);
    for (size_t i = at; i < held.size_bytes && i - at < TW_LIMIT_TOOL_NAME_BYTES; i++) {
        if (held.data[i] == '>' && i > at) {
            *ret_end = i;
            return TW_TOOL_ON;
        }
        if (strchr("<>\n", held.data[i]) != NULL) { /* or a NUL */
            return TW_TOOL_WRONG;
        }
    }
    return held.size_bytes - at < TW_LIMIT_TOOL_NAME_BYTES ? TW_TOOL_WAIT : TW_TOOL_WRONG;
}

/* The next parameter's name, or the end of the function: name.data is NULL. */
static enum tw_tool_step find_tag(const struct tw_tool_parser *parser, size_t at,
                                  struct tw_bytes *ret_name, size_t *ret_end)
{
    at = tw_bytes_skip_spaces(tw_tool_held(parser), at);
    const enum tw_tool_step is_end = tw_tool_match(parser, at, end_function);
    if (is_end != TW_TOOL_WRONG) {
        *ret_name = (struct tw_bytes){NULL, 0};
        *ret_end = at + sizeof end_function - 1;
        return is_end;
    }
    enum tw_tool_step is_begin = tw_tool_match(parser, at, begin_parameter);
    if (is_begin == TW_TOOL_ON) {
        at += sizeof begin_parameter - 1;
        is_begin = find_name_end(parser, at, ret_end);
    }
    if (is_begin == TW_TOOL_ON) {
        *ret_name = (struct tw_bytes){parser->held.data + at, *ret_end - at};
        ++*ret_end;
    }
    return is_begin;
}

static const json_t *schema_of(const json_t *tools, struct tw_bytes name)
{
    for (size_t i = 0; i < json_array_size(tools); i++) {
        const json_t *function = json_object_get(json_array_get(tools, i), "function");
        const json_t *own = json_object_get(function, "name");
        if (tw_bytes_equal((struct tw_bytes){json_string_value(own), json_string_length(own)},
                           name)) {
            return json_object_get(function, "parameters");
        }
    }
    return NULL;
}

/* Nothing is given before it is clear that the call goes on as one. */
static enum tw_tool_step read_function(struct tw_tool_parser *parser)
{
    size_t at = tw_bytes_skip_spaces(tw_tool_held(parser), strlen(parser->form->tag)), end = 0;
    struct tw_bytes unused;
    enum tw_tool_step step = tw_tool_match(parser, at, begin_function);
    if (step == TW_TOOL_ON) {
        at += sizeof begin_function - 1;
        step = find_name_end(parser, at, &end);
    }
    size_t tag_end;
    if (step == TW_TOOL_ON) {
        step = find_tag(parser, end + 1, &unused, &tag_end);
    }
    if (step == TW_TOOL_ON) {
        const struct tw_bytes name = {parser->held.data + at, end - at};
        parser->schema = schema_of(parser->tools, name);
        parser->is_given = parser->has_calls = true;
        parser->has_parameters = false;
        tw_tool_give(parser, TW_TOOL_CALL, name.data, name.size_bytes);
        give_json(parser, "{");
        tw_tool_drop(parser, end + 1);
        parser->state = TOOL_AT_PARAMETER;
    }
    return step;
}

static const json_t *member(const json_t *object, struct tw_bytes name)
{
    return json_object_getn(object, name.data, name.size_bytes);
}

static enum tw_tool_step read_parameter(struct tw_tool_parser *parser)
{
    struct tw_bytes name;
    size_t end;
    parser->at = 0;
    const enum tw_tool_step step = find_tag(parser, 0, &name, &end);
    if (step != TW_TOOL_ON) {
        return step;
    }
    if (name.data == NULL) {
        give_json(parser, "}");
        parser->state = TOOL_AT_CLOSE;
    } else {
        const json_t *schema = member(json_object_get(parser->schema, "properties"), name);
        /* What is not declared is a string, as nothing says otherwise. */
        parser->types = schema != NULL ? types_of(parser->schema, schema) : 1 << JSON_STRING;
        const bool is_string = parser->types == 1 << JSON_STRING;
        give_json(parser, parser->has_parameters ? ", \"" : "\"");
        give_escaped(parser, name.data, name.size_bytes);
        give_json(parser, is_string ? "\": \"" : "\": ");
        parser->has_parameters = true;
        parser->is_json = true;
        parser->n_scanned = 0;
        tw_json_scan_begin(&parser->scan);
        parser->has_value = false;
        parser->state = is_string ? TOOL_AT_STRING : TOOL_AT_VALUE;
    }
    tw_tool_drop(parser, end);
    parser->at = 0;
    return TW_TOOL_ON;
}

enum tw_tool_step tw_tool_parameters_read(struct tw_tool_parser *parser)
{
    switch (parser->state) {
    case TOOL_AT_FUNCTION:
        return read_function(parser);
    case TOOL_AT_STRING:
        return read_string(parser);
    case TOOL_AT_VALUE:
        return read_value(parser);
    default:
        return read_parameter(parser);
    }
}
