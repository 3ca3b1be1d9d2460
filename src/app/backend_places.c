#include "app/backend_places.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

struct tw_backend_place_row *tw_backend_places_find(const struct tw_backend_places *places,
                                                    const char *text)
{
    struct tw_backend_place_row *row = places->first;
    while (row != NULL && strcmp(row->text, text) != 0) {
        row = row->next;
    }
    return row;
}

bool tw_backend_places_put(struct tw_backend_place_row *row, const struct tw_dns_places *found,
                           int64_t now_ns)
{
    const bool is_same =
        row->is_known && row->places.n_items == found->n_items &&
        memcmp(row->places.items, found->items, found->n_items * sizeof found->items[0]) == 0;
    row->places = *found;
    row->is_known = true;
    row->due_ns = now_ns + (int64_t)found->ttl_s * TW_SECOND_NS;
    return !is_same;
}

/* ---- sealed ---- */

static bool is_numeric(const char *host)
{
    struct in6_addr address;
    return inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1;
}

static void write_place(const char *host, uint16_t port, char *ret_text, size_t n_bytes)
{
    const bool is_6 = strchr(host, ':') != NULL;
    snprintf(ret_text, n_bytes, "%s%s%s:%u", is_6 ? "[" : "", host, is_6 ? "]" : "", port);
}

/* All that a name stands for may be reached, and is what libcurl is told. */
static enum tw_status reach_name(struct tw_backend_places *places, struct tw_backend_place_row *row,
                                 struct tw_error *error)
{
    char word[TW_LIMIT_REMOTE_URL_BYTES + 16];
    struct tw_reach_list added = {.n_items = 0};
    write_place(row->url.host, row->url.port, word, sizeof word);
    enum tw_status status = tw_reach_add(&added, word, NULL, error);
    for (size_t i = 0; status == TW_OK && i < added.n_items; i++) {
        const union tw_reach_socket_address *address = &added.items[i].address;
        struct tw_dns_place *place = &row->places.items[row->places.n_items++];
        place->port = row->url.port;
        inet_ntop(address->any.sa_family,
                  address->any.sa_family == AF_INET ? (const void *)&address->in4.sin_addr
                                                    : (const void *)&address->in6.sin6_addr,
                  place->address, sizeof place->address);
        status = tw_reach_add(places->reach, added.items[i].text, NULL, error);
    }
    return status;
}

static enum tw_status reach_places(struct tw_backend_places *places,
                                   const struct tw_backend_place_row *row, struct tw_error *error)
{
    enum tw_status status = TW_OK;
    for (size_t i = 0; status == TW_OK && i < row->places.n_items; i++) {
        char word[INET6_ADDRSTRLEN + 16];
        write_place(row->places.items[i].address, row->places.items[i].port, word, sizeof word);
        status = tw_reach_add(places->reach, word, NULL, error);
    }
    return status;
}

/* Nothing can be looked up any more. */
static enum tw_status check_fixed(const struct tw_backend_places *places,
                                  const struct tw_backend_place_row *row, struct tw_error *error)
{
    char word[TW_LIMIT_REMOTE_URL_BYTES + 16];
    struct tw_reach_list one = {.n_items = 0};
    struct tw_reach_address address;
    write_place(row->url.host, row->url.port, word, sizeof word);
    if (row->url.form != TW_BACKEND_ONE || !is_numeric(row->url.host)) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "'%.200s': a sealed server looks up no names: give an address that its "
                            "broker may reach, or start it again",
                            row->text);
    }
    enum tw_status status = tw_reach_add(&one, word, &address, error);
    if (status == TW_OK &&
        tw_reach_find(places->reach, &address.address, address.size_bytes) == NULL) {
        status = tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                              "'%.200s': the broker of this sealed server may not reach it: give "
                              "--reach %.80s, and start it again",
                              row->text, word);
    }
    return status;
}

/* ---- rows ---- */

