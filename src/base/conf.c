#include "base/conf.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

#include "base/file.h"

/* What the library says while it reads: the mistake first, then where it was, innermost first. */
struct messages {
    char mistake[160];
    char places[2][120];
    int n_places;
    bool in_backtrace;
};

static void without_newline(char *text)
{
    text[strcspn(text, "\n")] = '\0';
}

static __attribute__((format(printf, 3, 0))) void listen(cyaml_log_t level, void *context,
                                                         const char *format, va_list args)
{
    (void)level;
    struct messages *messages = context;
    char line[256];
    vsnprintf(line, sizeof line, format, args);
    without_newline(line);
    const char *text = strncmp(line, "Load: ", 6) == 0 ? line + 6 : line;
    text += strspn(text, " ");
    if (strncmp(text, "Backtrace", 9) == 0) {
        messages->in_backtrace = true;
    } else if (!messages->in_backtrace) {
        snprintf(messages->mistake, sizeof messages->mistake, "%.150s", text);
    } else if (messages->n_places < 2) {
        snprintf(messages->places[messages->n_places++], sizeof messages->places[0], "%.110s",
                 text);
    }
}

/* What is missing is missing from the mapping around the key that was read last. */
static const char *place_of(const struct messages *messages)
{
    return messages->places[strncmp(messages->mistake, "Missing", 7) == 0];
}

/* libcyaml asks for memory through this, as malloc, realloc and free in one. */
static const cyaml_config_t base_config = {
    .log_level = CYAML_LOG_WARNING,
    .log_fn = listen,
    .mem_fn = cyaml_mem,
    .flags = CYAML_CFG_NO_ALIAS,
};

/* ---- values to the last letter ---- */

/* libcyaml reads a number as far as it goes, and takes every word but a few as yes. So a text that
 * it has accepted is gone through once more, along the schema. */
struct checker {
    yaml_parser_t parser;
    const char *name;
    struct tw_error *error;
};

static size_t skip_digits(const char **text)
{
    size_t n = strspn(*text, "0123456789");
    *text += n;
    return n;
}

static void skip_sign(const char **text)
{
    *text += **text == '-' || **text == '+';
}

static bool is_unsigned(const char *text)
{
    bool is_octal = text[0] == '0' && text[1] != '\0';
    return skip_digits(&text) > 0 && *text == '\0' && !is_octal;
}

static bool is_real(const char *text)
{
    skip_sign(&text);
    size_t n_digits = skip_digits(&text);
    text += *text == '.';
    n_digits += skip_digits(&text);
    if (*text == 'e' || *text == 'E') {
        text++;
        skip_sign(&text);
        if (skip_digits(&text) == 0) {
            return false;
        }
    }
    return n_digits > 0 && *text == '\0';
}

