#include "app/serve_approved.h"

#include <sodium.h>
#include <string.h>

#include "app/serve_config.h"
#include "hub/approval.h"

enum { DIGEST_BYTES = 32 };

/* With its end, so that no two lists have the same bytes. */
static void add(crypto_generichash_state *hash, const char *text)
{
    text = text != NULL ? text : "";
    crypto_generichash_update(hash, (const unsigned char *)text, strlen(text) + 1);
}

static void add_models(crypto_generichash_state *hash, const struct tw_api_config *config)
{
    add(hash, config->zone);
    for (size_t i = 0; i < config->n_models; i++) {
        const struct tw_api_model *model = &config->models[i];
        add(hash, "model");
        add(hash, model->name);
        add(hash, model->digest);
        for (size_t k = 0; k < model->n_aliases; k++) {
            add(hash, model->aliases[k]);
        }
    }
}

static void add_backends(crypto_generichash_state *hash, const struct tw_api_config *config,
                         const struct tw_serve_args *args)
{
    unsigned n = 0;
    const struct tw_serve_file_backend *rows = tw_serve_file_backends(args->file, &n);
    for (size_t i = 0; i < config->n_remotes && i < n; i++) {
        const struct tw_api_remote *remote = &config->remotes[i];
        add(hash, "backend");
        add(hash, remote->name);
        add(hash, rows[i].url);
        add(hash, remote->zone);
        for (size_t k = 0; k < remote->n_models; k++) {
            add(hash, remote->models[k].name);
            add(hash, remote->models[k].upstream);
        }
    }
}

enum tw_status tw_serve_approved_models(const struct tw_api_config *config,
                                        const struct tw_serve_args *args, struct tw_error *error)
{
    crypto_generichash_state hash;
    unsigned char digest[DIGEST_BYTES];
    char text[2 * DIGEST_BYTES + 1];
    if (config->hub == NULL) {
        return TW_OK;
    }
    crypto_generichash_init(&hash, NULL, 0, sizeof digest);
    add_models(&hash, config);
    add_backends(&hash, config, args);
    crypto_generichash_final(&hash, digest, sizeof digest);
    sodium_bin2hex(text, sizeof text, digest, sizeof digest);
    return tw_approval_check(config->hub, "models", text, error);
}

enum tw_status tw_serve_approved_policy(struct tw_hub *hub, const char *version,
                                        struct tw_error *error)
{
    return hub != NULL ? tw_approval_check(hub, "policy", version, error) : TW_OK;
}
