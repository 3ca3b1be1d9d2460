#include "remote/dns_lookup.h"

#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <netdb.h>
#include <resolv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

#define DNS_PORT  53
#define SRV_BYTES 6 /* priority, weight and port, before the target */

/* ---- messages ---- */

static bool read_record(const ns_msg *message, const ns_rr *rr, struct tw_dns_record *ret_record)
{
    const uint8_t *data = ns_rr_rdata(*rr);
    const size_t n_bytes = ns_rr_rdlen(*rr);
    *ret_record = (struct tw_dns_record){.text = ""};
    if (ns_rr_type(*rr) == ns_t_a || ns_rr_type(*rr) == ns_t_aaaa) {
        const bool is_4 = ns_rr_type(*rr) == ns_t_a;
        return n_bytes == (is_4 ? 4 : 16) &&
               inet_ntop(is_4 ? AF_INET : AF_INET6, data, ret_record->text,
                         sizeof ret_record->text) != NULL;
    }
    if (n_bytes <= SRV_BYTES) {
        return false;
    }
    ret_record->priority = (uint16_t)ns_get16(data);
    ret_record->weight = (uint16_t)ns_get16(data + 2);
    ret_record->port = (uint16_t)ns_get16(data + 4);
    return ns_name_uncompress(ns_msg_base(*message), ns_msg_end(*message), data + SRV_BYTES,
                              ret_record->text, sizeof ret_record->text) >= 0;
}

bool tw_dns_read(const uint8_t *message, size_t size_bytes, int type,
                 struct tw_dns_records *records)
{
    ns_msg parsed;
    ns_rr rr;
    if (size_bytes > NS_MAXMSG || ns_initparse(message, (int)size_bytes, &parsed) != 0) {
        return false;
    }
    for (int i = 0; i < ns_msg_count(parsed, ns_s_an); i++) {
        struct tw_dns_record record;
        if (ns_parserr(&parsed, ns_s_an, i, &rr) != 0) {
            return false;
        }
        const uint32_t ttl_s = ns_rr_ttl(rr);
        records->ttl_s = ttl_s < records->ttl_s ? ttl_s : records->ttl_s; /* an alias's, too */
        if ((int)ns_rr_type(rr) != type || ns_rr_class(rr) != ns_c_in) {
            continue;
        }
        if (!read_record(&parsed, &rr, &record)) {
            return false;
        }
        if (records->n_items == TW_LIMIT_REMOTES) {
            records->is_cut = true;
        } else {
            records->items[records->n_items++] = record;
        }
    }
    return true;
}

/* ---- asking ---- */

static enum tw_status find_nameserver(const char *nameserver, struct sockaddr_in *ret_address,
                                      struct tw_error *error)
{
    char host[INET_ADDRSTRLEN];
    const char *colon = strchr(nameserver, ':');
    const size_t n = colon != NULL ? (size_t)(colon - nameserver) : strlen(nameserver);
    char *end = NULL;
    const long port = colon != NULL ? strtol(colon + 1, &end, 10) : DNS_PORT;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    (void)snprintf(host, sizeof host, "%.*s", (int)(n < sizeof host ? n : 0), nameserver);
    if ((colon != NULL && (end == colon + 1 || *end != '\0')) || port < 1 || port > UINT16_MAX ||
        inet_pton(AF_INET, host, &address.sin_addr) != 1) {
        return tw_error_set(error, TW_ERR_USAGE, TW_NO_POSITION,
                            "'%.60s' is no address of a nameserver: write 192.0.2.53 or "
                            "192.0.2.53:5353",
                            nameserver);
    }
    *ret_address = address;
    return TW_OK;
}

enum tw_status tw_dns_check_nameserver(const char *nameserver, struct tw_error *error)
{
    struct sockaddr_in address;
    return find_nameserver(nameserver, &address, error);
}

static enum tw_status open_resolver(const char *nameserver, res_state resolver,
                                    struct tw_error *error)
{
    struct sockaddr_in address;
    enum tw_status status = TW_OK;
    if (nameserver != NULL) {
        status = find_nameserver(nameserver, &address, error);
    }
    if (status != TW_OK) {
        return status;
    }
    memset(resolver, 0, sizeof *resolver);
    if (res_ninit(resolver) != 0) {
        return tw_error_set(error, TW_ERR_IO, TW_NO_POSITION, "the system's resolver cannot start");
    }
    resolver->retrans = TW_LIMIT_DNS_TRY_S;
    resolver->retry = TW_LIMIT_DNS_TRIES;
    if (nameserver != NULL) {
        resolver->nscount = 1;
        resolver->nsaddr_list[0] = address;
    }
    return TW_OK;
}

/* What is asked by one lookup. */
struct asking {
    res_state resolver;
    uint8_t *message; /* [NS_MAXMSG] */
    const char *name; /* that was asked first, for messages */
    int64_t until_ns; /* then no other name is asked for: there may be many targets */
    struct tw_error *error;
};

static enum tw_status ask(const struct asking *asking, const char *name, int type,
                          struct tw_dns_records *records)
{
    if (tw_clock_monotonic_ns() > asking->until_ns) {
        return tw_error_set(asking->error, TW_ERR_IO, TW_NO_POSITION,
                            "nameservers take longer than %d s for all addresses of '%.100s'",
                            TW_LIMIT_DNS_WHOLE_S, asking->name);
    }
    const int n = res_nquery(asking->resolver, name, ns_c_in, type, asking->message, NS_MAXMSG);
    if (n < 0) {
        const int why = asking->resolver->res_h_errno;
        return why == HOST_NOT_FOUND || why == NO_DATA
                   ? TW_OK
                   : tw_error_set(asking->error, TW_ERR_IO, TW_NO_POSITION,
                                  "no nameserver answers for '%.100s': %s", asking->name,
                                  hstrerror(why));
    }
    return tw_dns_read(asking->message, (size_t)n, type, records)
               ? TW_OK
               : tw_error_set(asking->error, TW_ERR_IO, TW_NO_POSITION,
                              "the nameserver's answer for '%.100s' is malformed", asking->name);
}