static enum tw_status look_up(struct tw_backend_places *places, struct tw_backend_place_row *row,
                              int64_t now_ns, struct tw_error *error)
{
    row->due_ns = INT64_MAX;
    if (places->is_fixed) {
        return check_fixed(places, row, error);
    }
    if (row->url.form == TW_BACKEND_ONE) {
        return places->reach != NULL ? reach_name(places, row, error) : TW_OK;
    }
    struct tw_dns_places found;
    enum tw_status status =
        tw_dns_lookup(places->nameserver,
                      row->url.form == TW_BACKEND_SERVICES ? TW_DNS_SERVICES : TW_DNS_ADDRESSES,
                      row->url.host, row->url.port, &found, error);
    if (places->reach != NULL) {
        if (status == TW_OK) {
            (void)tw_backend_places_put(row, &found, now_ns);
            row->due_ns = INT64_MAX;
            status = reach_places(places, row, error);
        }
        return status;
    }
    if (status == TW_ERR_IO) {
        tw_log(TW_LOG_WARN, "'%s': %s; it is asked again", row->text, error->text);
        row->due_ns = now_ns + TW_LIMIT_DNS_RETRY_NS;
        return TW_OK;
    }
    if (status == TW_OK) {
        (void)tw_backend_places_put(row, &found, now_ns);
    }
    return status;
}

static void free_row(struct tw_backend_place_row *row)
{
    tw_mem_free(row->text);
    tw_mem_free(row);
}

enum tw_status tw_backend_places_take(struct tw_backend_places *places, const char *text,
                                      int64_t now_ns, struct tw_backend_place_row **ret_row,
                                      struct tw_error *error)
{
    struct tw_backend_place_row *row = tw_backend_places_find(places, text);
    if (row != NULL) {
        row->is_used = true;
        *ret_row = row;
        return TW_OK;
    }
    row = tw_mem_zalloc(1, sizeof *row);
    enum tw_status status =
        row != NULL && (row->text = tw_mem_strndup(text, strlen(text))) != NULL
            ? tw_backend_url_read(text, &row->url, error)
            : tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory for a backend");
    if (status == TW_OK) {
        status = look_up(places, row, now_ns, error);
    }
    if (status != TW_OK) {
        if (row != NULL) {
            free_row(row);
        }
        return status;
    }
    row->is_used = true;
    row->next = places->first;
    places->first = row;
    *ret_row = row;
    return TW_OK;
}

struct tw_backend_place_row *tw_backend_places_next(const struct tw_backend_places *places)
{
    struct tw_backend_place_row *next = NULL;
    for (struct tw_backend_place_row *row = places->first; row != NULL; row = row->next) {
        if (row->due_ns != INT64_MAX && (next == NULL || row->due_ns < next->due_ns)) {
            next = row;
        }
    }
    return next;
}

void tw_backend_places_begin(struct tw_backend_places *places)
{
    for (struct tw_backend_place_row *row = places->first; row != NULL; row = row->next) {
        row->is_used = false;
    }
}

void tw_backend_places_end(struct tw_backend_places *places)
{
    struct tw_backend_place_row **at = &places->first;
    while (*at != NULL) {
        struct tw_backend_place_row *row = *at;
        if (!row->is_used && !places->is_fixed) {
            *at = row->next;
            free_row(row);
        } else {
            at = &row->next;
        }
    }
}

void tw_backend_places_merge(struct tw_backend_places *places, struct tw_backend_places *more)
{
    while (more->first != NULL) {
        struct tw_backend_place_row *row = more->first;
        more->first = row->next;
        if (tw_backend_places_find(places, row->text) != NULL) {
            free_row(row);
        } else {
            row->next = places->first;
            places->first = row;
        }
    }
}

void tw_backend_places_free(struct tw_backend_places *places)
{
    places->is_fixed = false;
    tw_backend_places_begin(places);
    tw_backend_places_end(places);
}
