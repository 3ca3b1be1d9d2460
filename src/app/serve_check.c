#include "app/serve_check.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "api/api_keys.h"
#include "app/books_args.h"
#include "app/books_place.h"
#include "app/command.h"
#include "app/serve_approved.h"
#include "app/serve_backends.h"
#include "app/serve_books.h"
#include "app/serve_config.h"
#include "app/serve_models.h"
#include "app/serve_routes.h"
#include "app/serve_seal.h"
#include "base/file.h"
#include "hub/money.h"
#include "net/http_server.h"
#include "policy/policy_fit.h"

#define LINE_BYTES 1024

enum tw_status tw_serve_check_options(const struct tw_serve_args *args,
                                      const struct tw_serve_place *place, struct tw_error *error)
{
    if (args->keys_path != NULL && args->no_auth) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "--api-keys and --no-auth contradict each other: leave one out");
    }
    if (args->books_address != NULL && args->no_auth) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "--books and --no-auth contradict each other: leave one out");
    }
    if (args->books_address == NULL && args->currency != NULL) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "--currency is of new books: give --books");
    }
    if (args->books_address == NULL && args->admin_group != NULL) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "--admin-group is of a server with books: give --books");
    }
    unsigned group;
    if (args->admin_group != NULL &&
        tw_books_place_find_group(args->admin_group, &group, error) != TW_OK) {
        return error->status;
    }
    if (args->currency != NULL && !tw_money_is_currency(args->currency)) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "--currency '%.20s' is no code of a currency, such as EUR",
                            args->currency);
    }
    if (args->keys_path == NULL && args->books_address == NULL && !args->no_auth &&
        !place->is_loopback) {
        return tw_error_set(
            error, TW_ERR_USAGE, TW_NO_POSITION,
            "%s %.60s is not only this machine: give --books, --api-keys, or --no-auth "
            "if everybody there may ask; without them only loopback addresses "
            "such as 127.0.0.1 or ::1",
            place->passed_fd >= 0 ? "the socket that was passed on" : "--host", place->address);
    }
    if ((args->cert_path == NULL) != (args->cert_key_path == NULL)) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "--tls-cert and --tls-key belong together: give both or none");
    }
    return tw_serve_seal_check(args, error);
}

/* A text without a zero byte: GnuTLS gets texts, not files. */
static enum tw_status read_text(const char *path, struct tw_buf *ret_text, struct tw_error *error)
{
    enum tw_status status = tw_file_read(path, TW_LIMIT_CONF_BYTES, ret_text, error);
    if (status == TW_OK &&
        (!tw_buf_append(ret_text, "", 1) || strlen(ret_text->data) + 1 < ret_text->size_bytes)) {
        tw_buf_free(ret_text);
        status =
            tw_error_set(error, TW_ERR_FORMAT, TW_NO_POSITION,
                         "'%.200s' is no text: certificates and keys must be in PEM form", path);
    }
    return status;
}

enum tw_status tw_serve_read_certificate(const struct tw_serve_args *args, struct tw_buf *ret_cert,
                                         struct tw_buf *ret_key, struct tw_error *error)
{
    struct tw_error cause;
    tw_buf_init(ret_cert, 1);
    tw_buf_init(ret_key, 1);
    if (args->cert_path == NULL) {
        return TW_OK;
    }
    enum tw_status status = read_text(args->cert_path, ret_cert, error);
    if (status == TW_OK) {
        status = read_text(args->cert_key_path, ret_key, error);
    }
    if (status == TW_OK) {
        status = tw_http_check_certificate(ret_cert->data, ret_key->data, &cause);
        if (status != TW_OK) {
            tw_error_set(error, status, TW_NO_POSITION, "'%.60s', '%.60s': %.180s", args->cert_path,
                         args->cert_key_path, cause.text);
        }
    }
    return status;
}

/* ---- lines ---- */

/* What was looked at, and whether it was in order so far. */
struct check {
    int exit_code;
    bool knows_people;                            /* who is in the books, or that there are none */
    bool has_models;                              /* all of them could be opened */
    char models_digest[TW_APPROVAL_DIGEST_BYTES]; /* of a server with books; "": it is not known */
    char policy_version[TW_POLICY_VERSION_BYTES]; /* "": there is none */
    struct tw_error error;
};

