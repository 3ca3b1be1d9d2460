#include "base/conf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"

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

enum tw_status tw_conf_parse(const char *text, size_t text_bytes, const char *name,
                             const cyaml_schema_value_t *schema, void **ret_conf,
                             struct tw_error *error)
{
    struct messages messages = {.in_backtrace = false};
    cyaml_config_t config = base_config;
    config.log_ctx = &messages;
    cyaml_data_t *conf = NULL;
    cyaml_err_t result =
        cyaml_load_data((const uint8_t *)text, text_bytes, &config, schema, &conf, NULL);
    if (result == CYAML_OK && conf != NULL) {
        *ret_conf = conf;
        return TW_OK;
    }
    if (result == CYAML_ERR_OOM) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "'%.120s': no memory", name);
    }
    const char *what = messages.mistake[0] != '\0' ? messages.mistake
                       : result == CYAML_OK        ? "it is empty"
                                                   : cyaml_strerror(result);
    return tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION, "'%.100s': %s%s%s", name, what,
                        messages.place[0] != '\0' ? ", " : "", messages.place);
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
