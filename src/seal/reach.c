#include "seal/reach.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOST_BYTES   256
#define LOCAL_PREFIX "unix:"
#define PATH_OFFSET  offsetof(struct sockaddr_un, sun_path)

static bool is_same(const struct tw_reach_address *a, const union tw_reach_socket_address *b,
                    size_t size_bytes)
{
    const union tw_reach_socket_address *own = &a->address;
    if (size_bytes < sizeof b->any.sa_family || own->any.sa_family != b->any.sa_family) {
        return false;
    }
    if (b->any.sa_family == AF_INET) {
        return size_bytes >= sizeof b->in4 && own->in4.sin_port == b->in4.sin_port &&
               own->in4.sin_addr.s_addr == b->in4.sin_addr.s_addr;
    }
    if (b->any.sa_family == AF_INET6) {
        return size_bytes >= sizeof b->in6 && own->in6.sin6_port == b->in6.sin6_port &&
               own->in6.sin6_scope_id == b->in6.sin6_scope_id &&
               memcmp(&own->in6.sin6_addr, &b->in6.sin6_addr, sizeof b->in6.sin6_addr) == 0;
    }
    /* A path ends at its first zero byte or with the size; a name without a path has zero bytes. */
    size_t n = size_bytes - PATH_OFFSET, n_own = a->size_bytes - PATH_OFFSET;
    if (size_bytes <= PATH_OFFSET || size_bytes > sizeof b->local) {
        return false;
    }
    if (own->local.sun_path[0] != '\0') {
        n = strnlen(b->local.sun_path, n);
        n_own = strnlen(own->local.sun_path, n_own);
    }
    return n == n_own && memcmp(own->local.sun_path, b->local.sun_path, n) == 0;
}

const struct tw_reach_address *tw_reach_find(const struct tw_reach_list *reach,
                                             const union tw_reach_socket_address *address,
                                             size_t size_bytes)
{
    for (size_t i = 0; i < reach->n_items; i++) {
        if (is_same(&reach->items[i], address, size_bytes)) {
            return &reach->items[i];
        }
    }
    return NULL;
}

void tw_reach_format(const union tw_reach_socket_address *address, size_t size_bytes,
                     char ret_text[TW_REACH_TEXT_BYTES])
{
    char text[INET6_ADDRSTRLEN] = "";
    const char *path = address->local.sun_path;
    if (address->any.sa_family == AF_INET) {
        inet_ntop(AF_INET, &address->in4.sin_addr, text, sizeof text);
        snprintf(ret_text, TW_REACH_TEXT_BYTES, "%s:%u", text, ntohs(address->in4.sin_port));
    } else if (address->any.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &address->in6.sin6_addr, text, sizeof text);
        char scope[16] = "";
        if (address->in6.sin6_scope_id != 0) {
            snprintf(scope, sizeof scope, "%%%u", address->in6.sin6_scope_id);
        }
        snprintf(ret_text, TW_REACH_TEXT_BYTES, "[%s%s]:%u", text, scope,
                 ntohs(address->in6.sin6_port));
    } else if (address->any.sa_family != AF_UNIX) {
        snprintf(ret_text, TW_REACH_TEXT_BYTES, "family %u", address->any.sa_family);
    } else if (size_bytes <= PATH_OFFSET) {
        snprintf(ret_text, TW_REACH_TEXT_BYTES, LOCAL_PREFIX);
    } else {
        const bool is_name = path[0] == '\0';
        snprintf(ret_text, TW_REACH_TEXT_BYTES, LOCAL_PREFIX "%s%.*s", is_name ? "@" : "",
                 (int)(size_bytes - PATH_OFFSET) - is_name, path + is_name);
    }
}

static enum tw_status add_address(struct tw_reach_list *reach,
                                  const union tw_reach_socket_address *address,
                                  socklen_t size_bytes, struct tw_error *error)
{
    if (tw_reach_find(reach, address, size_bytes) != NULL) {
        return TW_OK;
    }
    if (reach->n_items == TW_LIMIT_REACH_ADDRESSES) {
        return tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                            "more than %d addresses that may be connected to",
                            TW_LIMIT_REACH_ADDRESSES);
    }
    struct tw_reach_address *item = &reach->items[reach->n_items++];
    item->address = *address;
    item->size_bytes = size_bytes;
    tw_reach_format(address, size_bytes, item->text);
    return TW_OK;
}