static bool is_switch(const char *text)
{
    static const char *const words[] = {"true", "false", "yes", "no"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(text, words[i]) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_one_of(const char *text, const cyaml_schema_value_t *schema)
{
    for (uint32_t i = 0; i < schema->enumeration.count; i++) {
        if (strcmp(text, schema->enumeration.strings[i].str) == 0) {
            return true;
        }
    }
    return false;
}

/* "one of f32, bf16", as far as there is room. */
static const char *list_words(const cyaml_schema_value_t *schema, char *words, size_t n_bytes)
{
    size_t n = (size_t)snprintf(words, n_bytes, "one of");
    for (uint32_t i = 0; i < schema->enumeration.count && n < n_bytes; i++) {
        n += (size_t)snprintf(words + n, n_bytes - n, "%s %s", i > 0 ? "," : "",
                              schema->enumeration.strings[i].str);
    }
    return words;
}

/* schema: NULL where nothing is known of the value. */
static enum tw_status check_scalar(struct checker *checker, const yaml_event_t *event,
                                   const cyaml_schema_value_t *schema)
{
    const char *text = (const char *)event->data.scalar.value, *wanted = NULL;
    char words[120];
    if (schema == NULL) {
        return TW_OK;
    }
    if (schema->type == CYAML_UINT && !is_unsigned(text)) {
        wanted = "a whole number";
    } else if (schema->type == CYAML_FLOAT && !is_real(text)) {
        wanted = "a number";
    } else if (schema->type == CYAML_BOOL && !is_switch(text)) {
        wanted = "true, false, yes or no";
    } else if (schema->type == CYAML_ENUM && !is_one_of(text, schema)) {
        wanted = list_words(schema, words, sizeof words);
    }
    if (wanted == NULL) {
        return TW_OK;
    }
    return tw_error_set(checker->error, TW_ERR_FORMAT, TW_NO_POSITION,
                        "'%.100s': '%.40s' is not %s (line: %zu, column: %zu)", checker->name, text,
                        wanted, event->start_mark.line + 1, event->start_mark.column + 1);
}

static enum tw_status next_event(struct checker *checker, yaml_event_t *ret_event)
{
    if (yaml_parser_parse(&checker->parser, ret_event) != 0) {
        return TW_OK;
    }
    const char *problem = checker->parser.problem;
    return tw_error_set(
        checker->error, TW_ERR_FORMAT, TW_NO_POSITION, "'%.100s': %s (line: %zu, column: %zu)",
        checker->name, problem != NULL ? problem : "it cannot be read",
        checker->parser.problem_mark.line + 1, checker->parser.problem_mark.column + 1);
}

/* NULL for what is no key of a mapping, or is given where there should be none. */
static const cyaml_schema_value_t *value_of(const cyaml_schema_value_t *schema,
                                            const yaml_event_t *key)
{
    bool has_fields = schema != NULL && schema->type == CYAML_MAPPING;
    const cyaml_schema_field_t *field = has_fields ? schema->mapping.fields : NULL;
    while (field != NULL && field->key != NULL) {
        if (key->type == YAML_SCALAR_EVENT &&
            strcmp(field->key, (const char *)key->data.scalar.value) == 0) {
            return &field->value;
        }
        field++;
    }
    return NULL;
}

/* The value that begins with event, whole; schemas do not contain themselves. What has another form
 * than its schema is for libcyaml to say, so it is gone through without one. */
static enum tw_status check_value(struct checker *checker, const yaml_event_t *event,
                                  const cyaml_schema_value_t *schema)
{
    if (event->type == YAML_SCALAR_EVENT) {
        return check_scalar(checker, event, schema);
    }
    bool is_sequence = event->type == YAML_SEQUENCE_START_EVENT, is_key = !is_sequence;
    if (!is_sequence && event->type != YAML_MAPPING_START_EVENT) {
        return TW_OK; /* an alias, which libcyaml refuses */
    }
    bool has_entries = is_sequence && schema != NULL && schema->type == CYAML_SEQUENCE;
    const cyaml_schema_value_t *inner = has_entries ? schema->sequence.entry : NULL;
    enum tw_status status = TW_OK;
    for (bool is_end = false; status == TW_OK && !is_end;) {
        yaml_event_t next;
        status = next_event(checker, &next);
        if (status != TW_OK) {
            break;
        }
        is_end = next.type == YAML_SEQUENCE_END_EVENT || next.type == YAML_MAPPING_END_EVENT;
        inner = is_key ? value_of(schema, &next) : inner;
        status = is_end ? TW_OK : check_value(checker, &next, is_key ? NULL : inner);
        is_key = !is_sequence && !is_key;
        yaml_event_delete(&next);
    }
    return status;
}

/* Texts are C texts for libcyaml: what stands behind a zero byte ("\0") would be lost. */
static enum tw_status check_zero(const struct checker *checker, const yaml_event_t *event)
{
    if (event->type != YAML_SCALAR_EVENT ||
        memchr(event->data.scalar.value, '\0', event->data.scalar.length) == NULL) {
        return TW_OK;
    }
    return tw_error_set(checker->error, TW_ERR_FORMAT, TW_NO_POSITION,
                        "'%.100s': a text with a zero byte in it (line: %zu, column: %zu)",
                        checker->name, event->start_mark.line + 1, event->start_mark.column + 1);
}

/* All of the text is YAML (libcyaml does not say in which line it is not) and, where there is a
 * schema, its mapping holds values of the schema's types. */
static enum tw_status check_text(const char *text, size_t text_bytes, const char *name,
                                 const cyaml_schema_value_t *schema, struct tw_error *error)
{
    struct checker checker = {.name = name, .error = error};
    if (yaml_parser_initialize(&checker.parser) == 0) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "'%.120s': no memory", name);
    }
    yaml_parser_set_input_string(&checker.parser, (const unsigned char *)text, text_bytes);
    enum tw_status status = TW_OK;
    for (bool is_last = false; status == TW_OK && !is_last;) {
        yaml_event_t event;
        status = next_event(&checker, &event);
        if (status != TW_OK) {
            break;
        }
        is_last = event.type == YAML_STREAM_END_EVENT;
        status = check_zero(&checker, &event);
        if (status == TW_OK && schema != NULL && event.type == YAML_MAPPING_START_EVENT) {
            status = check_value(&checker, &event, schema);
            is_last = true;
        }
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&checker.parser);
    return status;
}

/* ---- what takes libyaml long ---- */

