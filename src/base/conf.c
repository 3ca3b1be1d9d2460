#include "base/conf.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

#include "base/conf_check.h"

/* What the library says while it reads: the mistake first, then where it was, innermost first. */
struct messages {
    char mistake[160];
    char place[120];
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
    } else if (messages->place[0] == '\0') {
        snprintf(messages->place, sizeof messages->place, "%.110s", text);
    }
}

/* libcyaml asks for memory through this, as malloc, realloc and free in one. */
static const cyaml_config_t base_config = {
    .log_level = CYAML_LOG_WARNING,
    .log_fn = listen,
    .mem_fn = cyaml_mem,
    .flags = CYAML_CFG_NO_ALIAS,
};

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
    const char *place = messages->place;
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
        status = tw_conf_check(text, text_bytes, name, NULL, error);
    }
    if (status == TW_OK) {
        status = tw_conf_check(text, text_bytes, name, schema, error);
    }
    if (status != TW_OK) {
        return status;
    }
    cyaml_err_t result =
        cyaml_load_data((const uint8_t *)text, text_bytes, &config, schema, &conf, NULL);
    if (result != CYAML_OK || conf == NULL) {
        return from_messages(result, name, &messages, error);
    }
    *ret_conf = conf;
    return TW_OK;
}

/* The library frees what is in the struct with the C library's free. */
bool tw_conf_resolve(const char *conf_path, char **path)
{
    const char *slash = strrchr(conf_path, '/');
    if (*path == NULL || (*path)[0] == '/' || slash == NULL) {
        return true;
    }
    size_t folder_bytes = (size_t)(slash - conf_path) + 1, path_bytes = strlen(*path) + 1;
    cyaml_mem_fn_t memory = cyaml_mem;
    char *whole = memory(NULL, NULL, folder_bytes + path_bytes);
    if (whole == NULL) {
        return false;
    }
    memcpy(whole, conf_path, folder_bytes);
    memcpy(whole + folder_bytes, *path, path_bytes);
    memory(NULL, *path, 0);
    *path = whole;
    return true;
}

void tw_conf_free(const cyaml_schema_value_t *schema, void *conf)
{
    cyaml_config_t config = base_config;
    struct messages messages = {.in_backtrace = false};
    config.log_ctx = &messages;
    cyaml_free(&config, schema, conf, 0);
}
