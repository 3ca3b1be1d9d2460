/* hub_fixture.h: books in a folder of their own, or in the PostgreSQL that TW_TEST_POSTGRES names,
 * with one organisation, team and project, keys, and calls that wait. The clock stands still until
 * a test moves it. */
#ifndef TW_TESTS_HUB_FIXTURE_H
#define TW_TESTS_HUB_FIXTURE_H

#include "base/json.h"
#include <pthread.h>

#include "hub/hub.h"
#include "hub/ledger_check.h"

#define FIXTURE_SECOND_NS INT64_C(1000000000)
#define FIXTURE_NOW_NS    (INT64_C(1764201600) * FIXTURE_SECOND_NS) /* 2025-11-27 00:00 UTC */
/* Numbers of the rows that fixture_create writes. */
enum { FIXTURE_ORG = 3, FIXTURE_TEAM, FIXTURE_PROJECT, FIXTURE_KEY, FIXTURE_OTHER_KEY };

struct fixture {
    char folder[64], address[160];
    _Atomic int64_t now_ns;
    bool has_store_time; /* now_ns is but the clock of its machine: the store's counts */
    struct tw_hub *hub;
    char secret[64], other_secret[64];
};

void fixture_create(struct fixture *fixture);
void fixture_open(struct fixture *fixture);
/* As a process that is killed: what is reserved stays so. */
void fixture_close(struct fixture *fixture);
/* When everybody who was there is taken for dead. */
void fixture_open_later(struct fixture *fixture);
void fixture_destroy(struct fixture *fixture);

/* Statements on the closed books. */
void fixture_execute(struct fixture *fixture, const char *sql);
/* The first number that a query gives. */
int64_t fixture_query(struct fixture *fixture, const char *sql);
/* holder: 3 the organisation, ...; the limit in nano-units or tokens. */
void fixture_add_budget(struct fixture *fixture, int64_t holder, const char *unit, int64_t limit,
                        bool is_hard, const char *period);
/* Nano-units a million tokens, of every model. */
void fixture_add_price(struct fixture *fixture, int64_t input, int64_t cached, int64_t output);
/* Fails the test where the books do not balance. */
struct tw_ledger_summary fixture_check(struct fixture *fixture);

/* A request of n_prompt tokens that may have as many as max_answer. */
enum tw_status fixture_reserve(struct fixture *fixture, struct tw_hub_ticket *ticket,
                               const char *secret, uint64_t n_prompt, uint64_t max_answer,
                               bool is_stream);
/* The same from its body, which may name a user, to its end, with one answer. The number
 * of the request. */
int64_t fixture_answer(struct fixture *fixture, const char *secret, const char *user,
                       const char *body, const char *answer);
/* A command with its fields as JSON; the answer, which the caller frees, or NULL: then *ret_error
 * is why. */
json_t *fixture_ask(struct fixture *fixture, const char *group, const char *verb,
                    const char *fields, struct tw_error *ret_error);
/* A group of the writer, by a change that changes nothing. */
void fixture_write(struct fixture *fixture);
enum tw_status fixture_cover(struct fixture *fixture, struct tw_hub_ticket *ticket,
                             uint64_t n_tokens);
enum tw_status fixture_settle(struct fixture *fixture, struct tw_hub_ticket *ticket,
                              uint64_t n_prompt, uint64_t n_cached, uint64_t n_answer);

/* One of many at once: ten tokens and ten more, settled as reserved. */
struct fixture_client {
    struct fixture *fixture;
    pthread_t thread;
    bool was_served; /* whole */
};
void *fixture_ask_once(void *client);

#endif