static void put_line(struct check *check, const char *kind, const char *what)
{
    struct tw_buf line;
    tw_buf_init(&line, LINE_BYTES + 16);
    tw_buf_append_format(&line, "%s: %s", kind, what);
    if (tw_command_write_line(&line, &check->error) != TW_OK) {
        check->exit_code = tw_command_fail(&check->error);
    }
    tw_buf_free(&line);
}

static __attribute__((format(printf, 3, 4))) void report(struct check *check, enum tw_status status,
                                                         const char *format, ...)
{
    if (status != TW_OK) {
        const int code = tw_command_fail(&check->error);
        check->exit_code = check->exit_code == 0 ? code : check->exit_code;
        return;
    }
    char what[LINE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    put_line(check, "ok", what);
}

/* ---- what is looked at ---- */

static void check_address(struct check *check, const struct tw_serve_args *args)
{
    struct tw_serve_place place = {.passed_fd = -1};
    enum tw_status status = tw_serve_place_find(args->host, &place, &check->error);
    if (status == TW_OK) {
        status = tw_serve_check_options(args, &place, &check->error);
    }
    report(check, status, "address %s port %lld, %s", args->host, (long long)args->port,
           args->keys_path != NULL || args->books_address != NULL ? "for those who have a key"
           : place.is_loopback                                    ? "for this machine"
                                                                  : "for everybody there");
}

static void check_seal(struct check *check, const struct tw_serve_args *args)
{
    if (args->sealed != TW_SERVE_OPEN) {
        report(check, TW_OK, "sealed, it connects to %s",
               args->sealed == TW_SERVE_SEALED_PROCESS ? "nothing"
                                                       : "the addresses of a list only");
    }
}

static void check_keys(struct check *check, const struct tw_serve_args *args)
{
    struct tw_api_keys *keys = NULL;
    struct tw_api_tenant tenant;
    size_t n_tenants = 0;
    if (args->keys_path == NULL) {
        return;
    }
    enum tw_status status = tw_api_keys_load(args->keys_path, &keys, &check->error);
    while (status == TW_OK && tw_api_keys_tenant(keys, n_tenants, &tenant)) {
        n_tenants++;
    }
    report(check, status, "keys '%s': %zu tenant%s", args->keys_path, n_tenants,
           n_tenants == 1 ? "" : "s");
    tw_api_keys_free(keys);
}

/* Nothing is made and nothing is locked: a server may have them. */
static enum tw_status read_books(const struct tw_serve_args *args,
                                 const struct tw_books_place *place,
                                 char ret_currency[TW_BOOKS_CURRENCY_BYTES], struct tw_error *error)
{
    char pepper[2 * TW_LIMIT_CONF_STRING_BYTES];
    struct tw_db *db = NULL;
    enum tw_status status = tw_books_args_open(args->books_address, &db, error);
    if (status == TW_OK) {
        status = tw_books_args_currency(db, args->currency, ret_currency, error);
    }
    tw_db_close(db);
    snprintf(pepper, sizeof pepper, "%s/pepper", place->folder);
    if (status == TW_OK && access(pepper, R_OK) != 0) {
        return tw_error_set(error, TW_ERR_IO, TW_NO_POSITION,
                            "'%.200s' cannot be read: %s; without it no key of these books is "
                            "good, so restore it",
                            pepper, strerror(errno));
    }
    if (status == TW_OK && place->is_file && access(place->address, W_OK) != 0) {
        return tw_error_set(error, TW_ERR_IO, TW_NO_POSITION, "'%.200s' cannot be written: %s",
                            place->address, strerror(errno));
    }
    return status;
}

static void check_books(struct check *check, const struct tw_serve_args *args)
{
    struct tw_books_place place;
    char currency[TW_BOOKS_CURRENCY_BYTES];
    if (args->books_address == NULL) {
        return;
    }
    enum tw_status status = tw_books_place_find(args->books_address, &place, &check->error);
    if (status == TW_OK) {
        status = tw_books_place_check(&place, &check->error);
    }
    if (status == TW_OK) {
        status = tw_books_place_may_enter(&place, &check->error);
    }
    if (status == TW_OK && !tw_books_place_is_there(&place)) {
        report(check, TW_OK, "books '%s': a start makes them, in %s", place.address,
               args->currency != NULL ? args->currency : "EUR");
        return;
    }
    if (status == TW_OK) {
        status = read_books(args, &place, currency, &check->error);
    }
    report(check, status, "books '%s', in %s, with what hashes of keys are made with",
           place.address, currency);
}

static void check_certificate(struct check *check, const struct tw_serve_args *args)
{
    struct tw_buf cert, key;
    if (args->cert_path == NULL || args->cert_key_path == NULL) {
        return;
    }
    enum tw_status status = tw_serve_read_certificate(args, &cert, &key, &check->error);
    report(check, status, "certificate '%s' and its key", args->cert_path);
    tw_buf_free(&cert);
    tw_buf_free(&key);
}

/* What two people approve, in books that know of it. */
static void digest_models(struct check *check, const struct tw_serve_args *args,
                          struct tw_serve_models *models)
{
    if (args->books_address == NULL || !check->has_models) {
        return;
    }
    tw_serve_books_identify(args, models);
    enum tw_status status =
        tw_serve_approved_digest(args->zone, models->items, models->n_items, args->file,
                                 check->models_digest, &check->error);
    report(check, status, "models and backends have the digest %s", check->models_digest);
}

static void check_models(struct check *check, const struct tw_serve_args *args)
{
    struct tw_serve_models models = {.n_items = 0};
    enum tw_status status = tw_serve_models_begin(&models, args, &check->error);
    if (status != TW_OK) {
        report(check, status, " ");
        return;
    }
    for (size_t i = 0; i < args->n_models; i++) {
        struct tw_backend_sizes sizes = {0, 0};
        uint32_t n_context_tokens = 0;
        status = tw_serve_models_open(&models, args, i, &check->error);
        if (status == TW_OK) {
            const struct tw_backend *backend = models.items[models.n_items - 1].backend;
            sizes = tw_backend_sizes(backend);
            n_context_tokens = tw_backend_context_tokens(backend);
        }
        report(check, status,
               "model %s: '%s', a context of %u tokens, %llu bytes of weights and %llu of KV cache",
               args->models[i].name, args->models[i].path, n_context_tokens,
               (unsigned long long)sizes.weight_bytes, (unsigned long long)sizes.kv_bytes);
    }
    check->has_models = models.n_items == args->n_models;
    if (check->has_models && args->n_models > 0) {
        status = tw_serve_models_check(&models, args, &check->error);
        report(check, status, "what is to be loaded at the start fits");
    }
    digest_models(check, args, &models);
    tw_serve_models_close(&models);
}

/* Nobody is asked. */
static void check_backends(struct check *check, const struct tw_serve_args *args)
{
    unsigned n = 0;
    tw_serve_file_backends(args->file, &n);
    if (n == 0) {
        return;
    }
    enum tw_status status = tw_serve_backends_check(args, &check->error);
    report(check, status, "%u backend%s, whose models have names of their own", n,
           n == 1 ? "" : "s");
}

static void check_routes(struct check *check, const struct tw_serve_args *args)
{
    struct tw_serve_routes routes = {0};
    unsigned n_fallbacks = 0, n_preferences = 0;
    tw_serve_file_fallbacks(args->file, &n_fallbacks);
    tw_serve_file_preferences(args->file, &n_preferences);
    if (n_fallbacks + n_preferences > 0) {
        enum tw_status status = tw_serve_routes_open(&routes, args, &check->error);
        report(check, status, "models fall back on models that there are; preferences are known");
        tw_serve_routes_close(&routes);
    }
}

/* ---- what a policy and the books say of each other ---- */

/* A tw_policy_has_path_fn. Books that cannot be read are told of elsewhere. */
static bool has_path(void *context, const char *path)
{
    static const char sql[] =
        "WITH RECURSIVE named(id, path) AS (SELECT id, name FROM holder WHERE parent = 0"
        " UNION ALL SELECT h.id, n.path || '/' || h.name FROM holder h JOIN named n"
        " ON h.parent = n.id) SELECT id FROM named WHERE path = ?";
    const struct tw_db_value values[] = {tw_db_text(path)};
    struct tw_db_statement *row = NULL;
    struct tw_error error;
    bool has_row = false;
    const bool is_there = context != NULL && tw_db_prepare(context, sql, &row, &error) == TW_OK &&
                          tw_db_first(row, values, 1, &has_row, &error) == TW_OK && has_row;
    tw_db_finalize(row);
    return is_there;
}

/* Books that have nobody yet have nobody a floor could be for. */
static enum tw_status fit_policy(const struct check *check, const struct tw_serve_args *args,
                                 const struct tw_policy *policy, struct tw_db *db,
                                 struct tw_error *error)
{
    unsigned n = 0;
    const struct tw_serve_file_backend *rows = tw_serve_file_backends(args->file, &n);
    enum tw_status status = TW_OK;
    if (check->knows_people) {
        status =
            tw_policy_fit_people(policy, args->books_address != NULL ? has_path : NULL, db, error);
    }
    for (unsigned i = 0; status == TW_OK && i < n; i++) {
        status = tw_policy_fit_zone(policy, tw_serve_backends_zone(&rows[i]), rows[i].name, error);
    }
    return status == TW_OK && args->n_models > 0
               ? tw_policy_fit_zone(policy, args->zone, NULL, error)
               : status;
}

static void check_policy(struct check *check, const struct tw_serve_args *args, struct tw_db *db)
{
    struct tw_policy *policy = NULL;
    if (args->policy_path == NULL) {
        if (tw_serve_backends_have_zones(args->file)) {
            put_line(check, "note", TW_SERVE_ZONES_WITHOUT_POLICY);
        }
        return;
    }
    enum tw_status status = tw_policy_load(args->policy_path, &policy, &check->error);
    if (status == TW_OK) {
        snprintf(check->policy_version, sizeof check->policy_version, "%s", policy->version);
        status = fit_policy(check, args, policy, db, &check->error);
    }
    report(check, status, "policy '%s', version %s", args->policy_path,
           status == TW_OK ? policy->short_version : "");
    tw_policy_free(policy);
}

/* Says nothing where nobody has to approve. */
static void check_approved(struct check *check, const char *what, const char *digest,
                           struct tw_db *db)
{
    enum tw_status status = tw_approval_check_db(db, what, digest, &check->error);
    if (status != TW_OK) {
        report(check, status, " ");
    }
}

static void check_governance(struct check *check, const struct tw_serve_args *args)
{
    struct tw_books_place place;
    struct tw_error ignored; /* it was told of before */
    struct tw_db *db = NULL;
    check->knows_people = args->books_address == NULL;
    if (args->books_address != NULL &&
        tw_books_place_find(args->books_address, &place, &ignored) == TW_OK) {
        const bool is_there = tw_books_place_is_there(&place);
        check->knows_people = is_there
                                  ? tw_books_args_open(args->books_address, &db, &ignored) == TW_OK
                                  : args->keys_path == NULL; /* whose keys make holders */
    }
    check_policy(check, args, db);
    if (db != NULL) {
        const bool is_read = args->policy_path == NULL || check->policy_version[0] != '\0';
        if (check->models_digest[0] != '\0') {
            check_approved(check, "models", check->models_digest, db);
        }
        if (is_read) {
            check_approved(check, "policy",
                           args->policy_path != NULL ? check->policy_version : NULL, db);
        }
    }
    tw_db_close(db);
}

int tw_serve_check(struct tw_serve_args *args)
{
    struct check check = {.exit_code = 0};
    if (args->config_path != NULL) {
        report(&check, TW_OK, "configuration '%s'", args->config_path);
    }
    check_address(&check, args);
    check_seal(&check, args);
    check_keys(&check, args);
    check_books(&check, args);
    check_certificate(&check, args);
    enum tw_status status = tw_serve_args_take_models(args, &check.error);
    report(&check, status, "%zu model%s, no name twice", args->n_models,
           args->n_models == 1 ? "" : "s");
    if (status == TW_OK) {
        check_models(&check, args);
    }
    check_backends(&check, args);
    check_routes(&check, args);
    check_governance(&check, args);
    return check.exit_code;
}