/* of: the SRV record, or one of the port that addresses have. */
static void add_place(struct tw_dns_places *places, const struct tw_dns_record *record,
                      const struct tw_dns_record *of)
{
    struct tw_dns_place place = {.port = of->port, .weight = of->weight, .priority = of->priority};
    (void)snprintf(place.address, sizeof place.address, "%.*s", (int)sizeof place.address - 1,
                   record->text);
    for (size_t i = 0; i < places->n_items; i++) {
        struct tw_dns_place *known = &places->items[i];
        if (known->port == place.port && strcmp(known->address, place.address) == 0) {
            *known = place.priority < known->priority ? place : *known;
            return;
        }
    }
    if (places->n_items == TW_LIMIT_REMOTES) {
        places->is_cut = true;
    } else {
        places->items[places->n_items++] = place;
    }
}

static void take_ttl(struct tw_dns_places *places, const struct tw_dns_records *records)
{
    places->ttl_s = records->ttl_s < places->ttl_s ? records->ttl_s : places->ttl_s;
    places->is_cut = places->is_cut || records->is_cut;
}

static enum tw_status add_addresses(const struct asking *asking, const char *name,
                                    const struct tw_dns_record *of, struct tw_dns_places *places)
{
    static const int types[] = {ns_t_a, ns_t_aaaa};
    struct tw_dns_records *records = tw_mem_zalloc(1, sizeof *records);
    enum tw_status status =
        records != NULL ? TW_OK
                        : tw_error_set(asking->error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory");
    for (size_t i = 0; status == TW_OK && i < sizeof types / sizeof types[0]; i++) {
        records->n_items = 0;
        records->ttl_s = UINT32_MAX;
        status = ask(asking, name, types[i], records);
        for (size_t k = 0; status == TW_OK && k < records->n_items; k++) {
            add_place(places, &records->items[k], of);
        }
        take_ttl(places, records);
    }
    tw_mem_free(records);
    return status;
}

/* The best come first, in case there are more than there is room for. */
static int by_priority(const void *a, const void *b)
{
    const struct tw_dns_record *one = a, *other = b;
    return (int)one->priority - (int)other->priority;
}

static enum tw_status add_services(const struct asking *asking, struct tw_dns_places *places)
{
    struct tw_dns_records *records = tw_mem_zalloc(1, sizeof *records);
    if (records == NULL) {
        return tw_error_set(asking->error, TW_ERR_MEMORY, TW_NO_POSITION, "no memory");
    }
    records->ttl_s = UINT32_MAX;
    enum tw_status status = ask(asking, asking->name, ns_t_srv, records);
    qsort(records->items, records->n_items, sizeof records->items[0], by_priority);
    take_ttl(places, records);
    for (size_t i = 0; status == TW_OK && i < records->n_items; i++) {
        const struct tw_dns_record *record = &records->items[i];
        const bool is_there = record->port != 0 && record->text[0] != '\0' &&
                              strcmp(record->text, ".") != 0; /* "." says: not here */
        if (is_there) {
            status = add_addresses(asking, record->text, record, places);
        }
    }
    tw_mem_free(records);
    return status;
}

static int compare(const void *a, const void *b)
{
    const struct tw_dns_place *one = a, *other = b;
    const int order = strcmp(one->address, other->address);
    return order != 0 ? order : (int)one->port - (int)other->port;
}

enum tw_status tw_dns_lookup(const char *nameserver, enum tw_dns_kind kind, const char *name,
                             uint16_t port, struct tw_dns_places *ret_places,
                             struct tw_error *error)
{
    struct __res_state resolver;
    struct tw_dns_places places = {.ttl_s = UINT32_MAX};
    const int64_t until_ns = tw_clock_monotonic_ns() + TW_LIMIT_DNS_WHOLE_S * TW_SECOND_NS;
    uint8_t *message = tw_mem_alloc(1, NS_MAXMSG);
    enum tw_status status = message != NULL ? open_resolver(nameserver, &resolver, error)
                                            : tw_error_set(error, TW_ERR_MEMORY, TW_NO_POSITION,
                                                           "no memory for a nameserver's answer");
    if (status == TW_OK) {
        const struct tw_dns_record plain = {.port = port};
        const struct asking asking = {&resolver, message, name, until_ns, error};
        status = kind == TW_DNS_SERVICES ? add_services(&asking, &places)
                                         : add_addresses(&asking, name, &plain, &places);
        res_nclose(&resolver);
    }
    tw_mem_free(message);
    if (status != TW_OK) {
        return status;
    }
    qsort(places.items, places.n_items, sizeof places.items[0], compare);
    if (places.n_items == 0 || places.ttl_s < TW_LIMIT_DNS_TTL_LEAST_S) {
        places.ttl_s = TW_LIMIT_DNS_TTL_LEAST_S;
    } else if (places.ttl_s > TW_LIMIT_DNS_TTL_MOST_S) {
        places.ttl_s = TW_LIMIT_DNS_TTL_MOST_S;
    }
    *ret_places = places;
    return TW_OK;
}
