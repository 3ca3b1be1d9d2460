#include "app/serve_books.h"

#include <stdio.h>
#include <unistd.h>

#include "api/api.h"
#include "app/books_place.h"
#include "app/model_args.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/secret.h"
#include "hub/hub_admin.h"
#include "hub/model_digest.h"
#include "model/weight_pack.h"
#include "net/http_server.h"

#define DIGESTS_FILE "model-digests" /* beside the books */
#define NUMBER_BYTES 12

static enum tw_status make_owner(struct tw_hub *hub, struct tw_error *error)
{
    struct tw_hub_owner owner;
    enum tw_status status = tw_hub_make_owner(hub, &owner, error);
    if (status == TW_OK) {
        printf("These books are new. Keep both secrets; they are shown this once only.\n"
               "  of the user \"owner\", who may do everything:  %s\n"
               "  a first key, for clients:                      %s\n",
               owner.user_secret, owner.key_secret);
        fflush(stdout);
    }
    tw_secret_wipe(&owner, sizeof owner);
    return status;
}

static enum tw_status take_over(struct tw_hub *hub, const struct tw_api_keys *keys,
                                struct tw_error *error)
{
    struct tw_secret_hash hash;
    struct tw_api_tenant what;
    const char *tenant;
    size_t n = 0, n_made = 0;
    while (tw_api_keys_key(keys, n, &hash, &tenant, &what)) {
        n++;
    }
    struct tw_hub_old_key *rows = tw_mem_zalloc(n > 0 ? n : 1, sizeof *rows);
    if (rows == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for keys");
    }
    for (size_t i = 0; tw_api_keys_key(keys, i, &hash, &tenant, &what); i++) {
        rows[i] = (struct tw_hub_old_key){.tenant = tenant,
                                          .hash = hash,
                                          .weight = what.weight,
                                          .priority_class = (int)what.priority_class,
                                          .may_use_special = what.may_use_special};
    }
    enum tw_status status = tw_hub_take_over(hub, rows, n, &n_made, error);
    tw_mem_free(rows);
    if (status == TW_OK && n_made > 0) {
        tw_log(TW_LOG_INFO, "%zu keys of the file were taken over into the books", n_made);
    }
    return status;
}

static void tell(void *context, const struct tw_error *error)
{
    (void)context;
    if (error == NULL) {
        tw_log(TW_LOG_INFO, "tokens can be put on record again");
        return;
    }
    tw_log(TW_LOG_ERROR, "nothing can be put on record, so nobody gets tokens: %s", error->text);
}

/* What rights and prices are about, ends with NULL; the server has one list of it. */
static const char *const *names_of(const struct tw_serve_args *args)
{
    static const char *names[TW_LIMIT_SERVED_MODELS + 1];
    for (size_t i = 0; i < args->n_models; i++) {
        names[i] = args->models[i].name;
    }
    return names;
}

enum tw_status tw_serve_books_make(const struct tw_serve_args *args, struct tw_error *error)
{
    struct tw_books_place place;
    enum tw_status status = tw_books_place_find(args->books_address, &place, error);
    return status == TW_OK ? tw_books_place_make(&place, error) : status;
}

enum tw_status tw_serve_books_open(const struct tw_serve_args *args,
                                   const struct tw_serve_books_terms *terms,
                                   struct tw_hub **ret_hub, struct tw_error *error)
{
    struct tw_books_place place;
    struct tw_hub *hub = NULL;
    enum tw_status status = tw_books_place_find(args->books_address, &place, error);
    if (status != TW_OK) {
        return status;
    }
    struct tw_hub_config config = tw_books_place_config(&place, args->currency);
    config.project = tw_api_take_project;
    config.project_context = terms->stage;
    config.policy = terms->policy;
    config.served = terms->served;
    config.failed = tell;
    config.models = names_of(args);
    status = tw_hub_open(&config, &hub, error);
    if (status == TW_OK && terms->keys != NULL) {
        status = take_over(hub, terms->keys, error);
    }
    if (status != TW_OK) {
        tw_hub_close(hub);
        return status;
    }
    if (tw_hub_n_recovered(hub) > 0) {
        tw_log(TW_LOG_WARN, "%lld requests that a server had left open were settled",
               (long long)tw_hub_n_recovered(hub));
    }
    *ret_hub = hub;
    return TW_OK;
}

enum tw_status tw_serve_books_greet(struct tw_hub *hub, struct tw_error *error)
{
    if (tw_hub_is_new(hub)) {
        return make_owner(hub, error);
    }
    if (!tw_hub_has_key(hub)) {
        tw_log(TW_LOG_WARN, "no client can ask, since the books have no open key: make one with "
                            "'tokenworks key create ORG/TEAM/PROJECT/KEY'");
    }
    return TW_OK;
}

void tw_serve_books_identify(const struct tw_serve_args *args, struct tw_serve_models *models)
{
    static char pack_version[NUMBER_BYTES];
    struct tw_books_place place;
    struct tw_error error;
    char cache[TW_LIMIT_CONF_STRING_BYTES] = "";
    snprintf(pack_version, sizeof pack_version, "%d", TW_PACK_VERSION);
    if (tw_books_place_find(args->books_address, &place, &error) == TW_OK) {
        const int n = snprintf(cache, sizeof cache, "%s/%s", place.folder, DIGESTS_FILE);
        cache[0] = n < (int)sizeof cache ? cache[0] : '\0';
    }
    for (size_t i = 0; i < models->n_items; i++) {
        struct tw_serve_model *model = &args->models[i];
        models->items[i].kv_type = tw_kv_type_names[model->kv_type];
        models->items[i].pack_version = pack_version;
        if (tw_model_digest_of(model->path, cache[0] != '\0' ? cache : NULL, model->digest,
                               &error) == TW_OK) {
            models->items[i].digest = model->digest;
        } else {
            tw_log(TW_LOG_WARN, "records will not say which model '%s' is: %s", model->name,
                   error.text);
        }
    }
}

enum tw_status tw_serve_books_listen(const struct tw_serve_args *args, int *ret_fd,
                                     struct tw_error *error)
{
    struct tw_books_place place;
    enum tw_status status = tw_books_place_find(args->books_address, &place, error);
    if (status == TW_OK) {
        status = tw_http_listen_local(place.socket, ret_fd, error);
    }
    if (status == TW_OK && args->admin_group != NULL) {
        unsigned group = 0;
        status = tw_books_place_find_group(args->admin_group, &group, error);
        status = status == TW_OK ? tw_books_place_let_in(&place, group, error) : status;
    }
    return status;
}

enum tw_status tw_serve_books_start_admin(const struct tw_serve_args *args, struct tw_hub *hub,
                                          int listen_fd, struct tw_admin **ret_admin,
                                          struct tw_error *error)
{
    struct tw_books_place place;
    enum tw_status status = tw_books_place_find(args->books_address, &place, error);
    return status == TW_OK ? tw_admin_start(hub, place.socket, listen_fd, ret_admin, error)
                           : status;
}

void tw_serve_books_unlisten(const struct tw_serve_args *args, int listen_fd)
{
    struct tw_books_place place;
    struct tw_error error;
    if (listen_fd >= 0) {
        close(listen_fd);
        if (tw_books_place_find(args->books_address, &place, &error) == TW_OK) {
            unlink(place.socket);
        }
    }
}