static enum tw_status no_address(const char *word, struct tw_error *error)
{
    return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                        "'%.100s' is no address: write HOST:PORT, [IPV6]:PORT or unix:/PATH", word);
}

static enum tw_status add_local(struct tw_reach_list *reach, const char *word,
                                struct tw_error *error)
{
    union tw_reach_socket_address address = {.local = {.sun_family = AF_UNIX}};
    const char *path = word + strlen(LOCAL_PREFIX);
    const size_t n_bytes = strlen(path);
    if ((path[0] != '/' && path[0] != '@') || n_bytes < 2 ||
        n_bytes >= sizeof address.local.sun_path) {
        return no_address(word, error);
    }
    memcpy(address.local.sun_path, path, n_bytes);
    if (path[0] == '@') {
        address.local.sun_path[0] = '\0';
    }
    return add_address(reach, &address, (socklen_t)(PATH_OFFSET + n_bytes), error);
}

static bool is_port(const char *text)
{
    const size_t n_digits = strspn(text, "0123456789");
    const long port = n_digits <= 5 ? strtol(text, NULL, 10) : 0;
    return text[n_digits] == '\0' && port >= 1 && port <= UINT16_MAX;
}

/* "host:port" or "[host]:port" in two. */
static bool split(const char *word, char ret_host[HOST_BYTES], const char **ret_port)
{
    const char *colon = strrchr(word, ':');
    const bool is_bracketed = word[0] == '[';
    if (colon == NULL || colon[1] == '\0' || (is_bracketed && colon[-1] != ']') ||
        (!is_bracketed && memchr(word, ':', (size_t)(colon - word)) != NULL)) {
        return false;
    }
    const char *host = word + is_bracketed;
    const size_t n_bytes = (size_t)(colon - host) - is_bracketed;
    if (colon - host <= (int)is_bracketed || n_bytes >= HOST_BYTES || !is_port(colon + 1)) {
        return false;
    }
    memcpy(ret_host, host, n_bytes);
    ret_host[n_bytes] = '\0';
    *ret_port = colon + 1;
    return true;
}

static enum tw_status add_named(struct tw_reach_list *reach, const char *word,
                                struct tw_error *error)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    char host[HOST_BYTES];
    const char *port;
    if (!split(word, host, &port)) {
        return no_address(word, error);
    }
    const int failure = getaddrinfo(host, port, &hints, &found);
    if (failure != 0) {
        return tw_error_set(error, TW_ERR_NOT_FOUND, TW_NO_POSITION,
                            "cannot find the address of '%.100s': %s", word, gai_strerror(failure));
    }
    enum tw_status status = TW_OK;
    for (const struct addrinfo *at = found; status == TW_OK && at != NULL; at = at->ai_next) {
        union tw_reach_socket_address address = {.any = {.sa_family = AF_UNSPEC}};
        if (at->ai_addrlen <= sizeof address) {
            memcpy(&address, at->ai_addr, at->ai_addrlen);
            status = add_address(reach, &address, at->ai_addrlen, error);
        }
    }
    freeaddrinfo(found);
    return status;
}

enum tw_status tw_reach_add(struct tw_reach_list *reach, const char *word,
                            struct tw_reach_address *ret_first, struct tw_error *error)
{
    struct tw_reach_list added = {.n_items = 0};
    enum tw_status status = strncmp(word, LOCAL_PREFIX, strlen(LOCAL_PREFIX)) == 0
                                ? add_local(&added, word, error)
                                : add_named(&added, word, error);
    for (size_t i = 0; status == TW_OK && i < added.n_items; i++) {
        status = add_address(reach, &added.items[i].address, added.items[i].size_bytes, error);
    }
    if (status == TW_OK && ret_first != NULL) {
        *ret_first = added.items[0];
    }
    return status;
}
