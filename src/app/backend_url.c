#include "app/backend_url.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "remote/remote_client.h"

static enum tw_status refuse(const char *text, const char *why, struct tw_error *error)
{
    return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION, "the URL '%.200s' %s", text, why);
}

/* "dns+https://x" is https://x with another form. */
static bool split_form(const char *text, struct tw_backend_url *url,
                       char ret_plain[TW_LIMIT_REMOTE_URL_BYTES])
{
    static const struct {
        const char *begin;
        enum tw_backend_form form;
    } forms[] = {{"dns", TW_BACKEND_ADDRESSES}, {"srv", TW_BACKEND_SERVICES}};
    const char *rest = text;
    const char *scheme = "";
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if (strncmp(text, forms[i].begin, 3) == 0 && (text[3] == '+' || text[3] == ':')) {
            url->form = forms[i].form;
            rest = text + 3 + (text[3] == '+');
            scheme = text[3] == ':' ? "http" : "";
        }
    }
    return snprintf(ret_plain, TW_LIMIT_REMOTE_URL_BYTES, "%s%s", scheme, rest) <
           TW_LIMIT_REMOTE_URL_BYTES;
}

static bool take_part(CURLU *parts, CURLUPart part, unsigned flags, char *ret_text, size_t n_bytes)
{
    char *text = NULL;
    const bool is_there = curl_url_get(parts, part, &text, flags) == CURLUE_OK &&
                          snprintf(ret_text, n_bytes, "%s", text) < (int)n_bytes;
    curl_free(text);
    return is_there;
}

static const char *take_parts(CURLU *parts, struct tw_backend_url *url)
{
    char scheme[16], port[16], path[TW_LIMIT_REMOTE_URL_BYTES];
    if (!take_part(parts, CURLUPART_SCHEME, 0, scheme, sizeof scheme) ||
        !take_part(parts, CURLUPART_HOST, 0, url->host, sizeof url->host) ||
        !take_part(parts, CURLUPART_PATH, 0, path, sizeof path)) {
        return "has no host";
    }
    const bool has_port = take_part(parts, CURLUPART_PORT, 0, port, sizeof port);
    if (!has_port && !take_part(parts, CURLUPART_PORT, CURLU_DEFAULT_PORT, port, sizeof port)) {
        return "has no port";
    }
    const size_t n = strlen(url->host);
    if (url->host[0] == '[' && n > 2) { /* of an IPv6 address */
        memmove(url->host, url->host + 1, n - 2);
        url->host[n - 2] = '\0';
    }
    url->is_tls = strcmp(scheme, "https") == 0;
    url->port = (uint16_t)strtoul(port, NULL, 10);
    memcpy(url->tls_name, url->host, sizeof url->tls_name);
    if (url->form == TW_BACKEND_ONE) {
        return NULL;
    }
    if (strcmp(path, "/") != 0 && strcmp(path, "/v1") != 0 && strcmp(path, "/v1/") != 0) {
        return "has a path: where DNS says which servers there are, they have none";
    }
    if (url->form == TW_BACKEND_ADDRESSES) {
        return NULL;
    }
    const char *dot = strchr(url->host, '.');
    const char *domain = dot != NULL ? strchr(dot + 1, '.') : NULL;
    if (url->host[0] != '_' || domain == NULL || dot[1] != '_' || domain[1] == '\0') {
        return "must name a service, such as _vllm._tcp.gpu.example";
    }
    if (has_port) {
        return "has a port: SRV records say it";
    }
    snprintf(url->tls_name, sizeof url->tls_name, "%s", domain + 1);
    url->port = 0;
    return NULL;
}

enum tw_status tw_backend_url_read(const char *text, struct tw_backend_url *ret_url,
                                   struct tw_error *error)
{
    struct tw_backend_url url = {.form = TW_BACKEND_ONE};
    char plain[TW_LIMIT_REMOTE_URL_BYTES];
    if (!split_form(text, &url, plain)) {
        return refuse(text, "is too long", error);
    }
    enum tw_status status = tw_remote_check_url(plain, error);
    if (status != TW_OK) {
        return status;
    }
    CURLU *parts = curl_url();
    const char *why = "could not be read: no memory";
    if (parts != NULL && curl_url_set(parts, CURLUPART_URL, plain, 0) == CURLUE_OK) {
        why = take_parts(parts, &url);
    }
    curl_url_cleanup(parts);
    if (why != NULL) {
        return refuse(text, why, error);
    }
    *ret_url = url;
    return TW_OK;
}
