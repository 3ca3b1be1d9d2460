/* backend_url.h: how a configuration file says where the servers of a backend are.
 *
 *     https://gpu.example:8000              one server, its name looked up with each connection
 *     dns+https://gpu.example:8000          a server at each of the name's addresses
 *     srv+https://_vllm._tcp.gpu.example    a server at each place of its SRV records
 *
 * The same with http; "dns://" and "srv://" are short for it. A certificate must be of the name, of
 * SRV of what stands behind the two labels of the service (RFC 6125: what DNS says is no proof).
 *
 * Ownership: values. Threads: any. Errors: TW_ERR_USAGE.
 */
#ifndef TW_APP_BACKEND_URL_H
#define TW_APP_BACKEND_URL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/status.h"

enum tw_backend_form { TW_BACKEND_ONE = 0, TW_BACKEND_ADDRESSES, TW_BACKEND_SERVICES };

struct tw_backend_url {
    enum tw_backend_form form;
    bool is_tls;
    char host[TW_LIMIT_REMOTE_URL_BYTES]; /* as it is asked for; without brackets */
    char tls_name[TW_LIMIT_REMOTE_URL_BYTES];
    uint16_t port; /* 0: its records say it */
};

enum tw_status tw_backend_url_read(const char *text, struct tw_backend_url *ret_url,
                                   struct tw_error *error);

#endif
