/* dns_lookup.h: where the servers of a name are, by DNS.
 *
 *     TW_DNS_ADDRESSES  "gpu.example"              A and AAAA  -> an address each, at a port
 *     TW_DNS_SERVICES   "_vllm._tcp.gpu.example"   SRV         -> targets, and their A and AAAA
 *
 * The C library asks: the servers of /etc/resolv.conf, or one that is given. /etc/hosts is not DNS
 * and says nothing here.
 *
 * Places come in a fixed order, so that two answers can be compared. An answer that says that there
 * are none is one: no places, and TW_OK.
 *
 * Ownership: values. Threads: any; it waits for seconds at most (TW_LIMIT_DNS_*). Errors: TW_ERR_IO
 * where nobody answers, or malformed; TW_ERR_USAGE for no address of a server.
 */
#ifndef TW_REMOTE_DNS_LOOKUP_H
#define TW_REMOTE_DNS_LOOKUP_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/status.h"

enum tw_dns_kind { TW_DNS_ADDRESSES = 0, TW_DNS_SERVICES };

struct tw_dns_place {
    char address[INET6_ADDRSTRLEN]; /* without brackets */
    uint16_t port;
    uint16_t weight, priority; /* of its SRV record; 0: none was given */
};

struct tw_dns_places {
    struct tw_dns_place items[TW_LIMIT_REMOTES];
    size_t n_items;
    bool is_cut;    /* there were more */
    uint32_t ttl_s; /* the shortest of the records, within TW_LIMIT_DNS_TTL_LEAST_S and _MOST_S */
};

/* nameserver: "192.0.2.53" or "192.0.2.53:5353"; NULL: the system's. port: of addresses. */
enum tw_status tw_dns_lookup(const char *nameserver, enum tw_dns_kind kind, const char *name,
                             uint16_t port, struct tw_dns_places *ret_places,
                             struct tw_error *error);

enum tw_status tw_dns_check_nameserver(const char *nameserver, struct tw_error *error);

/* ---- for tests: one message ---- */

struct tw_dns_record {
    uint16_t priority, weight, port;    /* of SRV */
    char text[TW_LIMIT_DNS_NAME_BYTES]; /* an address, or SRV's target */
};

struct tw_dns_records {
    struct tw_dns_record items[TW_LIMIT_REMOTES];
    size_t n_items;
    bool is_cut;
    uint32_t ttl_s; /* the shortest; UINT32_MAX: no record */
};

/* Adds those of a type (ns_t_a, ns_t_aaaa, ns_t_srv) of an answer. False: it is malformed. */
bool tw_dns_read(const uint8_t *message, size_t size_bytes, int type,
                 struct tw_dns_records *records);

#endif
