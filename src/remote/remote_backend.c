#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/secret.h"
#include "remote/remote_state.h"

#define SPELLING_BITS 24

struct tw_remote_config tw_remote_defaults(void)
{
    return (struct tw_remote_config){.connect_ms = TW_LIMIT_REMOTE_CONNECT_MS,
                                     .first_byte_ms = TW_LIMIT_REMOTE_ANSWER_MS,
                                     .idle_ms = TW_LIMIT_REMOTE_IDLE_MS,
                                     .whole_ms = TW_LIMIT_REMOTE_WHOLE_MS,
                                     .poll_ms = TW_LIMIT_REMOTE_POLL_MS};
}

static bool has_part(CURLU *url, CURLUPart part)
{
    char *text = NULL;
    const bool has = curl_url_get(url, part, &text, 0) == CURLUE_OK;
    curl_free(text);
    return has;
}

static const char *why_no_url(CURLU *url, const char *text)
{
    char *scheme = NULL;
    if (curl_url_set(url, CURLUPART_URL, text, 0) != CURLUE_OK ||
        curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK) {
        return "it is no URL such as https://host:8000";
    }
    const bool is_http = strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0;
    curl_free(scheme);
    return !is_http                            ? "it must begin with http:// or https://"
           : has_part(url, CURLUPART_USER)     ? "it must have no user: keys are in files"
           : has_part(url, CURLUPART_QUERY)    ? "it must have no query"
           : has_part(url, CURLUPART_FRAGMENT) ? "it must have no fragment"
                                               : NULL;
}

enum tw_status tw_remote_check_url(const char *url, struct tw_error *error)
{
    if (strlen(url) >= TW_LIMIT_REMOTE_URL_BYTES) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "the URL of a server is longer than %d bytes",
                            TW_LIMIT_REMOTE_URL_BYTES);
    }
    CURLU *parts = curl_url();
    if (parts == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a URL");
    }
    const char *why = why_no_url(parts, url);
    curl_url_cleanup(parts);
    return why != NULL
               ? tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION, "the URL '%s': %s", url, why)
               : TW_OK;
}

/* Without what endpoints begin with. */
static size_t base_bytes(const char *url)
{
    size_t n = strlen(url);
    while (n > 0 && url[n - 1] == '/') {
        n--;
    }
    if (n > 3 && memcmp(url + n - 3, "/v1", 3) == 0) {
        n -= 3;
    }
    while (n > 0 && url[n - 1] == '/') {
        n--;
    }
    return n;
}

static char *copy_or_null(const char *text)
{
    return text != NULL ? tw_mem_strndup(text, strlen(text)) : NULL;
}

static void set_defaults(struct tw_remote_config *config)
{
    const struct tw_remote_config defaults = tw_remote_defaults();
    config->connect_ms = config->connect_ms != 0 ? config->connect_ms : defaults.connect_ms;
    config->first_byte_ms =
        config->first_byte_ms != 0 ? config->first_byte_ms : defaults.first_byte_ms;
    config->idle_ms = config->idle_ms != 0 ? config->idle_ms : defaults.idle_ms;
    config->whole_ms = config->whole_ms != 0 ? config->whole_ms : defaults.whole_ms;
}

static void free_backend(struct tw_remote_backend *backend)
{
    if (backend->key != NULL) {
        tw_secret_wipe(backend->key, strlen(backend->key));
    }
    tw_mem_free(backend->key);
    tw_mem_free(backend->url);
    tw_mem_free(backend->ca_path);
    tw_mem_free(backend->ca_spelling);
    curl_slist_free_all(backend->connect_to);
    curl_slist_free_all(backend->resolved);
    tw_mem_free(backend->key_path);
    tw_mem_free(backend);
}

