#include "app/serve_seal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/books_place.h"
#include "app/serve_config.h"
#include "base/log.h"
#include "store/db.h"

#define OWN_PROGRAM  "/proc/self/exe"
#define ADDRESSES_OF "PGHOSTADDR" /* what libpq connects to instead of looking for a name */
#define CLOSED_BYTES 65536
#define LIST_BYTES   4096

enum tw_status tw_serve_seal_check(const struct tw_serve_args *args, struct tw_error *error)
{
    struct tw_books_place place = {.is_file = true};
    enum tw_status status = TW_OK;
    if (args->reach.n_items > 0 && args->sealed != TW_SERVE_SEALED_BROKER) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "--reach says what a broker connects to: give --sealed broker");
    }
    if (args->sealed == TW_SERVE_OPEN) {
        return TW_OK;
    }
    unsigned n_backends = 0;
    tw_serve_file_backends(args->file, &n_backends);
    if (n_backends > 0 && args->sealed == TW_SERVE_SEALED_PROCESS) {
        return tw_error_set(
            error, TW_ERR_USAGE, TW_NO_POSITION,
            "--sealed process asks no other servers: give --sealed broker, or leave "
            "out the backends of the configuration file");
    }
    if (args->books_address != NULL) {
        status = tw_books_place_find(args->books_address, &place, error);
    }
    if (status == TW_OK && !place.is_file && args->sealed == TW_SERVE_SEALED_PROCESS) {
        status = tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                              "--sealed process connects to nothing, and books in PostgreSQL need "
                              "a connection: give --books with a file, or --sealed broker");
    }
    return status;
}

/* ---- what a broker may connect to ---- */

/* What libpq is to use: addresses in the order of its hosts, empty for sockets of files. */
struct hosts {
    struct tw_reach_list *reach;
    char list[LIST_BYTES];
    size_t n_hosts;
    bool has_numbers; /* hostaddr was given; it counts more than the environment */
};

static enum tw_status add_host(void *context, const char *word, bool is_numeric,
                               struct tw_error *error)
{
    struct hosts *hosts = context;
    struct tw_reach_address first;
    enum tw_status status = tw_reach_add(hosts->reach, word, &first, error);
    if (status != TW_OK) {
        return status;
    }
    const bool is_local = first.address.any.sa_family == AF_UNIX;
    const char *colon = strrchr(first.text, ':');
    const bool is_bracketed = first.text[0] == '[';
    const size_t used = strlen(hosts->list);
    const int n = snprintf(
        hosts->list + used, sizeof hosts->list - used, "%s%.*s", hosts->n_hosts > 0 ? "," : "",
        is_local ? 0 : (int)(colon - first.text) - 2 * is_bracketed, first.text + is_bracketed);
    hosts->n_hosts++;
    hosts->has_numbers = hosts->has_numbers || is_numeric;
    return n >= 0 && (size_t)n < sizeof hosts->list - used
               ? TW_OK
               : tw_error_set(error, TW_ERR_LIMIT, TW_NO_POSITION,
                              "too many hosts in the address of the books");
}

/* Names are looked up here and never again: a sealed process has no resolver. */
static enum tw_status add_books(const char *address, struct tw_reach_list *reach,
                                struct tw_error *error)
{
    struct hosts hosts = {.reach = reach};
    struct tw_books_place place = {.is_file = true};
    enum tw_status status = TW_OK;
    if (address != NULL) {
        status = tw_books_place_find(address, &place, error);
    }
    if (status != TW_OK || place.is_file) {
        return status;
    }
    status = tw_db_hosts(place.address, add_host, &hosts, error);
    if (status == TW_OK && !hosts.has_numbers) {
        setenv(ADDRESSES_OF, hosts.list, 1); /* no other thread is there yet */
    }
    return status;
}

static enum tw_status start_broker(const struct tw_serve_args *args, struct tw_serve_seal *seal,
                                   struct tw_error *error)
{
    enum tw_status status = add_books(args->books_address, &seal->reach, error);
    for (size_t i = 0; status == TW_OK && i < args->reach.n_items; i++) {
        status = tw_reach_add(&seal->reach, args->reach.items[i], NULL, error);
    }
    return status == TW_OK ? tw_broker_start(OWN_PROGRAM, &seal->reach, &seal->broker, error)
                           : status;
}

/* ---- the steps ---- */

/* One record for each descriptor that somebody left open for us. */
static void tell_closed(const struct tw_buf *closed)
{
    if (closed->size_bytes == 0) {
        return;
    }
    const char *end = closed->data + closed->size_bytes;
    for (const char *at = closed->data; at < end;) {
        const size_t n_bytes = (size_t)((const char *)memchr(at, '\n', (size_t)(end - at)) - at);
        tw_log(TW_LOG_WARN, "an inherited descriptor was closed: %.*s", (int)n_bytes, at);
        at += n_bytes + 1;
    }
}

enum tw_status tw_serve_seal_begin(const struct tw_serve_args *args,
                                   const struct tw_serve_place *place, struct tw_serve_seal *seal,
                                   struct tw_error *error)
{
    struct tw_buf closed;
    seal->broker = (struct tw_broker){.pid = 0, .fd = -1};
    seal->notify_fd = -1;
    if (args->sealed == TW_SERVE_OPEN) {
        tw_serve_notify_open();
        return TW_OK;
    }
    tw_buf_init(&closed, CLOSED_BYTES);
    enum tw_status status = tw_seal_close_inherited(place->passed_fd, &closed, error);
    if (status == TW_OK) {
        tell_closed(&closed);
    }
    tw_buf_free(&closed);
    seal->notify_fd = status == TW_OK ? tw_serve_notify_open() : -1;
    if (status == TW_OK && args->sealed == TW_SERVE_SEALED_BROKER) {
        status = start_broker(args, seal, error);
    }
    if (status == TW_OK) {
        seal->is_confined = tw_seal_confine(args->sealed == TW_SERVE_SEALED_BROKER);
    }
    return status;
}

enum tw_status tw_serve_seal_apply(const struct tw_serve_args *args, struct tw_serve_seal *seal,
                                   struct tw_error *error)
{
    const bool has_broker = args->sealed == TW_SERVE_SEALED_BROKER;
    if (args->sealed == TW_SERVE_OPEN) {
        return TW_OK;
    }
    const struct tw_seal_config config = {.reach = has_broker ? &seal->reach : NULL,
                                          .broker = has_broker ? &seal->broker : NULL,
                                          .kept_fd = seal->notify_fd};
    enum tw_status status = tw_seal_apply(&config, error);
    if (status != TW_OK) {
        return status;
    }
    const struct tw_log_field fields[] = {{"mode", has_broker ? "broker" : "process", 0},
                                          {"addresses", NULL, (int64_t)seal->reach.n_items},
                                          {"landlock", seal->is_confined ? "yes" : "no", 0}};
    tw_log_record(TW_LOG_INFO, NULL, "sealed: the kernel refuses connections out", fields, 3);
    return TW_OK;
}

void tw_serve_seal_end(struct tw_serve_seal *seal)
{
    tw_broker_close(&seal->broker);
}
