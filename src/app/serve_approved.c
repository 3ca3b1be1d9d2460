#include "app/serve_approved.h"

#include <string.h>

#include "app/serve_config.h"
#include "base/buf.h"

#define LIST_BYTES ((size_t)16 << 20)

/* With its end, and each list behind its length: no two configurations have the same bytes. */
static void add(struct tw_buf *list, const char *text)
{
    text = text != NULL ? text : "";
    tw_buf_append(list, text, strlen(text) + 1);
}

static void add_length(struct tw_buf *list, size_t n)
{
    tw_buf_append_format(list, "%zu", n);
    tw_buf_append(list, "", 1);
}

static void add_models(struct tw_buf *list, const struct tw_api_model *models, size_t n_models)
{
    add_length(list, n_models);
    for (size_t i = 0; i < n_models; i++) {
        const struct tw_api_model *model = &models[i];
        add(list, model->name);
        add(list, model->digest);
        add_length(list, model->n_aliases);
        for (size_t k = 0; k < model->n_aliases; k++) {
            add(list, model->aliases[k]);
        }
    }
}

static void add_backends(struct tw_buf *list, const struct tw_serve_file *file)
{
    unsigned n = 0;
    const struct tw_serve_file_backend *rows = tw_serve_file_backends(file, &n);
    add_length(list, n);
    for (unsigned i = 0; i < n; i++) {
        const struct tw_serve_file_backend *row = &rows[i];
        add(list, row->name);
        add(list, row->url);
        add_length(list, row->urls_count);
        for (unsigned k = 0; k < row->urls_count; k++) {
            add(list, row->urls[k]);
        }
        add(list, row->zone);
        add_length(list, row->models_count);
        for (unsigned k = 0; k < row->models_count; k++) {
            add(list, row->models[k].name);
            add(list, row->models[k].upstream);
        }
    }
}

enum tw_status tw_serve_approved_digest(const char *zone, const struct tw_api_model *models,
                                        size_t n_models, const struct tw_serve_file *file,
                                        char ret_digest[TW_APPROVAL_DIGEST_BYTES],
                                        struct tw_error *error)
{
    struct tw_buf list;
    tw_buf_init(&list, LIST_BYTES);
    add(&list, zone);
    add_models(&list, models, n_models);
    add_backends(&list, file);
    const bool is_listed = !list.failed;
    if (is_listed) {
        tw_approval_digest(list.data, list.size_bytes, ret_digest);
    }
    tw_buf_free(&list);
    return is_listed ? TW_OK
                     : tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a list");
}

enum tw_status tw_serve_approved_models(const struct tw_api_config *config,
                                        const struct tw_serve_file *file,
                                        char ret_digest[TW_APPROVAL_DIGEST_BYTES],
                                        struct tw_error *error)
{
    ret_digest[0] = '\0';
    if (config->hub == NULL) {
        return TW_OK;
    }
    enum tw_status status = tw_serve_approved_digest(config->zone, config->models, config->n_models,
                                                     file, ret_digest, error);
    return status == TW_OK ? tw_approval_check(config->hub, "models", ret_digest, error) : status;
}

enum tw_status tw_serve_approved_policy(struct tw_hub *hub, const char *version,
                                        struct tw_error *error)
{
    return hub != NULL ? tw_approval_check(hub, "policy", version, error) : TW_OK;
}