static enum tw_status check_files(struct tw_remote_backend *backend, struct tw_error *error)
{
    const char *key;
    enum tw_status status = tw_remote_backend_key(backend, &key, error);
    if (status == TW_OK && backend->ca_path != NULL) {
        struct tw_buf text;
        status = tw_file_load(backend->ca_path, TW_LIMIT_REMOTE_CA_BYTES, &text, error);
        if (status == TW_OK) {
            const bool is_pem = text.size_bytes > 0 &&
                                memmem(text.data, text.size_bytes, "-----BEGIN ", 11) != NULL;
            tw_buf_free(&text);
            if (!is_pem) {
                return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                                    "%s has no certificate in PEM", backend->ca_path);
            }
        }
    }
    return status;
}

/* libcurl takes a kept connection for another server where paths of CAs are the same text, whatever
 * is in the files by now. So each backend spells its path in its own way: in front of it, one "./"
 * or "/" for each bit of a number that nobody else has. */
static bool spell_ca(struct tw_remote_backend *backend)
{
    static atomic_uint last;
    const unsigned number = atomic_fetch_add(&last, 1);
    const char *path = backend->ca_path;
    struct tw_buf text;
    tw_buf_init(&text, TW_LIMIT_CONF_BYTES);
    tw_buf_append_text(&text, path[0] == '/' ? "/" : "./");
    for (unsigned bit = 0; bit < SPELLING_BITS; bit++) {
        tw_buf_append_text(&text, (number >> bit & 1) != 0 ? "./" : "/");
    }
    tw_buf_append_text(&text, path);
    backend->ca_spelling = text.failed ? NULL : tw_mem_strndup(text.data, text.size_bytes);
    tw_buf_free(&text);
    return backend->ca_spelling != NULL;
}

/* libcurl's form: whatever it would connect to, it connects to this. */
static enum tw_status add_places(struct tw_remote_backend *backend, struct tw_error *error)
{
    const struct tw_remote_config *config = &backend->config;
    char line[TW_LIMIT_REMOTE_URL_BYTES];
    if (config->connect_to != NULL) {
        (void)snprintf(line, sizeof line, "::%s", config->connect_to);
        backend->connect_to = curl_slist_append(NULL, line);
    }
    if (config->resolved != NULL) {
        backend->resolved = curl_slist_append(NULL, config->resolved);
    }
    if ((backend->ca_path != NULL && !spell_ca(backend)) ||
        (config->connect_to != NULL && backend->connect_to == NULL) ||
        (config->resolved != NULL && backend->resolved == NULL)) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a backend");
    }
    return check_files(backend, error);
}

static enum tw_status fill(struct tw_remote_backend *backend, const struct tw_remote_config *config,
                           struct tw_error *error)
{
    backend->config = *config;
    set_defaults(&backend->config);
    backend->url = tw_mem_strndup(config->url, base_bytes(config->url));
    backend->ca_path = copy_or_null(config->ca_path);
    backend->key_path = copy_or_null(config->key_path);
    if (backend->url == NULL || (config->ca_path != NULL && backend->ca_path == NULL) ||
        (config->key_path != NULL && backend->key_path == NULL)) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a backend");
    }
    return add_places(backend, error);
}

enum tw_status tw_remote_backend_add(struct tw_remote_client *client,
                                     const struct tw_remote_config *config,
                                     struct tw_remote_backend **ret_backend, struct tw_error *error)
{
    enum tw_status status = tw_remote_check_url(config->url, error);
    if (status != TW_OK) {
        return status;
    }
    struct tw_remote_backend *backend = tw_mem_zalloc(1, sizeof *backend);
    if (backend == NULL) {
        return tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a backend");
    }
    status = fill(backend, config, error);
    if (status != TW_OK) {
        free_backend(backend);
        return status;
    }
    backend->client = client;
    atomic_init(&backend->references, 2); /* the list's and the caller's */
    pthread_mutex_lock(&client->lock);
    backend->next = client->backends;
    client->backends = backend;
    pthread_mutex_unlock(&client->lock);
    tw_remote_client_wake(client);
    *ret_backend = backend;
    return TW_OK;
}

