/* http_site.h: an HTTP server for a test, and clients on raw sockets.
 *
 * What its handler does is told by the path: the request of "/keep" waits until the test answers
 * it, that of "/hold" holds up its thread of the server while the test wants it, any other is
 * answered with "hello" at once. Deadlines are long unless a test makes one short; what must happen
 * is waited for, for PATIENCE_NS at most.
 *
 * Ownership: what wait_for_kept and ask_to_keep give is to be released, what receive gives is to be
 * freed with free, sockets are to be closed; tw_http_server_stop ends the site.
 */
#ifndef TW_TEST_HTTP_SITE_H
#define TW_TEST_HTTP_SITE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "net/http_state.h"

#define PATIENCE_NS (30 * TW_SECOND_NS) /* also on a machine that is busy otherwise */
#define GET_KEEP    "GET /keep HTTP/1.1\r\nHost: a\r\n\r\n"
#define GET_HOLD    "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n"
#define GET_HELLO   "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

/* Waits until it holds. */
#define BECOMES(condition)                                                                         \
    do {                                                                                           \
        const int64_t waits_since_ns = tw_clock_monotonic_ns();                                    \
        while (!(condition) && tw_clock_monotonic_ns() - waits_since_ns < PATIENCE_NS) {           \
            wait_ms(1);                                                                            \
        }                                                                                          \
        assert_true(condition);                                                                    \
    } while (false)

struct site {
    struct tw_http_server *server;
    _Atomic(struct tw_http_request *) kept; /* "/keep" has come */
    atomic_bool holds;
    atomic_int n_handled;
    char body[256];
    atomic_size_t body_bytes;
};

/* On a free port, for few connections and small bodies. */
struct tw_http_config site_config(void);
void open_site(struct site *site);
void open_site_with(struct site *site, struct tw_http_config config);

int connect_to(const struct site *site);
void send_text(int fd, const char *text);
/* Reads until the connection ends or until what was read holds `until`, which may be NULL. */
char *receive(int fd, const char *until);
/* Reads until a text comes, which must. */
void expect_on(int fd, const char *wanted);
/* Asks once on a connection of its own and wants an answer that holds a text. */
void expect(const struct site *site, const char *request, const char *wanted);

struct tw_http_request *wait_for_kept(struct site *site);
/* A client whose request waits for its answer. */
struct tw_http_request *ask_to_keep(struct site *site, int *ret_fd);

void wait_ms(int ms);

#endif