/* How far a token leads into lists and mappings, or out of them. */
static int step_of(yaml_token_type_t type)
{
    static const signed char steps[] = {
        [YAML_BLOCK_SEQUENCE_START_TOKEN] = 1, [YAML_BLOCK_MAPPING_START_TOKEN] = 1,
        [YAML_FLOW_SEQUENCE_START_TOKEN] = 1,  [YAML_FLOW_MAPPING_START_TOKEN] = 1,
        [YAML_BLOCK_END_TOKEN] = -1,           [YAML_FLOW_SEQUENCE_END_TOKEN] = -1,
        [YAML_FLOW_MAPPING_END_TOKEN] = -1,
    };
    return type < sizeof steps ? steps[type] : 0;
}

static enum tw_status check_token(const char *name, const yaml_token_t *token, int depth,
                                  struct tw_error *error)
{
    size_t line = token->start_mark.line + 1, column = token->start_mark.column + 1;
    if (token->type == YAML_TAG_DIRECTIVE_TOKEN || token->type == YAML_VERSION_DIRECTIVE_TOKEN) {
        return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                            "'%.100s': directives are not read: leave the line out (line: %zu, "
                            "column: %zu)",
                            name, line, column);
    }
    if (depth > TW_LIMIT_CONF_DEPTH) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "'%.100s': lists and keys lie more than %d deep (line: %zu, column: "
                            "%zu)",
                            name, TW_LIMIT_CONF_DEPTH, line, column);
    }
    return TW_OK;
}

/* libyaml looks at all that is open for each token, and compares each directive with all before it:
 * a megabyte of either takes minutes. What is no YAML is for the next to say. */
static enum tw_status check_tokens(const char *text, size_t text_bytes, const char *name,
                                   struct tw_error *error)
{
    yaml_parser_t scanner;
    if (yaml_parser_initialize(&scanner) == 0) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "'%.120s': no memory", name);
    }
    yaml_parser_set_input_string(&scanner, (const unsigned char *)text, text_bytes);
    enum tw_status status = TW_OK;
    int depth = 0;
    yaml_token_t token;
    for (bool is_last = false; status == TW_OK && !is_last;) {
        if (yaml_parser_scan(&scanner, &token) == 0) {
            break;
        }
        depth += step_of(token.type);
        is_last = token.type == YAML_STREAM_END_TOKEN;
        status = check_token(name, &token, depth, error);
        yaml_token_delete(&token);
    }
    yaml_parser_delete(&scanner);
    return status;
}

/* ---- loading ---- */

static enum tw_status from_messages(cyaml_err_t result, const char *name,
                                    const struct messages *messages, struct tw_error *error)
{
    if (result == CYAML_ERR_OOM) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "'%.120s': no memory", name);
    }
    const char *what = messages->mistake[0] != '\0' ? messages->mistake
                       : result == CYAML_OK         ? "it is empty"
                                                    : cyaml_strerror(result);
    const char *place = place_of(messages);
    return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION, "'%.100s': %s%s%s", name, what,
                        place[0] != '\0' ? ", " : "", place);
}

enum tw_status tw_conf_parse(const char *text, size_t text_bytes, const char *name,
                             const cyaml_schema_value_t *schema, void **ret_conf,
                             struct tw_error *error)
{
    struct messages messages = {.in_backtrace = false};
    cyaml_config_t config = base_config;
    config.log_ctx = &messages;
    cyaml_data_t *conf = NULL;
    text = text != NULL ? text : ""; /* an empty file has none */
    enum tw_status status = check_tokens(text, text_bytes, name, error);
    if (status == TW_OK) {
        status = check_text(text, text_bytes, name, NULL, error);
    }
    if (status != TW_OK) {
        return status;
    }
    cyaml_err_t result =
        cyaml_load_data((const uint8_t *)text, text_bytes, &config, schema, &conf, NULL);
    if (result == CYAML_ERR_INVALID_VALUE) { /* libcyaml does not say what it may be */
        status = check_text(text, text_bytes, name, schema, error);
    }
    if (status != TW_OK) {
        return status;
    }
    if (result != CYAML_OK || conf == NULL) {
        return from_messages(result, name, &messages, error);
    }
    status = check_text(text, text_bytes, name, schema, error);
    if (status != TW_OK) {
        tw_conf_free(schema, conf);
        return status;
    }
    *ret_conf = conf;
    return TW_OK;
}

enum tw_status tw_conf_load(const char *path, const cyaml_schema_value_t *schema, void **ret_conf,
                            struct tw_error *error)
{
    struct tw_buf text;
    enum tw_status status = tw_file_read(path, TW_LIMIT_CONF_BYTES, &text, error);
    if (status == TW_OK) {
        status = tw_conf_parse(text.data, text.size_bytes, path, schema, ret_conf, error);
        tw_buf_free(&text);
    }
    return status;
}

void tw_conf_free(const cyaml_schema_value_t *schema, void *conf)
{
    cyaml_config_t config = base_config;
    struct messages messages = {.in_backtrace = false};
    config.log_ctx = &messages;
    cyaml_free(&config, schema, conf, 0);
}