void tw_remote_backend_hold(struct tw_remote_backend *backend)
{
    atomic_fetch_add(&backend->references, 1);
}

void tw_remote_backend_let_go(struct tw_remote_backend *backend)
{
    if (atomic_fetch_sub(&backend->references, 1) == 1) {
        const struct tw_remote_config config = backend->config;
        free_backend(backend);
        if (config.gone != NULL) {
            config.gone(config.notice_context);
        }
    }
}

void tw_remote_backend_drop(struct tw_remote_backend *backend)
{
    if (backend == NULL) {
        return;
    }
    struct tw_remote_client *client = backend->client;
    pthread_mutex_lock(&client->lock);
    struct tw_remote_backend **at = &client->backends;
    while (*at != NULL && *at != backend) {
        at = &(*at)->next;
    }
    const bool was_listed = *at == backend;
    if (was_listed) {
        *at = backend->next;
    }
    backend->is_dropped = true;
    pthread_mutex_unlock(&client->lock);
    if (was_listed) {
        tw_remote_backend_let_go(backend);
    }
    tw_remote_backend_let_go(backend);
}

struct tw_remote_health tw_remote_backend_health(struct tw_remote_backend *backend)
{
    pthread_mutex_lock(&backend->client->lock);
    const struct tw_remote_health health = backend->health;
    pthread_mutex_unlock(&backend->client->lock);
    return health;
}

/* ---- the key ---- */

static bool is_same_file(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
           a->st_mode == b->st_mode && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec && a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
           a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* Only what may stand in a header: what a newline would bring there is another header. */
static bool is_key(const char *text, size_t n_bytes)
{
    bool is_fit = n_bytes > 0;
    for (size_t i = 0; i < n_bytes; i++) {
        is_fit = is_fit && text[i] > ' ' && text[i] < 0x7f;
    }
    return is_fit;
}

static enum tw_status read_key(const char *path, char **ret_key, struct tw_error *error)
{
    struct tw_buf text;
    enum tw_status status = tw_file_load(path, TW_LIMIT_REMOTE_KEY_BYTES, &text, error);
    if (status != TW_OK) {
        return status;
    }
    size_t n_bytes = text.size_bytes;
    while (n_bytes > 0 && (text.data[n_bytes - 1] == '\n' || text.data[n_bytes - 1] == '\r')) {
        n_bytes--;
    }
    if (!is_key(text.data, n_bytes)) {
        status = tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                              "%s must hold a key and nothing else: one line without spaces", path);
    } else {
        *ret_key = tw_mem_strndup(text.data, n_bytes);
        status = *ret_key != NULL
                     ? TW_OK
                     : tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a key");
    }
    if (text.size_bytes > 0) {
        tw_secret_wipe(text.data, text.size_bytes);
    }
    tw_buf_free(&text);
    return status;
}

enum tw_status tw_remote_backend_key(struct tw_remote_backend *backend, const char **ret_key,
                                     struct tw_error *error)
{
    struct stat is;
    char *key;
    if (backend->key_path == NULL) {
        *ret_key = NULL;
        return TW_OK;
    }
    if (stat(backend->key_path, &is) != 0) {
        return tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION,
                            "the key file %s is not there, or may not be read", backend->key_path);
    }
    if (backend->key != NULL && is_same_file(&is, &backend->key_stat)) {
        *ret_key = backend->key;
        return TW_OK;
    }
    if ((is.st_mode & 0077) != 0) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "others may read the key file %s: chmod 600 it", backend->key_path);
    }
    enum tw_status status = read_key(backend->key_path, &key, error);
    if (status != TW_OK) {
        return status;
    }
    if (backend->key != NULL) {
        tw_secret_wipe(backend->key, strlen(backend->key));
        tw_mem_free(backend->key);
    }
    backend->key = key;
    backend->key_stat = is;
    *ret_key = key;
    return TW_OK;
}
